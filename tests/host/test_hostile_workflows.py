"""A sample of the hostile workflows, through a real server; `python -m benchmarks.hostile_workflows` sends all."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.hostile.cases import Case
from benchmarks.hostile.client import Client
from benchmarks.hostile.graphs import respo_nodes
from benchmarks.hostile.sandbox import PACK_NAME, SECRET, Sandbox
from benchmarks.hostile.values import DEEP, Long, Via, spell
from benchmarks.hostile.verdicts import judge_entry, judge_refusal
from benchmarks.hostile_workflows import attack

SAMPLE = 60
GROWTH = 1000  # MB; what a graph of 10 MB strings leaves behind for a while


@pytest.fixture(scope="module")
def client(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(Sandbox(tmp_path_factory.mktemp("sandbox"))) as running:
        yield running


def test_every_answer_is_a_good_one(client: Client) -> None:
    tally = attack(client, SAMPLE)
    assert tally.count > SAMPLE  # and the plain ways out of a folder
    assert set(tally.kinds) == set(respo_nodes(client.info))
    assert tally.failures == []  # a changed file is one, too
    assert tally.more["server_starts"] == 1
    assert tally.more["memory_mb"][-1] - tally.more["memory_mb"][0] < GROWTH
    plain = {node: text for node, text in tally.more["valid_graph"].items() if text != "success"}
    assert plain.keys() == {"RespoTrainModule"}  # it meets a file that it must not replace
    assert "there is a module at" in plain["RespoTrainModule"]


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
        ("RespoRecordRun", {"seed": Via("INT", -1)}, "our error", "-1 does not mean a random seed"),
        (REPORT, {"concepts": Via("STRING", Long("x", 1_000_001))}, "our error", "at most 1,000,000 characters"),
        (REPORT, {"concepts": Via("STRING", "\ud800")}, "our error", "unpaired surrogate"),
    ],
)
def test_one_workflow(client: Client, node: str, change: dict, kind: str, says: str) -> None:
    verdict = client.ask(Case(node, change))[node]
    assert (verdict.kind, says in verdict.text) == (kind, True), verdict


def test_a_file_outside_is_noticed(client: Client) -> None:
    client.sandbox.remember()
    for path in (client.sandbox.victim, client.sandbox.canary / "new", client.sandbox.host / "nodes.py"):
        path.touch()
    found = client.sandbox.changed()
    (client.sandbox.canary / "new").unlink()
    assert found == ["canary/new", "canary/victim.safetensors", "host/nodes.py"]


def test_spelling() -> None:
    inputs = {"a": Long("ab", 5), "b": DEEP[0], "c": Via("STRING", "x"), "d": math.nan, "e": "\ud800"}
    text = spell({"1": {"class_type": "X", "inputs": inputs}}, {"extra_data": DEEP[3]})
    read = json.loads(text)
    given = read["prompt"]["1"]["inputs"]
    assert (given["a"], given["b"], given["e"]) == ("ababa", ast.literal_eval("[" * 50 + "0" + "]" * 50), "\ud800")
    assert read["prompt"][given["c"][0]] == {"class_type": "PrimitiveString", "inputs": {"value": "x"}}
    assert math.isnan(given["d"])
    assert str(read["extra_data"]).count("{") == 50


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
