"""Make the thumbnails of the example workflows by running them: `python -m benchmarks.thumbnails [name ...]`.

Each `example_workflows/<name>.json` gets a `<name>.jpg`: the pictures of its output nodes, from top to bottom.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.api_format import to_api
from benchmarks.comfy_server import ComfyServer
from benchmarks.templates import FOLDER, read_template, template_names
from respo_train.core.files.write import replacing
from respo_train.report.grid import Layout, draw_grid

SIDE = 512  # pixels; the page shows thumbnails as squares
COLUMNS = 4  # of up to MANY pictures; of more, half as many again
MANY = 8
GAP = 16  # between the rows of two nodes
BACKGROUND = "#222"


def main() -> None:
    """Run the workflows named on the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thumbnails", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="workflows, without .json; default: all")
    names = parser.parse_args().names or template_names()
    with tempfile.TemporaryDirectory() as folder, server_in(Path(folder)) as server:
        for name in names:
            print(f"{name}: running …", flush=True)
            picture = thumbnail(run_outputs(server, read_template(name)))
            with replacing(FOLDER / f"{name}.jpg") as file:
                picture.save(file, "JPEG", quality=88)
            print(f"{name}: {FOLDER / name}.jpg")


def server_in(folder: Path) -> ComfyServer:
    """Return a server that keeps in `folder` what a workflow trains, too."""
    return ComfyServer(folder, model_folders={"respo": folder})


def run_outputs(server: ComfyServer, workflow: dict[str, Any]) -> list[list[Image.Image]]:
    """Run a saved workflow; return the pictures of each node that shows some, from top to bottom."""
    entry = server.run(to_api(workflow, server.object_info()))
    place = {str(node["id"]): (node["pos"][1], node["pos"][0]) for node in workflow["nodes"]}
    shown = [node for node, output in entry["outputs"].items() if "images" in output]
    return [server.images(entry, node) for node in sorted(shown, key=place.__getitem__)]


def thumbnail(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Lay out each node's pictures as a block, one block below the other, in a square of SIDE pixels."""
    blocks = [grid(pictures) for pictures in rows]
    width = max(block.width for block in blocks)
    blocks = [block.resize((width, round(block.height * width / block.width))) for block in blocks]
    sheet = Image.new("RGB", (width, sum(block.height for block in blocks) + GAP * (len(blocks) - 1)), BACKGROUND)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + GAP
    sheet.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), BACKGROUND)
    square.paste(sheet, ((SIDE - sheet.width) // 2, (SIDE - sheet.height) // 2))
    return square


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures of one size side by side, in rows."""
    columns = min(COLUMNS if len(pictures) <= MANY else COLUMNS * 3 // 2, len(pictures))
    pixels = [np.asarray(picture.convert("RGB")) for picture in pictures]
    rows = [("", [pixels[start : start + columns]]) for start in range(0, len(pixels), columns)]
    return draw_grid(rows, Layout(left=0, seam=0, row_gap=0, edge=0), paper=BACKGROUND)


if __name__ == "__main__":
    main()
