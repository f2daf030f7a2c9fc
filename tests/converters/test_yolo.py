"""YOLO: every flavour of fixtures/yolo, expected values by hand; labelformat as judge of boxes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelformat.formats import YOLOv8ObjectDetectionInput
from labelformat.model.bounding_box import BoundingBoxFormat
from PIL import Image
from pycocotools import mask as pycocotools_mask

import labelferry
from labelferry.converters.yolo import SAMPLE, Yolo
from labelferry.converters.yolo.lines import parse_boxes, parse_lines
from labelferry.errors import AmbiguousError
from labelferry.findings import Finding
from labelferry.plugin.export import RUNS, Export, Request
from labelferry.task_type import TaskType
from tests.conformance.test_real_coco import documented_encode
from tests.conftest import Convert
from tests.export_checks import (
    Outcome,
    assert_accounted,
    assert_changes_are_noticed,
    assert_files_are_named,
    assert_opens_alike,
    images_of,
    one_by_one,
    together,
)

PERSON = {"category_id": 0, "bbox": [16, 12, 16, 24], "score": 1.0}
CAR = {"category_id": 1, "bbox": [32, 24, 32, 12], "score": 1.0}
Fails = Callable[..., dict[str, list[tuple[str, str]]]]


def export(folder: Path, labels: bytes | str, names: str = "[person, car]", more: str = "") -> Path:
    """An export of one image, 64 x 48, with these labels."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(folder / "images" / "a.png")
    (folder / "labels" / "a.txt").write_bytes(labels if isinstance(labels, bytes) else labels.encode())
    (folder / "data.yaml").write_text(f"train: images\nnames: {names}\n{more}\n")
    return folder / "data.yaml"


def polygon_mask(points: list[float], height: int, width: int) -> list[int]:
    return documented_encode(pycocotools_mask.decode(pycocotools_mask.frPyObjects([points], height, width))[..., 0])


def test_ultralytics_names_as_mapping_and_splits_as_folder_and_list_of_folders(
    fixtures: Path, convert: Convert
) -> None:
    assert convert(fixtures / "yolo/data.yaml", format="yolo") == {
        "images/train/street.png": [PERSON, CAR],
        "images/train/sub/empty street.JPG": [],
        "images/val/Straße.png": [CAR],
        "images/night/dark.png": [PERSON],
    }
    assert convert.schema["categories"] == [{"id": 0, "name": "person"}, {"id": 1, "name": "car"}]  # type: ignore[attr-defined]
    assert convert.report.empty_images == 1  # type: ignore[attr-defined]


def test_a_folder_that_holds_the_data_yaml_may_be_given(fixtures: Path, convert: Convert) -> None:
    assert len(convert(fixtures / "yolo", format="yolo")) == 4


def test_one_split_may_be_chosen(fixtures: Path, convert: Convert, fails: Fails) -> None:
    found = convert(fixtures / "yolo/data.yaml", format="yolo", split="train")
    assert set(found) == {"images/train/street.png", "images/train/sub/empty street.JPG"}


def test_a_split_that_is_not_there_is_an_error_that_names_those_that_are(fixtures: Path, fails: Fails) -> None:
    ((_, message),) = fails(fixtures / "yolo/data.yaml", format="yolo", split="test")["no-split"]
    assert message == "no split 'test'; it has train, val"


def test_image_names_are_relative_to_the_datasource_root_that_is_named(fixtures: Path, convert: Convert) -> None:
    images = fixtures / "yolo/images"
    assert "train/street.png" in convert(fixtures / "yolo/data.yaml", format="yolo", images=images)


def test_roboflow_without_path_with_dots_and_a_test_split_that_is_not_there(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "yolo/roboflow/data.yaml", format="yolo") == {
        "train/images/a_jpg.rf.0123.jpg": [PERSON],
        "valid/images/b.jpg": [CAR],
    }
    assert [f.code for f in convert.report.repairs] == ["split-missing"]  # type: ignore[attr-defined]
    names = [category["name"] for category in convert.schema["categories"]]  # type: ignore[attr-defined]
    assert names == ["person", "no"], "a class called no is not False"


def test_splits_as_text_files_of_image_paths(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "yolo/lists/data.yaml", format="yolo") == {
        "images/a.png": [PERSON],
        "images/b.png": [CAR],
    }


@pytest.mark.parametrize("val", ["images", "./images/", "val.txt", "images/sub"])
def test_an_image_in_two_splits_counts_once(val: str, tmp_path: Path, convert: Convert) -> None:
    source = export(tmp_path / "export", "0 0.375 0.5 0.25 0.5", more=f"val: {val}")
    (tmp_path / "export/val.txt").write_text("./images/a.png\n")
    (tmp_path / "export/images/sub").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "export/images/sub/b.png")
    assert convert(source, format="yolo")["images/a.png"] == [PERSON]


@pytest.mark.parametrize("path", [".", "ABSOLUTE", "/somewhere/else"])
def test_path_may_be_relative_absolute_or_of_another_machine(path: str, tmp_path: Path, convert: Convert) -> None:
    source = export(tmp_path / "export", "0 0.375 0.5 0.25 0.5")
    path = str(tmp_path / "export") if path == "ABSOLUTE" else path
    source.write_text(source.read_text() + f"path: {path}\n")
    assert convert(source, format="yolo") == {"images/a.png": [PERSON]}
    repairs = [finding.code for finding in convert.report.repairs]  # type: ignore[attr-defined]
    assert repairs == (["path-elsewhere"] if path == "/somewhere/else" else [])


def test_polygons_are_masks_and_a_box_among_them_is_counted(fixtures: Path, convert: Convert) -> None:
    source = fixtures / "yolo/segmentation/data.yaml"
    triangle = {
        "category_id": 0,
        "segmentation": polygon_mask([16, 12, 48, 12, 16, 36], 48, 64),
        "bbox": [16, 12, 32, 24],
        "score": 1.0,
    }
    assert convert(source, format="yolo") == {"images/a.png": [triangle]}
    assert [(f.code, f.count) for f in convert.report.repairs] == [("segmentation-missing", 1)]  # type: ignore[attr-defined]
    boxes = convert(source, format="yolo", task="object-detection")
    assert boxes == {"images/a.png": [{"category_id": 0, "bbox": [16, 12, 32, 24], "score": 1.0}, CAR]}


def test_poses_with_visibility_and_without(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "yolo/pose/data.yaml", format="yolo") == {
        "images/a.png": [PERSON | {"keypoints": [24, 12, 1.0, 16, 24, 0.5, 0, 0, 0]}]
    }
    assert convert.schema["categories"][0]["keypoints"] == ["nose", "left hand", "right hand"]  # type: ignore[attr-defined]
    assert convert(fixtures / "yolo/pose/flat.yaml", format="yolo") == {
        "flat/images/a.png": [PERSON | {"keypoints": [24, 12, 1.0, 16, 24, 1.0, 0, 0, 1.0]}]
    }
    assert [(f.code, f.count) for f in convert.report.warnings] == [("keypoint-at-corner", 1)]  # type: ignore[attr-defined]
    assert convert(fixtures / "yolo/pose/data.yaml", format="yolo", task="object-detection") == {
        "images/a.png": [PERSON]
    }


