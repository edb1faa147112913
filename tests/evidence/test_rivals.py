"""Rivals as released and at their best: their training, their rows, and the search's pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from evidence_cases import FILES, ask_for, graphs_of
from PIL import Image
from toy_unet import ToyUNet

from benchmarks.evidence import __main__ as command
from benchmarks.evidence import curves, graphs, rivals, tables, training, where_loop
from benchmarks.evidence.asks import GENDER, PROMPTS, TASKS
from benchmarks.evidence.loops import LOOPS, POOL
from benchmarks.evidence.methods import METHODS, RESPO, Training
from benchmarks.evidence.plan import BATCH
from benchmarks.evidence.rows import ROWS
from benchmarks.speed.released import Released
from benchmarks.speed.steps import configuration
from emoji_world import world
from respo_train.evaluation.figure import Figure
from respo_train.latents.ddim import ddim_step, schedule
from respo_train.objectives import OBJECTIVES
from respo_train.settings.preset_files import read_config
from respo_train.trainer import gradients, settings_of, start

STEPS = 7  # of a trajectory


@pytest.fixture
def pool(monkeypatch):
    """The setting and the first state of a concept that is trained from a pool."""
    monkeypatch.setitem(OBJECTIVES, POOL, LOOPS[POOL])
    config = configuration("released", trajectory_steps=STEPS).model_copy(update={"objective": POOL})
    setting = settings_of(config, ToyUNet())["woman"]
    return setting, start(setting)


class TestPool:
    def test_begins_with_a_latent_at_every_step(self, pool):
        _, state = pool
        assert state.source.positions == list(range(STEPS))

    def test_each_update_is_the_released_loops_on_one_latent(self, pool):
        setting, state = pool
        run = Released(setting.unet, setting.config, "woman", setting.prompts)
        generator = torch.Generator().manual_seed(1)
        for parameter in state.module.parameters():
            parameter.data.normal_(0, 0.3, generator=generator)
        picked = set()
        for step in range(30):
            latents, positions = state.source.latents.clone(), list(state.source.positions)
            before = {name: value.clone() for name, value in state.module.state_dict().items()}
            run.module.load_state_dict(before)
            losses = gradients(setting, state, step)
            (row,) = [b for b in range(STEPS) if not latents[b].equal(state.source.latents[b])]
            picked.add(row)
            own, timestep = latents[row : row + 1], state.source.timesteps[positions[row]][None]
            responsible = run.responsible_loss(own, timestep, run.target(own, timestep))
            semantic = run.semantic_loss(own, timestep)
            assert losses == pytest.approx({"responsible": responsible.item(), "semantic": semantic.item()}, rel=1e-5)
            for loss, part in ((responsible, "responsible"), (semantic, "semantic")):
                (wanted,) = torch.autograd.grad(loss, getattr(run.module, part).parameters())
                assert (getattr(state.module, part).full.grad - wanted).norm() < 1e-5 * wanted.norm()
            if positions[row] + 1 < STEPS:
                assert state.source.positions[row] == positions[row] + 1
                after, moved = state.source.latents[row : row + 1], self.moved(run, own, positions[row])
                assert (after - moved).norm() < 1e-5 * moved.norm()  # of the whole: near 0 processors round differently
            else:
                assert (state.source.positions[row], state.source.rounds[row]) == (0, 1)
            for optimizer in state.optimizers.values():
                optimizer.step()
        assert picked == set(range(STEPS))

    @staticmethod
    def moved(run: Released, latents: torch.Tensor, position: int) -> torch.Tensor:
        """Take the released trajectory's one step from `position`."""
        both = run.module.responsible.value() + run.module.semantic.value()
        timesteps, alphas = schedule(run.unet.alphas_cumprod, run.config.trajectory_steps)
        with torch.no_grad():
            noise = run.guided(latents, timesteps[position : position + 1], run.config.trajectory_guidance, both)
        return ddim_step(latents, noise, alphas[position : position + 1], alphas[position + 1 : position + 2])

    def test_another_batch_is_refused(self, pool):
        setting, _ = pool
        with pytest.raises(ValueError, match="batch 1, as released, found 2"):
            LOOPS[POOL].start(replace(setting, config=setting.config.model_copy(update={"batch": 2})))


