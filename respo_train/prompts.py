"""The prompts of every concept, encoded once each."""

from __future__ import annotations

from .config import TrainConfig
from .network import SplitUNet
from .objectives.objective import Prompts


def encode_prompts(config: TrainConfig, unet: SplitUNet) -> dict[str, Prompts]:
    """Encode the prompts of every concept; each text once."""
    words: dict[str, tuple[str, ...]] = {}
    for name, concept in config.concepts.items():
        words[name] = ("", config.of(name, "neutral"), concept.asked, config.picture_words(name))
    texts = list(dict.fromkeys(text for own in words.values() for text in own))
    encoded = dict(zip(texts, unet.encode_prompts(texts), strict=True))
    prompts = {}
    for name, own in words.items():
        uncond, neutral, target, picture = (encoded[text] for text in own)
        others = tuple(encoded[other.asked] for key, other in config.concepts.items() if key != name)
        prompts[name] = Prompts(neutral, target, uncond, others, picture)
    return prompts
