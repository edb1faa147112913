"""Hostile files that are always tried: for each check of a reader one that only this check refuses."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from . import archive_files as archives
from .entries import ENTRIES, KINDS
from .spoil import as_text, joined, made, parts

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
    good = KINDS[kind].good()[0]
    everywhere = [HostileFile(kind, "hole", data, 300 << 20) for data in (b"", good)]
    everywhere += [HostileFile(kind, "link", link=link) for link in LINKS]
    if kind in _LARGE:
        everywhere += [HostileFile(kind, "hole", good, 4000 << 20)]
    return everywhere + [HostileFile(kind, how, *data) for how, *data in _KNOWN.get(kind, tuple)()]


def _modules() -> Iterator[tuple[Any, ...]]:
    good, _, half, real = KINDS["module"].good()
    head, body = parts(good)
    respo = head["__metadata__"]["respo"]

    def with_respo(text: str) -> bytes:
        return joined({**head, "__metadata__": {**head["__metadata__"], "respo": text}}, body)

    yield "larger than 128 MiB", good, 2**27 + 1
    yield "NaN", joined(head, b"\0\0\xc0\x7f" * (len(body) // 4))
    yield "a key twice in the metadata", with_respo('{"name": "other", ' + respo[1:])
    yield "JSON without bottom", joined("[" * 20_000, b"")
    yield "metadata without bottom", with_respo("[" * 20_000)
    yield "numbers of another file", joined(head, parts(half)[1])
    for rank in (1, 3):  # of the second factor; the first one's is 2
        factors = {"woman.responsible.channels": ("F32", [6, 2]), "woman.responsible.space": ("F32", [rank, 4, 5])}
        yield "factors that do not fit", made(good, factors, concepts=["woman"])
    names = [f"c{index}" for index in range(6000)]
    for key in ("{}.responsible", "probe:word_{}"):
        yield "thousands of them", made(good, {key.format(name): ("F32", [1, 1, 1]) for name in names}, concepts=names)
    small = [("channels", [1280, 1]), ("space", [1, 400, 400])]
    factors = {f"{name}.responsible.{key}": ("F16", shape) for name in names[:8] for key, shape in small}
    yield "factors that stand for too much", made(real, factors, concepts=names[:8])
    size = 1280 * 160 * 160 * 4
    tensor = {"dtype": "F32", "shape": [1280, 160, 160], "data_offsets": [0, size]}
    largest = joined({"__metadata__": parts(real)[0]["__metadata__"], "no violence.responsible": tensor}, b"")
    yield "as large as can be", largest, len(largest) + size


def _archives() -> Iterator[tuple[Any, ...]]:
    good = KINDS["archive"].good()[0]
    yield "tensors beyond what is stored", archives.cut_tensor(good)
    some = (archives.programs, archives.pickle_bombs, archives.of_other_kinds, archives.crowded, archives.compressed)
    for make in (*some, archives.other_states):
        yield from ((make.__name__, data) for data in make(good))


def _bombs() -> Iterable[tuple[Any, ...]]:
    return (("bomb", data) for data in archives.bombs(KINDS["archive"].good()[0]))


def _state() -> Iterator[tuple[Any, ...]]:
    head, body = parts(KINDS["state"].good()[0])
    first, last = next(own["data_offsets"] for name, own in head.items() if name.endswith(".latents"))
    other = bytes(byte ^ 1 for byte in body[first:last])
    yield "other latents, which nothing but the digest tells", joined(head, body[:first] + other + body[last:])
    yield _NO_HEADER


def _pictures() -> Iterator[tuple[Any, ...]]:
    whole = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 8, 8, 3)}"
    for header in ("{'descr': '|u1', 'shape': (", "(" * 9000, "-" * 9000 + "1", whole % 10**40, whole % 2**63):
        yield "header", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(400)
    yield "an archive of arrays", archives.packed([("arr_0.npy", KINDS["pictures"].good()[0])])


def _json(**values: Any) -> Callable[[], list[tuple[Any, ...]]]:
    return lambda: [
        ("without bottom", b"[" * 100_000),
        *((how, json.dumps(one).encode()) for how, one in values.items()),
    ]


_LARGE = ("module", "archive", "state")  # of which a file may be large
_NO_HEADER = ("no header", b"\xff" * 100)
_TOTAL = {"version": 1, "about": {}, "pictures": {"0123456789abcdef": ["woman"]}}
_KNOWN: dict[str, Callable[[], Iterable[tuple[Any, ...]]]] = {
    "module": _modules,
    "module text": lambda: [("burst", as_text(bytes(2**27)))],
    "archive": lambda: chain(_archives(), _bombs()),
    "weights": _archives,  # PyTorch's have no limit that a bomb could break: Inception's are 90 MB
    "state": _state,
    "judge": lambda: [_NO_HEADER],
    "segmenter": lambda: [_NO_HEADER],
    "latents": lambda: [_NO_HEADER],
    "total": _json(no_pair=_TOTAL),
    "concepts": _json(from_the_end={"a woman": 0, "a man": -9}),
    "pictures": _pictures,
    "effects": _json(),
    "cell": _json(),
    **{name: _json() for name in KINDS if name.endswith(".json")},
}
