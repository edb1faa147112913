"""Modules on transformers: the host's own classes at small width, against an oracle that adds to the tokens by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

TEXT, COLUMNS, ROWS = 7, 6, 8
LATENT = (2 * ROWS, 2 * COLUMNS)
AXES = [8, 12, 12]
FLUX = {
    "image_model": "flux",
    "in_channels": 4,
    "out_channels": 4,
    "patch_size": 2,
    "vec_in_dim": 8,
    "theta": 10000,
    "context_in_dim": 16,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": AXES,
    "qkv_bias": True,
    "guidance_embed": False,
}
CHROMA = {
    **{name: value for name, value in FLUX.items() if name not in ("vec_in_dim", "guidance_embed")},
    "image_model": "chroma",
    "in_channels": 16,
    "out_channels": 16,
    "in_dim": 64,
    "out_dim": 64,
    "hidden_dim": 64,
    "n_layers": 2,
}
LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 4,
    "dim": 64,
    "n_layers": 4,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "axes_dims": AXES,
    "axes_lens": [64, 64, 64],
    "cap_feat_dim": 16,
    "qk_norm": True,
    "ffn_dim_multiplier": 2.0,
}


@dataclass(frozen=True)
class Kind:
    """One line of the table. `rows`: block -> the attribute and index of its module, and its image tokens, by hand.

    `image`: (a block's output, text tokens, image tokens) -> the tensor of the row, and where the image begins.
    """

    model: str
    config: dict[str, Any]
    family: str
    rows: dict[int, tuple[str, int, Callable[[Any, int, int], tuple[Tensor, int]]]]
    channels: tuple[int, ...] = (4,)
    pooled: bool = False
    references: bool = False
    width: int = 64


def first(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    return output[0], 0


def second(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    return output[1], 0


def behind_the_text(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    return output, text


def padded(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    """Text and image are each filled up to a multiple of 32."""
    return output, -(-text // 32) * 32


FLUX_ROWS = {2: ("double_blocks", 1, first), 3: ("single_blocks", 0, behind_the_text)}
KINDS = {
    "Lumina 2": Kind("Lumina2", LUMINA, "lumina2", {3: ("layers", 2, behind_the_text)}),
    "Z-Image": Kind(
        "Lumina2",
        {
            **LUMINA,
            "dim": 256,
            "n_heads": 8,
            "n_kv_heads": 8,
            "z_image_modulation": True,
            "pad_tokens_multiple": 32,
        },
        "lumina2",
        {1: ("layers", 0, padded), 4: ("layers", 3, padded)},
    ),
    "Flux": Kind("Flux", FLUX, "flux", FLUX_ROWS, pooled=True, references=True),
    "Chroma": Kind("Chroma", CHROMA, "chroma", FLUX_ROWS, pooled=True),
    "Qwen-Image": Kind(
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 3,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 16,
            "axes_dims_rope": AXES,
        },
        "qwen_image",
        {2: ("transformer_blocks", 1, second)},
        channels=(16, 1),
        references=True,
    ),
    "SD 3": Kind(
        "SD3",
        {
            "in_channels": 4,
            "out_channels": 4,
            "patch_size": 2,
            "depth": 3,
            "adm_in_channels": 8,
            "input_size": None,
            "num_patches": 1024,
            "pos_embed_max_size": 32,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 16, "out_features": 192},
            },
        },
        "sd3",
        {2: ("joint_blocks", 1, second)},
        pooled=True,
        width=192,
    ),
}
CASES = [(name, block) for name, kind in KINDS.items() for block in kind.rows]
every_family = pytest.mark.parametrize(("name", "block"), CASES)
one_of_each = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(scope="module")
def models(host: Any) -> Callable[[str], Any]:
    """models(name) -> a host MODEL of random weights; made once."""
    made: dict[str, Any] = {}
    return lambda name: made.setdefault(name, make(KINDS[name]))


def make(kind: Kind) -> Any:
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models_base

    class Small(comfy.supported_models_base.BASE):
        latent_format = comfy.latent_formats.Wan21 if len(kind.channels) > 1 else comfy.latent_formats.SD15
        memory_usage_factor = 1.0

    Small.unet_config, Small.unet_extra_config, Small.sampling_settings = {}, {}, {"shift": 3.0}
    config = Small({**kind.config, **newer_hosts(kind), "dtype": torch.float32})
    config.set_inference_dtype(torch.float32, None)
    model = getattr(comfy.model_base, kind.model)(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.08, generator=generator)
    if kind.family == "sd3":
        model.diffusion_model.pos_embed.normal_(0, 0.08, generator=generator)  # a buffer, left as it was in memory
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, cpu, cpu)


def newer_hosts(kind: Kind) -> dict[str, Any]:
    """What newer hosts want beside the configuration."""
    import comfy.ldm.chroma.model
    import comfy.ldm.flux.model

    parameters = {"flux": comfy.ldm.flux.model.FluxParams, "chroma": comfy.ldm.chroma.model.ChromaParams}
    known = {field.name for field in fields(parameters[kind.family])} if kind.family in parameters else set()
    wanted = {"txt_ids_dims": [], "vec_in_dim": 8}
    return {name: value for name, value in wanted.items() if name in known and name not in kind.config}


@pytest.fixture
def draw(host: Any) -> Callable[..., Tensor]:
    """draw(name, model, …) -> latents, through the host's KSampler."""

    def run(
        name: str, model: Any, cfg: float = 3.0, count: int = 2, size: tuple[int, int] = LATENT, **more: Any
    ) -> Tensor:
        kind = KINDS[name]
        latent = {"samples": torch.zeros(count, *kind.channels, *size)}
        options = {"pooled_output": torch.ones(1, 8)} if kind.pooled else {}

        def prompt(seed: int) -> list:
            text = torch.randn(1, TEXT, 16, generator=torch.Generator().manual_seed(seed))
            return [[text, {**options, **more}]]

        with torch.inference_mode():
            found = host.nodes.common_ksampler(model, 5, 3, cfg, "euler", "simple", prompt(1), prompt(2), latent)
        return found[0]["samples"]

    return run


@pytest.fixture
def module_for(pack: Any, module: Any) -> Callable[..., Any]:
    """module_for(model, block) -> a RESPO_MODULE of random numbers with woman and man."""

    def made(model: Any, block: int, size: tuple[int, int] = (ROWS, COLUMNS)) -> Any:
        architecture = pack.guard.architecture_of(model, block)
        concepts = {}
        for seed, name in enumerate(("woman", "man")):
            concepts[name] = pack.core.module.concept.ConceptModule(architecture.middle_channels, *size)
            for parameter in concepts[name].parameters():
                parameter.data.normal_(0, 1, generator=torch.Generator().manual_seed(seed))
        own = replace(module.attribute, architecture=architecture, concepts=concepts, base={}, probe=None)
        return replace(module, attribute=own, sha256="5" * 64)

    return made


@pytest.fixture
def by_hand() -> Callable:
    """by_hand(name, block, model, addition) -> a clone under which addition(chunk, picture) is added to the tokens."""

    @contextmanager
    def steer(
        name: str, block: int, model: Any, addition: Callable[[int, int], Tensor | None], size: tuple[int, int] = LATENT
    ) -> Iterator[Any]:
        attribute, index, image = KINDS[name].rows[block]
        count, chunks = (-(-size[0] // 2)) * (-(-size[1] // 2)), []
        wrapped = model.clone()

        def remember(apply: Callable, call: dict) -> Tensor:
            chunks[:] = call["cond_or_uncond"]
            return apply(call["input"], call["timestep"], **call["c"])

        def add(_: Any, __: Any, output: Any) -> None:
            row, start = image(output, TEXT, count)
            pictures = len(row) // len(chunks)
            for place in range(len(row)):
                extra = addition(chunks[place // pictures], place % pictures)
                if extra is not None:
                    row[place, start : start + count] += extra.flatten(1).T

        wrapped.set_model_unet_function_wrapper(remember)
        handle = getattr(model.model.diffusion_model, attribute)[index].register_forward_hook(add)
        try:
            yield wrapped
        finally:
            handle.remove()

    return steer


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def hooks_of(model: Any) -> int:
    return sum(len(own._forward_hooks) for own in model.model.diffusion_model.modules())


@every_family
@pytest.mark.parametrize(("guidance", "cfg"), [("conditional", 3.0), ("both", 3.0), ("conditional", 1.0)])
def test_adds_to_the_image_tokens_alone(
    name, block, guidance, cfg, models, run_node, module_for, draw, by_hand
) -> None:
    model = models(name)
    own = module_for(model, block)
    delta = own.attribute.concept("woman").delta(ROWS, COLUMNS).detach()
    patched = run_node("RespoApplyModule", model=model, module=own, concept="woman", guidance=guidance)[0]
    with by_hand(name, block, model, lambda chunk, _: delta if chunk == 0 or guidance == "both" else None) as expected:
        wanted = draw(name, expected, cfg)
    assert close(draw(name, patched, cfg), wanted)
    assert not close(draw(name, model, cfg), wanted)
    assert hooks_of(model) == 0


@one_of_each
def test_off_is_the_unpatched_model(name, models, run_node, module_for, draw) -> None:
    model = models(name)
    own = module_for(model, 2)
    before = draw(name, model)
    for off in ({"strength": 0.0}, {"enabled": False}):
        assert run_node("RespoApplyModule", model=model, module=own, **off)[0] is model
    steered = run_node("RespoApplyModule", model=model, module=own)[0]
    assert not close(draw(name, steered), before)
    assert torch.equal(draw(name, model), before)  # another branch of the same graph


@one_of_each
def test_each_picture_its_concept_at_another_size(name, models, run_node, module_for, draw, by_hand) -> None:
    size = (14, 23)  # filled up to whole patches: 7 x 12
    model = models(name)
    block = next(iter(KINDS[name].rows))
    own = module_for(model, block)
    patched, labels = run_node("RespoBalance", model=model, module=own, count=4)
    given = labels.splitlines()
    assert sorted(given) == ["man", "man", "woman", "woman"]
    deltas = [own.attribute.concept(one).delta(7, 12).detach() for one in given]
    with by_hand(name, block, model, lambda chunk, place: deltas[place] if chunk == 0 else None, size) as expected:
        wanted = draw(name, expected, count=4, size=size)
    assert close(draw(name, patched, count=4, size=size), wanted)


@pytest.mark.parametrize(("name", "block"), [case for case in CASES if KINDS[case[0]].references])
def test_reference_pictures_are_not_steered(name, block, models, run_node, module_for, draw, by_hand) -> None:
    model = models(name)
    own = module_for(model, block)
    reference = torch.ones(1, *KINDS[name].channels, 8, 8)
    delta = own.attribute.concept("woman").delta(ROWS, COLUMNS).detach()
    patched = run_node("RespoApplyModule", model=model, module=own, concept="woman")[0]
    with by_hand(name, block, model, lambda chunk, _: delta if chunk == 0 else None) as expected:
        wanted = draw(name, expected, reference_latents=[reference])
    assert close(draw(name, patched, reference_latents=[reference]), wanted)
    assert not close(draw(name, patched), wanted)


@one_of_each
def test_a_record_keeps_the_background(name, models, run_node, module_for, draw) -> None:
    """The record is made at the default block; Background adds its low band there, whatever the module's block."""
    model = models(name)
    kind = KINDS[name]
    latent = {"samples": torch.zeros(1, *kind.channels, *LATENT)}
    options = {"pooled_output": torch.ones(1, 8)} if kind.pooled else {}
    prompts = [[[torch.randn(1, TEXT, 16, generator=torch.Generator().manual_seed(seed)), options]] for seed in (1, 2)]
    given = {"seed": 5, "steps": 3, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    with torch.inference_mode():
        before, record = run_node(
            "RespoRecordRun", model=model, positive=prompts[0], negative=prompts[1], latent_image=latent, **given
        )
    assert torch.equal(before["samples"], draw(name, model, count=1))
    kept = run_node("RespoBackground", model=model, record=record)[0]
    assert not close(draw(name, kept, count=1), before["samples"])
    where = run_node(
        "RespoWhere",
        model=run_node("RespoApplyModule", model=model, module=module_for(model, 2))[0],
        record=record,
        words="",
    )[0]
    assert draw(name, where, count=1).isfinite().all()


def test_two_blocks_and_a_mask(models, run_node, module_for, draw, by_hand) -> None:
    model = models("Z-Image")
    early, late = module_for(model, 1), replace(module_for(model, 4), sha256="6" * 64)
    mask = torch.zeros(1, ROWS, COLUMNS)
    mask[:, :, :2] = 1
    patched = run_node("RespoApplyModule", model=model, module=early, concept="woman", guidance="both")[0]
    patched = run_node("RespoApplyModule", model=patched, module=late, concept="man", guidance="both", mask=mask)[0]
    before = early.attribute.concept("woman").delta(ROWS, COLUMNS).detach()
    behind = late.attribute.concept("man").delta(ROWS, COLUMNS).detach() * mask
    with by_hand("Z-Image", 1, model, lambda *_: before) as one:
        attribute, index, image = KINDS["Z-Image"].rows[4]

        def add(_: Any, __: Any, output: Any) -> None:
            row, start = image(output, TEXT, ROWS * COLUMNS)
            row[:, start : start + ROWS * COLUMNS] += behind.flatten(1).T

        handle = getattr(model.model.diffusion_model, attribute)[index].register_forward_hook(add)
        try:
            wanted = draw("Z-Image", one)
        finally:
            handle.remove()
    assert close(draw("Z-Image", patched), wanted)


def test_an_interrupted_run_leaves_no_hook(models, run_node, module_for, draw) -> None:
    model = models("Flux")
    patched = run_node("RespoApplyModule", model=model, module=module_for(model, 3))[0]

    class Stopped(BaseException):
        """As Cancel is on newer hosts."""

    def stop(*_: Any) -> None:
        raise Stopped

    handle = model.model.diffusion_model.final_layer.register_forward_hook(stop)
    try:
        with pytest.raises(Stopped):
            draw("Flux", patched)
    finally:
        handle.remove()
    assert hooks_of(model) == 0


def test_a_call_of_another_thread_is_not_steered(models, run_node, module_for, draw) -> None:
    """The same network, while a hook of a patched run sits on it."""
    model = models("Lumina 2")
    patched = run_node("RespoApplyModule", model=model, module=module_for(model, 3))[0]
    network = model.model.diffusion_model

    def call() -> Tensor:
        text = torch.ones(1, TEXT, 16)
        with torch.inference_mode():
            return network(torch.ones(1, 4, *LATENT), torch.ones(1), context=text, num_tokens=TEXT)

    before, found, hooks = call(), [], []

    def meanwhile(*_: Any) -> None:
        handle.remove()
        hooks.append(hooks_of(model))
        thread = threading.Thread(target=lambda: found.append(call()))
        thread.start()
        thread.join()

    handle = network.layers[0].register_forward_hook(meanwhile)
    draw("Lumina 2", patched)
    assert hooks == [1]
    assert torch.equal(found[0], before)


def test_a_block_that_is_not_reached_is_an_error(models, run_node, module_for, draw, pack) -> None:
    model = models("Lumina 2")
    patched = run_node("RespoApplyModule", model=model, module=module_for(model, 3))[0]
    network = model.model.diffusion_model
    layers = network.layers
    network.layers = torch.nn.ModuleList([*layers[:2], _Bypass(layers[2]), layers[3]])
    try:
        with pytest.raises(pack.core.errors.RespoError, match="block 3, found that it was not run by itself"):
            draw("Lumina 2", patched)
    finally:
        network.layers = layers


class _Bypass(torch.nn.Module):
    """A block whose call never comes, as a cache of blocks does it."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.block.forward(*given, **named)


def test_text_that_another_node_adds_is_not_taken_for_the_image(models, run_node, module_for, draw) -> None:
    """As the host's USO does it: five tokens more in front, in the stream of the text."""
    name = "Flux"
    model = models(name)

    def with_more_text(given: dict[str, Any]) -> dict[str, Any]:
        text, places = given["txt"], given["txt_ids"]
        more = torch.ones(len(text), 5, text.shape[2])
        return {**given, "txt": torch.cat([more, text], 1), "txt_ids": torch.cat([places[:, :5], places], 1)}

    crowded = model.clone()
    crowded.set_model_patch(with_more_text, "post_input")
    own = module_for(model, 3)
    delta = own.attribute.concept("woman").delta(ROWS, COLUMNS).detach()
    steered = run_node("RespoApplyModule", model=crowded, module=own, concept="woman", guidance="both")[0]
    count = ROWS * COLUMNS

    def add(_: Any, __: Any, output: Tensor) -> None:
        output[:, TEXT + 5 : TEXT + 5 + count] += delta.flatten(1).T

    handle = model.model.diffusion_model.single_blocks[0].register_forward_hook(add)
    try:
        wanted = draw(name, crowded)
    finally:
        handle.remove()
    assert close(draw(name, steered), wanted)


@pytest.fixture
def compiled() -> Iterator[Callable[..., Any]]:
    """compiled(model, keys) -> a MODEL of which these parts are compiled: traced, and run by PyTorch's own kernels."""

    def compile_it(model: Any, keys: list[str]) -> Any:
        from comfy_api.torch_helpers import set_torch_compile_wrapper

        model = model.clone()
        set_torch_compile_wrapper(model=model, backend="eager", keys=keys)
        return model

    yield compile_it
    torch.compiler.reset()


def test_compiled_block_by_block(models, run_node, module_for, draw, compiled) -> None:
    """In either order of the nodes, and the compiled blocks draw as before without a module."""
    model = models("Lumina 2")
    plain = draw("Lumina 2", model)
    own = module_for(model, 3)
    wanted = draw("Lumina 2", run_node("RespoApplyModule", model=model, module=own)[0])
    blocks = compiled(model, [f"diffusion_model.layers.{index}" for index in range(4)])
    assert close(draw("Lumina 2", blocks), plain)
    before = run_node("RespoApplyModule", model=blocks, module=own)[0]
    assert close(draw("Lumina 2", before), wanted)
    after = compiled(
        run_node("RespoApplyModule", model=model, module=own)[0], [f"diffusion_model.layers.{i}" for i in range(4)]
    )
    assert close(draw("Lumina 2", after), wanted)
    assert close(draw("Lumina 2", blocks), plain)


def test_compiled_as_a_whole_is_steered_or_refused(models, run_node, module_for, draw, compiled, pack) -> None:
    """A network that was traced before the module came may ask for no hooks: never a picture that is not steered."""
    model = models("Lumina 2")
    own = module_for(model, 3)
    wanted = draw("Lumina 2", run_node("RespoApplyModule", model=model, module=own)[0])
    whole = compiled(model, ["diffusion_model"])
    draw("Lumina 2", whole)
    try:
        found = draw("Lumina 2", run_node("RespoApplyModule", model=whole, module=own)[0])
    except pack.core.errors.RespoError as error:
        assert "block 3, found that it was not run by itself" in str(error)  # noqa: PT017 - either is right
    else:
        assert close(found, wanted)


def test_words_need_cross_attention(models, pack) -> None:
    words = pack.root.nodes.steering.regions.Words((1,), (2,))
    region = pack.root.nodes.steering.regions.Region(None, words)
    with pytest.raises(pack.core.errors.RespoError, match="has none: its text and picture share"):
        pack.root.nodes.steering.patching.with_region(models("Z-Image"), region)


def test_another_width_block_or_family_is_refused(models, run_node, module_for, pack) -> None:
    mismatch = pack.core.errors.ArchitectureMismatch
    own = module_for(models("Z-Image"), 3)
    with pytest.raises(mismatch, match=r"made for Lumina 2 / Z-Image .* but the model is Flux"):
        run_node("RespoApplyModule", model=models("Flux"), module=own)
    architecture = replace(own.attribute.architecture, block=9)
    deep = replace(own, attribute=replace(own.attribute, architecture=architecture))
    with pytest.raises(pack.core.errors.RespoError, match="at least 9 blocks, found 4 in NextDiT"):
        run_node("RespoApplyModule", model=models("Z-Image"), module=deep)
