"""What is printed when a command has ended."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from labelferry.errors import ExportError, LabelferryError, UsageError, refuse_url
from labelferry.findings import counted

if TYPE_CHECKING:
    from labelferry.report import FindingSummary, Report
    from labelferry.run.batch import Outcome

EXAMPLES = 5
"""Examples of one code that the summary shows; `--report` has more."""

CLASSES = 8
"""Classes that the summary shows, those with the most objects."""

_TITLES = {
    "error": "left out, as it cannot be read",
    "repair": "repaired",
    "warning": "written, but should be checked",
    "note": "noted",
}
_OF_THE_WHOLE = frozenset(("image-not-in-input", "no-images", "no-labels", "unaccounted"))
"""Codes of errors of the whole export, which are not skipped."""

_TITLES_OF_ERRORS = {"error": "cannot be read", "repair": "must be repaired", "warning": "should be checked"}


def print_report(report: Report, quiet: bool, to: TextIO) -> None:
    """Print the summary of a conversion.

    Args:
        report: of the conversion.
        quiet: print errors only.
        to: where to print; errors that prevented the publication go to stderr.
    """
    if not quiet:
        if report.published:
            _print_result(report, to)
        _print_findings([*report.repairs, *report.warnings, *report.notes], _TITLES, to)
    if report.published:
        _print_findings(report.errors, _TITLES, to)
        return
    _print_findings(report.errors, _TITLES_OF_ERRORS, sys.stderr)
    total = sum(finding.count for finding in report.errors)
    advice = "Fix the export, or leave these out with --on-error skip."
    if any(finding.kind != "error" for finding in report.errors):
        advice = "--strict counts repairs and warnings as errors."
    elif any(finding.code in _OF_THE_WHOLE for finding in report.errors):
        advice = "What concerns the whole export cannot be skipped."
    print_error(f"{counted(total, 'error')}, nothing was published. {advice}")


class ReportFile:
    """Where the report of a command goes, as JSON: a `with` block that writes it whatever ends the block.

    Args:
        path: file to write; None: none.
        to_stdout: print it, too.

    Attributes:
        content: plain values; None until the command has a result.

    Raises:
        UsageError: the file cannot be written, found before the command does anything.
    """

    def __init__(self, path: Path | None, to_stdout: bool = False) -> None:
        self.content: Any = None
        self._path = path
        self._to_stdout = to_stdout
        if path is not None:
            refuse_url("--report", path)
            if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
                what = "is a folder" if path.is_dir() else "cannot be written"
                raise UsageError(f"--report: {path} {what}")

    def __enter__(self) -> ReportFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.content = {"published": False, "error": _failure(error)}
        if self._path is not None:
            write_text(self._path, to_json(self.content) + "\n")
        if self._to_stdout:
            print(to_json(self.content))


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        LabelferryError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabelferryError(f"{path} cannot be written: {error.strerror}") from None


def report_content(report: Report) -> dict[str, Any]:
    """What `--report` and `--json` hold of a conversion that has ended."""
    return {**report.to_dict(), "error": None}


def _failure(error: BaseException) -> dict[str, str]:
    """What they hold of a command that has ended without a result; docs/report.md describes it."""
    failure = {"kind": "defect", "code": "", "where": "", "message": f"{type(error).__name__}: {error}"}
    if isinstance(error, ExportError):
        return failure | {"kind": "export", "code": error.code, "where": error.where, "message": error.message}
    if isinstance(error, LabelferryError | OSError):
        kind = "usage" if isinstance(error, UsageError) else "system"
        return failure | {"kind": kind, "message": str(error)}
    if isinstance(error, KeyboardInterrupt):
        return failure | {"kind": "interrupted", "message": "interrupted"}
    return failure


def report_schema() -> dict[str, Any]:
    """The JSON Schema of what `convert --report` and `convert --json` write."""
    import msgspec

    from labelferry.report import Report

    schema = msgspec.json.schema(Report)
    report = schema["$defs"]["Report"]
    described = _fields(Report)
    for name, value in report["properties"].items():
        value["description"] = described[name]
    report["properties"]["error"] = {"type": "null"}
    report["required"].append("error")
    report["description"] = "A conversion that has ended; its findings may have prevented the publication."
    texts = {
        "kind": "usage: the command is wrong; export: the export cannot be read; system: the machine prevents it; "
        "interrupted: by Ctrl-C or SIGTERM; defect: of labelferry or of an adapter.",
        "code": "Of an error of the export; else empty.",
        "where": "File and line, where they are known; else empty.",
        "message": "What is wrong.",
    }
    error = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in texts.items()},
        "required": list(texts),
    }
    error["properties"]["kind"]["enum"] = ["usage", "export", "system", "interrupted", "defect"]  # type: ignore[index]
    schema["$defs"]["Failure"] = {
        "description": "A command that has ended without a result: nothing was published.",
        "type": "object",
        "properties": {"published": {"const": False}, "error": error},
        "required": ["published", "error"],
    }
    schema.pop("$ref")
    return {"title": "Report", "anyOf": [{"$ref": "#/$defs/Report"}, {"$ref": "#/$defs/Failure"}], **schema}


def _fields(cls: type) -> dict[str, str]:
    """The descriptions of a class's attributes, from its docstring."""
    text = inspect.getdoc(cls) or ""
    entries = re.findall(r"^    (\w+): (.+(?:\n {8,}.+)*)", text.partition("Attributes:")[2], re.MULTILINE)
    return {name: " ".join(description.split()) for name, description in entries}


