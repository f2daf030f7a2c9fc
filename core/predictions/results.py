"""The results of models as annotations: arrays and tensors, and the objects of Ultralytics and supervision.

Neither library is imported: their objects are recognised by their attributes, tensors by `__array__` or DLPack.

Ultralytics: https://docs.ultralytics.com/reference/engine/results/
supervision: https://supervision.roboflow.com/latest/detection/core/, /keypoint/core/, /classification/core/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.model import Annotations, Category
from labelferry.run_lengths import RunLengthMask

Aggregate = Literal["median", "mean"]


class Classes:
    """The categories of a task, by the ids and names of the model.

    Args:
        categories: names, whose places are the model's ids, or `Category`s with the model's ids; or the model's ids by
            name, to keep some of its classes.

    Attributes:
        categories: with the model's ids.
        is_subset: whether other ids of the model are left out; otherwise they are an error.
    """

    def __init__(self, categories: Iterable[str | Category] | Mapping[str, int]) -> None:
        if isinstance(categories, str):
            raise UsageError(f"categories are a list of names, not the text {categories!r}")
        if isinstance(categories, Mapping):
            self.categories = [Category(int(key), name) for name, key in categories.items()]
        else:
            listed = enumerate(categories)
            self.categories = [one if isinstance(one, Category) else Category(i, one) for i, one in listed]
        self.is_subset = isinstance(categories, Mapping)
        self.ids = [category.id for category in self.categories]
        self._by_name = {category.name: category.id for category in self.categories}

    def ids_of_names(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The ids of names, -1 where they are not among the categories."""
        return np.array([self._by_name.get(str(name), -1) for name in names], np.int64)

    def columns(self, probabilities: NDArray[np.float64], names: Mapping[int, str] | None) -> NDArray[np.float64]:
        """Of (N, C) probabilities, one column a class of the model, those of the categories, summing to 1; by the
        names of the model's classes, where it gives them."""
        count = probabilities.shape[1]
        if names is not None:
            ids = self.ids_of_names([names.get(i, "") for i in range(count)])
            by_id = np.zeros((len(probabilities), max(self.ids) + 1))
            by_id[:, ids[ids >= 0]] = probabilities[:, ids >= 0]
            probabilities, count = by_id, by_id.shape[1]
        elif not self.is_subset and count != len(self.ids):
            text = f"{count} probabilities for {len(self.ids)} categories"
            raise ExportError(f"{text}; name the categories as {{name: id}} to keep some", code="probabilities-count")
        if max(self.ids) >= count:
            raise ExportError(
                f"{count} probabilities, but a category has the id {max(self.ids)}", code="probabilities-count"
            )
        kept = probabilities[:, self.ids]
        sums = kept.sum(axis=1, keepdims=True)
        return kept / np.where(sums > 0, sums, 1) if self.is_subset or names is not None else kept


