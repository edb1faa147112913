"""Nothing is ever lost: a run that was ended in any way goes on to the very same module."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from toy_unet import AttentiveUNet, ToyUNet

import respo_train.core.files.checkpoint as checkpoint_file
from respo_train import job
from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.job import Base, Stopped, state_path, train_to_file, training_folder
from respo_train.network import Encoded
from respo_train.objectives import OBJECTIVES
from respo_train.resume import read_saved
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import NotFinite, TrainState

TOY_COMMAND = Path(__file__).parent / "toy_command.py"
BASE = Base("toy.safetensors", "ab" * 32, "/nowhere/toy.safetensors")
STEPS = 12
BOY = {"target": "a boy", "word": "boy"}


def config(**changes: Any) -> TrainConfig:
    quick = {"steps": STEPS, "batch": 4, "trajectory_steps": 5, "pictures": 6, "picture_steps": 3}
    objective = changes.get("objective", "respodiff")
    return read_config("gender", {**quick, **changes}, "respo" if objective == "respodiff" else objective)


def tensors(out: Path) -> dict[str, Tensor]:
    found = safetensors.torch.load_file(out)
    assert found
    return found


def same(first: Path, second: Path) -> bool:
    one, two = tensors(first), tensors(second)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


class StopAt:
    """Ends the run after a step, and remembers what it was told."""

    def __init__(self, step: int, how: type[BaseException] = Stopped):
        self.step, self.how, self.finished = step, how, [0][:0]

    def after_step(self, state: TrainState) -> None:
        if state.step == self.step:
            raise self.how("enough")

    def finish(self, state: TrainState) -> None:
        self.finished.append(state.step)


def interrupted(out: Path, step: int, how: type[BaseException] = Stopped, **options: Any) -> StopAt:
    watcher, settings, unet = StopAt(step, how), options.pop("config", config()), options.pop("unet", ToyUNet())
    with pytest.raises(how, match="enough"):
        train_to_file(settings, unet, BASE, out, [watcher], **options)
    return watcher


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module of a run without a break."""
    out = tmp_path_factory.mktemp("whole") / "gender.safetensors"
    train_to_file(config(), ToyUNet(), BASE, out)
    return out


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("step", "how"), [(1, Stopped), (5, Stopped), (11, KeyboardInterrupt), (2, KeyboardInterrupt)])
def test_resumed_is_uninterrupted(tmp_path: Path, objective: str, step: int, how: type[BaseException]) -> None:
    """KeyboardInterrupt stands for a kill: nothing is saved then, the run goes on from the last regular save."""
    settings, unet = config(objective=objective), AttentiveUNet() if objective == "where" else ToyUNet()
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    watcher = StopAt(0)
    train_to_file(settings, unet, BASE, first, [watcher])
    assert watcher.finished == [STEPS]
    watcher = interrupted(second, step, how, config=settings, unet=unet, save_every=3)
    assert watcher.finished == ([step] if how is Stopped else [])
    if state_path(second).exists():
        assert read_saved(state_path(second)).step == (step if how is Stopped else step // 3 * 3)
    else:
        assert (step, how) == (2, KeyboardInterrupt)
    seen: list[int] = []

    class Look(StopAt):
        def after_step(self, state: TrainState) -> None:
            seen.append(state.step)
            assert all(len(concept.losses) == state.step for concept in state.concepts.values())

    train_to_file(settings, unet, BASE, second, [Look(0)], resume=True, save_every=5)
    assert seen[0] == (step if how is Stopped else step // 3 * 3) + 1
    assert same(first, second)
    assert same(state_path(first), state_path(second))


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "low_rank", "rank": 2},
        {"kind": "channel"},
        {"optimizer": "one_scale_adam"},
        {"map_width": 3, "map_lr": 0.02, "optimizer": "one_scale_adam", "clip": 1.0},
    ],
)
def test_other_kinds_go_on_too(tmp_path: Path, kind: dict[str, Any]) -> None:
    settings = config(**kind)
    train_to_file(settings, ToyUNet(), BASE, tmp_path / "a.safetensors")
    interrupted(tmp_path / "b.safetensors", 7, config=settings)
    train_to_file(settings, ToyUNet(), BASE, tmp_path / "b.safetensors", resume=True)
    assert same(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


def test_more_steps_go_on_from_a_finished_and_from_a_stopped_run(tmp_path: Path, whole: Path) -> None:
    done, stopped = tmp_path / "done.safetensors", tmp_path / "stopped.safetensors"
    train_to_file(config(steps=5), ToyUNet(), BASE, done)
    interrupted(stopped, 4, config=config(steps=9))
    for out in (done, stopped):
        assert not same(out, whole)
        train_to_file(config(), ToyUNet(), BASE, out, resume=True)
        assert same(out, whole)
        assert load_attribute(out).training["steps_done"] == STEPS


@pytest.mark.parametrize("kind", [Exception, BaseException], ids=["older hosts", "newer hosts"])
def test_a_hosts_cancel_saves_and_goes_on_upwards(tmp_path: Path, kind: type[BaseException]) -> None:
    class Cancelled(kind):  # type: ignore[misc, valid-type]
        """As a host's own."""

    out = tmp_path / "gender.safetensors"
    watcher = interrupted(out, 4, Cancelled)
    assert watcher.finished == [4]
    assert read_saved(state_path(out)).step == 4
    assert load_attribute(out).training["steps_done"] == 4


@pytest.fixture
def refused(tmp_path: Path) -> Any:
    """refused(message, config, base): a run that may not go on, and leaves everything as it was."""
    out = tmp_path / "gender.safetensors"
    interrupted(out, 5)

    def check(
        message: str, settings: TrainConfig | None = None, base: Base = BASE, unet: Any = None, resume: bool = True
    ) -> None:
        before = {path: path.read_bytes() for path in (out, state_path(out))}
        with pytest.raises(RespoError, match=message) as caught:
            train_to_file(settings or config(), unet or ToyUNet(), base, out, resume=resume)
        assert "\n" not in str(caught.value)
        assert {path: path.read_bytes() for path in before} == before
        assert sorted(os.listdir(tmp_path)) == ["gender.safetensors", "gender.training"]
        assert os.listdir(training_folder(out)) == ["state.respo"]

    return check


def test_another_configuration_is_named_by_its_first_difference(refused: Any) -> None:
    refused(r"saved run has seed = 0, this one 3.*: overwrite", config(seed=3, batch=8))
    refused(
        r"concepts.woman.target = \"a woman\", this one \"a girl\"", config(concepts={"woman": {"target": "a girl"}})
    )
    refused(r"concepts = \[\"woman\", \"man\"\], this one", config(concepts={"boy": BOY}))
    refused("has grid = nothing, this one", config(grid=(2, 2)))
    refused(r"5 steps already, more than the 3 asked for: steps 5", config(steps=3))


def test_other_words_are_no_other_run(tmp_path: Path) -> None:
    """They reach the file, and the numbers are those of a run without a break."""
    whole, broken, words = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors", {"woman": ["she"]}
    train_to_file(config(), ToyUNet(), BASE, whole)
    interrupted(broken, 5)
    assert load_attribute(broken).words == config().words != {}
    train_to_file(config(words=words), ToyUNet(), BASE, broken, resume=True)
    assert same(whole, broken)
    assert load_attribute(broken).words == {**config().words, **words}


def test_another_checkpoint_is_refused(refused: Any) -> None:
    other = Base("other.safetensors", "cd" * 32)
    refused(r"trained on toy.safetensors \(sha256 abababababab…\), but other.safetensors", base=other)


def test_another_precision_is_refused(refused: Any) -> None:
    unet = ToyUNet()
    unet.compute = {"precision": "bfloat16"}
    refused("has precision float32, this one bfloat16: precision float32", unet=unet)


def test_what_is_there_is_not_replaced_unasked(refused: Any, tmp_path: Path) -> None:
    out = tmp_path / "gender.safetensors"
    refused("there is a module at .*: resume, or overwrite", resume=False)
    train_to_file(config(seed=3), ToyUNet(), BASE, out, overwrite=True)
    assert load_attribute(out).training["config"]["seed"] == 3
    out.unlink()
    with pytest.raises(RespoError, match=r"there is an unfinished run at .*: resume, or overwrite"):
        train_to_file(config(), ToyUNet(), BASE, out)
    assert not out.exists()


@pytest.mark.parametrize(("resume", "message"), [(False, "there is a module at"), (True, "saved run has seed = 3")])
def test_a_run_that_ended_while_this_one_began_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool, message: str
) -> None:
    """Nothing is there when this run looks first, and a whole other one when it may write."""
    out, fit = tmp_path / "gender.safetensors", job.fit_probe

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(job, "fit_probe", fit)
        train_to_file(config(seed=3), ToyUNet(), BASE, out)
        return fit(*given)

    monkeypatch.setattr(job, "fit_probe", meanwhile)
    with pytest.raises(RespoError, match=message):
        train_to_file(config(), ToyUNet(), BASE, out, resume=resume)
    assert load_attribute(out).training["config"]["seed"] == 3
    assert read_saved(state_path(out)).identity.config["seed"] == 3


