"""A U-Net, its text encoders and its VAE as separate files on the command line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch

from respo_train.__main__ import main
from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.host.load import SeparateFiles, load_unet
from respo_train.job import state_path
from respo_train.resume import read_saved

ROOT = Path(__file__).resolve().parents[2]
EMOJI_WORLD = ROOT / "emoji_world" / "checkpoint" / "emoji_world.safetensors"
FEW = ["--preset", "gender", "--steps", "1", "--batch", "2", "--preview-every", "0"]


@pytest.fixture
def files(host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Emoji World in three files. The host knows its parts only together, so its loaders are stood in for."""
    import comfy.sd

    from respo_train.host import emoji_world_model

    emoji_world_model.register()
    whole = safetensors.torch.load_file(EMOJI_WORLD)
    parts = {"unet": "model.diffusion_model.", "clip": "cond_stage_model.", "vae": "first_stage_model."}
    paths = {name: tmp_path / f"{name}.safetensors" for name in parts}
    for name, prefix in parts.items():
        found = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
        safetensors.torch.save_file(found, paths[name])
    patcher, clip, vae, *_ = comfy.sd.load_checkpoint_guess_config(str(EMOJI_WORLD))

    def asked(answer: Any, *expected: Path) -> Any:
        def load(given: Any, **_: Any) -> Any:
            assert given in (str(expected[0]), [str(path) for path in expected])
            return answer

        return load

    monkeypatch.setattr(comfy.sd, "load_diffusion_model", asked(patcher, paths["unet"]))
    monkeypatch.setattr(comfy.sd, "load_clip", asked(clip, paths["clip"]))
    monkeypatch.setattr(comfy.sd, "VAE", lambda sd: vae if "1.weight" in str(sorted(sd)) else None)
    return paths


def test_trains_and_goes_on(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.safetensors"
    named = [argument for name, path in files.items() for argument in (f"--{name}", str(path))]
    assert main(["train", *FEW, *named, "--out", str(out), "--precision", "float32"]) == 0
    base = load_attribute(out).base
    assert base["name"] == "unet.safetensors + clip.safetensors"
    assert read_saved(state_path(out)).identity.base["sha256"] == base["sha256"]
    capsys.readouterr()
    assert main(["resume", str(out), "--steps", "2"]) == 2
    assert "give these files again with --unet and --clip" in capsys.readouterr().err
    assert main(["resume", str(out), "--steps", "2", *named]) == 0
    assert load_attribute(out).training["steps_done"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the model with --checkpoint FILE, or with --unet, --clip and --vae"),
        (["--clip", "x"], "--clip and --vae go with --unet FILE"),
        (["--unet", "{unet}"], "--unet needs its text encoders, too: --clip FILE (two files for SDXL)"),
        (["--unet", "{unet}", "--clip", "nowhere"], "no checkpoint at nowhere"),
        (["--unet", "{unet}", "--checkpoint", "{unet}"], "give either --checkpoint, or --unet with --clip"),
    ],
)
def test_what_does_not_go_together(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [argument.format(**files) for argument in arguments]
    assert main(["train", *FEW, *given, "--out", str(tmp_path / "out.safetensors")]) == 2
    assert message in capsys.readouterr().err


def test_a_gguf_file_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "unet.gguf").write_bytes(b"GGUF")
    with pytest.raises(RespoError, match=r"unet\.gguf holds quantised weights, which cannot be trained with"):
        load_unet(SeparateFiles(tmp_path / "unet.gguf", (files["clip"],)))


def test_the_text_encoder_of_another_model(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.sd

    other = SimpleNamespace(tokenize=lambda text: {}, encode_from_tokens=lambda tokens: [[0.0] * 768])
    other.encode_from_tokens = lambda tokens: SimpleNamespace(shape=(1, 77, 768))
    monkeypatch.setattr(comfy.sd, "load_clip", lambda paths: other)
    with pytest.raises(RespoError, match="gives 128 numbers per token, found one that gives 768"):
        load_unet(SeparateFiles(files["unet"], (files["clip"],)), "float32")


def test_the_vae_has_the_latents_of_the_model(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Flux, Qwen-Image and SD 3 have 16 channels, not 4."""
    import comfy.sd

    model = comfy.sd.load_diffusion_model(str(files["unet"])).model
    monkeypatch.setattr(model, "latent_format", SimpleNamespace(latent_channels=16))
    with pytest.raises(RespoError, match=r"a VAE of 16 latent channels, found one of 4\. Give the VAE"):
        load_unet(SeparateFiles(files["unet"], (files["clip"],), files["vae"]), "float32")
