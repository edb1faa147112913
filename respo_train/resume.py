"""The state of a run in one file, from which training continues bit for bit (on a GPU see `trainer.train`).

It holds no random generator's state: all noise is keyed (`randomness.py`), so step and latents determine it. The file
is a safetensors file (no pickle). Tensors by concept: "<concept>.module.<parameter>",
"<concept>.optimizer.<part>.<parameter's number>.<entry>", "<concept>.source.<key>" with all rows of the batch,
"<concept>.losses" `[steps, 2]` float64, and "numbers": the sources' lists as JSON bytes. Metadata "respo": JSON with
the step, the run's `Identity` and the SHA-256 of the tensors.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .core.errors import ModuleFileError, Remedy, RespoError
from .core.files.header import header_of, opened, parse_json
from .core.files.write import write_atomically
from .memory import first_line
from .optimizer import OneScaleAdam
from .settings.config import as_trained
from .team import ALONE, Team
from .trainer import ConceptState, Losses, TrainState

_FORMAT = "respo_state"
_VERSION = "1"
# 64 concepts for SDXL at 1024 px, with their optimizers, take 16 GB.
_MAX_BYTES = 32 * 2**30
_NEW_RUN = (Remedy("overwrite"), Remedy("out"))


@dataclass(frozen=True)
class Identity:
    """Identifies the run that a state belongs to.

    `config`: from `TrainConfig.to_dict`. `base`: name and sha256 of the checkpoint; `checkpoint`: its path.
    `architecture`: from `Architecture.to_dict`. `compute`: precision, device and number of processes.
    """

    config: Mapping[str, Any]
    base: Mapping[str, str]
    architecture: Mapping[str, Any]
    compute: Mapping[str, Any]
    checkpoint: str

    def require_config(self, config: Mapping[str, Any]) -> None:
        """Check that the run can continue with `config`: steps, words and checkpointing may differ.

        Raises RespoError, which names the first entry that differs.
        """
        saved, asked = (dict(_flat({**as_trained(values), "steps": 0})) for values in (self.config, config))
        for key in [*asked, *saved]:
            if saved.get(key) != asked.get(key):
                was, now = (_short(values[key]) if key in values else "nothing" for values in (saved, asked))
                raise RespoError(f"the saved run has {key} = {was}, this one {now}, so it cannot go on", *_NEW_RUN)

    def require_base(self, base: Mapping[str, str]) -> None:
        """Check that the checkpoint is the same. Raises RespoError."""
        if self.base["sha256"] != base["sha256"]:
            raise RespoError(
                f"the saved run was trained on {self.base['name']} (sha256 {self.base['sha256'][:12]}…), but "
                f"{base['name']} is another checkpoint (sha256 {base['sha256'][:12]}…)",
                Remedy("checkpoint"),
                *_NEW_RUN,
            )

    def require_compute(self, architecture: Mapping[str, Any], compute: Mapping[str, Any]) -> None:
        """Check the network and its precision; device and number of processes may differ. Raises RespoError."""
        if self.architecture != architecture:
            raise RespoError(f"the saved run was trained on another network ({self.architecture['family']})", *_NEW_RUN)
        was, now = self.compute.get("precision"), compute.get("precision")
        if was != now:
            raise RespoError(f"the saved run has precision {was}, this one {now}", Remedy("precision", was), *_NEW_RUN)
        if bool(self.compute.get("compiled")) != bool(compute.get("compiled")):
            before = Remedy("compile" if self.compute.get("compiled") else "plain")
            raise RespoError("compiled and plain networks differ in the last digits", before, *_NEW_RUN)


@dataclass(frozen=True)
class Saved:
    """A state file's metadata, read before its tensors."""

    step: int
    identity: Identity
    digest: str


