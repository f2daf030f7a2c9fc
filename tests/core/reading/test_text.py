"""Text files: with and without a BOM, too large, missing, not UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import labelferry
from labelferry.reading.text import MAX_TEXT, read_bytes_without_bom, read_label_file, read_text

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("content", [b"", b"a\r\nb", b"\xc3\xa4\n", b"a" + BOM])
def test_a_bom_at_the_beginning_does_not_count(content: bytes, tmp_path: Path) -> None:
    for name, written in (("plain", content), ("bom", BOM + content)):
        (tmp_path / name).write_bytes(written)
        assert read_bytes_without_bom(tmp_path / name) == content
        assert read_text(tmp_path / name) == content.decode()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(labelferry.ExportError, match=r"nothing.*cannot be read: No such file") as caught:
        read_bytes_without_bom(tmp_path / "nothing")
    assert caught.value.code == "file-missing"
    (tmp_path / "large").write_bytes(b"12345")
    assert read_bytes_without_bom(tmp_path / "large", 5) == b"12345"
    with pytest.raises(labelferry.ExportError, match="larger than 0 MiB"):
        read_bytes_without_bom(tmp_path / "large", 4)
    (tmp_path / "latin").write_bytes(BOM + b"a\n\xe4")
    with pytest.raises(labelferry.ExportError, match="latin:2: not UTF-8"):
        read_text(tmp_path / "latin")


def test_a_label_file_is_read_whole_whatever_its_size(tmp_path: Path) -> None:
    for size in (0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, (1 << 18) + 5):
        content = os.urandom(size).replace(BOM, b"")
        (tmp_path / "label").write_bytes(BOM + content)
        assert read_label_file(f"{tmp_path}/label") == content


def test_a_label_file_is_a_regular_file_of_a_limited_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", MAX_TEXT + 1)
    faults = {
        "pipe": "not a regular file",
        "large": "larger than 64 MiB",
        "nothing": "No such file",
        ".": "a directory",
    }
    for name, text in faults.items():
        with pytest.raises(labelferry.ExportError, match=text) as caught:
            read_label_file(f"{tmp_path}/{name}")
        assert caught.value.where == f"{tmp_path}/{name}"
        assert caught.value.code == "unreadable"
