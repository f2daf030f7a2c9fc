"""What Lightly demands of one image's annotations, and how each violation is repaired or refused, each with a code.

The rules are those of Lightly's prediction format; docs/repairs.md lists every code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.lightly.categories import CategoryPlan
from labelferry.lightly.tasks import union_by_category
from labelferry.model import Annotations
from labelferry.task_type import TaskType

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

EDGE_TOLERANCE = 0.01
"""Pixels over the edge that are rounding, as of YOLO's six digits. Lightly demands only x, y >= 0: so little over the
right or lower edge stays as it is, and over the left or upper edge it is a repair that is counted apart."""

SUM_TOLERANCE = 1e-6
"""How far probabilities may be from summing to 1 and count as doing so."""

ROUNDING = 1e-2
"""How far probabilities may be from summing to 1 and still be rounded, not wrong."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the annotations are to become.

    Attributes:
        task: the task type wanted.
        plan: the schema's categories.
        score: the score of objects that have none.
        has_sizes: whether the sizes of images are known.
    """

    task: TaskType
    plan: CategoryPlan
    score: float = 1.0
    has_sizes: bool = True


def conform(annotations: Annotations, target: Target) -> Annotations | None:
    """One image's annotations as Lightly takes them, in the schema's category ids and the task's columns only.

    Everything repaired, refused or left out is added to the findings. Pure: the same in gives the same out.

    Returns:
        The annotations, or None for an image that must have no file (classification without a class).

    Raises:
        ExportError: nothing of this image can be used.
    """
    task = target.task
    annotations = _with_known_categories(annotations, target.plan)
    if task is TaskType.CLASSIFICATION:
        return _conform_classification(annotations, target)
    size = _checked_size(annotations) if target.has_sizes or annotations.size is not None else None
    if task is TaskType.SEMANTIC_SEGMENTATION or task is TaskType.INSTANCE_SEGMENTATION:
        annotations = _conform_masks(annotations, size)
    if task is TaskType.KEYPOINT_DETECTION:
        annotations = _conform_keypoints(annotations, target.plan)
    if task is TaskType.SEMANTIC_SEGMENTATION:
        annotations = union_by_category(annotations)
    else:
        annotations = _conform_boxes(annotations, size, needed=task is not TaskType.KEYPOINT_DETECTION)
    annotations = _conform_scores(annotations, target.score)
    annotations = _conform_probabilities(annotations, target.plan)
    has_masks = task in (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
    annotations.masks = annotations.masks or () if has_masks else None
    annotations.boxes = annotations.boxes if task is not TaskType.SEMANTIC_SEGMENTATION else None
    annotations.keypoints = annotations.keypoints or () if task is TaskType.KEYPOINT_DETECTION else None
    return annotations


def _report(annotations: Annotations, kind: str, code: str, which: Bools, message: str | Callable[[int], str]) -> None:
    """One finding for all of the image's objects that it is true of, told of the first."""
    first = int(which.argmax())
    text = message if isinstance(message, str) else message(first)
    where = annotations.locate(first) if annotations.locate else f"object {first + 1}"
    annotations.findings.append(Finding(kind, code, where, text, int(which.sum())))  # type: ignore[arg-type]


def _without(annotations: Annotations, bad: Bools) -> Annotations:
    return annotations.take(np.flatnonzero(~bad).tolist())


def _with_known_categories(annotations: Annotations, plan: CategoryPlan) -> Annotations:
    source_ids = annotations.category_ids.tolist()
    ids = [plan.ids.get(category_id, -1) for category_id in source_ids]
    if -1 in ids:
        dropped = np.array([category_id in plan.dropped for category_id in source_ids])
        missing = np.array(ids) == -1
        if (unknown := missing & ~dropped).any():
            known = ", ".join(str(i) for i in list(plan.ids)[:10]) + (", ..." if len(plan.ids) > 10 else "")
            _report(
                annotations,
                "error",
                "unknown-category",
                unknown,
                lambda i: f"category id {source_ids[i]} is not one of the export's categories ({known})",
            )
        if dropped.any():
            _report(
                annotations,
                "note",
                "class-left-out",
                dropped,
                lambda i: f"class {plan.dropped[source_ids[i]]!r} is not among --classes",
            )
        annotations = _without(annotations, missing)
        ids = [category_id for category_id in ids if category_id != -1]
    return Annotations(
        np.array(ids, np.int64),
        annotations.size,
        annotations.boxes,
        annotations.scores,
        annotations.probabilities,
        annotations.masks,
        annotations.keypoints,
        annotations.findings,
        annotations.locate,
    )


def _checked_size(annotations: Annotations) -> tuple[int, int]:
    if annotations.size is None:
        raise ExportError(
            "the image's width and height are not known: the export does not give them", code="image-size"
        )
    width, height = annotations.size
    if width < 1 or height < 1:
        raise ExportError(f"the image is said to have {width} x {height} pixels", code="image-size")
    return width, height


