"""Save Labelled Images: PNG files with each picture's label in the name, and in the metadata what steered it."""

from __future__ import annotations

import io as bytes_io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..respo_train.core.counting.labels import for_file_name, parse_labels
from ..respo_train.core.errors import RespoError
from ..respo_train.core.files.text import limited
from ..respo_train.core.files.write import write_atomically
from ..respo_train.core.version import __version__
from .pictures.sheets import to_picture
from .shared import widgets
from .steering.edits import PicturesWithConcept
from .steering.patching import provenance

_COMPRESSION = 4  # the same as the host's Save Image
_LONGEST_PREFIX = 1000  # characters; Python gives up at a thousand folders in one another


class SaveImages(io.ComfyNode):
    """Pictures, labels and the model that drew them -> PNG files in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoSaveImages",
            display_name="Save Labelled Images",
            description="Saves pictures like Save Image, with the label in each file's name, and records in each file "
            "which modules steered the picture.",
            inputs=[
                io.Image.Input("images", tooltip="The pictures to save."),
                widgets.text(
                    "filename_prefix",
                    "How the names begin, as in Save Image: portraits/respo makes a subfolder, "
                    "%date:yyyy-MM-dd% inserts the date. A number and the label follow.",
                    default="respo",
                ),
                widgets.text(
                    "labels",
                    "One label per line, as many as there are pictures: link them from Balance, with its "
                    "count set to the batch size. May be empty.",
                    multiline=True,
                    optional=True,
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that the KSampler used. The name, SHA-256 and strength of each module that "
                    "acted on a picture are written into its file.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Tensor, filename_prefix: str, labels: str = "", model: Any = None) -> io.NodeOutput:
        """Write the files.

        Raises RespoError before anything is written: labels that do not match the pictures, or an unusable prefix.
        Raises RespoError also when the disk is full; the pictures written before that are complete and are kept.
        """
        names = parse_labels(labels, len(images))
        edits = [] if model is None else provenance(model)
        folder, stem, counter, subfolder = place(filename_prefix, images)
        shared = host_texts(cls.hidden)
        own = [{}] * len(names) if args.disable_metadata else [{"respo": text} for text in about(names, edits)]
        saved = []
        for index, (image, label) in enumerate(zip(images, names, strict=True)):
            data = to_png(image, {**shared, **own[index]})
            path, counter = save_new(folder, stem.replace("%batch_num%", str(index)), counter, label, data)
            saved.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
            counter += 1
        return io.NodeOutput(ui={"images": saved})


def place(prefix: str, images: Tensor) -> tuple[Path, str, int, str]:
    """Return where the host puts files of this prefix: folder, beginning of the name, next number, subfolder.

    Raises RespoError when there are no pictures, and for a prefix that is unusable or leads out of the output folder.
    """
    if not len(images):
        raise RespoError("expected at least one picture to save, found none.")
    limited(prefix, "filename_prefix", _LONGEST_PREFIX)
    output = folder_paths.get_output_directory()
    target = Path(os.path.abspath(os.path.join(output, os.path.dirname(os.path.normpath(prefix)))))
    # The host checks this too, but its message is for programmers, and it accepts a null character.
    if not target.is_relative_to(os.path.abspath(output)) or "\0" in prefix:
        raise RespoError(
            f"expected a filename_prefix inside ComfyUI's output folder, found {prefix[:100]!r}. Write a plain name "
            "like 'respo' or 'portraits/respo'."
        )
    height, width = images.shape[1:3]
    try:
        folder, stem, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
        free_path(Path(folder), stem, counter, "")
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise RespoError(
            f"the filename_prefix {prefix[:100]!r} cannot be used: {error.strerror or error}. Choose another one."
        ) from error
    return Path(folder), stem, counter, subfolder


def free_path(folder: Path, stem: str, counter: int, label: str) -> tuple[Path, int]:
    """Return "<stem>_00012_<label>_.png" and its number: the first one from `counter` on that is not taken.

    The host reads the number after the prefix, so these files and those of Save Image share one numbering. For some
    prefixes (%batch_num%, a trailing slash) the host does not find the existing numbers and starts from 1 again.
    """
    ending = f"{name}_.png" if (name := for_file_name(label)) else ".png"
    while os.path.lexists(path := folder / f"{stem}_{counter:05}_{ending}"):
        counter += 1
    return path, counter


def save_new(folder: Path, stem: str, counter: int, label: str, data: bytes) -> tuple[Path, int]:
    """Write a file under the first free number, and return both; one that another process takes meanwhile is not free.

    Raises RespoError.
    """
    while True:
        path, counter = free_path(folder, stem, counter, label)
        try:
            write_atomically(path, data, new=True)
        except FileExistsError:
            continue
        return path, counter


def host_texts(hidden: Any) -> dict[str, str]:
    """Return the text chunks of the host's Save Image; nothing when ComfyUI runs with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    prompt = {} if hidden.prompt is None else {"prompt": hidden.prompt}
    return {str(key): json.dumps(value) for key, value in {**prompt, **(hidden.extra_pnginfo or {})}.items()}


def about(labels: Sequence[str], edits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the JSON for each picture's text chunk "respo": label, index, and the modules that acted on the picture.

    `edits`: see `patching.provenance`. Which pictures an edit acts on is asked once, as it computes this for all.
    """
    modules: list[list[dict[str, Any]]] = [[] for _ in labels]
    for edit in edits:
        known = {"file": edit["module"], **{key: own for key, own in edit.items() if key not in ("images", "module")}}
        acts = [True] * len(labels) if edit["images"] is None else acted_on(edit["images"], len(labels))
        if acts is None:
            known, acts = {**known, "which_pictures": "unknown"}, [True] * len(labels)
        for own, here in zip(modules, acts, strict=True):
            own += [known] * bool(here)
    return [
        json.dumps({"label": label, "index": index, "modules": own, "version": __version__})
        for index, (label, own) in enumerate(zip(labels, modules, strict=True))
    ]


def acted_on(images: PicturesWithConcept, count: int) -> Sequence[bool] | None:
    """Return which of `count` pictures an edit acted on; None where only their sampler knew."""
    try:
        return images(count, None)
    except RespoError:
        return None


def to_png(image: Tensor, texts: Mapping[str, str]) -> bytes:
    """Return the bytes of the PNG file."""
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    data = bytes_io.BytesIO()
    to_picture(image).save(data, format="PNG", pnginfo=info, compress_level=_COMPRESSION)
    return data.getvalue()
