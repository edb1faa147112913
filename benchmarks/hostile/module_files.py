"""Ways to spoil a module file: bytes, the safetensors header, the metadata, the numbers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import Any

import torch

from respo_train.core.files.checkpoint import to_bytes
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.probe import PromptProbe

Mutation = Callable[[Random, bytes], bytes]

# What a stranger's JSON may hold where something else belongs.
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e308, 2**31, 2**63, 2**64, 10**400, "", "x", "é\0\ud800", "../../x", "a" * 5000),
    *([], [[]], [None], ["x", "x"], {}, {"x": 1}, {"": {}}, [0] * 1000, "NaN", "\u202e", " ", "a.b", "probe:mean"),
)
SHAPES: tuple[Any, ...] = (
    *([], [0], [1], [-1], [1, 1, 1], [2**31] * 3, [2**62, 4], [2**64, 1], [1] * 200, ["4"], [4.0, 4], [[4]], None),
    *("x", 7, [6, 4], [1280, 8, 8], [4294967296, 4294967296], [3, 0, 5], [True, 4, 5]),
)
DTYPES = ("F64", "F16", "BF16", "I8", "I64", "U8", "BOOL", "F8_E4M3", "F8_E8M0", "F4", "C64", "", "f32", None, 3)
VERSIONS = ("0", "2", "99999999", "1.0", "-1", " 1", "1\n", "", "one", "١", "9" * 6000, "1e0")


@lru_cache(maxsize=1)
def module_seeds() -> tuple[bytes, ...]:
    """Good files: every kind of grid, a map of h, words and a probe or none, float and half; one of SD 1.5's size."""
    generator = torch.Generator().manual_seed(0)

    def concept(channels: int, size: tuple[int, int], kind: str = "grid", width: int | None = None) -> ConceptModule:
        module = ConceptModule(channels, *size, kind, 2 if kind == "low_rank" else None, width)
        for parameter in module.parameters():
            parameter.data.normal_(generator=generator)
        return module

    small, sd1 = Architecture("unet-2-8", 2, 8, 0, 6), Architecture("sd1", 320, 768, 0, 1280)
    base = {"name": "model.safetensors", "sha256": "0" * 64, "fingerprint": [0.5, -1.25]}
    kinds = {
        "woman": concept(6, (4, 5), width=3),
        "a man": concept(6, (4, 5), "low_rank"),
        "any": concept(6, (4, 5), "channel"),
    }
    plain = Attribute("gender", "fairness", kinds, small, base, {"seed": 1, "prompts": ["ein Mädchen"]})
    ones = torch.ones(8)
    probe = PromptProbe(ones, ones, ones, [torch.randn(2, 8, generator=generator) for _ in range(3)], ones[:2])
    full = replace(plain, words={"woman": ["her"], "person": ["somebody"]}, probe=probe)
    real = Attribute("violence", "safety", {"no violence": concept(1280, (4, 4))}, sd1, base, {})
    return to_bytes(plain), to_bytes(full), to_bytes(full, torch.float16), to_bytes(real)


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the tensors' bytes of a good file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: Any, body: bytes) -> bytes:
    """Undo `parts`; `header`: JSON, or text that stands for some."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode(errors="surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def truncated(chance: Random, data: bytes) -> bytes:
    """Cut off."""
    return data[: chance.choice([chance.randrange(len(data)), chance.randrange(min(64, len(data))), len(data) - 1])]


def lengthened(chance: Random, data: bytes) -> bytes:
    """Something more at the end, or in front."""
    more = chance.randbytes(chance.choice([1, 4, 8, 1000, 100_000]))
    return data + more if chance.random() < 0.8 else more + data


def flipped(chance: Random, data: bytes) -> bytes:
    """A few bits anywhere."""
    spoilt = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def flipped_in_front(chance: Random, data: bytes) -> bytes:
    """A few bits or bytes among the first, where headers are."""
    spoilt = bytearray(data)
    for _ in range(chance.choice([1, 2, 5])):
        where = chance.randrange(min(len(spoilt), chance.choice([16, 300, 2000])))
        spoilt[where] = chance.choice([spoilt[where] ^ 1 << chance.randrange(8), *b'"{}[],:0-\\', 0, 255])
    return bytes(spoilt)


def lying_length(chance: Random, data: bytes) -> bytes:
    """The header's length is another one."""
    own = int.from_bytes(data[:8], "little")
    length = chance.choice([0, 1, 2, own - 1, own + 1, own + 8, 2**20, 2**20 + 1, 2**31, 2**63, 2**64 - 1, len(data)])
    return struct.pack("<Q", length) + data[8:]


