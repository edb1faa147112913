"""The real host inside the test process, the pack loaded as the host loads it, and a small U-Net of random weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.host_here import load_host, load_pack

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tests/gender.safetensors"  # its name in the list of modules: in a subfolder


@pytest.fixture(scope="session")
def host(comfy_path: Path) -> SimpleNamespace:
    """ComfyUI's modules that the tests use, on the CPU."""
    torch.set_num_threads(1)
    nodes = load_host(comfy_path)
    import folder_paths
    from comfy_extras import nodes_freelunch

    return SimpleNamespace(nodes=nodes, folder_paths=folder_paths, freeu=nodes_freelunch.FreeU_V2().patch)


@pytest.fixture(scope="session")
def pack(host: SimpleNamespace, comfy_path: Path) -> SimpleNamespace:
    """The pack's own modules, imported by the host's own loader under a name with dashes."""
    with ThreadPoolExecutor(1) as other:  # in this thread a browser test may have an event loop
        other.submit(load_pack, comfy_path).result()
    root = sys.modules[host.nodes.NODE_CLASS_MAPPINGS["RespoLoadModule"].__module__.rsplit(".nodes.", 1)[0]]
    assert "-" in root.__name__
    return SimpleNamespace(
        root=root, core=root.respo_train.core, folders=root.nodes.shared.folders, guard=root.nodes.shared.guard
    )


@pytest.fixture(scope="session")
def run_node(host: SimpleNamespace, pack: SimpleNamespace) -> Callable[..., Any]:
    """run_node("RespoBalance", model=…): executes a node with its schema's defaults for everything not given."""

    def run(node_id: str, **given: Any) -> Any:
        node = host.nodes.NODE_CLASS_MAPPINGS[node_id]
        defaults = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
        return node.execute(**{**defaults, **given})

    return run


@pytest.fixture(scope="module")
def unet(host: SimpleNamespace, pack: SimpleNamespace) -> Any:
    """Emoji World's U-Net, for training, in float32."""
    from respo_train.host.load import load_unet

    return load_unet(ROOT / "emoji_world" / "checkpoint" / "emoji_world.safetensors", "float32")


@pytest.fixture(scope="session")
def make_model(host: SimpleNamespace) -> Callable[..., Any]:
    """make_model(seed, …) -> a host MODEL of random weights."""
    return _small_model


def _small_model(seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """SD 1.x's structure, much smaller: h is [128, H/4, W/4]. `changes`: of the U-Net's configuration."""
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models_base

    class Small(comfy.supported_models_base.BASE):
        latent_format = comfy.latent_formats.SD15
        memory_usage_factor = 1.0

    attention = {"transformer_depth": [0, 1, 1], "transformer_depth_output": [0, 0, 1, 1, 1, 1]}
    sizes = {"in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": (1, 2, 4), "num_heads": 4}
    kind = {"image_size": 32, "use_spatial_transformer": True, "legacy": False, "dtype": dtype}
    depth = {"num_res_blocks": [1, 1, 1], "transformer_depth_middle": 1, "context_dim": 16}
    config = Small({**kind, **sizes, **attention, **depth})
    config.unet_config |= changes
    config.set_inference_dtype(dtype, None)
    model = comfy.model_base.BaseModel(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.05, generator=generator)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, cpu, cpu)


@pytest.fixture(scope="session")
def model(make_model: Callable) -> Any:
    """The model that most tests share; no test may change it."""
    return make_model()


@pytest.fixture(scope="session")
def attribute(pack: SimpleNamespace, model: Any) -> Any:
    """An attribute with the concepts woman and man, of random numbers on a 4 x 4 grid, made for `model`."""
    core = pack.core
    architecture = pack.guard.architecture_of(model)
    generator = torch.Generator().manual_seed(1)
    concepts = {}
    for name in ("woman", "man"):
        concepts[name] = core.module.concept.ConceptModule(architecture.middle_channels, 4, 4)
        for parameter in concepts[name].parameters():
            parameter.data.normal_(0, 0.5, generator=generator)
    weight = model.get_model_object("diffusion_model.middle_block.0.out_layers.3.weight")
    fingerprint = list(core.module.fingerprint.fingerprint(weight))
    base = {"name": "small.safetensors", "sha256": "0" * 64, "fingerprint": fingerprint}
    return core.module.attribute.Attribute(
        "gender", "fairness", concepts, architecture, base, {"objective": "respodiff"}
    )


