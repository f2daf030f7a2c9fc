"""labelferry batch: many exports into one datasource."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from labelferry.cli.report import ReportFile, print_error, print_outcomes, printable, to_json, write_text
from labelferry.run.progress import BatchProgress


def batch(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGET", help="A folder of exports, or a plan: a .yaml, .toml or .json.", show_default=False
        ),
    ] = None,
    datasource: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATASOURCE",
            help="Folder of the datasource: .lightly is written there. By default the plan's.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", metavar="", help="Print a plan for the folder, to edit; --out writes it.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the plan of --init to this file, with paths relative to it."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Print what would be done.")] = False,
    schema: Annotated[bool, typer.Option("--schema", metavar="", help="Print the JSON Schema of plans.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes for all jobs together; by default one per processor.", min=1),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace tasks that were not made by an earlier run.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all reports to this file, as JSON.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Print nothing but errors.")] = False,
) -> None:
    """Convert every export below a folder, or those that a plan names, into one datasource, one task for each."""
    from labelferry.errors import UsageError
    from labelferry.run.batch import describe_plan, run_plan
    from labelferry.run.plan import load_plan, plan_schema, plan_to_yaml

    if out is not None and not init:
        raise UsageError("--out is where --init writes the plan")
    if schema:
        print(to_json(plan_schema()))
        return
    if target is None:
        raise UsageError("name a folder of exports, or a plan")
    plan = load_plan(target, datasource)
    if init:
        if out is None:
            print(plan_to_yaml(plan), end="")
        else:
            write_text(out, plan_to_yaml(plan, out.parent))
        return
    for place, question in plan.unclear:
        print(printable(f"{place}: not converted; {question}"), file=sys.stderr)
    if dry_run:
        for line in describe_plan(plan, datasource):
            print(printable(line))
        return
    outcomes = []
    with ReportFile(report) as file, BatchProgress(quiet, len(plan.jobs)) as progress:
        for outcome in run_plan(plan, datasource, workers=workers, overwrite=overwrite, progress=progress):
            progress.finished(outcome)
            outcomes.append(outcome)
        file.content = [outcome.to_dict() for outcome in outcomes]
    if outcomes and not quiet:
        print_outcomes(outcomes)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        print_error(f"{outcome.task_name}: {outcome.error}")
    if failed or plan.unclear:
        raise SystemExit(1)