def annotations_of(
    predictions: Any,
    columns: dict[str, Any],
    classes: Classes,
    size: tuple[int, int] | None,
    aggregate: Aggregate,
    where: str,
) -> Annotations:
    """The annotations of one image.

    Args:
        predictions: Ultralytics `Results`, supervision `Detections`, `KeyPoints` or `Classifications`, `Annotations`,
            or None.
        columns: what `TaskWriter.write` takes by name.
        classes: the categories.
        size: (width, height) of the image in pixels, if known.
        aggregate: how scores of pixels become the score of a segment.
        where: the image's name, for messages.

    Raises:
        ExportError: the predictions cannot be used.
        UsageError: the call is wrong.
    """
    predictions = first_of(predictions)
    if isinstance(predictions, Annotations):
        _refuse(columns, "Annotations")
        predictions.size = predictions.size or size
        return _of_categories(predictions, classes, False)
    names: dict[int, str] | None = None
    if predictions is not None:
        _refuse(columns, type(predictions).__name__)
        columns, names = _columns_of(predictions, classes)
        size = columns.pop("size", None) or size
    if columns.get("class_scores") is not None:
        return _segments(_array(columns["class_scores"]), classes, aggregate, where)
    boxes = _boxes(columns.get("xywh"), columns.get("xyxy"))
    probabilities = columns.get("probabilities")
    if probabilities is not None:
        probabilities = classes.columns(np.atleast_2d(_array(probabilities)), names)
    keypoints, scores = _keypoints(columns.get("keypoints")), columns.get("scores")
    category_ids = columns.get("category_ids")
    if category_ids is None and probabilities is not None:
        best = probabilities.argmax(axis=1)
        category_ids = np.array(classes.ids)[best]
        if scores is None:
            scores = probabilities[np.arange(len(best)), best]
    elif category_ids is not None and names is not None:
        category_ids = classes.ids_of_names([names.get(i, "") for i in _whole(category_ids).tolist()])
    count = max((len(c) for c in (boxes, keypoints, columns.get("masks")) if c is not None), default=0)
    if category_ids is None:
        if count and len(classes.ids) > 1:
            raise UsageError(f"{where}: {count} objects, but no category_ids")
        category_ids = np.full(count, classes.ids[0])
    findings: list[Finding] = []
    masks, size = _masks(columns.get("masks"), size, where, findings)
    annotations = Annotations(
        _whole(category_ids),
        size,
        boxes,
        None if scores is None else np.atleast_1d(_array(scores)),
        probabilities,
        masks,
        keypoints,
        findings,
        lambda i: f"{where}, object {i}",
    )
    for name in ("boxes", "scores", "probabilities", "masks", "keypoints"):
        column = getattr(annotations, name)
        if column is not None and len(column) != len(annotations):
            raise UsageError(f"{where}: {len(column)} {name} for {len(annotations)} category_ids")
    return _of_categories(annotations, classes, names is not None)


def first_of(predictions: Any) -> Any:
    """The predictions of one image, of which Ultralytics gives a list."""
    return predictions[0] if isinstance(predictions, list | tuple) and len(predictions) == 1 else predictions


def size_of(predictions: Any, columns: Mapping[str, Any]) -> tuple[int, int] | None:
    """The (width, height) of the picture that predictions are for, as far as they tell themselves.

    Args:
        predictions: as `annotations_of` takes them.
        columns: the same.
    """
    predictions = first_of(predictions)
    if isinstance(predictions, Annotations):
        return predictions.size or size_of(None, {"masks": predictions.masks})
    if hasattr(predictions, "orig_shape"):
        height, width = predictions.orig_shape
        return int(width), int(height)
    given = columns.get("class_scores")
    if given is None:
        given = getattr(predictions, "mask", None) if predictions is not None else columns.get("masks")
    if isinstance(given, list | tuple) and given:
        given = given[0]
    if isinstance(given, RunLengthMask):
        return given.width, given.height
    shape: Sequence[Any] = given.get("size", ()) if isinstance(given, Mapping) else getattr(given, "shape", ())
    return (int(shape[-1]), int(shape[-2])) if len(shape) > 1 else None


def _refuse(columns: dict[str, Any], kind: str) -> None:
    if given := [name for name, value in columns.items() if value is not None]:
        raise UsageError(f"{kind} are taken as they are; {', '.join(given)} cannot be given beside them")


def _of_categories(annotations: Annotations, classes: Classes, by_name: bool) -> Annotations:
    """Without objects of other classes, where the task keeps some of the model's classes."""
    if not (classes.is_subset or by_name):
        return annotations
    known = np.isin(annotations.category_ids, classes.ids)
    if known.all():
        return annotations
    text = "its class is not among the categories of the task"
    first = annotations.locate(int(np.argmin(known))) if annotations.locate else ""
    annotations.findings.append(Finding("note", "class-left-out", first, text, int((~known).sum())))
    return annotations.take(np.flatnonzero(known).tolist())


def _columns_of(predictions: Any, classes: Classes) -> tuple[dict[str, Any], dict[int, str] | None]:
    """The columns of a library's object, and the names of the classes, by id, if it has them.

    Raises:
        UsageError: the type is not known.
    """
    if hasattr(predictions, "orig_shape") and hasattr(predictions, "boxes"):
        names = predictions.names
        return _ultralytics(predictions), dict(names if isinstance(names, Mapping) else enumerate(names))
    if hasattr(predictions, "class_id"):
        if hasattr(predictions, "xyxy"):
            columns = {
                "xyxy": predictions.xyxy,
                "masks": predictions.mask,
                "scores": predictions.confidence,
                "category_ids": predictions.class_id,
            }
        elif hasattr(predictions, "xy"):
            columns = _key_points(predictions)
        else:
            return _classifications(predictions, classes), None
        named = (getattr(predictions, "data", None) or {}).get("class_name")
        ids = columns["category_ids"]
        by_id = None if named is None or ids is None else zip(_whole(ids).tolist(), map(str, named), strict=True)
        return columns, None if by_id is None else dict(by_id)
    hint = "; of a list, write each for its own image" if isinstance(predictions, list | tuple) else ""
    raise UsageError(
        f"predictions of the type {type(predictions).__name__} cannot be read: give Ultralytics Results, supervision "
        f"Detections, KeyPoints or Classifications, or arrays by name (xyxy=..., scores=..., category_ids=...){hint}"
    )


