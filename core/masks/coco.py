"""Masks from COCO's segmentations: polygons, and run lengths as a list or compressed.

Source: pycocotools (common/maskApi.c, pycocotools/_mask.pyx) of https://github.com/cocodataset/cocoapi. Masks equal,
pixel for pixel, what pycocotools decodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.findings import Finding
from labelferry.run_lengths import MAX_PIXELS, Int64, Masks, offsets_of

MAX_PERIMETER = 4_000_000
"""Longest outline, in pixels, of one image's polygons: pycocotools takes memory for every step of an outline."""

MAX_RUNS = 2**24
"""Most runs of one mask. Stripes that take a few bytes as column-major counts may take gigabytes row-major."""

EDGE_TOLERANCE = 0.5
"""Pixels by which a polygon may reach over the image's edge without being reported: no pixel changes by so little."""

TOGETHER = 64
"""Objects whose masks are made in one pass, at least: fewer take longer each, many more leave the processor's cache."""


class Segmented(NamedTuple):
    """The masks of segmentations.

    Attributes:
        masks: of the objects that have one.
        rows: (M,) int64, these objects' places among the segmentations, ascending.
        missing: places of objects whose segmentation is empty; there is no finding about them.
        findings: errors, each of them losing its object, and repairs, in the order of the segmentations; `image` is the
            place of the segmentation.
    """

    masks: Masks
    rows: Int64
    missing: list[int]
    findings: list[Finding]


def masks_of_image(segmentations: Sequence[Any], size: tuple[int, int], locate: Callable[[int], str]) -> Segmented:
    """The same as `masks_from_coco` for the objects of one image.

    Args:
        segmentations: of its objects.
        size: (width, height) of the image in pixels.
        locate: where the segmentation at a place stands, for messages.
    """
    return next(_in_one_pass([segmentations], [size], lambda _, place: locate(place)))


def masks_of_images(
    segmentations: Sequence[Sequence[Any]], sizes: Sequence[tuple[int, int]], locate: Callable[[int, int], str]
) -> Iterator[Segmented]:
    """The same for the objects of several images, those of many in one pass; a result for each image, in their order.

    Args:
        segmentations: of the objects of each image.
        sizes: (width, height) of each image in pixels.
        locate: where a segmentation stands, by the place of its image and its place in the image; for messages.
    """
    begin = count = 0
    for end, one in enumerate(segmentations, 1):
        count += len(one)
        if count >= TOGETHER or end == len(segmentations):
            yield from _in_one_pass(segmentations[begin:end], sizes[begin:end], locate, begin)
            begin, count = end, 0


def _in_one_pass(
    segmentations: Sequence[Sequence[Any]],
    sizes: Sequence[tuple[int, int]],
    locate: Callable[[int, int], str],
    begin: int = 0,
) -> Iterator[Segmented]:
    """The same in one pass; `begin` is the place of the first image."""
    counts = [len(one) for one in segmentations]
    bounds = offsets_of(counts).tolist()
    owners = np.repeat(np.arange(len(counts)), counts)
    bounded = np.array([[max(-1, min(side, MAX_PIXELS + 1)) for side in size] for size in sizes], np.int64)

    def at(row: int) -> str:
        image = int(owners[row])
        return locate(begin + image, row - bounds[image])

    found = masks_from_coco(list(chain.from_iterable(segmentations)), bounded[owners], at)
    places = np.searchsorted(found.rows, bounds).tolist()
    for first, last, low, high in zip(bounds, bounds[1:], places, places[1:], strict=False):
        yield Segmented(
            found.masks.take(np.arange(low, high)),
            found.rows[low:high] - first,
            [row - first for row in found.missing if first <= row < last],
            [replace(one, image=one.image - first) for one in found.findings if first <= one.image < last],
        )


