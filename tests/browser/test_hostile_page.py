"""What the page shows of a stranger's workflow: marks that could lie are written out, and it stays alive."""

from __future__ import annotations

import pytest
from browser.page import DRAWN, FEW_STEPS

from benchmarks.comfy_page import LOAD, press_run
from benchmarks.templates import read_template

TURNED = "\u202e"  # what follows is written from right to left
BARS = """() => [...document.querySelectorAll('.respo-bars > div:first-child > div')].map(
    part => [part.textContent, part.title])"""
SWITCHES = """() => app.graph.nodes.find(n => n.type === 'RespoSafety').widgets
    .filter(w => w.name.includes('.safetensors')).map(w => [w.name, w.label ?? w.name])"""
TEXT = """() => app.graph.nodes.find(n => n.type === 'RespoBalance').widgets.find(w => w.name === 'respo_text').value"""


def with_value(name, kind, place, value):
    workflow = read_template(name)
    next(node for node in workflow["nodes"] if node["type"] == kind)["widgets_values"][place] = value
    return workflow


def bars_of(page, value):
    page.evaluate(LOAD, with_value("gender_and_skin_tone", "RespoBalance", 0, value))
    page.evaluate(DRAWN)
    return page.evaluate(BARS)


def test_a_name_cannot_turn_its_percent_round(page):
    (woman, title), man = bars_of(page, f"woman{TURNED} 3, man 1")
    assert (woman, title) == (r"woman\u202e 75%", r"woman\u202e: 75%")
    assert man == ["man 25%", "man: 25%"]
    ((refused, _),) = bars_of(page, f"woman{TURNED}3")
    assert refused == r"? woman\u202e3"


@pytest.mark.parametrize("value", [{"toString": 1, "valueOf": 2}, [["woman", 3]], "w" * 1_000_000, f"{'w' * 10_000} 1"])
def test_whatever_stands_where_shares_do_is_shown_in_short(page, value):
    ((shown, title),) = bars_of(page, value)
    assert shown != "equal shares"
    assert len(shown) + len(title) < 250


def load_switches(page, switches):
    workflow = read_template("safety_switchboard")
    node = next(node for node in workflow["nodes"] if node["type"] == "RespoSafety")
    node["properties"]["respo_switches"] = switches
    page.evaluate(LOAD, workflow)
    return dict(page.evaluate(SWITCHES))


def test_a_switch_that_is_not_here_is_written_out(page):
    name = f"no {TURNED}weapons (mine.safetensors)"
    assert load_switches(page, {name: True})[name] == r"no \u202eweapons (mine.safetensors)"


def test_twenty_thousand_switches_do_not_stop_the_page(page):
    many = {f"no {number} ({number}.safetensors)": True for number in range(20_000)}
    assert 0 < len(load_switches(page, many)) < 2000
    saved = page.evaluate("() => app.graph.serialize().nodes.find((one) => one.type === 'RespoSafety').properties")
    assert many.items() <= saved["respo_switches"].items()  # those that the page does not show are kept, too


def test_why_the_host_refused_is_written_out(page):
    page.evaluate(LOAD, with_value("gender_and_skin_tone", "RespoBalance", 3, f"1{TURNED}2"))
    page.evaluate(FEW_STEPS, 1)
    assert press_run(page)["node_errors"]
    page.wait_for_function(f"({TEXT})().includes('INT')")
    assert r"1\u202e2" in page.evaluate(TEXT)
    assert TURNED not in page.evaluate(TEXT)
