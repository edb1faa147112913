"""A plan's words and sums, for a step whose cost is given."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from respo_train.core.errors import RespoError
from respo_train.plan.cards import CARDS, card_named
from respo_train.plan.count import StepCost
from respo_train.plan.fit import Machine, Plan
from respo_train.settings.preset_files import read_config

MB = 1_000_000
PLAIN = StepCost(weights=2000 * MB, kept=10 * MB, peak=6000 * MB, flops=10**13, module=MB, state=3 * MB)
RECOMPUTED = StepCost(weights=2000 * MB, kept=10 * MB, peak=2000 * MB, flops=12 * 10**12, module=MB, state=3 * MB)


def plan(free_gb: float, device: str = "cuda", threads: int = 1, **changes: Any) -> Plan:
    config = read_config("gender", {"batch": 8, "steps": 100, **changes})
    machine = Machine("a card", torch.device(device), torch.bfloat16, free_gb * 1e9, 1e13, threads=threads)
    return Plan(config, machine, (512, 512), lambda checkpointing: RECOMPUTED if checkpointing else PLAIN)


def test_memory_is_weights_and_one_concept_at_a_time_on_a_card() -> None:
    """Two concepts keep theirs; a gigabyte is the card's own."""
    assert plan(24).needed(PLAIN) == 2e9 + 1e9 + 2 * 10e6 + 6e9
    assert plan(24, "cpu", threads=2).needed(PLAIN) == 2e9 + 0.5e9 + 2 * 10e6 + 2 * 6e9
    assert plan(24, "cpu", threads=1).needed(PLAIN) == 2e9 + 0.5e9 + 2 * 10e6 + 6e9


@pytest.mark.parametrize(
    ("free", "asked", "used", "fits"),
    [
        (9.1, "auto", False, True),
        (9.0, "auto", True, True),
        (9.0, "off", False, False),
        (24, "on", True, True),
        (5.0, "auto", True, False),
    ],
)
def test_auto_recomputes_only_where_it_must(free: float, asked: str, used: bool, fits: bool) -> None:
    found = plan(free, checkpointing=asked)
    assert (found.checkpointing, found.fits) == (used, fits)
    assert found.flops == 2 * (RECOMPUTED if used else PLAIN).flops
    assert found.seconds == found.flops / 1e13
    assert (found.advice() == "") == fits
    assert f"fits    {'yes' if fits else 'no: '}" in "\n".join(found.lines())


@pytest.mark.parametrize(
    ("free", "asked", "advice"),
    [
        (6.0, "off", "turn checkpointing on: 5.0 GB then"),
        (4.5, "off", "turn checkpointing on and use a batch of 4: about 4.0 GB then"),
        (4.5, "auto", "use a batch of 4: about 4.0 GB then"),
        (3.28, "auto", "use a batch of 1: about 3.3 GB then"),
        (3.2, "auto", "use a batch of 1, 384 x 384 pixels: about 3.2 GB then"),
        (2.9, "auto", "its weights alone take 3.0 GB: train on a machine with more memory"),
    ],
)
def test_says_what_to_change(free: float, asked: str, advice: str) -> None:
    found = plan(free, checkpointing=asked)
    assert found.advice() == advice
    assert advice in found.sentence()


def test_a_change_that_makes_another_module_does_not_resume() -> None:
    assert "turn checkpointing on. The run can then be continued." in plan(24).when_out_of_memory()
    smaller = plan(24, checkpointing="on").when_out_of_memory()
    assert "use a batch of 4. That makes another module, so start it anew." in smaller
    assert "needed 9.0 GB" not in plan(24).when_out_of_memory()
    assert "counted to need 9.0 GB, and 24.0 GB were free" in plan(24).when_out_of_memory()


def test_cards_are_found_in_any_case() -> None:
    assert card_named("rtx 3060") == ("RTX 3060", CARDS["RTX 3060"])
    with pytest.raises(RespoError, match=r"no card 'RTX 3061'; did you mean 'RTX 3060'\?"):
        card_named("RTX 3061")


def test_the_cache_of_pictures_is_on_the_disk() -> None:
    own = plan(24)
    assert own.disk == 2 * 4e6 + 20e6
    assert plan(24, objective="sdisc", pictures=1000).disk == own.disk + 2 * 1000 * 4 * 64 * 64 * 2


@pytest.mark.parametrize(
    ("name", "cores", "clock"),
    [
        ("RTX 3060", 3584, 1.777),
        ("RTX 3070", 5888, 1.725),
        ("RTX 3080", 8704, 1.71),
        ("RTX 3090", 10496, 1.695),
        ("RTX 4060", 3072, 2.46),
        ("RTX 4070", 5888, 2.475),
        ("RTX 4080", 9728, 2.505),
        ("RTX 4090", 16384, 2.52),
        ("RTX 5070", 6144, 2.512),
        ("RTX 5080", 10752, 2.617),
        ("RTX 5090", 21760, 2.407),
    ],
)
def test_the_rate_of_a_geforce_is_that_of_its_cores_and_boost_clock(name: str, cores: int, clock: float) -> None:
    assert CARDS[name].tflops == pytest.approx(4 * cores * clock / 1000, rel=0.02)
