"""What Respo can do to h, the output of the U-Net's middle block: immutable values.

Nothing here depends on the host. `plan.py` turns edits into the tensors that they add in one call of the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.concept import ConceptModule
from ...respo_train.core.module.grid import resize
from ...respo_train.core.module.probe import PromptProbe
from ..calls.conds import Guidance
from ..calls.rows import Chunk, Size

WHOLE_RUN = (math.inf, 0.0)


class Part(Protocol):
    """What an edit adds in one call, its tensors on the call's device. `limited`: whether regions limit it."""

    @property
    def limited(self) -> bool: ...
    def terms(self, h: Tensor) -> Sequence[Tensor]:
        """Return the summands for `h` `[rows, C, H, W]`, in order: each `[rows, C, H, W]`, float32."""
        ...


class Images(Protocol):
    """Which pictures of a run an edit changes. Equal ones choose the same pictures.

    `follows`: whether that depends on the run's noise seed. `choice`: edits with the same first entry and another
    second one never change the same picture.
    """

    @property
    def follows(self) -> bool: ...
    @property
    def choice(self) -> tuple[Hashable, Hashable]: ...
    def __call__(self, count: int, seed: int | None) -> Sequence[bool]:
        """Return a flag for each of `count` pictures of a run; `seed`: its noise seed, None where nothing asks for it.

        Raises RespoError where it cannot be told.
        """
        ...


class Edit(Protocol):
    """One addition to h. Equal edits add the same values. Edits are sorted by their repr, so it shows the whole value.

    `sigmas`: (high, low); the edit acts where high >= sigma > low. `guidance`: the side of guidance that it changes.
    `images`: chooses the pictures that it changes; None means all of them. `probe`: decides from the encoded prompt
    whether to act; None means always. `block`: the block of a transformer behind which it acts.
    """

    @property
    def block(self) -> int: ...
    @property
    def sigmas(self) -> tuple[float, float]: ...
    @property
    def guidance(self) -> Guidance: ...
    @property
    def images(self) -> Images | None: ...
    @property
    def probe(self) -> PromptProbe | None: ...


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

    def over(self, chunks: Sequence[Chunk], size: Size) -> Tensor:
        """Return the mask for each row of a call, resized: `[rows, 1, *size]`, on the CPU.

        Raises RespoError for a tile of the picture, whose place in it is unknown.
        """
        return torch.cat([self._over(chunk, size) for chunk in chunks])

    def _over(self, chunk: Chunk, size: Size) -> Tensor:
        chunk.require_whole("A mask")
        mask, area, latent = chunk.pictures.pick(self.mask), chunk.cond.area, chunk.pictures.latent
        if area is not None and latent is not None:
            height, width, y, x = area
            mask = resize(mask, *latent)[:, y : y + height, x : x + width]
        return resize(mask, *size)[:, None].expand(chunk.rows.stop - chunk.rows.start, -1, -1, -1)


@dataclass(frozen=True)
class ModuleEdit:
    """A concept's change of h, the same at every step (RespoDiff, arXiv 2509.15257, section 3).

    `file`, `sha256` and `concept` identify the tensors, which `module` holds. Raises RespoError when strength or
    fidelity is not finite.
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
