"""`python run.py evidence`: every method on Emoji World, drawn, judged, counted; writes RESULTS.md and results.json.

A full run takes hours and goes on where it was stopped: every finished cell is kept in out/evidence.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.comfy_server import PromptFailed, ServerError
from respo_train.core.errors import RespoError
from respo_train.evaluation.cells import Store
from respo_train.evaluation.drawing import draw_missing
from respo_train.precision import choose_dtype

from . import bench, cost, report
from .asks import TASKS
from .drawing import Drawer
from .extent import CHECK, EXTENTS, WHOLE, Extent
from .judging import measured
from .methods import METHODS
from .plan import Plan, chosen
from .sets import cells_to_draw, check, keep_published, publish, sets_of, shows_others
from .training import KEPT, Modules, Run, Trained, find, find_kept, gather, keep, train_missing


def main(arguments: list[str] | None = None) -> int:
    """Train, draw, measure, write; returns the exit status."""
    options = _parser().parse_args(arguments)
    for name in bench.changed_files():
        print(f"evidence: {name} is not the one that was frozen: no figure compares with older ones", file=sys.stderr)
    try:
        plan = plan_of(options)
        modules = modules_for(plan, options)
        folder = gather(modules, options.out / "drawing")

        def opened(number: int) -> Drawer:
            return Drawer(options.out / f"server-{number}", folder)

        if options.extent is CHECK:
            return 1 if check(plan, modules, opened) else 0
        _run(plan, modules, opened, options)
    except (ServerError, PromptFailed, RespoError, subprocess.SubprocessError, RuntimeError) as error:
        print(f"evidence: {error}\nWhat is finished is kept; the same command goes on.", file=sys.stderr)
        return 2
    return 0


def _run(plan: Plan, modules: Modules, opened: Callable[[int], Drawer], options: argparse.Namespace) -> None:
    started, extent = time.monotonic(), options.extent
    store, judged = Store(options.out / "cells"), extent.judged(options.out)
    sets = sets_of(plan, modules)
    kept = keep_published(sets, judged / "figures") if extent.finds_figures else ()
    cells = cells_to_draw(sets, kept)
    drawn = draw_missing(cells, store, opened, workers=options.workers)
    print(f"{drawn} of {len(cells)} cells were drawn, the others were there", flush=True)
    results = measured(plan, modules, store, judged, options.workers)
    rounds = cost.rounds_of(plan, modules, *extent.rounds)
    for name, own in cost.remembered(options.out / "cost", rounds, lambda: cost.timed(plan, rounds, opened)).items():
        results[name] |= own
    now, anew = len(sets) - len(kept), shows_others(sets, kept)
    made = report.Made(extent.page, time.monotonic() - started, now, len(sets), anew)
    report.write(target_folder(options), plan, results, store, modules, made)
    if is_whole(options) and extent.keeps:  # not before: page, figures and modules are of one run
        publish(sets, kept, judged / "figures", store)
        for name, trained in modules.items():
            for run in plan.runs(name):
                if trained[run.attribute].path.parent != KEPT:
                    keep(run, trained[run.attribute], KEPT)


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
    add("--out", type=Path, default=bench.ROOT / "out" / "evidence", help="where everything is kept")
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what to do. Raises RespoError for a row that is not there."""
    extent: Extent = options.extent
    unknown = [name for name in options.only or () if name not in extent.methods]
    if unknown:
        raise RespoError(f"no row {unknown[0]!r}. Rows: {', '.join(extent.methods)}")
    scale = extent.scale
    if options.images is not None:
        n = options.images
        scale = replace(scale, own=n, own_side=n, others=n, others_side=min(scale.others_side, n))
    dtype = choose_dtype()  # of training; the server has its own
    return Plan(
        chosen(options.only or extent.rows, extent.methods),
        scale,
        "bfloat16" if dtype == torch.bfloat16 else "float32",
        tuple(options.sets) if options.sets else extent.tasks,
        tuple(options.professions) if options.professions else extent.groups,
        extent.shift,
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


def is_whole(options: argparse.Namespace) -> bool:
    """Say whether a run leaves out nothing of its extent."""
    return not any((options.only, options.sets, options.professions, options.images))


def target_folder(options: argparse.Namespace) -> Path:
    """Return where RESULTS.md goes: only a whole run's belongs into the repository."""
    published: Path | None = options.extent.published
    return published if is_whole(options) and published else Path(options.out) / options.extent.partial


if __name__ == "__main__":
    sys.exit(main())
