"""The command line: the app of all commands, and `main`, the console script."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from labelferry.cli.batch import batch
from labelferry.cli.convert import format_named, with_format_options
from labelferry.cli.detect import detect
from labelferry.cli.formats import formats
from labelferry.cli.report import fail


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


def main() -> None:
    """The console script."""
    from labelferry.errors import LabelferryError, UsageError

    arguments = sys.argv[1:]
    try:
        name = format_named(arguments) if arguments[:1] == ["convert"] else None
        app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
        app.callback()(_labelferry)
        app.command("convert", no_args_is_help=True)(with_format_options(name))
        app.command("batch", no_args_is_help=True)(batch)
        app.command("detect", no_args_is_help=True)(detect)
        app.command("formats")(formats)
        app()
    except LabelferryError as error:
        fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:  # the reader of our output, as `head`, has gone
        sys.stderr.close()
        raise SystemExit(1) from None
