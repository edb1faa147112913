"""The benchmark's big U-Nets are the real ones, without their weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks.speed.geometry import host_model
from respo_train.core.module.architecture import Architecture


@pytest.mark.parametrize(
    ("family", "ours", "parameters"), [("sd15", "sd1", 859_520_964), ("sdxl", "sdxl", 2_567_463_684)]
)
def test_parameters_are_as_many_as_the_released_models(
    host: SimpleNamespace, family: str, ours: str, parameters: int
) -> None:
    model = host_model(family, torch.bfloat16, torch.device("meta"))
    assert sum(parameter.numel() for parameter in model.diffusion_model.parameters()) == parameters
    assert Architecture.from_unet_config(model.model_config.unet_config).family == ours
