"""COCO: instances, person keypoints, results with scores, and panoptic.

One JSON file with `images`, `categories` and `annotations`; masks are polygons or run lengths, boxes are
[x, y, width, height] in pixels. A results file is a bare list of annotations with scores; the images and categories
that it speaks of come from another file, given as --dataset.

Definition: https://cocodataset.org/#format-data and https://cocodataset.org/#format-results
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from numpy.typing import NDArray

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.model import Annotations, Category, File, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe, json_files, match_results
from labelferry.plugin.registry import register
from labelferry.reading.images import image_size, read_label_map
from labelferry.reading.text import decode_part, json_fault
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

NAMED = 100
"""Faults of one kind that are named one by one; the rest are counted."""

_Int = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_NONE = Raw(b"null")
_NO_CATEGORY = -(2**53)
_EMPTY = re.compile(rb"null|\[[\s\[\]]*\]|\{\s*\}")  # no value: null, [], [[]], {}
_NO_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')


class _Category(Struct, gc=False):
    id: _Int
    name: str
    keypoints: list[str] | None = None
    skeleton: list[tuple[_Int, _Int]] | None = None


class _Image(Struct, gc=False):
    id: int | float | str
    file_name: str
    width: float | None = None
    height: float | None = None
    video_id: Raw = _NONE
    frame_index: Raw = _NONE
    frame_id: Raw = _NONE


class _Video(Struct, gc=False):
    """A video of CocoVID, TAO or BDD100K, whose images name it and the frame: read only where frames are wanted."""

    id: Raw
    name: str | None = None
    file_name: str | None = None


class _Annotation(Struct, gc=False):
    """An annotation; its masks and keypoints stay text until a worker needs them."""

    image_id: int | float | str
    category_id: _Int = _NO_CATEGORY
    id: int | str | None = None
    bbox: tuple[float, float, float, float] | None = None
    score: float | None = None
    segmentation: Raw = _NONE
    keypoints: Raw = _NONE
    segments_info: Raw = _NONE
    file_name: str | None = None


class _WithoutBox(_Annotation, gc=False):
    """An annotation whose bbox is an empty list, which is how some tools write that there is none."""

    bbox: Annotated[list[float], Meta(max_length=0)] | None = None  # type: ignore[assignment]


class _Dataset(Struct):
    images: list[_Image] | UnsetType = UNSET
    annotations: list[_Annotation] | UnsetType = UNSET
    categories: list[_Category] | UnsetType = UNSET
    videos: Raw = _NONE


class _Unchecked(Struct):
    """The same of a file in which something is broken, to name what."""

    images: list[Raw] | UnsetType = UNSET
    annotations: list[Raw] | UnsetType = UNSET
    categories: list[_Category] | UnsetType = UNSET
    videos: Raw = _NONE


class _Segment(Struct):
    id: int
    category_id: _Int


_DATASET = msgspec.json.Decoder(_Dataset)
_UNCHECKED = msgspec.json.Decoder(_Unchecked)
_RESULTS = msgspec.json.Decoder(list[_Annotation])
_UNCHECKED_RESULTS = msgspec.json.Decoder(list[Raw])
_ONE_IMAGE = msgspec.json.Decoder(_Image)
_ONE_ANNOTATION = msgspec.json.Decoder(_Annotation)
_ONE_WITHOUT_BOX = msgspec.json.Decoder(_WithoutBox)
_SEGMENTATIONS = msgspec.json.Decoder(list[Any])
_KEYPOINTS = msgspec.json.Decoder(list[list[float] | None])
_VIDEOS = msgspec.json.Decoder(list[_Video] | None)
_NUMBER = msgspec.json.Decoder(int | None, strict=False)
_SEGMENTS = msgspec.json.Decoder(list[_Segment])

Floats = NDArray[np.float64]


class _Source(NamedTuple):
    """What `get_labels` needs of an image.

    Attributes:
        category_ids: (N,) of its annotations.
        boxes: (N, 4), NaN where an annotation has none; None if the task needs none.
        scores: (N,), NaN where there is none; None if the file has none.
        ids: the annotations' ids.
        shapes: JSON list of their segmentations, or keypoints, or of a panoptic annotation's segments.
        size: width and height as given.
        image: the image's file, if the size must be read from it.
        panoptic: the PNG of a panoptic annotation.
    """

    category_ids: NDArray[np.int64]
    boxes: Floats | None
    scores: Floats | None
    ids: Sequence[int | str | None]
    shapes: bytes
    size: tuple[float | None, float | None]
    image: File | None
    panoptic: File | None


class _Export(NamedTuple):
    """A file as columns, annotations in the order of their images."""

    images: list[_Image]
    videos: dict[bytes, str]
    categories: list[Category]
    tasks: tuple[TaskType, ...]
    bounds: list[int]
    category_ids: NDArray[np.int64]
    boxes: Floats
    scores: Floats | None
    ids: list[int | str | None]
    segmentations: list[Raw]
    keypoints: list[Raw]
    panoptic: list[tuple[str | None, Raw]] | None
    findings: list[Finding]


@register("coco")
class Coco(Adapter):
    """Reads COCO JSON."""

    tasks = (
        TaskType.KEYPOINT_DETECTION,
        TaskType.INSTANCE_SEGMENTATION,
        TaskType.OBJECT_DETECTION,
    )

    def __init__(
        self,
        path: Path,
        *,
        dataset: Annotated[
            Path | None, "For a results file: the COCO file with the images and categories that it refers to."
        ] = None,
        images: Annotated[
            Path | None,
            "Folder of the images: their sizes are read where the file lacks them, and absolute names below it become "
            "relative.",
        ] = None,
        masks: Annotated[
            Path | None,
            "For panoptic: folder of the PNGs; by default the one beside the file that has its name.",
        ] = None,
    ) -> None:
        self.path = path
        self.dataset = dataset
        self.images = images
        self.masks = masks
        self._is_results = False
        self._lacks_boxes = False
        self._export: _Export | None = None

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        datasets, results = [], []
        for path in json_files(probe):
            head = probe.head(path)
            if head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"[":
                if b'"image_id"' in head and b'"category_id"' in head:
                    results.append(path)
            elif b'"file_names"' not in head:
                keys = sum(key in head for key in (b'"images"', b'"annotations"', b'"categories"'))
                if keys >= 2 and (b'"file_name"' in head or b'"image_id"' in head):
                    datasets.append(path)
        for path in datasets:
            images: int | None = None
            tasks = _tasks_seen(probe.head(path))
            if probe.is_small(path):
                adapter = cls(path)
                images, tasks = adapter.count_images(), adapter.get_tasks()
            kind = "panoptic" if b'"segments_info"' in probe.head(path) else "annotations"
            yield Match(path, f"COCO {kind}", tasks, images)
        for path in results:
            yield match_results(path, "COCO results", _tasks_seen(probe.head(path)), datasets)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_export": None}

    def get_tasks(self) -> tuple[TaskType, ...]:
        return self._read().tasks

    def get_categories(self) -> list[Category]:
        return self._read().categories

    def count_images(self) -> int:
        return len(self._read().images)

    def get_images(self) -> Iterator[Image]:
        export = self._read()
        self.findings += export.findings
        shapes: list[Raw] | None = None
        if self.task is TaskType.KEYPOINT_DETECTION:
            shapes = export.keypoints
        elif self.task is TaskType.INSTANCE_SEGMENTATION or self._lacks_boxes:
            shapes = export.segmentations
        boxes, scores, panoptic = export.boxes, export.scores, export.panoptic
        masks = self.masks or self.path.with_suffix("")
        for index, image in enumerate(export.images):
            low, high = export.bounds[index], export.bounds[index + 1]
            name = image.file_name
            if self.images is not None and os.path.isabs(name):
                name = _relative(name, self.images)
            known = image.width is not None and image.height is not None
            source = _Source(
                export.category_ids[low:high],
                boxes[low:high],
                None if scores is None else scores[low:high],
                export.ids[low:high],
                b"" if shapes is None else b"[" + b",".join(shapes[low:high]) + b"]",
                (image.width, image.height),
                None if known or self.images is None else File(self.images / name),
                None,
            )
            if panoptic is not None and high > low:
                png, segments = panoptic[low]
                png = png or os.path.splitext(os.path.basename(name))[0] + ".png"
                source = source._replace(shapes=bytes(segments), panoptic=File(masks / png))
            yield Image(name, source, _frame_of(image, export.videos) if export.videos else None)

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        if source.panoptic is not None:
            return self._panoptic_labels(source, source.panoptic)
        width, height = source.size
        annotations = Annotations(
            source.category_ids,
            (int(width), int(height)) if width is not None and height is not None else image.size or self._size(source),
            source.boxes,
            source.scores,
            locate=partial(_locate, str(self.path), image.file_name, source.ids),
        )
        if self.task is TaskType.INSTANCE_SEGMENTATION:
            return _with_masks(annotations, source)
        if self.task is TaskType.KEYPOINT_DETECTION:
            return _with_keypoints(annotations, source, self._is_results)
        return _with_boxes_of_masks(annotations, source) if self._lacks_boxes else annotations

    def _size(self, source: _Source) -> tuple[int, int]:
        if source.image is not None:
            return image_size(source.image)
        text = "the file gives no width and height; name the folder of the images with --images"
        raise ExportError(text, code="image-size")

    def _panoptic_labels(self, source: _Source, path: File) -> Annotations:
        """Segments by their ids in the colours of a PNG: R + 256 G + 65536 B; 0 is no segment."""
        if len(source.ids) > 1:
            raise ExportError(f"{len(source.ids)} panoptic annotations for one image", where=str(self.path))
        folder = str(self.masks or self.path.with_suffix(""))
        if not os.path.normpath(path).startswith(os.path.normpath(folder) + os.sep):
            raise ExportError(f"the mask lies outside of {folder}", where=path, code="file-name")
        try:
            segments = _SEGMENTS.decode(source.shapes)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            text = f"segments_info: {error}"
            raise ExportError(text, where=f"{self.path}, mask {path}", code="broken-annotation") from None
        pixels, are_colours = read_label_map(path)
        if not are_colours:
            raise ExportError("a panoptic PNG is RGB, this one is not", where=path, code="mask-mode")
        found = masks_from_label_map(pixels)
        findings = []
        if unknown := found.keys() - {segment.id for segment in segments} - {0}:
            text = f"{len(unknown)} segment id(s) of the PNG are not in segments_info, as {min(unknown)}"
            findings.append(Finding("error", "unknown-segment", path, text, len(unknown)))
        height, width = pixels.shape
        nothing = RunLengthMask(np.array([height * width]), height, width)
        return Annotations(
            np.array([segment.category_id for segment in segments], np.int64),
            (width, height) if None in source.size else (int(source.size[0] or 0), int(source.size[1] or 0)),
            masks=[found.get(segment.id, nothing) for segment in segments],
            findings=findings,
            locate=lambda i: f"{path}, segment id {segments[i].id}",
        )

    def _read(self) -> _Export:
        if self._export is None:
            findings: list[Finding] = []
            content, self._is_results = _parse(self.path, findings)
            base = content
            if self.dataset is not None:
                base, _ = _parse(self.dataset, findings)
            elif self._is_results:
                text = (
                    "a results file, a bare list without images and categories; name the COCO file that has them with "
                )
                raise ExportError(text + "--dataset", where=str(self.path), code="results-without-dataset")
            if content.annotations is UNSET:
                raise ExportError("no 'annotations' in it; is it a COCO file?", where=str(self.path), code="not-coco")
            if base.images is UNSET or base.categories is UNSET:
                text = "it needs both 'images' and 'categories'; is it a COCO dataset file?"
                raise ExportError(text, where=str(self.dataset or self.path), code="not-coco")
            export = self._columns(base.images, content.annotations, base.categories, findings)
            self._export = export._replace(videos=_video_names(base.videos, self.path)) if self.as_frames else export
        return self._export

    def _columns(
        self,
        images: list[_Image],
        annotations: list[_Annotation],
        categories: list[_Category],
        findings: list[Finding],
    ) -> _Export:
        """Every annotation to its image, and what the file holds."""
        has_masks = any(a.segmentation is not _NONE and not _EMPTY.fullmatch(a.segmentation) for a in annotations)
        has_keypoints = any(a.keypoints is not _NONE and not _EMPTY.fullmatch(a.keypoints) for a in annotations)
        is_panoptic = any(a.segments_info is not _NONE for a in annotations)
        if not is_panoptic:
            broken = _Faults(findings, "broken-annotation")
            for index, a in enumerate(annotations):
                if a.category_id == _NO_CATEGORY:
                    broken.add(f"{self.path}, annotation {index}", "it has no category_id")
            annotations = [a for a in annotations if a.category_id != _NO_CATEGORY]
        images = self._unambiguous(images, findings)
        places: dict[int | float | str, int] = {image.id: place for place, image in enumerate(images)}
        place = np.fromiter((places.get(a.image_id, -1) for a in annotations), np.int64, len(annotations))
        if (place < 0).any():  # ids that are text in one list and numbers in the other, and unknown ones
            unknown = _Faults(findings, "unknown-image")
            by_text = {str(image.id): place for place, image in enumerate(images)}
            for index in np.flatnonzero(place < 0).tolist():
                a = annotations[index]
                place[index] = by_text.get(str(a.image_id), -1)
                if place[index] < 0:
                    where = _locate(str(self.path), "", [a.id], 0) if a.id is not None else f"{self.path}"
                    text = f"image_id {a.image_id!r} is not the id of any image"
                    unknown.add(where, text)
        order = np.argsort(place, kind="stable")
        bounds = np.searchsorted(place, np.arange(len(images) + 1), sorter=order).tolist()
        lacking = (np.nan,) * 4
        flat = chain.from_iterable(a.bbox or lacking for a in annotations)
        boxes = np.fromiter(flat, np.float64, 4 * len(annotations)).reshape(-1, 4)[order]
        self._lacks_boxes = bool(np.isnan(boxes).any())
        scores = None
        if any(a.score is not None for a in annotations):
            given = (np.nan if a.score is None else a.score for a in annotations)
            scores = np.fromiter(given, np.float64, len(annotations))[order]
        tasks: tuple[TaskType, ...] = () if is_panoptic else (TaskType.OBJECT_DETECTION,)
        if has_masks or is_panoptic:
            tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
        if has_keypoints:
            tasks = (TaskType.KEYPOINT_DETECTION, *tasks)
        ordered = [annotations[i] for i in order.tolist()]
        return _Export(
            images,
            {},
            [Category(c.id, c.name, tuple(c.keypoints or ()), tuple(c.skeleton or ())) for c in categories],
            tasks,
            bounds,
            np.fromiter((a.category_id for a in ordered), np.int64, len(ordered)),
            boxes,
            scores,
            [a.id for a in ordered],
            [a.segmentation for a in ordered],
            [a.keypoints for a in ordered],
            [(a.file_name, a.segments_info) for a in ordered] if is_panoptic else None,
            findings,
        )

    def _unambiguous(self, images: list[_Image], findings: list[Finding]) -> list[_Image]:
        """The images whose id is theirs alone; an entry that is given twice counts once."""
        by_id: dict[int | float | str, _Image] = {}
        twice: set[int | float | str] = set()
        doubtful = _Faults(findings, "image-id-twice")
        for image in images:
            first = by_id.setdefault(image.id, image)
            if first is image:
                continue
            where = f"{self.path}, image id {image.id}"
            if first.file_name == image.file_name:
                text = f"the image {image.file_name!r} is listed twice; counted once"
                findings.append(Finding("repair", "image-twice", where, text))
            else:
                twice.add(image.id)
                text = f"two images have this id, {first.file_name!r} and {image.file_name!r}: whose labels are whose?"
                doubtful.add(where, text)
        return [image for key, image in by_id.items() if key not in twice] if len(by_id) < len(images) else images


def _video_names(raw: Raw, path: Path) -> dict[bytes, str]:
    """Names of videos by the JSON of their ids."""
    try:
        videos = _VIDEOS.decode(raw) or ()
    except msgspec.MsgspecError as error:
        raise ExportError(f"videos: {error}", where=str(path), code="broken-video") from None
    return {bytes(video.id): video.name or video.file_name or "" for video in videos}


def _frame_of(image: _Image, videos: dict[bytes, str]) -> VideoFrame | None:
    """The frame that an image says it is: by frame_index, or frame_id."""
    try:
        index = _NUMBER.decode(image.frame_index)
        number = _NUMBER.decode(image.frame_id) if index is None else index
    except msgspec.MsgspecError:
        number = None
    video = videos.get(bytes(image.video_id))
    return None if video is None or number is None else VideoFrame(video, number)


def _tasks_seen(content: bytes) -> tuple[TaskType, ...]:
    """What a sample of a file shows that it holds."""
    tasks: tuple[TaskType, ...] = (TaskType.OBJECT_DETECTION,)
    if re.search(rb'"segmentation":\s*(\[\s*\[|\{)|"segments_info"', content):
        tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
    if re.search(rb'"keypoints":\s*\[\s*[-\d]', content):
        tasks = (TaskType.KEYPOINT_DETECTION, *tasks)
    return tasks


class _Faults:
    """Errors of one code, of which all but the first are only counted."""

    def __init__(self, findings: list[Finding], code: str) -> None:
        self._findings = findings
        self._code = code
        self._count = 0

    def add(self, where: str, text: str) -> None:
        self._count += 1
        if self._count <= NAMED + 1:
            self._place = len(self._findings)
            self._findings.append(Finding("error", self._code, where, text))
        else:
            self._findings[self._place] = Finding("error", self._code, where, text, self._count - NAMED)


def _relative(name: str, folder: Path) -> str:
    try:
        return Path(name).relative_to(folder.absolute()).as_posix()
    except ValueError:
        return name  # refused, as every absolute name


def _locate(path: str, name: str, ids: Sequence[int | str | None], index: int) -> str:
    if ids[index] is None:
        return f"{path}, image {name}, its annotation {index + 1}"
    return f"{path}, annotation id {ids[index]}"


def _masks(annotations: Annotations, segmentations: Sequence[Any], places: Sequence[int]) -> list[RunLengthMask | None]:
    """Masks of segmentations, those of the objects at these places; what is wrong goes to the findings."""
    assert annotations.size is not None
    assert annotations.locate is not None
    locate = annotations.locate
    found = masks_of_image(segmentations, annotations.size, lambda i: locate(places[i]))
    annotations.findings += found.findings
    masks: list[RunLengthMask | None] = [None] * len(segmentations)
    for i, mask in zip(found.rows.tolist(), found.masks, strict=True):
        masks[i] = mask
    return masks


def _place(annotations: Annotations) -> str:
    """Where the first of an image's annotations stands."""
    return annotations.locate(0) if annotations.locate is not None and len(annotations) else ""


