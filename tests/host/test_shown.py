"""What ComfyUI shows to people agrees with the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from releases import released_nodes

from benchmarks.locales import english_of, read
from benchmarks.templates import read_template, template_names

ROOT = Path(__file__).resolve().parents[2]
# For ever: saved workflows name them, and so do the help pages.
IDS = sorted(page.stem for page in (ROOT / "web/docs").glob("*.md"))
WITHOUT_TEXT = {"RespoSaveImages"}  # it shows the pictures that it saved


@pytest.fixture(params=IDS)
def schema(request, host, pack):
    """The schema of one node."""
    return host.nodes.NODE_CLASS_MAPPINGS[request.param].GET_SCHEMA()


def test_every_node_is_registered_and_has_a_help_page(pack):
    assert sorted(node.GET_SCHEMA().node_id for node in pack.root.NODES) == IDS


def test_every_file_beside_the_folders_is_of_a_node(pack):
    nodes = pack.root.nodes
    assert [file.__name__ for file in nodes.FILES if not nodes.nodes_in(file)] == []


def test_everything_has_a_name_and_a_tooltip(schema):
    assert schema.category == "Respo"
    assert all([schema.display_name, schema.description])
    for part in (*schema.inputs, *schema.outputs):
        assert (part.tooltip or "").endswith("."), part.id


def own_inputs(schema):
    """Without Safety's switches: there is one for each safety module that this computer has."""
    return [part for part in schema.inputs if not part.id.endswith(".safetensors)")]


def test_the_english_locale_is_what_the_command_writes(pack):
    written = read(ROOT / "locales/en/nodeDefs.json")
    assert written == english_of(pack.root.NODES), "run python -m benchmarks.locales"


def test_help_page_explains_every_input(schema):
    page = (ROOT / "web/docs" / f"{schema.node_id}.md").read_text(encoding="utf-8")
    for part in own_inputs(schema):
        assert f"**{part.display_name or part.id}**" in page, part.id


def test_help_page_has_a_picture(schema):
    docs = ROOT / "web/docs"
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (docs / f"{schema.node_id}.md").read_text(encoding="utf-8"))
    assert shown
    assert all((docs / path).is_file() for path in shown)


def test_every_node_of_a_release_is_in_an_example():
    types = {node["type"] for name in template_names() for node in read_template(name)["nodes"]}
    assert {node for node in released_nodes() if node.startswith("Respo")} - types == set()


def test_text_is_shown_on_every_node():
    """By its category, but for those that the script names."""
    script = (ROOT / "web/js/node_text.js").read_text(encoding="utf-8")
    assert 'category !== "Respo"' in script
    assert set(re.findall(r'"(Respo\w+)"', script)) == WITHOUT_TEXT


def test_only_module_files_are_listed(host, module_folder):
    (module_folder / "notes.txt").write_text("not a module")
    names = host.folder_paths.get_filename_list("respo")
    assert "tests/gender.safetensors" in [name.replace("\\", "/") for name in names]
    assert all(name.endswith(".safetensors") for name in names)
