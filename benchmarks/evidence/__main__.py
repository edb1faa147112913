"""`python run.py evidence`: every method on Emoji World, drawn, judged, counted; writes RESULTS.md and results.json.

A full run takes hours and goes on where it was stopped: every finished cell is kept in out/evidence.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.comfy_server import PromptFailed, ServerError
from respo_train.core.errors import RespoError
from respo_train.host.load import choose_dtype

from . import bench, cost, report
from .ablations import ROWS
from .asks import TASKS
from .cells import Cell, Store
from .code import ROOT
from .drawing import Drawer, Open, draw_missing
from .extent import EXTENTS, WHOLE, Extent
from .judging import Modules, measured
from .measure import Figures
from .methods import METHODS
from .plan import UNMODIFIED, Plan, chosen
from .sets import cells_to_draw, keep_published, publish, sets_of
from .training import KEPT, Run, Trained, find, find_kept, gather, keep, train_missing


def main(arguments: list[str] | None = None) -> int:
    """Train, draw, measure, write; returns the exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    for name in bench.changed_files():
        print(f"evidence: {name} is not the one that was frozen: no figure compares with older ones", file=sys.stderr)
    try:
        plan = plan_of(options)
        modules = modules_for(plan, options)
        store, judged = Store(options.out / "cells"), options.extent.judged(options.out)
        sets = sets_of(plan, modules)
        kept = keep_published(sets, judged / "figures") if options.extent.finds_figures else ()
        cells = cells_to_draw(sets, kept)
        folder = gather(modules, options.out / "drawing")

        def opened(number: int) -> Drawer:
            return Drawer(options.out / f"server-{number}", folder)

        drawn = draw_missing(cells, store, opened, options.workers)
        print(f"{drawn} of {len(cells)} cells were drawn, the others were there", flush=True)
        results = measured(plan, modules, store, judged, options.workers)
        for name, own in costs(plan, modules, options, opened).items():
            results[name] |= own
        made = report.Made(options.extent.page, time.monotonic() - started, len(sets) - len(kept), len(sets))
        report.write(target_folder(options), plan, results, store, modules, made)
        if is_whole(options) and options.extent.keeps:  # not before: page, figures and modules are of one run
            publish(sets, judged / "figures")
            for name, trained in modules.items():
                for run in plan.runs(name):
                    if trained[run.attribute].path.parent != KEPT:
                        keep(run, trained[run.attribute], KEPT)
    except (ServerError, PromptFailed, RespoError, subprocess.SubprocessError, RuntimeError) as error:
        print(f"evidence: {error}\nWhat is finished is kept; the same command goes on.", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py evidence", description=__doc__)
    add = parser.add_argument
    extents = parser.add_mutually_exclusive_group()
    for flag, extent in EXTENTS.items():
        extents.add_argument(f"--{flag}", dest="extent", action="store_const", const=extent, help=extent.help)
    parser.set_defaults(extent=WHOLE)
    add("--only", nargs="+", metavar="METHOD", help=f"only these rows: {', '.join(METHODS)}, or an ablation's name")
    add("--sets", nargs="+", choices=list(TASKS), metavar="SET", help=f"only these sets: {', '.join(TASKS)}")
    add("--professions", nargs="+", metavar="NAME", help="only these professions and subjects")
    add("--images", type=int, help="pictures a profession, instead of the run's own number")
    add("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="servers side by side (default: cores)")
    add(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="auto",
        help="of training; the server has its own",
    )
    add("--out", type=Path, default=ROOT / "out" / "evidence", help="where everything is kept")
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what to do. Raises RespoError for a row that is not there."""
    extent: Extent = options.extent
    unknown = [name for name in options.only or () if name not in ROWS]
    if unknown:
        raise RespoError(f"no row {unknown[0]!r}. Rows: {', '.join(ROWS)}")
    scale = extent.scale
    if options.images is not None:
        n = options.images
        scale = replace(scale, own=n, own_side=n, others=n, others_side=min(scale.others_side, n))
    dtype = choose_dtype(options.precision, torch.device("cpu"))
    return Plan(
        chosen(options.only or extent.rows),
        scale,
        "bfloat16" if dtype == torch.bfloat16 else "float32",
        tuple(options.sets) if options.sets else extent.tasks,
        tuple(options.professions) if options.professions else extent.groups,
    )


def modules_for(plan: Plan, options: argparse.Namespace) -> dict[str, dict[str, Trained]]:
    """Return method -> attribute -> its module, trained now where need be and where the run's extent allows it."""
    runs, extent = {name: plan.runs(name) for name in plan.methods}, options.extent
    if extent.trains:
        every = [run for own in runs.values() for run in own]
        train_missing(
            [run for run in every if not (extent.takes_kept and find_kept(run))], options.out, options.workers
        )

    def look(run: Run) -> Trained | None:
        kept = find_kept(run) if extent.takes_kept else None
        return kept or (find(run, options.out / "modules") if extent.trains else None)

    found: dict[str, dict[str, Trained]] = {}
    for name, own in runs.items():
        known = {run.attribute: look(run) for run in own}
        if None in known.values() and not plan.methods[name].shipped:
            print(f"Left out: {name}, whose modules only a full run trains", flush=True)
            continue
        found[name] = {attribute: one for attribute, one in known.items() if one is not None}
    return found


def costs(plan: Plan, modules: Modules, options: argparse.Namespace, opened: Open) -> dict[str, Figures]:
    """Return what each row costs; timed in a server of its own, with nothing beside it."""
    rounds = cost.rounds_of(plan, modules, *options.extent.rounds)

    def timed() -> dict[str, Figures]:
        print("Timing what each row costs", flush=True)
        with opened(0) as drawer:
            drawer.draw(plan.cell(UNMODIFIED, cost.WARMING, {}))  # loads the model

            def seconds(cell: Cell) -> float:
                before = drawer.seconds()
                drawer.draw(cell)
                return drawer.seconds() - before

            return cost.measure(rounds, seconds)

    return cost.remembered(options.out / "cost", rounds, timed)


def is_whole(options: argparse.Namespace) -> bool:
    """Say whether a run leaves out nothing of its extent."""
    return not any((options.only, options.sets, options.professions, options.images))


def target_folder(options: argparse.Namespace) -> Path:
    """Return where RESULTS.md goes: only a whole run's belongs into the repository."""
    published: Path | None = options.extent.published
    return published if is_whole(options) and published else Path(options.out) / options.extent.partial


if __name__ == "__main__":
    sys.exit(main())
