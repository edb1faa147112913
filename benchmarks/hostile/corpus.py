"""The corpus in tests/corpus: good files of every kind, and hostile ones that are always tried."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from emoji_world.__main__ import JUDGE, SEGMENTER
from respo_train.settings.preset_files import PRESETS

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
MODULE = ROOT / "emoji_world" / "modules" / "emoji_world_gender.safetensors"
CLIP = CORPUS / "clip"  # a folder with a tiny model
GOOD_ARCHIVE = "good.pth"  # beside the folder with the hostile file
_SHIPPED = {"judge": JUDGE, "segmenter": SEGMENTER, "preset": PRESETS / "gender.toml"}
# Kind -> the name of such a file. "weights" are archives; "words" are given to a command, one a line.
KINDS = {
    "module": "case.safetensors",
    "archive": "case.pth",
    "weights": "case.pth",
    "module text": "case.txt",
    "judge": "case.judge",
    "segmenter": "case.segmenter",
    "preset": "case.toml",
    "state": "case.respo",
    "latents": "case.latents",
    "total": "case.total",
    "effects": "effects.json",
    "cell": "case.json",
    **{f"CLIP {path.name}": path.name for path in sorted(CLIP.iterdir())},
    "concepts": "case.concepts",
    "judge prompts": "case.ini",
    "prompts": "case.csv",
    "pictures": "case.npy",
    "picture": "case.png",
    "sheet": "sheet.png",
    "words": "case.words",
}
SHARES = {"module": 8, "archive": 8}  # of all files, where one kind is not like another
LINKS = {
    "device": "/dev/zero",
    "loop": "",
    "nowhere": "nothing-here",
    "outside": "../outside",
    "folder": "",
    "pipe": "",
}
_HOLES = (2**27 + 1, 300 << 20, 4000 << 20)  # bytes; the last only where files may be large
_LARGE = ("module", "archive", "state")


@lru_cache
def corpus(name: str) -> Any:
    """Return the values of a file of JSON."""
    return json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _archived() -> dict[str, bytes]:
    """Return the content of known.tar.xz, "<kind>/<how>[@<bytes of the file, which ends in a hole>]"."""
    with tarfile.open(CORPUS / "known.tar.xz") as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


@lru_cache
def good(kind: str) -> list[bytes]:
    """Return files with nothing wrong."""
    if kind in ("archive", "weights"):
        return [data for name, data in _archived().items() if name.startswith("archive/good")]
    if kind in _SHIPPED or kind.startswith("CLIP"):
        return [(_SHIPPED.get(kind) or CLIP / KINDS[kind]).read_bytes()]
    return [path.read_bytes() for path in sorted((CORPUS / "files" / kind.replace(" ", "_")).iterdir())]


@dataclass(frozen=True)
class HostileFile:
    """`how`: what is wrong; `size`: of the file where it ends in a hole; `link`: it is one of LINKS instead."""

    kind: str
    how: str
    data: bytes = b""
    size: int | None = None
    link: str | None = None

    def __repr__(self) -> str:
        return f"{self.kind}: {self.how} ({len(self.data)} bytes {self.data[:200]!r}, {self.size}, {self.link})"

    def place(self, folder: Path) -> Path:
        """Put it into `folder`; a link to the outside leads to a good file in the folder's own parent."""
        path = folder / KINDS[self.kind]
        if self.link in ("folder", "pipe"):
            path.mkdir() if self.link == "folder" else os.mkfifo(path)
        elif self.link is not None:
            (folder.parent / "outside").write_bytes(good(self.kind)[0])
            path.symlink_to(LINKS[self.link] or path.name)
        else:
            path.write_bytes(self.data)
            if self.size is not None:
                os.truncate(path, self.size)
        return path


def known_files(kind: str) -> list[HostileFile]:
    """Return the files of a kind that are always tried."""
    first, own = good(kind)[0], "archive" if kind == "weights" else kind
    found = [HostileFile(kind, "link", link=link) for link in LINKS]
    holes = _HOLES if kind in _LARGE else _HOLES[:2]
    found += [HostileFile(kind, "hole", data, size) for data in (b"", first) for size in holes]
    for name, data in _archived().items():
        of, _, how = name.partition("/")
        # PyTorch's archives have no limit that a bomb could break: Inception's weights are 90 MB.
        if of == own and not how.startswith(("good", "bomb") if kind == "weights" else "good"):
            how, _, size = how.partition("@")
            found.append(HostileFile(kind, how, data, int(size) if size else None))
    return found
