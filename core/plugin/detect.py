"""Which format an export has: every adapter looks at a sample of it; no file or folder is read whole."""

from __future__ import annotations

import re
import shlex
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labelferry.errors import LabelferryError, UsageError, refuse_url
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.probe import MOST, Match, Probe
from labelferry.plugin.registry import format_names, get_adapter
from labelferry.plugin.unsupported import Unsupported, find_unsupported

LABEL_EXTENSIONS = frozenset((".json", ".jsonl", ".ndjson", ".xml", ".csv", ".tsv"))
"""Extensions of files that hold labels: a broken one may be a part of the export that is missing."""


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
        """The command that converts the export, without the datasource, as words. What is in capitals is to be filled
        in."""
        source = str(self.match.source)
        source = f"./{source}" if source.startswith("-") else source
        words = ["labelferry", "convert", "--from", self.format, "--to", "lightly", source]
        for name, value in self.match.options.items():
            flag = name.replace("_", "-")
            words += (
                [f"--{flag}"] if value is True else [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
            )
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


class Detections(list[Detection]):
    """The formats that an export may have, and what stands in the way of reading it.

    Attributes:
        path: of the export.
        unsupported: files of it that are broken, packed, or of a format that is not supported.
        errors: by format, why an adapter that recognises the export cannot read it.
    """

    def __init__(
        self,
        path: Path,
        found: Iterable[Detection],
        unsupported: Iterable[Unsupported] = (),
        errors: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(found)
        self.path = path
        self.unsupported = list(unsupported)
        self.errors = list(errors)

    @property
    def is_sure(self) -> bool:
        """Whether there is one thing that the export can be, without a question, and nothing of it is broken."""
        return len(self) == 1 and not self.question

    @property
    def question(self) -> str:
        """What is to be said before the export can be converted; empty if it is sure, or if nothing is recognised."""
        if not self:
            return ""
        if len(self) > 1:
            return "which of these is meant?"
        return self[0].match.question or ("is this meant, without what cannot be read?" if self.is_incomplete else "")

    @property
    def is_incomplete(self) -> bool:
        """Whether a part of the export may be missing, as it cannot be read."""
        broken = (one.path for one in self.unsupported if one.kind == "broken")
        return bool(self.errors) or any(path.suffix.lower() in LABEL_EXTENSIONS for path in broken)

    def describe(self) -> str:
        """The formats with their commands, and what cannot be read: several lines."""
        return "\n".join([*(one.describe() for one in self), *self.obstacles()])

    def obstacles(self) -> list[str]:
        """What cannot be read, one line each."""
        broken = [str(one.path) for one in self.unsupported if one.kind == "broken"]
        lines = [one.describe() for one in self.unsupported]
        return lines + [f"{name}: {text}" for name, text in self.errors if not any(path in text for path in broken)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sure": self.is_sure,
            "question": self.question,
            "formats": [one.to_dict() for one in self],
            "unsupported": [{**one._asdict(), "path": str(one.path)} for one in self.unsupported],
            "errors": [{"format": name, "message": text} for name, text in self.errors],
        }


def detect(path: str | Path, shallow: bool = False) -> Detections:
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
    found: list[Detection] = []
    errors: list[tuple[str, str]] = []
    for name in format_names():
        try:
            adapter = get_adapter(name)
        except UsageError:  # of a broken package, which `formats` reports
            continue
        probe.left = MOST
        for match in _matches(name, adapter, probe, errors):
            found.append(Detection(f"{name}:{match.variant}" if match.variant else name, match))  # noqa: PERF401
    if any(not one.match.is_output and not one.match.question for one in found):
        found = [one for one in found if not one.match.is_output]
    probe.left = MOST
    sources = [one.match.source for one in found]
    unsupported = [
        one
        for one in find_unsupported(probe)
        if not any(source in (one.path, *one.path.parents) for source in sources)
        and (one.kind in ("format", "broken") or not found)
    ]
    return Detections(path, found, unsupported, errors)


def detect_one(path: str | Path, given: Mapping[str, Any]) -> Detection:
    """The one thing that an export can be.

    Args:
        path: a file or a folder.
        given: values of options by name, None if one is not given: an option answers the question that names it.

    Raises:
        UsageError: no format or several formats recognise it, or a question of a match is open.
    """
    found = detect(path)
    given = {name: value for name, value in given.items() if value is not None}
    meant = [one for one in found if len(found) == 1 or _agrees(one.match, given)]
    if len(meant) == 1 and not found.is_incomplete and _is_answered(meant[0].match, given):
        return meant[0]
    obstacles = "".join(f"\n{line}" for line in found.obstacles())
    if not found:
        text = "no format recognises it; say which it has with --from ('labelferry formats' lists them)"
        raise UsageError(f"{path}: {text}{obstacles}")
    listed = "\n".join(detection.describe() for detection in found)
    raise UsageError(f"{path}: say which of these is meant:\n{listed}{obstacles}")


def explain(path: str | Path, format: str) -> str:
    """What a path looks like that a format cannot read; empty if nothing else is recognised.

    Args:
        path: a file or a folder.
        format: that was named.
    """
    found = detect(path)
    if len(found) == 1 and found[0].format.partition(":")[0] != format.partition(":")[0]:
        return f"it looks like {found[0].match.flavour}: --from {found[0].format}"
    if not found.unsupported:
        return ""
    one = found.unsupported[0]
    return f"{'it' if one.path == found.path else one.path} looks like {one.what}: {one.advice}"


def _agrees(match: Match, given: Mapping[str, Any]) -> bool:
    """Whether no option is given another value than the match has."""
    return match.question != "" or all(
        str(given.get(name, value)) == str(value) for name, value in match.options.items()
    )


def _is_answered(match: Match, given: Collection[str]) -> bool:
    """Whether a match has no question, or an option is given that its question names."""
    named = {name.removeprefix("no-").replace("-", "_") for name in re.findall(r"--([a-z][a-z-]+)", match.question)}
    return not match.question or bool(named.intersection(given))


def _matches(name: str, adapter: type[Adapter], probe: Probe, errors: list[tuple[str, str]]) -> Iterator[Match]:
    """What a format recognises; why it fails is added to the errors."""
    try:
        yield from adapter.detect(probe)
    except (LabelferryError, OSError) as error:
        errors.append((name, str(error)))
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        errors.append((name, f"{type(error).__name__}: {error} (at {place}, a defect of the adapter)"))
