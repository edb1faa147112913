from __future__ import annotations

import copy
from typing import Any

import pytest

from respo_train.core.counting.workflow_key import named_files, prompt_texts, workflow_key

OWN = frozenset(("running_total",))
PROMPT: dict[str, Any] = {
    "1": {"class_type": "Loader", "inputs": {"name": "a.safetensors"}, "_meta": {"title": "x"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a doctor", "clip": ["1", 1]}},
    "3": {"class_type": "PrimitiveInt", "inputs": {"value": 7}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"batch_size": 8, "width": 64}},
    "5": {
        "class_type": "KSampler",
        "inputs": {"seed": ["3", 0], "steps": 9, "model": ["1", 0], "positive": ["2", 0], "latent_image": ["4", 0]},
    },
    "6": {"class_type": "Report", "inputs": {"images": ["5", 0], "attribute": "gender", "running_total": "on"}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    "8": {"class_type": "Report", "inputs": {"images": ["5", 0], "attribute": "gender", "running_total": "on"}},
}


def key(prompt: Any = PROMPT, node: str = "6", **changes: Any) -> str:
    """The key with inputs changed: n5_steps=3 is the input "steps" of node 5."""
    changed = copy.deepcopy(prompt)
    for name, value in changes.items():
        number, given = name[1:].split("_", 1)
        changed[number]["inputs"][given] = value
    return workflow_key(changed, node, OWN)


@pytest.mark.parametrize(
    "change",
    [
        {"n3_value": 8},
        {"n4_batch_size": 1},
        {"n5_seed": 5},
        {"n5_noise_seed": 5},
        {"n6_running_total": "off"},
        {"n7_filename_prefix": "y"},
        {"n8_attribute": "skin"},
    ],
    ids=str,
)
def test_runs_that_belong_together(change: dict[str, Any]) -> None:
    assert key(**change) == key()


@pytest.mark.parametrize(
    "change",
    [
        {"n2_text": "a nurse"},
        {"n1_name": "b.safetensors"},
        {"n4_width": 128},
        {"n5_steps": 10},
        {"n6_attribute": "skin"},
        {"n5_positive": ["1", 0]},
        {"n5_model": ["1", 1]},
    ],
    ids=str,
)
def test_runs_that_do_not(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_every_report_has_a_total_of_its_own() -> None:
    assert key(node="6") != key(node="8")
    assert workflow_key(PROMPT, "6", OWN, "gender") != workflow_key(PROMPT, "6", OWN, "skin")


def test_titles_and_order_do_not_matter() -> None:
    other = {name: {**node, "_meta": {"title": "y"}, "is_changed": [3]} for name, node in reversed(PROMPT.items())}
    assert key(other) == key()


@pytest.mark.parametrize(
    "prompt",
    [
        None,
        {},
        {"6": None},
        {"6": {}},
        {"6": {"inputs": 3}},
        {"6": {"inputs": {"images": ["6", 0], "x": [[], 0], "y": ["9", 0]}}},
        {"other": {"class_type": "X", "inputs": {"a": float("nan")}}},
        {str(n): {"class_type": "X", "inputs": {"a": [str(n + 1), 0]}} for n in range(5000)},
    ],
    ids=["none", "empty", "no node", "no inputs", "number", "circle", "not there", "long chain"],
)
def test_any_prompt_has_a_key(prompt: Any) -> None:
    assert len(workflow_key(prompt, "6", OWN)) == 16
    assert prompt_texts(prompt, "6", OWN) == []


def test_texts_for_people() -> None:
    assert prompt_texts(PROMPT, "6", OWN) == ["a doctor"]
    assert prompt_texts(PROMPT, "1", OWN) == []


def test_files_that_are_named_upstream() -> None:
    safety = {
        "class_type": "Safety",
        "inputs": {
            "model": ["1", 0],
            "no x (b.safetensors)": True,
            "y (c.safetensors)": False,
            "z (e.safetensors)": ["1", 1],
        },
    }
    changed = copy.deepcopy(PROMPT)
    changed["9"], changed["5"]["inputs"]["model"] = safety, ["9", 0]
    changed["7"]["inputs"]["filename_prefix"] = "d.safetensors"
    assert named_files(changed, "6", ".safetensors") == ["a.safetensors", "b.safetensors", "e.safetensors"]
    assert named_files(None, "6", ".safetensors") == []
