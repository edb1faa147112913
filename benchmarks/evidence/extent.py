"""How much a run covers, and what becomes of it: the whole table, a quick look, what has changed, the ablations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import report, transformer
from .ablations import ABLATIONS, BASES, SETS
from .bench import ROOT
from .methods import METHODS, Method
from .plan import ABLATION, FULL, QUICK, QUICK_GROUPS, TRANSFORMER_SCALE, Scale
from .rivals import DEVELOPMENT, RIVALS, SEARCH, SHIFT
from .rows import ROWS

PUBLISHED = ROOT / "benchmarks"


@dataclass(frozen=True)
class Extent:
    """What a run covers when nothing else is said.

    `rows`: what is drawn, out of `methods`. `tasks`, `groups`: only these; None: all. `shift`: added to the seeds.
    `trains`: train missing modules, else leave out their rows; `takes_kept`: use modules kept by an earlier whole run.
    `keeps`: keep this run's modules and figures for later runs; `finds_figures`: use such figures. `rounds`: timings of
    each row, and pictures in each. `published`: where the page of a run that leaves nothing out goes, if anywhere;
    `partial`: the folder in `out` for the page otherwise.
    """

    help: str
    partial: str
    page: report.Page = report.RESULTS
    rows: tuple[str, ...] = tuple(METHODS)
    methods: Mapping[str, Method] = field(default_factory=lambda: ROWS)
    scale: Scale = FULL
    tasks: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    shift: int = 0
    trains: bool = True
    takes_kept: bool = True
    keeps: bool = False
    finds_figures: bool = False
    rounds: tuple[int, int] = (2, 6)
    published: Path | None = None

    def judged(self, out: Path) -> Path:
        """Return where figures are kept: found ones apart, as a whole run is to find all of its figures itself."""
        return out / "changed" if self.finds_figures else out


WHOLE = Extent("everything", "partial", takes_kept=False, keeps=True, rounds=(5, 24), published=PUBLISHED)
CHECK = Extent(
    "draw a few pictures of each published set again, and say whether the judge sees the same", "check", trains=False
)
EXTENTS: Mapping[str, Extent] = {
    "check": CHECK,
    "quick": Extent(
        help="minutes instead of hours: few pictures of every second profession",
        partial="quick",
        scale=QUICK,
        groups=QUICK_GROUPS,
        trains=False,
        rounds=(1, 2),
    ),
    "changed": replace(
        WHOLE,
        help="only what has changed since RESULTS.md; the other figures stay",
        takes_kept=True,
        finds_figures=True,
    ),
    "ablations": Extent(
        help="the ablations' rows instead of the methods', gender alone",
        partial="ablations",
        page=report.ABLATED,
        rows=(*BASES, *ABLATIONS),
        scale=ABLATION,
        tasks=SETS,
        published=PUBLISHED / "ablations",
    ),
    "search": Extent(
        help="the search for rivals' best settings: gender, 14 professions, seeds of their own",
        partial="search",
        page=report.SEARCHED,
        rows=tuple(SEARCH),
        scale=replace(ABLATION, own=8, others=8),
        groups=DEVELOPMENT,
        shift=SHIFT,
        rounds=(1, 2),
        published=PUBLISHED / "search",
    ),
    "rivals": Extent(
        help="rivals as released and at their best, three trainings each: gender; our row skin tone and both, too",
        partial="rivals",
        page=report.RIVALS,
        rows=tuple(RIVALS),
        scale=replace(ABLATION, own_side=3, others_side=3),
        tasks=(*SETS, "skin", "joint"),
        rounds=(1, 2),
        published=PUBLISHED / "rivals",
    ),
    "transformer": Extent(
        help="the transformer's rows instead of the U-Net's",
        partial="transformer",
        page=report.TRANSFORMER_PAGE,
        rows=tuple(transformer.ROWS),
        methods=transformer.ROWS,
        scale=TRANSFORMER_SCALE,
        published=PUBLISHED / "transformer",
    ),
}