def test_a_module_without_its_state_cannot_go_on(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "gender.safetensors"
    out.write_bytes(whole.read_bytes())
    with pytest.raises(RespoError, match=r"no .*state.respo to go on from: overwrite"):
        train_to_file(config(), ToyUNet(), BASE, out, resume=True)
    assert out.read_bytes() == whole.read_bytes()


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def relabelled(data: bytes, change: Any) -> bytes:
    """Change the header's own words, keeping the tensors."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    respo = json.loads(header["__metadata__"]["respo"])
    change(header, respo)
    header["__metadata__"]["respo"] = json.dumps(respo)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def with_tensors(data: bytes, change: Any) -> bytes:
    """Change tensors and sign them again, as somebody would who means to mislead."""
    from respo_train.resume import _digest

    found = safetensors.torch.load(data)
    change(found)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    respo = {**json.loads(header["respo"]), "digest": _digest(found)}
    return safetensors.torch.save(found, {**header, "respo": json.dumps(respo)})


def rename_positions(found: dict[str, Tensor]) -> None:
    text = found["numbers"].numpy().tobytes().replace(b"positions", b"positives")
    found["numbers"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)


LOSSES = "woman.losses"
DEFECTS = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "pickle": lambda data: b"\x80\x04" + data,
    "long header": lambda data: (2**40).to_bytes(8, "little") + data[8:],
    "no metadata": lambda data: safetensors.torch.save({"a": torch.zeros(3)}),
    "a bit in the first tensor": lambda data: flipped(data, 8 + int.from_bytes(data[:8], "little") + 2),
    "the last bit": lambda data: flipped(data, len(data) - 1),
    "newer": lambda data: relabelled(data, lambda header, respo: header["__metadata__"].update(format_version="2")),
    "a step more": lambda data: relabelled(data, lambda header, respo: respo.update(step=respo["step"] + 1)),
    "step as text": lambda data: relabelled(data, lambda header, respo: respo.update(step="5")),
    "no identity": lambda data: relabelled(data, lambda header, respo: respo.pop("identity")),
    "config as a list": lambda data: relabelled(data, lambda header, respo: respo["identity"].update(config=[])),
    "a concept less": lambda data: with_tensors(data, lambda t: [t.pop(k) for k in list(t) if k.startswith("man.")]),
    "a tensor more": lambda data: with_tensors(data, lambda t: t.update(other=torch.zeros(1))),
    "fewer losses": lambda data: with_tensors(data, lambda t: t.update({LOSSES: t[LOSSES][1:].clone()})),
    "another shape": lambda data: with_tensors(
        data, lambda t: t.update({"man.module.responsible.full": torch.zeros(8, 2, 2)})
    ),
    "another batch": lambda data: with_tensors(
        data, lambda t: t.update({"man.source.latents": t["man.source.latents"][:2].clone()})
    ),
    "half an optimizer": lambda data: with_tensors(data, lambda t: t.pop("man.optimizer.semantic.0.exp_avg")),
    "a part more": lambda data: with_tensors(data, lambda t: t.update({"man.module.other": torch.zeros(1)})),
    "another objective's numbers": lambda data: with_tensors(data, rename_positions),
    "numbers that are none": lambda data: with_tensors(
        data, lambda t: t.update(numbers=torch.zeros(4, dtype=torch.uint8))
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_damaged_state_is_one_clear_line(refused: Any, tmp_path: Path, defect: str) -> None:
    state = state_path(tmp_path / "gender.safetensors")
    state.write_bytes(DEFECTS[defect](state.read_bytes()))
    refused(r"cannot go on from .*state.respo: .*: overwrite")


class NaNAfter(ToyUNet):
    """Not a number from a certain pass on."""

    def __init__(self, passes: int):
        super().__init__()
        self.passes = passes

    def decoder(self, encoded: Encoded, h: Tensor, *hook: Any) -> Tensor:
        self.passes -= 1
        return super().decoder(encoded, h, *hook) * (float("nan") if self.passes < 0 else 1)


def test_not_a_number_keeps_what_was_good(tmp_path: Path) -> None:
    out, good = tmp_path / "gender.safetensors", tmp_path / "good.safetensors"
    counting = NaNAfter(10**9)
    interrupted(good, 7, config=config())
    train_to_file(config(steps=7), counting, BASE, tmp_path / "count.safetensors")
    watcher = StopAt(0)
    with pytest.raises(NotFinite, match=r"at step 8.*lower responsible_lr.*state of step 6 is intact in .*: overwrite"):
        train_to_file(config(), NaNAfter(10**9 - counting.passes), BASE, out, [watcher], save_every=3)
    assert read_saved(state_path(out)).step == 6
    assert load_attribute(out).training["steps_done"] == 7
    assert same(out, good)
    assert watcher.finished == [7]
    train_to_file(config(steps=7), ToyUNet(), BASE, out, resume=True)
    assert same(out, good)


def test_not_a_number_at_once_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match=r"at step 1.*Nothing had been saved before"):
        train_to_file(config(), NaNAfter(0), BASE, tmp_path / "gender.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_state_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    out = tmp_path / "gender.safetensors"

    class Spoil(StopAt):
        def after_step(self, state: TrainState) -> None:
            if state.step == 5:
                with torch.no_grad():
                    state.modules()["man"].responsible.full[0, 0, 0] = float("inf")
                raise Stopped

    with pytest.raises(RespoError, match=r"diverged.*The state of step 4 is intact"):
        train_to_file(config(), ToyUNet(), BASE, out, [Spoil(0)], save_every=2)
    assert read_saved(state_path(out)).step == 4
    assert load_attribute(out).training["steps_done"] == 4


@pytest.fixture(params=["mounted", "patched"])
def filling_disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on whose disk two saves fit, not three: a real one where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "mounted":
        mount = ["mount", "-t", "tmpfs", "-o", "size=44k", "tmpfs", str(folder)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting is not allowed here; the patched disk is tested all the same")
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return
    sync, saves = os.fsync, iter(range(4))

    def fsync(descriptor: int) -> None:
        if next(saves, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(checkpoint_file.os, "fsync", fsync)
    yield folder


def test_a_full_disk_keeps_the_files_that_were_there(filling_disk: Path) -> None:
    """A state grows with its losses: on the mounted disk, a small one, it soon has no room beside the one before."""
    out, small = filling_disk / "gender.safetensors", config(steps=2000, map_width=None, map_lr=None)
    with pytest.raises(RespoError, match=r"No space left on device. Free some space.*state of step \d+ is intact") as e:
        train_to_file(small, ToyUNet(), BASE, out, save_every=40)
    assert "\n" not in str(e.value)
    saved = read_saved(state_path(out)).step
    assert saved >= 40
    assert load_attribute(out).training["steps_done"] in (saved, saved - 40)
    assert sorted(os.listdir(filling_disk)) == ["gender.safetensors", "gender.training"]
    assert os.listdir(training_folder(out)) == ["state.respo"]


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path: Path) -> None:
    out = tmp_path / "gender [1].safetensors"
    interrupted(out, 3)
    other = tmp_path / ".other.safetensors.0123456789abcdef.tmp"
    page = tmp_path / f".{out.stem}.html.0123456789abcdef.tmp"
    for path in (
        training_folder(out) / ".state.respo.0123456789abcdef.tmp",
        tmp_path / f".{out.name}.0123456789abcdef.tmp",
        page,
        other,
    ):
        path.write_bytes(b"half a fi")
    train_to_file(config(), ToyUNet(), BASE, out, resume=True)
    assert sorted(os.listdir(tmp_path)) == [other.name, out.name, "gender [1].training"]
    assert os.listdir(training_folder(out)) == ["state.respo"]


# Real processes, really killed.


class Server:
    """Forks a process for each command, see toy_command.py."""

    def __init__(self, log: Path, **environment: str):
        given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self.log = log
        with log.open("wb") as errors:
            command = [sys.executable, str(TOY_COMMAND), "serve"]
            self.process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, text=True, env=given)

    def start(self, *arguments: str) -> int:
        """Return the new process's id."""
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        return int(self.process.stdout.readline())

    def run(self, *arguments: str) -> int:
        self.start(*arguments)
        return self.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def arguments(tmp_path: Path, name: str, *more: str) -> list[str]:
    toy = tmp_path / "toy.safetensors"
    toy.write_bytes(b"toy")
    common = ["--preset", "gender", "--checkpoint", str(toy), "--out", str(tmp_path / name)]
    return ["train", *common, "--steps", "15", "--save-every", "1", "--preview-every", "0", *more]


def saved_step(out: Path) -> int:
    return read_saved(state_path(out)).step if state_path(out).exists() else 0


def wait_for_step(out: Path, step: int) -> None:
    started = time.monotonic()
    while saved_step(out) < step:
        assert time.monotonic() - started < 120
        time.sleep(0.01)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that is as fast as it can be."""
    with Server(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.mark.slow  # each of its moments is another process; test_killed_while_writing holds the worst ones
@needs_fork
def test_killed_at_ten_random_moments(tmp_path: Path, server: Server) -> None:
    moments, reached = random.Random("ten moments"), []
    with Server(tmp_path / "log", TOY_SECONDS="0.2") as slow:
        started = time.monotonic()
        assert slow.run(*arguments(tmp_path, "whole.safetensors")) == 0
        seconds = time.monotonic() - started
        for index in range(40):
            out = tmp_path / f"{index}.safetensors"
            pid = slow.start(*arguments(tmp_path, out.name))
            time.sleep(moments.uniform(0, seconds))
            with contextlib.suppress(ProcessLookupError):  # it was faster than the first
                os.kill(pid, signal.SIGKILL)
            if slow.wait() != -signal.SIGKILL:
                continue
            reached.append(saved_step(out))
            assert server.run(*arguments(tmp_path, out.name, "--resume")) == 0
            assert same(out, tmp_path / "whole.safetensors")
            if len(reached) == 10:
                break
    assert len(reached) == 10
    # In the middle of training, not all before or after it.
    assert len({step for step in reached if 0 < step < 15}) >= 3, reached


@needs_fork
@pytest.mark.parametrize("renaming", [0, 1, 6, 7])
def test_killed_while_writing(tmp_path: Path, server: Server, renaming: int) -> None:
    """Even numbers: the state is written beside, not renamed yet; odd ones: the module is."""
    out = tmp_path / "gender.safetensors"
    with Server(tmp_path / "log", TOY_KILL_AT=str(renaming)) as killed:
        assert killed.run(*arguments(tmp_path, out.name)) == -signal.SIGKILL
    assert saved_step(out) == renaming // 2 + renaming % 2
    folder = out.parent if renaming % 2 else training_folder(out)
    assert len(list(folder.glob(".*.tmp"))) == 1
    assert server.run(*arguments(tmp_path, out.name, "--resume")) == 0
    assert server.run(*arguments(tmp_path, "whole.safetensors")) == 0
    assert same(out, tmp_path / "whole.safetensors")
    assert list(folder.glob(".*.tmp")) == []


@needs_fork
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(tmp_path: Path, server: Server, number: int) -> None:
    out = tmp_path / "gender.safetensors"
    with Server(tmp_path / "log", TOY_SECONDS="0.2") as slow:
        # Saved every fourth step only: what is saved in between is Ctrl-C's.
        pid = slow.start(*arguments(tmp_path, out.name, "--save-every", "4"))
        wait_for_step(out, 4)
        time.sleep(0.3)
        os.kill(pid, number)
        assert slow.wait() == 130
        log = slow.log.read_text()
    step = saved_step(out)
    assert 4 < step < 15
    assert load_attribute(out).training["steps_done"] == step
    assert f"stopped at step {step}: all is saved. Go on with: python -m respo_train resume {out}" in log
    assert "Traceback" not in log
    assert out.with_suffix(".html").exists()
    assert server.run("resume", str(out)) == 0
    assert server.run(*arguments(tmp_path, "whole.safetensors")) == 0
    assert same(out, tmp_path / "whole.safetensors")


@needs_fork
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    out = tmp_path / "gender.safetensors"
    with Server(tmp_path / "log", TOY_SECONDS="4") as slow:
        pid = slow.start(*arguments(tmp_path, out.name, "--batch", "1", "--steps", "1000"))
        wait_for_step(out, 1)
        time.sleep(1)
        for _ in range(2):
            os.kill(pid, signal.SIGINT)
            time.sleep(0.5)
        assert slow.wait() == 130
        assert saved_step(out) == 1
        assert "stopped at once" in slow.log.read_text()


def test_a_module_that_no_reader_takes_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_file, "_MAX_BYTES", 1000)
    with pytest.raises(RespoError, match="Split them into several modules"):
        train_to_file(config(), ToyUNet(), BASE, tmp_path / "a.safetensors", [StopAt(1)])
    assert list(tmp_path.iterdir()) == []
