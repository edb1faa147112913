"""The module file: safetensors, one file = one attribute, format version 1.

Tensors "<concept>.<part>" `[C, H, W]` or `[C, 1, 1]`, or, low rank, "<concept>.<part>.channels" `[C, r]` and
"<concept>.<part>.space" `[r, H, W]`; <part> is "responsible" (required) or "semantic". Optional (a map of h):
"<concept>.map.inward" `[K, C]`, "<concept>.map.bias" `[K]`, "<concept>.map.outward" `[C, K]`. Optional (the probe of
prompts): "probe:mean", "probe:scale" and "probe:somebody" `[D]`, "probe:bias" `[2]`, "probe:word_0" … `[n, D]`; no
concept's name has a colon. Metadata: "format" = "respo", "format_version" = "1", "respo" = JSON with name, purpose,
concepts (their order), architecture, base, training and (optional) words.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..errors import ModuleFileError, RespoError
from ..module.architecture import Architecture
from ..module.attribute import Attribute
from ..module.concept import ConceptModule
from ..module.grid import Grid
from ..module.h_map import HMap
from ..module.probe import PromptProbe
from .header import header_of, opened, parse_json
from .write import write_atomically

FORMAT_VERSION = 1
_ENTRIES = ("name", "purpose", "concepts", "architecture", "base", "training")
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Ten SDXL concepts at 1024 px take 105 MB. Reading a larger file would need more than 1 GiB of memory.
_MAX_BYTES = 128 * 2**20
_MAX_CONCEPTS = 256  # each takes some time, however small
# Small low-rank factors can expand beyond any memory. So allow no more than full grids in a file could hold.
_MAX_NUMBERS = _MAX_BYTES // 4
_PROBE = "probe:"


def save_attribute(
    path: str | os.PathLike[str], attribute: Attribute, dtype: torch.dtype = torch.float32, *, new: bool = False
) -> None:
    """Write `attribute` to `path` atomically (a temporary file, then a rename): a crash never leaves half a file.

    `dtype`: of the stored tensors, see `to_bytes`. `new`: as in `replacing`. Raises RespoError when its reader would
    refuse it, or it cannot be written.
    """
    write_atomically(Path(path), to_bytes(attribute, dtype), new=new)


def to_bytes(attribute: Attribute, dtype: torch.dtype = torch.float32) -> bytes:
    """Return the bytes of a module file. Equal attributes always give equal bytes.

    `dtype`: of the stored tensors; with float16 the file has half the size, and still loads as float32. Raises
    RespoError when a number is NaN or does not fit into `dtype`, and for whatever `from_bytes` would refuse.
    """
    tensors = {key: tensor.to(dtype) for key, tensor in _tensors(attribute, dtype).items()}
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise RespoError(
            f"{attribute.name!r} holds NaN or numbers beyond {torch.finfo(dtype).max:.0e} and was not saved; was it "
            "trained or composed with numbers that are too large?"
        )
    respo = {
        "name": attribute.name,
        "purpose": attribute.purpose,
        "concepts": list(attribute.concepts),
        "architecture": attribute.architecture.to_dict(),
        "base": dict(attribute.base),
        "training": dict(attribute.training),
    }
    if attribute.words:
        respo["words"] = {group: list(words) for group, words in attribute.words.items()}
    metadata = {"format": "respo", "format_version": str(FORMAT_VERSION)}
    try:
        metadata["respo"] = json.dumps(respo, ensure_ascii=False, allow_nan=False)
        data = _with_sorted_header(safetensors.torch.save(tensors, metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise RespoError(
            f"{attribute.name!r} cannot be saved: its metadata are no JSON ({str(error)[:120]})."
        ) from error
    if len(attribute.concepts) > _MAX_CONCEPTS or len(data) > _MAX_BYTES:
        raise RespoError(
            f"expected a module of at most {_MAX_CONCEPTS} concepts and {_MAX_BYTES >> 20} MiB, but {attribute.name!r} "
            f"has {len(attribute.concepts)} and {len(data) >> 20} MiB. Split them into several modules."
        )
    try:
        _read(io.BytesIO(data), "its file")
    except ModuleFileError as error:
        raise RespoError(f"{attribute.name!r} cannot be saved, as it could not be read again: {error}") from error
    return data


def load_attribute(path: str | os.PathLike[str]) -> Attribute:
    """Read a module file. Raises ModuleFileError for every possible defect, saying what was found."""
    path = Path(path)
    with opened(path) as file:
        return _read(file, path.name)


def load_hashed(path: str | os.PathLike[str]) -> tuple[Attribute, str]:
    """Read a module file; return it and the SHA-256 of the very bytes that were read. Raises ModuleFileError."""
    path = Path(path)
    with opened(path) as file:
        data = file.read(_MAX_BYTES + 1)  # one more is too large
    return from_bytes(data, path.name), hashlib.sha256(data).hexdigest()


def from_bytes(data: bytes, name: str) -> Attribute:
    """Parse the bytes of a module file, as strictly as `load_attribute`.

    `name`: for messages. Raises ModuleFileError.
    """
    return _read(io.BytesIO(data), name)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return name, purpose, concepts, architecture, base and training without reading the tensors.

    Raises ModuleFileError.
    """
    path = Path(path)
    with opened(path) as file:
        return _metadata(file, path.name)


