from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from respo_train.core.errors import ArchitectureMismatch, RespoError, UnknownConcept
from respo_train.core.files.checkpoint import from_bytes, to_bytes
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.compose import Term, interpolation, notes_on, weighted_sum, without
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.grid import KINDS
from respo_train.core.module.h_map import HMap
from respo_train.core.module.probe import PromptProbe

ARCHITECTURE = Architecture("unet-2-8", 2, 8, 0, 6)
BASE = {"name": "one.safetensors", "fingerprint": [0.5, -1.25, 2.0]}


def make(seed: int = 0, size: Any = (4, 5), kind: str = "grid", concept: str = "woman", **changes: Any) -> Attribute:
    module = ConceptModule(6, *size, kind, 2 if kind == "low_rank" else None)
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    attribute = Attribute("people", "fairness", {concept: module}, ARCHITECTURE, BASE, {"objective": "respodiff"})
    return replace(attribute, **changes)


def term(attribute: Attribute, weight: float = 1.0) -> Term:
    return Term(attribute, next(iter(attribute.concepts)), weight, "mine/a.safetensors", "0" * 64)


def only(attribute: Attribute) -> ConceptModule:
    (module,) = attribute.concepts.values()
    return module


def values(attribute: Attribute, *size: int) -> list[torch.Tensor]:
    """Both parts, resized."""
    return [part.resized(*size).detach() for part in (only(attribute).responsible, only(attribute).semantic)]


def test_sum_is_linear_in_both_parts() -> None:
    a, b = make(0), make(1, concept="old")
    made = weighted_sum([term(a, 0.5), term(b, -2.0)])
    for own, one, other in zip(values(made, 4, 5), values(a, 4, 5), values(b, 4, 5), strict=True):
        assert torch.allclose(own, 0.5 * one - 2.0 * other)
    assert list(made.concepts) == ["woman - old"]
    assert (made.name, made.purpose, made.architecture) == ("woman - old", "fairness", ARCHITECTURE)


def test_nothing_is_changed_and_negation_undoes() -> None:
    a = make()
    before = to_bytes(a)
    zero = weighted_sum([term(a), term(a, -1.0)])
    assert all(not value.any() for value in values(zero, 4, 5))
    assert to_bytes(a) == before
    assert list(weighted_sum([term(a, -1.0)]).concepts) == ["minus woman"]


def test_a_composed_concept_has_no_probe() -> None:
    """The parents' probes ask whether a prompt states their concepts, not the new one."""
    ones = torch.ones(8)
    probe = PromptProbe(ones, ones, ones, [ones[None]], ones[:2])
    a, b = make(probe=probe), make(1, concept="old", probe=probe)
    for made in (weighted_sum([term(a)]), interpolation(term(a), term(b), 0.5), without(term(a), term(b))):
        assert made.probe is None
    assert a.probe is not None


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_kinds_and_sizes_meet(first: str, second: str) -> None:
    a, b = make(0, (4, 5), first), make(1, (8, 3), second, "old")
    made = weighted_sum([term(a), term(b, 0.25)])
    kinds = {first, second}
    grids = [(4, 5)] * (first != "channel") + [(8, 3)] * (second != "channel")
    size = tuple(max(axis) for axis in zip(*grids, strict=True)) if grids else (1, 1)
    for own, one, other in zip(values(made, *size), values(a, *size), values(b, *size), strict=True):
        assert torch.allclose(own, one + 0.25 * other, atol=1e-6)
    assert {part.kind for part in (only(made).responsible, only(made).semantic)} == {
        "channel" if kinds == {"channel"} else "grid"
    }
    assert tuple(only(made).responsible.full.shape[1:]) == size


@pytest.mark.parametrize("kind", KINDS)
def test_ends_of_an_interpolation_are_exact(kind: str) -> None:
    a, b = make(0, (4, 5), kind), make(1, (7, 7), concept="man")
    for t, end in ((0.0, a), (1.0, b)):
        made = interpolation(term(a), term(b), t)
        for size in ((4, 5), (7, 7), (3, 9)):
            assert torch.equal(only(made).delta(*size, 0.7, 0.9), only(end).delta(*size, 0.7, 0.9))
    middle = interpolation(term(a), term(b), 0.25)
    assert torch.allclose(values(middle, 7, 7)[1], 0.75 * values(a, 7, 7)[1] + 0.25 * values(b, 7, 7)[1], atol=1e-6)
    assert middle.name == "between woman and man"
    assert [parent["weight"] for parent in middle.training["parents"]] == [0.75, 0.25]


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan"), float("inf")])
def test_no_place_outside_of_an_interpolation(t: float) -> None:
    with pytest.raises(RespoError, match="between 0"):
        interpolation(term(make()), term(make(1)), t)