def _conform_boxes(annotations: Annotations, size: tuple[int, int] | None, needed: bool) -> Annotations:
    """x, y >= 0, width, height >= 1, within the image."""
    if annotations.boxes is None:
        if not needed or not len(annotations):
            return annotations
        annotations.boxes = _boxes_of_shapes(annotations)
    width, height = size or (math.inf, math.inf)
    boxes = annotations.boxes
    if _are_sound(boxes, width, height):
        return annotations
    x, y, w, h = boxes.T
    with np.errstate(invalid="ignore", over="ignore"):
        right, bottom = x + w, y + h

    def box(i: int) -> str:
        return "[" + ", ".join(f"{value:.10g}" for value in boxes[i]) + "]"

    broken = ~np.isfinite(boxes).all(axis=1)
    negative = ~broken & ((w < 0) | (h < 0))
    outside = (x >= width) | (y >= height) | ((x < 0) & (right <= 0)) | ((y < 0) & (bottom <= 0))
    outside &= ~broken & ~negative
    refused: list[tuple[str, str, Any, str]] = [
        ("error", "box-not-finite", broken, "holds a number that is not finite"),
        ("error", "box-negative-size", negative, "has a negative width or height"),
        ("repair", "box-outside", outside, f"lies outside the {width} x {height} image; dropped"),
    ]
    for kind, code, which, fault in refused:
        if which.any():
            _report(annotations, kind, code, which, f"the box {box(int(which.argmax()))} {fault}")
    bad = broken | negative | outside
    left, top = np.maximum(x, 0), np.maximum(y, 0)
    over = np.stack((-x, -y, right - width, bottom - height))
    clipped = ~bad & (over > EDGE_TOLERANCE).any(axis=0)
    rounded = ~bad & ~clipped & ((x < 0) | (y < 0))
    if rounded.any():
        text = f"begins outside the image by rounding, at most {EDGE_TOLERANCE} px; clipped"
        _report(annotations, "repair", "box-rounded", rounded, lambda i: f"the box {box(i)} {text}")
    if clipped.any():
        most = float(over[:, clipped].max())
        text = f"reaches over the edge of the {width} x {height} image by up to {most:.3g} px; clipped"
        _report(annotations, "repair", "box-clipped", clipped, lambda i: f"the box {box(i)} {text}")
    touched = clipped | rounded
    w = np.where(touched & ((x < 0) | (right > width)), np.minimum(right, width) - left, w)
    h = np.where(touched & ((y < 0) | (bottom > height)), np.minimum(bottom, height) - top, h)
    thin, flat = ~bad & (w < 1), ~bad & (h < 1)
    if (thin | flat).any():
        _report(
            annotations,
            "repair",
            "box-grown",
            thin | flat,
            lambda i: f"the box {box(i)} is under a pixel wide or high; grown to one pixel",
        )
        left = np.where(thin, np.clip(left + w / 2 - 0.5, 0, width - 1), left)
        top = np.where(flat, np.clip(top + h / 2 - 0.5, 0, height - 1), top)
        w, h = np.maximum(w, 1), np.maximum(h, 1)
    annotations.boxes = np.stack((left, top, w, h), axis=1)
    return _without(annotations, bad) if bad.any() else annotations


def _are_sound(boxes: Floats, width: float, height: float) -> bool:
    """Whether no box needs repair. A loop: images have few boxes, and a numpy call takes as long as ten rounds."""
    right, bottom = width + EDGE_TOLERANCE, height + EDGE_TOLERANCE
    for x, y, w, h in boxes.tolist():
        if not (x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= right and y + h <= bottom):  # so with NaN
            return False
    return True


def _boxes_of_shapes(annotations: Annotations) -> Floats:
    """The tight boxes of the masks, or of the keypoints (non-visible ones included, as Lightly infers them)."""
    if annotations.masks is not None:
        return np.array([mask.box for mask in annotations.masks], np.float64).reshape(-1, 4)
    if annotations.keypoints is not None:
        low = np.array([k[:, :2].min(axis=0) for k in annotations.keypoints])
        high = np.array([k[:, :2].max(axis=0) for k in annotations.keypoints])
        return np.concatenate((low, high - low), axis=1)
    raise ExportError("the adapter gives neither boxes nor masks nor keypoints", code="no-boxes")


def _conform_masks(annotations: Annotations, size: tuple[int, int] | None) -> Annotations:
    """As large as the image, and not empty."""
    masks = annotations.masks
    if masks is None:
        if len(annotations):
            raise ExportError("the adapter gives no masks", code="no-masks")
        return annotations
    if not masks:
        return annotations
    width, height = size or (masks[0].width, masks[0].height)
    other = np.array([(mask.height, mask.width) != (height, width) for mask in masks])
    if other.any():
        _report(
            annotations,
            "error",
            "mask-size",
            other,
            lambda i: f"the mask has {masks[i].width} x {masks[i].height} pixels, the image {width} x {height}",
        )
    empty = ~other & np.array([len(mask.counts) < 2 for mask in masks])
    if empty.any():
        _report(annotations, "repair", "mask-empty", empty, "the mask holds no pixel; dropped")
    return _without(annotations, other | empty) if (other | empty).any() else annotations


