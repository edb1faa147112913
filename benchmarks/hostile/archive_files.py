"""Ways to spoil a file of torch.save: its archive, its numbers."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from functools import lru_cache
from random import Random

import torch

FOLDER = "archive/"
TOUCHED = "touched-by-a-file"  # what hostile files would make if anybody let them
_BOMB = 300 * 2**20  # bytes that a bomb bursts into


@lru_cache(maxsize=1)
def archive_seeds() -> tuple[bytes, ...]:
    """Files of the three released layouts, with small grids; what was not trained is as PyTorch starts it."""
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, trained: tuple[int, ...]) -> torch.Tensor:
        values = (torch.rand(rows, columns, generator=generator) * 2 - 1) / columns**0.5
        values[:, list(trained)] = 5 * torch.randn(rows, len(trained), generator=generator)
        return values

    fc1, fc2 = "controlnet.fc1.weight", "controlnet_residual.fc2.weight"
    both = {fc1: matrix(1280 * 4, 10, (0, 1)), fc2: matrix(1280 * 4, 10, (0, 1))}
    rows = torch.randn(100, 1280, generator=generator)
    rows[:2] *= 4
    made = [both, {fc1: matrix(1280, 8, (0, 4))}, {"concept_emb": rows}]
    made += [{"state_dict": both}, {key: value.half() for key, value in both.items()}]
    return tuple(saved(one) for one in made)


def saved(value: object) -> bytes:
    """Return what torch.save writes."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def members_of(data: bytes) -> dict[str, bytes]:
    """Return the contents of a good archive by their names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Make an archive; a name may stand in it twice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile finds twice the same name odd, and so it is
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def compressed(chance: Random, data: bytes) -> bytes:
    """The same content, compressed."""
    kinds = [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    return packed(list(members_of(data).items()), chance.choice(kinds))


@lru_cache(maxsize=1)
def _burst() -> bytes:
    squeeze = zlib.compressobj(9, wbits=-15)
    return b"".join([squeeze.compress(bytes(2**20)) for _ in range(_BOMB >> 20)]) + squeeze.flush()


def bomb(chance: Random, data: bytes) -> bytes:
    """A few hundred kB that burst into hundreds of MB; with an honest size, or one that lies."""
    members = members_of(data)
    victim = chance.choice(list(members))
    said = chance.choice([_BOMB, len(members[victim]), 100, 0])
    stored = packed([(name, _burst() if name == victim else content) for name, content in members.items()])
    # Stored bytes that the headers then call deflated.
    spoilt = bytearray(stored)
    size = struct.pack("<I", len(_burst()))
    for magic, method, length in ((b"PK\3\4", 8, 22), (b"PK\1\2", 10, 24)):
        at = spoilt.find(magic)
        while at >= 0:
            if spoilt[at + length - 4 : at + length] == size:
                spoilt[at + method : at + method + 2] = struct.pack("<H", chance.choice([8, 8, 8, 0]))
                spoilt[at + length : at + length + 4] = struct.pack("<I", said)
            at = spoilt.find(magic, at + 4)
    return bytes(spoilt)


def many_members(chance: Random, data: bytes) -> bytes:
    """Hundreds or thousands of entries, or one name again and again."""
    count, name = (
        chance.choice([55, 300, 3000]),
        chance.choice(["data/{}", "data/0", "data.pkl", "x{}", "a/{}/data.pkl"]),
    )
    more = [(FOLDER + name.format(100 + number), b"") for number in range(count)]
    return packed([*members_of(data).items(), *more])


def other_members(chance: Random, data: bytes) -> bytes:
    """Entries that are missing, changed, there twice, or of another kind of file."""
    members = list(members_of(data).items())
    at = chance.randrange(len(members))
    name, content = members[at]
    cut, longer = content[: chance.randrange(len(content) + 1)], content + chance.randbytes(chance.choice([1, 4, 40]))
    names = [f"../{TOUCHED}", f"/{TOUCHED}", "archive/code/x.py", "archive/constants.pkl", "", "é"]
    names += ["archive/byteorder", "archive/.data/serialization_id", "archive/data/0", "archive/DATA.PKL", "a" * 60_000]
    new = chance.choice(
        [[], [(name, cut)], [(name, longer)], [(name, content)] * 2, [(chance.choice(names), content)], [(name, b"")]]
    )
    members[at : at + 1] = new
    if chance.random() < 0.3:
        members.append((chance.choice(names), chance.choice([b"big", b"little", content, b""])))
    if chance.random() < 0.1:
        chance.shuffle(members)
    return packed(members)


def other_directory(chance: Random, data: bytes) -> bytes:
    """Bits and fields of the archive's own list, at the file's end, and of its entries' headers."""
    spoilt = bytearray(data)
    starts = [found.start() for found in re.finditer(b"PK[\1\3\5\6]", data)]
    for _ in range(chance.choice([1, 1, 3])):
        at = chance.choice(starts) + chance.randrange(4, 46)
        value = chance.choice([b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x01\0", chance.randbytes(2)])
        if at + len(value) <= len(spoilt):
            spoilt[at : at + len(value)] = value
    return bytes(spoilt)


def odd_stored(chance: Random, data: bytes) -> bytes:
    """Numbers that are NaN, infinite, zero, or as nobody trained them."""
    members = members_of(data)
    name = chance.choice([name for name in members if "/data/" in name])
    content = bytearray(members[name])
    what = chance.choice(["one", "one", "zero", "tiny", "noise", "other"])
    if what == "one":
        where = 4 * chance.randrange(len(content) // 4)
        content[where : where + 4] = struct.pack("<f", chance.choice([float("nan"), float("inf"), 3e38, 1e-45]))
    elif what == "noise":
        content = bytearray(chance.randbytes(len(content)))
    else:
        value = {"zero": 0.0, "tiny": 1e-40, "other": 7.5}[what]
        content = bytearray((struct.pack("<f", value) * (len(content) // 4 + 1))[: len(content)])
    return packed(list((members | {name: bytes(content)}).items()))


def inside_another(chance: Random, data: bytes) -> bytes:
    """An archive in an archive, or behind something else, as self-extracting ones are."""
    if chance.random() < 0.5:
        return packed([(FOLDER + "data.pkl", data), (FOLDER + "version", b"3\n")])
    front = chance.choice([b"MZ", b"\x80\x02}q\0.", b"#!/bin/sh\n", b"PK\3\4"])
    return front + bytes(chance.choice([0, 100])) + data


def older_format(chance: Random, data: bytes) -> bytes:
    """What torch.save wrote before 2020, and TorchScript's archive of code."""
    members = members_of(data)
    if chance.random() < 0.5:
        file = io.BytesIO()
        torch.save({"concept_emb": torch.ones(100, 1280)}, file, _use_new_zipfile_serialization=False)
        return file.getvalue()[: chance.choice([None, 600, 5000])]
    return packed([*members.items(), (FOLDER + "constants.pkl", b"\x80\x02)."), (FOLDER + "code/x.py", b"1")])
