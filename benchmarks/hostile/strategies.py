"""Files with something wrong, as Hypothesis strategies: one way to spoil a sequence, and formats made of sequences.

A sequence is a file's bytes, the characters or lines of a text, the members of an archive, a pickle's instructions.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import json
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import safetensors.torch
import torch
from hypothesis import strategies as st

from respo_train.core.files.text_form import PREFIX

from .corpus import corpus

Bytes = st.SearchStrategy[bytes]
_ODD = [float("nan"), float("inf"), -float("inf"), 3.4e38, 1e-45, 1e-40, -0.0, 7.5, 1e30]
_MOST = 2**21  # bytes of repeated pieces: this process holds every file of a search
_SIZES = [0, 1, 2, 100, 2**20 + 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
_HEADS = [
    b"\0" * 9,
    b"{}",
    b'"',
    b"PK\3\4",
    b"\x89PNG\r\n\x1a\n",
    b"\x80\x02}q\0.",
    b"\x1f\x8b\x08",
    b"\xff",
    b"\xff\xfer",
]
_HEADS += [*(struct.pack("<Q", one)[:size] for one in _SIZES for size in (8, 4)), *(struct.pack("<f", x) for x in _ODD)]
# What stands in a pickle: numbers, texts, sizes, kinds of storages, calls.
_PUSHED = (*_SIZES, -1, 3.5, None, True, "4", "../version", "é", (), (2**20, 2**20), (-1, 2), (2**40, 1), [4], {"x": 1})
_STORAGES = ("Half", "Double", "Byte", "ComplexFloat", "Untyped")
# JSON without bottom, or of some MB, by a number.
_HUGE = [
    lambda n: "[" * n + "]" * n,
    lambda n: '{"a":' * n + "1" + "}" * n,
    lambda n: "[" * n,
    lambda n: f'"{"a" * n}"',
    lambda n: f"[{'0,' * n}0]",
    lambda n: json.dumps(dict.fromkeys(range(n // 10), 0)),
]


def one_of(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return one of the strategies, each as likely, whatever it is made of: Hypothesis's would count the parts."""
    return st.sampled_from(strategies).flatmap(lambda chosen: chosen)


