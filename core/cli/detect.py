"""labelferry detect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from labelferry.cli.report import fail


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
        fail(f"{path}: no format recognises it; 'labelferry formats' lists those that are known", 1)
