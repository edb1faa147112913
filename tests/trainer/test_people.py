"""`train_on = "people"`: every picture of the batch's trajectories is of the next person, steered to its own target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor
from toy_unet import CHANNELS, SIZE, ToyUNet, prompt_vector

from respo_train.core.errors import RespoError
from respo_train.core.module.concept import ConceptModule
from respo_train.job import Base, Stopped, state_path, train_to_file
from respo_train.latents.trajectory import Trajectories
from respo_train.network import AttentionHook, Conditioning, Encoded
from respo_train.objectives.objective import Setting
from respo_train.objectives.respodiff import start, terms
from respo_train.probe.sentences import with_word
from respo_train.prompts import encode_prompts
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.team import Team
from respo_train.trainer import TrainState, settings_of, train

PEOPLE = ["a doctor", "a nurse", "an artist", "a pilot"]
EVERYBODY = ["a person", *PEOPLE]
BASE = Base("toy.safetensors", "ab" * 32)
BATCH, TRAJECTORY = 4, 3


def config(**changes: Any) -> TrainConfig:
    quick = {"steps": 8, "batch": BATCH, "trajectory_steps": TRAJECTORY, "people": PEOPLE, "train_on": "people"}
    return read_config("gender", {**quick, "probe": {"nobody": []}, "target_from": "others", **changes})


def asked(who: str, word: str) -> str:
    """What the concept `word` asks for when it is `who` that is steered."""
    return f"a {word}" if who == "a person" else with_word(who, word)


TEXTS = ["", *EVERYBODY, *(asked(who, word) for who in EVERYBODY for word in ("woman", "man"))]


class Listening(ToyUNet):
    """Remembers the text of every row that goes through its first half."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[list[str]] = []

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        rows = conditioning.context[:, 0]
        self.heard.append([next(text for text in TEXTS if torch.equal(row, prompt_vector(text))) for row in rows])
        return super().encoder(latents, timesteps, conditioning, hook)


def setting(unet: ToyUNet, team: Team | None = None, **changes: Any) -> Setting:
    return settings_of(config(**changes), unet, *([] if team is None else [team]))["woman"]


def step(own: Setting, trajectories: Trajectories, module: ConceptModule) -> list[float]:
    return [float(term.loss.detach()) for term in terms(own, module, trajectories, 0)]


def module() -> ConceptModule:
    made = ConceptModule(CHANNELS, SIZE, SIZE)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    return made


def pictures(trajectories: Trajectories) -> list[str]:
    """Who each row's picture is of."""
    numbers = [round_ * BATCH + index for round_, index in zip(trajectories.rounds, trajectories.indices, strict=True)]
    return [EVERYBODY[number % len(EVERYBODY)] for number in numbers]


def test_each_row_has_its_own_person_and_that_persons_targets() -> None:
    unet, steered = Listening(), module()
    own = setting(unet)
    trajectories = start(own)
    met: set[str] = set()
    for _ in range(TRAJECTORY * 6):
        people, positions = pictures(trajectories), list(trajectories.positions)
        unet.heard.clear()
        step(own, trajectories, steered)
        (heard,) = unet.heard
        neutral, uncond, target, other = (heard[i : i + BATCH] for i in range(0, 4 * BATCH, BATCH))
        assert len(heard) == 4 * BATCH
        assert neutral == people
        assert uncond == [""] * BATCH
        assert target == [asked(who, "woman") for who in people]
        assert other == [asked(who, "man") for who in people]
        # The person stays until the picture is done.
        done = [position == TRAJECTORY - 1 for position in positions]
        for was, now, finished in zip(people, pictures(trajectories), done, strict=True):
            assert finished or was == now
        met |= set(people)
    assert met == set(EVERYBODY)


def test_the_way_to_the_first_latents_is_of_the_same_people() -> None:
    unet = Listening()
    trajectories = start(setting(unet))
    assert len(unet.heard) == max(trajectories.offsets)
    for number, heard in enumerate(unet.heard):
        rows = [row for row, offset in enumerate(trajectories.offsets) if offset > number]
        assert heard == [""] * len(rows) + [EVERYBODY[row] for row in rows]


@pytest.mark.parametrize("target_from", ["unconditional", "neutral", "others"])
def test_one_step_restated_row_by_row(target_from: str) -> None:
    """The responsible loss of the batch is the mean of what each row by itself would have with its own prompts."""
    unet, steered = ToyUNet(), module()
    own = setting(unet, target_from=target_from, target_guidance=2.5)
    trajectories = start(own)
    latents, timesteps = trajectories.latents.clone(), trajectories.current_timesteps.clone()
    people = pictures(trajectories)
    wanted = []
    for row, who in enumerate(people):
        z, t = latents[row : row + 1], timesteps[row : row + 1]

        def predict(text: str, delta: Tensor | float = 0.0, z: Tensor = z, t: Tensor = t) -> Tensor:
            encoded = unet.encoder(z, t, unet.encode_prompts([text])[0])
            return unet.decoder(encoded, encoded.h + delta)

        plain, uncond, target, other = map(predict, (who, "", asked(who, "woman"), asked(who, "man")))
        origin = uncond if target_from == "unconditional" else plain
        away = other if target_from == "others" else origin
        goal = origin + 2.5 * (target - away)
        student = predict(who, steered.responsible.value().detach())
        wanted.append(F.mse_loss(student, goal).item())
    found = step(own, trajectories, steered)
    assert found[0] == pytest.approx(sum(wanted) / len(wanted), rel=1e-4)


