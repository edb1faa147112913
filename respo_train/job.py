"""One training job: from a configuration and a checkpoint to a module file, saved regularly on the way."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from .core.errors import Remedy, RespoError
from .core.files.checkpoint import save_attribute, to_bytes
from .core.files.write import locked, make_folder, sweep
from .core.module.attribute import Attribute, check_name
from .core.module.probe import PromptProbe
from .memory import OutOfMemory, first_line, ran_out
from .network import SplitNetwork
from .probe.fit import fit_probe
from .provenance import Base, attribute_of, compute_of
from .resume import Identity, check_identity, read_saved, restore_state, save_state
from .settings.config import TrainConfig
from .team import ALONE, Team
from .trainer import NotFinite, TrainState, train


class Stopped(Exception):
    """Raised by a watcher to end the run. State and module are saved before it propagates."""


class Watcher(Protocol):
    """Follows a run's progress, in process 0 only: a progress bar, a report, a live preview."""

    def after_step(self, state: TrainState) -> None:
        """Follow one step. Any exception raised here ends the run, which is saved first."""

    def finish(self, state: TrainState) -> None:
        """Follow the end of the run, when everything is saved.

        It may be early (`state.step < steps`): the run was stopped, or a loss was not finite.
        """


def training_folder(out: Path) -> Path:
    """Return the folder next to `out` for everything but the module: its state, previews, pictures."""
    return out.with_suffix(".training")


def state_path(out: Path) -> Path:
    """Return the path of the state file. Its suffix keeps it out of the host's lists of models."""
    return training_folder(out) / "state.respo"


