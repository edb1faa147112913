"""EquiSteer (ECCV 2026, arXiv 2607.01147) as two nodes of the evidence's server, for this bench alone.

Written from what its README and released code state; nothing is trained. What a cross-attention layer gives out on the
conditional half of guidance loses what lies in the span of the attribute's steering vectors, gets the vector of the
concept that the picture is to show, and keeps its norm. A gate leaves a picture alone whose prompt states a concept.
ComfyUI loads this file on its own, so it imports nothing of the repository.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

TEXT: tuple[str, dict[str, Any]] = ("STRING", {"multiline": True})
NUMBER: tuple[str, dict[str, Any]] = ("FLOAT", {"min": 0.0, "max": 100.0})
Layer = tuple[str, int, int]  # the host's names: part of the U-Net, its block, the transformer's block in there
Change = Callable[[Tensor, Layer, int], Tensor]  # a layer's output [N, tokens, C] at a step -> another one


@dataclass(frozen=True)
class Vectors:
    """What is computed before anything is drawn, for K concepts.

    `vectors`: layer -> [K, C], of length 1, layers in the order in which they run. `magnitude`: (layer, step) -> [K],
    the mean response of prompts that state a concept. `gate`: the layer whose responses the gate reads, in the first
    step; `thresholds`: [K], above which a prompt states a concept.
    """

    concepts: tuple[str, ...]
    vectors: dict[Layer, Tensor]
    magnitude: dict[tuple[Layer, int], Tensor]
    gate: Layer
    thresholds: Tensor


def responses(output: Tensor, vectors: Tensor) -> Tensor:
    """Return the largest response of any token to each vector: `[N, tokens, C]`, `[K, C]` -> `[N, K]`."""
    return (output @ vectors.T).amax(1)


def steered(output: Tensor, vectors: Tensor, added: Tensor) -> Tensor:
    """Return `output` `[N, tokens, C]` less the span of `vectors` `[K, C]` plus `added` `[N, C]`, at its old norms."""
    _, sizes, rows = torch.linalg.svd(vectors, full_matrices=False)
    basis = rows[sizes > 1e-4 * sizes[0]]  # the vectors of two concepts may be opposite
    found = output - (output @ basis.T) @ basis + added[:, None]
    return found / found.norm(dim=-1, keepdim=True).clamp_min(1e-6) * output.norm(dim=-1, keepdim=True)


@dataclass
class Steering:
    """Steers a batch. `wanted`: each picture's concept; `until`: a share of the steps; `gate`: times the thresholds."""

    known: Vectors
    wanted: Sequence[str]
    strength: float
    gate: float
    until: float
    open: Tensor | None = field(default=None, init=False)  # [N]: whose prompt leaves the attribute open

    def __call__(self, output: Tensor, layer: Layer, step: int) -> Tensor:
        """Steer the open pictures. As released, layers before the gate's are left alone in the first step."""
        vectors = self.known.vectors[layer].to(output)
        if step == 0 and layer == next(iter(self.known.vectors)):
            self.open = None  # a new run
        if step == 0 and layer == self.known.gate:
            self.open = (responses(output, vectors) <= self.gate * self.known.thresholds.to(output)).all(1)
        steps = 1 + max(step for _, step in self.known.magnitude)
        if self.open is None or step >= self.until * steps:
            return output
        wanted = torch.tensor([self.known.concepts.index(name) for name in self.wanted], device=output.device)
        sizes = self.strength * self.known.magnitude[layer, step].to(output)
        found = steered(output, vectors, (sizes[:, None] * vectors)[wanted])
        return torch.where(self.open[:, None, None], found, output)


def patched(model: Any, change: Change) -> Any:
    """Return a copy of the host's MODEL; `change` gets each cross-attention's output of the conditional half."""

    def patch(output: Tensor, options: dict[str, Any]) -> Tensor:
        sigmas = options["sample_sigmas"].to(options["sigmas"])
        step = int((sigmas[:-1] - options["sigmas"][0]).abs().argmin())
        layer = (*options["block"][:2], options["block_index"])
        which = options["cond_or_uncond"]
        parts = zip(output.chunk(len(which)), which, strict=True)
        return torch.cat([change(part, layer, step) if half == 0 else part for part, half in parts])

    copy = model.clone()
    copy.set_model_attn2_output_patch(patch)
    return copy