def save_state(path: Path, state: TrainState, identity: Identity, team: Team = ALONE) -> None:
    """Write `state`, between two steps, atomically. All processes must call it; process 0 writes.

    Raises RespoError when it holds NaN or infinite numbers, when `read_saved` would refuse it, and when it cannot be
    written; then the previous file is unchanged.
    """
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, list[Any]]] = {}
    for name, concept in state.concepts.items():
        tensors |= {f"{name}.{key}": value.detach().cpu().contiguous() for key, value in _own_tensors(concept)}
        sources = concept.source.tensors()
        tensors |= {f"{name}.source.{key}": team.gather_rows(sources[key]) for key in sorted(sources)}
        numbers[name] = team.gather_lists(concept.source.numbers())
    if not team.leads:
        return
    if not _all_finite(tensors):
        raise RespoError("the modules hold NaN or infinite numbers: training diverged. Lower the learning rates.")
    tensors["numbers"] = torch.frombuffer(bytearray(json.dumps(numbers).encode()), dtype=torch.uint8)
    write_atomically(path, _to_bytes(state.step, identity, tensors))


def check_identity(identity: Identity) -> None:
    """Raise RespoError, before training, for a run whose states could not be saved."""
    _to_bytes(0, identity, {})


def _to_bytes(step: int, identity: Identity, tensors: dict[str, Tensor]) -> bytes:
    """Return a state's file. Raises RespoError for one that `read_saved` would refuse."""
    saved = {"step": step, "identity": asdict(identity), "digest": _digest(tensors)}
    metadata = {"format": _FORMAT, "format_version": _VERSION, "respo": json.dumps(saved, ensure_ascii=False)}
    try:
        data = safetensors.torch.save(tensors, metadata)
        _read_saved(io.BytesIO(data), "the state")
    except ValueError as error:  # a ModuleFileError, and what no UTF-8 can hold
        raise RespoError(f"the training's state cannot be saved, as it could not be read again: {error}") from error
    return data


def read_saved(path: Path) -> Saved:
    """Read only step and identity. Raises RespoError when this is not a state file of this version."""
    try:
        with opened(path) as file:
            return _read_saved(file, path.name)
    except ModuleFileError as error:
        raise _damaged(path, error) from error


def _read_saved(file: BinaryIO, name: str) -> Saved:
    metadata = header_of(file, name, _MAX_BYTES).get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise ModuleFileError(f"{name} is not a saved training state")
    if metadata.get("format_version") != _VERSION:
        found = str(metadata.get("format_version"))[:20]
        raise ModuleFileError(f"expected format_version {_VERSION}, found {found}")
    return _saved(parse_json(str(metadata.get("respo")), "the metadata entry 'respo'"))


def restore_state(path: Path, state: TrainState, team: Team = ALONE) -> None:
    """Load into `state`, new from `trainer.start`, what `save_state` wrote, for this process's rows of the batch.

    The run must be the same, see `Identity`. Raises RespoError when anything in the file is not as it was written.
    """
    saved = read_saved(path)
    try:
        with opened(path) as file:
            tensors = safetensors.torch.load(file.read())
        if _digest(tensors) != saved.digest:
            raise ModuleFileError("its content is not what was written")
        numbers = json.loads(tensors.pop("numbers").numpy().tobytes())
        for name, concept in state.concepts.items():
            own = {key[len(name) + 1 :]: tensors.pop(key) for key in list(tensors) if key.startswith(f"{name}.")}
            _restore_concept(concept, own, numbers[name], saved.step, team)
        if tensors:
            raise ModuleFileError(f"unknown tensor {next(iter(tensors))[:80]!r}")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error
    state.step = saved.step


