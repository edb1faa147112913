"""Ways to spoil a file: its bytes, its JSON, its text, its tensors, a module in a text. Each draws from Hypothesis."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from respo_train.core.files.text_form import PREFIX

from .explore import corpus

Draw = st.DrawFn
Way = Callable[[Draw, bytes], bytes]
NEAR: dict[str, list[Any]] = corpus("values")  # JSON key -> what a stranger may write there; "": anywhere
TEXTS: list[str] = corpus("texts")
ODD_FLOATS = (float("nan"), float("inf"), -float("inf"), 3.4e38, -3.4e38, 1e-45, -0.0, 1e30)

_SIZES = {"F32": 4, "F16": 2, "BF16": 2}
_ONE = b"\0\0\x80\x3f"  # 1.0 in F32, and finite in the others


def pick(draw: Draw, *options: Any) -> Any:
    """Draw one of the options, by its index: they may be large."""
    return options[draw(st.integers(0, len(options) - 1))]


def cut(draw: Draw, data: bytes) -> bytes:
    """Cut off anywhere, often in front or just before the end."""
    end = len(data)
    return data[: draw(st.integers(0, end) | st.integers(0, min(64, end)) | st.just(max(0, end - 1)))]


def lengthened(draw: Draw, data: bytes) -> bytes:
    """Put something more at the end, or in front."""
    more = draw(st.binary(min_size=1, max_size=8)) * pick(draw, 1, 200, 20_000)
    return pick(draw, data + more, data + more, more + data)


def flipped(draw: Draw, data: bytes) -> bytes:
    """Change a few bits or bytes, anywhere or among the first, where headers are."""
    spoilt, within = bytearray(data), min(len(data), pick(draw, 16, 300, 2000, len(data), len(data)))
    for place in draw(st.lists(st.integers(0, max(0, within - 1)), max_size=8)) if within else ():
        spoilt[place] = pick(draw, spoilt[place] ^ 1 << draw(st.integers(0, 7)), *b'"{}[],:0-\\', 0, 255)
    return bytes(spoilt)


def nothing_of_it(draw: Draw, _: bytes) -> bytes:
    """Take other things that bear the name: nothing, noise, JSON, an archive, a picture, text in another encoding."""
    heads = (b"", b"\0" * 9, b"{}", b'{"a": 1}', b"PK\3\4", b"\x89PNG\r\n\x1a\n", b"\x80\x02}q\0.", b"\x1f\x8b\x08")
    texts = ("\ufeffrespo".encode("utf-16"), *(joined(text, b"") for text in ("{}", "[]", "null", '"a"', "\ud800")))
    return bytes(pick(draw, *heads, *texts)) + draw(st.binary(max_size=40) | st.just(bytes(5000)))


BYTES: tuple[Way, ...] = (cut, lengthened, flipped, nothing_of_it)


def spoilt_json(draw: Draw, text: str) -> str:
    """Spoil one to three places: another value, none, another name, twice the same, without bottom, of some MB."""
    root: list[Any] = [json.loads(text)]
    marks: dict[str, str] = {}
    for number in range(pick(draw, 1, 1, 2, 3)):
        holder, key = draw(st.sampled_from(list(_places(root))))
        old, name = holder[key], f"@{number}@"
        way = pick(draw, *["put"] * 6, "nudge", "nudge", "drop", "rename", "twice", "deep", "much")
        if way == "nudge" and type(old) is int:
            holder[key] = old + pick(draw, 1, -1, 4, -4, 8, old, -2 * old - 1)
        elif way in ("drop", "rename") and holder is not root:
            del holder[key]
            if way == "rename" and isinstance(holder, dict):
                holder[draw(st.sampled_from(NEAR["name"]))] = old
            elif way == "rename":
                holder += [old, copy.deepcopy(old)]
        elif way == "twice" and isinstance(holder, dict):
            holder[name] = copy.deepcopy(pick(draw, old, 1, {}, []))
            marks[name] = json.dumps(key)
        elif way == "deep":
            depth, pair = pick(draw, 500, 990, 20_000, 300_000), pick(draw, ("[", "]"), ('{"a":', "}"), ("[", ""))
            holder[key] = name
            marks[name] = pair[0] * depth + "1" + pair[1] * depth
        elif way == "much":
            size = pick(draw, 10_000, 500_000, 1_040_000, 1_100_000, 3_000_000)
            holder[key] = pick(draw, "a" * size, [0] * (size // 3), {str(i): i for i in range(size // 12)})
        else:
            holder[key] = copy.deepcopy(pick(draw, *NEAR.get(str(key), ()), *NEAR[""]))
    found = json.dumps(root[0])
    for name, raw in marks.items():
        found = found.replace(json.dumps(name), raw)
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(entry, (dict, list)):
            yield from _places(entry)


def json_file(draw: Draw, data: bytes) -> bytes:
    """Spoil a file of JSON."""
    return spoilt_json(draw, data.decode()).encode(errors="surrogatepass")


def text_file(draw: Draw, data: bytes) -> bytes:
    """Put odd words into a text file or take lines out, double them, make them long; save it in another encoding."""
    text = data.decode()
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    lines = text.splitlines(keepends=True) or [""]
    line = draw(st.sampled_from(lines))
    odd = draw(st.sampled_from(TEXTS) | st.text(max_size=9)) * pick(draw, 1, 1, 1, 3000)
    found = pick(draw, text[:start] + text[end:], text[:start] + odd + text[start:], text.replace(line, odd + "\n"))
    found = pick(draw, found, text + line * pick(draw, 1, 2, 30_000), text.replace(line, line[: len(line) // 2]), found)
    return found.encode(pick(draw, "utf-8", "utf-8", "utf-8", "utf-16", "utf-7", "latin-1"), "replace")


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the tensors' bytes of a good safetensors file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: Any, body: bytes) -> bytes:
    """Undo `parts`; `header`: JSON, or text that stands for some."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode(errors="surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def header(draw: Draw, data: bytes) -> bytes:
    """Spoil a safetensors header: entries, shapes, kinds of numbers, places, metadata; or the JSON in the metadata."""
    head, body = parts(data)
    about = head.setdefault("__metadata__", {"format": "pt"})
    key = pick(draw, None, *sorted(about))
    if key is None:
        return joined(spoilt_json(draw, json.dumps(head)), body)
    about[key] = spoilt_json(draw, about[key] if about[key].startswith("{") else json.dumps(about[key]))
    return joined(head, body)


