"""What holds for every opened export: it can be opened and read again anywhere, names its files, loses no object."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

import labelferry
from labelferry import TaskType
from labelferry.plugin.adapter import Adapter, make_adapter
from labelferry.plugin.export import Request
from labelferry.plugin.registry import get_adapter
from labelferry.task_type import obtainable
from tests.exports import check_accounting, content, files_opened, listed, named_files, resumed_images, values

CITYSCAPES = "masks/cityscapes"

EXPORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "masks: index": (
        "masks/index/data",
        {"suffix": "_mask", "images": "masks/index/data", "labels": "masks/index/classes.yaml"},
    ),
    "masks: palette": ("masks/palette/masks", {"labels": "masks/palette/labelmap.txt"}),
    "masks: colour": ("masks/colour/masks", {"images": "masks/colour/images", "labels": "masks/colour/colours.csv"}),
    "masks: instance": (
        "masks/instance/instances",
        {"class_masks": "masks/instance/classes", "labels": "masks/instance/names.txt"},
    ),
    "masks: instance, beside": ("beside", {"suffix": "_i", "class_masks": "_c", "labels": "masks/instance/names.txt"}),
    "masks: cityscapes": (
        f"{CITYSCAPES}/gtFine",
        {"suffix": "_gtFine_instanceIds", "images": f"{CITYSCAPES}/leftImg8bit"},
    ),
    "masks: panoptic": (f"{CITYSCAPES}/cityscapes_panoptic_train", {"suffix": "_gtFine_panoptic"}),
    "masks: binary objects": (
        "masks/binary/objects",
        {"pattern": "{image}/{class}_{n}", "images": "masks/binary/images"},
    ),
    "masks: binary classes": (
        "masks/binary/classes",
        {"pattern": "{class}/{image}", "labels": "masks/instance/names.txt"},
    ),
    "csv: classes": ("csv/classes.csv", {}),
    "csv: numbers": ("csv/semicolons.csv", {"labels": "csv/names.txt"}),
    "csv: probabilities": ("csv/probabilities.csv", {}),
    "imagefolder": ("imagefolder/splits", {}),
    "imagefolder: labels": ("imagefolder/flat", {"labels": "imagefolder/names.txt"}),
    "lightly: classes": ("lightly", {"source_task": "classes"}),
    "lightly: boxes": ("lightly", {"source_task": "boxes"}),
    "lightly: boxes, checked": ("lightly", {"source_task": "boxes", "images": "yolo"}),
    "lightly: keypoints": ("lightly", {"source_task": "poses"}),
    "lightly: masks": ("lightly", {"source_task": "masks"}),
    "lightly: regions": ("lightly", {"source_task": "regions"}),
    "lightly: merged": ("lightly", {"source_task": "boxes,cars"}),
    "labelformat:coco": ("labelformat/coco.json", {}),
    "labelformat:youtubevis": ("labelformat/tracks.json", {}),
    "labelformat:pascalvoc": (
        "labelformat/images",
        {"masks_dir": "labelformat/masks", "class_id_to_name": "labelformat/names.json"},
    ),
}
"""By format and flavour: the path and the options; paths are relative to the folder of the exports."""

HELD_BY_CHOICE = {"labelformat:pascalvoc": TaskType.SEMANTIC_SEGMENTATION}
"""The task type of exports whose options do not serve the richest one."""

UNNAMED = {"lightly": "lightly/.lightly/predictions/tasks.json", "labelformat:pascalvoc": "labelformat/"}
"""What is read and not named: which tasks there are; and folders that labelformat reads, whose labels the images carry
themselves."""

PATHS = ("images", "labels", "masks_dir", "class_id_to_name")


@pytest.fixture(scope="module")
def exports(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exports: the fixtures, and some that are made of them."""
    folder = tmp_path_factory.mktemp("exports") / "exports"
    shutil.copytree(fixtures, folder)
    (folder / "imagefolder/names.txt").write_text("dog\ncat\n")
    (folder / "beside").mkdir()
    for name in ("a", "b"):
        shutil.copy(folder / f"masks/instance/instances/{name}.png", folder / f"beside/{name}_i.png")
        shutil.copy(folder / f"masks/instance/classes/{name}.png", folder / f"beside/{name}_c.png")

    def write_task(name: str, export: str, format: str, **options: Any) -> None:
        labelferry.convert(folder / export, folder / "lightly", format=format, task_name=name, **options)

    write_task("classes", "imagefolder/flat", "imagefolder")
    write_task("boxes", "yolo/data.yaml", "yolo")
    write_task("cars", "yolo/data.yaml", "yolo", classes={"car": "automobile"})
    write_task("poses", "yolo/pose/data.yaml", "yolo")
    write_task("masks", "coco/instances.json", "coco", task="instance-segmentation")
    write_task("regions", "coco/instances.json", "coco", task="semantic-segmentation")
    tracks = json.loads((folder / "youtubevis/instances.json").read_text())
    for video in tracks["videos"]:
        video["file_names"] = [f"{Path(video['file_names'][0]).parent}/{i:05}.jpg" for i in range(video["length"])]
    tracks["annotations"][1]["bboxes"][1] = [40, 30, 20, 12]  # labelformat reads no track without a box
    for part in ("images", "masks"):
        (folder / "labelformat" / part).mkdir(parents=True)
        shutil.copy(folder / "masks/instance/classes/a.png", folder / "labelformat" / part / "a.png")
    (folder / "labelformat/names.json").write_text('["background", "road", "car"]')
    (folder / "labelformat/tracks.json").write_text(json.dumps(tracks))
    (folder / "labelformat/coco.json").write_text(
        """{"images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48},
                       {"id": 2, "file_name": "b.jpg", "width": 64, "height": 48}],
            "categories": [{"id": 3, "name": "cat"}],
            "annotations": [
                {"image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 20], "iscrowd": 0,
                 "segmentation": [[1, 2, 11, 2, 11, 22, 1, 22]]},
                {"image_id": 1, "category_id": 3, "bbox": [0, 0, 4, 4], "iscrowd": 0,
                 "segmentation": [[0, 0, 4, 0, 4, 4]]}]}"""
    )
    return folder


