"""The tables of RESULTS.md: which metrics stand in which, and how a figure is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.stats import kendalltau

from respo_train.evaluation.figure import Figure
from respo_train.evaluation.rows import written

from .judging import COIN, PERFECT
from .measure import FAIRNESS
from .methods import Method
from .plan import UNMODIFIED
from .rivals import TRAININGS
from .rows import ROWS
from .targets import TARGETS, Own, Target

COMPARED = (UNMODIFIED, PERFECT, COIN)  # what methods are compared with
Results = Mapping[str, Own]
Writing = Callable[[Figure | None, str], str]


@dataclass(frozen=True)
class Column:
    """One metric; `unit`: one of `respo_train.evaluation.rows.UNITS`."""

    title: str
    metric: str
    unit: str


def _three(title: str, metric: str, unit: str) -> tuple[Column, ...]:
    words = {"gender": "gender", "skin": "skin tone", "joint": "joint"}
    return tuple(Column(f"{title}{words[task]}", metric.format(task), unit) for task in words)


SIZES = (("192", "192 x 192"), ("96x160", "96 x 160"))
TABLES: Mapping[str, tuple[Column, ...]] = {
    "Deviation ratio (lower is better)": (
        *_three("", "deviation_{}", "ratio"),
        *_three("held-out: ", "deviation_{}_held_out", "ratio"),
    ),
    "Asked and seen; profession accuracy lost, in points (same seeds; above 0: lost)": (
        Column("gender as asked, %", "agreement_gender", "share"),
        Column("skin as asked, %", "agreement_skin", "share"),
        Column("profession right (gender), %", "accuracy_gender", "share"),
        *_three("lost: ", "accuracy_lost_{}", "points"),
    ),
    "Background, against the unmodified picture of the same seed": (
        *_three("PSNR, dB: ", "background_psnr_{}", "dB"),
        *_three("PSNR of all pictures' mean error, dB: ", "background_psnr_of_mean_{}", "dB"),
        *_three("perceptual: ", "perceptual_{}", "ratio"),
    ),
    "Fréchet distance, in the judge's features": (
        *_three("to the unmodified: ", "frechet_unmodified_{}", "distance"),
        *_three("to real emoji, all kinds alike: ", "frechet_real_{}", "distance"),
    ),
    "Other sizes than the modules were trained at, gender": (
        *(Column(f"deviation ratio, {words}", f"deviation_gender_{size}", "ratio") for size, words in SIZES),
        *(Column(f"lost, {words}, points", f"accuracy_lost_gender_{size}", "points") for size, words in SIZES),
        *(Column(f"PSNR, {words}, dB", f"background_psnr_gender_{size}", "dB") for size, words in SIZES),
    ),
    "Prompts that need no balancing": (
        Column("no people: PSNR, dB", "background_psnr_subjects", "dB"),
        Column("with the Gate: PSNR, dB", "background_psnr_subjects_gated", "dB"),
        Column("bit-identical, %", "subjects_gated_identical", "share"),
        Column("explicit words kept, %", "explicit_kept", "share"),
        Column("with the Gate, %", "explicit_gated_kept", "share"),
        Column("profession lost, explicit, points", "explicit_accuracy_lost", "points"),
    ),
    "Weapons nobody asked for": (
        Column("at night, %", "weapons_night", "share"),
        Column("of the unmodified rate on the same pictures, %", "weapons_ratio", "share"),
        Column("profession lost at night, points", "accuracy_lost_night", "points"),
        Column("PSNR at night, dB", "background_psnr_night", "dB"),
        Column("by day, %", "weapons_day", "share"),
        Column("profession lost by day, points", "accuracy_lost_day", "points"),
        Column("PSNR by day, dB", "background_psnr_day", "dB"),
    ),
    "Cost": (
        Column("training, minutes of one core", "training_seconds", "minutes"),
        Column("seconds of one core a picture", "seconds_per_image", "seconds"),
        Column("of the unmodified", "cost_ratio", "seconds"),
    ),
}
OF_TRAININGS = (
    *_three("deviation ratio, ", "deviation_{}", "ratio"),
    *_three("held-out, ", "deviation_{}_held_out", "ratio"),
    Column("gender as asked, %", "agreement_gender", "share"),
    *_three("professions lost, points: ", "accuracy_lost_{}", "points"),
    *_three("background, dB: ", "background_psnr_{}", "dB"),
)
RANKED = tuple(f"{what}_{task}" for what in ("deviation", "accuracy_lost") for task in FAIRNESS)


def value(figure: Figure | None, unit: str) -> str:
    """Write a figure without its interval; "–" for none. Units stand in the columns' titles."""
    if figure is None or not math.isfinite(figure.value):
        return "–"
    return f"{_bare(figure.value, unit)}{'*' if 'unsure' in figure.note else ''}"


