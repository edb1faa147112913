"""Hostile workflows: each is sent to a real server among files that nobody may touch, and the answer is judged."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.comfy_replies import parse_reply
from benchmarks.comfy_server import ComfyServer, require_host
from respo_train.core.files.checkpoint import load_attribute, save_attribute

from .corpus import MODULE, ROOT, good
from .graphs import Case, cases, escape_cases
from .tally import GOOD, Tally, Verdict

PATIENCE = 60  # seconds of the clock
SECONDS = 2.0  # of the processor, for an answer that is no success
_PREPARES = {"RespoTrainModule": 20.0}  # hashes and copies the model before its training can be refused
PASSES = 3
PACK_NAME, SECRET = "respo-node-pack", "secret-of-the-canary"  # the latter: an attribute that no workflow may read
_ESCAPE = "respo_canary_escape"  # in the name of what must never come to be
_PACK = {"__init__.py", "nodes", "respo_train", "web", "locales", "emoji_world"}
_NOT_OF_HOST = {"models", "output", "input", "temp", "user", "custom_nodes", "tests", "tests-unit", ".git", ".venv"}
_MAY_CHANGE = ("server/output", "server/temp", "server/user", "server/server.log", "modules")
Stock = tuple[int, ...]
_OURS = re.compile(r"\.respo_train\.core\.errors\.\w+$")
# A line of a traceback in a file of ours: the file and the function.
_FRAME = re.compile(r'File ".*?' + PACK_NAME + r'[/\\]([^"]+)", line \d+, in (\w+)')


class Workflows:
    """A server of copies of the host and the pack, in a `with` statement; another server when that is gone.

    All is below one folder: host/, pack inside it, canary/, modules/ (the `respo` folder), server/.
    """

    def __init__(self, folder: Path):
        self.folder, self.tally, self.starts = folder.resolve(), Tally(), 0
        self.before: dict[str, Stock] = {}
        self.host, self.canary, self.modules = (self.folder / name for name in ("host", "canary", "modules"))
        _copy(require_host(), self.host, _NOT_OF_HOST)
        _copy(ROOT, self.host / "custom_nodes" / PACK_NAME, {path.name for path in ROOT.iterdir()} - _PACK)
        for folder in (self.host / "models", self.canary, self.modules):
            folder.mkdir()
        gender = load_attribute(MODULE)
        for name in ("victim.safetensors", "victim"):
            save_attribute(self.canary / name, dataclasses.replace(gender, name=SECRET))
        save_attribute(self.modules / "taken.safetensors", gender)
        (self.modules / "sd1.safetensors").write_bytes(good("module")[-1])
        (self.modules / "foreign.pt").write_bytes(good("archive")[2])
        with contextlib.suppress(OSError):  # Windows gives not everybody the right to make links
            (self.modules / "out").symlink_to(self.canary, target_is_directory=True)
            (self.modules / "link.safetensors").symlink_to(self.canary / "victim.safetensors")
            (self.modules / "loop").symlink_to(self.modules, target_is_directory=True)

    def __enter__(self) -> Workflows:
        extra, folders = ["--whitelist-custom-nodes", PACK_NAME], {"respo": self.modules}
        made = ComfyServer(self.folder / "server", host=self.host, model_folders=folders, extra=extra, with_pack=False)
        self.server, self.http, self.starts = made.__enter__(), requests.Session(), self.starts + 1
        self.info = {name: one for name, one in self.server.object_info().items() if name.startswith("Respo")}
        if not self.info:
            raise RuntimeError(f"the server has none of our nodes:\n{self.server.log[-3000:]}")
        self.before = self.before or self._stock()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def run(self, count: int) -> Tally:
        """Send `count` cases, shared out among the nodes, in PASSES, and first the plain ways out of a folder.

        They are always the same ones for the same nodes.
        """
        tally, nodes = self.tally, sorted(self.info)
        plain = {node: self.ask(Case(node, sampled=True))[node].kind for node in nodes}  # also lets the host load all
        tally.more["slow"], memory = [], [self._memory()]
        for place, node in enumerate(nodes * PASSES):
            known = list(escape_cases(self.info, node)) if place < len(nodes) else []
            share = count * (place + 1) // (PASSES * len(nodes)) - count * place // (PASSES * len(nodes))
            tally.explore(known, cases(self.info, node), share, self.ask, place)
            print(f"{place // len(nodes)} {node}: {dict(tally.kinds.get(node, {}))}", flush=True)
            if node == nodes[-1]:
                memory.append(self._memory())
        tally.failures += [f"changed: {path}" for path in self.changed()]
        tally.more |= {"valid_graph": plain, "memory_mb": memory, "server_starts": self.starts}
        return tally

    def _post(self, path: str, **request: Any) -> requests.Response:
        return self.http.post(f"{self.server.url}/{path}", timeout=PATIENCE, **request)

    def _memory(self) -> int:
        """Let the host free what it keeps, models and lines of its log; return the server's memory, in MB."""
        for _ in range(300):
            self._post("prompt", json={"prompt": {}})
        self._post("free", json={"unload_models": True, "free_memory": True})
        time.sleep(2)  # until its loop has looked
        return round(psutil.Process(self.server.pid).memory_info().rss / 1e6)

    def ask(self, case: Case) -> dict[str, Verdict]:
        """Return what became of a case."""
        mark, process = self.server.log_file.stat().st_size, psutil.Process(self.server.pid)
        began = sum(process.cpu_times()[:2])
        try:
            verdict = self._answer(case.body(self.info).replace("{outside}", self.canary.as_posix()), mark)
        except (requests.RequestException, TimeoutError) as error:
            verdict = Verdict("gone or stuck", f"{error!r}\n{self._printed(mark)[-3000:]}")
            self.__exit__()
            self.__enter__()
            return {case.node: verdict}
        seconds = sum(process.cpu_times()[:2]) - began
        if seconds > SECONDS:
            text = f"{seconds:.1f} s, {verdict.kind}: {str(case)[:300]}"
            self.tally.more.setdefault("slow", []).append(text)
            if verdict.kind in GOOD and verdict.kind != "success" and seconds > _PREPARES.get(case.node, SECONDS):
                verdict = Verdict("slow", text)
        return {case.node: verdict}

    def _answer(self, body: str, mark: int) -> Verdict:
        reply = self._post("prompt", data=body.encode(), headers={"Content-Type": "application/json"})
        answer = parse_reply(reply)
        if "prompt_id" not in answer:
            return judge_refusal(reply.status_code, answer, self._printed(mark))
        began, pause = time.monotonic(), 0.004
        while not (history := self.http.get(f"{self.server.url}/history", timeout=PATIENCE).json()):
            passed = time.monotonic() - began
            if passed > PATIENCE or (passed > 2 and "prompt_worker" in self._printed(mark)):  # its thread ended
                raise TimeoutError("the prompt does not end")
            time.sleep(pause)
            pause = min(2 * pause, 0.25)
        self._post("history", json={"clear": True})
        verdict = judge_entry(history[answer["prompt_id"]])
        return judge_refusal(400, answer, "") if verdict.kind in GOOD and answer.get("node_errors") else verdict

    def _printed(self, mark: int) -> str:
        """Return what the server printed since its log was `mark` bytes long, at most the last megabyte."""
        with open(self.server.log_file, "rb") as log:
            log.seek(max(mark, log.seek(0, 2) - 1_000_000))
            return log.read().decode(errors="replace")

    def changed(self) -> list[str]:
        """Name what was made, changed or deleted where nothing may be since the start."""
        return sorted({path for path, _ in self.before.items() ^ self._stock().items()})

    def _stock(self) -> dict[str, Stock]:
        """Return every file's kind, rights, size and time; of a folder only that it is there."""
        places = (Path(tempfile.gettempdir()), Path.home(), Path("/"))
        found: dict[str, Stock] = {str(path): () for place in places for path in place.glob(f"*{_ESCAPE}*")}
        for path in self.folder.rglob("*"):
            name, status = path.relative_to(self.folder), path.lstat()
            if "__pycache__" not in name.parts and not any(name.is_relative_to(one) for one in _MAY_CHANGE):
                whole = (status.st_mode, status.st_size, status.st_mtime_ns)
                found[name.as_posix()] = () if stat.S_ISDIR(status.st_mode) else whole
        return found