def print_outcomes(outcomes: list[Outcome]) -> None:
    """Print a table of the jobs of a batch."""
    rows: list[tuple[str, ...]] = [("status", "task", "images", "objects", "repairs", "warnings", "errors", "seconds")]
    for outcome in outcomes:
        counts = [""] * 6
        if (report := outcome.report) is not None:
            found = (
                sum(finding.count for finding in kind) for kind in (report.repairs, report.warnings, report.errors)
            )
            counts = [f"{number:,}" for number in (report.images, sum(report.objects.values()), *found)]
            counts.append(f"{report.seconds:.1f}")
        rows.append((outcome.status, outcome.task_name, *counts))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(widths) - 1 - shutil.get_terminal_size().columns
    if over > 0 and sys.stdout.isatty():  # of the columns, only the names can be cut
        widths[1] = max(widths[1] - over, 8)
    for status, task, *numbers in rows:
        shown = task if len(task) <= widths[1] else f"{task[: widths[1] // 2]}...{task[3 - (widths[1] + 1) // 2 :]}"
        cells = [status.ljust(widths[0]), shown.ljust(widths[1])]
        cells += [number.rjust(width) for number, width in zip(numbers, widths[2:], strict=True)]
        print(" ".join(cells).rstrip())


def print_error(message: str) -> None:
    """Print an error to stderr, with the program's name."""
    print(f"labelferry: {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    """Text from files, with escapes in place of what a terminal obeys or cannot show; except for line ends."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def to_json(value: Any) -> str:
    """Plain values as indented JSON; bytes of file names that are not Unicode are escaped."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


_AS_ASKED = frozenset(("class-left-out", "labelled-twice"))
"""Codes of what was left out because an option says so."""


def _print_result(report: Report, to: TextIO) -> None:
    place = Path(report.datasource, ".lightly", "predictions", report.task_name)
    print(f"{report.task_type} task {report.task_name!r}, in {report.seconds:.1f} s: {printable(str(place))}", file=to)
    empty = f", {report.empty_images:,} of them without objects" if report.empty_images else ""
    resumed = f", {report.resumed_images:,} of them by an interrupted run" if report.resumed_images else ""
    what = counted(report.images, "frame" if report.videos else "image")
    what += f" of {counted(report.videos, 'video')}" if report.videos else ""
    print(f"  {what}{empty}{resumed}", file=to)
    objects = sorted(report.objects.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{printable(name)} {count:,}" for name, count in objects[:CLASSES])
    more = f", and {len(objects) - CLASSES} more" if len(objects) > CLASSES else ""
    number = counted(sum(report.objects.values()), "object")
    classes = "1 class" if len(objects) == 1 else f"{len(objects)} classes"
    print(f"  {number} of {classes}: {shown}{more}", file=to)
    print(f"  {_names(report)}", file=to)
    if report.unchecked_orientations:
        some = report.unchecked_orientations < report.images
        which = f" of {counted(report.unchecked_orientations, 'image')}" if some else ""
        print(f"  EXIF orientation not checked{which}: the images are not found (--input)", file=to)
    if report.example is not None:
        print(f"  for example {printable(report.example[0])} -> {printable(str(place / report.example[1]))}", file=to)


def _names(report: Report) -> str:
    """What is known of the images' names."""
    if report.input is None:
        relative_to = report.root or "the folder that the export was made in"
        return printable(
            f"names not checked (--input); they are relative to {relative_to}, which must be the root of the input "
            "datasource"
        )
    without = ""
    if report.input_without_file:
        have = "has" if report.input_without_file == 1 else "have"
        without = f"; {counted(report.input_without_file, 'image')} there {have} no file"
    exist = "exists" if report.images == 1 else "exist"
    names = f"{report.names_in_input:,} of {counted(report.images, 'name')}"
    return printable(f"{names} {exist} in the input datasource {report.input}{without}")


def _print_findings(findings: list[FindingSummary], titles: dict[str, str], to: TextIO) -> None:
    for finding in findings:
        if finding.code == "unread-key":  # ordinary exports have many: one line
            keys = (message.partition(" is not read")[0] for _, message in finding.examples)
            print(printable(f"  not read: {', '.join(dict.fromkeys(keys))}"), file=to)
            continue
        title = "left out as asked" if finding.code in _AS_ASKED else titles[finding.kind]
        title = "wrong" if finding.kind == "error" and finding.code in _OF_THE_WHOLE else title
        print(f"  {finding.count:,} {title}: {finding.code}", file=to)
        for where, message in finding.examples[:EXAMPLES]:
            print(f"      {printable(f'{where}: {message}' if where else message)}", file=to)
        if len(finding.examples) > EXAMPLES:
            print("      ... (--report FILE lists more)", file=to)
