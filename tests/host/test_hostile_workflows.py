"""A sample of the hostile workflows, through a real server; `python -m benchmarks.hostile workflows` sends all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.hostile.graphs import Case, made
from benchmarks.hostile.workflows import PACK_NAME, SECRET, Workflows, judge_entry, judge_refusal

SAMPLE = 66
GROWTH = 500  # MB from the first pass to the last; what the host keeps is freed before it is measured


@pytest.fixture(scope="module")
def server(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflows]:
    with Workflows(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def test_every_answer_is_a_good_one(server: Workflows) -> None:
    tally = server.run(SAMPLE)
    assert tally.count > SAMPLE  # and the plain ways out of a folder
    assert set(tally.kinds) == set(server.info)
    assert [failure for failure in tally.failures if ": slow" not in failure] == []  # a changed file is one, too
    assert tally.more["server_starts"] == 1
    assert tally.more["memory_mb"][-1] - tally.more["memory_mb"][1] < GROWTH
    assert {node for node, kind in tally.more["valid_graph"].items() if kind != "success"} == {"RespoTrainModule"}
    # It meets a file that it must not replace.
    assert "there is a module at" in server.ask(Case("RespoTrainModule"))["RespoTrainModule"].text


LOAD, REPORT = "RespoLoadModule", "RespoFairnessReport"


@pytest.mark.parametrize(
    ("node", "change", "kind", "says"),
    [
        (LOAD, {"module": "taken.safetensors"}, "success", ""),
        (LOAD, {"module": "loop/taken.safetensors"}, "success", ""),
        (LOAD, {"module": "link.safetensors"}, "refused by the node", "a link that leads out"),
        (LOAD, {"module": "out/victim.safetensors"}, "refused by the node", "a link that leads out"),
        # Never "a link …": whether there is a file outside is nobody's business.
        (LOAD, {"module": "../canary/victim.safetensors"}, "refused by the node", "expected the name of"),
        (LOAD, {"module": ["string", 0]}, "refused by the host", ""),
        ("RespoLoadJudge", {"judge": None}, "our error", "expected COMBO at the input 'judge', found NoneType"),
        ("RespoRecordRun", {"denoise": 1e-38}, "our error", "expected at most 100,000 steps"),
        ("RespoRecordRun", {"seed": made("PrimitiveInt", value=-1)}, "our error", "-1 does not mean a random seed"),
        (
            REPORT,
            {"concepts": made("PrimitiveString", value="x" * 1_000_001)},
            "our error",
            "at most 1,000,000 characters",
        ),
        (REPORT, {"concepts": made("PrimitiveString", value="\ud800")}, "our error", "unpaired surrogate"),
    ],
)
def test_one_workflow(server: Workflows, node: str, change: dict, kind: str, says: str) -> None:
    verdict = server.ask(Case(node, change))[node]
    assert (verdict.kind, says in verdict.text) == (kind, True), verdict


def test_a_file_outside_is_noticed(server: Workflows) -> None:
    victim, new = server.canary / "victim.safetensors", server.canary / "new"
    for path in (victim, new, server.host / "nodes.py"):
        path.touch()
    found = server.changed()
    new.unlink()
    assert found == ["canary/new", "canary/victim.safetensors", "host/nodes.py"]


def test_a_request_holds_what_only_python_writes(server: Workflows) -> None:
    changes = {"module": "ababa", "b": made("PrimitiveString", value="x"), "c": math.nan, "d": "\ud800"}
    prompt = json.loads(Case(LOAD, changes).body(server.info))["prompt"]
    given = prompt["target"]["inputs"]
    assert (given["module"], given["d"], math.isnan(given["c"])) == ("ababa", "\ud800", True)
    assert prompt[given["b"][0]] == {"class_type": "PrimitiveString", "inputs": {"value": "x"}}


def frame(path: str) -> str:
    return f'  File "/x/custom_nodes/{path}", line 3, in execute\n    boom\n'


OURS, HOSTS = frame(f"{PACK_NAME}/nodes/x.py"), '  File "/x/execution.py", line 9, in validate\n'


@pytest.mark.parametrize(
    ("kind", "traceback", "wanted"),
    [
        ("KeyError", [HOSTS, OURS], "defect"),
        ("MemoryError", [HOSTS, OURS, '  File "/lib/torch/x.py", line 1, in f\n'], "defect"),
        ("TypeError", [HOSTS], "the host's error"),
        ("/x/respo-node-pack.respo_train.core.errors.ModuleFileError", [HOSTS, OURS], "our error"),
        ("ValueError", [OURS], "defect"),
    ],
)
def test_judging_an_error(kind: str, traceback: list[str], wanted: str) -> None:
    failure = {"exception_type": kind, "exception_message": "", "traceback": traceback, "node_type": "RespoX"}
    entry = {"outputs": {}, "status": {"status_str": "error", "messages": [["execution_error", failure]]}}
    assert judge_entry(entry).kind == wanted


def test_judging_the_rest() -> None:
    read = {"outputs": {"1": {"text": [SECRET]}}, "status": {"status_str": "success", "messages": []}}
    assert judge_entry(read).kind == "defect"
    assert judge_refusal(400, {"error": "no", "node_errors": {}}, "").kind == "defect"
    assert judge_refusal(500, {}, OURS).kind == "defect"
    assert judge_refusal(500, {}, HOSTS).kind == "the host's error"
    reason = {"type": "exception_during_validation", "message": "m", "details": "d"}
    reason["extra_info"] = {"exception_type": "TypeError", "traceback": [HOSTS, OURS]}
    assert judge_refusal(400, {"node_errors": {"target": {"errors": [reason]}}}, "").kind == "defect"
