"""What the browser tests share: one page of ComfyUI, and what its console says without the pack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser.page import hide_pack

from benchmarks.comfy_page import browse_templates, open_page, visit
from setup_steps.host import linked_name


@pytest.fixture(scope="session")
def opened(browser_path, server) -> Iterator[tuple[Any, set[str]]]:
    """ComfyUI's page, and the errors of its console so far."""
    with open_page(browser_path, server) as page_and_errors:
        yield page_and_errors


@pytest.fixture
def page(opened) -> Any:
    """The page, as the test before left it: load a workflow."""
    return opened[0]


@pytest.fixture(scope="session")
def bare_errors(opened, comfy_path, server) -> set[str]:
    """What the console says when the host shows its templates, and nothing of the pack reaches the page."""
    page, errors = opened
    errors.clear()
    with hide_pack(page, linked_name(comfy_path)):
        visit(page, server)
        browse_templates(page)
        page.wait_for_timeout(3000)
    bare = set(errors)
    visit(page, server)
    errors.clear()
    return bare
