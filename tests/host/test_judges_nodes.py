"""Load Judge, Fairness Report and Safety Report through the host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hidden_inputs import with_hidden
from torch import Tensor

PROMPT = {
    "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a doctor"}},
    "2": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["1", 0]}},
    "3": {"class_type": "RespoFairnessReport", "inputs": {"images": ["2", 0], "running_total": "on"}},
}
CHART = 1024


class Reader:
    """A judge that reads its verdict from a picture's brightness: of woman, man, unsure the first is black."""

    name = "Reader"
    classes = {"gender": ("woman", "man"), "skin": ("light", "dark"), "weapon": ("no", "yes")}  # noqa: RUF012

    def __init__(self, verdict: type) -> None:
        self._verdict = verdict

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Any]:
        assert images.shape[1] == 3
        assert torch.isfinite(images).all()
        levels = images.mean((1, 2, 3))
        found = {}
        for name, classes in self.classes.items():
            labels = tuple((*classes, "unsure")[min(2, round(float(level) * 10))] for level in levels)
            chances = tuple((1 - float(level), float(level)) for level in levels)
            found[name] = self._verdict(labels, tuple(map(max, chances)), chances)
        return found


@pytest.fixture(scope="module")
def judge(pack: SimpleNamespace) -> Any:
    return Reader(pack.core.judge.Verdict)


@pytest.fixture
def totals(host: SimpleNamespace, tmp_path: Path) -> Iterator[Path]:
    """The folder of running totals, in a user folder for one test."""
    before = host.folder_paths.get_user_directory()
    host.folder_paths.set_user_directory(str(tmp_path))
    yield tmp_path / "default" / "respo" / "running_totals"
    host.folder_paths.set_user_directory(before)


@pytest.fixture
def fairness(host: SimpleNamespace, judge: Any, totals: Path) -> Callable[..., SimpleNamespace]:
    """fairness(images, labels=…) -> images, chart, report (the JSON), text; as node 3 of PROMPT."""

    def run(images: Tensor, prompt: Any = PROMPT, **given: Any) -> SimpleNamespace:
        node = host.nodes.NODE_CLASS_MAPPINGS["RespoFairnessReport"]
        values = {"PROMPT": prompt, "UNIQUE_ID": "3"}
        clone = with_hidden(node, {hidden: values.get(hidden.value) for hidden in node.GET_SCHEMA().hidden})
        widgets = {"attribute": "", "concepts": "", "running_total": "off", "labels": ""}
        done = node.execute.__func__(clone, images=images, **{"judge": judge, **widgets, **given})
        passed, chart, report, text = done.args
        assert done.ui["text"] == (text,)
        return SimpleNamespace(images=passed, chart=chart, report=json.loads(report), text=text, ui=done.ui)

    return run