def recorded(
    model: Any, clip: Any, prompts: Sequence[str], noises: int, last: int | None = None, **run: Any
) -> dict[tuple[Layer, int], Tensor]:
    """Draw a picture of each prompt, in turn from so many noises; return (layer, step) -> `[prompts, tokens, C]`.

    `run`: arguments of the host's sampling; `last`: after how many steps it ends.
    """
    import comfy.sample

    found: dict[tuple[Layer, int], Tensor] = {}

    def keep(output: Tensor, layer: Layer, step: int) -> Tensor:
        found[layer, step] = output.detach().float().clone()
        return output

    def encoded(*texts: str) -> list[Any]:
        return [[torch.cat([clip.encode_from_tokens(clip.tokenize(text)) for text in texts]), {}]]

    latent = torch.zeros(len(prompts), 4, 16, 16)  # of Emoji World
    noise = comfy.sample.prepare_noise(latent[:noises], 0).repeat(len(prompts) // noises, 1, 1, 1)
    given = {"positive": encoded(*prompts), "negative": encoded(""), "latent_image": latent, "last_step": last}
    comfy.sample.sample(patched(model, keep), noise, seed=0, disable_pbar=True, **given, **run)
    return found


class EquiSteerVectors:
    """MODEL, CLIP -> steering vectors, magnitudes and the gate's thresholds, from prompts that state a concept."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("EQUISTEER",), "compute", "benchmarks"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the host's word
        """Return the inputs. `pairs`, `calibration`: JSON, concept -> [prompts that state it, as many that do not]."""
        texts = dict.fromkeys(("pairs", "calibration", "sampler_name", "scheduler"), TEXT)
        return {"required": {"model": ("MODEL",), "clip": ("CLIP",), **texts, "steps": ("INT", {}), "cfg": NUMBER}}

    def compute(self, model: Any, clip: Any, pairs: str, calibration: str, **run: Any) -> tuple[Vectors]:
        """Take vectors from the first step alone, as released; magnitudes from every step."""
        vectors: dict[Layer, Tensor] = {}
        for stated, other in json.loads(pairs).values():
            for (layer, _), output in recorded(model, clip, [*stated, *other], 1, last=1, **run).items():
                apart = output[: len(stated)].mean((0, 1)) - output[len(stated) :].mean((0, 1))
                vectors[layer] = torch.cat([vectors.get(layer, apart[None][:0]), apart[None] / apart.norm()])
        found: dict[tuple[Layer, int], list[Tensor]] = {}  # of each concept [2, prompts]: stated, neutral
        known = json.loads(calibration)
        for number, (stated, neutral) in enumerate(known.values()):
            for at, output in recorded(model, clip, [*stated, *neutral], len(stated), **run).items():
                own = responses(output, vectors[at[0]])[:, number].unflatten(0, (2, -1))
                found.setdefault(at, []).append(own)
        magnitude = {at: torch.stack([one[0].mean() for one in own]) for at, own in found.items()}

        def told_apart(layer: Layer) -> float:  # the area under the ROC curve
            return sum(float((one[0][:, None] > one[1]).float().mean()) for one in found[layer, 0])

        gate = max(vectors, key=told_apart)
        thresholds = torch.stack([one.mean() for one in found[gate, 0]])  # midway between both means
        return (Vectors(tuple(known), vectors, magnitude, gate, thresholds),)


class EquiSteer:
    """MODEL -> MODEL that steers each picture of a batch to its concept."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "apply", "benchmarks"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the host's word
        """Return the inputs. `wanted`: a concept for each picture, one a line; none: off."""
        numbers = dict.fromkeys(("strength", "gate", "until"), NUMBER)
        return {"required": {"model": ("MODEL",), "known": ("EQUISTEER",), "wanted": TEXT, **numbers}}

    def apply(self, model: Any, known: Vectors, wanted: str, **settings: Any) -> tuple[Any]:
        """Return the steered model; the very same one when no picture has a concept."""
        return (patched(model, Steering(known, wanted.split("\n"), **settings)) if wanted else model,)


NODE_CLASS_MAPPINGS = {"EvidenceEquiSteerVectors": EquiSteerVectors, "EvidenceEquiSteer": EquiSteer}
