"""The commands `import`, `export` and `info`; see tests/foreign_files.py for the files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import foreign_files
import pytest
import torch
from foreign_files import FC1, FC2

from respo_train.__main__ import main
from respo_train.cli import exchange
from respo_train.core.files.checkpoint import load_attribute, save_attribute

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """RespoDiff's unet.pth in the current folder, trained for women and men, and the list beside it."""
    monkeypatch.chdir(tmp_path)
    Path("concept_dict.json").write_text(json.dumps({"woman": 0, "man": 1, "robot": 2}))
    return foreign_files.respodiff(Path("unet.pth"), trained=(0, 1))


def test_there_and_back(released: dict, capsys: pytest.CaptureFixture) -> None:
    assert main(["import", "unet.pth", "--out", "gender.safetensors"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].startswith("RespoDiff, for Stable Diffusion 1.x (h: 1280 channels); its own code adds it on the")
    norm = f"{float(released[FC1][:, 1].norm()):.4g}"
    assert lines[3].split() == ["a", "man", "grid", "1280", "x", "8", "x", "8", norm, lines[3].split()[-2], "1"]
    assert lines[-1] == "wrote gender.safetensors"
    told = captured.err.splitlines()
    assert len(told) == 7
    assert told[0].startswith("respo_train: warning: left out: 'young' (number 2) ")
    assert told[0].endswith(" looks untrained, like PyTorch's initial values")
    attribute = load_attribute("gender.safetensors")
    assert (attribute.name, list(attribute.concepts)) == ("gender", ["a woman", "a man"])

    assert main(["export", "gender.safetensors", "--to", "respodiff", "--out", "back.pth"]) == 0
    captured = capsys.readouterr()
    assert f"RespoDiff: {FC1} [81920, 10], {FC2} [81920, 10]" in captured.out
    assert captured.err == "respo_train: warning: 8 places of other concepts are zero\n"
    back = torch.load("back.pth", weights_only=True)
    assert all(torch.equal(back[key][:, :2], released[key][:, :2]) for key in (FC1, FC2))
    assert json.loads(Path("back.json").read_text()) == {"a woman": 0, "a man": 1}


def test_by_name_from_a_list(released: dict, capsys: pytest.CaptureFixture) -> None:
    given = ["import", "unet.pth", "--concepts", "concept_dict.json", "--only", "man", "woman", "--base", "sdxl"]
    assert main([*given, "--out", "people.v2.safetensors"]) == 0
    assert capsys.readouterr().err == ""
    attribute = load_attribute("people.v2.safetensors")
    assert (attribute.name, list(attribute.concepts)) == ("respodiff", ["man", "woman"])  # "people.v2" is no name
    assert attribute.architecture.family == "sdxl"


def test_info_of_both(released: dict, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", "unet.pth"]) == 0
    foreign = capsys.readouterr().out
    assert main(["import", "unet.pth", "--out", "gender.safetensors"]) == 0
    capsys.readouterr()
    assert main(["info", "gender.safetensors"]) == 0
    own = capsys.readouterr().out
    deltas = [(released[FC1] + released[FC2])[:, n].double() for n in (0, 1)]
    means = [delta.reshape(1280, 64).mean(1) for delta in deltas]
    cosines = [float(torch.cosine_similarity(*pair, dim=0)) for pair in (deltas, means)]
    for text in (foreign, own):
        lines = text.splitlines()
        row = next(number for number, line in enumerate(lines) if line.startswith("entanglement (cosine)"))
        assert lines[row].split("  ")[-1] == "channel means"
        assert [float(cell) for cell in lines[row + 1].split()[-2:]] == pytest.approx(cosines, abs=6e-4)
        found = {line.split()[0]: line.split()[1:] for line in lines if line}
        assert found["strength"] == ["1.0:", "what", "it", "is", "meant", "for"]
        assert found["half"][:4] == ["cond:", "added", "on", "the"]
        assert found["imported.file"] == ["unet.pth"]
        assert "sha256 ?" not in text
    assert main(["info", "unet.pth", "--concepts", "concept_dict.json"]) == 0
    captured = capsys.readouterr()
    assert "\nman " in captured.out
    assert "'robot' (number 2) looks untrained, like PyTorch's initial values" in captured.err


def test_many_pairs_and_zeros(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    foreign_files.sdisc(tmp_path / "x.pth", trained=range(9), columns=9, rows=1280)
    (tmp_path / "list.json").write_text(json.dumps([f"c{n}" for n in range(9)]))
    given = [str(tmp_path / "x.pth"), "--concepts", str(tmp_path / "list.json")]
    assert main(["import", *given, "--out", str(tmp_path / "x.safetensors")]) == 0
    attribute = load_attribute(tmp_path / "x.safetensors")
    attribute.concept("c3").responsible.full.data.zero_()
    odd = {**attribute.training, "half": ["both"], "strength": {"a": [1]}, "config": [3]}  # whoever made the file
    save_attribute(tmp_path / "x.safetensors", replace(attribute, training=odd))
    capsys.readouterr()
    assert main(["info", str(tmp_path / "x.safetensors")]) == 0
    out = capsys.readouterr().out
    assert out.count("one is zero") == 2 * 2  # of its eight pairs two are among the thirty that are shown
    assert "and 6 less similar pairs" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import unet.pth --out x.pth", "ends in .safetensors, found 'x.pth'"),
        ("import unet.pth --out there.safetensors", "there.safetensors already exists"),
        ("import unet.pth --out no/x.safetensors", "cannot write"),
        ("import no.pth --out x.safetensors", "cannot read"),
        ("import concept_dict.json --out x.safetensors", "expected a file as torch.save"),
        ("import there.safetensors --out x.safetensors", "expected a file as torch.save"),
        ("import unet.pth --out x.safetensors --only robot", "no concept 'robot' in the list; it has a woman"),
        ("import unet.pth --out x.safetensors --only young", "untrained"),
        ("import unet.pth --out x.safetensors --base sd3", "the base sd15 or sdxl, found 'sd3'"),
        ("import unet.pth --out x.safetensors --concepts no.json", "cannot read the list of concepts"),
        ("import unet.pth --out x.safetensors --concepts unet.pth", "cannot read the list of concepts"),
        ("info unet.pth --concepts there.safetensors", "the list of concepts"),
        ("export there.safetensors --to lora --out x.pth", "respodiff, sdisc, where, found 'lora'"),
        ("export there.safetensors --to respodiff --out x.safetensors", "ends in .pth, found 'x.safetensors'"),
        ("export there.safetensors --to respodiff --out unet.pth", "unet.pth already exists"),
        ("export there.safetensors --to respodiff --out concept_dict.pth", "concept_dict.json already exists"),
        ("export there.safetensors --to sdisc --out x.pth", "no place for a semantic part"),
        ("export unet.pth --to sdisc --out x.pth", "unet.pth"),
    ],
)
def test_users_errors_are_one_line_and_write_nothing(
    released: dict, capsys: pytest.CaptureFixture, line: str, message: str
) -> None:
    assert main(["import", "unet.pth", "--out", "there.safetensors"]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert main(line.split()) == 2
    found = capsys.readouterr().err.splitlines()
    assert message in found[-1]
    assert [text for text in found if "warning" not in text] == found[-1:]
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_overwrite(released: dict, capsys: pytest.CaptureFixture) -> None:
    assert main(["import", "unet.pth", "--only", "a woman", "--out", "x.safetensors"]) == 0
    assert main(["import", "unet.pth", "--only", "a man", "--out", "x.safetensors", "--overwrite"]) == 0
    assert list(load_attribute("x.safetensors").concepts) == ["a man"]
    for more in ([], ["--overwrite"]):
        assert main(["export", "x.safetensors", "--to", "respodiff", "--out", "x.pth", *more]) == 0
    Path("unet.pt").mkdir()
    assert main(["export", "x.safetensors", "--to", "respodiff", "--out", "unet.pt", "--overwrite"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_import_needs_neither_pydantic_nor_a_host(released: dict) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
for name in ("pydantic", "comfy", "matplotlib", "tqdm"):
    sys.modules[name] = None
from respo_train.__main__ import main
from respo_train.cli import exchange
sys.exit(main(["import", "unet.pth", "--out", "x.safetensors"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("wanted", "meanwhile"), [("unet", "import"), ("back", "export"), ("list", "export")])
def test_a_file_that_another_process_wrote_meanwhile_is_left_alone(
    released: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, wanted: str, meanwhile: str
) -> None:
    assert main(["import", "unet.pth", "--out", "gender.safetensors"]) == 0
    there = Path({"unet": "new.safetensors", "back": "back.pth", "list": "back.json"}[wanted])
    command = {
        "import": ["import", "unet.pth", "--out", "new.safetensors"],
        "export": ["export", "gender.safetensors", "--to", "respodiff", "--out", "back.pth"],
    }[meanwhile]

    def after_looking(reads: Callable) -> Callable:
        return lambda *given: (there.write_bytes(b"another's"), reads(*given))[1]

    for name in ("read_file", "load_attribute"):
        monkeypatch.setattr(exchange, name, after_looking(getattr(exchange, name)))
    assert main(command) == 2
    assert f"{there} already exists: give another name" in capsys.readouterr().err
    assert there.read_bytes() == b"another's"
    assert main([*command, "--overwrite"]) == 0
    assert there.read_bytes() != b"another's"