def masks_from_coco(segmentations: Sequence[Any], sizes: Int64, locate: Callable[[int], str]) -> Segmented:
    """COCO segmentations, of any images, as masks.

    Each may be a list of polygons `[x1, y1, x2, y2, ...]` in pixels (several parts are one mask), an RLE with a list
    of counts, or one with compressed counts (str or bytes), or a list of RLEs, whose union is the mask, whatever its
    `iscrowd` says.

    Args:
        segmentations: of N objects, in the order of their images.
        sizes: (N, 2) width and height of each object's image in pixels.
        locate: where the segmentation at a place stands, for messages.
    """
    findings: list[Finding] = []
    missing: list[int] = []

    def fail(row: int, text: str, code: str = "broken-segmentation") -> None:
        findings.append(Finding("error", code, locate(row), text, 1, 1, row))

    plain: dict[int, Int64] = {}  # column-major counts
    compressed: dict[int, bytes] = {}
    polygons: dict[int, list[Any]] = {}
    united: dict[int, Masks] = {}
    for row, (segmentation, (width, height)) in enumerate(zip(segmentations, sizes.tolist(), strict=True)):
        if type(segmentation) is list and len(segmentation) == 1 and isinstance(segmentation[0], Mapping):
            segmentation = segmentation[0]  # pycocotools reads a list of RLEs, too
        if not segmentation:
            missing.append(row)
        elif min(height, width) < 1 or height * width > MAX_PIXELS:
            fail(row, f"the image is said to have {width} x {height} pixels", "image-size")
        elif isinstance(segmentation, Mapping):
            try:
                counts = _rle_counts(segmentation, height, width)
            except (ValueError, TypeError, OverflowError) as error:
                fail(row, str(error))
                continue
            if isinstance(counts, bytes):
                compressed[row] = counts
            else:
                plain[row] = counts
        elif isinstance(segmentation, str):
            fail(row, "a segmentation is a list of polygons or an RLE, not text")
        elif type(segmentation) is list and all(isinstance(part, Mapping) for part in segmentation):
            own = masks_from_coco(segmentation, np.repeat(sizes[row : row + 1], len(segmentation), axis=0), locate)
            if len(own.rows) == len(segmentation):
                united[row] = own.masks.unions(np.zeros(len(segmentation), np.int64))
            else:
                fail(row, own.findings[0].message if own.findings else "an RLE of the list is empty")
        else:
            try:
                parts = [part for part in segmentation if len(part) >= 6]
                if len(parts) < len(segmentation):
                    _check_short(segmentation)
            except (ValueError, TypeError, OverflowError) as error:
                fail(row, str(error))
                continue
            if len(parts) == len(segmentation):
                polygons[row] = parts
                continue
            text = f"{len(segmentation) - len(parts)} polygon(s) of fewer than 3 points cover nothing"
            if parts:
                findings.append(Finding("repair", "polygon-too-short", locate(row), text, 1, 0, row))
                polygons[row] = parts
            else:
                findings.append(Finding("repair", "polygon-too-short", locate(row), f"{text}; dropped", 1, 1, row))
    compressed |= _rasterised(
        polygons, sizes, fail, lambda row, text: findings.append(_clipped(locate(row), text, row))
    )
    counts, lengths = _decompressed(list(compressed.values()))
    rows = np.array([*compressed, *plain], np.int64)
    if plain:
        counts = np.concatenate((counts, *plain.values()))
        lengths = np.concatenate((lengths, [len(one) for one in plain.values()]))
    counts, lengths, rows = _checked(counts, lengths, rows, sizes, fail)
    masks, is_whole = row_major(counts, lengths, sizes[rows])
    for row in rows[~is_whole].tolist():
        fail(row, f"the mask has more than {MAX_RUNS} runs in row-major order", "mask-too-complex")
    rows = rows[is_whole]
    if united:
        masks = Masks.joined([masks, *united.values()])
        rows = np.concatenate((rows, list(united)))
    order = np.argsort(rows)
    findings.sort(key=lambda finding: finding.image)
    return Segmented(masks.take(order), rows[order], missing, findings)


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
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu") or bool in set(map(type, counts)):
        raise ValueError("the RLE's counts hold something that is not an integer")
    return array.astype(np.int64)


def _check_short(polygons: Sequence[Any]) -> None:
    """Refuse polygons of which some have fewer than three points, unless each has an x and a y for every point.

    Raises:
        ValueError, TypeError: one has not.
    """
    if len(polygons) > 1 and all(len(part) == 2 for part in polygons):
        raise ValueError("points in pairs [x, y]; a polygon is a flat list x1, y1, x2, y2, ...")
    for part in polygons:
        if isinstance(part, str | Mapping):
            raise ValueError("a list of polygons holds something else than a list of coordinates")
        _flat(part)


def _clipped(where: str, text: str, row: int) -> Finding:
    return Finding("repair", "polygon-clipped", where, text, 1, 0, row)


