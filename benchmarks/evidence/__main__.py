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
from .ablations import ABLATIONS, BASES, ROWS, SETS
from .asks import TASKS
from .cells import Cell, Store
from .code import ROOT
from .drawing import Drawer, Open, draw_missing
from .judging import Modules, measured
from .measure import Figures
from .methods import METHODS
from .plan import ABLATION, FULL, QUICK, QUICK_GROUPS, UNMODIFIED, Plan, chosen
from .sets import cells_to_draw, keep_published, publish, sets_of
from .training import KEPT, Run, Trained, find, find_kept, gather, keep, train_missing

PUBLISHED = ROOT / "benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """Train, draw, measure, write; returns the exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    for name in bench.changed_files():
        print(f"evidence: {name} is not the one that was frozen: no figure compares with older ones", file=sys.stderr)
    try:
        plan = plan_of(options)
        modules = modules_for(plan, options)
        store, judged = Store(options.out / "cells"), judged_folder(options)
        sets = sets_of(plan, modules)
        kept = keep_published(sets, judged / "figures") if options.changed else ()
        cells = cells_to_draw(sets, kept)
        folder = gather(modules, options.out / "drawing")

        def opened(number: int) -> Drawer:
            return Drawer(options.out / f"server-{number}", folder)

        drawn = draw_missing(cells, store, opened, options.workers)
        print(f"{drawn} of {len(cells)} cells were drawn, the others were there", flush=True)
        results = measured(plan, modules, store, judged, options.workers)
        for name, own in costs(plan, modules, options, opened).items():
            results[name] |= own
        page = report.ABLATED if options.ablations else report.RESULTS
        made = report.Made(page, time.monotonic() - started, len(sets) - len(kept), len(sets))
        report.write(target_folder(options), plan, results, store, modules, made)
        if is_whole(options) and not options.ablations:  # not before: page, figures and modules are of one run
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
    extent = parser.add_mutually_exclusive_group().add_argument
    extent("--quick", action="store_true", help="minutes instead of hours: few pictures of every second profession")
    extent("--changed", action="store_true", help="only what has changed since RESULTS.md; the other figures stay")
    extent("--ablations", action="store_true", help="the ablations' rows instead of the methods', gender alone")
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
    rows = [*BASES, *ABLATIONS] if options.ablations else list(METHODS)
    unknown = [name for name in options.only or () if name not in ROWS]
    if unknown:
        raise RespoError(f"no row {unknown[0]!r}. Rows: {', '.join(ROWS)}")
    scale = QUICK if options.quick else ABLATION if options.ablations else FULL
    tasks = options.sets or (SETS if options.ablations else None)
    if options.images is not None:
        n = options.images
        scale = replace(scale, own=n, own_side=n, others=n, others_side=min(scale.others_side, n))
    dtype = choose_dtype(options.precision, torch.device("cpu"))
    return Plan(
        chosen(options.only or rows),
        scale,
        "bfloat16" if dtype == torch.bfloat16 else "float32",
        tuple(tasks) if tasks else None,
        tuple(options.professions) if options.professions else QUICK_GROUPS if options.quick else None,
    )


def modules_for(plan: Plan, options: argparse.Namespace) -> dict[str, dict[str, Trained]]:
    """Return method -> attribute -> its module, trained now where need be.

    A quick run trains nothing: it uses what the last full run kept, and leaves a row out whose modules are not there.
    A run of what has changed and one of the ablations use these, too, and train the others.
    """
    runs = {name: plan.runs(name) for name in plan.methods}
    with_kept, folder = options.quick or options.changed or options.ablations, options.out / "modules"
    if not options.quick:
        every = [run for own in runs.values() for run in own]
        train_missing([run for run in every if not (with_kept and find_kept(run))], options.out, options.workers)

    def look(run: Run) -> Trained | None:
        return (find_kept(run) if with_kept else None) or (None if options.quick else find(run, folder))

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
    rounds = cost.rounds_of(plan, modules, *((2, 6) if options.quick or options.ablations else (5, 24)))

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
    """Say whether a run leaves nothing out, so that its page may be published."""
    return not any((options.quick, options.only, options.sets, options.professions, options.images))


def judged_folder(options: argparse.Namespace) -> Path:
    """Return where figures are kept: published ones apart, as a whole run is to find all of its figures itself."""
    out = Path(options.out)
    return out / "changed" if options.changed else out


def target_folder(options: argparse.Namespace) -> Path:
    """Return where RESULTS.md goes: only a whole run's belongs into the repository."""
    if is_whole(options):
        return PUBLISHED / "ablations" if options.ablations else PUBLISHED
    return Path(options.out) / ("ablations" if options.ablations else "quick" if options.quick else "partial")


if __name__ == "__main__":
    sys.exit(main())
