"""Learning Where It Matters as its authors' code trains it, for this bench alone; the recipe `where` is our reading.

`python -m benchmarks.evidence.where_loop train …` is `python -m respo_train train …` that knows it.

On noised pictures the neutral prompt's prediction with the vector is to be the frozen one of the prompt that the
pictures were drawn with. There is no chi, m or beta, and the vector starts at N(0, .02).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

from respo_train.__main__ import main
from respo_train.core.module.concept import ConceptModule
from respo_train.latents.pictures import Pictures, pictures_of
from respo_train.latents.randomness import generator_of
from respo_train.latents.sampling import predict
from respo_train.objectives import OBJECTIVES
from respo_train.objectives.objective import Objective, Setting, Term


def where_terms(setting: Setting, module: ConceptModule, pictures: Pictures, step: int) -> Iterator[Term]:
    """Yield the one loss, of the responsible part; before the first step, start its vector at random."""
    unet, prompts = setting.unet, setting.prompts
    if step == 0:
        for parameter in module.responsible.parameters():
            torch.nn.init.normal_(parameter, std=0.02, generator=generator_of(setting.key, "start"))
    batch = pictures.batch(step, unet.alphas_cumprod)
    with torch.no_grad():
        target = predict(unet, batch.latents, batch.timesteps, prompts.picture)
    student = predict(unet, batch.latents, batch.timesteps, prompts.neutral, module)
    yield Term("responsible", torch.nn.functional.mse_loss(student, target))


WHERE = "where released"
LOOPS = {WHERE: Objective(WHERE, "both", pictures_of, where_terms)}

if __name__ == "__main__":
    OBJECTIVES.update(LOOPS)
    sys.exit(main())
