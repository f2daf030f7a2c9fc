"""labelferry detect."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.core.conftest import Run


def test_detect_prints_the_format_and_the_command(run: Run, fixtures: Path) -> None:
    source = fixtures / "yolo/data.yaml"
    done = run("detect", source)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "yolo: YOLO boxes, Ultralytics; object-detection; 4 images",
        f"  labelferry convert --from yolo --to lightly {shlex.quote(str(source))} DATASOURCE",
    ]


def test_detect_prints_json_with_the_same_exit_codes(run: Run, fixtures: Path) -> None:
    """0 if it is sure, 1 if nothing or several things are recognised, or a question is open."""
    for path, code, formats, question in (
        ("yolo/data.yaml", 0, ["yolo"], ""),
        ("yolo/obb", 1, ["yolo"], "each object has four points"),
        ("csv", 1, ["csv", "csv", "csv"], "which of these is meant?"),
        ("csv/names.txt", 1, [], ""),
    ):
        done = run("detect", "--json", fixtures / path)
        assert (done.returncode, done.stderr) == (code, "")
        content = json.loads(done.stdout)
        assert list(content) == ["sure", "question", "formats", "unsupported", "errors"]
        assert content["sure"] is (code == 0)
        assert [one["format"] for one in content["formats"]] == formats
        assert content["question"].startswith(question)
        assert bool(content["question"]) == (len(formats) > 0 and code == 1)
        assert run("detect", fixtures / path).returncode == code


def test_what_is_not_supported_is_in_the_json(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"image": "a.jpg", "annotations": [{"label": "a", "coordinates": {}}]}]')
    done = run("detect", "--json", path)
    assert done.returncode == 1
    (one,) = json.loads(done.stdout)["unsupported"]
    assert (one["path"], one["what"], one["kind"]) == (str(path), "CreateML", "format")
    assert "COCO or YOLO" in one["advice"]


def test_several_formats_are_printed_and_it_is_said_that_one_is_to_be_chosen(run: Run, fixtures: Path) -> None:
    done = run("detect", fixtures / "csv")
    assert done.stdout.count("labelferry convert --from csv") == 3
    assert "not sure; say what is meant: run one of the commands" in done.stderr


def test_an_unknown_format_exits_with_1_and_a_missing_path_with_2(run: Run, fixtures: Path, tmp_path: Path) -> None:
    done = run("detect", fixtures / "csv/names.txt")
    assert (done.returncode, done.stdout) == (1, "")
    assert "names.txt: no format recognises it" in done.stderr
    done = run("detect", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr


def test_a_missing_from_mentions_auto(run: Run, fixtures: Path, tmp_path: Path) -> None:
    done = run("convert", fixtures / "yolo/data.yaml", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "labelferry: --from is missing: name the format, or detect it with --from auto\n"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("kitti", "Did you mean 'labelformat:kitti'?"),
        ("YOLO", "Did you mean 'yolo'?"),
        ("yolov8", "Did you mean 'yolo'?"),
        ("yolo11", "Did you mean 'yolo'?"),
        ("Pascal_VOC", "Did you mean 'voc'?"),
        ("voc2012", "Did you mean 'voc'?"),
        ("coco2017", "Did you mean 'coco'?"),
        ("cityscapes", "Did you mean 'masks'?"),
        ("rtdetr", "Did you mean 'labelformat:rtdetr'?"),
        ("YouTube-VIS", "Did you mean 'youtubevis'?"),
        ("Auto", "Did you mean 'auto'?"),
        ("imagefoldre", "Did you mean 'imagefolder'?"),
        ("labelformat:kity", "Did you mean 'kitti'?"),
        ("labelme", "It is not supported: convert it to COCO or Pascal VOC with LabelMe's own"),
        ("label-studio", "It is not supported: export it from Label Studio as COCO or YOLO"),
    ],
)
def test_an_unknown_format_gets_a_suggestion(run: Run, tmp_path: Path, name: str, suggestion: str) -> None:
    done = run("convert", "--from", name, tmp_path, tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert suggestion in done.stderr


def test_auto_has_the_options_of_the_detected_format(run: Run, fixtures: Path, tmp_path: Path) -> None:
    """In any order; the source is found among values of other options, even if they are folders."""
    source, out = fixtures / "yolo/data.yaml", tmp_path / "out"
    for arguments in (
        ("--from", "auto", source, out, "--split", "val"),
        ("--split", "val", "--from", "auto", source, out),
        ("--from=auto", "--split=val", source, "--task-name", "yolo_object-detection", out),
        ("--images", fixtures / "yolo", "--from", "auto", "--split", "val", source, out),
    ):
        done = run("convert", *arguments, "--overwrite")
        assert done.returncode == 0, done.stderr
        assert "  2 images" in done.stdout
    done = run("convert", "--from", "auto", source, "--help")
    assert "Options of the format yolo" in done.stdout
    done = run("convert", "--from", "auto", "--help")
    assert "Each format has options of its own" in done.stdout
    done = run("convert", "--from", "auto", source, out, "--no-such-option", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option" in done.stderr
    done = run("convert", "--from", "auto", fixtures / "csv/names.txt", out, "--split", "val")
    assert done.returncode == 2
    assert "--split: no option of every format; name the format with --from" in done.stderr


def test_an_option_that_is_not_given_answers_no_question(run: Run, fixtures: Path, tmp_path: Path) -> None:
    done = run("convert", "--from", "auto", fixtures / "yolo/obb", tmp_path, "--split", "train")
    assert done.returncode == 2
    assert "an oriented box (--obb)" in done.stderr
    assert run("convert", "--from", "auto", fixtures / "yolo/obb", tmp_path, "--obb").returncode == 0
