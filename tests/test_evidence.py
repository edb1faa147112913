"""The evidence: what is drawn, what is kept, what is counted, what is written. Nothing is drawn here by a model."""

from __future__ import annotations

import itertools
import json
import math
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmarks.evidence import (
    __main__ as command,
)
from benchmarks.evidence import (
    ablations,
    bench,
    cost,
    drawing,
    extent,
    graphs,
    judging,
    reference,
    report,
    results,
    sets,
    tables,
    targets,
    training,
)
from benchmarks.evidence.asks import (
    CONCEPTS,
    GENDER,
    PLAIN,
    PROMPTS,
    SKIN,
    TASKS,
    WEAPONS,
    ask,
    asks,
    attribute_of,
    prompt,
)
from benchmarks.evidence.drawing import put_together
from benchmarks.evidence.measure import Examiner
from benchmarks.evidence.methods import METHODS, RESPO, Training
from benchmarks.evidence.plan import BATCH, FULL, QUICK, QUICK_GROUPS, Plan, Scale, chosen
from benchmarks.evidence.second_judge import NearestEmoji, load_second, placed
from benchmarks.evidence.training import Run, Trained
from emoji_world import world
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.core.errors import RespoError
from respo_train.core.judge import Verdict
from respo_train.evaluation.cells import Cell, Store, digest_of
from respo_train.evaluation.drawing import draw_missing
from respo_train.evaluation.figures import Drawn, Figure
from respo_train.evaluation.protocol import Ask

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FAIR = ("gender", "skin", "joint")
FILES = {GENDER: "g.safetensors", SKIN: "s.safetensors", WEAPONS: "w.safetensors"}


@pytest.fixture(autouse=True)
def no_host(monkeypatch):
    """The versions are a machine's own."""
    monkeypatch.setattr("benchmarks.evidence.plan.surroundings", lambda: {"host": "1", "torch": "2"})


def ask_for(task: str, text: str = "", count: int = 5) -> Ask:
    return next(ask(TASKS[task], one, count) for one in PROMPTS[TASKS[task].prompts] if text in ("", one.prompt))


def graphs_of(method: str, own: Ask, batch: int = 4) -> list[graphs.Piece]:
    return graphs.pieces(METHODS[method], own, FILES, batch)


def kinds(graph: graphs.Graph) -> Counter[str]:
    return Counter(node["class_type"] for node in graph.values())


class TestAsks:
    def test_seeds_never_overlap(self):
        every = [one for own in PROMPTS.values() for one in own]
        seeds = sorted(one.seed for one in every)
        assert np.diff(seeds).min() >= 10_000 > 18 * 73
        assert {seed % 6 for seed in seeds} == {0}

    def test_every_figure_of_a_full_run_has_enough_pictures(self):
        for task in TASKS.values():
            assert sum(one.count for one in asks(task, FULL.own)) >= 1300

    def test_wishes_are_what_balance_gives(self):
        own = ask_for("gender", count=50)
        expected = assign(own.seed, 50, parse_shares("woman 1, man 1"))
        assert [concepts[0] for concepts in own.wishes()] == expected
        assert own.wishes(7, 4) == own.wishes()[7:11]

    def test_joint_wishes_come_out_even(self):
        assert set(Counter(ask_for("joint", count=12).wishes()).values()) == {2}

    def test_contrary_wishes_never_agree_with_the_prompt(self):
        for own in asks(TASKS["explicit"], 20):
            attribute = attribute_of(own.states)
            assert [name for name, _ in own.shares] == [attribute]
            assert {concepts[0] for concepts in own.wishes()} == set(CONCEPTS[attribute]) - {own.states}

    def test_nothing_is_asked_where_nothing_is_shared_out(self):
        assert ask_for("day").wishes() == [()] * 5
        assert ask(PLAIN["neutral"], PROMPTS["neutral"][0], 3).wishes() == [()] * 3

    def test_random_wishes_differ_in_number_from_prompt_to_prompt(self):
        counts = {Counter(one.wishes())[("woman",)] for one in asks(TASKS["gender"], 73, random=True)}
        assert len(counts) > 5


