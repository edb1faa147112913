"""Train the judge and the segmenter on emoji in front of scenes: no bias, no captions, split by source picture.

They never see output of the diffusion model or the autoencoder, and those are never trained with the judge.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import convert_conv2d_weight_memory_format

from respo_train.core.files.write import make_folder, write_atomically
from respo_train.core.judge import NOBODY
from respo_train.evaluation.drawn import to_tensor
from respo_train.judges.emoji_world import INPUT_SIDE, Judge
from respo_train.judges.segmenter import Segmenter
from respo_train.precision import autocast

from . import world
from .captions import SCENE_NAMES, Picture
from .dataset import Dataset, uses_test_art
from .training import Loop, split_optimizers

Random = np.random.Generator
BATCH = 64
CLASSES = {
    "gender": (*world.GENDERS, NOBODY),
    "skin": (*world.SKIN_GROUPS, NOBODY),
    "profession": (*(p.word for p in world.PROFESSIONS), world.PERSON.word, NOBODY),
    "weapon": ("no", "yes"),
}
THRESHOLDS = dict.fromkeys(CLASSES, 0.55)  # below this probability the judge says "unsure"


def sample_training(rng: Random) -> Picture:
    """Draw one picture without held-out art, every attribute uniform and independent of the others."""
    return _sample(rng, held_out=False)


def sample_test(rng: Random) -> Picture:
    """Draw one picture whose person, and whose object if it has one, are held out."""
    return _sample(rng, held_out=True)


def _sample(rng: Random, *, held_out: bool) -> Picture:
    scene, style = str(rng.choice(SCENE_NAMES)), str(rng.choice(world.STYLES))
    kind = rng.uniform()
    if kind < 0.05 and not held_out:
        return Picture("", scene, style, "scene")
    if kind < 0.14 and not held_out:
        return Picture("", scene, style, "subject", subject=str(rng.choice(list(world.SUBJECTS))))
    weapon, thing = _object(rng, style, held_out)
    if kind < 0.20 and weapon and not held_out:
        return Picture("", scene, style, "weapon", weapon=weapon)
    while True:
        who = (*world.PROFESSIONS, world.PERSON)[rng.integers(len(world.PROFESSIONS) + 1)]
        gender = str(rng.choice(world.GENDERS))
        tone = int(rng.choice(world.SKIN_GROUPS[str(rng.choice(list(world.SKIN_GROUPS)))]))
        if world.in_test_split(who.word, gender, tone, style) == held_out:
            return Picture("", scene, style, "person", who.word, gender, tone, weapon, thing)


def _object(rng: Random, style: str, held_out: bool) -> tuple[str | None, str | None]:
    weapons = [w for w in world.WEAPONS if ((w, style) in world.TEST_OBJECTS) == held_out]
    things = [t for t in world.THINGS if ((t, style) in world.TEST_OBJECTS) == held_out]
    choice = rng.uniform()
    if choice < 0.40:
        return str(rng.choice(weapons)), None
    return (None, str(rng.choice(things))) if choice < 0.75 else (None, None)


def targets(pictures: list[Picture]) -> dict[str, Tensor]:
    """Return the right class numbers, int64 [N] per attribute."""
    found = {
        "gender": [p.gender or NOBODY for p in pictures],
        "skin": [NOBODY if p.tone is None else world.skin_group(p.tone) for p in pictures],
        "profession": [p.profession or NOBODY for p in pictures],
        "weapon": ["yes" if p.weapon else "no" for p in pictures],
    }
    return {name: torch.tensor([CLASSES[name].index(label) for label in labels]) for name, labels in found.items()}


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, scale, mirror, blur, relight, add noise: [B, 3, H, W] -> [B, 3, INPUT_SIDE, INPUT_SIDE], all in [0, 1].

    The blur imitates what autoencoders in general do to a picture, without showing the judge ours.
    """
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    theta = torch.zeros(count, 2, 3)
    zoom = uniform(0.82, 1.12)
    theta[:, 0, 0] = zoom * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta[:, 1, 1], theta[:, 0, 2], theta[:, 1, 2] = zoom, uniform(-0.14, 0.14), uniform(-0.14, 0.10)
    small = functional.interpolate(images, size=(INPUT_SIDE, INPUT_SIDE), mode="area")
    grid = functional.affine_grid(theta, [count, 3, INPUT_SIDE, INPUT_SIDE], align_corners=False)
    out = functional.grid_sample(small, grid, padding_mode="border", align_corners=False)
    blurred = functional.avg_pool2d(functional.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    out = out.lerp(blurred, uniform(-0.3, 0.9)[:, None, None, None].clamp(min=0))
    out = (out - 0.5) * uniform(0.85, 1.15)[:, None, None, None] + 0.5 + uniform(-0.06, 0.06)[:, None, None, None]
    out = out + torch.randn(out.shape, generator=generator) * uniform(0.0, 0.05)[:, None, None, None]
    return out.clamp(0, 1)


def train_judge(data: Dataset, folder: Path, target: Path, steps: int, seed: int) -> None:
    """Train for `steps` and write `target`."""
    torch.manual_seed(seed)
    model = convert_conv2d_weight_memory_format(Judge(CLASSES, THRESHOLDS), torch.channels_last)
    answers = targets(data.pictures)

    def loss_of(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data.images), (BATCH,), generator=generator)
        images = augment(to_tensor(data.images[rows.numpy()]), generator).contiguous(memory_format=torch.channels_last)
        with autocast():
            logits = model(images)
        losses = [functional.cross_entropy(logits[n].float(), answers[n][rows], label_smoothing=0.02) for n in CLASSES]
        return torch.stack(losses).sum()

    weights = Loop(model, split_optimizers(model, 0.02, 2e-3), folder / "judge.pt", steps, seed, ema=0.99).run(
        loss_of, "judge"
    )
    _save(weights, target, {"judge": json.dumps({"classes": CLASSES, "thresholds": THRESHOLDS})})


