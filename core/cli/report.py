"""What is printed when a command has ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from labelferry.errors import LabelferryError

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
    strict = any(finding.kind != "error" for finding in report.errors)
    advice = (
        "--strict counts repairs and warnings as errors."
        if strict
        else "Fix the export, or leave these out with --on-error skip."
    )
    print_error(f"{total:,} error(s), nothing was published. {advice}")


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
    for status, task, *numbers in rows:
        cells = [status.ljust(widths[0]), task.ljust(widths[1])]
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


def write_json(path: Path, value: Any) -> None:
    """Write plain values to a file.

    Raises:
        LabelferryError: the file cannot be written.
    """
    try:
        path.write_text(to_json(value) + "\n", encoding="utf-8")
    except OSError as error:
        raise LabelferryError(f"{path}: cannot be written: {error.strerror}") from None


_AS_ASKED = frozenset(("class-left-out", "labelled-twice"))
"""Codes of what was left out because an option says so."""


def _print_result(report: Report, to: TextIO) -> None:
    place = Path(report.datasource, ".lightly", "predictions", report.task_name)
    print(f"{report.task_type} task {report.task_name!r}, in {report.seconds:.1f} s: {printable(str(place))}", file=to)
    empty = f", {report.empty_images:,} of them without objects" if report.empty_images else ""
    resumed = f", {report.resumed_images:,} of them by an interrupted run" if report.resumed_images else ""
    what = f"frames of {report.videos:,} video{'s' * (report.videos > 1)}" if report.videos else "images"
    print(f"  {report.images:,} {what}{empty}{resumed}", file=to)
    objects = sorted(report.objects.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{printable(name)} {count:,}" for name, count in objects[:CLASSES])
    more = f", and {len(objects) - CLASSES} more" if len(objects) > CLASSES else ""
    print(f"  {sum(report.objects.values()):,} objects of {len(objects)} classes: {shown}{more}", file=to)
    print(f"  {_names(report)}", file=to)
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
    without = f"; {report.input_without_file:,} images there have no file" if report.input_without_file else ""
    return printable(
        f"{report.names_in_input:,} of {report.images:,} names exist in the input datasource {report.input}{without}"
    )


def _print_findings(findings: list[FindingSummary], titles: dict[str, str], to: TextIO) -> None:
    for finding in findings:
        title = "left out as asked" if finding.code in _AS_ASKED else titles[finding.kind]
        print(f"  {finding.count:,} {title}: {finding.code}", file=to)
        for where, message in finding.examples[:EXAMPLES]:
            print(f"      {printable(f'{where}: {message}' if where else message)}", file=to)
        if len(finding.examples) > EXAMPLES:
            print("      ... (--report FILE lists more)", file=to)
