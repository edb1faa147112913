"""RespoDiff (NeurIPS 2025, arXiv 2509.15257, section 3): what the two parts of a module are trained towards.

All tensors are predicted noise, `[B, C, H, W]`, for the same latents at the same timesteps. One step costs about 6
forward equivalents of the U-Net per latent, including backward passes: three encoders (neutral, target, unconditional)
and five decoders, two of them with gradients; one more for each other concept that a target leads away from. The
unconditional prediction is used for both target and trajectory, and the semantic student's prediction is also the
trajectory's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.module.concept import ConceptModule
from ..latents.sampling import guided, one_per_row, predict_many
from ..latents.trajectory import Trajectories
from .objective import Objective, Setting, Steered, Term

# snr_gamma on transformers, unless a configuration has one. The noisier a flow's latent, the smaller the errors of the
# noise: they vanish just where people are decided. With this they count nearly as the velocity's own errors do.
FLOW_GAMMA = 0.1


def steered(origin: Tensor, towards: Tensor, away: Tensor, guidance: float) -> Tensor:
    """Return the responsible part's target, `origin + guidance * (towards - away)`, from frozen predictions.

    Fairness: `towards` is the prediction for the target prompt. In the paper `origin` and `away` are the unconditional
    prediction, so that the target differs from the neutral prediction in everything that guidance sharpens. With the
    neutral prediction as `origin` and the other concepts' as `away` (as in Concept Sliders, arXiv 2311.12092) it
    differs in the attribute only. Safety: `towards` is the neutral prediction; in the paper `origin` and `away` are the
    unwanted concept's, as with a negative prompt.
    """
    return (origin + guidance * (towards - away)).detach()


def responsible_loss(student: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error between the prediction with `responsible` added to h and the target."""
    return F.mse_loss(student, target)


def semantic_loss(student: Tensor, neutral: Tensor, weight: float) -> Tensor:
    """Return `weight` (the paper's lambda) times the mean squared error to the unmodified neutral prediction.

    For `student`, both parts are added to h; only the semantic part receives its gradient. The loss alone is smallest
    at semantic = -responsible, so its learning rate and the number of steps decide how much of the effect is lost.
    """
    return weight * F.mse_loss(student, neutral.detach())


def held_loss(student: Tensor, target: Tensor, neutral: Tensor, weight: float) -> Tensor:
    """Return the squared error to the target plus `weight` (lambda) times that to the neutral prediction.

    It is smallest at `(target + lambda neutral) / (1 + lambda)`: lambda 0 keeps all of the effect, 1 half, 4 a fifth,
    independent of the learning rate and the number of steps. The paper describes its own lambda in the same way (higher
    is more conservative). But Adam is invariant to the scale of a loss, so there lambda has no such meaning.
    """
    return F.mse_loss(student, target) + weight * F.mse_loss(student, neutral.detach())


def snr_weights(alphas: Tensor, gamma: float) -> Tensor:
    """Return the loss weights `min(1, gamma / SNR)`, `[B]` in (0, 1], for latents at cumulative alphas `[B]`.

    Min-SNR (arXiv 2303.09556, section 3.4): `gamma / SNR` converts an error of the predicted noise to one of the
    predicted picture, and the cap keeps the noisiest latents from dominating. Without weights the last sampling steps
    dominate, because the predicted noise differs most there; but by then the first steps have decided what is shown.
    """
    return (gamma * (1 - alphas) / alphas).clamp(max=1)


def start(setting: Setting) -> Trajectories:
    """Start staggered trajectories of the neutral prompt, or of it and each of `people` in turn."""
    config, unet = setting.config, setting.unet
    trajectories = Trajectories.start(
        setting.key, unet.alphas_cumprod, config.trajectory_steps, config.batch, unet.latent_shape, setting.rows
    )

    def noise(latents: Tensor, timesteps: Tensor, rows: Sequence[int]) -> Tensor:
        asked_for = (setting.prompts.uncond, _steered(setting, trajectories, rows).neutral)
        (uncond, neutral), _ = predict_many(unet, latents, timesteps, asked_for)
        return guided(uncond, neutral, config.trajectory_guidance)

    trajectories.stagger(noise, f"first latents: {setting.name}" if setting.rows.start == 0 else None)
    return trajectories


def terms(setting: Setting, module: ConceptModule, trajectories: Trajectories, step: int) -> Iterator[Term]:
    """Yield both losses at the trajectories' latents, then take one DDIM step with them."""
    del step  # the trajectories keep their own position
    config, unet = setting.config, setting.unet
    latents, timesteps = trajectories.latents, trajectories.current_timesteps
    steered_to = _steered(setting, trajectories, range(len(latents)))
    led_from = steered_to.others if config.purpose == "fairness" and config.target_from == "others" else ()
    asked_for = (steered_to.neutral, setting.prompts.uncond, steered_to.target, *led_from)
    (plain, uncond, asked, *others), neutral = predict_many(unet, latents, timesteps, asked_for)
    target = _target(setting, plain, uncond, asked, others)
    gamma = config.of(setting.name, "snr_gamma") or (FLOW_GAMMA if unet.architecture.block else None)
    weighed = _weighed(gamma, unet.alphas_cumprod[timesteps])

    responsible = module.towards(neutral.h)
    student = unet.decoder(neutral, neutral.h + responsible.to(neutral.h))
    yield Term("responsible", responsible_loss(weighed(student), weighed(target)))

    both = responsible.detach() + module.semantic.resized(neutral.h.shape[2], neutral.h.shape[3])
    student = unet.decoder(neutral, neutral.h + both.to(neutral.h))
    weight = config.of(setting.name, "semantic_weight")
    if config.semantic_target == "neutral":
        yield Term("semantic", semantic_loss(weighed(student), weighed(plain), weight))
    else:
        yield Term("semantic", held_loss(weighed(student), weighed(target), weighed(plain), weight))

    trajectories.advance(guided(uncond, student.detach(), config.trajectory_guidance))


def _steered(setting: Setting, trajectories: Trajectories, rows: Sequence[int]) -> Steered:
    """Return the prompts of these rows: neutral prompt and people are assigned to successive pictures round-robin."""
    prompts = setting.prompts
    if not prompts.people:
        return prompts
    everybody = (prompts, *prompts.people)
    pictures = [trajectories.rounds[row] * setting.config.batch + trajectories.indices[row] for row in rows]
    picked = [everybody[picture % len(everybody)] for picture in pictures]
    others = zip(*(one.others for one in picked), strict=True)
    neutral, target = (one_per_row([getattr(one, key) for one in picked]) for key in ("neutral", "target"))
    return Steered(neutral, target, tuple(one_per_row(own) for own in others))


def _weighed(gamma: float | None, alphas: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that scales predictions `[B, C, H, W]` so that their squared errors have `snr_weights`."""
    if gamma is None:
        return lambda predicted: predicted
    roots = snr_weights(alphas.float(), gamma).sqrt().view(-1, 1, 1, 1)
    return lambda predicted: roots * predicted


def _target(setting: Setting, plain: Tensor, uncond: Tensor, asked: Tensor, others: list[Tensor]) -> Tensor:
    config = setting.config
    guidance = config.of(setting.name, "target_guidance")
    if config.purpose == "safety":
        return steered(asked, plain, asked, guidance)
    if config.target_from == "unconditional":
        return steered(uncond, asked, uncond, guidance)
    if config.target_from == "neutral":
        return steered(plain, asked, plain, guidance)
    return steered(plain, asked, torch.stack(others).mean(0), guidance)


OBJECTIVE = Objective("respodiff", "cond", start, terms)
