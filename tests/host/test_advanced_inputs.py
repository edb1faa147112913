"""Which widgets a node shows at once where the host knows "advanced", and what the inputs are called."""

from __future__ import annotations

from typing import Any

import pytest

SHOWN = {
    "RespoApplyModule": ["concept", "strength", "guidance"],
    "RespoBalance": ["distribution", "seed", "count", "strength"],
    "RespoBackground": ["strength"],
    "RespoSafety": ["level"],
    "RespoTrainModule": ["preset", "steps", "name", "preview_every"],
}
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def described(node: Any) -> dict[str, dict[str, Any]]:
    """What the host is told of a node's inputs that have widgets; Safety's switches left out."""
    groups = node.INPUT_TYPES()
    inputs = {**groups.get("required", {}), **groups.get("optional", {})}
    kinds = {name: kind for name, (kind, *_) in inputs.items()}
    return {
        name: options
        for name, (_, options) in inputs.items()
        if (isinstance(kinds[name], list) or kinds[name] in WIDGETS) and name.isidentifier()
    }


@pytest.mark.parametrize("name", SHOWN)
def test_few_widgets_are_shown_at_once(pack, name):
    (node,) = (one for one in pack.root.NODES if one.GET_SCHEMA().node_id == name)
    assert [key for key, options in described(node).items() if not options.get("advanced")] == SHOWN[name]


def test_inputs_have_names_that_people_read(pack):
    for node in pack.root.NODES:
        for name, options in described(node).items():
            assert options["display_name"] == name.replace("_", " ")


def test_advanced_widgets_have_defaults(pack):
    """By them the page sees whether a saved workflow has one changed."""
    hidden = [options for node in pack.root.NODES for options in described(node).values() if options.get("advanced")]
    assert hidden
    assert all("default" in options for options in hidden)