@pytest.fixture(scope="session")
def module_folder(host: SimpleNamespace, pack: SimpleNamespace, attribute: Any, tmp_path_factory: Any) -> Path:
    """A `respo` folder of the host with the attribute's file in it."""
    folder = tmp_path_factory.mktemp("respo")
    (folder / MODULE).parent.mkdir()
    pack.core.files.checkpoint.save_attribute(folder / MODULE, attribute)
    host.folder_paths.add_model_folder_path("respo", str(folder))
    return folder


@pytest.fixture(scope="session")
def module(run_node: Callable, module_folder: Path) -> Any:
    """What Load Module gives for that file."""
    return run_node("RespoLoadModule", module=MODULE)[0]


@pytest.fixture
def module_for(pack: Any, module: Any) -> Callable[..., Any]:
    """module_for(model, block) -> a RESPO_MODULE of random numbers with woman and man."""

    def made(model: Any, block: int, size: tuple[int, int] = (8, 6)) -> Any:
        architecture = pack.guard.architecture_of(model, block)
        concepts = {}
        for seed, name in enumerate(("woman", "man")):
            concepts[name] = pack.core.module.concept.ConceptModule(architecture.middle_channels, *size)
            for parameter in concepts[name].parameters():
                parameter.data.normal_(0, 1, generator=torch.Generator().manual_seed(seed))
        own = replace(module.attribute, architecture=architecture, concepts=concepts, base={}, probe=None)
        return replace(module, attribute=own, sha256="5" * 64)

    return made


@pytest.fixture(scope="session")
def sample(host: SimpleNamespace) -> Callable[..., Tensor]:
    """sample(model, …) -> latents, through the host's KSampler."""

    def run(
        model: Any, cfg: float = 3.0, positive: Any = None, count: int = 2, size: Any = (16, 16), negative: Any = None
    ) -> Tensor:
        latent = {"samples": torch.zeros(count, 4, *size)}
        prompts = positive or _prompt(1), negative or _prompt(2)
        with torch.inference_mode():  # as the host runs its nodes
            result = host.nodes.common_ksampler(model, 5, 4, cfg, "euler", "normal", *prompts, latent)
        return result[0]["samples"]

    return run


@pytest.fixture(scope="session")
def prompt() -> Callable[..., list]:
    """prompt(seed, area=…) -> CONDITIONING."""
    return _prompt


def _prompt(seed: int, **options: Any) -> list:
    """A CONDITIONING of random numbers."""
    return [[torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(seed)), options]]


@dataclass
class Place:
    """Where the oracle stands: one image of one chunk of one call of the U-Net."""

    chunk: int  # the host's number: 0 is the positive prompt
    chunks: tuple[int, ...]  # those of the whole call
    image: int
    sigma: float
    size: tuple[int, int]
    text: Tensor  # what its cross-attention is given, `[T, D]`
    h: Tensor  # what is added to, of this image: `[1, C, H, W]`, at the output with the skip behind it


@pytest.fixture(scope="session")
def by_hand() -> Callable:
    """by_hand(model, addition, at="output"): the oracle, made of other parts of the host than the pack uses.

    It adds to the first output block's input, behind all patches, or ("middle") to the middle block's output.
    """

    @contextmanager
    def steer(model: Any, addition: Callable[[Place], Tensor | None], at: str = "output") -> Iterator[Any]:
        now: dict[str, Any] = {}
        network = model.model.diffusion_model

        def remember(apply: Callable, call: dict) -> Tensor:
            now.update(call)
            return apply(call["input"], call["timestep"], **call["c"])

        def add(h: Tensor) -> Tensor:
            own, h = h, h.clone()
            chunks = tuple(now["cond_or_uncond"])
            count = len(h) // len(chunks)
            for row in range(len(h)):
                sigma, text = now["timestep"][row].item(), now["c"]["c_crossattn"][row]
                place = Place(
                    chunks[row // count], chunks, row % count, sigma, tuple(h.shape[2:]), text, own[row : row + 1]
                )
                extra = addition(place)
                if extra is not None:
                    h[row, : extra.shape[0]] += extra.to(h.dtype)
            return h

        wrapped = model.clone()
        wrapped.set_model_unet_function_wrapper(remember)
        if at == "middle":
            handle = network.middle_block[-1].register_forward_hook(lambda _, __, h: add(h))
        else:
            handle = network.output_blocks[0][0].register_forward_pre_hook(lambda _, given: (add(given[0]), *given[1:]))
        try:
            yield wrapped
        finally:
            handle.remove()

    return steer
