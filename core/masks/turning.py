"""Masks mirrored and transposed as run lengths, without a bitmap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labelferry.masks.coco import row_major
from labelferry.run_lengths import Bools, Masks


def mirrored(masks: Masks, x: Bools, y: Bools) -> Masks:
    """Masks with left and right exchanged, above and below, or both.

    Args:
        masks: of N objects.
        x: (N,) whether left and right are exchanged.
        y: (N,) whether above and below are.
    """
    masks = _where(y, masks, _rotated)
    return _where(x ^ y, masks, _mirrored)


def transposed(masks: Masks, which: Bools) -> tuple[Masks, Bools]:
    """Masks with rows and columns exchanged: row-major runs are the column-major ones of the transposed mask.

    Args:
        masks: of N objects.
        which: (N,) those that are transposed.

    Returns:
        The masks of all objects but those that get too many runs; and (N,) which have one.
    """
    is_whole = np.ones(len(masks), np.bool_)

    def transpose(some: Masks) -> Masks:
        made, is_whole[which] = row_major(some.counts, np.diff(some.offsets), some.sizes[:, ::-1])
        return made

    return _where(which, masks, transpose), is_whole


def _where(which: Bools, masks: Masks, change: Callable[[Masks], Masks]) -> Masks:
    """The masks, some of them changed."""
    if not which.any():
        return masks
    if which.all():
        return change(masks)
    rows = np.flatnonzero(which)
    others = np.flatnonzero(~which)
    changed = change(masks.take(rows))
    joined = Masks.joined([masks.take(others), changed])
    return joined.take(np.argsort(np.concatenate((others, rows[: len(changed)]))))


def _rotated(masks: Masks) -> Masks:
    """Turned by 180 degrees: the runs in reverse."""
    objects, starts, ends = masks.ones()
    pixels = masks.sizes.prod(axis=1)[objects]
    return Masks.of_runs(objects, pixels - ends, pixels - starts, masks.sizes)


def _mirrored(masks: Masks) -> Masks:
    """With left and right exchanged. Runs are cut at the end of their first row and at the beginning of their last: the
    whole rows between stay as they are."""
    objects, starts, ends = masks.ones()
    width = masks.sizes[objects, 0]
    first, last = starts // width * width, (ends - 1) // width * width  # where these rows begin
    is_cut, has_rows = last > first, last - first > width
    runs = [
        (objects, np.where(is_cut, first, 2 * first + width - ends), 2 * first + width - starts),
        (objects[is_cut], (2 * last + width - ends)[is_cut], (last + width)[is_cut]),
        (objects[has_rows], (first + width)[has_rows], last[has_rows]),
    ]
    objects, starts, ends = (np.concatenate(column) for column in zip(*runs, strict=True))
    return Masks.of_runs(objects, starts, ends, masks.sizes)