def test_oriented_boxes_become_the_upright_boxes_around_them(fixtures: Path, convert: Convert) -> None:
    upright = {"category_id": 0, "bbox": [20, 12, 24, 24], "score": 1.0}
    assert convert(fixtures / "yolo/obb", format="yolo", obb=True) == {"images/a.png": [upright]}
    assert convert(fixtures / "yolo/obb", format="yolo", task="object-detection") == {"images/a.png": [upright]}


def test_confidences_of_boxes_polygons_and_poses_are_scores(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "yolo/predictions"
    found = convert(folder / "data.yaml", format="yolo", labels=folder / "runs/boxes/labels")
    assert found == {"images/a.png": [PERSON | {"score": 0.875}, CAR | {"score": 0.5}], "images/b.png": []}
    found = convert(folder / "data.yaml", format="yolo", labels=folder / "runs/masks/labels")
    assert [p["score"] for p in found["images/a.png"]] == [0.75]
    found = convert(folder / "pose.yaml", format="yolo", labels=folder / "runs/poses/labels")
    assert found["images/a.png"] == [PERSON | {"keypoints": [24, 12, 1.0], "score": 0.625}]


def test_darknet_with_paths_from_the_folder_above(fixtures: Path, convert: Convert) -> None:
    for source in ("yolo/darknet/obj.data", "yolo/darknet"):
        found = convert(fixtures / source, format="yolo")
        assert found == {"obj_train_data/a.png": [PERSON], "obj_train_data/b.png": [CAR]}


def test_a_plain_folder_with_classes_txt(fixtures: Path, convert: Convert) -> None:
    for source in ("yolo/plain", "yolo/plain/classes.txt"):
        assert convert(fixtures / source, format="yolo") == {"images/a.png": [PERSON]}


def test_labels_beside_images_and_classes_txt_among_them(tmp_path: Path, convert: Convert) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("1 0.75 0.625 0.5 0.25")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfperson\r\ncar\r\n")
    assert convert(tmp_path, format="yolo") == {"a.png": [CAR]}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=st.lists(st.tuples(*[st.floats(0.2, 0.8)] * 2, *[st.floats(0.05, 0.4)] * 2), max_size=5))
def test_boxes_equal_labelformats(boxes: list[tuple[float, ...]], tmp_path: Path, convert: Convert) -> None:
    text = "".join(f"1 {' '.join(f'{value:.6f}' for value in box)}\n" for box in boxes)
    source = export(tmp_path / "export", text)
    (labels,) = YOLOv8ObjectDetectionInput(source, "train").get_labels()
    expected = [labelled.box.to_format(BoundingBoxFormat.XYWH) for labelled in labels.objects]
    found = [prediction["bbox"] for prediction in convert(source, format="yolo")["images/a.png"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_two_workers_write_what_one_writes(fixtures: Path, convert: Convert) -> None:
    source = fixtures / "yolo/data.yaml"
    assert convert(source, format="yolo", workers=2) == convert(source, format="yolo")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("0 0.5 0.5 0.1", "broken-line", "found '0 0.5 0.5 0.1'"),
        ("person 0.5 0.5 0.1 0.1", "broken-line", "found 'person 0.5"),
        ("0.5 0.5 0.5 0.1 0.1", "broken-line", "the class '0.5' is not a whole number"),
        ("0 320 240 20 20", "not-normalised", "the coordinate 320 is not relative"),
        ("0 nan 0.5 0.1 0.1", "box-not-finite", "not finite"),
        ("0 0.5 0.5 -0.1 0.1", "box-negative-size", "negative width"),
        ("9 0.5 0.5 0.1 0.1", "unknown-category", "category id 9"),
        ("0 -1.001 0.5 0.1 0.1", "not-normalised", "the coordinate -1.001 is not relative"),
        ("1_0 0.5 0.5 0.1 0.1", "broken-line", "found '1_0 0.5"),
        ("0x0 0.5 0.5 0.1 0.1", "broken-line", "found '0x0 0.5"),
        ("٠ 0.5 0.5 0.1 0.1", "broken-line", "found '٠ 0.5"),
        ("# 0 0.5 0.5 0.1 0.1", "broken-line", "found '# 0"),
        ("-1 0.5 0.5 0.1 0.1", "unknown-category", "category id -1"),
    ],
)
def test_a_broken_line_is_an_error_with_file_and_line(
    line: str, code: str, words: str, tmp_path: Path, fails: Fails
) -> None:
    source = export(tmp_path / "export", f"0 0.375 0.5 0.25 0.5\n\n{line}\n")
    ((where, message),) = fails(source, format="yolo")[code]
    assert where == f"{tmp_path}/export/labels/a.txt:3"
    assert words in message


def test_every_broken_line_is_named_and_the_others_are_kept_on_request(tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "x\n0 0.375 0.5 0.25 0.5\n0 0.5\n\xff\n")
    assert [where[-2:] for where, _ in fails(source, format="yolo")["broken-line"]] == [":1", ":3", ":4"]
    report = labelferry.convert(source, tmp_path / "out", format="yolo", on_error="skip")
    assert report.objects == {"person": 1, "car": 0}


def test_a_pose_with_the_wrong_number_of_columns_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "0 0.375 0.5 0.25 0.5 0.1 0.1\n", more="kpt_shape: [2, 3]")
    ((where, message),) = fails(source, format="yolo")["broken-line"]
    assert where.endswith("a.txt:1")
    assert message == (
        "7 numbers do not fit the columns of the export: class, box, keypoints (kpt_shape [2, 3]): 11 numbers"
    )


def test_a_label_file_without_an_image_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "")
    (tmp_path / "export/labels/b.txt").write_text("0 0.375 0.5 0.25 0.5")
    ((where, _),) = fails(source, format="yolo")["label-without-image"]
    assert where.endswith("labels/b.txt")


def test_a_listed_image_that_is_missing_or_broken_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "")
    source.write_text("train: train.txt\nnames: [a]\n")
    (tmp_path / "export/train.txt").write_text("images/a.png\nimages/b.png\nimages/c.jpg\n")
    (tmp_path / "export/images/c.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    found = fails(source, format="yolo")
    assert found["image-missing"][0][0].endswith("images/b.png")
    assert found["image-broken"][0][0].endswith("images/c.jpg")


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("train: images\nnames: [a\n", "not YAML"),
        ("train: images\nnames: !!python/object/apply:os.system ['true']\n", "the tag"),
        ("a: &a [x]\nnames: [*a, *a]\ntrain: images\n", "an alias is refused"),
        ("train: images\n", "'names' is a list"),
        ("train: images\nnames: [a]\nnc: 2\n", "nc is 2, but there are 1 names"),
        ("train: images\nnames: {x: a}\n", "not a class id"),
        ("train: images\nnames: {1_0: a}\n", "not a class id"),
        ("train: images\nnames: {٠: a}\n", "not a class id"),
        ("train: images\nnames: {0: a, 0: b}\n", "stands twice"),
        ("train: images\nnames: {0: a, 00: b}\n", "the same class id"),
        ("train: images\nnames: [a, [b]]\n", "the name of class 1 is not text"),
        ("train: images\nnc: ²\n", "'names' is a list"),
        ("train: {a: images}\nnames: [a]\n", "'train' is a path, or a list of paths"),
        ("train: images\nnames: [a]\nkpt_shape: 32\n", "kpt_shape"),
        ("names: [a]\n", "none of its splits"),
        ("train: images\nnames: [a]\nkpt_shape: [1, 4]\n", "kpt_shape"),
        ("[]", "a mapping"),
        ("", "a mapping"),
        ("names: [\xff]", "names"),
    ],
)
def test_a_broken_data_yaml_is_an_error_that_names_it(yaml: str, words: str, tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "")
    source.write_bytes(yaml.encode("latin-1" if "\xff" in yaml else "utf-8"))
    (((where, message),),) = fails(source, format="yolo").values()
    assert str(source) in where
    if "\xff" in yaml:
        assert "not UTF-8" in message
    else:
        assert words in message


