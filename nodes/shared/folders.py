"""The model folders, and the safe way from a file name in a workflow to a path."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import folder_paths

from ...respo_train.core.errors import ModuleFileError
from ...respo_train.core.files.checkpoint import file_sha256
from ...respo_train.core.files.text import read_text
from ...respo_train.core.shown import printable, shown
from .shipped import FOLDER as SHIPPED
from .shipped import shipped_file, shipped_name

FOLDER = "respo"
SUFFIX = ".safetensors"
FOREIGN = (".pth", ".pt")  # other projects' files, for Import Module alone
SHOW_CHECKPOINT = "Respo.EmojiWorld.ShowCheckpoint"  # declared in web/js/settings.js
# Drives and streams, null, line breaks (with one a name could add a line to a node's text), lone surrogates.
_NEVER_IN_A_NAME = re.compile("[:\\0\\n\\r\\ud800-\\udfff]")
# Tabs, signs that Windows refuses, and what stands for a device there, whatever the ending.
_NEVER_IN_A_NEW_NAME = re.compile(
    r"[\t<>\"|?*]|(^|[/\\])(con|prn|aux|nul|com\d|lpt\d)\s*(\.[^/\\]*)?($|[/\\])", re.IGNORECASE
)
_MAX_BYTES = 128 * 2**20  # no module is larger; checked before hashing, which takes long for a checkpoint
_EMOJI_WORLD = Path(__file__).resolve().parents[2] / "emoji_world"


def register() -> None:
    """Add the `respo` model folder and, unless its setting hides it, Emoji World's checkpoint. Idempotent."""
    own = own_folder()
    folder_paths.add_model_folder_path(FOLDER, str(own))
    folder_paths.add_model_folder_path(FOLDER, str(SHIPPED))
    # For a new folder the host has no filter: it would list every file.
    paths, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, {SUFFIX})
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logging.info("Respo: %s cannot be made (%s); modules can still be read from elsewhere.", own, error)
    if shows_checkpoint():
        folder_paths.add_model_folder_path("checkpoints", str(_EMOJI_WORLD / "checkpoint"))


def own_folder() -> Path:
    """Return the host's `models/respo`, where people are told to put their modules."""
    return Path(folder_paths.models_dir) / FOLDER


def shows_checkpoint() -> bool:
    """Read the user's setting from the host's settings file; True by default. It takes effect when the host starts."""
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        settings = json.loads(read_text(path, "ComfyUI's settings"))
    except ValueError:
        return True
    return not isinstance(settings, dict) or settings.get(SHOW_CHECKPOINT, True) is not False


def module_names() -> list[str]:
    """Return the names of all module files, including those in subfolders."""
    try:
        return folder_paths.get_filename_list(FOLDER)
    except OSError:  # the host's list still asks for a folder that is gone: what is in the others must not go with it
        return _names((SUFFIX,))


def resolve(name: str, sha256: str = "", suffixes: tuple[str, ...] = (SUFFIX,)) -> Path:
    """Find a module file by its name, or with the suffixes FOREIGN another project's. `sha256` is only for the message.

    Raises ModuleFileError, which says where to put the file. Names come from workflows that strangers write, so only
    files inside a `respo` folder are opened, after resolving links.
    """
    relative = _relative(name, suffixes)
    if found := _inside(relative):
        return found
    known = f" (SHA-256 {sha256})" if sha256 else ""
    what, there = ("file", foreign_names()) if suffixes == FOREIGN else ("module", module_names())
    raise ModuleFileError(
        f"The {what} {name!r}{known} is not on this computer. Get the file from where you got the workflow, put it "
        f"into {own_folder() / relative.parent} and press R in ComfyUI; or choose one that is there: "
        f"{', '.join(there[:10]) or 'none yet'}."
    )


def version_of(name: str | None, suffixes: tuple[str, ...] = (SUFFIX,)) -> str:
    """Return a text that changes whenever the file does, for the host's `fingerprint_inputs`.

    `name`: None where the widget is linked: the host does not know its value yet, so the text changes with any file.
    Raises ModuleFileError as `resolve` does.
    """
    if name is not None:
        return file_sha256(resolve(name, suffixes=suffixes))
    found = []
    for each in module_names() if suffixes == (SUFFIX,) else foreign_names():
        with contextlib.suppress(ModuleFileError, OSError):  # such a file cannot be opened by the node either
            stamp = resolve(each, suffixes=suffixes).stat()
            found.append((each, stamp.st_size, stamp.st_mtime_ns))
    return repr(found)


