"""The help panel of a node of ours: its page, with its picture, in the user's language."""

from __future__ import annotations

import pytest
from browser.page import ROOT, select, take_picture

from benchmarks.comfy_page import LOAD, change_settings, visit
from benchmarks.templates import read_template

PANEL = ".node-help-content"
PICTURES = """() => [...document.querySelectorAll('.node-help-content img')].map(
    one => [new URL(one.src).pathname.split('/').pop(), one.complete && one.naturalWidth > 0])"""
LOADED = f"() => {{ const found = ({PICTURES})(); return found.length > 0 && found.every(([, loaded]) => loaded) }}"
PAGES = {"en": "RespoBalance.md", "ko": "RespoBalance/ko.md"}


@pytest.fixture
def in_english_again(page, server):
    yield
    change_settings(server, {"Comfy.Locale": "en"})
    visit(page, server)


def test_help_opens_in_both_languages(page, server, in_english_again):
    for language, file in PAGES.items():
        change_settings(server, {"Comfy.Locale": language})
        visit(page, server)
        page.evaluate(LOAD, read_template("gender_and_skin_tone"))
        select(page, "RespoBalance")
        replies = []
        page.on("response", lambda reply, replies=replies: replies.append(reply))
        page.get_by_test_id("info-button").click()
        headline, *_ = (ROOT / "web" / "docs" / file).read_text(encoding="utf-8").splitlines()
        page.locator(PANEL).get_by_role("heading", level=1, name=headline.removeprefix("# "), exact=True).wait_for()
        page.wait_for_function(LOADED)
        assert page.evaluate(PICTURES) == [["balance.jpg", True]]
        assert {reply.status for reply in replies if reply.url.endswith("/balance.jpg")} == {200}
        take_picture(page, f"help_{language}")
