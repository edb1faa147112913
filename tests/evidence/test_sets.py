"""What is published of a run, and what a later one keeps of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from evidence_cases import FAIR, Fake, noise, tiny

from benchmarks.evidence import bench, results, sets
from benchmarks.evidence.methods import METHODS, RESPO
from benchmarks.evidence.plan import Plan
from respo_train.evaluation.cells import Store, digest_of
from respo_train.evaluation.figure import Figure


class TestSets:
    """A run of two professions, as a first one published it, and the next one with `--changed` or `--check`."""

    @pytest.fixture
    def made(self, tmp_path, monkeypatch) -> SimpleNamespace:
        plan, modules = tiny("words", RESPO, only=(*FAIR, "night")), {"unmodified": {}, "words": {}, RESPO: {}}
        found, path, store = sets.sets_of(plan, modules), tmp_path / "figures.json", Store(tmp_path / "cells")
        for number, one in enumerate(found):
            results.write(one.file(tmp_path / "first"), {one.method: {"a": Figure(number, 0, 1, 9)}})
            store.save(one.cells[0], noise(one.cells[0]))
        sets.publish(found, (), tmp_path / "first", store, path)
        return SimpleNamespace(
            plan=plan, modules=modules, sets=found, path=path, folder=tmp_path / "second", store=store
        )

    def test_every_task_of_every_row_is_one(self, made):
        expected = [(name, task.name) for name in made.modules for task in made.plan.tasks(name)]
        assert [(one.method, one.task.name) for one in made.sets] == expected
        assert len({digest_of(one.made["workflows"]) for one in made.sets}) == len(made.sets)

    def test_what_is_published_comes_back(self, made):
        kept = sets.keep_published(made.sets, made.folder, made.path)
        assert kept == {one.name for one in made.sets}
        for number, one in enumerate(made.sets):
            assert results.read(one.file(made.folder)) == {one.method: {"a": Figure(number, 0, 1, 9)}}
        published = made.path.read_bytes()
        sets.publish(made.sets, kept, made.folder, made.store, made.path)
        assert made.path.read_bytes() == published

    def test_nothing_is_published_yet(self, made):
        assert sets.keep_published(made.sets, made.folder, made.path.with_name("none")) == set()

    def test_another_judge_makes_all_anew(self, made, monkeypatch, tmp_path):
        (tmp_path / "judge").write_bytes(b"another")
        monkeypatch.setattr(bench, "JUDGE", tmp_path / "judge")
        assert sets.keep_published(sets.sets_of(made.plan, made.modules), made.folder, made.path) == set()

    def changed(self, monkeypatch) -> Plan:
        monkeypatch.setitem(METHODS, RESPO, replace(METHODS[RESPO], where={**METHODS[RESPO].where, "skin": 0.5}))
        return tiny("words", RESPO, only=(*FAIR, "night"))

    def test_other_settings_make_their_sets_anew(self, made, monkeypatch):
        found = sets.sets_of(self.changed(monkeypatch), made.modules)
        kept = sets.keep_published(found, made.folder, made.path)
        (changed,) = [one for one in found if one.name not in kept]
        assert changed.name == f"{RESPO}: skin"
        drawn = {cell.key for cell in sets.cells_to_draw(found, kept)}
        assert {cell.key for cell in (*changed.cells, *changed.before)} <= drawn

    def test_only_what_the_page_shows_is_drawn_again(self, made):
        changed = f"{RESPO}: skin"
        drawn = sets.cells_to_draw(made.sets, [one.name for one in made.sets if one.name != changed])
        shown = {
            "unmodified: neutral": 2,
            **{f"words: {name}": 1 for name in FAIR},
            **{f"{RESPO}: {n}": 2 for n in FAIR},
        }
        of = {cell.key: one.name for one in made.sets for cell in one.cells}
        assert Counter(of[cell.key] for cell in drawn) == shown

    def test_what_the_page_does_not_show_is_drawn_alone(self, made):
        (changed,) = [one for one in made.sets if one.name == f"{RESPO}: night"]
        drawn = sets.cells_to_draw(made.sets, [one.name for one in made.sets if one is not changed])
        assert {cell.key for cell in drawn} == {cell.key for cell in (*changed.before, *changed.cells)}
        assert sets.cells_to_draw(made.sets, [one.name for one in made.sets]) == []

    def test_a_first_page_shows_its_own_pictures(self, made):
        nights = [one for one in made.sets if one.task.name == "night"]
        assert sets.shows_others(nights, ())  # there is no earlier page whose pictures could stay
        assert not sets.shows_others(nights, ["respo: joint"])

    def test_without_published_ones_all_are_drawn(self, made):
        every = {cell.key for one in made.sets for cell in one.cells}
        assert {cell.key for cell in sets.cells_to_draw(made.sets)} == every

    def test_a_check_draws_each_sample_again(self, made, monkeypatch, capsys):
        log: list[str] = []
        assert sets.check(made.plan, made.modules, lambda number: Fake(log), made.path) == 0
        assert len(log) == len(made.sets)
        assert capsys.readouterr().out.count(": 2 pictures drawn again, the judge sees the same") == len(log)
        monkeypatch.setattr(Fake, "draw", lambda self, cell: np.zeros_like(noise(cell)))
        assert sets.check(made.plan, made.modules, lambda number: Fake(log), made.path) == len(made.sets)
        assert f"{RESPO}: gender: differs: published " in capsys.readouterr().out

    def test_a_check_says_what_was_made_otherwise(self, made, monkeypatch, capsys):
        assert sets.check(self.changed(monkeypatch), made.modules, lambda number: Fake([]), made.path) == 1
        assert f"{RESPO}: skin: differs: published with other nodes, workflows\n" in capsys.readouterr().out
