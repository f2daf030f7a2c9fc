"""Lines of numbers as annotations in pixels: boxes, polygons, oriented boxes and poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelferry.converters.yolo.lines import Lines, Row
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations
from labelferry.run_lengths import Floats


def boxes_of(lines: Lines, size: tuple[int, int]) -> Annotations:
    """Boxes, and the upright boxes around polygons and oriented boxes.

    Args:
        lines: of a label file.
        size: (width, height) of the image in pixels.
    """
    width, height = size
    rows = [_around(row) if len(row) > 6 else row for row in lines.rows]
    boxes = [((r[1] - r[3] / 2) * width, (r[2] - r[4] / 2) * height, r[3] * width, r[4] * height) for r in rows]
    return Annotations(
        np.array([int(row[0]) for row in rows], np.int64),
        size,
        np.array(boxes, np.float64).reshape(-1, 4),
        _scores(rows, [len(row) == 6 for row in rows]),
        findings=lines.findings,
        locate=lines.locate,
    )


def polygons_of(lines: Lines, size: tuple[int, int]) -> Annotations:
    """Polygons and the boxes around them; a line of a box has no mask."""
    annotations = boxes_of(lines, size)
    width, height = size
    segmentations = []
    for row in lines.rows:
        points = (row[1:] if len(row) % 2 else row[1:-1]) if len(row) >= 7 else []
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


def poses_of(lines: Lines, size: tuple[int, int], shape: tuple[int, int], only_boxes: bool) -> Annotations:
    """Poses: visibility 0, 1, 2 becomes 0, 0.5, 1; confidences of predictions stay as they are.

    Args:
        lines: of a label file.
        size: (width, height) of the image in pixels.
        shape: number of keypoints, and whether 2 or 3 numbers each.
        only_boxes: leave the keypoints out.
    """
    count, dimensions = shape
    columns = 5 + count * dimensions
    findings = list(lines.findings)
    kept = []
    for i, row in enumerate(lines.rows):
        if len(row) - columns in (0, 1):
            kept.append(i)
            continue
        text = f"{len(row)} numbers; kpt_shape {list(shape)} makes {columns}, or one more with a confidence"
        findings.append(Finding.error("broken-line", lines.locate(i), text, lost=1))
    rows = [lines.rows[i] for i in kept]
    boxes = [row[:5] + row[columns:] for row in rows]
    poses = boxes_of(Lines(lines.path, boxes, [lines.places[i] for i in kept], findings), size)
    if only_boxes:
        return poses
    points = np.ones((len(rows), count, 3))
    points[:, :, :dimensions] = np.array([row[5:columns] for row in rows]).reshape(len(rows), count, dimensions)
    if dimensions == 2:
        points[:, :, 2] = (points[:, :, :2] > 0).any(axis=2)  # Ultralytics takes (0, 0) for not labelled
    elif poses.scores is None and np.isin(points[:, :, 2], (0, 1, 2)).all():
        points[:, :, 2] /= 2
    points[:, :, :2] *= size
    poses.keypoints = list(points)
    return poses


def in_pixels(boxes: Floats, sizes: Floats) -> Floats:
    """Boxes as x, y, width, height in pixels.

    Args:
        boxes: (N, 4) centre x and y, width, height, relative to the image's size.
        sizes: (N, 2) width and height of their images in pixels.
    """
    centres, extents = boxes[:, :2], boxes[:, 2:]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is an error of the box
        return np.concatenate(((centres - extents / 2) * sizes, extents * sizes), axis=1)


def _around(row: Row) -> Row:
    """The upright box around a row's points, as a row of a box."""
    points = row[1:] if len(row) % 2 else row[1:-1]
    left, top, right, bottom = min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    confidence = [] if len(row) % 2 else row[-1:]
    return [row[0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, *confidence]


def _scores(rows: list[Row], places: list[bool]) -> NDArray[np.float64] | None:
    """The last number of each row that has a confidence; a row without one, among others, is a label: 1."""
    if not any(places):
        return None
    return np.array([row[-1] if has else 1.0 for row, has in zip(rows, places, strict=True)])
