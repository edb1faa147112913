"""Who gets what: by the node's seed, by the sampler's, and by labels."""

from __future__ import annotations

from fractions import Fraction

import pytest

from respo_train.core.counting.joint import assign_jointly
from respo_train.core.counting.seats import Seats, as_labels, parse_given, shares_given
from respo_train.core.errors import RespoError

GENDER = (("man", Fraction(1, 2)), ("woman", Fraction(1, 2)))
TONE = (("dark", Fraction(1, 3)), ("light", Fraction(1, 3)), ("medium", Fraction(1, 3)))
NAMES = (("woman", "man"), ("light", "medium", "dark"))


def test_two_hundred_single_pictures_that_follow_their_sampler():
    """Every prefix of a queue with consecutive seeds is within one picture of half, from any first seed."""
    seats = Seats((GENDER,))
    assert seats.follows
    for first in (0, 7, 2**64 - 250):
        got = [name for seed in range(first, first + 200) for (name,) in seats.of(1, seed)]
        assert got == [name for (name,) in seats.of(200, first)]
        assert all(abs(got[:n].count("woman") - n / 2) <= 1 for n in range(201))


def test_the_seed_of_the_node_is_not_the_runs():
    seats = Seats((GENDER, TONE), seed=3)
    assert not seats.follows
    assert list(seats.of(9, 100)) == assign_jointly(3, range(9), [dict(GENDER), dict(TONE)])


def test_indices_hold_for_their_own_number_of_pictures():
    seats = Seats((GENDER,), 3, indices=(5, 6))
    assert list(seats.of(2)) == assign_jointly(3, [5, 6], [dict(GENDER)])
    assert list(seats.of(3)) == assign_jointly(3, range(3), [dict(GENDER)])


def test_a_seed_that_nobody_tells():
    with pytest.raises(RespoError, match="follow the seed of their sampler"):
        Seats((GENDER,)).of(1)


def test_labels_go_by_place_or_by_index():
    rows = (("woman",), ("man",), ("-",), ("woman",))
    assert list(Seats((), None, None, rows).of(4)) == [*rows]
    assert list(Seats((), None, (0, 0, 0, 0), rows).of(4)) == [*rows]  # one noise for all, but a label for each
    assert list(Seats((), None, (3, 1), rows).of(2)) == [("woman",), ("man",)]
    for indices, count in ((None, 1), ((1, 2), 3), ((1, 4), 2)):
        with pytest.raises(RespoError, match=f"given 4 labels, but {count} pictures"):
            Seats((), None, indices, rows).of(count)


def test_labels_name_each_attribute_or_leave_it():
    rows = parse_given("dark, woman\n-\n\nman\n-, light\n", NAMES)
    assert rows == (("woman", "dark"), ("-", "-"), ("-", "-"), ("man", "-"), ("-", "light"))
    assert parse_given(as_labels(rows), NAMES) == rows
    assert parse_given("dark, woman; -;; man;-, light", NAMES) == rows
    assert shares_given(rows, 0) == {"woman": Fraction(1, 5), "man": Fraction(1, 5)}


@pytest.mark.parametrize("text", ["woman\nwomn", "woman\nwoman, man", "woman\nwoman 1, man 1", "woman\nunsure"])
def test_other_names_are_refused_with_their_line(text):
    with pytest.raises(RespoError, match=r"one of woman, man .* in line 2"):
        parse_given(text, NAMES)


def test_thousands_of_labels_have_a_short_name():
    """Every edit of a model shows it, and there is one for each concept."""
    rows = tuple((str(number),) for number in range(4096))
    assert len(repr(Seats((), rows=rows))) < 100
    assert repr(Seats((), rows=rows)) == repr(Seats((), rows=(*rows,)))
    assert len({repr(Seats((GENDER,), seed=seed)) for seed in (None, 0, 1)} | {repr(Seats((TONE,)))}) == 4
