"""A template as an app: where the page has App mode, its form shows what we chose, and Run draws."""

from __future__ import annotations

from browser.page import SAVED, take_picture

from benchmarks.comfy_page import COMMAND, LOAD, visit
from benchmarks.templates import read_template

TEMPLATE, TOGGLE = "balance_a_batch", "Comfy.ToggleLinear"
LABELS = ["prompt", "distribution", "how many pictures", "seed"]
# Older pages have a first try of it under the same id, with a form of its own.
KNOWS = """(id) => app.extensionManager.command.commands.some(command =>
    command.id === id && command.label === 'Toggle App Mode')"""
RUN = "[data-testid=linear-run-button]"
# Of the form beside the pictures, from top to bottom.
FORM = """(labels) => [...document.querySelectorAll('*')].filter(one => !one.children.length)
    .map(one => one.textContent.trim()).filter(text => labels.includes(text))"""


def test_one_template_is_an_app(page, server):
    workflow = read_template(TEMPLATE)
    page.evaluate(LOAD, workflow)
    assert page.evaluate(SAVED)["extra"]["linearData"] == workflow["extra"]["linearData"]
    if not page.evaluate(KNOWS, TOGGLE):
        return
    page.evaluate(COMMAND, TOGGLE)
    page.wait_for_selector(RUN)
    tour = page.get_by_text("Skip", exact=True)
    if tour.count():
        tour.click()
    take_picture(page, "app")
    assert page.evaluate(FORM, LABELS) == LABELS
    with page.expect_response(lambda reply: reply.request.method == "POST" and reply.url.endswith("/prompt")) as reply:
        page.locator(RUN).get_by_role("button", name="Run").last.click()
    entry = server.wait(reply.value.json()["prompt_id"])
    assert [len(entry["outputs"][node]["images"]) for node in ("12", "15")] == [8, 8]
    page.wait_for_timeout(2000)
    take_picture(page, "app_ran")
    page.evaluate(COMMAND, TOGGLE)
    visit(page, server)  # what the page shows on leaving App mode for the first time would cover the next test's dialog
