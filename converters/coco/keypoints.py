"""COCO's keypoints [x1, y1, v1, ...]: what the third values are is decided once for a file, a visibility or a score.

In a dataset they are a visibility: 0 not labelled, 1 hidden, 2 visible (https://cocodataset.org/#format-data). Models
write scores in their place, in results and in whole datasets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from labelferry.converters.coco.columns import is_empty
from labelferry.errors import AmbiguousError
from labelferry.run_lengths import Floats

KeypointValues = Literal["visibility", "scores"]

VISIBILITIES = (0, 1, 2)

_VISIBILITY, _SCORE = "keypoint-visibility", "keypoint-score"
"""Evidence: objects with keypoints of which a third value is 2, and of which one lies between 0 and 1."""

_KEYPOINTS = msgspec.json.Decoder(list[float] | None)
_ALL_KEYPOINTS = msgspec.json.Decoder(list[list[float] | None])


def decode_keypoints(texts: Sequence[bytes]) -> tuple[dict[int, Floats], dict[int, str]]:
    """Keypoints (K, 3) by their place, without those that are empty; and what is wrong with the broken ones.

    Args:
        texts: JSON of each object's keypoints.
    """
    faults: dict[int, str] = {}
    given: list[list[float] | None]
    try:
        given = _ALL_KEYPOINTS.decode(b"[" + b",".join(texts) + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        given = []
        for i, text in enumerate(texts):
            try:
                given.append(_KEYPOINTS.decode(text))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                faults[i] = str(error).replace("$", "keypoints")
                given.append(None)
    decoded = {}
    for i, numbers in enumerate(given):
        if numbers and len(numbers) % 3:
            faults[i] = f"{len(numbers)} numbers in keypoints; they come in threes of x, y, visibility"
        elif numbers:
            decoded[i] = np.array(numbers).reshape(-1, 3)
    return decoded, faults


def evidence_of_values(keypoints: Collection[Floats]) -> Counter[str]:
    """How many of these objects show that third values are a visibility, and how many that they are scores."""
    if not keypoints:
        return Counter()
    third = np.concatenate([points[:, 2] for points in keypoints])
    if not ((third == 2) | ((third > 0) & (third < 1))).any():
        return Counter()
    evidence = {
        _VISIBILITY: sum(bool((points[:, 2] == 2).any()) for points in keypoints),
        _SCORE: sum(bool(((points[:, 2] > 0) & (points[:, 2] < 1)).any()) for points in keypoints),
    }
    return Counter({name: count for name, count in evidence.items() if count})


def decide_values(texts: Iterable[Any], is_results: bool, path: Path) -> KeypointValues:
    """What the third values of a file's keypoints are: what the first 2, or the first value between 0 and 1, shows.

    Args:
        texts: JSON of each object's keypoints.
        is_results: whether the file is a results file. The values 0 and 1 alone are a visibility in a dataset.
        path: of the file, for messages.

    Raises:
        AmbiguousError: they are 0 and 1 in a results file: 1 is a score, a hidden keypoint, or has no meaning.
    """
    has_ones = False
    for text in texts:
        if is_empty(text):
            continue
        decoded, _ = decode_keypoints([text])
        evidence = evidence_of_values(decoded.values())
        if _VISIBILITY in evidence:
            return "visibility"
        if _SCORE in evidence:
            return "scores"
        has_ones = has_ones or any((points[:, 2] == 1).any() for points in decoded.values())
    if is_results and has_ones:
        raise AmbiguousError(
            "the third values of all keypoints are 0 and 1: scores, or a visibility, where 1 is a hidden keypoint? "
            "Say --keypoint-values scores or --keypoint-values visibility",
            where=str(path),
        )
    return "visibility"


def check_values(evidence: Mapping[str, int], path: str) -> None:
    """Refuse a file in which some third values are a visibility and others are scores.

    Raises:
        AmbiguousError: there are both.
    """
    seen, scored = evidence.get(_VISIBILITY, 0), evidence.get(_SCORE, 0)
    if seen and scored:
        raise AmbiguousError(
            f"third values of keypoints are 2 in {seen:,} objects, which is a visibility, and between 0 and 1 in "
            f"{scored:,} objects, which are scores: say --keypoint-values visibility or --keypoint-values scores",
            where=path,
        )
