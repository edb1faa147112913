"""Ways to spoil the pickle inside a file of torch.save: programs, bombs, and tensors that lie."""

from __future__ import annotations

import collections
import io
import pickle
import struct
from collections.abc import Callable
from random import Random
from typing import Any

import torch

from .archive_files import FOLDER, TOUCHED, members_of, packed

_PICKLE = FOLDER + "data.pkl"


def with_pickle(data: bytes, pickled: bytes) -> bytes:
    """Put another pickle into a good archive."""
    return packed(list((members_of(data) | {_PICKLE: pickled}).items()))


# (module, name, arguments) of calls that a pickle may ask for.
_CALLS: tuple[tuple[str, str, tuple], ...] = (
    ("posix", "system", (f"touch {TOUCHED}",)),
    ("os", "system", (f"touch {TOUCHED}",)),
    ("builtins", "exec", (f"open({TOUCHED!r}, 'w')",)),
    ("builtins", "eval", (f"open({TOUCHED!r}, 'w')",)),
    ("builtins", "open", (TOUCHED, "w")),
    ("__builtin__", "eval", (f"open({TOUCHED!r}, 'w')",)),
    ("subprocess", "Popen", (["touch", TOUCHED],)),
    ("os", "mkdir", (TOUCHED,)),
    ("builtins", "getattr", (1, "real")),
    ("builtins", "bytearray", (2**40,)),
    ("torch", "zeros", (2**38,)),
    ("torch", "load", (TOUCHED,)),
    ("torch", "FloatTensor", (2**38,)),
    ("torch", "Tensor", (2**38,)),
    ("torch.storage", "UntypedStorage", (2**40,)),
    ("torch._utils", "_rebuild_tensor_v2", (1, 2, 3, 4, 5, 6)),
    ("torch._utils", "_rebuild_tensor", (1, 2, 3, 4)),
    ("torch._utils", "_rebuild_sparse_tensor", (1, 2)),
    ("torch._utils", "_rebuild_parameter", (1, 2, 3)),
    ("torch._tensor", "_rebuild_from_type_v2", (1, 2, 3, 4)),
    ("collections", "OrderedDict", ((1, 2, 3),)),
    ("collections", "Counter", ("a" * 1000,)),
    ("_codecs", "encode", ("a" * 10_000, "utf-32")),
    ("numpy._core.multiarray", "scalar", (1, b"")),
    ("numpy", "zeros", (2**38,)),
    ("functools", "partial", (1,)),
    ("nowhere", "nothing", ()),
    ("a" * 30_000, "b", ()),
)


class _Asks:
    """Pickled, it asks for a call that the pickler cannot look up: the names are put in afterwards."""

    def __init__(self, arguments: tuple):
        self.arguments = arguments

    def __reduce__(self) -> tuple:
        return collections.OrderedDict, self.arguments


def program(chance: Random, data: bytes) -> bytes:
    """A pickle that asks for a call: alone, as a key, as a value, as a state, among the tensors."""
    module, name, arguments = chance.choice(_CALLS)
    plain = pickle.dumps(_Asks(arguments), 2)
    call = plain.replace(b"ccollections\nOrderedDict\n", f"c{module}\n{name}\n".encode())[2:-1]
    if chance.random() < 0.2:  # protocol 4's way
        names = b"".join(b"X" + struct.pack("<I", len(text)) + text.encode() for text in (module, name))
        call = plain.replace(b"ccollections\nOrderedDict\n", names + b"\x93")[2:-1]
    own = members_of(data)[_PICKLE]
    places = [
        call,
        b"}" + b"X\1\0\0\0a" + call + b"s",
        b"}" + call + b"K\1s",
        b"}" + b"K\1" + call + b"b",
        call + b"0}",
    ]
    if chance.random() < 0.4:
        return with_pickle(data, own[:-1] + call + chance.choice([b"0.", b"b.", b"u.", b"\x86."]))
    return with_pickle(data, b"\x80\2" + chance.choice(places) + b".")


def pickle_bomb(chance: Random, data: bytes) -> bytes:
    """Pickles that would build far more than they are long, or go down without end."""
    doubled = b"\x80\2]q\0(K\1K\2e" + b"".join(
        b"]q" + bytes([i]) + b"(" + b"h" + bytes([i - 1]) + b"h" + bytes([i - 1]) + b"e" for i in range(1, 60)
    )
    depth = chance.choice([900, 5000, 60_000])
    far = struct.pack("<I", 2**32 - 1)
    bombs = [
        doubled + b".",
        b"\x80\2" + b"]" * depth + b"a" * (depth - 1) + b".",
        b"\x80\2" + b"}" + b"X\1\0\0\0a}" * depth + b"s" * depth + b".",
        b"\x80\2" + b"(" * depth + b"t" * depth + b".",
        b"\x80\2N" + b"\x85" * depth + b".",
        b"\x80\2}r" + far + b".",
        b"\x80\2}r" + struct.pack("<I", 2**28) + b".",
        b"\x80\2\x8b" + struct.pack("<i", 2**31 - 1) + b"a.",
        b"\x80\2X" + far + b"a.",
        b"\x80\4\x8d" + struct.pack("<Q", 2**62) + b"a.",
        b"\x80\4\x8e" + struct.pack("<Q", 2**62) + b"a.",
        b"\x80\4\x95" + struct.pack("<Q", 2**62) + b"}.",
        b"\x80\5\x96" + struct.pack("<Q", 2**40) + b"a.",
        b"\x80\2L" + b"9" * chance.choice([4000, 60_000]) + b"L\n.",
        b"\x80\2(" + b"K\1" * 30_000 + b"l.",
        b"\x80\2}" + b"2" * 60_000 + b".",
        b"\x80\2(Nd.",
        b"\x80" + bytes([chance.choice([0, 1, 3, 6, 200])]) + b"}.",
        b"\x80\2]q\0h\0a.",
        b"\x80\2}q\0X\1\0\0\0ah\0s.",
        b"}" * 65_000,
        b"",
        b".",
    ]
    return with_pickle(data, chance.choice(bombs))


