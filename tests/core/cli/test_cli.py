"""The command line as a person meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.run.test_kill import write_coco
from tests.lightly_models import read_valid_task


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "labelferry", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_convert_writes_the_task_and_says_what_it_did(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    done = run("convert", "--from", "coco", "--to", "lightly", source, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "instance-segmentation task 'coco_instance-segmentation'" in done.stdout
    assert "3 images" in done.stdout
    assert "3 objects of 1 classes: a 3" in done.stdout
    assert len(read_valid_task(tmp_path / "out", "coco_instance-segmentation")[1]) == 3


def test_quiet_prints_nothing_and_report_and_json_hold_everything(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    report = tmp_path / "report.json"
    done = run("convert", "--from=coco", source, tmp_path / "out", "-q", "--report", report)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    content = json.loads(report.read_text())
    assert (content["published"], content["images"], content["objects"]) == (True, 3, {"a": 3})
    done = run("convert", "--from", "coco", source, tmp_path / "out", "--overwrite", "--json")
    assert json.loads(done.stdout) == content | {"seconds": json.loads(done.stdout)["seconds"]}


def test_errors_in_the_data_exit_with_1_and_name_place_and_remedy(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    source.write_text(source.read_text().replace('"category_id": 1', '"category_id": 9', 1))
    report = tmp_path / "report.json"
    done = run("convert", "--from", "coco", source, tmp_path / "out", "--report", report)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{source}, annotation id 0: category id 9 is not one of the export's categories (1)" in done.stderr
    assert "1 error(s), nothing was published" in done.stderr
    assert "--on-error skip" in done.stderr
    assert not (tmp_path / "out").exists()
    assert json.loads(report.read_text())["errors"][0]["code"] == "unknown-category"
    done = run("convert", "--from", "coco", source, tmp_path / "out", "--on-error", "skip")
    assert done.returncode == 0
    assert "1 left out, as it cannot be read: unknown-category" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", "--from", "cocoa", "x", "y"], "Did you mean 'coco'?"),
        (["convert", "--from", "coco", "--taks", "x", "y"], "--taks"),
        (["convert", "x", "y"], "--from"),
        (["convert", "--from", "coco", "SOURCE", "OUT", "--classes", "a=="], "--classes"),
        (["convert", "--from", "coco", "SOURCE", "OUT", "--classes", "b"], "no class 'b'; it has a"),
        (["convert", "--from", "coco", "SOURCE", "OUT", "--task-name", "a b"], "task name 'a b'"),
        (["convert", "--from", "coco", "SOURCE", "OUT", "--task", "keypoint-detection"], "holds no keypoint-detection"),
        (["formats", "nothing"], "no format 'nothing'"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_a_wrong_command_exits_with_2_and_says_what_is_wrong(arguments: list[str], words: str, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    places = {"SOURCE": str(source), "OUT": str(tmp_path / "out")}
    done = run(*[places.get(argument, argument) for argument in arguments])
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_export_exits_with_1(tmp_path: Path) -> None:
    done = run("convert", "--from", "coco", tmp_path / "none.json", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.json: cannot be read: No such file or directory" in done.stderr


def test_help_shows_the_options_of_the_format_asked_for() -> None:
    plain = run("convert", "--help").stdout
    assert "--task-name" in plain
    assert "--dataset" not in plain
    assert "--dataset" in run("convert", "--from", "coco", "--help").stdout
    for name in ("convert", "formats"):
        assert name in run("--help").stdout


def test_formats_lists_every_format_and_describes_one() -> None:
    listed = run("formats")
    assert listed.returncode == 0
    for name in ("coco", "csv", "imagefolder", "masks", "voc", "yolo"):
        assert f"\n{name} " in f"\n{listed.stdout}"
    described = run("formats", "coco").stdout
    assert "https://cocodataset.org/#format-data" in described
    assert "--dataset" in described


def test_the_version_is_told() -> None:
    assert run("--version").stdout.startswith("labelferry 0.")


def test_no_numpy_is_imported_for_help() -> None:
    code = """
import sys
sys.argv = ["labelferry", "--help"]
from labelferry.cli.app import main
try:
    main()
except SystemExit:
    pass
assert "numpy" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
