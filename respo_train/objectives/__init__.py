"""The objectives: one small file each. The loop that they share is `trainer.py`."""

from . import localised, respodiff, sdisc
from .objective import Objective

OBJECTIVES: dict[str, Objective] = {
    "respodiff": respodiff.OBJECTIVE,
    "sdisc": sdisc.OBJECTIVE,
    "where": localised.OBJECTIVE,
}
