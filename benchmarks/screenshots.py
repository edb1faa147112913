"""Make the README's screenshots in a real browser: `python -m benchmarks.screenshots [template ...]`.

`docs/screenshots/templates.png` is the Templates dialog with the pack's own; `<template>.png` shows that template after
a run. A browser is found as for the tests.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.comfy_page import LOAD, browse_templates, change_settings, forget, open_page, run
from benchmarks.comfy_server import ComfyServer
from benchmarks.templates import read_template
from benchmarks.thumbnails import server_in
from respo_train.core.files.write import write_atomically
from setup_steps.browser import ensure_browser
from setup_steps.host import linked_name

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "screenshots"
TEMPLATES = ("try_it_now", "gender_and_skin_tone", "safety_switchboard")
LARGEST = 200_000  # bytes; a README's pictures are loaded by everybody
# Nothing of the page stands before the graph.
BARE = {
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}
FILL = """() => { app.extensionManager.focusMode = true; app.canvas.deselectAll()
    app.canvas.fitViewToSelectionAnimated({ duration: 1, zoom: 0.97 }) }"""
EDGES = """() => { const boxes = [...app.graph.nodes, ...app.graph.groups].map(one => one.boundingRect), margin = 20
    const all = (side, of) => of(...boxes.map(side))
    const [x, y] = app.canvasPosToClientPos([all(b => b[0], Math.min) - margin, all(b => b[1], Math.min) - margin])
    const [right, bottom] = app.canvasPosToClientPos(
        [all(b => b[0] + b[2], Math.max) + margin, all(b => b[1] + b[3], Math.max) + margin])
    return { x: Math.max(x, 0), y: Math.max(y, 0), width: right - Math.max(x, 0), height: bottom - Math.max(y, 0) } }"""
BACK = "() => { app.extensionManager.focusMode = false }"
HIDE_BUTTON = ".comfy-menu-hamburger { display: none !important }"
PICTURES = "() => [...document.querySelectorAll('[role=dialog] img')].every(one => one.complete)"


def main() -> None:
    """Make the dialog's picture and those of the templates named on the command line, or of TEMPLATES."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=TEMPLATES, help="templates; default: %(default)s")
    names = parser.parse_args().names
    browser = ensure_browser()
    if browser is None:
        parser.error("no Chromium or Chrome was found, and none could be fetched")
    with tempfile.TemporaryDirectory() as folder, server_in(Path(folder)) as server:
        change_settings(server, BARE)
        with open_page(browser, server) as (page, _):
            page.add_style_tag(content=HIDE_BUTTON)
            for name in names:
                show_run(page, server, name)
                save(page, name, page.evaluate(EDGES))
            page.evaluate(BACK)
            pack = linked_name(server.host)
            assert pack is not None  # the server runs with the pack
            show_templates(page, pack)
            save(page, "templates", page.get_by_role("dialog").bounding_box())


def show_templates(page: Any, pack: str) -> None:
    """Open the Templates dialog at the pack's own."""
    browse_templates(page)
    page.get_by_text(pack, exact=True).first.click()
    page.wait_for_function(PICTURES)
    page.mouse.move(0, 0)  # what the mouse is over looks different


def show_run(page: Any, server: ComfyServer, name: str) -> None:
    """Run a template; let its graph fill the page."""
    page.evaluate(BACK)
    forget(server)
    page.evaluate(LOAD, read_template(name))
    run(page, server)
    page.evaluate(FILL)
    page.wait_for_timeout(2000)  # the page draws a little later


def save(page: Any, name: str, part: dict[str, float]) -> None:
    """Write a part of the page to docs/screenshots."""
    data = small_png(Image.open(io.BytesIO(page.screenshot(clip=part))).convert("RGB"))
    path = FOLDER / f"{name}.png"
    write_atomically(path, data)
    print(f"{path}: {len(data) / 1000:.0f} kB")


def small_png(picture: Image.Image) -> bytes:
    """Return a PNG of less than LARGEST bytes, with as many colours as that allows.

    Raises ValueError when 64 are too many.
    """
    for colours in (256, 128, 64):
        file = io.BytesIO()
        picture.quantize(colours, kmeans=1, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() < LARGEST:
            return file.getvalue()
    raise ValueError(f"expected a picture that fits into {LARGEST} bytes with 64 colours: choose a plainer one")


if __name__ == "__main__":
    main()
