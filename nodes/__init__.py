"""The node pack's nodes. Registration reads the list `NODES`."""

from .apply_module import ApplyModule
from .background import Background
from .balance import Balance
from .compare import Compare
from .compose import Compose
from .fairness_report import FairnessReport
from .gate import Gate
from .import_module import ImportModule
from .interpolate import Interpolate
from .load_judge import LoadJudge
from .load_module import LoadModule
from .module_text import ModuleFromText, ModuleToText
from .record_run import RecordRun
from .safety import Safety
from .safety_report import SafetyReport
from .save_images import SaveImages
from .save_module import SaveModule
from .train_module import TrainModule
from .where import Where

NODES = [
    LoadModule,
    ApplyModule,
    Balance,
    TrainModule,
    Compose,
    Interpolate,
    SaveModule,
    ModuleToText,
    ModuleFromText,
    RecordRun,
    Background,
    Compare,
    SaveImages,
    Where,
    Gate,
    Safety,
    LoadJudge,
    FairnessReport,
    SafetyReport,
    ImportModule,
]
