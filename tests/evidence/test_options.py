"""The command line: what each option draws, trains and publishes."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.evidence import __main__ as command
from benchmarks.evidence import ablations, extent, training
from benchmarks.evidence.methods import RESPO
from respo_train.core.errors import RespoError


class TestCommand:
    def options(self, *arguments: str) -> Namespace:
        return command._parser().parse_args(list(arguments))

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--quick",),
            ("--only", "words"),
            ("--sets", "day"),
            ("--images", "2"),
            ("--professions", "cook"),
            ("--ablations", "--only", "respo-long"),
            ("--ablations", "--images", "2"),
        ],
    )
    def test_only_a_whole_run_is_published(self, arguments):
        assert command.target_folder(self.options()) == extent.PUBLISHED
        assert not command.target_folder(self.options(*arguments)).is_relative_to(extent.PUBLISHED)

    def test_ablations_have_a_page_of_their_own(self):
        options = self.options("--ablations")
        assert command.target_folder(options).parent == extent.PUBLISHED
        plan = command.plan_of(options)
        assert set(plan.methods) == {"unmodified", RESPO, "where", *ablations.ABLATIONS}
        assert {task.name for name in plan.methods if name != "unmodified" for task in plan.tasks(name)} == {
            "gender",
            "subjects",
            "explicit",
        }

    def test_a_run_of_what_has_changed_is_published(self):
        assert command.target_folder(self.options("--changed")) == extent.PUBLISHED

    def test_a_whole_run_never_finds_published_figures(self, tmp_path):
        whole, changed = self.options().extent, self.options("--changed").extent
        assert changed.finds_figures
        assert not whole.finds_figures
        assert whole.judged(tmp_path) != changed.judged(tmp_path)

    def test_a_run_of_what_has_changed_trains_only_what_is_not_kept(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(command, "train_missing", lambda runs, *given: asked.extend(runs))
        monkeypatch.setattr(command, "find_kept", lambda run: None if run.method == RESPO else training.find_kept(run))
        options = self.options("--changed", "--out", str(tmp_path))
        modules = command.modules_for(command.plan_of(options), options)
        assert {run.method for run in asked} == {RESPO}
        assert all(one.path.parent == training.KEPT for one in modules["sdisc"].values())

    def test_an_unknown_row(self):
        with pytest.raises(RespoError, match="no row 'magic'"):
            command.plan_of(self.options("--only", "magic"))

    def test_ablations_can_be_asked_for_by_name(self):
        plan = command.plan_of(self.options("--only", "where-tau-0.3"))
        assert list(plan.methods) == ["unmodified", "where-tau-0.3"]

    def test_a_quick_run_trains_nothing_and_says_so(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(command, "train_missing", lambda *given: pytest.fail("trained"))
        monkeypatch.setattr(command, "find_kept", lambda run: training.find_kept(run, tmp_path / "none"))
        options = self.options("--quick", "--out", str(tmp_path))
        modules = command.modules_for(command.plan_of(options), options)
        assert set(modules) == {"unmodified", "words", "negative", RESPO}
        assert "Left out: sdisc" in capsys.readouterr().out


def test_the_page_of_the_evidence_names_every_option():
    page = (Path(command.__file__).parent / "README.md").read_text(encoding="utf-8")
    for flag in ("--quick", "--changed", "--only", "--sets", "--ablations", "--check"):
        assert flag in page
