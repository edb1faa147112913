"""Every picture keeps its person in the graphs that people wire: on a real server, seen by the bench's judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.comfy_server import ComfyServer
from benchmarks.graph import BASE_MODEL, Graph, Link, balanced, loaded, node, sampled, saved
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.evaluation.drawn import to_tensor
from respo_train.judges.emoji_world import load_judge
from setup_steps.host import link_pack

JUDGE = Path(__file__).resolve().parents[2] / "emoji_world" / "judges" / "judge.safetensors"
MODULE = "emoji_world_gender.safetensors"
PROMPT = "a photo of a doctor"
SHARES = "woman 1, man 1"
RIGHT = 0.95  # the least share of pictures as labelled
FOLLOW = {"seed_from": "the sampler"}


@pytest.fixture(scope="module")
def tiling_server(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server that has a node for tiles, too."""
    packs = {"custom_nodes": Path(__file__).parent / "packs"}
    both = ["--whitelist-custom-nodes", link_pack(comfy_path), "tiles"]
    with ComfyServer(tmp_path_factory.mktemp("tiles"), host=comfy_path, model_folders=packs, extra=both) as running:
        yield running


def drawn(graph: Graph, name: str, model: Link, seed: int, latent: Sequence[Any] = ("latent", 0), **more: Any) -> Link:
    """Add a sampler, and what saves its pictures under `name`."""
    sampler = sampled(graph, name, model, PROMPT, "", seed, latent)
    graph[f"sampler {name}"]["inputs"].update(more)
    saved(graph, name, sampler, filename_prefix="every")
    return [f"decode {name}", 0]


def shown(pictures: np.ndarray) -> list[str]:
    """Return the gender that the judge sees in each picture."""
    return list(load_judge(JUDGE).verdicts(to_tensor(pictures))["gender"].labels)


def labels_of(seed: int, count: int) -> list[str]:
    """Return what pictures get under a seed."""
    return assign(seed, count, parse_shares(SHARES))


def require_right(labels: Sequence[str], seen: Sequence[str]) -> None:
    """Fail unless the pictures show what they were labelled with, and the labels are not all the same."""
    assert len(set(labels)) == 2
    right = sum(a == b for a, b in zip(labels, seen, strict=True))
    assert right >= RIGHT * len(labels), f"{right} of {len(labels)} as labelled: {labels}, {seen}"


def test_context_windows(tiling_server: ComfyServer) -> None:
    graph = loaded(16)
    settings = {"context_schedule": "standard_static", "context_stride": 1, "closed_loop": False}
    settings |= {"context_length": 6, "context_overlap": 2, "fuse_method": "pyramid", "dim": 0}
    known = tiling_server.object_info()["ContextWindowsManual"]["input"]["required"]  # newer hosts want more
    defaults = {name: more[0]["default"] for name, (_, *more) in known.items() if more and "default" in more[0]}
    graph["windows"] = node("ContextWindowsManual", model=balanced(graph, MODULE, 20, 16), **{**defaults, **settings})
    drawn(graph, "windows drawn", ["windows", 0], 20, steps=15, scheduler="normal")  # this host wants 16 sigmas
    found = tiling_server.pictures(tiling_server.run(graph), "windows drawn")
    require_right(labels_of(20, 16), shown(found))


def test_eight_faces_detailed_one_by_one(tiling_server: ComfyServer) -> None:
    """What detailers do: each picture alone, encoded again, with the seed S + i."""
    graph, seed = loaded(8), 33
    model = balanced(graph, MODULE, seed, 8, **FOLLOW)
    first = drawn(graph, "first", model, seed)
    for index in range(8):
        graph[f"face {index}"] = node("ImageFromBatch", image=first, batch_index=index, length=1)
        graph[f"again {index}"] = node("VAEEncode", pixels=[f"face {index}", 0], vae=["checkpoint", 2])
        drawn(graph, f"detailed {index}", model, seed + index, (f"again {index}", 0), denoise=0.6)
    entry = tiling_server.run(graph)
    require_right(labels_of(seed, 8), shown(tiling_server.pictures(entry, "first")))
    detailed = [tiling_server.pictures(entry, f"detailed {index}") for index in range(8)]
    require_right(labels_of(seed, 8), shown(np.concatenate(detailed)))


