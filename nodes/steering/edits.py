"""What Respo can do to h, the output of the U-Net's middle block: immutable values.

Nothing here depends on the host. `plan.py` turns edits into the tensors that they add in one call of the model.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.counting.seats import Seats
from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.concept import ConceptModule
from ...respo_train.core.module.grid import resize
from ...respo_train.core.module.probe import PromptProbe
from ..calls.conds import Guidance
from ..calls.rows import Chunk, Size
from ..shared.wire import LoadedModule

WHOLE_RUN = (math.inf, 0.0)


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
class PicturesWithConcept:
    """Says which pictures of a run get `concept` of the attribute at index `place`.

    `told`: how many pictures the node has written labels for. Equal values choose the same pictures.
    """

    seats: Seats
    place: int
    concept: str
    told: int

    @property
    def follows(self) -> bool:
        """Whether that depends on the run's noise seed."""
        return self.seats.follows

    @property
    def choice(self) -> tuple[Hashable, Hashable]:
        """Two edits with the same first entry and another second one never change the same picture."""
        return (self.seats, self.place), self.concept

    def __call__(self, count: int, seed: int | None) -> list[bool]:
        """Return a flag for each of `count` pictures; `seed`: the run's noise seed, None where nothing asks for it.

        Raises RespoError where it cannot be told.
        """
        flags = [given[self.place] == self.concept for given in self.seats.of(count, seed)]
        if count == 1 < self.told and not self.follows and flags[0]:
            logging.warning(
                "Respo: Balance expects %d pictures, but this one is drawn alone and gets the first picture's concept, "
                "%s. For detailers and lists set Balance's seed_from to 'the sampler'.",
                self.told,
                self.concept,
            )
        return flags


@dataclass(frozen=True)
class ModuleEdit:
    """A concept's change of h, the same at every step (RespoDiff, arXiv 2509.15257, section 3).

    `file`, `sha256` and `concept` identify the tensors, which `module` holds. `sigmas`: (high, low); it acts where
    high >= sigma > low. `guidance`: the side of guidance that it changes. `images`: chooses the pictures that it
    changes; None means all. `probe`: decides from the encoded prompt whether to act; None means always. `block`: the
    block of a transformer behind which it acts. Edits are sorted by their repr, so it shows the whole value.
    """

    sha256: str
    concept: str
    strength: float
    fidelity: float
    sigmas: tuple[float, float]
    guidance: Guidance
    module: ConceptModule = field(compare=False, repr=False)
    images: PicturesWithConcept | None = None
    area: Area | None = None
    probed: bool = False
    probe: PromptProbe | None = field(default=None, compare=False, repr=False)
    file: str = field(default="", compare=False, repr=False)
    block: int = 0

    @classmethod
    def of(cls, module: LoadedModule, concept: str, strength: float, **more: Any) -> ModuleEdit:
        """Make the edit for one concept of a module; `more`: further fields. Raises UnknownConcept."""
        attribute, own = module.attribute, {**more, "file": module.file, "probed": more.get("probe") is not None}
        values, block = attribute.concept(concept), attribute.architecture.block
        return cls(module.sha256, concept, strength, module=values, block=block, **own)

    def describe(self) -> dict[str, Any]:
        """Return plain values for a picture's metadata, and "images"."""
        start, end = self.sigmas
        named = {"module": self.file, "sha256": self.sha256, "concept": self.concept, "guidance": self.guidance}
        amounts = {"strength": self.strength, "fidelity": self.fidelity, "masked": self.area is not None}
        amounts["only_open_prompts"] = self.probe is not None
        whole = self.sigmas == WHOLE_RUN
        span = {"start_sigma": None if whole else start, "end_sigma": None if whole else end}
        return {**named, **amounts, **span, "images": self.images}
