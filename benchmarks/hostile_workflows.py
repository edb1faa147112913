"""`python -m benchmarks.hostile_workflows [--count N] [--json FILE]`: hostile workflows through a real server's API.

Each is a valid graph around one node of the pack in which one to three inputs hold what a stranger could write there.
Ends with status 1 when an answer is none of the good ones, or when a file outside the server's own folders and the
`respo` folder was made, changed or deleted.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hostile.cases import Case, cases, escape_cases
from benchmarks.hostile.client import Client
from benchmarks.hostile.explore import Tally, Tell, command
from benchmarks.hostile.graphs import respo_nodes
from benchmarks.hostile.sandbox import Sandbox


def attack(client: Client, count: int, tell: Tell = print) -> Tally:
    """Send `count` different cases, shared out among the nodes, and the plain ways out of a folder beside them.

    They are always the same ones for the same nodes.
    """
    tally, plain, memory = Tally(), {}, []
    nodes, places = respo_nodes(client.info), (str(client.sandbox.victim), str(client.sandbox.absent))
    for index, node in enumerate(nodes):
        verdict = client.ask(Case(node, {}, sampled=True))[node]
        plain[node] = f"{verdict.kind} {verdict.text}".strip()[:200]
        share = count * (index + 1) // len(nodes) - count * index // len(nodes)
        escapes = list(escape_cases(client.info, node, *places))
        tally.explore(escapes, cases(client.info, node, *places), share, client.ask)
        memory.append(round(client.memory / 1e6))
        tell(f"{node}: {dict(tally.kinds.get(node, {}))}")
    tally.failures += [f"changed: {path}" for path in client.sandbox.changed()]
    tally.more = {"valid_graph": plain, "memory_mb": memory, "server_starts": client.starts}
    return tally


def _attack(count: int, tell: Tell) -> Tally:
    with tempfile.TemporaryDirectory() as folder, Client(Sandbox(Path(folder))) as client:
        return attack(client, count, tell)


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, write; returns the exit status."""
    return command("hostile_workflows", __doc__, 2000, _attack, arguments)


if __name__ == "__main__":
    sys.exit(main())
