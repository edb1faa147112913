"""The client against a real ComfyUI: pictures come back, and errors can be read."""

from __future__ import annotations

import time

import pytest

from benchmarks.comfy_server import ComfyServer, PromptFailed, ServerError


def plain_picture(width=32, height=16, count=2, colour=0x3366CC):
    """A prompt that needs no model: `count` pictures of one colour, saved by node "2"."""
    size = {"width": width, "height": height, "batch_size": count, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
    }


def test_pictures(server):
    entry = server.run(plain_picture())
    pictures = server.images(entry, "2")
    assert [(picture.size, picture.getpixel((0, 0))) for picture in pictures] == [((32, 16), (0x33, 0x66, 0xCC))] * 2
    assert "prompt" in pictures[0].info
    assert server.files(entry, "2")[0].startswith(b"\x89PNG")
    with pytest.raises(KeyError, match="node 7 gave no images"):
        server.images(entry, "7")


def test_an_invalid_prompt_is_told(server):
    prompt = plain_picture(width=-1)
    with pytest.raises(PromptFailed, match="EmptyImage: Value -1 smaller than min of 1") as caught:
        server.queue(prompt)
    assert list(caught.value.node_errors) == ["1"]


def test_an_unknown_node_is_told(server):
    with pytest.raises(PromptFailed, match="RespoNowhere"):
        server.queue({"1": {"class_type": "RespoNowhere", "inputs": {}}})


def test_a_failing_node_is_told(server):
    (server.input / "broken.png").write_bytes(b"no picture")
    prompt = plain_picture()
    prompt["1"] = {"class_type": "LoadImage", "inputs": {"image": "broken.png"}}
    with pytest.raises(PromptFailed, match=r"node 1: LoadImage: .*Unidentified"):
        server.run(prompt)


def test_interrupt(server):
    prompt = plain_picture(width=512, height=512, count=1)
    for step in range(60):  # each blurs for a while, and ComfyUI looks for an interrupt between them
        last = ["1", 0] if step == 0 else [str(step + 9), 0]
        blur = {"image": last, "blur_radius": 31, "sigma": 5.0}
        prompt[str(step + 10)] = {"class_type": "ImageBlur", "inputs": blur}
    prompt["2"]["inputs"]["images"] = ["69", 0]
    prompt_id = server.queue(prompt)
    time.sleep(1)
    server.interrupt()
    with pytest.raises(PromptFailed, match="interrupted"):
        server.wait(prompt_id)


def test_it_writes_nothing_into_comfyui(server, comfy_path):
    server.run(plain_picture(colour=1))
    assert list(server.output.glob("plain_*.png"))
    assert not list((comfy_path / "output").glob("plain_*.png"))


def test_a_server_that_dies_shows_its_log(comfy_path, tmp_path):
    server = ComfyServer(tmp_path, host=comfy_path, extra=["--no-such-option"])
    with pytest.raises(ServerError, match="unrecognized arguments: --no-such-option"):
        server.__enter__()
