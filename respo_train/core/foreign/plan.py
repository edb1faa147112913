"""Find out what a pickle of tensors would build, without building anything.

A strict interpreter of the few instructions that `torch.save` writes for named tensors. Everything else in a pickle,
above all calls of anything but PyTorch's own function for rebuilding a tensor, is refused here, before PyTorch sees the
file. Sizes are only compared, so a false one neither allocates memory nor reads out of bounds.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ModuleFileError

_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_DICT, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_MARK = object()


@dataclass(frozen=True)
class Stored:
    """`count` numbers, stored in the archive's member "data/<key>"."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True)
class Planned:
    """A tensor that would be built from stored numbers."""

    stored: Stored
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it is contiguous and within the stored numbers: not a view, no repetition, nothing out of bounds."""
        step, ordered = 1, True
        for size, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            ordered &= size == 1 or stride == step
            step *= size
        return ordered and self.offset + math.prod(self.shape) <= self.stored.count


@dataclass(frozen=True)
class _Global:
    name: str


class _Unfit(Exception):
    """Raised for anything that a state_dict of tensors does not contain."""


def plan(pickled: bytes) -> dict[str, Any]:
    """Return what the pickle would build: nested dicts of `Planned` tensors and of other values, which are ignored.

    Raises ModuleFileError for any other pickle, naming what was found.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            machine.step(opcode.name, argument)
        return _dict(machine.stack.pop())
    except _Unfit as error:
        raise ModuleFileError(
            f"expected a file of tensors and nothing else, found {error}. It was not run; take files of tensors only, "
            "as torch.save writes them of a state_dict."
        ) from error
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        raise ModuleFileError("the list of tensors in it is damaged. Get the file again.") from error


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSHES:
            self.stack.append(_PUSHES[name](argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _TUPLES:
            self.stack.append(tuple([self.stack.pop() for _ in range(_TUPLES[name])][::-1]))
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name not in ("PROTO", "STOP"):
            raise _Unfit(f"the instruction {name}")

    def since_mark(self) -> list[Any]:
        found = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def tuple_since_mark(self) -> None:
        self.stack.append(tuple(self.since_mark()))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [key, value])

    def set_items(self) -> None:
        items = self.since_mark()
        _put(self.stack[-1], items)

    def build(self) -> None:
        _dict(self.stack.pop())  # a state_dict's version metadata
        _dict(self.stack[-1])

    def persistent(self) -> None:
        match self.stack.pop():
            case ("storage", _Global(name), str(key), str(), int(count)) if name.removeprefix("torch ") in _STORAGES:
                self.stack.append(Stored(_STORAGES[name.removeprefix("torch ")], key, count))
            case other:
                raise _Unfit(f"an unknown kind of storage ({type(other).__name__})")

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        match function, arguments:
            case (_Global(name="collections OrderedDict"), ()):
                self.stack.append({})
            case (_Global(name="torch._utils _rebuild_parameter"), (Planned() as tensor, bool(), dict())):
                self.stack.append(tensor)
            case (
                _Global(name="torch._utils _rebuild_tensor_v2"),
                (Stored() as stored, int(offset), tuple(shape), tuple(stride), bool(), dict()),
            ) if offset >= 0 and len(shape) == len(stride) < 9 and _are_sizes(shape) and _are_sizes(stride):
                self.stack.append(Planned(stored, offset, shape, stride))
            case _:
                raise _Unfit("a tensor that is built in an unknown way")


def _global(name: str) -> _Global:
    kind, _, rest = name.partition(" ")
    if name not in (_DICT, _TENSOR, _PARAMETER) and not (kind == "torch" and rest in _STORAGES):
        raise _Unfit(f"a use of {name.replace(' ', '.')[:80]!r}")
    return _Global(name)


def _put(target: Any, items: list[Any]) -> None:
    values = _dict(target)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise _Unfit(f"a {type(key).__name__} as a name")
        if key in values:
            raise _Unfit(f"the name {key[:80]!r} twice")
        values[key] = value


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = "tensor without a name" if isinstance(value, Planned) else type(value).__name__.strip("_").lower()
        raise _Unfit(f"a {kind} in the place of named tensors")
    return value


def _are_sizes(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


_PUSHES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"), lambda value: value),
    "GLOBAL": _global,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: _MARK,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "NONE": lambda _: None,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "TUPLE": _Machine.tuple_since_mark,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.call,
}