def versions_of(names: Iterable[str]) -> list[str]:
    """Return the SHA-256 of those files that are modules here."""
    found = []
    for name in names:
        with contextlib.suppress(ModuleFileError):
            found.append(version_of(name))
    return found


def foreign_names() -> list[str]:
    """Return the names of other projects' files in the `respo` folders, which the host's list leaves out."""
    return _names(FOREIGN)


def _names(suffixes: tuple[str, ...]) -> list[str]:
    """Return the names in each folder that can be listed. From an error here the host would leave out the node."""
    found: set[str] = set()
    for root in folder_paths.get_folder_paths(FOLDER):
        try:
            names, _ = folder_paths.recursive_search(root, excluded_dir_names=[".git"])
        except OSError as error:
            logging.warning("Respo: %s cannot be listed: %s. Its nodes do not offer its files.", root, str(error)[:300])
            continue
        found.update(folder_paths.filter_files_extensions(names, suffixes))
    return sorted(found)


def _inside(relative: PurePosixPath) -> Path | None:
    """Return the shipped file of that name, or else the first in a `respo` folder.

    Raises ModuleFileError for a link that leads outside.
    """
    if found := shipped_file(relative):
        return found
    for root in map(Path, folder_paths.get_folder_paths(FOLDER)):
        found = root / relative
        if found.is_file():
            if not _real(found).is_relative_to(_real(root)):
                raise ModuleFileError(
                    f"{str(relative)!r} is a link that leads out of {root}. Copy the file there, or add its own folder "
                    f"under '{FOLDER}:' in extra_model_paths.yaml."
                )
            if found.stat().st_size > _MAX_BYTES:
                raise ModuleFileError(f"{str(relative)!r} is larger than {_MAX_BYTES >> 20} MiB. Is it a checkpoint?")
            return found
    return None


def place_for(name: str) -> tuple[Path, str]:
    """Return the path to write a module to, and its name in the list. Writes nothing.

    The path is in the first `respo` folder, where the host saves too: the user's own if extra_model_paths.yaml sets
    one. Raises ModuleFileError for a name that leads outside, and for that of a module that ships with Respo.
    """
    given = name.strip()
    relative = _relative(given if given.lower().endswith(SUFFIX) else given + SUFFIX)
    if _NEVER_IN_A_NEW_NAME.search(given) or printable(given) != given:
        raise ModuleFileError(
            f"expected a name that can be read and that Windows can store, found {shown(given)}. Choose a name without "
            "line breaks, invisible marks and any of < > | ? * or quotes, other than CON, NUL and the like."
        )
    if shipped_name(relative):
        raise ModuleFileError(f"{given[:100]!r} is the name of a module that ships with Respo. Choose another name.")
    root = Path(folder_paths.get_folder_paths(FOLDER)[0])
    path = root / relative
    if not _real(path).is_relative_to(_real(root)):
        raise ModuleFileError(f"{given!r} leads out of {root} by a link. Choose another name.")
    return path, str(relative)


def _real(path: Path) -> Path:
    """Follow links; unlike `resolve`, this also has an answer where they go round in a circle."""
    return Path(os.path.realpath(path))


def _is_too_long(path: PurePosixPath) -> bool:
    """Return whether file systems refuse a name: more than 255 bytes in a part of it."""
    return any(len(part.encode(errors="surrogatepass")) > 255 for part in path.parts) or len(str(path)) > 1000


def _relative(name: str, suffixes: tuple[str, ...] = (SUFFIX,)) -> PurePosixPath:
    """Check a name before it reaches the file system. Raises ModuleFileError."""
    name = str(name)  # a workflow's JSON may hold anything
    path = PurePosixPath(name.replace("\\", "/"))  # workflows saved on Windows
    inside = not path.is_absolute() and ".." not in path.parts and not _NEVER_IN_A_NAME.search(name)
    if not inside or path.suffix.lower() not in suffixes or _is_too_long(path):
        raise ModuleFileError(
            f"expected the name of a {' or '.join(suffixes)} file inside the '{FOLDER}' model folder, found "
            f"{name[:100]!r}. Choose one from the list without ':' and line breaks, or for a new file a plain name "
            "like 'gender' or 'mine/gender'."
        )
    return path
