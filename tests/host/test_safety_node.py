"""Safety: what it adds is what its switches say, against an oracle by hand; and it is never silently off."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hidden_inputs import with_hidden

SHIPPED = "emoji_world_no_weapons.safetensors"
SHIPPED_SWITCH = f"no weapons ({SHIPPED})"
CALM, SOBER = "calm (safety/mood.safetensors)", "sober (safety/mood.safetensors)"


@pytest.fixture(scope="module")
def safety_folder(pack, attribute, module_folder):
    """The `respo` folder with safety/mood.safetensors, made for the tests' model, and files that offer nothing."""
    concepts = dict(zip(("calm", "sober"), attribute.concepts.values(), strict=True))
    mood = replace(attribute, name="mood", purpose="safety", concepts=concepts)
    (module_folder / "safety").mkdir(exist_ok=True)
    pack.core.files.checkpoint.save_attribute(module_folder / "safety" / "mood.safetensors", mood)
    (module_folder / "safety" / "broken.safetensors").write_bytes(b"x" * 100)
    return module_folder


@pytest.fixture
def node(host, safety_folder):
    """The node's class."""
    return host.nodes.NODE_CLASS_MAPPINGS["RespoSafety"]


@pytest.fixture
def safety(run_node, model, safety_folder):
    """safety(…) -> what Safety gives; switches by their ids."""
    return lambda **given: run_node("RespoSafety", **{"model": model, **given})


@pytest.fixture
def strength(pack):
    """strength(level) -> how much of a concept's change that level adds."""
    return pack.root.nodes.safety.LEVELS.__getitem__


def face(output) -> str:
    """The text on the node."""
    return output.ui.as_dict()["text"][0]


def names_of(node) -> list[str]:
    return [wanted.id for wanted in node.GET_SCHEMA().inputs]


def test_switches_come_last_shipped_ones_first(node):
    fixed = ["model", "level", "start_percent", "end_percent", "enabled"]
    names = names_of(node)
    assert names[: len(fixed)] == fixed
    assert names[len(fixed)] == SHIPPED_SWITCH
    assert names[len(fixed) + 1 :] == [CALM, SOBER]


