"""Which format an export has: every adapter looks at a sample of it; no file or folder is read whole."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from labelferry.errors import LabelferryError, UsageError, refuse_url
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.probe import MOST, Match, Probe
from labelferry.plugin.registry import format_names, get_adapter


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
    refuse_url("", path)
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist")
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


def _matches(adapter: type[Adapter], probe: Probe) -> Iterable[Match]:
    try:
        return list(adapter.detect(probe))
    except (LabelferryError, OSError, ValueError, KeyError, TypeError):  # it looks like the format, and is broken
        return []