def _with_masks(annotations: Annotations, source: _Source) -> Annotations:
    """Masks, and the given boxes, or the tight ones of the masks where none are given."""
    segmentations = decode_part(_SEGMENTATIONS, source.shapes, _place(annotations))
    masks = _masks(annotations, segmentations, range(len(segmentations)))
    if None in masks:
        locate = annotations.locate
        assert locate is not None
        for i, (mask, segmentation) in enumerate(zip(masks, segmentations, strict=True)):
            if mask is None and not segmentation:
                text = "the object has no segmentation; left out (with --task object-detection it is kept)"
                annotations.findings.append(Finding("repair", "segmentation-missing", locate(i), text))
        annotations = annotations.take([i for i, mask in enumerate(masks) if mask is not None])
    annotations.masks = present = [mask for mask in masks if mask is not None]
    boxes = annotations.boxes
    if boxes is not None and np.isnan(boxes).any():
        tight = np.array([mask.box for mask in present], np.float64).reshape(-1, 4)
        annotations.boxes = np.where(np.isnan(boxes), tight, boxes)
    return annotations


def _with_boxes_of_masks(annotations: Annotations, source: _Source) -> Annotations:
    """The given boxes, and the tight ones of the masks where none are given."""
    assert source.boxes is not None
    lacking = np.flatnonzero(np.isnan(source.boxes[:, 0])).tolist()
    if not lacking:
        return annotations
    segmentations = decode_part(_SEGMENTATIONS, source.shapes, _place(annotations))
    masks = _masks(annotations, [segmentations[i] for i in lacking], lacking)
    boxes, none = source.boxes.copy(), set()
    for i, mask in zip(lacking, masks, strict=True):
        if mask is not None:
            boxes[i] = mask.box
            continue
        none.add(i)
        if not segmentations[i]:
            assert annotations.locate is not None
            text = "the object has neither a bbox nor a segmentation to take it from"
            annotations.findings.append(Finding("error", "box-missing", annotations.locate(i), text))
    annotations.boxes = boxes
    return annotations.take([i for i in range(len(boxes)) if i not in none]) if none else annotations


