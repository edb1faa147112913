"""The text encoder: CLIP's architecture with two layers, CLIP's real tokenizer, and only the tokens in our captions.

The shipped file keeps one row per used token and one for unknown words; the host's class expands them to CLIP's whole
vocabulary when it loads (`respo_train/host/emoji_world_model.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .unet import CONTEXT

MAX_TOKENS = 24
START, END = 49406, 49407


def build(tokens: int) -> CLIPTextModel:
    """Build the encoder for a vocabulary of `tokens` rows."""
    config = CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=CONTEXT,
        intermediate_size=4 * CONTEXT,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        hidden_act="quick_gelu",
        bos_token_id=0,  # these two only matter for the pooled output, which is not used
        eos_token_id=1,
    )
    model = CLIPTextModel(config)
    model.set_attn_implementation("eager")
    return model


class Vocabulary:
    """Maps the tokens of CLIP's tokenizer to rows of the embedding; all tokens that it does not know share one row."""

    def __init__(self, tokenizer_folder: Path, captions: Iterable[str] = (), token_ids: Iterable[int] = ()) -> None:
        self._tokenizer = CLIPTokenizer.from_pretrained(str(tokenizer_folder))
        self._cache: dict[str, list[int]] = {}
        used = {START, END, *token_ids}
        for caption in set(captions):
            used.update(self._tokens(caption))
        self.token_ids = sorted(used)
        self._row = {token: row for row, token in enumerate(self.token_ids)}
        self.unknown = len(self.token_ids)
        self.size = self.unknown + 1

    def _tokens(self, caption: str) -> list[int]:
        if caption not in self._cache:
            tokens = self._tokenizer(caption)["input_ids"]
            if len(tokens) > MAX_TOKENS:
                raise ValueError(f"a caption takes at most {MAX_TOKENS} tokens, {caption!r} has {len(tokens)}")
            # Padded with the end token, as Stable Diffusion 1.x is.
            self._cache[caption] = tokens + [END] * (MAX_TOKENS - len(tokens))
        return self._cache[caption]

    def rows(self, caption: str) -> list[int]:
        """Return the MAX_TOKENS row numbers of a caption. Raises ValueError when it is longer."""
        return [self._row.get(token, self.unknown) for token in self._tokens(caption)]

    def rows_with_unknown(self, caption: str, place: float) -> list[int]:
        """Return the rows with one unknown word inserted at `place` in [0, 1), which the encoder learns to ignore."""
        rows = self.rows(caption)
        words = rows.index(self._row[END])
        at = 1 + int(place * words)
        return [*rows[:at], self.unknown, *rows[at:-1]]


def context(model: nn.Module, rows: Tensor) -> Tensor:
    """[B, MAX_TOKENS] rows -> [B, MAX_TOKENS, CONTEXT], after the final layer norm, as Stable Diffusion 1.x has it."""
    mask = torch.ones_like(rows)
    return model(input_ids=rows, attention_mask=mask).last_hidden_state
