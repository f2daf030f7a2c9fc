"""A COCO file as columns: every annotation with its image, in the order of the images."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct
from numpy.typing import NDArray

from labelferry.converters.coco.parsing import (
    NO_CATEGORY,
    NONE,
    AnnotationRecord,
    CategoryRecord,
    Dataset,
    Faults,
    ImageRecord,
    canonical,
    parse_export,
)
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.task_type import TaskType

Ids = Sequence[int | str | None]

CROWD = "crowd"
"""Evidence: annotations of regions with several objects."""

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
        refused: why an image, by its place, gets no file.
        listed_images: entries of the list of images.
        videos: names of videos by the JSON of their ids.
        categories: in the order of the file.
        tasks: the task types that the file holds, richest first.
        is_results: whether it is a bare list of results.
        bounds: (B + 1,) int64.
        category_ids: (N,) int64.
        boxes: (N, 4) float64 x, y, width, height; NaN where an annotation has none.
        scores: (N,) float64; None if no annotation has one.
        ids: (N,) of the annotations.
        segmentations: (N,) JSON.
        keypoints: (N,) JSON.
        panoptic: (N,) the PNG's name and the JSON of the segments; None of a file that is not panoptic.
        findings: what is wrong with the lists.
        evidence: of keys that are not read, and of crowds.
    """

    images: list[ImageRecord]
    refused: dict[int, Finding]
    listed_images: int
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
    evidence: Counter[str]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Without the collector of cycles: millions of small objects are made, and none of them forms a cycle."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_without_collector()
