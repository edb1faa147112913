"""The commands `import` and `export`: convert other projects' files to modules, and back."""

from __future__ import annotations

import argparse
import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import RespoError, RespoWarning
from ..core.files.checkpoint import load_attribute, save_attribute
from ..core.files.text import read_text
from ..core.foreign.families import family_named
from ..core.foreign.names import fitting_name, parse_concepts
from ..core.foreign.read import Imported, read_file
from ..core.foreign.write import exported
from .info import HALVES, concept_rows, describe, table

FOREIGN = (".pth", ".pt")


def import_file(options: argparse.Namespace) -> str:
    """Write another project's file as a module; return what was imported, as a table. Raises RespoError."""
    out: Path = options.out
    _check_place(out, (".safetensors",), options.overwrite)
    found = _read(options.file, options.concepts, options.only, options.base, fitting_name(out.stem))
    with _still_free(out):
        save_attribute(out, found.attribute, new=not options.overwrite)
    return "\n".join([*_came_in(found), f"wrote {out}"])


def export_file(options: argparse.Namespace) -> str:
    """Write a module as another project's file; return the file's content, as a table. Raises RespoError."""
    out: Path = options.out
    family = family_named(options.to)
    _check_place(out, FOREIGN, options.overwrite)
    listed = out.with_suffix(".json")
    _check_place(listed, (".json",), options.overwrite)
    done = exported(load_attribute(options.file), family)
    for line in done.notes:
        warnings.warn(line, RespoWarning, stacklevel=1)
    with _still_free(out):
        done.save(out, new=not options.overwrite)
    rows = [("concept", "number"), *((name, str(number)) for name, number in done.numbers.items())]
    shapes = ", ".join(f"{key} {list(tensor.shape)}" for key, tensor in done.tensors.items())
    return "\n".join([f"{family.title}: {shapes}", *table(rows), f"wrote {out} and its list of concepts, {listed}"])


def describe_foreign(path: Path, concepts: Path | None = None) -> str:
    """Return the content of another project's file, as tables. Raises RespoError."""
    found = _read(path, concepts)
    return "\n".join([*_came_in(found), "", describe(found.attribute)])


def _read(path: Path, concepts: Path | None, *more: Any) -> Imported:
    found = read_file(
        path, None if concepts is None else parse_concepts(read_text(concepts, "the list of concepts")), *more
    )
    for line in found.warnings:
        warnings.warn(line, RespoWarning, stacklevel=1)
    return found


def _came_in(found: Imported) -> list[str]:
    attribute, family = found.attribute, found.family
    numbers = attribute.training["imported"]["numbers"]
    header, *rows = concept_rows(attribute)
    numbered = [(*header, "number in the file"), *((*row, str(numbers[row[0]])) for row in rows)]
    how = f"{HALVES[family.half]}, times {family.strength:g}"
    title = f"{family.title}, for {attribute.architecture.describe()}; its own code adds it {how}"
    return [title, *(line.rstrip() for line in table(numbered))]


def _check_place(out: Path, suffixes: tuple[str, ...], overwrite: bool) -> None:
    if out.suffix.lower() not in suffixes:
        raise RespoError(f"expected --out with a name that ends in {suffixes[0]}, found {out.name!r}.")
    if out.exists() and not overwrite:
        raise _taken(out)


@contextlib.contextmanager
def _still_free(out: Path) -> Iterator[None]:
    """Raise RespoError when another process has written the file since it was looked for."""
    try:
        yield
    except FileExistsError as error:
        raise _taken(Path(error.filename2 or error.filename or out)) from error


def _taken(out: Path) -> RespoError:
    return RespoError(f"{out} already exists: give another name, or replace it with --overwrite")
