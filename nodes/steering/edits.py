"""What Respo can do to h, the output of the U-Net's middle block: immutable values, and the tensors that they add.

Nothing here depends on the host. When a model is patched, `addition` is called once for each edit. It returns a closure
that caches resized and moved tensors: the host deep-copies patch objects and may call them from several threads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.concept import ConceptModule
from ...respo_train.core.module.grid import resize
from ...respo_train.core.module.h_map import HMap
from ...respo_train.core.module.probe import PromptProbe
from ..calls.conds import Guidance
from ..calls.rows import Chunk, Size
from ..recording.record import RecordedCall

WHOLE_RUN = (math.inf, 0.0)
_SIZES_KEPT = 8  # sizes of h whose tensors are cached: enough for a second pass and a few area prompts


@dataclass(frozen=True)
class Moment:
    """The context of one chunk in one call of the U-Net.

    `sigmas`: noise levels of its rows `[b or 1]`; `recorded`: recorded data for this U-Net call, keyed by the record's
    SHA-256; `prompts`: the chunk's encoded prompts `[b or 1, places, D]`. None when unknown.
    """

    chunk: Chunk
    sigmas: Tensor | None
    recorded: Mapping[str, RecordedCall] = field(default_factory=dict)
    prompts: Tensor | None = None


# (a chunk's h `[b, C, H, W]`, its context) -> what to add to it, `[C, H, W]` or `[b, C, H, W]`, float32
Addition = Callable[[Tensor, Moment], Tensor]


class Images(Protocol):
    """Which pictures of a run an edit changes. Equal ones choose the same pictures.

    `follows`: whether that depends on the run's noise seed.
    """

    @property
    def follows(self) -> bool: ...
    def __call__(self, count: int, seed: int | None) -> Sequence[bool]:
        """Return a flag for each of `count` pictures of a run; `seed`: its noise seed, None where nothing asks for it.

        Raises RespoError where it cannot be told.
        """
        ...


class Edit(Protocol):
    """One addition to h. Equal edits add the same values. Edits are sorted by their repr, so it shows the whole value.

    `sigmas`: (high, low); the edit acts where high >= sigma > low. `guidance`: the side of guidance that it changes.
    `images`: chooses the pictures that it changes; None means all of them. `block`: the block of a transformer behind
    which it acts.
    """

    @property
    def block(self) -> int: ...
    @property
    def sigmas(self) -> tuple[float, float]: ...
    @property
    def guidance(self) -> Guidance: ...
    @property
    def images(self) -> Images | None: ...
    def addition(self) -> Addition: ...


@dataclass(frozen=True)
class Area:
    """A mask for an edit: `mask` `[b or 1, H, W]`, 0 … 1, of any size. Areas with the same contents are equal."""

    sha256: str
    mask: Tensor = field(compare=False, repr=False)

    @classmethod
    def of(cls, mask: Tensor) -> Area:
        """Take a host MASK, `[H, W]` or `[b, H, W]`.

        Raises RespoError for another shape or values that are not finite.
        """
        mask = mask.detach().float().cpu().clone()
        mask = mask[None] if mask.ndim == 2 else mask
        if mask.ndim != 3 or mask.numel() == 0 or not torch.isfinite(mask).all():
            raise RespoError(f"expected a mask of finite numbers [images, height, width], found {list(mask.shape)}.")
        sizes = f"{tuple(mask.shape)}".encode()
        return cls(hashlib.sha256(sizes + mask.numpy().tobytes()).hexdigest(), mask.clamp(0, 1))

    def at(self, size: Size, moment: Moment) -> Tensor:
        """Return the mask for the part of the picture that a chunk covers, resized: `[b or 1, 1, *size]`.

        Raises RespoError for a tile of the picture, whose place in it is unknown.
        """
        moment.chunk.require_whole("A mask")
        mask, area, latent = moment.chunk.pictures.pick(self.mask), moment.chunk.cond.area, moment.chunk.pictures.latent
        if area is not None and latent is not None:
            height, width, y, x = area
            mask = resize(mask, *latent)[:, y : y + height, x : x + width]
        return resize(mask, *size)[:, None]


@dataclass(frozen=True)
class ModuleEdit:
    """A concept's change of h, the same at every step (RespoDiff, arXiv 2509.15257, section 3).

    `file`, `sha256` and `concept` identify the tensors, which `module` holds. `probe`: decides from the encoded prompt
    whether to act; None means always. Raises RespoError when strength or fidelity is not finite.
    """

    sha256: str
    concept: str
    strength: float
    fidelity: float
    sigmas: tuple[float, float]
    guidance: Guidance
    module: ConceptModule = field(compare=False, repr=False)
    images: Images | None = None
    area: Area | None = None
    probed: bool = False
    probe: PromptProbe | None = field(default=None, compare=False, repr=False)
    file: str = field(default="", compare=False, repr=False)
    block: int = 0

    def __post_init__(self) -> None:
        for name in ("strength", "fidelity"):
            if not math.isfinite(getattr(self, name)):
                raise RespoError(f"expected {name} as a finite number, found {getattr(self, name)}.")

    def describe(self) -> dict[str, Any]:
        """Return plain values for a picture's metadata, and "images" (see `Edit`)."""
        start, end = self.sigmas
        named = {"module": self.file, "sha256": self.sha256, "concept": self.concept, "guidance": self.guidance}
        amounts = {"strength": self.strength, "fidelity": self.fidelity, "masked": self.area is not None}
        amounts["only_open_prompts"] = self.probe is not None
        whole = self.sigmas == WHOLE_RUN
        span = {"start_sigma": None if whole else start, "end_sigma": None if whole else end}
        return {**named, **amounts, **span, "images": self.images}

    def addition(self) -> Addition:
        """See `Edit`."""

        @lru_cache(maxsize=_SIZES_KEPT)
        def constant(height: int, width: int, device: torch.device) -> Tensor:
            return self.module.delta(height, width, self.strength, self.fidelity).to(device, torch.float32)

        # Copies, because the module's own tensors are shared by every node that uses the module.
        @lru_cache(maxsize=1)
        def map_on(device: torch.device) -> HMap | None:
            return None if self.module.map is None else deepcopy(self.module.map).to(device)

        @lru_cache(maxsize=1)
        def probe_on(device: torch.device) -> PromptProbe | None:
            return None if self.probe is None else deepcopy(self.probe).to(device)

        @torch.no_grad()
        def add(h: Tensor, moment: Moment) -> Tensor:
            value, map_of_h = constant(h.shape[2], h.shape[3], h.device), map_on(h.device)
            if map_of_h is not None:
                value = value + self.strength * map_of_h(h)
            if self.area is not None:
                mask = self.area.at((h.shape[2], h.shape[3]), moment).to(h.device)
                value = value * mask
            probe = probe_on(h.device)
            if probe is None or moment.prompts is None:
                return value
            is_open = probe.leaves_open(moment.prompts.to(h.device))
            return torch.where(is_open[:, None, None, None], value, 0.0)

        return add
