"""Which model a command works on: one checkpoint, or a U-Net with its text encoders and its VAE as separate files."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import RespoError
from ..host.load import SeparateFiles

if TYPE_CHECKING:
    from ..provenance import Base

Model = Path | SeparateFiles


def add_model(parser: argparse.ArgumentParser, again: str = "") -> None:
    """Add --checkpoint, and --unet, --clip and --vae. `again`: when a command knows its model already."""
    add = parser.add_argument
    add("--checkpoint", type=Path, help=again or "a full SD 1.x, 2.x, SDXL or similar checkpoint")
    add("--unet", type=Path, metavar="FILE", help="or the U-Net alone, and with it:")
    add("--clip", type=Path, nargs="+", metavar="FILE", help="its text encoders: one for SD, two for SDXL")
    add("--vae", type=Path, metavar="FILE", help="its autoencoder; without it there are no previews")


def model_of(options: argparse.Namespace) -> Model | None:
    """Return the files that were named; None for none. Raises RespoError for what does not go together."""
    if options.unet is None:
        if options.clip or options.vae:
            raise RespoError("--clip and --vae go with --unet FILE")
        return options.checkpoint
    if options.checkpoint is not None:
        raise RespoError("give either --checkpoint, or --unet with --clip")
    return SeparateFiles(options.unet, tuple(options.clip or ()), options.vae)


def required_model(options: argparse.Namespace, *, text: bool = True) -> Model:
    """Return the files that were named, all of which are there. `text`: whether text encoders are needed.

    Raises RespoError.
    """
    model = model_of(options)
    if model is None:
        raise RespoError("give the model with --checkpoint FILE, or with --unet, --clip and --vae")
    if text and isinstance(model, SeparateFiles) and not model.clip:
        raise RespoError("--unet needs its text encoders, too: --clip FILE (two files for SDXL)")
    for file in model.all() if isinstance(model, SeparateFiles) else [model]:
        if not file.is_file():
            raise RespoError(f"no checkpoint at {file}. Give the path of a .safetensors checkpoint.")
    return model


def base_of(model: Model) -> Base:
    """Return name and hash of the files that a module depends on. Raises RespoError when one cannot be read."""
    from ..provenance import Base  # imported here, because `info` works without pydantic

    if isinstance(model, Path):
        return Base.of(model)
    parts = [Base.of(file) for file in (model.unet, *model.clip)]
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    return Base(" + ".join(part.name for part in parts), digest)