def test_a_team_has_the_rows_of_one_process() -> None:
    steered, whole_unet = module(), Listening()
    own = setting(whole_unet)
    whole = start(own)
    units = [Listening(), Listening()]
    teams = [setting(unet, Team(rank, 2)) for rank, unet in enumerate(units)]
    shares = [start(one) for one in teams]
    for _ in range(TRAJECTORY * 3):
        for rank, share in enumerate(shares):
            assert torch.allclose(share.latents, whole.latents[rank::2], atol=1e-4)
            assert pictures(share) == pictures(whole)[rank::2]
        for unet in (whole_unet, *units):
            unet.heard.clear()
        step(own, whole, steered)
        together = torch.tensor([step(one, share, steered) for one, share in zip(teams, shares, strict=True)])
        assert torch.isfinite(together).all()
        for rank, unet in enumerate(units):
            for kind in range(4):
                rows = whole_unet.heard[0][kind * BATCH : (kind + 1) * BATCH]
                assert unet.heard[0][kind * BATCH // 2 : (kind + 1) * BATCH // 2] == rows[rank::2]


def values(state: TrainState) -> dict[str, Tensor]:
    return {f"{n}.{k}": v for n, own in state.modules().items() for k, v in own.state_dict().items()}


def test_people_are_nothing_to_a_run_on_the_neutral_prompt() -> None:
    with_people, without = (
        values(train(config(train_on="neutral", people=people), ToyUNet())) for people in (PEOPLE, [])
    )
    assert all(torch.equal(value, without[key]) for key, value in with_people.items())
    on_people = values(train(config(), ToyUNet()))
    assert not any(torch.equal(value, without[key]) for key, value in on_people.items())
    assert all(torch.equal(value, on_people[key]) for key, value in values(train(config(), ToyUNet())).items())


def test_prompts_of_people() -> None:
    unet = ToyUNet()
    prompts = encode_prompts(config(), unet)["man"]
    texts = [("a person", "a man", "a woman"), *((who, asked(who, "man"), asked(who, "woman")) for who in PEOPLE)]
    for found, (neutral, target, other) in zip((prompts, *prompts.people), texts, strict=True):
        for own, text in ((found.neutral, neutral), (found.target, target), (found.others[0], other)):
            assert torch.equal(own.context, unet.encode_prompts([text])[0].context)
        assert len(found.others) == 1
    assert encode_prompts(config(train_on="neutral"), unet)["man"].people == ()


def test_people_of_unequal_length() -> None:
    class Growing(ToyUNet):
        def encode_prompts(self, prompts: Any) -> list[Conditioning]:
            found = super().encode_prompts(prompts)
            longer = [2 if "nurse" in prompt else 1 for prompt in prompts]
            return [Conditioning(one.context.repeat(1, n, 1)) for one, n in zip(found, longer, strict=True)]

    with pytest.raises(
        RespoError, match=r"the same number of tokens in the text encoder, found \[16, 32\]; shorten the longest"
    ):
        start(setting(Growing()))


class StopAt:
    """Ends the run after a step."""

    def __init__(self, number: int) -> None:
        self.number = number

    def after_step(self, state: TrainState) -> None:
        if state.step == self.number:
            raise Stopped("enough")

    def finish(self, state: TrainState) -> None:
        """Nothing to be done."""


@pytest.mark.parametrize("number", [1, 5])
def test_resumed_is_uninterrupted(tmp_path: Path, number: int) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_to_file(config(), ToyUNet(), BASE, whole)
    with pytest.raises(Stopped):
        train_to_file(config(), ToyUNet(), BASE, parts, [StopAt(number)])
    train_to_file(config(), ToyUNet(), BASE, parts, resume=True)
    for first, second in ((whole, parts), (state_path(whole), state_path(parts))):
        one, two = safetensors.torch.load_file(first), safetensors.torch.load_file(second)
        assert one.keys() == two.keys()
        assert all(torch.equal(value, two[key]) for key, value in one.items())


@pytest.mark.parametrize("changes", [{"train_on": "neutral"}, {"people": ["a doctor", "a pilot"]}])
def test_a_run_on_other_people_does_not_go_on(tmp_path: Path, changes: dict[str, Any]) -> None:
    out = tmp_path / "gender.safetensors"
    with pytest.raises(Stopped):
        train_to_file(config(), ToyUNet(), BASE, out, [StopAt(2)])
    with pytest.raises(RespoError, match="it cannot go on"):
        train_to_file(config(**changes), ToyUNet(), BASE, out, resume=True)
