"""Localised training, Learning Where It Matters (TMLR 2026, OpenReview sCOJGbJwAJ): vectors of the attribute alone.

This is OUR READING, from its abstract, reviews and released code: we did not have the paper's text. In configurations
the objective is called "where". Its base is SDisc, which reconstructs the noise in pictures of the concept (see
`sdisc.py`); the paper's conditioning prompt psi is our neutral prompt. Three parts are added, each with a switch in
`config.where`; without them this is exactly SDisc.

- suppress: the mask chi removes the cross-attention's output at pixels that would rather attend to the attribute's
  words than to psi, so the module, not the prompt, must supply the attribute.
- attenuate: h is weakened where the attribute is (map m), before the module is added.
- weigh: errors where the attribute is count more, by the factor 1 + beta * heat.

A heat map says where the attribute is: the attention of encoder and middle block to the attribute's words (the words of
the target prompt that are not in psi) for the same latents, with the target prompt. None of this is used at inference,
where the released code adds the vector to both halves of guidance.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..core.errors import RespoError
from ..core.module.concept import ConceptModule
from ..core.pictures.attention import fitted, word_places
from ..latents.pictures import Pictures, noised, pictures_of
from ..latents.randomness import keyed_noise
from ..network import Conditioning
from .attention import HeatMap, Suppress, attribute_places
from .heat_maps import Shown, save_heat_maps
from .objective import Objective, Setting, Term
from .sdisc import reconstruction_loss

# How sharply m falls from 1 to 0 around a heat of one half: sigmoid(-5) = 0.007 where the heat is 1.
SHARPNESS = 10.0
SHOWN = 6  # pictures in the figure of heat maps
_DRAWING = threading.Lock()


def attenuation(heat: Tensor) -> Tensor:
    """Return the map m, `sigmoid(-SHARPNESS (heat - 0.5))`: small where the attribute is. `heat` in 0 … 1."""
    return torch.sigmoid(-SHARPNESS * (heat - 0.5))


def weighted_loss(predicted: Tensor, noise: Tensor, heat: Tensor, beta: float) -> Tensor:
    """Return the mean of `(1 + beta heat) (predicted - noise)^2`, `[B, C, H, W]`; `heat` `[B, 1, H, W]` in 0 … 1."""
    return ((1 + beta * heat) * (predicted - noise).square()).mean()


def start(setting: Setting) -> Pictures:
    """Draw the pictures and, if there is a folder, a figure of what the three parts see in some of them.

    Raises RespoError when every word of the target prompt is in the neutral one, or the U-Net has no cross-attention.
    """
    parts = setting.config.where
    asked = parts.suppress or parts.attenuate or parts.weigh
    if asked:
        _attribute(setting)
    pictures = pictures_of(setting)
    if asked and setting.folder is not None and setting.rows.start == 0:
        # One concept at a time: the host's autoencoder is not thread-safe.
        with _DRAWING:
            save_heat_maps(setting.folder / f"heat-{setting.name}.png", shown(setting, pictures))
    return pictures


def terms(setting: Setting, module: ConceptModule, pictures: Pictures, step: int) -> Iterator[Term]:
    """Yield the responsible part's loss. It takes an encoder and a decoder, and one more encoder for the heat map."""
    unet, prompts, parts = setting.unet, setting.prompts, setting.config.where
    batch = pictures.batch(step, unet.alphas_cumprod)
    hook = suppression(setting) if parts.suppress else None
    prompt = joined(prompts.neutral, prompts.target) if parts.suppress else prompts.neutral
    encoded = unet.encoder(batch.latents, batch.timesteps, prompt, hook)
    h = encoded.h
    size = h.shape[2], h.shape[3]
    heat = heat_map(setting, batch.latents, batch.timesteps, size) if parts.attenuate or parts.weigh else None
    if heat is not None and parts.attenuate:
        h = h * attenuation(heat).to(h)
    predicted = unet.decoder(encoded, h + module.towards(h).to(h), hook)
    if heat is not None and parts.weigh:
        loss = weighted_loss(
            predicted, batch.noise, fitted(heat, (batch.noise.shape[2], batch.noise.shape[3])), parts.beta
        )
    else:
        loss = reconstruction_loss(predicted, batch.noise)
    yield Term("responsible", loss)


def joined(neutral: Conditioning, target: Conditioning) -> Conditioning:
    """Return the neutral prompt followed by the target prompt, so that a layer has the keys of both."""
    context = torch.cat([neutral.context, target.context], dim=1)
    return Conditioning(context, neutral.added, neutral.tokens + target.tokens)


def suppression(setting: Setting) -> Suppress:
    """Return the hook for prompts made by `joined`."""
    neutral, parts = setting.prompts.neutral, setting.config.where
    count, length = setting.unet.attention_layers, len(neutral.tokens)
    layers = range(count) if parts.layers == "all" else range(count - 1, count)
    attribute = [length + place for place in _attribute(setting)]
    return Suppress(length, word_places(neutral.tokens), attribute, parts.tau, layers)


def heat_map(setting: Setting, latents: Tensor, timesteps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where the attribute is in `latents` `[B, C, H, W]` at `timesteps` `[B]`: `[B, 1, *size]`, 0 … 1."""
    hook = HeatMap(_attribute(setting))
    setting.unet.encoder(latents, timesteps, setting.prompts.target, hook)
    return hook.heat(size)


def shown(setting: Setting, pictures: Pictures) -> Shown:
    """Return some of the pictures with their heat, chi and m, in the middle of the noise schedule."""
    unet, prompts, alphas = setting.unet, setting.prompts, setting.unet.alphas_cumprod
    latents = pictures.latents[:SHOWN].to(alphas)
    count, timestep = len(latents), len(alphas) // 2
    timesteps = torch.full((count,), timestep, device=alphas.device)
    noise = torch.stack([keyed_noise(unet.latent_shape, setting.key, "shown", i) for i in range(count)]).to(alphas)
    noisy = noised(latents, noise, alphas[timesteps])
    masks: list[Tensor] = []
    hook = replace(suppression(setting), watch=masks.append)
    encoded = unet.encoder(noisy, timesteps, joined(prompts.neutral, prompts.target), hook)
    with torch.no_grad():
        unet.decoder(encoded, encoded.h, hook)
    size = encoded.h.shape[2], encoded.h.shape[3]
    heat = heat_map(setting, noisy, timesteps, size)
    chi = torch.stack([fitted(mask, size) for mask in masks]).mean(0)
    asked = setting.config.concepts[setting.name].asked
    title = f"{setting.name}: where {asked!r} is found, at timestep {timestep} of {len(alphas)}"
    return Shown(unet.decode(latents), heat.cpu(), chi.cpu(), attenuation(heat).cpu(), title)


def _attribute(setting: Setting) -> list[int]:
    if not setting.unet.attention_layers:
        raise RespoError("expected a network with cross-attention, found one without; use the objective sdisc")
    target, neutral = setting.prompts.target.tokens, setting.prompts.neutral.tokens
    places = attribute_places(target, neutral)
    if not places:
        raise RespoError(
            f"concepts.{setting.name}: expected a prompt with a word that the neutral prompt "
            f"{setting.config.of(setting.name, 'neutral')!r} does not have, found "
            f"{setting.config.concepts[setting.name].asked!r}; use other words, or the objective sdisc"
        )
    return places


OBJECTIVE = Objective("where", "both", start, terms)