@pytest.mark.slow
def test_tiles_one_and_four_at_a_time(tiling_server: ComfyServer) -> None:
    """Four squares side by side, each drawn like a picture of its own: all four show their picture's person."""
    graph, seed = loaded(4), 20
    graph["latent"]["inputs"]["width"] *= 4
    model = balanced(graph, MODULE, seed, 4)
    for together in (1, 4):
        graph[f"tiles {together}"] = node("TestTiles", model=model, together=together)
        drawn(graph, f"tiled {together}", [f"tiles {together}", 0], seed)
    entry = tiling_server.run(graph)
    one, four = (tiling_server.pictures(entry, f"tiled {together}") for together in (1, 4))
    assert np.abs(one.astype(int) - four).max() <= 2
    labels = [label for label in labels_of(seed, 4) for _ in range(4)]
    require_right(labels, shown(np.concatenate([np.stack(np.split(picture, 4, axis=1)) for picture in one])))


@pytest.mark.slow
def test_a_list_of_latents(tiling_server: ComfyServer) -> None:
    graph, seed = loaded(6), 20
    graph["list"] = node("RebatchLatents", latents=["latent", 0], batch_size=1)
    model = balanced(graph, MODULE, seed, 1, latent=["list", 0])
    drawn(graph, "listed", model, seed, ("list", 0))
    require_right(labels_of(seed, 6), shown(tiling_server.pictures(tiling_server.run(graph), "listed")))


def test_latents_from_a_batch_with_labels_given(tiling_server: ComfyServer) -> None:
    graph, seed = loaded(8), 33
    graph["assign"] = node("RespoAssignLabels", distribution=SHARES, seed=seed, count=8)
    graph["some"] = node("LatentFromBatch", samples=["latent", 0], batch_index=2, length=4)
    model = balanced(graph, MODULE, 0, 1, labels=["assign", 0], latent=["some", 0])
    drawn(graph, "picked", model, 5, ("some", 0))
    found = tiling_server.pictures(tiling_server.run(graph), "picked")
    require_right(labels_of(seed, 8)[2:6], shown(found))


def test_a_plot_over_seeds_follows_them(tiling_server: ComfyServer) -> None:
    graph, seeds = loaded(1), [3, 11, 20, 33, 58, 71]
    model = balanced(graph, MODULE, 0, 1, **FOLLOW)
    for seed in seeds:
        drawn(graph, f"plot {seed}", model, seed)
    entry = tiling_server.run(graph)
    found = np.concatenate([tiling_server.pictures(entry, f"plot {seed}") for seed in seeds])
    require_right([label for seed in seeds for label in labels_of(seed, 1)], shown(found))


@pytest.mark.slow
def test_twelve_queued_pictures(tiling_server: ComfyServer) -> None:
    """One picture a prompt, consecutive seeds, the seed of the sampler alone: the shares hold over the queue."""
    found = []
    for seed in range(40, 52):
        graph = loaded(1)
        drawn(graph, "queued", balanced(graph, MODULE, 0, 1, **FOLLOW), seed)
        found.append(tiling_server.pictures(tiling_server.run(graph), "queued"))
    labels = labels_of(40, 12)
    assert all(abs(labels[:n].count("woman") - n / 2) <= 1 for n in range(13))
    require_right(labels, shown(np.concatenate(found)))


def test_least_change(tiling_server: ComfyServer) -> None:
    """Only the pictures that have to change do; the others are those of the unmodified model, bit for bit."""
    graph, seed = loaded(12), 7
    graph["judge"] = node("RespoLoadJudge", judge="Emoji World")
    before = drawn(graph, "before", BASE_MODEL, seed)
    wires = {"images": before, "judge": ["judge", 0]}
    graph["assign"] = node("RespoAssignLabels", distribution=SHARES, seed=seed, count=1, **wires)
    drawn(graph, "after", balanced(graph, MODULE, 0, 1, labels=["assign", 1]), seed)
    graph["told"] = node("PreviewAny", source=["assign", 0])
    entry = tiling_server.run(graph)
    was, now = (tiling_server.pictures(entry, name) for name in ("before", "after"))
    same = [bool((a == b).all()) for a, b in zip(was, now, strict=True)]
    habit, labels = shown(was), entry["outputs"]["told"]["text"][0].splitlines()
    assert sorted(labels) == ["man"] * 6 + ["woman"] * 6
    assert same == [a == b for a, b in zip(habit, labels, strict=True)]
    assert sum(same) == sum(min(6, habit.count(name)) for name in ("woman", "man")) < 12
    require_right(labels, shown(now))
