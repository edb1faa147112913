"""CLIP as a zero-shot judge: which of several sentences fits a picture best (Radford et al., arXiv 2103.00020).

The model is that of `transformers`, made of what `clip_files` reads from a folder on this computer: nothing is
downloaded, and no code or pickle in the folder is run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import RespoError
from ..core.judge import Verdict, decide
from ..core.shown import shown
from .clip_files import END, START, WEIGHTS, read_clip
from .clip_prompts import parse_prompts
from .package import require

_PIECES = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


class ClipJudge:
    """The label is the class whose prompts have the largest share of the softmax over all prompts of the attribute."""

    def __init__(self, folder: Path, prompts: str = "", device: str | torch.device = "cpu") -> None:
        """Load the model from `folder`.

        Raises RespoError: not a CLIP model, missing files, or prompts that cannot be parsed.
        """
        self._questions = parse_prompts(prompts)
        self.name = f"{folder.name} (zero shot)"
        self.classes: Mapping[str, tuple[str, ...]] = {name: tuple(q.prompts) for name, q in self._questions.items()}
        self._device, self._folder = device, folder
        self._model, self._tokenizer, self._pixels = _load(folder, device)

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """Return a Verdict for each attribute. `images`: `[B, 3, H, W]` in 0 … 1."""
        sentences = [p for question in self._questions.values() for own in question.prompts.values() for p in own]
        fits = torch.cat([self.logits(part, sentences) for part in images.split(batch)])
        found, start = {}, 0
        for name, question in self._questions.items():
            sizes = [len(own) for own in question.prompts.values()]
            shares = fits[:, start : start + sum(sizes)].softmax(-1).split(sizes, -1)
            probabilities = torch.stack([share.sum(-1) for share in shares], -1)
            found[name] = decide(tuple(question.prompts), probabilities, [question.threshold] * len(sizes))
            start += sum(sizes)
        return found

    @torch.inference_mode()
    def logits(self, images: Tensor, sentences: Sequence[str]) -> Tensor:
        """Return `[B, S]` for images `[B, 3, H, W]` in 0 … 1 and S sentences: 100 times the cosine, as in training."""
        with _refused(self._folder):
            return self._logits(images, sentences)

    def _logits(self, images: Tensor, sentences: Sequence[str]) -> Tensor:
        pixels = list((images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        texts = self._tokenizer.encode_batch(list(sentences))
        given = {
            "input_ids": torch.tensor([text.ids for text in texts]),
            "attention_mask": torch.tensor([text.attention_mask for text in texts]),
            "pixel_values": self._pixels(images=pixels, return_tensors="pt")["pixel_values"],
        }
        fits: Tensor = self._model(**{key: one.to(self._device) for key, one in given.items()}).logits_per_image
        return fits.float().cpu()


def _load(folder: Path, device: str | torch.device) -> tuple[Any, Any, Any]:
    """Return the model, its tokenizer, and what prepares its pictures."""
    transformers = require("transformers", "transformers", "CLIP")
    found = read_clip(folder)
    with _refused(folder):
        config = transformers.CLIPConfig(**found.config)
        with torch.device("meta"):  # the sizes that the configuration asks for, without their memory
            wanted = {name: tensor.shape for name, tensor in transformers.CLIPModel(config).state_dict().items()}
        _require_weights(wanted, found.weights, folder)
        model = transformers.CLIPModel.from_pretrained(
            None, config=config, state_dict={name: found.weights[name] for name in wanted}
        )
        length = config.text_config.max_position_embeddings
        return model.to(device).eval(), tokenizer_of(found.vocabulary, found.merges, length), _pixels(found.pixels)


def tokenizer_of(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], length: int) -> Any:
    """Return CLIP's tokenizer, put together as `transformers` puts it together; `length`: the most tokens of a text."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(
        models.BPE(
            dict(vocabulary),
            list(merges),
            unk_token=END,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    end, start = ((name, vocabulary[name]) for name in (END, START))
    made.post_processor = processors.RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    made.add_special_tokens([START, END])
    made.enable_truncation(length)
    made.enable_padding(pad_id=vocabulary[END], pad_token=END)
    return made


def _pixels(options: Mapping[str, Any]) -> Any:
    import transformers

    try:
        return transformers.CLIPImageProcessor(**options)
    except ImportError:  # without torchvision
        return transformers.CLIPImageProcessorPil(**options)


def _require_weights(wanted: Mapping[str, Sequence[int]], found: Mapping[str, Tensor], folder: Path) -> None:
    missing = [name for name in wanted if name not in found]
    other = [name for name, shape in wanted.items() if name in found and found[name].shape != shape]
    if missing or other:
        raise RespoError(
            f"expected all of a CLIP model's weights in {folder / WEIGHTS}, {len(missing)} are missing, {len(other)} "
            "have another size than config.json says. Copy all the model's files there again."
        )


@contextlib.contextmanager
def _refused(folder: Path) -> Iterator[None]:
    """Turn whatever the libraries raise into a RespoError; a panic of Rust code is no Exception."""
    try:
        yield
    except (RespoError, torch.OutOfMemoryError):  # the host has its own words for the latter
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise RespoError(
            f"the CLIP model in {folder} cannot be used ({shown(' '.join(str(error).split()), 300)}). Copy all its "
            "files there again."
        ) from error