def _conform_keypoints(annotations: Annotations, plan: CategoryPlan) -> Annotations:
    """As many as the category names, finite, with scores in [0, 1] and coordinates >= 0, as Lightly's models want."""
    if annotations.keypoints is None:
        if len(annotations):
            raise ExportError("the adapter gives no keypoints", code="no-keypoints")
        return annotations
    names = {category.id: len(category.keypoints) for category in plan.categories}
    ids = annotations.category_ids.tolist()
    keypoints = annotations.keypoints

    def fault(i: int) -> str:
        points = keypoints[i]
        if names[ids[i]] and len(points) != names[ids[i]]:
            return f"{len(points)} keypoints, the category names {names[ids[i]]}"
        if not np.isfinite(points).all():
            return "a keypoint holds a number that is not finite"
        if len(points) and not (points[:, 2].min() >= 0 and points[:, 2].max() <= 1):
            return "a keypoint has a score outside of [0, 1]"
        return ""

    faults = [fault(i) for i in range(len(ids))]
    if any(faults):
        bad = np.array([bool(text) for text in faults])
        _report(annotations, "error", "broken-keypoints", bad, lambda i: faults[i])
        annotations = _without(annotations, bad)
    keypoints = annotations.keypoints or ()
    over = np.array([bool((points < 0).any()) for points in keypoints], np.bool_)
    if over.any():
        text = "a keypoint lies left of or above the image; moved to its edge"
        _report(annotations, "repair", "keypoint-clipped", over, text)
        annotations.keypoints = [np.maximum(points, 0) for points in keypoints]
    return annotations


def _conform_scores(annotations: Annotations, default: float) -> Annotations:
    """In [0, 1]; the default where the source has none."""
    scores = annotations.scores
    if scores is None:
        annotations.scores = np.empty(len(annotations))
        annotations.scores.fill(default)
        return annotations
    if ((scores >= 0) & (scores <= 1)).all():
        return annotations
    rounded = (scores >= -SUM_TOLERANCE) & (scores <= 1 + SUM_TOLERANCE)
    if not rounded.all():
        _report(
            annotations,
            "error",
            "score-out-of-range",
            ~rounded,
            lambda i: (
                f"the score {scores[i]:.6g} is not in [0, 1]"
                + ("; is it a percentage?" if 1 < scores[i] <= 100 else "")
            ),
        )
    over = rounded & ((scores < 0) | (scores > 1))
    if over.any():
        _report(annotations, "repair", "score-rounded", over, "the score is outside of [0, 1] by rounding; clipped")
    annotations.scores = np.clip(scores, 0, 1)
    return _without(annotations, ~rounded) if not rounded.all() else annotations


def _conform_probabilities(annotations: Annotations, plan: CategoryPlan) -> Annotations:
    """One a category of the schema, each in [0, 1], summing to 1."""
    given = annotations.probabilities
    if given is None:
        return annotations
    if given.ndim != 2 or given.shape[1] != len(plan.columns):
        raise ExportError(
            f"{given.shape[-1]} probabilities for {len(plan.columns)} categories", code="probabilities-count"
        )
    sums = given.sum(axis=1)
    # NaN compares false, so it is refused here too
    bad = ~((given >= 0).all(axis=1) & (np.abs(sums - 1) <= ROUNDING))
    if bad.any():
        _report(
            annotations,
            "error",
            "probabilities-sum",
            bad,
            lambda i: f"the probabilities sum to {sums[i]:.6g} and must be >= 0 and sum to 1; are they logits?",
        )
        annotations = _without(annotations, bad)
        given, sums = given[~bad], sums[~bad]
    uneven = np.abs(sums - 1) > SUM_TOLERANCE
    if uneven.any():
        _report(
            annotations,
            "repair",
            "probabilities-renormalised",
            uneven,
            lambda i: f"the probabilities sum to {sums[i]:.6g}; divided by their sum",
        )
    merged = np.zeros((len(given), len(plan.categories)))
    for column, place in enumerate(plan.columns):
        if place >= 0:
            merged[:, place] += given[:, column]
    if uneven.any() or plan.dropped:
        left = merged.sum(axis=1)
        own = [category.id for category in plan.categories]
        for i in np.flatnonzero(left == 0):  # all of it was on classes that are left out
            merged[i, own.index(int(annotations.category_ids[i]))] = left[i] = 1
        merged /= left[:, None]
    annotations.probabilities = np.minimum(merged, 1)
    return annotations


def _conform_classification(annotations: Annotations, target: Target) -> Annotations | None:
    """Exactly one class, with probabilities; a label's are 1 for its class and 0 for the others."""
    if len(annotations) > 1:
        raise ExportError(f"{len(annotations)} classes for one image; classification takes one", code="classes-many")
    annotations = _conform_scores(_conform_probabilities(annotations, target.plan), target.score)
    if not len(annotations):
        if not annotations.findings:
            raise ExportError("the image has no class", code="class-missing")
        return None
    if annotations.probabilities is None:
        ids = [category.id for category in target.plan.categories]
        annotations.probabilities = (annotations.category_ids[:, None] == np.array(ids)).astype(np.float64)
    annotations.boxes = annotations.masks = annotations.keypoints = None
    return annotations
