"""The modules that rows need are trained once for each configuration."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch

from benchmarks.evidence import ablations, training
from benchmarks.evidence.asks import GENDER, SKIN, WEAPONS
from benchmarks.evidence.methods import METHODS, Training
from benchmarks.evidence.training import Run, Trained

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


RUN = Run("sdisc", GENDER, Training("sdisc", {"pictures": 300}), "float32")


class TestTraining:
    @pytest.fixture
    def trained(self, monkeypatch) -> list[str]:
        """The files that are trained, by a trainer that writes a byte."""
        files: list[str] = []

        def train(run, folder):
            files.append(run.file)
            folder.mkdir(parents=True)
            (folder / run.file).write_bytes(b"x")
            return folder / run.file, 3.0

        monkeypatch.setattr(training, "_train", train)
        return files

    def test_its_configuration_can_be_read_again(self, tmp_path):
        path = tmp_path / "preset.toml"
        path.write_text(training.as_toml(RUN.values), encoding="utf-8")
        assert tomllib.loads(path.read_text(encoding="utf-8")) == RUN.values
        config = training.read_config(str(path), {}, "sdisc")
        assert config.pictures == 300
        assert config.to_dict() == RUN.values

    @pytest.mark.parametrize(
        "other",
        [
            replace(RUN, precision="bfloat16"),
            replace(RUN, attribute=SKIN),
            replace(RUN, training=Training("sdisc", {"pictures": 301})),
            replace(RUN, training=replace(RUN.training, own={GENDER: {"batch": 7}})),
            replace(RUN, training=Training("where", {"pictures": 300})),
        ],
    )
    def test_another_configuration_is_trained_anew(self, tmp_path, other):
        module = tmp_path / "m"
        module.write_bytes(b"x")
        training.keep(RUN, Trained(module, 5.0), tmp_path / "kept")
        assert training.find(RUN, tmp_path / "kept") == Trained(tmp_path / "kept" / RUN.file, 5.0)
        assert training.find(other, tmp_path / "kept") is None
        assert training.find(RUN, tmp_path / "none") is None

    def test_a_kept_module_serves_machines_that_train_otherwise(self, tmp_path, monkeypatch):
        module = tmp_path / "m"
        module.write_bytes(b"x")
        training.keep(RUN, Trained(module, 5.0), tmp_path / "kept")
        monkeypatch.setattr(torch, "__version__", "another")
        elsewhere = replace(RUN, precision="bfloat16")
        assert training.find(elsewhere, tmp_path / "kept") is None
        assert training.find_kept(elsewhere, tmp_path / "kept") == Trained(tmp_path / "kept" / RUN.file, 5.0)
        more = replace(RUN, training=Training("sdisc", {"pictures": 301}))
        assert training.find_kept(more, tmp_path / "kept") is None

    def test_only_what_is_missing_is_trained(self, tmp_path, trained):
        runs = [RUN, replace(RUN, attribute=SKIN)]
        training.train_missing(runs[:1], tmp_path, 2)
        training.train_missing(runs, tmp_path, 2)
        assert trained == [run.file for run in runs]
        assert json.loads((tmp_path / "modules" / training.RECORD).read_text())[runs[1].file]["seconds"] == 3.0

    def test_rows_that_train_the_same_share_one_module(self, tmp_path, trained):
        again = replace(RUN, method="again")
        training.train_missing([RUN, again], tmp_path, 1)
        assert trained == [RUN.file]
        assert training.find(again, tmp_path / "modules") == training.find(RUN, tmp_path / "modules")

    @pytest.mark.parametrize("name", [n for n, m in {**METHODS, **ablations.ABLATIONS}.items() if m.training])
    def test_every_rows_recipe_is_one(self, name):
        method = {**METHODS, **ablations.ABLATIONS}[name]
        for run in training.runs_of(name, method, [GENDER, SKIN, WEAPONS], "float32"):
            assert run.values["recipe"] == method.training.recipe
