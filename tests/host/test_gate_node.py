"""The Gate in the host: its outputs and its text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.api_format import to_api
from benchmarks.comfy_server import PromptFailed
from benchmarks.templates import read_template

ROOT = Path(__file__).resolve().parents[2]


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


def test_errors_are_shown_on_the_node(server: Any) -> None:
    prompt = to_api(read_template("gate_by_the_prompt"), server.object_info())
    gate = next(key for key, node in prompt.items() if node["class_type"] == "RespoGate")
    prompt[gate]["inputs"]["words"] = "woman she"
    with pytest.raises(PromptFailed) as caught:
        server.run(prompt)
    assert "expected lines like" in str(caught.value.node_errors[gate])
