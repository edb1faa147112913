"""Which of the console's messages count as errors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.comfy_page import is_error

REFUSED = "Connecting to 'https://example.org/x' violates the following Content Security Policy directive"


@pytest.mark.parametrize(
    ("kind", "text", "script", "counts"),
    [
        ("error", REFUSED, "http://127.0.0.1:1/assets/models.js", False),
        ("error", REFUSED, "http://127.0.0.1:1/extensions/respo-node-pack/bars.js", True),
        ("error", "TypeError: x is undefined", "http://127.0.0.1:1/assets/models.js", True),
        ("warning", "TypeError: x is undefined", "http://127.0.0.1:1/extensions/respo-node-pack/bars.js", False),
    ],
)
def test_only_the_hosts_own_addresses_elsewhere_do_not_count(kind: str, text: str, script: str, counts: bool) -> None:
    assert is_error(SimpleNamespace(type=kind, text=text, location={"url": script})) == counts
