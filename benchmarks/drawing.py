"""Emoji World's professions, drawn by the trainer's own sampler (DDIM, 20 steps, guidance 3) or by a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.comfy_server import ComfyServer, Pictures
from benchmarks.evidence.bench import BENCH, MODULES
from benchmarks.graph import CHECKPOINT, GUIDANCE, STEPS, Graph
from benchmarks.wrapped import Wrapped
from emoji_world import world
from emoji_world.captions import article
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.protocol import Ask
from respo_train.evaluation.sampler import pictures_from
from respo_train.host.load import load_unet
from respo_train.latents.randomness import keyed_noise
from respo_train.latents.sampling import sample
from respo_train.network import Conditioning, Encoded, SplitNetwork

PROFESSIONS = [profession.word for profession in world.PROFESSIONS]
TRAINED = [profession.word for profession in world.PROFESSIONS if not profession.held_out]
GENDER = "emoji_world_gender.safetensors"


def bench_unet() -> SplitNetwork:
    """Return Emoji World's U-Net."""
    unet: SplitNetwork = load_unet(BENCH / "checkpoint" / CHECKPOINT)
    return unet


def shipped_gender() -> Attribute:
    """Return the shipped module of gender."""
    return load_attribute(MODULES / GENDER)


def photo_of(job: str, suffix: str = "") -> str:
    """Return a profession's prompt; `suffix` ends it."""
    return f"a photo of {article(job)} {job}{suffix}"


def photos(
    images: int, concepts: Sequence[str] = (), jobs: Sequence[str] = PROFESSIONS, suffix: str = "", first: int = 0
) -> list[Ask]:
    """Return `images` pictures of each profession; each concept is asked for equally often.

    `first`: the first profession's first seed; the seeds of two professions do not overlap.
    """
    shares = (("", ", ".join(f"{name} 1" for name in concepts)),) if concepts else ()
    return [
        Ask("", job, photo_of(job, suffix), first + 10_000 * index, images, "", job not in TRAINED, shares=shares)
        for index, job in enumerate(jobs)
    ]


def draw(
    unet: SplitNetwork, prompt: str, key: Sequence[object], modules: Sequence[ConceptModule | None], steps: int = STEPS
) -> Pictures:
    """Draw one picture of `prompt` with each of `modules` (None: none), `[N, H, W, 3]`; same key, same noise."""
    cond, uncond = unet.encode_prompts([prompt, ""])
    noise = torch.stack([keyed_noise(unet.latent_shape, *key, index) for index in range(len(modules))])
    noise = noise.to(unet.alphas_cumprod)
    latents = torch.zeros_like(noise)
    for module in dict.fromkeys(modules):
        rows = [index for index, own in enumerate(modules) if own is module]
        latents[rows] = sample(unet, noise[rows], cond, uncond, steps, GUIDANCE, module)
    return pictures_from(unet, latents)


@torch.no_grad()
def draw_all(
    unet: SplitNetwork,
    asks: Sequence[Ask],
    key: Sequence[object] = (),
    modules: Mapping[str, ConceptModule | None] = MappingProxyType({}),
) -> list[Drawn]:
    """Draw every prompt by the trainer's sampler; same key and prompt, same noise.

    `modules`: concept -> what acts on the pictures that are to show it; nothing where it is missing.
    """
    found = []
    for ask in tqdm(asks, unit="profession", leave=False):
        own = [modules.get(concept) for (concept,) in ask.wishes()]
        found.append(ask.drawn(draw(unet, ask.prompt, [*key, ask.prompt], own)))
    return found


def draw_by(
    server: ComfyServer, asks: Sequence[Ask], graph_of: Callable[[Ask], Graph], nodes: Sequence[str]
) -> Mapping[str, list[Drawn]]:
    """Run each prompt's graph; return what each of `nodes` saved, prompt by prompt."""
    runs: dict[str, list[Drawn]] = {node: [] for node in nodes}
    for ask in tqdm(asks, unit="profession"):
        entry = server.run(graph_of(ask))
        for node, own in runs.items():
            own.append(ask.drawn(server.pictures(entry, node)))
    return runs


def unasked(run: Sequence[Drawn]) -> list[Drawn]:
    """Return the same pictures as ones of which nothing was asked."""
    return [one.asking([""] * len(one.images)) for one in run]


@dataclass
class Recorder(Wrapped):
    """A U-Net that keeps h of every pass of a run in `heard`, the conditional and the unconditional in turns."""

    heard: list[Tensor] = field(default_factory=list)

    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Encoded:
        """Run the first half, and keep h."""
        encoded = self.unet.encoder(latents, timesteps, conditioning)
        self.heard.append(encoded.h)
        return encoded
