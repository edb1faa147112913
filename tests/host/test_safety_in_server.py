"""Safety in a real ComfyUI: a switch that nobody has here, and a prompt from before there was a switch."""

from __future__ import annotations

import pytest

from benchmarks.api_format import to_api
from benchmarks.comfy_server import PromptFailed
from benchmarks.templates import read_template

SWITCH = "no weapons (emoji_world_no_weapons.safetensors)"


@pytest.fixture
def template(server):
    """template(name, pictures) -> its prompt with two steps, and the ids of its nodes by kind and title."""

    def read(name, pictures):
        workflow = read_template(name)
        prompt = to_api(workflow, server.object_info())
        for node in prompt.values():
            if node["class_type"] == "KSampler":
                node["inputs"]["steps"] = 2
            if node["class_type"] == "EmptyLatentImage":
                node["inputs"]["batch_size"] = pictures
        return prompt, {node.get("title", node["type"]): str(node["id"]) for node in workflow["nodes"]}

    return read


def test_asking_for_what_is_not_here_fails_on_the_node(server, template):
    prompt, ids = template("safety_switchboard", 2)
    prompt[ids["RespoSafety"]]["inputs"]["no gore (mine/gore.safetensors)"] = True
    with pytest.raises(PromptFailed) as caught:
        server.run(prompt)
    told = str(caught.value.node_errors[ids["RespoSafety"]])
    assert "mine/gore.safetensors" in told
    assert "put it" in told


def test_prompts_from_before_the_switch_run_with_it_on(server, template):
    prompt, ids = template("safety_switchboard", 2)
    del prompt[ids["RespoSafety"]]["inputs"][SWITCH]
    entry = server.run(prompt)
    assert f"On: {SWITCH}" in entry["outputs"][ids["RespoSafety"]]["text"][0]
