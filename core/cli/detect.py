"""labelferry detect: the format of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labelferry.cli.report import printable, to_json


def detect(
    path: Annotated[Path, typer.Argument(help="The export: a file or a folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Detect the format of an export from a sample of it, and print the command that converts it."""
    from labelferry.errors import LabelferryError
    from labelferry.plugin import detect as detection

    found = detection.detect(path)
    if as_json:
        print(to_json([one.to_dict() for one in found]))
    elif found:
        print(printable("\n".join(one.describe() for one in found)))
    else:
        raise LabelferryError(f"{path}: no format recognises it; 'labelferry formats' lists the known ones")
