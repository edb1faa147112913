"""Prompts that the real tokenizers have to cut."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from respo_train.core.errors import RespoWarning
from respo_train.host.host_network import _warn_if_long


@pytest.fixture(params=["clip", "emoji_world"])
def tokenize(request: pytest.FixtureRequest, host: SimpleNamespace) -> tuple[Callable, int]:
    """A tokenizer, and how many words of one token fit into a chunk of its."""
    if request.param == "clip":
        from comfy.sd1_clip import SD1Tokenizer

        return SD1Tokenizer().tokenize_with_weights, 75
    from respo_train.host.emoji_world_model import EmojiWorldTokenizer

    return EmojiWorldTokenizer().tokenize_with_weights, 22


def test_a_prompt_that_is_cut_is_a_warning(tokenize: tuple[Callable, int]) -> None:
    cut, words = tokenize
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _warn_if_long("a " * words, cut("a " * words))
        _warn_if_long("", cut(""))
    with pytest.warns(RespoWarning, match=rf"one chunk of {words} tokens and is cut into 2") as caught:
        _warn_if_long("a " * (words + 1), cut("a " * (words + 1)))
    assert "\n" not in str(caught[0].message)
