"""Whole evaluations on the toy: what is drawn, kept, drawn again, and written."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluation.toy_world import CalmUNet, ColourJudge, Halves, attribute, files_under, gender, module, safety
from evaluation.toy_world import small_protocol as protocol

from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import save_attribute
from respo_train.core.gate.decide import decide
from respo_train.core.module.probe import PromptProbe
from respo_train.evaluation.evaluate import Job, evaluate
from respo_train.evaluation.protocol import Ask
from respo_train.evaluation.sampler import CELL, Brush
from respo_train.evaluation.steering import AFTER, BEFORE, GATED, Module, Steering
from respo_train.judges.emoji_world import Judge

CONTEXT = CalmUNet.architecture.context_dim
TOY = Path(__file__).with_name("toy_world.py")


def job(out: Path, *modules: Module, images: int = 3, checkpoint: str = "toy", **changes: Any) -> Job:
    plan = changes.pop("protocol", protocol())
    brush = Brush(CalmUNet(), checkpoint, Steering(modules), plan.steps, None, plan.guidance)
    return Job(plan, brush, ColourJudge(), Halves(), out, images, **changes)


def results(out: Path) -> dict[str, Any]:
    text = (out / "results.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    return json.loads(text)


def test_writes_a_page_and_figures(tmp_path: Path) -> None:
    said: list[str] = []
    page = evaluate(job(tmp_path, gender(), safety()), say=said.append)
    assert page == tmp_path / "index.html"
    found = results(tmp_path)["figures"]
    assert set(found) == {"unmodified", "modules", "modules, gated", "perfect", "coin flip"}
    assert found["unmodified"]["deviation_gender"]["n"] == 6
    assert found["modules"]["deviation_gender_held_out"]["n"] == 3
    assert found["perfect"]["deviation_gender"]["value"] == pytest.approx(1 / 3)  # two and one of three
    night = {"unsafe_weapon", "unsafe_weapon_night", "profession_accuracy_night", "background_psnr_night"}
    assert night <= set(found["modules"])
    assert {"kept_gender", "nobody_identical", "nobody_psnr"} == set(found["modules, gated"])
    # Not shared out by a module, but counted all the same.
    assert "deviation_skin" in found["modules"]
    assert "deviation_skin" not in found["perfect"]
    # The gate is closed for both: nothing acts but safety.
    assert found["modules, gated"]["nobody_identical"]["value"] == 0
    html = page.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)  # nothing to load
    for words in ("a photo of a doctor", "with modules and gate", "Deviation ratio, gender", "FID and KID", "nurse *"):
        assert words in html
    assert said[0].startswith("Emoji World: 9 prompts, ")


def test_the_gate_leaves_nobody_bit_identical_and_draws_nothing_twice(tmp_path: Path) -> None:
    own = job(tmp_path, gender())
    assert not decide("a photo of a dog", {"woman": ["woman"]}).open
    evaluate(own, say=lambda _: None)
    found = results(tmp_path)["figures"]
    assert found["modules, gated"]["nobody_identical"]["value"] == 1
    assert found["modules"]["nobody_identical"]["value"] == 0
    assert found["modules, gated"]["kept_gender"]["value"] == found["unmodified"]["kept_gender"]["value"]
    # neutral 2 × 2, explicit 4 × 2, nobody 1 × 2; the gated ones are the unmodified ones.
    assert len(files_under(tmp_path)) == 14


def test_without_modules_the_checkpoint_itself_is_measured(tmp_path: Path) -> None:
    evaluate(job(tmp_path), say=lambda _: None)
    found = results(tmp_path)["figures"]
    assert set(found) == {"unmodified"}
    assert {"deviation_gender", "deviation_skin", "profession_accuracy"} <= set(found["unmodified"])


def test_one_picture_of_everything(tmp_path: Path) -> None:
    evaluate(job(tmp_path, gender(), images=1), say=lambda _: None)
    assert results(tmp_path)["figures"]["modules"]["profession_accuracy"]["n"] == 2


def test_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(job(tmp_path / "whole", gender()), say=lambda _: None)
    draw, left = Brush.draw, iter(range(5))

    def stopping(self: Brush, cell: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(self, cell)

    monkeypatch.setattr(Brush, "draw", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(job(tmp_path / "parts", gender()), say=lambda _: None)
    assert len(files_under(tmp_path / "parts")) == 5
    drawn = count_draws(monkeypatch, draw)
    said: list[str] = []
    evaluate(job(tmp_path / "parts", gender()), say=said.append)
    assert len(drawn) == 14 - 5
    assert "5 of 14 cells were there already" in said
    assert files_under(tmp_path / "whole") == files_under(tmp_path / "parts")
    assert results(tmp_path / "whole")["figures"] == results(tmp_path / "parts")["figures"]


def count_draws(monkeypatch: pytest.MonkeyPatch, draw: Any) -> list[str]:
    drawn: list[str] = []

    def counting(self: Brush, cell: Any) -> Any:
        drawn.append(cell.ask.prompt)
        return draw(self, cell)

    monkeypatch.setattr(Brush, "draw", counting)
    return drawn


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "note"])
def test_a_damaged_cell_is_drawn_again_and_named(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(job(tmp_path, gender()), say=lambda _: None)
    before, figures = files_under(tmp_path), results(tmp_path)["figures"]
    victim = sorted((tmp_path / "cells").glob("*.npy"))[3]
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-100])
    elif damage == "flipped":
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(bytes(data))
    elif damage == "gone":
        victim.unlink()
    else:
        victim.with_suffix(".json").write_text("{")
    drawn, said = count_draws(monkeypatch, Brush.draw), list[str]()
    evaluate(job(tmp_path, gender()), say=said.append)
    assert len(drawn) == 1
    assert [line for line in said if "damaged" in line] == [f"a cell of {drawn[0]!r} is damaged and is drawn again"]
    assert files_under(tmp_path) == before
    assert results(tmp_path)["figures"] == figures


def test_other_settings_make_other_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(job(tmp_path, gender()), say=lambda _: None)
    drawn = count_draws(monkeypatch, Brush.draw)
    evaluate(job(tmp_path, gender()), say=lambda _: None)
    assert drawn == []
    evaluate(job(tmp_path, gender(strength=0.5)), say=lambda _: None)
    assert len(drawn) == 7  # the unmodified ones stay
    for changes in ({"checkpoint": "another"}, {"seed": 7}, {"protocol": dataclasses.replace(protocol(), steps=4)}):
        drawn.clear()
        evaluate(job(tmp_path, gender(), **changes), say=lambda _: None)
        assert len(drawn) == 14


def test_more_pictures_draw_only_the_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate(job(tmp_path, images=CELL), say=lambda _: None)
    drawn = count_draws(monkeypatch, Brush.draw)
    evaluate(job(tmp_path, images=CELL + 2), say=lambda _: None)
    assert drawn == ["a photo of a doctor", "a photo of a nurse"]
    assert results(tmp_path)["figures"]["unmodified"]["deviation_gender"]["n"] == 2 * (CELL + 2)


def test_joint_quotas_are_exact_and_deltas_add_up(tmp_path: Path) -> None:
    skin = module("skin tone", "light", "medium", "dark", strength=0.5)
    steering = Steering([gender(), safety(), skin])
    ask = protocol().asks(12, 0, steering.concepts(), steering.purposes())[0]
    acts = steering.acts(ask, AFTER)
    assert sorted(steering.asked(ask)) == sorted(
        2 * [f"{g}, {s}" for g in ("woman", "man") for s in ("light", "medium", "dark")]
    )
    assert [", ".join(name for number, name in act if number != 1) for act in acts] == steering.asked(ask)
    assert all((1, "no weapons") in act for act in acts)
    assert steering.acts(ask, BEFORE) == [()] * 12
    own = dict(acts[0])
    summed = steering.module(acts[0])
    parts = [
        steering.modules[n].strength * steering.modules[n].attribute.concept(name).delta(4, 4)
        for n, name in own.items()
    ]
    assert summed is not None
    torch.testing.assert_close(summed.delta(4, 4), sum(parts))


def test_the_gate_closes_one_attribute_and_never_safety() -> None:
    words = {"woman": ["woman"], "man": ["man"]}
    fair = dataclasses.replace(attribute("gender", "woman", "man"), words=words)
    skin = dataclasses.replace(attribute("skin tone", "light", "dark"), words={"dark": ["dark-skinned"]})
    steering = Steering([Module(fair, "g", "g"), Module(skin, "s", "s"), safety()])
    asks = protocol().asks(10, 0, steering.concepts(), steering.purposes())
    woman = next(ask for ask in asks if ask.prompt == "a photo of a woman doctor")
    for act in steering.acts(woman, GATED):
        assert [number for number, _ in act] == [1, 2]
    dog = next(ask for ask in asks if ask.group == "dog")
    assert steering.acts(dog, GATED) == [((2, "no weapons"),)] * dog.count


def test_a_probe_closes_its_attribute_and_no_other() -> None:
    """A prompt's encoding is one token: its first number tells people, its second that a gender is stated."""
    encodings = {"a doctor": (1.0, 0.0), "a woman doctor": (1.0, 1.0), "a dog": (-1.0, 0.0)}
    first, second = torch.eye(CONTEXT)[:2]
    probe = PromptProbe(
        torch.zeros(CONTEXT), torch.ones(CONTEXT), first, [(first + second)[None]], -torch.tensor([0, 0.9])
    )
    probed = Module(dataclasses.replace(gender().attribute, probe=probe), "g", "g")
    modules = [probed, Module(attribute("skin", "light", "dark"), "s", "s"), safety()]

    def acting(prompt: str, steering: Steering) -> set[int]:
        acts = steering.acts(Ask("work", "doctor", prompt, seed=0, count=4), AFTER)
        (numbers,) = {tuple(number for number, _ in act) for act in acts}
        return set(numbers)

    steering = Steering(modules, lambda prompt: torch.tensor([[encodings[prompt]]]) @ torch.eye(CONTEXT)[:2])
    assert acting("a doctor", steering) == {0, 1, 2}
    assert acting("a woman doctor", steering) == acting("a dog", steering) == {1, 2}
    assert acting("a dog", Steering(modules)) == {0, 1, 2}  # nobody encodes: nothing is known of prompts