def test_sums_what_is_on(safety, sample, by_hand, model, attribute, strength):
    amount = strength("strong")

    def addition(place):
        deltas = [module.delta(*place.size, strength=amount).detach() for module in attribute.concepts.values()]
        return sum(deltas) if place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected)
    assert torch.allclose(sample(safety(level="strong")[0]), wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(sample(model), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", ["weak", "medium", "strong", "max"])
def test_one_switch_at_each_level(safety, sample, by_hand, model, attribute, strength, level):
    calm = attribute.concept("woman")
    with by_hand(model, lambda p: calm.delta(*p.size, strength=strength(level)).detach() if not p.chunk else None) as e:
        wanted = sample(e)
    assert torch.equal(sample(safety(level=level, **{SOBER: False})[0]), wanted)


def test_levels_rise(strength):
    amounts = [strength(level) for level in ("off", "weak", "medium", "strong", "max")]
    assert amounts[0] == 0
    assert amounts == sorted(set(amounts))


def test_only_in_its_range(safety, sample, model):
    late = safety(start_percent=0.5)[0]
    early = safety(model=late, end_percent=0.5)[0]
    assert torch.equal(sample(early), sample(safety()[0]))
    assert not torch.equal(sample(late), sample(safety()[0]))


def test_order_with_others_does_not_matter(safety, run_node, module, model, sample):
    first = safety(model=run_node("RespoApplyModule", model=model, module=module, concept="man")[0])[0]
    last = run_node("RespoApplyModule", model=safety()[0], module=module, concept="man")[0]
    assert torch.equal(sample(first), sample(last))


@pytest.mark.parametrize(
    "given",
    [
        {"level": "off"},
        {"enabled": False},
        {"start_percent": 1.0},
        {SHIPPED_SWITCH: False, CALM: False, SOBER: False},
    ],
)
def test_off_is_the_same_object(safety, model, given):
    output = safety(**given)
    assert output[0] is model
    assert face(output).startswith("Off")


def test_face_says_what_is_on_and_promises_nothing(safety):
    text = face(safety(level="medium", **{CALM: False}))
    for part in ("Level medium", f"On: {SOBER}", f"Skipped: {SHIPPED_SWITCH}", "no guarantee"):
        assert part in text
    assert CALM not in text


def test_none_that_fits_is_an_error(safety, pack):
    with pytest.raises(pack.core.errors.ArchitectureMismatch, match="nothing would be kept out"):
        safety(**{CALM: False, SOBER: False})


def test_other_checkpoint_is_a_note(safety, make_model):
    assert "Note" not in face(safety())
    assert "Note" in face(safety(model=make_model(seed=9)))


def sent(node, inputs, **given):
    """Run the node as the host does when a workflow sends `inputs`, known or not."""
    from comfy_api.internal import make_locked_method_func

    graph = SimpleNamespace(get_node=lambda key: {"7": {"inputs": inputs}}[key])
    clone = with_hidden(node, {"UNIQUE_ID": "7", "DYNPROMPT": graph})
    known = {name: value for name, value in inputs.items() if name in names_of(node)}
    defaults = {"level": "strong", "start_percent": 0.0, "end_percent": 1.0, "enabled": True}
    return make_locked_method_func(node, "EXECUTE_NORMALIZED", clone)(**{**defaults, **known, **given})


def test_concept_that_is_not_here_is_an_error(node, model, pack):
    with pytest.raises(pack.core.errors.ModuleFileError, match=r"gore\.safetensors.*is not on this computer.*put it"):
        sent(node, {"no gore (mine/gore.safetensors)": True}, model=model)
    with pytest.raises(pack.core.errors.RespoError, match="joy"):
        sent(node, {"joy (safety/mood.safetensors)": True}, model=model)
    with pytest.raises(pack.core.errors.RespoError, match="whatever"):
        sent(node, {"whatever": ["3", 0]}, model=model)
    with pytest.raises(pack.core.errors.ModuleFileError, match="inside the 'respo' model folder"):
        sent(node, {"x (../../secret.safetensors)": True}, model=model)


def test_concept_that_is_not_here_may_be_off(node, model):
    assert sent(node, {"no gore (mine/gore.safetensors)": False, CALM: True}, model=model)[0] is not model
    gone = {"no gore (mine/gore.safetensors)": True}
    assert sent(node, gone, model=model, enabled=False)[0] is model


def test_broken_files_are_left_out_with_one_line(node, safety_folder, caplog):
    (safety_folder / "safety" / "worse.safetensors").write_bytes(b"y" * 100)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            names = names_of(node)
    (safety_folder / "safety" / "worse.safetensors").unlink()
    assert not any("worse" in name for name in names)
    assert sum("worse.safetensors" in line for line in caplog.text.splitlines()) == 1


def test_no_file_can_turn_the_text_of_its_switch_round(node, safety_folder, pack, attribute):
    path = safety_folder / "safety" / "c\u202ealm.safetensors"
    named = replace(attribute, purpose="safety", base={**attribute.base, "name": "emoji\u202eworld"})
    pack.core.files.checkpoint.save_attribute(path, named)
    switch = next(part for part in node.GET_SCHEMA().inputs if "\u202e" in part.id)
    path.unlink()
    assert r"(safety/c\u202ealm.safetensors)" in switch.display_name
    assert r"made on emoji\u202eworld" in switch.tooltip
    assert not any("\u202e" in text for text in (switch.display_name, switch.tooltip))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_no_name_adds_a_line_to_the_text(node, safety_folder, pack):
    path = safety_folder / "safety" / "x\nOn: no weapons, ships with Respo.safetensors"
    path.write_bytes((safety_folder / "safety" / "mood.safetensors").read_bytes())
    switch = f"calm (safety/{path.name})"
    try:
        assert switch not in names_of(node)
        with pytest.raises(pack.core.errors.ModuleFileError, match=r"found 'safety/x\\nOn: no weapons"):
            pack.root.nodes.safety.require_known({switch: True}, set(names_of(node)))
    finally:
        path.unlink()


def test_files_are_read_once(node, pack, monkeypatch):
    names_of(node)
    reads = []
    module = pack.root.nodes.shared.safety_concepts
    monkeypatch.setattr(module, "read_metadata", lambda path: reads.append(path) or {"purpose": "fairness"})
    names_of(node)
    assert not reads


def test_changed_file_is_another_node(node, safety_folder, pack, attribute):
    path = safety_folder / "safety" / "mood.safetensors"
    before = node.fingerprint_inputs(**{CALM: True, SOBER: False})
    kept, stamp = path.read_bytes(), path.stat()
    concepts = dict(zip(("sober", "calm"), attribute.concepts.values(), strict=True))
    pack.core.files.checkpoint.save_attribute(path, replace(attribute, purpose="safety", concepts=concepts))
    assert node.fingerprint_inputs(**{CALM: True, SOBER: False}) != before
    path.write_bytes(kept)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert node.fingerprint_inputs(**{CALM: True, SOBER: True}) != before


def test_a_file_whose_switch_is_linked_is_watched(node, safety_folder, pack, attribute):
    """Of a linked input the host knows no value when it asks: it gives None."""
    path = safety_folder / "safety" / "mood.safetensors"
    kept, before = path.read_bytes(), node.fingerprint_inputs(**{CALM: None, SOBER: None})
    concepts = dict(zip(("sober", "calm"), attribute.concepts.values(), strict=True))
    pack.core.files.checkpoint.save_attribute(path, replace(attribute, purpose="safety", concepts=concepts))
    assert node.fingerprint_inputs(**{CALM: None, SOBER: None}) != before
    path.write_bytes(kept)


def test_schema_is_json(node):
    json.dumps(node.GET_NODE_INFO_V1())


def test_an_imported_module_says_what_it_steers_away_from_and_acts_on_both_halves(
    node, safety_folder, run_node, sample, by_hand, model, attribute, pack
):
    violence = attribute.concept("woman")
    imported = {"half": "both", "imported": {"away": {"violence": "violence"}}}
    made = replace(attribute, name="away", purpose="safety", concepts={"violence": violence}, training=imported)
    path = safety_folder / "safety" / "away.safetensors"
    pack.core.files.checkpoint.save_attribute(path, made)
    try:
        switch = "violence (safety/away.safetensors)"
        shown = next(wanted for wanted in node.GET_SCHEMA().inputs if wanted.id == switch)
        assert shown.tooltip.startswith("Steers away from violence. From safety/away.safetensors")
        with by_hand(model, lambda place: violence.delta(*place.size, strength=1.0).detach()) as expected:
            wanted = sample(expected)
        others = dict.fromkeys((SHIPPED_SWITCH, CALM, SOBER), False)
        output = run_node("RespoSafety", model=model, level="strong", **others)
        assert close_to(sample(output[0]), wanted)
    finally:
        path.unlink()


def close_to(a, b):
    """Added by hand, in another order."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)
