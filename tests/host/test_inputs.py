"""What every node refuses before it runs: JSON where a model belongs, and what a link brings past a widget's limits."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hidden_inputs import with_hidden

JSON = ["text", 3, 0.5, True, None, [1, 2], {"samples": 1}]
FITTING = {"STRING": str, "COMBO": str, "INT": int, "FLOAT": (int, float), "BOOLEAN": bool}


@pytest.fixture(scope="session")
def nodes(host: Any, pack: Any) -> dict[str, Any]:
    """Every node of the pack, as the host has it."""
    return {name: node for name, node in host.nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("Respo")}


def inputs(node: Any) -> list[Any]:
    return node.GET_SCHEMA().inputs


def wrong(wanted: Any) -> list[Any]:
    """The values of JSON that an input does not take."""
    kinds = wanted.get_io_type().split(",")
    fits = [FITTING[kind] for kind in kinds if kind in FITTING]
    boolean = "BOOLEAN" in kinds
    return [v for v in JSON if not any(isinstance(v, f) and isinstance(v, bool) <= boolean for f in fits)]


def test_each_input_refuses_what_it_cannot_take(nodes: Any, pack: Any) -> None:
    from comfy_api.latest import io

    combo, tried = io.Combo.Input, 0
    for node in nodes.values():
        for wanted in inputs(node):
            if wanted.id in inspect.signature(node.validate_inputs).parameters and isinstance(wanted, combo):
                continue  # the nodes that know better say so themselves
            for value in wrong(wanted):
                if value is None and wanted.optional:
                    continue
                given = [value] if node.GET_SCHEMA().is_input_list else value
                with pytest.raises(pack.core.errors.RespoError, match=re.escape(wanted.id)):
                    node.execute(**{wanted.id: given})
                tried += 1
    assert tried > 100


def test_a_links_number_has_the_widgets_limits(nodes: Any, pack: Any) -> None:
    with pytest.raises(pack.core.errors.RespoError, match="'count' from 1 to 4096"):
        nodes["RespoBalance"].execute(count=10**18)
    for number in (float("nan"), float("inf"), 1e308, -6.0):
        with pytest.raises(pack.core.errors.RespoError, match="'strength'"):
            nodes["RespoApplyModule"].execute(strength=number)


def test_a_choice_is_one_of_the_list(nodes: Any, pack: Any) -> None:
    with pytest.raises(pack.core.errors.RespoError, match="one of conditional, both"):
        nodes["RespoApplyModule"].execute(guidance="neither")


def test_a_name_of_a_file_is_the_nodes_own_matter(run_node: Any, module_folder: Path, pack: Any) -> None:
    """Load Module says more than "not in the list"."""
    with pytest.raises(pack.core.errors.ModuleFileError, match="is not on this computer"):
        run_node("RespoLoadModule", module="gone.safetensors")


def test_a_text_without_end_is_refused(nodes: Any, pack: Any) -> None:
    with pytest.raises(
        pack.core.errors.RespoError, match="'distribution' of at most 1,000,000 characters, found 10,000,000"
    ):
        nodes["RespoBalance"].execute(distribution="w" * 10_000_000)


def test_a_latent_is_one_of_pictures(nodes: Any, pack: Any) -> None:
    video = {"samples": torch.zeros(1, 4, 2, 8, 8)}
    with pytest.raises(pack.core.errors.RespoError, match=r"'latent_image', found one of the shape \(1, 4, 2, 8, 8\)"):
        nodes["RespoRecordRun"].execute(latent_image=video)


def test_an_object_of_another_kind_is_refused(nodes: Any, pack: Any) -> None:
    """As another pack's output of the type "*" may bring it."""
    pictures = [torch.zeros(8, 8), torch.zeros(1, 2, 8, 8, 3), torch.zeros(1, 8, 8, 5)]
    indices = ["ab", 3, 0, ["a", "b"], [0.5, 1], torch.arange(2)]
    strange = {
        "IMAGE": [object(), *pictures],
        "LATENT": [
            object(),
            {"samples": torch.zeros(0, 4, 8, 8)},
            {"samples": torch.tensor(1.0)},
            *({"samples": torch.zeros(2, 4, 8, 8), "batch_index": index} for index in indices),
        ],
    }
    tried = 0
    for node in nodes.values():
        for wanted in inputs(node):
            if wanted.get_io_type() == "*":
                continue
            for value in strange.get(wanted.get_io_type(), [object()]):
                given = [value] if node.GET_SCHEMA().is_input_list else value
                with pytest.raises(pack.core.errors.RespoError, match=re.escape(wanted.id)):
                    node.execute(**{wanted.id: given})
                tried += 1
    assert tried > 100


def test_what_comes_with_the_request_is_an_object(nodes: Any, pack: Any) -> None:
    node = nodes["RespoSaveImages"]
    for sent in ("text", 3, [1]):
        copy = with_hidden(node, {"EXTRA_PNGINFO": sent})
        copy.hidden.extra_pnginfo = sent
        with pytest.raises(pack.core.errors.RespoError, match="extra_pnginfo"):
            copy.execute()


@pytest.mark.parametrize("key", ["\u65e5\u672c", "", "a" * 80, "a\0", "\x1b"])
def test_keys_that_no_png_can_hold_are_refused_by_every_node(nodes: Any, pack: Any, key: str) -> None:
    for name in (name for name in nodes if name.startswith("Respo")):
        copy = with_hidden(nodes[name], {"EXTRA_PNGINFO": {}})
        copy.hidden.extra_pnginfo = {key: 1}
        with pytest.raises(pack.core.errors.RespoError, match="1 to 79 plain letters"):
            copy.execute()


def test_half_a_letter_is_refused(nodes: Any, pack: Any) -> None:
    with pytest.raises(pack.core.errors.RespoError, match="unpaired surrogate"):
        nodes["RespoWhere"].execute(words="doctor \ud83d")


def test_a_node_still_runs_with_what_it_takes(run_node: Any, model: Any, module: Any) -> None:
    assert run_node("RespoApplyModule", model=model, module=module, strength=0)[0] is model


@pytest.mark.parametrize("node", ["RespoBalance", "RespoRecordRun"])
def test_a_seed_of_minus_1(nodes: Any, pack: Any, node: str) -> None:
    """Which elsewhere means any seed, and comes through a link."""
    with pytest.raises(pack.core.errors.RespoError, match=r"'seed' from 0 to \d+, found int '-1'\..*KSampler gets"):
        nodes[node].execute(seed=-1)


def test_far_too_many_steps_are_refused(nodes: Any, pack: Any, model: Any) -> None:
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    with pytest.raises(pack.core.errors.RespoError, match="at most 100,000 steps"):
        nodes["RespoRecordRun"].execute(model=model, latent_image=latent, steps=1, denoise=1e-38)