def test_modules_have_to_go_together() -> None:
    with pytest.raises(RespoError, match="different attributes"):
        Steering([gender(), gender()])
    with pytest.raises(RespoError, match="same half of guidance, found both, cond"):
        Steering([gender(), module("age", "young", "old", half="both")])
    assert Steering([module("age", "young", "old", half="both")]).half == "both"


def test_a_judge_that_cannot_see_it_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(RespoError, match=r"tells young, old apart, to measure 'age'; this one knows gender: woman"):
        evaluate(job(tmp_path, module("age", "young", "old")), say=lambda _: None)
    assert not (tmp_path / "cells").exists()


def test_a_checkpoint_that_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CalmUNet, "decode", lambda *_: None)
    with pytest.raises(RespoError, match="no autoencoder inside"):
        evaluate(job(tmp_path), say=lambda _: None)
    monkeypatch.setattr(CalmUNet, "decoder", lambda self, encoded, h: encoded.latents * math.nan)
    with pytest.raises(RespoError, match="not finite"):
        evaluate(job(tmp_path), say=lambda _: None)


def test_feature_distances_with_a_judge_that_has_features(tmp_path: Path) -> None:
    import numpy as np

    torch.manual_seed(0)
    classes = {"gender": ("woman", "man"), "profession": ("doctor", "nurse")}
    judge = Judge(classes, dict.fromkeys(classes, 0.0)).eval()
    real = tmp_path / "real.npy"
    np.save(real, np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8))
    evaluate(dataclasses.replace(job(tmp_path, gender(), real=real), judge=judge), say=lambda _: None)
    found = results(tmp_path)
    assert found["figures"]["modules"]["frechet_unmodified"]["value"] > 0
    assert found["figures"]["unmodified"]["frechet_real"]["value"] > 0
    assert found["figures"]["modules"]["background_distance"]["value"] > 0
    assert any("torch-fidelity" in line or "Inception" in line for line in found["skipped"])


