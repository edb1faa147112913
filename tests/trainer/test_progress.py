from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from respo_train.report.progress import Progress
from respo_train.trainer import Losses, TrainState

Step = Callable[[int, float], None]


def state(step: int, *losses: Losses) -> TrainState:
    return TrainState(step, {"woman": SimpleNamespace(losses=list(losses))})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("tqdm.std.time", lambda: now.seconds)
    return now


def test_a_resumed_run_starts_where_it_was_and_knows_the_time_left(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture
) -> None:
    with Progress(1000) as progress:
        for step in range(901, 911):
            clock.seconds += 2
            progress.after_step(state(step, Losses(0.5, 0.25)))
    # 90 steps are left, at 2 seconds each.
    assert "910/1000 [00:18<03:00,  2.00s/step, responsible 0.5000, semantic 0.2500]" in capsys.readouterr().err


def test_a_pause_counts_as_part_of_the_whole(clock: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    with Progress(100) as progress:
        for step in range(1, 51):
            clock.seconds += 41 if step == 50 else 1
            progress.after_step(state(step, Losses(0.5, 0.0)))
        # Not at the end, where the bar always shows the mean.
        assert "50/100 [01:29<01:30," in capsys.readouterr().err


def test_losses_are_means_of_the_last_twenty_steps(capsys: pytest.CaptureFixture) -> None:
    losses = [Losses(100.0, 100.0)] * 5 + [Losses(1.0, 0.5), Losses(3.0, 1.5)] * 10
    progress = Progress(30)
    progress.after_step(state(25, *losses))
    progress.finish(state(25, *losses))
    assert "responsible 2.0000, semantic 1.0000" in capsys.readouterr().err


def test_no_semantic_loss_where_there_is_no_semantic_part(capsys: pytest.CaptureFixture) -> None:
    with Progress(2) as progress:
        progress.after_step(state(1, Losses(0.5, 0.0)))
    shown = capsys.readouterr().err
    assert "responsible 0.5000" in shown
    assert "semantic" not in shown


def test_nothing_is_shown_and_nothing_fails_without_a_step(capsys: pytest.CaptureFixture) -> None:
    with Progress(2):
        pass
    assert capsys.readouterr().err == ""
