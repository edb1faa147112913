"""Write an attribute in one of the papers' own layouts, where that layout can hold it exactly."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import RespoError
from ..files.write import write_atomically
from ..module.attribute import Attribute
from ..module.concept import ConceptModule
from .families import CHANNELS, DTYPES, Family

_MAX_NUMBERS = 2**25 - 2**14  # 128 MiB including the archive's overhead, the limit of the importer


@dataclass(frozen=True)
class Exported:
    """The matrices by key, the concepts' indices, and notes for the user, one line each."""

    tensors: dict[str, Tensor]
    numbers: dict[str, int]
    notes: tuple[str, ...]

    def save(self, path: Path, *, new: bool = False) -> None:
        """Write the file, and beside it the list of concepts (`.json`). `new`, and what it raises: see `replacing`."""
        data = io.BytesIO()
        torch.save(self.tensors, data)
        listed = json.dumps(self.numbers, ensure_ascii=False, indent=1).encode()
        write_atomically(path, data.getvalue(), new=new)
        with contextlib.ExitStack() as undo:
            if new:  # no half of the two stays
                undo.callback(path.unlink, missing_ok=True)
            write_atomically(path.with_suffix(".json"), listed, new=new)
            undo.pop_all()


@torch.no_grad()
def exported(attribute: Attribute, family: Family) -> Exported:
    """Return `attribute` in the layout of `family`; the places of other concepts are zero.

    A concept that was imported from this layout returns to its original index and precision. Raises RespoError when the
    layout cannot hold the attribute.
    """
    size = _size(attribute, family)
    origin = _origin(attribute, family)
    numbers, room = _numbers(attribute, family, origin)
    length = CHANNELS * size * size
    if room * length * len(family.keys) > _MAX_NUMBERS:
        raise RespoError(
            f"expected at most {_MAX_NUMBERS} numbers in the file, found {room} concepts of {length} each."
        )
    tensors = {}
    for key, part in zip(family.keys, ("responsible", "semantic"), strict=False):
        matrix = torch.zeros((room, length) if family.rows else (length, room))
        for name, number in numbers.items():
            family.column(matrix, number).copy_(getattr(attribute.concept(name), part).value().flatten())
        tensors[key] = matrix
    return Exported(_as_it_was(tensors, origin), numbers, tuple(_notes(attribute, family, room - len(numbers))))


def _size(attribute: Attribute, family: Family) -> int:
    """Return the grids' height and width. Raises RespoError for anything that the layout cannot store."""
    channels = attribute.architecture.middle_channels
    if channels != CHANNELS:
        raise RespoError(
            f"{family.title}'s files are for models with {CHANNELS} channels in h; {attribute.name!r} is for "
            f"{attribute.architecture.describe()}."
        )
    sizes = {_shape(name, module, family) for name, module in attribute.concepts.items()}
    shown = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
    if len(sizes) > 1 or any(height != width for height, width in sizes):
        raise RespoError(f"{family.title}'s files hold square grids of one size; {attribute.name!r} has {shown}.")
    size = next(iter(sizes))[0]
    if family.rows and size != 1:
        raise RespoError(
            f"{family.title}'s files hold one number per channel; {attribute.name!r} has grids {shown}, which would "
            "lose most of what they do. Choose another format."
        )
    return size


def _shape(name: str, module: ConceptModule, family: Family) -> tuple[int, int]:
    responsible, semantic = module.responsible.value(), module.semantic.value()
    if semantic.any():
        if family.semantic is None:
            raise RespoError(
                f"{family.title}'s files have no place for a semantic part, but {name!r} has one. Choose respodiff."
            )
        if semantic.shape != responsible.shape:
            raise RespoError(f"{family.title}'s files hold both parts at one size, but those of {name!r} differ.")
    if module.map is not None:
        raise RespoError(f"{family.title}'s files have no place for a map of h, but {name!r} has one.")
    if not responsible.any():
        raise RespoError(f"the responsible part of {name!r} is zero everywhere: there is nothing to write.")
    height, width = responsible.shape[1:]
    return height, width


def _origin(attribute: Attribute, family: Family) -> Mapping[str, Any]:
    """Return the metadata of an import from this layout. It may come from a stranger, so it is checked."""
    found = attribute.training.get("imported")
    return found if isinstance(found, Mapping) and found.get("format") == family.key else {}


def _numbers(attribute: Attribute, family: Family, origin: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """Return each concept's index and the number of places: as imported, else by the paper's list, else a free one."""
    room = origin.get("room")
    room = room if isinstance(room, int) and 0 < room <= 10_000 else family.count
    known = origin.get("numbers")
    numbers: dict[str, int] = {}
    for source in (known if isinstance(known, Mapping) else {}, family.concepts):
        for name in attribute.concepts:
            number = source.get(name)
            if (
                name not in numbers
                and isinstance(number, int)
                and 0 <= number < room
                and number not in numbers.values()
            ):
                numbers[name] = number
    free = (number for number in range(room + len(attribute.concepts)) if number not in set(numbers.values()))
    numbers = {name: numbers[name] if name in numbers else next(free) for name in attribute.concepts}
    return numbers, max(room, *(number + 1 for number in numbers.values()))


def _as_it_was(tensors: dict[str, Tensor], origin: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the numbers in the precision that they were imported in, if that holds all of them exactly."""
    dtype = next((d for d in DTYPES if str(d) == f"torch.{origin.get('dtype')}"), torch.float32)
    smaller = {key: tensor.to(dtype) for key, tensor in tensors.items()}
    return smaller if all(torch.equal(smaller[key].float(), tensors[key]) for key in tensors) else tensors


def _notes(attribute: Attribute, family: Family, empty: int) -> list[str]:
    notes = [f"{empty} places of other concepts are zero"] if empty else []
    strength, half = attribute.training.get("strength", 1.0), attribute.training.get("half", "cond")
    if (strength, half) != (family.strength, family.half):
        own = f"{family.strength:g} on {family.half}"
        meant = f"{str(strength)[:20]} on {str(half)[:20]}"
        notes.append(f"this module is meant for strength {meant}; {family.title}'s own code adds it at {own}")
    lost = [what for what, there in (("words", attribute.words), ("probe", attribute.probe)) if there]
    return [*notes, f"not in the file: {' and '.join(lost)} that tell which prompts leave it open"] if lost else notes
