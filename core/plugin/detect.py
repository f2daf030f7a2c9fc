"""Which format an export has: every adapter looks at a sample of it, nothing is walked whole."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from labelferry.errors import LabelferryError, UsageError
from labelferry.task_type import TaskType

MOST = 5_000
"""Entries of folders that are looked at in all, for one format."""

HEAD = 1 << 16
"""Bytes of a file that are looked at, at its beginning and its end."""

SMALL = 8 << 20
"""Bytes of a file that is read whole."""


class Match(NamedTuple):
    """What an adapter recognises.

    Attributes:
        source: the path to convert.
        flavour: what kind of the format it is, in words.
        tasks: the task types that it holds, richest first.
        images: how many images there are, None if that is not known cheaply.
        exact: whether it is exactly so many; else there are at least as many.
        options: the adapter's options that it needs.
        question: what a sample does not show, and the option that answers it; empty if there is no question.
        variant: the variant of the format, as `kitti` of `labelformat:kitti`.
    """

    source: Path
    flavour: str
    tasks: tuple[TaskType, ...]
    images: int | None = None
    exact: bool = True
    options: dict[str, Any] = {}  # noqa: RUF012
    question: str = ""
    variant: str = ""


def match_results(path: Path, flavour: str, tasks: tuple[TaskType, ...], datasets: list[Path]) -> Match:
    """A file of results, whose images and categories are in another file: the only one that was found."""
    if len(datasets) == 1:
        return Match(path, flavour, tasks, options={"dataset": datasets[0]})
    question = "the images and categories of results are in another file: which? (--dataset)"
    return Match(path, flavour, tasks, options={"dataset": Path("INSTANCES.json")}, question=question)


class Detection(NamedTuple):
    """A format that an export may have.

    Attributes:
        format: name of the format, for `--from`.
        match: what the format recognises: source, task types, number of images, options.
    """

    format: str
    match: Match

    @property
    def command(self) -> list[str]:
        """The command that converts the export, without the datasource, as words."""
        words = ["labelferry", "convert", "--from", self.format, "--to", "lightly", str(self.match.source)]
        for name, value in self.match.options.items():
            flag = f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
        return words

    def describe(self) -> str:
        """Format, task types and number of images, and the command that converts it, in two or three lines."""
        match = self.match
        if match.images is None:
            count = ""
        else:
            count = f"; {'' if match.exact else 'more than '}{match.images:,} image{'s' * (match.images != 1)}"
        lines = [f"{self.format}: {match.flavour}; {', '.join(match.tasks)}{count}"]
        if match.question:
            lines.append(f"  ? {match.question}")
        lines.append(f"  {shlex.join([*self.command[:7], 'DATASOURCE', *self.command[7:]])}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        options = {name: str(value) if isinstance(value, Path) else value for name, value in self.match.options.items()}
        return {
            **self.match._asdict(),
            "format": self.format,
            "source": str(self.match.source),
            "tasks": [task.value for task in self.match.tasks],
            "options": options,
            "command": self.command,
        }


class Probe:
    """A path and what little is looked at of it; what was seen is kept.

    Args:
        path: a file or a folder.
        shallow: do not recognise what lies in folders below by itself: to find each of many exports at its own place.
    """

    def __init__(self, path: Path, shallow: bool = False) -> None:
        self.path = path
        self.shallow = shallow
        self.left = MOST
        self._listings: dict[str, tuple[list[str], list[str], bool]] = {}

    @cached_property
    def is_dir(self) -> bool:
        return self.path.is_dir()

    def listing(self, folder: Path | str) -> tuple[list[str], list[str], bool]:
        """Names of files and of folders in a folder, and whether these are all; hidden ones are passed over."""
        key = str(folder)
        if key not in self._listings:
            files: list[str] = []
            folders: list[str] = []
            whole = True
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if self.left <= 0:
                            whole = False
                            break
                        self.left -= 1
                        if entry.name[0] != ".":
                            (folders if entry.is_dir() else files).append(entry.name)
            except OSError:
                pass
            self._listings[key] = sorted(files), sorted(folders), whole
        return self._listings[key]

    def files(
        self, folder: Path | str, extensions: frozenset[str], depth: int = 3, known: bool = False
    ) -> tuple[list[str], bool]:
        """Paths, relative to a folder, of files with these extensions (lower case) below it; whether these are all.

        Args:
            folder: the path, or a folder that the format has in it.
            extensions: in lower case.
            depth: how far down to look.
            known: whether it is already known that the path has this format.
        """
        if self.shallow and not known and Path(folder) == self.path:
            depth = 0
        found: list[str] = []
        complete = True
        level = [""]
        for _ in range(depth + 1):
            below = []
            for relative in level:
                files, folders, whole = self.listing(os.path.join(folder, relative) if relative else folder)
                complete = complete and whole
                found += [relative + name for name in files if os.path.splitext(name)[1].lower() in extensions]
                below += [f"{relative}{name}/" for name in folders]
            level = below
        return found, complete and not level

    def head(self, path: Path | str) -> bytes:
        """The beginning of a file, and its end."""
        try:
            with open(path, "rb") as file:
                head = file.read(HEAD)
                size = os.fstat(file.fileno()).st_size
                if size > 2 * HEAD:
                    file.seek(-HEAD, os.SEEK_END)
                    return head + b"\n" + file.read(HEAD)
                return head + file.read()
        except OSError:
            return b""

    def is_small(self, path: Path | str) -> bool:
        """Whether a file may be read whole."""
        try:
            return os.path.getsize(path) <= SMALL
        except OSError:
            return False


def json_files(probe: Probe) -> list[Path]:
    """JSON files of a path: itself, or those in the folder, and in folders in it."""
    if not probe.is_dir:
        return [probe.path] if probe.path.suffix.lower() == ".json" else []
    names, _ = probe.files(probe.path, frozenset((".json",)), depth=1)
    return [probe.path / name for name in names[:50]]


def detect(path: str | Path, shallow: bool = False) -> list[Detection]:
    """The formats that an export may have: several if it holds several, or if a sample of it does not show which.

        for found in labelferry.detect("path/to/export"):
            print(found.describe())

    Args:
        path: a file or a folder.
        shallow: ignore exports in the folders below.

    Raises:
        UsageError: there is no such path.
    """
    from labelferry.plugin.registry import format_names, get_adapter

    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    probe = Probe(path, shallow)
    found = []
    for name in format_names():
        try:
            adapter = get_adapter(name)
        except UsageError:  # of a broken package, which `formats` reports
            continue
        probe.left = MOST
        for match in _matches(adapter, probe):
            found.append(Detection(f"{name}:{match.variant}" if match.variant else name, match))  # noqa: PERF401
    return found


def detect_one(path: str | Path, settled: bool = False) -> Detection:
    """The one thing that an export can be.

    Args:
        path: a file or a folder.
        settled: whether options are given that may answer the question of a match.

    Raises:
        UsageError: no format or several formats recognise it, or a match has a question.
    """
    found = detect(path)
    if len(found) == 1 and (settled or not found[0].match.question):
        return found[0]
    if not found:
        raise UsageError(
            f"{path}: no format recognises it; say which it has with --from ('labelferry formats' lists them)"
        )
    listed = "\n".join(detection.describe() for detection in found)
    raise UsageError(f"{path}: say which of these is meant:\n{listed}")


def _matches(adapter: Any, probe: Probe) -> Iterable[Match]:
    try:
        return list(adapter.detect(probe))
    except (LabelferryError, OSError, ValueError, KeyError, TypeError):  # it looks like the format, and is broken
        return []
