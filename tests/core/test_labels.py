from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respo_train.core.counting.labels import LONGEST, for_file_name, parse_labels
from respo_train.core.errors import RespoError


def test_one_label_a_line() -> None:
    assert parse_labels("woman\nman", 2) == parse_labels(" woman \r\nman\n", 2) == ["woman", "man"]
    assert parse_labels("\nman", 2) == ["", "man"]
    assert parse_labels("", 3) == parse_labels(" \n ", 3) == ["", "", ""]


@pytest.mark.parametrize("text", ["woman", "woman\nman\nman", "woman\nman\nman\n\n"])
def test_another_number_of_labels_is_refused(text: str) -> None:
    with pytest.raises(RespoError, match=r"each of the 2 pictures.*found \d"):
        parse_labels(text, 2)


@pytest.mark.parametrize(
    ("text", "count", "advice"),
    [
        ("woman\nman\nman", 1, "'images' gets the pictures one at a time, as a list.*Rebatch Images"),
        ("woman 1, man 1", 8, "given shares.*Balance's 'distribution'.*output 'labels'"),
        ("light-skinned .5; dark 2.25,", 8, "given shares"),
        ("woman", 8, "Set the count of the Balance node"),
        ("woman, dark", 8, "Set the count of the Balance node"),
        ("woman 1" + "1" * 90_000 + "x", 8, ""),
    ],
)
def test_what_to_do_about_it(text: str, count: int, advice: str) -> None:
    with pytest.raises(RespoError, match=f"found {len(text.splitlines())}.*{advice}"):
        parse_labels(text, count)


def test_endless_labels_are_refused() -> None:
    assert parse_labels("x" * LONGEST, 1)
    with pytest.raises(RespoError, match="201"):
        parse_labels("x" * (LONGEST + 1), 1)


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("woman", "woman"),
        ("woman, dark", "woman-dark"),
        ("no_weapons-2", "no_weapons-2"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\\b:c\0d|e?", "a-b-c-d-e"),
        ("médecin \u7537", "médecin-\u7537"),
        (" … ", ""),
        ("w" * 100, "w" * 40),
    ],
)
def test_label_in_a_name(label: str, part: str) -> None:
    assert for_file_name(label) == part


@given(st.text())
def test_nothing_else_gets_into_a_name(label: str) -> None:
    part = for_file_name(label)
    assert len(part) <= 40
    assert all(letter.isalnum() or letter in "-_" for letter in part)
