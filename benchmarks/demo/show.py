"""What the demo leaves behind to look at: grids, a chart and one page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .scoring import Pictures, Score

INK, BEFORE, AFTER, PAPER = "#22223b", "#e07a5f", "#3d85c6", "#ffffff"
COLUMNS = 10


def save_grid(path: Path, runs: Mapping[str, Pictures], columns: int = COLUMNS) -> None:
    """Write one row of pictures a profession, its name on the left."""
    side = next(iter(runs.values())).shape[1]
    gap, margin = 4, 150
    sheet = Image.new("RGB", (margin + columns * (side + gap), len(runs) * (side + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for row, (profession, pictures) in enumerate(runs.items()):
        top = row * (side + gap)
        draw.text((margin - 14, top + side // 2), profession, INK, font, anchor="rm")
        for column, picture in enumerate(pictures[:columns]):
            sheet.paste(Image.fromarray(picture), (margin + column * (side + gap), top))
    sheet.save(path)


def save_pair(path: Path, before: Mapping[str, Pictures], after: Mapping[str, Pictures], columns: int = 6) -> None:
    """Write the two runs side by side, the same prompts and seeds in the same places: the picture of the README."""
    side = next(iter(before.values())).shape[1]
    gap, margin, between, head = 4, 132, 44, 44
    panel = columns * (side + gap)
    sheet = Image.new("RGB", (margin + 2 * panel + between, head + len(before) * (side + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (title, run) in enumerate((("without Respo", before), ("with Respo", after))):
        left = margin + index * (panel + between)
        draw.text((left + panel // 2, head // 2), title, INK, ImageFont.load_default(size=26), anchor="mm")
        for row, (profession, pictures) in enumerate(run.items()):
            top = head + row * (side + gap)
            if index == 0:
                draw.text((margin - 12, top + side // 2), profession, INK, ImageFont.load_default(size=20), anchor="rm")
            for column, picture in enumerate(pictures[:columns]):
                sheet.paste(Image.fromarray(picture), (left + column * (side + gap), top))
    sheet.save(path, optimize=True)


def save_chart(path: Path, before: Score, after: Score, perfect: float) -> None:
    """Draw each profession's deviation ratio before and after, with its 95 % interval."""
    names = list(before.ratios)
    places = np.arange(len(names))[::-1]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(names) + 1.6), facecolor=PAPER)
    for score, shift, colour, label in ((before, 0.18, BEFORE, "before"), (after, -0.18, AFTER, "after")):
        intervals = [score.interval(name) for name in names]
        values = np.array([i.value for i in intervals])
        spread = [
            values - np.minimum([i.low for i in intervals], values),
            np.maximum([i.high for i in intervals], values) - values,
        ]
        mean = score.overall.value
        axes.barh(
            places + shift,
            values,
            0.34,
            color=colour,
            label=f"{label} (mean {mean:.2f})",
            xerr=spread,
            ecolor="#55555588",
        )
    axes.axvline(perfect, color=INK, linestyle=":", linewidth=1.2, label=f"a perfect method ({perfect:.2f})")
    axes.set(
        yticks=places,
        yticklabels=names,
        xlim=(0, 1.02),
        ylim=(-0.7, len(names) - 0.3),
        xlabel="deviation ratio: 0 = half women, half men; 1 = all the same",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 1.07), ncols=3, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def save_page(
    path: Path, rows: Sequence[tuple[str, str, str]], sentence: str, pictures: Sequence[tuple[str, Path]]
) -> None:
    """Write one self-contained page: a sentence, a table of (what, before, after), pictures with their titles."""
    cells = "".join(
        f"<tr><th>{html.escape(what)}</th><td>{html.escape(first)}</td><td>{html.escape(second)}</td></tr>"
        for what, first, second in rows
    )
    figures = "".join(
        f'<figure><figcaption>{html.escape(title)}</figcaption><img alt="{html.escape(title)}" '
        f'src="data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"></figure>'
        for title, file in pictures
    )
    path.write_text(_PAGE.format(sentence=html.escape(sentence), cells=cells, figures=figures), encoding="utf-8")


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Respo: before and after</title>
<style>
body {{ font: 17px/1.5 system-ui, sans-serif; color: #22223b; background: #fff }}
body {{ max-width: 1100px; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.7rem; margin-bottom: .3rem }} table {{ border-collapse: collapse; margin: 1.2rem 0 }}
th, td {{ padding: .35rem 1.1rem .35rem 0; text-align: left; border-bottom: 1px solid #e4e4ec; font-weight: 400 }}
td {{ font-variant-numeric: tabular-nums }} thead th {{ font-weight: 650 }}
figure {{ margin: 1.6rem 0 }} figcaption {{ font-weight: 650; margin-bottom: .5rem }}
img {{ max-width: 100%; border-radius: 6px }}
</style>
<h1>Same prompts, same seeds, one small module</h1><p>{sentence}</p>
<table><thead><tr><th></th><th>before</th><th>after</th></tr></thead><tbody>{cells}</tbody></table>
{figures}
</html>"""
