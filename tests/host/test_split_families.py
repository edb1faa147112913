"""The trainer's two halves of every family of transformers, against the host's own model and an oracle by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformer_kinds import KINDS, TEXT, make

from respo_train.host.split_transformer import HostTransformer
from respo_train.network import Conditioning

CASES = [(name, block) for name, kind in KINDS.items() for block in kind.rows]
TIMESTEPS = torch.tensor([900, 250])


@pytest.fixture(autouse=True)
def in_training(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever makes a HostTransformer tells newer hosts, whose fused operations have no gradient."""
    import comfy.model_management

    monkeypatch.setattr(comfy.model_management, "in_training", True, raising=False)


def predicted(split: HostTransformer, latents: Tensor, context: Tensor, pooled: Tensor | None) -> Tensor:
    """The noise by the host's own `apply_model`, which gives the picture: x - sigma v."""
    model = split._patcher.model
    sigma = ((TIMESTEPS + 1) / 1001).view(-1, 1, 1, 1)
    x = ((1 - sigma) ** 2 + sigma**2).sqrt() * latents
    entries = model.extra_conds(cross_attn=context, pooled_output=pooled, noise=x, device=x.device, width=8, height=8)
    given = {name: entry.process_cond(len(x)).cond for name, entry in entries.items()}
    shaped = x.unflatten(1, (-1, *split._frames))
    with torch.no_grad():
        picture = model.apply_model(shaped, sigma.flatten(), **given).reshape(x.shape)
    return x + (1 - sigma) * (x - picture) / sigma


@pytest.mark.parametrize(("name", "block"), CASES)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
def test_both_halves_of_every_family(host: Any, name: str, block: int, height: int, width: int) -> None:
    kind = KINDS[name]
    cpu = torch.device("cpu")
    split = HostTransformer(make(kind), None, None, cpu, torch.float32, (8 * height, 8 * width), block=block)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, *split.latent_shape, generator=generator)
    pooled = torch.randn(1, 8, generator=generator) if kind.pooled else None
    context = torch.randn(1, TEXT, 16, generator=generator)
    encoded = split.encoder(latents, TIMESTEPS, Conditioning(context, pooled))
    rows, columns = height // 2, width // 2
    assert encoded.h.shape == (2, kind.config.get("dim", kind.width), rows, columns)
    plain = split.decoder(encoded, encoded.h)
    torch.testing.assert_close(plain, predicted(split, latents, context, pooled), atol=1e-4, rtol=1e-4)

    change = torch.randn(encoded.h.shape[1:], generator=generator)
    blocks, index, where = kind.rows[block]

    def add(_: Any, __: Any, output: Any) -> Any:
        tokens, start = where(output, TEXT, rows * columns)
        for row in range(rows):
            for column in range(columns):
                tokens[:, start + columns * row + column] += change[:, row, column]
        return output

    with getattr(split._net, blocks)[index].register_forward_hook(add):
        expected = predicted(split, latents, context, pooled)
    changed = split.decoder(encoded, encoded.h + change)
    torch.testing.assert_close(changed, expected, atol=1e-4, rtol=1e-4)
    assert (changed - plain).abs().max() > 1e-3

    gradients = []
    for split._checkpointing in (False, True):
        delta = torch.zeros_like(change, requires_grad=True)
        (gradient,) = torch.autograd.grad(split.decoder(encoded, encoded.h + delta).square().sum(), delta)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        up, down = (split.decoder(encoded, encoded.h + s * change).square().sum().double() for s in (1e-2, -1e-2))
    assert float((gradients[0] * change).sum()) == pytest.approx(float((up - down) / 2e-2), rel=0.03)
