"""The architecture that a module was made for: a U-Net's, whose h is the middle block's output, or a transformer's.

SD 1.x, SD 2.x and SDXL all have 1280 channels in h, so that number cannot distinguish them. The widths of the text
embedding and of the added (adm) embedding can. A transformer's h are the image tokens behind one of its blocks, see
tokens.py; the number of that block is a part of the architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import ArchitectureMismatch, RespoError
from .tokens import Blocks, Tokens, attribute_at, default_block


@dataclass(frozen=True)
class Family:
    """What is known of one family; all that the pack knows of a family is its record in FAMILIES.

    `model_channels`, `context_dim` and `adm_channels` identify a U-Net in a host's `unet_config`; a transformer's
    `model_channels` is 0 where any width will do, and such a record comes last. `tokens`: where a
    transformer's h is; None for U-Nets. `latent_size`: height and width of a latent at the size that it was trained at.
    `guidance`: the usual scale of classifier-free guidance.
    """

    key: str
    title: str
    model_channels: int
    context_dim: int
    adm_channels: int = 0
    latent_size: int = 64
    guidance: float = 7.5
    tokens: Tokens | None = None


_LUMINA = Tokens("NextDiT", (Blocks("layers", "at the end", "attention.out.weight"),), "dim", "cap_embedder.1")
_FLUX_LISTS = (
    Blocks("double_blocks", "first", "img_attn.proj.weight"),
    Blocks("single_blocks", "behind the text", "linear2.weight"),
)
_FLUX = Tokens("Flux", _FLUX_LISTS, "hidden_size", "txt_in")
_CHROMA = Tokens("Chroma", _FLUX_LISTS, "hidden_size", "txt_in")
_QWEN = Tokens(
    "QwenImageTransformer2DModel",
    (Blocks("transformer_blocks", "second", "attn.to_out.0.weight"),),
    "inner_dim",
    "txt_in",
)
_SD3 = Tokens(
    "OpenAISignatureMMDITWrapper",
    (Blocks("joint_blocks", "second", "x_block.attn.proj.weight"),),
    "hidden_size",
    "context_embedder",
)
FAMILIES = [
    Family("sd1", "Stable Diffusion 1.x", 320, 768),
    Family("sd2", "Stable Diffusion 2.x", 320, 1024),
    Family("sdxl", "Stable Diffusion XL", 320, 2048, 2816, latent_size=128),
    Family("sdxl_refiner", "Stable Diffusion XL refiner", 384, 1280, 2560, latent_size=128),
    Family("emoji_world", "Emoji World", 64, 128, latent_size=16, guidance=3.0),
    Family(
        "emoji_world_transformer", "Emoji World, transformer", 192, 128, latent_size=16, guidance=3.0, tokens=_LUMINA
    ),
    Family("lumina2", "Lumina 2 / Z-Image", 0, 0, latent_size=128, guidance=4.0, tokens=_LUMINA),
    Family("flux", "Flux", 0, 0, latent_size=128, guidance=1.0, tokens=_FLUX),
    Family("chroma", "Chroma", 0, 0, latent_size=128, guidance=4.0, tokens=_CHROMA),
    Family("qwen_image", "Qwen-Image", 0, 0, latent_size=128, guidance=4.0, tokens=_QWEN),
    Family("sd3", "Stable Diffusion 3", 0, 0, latent_size=128, guidance=4.5, tokens=_SD3),
]


def family_of(model_channels: int, context_dim: int, adm_channels: int) -> Family:
    """Return the family with these sizes, else an unnamed one ("unet-320-768") with the defaults of Family."""
    sizes = (model_channels, context_dim, adm_channels)
    known = (f for f in FAMILIES if f.tokens is None and (f.model_channels, f.context_dim, f.adm_channels) == sizes)
    return next(known, Family(f"unet-{model_channels}-{context_dim}", "", *sizes))


def family_of_network(network: Any) -> Family | None:
    """Return the family of a transformer by the name of its class; None for every other network.

    Not by classes that it is derived from: those may lay out their tokens in another way.
    """
    name = type(network).__name__
    own = [f for f in FAMILIES if f.tokens is not None and f.tokens.network == name]
    return next((f for f in own if not f.model_channels or f.model_channels == _width(network, f)), None)


def _width(network: Any, family: Family) -> int:
    return int(attribute_at(network, family.tokens.width)) if family.tokens is not None else 0


def tokens_of(network: Any) -> Tokens | None:
    """Return where a transformer's h is; None for U-Nets and for networks of no family that the pack knows."""
    family = family_of_network(network)
    return None if family is None else family.tokens


def family_named(key: str) -> Family:
    """Return the family of an `Architecture.family`, else one of that name with the defaults of Family."""
    return next((f for f in FAMILIES if f.key == key), Family(key, key, 0, 0))


