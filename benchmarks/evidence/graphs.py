"""A method and an ask, as graphs of the server's API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.graph import CLIP, DEFAULTS, GUIDANCE, STEPS, Graph, Link, loaded, node, sampled
from benchmarks.graph import saved as save_pictures
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.gate.is_open import is_open

from .asks import ALONE, CONCEPTS, TASKS, WEAPONS, WORDS, Ask, size_of
from .attention import calibration, pairs
from .bench import MODULES
from .methods import SHIPPED, Method

Files = Mapping[str, str]  # attribute -> module file
SAVED = "evidence"  # the folder in the server's output


@dataclass(frozen=True)
class Piece:
    """One prompt for the server. `saved`: (node, pictures that it saves, numbered within the ask)."""

    graph: Graph
    saved: tuple[tuple[str, tuple[int, ...]], ...]


def pieces(method: Method, ask: Ask, files: Files, batch: int) -> list[Piece]:
    """Return what has to run for an ask, at most `batch` pictures at a time.

    Picture i of an ask starts from the same noise whichever method draws it.
    """
    starts = range(0, ask.count, batch)
    return [_piece(method, ask, files, start, min(batch, ask.count - start)) for start in starts]


def _piece(method: Method, ask: Ask, files: Files, start: int, count: int) -> Piece:
    if method.how == "plain":
        return _whole(method, ask, _loaded(method, ask, count), ["checkpoint", 0], start, count)
    if method.how == "attention":
        return _attention(method, ask, start, count)
    draw = _modules if method.how == "modules" else _apart
    return draw(method, ask, files, start, count)


def _whole(method: Method, ask: Ask, graph: Graph, model: Link, start: int, count: int) -> Piece:
    """Draw all pictures at once by a model of the graph."""
    save_pictures(graph, "all", _sampled(method, graph, "all", model, ask.prompt, "", ask.seed + start))
    return Piece(graph, (("all", tuple(range(start, start + count))),))


def _attention(method: Method, ask: Ask, start: int, count: int) -> Piece:
    """Draw by the benchmark's own nodes, see `server_nodes`. Raises ValueError for several attributes at once."""
    ((attribute, _),) = ask.shares
    wires: dict[str, Any] = {"model": ["checkpoint", 0], "clip": CLIP}
    prompts = {"pairs": json.dumps(pairs(attribute)), "calibration": json.dumps(calibration(attribute))}
    sampling = {"sampler_name": method.network.sampler, "scheduler": method.network.scheduler}
    graph = _loaded(method, ask, count)
    graph["known"] = node("EvidenceEquiSteerVectors", **wires, **prompts, **sampling, steps=STEPS, cfg=GUIDANCE)
    wanted = "\n".join(name for (name,) in ask.wishes(start, count))
    graph["changed"] = node(
        "EvidenceEquiSteer", model=["checkpoint", 0], known=["known", 0], wanted=wanted, **method.inputs
    )
    return _whole(method, ask, graph, ["changed", 0], start, count)


def _loaded(method: Method, ask: Ask, count: int) -> Graph:
    return loaded(count, method.network, size_of(ask.part))


def _sampled(
    method: Method, graph: Graph, name: str, model: Link, positive: str, negative: str, seed: int, **more: Any
) -> Link:
    return sampled(graph, name, model, positive, negative, seed, network=method.network, **more)


def _modules(method: Method, ask: Ask, files: Files, start: int, count: int) -> Piece:
    graph, seed, text = _loaded(method, ask, count), ask.seed + start, ask.prompt
    enabled: Any = True
    if TASKS[ask.part].gate:
        graph["gate"] = node("RespoGate", module=["module 1", 0], prompt=text, words="")
        enabled = ["gate", 0]
    if WEAPONS in TASKS[ask.part].attributes:
        settings = {"level": "strong", "start_percent": 0.0, "end_percent": 1.0, **method.safety}
        switch = {f"{WEAPONS} ({files[WEAPONS]})": True}
        graph["changed"] = node("RespoSafety", model=["checkpoint", 0], enabled=True, **settings, **switch)
        where = method.where_of_safety
    else:
        graph |= _balance(method, ask, files, seed, count, enabled)
        where = method.where.get(ask.part)
    model = ["changed", 0]
    if where is not None or method.background is not None:
        _sampled(method, graph, "record", ["checkpoint", 0], text, "", seed, sampler="RespoRecordRun")
        model = _held_to_record(graph, model, where, method, enabled)
    return _whole(method, ask, graph, model, start, count)