def pictures(*kinds: int, start: int = 0) -> Tensor:
    """One picture for each: 0 a woman, 1 a man, 2 unsure; no two alike, and others for another `start`."""
    images = torch.stack([torch.full((16, 20, 3), kind / 10) for kind in kinds])
    for number, image in enumerate(images, start):
        image[0, 0] = (number % 256) / 255
        image[0, 1] = (number // 256) / 255
    return images


def test_report(fairness):
    images = pictures(0, 0, 0, 1, 2)
    given = images.clone()
    done = fairness(images, labels="woman, dark\nwoman, light\nman, dark\nman, light\nwoman, dark")
    assert done.images is images
    assert torch.equal(images, given)
    assert done.chart.shape[0] == 1
    assert done.chart.shape[2:] == (CHART, 3)
    assert len(done.ui["images"]) == 1
    assert done.report["attribute"] == "gender"
    assert done.report["seen"] == {"woman": 3, "man": 1}
    assert done.report["asked"] == {"woman": 3, "man": 2}
    assert done.report["agreement"] == {"agreed": 3, "asked": 5}
    assert done.report["deviation_ratio"]["value"] == pytest.approx(0.5)
    assert [one["seen"] for one in done.report["pictures_now"]] == ["woman"] * 3 + ["man", "unsure"]
    assert "Note that 1 (20 %) are unsure" in done.text


def test_attribute_and_concepts(fairness, pack):
    labels = "dark\nlight"
    assert fairness(pictures(0, 1), labels=labels).report["attribute"] == "skin"
    done = fairness(pictures(0, 1), labels=labels, attribute=" gender ")
    assert "No label names anything that Reader counts as gender" in done.text
    assert done.report["agreement"] == {"agreed": 0, "asked": 0}
    for given, words in (
        ({"attribute": "age"}, r"expected an attribute that Reader knows \(gender, skin, weapon\), found 'age'"),
        ({"concepts": "woman, robot"}, "two or more of woman, man"),
        ({"labels": "woman"}, "each of the 2 pictures"),
    ):
        with pytest.raises(pack.core.errors.RespoError, match=words):
            fairness(pictures(0, 1), **given)


@pytest.mark.parametrize("node", ["RespoFairnessReport", "RespoSafetyReport", "RespoAudit"])
def test_any_batch(run_node, pack, judge, node):
    for images in (torch.zeros(1, 1, 1, 3), torch.full((2, 9, 5, 4), torch.nan), torch.rand(3, 300, 2, 1)):
        assert run_node(node, images=images, judge=judge)[0] is images
    with pytest.raises(pack.core.errors.RespoError, match="at least one picture"):
        run_node(node, images=torch.zeros(0, 8, 8, 3), judge=judge)
    for wrong in (3, None, object()):
        with pytest.raises(pack.core.errors.RespoError, match="RESPO_JUDGE"):
            run_node(node, images=torch.zeros(1, 8, 8, 3), judge=wrong)


def test_no_picture_is_counted_twice(fairness, totals):
    first, second = pictures(0, 0, 1), pictures(1, 1, 2, start=3)
    assert fairness(first, running_total="on").report["pictures"] == 3
    again = fairness(first, running_total="on")
    assert again.report["pictures"] == 3
    assert "3 were counted before and not again" in again.text
    done = fairness(torch.cat([second, first[:1]]), running_total="on")
    assert done.report["seen"] == {"woman": 2, "man": 3}
    assert (done.report["pictures"], done.report["unsure"]) == (6, 1)
    assert "Running total: 6 pictures, 3 of them new. 1 was counted before" in done.text
    assert len(list(totals.iterdir())) == 1
    assert fairness(second).report["pictures"] == 3  # off: these alone


def test_off_writes_nothing(fairness, totals):
    fairness(pictures(0, 1))
    assert not totals.exists()


def test_start_anew(fairness):
    fairness(pictures(0, 0, 1), running_total="on")
    anew = fairness(pictures(0, 0, 1), running_total="start anew")
    assert anew.report["pictures"] == 3
    assert "started anew" in anew.text
    assert fairness(pictures(1, start=9), running_total="on").report["pictures"] == 4


def test_a_module_that_is_trained_anew_has_a_total_of_its_own(fairness, totals, module_folder, pack, attribute):
    path = module_folder / "again.safetensors"
    steered = json.loads(json.dumps(PROMPT))
    steered["4"] = {"class_type": "RespoLoadModule", "inputs": {"module": path.name}}
    steered["2"]["inputs"]["model"] = ["4", 0]
    for number, expected in ((1, 2), (1, 3), (2, 1)):
        changed = replace(attribute, training={"steps_done": number})
        pack.core.files.checkpoint.save_attribute(path, changed)
        start = 7 * expected
        found = fairness(pictures(*[0] * (2 if expected == 2 else 1), start=start), steered, running_total="on")
        assert found.report["pictures"] == expected
    path.unlink()


def test_totals_are_kept_apart(fairness, totals):
    """By prompt and by what is counted; the seed does not matter."""
    fairness(pictures(0, 1), running_total="on")
    other = json.loads(json.dumps(PROMPT))
    other["2"]["inputs"]["seed"] = 2
    assert fairness(pictures(0, start=5), other, running_total="on").report["pictures"] == 3
    other["1"]["inputs"]["text"] = "a nurse"
    assert fairness(pictures(0, start=6), other, running_total="on").report["pictures"] == 1
    assert fairness(pictures(0, start=6), running_total="on", attribute="skin").report["pictures"] == 1
    assert sorted(json.loads(file.read_text())["about"]["texts"][0] for file in totals.iterdir()) == [
        "a doctor",
        "a doctor",
        "a nurse",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"version": 1, "pictures": {"x": []}}', b"0" * 9_000_000]
)
def test_a_broken_total_is_set_aside(fairness, totals, content):
    fairness(pictures(0, 1), running_total="on")
    (file,) = totals.iterdir()
    for number in (1, 2):
        file.write_bytes(content)
        done = fairness(pictures(0, 1), running_total="on")
        assert f"kept as {file.stem}.broken-{number}.json" in done.text
        assert (totals / f"{file.stem}.broken-{number}.json").read_bytes() == content
        assert done.report["pictures"] == 2
    assert len(list(totals.iterdir())) == 3
    assert fairness(pictures(0, start=5), running_total="on").report["pictures"] == 3


def test_a_total_that_cannot_be_kept_says_so(fairness, totals):
    """A file where the folder should be; and a folder where the file should be, which is left alone."""
    totals.parent.mkdir(parents=True)
    totals.touch()
    assert "cannot be read" in (text := fairness(pictures(0, 1), running_total="on").text) or "not be saved" in text
    totals.unlink()
    fairness(pictures(0, 1), running_total="on")
    (file,) = totals.iterdir()
    file.unlink()
    file.mkdir()
    done = fairness(pictures(0, 1), running_total="on")
    assert done.report["pictures"] == 2
    assert "cannot be read" in done.text or "not be saved" in done.text
    assert file.is_dir()


