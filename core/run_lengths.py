"""Binary masks as Lightly's run lengths: one mask, and the masks of many objects as columns.

Lightly stores a mask as the lengths of its runs in row-major order, starting with the number of leading 0s (0 if the
mask starts with a 1): https://docs.lightly.ai/docs/prediction-format. COCO's runs are column-major.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MAX_PIXELS = 2**36
"""Most pixels of a mask: several times the largest slide scans. A larger size is an error in the export."""

_BLOCK = 2**17


@dataclass(frozen=True, slots=True, eq=False)
class RunLengthMask:
    """A binary mask as Lightly's run lengths.

    Attributes:
        counts: (R,) int64, lengths of the runs in row-major order, 0s first; no zero but the first, their sum is
            height * width.
        height: rows of the mask.
        width: columns of the mask.
    """

    counts: Int64
    height: int
    width: int

    @classmethod
    def from_array(cls, mask: ArrayLike) -> RunLengthMask:
        """The runs of an (H, W) array; every value other than 0 belongs to the mask.

        Raises:
            ValueError: the array has another number of dimensions.
        """
        array = np.asarray(mask)
        if array.ndim != 2:
            raise ValueError(f"a mask has the shape (height, width), this one {array.shape}")
        flat = array.ravel() if array.dtype == bool else array.ravel() != 0
        flips = changes(flat)
        if flat.size and flat[0]:
            flips = np.concatenate(([0], flips))
        bounds = np.empty(len(flips) + 2, np.int64)
        bounds[0], bounds[1:-1], bounds[-1] = 0, flips, flat.size
        return cls(np.diff(bounds), *array.shape)

    @classmethod
    def from_counts(cls, counts: ArrayLike, height: int, width: int) -> RunLengthMask:
        """A mask from Lightly's run lengths, checked.

        Raises:
            ValueError: the run lengths are not those of a mask of this size.
        """
        runs = np.asarray(counts)
        if runs.ndim != 1 or (runs.size and runs.dtype.kind not in "iu"):
            raise ValueError("run lengths are a flat list of integers")
        runs = runs.astype(np.int64)
        if height * width > MAX_PIXELS:
            raise ValueError(f"a mask of {height} x {width} pixels is beyond what can be stored")
        if (runs < 0).any() or (runs[1:] == 0).any():
            raise ValueError("a run length is at least 1; only the first, of the leading 0s, may be 0")
        if (runs > height * width).any() or int(runs.sum()) != height * width:
            raise ValueError(f"run lengths do not sum to {height} x {width} = {height * width} pixels")
        return cls(runs, height, width)

    @classmethod
    def empty(cls, height: int, width: int) -> RunLengthMask:
        """A mask without a pixel."""
        return cls(np.array([height * width], np.int64), height, width)

    def to_array(self) -> Bools:
        """The mask as an (H, W) bool array."""
        values = np.zeros(len(self.counts), np.bool_)
        values[1::2] = True
        return np.repeat(values, self.counts).reshape(self.height, self.width)

    @property
    def area(self) -> int:
        """Pixels that belong to the mask."""
        return int(self.counts[1::2].sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tight x, y, width, height in pixels; all 0 for an empty mask."""
        x, y, width, height = Masks.of([self]).boxes()[0].tolist()
        return int(x), int(y), int(width), int(height)

    @property
    def flips(self) -> Int64:
        """Row-major positions at which the value changes, ascending; the mask is taken to be preceded by a 0."""
        return np.cumsum(self.counts)[:-1]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RunLengthMask)
            and (self.height, self.width) == (other.height, other.width)
            and np.array_equal(self.counts, other.counts)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """The masks of N objects, of any sizes, as Lightly's run lengths one after the other.

    Attributes:
        counts: (R,) int64, row-major run lengths, 0s first; those of object i are counts[offsets[i]:offsets[i + 1]].
        offsets: (N + 1,) int64.
        sizes: (N, 2) int64, width and height in pixels.
    """

    counts: Int64
    offsets: Int64
    sizes: Int64

    @classmethod
    def of(cls, masks: Sequence[RunLengthMask]) -> Masks:
        """The columns of these masks."""
        return cls(
            np.concatenate([mask.counts for mask in masks]) if masks else np.zeros(0, np.int64),
            offsets_of([len(mask.counts) for mask in masks]),
            np.array([(mask.width, mask.height) for mask in masks], np.int64).reshape(-1, 2),
        )

    @classmethod
    def joined(cls, parts: Sequence[Masks]) -> Masks:
        """The masks of these, one after the other; there is at least one."""
        return cls(
            np.concatenate([part.counts for part in parts]),
            offsets_of(np.concatenate([np.diff(part.offsets) for part in parts])),
            np.concatenate([part.sizes for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[RunLengthMask]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, i: int) -> RunLengthMask:
        width, height = self.sizes[i].tolist()
        return RunLengthMask(self.counts[self.offsets[i] : self.offsets[i + 1]], height, width)

    def take(self, rows: Int64) -> Masks:
        """The masks of these objects, in this order."""
        at, offsets = gather(self.offsets, rows)
        return Masks(self.counts[at], offsets, self.sizes[rows])

    def is_empty(self) -> Bools:
        """(N,) whether a mask has no pixel."""
        return np.diff(self.offsets) < 2

    def ones(self) -> tuple[Int64, Int64, Int64]:
        """Object, start and end (exclusive, row-major, within its mask) of every run of 1s, in the order of objects."""
        ends = np.cumsum(self.counts)
        objects = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        base = np.concatenate(([0], ends))[self.offsets[:-1]]
        at = np.flatnonzero((np.arange(len(self.counts)) - self.offsets[objects]) & 1)
        objects = objects[at]
        ends = ends[at] - base[objects]
        return objects, ends - self.counts[at], ends

    def boxes(self) -> Floats:
        """(N, 4) tight x, y, width, height in pixels; all 0 of an empty mask."""
        boxes = np.zeros((len(self), 4))
        objects, starts, ends = self.ones()
        if not len(objects):
            return boxes
        lasts = ends - 1
        width = self.sizes[objects, 0]
        first_row, last_row = starts // width, lasts // width
        firsts = np.flatnonzero(np.concatenate(([True], objects[1:] != objects[:-1])))
        # a run that continues in the next row touches both the left and the right edge
        wraps = np.maximum.reduceat(last_row > first_row, firsts)
        left = np.where(wraps, 0, np.minimum.reduceat(starts - first_row * width, firsts))
        right = np.where(wraps, width[firsts] - 1, np.maximum.reduceat(lasts - last_row * width, firsts))
        top, bottom = first_row[firsts], last_row[np.append(firsts[1:], len(objects)) - 1]
        boxes[objects[firsts]] = np.stack((left, top, right - left + 1, bottom - top + 1), axis=1)
        return boxes

    def unions(self, groups: Int64) -> Masks:
        """The pixels that belong to any mask of a group, for each group.

        Args:
            groups: (N,) number of each mask's group, ascending, without gaps; masks of one group are of one size.
        """
        count = int(groups[-1]) + 1 if len(groups) else 0
        objects, starts, ends = self.ones()
        sizes = self.sizes[np.searchsorted(groups, np.arange(count))]
        return Masks.of_runs(groups[objects], starts, ends, sizes)

    @classmethod
    def of_runs(cls, objects: Int64, starts: Int64, ends: Int64, sizes: Int64) -> Masks:
        """Masks of runs of 1s, which may overlap.

        Args:
            objects: (R,) the mask of each run; runs and masks in any order.
            starts: (R,) where a run begins, row-major, within its mask.
            ends: (R,) where it ends, exclusive.
            sizes: (N, 2) width and height of each mask in pixels.
        """
        count = len(sizes)
        pixels = sizes.prod(axis=1)
        base = offsets_of(pixels + 1)  # one position between masks, so that no run continues in the next one
        # Sorted apart, a start begins a new run exactly where every run that began before it has ended.
        starts, ends = np.sort(starts + base[objects]), np.sort(ends + base[objects])
        fresh = np.ones(len(starts), np.bool_)
        fresh[1:] = starts[1:] > ends[:-1]
        starts, ends = starts[fresh], ends[np.append(fresh[1:], True)[: len(ends)]]
        owners = np.searchsorted(base, starts, side="right") - 1
        runs = np.bincount(owners, minlength=count)
        # borders of all masks, one after the other: 0, start, end, start, end, ..., pixels
        borders = np.empty(2 * (len(starts) + count), np.int64)
        lows = 2 * (np.cumsum(runs) - runs + np.arange(count))
        highs = lows + 2 * runs + 1
        place = 2 * (np.arange(len(starts)) + owners) + 1
        borders[lows], borders[highs] = base[:-1], base[:-1] + pixels
        borders[place], borders[place + 1] = starts, ends
        counts = np.diff(borders)
        keep = np.ones(len(counts), np.bool_)
        keep[highs[:-1]] = False  # from the end of a mask to the start of the next
        keep[highs - 1] &= counts[highs - 1] > 0  # no run of 0s after a mask that reaches the end
        return Masks(counts[keep], offsets_of(np.add.reduceat(keep, lows)) if count else offsets_of([]), sizes)


def encode(mask: ArrayLike) -> list[int]:
    """Lightly's run lengths of an (H, W) mask; every value other than 0 belongs to the mask."""
    counts: list[int] = RunLengthMask.from_array(mask).counts.tolist()
    return counts


def decode(counts: ArrayLike, size: tuple[int, int]) -> Bools:
    """The (height, width) bool array of Lightly's run lengths.

    Args:
        counts: run lengths, 0s first.
        size: (height, width) of the mask, as in COCO's `size` and numpy's shape.

    Raises:
        ValueError: the run lengths are not those of a mask of this size.
    """
    return RunLengthMask.from_counts(counts, *size).to_array()


def offsets_of(lengths: ArrayLike) -> Int64:
    """(N + 1,) where each of N consecutive parts of these lengths begins, and where the last one ends."""
    sizes = np.asarray(lengths, np.int64)
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def gather(offsets: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Positions of the values of these rows in a flat column, and the offsets of the column that they make."""
    starts = offsets[rows]
    taken = offsets_of(offsets[rows + 1] - starts)
    return np.arange(taken[-1]) + np.repeat(starts - taken[:-1], np.diff(taken)), taken


def changes(flat: NDArray[Any]) -> Int64:
    """Positions at which a value differs from the one before.

    Works on blocks, so that the comparisons stay in the cache, and within a block on 64-bit words of eight comparisons:
    most words are 0. Together this takes a third of the time of `flatnonzero(flat[1:] != flat[:-1]) + 1`.
    """
    size = max(flat.size - 1, 0)
    differs = np.zeros(min(_BLOCK, -(-size // 8) * 8), np.bool_)
    words = differs.view(np.uint64)
    found = []
    for start in range(0, size, _BLOCK):
        end = min(start + _BLOCK, size)
        np.not_equal(flat[start + 1 : end + 1], flat[start:end], out=differs[: end - start])
        differs[end - start :] = False
        at = (words != 0).nonzero()[0]
        within = words[at].view(np.bool_).nonzero()[0]
        at *= 8
        at += start + 1
        found.append(at[within >> 3] + (within & 7))
    return np.concatenate(found) if found else np.zeros(0, np.int64)
