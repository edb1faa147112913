"""A person opens the template in a real browser, presses Run and sees pictures."""

from __future__ import annotations

from browser.page import SLOW, open_page, open_template, take_picture

from setup_steps.host import linked_name

ALL_PICTURES = "() => ['Before', 'After'].every(t => app.graph.nodes.find(n => n.title === t).imgs?.length === 8)"
BALANCE_TEXT = """() => app.graph.nodes.find(n => n.type === 'RespoBalance')
    .widgets.find(widget => widget.name === 'respo_text').value"""
TRAINING_TEXT = """() => app.graph.nodes.find(n => n.type === 'RespoTrainModule')
    .widgets.find(widget => widget.name === 'respo_text').value"""
FEW_STEPS = """() => { for (const widget of app.graph.nodes.find(n => n.type === 'RespoTrainModule').widgets)
    if (['steps', 'preview_every'].includes(widget.name)) widget.value = 2; }"""


def test_balance_a_batch(browser_path, comfy_path, server, bare_errors):
    with open_page(browser_path, server) as (page, errors):
        open_template(page, linked_name(comfy_path), "balance_a_batch", server)
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_function(ALL_PICTURES, timeout=10 * SLOW)
        assert page.evaluate(BALANCE_TEXT).startswith("8 pictures: woman 4, man 4")
        take_picture(page, "balance_a_batch")
        assert errors - bare_errors == set()


def test_train_a_module(browser_path, comfy_path, server, bare_errors):
    """Opened, trained for two steps, and its text shown."""
    with open_page(browser_path, server) as (page, errors):
        open_template(page, linked_name(comfy_path), "train_a_module", server)
        page.evaluate(FEW_STEPS)
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_function(f"() => ({TRAINING_TEXT})()?.startsWith('2 steps')", timeout=10 * SLOW)
        take_picture(page, "train_a_module")
        assert errors - bare_errors == set()
