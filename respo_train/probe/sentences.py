"""The sentences that a probe is fitted to, built from a preset's words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice

from ..settings.config import TrainConfig

_FRAMES = 4  # per phrase


@dataclass(frozen=True)
class ProbePrompts:
    """Sentences by their correct answer: `open` (a person, nothing stated), `stated`, `nobody`."""

    open: tuple[str, ...]
    stated: tuple[str, ...]
    nobody: tuple[str, ...]


def stating_words(config: TrainConfig) -> list[str]:
    """Return the word that states each concept, in the order of the concepts."""
    return [concept.word for concept in config.concepts.values() if concept.word]


def probe_prompts(config: TrainConfig) -> ProbePrompts:
    """Return the sentences of `config.probe`: people with and without each word, in various templates and places."""
    words, probe = stating_words(config), config.probe
    people = [config.neutral, *config.people]
    stated = [with_word(who, word) for who in people for word in words]
    stated += [concept.asked for concept in config.concepts.values()]
    also = [with_word(who, detail.replace("{}", "").strip()) for who in people for detail in probe.details]
    # Only in natural word order: otherwise a probe learns positions instead of words.
    mixed = [with_word(who, detail.replace("{}", word)) for who in people for detail in probe.details for word in words]
    return ProbePrompts(
        open=_sentences(config, [*people, *also]),
        stated=_sentences(config, [*stated, *mixed]),
        nobody=_sentences(config, probe.nobody),
    )


def with_word(phrase: str, word: str) -> str:
    """Put `word` before the noun and adapt the article: "a doctor" becomes "a woman doctor" or "an old doctor"."""
    article, _, noun = phrase.partition(" ")
    if not noun or article.lower() not in ("a", "an"):
        return f"{word} {phrase}"
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word} {noun}"


def _sentences(config: TrainConfig, phrases: Iterable[str]) -> tuple[str, ...]:
    """Put each phrase into a few of the frames (templates with places), in turn: using all would give thousands."""
    places = ["", *(f" {place}" for place in config.probe.places)]
    frames = cycle([(template, place) for place in places for template in config.probe.templates])
    found = (
        template.replace("{}", phrase + place) for phrase in phrases for template, place in islice(frames, _FRAMES)
    )
    return tuple(dict.fromkeys(found))
