"""The released RespoDiff loop (arXiv 2509.15257), restated from facts for this benchmark alone: its cost, its schedule.

One optimizer step, one latent, float32:
1. k uniform in 0 … 48; k DDIM steps (of 50) from fresh noise with the neutral prompt, guidance 3, both parts added to
   the conditional half of h, no gradient;
2. the target from the frozen U-Net by guidance: 4 of (unconditional, target prompt); for safety (unwanted, neutral);
3. L_resp = mse(eps(neutral; h + RAM), target) at guidance 1, which computes the unused half as well: step RAM;
4. L_sem = lambda mse(eps(neutral; h + RAM + SAM), eps(neutral)), both at guidance 1: step SAM.
Two Adams, constant rates, no clipping. That is 2 k + 8 forward passes, 56 on average, and the backward passes through
the decoder of two batches of two; with the usual two forwards for a backward pass about 61 in all.

Two of its faults are left out, which can only help it: modules start at zero (its own at random), and the U-Net is told
the latent's true timestep (it is told one 19 too high).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from respo_train.core.module.concept import ConceptModule
from respo_train.latents.ddim import ddim_step, schedule
from respo_train.latents.randomness import generator_of, keyed_noise
from respo_train.latents.sampling import one_per_row
from respo_train.network import Conditioning, SplitNetwork
from respo_train.objectives.objective import Prompts
from respo_train.settings.config import TrainConfig

GUIDANCE_OFF = 1.0


def mean_trajectory(steps: int) -> float:
    """Return the mean k: uniform in 0 … steps - 2."""
    return (steps - 2) / 2


@dataclass
class Released:
    """One concept's run. `module`'s two parts are RAM and SAM."""

    unet: SplitNetwork
    config: TrainConfig
    concept: str
    prompts: Prompts
    module: ConceptModule = field(init=False)
    optimizers: tuple[torch.optim.Adam, torch.optim.Adam] = field(init=False)
    done: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        noise = self._noise("shape")
        h = self.unet.encoder(noise, torch.zeros(1, dtype=torch.long, device=noise.device), self.prompts.neutral).h
        self.module = ConceptModule(h.shape[1], h.shape[2], h.shape[3]).to(h.device)
        rates = (self.config.of(self.concept, "responsible_lr"), self.config.of(self.concept, "semantic_lr"))
        self.optimizers = (
            torch.optim.Adam(self.module.responsible.parameters(), lr=rates[0]),
            torch.optim.Adam(self.module.semantic.parameters(), lr=rates[1]),
        )

    def step(self, k: int | None = None) -> tuple[float, float]:
        """Take one optimizer step with a trajectory of `k` steps (None: drawn), return (L_resp, L_sem)."""
        latents, timestep = self.sample(self._noise(self.done), self.draw(self.done) if k is None else k)
        target = self.target(latents, timestep)
        responsible = self._update(0, self.responsible_loss(latents, timestep, target))
        semantic = self._update(1, self.semantic_loss(latents, timestep))
        self.done += 1
        return responsible, semantic

    def draw(self, step: int) -> int:
        """Return the k of a step."""
        generator = generator_of(self.config.seed, self.concept, "k", step)
        return int(torch.randint(0, self.config.trajectory_steps - 1, (1,), generator=generator))

    @torch.no_grad()
    def sample(self, latents: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Take the first `k` DDIM steps with both parts active; return the latents and the timestep they are at."""
        timesteps, alphas = schedule(self.unet.alphas_cumprod, self.config.trajectory_steps)
        delta = self._delta(semantic=True)
        for i in range(k):
            noise = self.guided(latents, timesteps[i : i + 1], self.config.trajectory_guidance, delta)
            latents = ddim_step(latents, noise, alphas[i : i + 1], alphas[i + 1 : i + 2])
        return latents, timesteps[k : k + 1]

    @torch.no_grad()
    def target(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Return the frozen U-Net's guided prediction that RAM shall reach."""
        scale = self.config.of(self.concept, "target_guidance")
        prompts, safety = self.prompts, self.config.purpose == "safety"
        pair = [prompts.target, prompts.neutral] if safety else [prompts.uncond, prompts.target]
        return self._pair(latents, timestep, pair, scale, None)

    def responsible_loss(self, latents: Tensor, timestep: Tensor, target: Tensor) -> Tensor:
        """L_resp."""
        student = self.guided(latents, timestep, GUIDANCE_OFF, self._delta(semantic=False))
        return F.mse_loss(student, target)

    def semantic_loss(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """L_sem; its frozen neutral pass is its own."""
        with torch.no_grad():
            neutral = self.guided(latents, timestep, GUIDANCE_OFF, None)
        student = self.guided(latents, timestep, GUIDANCE_OFF, self._delta(semantic=True))
        weight: float = self.config.of(self.concept, "semantic_weight")
        return weight * F.mse_loss(student, neutral)

    def guided(self, latents: Tensor, timestep: Tensor, scale: float, delta: Tensor | None) -> Tensor:
        """Return the guided prediction for the neutral prompt, `delta` added to h's conditional half."""
        return self._pair(latents, timestep, [self.prompts.uncond, self.prompts.neutral], scale, delta)

    def _pair(
        self, latents: Tensor, timestep: Tensor, pair: list[Conditioning], scale: float, delta: Tensor | None
    ) -> Tensor:
        """Both halves of guidance in one forward pass of the whole U-Net, batch 2. `pair`: negative, positive."""
        both = self.unet.encoder(latents.repeat(2, 1, 1, 1), timestep.repeat(2), one_per_row(pair))
        h = both.h if delta is None else torch.cat([both.h[:1], both.h[1:] + delta.to(both.h)])
        uncond, cond = self.unet.decoder(both, h).chunk(2)
        return uncond + scale * (cond - uncond)

    def _delta(self, semantic: bool) -> Tensor:
        value = self.module.responsible.value()
        return value + self.module.semantic.value() if semantic else value

    def _update(self, part: int, loss: Tensor) -> float:
        """Step one Adam. Gradients are asked for its own tensor alone, nothing else that is learned is in the way."""
        optimizer = self.optimizers[part]
        parameters = optimizer.param_groups[0]["params"]
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        return float(loss.detach())

    def _noise(self, *key: object) -> Tensor:
        noise = keyed_noise(self.unet.latent_shape, self.config.seed, self.concept, *key)
        return noise[None].to(self.unet.alphas_cumprod)
