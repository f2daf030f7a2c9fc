"""labelferry detect."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.core.conftest import Run


def test_detect_prints_the_format_and_the_command(run: Run, fixtures: Path) -> None:
    source = fixtures / "yolo/data.yaml"
    done = run("detect", source)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "yolo: YOLO boxes, Ultralytics; object-detection; 4 images",
        f"  labelferry convert --from yolo --to lightly {shlex.quote(str(source))} DATASOURCE",
    ]


def test_detect_prints_json(run: Run, fixtures: Path) -> None:
    (content,) = json.loads(run("detect", "--json", fixtures / "yolo/obb").stdout)
    assert content["format"] == "yolo"
    assert content["question"]


def test_an_unknown_format_exits_with_1_and_a_missing_path_with_2(run: Run, fixtures: Path, tmp_path: Path) -> None:
    done = run("detect", fixtures / "csv/names.txt")
    assert (done.returncode, done.stdout) == (1, "")
    assert "names.txt: no format recognises it" in done.stderr
    done = run("detect", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr
