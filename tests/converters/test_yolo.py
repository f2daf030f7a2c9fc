"""YOLO: every flavour of fixtures/yolo, expected values by hand; labelformat as judge of boxes."""

from __future__ import annotations

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
from tests.conformance.test_real_coco import documented_encode
from tests.conftest import Convert

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
        "flat/images/a.png": [PERSON | {"keypoints": [24, 12, 1.0, 16, 24, 1.0, 0, 0, 0]}]
    }
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
        ("0 0.5 0.5 0.1 0.1 1.5", "score-out-of-range", "score 1.5"),
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
    assert message == "7 numbers; kpt_shape [2, 3] makes 11, or one more with a confidence"


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
        ("names: [a]\n", "none of its splits"),
        ("train: images\nnames: [a]\nkpt_shape: [1, 4]\n", "kpt_shape"),
        ("[]", "a mapping"),
        ("", "a mapping"),
        ("names: [\xff]", "names"),
    ],
)
def test_a_broken_data_yaml_is_an_error_that_names_it(yaml: str, words: str, tmp_path: Path, fails: Fails) -> None:
    source = export(tmp_path / "export", "")
    source.write_bytes(yaml.encode("latin-1"))
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
