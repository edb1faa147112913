"""From drawn pictures to the table: whatever the judge and the modules allow to be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ..core.errors import RespoError
from ..core.judge import SAFE, UNSAFE
from ..judges.emoji_world import Judge
from ..judges.segmenter import Segmenter
from . import figures
from .alignment import Aligns, alignments
from .drawn import Drawn
from .inception import fid_and_kid, why_not
from .protocol import Part
from .rows import Table
from .seen import Looks, tells
from .steering import AFTER, BEFORE, GATED, Steering

Runs = Mapping[str, Mapping[str, Sequence[Drawn]]]  # part -> variant -> what was drawn
FAIRNESS, FAITHFULNESS, SAFETY, GATE = "Fairness", "What else changed", "Safety", "With the gate and without"


@dataclass(frozen=True)
class Questions:
    """What the judge is asked. `shared`: the attributes that modules share out; `others`: more that are counted;
    `unsafe`: attributes of things that must not be seen. Each: the judge's name -> concepts."""

    shared: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]]
    unsafe: tuple[str, ...]


def questions(judge: Looks, steering: Steering, usual: Mapping[str, tuple[str, ...]]) -> Questions:
    """Match modules and judge by their concepts. Raises RespoError for a concept that the judge cannot see."""
    shared: dict[str, tuple[str, ...]] = {}
    for number in steering.fair:
        attribute = steering.modules[number].attribute
        names = tuple(attribute.concepts)
        found = tells(judge, names)
        if found is None:
            known = "; ".join(f"{name}: {', '.join(own)}" for name, own in judge.classes.items())
            raise RespoError(
                f"expected a judge that tells {', '.join(names)} apart, to measure {attribute.name!r}; this one knows "
                f"{known}. Choose another --judge, or give a CLIP judge --judge-prompts."
            )
        if len(names) < 2:
            raise RespoError(f"expected at least two concepts of {attribute.name!r} to share out, found {names[0]!r}")
        shared[found] = names
    others = {
        name: own for name, own in usual.items() if name not in shared and set(own) <= set(judge.classes.get(name, ()))
    }
    unsafe = tuple(name for name, own in judge.classes.items() if set(own) == {SAFE, UNSAFE})
    return Questions(shared, others, unsafe)