def _ultralytics(results: Any) -> dict[str, Any]:
    height, width = results.orig_shape
    size = int(width), int(height)
    if getattr(results, "probs", None) is not None:
        return {"size": size, "probabilities": results.probs.data}
    found = results.boxes if results.boxes is not None else getattr(results, "obb", None)
    if found is None:
        return {"size": size}
    columns = {"size": size, "xyxy": found.xyxy, "scores": found.conf, "category_ids": found.cls}
    if getattr(results, "masks", None) is not None:
        data = results.masks.data
        # masks of the model's input size, which is not the image's: the outlines are exact
        columns["masks"] = data if tuple(data.shape[1:]) == (height, width) else _outlines(results.masks.xy)
    if getattr(results, "keypoints", None) is not None:
        columns["keypoints"] = results.keypoints.data
    return columns


def _outlines(polygons: Iterable[Any]) -> list[list[list[float]]]:
    return [[_array(points).ravel().tolist()] for points in polygons]


def _key_points(predictions: Any) -> dict[str, Any]:
    """supervision's KeyPoints; before 0.27 the confidence of keypoints was called `confidence`."""
    xy = _array(predictions.xy)
    confidence = getattr(predictions, "keypoint_confidence", None)
    if confidence is None:
        confidence = getattr(predictions, "confidence", None)
    confidence = np.ones(xy.shape[:2]) if confidence is None else _array(confidence)
    visible = getattr(predictions, "visible", None)
    if visible is not None:
        confidence = np.where(_array(visible) > 0, confidence, 0)
    return {
        "keypoints": np.concatenate((xy, confidence[..., None]), axis=2),
        "scores": getattr(predictions, "detection_confidence", None),
        "category_ids": predictions.class_id,
    }


def _classifications(predictions: Any, classes: Classes) -> dict[str, Any]:
    ids = _whole(predictions.class_id)
    if predictions.confidence is None:
        return {"category_ids": ids}
    probabilities = np.zeros((1, max(*ids.tolist(), *classes.ids) + 1))
    probabilities[0, ids] = _array(predictions.confidence)
    return {"probabilities": probabilities}


def _segments(scores: NDArray[np.float64], classes: Classes, aggregate: Aggregate, where: str) -> Annotations:
    """One segment for each class that is the best of some pixel, with the score of its pixels."""
    if scores.ndim == 4 and len(scores) == 1:
        scores = scores[0]
    if scores.ndim != 3:
        raise UsageError(f"{where}: class_scores have the shape (classes, height, width), not {scores.shape}")
    count, height, width = scores.shape
    if max(classes.ids) >= count or (not classes.is_subset and count != len(classes.ids)):
        text = f"class_scores of {count} classes, the task has the ids {min(classes.ids)} to {max(classes.ids)}"
        raise UsageError(f"{where}: {text}; name the categories as {{name: id}} to keep some")
    if not np.isfinite(scores).all():
        raise ExportError("class_scores hold a number that is not finite", where=where, code="score-out-of-range")
    best = scores.argmax(axis=0)
    of_pixels = np.take_along_axis(scores, best[None], axis=0)[0]
    combine = np.median if aggregate == "median" else np.mean
    found = {i: mask for i, mask in masks_from_label_map(best).items() if i in classes.ids}
    return Annotations(
        np.array(list(found), np.int64),
        (width, height),
        scores=np.array([combine(of_pixels[best == i]) for i in found], np.float64),
        masks=list(found.values()),
        locate=lambda i: f"{where}, segment of class {list(found)[i]}",
    )


