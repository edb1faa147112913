"""Balance draws its shares while they are typed, and the counts after a run."""

from __future__ import annotations

from browser.page import FEW_STEPS, open_template, take_picture

from benchmarks.comfy_page import SLOW
from setup_steps.host import linked_name

BARS = """() => [...document.querySelectorAll('.respo-bars > div')].map(
    row => [...row.children].map(part => [part.textContent, Number(part.style.flexGrow)]))"""
TYPE = """([name, text]) => { const widget = app.graph.nodes.find(n => n.type === 'RespoBalance')
    .widgets.find(widget => widget.name === name); widget.value = text; widget.callback(text) }"""
SAVED = "() => app.graph.serialize().nodes.find(n => n.type === 'RespoBalance').widgets_values"


def test_bars_follow_what_is_typed_and_what_came(page, comfy_path, server):
    open_template(page, linked_name(comfy_path), "gender_and_skin_tone", server)
    before = page.evaluate(SAVED)
    page.evaluate(TYPE, ["distribution", "woman 3, man 1"])
    page.evaluate(TYPE, ["distribution_2", "light, dark"])
    assert page.evaluate(BARS) == [[["woman 75%", 0.75], ["man 25%", 0.25]], [["? light, dark", 1]]]
    page.evaluate(TYPE, ["distribution_2", ""])
    assert page.evaluate(BARS)[1] == [["equal shares", 1]]
    take_picture(page, "balance_bars")
    page.evaluate(FEW_STEPS, 2)
    page.get_by_test_id("queue-button").click()
    counted = "() => document.querySelector('.respo-bars')?.textContent.includes('woman 9man 3')"
    page.wait_for_function(counted, timeout=10 * SLOW)
    assert [label for label, _ in page.evaluate(BARS)[1]] == ["light 4", "medium 4", "dark 4"]
    take_picture(page, "balance_bars_after_a_run")
    assert len(page.evaluate(SAVED)) == len(before)  # the bars are not saved