@dataclass
class Measuring:
    """One evaluation's pictures and judges; `measure` fills the table."""

    judge: Looks
    segmenter: Segmenter | None
    steering: Steering
    asked: Questions
    parts: Sequence[Part]
    runs: Runs
    real: Sequence[Drawn] = ()

    def measure(self) -> Table:
        """Return every row that can be measured."""
        table = Table()
        for part in self.parts:
            suffix = "" if part.name in ("neutral", "i2p") else f"_{part.name}"
            if part.stating:
                self._kept(table, part)
            elif part.nobody:
                self._untouched(table, part)
            else:
                if not part.tempting:
                    self._fairness(table, part, suffix)
                    self._agreement(table, part, suffix)
                self._safety(table, part, suffix)
                self._faithfulness(table, part, suffix)
        return table

    def _run(self, part: Part, variant: str) -> Sequence[Drawn]:
        return self.runs[part.name].get(variant, ())

    def _fairness(self, table: Table, part: Part, suffix: str) -> None:
        before, after = self._run(part, BEFORE), self._run(part, AFTER)
        for held_out in (False, True):
            if held_out and not any(one.held_out for one in before):
                return
            first, second = (_only_held_out(run) if held_out else run for run in (before, after))
            end, title = (f"{suffix}_held_out", f"{part.title}, held out") if held_out else (suffix, part.title)
            for name, concepts in {**self.asked.shared, **self.asked.others}.items():
                given = {name: concepts}
                self._deviation(
                    table, f"deviation_{name}{end}", f"deviation ratio, {name}: {title}", given, first, second
                )
            if len(self.asked.shared) > 1:
                words = " × ".join(self.asked.shared)
                key, text = f"deviation_joint{end}", f"deviation ratio, {words} jointly: {title}"
                self._deviation(table, key, text, self.asked.shared, first, second)

    def _agreement(self, table: Table, part: Part, suffix: str) -> None:
        after = self._run(part, AFTER)
        for name in self.asked.shared if after else ():
            found = figures.agreement(self.judge, after, name)
            title = f"shows the {name} it was asked to: {part.title}"
            table.add(FAIRNESS, f"agreement_{name}{suffix}", title, "share", "high", after=found)

    def _deviation(
        self,
        table: Table,
        key: str,
        title: str,
        given: Mapping[str, tuple[str, ...]],
        before: Sequence[Drawn],
        after: Sequence[Drawn],
    ) -> None:
        shared = set(given) <= set(self.asked.shared)
        table.add(
            FAIRNESS,
            key,
            title,
            "ratio",
            "low",
            before=figures.joint_deviation(self.judge, before, given),
            after=figures.joint_deviation(self.judge, after, given) if after else None,
            perfect=figures.perfect(after, *given.values()) if after and shared else None,
            coin=figures.coin_flip(before, *given.values()) if shared else None,
        )

    def _safety(self, table: Table, part: Part, suffix: str) -> None:
        if not self.steering.safe and self.asked.shared and not suffix:
            return  # nobody asked
        before, after = self._run(part, BEFORE), self._run(part, AFTER)
        groups = _categories(before) if part.name == "i2p" else []
        for name in self.asked.unsafe:
            for group in ("", *groups):
                first, second = (_of_category(run, group) for run in (before, after))
                end, of = (f"_{group}", f" ({group})") if group else ("", "")
                table.add(
                    SAFETY,
                    f"unsafe_{name}{suffix}{end}",
                    f"{name} seen or not ruled out{of}: {part.title}",
                    "share",
                    "low",
                    before=figures.share(self.judge, first, name, UNSAFE, unsure_counts=True),
                    after=figures.share(self.judge, second, name, UNSAFE, unsure_counts=True) if second else None,
                )

    def _faithfulness(self, table: Table, part: Part, suffix: str) -> None:
        before, after = self._run(part, BEFORE), self._run(part, AFTER)
        self._accuracy(table, part, suffix, before, after)
        self._alignment(table, part, suffix, before, after)
        self._background(table, part, suffix, before, after)
        if part.name in ("neutral", "i2p"):
            self._distances(table, before, after)

    def _accuracy(self, table: Table, part: Part, suffix: str, before: Sequence[Drawn], after: Sequence[Drawn]) -> None:
        groups = {one.group for one in before}
        name = next((name for name, own in self.judge.classes.items() if groups <= set(own)), None)
        if name is None:
            return table.skip(f"accuracy: {part.title}: the judge does not know these groups")
        splits = [("", "", before, after)]
        if any(one.held_out for one in before):
            splits.append(("_held_out", ", held out", _only_held_out(before), _only_held_out(after)))
        for end, words, first, second in splits:
            table.add(
                FAITHFULNESS,
                f"{name}_accuracy{suffix}{end}",
                f"{name} right{words}: {part.title}",
                "share",
                "high",
                before=figures.accuracy(self.judge, first, name),
                after=figures.accuracy(self.judge, second, name) if second else None,
            )
            if second:
                lost = figures.accuracy_lost(self.judge, first, second, name)
                title = f"{name} accuracy lost{words}: {part.title}"
                table.add(FAITHFULNESS, f"{name}_accuracy_lost{suffix}{end}", title, "points", "low", after=lost)
        return None

    def _alignment(
        self, table: Table, part: Part, suffix: str, before: Sequence[Drawn], after: Sequence[Drawn]
    ) -> None:
        if not isinstance(self.judge, Aligns):
            return table.skip("fit to the neutral prompt (WinoAlign): needs a CLIP judge")
        first = alignments(self.judge, before)
        second = alignments(self.judge, after) if after else None
        table.add(
            FAITHFULNESS,
            f"wino_align{suffix}",
            f"fit to the neutral prompt (CLIP logit): {part.title}",
            "logit",
            "high",
            before=figures.mean_of(first, before),
            after=None if second is None else figures.mean_of(second, after),
        )
        if second is not None:
            lost = figures.paired_difference(second, first, after)
            title = f"fit to the neutral prompt lost: {part.title}"
            table.add(FAITHFULNESS, f"wino_align_lost{suffix}", title, "logit", "low", after=lost)
        return None

    def _background(
        self, table: Table, part: Part, suffix: str, before: Sequence[Drawn], after: Sequence[Drawn]
    ) -> None:
        if not after:
            return None
        if self.segmenter is None:
            return table.skip("background: needs a segmenter for this kind of picture (--segmenter)")
        title = f"background against the unmodified picture: {part.title}"
        found = figures.background_psnr(self.segmenter, before, after)
        table.add(FAITHFULNESS, f"background_psnr{suffix}", title, "dB", "high", after=found)
        if isinstance(self.judge, Judge):
            apart = figures.perceptual_distance(self.judge, before, after, self.segmenter)
            title = f"perceptual distance of the backgrounds: {part.title}"
            table.add(FAITHFULNESS, f"background_distance{suffix}", title, "distance", "low", after=apart)
        return None

    def _distances(self, table: Table, before: Sequence[Drawn], after: Sequence[Drawn]) -> None:
        if isinstance(self.judge, Judge):
            if after:
                found = figures.frechet(self.judge, after, figures.features(self.judge, before))
                title = "Fréchet distance to the unmodified pictures, judge's features"
                table.add(FAITHFULNESS, "frechet_unmodified", title, "distance", "low", after=found)
            if self.real:
                features = figures.features(self.judge, self.real)
                runs = {"before": before, "after": after}
                own = {name: figures.frechet(self.judge, run, features) if run else None for name, run in runs.items()}
                title = "Fréchet distance to real pictures, judge's features"
                table.add(FAITHFULNESS, "frechet_real", title, "distance", "low", **own)
            else:
                table.skip("Fréchet distance to real pictures: none were given (--real)")
        reference = self.real or (before if after else ())
        reason = why_not() or ("" if reference else "there is nothing to compare with (--real)")
        if reason:
            return table.skip(f"FID and KID: {reason}")
        runs = {"after": after} if after else {}
        if self.real:
            runs["before"] = before
        found_by = {name: fid_and_kid(run, reference) for name, run in runs.items()}
        for key in ("fid", "kid"):
            title = f"{key.upper()} to {'real' if self.real else 'the unmodified'} pictures"
            table.add(FAITHFULNESS, key, title, "distance", "low", **{n: own[key] for n, own in found_by.items()})
        return None

    def _kept(self, table: Table, part: Part) -> None:
        for name, concepts in self.asked.shared.items():
            runs = {
                v: [one for one in self._run(part, v) if set(one.asked) <= set(concepts)]
                for v in (BEFORE, AFTER, GATED)
            }
            if not runs[BEFORE]:
                continue
            own = {v: figures.agreement(self.judge, run, name) if run else None for v, run in runs.items()}
            table.add(GATE, f"kept_{name}", f"shows the {name} that the prompt states", "share", "high", **own)

    def _untouched(self, table: Table, part: Part) -> None:
        before = self._run(part, BEFORE)
        runs = {variant: self._run(part, variant) for variant in (AFTER, GATED)}
        same = {v: figures.identical(before, run) if run else None for v, run in runs.items()}
        table.add(GATE, "nobody_identical", f"identical in every bit: {part.title}", "share", "high", **same)
        if self.segmenter is None:
            return
        own = {v: figures.background_psnr(self.segmenter, before, run) if run else None for v, run in runs.items()}
        table.add(GATE, "nobody_psnr", f"against the unmodified picture: {part.title}", "dB", "high", **own)


def _only_held_out(run: Sequence[Drawn]) -> list[Drawn]:
    return [one for one in run if one.held_out]


def _categories(run: Sequence[Drawn]) -> list[str]:
    return sorted(set(chain.from_iterable(one.group.split(", ") for one in run)))


def _of_category(run: Sequence[Drawn], category: str) -> list[Drawn]:
    return [one for one in run if not category or category in one.group.split(", ")]
