"""The nodes. `NODES` is the one list that registration reads."""

from .apply_module import ApplyModule
from .background import Background
from .balance import Balance
from .load_module import LoadModule
from .record_run import RecordRun
from .train_module import TrainModule

NODES = [LoadModule, ApplyModule, Balance, TrainModule, RecordRun, Background]
