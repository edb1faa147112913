"""What the browser tests share."""

from __future__ import annotations

import pytest

from benchmarks.comfy_page import browse_templates, open_page
from benchmarks.comfy_server import ComfyServer


@pytest.fixture(scope="session")
def bare_errors(browser_path, comfy_path, tmp_path_factory) -> set[str]:
    """What the console says when the host without the pack shows its templates."""
    with ComfyServer(tmp_path_factory.mktemp("bare"), host=comfy_path, with_pack=False) as bare:
        with open_page(browser_path, bare) as (page, errors):
            browse_templates(page)
            page.wait_for_timeout(3000)
        return errors
