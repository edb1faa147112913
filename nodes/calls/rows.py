"""Find out which prompt and picture each row of a model call belongs to. Only this file divides the rows.

The host calls the model with rows that are prompts × pictures, the pictures running fastest. Others call it with the
pictures of a sliding window (the host's Context Windows, AnimateDiff-Evolved), or with several tiles of every picture
(TiledDiffusion: tiles × prompts × pictures). A call says which it is in its transformer_options.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...respo_train.core.errors import RespoError
from .conds import LISTS, Cond, conds_of_chunks, with_more

_RUN = "respo_pictures"  # in transformer_options: the _Run that a step belongs to
_SEED = "respo_seed"  # in transformer_options: the noise seed of the run, where an edit follows it
Size = tuple[int, int]


@dataclass(frozen=True)
class _Run:
    """What is sampled: how many pictures, the size of their latents, and which pack may rearrange the calls."""

    count: int
    latent: Size | None
    pack: str


@dataclass(frozen=True)
class Pictures:
    """The pictures of a run that the rows of one prompt show, in the rows' order.

    `rows`: the number of rows. `places`: the place of each row's picture in the run's batch of `count` pictures; None
    where the call does not tell. `latent`: the size of the whole latent; `seen`: the size of the part of it in this
    call; None where unknown. `pack`: the node pack that calls the model in the host's place, if one does. `seed`:
    the run's noise seed, where an edit follows it.
    """

    rows: int
    places: tuple[int, ...] | None
    count: int
    latent: Size | None = None
    seen: Size | None = None
    pack: str = ""
    seed: int | None = None

    @property
    def whole(self) -> bool:
        """Whether the rows are all pictures of the run, in order."""
        return self.places == tuple(range(self.count))

    def known(self) -> tuple[int, ...]:
        """Return `places`. Raises RespoError where the call does not tell them."""
        if self.places is None:
            source = f" ({self.pack})" if self.pack else ""
            raise RespoError(
                f"A call of the model came with {self.rows} rows for each prompt, but {self.count} pictures are being "
                f"sampled, and nothing tells which row is whose. A node between Respo and the sampler{source} "
                "rearranges the batch. Bypass it, or sample one picture at a time."
            )
        return self.places

    def pick(self, values: Tensor) -> Tensor:
        """Return the entry of `values` `[n, …]` for each row. There is one per picture, or a single one to broadcast.

        As the host does with batches, entries beyond the batch are ignored, and too few are repeated from the start.
        Raises RespoError for several entries and a run of one picture: a detailer draws a batch's pictures one by one.
        """
        if len(values) > 1 and self.count == 1:
            raise RespoError(
                f"{len(values)} masks came for a run of one picture, and nothing tells which one is meant. Link one "
                "mask, or sample the pictures as one batch: detailers and lists draw them one at a time."
            )
        if len(values) == 1 or (len(values) == self.count and self.whole):
            return values
        return values[[place % len(values) for place in self.known()]]


@dataclass(frozen=True)
class Chunk:
    """The rows of a call that belong to one prompt, and to one tile where there are several."""

    rows: slice = field(hash=False)
    cond: Cond
    pictures: Pictures

    def require_whole(self, what: str) -> None:
        """Raise RespoError where the rows are tiles of pictures: nothing tells where in a picture a tile lies."""
        latent, seen = self.pictures.latent, self.pictures.seen
        if self.cond.area is None and latent is not None and seen not in (None, latent):
            raise RespoError(
                f"{what} is of whole pictures, but this call of the model shows {list(seen)} of a latent of "
                f"{list(latent)}, and nothing tells which part. Take it off, or sample without tiles."
            )


def name_step(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Any:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE): tell its calls what is sampled, by which lists.

    The lists of prompts are the guider's.
    """
    module = getattr((model_options or {}).get("model_function_wrapper"), "__module__", None) or ""
    pack = re.search(r"custom_nodes[/\\]([^./\\]+)", module)
    run = _Run(len(x), (x.shape[-2], x.shape[-1]), pack.group(1) if pack else "")
    more = {_RUN: run, LISTS: dict(getattr(executor.class_obj, "conds", None) or {})}
    return executor(x, timestep, with_more(model_options, more), seed)


def follow_seed(
    executor: Callable, guider: Any, sigmas: Tensor, extra: Any, callback: Any, noise: Any, *rest: Any
) -> Any:
    """Wrap the host's sampler (WrappersMP.SAMPLER_SAMPLE): tell its calls the run's noise seed.

    Only for models with an edit that follows it: a compiler would compile the network anew for each seed. Raises
    RespoError for a run that has no seed; the host's Disable Noise comes with the seed 0.
    """
    if extra.get("seed") is None or (extra["seed"] == 0 and noise is not None and not noise.any()):
        raise RespoError(
            "A Balance node follows the sampler's seed, but this sampler adds no noise and has no seed. Use KSampler "
            "(Advanced) with the noise_seed of the first pass, or set Balance's seed_from to 'this node'."
        )
    options = with_more(extra["model_options"], {_SEED: extra["seed"]})
    return executor(guider, sigmas, {**extra, "model_options": options}, callback, noise, *rest)


def chunks_of(rows: int, transformer_options: Mapping[str, Any]) -> list[Chunk]:
    """Return the chunks of a call of `rows` rows, in order: one for each prompt, or for each tile of each prompt.

    Raises RespoError when the rows cannot be shared out among the call's prompts.
    """
    conds = conds_of_chunks(transformer_options)
    if rows % len(conds):
        raise RespoError(f"expected the same number of rows for each of {len(conds)} prompts, found {rows} rows.")
    each = rows // len(conds)
    run: _Run = transformer_options.get(_RUN) or _Run(each, None, "")
    window = window_of(transformer_options)
    own = pictures_of(each, run.count if window is None else window)
    size = len(own) if own else each
    shape = transformer_options.get("original_shape")
    seen, seed = shape and (shape[-2], shape[-1]), transformer_options.get(_SEED)
    pictures = Pictures(size, own, run.count, run.latent, seen, run.pack, seed)
    starts = range(0, rows, size)
    return [Chunk(slice(s, s + size), cond, pictures) for s, cond in zip(starts, conds * (each // size), strict=True)]


def pictures_of(rows: int, sampled: int | Sequence[int]) -> tuple[int, ...] | None:
    """Return the places in the run's batch of the pictures that `rows` rows of one prompt show.

    `sampled`: the places that this call was made for, or how many pictures are sampled at once. There may be several
    tiles of them, one after the other. None where the rows do not fit.
    """
    own = tuple(range(sampled)) if isinstance(sampled, int) else tuple(sampled)
    return own if own and rows % len(own) == 0 else None


def window_of(transformer_options: Mapping[str, Any]) -> Sequence[int] | None:
    """Return the places of the pictures of a sliding window, None where the whole batch is sampled at once."""
    window = transformer_options.get("context_window")
    if window is not None and getattr(window, "dim", 0) == 0:
        # Newer hosts put the picture before the window in front of it, and drop what they get for it.
        anchor = getattr(window, "causal_anchor_index", None)
        before = [] if anchor is None or anchor < 0 else [anchor]
        return [*before, *window.index_list]
    evolved = (transformer_options.get("ad_params") or {}).get("sub_idxs")
    return None if evolved is None else list(evolved)
