"""A folder with copies of the host and the pack, and files that nobody may touch: what changed in it is seen."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.comfy_server import ComfyServer, require_host
from respo_train.core.files.checkpoint import load_attribute, save_attribute
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule

from .graphs import FOREIGN, MODULE, MODULES, TAKEN
from .values import ESCAPE

ROOT = Path(__file__).resolve().parents[2]
PACK = ("__init__.py", "nodes", "respo_train", "web", "locales", "emoji_world")
PACK_NAME = "respo-node-pack"
SECRET = "secret-of-the-canary"  # the name of an attribute that no workflow may read
_NOT_OF_HOST = {"models", "output", "input", "temp", "user", "custom_nodes", "tests", "tests-unit", ".git", ".venv"}
_MAY_CHANGE = ("server/output", "server/temp", "server/user", "server/server.log", "modules")


class Sandbox:
    """Everything below one folder: host/, pack inside it, canary/, modules/ (the `respo` folder), server/."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.host, self.canary = self.folder / "host", self.folder / "canary"
        self.modules = self.folder / "modules"
        self.victim = self.canary / "victim.safetensors"
        self.absent = self.canary / f"{ESCAPE}.safetensors"
        _copy_host(self.host)
        self._place_canaries()
        self.before: dict[str, tuple[Any, ...]] = {}

    def server(self) -> ComfyServer:
        """Return a server of the copies, which writes to server/ alone."""
        folders = {"respo": self.modules}
        extra = ["--whitelist-custom-nodes", PACK_NAME]
        return ComfyServer(self.folder / "server", host=self.host, model_folders=folders, extra=extra, with_pack=False)

    def remember(self) -> None:
        """Take stock, once the server has started."""
        self.before = self._stock()

    def changed(self) -> list[str]:
        """Name what was made, changed or deleted where nothing may be since `remember`."""
        return sorted({path for path, _ in self.before.items() ^ self._stock().items()})

    def _place_canaries(self) -> None:
        self.canary.mkdir()
        self.modules.mkdir()
        gender = load_attribute(MODULES / MODULE)
        save_attribute(self.victim, dataclasses.replace(gender, name=SECRET))
        shutil.copyfile(self.victim, self.canary / "victim")
        save_attribute(self.modules / TAKEN, gender)
        with torch.random.fork_rng():
            concepts = {name: ConceptModule(1280, 4, 4) for name in ("woman", "man")}
        sd1 = Attribute("gender", "fairness", concepts, Architecture("sd1", 320, 768, 0, 1280), {}, {})
        save_attribute(self.modules / "sd1.safetensors", sd1)
        rows = torch.randn(100, 1280, generator=torch.Generator().manual_seed(0))
        rows[:2] *= 4  # trained; the others are as they start
        torch.save({"concept_emb": rows}, self.modules / FOREIGN)
        with contextlib.suppress(OSError):  # Windows gives not everybody the right to make links
            (self.modules / "out").symlink_to(self.canary, target_is_directory=True)
            (self.modules / "link.safetensors").symlink_to(self.victim)
            (self.modules / "loop").symlink_to(self.modules, target_is_directory=True)

    def _stock(self) -> dict[str, tuple[Any, ...]]:
        """Every file's kind, rights, size and time; of a folder only that it is there."""
        found: dict[str, tuple[Any, ...]] = {}
        for folder, names, files in os.walk(self.folder):
            here = Path(folder).relative_to(self.folder)
            names[:] = [n for n in names if n != "__pycache__" and (here / n).as_posix() not in _MAY_CHANGE]
            for name in [*names, *files]:
                path, status = (here / name).as_posix(), os.lstat(Path(folder) / name)
                found[path] = (stat.S_IFMT(status.st_mode),)
                if not stat.S_ISDIR(status.st_mode) and path not in _MAY_CHANGE:
                    found[path] = (status.st_mode, status.st_size, status.st_mtime_ns)
        for place in (Path(tempfile.gettempdir()), Path.home(), Path("/")):
            found |= {str(path): () for path in place.glob(f"*{ESCAPE}*")}
        return found


def _copy_host(target: Path) -> None:
    """Copy ComfyUI without anybody's models and files, and this pack as its working tree is now."""
    source = require_host()

    def skip(folder: str, names: list[str]) -> set[str]:
        half_written = {name for name in names if ".pyc." in name}  # by another process, and soon gone
        return half_written | (_NOT_OF_HOST & set(names) if Path(folder) == source else set())

    shutil.copytree(source, target, ignore=skip)
    for name in ("models", "custom_nodes"):
        (target / name).mkdir()
    pack = target / "custom_nodes" / PACK_NAME
    pack.mkdir()
    for name in PACK:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, pack / name, ignore=shutil.ignore_patterns("*.training", "*.pyc.*"))
        else:
            shutil.copy2(ROOT / name, pack / name)
