"""What a server's answer to a hostile workflow means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .explore import Verdict
from .sandbox import PACK_NAME, SECRET

_OURS = re.compile(r"\.respo_train\.core\.errors\.\w+$")
_FRAME = re.compile(r'File ".*?' + PACK_NAME + r'[/\\]([^"]+)", line \d+, in (\w+)')
_NO_ARGUMENT = re.compile(r"missing \d+ required positional argument")


def judge_refusal(status: int, answer: Mapping[str, Any], log: str) -> Verdict:
    """Judge an answer that queued nothing. `log`: what the server printed meanwhile."""
    if status != 400:
        ours = status < 400 or last_frame(log.splitlines())
        return Verdict("defect" if ours else "the host's error", f"HTTP {status}\n{log[-2000:]}")
    reports = (answer.get("node_errors") or {}).values()  # also of a node that was to bring the value by a link
    verdicts = [_judge_reason(error) for report in reports for error in report["errors"]]
    wrong = [verdict for verdict in verdicts if not verdict.is_good]
    return (wrong or verdicts or [Verdict("defect", f"no node is named: {answer}"[:2000])])[0]


def _judge_reason(error: Mapping[str, Any]) -> Verdict:
    text, more = f"{error.get('message')}: {error.get('details')}"[:2000], error.get("extra_info") or {}
    if error["type"].startswith("exception_during"):
        frame = last_frame(more.get("traceback", []))
        if frame or _NO_ARGUMENT.search(text):
            return Verdict("defect", f"{more.get('exception_type')} in validation {frame}: {text}")
    by = "node" if error["type"] == "custom_validation_failed" else "host"
    return Verdict(f"refused by the {by}", text)


def judge_entry(entry: Mapping[str, Any]) -> Verdict:
    """Judge a prompt's history entry."""
    if SECRET in str(entry.get("outputs")) + str(entry.get("status")):
        return Verdict("defect", f"read a file outside the folder: {entry.get('outputs')}"[:2000])
    failure = dict(entry["status"].get("messages", [])).get("execution_error")
    if failure is None:
        done = entry["status"].get("status_str") == "success"
        return Verdict("success") if done else Verdict("slow", str(entry["status"])[:500])
    kind, trace = failure["exception_type"], failure["traceback"]
    text = f"{kind} in {failure['node_type']}: {failure['exception_message']}"[:2000]
    if _OURS.search(kind):
        return Verdict("our error", text)
    if last_frame(trace):
        return Verdict("defect", text + "\n" + "".join(trace)[-3000:])
    return Verdict("the host's error", text)


def last_frame(lines: Iterable[str]) -> str:
    """Return the innermost frame in a file of ours, "nodes/x.py:function"; "" when there is none."""
    frames = [match for line in lines for match in _FRAME.findall(line)]
    return "{}:{}".format(*frames[-1]) if frames else ""
