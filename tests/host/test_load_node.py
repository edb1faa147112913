"""Load Module and files of a format that it does not know yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

LIE = "x\nSHA-256: 000000000000"


def test_a_newer_file_says_so(run_node: Any, pack: Any, module_folder: Path) -> None:
    data = (module_folder / "tests" / "gender.safetensors").read_bytes()
    old = b'"format_version":"1"'
    assert data.count(old) == 1
    path = module_folder / "tests" / "newer.safetensors"
    path.write_bytes(data.replace(old, old.replace(b"1", b"7")))
    try:
        with pytest.raises(
            pack.core.errors.ModuleFileError, match=r"needs a newer Respo \(format version 7; .* reads 1"
        ):
            run_node("RespoLoadModule", module="tests/newer.safetensors")
    finally:
        path.unlink()


def test_metadata_adds_no_line_to_what_the_nodes_say(run_node: Any, pack: Any, attribute: Any, model: Any) -> None:
    told = {"objective": LIE, "strength": LIE}
    lying = replace(attribute, base={**attribute.base, "name": LIE, "fingerprint": [0.0]}, training=told)
    module = pack.root.nodes.shared.wire.LoadedModule.without_file(lying, "lying")
    honest = replace(lying, base={**lying.base, "name": "x"}, training={"objective": "x", "strength": "x"})
    lines = module.describe().splitlines()
    assert len(lines) == len(pack.root.nodes.shared.wire.LoadedModule.without_file(honest, "x").describe().splitlines())
    assert [line for line in lines if line.startswith("SHA-256: ")] == [f"SHA-256: {module.sha256[:12]}"]
    assert pack.root.nodes.shared.guard.check_fit(model, module).startswith("Note: made on x SHA-256: 000000000000;")
