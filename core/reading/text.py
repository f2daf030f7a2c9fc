"""Small text files that describe an export: read whole, strictly as UTF-8, never trusted."""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from labelferry.errors import ExportError

MAX_TEXT = 64 * 1024 * 1024
"""Bytes of a text file that is read whole."""

_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Opening a named pipe does not wait for a writer; without one it is empty."""


def read_bytes_without_bom(path: Path, limit: int | None = None) -> bytes:
    """A file of UTF-8 text as bytes, without its BOM.

    Args:
        path: of the file.
        limit: bytes that it has at most; None: any number.

    Raises:
        ExportError: it is missing or too large.
    """
    try:
        if limit is not None and path.stat().st_size > limit:
            raise ExportError(f"larger than {limit // 2**20} MiB, which no file of this kind is", where=str(path))
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}", where=str(path), code="file-missing") from None
    return content.removeprefix(codecs.BOM_UTF8)


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """A UTF-8 text file, without its BOM, its line ends as they are.

    Raises:
        ExportError: it is missing, too large, or not UTF-8.
    """
    content = read_bytes_without_bom(path, limit)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ExportError(f"not UTF-8: {error.reason}", where=f"{path}:{line}", code="not-utf-8") from None


def read_names(path: Path, unique: bool = False) -> list[str]:
    """The lines of a file of names, one a line; empty lines at the end do not count.

    Args:
        path: of the file.
        unique: refuse a name that occurs twice, which shifts the numbers of all that follow.

    Raises:
        ExportError: it cannot be read, or has an empty line among the others, or a name twice.
    """
    names = [line.strip() for line in read_text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    if "" in names:
        raise ExportError("an empty line among the names", where=f"{path}:{names.index('') + 1}")
    if unique and len(set(names)) < len(names):
        line = next(i for i, name in enumerate(names) if name in names[:i]) + 1
        text = f"the name {names[line - 1]!r} is also in line {names.index(names[line - 1]) + 1}"
        raise ExportError(text, where=f"{path}:{line}", code="category-name-twice")
    return names


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        ExportError: it is not valid JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        where = f"{path}:{getattr(error, 'lineno', 1)}"
        raise ExportError(f"not JSON: {error}", where=where, code="broken-json") from None


def json_fault(error: Exception, path: Path, content: bytes) -> ExportError:
    """The error that msgspec found in the content of a JSON file, with its line if the message names the byte."""
    import msgspec

    if isinstance(error, msgspec.ValidationError):
        return ExportError(str(error), where=str(path), code="broken-json")
    byte = re.search(r"\(byte (\d+)\)", str(error))
    line = content.count(b"\n", 0, int(byte[1]) if byte else len(content)) + 1
    return ExportError(f"not JSON: {error}", where=f"{path}:{line}", code="broken-json")


def decode_part(decoder: Any, part: bytes, where: str) -> Any:
    """A part of a JSON file, decoded by msgspec.

    Raises:
        ExportError: it cannot be decoded.
    """
    import msgspec

    try:
        return decoder.decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExportError(str(error), where=where, code="broken-annotation") from None


def read_yaml(path: Path) -> Any:
    """A YAML file of mappings, lists and strings: every scalar stays text, so that a class called `no` or `1.0` keeps
    its name. Tags and aliases, which names and paths do not need, are refused; so is a key that a mapping has twice,
    which YAML does not allow and PyYAML overlooks.

    Raises:
        ExportError: it is not valid YAML, or has a tag, an alias, or a key twice.
    """
    import yaml

    text = read_text(path)
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            tag = getattr(event, "tag", None)
            if isinstance(event, yaml.AliasEvent) or (tag is not None and tag != "!"):
                what = f"the tag {tag}" if tag else "an alias"
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ExportError(f"{what} is refused", where=f"{path}:{line}", code="yaml-tag")
        node = yaml.compose(text, Loader=loader)
        _refuse_keys_twice(node, path)
        return loader("").construct_document(node) if node is not None else None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ExportError(f"not YAML: {getattr(error, 'problem', None) or error}", where=where) from None


def _refuse_keys_twice(node: Any, path: Path) -> None:
    """Refuse a mapping, at any depth of a YAML document, that has a key twice."""
    waiting = [] if node is None else [node]
    while waiting:
        node = waiting.pop()
        if node.id == "sequence":
            waiting += node.value
        elif node.id == "mapping":
            seen = set()
            for key, value in node.value:
                waiting.append(value)
                if key.id == "scalar" and key.value in seen:
                    text, line = f"the key {key.value!r} stands twice in one mapping", key.start_mark.line + 1
                    raise ExportError(text, where=f"{path}:{line}", code="key-twice")
                seen.add(key.value if key.id == "scalar" else None)


def read_label_file(path: str) -> bytes:
    """The label file of one image, without its BOM; by plain system calls, as it is one of many.

    Raises:
        ExportError: it is missing, no regular file, cannot be read, or is too large.
    """
    try:
        file = os.open(path, os.O_RDONLY | _NEVER_WAIT)
        try:
            content = os.read(file, 1 << 16)
            if not content and not stat.S_ISREG(os.fstat(file).st_mode):
                raise ExportError("not a regular file", where=path)
            while more := os.read(file, len(content)):  # twice as much each time
                content += more
                if len(content) > MAX_TEXT:
                    raise ExportError(f"larger than {MAX_TEXT // 2**20} MiB, which no label file is", where=path)
            return content.removeprefix(codecs.BOM_UTF8)
        finally:
            os.close(file)
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}", where=path) from None