class TestGraphs:
    @pytest.mark.parametrize("method", ["words", "negative"])
    @pytest.mark.parametrize("task", ["gender", "skin", "joint", "explicit"])
    def test_each_picture_is_drawn_once_under_its_own_prompt(self, method, task):
        own = ask_for(task, count=9)
        for piece in graphs_of(method, own):
            for name, places in piece.saved:
                cells = {own.wishes()[place] for place in places}
                assert len(cells) == 1
                sampler = piece.graph[f"sampler {name}"]["inputs"]
                positive, negative = (piece.graph[sampler[s][0]]["inputs"]["text"] for s in ("positive", "negative"))
                assert (positive, negative) == graphs.texts(METHODS[method], own, cells.pop())
        places = [place for piece in graphs_of(method, own) for _, own in piece.saved for place in own]
        assert sorted(places) == list(range(9))

    def test_pictures_taken_out_of_a_batch_keep_their_numbers(self):
        own = ask_for("gender", count=7)
        for start, piece in zip((0, 4), graphs_of("words", own), strict=True):
            for name, places in piece.saved:
                taken = [
                    node["inputs"]["batch_index"]
                    for key, node in piece.graph.items()
                    if node["class_type"] == "LatentFromBatch" and key.startswith(f"latent {name} ")
                ]
                assert [start + index for index in taken] == list(places)
                assert piece.graph[f"sampler {name}"]["inputs"]["seed"] == own.seed + start

    @pytest.mark.parametrize(
        ("method", "task", "cell", "expected"),
        [
            ("words", "gender", ("woman",), ("a photo of a woman doctor", "")),
            ("words", "joint", ("man", "dark"), ("a photo of a dark-skinned man doctor", "")),
            ("negative", "gender", ("woman",), ("a photo of a doctor", "a man")),
            (
                "negative",
                "joint",
                ("man", "dark"),
                ("a photo of a doctor", "a woman, a light-skinned person, a medium-skinned person"),
            ),
            ("negative", "day", (), ("a photo of a doctor", "a weapon")),
        ],
    )
    def test_texts(self, method, task, cell, expected):
        assert graphs.texts(METHODS[method], ask_for(task), cell) == expected

    def test_words_go_before_an_explicit_word_too(self):
        own = ask_for("explicit", "a photo of a woman doctor")
        assert graphs.texts(METHODS["words"], own, ("man",))[0] == "a photo of a man woman doctor"

    def test_modules_share_out_what_is_asked(self):
        (piece,) = graphs_of("sdisc", ask_for("joint", count=4))
        balance = piece.graph["changed"]["inputs"]
        assert (balance["seed"], balance["count"]) == (ask_for("joint").seed, 4)
        assert balance["distribution"] == "woman 1, man 1"
        assert balance["distribution_2"] == "light 1, medium 1, dark 1"
        assert piece.graph[balance["module_2"][0]]["inputs"]["module"] == FILES[SKIN]
        assert kinds(piece.graph)["RespoRecordRun"] == 0

    def test_a_record_is_of_the_same_run_without_modules(self):
        (piece,) = graphs_of("where", ask_for("gender", count=4))
        first, second = (dict(piece.graph[f"sampler {name}"]["inputs"]) for name in ("record", "all"))
        assert first.pop("model") == ["checkpoint", 0]
        assert second.pop("model") == ["background", 0]
        texts = [
            piece.graph[inputs.pop(s)[0]]["inputs"] for inputs in (first, second) for s in ("positive", "negative")
        ]
        assert texts[:2] == texts[2:]
        assert first == second
        background = piece.graph["background"]["inputs"]
        assert (background["strength"], background["guidance"], background["record"]) == (
            0.35,
            "both",
            ["sampler record", 1],
        )

    def test_the_gate_switches_everything(self):
        (piece,) = graphs_of(RESPO, ask_for("subjects gated", count=4))
        assert piece.graph["gate"]["inputs"]["prompt"] == ask_for("subjects gated").prompt
        switched = [n for n in piece.graph.values() if n["class_type"] in ("RespoBalance", "RespoWhere")]
        assert [node["inputs"]["enabled"] for node in switched] == [["gate", 0]] * 2
        assert "gate" not in graphs_of(RESPO, ask_for("subjects", count=4))[0].graph

    def test_safety_uses_the_rows_own_module(self):
        (piece,) = graphs_of("respodiff", ask_for("night", count=4))
        assert piece.graph["changed"]["inputs"]["no weapons (w.safetensors)"] is True
        assert piece.graph["changed"]["inputs"]["level"] == "strong"

    def test_other_safety_modules_are_off(self):
        drawer = drawing.Drawer.__new__(drawing.Drawer)
        drawer._off, drawer._runs = {"no weapons (a)": False, "no weapons (b)": False}, 0
        graph = {"1": graphs.node("RespoSafety", **{"no weapons (b)": True}), "2": graphs.node("KSampler", seed=1)}
        found = drawer.prepared(graph)
        assert found["1"]["inputs"] == {"no weapons (a)": False, "no weapons (b)": True}
        assert found["2"] == graph["2"]

    @pytest.mark.parametrize("method", [*METHODS, *ablations.ABLATIONS])
    def test_every_row_has_a_graph_of_every_task(self, method):
        own = {**METHODS, **ablations.ABLATIONS}[method]
        for task in own.tasks:
            for piece in graphs.pieces(own, ask_for(task), FILES, BATCH):
                links = [v for node in piece.graph.values() for v in node["inputs"].values() if isinstance(v, list)]
                assert all(link[0] in piece.graph for link in links)

    def test_no_two_runs_save_under_the_same_name(self):
        drawer = drawing.Drawer.__new__(drawing.Drawer)
        drawer._off, drawer._runs = {}, 0
        (piece,) = graphs_of("unmodified", ask_for("gender", count=2))
        names = {drawer.prepared(piece.graph)["all"]["inputs"]["filename_prefix"] for _ in range(2)}
        assert len(names) == 2
        assert all(name.startswith(f"{drawing.SAVED}/") for name in names)


