"""SD 1.5's and SDXL's U-Net with random weights: each pass timed by itself, summed by each loop's own schedule.

A whole released step on SD 1.5 takes minutes on a CPU; it consists of few kinds of passes, which `calls.py` reads off
the running loops. What is left out (the optimizer, DDIM's arithmetic) is far below a percent.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from respo_train.host.load import load_unet
from respo_train.host.locate import use_host
from respo_train.host.split_unet import HostUNet
from respo_train.network import Conditioning, SplitNetwork

from .calls import Call, Counting, calls_of
from .cost import LONG, SHORT, at_mean, flops, peak_bytes
from .steps import our_step, released_step

TOKENS = 77
_SHARED = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "sd15": {
        **_SHARED,
        "channel_mult": [1, 2, 4, 4],
        "num_res_blocks": [2, 2, 2, 2],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "use_linear_in_transformer": False,
        "context_dim": 768,
        "num_heads": 8,
        "adm_in_channels": None,
    },
    "sdxl": {
        **_SHARED,
        "channel_mult": [1, 2, 4],
        "num_res_blocks": [2, 2, 2],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "use_linear_in_transformer": True,
        "context_dim": 2048,
        "num_head_channels": 64,
        "adm_in_channels": 2816,
        "num_classes": "sequential",
    },
    "z_image": {
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": 3840,
        "n_layers": 30,
        "n_refiner_layers": 2,
        "n_heads": 30,
        "n_kv_heads": 30,
        "axes_dims": [32, 48, 48],
        "axes_lens": [1536, 512, 512],
        "cap_feat_dim": 2560,
        "qk_norm": True,
        "rope_theta": 256.0,
        "ffn_dim_multiplier": 8.0 / 3.0,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    },
}


def host_model(family: str, dtype: torch.dtype, device: torch.device, **changes: Any) -> Any:
    """Return the host's model of `family`, its weights not filled in; `changes`: of the U-Net's configuration."""
    use_host()
    import comfy.model_base
    import comfy.supported_models as models

    base, kind = {
        "sd15": (models.SD15, comfy.model_base.BaseModel),
        "sdxl": (models.SDXL, comfy.model_base.SDXL),
        "z_image": (models.Lumina2, comfy.model_base.Lumina2),
    }[family]
    settings = base({**CONFIGS[family], **changes, "dtype": dtype})
    settings.set_inference_dtype(dtype, None)
    return kind(settings, device=device)


def random_model(family: str, dtype: torch.dtype, device: torch.device, **changes: Any) -> Any:
    """Return the host's model of `family`, its weights random and kept in `dtype`; `changes`: see `host_model`."""
    model = host_model(family, dtype, device, **changes)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.diffusion_model.named_parameters():
            if parameter.ndim > 1:
                # Activations of size 1, as trained weights keep them: no overflow, no denormal numbers.
                bound = (3 / parameter[0].numel()) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return model.to(device)


def random_unet(family: str, dtype: torch.dtype, size: int) -> HostUNet:
    """Return that model's U-Net for pictures of `size` pixels, ready for training."""
    use_host()
    import comfy.model_management as management

    device = management.get_torch_device()
    model = random_model(family, dtype, device)
    for module in model.diffusion_model.modules():
        if isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm):
            module.float()
    return HostUNet(SimpleNamespace(model=model), None, None, device, dtype, (size, size))


def schedules(checkpoint: Path) -> dict[str, Counter[Call]]:
    """Return the passes of one step with batch 1, read off both loops as they run on Emoji World."""
    counting = Counting(load_unet(checkpoint, "float32"))
    steps = {"ours": our_step(counting, 1)}
    steps |= {name: released_step(counting, k) for name, k in (("short", SHORT), ("long", LONG))}
    return {name: calls_of(counting, step) for name, step in steps.items()}


def summed(cost: dict[Call, float], found: dict[str, Counter[Call]]) -> dict[str, float]:
    """Return each loop's cost of a step from the cost of each pass."""
    sums = {name: sum(cost[call] * count for call, count in calls.items()) for name, calls in found.items()}
    return {"ours": sums["ours"], "released": at_mean(sums["short"], sums["long"])}


def passes(unet: SplitNetwork) -> Callable[[Call], Callable[[], object]]:
    """Return what runs one call on random latents and text."""
    architecture, like = unet.architecture, unet.alphas_cumprod

    def prepare(call: Call) -> Callable[[], object]:
        latents = torch.randn(call.batch, *unet.latent_shape).to(like)
        timesteps = torch.full((call.batch,), 500, device=like.device)
        added = torch.randn(1, architecture.adm_channels).to(like) if architecture.adm_channels else None
        prompt = Conditioning(torch.randn(1, TOKENS, architecture.context_dim).to(like), added)
        if call.kind == "encoder":
            return lambda: unet.encoder(latents, timesteps, prompt)
        encoded = unet.encoder(latents, timesteps, prompt)
        if call.kind == "decoder":
            return torch.no_grad()(lambda: unet.decoder(encoded, encoded.h))
        delta = torch.zeros(encoded.h.shape[1:], device=like.device, requires_grad=True)

        def backward() -> Tensor:
            loss = unet.decoder(encoded, encoded.h + delta).square().mean()
            return torch.autograd.grad(loss, delta)[0]

        return backward

    return prepare


def costs(unet: SplitNetwork, calls: set[Call], rounds: int) -> dict[str, dict[Call, float]]:
    """Return FLOPs, median seconds and peak bytes of each call. The counted and recorded runs warm up for the timed."""
    prepare = passes(unet)
    found: dict[str, dict[Call, float]] = {"flops": {}, "seconds": {}, "peak_bytes": {}}
    for call in sorted(calls):
        work = prepare(call)
        found["flops"][call] = flops(work)
        found["peak_bytes"][call] = peak_bytes(work) if call.kind == "decoder with gradients" else 0
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
        found["seconds"][call] = statistics.median(times)
        print(f"  {call.kind}, batch {call.batch}: {found['seconds'][call]:.2f} s", flush=True)
    return found


def on_geometry(family: str, checkpoint: Path, size: int, dtypes: list[torch.dtype], rounds: int) -> dict[str, Any]:
    """Return each loop's step by precision: FLOPs, seconds, and the largest decoder pass's memory."""
    found = schedules(checkpoint)
    calls = {call for counter in found.values() for call in counter}
    results: dict[str, Any] = {"pixels": size, "batch": 1}
    for dtype in dtypes:
        name = str(dtype).removeprefix("torch.")
        print(f"{family}, {size} px, {name}", flush=True)
        unet = random_unet(family, dtype, size)
        cost = costs(unet, calls, rounds)
        del unet
        peaks = {
            loop: max(cost["peak_bytes"][call] for call in counter if call.kind == "decoder with gradients")
            for loop, counter in (("ours", found["ours"]), ("released", found["short"]))
        }
        results[name] = {
            "flops": summed(cost["flops"], found),
            "seconds": summed(cost["seconds"], found),
            "peak_bytes": peaks,
            "passes": {f"{call.kind}, batch {call.batch}": seconds for call, seconds in cost["seconds"].items()},
        }
    return results
