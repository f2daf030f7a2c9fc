"""Label maps: images whose values stand for classes, or for instances with a map of classes beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelferry.model import Finding
from labelferry.rle import RunLengthMask, masks_from_label_map


def instances_of(
    instance_map: NDArray[np.integer[Any]], class_map: NDArray[np.integer[Any]], ignored: frozenset[int]
) -> list[tuple[int, int, RunLengthMask]]:
    """Every instance of a map, with the class that most of its pixels have in the class map.

    Args:
        instance_map: (H, W) ids.
        class_map: (H, W) classes.
        ignored: values that are no instance in the one and no class in the other; an instance that lies wholly on
            ignored classes is left out.

    Returns:
        (instance id, class, mask), ascending by id. Of two classes with as many pixels the smaller counts.
    """
    ids, classes = np.ascontiguousarray(instance_map).ravel(), np.ascontiguousarray(class_map).ravel()
    changes = np.flatnonzero((ids[1:] != ids[:-1]) | (classes[1:] != classes[:-1])) + 1
    starts = np.concatenate(([0], changes))
    lengths = np.diff(starts, append=ids.size)
    pixels: dict[int, dict[int, int]] = {}
    runs = zip(ids[starts].tolist(), classes[starts].tolist(), lengths.tolist(), strict=True)
    for instance_id, label, length in runs:
        if instance_id not in ignored and label not in ignored:
            counts = pixels.setdefault(instance_id, {})
            counts[label] = counts.get(label, 0) + length
    masks = masks_from_label_map(instance_map)
    return [
        (instance_id, min(counts, key=lambda label: (-counts[label], label)), masks[instance_id])
        for instance_id, counts in sorted(pixels.items())
    ]


def classes_of(
    label_map: NDArray[np.integer[Any]], ids: Mapping[int, int | None], path: str, are_colours: bool = False
) -> tuple[dict[int, list[RunLengthMask]], list[Finding]]:
    """Every category of a label map and its masks.

    Args:
        label_map: (H, W) values.
        ids: the category id that a value stands for, None if it stands for none (background, boundary).
        path: the file, for messages.
        are_colours: show values as colours in messages.

    Returns:
        The masks of each category id, ascending, one for each value that stands for it; and an error for every value
        that is not in `ids`.
    """
    masks = masks_from_label_map(label_map)
    found: dict[int, list[RunLengthMask]] = {}
    findings = []
    for value, mask in masks.items():
        if value not in ids:
            y, x = divmod(int(mask.flips[0]), mask.width)
            shown = (value & 255, value >> 8 & 255, value >> 16) if are_colours else value
            text = f"{mask.area} pixels, the first at x {x}, y {y}, have the value {shown}, which stands for no class"
            findings.append(Finding("error", "unknown-value", path, text))
        elif (category_id := ids[value]) is not None:
            found.setdefault(category_id, []).append(mask)
    return dict(sorted(found.items())), findings
