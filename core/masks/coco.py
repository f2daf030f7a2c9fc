"""Masks from COCO's segmentations: polygons, and run lengths as a list or compressed.

Source: pycocotools (common/maskApi.c, pycocotools/_mask.pyx) of https://github.com/cocodataset/cocoapi
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelferry.run_lengths import MAX_PIXELS, Int64, RunLengthMask

MAX_PERIMETER = 4_000_000
"""Longest outline, in pixels, of one image's polygons: pycocotools takes memory for every step of an outline."""

MAX_RUNS = 2**24
"""Most runs of one mask. Stripes that take a few bytes as column-major counts may take gigabytes row-major."""


@dataclass(frozen=True, slots=True)
class MaskProblem:
    """Why a segmentation is not, or not wholly, a mask; `fatal` if there is no mask at all."""

    index: int
    code: str
    message: str
    fatal: bool = True


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
