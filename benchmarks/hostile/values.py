"""What a stranger may write where a workflow's JSON holds a value, as Hypothesis strategies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .explore import corpus

LARGE = 10_000_000
ESCAPE = "respo_canary_escape"  # the name of what must never come to be
_PRIMITIVES = {"STRING": "PrimitiveString", "INT": "PrimitiveInt", "FLOAT": "PrimitiveFloat"}
_PRIMITIVES |= {"BOOLEAN": "PrimitiveBoolean"}
_EDGES = [0, -1, 1, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**63, 2**64 - 1, 2**64, -(2**64), 10**400, 4096, 4097]
_EDGES += [float("nan"), float("inf"), -float("inf"), 1e16, 10**9]
_PIECES = ["woman 1, ", "x", "(", "[", "a b\n", "\0", "\U0001f600", "9", "A==", "no not ", "[[", '{"a":', "x 1\n"]
_PLAIN: list[Any] = [None, True, False, [], {}, [1], [None, None], {"a": 1}, "", 0, [0, 0], [[], []]]
_PLAIN += [{"__value__": value} for value in ([], [1, 2], {}, {"a": [1]}, None, "x", [None])]  # the host's own way
# Text that `spell` replaces by lists and objects, deeper than Python's own writer of JSON goes.
DEEP = [f"@@{kind} {depth}@@" for kind in ("list", "object") for depth in (50, 150, 100_000)]


class Long(str):
    """`unit`, repeated up to `length` characters; short in a failing example."""

    def __new__(cls, unit: str, length: int) -> Long:
        return super().__new__(cls, (unit * (length // len(unit) + 1))[:length])

    def __repr__(self) -> str:
        return f"Long({self[:20]!r}, {len(self)})"


@dataclass(frozen=True)
class Via:
    """A value that comes by a link of the right type: no widget's limits apply to it."""

    kind: str
    value: Any


def spell(prompt: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """Write the body of a request: JSON with NaN and lone surrogates, as Python's server reads it."""
    graph: dict[str, Any] = {}
    for key, node in prompt.items():
        graph[key] = {**node, "inputs": dict(node["inputs"])}
        for name, value in node["inputs"].items():
            if isinstance(value, Via):
                graph[f"via_{key}_{name}"] = {"class_type": _PRIMITIVES[value.kind], "inputs": {"value": value.value}}
                graph[key]["inputs"][name] = [f"via_{key}_{name}", 0]

    def deep(found: re.Match[str]) -> str:
        opening, closing = ("[", "]") if found[1] == "list" else ('{"a": ', "}")
        return opening * int(found[2]) + "0" + closing * int(found[2])

    return re.sub(r'"@@(\w+) (\d+)@@"', deep, json.dumps({"prompt": graph, **more}))


def escapes(canary: str, absent: str) -> list[str]:
    """Return the plainest ways out of a folder, to files that must neither change nor come to be."""
    out = [f"../canary/{ESCAPE}.safetensors", f"out/{ESCAPE}.safetensors", "out/victim.safetensors"]
    return [canary, absent, *out]


def paths(canary: str, absent: str) -> st.SearchStrategy[Any]:
    """Return names of files: ways out of a folder to `canary` (a path that is there) and `absent` (one that is not)."""
    known = json.dumps(corpus("paths"))
    for key, path in {"canary": canary, "absent": absent, "stem": absent.removesuffix(".safetensors")}.items():
        known = known.replace(f"{{{key}}}", path).replace(f"{{relative_{key}}}", path.lstrip("/"))
    exact = st.sampled_from([*escapes(canary, absent), *json.loads(known)])
    long = st.builds(Long, st.sampled_from(["a", "a/", "../", "é", "\U0001f600"]), st.sampled_from([256, 5000, LARGE]))
    return exact | exact.map(lambda name: f"{name}.safetensors") | long


def numbers() -> st.SearchStrategy[Any]:
    """Return numbers of every kind, most of them too large, too small or none at all."""
    return st.sampled_from(_EDGES) | st.integers() | st.floats()


def texts() -> st.SearchStrategy[Any]:
    """Return control characters, lone surrogates, words that mean something to a parser, very long texts."""
    long = st.builds(Long, st.sampled_from(_PIECES), st.sampled_from([50_000, LARGE]))
    odd = st.text(alphabet="\0\x1b\ud800\u202e/\\.", max_size=9)
    return st.sampled_from(corpus("texts")) | st.text(max_size=40) | odd | long


def spoilt(text: str) -> st.SearchStrategy[str]:
    """Return a good text with a piece cut out of it, or with something in it that does not belong there."""
    place = st.integers(0, len(text))
    return st.builds(lambda start, end, more: text[:start] + more + text[end:], place, place, st.text(max_size=3))


def wrong_types() -> st.SearchStrategy[Any]:
    """Return values of a type that no widget has."""
    shallow = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
    return st.sampled_from(_PLAIN) | st.sampled_from(DEEP) | shallow


def links(nodes: list[str]) -> st.SearchStrategy[Any]:
    """Return links to nodes and slots that are not there, of any type; no circle: the host finds no end of it."""
    node = st.sampled_from([*nodes, "nobody", "", "-1"])
    slot = st.sampled_from([0, 0, 0, 1, 2, 99, -1, 0.0, 1.5, 10**20])
    odd = [[0, 0], [None, 0], ["checkpoint", "0"], ["checkpoint", None], [["checkpoint"], 0], [{}, 0]]
    return st.tuples(node, slot).map(list) | st.sampled_from(odd)


def values(kinds: list[str], canary: str, absent: str, nodes: list[str]) -> st.SearchStrategy[Any]:
    """Return anything; more often what an input of `kinds` nearly takes, as a widget's value or by a link."""
    text, number = texts() | paths(canary, absent), numbers()
    whole = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, 4097, 10**9, 10**18])
    own = {"STRING": text, "COMBO": text, "INT": whole, "FLOAT": number, "BOOLEAN": st.booleans()}
    near = [own[kind] for kind in kinds if kind in own] or [links(nodes)]
    linked = [st.builds(Via, st.just(kind), own[kind]) for kind in kinds if kind in _PRIMITIVES]
    return chosen(*near * 2, *linked * 3, st.one_of(text, number, wrong_types(), links(nodes)))


def chosen(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return one of the strategies; unlike one_of, each counts alike, whatever it is made of."""
    return st.sampled_from(strategies).flatmap(lambda strategy: strategy)
