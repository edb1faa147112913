"""Safety's switches belong to their concepts by name, whatever other files there are when a workflow is opened."""

from __future__ import annotations

from browser.page import PROMPT

from benchmarks.comfy_page import LOAD
from benchmarks.templates import read_template

SWITCH, GONE = "no weapons (emoji_world_no_weapons.safetensors)", "no gore (mine/gore.safetensors)"
SAVED = "() => app.graph.serialize().nodes.find(n => n.type === 'RespoSafety').properties.respo_switches"


def safety_of(nodes):
    return next(node for node in nodes if "RespoSafety" in (node.get("type"), node.get("class_type")))


def test_switches_are_kept_by_name(page):
    # Saved where another concept's switch came first, and was on: by position this one's would be on.
    workflow = read_template("safety_switchboard")
    node = safety_of(workflow["nodes"])
    node["widgets_values"] = [*node["widgets_values"][:4], True, False]
    node["properties"]["respo_switches"] = {GONE: True, SWITCH: False}
    page.evaluate(LOAD, workflow)
    sent = safety_of(page.evaluate(PROMPT).values())["inputs"]
    assert sent[SWITCH] is False
    assert sent[GONE] is True  # so that the server can say what is missing
    assert page.evaluate(SAVED) == {GONE: True, SWITCH: False}
    node["properties"]["respo_switches"] = {GONE: False, SWITCH: True}
    page.evaluate(LOAD, workflow)
    sent = safety_of(page.evaluate(PROMPT).values())["inputs"]
    assert sent[SWITCH] is True
    assert GONE not in sent
