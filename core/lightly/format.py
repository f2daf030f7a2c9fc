"""Lightly's prediction format: names, schema, and the JSON of one prediction file.

Source of every rule: https://docs.lightly.ai/docs/prediction-format, and the models in the PyPI package `lightly`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from labelferry.errors import ExportError, UsageError
from labelferry.model import Annotations, Category
from labelferry.task_type import TaskType

TASK_NAME = re.compile(r"[a-zA-Z0-9_+=,.@:/-]+")
SCHEMA = "schema.json"
TASKS = "tasks.json"


def check_task_name(name: str) -> None:
    """Lightly's pattern for task names, which are folders below `.lightly/predictions`.

    Raises:
        UsageError: the name is none.
    """
    if not TASK_NAME.fullmatch(name):
        raise UsageError(f"the task name {name!r} may hold only letters of a-z, digits and _+=,.@:/-")
    # a segment with a dot in front would be a hidden folder, '.' and '..' among them
    if any(not part or part.startswith(".") for part in name.split("/")):
        raise UsageError(f"the task name {name!r} has an empty part or one that begins with a dot")


def image_name(name: str, prefix: str = "") -> str:
    """An image's path relative to the input datasource, as `file_name` holds it.

    Raises:
        ExportError: it is empty, absolute, leaves the datasource, or cannot be a file name.
    """
    if "\\" in name:  # exports made on Windows
        name = name.replace("\\", "/")
    if prefix:
        name = prefix.rstrip("/") + "/" + name
    if not name.isascii() or "\0" in name:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ExportError(f"the image name {name!r} is not Unicode; rename the file", code="file-name") from None
    if name.startswith(("/", ".")) or "/." in name or "//" in name or name.endswith("/"):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        absolute = name.startswith("/")
        name = "/".join(parts)
        if absolute or ".." in parts:
            raise ExportError(
                f"the image name {name!r} {'is absolute' if absolute else 'leads out of the datasource'}; "
                "it must be relative to the input datasource's root",
                code="file-name",
            )
    if not name or "\0" in name or name[1:3] == ":/":
        raise ExportError(f"{name!r} is no relative path of an image", code="file-name")
    return name


def prediction_path(name: str) -> str:
    """The prediction file of an image, relative to the task's folder: its path, with the extension `.json`."""
    stem, dot, extension = name.rpartition(".")
    is_extension = dot and "/" not in extension and stem and stem[-1] != "/"
    return f"{stem if is_extension else name}.json"


def encode_schema(task: TaskType, categories: Sequence[Category]) -> bytes:
    """`schema.json`; keypoint categories carry names and edges of their keypoints as COCO's do."""
    entries: list[dict[str, Any]] = []
    for category in categories:
        entry: dict[str, Any] = {"id": category.id, "name": category.name}
        if task is TaskType.KEYPOINT_DETECTION and category.keypoints:
            entry["keypoints"] = category.keypoints
            entry["skeleton"] = category.skeleton
        entries.append(entry)
    return orjson.dumps({"task_type": task.value, "categories": entries}, option=orjson.OPT_INDENT_2)


def encode_predictions(file_name: str, annotations: Annotations) -> bytes:
    """One prediction file.

    Args:
        file_name: as `image_name` gives it.
        annotations: as `conform` gives them.
    """
    columns: dict[str, Sequence[Any]] = {}
    if annotations.keypoints is not None:
        columns["keypoints"] = [points.ravel() for points in annotations.keypoints]
    if annotations.masks is not None:
        columns["segmentation"] = [mask.counts for mask in annotations.masks]
    if annotations.boxes is not None:
        columns["bbox"] = annotations.boxes.tolist()
    if annotations.scores is not None:
        columns["score"] = annotations.scores.tolist()
    if annotations.probabilities is not None:
        columns["probabilities"] = annotations.probabilities.tolist()
    category_ids = annotations.category_ids.tolist()
    if columns.keys() == {"bbox", "score"}:  # plain detection, the most frequent by far: spelt out, it takes a quarter
        boxes, scores = columns["bbox"], columns["score"]
        predictions: list[dict[str, Any]] = [
            {"category_id": category_id, "bbox": box, "score": score}
            for category_id, box, score in zip(category_ids, boxes, scores, strict=True)
        ]
    else:
        keys = ("category_id", *columns)
        rows = zip(category_ids, *columns.values(), strict=True)
        predictions = [dict(zip(keys, row, strict=True)) for row in rows]
    return orjson.dumps({"file_name": file_name, "predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)
