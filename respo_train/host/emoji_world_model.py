"""Add Emoji World's two architectures to ComfyUI, so that its stock Load Checkpoint opens their files.

The host finds a checkpoint's architecture by asking every class in `comfy.supported_models.models` whether it matches;
`register` adds one for the U-Net and one for the transformer, which is the host's own NextDiT (Lumina 2, Z-Image) in
miniature. Text encoder and autoencoder are the same. The files are small because two of their parts are stored without
padding:

- the autoencoder is TAESD with narrower layers; zeros in the missing channels change nothing in a network of
  convolutions, ReLU and nearest-neighbour upsampling;
- the text encoder's embedding has rows for the tokens that occur in Emoji World's captions, and one for all others.
"""

from __future__ import annotations

from typing import Any, ClassVar

import comfy.ldm.lumina.model
import comfy.model_base
import comfy.ops
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import torch
from torch import Tensor

TOKEN_IDS = "emoji_world.token_ids"  # int32 [rows - 1]: which CLIP token each stored embedding row is for
EMBEDDING = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
CLIP_VOCABULARY = 49408
TAESD_WIDTH = 64
MAX_TOKENS = 24
WIDTH = 128
TRANSFORMER_WIDTH, TRANSFORMER_LAYERS = 192, 6
TEXT_CONFIG = {
    "architectures": ["CLIPTextModel"],
    "bos_token_id": 0,
    "eos_token_id": 49407,
    "hidden_act": "quick_gelu",
    "hidden_size": WIDTH,
    "intermediate_size": 4 * WIDTH,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": MAX_TOKENS,
    "model_type": "clip_text_model",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "projection_dim": WIDTH,
    "vocab_size": CLIP_VOCABULARY,
}


def expand_embedding(rows: Tensor, token_ids: Tensor) -> Tensor:
    """Expand `[known + 1, width]` to `[49408, width]`. `token_ids`: `[known]`; all other tokens get the last row."""
    table = rows[-1].expand(CLIP_VOCABULARY, -1).clone()
    table[token_ids.long()] = rows[:-1]
    return table


def pad_autoencoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with every hidden channel count zero-padded to TAESD's 64."""

    def padded(weight: Tensor) -> Tensor:
        # Picture and latent channels (3 and 4) stay; so do kernel sizes, which are further dimensions.
        sizes = [TAESD_WIDTH if size > 4 else size for size in weight.shape[:2]] + list(weight.shape[2:])
        out = weight.new_zeros(sizes)
        out[tuple(slice(size) for size in weight.shape)] = weight
        return out

    return {name: padded(w) if w.ndim else w for name, w in state.items()}


class EmojiTokenizer(comfy.sd1_clip.SDTokenizer):
    """CLIP's tokenizer with 24 token places."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None, **kwargs: Any) -> None:
        super().__init__(
            max_length=MAX_TOKENS,
            embedding_directory=embedding_directory,
            embedding_size=WIDTH,
            tokenizer_data=tokenizer_data or {},
            **kwargs,
        )


class EmojiWorldTokenizer(comfy.sd1_clip.SD1Tokenizer):
    """The tokenizer in the form that the host's CLIP wrapper expects."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        super().__init__(embedding_directory, tokenizer_data or {}, tokenizer=EmojiTokenizer)


class EmojiTextEncoder(comfy.sd1_clip.SDClipModel):
    """CLIP's text encoder, two layers of width 128."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(
            device=device,
            max_length=MAX_TOKENS,
            textmodel_json_config=dict(TEXT_CONFIG),
            return_projected_pooled=False,
            dtype=dtype,
            model_options=model_options or {},
        )


class EmojiWorldClip(comfy.sd1_clip.SD1ClipModel):
    """The text encoder in the form that the host's CLIP wrapper expects."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(device=device, dtype=dtype, model_options=model_options or {}, clip_model=EmojiTextEncoder)


class EmojiWorld(comfy.supported_models.SD15):
    """Stable Diffusion 1.x in miniature: the same schedule, latent format and key names, smaller sizes."""

    unet_config: ClassVar[dict[str, Any]] = {
        "context_dim": WIDTH,
        "model_channels": 64,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
    }
    unet_extra_config: ClassVar[dict[str, Any]] = {"num_heads": 4, "num_head_channels": -1}
    required_keys: ClassVar = {TOKEN_IDS}

    def process_clip_state_dict(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """Expand the embedding to CLIP's vocabulary, then proceed as for Stable Diffusion 1.x."""
        token_ids = state_dict.pop(TOKEN_IDS)
        state_dict[EMBEDDING] = expand_embedding(state_dict[EMBEDDING], token_ids)
        return super().process_clip_state_dict(state_dict)

    def process_vae_state_dict(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pad the autoencoder to TAESD's widths."""
        return pad_autoencoder(state_dict)

    def clip_target(self, state_dict: Any = None) -> comfy.supported_models_base.ClipTarget:  # noqa: ARG002 - the host's
        """Return the tokenizer and text encoder classes."""
        return comfy.supported_models_base.ClipTarget(EmojiWorldTokenizer, EmojiWorldClip)


class EmojiWorldTransformer(EmojiWorld):
    """The same world drawn by a transformer: the host's NextDiT on the same latents, predicting a flow's velocity."""

    unet_config: ClassVar[dict[str, Any]] = {"image_model": "lumina2", "dim": TRANSFORMER_WIDTH, "cap_feat_dim": WIDTH}
    # What the host cannot read from the weights of an unknown width. Each head has 3 x 16 numbers, one part for each
    # of RoPE's axes: place in the text, row, column.
    unet_extra_config: ClassVar[dict[str, Any]] = {
        "in_channels": 4,
        "n_refiner_layers": 1,
        "n_heads": 4,
        "n_kv_heads": 4,
        "axes_dims": [16, 16, 16],
        "axes_lens": [64, 64, 64],
        "rope_theta": 256.0,
        "ffn_dim_multiplier": 8.0 / 3.0,
        "time_scale": 1000.0,
    }
    sampling_settings: ClassVar = {"multiplier": 1.0, "shift": 1.0}
    supported_inference_dtypes: ClassVar = [torch.bfloat16, torch.float32]

    def get_model(self, state_dict: Any, prefix: str = "", device: Any = None) -> comfy.model_base.BaseModel:  # noqa: ARG002 - the host's
        """Return the host's model around the network; its `ModelType.FLOW` comes with it."""
        return comfy.model_base.Lumina2(self, device=device)


def build_transformer(layers: int = TRANSFORMER_LAYERS) -> comfy.ldm.lumina.model.NextDiT:
    """Return the network as the host would build it, float32 on the CPU. Its weights are not initialised."""
    detected = {**EmojiWorldTransformer.unet_config, "patch_size": 2, "n_layers": layers, "qk_norm": True}
    config = EmojiWorldTransformer(detected).unet_config
    return comfy.ldm.lumina.model.NextDiT(**config, dtype=torch.float32, operations=comfy.ops.disable_weight_init)


def register() -> None:
    """Register the classes with the host, only once even if this is imported under several package names."""
    known = {model.__name__ for model in comfy.supported_models.models}
    if EmojiWorld.__name__ not in known:
        comfy.supported_models.models.append(EmojiWorld)
    if EmojiWorldTransformer.__name__ not in known:
        # In front: the host's Lumina 2 takes every NextDiT, and this one takes only files that have TOKEN_IDS.
        comfy.supported_models.models.insert(0, EmojiWorldTransformer)
