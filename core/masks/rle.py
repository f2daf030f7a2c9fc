"""Run-length encoded masks: Lightly's row-major run lengths, made without a bitmap wherever the source has none.

Lightly stores a mask as the lengths of its runs in row-major order, starting with the number of leading 0s (0 if the
mask starts with a 1). COCO's runs are column-major. See docs/internals.md for the two algorithms used here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Int64 = NDArray[np.int64]

MAX_PIXELS = 2**36
"""Most pixels a mask may claim: several times the largest slide scans. More is a fault, not an image."""

MAX_PERIMETER = 4_000_000
"""Longest outline, in pixels, of one image's polygons: pycocotools takes memory for every step of an outline."""

_BLOCK = 2**17

MAX_RUNS = 2**24
"""Most runs of one mask. Stripes that take a few bytes as column-major counts may take gigabytes row-major."""


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
        """The runs of an (H, W) array; every value other than 0 belongs to the mask."""
        array = np.asarray(mask)
        if array.ndim != 2:
            raise ValueError(f"a mask has the shape (height, width), this one {array.shape}")
        flat = array.ravel() if array.dtype == bool else array.ravel() != 0
        flips = _changes(flat)
        if flat.size and flat[0]:
            flips = np.concatenate(([0], flips))
        return cls(_lengths(flips, flat.size), *array.shape)

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

    def to_array(self) -> NDArray[np.bool_]:
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
        if len(self.counts) < 2:
            return 0, 0, 0, 0
        flips = self.flips
        first, last = flips[0::2], _ends(flips, self.height * self.width) - 1
        top, bottom = int(first[0]) // self.width, int(last[-1]) // self.width
        if (last // self.width > first // self.width).any():  # a run goes on into the next row
            return 0, top, self.width, bottom - top + 1
        left, right = int((first % self.width).min()), int((last % self.width).max())
        return left, top, right - left + 1, bottom - top + 1

    @property
    def flips(self) -> Int64:
        """Row-major positions at which the value changes, ascending; a 0 is taken to stand before the first pixel."""
        return np.cumsum(self.counts)[:-1]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RunLengthMask)
            and (self.height, self.width) == (other.height, other.width)
            and np.array_equal(self.counts, other.counts)
        )


@dataclass(frozen=True, slots=True)
class MaskProblem:
    """Why a segmentation is not, or not wholly, a mask; `fatal` if there is no mask at all."""

    index: int
    code: str
    message: str
    fatal: bool = True


def encode(mask: ArrayLike) -> list[int]:
    """Lightly's run lengths of an (H, W) mask; every value other than 0 belongs to the mask."""
    counts: list[int] = RunLengthMask.from_array(mask).counts.tolist()
    return counts


