from __future__ import annotations

from pathlib import Path

import pytest

import respo_train.host.locate as locate
from respo_train.core.errors import RespoError


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any ComfyUI; the repository is in `pack`."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(locate, "_REPO", tmp_path / "pack")


def comfy(folder: Path) -> Path:
    (folder / "comfy").mkdir(parents=True)
    (folder / "comfy" / "sd.py").touch()
    return folder


def test_finds_the_one_beside_us(tmp_path: Path) -> None:
    beside = comfy(tmp_path / "pack" / ".comfyui")
    assert locate.find_host() == beside


def test_the_host_we_are_installed_in_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = comfy(tmp_path / "ComfyUI")
    repo = host / "custom_nodes" / "pack-with-dashes"
    monkeypatch.setattr(locate, "_REPO", repo)
    comfy(repo / ".comfyui")
    assert locate.find_host() == host


def test_the_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comfy(tmp_path / "pack" / ".comfyui")
    mine = comfy(tmp_path / "mine")
    monkeypatch.setenv("COMFYUI_PATH", str(mine))
    assert locate.find_host() == mine
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(RespoError, match=r"COMFYUI_PATH is .* no ComfyUI there"):
        locate.find_host()


def test_says_what_to_do_without_one() -> None:
    with pytest.raises(RespoError, match=r"Set COMFYUI_PATH.*run\.py"):
        locate.find_host()