@dataclass(frozen=True)
class Architecture:
    """The sizes of a network that a module depends on. `adm_channels` is 0 when there is no added embedding.

    Of a transformer `model_channels` and `middle_channels` are the width of its tokens, and `block` says how many
    blocks have run before its h; 0 for a U-Net.
    """

    family: str
    model_channels: int
    context_dim: int
    adm_channels: int
    middle_channels: int
    block: int = 0

    @classmethod
    def of(cls, network: Any, config: Mapping[str, Any], block: int = 0) -> Architecture:
        """Read a host's network and its `unet_config`. `block`: of a transformer, see `from_network`.

        Raises RespoError for a network that cannot be steered.
        """
        if tokens_of(network) is not None or "model_channels" not in config:
            return cls.from_network(network, block)
        architecture = cls.from_unet_config(config)
        if getattr(network, "middle_block", None) is None:
            raise RespoError(
                f"Respo steers the middle block of a U-Net, but this model ({type(network).__name__}) has none. "
                "Use an SD 1.x, SD 2.x or SDXL checkpoint that was not cut down."
            )
        return architecture

    @classmethod
    def from_network(cls, network: Any, block: int = 0) -> Architecture:
        """Read a transformer's sizes off the network itself. `block`: 0 for the default, half of its blocks.

        Raises RespoError when it is of no family that the pack knows, or has not so many blocks.
        """
        family = family_of_network(network)
        if family is None or family.tokens is None:
            known = ", ".join(own.title for own in FAMILIES if own.tokens is not None and not own.model_channels)
            raise RespoError(
                f"Respo steers U-Nets (SD 1.x, 2.x, SDXL and their fine-tunes) and these transformers: {known}. This "
                f"model is a {type(network).__name__}. Use another checkpoint."
            )
        tokens = family.tokens
        block = block or default_block(tokens.depth(network))
        tokens.place(network, block)
        width = _width(network, family)
        text = int(getattr(attribute_at(network, tokens.text), "in_features", 0))
        return cls(family.key, width, text, 0, width, block)

    @classmethod
    def from_unet_config(cls, config: Mapping[str, Any]) -> Architecture:
        """Read the host's `unet_config`. Raises RespoError when the model has no middle block to steer."""
        if "model_channels" not in config or "channel_mult" not in config:
            kind = config.get("image_model", "a network that is not a U-Net")
            raise RespoError(
                f"Respo steers the middle block of a U-Net (SD 1.x, 2.x, SDXL and their fine-tunes), but this model is "
                f"{kind!r} and has none. Use a U-Net checkpoint."
            )
        if config.get("transformer_depth_middle", 0) < -1:
            raise RespoError(
                "Respo steers the middle block of a U-Net, but this distilled model has had its middle block removed. "
                "Use the checkpoint that it was distilled from."
            )
        model_channels = int(config["model_channels"])
        context_dim = int(config.get("context_dim") or 0)
        adm_channels = int(config.get("adm_in_channels") or 0)
        family = family_of(model_channels, context_dim, adm_channels).key
        return cls(family, model_channels, context_dim, adm_channels, model_channels * int(config["channel_mult"][-1]))

    @classmethod
    def from_dict(cls, values: Any) -> Architecture:
        """Undo `to_dict`. Raises RespoError on missing, unknown or mistyped entries."""
        names = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or set(values) | {"block"} != set(names):
            found = sorted(values) if isinstance(values, Mapping) else values
            raise RespoError(f"expected an architecture with the entries {', '.join(names)}, found {found!r}")
        if not isinstance(values["family"], str):
            raise RespoError(f"expected the architecture's family as text, found {str(values['family'])[:80]!r}")
        for name in names[1:]:
            value = values.get(name, 0) if name == "block" else values[name]
            lowest = 1 if name in ("model_channels", "middle_channels") or (name == "block" and name in values) else 0
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value < 2**31:
                found = str(value)[:80]
                raise RespoError(f"expected the architecture's {name} as a whole number >= {lowest}, found {found!r}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the file's metadata. A U-Net's have no block, as in files of older versions."""
        return {name: value for name, value in asdict(self).items() if name != "block" or value}

    def describe(self) -> str:
        """Return text for people: "Stable Diffusion 1.x (h: 1280 channels)"; "(… behind block 20)" of a transformer."""
        behind = f" behind block {self.block}" if self.block else ""
        return f"{family_named(self.family).title} (h: {self.middle_channels} channels{behind})"

    def require(self, other: Architecture) -> None:
        """Check that a module for `self` fits a model of `other`. Raises ArchitectureMismatch, which names both."""
        if self != other:
            raise ArchitectureMismatch(
                f"This module was made for {self.describe()}, but the model is {other.describe()}. "
                f"Use a module that was trained on {family_named(other.family).title}, or load the other model."
            )
