"""The command line: the app of all commands, and `main`, the console script."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from labelferry.cli.batch import batch
from labelferry.cli.convert import convert_command
from labelferry.cli.detect import detect
from labelferry.cli.formats import formats
from labelferry.cli.report import print_error


def main() -> None:
    """The console script: runs the command of `sys.argv`, and exits."""
    from labelferry.errors import LabelferryError, UsageError

    try:
        try:
            _app(sys.argv[1:])(prog_name="labelferry")
        except LabelferryError as error:
            print_error(str(error))
            raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
        finally:
            sys.stdout.flush()  # here, as an error at the end of the interpreter cannot be handled
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _app(arguments: list[str]) -> typer.Typer:
    """The app for these arguments, on which the options of `convert` depend."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    app.callback()(_labelferry)
    app.command("convert", no_args_is_help=True)(convert_command(arguments if arguments[:1] == ["convert"] else []))
    app.command("batch", no_args_is_help=True)(batch)
    app.command("detect", no_args_is_help=True)(detect)
    app.command("formats")(formats)
    return app


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
