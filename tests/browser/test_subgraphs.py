"""The blueprints in subgraphs/: found by the search, linked up, they draw what the single nodes draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from browser.page import PROMPT, SAVED, UNKNOWN_TYPES, take_picture

from benchmarks.comfy_page import COMMAND, LOAD, run
from benchmarks.templates import read_template

SAMPLING, COMPARING = "Balanced sampling (Respo)", "Before and after (Respo)"
KNOWN = "(name) => app.graph.nodes.some(n => n.title === name)"
TYPING = "() => document.activeElement.tagName === 'INPUT'"
NEWER = "() => 'ghostNodeId' in (app.canvas.state ?? {})"
FOLLOWS = "() => Boolean(app.canvas.state?.ghostNodeId)"
UNKNOWN_INSIDE = """() => app.graph.nodes.flatMap(n => n.subgraph?.nodes ?? []).map(n => n.type)
    .filter(type => !(type in LiteGraph.registered_node_types))"""
REBUILD = """([gone, values, links, places]) => {
    const find = name => app.graph.nodes.find(n => (n.title || n.type) === name)
    for (const kind of gone) for (const n of app.graph.nodes.filter(n => n.type === kind)) app.graph.remove(n)
    for (const [name, own] of Object.entries(values)) for (const [widget, value] of Object.entries(own))
        find(name).widgets.find(w => w.name === widget).value = value
    for (const [from, output, to, input] of links)
        find(from).connect(find(from).findOutputSlot(output), find(to), find(to).findInputSlot(input))
    for (const [name, [x, y]] of Object.entries(places)) find(name).pos = [x, y] }"""
DRAW = {"steps": 2, "cfg": 3.0, "sampler_name": "ddim"}
GIVEN = [
    ("Load Checkpoint", "MODEL", "model"),
    ("Prompt", "CONDITIONING", "positive"),
    ("Negative prompt", "CONDITIONING", "negative"),
    ("Size, and how many", "LATENT", "latent_image"),
    ("Seed", "INT", "seed"),
]
LINKS = [(node, output, name, input_) for name in (SAMPLING, COMPARING) for node, output, input_ in GIVEN] + [
    (SAMPLING, "model", COMPARING, "model_with_modules"),
    (SAMPLING, "labels", COMPARING, "labels"),
    (SAMPLING, "labels", "Counted: after", "labels"),
    (SAMPLING, "latent", "VAE Decode", "samples"),
    ("VAE Decode", "IMAGE", "After", "images"),
    ("Load Checkpoint", "VAE", COMPARING, "vae"),
    (COMPARING, "before", "Before", "images"),
    (COMPARING, "before", "Counted: before", "images"),
    (COMPARING, "after", "Counted: after", "images"),
]


def test_blueprints_draw_what_single_nodes_draw(page, server):
    """Of the template stays what is around: the one blueprint draws "After", the other what is counted."""
    page.evaluate(LOAD, template := few_and_quick())
    single = shown(page.evaluate(PROMPT))
    for name in (SAMPLING, COMPARING):
        page.evaluate(COMMAND, "Workspace.SearchBox.Toggle")
        page.wait_for_function(TYPING)
        page.keyboard.type(name)
        found = page.get_by_label(name, exact=True)  # of older pages: there Enter takes it from then on
        if page.evaluate(NEWER):
            found = page.get_by_role("option", name=name).first
        found.wait_for()
        page.keyboard.press("Enter")
        page.wait_for_function(KNOWN, arg=name)
        page.wait_for_timeout(500)
        if page.evaluate(FOLLOWS):  # newer pages let it follow the mouse until it is put down
            page.mouse.move(690, 810)
            page.mouse.click(700, 820)
            page.wait_for_timeout(500)
    assert len(page.evaluate("() => app.graph.nodes")) == len(template["nodes"]) + 2
    gone = ["KSampler", "RespoBalance", "RespoLoadModule"]
    values = {SAMPLING: {**DRAW, "distribution": "woman 1, man 1"}, COMPARING: DRAW}
    page.evaluate(REBUILD, [gone, values, LINKS, {SAMPLING: (740, 50), COMPARING: (380, 700)}])
    assert page.evaluate(UNKNOWN_INSIDE) == []
    prompt = page.evaluate(PROMPT)
    assert shown(prompt) == single
    page.evaluate(LOAD, page.evaluate(SAVED))
    assert page.evaluate(UNKNOWN_TYPES) == page.evaluate(UNKNOWN_INSIDE) == []
    assert page.evaluate(PROMPT) == prompt
    outputs = run(page, server)["outputs"]
    take_picture(page, "blueprints")
    (compare,) = (key for key, node in prompt.items() if node["class_type"] == "RespoCompare")
    assert outputs[compare]["text"][0].startswith("2 pairs: changed by")


def few_and_quick() -> dict[str, Any]:
    """Two pictures in two steps."""
    template = read_template("try_it_now")
    for node in template["nodes"]:
        if node["type"] == "KSampler":
            node["widgets_values"][2] = DRAW["steps"]
        if node["type"] == "EmptyLatentImage":
            node["widgets_values"][2] = 2
    return template


def shown(prompt: Mapping[str, Any]) -> list[Any]:
    """What leads to each picture and report on the page, without the nodes' numbers."""
    kinds = ("PreviewImage", "RespoFairnessReport")
    trees = [tree(prompt, key) for key, node in prompt.items() if node["class_type"] in kinds]
    return sorted(trees, key=str)


def tree(prompt: Mapping[str, Any], key: str) -> Any:
    """A node with everything that it is made from; Balance's count is left out: a linked latent decides."""
    node = prompt[key]
    inputs = {
        name: (tree(prompt, value[0]), value[1]) if isinstance(value, list) else value
        for name, value in node["inputs"].items()
        if (node["class_type"], name) != ("RespoBalance", "count")
    }
    return node["class_type"], sorted(inputs.items())
