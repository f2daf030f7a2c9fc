"""What Lightly demands of one image, and what becomes of what does not meet it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelferry.errors import ExportError
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.conform import Target, conform
from labelferry.masks.rle import RunLengthMask
from labelferry.model import Annotations, Category
from labelferry.task_type import TaskType

DETECTION = TaskType.OBJECT_DETECTION
CATEGORIES = [Category(1, "cat"), Category(5, "dog"), Category(9, "person", ("head", "tail"))]
SIZE = (64, 48)


def target(task: TaskType = DETECTION, **plan: Any) -> Target:
    return Target(task, plan_categories(CATEGORIES, **plan), 1.0)


def boxes(*rows: tuple[float, ...], **columns: Any) -> Annotations:
    return Annotations(np.full(len(rows), 5), SIZE, np.array(rows, float).reshape(-1, 4), **columns)


def codes(annotations: Annotations) -> dict[str, int]:
    return {finding.code: finding.count for finding in annotations.findings}


def conformed(annotations: Annotations, to: Target) -> Annotations:
    result = conform(annotations, to)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("box", "expected", "code"),
    [
        ((10.1, 10.2, 20.3, 20.4), (10.1, 10.2, 20.3, 20.4), None),
        ((0, 0, 64, 48), (0, 0, 64, 48), None),
        (
            (54, 38, 10.009, 10),
            (54, 38, 10.009, 10),
            None,
        ),  # rounding at the right edge is no breach of Lightly's rules
        ((-5, -6, 10, 10), (0, 0, 5, 4), "box-clipped"),
        ((60, 40, 10, 10), (60, 40, 4, 8), "box-clipped"),
        ((-1, -1, 100, 100), (0, 0, 64, 48), "box-clipped"),
        ((-0.004, 5, 10, 10), (0, 5, 9.996, 10), "box-rounded"),
        ((10, 10, 0, 20), (9.5, 10, 1, 20), "box-grown"),
        ((10, 10, 0.5, 0.5), (9.75, 9.75, 1, 1), "box-grown"),
        ((0, 0, 0, 0), (0, 0, 1, 1), "box-grown"),
        ((63.9, 47.9, 0.1, 0.1), (63, 47, 1, 1), "box-grown"),
        ((64, 10, 5, 5), None, "box-outside"),
        ((10, -9, 5, 5), None, "box-outside"),
        ((float("nan"), 1, 2, 3), None, "box-not-finite"),
        ((1, 1, float("inf"), 3), None, "box-not-finite"),
        ((10, 10, -1, 5), None, "box-negative-size"),
        ((1e308, 1, 1e308, 3), None, "box-outside"),
    ],
)
def test_boxes_are_kept_repaired_or_refused(box: Any, expected: Any, code: str | None) -> None:
    given = boxes((1, 2, 3, 4), box)
    result = conformed(given, target())
    kept = [(1, 2, 3, 4)] + ([expected] if expected else [])
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes, kept, rtol=0, atol=1e-12)
    assert codes(given) == ({code: 1} if code else {})


FLOATS = st.floats(-200, 200) | st.floats() | st.sampled_from([0.0, 1.0, 48.0, 64.0])


@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS, FLOATS), max_size=6))
def test_every_box_that_comes_out_lies_in_the_image_and_has_a_pixel(rows: list[tuple[float, ...]]) -> None:
    given = boxes(*rows)
    result = conformed(given, target())
    assert result.boxes is not None
    for x, y, width, height in result.boxes.tolist():
        assert x >= 0
        assert y >= 0
        assert width >= 1
        assert height >= 1
        assert x + width <= 64.011
        assert y + height <= 48.011
    if not given.findings:
        assert result.boxes.tolist() == [list(row) for row in rows], "bit for bit"
    dropped = {"box-outside", "box-not-finite", "box-negative-size"}
    assert len(rows) - len(result) == sum(n for code, n in codes(given).items() if code in dropped)


def test_categories_are_renumbered_left_out_or_unknown() -> None:
    given = boxes(*[(1, 1, 2, 2)] * 4)
    given.category_ids = np.array([1, 5, 9, 7])
    result = conformed(given, target(classes={"dog": "pet", "cat": "pet"}))
    assert result.category_ids.tolist() == [0, 0]
    assert codes(given) == {"unknown-category": 1, "class-left-out": 1}


@pytest.mark.parametrize(
    ("score", "expected", "code"),
    [
        (0.0, 0.0, None),
        (1.0, 1.0, None),
        (1.0000001, 1.0, "score-rounded"),
        (-0.0000001, 0.0, "score-rounded"),
        (1.1, None, "score-out-of-range"),
        (87.0, None, "score-out-of-range"),
        (float("nan"), None, "score-out-of-range"),
    ],
)
def test_scores_are_in_0_1(score: float, expected: float | None, code: str | None) -> None:
    given = boxes((1, 1, 2, 2), (1, 1, 2, 2), scores=np.array([0.5, score]))
    result = conformed(given, target())
    assert result.scores is not None
    assert result.scores.tolist() == [0.5] + ([] if expected is None else [expected])
    assert codes(given) == ({code: 1} if code else {})
    if score == 87.0:
        assert "percentage" in given.findings[0].message


def test_probabilities_are_renormalised_within_rounding_and_refused_beyond() -> None:
    rows = [[0.5, 0.25, 0.25], [0.5, 0.25, 0.2501], [2.0, -1.0, 0.0], [0.9, 0.9, 0.9], [np.nan, 1, 0]]
    given = boxes(*[(1, 1, 2, 2)] * 5, probabilities=np.array(rows))
    result = conformed(given, target())
    assert result.probabilities is not None
    np.testing.assert_allclose(result.probabilities, [rows[0], np.array(rows[1]) / 1.0001])
    assert codes(given) == {"probabilities-renormalised": 1, "probabilities-sum": 3}
    with pytest.raises(ExportError, match="2 probabilities for 3 categories"):
        conform(boxes((1, 1, 2, 2), probabilities=np.array([[0.5, 0.5]])), target())


def test_probabilities_that_were_all_on_classes_left_out_become_certain() -> None:
    given = boxes((1, 1, 2, 2), probabilities=np.array([[1.0, 0, 0]]))
    result = conformed(given, target(classes={"dog": "dog", "person": "person"}))
    assert result.probabilities is not None
    assert result.probabilities.tolist() == [[1, 0]]


def mask(*region: Any) -> RunLengthMask:
    pixels = np.zeros((48, 64), bool)
    for part in region:
        pixels[part] = True
    return RunLengthMask.from_array(pixels)


def test_masks_are_as_large_as_the_image_and_not_empty_and_give_boxes() -> None:
    masks = [mask(np.s_[2:4, 3:9]), mask(), RunLengthMask.from_array(np.ones((5, 5)))]
    given = Annotations(np.array([1, 1, 5]), SIZE, masks=masks)
    result = conformed(given, target(TaskType.INSTANCE_SEGMENTATION))
    assert list(result.masks or ()) == masks[:1]
    assert result.boxes is not None
    assert result.boxes.tolist() == [[3, 2, 6, 2]]
    assert codes(given) == {"mask-size": 1, "mask-empty": 1}


def test_semantic_segmentation_has_one_entry_a_category_with_the_best_score() -> None:
    masks = [mask(np.s_[2:4, 3:9]), mask(np.s_[3:6, 5:7]), mask(np.s_[0, 0])]
    given = Annotations(np.array([9, 9, 1]), SIZE, masks=masks, scores=np.array([0.25, 0.5, 0.75]))
    result = conformed(given, target(TaskType.SEMANTIC_SEGMENTATION))
    assert result.category_ids.tolist() == [0, 2]
    assert list(result.masks or ()) == [masks[2], mask(np.s_[2:4, 3:9], np.s_[3:6, 5:7])]
    assert result.scores is not None
    assert result.scores.tolist() == [0.75, 0.5]
    assert result.boxes is None


def keypoints(*rows: list[list[float]]) -> Annotations:
    return Annotations(np.full(len(rows), 9), SIZE, keypoints=[np.array(row, float) for row in rows])


def test_keypoints_are_as_many_as_named_finite_and_not_negative() -> None:
    given = keypoints(
        [[1, 2, 0.5], [100, 3, 1]],
        [[1, 2, 0.5]],
        [[1, np.nan, 0.5], [1, 2, 1]],
        [[1, 2, 2], [1, 2, 1]],
        [[-3, 2, 0], [1, 2, 1]],
    )
    result = conformed(given, target(TaskType.KEYPOINT_DETECTION))
    assert [points.tolist() for points in result.keypoints or ()] == [
        [[1, 2, 0.5], [100, 3, 1]],
        [[0, 2, 0], [1, 2, 1]],
    ]
    assert codes(given) == {"broken-keypoints": 3, "keypoint-clipped": 1}
    assert result.boxes is None, "Lightly infers a box where none is given"


def test_keypoints_give_the_tight_box_around_them_for_detection() -> None:
    result = conformed(keypoints([[5, 6, 1], [9, 20, 0]]), target())
    assert result.boxes is not None
    assert result.boxes.tolist() == [[5, 6, 4, 14]]
    assert result.keypoints is None


def test_classification_has_exactly_one_entry_with_probabilities() -> None:
    to = target(TaskType.CLASSIFICATION)
    result = conformed(Annotations(np.array([5])), to)
    assert result.probabilities is not None
    assert result.probabilities.tolist() == [[0, 1, 0]]
    with pytest.raises(ExportError, match="2 classes for one image"):
        conform(Annotations(np.array([5, 1])), to)
    with pytest.raises(ExportError, match="no class"):
        conform(Annotations.empty(), to)
    assert conform(Annotations(np.array([5])), target(TaskType.CLASSIFICATION, classes={"cat": "cat"})) is None


@pytest.mark.parametrize("size", [None, (0, 5), (5, -1)])
def test_without_a_size_nothing_can_be_said(size: tuple[int, int] | None) -> None:
    with pytest.raises(ExportError) as caught:
        conform(Annotations(np.array([5]), size, np.array([[1, 1, 2, 2.0]])), target())
    assert caught.value.code == "image-size"


@pytest.mark.parametrize("task", [DETECTION, TaskType.KEYPOINT_DETECTION, TaskType.INSTANCE_SEGMENTATION])
def test_an_adapter_that_lacks_the_tasks_column_is_told_so(task: TaskType) -> None:
    with pytest.raises(ExportError, match="the adapter gives n"):
        conform(Annotations(np.array([9]), SIZE), target(task))


@pytest.mark.parametrize("task", list(TaskType)[1:])
def test_an_image_without_objects_conforms(task: TaskType) -> None:
    assert len(conformed(Annotations.empty(SIZE), target(task))) == 0
