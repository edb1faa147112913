"""What the registry would publish: the archive, the names in pyproject.toml, the pictures, and what its linters ask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from setup_steps import commands, package
from setup_steps.report import SetupError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
# What the pack reads while it runs, or has to go with it.
NEEDED = (
    "__init__.py",
    "nodes/",
    "respo_train/",
    "web/",
    "locales/",
    "example_workflows/",
    "subgraphs/",
    "emoji_world/checkpoint/",
    "emoji_world/judges/",
    "emoji_world/modules/",
    "requirements/",  # pyproject.toml takes its extras from there
    "pyproject.toml",
    "README.md",
    "SECURITY.md",
    "LICENSE",
    "emoji_world/LICENSES.md",
    "emoji_world/MODEL_CARD.md",
)
NOT_MEANT = re.compile(
    r"^(tests|benchmarks|docs|setup_steps|out|build|run\.py|\..*)(/|$)|\.training/|\.html$|\.py[co]$"
)
OWN_PAGES = {"respo_train/report/page.html"}  # the template of pages, no page


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git clone")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def names() -> list[str]:
    tracked()
    return package.published_files()


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def clone(tmp_path):
    """A repository with a few files, one of them left out, one not tracked."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / ".comfyignore").write_text("# a note\n/docs/\n*.html\n!kept.html\n")
    for name in ("docs/a.md", "web/docs/a.md", "b.html", "kept.html", "with space.py", "not_tracked.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", ".", ":!not_tracked.py"], cwd=tmp_path, check=True)
    return tmp_path


KEPT = [".comfyignore", "kept.html", "pyproject.toml", "web/docs/a.md", "with space.py"]


def test_what_git_tracks_less_what_is_ignored(clone):
    assert package.published_files(clone) == KEPT
    (clone / "kept.html").unlink()
    assert package.published_files(clone) == [name for name in KEPT if name != "kept.html"]


def test_the_archive_holds_the_files_and_is_the_same_each_time(clone, capsys):
    path = package.build_archive(clone)
    first = path.read_bytes()
    assert path.relative_to(clone).as_posix() == "build/respo-1.2.3.zip"
    assert "5 files" in capsys.readouterr().out
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            name: (clone / name).read_text() for name in KEPT
        }
    os.utime(clone / "kept.html", (1e9, 1e9))
    assert package.build_archive(clone).read_bytes() == first


def test_too_large_an_archive_is_refused_and_not_kept(clone, monkeypatch):
    monkeypatch.setattr(package, "LARGEST_MB", 0.0001)
    with pytest.raises(SetupError, match=r"name more in \.comfyignore"):
        package.build_archive(clone)
    assert list((clone / "build").iterdir()) == []


def test_no_clone_no_git_and_no_list_are_told(clone, monkeypatch, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare")
    (bare / ".comfyignore").touch()
    with pytest.raises(SetupError, match="use a clone"):
        package.published_files(bare)
    (clone / ".comfyignore").unlink()
    with pytest.raises(SetupError, match=r"git says .*\.comfyignore"):
        package.published_files(clone)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SetupError, match="git cannot be started"):
        package.published_files(clone)


def test_the_command(monkeypatch):
    built = []
    monkeypatch.setattr(commands, "build_archive", lambda: built.append(1))
    assert commands.main(["package"]) == 0
    assert built == [1]


def test_the_registrys_own_matcher_leaves_out_the_same(names):
    """Its command line reads the patterns by this library, not by git."""
    pathspec = pytest.importorskip("pathspec")
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    spec = pathspec.PathSpec.from_lines("gitignore", [line.strip() for line in lines])
    assert names == sorted(name for name in tracked() if not spec.match_file(name))


TRANSFORMER = "emoji_world/checkpoint/emoji_world_transformer.safetensors"  # 14 MB; its template says where to get it


def test_nothing_that_is_needed_is_left_out(names):
    left_out = set(tracked()) - set(names)
    assert sorted(name for name in left_out if name.startswith(NEEDED)) == [TRANSFORMER]
    template = (ROOT / "example_workflows" / "balance_a_transformer.json").read_text(encoding="utf-8")
    assert f"Take *{TRANSFORMER}* from the repository" in template
    missing = [place for place in NEEDED if not any(name.startswith(place) for name in names)]
    assert [place for place in missing if (ROOT / place).exists()] == []


def test_nothing_that_is_not_meant_is_in(names):
    assert sorted(name for name in names if NOT_MEANT.match(name) and name not in OWN_PAGES) == []


def test_pictures_of_help_pages_are_in(names):
    """A relative path is the page's own, as in the repository."""
    missing = []
    for page in (name for name in names if name.startswith("web/docs/") and name.endswith(".md")):
        for link in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            if "://" not in link and not any(name.endswith("/" + Path(link).name) for name in names):
                missing.append(f"{page}: {link}")
    assert missing == []


def test_names_are_plain(names):
    """The registry's command line asks git for names without -z: others would be quoted, and left out."""
    assert [name for name in names if not name.isascii() or '"' in name or "\\" in name] == []


def test_sources_fit_windows_code_page(names):
    """As comfy-test's level SYNTAX asks: consoles and editors there still use it. The tests and benchmarks, too."""
    tracked = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, check=True)
    sources = tracked.stdout.decode().split("\0")[:-1]
    assert {name for name in names if name.endswith(".py")} < set(sources)
    bad = {}
    for name in sources:
        text = (ROOT / name).read_text(encoding="utf-8")
        bad[name] = {sign for sign in text if not sign.encode("cp1252", errors="ignore")}
    assert {name: signs for name, signs in bad.items() if signs} == {}


def test_extensions_of_the_page_have_our_prefix():
    """As comfy-test's level JAVASCRIPT asks: two packs' extensions of one name exclude each other."""
    named = {}
    for path in sorted((ROOT / "web" / "js").glob("*.js")):
        found = re.findall(r"registerExtension\(\{\s*name: \"([^\"]+)\"", path.read_text(encoding="utf-8"))
        named |= {f"{path.name}: {name}": name.startswith("respo.") for name in found}
    assert named
    assert [name for name, good in named.items() if not good] == []


class TestRegistry:
    """As its specification has it."""

    def test_everything_is_said(self, project):
        comfy = project["tool"]["comfy"]
        assert set(comfy) == {"PublisherId", "DisplayName", "Icon", "Banner", "requires-comfyui", "includes"}
        assert comfy["includes"] == []  # it overrules .comfyignore, and run.py's package knows nothing of it
        assert project["project"]["description"]
        assert project["project"]["urls"]["Repository"]

    @pytest.mark.parametrize(("key", "width", "height"), [("Icon", 400, 400), ("Banner", 1260, 540)])
    def test_pictures(self, project, key, width, height):
        """A square of at most 400 pixels; 21 : 9. They are fetched from the repository, so they must be tracked."""
        url = project["tool"]["comfy"][key]
        name = url.partition("/main/")[2]
        repository = project["project"]["urls"]["Repository"].removeprefix("https://github.com/")
        assert url == f"https://raw.githubusercontent.com/{repository}/main/{name}"
        assert name in tracked()
        drawing = ElementTree.parse(ROOT / name).getroot()
        assert (drawing.get("width"), drawing.get("height")) == (str(width), str(height))
        assert drawing.get("viewBox") == f"0 0 {width} {height}"
        assert (ROOT / name).stat().st_size < 20_000

    def test_classifiers(self, project):
        """Accelerators are named only once the pack was tried on them."""
        assert project["project"]["classifiers"] == ["Operating System :: OS Independent"]
