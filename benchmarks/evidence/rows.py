"""Every row that a run on the U-Net can be asked for."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from .ablations import ABLATIONS
from .methods import METHODS, Method
from .rivals import RIVALS, SEARCH

ROWS: Mapping[str, Method] = ChainMap(METHODS, ABLATIONS, RIVALS, SEARCH)
