"""Assign Labels: in a sequence as Balance's own, and over pictures with the fewest changes."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from respo_train.core.judge import Verdict


class Seeing:
    """A judge that reads a picture's brightness: dark ones show a man, bright ones a woman, grey ones nobody."""

    name = "Brightness"
    classes: ClassVar = {"hair": ("long", "short"), "gender": ("woman", "man", "nobody")}

    def verdicts(self, images, batch=64):
        names = [("man", "nobody", "woman")[round(float(image.mean()) * 2)] for image in images]
        return {"gender": Verdict(tuple(names), (1.0,) * len(names)), "hair": Verdict(("long",) * len(names), ())}


@pytest.fixture
def assign(run_node):
    return lambda **given: run_node("RespoAssignLabels", **{"distribution": "woman 1, man 1", **given})


def pictures(*brightness):
    return torch.tensor(brightness)[:, None, None, None].expand(-1, 8, 8, 3)


def test_without_pictures_it_is_balances_sequence(assign, run_node, model, module, host):
    labels, changes = assign(seed=5, count=7).args
    assert labels == changes == run_node("RespoBalance", model=model, module=module, seed=5, count=7)[1]
    (latent,) = host.nodes.LatentFromBatch().frombatch({"samples": torch.zeros(7, 4, 8, 8)}, 2, 3)
    assert assign(seed=5, latent=latent)[0].splitlines() == labels.splitlines()[2:5]


def test_whoever_fits_stays(assign):
    done = assign(images=pictures(0.0, 0.0, 1.0, 0.0, 0.5, 0.0), judge=Seeing())
    labels, changes = (text.splitlines() for text in done.args)
    assert sorted(labels) == ["man"] * 3 + ["woman"] * 3
    assert [change for change in changes if change != "-"] == ["woman", "woman"]
    assert (changes[2], changes[4]) == ("-", "woman")
    assert done.ui.value == "6 pictures: man 3, woman 3\n4 stay as they are, 2 change"


def test_balance_takes_the_changes(assign, run_node, model, module, sample):
    changes = assign(images=pictures(0.0, 0.0, 1.0, 0.0), judge=Seeing())[1]
    patched = run_node("RespoBalance", model=model, module=module, labels=changes)[0]
    was, now = sample(model, count=4), sample(patched, count=4)
    same = [torch.equal(a, b) for a, b in zip(was, now, strict=True)]
    assert same == [line == "-" for line in changes.splitlines()]
    assert same.count(False) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": pictures(0.0)}, "found the pictures alone"),
        ({"judge": Seeing()}, "found the judge alone"),
        (
            {"images": pictures(0.0), "judge": Seeing(), "distribution": "old 1, young 1"},
            r"Brightness knows \(hair: long, short; gender: .*'old, young'",
        ),
    ],
)
def test_what_it_refuses(assign, pack, given, message):
    with pytest.raises(pack.core.errors.RespoError, match=message):
        assign(**given)