@pytest.fixture
def where(monkeypatch):
    """The setting and the first state of Where It Matters as released."""
    monkeypatch.setitem(OBJECTIVES, where_loop.WHERE, where_loop.LOOPS[where_loop.WHERE])
    changes = {**rivals.WHERE_RELEASED.training.changes, "pictures": 5, "picture_steps": 2}
    config = read_config("gender", changes, "where").model_copy(update={"objective": where_loop.WHERE})
    setting = settings_of(config, ToyUNet())["woman"]
    return setting, start(setting)


class TestWhere:
    def test_the_vector_starts_at_random_once(self, where):
        setting, state = where
        (vector,) = state.module.responsible.parameters()
        gradients(setting, state, 0)
        begun = vector.detach().clone()
        assert 0.003 < begun.std() < 0.06
        gradients(setting, state, 1)
        assert vector.equal(begun)

    def test_the_neutral_prediction_with_it_is_trained_towards_the_targets_own(self, where):
        setting, state = where
        (vector,) = state.module.responsible.parameters()
        vector.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
        unet, batch = setting.unet, state.source.batch(3, setting.unet.alphas_cumprod)
        neutral, target = unet.encode_prompts(["a photo of a person", "a photo of a woman"])
        encoded, other = (unet.encoder(batch.latents, batch.timesteps, prompt) for prompt in (neutral, target))
        expected = (unet.decoder(encoded, encoded.h + vector) - unet.decoder(other, other.h)).square().mean()
        (wanted,) = torch.autograd.grad(expected, [vector])
        assert gradients(setting, state, 3) == {"responsible": pytest.approx(expected.item(), rel=1e-5), "semantic": 0}
        torch.testing.assert_close(vector.grad, wanted)

    def test_each_concept_is_applied_on_both_halves_to_its_own_pictures(self):
        own = ask_for("gender", count=5)
        (piece,) = graphs.pieces(rivals.WHERE_RELEASED, own, FILES, 5)
        assert where_loop.LOOPS[where_loop.WHERE].half == "both"
        for name, places in piece.saved:
            nodes = {key: piece.graph[f"{key} {name}"]["inputs"] for key in ("changed", "background", "sampler")}
            assert (nodes["changed"]["guidance"], nodes["changed"]["strength"]) == ("module's own", 2.0)
            assert {own.wishes()[place] for place in places} == {(nodes["changed"]["concept"],)}
            assert (nodes["background"]["strength"], nodes["background"]["guidance"]) == (1.0, "both")
            record = piece.graph[nodes["background"]["record"][0]]["inputs"]
            assert record["latent_image"] == nodes["sampler"]["latent_image"]
            assert nodes["sampler"]["model"] == [f"background {name}", 0]
            texts = [piece.graph[one["positive"][0]]["inputs"]["text"] for one in (record, nodes["sampler"])]
            assert texts == [own.prompt] * 2


