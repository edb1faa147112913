"""Check what a node is given against its own schema, before it runs.

The host checks widget values only. Linked values can exceed every limit, and a workflow can put any JSON where a MODEL
belongs.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from comfy_api.latest import io, ui

from ...respo_train.core.errors import RespoError
from ...respo_train.core.files.text import limited
from ...respo_train.core.judge import AnyJudge
from ...respo_train.core.shown import printable
from .wire import LoadedModule

LONGEST_TEXT = 1_000_000  # characters: more than any module needs as text, and still fast to parse
_LONGEST_SHOWN = 80
# Other programs mean "any seed" by -1. Two nodes that each chose one would draw other pictures than they say.
_NO_RANDOM_SEED = (
    " Here -1 does not mean a random seed. Link the seed that the KSampler gets, from a node that draws it (Int with "
    "'control after generate' set to randomize)."
)
_LONE_SURROGATE = re.compile("[\\ud800-\\udfff]")
_JSON = (str, int, float, bool, list, dict, type(None))


def checked(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """Make `node` raise a RespoError that names the input when a value does not fit its schema. Returns `node`."""
    execute = node.execute.__func__

    def run(cls: type[io.ComfyNode], /, **given: Any) -> io.NodeOutput:
        schema = node.GET_SCHEMA()  # not `cls`, which is the host's locked copy
        for wanted in schema.inputs:
            if wanted.id in given and not (wanted.optional and given[wanted.id] is None):
                for value in given[wanted.id] if schema.is_input_list else [given[wanted.id]]:
                    check(wanted, value, wanted.id in own)
        _check_hidden(getattr(cls, "hidden", None))
        try:
            return _printed(execute(cls, **given))
        except OSError as error:
            if error.filename is None:
                raise
            reason = error.strerror or error
            raise RespoError(f"cannot use {error.filename}: {reason}. Check its name and its rights.") from error

    own = inspect.signature(node.validate_inputs).parameters  # what the node checks itself, with its own messages
    functools.update_wrapper(run, execute)
    node.execute = classmethod(run)
    return node


def _printed(output: io.NodeOutput) -> io.NodeOutput:
    """Make the text on a node printable: it names files, and quotes what strangers wrote into them."""
    shown = getattr(output, "ui", None)
    if isinstance(shown, ui.PreviewText):
        shown.value = printable(shown.value)
    elif isinstance(shown, dict) and "text" in shown:
        shown["text"] = tuple(map(printable, shown["text"]))
    return output


def check(wanted: io.Input, value: Any, any_choice: bool = False) -> None:
    """Raise RespoError unless `value` fits the input.

    `any_choice`: skip combos, whose choices the node checks itself, but not null, which `validate_inputs` would take
    for a link, nor what no workflow can hold.
    """
    if any_choice and isinstance(wanted, io.Combo.Input) and value is not None and isinstance(value, _JSON):
        return
    kinds = [kind.strip() for kind in wanted.get_io_type().split(",")]
    if not any(_KINDS.get(kind, _is_object)(value) for kind in kinds):
        raise RespoError(
            f"expected {' or '.join(kinds)} at the input {wanted.id!r}, found {_shown(value)}. Link it again, or "
            "add the node again."
        )
    if isinstance(value, str):
        _check_text(wanted, value)
    elif isinstance(value, (int, float)):
        low, high = getattr(wanted, "min", None), getattr(wanted, "max", None)
        if (low is not None and value < low) or (high is not None and value > high):
            advice = _NO_RANDOM_SEED if wanted.id == "seed" and value < 0 else ""
            raise RespoError(f"expected {wanted.id!r} from {low} to {high}, found {_shown(value)}.{advice}")


def _check_hidden(hidden: Any) -> None:
    """Check extra_pnginfo, which the host takes from the request unchanged and writes into pictures."""
    found = getattr(hidden, "extra_pnginfo", None)
    if not isinstance(found, (dict, type(None))):
        raise RespoError(f"expected the request's 'extra_pnginfo' as an object, found {_shown(found)}. Leave it out.")
    for key in found or ():
        if not key.isascii() or not key.isprintable() or not 0 < len(key) < 80:
            raise RespoError(
                f"expected the keys of 'extra_pnginfo' as 1 to 79 plain letters, as a PNG file can hold them, found "
                f"{key[:80]!r}. Rename or remove it."
            )


def _check_text(wanted: io.Input, value: str) -> None:
    limited(value, repr(wanted.id), LONGEST_TEXT)
    if _LONE_SURROGATE.search(value):  # JSON can hold it; tokenizers, files and pictures cannot
        raise RespoError(f"expected text in {wanted.id!r}, found an unpaired surrogate (U+D800 … U+DFFF). Retype it.")
    choices = getattr(wanted, "options", None)
    if choices and value not in choices:
        raise RespoError(f"expected {wanted.id!r} as one of {', '.join(map(str, choices))}, found {_shown(value)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_latent(value: Any) -> bool:
    samples = value.get("samples") if isinstance(value, dict) else None
    if not isinstance(samples, torch.Tensor) or samples.numel() == 0:
        return False
    index = value.get("batch_index")
    if index is not None and not (isinstance(index, Sequence) and all(isinstance(one, int) for one in index)):
        return False
    # One with five dimensions is a video, or (Qwen-Image's) a picture as a video of one frame.
    return samples.ndim == 4 or (samples.ndim == 5 and samples.shape[2] == 1)


def _is_image(value: Any) -> bool:
    """Return whether a value is pictures, `[images, height, width, channels]`."""
    return isinstance(value, torch.Tensor) and value.ndim == 4 and 1 <= value.shape[3] <= 4


def _is_conditioning(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], torch.Tensor) for entry in value
    )


def _has(*names: str) -> Callable[[Any], bool]:
    """Return a check for an object that another pack may have made: whether it has what we use of it."""
    return lambda value: _is_object(value) and all(hasattr(value, name) for name in names)


def _is_object(value: Any) -> bool:
    """Return whether a value came from a link: a value that JSON can hold cannot be a model."""
    return not isinstance(value, _JSON)


def _is_a(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _shown(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("samples"), torch.Tensor):
        return f"one of the shape {tuple(value['samples'].shape)}{' with a batch_index' * ('batch_index' in value)}"
    if isinstance(value, torch.Tensor):
        return f"a tensor of the shape {tuple(value.shape)}"
    return (
        f"{type(value).__name__} {str(value)[:_LONGEST_SHOWN]!r}" if isinstance(value, _JSON) else type(value).__name__
    )


_KINDS: dict[str, Callable[[Any], bool]] = {
    "STRING": _is_a(str),
    "COMBO": _is_a(str),
    "BOOLEAN": _is_a(bool),
    "INT": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "FLOAT": _is_number,
    "IMAGE": _is_image,
    "MASK": _is_a(torch.Tensor),
    "SIGMAS": _is_a(torch.Tensor),
    "LATENT": _is_latent,
    "CONDITIONING": _is_conditioning,
    "MODEL": _has("clone", "get_model_object", "model_options"),
    "CLIP": _has("tokenize"),
    "VAE": _has("decode"),
    "RESPO_RECORD": _has("run", "calls", "sha256"),
    "RESPO_MODULE": _is_a(LoadedModule),
    "RESPO_JUDGE": lambda value: isinstance(value, AnyJudge),
    "*": lambda value: True,
}
