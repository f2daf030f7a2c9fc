"""The images of a COCO file, and their labels in batches."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from labelferry.columns import UNKNOWN, Batch, Keypoints
from labelferry.converters.coco.columns import CROWD, Ids, locate, read_columns
from labelferry.converters.coco.keypoints import (
    VISIBILITIES,
    KeypointValues,
    check_values,
    decide_values,
    decode_keypoints,
    evidence_of_values,
)
from labelferry.converters.coco.panoptic import read_panoptic
from labelferry.converters.coco.parsing import ImageRecord
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.lightly.names import image_name
from labelferry.masks.coco import masks_from_coco
from labelferry.model import Annotations, Image, Listed, Refused, VideoFrame
from labelferry.plugin.export import Export, Request
from labelferry.reading.images import image_size
from labelferry.reading.keys import judge_keys
from labelferry.reading.text import decode_part
from labelferry.run_lengths import Floats, Int64, offsets_of
from labelferry.task_type import TaskType

OBJECTS = 128
"""Objects with masks that are read at once: more of them need memory that the processor's cache cannot hold."""

_LARGEST = 2.0**62

_SEGMENTATIONS = msgspec.json.Decoder(list[Any])
_NUMBER = msgspec.json.Decoder(int | None, strict=False)


class Part(NamedTuple):
    """What a worker needs of a chunk of images.

    Attributes:
        rows: (B,) the images' places in the file, ascending.
        bounds: (B + 1,) the annotations of each.
        sizes: (B, 2) as the file gives them, UNKNOWN where it does not.
        category_ids: (N,)
        boxes: (N, 4) NaN where there is none.
        scores: (N,) or None.
        ids: of the annotations.
        segmentations: JSON of each annotation that a mask is needed of; empty where none is.
        keypoints: the same of keypoints.
    """

    rows: Int64
    bounds: Int64
    sizes: Int64
    category_ids: Int64
    boxes: Floats
    scores: Floats | None
    ids: Ids
    segmentations: list[bytes]
    keypoints: list[bytes]