def _checked(
    counts: Int64, lengths: Int64, rows: Int64, sizes: Int64, fail: Callable[[int, str], None]
) -> tuple[Int64, Int64, Int64]:
    """The run lengths that sum to their image's pixels; the others are reported."""
    if not len(rows):
        return counts, lengths, rows
    pixels = sizes[rows].prod(axis=1)
    owners = np.repeat(np.arange(len(rows)), lengths)
    wrong = np.bincount(owners, (counts < 0) | (counts > pixels[owners]), len(rows)) > 0
    ends = np.concatenate(([0], np.where(wrong[owners], 0, counts).cumsum()))[offsets_of(lengths)]
    totals = np.diff(ends)
    bad = wrong | (totals != pixels)
    if not bad.any():
        return counts, lengths, rows
    for i in np.flatnonzero(bad).tolist():
        if wrong[i]:
            fail(int(rows[i]), "the RLE's counts are not run lengths: one is negative, or longer than the image")
        else:
            fail(int(rows[i]), f"the RLE's counts sum to {totals[i]} pixels, the image has {pixels[i]}")
    return counts[~bad[owners]], lengths[~bad], rows[~bad]


def _rasterised(
    polygons: Mapping[int, list[Any]], sizes: Int64, fail: Callable[[int, str], None], clip: Callable[[int, str], None]
) -> dict[int, bytes]:
    """pycocotools' compressed RLE of each object's polygons.

    Args:
        polygons: of each object.
        sizes: of the images of all objects.
        fail: called with an object whose polygons are broken, and why.
        clip: called with an object whose polygons reach over the edge, and how far.
    """
    result: dict[int, bytes] = {}
    by_size: dict[tuple[int, int], dict[int, list[Any]]] = {}
    for row, parts in polygons.items():
        width, height = sizes[row].tolist()
        by_size.setdefault((width, height), {})[row] = parts
    for (width, height), group in by_size.items():
        result |= _rasterised_alike(group, width, height, fail, clip)
    return result


def _rasterised_alike(
    polygons: Mapping[int, list[Any]],
    width: int,
    height: int,
    fail: Callable[[int, str], None],
    clip: Callable[[int, str], None],
) -> dict[int, bytes]:
    """The same for images of one size."""
    from pycocotools import mask as pycocotools_mask

    sound: dict[int, list[Any]] = {}
    reach = 0.0
    try:  # all coordinates at once; object by object only if something is wrong with one of them
        parts = list(chain.from_iterable(polygons.values()))
        flat = _flat(list(chain.from_iterable(parts)))
        with np.errstate(invalid="ignore"):
            outline = 2 * _outline(flat)  # the way back to the first point is not longer than the way from it
        if max(outline, np.abs(flat).max()) <= MAX_PERIMETER and not any(len(part) % 2 for part in parts):
            bounds = np.cumsum([len(part) for part in parts])[:-1]
            arrays = iter(np.split(flat, bounds))
            sound = {row: [next(arrays) for _ in parts] for row, parts in polygons.items()}
            reach = _reach(flat, width, height)
    except (ValueError, TypeError, OverflowError):
        sound = {}
    if not sound:
        reach = np.inf
        for row, parts in polygons.items():
            try:
                sound[row] = [_checked_polygon(part, height, width) for part in parts]
            except (ValueError, TypeError, OverflowError) as error:
                fail(row, str(error))
    if not sound:
        return {}
    if reach > EDGE_TOLERANCE:
        text = f"a polygon reaches over the edge of the {width} x {height} image by up to {{:.3g}} px; clipped"
        for row, arrays_of_row in sound.items():
            reach = max(_reach(array, width, height) for array in arrays_of_row)
            if reach > EDGE_TOLERANCE:
                clip(row, text.format(reach))
    rles = iter(pycocotools_mask.frPyObjects(list(chain.from_iterable(sound.values())), height, width))
    result = {}
    for row, parts in sound.items():
        whole = [next(rles) for _ in parts]
        result[row] = (whole[0] if len(whole) == 1 else pycocotools_mask.merge(whole))["counts"]
    return result


def _reach(flat: NDArray[np.float64], width: int, height: int) -> float:
    """How far the farthest of these points lies over the edge of the image, in pixels; negative if none does."""
    x, y = flat[0::2], flat[1::2]
    return float(max(-x.min(), -y.min(), x.max() - width, y.max() - height))


