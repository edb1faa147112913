"""What each template has to give, besides pictures: asked of the one run that test_every_template.py makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.comfy_server import ComfyServer, Entry

STEPS = {
    "measure_your_own_checkpoint": 20,  # a judge looks at the pictures
    "only_where_the_subject_is": 6,
}
SAFETY_SWITCH = "no weapons (emoji_world_no_weapons.safetensors)"


@dataclass
class TemplateRun:
    """A template, what the page sent of it, and the server's history entry."""

    server: ComfyServer
    workflow: dict[str, Any]
    sent: dict[str, Any]
    entry: Entry

    def ids(self, kind: str) -> list[str]:
        """The nodes of a kind, by their numbers."""
        return sorted((key for key, node in self.sent.items() if node["class_type"] == kind), key=int)

    def texts(self, kind: str) -> list[str]:
        """What the nodes of a kind show."""
        return [self.entry["outputs"][key]["text"][0] for key in self.ids(kind)]

    def images(self, title: str, entry: Entry | None = None) -> list[Any]:
        """What the Preview Image with a title shows, in this run or in another one."""
        previews = (node for node in self.workflow["nodes"] if node["type"] == "PreviewImage")
        (node,) = (str(node["id"]) for node in previews if node.get("title") == title)
        return self.server.images(self.entry if entry is None else entry, node)

    def pixels(self, title: str, entry: Entry | None = None) -> list[bytes]:
        return [image.tobytes() for image in self.images(title, entry)]

    def again(self, change: Callable[[dict[str, Any]], None]) -> Entry:
        """Run what was sent once more, changed."""
        prompt = json.loads(json.dumps(self.sent))
        for node in prompt.values():
            change(node)
        return self.server.run(prompt)


def all_differ(run: TemplateRun, count: int) -> None:
    before, after = run.pixels("Before"), run.pixels("After")
    assert len(before) == len(after) == count
    assert all(a != b for a, b in zip(after, before, strict=True))


def background_recorded(run: TemplateRun) -> None:
    rows = [run.pixels(title) for title in ("Before", "Module alone", "With Background")]
    assert [len(row) for row in rows] == [4, 4, 4]
    assert len({picture for row in rows for picture in row}) == 12


def balance_a_batch(run: TemplateRun) -> None:
    all_differ(run, 8)
    assert run.texts("RespoBalance")[0].startswith("8 pictures: woman 4, man 4")


def balance_a_transformer(run: TemplateRun) -> None:
    balance_a_batch(run)


def compare_before_and_after(run: TemplateRun) -> None:
    assert run.texts("RespoCompare")[0].startswith("8 pairs: changed by")


def compose_modules(run: TemplateRun) -> None:
    assert "Saved as" in run.texts("RespoSaveModule")[0]
    (save,) = run.ids("RespoSaveModule")
    assert (run.server.model_folders["respo"] / f"{run.sent[save]['inputs']['name']}.safetensors").is_file()
    assert [len(run.entry["outputs"][key]["images"]) for key in run.ids("PreviewImage")] == [4, 4, 4]


def gate_by_the_prompt(run: TemplateRun) -> None:
    """It opens for one prompt and closes for the other, which gives the pictures without any module."""
    opened, closed = run.texts("RespoGate")
    assert opened == "Open: 'doctor', and nothing says woman, man or neither."
    assert closed == "Closed: 'woman' already says woman."
    opened, closed = run.texts("RespoBalance")
    assert opened.startswith("4 pictures: woman 2, man 2")
    assert closed.startswith("Off")
    (loader,) = run.ids("CheckpointLoaderSimple")

    def unpatch(node: dict[str, Any]) -> None:
        if node["class_type"] == "KSampler":
            node["inputs"]["model"] = [loader, 0]

    bare = run.again(unpatch)
    assert len(run.pixels("Closed")) == 4
    assert run.pixels("Closed") == run.pixels("Closed", bare)
    assert run.pixels("Open") != run.pixels("Open", bare)


