"""What people send each other: a picture that holds its workflow, and a workflow whose module is not there yet."""

from __future__ import annotations

import base64
import re
import shutil

import pytest
from browser.page import FEW_STEPS, PROMPT, ROOT, take_picture

from benchmarks.comfy_page import LOAD, press_run, run
from benchmarks.templates import read_template

SET = """([type, name, value]) => { for (const node of app.graph.nodes.filter(n => n.type === type))
    node.widgets.find(widget => widget.name === name).value = value }"""
DROP = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0))
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([bytes], name, { type: 'image/png' }))
    const at = { clientX: 700, clientY: 450, bubbles: true, cancelable: true, dataTransfer }
    for (const kind of ['dragenter', 'dragover', 'drop']) app.canvasEl.dispatchEvent(new DragEvent(kind, at)) }"""
TEXT = """() => app.graph.nodes.find(n => n.type === 'RespoLoadModule')
    .widgets.find(widget => widget.name === 'respo_text').value"""
MISSING = "lost/age.safetensors"


def test_picture_brings_its_workflow(page, server):
    """Saved by Save Labelled Images in a run from the page, dropped on an empty canvas."""
    workflow = read_template("compare_before_and_after")
    page.evaluate(LOAD, workflow)
    page.evaluate(FEW_STEPS, 2)
    page.evaluate(SET, ["RespoBalance", "strength", 1.5])
    page.evaluate(SET, ["RespoBalance", "distribution", "woman 3, man 1"])
    queued = page.evaluate(PROMPT)
    entry = run(page, server)
    (saver,) = (key for key, node in queued.items() if node["class_type"] == "RespoSaveImages")
    picture = server.files(entry, saver)[0]
    page.evaluate("() => app.graph.clear()")
    page.evaluate(DROP, ["picture.png", base64.b64encode(picture).decode()])
    page.wait_for_function(f"() => app.graph.nodes.length === {len(workflow['nodes'])}")
    assert page.evaluate(PROMPT) == queued


@pytest.fixture
def place(server):
    """Where the missing module belongs."""
    path = server.model_folders["respo"] / MISSING
    yield path
    shutil.rmtree(path.parent, ignore_errors=True)


def lacks_its_module(page, template):
    """Load a template with few steps and the name of a file that is not there; press Run."""
    page.evaluate(LOAD, read_template(template))
    page.evaluate(FEW_STEPS, 2)
    page.evaluate(SET, ["RespoLoadModule", "module", MISSING])
    return press_run(page)


def explains(text):
    """Whether a text says what is missing, where it has to be put, and what else would do."""
    said = re.sub(r"\s+", " ", text)
    what = f"The module '{MISSING}' is not on this computer. Get the file from where you got the workflow, put it into"
    place = r"models.respo.lost and press R in ComfyUI; or choose one that is there: .*emoji_world_gender"
    return what in said and re.search(place, said) is not None


def read_refusal(page):
    """Wait until the node says why nothing ran; read and close the dialog of pages that open one, too."""
    page.wait_for_function(f"() => ({TEXT})().includes('{MISSING}')")
    page.wait_for_timeout(1000)  # a dialog comes as late as the node's text
    assert explains(page.evaluate(TEXT))
    dialog = page.get_by_role("dialog").filter(has_text=MISSING)
    take_picture(page, "missing_module")
    if dialog.count():
        assert "RespoLoadModule" in dialog.inner_text()
        assert explains(dialog.inner_text())
        page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")


def test_missing_module_is_explained(page, server, place):
    """Where nothing can run; and what it says to do helps."""
    assert "error" in lacks_its_module(page, "gate_by_the_prompt")
    read_refusal(page)
    place.parent.mkdir()
    shutil.copy(ROOT / "emoji_world" / "modules" / "emoji_world_gender.safetensors", place)
    page.mouse.click(720, 880)  # the canvas
    with page.expect_response(lambda reply: reply.url.endswith("/object_info")):
        page.keyboard.press("r")
    run(page, server)
    assert page.evaluate(TEXT).startswith("gender: woman, man")


def test_missing_module_is_explained_where_a_row_can_run(page, server):
    """Then ComfyUI shows no dialog: the node says it."""
    answer = lacks_its_module(page, "balance_a_batch")
    assert "RespoLoadModule" in [node["class_type"] for node in answer["node_errors"].values()]
    page.wait_for_function(f"() => ({TEXT})() !== ''")
    assert explains(page.evaluate(TEXT))
    server.wait(answer["prompt_id"])
    take_picture(page, "missing_module_on_its_node")


def test_the_explanation_leaves_with_its_reason(page, server):
    """Even when ComfyUI has kept what the node computed before, and does not run it again."""
    page.evaluate(LOAD, read_template("gate_by_the_prompt"))
    page.evaluate(FEW_STEPS, 2)
    run(page, server)
    before = page.evaluate(TEXT)
    page.evaluate(SET, ["RespoLoadModule", "module", MISSING])
    assert "error" in press_run(page)
    read_refusal(page)
    page.evaluate(SET, ["RespoLoadModule", "module", "emoji_world_gender.safetensors"])
    run(page, server)
    assert page.evaluate(TEXT) == before
