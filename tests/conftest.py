"""What every test may ask for: a ComfyUI, its server, a browser. Unit tests need none of them.

`python run.py test` runs two workers (pytest-xdist). Each takes one file after the other, and has one server that all
its files share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from benchmarks.comfy_server import ComfyServer, require_host
from setup_steps.browser import VARIABLE, find_installed
from setup_steps.host import link_pack
from setup_steps.report import SetupError

# Before anything imports PyTorch: the workers and their servers share the cores, and these tensors are tiny.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# On a busy machine the first example of a test may take longer than Hypothesis's limit of 0.2 s.
settings.register_profile("respo", deadline=None)
settings.load_profile("respo")
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
# The longest files come first, so that no worker is left alone with one of them at the end.
LONGEST = (
    "test_published_evidence.py",
    "test_every_template.py",
    "test_compatibility.py",
    "test_background_server.py",
    "test_hostile_workflows.py",
    "test_quality.py",
    "test_resume.py",
    "browser",
    "test_team.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, in LONGEST's order; all others keep theirs."""

    def place(item: pytest.Item) -> int:
        return next((at for at, name in enumerate(LONGEST) if name in item.path.parts), len(LONGEST))

    items.sort(key=place)


def give_up(reason: str) -> NoReturn:
    """Skip a test whose tool is missing; in CI, where nobody reads what was skipped, let it fail."""
    if IN_CI:
        pytest.fail(f"{reason} (in CI this is an error)")
    pytest.skip(f"!!! {reason}")


@pytest.fixture(scope="session")
def comfy_path() -> Path:
    """The folder of a ComfyUI that has the pack in its custom_nodes."""
    try:
        host = require_host()
    except (FileNotFoundError, SetupError) as error:
        give_up(str(error))
    link_pack(host)
    return host


@pytest.fixture(scope="session")
def server(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A running ComfyUI with the pack alone; modules put into `server.model_folders["respo"]` show up in it."""
    folder = tmp_path_factory.mktemp("comfy")
    modules = folder / "modules"
    modules.mkdir()
    with ComfyServer(folder, host=comfy_path, model_folders={"respo": modules}) as running:
        yield running


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The path of a Chromium or Chrome: run.py's choice, else one that is installed."""
    path = os.environ[VARIABLE] if VARIABLE in os.environ else find_installed()
    if not path:
        give_up(f"no Chromium or Chrome: set {VARIABLE} to one, or use `python run.py test`")
    return path
