"""`python -m benchmarks.hostile_workflows [--count N] [--json FILE]`: hostile workflows through a real server's API.

Each is a valid graph around one node of the pack in which one to three inputs hold what a stranger could write there.
Ends with status 1 when an answer is none of the good ones, or when a file outside the server's own folders and the
`respo` folder was made, changed or deleted.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.hostile.cases import Case, cases, escape_cases
from benchmarks.hostile.client import Client
from benchmarks.hostile.graphs import respo_nodes
from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.verdicts import Verdict

CHECKS = list(HealthCheck)


@dataclass
class Tally:
    """What came of all cases. `failures`: (node, kind, detail) -> the first case of that sort and its verdict."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    failures: dict[tuple[str, str, str], tuple[Case, Verdict]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    plain: dict[str, str] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    starts: int = 0
    slowest: tuple[float, str] = (0.0, "")

    @property
    def count(self) -> int:
        return sum(sum(counts.values()) for counts in self.kinds.values())

    def is_new(self, case: Case) -> bool:
        """Say whether a case is met for the first time."""
        text = repr(case)
        new = text not in self.seen
        self.seen.add(text)
        return new

    def add(self, case: Case, verdict: Verdict) -> None:
        self.kinds.setdefault(case.node, Counter())[verdict.kind] += 1
        if not verdict.is_good:
            self.failures.setdefault((case.node, verdict.kind, verdict.detail), (case, verdict))


def attack(client: Client, count: int, tell: Callable[[str], None] = print) -> Tally:
    """Send `count` different cases, shared out among the nodes, and the plain ways out of a folder beside them.

    They are always the same ones for the same nodes.
    """
    tally = Tally()
    nodes = respo_nodes(client.info)
    for index, node in enumerate(nodes):
        plain = client.ask(Case(node, {}, (), {}, True))
        tally.plain[node] = f"{plain.kind} {plain.detail or plain.text}".strip()[:200]
        share = count * (index + 1) // len(nodes) - count * index // len(nodes)
        _attack_node(client, node, share, tally)
        tally.memory.append(client.memory)
        tell(f"{node}: {dict(tally.kinds.get(node, {}))}")
    tally.changed = client.sandbox.changed()
    tally.starts, tally.slowest = client.starts, client.slowest
    return tally


def _attack_node(client: Client, node: str, count: int, tally: Tally) -> None:
    paths = (str(client.sandbox.victim), str(client.sandbox.absent))
    for case in escape_cases(client.info, node, *paths):
        if tally.is_new(case):
            tally.add(case, client.ask(case))
    end = tally.count + count

    @settings(
        max_examples=10 * count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=CHECKS,
    )
    @given(cases(client.info, node, *paths))
    def send(case: Case) -> None:
        if tally.count < end and tally.is_new(case):  # Hypothesis tries some twice, and many nearly so
            tally.add(case, client.ask(case))

    if count:
        send()


def smallest(client: Client, case: Case, verdict: Verdict) -> Case:
    """Take away from a case what it fails without, in the same way."""
    parts = [replace(case, sampled=False), replace(case, missing=()), replace(case, more={})]
    parts += [replace(case, changes={name: case.changes[name]}) for name in case.changes]
    for part in parts:
        simpler = replace(
            case,
            sampled=case.sampled and part.sampled,
            missing=case.missing if part.missing else (),
            more=case.more if part.more else {},
            changes=part.changes if len(part.changes) < len(case.changes) else case.changes,
        )
        if simpler != case and fails_alike(client.ask(simpler), verdict):
            case = simpler
    return case


def fails_alike(one: Verdict, other: Verdict) -> bool:
    """Say whether two verdicts tell of the same defect."""
    return (one.kind, one.detail) == (other.kind, other.detail)


def table(tally: Tally) -> str:
    """Kinds of answers by node, as Markdown."""
    kinds = sorted({kind for counts in tally.kinds.values() for kind in counts})
    rows = [["node", *kinds], ["---"] * (len(kinds) + 1)]
    rows += [[node, *(str(counts[kind]) for kind in kinds)] for node, counts in tally.kinds.items()]
    rows.append(["all", *(str(sum(counts[kind] for counts in tally.kinds.values())) for kind in kinds)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile_workflows", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="how many workflows (default 2000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # lone surrogates
    with tempfile.TemporaryDirectory() as folder, Client(Sandbox(Path(folder))) as client:
        tally = attack(client, options.count, lambda line: print(line, flush=True))
        examples = []
        for (node, kind, detail), (case, verdict) in tally.failures.items():
            print(f"\n{node}: {kind}: {detail}\n{verdict.text}", flush=True)
            examples.append(repr(smallest(client, case, verdict) if kind == "defect" else case)[:1000])
            print(f"simplest: {examples[-1]}", flush=True)
    figures = {
        "count": tally.count,
        "kinds": tally.kinds,
        "valid_graph": tally.plain,
        "failures": [
            {"of": list(key), "example": example} for key, example in zip(tally.failures, examples, strict=True)
        ],
        "changed": tally.changed,
        "memory_mb": [round(size / 1e6) for size in tally.memory],
        "server_starts": tally.starts,
        "slowest": {"seconds": round(tally.slowest[0], 2), "case": tally.slowest[1][:1000]},
    }
    print(f"\n{table(tally)}\n")
    print(json.dumps({key: value for key, value in figures.items() if key != "kinds"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if tally.failures or tally.changed else 0


if __name__ == "__main__":
    sys.exit(main())
