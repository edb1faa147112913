"""The U-Net architecture that a module was made for.

SD 1.x, SD 2.x and SDXL all have 1280 channels in h, so that number cannot distinguish them. The widths of the text
embedding and of the added (adm) embedding can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import ArchitectureMismatch, RespoError


@dataclass(frozen=True)
class Family:
    """What is known of one family of U-Nets; all that the pack knows of a family is its record in FAMILIES.

    `model_channels`, `context_dim` and `adm_channels` identify it in a host's `unet_config`. `latent_size`: height and
    width of a latent at the size that it was trained at. `guidance`: the usual scale of classifier-free guidance.
    """

    key: str
    title: str
    model_channels: int
    context_dim: int
    adm_channels: int = 0
    latent_size: int = 64
    guidance: float = 7.5


FAMILIES = [
    Family("sd1", "Stable Diffusion 1.x", 320, 768),
    Family("sd2", "Stable Diffusion 2.x", 320, 1024),
    Family("sdxl", "Stable Diffusion XL", 320, 2048, 2816, latent_size=128),
    Family("sdxl_refiner", "Stable Diffusion XL refiner", 384, 1280, 2560, latent_size=128),
    Family("emoji_world", "Emoji World", 64, 128, latent_size=16, guidance=3.0),
]


def family_of(model_channels: int, context_dim: int, adm_channels: int) -> Family:
    """Return the family with these sizes, else an unnamed one ("unet-320-768") with the defaults of Family."""
    sizes = (model_channels, context_dim, adm_channels)
    known = (f for f in FAMILIES if (f.model_channels, f.context_dim, f.adm_channels) == sizes)
    return next(known, Family(f"unet-{model_channels}-{context_dim}", "", *sizes))


def family_named(key: str) -> Family:
    """Return the family of an `Architecture.family`, else one of that name with the defaults of Family."""
    return next((f for f in FAMILIES if f.key == key), Family(key, key, 0, 0))


@dataclass(frozen=True)
class Architecture:
    """The sizes of a U-Net that a module depends on. `adm_channels` is 0 when there is no added embedding."""

    family: str
    model_channels: int
    context_dim: int
    adm_channels: int
    middle_channels: int

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
        if not isinstance(values, Mapping) or set(values) != set(names):
            found = sorted(values) if isinstance(values, Mapping) else values
            raise RespoError(f"expected an architecture with the entries {', '.join(names)}, found {found!r}")
        if not isinstance(values["family"], str):
            raise RespoError(f"expected the architecture's family as text, found {str(values['family'])[:80]!r}")
        for name in names[1:]:
            value = values[name]
            lowest = 1 if name in ("model_channels", "middle_channels") else 0
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value < 2**31:
                found = str(value)[:80]
                raise RespoError(f"expected the architecture's {name} as a whole number >= {lowest}, found {found!r}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the file's metadata."""
        return asdict(self)

    def describe(self) -> str:
        """Return text for people: "Stable Diffusion 1.x (h: 1280 channels)"."""
        return f"{family_named(self.family).title} (h: {self.middle_channels} channels)"

    def require(self, other: Architecture) -> None:
        """Check that a module for `self` fits a model of `other`. Raises ArchitectureMismatch, which names both."""
        if self != other:
            raise ArchitectureMismatch(
                f"This module was made for {self.describe()}, but the model is {other.describe()}. "
                f"Use a module that was trained on {family_named(other.family).title}, or load the other model."
            )
