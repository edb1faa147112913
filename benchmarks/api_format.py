"""ComfyUI's two formats of a workflow: what the page saves, and what its server runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Workflow = Mapping[str, Any]  # as in example_workflows/*.json
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOTES = {"Note", "MarkdownNote"}
ACTIVE = 0  # a node's mode; 2 is muted, 4 bypassed


def to_api(workflow: Workflow, object_info: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a saved workflow to API format, as the page does when it queues.

    Args:
        workflow: flat, without subgraphs.
        object_info: what the server tells of its nodes.

    Raises:
        ValueError: a node that the server does not have, or one that is muted or bypassed.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        if node["type"] not in object_info:
            raise ValueError(f"the server has no node {node['type']!r}: is the pack that brings it installed?")
        if node.get("mode", ACTIVE) != ACTIVE:
            raise ValueError(f"expected active nodes only, found {node['type']} {node['id']} in mode {node['mode']}")
        inputs = dict(zip(widget_names(object_info[node["type"]]), node.get("widgets_values", []), strict=False))
        inputs.pop("", None)
        linked = {i["name"]: links[i["link"]] for i in node.get("inputs", []) if i.get("link") is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": {**inputs, **linked}}
    return prompt


def widget_names(info: Mapping[str, Any]) -> Iterator[str]:
    """Yield the input's name for each entry of a node's `widgets_values`; "" for what only the page uses."""
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    for name, (kind, *rest) in inputs.items():
        options = rest[0] if rest else {}
        if options.get("forceInput") or not (isinstance(kind, list) or kind in WIDGET_TYPES):
            continue
        yield name
        if options.get("control_after_generate", name in ("seed", "noise_seed")):
            yield ""