def _outline(flat: NDArray[np.float64]) -> float:
    """The length of the way along these points x1, y1, x2, y2, ... in steps of pycocotools."""
    return float(np.maximum(np.abs(np.diff(flat[0::2])), np.abs(np.diff(flat[1::2]))).sum())


def _flat(values: Any) -> NDArray[np.float64]:
    """Numbers x1, y1, x2, y2, ...

    Raises:
        ValueError: it is something else.
    """
    array = np.array(values)
    if array.ndim != 1 or array.size % 2:
        raise ValueError("a polygon is a flat list x1, y1, x2, y2, ... with a y for every x")
    if array.size and array.dtype.kind not in "iuf":  # numpy would read numbers from text
        raise ValueError("a polygon holds something that is not a number")
    if isinstance(values, list) and any(type(values[i]) is bool for i in np.flatnonzero((array == 0) | (array == 1))):
        raise ValueError("a polygon holds true or false")
    return array.astype(np.float64)


def _checked_polygon(part: Any, height: int, width: int) -> NDArray[np.float64]:
    points = _flat(part)
    if not np.isfinite(points).all():
        raise ValueError("a polygon holds a coordinate that is not a finite number")
    if np.abs(points).max() > MAX_PERIMETER or _outline(np.append(points, points[:2])) > MAX_PERIMETER:
        raise ValueError(f"a polygon reaches far beyond the image of {width} x {height} pixels")
    return points


