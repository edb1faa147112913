"""Measure how much a module does, so that a training without effect is noticed before a thousand pictures are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from ..core.module.concept import ConceptModule
from ..latents.ddim import ddim_step, schedule
from ..latents.randomness import keyed_noise
from ..latents.sampling import guided, predict
from ..objectives.objective import Setting

LATENTS = 4
STEPS = 20  # of the trajectory; every second one is measured

# Seen on Emoji World, means over timesteps, woman / man:
#                                 size           change          way           its pictures
#   gender, Adam, 150 steps       0.46 / 0.51    0.077 / 0.084   1.51 / 1.52   what was asked for
#   10 steps                      0.17 / 0.17    0.040 / 0.036   0.69 / 0.51
#   150 steps, times 0.2          0.09 / 0.10    0.018 / 0.019   0.37 / 0.36   almost as before
#   3 steps                       0.06 / 0.06    0.014 / 0.013   0.25 / 0.16
#   30 steps, learning rate 1e-3  0.005 / 0.005  0.004 / 0.004   0.03 / 0.03
#   150 steps, times 3            1.37 / 1.52    0.16 / 0.20     1.97 / 2.40   broken faces
#   150 steps, times 5            2.28 / 2.53    0.22 / 0.29     1.69 / 2.35   nobody left
#   led from the others, 120 st.  0.37 / 0.41    0.085 / 0.090   1.62 / 1.57   what was asked for
# `way` stops growing when a module is far too large, so that case is recognised by `size`.
_HARDLY_ANY_WAY = 0.4
_HARDLY_ANY_CHANGE = 0.02  # where `way` is None
_ASTRAY_CHANGE = 0.04  # a change this large, but not towards the prompt
_FAR_TOO_LARGE = 1.2
_RAISE = "train longer (steps), raise responsible_lr, or apply it with a higher strength"
_TURN = "look at the previews, train longer (steps), or choose another prompt or target_from"
_LOWER = "lower responsible_lr, train fewer steps, or apply it with a lower strength"


@dataclass(frozen=True)
class Effect:
    """One figure for each of `timesteps`, the mean over a few latents of the frozen model's own neutral trajectory.

    `size`: |delta| / |h|, delta being both parts together. `change`: |eps(h + delta) - eps(h)| / |eps(h)|, eps being
    the neutral prompt's prediction, without guidance. `way`: how far that change goes along the way to the concept's
    own prompt, 1 being as far as the prompt itself goes (for safety: away from it); None where both prompts are the
    same.
    """

    timesteps: tuple[int, ...]
    size: tuple[float, ...]
    change: tuple[float, ...]
    way: tuple[float, ...] | None

    def verdict(self) -> str | None:
        """Return a warning that says what to change, or None when the module does what it should.

        It is for a module that does hardly anything, far too much, or something else than asked for.
        """
        size, change = fmean(self.size), fmean(self.change)
        if not (math.isfinite(size) and math.isfinite(change)) or size > _FAR_TOO_LARGE:
            return f"far too much: it adds {size:.1f} times as much to h as there is; {_LOWER}"
        if self.way is None:
            if change >= _HARDLY_ANY_CHANGE:
                return None
            return f"hardly any effect: it changes the prediction by {change:.1%}; {_RAISE}"
        way = fmean(self.way)
        if way >= _HARDLY_ANY_WAY:
            return None
        if change >= _ASTRAY_CHANGE or way <= -_HARDLY_ANY_WAY:
            return f"it changes the prediction by {change:.1%}, but hardly towards what was asked for; {_TURN}"
        return f"hardly any effect: it goes {way:.2f} times as far as the prompt itself (expected: about 1); {_RAISE}"


class Probe:
    """The latents that a concept's module is measured on, with the frozen model's predictions: drawn once."""

    @torch.no_grad()
    def __init__(self, setting: Setting):
        self._unet, self._prompts = setting.unet, setting.prompts
        self._sign = 1.0 if setting.config.purpose == "fairness" else -1.0
        self._points: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        timesteps, alphas = schedule(self._unet.alphas_cumprod, STEPS)
        key = setting.config.seed, "effect"
        noise = [keyed_noise(self._unet.latent_shape, *key, index) for index in range(LATENTS)]
        latents = torch.stack(noise).to(alphas)
        for step, timestep in enumerate(timesteps):
            t = timestep.expand(LATENTS)
            neutral = predict(self._unet, latents, t, self._prompts.neutral)
            if step % 2:
                asked = predict(self._unet, latents, t, self._prompts.target)
                self._points.append((latents, t, neutral, asked))
            uncond = predict(self._unet, latents, t, self._prompts.uncond)
            noise_now = guided(uncond, neutral, setting.config.trajectory_guidance)
            now, after = alphas[step].expand(LATENTS), alphas[step + 1].expand(LATENTS)
            latents = ddim_step(latents, noise_now, now, after)

    @torch.no_grad()
    def measure(self, module: ConceptModule) -> Effect:
        """Measure `module` as it is now; nothing is changed."""
        size, change, way = [], [], []
        for latents, timesteps, neutral, asked in self._points:
            encoded = self._unet.encoder(latents, timesteps, self._prompts.neutral)
            added = module.change(encoded.h).expand_as(encoded.h)
            moved = self._unet.decoder(encoded, module(encoded.h)) - neutral
            size.append((_norm(added) / _norm(encoded.h)).mean().item())
            change.append((_norm(moved) / _norm(neutral)).mean().item())
            path = self._sign * (asked - neutral)
            way.append(((moved * path).flatten(1).sum(1) / path.square().flatten(1).sum(1)).mean().item())
        defined = all(bool((asked != neutral).flatten(1).any(1).all()) for _, _, neutral, asked in self._points)
        measured_at = tuple(int(t[0]) for _, t, _, _ in self._points)
        return Effect(measured_at, tuple(size), tuple(change), tuple(way) if defined else None)


def _norm(tensor: Tensor) -> Tensor:
    """Euclidean norm of each row: `[B, ...]` -> `[B]`, float32."""
    return tensor.float().flatten(1).norm(dim=1)
