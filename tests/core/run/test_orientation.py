"""Labels drawn on upright pictures of images and videos that are stored turned: which those are, and what becomes of
them. Pillow and OpenCV show the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import cv2
import numpy as np
import pytest

import labelferry
from labelferry import Annotations, Category, Image, RunLengthMask, TaskType, VideoFrame
from labelferry.errors import AmbiguousError, UsageError
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from tests.exports import check_accounting
from tests.lightly_models import read_valid_task
from tests.pictures import BOXES, STORED, box_of, drawn, turn_video, upright_of, write_image, write_picture_video

UPRIGHT = STORED[::-1]
QUARTERS = (5, 6, 7, 8)
Rule = Literal["stored", "upright", "size", "unknown"]


@dataclass
class Drawn:
    """The labels of an image: of these boxes, for a picture of this size; None: the export does not give it."""

    size: tuple[int, int] | None
    boxes: list[Any]
    path: str = ""
    frame: VideoFrame | None = None


class Pictures(Adapter):
    """Labels as they are given: boxes, masks of them, or keypoints at their corners."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.KEYPOINT_DETECTION, TaskType.OBJECT_DETECTION)

    def __init__(self, images: dict[str, Drawn], rule: Rule = "size") -> None:
        self.images = images
        self.rule: Rule = rule

    def open(self, request: Request) -> Export:
        export = super().open(request)
        export.drawn_on = self.rule
        return export

    def get_categories(self) -> list[Category]:
        return [Category(0, "white", ("begin", "end"))]

    def get_images(self) -> Iterator[Image]:
        for name, one in self.images.items():
            yield Image(name, one, one.frame, path=one.path)

    def get_labels(self, image: Image) -> Annotations:
        one: Drawn = image.source
        size = one.size or image.size
        assert size is not None
        boxes = np.array(one.boxes, float).reshape(-1, 4)
        corners = [np.array([[x, y, 1], [x + w, y + h, 0.5]]) for x, y, w, h in boxes.tolist()]
        masks = [mask_of(drawn(tuple(map(int, box)), size)) for box in one.boxes]
        ids = np.zeros(len(boxes), np.int64)
        return Annotations(ids, size, boxes, masks=masks, keypoints=corners, found=len(boxes))


def mask_of(pixels: Any) -> RunLengthMask:
    return RunLengthMask.from_array(pixels > 127)


def upright_boxes(orientation: int) -> list[Any]:
    """Where the rectangles are in the upright picture."""
    return [box_of(upright_of(drawn(box), orientation)) for box in BOXES]


def shown_size(orientation: int) -> tuple[int, int]:
    return UPRIGHT if orientation in QUARTERS else STORED


def run(folder: Path, images: dict[str, Drawn], rule: Rule = "size", **options: Any) -> labelferry.Report:
    options = {"task_name": "test", "task": "object-detection", "overwrite": True, **options}
    report = labelferry.convert(Pictures(images, rule), folder, **options)
    check_accounting(report)
    return report


