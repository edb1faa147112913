"""A person opens each template in a real browser, presses Run and sees pictures; what they set is kept by a save.

No other test runs whole templates: what one has to give beyond pictures is checked in template_checks.py.
"""

from __future__ import annotations

import pytest
from browser.page import FEW_STEPS, PROMPT, SAVED, WIDGETS, open_template, take_picture
from browser.template_checks import CHECKS, STEPS, TemplateRun
from small_preset import SMALL_PRESET

from benchmarks.api_format import widget_names
from benchmarks.comfy_page import LOAD, forget, picture_counts, run, visit
from benchmarks.templates import read_template, template_names
from setup_steps.host import linked_name

NAMES = template_names()
SHOW_PICTURES = {"PreviewImage", "SaveImage", "RespoSaveImages", "RespoFairnessReport", "RespoSafetyReport"}
FEW = 2  # steps, where no check needs more: whether pictures are good is tested elsewhere
TEXTS = """() => Object.fromEntries(app.graph.nodes.map(n => [n.id, n.widgets?.find(w => w.name === 'respo_text')])
    .filter(([, widget]) => widget).map(([id, widget]) => [id, widget.value]))"""
TRAIN_ON = """(preset) => { for (const node of app.graph.nodes.filter(n => n.type === 'RespoTrainModule'))
    node.widgets.find(widget => widget.name === 'custom_preset').value = preset }"""
BARS = "() => document.querySelectorAll('.respo-bars > div > div').length"
# What the server would still take does not matter here: nothing of this is queued.
CHANGE = """() => { for (const node of app.graph.nodes.filter(n => n.type.startsWith('Respo')))
    for (const widget of node.widgets) {
        const { value, options } = widget
        if (widget.serialize === false) continue
        if (typeof value === 'boolean') widget.value = !value
        else if (typeof value === 'number') widget.value = value === options.max ? options.min : options.max
        else if (Array.isArray(options?.values)) widget.value = options.values.find(one => one !== value) ?? value
        else if (typeof value === 'string') widget.value = `${value} + more, "quoted" \u2713`
    } }"""


def of_type(name: str, *kinds: str) -> list[str]:
    return [str(node["id"]) for node in read_template(name)["nodes"] if node["type"] in kinds]


def test_every_template_has_a_check():
    assert set(CHECKS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_the_page(opened, comfy_path, server, bare_errors, name):
    page, errors = opened
    errors.clear()  # each template has its own
    open_template(page, linked_name(comfy_path), name, server)
    forget(server)
    steps = STEPS.get(name, FEW)
    page.evaluate(FEW_STEPS, steps)
    # The template's own preset has four previews, which take longer than all other templates together;
    # tests/host/test_pack_in_server.py trains with it, as a slow test.
    page.evaluate(TRAIN_ON, SMALL_PRESET)
    sent = page.evaluate(PROMPT)
    entry = run(page, server)  # waits for the pictures
    assert set(of_type(name, *SHOW_PICTURES)) <= picture_counts(entry).keys()
    texts = page.evaluate(TEXTS)
    said = {node: "\n".join(output["text"]) for node, output in entry["outputs"].items() if "text" in output}
    assert {node: text for node, text in texts.items() if text} == said
    for node in of_type(name, "RespoLoadModule"):
        assert "\nMade on emoji_world" in texts[node]
        assert texts[node].split(":")[0] in ("gender", "skin tone", "no weapons")  # and then its concepts
    for node in of_type(name, "RespoTrainModule"):
        assert texts[node].startswith(f"{steps} steps")
    CHECKS[name](TemplateRun(server, read_template(name), sent, entry))
    take_picture(page, name)
    assert errors - bare_errors == set()


def test_widgets_survive_save_and_reload(page, server):
    """Every widget of every node of ours, changed; the page opened anew; what was saved loaded."""
    info, saved, expected = server.object_info(), {}, {}
    for name in NAMES:
        page.evaluate(LOAD, read_template(name))
        before = page.evaluate(WIDGETS, True)
        page.evaluate(CHANGE)
        expected[name] = page.evaluate(WIDGETS, True)
        unchanged = [node for node, values in before.items() if values and values == expected[name][node]]
        assert unchanged == [], name
        saved[name] = page.evaluate(SAVED)
        for node in saved[name]["nodes"]:  # what is not saved takes no place among what is
            if node["type"].startswith("Respo"):
                inputs = list(widget_names(info[node["type"]]))
                assert len(node.get("widgets_values", [])) == len(inputs), node["type"]
    visit(page, server)
    for name in NAMES:
        page.evaluate(LOAD, saved[name])
        assert page.evaluate(WIDGETS, True) == expected[name], name
        assert page.evaluate(TEXTS).keys() >= set(of_type(name, "RespoLoadModule", "RespoBalance", "RespoSafety")), name
        assert bool(of_type(name, "RespoBalance")) == bool(page.evaluate(BARS)), name