def _read(file: BinaryIO, name: str) -> Attribute:
    metadata = _metadata(file, name)
    file.seek(0)
    try:
        tensors = safetensors.torch.load(file.read())
    except (ValueError, KeyError, safetensors.SafetensorError) as error:
        raise ModuleFileError(f"{name}: the tensors cannot be read ({error}). Get it again.") from error
    try:
        return _assemble(metadata, tensors)
    except RespoError as error:
        raise ModuleFileError(f"{name}: {error}") from error


def _metadata(file: BinaryIO, name: str) -> dict[str, Any]:
    metadata = header_of(file, name, _MAX_BYTES).get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != "respo":
        raise ModuleFileError(
            f"{name} is a safetensors file, but not a Respo module (no metadata with format = respo). "
            "Choose a module made by respo_train."
        )
    _check_version(name, metadata.get("format_version"))
    if not isinstance(metadata.get("respo"), str):
        raise ModuleFileError(f"{name}: expected the metadata entry 'respo', found none. Get the file again.")
    respo = parse_json(metadata["respo"], f"{name}: the metadata entry 'respo'")
    if not isinstance(respo, dict) or set(respo) - {"words"} != set(_ENTRIES):
        found = ", ".join(sorted(respo)) if isinstance(respo, dict) else type(respo).__name__
        raise ModuleFileError(f"{name}: expected metadata with {', '.join(_ENTRIES)}, found {found[:200]}")
    return respo


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the file's SHA-256 as 64 hexadecimal digits. Raises ModuleFileError when it cannot be read."""
    digest = hashlib.sha256()
    with opened(Path(path)) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _tensors(attribute: Attribute, dtype: torch.dtype) -> dict[str, Tensor]:
    tensors = {}
    for name, module in attribute.concepts.items():
        for part, own in module.named_children():
            if part == "semantic" and module.semantic_may_be_left_out(dtype):
                continue
            for key, parameter in own.named_parameters():
                suffix = "" if key == "full" else f".{key}"
                tensors[f"{name}.{part}{suffix}"] = parameter.detach().float().cpu().contiguous()
    if attribute.probe is not None:
        for key, buffer in attribute.probe.named_buffers():
            tensors[f"{_PROBE}{key}"] = buffer.float().cpu().contiguous()
    return tensors


def _with_sorted_header(data: bytes) -> bytes:
    # safetensors writes the metadata in random order. Sort it, so that equal modules have equal hashes.
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    text = header.encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def _check_version(file: str, found: object) -> None:
    version = int(found) if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 9 else 0
    if version > FORMAT_VERSION:
        raise ModuleFileError(
            f"{file}: this file needs a newer Respo (format version {version}; this one reads {FORMAT_VERSION})."
        )
    if version != FORMAT_VERSION:
        raise ModuleFileError(f"{file}: expected format_version {FORMAT_VERSION}, found {str(found)[:80]!r}.")


