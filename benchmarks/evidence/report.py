"""RESULTS.md, results.json and the pictures."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
from .tables import OF_TRAININGS, TABLES, rankings, spread, table, text, title, verdicts
from .targets import TARGETS, TRANSFORMER_TARGETS, Target
from .training import Modules

INTRODUCTION = """\
Every method on the same prompts, seeds and assignments, on [Emoji World]({root}/emoji_world/README.md): drawn by a real
ComfyUI server through the pack's own nodes ({sampler}, {steps} steps, cfg {guidance:g}), judged by a classifier that
neither model nor modules have seen. Square brackets are 95 % bootstrap intervals over pictures; `results.json` has all
figures with their numbers of pictures. A star: the judge is unsure of more than 5 % of them; these are left out of
ratios and shares, and count as a wrong profession."""

PAGE = "RESULTS.md"
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
    shown = _shown(pictures.save(folder / "pictures", plan, store, modules)) if made.pictures else _kept(folder / PAGE)
    lines = [f"# {made.page.title}", "", *_header(plan, made), ""]
    lines += [made.page.about, ""] if made.page.about else []
    if RESPO in found and made.page.targets:
        lines += ["## Reached and missed", "", *verdicts(found[RESPO], made.page.targets), ""]
    rows = {name: own for name, own in found.items() if name != "judge"}
    ordered = {name: rows[name] for name in (*rows, PERFECT, COIN) if name in rows and name not in (PERFECT, COIN)}
    ordered |= {name: rows[name] for name in (PERFECT, COIN) if name in rows}
    chart.save(folder / "pictures" / chart.NAME, ordered, RESPO)
    lines += ["## At a glance", "", f"![All methods](pictures/{chart.NAME})", ""]
    if made.page.curves:
        curves.save(folder / "pictures" / curves.NAME, made.page.curves, found)
        about = "Each line is one method, from its lowest strength to its highest, which stand beside its points."
        lines += ["## Every strength", "", about, "", f"![Every strength](pictures/{curves.NAME})", ""]
    if trained := spread(found):
        lines += ["## Three trainings: mean [lowest, highest]", "", *table(OF_TRAININGS, trained), ""]
    for heading, columns in TABLES.items():
        if own := table(columns, ordered):
            lines += [f"## {heading}", "", *own, ""]
    if made.page.targets:
        lines += ["## The judges", "", *_judges(found), "", *rankings(ordered), ""]
    lines += [*shown, BEHIND_PICTURES, "", *_rows(plan, modules), "", "## What is drawn", "", *_sets(plan), ""]
    write_atomically(folder / PAGE, "\n".join(lines).encode())
    print(f"wrote {folder / PAGE}", flush=True)


def _shown(parts: pictures.Shown) -> list[str]:
    return [
        line
        for heading, own, name in parts
        for line in (f"## {heading}", "", own, "", f"![{heading}](pictures/{name})", "")
    ]


def _kept(page: Path) -> list[str]:
    """Return what a published page says of its pictures."""
    lines = page.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("## Side by side"))
    return lines[first : lines.index(BEHIND_PICTURES)]


def _header(plan: Plan, made: Made) -> list[str]:
    changed = bench.changed_files()
    sampler = plan.methods[UNMODIFIED].network.sampler
    state = f"**not the frozen one: {', '.join(changed)} differ**" if changed else "as frozen (hashes checked)"
    today, cores = datetime.datetime.now(datetime.timezone.utc).date(), os.cpu_count()
    return [
        INTRODUCTION.format(sampler=sampler, steps=STEPS, guidance=GUIDANCE, root=made.page.root),
        "",
        f"Again: `{made.page.command}`. Made on {today} on {cores} cores ({_processor()}), modules trained in "
        f"{plan.precision}; {made}. "
        f"Pictures a profession: {_pictures(plan)} where a share or a mean is counted; the bench is {state}.",
    ]


def _pictures(plan: Plan) -> str:
    own = plan.scale
    if (own.own, own.own_side) == (own.others, own.others_side):
        return f"{own.own}, and {own.own_side}"
    return f"{own.own} for our row and the unmodified model, {own.others} for the others, who get {own.others_side}"


def _processor() -> str:
    """Return the processor's name, as far as the machine tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _judges(found: Mapping[str, Figures]) -> list[str]:
    own = found.get("judge", {})
    parts = [f"{name.removeprefix('accuracy_')} {text(figure, 'share')} %" for name, figure in own.items()]
    n = next((figure.n for figure in own.values()), 0)
    return [
        f"The judge's own accuracy on {n} composites of real emoji that it was not trained on: {', '.join(parts)}.",
        "A second judge of another kind, which learned nothing, looks for the nearest real emoji, pixel by pixel. It "
        "is cruder: what matters is whether both rank the methods alike. Best first:",
    ]


def _rows(plan: Plan, modules: Modules) -> list[str]:
    lines = []
    for name in plan.methods:
        method = plan.methods[name]
        changes = method.training.changes if method.training else {}
        less = f" Trained with {', '.join(f'{k} {v}' for k, v in changes.items())}." if changes else ""
        gone = "" if name in modules else " **Left out of this run: its modules are not trained.**"
        lines.append(f"- **{title(name)}** (`{name}`): {method.about or 'see its title'}.{less}{gone}")
    return lines


def _sets(plan: Plan) -> list[str]:
    names = {task.name for name in plan.methods if name != UNMODIFIED for task in plan.tasks(name)}
    return [f"- `{name}`: {TASKS[name].about}" for name in TASKS if name in names]
