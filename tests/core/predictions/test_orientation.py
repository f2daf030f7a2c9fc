"""open_task: predictions for upright pictures of images and videos that are stored turned."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

import labelferry
from labelferry import Annotations, RunLengthMask
from labelferry.errors import AmbiguousError, ExportError, UsageError
from tests.lightly_models import read_valid_task
from tests.pictures import BOXES, STORED, box_of, drawn, turn_video, upright_of, write_image, write_picture_video

ALL = range(1, 9)
UPRIGHT = STORED[::-1]


def shown(orientation: int) -> Any:
    return upright_of(drawn(BOXES[0]), orientation)


def results(picture: Any, path: str) -> Any:
    """Ultralytics' results of a picture, which they call by this path."""
    x, y, w, h = box_of(picture)
    boxes = SimpleNamespace(xyxy=np.array([[x, y, x + w, y + h]]), conf=np.ones(1), cls=np.zeros(1))
    return SimpleNamespace(orig_shape=picture.shape[:2], boxes=boxes, names={0: "white"}, path=path, probs=None)


def open_task(folder: Path, task: str = "object-detection", **options: Any) -> labelferry.TaskWriter:
    return labelferry.open_task(folder, "t", task, ["white"], overwrite=True, **options)


def boxes_in(folder: Path) -> dict[str, list[Any]]:
    found = read_valid_task(folder, "t")[1]
    return {name: [tuple(one["bbox"]) for one in labels] for name, labels in found.items()}


def codes(writer: labelferry.TaskWriter) -> dict[str, int]:
    assert writer.report is not None
    return {finding.code: finding.count for finding in writer.report.repairs}


@pytest.mark.parametrize("orientation", ALL)
def test_predictions_on_what_opencv_reads_become_those_of_the_stored_pixels(orientation: int, tmp_path: Path) -> None:
    path = write_image(tmp_path / "sub/a.jpg", orientation)
    image: Any = cv2.imread(str(path))
    picture = shown(orientation)
    assert image.shape[:2] == picture.shape
    option = "auto" if orientation in (1, 5, 6, 7, 8) else "upright"
    with open_task(tmp_path, orientation=option) as task:
        task.write("sub/a.jpg", results(picture, str(path)))
    assert boxes_in(tmp_path) == {"sub/a.jpg": BOXES[:1]}
    assert codes(task) == ({} if orientation == 1 else {"orientation": 1})
    with open_task(tmp_path, "instance-segmentation", orientation=option) as task:
        task.write("sub/a.jpg", masks=picture[None] > 127, category_ids=[0])
    assert read_valid_task(tmp_path, "t")[1]["sub/a.jpg"][0]["segmentation"] == labelferry.encode(drawn(BOXES[0]))
    with open_task(tmp_path, "semantic-segmentation", orientation=option) as task:
        task.write("sub/a.jpg", class_scores=np.where(picture > 127, 1.0, 0.5)[None])
    assert codes(task) == ({} if orientation == 1 else {"orientation": 1})
    given = Annotations(np.array([0]), picture.shape[::-1], np.array([box_of(picture)], float))
    with open_task(tmp_path, orientation=option) as task:
        task.write("sub/a.jpg", given)
    assert boxes_in(tmp_path) == {"sub/a.jpg": BOXES[:1]}