def train_segmenter(data: Dataset, folder: Path, target: Path, steps: int, seed: int) -> None:
    """Train for `steps` and write `target`."""
    torch.manual_seed(seed)
    model = convert_conv2d_weight_memory_format(Segmenter(), torch.channels_last)

    def loss_of(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data.images), (BATCH,), generator=generator).numpy()
        images = to_tensor(data.images[rows])
        images = images + 0.04 * torch.rand(1, generator=generator) * torch.randn(images.shape, generator=generator)
        truth = torch.from_numpy(np.array(data.masks[rows])).float().div(255)[:, None]
        with autocast():
            logits = model(images.contiguous(memory_format=torch.channels_last))
        return functional.binary_cross_entropy_with_logits(logits.float(), truth)

    weights = Loop(model, split_optimizers(model, 0.02, 2e-3), folder / "segmenter.pt", steps, seed, ema=0.99).run(
        loss_of, "segmenter"
    )
    _save(weights, target, {})


def _save(weights: dict[str, Tensor], target: Path, metadata: dict[str, str]) -> None:
    make_folder(target.parent)
    halved = {n: (w.half() if w.is_floating_point() else w).contiguous() for n, w in weights.items()}
    write_atomically(target, save(halved, metadata))


def judge_accuracy(judge: Judge, data: Dataset) -> dict[str, dict[str, float]]:
    """Return three shares per attribute: right (unsure counts as wrong), right among the decided, and unsure."""
    verdicts = judge.verdicts(to_tensor(data.images[:]))
    result = {}
    for name, truth in targets(data.pictures).items():
        expected = [CLASSES[name][i] for i in truth.tolist()]
        labels = verdicts[name].labels
        right = sum(a == b for a, b in zip(labels, expected, strict=True))
        decided = sum(label != "unsure" for label in labels)
        result[name] = {
            "accuracy": right / len(labels),
            "of_decided": right / max(decided, 1),
            "unsure": 1 - decided / len(labels),
        }
    return result


def segmenter_iou(segmenter: Segmenter, data: Dataset) -> float:
    """Return the mean intersection over union of the person's mask on pictures that have one."""
    rows = [i for i, p in enumerate(data.pictures) if p.profession]
    found = segmenter.masks(to_tensor(data.images[rows]))
    truth = torch.from_numpy(np.array(data.masks[rows])) > 127
    return float(((found & truth).sum((1, 2)) / (found | truth).sum((1, 2)).clamp(min=1)).mean())


def check_split(data: Dataset) -> None:
    """Raise AssertionError if a training picture contains held-out art."""
    assert not any(uses_test_art(p) for p in data.pictures), "held-out art in the judge's training pictures"