class TestRows:
    def test_names_are_of_one_row_each(self):
        for rows in (rivals.RIVALS, rivals.SEARCH):
            assert all(ROWS[name] is method for name, method in rows.items())

    def test_what_differs_between_trainings_is_their_seed(self):
        for names in rivals.TRAININGS.values():
            first, *others = (rivals.RIVALS[name] for name in names)
            for seed, own in enumerate(others, 1):
                assert own.training == replace(first.training, seed=seed)
                assert (own.balance, own.where) == (first.balance, first.where)
                assert not own.shipped

    def test_a_seed_makes_another_module_and_the_first_is_the_published_one(self):
        own = METHODS[RESPO].training
        runs = [training.Run(RESPO, GENDER, replace(own, seed=seed), "float32") for seed in (0, 1, 2)]
        assert [run.values["seed"] for run in runs] == [0, 1, 2]
        assert len({run.configuration for run in runs}) == 3
        assert training.find_kept(runs[0]) is not None

    def test_a_loop_is_trained_by_its_own_code(self, monkeypatch):
        run = training.Run("x", GENDER, Training("released", loop=POOL), "float32")
        assert run.values["objective"] == POOL
        assert run.configuration != training.Run("x", GENDER, Training("released"), "float32").configuration
        asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(training, "code_sha256", lambda *places: asked.append(places) or "")
        assert run.signature
        assert "benchmarks/evidence/loops.py" in asked[0]

    @pytest.mark.parametrize("name", [*rivals.RIVALS, *rivals.SEARCH])
    def test_every_row_has_a_graph(self, name):
        for task in ROWS[name].tasks:
            for piece in graphs.pieces(ROWS[name], ask_for(task), FILES, BATCH):
                links = [v for node in piece.graph.values() for v in node["inputs"].values() if isinstance(v, list)]
                assert all(link[0] in piece.graph for link in links)

    @pytest.mark.parametrize(
        ("task", "prompt", "expected"),
        [
            ("gender", "a photo of a doctor", "a photo of a woman doctor"),
            ("explicit", "a photo of a man doctor", "a photo of a man doctor"),
            ("subjects", "a photo of a dog", "a photo of a dog"),
        ],
    )
    def test_gated_rewriting_leaves_closed_prompts_alone(self, task, prompt, expected):
        own = ask_for(task, prompt)
        assert graphs.texts(rivals.GATED_WORDS, own, ("woman",)) == (expected, "")

    def test_on_open_prompts_gated_rewriting_is_rewriting(self):
        own = ask_for("gender")
        assert graphs.pieces(rivals.GATED_WORDS, own, FILES, 4) == graphs_of("words", own)


class TestSearch:
    def plan(self, *arguments: str):
        return command.plan_of(command._parser().parse_args(list(arguments)))

    def test_is_of_trained_professions_and_seeds_of_its_own(self):
        plan = self.plan("--search")
        held_out = {one.word for one in world.PROFESSIONS if one.held_out}
        published = [(one.seed, one.seed + 10_000) for own in PROMPTS.values() for one in own]
        for name in plan.methods:
            for ask in (ask for task in plan.tasks(name) for ask in plan.asks(name, task)):
                assert ask.group not in held_out
                assert not any(first <= ask.seed < last for first, last in published)
        assert plan.asks("unmodified", TASKS["gender"])[0].seed == 5_000_042

    def test_other_runs_keep_their_seeds(self):
        assert self.plan("--rivals").asks("unmodified", TASKS["gender"])[0].seed == 42


class TestCurves:
    def test_a_point_is_the_row_of_its_strength(self):
        for rows in rivals.CURVES.values():
            assert len(rows) >= 4
            for strength, name in rows.items():
                row = ROWS[name]
                assert row.balance.get("strength", row.inputs.get("strength", 1.0)) == strength

    def test_rows_that_were_not_drawn_are_left_out(self, tmp_path):
        drawn = {panel.metric.format("gender"): Figure(0.5, 0.4, 0.6, 9) for panel in (curves.EVEN, *curves.COSTS)}
        curves.save(tmp_path / "some.png", rivals.CURVES, {"respo-strength-1": drawn, "respo-strength-1.5": {}})
        assert Image.open(tmp_path / "some.png").width > 1000


def test_three_trainings_are_a_mean_and_a_range():
    figures = [{"deviation_gender": Figure(v, 0, 1, 9)} for v in (0.3, 0.1, 0.2)]
    found = dict(zip(rivals.TRAININGS[RESPO], figures, strict=True))
    assert tables.spread(found) == {RESPO: {"deviation_gender": Figure(pytest.approx(0.2), 0.1, 0.3, 27)}}
    assert tables.spread({RESPO: figures[0]}) == {}


def test_rivals_at_their_best_change_only_what_is_open():
    assert rivals.BEST.balance.get("only_open_prompts", True)
    assert not rivals.RELEASED.balance["only_open_prompts"]
    assert rivals.BEST.training == rivals.RELEASED.training
    assert METHODS["respodiff"].training == Training("released")  # the published row stays
