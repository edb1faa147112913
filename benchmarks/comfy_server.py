"""A client for a real ComfyUI server: start it, run prompts through it, get the pictures, stop it."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image

from benchmarks.comfy_replies import Entry, PromptFailed, parse_reply, raise_if_failed, rejection
from respo_train.core.files.write import write_atomically
from setup_steps.host import find_host, is_host, link_pack

Prompt = Mapping[str, Any]  # ComfyUI's API format: {node id: {"class_type": ..., "inputs": {...}}}
Pictures = NDArray[np.uint8]  # [N, H, W, 3]
__all__ = ["ComfyServer", "Entry", "Pictures", "Prompt", "PromptFailed", "ServerError", "require_host"]
LOG_TAIL = 40
REQUEST_SECONDS = 60
START_SECONDS = 300  # until the server answers


class ServerError(RuntimeError):
    """The server did not start, or died; the message ends with the tail of its log."""


class ComfyServer:
    """A ComfyUI process with this pack as its custom node; use it in a `with` statement.

    Args:
        folder: where everything that the server writes goes (output, user, temp, log); made if need be.
        host: ComfyUI's folder; by default COMFYUI_PATH, else `.comfyui`.
        model_folders: more folders with models, {"respo": path}: what they hold shows up beside ComfyUI's own.
        extra: further arguments of ComfyUI's main.py.
        with_pack: False starts the bare host, for comparison.
        more_nodes: a folder with the files of further custom nodes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: Path | None = None,
        model_folders: Mapping[str, Path] | None = None,
        extra: Sequence[str] = (),
        with_pack: bool = True,
        more_nodes: Path | None = None,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.host = host or require_host()
        self.model_folders = dict(model_folders or {})
        self.custom_nodes: list[str] = []
        if more_nodes is not None:
            self.model_folders["custom_nodes"] = more_nodes
            self.custom_nodes = sorted(path.name for path in more_nodes.glob("*.py"))
        self.extra = list(extra)
        self.with_pack = with_pack
        self.output, self.input, self.user = (self.folder / name for name in ("output", "input", "user"))
        self.log_file = self.folder / "server.log"
        self.url = ""
        self.client_id = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ComfyServer:
        """Start the server and wait until it answers.

        Raises:
            ServerError: it died or did not answer in time.
        """
        for path in (self.output, self.input, self.user):
            path.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with open(self.log_file, "wb") as log:
            self._process = subprocess.Popen(self._command(port), stdout=log, stderr=subprocess.STDOUT, cwd=self.host)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process; what it wrote stays."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int:
        """The process's number. Raises ServerError when it does not run."""
        self._check_alive()
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server printed so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def object_info(self) -> dict[str, Any]:
        """Return what the server says of its nodes, {node id: description}."""
        return self._get("/object_info").json()

    def queue(self, prompt: Prompt, extra_data: Mapping[str, Any] | None = None) -> str:
        """Queue a prompt in API format; return its id.

        Raises:
            PromptFailed: ComfyUI found it invalid, or a part of it: then nothing is known of the rest.
        """
        body: Any = {"prompt": prompt, "client_id": self.client_id, "extra_data": dict(extra_data or {})}
        reply = requests.post(f"{self.url}/prompt", json=body, timeout=REQUEST_SECONDS)
        answer = parse_reply(reply)
        if reply.status_code != 200 or answer.get("node_errors"):
            raise rejection(reply.status_code, answer)
        return str(answer["prompt_id"])

    def wait(self, prompt_id: str, timeout: float = 1800) -> Entry:
        """Wait until a prompt has run; return its history entry, pictures under ["outputs"][node id]["images"].

        Args:
            prompt_id: from `queue`.
            timeout: seconds.

        Raises:
            PromptFailed: a node failed, or the prompt was interrupted.
            ServerError: the server died.
            TimeoutError: it takes longer.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            entry: Entry | None = self._get(f"/history/{prompt_id}").json().get(prompt_id)
            if entry is not None:
                raise_if_failed(entry)
                return entry
            time.sleep(0.25)
        raise TimeoutError(f"prompt {prompt_id} has not finished after {timeout:.0f} s:\n{self._tail()}")

    def run(self, prompt: Prompt, timeout: float = 1800) -> Entry:
        """Queue a prompt and wait for it."""
        return self.wait(self.queue(prompt), timeout)

    def files(self, entry: Entry, node_id: str) -> list[bytes]:
        """Return the image files that a node saved or previewed, byte for byte, in batch order."""
        found = entry.get("outputs", {}).get(str(node_id), {}).get("images")
        if not found:
            raise KeyError(f"node {node_id} gave no images; these did: {sorted(entry.get('outputs', {}))}")
        keys = ("filename", "subfolder", "type")
        return [self._get("/view", {key: image[key] for key in keys}).content for image in found]

    def images(self, entry: Entry, node_id: str) -> list[Image.Image]:
        """Return a node's images, in batch order; `.info` holds the PNG's texts (prompt, workflow)."""
        pictures: list[Image.Image] = [Image.open(io.BytesIO(data)) for data in self.files(entry, node_id)]
        for picture in pictures:
            picture.load()
        return pictures

    def pictures(self, entry: Entry, node_id: str) -> Pictures:
        """Return a node's images without transparency, in batch order."""
        return np.stack([np.asarray(image.convert("RGB")) for image in self.images(entry, node_id)])

    def interrupt(self) -> None:
        """Cancel the prompt that runs now, as the Cancel button does."""
        requests.post(f"{self.url}/interrupt", timeout=REQUEST_SECONDS).raise_for_status()

    def _command(self, port: int) -> list[str | Path]:
        command: list[str | Path] = [sys.executable, self.host / "main.py", "--cpu", "--port", str(port)]
        command += ["--disable-api-nodes", "--disable-all-custom-nodes"]
        command += ["--output-directory", self.output, "--input-directory", self.input]
        command += ["--user-directory", self.user, "--temp-directory", self.folder]
        if self.with_pack:
            command += ["--whitelist-custom-nodes", link_pack(self.host), *self.custom_nodes]
        if "--database-url" in (self.host / "comfy" / "cli_args.py").read_text(encoding="utf-8"):
            command += ["--database-url", "sqlite:///:memory:"]  # else two servers share one file
        if self.model_folders:
            command += ["--extra-model-paths-config", self._write_model_paths()]
        return [*command, *self.extra]

    def _write_model_paths(self) -> Path:
        """Write ComfyUI's configuration of further model folders; JSON is YAML too."""
        path = self.folder / "model_paths.yaml"
        folders = {name: str(Path(folder).resolve()) for name, folder in self.model_folders.items()}
        write_atomically(path, json.dumps({"respo": folders}).encode())
        return path

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self._check_alive()
            try:
                if requests.get(f"{self.url}/system_stats", timeout=REQUEST_SECONDS).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.25)
        raise ServerError(f"ComfyUI does not answer after {START_SECONDS} s:\n{self._tail()}")

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> requests.Response:
        try:
            reply = requests.get(self.url + path, params=parameters, timeout=REQUEST_SECONDS)
        except requests.ConnectionError:
            self._check_alive()
            raise
        reply.raise_for_status()
        return reply

    def _check_alive(self) -> None:
        if self._process is None:
            raise ServerError("the server is not running: use ComfyServer in a `with` statement")
        status = self._process.poll()
        if status is not None:
            raise ServerError(f"ComfyUI ended with status {status}; the end of its log:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.splitlines()[-LOG_TAIL:])


def require_host(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the ComfyUI to use.

    Raises:
        FileNotFoundError: there is none.
        SetupError: COMFYUI_PATH is wrong.
    """
    host = find_host(environment)
    if not is_host(host):
        raise FileNotFoundError(f"no ComfyUI at {host}: get one by `python run.py test`, or set COMFYUI_PATH")
    return host


def free_port() -> int:
    """Return a port that no server listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
