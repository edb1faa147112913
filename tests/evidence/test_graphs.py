"""What is drawn: prompts, seeds and shares, and the workflows that draw them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from evidence_cases import FILES, ask_for, graphs_of, kinds

from benchmarks.evidence import ablations, drawing, graphs, transformer
from benchmarks.evidence.asks import (
    CONCEPTS,
    GENDER,
    JOINT,
    PLAIN,
    PROMPTS,
    SKIN,
    TASKS,
    ask,
    asks,
    attribute_of,
    combined,
    drawn_for,
)
from benchmarks.evidence.drawing import put_together
from benchmarks.evidence.methods import METHODS, PRESETS, RESPO
from benchmarks.evidence.plan import BATCH, FULL
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.settings.preset_files import read_config


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

    def test_one_module_for_all_combinations_is_asked_for_them(self):
        own = combined(ask_for("joint", count=12))
        images = np.zeros((12, 2, 2, 3), np.uint8)
        asked = Counter(drawn_for(own, images).asked)
        assert asked == dict.fromkeys((f"{one}, {other}" for one in CONCEPTS[GENDER] for other in CONCEPTS[SKIN]), 2)
        (((attribute, shares),), read) = own.shares, read_config(PRESETS[JOINT])
        assert attribute == read.attribute
        assert list(parse_shares(shares)) == list(read.concepts)

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


class TestPieces:
    def test_are_put_in_their_places(self):
        one, two = np.full((1, 2, 2, 3), 1, np.uint8), np.full((2, 2, 2, 3), 2, np.uint8)
        assert put_together(3, [([1], one), ([0, 2], two)])[:, 0, 0, 0].tolist() == [2, 1, 2]

    @pytest.mark.parametrize("places", [[0, 0, 1], [0, 1], [1, 2, 3]])
    def test_no_place_twice_or_empty(self, places):
        with pytest.raises(ValueError, match="each once"):
            put_together(3, [(places, np.zeros((len(places), 2, 2, 3), np.uint8))])


@pytest.mark.parametrize(
    ("task", "size"), [("gender", (128, 128)), ("gender_192", (192, 192)), ("gender_96x160", (96, 160))]
)
def test_a_row_names_its_network_and_a_task_its_size(task, size):
    own = ask(TASKS[task], PROMPTS[TASKS[task].prompts][0], 2)
    for rows, expected in (
        (METHODS, ("emoji_world.safetensors", "ddim", "ddim_uniform")),
        (transformer.ROWS, ("emoji_world_transformer.safetensors", "euler", "simple")),
    ):
        (piece,) = graphs.pieces(rows[RESPO], own, FILES, BATCH)
        inputs = {name: node["inputs"] for name, node in piece.graph.items()}
        assert (inputs["latent"]["height"], inputs["latent"]["width"]) == size
        for sampler in ("sampler all", "sampler record") if "sampler record" in inputs else ("sampler all",):
            found = (inputs[sampler]["sampler_name"], inputs[sampler]["scheduler"])
            assert (inputs["checkpoint"]["ckpt_name"], *found) == expected
