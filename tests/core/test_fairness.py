from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from respo_train.core.counting.fairness import (
    NOT_ASKED,
    asked_for,
    attribute_of,
    concepts_of,
    more_to_halve,
    report,
    sentence,
    to_json,
)
from respo_train.core.counting.metrics import bootstrap_assigned, deviation_ratio, fair_coin, wilson
from respo_train.core.errors import RespoError
from respo_train.core.judge import NOBODY, UNSURE

GENDER = ("woman", "man")
CLASSES = {"gender": ("woman", "man", NOBODY), "skin": ("light", "medium", "dark", NOBODY), "weapon": ("no", "yes")}


def seen(women: int, men: int, *others: str) -> list[tuple[str, str]]:
    return [(NOT_ASKED, name) for name in ["woman"] * women + ["man"] * men + list(others)]


def test_nine_women_of_sixteen() -> None:
    found = report("gender", GENDER, seen(9, 7))
    assert found.deviation == bootstrap_assigned({"": {"": {"woman": 9, "man": 7}}})
    assert found.deviation.value == pytest.approx(0.125)
    assert found.chance == fair_coin([16], 2)
    assert more_to_halve(found) == 48
    said = sentence(found)
    assert said.startswith("Of 16 pictures 9 show woman and 7 show man: deviation ratio .12 [")
    assert "Chance alone would give .20 at this count" in said
    assert "48 more pictures would halve the interval." in said
    assert "asked" not in said
    assert "unsure" not in said


def test_four_times_as_many_pictures_halve_the_interval() -> None:
    few, many = (report("gender", GENDER, seen(3 * n, n)).deviation for n in (30, 120))
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(0.5, abs=0.05)


def test_unsure_is_in_no_class() -> None:
    found = report("gender", GENDER, seen(6, 2, *[UNSURE] * 2, NOBODY))
    assert found.seen == {"woman": 6, "man": 2}
    assert (found.count, found.decided, found.unsure, found.nobody) == (11, 8, 2, 1)
    assert found.deviation.value == deviation_ratio({"woman": 6, "man": 2})
    assert found.chance == fair_coin([8], 2)
    assert "Note that 2 (18 %) are unsure" in sentence(found)
    assert "1 shows nobody and is not in it." in sentence(found)


@pytest.mark.parametrize(("unsure", "warns"), [(5, False), (6, True)])
def test_more_than_five_percent_unsure_says_so(unsure: int, warns: bool) -> None:
    said = sentence(report("gender", GENDER, seen(60, 40 - unsure, *[UNSURE] * unsure)))
    assert ("Note that" in said) is warns
    assert f"{unsure} " in said


def test_what_was_asked() -> None:
    pairs = [("woman", "woman")] * 7 + [("woman", UNSURE), ("man", "woman")] + [("man", "man")] * 7
    found = report("gender", GENDER, pairs)
    assert (found.agreed, found.asked_count, found.perfect) == (14, 16, 0)
    assert found.asked == {"woman": 8, "man": 8}
    strata = {"woman": {"woman": 7, "man": 0}, "man": {"woman": 1, "man": 7}}
    assert found.deviation == bootstrap_assigned({"": strata})
    assert (
        found.deviation.high < bootstrap_assigned({"": {"": {"woman": 8, "man": 7}}}).high
    )  # quotas leave less to chance
    assert "14 of 16 show what they were asked to." in sentence(found)


def test_quotas_that_are_not_even() -> None:
    found = report("gender", GENDER, [("woman", "woman")] * 3 + [("man", "man")])
    assert found.perfect == pytest.approx(0.5)
    assert "If all did, the ratio would be .50." in sentence(found)
    assert more_to_halve(found) == 0  # all obeyed: nothing was left to chance
    assert sentence(found).endswith("that is no proof: draw more.")


def test_asked_in_part() -> None:
    found = report("gender", GENDER, [("woman", "woman"), (NOT_ASKED, "man"), (NOT_ASKED, "man")])
    assert (found.agreed, found.asked_count, found.perfect) == (1, 1, None)


@pytest.mark.parametrize("labels", [[UNSURE] * 3, [NOBODY], ["robot", UNSURE]])
def test_nothing_decided(labels: list[str]) -> None:
    found = report("gender", GENDER, [("woman", label) for label in labels])
    assert (found.deviation, found.chance, more_to_halve(found)) == (None, None, 0)
    assert sentence(found).startswith(f"Of {len(labels)} picture")
    assert "none shows woman or man for sure" in sentence(found)
    assert to_json(found)["deviation_ratio"] is None


def test_one_picture() -> None:
    found = report("gender", GENDER, seen(0, 1))
    assert (found.deviation.value, found.chance.value) == (1, 1)
    assert sentence(found).startswith("Of 1 picture 0 show woman and 1 shows man: deviation ratio 1 [1, 1]")


@given(st.lists(st.tuples(st.sampled_from([*GENDER, ""]), st.sampled_from([*GENDER, UNSURE, NOBODY])), min_size=1))
def test_every_picture_is_counted_once(pairs: list[tuple[str, str]]) -> None:
    found = report("gender", GENDER, pairs)
    assert sum(found.seen.values()) + found.unsure + found.nobody == found.count == len(pairs)
    for share in found.shares.values():
        assert 0 <= share.low <= share.value <= share.high <= 1
    assert sentence(found).endswith(".")


def test_refuses_nothing_to_count() -> None:
    for concepts, pairs in ((GENDER, []), (("woman",), seen(1, 0))):
        with pytest.raises(RespoError, match="pictures and two or more concepts"):
            report("gender", concepts, pairs)


def test_concepts() -> None:
    assert concepts_of(CLASSES["skin"]) == ("light", "medium", "dark")
    assert concepts_of(CLASSES["skin"], " dark , light,dark") == ("dark", "light")
    for text in ("dark", "dark, green", NOBODY, "dark, nobody"):
        with pytest.raises(RespoError, match="two or more of light, medium, dark"):
            concepts_of(CLASSES["skin"], text)


def test_labels_of_several_attributes() -> None:
    assert asked_for("woman, dark", GENDER) == "woman"
    assert asked_for("woman , dark", ("light", "medium", "dark")) == "dark"
    assert asked_for("dark", GENDER) == asked_for("", GENDER) == asked_for("womanly", GENDER) == NOT_ASKED
    assert attribute_of(CLASSES, ["", "dark"]) == "skin"
    assert attribute_of(CLASSES, ["woman, dark"]) == "gender"
    assert attribute_of(CLASSES, ["", "nobody", "robot"]) == "gender"


def test_wilson_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = [w.low <= 0.1 <= w.high for w in (wilson(hits, 40) for hits in rng.binomial(40, 0.1, 2000))]
    assert 0.92 < np.mean(held) < 0.98
    found = wilson(0, 10)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.2775, abs=1e-3)
    assert not any(map(math.isnan, (wilson(0, 0).low, wilson(0, 0).high)))