def _assemble(metadata: Mapping[str, Any], tensors: dict[str, Tensor]) -> Attribute:
    names = metadata["concepts"]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        raise RespoError(f"expected 'concepts' as a list of different names, found {str(names)[:200]}")
    if len(names) > _MAX_CONCEPTS:
        raise RespoError(f"expected at most {_MAX_CONCEPTS} concepts in a module, found {len(names)}")
    words = metadata.get("words", {})
    for entry, value in (("base", metadata["base"]), ("training", metadata["training"]), ("words", words)):
        if not isinstance(value, dict):
            raise RespoError(f"expected the metadata entry {entry!r} as an object, found {str(value)[:80]}")
    for key, tensor in tensors.items():
        _check_tensor(key, tensor)
    left = dict(tensors)
    probe = _take_probe(left)
    concepts = _take_concepts(left, names)
    if left:
        raise RespoError(f"found tensors that belong to no concept: {_listed(left)}")
    architecture = Architecture.from_dict(metadata["architecture"])
    base, training = metadata["base"], metadata["training"]
    return Attribute(metadata["name"], metadata["purpose"], concepts, architecture, base, training, words, probe)


def _take_concepts(tensors: dict[str, Tensor], names: Sequence[str]) -> dict[str, ConceptModule]:
    concepts, numbers, found = {}, 0, _listed(tensors)
    for name in names:
        responsible = _take_grid(tensors, f"{name}.responsible")
        if responsible is None:
            raise RespoError(f"the concept {name!r} has no responsible part; tensors found: {found}")
        semantic = _take_grid(tensors, f"{name}.semantic")
        # Count the expanded sizes: low-rank factors are small, and a missing semantic part is created at full size.
        numbers += sum(math.prod(part.shape) for part in (responsible, semantic or responsible))
        if numbers > _MAX_NUMBERS:
            raise RespoError(f"expected grids of at most {_MAX_NUMBERS} numbers in all, found {numbers}")
        concepts[name] = ConceptModule.from_parts(responsible, semantic, _take_map(tensors, f"{name}.map"))
    return concepts


def _check_tensor(key: str, tensor: Tensor) -> None:
    if tensor.dtype not in _DTYPES:
        raise RespoError(f"expected floating-point tensors (F32, F16, BF16), found {tensor.dtype} in {key[:200]!r}")
    if tensor.numel() == 0:
        raise RespoError(f"the tensor {key[:200]!r} is empty (shape {tuple(tensor.shape)})")
    if not all(map(math.isfinite, torch.stack(tensor.aminmax()).tolist())):  # isfinite takes three times the memory
        raise RespoError(f"the tensor {key[:200]!r} holds NaN or infinite numbers; train it again")


def _take_grid(tensors: dict[str, Tensor], key: str) -> Grid | None:
    if key in tensors:
        return Grid.from_tensors(tensors.pop(key))
    factors = [tensors.pop(f"{key}.{factor}") for factor in ("channels", "space") if f"{key}.{factor}" in tensors]
    if len(factors) == 1:
        raise RespoError(f"expected both factors of {key[:200]!r}, 'channels' and 'space', found one of them")
    return Grid.from_tensors(*factors) if factors else None


def _take_map(tensors: dict[str, Tensor], key: str) -> HMap | None:
    names = ("inward", "bias", "outward")
    found = {name: tensors.pop(f"{key}.{name}") for name in names if f"{key}.{name}" in tensors}
    if not found:
        return None
    if len(found) < len(names):
        raise RespoError(f"expected {', '.join(names)} of {key[:200]!r}, found {', '.join(found)} alone")
    return HMap.from_tensors(**found)


def _take_probe(tensors: dict[str, Tensor]) -> PromptProbe | None:
    found = {key.removeprefix(_PROBE): tensors.pop(key) for key in list(tensors) if key.startswith(_PROBE)}
    if not found:
        return None
    mean, scale, somebody, bias = (found.pop(key, torch.empty(0)) for key in ("mean", "scale", "somebody", "bias"))
    words = [found.pop(key) for key in [f"word_{index}" for index in range(len(found))] if key in found]
    if found:
        raise RespoError(f"found tensors that a probe does not have: {_listed(found)}")
    return PromptProbe(mean, scale, somebody, words, bias)


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(tensors))[:200] or "none"
