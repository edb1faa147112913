"""Which cells a run is made of, and what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from evidence_cases import FILES, cell_of, graphs_of, kinds, tiny

from benchmarks.evidence import ablations, cost, graphs
from benchmarks.evidence.asks import GENDER, PLAIN, TASKS
from benchmarks.evidence.methods import METHODS, RESPO
from benchmarks.evidence.plan import BATCH, FULL, QUICK, QUICK_GROUPS, Plan, Scale, chosen
from benchmarks.evidence.training import Trained
from respo_train.evaluation.figure import Figure


class TestPlan:
    def test_the_unmodified_model_is_always_drawn(self):
        assert list(chosen(["words"])) == ["unmodified", "words"]

    def test_only_the_prompts_that_are_needed(self):
        assert [task.name for task in tiny("words").tasks("unmodified")] == ["neutral"]
        assert {task.name for task in tiny(RESPO, only=("gender", "night")).tasks("unmodified")} == {"neutral", "night"}

    def test_comparisons_are_of_the_same_prompts(self):
        plan = Plan(chosen(METHODS), FULL, "float32")
        for name in METHODS:
            for task in plan.tasks(name):
                for own, base in zip(plan.asks(name, task), plan.asks("unmodified", PLAIN[task.prompts]), strict=True):
                    assert (own.prompt, own.seed) == (base.prompt, base.seed)
                    assert own.count <= base.count

    def test_six_pictures_come_out_even(self):
        plan = Plan(chosen(METHODS), QUICK, "float32", None, QUICK_GROUPS)
        assert {True, False} == {one.held_out for one in plan.asks(RESPO, TASKS["gender"])}
        for task in ("gender", "skin", "joint"):
            for own in plan.asks(RESPO, TASKS[task]):
                assert len(set(Counter(own.wishes()).values())) == 1

    def test_without_where_there_is_no_where_in_any_set(self):
        name = "respo-no-where"
        without = ablations.ABLATIONS[name]
        plan = Plan({name: without}, Scale(2, 2, 2, 2), "float32", None, ("doctor",))
        tasks = plan.tasks(name)
        assert {task.name for task in tasks} == {"gender", "skin", "joint"}
        for own in (own for task in tasks for own in plan.asks(name, task)):
            (piece,) = graphs.pieces(without, own, FILES, BATCH)
            assert not kinds(piece.graph)["RespoWhere"]
            (piece,) = graphs_of(RESPO, own, BATCH)
            assert kinds(piece.graph)["RespoWhere"]

    def test_settings_and_modules_make_other_cells(self, tmp_path):
        plan = tiny(RESPO, "sdisc")
        before = plan.cells(RESPO, TASKS["gender"], {})[0].key
        other = replace(plan, methods={RESPO: replace(METHODS[RESPO], where={"gender": 0.5})})
        assert other.cells(RESPO, TASKS["gender"], {})[0].key != before
        keys = set()
        for content in (b"1", b"2"):
            (tmp_path / "m").write_bytes(content)
            own = {GENDER: Trained(tmp_path / "m", 1.0)}
            keys.add(plan.cells("sdisc", TASKS["gender"], own)[0].key)
        assert len(keys) == 2

    def test_our_row_draws_with_the_shipped_modules(self, tmp_path):
        (tmp_path / "m").write_bytes(b"1")
        own = {GENDER: Trained(tmp_path / "m", 1.0)}
        (cell, _) = tiny(RESPO).cells(RESPO, TASKS["gender"], own)
        assert cell.work[0].graph["module 1"]["inputs"]["module"] == "emoji_world_gender.safetensors"


class TestCost:
    def test_ratio_is_of_the_same_round(self):
        rounds = [{"unmodified": cell_of(count=2), "words": cell_of(1, count=2)}] * 3
        taken = iter([2.0, 3.0, 4.0, 6.0, 2.0, 4.0])
        found = cost.measure(rounds, lambda cell: next(taken))
        assert found["words"]["cost_ratio"] == Figure(1.5, 1.5, 2.0, 6, "median of 3 rounds, and their range")
        assert found["unmodified"]["seconds_per_image"].value == 1.0

    def test_no_two_rows_share_seeds(self):
        rounds = cost.rounds_of(tiny("words", RESPO), {"unmodified": {}, "words": {}, RESPO: {}}, 3, 2)
        seeds = [cell.ask.seed for one in rounds for cell in one.values()]
        assert len(set(seeds)) == len(seeds) == 9
        assert cost.WARMING.seed not in seeds

    def test_is_measured_once(self, tmp_path):
        rounds = [{"unmodified": cell_of()}]
        first = cost.remembered(tmp_path / "cost", rounds, lambda: cost.measure(rounds, lambda cell: 3.0))
        assert cost.remembered(tmp_path / "cost", rounds, lambda: pytest.fail("again")) == first
        other = [{"unmodified": cell_of(checkpoint="b")}]
        assert cost.remembered(tmp_path / "cost", other, dict) == {}