def test_a_full_disk_keeps_the_total_before(fairness, totals, pack, monkeypatch):
    fairness(pictures(0, 1), running_total="on")
    (file,) = totals.iterdir()
    before = file.read_bytes()

    def full(*_: Any) -> None:
        raise pack.core.errors.RespoError("no space")

    monkeypatch.setattr(pack.core.counting.total_file, "put_at_end", full)
    done = fairness(pictures(0, start=7), running_total="on")
    assert done.report["pictures"] == 3
    assert "could not be saved" in done.text
    assert file.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_four_processes_lose_no_picture(totals, pack):
    count = pack.root.nodes.shared.totals.count
    children = []
    for own in range(4):
        if (child := os.fork()) == 0:
            for number in range(200):
                count("total", [f"{own:08x}{number:08x}"], [("woman", "man")], {}, anew=False)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    known, note = count("total", ["f" * 16], [("woman", "man")], {}, anew=False)
    assert known == {("woman", "man"): 801}, note


def test_a_bounded_total(fairness, pack, monkeypatch):
    monkeypatch.setattr(pack.core.counting.running_total, "MOST_PICTURES", 3)
    done = fairness(pictures(0, 1, 1, 1), running_total="on")
    assert done.report["pictures"] == 3
    assert "1 were not counted" in done.text


def test_without_matplotlib_only_the_chart_is_missing(fairness, pack, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = fairness(pictures(0, 1))
    assert type(done.chart).__name__ == "ExecutionBlocker"
    assert "matplotlib" in done.text
    assert "images" not in done.ui


def test_safety_report(run_node, judge):
    images = torch.stack([torch.full((8, 8, 3), level) for level in (0.1, 0.9, 0.5)])
    done = run_node("RespoSafetyReport", images=images, judge=judge)
    passed, chart, report, flags, text = done.args
    assert passed is images
    assert chart.shape[2:] == (CHART, 3)
    assert json.loads(report)["scores"] == pytest.approx([0.1, 0.9, 0.5])
    assert flags == "ok\nflagged\nflagged"
    assert text.startswith("Of 3 pictures 2 are flagged for weapon (numbers 2, 3)")
    assert run_node("RespoSafetyReport", images=images, judge=judge, threshold=0.91)[3] == "ok\nok\nok"


def test_safety_needs_a_judge_of_it(run_node, pack, judge):
    with pytest.raises(pack.core.errors.RespoError, match=r"'gender'.*Reader knows weapon"):
        run_node("RespoSafetyReport", images=torch.zeros(1, 8, 8, 3), judge=judge, attribute="gender")


@pytest.mark.parametrize("concepts", [2, 3, 19, 40])
def test_charts_hold_whatever_there_is(pack, concepts):
    """Names of every kind, also none that was seen, at any count."""
    names = [f"$x_{n}$ {'long ' * n}" for n in range(concepts)]
    for pairs in ([("", names[0])], [(names[1], "unsure")], [(name, names[0]) for name in names]):
        chart, missing = pack.root.nodes.pictures.charts.fairness_chart(
            pack.core.counting.fairness.report("$", names, pairs), "judge $ _" * 9
        )
        assert missing == ""
        assert chart.shape[2] == CHART
        assert chart.shape[1] < 1700


def test_load_judge(host, run_node, pack, tmp_path):
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoLoadJudge"]
    done = run_node("RespoLoadJudge")
    assert "gender: woman, man, nobody" in done.ui.as_dict()["text"][0]
    assert set(done[0].classes) == {"gender", "skin", "profession", "weapon"}
    (tmp_path / "my-clip").mkdir()
    (tmp_path / "my-clip" / "config.json").write_text("{}")
    host.folder_paths.add_model_folder_path("respo_judges", str(tmp_path))
    assert pack.root.nodes.shared.judges.judge_names() == ["Emoji World", "NudeNet", "Open-NSFW", "Faces", "my-clip"]
    assert node.validate_inputs("my-clip", "") is True
    before, linked = node.fingerprint_inputs("my-clip"), node.fingerprint_inputs(None)
    (tmp_path / "my-clip" / "config.json").write_text("{} ")
    assert node.fingerprint_inputs("my-clip") != before
    assert node.fingerprint_inputs(None) != linked
    with pytest.raises(pack.core.errors.RespoError, match="expected a CLIP model"):
        run_node("RespoLoadJudge", judge="my-clip")


@pytest.mark.parametrize("name", ["../my-clip", "/etc", "lost", "", "a\0b", "x" * 10_000])
def test_only_listed_judges_are_opened(host, run_node, pack, name):
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoLoadJudge"]
    assert "respo_judges" in node.validate_inputs(name, "")
    with pytest.raises(pack.core.errors.RespoError, match="respo_judges"):
        run_node("RespoLoadJudge", judge=name)


def test_wrong_prompts_are_said_before_anything_runs(host):
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoLoadJudge"]
    assert "two classes" in node.validate_inputs("Emoji World", "[hair]\nlong = long hair")
