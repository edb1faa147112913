"""Compare: two batches of pictures side by side, with a map of where they differ."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..respo_train.core.counting.labels import parse_labels
from ..respo_train.core.pictures.compare import (
    change_map,
    colours,
    fit_subject,
    heat_over,
    outline,
    scale_top,
    share_outside,
)
from .pictures.sheets import Scale, sheet, to_image, to_picture
from .shared import widgets

MOST_SHOWN = 64  # pictures on a sheet; the figures are of all pictures


class Compare(io.ComfyNode):
    """Pictures before and after -> a labelled sheet of both, a heat map of the change, and its share outside a mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoCompare",
            display_name="Compare",
            description="Shows pictures before and after in pairs, where they differ, and how much of that lies "
            "outside the subject. Draw both from the same seed and latent.",
            inputs=[
                io.Image.Input("before", tooltip="The pictures without the change, e.g. of the model as it is."),
                io.Image.Input(
                    "after", tooltip="The pictures with the change: the same number, of the same size and seed."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White where the subject is, in the pictures' size: one mask for all pictures or one for "
                    "each. The change outside the subject can only be measured with a mask.",
                ),
                widgets.text(
                    "labels",
                    "What to write below each pair, one label per line, e.g. linked from Balance. May be empty.",
                    multiline=True,
                    optional=True,
                ),
            ],
            outputs=[
                io.Image.Output(display_name="grid", tooltip="All pairs on one sheet: before above after."),
                io.Image.Output(
                    display_name="heat",
                    tooltip="Where the pictures changed: a heat map over each picture after the change, with a scale; "
                    "the mask's edge is white.",
                ),
                io.Float.Output(
                    display_name="outside",
                    tooltip="How much of the whole change lies outside the mask: 0 is none, 1 is all. It is 1 without "
                    "a mask, and 0 when nothing changed.",
                ),
                io.String.Output(display_name="text", tooltip="The numbers in words."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, before: Tensor, after: Tensor, mask: Tensor | None = None, labels: str = "") -> io.NodeOutput:
        """Return the pairs, the heat map, the share of the change outside the mask, and a text.

        `before`, `after`: `[B, H, W, C]` in 0 … 1. Raises RespoError when they do not match each other, the mask or the
        labels.
        """
        change = change_map(before, after)
        subject = None if mask is None else fit_subject(mask, change)
        names = parse_labels(labels, len(change))
        text = describe(change, subject)
        grid = to_image(pairs(before, after, names))
        heat = to_image(heat_sheet(after, change, subject, names))
        shown = {**ui.PreviewImage(grid, cls=cls).as_dict(), "text": (text,)}
        return io.NodeOutput(grid, heat, share_outside(change, subject), text, ui=shown)


def pairs(before: Tensor, after: Tensor, labels: list[str]) -> Image.Image:
    """Draw each picture `before` above its picture `after`; both are `[B, H, W, C]`."""
    rows = [
        (name, [to_picture(colours(image)) for image in images[:MOST_SHOWN]])
        for name, images in (("before", before), ("after", after))
    ]
    return sheet(rows, labels[:MOST_SHOWN])


def heat_sheet(after: Tensor, change: Tensor, subject: Tensor | None, labels: list[str]) -> Image.Image:
    """Draw the change `[B, H, W]` over each picture `after`, with its figure below and one colour scale for all."""
    top = scale_top(change)
    pictures, captions = [], []
    for index, label in enumerate(labels[:MOST_SHOWN]):
        drawn = heat_over(after[index], change[index], top)
        own = None if subject is None else subject[index]
        if own is not None:
            drawn[outline(own, max(1, min(own.shape) // 256))] = 1.0
        mean, outside = percent(float(change[index].mean())), share_outside(change[index], own)
        pictures.append(to_picture(drawn))
        captions.append(f"{label}\n{f'mean {mean}' if own is None else f'{percent(outside)} outside'}".strip())
    more = " or more" if top < 1 else ""
    ticks = ("0 %", percent(top / 2), f"{percent(top)}{more}")
    ramp = torch.linspace(0, top, 256)[None]
    strip = to_picture(heat_over(torch.full((1, 256, 3), 0.5), ramp, top))
    return sheet([("", pictures)], captions, Scale(strip, ticks, "Change in % of the full range"))


def describe(change: Tensor, subject: Tensor | None) -> str:
    """Describe the change `[B, H, W]` in words. `subject`: the mask as a bool `[B, H, W]`, or None."""
    means = [float(own.mean()) for own in change]
    least, most = percent(min(means)), percent(max(means))
    spread = f" (from {least} to {most})" if least != most else ""
    count = f"{len(means)} pair{'s' if len(means) != 1 else ''}"
    lines = [f"{count}: changed by {percent(sum(means) / len(means))} of the full range on average{spread}."]
    if max(means) == 0:
        lines = [f"{count}: no difference at all."]
    elif subject is None:
        lines.append("Link a mask of the subject to see how much of the change lies outside it.")
    else:
        lines.append(f"Outside the mask lies {percent(share_outside(change, subject))} of the change.")
    if len(means) > MOST_SHOWN:
        lines.append(f"The sheets show the first {MOST_SHOWN}.")
    return "\n".join(lines)


def percent(share: float) -> str:
    """Write a share as a percentage: 0.0634 as "6.3 %", without a decimal from 10 % on."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"
