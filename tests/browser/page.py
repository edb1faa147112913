"""What the browser tests ask ComfyUI's page, over what benchmarks/comfy_page.py does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.api_format import to_api
from benchmarks.comfy_page import browse_templates
from benchmarks.comfy_server import ComfyServer
from benchmarks.templates import read_template

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "out" / "screenshots"
UNKNOWN_TYPES = "() => app.graph.nodes.map(n => n.type).filter(type => !(type in LiteGraph.registered_node_types))"
BOXES = "() => app.graph.nodes.map(n => [n.title, ...n.getBounding()])"
PROMPT = """async () => Object.fromEntries(
    Object.entries((await app.graphToPrompt()).output).map(([id, { _meta, ...node }]) => [id, node]))"""
SAVED = "() => JSON.parse(JSON.stringify(app.graph.serialize()))"
# For runs whose pictures need no quality.
FEW_STEPS = """(steps) => { const nodes = app.graph.nodes.flatMap(n => [n, ...(n.subgraph?.nodes ?? [])])
    for (const widget of nodes.flatMap(n => n.widgets ?? []))
    if (['steps', 'preview_every'].includes(widget.name)) widget.value = steps }"""
# The page draws in the frames that follow a change.
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
TITLE = """(type) => { const node = app.graph.nodes.find(n => n.type === type); app.canvas.deselectAll()
    app.canvas.ds.scale = 1; app.canvas.centerOnNode(node)
    return app.canvasPosToClientPos([node.pos[0] + 60, node.pos[1] - 15]) }"""
# Both: the template before may have as many nodes, and the id is there before the nodes are.
OPENED = "([id, count]) => app.graph.id === id && app.graph.nodes.length === count"
SELECTED = "(type) => Object.values(app.canvas.selected_nodes).map(n => n.type).join() === type"
WIDGETS = """(saved) => Object.fromEntries(app.graph.nodes.filter(n => n.type.startsWith('Respo')).map(n => [n.id,
    n.widgets.filter(w => !saved || w.serialize !== false).map(w => [w.name, w.value ?? null])]))"""


@contextmanager
def hide_pack(page: Any, pack: str) -> Iterator[None]:
    """Answer the page as a host without the pack would: no scripts, nodes, names or templates of it."""

    def without(keep: Any) -> Any:
        def answer(route: Any) -> None:
            reply = route.fetch()
            route.fulfill(response=reply, json=keep(reply.json()))

        return answer

    hidden = {
        "**/extensions": lambda paths: [path for path in paths if f"/{pack}/" not in path],
        "**/object_info": lambda nodes: {kind: node for kind, node in nodes.items() if not kind.startswith("Respo")},
        "**/i18n": lambda _: {},
        "**/workflow_templates": lambda packs: {name: own for name, own in packs.items() if name != pack},
    }
    for pattern, keep in hidden.items():
        page.route(pattern, without(keep))
    try:
        yield
    finally:
        page.unroute_all(behavior="wait")


def open_template(page: Any, pack: str, name: str, server: ComfyServer) -> None:
    """Click a template of the pack; all its nodes are known, none covers another, and none lost a value."""
    browse_templates(page)
    page.get_by_text(pack, exact=True).first.click()
    page.get_by_text(name, exact=True).first.click()
    template = read_template(name)
    page.wait_for_function(OPENED, arg=[template["id"], len(template["nodes"])])
    assert page.evaluate(UNKNOWN_TYPES) == []
    assert overlapping(page.evaluate(BOXES)) == []
    assert page.evaluate(PROMPT) == to_api(template, server.object_info())


def select(page: Any, kind: str) -> None:
    """Click the title of the first node of a type."""
    place = page.evaluate(TITLE, kind)
    page.wait_for_timeout(300)  # the page moves at its next frame
    page.mouse.click(*place)
    page.wait_for_function(SELECTED, arg=kind)


def take_picture(page: Any, name: str) -> None:
    page.evaluate(DRAWN)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def overlapping(boxes: list[list]) -> list[tuple[str, str]]:
    """Titles of nodes that cover each other. A box is [title, x, y, width, height]."""
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    return [
        (a[0], b[0])
        for a, b in pairs
        if a[1] < b[1] + b[3] and b[1] < a[1] + a[3] and a[2] < b[2] + b[4] and b[2] < a[2] + a[4]
    ]
