"""What ComfyUI's server answers, and how its errors become one readable exception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

Entry = dict[str, Any]  # one entry of ComfyUI's /history


class PromptFailed(RuntimeError):
    """ComfyUI refused a prompt or failed while running it.

    Attributes:
        node_errors: {node id: [message, ...]}; empty when the failure belongs to no node.
    """

    def __init__(self, message: str, node_errors: Mapping[str, Sequence[str]] | None = None) -> None:
        self.node_errors = {node: list(messages) for node, messages in (node_errors or {}).items()}
        details = [f"node {node}: {text}" for node, texts in self.node_errors.items() for text in texts]
        super().__init__("\n  ".join([message, *details]))


def parse_reply(reply: requests.Response) -> dict[str, Any]:
    """Return a reply's JSON object; what is none becomes an error's message."""
    try:
        answer = reply.json()
    except ValueError:
        answer = {"error": reply.text.strip()}
    return answer if isinstance(answer, dict) else {"error": str(answer)}


def rejection(status: int, answer: Mapping[str, Any]) -> PromptFailed:
    """Make an exception of ComfyUI's answer to an invalid prompt."""
    error = answer.get("error") or "a part of the prompt is invalid"
    message = join_texts(error, "message", "details") if isinstance(error, dict) else str(error)
    nodes = {}
    for node, report in (answer.get("node_errors") or {}).items():
        nodes[node] = [f"{report.get('class_type')}: {join_texts(e, 'message', 'details')}" for e in report["errors"]]
    return PromptFailed(f"ComfyUI refused the prompt (HTTP {status}): {message}", nodes)


def join_texts(data: Mapping[str, Any], *keys: str) -> str:
    """Join those texts of a JSON object that are there."""
    return " ".join(str(data[key]) for key in keys if data.get(key))


def raise_if_failed(entry: Entry) -> None:
    """Raise PromptFailed when a history entry tells of an error or an interruption."""
    status = entry.get("status") or {}
    if status.get("status_str") != "error":
        return
    messages = dict(status.get("messages", []))
    failure = messages.get("execution_error")
    if failure is None:
        interrupted = "execution_interrupted" in messages
        raise PromptFailed("the prompt was interrupted" if interrupted else f"the prompt failed: {status}")
    text = f"{failure['node_type']}: {failure['exception_type']}: {failure['exception_message'].strip()}"
    raise PromptFailed("a node failed", {str(failure["node_id"]): [text]})
