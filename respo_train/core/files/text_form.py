"""A module as text, small enough to be stored in a workflow: "respo1:<SHA-256>:<base64>".

The base64 is the zlib-compressed module file with float16 tensors; the SHA-256 is of that file. Only what applying the
module needs is stored and read: tensors, names, words, architecture, and where it came from.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ..errors import ModuleFileError, RespoError
from ..module.attribute import Attribute
from .checkpoint import from_bytes, to_bytes

PREFIX = "respo1"
MAX_CHARACTERS = 256 * 1024
_MAX_BYTES = 2**20  # of the module file inside. Only a decompression bomb is larger: no such module fits into the text
_TEXT = re.compile(rf"{PREFIX}:([0-9a-f]{{64}}):([0-9A-Za-z+/]+={{0,2}})")
# The entries of an attribute's `training` that are kept.
_DESCRIBES = ("objective", "recipe", "licence", "half", "strength")
_DIGITS = 5  # digits of a fingerprint that are kept: other checkpoints differ in the fourth digit of the cosine
_LONGEST = 200


def to_text(attribute: Attribute) -> str:
    """Return `attribute` as ASCII text, with its numbers rounded to float16.

    Raises RespoError for whatever `from_text` would refuse: above all, a text longer than MAX_CHARACTERS. The message
    says how to shorten it.
    """
    data = to_bytes(_essential(attribute), torch.float16)
    text = f"{PREFIX}:{hashlib.sha256(data).hexdigest()}:{base64.b64encode(zlib.compress(data, 9)).decode()}"
    if len(data) > _MAX_BYTES or len(text) > MAX_CHARACTERS:
        has_maps = any(concept.map is not None for concept in attribute.concepts.values())
        raise RespoError(
            f"expected a module of at most {MAX_CHARACTERS >> 10} kB as text and {_MAX_BYTES >> 10} kB unpacked, but "
            f"{attribute.name!r} has {len(text) >> 10} and {len(data) >> 10} kB. "
            "Choose the form 'low rank' with a smaller rank, or 'channel'"
            + ("; its maps of h keep their size, so if that is not enough, pass it on as a file." if has_maps else ".")
        )
    from_text(text)
    return text


def from_text(text: str) -> Attribute:
    """Parse what `to_text` wrote. White space in it is ignored, because mails and chats break lines.

    Raises ModuleFileError for anything else, saying what is wrong.
    """
    if not isinstance(text, str):  # a workflow's JSON may hold anything
        raise ModuleFileError(f"expected a module's text, found {type(text).__name__}.")
    if len(text) > 2 * MAX_CHARACTERS:
        raise ModuleFileError(
            f"expected a module's text of at most {MAX_CHARACTERS >> 10} kB, found {len(text) >> 10}."
        )
    found = _TEXT.fullmatch("".join(text.split()))
    if found is None or len(found[0]) > MAX_CHARACTERS:
        raise ModuleFileError(_not_a_module(text.strip()))
    data = _inflated(found[2])
    if hashlib.sha256(data).hexdigest() != found[1]:
        raise ModuleFileError("the module's text was changed on its way: its SHA-256 does not match. Copy it again.")
    return _essential(from_bytes(data, "the module in the text"))


def _not_a_module(text: str) -> str:
    if not text:
        return "expected a module's text, found none. Module To Text makes it; paste it here."
    if re.match(r"respo[2-9]\d{0,3}:", text):
        return f"this text needs a newer Respo ({text.split(':')[0]}; this one reads {PREFIX})."
    return (
        f"expected a module's text, '{PREFIX}:' and two blocks of letters and digits, found {text[:40]!r} and "
        f"{max(len(text) - 40, 0)} more characters. Copy all of what Module To Text shows."
    )


def _inflated(block: str) -> bytes:
    """Undo base64 and zlib without ever holding more than _MAX_BYTES. Raises ModuleFileError."""
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b64decode(block, validate=True), _MAX_BYTES + 1)
    except (binascii.Error, zlib.error) as error:
        raise ModuleFileError(
            f"the module's text is damaged or cut off ({error}). Copy it again, all of it."
        ) from error
    if not inflate.eof or inflate.unused_data or len(data) > _MAX_BYTES:
        raise ModuleFileError(
            f"the module's text is cut off, or holds more than the {_MAX_BYTES >> 10} kB that a module has room for. "
            "Copy it again, all of it, from a source that you trust."
        )
    return data


def _essential(attribute: Attribute) -> Attribute:
    """Drop what only training needs, and anything else that a stranger may have added."""
    base = {key: _short(attribute.base[key]) for key in ("name", "sha256") if isinstance(attribute.base.get(key), str)}
    if "name" in base:
        base["name"] = re.split(r"[/\\]", base["name"])[-1]  # without the folder, which is private
    points = attribute.base.get("fingerprint")
    fingerprint = {"fingerprint": [float(f"{x:.{_DIGITS}g}") for x in points]} if points else {}
    training: Mapping[str, Any] = attribute.training
    told = {key: training[key] for key in _DESCRIBES if isinstance(training.get(key), (str, float))}
    kept: dict[str, Any] = {key: _short(value) if isinstance(value, str) else value for key, value in told.items()}
    if isinstance(imported := training.get("imported"), Mapping):  # Balance and Safety ask on which half it acts
        away = imported.get("away")
        away = {name: away[name] for name in attribute.concepts if name in away} if isinstance(away, Mapping) else {}
        kept["imported"] = {"away": {name: _short(str(what)) for name, what in away.items()}}
    return replace(attribute, base={**base, **fingerprint}, training=kept)


def _short(text: str) -> str:
    return text[:_LONGEST]
