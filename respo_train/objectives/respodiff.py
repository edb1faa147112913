"""RespoDiff (NeurIPS 2025, arXiv 2509.15257, section 3): what the two parts of a module are trained towards.

All tensors are predicted noise, `[B, C, H, W]`, of the same latents at the same timesteps. One step costs about 6 U-Net
forward equivalents a latent, backward passes included: three encoders (neutral, target, unconditional) and five
decoders, two of them with gradients; one more for each other concept that a target leads away from. The unconditional
prediction serves target and trajectory, and the semantic student's is the trajectory's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.module.concept import ConceptModule
from ..latents.sampling import guided, one_a_row, predict_many
from ..latents.trajectory import Trajectories
from .objective import Objective, Setting, Steered, Term


def steered(origin: Tensor, towards: Tensor, away: Tensor, guidance: float) -> Tensor:
    """Return what the responsible part shall reach: `origin + guidance * (towards - away)`, all by the frozen U-Net.

    Fairness: `towards` is the prediction for the target prompt; the paper's `origin` and `away` are the unconditional
    one, so that the target differs from the neutral one in all that guidance sharpens. With the neutral prediction as
    `origin` and the other concepts' as `away` (as Concept Sliders have it, arXiv 2311.12092) it differs in the
    attribute alone. Safety: `towards` is the neutral prediction; the paper's `origin` and `away` are the unwanted
    concept's, as in a negative prompt.
    """
    return (origin + guidance * (towards - away)).detach()


def responsible_loss(student: Tensor, target: Tensor) -> Tensor:
    """Mean squared error between the neutral prompt's prediction with `responsible` added to h and the target."""
    return F.mse_loss(student, target)


def semantic_loss(student: Tensor, neutral: Tensor, weight: float) -> Tensor:
    """Return `weight` (the paper's lambda) times the mean squared error to the unmodified neutral prediction.

    `student` has both parts added to h; only the semantic one may receive its gradient. Alone it is smallest where
    semantic = -responsible, so that its learning rate and the number of steps decide how much effect is given back.
    """
    return weight * F.mse_loss(student, neutral.detach())


def held_loss(student: Tensor, target: Tensor, neutral: Tensor, weight: float) -> Tensor:
    """Return the distance to the target plus `weight` (lambda) times that to the neutral prediction.

    Smallest at `(target + lambda neutral) / (1 + lambda)`: 0 keeps all of the effect, 1 half, 4 a fifth, whatever the
    learning rate and however long the training. The paper's loss says so too of its lambda (higher is more
    conservative), but under Adam, which does not see the scale of a loss, it has no such meaning.
    """
    return F.mse_loss(student, target) + weight * F.mse_loss(student, neutral.detach())


def snr_weights(alphas: Tensor, gamma: float) -> Tensor:
    """Return `min(1, gamma / SNR)`, `[B]` in (0, 1], of latents at these cumulative alphas `[B]`.

    Min-SNR (arXiv 2303.09556, section 3.4): `gamma / SNR` makes an error of the predicted noise one of the predicted
    picture, and the cap keeps the noisiest latents from deciding alone. Without weights the last steps decide, where
    the predicted noise differs most: too late for what the first ones settle.
    """
    return (gamma * (1 - alphas) / alphas).clamp(max=1)


def start(setting: Setting) -> Trajectories:
    """Begin staggered trajectories of the neutral prompt, or of it and people in turn."""
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
    del step  # the trajectories know where they are
    config, unet = setting.config, setting.unet
    latents, timesteps = trajectories.latents, trajectories.current_timesteps
    steered_to = _steered(setting, trajectories, range(len(latents)))
    led_from = steered_to.others if config.purpose == "fairness" and config.target_from == "others" else ()
    asked_for = (steered_to.neutral, setting.prompts.uncond, steered_to.target, *led_from)
    (plain, uncond, asked, *others), neutral = predict_many(unet, latents, timesteps, asked_for)
    target = _target(setting, plain, uncond, asked, others)
    weighed = _weighed(config.of(setting.name, "snr_gamma"), unet.alphas_cumprod[timesteps])

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
    """Return the prompts of these rows: each picture of the run is of the next of the neutral prompt and all people."""
    prompts = setting.prompts
    if not prompts.people:
        return prompts
    everybody = (prompts, *prompts.people)
    pictures = [trajectories.rounds[row] * setting.config.batch + trajectories.indices[row] for row in rows]
    picked = [everybody[picture % len(everybody)] for picture in pictures]
    others = zip(*(one.others for one in picked), strict=True)
    neutral, target = (one_a_row([getattr(one, key) for one in picked]) for key in ("neutral", "target"))
    return Steered(neutral, target, tuple(one_a_row(own) for own in others))


def _weighed(gamma: float | None, alphas: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what turns predictions `[B, C, H, W]` into ones whose squared errors have `snr_weights`."""
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


OBJECTIVE = Objective("cond", start, terms)
