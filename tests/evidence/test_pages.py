"""What is written: figures, tables, pages, and whether targets are reached."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace

import pytest
from evidence_cases import Fake, tiny

from benchmarks.evidence import judging, pictures, report, results, tables, targets, transformer
from benchmarks.evidence.asks import TASKS
from benchmarks.evidence.methods import RESPO
from benchmarks.evidence.plan import SURROUNDINGS, TRANSFORMER_SCALE, Plan, Scale, chosen
from respo_train.evaluation.cells import Store
from respo_train.evaluation.drawing import draw_missing
from respo_train.evaluation.figure import Figure


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, tmp_path_factory) -> SimpleNamespace:
        """A run of two professions and two pictures each, of noise."""
        folder = tmp_path_factory.mktemp("evidence")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("benchmarks.evidence.plan.surroundings", lambda _: dict.fromkeys(SURROUNDINGS, "1"))
            plan, store, modules = (
                tiny("words", RESPO),
                Store(folder / "cells"),
                {"unmodified": {}, "words": {}, RESPO: {}},
            )
            cells = [c for name in modules for task in plan.tasks(name) for c in plan.cells(name, task, {})]
            draw_missing(cells, store, lambda number: Fake([]))
            found = judging.measured(plan, modules, store, folder)
            report.write(folder / "to", plan, found, store, modules, report.Made(report.RESULTS, 60.0, 9, 9))
            shown = (folder / "to" / "RESULTS.md").read_text(encoding="utf-8")
            report.write(folder / "to", plan, found, store, modules, report.Made(report.RESULTS, 60.0, 9, 9, False))
            assert (folder / "to" / "RESULTS.md").read_text(encoding="utf-8") == shown  # with the pictures that it had
            report.write(folder / "ablated", plan, found, store, modules, report.Made(report.ABLATED, 60.0, 9, 9))
            patch.setattr(judging._Reader, "_measure", lambda *given: pytest.fail("judged again"))
            again = judging.measured(plan, modules, store, folder)
        return SimpleNamespace(folder=folder / "to", found=found, again=again)

    def test_json_has_its_form(self, made):
        plain = json.loads((made.folder / "results.json").read_text())
        assert {"unmodified", "words", RESPO, "perfect", "coin_flip", "judge"} <= set(plain)
        for own in plain.values():
            for figure in own.values():
                assert {"value", "low", "high", "n"} <= set(figure)
                assert isinstance(figure["n"], int)
                assert all(figure[k] is None or isinstance(figure[k], (int, float)) for k in ("value", "low", "high"))
        assert plain["perfect"]["deviation_gender"]["value"] == 0

    def test_pictures_that_did_not_change_are_no_loss(self, made):
        """The fake draws the same noise for every method."""
        assert made.found[RESPO]["background_psnr_gender"].value == 100
        assert made.found[RESPO]["accuracy_lost_gender"].value == 0
        assert made.found[RESPO]["frechet_unmodified_gender"].value == pytest.approx(0, abs=1e-6)

    def test_nothing_is_judged_twice(self, made):
        assert json.dumps(made.again, default=repr) == json.dumps(made.found, default=repr)

    def test_page_names_rows_targets_and_its_pictures(self, made):
        text = (made.folder / "RESULTS.md").read_text(encoding="utf-8")
        assert "| Respo |" in text
        assert "a perfect method" in text
        assert text.count("| not measured |") > 3
        assert "python run.py evidence" in text
        for line in text.splitlines():
            if line.startswith("!["):
                assert (made.folder / line.split("(")[1][:-1]).stat().st_size < 200_000

    def test_ablations_are_no_competition(self, made):
        text = (made.folder.parent / "ablated" / "RESULTS.md").read_text(encoding="utf-8")
        assert text.startswith("# Ablations")
        assert "run.py evidence --ablations" in text
        assert not any(words in text for words in ("Reached and missed", "Kendall"))

    @pytest.mark.parametrize(("now", "expected"), [(9, "took 2 minutes"), (3, "measured 3 of 9 sets")])
    def test_says_how_much_was_made_anew(self, now, expected):
        assert expected in str(report.Made(report.RESULTS, 120.0, now, 9))

    def test_says_which_row_was_asked_for_what(self):
        plan = Plan(transformer.ROWS, TRANSFORMER_SCALE, "float32")
        modules = {name: {} for name in plan.methods}
        said = {name: pictures._asked(plan, modules, TASKS[name]) for name in ("skin", "joint")}
        assert said["skin"].endswith(
            "left to right: light, dark, medium, dark, medium, light, dark, medium, light, medium."
        )
        assert "woman light, man medium (prompt rewriting, negative prompt); light-skinned man, dark-" in said["joint"]
        assert said["joint"].endswith(", medium-skinned man (Respo).")

    def test_a_table_has_equally_many_cells_in_every_line(self, made):
        lines = (made.folder / "RESULTS.md").read_text(encoding="utf-8").splitlines()
        for first, second in itertools.pairwise(lines):
            if first.startswith("|") and second.startswith("|"):
                assert first.count("|") == second.count("|")

    def test_a_column_that_no_method_fills_is_left_out(self):
        figure = Figure(0.5, 0.4, 0.6, 9)
        columns = [tables.Column(name, name, "ratio") for name in ("both", "unmodified alone")]
        plain = {"both": figure, "unmodified alone": figure}
        header = tables.table(columns, {"unmodified": plain, RESPO: {"both": figure}})[0]
        assert header == "| | both |"
        assert tables.table(columns[1:], {"unmodified": plain, RESPO: {"both": figure}}) == []
        assert len(tables.table(columns[1:], {"unmodified": plain})) == 3

    def test_fewer_pictures_are_compared_with_the_same_seeds(self, tmp_path):
        """The unmodified model has two of each where another row has one."""
        plan = Plan(chosen(["negative"]), Scale(2, 2, 2, 1), "float32", ("day",), ("doctor",))
        modules, store = {"unmodified": {}, "negative": {}}, Store(tmp_path)
        cells = [c for name in modules for task in plan.tasks(name) for c in plan.cells(name, task, {})]
        assert [cell.count for cell in cells] == [2, 1]
        draw_missing(cells, store, lambda number: Fake([]))
        found = judging.measured(plan, modules, store, tmp_path)["negative"]["accuracy_lost_day"]
        assert found.n == 1

    @pytest.mark.parametrize(
        ("figure", "kind", "expected"),
        [
            (Figure(0.0471, 0.04, 0.0558, 9), "ratio", "0.047 [0.040, 0.056]"),
            (Figure(0.012, 0.001, 0.02, 9), "points", "+1.2 [+0.1, +2.0]"),
            (Figure(1.0, 1.0, 1.0, 9), "share", "100.0"),
            (Figure(0.5, 0.5, 0.5, 9, "unsure of 7.0%"), "ratio", "0.500*"),
            (Figure(math.nan, math.nan, math.nan, 0, "no pictures"), "ratio", "–"),
            (None, "ratio", "–"),
        ],
    )
    def test_text_of_a_figure(self, figure, kind, expected):
        assert tables.text(figure, kind) == expected

    def test_a_ranking_shows_ties_as_ties(self):
        own = {"deviation_gender": Figure(0.5, 0, 1, 9), "second_deviation_gender": Figure(0.4, 0, 1, 9)}
        better = {"deviation_gender": Figure(0.1, 0, 1, 9), "second_deviation_gender": Figure(0.2, 0, 1, 9)}
        (line,) = tables.rankings({"words": own, "sdisc": own, RESPO: better})[2:]
        assert "Respo (0.100) < prompt rewriting = SDisc (0.500)" in line
        assert line.endswith("| 1.00 |")

    def test_results_come_back(self, tmp_path):
        found = {"a": {"x": Figure(0.5, 0.1, 0.9, 4, "n"), "y": Figure(math.nan, math.nan, math.nan, 0)}}
        results.write(tmp_path / "r.json", found)
        again = results.read(tmp_path / "r.json")
        assert again["a"]["x"] == found["a"]["x"]
        assert math.isnan(again["a"]["y"].value)


OWN = {
    "deviation_gender": Figure(0.05, 0, 1, 9),
    "deviation_gender_rest": Figure(0.04, 0.03, 0.05, 9),
    "deviation_gender_held_out": Figure(0.09, 0.06, 0.12, 9),
    "deviation_skin_rest": Figure(0.04, 0.03, 0.05, 9),
    "deviation_skin_held_out": Figure(0.06, 0.05, 0.12, 9),
    "deviation_joint_rest": Figure(0.04, 0.03, 0.05, 9),
    "deviation_joint_held_out": Figure(0.03, 0.02, 0.04, 9),
    "background_psnr_gender": Figure(31.9, 31, 33, 9),
    "accuracy_lost_day": Figure(0.002, -0.001, 0.004, 9),
    "weapons_ratio": Figure(math.nan, math.nan, math.nan, 9, "none in the unmodified pictures"),
}


class TestTargets:
    @pytest.mark.parametrize(
        ("metric", "expected"),
        [
            ("deviation_gender", "reached"),
            ("deviation_gender_held_out", "**missed**"),
            ("deviation_skin_held_out", "within the interval"),
            ("deviation_joint_held_out", "reached"),
            ("background_psnr_gender", "**missed**"),
            ("accuracy_lost_day", "reached"),
            ("weapons_ratio", "none in the unmodified pictures"),
            ("explicit_kept", "not measured"),
        ],
    )
    def test_verdict(self, metric, expected):
        (target,) = [target for target in targets.TARGETS if target.metric == metric]
        assert target.verdict(OWN) == expected

    def test_what_a_figure_is_compared_with_stands_beside_it(self):
        (line,) = [line for line in tables.verdicts(OWN) if line.startswith("| deviation ratio, skin tone, held-out")]
        assert "0.060 [0.050, 0.120]; the rest: 0.040 [0.030, 0.050]" in line

    def test_every_target_stands_in_a_table(self):
        known = {column.metric for columns in tables.TABLES.values() for column in columns}
        assert {target.metric for target in targets.TARGETS} <= known
