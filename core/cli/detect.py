"""labelferry detect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def detect(
    path: Annotated[Path, typer.Argument(help="The export: a file or a folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Detect the format of an export from a sample of it, and print the command that converts it."""
    from labelferry.errors import LabelferryError
    from labelferry.plugin import detect as detection

    found = detection.detect(path)
    if as_json:
        print(json.dumps([one.to_dict() for one in found], indent=2, ensure_ascii=False))
    elif found:
        print("\n".join(one.describe() for one in found))
    else:
        raise LabelferryError(f"{path}: no format recognises it; 'labelferry formats' lists the known ones")
