"""detect: every fixture is recognised as what it is, and only a sample is looked at."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import labelferry
from labelferry.plugin import detect as module
from labelferry.plugin.detect import Detection, detect, detect_one
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import format_names, get_adapter
from tests.core.conftest import Run

# path, then (format, flavour, richest task, images, whether something is to be settled) of each that it may be
EXPORTS: dict[str, list[tuple[str, str, str, int | None, bool]]] = {
    "coco/instances.json": [("coco", "COCO annotations", "instance-segmentation", 3, False)],
    "coco/person_keypoints.json": [("coco", "COCO annotations", "keypoint-detection", 1, False)],
    "coco/panoptic.json": [("coco", "COCO panoptic", "instance-segmentation", 2, False)],
    "coco/results_bbox.json": [("coco", "COCO results", "object-detection", None, True)],
    "csv/classes.csv": [("csv", "a CSV of classes", "classification", 2, False)],
    "csv/probabilities.csv": [("csv", "a CSV of probabilities", "classification", 2, False)],
    "cvat/images": [("cvat", "CVAT for images", "keypoint-detection", 2, False)],
    "cvat/video/annotations.xml": [("cvat", "CVAT for video", "keypoint-detection", 12, False)],
    "cvat/project": [("cvat", "CVAT for video", "object-detection", 7, False)],
    "imagefolder/flat": [("imagefolder", "a folder for each of 2 classes", "classification", 3, False)],
    "imagefolder/splits": [("imagefolder", "a folder for each of 3 classes", "classification", 3, False)],
    "masks/cityscapes": [("masks", "Cityscapes masks", "semantic-segmentation", 1, False)],
    "masks/palette": [("masks", "label maps of 3 values in a sample", "semantic-segmentation", 1, False)],
    "masks/index/data": [("masks", "label maps of 5 values in a sample", "semantic-segmentation", 2, False)],
    "mot/train": [("mot", "MOTChallenge ground truth", "object-detection", 4, False)],
    "mot/train/WALK-01": [("mot", "MOTChallenge ground truth", "object-detection", 4, False)],
    "mot/test": [("mot", "MOTChallenge detections", "object-detection", 4, False)],
    "mot/results": [("mot", "MOTChallenge results", "object-detection", None, False)],
    "voc/devkit": [("voc", "Pascal VOC masks and boxes", "instance-segmentation", 1, True)],
    "voc/flat": [("voc", "Pascal VOC boxes", "object-detection", 2, False)],
    "voc/flat/a.xml": [("voc", "Pascal VOC boxes", "object-detection", None, True)],
    "voc/cvat": [("voc", "Pascal VOC masks", "instance-segmentation", 1, False)],
    "yolo/data.yaml": [("yolo", "YOLO boxes, Ultralytics", "object-detection", 4, False)],
    "yolo/segmentation": [("yolo", "YOLO polygons, Ultralytics", "instance-segmentation", 1, False)],
    "yolo/pose": [("yolo", "YOLO poses, Ultralytics", "keypoint-detection", 1, False)],
    "yolo/obb": [("yolo", "YOLO polygons, Ultralytics", "instance-segmentation", 1, True)],
    "yolo/roboflow": [("yolo", "YOLO boxes, Ultralytics", "object-detection", 2, False)],
    "yolo/darknet": [("yolo", "YOLO boxes, Darknet", "object-detection", 2, False)],
    "yolo/lists": [("yolo", "YOLO boxes, Ultralytics", "object-detection", 2, False)],
    "yolo/plain": [("yolo", "YOLO boxes, plain folders", "object-detection", 1, False)],
    "youtubevis/instances.json": [("youtubevis", "YouTube-VIS tracks", "instance-segmentation", 4, False)],
    "youtubevis/results.json": [("youtubevis", "YouTube-VIS results", "instance-segmentation", None, True)],
    "cvat/videos": [],
    "coco/roboflow": [("coco", "COCO annotations", "object-detection", 1, False)],
    "coco/splits": [("coco", "COCO annotations of 2 splits", "object-detection", 2, False)],
    "coco/years": [("coco", "COCO annotations of 2 splits", "instance-segmentation", 2, False)],
    "coco/without_sizes": [("coco", "COCO annotations", "object-detection", 1, False)],
    "coco/results_keypoints.json": [("coco", "COCO results", "keypoint-detection", None, True)],
    "coco/results_segm.json": [("coco", "COCO results", "instance-segmentation", None, True)],
    "csv/semicolons.csv": [("csv", "a CSV of classes", "classification", 1, False)],
    "cvat/keyframes": [("cvat", "CVAT for video", "keypoint-detection", 12, False)],
    "masks/binary/classes": [
        ("imagefolder", "a folder for each of 2 classes", "classification", 2, False),
        ("masks", "label maps of 2 values in a sample", "semantic-segmentation", 2, True),
    ],
    "masks/binary/objects": [("masks", "label maps of 3 values in a sample", "semantic-segmentation", 3, True)],
    "masks/colour": [("masks", "label maps of 3 values in a sample", "semantic-segmentation", 1, False)],
    "masks/instance/classes": [("masks", "label maps of 3 values in a sample", "semantic-segmentation", 2, False)],
    "mot/cvat": [("mot", "MOTChallenge ground truth", "object-detection", None, False)],
    "voc/xml_only": [("voc", "Pascal VOC boxes", "object-detection", 2, False)],
    "yolo/pose/flat.yaml": [("yolo", "YOLO poses, Ultralytics", "keypoint-detection", 1, False)],
    "yolo/predictions": [("yolo", "YOLO boxes, Ultralytics", "object-detection", 2, True)],
    "yolo/predictions/runs/boxes": [("yolo", "YOLO boxes, label files alone", "object-detection", 1, True)],
    "yolo/predictions/runs/boxes/labels": [("yolo", "YOLO boxes, label files alone", "object-detection", 1, True)],
    "yolo/predictions/runs/masks": [("yolo", "YOLO polygons, label files alone", "instance-segmentation", 1, True)],
    "yolo/labels": [("yolo", "YOLO boxes, label files alone", "object-detection", 3, True)],
    "yolo/lists/train.txt": [],
    "yolo/video": [],
    "masks/instance": [],
    "csv/names.txt": [],
}


@pytest.mark.parametrize("path", EXPORTS)
def test_every_fixture_is_what_it_is(fixtures: Path, path: str) -> None:
    found = [
        (one.format, one.match.flavour, one.match.tasks[0].value, one.match.images, bool(one.match.question))
        for one in detect(fixtures / path)
    ]
    assert found == EXPORTS[path]


def test_every_format_is_detected_somewhere() -> None:
    detected = {found[0] for matches in EXPORTS.values() for found in matches} | {"lightly", "labelformat"}
    assert detected == set(format_names())


ANSWERS = {
    "coco/results_bbox.json": [("INSTANCES.json", "{}/coco/instances.json")],
    "coco/results_keypoints.json": [("INSTANCES.json", "{}/coco/person_keypoints.json")],
    "coco/results_segm.json": [("INSTANCES.json", "{}/coco/instances.json")],
    "masks/binary/classes": [("CLASSES.txt", "{}/masks/instance/names.txt")],
    "masks/binary/objects": [("CLASSES.txt", "{}/masks/instance/names.txt")],
    "masks/index/data": [("CLASSES.txt", "{}/masks/index/classes.yaml")],
    "yolo/predictions": [("LABELS", "{}/yolo/predictions/runs/boxes/labels")],
    "youtubevis/results.json": [("INSTANCES.json", "{}/youtubevis/instances.json")],
}
"""What is filled in for the words in capitals of the commands that are printed."""


def _commands(printed: str) -> list[list[str]]:
    """The commands among the lines that detect has printed, as a shell splits them."""
    lines = (line.strip() for line in printed.splitlines())
    return [shlex.split(line) for line in lines if line.startswith("labelferry convert ")]


@pytest.mark.parametrize("path", [path for path, found in EXPORTS.items() if found])
def test_the_printed_commands_run_word_for_word(run: Run, fixtures: Path, tmp_path: Path, path: str) -> None:
    """Each makes a task of the richest type that was detected, with the images that were counted."""
    done = run("detect", fixtures / path)
    matches = EXPORTS[path]
    is_sure = len(matches) == 1 and not matches[0][4]
    assert done.returncode == (0 if is_sure else 1)
    assert (done.stderr == "") == is_sure
    commands = _commands(done.stdout)
    assert len(commands) == len(matches)
    for number, (words, (format, _, task, images, _)) in enumerate(zip(commands, matches, strict=True)):
        datasource = tmp_path / str(number)
        given = dict((*ANSWERS.get(path, []), ("DATASOURCE", str(datasource))))
        words = [given.get(Path(word).name, word).format(fixtures) for word in words]
        assert words[:3] == ["labelferry", "convert", "--from"]
        done = run(*words[1:])
        if done.returncode == 1:  # some fixtures have faults on purpose, or have no orientation or input to decide
            assert "cannot be read" in done.stderr, done.stderr
            continue
        assert done.returncode == 0, done.stderr
        (name,) = json.loads((datasource / ".lightly/predictions/tasks.json").read_text())
        assert name.startswith(f"{format}_")
        schema = json.loads((datasource / f".lightly/predictions/{name}/schema.json").read_text())
        assert schema["task_type"] == task
        written = len(list((datasource / f".lightly/predictions/{name}").rglob("*.json"))) - 1
        if images is not None and "--labels" not in words:
            assert written == images
        if is_sure:
            report = labelferry.convert(fixtures / path, tmp_path / "auto", format="auto")
            assert (report.task_name, report.images) == (name, written)


def test_results_find_their_dataset(fixtures: Path, tmp_path: Path) -> None:
    for name in ("instances.json", "results_bbox.json"):
        shutil.copy(fixtures / "coco" / name, tmp_path)
    _, results = detect(tmp_path)
    assert results.match.options == {"dataset": tmp_path / "instances.json"}
    assert not results.match.question
    with pytest.raises(labelferry.UsageError, match="say which of these is meant"):
        detect_one(tmp_path, {})


def test_what_cannot_be_told_is_asked(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "yolo/obb"
    with pytest.raises(labelferry.UsageError, match=r"an oriented box \(--obb\), or a polygon"):
        labelferry.convert(source, tmp_path, format="auto")
    with pytest.raises(labelferry.UsageError, match=r"an oriented box \(--obb\), or a polygon"):
        labelferry.convert(source, tmp_path, format="auto", split="train")  # says nothing about the question
    assert labelferry.convert(source, tmp_path, format="auto", obb=True).task_type == "object-detection"
    polygons = labelferry.convert(source, tmp_path, format="auto", task="instance-segmentation")
    assert polygons.task_type == "instance-segmentation"
    with pytest.raises(labelferry.UsageError, match="no format recognises it"):
        labelferry.convert(fixtures / "csv/names.txt", tmp_path, format="auto")
    with pytest.raises(labelferry.UsageError, match="does not exist"):
        detect(tmp_path / "nothing")


def test_lightly_and_labelformat(fixtures: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        labelferry.convert(fixtures / "yolo/data.yaml", tmp_path / "source", format="yolo", task_name=name)
    found = detect(tmp_path / "source")
    assert [(one.format, one.match.images, one.match.options) for one in found] == [
        ("lightly", 4, {"source_task": "one"}),
        ("lightly", 4, {"source_task": "two"}),
    ]
    (found_one,) = detect(tmp_path / "source/.lightly/predictions/one")
    assert found_one.format == "lightly"
    (tmp_path / "kitti").mkdir()
    (tmp_path / "kitti/a.txt").write_text("Car 0.00 0 -1.5 10 20 30 40 1 1 1 1 1 1 0\n")
    (found_one,) = detect(tmp_path / "kitti")
    assert (found_one.format, found_one.command[3]) == ("labelformat:kitti", "labelformat:kitti")
    assert "--category-names" in found_one.match.question
    (tmp_path / "a.ndjson").write_text('{"data_row": {"id": "a"}}\n')
    assert [one.format for one in detect(tmp_path / "a.ndjson")] == ["labelformat:labelbox"]


def test_photos_are_no_masks(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for i in range(3):
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
        Image.fromarray(noise[..., 0]).save(tmp_path / f"grey{i}.png")
    assert detect(tmp_path) == []


def test_the_error_of_an_adapter_is_shown(tmp_path: Path, run: Run) -> None:
    """Of a data.yaml without its images, of a folder with a sound file and a broken one, of a defect."""
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo/data.yaml").write_text("train: images\nnames: [a]\n")
    found = detect(tmp_path / "yolo")
    assert list(found) == []
    ((name, text),) = found.errors
    assert name == "yolo"
    assert "none of its splits" in text
    for command in (["detect"], ["convert", "--from", "auto"]):
        done = run(*command, tmp_path / "yolo", *([tmp_path / "out"] if command[1:] else []))
        assert done.returncode == (2 if command[1:] else 1)
        assert f"yolo: {text}" in done.stderr


def test_a_defect_of_an_adapter_is_shown_and_does_not_hide_other_formats(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Defective(labelferry.Adapter):
        tasks = (labelferry.TaskType.OBJECT_DETECTION,)

        @classmethod
        def detect(cls, probe: Probe) -> Any:
            yield Match(probe.path, "seen before the defect", cls.tasks)
            return {}["key"]

    monkeypatch.setattr(module, "format_names", lambda: ["coco", "defective"])
    monkeypatch.setattr(module, "get_adapter", lambda name: get_adapter("coco") if name == "coco" else Defective)
    found = detect(fixtures / "coco/instances.json")
    assert [one.format for one in found] == ["coco", "defective"]
    ((name, text),) = found.errors
    assert name == "defective"
    assert re.fullmatch(r"KeyError: 'key' \(at test_detect.py:\d+, a defect of the adapter\)", text)


def _images(folder: Path, *names: str) -> None:
    from PIL import Image

    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (200, 100, 50)).save(folder / name)


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "val", "test"),
        ("train", "valid"),
        ("train_images", "train_labels"),
        ("train", "trainannot", "val", "valannot", "test", "testannot"),
        ("train2017", "val2017"),
        ("trainA", "trainB", "testA", "testB"),
        ("images-train", "images-val"),
        ("Training Images", "Test Images"),
    ],
)
def test_folders_of_splits_are_no_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    """Whether or not they hold the same names; the explicit format reads them all the same."""
    for folder in folders:
        _images(tmp_path / "export", f"{folder}/a.jpg", f"{folder}/{folder}.jpg")
    assert list(detect(tmp_path / "export")) == []
    report = labelferry.convert(tmp_path / "export", tmp_path / "out", format="imagefolder", splits=False)
    assert report.images == 2 * len(folders)


@pytest.mark.parametrize(
    ("folders", "suffixes"),
    [
        (("images", "masks"), ("", "")),
        (("image", "gt"), ("", "_gt")),
        (("rgb", "depth"), ("", "_depth")),
        (("left", "right"), ("", "")),
        (("hr", "lr"), ("", "x4")),
        (("image", "semantic", "instance"), ("", "", "")),
        (("imgs", "annotations", "vis"), ("", "", "")),
        (("left_rgb", "right_rgb"), ("", "")),
    ],
)
def test_kinds_of_images_are_no_classes(tmp_path: Path, folders: tuple[str, ...], suffixes: tuple[str, ...]) -> None:
    for folder, suffix in zip(folders, suffixes, strict=True):
        _images(tmp_path / "export", f"{folder}/1{suffix}.jpg", f"{folder}/2{suffix}.jpg")
    assert list(detect(tmp_path / "export")) == []
    assert labelferry.convert(tmp_path / "export", tmp_path / "out", format="imagefolder").images == 2 * len(folders)


@pytest.mark.parametrize(
    ("folders", "question"),
    [
        (("cat", "dog"), ""),
        (("cats", "dogs", "train"), ""),
        (("left", "right", "straight"), ""),
        (("bus", "car", "train"), ""),
        (("n01440764", "n01443537"), ""),
        (("0", "1", "2"), ""),
        (("left", "right"), "kinds of images"),
        (("clean", "noisy"), "kinds of images"),
        (("camera_1", "camera_2"), "parts of a dataset"),
        (("seq01", "seq02", "seq03"), "parts of a dataset"),
        (("2024-05-01", "2024-05-02"), "parts of a dataset"),
        (("train", "val", "extra"), "splits"),
    ],
)
def test_folders_that_may_be_something_else_are_asked_about(
    tmp_path: Path, run: Run, folders: tuple[str, ...], question: str
) -> None:
    for number, folder in enumerate(folders):
        _images(tmp_path / "export", f"{folder}/{number}_a.jpg", f"{folder}/{number}_b.jpg")
    (found,) = detect(tmp_path / "export")
    assert found.format == "imagefolder"
    assert question in found.match.question
    assert bool(found.match.question) == bool(question)
    done = run("convert", "--from", "auto", tmp_path / "export", tmp_path / "out", "--input", "none")
    assert done.returncode == (2 if question else 0)
    done = run("convert", "--from", "imagefolder", tmp_path / "export", tmp_path / "out", "--overwrite")
    assert done.returncode == 0


def test_splits_with_other_words_are_named_in_the_command(tmp_path: Path) -> None:
    _images(tmp_path / "named", "train_images/cat/a.jpg", "train_images/dog/b.jpg", "val_images/cat/c.jpg")
    (found,) = detect(tmp_path / "named")
    assert found.match.options == {"splits": True}
    assert found.command[-1] == "--splits"
    report = labelferry.convert(tmp_path / "named", tmp_path / "out", format="auto")
    assert report.objects == {"cat": 2, "dog": 1}


def test_the_command_has_flags_and_paths_as_the_command_line_reads_them() -> None:
    match = Match(Path("-a b"), "x", (labelferry.TaskType.OBJECT_DETECTION,), options={"track_ids": False, "obb": True})
    found = Detection("yolo", match)
    assert found.command[3:] == ["yolo", "--to", "lightly", "./-a b", "--no-track-ids", "--obb"]
    assert "'./-a b' DATASOURCE --no-track-ids --obb" in found.describe()


def test_a_datasource_with_its_own_predictions_is_the_export_that_it_was(copied: Path, tmp_path: Path) -> None:
    """Also where a question about the export is open; the predictions alone are an export."""
    source = copied / "yolo"
    labelferry.convert(source, source, format="auto")
    assert [one.format for one in detect(source)] == ["yolo"]
    report = labelferry.convert(source, source, format="auto", overwrite=True)
    assert report.format == "yolo"
    (source / ".lightly").rename(tmp_path / ".lightly")
    assert [one.format for one in detect(tmp_path)] == ["lightly"]
    shutil.copytree(tmp_path / ".lightly", copied / "yolo/obb/.lightly")
    assert [one.format for one in detect(copied / "yolo/obb")] == ["lightly", "yolo"]


def test_one_of_several_tasks_is_chosen_by_its_option(fixtures: Path, tmp_path: Path, run: Run) -> None:
    for name in ("one", "two"):
        labelferry.convert(fixtures / "yolo/data.yaml", tmp_path / "source", format="yolo", task_name=name)
    done = run("convert", "--from", "auto", tmp_path / "source", tmp_path / "out", "--source-task", "two")
    assert done.returncode == 0, done.stderr
    assert run("convert", "--from", "auto", tmp_path / "source", tmp_path / "out").returncode == 2


def test_predictions_of_ultralytics_are_recognised(copied: Path, tmp_path: Path, run: Run) -> None:
    """The folder that save_txt makes, with the pictures that it draws, and its labels."""
    predict = tmp_path / "runs/detect/predict"
    shutil.copytree(copied / "yolo/predictions/runs/boxes", predict)
    _images(predict, "a.jpg")
    (alone,) = detect(predict / "labels")
    (found,) = detect(predict)
    assert found.match.source == alone.match.source == Path("DATA.yaml")
    assert found.match.options == alone.match.options == {"labels": predict / "labels"}
    assert "data.yaml or classes.txt" in found.match.question
    (words,) = _commands(run("detect", predict).stdout)
    given = {"DATA.yaml": str(copied / "yolo/predictions/data.yaml"), "DATASOURCE": str(tmp_path / "out")}
    done = run(*[given.get(word, word) for word in words[1:]])
    assert done.returncode == 0, done.stderr
    shutil.copy(copied / "yolo/predictions/data.yaml", tmp_path)
    (found,) = detect(predict)
    assert found.match.source == tmp_path / "data.yaml"
    assert found.match.question == f"are the names of the classes those in {tmp_path / 'data.yaml'}?"


def test_classes_of_ultralytics_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "predict/labels").mkdir(parents=True)
    (tmp_path / "predict/labels/a.txt").write_text("0.87 tabby cat\n0.04 fox\n")
    (found,) = detect(tmp_path / "predict")
    assert (found.match.flavour, found.match.tasks) == ("YOLO classes, label files alone", ("classification",))


def test_several_descriptions_are_several_exports(copied: Path) -> None:
    folder = copied / "yolo/pose"
    (folder / "data.yaml").rename(folder / "pose.yaml")
    (folder / "args.yaml").write_text("task: pose\nmode: train\n")
    found = detect(folder)
    assert [one.match.source for one in found] == [folder / "flat.yaml", folder / "pose.yaml"]
    assert found.question == "which of these is meant?"
    (folder / "flat.yaml").unlink()
    assert [one.match.source for one in detect(folder)] == [folder / "pose.yaml"]


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "a.jpg,40,30,car,1,2,3,4"),
        ("image,x1,y1,x2,y2,label", "a.jpg,1,2,3,4,car"),
        ("file,label,bbox", 'a.jpg,car,"[1, 2, 3, 4]"'),
    ],
)
def test_tables_of_boxes_are_no_classification(tmp_path: Path, head: str, row: str) -> None:
    (tmp_path / "a.csv").write_text(f"{head}\n{row}\n")
    assert list(detect(tmp_path)) == []


def test_a_csv_in_which_columns_are_unclear_is_asked_about(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.csv").write_text("file,class,label\na.jpg,car,1\n")
    (found,) = detect(tmp_path)
    assert "--class-column" in found.match.question
    done = run("convert", "--from", "auto", tmp_path / "a.csv", tmp_path / "out", "--class-column", "class")
    assert done.returncode == 0, done.stderr


def test_masks_beside_their_images_are_the_export(copied: Path, tmp_path: Path) -> None:
    root = copied / "masks/colour"
    (found,) = detect(root)
    assert found.match.source == root / "masks"
    assert found.match.options["images"] == root / "images"


def test_values_that_the_file_of_classes_does_not_name_are_asked_about(copied: Path) -> None:
    """As of grey pictures beside a file of classes that belongs to other labels."""
    folder = copied / "masks/index"
    (folder / "classes.yaml").write_text("background: 0\nroad: 1\n")
    (found,) = detect(folder)
    assert "classes.yaml does not name the values" in found.match.question
    assert "--labels" in found.match.question


def test_only_a_sample_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder of any size, so many entries and no more; the count says that there are more."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a]\n")
    for i in range(300):
        (tmp_path / f"images/{i:04}.jpg").touch()
        (tmp_path / f"labels/{i:04}.txt").write_text("0 .5 .5 .1 .1\n")
    monkeypatch.setattr(module, "MOST", 100)
    seen = 0
    scandir = os.scandir

    class Counting:
        def __init__(self, path: Any) -> None:
            self._entries = scandir(path)

        def __enter__(self) -> Counting:
            return self

        def __exit__(self, *_: object) -> None:
            self._entries.close()

        def __iter__(self) -> Any:
            nonlocal seen
            for entry in self._entries:
                seen += 1
                yield entry

    monkeypatch.setattr(os, "scandir", Counting)
    found = detect(tmp_path)
    assert seen <= 101 * (len(format_names()) + 1)  # formats, and what is not supported
    yolo = next(one for one in found if one.format == "yolo")
    assert not yolo.match.exact
    assert yolo.match.images is not None
    assert 0 < yolo.match.images <= 100
    assert "more than" in yolo.describe()
    assert not yolo.match.question  # labels are looked at too


def test_a_probe_keeps_what_it_has_seen(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    probe = Probe(tmp_path)
    assert probe.listing(tmp_path) == (["a.txt"], [], True)
    (tmp_path / "b.txt").write_text("x")
    assert probe.listing(tmp_path)[0] == ["a.txt"]
    assert probe.head(tmp_path / "nothing") == b""
    assert not probe.is_small(tmp_path / "nothing")


def test_adapters_without_detection_recognise_nothing(tmp_path: Path) -> None:
    class Plain(labelferry.Adapter):
        def get_categories(self) -> Any: ...
        def get_images(self) -> Any: ...
        def get_labels(self, image: Any) -> Any: ...

    assert list(Plain.detect(Probe(tmp_path))) == []
    assert get_adapter("yolo").detect is not Plain.detect