def test_a_split_that_is_missing_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "", more="val: nowhere")
    assert "'nowhere'" in fails(source, format="yolo")["split-missing"][0][1]


def test_a_folder_without_a_description_is_refused(tmp_path: Path, fails: Fails) -> None:
    assert "data.yaml, obj.data or classes.txt" in fails(tmp_path, format="yolo")["no-entry"][0][1]


def test_an_image_outside_the_datasource_root_is_an_error(fixtures: Path, fails: Fails) -> None:
    found: dict[str, Any] = fails(fixtures / "yolo/data.yaml", format="yolo", images=fixtures / "yolo/images/train")
    assert len(found["file-name"]) == 2


def test_a_predicted_video(convert: Any, fixtures: Path) -> None:
    folder = fixtures / "yolo/video"
    found = convert(folder / "data.yaml", format="yolo", videos=folder / "videos")
    assert list(found) == [f"clip-{i:02}-mp4.png" for i in range(10)]
    assert {
        name: [(p["category_id"], p["bbox"], p["score"]) for p in given] for name, given in found.items() if given
    } == {
        "clip-01-mp4.png": [(1, [32, 24, 32, 12], 0.875)],
        "clip-09-mp4.png": [(0, [16, 12, 16, 24], 0.75), (1, [32, 24, 32, 12], 0.5)],
    }


@pytest.mark.parametrize("odd", ["", "\n\n"], ids=["read together", "one by one"])
def test_a_coordinate_beyond_2_is_in_pixels_and_not_an_object_outside_of_the_image(
    odd: str, tmp_path: Path, fails: Fails, convert: Convert
) -> None:
    for line in ("0 2.001 0.5 0.1 0.1", "0 0.5 3 0.1 0.1", "0 0.5 0.5 19 0.1", "0 0.5 0.5 0.1 19"):
        source = export(tmp_path / "export", f"{line}\n{odd}")
        ((where, _),) = fails(source, format="yolo")["not-normalised"]
        assert where.endswith("a.txt:1")
    source = export(tmp_path / "export", f"0 2 0.5 0.1 0.1\n{odd}")
    assert convert(source, format="yolo") == {"images/a.png": []}
    assert [f.code for f in convert.report.repairs] == ["box-outside"]  # type: ignore[attr-defined]


LABEL = "0 0.375 0.5 0.25 0.5"  # of PERSON
CAR_LABEL = "1 0.75 0.625 0.5 0.25"
SQUARE = "0 0.125 0.125 0.5 0.125 0.5 0.5 0.125 0.5"


def several(folder: Path, files: dict[str, str | None], more: str = "") -> Path:
    """An export of an image, 64 x 48, for each of these label files; None: an image without one."""
    source = export(folder, "", more=more)
    (folder / "images/a.png").unlink()
    (folder / "labels/a.txt").unlink()
    for name, text in files.items():
        Image.new("RGB", (64, 48)).save(folder / f"images/{name}.png")
        if text is not None:
            (folder / f"labels/{name}.txt").write_text(text)
    return source


def notes_of(convert: Any) -> dict[str, int]:
    return {note.code: note.count for note in convert.report.notes}


@pytest.mark.parametrize("workers", [1, 2])
def test_six_numbers_whose_last_is_whole_everywhere_end_with_a_track_id(
    workers: int, tmp_path: Path, convert: Convert
) -> None:
    files: dict[str, str | None] = {"a": f"{LABEL} 1\n{CAR_LABEL} 12\n", "b": f"{LABEL} 1\n", "c": None}
    source = several(tmp_path, files)
    assert convert(source, format="yolo", score=0.5, workers=workers) == {
        "images/a.png": [PERSON | {"score": 0.5}, CAR | {"score": 0.5}],
        "images/b.png": [PERSON | {"score": 0.5}],
        "images/c.png": [],
    }
    assert notes_of(convert) == {"track-ids": 3}


def test_seven_numbers_whose_last_is_whole_end_with_confidence_and_track_id_unless_there_are_longer_lines(
    tmp_path: Path, convert: Convert
) -> None:
    source = several(tmp_path / "boxes", {"a": f"{LABEL} 0.75 1\n", "b": f"{LABEL} 0.5 31\n", "c": f"{LABEL} 0.25\n"})
    found = convert(source, format="yolo", labels=tmp_path / "boxes/labels")
    assert [p["score"] for predictions in found.values() for p in predictions] == [0.75, 0.5, 0.25]
    assert notes_of(convert) == {"track-ids": 2, "no-track-id": 1}
    assert convert.report.task_type == "object-detection"  # type: ignore[attr-defined]
    source = several(tmp_path / "polygons", {"a": "0 0.25 0.25 0.75 0.25 0.25 1\n", "b": f"{SQUARE}\n"})
    found = convert(source, format="yolo")
    assert [p["bbox"] for p in found["images/a.png"]] == [[16, 12, 32, 36]]
    assert (convert.report.task_type, notes_of(convert)) == ("instance-segmentation", {})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("lines", "with_ids", "without"),
    [
        ([f"{LABEL} 1", f"{LABEL} 0"], [1, 1], [1, 0]),
        ([f"{LABEL} 1 1", f"{LABEL} 1 0"], [1, 1], None),
        ([f"{SQUARE} 0.5 1", f"{SQUARE} 0.25 1"], [0.5, 0.25], [1, 1]),
    ],
)
def test_numbers_that_may_be_track_ids_or_not_are_asked_about(
    lines: list[str], with_ids: list[float], without: list[float] | None, tmp_path: Path, convert: Convert
) -> None:
    source = export(tmp_path / "export", "\n".join(lines))
    for on_error in ("fail", "skip"):
        with pytest.raises(AmbiguousError, match="say --track-ids or --no-track-ids"):
            labelferry.convert(source, tmp_path / "out", format="yolo", on_error=on_error)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.json"))
    for track_ids, scores in ((True, with_ids), (False, without)):
        if scores is not None:
            found = convert(source, format="yolo", track_ids=track_ids)
            assert [p["score"] for p in found["images/a.png"]] == scores
            assert "track-ids" not in notes_of(convert)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_line_that_contradicts_the_sample_is_asked_about_and_nothing_is_published(
    workers: int, tmp_path: Path
) -> None:
    files: dict[str, str | None] = {f"{i:04}": f"{LABEL} 1\n" for i in range(SAMPLE + 600)}
    source = several(tmp_path / "export", files | {"z": f"{LABEL} 0.5\n"})
    with pytest.raises(AmbiguousError, match=r"z.txt:1: the last number, 0.5, is no track id.*--no-track-ids"):
        labelferry.convert(source, tmp_path / "out", format="yolo", workers=workers, on_error="skip")
    assert not list(tmp_path.glob("out/.lightly/predictions/*/*"))


