"""Each format's labels of images and videos that are stored turned. Pillow and OpenCV show the upright pictures."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import labelferry
from labelferry import RunLengthMask
from labelferry.errors import AmbiguousError
from tests.lightly_models import read_valid_task
from tests.pictures import BOXES, STORED, box_of, drawn, turn_video, upright_of, write_image, write_picture_video

ALL = range(1, 9)
UPRIGHT = STORED[::-1]


def shown_size(orientation: int) -> tuple[int, int]:
    return UPRIGHT if orientation > 4 else STORED


def shown_boxes(orientation: int) -> list[Any]:
    return [box_of(upright_of(drawn(box), orientation)) for box in BOXES]


def corners(box: Any) -> list[tuple[float, float]]:
    x, y, w, h = box
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


def polygon(box: Any) -> list[float]:
    return [float(number) for point in corners(box) for number in point]


def convert(source: Path, out: Path, format: str, **options: Any) -> labelferry.Report:
    return labelferry.convert(source, out, format=format, task_name="test", overwrite=True, **options)


def labels_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    predictions = read_valid_task(folder, "test")[1]
    return {PurePosixPath(name).with_suffix(".json").as_posix(): labels for name, labels in predictions.items()}


def boxes_in(folder: Path) -> dict[str, list[Any]]:
    return {name: [rounded(one["bbox"]) for one in labels] for name, labels in labels_in(folder).items()}


def rounded(numbers: Any) -> tuple[float, ...]:
    return tuple(round(number, 4) for number in numbers)


def masks_in(folder: Path, name: str = "a.json") -> list[Any]:
    return [one["segmentation"] for one in labels_in(folder)[name]]


STORED_MASKS = [RunLengthMask.from_array(drawn(box)).counts.tolist() for box in BOXES]


def codes(findings: list[Any]) -> dict[str, int]:
    return {finding.code: finding.count for finding in findings}


# YOLO


def yolo_lines(kind: str, orientation: int) -> str:
    """Lines of objects, relative to the upright picture."""
    width, height = shown_size(orientation)
    lines = []
    for x, y, w, h in shown_boxes(orientation):
        numbers = [(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
        if kind == "polygons":
            numbers = [number for px, py in corners((x, y, w, h)) for number in (px / width, py / height)]
        elif kind == "poses":
            numbers += [x / width, y / height, 2, (x + w) / width, (y + h) / height, 1]
        lines.append(" ".join(["0", *map(repr, numbers)]))
    return "\n".join(lines) + "\n"


def yolo_export(folder: Path, kind: str, orientation: int) -> Path:
    write_image(folder / "images/a.jpg", orientation)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels/a.txt").write_text(yolo_lines(kind, orientation))
    shape = "kpt_shape: [2, 3]\n" if kind == "poses" else ""
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nnames: [white]\n{shape}")
    return folder / "data.yaml"


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("kind", ["boxes", "polygons", "poses"])
def test_yolo_labels_are_of_the_upright_picture(kind: str, orientation: int, tmp_path: Path) -> None:
    source, out = yolo_export(tmp_path / "yolo", kind, orientation), tmp_path / "out"
    picture: Any = cv2.imread(str(tmp_path / "yolo/images/a.jpg"))
    assert picture.shape[1::-1] == shown_size(orientation), "Ultralytics reads images with OpenCV"
    report = convert(source, out, "yolo")
    name = next(iter(boxes_in(out)))
    assert boxes_in(out)[name] == BOXES
    assert codes(report.repairs) == ({} if orientation == 1 else {"orientation": 1})
    if kind == "polygons":
        assert masks_in(out, name) == STORED_MASKS
    if kind == "poses":
        for one, box in zip(labels_in(out)[name], BOXES, strict=True):
            x1, y1, s1, x2, y2, s2 = rounded(one["keypoints"])
            assert {(x1, y1), (x2, y2)} <= set(corners(box))
            assert (s1, s2) == (1, 0.5)


def test_yolo_labels_of_the_pixels_as_stored_are_said_to_be_so(tmp_path: Path) -> None:
    source = yolo_export(tmp_path, "boxes", 1)
    for orientation in ALL:
        write_image(tmp_path / "images/a.jpg", orientation)
        report = convert(source, tmp_path / "out", "yolo", orientation="stored")
        assert boxes_in(tmp_path / "out") == {"images/a.json": BOXES}
        assert report.repairs == []


@pytest.mark.parametrize("orientation", ALL)
def test_yolo_predictions_of_a_video_are_of_the_frames_that_opencv_gives(orientation: int, tmp_path: Path) -> None:
    video = turn_video(write_picture_video(tmp_path / "videos/clip.mp4", drawn(BOXES[0])), orientation)
    _, frame = cv2.VideoCapture(str(video)).read()
    height, width = frame.shape[:2]
    x, y, w, h = box_of(frame[..., 0])
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "clip_1.txt").write_text(f"0 {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}\n")
    (tmp_path / "data.yaml").write_text("names: [white]\n")
    report = convert(tmp_path / "data.yaml", tmp_path, "yolo", labels=labels, videos=tmp_path / "videos")
    assert boxes_in(tmp_path) == {"clip-0-mp4.json": BOXES[:1], "clip-1-mp4.json": [], "clip-2-mp4.json": []}
    assert codes(report.repairs) == ({} if orientation in (1, 4) else {"orientation": 1})


# COCO


def coco_export(folder: Path, size: tuple[int, int] | None, boxes: list[Any], has_boxes: bool = True) -> Path:
    image: dict[str, Any] = {"id": 1, "file_name": "a.jpg"}
    if size is not None:
        image |= {"width": size[0], "height": size[1]}
    annotations: list[dict[str, Any]] = []
    for i, box in enumerate(boxes):
        x, y, w, h = box
        one = {"id": i, "image_id": 1, "category_id": 1, "segmentation": [polygon(box)], "num_keypoints": 2}
        one |= {"keypoints": [x, y, 2, x + w, y + h, 1], "iscrowd": 0, "area": w * h}
        annotations.append(one | ({"bbox": [x, y, w, h]} if has_boxes else {}))
    categories = [{"id": 1, "name": "white", "keypoints": ["begin", "end"], "skeleton": []}]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": categories}))
    return path


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_cocos_size_decides(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    source = coco_export(tmp_path, UPRIGHT, shown_boxes(orientation))
    for options in ({"images": tmp_path}, {"input": tmp_path}):
        report = convert(source, tmp_path / "out", "coco", task="instance-segmentation", **options)
        assert boxes_in(tmp_path / "out") == {"a.json": BOXES}
        assert masks_in(tmp_path / "out") == STORED_MASKS
        assert codes(report.repairs) == {"orientation": 1}
        convert(source, tmp_path / "out", "coco", task="keypoint-detection", **options)
        for one, box in zip(labels_in(tmp_path / "out")["a.json"], BOXES, strict=True):
            x1, y1, _, x2, y2, _ = one["keypoints"]
            assert {(x1, y1), (x2, y2)} <= set(corners(box))
    report = convert(coco_export(tmp_path, STORED, BOXES[:1]), tmp_path / "out", "coco", input=tmp_path)
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES[:1]}
    assert report.repairs == []
    with pytest.raises(AmbiguousError, match="nothing tells"):
        convert(coco_export(tmp_path, None, BOXES), tmp_path / "out", "coco", images=tmp_path)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("task", ["object-detection", "keypoint-detection", "instance-segmentation"])
@pytest.mark.parametrize("has_boxes", [True, False])
def test_label_studios_size_as_stored_and_labels_on_the_upright_picture_are_asked_about(
    orientation: int, task: str, has_boxes: bool, tmp_path: Path
) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    low = (5, 50, 10, 12)
    source = coco_export(tmp_path, STORED, [low, *shown_boxes(orientation)], has_boxes)
    with pytest.raises(AmbiguousError, match="reaches beyond"):
        convert(source, tmp_path / "out", "coco", task=task, input=tmp_path)
    report = convert(source, tmp_path / "out", "coco", task=task, input=tmp_path, orientation="upright")
    assert codes(report.repairs)["orientation"] == 1
    first, *others = boxes_in(tmp_path / "out")["a.json"]
    assert others == BOXES
    x, y, w, h = map(int, first)
    assert box_of(upright_of(drawn((x, y, w, h)), orientation)) == low
    if task == "instance-segmentation":
        assert masks_in(tmp_path / "out")[1:] == STORED_MASKS


# Pascal VOC


def voc_export(folder: Path, size: tuple[int, int] | None, boxes: list[Any]) -> Path:
    objects = "".join(
        f"<object><name>white</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
        "</bndbox></object>"
        for x, y, w, h in boxes
    )
    given = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    (folder / "Annotations/a.xml").write_text(
        f"<annotation><filename>a.jpg</filename>{given}{objects}</annotation>\n", encoding="utf-8"
    )
    return folder


@pytest.mark.parametrize("orientation", ALL)
def test_vocs_size_decides_and_one_of_neither_picture_is_an_error(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "JPEGImages/a.jpg", orientation)
    options: dict[str, Any] = {"one_based": False}
    option = "auto" if orientation in (1, 5, 6, 7, 8) else "upright"
    source = voc_export(tmp_path, shown_size(orientation), shown_boxes(orientation))
    report = convert(source, tmp_path / "out", "voc", orientation=option, **options)
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES}
    assert codes(report.repairs) == ({} if orientation == 1 else {"orientation": 1})
    for wrong in ((90, 90), *([UPRIGHT] if orientation < 5 else [])):
        source = voc_export(tmp_path, wrong, BOXES)
        with pytest.raises(labelferry.ConversionError) as raised:
            convert(source, tmp_path / "out", "voc", orientation=option, **options)
        assert codes(raised.value.report.errors) == {"image-size": 1}
    for missing in (None, (0, 0)):
        source = voc_export(tmp_path, missing, shown_boxes(orientation))
        convert(source, tmp_path / "out", "voc", orientation="upright", **options)
        assert boxes_in(tmp_path / "out") == {"a.json": BOXES}, "the size is the image's"
        if orientation != 1:
            with pytest.raises(AmbiguousError, match="nothing tells"):
                convert(source, tmp_path / "out", "voc", **options)


def test_vocs_missing_size_is_that_of_the_image_in_the_input_datasource(tmp_path: Path) -> None:
    write_image(tmp_path / "data/a.jpg", 1)
    source = voc_export(tmp_path / "voc", None, BOXES)
    convert(source, tmp_path / "out", "voc", one_based=False, input=tmp_path / "data")
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES}
    with pytest.raises(labelferry.ConversionError) as raised:
        convert(source, tmp_path / "out", "voc", one_based=False)
    assert codes(raised.value.report.errors) == {"image-size": 1}


# masks


def write_map(path: Path, picture: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture > 127).astype(np.uint8)).save(path)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["index", "binary", "voc"])
def test_masks_of_the_upright_picture_are_turned_back(kind: str, orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "JPEGImages/a.jpg", orientation)
    stored = drawn(BOXES[0])
    options: dict[str, Any] = {"images": tmp_path / "JPEGImages"}
    source, format = tmp_path / "SegmentationClass", "masks"
    names = tmp_path / "names.txt"
    names.write_text("background\nwhite\n")
    if kind == "index":
        options["labels"] = names
    elif kind == "binary":
        source = tmp_path / "binary"
        options |= {"pattern": "{class}/{image}"}
    else:
        source, format, options = tmp_path, "voc", {"task": "semantic-segmentation"}
    place = tmp_path / ("binary/white/a.png" if kind == "binary" else "SegmentationClass/a.png")
    write_map(place, upright_of(stored, orientation))
    report = convert(source, tmp_path / "out", format, **options)
    assert masks_in(tmp_path / "out") == STORED_MASKS[:1]
    assert codes(report.repairs) == {"orientation": 1}
    write_map(place, stored)
    report = convert(source, tmp_path / "out", format, **options)
    assert masks_in(tmp_path / "out") == STORED_MASKS[:1]
    assert report.repairs == []
    write_map(place, stored[:20])
    with pytest.raises(labelferry.ConversionError) as raised:
        convert(source, tmp_path / "out", format, **options)
    assert codes(raised.value.report.errors) == {"mask-size": 1}


# others


def test_cvats_and_mots_sizes_decide(tmp_path: Path) -> None:
    write_image(tmp_path / "cvat/images/a.jpg", 6)
    (x, y, w, h), *_ = shown_boxes(6)
    (tmp_path / "cvat/annotations.xml").write_text(
        "<annotations><version>1.1</version><meta><task><labels><label><name>white</name></label></labels></task></meta>"
        f'<image id="0" name="a.jpg" width="{UPRIGHT[0]}" height="{UPRIGHT[1]}"><box label="white" occluded="0" '
        f'xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}" z_order="0"></box></image></annotations>'
    )
    report = convert(tmp_path / "cvat/annotations.xml", tmp_path / "out", "cvat", task="object-detection")
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES[:1]}
    assert codes(report.repairs) == {"orientation": 1}
    sequence = tmp_path / "mot/walk"
    write_image(sequence / "img1/000001.jpg", 6)
    (sequence / "gt").mkdir()
    (sequence / "gt/gt.txt").write_text(f"1,1,{x},{y},{w},{h},1,1,1\n")
    (sequence / "seqinfo.ini").write_text(
        f"[Sequence]\nname=walk\nimDir=img1\nseqLength=1\nimWidth={UPRIGHT[0]}\nimHeight={UPRIGHT[1]}\nimExt=.jpg\n"
    )
    report = convert(tmp_path / "mot", tmp_path / "out", "mot")
    assert boxes_in(tmp_path / "out") == {"walk/img1/000001.json": BOXES[:1]}
    assert codes(report.repairs) == {"orientation": 1}


def test_predictions_of_lightly_are_for_the_pixels_as_stored(tmp_path: Path) -> None:
    write_image(tmp_path / "data/a.jpg", 3)
    source = coco_export(tmp_path, STORED, BOXES)
    labelferry.convert(source, tmp_path / "first", format="coco", task="object-detection", task_name="one")
    report = convert(tmp_path / "first", tmp_path / "out", "lightly", input=tmp_path / "data")
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES}
    assert report.repairs == []


def test_labelformat_measures_images_itself_so_that_turned_ones_are_asked_about(tmp_path: Path) -> None:
    source = yolo_export(tmp_path / "yolo", "boxes", 6)
    options: dict[str, Any] = {"input": tmp_path / "yolo/images"}
    with pytest.raises(AmbiguousError, match="the format does not tell"):
        convert(source, tmp_path / "out", "labelformat:yolov8", task="object-detection", input_split="train", **options)
    with pytest.raises(labelferry.ConversionError) as raised:
        convert(
            source,
            tmp_path / "out",
            "labelformat:yolov8",
            task="object-detection",
            input_split="train",
            orientation="upright",
            **options,
        )
    assert codes(raised.value.report.errors) == {"image-size": 1}
