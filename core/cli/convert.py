"""labelferry convert: the options of every conversion, and those of the format that `--from` names."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from labelferry.cli.progress import ConvertProgress
from labelferry.cli.report import print_report


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
    from labelferry.run import pipeline

    try:
        with ConvertProgress(quiet) as progress:
            result = pipeline.convert(
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
    print_report(result, quiet, sys.stderr if as_json or not result.published else sys.stdout)
    if not result.published:
        raise SystemExit(1)


def _classes(text: str) -> dict[str, str]:
    from labelferry.lightly.categories import parse_classes

    return parse_classes(text)


def with_format_options(format_name: str | None) -> Callable[..., None]:
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


def format_named(arguments: list[str]) -> str | None:
    """The value of `--from`, which decides what other options there are."""
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here == "--from" and following:
            return following
        if here.startswith("--from="):
            return here.partition("=")[2]
    return None
