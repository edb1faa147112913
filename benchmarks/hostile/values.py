"""What a stranger may write where a workflow's JSON holds a value, as hypothesis strategies.

Large values are kept as small recipes (`Long`, `Nested`, `Via`), which `spell` turns into JSON's text: they stay
readable in a failing example.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

LARGE = 10_000_000
ESCAPE = "respo_canary_escape"  # the name of what must never come to be
_PRIMITIVES = {"STRING": "PrimitiveString", "INT": "PrimitiveInt", "FLOAT": "PrimitiveFloat"}
_PRIMITIVES |= {"BOOLEAN": "PrimitiveBoolean"}
_MARK = "@@nested {} {}@@"


@dataclass(frozen=True)
class Long:
    """`unit`, repeated up to `length` characters."""

    unit: str
    length: int


@dataclass(frozen=True)
class Nested:
    """A list or an object inside another, `depth` times: deeper than Python's own writer of JSON goes."""

    kind: str  # "list" or "object"
    depth: int


@dataclass(frozen=True)
class Via:
    """A value that comes by a link of the right type: no widget's limits apply to it."""

    kind: str
    value: Any


def spell(prompt: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """Write the body of a request: JSON with NaN and lone surrogates, as Python's server reads it."""
    text = json.dumps({"prompt": _with_links(prompt), **_plain(more)})
    for nested in {value for value in _walk([prompt, more]) if isinstance(value, Nested)}:
        opening, closing = ("[", "]") if nested.kind == "list" else ('{"a": ', "}")
        deep = opening * nested.depth + "0" + closing * nested.depth
        text = text.replace(json.dumps(_MARK.format(nested.kind, nested.depth)), deep)
    return text


def _with_links(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """Give every `Via` a node of its own."""
    made: dict[str, Any] = {}
    for key, node in prompt.items():
        inputs = dict(node["inputs"])
        for name, value in inputs.items():
            if isinstance(value, Via):
                source = f"via_{key}_{len(made)}"
                made[source] = {"class_type": _PRIMITIVES[value.kind], "inputs": {"value": value.value}}
                inputs[name] = [source, 0]
        made[key] = {**node, "inputs": inputs}
    return _plain(made)


def _plain(value: Any) -> Any:
    """Replace the recipes by what JSON knows."""
    if isinstance(value, Long):
        return (value.unit * (value.length // len(value.unit) + 1))[: value.length]
    if isinstance(value, Nested):
        return _MARK.format(value.kind, value.depth)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


def _walk(value: Any) -> Any:
    yield value
    for entry in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _walk(entry)
    if isinstance(value, Via):
        yield from _walk(value.value)


def escapes(canary: str, absent: str) -> list[str]:
    """Return the plainest ways out of a folder, to files that must neither change nor come to be."""
    return [canary, absent, f"../canary/{ESCAPE}.safetensors", f"out/{ESCAPE}.safetensors"]


def paths(canary: str, absent: str) -> st.SearchStrategy[Any]:
    """Names of files: ways out of a folder to `canary` (a path that is there) and `absent` (one that is not)."""
    targets = [canary, absent, absent.removesuffix(".safetensors")]
    up = [
        f"{'../' * n}{target.lstrip('/')}" for n in (1, 2, 3, 40) for target in (*targets, "canary/victim.safetensors")
    ]
    windows = [f"C:\\{ESCAPE}.safetensors", f"C:{ESCAPE}.safetensors", f"\\\\host\\share\\{ESCAPE}.safetensors"]
    windows += [f"..\\..\\canary\\{ESCAPE}.safetensors", "CON.safetensors", "NUL", "a.safetensors:stream", "a. "]
    devices = [
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "/etc/passwd",
        "/dev/zero.safetensors",
        "~/x.safetensors",
    ]
    links = ["out/victim.safetensors", "link.safetensors", "loop/loop/x.safetensors"]
    tricks = ["taken.safetensors\0.png", "\0", "", ".", "..", "/", "//", "a/../../x.safetensors", "./taken.safetensors"]
    tricks += [
        "．．/．．/x.safetensors",
        "‥/x.safetensors",
        "taken\u202esrotsnetefas.safetensors",
        "%2e%2e%2fx",
        "a\n.safetensors",
    ]
    tricks += [".safetensors", "a.safetensors/b.safetensors", "taken.safetensors/x.safetensors", "\ud800.safetensors"]
    tricks += [
        "$HOME/x.safetensors",
        "%date%",
        "%seed%.safetensors",
        "-rf",
        "|ls",
        "file:///etc/passwd",
        "a" * 250 + ".safetensors",
    ]
    exact = st.sampled_from([*escapes(canary, absent), *targets, *up, *windows, *devices, *links, *tricks])
    long = st.builds(Long, st.sampled_from(["a", "a/", "../", "é", "😀"]), st.sampled_from([256, 5000, LARGE]))
    return exact | exact.map(lambda name: f"{name}.safetensors") | long


def numbers() -> st.SearchStrategy[Any]:
    """Numbers of every kind, most of them too large, too small or none at all."""
    edge = [0, -1, 1, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**63, 2**64 - 1, 2**64, -(2**64), 10**400]
    edge += [float("nan"), float("inf"), float("-inf"), 1e16, 4096, 4097, 10**9]
    return st.sampled_from(edge) | st.integers() | st.floats()


# Text that means something to a parser, a template, a terminal or a shell.
MEANT = [
    "woman -1",
    "woman 1e308",
    "woman 0",
    "woman nan",
    "woman 1, woman 1",
    ",;,\n",
    "woman 0.000000001, man 1",
    "woman 999999999, man 1",
    "nobody 1",
    "1",
    " ",
    "\t",
    "nan",
    "inf",
    "1e999",
    "None",
    "true",
    "[]",
    "{}",
    "{",
    '{"a": NaN}',
    "[[",
    "' or 1=1",
    "{0.__class__}",
    "%s%n",
    "${x}",
    "__import__('os')",
    "x = [",
    "(a+)+$",
    "[[[[",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "\udfff\ud800",
    "\ufeff",
    "e\u0301" * 50,
    "\U0001f600",
    "<script>",
    "\r\n\r\n",
]


def texts() -> st.SearchStrategy[Any]:
    """Text: control characters, lone surrogates, words that mean something to a parser, very long ones."""
    long = st.builds(
        Long, st.sampled_from(["woman 1, ", "x", "(", "[", "a b\n", "\0", "😀", "9", "A=="]), st.just(LARGE)
    )
    middling = st.builds(
        Long, st.sampled_from(["woman 1, ", "(", "no not ", "a,", "[[", '{"a":', "x 1\n"]), st.just(50_000)
    )
    return (
        st.sampled_from(MEANT)
        | st.text(max_size=40)
        | middling
        | st.text(alphabet="\0\x1b\ud800\u202e/\\.", max_size=9)
        | long
    )


def spoilt(text: str) -> st.SearchStrategy[str]:
    """Return a good text with a piece cut out of it, or with something in it that does not belong there."""
    place = st.integers(0, len(text))
    cut = st.builds(lambda start, end: text[:start] + text[end:], place, place)
    return cut | st.builds(lambda at, more: text[:at] + more + text[at:], place, st.text(max_size=3))


def wrong_types() -> st.SearchStrategy[Any]:
    """Values of a type that no widget has, and lists behind the host's own way to write one."""
    plain: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, False, [], {}, [1], [None, None], {"a": 1}, "", 0, [0, 0], [[], []], {"__value__": None}]
    )
    wrapped = st.sampled_from([[], [1, 2], {}, {"a": [1]}, None, "x", [None]]).map(lambda value: {"__value__": value})
    deep = st.builds(Nested, st.sampled_from(["list", "object"]), st.sampled_from([50, 150, 100_000]))
    return (
        plain | wrapped | deep | st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
    )


def links(nodes: list[str]) -> st.SearchStrategy[Any]:
    """Links to nodes and to slots that are not there, of any type. None in a circle: the host finds no end of it."""
    node = st.sampled_from([*nodes, "nobody", "", "-1"])
    slot = st.sampled_from([0, 0, 0, 1, 2, 99, -1, 0.0, 1.5, 10**20])
    odd = st.sampled_from([[0, 0], [None, 0], ["checkpoint", "0"], ["checkpoint", None], [["checkpoint"], 0], [{}, 0]])
    return st.tuples(node, slot).map(list) | odd


def values(kinds: list[str], canary: str, absent: str, nodes: list[str]) -> st.SearchStrategy[Any]:
    """Anything at all; more often what an input of `kinds` nearly takes, as a widget's value or by a link."""
    text, number = texts() | paths(canary, absent), numbers()
    beyond = st.sampled_from([-1, 4097, 10**9, 10**18])
    own = {"STRING": text, "COMBO": text, "INT": st.integers(-(2**63), 2**63 - 1) | beyond, "FLOAT": number}
    own["BOOLEAN"] = st.booleans()
    near = [own[kind] for kind in kinds if kind in own] or [links(nodes)]
    linked = [st.builds(Via, st.just(kind), own[kind]) for kind in kinds if kind in _PRIMITIVES]
    anything = st.one_of(text, number, wrong_types(), links(nodes))
    # Not one_of: it would count each kind of text as much as all that is near.
    return st.sampled_from([*near * 2, *linked * 3, anything]).flatmap(lambda chosen: chosen)
