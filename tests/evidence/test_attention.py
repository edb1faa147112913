"""EquiSteer's row: what its nodes compute, its prompts, and its graphs. No model draws here."""

from __future__ import annotations

import re

import pytest
import torch
from evidence_cases import FILES, ask_for, tiny

from benchmarks.evidence import graphs, plan
from benchmarks.evidence.asks import CONCEPTS, GENDER, SKIN
from benchmarks.evidence.attention import calibration, pairs
from benchmarks.evidence.rivals import EQUISTEER
from benchmarks.evidence.server_nodes import equisteer
from emoji_world import world

FIRST, GATE, LAST = ("input", 3, 0), ("middle", 0, 0), ("middle", 0, 1)
WOMAN, MAN = torch.tensor([0.0, 3.0, 4.0]) / 5, torch.tensor([0.0, -3.0, -4.0]) / 5
BOTH = torch.stack([WOMAN, MAN])


def steering(gate: float = 1.0, until: float = 1.0, strength: float = 1.0) -> equisteer.Steering:
    """Two pictures, a woman and a man, over two steps; prompts that state a gender respond with 5 at the gate."""
    layers = (FIRST, GATE, LAST)
    magnitude = {(layer, step): torch.tensor([2.0, 7.0]) for layer in layers for step in (0, 1)}
    vectors = equisteer.Vectors(CONCEPTS[GENDER], dict.fromkeys(layers, BOTH), magnitude, GATE, torch.full((2,), 5.0))
    return equisteer.Steering(vectors, ["woman", "man"], strength, gate, until)


def output(*sizes: float) -> torch.Tensor:
    """Of each picture two tokens; the first responds to WOMAN with its size."""
    return torch.stack([torch.stack([size * WOMAN + torch.tensor([1.0, 0, 0]), torch.ones(3)]) for size in sizes])


class TestSteered:
    def test_the_span_is_cleared_and_norms_stay(self):
        given = output(2.0, -3.0)
        found = equisteer.steered(given, BOTH, torch.zeros(2, 3))
        torch.testing.assert_close(found @ BOTH.T, torch.zeros(2, 2, 2), atol=1e-6, rtol=0)
        torch.testing.assert_close(found.norm(dim=-1), given.norm(dim=-1))

    def test_each_picture_gets_its_own_concept_at_its_own_magnitude(self):
        run, given = steering(strength=0.5), output(1.0, 1.0)
        for layer in (FIRST, GATE):
            run(given, layer, 0)
        for row, (vector, size) in enumerate(((WOMAN, 1.0), (MAN, 3.5))):
            cleared = given[row] - (given[row] @ WOMAN)[:, None] * WOMAN + size * vector
            expected = cleared / cleared.norm(dim=-1, keepdim=True) * given[row].norm(dim=-1, keepdim=True)
            torch.testing.assert_close(run(given, LAST, 0)[row], expected)


class TestGate:
    @pytest.mark.parametrize("sizes", [(6.0, 1.0), (-6.0, 1.0)])  # either direction states a gender
    def test_leaves_a_picture_alone_whose_prompt_states_it(self, sizes):
        run, given = steering(), output(*sizes)
        for layer, step in ((FIRST, 0), (GATE, 0), (LAST, 0), (FIRST, 1), (LAST, 1)):
            found = run(given, layer, step)
            assert found[0].equal(given[0])
            assert found[1].equal(given[1]) == ((layer, step) == (FIRST, 0))  # before the gate is read

    def test_a_higher_gate_opens(self):
        run, given = steering(gate=1.5), output(6.0, 1.0)
        assert not run(given, GATE, 0)[0].equal(given[0])

    def test_is_read_anew_in_each_run(self):
        run = steering()
        run(output(1.0, 1.0), GATE, 0)
        assert run(output(1.0, 1.0), FIRST, 0).equal(output(1.0, 1.0))

    def test_steers_only_the_first_steps(self):
        run, given = steering(until=0.5), output(1.0, 1.0)
        assert not run(given, GATE, 0).equal(given)
        assert run(given, GATE, 1).equal(given)


class TestPrompts:
    @pytest.mark.parametrize("attribute", [GENDER, SKIN])
    def test_state_a_concept_on_one_side_and_no_held_out_profession(self, attribute):
        held_out = [one.word for one in world.PROFESSIONS if one.held_out]
        for found in (pairs(attribute), calibration(attribute)):
            assert tuple(found) == CONCEPTS[attribute]
            for name, (stated, other) in found.items():
                assert len(stated) == len(other) > 10
                assert all(re.search(rf"\b{name}\b", text) for text in stated)
                assert not any(re.search(rf"\b{name}\b", text) for text in other)
                assert not any(word in text for word in held_out for text in (*stated, *other))


class TestRow:
    def test_pictures_are_asked_for_what_balance_would_give_them(self):
        own = ask_for("gender", count=5)
        first, last = graphs.pieces(EQUISTEER, own, FILES, 4)
        wanted = [piece.graph["changed"]["inputs"]["wanted"].split("\n") for piece in (first, last)]
        assert [*wanted[0], *wanted[1]] == [name for (name,) in own.wishes()]

    def test_its_pictures_depend_on_its_nodes_code_and_others_do_not(self, monkeypatch):
        monkeypatch.setattr(plan, "code_sha256", lambda *places: " ".join(places))
        run = tiny("equisteer-released", "words")
        codes = {name: run.cell(name, ask_for("gender"), {}).about["code"] for name in ("equisteer-released", "words")}
        assert codes["words"] == "nodes respo_train/core"
        assert codes["equisteer-released"] == "nodes respo_train/core benchmarks/evidence/server_nodes"
