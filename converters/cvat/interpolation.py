"""Shapes between two keyframes of a track, as CVAT interpolates them.

Rules: `TrackManager` in cvat/apps/dataset_manager/annotation.py of https://github.com/cvat-ai/cvat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def interpolate_angle(left: float, right: float, offset: float) -> float:
    """Degrees on the shorter way round from one angle to another, in [0, 360)."""
    return (left + ((right - left + 180) % 360 - 180) * offset + 360) % 360


def interpolate_polyline(left: Points, right: Points, offset: float) -> Points:
    """A line of points on its way from one to another, which may have another number of points.

    Each point goes to the one that lies nearest in relative length along the line; where several points of one line go
    to one of the other, those that come too close to each other are left out.

    Args:
        left: (N, 2) x, y at the keyframe before.
        right: (M, 2) at the keyframe after.
        offset: how far along, in [0, 1].
    """
    matching = _match(_relative_lengths(left), _relative_lengths(right))
    firsts = np.cumsum([0, *map(len, matching)]).tolist()
    from_left = np.repeat(np.arange(len(left)), [len(matched) for matched in matching])
    from_right = np.concatenate(matching)
    points = left[from_left] + (right[from_right] - left[from_left]) * offset
    kept: list[Points] = []

    def many_to_one(start: int, stop: int) -> None:
        first, last = firsts[start], firsts[stop]
        if first == last:
            kept.append(points[first])
        else:
            kept.extend(_thinned(points[first : last + 1], left[start : stop + 1]))

    begun: int | None = None
    for i, matched in enumerate(matching):
        if len(matched) > 1:  # one point of the left becomes several
            if begun is not None:
                many_to_one(begun, i - 1)
            begun = None
            kept.extend(_thinned(points[firsts[i] : firsts[i + 1]], right[matched[0] : matched[-1] + 1]))
        elif begun is None:
            begun = i
        elif matched[0] != matching[begun][0]:
            many_to_one(begun, i - 1)
            begun = i
    if begun is not None:
        many_to_one(begun, len(left) - 1)
    return np.array(kept)


def interpolate_polygon(left: Points, right: Points, offset: float) -> Points:
    """The same for closed lines, whose first point is not given twice."""
    closed = interpolate_polyline(np.concatenate((left, left[:1])), np.concatenate((right, right[:1])), offset)
    return closed[:-1]


def _lengths(points: Points) -> Any:
    return np.hypot(*np.diff(points, axis=0).T)


def _relative_lengths(points: Points) -> Any:
    """How far along the line each point lies, from 0 to 1."""
    along: Points = np.concatenate(([0.0], np.cumsum(_lengths(points))))
    return along / (along[-1] or 1.0)


def _match(left: Points, right: Points) -> list[list[int]]:
    """For each point of the left those of the right that it goes to, ascending; each of the right has one at least."""
    nearest = np.abs(left[:, None] - right[None]).argmin(axis=1)
    matching: list[list[int]] = [[int(j)] for j in nearest]
    for j in sorted(set(range(len(right))) - set(nearest.tolist())):
        matching[int(np.abs(left - right[j]).argmin())].append(j)
    return [sorted(matched) for matched in matching]


def _thinned(points: Points, whole: Points) -> Sequence[Any]:
    """First and last point, and those between that are not too near the one before, measured by the line that they
    come from or go to; two that are too near become the one between."""
    nearest = _lengths(whole).sum() / (2 * len(whole))
    kept = [points[0]]
    for point in points[1:-1]:
        if np.hypot(*(kept[-1] - point)) >= nearest:
            kept.append(point)
    kept.append(points[-1])
    if len(kept) == 2 and np.hypot(*(points[0] - points[-1])) < nearest:
        return [(points[0] + points[-1]) / 2]
    return kept
