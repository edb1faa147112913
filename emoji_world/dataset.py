"""The training pictures on disk: images, person masks and descriptions, made once and then memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from respo_train.core.files.write import locked, make_folder, write_atomically

from . import world
from .art import Art
from .captions import Picture, sample_picture
from .compose import NATIVE, Studio


@dataclass(frozen=True)
class Dataset:
    """images uint8 [N, H, W, 3], masks uint8 [N, H, W], one `Picture` each."""

    images: np.ndarray
    masks: np.ndarray
    pictures: list[Picture]

    def indices(self, *, held_out: bool) -> np.ndarray:
        """Return the indices of the pictures that contain held-out art, or of those that contain none."""
        return np.flatnonzero([uses_test_art(p) == held_out for p in self.pictures])


def uses_test_art(picture: Picture) -> bool:
    """Say whether any emoji in the picture is held out from the autoencoder's and the judge's training."""
    if picture.profession and world.in_test_split(
        picture.profession, str(picture.gender), int(picture.tone or 0), picture.style
    ):
        return True
    return any((name, picture.style) in world.TEST_OBJECTS for name in (picture.weapon, picture.thing))


def make(
    folder: Path,
    art: Art,
    count: int,
    seed: int,
    sample: Callable[[np.random.Generator], Picture] = sample_picture,
    size: tuple[int, int] = NATIVE,
) -> Dataset:
    """Compose `count` pictures into `folder` unless they are there already, and return them.

    `sample` describes one; `size`: (height, width) in pixels.
    """
    done = folder / "pictures.json"
    make_folder(folder)
    with locked(done, wait=0):
        if not done.exists():
            _make(folder, done, Studio(art, seed, size), (count, *size), seed, sample)
    return load(folder)


def _make(
    folder: Path,
    done: Path,
    studio: Studio,
    shape: tuple[int, int, int],
    seed: int,
    sample: Callable[[np.random.Generator], Picture],
) -> None:
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (*shape, 3))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, shape)
    pictures = list(_draw(studio, sample, images, masks, seed))
    images.flush()
    masks.flush()
    # Written last: where it is, the rest is complete.
    write_atomically(done, json.dumps([asdict(p) for p in pictures]).encode())


def load(folder: Path) -> Dataset:
    """Open a folder that `make` has filled."""
    pictures = [Picture(**fields) for fields in json.loads((folder / "pictures.json").read_text())]
    return Dataset(
        np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "masks.npy", mmap_mode="r"), pictures
    )


def _draw(
    studio: Studio, sample: Callable[[np.random.Generator], Picture], images: np.ndarray, masks: np.ndarray, seed: int
) -> Iterator[Picture]:
    rng = np.random.default_rng(seed)
    for index in tqdm(range(len(images)), desc="pictures", unit="img"):
        picture = sample(rng)
        images[index], masks[index] = studio.compose(picture, rng)
        yield picture
