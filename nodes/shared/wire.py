"""The types on Respo's wires. RESPO_MODULE carries an attribute and the file that it was read from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from comfy_api.latest import io

from ...respo_train.core.files.checkpoint import to_bytes
from ...respo_train.core.module.attribute import Attribute
from ...respo_train.core.module.grid import Grid
from ...respo_train.core.shown import one_line
from ..calls.conds import Guidance

RespoModule = io.Custom("RESPO_MODULE")
RespoRecord = io.Custom("RESPO_RECORD")  # a record.Record
RespoJudge = io.Custom("RESPO_JUDGE")  # a core.judge.AnyJudge


@dataclass(frozen=True)
class LoadedModule:
    """An attribute, and where it came from.

    `file`: its name in the list of modules, or a description where there is no file; `sha256`: of the file's bytes, 64
    hexadecimal digits. Without a file it is the hash of the file that would be written.
    """

    attribute: Attribute
    file: str
    sha256: str

    @classmethod
    def without_file(cls, attribute: Attribute, name: str) -> LoadedModule:
        """Wrap an attribute that was made in the graph. Raises RespoError when it holds NaN."""
        return cls(attribute, name, hashlib.sha256(to_bytes(attribute)).hexdigest())

    @property
    def guidance(self) -> Guidance:
        """The half of guidance that the module was made for."""
        return "both" if self.attribute.acts_on_both else "conditional"

    @property
    def guidance_in_batches(self) -> Guidance:
        """The half of guidance for Balance and Safety, which have no widget for it."""
        return "both" if self.attribute.acts_on_both_in_batches else "conditional"

    def describe(self) -> str:
        """Return five short lines to show on Load Module, six when the file recommends a strength."""
        attribute = self.attribute
        objective = one_line(attribute.training.get("objective", "unknown"))
        strength = attribute.training.get("strength")
        meant = f"Meant for strength {one_line(strength, 20)}\n" if strength is not None else ""
        return (
            f"{attribute.name}: {', '.join(attribute.concepts)}\n"
            f"Made on {attribute.made_on} – {attribute.architecture.describe()}\n"
            f"Objective: {objective} ({attribute.purpose})\n"
            f"{meant}"
            f"Size: {size_of(attribute)}\n"
            f"SHA-256: {self.sha256[:12]}"
        )


def size_of(attribute: Attribute) -> str:
    """Return e.g. "131 kB, grid 8 x 8": the size of the numbers, and each kind and size of grid."""
    modules = attribute.concepts.values()
    grids = [grid for module in modules for grid in (module.responsible, module.semantic)]
    size = sum(4 * parameter.numel() for module in modules for parameter in module.parameters())
    kinds = [_kind(grid) for grid in grids]
    kinds += [f"map of h by {module.map.width}" for module in modules if module.map is not None]
    return f"{size / 1000:.0f} kB, {', '.join(dict.fromkeys(kinds))}"


def _kind(grid: Grid) -> str:
    if grid.kind == "channel":
        return "one number per channel"
    parameter = grid.space if grid.kind == "low_rank" else grid.full
    height, width = parameter.shape[1:]
    return (
        f"low rank {len(grid.space)} on {height} x {width}" if grid.kind == "low_rank" else f"grid {height} x {width}"
    )
