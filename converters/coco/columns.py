"""A COCO file as columns: every annotation with its image, in the order of the images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from labelferry.converters.coco.parsing import (
    NO_CATEGORY,
    NONE,
    AnnotationRecord,
    Dataset,
    Faults,
    Id,
    ImageRecord,
    parse_export,
)
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.task_type import TaskType

Ids = Sequence[int | str | None]

_EMPTY = re.compile(rb"null|\[[\s\[\]]*\]|\{\s*\}")  # no value: null, [], [[]], {}


class _Video(Struct, gc=False):
    """A video of CocoVID, TAO or BDD100K."""

    id: Raw
    name: str | None = None
    file_name: str | None = None


_VIDEOS = msgspec.json.Decoder(list[_Video] | None)


class Columns(NamedTuple):
    """What a file holds. The annotations of image i are those from bounds[i] to bounds[i + 1].

    Attributes:
        images: each id once.
        videos: names of videos by the JSON of their ids.
        categories: in the order of the file.
        tasks: the task types that the file holds, richest first.
        is_results: whether it is a bare list of results.
        bounds: (B + 1,) int64.
        category_ids: (N,) int64.
        boxes: (N, 4) float64 x, y, width, height; NaN where an annotation has none.
        scores: (N,) float64, NaN where an annotation has none; None if none has one.
        ids: (N,) of the annotations.
        segmentations: (N,) JSON.
        keypoints: (N,) JSON.
        panoptic: (N,) the PNG's name and the JSON of the segments; None of a file that is not panoptic.
        findings: what is wrong with the lists.
    """

    images: list[ImageRecord]
    videos: dict[bytes, str]
    categories: list[Category]
    tasks: tuple[TaskType, ...]
    is_results: bool
    bounds: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64] | None
    ids: Ids
    segmentations: list[Raw]
    keypoints: list[Raw]
    panoptic: list[tuple[str | None, Raw]] | None
    findings: list[Finding]


def read_columns(path: Path, dataset: Path | None, with_videos: bool) -> Columns:
    """The columns of a file.

    Args:
        path: of the file with the annotations.
        dataset: of the file with the images and categories, if it is another one.
        with_videos: whether the names of videos are wanted.

    Raises:
        ExportError: the file as a whole cannot be read.
    """
    findings: list[Finding] = []
    content, base, is_results = parse_export(path, dataset, findings)
    assert isinstance(content.annotations, list)
    assert isinstance(base.images, list)
    assert isinstance(base.categories, list)
    annotations = content.annotations
    is_panoptic = any(a.segments_info is not NONE for a in annotations)
    if not is_panoptic:
        annotations = _with_category(annotations, path, findings)
    images = _unambiguous(base.images, path, findings)
    place = _places(annotations, images, path, findings)
    order = np.argsort(place, kind="stable")
    order = order[np.searchsorted(place, 0, sorter=order) :]  # without those of no image, which are reported
    bounds = np.searchsorted(place[order], np.arange(len(images) + 1))
    ordered = [annotations[i] for i in order.tolist()]
    none = (np.nan,) * 4
    boxes = np.fromiter(chain.from_iterable(a.bbox or none for a in ordered), np.float64, 4 * len(ordered))
    scores = None
    if any(a.score is not None for a in annotations):
        given = (np.nan if a.score is None else a.score for a in ordered)
        scores = np.fromiter(given, np.float64, len(ordered))
    return Columns(
        images,
        _video_names(base, path) if with_videos else {},
        [Category(c.id, c.name, tuple(c.keypoints or ()), tuple(c.skeleton or ())) for c in base.categories],
        _tasks(annotations, is_panoptic),
        is_results,
        bounds,
        np.fromiter((a.category_id for a in ordered), np.int64, len(ordered)),
        boxes.reshape(-1, 4),
        scores,
        [a.id for a in ordered],
        [a.segmentation for a in ordered],
        [a.keypoints for a in ordered],
        [(a.file_name, a.segments_info) for a in ordered] if is_panoptic else None,
        findings,
    )


def locate(path: str, name: str, ids: Ids, index: int) -> str:
    """Where an annotation stands: by its id, or by its place among those of its image.

    Args:
        path: of the file.
        name: of the image.
        ids: of the annotations of the image.
        index: of the annotation among them.
    """
    if ids[index] is None:
        return f"{path}, image {name}, its annotation {index + 1}"
    return f"{path}, annotation id {ids[index]}"


def _tasks(annotations: list[AnnotationRecord], is_panoptic: bool) -> tuple[TaskType, ...]:
    has_masks = any(a.segmentation is not NONE and not _EMPTY.fullmatch(a.segmentation) for a in annotations)
    has_keypoints = any(a.keypoints is not NONE and not _EMPTY.fullmatch(a.keypoints) for a in annotations)
    tasks: tuple[TaskType, ...] = () if is_panoptic else (TaskType.OBJECT_DETECTION,)
    if has_masks or is_panoptic:
        tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
    return (TaskType.KEYPOINT_DETECTION, *tasks) if has_keypoints else tasks


def _with_category(annotations: list[AnnotationRecord], path: Path, findings: list[Finding]) -> list[AnnotationRecord]:
    broken = Faults(findings, "broken-annotation", lost=1)
    for index, a in enumerate(annotations):
        if a.category_id == NO_CATEGORY:
            broken.add(f"{path}, annotation {index}", "it has no category_id")
    return [a for a in annotations if a.category_id != NO_CATEGORY] if findings else annotations


def _places(
    annotations: list[AnnotationRecord], images: list[ImageRecord], path: Path, findings: list[Finding]
) -> NDArray[np.int64]:
    """The place of each annotation's image in the list; -1 of one whose image is unknown."""
    places: dict[Id, int] = {image.id: place for place, image in enumerate(images)}
    place = np.fromiter((places.get(a.image_id, -1) for a in annotations), np.int64, len(annotations))
    if (place < 0).any():  # ids that are text in one list and numbers in the other, and unknown ones
        unknown = Faults(findings, "unknown-image", lost=1)
        by_text = {str(image.id): place for place, image in enumerate(images)}
        for index in np.flatnonzero(place < 0).tolist():
            a = annotations[index]
            place[index] = by_text.get(str(a.image_id), -1)
            if place[index] < 0:
                where = f"{path}, annotation {index if a.id is None else f'id {a.id}'}"
                unknown.add(where, f"image_id {a.image_id!r} is not the id of any image")
    return place


def _unambiguous(images: list[ImageRecord], path: Path, findings: list[Finding]) -> list[ImageRecord]:
    """The images whose id is theirs alone; an entry that is listed twice counts once."""
    by_id: dict[Id, ImageRecord] = {}
    twice: set[Id] = set()
    doubtful = Faults(findings, "image-id-twice")
    for image in images:
        first = by_id.setdefault(image.id, image)
        if first is image:
            continue
        where = f"{path}, image id {image.id}"
        if first.file_name == image.file_name:
            text = f"the image {image.file_name!r} is listed twice; counted once"
            findings.append(Finding.repair("image-twice", where, text))
        else:
            twice.add(image.id)
            text = f"two images have this id, {first.file_name!r} and {image.file_name!r}: whose labels are whose?"
            doubtful.add(where, text)
    return [image for key, image in by_id.items() if key not in twice] if len(by_id) < len(images) else images


def _video_names(base: Dataset, path: Path) -> dict[bytes, str]:
    try:
        videos = _VIDEOS.decode(base.videos) or ()
    except msgspec.MsgspecError as error:
        raise ExportError(f"videos: {error}", where=str(path), code="broken-video") from None
    return {bytes(video.id): video.name or video.file_name or "" for video in videos}