def labels_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The predictions of each file of the task."""
    predictions = read_valid_task(folder, "test")[1]
    return {PurePosixPath(name).with_suffix(".json").as_posix(): labels for name, labels in predictions.items()}


def boxes_in(folder: Path) -> dict[str, list[Any]]:
    """The boxes of each file of the task."""
    return {name: [tuple(one["bbox"]) for one in labels] for name, labels in labels_in(folder).items()}


def codes(findings: list[Any]) -> dict[str, int]:
    return {finding.code: finding.count for finding in findings}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png"])
def test_boxes_masks_and_keypoints_of_the_upright_picture_become_those_of_the_stored_pixels(
    orientation: int, extension: str, tmp_path: Path
) -> None:
    path = write_image(tmp_path / f"a.{extension}", orientation)
    picture: Any = cv2.imread(str(path))
    assert picture.shape[:2] == shown_size(orientation)[::-1], "OpenCV shows the upright picture"
    labels = {path.name: Drawn(shown_size(orientation), upright_boxes(orientation))}
    report = run(tmp_path, labels, orientation="upright")
    assert boxes_in(tmp_path) == {"a.json": BOXES}
    assert codes(report.repairs) == ({} if orientation == 1 else {"orientation": 1})
    run(tmp_path, labels, orientation="upright", task="instance-segmentation")
    masks = [one["segmentation"] for one in labels_in(tmp_path)["a.json"]]
    assert masks == [mask_of(drawn(box)).counts.tolist() for box in BOXES]
    run(tmp_path, labels, orientation="upright", task="keypoint-detection")
    points = [one["keypoints"] for one in labels_in(tmp_path)["a.json"]]
    for found, (x, y, w, h) in zip(points, BOXES, strict=True):
        corners = {(found[0], found[1]), (found[3], found[4])}
        assert corners in ({(x, y), (x + w, y + h)}, {(x, y + h), (x + w, y)})
        assert (found[2], found[5]) == (1, 0.5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_for_the_pixels_as_stored_stay(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    report = run(tmp_path, {"a.jpg": Drawn(STORED, BOXES)}, orientation="stored")
    assert boxes_in(tmp_path) == {"a.json": BOXES}
    assert report.repairs == []


@pytest.mark.parametrize("orientation", QUARTERS)
def test_the_size_that_the_export_gives_decides_quarter_turns(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "upright.jpg", orientation)
    write_image(tmp_path / "stored.jpg", orientation)
    images = {"upright.jpg": Drawn(UPRIGHT, upright_boxes(orientation)), "stored.jpg": Drawn(STORED, BOXES[:1])}
    report = run(tmp_path, images)
    assert boxes_in(tmp_path) == {"upright.json": BOXES, "stored.json": BOXES[:1]}
    assert codes(report.repairs) == {"orientation": 1}
    (repair,) = report.repairs
    assert repair.examples[0][0] == "upright.jpg"
    assert "--orientation stored" in repair.examples[0][1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_for_neither_size_are_an_error(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    write_image(tmp_path / "b.jpg", 1)
    write_image(tmp_path / "c.jpg", 6)
    write_image(tmp_path / "empty.jpg", 6)
    images = {
        "a.jpg": Drawn((32, 24), [(1, 2, 3, 4)]),
        "b.jpg": Drawn(STORED, BOXES),
        "c.jpg": Drawn(UPRIGHT, upright_boxes(6)),  # so that the others are undecided no longer
        "empty.jpg": Drawn((9, 9), []),
    }
    report = run(tmp_path, images, on_error="skip")
    assert [(error.code, error.count) for error in report.errors] == [("image-size", 1)]
    where, text = report.errors[0].examples[0]
    assert where == "a.jpg"
    assert text.startswith("the labels are for 32 x 24 pixels, the image has 64 x 48")
    assert boxes_in(tmp_path) == {"b.json": BOXES, "c.json": BOXES, "empty.json": []}
    assert report.lost_objects == 1
    assert report.lost_images == 1


def test_a_size_that_is_the_other_way_round_is_an_error_where_nothing_is_turned(tmp_path: Path) -> None:
    for orientation in (1, 2, 3, 4):
        write_image(tmp_path / "a.jpg", orientation)
        write_image(tmp_path / "b.jpg", 6)
        images = {"a.jpg": Drawn(UPRIGHT, [(1, 2, 3, 4)]), "b.jpg": Drawn(UPRIGHT, upright_boxes(6))}
        report = run(tmp_path, images, on_error="skip")
        assert codes(report.errors) == {"image-size": 1}


def test_what_the_user_says_and_the_size_contradicts_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 6)
    with pytest.raises(labelferry.ConversionError) as raised:
        run(tmp_path, {"a.jpg": Drawn(UPRIGHT, upright_boxes(6))}, orientation="stored")
    assert codes(raised.value.report.errors) == {"image-size": 1}


@pytest.mark.parametrize("orientation", QUARTERS)
def test_a_label_beyond_the_stored_size_and_inside_the_upright_one_is_asked_about(
    orientation: int, tmp_path: Path
) -> None:
    """Label Studio's COCO export gives the size as stored, and boxes on the upright picture."""
    write_image(tmp_path / "a.jpg", orientation)
    low = [(5, 50, 10, 12)]
    for task in ("object-detection", "keypoint-detection"):
        with pytest.raises(AmbiguousError, match=r"reaches beyond.*--orientation stored or --orientation upright"):
            run(tmp_path, {"a.jpg": Drawn(STORED, low)}, task=task, on_error="skip")
    turned = run(tmp_path, {"a.jpg": Drawn(STORED, low)}, orientation="upright")
    assert codes(turned.repairs) == {"orientation": 1}
    ((x, y, width, height),) = boxes_in(tmp_path)["a.json"]
    box = int(x), int(y), int(width), int(height)
    assert box_of(upright_of(drawn(box), orientation)) == low[0]
    with pytest.raises(AmbiguousError, match="reaches beyond"):
        run(tmp_path, {"a.jpg": Drawn(UPRIGHT, [(50, 5, 10, 10)])})
    over_both = run(tmp_path, {"a.jpg": Drawn(STORED, [(50, 40, 10, 20)])})
    assert codes(over_both.repairs) == {"box-clipped": 1}


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_images_whose_size_does_not_decide_follow_those_whose_size_does(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    write_image(tmp_path / "square.jpg", 6, (48, 48))
    write_image(tmp_path / "z.jpg", 6)
    square = (2, 3, 10, 20)
    stored = {
        "a.jpg": Drawn(STORED, BOXES),
        "square.jpg": Drawn((48, 48), [square]),
        "z.jpg": Drawn(STORED, BOXES),
    }
    run(tmp_path, stored)
    assert boxes_in(tmp_path) == {"a.json": BOXES, "square.json": [square], "z.json": BOXES}
    upright = {
        "a.jpg": Drawn(STORED, upright_boxes(orientation)),
        "square.jpg": Drawn((48, 48), [box_of(upright_of(drawn(square, (48, 48)), 6))]),
        "z.jpg": Drawn(UPRIGHT, upright_boxes(6)),
    }
    for chunk in (1, 2, 512):
        report = run_in_chunks(tmp_path, upright, chunk)
        assert boxes_in(tmp_path) == {"a.json": BOXES, "square.json": [square], "z.json": BOXES}
        assert codes(report.repairs) == {"orientation": 3}
        assert [where for where, _ in report.repairs[0].examples] == ["a.jpg", "square.jpg", "z.jpg"]


class InChunks(Pictures):
    chunk = 512

    def open(self, request: Request) -> Export:
        export = super().open(request)
        export.chunk = self.chunk
        return export


def run_in_chunks(folder: Path, images: dict[str, Drawn], chunk: int, **options: Any) -> labelferry.Report:
    adapter = InChunks(images)
    InChunks.chunk = chunk
    options = {"task_name": "test", "task": "object-detection", "overwrite": True, **options}
    return labelferry.convert(adapter, folder, **options)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_what_nothing_decides_is_asked_about_before_anything_is_converted(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 6)
    write_image(tmp_path / "b.jpg", 6)
    write_image(tmp_path / "z.jpg", orientation)
    converted: list[int] = []

    def progress(done: int, total: int | None, unit: str) -> None:
        converted.append(done)

    undecided = Drawn(STORED, BOXES)
    mixed = {"a.jpg": Drawn(STORED, BOXES), "b.jpg": Drawn(UPRIGHT, upright_boxes(6)), "z.jpg": undecided}
    for images in ({"z.jpg": undecided}, mixed):
        with pytest.raises(AmbiguousError, match=r"z\.jpg is stored turned.*--orientation stored or --orientation up"):
            run_in_chunks(tmp_path, images, 1, progress=progress, on_error="skip")
    assert converted == []
    assert not (tmp_path / ".lightly/predictions/test").exists()


def test_decided_images_that_the_sample_misses_are_compared_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelferry.run.survey.SAMPLE", 1)
    for name, orientation in (("a.jpg", 6), ("m.jpg", 3), ("z.jpg", 6)):
        write_image(tmp_path / name, orientation)
    images = {
        "a.jpg": Drawn(UPRIGHT, upright_boxes(6)),
        "m.jpg": Drawn(STORED, BOXES),
        "z.jpg": Drawn(STORED, BOXES),
    }
    with pytest.raises(AmbiguousError, match=r"labels of 1 images are for the upright pictures, and those of 1 for"):
        run(tmp_path, images)
    del images["m.jpg"]
    run(tmp_path, images)
    assert boxes_in(tmp_path) == {"a.json": BOXES, "z.json": BOXES}


def test_a_size_that_is_not_the_exports_own_does_not_decide(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 6)
    write_image(tmp_path / "b.jpg", 1)
    with pytest.raises(AmbiguousError, match=r"a\.jpg is stored turned"):
        run(tmp_path, {"a.jpg": Drawn(None, BOXES), "b.jpg": Drawn(None, BOXES)})
    run(tmp_path, {"a.jpg": Drawn(None, upright_boxes(6)), "b.jpg": Drawn(None, BOXES)}, orientation="upright")
    assert boxes_in(tmp_path) == {"a.json": BOXES, "b.json": BOXES}
    run(tmp_path, {"a.jpg": Drawn(None, BOXES), "b.jpg": Drawn(None, BOXES)}, orientation="stored")
    assert boxes_in(tmp_path) == {"a.json": BOXES, "b.json": BOXES}


def test_a_format_may_have_a_rule_or_not_tell(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 3)
    report = run(tmp_path, {"a.jpg": Drawn(None, upright_boxes(3))}, "upright")
    assert boxes_in(tmp_path) == {"a.json": BOXES}
    assert codes(report.repairs) == {"orientation": 1}
    report = run(tmp_path, {"a.jpg": Drawn(STORED, BOXES)}, "stored")
    assert boxes_in(tmp_path) == {"a.json": BOXES}
    assert report.repairs == []
    with pytest.raises(AmbiguousError, match="the format does not tell"):
        run(tmp_path, {"a.jpg": Drawn(STORED, BOXES)}, "unknown")


def test_the_image_that_lightly_reads_is_looked_at_before_the_one_of_the_export(tmp_path: Path) -> None:
    own = write_image(tmp_path / "export/a.jpg", 1, UPRIGHT)  # turned upright when it was exported
    write_image(tmp_path / "data/a.jpg", 6)
    images = {"a.jpg": Drawn(UPRIGHT, upright_boxes(6), str(own))}
    run(tmp_path / "out", images, input=tmp_path / "data")
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES}
    run(tmp_path / "out", images)
    assert boxes_in(tmp_path / "out") == {"a.json": upright_boxes(6)}
    own = write_image(tmp_path / "export/a.jpg", 6)
    run(tmp_path / "out", {"a.jpg": Drawn(UPRIGHT, upright_boxes(6), str(own))})
    assert boxes_in(tmp_path / "out") == {"a.json": BOXES}


