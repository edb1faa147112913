"""Balance lets prompts alone that are not open, bit for bit: on Emoji World, against an oracle that knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from emoji_world import world as emoji_world
from respo_train.core.files.checkpoint import load_attribute, save_attribute
from respo_train.core.files.text_form import from_text, to_text
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.host.split_unet import HostUNet
from respo_train.latents.sampling import one_per_row
from respo_train.probe.fit import fit_probe
from respo_train.probe.sentences import probe_prompts, with_word
from respo_train.settings.preset_files import read_config

EMOJI_WORLD = Path(__file__).resolve().parents[2] / "emoji_world" / "checkpoint" / "emoji_world.safetensors"
FILE = "tests/probed.safetensors"
OPEN, STATED, NOBODY = "a photo of a doctor", "a photo of a woman doctor", "a photo of a dog"
LONG = "a photo of a doctor " + "in the kitchen at night " * 6  # more places than OPEN has


@pytest.fixture(scope="module")
def gender(unet: HostUNet) -> Attribute:
    """An attribute of random numbers with the probe that a training would give it."""
    concepts = {name: ConceptModule(128, 8, 8) for name in ("woman", "man")}
    for seed, module in enumerate(concepts.values()):
        for parameter in module.parameters():
            parameter.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
    base = {"name": "emoji_world.safetensors", "sha256": "0" * 64, "fingerprint": list(unet.fingerprint)}
    probe = fit_probe(read_config("gender"), unet)
    return Attribute("gender", "fairness", concepts, unet.architecture, base, {"objective": "respodiff"}, probe=probe)


@pytest.fixture(scope="module")
def probed(run_node: Callable, module_folder: Path, gender: Attribute) -> Any:
    """What Load Module gives for its file."""
    save_attribute(module_folder / FILE, gender)
    return run_node("RespoLoadModule", module=FILE)[0]


@pytest.fixture(scope="module")
def world(unet: HostUNet) -> Any:
    """The host's MODEL."""
    return unet._patcher


@pytest.fixture(scope="module")
def encode(unet: HostUNet, host: SimpleNamespace) -> Callable[..., list]:
    """encode("a doctor", "a dog") -> a CONDITIONING of all of them, through the host's nodes."""

    def run(*texts: str) -> list:
        combined, *others = (host.nodes.CLIPTextEncode().encode(unet._clip, text)[0] for text in texts)
        for other in others:
            (combined,) = host.nodes.ConditioningCombine().combine(combined, other)
        return combined

    return run


@pytest.fixture(scope="module")
def draw(host: SimpleNamespace, encode: Callable) -> Callable[..., Tensor]:
    """draw(model, "a doctor") -> latents of two pictures."""

    def run(model: Any, *texts: str, cfg: float = 3.0, negative: str = "", positive: Any = None) -> Tensor:
        latent = {"samples": torch.zeros(2, 4, 16, 16)}
        prompts = positive or encode(*texts), encode(negative)
        with torch.inference_mode():
            result = host.nodes.common_ksampler(model, 5, 2, cfg, "euler", "normal", *prompts, latent)
        return result[0]["samples"]

    return run


@pytest.fixture
def balance(run_node: Callable, world: Any, probed: Any) -> Callable[..., Any]:
    """balance(…) -> the MODEL: one woman, one man."""
    return lambda **given: run_node("RespoBalance", **{"model": world, "module": probed, **given})[0]


@pytest.fixture
def wanted(draw: Callable, by_hand: Callable, encode: Callable, world: Any, gender: Attribute, pack: Any) -> Callable:
    """wanted([OPEN], OPEN, STATED) -> latents where the rows of the prompts in the list alone got their concept."""
    labels = pack.core.counting.balance.assign(0, 2, pack.core.counting.balance.parse_shares("woman 1, man 1"))

    def run(acting: list[str], *texts: str, **options: Any) -> Tensor:
        known = [encode(text)[0][0][0] for text in acting]

        def addition(place: Any) -> Tensor | None:
            found = any(torch.equal(place.text[: len(one)], one) for one in known)
            delta = gender.concept(labels[place.image]).delta(*place.size).detach()
            return delta if place.chunk == 0 and found else None

        with by_hand(world, addition) as expected:
            return draw(expected, *texts, **options)

    return run


def test_an_open_prompt_is_changed(balance: Callable, draw: Callable, wanted: Callable, world: Any) -> None:
    found = draw(balance(), OPEN)
    assert torch.equal(found, wanted([OPEN], OPEN))
    assert not torch.equal(found, draw(world, OPEN))


