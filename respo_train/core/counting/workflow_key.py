"""Find out which runs of a workflow belong together: a key of everything upstream of a node except random seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

# Inputs that change from one run of a queue to the next, or with the batch size.
VARYING = frozenset(("seed", "noise_seed", "rand_seed", "batch_size", "batch_index", "count", "amount"))
_TEXTS = frozenset(("text", "text_g", "text_l", "prompt", "positive", "negative"))


def workflow_key(prompt: Mapping[str, Any] | None, node: str, own: frozenset[str], *more: str) -> str:
    """Return 16 hexadecimal digits for the node and everything upstream of it, except seeds and batch sizes.

    `prompt`: in the host's API format. `own`: inputs of the node itself that are ignored; `more`: further texts for the
    key. Nodes that are not upstream, titles and positions do not change the key, nor do varying inputs and what only
    they depend on. The text of a prompt does change it.
    """
    kept = {key: (kind, inputs) for key, kind, inputs in _upstream(prompt, node, own)}
    told = json.dumps([str(node), kept, more], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def prompt_texts(prompt: Mapping[str, Any] | None, node: str, own: frozenset[str]) -> list[str]:
    """Return the texts entered in upstream nodes, by which people can recognise the workflow."""
    found = [
        value
        for _, _, inputs in _upstream(prompt, node, own)
        for name, value in inputs.items()
        if name in _TEXTS and isinstance(value, str) and value.strip()
    ]
    return sorted(set(found))


def named_files(prompt: Mapping[str, Any] | None, node: str, ending: str) -> list[str]:
    """Return the files that upstream nodes name: in an input, or in the id of a switch, "concept (file)".

    A switch counts where it is on, and where a link decides whether it is.
    """
    found: set[str] = set()
    for _, _, inputs in _upstream(prompt, node, frozenset()):
        texts = [value for value in inputs.values() if isinstance(value, str)]
        switches = (name for name, value in inputs.items() if value is True or _is_link(value))
        texts += [name.rpartition(" (")[2].removesuffix(")") for name in switches]
        found.update(text for text in texts if text.lower().endswith(ending))
    return sorted(found)


def _upstream(
    prompt: Mapping[str, Any] | None, node: str, own: frozenset[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (id, class, relevant inputs) of a node and everything upstream; of all nodes when the node is not found."""
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
