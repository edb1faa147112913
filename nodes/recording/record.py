"""Record of a run without modules: for each call of the model, the low band of h and the guided prediction.

A record is an immutable value, made by Record Run. Another run finds the matching call by its sigma and, for samplers
that call the model several times at one sigma (heun, dpm_2), by the order of those calls.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.frequency import block_means, spread
from ..calls.rows import Chunk, Pictures, Size
from .run_identity import RunIdentity

CallKey = tuple[float, int]  # (sigma, which of the calls at this sigma, from 0)
PromptKey = tuple[str, int]  # a Cond's name and index


class Pace:
    """Counts a run's calls, to find the key of the next one. Each run makes its own."""

    def __init__(self) -> None:
        self._seen: Counter[float] = Counter()

    def next(self, sigma: float) -> CallKey:
        """Return the key of the call that begins now."""
        self._seen[sigma] += 1
        return sigma, self._seen[sigma] - 1


@dataclass(frozen=True)
class Band:
    """The low band of one prompt's h, `[b, C, height, width]`. `means`: the means of its 2 x 2 blocks, 16 bits each."""

    means: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, h: Tensor) -> Band:
        """Compute it from the h of one prompt, `[b, C, H, W]`. Only the block means are kept."""
        dtype = torch.float16 if h.dtype.itemsize > 2 else h.dtype
        return cls(block_means(h.detach().float()).to(dtype), h.shape[2], h.shape[3])

    def of_pictures(self, pictures: Pictures) -> Band:
        """Return the band of some of the run's pictures, in their order."""
        if pictures.whole:
            return self
        rows = torch.stack([self.means[place] for place in pictures.known()])  # not by a list: that waits on a GPU
        return Band(rows, self.height, self.width)

    def zeros(self, rows: int) -> Band:
        """Return a band of `rows` rows of the same size without anything."""
        return Band(self.means.new_zeros(rows, *self.means.shape[1:]), self.height, self.width)

    @classmethod
    def joined(cls, bands: Sequence[Band]) -> Band:
        """Join the bands of a call's prompts. Raises RespoError when their sizes differ."""
        first, *others = bands
        for band in others:
            first.require(band.height, band.width, band.means.shape[1])
        return cls(torch.cat([band.means for band in bands]), first.height, first.width)

    def low_band(self, like: Tensor, levels: int) -> Tensor:
        """Return it for an h, float32. Raises RespoError for an h of another size."""
        self.require(like.shape[2], like.shape[3], like.shape[1])
        return spread(self.means.float(), self.height, self.width, levels)

    def require(self, height: int, width: int, channels: int) -> None:
        """Raise RespoError for an h of another size."""
        own, found = [self.means.shape[1], self.height, self.width], [channels, height, width]
        if own != found:
            raise RespoError(
                f"The record holds an h of {own} (channels, height, width), but here it is {found}: something between "
                "the loader and this sampler changes its size. Put the same nodes before Record Run."
            )


class Bands:
    """The bands of one call of a run, as they come: a prompt's pictures may come in several passes (windows).

    Of a picture that comes more than once the first counts. An object, because the host copies
    dictionaries on the way to the model.
    """

    def __init__(self) -> None:
        self.found: dict[PromptKey, Band] = {}
        self._have: dict[PromptKey, set[int]] = {}

    def add(self, h: Tensor, chunk: Chunk) -> None:
        """Keep what is new in the h of one chunk, `[b, C, H, W]`. Raises RespoError for tiles of pictures."""
        chunk.require_whole("A record")
        key, pictures = (chunk.cond.name, chunk.cond.index), chunk.pictures
        have = self._have.setdefault(key, set())
        new = [place for place in pictures.known() if place not in have]
        if not new:
            return
        band = Band.of(h)
        if not pictures.whole:
            rows = [pictures.known().index(place) for place in new]
            before = self.found.get(key)
            means = band.means.new_zeros(pictures.count, *band.means.shape[1:]) if before is None else before.means
            for place, row in zip(new, rows, strict=True):  # not by lists: that waits on a GPU
                means[place] = band.means[row]
            band = Band(means, band.height, band.width)
        self.found[key] = band
        have.update(new)


@dataclass(frozen=True)
class RecordedCall:
    """One recorded call.

    `denoised`: the guided prediction, `[B, C, H, W]`; `bands`: the low band of each prompt's h.
    """

    denoised: Tensor
    bands: Mapping[PromptKey, Band]

    def to(self, device: torch.device) -> RecordedCall:
        """Return the call with its tensors on `device`."""
        bands = {key: Band(band.means.to(device), band.height, band.width) for key, band in self.bands.items()}
        return RecordedCall(self.denoised.to(device), bands)

    def nothing(self, size: Size) -> Band:
        """Return a band of no rows for an h of `size`."""
        means = next(iter(self.bands.values())).means
        return Band(means.new_zeros(0, means.shape[1], -(-size[0] // 2), -(-size[1] // 2)), *size)

    def band(self, name: str, index: int) -> Band:
        """Return the band of prompt `index` in the guider's list `name`. Raises RespoError when there is none."""
        found = self.bands.get((name, index))
        if found is None:
            raise RespoError(
                f"The record holds nothing for the {name} prompt {index + 1} at this step. Link the same "
                "prompts to Record Run, and set the same cfg."
            )
        return found


@dataclass(frozen=True)
class Record:
    """`run`: the identity of the recorded run; `calls`: in order; `sha256`: a digest of both, used for equality."""

    run: RunIdentity = field(compare=False, repr=False)
    calls: Mapping[CallKey, RecordedCall] = field(compare=False, repr=False)
    sha256: str

    @classmethod
    def of(cls, run: RunIdentity, calls: Mapping[CallKey, RecordedCall]) -> Record:
        """Make a record from a finished run; `calls` is copied."""
        digest = hashlib.sha256(repr(run).encode())
        for key, call in calls.items():
            digest.update(f"{key} {list(call.bands)}".encode())
            for tensor in (call.denoised, *(band.means for band in call.bands.values())):
                digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return cls(run, dict(calls), digest.hexdigest())

    def to(self, device: torch.device) -> Record:
        """Return the record with its tensors on `device`."""
        return Record(self.run, {key: call.to(device) for key, call in self.calls.items()}, self.sha256)

    @property
    def names(self) -> frozenset[str]:
        """Names of the guider's lists of prompts that were computed, e.g. {"positive"} at cfg 1."""
        return frozenset(name for call in self.calls.values() for name, _ in call.bands)

    def describe(self) -> str:
        """Return one short line to show on Record Run."""
        numbers = [call.denoised for call in self.calls.values()]
        numbers += [band.means for call in self.calls.values() for band in call.bands.values()]
        size = sum(tensor.nbytes for tensor in numbers) / 1e6
        return f"Recorded {len(self.calls)} calls of the model, {size:.1f} MB"

    def call(self, sigma: float, ordinal: int = 0) -> RecordedCall:
        """Return call number `ordinal` (from 0) at `sigma`. Raises RespoError when there was none."""
        found = self.calls.get((sigma, ordinal))
        if found is None:
            raise no_call(sigma, ordinal)
        return found


def no_call(sigma: float, ordinal: int) -> RespoError:
    """Return the error for a call of a run that the recorded run did not make, or not at this place."""
    return RespoError(
        f"The record has no call number {ordinal + 1} of the model at sigma {sigma:.4g}: this sampler takes other "
        "steps in between. Choose the same sampler as on Record Run, but not one with adaptive steps (dpm_adaptive)."
    )
