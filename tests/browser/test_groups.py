"""The templates' coloured groups as the page draws them: apart from each other, around their nodes."""

from __future__ import annotations

from browser.page import BOXES, overlapping

from benchmarks.comfy_page import LOAD
from benchmarks.templates import read_template, template_names

TITLE = 40  # a group's title above its first node
RIM = 10
READABLE = 8 / 14  # below this scale the page leaves out text, by its default


def test_groups_hold_their_nodes(page):
    for name in template_names():
        workflow = read_template(name)
        page.evaluate(LOAD, workflow)
        groups = [[group["title"], *group["bounding"]] for group in workflow["groups"]]
        assert groups, name
        assert overlapping(groups) == [], name
        assert crossing(page.evaluate(BOXES), groups) == [], name
        assert workflow["extra"]["ds"]["scale"] > READABLE, name


def crossing(nodes: list[list], groups: list[list]) -> list[tuple[str, str]]:
    """Titles of nodes over a group's rim or title, and of that group. A box is [title, x, y, width, height]."""
    inner = [[title, x + RIM, y + TITLE, w - 2 * RIM, h - TITLE - RIM] for title, x, y, w, h in groups]
    return [
        (node[0], group[0])
        for node in nodes
        for group, room in zip(groups, inner, strict=True)
        if overlapping([node, group]) and not within(node, room)
    ]


def within(box: list, other: list) -> bool:
    """Whether a box lies in another; half a pixel is not seen."""
    (_, x, y, w, h), (_, left, top, wide, high) = box, other
    return x > left - 0.5 and y > top - 0.5 and x + w < left + wide + 0.5 and y + h < top + high + 0.5