def _with_keypoints(annotations: Annotations, source: _Source, is_results: bool) -> Annotations:
    """Keypoints with visibility 0, 1, 2 as scores 0, 0.5, 1; of results, scores are taken as they are."""
    locate = annotations.locate
    assert locate is not None
    try:
        given = _KEYPOINTS.decode(source.shapes)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        given = []
        for i, one in enumerate(decode_part(_UNCHECKED_RESULTS, source.shapes, _place(annotations))):
            try:
                given += _KEYPOINTS.decode(b"[" + bytes(one) + b"]")
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                text = str(error).replace("$[0]", "keypoints")
                annotations.findings.append(Finding("error", "broken-keypoints", locate(i), text))
                given.append([0])  # no keypoints, and told already
    kept, keypoints = [], []
    for i, numbers in enumerate(given):
        if not numbers:
            text = "the object has no keypoints; left out (with --task object-detection it is kept)"
            annotations.findings.append(Finding("repair", "keypoints-missing", locate(i), text))
        elif len(numbers) % 3:
            if len(numbers) > 1:
                text = f"{len(numbers)} numbers in keypoints; they come in threes of x, y, visibility"
                annotations.findings.append(Finding("error", "broken-keypoints", locate(i), text))
        else:
            points = np.array(numbers).reshape(-1, 3)
            visibility = points[:, 2]
            if not is_results or (np.isin(visibility, (0, 1, 2)).all() and visibility.max() == 2):
                visibility /= 2
            kept.append(i)
            keypoints.append(points)
    annotations = annotations.take(kept)
    annotations.keypoints = keypoints
    boxes = annotations.boxes
    if boxes is not None and np.isnan(boxes).any():
        low = np.array([points[:, :2].min(axis=0) for points in keypoints])
        high = np.array([points[:, :2].max(axis=0) for points in keypoints])
        annotations.boxes = np.where(np.isnan(boxes), np.concatenate((low, high - low), axis=1), boxes)
    return annotations


