"""The predictions of one image as annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.model import Annotations
from labelferry.predictions.arguments import (
    Call,
    Columns,
    of_objects,
    to_boxes,
    to_ids,
    to_keypoints,
    to_probabilities,
    to_size,
)
from labelferry.predictions.classes import Classes
from labelferry.predictions.clients import Prediction, prediction_of, unwrapped
from labelferry.predictions.masks import (
    scores_of_segments,
    size_of_pixels,
    to_class_scores,
    to_label_map,
    to_masks,
)
from labelferry.run_lengths import Int64
from labelferry.task_type import TaskType

Aggregate = Literal["median", "mean"]

_NEEDED = {
    TaskType.CLASSIFICATION: ("probabilities", "category_ids"),
    TaskType.OBJECT_DETECTION: ("xyxy", "xywh", "masks", "keypoints"),
    TaskType.KEYPOINT_DETECTION: ("keypoints",),
    TaskType.INSTANCE_SEGMENTATION: ("masks",),
    TaskType.SEMANTIC_SEGMENTATION: ("masks", "class_scores", "label_map"),
}
"""Arguments of which each task type needs one, if there are objects."""

_NOT_WITH_SEGMENTS = (
    *("class_scores", "label_map", "xyxy", "xywh", "scores", "category_ids"),
    *("masks", "keypoints", "probabilities"),
)

_NOT_OF_CLASSIFICATION = ("xyxy", "xywh", "masks", "keypoints", "class_scores", "label_map")


def annotations_of(
    predictions: Any,
    columns: Columns,
    classes: Classes,
    task: TaskType,
    size: Any,
    aggregate: Aggregate,
    where: str,
) -> Annotations:
    """The annotations of one image.

    Args:
        predictions: an object of a library (`clients`), `Annotations`, or None.
        columns: what `TaskWriter.write` takes by name.
        classes: the categories.
        task: the task type.
        size: (width, height) of the image in pixels, if known.
        aggregate: how scores of pixels become the score of a segment.
        where: the image's name, for messages.

    Raises:
        ExportError: an argument cannot be used.
    """
    call = Call(where)
    known_size = to_size(call, size)
    if predictions is None:
        prediction = Prediction(**columns)
    else:
        predictions = unwrapped(predictions)
        call = Call(where, type(predictions).__name__)
        given = [name for name, value in columns.items() if value is not None and name != "mask_threshold"]
        if given:
            text = "cannot be given beside predictions, which are taken as they are"
            raise Call(where).error(", ".join(given), text)
        prediction = prediction_of(call, predictions, task)
        prediction.mask_threshold = columns.get("mask_threshold")
        own_size = to_size(call, prediction.size)
        if known_size is not None and own_size not in (None, known_size):
            text = f"the predictions are for (width, height) = {own_size}, the image has {known_size}"
            raise ExportError(text, where=where, code="size-differs", lost=_count(prediction))
        known_size = known_size or own_size
    try:
        annotations = _annotations(call, prediction, classes, task, known_size, aggregate)
        if known_size is not None and annotations.size != known_size:
            text = f"the predictions are for (width, height) = {annotations.size}, the image has {known_size}"
            raise ExportError(text, where=where, code="size-differs")
    except ExportError as error:
        error.lost = error.lost or _count(prediction)
        raise
    return annotations


def size_of(predictions: Any, columns: Columns, task: TaskType) -> tuple[int, int] | None:
    """The (width, height) of the picture that predictions are for, as far as they tell themselves.

    Args:
        predictions: as `annotations_of` takes them.
        columns: the same.
        task: the task type.
    """
    call = Call("")
    try:
        given = Prediction(**columns) if predictions is None else prediction_of(call, unwrapped(predictions), task)
        return to_size(call, given.size) or size_of_pixels(call, given.class_scores, given.label_map, given.masks)
    except ExportError:  # it is refused when it is read
        return None


def _annotations(
    call: Call,
    given: Prediction,
    classes: Classes,
    task: TaskType,
    size: tuple[int, int] | None,
    aggregate: Aggregate,
) -> Annotations:
    if given.class_scores is not None or given.label_map is not None:
        return _segments(call, given, classes, task, aggregate)
    if task is TaskType.CLASSIFICATION and (others := _names(given, _NOT_OF_CLASSIFICATION)):
        raise call.error(others[0], "classification takes probabilities=, or the category_ids= of one class")
    findings = given.findings
    boxes = to_boxes(call, given.xywh, given.xyxy)
    keypoints = to_keypoints(call, given.keypoints)
    scores = None if given.scores is None else of_objects(call, "scores", given.scores)
    masks, size = to_masks(call, given.masks, given.mask_threshold, size, findings)
    ids, left_out = _category_ids(call, given, classes)
    probabilities = None
    if given.are_best:
        best = ids if ids is not None else np.full(1, classes.ids[0])
        confidences = of_objects(call, "probabilities", given.probabilities)
        _require_length(call, "probabilities", len(confidences), "classes", len(best))
        probabilities, completions = classes.completed(call, best, confidences)
        findings += completions
        ids = None
    elif given.probabilities is not None:
        by_model_id = None if given.names is None else classes.by_model_id(call, given.names)
        probabilities = classes.columns(call, to_probabilities(call, given.probabilities), by_model_id)
    if ids is None and probabilities is not None:
        places = probabilities.argmax(axis=1)
        ids = np.array(classes.ids)[places]
        if scores is None:
            scores = probabilities[np.arange(len(places)), places]
    columns = {
        "xywh" if given.xyxy is None else "xyxy": boxes,
        "masks": masks,
        "keypoints": keypoints,
        "scores": scores,
        "probabilities": probabilities,
    }
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if ids is None:
        count = max(lengths.values(), default=0)
        if count and len(classes.ids) > 1:
            raise call.error("category_ids", f"{count} objects, but no category_ids: give one for each")
        ids = np.full(count, classes.ids[0])
    for name, length in lengths.items():
        _require_length(call, name, length, "category_ids", len(ids))
    if len(ids):
        if not _names(given, _NEEDED[task]):
            text = f"{task} needs {' or '.join(f'{name}=' for name in _NEEDED[task])}"
            raise call.error("arguments" if not call.of else "as given", text, "no-predictions")
        if size is None and task is not TaskType.CLASSIFICATION:
            raise call.error("size", "the size of the image is not known: give size=(width, height)", "image-size")
    if boxes is not None and len(boxes) and size is not None and min(size) > 1 and boxes.max() <= 1:
        text = "all boxes lie within one pixel; are their coordinates relative? They must be pixels"
        findings.append(Finding.warning("boxes-relative", call.where, text))
    annotations = Annotations(
        ids,
        size,
        boxes,
        scores,
        probabilities,
        masks,
        keypoints,
        findings,
        given.locate or (lambda i: f"{call.where}, object {i}"),
        given.found,
    )
    return _of_categories(call, annotations, classes, left_out)


def _segments(call: Call, given: Prediction, classes: Classes, task: TaskType, aggregate: Aggregate) -> Annotations:
    """One segment for each class that a pixel has; of scores, the pixel has the class with the highest."""
    names = _names(given, _NOT_WITH_SEGMENTS)
    if task is not TaskType.SEMANTIC_SEGMENTATION:
        raise call.error(names[0], f"{task} does not take it, only semantic-segmentation")
    if len(names) > 1:
        raise call.error(" and ".join(names), "give only one of them")
    scores = None
    if given.class_scores is not None:
        class_scores = to_class_scores(call, given.class_scores)
        count = len(class_scores)
        if max(classes.ids) >= count or (not classes.is_subset and count != len(classes.ids)):
            text = f"those of {count} classes, the task has the ids {min(classes.ids)} to {max(classes.ids)}"
            raise call.error("class_scores", f"{text}; name the categories as {{name: id}} to keep some")
        label_map = class_scores.argmax(axis=0)
        found = masks_from_label_map(label_map)
        scores = np.array(scores_of_segments(class_scores, label_map, found, aggregate))
    else:
        label_map = to_label_map(call, given.label_map)
        found = masks_from_label_map(label_map)
        found = {value: mask for value, mask in found.items() if value not in given.nothing}
    values = np.array(list(found), np.int64)
    ids, labels = _category_ids(call, Prediction(category_ids=values, names=given.names), classes)
    annotations = Annotations(
        values if ids is None else ids,
        label_map.shape[::-1],
        scores=scores,
        masks=list(found.values()),
        findings=given.findings,
        locate=lambda i: f"{call.where}, segment of class {values[i]}",
    )
    return _of_categories(call, annotations, classes, labels)


def _category_ids(call: Call, given: Prediction, classes: Classes) -> tuple[Int64 | None, Sequence[str] | None]:
    """The ids of the objects' categories, LEFT_OUT where they have none, if ids or names are given; and the names of
    their classes, if they identify the categories."""
    ids = None if given.category_ids is None else to_ids(call, "category_ids", given.category_ids)
    if given.labels is not None:
        if ids is not None:
            _require_length(call, "names of classes", len(given.labels), "category_ids", len(ids))
        return classes.of_names(call, given.labels, ids), given.labels
    if given.names is None or ids is None:
        return ids, None
    by_model_id = classes.by_model_id(call, given.names)
    if by_model_id is None:
        return ids, None
    model_ids = ids.tolist()
    if unknown := [i for i in model_ids if i not in by_model_id]:
        text = f"the model names no class {unknown[0]}, only {min(by_model_id)} to {max(by_model_id)}"
        raise call.error("category_ids", text, "unknown-category")
    return np.array([by_model_id[i] for i in model_ids], np.int64), [given.names[i] for i in model_ids]


def _of_categories(call: Call, annotations: Annotations, classes: Classes, labels: Sequence[str] | None) -> Annotations:
    """Without objects of other classes: a note, where the task keeps some of the model's classes, else an error."""
    ids = annotations.category_ids
    if classes.are_all(ids):
        return annotations
    known = np.isin(ids, classes.ids)
    first, count = int(np.argmin(known)), int((~known).sum())
    where = annotations.locate(first) if annotations.locate else call.where
    if labels is not None:
        text = f"its class {labels[first]!r} is not among the categories of the task"
        finding = Finding.note("class-left-out", where, text, count, count)
    elif classes.is_subset:
        text = f"its class, with the category id {ids[first]}, is not among the categories of the task"
        finding = Finding.note("class-left-out", where, text, count, count)
    else:
        text = f"the category id {ids[first]} is not among those of the task, {classes.shown()}"
        finding = Finding.error("unknown-category", where, text, count, count)
    annotations.findings.append(finding)
    return annotations.take(np.flatnonzero(known).tolist())


def _names(given: Prediction, among: Sequence[str]) -> list[str]:
    """Which of these arguments are given."""
    return [name for name in among if getattr(given, name) is not None]


def _require_length(call: Call, name: str, length: int, other: str, expected: int) -> None:
    if length != expected:
        shown = "boxes" if name in ("xywh", "xyxy") else name
        raise call.error(name, f"{length} {shown} for {expected} {other}")


def _count(given: Prediction) -> int:
    """How many objects there are, as far as the arguments tell; for the accounts of predictions that are refused."""
    for name in ("category_ids", "labels", "scores", "xyxy", "xywh", "masks", "keypoints"):
        value = getattr(given, name)
        if value is not None:
            try:
                return len(value)
            except Exception:  # whatever somebody else's type raises; it is refused for another reason
                continue
    return 0
