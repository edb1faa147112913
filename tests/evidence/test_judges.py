"""Who looks at the pictures, and what is counted."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from evidence_cases import ask_for

from benchmarks.evidence import bench, reference
from benchmarks.evidence.asks import TASKS, ask, prompt
from benchmarks.evidence.measure import Examiner
from benchmarks.evidence.second_judge import NearestEmoji, load_second, placed
from respo_train.core.errors import RespoError
from respo_train.core.judge import Verdict
from respo_train.evaluation.drawn import Drawn


class Sees:
    """A judge that reads the answer from the first pixel of each picture."""

    classes: ClassVar = {"gender": ("woman", "man"), "profession": ("doctor", "cook"), "weapon": ("no", "yes")}

    def verdicts(self, images: torch.Tensor) -> dict[str, Verdict]:
        numbers = (images[:, :, 0, 0] * 255).round().long().tolist()
        names = list(self.classes)
        return {
            name: Verdict(tuple(self.classes[name][row[i]] for row in numbers), (1.0,) * len(numbers))
            for i, name in enumerate(names)
        }


def seen(*rows: tuple[int, int, int], group: str = "doctor", asked: str = "") -> Drawn:
    images = np.zeros((len(rows), 4, 4, 3), np.uint8)
    images[:, 0, 0] = rows
    return Drawn(group, f"a photo of a {group}", images, (asked,) * len(rows))


class TestMeasure:
    def test_kept_counts_only_what_was_there(self):
        """Of three pictures of a woman the unmodified model draws two, and the method keeps one of these."""
        own = ask(TASKS["explicit"], prompt(1, "doctor", "a photo of a woman doctor", states="woman"), 3)
        before, after = seen((0, 0, 0), (0, 0, 0), (1, 0, 0)), seen((0, 0, 0), (1, 0, 0), (0, 0, 0))
        found = Examiner(Sees(), None).explicit("explicit gated", [own], [before], [after])
        assert found["explicit_gated_kept"].value == 0.5
        assert found["explicit_gated_kept"].n == 2

    def test_what_was_asked_goes_along(self):
        own = ask_for("joint", count=6)
        drawn = own.drawn(np.zeros((6, 4, 4, 3), np.uint8))
        assert drawn.asked == tuple(", ".join(concepts) for concepts in own.wishes())
        assert drawn.group == "doctor"


class TestSecondJudge:
    @pytest.fixture(scope="class")
    @classmethod
    def judge(cls) -> NearestEmoji:
        return load_second()

    @pytest.fixture(scope="class")
    @classmethod
    def sprites(cls) -> torch.Tensor:
        with np.load(reference.REFERENCE) as file:
            return torch.from_numpy(file["sprites"].astype(np.float32) / 255)

    @pytest.mark.parametrize("ground", [0.1, 0.9])
    def test_knows_people_wherever_they_stand(self, judge, sprites, ground):
        rows = list(range(0, len(sprites), 17))
        moved = placed(sprites[rows], 3, 0.99)
        images = (moved[..., :3] + (1 - moved[..., 3:]) * ground).permute(0, 3, 1, 2)
        found = judge.verdicts(torch.nn.functional.interpolate(images, size=(128, 128)))
        for number, head in enumerate(("gender", "skin", "profession")):
            right = [label == judge._labels[row][number] for label, row in zip(found[head].labels, rows, strict=True)]
            assert np.mean(right) > 0.85  # a woman and a man of some professions differ by a few pixels

    def test_says_what_the_judge_says(self, judge):
        own = bench.examiners()[0].classes
        for head, labels in judge.classes.items():
            assert set(labels) <= set(own[head])


class TestReference:
    def test_moments_are_kept(self):
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) + 3
        root = np.linalg.cholesky(np.cov(rows.T)).T
        made = reference.rows_of(rows.mean(0), root)
        assert np.allclose(made.mean(0), rows.mean(0))
        assert np.allclose(np.cov(made.T), np.cov(rows.T))

    def test_another_judge_needs_another_reference(self, tmp_path):
        other = tmp_path / "judge.safetensors"
        other.write_bytes(b"x")
        with pytest.raises(RespoError, match="another judge"):
            reference.load_real(other)
        assert reference.load_real(bench.JUDGE).shape == (512, 256)


class TestBench:
    def test_is_frozen(self):
        assert bench.changed_files() == []

    def test_says_which_file_differs(self, tmp_path):
        (tmp_path / "a").write_bytes(b"x")
        (tmp_path / "frozen.json").write_text(json.dumps({"a": "0" * 64}))
        assert bench.changed_files(tmp_path) == ["a"]

    def test_accuracy_has_an_interval(self):
        for figure in bench.judge_accuracy().values():
            assert figure.low < figure.value <= figure.high <= 1
            assert figure.n == 2000
