"""COCO panoptic: segments by their ids in the colours of a PNG, R + 256 G + 65536 B; 0 is no segment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Raw, Struct

from labelferry.converters.coco.columns import CROWD
from labelferry.converters.coco.parsing import Int
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.model import Annotations
from labelferry.reading.images import read_label_map
from labelferry.reading.keys import key_evidence
from labelferry.run_lengths import RunLengthMask


class _Segment(Struct):
    id: Int
    category_id: Int
    iscrowd: int | bool | None = None


_SEGMENTS = msgspec.json.Decoder(list[_Segment])
_RAWS = msgspec.json.Decoder(list[Raw])
_FIELDS = msgspec.json.Decoder(list[dict[str, Raw]])
_IGNORED = ("area", "bbox", "isthing")


def read_panoptic(
    texts: Sequence[bytes], pngs: Sequence[str], folder: str, path: str, size: tuple[int, int] | None
) -> Annotations:
    """The labels of one image.

    Args:
        texts: JSON of the segments of its annotations.
        pngs: paths of the PNGs of these annotations.
        folder: of the PNGs.
        path: of the COCO file, for messages.
        size: (width, height) of the image in pixels, if the file gives it.

    Raises:
        ExportError: they cannot be read.
    """
    if not texts:
        return Annotations.empty(size)
    listed = sum(map(_count, texts))
    if len(texts) > 1:
        text = f"{len(texts)} panoptic annotations for one image"
        raise ExportError(text, where=path, code="panoptic-twice", lost=listed)
    png = pngs[0]
    if not os.path.normpath(png).startswith(os.path.normpath(folder) + os.sep):
        raise ExportError(f"the mask lies outside of {folder}", where=png, code="file-name", lost=listed)
    try:
        segments = _SEGMENTS.decode(texts[0])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        where = f"{path}, mask {png}"
        raise ExportError(f"segments_info: {error}", where=where, code="broken-annotation", lost=listed) from None
    ids = Counter(segment.id for segment in segments)
    if 0 in ids or len(ids) < len(segments):
        number, count = max(ids.items(), key=lambda item: (item[0] == 0, item[1]))
        text = "the segment id 0 stands for no segment" if number == 0 else f"{count} segments have the id {number}"
        raise ExportError(f"segments_info: {text}", where=png, code="segment-id", lost=listed)
    try:
        pixels, are_colours = read_label_map(png)
    except ExportError as error:
        hint = "; the folder of the PNGs is named with --masks" if error.code == "mask-missing" else ""
        raise ExportError(error.message + hint, where=error.where, code=error.code, lost=listed) from None
    if not are_colours:
        raise ExportError("a panoptic PNG is RGB, this one is not", where=png, code="mask-mode", lost=listed)
    found = masks_from_label_map(pixels)
    findings = []
    unknown = found.keys() - ids.keys() - {0}
    if unknown:
        text = f"{len(unknown)} segment id(s) of the PNG are not in segments_info, as {min(unknown)}"
        findings.append(Finding.error("unknown-segment", png, text, len(unknown), len(unknown)))
    height, width = pixels.shape
    nothing = RunLengthMask.empty(height, width)
    return Annotations(
        np.array([segment.category_id for segment in segments], np.int64),
        size or (width, height),
        masks=[found.get(segment.id, nothing) for segment in segments],
        findings=findings,
        locate=lambda i: f"{png}, segment id {segments[i].id}",
        found=listed + len(unknown),
        evidence=_evidence(texts[0], segments),
    )


def _count(text: bytes) -> int:
    """How many segments an annotation lists."""
    try:
        return len(_RAWS.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 1


def _evidence(text: bytes, segments: Sequence[_Segment]) -> Counter[str]:
    """The keys of the segments that are not read, and the crowds."""
    evidence: Counter[str] = Counter()
    for fields in _FIELDS.decode(text):
        missing = tuple(name for name in _Segment.__struct_fields__ if name not in fields)
        evidence.update(key_evidence(key, missing, _IGNORED) for key in fields if key not in _Segment.__struct_fields__)
    evidence[CROWD] += sum(segment.iscrowd == 1 for segment in segments)
    return evidence
