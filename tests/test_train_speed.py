"""The benchmark's restatement of the released loop costs and computes what the facts say; its figures add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from counted_passes import Call, Counting, calls_of
from torch import Tensor
from toy_unet import ToyUNet

from benchmarks.speed import goal
from benchmarks.speed.cost import flops, median_seconds, peak_bytes
from benchmarks.speed.released import Released
from benchmarks.speed.steps import LONG, SHORT, at_mean, configuration, our_step, ratio, released_step
from respo_train.core.module.concept import ConceptModule
from respo_train.latents.sampling import predict, sample
from respo_train.objectives.respodiff import responsible_loss, steered
from respo_train.prompts import encode_prompts


def released(unet: Any, concept: str = "woman") -> Released:
    config = configuration("released")
    return Released(unet, config, concept, encode_prompts(config, unet)[concept])


def rows(calls: Counter[Call], kind: str) -> int:
    """How many latents pass through one half in all."""
    return sum(count * call.batch for call, count in calls.items() if call.kind == kind)


def forwards(calls: Counter[Call]) -> int:
    return rows(calls, "decoder") + rows(calls, "decoder with gradients")


def test_sixty_one_forwards_on_average() -> None:
    """56 forwards and two backward passes of two latents.

    A backward pass counts for two forwards of the decoder's share, 0.67 of a forward on SD 1.5.
    """
    counting = Counting(ToyUNet())
    run = released(counting)
    found = {k: calls_of(counting, lambda k=k: run.step(k)) for k in (0, 1, 48)}
    for k, calls in found.items():
        assert forwards(calls) == rows(calls, "encoder") == 2 * k + 8
        assert {call.batch for call in calls} == {2}
        assert rows(calls, "decoder with gradients") == 4
    mean = at_mean(*(forwards(calls_of(counting, released_step(counting, k))) for k in (SHORT, LONG)))
    assert mean == 56
    assert round(mean + 2 * 0.67 * rows(found[0], "decoder with gradients")) == 61


def test_k_is_uniform() -> None:
    run = released(ToyUNet())
    seen = Counter(run.draw(step) for step in range(980))
    assert set(seen) == set(range(49))
    assert abs(sum(k * n for k, n in seen.items()) / 980 - 24) < 2
    walked: list[int] = []
    take = run.sample
    run.sample = lambda latents, k: walked.append(k) or take(latents, 0)  # type: ignore[method-assign,func-returns-value]
    for _ in range(3):
        run.step()
    assert walked == [run.draw(step) for step in range(3)]


@pytest.mark.parametrize("purpose", ["fairness", "safety"])
def test_losses_are_ours_on_the_same_latents(purpose: str) -> None:
    unet = ToyUNet()
    run = released(unet)
    changes = {"purpose": purpose, "target_guidance": 12.0 if purpose == "safety" else 4.0}
    run.config = run.config.model_copy(update=changes)
    for parameter in run.module.parameters():
        parameter.data.normal_(0, 0.3)
    latents, timestep = run.sample(torch.randn(1, *unet.latent_shape), 5)
    target = run.target(latents, timestep)
    neutral, asked, uncond = (
        predict(unet, latents, timestep, prompt)
        for prompt in (run.prompts.neutral, run.prompts.target, run.prompts.uncond)
    )
    if purpose == "safety":
        torch.testing.assert_close(target, steered(asked, neutral, asked, 12.0), rtol=1e-3, atol=1e-4)
    else:
        torch.testing.assert_close(target, steered(uncond, asked, uncond, 4.0))
    encoded = unet.encoder(latents, timestep, run.prompts.neutral)
    responsible = run.module.responsible.value()
    student = unet.decoder(encoded, encoded.h + responsible)
    torch.testing.assert_close(run.responsible_loss(latents, timestep, target), responsible_loss(student, target))
    student = unet.decoder(encoded, encoded.h + responsible + run.module.semantic.value())
    torch.testing.assert_close(run.semantic_loss(latents, timestep), F.mse_loss(student, neutral))


def test_trajectory_is_ours() -> None:
    """The same latents as our sampler's, which draws a whole picture: the released one stops on the way."""
    unet = ToyUNet()
    run = released(unet)
    run.config = run.config.model_copy(update={"trajectory_steps": 7})
    run.module.responsible.value().data.normal_(0, 0.5)
    noise = torch.randn(1, *unet.latent_shape)
    prompts = run.prompts
    expected = sample(unet, noise, prompts.neutral, prompts.uncond, 7, 3.0, run.module)
    latents, timestep = run.sample(noise, 6)
    with torch.no_grad():
        last = run.guided(latents, timestep, 3.0, run.module.responsible.value())
    alpha = unet.alphas_cumprod[timestep]
    torch.testing.assert_close((latents - (1 - alpha).sqrt() * last) / alpha.sqrt(), expected, rtol=1e-3, atol=1e-3)


def test_each_adam_steps_its_own_part() -> None:
    run = released(ToyUNet())
    rates = [optimizer.param_groups[0]["lr"] for optimizer in run.optimizers]
    assert rates == [1e-2, 1e-3]
    before = [part.value().clone() for part in (run.module.responsible, run.module.semantic)]
    run.step(3)
    after = [part.value() for part in (run.module.responsible, run.module.semantic)]
    for first, then, rate in zip(before, after, rates, strict=True):
        moved = (then - first).abs().max()
        assert 0 < moved <= 1.001 * rate


