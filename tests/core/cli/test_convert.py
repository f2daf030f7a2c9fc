"""labelferry convert: options, output, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

import labelferry
from labelferry.cli.report import report_schema
from labelferry.run.options import Options
from tests.core.conftest import Run
from tests.core.run.test_kill import write_coco
from tests.lightly_models import read_valid_task


def test_convert_writes_the_task_and_prints_what_it_did(run: Run, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    done = run("convert", "--from", "coco", "--to", "lightly", source, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "instance-segmentation task 'coco_instance-segmentation'" in done.stdout
    assert "3 images" in done.stdout
    assert "3 objects of 1 class: a 3" in done.stdout
    assert len(read_valid_task(tmp_path / "out", "coco_instance-segmentation")[1]) == 3


def test_quiet_prints_nothing_and_report_and_json_hold_everything(run: Run, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    report = tmp_path / "report.json"
    assert run("convert", "--from=coco", source, tmp_path / "out", "-q", "--report", report) == (0, "", "")
    content = json.loads(report.read_text())
    assert (content["published"], content["images"], content["objects"]) == (True, 3, {"a": 3})
    done = run("convert", "--from", "coco", source, tmp_path / "out", "--overwrite", "--json")
    assert json.loads(done.stdout) == content | {"seconds": json.loads(done.stdout)["seconds"]}
    assert "3 images" in done.stderr


def test_errors_in_the_data_exit_with_1_and_name_place_and_remedy(run: Run, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    source.write_text(source.read_text().replace('"category_id": 1', '"category_id": 9', 1))
    report = tmp_path / "report.json"
    done = run("convert", "--from", "coco", source, tmp_path / "out", "--report", report)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{source}, annotation id 0: category id 9 is not one of the export's categories (1)" in done.stderr
    assert "labelferry: 1 error, nothing was published. Fix the export" in done.stderr
    assert "--on-error skip" in done.stderr
    assert not (tmp_path / "out").exists()
    assert json.loads(report.read_text())["errors"][0]["code"] == "unknown-category"
    done = run("convert", "--from", "coco", source, tmp_path / "out", "--on-error", "skip", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 left out, as it cannot be read: unknown-category" in done.stdout


def test_strict_refuses_what_would_be_repaired(run: Run, tmp_path: Path, fixtures: Path) -> None:
    done = run("convert", "--from", "coco", fixtures / "coco/instances.json", tmp_path / "out", "--strict")
    assert (done.returncode, done.stdout) == (1, "")
    assert "1 must be repaired: segmentation-missing" in done.stderr
    assert "nothing was published. --strict counts repairs and warnings as errors." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "cocoa", "x", "y"], "Did you mean 'coco'?"),
        (["--from", "coco", "--taks", "x", "y"], "--taks"),
        (["x", "y"], "--from"),
        (["x", "y", "--from"], "--from"),
        (["--from", "coco", "SOURCE", "OUT", "--classes", "a=="], "--classes"),
        (["--from", "coco", "SOURCE", "OUT", "--classes", "b"], "no class 'b'; it has a"),
        (["--from", "coco", "SOURCE", "OUT", "--task-name", "a b"], "task name 'a b'"),
        (["--from", "coco", "SOURCE", "OUT", "--task", "segmentation"], "instance-segmentation"),
        (["--from", "coco", "SOURCE", "OUT", "--task", "keypoint-detection"], "holds no keypoint-detection"),
        (["--from", "coco", "SOURCE", "OUT", "--on-error", "stop"], "'fail'"),
        (["--from", "coco", "SOURCE", "OUT", "--to", "coco"], "'lightly'"),
        (["--from", "coco", "SOURCE", "OUT", "--as", "frames"], "--as frames requires --videos"),
        (["--from", "coco", "SOURCE", "OUT", "--strict", "--on-error", "skip"], "--strict"),
        (["--from", "coco", "SOURCE", "OUT", "--score", "1.5"], "'--score'"),
        (["--from", "coco", "SOURCE", "OUT", "--first-frame", "2"], "'--first-frame'"),
        (["--from", "coco", "SOURCE", "OUT", "--frame-step", "0"], "'--frame-step'"),
        (["--from", "coco", "SOURCE", "OUT", "--workers", "0"], "'--workers'"),
    ],
)
def test_a_wrong_command_exits_with_2_and_prints_what_is_wrong(
    run: Run, arguments: list[str], words: str, tmp_path: Path
) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    places = {"SOURCE": str(source), "OUT": str(tmp_path / "out")}
    done = run("convert", *[places.get(argument, argument) for argument in arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [("none.json",), *(("a.json", option, "none") for option in ("--images", "--dataset", "--videos", "--input"))],
)
def test_a_path_that_does_not_exist_exits_with_2(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    write_coco(tmp_path / "a.json", 3)
    source, *options = [word if word.startswith("--") else tmp_path / word for word in arguments]
    done = run("convert", "--from", "coco", source, tmp_path / "out", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_report_that_cannot_be_written_is_refused_before_the_run(run: Run, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    for place, words in (("none/report.json", "cannot be written"), (".", "is a folder"), ("s3://b/r", "is a URL")):
        report = place if ":" in place else tmp_path / place
        done = run("convert", "--from", "coco", source, tmp_path / "out", "--report", report)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("labelferry: --report: ")
        assert words in done.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        ((), 0, None),
        (("--classes", "b"), 2, ("usage", "")),
        (("--input", "s3://bucket"), 2, ("usage", "")),
        (("--classes", "="), 2, ("usage", "")),
        (("--dataset", "BROKEN"), 1, ("export", "broken-json")),
    ],
)
def test_the_report_is_written_whatever_happens(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, error: tuple[str, str] | None
) -> None:
    source = write_coco(tmp_path / "a.json", 3)
    (tmp_path / "b.json").write_text("[{")
    places = {"BROKEN": str(tmp_path / "b.json")}
    words = [places.get(word, word) for word in arguments]
    report = tmp_path / "report.json"
    if "BROKEN" in arguments:
        source = tmp_path / "b.json"
    done = run("convert", "--from", "coco", source, tmp_path / "out", *words, "--report", report, "--json")
    content = json.loads(report.read_text())
    assert done.returncode == code
    assert json.loads(done.stdout) == content
    assert content["published"] is (error is None)
    assert (content["error"] and (content["error"]["kind"], content["error"]["code"])) == error


def test_an_interrupted_or_terminated_run_writes_its_report(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr("labelferry.run.convert.convert", terminate)
    before = signal.getsignal(signal.SIGTERM)
    try:
        done = run("convert", "--from", "coco", "x", tmp_path, "--report", tmp_path / "report.json")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.returncode == 143
    assert done.stderr.startswith("labelferry: terminated; nothing was published; run the same command again")
    assert json.loads((tmp_path / "report.json").read_text())["error"]["kind"] == "interrupted"


def test_the_schema_of_reports_is_published_and_reports_follow_it(run: Run, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    published = json.loads((root / "docs/report.schema.json").read_text(encoding="utf-8"))
    assert published == report_schema()
    properties = published["$defs"]["Report"]["properties"]
    assert set(properties) == {field.name for field in fields(labelferry.Report)} | {"error"}
    text = (root / "docs/report.md").read_text(encoding="utf-8")
    assert [name for name in properties if f"`{name}`" not in text] == []
    done = run("convert", "--from", "coco", write_coco(tmp_path / "a.json", 3), tmp_path / "out", "--json")
    content = json.loads(done.stdout)
    assert content.pop("error") is None
    assert json.loads(json.dumps(msgspec.convert(content, labelferry.Report).to_dict())) == content
    assert set(content) == set(published["$defs"]["Report"]["required"]) - {"error"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "--from", "coco", "s3://bucket/a.json", "OUT"),
        ("convert", "--from", "coco", "SOURCE", "gs://bucket/out"),
        ("convert", "--from", "coco", "SOURCE", "OUT", "--videos", "https://host/videos"),
        ("convert", "--from", "coco", "SOURCE", "OUT", "--input", "s3://bucket"),
        ("convert", "--from", "coco", "SOURCE", "OUT", "--images", "s3://bucket"),
        ("detect", "s3://bucket/a.json"),
        ("batch", "s3://bucket/exports", "OUT"),
    ],
)
def test_urls_are_refused_before_anything_is_made_of_them(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"SOURCE": str(write_coco(tmp_path / "a.json", 3)), "OUT": str(tmp_path / "out")}
    monkeypatch.chdir(tmp_path)
    done = run(*[places.get(argument, argument) for argument in arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert "only local paths are supported: copy or mount it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def completions(line: str, tmp_path: Path) -> list[str]:
    words = line.split(" ")
    given = {"_LABELFERRY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-m", "labelferry"]
    done = subprocess.run(command, env=os.environ | given, cwd=tmp_path, capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_a_shell_completes_formats_options_and_tasks(tmp_path: Path) -> None:
    labelferry.convert(write_coco(tmp_path / "a.json", 3), tmp_path / "out", format="coco", task_name="mine")
    assert completions("labelferry convert --from yo", tmp_path) == ["yolo", "youtubevis"]
    assert "--vid-stride" in completions("labelferry convert --from yolo --v", tmp_path)
    assert completions("labelferry convert a.json out --task-name m", tmp_path) == ["mine"]
    assert completions("labelferry convert a.json none --task-name m", tmp_path) == []


def test_help_shows_the_options_of_the_format_asked_for(run: Run) -> None:
    for arguments in ((), ("--from", "auto")):
        plain = run("convert", *arguments, "--help").stdout
        assert "--task-name" in plain
        assert "Each format has options of its own" in plain
        assert "--dataset" not in plain
    for arguments in (("--from", "coco"), ("--from=coco",)):
        assert "--dataset" in run("convert", *arguments, "--help").stdout


GIVEN: dict[str, tuple[list[str], Any]] = {
    "format": (["--from", "yolo"], "yolo"),
    "task": (["--task", "object-detection"], labelferry.TaskType.OBJECT_DETECTION),
    "task_name": (["--task-name", "mine"], "mine"),
    "classes": (["--classes", "car=vehicle,person"], {"car": "vehicle", "person": "person"}),
    "rename": (["--rename", "car=vehicle,truck=vehicle"], {"car": "vehicle", "truck": "vehicle"}),
    "keep_category_ids": (["--keep-category-ids"], True),
    "image_prefix": (["--image-prefix", "day 1"], "day 1"),
    "videos": (["--videos", "clips"], Path("clips")),
    "input": (["--input", "root"], "root"),
    "frames": (["--frames", "{video}_{frame}"], "{video}_{frame}"),
    "first_frame": (["--first-frame", "1"], 1),
    "frame_step": (["--frame-step", "5"], 5),
    "as_": (["--as", "frames"], "frames"),
    "orientation": (["--orientation", "upright"], "upright"),
    "score": (["--score", "0.25"], 0.25),
    "on_error": (["--on-error", "skip"], "skip"),
    "allow_empty": (["--allow-empty"], True),
    "strict": (["--strict"], True),
    "overwrite": (["--overwrite"], True),
    "workers": (["--workers", "3"], 3),
}


def test_every_option_reaches_the_conversion(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def convert(*arguments: Any, progress: Any, **options: Any) -> None:
        given.update(options, arguments=arguments)
        raise labelferry.UsageError("enough")

    monkeypatch.setattr("labelferry.run.convert.convert", convert)
    assert list(GIVEN) == [option.name for option in fields(Options)]
    flags = [word for words, _ in GIVEN.values() for word in words]
    assert (
        run("convert", "SOURCE", "OUT", *flags, "--split", "val", "--obb", "--no-track-ids").stderr
        == "labelferry: enough\n"
    )
    assert given.pop("arguments") == (Path("SOURCE"), Path("OUT"))
    assert given == {name: value for name, (_, value) in GIVEN.items()} | {
        "split": "val",
        "obb": True,
        "track_ids": False,
    }


def test_what_is_not_given_is_as_in_python_but_for_the_workers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def convert(*_: Any, progress: Any, **options: Any) -> None:
        given.update(options)
        raise labelferry.UsageError("enough")

    monkeypatch.setattr("labelferry.run.convert.convert", convert)
    run("convert", "SOURCE", "OUT", "--from", "coco")
    expected = {option.name: option.default for option in fields(Options)} | {"format": "coco", "workers": None}
    assert given == expected


def test_an_option_that_is_on_by_default_can_be_turned_off(run: Run, tmp_path: Path) -> None:
    (tmp_path / "on.py").write_text(
        "from pathlib import Path\nfrom typing import Annotated\nimport labelferry\n\n\n"
        "class On(labelferry.Adapter):\n    tasks = (labelferry.TaskType.OBJECT_DETECTION,)\n"
        "    def __init__(self, path: Path, *, sky: Annotated[bool, 'Read the sky.'] = True) -> None:\n"
        "        raise labelferry.UsageError(f'sky is {sky}')\n"
        "    def get_categories(self): ...\n    def get_images(self): ...\n    def get_labels(self, image): ...\n"
    )
    command = ("convert", "--from", tmp_path / "on.py", tmp_path, tmp_path / "out")
    assert run(*command).stderr == "labelferry: sky is True\n"
    assert run(*command, "--no-sky").stderr == "labelferry: sky is False\n"


def test_ctrl_c_exits_with_130_and_says_how_to_continue(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelferry.run.convert.convert", interrupt)
    done = run("convert", "--from", "coco", "x", tmp_path)
    assert done == (130, "", "labelferry: interrupted; nothing was published; run the same command again to continue\n")


def test_names_that_are_not_unicode_and_control_characters_are_escaped(
    run: Run, tmp_path: Path, fixtures: Path
) -> None:
    folder = tmp_path / "pets/cat\x1b[2J"
    folder.mkdir(parents=True)
    shutil.copy(fixtures / "imagefolder/flat/cat/1.png", folder / "a.png")
    try:
        shutil.copy(fixtures / "imagefolder/flat/cat/1.png", str(folder).encode() + b"/\xff.png")
    except OSError:
        pytest.skip("the file system takes only names in Unicode")
    report = tmp_path / "report.json"
    arguments = (tmp_path / "pets", tmp_path / "out", "--on-error", "skip", "--report", report)
    done = run("convert", "--from", "imagefolder", *arguments)
    assert done.returncode == 0
    assert r"cat\x1b[2J 1" in done.stdout
    assert r"\udcff.png" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\udcff.png" in json.loads(report.read_text(encoding="utf-8"))["errors"][0]["examples"][0][0]
