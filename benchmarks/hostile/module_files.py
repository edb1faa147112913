"""Good module files, and ways to spoil what only a module has; `spoil` has what all safetensors files share."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from hypothesis import strategies as st

from respo_train.core.files.checkpoint import to_bytes
from respo_train.core.files.text_form import PREFIX, to_text
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.probe import PromptProbe

from .spoil import TENSORS, Draw, Way, joined, parts, pick

_SIZES = {"F32": 4, "F16": 2, "BF16": 2}
_ONE = b"\0\0\x80\x3f"  # 1.0 in F32, and finite in the others


@lru_cache(maxsize=1)
def good_modules() -> tuple[bytes, ...]:
    """Every kind of grid, a map of h, words and a probe or none, float and half; the last one has SD 1.5's size."""
    generator = torch.Generator().manual_seed(0)

    def concept(channels: int, kind: str = "grid", width: int | None = None) -> ConceptModule:
        module = ConceptModule(channels, 4, 5, kind, 2 if kind == "low_rank" else None, width)
        for parameter in module.parameters():
            parameter.data.normal_(generator=generator)
        return module

    small, sd1 = Architecture("unet-2-8", 2, 8, 0, 6), Architecture("sd1", 320, 768, 0, 1280)
    base = {"name": "model.safetensors", "sha256": "0" * 64, "fingerprint": [0.5, -1.25]}
    kinds = {"woman": concept(6, width=3), "a man": concept(6, "low_rank"), "any": concept(6, "channel")}
    plain = Attribute("gender", "fairness", kinds, small, base, {"seed": 1, "prompts": ["ein Mädchen"]})
    ones = torch.ones(8)
    probe = PromptProbe(ones, ones, ones, [torch.randn(2, 8, generator=generator) for _ in range(3)], ones[:2])
    full = replace(plain, words={"woman": ["her"], "person": ["somebody"]}, probe=probe)
    real = Attribute("violence", "safety", {"no violence": concept(1280)}, sd1, base, {})
    return to_bytes(plain), to_bytes(full), to_bytes(full, torch.float16), to_bytes(real)


def made(data: bytes, tensors: Mapping[str, tuple[str, Sequence[int]]], **about: Any) -> bytes:
    """Return a consistent file with the metadata of `data`, and `about`. `tensors`: key -> (kind of number, shape)."""
    head, place, entries = parts(data)[0], 0, {}
    for key, (kind, shape) in tensors.items():
        end = place + _SIZES[kind] * math.prod(shape)
        entries[key] = {"dtype": kind, "shape": shape, "data_offsets": [place, end]}
        place = end
    respo = json.dumps(json.loads(head["__metadata__"]["respo"]) | about, separators=(",", ":"))
    header = {"__metadata__": head["__metadata__"] | {"respo": respo}, **entries}
    return joined(json.dumps(header, separators=(",", ":")), (_ONE * (place // 4 + 1))[:place])


def many_concepts(draw: Draw, _: bytes) -> bytes:
    """Hold thousands of tiny concepts, or of words of a probe."""
    count, key = pick(draw, 60, 1000, 6000, 12_000), pick(draw, "c{}.responsible", "c{}.responsible", "probe:word_{}")
    network = {"family": "unet-2-8", "model_channels": 2, "context_dim": 8, "adm_in_channels": 0, "middle_channels": 1}
    names = [f"c{i}" for i in range(count)]
    return made(
        good_modules()[0],
        {key.format(i): ("F32", [1, 1, 1]) for i in range(count)},
        architecture=network,
        concepts=names,
    )


def small_factors(draw: Draw, _: bytes) -> bytes:
    """Hold low-rank factors that stand for far more numbers than the file has."""
    side, rank, names = (
        pick(draw, 16, 80, 150, 400, 1000),
        pick(draw, 1, 1, 3),
        [f"c{i}" for i in range(pick(draw, 1, 2, 8))],
    )
    halves = pick(draw, ("responsible",), ("responsible", "semantic"))
    factors = (("channels", [1280, rank]), ("space", [rank, side, side]))
    tensors = {f"{name}.{part}.{key}": ("F32", shape) for name in names for part in halves for key, shape in factors}
    return made(good_modules()[3], tensors, concepts=names)


def other_shapes(draw: Draw, data: bytes) -> bytes:
    """Let a tensor have another shape or kind of number, with the bytes that it then needs."""
    head = parts(data)[0]
    tensors = {key: (entry["dtype"], entry["shape"]) for key, entry in head.items() if key != "__metadata__"}
    for key in draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3)):
        shape = list(tensors[key][1])
        other = pick(
            draw, shape, shape[::-1], [math.prod(shape)], [*shape, 1], [shape[0] + 1, *shape[1:]], [*shape[:-1], 7]
        )
        tensors[key] = (pick(draw, "F32", "F16", "BF16"), other)
    return made(data, tensors)


def crossed(draw: Draw, data: bytes) -> bytes:
    """Join a part of this file and a part of another one."""
    other, place = pick(draw, *good_modules()), draw(st.integers(0, len(data)))
    return pick(draw, joined(parts(data)[0], parts(other)[1]), data[:place] + other[min(place, len(other)) :])


def large(draw: Draw) -> tuple[bytes, int]:
    """Return a good header of one concept and the file's size: its numbers are a hole, as large as they may be."""
    side, kind = pick(draw, 64, 128, 160, 161, 200, 300), pick(draw, "F32", "F16")
    tensor = {"dtype": kind, "shape": [1280, side, side], "data_offsets": [0, 1280 * side * side * _SIZES[kind]]}
    head = parts(good_modules()[3])[0]
    data = joined({"__metadata__": head["__metadata__"], "no violence.responsible": tensor}, b"")
    return data, len(data) + tensor["data_offsets"][1] + pick(draw, 0, 0, 0, 1)


MODULES: tuple[Way, ...] = (*TENSORS, many_concepts, small_factors, other_shapes, other_shapes, crossed)


@lru_cache(maxsize=1)
def good_texts() -> tuple[bytes, ...]:
    """Return a module as text."""
    concept = ConceptModule(1280, 1, 1, "channel")
    return (
        to_text(
            Attribute("gender", "fairness", {"woman": concept}, Architecture("sd1", 320, 768, 0, 1280), {}, {})
        ).encode(),
    )


@lru_cache
def as_text(data: bytes) -> bytes:
    """Return bytes as a module's text, with the right hash."""
    return f"{PREFIX}:{hashlib.sha256(data).hexdigest()}:{base64.b64encode(zlib.compress(data, 9)).decode()}".encode()


def inside_text(draw: Draw, _: bytes) -> bytes:
    """Spoil the module inside of a text whose hash is right; or let it burst."""
    burst = pick(draw, 0, 0, 0, 2**20, 2**21, 2**27)
    return as_text(bytes(burst) if burst else pick(draw, *MODULES)(draw, pick(draw, *good_modules()[:3])))