def command(out: Path, *arguments: str, processes: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, TOY]
    if processes > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", TOY]
    given = [
        "evaluate",
        "--protocol",
        "emoji",
        "--checkpoint",
        out.parent / "toy.safetensors",
        "--out",
        out,
        *arguments,
    ]
    return subprocess.run(
        [*start, *given],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "toy.safetensors").write_bytes(b"toy")
    save_attribute(tmp_path / "gender.safetensors", attribute("gender", "woman", "man"))
    return tmp_path


def test_a_kill_and_two_processes_change_nothing(files: Path) -> None:
    wanted = ("--module", str(files / "gender.safetensors"), "--images", "3")
    whole = command(files / "whole", *wanted)
    assert whole.returncode == 0, whole.stderr
    assert "wrote" in whole.stdout
    killed = command(files / "parts", *wanted, TOY_KILL_AT="4")
    assert killed.returncode == -9
    assert len(files_under(files / "parts")) == 4
    done = command(files / "parts", *wanted, processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Emoji World: ") == done.stdout.count("wrote ") == 1
    assert "4 of 14 cells were there already" in done.stdout
    assert files_under(files / "whole") == files_under(files / "parts")
    assert results(files / "whole")["figures"] == results(files / "parts")["figures"]


def test_ctrl_c_says_how_to_go_on(files: Path) -> None:
    stopped = command(files / "out", "--images", "2", TOY_KILL_AT="1", TOY_SIGNAL="SIGINT")
    assert stopped.returncode == 130
    assert f"stopped: what was drawn is kept in {files / 'out'}. The same command goes on." in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert len(files_under(files / "out")) == 1
