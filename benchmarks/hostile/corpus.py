"""The corpus in tests/corpus: good files of every kind, and hostile ones that are always tried."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
MODULE = ROOT / "emoji_world" / "modules" / "emoji_world_gender.safetensors"
CLIP = CORPUS / "clip"  # a folder with a tiny model
GOOD_ARCHIVE = "good.pth"  # beside the folder with the hostile file
LINKS = {"device": "/dev/zero", "loop": "", "nowhere": "nothing", "outside": "../outside", "folder": "", "pipe": ""}
_HOLES = (2**27 + 1, 300 << 20, 4000 << 20)  # bytes; the last only where files may be large


@lru_cache
def corpus(name: str) -> Any:
    """Return the values of a file of JSON."""
    return json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))


# Kind -> the name of such a file, and where good ones are. "weights" are archives; "words" are given to a command.
KINDS: dict[str, tuple[str, str]] = corpus("kinds")
SHARES = {**dict.fromkeys(KINDS, 1), "module": 8, "archive": 8}  # of all files, where one kind is not like another


@lru_cache(maxsize=1)
def _archived() -> dict[str, bytes]:
    """Return the content of known.tar.xz, "<kind>/<how>[@<bytes of the file, which ends in a hole>]"."""
    with tarfile.open(CORPUS / "known.tar.xz") as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


@lru_cache
def good(kind: str) -> list[bytes]:
    """Return files with nothing wrong."""
    where = KINDS[kind][1]
    packed = [data for name, data in _archived().items() if name.startswith(where)]
    return packed or [path.read_bytes() for path in sorted(ROOT.glob(where))]


@dataclass(frozen=True)
class HostileFile:
    """`how`: what is wrong, or one of LINKS; `size`: of the file where it ends in a hole."""

    kind: str
    how: str
    size: int = 0
    data: bytes = b""

    def place(self, folder: Path) -> Path:
        """Put it into `folder`; a link to the outside leads to a good file in the folder's own parent."""
        path = folder / KINDS[self.kind][0]
        if self.how in ("folder", "pipe"):
            path.mkdir() if self.how == "folder" else os.mkfifo(path)
        elif self.how in LINKS:
            (folder.parent / "outside").write_bytes(good(self.kind)[0])
            path.symlink_to(LINKS[self.how] or path.name)
        else:
            path.write_bytes(self.data)
            os.truncate(path, max(self.size, len(self.data)))
        return path


def known_files(kind: str) -> list[HostileFile]:
    """Return the files of a kind that are always tried."""
    # PyTorch's archives have no limit that a bomb could break: Inception's weights are 90 MB.
    own, but = ("archive", ("good", "bomb")) if kind == "weights" else (kind, ("good",))
    found = [HostileFile(kind, link) for link in LINKS]
    holes = _HOLES if kind in ("module", "archive", "state") else _HOLES[:2]
    found += [HostileFile(kind, "hole", size, data) for data in (b"", good(kind)[0]) for size in holes]
    for (of, _, name), data in ((name.partition("/"), data) for name, data in _archived().items()):
        if of == own and not name.startswith(but):
            how, _, size = name.partition("@")
            found.append(HostileFile(kind, how, int(size or 0), data))
    return found
