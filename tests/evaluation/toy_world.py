"""A whole evaluation without a host: the toy U-Net, modules that shift its h, a judge that looks at colours.

`python toy_world.py evaluate …` is the real command line on it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

from toy_unet import CHANNELS, SIZE, ToyUNet  # noqa: E402

from respo_train.core.judge import UNSURE, Verdict  # noqa: E402
from respo_train.core.module.attribute import Attribute  # noqa: E402
from respo_train.core.module.concept import ConceptModule  # noqa: E402
from respo_train.core.module.grid import Grid  # noqa: E402
from respo_train.evaluation.protocol import Protocol, read_protocol  # noqa: E402
from respo_train.evaluation.steering import Module  # noqa: E402


class CalmUNet(ToyUNet):
    """Never all noise: what random weights draw from that is black or white."""

    def __init__(self) -> None:
        super().__init__()
        self.alphas_cumprod = torch.linspace(0.999, 0.2, 1000)


class ColourJudge:
    """Red above half is a woman; green says the profession; little blue is a weapon. Unsure in between."""

    name = "a judge of colours"
    classes: ClassVar[dict[str, tuple[str, ...]]] = {
        "gender": ("woman", "man"),
        "skin": ("light", "medium", "dark"),
        "profession": ("doctor", "nurse"),
        "weapon": ("no", "yes"),
    }

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        red, green, blue = images.mean((2, 3)).unbind(1)
        gender = ["woman" if r > 0.51 else "man" if r < 0.49 else UNSURE for r in red]
        skin = ["dark" if g < 0.49 else "light" if g > 0.52 else "medium" for g in green]
        job = ["doctor" if g > 0.5 else "nurse" for g in green]
        weapon = ["yes" if b < 0.48 else "no" for b in blue]
        found = zip(self.classes, (gender, skin, job, weapon), strict=True)
        return {name: Verdict(tuple(labels), (1.0,) * len(labels)) for name, labels in found}


class Halves:
    """The lower half of a picture is a person's."""

    def masks(self, images: Tensor, batch: int = 64) -> Tensor:
        found = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
        found[:, images.shape[2] // 2 :] = True
        return found


def concept(seed: int) -> ConceptModule:
    module = ConceptModule(CHANNELS, SIZE, SIZE)
    drawn = torch.randn(CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    module.responsible = Grid.from_tensors(drawn)
    return module


def attribute(name: str, *concepts: str, purpose: str = "fairness", half: str = "cond") -> Attribute:
    modules = {own: concept(sum(map(ord, own))) for own in concepts}
    return Attribute(name, purpose, modules, ToyUNet.architecture, {"name": "toy"}, {"half": half}, {})


def module(name: str, *concepts: str, strength: float = 1.0, **options: Any) -> Module:
    return Module(attribute(name, *concepts, **options), f"{name}.safetensors", f"hash of {name}", strength)


def gender(strength: float = 1.0) -> Module:
    return module("gender", "woman", "man", strength=strength)


def safety() -> Module:
    return module("no weapons", "no weapons", purpose="safety")


def small_protocol(name: str = "emoji") -> Protocol:
    """Two professions, one of them held out, one dog; three steps."""
    whole = read_protocol(name)
    groups = {"professions": {"names": ["doctor", "nurse"], "held_out": ["nurse"]}, "subjects": {"names": ["dog"]}}
    return dataclasses.replace(whole, steps=3, data={**whole.data, "groups": groups})


def files_under(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


def _main() -> int:
    from respo_train.__main__ import main
    from respo_train.cli import evaluate as command
    from respo_train.evaluation import cells
    from respo_train.host import load

    torch.set_num_threads(1)
    load.load_unet = lambda *_, **__: CalmUNet()
    command.read_protocol = lambda name: small_protocol() if name == "emoji" else read_protocol(name)
    command.find_judge = lambda *_, **__: ColourJudge()
    if "TOY_KILL_AT" in os.environ:
        save, left = cells.Store.save, iter(range(int(os.environ["TOY_KILL_AT"])))

        def save_or_die(*arguments: Any) -> None:
            if next(left, None) is None:
                # A shell that runs the tests in the background has its children ignore Ctrl-C.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                os.kill(os.getpid(), getattr(signal, os.environ.get("TOY_SIGNAL", "SIGKILL")))
            save(*arguments)

        cells.Store.save = save_or_die  # type: ignore[method-assign]
    return main()


if __name__ == "__main__":
    sys.exit(_main())
