"""What a run without changes looked like: the low band of h and the guided prediction, call by call of the model.

A record is a value: Record Run makes it, nothing changes it. Another run finds its own calls in it by their sigma, and
where a sampler calls the model more than once at one sigma (heun, dpm_2) by which of those calls it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.frequency import block_means, spread
from .run_identity import RunIdentity

CallKey = tuple[float, int]  # (sigma, which of the calls at this sigma, from 0)
PromptKey = tuple[str, int]  # a Cond's name and index


class Pace:
    """Which call of a run comes next. Made anew by every run, for its own use only."""

    def __init__(self) -> None:
        self._seen: Counter[float] = Counter()

    def next(self, sigma: float) -> CallKey:
        """Name the call that begins now."""
        self._seen[sigma] += 1
        return sigma, self._seen[sigma] - 1


@dataclass(frozen=True)
class Band:
    """The low band of one prompt's h, `[b, C, height, width]`. `means`: of its 2 x 2 blocks, in half precision."""

    means: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, h: Tensor, device: torch.device) -> Band:
        """Take the h of one prompt, `[b, C, H, W]`; only the means are kept, on `device`."""
        half = torch.float16 if h.dtype.itemsize > 2 else h.dtype
        return cls(block_means(h.detach().float()).to(device, half), h.shape[2], h.shape[3])

    def low_band(self, like: Tensor, levels: int) -> Tensor:
        """Return it for an h of the same shape, float32, on its device. Raises RespoError for another shape."""
        shape = [*self.means.shape[:2], self.height, self.width]
        if list(like.shape) != shape:
            raise RespoError(
                f"The record holds an h of {shape}, but here it is {list(like.shape)}: something between the "
                "loader and this sampler changes its size. Put the same nodes before Record Run."
            )
        return spread(self.means.to(like.device, torch.float32), self.height, self.width, levels)


@dataclass(frozen=True)
class RecordedCall:
    """One call. `denoised`: the guided prediction, `[B, C, H, W]` as the latent; `bands`: of the prompts heard."""

    denoised: Tensor
    bands: Mapping[PromptKey, Band]

    def band(self, name: str, index: int) -> Band:
        """Return that of prompt `index` in the guider's list `name`. Raises RespoError when it was not heard."""
        found = self.bands.get((name, index))
        if found is None:
            raise RespoError(
                f"The record holds nothing of the {name} prompt {index + 1} at this step. Link the same "
                "prompts to Record Run, and set the same cfg."
            )
        return found


@dataclass(frozen=True)
class Record:
    """`run`: which it was; `calls`: in order; `sha256`: of all this, and hence its value."""

    run: RunIdentity = field(compare=False, repr=False)
    calls: Mapping[CallKey, RecordedCall] = field(compare=False, repr=False)
    sha256: str

    @classmethod
    def of(cls, run: RunIdentity, calls: Mapping[CallKey, RecordedCall]) -> Record:
        """Close a record; `calls` is copied."""
        digest = hashlib.sha256(repr(run).encode())
        for key, call in calls.items():
            digest.update(f"{key} {list(call.bands)}".encode())
            for tensor in (call.denoised, *(band.means for band in call.bands.values())):
                digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return cls(run, dict(calls), digest.hexdigest())

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the guider's lists of prompts that were heard, e.g. {"positive"} at cfg 1."""
        return frozenset(name for call in self.calls.values() for name, _ in call.bands)

    def describe(self) -> str:
        """One short line for the face of Record Run."""
        numbers = [call.denoised for call in self.calls.values()]
        numbers += [band.means for call in self.calls.values() for band in call.bands.values()]
        size = sum(tensor.nbytes for tensor in numbers) / 1e6
        return f"Recorded {len(self.calls)} calls of the model, {size:.1f} MB"

    def call(self, sigma: float, ordinal: int = 0) -> RecordedCall:
        """Return the call number `ordinal` at `sigma`. Raises RespoError when there was none."""
        found = self.calls.get((sigma, ordinal))
        if found is None:
            raise RespoError(
                f"The record has no call number {ordinal + 1} of the model at sigma {sigma:.4g}: this sampler takes "
                "other steps in between. Choose the same sampler as on Record Run, and not one that chooses its steps "
                "as it goes (dpm_adaptive)."
            )
        return found

    def denoised_at(self, sigma: float, ordinal: int = 0) -> Tensor:
        """Return the guided prediction of that call, `[B, C, H, W]` as the latent. Raises RespoError: no such call."""
        return self.call(sigma, ordinal).denoised