@pytest.mark.parametrize("orientation", ALL)
def test_predictions_of_the_stored_pixels_stay(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    with open_task(tmp_path, orientation="stored") as task:
        task.write("a.jpg", xywh=[BOXES[0]])
    assert boxes_in(tmp_path) == {"a.jpg": BOXES[:1]}
    assert codes(task) == {}
    if orientation in (5, 6, 7, 8):
        with open_task(tmp_path) as task:
            task.write("a.jpg", xywh=[BOXES[0]], size=STORED)
        assert boxes_in(tmp_path) == {"a.jpg": BOXES[:1]}


@pytest.mark.parametrize("orientation", ALL[1:])
def test_what_nothing_decides_is_asked_about(orientation: int, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", orientation)
    decides = {"size": shown(orientation).shape[::-1]} if orientation < 5 else {}
    with (
        pytest.raises(AmbiguousError, match=r"a\.jpg is stored turned.*--orientation stored or --orientation upright"),
        open_task(tmp_path, on_error="skip") as task,
    ):
        task.write("a.jpg", xywh=[BOXES[0]], **decides)
    with open_task(tmp_path, orientation="upright") as task:
        task.write("a.jpg", xywh=[box_of(shown(orientation))])
    assert boxes_in(tmp_path) == {"a.jpg": BOXES[:1]}


def test_a_size_that_is_not_the_images_is_an_error(tmp_path: Path) -> None:
    for orientation in (1, 6):
        write_image(tmp_path / "a.jpg", orientation)
        with pytest.raises(ExportError) as raised, open_task(tmp_path) as task:
            task.write("a.jpg", xywh=[(1, 2, 3, 4)], size=(30, 30))
        assert raised.value.code == "image-size"
    with pytest.raises(AmbiguousError, match="reaches beyond"), open_task(tmp_path) as task:
        task.write("a.jpg", xywh=[(5, 50, 10, 12)], size=STORED)


def test_images_are_looked_for_in_the_input_or_where_ultralytics_read_them(tmp_path: Path) -> None:
    path = write_image(tmp_path / "data/a.jpg", 6)
    upright = results(shown(6), str(path))
    for options in ({"input": tmp_path / "data"}, {}):
        with open_task(tmp_path / "out", **options) as task:
            task.write("a.jpg", [upright])
        assert boxes_in(tmp_path / "out") == {"a.jpg": BOXES[:1]}
        assert task.report is not None
        assert task.report.unchecked_orientations == 0
    with open_task(tmp_path / "out") as task:
        task.write("a.jpg", xywh=[BOXES[0]], size=STORED)
        task.write("b.jpg", xywh=[BOXES[0]], size=STORED)
    assert task.report is not None
    assert task.report.unchecked_orientations == 2
    with open_task(tmp_path / "out", "classification") as task:
        task.write("a.jpg", category_ids=[0])
    assert task.report is not None
    assert task.report.unchecked_orientations == 0
    for wrong in ({"orientation": "up"}, {"input": tmp_path / "nowhere"}):
        with pytest.raises(UsageError):
            open_task(tmp_path, **wrong)


def test_the_size_is_the_images_where_none_is_given(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 1)
    with open_task(tmp_path) as task:
        task.write("a.jpg", xywh=[(60, 40, 10, 10)])
    assert boxes_in(tmp_path) == {"a.jpg": [(60, 40, 4, 8)]}
    assert codes(task) == {"box-clipped": 1}


# Videos


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_picture_video(tmp_path / "clip.mp4", drawn(BOXES[0]))


def first_box(folder: Path) -> Any:
    (box,) = boxes_in(folder)["clip-0-mp4.png"]
    return box


@pytest.mark.parametrize("orientation", ALL)
def test_ultralytics_results_of_a_videos_path_are_of_the_frames_that_opencv_gives(
    orientation: int, video: Path, tmp_path: Path
) -> None:
    turn_video(video, orientation)
    _, frame = cv2.VideoCapture(str(video)).read()
    with open_task(tmp_path) as task, task.video(video) as clip:
        for index in range(clip.frame_count):
            clip.write(index, results(frame[..., 0], str(video)))
    assert boxes_in(tmp_path) == {f"clip-{i}-mp4.png": BOXES[:1] for i in range(3)}
    assert codes(task) == ({} if orientation in (1, 4) else {"orientation": 1}), "one for the video"


@pytest.mark.parametrize("orientation", ALL)
def test_predictions_of_the_frames_that_labelferry_gives_are_for_the_pixels_as_stored(
    orientation: int, video: Path, tmp_path: Path
) -> None:
    turn_video(video, orientation)
    with open_task(tmp_path) as task, task.video(video) as clip:
        for index, frame in clip.frames():
            picture = frame.to_ndarray(format="gray")
            if index == 0:
                clip.write(index, results(picture, "image0.jpg"))
            else:
                clip.write(index, xywh=[box_of(picture)])
    assert boxes_in(tmp_path) == {f"clip-{i}-mp4.png": BOXES[:1] for i in range(3)}
    assert codes(task) == {}


@pytest.mark.parametrize("orientation", ALL[1:])
def test_predictions_of_frames_from_elsewhere_are_decided_by_their_size_or_asked_about(
    orientation: int, video: Path, tmp_path: Path
) -> None:
    turn_video(video, orientation)
    picture = shown(orientation)
    is_decided = orientation in (6, 8)
    if is_decided:
        with open_task(tmp_path) as task, task.video(video) as clip:
            clip.write(0, results(picture, "image0.jpg"))
        assert first_box(tmp_path) == BOXES[0]
        mask = RunLengthMask.from_array(picture > 127)
        with open_task(tmp_path) as task, task.video(video) as clip:
            clip.write(0, masks=[mask], category_ids=[0])
        assert first_box(tmp_path) == BOXES[0]
        assert codes(task) == {"orientation": 1}
    for given in ({"xywh": [BOXES[0]]}, {} if is_decided else {"predictions": results(picture, "image0.jpg")}):
        if given:
            with (
                pytest.raises(AmbiguousError, match=r"the video clip\.mp4 is stored turned"),
                open_task(tmp_path, on_error="skip") as task,
                task.video(video) as clip,
            ):
                clip.write(0, **given)
    with open_task(tmp_path, orientation="upright") as task, task.video(video) as clip:
        clip.write(0, xywh=[box_of(picture)])
    assert first_box(tmp_path) == BOXES[0]
    with open_task(tmp_path, orientation="stored") as task, task.video(video) as clip:
        clip.write(0, xywh=[BOXES[0]])
    assert first_box(tmp_path) == BOXES[0]


def test_frames_of_pyav_are_stored_pixels(video: Path) -> None:
    for orientation in ALL:
        turn_video(video, orientation)
        with av.open(str(video)) as container:
            assert box_of(next(container.decode(video=0)).to_ndarray(format="gray")) == BOXES[0]


def test_pictures_without_predictions_need_no_answer(video: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 3)
    write_image(tmp_path / "b.jpg", 6)
    turn_video(video, 3)
    with open_task(tmp_path) as task, task.video(video) as clip:
        task.write("a.jpg")
        task.write("b.jpg", xyxy=np.zeros((0, 4)))
        clip.write(0, xyxy=np.zeros((0, 4)))
    assert set(map(len, boxes_in(tmp_path).values())) == {0}