def lying_entry(chance: Random, data: bytes) -> bytes:
    """A tensor says another shape, another kind of number, other places; or is another thing altogether."""
    (header, body), good = parts(data), parts(data)[0]
    for _ in range(chance.choice([1, 1, 2, 3])):
        key = chance.choice([name for name in header if name != "__metadata__"])
        if not isinstance(header[key], dict) or chance.random() < 0.1:
            header[key] = chance.choice(VALUES)
            continue
        start, end = good[key]["data_offsets"]
        places = [[0, len(body)], [end, start], [start, end + 4], [start - 4, end], [0, 2**64], [2**63, 2**63 + 4]]
        what = chance.choice(["shape", "dtype", "data_offsets", "more"])
        value = chance.choice(
            {"shape": SHAPES, "dtype": DTYPES, "data_offsets": (*places, [0], "x", None)}.get(what, VALUES)
        )
        header[key] = {**header[key], what: value}
    return joined(header, body)


def other_entries(chance: Random, data: bytes) -> bytes:
    """A tensor is missing, or there under another name, or there twice."""
    header, body = parts(data)
    key = chance.choice(list(header))
    entry = header[key] if chance.random() < 0.3 else header.pop(key)
    names = [
        f"{key}.channels",
        "probe:mean",
        "probe:word_9",
        "",
        "a" * 70_000,
        ".",
        key.upper(),
        "é\ud800",
        "x.responsible",
    ]
    if chance.random() < 0.8:
        header[chance.choice(names)] = entry
    return joined(header, body)


def said_twice(chance: Random, data: bytes) -> bytes:
    """A key that stands twice in an object of the header or of the metadata."""
    header, body = parts(data)
    if chance.random() < 0.5:
        text = json.dumps(header)
        key = chance.choice(list(header))
        return joined(f"{{{json.dumps(key)}: {json.dumps(chance.choice([header[key], *VALUES[:6]]))}, {text[1:]}", body)
    respo = header["__metadata__"]["respo"]
    key = chance.choice(list(json.loads(respo)))
    header["__metadata__"]["respo"] = f'{{"{key}": {chance.choice(["1", "{}", "[]"])}, {respo[1:]}'
    return joined(header, body)


def much_metadata(chance: Random, data: bytes) -> bytes:
    """Text or lists of up to some MB, at many a place."""
    header, body = parts(data)
    size = chance.choice([10_000, 500_000, 1_040_000, 1_100_000, 3_000_000])
    much = chance.choice(
        ["a" * size, [0] * (size // 3), {str(i): i for i in range(size // 12)}, "\\u0000" * (size // 6)]
    )
    if chance.random() < 0.3:
        header["__metadata__"][chance.choice(["respo", "format", "format_version", "more"])] = str(much)
        return joined(header, body)
    return with_respo(data, lambda respo: _put(chance, respo, much))


def deep_json(chance: Random, data: bytes) -> bytes:
    """Nesting without bottom."""
    header, body = parts(data)
    depth = chance.choice([500, 990, 1010, 20_000, 300_000])
    deep = chance.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth])
    if chance.random() < 0.5:
        return joined(f'{{"__metadata__": {json.dumps(header["__metadata__"])}, "x": {deep}}}', body)
    respo = json.loads(header["__metadata__"]["respo"])
    own = json.dumps(respo | {chance.choice([*respo, "words"]): "@"}).replace('"@"', deep)
    header["__metadata__"]["respo"] = own
    return joined(header, body)


def other_version(chance: Random, data: bytes) -> bytes:
    """Another version, or none; another format."""
    header, body = parts(data)
    metadata = header["__metadata__"]
    metadata[chance.choice(["format_version", "format_version", "format"])] = chance.choice(VERSIONS)
    if chance.random() < 0.2:
        del metadata[chance.choice(list(metadata))]
    return joined(header, body)


def other_metadata(chance: Random, data: bytes) -> bytes:
    """Values of the metadata that are of another type, too large, or not what belongs there."""
    return with_respo(data, lambda respo: _put(chance, respo, chance.choice(VALUES)))


def with_respo(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Change the metadata entry that holds everything about a module."""
    header, body = parts(data)
    respo = json.loads(header["__metadata__"]["respo"])
    header["__metadata__"]["respo"] = json.dumps(change(respo))
    return joined(header, body)


def _put(chance: Random, respo: dict[str, Any], value: Any) -> Any:
    """Put `value` somewhere into `respo`, one or two levels down."""
    key = chance.choice([*respo, "words", "more"])
    inner = respo.get(key)
    if isinstance(inner, dict) and chance.random() < 0.6:
        respo[key] = inner | {chance.choice([*inner, "fingerprint", "name", "objective", "half", "woman"]): value}
    elif isinstance(inner, list) and chance.random() < 0.6:
        respo[key] = [*inner, value]
    else:
        respo[key] = value
    return respo if chance.random() < 0.97 else value
