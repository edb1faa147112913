"""What the demo leaves behind to look at: grids, a chart and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from respo_train.core.files.write import replacing, write_atomically
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure
from respo_train.report.charts import INK, bars, drawing, png
from respo_train.report.grid import Layout, draw_grid
from respo_train.report.pages import Page, Section, write_page

COLUMNS = 10
PAIRED = ("doctor", "nurse", "pilot", "teacher", "mechanic")  # the rows of before_after.png
PAIRED_COLUMNS = 6
PICTURES = {"Before": "before.png", "After": "after.png", "Deviation ratio": "deviation.png"}


def save_pictures(folder: Path, before: Sequence[Drawn], after: Sequence[Drawn]) -> None:
    """Write both runs, a row of pictures a profession, and some of both side by side: the picture of the README."""
    for name, run in (("before.png", before), ("after.png", after)):
        with replacing(folder / name) as file:
            draw_grid([(one.group, [one.images[:COLUMNS]]) for one in run], Layout()).save(file, "PNG")
    pairs = {
        one.group: [run.images[:PAIRED_COLUMNS] for run in (one, two)] for one, two in zip(before, after, strict=True)
    }
    rows = [(job, pairs[job]) for job in PAIRED]
    grid = draw_grid(rows, Layout(left=132, top=44), ("without Respo", "with Respo"))
    with replacing(folder / "before_after.png") as file:
        grid.save(file, "PNG", optimize=True)


def save_chart(path: Path, ratios: Mapping[str, Mapping[str, Figure]], perfect: float) -> None:
    """Draw each profession's deviation ratio of each run, with its 95 % interval."""
    with drawing(9, 0.42 * max(map(len, ratios.values())) + 1.6) as figure:
        axes = bars(figure, ratios, "deviation ratio: 0 = half women, half men; 1 = all the same")
        axes.axvline(perfect, color=INK, linestyle=":", linewidth=1.2, label=f"a perfect method ({perfect:.2f})")
        figure.legend(loc="outside upper center", ncols=3)
        write_atomically(path, png(figure, dpi=130))


def save_page(folder: Path, rows: Sequence[tuple[str, ...]], sentence: str) -> None:
    """Write one self-contained page: a sentence, a table of (what, before, after), and the pictures in `folder`."""
    shown = [(caption, (folder / name).read_bytes()) for caption, name in PICTURES.items()]
    sections = [
        Section("In figures", sentence, [("table", (("", "before", "after"), rows))]),
        Section("In pictures", "", [("pictures", shown)]),
    ]
    title = "Same prompts, same seeds, one small module"
    write_page(folder / "index.html", Page("Respo demo", title, "before and after", (), (), (), sections))