def cell_of(number: int = 0, count: int = 3, **about: str) -> Cell:
    own = ask(PLAIN["neutral"], PROMPTS["neutral"][number], count)
    return Cell(own, 0, count, {"prompt": own.prompt, "count": count, **about}, graphs_of("unmodified", own))


def noise(cell: Cell) -> np.ndarray:
    side = world.IMAGE_SIZE
    return np.random.default_rng(cell.ask.seed).integers(0, 256, (cell.count, side, side, 3), dtype=np.uint8)


class Fake:
    """A server that draws noise and remembers which prompts it was given."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def draw(self, cell: Cell) -> np.ndarray:
        self.log.append(cell.ask.prompt)
        return noise(cell)


class TestPieces:
    def test_are_put_in_their_places(self):
        one, two = np.full((1, 2, 2, 3), 1, np.uint8), np.full((2, 2, 2, 3), 2, np.uint8)
        assert put_together(3, [([1], one), ([0, 2], two)])[:, 0, 0, 0].tolist() == [2, 1, 2]

    @pytest.mark.parametrize("places", [[0, 0, 1], [0, 1], [1, 2, 3]])
    def test_no_place_twice_or_empty(self, places):
        with pytest.raises(ValueError, match="each once"):
            put_together(3, [(places, np.zeros((len(places), 2, 2, 3), np.uint8))])


RUN = Run("sdisc", GENDER, Training("sdisc", {"pictures": 300}), "float32")


class TestTraining:
    @pytest.fixture
    def trained(self, monkeypatch) -> list[str]:
        """The files that are trained, by a trainer that writes a byte."""
        files: list[str] = []

        def train(run, folder):
            files.append(run.file)
            folder.mkdir(parents=True)
            (folder / run.file).write_bytes(b"x")
            return folder / run.file, 3.0

        monkeypatch.setattr(training, "_train", train)
        return files

    def test_its_configuration_can_be_read_again(self, tmp_path):
        path = tmp_path / "preset.toml"
        path.write_text(training.as_toml(RUN.values), encoding="utf-8")
        assert tomllib.loads(path.read_text(encoding="utf-8")) == RUN.values
        config = training.read_config(str(path), {}, "sdisc")
        assert config.pictures == 300
        assert config.to_dict() == RUN.values

    @pytest.mark.parametrize(
        "other",
        [
            replace(RUN, precision="bfloat16"),
            replace(RUN, attribute=SKIN),
            replace(RUN, training=Training("sdisc", {"pictures": 301})),
            replace(RUN, training=Training("where", {"pictures": 300})),
        ],
    )
    def test_another_configuration_is_trained_anew(self, tmp_path, other):
        module = tmp_path / "m"
        module.write_bytes(b"x")
        training.keep(RUN, Trained(module, 5.0), tmp_path / "kept")
        assert training.find(RUN, tmp_path / "kept") == Trained(tmp_path / "kept" / RUN.file, 5.0)
        assert training.find(other, tmp_path / "kept") is None
        assert training.find(RUN, tmp_path / "none") is None

    def test_a_kept_module_serves_machines_that_train_otherwise(self, tmp_path, monkeypatch):
        module = tmp_path / "m"
        module.write_bytes(b"x")
        training.keep(RUN, Trained(module, 5.0), tmp_path / "kept")
        monkeypatch.setattr(torch, "__version__", "another")
        elsewhere = replace(RUN, precision="bfloat16")
        assert training.find(elsewhere, tmp_path / "kept") is None
        assert training.find_kept(elsewhere, tmp_path / "kept") == Trained(tmp_path / "kept" / RUN.file, 5.0)
        more = replace(RUN, training=Training("sdisc", {"pictures": 301}))
        assert training.find_kept(more, tmp_path / "kept") is None

    def test_only_what_is_missing_is_trained(self, tmp_path, trained):
        runs = [RUN, replace(RUN, attribute=SKIN)]
        training.train_missing(runs[:1], tmp_path, 2)
        training.train_missing(runs, tmp_path, 2)
        assert trained == [run.file for run in runs]
        assert json.loads((tmp_path / "modules" / training.RECORD).read_text())[runs[1].file]["seconds"] == 3.0

    def test_rows_that_train_the_same_share_one_module(self, tmp_path, trained):
        again = replace(RUN, method="again")
        training.train_missing([RUN, again], tmp_path, 1)
        assert trained == [RUN.file]
        assert training.find(again, tmp_path / "modules") == training.find(RUN, tmp_path / "modules")

    @pytest.mark.parametrize("name", [n for n, m in {**METHODS, **ablations.ABLATIONS}.items() if m.training])
    def test_every_rows_recipe_is_one(self, name):
        method = {**METHODS, **ablations.ABLATIONS}[name]
        for run in training.runs_of(name, method, [GENDER, SKIN, WEAPONS], "float32"):
            assert run.values["recipe"] == method.training.recipe


class Sees:
    """A judge that reads the answer from the first pixel of each picture."""

    classes: ClassVar = {"gender": ("woman", "man"), "profession": ("doctor", "cook"), "weapon": ("no", "yes")}

    def verdicts(self, images: torch.Tensor) -> dict[str, Verdict]:
        numbers = (images[:, :, 0, 0] * 255).round().long().tolist()
        names = list(self.classes)
        return {
            name: Verdict(tuple(self.classes[name][row[i]] for row in numbers), (1.0,) * len(numbers))
            for i, name in enumerate(names)
        }


def seen(*rows: tuple[int, int, int], group: str = "doctor", asked: str = "") -> Drawn:
    images = np.zeros((len(rows), 4, 4, 3), np.uint8)
    images[:, 0, 0] = rows
    return Drawn(group, f"a photo of a {group}", images, (asked,) * len(rows))


class TestMeasure:
    def test_kept_counts_only_what_was_there(self):
        """Of three pictures of a woman the unmodified model draws two, and the method keeps one of these."""
        own = ask(TASKS["explicit"], prompt(1, "doctor", "a photo of a woman doctor", states="woman"), 3)
        before, after = seen((0, 0, 0), (0, 0, 0), (1, 0, 0)), seen((0, 0, 0), (1, 0, 0), (0, 0, 0))
        found = Examiner(Sees(), None).explicit("explicit gated", [own], [before], [after])
        assert found["explicit_gated_kept"].value == 0.5
        assert found["explicit_gated_kept"].n == 2

    def test_what_was_asked_goes_along(self):
        own = ask_for("joint", count=6)
        drawn = own.drawn(np.zeros((6, 4, 4, 3), np.uint8))
        assert drawn.asked == tuple(", ".join(concepts) for concepts in own.wishes())
        assert drawn.group == "doctor"


class TestSecondJudge:
    @pytest.fixture(scope="class")
    @classmethod
    def judge(cls) -> NearestEmoji:
        return load_second()

    @pytest.fixture(scope="class")
    @classmethod
    def sprites(cls) -> torch.Tensor:
        with np.load(reference.REFERENCE) as file:
            return torch.from_numpy(file["sprites"].astype(np.float32) / 255)

    @pytest.mark.parametrize("ground", [0.1, 0.9])
    def test_knows_people_wherever_they_stand(self, judge, sprites, ground):
        rows = list(range(0, len(sprites), 17))
        moved = placed(sprites[rows], 3, 0.99)
        images = (moved[..., :3] + (1 - moved[..., 3:]) * ground).permute(0, 3, 1, 2)
        found = judge.verdicts(torch.nn.functional.interpolate(images, size=(128, 128)))
        for number, head in enumerate(("gender", "skin", "profession")):
            right = [label == judge._labels[row][number] for label, row in zip(found[head].labels, rows, strict=True)]
            assert np.mean(right) > 0.85  # a woman and a man of some professions differ by a few pixels

    def test_says_what_the_judge_says(self, judge):
        own = bench.examiners()[0].classes
        for head, labels in judge.classes.items():
            assert set(labels) <= set(own[head])


class TestReference:
    def test_moments_are_kept(self):
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 3
        root = np.linalg.cholesky(np.cov(rows.T)).T
        made = reference.rows_of(rows.mean(0), root)
        assert np.allclose(made.mean(0), rows.mean(0))
        assert np.allclose(np.cov(made.T), np.cov(rows.T))

    def test_another_judge_needs_another_reference(self, tmp_path):
        other = tmp_path / "judge.safetensors"
        other.write_bytes(b"x")
        with pytest.raises(RespoError, match="another judge"):
            reference.load_real(other)
        assert reference.load_real(bench.JUDGE).shape == (512, 256)


class TestBench:
    def test_is_frozen(self):
        assert bench.changed_files() == []

    def test_says_which_file_differs(self, tmp_path):
        (tmp_path / "a").write_bytes(b"x")
        (tmp_path / "frozen.json").write_text(json.dumps({"a": "0" * 64}))
        assert bench.changed_files(tmp_path) == ["a"]

    def test_accuracy_has_an_interval(self):
        for figure in bench.judge_accuracy().values():
            assert figure.low < figure.value <= figure.high <= 1
            assert figure.n == 2000


def tiny(*names: str, only: tuple[str, ...] = ("gender",)) -> Plan:
    return Plan(chosen(names), Scale(2, 2, 2, 2), "float32", only, ("doctor", "scientist"))


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


class TestSets:
    """A run of two professions, as a first one published it, and the next one with `--changed` or `--check`."""

    @pytest.fixture
    def made(self, tmp_path, monkeypatch) -> SimpleNamespace:
        monkeypatch.setattr("benchmarks.evidence.plan.surroundings", dict)
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
        drawn = sets.cells_to_draw(made.sets, [one.name for one in made.sets])
        shown = {
            "unmodified: neutral": 2,
            **{f"words: {name}": 1 for name in FAIR},
            **{f"{RESPO}: {n}": 2 for n in FAIR},
        }
        of = {cell.key: one.name for one in made.sets for cell in one.cells}
        assert Counter(of[cell.key] for cell in drawn) == shown

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


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, tmp_path_factory) -> SimpleNamespace:
        """A run of two professions and two pictures each, of noise."""
        folder = tmp_path_factory.mktemp("evidence")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("benchmarks.evidence.plan.surroundings", dict)
            plan, store, modules = (
                tiny("words", RESPO),
                Store(folder / "cells"),
                {"unmodified": {}, "words": {}, RESPO: {}},
            )
            cells = [c for name in modules for task in plan.tasks(name) for c in plan.cells(name, task, {})]
            draw_missing(cells, store, lambda number: Fake([]))
            found = judging.measured(plan, modules, store, folder)
            report.write(folder / "to", plan, found, store, modules, report.Made(report.RESULTS, 60.0, 9, 9))
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
