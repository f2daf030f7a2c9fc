"""What libraries give for one image, as the arguments of `TaskWriter.write`.

No library is imported: objects are recognised by their attributes, dicts by their keys.

Ultralytics: https://docs.ultralytics.com/reference/engine/results/
supervision: https://supervision.roboflow.com/latest/detection/core/, /keypoint/core/, /classification/core/
torchvision: https://docs.pytorch.org/vision/stable/models.html#object-detection
Hugging Face: `post_process_*` of image processors, and pipelines:
https://huggingface.co/docs/transformers/main_classes/image_processor, /main_classes/pipelines
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labelferry.errors import ExportError, did_you_mean
from labelferry.findings import Finding
from labelferry.model import Annotations
from labelferry.predictions.arguments import Call, to_array, to_floats, to_ids
from labelferry.predictions.masks import Scaled, masks_of_segments
from labelferry.task_type import TaskType


@dataclass
class Prediction:
    """The predictions of one image: the arguments of `TaskWriter.write`, and what only libraries give.

    Attributes:
        names: of all classes of the model, by id, which identify the categories.
        labels: names of the objects' classes, which identify the categories.
        are_best: whether probabilities are those of the classes `category_ids` or `labels`, the best of the model.
        nothing: values of the label map that stand for no class.
        findings: about the image.
        locate: gives the place of an object, for messages.
        found: how many objects there are, if they are counted.
    """

    size: Any = None
    xywh: Any = None
    xyxy: Any = None
    scores: Any = None
    category_ids: Any = None
    masks: Any = None
    mask_threshold: Any = None
    keypoints: Any = None
    probabilities: Any = None
    class_scores: Any = None
    label_map: Any = None
    names: Mapping[int, str] | None = None
    labels: Sequence[str] | None = None
    are_best: bool = False
    nothing: frozenset[int] = frozenset()
    findings: list[Finding] = field(default_factory=list)
    locate: Callable[[int], str] | None = None
    found: int | None = None


def unwrapped(predictions: Any) -> Any:
    """The object of the list that a model returns for one image."""
    if isinstance(predictions, list | tuple) and len(predictions) == 1 and not _is_of_pipeline(predictions):
        return predictions[0]
    return predictions


def path_of(predictions: Any) -> str:
    """The path of the image or video that Ultralytics' results name; empty if there is none."""
    try:
        path = getattr(unwrapped(predictions), "path", "")
    except Exception:  # whatever the attributes of somebody else's type raise; it is refused when it is read
        return ""
    return str(path) if isinstance(path, str | Path) else ""


def prediction_of(call: Call, predictions: Any, task: TaskType) -> Prediction:
    """The predictions of a library's object.

    Raises:
        ExportError: the type is not known, or does not hold predictions for the task.
    """
    try:
        return _prediction_of(call, predictions, task)
    except ExportError:
        raise
    except Exception as error:  # whatever the attributes of somebody else's type raise
        text = f"cannot be read: {type(error).__name__}: {error}"
        raise call.error("its attributes", text) from error


def _prediction_of(call: Call, predictions: Any, task: TaskType) -> Prediction:
    if isinstance(predictions, Annotations):
        return _of_annotations(predictions)
    if isinstance(predictions, Mapping):
        return _of_mapping(call, predictions)
    if isinstance(predictions, list | tuple):
        if all(isinstance(one, Mapping) for one in predictions):
            return _of_pipeline(call, predictions, task)
    elif hasattr(predictions, "orig_shape") and hasattr(predictions, "names"):
        return _of_ultralytics(call, predictions, task)
    elif hasattr(predictions, "class_id"):
        return _of_supervision(call, predictions)
    hint = "; of a list, write each for its own image" if isinstance(predictions, list | tuple) else ""
    text = (
        "this type cannot be read: give Ultralytics Results, supervision Detections, KeyPoints or Classifications, "
        f"dicts of torchvision or Hugging Face, or arrays by name (xyxy=..., scores=..., category_ids=...){hint}"
    )
    raise call.error("as given", text)


def _of_annotations(given: Annotations) -> Prediction:
    return Prediction(
        size=given.size,
        xywh=given.boxes,
        scores=given.scores,
        category_ids=given.category_ids,
        masks=given.masks,
        keypoints=given.keypoints,
        probabilities=given.probabilities,
        findings=list(given.findings),
        locate=given.locate,
        found=given.found,
    )


_ULTRALYTICS = ("boxes", "obb", "masks", "keypoints", "probs", "semantic_mask")