def mapped(seed: int, concept: str = "woman") -> Attribute:
    attribute = make(seed, concept=concept)
    (own,) = attribute.concepts.values()
    own.map = HMap(6, 3)
    for parameter in own.map.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(seed))
    return attribute


def test_maps_of_h_add_up() -> None:
    a, b, plain = mapped(0), mapped(1, "old"), make(2, concept="tall")
    h = torch.randn(2, 6, 4, 5)
    made = weighted_sum([term(a, 0.5), term(plain, 2.0), term(b, -1.5)])
    with torch.no_grad():
        wanted = 0.5 * only(a).change(h) + 2 * only(plain).change(h) - 1.5 * only(b).change(h)
        torch.testing.assert_close(only(made).change(h), wanted)
        torch.testing.assert_close(only(interpolation(term(a), term(b), 0.0)).change(h), only(a).change(h))
        halfway = only(interpolation(term(a), term(plain), 0.5)).change(h)
        torch.testing.assert_close(halfway, 0.5 * only(a).change(h) + 0.5 * only(plain).change(h))
    assert only(weighted_sum([term(plain)])).map is None
    assert to_bytes(from_bytes(to_bytes(made), "made")) == to_bytes(made)


def test_a_map_of_h_has_no_overlap() -> None:
    for pair in ((mapped(0), make(1, concept="old")), (make(0), mapped(1, "old"))):
        with pytest.raises(RespoError, match="has a map of h"):
            without(term(pair[0]), term(pair[1]))


def test_a_map_of_h_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(RespoError, match="numbers too large"):
        weighted_sum([term(mapped(0), 3e38)])


def test_without_leaves_nothing_along_the_other() -> None:
    a, b = make(0), make(1, concept="old")
    made = without(term(a, 2.0), term(b))
    assert made.name == "woman without old"
    for own, one, other in zip(values(made, 4, 5), values(a, 4, 5), values(b, 4, 5), strict=True):
        assert abs((own * other).sum()) < 1e-4
        expected = 2 * (one - (one * other).sum() / (other * other).sum() * other)
        assert torch.allclose(own, expected, atol=1e-5)
        assert (one * other).sum().abs() > 1e-2  # there was something to remove
    half = without(term(a), term(b, 0.5))
    middle = [(x + y / 2) / 2 for x, y in zip(values(a, 4, 5), values(made, 4, 5), strict=True)]
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(values(half, 4, 5), middle, strict=True))
    again = without(term(made), term(b))
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(values(again, 4, 5), values(made, 4, 5), strict=True))


def test_without_what_is_zero_changes_nothing() -> None:
    a, zero = make(), make(concept="none")
    for parameter in only(zero).parameters():
        parameter.data.zero_()
    assert all(
        torch.equal(*pair) for pair in zip(values(without(term(a), term(zero)), 4, 5), values(a, 4, 5), strict=True)
    )


def test_a_safety_concept_never_comes_back() -> None:
    safe = make(2, concept="no weapons", purpose="safety")
    fair = make()
    for refused in (
        lambda: weighted_sum([term(safe, -0.1)]),
        lambda: weighted_sum([term(fair), term(safe, -1.0)]),
        lambda: without(term(fair), term(safe)),
        lambda: without(term(safe, -1.0), term(fair)),
        lambda: weighted_sum([term(weighted_sum([term(fair, 0.1), term(safe)]), -1.0)]),
        lambda: weighted_sum([term(interpolation(term(fair), term(safe), 0.5), -1.0)]),
        lambda: weighted_sum([term(without(term(safe), term(fair)), -1.0)]),
    ):
        with pytest.raises(RespoError, match="bring"):
            refused()
    assert weighted_sum([term(fair), term(safe, 0.5)]).purpose == "safety"
    assert without(term(safe), term(fair)).purpose == "safety"
    assert weighted_sum([term(fair), term(safe, 0.0)]).purpose == "fairness"
    # More than the whole overlap would turn a concept round, and with it what it does.
    with pytest.raises(RespoError, match="between 0 and 1"):
        without(term(safe), term(make(2), 2.0))


def test_what_does_not_go_together() -> None:
    other = replace(ARCHITECTURE, family="sd1", context_dim=768)
    with pytest.raises(ArchitectureMismatch, match=r"Stable Diffusion 1\.x"):
        weighted_sum([term(make()), term(make(architecture=other), 0.0)])
    with pytest.raises(ArchitectureMismatch):
        without(term(make()), term(make(architecture=other)))
    with pytest.raises(UnknownConcept, match="woman"):
        Term(make(), "robot")
    with pytest.raises(RespoError, match="name"):
        weighted_sum([term(make())], "0.5 woman")


