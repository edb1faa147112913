"""The recipes of CONTRIBUTING.md, each followed once with a toy: node, objective, judge, architecture family."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from respo_train import judges
from respo_train.core.module import architecture
from respo_train.core.module.architecture import Architecture, Family

ROOT = Path(__file__).resolve().parents[1]

NODE = '''
"""Toy: a node that nobody would use."""

from __future__ import annotations

from comfy_api.latest import io


class Toy(io.ComfyNode):
    """A number -> twice the number."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Return the schema."""
        return io.Schema(
            node_id="RespoToy",
            display_name="Toy Node",
            category="Respo",
            description="Doubles a number.",
            inputs=[io.Float.Input("number", default=1.0, tooltip="What to double.")],
            outputs=[io.Float.Output(display_name="double", tooltip="Twice the number.")],
        )

    @classmethod
    def execute(cls, number: float) -> io.NodeOutput:
        """Return twice the number."""
        return io.NodeOutput(2 * number)
'''
PAGE = """# Toy Node

Doubles a number.

![The node](img/gate.jpg)

- **number**: what to double.
"""
# In a process of its own, since this one may have the pack already. The arguments are the host and the pack.
IN_THE_HOST = """
import asyncio, sys
host, pack = sys.argv[1:]
sys.path.insert(0, host)
sys.argv[1:] = []
import comfy.cli_args
comfy.cli_args.args.cpu = True
import nodes
assert asyncio.run(nodes.load_custom_node(pack))
toy = nodes.NODE_CLASS_MAPPINGS["RespoToy"]
assert "RespoLoadModule" in nodes.NODE_CLASS_MAPPINGS
assert toy.execute(number=1.5)[0] == 3.0
assert toy.GET_SCHEMA().display_name == nodes.NODE_DISPLAY_NAME_MAPPINGS["RespoToy"] == "Toy Node"
"""

OBJECTIVE = '''
"""An objective that nobody would use: every number of the responsible grid is to be 1."""

from __future__ import annotations

from ..latents.pictures import pictures_of
from .objective import Objective, Term


def terms(setting, module, pictures, step):
    """Yield the responsible part's loss."""
    yield Term("responsible", (module.responsible.value() - 1).square().mean())


OBJECTIVE = Objective("toy", "cond", pictures_of, terms)
'''
RECIPE = """
objective = "toy"
pictures = 2
picture_steps = 2
batch = 2
steps = 1
responsible_lr = 0.5
"""
ONE_STEP = """
from respo_train.settings.preset_files import read_config
from respo_train.trainer import train
from toy_unet import ToyUNet

state = train(read_config("gender", recipe="toy"), ToyUNet())
for concept in state.concepts.values():
    assert concept.losses[0].responsible == 1.0
    assert abs(concept.module.responsible.value() - 0.5).max() < 1e-5  # Adam's first step is the learning rate
"""


def copied(folder: Path, *places: str) -> Path:
    for place in places:
        if (ROOT / place).is_dir():
            shutil.copytree(ROOT / place, folder / place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / place, folder / place)
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """Run Python in a folder; return what it prints."""
    command, environment = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": ".", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def with_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack with the first two files of the recipe; this file is the third."""
    tests = ("pyproject.toml", "tests/test_locales.py", "tests/test_help_pages.py", "tests/translated_from.json")
    folder = copied(
        tmp_path_factory.mktemp("pack"), "__init__.py", "nodes", "respo_train", "web", "locales", "benchmarks", *tests
    )
    (folder / "nodes" / "toy.py").write_text(NODE.lstrip(), encoding="utf-8")
    (folder / "web" / "docs" / "RespoToy.md").write_text(PAGE, encoding="utf-8")
    return folder


def test_a_node_is_in_the_host_once_its_file_is_here(with_node: Path, comfy_path: Path) -> None:
    run(with_node, "-c", IN_THE_HOST, str(comfy_path), str(with_node))


def test_a_nodes_texts_come_from_its_schema(with_node: Path, comfy_path: Path) -> None:
    """The command writes them in English and lists the rest; then the tests of the texts pass as they are."""
    told = run(with_node, "-m", "benchmarks.locales", COMFYUI_PATH=str(comfy_path)).splitlines()
    for line in (
        "locales/fr/nodeDefs.json: translate RespoToy.inputs.number.tooltip",
        "web/docs/RespoToy/ko.md: translate web/docs/RespoToy.md",
    ):
        assert line in told
    record = "tests/translated_from.json"
    assert (with_node / record).read_bytes() == (ROOT / record).read_bytes()
    run(with_node, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "tests")


def test_an_objective_is_a_file_and_a_recipe(tmp_path: Path) -> None:
    """It trains a step from a preset; this file is the third."""
    folder = copied(tmp_path, "respo_train", "tests/toy_unet.py")
    (folder / "respo_train" / "objectives" / "toy.py").write_text(OBJECTIVE, encoding="utf-8")
    (folder / "respo_train" / "settings" / "recipes" / "toy.toml").write_text(RECIPE, encoding="utf-8")
    run(folder, "-c", ONE_STEP, PYTHONPATH=os.pathsep.join([".", "tests"]))


class ToyJudge:
    """A judge that nobody would use."""

    name = "Toy"


def test_a_judge_is_a_file_and_a_record(monkeypatch):
    file = ModuleType("respo_train.judges.toy")
    file.ToyJudge = ToyJudge
    monkeypatch.setitem(sys.modules, file.__name__, file)
    monkeypatch.setitem(judges.BUILT_IN, "Toy", judges.BuiltIn("toy", "ToyJudge"))
    assert judges.load_judge("Toy").name == "Toy"


def test_a_family_is_one_record(monkeypatch):
    config = {"model_channels": 96, "channel_mult": (1, 2), "context_dim": 48}
    assert Architecture.from_unet_config(config).family == "unet-96-48"
    monkeypatch.setattr(
        architecture, "FAMILIES", [*architecture.FAMILIES, Family("toy", "Toy Diffusion", 96, 48, latent_size=32)]
    )
    found = Architecture.from_unet_config(config)
    assert found.describe() == "Toy Diffusion (h: 192 channels)"
    assert architecture.family_named(found.family).latent_size == 32
