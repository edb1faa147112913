"""What both commands share: examples from a Hypothesis strategy, what became of them, the smallest that fails."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "corpus"
GOOD = ("read", "refused", "success", "refused by the host", "refused by the node", "our error", "the host's error")
SHRINKS = 60  # more examples that are tried to make one failure's example smaller
Example = TypeVar("Example")


def corpus(name: str) -> Any:
    """Return the values of a file of tests/corpus."""
    return json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Verdict:
    """`kind`: one of GOOD, or what is wrong; `detail`: tells one defect from another; `text`: for people."""

    kind: str
    detail: str = ""
    text: str = ""

    @property
    def is_good(self) -> bool:
        return self.kind in GOOD


class _Failed(Exception):
    """Raised for Hypothesis, which then looks for a smaller example."""


class _Enough(KeyboardInterrupt):
    """Raised to stop Hypothesis: it goes on after any other exception."""


@dataclass
class Tally:
    """What became of all examples, by subject: a reader of files, or a node.

    `failures`: (subject, kind, detail) -> the smallest example that was found, and the verdict's text. `more`: figures
    of one command alone.
    """

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    failures: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def add(self, verdicts: Mapping[str, Verdict]) -> None:
        """Count one example."""
        self.count += 1
        for subject, verdict in verdicts.items():
            self.kinds.setdefault(subject, Counter())[verdict.kind] += 1

    def ask(self, example: Example, ask: Callable[[Example], Mapping[str, Verdict]]) -> None:
        """Ask for one example."""
        verdicts = ask(example)
        self.add(verdicts)
        for subject, verdict in verdicts.items():
            if not verdict.is_good:
                self.failures.setdefault((subject, verdict.kind, verdict.detail), (str(example), verdict.text))

    def explore(
        self, examples: st.SearchStrategy[Example], count: int, ask: Callable[[Example], Mapping[str, Verdict]]
    ) -> None:
        """Ask for up to `count` different examples, always the same ones; shrink the first of each sort of failure."""
        asked: dict[str, Mapping[str, Verdict]] = {}
        sort: tuple[str, str, str] | None = None
        smallest, tried = ("", ""), 0

        @settings(
            max_examples=max(1, 10 * count),  # Hypothesis tries some twice
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(examples)
        def attempt(example: Example) -> None:
            nonlocal sort, smallest, tried
            key = str(example)
            if key not in asked:
                tried += sort is not None
                if tried > SHRINKS:
                    raise _Enough
                if len(asked) >= count and sort is None:
                    return
                asked[key] = ask(example)
                if sort is None:
                    self.add(asked[key])
            for subject, verdict in asked[key].items():
                found = (subject, verdict.kind, verdict.detail)
                if not verdict.is_good and found not in self.failures and sort in (None, found):
                    sort, smallest = found, (key, verdict.text)
                    raise _Failed

        while count:
            sort, tried = None, 0
            try:
                attempt()
                return
            except (_Failed, Flaky, _Enough):
                self.note(sort, smallest)

    def note(self, sort: tuple[str, str, str] | None, smallest: tuple[str, str]) -> None:
        """Keep a failure. Raises the current exception again when there is none: then it is the strategy's own."""
        if sort is None:
            raise
        self.failures[sort] = smallest

    def table(self) -> str:
        """Kinds of verdicts by subject, as Markdown."""
        kinds = sorted({kind for counts in self.kinds.values() for kind in counts})
        everything = {**self.kinds, "all": sum(self.kinds.values(), Counter())}
        rows = [["", *kinds], ["---"] * (len(kinds) + 1)]
        rows += [[subject, *(str(counts[kind]) for kind in kinds)] for subject, counts in everything.items()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


Tell = Callable[[str], None]


def command(
    name: str, about: str | None, count: int, attack: Callable[[int, Tell], Tally], arguments: Sequence[str] | None
) -> int:
    """Attack, print, write; return the exit status: 1 after a failure."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--count", type=int, default=count, help=f"how many examples (default {count})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # lone surrogates
    tally = attack(options.count, lambda line: print(line, flush=True))
    failures = [
        {"of": list(sort), "example": example[:1000], "text": text} for sort, (example, text) in tally.failures.items()
    ]
    figures = {"count": tally.count, "kinds": tally.kinds, "failures": failures, **tally.more}
    print(f"\n{tally.table()}\n")
    print(json.dumps({key: value for key, value in figures.items() if key != "kinds"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if tally.failures else 0