def _decompressed(strings: Sequence[bytes]) -> tuple[Int64, Int64]:
    """The counts of COCO's compressed RLEs, one after the other, and how many each has; of a string that is no such
    RLE, one negative count.

    A count is stored in 6-bit characters from '0' on, five bits each, lowest first, bit 6 set on all but the last;
    the sign is bit 5 of the last; from the fourth count on it is the difference to the count two before
    (pycocotools' rleToString).
    """
    if not strings:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    text = np.frombuffer(b"".join(strings), np.uint8) - np.uint8(48)
    if not text.size or text.max() >= 64 or not _ends_are_whole(text, strings):
        strings = [string if _COMPRESSED.fullmatch(string) else _BROKEN for string in strings]
        text = np.frombuffer(b"".join(strings), np.uint8) - np.uint8(48)
    ends = np.flatnonzero((text & 0x20) == 0) + 1  # of counts
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1]
    digits = ends - starts
    if digits.max() > 12:
        strings = [string if _COMPRESSED.fullmatch(string) else _BROKEN for string in strings]
        return _decompressed(strings)
    values = (text[starts] & 0x1F).astype(np.int64)
    for digit in range(1, int(digits.max())):
        more = np.flatnonzero(digits > digit)
        values[more] |= (text[starts[more] + digit] & 0x1F).astype(np.int64) << (5 * digit)
    negative = np.flatnonzero(text[ends - 1] & 0x10)
    values[negative] -= np.int64(1) << (5 * digits[negative])
    string_ends = np.cumsum([len(string) for string in strings])
    highs = np.searchsorted(ends, string_ends, side="right")
    lows = np.concatenate(([0], highs[:-1]))
    lengths = highs - lows
    for first in (1, 2):  # the counts at odd places, and those at even places from 2: running sums within each string
        of_string = np.maximum((lengths - first + 1) // 2, 0)
        before = offsets_of(of_string)
        if not before[-1]:
            continue
        at = 2 * (np.arange(before[-1]) - np.repeat(before[:-1], of_string)) + np.repeat(lows + first, of_string)
        sums = np.concatenate(([0], values[at].cumsum()))
        values[at] = sums[1:] - np.repeat(sums[before[:-1]], of_string)
    return values, lengths


_COMPRESSED = re.compile(rb"([P-o]{0,11}[0-O])+")
"""All characters are of the 64, no count has more than 60 bits, and the last one is complete."""

_BROKEN = b"O"
"""A compressed RLE of the one count -1."""


def _ends_are_whole(text: NDArray[np.uint8], strings: Sequence[bytes]) -> bool:
    """Whether no string is empty, and each ends with the last character of a count."""
    lengths = np.array([len(string) for string in strings])
    return bool(lengths.min() > 0 and not (text[lengths.cumsum() - 1] & 0x20).any())


def row_major(counts: Int64, lengths: Int64, sizes: Int64) -> tuple[Masks, NDArray[np.bool_]]:
    """Masks from column-major run lengths, all at once, without a bitmap.

    A row-major run begins or ends at every pixel that differs from its left neighbour. In column-major order the left
    neighbour stands `height` before, so those pixels are the mask XOR the mask moved on by `height`; the left
    neighbour of the first column is the last column, one row up. XOR of runs is the sorted union of their borders.
    All objects lie one after the other in one range of positions.

    Args:
        counts: column-major run lengths, 0s first; those of an object sum to its pixels.
        lengths: (N,) how many each object has.
        sizes: (N, 2) width and height.

    Returns:
        The masks of all objects that have at most MAX_RUNS runs, and (N,) which have.
    """
    is_whole = np.ones(len(lengths), np.bool_)
    if not len(lengths):
        return Masks(np.zeros(0, np.int64), offsets_of([]), sizes), is_whole
    width, height = sizes.T
    pixels = width * height
    offsets = offsets_of(pixels)
    total = int(offsets[-1])
    dtype = np.int32 if total + int(height.max()) < 2**31 else np.int64  # half the bytes to sort and divide
    even = lengths // 2 * 2  # an odd last run is of 0s, and its end is no border of the mask
    flips = counts.cumsum()
    if (even < lengths).any():
        keep = np.ones(len(flips), np.bool_)
        keep[(offsets_of(lengths)[1:] - 1)[even < lengths]] = False
        flips = flips[keep]
    flips = flips.astype(dtype)
    tops, heights = offsets[1:].astype(dtype), height.astype(dtype)
    of_flip = np.repeat(heights, even)
    edges = np.repeat(tops - heights, even)
    wrapped = np.flatnonzero(flips > edges)  # in the last column, or at its end
    objects = np.repeat(np.arange(len(lengths)), even)[wrapped]
    first_column = np.minimum(flips[wrapped] - edges[wrapped] + 1, of_flip[wrapped]) + offsets[objects].astype(dtype)
    odd = np.flatnonzero(np.bincount(objects, minlength=len(lengths)) % 2)  # the last column begins inside the mask
    borders = np.concatenate(
        (flips, np.minimum(flips, edges) + of_flip, first_column, (offsets[odd] + 1).astype(dtype))
    )
    borders.sort()
    starts = borders[0::2]
    spans = borders[1::2] - starts
    some = np.flatnonzero(spans)
    starts, spans = starts[some], spans[some]
    objects = np.searchsorted(tops, starts, side="right")
    runs = np.bincount(objects, spans, len(lengths)).astype(np.int64)
    if runs.sum() > MAX_RUNS:
        if len(lengths) == 1:
            return Masks(np.zeros(0, np.int64), offsets_of([]), sizes[:0]), ~is_whole
        half = len(lengths) // 2
        cut = int(lengths[:half].sum())
        one, one_whole = row_major(counts[:cut], lengths[:half], sizes[:half])
        other, other_whole = row_major(counts[cut:], lengths[half:], sizes[half:])
        return Masks.joined([one, other]), np.concatenate((one_whole, other_whole))
    x, y = np.divmod(starts - offsets[objects].astype(dtype), heights[objects])
    x, y, spans, objects = _within_columns(x, y, spans, objects, heights)
    # the row-major positions of the pixels of a span are `width` apart
    before = offsets_of(spans)
    wide = width[objects]
    first = offsets[objects] + y * wide + x - wide * before[:-1]
    position = np.arange(before[-1]) * np.repeat(wide, spans) + np.repeat(first, spans)
    bounds = np.concatenate(([0], position, offsets[1:])).astype(dtype)
    bounds.sort()
    return Masks(np.diff(bounds).astype(np.int64), offsets_of(runs + 1), sizes), is_whole


def _within_columns(x: Any, y: Any, spans: Any, objects: Int64, heights: Any) -> tuple[Any, Any, Any, Int64]:
    """Column-major spans of pixels, cut at the ends of columns."""
    parts = []
    while True:
        room = heights[objects] - y
        over = np.flatnonzero(spans > room)
        parts.append((x, y, np.minimum(spans, room), objects))
        if not len(over):
            break
        x, y, spans, objects = x[over] + 1, np.zeros_like(y[over]), (spans - room)[over], objects[over]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if len(parts) > 1 else parts[0]
    return columns[0], columns[1], columns[2].astype(np.int64), columns[3]
