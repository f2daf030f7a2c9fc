"""labelferry batch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelferry.cli.progress import BatchProgress


def batch(
    target: Annotated[
        Path | None,
        typer.Argument(help="A folder of exports, or a plan: a .yaml, .toml or .json.", show_default=False),
    ] = None,
    datasource: Annotated[
        Path | None,
        typer.Argument(
            help="The folder that holds, or is to hold, .lightly; by default the plan's.", show_default=False
        ),
    ] = None,
    init: Annotated[bool, typer.Option("--init", help="Print a plan for the folder, to edit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of plans.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes for all jobs together; by default one a processor.", min=1)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace tasks that were not made by an earlier run.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write all reports to this file, as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Convert every export below a folder, or those that a plan names, into one datasource, a task each."""
    from labelferry.errors import UsageError
    from labelferry.run import batch as batches
    from labelferry.run import plan as plans

    if schema:
        print(json.dumps(plans.plan_schema(), indent=2))
        return
    if target is None:
        raise UsageError("name a folder of exports, or a plan")
    if not target.exists():
        raise UsageError(f"{target}: no such file or folder")
    doubtful: list[tuple[Path, str]] = []
    if target.is_dir():
        plan, doubtful = plans.plan_folder(target, datasource)
    else:
        plan = plans.read_plan(target)
    if init:
        print(plans.plan_to_yaml(plan, doubtful), end="")
        return
    place = datasource or (Path(plan.datasource) if plan.datasource else None)
    for where, text in doubtful:
        print(f"{where}: not converted; say in a plan (--init) which of these is meant\n{text}", file=sys.stderr)
    if dry_run:
        for line in batches.describe_plan(plan, place):
            print(line)
        return
    if place is None:
        raise UsageError("name the datasource: labelferry batch TARGET DATASOURCE")
    if not plan.jobs:
        raise UsageError(f"{target}: no export that any format recognises")
    with BatchProgress(quiet, [job.name for job in plan.jobs]) as progress:
        outcomes = batches.run(
            plan, place, workers=workers, overwrite=overwrite, progress=progress, finished=progress.finished
        )
    if report is not None:
        content = json.dumps([outcome.to_dict() for outcome in outcomes], indent=2, ensure_ascii=False)
        report.write_text(content + "\n", encoding="utf-8")
    if not quiet:
        print(f"{'status':<10} {'task':<36} {'images':>10} {'objects':>10} {'repairs':>8} {'errors':>7} {'seconds':>8}")
    for outcome in outcomes:
        counts = ["", "", "", "", ""]
        if (of := outcome.report) is not None:
            found = [sum(finding.count for finding in kind) for kind in (of.repairs, of.errors)]
            counts = [
                f"{of.images:,}",
                f"{sum(of.objects.values()):,}",
                f"{found[0]:,}",
                f"{found[1]:,}",
                f"{of.seconds:.1f}",
            ]
        if not quiet:
            images, objects, repairs, errors, seconds = counts
            line = f"{outcome.status:<10} {outcome.task_name:<36} {images:>10} {objects:>10} {repairs:>8} {errors:>7}"
            print(f"{line} {seconds:>8}")
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        print(f"labelferry: {outcome.task_name}: {outcome.error}", file=sys.stderr)
    if failed or doubtful:
        raise SystemExit(1)
