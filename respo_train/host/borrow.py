"""Lend a model that is loaded in a running ComfyUI to the trainer, and leave it unchanged.

The trainer gets its own copy of the U-Net, made through main memory so that the device never has to hold both. The host
creates its tensors in inference mode, and these cannot be trained with, so at least the half with gradients would have
to be copied. With a full copy there is nothing to restore in the user's model, whatever happens. And the host cannot
unload it in the middle of a step when it needs memory for the text encoder or the autoencoder.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import RespoError
from ..memory import first_line
from ..network import Conditioning, Encoded
from ..precision import Precision, choose_dtype
from .fit import check_fit, check_weights
from .host_network import HostNetwork, architecture_of
from .split_transformer import HostTransformer
from .split_unet import HostUNet

# Training keeps the decoder's activations for the backward pass; the host's estimate is of a forward pass only.
_ACTIVATIONS = 4


@dataclass(frozen=True)
class Loan:
    """A borrowed model. `sha256`: of the U-Net's weights including patches, see `weights_sha256`."""

    unet: LentUNet | LentTransformer
    sha256: str


class Lent(HostNetwork):
    """A network that the host does not know about, and so cannot unload.

    `before_pass` is called before each pass of the first half and before each prompt is encoded. It may raise, to stop
    work that is not divided into steps, such as drawing the training pictures.
    """

    before_pass: Callable[[], None] | None = None

    def encoder(self, *arguments: Any, **options: Any) -> Encoded:
        """See `network.SplitNetwork`."""
        self._check_in()
        return super().encoder(*arguments, **options)  # type: ignore[safe-super]  # that of the class beside this one

    def _encode_prompt(self, prompt: str) -> Conditioning:
        self._check_in()
        return super()._encode_prompt(prompt)

    def _check_in(self) -> None:
        if self.before_pass is not None:
            self.before_pass()

    def _bring_back(self) -> None:
        """Do nothing: this network is never moved away."""


class LentUNet(Lent, HostUNet):
    """See Lent and HostUNet."""


class LentTransformer(Lent, HostTransformer):
    """See Lent and HostTransformer."""


@contextmanager
def borrowed(
    model: Any,
    clip: Any,
    vae: Any = None,
    *,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    precision: Precision = "auto",
    block: int = 0,
) -> Iterator[Loan]:
    """Lend a host MODEL including its weight patches (LoRA), with its CLIP and, for pictures, its VAE.

    Inside the context tensors can be trained with, although nodes run in inference mode. `size`: (height, width) in
    pixels to train at; `batch`: latents at once, so that the host can make room; `block`: see HostNetwork. At the end,
    also after an exception, the copy's memory is freed even if something still refers to it. Raises RespoError for a
    model that cannot be trained on, and for a CLIP or VAE of another kind of model.
    """
    import comfy.model_management as management

    kind = LentUNet if architecture_of(model.model, block).block == 0 else LentTransformer
    model = _not_dynamic(model)
    check_weights(model.model.diffusion_model)
    management.load_models_gpu([model], force_full_load=True)
    device = model.load_device
    with torch.inference_mode(False), _in_training(management):
        lent = _with_own_unet(model.model)
        _bake_in_patches(lent.diffusion_model)
        try:
            sha256 = weights_sha256(lent.diffusion_model)
            if device.type != "cpu":
                _make_room(management, model, batch, size, device)
            dtype = choose_dtype(precision, device)
            # Only autocast takes weights of any precision.
            lent.diffusion_model.to(device, torch.float32 if dtype == torch.float32 else None)
            unet = kind(SimpleNamespace(model=lent), clip, vae, device, dtype, size, owned=True, block=block)
            check_fit(unet.architecture, clip, vae, "Link", unet.latent_shape[0])
            yield Loan(unet, sha256)
        finally:
            lent.diffusion_model.to("meta")
            management.soft_empty_cache()


def weights_sha256(network: nn.Module) -> str:
    """Hash every weight's name, type, shape and bytes. A node does not know which file its model came from.

    Takes about a second for 2 GB. Different LoRAs give different hashes, and so do different precisions of one file.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _with_own_unet(model: Any) -> Any:
    """Return the host's BaseModel with its own U-Net in main memory; everything else is shared."""
    network = model.diffusion_model
    tensors = chain(network.parameters(), network.buffers())
    own = {id(tensor): _own(tensor) for tensor in tensors}
    lent = copy.copy(model)
    lent._modules = {**model._modules, "diffusion_model": copy.deepcopy(network, own)}
    return lent


def _not_dynamic(model: Any) -> Any:
    """Return the model with all of its weights in place; newer hosts load and unload single weights of others."""
    if not getattr(model, "is_dynamic", bool)():
        return model
    try:
        return model.clone(disable_dynamic=True)
    except RuntimeError as error:  # its loader left nothing by which the host could load it again
        raise RespoError(
            "expected a model that ComfyUI can load in full, found one whose loader does not allow that "
            f"({first_line(error)}). Load it with Load Checkpoint or Load Diffusion Model, or start "
            "ComfyUI with --disable-dynamic-vram."
        ) from error


def _bake_in_patches(network: nn.Module) -> None:
    """Apply the patches (LoRA) that the host left for each pass, as it does when memory is short or with --novram.

    So they are in the hash, and a pass does not apply them again.
    """
    for module in network.modules():
        for name in ("weight", "bias"):
            functions = getattr(module, f"{name}_function", None)
            if not functions:
                continue
            value = getattr(module, name).detach()
            for function in functions:
                value = function(value)
            setattr(module, name, nn.Parameter(value.clone(), requires_grad=False))
            setattr(module, f"{name}_function", [])


def _own(tensor: Tensor) -> Tensor:
    values = tensor.detach().to("cpu", copy=True)
    return nn.Parameter(values, requires_grad=False) if isinstance(tensor, nn.Parameter) else values


def _make_room(management: Any, model: Any, batch: int, size: tuple[int, int] | None, device: torch.device) -> None:
    """Let the host unload other models, first of all the original."""
    height, width = size or (1024, 1024)
    shape = [batch, model.model.latent_format.latent_channels, height // 8, width // 8]
    management.free_memory(model.model_size() + _ACTIVATIONS * model.memory_required(shape), device)


@contextmanager
def _in_training(management: Any) -> Iterator[None]:
    """Tell newer hosts that this is training; otherwise they choose operations without gradients."""
    if not hasattr(management, "in_training"):
        yield
        return
    before, management.in_training = management.in_training, True
    try:
        yield
    finally:
        management.in_training = before
