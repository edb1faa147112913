"""Hostile files that are always tried: for each check of a reader one that only this check refuses."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import other_files as other
from .archive_files import cut_tensor, members_of, program_of
from .entries import ENTRIES, KINDS
from .module_files import as_text, good_modules, made
from .spoil import joined, parts

LINKS = {
    "device": "/dev/zero",
    "loop": ".",
    "nowhere": "nothing-here",
    "outside": "../outside",
    "folder": "",
    "pipe": "",
}


@dataclass(frozen=True, repr=False)
class HostileFile:
    """`how`: what was done to it; `size`: of the file where it ends in a hole; `link`: it is one of LINKS instead."""

    kind: str
    how: str
    data: bytes = b""
    size: int | None = None
    link: str | None = None

    def __repr__(self) -> str:
        digest = hashlib.sha256(self.data).hexdigest()[:12]
        return f"{self.kind}: {self.how} ({len(self.data)} bytes {digest}{self.data[:200]!r}, {self.size}, {self.link})"

    def place(self, folder: Path) -> Path:
        """Put it into `folder`; a link to the outside leads to the folder's own parent."""
        path = folder / KINDS[self.kind].name
        if self.link in ("folder", "pipe"):
            path.mkdir() if self.link == "folder" else os.mkfifo(path)
        elif self.link is not None:
            path.symlink_to(path.name if self.link == "loop" else LINKS[self.link])
        else:
            path.write_bytes(self.data)
            if self.size is not None:
                os.truncate(path, self.size)
        return path


def entries_of(kind: str) -> list[str]:
    """Name the entries that read files of a kind."""
    return [name for name, entry in ENTRIES.items() if kind in entry.kinds]


def good_files() -> list[HostileFile]:
    """Return what the others are made of, with nothing wrong."""
    return [HostileFile(name, "good", data) for name, kind in KINDS.items() for data in kind.good()]


def known_files(kind: str) -> list[HostileFile]:
    """Return the files of a kind that are always tried."""
    links = [HostileFile(kind, "link", link=link) for link in LINKS]
    return [*links, *(HostileFile(kind, how, *data) for name, how, *data in _known() if name == kind)]


def _known() -> Iterator[tuple[str, str, bytes] | tuple[str, str, bytes, int]]:
    good = good_modules()[0]
    head, body = parts(good)
    respo = head["__metadata__"]["respo"]

    def with_respo(text: str) -> bytes:
        return joined({**head, "__metadata__": {**head["__metadata__"], "respo": text}}, body)

    yield "module", "larger than 128 MiB", good, 2**27 + 1
    yield "module", "NaN", joined(head, b"\0\0\xc0\x7f" * (len(body) // 4))
    yield "module", "a key twice in the metadata", with_respo('{"name": "other", ' + respo[1:])
    yield "module", "JSON without bottom", joined("[" * 20_000, b"")
    yield "module", "metadata without bottom", with_respo("[" * 20_000)
    for rank in (1, 3):  # of the second factor; the first one's is 2
        factors = {"woman.responsible.channels": ("F32", [6, 2]), "woman.responsible.space": ("F32", [rank, 4, 5])}
        yield "module", "factors that do not fit", made(good, factors, concepts=["woman"])
    names = [f"c{index}" for index in range(8)]
    small = [("channels", [1280, 1]), ("space", [1, 1000, 1000])]
    factors = {f"{name}.responsible.{key}": ("F16", shape) for name in names for key, shape in small}
    yield "module", "factors that stand for too much", made(good_modules()[3], factors, concepts=names)
    yield "module text", "burst", as_text(bytes(2**27))
    for kind in ("archive", "weights"):
        yield kind, "program", program_of(KINDS[kind].good()[0], "posix", "system", "touch touched-by-a-file")
    archive = KINDS["archive"].good()[0]
    yield "archive", "tensors beyond what is stored", cut_tensor(archive)
    yield "archive", "compressed", _compressed(archive)
    yield "concepts", "a number below 0 that counts from the end", json.dumps({"a woman": 0, "a man": -9}).encode()
    pictures = {"0123456789abcdef": ["woman"]}
    yield "total", "no pair", json.dumps({"version": 1, "about": {}, "pictures": pictures}).encode()
    state = parts(other.states()[0])
    yield "state", "other numbers", joined(state[0], bytes(byte ^ 1 for byte in state[1]))
    for kind in ("judge", "segmenter", "state", "latents"):
        yield kind, "no header", b"\xff" * 100
    for kind in ("total", "effects", "cell", "clip", "concepts"):
        yield kind, "JSON without bottom", b"[" * 100_000


def _compressed(archive: bytes) -> bytes:
    """Compress a member that gets longer by it, so that no size is suspicious."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in members_of(archive).items():
            target.writestr(name, content, zipfile.ZIP_DEFLATED if name.endswith("version") else zipfile.ZIP_STORED)
    return file.getvalue()
