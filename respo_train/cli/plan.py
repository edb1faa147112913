"""The command `plan`: what a training takes, without starting it."""

from __future__ import annotations

import argparse

from ..host.load import SeparateFiles
from .messages import say
from .model import required_model
from .train import configuration


def run(options: argparse.Namespace) -> int:
    """Print the plan; return the exit code: 0 where it fits, 1 where it does not."""
    config = configuration(options)
    model = required_model(options, text=False)
    file = model.unet if isinstance(model, SeparateFiles) else model
    from ..host.planned import plan_checkpoint

    plan = plan_checkpoint(config, file, options.precision, options.card)
    for line in plan.lines():
        say(line)
    return 0 if plan.fits else 1
