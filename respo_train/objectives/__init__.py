"""The training objectives, one small file each. They share the loop in `trainer.py`."""

from . import localised, respodiff, sdisc
from .objective import Objective

OBJECTIVES: dict[str, Objective] = {
    "respodiff": respodiff.OBJECTIVE,
    "sdisc": sdisc.OBJECTIVE,
    "where": localised.OBJECTIVE,
}
