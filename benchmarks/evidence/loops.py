"""A rival's training as its authors' code does it, where the trainer's own objectives differ: for this bench alone.

`python -m benchmarks.evidence.loops train …` is `python -m respo_train train …` that knows it.

RespoDiff draws a fresh trajectory for every update and uses one latent of it, at a uniform step. The recipe `released`
walks along one trajectory: the same latents, but neighbours in turn. "respodiff pool" takes one of as many trajectories
as they have steps for each update, picked at random, and moves it one step on: nearly as fresh, and a seventh of the
released loop's work. Its two parts are stepped after both losses, not one after the other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import torch

from respo_train.__main__ import main
from respo_train.core.module.concept import ConceptModule
from respo_train.latents.randomness import generator_of
from respo_train.latents.trajectory import Trajectories
from respo_train.objectives import OBJECTIVES, respodiff
from respo_train.objectives.objective import Objective, Setting, Term


def start_pool(setting: Setting) -> Trajectories:
    """Start one trajectory at every step of a trajectory. Raises ValueError for another batch than 1."""
    if setting.config.batch != 1:
        raise ValueError(f"expected batch 1, as released, found {setting.config.batch}")
    size = setting.config.trajectory_steps
    config = setting.config.model_copy(update={"batch": size})
    return respodiff.start(replace(setting, config=config, rows=range(size)))


def pool_terms(setting: Setting, module: ConceptModule, pool: Trajectories, step: int) -> Iterator[Term]:
    """Yield both losses at one latent of the pool, and move that one on."""
    row = int(torch.randint(len(pool.positions), (), generator=generator_of(setting.key, "row", step)))
    one = replace(
        pool,
        indices=range(row, row + 1),
        latents=pool.latents[row : row + 1],  # a view: it moves the pool's own latent
        positions=[pool.positions[row]],
        rounds=[pool.rounds[row]],
    )
    yield from respodiff.terms(setting, module, one, step)
    pool.positions[row], pool.rounds[row] = one.positions[0], one.rounds[0]


POOL = "respodiff pool"
LOOPS = {POOL: Objective(POOL, "cond", start_pool, pool_terms)}

if __name__ == "__main__":
    OBJECTIVES.update(LOOPS)
    sys.exit(main())
