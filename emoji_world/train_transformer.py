"""Train the transformer on the pictures' latents by flow matching (Lipman et al. 2022), with the shipped text encoder.

x = (1 - sigma) z + sigma noise; the network predicts the velocity noise - z.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from respo_train.core.files.write import locked, replacing
from respo_train.evaluation.drawn import to_tensor
from respo_train.host.locate import use_host
from respo_train.precision import autocast

from . import text
from .captions import Picture
from .dataset import Dataset
from .training import Loop, split_optimizers

if TYPE_CHECKING:
    from .sample import World

STATE = "transformer.pt"
BATCH = 64
STEPS = 5000
SAVE_EVERY = 25  # steps; one takes seconds
SIZES = ((192, 192), (96, 160), (160, 96))  # (height, width) of the further trainings, besides the native size
PICTURES = 16_000  # the first of the 40,000: encoding them all would take longer than much of the training
OF_OTHER_SIZES = 2000  # pictures of each of SIZES
UNCONDITIONAL = 0.10  # share of captions replaced by the empty one, for classifier-free guidance
# sigma is logit-normal (Esser et al. 2024), a little wider and noisier than theirs: who is in the picture is decided
# early, where it is little more than noise.
LOGIT_MEAN, LOGIT_SPREAD = 0.2, 1.2
PLAIN = ("embedder", "adaLN_modulation", "final_layer")  # first and last layers and modulations, trained by AdamW


@dataclass(frozen=True)
class Emphasis:
    """How many times as often pictures are seen as their share of the data; neutral captions keep their bias.

    `explicit`: those whose captions name a gender or a skin tone; `night`: those whose neutral caption says "at night".
    `rare`: how many times as often as other explicit ones those that name the rarer gender of their profession.
    """

    explicit: float = 3.0
    night: float = 2.0
    rare: float = 1.0

    def of(self, picture: Picture) -> float:
        """Return a picture's weight."""
        if picture.kind == "explicit":
            return self.explicit * (self.rare if picture.names_rare_gender() else 1.0)
        return self.night if picture.kind == "neutral" and "at night" in picture.caption else 1.0


@dataclass(frozen=True)
class Further:
    """A training at several sizes that goes on from the averaged weights of the one before it.

    `state`: its file; `pictures`: how many of the native size; `rates`: of Muon and of AdamW.
    """

    state: str
    pictures: int
    rates: tuple[float, float]
    emphasis: Emphasis
    steps: int = 1700


FURTHER = (
    # Rotary places that a network has never seen mean nothing to it: trained at one size it shows the profession in
    # 29 % of its pictures of 192 x 192. And 6 % of the night's pictures had a weapon; of the data's, 47 %.
    Further("transformer_sizes.pt", 8000, (0.008, 6e-4), Emphasis(3.0, 5.0)),
    # After that it did not listen well enough: 96 % of the explicit prompts at the native size, 82 % at 192 x 192.
    Further("transformer_refined.pt", 8000, (0.012, 9e-4), Emphasis(4.0, 6.0)),
    # Of 288 pictures of "a woman pilot" and the like 15 were still wrong, 12 of them women drawn as men where men are
    # usual, firefighters above all.
    Further("transformer_heard.pt", PICTURES, (0.012, 9e-4), Emphasis(4.0, 6.0, 3.0)),
)


def host_network() -> Any:
    """Return the host's network, not initialised."""
    use_host()
    from respo_train.host.emoji_world_model import build_transformer

    return build_transformer()


class Velocity(nn.Module):
    """The transformer and the text encoder as one module."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.transformer = host_network()
        self.text = text.build(tokens)


def build(seed: int) -> Any:
    """Return the host's network, initialised: every block begins as a small change, and the prediction as zero."""
    network = host_network()
    generator = torch.Generator().manual_seed(seed)
    for name, p in network.named_parameters():
        if p.ndim < 2:
            nn.init.constant_(p, 0.0 if name.endswith("bias") else 1.0)  # biases; weights of norms
        elif "adaLN_modulation" in name or name.startswith("final_layer"):
            nn.init.zeros_(p)
        else:
            nn.init.xavier_uniform_(p, generator=generator)
    for block in (*network.noise_refiner, *network.layers):
        with torch.no_grad():  # scale, gate, scale, gate
            block.adaLN_modulation[1].bias.view(2, 2, -1)[:, 1] = 0.5
    return network


def attention(_: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, *__: Any, **___: Any) -> Tensor:
    """[B, heads, tokens, D] -> [B, tokens, heads D]: the host's attention by two batched products, without a mask.

    At these sizes that is faster on a CPU.
    """
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


OPTIONS = {"optimized_attention_override": attention}


