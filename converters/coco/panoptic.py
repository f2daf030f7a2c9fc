"""COCO panoptic: segments by their ids in the colours of a PNG, R + 256 G + 65536 B; 0 is no segment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from labelferry.converters.coco.parsing import Int
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.model import Annotations
from labelferry.reading.images import read_label_map
from labelferry.run_lengths import RunLengthMask


class _Segment(Struct):
    id: int
    category_id: Int


_SEGMENTS = msgspec.json.Decoder(list[_Segment])


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
    if len(texts) > 1:
        raise ExportError(f"{len(texts)} panoptic annotations for one image", where=path, code="panoptic-twice")
    png = pngs[0]
    if not os.path.normpath(png).startswith(os.path.normpath(folder) + os.sep):
        raise ExportError(f"the mask lies outside of {folder}", where=png, code="file-name")
    try:
        segments = _SEGMENTS.decode(texts[0])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        where = f"{path}, mask {png}"
        raise ExportError(f"segments_info: {error}", where=where, code="broken-annotation") from None
    try:
        pixels, are_colours = read_label_map(png)
    except ExportError as error:
        raise ExportError(error.message, where=error.where, code=error.code, lost=len(segments)) from None
    if not are_colours:
        raise ExportError("a panoptic PNG is RGB, this one is not", where=png, code="mask-mode", lost=len(segments))
    found = masks_from_label_map(pixels)
    findings = []
    unknown = found.keys() - {segment.id for segment in segments} - {0}
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
        found=len(segments) + len(unknown),
    )
