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
    if not as_json:
        text = "\n".join([f"{path}: no format recognises it", *found.obstacles()])
        if found:
            text = f"{path}: not sure; say what is meant: run one of the commands, with what is in capitals filled in"
        print_error(text)
    raise SystemExit(1)