def test_a_polygon_after_a_sample_of_boxes_is_asked_about(tmp_path: Path, convert: Convert) -> None:
    files: dict[str, str | None] = {f"{i:04}": f"{LABEL}\n" for i in range(SAMPLE)}
    source = several(tmp_path / "export", files | {"z": f"{SQUARE}\n"})
    with pytest.raises(AmbiguousError, match="--task instance-segmentation or --task object-detection"):
        labelferry.convert(source, tmp_path / "out", format="yolo")
    assert sum(map(len, convert(source, format="yolo", task="object-detection").values())) == SAMPLE + 1
    assert sum(map(len, convert(source, format="yolo", task="instance-segmentation").values())) == 1
    assert [(f.code, f.count) for f in convert.report.repairs] == [("segmentation-missing", SAMPLE)]  # type: ignore[attr-defined]


def test_empty_label_files_are_no_sample(tmp_path: Path, convert: Convert) -> None:
    files: dict[str, str | None] = {f"{i:04}": "\n" for i in range(SAMPLE + 1)}
    found = convert(several(tmp_path, files | {"z": f"{SQUARE}\n"}), format="yolo")
    assert [p["bbox"] for p in found["images/z.png"]] == [[8, 6, 24, 18]]


@pytest.mark.parametrize("line", [SQUARE, "0 0.25 0.25 0.75 0.25 0.25 0.75", f"{SQUARE} 0.5", f"{LABEL} 0.75 3"])
@pytest.mark.parametrize("place", range(10))
def test_a_line_with_a_number_less_or_more_than_the_others_is_an_error(
    line: str, place: int, tmp_path: Path, fails: Fails
) -> None:
    words = line.split()
    if place < len(words):
        for changed in ([*words[:place], *words[place + 1 :]], [*words[:place], words[place], *words[place:]]):
            source = several(tmp_path / f"export {len(changed)}", {"a": f"{line}\n{' '.join(changed)}\n", "b": line})
            (where, _), *_ = fails(source, format="yolo")["broken-line"]
            assert where.endswith("a.txt:2")


@pytest.mark.parametrize(
    ("usual", "other"),
    [(LABEL, f"{LABEL} 0.5"), (f"{LABEL} 0.5", LABEL), (f"{LABEL} 7", f"{LABEL} 0.5 7"), (SQUARE, f"{SQUARE} 0.5")],
)
def test_confidence_or_none_is_the_same_for_all_lines(usual: str, other: str, tmp_path: Path, fails: Fails) -> None:
    source = several(tmp_path / "export", {"a": f"{usual}\n", "b": f"{usual}\n", "c": f"{other}\n"})
    ((where, message),) = fails(source, format="yolo")["broken-line"]
    assert where.endswith("c.txt:1")
    assert "do not fit the columns of the export: class, box" in message


def test_a_line_that_has_lost_its_track_id_among_tracked_lines_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = several(
        tmp_path / "export", {"a": f"{LABEL} 3\n{LABEL}\n", "b": f"{LABEL} 3\n{CAR_LABEL} 4", "c": "0 0.5 0.5 0.25 1"}
    )
    assert [where[-7:] for where, _ in fails(source, format="yolo")["broken-line"]] == ["a.txt:2", "c.txt:1"]


def test_confidences_of_labels_and_predictions_without_are_noted(tmp_path: Path, convert: Convert) -> None:
    convert(export(tmp_path, f"{LABEL} 0.5\n"), format="yolo")
    assert notes_of(convert) == {"confidence": 1}
    convert(export(tmp_path, f"{LABEL}\n"), format="yolo", labels=tmp_path / "labels")
    assert notes_of(convert) == {"no-confidence": 1}
    convert(export(tmp_path, f"{SQUARE}\n{SQUARE[:-1]}6\n"), format="yolo")
    assert notes_of(convert) == {"four-points": 2}


def test_what_is_counted_is_the_same_however_files_are_read(tmp_path: Path) -> None:
    files: dict[str, str | None] = {"a": f"{LABEL} 0.5 3\n{CAR_LABEL} 0.5 4", "b": f"{LABEL} 0.5", "c": "\n", "d": None}
    opened = Yolo(several(tmp_path, files)).open(Request())
    images = images_of(opened)
    one_at_a_time = [batch for image in images for batch in opened.read([image], None)]
    for batches in (list(opened.read(images, None)), one_at_a_time):
        assert sum((batch.evidence for batch in batches), Counter()) == Counter(
            {"lines": 3, "untracked": 1, "label-file:train": 3, "no-label-file:train": 1}
        )


def test_labels_of_an_interrupted_run_are_not_taken_over_if_lines_are_now_read_otherwise(tmp_path: Path) -> None:
    files: dict[str, str | None] = {"a": f"{LABEL} 1\n{CAR_LABEL} 2\n", "b": f"{LABEL} 1\n"}
    source = several(tmp_path, files)
    (_, before), (_, same) = (images_of(Yolo(source).open(Request())) for _ in range(2))
    (tmp_path / "labels/a.txt").write_text(f"{LABEL} 0.5\n{CAR_LABEL} 0.5\n")
    _, after = images_of(Yolo(source).open(Request()))
    assert before == same != after


def test_videos_without_label_files_are_an_error(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "empty").mkdir()
    folder = fixtures / "yolo/video"
    options = {"labels": tmp_path / "empty", "videos": folder / "videos"}
    assert list(fails(folder / "data.yaml", format="yolo", **options)) == ["no-images"]


def test_one_visibility_that_is_none_is_an_error_and_does_not_make_the_others_scores(
    tmp_path: Path, fails: Fails, convert: Convert
) -> None:
    more = "kpt_shape: [2, 3]"
    files: dict[str, str | None] = {"a": f"{LABEL} 0.25 0.25 1 0.5 0.5 1\n", "b": f"{LABEL} 0.25 0.25 0.7 0.5 0.5 1\n"}
    ((where, message),) = fails(several(tmp_path / "labels", files, more), format="yolo")["broken-keypoints"]
    assert where.endswith("b.txt:1")
    assert message == "the visibility of a keypoint is 0, 1 or 2 in this export, not 0.7"
    files = {"a": f"{LABEL} 0.25 0.25 0.9 0.5 0.5 0.8\n" * 2, "b": f"{LABEL} 0.25 0.25 1 0.5 0.5 1\n"}
    found = convert(several(tmp_path / "predictions", files, more), format="yolo")
    assert found["images/b.png"][0]["keypoints"] == [16, 12, 1, 32, 24, 1]


def test_poses_end_with_a_confidence_or_a_track_id_as_boxes_do(tmp_path: Path, convert: Convert) -> None:
    pose, more = f"{LABEL} 0.25 0.25 0.5", "kpt_shape: [1, 3]"
    for ending, scores in (("0.5", [0.5, 0.5]), ("7", [1, 1]), ("0.25 7", [0.25, 0.25])):
        convert_ = convert(export(tmp_path, f"{pose} {ending}\n{pose} {ending}\n", more=more), format="yolo")
        assert [p["score"] for p in convert_["images/a.png"]] == scores
        assert [p["keypoints"] for p in convert_["images/a.png"]] == [[16, 12, 0.5]] * 2


