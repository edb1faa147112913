"""Load Module and files of a format that it does not know yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


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