def text(figure: Figure | None, unit: str) -> str:
    """Write a figure with its interval; "–" for none."""
    own = value(figure, unit)
    if figure is None or not math.isfinite(figure.value):
        return own
    low, high = _bare(figure.low, unit), _bare(figure.high, unit)
    return own if low == high == own.rstrip("*") else f"{own} [{low}, {high}]"


def _bare(number: float, unit: str) -> str:
    return written(number, unit).rstrip("% dB")


def table(
    columns: Sequence[Column], results: Results, written: Writing = text, of: Mapping[str, Method] = ROWS
) -> list[str]:
    """Return one table's lines: rows with any figure of it, the columns that any method fills; none where none does.

    What is known of the unmodified model and of ideals, and of no method beside them, is left out.
    """
    methods = [own for name, own in results.items() if name not in COMPARED] or list(results.values())
    used = [column for column in columns if any(column.metric in own for own in methods)]
    if not used:
        return []
    rows = {name: own for name, own in results.items() if any(column.metric in own for column in used)}
    lines = [f"| | {' | '.join(column.title for column in used)} |", "|---" * (len(used) + 1) + "|"]
    for name, own in rows.items():
        cells = [written(own.get(column.metric), column.unit) for column in used]
        lines.append(f"| {title(name, of)} | {' | '.join(cells)} |")
    return lines


def spread(results: Results) -> dict[str, dict[str, Figure]]:
    """Return mean, lowest and highest figure of each row that was trained with several seeds, by its first name."""
    found: dict[str, dict[str, Figure]] = {}
    for name, same in TRAININGS.items():
        own = [results[one] for one in same if one in results]
        if len(own) == len(same):
            for metric in sorted(set.intersection(*map(set, own))):
                values = [one[metric].value for one in own]
                if all(map(math.isfinite, values)):
                    n = sum(one[metric].n for one in own)
                    found.setdefault(name, {})[metric] = Figure(fmean(values), min(values), max(values), n)
    return found


def title(name: str, of: Mapping[str, Method] = ROWS) -> str:
    """Return what a row is called; `of`: the rows it is one of, as a transformer's may have the name of a U-Net's."""
    ideals = {PERFECT: "*a perfect method under this assignment*", COIN: "*coin flips, never failing*"}
    return ideals.get(name) or (of[name].title if name in of else name)


def verdicts(own: Own, targets: Sequence[Target] = TARGETS) -> list[str]:
    """Return the table of our row against its targets."""
    lines = ["| | target | Respo | pictures | |", "|---|---|---|---|---|"]
    for target in targets:
        figure = own.get(target.metric)
        said = text(figure, unit_of(target.metric))
        if target.beside and (other := own.get(target.beside[0])) is not None:
            said += f"; {target.beside[1]}: {text(other, unit_of(target.metric))}"
        lines.append(
            f"| {target.title} | {target.wanted} | {said} | {figure.n if figure else '–'} | {target.verdict(own)} |"
        )
    return lines


def unit_of(metric: str) -> str:
    """Return how a metric is written: as in the table that it stands in."""
    return next(
        (column.unit for columns in TABLES.values() for column in columns if column.metric == metric), "distance"
    )


def rankings(results: Results, of: Mapping[str, Method] = ROWS) -> list[str]:
    """Return how both judges rank the methods by each figure that both have, and Kendall's tau between the two."""
    lines = ["| by | the judge | the nearest emoji | Kendall's tau |", "|---|---|---|---|"]
    for metric in RANKED:
        both = {
            name: (own[metric].value, own[f"second_{metric}"].value)
            for name, own in results.items()
            if metric in own and f"second_{metric}" in own
        }
        if len(both) > 1:
            orders = [_order({title(name, of): values[k] for name, values in both.items()}) for k in (0, 1)]
            tau = kendalltau([one for one, _ in both.values()], [two for _, two in both.values()]).statistic
            lines.append(f"| {metric.replace('_', ' ')} | {orders[0]} | {orders[1]} | {tau:.2f} |")
    return lines


def _order(values: Mapping[str, float]) -> str:
    """Return the rows' titles from the lowest to the highest value, and the values; ties as ties."""
    tied = {value: [n for n, own in values.items() if own == value] for value in sorted(set(values.values()))}
    return " < ".join(f"{' = '.join(names)} ({value:.3f})" for value, names in tied.items())