def decode(counts: ArrayLike, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The (height, width) bool array of Lightly's run lengths.

    Args:
        counts: run lengths, 0s first.
        size: (height, width) of the mask, as in COCO's `size` and numpy's shape.

    Raises:
        ValueError: the run lengths are not those of a mask of this size.
    """
    return RunLengthMask.from_counts(counts, *size).to_array()


def union(masks: Sequence[RunLengthMask]) -> RunLengthMask:
    """The pixels that belong to any of the masks, which must be one or more and of one size."""
    first = masks[0]
    if len(masks) == 1:
        return first
    pixels = first.height * first.width
    flips = [mask.flips for mask in masks]
    starts = np.sort(np.concatenate([f[0::2] for f in flips]))
    ends = np.sort(np.concatenate([_ends(f, pixels) for f in flips]))
    # Sorted apart, a start is a new run exactly where every run that began before it has ended.
    fresh = np.ones(len(starts), np.bool_)
    fresh[1:] = starts[1:] > ends[:-1]
    merged_ends = ends[np.append(fresh[1:], True)] if len(ends) else ends
    return RunLengthMask(_interleaved(starts[fresh], merged_ends, pixels), first.height, first.width)


def masks_from_label_map(label_map: NDArray[np.integer[Any]]) -> dict[int, RunLengthMask]:
    """Every value of an (H, W) integer array and its mask, in ascending order of the values, in one pass.

    Where the flattened map changes value are the runs of every class at once; sorted by value, each class's runs lie
    side by side.
    """
    height, width = label_map.shape
    flat = np.ascontiguousarray(label_map).ravel()
    if not flat.size:
        return {}
    starts = np.concatenate(([0], _changes(flat)))
    values = flat[starts]
    ends = np.append(starts[1:], flat.size)
    order = np.argsort(values, kind="stable")
    values, starts, ends = values[order], starts[order], ends[order]
    firsts = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))  # the first run of each value
    number = np.zeros(len(values), np.int64)
    number[firsts[1:]] = 1
    number.cumsum(out=number)  # of each run's value
    # borders of all masks, one after the other: 0, start, end, start, end, ..., size
    place = 2 * (np.arange(len(values)) + number) + 1
    borders = np.empty(2 * (len(values) + len(firsts)), np.int64)
    borders[place], borders[place + 1] = starts, ends
    lows = 2 * (firsts + np.arange(len(firsts)))
    borders[lows] = 0
    highs = np.append(lows[1:], len(borders)) - 1
    borders[highs] = flat.size
    counts = borders[1:] - borders[:-1]
    highs -= counts[highs - 1] == 0  # no run of 0s after a mask that reaches the end
    return {
        value: RunLengthMask(counts[low:high], height, width)
        for value, low, high in zip(values[firsts].tolist(), lows.tolist(), highs.tolist(), strict=True)
    }


def masks_from_coco(
    segmentations: Sequence[Any], height: int, width: int
) -> tuple[list[RunLengthMask | None], list[MaskProblem]]:
    """All of one image's COCO segmentations as masks, at once.

    Each may be a list of polygons `[x1, y1, x2, y2, ...]` in pixels (several parts are one mask), an RLE with a list
    of counts, or one with compressed counts (str or bytes), whatever its `iscrowd` says. A mask equals, pixel for
    pixel, what pycocotools decodes.

    Returns:
        The masks, None where there is none (an empty segmentation has none either), and what was wrong.
    """
    problems: list[MaskProblem] = []
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        fault = f"the image is said to have {width} x {height} pixels"
        return [None] * len(segmentations), [MaskProblem(i, "image-size", fault) for i in range(len(segmentations))]
    counts: dict[int, Int64] = {}  # column-major, by index
    compressed: dict[int, bytes] = {}
    polygons: dict[int, list[Any]] = {}
    for index, segmentation in enumerate(segmentations):
        if not segmentation:
            continue
        try:
            if isinstance(segmentation, Mapping):
                rle = _rle_counts(segmentation, height, width)
                if isinstance(rle, bytes):
                    compressed[index] = rle
                else:
                    counts[index] = _checked_counts(rle, height * width)
            elif isinstance(segmentation, str):
                raise ValueError("a segmentation is a list of polygons or an RLE, not text")
            else:
                parts = [part for part in segmentation if len(part) >= 6]
                if len(parts) < len(segmentation):
                    text = f"{len(segmentation) - len(parts)} polygon(s) of fewer than 3 points cover nothing"
                    problems.append(MaskProblem(index, "polygon-too-short", text, fatal=False))
                if parts:
                    polygons[index] = parts
        except (ValueError, TypeError) as error:
            problems.append(MaskProblem(index, "broken-segmentation", str(error)))

    compressed |= _rasterise(polygons, height, width, problems)
    for index, runs in zip(compressed, _decompress(list(compressed.values())), strict=True):
        try:
            counts[index] = _checked_counts(runs, height * width)
        except ValueError as error:
            problems.append(MaskProblem(index, "broken-segmentation", str(error)))

    masks: list[RunLengthMask | None] = [None] * len(segmentations)
    for index, mask in zip(counts, _row_major(list(counts.values()), height, width), strict=True):
        masks[index] = mask
        if mask is None:
            text = f"the mask has more than {MAX_RUNS} runs in row-major order"
            problems.append(MaskProblem(index, "mask-too-complex", text))
    return masks, problems


def _rle_counts(rle: Mapping[str, Any], height: int, width: int) -> bytes | Int64:
    """The counts of a COCO RLE: bytes if compressed, else an array."""
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, Sequence) or list(size) != [height, width]:
        raise ValueError(f"the RLE's size {size} is not the image's [height, width] = [{height}, {width}]")
    if isinstance(counts, str):
        return counts.encode("utf-8")
    if isinstance(counts, bytes):
        return counts
    if not isinstance(counts, Sequence):
        raise ValueError(f"the RLE's counts are a list of integers or a string, not {type(counts).__name__}")
    array = np.asarray(counts)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError("the RLE's counts hold something that is not an integer")
    return array.astype(np.int64)


def _checked_counts(counts: Int64, pixels: int) -> Int64:
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > pixels):
        raise ValueError("the RLE's counts hold a negative length or one longer than the image")
    if (total := int(counts.sum())) != pixels:
        raise ValueError(f"the RLE's counts sum to {total} pixels, the image has {pixels}")
    return counts


def _rasterise(
    polygons: Mapping[int, list[Any]], height: int, width: int, problems: list[MaskProblem]
) -> dict[int, bytes]:
    """pycocotools' compressed RLE of each object's polygons; what is not a polygon goes to `problems`."""
    if not polygons:
        return {}
    from pycocotools import mask as pycocotools_mask

    sound: dict[int, list[Any]] = {}
    try:  # all of the image's coordinates at once; one by one only if something is wrong with one of them
        parts = list(chain.from_iterable(polygons.values()))
        flat = _numbers(list(chain.from_iterable(parts)))
        outline = flat.size * float(np.abs(flat).max())  # not less than the longest possible outline
        if outline < MAX_PERIMETER and not any(len(part) % 2 for part in parts):  # NaN is not less either
            bounds = np.cumsum([len(part) for part in parts])[:-1]
            arrays = iter(np.split(flat, bounds))
            sound = {index: [next(arrays) for _ in parts] for index, parts in polygons.items()}
    except (ValueError, TypeError):
        sound = {}
    if not sound:
        for index, parts in polygons.items():
            try:
                sound[index] = [_checked_polygon(part, height, width) for part in parts]
            except (ValueError, TypeError) as error:
                problems.append(MaskProblem(index, "broken-segmentation", str(error)))
    if not sound:
        return {}
    rles = iter(pycocotools_mask.frPyObjects(list(chain.from_iterable(sound.values())), height, width))
    result = {}
    for index, parts in sound.items():
        whole = [next(rles) for _ in parts]
        result[index] = (whole[0] if len(whole) == 1 else pycocotools_mask.merge(whole))["counts"]
    return result


def _numbers(values: Any) -> NDArray[np.float64]:
    array = np.array(values)
    if array.dtype.kind not in "iuf":  # numpy would read numbers from text
        raise ValueError("a polygon holds something that is not a number")
    return array.astype(np.float64)


def _checked_polygon(part: Any, height: int, width: int) -> NDArray[np.float64]:
    points = _numbers(part)
    if points.ndim != 1 or points.size % 2:
        raise ValueError("a polygon is a flat list x1, y1, x2, y2, ... with a y for every x")
    if not np.isfinite(points).all():
        raise ValueError("a polygon holds a coordinate that is not a finite number")
    steps = np.abs(np.diff(points.reshape(-1, 2), axis=0, append=points[None, :2]))
    if np.abs(points).max() > MAX_PERIMETER or steps.max(axis=1).sum() > MAX_PERIMETER:
        raise ValueError(f"a polygon reaches far beyond the image of {width} x {height} pixels")
    return points


def _decompress(strings: Sequence[bytes]) -> list[Int64]:
    """The counts of COCO's compressed RLEs, all at once; what is none comes out as one negative count.

    A count is stored in 6-bit characters from '0' on, five bits each, lowest first, bit 6 set on all but the last;
    the sign is bit 5 of the last; from the fourth count on it is the difference to the count two before
    (pycocotools' rleToString).
    """
    if not any(strings):
        return [np.array([-1])] * len(strings)
    text = np.frombuffer(b"".join(strings), np.uint8) - np.uint8(48)
    string_ends = np.cumsum([len(string) for string in strings])
    ends = np.flatnonzero((text & 0x20) == 0) + 1  # of counts
    starts = np.empty_like(ends)
    starts[:1], starts[1:] = 0, ends[:-1]
    digits = ends - starts
    values = (text[starts] & 0x1F).astype(np.int64)
    for digit in range(1, min(int(digits.max(initial=0)), 12)):
        more = np.flatnonzero(digits > digit)
        values[more] |= (text[starts[more] + digit] & 0x1F).astype(np.int64) << (5 * digit)
    negative = np.flatnonzero(text[ends - 1] & 0x10)
    values[negative] -= np.int64(1) << (5 * np.minimum(digits[negative], 12))
    sound = text.max() < 64 and digits.max(initial=0) <= 12 and len(ends) > 0 and ends[-1] == len(text)
    bounds = np.searchsorted(ends, string_ends, side="right").tolist()
    result = []
    for string, lo, hi in zip(strings, [0, *bounds[:-1]], bounds, strict=True):
        counts = values[lo:hi]
        if not sound and not _is_compressed_rle(string):
            counts = np.array([-1])
        elif len(counts) > 3:
            counts[1::2].cumsum(out=counts[1::2])
            counts[2::2].cumsum(out=counts[2::2])
        result.append(counts)
    return result


def _is_compressed_rle(string: bytes) -> bool:
    """Whether every character is one of the 64, no count has more than 60 bits, and the last one is complete."""
    return re.fullmatch(rb"([P-o]{0,11}[0-O])+", string) is not None


def _row_major(columns: Sequence[Int64], height: int, width: int) -> list[RunLengthMask | None]:
    """Masks from column-major counts, all at once, without a bitmap; None for one of more than MAX_RUNS runs.

    A row-major run begins or ends at every pixel that differs from its left neighbour. In column-major order the left
    neighbour stands `height` before, so those pixels are the mask XOR the mask moved on by `height`; the left
    neighbour of the first column is the last column, one row up. XOR of runs is the sorted union of their borders.
    """
    if not columns:
        return []
    pixels = height * width
    borders = []
    for index, counts in enumerate(columns):
        flips = counts.cumsum()[: len(counts) // 2 * 2]  # even: the last run is closed, if only at `pixels`
        wrapped = flips[flips.searchsorted(pixels - height, side="right") :] - (pixels - height - 1)
        offset = index * pixels
        borders += [flips + offset, np.minimum(flips, pixels - height) + (height + offset)]
        if len(wrapped):
            borders.append(np.minimum(wrapped, height) + offset)
        if len(wrapped) % 2:  # the last column begins inside the mask
            borders.append(np.array([offset + 1]))
    small = len(columns) * pixels < 2**31  # half the bytes to sort and divide
    border: NDArray[np.signedinteger[Any]] = np.concatenate(borders).astype(np.int32 if small else np.int64)
    border.sort()
    starts = border[0::2]
    lengths = border[1::2] - starts
    totals = lengths.cumsum(dtype=np.int64)
    if len(totals) and totals[-1] > MAX_RUNS:
        if len(columns) == 1:
            return [None]
        half = len(columns) // 2
        return _row_major(columns[:half], height, width) + _row_major(columns[half:], height, width)
    # every position within the intervals [start, start + length)
    position = np.arange(totals[-1] if len(totals) else 0, dtype=border.dtype)
    position += np.repeat((starts + lengths - totals).astype(border.dtype), lengths)
    column = position // height  # over all objects: index * width + x
    indices = column // width
    key = indices * pixels + (position - column * height) * width + (column - indices * width)
    closing = np.arange(1, len(columns) + 1) * pixels
    bounds = np.concatenate(([0], key, closing))
    bounds.sort()
    counts = bounds[1:] - bounds[:-1]
    ends = (np.bincount(indices, minlength=len(columns)) + 1).cumsum().tolist()
    return [RunLengthMask(counts[lo:hi], height, width) for lo, hi in zip([0, *ends[:-1]], ends, strict=True)]


def _changes(flat: NDArray[Any]) -> Int64:
    """Positions at which a value differs from the one before.

    Blocks at a time, so that the comparisons stay in the cache, and of those eight at a time, as one 64-bit word: most
    words are 0. Together this takes a third of the time of `flatnonzero(flat[1:] != flat[:-1]) + 1`.
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


def _ends(flips: Int64, pixels: int) -> Int64:
    """Where the runs that start at flips[0::2] end; the last may reach the end of the mask, which is no flip."""
    ends = flips[1::2]
    return np.append(ends, pixels) if len(flips) % 2 else ends


def _interleaved(starts: Int64, ends: Int64, pixels: int) -> Int64:
    """Run lengths from the runs' starts and ends."""
    flips = np.empty(2 * len(starts), np.int64)
    flips[0::2], flips[1::2] = starts, ends
    return _lengths(flips[:-1] if len(flips) and flips[-1] == pixels else flips, pixels)


def _lengths(flips: Int64, pixels: int) -> Int64:
    """Run lengths from the positions of the flips."""
    bounded = np.empty(len(flips) + 2, np.int64)
    bounded[0], bounded[1:-1], bounded[-1] = 0, flips, pixels
    return np.diff(bounded)