def check_job(
    config: TrainConfig, out: Path, base: Base | None = None, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Find errors that would otherwise show only at the end, before the network is loaded or anything is written.

    These are names that cannot be stored, a folder that cannot be written, an existing module, and a saved run with
    other settings. Raises RespoError.
    """
    check_name("attribute", config.attribute)
    for name in config.concepts:
        check_name("concept", name)
    _check_place(out)
    state = state_path(out)
    if not (resume or overwrite) and (out.exists() or state.exists()):
        found = f"there is a module at {out}" if out.exists() else f"there is an unfinished run at {state.parent}"
        raise RespoError(found, Remedy("resume"), Remedy("overwrite"))
    if resume and state.exists():
        _check_saved(config, state, base)
    elif resume and out.exists():
        raise RespoError(f"there is a module at {out}, but no {state} to go on from", Remedy("overwrite"))


def train_to_file(
    config: TrainConfig,
    unet: SplitNetwork,
    base: Base,
    out: Path,
    watchers: Sequence[Watcher] = (),
    *,
    resume: bool = False,
    overwrite: bool = False,
    team: Team = ALONE,
    save_every: int = 100,
    advice: str = "",
) -> Attribute:
    """Train; save module and state every `save_every` steps, at the end, and when a watcher raises.

    `resume`: continue from an existing state, if there is one, to what an uninterrupted run gives. `overwrite`:
    replace what exists, at the first save. `advice`: what to say when memory runs out. Raises RespoError, NotFinite
    (the saved state is left as it was, and the module is that of the last good step), OutOfMemory (all complete steps
    are saved), and whatever a watcher raised.
    """
    check_job(config, out, base, resume=resume, overwrite=overwrite)
    team.rows(config.batch)
    probe = fit_probe(config, unet)  # takes seconds; its errors should come before the training, not after
    run = _Run(config, unet, base, out, tuple(watchers) if team.leads else (), team, save_every, probe)

    def restore(state: TrainState) -> None:
        run.current = state
        to_bytes(run.attribute(state))  # this and the next raise before training for what could not be saved
        check_identity(run.identity())
        if go_on:
            restore_state(run.state, state, team)

    with run.folder_held():
        check_job(config, out, base, resume=resume, overwrite=overwrite)  # another run may have ended meanwhile
        go_on = resume and run.state.exists()
        if go_on:
            identity = run.identity()
            read_saved(run.state).identity.require_compute(identity.architecture, identity.compute)
        try:
            state = train(config, unet, run.after_step, restore, team, run.folder)
            run.save(state)
        except NotFinite as error:
            raise NotFinite(f"{error.message} {run.not_finite()}", Remedy("overwrite")) from error
        except (OutOfMemory, MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            raise OutOfMemory(f"{run.without_memory(error)} {advice}".strip()) from error
        run.finish(state)
    return run.attribute(state)


@dataclass
class _Run:
    """A run's files and watchers.

    Module and state on disk always belong to complete steps, and the state is written first: where there is a module,
    there is a state to continue from.
    """

    config: TrainConfig
    unet: SplitNetwork
    base: Base
    out: Path
    watchers: tuple[Watcher, ...]
    team: Team
    save_every: int
    probe: PromptProbe | None
    current: TrainState | None = None
    saved_step: int = field(default=-1)

    @property
    def folder(self) -> Path:
        return training_folder(self.out)

    @property
    def state(self) -> Path:
        return state_path(self.out)

    def identity(self) -> Identity:
        architecture, compute = self.unet.architecture.to_dict(), compute_of(self.unet, self.team)
        return Identity(self.config.to_dict(), self.base.to_dict(), architecture, compute, self.base.path)

    def attribute(self, state: TrainState) -> Attribute:
        return attribute_of(self.config, self.unet, self.base, state, self.team, self.probe)

    @contextlib.contextmanager
    def folder_held(self) -> Iterator[None]:
        """Keep the folder for this run alone, without what a killed one left unfinished; remove it if it stays empty.

        Raises Busy, a RespoError, when another process trains there.
        """
        if not self.team.leads:
            self.team.agree(False)  # until the folder is there
            yield
            return
        make_folder(self.folder)
        try:
            with locked(self.state, wait=0, keep=False):
                for path in (self.out, self.out.with_suffix(".html")):
                    sweep(path.parent, path.name, age=0)
                sweep(self.folder, age=0)
                self.team.agree(False)
                yield
        finally:
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def after_step(self, state: TrainState) -> None:
        if state.step % self.save_every == 0 and state.step < self.config.steps:
            self.save(state)
        try:
            for watcher in self.watchers:
                watcher.after_step(state)
        except KeyboardInterrupt:  # a second Ctrl-C waits for nothing
            raise
        except BaseException:  # newer hosts' Cancel is no Exception
            self.team.agree(True)
            self._stop(state)
            raise
        if self.team.agree(False):
            self._stop(state)
            raise Stopped("process 0 has stopped")

    def save(self, state: TrainState) -> None:
        if self.saved_step == state.step:
            return
        try:
            save_state(self.state, state, self.identity(), self.team)
            self._save_module(state)
        except RespoError as error:
            raise RespoError(f"{error.message} {self._on_disk()}", *error.remedies) from error
        self.saved_step = state.step

    def finish(self, state: TrainState) -> None:
        for watcher in self.watchers:
            watcher.finish(state)

    def not_finite(self) -> str:
        """Write the module from before the bad step if its values are finite; return what is on disk, as text."""
        state = self.current
        if state is not None and state.step > 0:
            with contextlib.suppress(RespoError):  # the last step may have been too large already
                self._save_module(state)
            self._finish_quietly(state)
        return self._on_disk()

    def without_memory(self, error: Exception) -> str:
        """Save all complete steps, where this process can do so alone; return what happened, as text."""
        if not isinstance(error, OutOfMemory):
            return f"out of memory beside the steps ({first_line(error)}). {self._on_disk()}"
        state = self.current
        if self.team.size == 1 and state is not None and state.step > 0:
            self.save(state)
            self._finish_quietly(state)
        return f"{error.message} {self._on_disk()}"

    def _stop(self, state: TrainState) -> None:
        self.save(state)
        self._finish_quietly(state)

    def _finish_quietly(self, state: TrainState) -> None:
        # Another exception is already propagating, and that is the one to report.
        with contextlib.suppress(RespoError, OSError):
            self.finish(state)

    def _save_module(self, state: TrainState) -> None:
        if self.team.leads:
            # For a transformer float16, as its h is three times as wide as a U-Net's.
            wide = self.unet.architecture.block > 0
            save_attribute(self.out, self.attribute(state), torch.float16 if wide else torch.float32)

    def _on_disk(self) -> str:
        if not self.state.exists():
            return "Nothing had been saved before."
        return f"The state of step {read_saved(self.state).step} is intact in {self.folder}."


def _check_place(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise RespoError(f"expected an output file that ends in .safetensors, found {out.name!r}")
    if out.is_dir():
        raise RespoError(f"expected the name of a file to write, but {out} is a folder")
    folder = training_folder(out)
    if folder.exists() and not folder.is_dir():
        raise RespoError(f"expected {folder} to be a folder or free, found a file that is in the way", Remedy("out"))
    for place in (out.parent, folder):
        if place == folder and not folder.exists():
            continue
        try:
            # Checking permissions is not enough: the disk may be mounted read-only.
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            reason = error.strerror or error
            raise RespoError(
                f"cannot write into {place} ({reason}): make that folder, or choose one that can be written"
            ) from error


def _check_saved(config: TrainConfig, state: Path, base: Base | None) -> None:
    saved = read_saved(state)
    saved.identity.require_config(config.to_dict())
    if base is not None:
        saved.identity.require_base(base.to_dict())
    if saved.step > config.steps:
        raise RespoError(
            f"the saved run has done {saved.step} steps already, more than the {config.steps} asked for",
            Remedy("steps", saved.step),
        )
