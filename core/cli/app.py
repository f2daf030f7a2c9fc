"""The command line: the app of all commands, and `main`, the console script."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

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
            with suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGTERM, _terminate)
            _app(_arguments())(prog_name="labelferry")
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
    app = typer.Typer(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_labelferry)
    own = convert_command(arguments if arguments[:1] == ["convert"] else [])
    nothing, again = "nothing was published", "run the same command again to continue"
    app.command("convert", cls=_Command, no_args_is_help=True)(_interruptible(own, f"{nothing}; {again}"))
    ended = f"jobs that have ended are published; {again}"
    app.command("batch", cls=_Command, no_args_is_help=True)(_interruptible(batch, ended))
    app.command("detect", cls=_Command, no_args_is_help=True)(_interruptible(detect))
    app.command("formats", cls=_Command)(_interruptible(formats))
    return app


class _Command(TyperCommand):
    """A command whose flags, typer's own ones too, are shown without a type, and whose errors do not name the library
    that finds them."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ").replace("Input should be", "it must be")
            raise


class _Group(TyperGroup):
    """The same of the app."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


def _without_types(parameters: Any) -> Any:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _interruptible(command: Callable[..., None], state: str = "") -> Callable[..., None]:
    """The command, which says when it is interrupted that it is, and what that means."""

    @functools.wraps(command)
    def run(**values: Any) -> None:
        try:
            command(**values)
        except KeyboardInterrupt as error:
            is_terminated = isinstance(error, _Terminated)
            print_error(f"{'terminated' if is_terminated else 'interrupted'}{'; ' if state else ''}{state}")
            raise SystemExit(143 if is_terminated else 130) from None

    return run


def _arguments() -> list[str]:
    """The words after `labelferry`; of the command line that the shell wants to complete, if it does."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS")
    if line is None or "_LABELFERRY_COMPLETE" not in os.environ:
        return sys.argv[1:]
    words = line.split()[1:]
    return words if line.endswith(" ") else words[:-1]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"labelferry {version('labelferry')}")
        raise typer.Exit


def _labelferry(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, metavar="", help="Print the version.")
    ] = False,
) -> None:
    """Carry labels and predictions from any computer-vision export into a Lightly datasource."""
