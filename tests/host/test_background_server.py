"""Record Run and Background in servers that a user would start, whatever they keep of earlier runs."""

from __future__ import annotations

import re
import time

import pytest

from benchmarks.comfy_server import ComfyServer, PromptFailed

HALFWAY = re.compile(r"\b[1-9]\d?%\|")  # the host's progress bar, neither 0 % nor 100 %
WHERE = {"words": "", "threshold": 0.3}
CACHES = {"lru": ["--cache-lru", "10"], "none": ["--cache-none"]}


@pytest.fixture(scope="module")
def forgetful_server(comfy_path, tmp_path_factory):
    """A server that keeps no results."""
    with ComfyServer(tmp_path_factory.mktemp("none"), host=comfy_path, extra=CACHES["none"]) as running:
        yield running


# "lru" keeps more than "default" does; a record that is used from what was kept is seen with either.
@pytest.fixture(scope="module", params=["default", pytest.param("lru", marks=pytest.mark.slow), "none"])
def caching_server(request, server, forgetful_server, comfy_path, tmp_path_factory):
    """A server with one of the host's ways of keeping results."""
    if request.param == "lru":
        with ComfyServer(tmp_path_factory.mktemp("lru"), host=comfy_path, extra=CACHES["lru"]) as running:
            yield running
    else:
        yield {"default": server, "none": forgetful_server}[request.param]


def graph(seed, first="before", steps=3, strength=0.35):
    """Two nodes that save: "before", the recorded run, and "after", held to it. `first` has the smaller id."""
    save = {"before": "8", "after": "9"} if first == "before" else {"before": "9", "after": "8"}
    sampler = {"seed": seed, "steps": steps, "cfg": 3.0, "sampler_name": "heun", "scheduler": "normal", "denoise": 1.0}
    sampler |= {"positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    given = {"start_percent": 0.0, "end_percent": 1.0, "guidance": "both", "enabled": True}
    module = {"module": ["11", 0], "concept": "", "strength": 1.0, "fidelity": 1.0}
    prompt = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "emoji_world.safetensors"}),
        "2": ("CLIPTextEncode", {"text": "a photo of a doctor", "clip": ["1", 1]}),
        "3": ("CLIPTextEncode", {"text": "", "clip": ["1", 1]}),
        "4": ("EmptyLatentImage", {"width": 128, "height": 128, "batch_size": 2}),
        "5": ("RespoRecordRun", {"model": ["1", 0], **sampler}),
        "6": ("RespoBackground", {"model": ["12", 0], "strength": strength, "levels": 1, **given, "record": ["5", 1]}),
        "7": ("KSampler", {"model": ["6", 0], **sampler}),
        save["before"]: ("SaveImage", {"images": ["13", 0], "filename_prefix": "before"}),
        save["after"]: ("SaveImage", {"images": ["14", 0], "filename_prefix": "after"}),
        "11": ("RespoLoadModule", {"module": "emoji_world_gender.safetensors"}),
        "12": ("RespoApplyModule", {"model": ["1", 0], **module, **given}),
        "13": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "14": ("VAEDecode", {"samples": ["7", 0], "vae": ["1", 2]}),
    }
    return {key: {"class_type": kind, "inputs": values} for key, (kind, values) in prompt.items()}, save


def draw(server, *given, **named):
    """{"before": its pixels, "after": …} of a graph; what is cached is drawn from there."""
    prompt, save = graph(*given, **named)
    entry = server.run(prompt)
    return {name: [picture.tobytes() for picture in server.images(entry, key)] for name, key in save.items()}


@pytest.fixture(scope="module")
def fresh(forgetful_server):
    """What a server draws that knows of nothing before: {seed: …}."""
    return {seed: draw(forgetful_server, seed) for seed in (1, 2)}


def test_pictures_do_not_depend_on_what_came_before(caching_server, fresh):
    for seed in (1, 2, 1):
        assert draw(caching_server, seed) == fresh[seed]
    assert fresh[1]["before"] != fresh[1]["after"] != fresh[2]["after"]


def test_order_of_outputs(caching_server, fresh):
    for first in ("after", "before"):
        assert draw(caching_server, 1, first=first) == fresh[1]


@pytest.mark.parametrize("run", [1, 2])
def test_after_a_cancel_in_the_middle(caching_server, fresh, run):
    """Of the recorded run, and of the one that follows it."""
    prompt, _ = graph(1, steps=25)
    started = len(caching_server.log)
    prompt_id = caching_server.queue(prompt)
    if run == 2:
        wait_for(lambda: "100%|" in caching_server.log[started:])
        started += caching_server.log[started:].rindex("100%|")
    wait_for(lambda: HALFWAY.search(caching_server.log[started:]))
    caching_server.interrupt()
    with pytest.raises(PromptFailed, match="interrupted"):
        caching_server.wait(prompt_id)
    assert draw(caching_server, 1) == fresh[1]


def wait_for(ready):
    """Until it is so; two minutes at most."""
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_another_strength_costs_one_run(caching_server, request):
    """The record is drawn from the cache, where there is one.

    Without one it is drawn twice, for the picture before and for the node: the host keeps nothing for an input that it
    is asked for late, and only so can a node that is off do without it.
    """
    draw(caching_server, 1)
    before = runs_in(caching_server.log)
    draw(caching_server, 1, strength=0.2)
    assert runs_in(caching_server.log) - before == (3 if "none" in request.node.name else 1)


def runs_in(log):
    """How many times the host's bar has begun; how often it says 100 % depends on the machine."""
    return len(re.findall(r"(?<!\d)0%\|", log))


def test_a_record_of_another_seed_is_refused_on_the_node(caching_server):
    prompt, _ = graph(1)
    prompt["7"]["inputs"]["seed"] = 2
    with pytest.raises(PromptFailed) as caught:
        caching_server.run(prompt)
    assert "another seed" in str(caught.value.node_errors["7"])


@pytest.mark.parametrize("node", ["RespoBackground", "RespoWhere"])
def test_nothing_is_recorded_for_a_node_that_is_off(server, node):
    """The run to record would fail; with the node off nobody asks for it."""
    prompt, save = graph(1)
    del prompt[save["before"]], prompt["13"]
    prompt["20"] = {"class_type": "RespoWhere", "inputs": {"model": ["1", 0], **WHERE, "enabled": True}}
    prompt["5"]["inputs"]["model"] = ["20", 0]
    if node == "RespoWhere":
        prompt["6"] = {"class_type": node, "inputs": {"model": ["12", 0], **WHERE, "record": ["5", 1]}}
    prompt["6"]["inputs"]["enabled"] = False
    assert len(server.images(server.run(prompt), save["after"])) == 2
    prompt["6"]["inputs"]["enabled"] = True
    with pytest.raises(PromptFailed, match="where the subject is"):
        server.run(prompt)
