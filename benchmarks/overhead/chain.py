"""A model of SD 1.5's geometry, random weights and random modules, and the pack's own nodes on it."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from respo_train.host.locate import use_host

from ..speed.geometry import TOKENS, random_model

ROOT = Path(__file__).resolve().parents[2]
PACK = "respo_pack"
GRID = (8, 8)
CFG = 7.5


def load_pack() -> ModuleType:
    """Import the pack as the host does: by its folder, under a name of its own."""
    use_host()
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
    return sys.modules[PACK]


def run_node(node_id: str, **given: Any) -> Any:
    """Run one of the pack's nodes, its schema's defaults for everything not given; return its first output."""
    (node,) = [node for node in load_pack().nodes.NODES if node.GET_SCHEMA().node_id == node_id]
    defaults = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
    return node.execute(**{**defaults, **given})[0]


def random_patcher(dtype: torch.dtype, family: str = "sd15", **changes: Any) -> Any:
    """Return a host MODEL of a family's geometry; `changes`: of the network's configuration."""
    use_host()
    import comfy.model_management as management
    import comfy.model_patcher

    device = management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(random_model(family, dtype, device, **changes), device, device)


def architecture_of(model: Any) -> Any:
    """Return the architecture of a host MODEL, as the nodes see it."""
    return load_pack().nodes.shared.guard.architecture_of(model)


def random_module(model: Any, folder: Path, name: str, purpose: str, concepts: tuple[str, ...]) -> Path:
    """Write an attribute of random numbers for `model`; return its path."""
    core = load_pack().respo_train.core
    architecture, modules = architecture_of(model), {}
    for concept in concepts:
        modules[concept] = core.module.concept.ConceptModule(architecture.middle_channels, *GRID)
        for parameter in modules[concept].parameters():
            parameter.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(len(modules)))
    probe = open_to_all(architecture.context_dim) if purpose == "fairness" else None
    attribute = core.module.attribute.Attribute(name, purpose, modules, architecture, {}, {}, probe=probe)
    core.files.checkpoint.save_attribute(folder / f"{name}.safetensors", attribute)
    return folder / f"{name}.safetensors"


def open_to_all(width: int) -> Any:
    """Return a probe of random numbers that asks as much of a prompt as a trained one does, and finds each one open."""
    drawn = torch.Generator().manual_seed(0)
    words = [torch.randn(2, width, generator=drawn) for _ in range(2)]
    always = torch.tensor([1e6, -2.0])  # a likeness is 1 at most
    ends = torch.zeros(width), torch.ones(width), torch.randn(width, generator=drawn)
    return load_pack().respo_train.core.module.probe.PromptProbe(*ends, words, always)


def seconds_to_load(path: Path, rounds: int = 20) -> float:
    """Return the median time of what Load Module does with a file: its hash and its tensors."""
    core, found = load_pack().respo_train.core, []
    for _ in range(rounds):
        started = time.perf_counter()
        core.files.checkpoint.file_sha256(path)
        core.files.checkpoint.load_attribute(path)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def balanced(model: Any, folder: Path) -> Any:
    """Return the MODEL behind Balance, whose module is written into `folder`."""
    import folder_paths

    folder_paths.add_model_folder_path("respo", str(folder))
    gender = random_module(model, folder, "gender", "fairness", ("woman", "man"))
    return run_node("RespoBalance", model=model, module=run_node("RespoLoadModule", module=gender.name))


def safe(model: Any, folder: Path) -> Any:
    """Return the MODEL behind Safety, whose module is written into `folder`, one that the host knows."""
    random_module(model, folder, "safe", "safety", ("anti-violence", "anti-weapons"))
    return run_node("RespoSafety", model=model)


def full_chain(model: Any, folder: Path) -> Any:
    """Return the MODEL behind Balance, Safety and Background, as an artist chains them."""
    return run_node("RespoBackground", model=safe(balanced(model, folder), folder))


def sampler(
    model: Any, size: int, steps: int, count: int = 1, mode: Callable[[], Any] = torch.inference_mode
) -> Callable[[], Tensor]:
    """Return what runs `steps` guided Euler steps on `count` pictures of `size` pixels, in PyTorch's `mode`."""
    import comfy.sample

    width = architecture_of(model).context_dim
    generator = torch.Generator().manual_seed(1)
    texts = [[[torch.randn(1, TOKENS, width, generator=generator), {}]] for _ in range(2)]
    channels = model.model.latent_format.latent_channels
    noise = torch.randn(count, channels, size // 8, size // 8, generator=generator)

    def run() -> Tensor:
        with mode():
            given = {"latent_image": torch.zeros_like(noise), "disable_pbar": True, "seed": 1}
            return comfy.sample.sample(model, noise, steps, CFG, "euler", "normal", *texts, **given)

    return run
