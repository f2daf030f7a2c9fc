"""What Lightly demands of one image, and what becomes of what does not meet it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelferry.columns import Batch
from labelferry.findings import Finding
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.conform import Target, conform
from labelferry.lightly.encode import encode
from labelferry.model import Annotations, Category
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

DETECTION = TaskType.OBJECT_DETECTION
CATEGORIES = [Category(1, "cat"), Category(5, "dog"), Category(9, "person", ("head", "tail"))]
SIZE = (64, 48)


def target(task: TaskType = DETECTION, **plan: Any) -> Target:
    return Target(task, plan_categories(CATEGORIES, **plan), 1.0)


def boxes(*rows: tuple[float, ...], **columns: Any) -> Annotations:
    return Annotations(np.full(len(rows), 5), SIZE, np.array(rows, float).reshape(-1, 4), **columns)


class Conformed(NamedTuple):
    """The labels of one image as Lightly accepts them, None if it gets no file, and what was found."""

    labels: Annotations | None
    findings: list[Finding]

    @property
    def codes(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for finding in self.findings:
            counts[finding.code] += finding.count
        return dict(counts)


def conform_one(annotations: Annotations, to: Target) -> Conformed:
    """The labels of one image, between two others that must not change because of it."""
    names = ["before.jpg", "image.jpg", "after.jpg"]
    other = Annotations.empty(SIZE) if to.task is not TaskType.CLASSIFICATION else Annotations(np.array([5]))
    (batch,) = Batch.of(names, [other, annotations, other])
    done, findings = conform(batch, to)
    assert {finding.image for finding in findings} <= {1}
    alone, found = conform(next(Batch.of(names[1:2], [annotations])), to)
    assert [(one.code, one.where, one.message, one.count) for one in findings] == [
        (one.code, one.where, one.message, one.count) for one in found
    ]
    assert encode(done)[1:2] == encode(alone)
    return Conformed(None if done.refused[1] else done.annotations(1), findings)


def conformed(annotations: Annotations, to: Target) -> tuple[Annotations, dict[str, int]]:
    result = conform_one(annotations, to)
    assert result.labels is not None
    return result.labels, result.codes


def refusal(annotations: Annotations, to: Target) -> Finding:
    """The one error because of which the image gets no file."""
    result = conform_one(annotations, to)
    assert result.labels is None
    (finding,) = result.findings
    assert (finding.kind, finding.where) == ("error", "image.jpg")
    assert finding.lost == len(annotations)
    return finding


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
        ((-0.02, 5, 10, 10), (0, 5, 9.98, 10), "box-clipped"),
        ((54, 38, 10.02, 10), (54, 38, 10, 10), "box-clipped"),
        ((10, 10, 0, 20), (9.5, 10, 1, 20), "box-grown"),
        ((10, 10, 0.5, 0.5), (9.75, 9.75, 1, 1), "box-grown"),
        ((0, 0, 0, 0), (0, 0, 1, 1), "box-grown"),
        ((63.9, 47.9, 0.1, 0.1), (63, 47, 1, 1), "box-grown"),
        ((64, 10, 5, 5), None, "box-outside"),
        ((10, -9, 5, 5), None, "box-outside"),
        ((float("nan"), 1, 2, 3), None, "box-not-finite"),
        ((1, 1, float("inf"), 3), None, "box-not-finite"),
        ((10, 10, -1, 5), None, "box-negative-size"),
        ((1e308, 1, 1e308, 3), None, "box-not-finite"),
    ],
)
def test_boxes_are_kept_repaired_or_refused(box: Any, expected: Any, code: str | None) -> None:
    given = boxes((1, 2, 3, 4), box)
    result, codes = conformed(given, target())
    kept = [(1, 2, 3, 4)] + ([expected] if expected else [])
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes, kept, rtol=0, atol=1e-12)
    assert codes == ({code: 1} if code else {})


FLOATS = st.floats(-200, 200) | st.floats() | st.sampled_from([0.0, 1.0, 48.0, 64.0])


@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS, FLOATS), min_size=1, max_size=6))
def test_every_box_that_comes_out_lies_in_the_image_and_has_a_pixel(rows: list[tuple[float, ...]]) -> None:
    given = boxes(*rows)
    result, codes = conformed(given, target())
    assert result.boxes is not None
    for x, y, width, height in result.boxes.tolist():
        assert x >= 0
        assert y >= 0
        assert width >= 1
        assert height >= 1
        assert x + width <= 64.011
        assert y + height <= 48.011
    if not codes:
        assert result.boxes.tolist() == [list(row) for row in rows], "bit for bit"
    dropped = {"box-outside", "box-not-finite", "box-negative-size"}
    assert len(rows) - len(result) == sum(n for code, n in codes.items() if code in dropped)


def test_categories_are_renumbered_left_out_or_unknown() -> None:
    given = boxes(*[(1, 1, 2, 2)] * 4)
    given.category_ids = np.array([1, 5, 9, 7])
    result, codes = conformed(given, target(classes=["pet"], rename={"dog": "pet", "cat": "pet"}))
    assert result.category_ids.tolist() == [0, 0]
    assert codes == {"unknown-category": 1, "class-left-out": 1}


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
    result, codes = conformed(given, target())
    assert result.scores is not None
    assert result.scores.tolist() == [0.5] + ([] if expected is None else [expected])
    assert codes == ({code: 1} if code else {})
    if score == 87.0:
        assert "percentage" in conform_one(given, target()).findings[0].message


def test_probabilities_are_renormalised_within_rounding_and_refused_beyond() -> None:
    rows = [[0.5, 0.25, 0.25], [0.5, 0.25, 0.2501], [2.0, -1.0, 0.0], [0.9, 0.9, 0.9], [np.nan, 1, 0]]
    given = boxes(*[(1, 1, 2, 2)] * 5, probabilities=np.array(rows))
    result, codes = conformed(given, target())
    assert result.probabilities is not None
    np.testing.assert_allclose(result.probabilities, [rows[0], np.array(rows[1]) / 1.0001])
    assert codes == {"probabilities-renormalised": 1, "probabilities-sum": 3}
    short = boxes((1, 1, 2, 2), probabilities=np.array([[0.5, 0.5]]))
    assert refusal(short, target()).message == "2 probabilities for 3 categories"


def test_probabilities_that_were_all_on_classes_left_out_become_certain() -> None:
    given = boxes((1, 1, 2, 2), probabilities=np.array([[1.0, 0, 0]]))
    result, _ = conformed(given, target(classes={"dog": "dog", "person": "person"}))
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
    result, codes = conformed(given, target(TaskType.INSTANCE_SEGMENTATION))
    assert list(result.masks or ()) == masks[:1]
    assert result.boxes is not None
    assert result.boxes.tolist() == [[3, 2, 6, 2]]
    assert codes == {"mask-size": 1, "mask-empty": 1}


@pytest.mark.parametrize("runs", [3, 31, 34, 1000])
def test_run_lengths_are_written_whole_however_many_there_are(runs: int) -> None:
    counts = [np.random.default_rng(i).integers(1, 10 ** (1 + i), runs - i % 2) for i in range(4)]
    masks = [RunLengthMask(one, 1, int(one.sum())) for one in counts]
    images = [Annotations(np.array([1]), (mask.width, 1), masks=[mask]) for mask in masks]
    (batch,) = Batch.of(list("abcd"), images)
    done, _ = conform(batch, target(TaskType.SEMANTIC_SEGMENTATION))
    written = [orjson.loads(content or b"")["predictions"][0]["segmentation"] for content in encode(done)]
    assert written == [one.tolist() for one in counts]


def test_an_empty_mask_has_no_box() -> None:
    given = Annotations(np.array([1, 1]), SIZE, masks=[mask(), mask(np.s_[2:4, 3:9])])
    result, codes = conformed(given, target(DETECTION))
    assert result.boxes is not None
    assert result.boxes.tolist() == [[3, 2, 6, 2]]
    assert codes == {"mask-empty": 1}


def test_semantic_segmentation_has_one_entry_a_category_with_the_best_score() -> None:
    masks = [mask(np.s_[2:4, 3:9]), mask(np.s_[3:6, 5:7]), mask(np.s_[0, 0])]
    given = Annotations(np.array([9, 9, 1]), SIZE, masks=masks, scores=np.array([0.25, 0.5, 0.75]))
    result, _ = conformed(given, target(TaskType.SEMANTIC_SEGMENTATION))
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
    result, codes = conformed(given, target(TaskType.KEYPOINT_DETECTION))
    assert [points.tolist() for points in result.keypoints or ()] == [
        [[1, 2, 0.5], [100, 3, 1]],
        [[0, 2, 0], [1, 2, 1]],
    ]
    assert codes == {"broken-keypoints": 3, "keypoint-clipped": 1, "keypoint-outside": 1}
    assert result.boxes is None, "Lightly infers a box where none is given"


def test_keypoints_right_of_or_below_the_image_are_a_warning_unless_their_score_is_0() -> None:
    width, height = SIZE
    inside, beyond = [[width, height, 1], [2 * width, 1, 0]], [[1, 1, 1], [1, height + 0.5, 0.25]]
    result, codes = conformed(keypoints(inside, beyond), target(TaskType.KEYPOINT_DETECTION))
    assert [points.tolist() for points in result.keypoints or ()] == [inside, beyond]
    assert codes == {"keypoint-outside": 1}


def test_keypoints_give_the_tight_box_around_them_for_detection() -> None:
    result, _ = conformed(keypoints([[5, 6, 1], [9, 20, 0]]), target())
    assert result.boxes is not None
    assert result.boxes.tolist() == [[5, 6, 4, 14]]
    assert result.keypoints is None


def test_classification_has_exactly_one_entry_with_probabilities() -> None:
    to = target(TaskType.CLASSIFICATION)
    result, _ = conformed(Annotations(np.array([5])), to)
    assert result.probabilities is not None
    assert result.probabilities.tolist() == [[0, 1, 0]]
    assert refusal(Annotations(np.array([5, 1])), to).message.startswith("2 classes for one image")
    assert refusal(Annotations.empty(), to).message == "the image has no class"
    left_out = conform_one(Annotations(np.array([1])), target(TaskType.CLASSIFICATION, classes={"dog": "dog"}))
    assert (left_out.labels, left_out.codes) == (None, {"class-left-out": 1})


@pytest.mark.parametrize("size", [None, (0, 5), (5, -1)])
def test_without_a_size_nothing_can_be_said(size: tuple[int, int] | None) -> None:
    assert refusal(Annotations(np.array([5]), size, np.array([[1, 1, 2, 2.0]])), target()).code == "image-size"


@pytest.mark.parametrize("task", [DETECTION, TaskType.KEYPOINT_DETECTION, TaskType.INSTANCE_SEGMENTATION])
def test_an_adapter_that_lacks_the_tasks_column_is_told_so(task: TaskType) -> None:
    assert refusal(Annotations(np.array([9]), SIZE), target(task)).message.startswith("the adapter gives n")


@pytest.mark.parametrize("task", list(TaskType)[1:])
def test_an_image_without_objects_conforms(task: TaskType) -> None:
    assert len(conformed(Annotations.empty(SIZE), target(task))[0]) == 0


def test_probabilities_of_objects_that_are_united_are_left_out_and_reported() -> None:
    masks = [RunLengthMask.from_array(np.eye(48, 64, k) > 0) for k in range(3)]
    rows = np.array([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
    given = Annotations(np.array([1, 5, 1]), SIZE, masks=masks, probabilities=rows)
    result = conform_one(given, target(TaskType.SEMANTIC_SEGMENTATION))
    assert result.codes == {"probabilities-left-out": 2}
    assert [(one.where, one.kind) for one in result.findings] == [("image.jpg, object 1", "repair")]
    assert result.labels is not None
    assert result.labels.probabilities is not None
    np.testing.assert_array_equal(result.labels.probabilities, [[np.nan] * 3, [0, 1, 0]])


def test_a_score_out_of_range_does_not_delete_its_class_in_semantic_segmentation() -> None:
    masks = [mask(np.s_[2:4, 3:9]), mask(np.s_[3:6, 5:7]), mask(np.s_[10:12, :])]
    given = Annotations(np.array([9, 9, 9]), SIZE, masks=masks, scores=np.array([0.25, 7, 0.5]))
    result, codes = conformed(given, target(TaskType.SEMANTIC_SEGMENTATION))
    assert list(result.masks or ()) == [mask(np.s_[2:4, 3:9], np.s_[10:12, :])]
    assert codes == {"score-out-of-range": 1}


def test_an_uneven_row_of_probabilities_leaves_the_other_rows_of_its_image() -> None:
    rows = [[0.5, 0.25, 0.25 + 5e-7], [0.5, 0.25, 0.2501]]
    result, codes = conformed(boxes(*[(1, 1, 2, 2)] * 2, probabilities=np.array(rows)), target())
    assert result.probabilities is not None
    assert result.probabilities[0].tolist() == rows[0], "bit for bit"
    assert codes == {"probabilities-renormalised": 1}


def test_an_infinite_box_is_an_error_where_no_size_is_known() -> None:
    given = Annotations(np.array([5, 5]), None, np.array([[1, 1, 2, 2], [1, 1, np.inf, 2]]))
    result, codes = conformed(given, Target(DETECTION, target().plan, 1.0, has_sizes=False))
    assert result.boxes is not None
    assert result.boxes.tolist() == [[1, 1, 2, 2]]
    assert codes == {"box-not-finite": 1}


def test_objects_are_numbered_as_read_whatever_is_removed_before() -> None:
    given = boxes((1, 1, 2, 2), (-9, 1, 2, 2), (1, 1, -2, 2), (1, 1, 2, 2), scores=np.array([2, 1, 1, 0.5]))
    where = {finding.code: finding.where for finding in conform_one(given, target()).findings}
    assert where == {
        "score-out-of-range": "image.jpg, object 1",
        "box-outside": "image.jpg, object 2",
        "box-negative-size": "image.jpg, object 3",
    }


def test_only_objects_that_are_merged_lose_their_probabilities() -> None:
    masks = [mask(np.s_[2, 3]), mask(np.s_[3, 5]), mask(np.s_[0, 0])]
    given = Annotations(np.array([9, 9, 1]), SIZE, masks=masks, probabilities=np.eye(3)[[2, 2, 0]])
    (batch,) = Batch.of(["image.jpg"], [given])
    done, _ = conform(batch, target(TaskType.SEMANTIC_SEGMENTATION))
    (content,) = encode(done)
    assert [one.get("probabilities") for one in orjson.loads(content or b"")["predictions"]] == [[1, 0, 0], None]
    assert done.merged == 1


def test_sizes_beyond_64_bits_fail_only_their_own_image() -> None:
    huge = Annotations(np.array([5]), (10**30, -(10**30)), np.array([[1, 1, 2, 2.0]]))
    assert refusal(huge, target()).code == "image-size"