def encode(data: Dataset, world: World, target: Path, count: int = PICTURES) -> Tensor:
    """Return the shipped autoencoder's latents of the first `count` pictures, float16 [count, 4, H / 8, W / 8].

    They are kept in the file `target`, and only those that are not there yet are computed.
    """
    height, width = data.images.shape[1:3]
    with locked(target, wait=0):
        if not target.exists():
            with replacing(target) as file:
                np.save(file, np.full((len(data.images), 4, height // 8, width // 8), np.nan, np.float16))
        kept = np.lib.format.open_memmap(target, "r+")
        for start in tqdm(range(0, count, 64), desc="latents"):
            rows = slice(start, min(start + 64, count))
            if np.isnan(kept[rows]).any():
                with torch.inference_mode():
                    kept[rows] = world.autoencoder.taesd_encoder(to_tensor(data.images[rows])).half().numpy()
        return torch.from_numpy(kept[:count].copy())


def train(data: Dataset, world: World, folder: Path, seed: int, steps: int = STEPS) -> None:
    """Train for `steps`; the state in `folder` is kept every few steps, and a run goes on from it."""
    latents = encode(data, world, folder / "shipped_latents.npy")
    network = build(seed)
    if os.environ.get("EMOJI_WORLD_COMPILE", "1") == "1":
        for block in network.layers:
            block.compile()
    loss_of = flow_loss(network, world, [(latents, data.pictures[:PICTURES])])
    optimizers = split_optimizers(network, 0.02, 1.5e-3, plain=PLAIN)
    loop = Loop(network, optimizers, folder / STATE, steps, seed, save_every=SAVE_EVERY)
    loop.run(loss_of, "transformer")


def go_on(data: Sequence[Dataset], world: World, folder: Path, seed: int, steps: int | None = None) -> None:
    """Train as each of FURTHER says, one after the other; `data`: the native size's, then those of `SIZES`."""
    names = [f"shipped_latents_{h}x{w}.npy" for h, w in SIZES]
    others = [
        (encode(one, world, folder / name, OF_OTHER_SIZES), one.pictures[:OF_OTHER_SIZES])
        for one, name in zip(data[1:], names, strict=True)
    ]
    for further in FURTHER:
        count, (muon, adam) = further.pictures, further.rates
        native = encode(data[0], world, folder / "shipped_latents.npy", count), data[0].pictures[:count]
        network = host_network()
        network.load_state_dict(averaged(folder, before=further))
        loss_of = flow_loss(network, world, [native, *others], further.emphasis)
        optimizers = split_optimizers(network, muon, adam, plain=PLAIN)
        loop = Loop(network, optimizers, folder / further.state, steps or further.steps, seed, save_every=SAVE_EVERY)
        loop.run(loss_of, Path(further.state).stem)


def averaged(folder: Path, before: Further | None = None) -> dict[str, Tensor]:
    """Return the averaged weights of the last training in `folder`, finished or not, or of the one before another."""
    states = [STATE, *(further.state for further in FURTHER)]
    if before is None:
        state = next((one for one in reversed(states) if (folder / one).exists()), STATE)
    else:
        state = states[FURTHER.index(before)]
    found: dict[str, dict[str, Tensor]] = torch.load(folder / state, weights_only=True)
    return found["average"]


def flow_loss(
    network: nn.Module,
    world: World,
    sets: Sequence[tuple[Tensor, list[Picture]]],
    emphasis: Emphasis = Emphasis(),
    batch: int = BATCH,
) -> Callable[[torch.Generator], Tensor]:
    """Return the loss of one random batch as a function of the generator that draws it.

    `sets`: (latents, pictures) of each size. Half of the batches are of the first, the others of any of the rest.
    """
    import comfy.model_management

    comfy.model_management.in_training = True  # newer hosts' fused operations have no gradient
    known = [
        (
            latents,
            torch.tensor([emphasis.of(p) for p in pictures]),
            torch.tensor([world.rows(p.caption) for p in pictures]),
        )
        for latents, pictures in sets
    ]
    empty = torch.tensor(world.rows(""))

    def loss_of(generator: torch.Generator) -> Tensor:
        latents, weights, rows = known[_any_size(len(known), generator)]
        index = torch.multinomial(weights, batch, replacement=True, generator=generator)
        z = latents[index].float()
        noise = torch.randn(z.shape, generator=generator)
        sigma = _sigmas(batch, generator)
        share = sigma[:, None, None, None]
        words = torch.where(torch.rand(batch, 1, generator=generator) < UNCONDITIONAL, empty, rows[index])
        with torch.no_grad():
            context = text.context(world.denoiser.text, words)
        with autocast():
            velocity = network(
                (1 - share) * z + share * noise, sigma, context, context.shape[1], transformer_options=OPTIONS
            )
        return (velocity.float() - (noise - z)).square().mean()

    return loss_of


def _any_size(count: int, generator: torch.Generator) -> int:
    if count == 1:
        return 0
    native = torch.rand((), generator=generator) < 0.5
    return 0 if native else int(torch.randint(1, count, (), generator=generator))


def _sigmas(batch: int, generator: torch.Generator) -> Tensor:
    """[batch]: logit-normal, one from each of `batch` equally likely strata, which makes the loss less noisy."""
    places = (torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)) / batch
    normal = torch.special.ndtri(places.clamp(1e-4, 1 - 1e-4))
    return torch.sigmoid(LOGIT_MEAN + LOGIT_SPREAD * normal)
