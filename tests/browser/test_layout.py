"""Every template as the page lays it out: nothing is missing, covered, or another value than was saved."""

from __future__ import annotations

import json

from browser.page import BOXES, LOAD, PROMPT, TEMPLATES, UNKNOWN_TYPES, open_page, overlapping

from benchmarks.api_format import to_api


def test_every_template_is_tidy(browser_path, server):
    with open_page(browser_path, server) as (page, _):
        for path in sorted(TEMPLATES.glob("*.json")):
            workflow = json.loads(path.read_text(encoding="utf-8"))
            page.evaluate(LOAD, workflow)
            assert page.evaluate(UNKNOWN_TYPES) == [], path.stem
            assert overlapping(page.evaluate(BOXES)) == [], path.stem
            assert page.evaluate(PROMPT) == to_api(workflow, server.object_info()), path.stem