@pytest.mark.parametrize("text", [STATED, NOBODY])
def test_others_are_let_alone(balance: Callable, draw: Callable, wanted: Callable, world: Any, text: str) -> None:
    plain = draw(world, text)
    assert torch.equal(draw(balance(), text), plain)
    switched_off = draw(balance(only_open_prompts=False), text)
    assert torch.equal(switched_off, wanted([text], text))
    assert not torch.equal(switched_off, plain)


@pytest.mark.parametrize("other", [STATED, NOBODY])
def test_of_two_prompts_the_open_one_alone(
    balance: Callable, draw: Callable, wanted: Callable, world: Any, other: str
) -> None:
    texts = (OPEN, other)
    found = draw(balance(), *texts)
    assert torch.equal(found, wanted([OPEN], *texts))
    assert torch.equal(draw(balance(), *reversed(texts)), wanted([OPEN], *reversed(texts)))
    both = draw(balance(only_open_prompts=False), *texts)
    assert torch.equal(both, wanted([*texts], *texts))
    assert not torch.equal(found, both)
    assert not torch.equal(found, draw(world, *texts))


def test_a_prompt_for_each_picture(balance: Callable, draw: Callable, world: Any, encode: Callable) -> None:
    """Two encodings in one conditioning: the first picture is of STATED, the second of OPEN."""
    rows = [encode(text)[0] for text in (STATED, OPEN)]
    together = [[torch.cat([row[0] for row in rows]), rows[0][1]]]
    found, plain = (draw(model, positive=together) for model in (balance(), world))
    assert torch.equal(found[0], plain[0])
    assert not torch.equal(found[1], plain[1])


def test_encodings_that_the_host_repeats(balance: Callable, draw: Callable, wanted: Callable, encode: Callable) -> None:
    """A negative prompt of more places makes the host repeat the positive one's."""
    assert encode(LONG)[0][0].shape[1] > encode(OPEN)[0][0].shape[1]
    assert torch.equal(draw(balance(), OPEN, negative=LONG), wanted([OPEN], OPEN, negative=LONG))
    assert torch.equal(draw(balance(), STATED, negative=LONG), wanted([], STATED, negative=LONG))


def test_cfg_1(balance: Callable, draw: Callable, wanted: Callable) -> None:
    assert torch.equal(draw(balance(), OPEN, STATED, cfg=1.0), wanted([OPEN], OPEN, STATED, cfg=1.0))


def test_apply_module_does_not_ask(run_node: Callable, draw: Callable, probed: Any, world: Any) -> None:
    plain = replace(probed, attribute=replace(probed.attribute, probe=None))
    for text in (OPEN, STATED, NOBODY):
        found, wanted = (
            draw(run_node("RespoApplyModule", model=world, module=module)[0], text) for module in (probed, plain)
        )
        assert torch.equal(found, wanted)
        assert not torch.equal(found, draw(world, text))


def test_a_module_without_a_probe_changes_every_prompt(
    balance: Callable, draw: Callable, wanted: Callable, probed: Any
) -> None:
    plain = replace(probed, attribute=replace(probed.attribute, probe=None))
    for text in (OPEN, STATED, NOBODY):
        assert torch.equal(draw(balance(module=plain), text), wanted([text], text))


def test_what_is_said_of_a_model(balance: Callable, pack: SimpleNamespace) -> None:
    """Save Labelled Images writes it into the pictures."""
    for asks in (True, False):
        edits = pack.root.nodes.steering.patching.provenance(balance(only_open_prompts=asks))
        assert [edit["only_open_prompts"] for edit in edits] == [asks, asks]


def test_each_balance_asks_for_itself(balance: Callable, draw: Callable, probed: Any, world: Any) -> None:
    """Asked and unasked in one patch, in either order: the probe of one is not taken for the other's."""
    plain = replace(probed, attribute=replace(probed.attribute, probe=None), sha256="7" * 64)
    one = balance(model=balance(module=plain, strength=0.5))
    other = balance(model=balance(), module=plain, strength=0.5)
    for text in (OPEN, STATED):
        assert torch.equal(draw(one, text), draw(other, text))
    assert torch.equal(draw(one, STATED), draw(balance(module=plain, strength=0.5), STATED))
    assert not torch.equal(draw(one, OPEN), draw(balance(module=plain, strength=0.5), OPEN))
    twice = balance(model=balance(), only_open_prompts=False)
    assert torch.equal(draw(twice, STATED), draw(balance(only_open_prompts=False), STATED))


