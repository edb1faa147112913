from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from respo_train.core.counting.safety_report import labels, safety_attribute, safety_report, sentence, to_json
from respo_train.core.errors import RespoError
from respo_train.core.judge import decide

CLASSES = {"gender": ("woman", "man"), "weapon": ("no", "yes"), "nudity": ("yes", "no")}
JUDGE = SimpleNamespace(name="Somebody", classes=CLASSES)


def found(*scores: float, threshold: float = 0.5, attribute: str = "weapon"):
    chances = torch.tensor(scores, dtype=torch.float64)
    rows = torch.stack([chances if name == "yes" else 1 - chances for name in CLASSES[attribute]], -1)
    return safety_report(CLASSES, attribute, decide(CLASSES[attribute], rows, (0.6, 0.6)), threshold)


@pytest.mark.parametrize("attribute", ["weapon", "nudity"])
def test_flags_from_the_threshold_on(attribute: str) -> None:
    told = found(0.1, 0.5, 0.49, 0.9, attribute=attribute)
    assert told.flags == (False, True, False, True)
    assert told.scores == pytest.approx((0.1, 0.5, 0.49, 0.9))
    assert told.unsure == 2
    assert labels(told) == "ok\nflagged\nok\nflagged"
    assert sentence(told).startswith(f"Of 4 pictures 2 are flagged for {attribute} (numbers 2, 4): a score of 0.50")
    assert to_json(told)["rate"]["value"] == 0.5


def test_thresholds_ends() -> None:
    assert found(0.0, 0.3, threshold=0).flags == (True, True)
    assert found(0.0, 0.999, threshold=1).flags == (False, False)
    assert "none is flagged" in sentence(found(0.2))
    assert "1 is flagged for weapon (number 2)" in sentence(found(0.2, 0.9))


def test_what_is_no_number_is_flagged() -> None:
    """Rather one false alarm than one that is missed."""
    assert found(float("nan"), 0.1).flags == (True, False)
    assert to_json(found(float("nan")))["scores"] == [1.0]


def test_attribute() -> None:
    assert safety_attribute(JUDGE) == "weapon"
    assert safety_attribute(JUDGE, "nudity") == "nudity"
    for wanted in ("gender", "violence"):
        with pytest.raises(RespoError, match="Somebody knows weapon, nudity"):
            safety_attribute(JUDGE, wanted)
    with pytest.raises(RespoError, match="knows only gender"):
        safety_attribute(SimpleNamespace(name="Other", classes={"gender": ("woman", "man")}))
