"""The Gate in the host: its outputs, its text, and the template in which it switches Balance on and off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.api_format import to_api
from benchmarks.comfy_server import PromptFailed
from benchmarks.templates import read_template

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = read_template("gate_by_the_prompt")


@pytest.fixture
def gate(run_node: Any, module: Any) -> Any:
    """gate(prompt, …) -> (enabled, reason) of the Gate with the test's module, whose file holds no words."""

    def run(prompt: str, module: Any = module, **given: Any) -> tuple[bool, str]:
        output = run_node("RespoGate", module=module, prompt=prompt, **given)
        enabled, reason = output.result
        assert output.ui.as_dict() == {"text": (reason,)}
        return enabled, reason

    return run


def with_words(module: Any, **words: list[str]) -> Any:
    return replace(module, attribute=replace(module.attribute, words=words))


def test_says_whether_and_why(gate: Any) -> None:
    assert gate("a photo of a doctor") == (True, "Open: 'doctor', and nothing says woman or man.")
    assert gate("a woman doctor") == (False, "Closed: 'woman' already says woman.")
    assert gate("a bowl of fruit") == (False, "Closed: nobody in this prompt.")


def test_words_come_from_the_file_and_the_widget(gate: Any, module: Any) -> None:
    prompt = "a doctor and her dog"
    assert gate(prompt)[0]
    assert gate(prompt, with_words(module, woman=["her"])) == (False, "Closed: 'her' already says woman.")
    assert gate(prompt, words="woman: she, her") == (False, "Closed: 'her' already says woman.")
    assert gate(prompt, with_words(module, woman=["her"]), words="woman: she")[0]


def test_safety_is_never_switched_off(gate: Any, module: Any) -> None:
    safety = replace(module, attribute=replace(module.attribute, purpose="safety"))
    for prompt in ("a woman doctor", "an empty street", "a doctor"):
        assert gate(prompt, safety)[0]


def test_shipped_modules_carry_words(gate: Any, pack: Any) -> None:
    for name, prompt in (("gender", "a doctor and her dog"), ("skin_tone", "a dark-skinned doctor")):
        path = ROOT / "emoji_world" / "modules" / f"emoji_world_{name}.safetensors"
        loaded = pack.root.nodes.shared.wire.LoadedModule(
            pack.core.files.checkpoint.load_attribute(path), path.name, "0" * 64
        )
        assert gate("a photo of a doctor", loaded)[0]
        assert "already says" in gate(prompt, loaded)[1]


def test_bad_input_is_refused(gate: Any, pack: Any) -> None:
    for given in ({"prompt": "a" * 10_000_000}, {"prompt": 7}, {"prompt": "a doctor", "words": "no colon"}):
        with pytest.raises(pack.core.errors.RespoError, match="expected"):
            gate(**given)


@pytest.fixture(scope="module")
def template_run(server: Any) -> Any:
    """(prompt, its entry in the server's history): the template as it is."""
    prompt = to_api(TEMPLATE, server.object_info())
    return prompt, server.run(prompt)


def text_of(template_run: Any, kind: str) -> list[str]:
    """What the nodes of a kind show, from top to bottom."""
    prompt, entry = template_run
    ids = sorted((key for key, node in prompt.items() if node["class_type"] == kind), key=int)
    return [entry["outputs"][key]["text"][0] for key in ids]


def test_template_opens_for_one_prompt_and_closes_for_the_other(template_run: Any) -> None:
    opened, closed = text_of(template_run, "RespoGate")
    assert opened == "Open: 'doctor', and nothing says woman, man or neither."
    assert closed == "Closed: 'woman' already says woman."
    opened, closed = text_of(template_run, "RespoBalance")
    assert opened.startswith("4 pictures: woman 2, man 2")
    assert closed.startswith("Off")


def test_closed_gives_the_unpatched_pictures(server: Any, template_run: Any) -> None:
    prompt, entry = template_run
    titles = {node.get("title"): str(node["id"]) for node in TEMPLATE["nodes"]}
    (loader,) = (key for key, node in prompt.items() if node["class_type"] == "CheckpointLoaderSimple")
    plain = json.loads(json.dumps(prompt))
    for node in plain.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["model"] = [loader, 0]
    bare = server.run(plain)
    pictures = {
        (title, run is bare): [picture.tobytes() for picture in server.images(run, titles[title])]
        for title in ("Open", "Closed")
        for run in (entry, bare)
    }
    assert len(pictures["Closed", False]) == 4
    assert pictures["Closed", False] == pictures["Closed", True]
    assert pictures["Open", False] != pictures["Open", True]


def test_errors_are_shown_on_the_node(server: Any, template_run: Any) -> None:
    prompt = json.loads(json.dumps(template_run[0]))
    gate = next(key for key, node in prompt.items() if node["class_type"] == "RespoGate")
    prompt[gate]["inputs"]["words"] = "woman she"
    with pytest.raises(PromptFailed) as caught:
        server.run(prompt)
    assert "expected lines like" in str(caught.value.node_errors[gate])
