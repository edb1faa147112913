"""Pictures of strangers: no other program is run for them, and what cannot be read is said in words."""

from __future__ import annotations

import ast
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import EpsImagePlugin, Image

from respo_train.core.errors import RespoError
from respo_train.evaluation.folder import FORMATS, find_pictures, read_picture
from respo_train.evaluation.real import _picture

ROOT = Path(__file__).resolve().parents[2]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge(side: int) -> bytes:
    """A PNG with nothing wrong but its size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes((side // 8 + 1) * side)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_picture, lambda path: _picture(path, (8, 8))])
@pytest.mark.parametrize("data", [EPS, huge(14_000), huge(10_400), b"P6 1 1 255\nabc", b"8BPS\0\1", b"GIF89a"])
def test_other_kinds_and_huge_ones_are_refused(
    read: Callable[[Path], Any], data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: ran.append(given))
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(RespoError):
        read(path)
    assert ran == []


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_the_usual_kinds_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    first, second = (Image.new("RGB", (9, 7), colour) for colour in ("red", "blue"))
    more = {"save_all": True, "append_images": [second]} if kind == "MPO" else {}
    first.save(path, format=kind, **more)
    assert read_picture(path).shape == (7, 9, 3)
    assert _picture(path, (7, 9)).shape == (7, 9, 3)


def test_every_picture_is_opened_as_one_of_a_few_kinds() -> None:
    """Pillow knows 40 kinds; for one of them (EPS) it starts another program."""
    found = []
    for folder in ("respo_train", "nodes", "emoji_world"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "Image.open":
                    kinds = [word.value for word in call.keywords if word.arg == "formats"]
                    found.append((path.name, [ast.unparse(kind) for kind in kinds]))
    assert len(found) >= 5
    assert [name for name, kinds in found if not kinds] == []


@contextmanager
def folders_in_one_another(where: Path, depth: int) -> Iterator[None]:
    """Deeper than Python's own functions can make and delete."""
    begun = os.getcwd()
    os.chdir(where)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    try:
        yield
    finally:
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")
        os.chdir(begun)


def test_folders_without_end(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with folders_in_one_another(tmp_path, 1200):
        found = find_pictures(tmp_path)
    assert [path.name for _, path in found.pictures] == ["x.png"]
    assert [why for _, why in found.skipped] == ["below 64 folders"]
