"""labelferry detect: the format of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labelferry.cli.report import print_error, printable, to_json


def detect(
    path: Annotated[Path, typer.Argument(help="The export: a file or a folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Detect the format of an export from a sample of it, and print the command that converts it.

    Exit code: 0 if it is sure, 1 if no format recognises the export, several do, or a question is open.
    """
    from labelferry.plugin import detect as detection

    found = detection.detect(path)
    if as_json:
        print(to_json(found.to_dict()))
    elif found:
        print(printable(found.describe()))
    if found.is_sure:
        return
    if not found and not as_json:
        advice = found.obstacles() or ["'labelferry formats' lists the known ones"]
        print_error("\n".join([f"{path}: no format recognises it", *advice]))
    elif not as_json:
        print_error(f"{path}: {found.question} Run the command of the one that is meant.")
    raise SystemExit(1)