def gender_and_skin_tone(run: TemplateRun) -> None:
    all_differ(run, 12)
    assert run.texts("RespoBalance")[0].startswith("12 pictures: woman 6, man 6\nlight 4, medium 4, dark 4")


def least_change(run: TemplateRun) -> None:
    before, after = run.pixels("Before"), run.pixels("After")
    same = sum(a == b for a, b in zip(before, after, strict=True))
    first, second = run.texts("RespoAssignLabels")[0].splitlines()
    assert first == "12 pictures: man 6, woman 6"
    assert second == f"{same} stay as they are, {12 - same} change"
    assert 6 <= same < 12


def measure_your_own_checkpoint(run: TemplateRun) -> None:
    """Everybody is a man, and then half of them are women; each report shows its chart."""
    reports = run.ids("RespoFairnessReport")
    before, after = sorted(reports, key=lambda key: isinstance(run.sent[key]["inputs"]["labels"], list))
    said = {key: run.entry["outputs"][key]["text"][0] for key in reports}
    assert said[before].startswith("Of 8 pictures 0 show woman and 8 show man")
    assert said[after].startswith("Of 8 pictures 4 show woman and 4 show man")
    assert "8 of 8 show what they were asked to." in said[after]
    for report in reports:
        (chart,) = run.server.images(run.entry, report)
        assert chart.width == 1024


def module_inside_the_workflow(run: TemplateRun) -> None:
    (packer,) = run.ids("RespoModuleToText")
    assert run.entry["outputs"][packer]["respo_module"][0].startswith("respo1:")
    assert [len(run.entry["outputs"][key]["images"]) for key in run.ids("PreviewImage")] == [8, 8]


def only_where_the_subject_is(run: TemplateRun) -> None:
    before, alone, recorded, words = (
        np.stack([np.asarray(picture, dtype=float) for picture in run.images(title)])
        for title in ("Before", "Balance alone", "Where by a record", "Where by words")
    )
    assert 0 < abs(recorded - before).mean() < 0.8 * abs(alone - before).mean()
    assert abs(words - alone).mean() > 0
    assert run.texts("RespoWhere") == [
        "Modules act only: where the picture really changes",
        "Modules act only: where the picture attends to 'doctor'",
    ]


def safety_switchboard(run: TemplateRun) -> None:
    all_differ(run, 12)
    assert f"On: {SAFETY_SWITCH}" in run.texts("RespoSafety")[0]
    (safety,) = run.ids("RespoSafety")
    assert run.sent[safety]["inputs"][SAFETY_SWITCH] is True

    def switch_off(node: dict[str, Any]) -> None:
        if SAFETY_SWITCH in node["inputs"]:
            node["inputs"][SAFETY_SWITCH] = False

    assert run.pixels("After", run.again(switch_off)) == run.pixels("Before")


def train_a_module(run: TemplateRun) -> None:
    (train,) = run.ids("RespoTrainModule")
    assert (run.server.model_folders["respo"] / f"{run.sent[train]['inputs']['name']}.safetensors").is_file()
    assert run.texts("RespoBalance")[0].startswith("8 pictures: woman 4, man 4")
    sizes = [len(output["images"]) for output in run.entry["outputs"].values() if "images" in output]
    assert sorted(sizes) == [1, 8]  # the sheet, and what was drawn with the new module


def try_it_now(run: TemplateRun) -> None:
    all_differ(run, 12)
    before, after = run.texts("RespoFairnessReport")
    assert before.startswith("Of 12 pictures")
    assert after.startswith("Of 12 pictures")


CHECKS: dict[str, Callable[[TemplateRun], None]] = {
    check.__name__: check
    for check in (
        background_recorded,
        balance_a_batch,
        balance_a_transformer,
        compare_before_and_after,
        compose_modules,
        gate_by_the_prompt,
        gender_and_skin_tone,
        least_change,
        measure_your_own_checkpoint,
        module_inside_the_workflow,
        only_where_the_subject_is,
        safety_switchboard,
        train_a_module,
        try_it_now,
    )
}
