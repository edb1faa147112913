"""Which cells a run is made of: methods, tasks, how many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch

from benchmarks.comfy_server import require_host
from benchmarks.graph import Network
from emoji_world import world
from respo_train.core.files.checkpoint import file_sha256
from respo_train.evaluation.cells import Cell, digest_of

from .asks import PLAIN, TASKS, WEAPONS, Ask, Task, asks, combined
from .bench import MODULES, code_sha256
from .graphs import pieces
from .methods import FAIRNESS, GATED, RESPO, SAFETY, SHIPPED, SIZED, Method
from .rows import ROWS
from .training import CHECKPOINTS, Run, Trained, runs_of

BATCH = 37  # pictures drawn together: 73 are two batches; from 12 on a picture takes as long in any batch
UNMODIFIED = "unmodified"
SURROUNDINGS = ("checkpoint", "host", "torch")  # what every picture depends on beside its method
# Shares and means, which need fewer pictures than a deviation ratio does.
SIDE = ("night", "day", "subjects", "explicit")


@dataclass(frozen=True)
class Scale:
    """Pictures a profession: of our row and the unmodified model, `own_side` on the tasks in SIDE; of the other rows.

    `tasks`: only these for the other rows.
    """

    own: int
    own_side: int
    others: int
    others_side: int
    tasks: tuple[str, ...] = FAIRNESS + GATED + SAFETY + SIZED

    def count(self, method: str, task: Task) -> int:
        """Return pictures a profession for a method's task."""
        side = task.name.split()[0] in SIDE
        if method in (RESPO, UNMODIFIED):
            return self.own_side if side else self.own
        return self.others_side if side else self.others

    def __str__(self) -> str:
        """Say so."""
        if (self.own, self.own_side) == (self.others, self.others_side):
            return f"{self.own}, and {self.own_side}"
        return (
            f"{self.own} for our row and the unmodified model, {self.others} for the others, who get {self.others_side}"
        )


# 24 and 6: women and men, three skin tones and their combinations all come out even.
FULL = Scale(own=73, own_side=73, others=24, others_side=6)
# One attribute, each row with one thing changed: what is much better or worse shows with few pictures.
ABLATION = Scale(own=12, own_side=6, others=12, others_side=6)
TRANSFORMER_SCALE = Scale(own=12, own_side=12, others=6, others_side=6)
QUICK = Scale(own=6, own_side=3, others=6, others_side=3, tasks=("gender", "skin", "joint", "night"))
# Every second one, two of the four professions that were held out among them.
QUICK_GROUPS = tuple([*(profession.word for profession in world.PROFESSIONS), *world.SUBJECTS][::2])


@dataclass(frozen=True)
class Plan:
    """What a run draws. `precision`: of training; `groups`: only these professions and subjects; None: all.

    `shift`: added to the pictures' seeds.
    """

    methods: Mapping[str, Method]
    scale: Scale
    precision: str
    only: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    shift: int = 0

    def tasks(self, name: str) -> list[Task]:
        """Return a method's tasks in this run; of the unmodified model, the lists of prompts that others need."""
        if name == UNMODIFIED:
            needed = {task.prompts for other in self.methods if other != UNMODIFIED for task in self.tasks(other)}
            return [task for task in PLAIN.values() if task.prompts in needed or len(self.methods) == 1]
        allowed = FAIRNESS + GATED + SAFETY + SIZED if name == RESPO else self.scale.tasks
        own = [t for t in self.methods[name].tasks if t in allowed and (self.only is None or t in self.only)]
        return [TASKS[task] for task in own]

    def asks(self, name: str, task: Task) -> list[Ask]:
        """Return a method's cells of work on a task."""
        method = self.methods[name]
        own = asks(task, self.scale.count(name, task), self.groups, method.random)
        if method.combined and len(task.attributes) > 1:
            own = [combined(one) for one in own]
        return [replace(one, seed=one.seed + self.shift) for one in own]

    def runs(self, name: str) -> list[Run]:
        """Return the training that a method's tasks need."""
        wanted = dict.fromkeys(a for task in self.tasks(name) for ask in self.asks(name, task) for a in attributes(ask))
        return runs_of(name, self.methods[name], list(wanted), self.precision)

    def cells(self, name: str, task: Task, modules: Mapping[str, Trained]) -> list[Cell]:
        """Return a method's cells of a task. `modules`: attribute -> what was trained for it."""
        return [self.cell(name, ask, modules) for ask in self.asks(name, task)]

    def cell(self, name: str, ask: Ask, modules: Mapping[str, Trained]) -> Cell:
        """Return one of a method's cells."""
        method = self.methods[name]
        own = {} if method.shipped else modules
        wanted = attributes(ask) if method.training else []
        paths = {a: own[a].path if a in own else MODULES / SHIPPED[a] for a in wanted}
        files = {attribute: path.name for attribute, path in paths.items()}
        hashes = {attribute: file_sha256(path) for attribute, path in paths.items()}
        work, steers = pieces(method, ask, files, BATCH), method.how == "attention"
        workflows = digest_of([piece.graph for piece in work])
        about = {
            "prompt": ask.prompt,
            "workflows": workflows,
            "modules": hashes,
            "code": code_sha256("nodes", "respo_train/core", *(["benchmarks/evidence/server_nodes"] if steers else [])),
        }
        return Cell(ask, 0, ask.count, {**about, **surroundings(method.network)}, work)


def attributes(ask: Ask) -> list[str]:
    """Return the attributes whose modules a cell needs."""
    task = TASKS.get(ask.part, PLAIN["neutral"])
    return [a for a, _ in ask.shares] or [a for a in task.attributes if a == WEAPONS]


def chosen(names: Iterable[str], rows: Mapping[str, Method] = ROWS) -> dict[str, Method]:
    """Return the rows of a run; the unmodified model is always among them, as everything is compared with it."""
    return {name: rows[name] for name in dict.fromkeys([UNMODIFIED, *names])}


@cache
def surroundings(network: Network) -> Mapping[str, str]:
    """Return the SURROUNDINGS of a network's pictures. Read once, as each cell asks."""
    about = (require_host() / "comfyui_version.py").read_text(encoding="utf-8")
    version = about.split("__version__ =")[1].split()[0].strip("\"'")
    checkpoint = CHECKPOINTS / network.checkpoint
    return dict(zip(SURROUNDINGS, (file_sha256(checkpoint), version, torch.__version__), strict=True))
