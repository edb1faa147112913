"""The source pictures: Noto colour emoji (a Debian font package) and Fluent 3D emoji (an npm package).

Fetched once, at build time, by the package managers' own clients; licences are in LICENSES.md. Nothing here runs when
somebody merely uses Emoji World.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import world

NOTO_PACKAGE = "fonts-noto-color-emoji"
NOTO_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FLUENT_PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
ART_SIZE = 128  # pixels; Noto's bitmaps are 136 x 128, Fluent's 256 x 256
CHIN = {"noto": 0.67, "fluent": 0.555}  # its height as a share of the picture, from the top
SCRUBS_HUE = (0.16, 0.72, 0.70)  # there is no nurse emoji, so a nurse is a health worker whose white coat is dyed


@dataclass(frozen=True)
class Art:
    """Where the two packages' files are."""

    fluent: Path

    def picture(self, code: str, style: str) -> Image.Image:
        """Return one emoji as RGBA, ART_SIZE high. Raises FileNotFoundError when the style lacks it."""
        return _noto(code) if style == "noto" else _fluent(self.fluent, code)

    def person(self, who: world.Profession, gender: str, tone: int, style: str) -> Image.Image:
        """Return one person as RGBA, ART_SIZE high. `tone`: an index into world.SKIN_TONE_CODES."""
        image = self.picture(world.person_code(who, gender, tone), style)
        return _dye_coat(image, CHIN[style]) if who.word == "nurse" else image


def fetch(folder: Path) -> Art:
    """Fetch both packages with apt and npm into `folder` unless they are there, and return them."""
    if not NOTO_FONT.exists():
        subprocess.run(["apt-get", "install", "-y", NOTO_PACKAGE, "libraqm0"], check=True)
    assets = folder / "package" / "assets"
    if not assets.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            raise FileNotFoundError("npm is needed once to fetch the Fluent emoji, and was not found: install Node.js")
        subprocess.run([npm, "pack", FLUENT_PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
    return Art(assets)


@lru_cache(maxsize=1)
def _noto_font() -> ImageFont.FreeTypeFont:
    # 109 is the font's only bitmap strike; raqm joins the zero-width-joiner sequences.
    return ImageFont.truetype(str(NOTO_FONT), 109, layout_engine=ImageFont.Layout.RAQM)


def _noto(code: str) -> Image.Image:
    text = "".join(chr(int(point, 16)) for point in code.split("-"))
    image = Image.new("RGBA", (136, ART_SIZE))
    ImageDraw.Draw(image).text((0, 0), text, font=_noto_font(), embedded_color=True)
    return image


def _fluent(folder: Path, code: str) -> Image.Image:
    for name in (code, code.replace("-fe0f", "")):
        if (folder / f"{name}.webp").exists():
            image = Image.open(folder / f"{name}.webp", formats=("WEBP",)).convert("RGBA")
            return image.resize((ART_SIZE, ART_SIZE), Image.Resampling.LANCZOS)
    raise FileNotFoundError(f"the Fluent package has no emoji {code}")


def _dye_coat(image: Image.Image, chin: float) -> Image.Image:
    """Dye a white coat teal, as scrubs are: bright, colourless pixels below `chin`. Their shading is kept.

    `chin`: see CHIN.
    """
    pixels = np.asarray(image).astype(np.float32) / 255
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    value, spread = rgb.max(-1, keepdims=True), np.ptp(rgb, axis=-1, keepdims=True)
    whiteness = np.clip((value - 0.55) / 0.2, 0, 1) * np.clip((0.30 - spread) / 0.12, 0, 1)
    rows = np.linspace(0, 1, pixels.shape[0])[:, None, None]
    amount = whiteness * np.clip((rows - chin) / 0.05, 0, 1)
    dyed = rgb * (1 - amount) + value * np.asarray(SCRUBS_HUE, np.float32) * amount
    return Image.fromarray((np.concatenate([dyed, alpha], -1) * 255).round().astype(np.uint8), "RGBA")
