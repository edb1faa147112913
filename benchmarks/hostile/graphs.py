"""Hostile workflows, as Hypothesis strategies: a valid graph around a node, in which a few inputs hold odd things.

What may stand there is made from what the server says of its nodes, and from tests/corpus: its {outside} stands for a
folder that nobody may touch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from benchmarks.api_format import WIDGET_TYPES
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.files.shrink import shrunk
from respo_train.core.files.text_form import to_text

from .corpus import MODULE, corpus
from .strategies import one_of, spliced

Info = Mapping[str, Any]
KNOWN = corpus("workflows")
SOURCES: dict[str, dict[str, Any]] = KNOWN["usual"] | KNOWN["odd"]
# What a node needs beside its defaults. Train Module meets a file that it must not replace, so that it trains nothing.
_GIVEN: dict[str, dict[str, Any]] = KNOWN["given"]
_GIVEN["RespoModuleFromText"] = {"text": to_text(shrunk(load_attribute(MODULE), "channel"))}
# Either what keeps it from training changes, or what it would train, never both.
_REFUSALS = {"RespoTrainModule": {"name", "existing"}}
_MAKERS = {"module": "RespoLoadModule", "judge": "RespoLoadJudge", "record": "RespoRecordRun"}
_ENDS = st.tuples(st.sampled_from([*SOURCES, *_MAKERS]), st.sampled_from([0, 0, 0, 1, 2, 99, -1, 0.0, 1.5, 10**20]))
_LINKS = one_of(_ENDS.map(list), _ENDS.map(list), st.sampled_from(KNOWN["links"]))
_NUMBERS, _PLAIN = st.sampled_from(KNOWN["numbers"]), st.sampled_from(KNOWN["plain"])
_LENGTHS = st.sampled_from([256, 5000, 50_000, 1_000_000, 10_000_000])  # characters
_LONG = st.builds(lambda unit, length: (unit * length)[:length], st.sampled_from(KNOWN["units"]), _LENGTHS)
_EXACT = st.sampled_from(KNOWN["escapes"] + corpus("paths"))
_PATHS = one_of(_EXACT, _EXACT.map(lambda name: f"{name}.safetensors"))
_ODD = st.text(alphabet="\0\x1b\ud800\u202e/\\.", max_size=9)
_TEXTS = one_of(_PATHS, _PATHS, st.sampled_from(corpus("texts")), st.text(max_size=40), _ODD, _LONG)


def made(node_id: str, **inputs: Any) -> dict[str, Any]:
    """Return a node of a prompt; as an input's value it stands for a link to it, to which no widget's limits apply."""
    return {"class_type": node_id, "inputs": inputs}


@dataclass(frozen=True)
class Case:
    """`changes`: input -> value, what `made` returns, or ... for none; `more`: of the request.

    `sampled`: its MODEL, if it has one, also draws one step of two small pictures.
    """

    node: str
    changes: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    sampled: bool = False

    def body(self, info: Info) -> str:
        """Return the request: it runs the node as the node "target" and shows all that comes out of it.

        It is JSON with NaN and lone surrogates, as Python's server reads it.
        """
        prompt = dict(SOURCES)
        for key, maker in {**_MAKERS, "target": self.node}.items():
            prompt[key] = made(maker, **(dict(_defaults(info[maker])) | _GIVEN.get(maker, {})))
        for slot, kind in enumerate(info[self.node]["output"]):
            prompt[f"show_{slot}"] = made("PreviewAny", source=["target", slot])
            if kind == "MODEL" and self.sampled:
                prompt["draw"] = made("KSampler", model=["target", slot], **_GIVEN["KSampler"])
                prompt["show_drawn"] = made("PreviewAny", source=["draw", 0])
        inputs = {name: one for name, one in (prompt["target"]["inputs"] | self.changes).items() if one is not ...}
        for name, value in inputs.items():
            if isinstance(value, dict) and "class_type" in value:
                prompt[f"via_{name}"], inputs[name] = value, [f"via_{name}", 0]
        prompt["target"]["inputs"] = inputs
        return json.dumps({"prompt": prompt, **self.more})


def _inputs(description: Info) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Yield each input's name, the types that it takes, and its options, "required" among them."""
    for group in ("required", "optional"):
        for name, (kind, *rest) in description["input"].get(group, {}).items():
            options = {**(rest[0] if rest else {}), "required": group == "required"}
            if isinstance(kind, list):  # how older nodes write a list of choices
                options, kind = {"options": kind, **options}, "COMBO"
            yield name, [part.strip() for part in kind.split(",")], options


