"""Read a folder with a CLIP model as modules are read: known entries within bounds, sizes before tensors, no links.

`transformers` and `tokenizers` never see the folder. They get numbers, names and tensors that were checked here: left
to themselves they would look for what else the files name, such as code, adapters and repositories of a hub, and what
`tokenizers` reads from a broken file can end the whole process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file
from torch import Tensor

from ..core.errors import ModuleFileError, RespoError
from ..core.files.header import header_of, opened, parse_json
from ..core.files.text import read_text
from ..core.shown import shown

WEIGHTS = "model.safetensors"
START, END = "<|startoftext|>", "<|endoftext|>"
_MOST_BYTES = 16 * 2**30  # of weights; the largest CLIP has 10 GB
_MOST_TEXT = 32 * 2**20  # bytes of a tokenizer's file; those of 50,000 words have 2 MB
_FILES = (  # one choice of each line is required
    ((WEIGHTS,),),
    (("tokenizer.json",), ("vocab.json", "merges.txt")),
    (("preprocessor_config.json",), ("processor_config.json",)),
)
_IDS = (0, 10**6)
_SIZES: Mapping[str, tuple[float, float]] = {
    "hidden_size": (1, 8192),
    "intermediate_size": (1, 65536),
    "num_hidden_layers": (1, 128),
    "num_attention_heads": (1, 256),
    "projection_dim": (1, 8192),
    "layer_norm_eps": (0.0, 1.0),
}
_TEXT = {**_SIZES, "vocab_size": (2, 10**6), "max_position_embeddings": (2, 4096)}
_TEXT |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), _IDS)
_VISION = {**_SIZES, "num_channels": (3, 3), "image_size": (1, 4096), "patch_size": (1, 4096)}
_ACTIVATIONS = ("quick_gelu", "gelu", "gelu_new", "relu", "silu")
_SWITCHES = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


@dataclass(frozen=True)
class ClipFiles:
    """What a folder holds.

    `config`: text_config, vision_config and projection_dim; `pixels`: how pictures are prepared; `vocabulary`: token ->
    id; `merges`: pairs of tokens, the most important first.
    """

    config: dict[str, Any]
    pixels: dict[str, Any]
    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    weights: dict[str, Tensor]


def read_clip(folder: Path) -> ClipFiles:
    """Read the folder's files. Raises RespoError: another kind of model, missing files, anything out of bounds."""
    config = _config(_json(folder, "config.json"), folder)
    _require_files(folder)
    vocabulary, merges = _tokens(folder)
    if len(vocabulary) > config["text_config"].get("vocab_size", 49408):
        raise RespoError(f"expected at most 'vocab_size' tokens in {folder}, found {len(vocabulary)}. Copy it again.")
    pixels = _pixels(folder)
    return ClipFiles(config, pixels, vocabulary, merges, _weights(_inside(folder, WEIGHTS)))


def _inside(folder: Path, name: str) -> Path:
    """Return a file's path. Raises RespoError for a link: it may lead anywhere."""
    path = folder / name
    if path.is_symlink() or folder.is_symlink():
        raise RespoError(f"expected a file at {path}, found a link. Copy the file itself there.")
    return path


def _require_files(folder: Path) -> None:
    for choice in _FILES:
        if not any(all((folder / name).is_file() for name in names) for names in choice):
            wanted = " or ".join(" and ".join(names) for names in choice)
            raise RespoError(
                f"expected {wanted} in {folder}: copy all files of the model there. Weights in other formats than "
                "safetensors can run code and are not opened."
            )


def _json(folder: Path, name: str, most: int = 2**20) -> dict[str, Any]:
    path = _inside(folder, name)
    try:
        found = parse_json(read_text(path, "the judge's file", most), f"the file {name}")
    except RespoError as error:
        raise RespoError(f"{path} cannot be loaded: {error}") from error
    if not isinstance(found, dict):
        raise RespoError(f"{path} cannot be loaded: expected an object, found {shown(found)}.")
    return found


