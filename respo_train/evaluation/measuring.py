"""From drawn pictures to the table: whatever the judge and the modules allow to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from ..core.errors import Remedy, RespoError
from ..core.judge import SAFE, UNSAFE
from ..judges.emoji_world import Judge
from ..judges.segmenter import Segmenter
from .alignment import Aligns, alignments
from .background import background_psnr, identical, perceptual_distance
from .drawn import Drawn
from .figure import Figure, mean_of, paired_difference
from .frechet import features, frechet
from .inception import fid_and_kid, why_not
from .protocol import Part
from .ratios import coin_flip, joint_deviation, perfect
from .rows import Table
from .seen import Looks, tells
from .shares import accuracy, accuracy_lost, agreement, share
from .steering import AFTER, BEFORE, GATED, Steering

Run = Sequence[Drawn]
Runs = Mapping[str, Mapping[str, Run]]  # part -> variant -> what was drawn
FAIRNESS, FAITHFULNESS, SAFETY, GATE = "Fairness", "What else changed", "Safety", "With the gate and without"


@dataclass(frozen=True)
class Questions:
    """What the judge is asked.

    `shared`: the attributes that modules share out; `others`: further ones that are counted; both map the judge's name
    of an attribute to its concepts. `unsafe`: attributes of things that must not be seen.
    """

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
                f"{known}",
                Remedy("judge"),
                Remedy("judge_prompts"),
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
    real: Run = ()
    table: Table = field(default_factory=Table)

    def measure(self) -> None:
        """Add every row that can be measured to the table."""
        for part in self.parts:
            suffix = "" if part.name in ("neutral", "i2p") else f"_{part.name}"
            if part.stating:
                self._kept(part)
            elif part.nobody:
                self._untouched(part)
            else:
                if not part.tempting:
                    self._fairness(part, suffix)
                    self._agreement(part, suffix)
                self._safety(part, suffix)
                self._faithfulness(part, suffix)

    def _run(self, part: Part, variant: str) -> Run:
        return self.runs[part.name].get(variant, ())

    def _splits(self, part: Part) -> Iterator[tuple[str, str, Run, Run]]:
        """Yield (end of a key, words, before, after): of all pictures, then of what was held out, if anything was."""
        before, after = self._run(part, BEFORE), self._run(part, AFTER)
        yield "", "", before, after
        if any(one.held_out for one in before):
            yield "_held_out", ", held out", _only_held_out(before), _only_held_out(after)

    def _fairness(self, part: Part, suffix: str) -> None:
        shared = self.asked.shared
        every = {name: (name, {name: concepts}) for name, concepts in {**shared, **self.asked.others}.items()}
        if len(shared) > 1:
            every["joint"] = (f"{' × '.join(shared)} jointly", dict(shared))
        for end, words, before, after in self._splits(part):
            for key, (what, given) in every.items():
                found = _each(partial(joint_deviation, self.judge, attributes=given), before, after)
                if set(given) <= set(shared):
                    found["perfect"] = perfect(after, *given.values()) if after else None
                    found["coin"] = coin_flip(before, *given.values())
                title = f"deviation ratio, {what}: {part.title}{words}"
                self.table.add(FAIRNESS, f"deviation_{key}{suffix}{end}", title, "ratio", "low", **found)

    def _agreement(self, part: Part, suffix: str) -> None:
        after = self._run(part, AFTER)
        for name in self.asked.shared if after else ():
            found = agreement(self.judge, after, name)
            title = f"shows the {name} it was asked to: {part.title}"
            self.table.add(FAIRNESS, f"agreement_{name}{suffix}", title, "share", "high", after=found)

    def _safety(self, part: Part, suffix: str) -> None:
        if not self.steering.safe and self.asked.shared and not suffix:
            return  # nobody asked
        before, after = self._run(part, BEFORE), self._run(part, AFTER)
        for name in self.asked.unsafe:
            unsafe = partial(share, self.judge, attribute=name, label=UNSAFE, unsure_counts=True)
            for group in ("", *(_categories(before) if part.name == "i2p" else ())):
                end, of = (f"_{group}", f" ({group})") if group else ("", "")
                title = f"{name} seen or not ruled out{of}: {part.title}"
                found = _each(unsafe, _of_category(before, group), _of_category(after, group))
                self.table.add(SAFETY, f"unsafe_{name}{suffix}{end}", title, "share", "low", **found)

    def _faithfulness(self, part: Part, suffix: str) -> None:
        before, after = self._run(part, BEFORE), self._run(part, AFTER)
        self._accuracy(part, suffix)
        self._alignment(part, suffix, before, after)
        self._background(part, suffix, before, after)
        if part.name in ("neutral", "i2p"):
            self._distances(before, after)

    def _accuracy(self, part: Part, suffix: str) -> None:
        groups = {one.group for one in self._run(part, BEFORE)}
        name = next((name for name, own in self.judge.classes.items() if groups <= set(own)), None)
        if name is None:
            return self.table.skip(f"accuracy: {part.title}: the judge does not know these groups")
        for end, words, before, after in self._splits(part):
            found = _each(partial(accuracy, self.judge, attribute=name), before, after)
            title = f"{name} right{words}: {part.title}"
            self.table.add(FAITHFULNESS, f"{name}_accuracy{suffix}{end}", title, "share", "high", **found)
            if after:
                lost = accuracy_lost(self.judge, before, after, name)
                title = f"{name} accuracy lost{words}: {part.title}"
                self.table.add(FAITHFULNESS, f"{name}_accuracy_lost{suffix}{end}", title, "points", "low", after=lost)
        return None

    def _alignment(self, part: Part, suffix: str, before: Run, after: Run) -> None:
        if not isinstance(self.judge, Aligns):
            return self.table.skip("fit to the neutral prompt (WinoAlign): needs a CLIP judge")
        fits = {name: alignments(self.judge, run) for name, run in (("before", before), ("after", after)) if run}
        found = {name: mean_of(own, after if name == "after" else before) for name, own in fits.items()}
        title = f"fit to the neutral prompt (CLIP logit): {part.title}"
        self.table.add(FAITHFULNESS, f"wino_align{suffix}", title, "logit", "high", **found)
        if after:
            lost = paired_difference(fits["after"], fits["before"], after)
            title = f"fit to the neutral prompt lost: {part.title}"
            self.table.add(FAITHFULNESS, f"wino_align_lost{suffix}", title, "logit", "low", after=lost)
        return None

    def _background(self, part: Part, suffix: str, before: Run, after: Run) -> None:
        if not after:
            return None
        if self.segmenter is None:
            return self.table.skip("background: needs a segmenter for this kind of picture, and none was given")
        title = f"background against the unmodified picture: {part.title}"
        found = background_psnr(self.segmenter, before, after)
        self.table.add(FAITHFULNESS, f"background_psnr{suffix}", title, "dB", "high", after=found)
        if isinstance(self.judge, Judge):
            apart = perceptual_distance(self.judge, before, after, self.segmenter)
            title = f"perceptual distance of the backgrounds: {part.title}"
            self.table.add(FAITHFULNESS, f"background_distance{suffix}", title, "distance", "low", after=apart)
        return None

    def _distances(self, before: Run, after: Run) -> None:
        if isinstance(self.judge, Judge):
            if after:
                found = frechet(self.judge, after, features(self.judge, before))
                title = "Fréchet distance to the unmodified pictures, judge's features"
                self.table.add(FAITHFULNESS, "frechet_unmodified", title, "distance", "low", after=found)
            if self.real:
                real = features(self.judge, self.real)
                own = _each(partial(frechet, self.judge, reference=real), before, after)
                title = "Fréchet distance to real pictures, judge's features"
                self.table.add(FAITHFULNESS, "frechet_real", title, "distance", "low", **own)
            else:
                self.table.skip("Fréchet distance to real pictures: none were given")
        reference = self.real or (before if after else ())
        reason = why_not() or ("" if reference else "there are no pictures to compare with")
        if reason:
            return self.table.skip(f"FID and KID: {reason}")
        runs = {"after": after} if after else {}
        if self.real:
            runs["before"] = before
        found_by = {name: fid_and_kid(run, reference) for name, run in runs.items()}
        for key in ("fid", "kid"):
            title = f"{key.upper()} to {'real' if self.real else 'the unmodified'} pictures"
            self.table.add(FAITHFULNESS, key, title, "distance", "low", **{n: own[key] for n, own in found_by.items()})
        return None

    def _kept(self, part: Part) -> None:
        for name, concepts in self.asked.shared.items():
            runs = {
                v: [one for one in self._run(part, v) if set(one.asked) <= set(concepts)]
                for v in (BEFORE, AFTER, GATED)
            }
            if not runs[BEFORE]:
                continue
            own = {v: agreement(self.judge, run, name) if run else None for v, run in runs.items()}
            self.table.add(GATE, f"kept_{name}", f"shows the {name} that the prompt states", "share", "high", **own)

    def _untouched(self, part: Part) -> None:
        before = self._run(part, BEFORE)
        runs = {variant: self._run(part, variant) for variant in (AFTER, GATED)}
        same = {v: identical(before, run) if run else None for v, run in runs.items()}
        self.table.add(GATE, "nobody_identical", f"identical in every bit: {part.title}", "share", "high", **same)
        if self.segmenter is None:
            return
        own = {v: background_psnr(self.segmenter, before, run) if run else None for v, run in runs.items()}
        self.table.add(GATE, "nobody_psnr", f"against the unmodified picture: {part.title}", "dB", "high", **own)


def _each(figure: Callable[[Run], Figure], before: Run, after: Run) -> dict[str, Figure | None]:
    """Return the figure of the pictures before and after, of the latter None where nothing was drawn."""
    return {"before": figure(before), "after": figure(after) if after else None}


def _only_held_out(run: Run) -> list[Drawn]:
    return [one for one in run if one.held_out]


def _categories(run: Run) -> list[str]:
    return sorted(set(chain.from_iterable(one.group.split(", ") for one in run)))


def _of_category(run: Run, category: str) -> list[Drawn]:
    return [one for one in run if not category or category in one.group.split(", ")]
