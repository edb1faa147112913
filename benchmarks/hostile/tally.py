"""What both commands share: Hypothesis finds examples and makes those that fail small; here they are counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

GOOD = ("read", "refused", "success", "refused by the host", "refused by the node", "our error", "the host's error")
_AT_ONCE = 500  # examples: Hypothesis keeps all of one search in memory
Example = TypeVar("Example")
Ask = Callable[[Example], Mapping[str, "Verdict"]]


class Verdict(NamedTuple):
    """`kind`: one of GOOD, or what is wrong; `text`: for people."""

    kind: str
    text: str = ""


@dataclass
class Tally:
    """What became of all examples, by subject: a reader of files, or a node. `more`: figures of one command alone."""

    count: int = 0
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def check(self, ask: Ask[Example], one: Example) -> None:
        """Ask for one example, and count it. Raises AssertionError for a failure."""
        verdicts = ask(one)
        self.count += 1
        for subject, verdict in verdicts.items():
            self.kinds.setdefault(subject, Counter())[verdict.kind] += 1
        wrong = [f"{name}: {kind}\n{text}" for name, (kind, text) in verdicts.items() if kind not in GOOD]
        assert not wrong, f"{str(one)[:1000]}\n" + "\n".join(wrong)

    def explore(
        self, known: Sequence[Example], examples: st.SearchStrategy[Example], count: int, ask: Ask[Example], start: int
    ) -> None:
        """Ask for the known examples and for `count` others, the same ones for the same `start`; keep what fails."""
        runs: list[Callable[[], None]] = [partial(self.check, ask, one) for one in known]
        how = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        for done in range(0, count, _AT_ONCE):
            some = settings(how, max_examples=min(_AT_ONCE, count - done), phases=[Phase.generate, Phase.shrink])
            runs.append(some(seed(start + done)(given(examples)(lambda one: self.check(ask, one)))))
        for run in runs:
            try:
                run()
            except (AssertionError, Flaky) as error:
                # Where the host remembers an answer, asking again gives another: keep what failed at first.
                self.failures.append("\n".join(map(str, getattr(error, "exceptions", [error]))))
                print(self.failures[-1], file=sys.stderr, flush=True)  # a run of hours may be stopped before its end