class CocoExport(Export):
    """A COCO file. The parent holds its columns; a chunk of images carries its part of them to a worker.

    Args:
        path: of the file.
        request: what it is opened for.
        dataset: the file with the images and categories, if it is another one.
        images: folder of the images.
        masks: folder of the panoptic PNGs.
        keypoint_values: what the third values of keypoints are, `visibility` or `scores`; None: what they look like.
        folder: which folder is put before the names of the images, from these names.
    """

    def __init__(
        self,
        path: Path,
        request: Request,
        *,
        dataset: Path | None = None,
        images: Path | None = None,
        masks: Path | None = None,
        keypoint_values: KeypointValues | None = None,
        folder: Callable[[list[str]], str] | None = None,
    ) -> None:
        columns = read_columns(path, dataset, request.frames)
        files = [str(one) for one in (path, dataset) if one is not None]
        super().__init__(request, columns.tasks, columns.categories, files)
        self._columns: Any = columns
        self._path = str(path)
        self._folder = images
        self._prefix = "" if folder is None else folder([image.file_name for image in columns.images])
        self.root = "" if images is None else str(images)
        self._has_boxes = not np.isnan(columns.boxes[:, :1]).all()
        self._is_panoptic = columns.panoptic is not None
        self._masks = _masks_folder(path, masks) if self._is_panoptic else ""
        self._is_decided = keypoint_values is not None
        self._values = keypoint_values or "visibility"
        if self.source_task is TaskType.KEYPOINT_DETECTION and not self._is_decided:
            self._values = decide_values(columns.keypoints, columns.is_results, path)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_columns": None}

    def count_images(self) -> int:
        return int(self._columns.listed_images)

    def count_annotations(self) -> int:
        """How many annotations there are, of images that are listed."""
        return len(self._columns.category_ids)

    def images(self) -> Iterator[Listed]:
        columns = self._columns
        yield from columns.findings
        for row, record in enumerate(columns.images):
            name = record.file_name
            if self._folder is not None and os.path.isabs(name):
                name = _relative(name, self._folder)
            elif self._prefix and _is_name(name):
                name = self._prefix + name
            files: tuple[str, ...] = ()
            if self._folder is not None and (record.width is None or record.height is None):
                files = (str(self._folder / name),)
            source: Any = row
            if columns.panoptic is not None:
                low, high = columns.bounds[row : row + 2].tolist()
                given = columns.panoptic[low:high]
                pngs = [png or os.path.splitext(os.path.basename(name))[0] + ".png" for png, _ in given]
                files = tuple(f"{self._masks}/{png}" for png in pngs)
                source = tuple(bytes(segments) for _, segments in given), _size(record)
            frame = _frame_of(record, columns.videos) if columns.videos else None
            path = "" if self._folder is None else str(self._folder / name)
            image = Image(name, source, frame, files=files, path=path)
            yield Refused(image, columns.refused[row]) if row in columns.refused else image

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from judge_labels(self.evidence(evidence), self._path)

    def evidence(self, evidence: Mapping[str, int]) -> Counter[str]:
        """This evidence, and that of the file's lists.

        Raises:
            AmbiguousError: some keypoints have scores, others a visibility.
        """
        if not self._is_decided:
            check_values(evidence, self._path)
        total = Counter(evidence)
        total.update(self._columns.evidence)
        return total

    def payload(self, images: Sequence[Image]) -> Part | None:
        if self._is_panoptic:
            return None
        columns = self._columns
        rows = np.array([image.source for image in images if isinstance(image.source, int)], np.int64)
        lows = columns.bounds[rows]
        bounds = offsets_of(columns.bounds[rows + 1] - lows)
        at = np.arange(bounds[-1]) + np.repeat(lows - bounds[:-1], np.diff(bounds))
        boxes = columns.boxes[at]
        places = at.tolist()
        no_box = np.isnan(boxes[:, 0]).tolist()
        needs_masks = self.source_task is TaskType.INSTANCE_SEGMENTATION
        needs_keypoints = self.source_task is TaskType.KEYPOINT_DETECTION
        needs_boxes = self.source_task is TaskType.OBJECT_DETECTION and any(no_box)

        def wanted(texts: list[Raw], are_needed: bool) -> list[bytes]:
            if are_needed:
                return [bytes(texts[i]) for i in places]
            if needs_boxes:  # of objects without a box, to take it from
                return [bytes(texts[i]) if none else b"" for i, none in zip(places, no_box, strict=True)]
            return []

        return Part(
            rows,
            bounds,
            np.array([_size(columns.images[row]) for row in rows.tolist()], np.int64).reshape(-1, 2),
            columns.category_ids[at],
            boxes,
            None if columns.scores is None else columns.scores[at],
            [columns.ids[i] for i in places],
            wanted(columns.segmentations, needs_masks),
            wanted(columns.keypoints, needs_keypoints),
        )

    def read(self, images: Sequence[Image], payload: Part | None) -> Iterator[Batch]:
        if payload is None:
            yield from super().read(images, payload)
            return
        rows = np.array([image.source for image in images], np.int64)
        if len(rows) != len(payload.rows):
            payload = _part_of(payload, np.searchsorted(payload.rows, rows))
        if not payload.segmentations:
            yield self._batch(images, payload)
            return
        begin = 0
        for end in range(1, len(images) + 1):
            count = payload.bounds[end] - payload.bounds[begin]
            if end == len(images) or count + payload.bounds[end + 1] - payload.bounds[end] > OBJECTS:
                yield self._batch(images[begin:end], _part_of(payload, np.arange(begin, end)))
                begin = end

    def labels(self, image: Image) -> Annotations:
        texts, size = image.source
        return read_panoptic(texts, image.files, self._masks, self._path, None if size == UNKNOWN else size)

    def _batch(self, images: Sequence[Image], part: Part) -> Batch:
        names = [image.file_name for image in images]
        path, ids, starts = self._path, part.ids, part.bounds.tolist()

        def where(row: int) -> str:
            b = int(np.searchsorted(part.bounds, row, side="right")) - 1
            return locate(path, names[b], ids[starts[b] : starts[b + 1]], row - starts[b])

        batch = Batch(
            names,
            part.sizes,
            part.bounds,
            part.category_ids,
            part.boxes,
            part.scores,
            found=np.diff(part.bounds),
            locate=where,
        )
        batch = self._with_sizes(batch, images)
        if self.source_task is TaskType.INSTANCE_SEGMENTATION:
            batch = _with_masks(batch, part, _canvases(batch, images))
        elif self.source_task is TaskType.KEYPOINT_DETECTION:
            batch = _with_keypoints(batch, part, self._values)
        elif part.segmentations:
            batch = _with_boxes(batch, part, _canvases(batch, images))
        return self._with_inferred(batch, part) if batch.boxes is not None else batch

    def _with_inferred(self, batch: Batch, part: Part) -> Batch:
        """The batch, with a repair for each image that has objects without a box in a file where others have one."""
        inferred = np.isnan(part.boxes[batch.rows, 0])
        if not self._has_boxes or not inferred.any():
            return batch
        findings, owners = list(batch.findings), batch.owners
        assert batch.locate is not None
        for b, count in Counter(owners[inferred].tolist()).items():
            first = int(batch.rows[np.flatnonzero(inferred & (owners == b))[0]])
            text = "the object has no bbox; the tight one of its mask or keypoints is taken"
            findings.append(Finding("repair", "box-inferred", batch.locate(first), text, count, 0, b))
        return replace(batch, findings=findings)

    def _with_sizes(self, batch: Batch, images: Sequence[Image]) -> Batch:
        """The batch with the sizes that the file does not give: those of the videos, or of the image files."""
        unknown = np.flatnonzero((batch.sizes == UNKNOWN).all(axis=1))
        if not len(unknown):
            return batch
        sizes, findings = batch.sizes.copy(), list(batch.findings)
        refused = batch.refused.copy()
        for b in unknown.tolist():
            image = images[b]
            try:
                if image.size is not None:
                    sizes[b] = image.size
                elif image.files:
                    sizes[b] = image_size(image.files[0])
                else:
                    text = "the file gives no width and height; name the folder of the images with --images"
                    raise ExportError(text, code="image-size")
            except ExportError as error:
                count = int(batch.counts[b])
                where = error.where or image.file_name
                findings.append(Finding("error", error.code, where, error.message, 1, count, b))
                refused[b] = True
        kept = batch.take(~refused[batch.owners]) if refused.any() else batch
        return replace(kept, sizes=sizes, refused=refused, findings=findings)


