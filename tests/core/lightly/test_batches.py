"""Batches of images, many of them faulty: the files and findings of an image do not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from labelferry.columns import Batch
from labelferry.findings import Finding
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.conform import Target, conform
from labelferry.lightly.encode import encode, encode_schema
from labelferry.lightly.write import in_order, prepare
from labelferry.model import Annotations, Category
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType
from tests.lightly_models import check_prediction

CATEGORIES = [Category(3, "a", ("x", "y")), Category(7, "b"), Category(8, "c", ("x", "y", "z")), Category(-2, "d")]
IDS = np.array([3, 7, 8, -2])
POINTS = {3: 2, 8: 3}
ODD = np.array([0, -0.001, 1e-9, 0.5, 1, 1.0000001, 64, 48, 64.005, 64.02, -5, 200, 1e308, np.nan, np.inf, -np.inf])
SIZES: list[Any] = [(64, 48), (64, 48), (64, 48), (7, 5), None, (0, 5), (5, -1)]


class Images:
    """Random images that all have the same columns; some of their values break a rule."""

    def __init__(self, seed: int, task: TaskType) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.task = task
        semantic = task is TaskType.SEMANTIC_SEGMENTATION
        self.has_boxes, self.has_scores = rng.random(2) < 0.6
        self.has_masks = semantic or rng.random() < 0.4
        self.has_keypoints = task is TaskType.KEYPOINT_DETECTION or rng.random() < 0.3
        self.has_probabilities = rng.random() < 0.5
        self.lacks_sizes = rng.random() < 0.2

    def numbers(self, shape: tuple[int, ...], odd: float = 0.15) -> Any:
        values = np.round(self.rng.random(shape) * 60, 2)
        which = self.rng.random(shape) < odd
        values[which] = self.rng.choice(ODD, int(which.sum()))
        return values

    def mask(self, width: int, height: int) -> RunLengthMask:
        pixels = self.rng.random((height, width)) < self.rng.choice([0, 0.02, 0.3, 1])
        return RunLengthMask.from_array(pixels)

    def one(self) -> Annotations:
        rng = self.rng
        count = int(rng.choice([0, 1, 1, 2, 3, 7] if self.task is not TaskType.CLASSIFICATION else [0, 1, 1, 1, 2]))
        size = SIZES[int(rng.integers(0, 7 if rng.random() < 0.3 else 4))]
        size = None if self.lacks_sizes and rng.random() < 0.6 else size
        ids = rng.choice(IDS, count)
        if count and rng.random() < 0.1:
            ids[0] = 99
        labels = Annotations(ids.astype(np.int64), size)
        if not count:
            return labels
        labels.boxes = self.numbers((count, 4)) if self.has_boxes else None
        if self.has_scores:
            labels.scores = np.where(rng.random(count) < 0.1, rng.choice(ODD, count), rng.random(count))
        if self.has_probabilities:
            rows = rng.random((count, 4))
            rows /= rows.sum(axis=1, keepdims=True)
            if rng.random() < 0.2:
                rows[0] *= rng.choice([1.0001, 0.995, 2, np.nan])
            labels.probabilities = rows
        if self.has_masks:
            width, height = size if size and min(size) > 0 else (9, 6)
            labels.masks = [self.mask(width, height) if rng.random() < 0.95 else self.mask(height, width) for _ in ids]
        if self.has_keypoints:
            labels.keypoints = []
            for i in ids.tolist():
                points = self.numbers((POINTS.get(i, 2) + (rng.random() < 0.05), 3), 0.03)
                points[:, 2] = np.where(rng.random(len(points)) < 0.04, 2, rng.integers(0, 3, len(points)) / 2)
                labels.keypoints = [*labels.keypoints, points]
        return labels


def converted(
    names: Sequence[str], images: Sequence[Annotations], target: Target, at_once: int
) -> tuple[list[bytes | None], list[tuple[Any, ...]]]:
    """The files, and the findings with the image that they are about."""
    files: list[bytes | None] = []
    findings: list[tuple[Any, ...]] = []
    for start in range(0, len(names), at_once):
        first = start
        for batch in Batch.of(names[start : start + at_once], images[start : start + at_once]):
            prepared = prepare(batch, target)
            files += prepared.files
            found: list[Finding] = sorted(prepared.findings, key=lambda finding: finding.image)
            findings += [(first + f.image, f.kind, f.code, f.where, f.message, f.count, f.lost) for f in found]
            lost = sum(finding.lost for finding in found)
            assert prepared.found == len(batch) == len(prepared.batch) + lost + prepared.batch.merged
            first += len(batch.names)
    return files, findings


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("task", list(TaskType))
def test_an_image_has_the_same_file_and_findings_in_any_batch(task: TaskType, seed: int) -> None:
    images = Images(seed, task)
    classes = [None, {"a": "a", "c": "c"}, {"b": "m", "d": "m"}][seed % 3]
    target = Target(task, plan_categories(CATEGORIES, classes), 1.0, not images.lacks_sizes)
    given = [images.one() for _ in range(90)]  # fewer than the findings of one code that have a text
    names = [f"{i}.jpg" for i in range(len(given))]
    files, findings = converted(names, given, target, len(given))
    for at_once in (32, 7, 1):
        assert converted(names, given, target, at_once) == (files, findings)
    schema = orjson.loads(encode_schema(task, target.plan.categories))
    for content in filter(None, files):
        for prediction in orjson.loads(content)["predictions"]:
            check_prediction(prediction, schema, "task")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", list(TaskType))
def test_the_parts_of_a_batch_have_the_files_and_findings_of_the_whole(task: TaskType, seed: int) -> None:
    images = Images(seed, task)
    target = Target(task, plan_categories(CATEGORIES), 1.0, not images.lacks_sizes)
    given = [images.one() for _ in range(60)]
    for one in given[::7]:
        one.findings = [Finding.repair("mended", "here", "found when it was read")]
    for batch in Batch.of([f"{i}.jpg" for i in range(len(given))], given):
        whole = prepare(batch, target)
        files: list[bytes | None] = []
        findings: list[Finding] = []
        cuts = sorted({0, 1, 8, 9, len(batch.names)})
        for low, high in pairwise(cut for cut in cuts if cut <= len(batch.names)):
            part = prepare(batch.part(low, high), target)
            files += part.files
            findings += [replace(one, image=one.image + low) for one in in_order(part.findings)]
        assert files == whole.files
        assert findings == in_order(whole.findings)


@pytest.mark.parametrize("task", list(TaskType))
def test_files_are_what_a_json_library_writes_of_the_objects(task: TaskType) -> None:
    images = Images(5, task)
    target = Target(task, plan_categories(CATEGORIES), 1.0, not images.lacks_sizes)
    given = [images.one() for _ in range(60)]
    for batch in Batch.of([f'"{i}" ü.jpg' for i in range(len(given))], given):
        done, _ = conform(batch, target)
        for b, content in enumerate(encode(done)):
            if content is None:
                continue
            labels = done.annotations(b)
            predictions: list[dict[str, Any]] = [{"category_id": i} for i in labels.category_ids.tolist()]
            columns = {
                "keypoints": labels.keypoints and [points.ravel().tolist() for points in labels.keypoints],
                "segmentation": labels.masks and [mask.counts.tolist() for mask in labels.masks],
                "bbox": labels.boxes,
                "score": labels.scores,
                "probabilities": labels.probabilities,
            }
            for key, column in columns.items():
                for prediction, value in zip(predictions, () if column is None else column, strict=False):
                    prediction[key] = value if isinstance(value, list) else value.tolist()
                    if np.isnan(prediction[key]).any():
                        del prediction[key]
            assert content == orjson.dumps({"file_name": f'"{b}" ü.jpg', "predictions": predictions})


def test_every_image_with_a_violation_has_a_finding_and_the_first_hundred_have_a_text() -> None:
    one = Annotations(np.array([7]), (64, 48), np.array([[-5, 1, 10, 10.0]]))
    (batch,) = Batch.of([f"{i}.jpg" for i in range(300)], [one] * 300)
    _, findings = conform(batch, Target(TaskType.OBJECT_DETECTION, plan_categories(CATEGORIES)))
    assert [finding.image for finding in findings] == list(range(300))
    assert [bool(finding.message) for finding in findings] == [True] * 100 + [False] * 200
