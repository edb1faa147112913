"""Templates in the page's Nodes 2.0, which draws nodes as HTML, some of them taller than in the classic page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser.page import overlapping, take_picture

from benchmarks.comfy_page import FIT, LOAD, change_settings, visit
from benchmarks.comfy_server import ComfyServer
from benchmarks.templates import read_template, template_names

SETTING = "Comfy.VueNodes.Enabled"
THERE = "(count) => document.querySelectorAll('[data-node-id]').length >= count"
# As it stands on the page, in the graph's pixels.
BOXES = """() => { const { scale } = app.canvas.ds
    return [...document.querySelectorAll('[data-node-id]')].map(element => {
        const { x, y, width, height } = element.getBoundingClientRect()
        const { title } = app.graph.getNodeById(element.dataset.nodeId) ?? {}
        return title && [title, ...[x, y, width, height].map(pixels => pixels / scale)] }).filter(Boolean) }"""
SHOWN = """(type) => { const node = app.graph.nodes.find(n => n.type === type)
    const element = document.querySelector(`[data-node-id="${node.id}"]`)
    return [element.innerText.includes('only open prompts'), Boolean(node.showAdvanced)] }"""
ORDER = (
    "(type) => app.graph.nodes.find(n => n.type === type).widgets.map(w => w.name).filter(n => n.startsWith('respo_'))"
)


@pytest.fixture
def nodes_2(page, server) -> Iterator[Any]:
    """The page in Nodes 2.0."""
    change_settings(server, {SETTING: True})
    visit(page, server)
    yield page
    change_settings(server, {SETTING: False})
    visit(page, server)


def load(page: Any, workflow: dict[str, Any]) -> None:
    # The page of 0.3.75 leaves a node where one of the same number stood before: so nothing stands there.
    page.evaluate("() => app.graph.clear()")
    page.wait_for_function("() => document.querySelectorAll('[data-node-id]').length === 0")
    page.evaluate(LOAD, workflow)
    page.evaluate(FIT)
    page.wait_for_function(THERE, arg=len(workflow["nodes"]) - 2)  # those out of sight have no element
    page.wait_for_timeout(1000)  # the page measures the nodes, and draws them again


def loaded_boxes(page: Any, server: ComfyServer, workflow: dict[str, Any]) -> list[Any]:
    """Load a workflow and return its nodes' boxes; where one covers another, do so again on a new page.

    On a busy machine nodes may overlap for longer than ten seconds; why is not known. What the workflow itself places
    wrongly stays so on every page.
    """
    load(page, workflow)
    boxes: list[Any] = page.evaluate(BOXES)
    for _ in range(3):
        if overlapping(boxes):
            visit(page, server)
            load(page, workflow)
            boxes = page.evaluate(BOXES)
    return boxes


def test_no_node_covers_another(nodes_2, server):
    for name in template_names():
        workflow = read_template(name)
        boxes = loaded_boxes(nodes_2, server, workflow)
        take_picture(nodes_2, f"nodes_2_{name}")
        assert len(boxes) >= len(workflow["nodes"]) - 2
        assert overlapping(boxes) == [], name


def test_advanced_inputs_are_open_where_one_is_changed(nodes_2):
    """Hidden otherwise, on pages that know them: none acts unseen."""
    workflow = read_template("balance_a_batch")
    load(nodes_2, workflow)
    knows = not nodes_2.evaluate(SHOWN, "RespoBalance")[0]
    assert nodes_2.evaluate(SHOWN, "RespoBalance") == [not knows, False]
    (balance,) = (node for node in workflow["nodes"] if node["type"] == "RespoBalance")
    balance["widgets_values"][5] = 0.8  # fidelity
    load(nodes_2, workflow)
    assert nodes_2.evaluate(SHOWN, "RespoBalance") == [True, True]


def test_widgets_of_two_scripts_keep_their_order(page):
    page.evaluate(LOAD, read_template("balance_a_batch"))
    assert page.evaluate(ORDER, "RespoBalance") == ["respo_bars", "respo_text"]
