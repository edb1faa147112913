"""The blueprints in subgraphs/: a real server lists and serves them, and has every node inside."""

from __future__ import annotations

import json
from pathlib import Path

import requests

from setup_steps.host import linked_name

FOLDER = Path(__file__).resolve().parents[2] / "subgraphs"


def test_server_gives_blueprints_whose_nodes_it_has(server, comfy_path):
    listed = requests.get(f"{server.url}/global_subgraphs", timeout=60).json()
    pack = f"custom_nodes.{linked_name(comfy_path)}"
    own = {entry["name"]: key for key, entry in listed.items() if entry["info"]["node_pack"] == pack}
    assert sorted(own) == sorted(path.stem for path in FOLDER.glob("*.json")) != []
    known = server.object_info().keys()
    for name, key in own.items():
        text = requests.get(f"{server.url}/global_subgraphs/{key}", timeout=60).json()["data"]
        assert text.isascii(), "the host reads it in the system's own encoding"
        blueprint = json.loads(text)
        (subgraph,) = blueprint["definitions"]["subgraphs"]
        (node,) = blueprint["nodes"]
        assert (node["type"], node["title"], subgraph["name"]) == (subgraph["id"], name, name)
        assert {inner["type"] for inner in subgraph["nodes"]} <= known
        assert blueprint["extra"]["BlueprintDescription"]
