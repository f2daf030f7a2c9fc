"""The lines of a label file as annotations in pixels: boxes, polygons, oriented boxes and poses."""

from __future__ import annotations

import math

import numpy as np

from labelferry.converters.yolo.columns import Columns, Objects
from labelferry.converters.yolo.lines import Row
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations
from labelferry.run_lengths import Floats


def boxes_of(objects: Objects, size: tuple[int, int]) -> Annotations:
    """Boxes, and the upright boxes around polygons and oriented boxes.

    Args:
        objects: of a label file.
        size: (width, height) of the image in pixels.
    """
    rows = [row if len(row) == 5 else _around(row) for row in objects.lines.rows]
    boxes = np.array([row[1:] for row in rows], np.float64).reshape(-1, 4)
    return Annotations(
        np.array([int(row[0]) for row in rows], np.int64),
        size,
        in_pixels(boxes, np.array([size], np.float64)),
        None if objects.confidences is None else np.array(objects.confidences, np.float64),
        findings=objects.lines.findings,
        locate=objects.lines.locate,
        evidence=objects.evidence,
    )


def polygons_of(objects: Objects, size: tuple[int, int]) -> Annotations:
    """Polygons and the boxes around them; a line of a box has no mask."""
    annotations = boxes_of(objects, size)
    lines = objects.lines
    width, height = size
    segmentations = []
    for row in lines.rows:
        points = row[1:] if len(row) > 5 else []
        points[::2] = [x * width for x in points[::2]]
        points[1::2] = [y * height for y in points[1::2]]
        segmentations.append([points] if points else [])
    found = masks_of_image(segmentations, size, lines.locate)
    text = "a line of a box among polygons has no mask; left out (with --task object-detection it is kept)"
    missing = [Finding.repair("segmentation-missing", lines.locate(i), text, lost=1) for i in found.missing]
    annotations = annotations.take(found.rows.tolist())
    annotations.findings = [*lines.findings, *found.findings, *missing]
    annotations.masks = found.masks
    return annotations


def poses_of(objects: Objects, size: tuple[int, int], columns: Columns, only_boxes: bool) -> Annotations:
    """Poses: visibility 0, 1, 2 becomes 0, 0.5, 1; confidences of keypoints stay as they are.

    Args:
        objects: of a label file.
        size: (width, height) of the image in pixels.
        columns: of the export.
        only_boxes: leave the keypoints out.
    """
    rows = objects.lines.rows
    boxes = objects.lines._replace(rows=[row[:5] for row in rows])
    poses = boxes_of(objects._replace(lines=boxes), size)
    if only_boxes:
        return poses
    assert columns.keypoint_shape is not None
    count, dimensions = columns.keypoint_shape
    points = np.ones((len(rows), count, 3))
    points[:, :, :dimensions] = np.array([row[5:] for row in rows]).reshape(len(rows), count, dimensions)
    if dimensions == 2:
        # a point left of or above the image is not visible, any other is: as `verify_image_label` of Ultralytics has it
        # https://github.com/ultralytics/ultralytics/blob/main/ultralytics/data/utils.py
        points[:, :, 2] = ~(points[:, :, :2] < 0).any(axis=2)
        for i in np.flatnonzero((points[:, :, :2] == 0).all(axis=2).any(axis=1)).tolist():
            text = "a keypoint at (0, 0) is visible, as Ultralytics takes it; one that is not visible is negative"
            poses.findings.append(Finding.warning("keypoint-at-corner", objects.lines.locate(i), text))
    elif columns.visibility:
        points[:, :, 2] /= 2
    points[:, :, :2] *= size
    poses.keypoints = list(points)
    return poses


def in_pixels(boxes: Floats, sizes: Floats) -> Floats:
    """Boxes as x, y, width, height in pixels.

    Args:
        boxes: (N, 4) centre x and y, width, height, relative to the image's size.
        sizes: (N, 2) width and height of their images in pixels; or (1, 2), of one image.
    """
    centres, extents = boxes[:, :2], boxes[:, 2:]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is an error of the box
        return np.concatenate(((centres - extents / 2) * sizes, extents * sizes), axis=1)


def _around(row: Row) -> Row:
    """The upright box around a row's points, as a row of a box; NaN if a coordinate is not finite."""
    if not math.isfinite(sum(row)):
        return [row[0], *[math.nan] * 4]
    left, top, right, bottom = min(row[1::2]), min(row[2::2]), max(row[1::2]), max(row[2::2])
    return [row[0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