def length(draw: Draw, data: bytes) -> bytes:
    """Let a safetensors header lie about its own length."""
    own = int.from_bytes(data[:8], "little")
    says = (0, 1, 2, own - 1, own + 1, own + 8, 2**20, 2**20 + 1, 2**31, 2**63, 2**64 - 1, len(data))
    return struct.pack("<Q", pick(draw, *says)) + data[8:]


def numbers(draw: Draw, data: bytes) -> bytes:
    """Put NaN, infinities, the largest and the smallest numbers into tensors; or other bytes altogether."""
    head, body = parts(data)
    spoilt = bytearray(body)
    for place in draw(st.lists(st.integers(0, max(0, len(body) // 4 - 1)), min_size=1, max_size=4)):
        spoilt[4 * place : 4 * place + 4] = struct.pack("<f", pick(draw, *ODD_FLOATS))
    noise = (draw(st.binary(min_size=64, max_size=64)) * (len(body) // 64 + 1))[: len(body)]
    return joined(head, pick(draw, bytes(spoilt), bytes(spoilt), noise))


def made(data: bytes, tensors: Mapping[str, tuple[str, Sequence[int]]], **about: Any) -> bytes:
    """Return a consistent module with the metadata of `data`, and `about`. `tensors`: key -> (kind, shape)."""
    head, place, entries = parts(data)[0], 0, {}
    for key, (kind, shape) in tensors.items():
        end = place + _SIZES[kind] * math.prod(shape)
        entries[key] = {"dtype": kind, "shape": shape, "data_offsets": [place, end]}
        place = end
    respo = json.dumps(json.loads(head["__metadata__"]["respo"]) | about)
    header = {"__metadata__": head["__metadata__"] | {"respo": respo}, **entries}
    return joined(json.dumps(header, separators=(",", ":")), (_ONE * (place // 4 + 1))[:place])


def other_shapes(draw: Draw, data: bytes) -> bytes:
    """Let a module's tensor have another shape or kind of number, with the bytes that it then needs."""
    head = parts(data)[0]
    tensors = {key: (entry["dtype"], entry["shape"]) for key, entry in head.items() if key != "__metadata__"}
    for key in draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3)):
        old = tensors[key][1]
        other = pick(draw, old, old[::-1], [math.prod(old)], [*old, 1], [old[0] + 1, *old[1:]], [*old[:-1], 7])
        tensors[key] = (pick(draw, *_SIZES), other)
    return made(data, tensors)


def as_text(data: bytes) -> bytes:
    """Return bytes as a module's text, with the right hash."""
    return f"{PREFIX}:{hashlib.sha256(data).hexdigest()}:{base64.b64encode(zlib.compress(data, 9)).decode()}".encode()


def inside_text(draw: Draw, text: bytes) -> bytes:
    """Spoil the module inside of a text whose hash is right."""
    return as_text(pick(draw, *MODULES)(draw, zlib.decompress(base64.b64decode(text.split(b":")[2]))))


TEXT: tuple[Way, ...] = (text_file, text_file, *BYTES)
JSON: tuple[Way, ...] = (json_file, json_file, json_file, text_file, *BYTES)
TENSORS: tuple[Way, ...] = (*[header] * 6, length, numbers, numbers, *BYTES)
MODULES: tuple[Way, ...] = (*TENSORS, other_shapes, other_shapes)