@st.composite
def spliced(draw: st.DrawFn, whole: Any, pieces: st.SearchStrategy[Any], marks: Sequence[int] = ()) -> Any:
    """Put a piece, a part of its own or nothing in the place of a part of a sequence, once or thousands of times.

    `marks`: places from which a few steps lead to something that matters.
    """
    size = len(whole)
    places = [st.integers(0, size), st.integers(0, min(size, 64)), st.just(size)]
    places += [st.builds(int.__add__, st.sampled_from(marks), st.integers(4, 45))] * 3 if marks else []
    start, other = (min(draw(one_of(*places)), size) for _ in range(2))
    piece = draw(one_of(pieces, pieces, st.sampled_from([whole[:0], whole[start:other], whole[other : other + 1]])))
    end = draw(st.sampled_from([start, start + 1, *[start + len(piece)] * 3, other, size]))
    times = draw(st.sampled_from([1, 1, 1, 1, 1, 200, 3000, 20_000])) if len(piece) < 50 else 1
    times = max(1, min(times, _MOST // max(1, _weight(piece))))
    return whole[:start] + piece * times + whole[max(start, end) :]


def _weight(piece: Any) -> int:
    """Return the bytes or characters of a sequence, those of its parts included: an instruction may hold 100,000."""
    return len(piece) if isinstance(piece, (bytes, str)) else sum(map(_weight, piece))


def _bytes(data: bytes) -> Bytes:
    marks = [found.start() for found in re.finditer(b"PK[\1\3\5\6]", data)]
    return spliced(data, one_of(st.sampled_from(_HEADS), st.binary(min_size=1, max_size=8)), marks)


def _numbers(data: bytes) -> Bytes:
    place, odd = st.integers(0, max(0, len(data) // 4 - 1)), st.sampled_from(_ODD)
    return st.builds(lambda at, one: data[: 4 * at] + struct.pack("<f", one) + data[4 * at + 4 :], place, odd)


def _text(data: bytes) -> Bytes:
    text, encodings = data.decode(), ["utf-8"] * 4 + ["utf-16", "utf-7", "latin-1"]
    odd = one_of(st.sampled_from(corpus("texts")), st.text(max_size=9))
    lines = spliced(text.splitlines(keepends=True), odd.map(lambda line: [f"{line}\n"])).map("".join)
    found = one_of(spliced(text, odd), lines)
    return st.builds(lambda text, how: text.encode(how, "replace"), found, st.sampled_from(encodings))


class _Pairs(list[Any]):
    """An object of JSON as lists of a key and a value, so that a key can stand in it twice."""


class _Raw(str):
    """Text that stands for some JSON."""


def _written(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "{" + ",".join(":".join(map(_written, pair)) for pair in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return value if isinstance(value, _Raw) else json.dumps(value)


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list) and value:
        yield value
        yield from itertools.chain.from_iterable(map(_lists, value))


@st.composite
def spoilt_json(draw: st.DrawFn, text: str) -> str:
    """Spoil JSON, and JSON in texts of it, in one to three places: another value, none, another name, one twice."""
    root: list[Any] = [json.loads(text, object_pairs_hook=lambda pairs: _Pairs(map(list, pairs)))]
    huge = st.builds(
        lambda form, n: form(n), st.sampled_from(_HUGE), st.sampled_from([500, 20_000, 300_000, 1_100_000])
    )
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        holder = draw(st.sampled_from(list(_lists(root))))
        at = draw(st.integers(0, len(holder) - 1))
        old, way = holder[at], draw(st.sampled_from(["put", "put", "near", "near", "drop", "twice"]))
        if way == "near" and type(old) is str and old.startswith("{"):
            holder[at] = draw(spoilt_json(old))
        elif way == "near" and type(old) is int:
            holder[at] = old + draw(st.sampled_from([1, -1, 4, -4, 8, old, -2 * old - 1]))
        elif way == "drop" and holder is not root:
            del holder[at]
        elif way == "twice":
            holder.insert(at, draw(st.sampled_from(holder)))
        else:  # what the key's value nearly is, by the corpus
            near = corpus("values").get(str(holder[0]) if at else "name", []) + corpus("values")[""]
            holder[at] = _Raw(draw(one_of(*[st.sampled_from(near).map(json.dumps)] * 4, huge)))
    return _written(root[0])


def _split(data: bytes) -> tuple[str, bytes]:
    end = 8 + int.from_bytes(data[:8], "little")
    return data[8:end].decode(), data[end:]


def _joined(text: str, body: bytes) -> bytes:
    header = text.encode(errors="surrogatepass")
    return struct.pack("<Q", len(header)) + header + body


@st.composite
def _tensors(draw: st.DrawFn, data: bytes) -> bytes:
    """Let tensors have other shapes, kinds, names or odd numbers, in a file that is otherwise as it should be."""
    tensors, about = safetensors.torch.load(data), json.loads(_split(data)[0]).get("__metadata__")
    names = [name for name in corpus("values")["name"] if name.isprintable()]
    for key in draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3, unique=True)):
        old = tensors.pop(key)
        rows = old.reshape(len(old), -1) if old.ndim else old.reshape(1, 1)
        shaped = [*[old] * 6, old.reshape(old.shape[::-1]), old.flatten(), old[..., None], old[None], rows[:-1], rows]
        new = draw(st.sampled_from([*shaped, torch.cat([rows, rows[:1]]), rows[:, :7]])).clone()
        kind = draw(st.sampled_from([new.dtype] * 3 + [torch.float16, torch.bfloat16, torch.float64, torch.int64]))
        if new.is_floating_point():
            for place in draw(st.lists(st.integers(0, new.numel() - 1), max_size=3)) if new.numel() else ():
                new.view(-1)[place] = draw(st.sampled_from(_ODD))
            new = new.to(kind)
        tensors |= {draw(st.sampled_from([key] * 8 + sorted(tensors) + names)): new} if draw(st.integers(0, 9)) else {}
    text, body = _split(safetensors.torch.save({key: own.contiguous() for key, own in tensors.items()}, about))
    return _joined(json.dumps(json.loads(text), sort_keys=True), body)  # the library's order is another one each time


def as_text(data: bytes) -> bytes:
    """Return bytes as a module's text, with the right hash."""
    return f"{PREFIX}:{hashlib.sha256(data).hexdigest()}:{base64.b64encode(zlib.compress(data, 9)).decode()}".encode()


def _call(module: str, name: str, arguments: list[Any]) -> bytes:
    given = tuple(tuple(one) if isinstance(one, list) else one for one in arguments)
    return f"c{module}\n{name}\n".encode() + pickle.dumps(given, 2)[2:-1] + b"R"


def _pickle(data: bytes) -> Bytes:
    """Put other instructions in the place of some: odd values, calls, storages, or its own again."""
    starts = [place for *_, place in pickletools.genops(data) if place is not None]
    whole = [data[start:end] for start, end in itertools.pairwise([*starts, len(data)])]
    pieces = [*(pickle.dumps(value, 2)[2:-1] for value in _PUSHED), *(_call(*call) for call in corpus("calls"))]
    pieces += [*whole, *(f"ctorch\n{kind}Storage\n".encode() for kind in _STORAGES)]
    other = st.sampled_from([[piece] for piece in pieces])
    once = spliced(whole, other)
    return one_of(once, once.flatmap(lambda found: spliced(found, other))).map(b"".join)


@st.composite
def _archive(draw: st.DrawFn, data: bytes) -> bytes:
    """Let an archive's members be spoilt, missing, there twice, of other names, or compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    more = st.tuples(st.sampled_from(corpus("members")), st.sampled_from([b"", b"big", b"little", members[0][1]]))
    at = draw(st.integers(0, len(members) - 1))
    if draw(st.integers(0, 4)):
        at = draw(st.sampled_from([at, [name.endswith(".pkl") for name, _ in members].index(True)]))
        name, old = members[at]
        members[at] = name, draw(one_of(*[_pickle(old) if ".pkl" in name else _numbers(old)] * 2, _bytes(old)))
    else:
        members = draw(one_of(spliced(members, more.map(lambda member: [member])), st.permutations(members)))
    file, method = io.BytesIO(), draw(st.sampled_from([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile finds twice the same name odd, and so it is
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def _formats(data: bytes) -> list[Bytes]:
    """Return ways to spoil a good file as what it is, apart from its bytes."""
    if data.startswith(b"PK"):
        return [_archive(data)] * 3
    if data.startswith(f"{PREFIX}:".encode()):
        inside = zlib.decompress(base64.b64decode(data.split(b":")[2]))
        return [_text(data), *[spoilt(inside).map(as_text)] * 2]
    if data[8:9] == b"{":
        text, body = _split(data)
        return [*[spoilt_json(text).map(lambda found: _joined(found, body))] * 3, *[_tensors(data)] * 3]
    with contextlib.suppress(ValueError):
        json.loads(data)
        return [spoilt_json(data.decode()).map(lambda found: found.encode(errors="surrogatepass"))] * 3
    with contextlib.suppress(ValueError):
        data.decode()
        return [_text(data)] * 3
    return []


def spoilt(data: bytes) -> Bytes:
    """Return a good file with something wrong, and sometimes with a little more."""
    once = one_of(*_formats(data), _bytes(data))
    return one_of(once, once, once, once.flatmap(_bytes))
