"""FID and KID in Inception's feature space, by torch-fidelity, where that and its weights are on this computer."""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
import pickletools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..core.errors import RespoError
from ..core.files.header import opened
from .drawn import Drawn, to_tensor
from .figure import Figure

PACKAGE = "torch_fidelity"
_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity calls them
_SUBSET = 1000  # pictures in each of KID's subsets
_PICKLES = 4  # in front of the tensors of a file that is no archive: what it is (three), and the tensors' names
_LONGEST = 200  # letters of a class's name


def weights_path() -> Path:
    """Return where torch-fidelity keeps Inception's weights once it has fetched them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _WEIGHTS


def why_not() -> str:
    """Return why FID and KID cannot be computed here, "" where they can. Nothing is ever downloaded."""
    if importlib.util.find_spec(PACKAGE) is None:
        return "the package torch-fidelity is not installed (pip install torch-fidelity)"
    if not weights_path().is_file():
        return f"Inception's weights are not at {weights_path()}"
    return ""


def fid_and_kid(drawn: Sequence[Drawn], reference: Sequence[Drawn]) -> dict[str, Figure]:
    """Return {"fid": …, "kid": …} between the drawn pictures and `reference`.

    Neither has an interval: torch-fidelity's spread of KID is between subsets of the same pictures, which says nothing
    of other pictures (and is 0 where a subset is all of them). Raises RespoError when the file of the
    network's weights holds anything but tensors.
    """
    calculate_metrics = importlib.import_module(PACKAGE).calculate_metrics

    _refuse_code(weights_path())
    first, second = _Pictures(drawn), _Pictures(reference)
    subset = min(_SUBSET, len(first), len(second))
    found = calculate_metrics(
        input1=first,
        input2=second,
        fid=True,
        kid=True,
        kid_subset_size=subset,
        cuda=torch.cuda.is_available(),
        verbose=False,
        feature_extractor_weights_path=str(weights_path()),
    )
    fid, kid = found["frechet_inception_distance"], found["kernel_inception_distance_mean"]
    note = f"of {len(first)} pictures to {len(second)}; papers take 10,000 and more" if len(first) < 10_000 else ""
    return {key: Figure(value, math.nan, math.nan, len(first), note) for key, value in (("fid", fid), ("kid", kid))}


def _refuse_code(path: Path) -> None:
    # torch-fidelity opens the file in a way that can run code in it, so check first that there is none.
    try:
        with opened(path) as file:
            if zipfile.is_zipfile(file):  # such an archive says how large it would become
                archive = zipfile.ZipFile(file)
                if sum(entry.file_size for entry in archive.infolist()) > 2 * path.stat().st_size:
                    raise ValueError("it is compressed")
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        _require_short_names(io.BytesIO(archive.read(name)), 1)
            else:
                file.seek(0)
                _require_short_names(file, _PICKLES)
            file.seek(0)
            torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load can raise anything
        raise RespoError(f"expected Inception's weights at {path}, found something else. Fetch them anew.") from error


def _require_short_names(file: IO[bytes], pickles: int) -> None:
    """Raise ValueError for a class with a long name.

    PyTorch's refusal of such a class takes seconds for 20 kB, and four times as long for twice as much.
    """
    for _ in range(pickles):
        for opcode, argument, _place in pickletools.genops(file):
            if opcode.name == "GLOBAL" and len(str(argument)) > _LONGEST:
                raise ValueError("it names a class with more letters than classes have")


class _Pictures(Dataset[Tensor]):
    """Bytes `[3, H, W]`, as torch-fidelity takes them."""

    def __init__(self, drawn: Sequence[Drawn]):
        self._places = [(one, row) for one in drawn for row in range(len(one.images))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Tensor:
        one, row = self._places[index]
        return (to_tensor(one.images[row : row + 1])[0] * 255).round().byte()
