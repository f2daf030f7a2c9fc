"""The command line: parses, calls, prints."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from typing_extensions import Self

    from labelferry.plugin.adapter import Adapter
    from labelferry.report import FindingSummary, Report

SHOWN = 5
"""Examples of one kind of finding that the summary shows; `--report` has more."""


class OnError(str, Enum):
    """What to do about labels that cannot be read."""

    fail = "fail"
    skip = "skip"


class As(str, Enum):
    """What labels are for."""

    images = "images"
    frames = "frames"


class Output(str, Enum):
    """The output formats."""

    lightly = "lightly"


class Task(str, Enum):
    """Lightly's task types; as in `labelferry.model`, which needs numpy and so is not imported for `--help`."""

    classification = "classification"
    object_detection = "object-detection"
    keypoint_detection = "keypoint-detection"
    instance_segmentation = "instance-segmentation"
    semantic_segmentation = "semantic-segmentation"


def convert(
    source: Annotated[Path, typer.Argument(help="The export: a file or a folder.", show_default=False)],
    datasource: Annotated[
        Path, typer.Argument(help="The folder that holds, or is to hold, .lightly.", show_default=False)
    ],
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="Input format ('labelferry formats' lists them), auto, or FILE.py:CLASS.",
            show_default=False,
        ),
    ],
    to: Annotated[Output, typer.Option(metavar="FORMAT", help="Output format.")] = Output.lightly,
    task: Annotated[
        Task | None,
        typer.Option(
            metavar="TYPE",
            help=f"Task type: {', '.join(task.value for task in Task)}; by default the richest that the export holds.",
        ),
    ] = None,
    task_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the task; by default made of format and task type.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes to keep: 'person,car'; or to rename and merge: 'car=vehicle,truck=vehicle'."),
    ] = None,
    keep_category_ids: Annotated[
        bool, typer.Option("--keep-category-ids", help="Keep the source's ids; by default they become 0..N-1.")
    ] = False,
    image_prefix: Annotated[
        str, typer.Option(metavar="PATH", help="Put before every image's path, as seen from the datasource's root.")
    ] = "",
    videos: Annotated[
        Path | None,
        typer.Option(
            help="The labels are for frames of the videos in this folder, the datasource's root; or of this one."
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="How names of extracted frames, without extension, name video and frame: '{video}_{frame}', or a "
            "regular expression with these groups.",
        ),
    ] = None,
    first_frame: Annotated[
        int | None,
        typer.Option(
            metavar="0|1",
            help="Number of a video's first frame; by default the format's, 0 with --frames.",
            min=0,
            max=1,
        ),
    ] = None,
    frame_step: Annotated[int, typer.Option(help="Frames from one number to the next.", min=1)] = 1,
    as_: Annotated[
        As | None,
        typer.Option(
            "--as", metavar="images|frames", help="What the labels are for; frames need, and follow from, --videos."
        ),
    ] = None,
    score: Annotated[float, typer.Option(help="Score of labels that have none.", min=0, max=1)] = 1.0,
    on_error: Annotated[
        OnError,
        typer.Option(help="What to do about labels that cannot be read: publish nothing, or leave them out."),
    ] = OnError.fail,
    strict: Annotated[bool, typer.Option("--strict", help="Treat repairs as errors.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a task of this name.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes to use; by default as many as the work is worth.", min=1)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the full report to this file, as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the full report as JSON.")] = False,
    **options: Any,
) -> None:
    """Convert an export into a task of a Lightly datasource."""
    from labelferry.report import ConversionError
    from labelferry.run.convert import convert as run_conversion

    try:
        with _Progress(quiet) as progress:
            result = run_conversion(
                source,
                datasource,
                format=from_,
                task=None if task is None else task.value,
                task_name=task_name,
                classes=None if classes is None else _classes(classes),
                keep_category_ids=keep_category_ids,
                image_prefix=image_prefix,
                videos=videos,
                frames=frames,
                first_frame=first_frame,
                frame_step=frame_step,
                as_=None if as_ is None else as_.value,
                score=score,
                on_error=on_error.value,
                strict=strict,
                overwrite=overwrite,
                workers=workers,
                progress=progress,
                **{name: value for name, value in options.items() if value is not None},
            )
    except ConversionError as error:
        result = error.report
    if report is not None:
        report.write_text(json.dumps(result.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    _print_report(result, quiet, sys.stderr if as_json or not result.published else sys.stdout)
    if not result.published:
        raise SystemExit(1)


def _classes(text: str) -> dict[str, str]:
    from labelferry.lightly.categories import parse_classes

    return parse_classes(text)


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

    if schema:
        print(json.dumps(batches.plan_schema(), indent=2))
        return
    if target is None:
        raise UsageError("name a folder of exports, or a plan")
    if not target.exists():
        raise UsageError(f"{target}: no such file or folder")
    doubtful: list[tuple[Path, str]] = []
    if target.is_dir():
        plan, doubtful = batches.plan_folder(target, datasource)
    else:
        plan = batches.read_plan(target)
    if init:
        print(batches.plan_to_yaml(plan, doubtful), end="")
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
    with _BatchProgress(quiet, [job.name for job in plan.jobs]) as progress:
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


class _Shown:
    """What is shown while a command runs; Ctrl-C ends it with a word on how to go on."""

    _bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            _fail("interrupted; run the same command again to go on from here", 130)


class _BatchProgress(_Shown):
    """A line for each job: a bar on a terminal, a line when it has ended elsewhere, nothing if quiet; all on stderr."""

    def __init__(self, quiet: bool, names: list[str]) -> None:
        self._rows: dict[str, Any] = {}
        self._quiet = quiet
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._rows = {name: self._bar.add_task(name, total=None, start=False, what="waiting") for name in names}
            self._bar.start()

    def __call__(self, name: str, done: int, total: int | None, what: str) -> None:
        if name in self._rows:
            self._bar.start_task(self._rows[name])
            self._bar.update(self._rows[name], completed=done, total=total, what=what)

    def finished(self, outcome: Any) -> None:
        if outcome.task_name in self._rows:
            self._bar.update(self._rows[outcome.task_name], total=1, completed=1, what=outcome.status)
        elif not self._quiet and self._bar is None:
            print(f"{outcome.status}: {outcome.task_name}", file=sys.stderr, flush=True)


def detect(
    path: Annotated[Path, typer.Argument(help="The export: a file or a folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell which format an export has, and the command that converts it, by a look at a sample."""
    from labelferry.plugin.detect import detect as look

    found = look(path)
    if as_json:
        print(json.dumps([detection.to_dict() for detection in found], indent=2, ensure_ascii=False))
    elif found:
        print("\n".join(detection.describe() for detection in found))
    else:
        _fail(f"{path}: no format recognises it; 'labelferry formats' lists those that are known", 1)


def formats(
    name: Annotated[str | None, typer.Argument(help="Tell all about this one.", show_default=False)] = None,
) -> None:
    """List the input formats, or describe one and its options."""
    from labelferry.errors import UsageError
    from labelferry.plugin import adapter, registry

    if name is None:
        for known in registry.format_names():
            try:
                cls = registry.get_adapter(known)
            except UsageError as error:  # one that is broken does not keep the others from being listed
                print(f"{known:<12} {error}")
                continue
            print(f"{known:<12} {_first_line(cls)}")
            print(f"{'':<12} {', '.join(cls.tasks)}")
            if variants := list(cls.variants()):
                print(f"{'':<12} {', '.join(f'{known}:{variant}' for variant in variants)}")
        print("\n'labelferry formats NAME' tells all about one.")
        return
    cls = registry.get_adapter(name)
    print((sys.modules[cls.__module__].__doc__ or "").strip())
    print(f"\nTasks: {', '.join(cls.tasks)}\n\nOptions of 'labelferry convert --from {name}':")
    for option in adapter.adapter_options(cls):
        default = "" if option.default in (None, False, ()) else f" [default: {option.default}]"
        default = " [required]" if option.default is inspect.Parameter.empty else default
        body = textwrap.fill(option.help + default, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
        print(f"  --{option.name.replace('_', '-')}\n{body}")


def _first_line(cls: type[Adapter]) -> str:
    return (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").strip().partition("\n")[0]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"labelferry {version('labelferry')}")
        raise typer.Exit


def _labelferry(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carry labels and predictions from any computer-vision export into a Lightly datasource."""


def _with_format_options(format_name: str | None) -> Callable[..., None]:
    """The convert command with the options that the format's constructor declares."""

    def command(**values: Any) -> None:
        convert(**values)

    signature = inspect.signature(convert, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    text = inspect.getdoc(convert) or ""
    if format_name in (None, "auto"):
        text += "\n\nEach format has options of its own: 'labelferry convert --from FORMAT --help' lists them."
    else:
        from labelferry.plugin.adapter import adapter_options
        from labelferry.plugin.registry import get_adapter

        for option in adapter_options(get_adapter(format_name)):
            flag = f"--{option.name.replace('_', '-')}"
            declared = typer.Option(
                f"{flag}/--no-{flag[2:]}" if option.default is True else flag,
                help=option.help,
                rich_help_panel=f"Options of the format {format_name}",
            )
            parameters.append(
                inspect.Parameter(
                    option.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=option.default,
                    annotation=Annotated[option.type, declared],
                )
            )
    by_default = inspect.Parameter.empty
    parameters.sort(key=lambda p: p.default is not by_default)
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    )
    command.__doc__ = text
    return command


def _format_named(arguments: list[str]) -> str | None:
    """The value of `--from`, which decides what other options there are."""
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here == "--from" and following:
            return following
        if here.startswith("--from="):
            return here.partition("=")[2]
    return None


def main() -> None:
    """The console script."""
    from labelferry.errors import LabelferryError, UsageError

    arguments = sys.argv[1:]
    try:
        name = _format_named(arguments) if arguments[:1] == ["convert"] else None
        app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
        app.callback()(_labelferry)
        app.command("convert", no_args_is_help=True)(_with_format_options(name))
        app.command("batch", no_args_is_help=True)(batch)
        app.command("detect", no_args_is_help=True)(detect)
        app.command("formats")(formats)
        app()
    except LabelferryError as error:
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:  # the reader of our output, as `head`, has gone
        sys.stderr.close()
        raise SystemExit(1) from None


def _fail(message: str, code: int) -> NoReturn:
    print(f"labelferry: {message}", file=sys.stderr)
    raise SystemExit(code)


class _Progress(_Shown):
    """A bar on a terminal, a line now and then elsewhere, nothing if quiet; all on stderr."""

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, quiet: bool) -> None:
        self._printed = time.monotonic()
        self._quiet = quiet
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[what]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._row = self._bar.add_task("reading", total=None, what="")
            self._bar.start()

    def __call__(self, done: int, total: int | None, what: str) -> None:
        if self._bar is not None:
            doing = "counting frames" if what == "videos" else "converting"
            self._bar.update(self._row, description=doing, completed=done, total=total, what=what)
        elif not self._quiet and time.monotonic() - self._printed > self.SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"{done:,}{'' if total is None else f' of {total:,}'} {what}", file=sys.stderr, flush=True)


def _print_report(report: Report, quiet: bool, to: Any) -> None:
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


if __name__ == "__main__":
    main()
