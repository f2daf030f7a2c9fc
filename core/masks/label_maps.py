"""Label maps: images whose values stand for classes, or for instances with a map of classes beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Annotations
from labelferry.run_lengths import RunLengthMask, changes


def masks_from_label_map(label_map: NDArray[np.integer[Any]]) -> dict[int, RunLengthMask]:
    """Every value of an (H, W) integer array and its mask, in ascending order of the values, in one pass.

    Where the flattened map changes value are the runs of every class at once; sorted by value, each class's runs lie
    side by side.
    """
    height, width = label_map.shape
    flat = np.ascontiguousarray(label_map).ravel()
    if not flat.size:
        return {}
    starts = np.concatenate(([0], changes(flat)))
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


class Segments(NamedTuple):
    """What a map holds: the masks of its classes, or of its instances.

    Attributes:
        segments: (value, category id, mask), ascending by value.
        findings: errors and repairs, with how many segments are lost by each.
        found: how many segments the map holds, the lost ones included. Values that stand for no class or instance by
            definition are not counted.
    """

    segments: list[tuple[int, int, RunLengthMask]]
    findings: list[Finding]
    found: int


def annotations_of(
    segments: Sequence[tuple[int, int, RunLengthMask]],
    size: tuple[int, int],
    where: str,
    findings: list[Finding],
    found: int,
) -> Annotations:
    """The labels of an image whose objects are the segments of a map.

    Args:
        segments: as `Segments` has them.
        size: (width, height) of the map in pixels.
        where: the place of the map, for messages.
        findings: about the map.
        found: how many segments it holds.
    """
    return Annotations(
        np.array([category_id for _, category_id, _ in segments], np.int64),
        size,
        masks=[mask for *_, mask in segments],
        findings=findings,
        locate=lambda i: f"{where}, value {segments[i][0]}",
        found=found,
    )


def segments_of(
    label_map: NDArray[np.integer[Any]], category_of: Callable[[int], int | None], path: str, are_colours: bool = False
) -> Segments:
    """Every value of a label map that stands for a category; a value that is not known is an error.

    Args:
        label_map: (H, W) values.
        category_of: the category id that a value stands for, None if it stands for none (background, boundary);
            raises KeyError for values that it does not know.
        path: the file, for messages.
        are_colours: show values as colours in messages.
    """
    return segments_of_masks(masks_from_label_map(label_map), category_of, path, are_colours)


def segments_of_masks(
    masks: Mapping[int, RunLengthMask], category_of: Callable[[int], int | None], path: str, are_colours: bool = False
) -> Segments:
    """The same as `segments_of`, of the mask of each value."""
    segments, findings, ignored = [], [], 0
    for value, mask in masks.items():
        try:
            category_id = category_of(value)
        except KeyError:
            y, x = divmod(int(mask.flips[0]), mask.width)
            shown = (value & 255, value >> 8 & 255, value >> 16) if are_colours else value
            text = f"{mask.area} pixels, the first at x {x}, y {y}, have the value {shown}, which stands for no class"
            findings.append(Finding.error("unknown-value", path, text, lost=1))
        else:
            if category_id is None:
                ignored += 1
            else:
                segments.append((value, category_id, mask))
    return Segments(segments, findings, len(masks) - ignored)


def instance_segments(
    instance_map: NDArray[np.integer[Any]],
    class_map: NDArray[np.integer[Any]],
    no_instance: frozenset[int],
    category_ids: Mapping[int, int],
    path: str,
    class_path: str,
    unasked: Collection[int] = (),
) -> Segments:
    """Every instance of a map, with the category that most of its pixels have in the class map; instances that lie on
    no class are left out, which is a repair.

    Args:
        instance_map: (H, W) ids.
        class_map: (H, W) classes.
        no_instance: ids that stand for no instance.
        category_ids: the category of each value of the class map that is a class.
        path: the instance map, for messages.
        class_path: the class map, for messages.
        unasked: ids that stand for no instance where they lie on no class.

    Raises:
        ExportError: the maps differ in size.
    """
    masks = masks_from_label_map(instance_map)
    ids = masks.keys() - no_instance
    if instance_map.shape != class_map.shape:
        (height, width), (class_height, class_width) = instance_map.shape, class_map.shape
        text = f"{width} x {height} pixels, {class_path} has {class_width} x {class_height}"
        raise ExportError(text, where=path, code="mask-size", lost=len(ids))
    classes = classes_of_instances(instance_map, class_map, no_instance, category_ids)
    segments = [(i, category_ids[value], masks[i]) for i, value in classes.items()]
    findings = []
    nothing = ids.intersection(unasked) - classes.keys()
    if lost := sorted(ids - classes.keys() - nothing):
        shown = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        text = f"instances that lie on no class in {class_path}, left out: {shown}"
        findings.append(Finding.repair("instance-without-class", path, text, len(lost), len(lost)))
    return Segments(segments, findings, len(ids) - len(nothing))


def classes_of_instances(
    instance_map: NDArray[np.integer[Any]],
    class_map: NDArray[np.integer[Any]],
    no_instance: frozenset[int],
    classes: Collection[int],
) -> dict[int, int]:
    """The class that most pixels of each instance have in the class map, ascending by instance id.

    Args:
        instance_map: (H, W) ids.
        class_map: (H, W) classes.
        no_instance: ids that stand for no instance.
        classes: the values of the class map that count; an instance that lies on none of them is left out.

    Returns:
        Class by instance id. Of two classes with as many pixels the smaller counts.
    """
    ids: NDArray[Any] = np.ascontiguousarray(instance_map).ravel()
    labels: NDArray[Any] = np.ascontiguousarray(class_map).ravel()
    starts = _firsts(ids, labels)
    # from here on all is by runs, of which there are few
    lengths: NDArray[Any] = np.diff(starts, append=ids.size)
    ids, labels = ids[starts].astype(np.int64), labels[starts].astype(np.int64)
    counted = ~np.isin(ids, list(no_instance)) & np.isin(labels, list(classes))
    if not counted.any():
        return {}
    ids, labels, lengths = ids[counted], labels[counted], lengths[counted]
    order = np.lexsort((labels, ids))
    ids, labels, lengths = ids[order], labels[order], lengths[order]
    pairs = _firsts(ids, labels)
    pixels = np.add.reduceat(lengths, pairs)
    ids, labels = ids[pairs], labels[pairs]
    order = np.lexsort((labels, -pixels, ids))  # within each instance, the class of most pixels first
    ids, labels = ids[order], labels[order]
    chosen = _firsts(ids)
    return dict(zip(ids[chosen].tolist(), labels[chosen].tolist(), strict=True))


def _firsts(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Positions at which any of the columns differs from the one before, the first among them."""
    differs = np.ones(columns[0].size, np.bool_)
    differs[1:] = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)
