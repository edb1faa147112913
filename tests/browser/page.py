"""ComfyUI's page in a real browser: open it, load what is saved, ask it what it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.api_format import to_api
from benchmarks.comfy_server import ComfyServer

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "example_workflows"
SCREENSHOTS = ROOT / "out" / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]
READY = "() => window.app?.extensionManager && window.app.graph && document.querySelector('canvas')"
UNKNOWN_TYPES = "() => app.graph.nodes.map(n => n.type).filter(type => !(type in LiteGraph.registered_node_types))"
LOAD = "async (workflow) => { await app.loadGraphData(workflow) }"
BOXES = "() => app.graph.nodes.map(n => [n.title, ...n.getBounding()])"
PROMPT = """async () => Object.fromEntries(
    Object.entries((await app.graphToPrompt()).output).map(([id, { _meta, ...node }]) => [id, node]))"""
SLOW = 120_000  # milliseconds; two busy cores draw a page slowly


@contextmanager
def open_page(browser_path: str, server: ComfyServer) -> Iterator[tuple[Any, set[str]]]:
    """ComfyUI's page, and the errors of its console so far, without addresses and numbers."""
    from playwright.sync_api import sync_playwright

    # Without this a first visit shows the Templates dialog.
    requests.post(f"{server.url}/settings", json={"Comfy.TutorialCompleted": True}, timeout=60).raise_for_status()
    errors: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(SLOW)
        page.on("console", lambda said: errors.add(plain(said)) if said.type == "error" else None)
        page.goto(server.url)
        page.wait_for_function(READY)
        page.evaluate("() => { app.extensionManager.command.execute('Comfy.BrowseTemplates') }")
        page.get_by_text("All Templates").first.wait_for()
        yield page, errors
        browser.close()


def plain(said: Any) -> str:
    """A console message's first line and place, without what differs between two servers: ports, queries, versions."""
    first, *_ = said.text.split("\n")
    return re.sub(r"\?[^\s']*|\d+", "", f"{first} {said.location.get('url')}")


def open_template(page: Any, pack: str, name: str, server: ComfyServer) -> None:
    """Click a template of the pack; all its nodes are known, none covers another, and none lost a value."""
    page.get_by_text(pack, exact=True).first.click()
    page.get_by_text(name).first.click()
    template = json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
    page.wait_for_function(f"() => app.graph.nodes.length === {len(template['nodes'])}")
    assert page.evaluate(UNKNOWN_TYPES) == []
    assert overlapping(page.evaluate(BOXES)) == []
    assert page.evaluate(PROMPT) == to_api(template, server.object_info())


def take_picture(page: Any, name: str) -> None:
    page.wait_for_timeout(1000)  # the page draws a little later
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def overlapping(boxes: list[list]) -> list[tuple[str, str]]:
    """Titles of nodes that cover each other. A box is [title, x, y, width, height]."""
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    return [
        (a[0], b[0])
        for a, b in pairs
        if a[1] < b[1] + b[3] and b[1] < a[1] + a[3] and a[2] < b[2] + b[4] and b[2] < a[2] + a[4]
    ]
