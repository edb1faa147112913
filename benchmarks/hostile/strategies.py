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
_PIECES = corpus("pieces")
_ODD, _SIZES = _PIECES["floats"], _PIECES["sizes"]
_MOST = 2**21  # bytes of repeated pieces: this process holds every file of a search
_HEADS = [*(text.encode("latin-1") for text in _PIECES["heads"]), *(struct.pack("<f", one) for one in _ODD)]
_HEADS += [struct.pack("<Q", one)[:size] for one in _SIZES for size in (8, 4)]
# JSON without bottom, or of some MB, by a number.
_HUGE = st.sampled_from(
    [
        lambda n: "[" * n + "]" * n,
        lambda n: '{"a":' * n + "1" + "}" * n,
        lambda n: "[" * n,
        lambda n: f'"{"a" * n}"',
        lambda n: f"[{'0,' * n}0]",
        lambda n: json.dumps(dict.fromkeys(range(n // 10), 0)),
    ]
)
_LENGTHS = st.sampled_from([500, 20_000, 300_000, 1_100_000])
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[^\s,:\]}"]+')  # where a value of JSON or a key begins


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
    text, encodings = data.decode(), st.sampled_from(["utf-8"] * 4 + ["utf-16", "utf-7", "latin-1"])
    odd = one_of(st.sampled_from(corpus("texts")), st.text(max_size=9))
    lines = spliced(text.splitlines(keepends=True), odd.map(lambda line: [f"{line}\n"])).map("".join)
    return st.builds(lambda text, how: text.encode(how, "replace"), one_of(spliced(text, odd), lines), encodings)


def _parts(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where each value, key, and pair of both in some JSON starts and ends, and a value's key."""
    before, key = None, "name"
    for start in (found.start() for found in _TOKEN.finditer(text)):
        value, end = json.JSONDecoder().raw_decode(text, start)
        yield start, end, key
        if before is not None:
            yield before, end, ""
        before, key = (start, value) if text[end:].lstrip().startswith(":") else (None, "name")


@st.composite
def spoilt_json(draw: st.DrawFn, text: str) -> str:
    """Spoil JSON, and JSON in texts of it, in one to three places: another value, none, another name, one twice."""
    parts, found = list(_parts(text)), text
    parts += [part for part in parts if text[part[0] :].startswith('"{')] * (len(parts) // 4)
    for start, end, key in sorted(draw(st.lists(st.sampled_from(parts), min_size=1, max_size=3)), reverse=True):
        old, before, after = text[start:end], found[:start], found[end:]
        way = draw(st.sampled_from(["put", "put", "near", "near", "drop", "twice"] if key else ["drop", "twice"]))
        if way in ("near", "twice") and old.startswith('"{'):
            new = json.dumps(draw(spoilt_json(json.loads(old))))
        elif way == "near" and old.isdigit():
            new = str(int(old) + draw(st.sampled_from([1, -1, 4, -4, 8, int(old), -2 * int(old) - 1])))
        elif way == "drop":
            new, before = "", before if after[:1] == "," else before.rstrip(" ,\n")
            after = after.removeprefix(",")
        elif way == "twice":
            first, last, _ = draw(one_of(st.just((start, end, key)), st.sampled_from(parts)))
            new = f"{text[first:last]},{old}"
        else:  # what the key's value nearly is, by the corpus
            near = st.sampled_from(corpus("values").get(key, []) + corpus("values")[""]).map(json.dumps)
            new = draw(one_of(near, near, near, near, st.builds(lambda form, n: form(n), _HUGE, _LENGTHS)))
        found = before + new + after
    return found


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


def _as_text(data: bytes) -> bytes:
    """Return bytes as a module's text, with the right hash."""
    return f"{PREFIX}:{hashlib.sha256(data).hexdigest()}:{base64.b64encode(zlib.compress(data, 9)).decode()}".encode()


def _pushed(value: Any) -> bytes:
    """Return the instructions that make a value, with a tuple for each list."""
    return pickle.dumps(_tuples(value), 2)[2:-1]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _pickle(data: bytes) -> Bytes:
    """Put other instructions in the place of some: odd values, calls, storages, or its own again."""
    starts = [place for *_, place in pickletools.genops(data) if place is not None]
    whole = [data[start:end] for start, end in itertools.pairwise([*starts, len(data)])]
    pieces = [*whole, *map(_pushed, [*_SIZES, *_PIECES["pushed"]]), pickle.dumps([4], 2)[2:-1]]
    pieces += [f"c{module}\n{name}\n".encode() + _pushed(given) + b"R" for module, name, given in corpus("calls")]
    pieces += [f"ctorch\n{kind}Storage\n".encode() for kind in _PIECES["storages"]]
    other = st.sampled_from([[piece] for piece in pieces])
    once = spliced(whole, other)
    return one_of(once, once.flatmap(lambda found: spliced(found, other))).map(b"".join)


@st.composite
def _archive(draw: st.DrawFn, data: bytes) -> bytes:
    """Let an archive's members be spoilt, missing, there twice, of other names, or compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    more = st.tuples(st.sampled_from(corpus("members")), st.sampled_from([b"", b"big", b"little", members[0][1]]))
    if draw(st.integers(0, 4)):
        program = [name.endswith(".pkl") for name, _ in members].index(True)
        at = draw(one_of(st.integers(0, len(members) - 1), st.just(program)))
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
        return [_archive(data)]
    if data.startswith(f"{PREFIX}:".encode()):
        return [_text(data), spoilt(zlib.decompress(base64.b64decode(data.split(b":")[2]))).map(_as_text)]
    if data[8:9] == b"{":
        text, body = _split(data)
        return [spoilt_json(text).map(lambda found: _joined(found, body)), _tensors(data)]
    with contextlib.suppress(ValueError):
        json.loads(data)
        return [spoilt_json(data.decode()).map(lambda found: found.encode(errors="surrogatepass"))]
    with contextlib.suppress(ValueError):
        return [_text(data)]  # decodes it
    return []


def spoilt(data: bytes) -> Bytes:
    """Return a good file with something wrong, and sometimes with a little more."""
    once = one_of(*_formats(data) * 3, _bytes(data))
    return one_of(once, once, once, once.flatmap(_bytes))
