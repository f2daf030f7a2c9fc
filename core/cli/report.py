"""What is printed when a command has ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from labelferry.report import FindingSummary, Report

SHOWN = 5
"""Examples of one kind of finding that the summary shows; `--report` has more."""


def print_report(report: Report, quiet: bool, to: Any) -> None:
    if report.published and not quiet:
        place = Path(report.datasource, ".lightly", "predictions", report.task_name)
        print(f"{report.task_type} task {report.task_name!r}, in {report.seconds:.1f} s: {place}", file=to)
        empty = f", {report.empty_images:,} of them without objects" if report.empty_images else ""
        resumed = f", {report.resumed_images:,} of them by an interrupted run" if report.resumed_images else ""
        what = f"frames of {report.videos:,} video{'s' * (report.videos > 1)}" if report.videos else "images"
        print(f"  {report.images:,} {what}{empty}{resumed}", file=to)
        objects = sorted(report.objects.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {count:,}" for name, count in objects[:8])
        more = f", and {len(objects) - 8} more" if len(objects) > 8 else ""
        print(f"  {sum(report.objects.values()):,} objects of {len(objects)} classes: {shown}{more}", file=to)
    if not quiet:
        _print_findings("repaired", report.repairs, to)
        _print_findings("left out as asked", report.notes, to)
    if report.published:
        if not quiet or report.errors:
            _print_findings("left out, as it cannot be read", report.errors, to)
        return
    _print_findings("cannot be read", report.errors, sys.stderr)
    total = sum(finding.count for finding in report.errors)
    strict = any(finding.kind == "repair" for finding in report.errors)
    advice = "--strict makes repairs errors." if strict else "Mend the export, or leave these out with --on-error skip."
    print(f"labelferry: {total:,} error(s), nothing was published. {advice}", file=sys.stderr)


def _print_findings(title: str, findings: list[FindingSummary], to: Any) -> None:
    for finding in findings:
        print(f"  {finding.count:,} {title}: {finding.code}", file=to)
        for where, message in finding.examples[:SHOWN]:
            print(f"      {where}: {message}" if where else f"      {message}", file=to)
        if len(finding.examples) > SHOWN:
            print("      ... (--report FILE lists more)", file=to)


def fail(message: str, code: int) -> NoReturn:
    print(f"labelferry: {message}", file=sys.stderr)
    raise SystemExit(code)
