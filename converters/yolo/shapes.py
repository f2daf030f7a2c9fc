"""Lines of numbers as annotations: boxes, polygons, oriented boxes and poses in pixels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from labelferry.converters.yolo.lines import Row
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations
from labelferry.task_type import TaskType


def _locate(path: str, lines: list[int], index: int) -> str:
    return f"{path}:{lines[index]}"


def around(row: Row) -> Row:
    """The upright box around a row's points, as a row of a box."""
    if len(row) < 7:
        return row
    points = row[1:] if len(row) % 2 else row[1:-1]
    left, top, right, bottom = min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    confidence = [] if len(row) % 2 else row[-1:]
    return [row[0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, *confidence]


def _scores(rows: list[Row], places: list[bool]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The last number of each row that has a confidence; a row without one, among others, is a label: 1."""
    if not any(places):
        return None
    return np.array([row[-1] if has else 1.0 for row, has in zip(rows, places, strict=True)])


def boxes_of(
    rows: list[Row], lines: list[int], findings: list[Finding], path: str, size: tuple[int, int]
) -> Annotations:
    width, height = size
    return Annotations(
        np.array([int(row[0]) for row in rows]),
        size,
        np.array([((r[1] - r[3] / 2) * width, (r[2] - r[4] / 2) * height, r[3] * width, r[4] * height) for r in rows]),
        _scores(rows, [len(row) == 6 for row in rows]),
        findings=findings,
        locate=partial(_locate, path, lines),
    )


def polygons_of(
    rows: list[Row], lines: list[int], findings: list[Finding], path: str, size: tuple[int, int], task: TaskType
) -> Annotations:
    """Polygons and the boxes around them; a line of a box has no mask."""
    annotations = boxes_of([around(row) for row in rows], lines, findings, path, size)
    if task is TaskType.OBJECT_DETECTION:
        return annotations
    width, height = size
    segmentations = []
    for row in rows:
        points = (row[1:] if len(row) % 2 else row[1:-1]) if len(row) >= 7 else []
        points[::2] = [x * width for x in points[::2]]
        points[1::2] = [y * height for y in points[1::2]]
        segmentations.append([points] if points else [])
    found = masks_of_image(segmentations, size, partial(_locate, path, lines))
    findings += found.findings
    text = "a line of a box among polygons has no mask; left out (with --task object-detection it is kept)"
    findings += [Finding.repair("segmentation-missing", f"{path}:{lines[i]}", text, lost=1) for i in found.missing]
    annotations = annotations.take(found.rows.tolist())
    annotations.masks = found.masks
    return annotations


def poses_of(
    rows: list[Row],
    lines: list[int],
    findings: list[Finding],
    path: str,
    size: tuple[int, int],
    shape: tuple[int, int],
    task: TaskType,
) -> Annotations:
    """Poses: visibility 0, 1, 2 becomes 0, 0.5, 1; confidences of predictions stay as they are."""
    count, dimensions = shape
    columns = 5 + count * dimensions
    wrong = [i for i, row in enumerate(rows) if len(row) - columns not in (0, 1)]
    for i in wrong:
        text = f"{len(rows[i])} numbers; kpt_shape {list(shape)} makes {columns}, or one more with a confidence"
        findings.append(Finding.error("broken-line", f"{path}:{lines[i]}", text))
    if wrong:
        lines = [line for i, line in enumerate(lines) if i not in wrong]
        rows = [row for i, row in enumerate(rows) if i not in wrong]
    boxes = boxes_of([row[:5] for row in rows], lines, findings, path, size)
    if not rows:
        return Annotations.empty(size, findings)
    boxes.scores = _scores(rows, [len(row) > columns for row in rows])
    if task is TaskType.OBJECT_DETECTION:
        return boxes
    points = np.ones((len(rows), count, 3))
    points[:, :, :dimensions] = np.array([row[5:columns] for row in rows]).reshape(len(rows), count, dimensions)
    if dimensions == 2:
        points[:, :, 2] = (points[:, :, :2] > 0).any(axis=2)  # Ultralytics takes (0, 0) for not labelled
    elif boxes.scores is None and np.isin(points[:, :, 2], (0, 1, 2)).all():
        points[:, :, 2] /= 2
    points[:, :, :2] *= size
    boxes.keypoints = list(points)
    return boxes
