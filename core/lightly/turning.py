"""Labels that were drawn on the upright picture, turned back to the pixels as stored.

The eight orientations are EXIF's: https://www.cipa.jp/std/documents/download_e.html?DC-008-Translation-2023-E. To show
an image, its stored pixels are mirrored and turned; the way back is a mirroring of the upright picture, and then, of
orientations from 5 on, a transposition.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from labelferry.columns import UNKNOWN, Batch, Keypoints
from labelferry.findings import Finding
from labelferry.masks.turning import mirrored, transposed
from labelferry.run_lengths import Bools, Floats, Int64

_MIRRORED_X = np.isin(np.arange(9), (2, 3, 6, 7))
_MIRRORED_Y = np.isin(np.arange(9), (3, 4, 7, 8))
_TRANSPOSED = np.arange(9) >= 5

_NOISE = 1e-9
"""Of the picture's size: how far a box that touches the edge may come to lie beyond it by the arithmetic alone."""


def turned_back(batch: Batch, orientations: Int64) -> Batch:
    """The batch with boxes, masks and keypoints for the pixels as stored.

    A keypoint that is not labelled, (0, 0) with the score 0, stays. Masks that would get too many runs are errors.

    Args:
        batch: with labels for the upright pictures, and the sizes of these.
        orientations: (B,) EXIF orientation of each image; 1 leaves its labels as they are.
    """
    owners = batch.owners
    of_object = orientations[owners]
    x, y, swap = _MIRRORED_X[of_object], _MIRRORED_Y[of_object], _TRANSPOSED[of_object]
    turned = batch.copy()
    width, height = batch.sizes[owners].T.astype(np.float64)
    if batch.boxes is not None:
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is an error later
            ends = batch.boxes[:, :2] + batch.boxes[:, 2:]
            boxes = batch.boxes.copy()
            boxes[:, 0] = np.where(x, _from_edge(width, ends[:, 0]), boxes[:, 0])
            boxes[:, 1] = np.where(y, _from_edge(height, ends[:, 1]), boxes[:, 1])
        turned.boxes = np.where(swap[:, None], boxes[:, [1, 0, 3, 2]], boxes)
    if batch.keypoints is not None:
        turned.keypoints = _turned_points(batch.keypoints, x, y, swap, width, height)
    swaps = _TRANSPOSED[orientations] & (batch.sizes != UNKNOWN).any(axis=1)
    turned.sizes = np.where(swaps[:, None], batch.sizes[:, ::-1], batch.sizes)
    if batch.masks is None:
        return turned
    masks, is_whole = transposed(mirrored(batch.masks, x, y), swap)
    if is_whole.all():
        turned.masks = masks
        return turned
    findings = list(batch.findings)
    for i in np.flatnonzero(~is_whole).tolist():
        b, row = int(owners[i]), int(batch.rows[i])
        where = batch.locate(row) if batch.locate is not None else batch.names[b]
        findings.append(Finding("error", "mask-too-complex", where, "the turned mask has too many runs", 1, 1, b))
    turned.masks = None
    return replace(turned.take(is_whole), masks=masks, findings=findings)


def _from_edge(size: Floats, ends: Floats) -> Floats:
    """How far from the other edge boxes end."""
    distance = size - ends
    return np.where((distance < 0) & (distance > -_NOISE * size), 0.0, distance)


def _turned_points(keypoints: Keypoints, x: Bools, y: Bools, swap: Bools, width: Floats, height: Floats) -> Keypoints:
    owners = np.repeat(np.arange(len(keypoints)), np.diff(keypoints.offsets))
    points = keypoints.points.copy()
    points[:, 0] = np.where(x[owners], width[owners] - points[:, 0], points[:, 0])
    points[:, 1] = np.where(y[owners], height[owners] - points[:, 1], points[:, 1])
    points = np.where(swap[owners, None], points[:, [1, 0, 2]], points)
    unlabelled = np.asarray((keypoints.points == 0).all(axis=1))
    return Keypoints(np.where(unlabelled[:, None], 0.0, points), keypoints.offsets)
