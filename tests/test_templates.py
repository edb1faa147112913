"""What newer pages read of a template: its subgraphs, the form that App mode shows, and which models to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.templates import read_template, template_names

SHIPPED = {path.name for path in (Path(__file__).resolve().parents[1] / "emoji_world").rglob("*.safetensors")}
MODEL_FILES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
APP = "balance_a_batch"


def nodes_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Its nodes, and those inside its subgraphs."""
    inner = workflow.get("definitions", {}).get("subgraphs", [])
    return [*workflow["nodes"], *(node for own in inner for node in own["nodes"])]


@pytest.mark.parametrize("name", template_names())
def test_whatever_does_not_ship_says_where_it_comes_from(name):
    """The page offers to download what a node's property `models` names. Ours need nothing: Emoji World ships."""
    for node in nodes_of(read_template(name)):
        named = {value for value in node.get("widgets_values", []) if str(value).endswith(MODEL_FILES)}
        known = {model["name"] for model in node.get("properties", {}).get("models", []) if model["url"]}
        assert named - SHIPPED <= known, node["type"]


def test_two_use_a_subgraph():
    used = []
    for name in template_names():
        workflow = read_template(name)
        inside = {own["id"] for own in workflow.get("definitions", {}).get("subgraphs", [])}
        times = sum(node["type"] in inside for node in workflow["nodes"])
        assert times > len(inside) or not inside, name  # once alone it would only hide nodes
        numbers = [node["id"] for node in nodes_of(workflow)]
        assert len(set(numbers)) == len(numbers), name  # newer pages would give out others
        used += [name] if inside else []
    assert used == ["compose_modules", "only_where_the_subject_is"]


def test_one_works_as_an_app():
    """Inputs are [node, widget], outputs are nodes; it opens as a graph, with the note to read."""
    workflow = read_template(APP)
    nodes = {str(node["id"]): node for node in workflow["nodes"]}
    data = workflow["extra"]["linearData"]
    assert workflow["extra"]["linearMode"] is False
    assert [nodes[output]["type"] for output in data["outputs"]] == ["PreviewImage"] * 2
    for node, widget in data["inputs"]:
        (own,) = (one for one in nodes[node]["inputs"] if one["name"] == widget)
        assert own["widget"]["name"] == widget
        assert own["link"] is None  # a linked one could not be set
    assert [nodes[node].get("title", nodes[node]["type"]) for node, _ in data["inputs"]] == [
        "Prompt",
        "RespoBalance",
        "How many pictures",
        "Seed",
    ]
