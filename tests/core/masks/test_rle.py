"""Run lengths, against pycocotools and the function of Lightly's documentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as pycocotools_mask

from labelferry.findings import Finding
from labelferry.masks.coco import masks_from_coco, masks_of_image, masks_of_images
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.run_lengths import MAX_PIXELS, Masks, RunLengthMask, decode, encode
from tests.conformance.test_real_coco import documented_encode
from tests.limits import run_limited

SIDES = st.one_of(st.just(1), st.integers(1, 40))
SHAPES = st.tuples(SIDES, SIDES)
BITMAPS = SHAPES.flatmap(
    lambda shape: st.one_of(
        st.just(np.zeros(shape, np.uint8)),
        st.just(np.ones(shape, np.uint8)),
        hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)),
    )
)
COORDINATES = st.one_of(
    st.integers(-30, 70).map(float), st.floats(-30, 70, width=32), st.sampled_from([0.0, 20.0, 40.0])
)
POINTS = [[1, 1, 9, 1, 9, 9]]
SHORT = [[1, 1, 9, 1, 9, 9], [2, 2]]
POLYGON = st.lists(COORDINATES, min_size=6, max_size=24).map(lambda points: points[: len(points) // 2 * 2])


def segmented(segmentations: list[Any], height: int, width: int) -> tuple[list[RunLengthMask | None], list[Finding]]:
    """The masks of segmentations of one image, None where there is none, and the findings."""
    sizes = np.full((len(segmentations), 2), (width, height))
    found = masks_from_coco(segmentations, sizes, lambda i: f"object {i}")
    masks: list[RunLengthMask | None] = [None] * len(segmentations)
    for row, mask in zip(found.rows.tolist(), found.masks, strict=True):
        masks[row] = mask
    return masks, found.findings


def column_major(bitmap: Any) -> dict[str, Any]:
    return pycocotools_mask.encode(np.asfortranarray(bitmap))


@given(BITMAPS)
def test_encode_equals_the_documented_function_and_decode_undoes_it(bitmap: Any) -> None:
    assert encode(bitmap) == documented_encode(bitmap)
    assert np.array_equal(decode(encode(bitmap), bitmap.shape), bitmap)


@given(BITMAPS)
def test_compressed_and_uncompressed_coco_rle_equal_pycocotools_decode(bitmap: Any) -> None:
    height, width = bitmap.shape
    compressed = column_major(bitmap)
    flat = bitmap.T.ravel()
    flips = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
    uncompressed = {"size": [height, width], "counts": np.diff([0, *flips, flat.size]).tolist()}
    as_text = {"size": [height, width], "counts": compressed["counts"].decode()}
    masks, problems = segmented([compressed, uncompressed, as_text], height, width)
    assert not problems
    for mask in masks:
        assert mask is not None
        assert mask.counts.tolist() == documented_encode(bitmap)
        assert mask.box == tuple(pycocotools_mask.toBbox(compressed))
        assert mask.area == pycocotools_mask.area(compressed)


@settings(max_examples=300)
@given(st.lists(st.lists(POLYGON, min_size=1, max_size=3), min_size=1, max_size=5), SHAPES)
def test_polygons_equal_pycocotools_decode_wherever_they_lie(objects: list[Any], shape: tuple[int, int]) -> None:
    height, width = shape
    masks, problems = segmented(objects, height, width)
    over = [
        max(max(-x, -y, x - width, y - height) for part in polygons for x, y in zip(part[::2], part[1::2], strict=True))
        for polygons in objects
    ]
    assert [(p.code, p.image) for p in problems] == [("polygon-clipped", i) for i, o in enumerate(over) if o > 0.5]
    for mask, polygons in zip(masks, objects, strict=True):
        rle = pycocotools_mask.merge(pycocotools_mask.frPyObjects(polygons, height, width))
        assert mask is not None
        assert mask.counts.tolist() == documented_encode(pycocotools_mask.decode(rle))


@given(st.lists(BITMAPS, min_size=1, max_size=4))
def test_a_union_holds_the_pixels_of_any(bitmaps: list[Any]) -> None:
    bitmaps = [bitmap for bitmap in bitmaps if bitmap.shape == bitmaps[0].shape]
    joined = Masks.of([RunLengthMask.from_array(bitmap) for bitmap in bitmaps]).unions(
        np.zeros(len(bitmaps), np.int64)
    )[0]
    assert joined.counts.tolist() == documented_encode(np.any(bitmaps, axis=0))


@given(
    SHAPES.flatmap(
        lambda shape: hnp.arrays(st.sampled_from([np.uint8, np.uint16, np.int32]), shape, elements=st.integers(0, 5))
    )
)
def test_every_value_of_a_label_map_has_the_mask_of_its_pixels(label_map: Any) -> None:
    masks = masks_from_label_map(label_map)
    assert list(masks) == np.unique(label_map).tolist()
    for value, mask in masks.items():
        assert mask.counts.tolist() == documented_encode(label_map == value)


def test_a_label_map_larger_than_a_block_is_whole() -> None:
    label_map = np.random.default_rng(0).integers(0, 3, (700, 1001)).astype(np.uint8)
    for value, mask in masks_from_label_map(label_map).items():
        assert mask.counts.tolist() == documented_encode(label_map == value)


def test_the_documented_example() -> None:
    assert encode([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]]) == [2, 2, 1, 3, 3, 1]


def test_polygons_of_fewer_than_three_points_are_dropped_and_reported() -> None:
    masks, problems = segmented([[[1, 2, 3, 4]], [[1, 1, 5, 1, 5, 5, 1, 5], [2, 2]]], 10, 10)
    assert masks[0] is None
    assert masks[1] is not None
    assert masks[1].box == (1, 1, 4, 4)
    assert [(p.where, p.code, p.lost) for p in problems] == [
        ("object 0", "polygon-too-short", 1),
        ("object 1", "polygon-too-short", 0),
    ]


@given(st.lists(BITMAPS, min_size=1, max_size=4), st.booleans())
def test_a_list_of_rles_is_their_union_as_pycocotools_reads_it(bitmaps: list[Any], are_compressed: bool) -> None:
    bitmaps = [bitmap for bitmap in bitmaps if bitmap.shape == bitmaps[0].shape]
    height, width = bitmaps[0].shape
    rles = [column_major(bitmap) for bitmap in bitmaps]
    expected = pycocotools_mask.decode(pycocotools_mask.merge(rles))
    if not are_compressed:
        for rle, bitmap in zip(rles, bitmaps, strict=True):
            flat = bitmap.T.ravel()
            rle["counts"] = np.diff([0, *np.flatnonzero(np.diff(flat, prepend=0)).tolist(), flat.size]).tolist()
        judged = pycocotools_mask.merge(pycocotools_mask.frPyObjects(rles, height, width))
        assert np.array_equal(pycocotools_mask.decode(judged), expected)
    other = column_major(np.eye(height, width, dtype=np.uint8))
    masks, problems = segmented([other, rles, other], height, width)
    assert not problems
    assert masks[1] is not None
    assert masks[1].counts.tolist() == documented_encode(expected)
    assert masks[0] == masks[2] == RunLengthMask.from_array(np.eye(height, width))


SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[2, 2], [6, 2], [6, 6], [2, 6]], "points in pairs [x, y]"),
        ([[[2, 2], [6, 2], [6, 6], [2, 6]]], "a flat list x1, y1"),
        ([[[2, 2], [6, 2], [6, 6], [2, 6], [2, 5], [2, 4]]], "a flat list x1, y1"),
        ([[1, 2, 3]], "a y for every x"),
        ([[1, 2, 3, 4, 5]], "a y for every x"),
        ([SQUARE, [1, 2, 3]], "a y for every x"),
        ([SQUARE, {"size": [10, 10], "counts": [100]}], "something else than a list of coordinates"),
        ([[True, 1, 5, 1, 5, 5]], "true or false"),
        ([[1, 2, 3, "4"]], "something that is not a number"),
        ({"size": [10, 10], "counts": [0, True, 99]}, "something that is not an integer"),
        ([{"size": [10, 10], "counts": [100]}, {"size": [10, 10], "counts": [99]}], "sum to 99 pixels"),
        ([{"size": [10, 10], "counts": [100]}, {}], "empty"),
    ],
)
def test_segmentations_that_are_neither_polygons_nor_rles_are_errors(segmentation: Any, words: str) -> None:
    masks, problems = segmented([[SQUARE], segmentation], 10, 10)
    assert [mask is None for mask in masks] == [False, True]
    assert [(p.code, p.lost, p.image) for p in problems] == [("broken-segmentation", 1, 1)]
    assert words in problems[0].message


def test_a_polygon_that_reaches_over_the_edge_is_clipped_and_reported() -> None:
    inside, rounding, far = [[0, 0, 10, 0, 10, 10]], [[-0.4, 0, 10.5, 0, 10, 10]], [SQUARE, [2, 2, 1000, 2, 2, 8]]
    masks, problems = segmented([inside, rounding, far], 10, 10)
    assert [(p.where, p.code, p.kind, p.lost) for p in problems] == [("object 2", "polygon-clipped", "repair", 0)]
    assert "the 10 x 10 image by up to 990 px" in problems[0].message
    rle = pycocotools_mask.merge(pycocotools_mask.frPyObjects(far, 10, 10))
    assert masks[2] is not None
    assert masks[2].counts.tolist() == documented_encode(pycocotools_mask.decode(rle))


def test_one_broken_segmentation_does_not_spoil_the_others() -> None:
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    rle = column_major(np.eye(10, dtype=np.uint8))
    broken = [
        [[1, 1, float("nan"), 1, 5, 5]],
        {"size": [10, 10], "counts": "\x00\xff"},
        {"size": [10, 10]},
        5,
        [["a"] * 6],
    ]
    masks, problems = segmented([square, *broken, rle], 10, 10)
    assert [problem.image for problem in problems] == [1, 2, 3, 4, 5]
    assert [mask is None for mask in masks] == [False, True, True, True, True, True, False]
    assert masks[-1] == RunLengthMask.from_array(np.eye(10))


def test_runs_of_masks_beyond_32_bit_are_exact() -> None:
    side = 70_000  # 4.9e9 pixels
    masks, problems = segmented([{"size": [side, side], "counts": [side * (side - 1) + 5, 3, side - 8]}], side, side)
    assert not problems
    assert masks[0] is not None
    assert masks[0].box == (side - 1, 5, 1, 3)
    assert masks[0].counts.tolist() == [6 * side - 1, 1, side - 1, 1, side - 1, 1, side * side - 8 * side]


def refusals() -> list[str]:
    """What becomes of masks and segmentations that may take more memory than there is."""
    found = []
    for counts, size in (([2**37], (2**37, 1)), ([2**62, 1], (1, 2**62 + 1)), ([1, 2**36], (1, 2**36 + 1))):
        try:
            found.append(str(decode(counts, size).shape))
        except ValueError as error:
            found.append(str(error).partition(" pixels is ")[2])
    for width, height in ((2**18, 2**18 + 1), (2**40, 2**40), (10**30, 1), (1, 10**30)):
        polygon, rle = [[0, 0, 10, 0, 10, 10]], {"size": [height, width], "counts": [width * height]}
        for segmentation in (polygon, rle):
            segments = masks_of_image([segmentation], (width, height), str)
            found += [finding.code for finding in segments.findings]
    return found


def test_a_mask_of_more_pixels_than_can_be_stored_is_refused() -> None:
    assert MAX_PIXELS == 2**36, "the documented limit"
    assert run_limited(refusals) == ["beyond what can be stored"] * 3 + ["image-size"] * 8
    assert RunLengthMask.from_counts([1, 2**36 - 1], 2**18, 2**18).area == 2**36 - 1


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_an_image_without_pixels_has_no_masks(shape: tuple[int, int]) -> None:
    masks, problems = segmented([[[0, 0, 1, 0, 1, 1]]], *shape)
    assert masks == [None]
    assert problems[0].code == "image-size"


@settings(max_examples=300)
@given(st.lists(st.tuples(SHAPES, st.lists(st.one_of(POLYGON.map(lambda p: [p]), st.none()), max_size=4)), max_size=6))
def test_segmentations_of_images_of_different_sizes_at_once_equal_pycocotools(images: list[Any]) -> None:
    """Polygons, and in place of None a compressed RLE of stripes."""
    segmentations, sizes, expected = [], [], []
    for (height, width), objects in images:
        for polygons in objects:
            rle = column_major((np.arange(height * width) % 3 == 0).reshape(height, width).astype(np.uint8))
            if polygons is not None:
                rle = pycocotools_mask.merge(pycocotools_mask.frPyObjects(polygons, height, width))
            segmentations.append(rle if polygons is None else polygons)
            sizes.append((width, height))
            expected.append(documented_encode(pycocotools_mask.decode(rle)))
    found = masks_from_coco(segmentations, np.array(sizes, np.int64).reshape(-1, 2), str)
    assert {finding.code for finding in found.findings} <= {"polygon-clipped"}
    assert [mask.counts.tolist() for mask in found.masks] == expected
    assert found.masks.boxes().astype(int).tolist() == [list(mask.box) for mask in found.masks]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(SHAPES, st.lists(st.sampled_from([POINTS, SHORT, [], {"size": 7}, None]), max_size=4)), max_size=8
    ),
    st.integers(1, 6),
)
def test_masks_of_several_images_are_those_of_each(images: list[Any], together: int) -> None:
    segmentations = [objects for _, objects in images]
    sizes = [(width, height) for (height, width), _ in images]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("labelferry.masks.coco.TOGETHER", together)
        found = list(masks_of_images(segmentations, sizes, lambda b, i: f"image {b}, object {i}"))
    assert len(found) == len(images)
    for b, one in enumerate(found):
        alone = masks_of_image(segmentations[b], sizes[b], lambda i, b=b: f"image {b}, object {i}")
        assert one.rows.tolist() == alone.rows.tolist()
        assert list(one.masks) == list(alone.masks)
        assert (one.missing, one.findings) == (alone.missing, alone.findings)
        assert all(finding.where == f"image {b}, object {finding.image}" for finding in one.findings)


def test_masks_beyond_the_most_runs_are_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelferry.masks.coco.MAX_RUNS", 100)
    stripes = column_major((np.indices((40, 40)).sum(axis=0) % 2).astype(np.uint8))
    square = column_major(np.pad(np.ones((3, 3), np.uint8), 20))
    masks, problems = segmented([square, {**stripes, "size": [40, 40]}, square], 43, 43)
    assert [problem.code for problem in problems] == ["broken-segmentation"], "its size is not the image's"
    masks, problems = segmented([[[1, 1, 3, 1, 3, 3, 1, 3]], stripes, [[1, 1, 3, 1, 3, 3, 1, 3]]], 40, 40)
    assert [(problem.where, problem.code) for problem in problems] == [("object 1", "mask-too-complex")]
    assert [mask is None for mask in masks] == [False, True, False]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_any_bytes_as_a_compressed_rle_are_a_mask_or_an_error(strings: list[bytes]) -> None:
    square = {"size": [8, 8], "counts": column_major(np.eye(8, dtype=np.uint8))["counts"]}
    masks, problems = segmented([square, *[{"size": [8, 8], "counts": one} for one in strings], square], 8, 8)
    assert masks[0] == masks[-1] == RunLengthMask.from_array(np.eye(8))
    assert len(problems) == sum(mask is None for mask in masks)
