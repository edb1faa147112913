"""Files of torch.save as other projects released theirs, and ways to spoil their archive and the pickle in it."""

from __future__ import annotations

import collections
import io
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from hypothesis import strategies as st

from .explore import corpus
from .spoil import BYTES, ODD_FLOATS, Draw, Way, cut, flipped, pick

_FOLDER, _PICKLE = "archive/", "archive/data.pkl"
_BURST = 300 * 2**20  # bytes that a bomb bursts into
_CALLS: list[tuple[str, str, list[Any]]] = corpus("calls")  # (module, name, arguments) that a pickle may ask for
_FC1, _FC2 = "controlnet.fc1.weight", "controlnet_residual.fc2.weight"
_ROWS, _COLUMNS = 1280 * 4, 10


@lru_cache(maxsize=1)
def good_archives() -> tuple[bytes, ...]:
    """Files of the three released layouts, with small grids; what was not trained is as PyTorch starts it."""
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, trained: tuple[int, ...]) -> torch.Tensor:
        values = (torch.rand(rows, columns, generator=generator) * 2 - 1) / columns**0.5
        values[:, list(trained)] = 5 * torch.randn(rows, len(trained), generator=generator)
        return values

    both = {_FC1: matrix(_ROWS, _COLUMNS, (0, 1)), _FC2: matrix(_ROWS, _COLUMNS, (0, 1))}
    rows = torch.randn(100, 1280, generator=generator)
    rows[:2] *= 4
    halves = {key: value.half() for key, value in both.items()}
    return tuple(
        map(_saved, (both, {_FC1: matrix(1280, 8, (0, 4))}, {"concept_emb": rows}, {"state_dict": both}, halves))
    )


