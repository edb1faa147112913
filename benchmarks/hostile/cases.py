"""One hostile workflow: a valid graph in which a few inputs of the node under test hold something else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from . import values as hostile
from .graphs import FITTING, GIVEN, ODD_SOURCES, SOURCES, TARGET, Info, inputs_of, valid_graph

# Valid, and no attack, but a wait: more steps than this of sampling or training.
_FEW_STEPS = 3
# Train Module trains nothing, for it may not replace the file that it finds. Either what keeps it from training changes
# or what it would train, never both; then it trains for one step at most.
_REFUSALS = {"RespoTrainModule": {"name", "existing"}}


@dataclass(frozen=True)
class Case:
    """`changes`: input -> value, as in hostile.values; `missing`: inputs that are left out; `more`: of the request."""

    node: str
    changes: dict[str, Any]
    missing: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    sampled: bool = False

    def body(self, info: Info) -> str:
        """Return the request's body."""
        prompt = valid_graph(info, self.node, self.sampled)
        inputs = {**prompt[TARGET]["inputs"], **self.changes}
        prompt[TARGET]["inputs"] = {name: value for name, value in inputs.items() if name not in self.missing}
        return hostile.spell(prompt, self.more)


def cases(info: Info, node: str, canary: str, absent: str) -> st.SearchStrategy[Case]:
    """Cases for one node; `canary` and `absent` as in hostile.values.paths."""
    inputs = {name: (kinds, options) for name, kinds, options in inputs_of(info[node])}
    sources = [*SOURCES, *ODD_SOURCES]
    given = {name: _values(node, name, *entry, canary, absent, sources) for name, entry in inputs.items()}
    for name, value in GIVEN.get(node, {}).items():
        if isinstance(value, str):
            given[name] = hostile.chosen(hostile.spoilt(value), given[name])

    @st.composite
    def build(draw: st.DrawFn) -> Case:
        names = draw(st.lists(st.sampled_from(list(inputs)), min_size=1, max_size=3, unique=True))
        keep = _REFUSALS.get(node, set())
        changes = {name: draw(given[name]) for name in names if (name in keep) == (names[0] in keep)}
        if (
            draw(st.integers(0, 19)) == 19
        ):  # an unknown input; never a link: at one that it does not know, the host stops for good
            changes[draw(st.text(min_size=1, max_size=8))] = draw(hostile.numbers() | hostile.texts())
        left_out = [draw(st.sampled_from(list(inputs)))] if draw(st.integers(0, 19)) == 19 else []
        missing = tuple(name for name in left_out if name not in keep)
        return Case(node, changes, missing, draw(_more()), draw(st.integers(0, 9)) == 9)

    return build()


def escape_cases(info: Info, node: str, canary: str, absent: str) -> Iterator[Case]:
    """Yield each plain way out of a folder, at each input that takes text, written there and by a link."""
    for name, kinds, _ in inputs_of(info[node]):
        for way in hostile.escapes(canary, absent) if {"STRING", "COMBO"} & set(kinds) else ():
            yield Case(node, {name: way})
            if "STRING" in kinds:
                yield Case(node, {name: hostile.Via("STRING", way)})


def _more() -> st.SearchStrategy[dict[str, Any]]:
    """Draw what else a request carries: the workflow for the picture's own text."""
    workflow = st.one_of(hostile.texts(), hostile.wrong_types(), hostile.numbers())
    info = st.dictionaries(st.sampled_from(["workflow", "\0", "é", "parameters"]), workflow, max_size=2) | workflow
    carried = info.map(lambda value: {"extra_data": {"extra_pnginfo": value}})
    return st.one_of(*[st.just({})] * 5, carried)


def _values(
    node: str, name: str, kinds: list[str], options: Mapping[str, Any], canary: str, absent: str, sources: list[str]
) -> st.SearchStrategy[Any]:
    choices = list(options.get("options") or [])
    limits = [options[key] for key in ("min", "max") if key in options]
    fitting = [*choices, *limits, *(link for kind in kinds for link in FITTING.get(kind, []))]
    found = hostile.values(kinds, canary, absent, sources)
    if fitting:
        found = hostile.chosen(st.sampled_from(fitting), found, found)
    return found.filter(lambda value: not _is_long(value)) if name == "steps" and node not in _REFUSALS else found


def _is_long(value: Any) -> bool:
    """Say whether the host takes a value for a large number of steps."""
    value = value.value if isinstance(value, hostile.Via) else value
    try:
        return math.isfinite(float(value)) and float(value) > _FEW_STEPS
    except (TypeError, ValueError, OverflowError):
        return False
