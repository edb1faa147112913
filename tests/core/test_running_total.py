from __future__ import annotations

import json

import pytest
import torch

from respo_train.core.counting import running_total
from respo_train.core.counting.running_total import (
    Total,
    from_text,
    new_of,
    picture_key,
    to_text,
)
from respo_train.core.errors import RespoError

PAIR = ("woman", "man")


def keys(*numbers: int) -> list[str]:
    return [f"{number:016x}" for number in numbers]


def test_nothing_is_counted_twice() -> None:
    total = Total()
    new, left = new_of(total, keys(1, 2, 2), [PAIR, ("", "woman"), ("", "man")])
    assert (new, left) == (dict(zip(keys(1, 2), [PAIR, ("", "woman")], strict=True)), 0)
    assert not total.pictures
    total.take(new)
    assert new_of(total, keys(2, 1, 3), [PAIR] * 3) == ({keys(3)[0]: PAIR}, 0)
    total.take({keys(2)[0]: PAIR, keys(3)[0]: PAIR})  # the second was counted before, as something else
    assert total.pictures == {**new, keys(3)[0]: PAIR}
    assert total.counts == {PAIR: 2, ("", "woman"): 1}


def test_it_ends_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_total, "MOST_PICTURES", 3)
    new, left = new_of(Total(), keys(*range(5)), [PAIR] * 5)
    assert (len(new), left) == (3, 2)
    assert new_of(Total(new), keys(0, 7), [PAIR] * 2) == ({}, 1)
    assert new_of(Total(dict.fromkeys(keys(*range(9)), PAIR)), keys(11), [PAIR]) == ({}, 1)


def test_text_and_back() -> None:
    total = Total({keys(1)[0]: ("", "unsure"), keys(2)[0]: ("é", "x")}, {"node": "3", "texts": ["a doctor"]})
    assert from_text(to_text(total)) == total


GOOD = {"version": 1, "about": {}, "pictures": {keys(1)[0]: ["a", "b"]}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        "[" * 100_000,
        to_text(Total({keys(1)[0]: PAIR}))[:-3],
        *(
            json.dumps({**GOOD, **change})
            for change in (
                {"version": 2},
                {"pictures": []},
                {"pictures": None},
                {"pictures": {"short": ["a", "b"]}},
                {"pictures": {keys(1)[0]: ["a"]}},
                {"pictures": {keys(1)[0]: ["a", 1]}},
                {"pictures": {keys(1)[0]: "ab"}},
                {"pictures": {keys(1)[0]: ["a", "b" * 201]}},
            )
        ),
    ],
)
def test_anything_else_is_broken(text: str) -> None:
    with pytest.raises(RespoError):
        from_text(text)


def test_what_people_see_tells_pictures_apart() -> None:
    image = torch.rand(6, 5, 3, generator=torch.Generator().manual_seed(0))
    other = image.clone()
    other[0, 0, 0] = 1 - other[0, 0, 0]
    alpha = torch.cat([image, torch.rand(6, 5, 1)], -1)
    assert picture_key(image) == picture_key(alpha) == picture_key(image + 1e-6) == picture_key(image.half().float())
    assert len({picture_key(one) for one in (image, other, image.flip(0), image.transpose(0, 1), image[:5])}) == 5
    zeros = torch.zeros(2, 3, 3), torch.zeros(3, 2, 3), torch.full((2, 3, 3), torch.nan)
    assert picture_key(zeros[0]) != picture_key(zeros[1])
    assert picture_key(zeros[0]) == picture_key(zeros[2])
