"""Label maps: every value, and every instance with its class; numpy's plain comparisons as judge."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labelferry.errors import ExportError
from labelferry.masks.label_maps import classes_of_instances, instance_segments, segments_of
from labelferry.run_lengths import RunLengthMask
from tests.conformance.test_real_coco import documented_encode

NONE: frozenset[int] = frozenset()


def test_an_instance_has_the_class_of_most_of_its_pixels() -> None:
    instances = np.array([[5, 5, 5, 9], [0, 5, 9, 9]])
    classes = np.array([[1, 2, 2, 3], [7, 2, 3, 1]])
    assert classes_of_instances(instances, classes, frozenset((0,)), {1, 2, 3, 7}) == {5: 2, 9: 3}
    found = instance_segments(instances, classes, frozenset((0,)), {1: 10, 2: 20, 3: 30, 7: 70}, "i.png", "c.png")
    assert [(instance_id, label, mask.counts.tolist()) for instance_id, label, mask in found.segments] == [
        (5, 20, [0, 3, 2, 1, 2]),
        (9, 30, [3, 1, 2, 2]),
    ]


def test_of_two_classes_with_as_many_pixels_the_smaller_counts() -> None:
    assert classes_of_instances(np.array([[1, 1]]), np.array([[8, 4]]), NONE, {4, 8}) == {1: 4}


def test_other_values_are_no_instance_and_no_class() -> None:
    instances, classes = np.array([[255, 1, 1, 1, 2]]), np.array([[1, 255, 255, 3, 255]])
    assert classes_of_instances(instances, classes, frozenset((255,)), {1, 3}) == {1: 3}


def test_an_ignored_instance_id_may_be_a_class() -> None:
    instances, classes = np.array([[0, 1, 1, 1, 2]]), np.array([[1, 7, 7, 0, 7]])
    assert classes_of_instances(instances, classes, frozenset((0,)), {0, 1}) == {1: 0}


def test_a_map_without_pixels_or_without_instances_has_none() -> None:
    nothing, zeros = np.zeros((0, 4), np.uint8), np.zeros((3, 4), np.uint8)
    assert classes_of_instances(nothing, nothing, NONE, {0}) == {}
    assert classes_of_instances(zeros, zeros, frozenset((0,)), {0}) == {}


MAPS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.uint16, shape, elements=st.sampled_from([0, 1, 2, 300, 65535])),
        arrays.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 255])),
    )
)


@given(MAPS, st.frozensets(st.sampled_from([0, 1, 255])), st.frozensets(st.sampled_from([0, 1, 255])))
def test_instances_equal_a_count_pixel_by_pixel(
    maps: tuple[np.ndarray, np.ndarray], no_instance: frozenset[int], known: frozenset[int]
) -> None:
    instances, classes = maps
    ids = sorted(set(instances.ravel().tolist()) - no_instance)
    expected = []
    for instance_id in ids:
        under = Counter(c for c in classes[instances == instance_id].tolist() if c in known)
        if under:
            label = min(under, key=lambda c: (-under[c], c))
            expected.append((instance_id, label + 7, documented_encode(instances == instance_id)))
    found = instance_segments(instances, classes, no_instance, {c: c + 7 for c in known}, "i.png", "c.png")
    assert [(i, c, m.counts.tolist()) for i, c, m in found.segments] == expected
    assert found.found == len(ids)
    assert sum(finding.lost for finding in found.findings) == len(ids) - len(expected)


def test_segments_are_every_value_with_a_category_and_unknown_values_are_told_with_their_place() -> None:
    values = np.array([[0, 3, 3], [9, 9, 3]], np.uint8)
    segments, findings, found = segments_of(values, {0: None, 3: 1}.__getitem__, "a.png")
    assert segments == [(3, 1, RunLengthMask.from_array(values == 3))]
    (finding,) = findings
    assert (finding.kind, finding.code, finding.where, finding.lost) == ("error", "unknown-value", "a.png", 1)
    assert found == 2, "0 stands for no class"
    assert finding.message == "2 pixels, the first at x 0, y 1, have the value 9, which stands for no class"


def test_unknown_colours_are_told_as_red_green_blue() -> None:
    values = np.array([[1 | 2 << 8 | 3 << 16]], np.uint32)
    _, findings, _ = segments_of(values, {}.__getitem__, "a.png", are_colours=True)
    assert "(1, 2, 3)" in findings[0].message


def test_instances_on_no_class_are_left_out_and_counted() -> None:
    instances = np.array([[0, 1, 2, 3, 4]])
    classes = np.array([[7, 7, 8, 7, 9]])
    segments, (finding,), found = instance_segments(
        instances, classes, frozenset((0,)), {7: 0}, "i.png", "c.png", unasked=[4]
    )
    assert [(i, category_id) for i, category_id, _ in segments] == [(1, 0), (3, 0)]
    assert (finding.kind, finding.code, finding.count, finding.lost) == ("repair", "instance-without-class", 1, 1)
    assert finding.message == "instances that lie on no class in c.png, left out: 2"
    assert found == 3, "4 is ignored, as it lies on no class"


def test_maps_of_different_sizes_are_an_error_that_counts_the_instances() -> None:
    with pytest.raises(ExportError) as caught:
        instance_segments(np.array([[0, 1, 2]]), np.array([[1]]), frozenset((0,)), {1: 0}, "i.png", "c.png")
    assert (caught.value.code, caught.value.lost) == ("mask-size", 2)
