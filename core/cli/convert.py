"""labelferry convert: the options of every conversion, and those of the format that `--from` names."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from labelferry.cli.report import ReportFile, print_report, report_content
from labelferry.run.options import OPTION_NAMES, OPTIONS, Option
from labelferry.run.progress import ConvertProgress
from labelferry.task_type import TaskType

_TYPES: dict[str, Any] = {
    "format": str,
    "task": TaskType | None,
    "classes": str | None,
    "rename": str | None,
    "videos": Path | None,
    "input": str | None,
}
"""Types on the command line of the options that have several types in Python."""

_DEFAULTS = {"workers": None}
"""Defaults on the command line, where they differ from those in Python."""

_HELP = {
    "classes": "Names of the classes to keep: 'person,car'.",
    "rename": "New names of classes; equal ones merge: 'car=vehicle,truck=vehicle'. All other classes stay.",
    "workers": "Processes to use; by default as many as the work is worth.",
}
"""Help texts on the command line, where they differ from those in Python."""


def convert(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The export: a file or a folder.")],
    datasource: Annotated[
        Path, typer.Argument(metavar="DATASOURCE", help="Folder of the datasource: .lightly is written there.")
    ],
    to: Annotated[Literal["lightly"], typer.Option(metavar="FORMAT", help="Output format.")] = "lightly",
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the full report to this file, as JSON.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print the full report as JSON.")] = False,
    **options: Any,
) -> None:
    """Convert an export into a task of a Lightly datasource."""
    from labelferry.errors import UsageError
    from labelferry.lightly.categories import parse_names
    from labelferry.report import ConversionError
    from labelferry.run.convert import convert as run_conversion

    given = {
        name: value
        for name, value in options.items()
        if name in OPTION_NAMES or getattr(ctx.get_parameter_source(name), "name", "") != "DEFAULT"
    }
    with ReportFile(report, as_json) as file:
        if given["format"] is None:
            raise UsageError("--from is missing: name the format, or detect it with --from auto")
        for name in ("classes", "rename"):
            if given[name] is not None:
                given[name] = parse_names(f"--{name}", given[name], alone=name == "classes")
        try:
            with ConvertProgress(quiet) as progress:
                result = run_conversion(source, datasource, progress=progress, **given)
        except ConversionError as error:
            result = error.report
        file.content = report_content(result)
    print_report(result, quiet, sys.stderr if as_json or not result.published else sys.stdout)
    if not result.published:
        raise SystemExit(1)


def convert_command(arguments: list[str]) -> Callable[..., None]:
    """The convert command, with the options of every conversion and those of the format that the arguments name.

    Raises:
        UsageError: there is no such format.
    """

    def command(**values: Any) -> None:
        convert(**values)

    format_name = _format_named(arguments)
    if format_name == "auto":
        format_name = _detected_format(arguments)
    command.__doc__ = convert.__doc__
    if format_name in (None, "auto"):
        command.__doc__ = (
            f"{convert.__doc__}\n\n"
            "Each format has options of its own: 'labelferry convert --from FORMAT --help' lists them."
        )
    own = inspect.signature(convert, eval_str=True).parameters
    format_, *others = map(_parameter, OPTIONS)
    parameters = [
        own["ctx"],
        own["source"],
        own["datasource"],
        format_,
        own["to"],
        *others,
        own["report"],
        own["quiet"],
    ]
    parameters += [own["as_json"], *_format_parameters(format_name)]
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    return command


def _format_named(arguments: list[str]) -> str | None:
    """The value of `--from`, which decides what other options there are."""
    for here, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if here == "--from" and following:
            return following
        if here.startswith("--from="):
            return here.partition("=")[2]
    return None


def _detected_format(arguments: list[str]) -> str:
    """The format of SOURCE, where the arguments have flags that may be options of it, or ask for help.

    Raises:
        UsageError: such flags are given, and SOURCE does not show which format they belong to.
    """
    flags = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    valued = {option.flag for option in OPTIONS if option.type is not bool} | {"--to", "--report"}
    others = flags - valued - {option.flag for option in OPTIONS} - {"--quiet", "--json", "--help"}
    if not others and "--help" not in flags:
        return "auto"
    from labelferry.errors import UsageError
    from labelferry.plugin.adapter import adapter_options
    from labelferry.plugin.detect import detect
    from labelferry.plugin.registry import get_adapter

    for source in filter(os.path.exists, _words(arguments, valued)):
        formats = {one.format for one in detect(source)}
        if len(formats) == 1:
            (format,) = formats
            own = {f"--{one.name.replace('_', '-')}" for one in adapter_options(get_adapter(format)) if not one.is_flag}
            if next(_words(arguments, valued | own), "") == source:
                return format
    if "--help" in flags:
        return "auto"
    listed = ", ".join(sorted(others))
    raise UsageError(f"{listed}: no option of every format; name the format with --from ('labelferry detect' shows it)")


def _words(arguments: list[str], valued: set[str]) -> Iterator[str]:
    """The arguments that are neither flags nor values of the flags that have one."""
    before = ""
    for word in arguments[1:]:
        if not word.startswith("-") and before not in valued:
            yield word
        before = word


def _parameter(option: Option) -> inspect.Parameter:
    """An option of every conversion, as typer declares it."""
    default = _DEFAULTS.get(option.name, option.default)
    low, high = option.shown.limits or (None, None)
    declared = typer.Option(
        option.flag,
        metavar=option.shown.metavar or metavar_of(_TYPES.get(option.name, option.type)),
        help=_HELP.get(option.name, option.shown.text),
        min=low,
        max=high,
        show_default=default is not inspect.Parameter.empty,
        autocompletion=_COMPLETIONS.get(option.name),
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[_TYPES.get(option.name, option.type), declared],
    )


def metavar_of(kind: Any) -> str | None:
    """What stands for a value of this type in the help; nothing for a flag; None leaves it to typer."""
    kinds = (kind, *get_args(kind))
    if bool in kinds:
        return ""
    if choices := [str(choice) for one in kinds if get_origin(one) is Literal for choice in get_args(one)]:
        return "|".join(choices)
    names = {Path: "PATH", str: "TEXT", int: "N", float: "N"}
    return next((names[one] for one in kinds if one in names), None)


def _complete_format(incomplete: str) -> list[str]:
    """Names of formats, for shell completion."""
    from labelferry.plugin.registry import format_names

    return [name for name in ("auto", *format_names()) if name.startswith(incomplete)]


def _complete_task_name(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the tasks that the datasource has, for shell completion."""
    import json

    given = [ctx.params["source"], ctx.params["datasource"]]
    try:
        _, datasource = given if None not in given else ctx.args  # where a word is missing, they are not assigned yet
        path = Path(datasource, ".lightly", "predictions", "tasks.json")
        return [name for name in json.loads(path.read_bytes()) if name.startswith(incomplete)]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


_COMPLETIONS: dict[str, Callable[..., list[str]]] = {"format": _complete_format, "task_name": _complete_task_name}


def _format_parameters(format_name: str | None) -> Iterator[inspect.Parameter]:
    """The options that the format's constructor declares, as typer declares them."""
    if format_name in (None, "auto"):
        return
    from labelferry.plugin.adapter import adapter_options
    from labelferry.plugin.registry import get_adapter

    for option in adapter_options(get_adapter(format_name)):
        flag = f"--{option.name.replace('_', '-')}"
        declared = typer.Option(
            f"{flag}/--no-{flag[2:]}" if option.default is True or option.type == bool | None else flag,
            metavar=metavar_of(option.type),
            help=option.help,
            rich_help_panel=f"Options of the format {format_name}",
        )
        yield inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[option.type, declared],
        )
