"""What a method costs per picture: seconds of one core in the server, next to the unmodified model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from respo_train.evaluation.cells import Cell, digest_of
from respo_train.evaluation.figure import Figure

from . import results
from .asks import PLAIN, TASKS, ask, prompt
from .drawing import Drawer
from .measure import Figures
from .plan import UNMODIFIED, Plan
from .training import Modules

FIRST = 900  # where these prompts' seeds start
TASK = "gender"
WORDS = "a photo of a doctor"
WARMING = ask(PLAIN["neutral"], prompt(FIRST - 1, "doctor", WORDS), 1)
Seconds = Callable[[Cell], float]  # draws a cell and returns what it took


def rounds_of(plan: Plan, modules: Modules, rounds: int, pictures: int) -> list[dict[str, Cell]]:
    """Return `rounds` times a cell of each row that shares out gender, and of the unmodified model.

    Each has seeds of its own: the host keeps what it computed, and a record made for one row must not serve another.
    """
    names = [name for name in modules if name == UNMODIFIED or TASK in {task.name for task in plan.tasks(name)}]
    found = []
    for number in range(rounds):
        own = {}
        for place, name in enumerate(names):
            task = PLAIN["neutral"] if name == UNMODIFIED else TASKS[TASK]
            words = prompt(FIRST + number * len(names) + place, "doctor", WORDS)
            own[name] = plan.cell(name, ask(task, words, pictures), modules[name])
        found.append(own)
    return found


def measure(rounds: Sequence[Mapping[str, Cell]], seconds: Seconds) -> dict[str, Figures]:
    """Time every cell of every round; a figure is the median of the rounds, its interval their range."""
    taken = [{name: seconds(cell) / cell.count for name, cell in one.items()} for one in rounds]
    pictures = sum(one[UNMODIFIED].count for one in rounds)
    return {
        name: {
            "seconds_per_image": _range_of([one[name] for one in taken], pictures),
            "cost_ratio": _range_of([one[name] / one[UNMODIFIED] for one in taken], pictures),
        }
        for name in taken[0]
    }


def timed(plan: Plan, rounds: Sequence[Mapping[str, Cell]], opened: Callable[[int], Drawer]) -> dict[str, Figures]:
    """Time every round in a server of its own, with nothing beside it."""
    print("Timing what each row costs", flush=True)
    with opened(0) as drawer:
        drawer.draw(plan.cell(UNMODIFIED, WARMING, {}))  # loads the model
        for name in rounds[0] if rounds else ():  # computes what is the same for all pictures
            if plan.methods[name].how == "attention":
                drawer.draw(plan.cell(name, ask(TASKS[TASK], prompt(FIRST - 1, "doctor", WORDS), 1), {}))

        def seconds(cell: Cell) -> float:
            before = drawer.seconds()
            drawer.draw(cell)
            return drawer.seconds() - before

        return measure(rounds, seconds)


def remembered(
    folder: Path, rounds: Sequence[Mapping[str, Cell]], measured: Callable[[], dict[str, Figures]]
) -> dict[str, Figures]:
    """Return what was measured of the very same cells before, else measure now, and keep it in `folder`."""
    key = digest_of([cell.key for one in rounds for cell in one.values()])[:32]
    return results.remembered(folder / f"{key}.json", measured)


def _range_of(values: Sequence[float], pictures: int) -> Figure:
    note = f"median of {len(values)} rounds, and their range"
    return Figure(median(values), min(values), max(values), pictures, note)
