"""Arguments of `write`: whatever is passed, the error is an ExportError that names the argument and the image."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import labelferry
from tests.core.predictions.clients import Tensor
from tests.lightly_models import read_valid_task

BOXES = np.array([(8, 6, 28, 16), (40.5, 10, 60.25, 20)])
GOOD: dict[str, Any] = {"xyxy": BOXES, "scores": [0.5, 0.25], "category_ids": [0, 1], "size": (64, 48)}
MASKS = np.zeros((2, 48, 64), bool)
MASKS[:, 5:9, 5:9] = True
TASKS = [task.value for task in labelferry.TaskType]


class Hostile:
    """Every way to read it raises something else."""

    def __array__(self, *_: Any) -> Any:
        raise KeyError("no")

    def __iter__(self) -> Any:
        raise ZeroDivisionError

    def __len__(self) -> int:
        raise OSError("no")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("size", size)
            for size in [(48, 64, 3), (64,), (), "64x48", 64, (64.5, 48), (0, 48), (-64, 48), (np.nan, 1)]
        ),
        *(("size", size) for size in [(10**400, 1), (2**40, 2**40), {64, 48}, iter((64, 48)), (None, None), Hostile()]),
        *(("scores", scores) for scores in [[[0.5], [0.25]], np.zeros((2, 2)), [0.5j, 1], ["a", "b"], [None, 1], "ab"]),
        *(("scores", scores) for scores in [iter([0.5, 1]), {0.5, 1}, {0: 1, 1: 1}, [True, False], [[1], [1, 2]]]),
        ("scores", [0.5]),
        ("scores", np.ma.array([0.5, 0.25], mask=[True, False])),
        ("scores", np.array([0.5, 0.25]).astype(object)),
        ("scores", np.array(["2020-01-01"] * 2, "M8[D]")),
        ("scores", Hostile()),
        *(("category_ids", ids) for ids in [[0.5, 1], ["0", "1"], [[0], [1]], [0], [np.nan, 0], [1e30, 0], [2**70, 0]]),
        *(
            ("category_ids", ids)
            for ids in [{0, 1}, iter([0, 1]), [True, False], [None, 0], b"ab", Hostile(), object()]
        ),
        *(("xyxy", boxes) for boxes in [BOXES[:, :3], BOXES[None], BOXES.ravel(), 5, "boxes", [None], [[1, 2]], {}]),
        *(("xyxy", boxes) for boxes in [BOXES * 1j, BOXES > 1, np.ma.masked_equal(BOXES, 6), iter(BOXES), Hostile()]),
        ("xywh", BOXES),
        ("keypoints", np.zeros((2, 3, 4))),
        ("keypoints", [[(1, 2, 3)]]),
        ("keypoints", [[1, 2], [3, 4]]),
        ("keypoints", np.zeros((2, 0, 3)).tolist()),
        ("keypoints", Hostile()),
        ("probabilities", [[0.5, 0.25, 0.25]] * 2),
        ("probabilities", "half"),
        ("probabilities", 0.5),
        ("masks", MASKS[0]),
        ("masks", MASKS[:1]),
        ("masks", MASKS * 0.5),
        ("masks", MASKS * np.nan),
        ("masks", [[[1, 2, 3, "x"]], [[1, 2, 3, 4, 5, 6]]]),
        ("masks", [{"size": [48, 64]}, {}]),
        ("masks", [{"size": 5, "counts": "a"}] * 2),
        ("masks", [Hostile(), Hostile()]),
        ("masks", Hostile()),
        ("masks", "mask"),
        ("mask_threshold", "half"),
        ("mask_threshold", [0.5, 0.5]),
        ("mask_threshold", np.nan),
        ("class_scores", np.zeros((2, 48, 64))),
        ("label_map", np.zeros((48, 64), int)),
    ],
)
def test_the_error_names_the_argument_and_the_image(write: Any, name: str, value: Any) -> None:
    with pytest.raises(labelferry.ExportError, match=rf"^sub/a\.png.*\b{name}\b") as raised:
        write("object-detection", ["a", "b"], file_name="sub/a.png", **{**GOOD, name: value})
    assert "export" not in raised.value.message
    assert "adapter" not in raised.value.message


@pytest.mark.parametrize(
    ("task", "columns", "message"),
    [
        ("object-detection", {"xyxy": BOXES, "size": (64, 48)}, "category_ids: 2 objects, but no category_ids"),
        ("object-detection", {"xyxy": BOXES, "category_ids": [0, 1]}, "size: .* give size="),
        ("object-detection", {"category_ids": [0], "size": (64, 48)}, "needs xyxy= or xywh= or masks= or keypoints="),
        ("instance-segmentation", GOOD, "needs masks="),
        ("semantic-segmentation", GOOD, "needs masks= or class_scores= or label_map="),
        ("keypoint-detection", GOOD, "needs keypoints="),
        ("classification", GOOD, "xyxy: classification takes probabilities="),
        ("classification", {"label_map": np.zeros((48, 64), int)}, "label_map: classification does not take it"),
        ("classification", {"category_ids": [0, 1]}, "2 classes for one image"),
        ("classification", {"probabilities": [5, -3]}, "are they logits"),
        ("classification", {}, "has no class"),
        ("semantic-segmentation", {"class_scores": np.zeros((3, 2, 48, 64))}, "write each image with its own"),
        ("semantic-segmentation", {"class_scores": np.zeros((2, 0, 64))}, "class_scores: expected the shape"),
        ("semantic-segmentation", {"class_scores": np.full((2, 4, 4), np.nan)}, "class_scores: a score is not finite"),
        ("semantic-segmentation", {"class_scores": np.zeros((2, 4, 4)), "scores": [1]}, "class_scores and scores"),
        ("semantic-segmentation", {"label_map": np.zeros((2, 48, 64), int)}, "write each with its own|each image"),
        ("semantic-segmentation", {"label_map": np.full((4, 4), 0.5)}, "label_map: expected whole numbers"),
        ("semantic-segmentation", {"label_map": np.full((4, 4), 7)}, "category id 7 is not among"),
        ("semantic-segmentation", {"label_map": np.zeros((4, 4), int), "size": (5, 4)}, "the image has"),
        (
            "object-detection",
            {**GOOD, "category_ids": [0, 7]},
            "category id 7 is not among those of the task, 0 a, 1 b",
        ),
        ("object-detection", {"predictions": np.zeros((2, 6))}, "predictions .ndarray.*by name"),
        ("object-detection", {"predictions": "a text"}, "predictions .str"),
        ("object-detection", {"predictions": Hostile()}, "predictions .Hostile"),
        ("object-detection", {"predictions": {"box": BOXES}}, "its keys are box. Did you mean 'boxes'"),
        ("object-detection", {"predictions": {"boxes": BOXES, "score": [1, 1]}}, "keys are boxes, score"),
        ("object-detection", {"predictions": [{"label": "a"}]}, "label, score, and box or mask"),
        ("object-detection", {"predictions": [[], []]}, "write each for its own image"),
        ("object-detection", {"predictions": [], "scores": [1]}, "scores: cannot be given beside predictions"),
        ("semantic-segmentation", {"predictions": {"out": np.zeros((1, 2, 4, 4))}}, r"class_scores=output\['out'\]"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(write: Any, task: str, columns: dict[str, Any], message: str) -> None:
    columns = dict(columns)
    given = [columns.pop("predictions")] if "predictions" in columns else []
    with pytest.raises(labelferry.ExportError, match=message) as raised:
        write(task, ["a", "b"], *given, **columns)
    assert str(raised.value).startswith("a.png")
    assert "export" not in raised.value.message
    assert "adapter" not in raised.value.message


@pytest.mark.parametrize("name", [None, 5, b"a.png", "", "/a.png", "../a.png", "a" * 300 + ".png", "\0", "\udc80.png"])
def test_names_of_images(write: Any, name: Any) -> None:
    with pytest.raises(labelferry.ExportError):
        write("object-detection", ["a", "b"], file_name=name, **GOOD)


@pytest.mark.parametrize(
    "categories",
    [None, 5, "a", b"a", [], {}, [None], [1], {"a": "0"}, {"a": 0.5}, {"a": -1}, {"a": True}, {1: 0}, [""]],
)
def test_categories(tmp_path: Path, categories: Any) -> None:
    with pytest.raises(labelferry.LabelferryError):
        labelferry.open_task(tmp_path, "t", "object-detection", categories)


def test_two_categories_of_one_name_are_not_found_by_name(write: Any) -> None:
    boxes = SimpleNamespace(xyxy=BOXES, conf=np.ones(2), cls=np.zeros(2))
    results = SimpleNamespace(orig_shape=(48, 64), names={0: "a", 1: "b"}, boxes=boxes)
    with pytest.raises(labelferry.ExportError, match="categories: two have the name 'a'"):
        write("object-detection", ["a", "a"], results)


def test_masks_of_every_shape_and_threshold(write: Any) -> None:
    scores = np.where(MASKS, 0.75, 0.25)
    runs = labelferry.encode(MASKS[0])
    options: dict[str, Any] = {"category_ids": [0, 0]}
    for masks, threshold in [
        (MASKS[:, None], None),
        (scores, 0.5),
        (Tensor(scores[:, None], bfloat16=True), 0.5),
        (MASKS.astype(np.uint8) * 255, 127),
        (np.where(MASKS, 3.0, -2), 0),
        (list(scores), 0.5),
        ([Tensor(mask[None]) for mask in scores], 0.5),
        (MASKS, 0.5),
        ([np.array([(5, 5), (9, 5), (9, 9), (5, 9)])[None]] * 2, None),
    ]:
        if isinstance(masks, list) and np.shape(masks[0]) == (1, 4, 2):
            masks = [[one[0]] for one in masks]
            options["size"] = (64, 48)
        found = write("instance-segmentation", ["car"], masks=masks, mask_threshold=threshold, **options)
        assert [p["segmentation"] for p in found] == [runs, runs]
    assert write("instance-segmentation", ["car"], size=(64, 48), mask_threshold=0.5) == []
    assert write("instance-segmentation", ["car"], masks=np.zeros((0, 48, 64)), size=(64, 48)) == []


def test_label_maps(write: Any) -> None:
    label_map = np.array([[0, 0, 2], [2, 1, 2]])
    for given in (label_map, Tensor(label_map[None]), label_map.astype(np.float32), label_map.tolist()):
        found = write("semantic-segmentation", ["a", "b", "c"], label_map=given)
        assert [(p["category_id"], p["segmentation"]) for p in found] == [
            (0, [0, 2, 4]),
            (1, [4, 1, 1]),
            (2, [2, 2, 1, 1]),
        ]
    (found,) = write("semantic-segmentation", {"c": 2}, label_map=label_map)
    assert found["segmentation"] == [2, 2, 1, 1]
    assert [(note.code, note.count) for note in write.report.notes] == [("class-left-out", 2)]


def test_logits_are_not_divided_by_their_sum(write: Any) -> None:
    """Of some classes of a model, whose probabilities are: they would look like probabilities."""
    with pytest.raises(labelferry.ExportError, match="logits"):
        write("classification", {"a": 0, "b": 2}, probabilities=[5.0, 3, 2])
    with pytest.raises(labelferry.ExportError, match="none of them is on a category"):
        write("classification", {"a": 0, "b": 2}, probabilities=[0.0, 1, 0])


def test_findings_are_shown_once_when_the_block_ends(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with labelferry.open_task(tmp_path, "t", "object-detection", ["a", "b"], on_error="skip") as task:
            task.write("a.png", **{**GOOD, "xyxy": BOXES - 10})
            task.write("b.png", **{**GOOD, "scores": [[1], [1]]})
            task.write("c.png", **{**GOOD, "category_ids": [0, 7]})
    (warning,) = shown
    assert (warning.category, warning.filename) == (UserWarning, __file__)
    lines = str(warning.message).splitlines()[1:]
    assert [line.strip() for line in lines if not line.startswith("    ")] == [
        "1 left out, as they cannot be used: unknown-category",
        "1 left out, as they cannot be used: wrong-argument",
        "1 repaired: box-clipped",
    ]
    assert "    b.png: scores: expected the shape (N,), a number for each object; found (2, 1)" in lines
    report = task.report
    assert (report.found_objects, report.lost_objects, report.found_images, report.lost_images) == (6, 3, 3, 1)
    assert len(read_valid_task(tmp_path, "t")[1]) == 2


def test_nothing_is_shown_where_there_is_nothing_to_say(write: Any) -> None:
    write("object-detection", ["a", "b"], **GOOD)
    assert write.shown == []


def test_a_task_of_which_every_image_was_left_out_is_not_published(tmp_path: Path) -> None:
    with (
        pytest.raises(labelferry.ExportError, match=r"no image was written .* The first error: a\.png: scores: "),
        labelferry.open_task(tmp_path / "d", "t", "object-detection", ["a", "b"], on_error="skip") as task,
    ):
        task.write("a.png", **{**GOOD, "scores": "none"})
    assert not (tmp_path / "d").exists()


def test_a_task_without_images_is_a_warning(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="no image was written"),
        labelferry.open_task(tmp_path, "t", "object-detection", ["a"]),
    ):
        pass


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3), st.complex_numbers())
arrays = hnp.arrays(
    st.sampled_from([np.float64, np.float16, np.int64, np.uint8, np.bool_, np.complex128, "U2", "M8[s]"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
leaves = st.one_of(
    numbers,
    arrays,
    arrays.map(Tensor),
    arrays.map(lambda array: np.ma.array(array, mask=array.astype(str) == "0")),
    st.just(Hostile()),
    st.builds(object),
    st.sets(st.integers(), max_size=2),
    st.binary(max_size=3),
    st.just(labelferry.RunLengthMask.from_array(MASKS[0])),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(
            st.sampled_from(["boxes", "labels", "scores", "masks", "label", "score", "box", "mask", "size", "counts"]),
            inner,
            max_size=4,
        ),
        st.builds(
            SimpleNamespace, orig_shape=inner, names=inner, boxes=inner, masks=inner, probs=inner, semantic_mask=inner
        ),
        st.builds(SimpleNamespace, class_id=inner, xyxy=inner, mask=inner, confidence=inner, data=inner),
        st.builds(SimpleNamespace, class_id=inner, xy=inner, confidence=inner),
        st.builds(lambda segments, infos: {"segmentation": segments, "segments_info": infos}, inner, inner),
    ),
    max_leaves=6,
)
names = ("size", "xywh", "xyxy", "scores", "category_ids", "masks", "mask_threshold", "keypoints", "probabilities")
columns = st.dictionaries(st.sampled_from([*names, "class_scores", "label_map"]), anything, max_size=4)
plausible = st.fixed_dictionaries(
    {"size": st.just((4, 4))},
    optional={
        "xyxy": hnp.arrays(np.float64, st.tuples(st.integers(0, 3), st.just(4))),
        "scores": hnp.arrays(np.float64, st.integers(0, 3)),
        "category_ids": hnp.arrays(np.int64, st.integers(0, 3), elements=st.integers(0, 2)),
        "masks": hnp.arrays(np.bool_, st.tuples(st.integers(0, 3), st.just(4), st.just(4))),
        "keypoints": hnp.arrays(np.float64, st.tuples(st.integers(0, 3), st.just(2), st.just(3))),
        "probabilities": hnp.arrays(np.float64, st.tuples(st.integers(0, 3), st.just(2))),
    },
)


@given(
    st.sampled_from(TASKS),
    st.sampled_from([["a", "b"], {"a": 0}, ["a"]]),
    st.one_of(st.none(), anything),
    st.one_of(columns, plausible, st.tuples(plausible, columns).map(lambda pair: {**pair[0], **pair[1]})),
)
@settings(max_examples=400)
def test_no_other_exception_whatever_is_passed(
    tmp_path_factory: Any, task: str, categories: Any, predictions: Any, columns: dict[str, Any]
) -> None:
    """And every image has a valid file, or is counted as left out."""
    folder = tmp_path_factory.mktemp("task")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "task 't'", UserWarning)
        with labelferry.open_task(folder, "t", task, categories, on_error="skip") as writer:
            first = {"label_map": [[0]]} if task == "semantic-segmentation" else {"size": (1, 1)}
            writer.write("first.png", **{"category_ids": 0} if task == "classification" else first)  # type: ignore[arg-type]
            writer.write("a.png", predictions, **columns)
    found = read_valid_task(folder, "t")[1]
    kinds = Counter(one.code for one in writer.report.errors)
    assert "adapter-failed" not in kinds
    assert writer.report.found_images == 2
    assert len(found) == 2 - writer.report.lost_images
    assert "a.png" in found or kinds or writer.report.notes  # a class that is left out as asked
