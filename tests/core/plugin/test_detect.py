"""detect: every fixture is recognised as what it is, and only a sample is looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import labelferry
from labelferry.plugin import detect as module
from labelferry.plugin.detect import detect, detect_one
from labelferry.plugin.probe import Probe
from labelferry.plugin.registry import format_names, get_adapter

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
    "voc/devkit": [("voc", "Pascal VOC masks and boxes", "instance-segmentation", 2, True)],
    "voc/flat": [("voc", "Pascal VOC boxes", "object-detection", 2, False)],
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
    "yolo/labels": [],
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


@pytest.mark.parametrize("path", [path for path, found in EXPORTS.items() if found and not found[0][4]])
def test_the_command_converts_what_was_detected(fixtures: Path, tmp_path: Path, path: str) -> None:
    (found,) = detect(fixtures / path)
    command = [*found.command[1:], str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", "labelferry", *command], capture_output=True, text=True, check=False)
    if done.returncode == 1:  # some fixtures have faults on purpose
        assert "cannot be read" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    (name,) = json.loads((tmp_path / "out/.lightly/predictions/tasks.json").read_text())
    schema = json.loads((tmp_path / f"out/.lightly/predictions/{name}/schema.json").read_text())
    assert schema["task_type"] == found.match.tasks[0]
    written = list((tmp_path / f"out/.lightly/predictions/{name}").rglob("*.json"))
    if found.match.images is not None and found.match.exact:
        assert len(written) - 1 == found.match.images
    report = labelferry.convert(fixtures / path, tmp_path / "auto", format="auto")
    assert (report.task_name, report.images) == (name, len(written) - 1)


def test_results_find_their_dataset(fixtures: Path, tmp_path: Path) -> None:
    for name in ("instances.json", "results_bbox.json"):
        shutil.copy(fixtures / "coco" / name, tmp_path)
    _, results = detect(tmp_path)
    assert results.match.options == {"dataset": tmp_path / "instances.json"}
    assert not results.match.question
    with pytest.raises(labelferry.UsageError, match="say which of these is meant"):
        detect_one(tmp_path)


def test_what_cannot_be_told_is_asked(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "yolo/obb"
    with pytest.raises(labelferry.UsageError, match="--obb an oriented box"):
        labelferry.convert(source, tmp_path, format="auto")
    assert labelferry.convert(source, tmp_path, format="auto", obb=True).task_type == "object-detection"
    with pytest.raises(labelferry.UsageError, match="no format recognises it"):
        labelferry.convert(fixtures / "csv/names.txt", tmp_path, format="auto")
    with pytest.raises(labelferry.UsageError, match="no such file"):
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


def test_broken_exports_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": [{"file_name": "x"')
    (tmp_path / "b.xml").write_text("<annotations><meta>")
    (tmp_path / "data.yaml").write_text("names: [a\n")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe")
    assert [one.format for one in detect(tmp_path)] in ([], ["coco"])


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
    assert seen <= 101 * len(format_names())
    yolo = next(one for one in found if one.format == "yolo")
    assert not yolo.match.exact
    assert yolo.match.images is not None
    assert 0 < yolo.match.images <= 100
    assert "more than" in yolo.describe()


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
