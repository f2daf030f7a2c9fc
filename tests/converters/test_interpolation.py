"""Interpolation between keyframes: what must hold for all shapes, and cases worked out by hand from CVAT's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelferry.converters.cvat.interpolation import interpolate_angle, interpolate_polygon, interpolate_polyline

SQUARE = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float)
coordinates = st.floats(0, 100).map(lambda value: round(value, 2))


def lines(least: int = 2) -> st.SearchStrategy[Any]:
    return st.integers(least, 8).flatmap(lambda n: hnp.arrays(np.float64, (n, 2), elements=coordinates))


@given(lines(), st.floats(0, 1), coordinates, coordinates)
def test_what_only_moves_keeps_its_form(line: Any, offset: float, x: float, y: float) -> None:
    lengths = np.hypot(*np.diff(line, axis=0).T)
    if lengths.min() * 2 * len(line) <= 2 * lengths.sum():  # points so near each other that CVAT thins them out
        return
    moved = interpolate_polyline(line, line + np.array([x, y]), offset)
    np.testing.assert_allclose(moved, line + offset * np.array([x, y]), atol=1e-9)


@given(lines(), lines(), st.floats(0, 1))
def test_ends_go_to_ends_and_nothing_leaves_the_hull(left: Any, right: Any, offset: float) -> None:
    points = interpolate_polyline(left, right, offset)
    assert len(points) >= 1
    both = np.concatenate((left, right))
    assert (points >= both.min(axis=0) - 1e-9).all()
    assert (points <= both.max(axis=0) + 1e-9).all()


def test_a_square_that_moves_and_grows() -> None:
    other = np.array([(4, 4), (24, 4), (24, 24), (4, 24)], float)
    np.testing.assert_allclose(interpolate_polygon(SQUARE, other, 0.5), [(2, 2), (17, 2), (17, 17), (2, 17)])


def test_a_triangle_that_becomes_a_square() -> None:
    """By relative length along the closed outlines, 0, 1/3, 2/3, 1 and 0, 1/4, 1/2, 3/4, 1: the second corner of the
    triangle goes to that at 1/4, the third to that at 3/4, and 1/2, as near to both, goes out from the second."""
    triangle = np.array([(0, 0), (9, 0), (4.5, 7.794228634)])
    np.testing.assert_allclose(
        interpolate_polygon(triangle, SQUARE, 0.5), [(0, 0), (9.5, 0), (9.5, 5), (2.25, 8.897114317)], atol=1e-6
    )


def test_a_point_that_stays_where_all_are_one() -> None:
    np.testing.assert_allclose(interpolate_polyline(np.zeros((2, 2)), np.zeros((3, 2)), 0.5)[0], (0, 0))


@pytest.mark.parametrize(
    ("left", "right", "offset", "between"),
    [(0, 90, 0.5, 45), (350, 10, 0.5, 0), (10, 350, 0.25, 5), (90, 0, 1, 0), (0, 0, 0.3, 0)],
)
def test_angles_take_the_shorter_way(left: float, right: float, offset: float, between: float) -> None:
    assert interpolate_angle(left, right, offset) == pytest.approx(between)
