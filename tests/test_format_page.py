"""docs/format.md says what the writer does, and its ten lines read what the reader reads."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import foreign_files
import pytest
import safetensors.torch
import torch

from respo_train.__main__ import main
from respo_train.core.errors import ModuleFileError
from respo_train.core.files.checkpoint import FORMAT_VERSION, load_attribute, read_metadata, save_attribute
from respo_train.core.files.header import header_of, opened
from respo_train.core.foreign.read import read_file
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.compose import Term, weighted_sum
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.grid import Grid

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
SHIPPED = sorted((ROOT / "emoji_world" / "modules").glob("*.safetensors"))


def read_header(path: Path, most: int) -> dict[str, Any]:
    with opened(path) as file:
        return header_of(file, path.name, most)


def make(path: Path) -> Attribute:
    """Every kind of grid, one concept with a map of h, one concept without a semantic part, one in half precision."""
    generator = torch.Generator().manual_seed(0)
    concepts = {"woman": ConceptModule(6, 4, 5), "a man": ConceptModule(6, 4, 5, "low_rank", 2)}
    concepts |= {"any": ConceptModule(6, 4, 5, "channel", map_width=3), "bare": ConceptModule(6, 4, 5)}
    for module in concepts.values():
        for parameter in module.parameters():
            parameter.data.normal_(generator=generator)
    concepts["bare"].semantic = Grid(6, 4, 5)
    architecture = Architecture("unet-2-8", 2, 8, 0, 6)
    save_attribute(path, Attribute("gender", "fairness", concepts, architecture, {}, {}))
    rewrite(path)
    return load_attribute(path)


def rewrite(path: Path, **changes: str) -> None:
    header = read_header(path, 2**20)["__metadata__"]
    tensors = safetensors.torch.load_file(path)
    tensors.pop("bare.semantic", None)
    tensors["woman.responsible"] = tensors["woman.responsible"].half()
    safetensors.torch.save_file(tensors, path, {**header, **changes})


def test_the_ten_lines_read_what_the_reader_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    (tmp_path / "read.py").write_text(code, encoding="utf-8")
    attribute = make(tmp_path / "gender.safetensors")
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path("read.py")["deltas"]
    assert list(found) == list(attribute.concepts)
    for name, module in attribute.concepts.items():
        assert torch.equal(found[name].expand(6, 4, 5), module.delta(4, 5)), name


def keys(table: str) -> set[str]:
    """The first column of the page's table with that heading."""
    (body,) = re.findall(rf"^\| {re.escape(table)} \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", PAGE, flags=re.MULTILINE)
    return {key for row in body.splitlines() for key in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files by every way that leads to one: trained, composed, imported."""
    folder = tmp_path_factory.mktemp("written")
    gender = load_attribute(SHIPPED[0])
    term = Term(gender, next(iter(gender.concepts)), 1.0, "gender.safetensors", "0" * 64)
    save_attribute(folder / "composed.safetensors", weighted_sum([term, term], "both"))
    behind_a_block = replace(gender, architecture=Architecture("lumina2", 128, 128, 0, 128, 4))
    save_attribute(folder / "transformer.safetensors", behind_a_block)
    foreign_files.respodiff(folder / "unet.pth", trained=(7,))  # violence, which steers away
    save_attribute(folder / "imported.safetensors", read_file(folder / "unet.pth").attribute)
    return [*SHIPPED, *folder.glob("*.safetensors")]


def test_every_key_of_the_metadata_is_on_the_page_and_no_other(written: list[Path]) -> None:
    found: dict[str, set[str]] = {name: set() for name in ("file", "respo", "architecture", "base", "training")}
    for path in written:
        header = read_header(path, 2**29)["__metadata__"]
        respo = json.loads(header["respo"])
        found["file"] |= header.keys()
        found["respo"] |= respo.keys()
        for entry in ("architecture", "base", "training"):
            found[entry] |= respo[entry].keys()
        if "imported" in respo["training"]:
            (row,) = [line for line in PAGE.splitlines() if line.startswith("| `imported`")]
            assert set(re.findall(r"`([^`]+)`", row.split("|")[2])) == set(respo["training"]["imported"])
    assert keys("key of the file") == found.pop("file")
    assert {name: keys(f"entry of `{name}`") for name in found} == found


def test_every_tensor_is_on_the_page(written: list[Path], tmp_path: Path) -> None:
    make(tmp_path / "made.safetensors")
    patterns = []
    for key in keys("key"):
        pattern = re.escape(key).replace("<concept>", r"[\w '+-]+").replace("<part>", "(responsible|semantic)")
        patterns.append(re.sub(r"_\d$", r"_\\d+", pattern))
    found = [key for path in [*written, tmp_path / "made.safetensors"] for key in read_header(path, 2**29)]
    used = {pattern for pattern in patterns for key in found if re.fullmatch(pattern, key)}
    assert [k for k in found if k != "__metadata__" and not any(re.fullmatch(p, k) for p in patterns)] == []
    assert used == set(patterns)


def test_the_version_is_the_one_that_is_written() -> None:
    assert f"format version {FORMAT_VERSION}." in PAGE


def test_a_newer_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "gender.safetensors"
    make(path)
    for version in ("2", "10", "99999999"):
        rewrite(path, format_version=version)
        for read in (load_attribute, read_metadata):
            with pytest.raises(ModuleFileError, match=rf"needs a newer Respo \(format version {version}; .* reads 1\)"):
                read(path)
        assert main(["info", str(path)]) == 2
        assert f"needs a newer Respo (format version {version};" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "allowed"), [("base", True), ("training", True), ("respo", False)])
def test_unknown_keys_are_as_the_page_says(tmp_path: Path, file: str, allowed: bool) -> None:
    path = tmp_path / "gender.safetensors"
    made = make(path)
    if file != "respo":
        save_attribute(path, replace(made, **{file: {"something": 1}}))
        assert getattr(load_attribute(path), file) == {"something": 1}
        return
    respo = json.loads(read_header(path, 2**20)["__metadata__"]["respo"])
    rewrite(path, beside="x")
    load_attribute(path)
    rewrite(path, respo=json.dumps({**respo, "something": 1}))
    with pytest.raises(ModuleFileError, match="something"):
        load_attribute(path)


ALONE = """
import sys
sys.modules["comfy"] = None  # importing it fails
sys.path.insert(0, {root!r})
before = set(sys.modules)
from respo_train.core.files.checkpoint import load_attribute
attribute = load_attribute({path!r})
print(*[len(module.delta(4, 5)) for module in attribute.concepts.values()])
own = {{name.split(".")[0] for name in set(sys.modules) - before}}
for name in sorted(own):
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    if "site-packages" in file:
        print(name)
"""
# What these five bring along by themselves counts as theirs.
FIVE = "import torch, torch.nn.functional, safetensors.torch, numpy, einops, filelock\nprint()\n"
FIVE_ALONE = ALONE[: ALONE.index("from respo_train")] + FIVE + ALONE[ALONE.index("own =") :]


def run(script: str, **values: Any) -> list[str]:
    command = [sys.executable, "-c", script.format(**values)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.splitlines()


def test_the_core_reads_without_comfyui(tmp_path: Path) -> None:
    make(tmp_path / "gender.safetensors")
    values = {"root": str(ROOT), "path": str(tmp_path / "gender.safetensors")}
    sizes, *imported = run(ALONE, **values)
    assert sizes == "6 6 6 6"
    assert "torch" in imported
    assert set(imported) <= set(run(FIVE_ALONE, **values)[1:])
