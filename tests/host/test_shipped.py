"""What ships with the pack cannot be replaced by a workflow, whatever it saves under whatever name."""

from __future__ import annotations

import re
import shutil

import pytest

from emoji_world.__main__ import ROOT as BENCH
from respo_train.core.files.checkpoint import file_sha256

SHIPPED = sorted((BENCH / "modules").glob("*.safetensors"))


def test_all_that_ships_is_known(pack) -> None:
    """After a module was trained anew, its hash in nodes/shared/shipped.py must be that of the new file."""
    assert {path.name: file_sha256(path) for path in SHIPPED} == pack.root.nodes.shared.shipped.SHA256
    assert set(pack.root.nodes.shared.safety_concepts.SHIPPED) <= set(pack.root.nodes.shared.shipped.SHA256)


@pytest.mark.parametrize("name", [path.name for path in SHIPPED])
@pytest.mark.parametrize(
    "spelled",
    ["{}", "mine/{}", "./{}", "mine\\{}", "EMOJI{}", "{} ", "\uff45moji{}", "\u200d{}", "\u00e9moji{}", "\u3000{}"],
)
def test_no_node_writes_under_its_name(pack, name: str, spelled: str) -> None:
    given = spelled.format(name.removeprefix("emoji") if "moji" in spelled.casefold() else name)
    bare = given.strip().removesuffix(".safetensors")
    for one in (given, bare, f"{bare} .safetensors"):
        with pytest.raises(ValueError, match="ships with Respo"):
            pack.root.nodes.shared.folders.place_for(one)


def test_it_is_found_before_a_file_of_the_same_name(
    pack, host, run_node, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, endings = host.folder_paths.folder_names_and_paths["respo"]
    monkeypatch.setitem(host.folder_paths.folder_names_and_paths, "respo", ([str(tmp_path), *paths], endings))
    gender, weapons = (BENCH / "modules" / f"emoji_world_{name}.safetensors" for name in ("gender", "no_weapons"))
    shutil.copyfile(gender, tmp_path / weapons.name)
    assert pack.root.nodes.shared.folders.resolve(weapons.name).samefile(weapons)
    assert run_node("RespoLoadModule", module=weapons.name)[0].sha256 == file_sha256(weapons)


def test_another_content_is_refused(pack, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    shipped = pack.root.nodes.shared.shipped
    shutil.copyfile(SHIPPED[0], tmp_path / SHIPPED[1].name)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    for name, said in ((SHIPPED[1].name, "is not the file that ships"), (SHIPPED[0].name, "is missing from")):
        with pytest.raises(ValueError, match=re.escape(said)):
            pack.root.nodes.shared.folders.resolve(name)


def test_a_judges_folder_does_not_hide_a_built_in_judge(pack, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    judges = pack.root.nodes.shared.judges
    for name in ("NudeNet", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    monkeypatch.setattr(judges.folder_paths, "get_folder_paths", lambda _: [str(tmp_path)])
    assert judges.judge_names().count("NudeNet") == 1
    assert list(judges._models()) == ["mine"]


@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        "a\tb",
        "\u202egnp",
        "gender\u200b",
        "a\x1b[31m",
        "CON",
        "nul.safetensors",
        "aux/x",
        "x\\COM1",
        "Lpt9 .x",
        "<b>",
        "a|b",
        "a?",
        "a*",
        'a"b',
    ],
)
def test_no_node_writes_a_name_that_lies_or_that_windows_keeps_for_a_device(pack, name: str) -> None:
    with pytest.raises(ValueError, match=r"that can be read and that Windows can store|without ':' and line breaks"):
        pack.root.nodes.shared.folders.place_for(name)


@pytest.mark.parametrize(
    "name",
    ["console", "null", "a.con", "my nul", "com10", "\u65e5\u672c", "\U0001f469\u200d\U0001f680", "e\u0301", "x.y/z"],
)
def test_other_names_are_written(pack, name: str) -> None:
    path, listed = pack.root.nodes.shared.folders.place_for(name)
    assert listed == f"{name}.safetensors"
    assert path.name == f"{name.rpartition('/')[2]}.safetensors"


def test_a_folder_that_is_gone_takes_only_its_own_files_away(pack, host, tmp_path) -> None:
    gone = tmp_path / "respo"
    gone.mkdir()
    (gone / "own.safetensors").touch()
    host.folder_paths.add_model_folder_path("respo", str(gone))
    names = pack.root.nodes.shared.folders.module_names
    try:
        assert "own.safetensors" in names()
        shutil.rmtree(gone)
        assert "emoji_world_gender.safetensors" in names()
        assert "own.safetensors" not in names()
    finally:
        host.folder_paths.folder_names_and_paths["respo"][0].remove(str(gone))


def test_a_folder_that_cannot_be_listed_takes_no_node_away(pack, host, monkeypatch, caplog) -> None:
    def long(*_: object, **__: object) -> None:
        raise OSError(36, "File name too long")

    for name in ("get_filename_list", "recursive_search"):
        monkeypatch.setattr(host.folder_paths, name, long)
    for node in ("RespoLoadModule", "RespoImportModule", "RespoSafety"):
        host.nodes.NODE_CLASS_MAPPINGS[node].define_schema()
    assert "cannot be listed: [Errno 36] File name too long" in caplog.text
