"""Send one case to the server, wait, judge; start another server when this one is gone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psutil
import requests

from benchmarks.comfy_replies import parse_reply
from benchmarks.comfy_server import ComfyServer

from .cases import Case
from .explore import Verdict
from .graphs import respo_nodes
from .sandbox import Sandbox
from .verdicts import judge_entry, judge_refusal

PATIENCE = 60  # seconds until a prompt is cancelled
GRACE = 30  # seconds that a cancelled prompt may take to end


class Client:
    """The server of a sandbox, in a `with` statement. `starts`: how often one had to be started."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox, self.starts = sandbox, 0

    def __enter__(self) -> Client:
        self._start()
        self.info = self.server.object_info()
        if not respo_nodes(self.info):
            self.server.stop()
            raise RuntimeError(f"the server has none of our nodes:\n{self.server.log[-3000:]}")
        self.sandbox.remember()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def memory(self) -> int:
        """The server's resident memory, in bytes."""
        return int(psutil.Process(self.server.pid).memory_info().rss)

    def ask(self, case: Case) -> dict[str, Verdict]:
        """Return what became of a case; start another server when this one is gone or stands still."""
        mark = self.server.log_file.stat().st_size
        try:
            return {case.node: self._ask(case.body(self.info), mark)}
        except (requests.RequestException, _Stuck) as error:
            printed = self._printed(mark)[-3000:]
            self.server.stop()
            self._start()
            return {case.node: Verdict("gone or stuck", f"{error!r}\n{printed}")}

    def _ask(self, body: str, mark: int) -> Verdict:
        headers = {"Content-Type": "application/json"}
        reply = self._http.post(f"{self.server.url}/prompt", body.encode(), headers=headers, timeout=PATIENCE)
        answer = parse_reply(reply)
        if "prompt_id" not in answer:
            return judge_refusal(reply.status_code, answer, self._printed(mark))
        verdict = judge_entry(self._wait(answer["prompt_id"], mark))
        return judge_refusal(400, answer, "") if verdict.is_good and answer.get("node_errors") else verdict

    def _wait(self, prompt_id: str, mark: int) -> Mapping[str, Any]:
        """Wait for a prompt; cancel one that takes too long. Raises _Stuck when it does not even end then."""
        began, pause, cancelled = time.monotonic(), 0.004, False
        while True:
            history = self._http.get(f"{self.server.url}/history/{prompt_id}", timeout=PATIENCE).json()
            if prompt_id in history:
                self._http.post(f"{self.server.url}/history", json={"clear": True}, timeout=PATIENCE)
                return history[prompt_id]
            passed = time.monotonic() - began
            if passed > PATIENCE + GRACE or (passed > 2 and "prompt_worker" in self._printed(mark)):  # its thread ended
                raise _Stuck
            if passed > PATIENCE and not cancelled:
                self.server.interrupt()
                cancelled = True
            time.sleep(pause)
            pause = min(2 * pause, 0.25)

    def _printed(self, mark: int) -> str:
        """Return what the server printed since its log was `mark` bytes long, at most the last megabyte."""
        with open(self.server.log_file, "rb") as log:
            log.seek(max(mark, log.seek(0, 2) - 1_000_000))
            return log.read().decode(errors="replace")

    def _start(self) -> None:
        self.server: ComfyServer = self.sandbox.server().__enter__()
        self._http = requests.Session()
        self.starts += 1


class _Stuck(Exception):
    """Raised when the queue stands still."""
