"""Audit through the host: every attribute of a batch at once, with a judge that reads what a test has painted."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_judge import ToyJudge

WIDTH = 1024


@pytest.fixture
def output(host: SimpleNamespace, tmp_path: Path) -> Iterator[Path]:
    before = host.folder_paths.get_output_directory()
    host.folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path
    host.folder_paths.set_output_directory(before)


@pytest.fixture
def audit(run_node: Any, output: Path) -> Callable[..., SimpleNamespace]:
    """audit(images, …) -> images, chart, report (the JSON), text."""

    def run(images: Tensor, judge: Any = None, **given: Any) -> SimpleNamespace:
        inputs = {"target": "woman 1, man 1", "tolerance": 0.1, "page": False, **given}
        passed, chart, report, text = run_node("RespoAudit", images=images, judge=judge or ToyJudge(), **inputs)
        return SimpleNamespace(images=passed, chart=chart, report=json.loads(report), text=text)

    return run


def pictures(women: int, men: int, unsure: int = 0) -> Tensor:
    """Women with light skin, men with dark skin, and pictures without anything, as the toy's judge sees them."""
    images = torch.zeros(women + men + unsure, 4, 5, 3)
    images[women : women + men] = torch.tensor([1, 2, 0]) / 255
    images[women + men :] = 1.0
    return images


def test_counts_and_passes(audit: Any) -> None:
    images = pictures(110, 110, 3)
    done = audit(images)
    assert done.images is images
    gender, skin = (done.report["attributes"][name] for name in ("gender", "skin"))
    assert (gender["result"], gender["seen"], gender["unsure"]) == ("pass", {"woman": 110, "man": 110}, 3)
    assert (skin["result"], skin["seen"]) == (None, {"light": 110, "medium": 0, "dark": 110})
    assert done.text.startswith("gender: Passed: woman 50%, man 50%, each within 10 percentage points.")
    assert "It needs 220 pictures" in done.text
    assert done.chart.shape[::3] == (1, 3)
    assert done.chart.shape[2] == WIDTH


@pytest.mark.parametrize(("women", "men", "result"), [(30, 0, "fail"), (4, 4, "open")])
def test_fails_or_says_that_it_takes_more(audit: Any, women: int, men: int, result: str) -> None:
    assert audit(pictures(women, men)).report["attributes"]["gender"]["result"] == result


def test_several_targets_and_none(audit: Any) -> None:
    told = audit(pictures(8, 8), target="light 1, medium 0, dark 1\n\n man 1, woman 1\n").report["attributes"]
    assert told["skin"]["target"]["shares"] == {"light": 0.5, "medium": 0.0, "dark": 0.5}
    assert told["gender"]["target"]["shares"] == {"man": 0.5, "woman": 0.5}
    assert audit(pictures(1, 1), target=" \n").report["attributes"]["gender"]["target"] is None


def test_refuses_what_the_judge_does_not_know(audit: Any, pack: SimpleNamespace) -> None:
    for target in ("cat 1, dog 1", "woman 1", "light 1, dark 1", "woman 1, man 1\nman 1, woman 1"):
        judge = ToyJudge()
        with pytest.raises(pack.core.errors.RespoError, match="expected"):
            audit(pictures(1, 1), judge, target=target)
        assert judge.looked_at == 0


def test_the_page(audit: Any, output: Path) -> None:
    assert not list(output.iterdir())
    for number in (1, 2):
        assert f"respo_audits/audit_0000{number}.html" in audit(pictures(3, 2), page=True).text
    page = (output / "respo_audits" / "audit_00002.html").read_text(encoding="utf-8")
    assert "Perceived gender" in page
    assert "data:image" not in page


def test_two_servers_write_two_pages(
    audit: Any, output: Path, pack: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one takes the number between the look for a free one and the writing."""
    module = importlib.import_module(f"{pack.root.__name__}.respo_train.evaluation.audit_page")
    first, write = output / "respo_audits" / "audit_00001.html", module.write_page

    def meanwhile(path: Path, *given: Any, **how: Any) -> None:
        if not first.exists():
            first.write_bytes(b"another's")
        write(path, *given, **how)

    monkeypatch.setattr(module, "write_page", meanwhile)
    assert "respo_audits/audit_00002.html" in audit(pictures(3, 2), page=True).text
    assert first.read_bytes() == b"another's"
    assert b"Perceived gender" in first.with_name("audit_00002.html").read_bytes()


def test_the_page_says_what_is_missing(audit: Any, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    name = next(name for name in sys.modules if name.endswith("nodes.audit"))
    beyond = name.replace("nodes.audit", "respo_train.evaluation.audit_page")
    monkeypatch.setitem(sys.modules, beyond, None)
    done = audit(pictures(1, 1), page=True)
    assert "needs the Python packages jinja2 and matplotlib" in done.text
    assert done.report["pictures"] == 2


def test_cancel_ends_it(audit: Any, host: SimpleNamespace) -> None:
    """After the pictures that are being judged, not at the end."""
    import comfy.model_management as management

    judge = ToyJudge()
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        audit(pictures(60, 60), judge)
    assert judge.looked_at < 60
    management.interrupt_current_processing(False)
