"""Masks as models give them: arrays, polygons, run lengths, label maps, scores of pixels, and Ultralytics' masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.predictions.arguments import Call, to_array, to_floats, to_ids
from labelferry.run_lengths import Bools, Int64, Masks, RunLengthMask

Size = tuple[int, int]


class Scaled(NamedTuple):
    """Masks of a model's input, which are scaled to the image.

    Attributes:
        data: (N, h, w) of the model's input, which is the image with its proportions and a border.
        size: (width, height) of the image.
    """

    data: Any
    size: Size


def to_masks(
    call: Call, given: Any, threshold: Any, size: Size | None, findings: list[Finding]
) -> tuple[Sequence[RunLengthMask] | Masks | None, Size | None]:
    """Masks of every kind, and the size of the image, which arrays tell.

    Args:
        call: for messages.
        given: (N, H, W) or (N, 1, H, W); or for each object an array, polygons, a COCO RLE or run lengths.
        threshold: the score above which a pixel belongs to a mask, for masks of scores.
        size: of the image, if it is known.
        findings: takes what is wrong with polygons and run lengths; their masks are empty.
    """
    limit = _to_threshold(call, threshold)
    if given is None or isinstance(given, Masks):
        return given, size
    if isinstance(given, Scaled):
        data = to_array(call, "masks.data", given.data)
        if data.ndim != 3 or (data.size == 0 and len(data)):
            raise call.error("masks.data", f"expected the shape (N, height, width), found {data.shape}")
        return scale_masks(data, given.size), given.size
    masks: list[RunLengthMask | None] = []
    shapes: dict[int, Any] = {}
    for i, one in enumerate(_each(call, given)):
        if isinstance(one, RunLengthMask):
            masks.append(one)
        elif isinstance(one, Mapping | list | tuple):
            shapes[i] = _segmentation(call, one, i)
            masks.append(None)
        else:
            masks.append(RunLengthMask.from_array(_pixels(call, one, limit, i)))
    if size is None and (known := [mask for mask in masks if mask is not None]):
        size = known[0].width, known[0].height
    if shapes:
        if size is None:
            raise call.error("size", "polygons and COCO RLE need the image's size: give size=(width, height)")
        places = list(shapes)
        drawn = masks_of_image(list(shapes.values()), size, lambda i: f"{call.where}, object {places[i]}")
        # what is not a mask is an empty one: it is removed, and counted, with the object's other columns
        findings += [replace(one, lost=0, message=f"masks: {one.message}") for one in drawn.findings]
        for i in places:
            masks[i] = RunLengthMask.empty(size[1], size[0])
        for i, mask in zip(drawn.rows.tolist(), drawn.masks, strict=True):
            masks[places[i]] = mask
    return [mask for mask in masks if mask is not None], size


def to_label_map(call: Call, given: Any) -> NDArray[np.int64]:
    """(H, W) ids of the model, of the shape (1, H, W) too."""
    array = to_array(call, "label_map", given)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim != 2 or not array.size:
        hint = "; write each image with its own" if array.ndim == 3 else ""
        raise call.error("label_map", f"expected the shape (height, width), found {array.shape}{hint}")
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = array.astype(np.int64)
        if not (whole == array).all():
            raise call.error("label_map", "expected whole numbers, the ids of classes; scores are class_scores=")
        return whole
    return array.astype(np.int64, copy=False)


def to_class_scores(call: Call, given: Any) -> NDArray[Any]:
    """(C, H, W) scores of pixels, of the shape (1, C, H, W) too."""
    scores = to_array(call, "class_scores", given)
    if scores.ndim == 4 and len(scores) == 1:
        scores = scores[0]
    if scores.ndim != 3 or not scores.size:
        hint = "; write each image with its own" if scores.ndim == 4 and len(scores) > 1 else ""
        raise call.error("class_scores", f"expected the shape (classes, height, width), found {scores.shape}{hint}")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise call.error("class_scores", "a score is not finite", "score-out-of-range")
    return scores


def scores_of_segments(
    scores: NDArray[Any], best: NDArray[np.int64], values: Iterable[int], aggregate: str
) -> list[float]:
    """The median or mean of the scores of the pixels of each of these classes, which is their best."""
    of_pixels = np.take_along_axis(scores, best[None], axis=0)[0].astype(np.float64)
    combine = np.mean if aggregate == "mean" else np.median
    return [float(combine(of_pixels[best == value])) for value in values]


def size_of_pixels(call: Call, *given: Any) -> Size | None:
    """(width, height) of the first of these that are given: arrays, or masks as `to_masks` takes them."""
    for one in given:
        if isinstance(one, list | tuple) and one:
            one = one[0]
        if isinstance(one, Masks) and len(one):
            one = one[0]
        if isinstance(one, RunLengthMask):
            return one.width, one.height
        if isinstance(one, Scaled):
            return one.size
        if isinstance(one, Mapping) and "size" in one:
            sides = to_ids(call, "masks", one["size"]).tolist()
            return (sides[1], sides[0]) if len(sides) == 2 else None
        if one is not None and not isinstance(one, Masks | Mapping | list | tuple):
            shape = to_array(call, "pixels", one).shape
            return (shape[-1], shape[-2]) if len(shape) > 1 else None
    return None


def masks_of_segments(
    call: Call, segment_map: Any, ids: Sequence[int], background: frozenset[int]
) -> list[RunLengthMask]:
    """The mask of each segment of a map by its id; a segment without a pixel has an empty one.

    Raises:
        ExportError: the map has a value that is neither a segment nor background.
    """
    found = masks_from_label_map(to_label_map(call, segment_map))
    if unknown := sorted(found.keys() - set(ids) - background):
        raise call.error("segmentation", f"the value {unknown[0]} is not among the ids of segments_info")
    any_mask = next(iter(found.values()))
    return [found.get(i) or RunLengthMask.empty(any_mask.height, any_mask.width) for i in ids]


def scale_masks(data: NDArray[Any], size: Size) -> list[RunLengthMask]:
    """Masks of a model's input as masks of the image: the border is cut off, the rest is resized bilinearly, and pixels
    above 0.5 belong to the mask, as `ultralytics.utils.ops.scale_masks` does it.

    Only the part of a mask that has pixels is resized.

    Args:
        data: (N, h, w).
        size: (width, height) of the image.

    Source: https://docs.ultralytics.com/reference/utils/ops/#ultralytics.utils.ops.scale_masks
    """
    (width, height), (rows, columns) = size, data.shape[1:]
    if (rows, columns) == (height, width):
        return [RunLengthMask.from_array(mask > 0.5) for mask in data]
    gain = min(rows / height, columns / width)
    inner_rows, inner_columns = max(round(height * gain), 1), max(round(width * gain), 1)
    top, left = round((rows - inner_rows) / 2 - 0.1), round((columns - inner_columns) / 2 - 0.1)
    inner = data[:, top : top + inner_rows, left : left + inner_columns]
    y, x = _Bilinear.of(inner_rows, height), _Bilinear.of(inner_columns, width)
    masks = []
    for mask in inner:
        pixels = np.zeros((height, width), np.bool_)
        filled_rows, filled_columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(filled_rows):
            above, below = y.part(filled_rows[0], filled_rows[-1])
            start, end = x.part(filled_columns[0], filled_columns[-1])
            if above < below and start < end:  # a thin object may lie between two pixels of a smaller image
                pixels[above:below, start:end] = _resized(mask, y.cut(above, below), x.cut(start, end)) > 0.5
        masks.append(RunLengthMask.from_array(pixels))
    return masks


class _Bilinear(NamedTuple):
    """Between which two of n places each of m new places lies, and the weight of the second.

    With the roundings of PyTorch (`interpolate(mode="bilinear")`, pixels' centres), which decide whether a line of one
    pixel stays: the ratio is a float32, and a place is rounded to float32 once, after both operations.
    """

    low: Int64
    high: Int64
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, n: int, m: int) -> _Bilinear:
        ratio = np.float64(np.float32(n) / np.float32(m))
        at = np.maximum(ratio * (np.arange(m) + 0.5) - 0.5, 0).astype(np.float32)
        low = np.minimum(at.astype(np.int64), n - 1)
        weight = np.clip(at - low.astype(np.float32), np.float32(0), np.float32(1))
        return cls(low, np.minimum(low + 1, n - 1), weight)

    def part(self, first: int, last: int) -> tuple[int, int]:
        """The new places, from and to, that lie next to one of these places."""
        return int(np.searchsorted(self.high, first)), int(np.searchsorted(self.low, last, side="right"))

    def cut(self, start: int, end: int) -> _Bilinear:
        return _Bilinear(self.low[start:end], self.high[start:end], self.weight[start:end])


def _resized(mask: NDArray[Any], y: _Bilinear, x: _Bilinear) -> NDArray[np.float32]:
    first = y.low[0]
    rows = mask[first : y.high[-1] + 1].astype(np.float32)
    wide = rows[:, x.low] * (1 - x.weight) + rows[:, x.high] * x.weight
    weight = y.weight[:, None]
    found: NDArray[np.float32] = wide[y.low - first] * (1 - weight) + wide[y.high - first] * weight
    return found


def _to_threshold(call: Call, given: Any) -> float | None:
    if given is None:
        return None
    number = to_floats(call, "mask_threshold", given, "()")
    if number.ndim or not np.isfinite(number):
        raise call.error("mask_threshold", "expected one number")
    return float(number)


def _each(call: Call, given: Any) -> Sequence[Any]:
    """The masks of objects, each by itself."""
    if isinstance(given, list | tuple):
        return given
    masks = to_array(call, "masks", given)
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.ndim == 3 and (masks.size or not len(masks)):
        return list(masks)
    if masks.ndim == 1 and not masks.size:
        return []
    hint = "; one mask is masks[None]" if masks.ndim == 2 else ""
    raise call.error("masks", f"expected the shape (N, height, width), found {masks.shape}{hint}")


def _pixels(call: Call, given: Any, limit: float | None, i: int) -> Bools:
    pixels = to_array(call, "masks", given)
    if pixels.ndim == 3 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim != 2:
        raise call.error("masks", f"expected (height, width) for each object, that of object {i} is {pixels.shape}")
    if pixels.dtype == np.bool_:
        return pixels
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise call.error("masks", f"the mask of object {i} holds a number that is not finite")
    if limit is not None:
        return np.asarray(pixels > limit)
    if not ((pixels == 0) | (pixels == 1)).all():
        text = f"the mask of object {i} holds other values than 0 and 1: give mask_threshold=, as 0.5 for scores"
        raise call.error("masks", text)
    return np.asarray(pixels != 0)


def _segmentation(call: Call, given: Any, i: int) -> Any:
    """One object's RLE or polygons as COCO has them; polygons of [x, y, ...], of [[x, y, ...], ...], of [(x, y), ...],
    or of a list of these."""
    if isinstance(given, Mapping):
        if not {"size", "counts"} <= given.keys():
            raise call.error("masks", f"a COCO RLE has size and counts, that of object {i} has {_names(given)}")
        counts = given["counts"]
        if not isinstance(counts, str | bytes):
            counts = to_ids(call, "masks", counts).tolist()
        return {"size": to_ids(call, "masks", given["size"]).tolist(), "counts": counts}
    if given and np.isscalar(given[0]):
        return [to_floats(call, "masks", given, "[x, y, ...]").tolist()]
    parts = [to_floats(call, "masks", part, "[x, y, ...]") for part in given]
    if parts and all(part.shape == (2,) for part in parts):
        return [np.concatenate(parts).tolist()]
    if any(part.ndim != 1 and part.shape[1:] != (2,) for part in parts):
        raise call.error("masks", f"expected polygons [x, y, ...] or [(x, y), ...] for object {i}")
    return [part.ravel().tolist() for part in parts]


def _names(given: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, given)) or "nothing"
