"""Hostile workflows: each is sent to a real server among files that nobody may touch, and the answer is judged."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.comfy_replies import parse_reply
from benchmarks.comfy_server import ComfyServer, require_host
from respo_train.core.files.checkpoint import load_attribute, save_attribute

from .corpus import MODULE, ROOT, good
from .graphs import ESCAPE, Case, cases, escape_cases
from .tally import Tally, Tell, Verdict

PATIENCE = 60  # seconds of the clock
SECONDS = 2.0  # of the processor, for an answer that is no success
_PREPARES = {"RespoTrainModule": 20.0}  # hashes and copies the model before its training can be refused
PASSES = 3
PACK_NAME, SECRET = "respo-node-pack", "secret-of-the-canary"  # the latter: an attribute that no workflow may read
_PACK = ("__init__.py", "nodes", "respo_train", "web", "locales", "emoji_world")
_NOT_OF_HOST = {"models", "output", "input", "temp", "user", "custom_nodes", "tests", "tests-unit", ".git", ".venv"}
_MAY_CHANGE = ("server/output", "server/temp", "server/user", "server/server.log", "modules")
_OURS = re.compile(r"\.respo_train\.core\.errors\.\w+$")
_FRAME = re.compile(r'File ".*?' + PACK_NAME + r'[/\\]([^"]+)", line \d+, in (\w+)')


class Workflows:
    """A server of copies of the host and the pack, in a `with` statement; another server when that is gone.

    All is below one folder: host/, pack inside it, canary/, modules/ (the `respo` folder), server/.
    """

    def __init__(self, folder: Path):
        self.folder, self.tally, self.starts = folder.resolve(), Tally(), 0
        self.host, self.canary, self.modules = (self.folder / name for name in ("host", "canary", "modules"))
        self.places = str(self.canary / "victim.safetensors"), str(self.canary / f"{ESCAPE}.safetensors")
        _copy(require_host(), self.host, lambda name: name not in _NOT_OF_HOST)
        _copy(ROOT, self.host / "custom_nodes" / PACK_NAME, lambda name: name in _PACK)
        (self.host / "models").mkdir()
        self._place_files()

    def __enter__(self) -> Workflows:
        self._start()
        self.info = {name: one for name, one in self.server.object_info().items() if name.startswith("Respo")}
        if not self.info:
            raise RuntimeError(f"the server has none of our nodes:\n{self.server.log[-3000:]}")
        self.before = self._stock()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def _start(self) -> None:
        extra = ["--whitelist-custom-nodes", PACK_NAME]
        made = ComfyServer(
            self.folder / "server", host=self.host, model_folders={"respo": self.modules}, extra=extra, with_pack=False
        )
        self.server, self.http, self.starts = made.__enter__(), requests.Session(), self.starts + 1

    def run(self, count: int, tell: Tell = print) -> Tally:
        """Send `count` cases, shared out among the nodes, in PASSES, and first the plain ways out of a folder.

        They are always the same ones for the same nodes.
        """
        tally, nodes = self.tally, sorted(self.info)
        plain = {node: self.ask(Case(node, sampled=True))[node].kind for node in nodes}  # also lets the host load all
        tally.more["slow"], memory = [], [self.memory()]
        for start in range(PASSES):
            for index, node in enumerate(nodes):
                known = [] if start else list(escape_cases(self.info, node, *self.places))
                place = start * len(nodes) + index
                share = count * (place + 1) // (PASSES * len(nodes)) - count * place // (PASSES * len(nodes))
                tally.explore(known, cases(self.info, node, *self.places), share, self.ask, place)
                tell(f"{start} {node}: {dict(tally.kinds[node]) if node in tally.kinds else ''}")
            memory.append(self.memory())
        tally.failures += [f"changed: {path}" for path in self.changed()]
        tally.more |= {"valid_graph": plain, "memory_mb": memory, "server_starts": self.starts}
        return tally

    def memory(self) -> int:
        """Let the host free what it keeps, models and lines of its log; return the server's memory, in MB."""
        for _ in range(300):
            self.http.post(f"{self.server.url}/prompt", json={"prompt": {}}, timeout=PATIENCE)
        self.http.post(f"{self.server.url}/free", json={"unload_models": True, "free_memory": True}, timeout=PATIENCE)
        time.sleep(2)  # until its loop has looked
        return round(psutil.Process(self.server.pid).memory_info().rss / 1e6)

    def ask(self, case: Case) -> dict[str, Verdict]:
        """Return what became of a case."""
        mark, process = self.server.log_file.stat().st_size, psutil.Process(self.server.pid)
        began = sum(process.cpu_times()[:2])
        try:
            verdict = self._answer(case.body(self.info), mark)
        except (requests.RequestException, TimeoutError) as error:
            printed = self._printed(mark)[-3000:]
            self.server.stop()
            self._start()
            return {case.node: Verdict("gone or stuck", f"{error!r}\n{printed}")}
        seconds = sum(process.cpu_times()[:2]) - began
        slow = self.tally.more.setdefault("slow", [])
        if seconds > SECONDS:
            slow.append(f"{seconds:.1f} s, {verdict.kind}: {str(case)[:300]}")
            if verdict.is_good and verdict.kind != "success" and seconds > _PREPARES.get(case.node, SECONDS):
                verdict = Verdict("slow", slow[-1])
        return {case.node: verdict}

    def _answer(self, body: str, mark: int) -> Verdict:
        headers = {"Content-Type": "application/json"}
        reply = self.http.post(f"{self.server.url}/prompt", body.encode(), headers=headers, timeout=PATIENCE)
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
        self.http.post(f"{self.server.url}/history", json={"clear": True}, timeout=PATIENCE)
        verdict = judge_entry(history[answer["prompt_id"]])
        return judge_refusal(400, answer, "") if verdict.is_good and answer.get("node_errors") else verdict

    def _printed(self, mark: int) -> str:
        """Return what the server printed since its log was `mark` bytes long, at most the last megabyte."""
        with open(self.server.log_file, "rb") as log:
            log.seek(max(mark, log.seek(0, 2) - 1_000_000))
            return log.read().decode(errors="replace")

    def _place_files(self) -> None:
        self.canary.mkdir()
        self.modules.mkdir()
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

    def changed(self) -> list[str]:
        """Name what was made, changed or deleted where nothing may be since the start."""
        return sorted({path for path, _ in self.before.items() ^ self._stock().items()})

    def _stock(self) -> dict[str, tuple[Any, ...]]:
        """Return every file's kind, rights, size and time; of a folder only that it is there."""
        found: dict[str, tuple[Any, ...]] = {}
        for folder, names, files in os.walk(self.folder):
            here = Path(folder).relative_to(self.folder)
            names[:] = [n for n in names if n != "__pycache__" and (here / n).as_posix() not in _MAY_CHANGE]
            for name in [*names, *files]:
                path, status = (here / name).as_posix(), os.lstat(Path(folder) / name)
                if path not in _MAY_CHANGE:
                    whole = (status.st_mode, status.st_size, status.st_mtime_ns)
                    found[path] = () if stat.S_ISDIR(status.st_mode) else whole
        for place in (Path(tempfile.gettempdir()), Path.home(), Path("/")):
            found |= {str(path): () for path in place.glob(f"*{ESCAPE}*")}
        return found


