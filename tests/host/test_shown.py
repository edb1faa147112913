"""What ComfyUI shows to people agrees with the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.locales import NODES, read, texts_of
from benchmarks.templates import read_template, template_names

ROOT = Path(__file__).resolve().parents[2]
# For ever: saved workflows name them. In the order of nodes/__init__.py.
IDS = [
    "RespoLoadModule",
    "RespoApplyModule",
    "RespoBalance",
    "RespoTrainModule",
    "RespoCompose",
    "RespoInterpolate",
    "RespoSaveModule",
    "RespoModuleToText",
    "RespoModuleFromText",
    "RespoRecordRun",
    "RespoBackground",
    "RespoCompare",
    "RespoSaveImages",
    "RespoWhere",
    "RespoGate",
    "RespoSafety",
    "RespoLoadJudge",
    "RespoFairnessReport",
    "RespoSafetyReport",
    "RespoImportModule",
]
WITHOUT_TEXT = {"RespoSaveImages"}  # it shows the pictures that it saved

NOT_IN_AN_EXAMPLE = {"RespoImportModule"}  # no foreign file ships


@pytest.fixture(params=IDS)
def schema(request, host, pack):
    """The schema of one node."""
    return host.nodes.NODE_CLASS_MAPPINGS[request.param].GET_SCHEMA()


def test_every_node_is_registered_and_listed_here(pack):
    assert [node.GET_SCHEMA().node_id for node in pack.root.NODES] == IDS


def test_everything_has_a_name_and_a_tooltip(schema):
    assert schema.category == "Respo"
    assert all([schema.display_name, schema.description])
    for part in (*schema.inputs, *schema.outputs):
        assert (part.tooltip or "").endswith("."), part.id


def own_inputs(schema):
    """Without Safety's switches: there is one for each safety module that this computer has."""
    return [part for part in schema.inputs if not part.id.endswith(".safetensors)")]


def test_the_english_locale_is_what_the_command_writes(pack):
    english = {node.GET_SCHEMA().node_id: texts_of(node.GET_SCHEMA()) for node in pack.root.NODES}
    assert read(ROOT / "locales/en" / NODES) == english, "run python -m benchmarks.locales"


def test_help_page_explains_every_input(schema):
    page = (ROOT / "web/docs" / f"{schema.node_id}.md").read_text(encoding="utf-8")
    for part in own_inputs(schema):
        assert f"**{part.id}**" in page, part.id


def test_help_page_has_a_picture(schema):
    docs = ROOT / "web/docs"
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (docs / f"{schema.node_id}.md").read_text(encoding="utf-8"))
    assert shown
    assert all((docs / path).is_file() for path in shown)


def test_every_node_is_in_an_example():
    types = {node["type"] for name in template_names() for node in read_template(name)["nodes"]}
    assert set(IDS) - types == NOT_IN_AN_EXAMPLE


def test_text_is_shown_on_every_node():
    script = (ROOT / "web/js/node_text.js").read_text(encoding="utf-8")
    assert {node for node in IDS if f'"{node}"' in script} == set(IDS) - WITHOUT_TEXT


def test_only_module_files_are_listed(host, module_folder):
    (module_folder / "notes.txt").write_text("not a module")
    names = host.folder_paths.get_filename_list("respo")
    assert "tests/gender.safetensors" in [name.replace("\\", "/") for name in names]
    assert all(name.endswith(".safetensors") for name in names)
