"""The page of an audit: one HTML file with everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..core.counting.audit import RESULTS, Audited, Part, possible, sentence
from ..core.counting.metrics import Interval
from ..core.counting.target import FAIL, LEVEL, OPEN, PASS, POWER, Target, plan
from ..report.charts import bars_svg
from ..report.pages import Cell, Item, Page, Section, write_page
from .audit import FolderAudit
from .folder import by_reason

_TONES = {PASS: "good", FAIL: "wait", OPEN: "", "": ""}
MUCH_ABSTAINED = 0.2  # of the pictures: said on top of the page
_HOW = (
    "A target passes when two one-sided exact binomial tests for each share show that it is within the tolerance, and "
    "fails when a test shows that one share is outside. Otherwise it is not decided, and more pictures are needed."
)


def write_audit_page(path: Path, done: FolderAudit, *, new: bool = False) -> None:
    """Write the page. `new`, and what it raises: see `replacing`."""
    facts = [(name.replace("_", " ").capitalize(), str(value)) for name, value in done.settings.items()]
    tested = {name: own.target for name, own in done.attributes.items() if own.target is not None}
    plans = [plan(name, target) for name, target in tested.items()]
    sections = [
        *(_section(name, own) for name, own in done.attributes.items()),
        Section("What this judge is wrong about", "", [("lines", done.limits)]),
        Section("The test", f"{_HOW} Level {LEVEL:.0%}, power {POWER:.0%}.", [("lines", plans)] * bool(plans)),
        *_pictures(done),
        *_skipped(done),
    ]
    page = Page(
        kind="Respo audit",
        title="Who is in these pictures",
        about="an audit by Respo",
        chips=[(str(done.look.count), "pictures"), (done.judge.name, "")],
        items=[*_results(done), *_abstained(done)],
        facts=facts,
        sections=[section for section in sections if section.parts or section.note],
        footer="Intervals: 95 % (Wilson). No names, no identities; no picture is kept unless you ask for some.",
    )
    write_page(path, page, new=new)


def _results(done: FolderAudit) -> Iterator[Item]:
    for name, own in done.attributes.items():
        found = own.whole.found
        counts = ", ".join(f"{number} {concept}" for concept, number in found.seen.items())
        yield _TONES[own.whole.result], f"{_title(name)}:", f"{counts}. {sentence(own)}".strip(), ""


def _abstained(done: FolderAudit) -> Iterator[Item]:
    """Warn where the judge says nothing of many pictures, since these may be of other people than the rest."""
    nobody = max(own.whole.found.nobody for own in done.attributes.values())
    if nobody > MUCH_ABSTAINED * done.look.count:
        words = f"the judge finds nobody in {nobody} of {done.look.count} pictures. Is that so?"
        yield "wait", "Not counted:", words, ""
    for name, own in done.attributes.items():
        found = own.whole.found
        people = found.decided + found.unsure
        if found.unsure > MUCH_ABSTAINED * people:
            words = f"the judge is unsure of {found.unsure} of {people} pictures of somebody."
            yield "wait", f"{_title(name)}:", words, ""


def _section(name: str, own: Audited) -> Section:
    parts: list[tuple[str, object]] = [("table", _shares(own.whole, own.target)), ("bars", [_chart(name, own)])]
    if len(own.groups) > 1:
        parts.append(("table", _by_group(own)))
    return Section(_title(name), _ratio(own), parts)


def _ratio(own: Audited) -> str:
    many = len(own.groups) > 1
    value, chance = (own.mean, own.chance) if many else (own.whole.found.deviation, own.whole.found.chance)
    if value is None or chance is None:
        return "The judge is sure of no picture."
    return (
        f"{'Mean d' if many else 'D'}eviation ratio{' of the subfolders' if many else ''}: {value:.2f}; 0: all "
        f"equally often, 1: all the same. Fair coins would give {chance.value:.2f}, in 95 of 100 cases "
        f"{chance.low:.2f} to {chance.high:.2f}."
    )


def _shares(part: Part, target: Target | None) -> tuple[list[str], list[list[Cell]]]:
    found, ends = part.found, possible(part.found)
    rows: list[list[Cell]] = []
    for name, share in found.shares.items():
        wanted = "" if target is None else f"{float(target.shares[name]):.0%} ± {100 * target.tolerance:g}"
        low, high = ends[name]
        rows.append([name, str(found.seen[name]), f"{share:.0%}", wanted, f"{low:.0%} – {high:.0%}"])
    others = found.count - found.decided - found.unsure - found.nobody
    for name, count in (("unsure", found.unsure), ("nobody", found.nobody), ("something else", others)):
        if count:
            rows.append([name, str(count), "", "", ""])
    return [
        "",
        "pictures",
        "share of the sure ones, 95 % interval",
        "target",
        "possible range, unsure ones included",
    ], rows


def _by_group(own: Audited) -> tuple[list[str], list[list[Cell]]]:
    concepts = own.whole.found.concepts
    rows: list[list[Cell]] = []
    for name, part in own.groups.items():
        found = part.found
        ratio = "" if found.deviation is None else f"{found.deviation:.2f}"
        result = (RESULTS.get(part.result, ""), part.why)
        numbers = map(str, (*(found.seen[concept] for concept in concepts), found.unsure, found.nobody))
        rows.append([name or "(the folder itself)", result, ratio, *numbers])
    return ["subfolder", "result", "deviation ratio", *concepts, "unsure", "nobody"], rows


def _chart(name: str, own: Audited) -> tuple[str, str]:
    shown = own.whole.found.shares if own.whole.found.decided else {}
    runs: dict[str, Mapping[str, Interval]] = {"seen, 95 % interval": shown}
    if own.target is not None:
        reach = own.target.tolerance
        shares = {concept: float(share) for concept, share in own.target.shares.items()}
        runs["target and tolerance"] = {
            concept: Interval(share, max(share - reach, 0.0), min(share + reach, 1.0))
            for concept, share in shares.items()
        }
    height = 0.5 * len(own.whole.found.concepts) + 1.2
    return f"{_title(name)}: shares", bars_svg(height, runs, "share of the pictures of which the judge is sure")


def _pictures(done: FolderAudit) -> Iterator[Section]:
    if done.look.shown:
        shown = [
            (", ".join(filter(None, [group, *labels.values()])), pixels) for group, labels, pixels in done.look.shown
        ]
        yield Section("Some of the pictures", "What the judge says of each.", [("pictures", shown)])


def _skipped(done: FolderAudit) -> Iterator[Section]:
    if done.look.skipped or done.others:
        note = f"{done.others} other files are no pictures by their names." if done.others else ""
        yield Section("Left out", note, [("lines", by_reason(tuple(done.look.skipped)))] * bool(done.look.skipped))


def _title(name: str) -> str:
    return {"gender": "Perceived gender", "age": "Perceived age"}.get(name, name.replace("_", " ").capitalize())