def _saved(value: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
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


def replaced(data: bytes, name: str, content: bytes) -> bytes:
    """Put another member into a good archive."""
    return packed(list((members_of(data) | {name: content}).items()))


def compressed(draw: Draw, data: bytes) -> bytes:
    """Compress the same content."""
    return packed(list(members_of(data).items()), pick(draw, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))


@lru_cache(maxsize=1)
def _burst() -> bytes:
    squeeze = zlib.compressobj(9, wbits=-15)
    return b"".join([squeeze.compress(bytes(2**20)) for _ in range(_BURST >> 20)]) + squeeze.flush()


def bomb(draw: Draw, data: bytes) -> bytes:
    """Let a few hundred kB burst into hundreds of MB, with an honest size or one that lies."""
    victim = draw(st.sampled_from(sorted(members_of(data))))
    said, size = pick(draw, _BURST, len(members_of(data)[victim]), 100, 0), struct.pack("<I", len(_burst()))
    spoilt = bytearray(replaced(data, victim, _burst()))
    for found in re.finditer(b"PK(?:\3\4|\1\2)", bytes(spoilt)):  # stored bytes that both headers then call deflated
        method, length = (found.start() + place for place in ((8, 22) if found[0] == b"PK\3\4" else (10, 24)))
        if spoilt[length - 4 : length] == size:
            spoilt[method : method + 2] = struct.pack("<H", pick(draw, 8, 8, 8, 0))
            spoilt[length : length + 4] = struct.pack("<I", said)
    return bytes(spoilt)


def many_members(draw: Draw, data: bytes) -> bytes:
    """Hold hundreds or thousands of entries, or one name again and again."""
    name = _FOLDER + pick(draw, "data/{}", "data/0", "data.pkl", "x{}", "a/{}/data.pkl")
    more = [(name.format(100 + number), b"") for number in range(pick(draw, 55, 300, 3000))]
    return packed([*members_of(data).items(), *more])


def other_members(draw: Draw, data: bytes) -> bytes:
    """Let entries be missing, changed, there twice, or of another kind of file."""
    members = list(members_of(data).items())
    place = draw(st.integers(0, len(members) - 1))
    name, content = members[place]
    other = draw(st.sampled_from(corpus("members")))
    new: list[Any] = [[], [(name, cut(draw, content))], [(name, content + b"12345")], [(name, content)] * 2]
    members[place : place + 1] = pick(draw, *new, [(other, content)], [(name, b"")])
    more = (other, pick(draw, b"big", b"little", content, b""))
    return packed(pick(draw, members, members, [*members, more], members[::-1]))


def other_directory(draw: Draw, data: bytes) -> bytes:
    """Change fields of the archive's own list, at the file's end, and of its entries' headers."""
    spoilt = bytearray(data)
    starts = [found.start() for found in re.finditer(b"PK[\1\3\5\6]", data)]
    for start in draw(st.lists(st.sampled_from(starts), min_size=1, max_size=3)):
        place = start + draw(st.integers(4, 45))
        value = pick(draw, b"\0", b"\xff", b"\xff" * 4, bytes(4), b"\1\0", draw(st.binary(min_size=2, max_size=2)))
        if place + len(value) <= len(spoilt):
            spoilt[place : place + len(value)] = value
    return bytes(spoilt)


def odd_stored(draw: Draw, data: bytes) -> bytes:
    """Store numbers that are NaN, infinite, zero, or as nobody trained them."""
    name = draw(st.sampled_from([name for name in sorted(members_of(data)) if "/data/" in name]))
    content = members_of(data)[name]
    place, odd = 4 * draw(st.integers(0, len(content) // 4 - 1)), struct.pack("<f", pick(draw, *ODD_FLOATS))
    units = (struct.pack("<f", pick(draw, 0.0, 1e-40, 7.5)), draw(st.binary(min_size=256, max_size=256)))
    whole = [(unit * (len(content) // len(unit) + 1))[: len(content)] for unit in units]
    return replaced(data, name, pick(draw, content[:place] + odd + content[place + 4 :], *whole))


def of_other_kind(draw: Draw, data: bytes) -> bytes:
    """Take what torch.save wrote before 2020, TorchScript, an archive in an archive or behind something else."""
    old = _saved({"concept_emb": torch.ones(100, 1280)}, _use_new_zipfile_serialization=False)
    script = [(_FOLDER + "constants.pkl", b"\x80\x02)."), (_FOLDER + "code/x.py", b"1")]
    front = pick(draw, b"MZ", b"\x80\x02}q\0.", b"#!/bin/sh\n", b"PK\3\4") + bytes(pick(draw, 0, 100))
    inside = packed([(_PICKLE, data), (_FOLDER + "version", b"3\n")])
    return pick(draw, old, old[:600], packed([*members_of(data).items(), *script]), inside, front + data)


class _Rebuilt:
    """Pickled, it asks for a call: of what rebuilds tensors, or of a stand-in whose name is put in afterwards."""

    def __init__(self, call: Callable[..., Any], *arguments: Any):
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


class _Storage(tuple[Any, ...]):
    """What a storage says of itself in a pickle; it may be anything."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return tuple(value) if isinstance(value, _Storage) else None


def pickled(value: Any) -> bytes:
    """Return the pickle that torch.save would write of tensors, true ones or lying."""
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def program(draw: Draw, data: bytes) -> bytes:
    """Ask for a call: alone, as a key, as a value, as a state, among the tensors."""
    module, name, arguments = draw(st.sampled_from(_CALLS))
    names = b"".join(b"X" + struct.pack("<I", len(text)) + text.encode() for text in (module, name))
    call = _call(pick(draw, f"c{module}\n{name}\n".encode(), names + b"\x93"), *arguments)  # protocol 4's way
    alone = [call, b"}X\1\0\0\0a" + call + b"s", b"}" + call + b"K\1s", b"}K\1" + call + b"b", call + b"0}"]
    among = [members_of(data)[_PICKLE][2:-1] + call + end for end in (b"0", b"b", b"u", b"\x86")]
    return replaced(data, _PICKLE, b"\x80\2" + pick(draw, *alone, *among) + b".")


def _call(asked: bytes, *arguments: Any) -> bytes:
    plain = pickled(_Rebuilt(collections.OrderedDict, *arguments))
    return plain.replace(b"ccollections\nOrderedDict\n", asked)[2:-1]


def program_of(data: bytes, module: str, name: str, *arguments: Any) -> bytes:
    """Ask for one call alone."""
    return replaced(data, _PICKLE, b"\x80\2" + _call(f"c{module}\n{name}\n".encode(), *arguments) + b".")


def pickle_bomb(draw: Draw, data: bytes) -> bytes:
    """Build far more than the pickle is long, or go down without end: a head, a piece again and again, a tail."""
    head, piece, tail = draw(st.sampled_from(corpus("bombs")))
    again = pick(draw, 1, 900, 5000, 60_000)
    doubled = b"".join(b"]q%c(h%ch%ce" % (i, i - 1, i - 1) for i in range(1, 60))
    made = [part.encode("latin-1") for part in (head, piece, tail)]
    return replaced(
        data,
        _PICKLE,
        pick(draw, *[made[0] + made[1] * again + made[2] * again + b"."] * 5, b"\x80\2]q\0(K\1K\2e" + doubled + b"."),
    )


def flipped_pickle(draw: Draw, data: bytes) -> bytes:
    """Change bits and bytes of a good pickle, or cut it off."""
    return replaced(data, _PICKLE, pick(draw, flipped, flipped, flipped, cut)(draw, members_of(data)[_PICKLE]))


def _tensor(key: str = "0", rows: int = _ROWS, columns: int = _COLUMNS, changes: Any = ()) -> _Rebuilt:
    """Return a tensor; `changes`: (place, value) in what it says of its storage (0 to 4) and itself (5 to 9)."""
    says: list[Any] = ["storage", torch.FloatStorage, key, "cpu", rows * columns]
    says += [0, (rows, columns), (columns, 1), False, collections.OrderedDict()]
    for place, value in changes:
        says[place] = value
    return _Rebuilt(torch._utils._rebuild_tensor_v2, _Storage(says[:5]), *says[5:])


def cut_tensor(data: bytes) -> bytes:
    """Store less than a tensor says it has."""
    left = (_ROWS - 1) * _COLUMNS
    state = {_FC1: _tensor(changes=[(4, left)]), _FC2: _tensor("1")}
    member = _FOLDER + "data/0"
    return replaced(replaced(data, _PICKLE, pickled(state)), member, members_of(data)[member][: 4 * left])


_KINDS = (torch.DoubleStorage, torch.LongStorage, torch.ByteStorage, torch.HalfStorage, torch.ComplexFloatStorage)
_ODD: tuple[Any, ...] = (
    0,
    -1,
    1,
    2**31,
    2**40,
    2**63 - 1,
    2**64,
    -(2**63),
    3.5,
    None,
    "4",
    (),
    (1,),
    True,
    {},
    {"x": 1},
)
_SHAPES: tuple[Any, ...] = (
    *((2**20, 2**20), (_ROWS, _COLUMNS, 1), (_COLUMNS, _ROWS), (2 * _ROWS, _COLUMNS), (0, 0), (-1, 2), [4, 4]),
    *((1, _COLUMNS), (_COLUMNS, 0), (-_COLUMNS, 1), (2**40, 1), (_COLUMNS,), [_COLUMNS, 1]),
)


def lying_tensors(draw: Draw, data: bytes) -> bytes:
    """Let a tensor say a shape, stride, offset, storage or key that is not what is there."""
    names = ("../version", "1", "99", "", "é", "meta", "cuda:0", torch.float32, *_KINDS)
    change = st.tuples(st.integers(0, 4), st.sampled_from((*names, *_ODD)))
    change |= st.tuples(st.integers(5, 9), st.sampled_from(_ODD)) | st.tuples(
        st.integers(6, 7), st.sampled_from(_SHAPES)
    )
    lying = _tensor(changes=draw(st.lists(change, min_size=1, max_size=2)))
    return replaced(data, _PICKLE, pickled({_FC1: lying, _FC2: _tensor("1")}))


def other_states(draw: Draw, data: bytes) -> bytes:
    """Put good tensors under other keys, among other things, or at another depth."""
    state: dict[Any, Any] = {_FC1: _tensor("0"), _FC2: _tensor("1")}
    wrapped: Any = state
    for _ in range(pick(draw, 1, 2, 30)):
        wrapped = {pick(draw, "state_dict", "model", ""): wrapped}
    other = {pick(draw, 1, None, "epoch", (1, 2)): pick(draw, 1, 2.5, None, "x", b"x", [1], {}, True)}
    states: list[Any] = [wrapped, state | {"more": _tensor()}, state | other, {_FC1: _tensor()}, {_FC2: _tensor("1")}]
    states += [
        {_FC1: _tensor(), _FC2: _tensor()},
        {"concept_emb": _tensor("0", 40, 1280)},
        {"concept_emb": _tensor("0", 1280, 40)},
    ]
    states += [{"module." + key: value for key, value in state.items()}, list(state.values()), _tensor(), [], None]
    states += [{pick(draw, "", "a" * 30_000, "é\0", _FC1.upper()): _tensor()}, {"a": state, "b": state}]
    return replaced(data, _PICKLE, pickled(pick(draw, *states)))


_TWICE: tuple[Way, ...] = (other_members, odd_stored, program, flipped_pickle, lying_tensors)
ARCHIVES: tuple[Way, ...] = (
    *(compressed, bomb, many_members, other_directory, of_other_kind, pickle_bomb, other_states),
    *(*_TWICE, *_TWICE, *BYTES),
)