def _canvases(batch: Batch, images: Sequence[Image]) -> Int64:
    """(B, 2) sizes of the pictures in which masks are drawn. Of an image that is stored turned, labels may be for the
    upright picture although the file gives the size as stored, as Label Studio does."""
    sizes = batch.sizes
    for b, image in enumerate(images):
        if image.picture is not None and image.picture.orientation != 1 and image.picture.drawn_on == "upright":
            sizes = sizes.copy() if sizes is batch.sizes else sizes
            sizes[b] = image.picture.upright_size
    return sizes


def _part_of(part: Part, places: Int64) -> Part:
    """The part of some of its images."""
    lows = part.bounds[places]
    bounds = offsets_of(part.bounds[places + 1] - lows)
    at = np.arange(bounds[-1]) + np.repeat(lows - bounds[:-1], np.diff(bounds))
    rows = at.tolist()
    return Part(
        part.rows[places],
        bounds,
        part.sizes[places],
        part.category_ids[at],
        part.boxes[at],
        None if part.scores is None else part.scores[at],
        [part.ids[i] for i in rows],
        [part.segmentations[i] for i in rows] if part.segmentations else [],
        [part.keypoints[i] for i in rows] if part.keypoints else [],
    )


def _size(record: ImageRecord) -> tuple[int, int]:
    """As the file gives it, cut to what an int64 holds."""
    if record.width is None or record.height is None:
        return UNKNOWN
    width, height = (int(max(-_LARGEST, min(side, _LARGEST))) for side in (record.width, record.height))
    return (width, height) if (width, height) != UNKNOWN else (0, 0)  # which is refused, as what is negative is


