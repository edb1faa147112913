"""The probe on made-up encodings, each axis of which means one thing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from respo_train.core.errors import RespoError
from respo_train.core.module.probe import PromptProbe, likeness

WIDTH = 6
BEGIN, WHO, WOMAN, DARK, SKINNED, OTHER = torch.eye(WIDTH)


def tensors(**changes: Any) -> dict[str, Any]:
    """Somebody is there when more than a fifth of the tokens are WHO; stated by WOMAN, or by DARK and SKINNED."""
    plain: dict[str, Any] = {"mean": torch.zeros(WIDTH), "scale": torch.ones(WIDTH), "somebody": WHO.clone()}
    words = [WOMAN[None].clone(), torch.stack([DARK, SKINNED])]
    return {**plain, "words": words, "bias": torch.tensor([-0.2, -0.9]), **changes}


def prompt(*tokens: Tensor) -> Tensor:
    return torch.stack(tokens)[None]


ASKED = {
    "open": (prompt(BEGIN, WHO, OTHER), True),
    "stated": (prompt(BEGIN, WOMAN, WHO), False),
    "stated by two tokens": (prompt(BEGIN, DARK, SKINNED, WHO), False),
    "stated by two tokens apart": (prompt(WHO, SKINNED, OTHER, DARK), False),
    "half a word": (prompt(BEGIN, DARK, WHO), True),
    "nobody": (prompt(BEGIN, OTHER, OTHER), False),
    "nobody, but a word": (prompt(BEGIN, WOMAN, OTHER), False),
    "somebody far away": (prompt(BEGIN, WHO, OTHER, OTHER, OTHER, OTHER), False),
    "much like a word": (prompt(BEGIN, WHO, 0.95 * WOMAN + 0.2 * OTHER), False),
    "a little like a word": (prompt(BEGIN, WHO, WOMAN + OTHER), True),
}


@pytest.mark.parametrize("case", ASKED)
def test_leaves_open(case: str) -> None:
    context, wanted = ASKED[case]
    assert PromptProbe(**tensors()).leaves_open(context).tolist() == [wanted]


def test_tokens_are_standardised() -> None:
    mean, scale = torch.tensor([3.0, -2.0, 0.5, 0.0, 9.0, -28.0]), torch.tensor([0.1, 2.0, 1.0, 30.0, 0.5, 4.0])
    probe = PromptProbe(**tensors(mean=mean, scale=scale))
    for context, wanted in ASKED.values():
        assert probe.leaves_open(context * scale + mean).tolist() == [wanted]


def test_numbers_behind_the_answers() -> None:
    somebody, stated = PromptProbe(**tensors())(prompt(BEGIN, 2 * WHO, DARK, 3 * SKINNED))[0]
    assert somebody.item() == pytest.approx(2 / 4 - 0.2)
    assert stated.item() == pytest.approx(1 - 0.9)
    assert likeness(prompt(WHO, DARK + SKINNED), torch.stack([DARK, SKINNED])).item() == pytest.approx(0.5**0.5)


def test_each_prompt_is_asked_by_itself() -> None:
    same_length = [(c, wanted) for c, wanted in ASKED.values() if c.shape[1] == 3]
    together = torch.cat([context for context, _ in same_length])
    assert PromptProbe(**tensors()).leaves_open(together).tolist() == [wanted for _, wanted in same_length]


@pytest.mark.parametrize("times", [2, 3, 7])
def test_repeated_encodings_are_the_same(times: int) -> None:
    probe = PromptProbe(**tensors())
    for context, wanted in ASKED.values():
        repeated = context.repeat(1, times, 1)
        assert torch.allclose(probe(repeated), probe(context), atol=1e-6)
        assert probe.leaves_open(repeated).tolist() == [wanted]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_is_read(dtype: torch.dtype) -> None:
    for context, wanted in ASKED.values():
        assert PromptProbe(**tensors()).leaves_open(context.to(dtype)).tolist() == [wanted]


def test_what_it_was_made_of_stays_its_own() -> None:
    given_tensors = tensors()
    probe = PromptProbe(**given_tensors)
    for tensor in (given_tensors["mean"], given_tensors["somebody"], given_tensors["bias"], *given_tensors["words"]):
        tensor += 1
    assert probe.leaves_open(ASKED["open"][0]).tolist() == [True]
    assert probe.leaves_open(ASKED["stated"][0]).tolist() == [False]
    assert probe.width == WIDTH
    assert [len(word) for word in probe.words] == [1, 2]
    assert not list(probe.parameters())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mean": torch.zeros(WIDTH + 1)}, "scale, somebody, words"),
        ({"mean": torch.zeros(1, WIDTH)}, "mean"),
        ({"mean": torch.tensor(1.0)}, "mean"),
        ({"scale": torch.ones(2)}, "scale differs"),
        ({"somebody": torch.ones(WIDTH, 1)}, "somebody differs"),
        ({"words": []}, "words differs"),
        ({"words": [torch.ones(WIDTH)]}, "words differs"),
        ({"words": [torch.ones(1, WIDTH), torch.ones(2, WIDTH - 1)]}, "words differs"),
        ({"bias": torch.zeros(3)}, "bias differs"),
        ({"bias": torch.tensor(0.0)}, "bias differs"),
        ({"scale": torch.zeros(WIDTH)}, "scales above 0, found 0"),
        ({"scale": -torch.ones(WIDTH)}, "scales above 0, found -1"),
        ({"scale": torch.full((WIDTH,), torch.nan)}, "scales above 0, found nan"),
    ],
)
def test_shapes_that_do_not_go_together(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RespoError, match=named):
        PromptProbe(**tensors(**changes))


ANY = st.floats(width=32)


@given(st.lists(ANY, min_size=2 * 3 * WIDTH, max_size=2 * 3 * WIDTH))
def test_odd_numbers_get_an_answer(numbers: list[float]) -> None:
    """An encoding that is not finite is left alone: nobody knows what it says."""
    context = torch.tensor(numbers).reshape(2, 3, WIDTH)
    answers = PromptProbe(**tensors()).leaves_open(context)
    assert answers.dtype == torch.bool
    assert answers.shape == (2,)
    broken = ~torch.isfinite(context).flatten(1).all(1)
    assert not (answers & broken).any()


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=4 * WIDTH, max_size=4 * WIDTH))
def test_likeness_is_a_cosine(numbers: list[float]) -> None:
    tokens = torch.tensor(numbers).reshape(1, 4, WIDTH)
    for word in (tokens[0, :1], tokens[0, :2], torch.stack([WOMAN, DARK])):
        found = likeness(tokens, word).item()
        assert -1.001 < found < 1.001
        assert found <= likeness(tokens, word[:1]).item() + 1e-6