def _config(found: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if found.get("model_type") != "clip":
        kind = shown(found.get("model_type"))
        raise RespoError(f"expected a CLIP model in {folder}, found {kind} in its config.json.")
    config: dict[str, Any] = _numbers(found, {"projection_dim": _SIZES["projection_dim"]})
    for name, bounds in (("text_config", _TEXT), ("vision_config", _VISION)):
        # Older files say everything twice, and what they say in the second place is meant.
        own = {**_object(found, name), **_object(found, f"{name}_dict")}
        config[name] = _numbers(own, bounds)
        activation = own.get("hidden_act", _ACTIVATIONS[0])
        if activation not in _ACTIVATIONS:
            raise RespoError(f"expected 'hidden_act' as one of {', '.join(_ACTIVATIONS)}, found {shown(activation)}.")
        config[name]["hidden_act"] = activation
    return config


def _object(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name) or {}
    if not isinstance(value, Mapping):
        raise RespoError(f"expected {name!r} as an object, found {shown(value)}. Copy the judge's files again.")
    return value


def _numbers(found: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Take the known entries. Raises RespoError for one that is no number, or out of its bounds."""
    taken = {name: found[name] for name in bounds if found.get(name) is not None}
    for name, value in taken.items():
        low, high = bounds[name]
        kind = (int, float) if isinstance(low, float) else (int,)
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            raise RespoError(f"expected {name!r} from {low} to {high}, found {shown(value)}. Copy the files again.")
    return taken


def _tokens(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocabulary: Any
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocabulary = _json(folder, "vocab.json", _MOST_TEXT)
        lines = read_text(_inside(folder, "merges.txt"), "the judge's merges", _MOST_TEXT).split("\n")
        pairs: Any = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    else:
        model = _object(_json(folder, "tokenizer.json", _MOST_TEXT), "model")
        vocabulary, pairs = model.get("vocab"), model.get("merges")
        if isinstance(pairs, list):  # newer files have lists of two, older ones texts
            pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in pairs]
    ids = isinstance(vocabulary, dict) and all(type(number) is int for number in vocabulary.values())
    if not ids or sorted(vocabulary.values()) != list(range(len(vocabulary))) or not {START, END} <= vocabulary.keys():
        raise RespoError(f"expected each token of {folder} with a number of its own. Copy the tokenizer's files again.")
    known = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    if not known or not all(_is_merge(pair, vocabulary) for pair in pairs):
        raise RespoError(f"expected pairs of tokens as the merges of {folder}. Copy the tokenizer's files again.")
    return vocabulary, [(first, second) for first, second in pairs]


def _is_merge(pair: list[Any], vocabulary: Mapping[str, int]) -> bool:
    texts = all(isinstance(part, str) and part in vocabulary for part in pair)
    return texts and pair[0] + pair[1] in vocabulary


def _pixels(folder: Path) -> dict[str, Any]:
    if (folder / "preprocessor_config.json").is_file():
        found: Mapping[str, Any] = _json(folder, "preprocessor_config.json")
    else:
        found = _object(_json(folder, "processor_config.json"), "image_processor")
    taken: dict[str, Any] = {name: found[name] for name in _SWITCHES if isinstance(found.get(name), bool)}
    taken |= _numbers(found, {"resample": (0, 5), "rescale_factor": (0.0, 1.0)})
    for name in ("size", "crop_size"):
        if found.get(name) is not None:
            size = found[name] if isinstance(found[name], Mapping) else {"size": found[name]}
            sides = dict.fromkeys(("size", "shortest_edge", "height", "width"), (1, 4096))
            checked = _numbers(size, sides)
            taken[name] = checked.get("size", checked)
    for name in ("image_mean", "image_std"):
        if found.get(name) is not None:
            if not _are_three(found[name]):
                raise RespoError(f"expected {name!r} as three numbers, found {shown(found[name])}. Copy it again.")
            taken[name] = [float(value) for value in found[name]]
    return taken


def _are_three(values: Any) -> bool:
    numbers = isinstance(values, list) and len(values) == 3 and all(isinstance(one, (int, float)) for one in values)
    return numbers and all(math.isfinite(one) and abs(one) < 1000 for one in values)


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        with opened(path) as file:
            header_of(file, path.name, _MOST_BYTES)  # raises for sizes that are not those of the file
        found = load_file(str(path))
    except (OSError, ValueError, RuntimeError, MemoryError, safetensors.SafetensorError) as error:
        raise ModuleFileError(f"{path} cannot be loaded ({shown(str(error), 200)}). Get the file again.") from error
    return {name: tensor.float() for name, tensor in found.items() if tensor.is_floating_point()}
