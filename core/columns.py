"""The labels of many images as columns: what readers give, what is checked, and what is encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.findings import Finding
from labelferry.model import Annotations
from labelferry.run_lengths import Bools, Floats, Int64, Masks, gather, offsets_of

UNKNOWN = (-1, -1)
"""The size of an image that the export does not give."""

_LARGEST = 2**62
"""Sizes are cut to this: an export may give numbers beyond int64, and one such image must not fail the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """The keypoints of N objects.

    Attributes:
        points: (P, 3) float64, x and y in pixels and a score; those of object i are points[offsets[i]:offsets[i + 1]].
        offsets: (N + 1,) int64.
    """

    points: Floats
    offsets: Int64

    @classmethod
    def of(cls, keypoints: Sequence[NDArray[np.float64]]) -> Keypoints:
        """The columns of these (K, 3) arrays."""
        points = np.concatenate(keypoints) if len(keypoints) else np.zeros((0, 3))
        return cls(points.astype(np.float64, copy=False), offsets_of([len(one) for one in keypoints]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: Int64) -> Keypoints:
        """The keypoints of these objects, in this order."""
        at, offsets = gather(self.offsets, rows)
        return Keypoints(self.points[at], offsets)

    def any(self, which: Bools) -> Bools:
        """(N,) whether any point of the object is among `which` (P,)."""
        owners = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        return np.bincount(owners, which, len(self)) > 0

    def labelled(self) -> Keypoints:
        """Only the points with a score above 0: COCO's visibility 0 means that a point is not labelled."""
        keep = self.points[:, 2] > 0
        return Keypoints(self.points[keep], np.concatenate(([0], np.cumsum(keep)))[self.offsets])

    def boxes(self) -> Floats:
        """(N, 4) tight boxes around all points of an object; NaN where it has no point."""
        boxes = np.full((len(self), 4), np.nan)
        has_points = np.flatnonzero(np.diff(self.offsets))
        if len(has_points):
            starts = self.offsets[has_points]
            low = np.minimum.reduceat(self.points[:, :2], starts, axis=0)
            high = np.maximum.reduceat(self.points[:, :2], starts, axis=0)
            with np.errstate(invalid="ignore"):  # of infinite points, which are refused like other infinite boxes
                boxes[has_points] = np.concatenate((low, high - low), axis=1)
        return boxes


@dataclass(slots=True, eq=False)
class Batch:
    """The labels of B images with N objects together: entry i of a column belongs to object i.

    A column that no image has is None. Arrays are never written into: what changes a column replaces it.

    Attributes:
        names: of the images, as prediction files hold them.
        sizes: (B, 2) int64 width and height in pixels; UNKNOWN where the export does not give them.
        bounds: (B + 1,) int64: the objects of image b are those from bounds[b] to bounds[b + 1].
        category_ids: (N,) int64.
        boxes: (N, 4) float64 x, y, width, height in pixels.
        scores: (N,) float64.
        probabilities: (N, C) float64; a row of NaN: the object has none.
        masks: of the objects.
        keypoints: of the objects.
        rows: (N,) int64: the object's place as it was read. It stays when other objects are removed.
        refused: (B,) bool: the image gets no file.
        found: (B,) int64: objects that the export lists for the image, counted at the source; -1: not counted.
        interpolated: (B,) int64: objects that reading adds to those, between the keyframes of a track.
        merged: objects that became part of another one: the masks of one category, in semantic segmentation.
        findings: what was met when the images were read.
        locate: where the object of a row stands in the export ("labels/a.txt:3"); for messages.
        evidence: what only the whole export can judge, counted by name; `Export.judge` gets the sums.
    """

    names: list[str]
    sizes: Int64
    bounds: Int64
    category_ids: Int64
    boxes: Floats | None = None
    scores: Floats | None = None
    probabilities: Floats | None = None
    masks: Masks | None = None
    keypoints: Keypoints | None = None
    rows: Int64 = None  # type: ignore[assignment]  # set below
    refused: Bools = None  # type: ignore[assignment]
    found: Int64 = None  # type: ignore[assignment]
    interpolated: Int64 = None  # type: ignore[assignment]
    merged: int = 0
    findings: Sequence[Finding] = ()
    locate: Callable[[int], str] | None = None
    evidence: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.rows is None:
            self.rows = np.arange(len(self.category_ids))
        if self.refused is None:
            self.refused = np.zeros(len(self.names), np.bool_)
        if self.found is None:
            self.found = np.full(len(self.names), -1)
        if self.interpolated is None:
            self.interpolated = np.zeros(len(self.names), np.int64)

    def __len__(self) -> int:
        return len(self.category_ids)

    @property
    def counts(self) -> Int64:
        """(B,) objects of each image."""
        return self.bounds[1:] - self.bounds[:-1]

    @property
    def owners(self) -> Int64:
        """(N,) the image of each object."""
        return np.repeat(np.arange(len(self.names)), self.counts)

    def copy(self) -> Batch:
        """A batch with the same columns; several times as fast as `copy.copy`."""
        other = object.__new__(Batch)
        for name in Batch.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def take(self, keep: Bools) -> Batch:
        """Only the objects of which `keep` (N,) is true."""
        rows = np.flatnonzero(keep)
        taken: dict[str, Any] = {}
        for name in _COLUMNS:
            column = getattr(self, name)
            if column is not None:
                taken[name] = column.take(rows) if isinstance(column, Masks | Keypoints) else column[rows]
        return replace(self, bounds=np.concatenate(([0], np.cumsum(keep)))[self.bounds], **taken)

    def part(self, low: int, high: int) -> Batch:
        """The images from `low` to `high`, which is not among them. Their objects keep their rows; the evidence, which
        is of the whole batch, is left out."""
        first, last = self.bounds[[low, high]].tolist()
        columns: dict[str, Any] = {}
        for name in _COLUMNS:
            column = getattr(self, name)
            if column is not None:
                is_ragged = isinstance(column, Masks | Keypoints)
                columns[name] = column.take(np.arange(first, last)) if is_ragged else column[first:last]
        return replace(
            self,
            names=self.names[low:high],
            sizes=self.sizes[low:high],
            bounds=self.bounds[low : high + 1] - first,
            refused=self.refused[low:high],
            found=self.found[low:high],
            interpolated=self.interpolated[low:high],
            findings=[replace(one, image=one.image - low) for one in self.findings if low <= one.image < high],
            evidence=Counter(),
            **columns,
        )

    def annotations(self, b: int) -> Annotations:
        """The labels of image b."""
        low, high = self.bounds[b : b + 2].tolist()
        width, height = self.sizes[b].tolist()

        def column(values: Any) -> Any:
            return None if values is None else values[low:high]

        keypoints = self.keypoints
        return Annotations(
            self.category_ids[low:high],
            None if (width, height) == UNKNOWN else (width, height),
            column(self.boxes),
            column(self.scores),
            column(self.probabilities),
            None if self.masks is None else [self.masks[i] for i in range(low, high)],
            None
            if keypoints is None
            else [keypoints.points[keypoints.offsets[i] : keypoints.offsets[i + 1]] for i in range(low, high)],
        )

    @classmethod
    def of(cls, names: Sequence[str], images: Sequence[Annotations | Finding]) -> Iterator[Batch]:
        """The labels of images that were read one by one; of an image that cannot be read, the error.

        One batch, or several where the columns of images differ.

        Raises:
            ValueError: the columns of an image differ in length.
        """
        begin, columns = 0, None
        for end, one in enumerate(images):
            own = _columns_of(one) if isinstance(one, Annotations) and len(one) else None
            if own is not None and own != columns:
                if columns is not None:
                    yield _batch(names[begin:end], images[begin:end], columns)
                    begin = end
                columns = own
        yield _batch(names[begin:], images[begin:], columns or _Columns(False, False, None, False, False))

    @classmethod
    def without_objects(cls, names: list[str], sizes: Int64) -> Batch:
        """Images without objects."""
        count = len(names)
        return cls(names, sizes, np.zeros(count + 1, np.int64), np.zeros(0, np.int64), found=np.zeros(count, np.int64))


_COLUMNS = ("category_ids", "boxes", "scores", "probabilities", "masks", "keypoints", "rows")


class _Columns(NamedTuple):
    """Which columns an image has, and of how many categories its probabilities are."""

    boxes: bool
    scores: bool
    probabilities: int | None
    masks: bool
    keypoints: bool


def _columns_of(one: Annotations) -> _Columns:
    count = len(one)
    for name in ("boxes", "scores", "probabilities", "masks", "keypoints"):
        column = getattr(one, name)
        if column is not None and len(column) != count:  # it would shift the objects of the next image
            raise ValueError(f"{len(column)} {name} for {count} objects")
    return _Columns(
        one.boxes is not None,
        one.scores is not None,
        None if one.probabilities is None else one.probabilities.shape[1],
        one.masks is not None,
        one.keypoints is not None,
    )


def _batch(names: Sequence[str], images: Sequence[Annotations | Finding], columns: _Columns) -> Batch:
    """One batch of images that have these columns, or no object."""
    counts = np.array([len(one) if isinstance(one, Annotations) else 0 for one in images], np.int64)
    full = [one for one in images if isinstance(one, Annotations) and len(one)]
    bounds = offsets_of(counts)
    places = bounds.tolist()

    def joined(name: str, dtype: Any = np.float64) -> Any:
        parts = [getattr(one, name) for one in full]
        return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts), dtype)

    def locate(row: int) -> str:
        b = int(np.searchsorted(bounds, row, side="right")) - 1
        one = images[b]
        assert isinstance(one, Annotations)
        return one.locate(row - places[b]) if one.locate is not None else f"{names[b]}, object {row - places[b] + 1}"

    return Batch(
        list(names),
        _sizes(images),
        bounds,
        joined("category_ids", np.int64) if full else np.zeros(0, np.int64),
        joined("boxes") if columns.boxes else None,
        joined("scores") if columns.scores else None,
        joined("probabilities") if columns.probabilities is not None else None,
        Masks.joined([one.masks if isinstance(one.masks, Masks) else Masks.of(one.masks or ()) for one in full])
        if columns.masks
        else None,
        Keypoints.of([points for one in full for points in one.keypoints or ()]) if columns.keypoints else None,
        refused=np.array([isinstance(one, Finding) for one in images], np.bool_),
        found=np.array([_found(one) for one in images], np.int64),
        interpolated=np.array([0 if isinstance(one, Finding) else one.interpolated for one in images], np.int64),
        findings=[
            replace(finding, image=b)
            for b, one in enumerate(images)
            for finding in ([one] if isinstance(one, Finding) else one.findings)
        ],
        locate=locate,
        evidence=sum((one.evidence for one in images if isinstance(one, Annotations) and one.evidence), Counter()),
    )


def _found(one: Annotations | Finding) -> int:
    if isinstance(one, Finding):
        return one.lost
    return -1 if one.found is None else one.found


def _sizes(images: Sequence[Annotations | Finding]) -> Int64:
    sizes = [UNKNOWN if isinstance(one, Finding) or one.size is None else one.size for one in images]
    try:
        return np.array(sizes, np.int64).reshape(-1, 2)
    except OverflowError:
        cut = [[max(-_LARGEST, min(int(side), _LARGEST)) for side in size] for size in sizes]
        return np.array(cut, np.int64).reshape(-1, 2)
