"""Hostile files: number -> file, always the same one. Modules (.safetensors) and files of torch.save (.pth)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

from . import archive_files as archives
from . import module_files as modules
from . import number_files as numbers
from . import pickle_files as pickles
from .module_files import Mutation

BYTES: tuple[Mutation, ...] = (modules.truncated, modules.lengthened, modules.flipped, numbers.nothing_of_it)
MODULES: tuple[Mutation, ...] = (
    *(modules.flipped_in_front, modules.lying_length, modules.lying_entry, modules.lying_entry, modules.other_entries),
    *(modules.said_twice, modules.much_metadata, modules.deep_json, modules.other_version, modules.other_metadata),
    *(modules.other_metadata, numbers.odd_numbers, numbers.other_numbers, numbers.many_concepts, numbers.small_factors),
    *(numbers.crossed, *BYTES),
)
ARCHIVES: tuple[Mutation, ...] = (
    *(archives.compressed, archives.bomb, archives.many_members, archives.other_members, archives.other_members),
    *(archives.other_directory, archives.odd_stored, archives.odd_stored, archives.inside_another),
    *(archives.older_format, pickles.program, pickles.program, pickles.pickle_bomb, pickles.flipped_pickle),
    *(pickles.flipped_pickle, pickles.lying_tensors, pickles.lying_tensors, pickles.other_states, *BYTES),
)
LINKS = ("device", "folder", "loop", "nowhere", "outside", "pipe")
MODULE, ARCHIVE = "case.safetensors", "case.pth"


@dataclass(frozen=True)
class HostileFile:
    """`how`: what was done to it; `size`: of the file where it ends in a hole; `link`: it is one of LINKS instead.

    `concepts`: text that is to be taken for the list of concepts beside it.
    """

    name: str
    how: str
    data: bytes = b""
    size: int | None = None
    link: str | None = None
    concepts: str | None = None

    def place(self, folder: Path) -> Path:
        """Put it into `folder`; a link to the outside leads to the folder's own parent."""
        path = folder / self.name
        if self.link is not None:
            _place_link(path, self.link)
            return path
        with open(path, "wb") as file:
            file.write(self.data)
            if self.size is not None:
                file.truncate(self.size)
        return path


def good_files() -> list[HostileFile]:
    """What the others are made of, with nothing wrong."""
    found = [HostileFile(MODULE, "good", data) for data in modules.module_seeds()]
    return found + [HostileFile(ARCHIVE, "good", data) for data in archives.archive_seeds()]


def hostile_file(number: int) -> HostileFile:
    """Make file `number`."""
    chance = Random(f"file {number}")
    name = chance.choice([MODULE, ARCHIVE])
    kind = chance.random()
    if kind < 0.01:
        return HostileFile(name, "link", link=chance.choice(LINKS))
    if kind < 0.02:
        return _large(chance, name)
    seeds, mutations = (modules.module_seeds(), MODULES) if name == MODULE else (archives.archive_seeds(), ARCHIVES)
    data = chance.choice(seeds)
    mutation = chance.choice(mutations)
    how = [mutation.__name__]
    data = mutation(chance, data)
    while data and chance.random() < 0.25:  # and a little more
        more = chance.choice(BYTES[:3])
        how.append(more.__name__)
        data = more(chance, data)
    if chance.random() < 0.03:  # under the other name
        name = ARCHIVE if name == MODULE else MODULE
    return HostileFile(name, " ".join(how), data, concepts=_concepts(chance) if name == ARCHIVE else None)


def _large(chance: Random, name: str) -> HostileFile:
    """Some hundred MB that take no room on disk; of modules also good ones, as large as they may be."""
    if name == MODULE and chance.random() < 0.7:
        data, size = numbers.one_large(
            chance, chance.choice([64, 128, 160, 161, 200, 300]), chance.choice(["F32", "F16"])
        )
        return HostileFile(name, "one_large", data, size)
    seeds = modules.module_seeds() if name == MODULE else archives.archive_seeds()
    return HostileFile(
        name, "hole", chance.choice([b"", chance.choice(seeds)]), chance.choice([100, 127, 300, 4000]) << 20
    )


def _concepts(chance: Random) -> str | None:
    if chance.random() < 0.8:
        return None
    good = {"a": 0, "b": 1, "c": 9}
    texts = [json.dumps(good), '["a", "b"]', "", "{}", "[]", "null", '{"a": 0, "a": 1}', '{"a": -1}', '{"a": 1e9}']
    texts += ['{"a": true}', '{"a.b": 0}', '{"": 0}', "[" * 50_000, json.dumps({f"c{i}": 0 for i in range(5000)})]
    texts += [
        json.dumps([f"c{i}" for i in range(20_000)]),
        '{"a": 9999999999999999999999}',
        '{"\\ud800": 0}',
        '[["a"]]',
    ]
    return chance.choice(texts)


def _place_link(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        targets = {"device": "/dev/zero", "loop": path.name, "nowhere": "nothing-here", "outside": "../outside"}
        path.symlink_to(targets[kind])