def test_it_learns_what_the_toy_can_be_taught() -> None:
    run = released(ToyUNet())
    first = sum(run.step(5)[0] for _ in range(5))
    for _ in range(60):
        run.step(5)
    assert sum(run.step(5)[0] for _ in range(5)) < 0.7 * first


def test_our_step_costs_a_ninth() -> None:
    """With the paper's target and with the recipe's own, in latents through each half."""
    counting = Counting(ToyUNet())
    for target_from, others in (("unconditional", 0), ("others", 1)):
        calls = calls_of(counting, our_step(counting, 1, target_from=target_from))
        assert rows(calls, "encoder") == 3 + others
        assert forwards(calls) == 5 + others
        assert rows(calls, "decoder with gradients") == 2


def test_flops_seconds_and_bytes() -> None:
    a, b = torch.randn(100, 200, requires_grad=True), torch.randn(200, 300)
    assert flops(lambda: a @ b) == 2 * 100 * 200 * 300
    assert flops(lambda: (a @ b).sum().backward()) == 4 * 100 * 200 * 300

    def three() -> Tensor:
        first = torch.ones(1000, 250)  # 1 MB
        second = first + 1
        del first
        return torch.cat([second, second])  # 1 MB kept, 2 MB new

    if not torch.cuda.is_available():
        assert 3e6 <= peak_bytes(three) < 3.01e6
    calls: list[str] = []
    steps = {name: lambda name=name: calls.append(name) for name in ("x", "y")}
    assert set(median_seconds(steps, 3)) == {"x", "y"}
    assert calls == ["x", "y"] * 4
    assert at_mean(10 + 2 * SHORT, 10 + 2 * LONG) == 10 + 2 * 24


def test_ratios_are_of_the_mean_trajectory_and_of_each_latent() -> None:
    found = {"short": 10 + 2.0 * SHORT, "long": 10 + 2.0 * LONG, "ours": 29.0, "own": 116.0}
    assert ratio(found) == {"released": 58, "ours": 29, "ratio": 2}
    assert ratio(found, latents=8, ours="own")["ratio"] == 4


class Clock:
    """Stands for time.perf_counter: moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("budget", "reached", "seconds"), [(1000.0, True, 60.0), (45.0, False, 50.0)])
def test_the_clock_stands_still_while_modules_are_examined(
    monkeypatch: pytest.MonkeyPatch, budget: float, reached: bool, seconds: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(goal.time, "perf_counter", clock)
    ratios = iter([0.9, 0.5, 0.1] if reached else [0.9, 0.5, 0.5])

    def exam(modules: goal.Modules) -> float:
        clock.now += 7000
        return next(ratios)

    watch = goal.Watch(exam, 2, budget)
    with suppress(goal.Done):
        for step in range(1, 100):
            clock.now += 10
            watch.after_step(step, {})
    assert watch.figures["reached"] == reached
    assert watch.figures["seconds"] == seconds


def test_the_exam_asks_for_both_concepts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that sees what a module's tensor says: a fair pair scores 0, two alike score 1."""

    def module(value: float) -> ConceptModule:
        made = ConceptModule(8, 4, 4)
        made.responsible.value().data.fill_(value)
        return made

    def draw(unet: Any, prompt: str, key: Any, modules: Sequence[ConceptModule], steps: int) -> Any:
        return np.stack([np.full((8, 8, 3), 200 if m.responsible.value().mean() > 0 else 50) for m in modules])

    def verdicts(pictures: Tensor) -> Any:
        labels = ["woman" if picture.mean() > 0.5 else "man" for picture in pictures]
        return {"gender": SimpleNamespace(labels=labels)}

    monkeypatch.setattr(goal, "draw", draw)
    judge: Any = SimpleNamespace(verdicts=verdicts)
    assert goal.examined(ToyUNet(), judge, {"woman": module(1.0), "man": module(-1.0)}) == 0
    assert goal.examined(ToyUNet(), judge, {"woman": module(1.0), "man": module(1.0)}) == 1


def test_pictures_that_nobody_can_tell_are_not_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goal, "draw", lambda *_: np.zeros((6, 8, 8, 3)))
    modules: Any = {"woman": None, "man": None}
    for labels in (["unsure"] * 6, ["unsure"] * 5 + ["man"]):
        judge: Any = SimpleNamespace(verdicts=lambda _, own=labels: {"gender": SimpleNamespace(labels=own)})
        assert goal.examined(ToyUNet(), judge, modules) == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio", "bound"), [(True, True, 20, False), (True, False, 20, True), (False, True, None, False)]
)
def test_a_goal_not_reached_is_a_bound(ours: bool, theirs: bool, ratio: float | None, bound: bool) -> None:
    found = goal.compared({"seconds": 5.0, "reached": ours}, {"seconds": 100.0, "reached": theirs})
    assert found == {"seconds": ratio, "is_lower_bound": bound}
