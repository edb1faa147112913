"""What travels on a RESPO_MODULE wire: an attribute, and which file it was read from."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io

from ..respo_train.core.attribute import Attribute

RespoModule = io.Custom("RESPO_MODULE")
RespoRecord = io.Custom("RESPO_RECORD")  # a record.Record


@dataclass(frozen=True)
class LoadedModule:
    """`file`: its name in the list of modules; `sha256`: of the file's bytes, 64 hexadecimal digits."""

    attribute: Attribute
    file: str
    sha256: str

    def describe(self) -> str:
        """Four short lines for the face of the Load Module node."""
        attribute = self.attribute
        base = attribute.base.get("name", "an unnamed checkpoint")
        objective = attribute.training.get("objective", "unknown")
        return (
            f"{attribute.name}: {', '.join(attribute.concepts)}\n"
            f"Made on {base} – {attribute.architecture.describe()}\n"
            f"Objective: {objective} ({attribute.purpose})\n"
            f"SHA-256: {self.sha256[:12]}"
        )