def test_images_that_are_not_found_are_counted_and_cannot_be_upright(tmp_path: Path) -> None:
    write_image(tmp_path / "data/a.jpg", 1)
    images = {name: Drawn(STORED, BOXES) for name in ("a.jpg", "b.jpg")}
    assert run(tmp_path / "out", images).unchecked_orientations == 2
    assert run(tmp_path / "out", images, input=tmp_path / "data").unchecked_orientations == 1
    assert run(tmp_path / "out", images, "stored").unchecked_orientations == 0
    for name in images:
        write_image(tmp_path / "data" / name, 1)
    assert run(tmp_path / "out", images, input=tmp_path / "data").unchecked_orientations == 0
    with pytest.raises(UsageError, match=r"the image a\.jpg is not found.*--input"):
        run(tmp_path / "out", images, orientation="upright")


def test_a_prefix_stands_before_the_names_that_are_looked_up(tmp_path: Path) -> None:
    write_image(tmp_path / "data/sub/a.jpg", 6)
    images = {"a.jpg": Drawn(UPRIGHT, upright_boxes(6))}
    run(tmp_path / "out", images, input=tmp_path / "data", image_prefix="sub")
    assert boxes_in(tmp_path / "out") == {"sub/a.json": BOXES}


def test_workers_turn_labels_too_and_the_result_is_the_same(tmp_path: Path) -> None:
    images = {}
    for i in range(24):
        orientation = 1 + i % 8
        name = f"{i:02}.jpg"
        write_image(tmp_path / "data" / name, orientation)
        images[name] = Drawn(shown_size(orientation), upright_boxes(orientation))
    reports = [
        run_in_chunks(tmp_path / f"out{workers}", images, 5, workers=workers, input=tmp_path / "data")
        for workers in (1, 2)
    ]
    assert boxes_in(tmp_path / "out1") == boxes_in(tmp_path / "out2")
    assert all(boxes == BOXES for boxes in boxes_in(tmp_path / "out1").values())
    assert reports[0].repairs == reports[1].repairs
    assert codes(reports[0].repairs) == {"orientation": 21}