def test_a_keypoint_of_two_dimensions_is_invisible_if_negative(tmp_path: Path, convert: Convert) -> None:
    """As Ultralytics' loader: https://github.com/ultralytics/ultralytics/blob/main/ultralytics/data/utils.py"""
    source = export(tmp_path, f"{LABEL} 0.25 0.25 -0.5 0.25 0 0\n", more="kpt_shape: [3, 2]")
    (found,) = convert(source, format="yolo")["images/a.png"]
    assert found["keypoints"] == [16, 12, 1, 0, 12, 0, 0, 0, 1]
    assert [f.code for f in convert.report.repairs] == ["keypoint-clipped"]  # type: ignore[attr-defined]


def test_a_label_file_that_would_be_that_of_several_images_is_an_error(tmp_path: Path) -> None:
    source = several(tmp_path / "export", {"a": None}, more="val: val")
    for name in ("images/x/q.png", "images/y/q.png", "val/v.png"):
        (tmp_path / "export" / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "export" / name)
    (tmp_path / "runs").mkdir()
    for name in "aqv":
        (tmp_path / f"runs/{name}.txt").write_text(f"{LABEL} 0.5\n{CAR_LABEL} 0.5\n")
    report = labelferry.convert(source, tmp_path / "out", format="yolo", labels=tmp_path / "runs", on_error="skip")
    assert [(f.code, f.count) for f in report.errors] == [("label-shared", 2)]
    assert (report.found_images, report.images, report.lost_images) == (4, 2, 2)
    assert_accounted(report, 6)
    assert report.objects == {"person": 2, "car": 2}
    report = labelferry.convert(source, tmp_path / "out2", format="yolo", labels=tmp_path / "runs", split="val")
    assert [(f.code, f.count) for f in report.notes] == [("label-of-other-split", 2)]
    assert_accounted(report, 6)


def test_images_of_two_splits_are_merged_and_counted(tmp_path: Path, convert: Convert) -> None:
    source = export(tmp_path, LABEL, more="val: images\ntest: test.txt")
    (tmp_path / "test.txt").write_text("images/a.png\n./images/a.png\n")
    assert convert(source, format="yolo") == {"images/a.png": [PERSON]}
    report = convert.report  # type: ignore[attr-defined]
    assert (report.found_images, report.merged_images, report.images) == (4, 3, 1)
    assert [(f.code, f.count) for f in report.notes] == [("image-listed-twice", 3)]


def test_label_files_that_are_missing(tmp_path: Path, fails: Fails, convert: Convert) -> None:
    source = several(tmp_path / "export", {"a": None}, more="val: val/images\ntest: empty")
    (tmp_path / "export/val/images").mkdir(parents=True)
    (tmp_path / "export/empty").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "export/val/images/b.png")
    ((_, message),) = fails(source, format="yolo")["no-labels"]
    assert f"2 images in {tmp_path}/export/labels" in message
    assert convert(source, format="yolo", allow_empty=True) == {"images/a.png": [], "val/images/b.png": []}
    (tmp_path / "export/labels/a.txt").write_text(LABEL)
    convert(source, format="yolo")
    codes = [f.code for f in convert.report.warnings]  # type: ignore[attr-defined]
    assert codes == ["split-without-images", "split-without-labels"]


def test_label_files_of_images_that_no_list_names_are_noted(tmp_path: Path, convert: Convert) -> None:
    source = several(tmp_path, {"a": LABEL, "b": LABEL})
    (tmp_path / "train.txt").write_text("images/a.png\n")
    source.write_text("train: train.txt\nnames: [person, car]\n")
    assert list(convert(source, format="yolo")) == ["images/a.png"]
    assert notes_of(convert) == {"image-not-listed": 1}


