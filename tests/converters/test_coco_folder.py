"""Folders of COCO files: one export of several splits, its images named by the folders that hold them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelferry
from labelferry.plugin.detect import detect
from labelferry.plugin.export import Request
from labelferry.plugin.merge import Merged
from labelferry.plugin.registry import get_adapter
from labelferry.testing import check_adapter
from tests.conftest import Convert

Fails = Callable[..., dict[str, list[tuple[str, str]]]]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_splits_of_roboflow_are_one_export(fixtures: Path, convert: Convert) -> None:
    """Ids of images and categories are of one file each; both splits have an image a.png."""
    found = convert(fixtures / "coco/splits", format="coco")
    assert found == {
        "train/a.png": [
            {"category_id": 1, "bbox": [2, 2, 4, 4], "score": 1.0},
            {"category_id": 2, "bbox": [8, 2, 6, 2], "score": 1.0},
        ],
        "valid/a.png": [{"category_id": 2, "bbox": [1, 1, 5, 5], "score": 1.0}],
    }
    assert [c["name"] for c in convert.schema["categories"]] == ["animals", "cat", "dog"]  # type: ignore[attr-defined]
    assert convert.report.root == str(fixtures / "coco/splits")  # type: ignore[attr-defined]
    assert convert(fixtures / "coco/splits", format="coco", workers=2) == found


def test_one_split_is_chosen(fixtures: Path, convert: Convert, fails: Fails) -> None:
    assert set(convert(fixtures / "coco/splits", format="coco", split="valid")) == {"valid/a.png"}
    assert set(convert(fixtures / "coco/years", format="coco", split="val2017")) == {"val2017/000000000002.png"}
    shutil.rmtree(convert.report.datasource)  # type: ignore[attr-defined]
    assert fails(fixtures / "coco/splits", format="coco", split="x")["no-split"][0][1].endswith("it has train, valid")
    with pytest.raises(labelferry.UsageError, match="for a folder of COCO files"):
        convert(fixtures / "coco/instances.json", format="coco", split="x")


def test_instances_of_all_years_are_one_export_and_keypoints_another(fixtures: Path, convert: Convert) -> None:
    names = {"train2017/000000000001.png", "val2017/000000000002.png"}
    assert set(convert(fixtures / "coco/years", format="coco")) == names
    assert convert.report.task_type == "instance-segmentation"  # type: ignore[attr-defined]
    notes = {note.code: note for note in convert.report.notes}  # type: ignore[attr-defined]
    assert {Path(where).name for where, _ in notes["file-not-read"].examples} == {
        "person_keypoints_train2017.json",
        "person_keypoints_val2017.json",
    }
    assert set(convert(fixtures / "coco/years", format="coco", task="keypoint-detection")) == names


def test_keys_that_are_not_read_are_noted_once_for_the_folder(fixtures: Path, convert: Convert) -> None:
    convert(fixtures / "coco/splits", format="coco")
    assert [(note.code, note.examples) for note in convert.report.notes] == [  # type: ignore[attr-defined]
        ("unread-key", [(str(fixtures / "coco/splits"), "'supercategory' is not read (6 times)")])
    ]


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("{split}", {"train2017/000000000001.png", "val2017/000000000002.png"}),
        ("images/{split}", {"images/train2017/000000000001.png", "images/val2017/000000000002.png"}),
        ("images", {"images/000000000001.png", "images/000000000002.png"}),
        (".", {"000000000001.png", "000000000002.png"}),
    ],
)
def test_names_get_the_folder_in_which_the_images_are_found(
    place: str, names: set[str], fixtures: Path, tmp_path: Path, convert: Convert
) -> None:
    source, years = tmp_path / "export", fixtures / "coco/years"
    shutil.copytree(years / "annotations", source / "annotations")
    for split in ("train2017", "val2017"):
        shutil.copytree(years / split, source / place.replace("{split}", split), dirs_exist_ok=True)
    assert set(convert(source, format="coco")) == names
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(source / "annotations", elsewhere)
    assert set(convert(elsewhere, format="coco", images=source)) == names
    assert set(convert(elsewhere, format="coco", input=source)) == names
    assert convert.report.names_in_input == 2  # type: ignore[attr-defined]


def test_images_that_are_not_found_are_asked_about(copied: Path, convert: Convert, fails: Fails) -> None:
    source = copied / "coco/years"
    for split in ("train2017", "val2017"):
        shutil.rmtree(source / split)
    ((_, message),) = fails(source, format="coco")["ambiguous"]
    assert "--images" in message
    assert "--image-folders" in message
    for pattern, names in (
        ("images/{split}", {"images/train2017/000000000001.png", "images/val2017/000000000002.png"}),
        ("x/", {"x/000000000001.png", "x/000000000002.png"}),
        ("", {"000000000001.png", "000000000002.png"}),
    ):
        assert set(convert(source, format="coco", image_folders=pattern)) == names
    for pattern in ("../x", "/x"):
        with pytest.raises(labelferry.UsageError, match="not a path relative to"):
            convert(source, format="coco", image_folders=pattern)


def test_images_that_are_in_two_folders_are_asked_about(copied: Path, fails: Fails) -> None:
    source = copied / "coco/years"
    shutil.copytree(source / "val2017", source / "images/val2017")
    ((_, message),) = fails(source, format="coco")["ambiguous"]
    assert "'val2017/' and 'images/val2017/'" in message
    assert "--image-folders" in message


def test_files_that_do_not_belong_together_are_asked_about(copied: Path, fails: Fails, convert: Convert) -> None:
    source = copied / "coco/years"
    shutil.copy(source / "annotations/instances_val2017.json", source / "labels.json")
    ((_, message),) = fails(source, format="coco")["ambiguous"]
    assert "instances_*.json" in message
    assert "give one file in place of the folder" in message
    (source / "labels.json").write_text('{"a": 1}')
    convert(source, format="coco")
    notes = {note.code: note for note in convert.report.notes}  # type: ignore[attr-defined]
    assert str(source / "labels.json") in [where for where, _ in notes["file-not-read"].examples]


def test_images_of_one_name_in_one_folder_are_an_error(copied: Path, fails: Fails) -> None:
    source = copied / "coco/splits"
    assert "2 images" in fails(source, format="coco", image_folders="")["name-collision"][0][1]


def test_a_split_without_annotations_is_a_warning(copied: Path, convert: Convert) -> None:
    source = copied / "coco/splits"
    edit(source / "valid/_annotations.coco.json", lambda content: content.update(annotations=[]))
    convert(source, format="coco")
    (warning,) = convert.report.warnings  # type: ignore[attr-defined]
    assert (warning.code, warning.count) == ("split-without-labels", 1)
    assert "'valid'" in warning.examples[0][1]


def test_splits_that_differ_in_classes_or_task_types_are_a_warning(copied: Path, convert: Convert) -> None:
    source = copied / "coco/years"
    edit(source / "annotations/instances_val2017.json", lambda content: content["annotations"][0].pop("segmentation"))
    edit(source / "annotations/instances_val2017.json", lambda content: content["categories"][0].update(name="van"))
    convert(source, format="coco")
    assert convert.report.task_type == "object-detection"  # type: ignore[attr-defined]
    found = {warning.code: warning for warning in convert.report.warnings}  # type: ignore[attr-defined]
    assert {code: one.count for code, one in found.items()} == {"split-classes": 2, "split-tasks": 1}
    assert found["split-classes"].examples[1][1] == "the split 'val2017' has classes that not all splits have: 'van'"


@pytest.mark.parametrize("name", ["", "../a.png", "/a.png", "http://x/a.png"])
def test_names_that_are_refused_stay_so_in_a_folder(name: str, copied: Path, fails: Fails) -> None:
    source = copied / "coco/splits"
    edit(source / "valid/_annotations.coco.json", lambda content: content["images"][0].update(file_name=name))
    assert "file-name" in fails(source, format="coco", image_folders="{split}")


def test_keypoint_values_are_decided_for_each_file(copied: Path, convert: Convert) -> None:
    source = copied / "coco/years"
    edit(
        source / "annotations/person_keypoints_val2017.json",
        lambda content: content["annotations"][0].update(keypoints=[5, 3, 0.25]),
    )
    found = convert(source, format="coco", task="keypoint-detection")
    assert [objects[0]["keypoints"] for objects in found.values()] == [[5, 3, 1], [5, 3, 0.25]]


def test_missing_sizes_are_read_from_the_images_of_the_split(copied: Path, convert: Convert) -> None:
    source = copied / "coco/splits"
    for split in ("train", "valid"):
        edit(source / split / "_annotations.coco.json", lambda content: content["images"][0].pop("width"))
    assert len(convert(source, format="coco")) == 2


def test_a_folder_without_coco_files_is_an_error(tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export/a.json").write_text("{}")
    assert "no JSON file in it" in fails(tmp_path / "export", format="coco")["not-coco"][0][1]


def test_folders_of_splits_are_detected_as_one_export(fixtures: Path, copied: Path, tmp_path: Path) -> None:
    for name, flavour in (("splits", "COCO annotations of 2 splits"), ("years", "COCO annotations of 2 splits")):
        (found,) = detect(fixtures / "coco" / name)
        assert (found.match.source, found.match.flavour, found.match.images) == (fixtures / "coco" / name, flavour, 2)
        (found,) = detect(fixtures / "coco" / name, shallow=True)
        assert found.match.source == fixtures / "coco" / name
    assert labelferry.convert(fixtures / "coco/years", tmp_path / "out", format="auto").images == 2
    shutil.rmtree(copied / "coco/years/val2017")
    (found,) = detect(copied / "coco/years")
    assert "--image-folders" in found.match.question
    outcomes = labelferry.batch(copied / "coco", tmp_path / "batch", workers=1)
    assert "splits" in {outcome.task_name for outcome in outcomes}


def test_the_adapter_of_a_folder_is_sound(fixtures: Path) -> None:
    for name in ("splits", "years"):
        assert check_adapter(get_adapter("coco")(fixtures / "coco" / name)) == []


def test_merged_probabilities_are_in_the_order_of_the_merged_classes(tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "a.csv").write_text("image,cat,dog\na.jpg,0.25,0.75\n")
    (tmp_path / "b.csv").write_text("image,bird,cat\nb.jpg,0.125,0.875\n")
    adapter = get_adapter("csv")
    merged = Merged([adapter(tmp_path / "a.csv"), adapter(tmp_path / "b.csv")], "first")
    found = convert(merged, task_name="t")
    assert [c["name"] for c in convert.schema["categories"]] == ["cat", "dog", "bird"]  # type: ignore[attr-defined]
    assert {name: one[0]["probabilities"] for name, one in found.items()} == {
        "a.jpg": [0.25, 0.75, 0],
        "b.jpg": [0.875, 0, 0.125],
    }


@pytest.mark.parametrize("number", [-1, -2, 7])
def test_an_unknown_id_of_a_merged_export_is_an_error_with_that_id(
    number: int, fixtures: Path, tmp_path: Path, fails: Fails
) -> None:
    shutil.copy(fixtures / "coco/instances.json", tmp_path / "a.json")
    edit(tmp_path / "a.json", lambda content: content["annotations"][0].update(category_id=number))
    adapter = get_adapter("coco")
    merged = Merged([adapter(tmp_path / "a.json"), adapter(fixtures / "coco/without_sizes/annotations.json")], "first")
    message = fails(merged, task="object-detection", task_name="t")["unknown-category"][0][1]
    assert message == f"category id {number} is not one of the export's categories (90, 3)"


def test_probabilities_of_another_number_than_an_export_has_classes_are_errors(tmp_path: Path, fails: Fails) -> None:
    class Wide(labelferry.Adapter):
        tasks = (labelferry.TaskType.OBJECT_DETECTION,)

        def __init__(self, path: Path) -> None:
            self.path = path

        def get_categories(self) -> list[labelferry.Category]:
            return [labelferry.Category(0, self.path.name)]

        def get_images(self) -> list[labelferry.Image]:
            return [labelferry.Image(f"{self.path.name}.jpg")]

        def get_labels(self, image: labelferry.Image) -> labelferry.Annotations:
            labels = labelferry.Annotations.from_objects([labelferry.Object(0, box=[1, 1, 4, 4])], size=(16, 12))
            labels.probabilities = np.array([[0.5, 0.5]])
            return labels

    merged = Merged([Wide(tmp_path / "a"), Wide(tmp_path / "b")], "first")
    examples = fails(merged, task_name="t")["probabilities-count"]
    assert [message for _, message in examples] == ["2 probabilities for 1 categories"] * 2


def test_an_opened_folder_names_all_of_its_files(fixtures: Path) -> None:
    export = get_adapter("coco")(fixtures / "coco/splits").open(Request())
    assert set(export.files) == {
        str(fixtures / f"coco/splits/{split}/_annotations.coco.json") for split in ("train", "valid")
    }
