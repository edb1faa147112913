"""RESULTS.md, results.json and the pictures."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from benchmarks.graph import GUIDANCE, STEPS
from respo_train.core.files.write import write_atomically
from respo_train.evaluation.cells import Store

from . import bench, chart, curves, pictures, results
from .asks import TASKS
from .judging import COIN, PERFECT
from .measure import Figures
from .methods import RESPO
from .plan import UNMODIFIED, Plan
from .rivals import CURVES
from .tables import OF_TRAININGS, TABLES, rankings, spread, table, text, verdicts
from .targets import TARGETS, TRANSFORMER_TARGETS, Target
from .training import Modules

PAGE = "RESULTS.md"
TEMPLATE = "page.md.jinja"
BEHIND_PICTURES = "## What the rows are"


@dataclass(frozen=True)
class Page:
    """Which page is written. `targets`: what our row is held to; with any, the judges rank the rows, too.

    `about`: what to know before its figures are read; `curves`: the rows of a picture of strengths.
    """

    title: str
    command: str
    root: str  # the way from the page to the repository's top
    targets: tuple[Target, ...] = ()
    about: str = ""
    curves: Mapping[str, Mapping[float, str]] = field(default_factory=dict)


RESULTS = Page("Results", "python run.py evidence", "..", TARGETS)
RIVALS = Page(
    "Rivals at their best",
    "python run.py evidence --rivals",
    "../..",
    about="**Gender (of our row and EquiSteer more), and fewer pictures than in [RESULTS.md](../RESULTS.md)**, whose "
    "table this one does not replace. Rivals stand as released, and at the best that "
    "[the search](../search/RESULTS.md) found.",
)
SEARCHED = Page(
    "The search for rivals' best settings",
    "python run.py evidence --search",
    "../..",
    about="Gender, on the fourteen professions that are not held out, with seeds of their own: no other figure is of "
    "these pictures. The best is the lowest deviation ratio among the settings that lose no more than a point of "
    "professions; of those within .01 of it, the best background.",
    curves=CURVES,
)
ABLATED = Page("Ablations", "python run.py evidence --ablations", "../..")
TRANSFORMER_PAGE = Page(
    "Results on a transformer", "python run.py evidence --transformer", "../..", TRANSFORMER_TARGETS
)


@dataclass(frozen=True)
class Made:
    """How a run came about: for which page, what it took, how many of its sets of pictures it made itself.

    `pictures`: those of the page are made anew; else the ones of the published page stay.
    """

    page: Page
    seconds: float
    sets_now: int
    sets: int
    pictures: bool = True

    def __str__(self) -> str:
        """Say so."""
        if self.sets_now < self.sets:
            return (
                f"the last command, with `--changed`, measured {self.sets_now} of {self.sets} sets of pictures in "
                f"{self.seconds / 60:.0f} minutes; the others, of the same settings, modules, host and judge, keep "
                "the figures of earlier runs"
            )
        return f"the last command took {self.seconds / 60:.0f} minutes, with what earlier ones had finished"


def write(folder: Path, plan: Plan, found: Mapping[str, Figures], store: Store, modules: Modules, made: Made) -> None:
    """Write everything into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "results.json", found)
    rows = {name: own for name, own in found.items() if name not in ("judge", PERFECT, COIN)}
    rows |= {name: found[name] for name in (PERFECT, COIN) if name in found}
    targets = made.page.targets
    tables = {
        "Three trainings: mean [lowest, highest]": table(OF_TRAININGS, spread(found)),
        **{heading: table(columns, rows, of=plan.methods) for heading, columns in TABLES.items()},
    }
    page = _template().render(
        made=made,
        plan=plan,
        modules=modules,
        unmodified=plan.methods[UNMODIFIED],
        steps=STEPS,
        guidance=GUIDANCE,
        today=datetime.datetime.now(datetime.timezone.utc).date(),
        cores=os.cpu_count(),
        processor=_processor(),
        changed_files=bench.changed_files(),
        verdicts=verdicts(found[RESPO], targets) if RESPO in found else [],
        chart=chart.NAME,
        curves=curves.NAME,
        tables=tables,
        judge=found.get("judge", {}),
        rankings=rankings(rows, plan.methods),
        shown=pictures.save(folder / "pictures", plan, store, modules) if made.pictures else (),
        kept=() if made.pictures else _kept(folder / PAGE),
        tasks=[task for task in TASKS.values() if any(task in plan.tasks(name) for name in plan.methods)],
    )
    chart.save(folder / "pictures" / chart.NAME, rows, RESPO, plan.methods)
    if made.page.curves:
        curves.save(folder / "pictures" / curves.NAME, made.page.curves, found)
    write_atomically(folder / PAGE, page.encode())
    print(f"wrote {folder / PAGE}", flush=True)


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"figure": text}
    return environment.get_template(TEMPLATE)


def _kept(page: Path) -> list[str]:
    """Return what a published page says of its pictures."""
    lines = page.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("## Side by side"))
    return lines[first : lines.index(BEHIND_PICTURES)]


def _processor() -> str:
    """Return the processor's name, as far as the machine tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
