"""What the demo leaves behind to look at: grids, a chart and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.comfy_server import Pictures
from benchmarks.scoring import Score
from respo_train.core.files.write import replacing, write_atomically
from respo_train.report.charts import INK, bars, drawing, png
from respo_train.report.grid import Layout, draw_grid
from respo_train.report.pages import Page, Section, write_page

COLUMNS = 10


def save_grid(path: Path, run: Mapping[str, Pictures], columns: int = COLUMNS) -> None:
    """Write one row of pictures a profession, its name on the left."""
    with replacing(path) as file:
        draw_grid([(job, [pictures[:columns]]) for job, pictures in run.items()], Layout()).save(file, "PNG")


def save_pair(path: Path, before: Mapping[str, Pictures], after: Mapping[str, Pictures], columns: int = 6) -> None:
    """Write the two runs side by side, the same prompts and seeds in the same places: the picture of the README."""
    rows = [(job, [pictures[:columns], after[job][:columns]]) for job, pictures in before.items()]
    grid = draw_grid(rows, Layout(left=132, top=44), ("without Respo", "with Respo"))
    with replacing(path) as file:
        grid.save(file, "PNG", optimize=True)


def save_chart(path: Path, before: Score, after: Score, perfect: float) -> None:
    """Draw each profession's deviation ratio before and after, with its 95 % interval."""
    runs = {
        f"{label} (mean {score.overall.value:.2f})": score.ratios
        for label, score in (("before", before), ("after", after))
    }
    with drawing(9, 0.42 * len(before.ratios) + 1.6) as figure:
        axes = bars(figure, runs, "deviation ratio: 0 = half women, half men; 1 = all the same")
        axes.axvline(perfect, color=INK, linestyle=":", linewidth=1.2, label=f"a perfect method ({perfect:.2f})")
        figure.legend(loc="outside upper center", ncols=3)
        write_atomically(path, png(figure, dpi=130))


def save_page(
    path: Path, rows: Sequence[tuple[str, str, str]], sentence: str, pictures: Sequence[tuple[str, Path]]
) -> None:
    """Write one self-contained page: a sentence, a table of (what, before, after), pictures with their titles."""
    shown = [(caption, file.read_bytes()) for caption, file in pictures]
    sections = [
        Section("In figures", sentence, [("table", (("", "before", "after"), rows))]),
        Section("In pictures", "", [("pictures", shown)]),
    ]
    title = "Same prompts, same seeds, one small module"
    write_page(path, Page("Respo demo", title, "before and after", (), (), (), sections))
