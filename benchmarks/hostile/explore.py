"""What both commands share: Hypothesis finds examples and makes those that fail small; here they are counted."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from respo_train.core.files.write import write_atomically

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "corpus"
GOOD = ("read", "refused", "success", "refused by the host", "refused by the node", "our error", "the host's error")
Example = TypeVar("Example")
Ask = Callable[[Example], Mapping[str, "Verdict"]]
Tell = Callable[[str], None]


def corpus(name: str) -> Any:
    """Return the values of a file of tests/corpus."""
    return json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Verdict:
    """`kind`: one of GOOD, or what is wrong; `text`: for people."""

    kind: str
    text: str = ""

    @property
    def is_good(self) -> bool:
        return self.kind in GOOD


@dataclass
class Tally:
    """What became of all examples, by subject: a reader of files, or a node. `more`: figures of one command alone."""

    count: int = 0
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def check(self, example: Example, ask: Ask[Example]) -> None:
        """Ask for one example, and count it. Raises AssertionError for a failure."""
        verdicts = ask(example)
        self.count += 1
        for subject, verdict in verdicts.items():
            self.kinds.setdefault(subject, Counter())[verdict.kind] += 1
        wrong = [f"{name}: {verdict.kind}\n{verdict.text}" for name, verdict in verdicts.items() if not verdict.is_good]
        assert not wrong, f"{str(example)[:1000]}\n" + "\n".join(wrong)

    def explore(
        self, known: Sequence[Example], examples: st.SearchStrategy[Example], count: int, ask: Ask[Example]
    ) -> None:
        """Ask for the known examples and for `count` others, always the same ones; keep the smallest that fails."""

        def attempt(example: Example) -> None:
            self.check(example, ask)

        how = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        found = settings(how, max_examples=max(1, count), phases=[Phase.generate, Phase.shrink])(
            given(examples)(attempt)
        )
        runs: list[Callable[[], None]] = [partial(attempt, one) for one in known]
        for run in [*runs, *([found] if count else [])]:
            try:
                run()
            except (AssertionError, Flaky) as error:
                # Where the host remembers an answer, asking again gives another: keep what failed at first.
                first = getattr(error, "exceptions", [error])
                self.failures.append("\n".join(map(str, first)))


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
    figures = json.dumps(vars(tally), indent=2)
    print(figures)
    if options.json:
        write_atomically(options.json, (figures + "\n").encode())
    return 1 if tally.failures else 0