def _parse(path: Path, findings: list[Finding]) -> tuple[_Dataset, bool]:
    """A COCO file, and whether it is a bare list of results.

    NaN and Infinity, which Python writes though JSON has none, are read as null, so that what holds them can be named.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}", where=str(path), code="file-missing") from None
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    is_list = content[:64].lstrip()[:1] == b"["
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects are made and none of them forms a cycle
    try:
        try:
            return _decode(content, is_list), is_list
        except msgspec.ValidationError:
            return _decode_one_by_one(content, is_list, path, findings), is_list
        except msgspec.DecodeError:
            if b"NaN" not in content and b"Infinity" not in content:
                raise
            content = _NO_JSON.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", content)
            return _decode_one_by_one(content, is_list, path, findings), is_list
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise json_fault(error, path, content) from None
    finally:
        if collecting:
            gc.enable()


def _decode(content: bytes, is_list: bool) -> _Dataset:
    return _Dataset(annotations=_RESULTS.decode(content)) if is_list else _DATASET.decode(content)


def _decode_one_by_one(content: bytes, is_list: bool, path: Path, findings: list[Finding]) -> _Dataset:
    """A file in which images or annotations are broken: these are named, the others read."""
    raw = _Unchecked(annotations=_UNCHECKED_RESULTS.decode(content)) if is_list else _UNCHECKED.decode(content)
    images: list[_Image] | UnsetType = UNSET
    annotations: list[_Annotation] | UnsetType = UNSET
    if raw.images is not UNSET:
        images, faults = [], _Faults(findings, "broken-image")
        for index, one in enumerate(raw.images):
            try:
                images.append(_ONE_IMAGE.decode(one))
            except msgspec.MsgspecError as error:
                faults.add(f"{path}, image {index}{_id_of(one)}", str(error))
    if raw.annotations is not UNSET:
        annotations, faults = [], _Faults(findings, "broken-annotation")
        for index, one in enumerate(raw.annotations):
            try:
                annotations.append(_ONE_ANNOTATION.decode(one))
                continue
            except msgspec.MsgspecError as error:
                fault = str(error)
            try:
                without = _ONE_WITHOUT_BOX.decode(one)
                without.bbox = None
                annotations.append(without)
            except msgspec.MsgspecError:
                faults.add(f"{path}, annotation {index}{_id_of(one)}", fault)
    return _Dataset(images, annotations, raw.categories, raw.videos)


def _id_of(raw: Raw) -> str:
    """The id of something broken, for messages, if it has one."""
    given = msgspec.json.decode(raw)
    return f" (id {given['id']})" if isinstance(given, dict) and "id" in given else ""
