"""Labels of upright pictures for the pixels as stored: Pillow and OpenCV turn the pictures, and are the judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from labelferry.columns import Batch
from labelferry.lightly.turning import turned_back
from labelferry.model import Annotations
from labelferry.run_lengths import RunLengthMask

STORED = (40, 24)
ORIENTATIONS = range(1, 9)
RECTANGLES = [(3, 2, 5, 4), (0, 0, 1, 1), (20, 10, 13, 9), (39, 23, 1, 1), (0, 20, 40, 2)]
"""x, y, width, height in pixels as stored."""


def upright_of(stored: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """The picture that Pillow shows of pixels as stored."""
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def drawn(rectangle: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
    x, y, width, height = rectangle
    pixels = np.zeros(STORED[::-1], np.uint8)
    pixels[y : y + height, x : x + width] = 255
    return pixels


def box_of(pixels: np.ndarray[Any, Any]) -> tuple[int, int, int, int]:
    y, x = np.nonzero(pixels)
    return int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1


def batch_of(annotations: Annotations) -> Batch:
    (batch,) = Batch.of(["a.jpg"], [annotations])
    return batch


def turn(annotations: Annotations, orientation: int) -> Annotations:
    """The labels of one image, turned back together with those of others that have other orientations."""
    alone = turned_back(batch_of(annotations), np.array([orientation])).annotations(0)
    (batch,) = Batch.of(list("abc"), [annotations, annotations, annotations])
    among = turned_back(batch, np.array([1, orientation, 6]))
    assert repr(among.annotations(1)) == repr(alone)
    assert repr(among.annotations(0)) == repr(batch.annotations(0))
    return alone


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_boxes_keypoints_and_masks_of_the_picture_that_pillow_shows_become_those_of_the_stored_pixels(
    orientation: int,
) -> None:
    pictures = [upright_of(drawn(rectangle), orientation) for rectangle in RECTANGLES]
    boxes = np.array([box_of(picture) for picture in pictures], float)
    centres = [np.array([[x + w / 2, y + h / 2, 0.5], [0, 0, 0]]) for x, y, w, h in boxes.tolist()]
    height, width = pictures[0].shape
    labels = Annotations(
        np.arange(len(boxes)),
        (width, height),
        boxes,
        masks=[RunLengthMask.from_array(picture) for picture in pictures],
        keypoints=centres,
    )
    turned = turn(labels, orientation)
    assert turned.size == STORED
    assert turned.boxes is not None
    assert turned.boxes.tolist() == [list(rectangle) for rectangle in RECTANGLES]
    assert list(turned.masks or ()) == [RunLengthMask.from_array(drawn(rectangle)) for rectangle in RECTANGLES]
    assert [points.tolist() for points in turned.keypoints or ()] == [
        [[x + w / 2, y + h / 2, 0.5], [0, 0, 0]] for x, y, w, h in RECTANGLES
    ]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_boxes_of_the_picture_that_opencv_reads_become_those_of_the_stored_pixels(
    orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = drawn((8, 0, 16, 8))
    for name in ("a.jpg", "a.png"):
        Image.fromarray(stored).save(tmp_path / name, exif=exif)
        picture = cv2.imread(str(tmp_path / name), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        height, width = picture.shape
        labels = Annotations(np.array([0]), (width, height), np.array([box_of(picture > 127)], float))
        turned = turn(labels, orientation)
        assert turned.size == STORED
        assert turned.boxes is not None
        assert turned.boxes.tolist() == [[8, 0, 16, 8]]


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(st.lists(SHAPES.flatmap(lambda shape: arrays(np.bool_, shape)), min_size=1, max_size=5), st.data())
def test_masks_of_any_shape_are_what_pillow_makes_of_their_pixels(
    masks: list[np.ndarray[Any, Any]], data: st.DataObject
) -> None:
    orientations = [data.draw(st.integers(1, 8)) for _ in masks]
    images = [
        Annotations(np.array([0, 1]), mask.shape[::-1], masks=[RunLengthMask.from_array(m) for m in (mask, ~mask)])
        for mask in masks
    ]
    (batch,) = Batch.of([str(i) for i in range(len(masks))], images)
    turned = turned_back(batch, np.array(orientations))
    for b, (mask, orientation) in enumerate(zip(masks, orientations, strict=True)):
        for made, picture in zip(turned.annotations(b).masks or (), (mask, ~mask), strict=True):
            RunLengthMask.from_counts(made.counts, made.height, made.width)
            assert np.array_equal(upright_of(made.to_array().astype(np.uint8), orientation), picture)
            assert not np.any(made.counts[1:] == 0)


def test_what_is_not_finite_stays_so() -> None:
    boxes = np.array([[np.nan, 1, 2, 3], [1, np.inf, 2, 3], [1e308, 1, 1e308, 3]])
    turned = turn(Annotations(np.zeros(3, np.int64), (24, 40), boxes), 7)
    assert turned.boxes is not None
    assert (~np.isfinite(turned.boxes)).any(axis=1).tolist() == [True] * 3


def test_a_mask_that_gets_too_many_runs_is_an_error_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelferry.masks.coco.MAX_RUNS", 6)
    rows = np.zeros((20, 20), bool)
    rows[5] = True  # one run, which becomes twenty
    masks = [RunLengthMask.from_array(np.ones((20, 20))), RunLengthMask.from_array(rows)]
    labels = Annotations(np.array([4, 5]), (20, 20), np.ones((2, 4)), masks=masks, locate=lambda i: f"line {i}")
    turned = turned_back(batch_of(labels), np.array([5]))
    assert turned.category_ids.tolist() == [4]
    assert [(one.kind, one.code, one.where, one.lost) for one in turned.findings] == [
        ("error", "mask-too-complex", "line 1", 1)
    ]
