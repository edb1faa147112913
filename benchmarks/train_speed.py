"""`python -m benchmarks.train_speed [--quick] [--json FILE]`: the released RespoDiff loop next to ours, on one machine.

All ratios are released / ours: higher is better for ours.
"""

from __future__ import annotations

import platform
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.command import parser_of, write_figures
from benchmarks.evidence.bench import BENCH, JUDGE
from benchmarks.speed.cost import on_emoji_world
from benchmarks.speed.emoji import time_to_goal
from benchmarks.speed.geometry import on_geometry
from respo_train.core.errors import RespoError

CHECKPOINT = BENCH / "checkpoint" / "emoji_world.safetensors"
PARTS = ("cost", "goal", "sd15", "sdxl")
TARGETS = {"flops_ratio": 8, "time_to_same_deviation_ratio": 10, "sd15_step_time_ratio": 6}
BOTH = [torch.float32, torch.bfloat16]


def main() -> int:
    """Measure, print, write; returns the exit status."""
    options = _options()
    started = time.perf_counter()
    parts: dict[str, Any] = {}
    try:
        for part in options.only or PARTS:
            parts[part] = _measure(part, options.quick)
    except RespoError as error:
        print(f"train_speed: {error}", file=sys.stderr)
        return 2
    figures = {**headline(parts), "quick": options.quick, "machine": _machine(), "parts": parts}
    figures["seconds"] = round(time.perf_counter() - started, 1)
    write_figures(options.json, figures)
    print("\n" + "\n".join(table(figures)))
    return 0


def _options() -> Namespace:
    parser = parser_of("train_speed", __doc__)
    parser.add_argument("--quick", action="store_true", help="at most 10 minutes on 2 idle cores")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part alone (may be given again)")
    return parser.parse_args()


def _measure(part: str, quick: bool) -> dict[str, Any]:
    if part == "cost":
        return on_emoji_world(CHECKPOINT, rounds=5 if quick else 15)
    if part == "goal":
        # Seconds that the released loop may train for, pictures of each profession, steps of DDIM.
        budget, pictures, steps = (120.0, 6, 10) if quick else (1800.0, 20, 20)
        return time_to_goal(CHECKPOINT, JUDGE, budget, pictures, steps)
    if part == "sd15":
        return on_geometry("sd15", CHECKPOINT, 512, BOTH, rounds=1 if quick else 3)
    # In float32 SDXL's weights alone are 10.3 GB.
    return on_geometry("sdxl", CHECKPOINT, 256 if quick else 512, [torch.bfloat16], rounds=1 if quick else 3)


def headline(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the ratios, released / ours; None for what was not measured.

    Those with a name of their own only are at equal precision (float32) and equal batch (1); "own_precision": theirs in
    float32, ours in bfloat16 where the machine has it; "a_latent": for each latent learned from, ours at its own batch.
    """
    cost, goal = parts.get("cost"), parts.get("goal")
    figures: dict[str, Any] = dict.fromkeys(("flops_ratio", "step_time_ratio", "peak_memory_ratio"))
    if cost is not None:
        operations, seconds, memory, batch = cost["flops"], cost["seconds"], cost["peak_bytes"], cost["batch"]
        figures = {
            "flops_ratio": operations["released"] / operations["ours"],
            "flops_ratio_papers_target": operations["released"] / operations["ours, paper's target"],
            "flops_ratio_a_latent": operations["released"] * batch / operations["ours, own"],
            "step_time_ratio": seconds["released"] / seconds["ours"],
            "step_time_ratio_own_precision": seconds["released"] / seconds["ours, own, batch 1"],
            "step_time_ratio_own_a_latent": seconds["released"] * batch / seconds["ours, own"],
            "peak_memory_ratio": memory["released"] / memory["ours"],
            "peak_memory_ratio_own_precision": memory["released"] / memory["ours, own, batch 1"],
            "peak_memory_ratio_own_batch": memory["released"] / memory["ours, own"],
        }
    figures["time_to_same_deviation_ratio"] = goal["ratio"] if goal else None
    figures["time_to_same_deviation_is_lower_bound"] = goal["is_lower_bound"] if goal else None
    for family in ("sd15", "sdxl"):
        figures |= _geometry_ratios(family, parts.get(family))
    return figures


def _geometry_ratios(family: str, part: Mapping[str, Any] | None) -> dict[str, float | None]:
    full, half = ((part or {}).get(precision) for precision in ("float32", "bfloat16"))
    equal = full or half
    figures: dict[str, float | None] = {
        f"{family}_step_time_ratio": None,
        f"{family}_step_time_ratio_own_precision": None,
        f"{family}_flops_ratio": None,
        f"{family}_peak_memory_ratio": None,
    }
    if equal:
        for name, key in (("step_time", "seconds"), ("flops", "flops"), ("peak_memory", "peak_bytes")):
            figures[f"{family}_{name}_ratio"] = equal[key]["released"] / equal[key]["ours"]
    if full and half:
        figures[f"{family}_step_time_ratio_own_precision"] = full["seconds"]["released"] / half["seconds"]["ours"]
    return figures


def table(figures: Mapping[str, Any]) -> list[str]:
    """Return the lines to print."""
    lines = [f"{'released / ours':45}{'ratio':>9}  target"]
    for name, value in figures.items():
        if "ratio" not in name or name == "parts":
            continue
        at_least = "\u2265 " if name.startswith("time_to") and figures["time_to_same_deviation_is_lower_bound"] else ""
        shown = "–" if value is None else f"{at_least}{value:.2f}"
        lines.append(f"{name:45}{shown:>9}  {_verdict(value, TARGETS.get(name))}".rstrip())
    lines += _details(figures["parts"])
    return lines


def _verdict(value: float | None, target: float | None) -> str:
    if target is None or value is None:
        return "" if target is None else f"\u2265 {target}"
    return f"\u2265 {target}, {'met' if value >= target else 'NOT MET'}"


def _details(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    if "cost" in parts:
        cost = parts["cost"]
        lines += ["", f"{'one step on Emoji World':45}{'GFLOP':>9}{'forwards':>10}{'seconds':>10}{'peak MB':>9}"]
        for name in cost["flops"]:
            amount = cost["flops"][name]
            lines.append(
                f"{name:45}{amount / 1e9:9.1f}{amount / cost['forward_flops']:10.1f}"
                f"{cost['seconds'][name]:10.3f}{cost['peak_bytes'][name] / 1e6:9.1f}"
            )
        lines.append(f"(own: {cost['precision']}, batch {cost['batch']})")
    if "goal" in parts:
        goal = parts["goal"]
        lines += ["", f"training until the deviation ratio is {goal['goal']} or lower"]
        for name in ("released", "ours"):
            steps, seconds, ratio = goal[name]["checkpoints"][-1]
            reached = "reached" if goal[name]["reached"] else "not reached"
            lines.append(f"{name:45}{seconds:9.1f} s, {steps} steps: {reached} ({ratio:.3f})")
    for family in ("sd15", "sdxl"):
        for precision in ("float32", "bfloat16"):
            found = parts.get(family, {}).get(precision)
            if found:
                times = found["seconds"]
                what = f"{family}, {parts[family]['pixels']} px, {precision}: seconds a step"
                lines.append(f"{what:45}{times['released']:9.1f} released, {times['ours']:.1f} ours")
    return lines


def _machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"gpu": gpu, "cpu": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__}


if __name__ == "__main__":
    sys.exit(main())