def read_columns(path: Path, dataset: Path | None, with_videos: bool) -> Columns:
    """The columns of a file.

    Args:
        path: of the file with the annotations.
        dataset: of the file with the images and categories, if it is another one.
        with_videos: whether the names of videos are wanted.

    Raises:
        ExportError: the file as a whole cannot be read.
        UsageError: both files have images and categories.
    """
    findings: list[Finding] = []
    content, base = parse_export(path, dataset, findings)
    annotations, categories = content.dataset.annotations, base.dataset.categories
    assert isinstance(annotations, list)
    assert isinstance(base.dataset.images, list)
    assert isinstance(categories, list)
    is_panoptic = [a.segments_info for a in annotations].count(NONE) < len(annotations)
    annotations, has_scores = _complete(annotations, is_panoptic, path, findings)
    images, left_out = _unambiguous(base.dataset.images, dataset or path, findings)
    place = _places(annotations, images, left_out | base.broken_images, path, findings)
    order = np.argsort(place, kind="stable")
    order = order[np.searchsorted(place, 0, sorter=order) :]  # without those of no image, which are reported
    bounds = np.searchsorted(place[order], np.arange(len(images) + 1))
    ordered = [annotations[i] for i in order.tolist()]
    none = (np.nan,) * 4
    boxes = np.array(list(chain.from_iterable([a.bbox or none for a in ordered])), np.float64).reshape(-1, 4)
    ids = [a.id for a in ordered]
    findings += _same_ids([a.id for a in annotations], path)
    if content.is_results:
        findings += _results_twice(ordered, place[order], images, path)
        if ordered and not has_scores:
            text = "no result has a score, which COCO's results have; the one of --score is taken"
            findings.append(Finding.warning("results-without-scores", str(path), text, len(ordered)))
    findings += _box_corners(boxes, place[order], images, path)
    tasks = _tasks(annotations, is_panoptic)
    if TaskType.KEYPOINT_DETECTION in tasks:
        findings += _unnamed_keypoints(ordered, categories, dataset or path)
    evidence = content.unread if base is content else content.unread + base.unread
    evidence[CROWD] += [a.iscrowd for a in ordered].count(1)
    return Columns(
        images,
        {} if with_videos else _same_names(images, dataset or path),
        base.listed_images,
        _video_names(base.dataset, path) if with_videos else {},
        _categories(categories, dataset or path, findings),
        tasks,
        content.is_results,
        bounds,
        np.fromiter([a.category_id for a in ordered], np.int64, len(ordered)),
        boxes,
        np.fromiter([a.score for a in ordered], np.float64, len(ordered)) if has_scores else None,
        ids,
        [a.segmentation for a in ordered],
        [a.keypoints for a in ordered],
        [(a.file_name, a.segments_info) for a in ordered] if is_panoptic else None,
        findings,
        evidence,
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


def is_empty(text: Raw) -> bool:
    """Whether a segmentation or keypoints have no value."""
    return text is NONE or _EMPTY.fullmatch(text) is not None


def _tasks(annotations: list[AnnotationRecord], is_panoptic: bool) -> tuple[TaskType, ...]:
    has_masks = any(not is_empty(a.segmentation) for a in annotations)
    keypoints = [a.keypoints for a in annotations]
    has_keypoints = keypoints.count(NONE) < len(keypoints) and not all(map(is_empty, keypoints))
    tasks: tuple[TaskType, ...] = () if is_panoptic else (TaskType.OBJECT_DETECTION,)
    if has_masks or is_panoptic:
        tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
    return (TaskType.KEYPOINT_DETECTION, *tasks) if has_keypoints else tasks


def _complete(
    annotations: list[AnnotationRecord], is_panoptic: bool, path: Path, findings: list[Finding]
) -> tuple[list[AnnotationRecord], bool]:
    """The annotations that have a category, and a score if any has one; and whether they have scores."""
    without_score = [a.score for a in annotations].count(UNSET)
    has_scores = without_score < len(annotations)
    without_category = 0 if is_panoptic else [a.category_id for a in annotations].count(NO_CATEGORY)
    if not without_category and not (has_scores and without_score):
        return annotations, has_scores
    broken = Faults(findings, "broken-annotation", lost=1)
    unscored = Faults(findings, "score-missing", lost=1)
    complete = []
    for index, a in enumerate(annotations):
        where = f"{path}, annotation {index if a.id is None else f'id {a.id}'}"
        if a.category_id == NO_CATEGORY and not is_panoptic:
            broken.add(where, "it has no category_id")
        elif has_scores and a.score is UNSET:
            unscored.add(where, "it has no score, other annotations of the file have one")
        else:
            complete.append(a)
    return complete, has_scores


def _places(
    annotations: list[AnnotationRecord],
    images: list[ImageRecord],
    left_out: Collection[int | float | str],
    path: Path,
    findings: list[Finding],
) -> NDArray[np.int64]:
    """The place of each annotation's image in the list; -1 of one whose image is unknown or left out."""
    places: dict[int | float | str, int] = {canonical(image.id): place for place, image in enumerate(images)}
    place = np.fromiter([places.get(a.image_id, -1) for a in annotations], np.int64, len(annotations))
    if (place < 0).any():  # ids that are text in one list and numbers in the other, and unknown ones
        unknown = Faults(findings, "unknown-image", lost=1)
        for index in np.flatnonzero(place < 0).tolist():
            a = annotations[index]
            image_id = canonical(a.image_id)
            place[index] = places.get(image_id, -1)
            if place[index] < 0:
                where = f"{path}, annotation {index if a.id is None else f'id {a.id}'}"
                why = "that of an image that is left out" if image_id in left_out else "not the id of any image"
                unknown.add(where, f"image_id {a.image_id!r} is {why}")
    return place


def _unambiguous(
    images: list[ImageRecord], path: Path, findings: list[Finding]
) -> tuple[list[ImageRecord], set[int | float | str]]:
    """The images whose id is theirs alone, and the ids that are not; an entry that is listed twice counts once."""
    ids = [canonical(image.id) for image in images]
    if len(set(ids)) == len(ids):
        return images, set()
    by_id: dict[int | str, list[ImageRecord]] = {}
    for id, image in zip(ids, images, strict=True):
        by_id.setdefault(id, []).append(image)
    left_out: set[int | float | str] = set()
    for id, group in by_id.items():
        if len(group) == 1:
            continue
        first, where, more = group[0], f"{path}, image id {id}", len(group) - 1
        names = list(dict.fromkeys(repr(image.file_name) for image in group))
        if len(names) > 1:
            text = f"{len(group)} images have this id, {' and '.join(names[:3])}: whose labels are whose?"
        elif len({(image.width, image.height) for image in group}) > 1:
            text = f"the image {names[0]} is listed {len(group)} times, with different sizes"
        else:
            text = f"the image {first.file_name!r} is listed {len(group)} times; counted once"
            findings.append(Finding.repair("image-twice", where, text, more, merged_images=more))
            continue
        left_out.add(id)
        findings.append(Finding.error("image-id-twice", where, text, len(group), lost_images=len(group)))
    return [group[0] for id, group in by_id.items() if id not in left_out], left_out


def _same_names(images: list[ImageRecord], path: Path) -> dict[int, Finding]:
    """Why images, by their place, get no file: another id has the same name."""
    if len({image.file_name for image in images}) == len(images):
        return {}
    by_name: dict[str, list[int]] = {}
    for place, image in enumerate(images):
        by_name.setdefault(image.file_name, []).append(place)
    refused: dict[int, Finding] = {}
    for name, places in by_name.items():
        if len(places) > 1:
            ids = " and ".join(str(images[place].id) for place in places[:5]) + " ..." * (len(places) > 5)
            text = f"the image is listed under {len(places)} ids, {ids}; list it once, with all of its annotations"
            finding = Finding.error("name-collision", f"{path}, image {name}", text)
            refused |= dict.fromkeys(places, finding)
    return refused


def _same_ids(ids: Ids, path: Path) -> list[Finding]:
    """A warning for each id that several annotations have: one that is listed twice is written twice."""
    with suppress(TypeError, ValueError, OverflowError):  # text, no id, or beyond 64 bits
        if (np.diff(np.array(ids, np.int64)) > 0).all():  # as most files have them: a set takes more memory
            return []
    if len(set(ids)) == len(ids):
        return []
    text = "{} annotations have this id; all are written"
    return [
        Finding.warning("annotation-id-twice", f"{path}, annotation id {id}", text.format(count), count)
        for id, count in Counter(ids).items()
        if count > 1 and id is not None
    ]


def _results_twice(
    results: list[AnnotationRecord], owners: NDArray[np.int64], images: list[ImageRecord], path: Path
) -> list[Finding]:
    """A warning if results are listed twice: they have no ids that show it."""
    shapes = [
        (owner, a.category_id, a.score, a.bbox or bytes(a.segmentation) + bytes(a.keypoints))
        for owner, a in zip(owners.tolist(), results, strict=True)
        if a.id is None
    ]
    more = len(shapes) - len(set(shapes))
    if not more:
        return []
    (owner, *_), _ = Counter(shapes).most_common(1)[0]
    text = f"{more:,} results are equal to another one of their image; all are written"
    return [Finding.warning("result-twice", f"{path}, image {images[owner].file_name}", text, more)]


def _unnamed_keypoints(
    annotations: list[AnnotationRecord], categories: list[CategoryRecord], path: Path
) -> list[Finding]:
    """A warning for each category whose objects have keypoints, and that does not name them."""
    used = {a.category_id for a in annotations if not is_empty(a.keypoints)}
    text = "objects of {!r} have keypoints, and the category does not name them: their number is not checked"
    return [
        Finding.warning("keypoints-unnamed", f"{path}, category id {record.id}", text.format(record.name))
        for record in categories
        if record.id in used and not record.keypoints
    ]


def _box_corners(
    boxes: NDArray[np.float64], owners: NDArray[np.int64], images: list[ImageRecord], path: Path
) -> list[Finding]:
    """A warning if the boxes look like corners x1, y1, x2, y2: as such all fit, as x, y, width, height they do not."""
    given = ~np.isnan(boxes[:, 0])
    x, y, width, height = boxes[given].T
    if not len(x) or (width <= x).any() or (height <= y).any():
        return []
    sizes = np.array([(image.width or np.inf, image.height or np.inf) for image in images], np.float64)
    across, down = sizes[owners[given]].T
    over = (x + width > across + 1) | (y + height > down + 1)
    if not over.any() or (width > across).any() or (height > down).any():
        return []
    text = (
        f"{over.sum():,} of {len(x):,} boxes reach over the edge as x, y, width, height, which COCO's boxes are; all "
        "fit as corners x1, y1, x2, y2: is that what they are?"
    )
    return [Finding.warning("boxes-are-corners", str(path), text, len(x))]


def _categories(records: list[CategoryRecord], path: Path, findings: list[Finding]) -> list[Category]:
    """The categories, without skeletons that name keypoints that there are not."""
    categories = []
    for record in records:
        keypoints, skeleton = tuple(record.keypoints or ()), tuple(record.skeleton or ())
        where = f"{path}, category id {record.id}"
        if not all(map(str.strip, keypoints)):
            raise ExportError("a keypoint has no name", where=where, code="broken-category")
        if keypoints and record.skeleton is None:
            text = f"{record.name!r} has keypoints and no skeleton"
            findings.append(Finding.note("skeleton-missing", where, text))
        wrong = [edge for edge in skeleton if not all(1 <= end <= len(keypoints) for end in edge)]
        if wrong:
            text = (
                f"the skeleton of {record.name!r} has the edge {list(wrong[0])}, its keypoints are 1 to "
                f"{len(keypoints)}; the skeleton is left out"
            )
            findings.append(Finding.repair("skeleton-out-of-range", where, text))
            skeleton = ()
        categories.append(Category(record.id, record.name, keypoints, skeleton))
    return categories


def _video_names(base: Dataset, path: Path) -> dict[bytes, str]:
    try:
        videos = _VIDEOS.decode(base.videos) or ()
    except msgspec.MsgspecError as error:
        raise ExportError(f"videos: {error}", where=str(path), code="broken-video") from None
    return {bytes(video.id): video.name or video.file_name or "" for video in videos}