@pytest.mark.parametrize("change", ["orientation", "size", "nothing"])
def test_an_interrupted_run_takes_over_what_was_made_for_the_same_pixels(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image(tmp_path / "data/a.jpg", 1)
    InChunks.chunk = 512
    adapter = InChunks({"a.jpg": Drawn(None, BOXES)})
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"task_name": "test", "task": "object-detection", "orientation": "upright"}
    options["input"] = tmp_path / "data"
    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(adapter, tmp_path / "out", progress=interrupt, **options)
    if change != "nothing":
        write_image(path, 3 if change == "orientation" else 1, STORED if change == "orientation" else (90, 90))
    report = labelferry.convert(adapter, tmp_path / "out", **options)
    assert report.resumed_images == (change == "nothing")


# Videos


def video_of(folder: Path, orientation: int, name: str = "clip.mp4") -> Path:
    return turn_video(write_picture_video(folder / name, drawn(BOXES[0])), orientation)


def frames_of(size: tuple[int, int] | None, boxes: list[Any]) -> dict[str, Drawn]:
    return {f"f{i}": Drawn(size, boxes, frame=VideoFrame("clip", i)) for i in range(2)}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_of_upright_frames_become_those_of_the_frames_as_stored(orientation: int, tmp_path: Path) -> None:
    video_of(tmp_path, orientation)
    labels = frames_of(shown_size(orientation), upright_boxes(orientation))
    report = run(tmp_path, labels, orientation="upright", videos=tmp_path)
    assert boxes_in(tmp_path) == {"clip-0-mp4.json": BOXES, "clip-1-mp4.json": BOXES, "clip-2-mp4.json": []}
    assert codes(report.repairs) == ({} if orientation == 1 else {"orientation": 1}), "one for the video"
    report = run(tmp_path, frames_of(STORED, BOXES), orientation="stored", videos=tmp_path)
    assert boxes_in(tmp_path)["clip-0-mp4.json"] == BOXES
    assert report.repairs == []