def _copy(source: Path, target: Path, but: set[str]) -> None:
    """Copy a folder as it is now, but for some entries of its own and what another process has written by half."""

    def skip(folder: str, names: list[str]) -> set[str]:
        own = but if Path(folder) == source else set()
        return {name for name in names if name in own or ".pyc." in name or name.endswith(".training")}

    shutil.copytree(source, target, ignore=skip)


def judge_refusal(status: int, answer: Mapping[str, Any], log: str) -> Verdict:
    """Judge an answer that queued nothing. `log`: what the server printed meanwhile."""
    if status != 400:
        ours = status < 400 or _FRAME.search(log)
        return Verdict("defect" if ours else "the host's error", f"HTTP {status}\n{log[-2000:]}")
    found = []
    # Also of a node that was to bring the value by a link.
    for error in (error for report in (answer.get("node_errors") or {}).values() for error in report["errors"]):
        text, more = f"{error.get('message')}: {error.get('details')}"[:2000], error.get("extra_info") or {}
        frames = _FRAME.findall("".join(more.get("traceback", [])))
        if error["type"].startswith("exception_during") and (frames or "required positional argument" in text):
            return Verdict("defect", f"{more.get('exception_type')} in validation {frames[-1:]}: {text}")
        by = "node" if error["type"] == "custom_validation_failed" else "host"
        found.append(Verdict(f"refused by the {by}", text))
    return found[0] if found else Verdict("defect", f"no node is named: {answer}"[:2000])


def judge_entry(entry: Mapping[str, Any]) -> Verdict:
    """Judge a prompt's history entry."""
    if SECRET in str(entry.get("outputs")) + str(entry.get("status")):
        return Verdict("defect", f"read a file outside the folder: {entry.get('outputs')}"[:2000])
    failure = dict(entry["status"].get("messages", [])).get("execution_error")
    if failure is None:
        done = entry["status"].get("status_str") == "success"
        return Verdict("success" if done else "cancelled", str(entry["status"])[:500])
    text = f"{failure['exception_type']} in {failure['node_type']}: {failure['exception_message']}"[:2000]
    if _OURS.search(failure["exception_type"]):
        return Verdict("our error", text)
    lines = "".join(failure["traceback"])
    return Verdict("defect" if _FRAME.search(lines) else "the host's error", f"{text}\n{lines[-3000:]}")