def attack(count: int, tell: Tell) -> Tally:
    """Attack in a folder of its own; return what came of it."""
    with tempfile.TemporaryDirectory() as folder, Workflows(Path(folder)) as workflows:
        return workflows.run(count, tell)


def _copy(source: Path, target: Path, wanted: Any) -> None:
    """Copy those entries of a folder whose names are wanted, as they are now."""

    def skip(folder: str, names: list[str]) -> set[str]:
        others = {
            name for name in names if ".pyc." in name or name.endswith(".training")
        }  # another process's, half written
        return others | {name for name in names if Path(folder) == source and not wanted(name)}

    shutil.copytree(source, target, ignore=skip)


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
    frame = last_frame(more.get("traceback", []))
    if error["type"].startswith("exception_during") and (frame or "required positional argument" in text):
        return Verdict("defect", f"{more.get('exception_type')} in validation {frame}: {text}")
    return Verdict(f"refused by the {'node' if error['type'] == 'custom_validation_failed' else 'host'}", text)


def judge_entry(entry: Mapping[str, Any]) -> Verdict:
    """Judge a prompt's history entry."""
    if SECRET in str(entry.get("outputs")) + str(entry.get("status")):
        return Verdict("defect", f"read a file outside the folder: {entry.get('outputs')}"[:2000])
    failure = dict(entry["status"].get("messages", [])).get("execution_error")
    if failure is None:
        done = entry["status"].get("status_str") == "success"
        return Verdict("success") if done else Verdict("cancelled", str(entry["status"])[:500])
    text = f"{failure['exception_type']} in {failure['node_type']}: {failure['exception_message']}"[:2000]
    if _OURS.search(failure["exception_type"]):
        return Verdict("our error", text)
    ours = last_frame(failure["traceback"])
    return Verdict("defect" if ours else "the host's error", text + "\n" + "".join(failure["traceback"])[-3000:])


def last_frame(lines: Iterable[str]) -> str:
    """Return the innermost frame in a file of ours, "nodes/x.py:function"; "" when there is none."""
    frames = [match for line in lines for match in _FRAME.findall(line)]
    return "{}:{}".format(*frames[-1]) if frames else ""
