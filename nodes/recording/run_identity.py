"""What identifies a run before its first step. It answers whether a record was made for this run."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.architecture import Architecture
from ...respo_train.core.module.fingerprint import fingerprint, same_checkpoint
from ..shared.guard import architecture_of, own_weight

_OWN_PICTURES = (
    "Detailers, upscalers and second passes draw pictures of their own: give them the model without the record."
)


@dataclass(frozen=True)
class ModelIdentity:
    """Which model runs. `patches`: a digest of the changes to its weights (LoRAs and the like)."""

    architecture: Architecture
    fingerprint: tuple[float, ...]
    patches: str

    @classmethod
    def of(cls, model: Any) -> ModelIdentity:
        """Read a host MODEL. Raises RespoError when there is no middle block.

        The host's own identifiers are not used: they change when a checkpoint drops out of its cache and is loaded
        again.
        """
        return cls(architecture_of(model), fingerprint(own_weight(model)), _digest_of_patches(model.patches))

    def same(self, other: ModelIdentity) -> bool:
        """Whether `other` is the same checkpoint with the same LoRAs, whatever the precision."""
        same = same_checkpoint(self.fingerprint, other.fingerprint)
        return same and self.architecture == other.architecture and self.patches == other.patches


@dataclass(frozen=True)
class RunIdentity:
    """`start`: a digest of initial noise and latent; `shape`: of the latent batch; `sigmas`: the noise schedule.

    `sampler`: its function and options, as one text; empty where they are not known. `noisy`: whether noise is added at
    the start, unlike in the second of two KSampler Advanced.
    """

    model: ModelIdentity
    start: str
    shape: tuple[int, ...]
    sigmas: tuple[float, ...]
    sampler: str
    noisy: bool = field(repr=False)

    @classmethod
    def of(cls, model: Any, sampler: Any, sigmas: Tensor, noise: Tensor, latent: Tensor | None) -> RunIdentity:
        """Read the arguments of the host's sampler."""
        start = hashlib.sha256()
        for tensor in (noise, latent):
            if tensor is not None:
                start.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        steps = getattr(sampler, "sampler_function", None)
        named = f"{steps.__module__}.{steps.__qualname__} {sampler.extra_options}" if inspect.isfunction(steps) else ""
        run = start.hexdigest(), tuple(noise.shape), tuple(sigmas.tolist()), named, bool(noise.any())
        return cls(ModelIdentity.of(model), *run)

    def steps_like(self, run: RunIdentity) -> bool:
        """Whether `run` takes the very same steps: the same sampler on the same whole schedule."""
        return bool(self.sampler) and (self.sampler, self.sigmas) == (run.sampler, run.sigmas)

    def require(self, run: RunIdentity) -> None:
        """Raise RespoError when a record made for this run cannot be used for `run`.

        `run` may use a part of the recorded schedule. When that part begins later, it must go on with a partly denoised
        picture (the second of two KSampler Advanced): one that adds noise has a picture of its own.
        """
        if not self.model.same(run.model):
            raise RespoError(
                f"The record was made with another model ({self.model.architecture.describe()}) than this run's "
                f"({run.model.architecture.describe()}): another checkpoint, or other LoRAs. Link the same model to "
                "Record Run."
            )
        if self.shape != run.shape:
            raise RespoError(
                f"The record was made for latents of {list(self.shape)} (pictures, channels, height, width), but this "
                f"run has {list(run.shape)}. Link the same latent to Record Run and to this sampler. {_OWN_PICTURES}"
            )
        unknown = [sigma for sigma in run.sigmas[:-1] if sigma not in self.sigmas[:-1]]
        if unknown:
            raise RespoError(
                f"The record has no step at sigma {unknown[0]:.4g}: it was made with {len(self.sigmas) - 1} steps, "
                f"this run has {len(run.sigmas) - 1}. Set steps, scheduler and denoise as on Record Run."
            )
        if self.start != run.start if run.sigmas[:1] == self.sigmas[:1] else run.noisy:
            raise RespoError(
                "The record was made with another seed or from another picture than this run: its background would "
                f"show through. Link the same seed and latent to Record Run and to this sampler. {_OWN_PICTURES}"
            )


def _digest_of_patches(patches: dict[Any, Any]) -> str:
    found = hashlib.sha256()
    for key in sorted(patches, key=str):
        for strength, value, own_strength, *_ in patches[key]:
            found.update(f"{key} {strength} {own_strength}".encode())
            for tensor in _tensors(value):
                found.update(f"{tuple(tensor.shape)} {fingerprint(tensor)}".encode())
    return found.hexdigest()


def _tensors(value: Any) -> Iterator[Tensor]:
    """Find the tensors in one of the host's weight patches: nested tuples, or an adapter with `weights`."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    else:
        yield from _tensors(getattr(value, "weights", ()))
