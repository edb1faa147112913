"""Bypass (Ctrl+B) and mute (Ctrl+M) by keyboard: what a Respo node does is gone, and nothing else."""

from __future__ import annotations

import pytest
from browser.page import FEW_STEPS, PROMPT, select

from benchmarks.comfy_page import LOAD, press_run, run
from benchmarks.templates import read_template

ACTIVE, MUTED, BYPASSED = 0, 2, 4
MODE = "(type) => app.graph.nodes.find(n => n.type === type).mode"
TWO_PICTURES = """() => { for (const { widgets } of app.graph.nodes) for (const widget of widgets ?? [])
    if (['batch_size', 'count'].includes(widget.name)) widget.value = 2 }"""
NODES = {"RespoBalance": "gender_and_skin_tone", "RespoApplyModule": "background_recorded"}
DRAWN = {"RespoBalance": ("Before", "After"), "RespoApplyModule": ("Before", "Module alone")}  # without and with it


def node_with_title(workflow, title):
    return next(str(node["id"]) for node in workflow["nodes"] if node.get("title") == title)


@pytest.mark.parametrize("kind", NODES)
def test_bypassed_the_model_is_the_bare_one(page, server, kind):
    workflow = read_template(NODES[kind])
    page.evaluate(LOAD, workflow)
    page.evaluate(FEW_STEPS, 2)
    page.evaluate(TWO_PICTURES)
    without, with_it = (node_with_title(workflow, title) for title in DRAWN[kind])

    def pictures():
        entry = run(page, server)
        return [[picture.tobytes() for picture in server.images(entry, node)] for node in (without, with_it)]

    before, after = pictures()
    assert all(a != b for a, b in zip(before, after, strict=True))
    select(page, kind)
    page.keyboard.press("Control+b")
    assert page.evaluate(MODE, kind) == BYPASSED
    assert kind not in [node["class_type"] for node in page.evaluate(PROMPT).values()]
    assert pictures() == [before, before]
    select(page, kind)
    page.keyboard.press("Control+b")
    assert page.evaluate(MODE, kind) == ACTIVE
    assert pictures() == [before, after]


def test_muted_what_hangs_on_it_is_not_drawn(page, server):
    """ComfyUI leaves a muted node out with its links: the rows that need no Balance are drawn, the others are not."""
    workflow = read_template("gender_and_skin_tone")
    page.evaluate(LOAD, workflow)
    page.evaluate(FEW_STEPS, 2)
    page.evaluate(TWO_PICTURES)
    before, after = (node_with_title(workflow, title) for title in DRAWN["RespoBalance"])
    select(page, "RespoBalance")
    page.keyboard.press("Control+m")
    assert page.evaluate(MODE, "RespoBalance") == MUTED
    answer = press_run(page)
    (refused,) = answer["node_errors"].values()
    assert refused["class_type"] == "KSampler"
    assert [error["extra_info"]["input_name"] for error in refused["errors"]] == ["model"]
    outputs = server.wait(answer["prompt_id"])["outputs"]
    assert len(outputs[before]["images"]) == 2
    assert after not in outputs
    page.keyboard.press("Control+m")
    assert page.evaluate(MODE, "RespoBalance") == ACTIVE
    run(page, server)  # waits for both rows