def _is_name(name: str) -> bool:
    """Whether a name is one of a file below a folder; others are refused as they are."""
    try:
        return bool(image_name(name))
    except ExportError:
        return False


def _relative(name: str, folder: Path) -> str:
    try:
        return Path(name).relative_to(folder.absolute()).as_posix()
    except ValueError:
        return name  # refused, as every absolute name


def _frame_of(record: ImageRecord, videos: dict[bytes, str]) -> VideoFrame | None:
    """The frame that an image says it is: by frame_index, or frame_id."""
    try:
        index = _NUMBER.decode(record.frame_index)
        number = _NUMBER.decode(record.frame_id) if index is None else index
    except msgspec.MsgspecError:
        number = None
    video = videos.get(bytes(record.video_id))
    return None if video is None or number is None else VideoFrame(video, number)


def _decoded_segmentations(batch: Batch, part: Part, rows: Int64) -> list[Any]:
    """The segmentations of these objects (rows as read)."""
    text = b"[" + b",".join([part.segmentations[row] for row in rows.tolist()]) + b"]"
    assert batch.locate is not None
    return list(decode_part(_SEGMENTATIONS, text, batch.locate(int(rows[0])) if len(rows) else ""))


def _with_masks(batch: Batch, part: Part, canvases: Int64) -> Batch:
    """Masks, and the given boxes, or the tight ones of the masks where none are given."""
    assert batch.locate is not None
    assert batch.boxes is not None
    rows, owners = batch.rows, batch.owners
    found = masks_from_coco(
        _decoded_segmentations(batch, part, rows),
        canvases[owners],
        lambda i: batch.locate(int(rows[i])) if batch.locate else "",
    )
    findings = [*batch.findings, *(replace(one, image=int(owners[one.image])) for one in found.findings)]
    text = "the object has no segmentation; left out (with --task object-detection it is kept)"
    for i in found.missing:
        where, b = batch.locate(int(rows[i])), int(owners[i])
        findings.append(Finding("repair", "segmentation-missing", where, text, 1, 1, b))
    keep = np.zeros(len(batch), np.bool_)
    keep[found.rows] = True
    kept = replace(batch.take(keep), masks=found.masks, findings=findings)
    assert kept.boxes is not None
    if np.isnan(kept.boxes).any():
        kept.boxes = np.where(np.isnan(kept.boxes), found.masks.boxes(), kept.boxes)
    return kept


def _with_boxes(batch: Batch, part: Part, canvases: Int64) -> Batch:
    """The given boxes; the tight ones of the masks, or of the keypoints, where none are given."""
    assert batch.locate is not None
    assert batch.boxes is not None
    rows, owners = batch.rows, batch.owners
    no_box = np.flatnonzero(np.isnan(batch.boxes[:, 0]))
    found = masks_from_coco(
        _decoded_segmentations(batch, part, rows[no_box]),
        canvases[owners[no_box]],
        lambda i: batch.locate(int(rows[no_box[i]])) if batch.locate else "",
    )
    findings = [*batch.findings, *(replace(one, image=int(owners[no_box[one.image]])) for one in found.findings)]
    boxes = batch.boxes.copy()
    boxes[no_box[found.rows]] = found.masks.boxes()
    without_mask = no_box[found.missing]
    points, places, faults = _decoded_keypoints(batch, part, without_mask, None)
    findings += faults
    boxes[without_mask[places]] = points.labelled().boxes()
    text = "the object has neither a bbox nor a segmentation or keypoints to take it from"
    missing = np.flatnonzero(np.isnan(boxes[without_mask, 0]))
    reported = {finding.where for finding in faults}
    for i in without_mask[missing].tolist():
        where = batch.locate(int(rows[i]))
        if where not in reported:
            findings.append(Finding("error", "box-missing", where, text, 1, 1, int(owners[i])))
    return replace(batch, boxes=boxes, findings=findings).take(~np.isnan(boxes[:, 0]))


