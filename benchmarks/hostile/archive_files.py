"""Files of torch.save as other projects released theirs, and ways to spoil their archive and the pickle in it."""

from __future__ import annotations

import io
import itertools
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from functools import lru_cache
from typing import Any

import torch
from hypothesis import strategies as st

from .explore import corpus
from .spoil import BYTES, ODD_FLOATS, Draw, Way, cut, flipped, pick

_FOLDER, _PICKLE = "archive/", "archive/data.pkl"
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


def packed(members: list[tuple[Any, ...]]) -> bytes:
    """Make an archive of (name, content) or (name, content, compression); a name may stand in it twice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile finds twice the same name odd, and so it is
        for name, content, *compression in members:
            archive.writestr(zipfile.ZipInfo(name), content, *compression)
    return file.getvalue()


def replaced(data: bytes, name: str, content: bytes) -> bytes:
    """Put another member into a good archive."""
    return packed(list((members_of(data) | {name: content}).items()))


def compressed(data: bytes) -> list[bytes]:
    """Compress all members, or just one that gets longer by it: then no size is suspicious."""
    members, methods = members_of(data), (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    whole = [packed([(*member, method) for member in members.items()]) for method in methods]
    version = zipfile.ZIP_DEFLATED
    return [*whole, packed([(*member, version * member[0].endswith("version")) for member in members.items()])]


def bombs(data: bytes) -> list[bytes]:
    """Let a member of some 100 kB burst into 300 MB, and say that it has so many bytes, or fewer."""
    found, burst = [], 300 * 2**20
    for victim in ("data/0", "data.pkl"):
        one = (_FOLDER + victim, bytes(burst), zipfile.ZIP_DEFLATED)
        made = packed([one if one[0] == name else (name, content) for name, content in members_of(data).items()])
        found += [made.replace(struct.pack("<I", burst), struct.pack("<I", said)) for said in (burst, 100, 0)]
    return found


def of_other_kinds(data: bytes) -> list[bytes]:
    """Return what torch.save wrote before 2020, TorchScript, an archive in an archive or behind something else."""
    old = _saved({"concept_emb": torch.ones(100, 1280)}, _use_new_zipfile_serialization=False)
    script = [(_FOLDER + "constants.pkl", b"\x80\x02)."), (_FOLDER + "code/x.py", b"1")]
    inside = packed([(_PICKLE, data), (_FOLDER + "version", b"3\n")])
    return [old, old[:600], packed([*members_of(data).items(), *script]), inside, b"MZ" + data, bytes(100) + data]


def crowded(data: bytes) -> list[bytes]:
    """Return archives of thousands of entries, or of one name again and again."""
    names = [_FOLDER + name for name in ("data/{}", "data/0", "data.pkl", "x{}", "a/{}/data.pkl")]
    more = [[(name.format(100 + number), b"") for number in range(3000)] for name in names]
    return [packed([*members_of(data).items(), *entries]) for entries in more]


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


def other_pickle(draw: Draw, data: bytes) -> bytes:
    """Put other instructions in the place of some of the pickle's: odd values, calls, storages, or its own again."""
    pickled = members_of(data)[_PICKLE]
    starts = [place for *_, place in pickletools.genops(pickled) if place is not None]
    whole = [pickled[start:end] for start, end in itertools.pairwise([*starts, len(pickled)])]
    for place in draw(st.lists(st.integers(1, len(whole) - 1), min_size=1, max_size=3)):
        other = draw(st.sampled_from((*_PIECES, b"", *whole)))
        whole[place] = pick(draw, other, other + whole[place])
    return replaced(data, _PICKLE, b"".join(whole))


def flipped_pickle(draw: Draw, data: bytes) -> bytes:
    """Change bits and bytes of a good pickle, or cut it off."""
    return replaced(data, _PICKLE, pick(draw, flipped, cut)(draw, members_of(data)[_PICKLE]))