def test_other_checkpoints_are_noted() -> None:
    other = make(base={"name": "two.safetensors", "fingerprint": [1.0, 1.0, 0.0]})
    assert notes_on([term(make()), term(make(1))]) == []
    assert "one.safetensors, two.safetensors" in notes_on([term(make()), term(other)])[0]
    assert "an unnamed checkpoint" in notes_on([term(make()), term(make(base={}))])[0]
    assert notes_on([term(make(base={})), term(make(base={}))]) == []


def test_what_is_made_of_imported_modules_acts_as_they_do() -> None:
    both = make(training={"half": "both", "strength": 2.0, "imported": {"format": "where", "away": {"woman": "x"}}})
    other = make(1, training={"half": "cond", "strength": 1.0, "imported": {"format": "respodiff"}})
    own = make(2, training={"half": "both"})
    for made in (
        weighted_sum([term(both, 0.5)]),
        interpolation(term(both), term(both), 0.3),
        without(term(both), term(both)),
    ):
        assert (made.training["half"], made.training["strength"], made.training["imported"]) == ("both", 2.0, {})
    mixed = weighted_sum([term(both), term(other)]).training
    assert not {"half", "strength"} & set(mixed)
    assert "imported" not in weighted_sum([term(both), term(own)]).training
    assert notes_on([term(both), term(both)]) == []
    for one, two in ((both, other), (both, own), (own, make())):
        assert "the conditional half" in notes_on([term(one), term(two)])[-1]


def test_the_file_tells_parents_and_weights() -> None:
    a, b = make(training={"licence": "MIT"}), make(1, concept="old")
    made = weighted_sum([term(a, 0.5), term(b, -1.0)], "mine")
    read = from_bytes(to_bytes(made), "mine")
    assert read.name == "mine"
    assert (read.training["objective"], read.training["operation"]) == ("composed", "sum")
    first, second = read.training["parents"]
    assert (first["file"], first["sha256"], first["concept"]) == ("mine/a.safetensors", "0" * 64, "woman")
    assert (first["weight"], first["licence"], second["weight"]) == (0.5, "MIT", -1.0)
    grandchild = weighted_sum([term(made), term(made)])
    assert grandchild.training["parents"][0]["parents"] == read.training["parents"]


def test_a_long_chain_keeps_its_metadata_short() -> None:
    made = make()
    for _ in range(24):  # the pedigree would double each time
        made = weighted_sum([term(made, 0.5), term(made, 0.5)], "chain")
    assert len(json.dumps(made.training)) < 50_000


def test_words_go_along() -> None:
    a = make(words={"woman": ["her"], "person": ["someone"]})
    b = make(1, concept="old", words={"old": ["aged"], "person": ["anyone"]})
    both = weighted_sum([term(a), term(b)])
    assert both.words == {"woman + old": ["her", "aged"], "person": ["someone", "anyone"]}
    assert weighted_sum([term(a), term(b, -1.0)], "x").words["x"] == ["her"]
    assert without(term(a), term(b), "x").words["x"] == ["her"]
    assert weighted_sum([term(make())], "x").words == {}


weights = st.one_of(st.floats(-5, 5), st.floats(allow_nan=True, allow_infinity=True))
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=200)
@given(st.data())
def test_any_composition_is_finite_or_refused(data: st.DataObject) -> None:
    draw = data.draw
    terms = []
    try:
        for index in range(draw(st.integers(1, 3))):
            purpose = draw(st.sampled_from(["fairness", "safety"]))
            attribute = make(
                index, draw(sizes), draw(st.sampled_from(KINDS)), draw(st.sampled_from("abc")), purpose=purpose
            )
            scale = draw(st.sampled_from([0.0, 1e-30, 1.0, 1e18, 1e37]))
            for parameter in attribute.concept(next(iter(attribute.concepts))).parameters():
                parameter.data.mul_(scale)
            terms.append(term(attribute, draw(weights)))
        operation = draw(st.sampled_from(["sum", "between", "without"]))
        if operation == "sum":
            made = weighted_sum(terms)
        elif operation == "between":
            made = interpolation(terms[0], terms[-1], draw(weights))
        else:
            made = without(terms[0], terms[-1])
    except RespoError:
        return
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in only(made).parameters())
    read = from_bytes(to_bytes(made), "made")
    assert read.purpose == made.purpose
    assert to_bytes(read) == to_bytes(made)
