"""The JSON of schemas and prediction files.

Source: https://docs.lightly.ai/docs/prediction-format, and the models in the PyPI package `lightly`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from labelferry.columns import Batch, Keypoints
from labelferry.model import Category
from labelferry.run_lengths import Floats, Int64
from labelferry.task_type import TaskType

_LONG = 32
"""Numbers in a row, on average, from which rows are written one by one."""


def encode_schema(task: TaskType, categories: Sequence[Category]) -> bytes:
    """`schema.json`; keypoint categories have the names and edges of their keypoints as COCO's do."""
    entries: list[dict[str, Any]] = []
    for category in categories:
        entry: dict[str, Any] = {"id": category.id, "name": category.name}
        if task is TaskType.KEYPOINT_DETECTION and category.keypoints:
            entry["keypoints"] = category.keypoints
            entry["skeleton"] = category.skeleton
        entries.append(entry)
    return orjson.dumps({"task_type": task.value, "categories": entries}, option=orjson.OPT_INDENT_2)


def encode(batch: Batch) -> list[bytes | None]:
    """The prediction file of each image of a batch as `conform` gives it; None of one that gets no file."""
    objects = _objects(batch) if len(batch) else []
    bounds = batch.bounds.tolist()
    return [
        None if refused else b'{"file_name":%b,"predictions":[%b]}' % (name, b",".join(objects[low:high]))
        for name, (low, high), refused in zip(
            map(orjson.dumps, batch.names), pairwise(bounds), batch.refused.tolist(), strict=True
        )
    ]


def _objects(batch: Batch) -> list[bytes]:
    """The JSON of each object: every column is written as one array, which is cut into the values of the objects."""
    columns: list[list[bytes]] = []
    form = b'{"category_id":%d'
    if batch.keypoints is not None:
        columns.append(_triples(batch.keypoints))
        form += b',"keypoints":[%b]'
    if batch.masks is not None:
        columns.append(_ragged(batch.masks.counts, batch.masks.offsets))
        form += b',"segmentation":[%b]'
    if batch.boxes is not None:
        columns.append(_rows(batch.boxes))
        form += b',"bbox":[%b]'
    if batch.scores is not None:
        columns.append(_dump(batch.scores)[1:-1].split(b","))
        form += b',"score":%b'
    if batch.probabilities is not None:
        columns.append(_probabilities(batch.probabilities))
        form += b"%b"
    rows = zip(batch.category_ids.tolist(), *columns, strict=True)
    return list(map((form + b"}").__mod__, rows))


def _dump(array: NDArray[Any]) -> bytes:
    return orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)


def _rows(array: Floats) -> list[bytes]:
    """The numbers of each row of an (N, K) array, separated by commas."""
    return _dump(array)[2:-2].split(b"],[")


def _probabilities(array: Floats) -> list[bytes]:
    """The key and the numbers of each row; nothing of a row of NaN."""
    absent: list[bool] = np.isnan(array[:, 0]).tolist()
    rows = zip(absent, _rows(array), strict=True)
    return [b"" if is_absent else b',"probabilities":[%b]' % row for is_absent, row in rows]


def _triples(keypoints: Keypoints) -> list[bytes]:
    counts = np.diff(keypoints.offsets)
    if len(counts) and counts[0] and (counts == counts[0]).all():
        return _rows(keypoints.points.reshape(len(counts), -1))
    points, offsets = _rows(keypoints.points), keypoints.offsets.tolist()
    return [b",".join(points[low:high]) for low, high in pairwise(offsets)]


def _ragged(values: Int64, offsets: Int64) -> list[bytes]:
    """The numbers of each row of a ragged column of whole numbers >= 0.

    Short rows are cut from one text by their numbers of digits; long ones are faster row by row.
    """
    if len(values) > _LONG * (len(offsets) - 1):
        return [_dump(values[low:high])[1:-1] for low, high in pairwise(offsets.tolist())]
    text = _dump(values)[1:-1]
    widths, power = np.full(len(values), 2), 10  # with the comma
    highest = int(values.max(initial=0))
    while power <= highest:
        widths += values >= power
        power *= 10
    cuts = np.concatenate(([0], np.cumsum(widths)))[offsets].tolist()
    return [text[low : max(high - 1, low)] for low, high in pairwise(cuts)]