@pytest.mark.parametrize("orientation", [6, 8])
def test_the_size_that_the_export_gives_decides_quarter_turns_of_videos(orientation: int, tmp_path: Path) -> None:
    video_of(tmp_path, orientation)
    report = run(tmp_path, frames_of(UPRIGHT, upright_boxes(orientation)), videos=tmp_path)
    assert boxes_in(tmp_path)["clip-1-mp4.json"] == BOXES
    assert codes(report.repairs) == {"orientation": 1}
    assert report.repairs[0].examples[0][0] == "clip.mp4"
    report = run(tmp_path, frames_of(STORED, BOXES), videos=tmp_path)
    assert boxes_in(tmp_path)["clip-1-mp4.json"] == BOXES
    assert report.repairs == []
    with pytest.raises(AmbiguousError, match=r"the video clip\.mp4 is stored turned"):
        run(tmp_path, frames_of(None, BOXES), videos=tmp_path)
    with pytest.raises(labelferry.ConversionError) as raised:
        run(tmp_path, frames_of((32, 32), BOXES), videos=tmp_path)
    assert codes(raised.value.report.errors) == {"frame-size": 2}


def test_a_video_that_is_upside_down_follows_another_one_or_is_asked_about(tmp_path: Path) -> None:
    video_of(tmp_path, 3)
    labels = frames_of(STORED, upright_boxes(3))
    with pytest.raises(AmbiguousError, match=r"the video clip\.mp4 is stored turned"):
        run(tmp_path, labels, videos=tmp_path)
    video_of(tmp_path, 6, "other.mp4")
    labels["other"] = Drawn(UPRIGHT, upright_boxes(6), frame=VideoFrame("other", 1))
    report = run(tmp_path, labels, videos=tmp_path)
    made = boxes_in(tmp_path)
    assert made["clip-0-mp4.json"] == made["clip-1-mp4.json"] == made["other-1-mp4.json"] == BOXES
    assert codes(report.repairs) == {"orientation": 2}