def flipped_pickle(chance: Random, data: bytes) -> bytes:
    """Bits and bytes of a good pickle."""
    pickled = bytearray(members_of(data)[_PICKLE])
    for _ in range(chance.choice([1, 1, 2, 6])):
        where = chance.randrange(len(pickled))
        pickled[where] = chance.choice([pickled[where] ^ 1 << chance.randrange(8), *b"0(.Rbcqse}tN", 255])
    if chance.random() < 0.15:
        del pickled[chance.randrange(len(pickled)) :]
    return with_pickle(data, bytes(pickled))


class _Storage:
    """Stands for a storage in a pickle; what it says of itself may be anything."""

    def __init__(self, *says: Any):
        self.says = says


class _Tensor:
    """Pickled, it asks torch to rebuild a tensor of these arguments."""

    def __init__(self, rebuild: Callable, *arguments: Any):
        self.rebuild, self.arguments = rebuild, arguments

    def __reduce__(self) -> tuple:
        return self.rebuild, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value.says if isinstance(value, _Storage) else None


def pickled(value: Any) -> bytes:
    """Return the pickle that torch.save would write of tensors, true ones or lying."""
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


_KINDS = (torch.DoubleStorage, torch.LongStorage, torch.ByteStorage, torch.HalfStorage, torch.ComplexFloatStorage)
_NUMBERS: tuple[Any, ...] = (0, -1, 1, 2**31, 2**40, 2**63 - 1, 2**64, -(2**63), 3.5, None, "4", (), (1,))
_FC1, _FC2 = "controlnet.fc1.weight", "controlnet_residual.fc2.weight"


def lying_tensors(chance: Random, data: bytes) -> bytes:
    """Tensors whose shape, stride, offset, storage or keys are not what is there."""
    rows, columns = 1280 * 4, 10
    count = rows * columns
    storage: list[Any] = ["storage", torch.FloatStorage, "0", "cpu", count]
    tensor: list[Any] = [None, 0, (rows, columns), (columns, 1), False, collections.OrderedDict()]
    for _ in range(chance.choice([1, 1, 2])):
        if chance.random() < 0.4:
            at = chance.randrange(len(storage))
            odd = ["../version", "1", "99", "", "é", "meta", "cuda:0", torch.float32, *_KINDS]
            storage[at] = chance.choice([*_NUMBERS, *odd])
        else:
            at = chance.randrange(1, len(tensor))
            shapes = [
                (2**20, 2**20),
                (rows, columns, 1),
                (columns, rows),
                (rows * 2, columns),
                (0, 0),
                (),
                (-1, 2),
                [4, 4],
            ]
            strides = [(0, 0), (1, columns), (columns, 0), (-columns, 1), (2**40, 1), (columns,), [columns, 1]]
            tensor[at] = chance.choice([*_NUMBERS, *{2: shapes, 3: strides}.get(at, [True, {}, {"x": 1}])])
    tensor[0] = _Storage(*storage)
    rebuild = torch._utils._rebuild_tensor_v2
    true = _Tensor(
        rebuild,
        _Storage("storage", torch.FloatStorage, "1", "cpu", count),
        *tensor[1:2],
        (rows, columns),
        (columns, 1),
        False,
        collections.OrderedDict(),
    )
    return with_pickle(data, pickled({_FC1: _Tensor(rebuild, *tensor), _FC2: true}))


def other_states(chance: Random, data: bytes) -> bytes:
    """Good tensors under other keys, among other things, or at another depth."""
    rebuild, more = torch._utils._rebuild_tensor_v2, collections.OrderedDict()

    def tensor(key: str, rows: int = 1280 * 4, columns: int = 10) -> Any:
        stored = _Storage("storage", torch.FloatStorage, key, "cpu", rows * columns)
        return _Tensor(rebuild, stored, 0, (rows, columns), (columns, 1), False, more)

    state: dict[Any, Any] = {_FC1: tensor("0"), _FC2: tensor("1")}
    wrap: Any = state
    for _ in range(chance.choice([1, 2, 30])):
        wrap = {chance.choice(["state_dict", "model", ""]): wrap}
    options: list[Any] = [
        wrap,
        state | {"more": tensor("0")},
        state | {chance.choice([1, None, "epoch", (1, 2)]): chance.choice([1, 2.5, None, "x", b"x", [1], {}, True])},
        {_FC1: tensor("0")},
        {_FC2: tensor("1")},
        {_FC1: tensor("0"), _FC2: tensor("0")},
        {"concept_emb": tensor("0", 40, 1280)},
        {"concept_emb": tensor("0", 1280, 40)},
        {"module." + key: value for key, value in state.items()},
        {chance.choice(["", "a" * 30_000, "é\0", _FC1.upper()]): tensor("0")},
        list(state.values()),
        tensor("0"),
        [],
        None,
        {"a": state, "b": state},
    ]
    return with_pickle(data, pickled(chance.choice(options)))