def test_two_label_files_of_one_image_are_an_error(tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", LABEL)
    (tmp_path / "export/labels/a.TXT").write_text(LABEL)
    assert "a.TXT" in fails(source, format="yolo")["label-file-twice"][0][1]


def test_an_image_that_nothing_decodes_is_one_warning_and_the_others_are_published(tmp_path: Path) -> None:
    source = several(tmp_path / "export", {"a": f"{LABEL}\n", "b": f"{LABEL}\n"})
    (tmp_path / "export/images/c.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "export/labels/c.txt").write_text(f"{LABEL}\n{CAR_LABEL}\n")
    report = labelferry.convert(source, tmp_path / "out", format="yolo")
    assert [(f.code, f.count) for f in report.warnings] == [("image-unsupported", 1)]
    assert (report.found_images, report.images, report.lost_images, report.lost_objects) == (3, 2, 1, 2)
    assert_accounted(report, 4)


@pytest.mark.parametrize("odd", ["", "\n"], ids=["read together", "one by one"])
def test_an_object_that_a_label_file_has_twice_is_a_warning(odd: str, tmp_path: Path, convert: Convert) -> None:
    source = several(tmp_path, {"a": f"{LABEL}\n{CAR_LABEL}\n{odd}{LABEL}\n", "b": f"{LABEL}\n"})
    assert convert(source, format="yolo")["images/a.png"] == [PERSON, CAR, PERSON]
    (found,) = convert.report.warnings  # type: ignore[attr-defined]
    assert (found.code, found.count, found.examples[0][0][-7:]) == ("line-twice", 1, f"a.txt:{4 if odd else 3}")


@pytest.mark.parametrize("task", [None, "object-detection"])
def test_a_polygon_with_a_coordinate_that_is_none_is_an_error(task: str | None, tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", f"{SQUARE}\n0 0.125 0.125 0.5 nan 0.5 0.5 0.125 0.5\n")
    options = {} if task is None else {"task": task}
    found = fails(source, format="yolo", **options)
    assert [where[-7:] for examples in found.values() for where, _ in examples] == ["a.txt:2"]


@pytest.mark.parametrize(
    ("yaml", "findings", "names"),
    [
        ("nc: 2", [("warning", "names-missing")], ["class_0", "class_1"]),
        ("nc: 2\nname: [a, b]", [("warning", "names-missing"), ("warning", "unknown-key")], ["class_0", "class_1"]),
        ("names: [a, b]\nvall: images", [("warning", "unknown-key")], ["a", "b"]),
        ("names: [a, b]\nflip_idx: [0]\nx: {y: z}", [("note", "unread-key")], ["a", "b"]),
        ("names: {0: a, 1: b, 3: c}", [("warning", "names-gap")], ["a", "b", "c"]),
        ("names: [a, null]", [("warning", "category-name-odd")], ["a", "null"]),
        ("names: [a, b]\nval:", [("warning", "empty-value")], ["a", "b"]),
        ("names: [a, b]\ntest: # optional", [("note", "empty-value")], ["a", "b"]),
        (
            "names: [a, b]\nval: /elsewhere/images",
            [("note", "image-listed-twice"), ("repair", "path-elsewhere")],
            ["a", "b"],
        ),
    ],
)
def test_what_is_odd_in_data_yaml_is_reported(
    yaml: str, findings: list[tuple[str, str]], names: list[str], tmp_path: Path, convert: Convert
) -> None:
    source = export(tmp_path, f"{LABEL}\n{CAR_LABEL}\n")
    source.write_text(f"train: images\n{yaml}\n")
    assert len(convert(source, format="yolo")["images/a.png"]) == 2
    report = convert.report  # type: ignore[attr-defined]
    assert sorted((f.kind, f.code) for f in (*report.repairs, *report.warnings, *report.notes)) == findings
    assert [category["name"] for category in convert.schema["categories"]] == names  # type: ignore[attr-defined]


def test_two_classes_of_one_name_are_a_warning(tmp_path: Path) -> None:
    report = labelferry.convert(export(tmp_path, LABEL, names="[a, a]"), tmp_path / "out", format="yolo")
    assert [(f.code, f.count) for f in report.warnings] == [("category-name-twice", 1)]


def test_keypoint_names_are_those_of_each_class_or_reported(tmp_path: Path, convert: Convert) -> None:
    more = "kpt_shape: [1, 3]\nkpt_names: {0: [nose], 1: [hood]}"
    convert(export(tmp_path, f"{LABEL} 0.5 0.5 2\n", more=more), format="yolo")
    assert [category["keypoints"] for category in convert.schema["categories"]] == [["nose"], ["hood"]]  # type: ignore[attr-defined]
    convert(export(tmp_path, f"{LABEL} 0.5 0.5 2\n", more="kpt_shape: [1, 3]\nkpt_names: [nose, ear]"), format="yolo")
    assert [f.code for f in convert.report.warnings] == ["keypoint-names"]  # type: ignore[attr-defined]
    assert convert.schema["categories"][0]["keypoints"] == ["keypoint_0"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("classes = 3", "names-count"),
        ("classes = 2\nnames = obj.names", "key-twice"),
        ("classes 2", "unreadable"),
    ],
)
def test_a_broken_obj_data_is_an_error(data: str, code: str, copied: Path, fails: Fails) -> None:
    path = copied / "yolo/darknet/obj.data"
    path.write_text(f"train = data/train.txt\nnames = data/obj.names\n{data}\n")
    assert list(fails(path, format="yolo")) == [code]


def count_lines(folder: Path) -> int:
    """Lines that are not empty, of all label files below a folder."""
    paths = [p for p in folder.rglob("*") if p.suffix.lower() == ".txt" and p.stem not in ("classes", "train", "val")]
    return sum(bool(line.strip("\ufeff \r\n")) for p in paths for line in p.read_text("utf-8").split("\n"))


FIXTURES: list[tuple[str, str, dict[str, Any]]] = [
    ("data.yaml", "labels", {}),
    ("roboflow", "roboflow", {}),
    ("lists", "lists", {}),
    ("segmentation", "segmentation", {}),
    ("segmentation", "segmentation", {"task": "object-detection"}),
    ("segmentation", "segmentation", {"task": "semantic-segmentation"}),
    ("pose/data.yaml", "pose/labels", {}),
    ("pose/data.yaml", "pose/labels", {"task": "object-detection"}),
    ("pose/flat.yaml", "pose/flat", {}),
    ("obb", "obb", {}),
    ("obb", "obb", {"obb": True}),
    ("predictions/data.yaml", "predictions/runs/boxes", {"labels": "predictions/runs/boxes/labels"}),
    ("predictions/data.yaml", "predictions/runs/masks", {"labels": "predictions/runs/masks/labels"}),
    ("predictions/pose.yaml", "predictions/runs/poses", {"labels": "predictions/runs/poses/labels"}),
    ("darknet", "darknet", {}),
    ("plain", "plain", {}),
    ("video/data.yaml", "video/labels", {"videos": "video/videos"}),
]


@pytest.mark.parametrize(("path", "labels", "options"), FIXTURES)
def test_every_line_is_written_or_lost_under_a_finding(
    path: str, labels: str, options: dict[str, Any], fixtures: Path, tmp_path: Path
) -> None:
    options = {k: fixtures / "yolo" / v if k in ("labels", "videos") else v for k, v in options.items()}
    report = labelferry.convert(fixtures / "yolo" / path, tmp_path, format="yolo", **options)
    assert_accounted(report, count_lines(fixtures / "yolo" / labels))


def test_lines_that_are_lost_are_counted(tmp_path: Path) -> None:
    lines = ["0 0.5 0.5 0.1 0.1", "x", "", "0 0.5", "0.5 0.5 0.5 0.1 0.1", "0 9 0.5 0.1 0.1", "7 0.5 0.5 0.1 0.1"]
    lines += ["0 nan 0.5 0.1 0.1", "0 1.5 0.5 0.1 0.1", "1e300 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1 0.1 7"]
    source = export(tmp_path / "export", "\n".join(lines))
    for name in ("b.txt", "c.txt"):
        (tmp_path / "export/labels" / name).write_text("0 0.5 0.5 0.1 0.1\n\n0 0.5\n")  # two each
    (tmp_path / "export/images/c.png").write_bytes(b"not an image")
    report = labelferry.convert(source, tmp_path / "out", format="yolo", on_error="skip", classes=["car"])
    assert_accounted(report, 10 + 2 + 2)
    assert report.objects == {"car": 0}
    assert {finding.code: finding.count for finding in report.errors} == {
        "broken-line": 5,
        "not-normalised": 1,
        "unknown-category": 1,
        "label-without-image": 1,
        "image-broken": 1,
    }
    assert [(finding.code, finding.count) for finding in report.notes] == [("class-left-out", 3)]


@pytest.mark.parametrize("number", ["1e300", "99999999999999999999", "-1e15"])
def test_a_class_beyond_any_id_is_an_error_with_its_line(number: str, tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", f"0 0.5 0.5 0.1 0.1\n{number} 0.5 0.5 0.1 0.1\n")
    ((where, message),) = fails(source, format="yolo")["broken-line"]
    assert where.endswith("a.txt:2")
    assert message == f"the class {number!r} is not a whole number of at most 15 digits"


def test_a_label_file_that_cannot_be_read_is_an_error_with_its_path(tmp_path: Path) -> None:
    source = export(tmp_path / "export", "0 0.375 0.5 0.25 0.5\n")
    labels = tmp_path / "export/labels"
    for name in ("link", "pipe", "large"):
        Image.new("RGB", (64, 48)).save(tmp_path / f"export/images/{name}.png")
    (labels / "link.txt").symlink_to("nowhere")
    os.mkfifo(labels / "pipe.txt")
    with open(labels / "large.txt", "wb") as file:
        file.truncate((64 << 20) + 1)
    report = labelferry.convert(source, tmp_path / "out", format="yolo", on_error="skip")
    assert report.errors[0].code == "unreadable"
    assert report.errors[0].examples == [
        (f"{labels}/large.txt", "larger than 64 MiB, which no label file is"),
        (f"{labels}/link.txt", "cannot be read: No such file or directory"),
        (f"{labels}/pipe.txt", "not a regular file"),
    ]
    assert report.images == 1
    assert_accounted(report, 1)


def test_an_adapter_is_opened_for_images_and_then_for_frames(fixtures: Path, tmp_path: Path) -> None:
    source = export(tmp_path, "0 0.375 0.5 0.25 0.5\n", more="val: nowhere\npath: /somewhere/else")
    (tmp_path / "labels/clip_3.txt").write_text("1 0.75 0.625 0.5 0.25\n")
    adapter = Yolo(source)
    for _ in range(2):
        listed = list(adapter.open(Request()).images())
        codes = [one.code for one in listed if isinstance(one, Finding)]
        assert codes == ["path-elsewhere", "split-missing", "label-without-image"]
        assert [one.file_name for one in listed if isinstance(one, labelferry.Image)] == ["images/a.png"]
        listed = list(adapter.open(Request(frames=True)).images())
        assert [one.code for one in listed if isinstance(one, Finding)] == ["path-elsewhere"]
        assert [one.file_name for one in listed if isinstance(one, labelferry.Image)] == ["a", "clip_3"]
        assert [one.frame for one in listed if isinstance(one, labelferry.Image)] == [None, ("clip", 3)]
    for request in (Request(), Request(frames=True)):
        exports = [adapter.open(request)] * 2
        assert list(exports[0].images()) == list(exports[1].images())


@pytest.mark.parametrize("path", ["data.yaml", "segmentation", "pose", "obb", "darknet", "plain"])
def test_an_adapter_may_be_opened_again(path: str, fixtures: Path) -> None:
    assert_opens_alike(Yolo(fixtures / "yolo" / path), Request())
    assert_opens_alike(Yolo(fixtures / "yolo" / path), Request(TaskType.OBJECT_DETECTION))


def test_what_is_wrong_with_the_description_is_reported_for_the_split_that_is_wanted(
    fixtures: Path, tmp_path: Path, convert: Convert, fails: Fails
) -> None:
    source = export(tmp_path / "export", "", more="val: nowhere")
    assert "'nowhere'" in fails(source, format="yolo")["split-missing"][0][1]
    assert convert(source, format="yolo", split="train") == {"images/a.png": []}
    assert list(convert(fixtures / "yolo/roboflow", format="yolo", split="train")) == ["train/images/a_jpg.rf.0123.jpg"]
    assert convert.report.repairs == []  # type: ignore[attr-defined]


def test_a_darknet_split_may_be_chosen_that_is_the_same_list_as_another(fixtures: Path, convert: Convert) -> None:
    for split in ("train", "valid"):
        assert len(convert(fixtures / "yolo/darknet", format="yolo", split=split)) == 2


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("yolo/segmentation/data.yaml", {}),
        ("yolo/darknet/obj.data", {}),
        ("yolo/plain/classes.txt", {}),
        ("yolo/pose/data.yaml", {"task": "object-detection"}),
    ],
)
def test_every_file_that_labels_are_read_from_is_named_and_noticed_when_it_changes(
    path: str, options: dict[str, Any], copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = copied / path
    request = Request(TaskType(options["task"])) if options else Request()
    assert_files_are_named(Yolo(source).open(request), copied)
    assert_changes_are_noticed(
        source, tmp_path / "out", {"format": "yolo", **options}, lambda: Yolo(source).open(request), monkeypatch
    )


def test_frames_name_their_label_file_alone(copied: Path) -> None:
    opened = Yolo(copied / "yolo/video/data.yaml").open(Request(frames=True))
    assert [image.files for image in images_of(opened)] == [
        (f"{copied}/yolo/video/labels/clip_10.txt",),
        (f"{copied}/yolo/video/labels/clip_2.txt",),
    ]


CLASS = st.sampled_from(["0", "1", "1", "0", "9", "-1", "1.0", "1e0", "-0", "0.5", "1e300", "nan", "01", "x"])
PLAIN_NUMBER = st.one_of(
    st.floats(0, 1).map(lambda x: f"{x:.6f}"),
    st.floats(-3, 3).map(repr),
    st.sampled_from(["0", "1", "2", "0.5", "0.25", "1e-3", "-0.1", "2.0000001", "0.1E0", "0.30000000000000004"]),
)
ODD_NUMBER = st.sampled_from(
    (
        *(
            ".5",
            "+0.5",
            "5.",
            "nan",
            "inf",
            "-Infinity",
            "1_0",
            "0x1",
            "abc",
            "1,5",
            "0.5,0.5",
            "1e999",
            "1e-400",
            "-1e308",
        ),
        *(
            "\udcff",
            "é",
            '"1"',
            "[0]",
            "true",
            "null",
            "1 ]",
            "{}",
            "007",
            "-0",
            "-0.0",
            "-0e5",
            "1e-05",
            "18446744073709551616",
        ),
        *("0" * 400 + "1", "0." + "3" * 400, "9" * 400),
    )
)
PLAIN_LINE = st.builds(
    lambda first, rest: " ".join((first, *rest)),
    st.sampled_from(["0", "1"]),
    st.lists(st.floats(0.1, 0.9).map(lambda x: f"{x:.6f}"), min_size=4, max_size=4),
)
ODD_LINE = st.builds(
    lambda first, rest, separator: separator.join((first, *rest)),
    CLASS,
    st.lists(st.one_of(PLAIN_NUMBER, PLAIN_NUMBER, ODD_NUMBER), max_size=8),
    st.sampled_from([" ", " ", " ", "\t", "  ", " \t", "\x0b", ",", "\x1c", "\xa0"]),
)
SCORED = st.builds("{} {:.4f}".format, PLAIN_LINE, st.floats(0, 1))
TRACKED = st.builds("{} {}".format, PLAIN_LINE, st.integers(0, 3))
SCORED_TRACKED = st.builds("{} {}".format, SCORED, st.integers(0, 3))
END = st.sampled_from(["\n", "\n", "\n", "\n", "\r\n", "\r", "\n\n", " \n", "", "\n ", "\x0c", "\x85"])
PLAIN_FILE = st.lists(PLAIN_LINE, max_size=4).map("\n".join)
SCORED_FILE = st.lists(SCORED, max_size=4).map("\n".join)
TRACKED_FILE = st.lists(TRACKED, max_size=4).map("\n".join)
SCORED_TRACKED_FILE = st.lists(SCORED_TRACKED, max_size=4).map("\n".join)
ODD_FILE = st.builds(
    lambda bom, lines: bom + "".join(f"{line}{end}" for line, end in lines),
    st.sampled_from(["", "", "", "\ufeff"]),
    st.lists(st.tuples(st.one_of(PLAIN_LINE, SCORED, TRACKED, SCORED_TRACKED, ODD_LINE), END), max_size=4),
)
FILES = st.one_of(
    st.lists(st.one_of(PLAIN_FILE, ODD_FILE), min_size=1, max_size=8),
    st.lists(st.one_of(SCORED_FILE, SCORED_FILE, PLAIN_FILE, ODD_FILE), min_size=1, max_size=8),
    st.lists(st.one_of(TRACKED_FILE, TRACKED_FILE, PLAIN_FILE, ODD_FILE), min_size=1, max_size=8),
    st.lists(st.one_of(SCORED_TRACKED_FILE, SCORED_TRACKED_FILE, SCORED_FILE, ODD_FILE), min_size=1, max_size=8),
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Export]]:
    """An export of boxes, opened for each of the columns that lines may have; with images of several sizes."""
    folder = tmp_path_factory.mktemp("boxes")
    exports = []
    for ending in ("", " 0.5", " 7", " 0.5 7"):
        source = export(folder, f"0 0.5 0.5 0.1 0.1{ending}\n")
        exports += [Yolo(source, track_ids=track_ids).open(Request()) for track_ids in (None, "7" in ending)]
    for i in range(8):
        Image.new("RGB", (64 + 7 * i, 48 + i)).save(folder / f"images/{i}.png")
    return folder, exports


def encoded(text: str) -> bytes:
    """As UTF-8; U+DCFF as the byte FF, which UTF-8 never has."""
    return text.encode("utf-8", "surrogateescape")


def of_lines(outcome: Outcome) -> Outcome:
    """Without the evidence of label files, which is counted for all images before they are read."""
    evidence = {name: count for name, count in outcome.evidence.items() if "label-file" not in name}
    return outcome._replace(evidence=Counter(evidence))


def outcome_or_question(read: Callable[[Export, list[labelferry.Image]], Outcome], *given: Any) -> Outcome | str:
    try:
        return of_lines(read(*given))
    except AmbiguousError as error:
        return str(error)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(files=FILES, broken=st.sets(st.integers(0, 30)), place=st.integers(0, 7))
def test_label_files_read_together_give_what_they_give_one_by_one(
    files: list[str], broken: set[int], place: int, opened: tuple[Path, list[Export]]
) -> None:
    folder, exports = opened
    boxes = exports[place]
    listed = {image.files[0]: image for image in images_of(boxes)}
    images = []
    for i, text in enumerate(files):
        path = f"{folder}/labels/{i}.txt"
        Path(path).write_bytes(encoded(text))
        image = listed[f"{folder}/images/{i}.png"]
        label: str | None = path if i + 10 not in broken else f"{folder}/labels/none.txt"
        if i + 20 in broken:
            label = None
        picture = f"{folder}/images/none.png" if i in broken else image.files[0]
        source = image.source._replace(path=label)
        images.append(image._replace(source=source, files=(picture, label) if label else (picture,)))
    expected = outcome_or_question(one_by_one, boxes, images)
    assert outcome_or_question(together, boxes, images) == expected
    if isinstance(expected, str):
        return
    assert [data for image in images for data in together(boxes, [image]).files] == expected.files
    assert expected.found == sum(
        len([line for line in encoded(text).removeprefix(b"\xef\xbb\xbf").splitlines() if line.split()])
        for i, text in enumerate(files)
        if not {i + 10, i + 20} & broken
    )


@settings(max_examples=500)
@given(
    st.lists(
        st.one_of(
            st.floats(-2, 2, width=64).map(repr),
            st.floats(-2, 2).map(lambda x: f"{x:.20f}"),
            st.from_regex(r"-?(0|1)(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
            st.integers(-(2**66), 2).map(str),
        ),
        min_size=4,
        max_size=4,
    )
)
def test_numbers_read_together_are_exact(numbers: list[str]) -> None:
    line = " ".join(("0", *numbers)).encode()
    plain = parse_boxes([line], False, False)
    if plain.is_plain.all():
        ((_, *expected),) = parse_lines(line, "").rows
        assert list(map(float.hex, plain.boxes[0].tolist())) == list(map(float.hex, expected))


def test_files_of_boxes_are_read_together_and_only_odd_ones_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = export(tmp_path, "0 0.5 0.5 0.1 0.1\r\n1 0.5 0.5 0.1 0.1")
    for i in range(100):
        Image.new("RGB", (64, 48)).save(tmp_path / f"images/{i:02}.png")
        (tmp_path / f"labels/{i:02}.txt").write_text("1 0.25\t0.5 0.25 0.5\n" * (i % 3))
    boxes = Yolo(source).open(Request())
    images = images_of(boxes)
    read: list[str] = []
    labels = type(boxes).labels
    monkeypatch.setattr(type(boxes), "labels", lambda self, image: read.append(image.file_name) or labels(self, image))
    assert len(list(boxes.read(images, None))) == 1
    assert read == []
    odd = [f"{i:02}" for i in range(10, 10 + 3 * (RUNS // 2), 3)]
    for name in odd[:1]:
        (tmp_path / f"labels/{name}.txt").write_text("0 0.5 0.5 0.1 0.1 \n")
    assert [len(batch.names) for batch in boxes.read(images, None)] == [10, 1, 90]
    assert read == [f"images/{odd[0]}.png"]
    for name in odd:
        (tmp_path / f"labels/{name}.txt").write_text("0 0.5 0.5 0.1 0.1 \n")
    assert len(list(boxes.read(images, None))) == 1, "so many batches are slower than reading one by one"
    assert of_lines(together(boxes, images)) == of_lines(one_by_one(boxes, images))


def classified(folder: Path, texts: dict[str, str], names: str = "cat\ntabby cat\nfox\n") -> Path:
    """Images, and label files as `yolo classify predict save_txt` writes them."""
    (folder / "labels").mkdir()
    (folder / "classes.txt").write_text(names)
    for stem, text in texts.items():
        Image.new("RGB", (4, 3)).save(folder / f"{stem}.png")
        (folder / f"labels/{stem}.txt").write_text(text)
    return folder / "classes.txt"


def test_classes_that_save_txt_writes(tmp_path: Path, convert: Any) -> None:
    """The first line is the class, also where two digits do not tell it; classes that are missing share the rest."""
    texts = {"a": "0.87 tabby cat\n0.10 fox\n", "b": "0.00 fox\n0.00 cat\n0.00 tabby cat\n", "c": "0.50 cat\n0.49 fox"}
    source = classified(tmp_path, {**texts, "b": "0.33 fox\n0.33 cat\n0.33 tabby cat\n"})
    found = convert(source, format="yolo", labels=tmp_path / "labels")
    assert convert.report.task_type == "classification"
    (a,), (b,), (c,) = found["a.png"], found["b.png"], found["c.png"]
    assert (a["category_id"], a["score"], a["probabilities"]) == (1, 0.87, pytest.approx([0.03, 0.87, 0.1]))
    assert (b["category_id"], b["score"], b["probabilities"]) == (2, 0.33, pytest.approx([1 / 3] * 3))
    assert (c["category_id"], c["probabilities"]) == (0, pytest.approx([0.5, 0.01, 0.49]))
    assert [(one.code, one.count) for one in convert.report.repairs] == [("probabilities-completed", 2)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0.87 tabby\n", "unknown-category"),
        ("0.87 cat\n0.10 cat\n", "broken-line"),
        ("0.87 cat\n0.6 fox\n", "broken-line"),
        ("0.87 cat\n0.60 fox\n", "probabilities-sum"),
        ("0.57 cat\n0.20 fox\n0.10 tabby cat\n", "probabilities-sum"),
        ("", "class-missing"),
    ],
)
def test_classes_at_fault(tmp_path: Path, fails: Any, text: str, code: str) -> None:
    source = classified(tmp_path, {"a": "0.87 tabby cat\n0.10 fox\n", "b": text})
    found = fails(source, format="yolo", labels=tmp_path / "labels", task="classification")
    assert list(found) == [code]
    assert "b." in found[code][0][0]


def test_a_stride_is_at_least_1(fixtures: Path, tmp_path: Path) -> None:
    with pytest.raises(labelferry.UsageError, match="--vid-stride is an integer of at least 1, not 0"):
        labelferry.convert(fixtures / "yolo/data.yaml", tmp_path / "out", format="yolo", vid_stride=0)