@pytest.mark.parametrize("orientation", [2, 4, 5, 7])
def test_a_mirrored_video_is_asked_about_except_of_a_format_that_opencv_reads(orientation: int, tmp_path: Path) -> None:
    video = video_of(tmp_path, orientation)
    with pytest.raises(AmbiguousError, match="mirrored"):
        run(tmp_path, frames_of(shown_size(orientation), BOXES), videos=tmp_path)
    _, frame = cv2.VideoCapture(str(video)).read()
    seen = box_of(frame[..., 0])
    run(tmp_path, frames_of(frame.shape[1::-1], [seen]), "upright", videos=tmp_path)
    assert boxes_in(tmp_path)["clip-0-mp4.json"] == BOXES[:1]
    extracted = {f"clip_{i}.jpg": one for i, one in enumerate(frames_of(None, [seen]).values())}
    with pytest.raises(AmbiguousError, match="mirrored"):
        run(tmp_path, extracted, "upright", videos=tmp_path, frames="{video}_{frame}")


def test_frames_without_labels_and_classes_need_no_answer(tmp_path: Path) -> None:
    video_of(tmp_path, 3)
    video_of(tmp_path, 1, "other.mp4")
    labels = {"other": Drawn(STORED, BOXES, frame=VideoFrame("other", 0))}
    run(tmp_path, labels, videos=tmp_path)
    assert len(boxes_in(tmp_path)) == 6


def test_classification_does_not_look_at_pixels(tmp_path: Path) -> None:
    for name in ("red/a.jpg", "blue/b.jpg"):
        write_image(tmp_path / "pets" / name, 3)
    report = labelferry.convert(tmp_path / "pets", tmp_path / "out", format="imagefolder", input=tmp_path / "pets")
    assert report.images == 2
    assert report.unchecked_orientations == 0
    assert report.repairs == []


def test_an_image_without_objects_needs_no_answer(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 3)
    write_image(tmp_path / "b.jpg", 6)
    report = run(tmp_path, {"a.jpg": Drawn(STORED, []), "b.jpg": Drawn(None, [])}, allow_empty=True)
    assert boxes_in(tmp_path) == {"a.json": [], "b.json": []}
    assert report.repairs == []


def test_headers_of_images_that_are_far_away_are_read_several_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelferry.run.survey.SLOW", -1.0)
    images = {}
    for i in range(12):
        write_image(tmp_path / f"data/{i:02}.jpg", 1 + i % 8)
        images[f"{i:02}.jpg"] = Drawn(shown_size(1 + i % 8), upright_boxes(1 + i % 8))
    run_in_chunks(tmp_path / "out", images, 3, input=tmp_path / "data")
    assert all(boxes == BOXES for boxes in boxes_in(tmp_path / "out").values())
