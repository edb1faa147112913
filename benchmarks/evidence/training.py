"""The modules that rows need: trained by `python -m respo_train train`, once for each configuration."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.graph import UNET, Network
from emoji_world import world
from respo_train.core.files.checkpoint import file_sha256
from respo_train.core.files.write import locked, write_atomically
from respo_train.evaluation.cells import digest_of
from respo_train.settings.preset_files import read_config

from .bench import ROOT, code_sha256
from .methods import PRESETS, Method, Training

CHECKPOINTS = Path(world.__file__).resolve().parent / "checkpoint"
KEPT = Path(__file__).resolve().parent / "modules"  # as the last full run trained them; --quick draws with these
RECORD = "trained.json"  # file name -> signature, configuration, core seconds
LOOPS = {"respodiff pool": "loops", "where released": "where_loop"}  # a rival's objective -> the file that trains it
# What trains; not the command line, reports and pages around it.
CODE = ("core", "host", "latents", "objectives", "probe", "settings", "trainer.py")


@dataclass(frozen=True)
class Run:
    """One training run: a method's module of one attribute."""

    method: str
    attribute: str
    training: Training
    precision: str
    network: Network = UNET

    @property
    def file(self) -> str:
        """The module's name in the folder `modules`."""
        return f"{self.network.prefix}{self.method}-{Path(PRESETS[self.attribute]).stem}.safetensors"

    @property
    def checkpoint(self) -> Path:
        """What it is trained on."""
        return CHECKPOINTS / self.network.checkpoint

    @property
    def values(self) -> dict[str, Any]:
        """Everything that is trained, spelled out."""
        own = self.training.own.get(self.attribute, {})
        changes = {**self.training.changes, **own, "seed": self.training.seed}
        values = read_config(PRESETS[self.attribute], changes, self.training.recipe).to_dict()
        return {**values, "objective": self.training.loop or values["objective"]}

    @property
    def signature(self) -> str:
        """Return 64 hexadecimal digits: another configuration, checkpoint, trainer or PyTorch gives others."""
        loop = (f"benchmarks/evidence/{LOOPS[self.training.loop]}.py",) if self.training.loop else ()
        code = code_sha256(*(f"respo_train/{name}" for name in CODE), *loop)
        return digest_of([self.configuration, self.precision, code, torch.__version__])

    @property
    def configuration(self) -> str:
        """Return 64 hexadecimal digits: what is trained on which checkpoint, with whatever code and machine."""
        decisive = {
            name: value for name, value in self.values.items() if name not in ("words", "preview", "checkpointing")
        }
        return digest_of([decisive, file_sha256(self.checkpoint)])


@dataclass(frozen=True)
class Trained:
    """What came of a run. `seconds`: of one core, all its processes and threads added up."""

    path: Path
    seconds: float


Modules = Mapping[str, Mapping[str, Trained]]  # method -> attribute -> what was trained for it


def runs_of(name: str, method: Method, attributes: Sequence[str], precision: str) -> list[Run]:
    """Return the runs that a row needs; none where it trains nothing."""
    if method.training is None:
        return []
    return [Run(name, a, method.training, precision, method.network) for a in attributes]


def find(run: Run, folder: Path) -> Trained | None:
    """Look up a run that was finished with the same code and PyTorch, whichever row it was for."""
    return _find(folder, "signature", run.signature)


def find_kept(run: Run, folder: Path = KEPT) -> Trained | None:
    """Look up the module of a configuration, whoever trained it, for runs that do not train."""
    return _find(folder, "configuration", run.configuration)


def train_missing(runs: Sequence[Run], out: Path, at_once: int) -> None:
    """Train what is not in `out`/modules yet, `at_once` side by side; an interrupted run goes on where it was.

    Rows that train the same share one module.
    """
    (out / "modules").mkdir(parents=True, exist_ok=True)
    different: dict[str, Run] = {}
    for run in runs:
        different.setdefault(run.signature, run)
    missing = [run for run in different.values() if find(run, out / "modules") is None]
    with ThreadPoolExecutor(at_once) as pool:
        seconds = pool.map(lambda run: _train(run, out / "training" / run.signature[:16]), missing)
        for run, (module, own) in zip(missing, seconds, strict=True):
            keep(run, Trained(module, own), out / "modules")


def keep(run: Run, trained: Trained, folder: Path) -> None:
    """Copy a module into a folder, and write down what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if trained.path != folder / run.file:
        write_atomically(folder / run.file, trained.path.read_bytes())
    own = {"signature": run.signature, "configuration": run.configuration, "seconds": round(trained.seconds, 1)}
    with locked(folder / RECORD):
        record = {**_read(folder), run.file: own}
        write_atomically(folder / RECORD, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())


def gather(modules: Mapping[str, Mapping[str, Trained]], folder: Path) -> Path:
    """Copy all rows' modules into one folder, which a server can have as its model folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for own in modules.values():
        for one in own.values():
            write_atomically(folder / one.path.name, one.path.read_bytes())
    return folder


def _train(run: Run, folder: Path) -> tuple[Path, float]:
    folder.mkdir(parents=True, exist_ok=True)
    preset, module, clock = folder / "preset.toml", folder / run.file, folder / "seconds"
    write_atomically(preset, as_toml(run.values).encode())
    print(f"Training {run.file} ({run.values['steps']} steps)", flush=True)
    trainer = f"benchmarks.evidence.{LOOPS[run.training.loop]}" if run.training.loop else "respo_train"
    command: list[str | Path] = [sys.executable, "-m", trainer, "train", "--preset", preset, "--out", module]
    command += ["--checkpoint", run.checkpoint, "--recipe", run.training.recipe, "--precision", run.precision]
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen([*command, "--resume", "--preview-every", "0"], cwd=ROOT, stdout=log, stderr=log)
        before, seconds = float(clock.read_text()) if clock.exists() else 0.0, 0.0
        while process.poll() is None:
            seconds = _core_seconds(process.pid, seconds)
            write_atomically(clock, str(before + seconds).encode())
            time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"training {run.file} failed; see {folder / 'log'}")
    return module, before + seconds


def _core_seconds(pid: int, known: float) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:  # it has just ended
        return known
    return float(times.user + times.system)


def _find(folder: Path, by: str, wanted: str) -> Trained | None:
    for file, known in _read(folder).items():
        if known.get(by) == wanted and (folder / file).is_file():
            return Trained(folder / file, float(known["seconds"]))
    return None


def _read(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def as_toml(values: Mapping[str, Any]) -> str:
    """Write plain values as TOML: texts, numbers, lists and tables of these."""
    return "".join(f"{json.dumps(name)} = {_toml(value)}\n" for name, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(own)}" for name, own in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(own) for own in value) + "]"
    return json.dumps(value)  # texts, numbers and booleans are spelled alike