def pickle_bombs(data: bytes) -> list[bytes]:
    """Build far more than the pickle is long, or go down without end: a head, a piece again and again, a tail."""
    doubled = b"".join(b"]q%c(h%ch%ce" % (i, i - 1, i - 1) for i in range(1, 60))
    made = [[part.encode("latin-1") for part in parts] for parts in corpus("bombs")]
    bombs = [head + piece * again + tail * again for head, piece, tail in made for again in (1, 900, 20_000)]
    return [replaced(data, _PICKLE, bomb + b".") for bomb in (*bombs, b"\x80\2]q\0(K\1K\2e" + doubled)]


def programs(data: bytes) -> list[bytes]:
    """Ask for a call: alone, as a key, as a value, as a state, behind the tensors."""
    call, good = _CALLS[0], members_of(data)[_PICKLE][2:-1]
    asked = [call, b"}X\1\0\0\0a" + call + b"s", b"}" + call + b"K\1s", b"}K\1" + call + b"b", call + b"0}"]
    return [replaced(data, _PICKLE, b"\x80\2" + one + b".") for one in (*asked, good + call + b"0")]


def cut_tensor(data: bytes) -> bytes:
    """Store less than a tensor says it has."""
    left, member = (_ROWS - 1) * _COLUMNS, _FOLDER + "data/0"
    said, says = (b"M" + struct.pack("<H", count) for count in (_ROWS * _COLUMNS, left))
    data = replaced(data, _PICKLE, members_of(data)[_PICKLE].replace(said, says, 1))
    return replaced(data, member, members_of(data)[member][: 4 * left])


def other_states(data: bytes) -> list[bytes]:
    """Put good tensors under other keys, among other things, or at another depth."""
    state: dict[Any, Any] = torch.load(io.BytesIO(data), weights_only=True)
    one, deep = state[_FC1], state
    for _ in range(30):
        deep = {"state_dict": deep}
    others: list[dict[Any, Any]] = [
        {1: 1},
        {None: None},
        {"epoch": 2.5},
        {(1, 2): b"x"},
        {"epoch": [1]},
        {"epoch": {}},
        {"more": one},
    ]
    states: list[Any] = [
        deep,
        {"model": state},
        {"": state},
        {"a": state, "b": state},
        *(state | more for more in others),
    ]
    states += [
        {_FC1: one},
        {_FC2: one},
        {_FC1: one, _FC2: one},
        {"module." + key: value for key, value in state.items()},
    ]
    states += [{"concept_emb": one.reshape(shape)} for shape in ((40, 1280), (1280, 40))]
    states += [{_FC1: one.to(kind), _FC2: one} for kind in (torch.float64, torch.int64, torch.complex64, torch.bool)]
    states += [{_FC1: one.reshape(-1, 5120).T, _FC2: one}, {_FC1: one[:0]}, [one], one, [], None]
    return [*map(_saved, states), *(_saved({key: one}) for key in ("", "a" * 30_000, "é\0", _FC1.upper()))]


def _call(module: str, name: str, arguments: list[Any]) -> bytes:
    given = tuple(tuple(one) if isinstance(one, list) else one for one in arguments)
    return f"c{module}\n{name}\n".encode() + pickle.dumps(given, 2)[2:-1] + b"R"


_CALLS = [_call(*call) for call in corpus("calls")]  # that a pickle may ask for
_NUMBERS = (0, -1, 1, 2**31, 2**40, 2**63 - 1, 2**64, -(2**63), 3.5, None, True)
_OTHERS = ("4", "../version", "99", "é", "meta", (), (1,), (2**20, 2**20), (-1, 2), (2**40, 1), [4, 4], {"x": 1})
_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Byte", "ComplexFloat", "Untyped")
_PIECES = (
    *(pickle.dumps(value, 2)[2:-1] for value in (*_NUMBERS, *_OTHERS)),
    *(f"ctorch\n{name}Storage\n".encode() for name in _STORAGES),
    *_CALLS,
)
ARCHIVES: tuple[Way, ...] = (
    *(other_members, other_directory, odd_stored, other_pickle, other_pickle, flipped_pickle),
    *BYTES,
)
