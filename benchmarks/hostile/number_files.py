"""More ways to spoil a module file: its numbers, how many there are; large files, and what is no module at all."""

from __future__ import annotations

import json
import math
import struct
from random import Random

from .module_files import joined, module_seeds, parts

_ODD_FLOATS = (math.nan, math.inf, -math.inf, 3.4e38, -3.4e38, 1e-45, -0.0, 1e30)


def odd_numbers(chance: Random, data: bytes) -> bytes:
    """NaN, infinities, the largest and the smallest numbers."""
    header, body = parts(data)
    spoilt = bytearray(body)
    for _ in range(chance.choice([1, 1, 5])):
        where = 4 * chance.randrange(len(spoilt) // 4)
        spoilt[where : where + 4] = struct.pack("<f", chance.choice(_ODD_FLOATS))
    return joined(header, bytes(spoilt))


def other_numbers(chance: Random, data: bytes) -> bytes:
    """All numbers are random bytes, of any kind: most files of half precision can be read then."""
    header, body = parts(data)
    kind = chance.choice([None, "F16", "BF16"])
    size = 2 if kind else 4
    place, body = 0, b""
    for key, entry in header.items():
        if key != "__metadata__":
            count = math.prod(entry["shape"])
            # Exponents that make no NaN.
            numbers = b"".join(struct.pack("<f", chance.gauss(0, 1))[4 - size :] for _ in range(min(count, 300)))
            body += (numbers * (count * size // len(numbers) + 1))[: count * size]
            entry |= {"dtype": kind or entry["dtype"], "data_offsets": [place, place + count * size]}
            place += count * size
    if not kind and chance.random() < 0.5:
        body = chance.randbytes(len(body))
    return joined(header, body)


def many_concepts(chance: Random, data: bytes) -> bytes:
    """Thousands of tiny concepts, or of words of a probe."""
    header, _ = parts(data)
    respo = json.loads(header["__metadata__"]["respo"])
    count = chance.choice([60, 1000, 6000, 12_000])
    names = [f"c{number}" for number in range(count)]
    channels = respo["architecture"]["middle_channels"] = 1
    respo |= {"concepts": names}
    respo.pop("words", None)
    metadata = {**header["__metadata__"], "respo": json.dumps(respo, separators=(",", ":"))}
    entry = {"dtype": "F32", "shape": [channels, 1, 1]}
    kinds = (
        [f"{name}.responsible" for name in names]
        if chance.random() < 0.7
        else [f"probe:word_{i}" for i in range(count)]
    )
    tensors = {key: {**entry, "data_offsets": [4 * i, 4 * i + 4]} for i, key in enumerate(kinds)}
    text = json.dumps({"__metadata__": metadata, **tensors}, separators=(",", ":"))
    return joined(text, bytes(4 * count))


def small_factors(chance: Random, _: bytes) -> bytes:
    """Low-rank factors that stand for far more numbers than the file has."""
    header, _ = parts(module_seeds()[3])
    side, rank = chance.choice([16, 80, 150, 400, 1000]), chance.choice([1, 1, 3])
    count = chance.choice([1, 1, 2, 8])
    respo = json.loads(header["__metadata__"]["respo"]) | {"concepts": [f"c{i}" for i in range(count)]}
    tensors, place = {}, 0
    for i in range(count):
        for part in ("responsible", "semantic")[: chance.choice([1, 2])]:
            for key, shape in (("channels", [1280, rank]), ("space", [rank, side, side])):
                end = place + 4 * math.prod(shape)
                tensors[f"c{i}.{part}.{key}"] = {"dtype": "F32", "shape": shape, "data_offsets": [place, end]}
                place = end
    metadata = {**header["__metadata__"], "respo": json.dumps(respo)}
    return joined({"__metadata__": metadata, **tensors}, bytes(place))


def one_large(chance: Random, side: int, kind: str) -> tuple[bytes, int]:
    """A good file of one concept `[1280, side, side]`, zeros that are a hole on disk: its header, and its size."""
    header, _ = parts(module_seeds()[3])
    length = 1280 * side * side * (4 if kind == "F32" else 2)
    entry = {"dtype": kind, "shape": [1280, side, side], "data_offsets": [0, length]}
    data = joined({"__metadata__": header["__metadata__"], "no violence.responsible": entry}, b"")
    return data, len(data) + length + chance.choice([0, 0, 0, 1])


def crossed(chance: Random, data: bytes) -> bytes:
    """Half of this file, half of another one."""
    other = chance.choice(module_seeds())
    if chance.random() < 0.5:
        return joined(parts(data)[0], parts(other)[1])
    cut = chance.randrange(len(data))
    return data[:cut] + other[min(cut, len(other)) :]


def nothing_of_it(chance: Random, _: bytes) -> bytes:
    """Other things that bear the name: nothing, noise, JSON, an archive, a picture, a text in two encodings."""
    bodies = [b"", b"\0" * 9, chance.randbytes(chance.choice([1, 10, 5000])), b"{}", b'{"a": 1}', b"PK\3\4" + bytes(60)]
    bodies += [b"\x89PNG\r\n\x1a\n" + bytes(50), "﻿respo".encode("utf-16"), b"\x80\x02}q\0.", joined("{}", b"")]
    bodies += [
        joined("[]", b""),
        joined("null", b""),
        joined('"a"', b""),
        joined("\ud800", b""),
        b"\x1f\x8b\x08" + bytes(20),
    ]
    return chance.choice(bodies)