def _balance(method: Method, ask: Ask, files: Files, seed: int, count: int, enabled: Any) -> Graph:
    graph: Graph = {}
    inputs: dict[str, Any] = {**DEFAULTS, "enabled": enabled, "seed": seed, "count": count, **method.balance}
    if ask.part in method.strengths:
        inputs["strength"] = method.strengths[ask.part]
    for number, (attribute, shares) in enumerate(ask.shares, 1):
        graph[f"module {number}"] = node("RespoLoadModule", module=files[attribute])
        suffix = "" if number == 1 else f"_{number}"
        inputs |= {f"module{suffix}": [f"module {number}", 0], f"distribution{suffix}": shares}
    return {**graph, "changed": node("RespoBalance", model=["checkpoint", 0], **inputs)}


def _held_to_record(
    graph: Graph, model: list[Any], where: float | None, method: Method, enabled: Any, suffix: str = ""
) -> list[Any]:
    record = [f"sampler record{suffix}", 1]
    if method.background is not None:
        settings = {"strength": method.background, "levels": method.levels, "start_percent": 0.0, "end_percent": 1.0}
        graph[f"background{suffix}"] = node(
            "RespoBackground", model=model, guidance="both", enabled=enabled, record=record, **settings
        )
        model = [f"background{suffix}", 0]
    if where is not None:
        graph["where"] = node("RespoWhere", model=model, words="", threshold=where, enabled=enabled, record=record)
        model = ["where", 0]
    return model


def _apart(method: Method, ask: Ask, files: Files, start: int, count: int) -> Piece:
    """Draw the pictures of each concept (combination) apart, as they differ in their prompts, on their own noise."""
    graph, seed = _loaded(method, ask, count), ask.seed + start
    wishes, saved = ask.wishes(start, count), []
    for number, concepts in enumerate(dict.fromkeys(wishes)):
        own = [index for index, wish in enumerate(wishes) if wish == concepts]
        latent = _taken(graph, f"latent {number}", own, count)
        positive, negative = texts(method, ask, concepts)
        name, model = str(number), ["checkpoint", 0]
        if method.how == "applied":
            _sampled(
                method, graph, f"record {name}", model, positive, "", seed, latent=latent, sampler="RespoRecordRun"
            )
            model = _applied(method, ask, files, graph, name, concepts)
        save_pictures(graph, name, _sampled(method, graph, name, model, positive, negative, seed, latent=latent))
        saved.append((name, tuple(start + index for index in own)))
    return Piece(graph, tuple(saved))


def _applied(method: Method, ask: Ask, files: Files, graph: Graph, name: str, concepts: Sequence[str]) -> list[Any]:
    """Add a module's concept and the record's background; return the link to the changed model."""
    ((attribute, _),), (concept,) = ask.shares, concepts
    graph["module"] = node("RespoLoadModule", module=files[attribute])
    settings = {"fidelity": 1.0, "start_percent": 0.0, "end_percent": 1.0, "guidance": "module's own", "enabled": True}
    wires = {"model": ["checkpoint", 0], "module": ["module", 0]}
    graph[f"changed {name}"] = node("RespoApplyModule", **wires, concept=concept, **{**settings, **method.inputs})
    return _held_to_record(graph, [f"changed {name}", 0], None, method, True, f" {name}")


def texts(method: Method, ask: Ask, concepts: Sequence[str]) -> tuple[str, str]:
    """Return the prompt and the negative prompt for pictures that are given these concepts, one an attribute."""
    given = dict(zip((attribute for attribute, _ in ask.shares), concepts, strict=True))
    if method.only_open:
        given = {attribute: name for attribute, name in given.items() if leaves_open(attribute, ask.prompt)}
        if not given:
            return ask.prompt, ""
    if method.how == "words":
        words = " ".join(WORDS[attribute].format(name) for attribute, name in reversed(given.items()))
        return re.sub(r"^(a photo of) an? ", rf"\1 a {words} ", ask.prompt), ""
    if method.how == "applied":
        return ask.prompt, ""
    if WEAPONS in TASKS[ask.part].attributes:
        return ask.prompt, ALONE[WEAPONS]
    others = [ALONE[a].format(name) for a, own in given.items() for name in CONCEPTS[a] if name != own]
    return ask.prompt, ", ".join(others)


@cache
def leaves_open(attribute: str, prompt: str) -> bool:
    """Say whether to the Gate, with the shipped module, a prompt leaves an attribute open."""
    return is_open(load_attribute(MODULES / SHIPPED[attribute]), prompt).open


def _taken(graph: Graph, name: str, indices: Sequence[int], count: int) -> list[Any]:
    """Add nodes that take pictures out of the batch; they keep the noise that they had in there."""
    if len(indices) == count:
        return ["latent", 0]
    joined: list[Any] | None = None
    for index in indices:
        graph[f"{name} {index}"] = node("LatentFromBatch", samples=["latent", 0], batch_index=index, length=1)
        one = [f"{name} {index}", 0]
        if joined is not None:
            graph[f"{name} to {index}"] = node("LatentBatch", samples1=joined, samples2=one)
            one = [f"{name} to {index}", 0]
        joined = one
    assert joined is not None
    return joined
