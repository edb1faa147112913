"""A small valid graph around any node, made from what the server says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from benchmarks.api_format import WIDGET_TYPES
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.files.shrink import shrunk
from respo_train.core.files.text_form import to_text

from .explore import corpus

Prompt = dict[str, dict[str, Any]]
Info = Mapping[str, Any]
TARGET = "target"
MODULE, TAKEN = "emoji_world_gender.safetensors", "taken.safetensors"
FOREIGN = "foreign.pt"  # another project's file
# The usual ones are in every prompt, so that the host keeps what it has loaded from one to the next. The odd ones are
# of the right type, and yet not what one expects.
SOURCES, ODD_SOURCES = (cast(Prompt, corpus("sources")[name]) for name in ("usual", "odd"))
SLOTS = {"MODEL": ("checkpoint", 0), "CLIP": ("checkpoint", 1), "VAE": ("checkpoint", 2), "CONDITIONING": ("words", 0)}
SLOTS |= {"*": ("string", 0)}
SLOTS |= {name.upper(): (name, 0) for name in SOURCES if name not in ("checkpoint", "words")}
FITTING: dict[str, list[list[Any]]] = {
    "IMAGE": [["image", 0], ["wide", 0], ["pixel", 0]],
    "MASK": [["mask", 0], ["dot", 0]],
    "LATENT": [["latent", 0], ["video", 0], ["thin", 0]],
    "CONDITIONING": [["words", 0], ["no_words", 0]],
    "RESPO_MODULE": [["safety", 0], ["other_model", 0]],
    "MODEL": [["checkpoint", 0]],
}
MODULES = Path(__file__).resolve().parents[2] / "emoji_world" / "modules"
# What a node needs beside its defaults. Train Module meets a file that it must not replace, so that it trains nothing.
GIVEN: dict[str, dict[str, Any]] = {
    "RespoTrainModule": {"steps": 1, "preview_every": 0, "existing": "refuse", "name": TAKEN},
    "RespoLoadModule": {"module": MODULE},
    "RespoImportModule": {"file": FOREIGN, "name": "imported"},
    "RespoModuleFromText": {"text": to_text(shrunk(load_attribute(MODULES / MODULE), "channel"))},
    "RespoRecordRun": {"sampler_name": "euler", "scheduler": "normal", "cfg": 3.0, "seed": 1},  # as KSampler below
}


def respo_nodes(info: Info) -> list[str]:
    """Ids of the pack's nodes, sorted."""
    return sorted(name for name in info if name.startswith("Respo"))


def inputs_of(description: Mapping[str, Any]) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Yield each input's name, the types that it takes, and its options."""
    for group in ("required", "optional"):
        for name, (kind, *rest) in description["input"].get(group, {}).items():
            options = dict(rest[0]) if rest else {}
            if isinstance(kind, list):  # how older nodes write a list of choices
                options, kind = {"options": kind, **options}, "COMBO"
            yield name, [part.strip() for part in kind.split(",")], options


def valid_graph(info: Info, node_id: str, sampled: bool = False) -> Prompt:
    """Return a prompt that runs `node_id` as the node "target" and shows all that comes out of it.

    `sampled`: its MODEL, if it has one, also draws one step of two small pictures.
    """
    prompt: Prompt = {key: {**node, "inputs": dict(node["inputs"])} for key, node in (SOURCES | ODD_SOURCES).items()}
    _add(prompt, info, node_id, TARGET, (node_id,))
    for slot in range(len(info[node_id]["output"])):
        prompt[f"show_{slot}"] = {"class_type": "PreviewAny", "inputs": {"source": [TARGET, slot]}}
    if sampled and "MODEL" in info[node_id]["output"]:
        prompt |= _sampled([TARGET, info[node_id]["output"].index("MODEL")])
    return prompt


def _sampled(model: list[Any]) -> Prompt:
    numbers = {"seed": 1, "steps": 1, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    given = {"model": model, "positive": ["words", 0], "negative": ["no_words", 0], "latent_image": ["latent", 0]}
    return {
        "draw": {"class_type": "KSampler", "inputs": {**numbers, **given}},
        "show_drawn": {"class_type": "PreviewAny", "inputs": {"source": ["draw", 0]}},
    }


def _add(prompt: Prompt, info: Info, node_id: str, key: str, path: tuple[str, ...]) -> None:
    """Add a node, and whatever it takes that is not in the prompt yet. `path`: the nodes that are being added.

    Of several inputs of one type, those that may be empty stay so: the same module twice makes no sense. So does a text
    that only a link brings.
    """
    inputs: dict[str, Any] = {}
    required = info[node_id]["input"].get("required", {})
    for name, kinds, options in inputs_of(info[node_id]):
        if any(kind in WIDGET_TYPES for kind in kinds) and not options.get("forceInput"):
            inputs[name] = _default(name, kinds, options)
            continue
        if name not in required and "STRING" in kinds:
            continue
        link = next((link for kind in kinds if (link := _source(prompt, info, kind, path)) is not None), None)
        if link is not None and (name in required or link not in inputs.values()):
            inputs[name] = link
    prompt[key] = {"class_type": node_id, "inputs": {**inputs, **GIVEN.get(node_id, {})}}


def _source(prompt: Prompt, info: Info, kind: str, path: tuple[str, ...]) -> list[Any] | None:
    """Return a link to something of type `kind`: a source, else one of our own nodes that makes it."""
    if kind in SLOTS:
        return list(SLOTS[kind])
    makers = [name for name in respo_nodes(info) if kind in info[name]["output"] and name not in path]
    makers.sort(key=lambda name: (name != "RespoLoadModule", len(info[name]["input"].get("required", {}))))
    for maker in makers:
        key = f"from_{maker}"
        if key not in prompt:
            _add(prompt, info, maker, key, (*path, maker))
        return [key, info[maker]["output"].index(kind)]
    return None


def _default(name: str, kinds: list[str], options: Mapping[str, Any]) -> Any:
    if name == "steps":
        return max(1, options.get("min", 1))  # nobody waits for pictures here
    if "default" in options:
        return options["default"]
    if options.get("options"):
        return options["options"][0]
    return {"STRING": "", "INT": options.get("min", 0), "FLOAT": options.get("min", 0.0)}.get(kinds[0], False)
