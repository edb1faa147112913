"""The command `audit`: from its options to an audit of a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from ..core.counting.audit import sentence, targets_of
from ..core.counting.target import Target, parse_target, plan
from ..core.errors import RespoError
from ..core.files.write import make_folder
from ..core.judge import AnyJudge
from ..evaluation.audit import FolderAudit, audited, look_at, write_json
from ..evaluation.audit_page import write_audit_page
from ..evaluation.folder import by_reason, find_pictures, name_of
from ..judges import find_judge
from .messages import say

EVEN = "woman 1, man 1"  # the target where none is given, of a judge that knows both
MOST_SHOWN = 50


def run(options: argparse.Namespace) -> int:
    """Audit; return the exit code. Without a folder only say how many pictures the test needs."""
    if options.folder is not None and options.out is None:
        raise RespoError("expected --out FOLDER, where the page and the figures go")
    if not 0 <= options.show <= MOST_SHOWN:
        raise RespoError(f"expected --show of 0 to {MOST_SHOWN}, found {options.show}")
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise RespoError(f"expected a folder for --out, but {options.out} is a file")
    if options.folder is None:
        for text in options.target or [EVEN]:
            target = parse_target(text, options.tolerance)
            say(plan(", ".join(target.shares), target))
        return 0
    found = find_pictures(options.folder)
    judge = find_judge(options.judge)
    targets = _targets(options, judge)
    for name, target in targets.items():
        say(plan(name, target))
    make_folder(options.out)  # before the work, which a folder that cannot be made would waste
    try:
        with tqdm(total=len(found.pictures), unit="picture", disable=None) as bar:
            look = look_at(judge, found, options.show, bar.update)
    except KeyboardInterrupt:
        say("stopped: nothing was written.", sys.stderr)
        return 130
    done = audited(judge, look, targets, found.others, {"folder": name_of(found.root, found.root.parent)})
    write_json(options.out / "results.json", done)
    write_audit_page(options.out / "index.html", done)
    _say(done, options.out)
    return 0


def _targets(options: argparse.Namespace, judge: AnyJudge) -> Mapping[str, Target]:
    even = [EVEN] if {"woman", "man"} <= set(judge.classes.get("gender", ())) else []
    return targets_of(even if options.target is None else options.target, judge.classes, options.tolerance)


def _say(done: FolderAudit, out: Path) -> None:
    for name, own in done.attributes.items():
        found = own.whole.found
        counts = ", ".join(f"{number} {concept}" for concept, number in found.seen.items())
        say(f"{name}: {counts}, {found.unsure} unsure, {found.nobody} without anybody. {sentence(own)}".strip())
    for line in by_reason(tuple(done.look.skipped)):
        say(f"left out: {line}")
    say(f"wrote {out / 'index.html'} and {out / 'results.json'}")
