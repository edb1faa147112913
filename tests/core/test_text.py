"""Text files as editors save them: byte order marks, UTF-16, Windows' line ends; and what is no text."""

from __future__ import annotations

import os

import pytest

from respo_train.core.errors import RespoError
from respo_train.core.files.text import read_text

TEXT = 'name = "è \u7537"\nsteps = 3\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_editors_save_is_the_same_text(encoding, end, tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(path, "the preset") == TEXT


def test_big_endian(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read_text(path, "the preset") == TEXT


NO_TEXT = {"Latin 1": b"caf\xe9", "half a sign": b"\xff\xfea", "PNG": b"\x89PNG\r\n\x1a\n"}


@pytest.mark.parametrize("data", NO_TEXT.values(), ids=NO_TEXT)
def test_what_is_no_text_is_refused(data, tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(data)
    with pytest.raises(RespoError, match=r"cannot read the preset at .*: no UTF-8 or UTF-16 text\. Save it as UTF-8"):
        read_text(path, "the preset")


def test_size_is_bounded(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"a" * 100)
    assert read_text(path, "the preset", most=100) == "a" * 100
    with pytest.raises(RespoError, match="a text of at most 99 bytes"):
        read_text(path, "the preset", most=99)


def test_only_files_are_opened(tmp_path):
    """A pipe would never end."""
    with pytest.raises(RespoError, match="no such file"):
        read_text(tmp_path / "nothing.toml", "the preset")
    with pytest.raises(RespoError, match=r"is a directory|expected a file"):
        read_text(tmp_path, "the preset")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(RespoError, match="expected a file, found a folder, a pipe or a device"):
            read_text(tmp_path / "pipe", "the preset")