def _defaults(description: Info) -> Iterator[tuple[str, Any]]:
    """Yield inputs as a new node in the browser has them, with links to whatever it needs.

    Of several inputs of one type, those that may be empty stay so: the same module twice makes no sense. So does a text
    that only a link brings. A type that no source makes is a KeyError: add one to the corpus.
    """
    taken: list[Any] = []
    for name, kinds, options in _inputs(description):
        if WIDGET_TYPES & set(kinds) and not options.get("forceInput"):
            plain = {"COMBO": (options.get("options") or [""])[0], "STRING": "", "BOOLEAN": False}
            value = options.get("default", plain.get(kinds[0], options.get("min", 0)))
            yield name, max(1, options.get("min", 1)) if name == "steps" else value
        elif options["required"] or ("STRING" not in kinds and KNOWN["slots"][kinds[0]] not in taken):
            taken.append(KNOWN["slots"][kinds[0]])
            yield name, taken[-1]


def _values(node: str, name: str, kinds: list[str], options: Info) -> st.SearchStrategy[Any]:
    """Return anything; more often what an input nearly takes, written there or brought by a link."""
    numbers, steps = one_of(_NUMBERS, st.integers(), st.floats()), name == "steps"
    if steps and node not in _REFUSALS:  # many are valid, and no attack, but a wait
        numbers = _NUMBERS.filter(lambda number: not 3 < number <= 10_000)
    own = {"STRING": _TEXTS, "COMBO": _TEXTS, "INT": numbers, "FLOAT": numbers, "BOOLEAN": st.booleans()}
    near = [own[kind] for kind in kinds if kind in own] or [_LINKS]
    plain = [kind for kind in kinds if kind in own and kind != "COMBO"]
    near += [st.builds(made, st.just(f"Primitive{kind.title()}"), value=own[kind]) for kind in plain]
    fitting = [options[key] for key in ("min", "max") if key in options and not steps] + (options.get("options") or [])
    fitting += [link for kind in kinds for link in KNOWN["fitting"].get(kind, [])]
    found = [*near * 2, one_of(_TEXTS, numbers, _PLAIN, _LINKS), *[st.sampled_from(fitting)] * (2 if fitting else 0)]
    if isinstance(given := _GIVEN.get(node, {}).get(name), str):
        found += [spliced(given, st.text(max_size=3))] * len(found)
    return one_of(*found)


@st.composite
def cases(draw: st.DrawFn, info: Info, node: str) -> Case:
    """Draw a case for a node."""
    keep = _REFUSALS.get(node, set())
    inputs = {name: (kinds, options) for name, kinds, options in _inputs(info[node])}
    names = draw(st.lists(st.sampled_from(list(inputs)), min_size=1, max_size=3, unique=True))
    names = [name for name in names if (name in keep) == (names[0] in keep)]
    changes = {name: draw(_values(node, name, *inputs[name])) for name in names}
    rare, more = draw(st.integers(0, 39)), {}
    if rare in (38, 39):  # an unknown input; never a link, at which the host itself stops for good
        changes[draw(st.text(min_size=1, max_size=8))] = draw(st.text(max_size=9))
    elif rare in (36, 37):
        changes |= dict.fromkeys({draw(st.sampled_from(list(inputs)))} - keep, ...)
    elif rare < 6:  # the workflow for the picture's own text
        carried = one_of(_TEXTS, _PLAIN, _NUMBERS)
        keys = st.sampled_from(["workflow", "\0", "\xe9", "\u65e5\u672c", "parameters"])
        more = {"extra_data": {"extra_pnginfo": draw(one_of(st.dictionaries(keys, carried, max_size=2), carried))}}
    return Case(node, changes, more, rare % 10 == 9)


def escape_cases(info: Info, node: str) -> Iterator[Case]:
    """Yield each plain way out of a folder, at each input that takes text, written there and by a link."""
    for name, kinds, _ in _inputs(info[node]):
        for way in KNOWN["escapes"] if {"STRING", "COMBO"} & set(kinds) else ():
            yield Case(node, {name: way})
            if "STRING" in kinds:
                yield Case(node, {name: made("PrimitiveString", value=way)})