def test_beside_where(balance: Callable, run_node: Callable, draw: Callable, world: Any, pack: Any) -> None:
    """Both wrap the call of the model, and each leaves the other's word in the options."""
    half = torch.zeros(1, 16, 16)
    half[:, :, 8:] = 1
    limited = run_node("RespoWhere", model=balance(), mask=half)[0]
    unasked = run_node("RespoWhere", model=balance(only_open_prompts=False), mask=half)[0]
    assert torch.equal(draw(limited, OPEN), draw(unasked, OPEN))
    assert not torch.equal(draw(limited, OPEN), draw(balance(), OPEN))
    assert torch.equal(draw(limited, STATED), draw(world, STATED))


def test_the_module_itself_stays_as_it_was(balance: Callable, draw: Callable, probed: Any) -> None:
    before = {key: value.clone() for key, value in probed.attribute.probe.named_buffers()}
    draw(balance(), OPEN)
    assert all(torch.equal(value, before[key]) for key, value in probed.attribute.probe.named_buffers())


def test_what_a_call_brings(pack: SimpleNamespace) -> None:
    calls = pack.root.nodes.calls.call
    seen: list[Any] = []

    def call(*given: Any, **named: Any) -> str:
        seen[:] = [named.get("transformer_options", given[5] if len(given) > 5 else None)]
        return "out"

    x, encoded, mine = torch.zeros(4, 4, 2, 2), torch.arange(12.0).reshape(4, 3, 1), {"other": 1}
    for given, named in (
        ((x, "t", None, encoded, None, mine), {}),
        ((x, "t"), {"c_crossattn": encoded, "transformer_options": mine}),
        ((x, "t", None, encoded), {"transformer_options": mine}),
    ):
        assert calls.bring_prompts(call, *given, **named) == "out"
        assert seen[0]["other"] == 1
        assert torch.equal(seen[0][calls.ENCODED], encoded)
        assert mine == {"other": 1}
    one = encoded[:1]
    calls.bring_prompts(call, x, "t", None, one, None, mine)
    assert torch.equal(seen[0][calls.ENCODED], one)  # one prompt for all rows
    calls.bring_prompts(call, x, "t", transformer_options=mine)
    assert seen[0][calls.ENCODED] is None
    assert calls.bring_prompts(call, x, "t") == "out"  # nowhere to put it
    assert seen == [None]


@pytest.mark.parametrize("preset", ["gender", "skin_tone"])
def test_a_fitted_probe_is_right(unet: HostUNet, tmp_path: Path, preset: str) -> None:
    """On all that it was fitted to, and on people, things and places that it has never met; also in half precision."""
    config = read_config(preset)
    probe = fit_probe(config, unet)
    assert probe is not None

    def said(texts: list[str]) -> list[bool]:
        return probe.leaves_open(one_per_row(unet.encode_prompts(texts)).context).tolist()

    known = probe_prompts(config)
    assert all(said([*known.open]))
    assert not any(said([*known.stated, *known.nobody]))

    words = [concept.word or "" for concept in config.concepts.values()]
    people = [f"{'an' if p.word == 'artist' else 'a'} {p.word}" for p in emoji_world.PROFESSIONS if p.held_out]
    stated = [with_word(who, word) for who in people for word in words]
    things = [f"a {name}" for name in emoji_world.SUBJECTS if f"a {name}" not in config.probe.nobody]
    places = [place for place in emoji_world.SCENES.values() if place not in config.probe.places]
    assert (len(people), len(things), len(places)) == (4, 6, 5)
    plain = ("{}", "a photo of {}", "a headshot of {}")
    elsewhere = [f"{template} {place}" for template in plain for place in places]
    for frames in (plain, elsewhere):
        assert all(said(framed(people, frames)))
        assert not any(said(framed(stated, frames)))
    assert not any(said(framed(things, plain)))
    # A thing and a place that are both new: it may take "a tree in the office" for somebody.
    mistaken = said(framed(things, elsewhere))
    assert sum(mistaken) <= 0.15 * len(mistaken)

    texts = [*known.open, *known.stated, *known.nobody, *framed([*people, *stated, *things], plain)]
    context = one_per_row(unet.encode_prompts(texts)).context
    concept = {"woman": ConceptModule(128, 8, 8, "channel")}
    attribute = Attribute("it", "fairness", concept, unet.architecture, {"name": "a"}, {}, probe=probe)
    save_attribute(tmp_path / "it.safetensors", attribute)
    for again in (load_attribute(tmp_path / "it.safetensors"), from_text(to_text(attribute))):
        assert again.probe is not None
        assert torch.equal(again.probe.leaves_open(context), probe.leaves_open(context))


def framed(phrases: list[str], frames: Sequence[str]) -> list[str]:
    """Each phrase in each frame."""
    return [frame.replace("{}", phrase) for phrase in phrases for frame in frames]
