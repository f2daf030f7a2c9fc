"""What adapters look at to recognise a format: a sample of an export, with a limit on how much is read."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

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
        question: what a sample does not show, and the options that answer it, as `--obb`: each answers it if it is
            given. Empty: there is no question.
        variant: the variant of the format, as `kitti` of `labelformat:kitti`.
        is_output: whether labelferry may have written it beside the export: what else is recognised goes before it.
    """

    source: Path
    flavour: str
    tasks: tuple[TaskType, ...]
    images: int | None = None
    exact: bool = True
    options: dict[str, Any] = {}  # noqa: RUF012
    question: str = ""
    variant: str = ""
    is_output: bool = False


def match_results(path: Path, flavour: str, tasks: tuple[TaskType, ...], datasets: list[Path]) -> Match:
    """A file of results, whose images and categories are in another file: the only one that was found."""
    if len(datasets) == 1:
        return Match(path, flavour, tasks, options={"dataset": datasets[0]})
    question = "the images and categories of results are in another file: which? (--dataset)"
    return Match(path, flavour, tasks, options={"dataset": Path("INSTANCES.json")}, question=question)


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
        self,
        folder: Path | str,
        extensions: frozenset[str],
        depth: int = 3,
        known: bool = False,
        most: int = MOST,
    ) -> tuple[list[str], bool]:
        """Paths, relative to a folder, of files with these extensions (lower case) below it; whether these are all.

        Args:
            folder: the path, or a folder that the format has in it.
            extensions: in lower case.
            depth: how far down to look.
            known: whether it is already known that the path has this format.
            most: entries to look at, so that some are left for other folders.
        """
        kept = max(0, self.left - most)
        self.left -= kept
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
        self.left += kept
        return found, complete and not level

    def head(self, path: Path | str) -> bytes:
        """The beginning of a regular file, and its end; empty if it cannot be read."""
        try:
            if not os.path.isfile(path):  # opening a named pipe waits
                return b""
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
