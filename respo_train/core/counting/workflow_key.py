"""Which runs of a workflow belong together: a key made of everything that leads to a node but its random numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

# What changes from one run of a queue to the next, or with how many pictures are drawn at once.
VARYING = frozenset(("seed", "noise_seed", "rand_seed", "batch_size", "batch_index", "count", "amount"))
_TEXTS = frozenset(("text", "text_g", "text_l", "prompt", "positive", "negative"))


def workflow_key(prompt: Mapping[str, Any] | None, node: str, own: frozenset[str], *more: str) -> str:
    """Return 16 hexadecimal digits for the node and all that leads to it, seeds and batch sizes apart.

    `prompt`: the host's API format. `own`: inputs of the node itself that do not matter; `more`: what matters besides.
    What does not lead to the node, titles, places and varying inputs with all that hangs on them alone change nothing;
    a prompt's text does.
    """
    kept = {key: (kind, inputs) for key, kind, inputs in _upstream(prompt, node, own)}
    told = json.dumps([str(node), kept, more], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def prompt_texts(prompt: Mapping[str, Any] | None, node: str, own: frozenset[str]) -> list[str]:
    """Return the texts written into nodes that lead to this one, for people to recognise the workflow by."""
    found = [
        value
        for _, _, inputs in _upstream(prompt, node, own)
        for name, value in inputs.items()
        if name in _TEXTS and isinstance(value, str) and value.strip()
    ]
    return sorted(set(found))


def _upstream(
    prompt: Mapping[str, Any] | None, node: str, own: frozenset[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (id, class, inputs that matter) of a node and all that leads to it; of all nodes where it is not there."""
    nodes = {str(key): value for key, value in (prompt or {}).items() if isinstance(value, Mapping)}
    waiting = [str(node)] if str(node) in nodes else sorted(nodes)
    done = set()
    while waiting:
        key = waiting.pop()
        if key in done or key not in nodes:
            continue
        done.add(key)
        given = nodes[key].get("inputs")
        skipped = VARYING | own if key == str(node) else VARYING
        inputs = {str(k): v for k, v in (given if isinstance(given, Mapping) else {}).items() if k not in skipped}
        yield key, str(nodes[key].get("class_type")), inputs
        waiting += [str(value[0]) for value in inputs.values() if _is_link(value)]


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)