def _of_ultralytics(call: Call, results: Any, task: TaskType) -> Prediction:
    shape = to_ids(call, "orig_shape", results.orig_shape)
    if len(shape) != 2:
        raise call.error("orig_shape", f"expected (height, width), found {shape}")
    height, width = shape.tolist()
    names = results.names
    parts: dict[str, Any] = {name: getattr(results, name, None) for name in _ULTRALYTICS}
    given = [name for name, part in parts.items() if part is not None]
    prediction = Prediction(
        size=(width, height),
        names={int(i): str(name) for i, name in (names.items() if isinstance(names, Mapping) else enumerate(names))},
    )
    if not given:
        others = ", ".join(name for name in ("depth",) if getattr(results, name, None) is not None) or "nothing"
        raise call.error("as given", f"expected one of {', '.join(_ULTRALYTICS)}; it has {others}")
    needed = _ULTRALYTICS_OF[task]
    if not set(needed) & set(given):
        raise call.error("as given", f"{task} needs {' or '.join(needed)}; it has {', '.join(given)}")
    if task is TaskType.CLASSIFICATION:
        prediction.probabilities = parts["probs"].data
        return prediction
    if parts["semantic_mask"] is not None:
        prediction.label_map = _semantic_map(call, parts["semantic_mask"].data, prediction.names or {})
        prediction.nothing = frozenset((_IGNORED,)) - set(prediction.names or ())
        return prediction
    found = parts["boxes"] if parts["boxes"] is not None else parts["obb"]
    prediction.scores, prediction.category_ids = found.conf, found.cls
    prediction.xyxy = found.xyxy
    with_masks = task in (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
    if with_masks and parts["masks"] is not None:
        prediction.masks = Scaled(parts["masks"].data, (width, height))
    elif with_masks and parts["obb"] is not None:
        prediction.masks = _oriented_boxes(call, parts["obb"].xyxyxyxy)
        prediction.xyxy = None  # the boxes are tight around the masks
    if task is TaskType.KEYPOINT_DETECTION and parts["keypoints"] is not None:
        prediction.keypoints = parts["keypoints"].data
    return prediction


_ULTRALYTICS_OF = {
    TaskType.CLASSIFICATION: ("probs",),
    TaskType.OBJECT_DETECTION: ("boxes", "obb"),
    TaskType.KEYPOINT_DETECTION: ("keypoints",),
    TaskType.INSTANCE_SEGMENTATION: ("boxes", "obb"),  # without objects there are no masks
    TaskType.SEMANTIC_SEGMENTATION: ("semantic_mask", "boxes", "obb"),
}

_IGNORED = 255
"""Value of a semantic mask's pixels of classes that the call of the model leaves out."""


def _semantic_map(call: Call, data: Any, names: Mapping[int, str]) -> Any:
    """A model of one class marks it by 1, and all else by 0."""
    label_map = to_array(call, "semantic_mask", data)
    if len(names) == 1:
        return np.where(label_map == 1, next(iter(names)), _IGNORED)
    return label_map


def _oriented_boxes(call: Call, corners: Any) -> list[list[Any]]:
    """(N, 4, 2) corners as polygons."""
    return [[one.ravel().tolist()] for one in to_floats(call, "xyxyxyxy", corners, "(N, 4, 2)")]


def _of_supervision(call: Call, predictions: Any) -> Prediction:
    data = getattr(predictions, "data", None) or {}
    named = data.get("class_name")
    labels = None if named is None else [str(name) for name in named]
    ids = predictions.class_id
    if hasattr(predictions, "xyxy"):
        masks = predictions.mask
        if masks is None and "xyxyxyxy" in data:
            masks = _oriented_boxes(call, data["xyxyxyxy"])
        return Prediction(
            xyxy=predictions.xyxy, masks=masks, scores=predictions.confidence, category_ids=ids, labels=labels
        )
    if hasattr(predictions, "xy"):
        prediction = _key_points(call, predictions)
        prediction.labels = labels
        return prediction
    if predictions.confidence is None:
        return Prediction(category_ids=ids, labels=labels)
    return Prediction(category_ids=ids, labels=labels, probabilities=predictions.confidence, are_best=True)


def _key_points(call: Call, predictions: Any) -> Prediction:
    """supervision's KeyPoints; before 0.27 the confidence of keypoints was called `confidence`."""
    xy = to_floats(call, "xy", predictions.xy, "(N, K, 2)")
    confidence = getattr(predictions, "keypoint_confidence", None)
    if confidence is None:
        confidence = getattr(predictions, "confidence", None)
    shape = xy.shape[:2]
    scores = np.ones(shape) if confidence is None else to_floats(call, "keypoint_confidence", confidence, "(N, K)")
    visible = getattr(predictions, "visible", None)
    if visible is not None:
        scores = np.where(to_array(call, "visible", visible) > 0, scores, 0)
    return Prediction(
        keypoints=np.concatenate((xy, scores[..., None]), axis=2),
        scores=getattr(predictions, "detection_confidence", None),
        category_ids=predictions.class_id,
    )


_KEYS = ("boxes", "labels", "scores", "masks", "keypoints")
_UNREAD = ("keypoints_scores", "text_labels")
"""Keys beside these: torchvision's logits of keypoints, which are no scores; names of classes, which are read below."""

_ADVICE = {
    "pred_boxes": "these are the outputs of a model: give what the processor's post_process_object_detection returns, "
    "with target_sizes=[(height, width)]",
    "logits": "these are the outputs of a model: give probabilities=outputs.logits.softmax(-1), or what a "
    "post_process_* of its processor returns",
    "out": "these are the scores of pixels: give class_scores=output['out'].softmax(1)",
}


def _of_mapping(call: Call, given: Mapping[Any, Any]) -> Prediction:
    """torchvision's detections, and what Hugging Face's `post_process_*` return."""
    if "segments_info" in given:
        return _of_segments(call, given)
    unknown = [str(key) for key in given if key not in _KEYS and key not in _UNREAD]
    advice = next((text for key, text in _ADVICE.items() if key in given), "")
    if unknown or not given.keys() & {"boxes", "masks", "keypoints"}:
        known = ", ".join(_KEYS)
        shown = ", ".join(map(str, given)) or "nothing"
        similar = "" if advice or not unknown else did_you_mean(unknown[0], _KEYS)
        raise call.error("as given", advice or f"expected a dict with {known}; its keys are {shown}{similar}")
    prediction = Prediction(
        xyxy=given.get("boxes"),
        category_ids=given.get("labels"),
        scores=given.get("scores"),
        masks=given.get("masks"),
        keypoints=given.get("keypoints"),
    )
    named = given.get("text_labels")
    if named is None and isinstance(given.get("labels"), list | tuple):
        named = [one for one in given["labels"] if isinstance(one, str)]
        if not named:
            return prediction
        prediction.category_ids = None
    if named is not None:
        prediction.labels = [str(name) for name in named]
    return prediction


def _of_segments(call: Call, given: Mapping[Any, Any]) -> Prediction:
    """Hugging Face's instance and panoptic segmentations: a map of segments, or their masks."""
    segment_map, infos = given.get("segmentation"), given["segments_info"]
    ids = [int(info["id"]) for info in infos]
    if isinstance(segment_map, list | tuple):
        text = "run lengths cannot be read: give the map of segments, without return_coco_annotation"
        raise call.error("segmentation", text)
    masks: Any = []
    size = None
    if segment_map is not None:
        array = to_array(call, "segmentation", segment_map)
        size = array.shape[:-3:-1] if array.ndim in (2, 3) else None
        masks = array if array.ndim == 3 else masks_of_segments(call, array, ids, frozenset((-1, 0)))
    scores = [info.get("score") for info in infos]
    return Prediction(
        size=size,
        masks=masks,
        scores=None if all(score is None for score in scores) else scores,
        category_ids=[info["label_id"] for info in infos],
    )


def _is_of_pipeline(predictions: Sequence[Any]) -> bool:
    return all(isinstance(one, Mapping) and "label" in one for one in predictions)


def _of_pipeline(call: Call, predictions: Sequence[Mapping[Any, Any]], task: TaskType) -> Prediction:
    """The lists of Hugging Face's pipelines: an object, or a class, each."""
    if not predictions:
        if task is TaskType.CLASSIFICATION:
            raise call.error("as given", "an empty list is no class", "class-missing")
        return Prediction(xyxy=np.zeros((0, 4)), masks=[], category_ids=np.zeros(0, np.int64))
    for one in predictions:
        if not {"label", "score"} <= one.keys() <= {"label", "score", "box", "mask"}:
            text = "expected dicts with label, score, and box or mask, each of an object; found one with the keys "
            raise call.error("as given", text + ", ".join(map(str, one)))
        if one.keys() != predictions[0].keys():
            raise call.error("as given", "some of the dicts have a box or mask, and others do not")
    labels = [str(one["label"]) for one in predictions]
    scores = [one["score"] for one in predictions]
    if all(score is None for score in scores):
        scores = None  # type: ignore[assignment]
    prediction = Prediction(labels=labels, scores=scores)
    if "box" in predictions[0]:
        sides = ("xmin", "ymin", "xmax", "ymax")
        prediction.xyxy = [[one["box"][side] for side in sides] for one in predictions]
    if "mask" in predictions[0]:
        prediction.masks = [_drawn(call, one["mask"]) for one in predictions]
    elif "box" not in predictions[0]:
        prediction.probabilities, prediction.scores, prediction.are_best = scores, None, True
    return prediction


def _drawn(call: Call, picture: Any) -> Any:
    """A mask as a picture of 0 and 255."""
    mask = to_array(call, "mask", picture)
    if not np.isin(mask, (0, 1, 255)).all():
        raise call.error("mask", "expected pixels of 0 and 255")
    return mask > 0