def _own_tensors(concept: ConceptState) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that are equal in every process: parameters, optimizers, losses."""
    for key, value in concept.module.state_dict().items():
        yield f"module.{key}", value
    for part, optimizer in concept.optimizers.items():
        for index, entries in optimizer.state_dict()["state"].items():
            for entry, value in entries.items():
                yield f"optimizer.{part}.{index}.{entry}", value
    pairs = [(loss.responsible, loss.semantic) for loss in concept.losses]
    yield "losses", torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)


def _restore_concept(
    concept: ConceptState, own: dict[str, Tensor], numbers: Mapping[str, list[Any]], step: int, team: Team
) -> None:
    losses = own.pop("losses")
    _expect("losses", losses, (step, 2), torch.float64)
    concept.losses = [Losses(*pair) for pair in losses.tolist()]
    parameters = concept.module.state_dict()
    for key, value in parameters.items():
        _expect(key, own[f"module.{key}"], tuple(value.shape), value.dtype)
    concept.module.load_state_dict({key: own.pop(f"module.{key}") for key in parameters})
    for part, optimizer in concept.optimizers.items():
        _restore_optimizer(optimizer, _below(own, f"optimizer.{part}."))
    source, fresh = _below(own, "source."), concept.source.tensors()
    rows = list(range(team.rank, max((len(value) for value in source.values()), default=0), team.size))
    for key, value in fresh.items():
        source[key] = source[key][rows]
        _expect(key, source[key], tuple(value.shape), value.dtype)
    mine = {key: values[team.rank :: team.size] for key, values in numbers.items()}
    if set(mine) != set(concept.source.numbers()) or set(source) != set(fresh) or own:
        raise ModuleFileError("it belongs to another objective or version")
    concept.source.restore(source, mine)


def _restore_optimizer(optimizer: torch.optim.Optimizer, own: dict[str, Tensor]) -> None:
    groups = optimizer.state_dict()["param_groups"]
    state: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
        entries = _below(own, f"{index}.")
        # A parameter without any gradient so far has no entries.
        single = {"step", "exp_avg_sq"} if isinstance(optimizer, OneScaleAdam) else {"step"}
        for entry, value in entries.items():
            _expect(entry, value, () if entry in single else tuple(parameter.shape), torch.float32)
        if entries:
            state[index] = {key: entries[key] for key in ("step", "exp_avg", "exp_avg_sq")}
    if own:
        raise ModuleFileError(f"unknown entry {next(iter(own))[:80]!r} of an optimizer")
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Remove the tensors whose keys begin with `prefix`, and return them without the prefix."""
    return {key[len(prefix) :]: tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}


def _expect(key: str, value: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tuple(value.shape) != shape or value.dtype != dtype:
        raise ModuleFileError(f"expected {key} as {dtype} {list(shape)}, found {value.dtype} {list(value.shape)}")


def _saved(values: Any) -> Saved:
    names = [field.name for field in fields(Identity)]
    if not isinstance(values, dict) or set(values) != {"step", "identity", "digest"}:
        raise ModuleFileError("expected step, identity and digest")
    identity, step = values["identity"], values["step"]
    if not isinstance(identity, dict) or set(identity) != set(names) or type(step) is not int or step < 0:
        raise ModuleFileError(f"expected a step and an identity with {', '.join(names)}")
    tables = ("config", "base", "architecture", "compute")
    if not all(isinstance(identity[name], dict) for name in tables) or set(identity["base"]) != {"name", "sha256"}:
        raise ModuleFileError(f"expected {', '.join(tables)} as objects")
    texts = (*identity["base"].values(), identity["checkpoint"], identity["architecture"].get("family", ""))
    if not all(isinstance(text, str) for text in (*texts, values["digest"])):
        raise ModuleFileError("expected texts as the names, the hashes and the path of its checkpoint")
    return Saved(step, Identity(**identity), values["digest"])


def _damaged(path: Path, error: Exception) -> RespoError:
    return RespoError(f"cannot go on from {path}: {first_line(error)}", *_NEW_RUN)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _all_finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in tensors.values())


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield pairs such as ("concepts.woman.target", "a woman"), and the order of the entries of each table."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            if prefix == "" and key == "concepts":
                yield key, list(value)
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]
