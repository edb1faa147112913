"""Encode the prompts of every concept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .network import SplitNetwork
from .objectives.objective import Prompts, Steered
from .probe.sentences import with_word
from .settings.config import TrainConfig


def encode_prompts(config: TrainConfig, unet: SplitNetwork) -> dict[str, Prompts]:
    """Encode the prompts of every concept; each distinct text is encoded once.

    All of them at once, since on a small card the text encoder and the network take turns in its memory.
    """
    texts: dict[str, None] = {}  # in order
    _prompts(config, lambda text: texts.setdefault(text))
    encoded = dict(zip(texts, unet.encode_prompts(list(texts)), strict=True))
    return _prompts(config, encoded.__getitem__)


def _prompts(config: TrainConfig, encode: Callable[[str], Any]) -> dict[str, Prompts]:
    def steered(name: str, who: str | None) -> Steered:
        """Return the prompts for one of `people`, or with None for the neutral prompt."""
        texts = {
            key: own.asked if who is None else with_word(who, own.word or "") for key, own in config.concepts.items()
        }
        others = tuple(encode(text) for key, text in texts.items() if key != name)
        return Steered(encode(who or config.of(name, "neutral")), encode(texts[name]), others)

    prompts = {}
    for name in config.concepts:
        own = steered(name, None)
        people = tuple(steered(name, who) for who in config.people) if config.train_on == "people" else ()
        picture = encode(config.picture_words(name))
        prompts[name] = Prompts(own.neutral, own.target, own.others, encode(""), people, picture)
    return prompts
