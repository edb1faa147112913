from __future__ import annotations

import pytest
import torch

from respo_train.core.errors import ArchitectureMismatch, RespoError, UnknownConcept
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.fingerprint import fingerprint, same_checkpoint

SD1 = {"model_channels": 320, "context_dim": 768, "adm_in_channels": None, "channel_mult": [1, 2, 4, 4]}


@pytest.mark.parametrize(
    ("changes", "family", "middle"),
    [
        ({}, "sd1", 1280),
        ({"context_dim": 1024}, "sd2", 1280),
        ({"context_dim": 2048, "adm_in_channels": 2816, "channel_mult": [1, 2, 4]}, "sdxl", 1280),
        ({"model_channels": 384, "context_dim": 1280, "adm_in_channels": 2560}, "sdxl_refiner", 1536),
        ({"model_channels": 64, "context_dim": 128, "channel_mult": (1, 2)}, "emoji_world", 128),
        ({"model_channels": 32}, "unet-32-768", 128),
    ],
)
def test_names_the_family(changes: dict, family: str, middle: int) -> None:
    found = Architecture.from_unet_config({**SD1, **changes})
    assert (found.family, found.middle_channels) == (family, middle)
    assert Architecture.from_dict(found.to_dict()) == found


def test_same_channels_are_not_enough() -> None:
    sd1 = Architecture.from_unet_config(SD1)
    sdxl = Architecture.from_unet_config({**SD1, "context_dim": 2048, "adm_in_channels": 2816})
    assert sd1.middle_channels == sdxl.middle_channels
    sd1.require(sd1)
    with pytest.raises(ArchitectureMismatch, match=r"Stable Diffusion 1\.x.*Stable Diffusion XL"):
        sd1.require(sdxl)


@pytest.mark.parametrize("config", [{"image_model": "flux"}, {**SD1, "transformer_depth_middle": -2}, {}])
def test_refuses_models_without_a_middle_block(config: dict) -> None:
    with pytest.raises(RespoError, match="middle block"):
        Architecture.from_unet_config(config)


@pytest.mark.parametrize(
    "change", [{"model_channels": "320"}, {"model_channels": 0}, {"context_dim": True}, {"family": 3}, {"extra": 1}]
)
def test_reads_strictly(change: dict) -> None:
    with pytest.raises(RespoError, match="expected"):
        Architecture.from_dict({**Architecture.from_unet_config(SD1).to_dict(), **change})


PRECISIONS = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("scale", [1.0, 0.02])
@pytest.mark.parametrize("loaded", PRECISIONS, ids=str)
def test_fingerprint_survives_rounding_but_not_a_fine_tune(loaded: torch.dtype, scale: float) -> None:
    """`scale`: of the weights. Small ones are subnormal numbers in fp8, with steps as large as themselves."""
    chance = torch.Generator().manual_seed(0)
    weight, change = scale * torch.randn(2, 32, 32, 3, 3, generator=chance)
    found = fingerprint(weight.to(loaded))
    assert len(found) == 64
    for saved in PRECISIONS[:3]:
        assert same_checkpoint(fingerprint(weight), fingerprint(weight.to(saved).to(loaded)))
    for other in PRECISIONS:
        assert same_checkpoint(found, fingerprint(weight.to(other)))
        assert not same_checkpoint(found, fingerprint((weight + 0.05 * change).to(other)))


def test_fingerprints_that_say_nothing() -> None:
    assert not same_checkpoint(fingerprint(torch.randn(64)), [])
    assert not same_checkpoint([], [])
    assert not same_checkpoint([0.0] * 64, [0.0] * 64)
    assert same_checkpoint([0.0, 1.0], [0.0, 1.0])
    assert not same_checkpoint([0.0, 1.0], [0.01, 1.0])


def attribute(**changes: object) -> Attribute:
    architecture = Architecture.from_unet_config({**SD1, "model_channels": 2})
    parts = {"name": "gender", "purpose": "fairness", "concepts": {"woman": ConceptModule(8, 2, 2)}}
    return Attribute(**{**parts, "architecture": architecture, "base": {}, "training": {}, **changes})  # type: ignore[arg-type]


def test_attribute_names_its_concepts() -> None:
    gender = attribute()
    assert gender.concept("woman") is gender.concepts["woman"]
    with pytest.raises(UnknownConcept, match="no concept 'wolf'; it has woman"):
        gender.concept("wolf")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"purpose": "beauty"},
        {"concepts": {}},
        {"concepts": {"a.b": ConceptModule(8, 2, 2)}},
        {"concepts": {"woman, man": ConceptModule(8, 2, 2)}},
        {"concepts": {"woman\n": ConceptModule(8, 2, 2)}},
        {"concepts": {"woman": ConceptModule(9, 2, 2)}},
    ],
)
def test_attribute_refuses_what_does_not_fit(changes: dict) -> None:
    with pytest.raises(RespoError, match="expected"):
        attribute(**changes)
