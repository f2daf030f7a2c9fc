"""The Python code of the documentation, as a user has it: checked by mypy with all its strict options."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PRELUDE = """
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import labelferry

boxes: Any
scores: Any
ids: Any
outputs: Any
processor: Any
tensor: Any
images: list[Path]
root: Path
shards: list[list[str]]
model: Callable[..., Any]
detector: Callable[..., Any]
load: Callable[[], Callable[..., Any]]
"""
"""What the code of a user has beside the documented lines."""

ULTRALYTICS = """
from typing import Any

class YOLO:
    def __init__(self, path: str) -> None: ...
    def __call__(self, source: Any) -> Any: ...
"""


def test_documented_code_passes_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs/ultralytics.pyi").write_text(ULTRALYTICS)
    files = []
    for page in ("README.md", "docs/python.md", "docs/batch.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)):
            prelude = (
                PRELUDE.replace("model: Callable[..., Any]\n", "") if re.search("^model = ", code, re.M) else PRELUDE
            )
            files.append(tmp_path / f"{Path(page).stem.lower()}_{number}.py")
            files[-1].write_text(prelude + code)
    assert len(files) > 8
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\nmypy_path = {tmp_path / 'stubs'}\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *(file.name for file in files)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
