"""Pictures of a concept, drawn once by the frozen model: the training data of `sdisc` and `where`."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from ..core.errors import Remedy, RespoError
from ..core.files.header import header_of, opened
from ..core.files.write import make_folder, write_atomically
from .randomness import generator_of, keyed_noise
from .sampling import sample

if TYPE_CHECKING:  # the objectives import this file
    from ..objectives.objective import Setting

AT_ONCE = 8  # pictures drawn together
_MOST_BYTES = 32 * 2**30  # as of a state
KEPT_EVERY = 40  # pictures of a part file: the most that a kill can lose


@dataclass(frozen=True)
class Batch:
    """One step's training data: `latents` `[B, C, H, W]` at their `timesteps` `[B]`, and the `noise` in them."""

    latents: Tensor
    timesteps: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Pictures:
    """Finished `latents` `[N, C, H, W]` (float16, on the CPU) and the batches made from them.

    A batch is a pure function of `key`, the step and the row, so there is no state to save.
    """

    key: str
    latents: Tensor
    batch_size: int
    rows: range

    def batch(self, step: int, alphas_cumprod: Tensor) -> Batch:
        """Return this process's rows of the batch at `step`.

        The pictures are in random order, each once per epoch, at uniformly distributed timesteps.
        """
        picked = torch.stack([self.latents[self._picture(step, row)] for row in self.rows]).to(alphas_cumprod)
        total = len(alphas_cumprod)
        drawn = [torch.randint(total, (), generator=generator_of(self.key, "at", step, row)) for row in self.rows]
        timesteps = torch.stack(drawn).to(alphas_cumprod.device)
        shape = tuple(self.latents.shape[1:])
        noise = torch.stack([keyed_noise(shape, self.key, "noise", step, row) for row in self.rows]).to(picked)
        return Batch(noised(picked, noise, alphas_cumprod[timesteps]), timesteps, noise)

    def _picture(self, step: int, row: int) -> int:
        epoch, place = divmod(step * self.batch_size + row, len(self.latents))
        order = torch.randperm(len(self.latents), generator=generator_of(self.key, "order", epoch))
        return int(order[place])

    def tensors(self) -> dict[str, Tensor]:
        """See `objectives.objective.Source`."""
        return {}

    def numbers(self) -> dict[str, Any]:
        """See `objectives.objective.Source`."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """See `objectives.objective.Source`."""


def noised(latents: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Return `sqrt(alpha) latents + sqrt(1 - alpha) noise`, `[B, C, H, W]` (Ho et al. 2020, equation 4).

    `alpha`: cumulative, `[B]`.
    """
    alpha = alpha.view(-1, 1, 1, 1)
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def pictures_of(setting: Setting) -> Pictures:
    """Return the concept's pictures: from `setting.folder` if they match the configuration, else newly drawn.

    Every process draws all of them, identically; only the first process writes. While they are drawn, every KEPT_EVERY
    pictures are written to a part file; at the end all go into one file. After an interruption the parts that are still
    valid are used. Raises RespoError when the model draws values that are not finite.
    """
    path = None if setting.folder is None else setting.folder / f"pictures-{setting.name}.respo"
    signature, total = _signature(setting), setting.config.pictures
    writes = path is not None and setting.rows.start == 0
    chunks, fresh = _kept(path, signature), []
    found = done = sum(map(len, chunks))
    with _progress(setting, done) as bar:
        while done < total:
            fresh.append(_draw(setting, range(done, min(done + AT_ONCE, total))))
            done += len(fresh[-1])
            bar.update(len(fresh[-1]))
            if done % KEPT_EVERY == 0 or done == total:
                chunks.append(torch.cat(fresh))
                fresh = []
                if path is not None and writes and done < total:
                    _write(_part(path, done - len(chunks[-1])), chunks[-1], signature)
    latents = torch.cat(chunks)
    if path is not None and writes and found < total:
        _write(path, latents, signature)
        for part in path.parent.glob(f"{glob.escape(path.stem)}.from-*"):
            with contextlib.suppress(OSError):  # a part that stays does no harm
                part.unlink()
    return Pictures(setting.key, latents, setting.config.batch, setting.rows)


def picture_prompts(setting: Setting) -> tuple[str, str]:
    """Return the prompt that the pictures are drawn with, and the negative prompt (for safety the unwanted content)."""
    config = setting.config
    negative = config.concepts[setting.name].asked if config.purpose == "safety" else ""
    return config.picture_words(setting.name), negative


def _draw(setting: Setting, indices: range) -> Tensor:
    unet, config, prompts = setting.unet, setting.config, setting.prompts
    negative = prompts.target if config.purpose == "safety" else prompts.uncond
    noise = torch.stack([keyed_noise(unet.latent_shape, setting.key, "picture", index) for index in indices])
    noise = noise.to(unet.alphas_cumprod)
    latents = sample(unet, noise, prompts.picture, negative, config.picture_steps, config.picture_guidance)
    # Rounded now, so that drawn pictures equal re-read ones.
    latents = latents.half().cpu()
    if not latents.isfinite().all():
        raise RespoError(
            f"expected pictures of {config.picture_words(setting.name)!r}, but the checkpoint drew numbers that are "
            "not finite",
            Remedy("picture_guidance"),
            Remedy("precision", "float32"),
        )
    return latents


def _progress(setting: Setting, done: int) -> Any:
    # Concepts are drawn in parallel, each with its own progress line.
    position = list(setting.config.concepts).index(setting.name)
    total = setting.config.pictures
    hidden = setting.rows.start != 0 or done == total
    label = f"drawing pictures: {setting.name}"
    return tqdm(total=total, initial=done, desc=label, position=position, leave=False, disable=hidden, unit="picture")


def _signature(setting: Setting) -> str:
    """Return a hash of everything that the pictures depend on."""
    config, unet = setting.config, setting.unet
    parts = {
        "key": setting.key,
        "prompts": picture_prompts(setting),
        "pictures": config.pictures,
        "steps": config.picture_steps,
        "guidance": config.picture_guidance,
        "latent_shape": list(unet.latent_shape),
        "architecture": unet.architecture.to_dict(),
        "fingerprint": list(unet.fingerprint),
        "compute": getattr(unet, "compute", None),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _part(path: Path, start: int) -> Path:
    """Return the path of the part file that begins with picture `start`."""
    return path.with_suffix(f".from-{start:06d}{path.suffix}")


def _kept(path: Path | None, signature: str) -> list[Tensor]:
    """Return the pictures that were drawn before, in order, from the file at `path` and the parts that follow it."""
    if path is None:
        return []
    whole = _read(path, signature)  # not all of them where an older version was interrupted
    chunks = [] if whole is None else [whole]
    while (part := _read(_part(path, sum(map(len, chunks))), signature)) is not None and len(part):
        chunks.append(part)
    return chunks


def _read(path: Path, signature: str) -> Tensor | None:
    """Return the pictures kept at `path`; None when there are none or they do not match."""
    # Whatever is wrong with the file, the pictures can be drawn again.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError):
        with opened(path) as file:
            about = header_of(file, path.name, _MOST_BYTES)["__metadata__"]
            file.seek(0)
            latents = safetensors.torch.load(file.read())["latents"] if about["signature"] == signature else None
        if latents is not None and about["sha256"] == _digest(latents):
            return latents
    return None


def _write(path: Path, latents: Tensor, signature: str) -> None:
    make_folder(path.parent)
    about = {"signature": signature, "sha256": _digest(latents)}
    write_atomically(path, safetensors.torch.save({"latents": latents}, about))


def _digest(latents: Tensor) -> str:
    return hashlib.sha256(latents.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
