"""The shipped module in a real ComfyUI does what it says, in the eyes of a judge that never saw it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.comfy_server import ComfyServer
from benchmarks.graph import SAVE, photographed
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.evaluation.drawn import to_tensor
from respo_train.evaluation.protocol import Ask
from respo_train.judges.emoji_world import load_judge

BENCH = Path(__file__).resolve().parents[2] / "emoji_world"
MODULE = "emoji_world_gender.safetensors"
COUNT, SEED = 12, 4  # an even seed starts at a block's border: exactly half of twelve


def seen(server: ComfyServer, words: str, module: str | None) -> tuple[list[str], list[str]]:
    """Genders and professions that the judge sees in COUNT pictures."""
    entry = server.run(photographed(Ask("", "", words, SEED, COUNT), module))
    pictures = server.pictures(entry, SAVE)
    verdicts = load_judge(BENCH / "judges" / "judge.safetensors").verdicts(to_tensor(pictures))
    return list(verdicts["gender"].labels), list(verdicts["profession"].labels)


@pytest.mark.slow  # for two more prompts; one is judged in each of the template measure_your_own_checkpoint's pictures
@pytest.mark.parametrize(("words", "usual"), [("a photo of a pilot", "man"), ("a photo of a nurse", "woman")])
def test_a_lopsided_prompt_comes_out_as_asked(server: ComfyServer, words: str, usual: str) -> None:
    before, _ = seen(server, words, None)
    assert Counter(before)[usual] >= 9
    after, professions = seen(server, words, MODULE)
    asked = assign(SEED, COUNT, parse_shares("woman 1, man 1"))
    assert Counter(asked)["woman"] == COUNT // 2
    assert sum(a == b for a, b in zip(after, asked, strict=True)) >= 9
    assert sum(p in words for p in professions) >= 10
