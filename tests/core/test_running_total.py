from __future__ import annotations

import json

import pytest
import torch

from respo_train.core.counting import running_total
from respo_train.core.counting.running_total import Total, add, from_text, picture_key, to_text
from respo_train.core.errors import RespoError

PAIR = ("woman", "man")


def keys(*numbers: int) -> list[str]:
    return [f"{number:016x}" for number in numbers]


def test_nothing_is_counted_twice() -> None:
    total, new, left = add(Total(about={"node": "3"}), keys(1, 2, 2), [PAIR, ("", "woman"), ("", "man")])
    assert (new, left) == (2, 0)
    assert total.pictures == dict(zip(keys(1, 2), [PAIR, ("", "woman")], strict=True))
    again, new, left = add(total, keys(2, 1, 3), [PAIR] * 3)
    assert (new, left) == (1, 0)
    assert again.pictures == {**total.pictures, keys(3)[0]: PAIR}
    assert again.about == {"node": "3"}
    assert len(total.pictures) == 2  # the one before is left as it was


def test_it_ends_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_total, "MOST_PICTURES", 3)
    total, new, left = add(Total(), keys(*range(5)), [PAIR] * 5)
    assert (len(total.pictures), new, left) == (3, 3, 2)
    assert add(total, keys(0, 7), [PAIR] * 2)[1:] == (0, 1)
    assert add(Total(dict.fromkeys(keys(*range(9)), PAIR)), keys(11), [PAIR])[1:] == (0, 1)


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