def adapter_of(name: str, exports: Path) -> Adapter:
    path, options = EXPORTS[name]
    paths = {key: exports / value for key, value in options.items() if key in PATHS}
    if "/" in options.get("class_masks", ""):
        paths["class_masks"] = str(exports / options["class_masks"])
    format = name if name.startswith("labelformat") else name.partition(":")[0]
    return make_adapter(get_adapter(format), exports / path, options | paths)


def tasks_of(name: str, adapter: Adapter) -> list[TaskType]:
    """The task types that can be made of an export."""
    chosen = HELD_BY_CHOICE.get(name)
    return [chosen] if chosen else list(obtainable(adapter.open(Request()).tasks))


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("name", EXPORTS)
def test_an_adapter_gives_the_same_however_often_and_wherever_it_is_opened(
    name: str, frames: bool, exports: Path
) -> None:
    adapter = adapter_of(name, exports)
    sent = pickle.dumps(adapter)
    for task in tasks_of(name, adapter):
        request = Request(task, frames)
        export = adapter.open(request)
        first = content(export)
        assert content(export) == first
        assert content(adapter.open(request)) == first
        assert content(pickle.loads(sent).open(request)) == first
    assert pickle.dumps(adapter) == sent, "opening has changed the adapter"


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_read_alike_in_another_process(name: str, exports: Path, tmp_path: Path) -> None:
    adapter = adapter_of(name, exports)
    for task in tasks_of(name, adapter):
        export = adapter.open(Request(task))
        images = listed(export)
        sent = pickle.loads(pickle.dumps((export, images, export.payload(images))))
        assert values(export, images) == values(*sent[:2])


@pytest.mark.parametrize("name", EXPORTS)
def test_every_file_that_labels_are_read_from_is_named(name: str, exports: Path) -> None:
    adapter = adapter_of(name, exports)
    for task in tasks_of(name, adapter):
        with files_opened(exports) as opened:
            export = adapter.open(Request(task))
            images = listed(export)
            values(export, images)
        unnamed = {os.path.relpath(path, exports) for path in opened - named_files(export)}
        exempt = next((path for start, path in UNNAMED.items() if name.startswith(start)), "/")
        assert not {path for path in unnamed if not path.startswith(exempt)}


@pytest.mark.parametrize("name", EXPORTS)
def test_labels_are_read_again_if_a_named_file_has_changed(
    name: str, exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of(name, exports)
    task = HELD_BY_CHOICE.get(name)
    export = adapter.open(Request(task))
    assert resumed_images(adapter, tmp_path / "same", None, monkeypatch, task=task) == len(listed(export))
    for number, path in enumerate(sorted(named_files(export))):
        assert resumed_images(adapter, tmp_path / str(number), path, monkeypatch, task=task) == 0, path


@pytest.mark.parametrize("name", EXPORTS)
def test_no_object_is_missing_without_a_finding(name: str, exports: Path, tmp_path: Path) -> None:
    adapter = adapter_of(name, exports)
    for task in tasks_of(name, adapter):
        report = labelferry.convert(adapter, tmp_path, task=task, task_name=str(task))
        check_accounting(report)
        assert report.found_objects