def _tensor(value: Any) -> Any:
    """A tensor of any kind as an array of the same numbers, on the CPU."""
    for verb in ("detach", "cpu"):  # a tensor may have a gradient, or be on another device
        if hasattr(value, verb):
            value = getattr(value, verb)()
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    try:
        return np.asarray(value)
    except TypeError:
        if hasattr(value, "float"):  # a number type that numpy does not have, as bfloat16
            return np.asarray(value.float())
        raise


def _array(value: Any) -> NDArray[np.float64]:
    return np.asarray(_tensor(value), np.float64)


def _whole(value: Any) -> NDArray[np.int64]:
    numbers = np.atleast_1d(_array(value))
    ids = numbers.astype(np.int64)
    if numbers.ndim != 1 or (ids != numbers).any():
        raise UsageError(f"category ids are whole numbers of the shape (N,), found {numbers[:5]}")
    return ids


def _boxes(xywh: Any, xyxy: Any) -> NDArray[np.float64] | None:
    if xywh is not None and xyxy is not None:
        raise UsageError("boxes are given as xywh or as xyxy, not both")
    if xywh is None and xyxy is None:
        return None
    boxes = _array(xywh if xyxy is None else xyxy)
    boxes = boxes.reshape(-1, 4) if boxes.size in (0, 4) and boxes.ndim < 2 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UsageError(f"boxes have the shape (N, 4), not {boxes.shape}")
    return boxes if xyxy is None else np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)


def _keypoints(given: Any) -> list[NDArray[np.float64]] | None:
    """(N, K, 3) of x, y and a score, or (N, K, 2) without; objects may have different numbers of keypoints."""
    if given is None:
        return None
    keypoints = [_array(points) for points in given]
    for i, points in enumerate(keypoints):
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise UsageError(f"keypoints have the shape (N, K, 3) or (N, K, 2), those of one object are {points.shape}")
        if points.shape[1] == 2:
            keypoints[i] = np.column_stack((points, np.ones(len(points))))
    return keypoints


def _polygons(given: Sequence[Any]) -> list[Any]:
    """One object's polygons as COCO has them: from [[x, y, ...], ...], from [x, y, ...], or from [(x, y), ...]."""
    if given and np.isscalar(given[0]):
        return [list(given)]
    if given and all(len(part) == 2 for part in given):
        return [[number for point in given for number in point]]
    return list(given)


def _masks(
    given: Any, size: tuple[int, int] | None, where: str, findings: list[Finding]
) -> tuple[list[RunLengthMask] | None, tuple[int, int] | None]:
    """Masks of every kind: an (N, H, W) array, or for each object a bool array, polygons, COCO RLE or run lengths."""
    if given is None:
        return None, size
    masks: list[RunLengthMask | None] = []
    shapes: dict[int, Any] = {}
    if not isinstance(given, list | tuple):
        given = _tensor(given)
    for i, one in enumerate(given):
        if isinstance(one, RunLengthMask):
            masks.append(one)
        elif isinstance(one, Mapping | list | tuple):
            shapes[i] = one if isinstance(one, Mapping) else _polygons(one)
            masks.append(None)
        else:
            pixels = _tensor(one)
            if pixels.ndim != 2 or (pixels.dtype != bool and not np.isin(pixels, (0, 1)).all()):
                text = (
                    "a mask is a (height, width) array of bools, or of 0 and 1; compare scores with a threshold first"
                )
                raise UsageError(f"{where}: {text}; found {pixels.dtype} of the shape {pixels.shape}")
            masks.append(RunLengthMask.from_array(pixels))
    if size is None and (known := [mask for mask in masks if mask is not None]):
        size = known[0].width, known[0].height
    if shapes:
        if size is None:
            raise UsageError(f"{where}: polygons and COCO RLE need the image's size=(width, height)")
        places = list(shapes)
        drawn = masks_of_image(list(shapes.values()), size, lambda i: f"{where}, object {places[i]}")
        # what is not a mask is an empty one: it is removed, and counted, with the object's other columns
        findings += [replace(finding, lost=0) for finding in drawn.findings]
        for i in places:
            masks[i] = RunLengthMask.empty(size[1], size[0])
        for i, mask in zip(drawn.rows.tolist(), drawn.masks, strict=True):
            masks[places[i]] = mask
    return [mask for mask in masks if mask is not None], size
