"""ComfyUI's two formats of a workflow: what the page saves, and what its server runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Workflow = Mapping[str, Any]  # as in example_workflows/*.json
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOTES = {"Note", "MarkdownNote"}
INPUTS = -10  # the node that stands for a subgraph's inputs inside of it
ACTIVE = 0  # a node's mode; 2 is muted, 4 bypassed


def to_api(workflow: Workflow, object_info: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a saved workflow to API format, as the page does when it queues.

    Args:
        workflow: subgraphs may not hold subgraphs.
        object_info: what the server tells of its nodes.

    Raises:
        ValueError: a node that the server does not have, or one that is muted or bypassed.
    """
    inside = {own["id"]: own for own in workflow.get("definitions", {}).get("subgraphs", ())}
    links = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    holders = {node["id"]: node for node in workflow["nodes"] if node["type"] in inside}

    def source(link: int) -> list[Any]:
        node, output = links[link]
        if node not in holders:
            return [str(node), output]
        own = inside[holders[node]["type"]]
        last = next(one for one in own["links"] if one["id"] == own["outputs"][output]["linkIds"][0])
        return [f"{node}:{last['origin_id']}", last["origin_slot"]]

    prompt: dict[str, Any] = {}
    for node in workflow["nodes"]:
        if node["id"] not in holders:
            _add(prompt, str(node["id"]), node, source, object_info)
            continue
        given, own = node["inputs"], inside[node["type"]]
        within = {one["id"]: one for one in own["links"]}

        def source_within(link: int, at: str = str(node["id"]), given: Any = given, within: Any = within) -> list[Any]:
            one = within[link]
            if one["origin_id"] == INPUTS:
                return source(given[one["origin_slot"]]["link"])
            return [f"{at}:{one['origin_id']}", one["origin_slot"]]

        for one in own["nodes"]:
            _add(prompt, f"{node['id']}:{one['id']}", one, source_within, object_info)
    return prompt


def _add(
    prompt: dict[str, Any],
    name: str,
    node: Mapping[str, Any],
    source: Callable[[int], list[Any]],
    object_info: Mapping[str, Any],
) -> None:
    if node["type"] in NOTES:
        return
    if node["type"] not in object_info:
        raise ValueError(f"the server has no node {node['type']!r}: is the pack that brings it installed?")
    if node.get("mode", ACTIVE) != ACTIVE:
        raise ValueError(f"expected active nodes only, found {node['type']} {node['id']} in mode {node['mode']}")
    inputs = dict(zip(widget_names(object_info[node["type"]]), node.get("widgets_values", []), strict=False))
    inputs.pop("", None)
    linked = {i["name"]: source(i["link"]) for i in node.get("inputs", []) if i.get("link") is not None}
    prompt[name] = {"class_type": node["type"], "inputs": {**inputs, **linked}}


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
