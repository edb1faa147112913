"""Convert a released file to an attribute: the same numbers, unscaled, with their origin and intended use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModuleFileError, RespoError
from ..module.attribute import Attribute
from ..module.concept import ConceptModule
from ..module.grid import Grid
from ..version import __version__
from .families import CHANNELS, Family, base_named, family_of, without_prefixes
from .names import about, checked_concepts, namesakes, numbers_of, wanted_of
from .unpickle import Source, read_tensors
from .untrained import is_normal_start, is_small_normal_start, is_uniform_start, spread_of_untouched


@dataclass(frozen=True)
class Imported:
    """The attribute that was read, its layout, and warnings for the user, one line each."""

    attribute: Attribute
    family: Family
    warnings: tuple[str, ...]


def read_file(
    path: str | PathLike[str],
    concepts: Mapping[str, int] | Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    base: str | None = None,
    name: str | None = None,
) -> Imported:
    """Read a file of RespoDiff, SDisc or Learning Where It Matters.

    `concepts`: the list beside the file, as {name: index} or as names in order; default: the paper's. `only`: the
    concepts to take; default: all trained ones, but safety concepts only when there are no others. `base`: a key of
    BASES; default: what the paper trained on. `name`: of the attribute. Raises ModuleFileError for defects of the file,
    and RespoError for arguments that do not fit it.
    """
    source = read_tensors(Path(path))
    try:
        return _imported(source, concepts, only, base, name)
    except RespoError as error:
        raise type(error)(f"{source.file}: {error}") from error


def _imported(
    source: Source, concepts: Any, only: Sequence[str] | None, base: str | None, name: str | None
) -> Imported:
    tensors = without_prefixes(source.tensors)
    family = family_of(tensors)
    matrix = tensors[family.responsible]
    known = numbers_of(family, family.places(matrix), None if concepts is None else checked_concepts(concepts))
    judge = _Judge(family, tensors, known)
    taken, warnings = _asked(judge, known, only) if only else _all(judge, known)
    kind = base_named(base or family.base)
    modules = {concept: _module(family, tensors, number) for concept, number in taken.items()}
    purpose = "safety" if "safety" in map(about, taken) else "fairness"
    training = _training(family, source, matrix, taken)
    attribute = Attribute(name or family.key, purpose, modules, kind.architecture, {"name": kind.name}, training)
    return Imported(attribute, family, (*warnings, *_of_several(taken)))


class _Judge:
    """Finds out what is wrong with a concept's numbers: untrained numbers must not be added to h."""

    def __init__(self, family: Family, tensors: Mapping[str, Tensor], known: Mapping[str, int]):
        self._family = family
        self._matrices = [tensors[key] for key in family.keys]
        matrix = self._matrices[0]
        self._places = family.places(matrix)
        self._spread = 1.0
        if family.rows:
            unnamed = [number for number in range(self._places) if number not in set(known.values())]
            self._spread = spread_of_untouched(matrix[unnamed])

    def defect(self, number: int) -> str:
        """Return what is wrong with the concept of this index; "" if it is trained."""
        columns = [self._family.column(matrix, number) for matrix in self._matrices]
        empty, fresh = [not column.any() for column in columns], [self._is_fresh(column) for column in columns]
        if all(empty):
            return "is zero everywhere"
        if all(fresh):
            return "looks untrained, like PyTorch's initial values"
        if any(fresh) or empty[0]:
            says = ["zero" if e else "untrained" if f else "trained" for e, f in zip(empty, fresh, strict=True)]
            parts = zip(("responsible", "semantic"), self._family.keys, says, strict=False)
            found = ", ".join(f"the {part} part ({key}) {said}" for part, key, said in parts)
            return f"is half-trained: {found}"
        return ""

    def _is_fresh(self, column: Tensor) -> bool:
        if not self._family.rows:
            return is_uniform_start(column, self._places)
        return is_normal_start(column, self._spread) or is_small_normal_start(column)


def _asked(judge: _Judge, known: Mapping[str, int], only: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    wanted = wanted_of(known, only)
    for name, number in wanted.items():
        if defect := judge.defect(number):
            others = [other for other, n in known.items() if not judge.defect(n)]
            raise ModuleFileError(
                f"{name!r} (number {number}) {defect}. Trained in this file: {', '.join(others) or 'none'}."
            )
    safe = [name for name in wanted if about(name) == "safety"]
    if safe and len(safe) < len(wanted):
        rest = ", ".join(name for name in wanted if name not in safe)
        raise RespoError(
            f"{', '.join(safe)} is about safety, {rest} is not: a module is for one or the other. Import twice."
        )
    shared = {name: namesakes(name, known) for name in wanted}
    return wanted, [
        f"{' and '.join(map(repr, others))} is number {known[name]} in the list as well: make sure that the file was "
        f"trained for {name!r}"
        for name, others in shared.items()
        if others
    ]


def _all(judge: _Judge, known: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    defects = {name: judge.defect(number) for name, number in known.items()}
    good = {name: number for name, number in known.items() if not defects[name]}
    if not good:
        found = "; ".join(f"{name!r} {defect}" for name, defect in list(defects.items())[:12])
        raise ModuleFileError(f"expected at least one trained concept, found none: {found}.")
    warnings = [f"left out: {name!r} (number {known[name]}) {defect}" for name, defect in defects.items() if defect]
    for name in list(good):
        if name in good and (others := namesakes(name, known)):
            good = {other: number for other, number in good.items() if other not in others}
            warnings.append(
                f"{name!r} and {' and '.join(map(repr, others))} are both number {known[name]} in the list: taken as "
                f"{name!r}; if the file was trained for the other, ask for that by name"
            )
    safe = [name for name in good if about(name) == "safety"]
    if safe and len(safe) < len(good):
        good = {name: number for name, number in good.items() if name not in safe}
        warnings.append(f"left out: {', '.join(safe)}: safety needs a module of its own; ask for it by name")
    return good, warnings


def _of_several(taken: Mapping[str, int]) -> list[str]:
    topics = dict.fromkeys(map(about, taken))
    if len(topics) < 2:
        return []
    return [
        f"the concepts are of several attributes ({', '.join(topics)}): Balance shares pictures out among all of a "
        "module's concepts, so import those of one attribute at a time, by name"
    ]


def _module(family: Family, tensors: Mapping[str, Tensor], number: int) -> ConceptModule:
    """Build a concept's module. If the layout has no semantic part, it is zero, of the same size."""
    size = family.size(tensors[family.responsible])
    columns = [family.column(tensors[key], number) for key in family.keys]
    grids = [Grid.from_tensors(column.float().reshape(CHANNELS, size, size)) for column in columns]
    semantic = grids[1] if len(grids) > 1 else Grid.from_tensors(torch.zeros(CHANNELS, size, size))
    return ConceptModule.from_parts(grids[0], semantic)


def _training(family: Family, source: Source, matrix: Tensor, taken: Mapping[str, int]) -> dict[str, Any]:
    """Return the metadata on how the file was made. The strength is recorded, not multiplied into the numbers."""
    origin: dict[str, Any] = {"format": family.key, "of": family.title, "file": source.file, "sha256": source.sha256}
    origin |= {"dtype": str(matrix.dtype).removeprefix("torch."), "keys": list(family.keys)}
    origin |= {"room": family.places(matrix), "numbers": dict(taken)}
    if away := {name: family.away[name] for name in taken if name in family.away}:
        origin["away"] = away
    how = {"objective": family.key, "half": family.half, "strength": family.strength}
    return {**how, "grid": [family.size(matrix)] * 2, "imported": origin, "versions": {"respo": __version__}}
