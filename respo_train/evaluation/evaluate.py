"""One evaluation: what is drawn, what is measured of it, and where it is written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import RespoError
from ..core.files.write import write_atomically
from ..core.judge import AnyJudge
from ..judges.segmenter import Segmenter
from ..team import ALONE, Team
from .cells import Cell, Store
from .drawing import draw_missing
from .drawn import Drawn
from .i2p import PART, read_prompts
from .measuring import Measuring, Questions, questions
from .page import write_evaluation_page
from .protocol import Ask, Part, Protocol
from .real import read_real
from .sampler import Brush
from .steering import AFTER, BEFORE, GATED

Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What to evaluate. `images`: pictures per prompt; `csv`: i2p's prompts; `real`: pictures to compare with."""

    protocol: Protocol
    brush: Brush
    judge: AnyJudge
    segmenter: Segmenter | None
    out: Path
    images: int
    seed: int = 0
    csv: Path | None = None
    real: Path | None = None
    settings: Mapping[str, Any] | None = None  # for people, on the page

    def asks(self) -> list[Ask]:
        """Return every prompt. Raises RespoError for a CSV that is none."""
        if self.csv is not None:
            return read_prompts(self.csv, self.images, self.seed)
        steering = self.brush.steering
        return self.protocol.asks(self.images, self.seed, steering.concepts(), steering.purposes())

    def parts(self) -> list[Part]:
        """Return the sets of prompts."""
        if self.csv is not None:
            return [Part(PART, self.protocol.title)]
        steering = self.brush.steering
        return self.protocol.parts(steering.concepts(), steering.purposes())

    def variants(self, part: Part) -> list[str]:
        """Return how each prompt of a set is drawn."""
        steering = self.brush.steering
        if not steering.modules:
            return [BEFORE]
        return [BEFORE, AFTER, GATED] if part.gated and steering.fair else [BEFORE, AFTER]


def evaluate(job: Job, team: Team = ALONE, say: Say = print) -> Path | None:
    """Draw what is missing, measure, write `index.html` and `results.json`; return the page.

    Processes share the drawing; number 0 alone measures and writes, the others return None. Raises RespoError.
    """
    started = time.monotonic()
    asked = questions(job.judge, job.brush.steering, job.protocol.attributes)
    store = Store(job.out / "cells")
    plan = planned(job)
    cells = [cell for _, _, _, own in plan for cell in own]
    pictures = sum(cell.count for cell in cells)
    if team.leads:
        say(f"{job.protocol.title}: {len(job.asks())} prompts, {pictures} pictures, judged by {job.judge.name}")
    there = len({cell.key for cell in cells})
    drawn = draw_missing(cells, store, lambda _: nullcontext(job.brush), team=team, say=say)
    if not team.leads:
        return None
    if drawn < there:
        say(f"{there - drawn} of {there} cells were there already")
    made = {"cells": there, "drawn": drawn, "seconds": round(time.monotonic() - started, 1)}
    return _report(job, asked, gathered(job, store, plan), made)


Plan = list[tuple[Part, str, Ask, list[Cell]]]


def planned(job: Job) -> Plan:
    """Return (set, variant, prompt, its cells) of all that is to be drawn."""
    asks, steering = job.asks(), job.brush.steering
    return [
        (part, variant, ask, job.brush.cells(ask, steering.acts(ask, variant)))
        for part in job.parts()
        for variant in job.variants(part)
        for ask in asks
        if ask.part == part.name
    ]


def gathered(job: Job, store: Store, plan: Plan) -> dict[str, dict[str, list[Drawn]]]:
    """Open all pictures: set -> variant -> one Drawn a cell. They are read when they are looked at."""
    runs: dict[str, dict[str, list[Drawn]]] = {}
    for part, variant, ask, cells in plan:
        own = runs.setdefault(part.name, {}).setdefault(variant, [])
        # A model without modules was asked for nothing, except for what the prompt itself states.
        asked = [""] * ask.count if variant == BEFORE and not ask.states else job.brush.steering.asked(ask)
        for cell in cells:
            own.append(ask.drawn(store.load(cell), asked[cell.first : cell.first + cell.count]))
    return runs


def _report(
    job: Job, asked: Questions, runs: Mapping[str, Mapping[str, Sequence[Drawn]]], made: dict[str, Any]
) -> Path:
    first = next((one for own in runs.values() for run in own.values() for one in run), None)
    if first is None:
        raise RespoError("there is nothing to draw: no prompts")
    real = read_real(job.real, (first.images.shape[1], first.images.shape[2])) if job.real else []
    measured = Measuring(job.judge, job.segmenter, job.brush.steering, asked, job.parts(), runs, real)
    measured.measure()
    settings = {**(job.settings or {}), **made, "judge": job.judge.name, "respo": __version__}
    results = {
        "protocol": job.protocol.name,
        "settings": settings,
        "figures": measured.table.to_dict(),
        "skipped": measured.table.skipped,
    }
    write_atomically(job.out / "results.json", (json.dumps(results, indent=2, ensure_ascii=False) + "\n").encode())
    write_evaluation_page(job.out / "index.html", job.protocol.title, measured, settings)
    return job.out / "index.html"
