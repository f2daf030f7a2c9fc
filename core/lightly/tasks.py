"""Semantic segmentation made of instances."""

from __future__ import annotations

import numpy as np

from labelferry.masks.rle import union
from labelferry.model import Annotations


def union_by_category(annotations: Annotations) -> Annotations:
    """One object a category, ascending by category id: the union of its masks, the best of its scores.

    Lightly allows at most one entry a category in semantic segmentation. Probabilities belong to objects and are left
    out where objects are merged.
    """
    masks = annotations.masks or ()
    groups: dict[int, list[int]] = {}
    for index, category_id in enumerate(annotations.category_ids.tolist()):
        groups.setdefault(category_id, []).append(index)
    order = sorted(groups)
    merged = len(order) < len(annotations)
    scores, locate = annotations.scores, annotations.locate
    return Annotations(
        np.array(order, np.int64),
        annotations.size,
        scores=None if scores is None else np.array([scores[groups[c]].max() for c in order], np.float64),
        probabilities=None
        if merged or annotations.probabilities is None
        else annotations.probabilities[[groups[c][0] for c in order]],
        masks=[union([masks[i] for i in groups[c]]) for c in order],
        findings=annotations.findings,
        locate=None if locate is None else lambda i: locate(groups[order[i]][0]),
    )
