"""ComfyUI's page in a real browser: open it, load a workflow, press Run, wait for what it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from benchmarks.comfy_replies import rejection
from benchmarks.comfy_server import ComfyServer, Entry

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]
WIDE, HIGH = 1440, 900  # pixels: a laptop's screen
SLOW = 120_000  # milliseconds; two busy cores draw a page slowly
# The page has its graph before it opens the workflow of the last visit, which would replace one that is loaded sooner.
READY = "() => window.app?.extensionManager?.workflow?.activeWorkflow && document.querySelector('canvas')"
COMMAND = "(id) => { app.extensionManager.command.execute(id) }"
LOAD = "async (workflow) => { await app.loadGraphData(workflow) }"
FIT = "() => { app.canvas.deselectAll(); app.canvas.fitViewToSelectionAnimated({ duration: 1 }) }"  # all nodes
# The page puts pictures on a node when it draws it.
SHOWN = """(counts) => Object.entries(counts).every(([id, count]) => {
    const pictures = app.graph.getNodeById(id).imgs ?? [];
    return pictures.length === count && pictures.every(one => one.complete && one.naturalWidth > 0) })"""
# Without these a first visit shows the Templates dialog, and small text is left out.
SETTINGS = {"Comfy.TutorialCompleted": True, "LiteGraph.Canvas.MinFontSizeForLOD": 0, "Comfy.Minimap.Visible": False}
ANY_PROMPT = {"1": {"class_type": "PreviewAny", "inputs": {"source": "nothing"}}}
NO_BANNER = "localStorage.setItem('vueNodesBannerDismissed', 'true')"


@contextmanager
def open_page(browser_path: str, server: ComfyServer) -> Iterator[tuple[Any, set[str]]]:
    """ComfyUI's page, and the errors of its console so far (see `is_error`), without addresses and numbers."""
    from playwright.sync_api import sync_playwright

    change_settings(server, SETTINGS)
    errors: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDE, "height": HIGH})
        page.set_default_timeout(SLOW)
        page.on("console", lambda said: errors.add(plain(said)) if is_error(said) else None)
        page.add_init_script(NO_BANNER)
        visit(page, server)
        yield page, errors
        browser.close()


def change_settings(server: ComfyServer, settings: Mapping[str, Any]) -> None:
    """Change the user's settings on the server; a page sees them on its next visit."""
    requests.post(f"{server.url}/settings", json=dict(settings), timeout=60).raise_for_status()


def forget(server: ComfyServer) -> None:
    """Let the server run everything anew: what it has from an earlier run it does not report to the page again.

    The host forgets when it has ended a run, or later when idle: a run that is queued at once could come first.
    """
    requests.post(f"{server.url}/free", json={"free_memory": True}, timeout=60).raise_for_status()
    server.run(ANY_PROMPT)


def visit(page: Any, server: ComfyServer) -> None:
    """Open the page, or open it anew, and wait until it can be used."""
    page.goto(server.url)
    page.wait_for_function(READY)


def is_error(said: Any) -> bool:
    """Say whether a console message is an error that a pack may have caused.

    ComfyUI's own scripts ask other hosts for the sizes of models and for news, at any time, and its own policy refuses
    it: that is no pack's error. Where a pack's script is refused, it is.
    """
    refused = "Content Security Policy" in said.text and "/extensions/" not in said.location.get("url", "")
    return said.type == "error" and not refused


def plain(said: Any) -> str:
    """Return a console message's first line and place, without ports, queries and versions, which differ by server."""
    first, *_ = said.text.split("\n")
    return re.sub(r"\?[^\s']*|\d+", "", f"{first} {said.location.get('url')}")


def browse_templates(page: Any) -> None:
    """Open the Templates dialog."""
    page.evaluate(COMMAND, "Comfy.BrowseTemplates")
    page.get_by_text("All Templates").first.wait_for()


def press_run(page: Any) -> dict[str, Any]:
    """Press the Run button; return what the server answered: "prompt_id", "node_errors", and "error" if it refused."""
    with page.expect_response(lambda reply: reply.request.method == "POST" and reply.url.endswith("/prompt")) as reply:
        page.get_by_test_id("queue-button").click()
    answer: dict[str, Any] = reply.value.json()
    return answer


def run(page: Any, server: ComfyServer) -> Entry:
    """Press Run and wait until every picture stands on its node; return the run's history entry.

    Raises:
        PromptFailed: the server refused the workflow or a part of it, or a node failed.
    """
    answer = press_run(page)
    if answer.get("node_errors") or "prompt_id" not in answer:
        raise rejection(200 if "prompt_id" in answer else 400, answer)
    entry = server.wait(answer["prompt_id"])
    page.evaluate(FIT)
    page.wait_for_function(SHOWN, arg=picture_counts(entry))
    return entry


def picture_counts(entry: Entry) -> dict[str, int]:
    """How many pictures each node of a run shows, {node id: count}; what lies within a subgraph shows none."""
    outputs = {node: output for node, output in entry["outputs"].items() if ":" not in node}
    return {node: len(output["images"]) for node, output in outputs.items() if "images" in output}
