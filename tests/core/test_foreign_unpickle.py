"""Programs, bombs and lies in files of PyTorch's format: refused, never run, and read beyond nothing."""

from __future__ import annotations

import os
import pickle
import random
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign_files
import pytest
import torch
from foreign_files import FC1

from respo_train.core.errors import ModuleFileError
from respo_train.core.foreign import unpickle
from respo_train.core.foreign.unpickle import read_tensors

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "unet.pth"
    foreign_files.sdisc(path, trained=(0,), columns=2, rows=1280)
    return path


def members(path: Path) -> dict[str, bytes]:
    """The archive's contents; its folder, which torch.save names as the file, is called "archive" here."""
    with zipfile.ZipFile(path) as archive:
        return {re.sub("^[^/]*", "archive", entry.filename): archive.read(entry) for entry in archive.infolist()}


def write(path: Path, content: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def repickled(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of the pickle, once."""
    content = members(path)
    assert content["archive/data.pkl"].count(old) == 1
    write(path, {**content, "archive/data.pkl": content["archive/data.pkl"].replace(old, new)})


def test_good_files_are_read(good: Path) -> None:
    source = read_tensors(good)
    assert list(source.tensors) == [FC1]
    assert torch.equal(source.tensors[FC1], torch.load(good, weights_only=True)[FC1])
    assert not source.tensors[FC1].requires_grad
    assert source.file == "unet.pth"


def test_what_newer_and_older_writers_add(good: Path) -> None:
    content = members(good)
    write(good, {name.replace("archive/", "unet/"): data for name, data in content.items()})
    assert list(read_tensors(good).tensors) == [FC1]
    write(good, {name: content[name] for name in ("archive/data.pkl", "archive/data/0", "archive/version")})
    assert list(read_tensors(good).tensors) == [FC1]


class Evil:
    """Whoever unpickles this runs a program."""

    def __init__(self, function: Callable, *arguments: Any):
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def calls(mark: Path) -> list[Any]:
    return [
        Evil(os.system, f"touch {mark}"),
        Evil(open, str(mark), "w"),
        Evil(eval, f"open({str(mark)!r}, 'w')"),
        Evil(subprocess.Popen, ["touch", str(mark)]),
        Evil(torch.load, str(mark)),
        {FC1: torch.ones(2), "x": Evil(os.mkdir, str(mark))},
        OrderedDict(x=Evil(getattr, "text", "format")),
    ]


@pytest.mark.parametrize("number", range(7))
def test_programs_are_never_run(tmp_path: Path, number: int) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pth"
    torch.save(calls(mark)[number], path)
    with pytest.raises(ModuleFileError, match=r"found (a use of|the instruction|a .* in the place).* was not run"):
        read_tensors(path)
    path.write_bytes(pickle.dumps(calls(mark)[number]))
    with pytest.raises(ModuleFileError, match=r"since PyTorch 1\.6"):
        read_tensors(path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_program_would_have_run(tmp_path: Path) -> None:
    """Otherwise the test above shows nothing."""
    torch.save(calls(tmp_path / "mark")[0], tmp_path / "evil.pth")
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "mark").exists()


def test_nothing_else_of_the_pack_unpickles() -> None:
    """In the node pack there is this one call."""
    found = []
    for path in [*(ROOT / "respo_train" / "core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        found += [
            (path.name, call) for call in re.findall(r"(?<!safetensors\.)\b(?:torch|pickle)\.loads?\([^\n]*", text)
        ]
    assert found == [("unpickle.py", 'torch.load(clean, map_location="cpu", weights_only=True)')]


def test_other_formats(good: Path, tmp_path: Path) -> None:
    tensors = read_tensors(good).tensors
    for content in (b"", b"P", b"PK", b"\x80\x02.", b"{}", random.Random(0).randbytes(1000)):
        good.write_bytes(content)
        with pytest.raises(ModuleFileError, match=r"unet.pth: expected a file as torch.save"):
            read_tensors(good)
    torch.save(tensors, good, _use_new_zipfile_serialization=False)
    with pytest.raises(ModuleFileError, match=r"since PyTorch 1\.6"):
        read_tensors(good)
    torch.save(tensors, good, pickle_protocol=4)
    with pytest.raises(ModuleFileError, match="expected a file of tensors"):
        read_tensors(good)


LIES = {
    "more numbers than stored": (lambda p: repickled(p, b"M\x00\nt", b"J\x00\x00\x00\x7ft"), "not what is stored"),
    "fewer numbers than stored": (lambda p: repickled(p, b"M\x00\nt", b"M\x00\x09t"), "not what is stored"),
    "a larger shape": (lambda p: repickled(p, b"M\x00\x05K\x02\x86", b"J\x00\x00\x00\x7fK\x02\x86"), "says"),
    "a stride of zero": (lambda p: repickled(p, b"K\x02K\x01\x86", b"K\x00K\x01\x86"), "says"),
    "a huge stride": (lambda p: repickled(p, b"K\x02K\x01\x86", b"J\x00\x00\x00\x7fK\x01\x86"), "says"),
    "an offset": (lambda p: repickled(p, b"QK\x00M", b"QK\x01M"), "says"),
    "a negative size": (
        lambda p: repickled(p, b"M\x00\x05K\x02\x86", b"J\xff\xff\xff\xffK\x02\x86"),
        "built in an unknown way",
    ),
    "a name that is a number": (
        lambda p: repickled(p, b"X\x15\x00\x00\x00" + FC1.encode(), b"K\x01"),
        "a int as a name",
    ),
    "another member": (lambda p: repickled(p, b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x007"), "not what is stored"),
    "another kind of number": (lambda p: repickled(p, b"FloatStorage", b"HalfStorage"), "not what is stored"),
    "an unknown kind of number": (lambda p: repickled(p, b"FloatStorage", b"QInt8Storage"), "torch.QInt8Storage"),
    "no end": (lambda p: repickled(p, b"b.", b"b"), "damaged"),
    "an empty stack": (lambda p: repickled(p, b"b.", b"bbbbb."), "damaged|place of named"),
    "no mark": (lambda p: repickled(p, b"b.", b"u."), "damaged"),
    "a member changed": (
        lambda p: p.write_bytes(p.read_bytes().replace(members(p)["archive/data/0"][:8], b"x" * 8)),
        "",
    ),
}


@pytest.mark.parametrize("case", LIES)
def test_lies_about_sizes(good: Path, case: str) -> None:
    lie, message = LIES[case]
    lie(good)
    with pytest.raises(ModuleFileError, match=message):
        read_tensors(good)


def test_a_name_twice(good: Path) -> None:
    pickled = members(good)["archive/data.pkl"]
    start, end = pickled.index(b"X\x15\x00\x00\x00" + FC1.encode()), pickled.index(b"s}q")
    item = pickled[start:end]
    repickled(good, item + b"s}q", item + b"s" + item + b"s}q")
    with pytest.raises(ModuleFileError, match=r"'controlnet\.fc1\.weight' twice"):
        read_tensors(good)


def test_bombs(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = members(good)
    write(good, content, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModuleFileError, match="without compression"):
        read_tensors(good)
    write(good, {**content, "archive/data/1": bytes(50 * 2**20)}, zipfile.ZIP_DEFLATED)
    refuse_quietly(good, "without compression")
    write(good, {**content, **{f"archive/data/{n}": b"" for n in range(1, 100_000)}})
    refuse_quietly(good, "at most 64 entries")
    write(good, {**content, "archive/data.pkl": b"(" * 100_000})
    refuse_quietly(good, "list of tensors has 100000 bytes")
    write(good, {**content, "archive/code/__torch__.py": b"x"})
    refuse_quietly(good, "found 'code/__torch__.py'")
    write(good, {**content, "other/data.pkl": b"."})
    refuse_quietly(good, "none or several")
    write(good, {"archive/version": b"3"})
    refuse_quietly(good, "none or several")
    write(good, {**content, "archive/byteorder": b"big"})
    refuse_quietly(good, "little-endian")
    monkeypatch.setattr(unpickle, "_MAX_BYTES", 10_000)
    write(good, content)
    refuse_quietly(good, "expected a file of at most")


def refuse_quietly(path: Path, message: str) -> None:
    """Refused, and without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ModuleFileError, match=message):
            read_tensors(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * path.stat().st_size + 2**20
    finally:
        tracemalloc.stop()


def test_sizes_in_the_archives_list(good: Path) -> None:
    data = bytearray(good.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 20 : at + 28] = b"\xff\xff\xff\x7f" * 2
    good.write_bytes(data)
    with pytest.raises(ModuleFileError, match=r"larger than the file|damaged"):
        read_tensors(good)


def pickle_of(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


@pytest.mark.parametrize(
    "body",
    [
        # A tuple of twice the same tuple, sixty deep: hashing it takes for ever.
        b")q\x00" + b"".join(b"h%ch%c\x86q%c0" % (n, n, n + 1) for n in range(60)),
        b"}q\x00(" + b"h\x00" * 3 + b"u",
        b"}(" * 5000,
        b"}q\x00" + b"X\x01\x00\x00\x00ah\x00s" * 1,
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",
        b"ctorch\n_utils._rebuild_tensor_v2\n)R",
        b"(ibuiltins\neval\n",
        b"X\xff\xff\xff\x7fabc",
        b"\x8a\xff" + b"\x7f" * 255,
        b"\x8b\xff\xff\xff\x7f",
        b"N",
        b"",
    ],
)
def test_crooked_pickles(good: Path, body: bytes) -> None:
    write(good, {**members(good), "archive/data.pkl": pickle_of(body)})
    with pytest.raises(ModuleFileError):
        read_tensors(good)


def test_two_readings_of_one_archive_agree(good: Path) -> None:
    """What PyTorch is handed is made of what was checked, whatever else lies in the file."""
    data = good.read_bytes()
    good.write_bytes(data + b"PK\5\6" + bytes(18))
    with pytest.raises(ModuleFileError):
        read_tensors(good)


def test_cut_off_and_flipped(good: Path) -> None:
    """Read as it was, or refused by our own error: nothing between."""
    data, tensors = good.read_bytes(), read_tensors(good).tensors
    rng = random.Random(7)
    for trial in range(400):
        spoilt = bytearray(data)
        if trial % 4 == 0:
            del spoilt[rng.randrange(len(data)) :]
        else:
            for _ in range(rng.choice((1, 3, 30))):
                # Not among the numbers, most of the time: there the checksum finds everything.
                where = rng.randrange(1500) if trial % 4 < 3 else -rng.randrange(1, 1200)
                spoilt[where] ^= 1 << rng.randrange(8)
        good.write_bytes(spoilt)
        try:
            found = read_tensors(good).tensors
        except ModuleFileError:
            continue
        assert all(torch.equal(found[key], tensors[key]) for key in tensors if key in found)


def test_no_module_of_pickles_is_imported(good: Path, tmp_path: Path) -> None:
    """Naming a module is enough to run its code, were it imported."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    write(good, {**members(good), "archive/data.pkl": pickle_of(b"ctrap\nx\n")})
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from respo_train.core.errors import ModuleFileError
from respo_train.core.foreign.unpickle import read_tensors
try:
    read_tensors(Path({str(good)!r}))
except ModuleFileError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "a use of 'trap.x'" in done.stdout


def test_reading_leaves_nothing_behind(good: Path) -> None:
    before = sorted(good.parent.iterdir())
    read_tensors(good)
    good.write_bytes(good.read_bytes()[:100])
    with pytest.raises(ModuleFileError):
        read_tensors(good)
    assert sorted(good.parent.iterdir()) == before


def test_a_folder_and_a_device(tmp_path: Path) -> None:
    with pytest.raises(ModuleFileError, match="cannot read"):
        read_tensors(tmp_path)
    if os.path.exists("/dev/zero"):  # it has no end
        with pytest.raises(ModuleFileError):
            read_tensors(Path("/dev/zero"))
