"""`python -m benchmarks.transformer_places [--images N]`: where in a transformer a concept is learned best.

On Emoji World's transformer the preset *gender* is trained in each of these places by the same trainer. All draw the
prompts of the fourteen professions that are not held out, from the same noise, by the trainer's own sampler (DDIM, 20
steps, guidance 3, modules on the conditional half, without Where or a record):

- image tokens behind block k, for every k: a constant for each place and a map; one vector for all places and a map;
  and a constant alone;
- text tokens behind block k: one vector, which is added to all of them, as in SHIFT;
- every block: a vector for each token, text and image, as the follow-up of Learning Where It Matters has it. These have
  no meaning at another size.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from benchmarks.command import Row, pictures, run
from benchmarks.drawing import TRAINED, draw_all, photos
from benchmarks.evidence.bench import BENCH, examiners
from benchmarks.graph import TRANSFORMER
from benchmarks.scoring import compared, score
from emoji_world import text, world
from respo_train.core.module.tokens import TokenGrid
from respo_train.host.load import load_unet
from respo_train.host.split_transformer import STEPS, HostTransformer, _Pass
from respo_train.network import AttentionHook, Conditioning, Encoded
from respo_train.settings.preset_files import read_config
from respo_train.trainer import train

PLACES = 8  # rows and columns of image tokens at the native size
FIRST_SEED = 7_000_000  # of pictures that no other figure is of
VECTOR = {"map_width": None, "map_lr": None, "kind": "channel"}  # one vector, wherever it is added
# Without a map a constant has to be driven further, see evidence/README.md: the U-Net's settings.
CONSTANT = {"target_guidance": 3.3, "lambda": 0.5, "responsible_lr": 0.05, "semantic_lr": 0.03}


class TextTokens(HostTransformer):
    """h are the text's tokens behind block k, `[B, D, 1, tokens]`."""

    def _pass(self, latents: Tensor, context: Tensor) -> _Pass:
        del latents
        return _Pass(self._last, "behind the text", TokenGrid(1, context.shape[1], text=0))


class EveryBlock(HostTransformer):
    """h is zero, `[B, blocks D, 1, tokens]`: what a module makes of it is added to each token behind each block."""

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Nothing runs before the first block. See `network.SplitNetwork`."""
        del hook
        context = conditioning.context.expand(len(latents), -1, -1)
        tokens = context.shape[1] + self._pass(latents, context).grid.count
        width = self.architecture.middle_channels * len(self._net.layers)
        h = latents.new_zeros(len(latents), width, 1, tokens)
        return Encoded(h, (), (timesteps + 1).float() / (STEPS + 1), context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Run the network with what was added to `h` behind its blocks."""
        self._layout = {}
        self._now.added = h[:, :, 0].unflatten(1, (len(self._net.layers), -1)).mT.unbind(1)
        return super().decoder(encoded, h, hook)

    def _pass(self, latents: Tensor, context: Tensor) -> _Pass:
        found = super()._pass(latents, context)
        found.begun = True
        return found

    def _run_block(self, place: tuple[str, int], forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        output = super()._run_block(place, forward, *arguments, **named)
        return output + self._now.added[place[1]].to(output) if place[0] == "layers" else output


@dataclass(frozen=True)
class Place:
    """Where modules act. `changes`: settings of the training that differ from the preset's and recipe's."""

    title: str
    kind: type[HostTransformer] = HostTransformer
    block: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)

    def network(self) -> HostTransformer:
        """Return the network as it is split here."""
        found: Any = load_unet(BENCH / "checkpoint" / TRANSFORMER.checkpoint, block=self.block)
        parts = found._patcher, found._clip, found._vae, found._device, found._dtype
        return self.kind(*parts, owned=True, block=self.block)


def places(blocks: int) -> list[Place]:
    """Return what is compared, on a network of so many blocks."""
    every = range(1, blocks + 1)
    whole = {"grid": [PLACES, PLACES]}  # the trainer's default is at most 4 x 4
    return [
        *(Place(f"image tokens behind block {k}", block=k, changes=whole) for k in every),
        Place("image tokens behind block 3, one vector and a map", block=3, changes={"kind": "channel"}),
        Place("image tokens behind block 3, 4 x 4 places and a map", block=3, changes={"grid": [4, 4]}),
        Place(
            "image tokens behind block 3, rank 4 and a map", block=3, changes={"kind": "low_rank", "rank": 4} | whole
        ),
        Place("image tokens behind block 3, a constant", block=3, changes=VECTOR | CONSTANT | {"kind": "grid"} | whole),
        *(Place(f"text tokens behind block {k}", TextTokens, k, {**VECTOR, **CONSTANT}) for k in (2, 3)),
        *(
            Place(f"each token in every block, guidance {g:g}", EveryBlock, 1, _every_block(g))
            for g in (1.0, CONSTANT["target_guidance"])
        ),
    ]


def _every_block(guidance: float) -> dict[str, Any]:
    rates = {"responsible_lr": 0.003, "semantic_lr": 0.0}  # with .05, as elsewhere, the loss grew from the first step
    grid = [1, text.MAX_TOKENS + PLACES**2]
    return {**VECTOR, **CONSTANT, **rates, "kind": "grid", "grid": grid, "target_guidance": guidance, "lambda": 0.0}


def rows(options: Namespace) -> Iterator[Row]:
    """Yield the figures of the model as it is, and of modules trained at each place."""
    plain = Place("unmodified").network()
    asks = photos(options.images, world.GENDERS, TRAINED, first=FIRST_SEED)
    judge, segmenter = examiners()
    before = draw_all(plain, asks, ["places"])
    yield "unmodified", score(judge, before)
    for place in places(len(plain._net.layers)):
        if options.only and place.title not in options.only:
            continue
        unet = place.network()
        modules = train(read_config("gender", place.changes, "respo"), unet).modules()
        after = draw_all(unet, asks, ["places"], modules)
        numbers = sum(p.numel() for p in modules[world.GENDERS[0]].parameters())
        yield place.title, {**compared(judge, segmenter, before, after), "numbers_a_concept": numbers}


OPTIONS = {
    "--images": pictures(12, fewest=2),
    "--only": {"nargs": "+", "metavar": "TITLE", "help": "only these places"},
}

if __name__ == "__main__":
    sys.exit(run("transformer_places", __doc__, rows, OPTIONS))