def _with_keypoints(batch: Batch, part: Part, values: KeypointValues) -> Batch:
    """Keypoints, and the given boxes, or the tight ones of the keypoints where none are given."""
    assert batch.locate is not None
    assert batch.boxes is not None
    points, places, findings = _decoded_keypoints(batch, part, np.arange(len(batch)), values)
    keep = np.zeros(len(batch), np.bool_)
    keep[places] = True
    reported = {finding.where for finding in findings}
    text = "the object has no keypoints; left out (with --task object-detection it is kept)"
    owners = batch.owners
    for i in np.flatnonzero(~keep).tolist():
        where = batch.locate(int(batch.rows[i]))
        if where not in reported:
            findings.append(Finding("repair", "keypoints-missing", where, text, 1, 1, int(owners[i])))
    kept = replace(batch.take(keep), keypoints=points, findings=[*batch.findings, *findings])
    assert kept.boxes is not None
    if np.isnan(kept.boxes).any():
        labelled = points.labelled().boxes()
        tight = np.where(np.isnan(labelled), points.boxes(), labelled)
        kept.boxes = np.where(np.isnan(kept.boxes), tight, kept.boxes)
    return kept


def _decoded_keypoints(
    batch: Batch, part: Part, objects: Int64, values: KeypointValues | None
) -> tuple[Keypoints, NDArray[np.int64], list[Finding]]:
    """The keypoints of these objects of the batch, visibility 0, 1, 2 as scores 0, 0.5, 1.

    Args:
        batch: to whose evidence is added what third values are.
        part: that the batch is read from.
        objects: places in the batch.
        values: what third values are; None: only which are 0 is wanted.

    Returns:
        The keypoints of the objects that have some, the places of these among the objects, and what is broken: each
        error loses its object.
    """
    assert batch.locate is not None
    decoded, faults = decode_keypoints([part.keypoints[row] for row in batch.rows[objects].tolist()])
    if values is not None:
        batch.evidence.update(evidence_of_values(decoded.values()))
    keypoints, places = [], []
    for i, points in decoded.items():
        third = points[:, 2]
        if values == "visibility":
            if not np.isin(third, VISIBILITIES).all():
                faults[i] = (
                    "the third value of a keypoint is not a visibility 0, 1, 2, as those of the file are "
                    "(--keypoint-values scores reads scores)"
                )
                continue
            third /= 2
        keypoints.append(points)
        places.append(i)
    findings = []
    owners = batch.owners
    for i, text in sorted(faults.items()):
        where = batch.locate(int(batch.rows[objects[i]]))
        findings.append(Finding("error", "broken-keypoints", where, text, 1, 1, int(owners[objects[i]])))
    return Keypoints.of(keypoints), np.array(places, np.int64), findings


def judge_labels(evidence: Mapping[str, int], where: str) -> Iterator[Finding]:
    """What the evidence of all labels says.

    Args:
        evidence: of one file, or of several.
        where: the file or folder.
    """
    if crowds := evidence.get(CROWD, 0):
        text = f"{crowds:,} annotations have iscrowd 1: each is a region of several objects, and written as one object"
        yield Finding.note("crowd", where, text, crowds)
    yield from judge_keys(evidence, where)


def _masks_folder(path: Path, masks: Path | None) -> str:
    """The folder of the PNGs of a panoptic file.

    Raises:
        ExportError: it is not named, and there is none of the file's name.
    """
    folder = path.with_suffix("") if masks is None else masks
    if not folder.is_dir():
        beside = next((one for one in path.parent.iterdir() if one.suffix.lower() == ".png"), None)
        hint = f"; there are PNGs in {path.parent}" if beside else ""
        text = f"the PNGs of a panoptic file are in a folder of their own, here {folder}, which does not exist"
        raise ExportError(f"{text}: name it with --masks{hint}", where=str(path), code="mask-missing")
    return str(folder)
