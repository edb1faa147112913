"""`python -m benchmarks.evidence.build`: makes reference.npz of real emoji; needed again only when the judge changes.

Fetches the art as `python -m emoji_world pictures` does, unless it is there.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from emoji_world import art, world
from emoji_world.__main__ import BUILD
from emoji_world.captions import SCENE_NAMES, Picture
from emoji_world.compose import Studio
from respo_train.core.files.checkpoint import file_sha256
from respo_train.core.files.write import write_atomically
from respo_train.evaluation.drawn import to_tensor

from . import bench
from .reference import REFERENCE, SIDE

COUNT, SEED = 4096, 7
HEIGHT = 107  # pixels of a person in a picture of 128: the middle of what the generator draws


def main() -> None:
    """Make the file."""
    source = art.fetch(BUILD / "art")
    mean, root = moments(features(source))
    sprites, labels = people(source)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, judge=file_sha256(bench.JUDGE), mean=mean, root=root, sprites=sprites, labels=np.array(labels)
    )
    write_atomically(REFERENCE, buffer.getvalue())
    print(f"{REFERENCE}: {REFERENCE.stat().st_size / 1e6:.2f} MB")


def features(source: art.Art) -> NDArray[np.float64]:
    """Return the judge's features of composed pictures, `[COUNT, D]`."""
    studio, rng, judge = Studio(source, SEED), np.random.default_rng(SEED), bench.examiners()[0]
    found = []
    for _ in tqdm(range(COUNT // 64), unit="batch"):
        pictures = np.stack([studio.compose(someone(rng), rng)[0] for _ in range(64)])
        with torch.inference_mode():
            found.append(judge.features(to_tensor(pictures)).double().numpy())
    return np.concatenate(found)


def someone(rng: np.random.Generator) -> Picture:
    """Return a person of the bench's professions, each, each gender, skin tone and place equally often."""
    scene, style = str(rng.choice(SCENE_NAMES)), str(rng.choice(world.STYLES))
    who = world.PROFESSIONS[rng.integers(len(world.PROFESSIONS))]
    tone = int(rng.choice(world.SKIN_GROUPS[str(rng.choice(list(world.SKIN_GROUPS)))]))
    return Picture("", scene, style, "person", who.word, str(rng.choice(world.GENDERS)), tone)


def moments(rows: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean, and a root `[D, D]` with root.T @ root the covariance, of `rows` `[N, D]`."""
    mean = rows.mean(0)
    _, root = np.linalg.qr((rows - mean) / np.sqrt(len(rows) - 1))
    return mean.astype(np.float32), root.astype(np.float32)


def people(source: art.Art) -> tuple[NDArray[np.uint8], list[tuple[str, str, str]]]:
    """Return every person as a small picture `[N, SIDE, SIDE, 4]` (colours times alpha), and gender, skin and job."""
    sprites, labels = [], []
    for who in (*world.PROFESSIONS, world.PERSON):
        for gender in world.GENDERS:
            for tone in range(len(world.SKIN_TONE_CODES)):
                for style in world.STYLES:
                    sprites.append(small(source.person(who, gender, tone, style)))
                    labels.append((gender, world.skin_group(tone), who.word))
    return np.stack(sprites), labels


def small(image: Image.Image) -> NDArray[np.uint8]:
    """Put one person where the generator puts it on average, and average the picture down to SIDE pixels."""
    side, by = world.IMAGE_SIZE, world.IMAGE_SIZE // SIDE
    image = image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (side, side))
    canvas.paste(image, ((side - image.width) // 2, side - HEIGHT + 1))
    pixels = np.asarray(canvas).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    found: NDArray[np.uint8] = pixels.reshape(SIDE, by, SIDE, by, 4).mean((1, 3)).round().astype(np.uint8)
    return found


if __name__ == "__main__":
    main()
