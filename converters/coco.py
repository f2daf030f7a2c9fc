"""COCO: instances, person keypoints, results with scores, and panoptic.

One JSON file with `images`, `categories` and `annotations`; masks are polygons or run lengths, boxes are
[x, y, width, height] in pixels. A results file is a bare list of annotations with scores; the images and categories
that it speaks of come from another file, given as --dataset.

Definition: https://cocodataset.org/#format-data and https://cocodataset.org/#format-results
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from labelferry.adapter import Adapter
from labelferry.errors import ExportError
from labelferry.images import image_size, read_label_map
from labelferry.model import Annotations, Category, Finding, Image, TaskType
from labelferry.registry import register
from labelferry.rle import RunLengthMask, masks_from_coco, masks_from_label_map

NAMED = 100
"""Faults of one kind that are named one by one; the rest are counted."""


class _Category(Struct, gc=False):
    id: int
    name: str
    keypoints: list[str] | None = None
    skeleton: list[tuple[int, int]] | None = None


class _Image(Struct, gc=False):
    id: int | float | str
    file_name: str
    width: float | None = None
    height: float | None = None


class _Dataset(Struct):
    images: list[_Image] | UnsetType = UNSET
    annotations: list[Raw] | UnsetType = UNSET
    categories: list[_Category] | UnsetType = UNSET


class _Head(Struct, gc=False):
    """As much of an annotation as sorting it to its image takes."""

    image_id: int | float | str
    segmentation: Raw = Raw(b"null")
    keypoints: Raw = Raw(b"null")
    segments_info: Raw = Raw(b"null")


class _Annotation(Struct):
    category_id: int
    id: int | str | None = None
    bbox: list[float] | None = None
    score: float | None = None


class _AnnotationWithMask(_Annotation):
    segmentation: Any = None


class _AnnotationWithKeypoints(_Annotation):
    keypoints: list[float] | None = None


class _Segment(Struct):
    id: int
    category_id: int


class _Panoptic(Struct):
    segments_info: list[_Segment]
    file_name: str | None = None
    id: int | str | None = None


_DECODERS: dict[TaskType, msgspec.json.Decoder[Any]] = {
    TaskType.OBJECT_DETECTION: msgspec.json.Decoder(list[_Annotation]),
    TaskType.INSTANCE_SEGMENTATION: msgspec.json.Decoder(list[_AnnotationWithMask]),
    TaskType.KEYPOINT_DETECTION: msgspec.json.Decoder(list[_AnnotationWithKeypoints]),
}
_DATASET = msgspec.json.Decoder(_Dataset)
_RESULTS = msgspec.json.Decoder(list[Raw])
_HEAD = msgspec.json.Decoder(_Head)
_EMPTY = re.compile(rb"null|\[[\s\[\]]*\]|\{\s*\}")  # no value: null, [], [[]], {}
_PANOPTIC = msgspec.json.Decoder(list[_Panoptic])


class _Source(NamedTuple):
    """What `get_labels` needs of an image: its annotations as a JSON list, and its size and path if given."""

    annotations: bytes
    size: tuple[float | None, float | None]
    image: Path | None
    masks: Path | None


class _File(NamedTuple):
    """A file as it is held while images are listed."""

    images: list[_Image]
    annotations: list[Raw]
    categories: list[Category]
    place: np.ndarray[Any, np.dtype[np.int64]]  # of each annotation's image, -1 if there is none
    tasks: tuple[TaskType, ...]
    findings: list[Finding]
    panoptic: bool


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
        self._file: _File | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def get_tasks(self) -> tuple[TaskType, ...]:
        return self._read().tasks

    def get_categories(self) -> list[Category]:
        return self._read().categories

    def count_images(self) -> int:
        return len(self._read().images)

    def get_images(self) -> Iterator[Image]:
        file = self._read()
        self.findings += file.findings
        order = np.argsort(file.place, kind="stable")
        bounds = np.searchsorted(file.place[order], np.arange(len(file.images) + 1)).tolist()
        annotations = file.annotations
        masks = self.masks or self.path.with_suffix("")
        for index, image in enumerate(file.images):
            own = order[bounds[index] : bounds[index + 1]].tolist()
            text = b"[" + b",".join([bytes(annotations[i]) for i in own]) + b"]"
            name = image.file_name
            if self.images is not None and os.path.isabs(name):
                name = self._relative(name)
            size = (image.width, image.height)
            known = image.width is not None and image.height is not None
            path = None if known or self.images is None else self.images / name
            yield Image(name, _Source(text, size, path, masks if file.panoptic else None))

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        if source.masks is not None:
            return self._panoptic_labels(image, source)
        size = self._size(source)
        findings: list[Finding] = []
        # the masks of objects that lack a box give them one
        objects = self._decode(image, source, self.task, findings)
        if self.task is TaskType.OBJECT_DETECTION and any(not o.bbox for o in objects):
            objects = self._decode(image, source, TaskType.INSTANCE_SEGMENTATION, [])
        locate = partial(_locate, str(self.path), image.file_name, [o.id for o in objects])
        annotations = Annotations(
            np.array([o.category_id for o in objects], np.int64), size, findings=findings, locate=locate
        )
        if any(o.score is not None for o in objects):
            annotations.scores = np.array([np.nan if o.score is None else o.score for o in objects])
        if self.task is TaskType.INSTANCE_SEGMENTATION:
            return _with_masks(annotations, objects)
        if self.task is TaskType.KEYPOINT_DETECTION:
            return _with_keypoints(annotations, objects, self._is_results)
        if any(not o.bbox for o in objects):
            return _with_boxes_of_masks(annotations, objects)
        annotations.boxes = np.array([o.bbox for o in objects], np.float64).reshape(-1, 4)
        return annotations

    def _size(self, source: _Source) -> tuple[int, int] | None:
        width, height = source.size
        if width is not None and height is not None:
            return int(width), int(height)
        if source.image is not None:
            return image_size(source.image)
        raise ExportError(
            "the file gives no width and height; name the folder of the images with --images",
            where="",
            code="image-size",
        )

    def _decode(self, image: Image, source: _Source, task: TaskType, findings: list[Finding]) -> list[Any]:
        """The image's annotations; those that are broken go to the findings."""
        decode = _DECODERS[task].decode
        try:
            objects: list[Any] = decode(source.annotations)
            if all(not o.bbox or len(o.bbox) == 4 for o in objects):
                return objects
        except msgspec.MsgspecError:
            pass
        objects = []
        for number, raw in enumerate(_RESULTS.decode(source.annotations)):
            try:
                (o,) = decode(b"[" + bytes(raw) + b"]")
                fault = f"{len(o.bbox)} numbers in bbox, not 4" if o.bbox and len(o.bbox) != 4 else ""
            except msgspec.MsgspecError as error:
                fault = str(error).replace("$[0].", "")
            if not fault:
                objects.append(o)
                continue
            given = msgspec.json.decode(raw)
            where = _locate(str(self.path), image.file_name, {number: given.get("id")}, number)
            findings.append(Finding("error", "broken-annotation", where, fault))
        return objects

    def _panoptic_labels(self, image: Image, source: _Source) -> Annotations:
        """Segments by their ids in the colours of a PNG: R + 256 G + 65536 B; 0 is no segment."""
        assert source.masks is not None
        try:
            records = _PANOPTIC.decode(source.annotations)
        except msgspec.MsgspecError as error:
            raise ExportError(str(error), where=f"{self.path}, image {image.file_name}") from None
        if not records:
            return Annotations.empty(self._size(source))
        if len(records) > 1:
            raise ExportError(f"{len(records)} panoptic annotations for one image", where=f"{self.path}")
        name = records[0].file_name or Path(image.file_name).with_suffix(".png").name
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise ExportError(f"the mask name {name!r} leads out of {source.masks}", where=str(self.path))
        path = source.masks / name
        pixels, are_colours = read_label_map(path)
        if not are_colours:
            raise ExportError("a panoptic PNG is RGB, this one is not", where=str(path), code="mask-mode")
        found = masks_from_label_map(pixels)
        segments = records[0].segments_info
        findings = []
        if unknown := found.keys() - {segment.id for segment in segments} - {0}:
            text = f"{len(unknown)} segment id(s) of the PNG are not in segments_info, as {min(unknown)}"
            findings.append(Finding("error", "unknown-segment", str(path), text, len(unknown)))
        height, width = pixels.shape
        nothing = RunLengthMask(np.array([height * width]), height, width)
        return Annotations(
            np.array([segment.category_id for segment in segments], np.int64),
            (width, height) if None in source.size else self._size(source),
            masks=[found.get(segment.id, nothing) for segment in segments],
            findings=findings,
            locate=lambda i: f"{path}, segment id {segments[i].id}",
        )

    def _relative(self, name: str) -> str:
        assert self.images is not None
        try:
            return Path(name).relative_to(self.images.absolute()).as_posix()
        except ValueError:
            return name  # refused, as every absolute name

    def _read(self) -> _File:
        if self._file is None:
            content = _parse(self.path)
            if isinstance(content, list):
                self._is_results = True
                annotations = content
                if self.dataset is None:
                    raise ExportError(
                        "a results file, a bare list without images and categories; name the COCO file that has them "
                        "with --dataset",
                        where=str(self.path),
                        code="results-without-dataset",
                    )
            elif content.annotations is UNSET:
                raise ExportError("no 'annotations' in it; is it a COCO file?", where=str(self.path))
            else:
                annotations = content.annotations
            base = content if self.dataset is None else _parse(self.dataset)
            if isinstance(base, list) or base.images is UNSET or base.categories is UNSET:
                text = "it needs both 'images' and 'categories'; is it a COCO dataset file?"
                raise ExportError(text, where=str(self.dataset or self.path))
            self._file = self._sort(base.images, annotations, base.categories)
        return self._file

    def _sort(self, images: list[_Image], annotations: list[Raw], categories: Sequence[_Category]) -> _File:
        """Every annotation to its image, and what the file holds."""
        findings: list[Finding] = []
        images = self._unambiguous(images, findings)
        places = {str(image.id): place for place, image in enumerate(images)}
        place = np.full(len(annotations), -1, np.int64)
        unknown = broken = 0
        masks = keypoints = panoptic = False
        for index, raw in enumerate(annotations):
            try:
                head = _HEAD.decode(raw)
            except msgspec.MsgspecError as error:
                broken += 1
                if broken <= NAMED:
                    text = str(error)
                    findings.append(Finding("error", "broken-annotation", f"{self.path}, annotation {index}", text))
                continue
            masks = masks or _EMPTY.fullmatch(head.segmentation) is None
            keypoints = keypoints or _EMPTY.fullmatch(head.keypoints) is None
            panoptic = panoptic or _EMPTY.fullmatch(head.segments_info) is None
            found = places.get(str(head.image_id))
            if found is None and isinstance(head.image_id, float):
                found = places.get(str(int(head.image_id)))
            if found is None:
                unknown += 1
                if unknown <= NAMED:
                    text = f"image_id {head.image_id!r} is not the id of any image of the file"
                    where = f"{self.path}, annotation {index}"
                    findings.append(Finding("error", "unknown-image", where, text))
                continue
            place[index] = found
        for code, count in (("unknown-image", unknown), ("broken-annotation", broken)):
            if count > NAMED:
                findings.append(Finding("error", code, str(self.path), "and more of the same", count - NAMED))
        tasks: tuple[TaskType, ...] = () if panoptic else (TaskType.OBJECT_DETECTION,)
        if masks or panoptic:
            tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
        if keypoints:
            tasks = (TaskType.KEYPOINT_DETECTION, *tasks)
        known = [Category(c.id, c.name, tuple(c.keypoints or ()), tuple(c.skeleton or ())) for c in categories]
        return _File(images, annotations, known, place, tasks, findings, panoptic)

    def _unambiguous(self, images: list[_Image], findings: list[Finding]) -> list[_Image]:
        """The images whose id is theirs alone; an entry that is given twice counts once."""
        by_id: dict[str, _Image] = {}
        twice: set[str] = set()
        for image in images:
            key = str(image.id)
            first = by_id.setdefault(key, image)
            if first is image:
                continue
            if first.file_name == image.file_name:
                text = f"the image {image.file_name!r} is listed twice; counted once"
                findings.append(Finding("repair", "image-twice", f"{self.path}, image id {key}", text))
            else:
                twice.add(key)
                text = f"two images have this id, {first.file_name!r} and {image.file_name!r}: whose labels are whose?"
                findings.append(Finding("error", "image-id-twice", f"{self.path}, image id {key}", text))
        return [image for key, image in by_id.items() if key not in twice]


def _locate(path: str, name: str, ids: Sequence[Any] | Mapping[int, Any], index: int) -> str:
    if ids[index] is None:
        return f"{path}, image {name}, its annotation {index + 1}"
    return f"{path}, annotation id {ids[index]}"


def _masks(annotations: Annotations, objects: Sequence[Any]) -> list[RunLengthMask | None]:
    """The objects' masks; what is wrong with them goes to the findings."""
    assert annotations.size is not None
    assert annotations.locate is not None
    width, height = annotations.size
    masks, problems = masks_from_coco([o.segmentation for o in objects], height, width)
    for problem in problems:
        where = annotations.locate(problem.index)
        kind = "error" if problem.fatal else "repair"
        annotations.findings.append(Finding(kind, problem.code, where, problem.message))  # type: ignore[arg-type]
    return masks


def _with_masks(annotations: Annotations, objects: Sequence[_AnnotationWithMask]) -> Annotations:
    """Masks, and the given boxes, or the tight ones of the masks where none are given."""
    masks = _masks(annotations, objects)
    locate = annotations.locate
    assert locate is not None
    for i, (mask, o) in enumerate(zip(masks, objects, strict=True)):
        if mask is None and not o.segmentation:
            text = "the object has no segmentation; left out (with --task object-detection it is kept)"
            annotations.findings.append(Finding("repair", "segmentation-missing", locate(i), text))
    kept = [i for i, mask in enumerate(masks) if mask is not None]
    if len(kept) < len(masks):
        annotations = annotations.take(kept)
    present = [mask for mask in masks if mask is not None]
    annotations.masks = present
    boxes = [objects[i].bbox or mask.box for i, mask in zip(kept, present, strict=True)]
    annotations.boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return annotations


def _with_boxes_of_masks(annotations: Annotations, objects: Sequence[_AnnotationWithMask]) -> Annotations:
    """The given boxes, and the tight ones of the masks where none are given."""
    masks = _masks(annotations, [o for o in objects if not o.bbox])
    lacking = iter(masks)
    boxes = [o.bbox or (mask.box if (mask := next(lacking)) else None) for o in objects]
    locate = annotations.locate
    assert locate is not None
    for i, box in enumerate(boxes):
        if box is None:
            text = "the object has neither a bbox nor a segmentation to take it from"
            annotations.findings.append(Finding("error", "box-missing", locate(i), text))
    kept = [i for i, box in enumerate(boxes) if box is not None]
    annotations = annotations.take(kept)
    annotations.boxes = np.array([boxes[i] for i in kept], np.float64).reshape(-1, 4)
    return annotations


def _with_keypoints(
    annotations: Annotations, objects: Sequence[_AnnotationWithKeypoints], is_results: bool
) -> Annotations:
    """Keypoints with visibility 0, 1, 2 as scores 0, 0.5, 1; of results, scores are taken as they are."""
    locate = annotations.locate
    assert locate is not None
    kept, keypoints, boxes = [], [], []
    for i, o in enumerate(objects):
        if not o.keypoints:
            text = "the object has no keypoints; left out (with --task object-detection it is kept)"
            annotations.findings.append(Finding("repair", "keypoints-missing", locate(i), text))
            continue
        if len(o.keypoints) % 3:
            text = f"{len(o.keypoints)} numbers in keypoints; they come in threes of x, y, visibility"
            annotations.findings.append(Finding("error", "broken-keypoints", locate(i), text))
            continue
        points = np.array(o.keypoints).reshape(-1, 3)
        if not is_results or (set(points[:, 2].tolist()) <= {0, 1, 2} and points[:, 2].max() == 2):
            points[:, 2] /= 2
        kept.append(i)
        keypoints.append(points)
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        boxes.append(o.bbox or (*low, *(high - low)))
    annotations = annotations.take(kept)
    annotations.keypoints = keypoints
    annotations.boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return annotations


_NO_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')


def _parse(path: Path) -> _Dataset | list[Raw]:
    """A COCO file, its annotations left as text. NaN and Infinity, which Python writes though JSON has none, are read
    as null, so that the annotations that hold them can be named."""
    try:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}", where=str(path), code="file-missing") from None
    is_list = content[:64].lstrip()[:1] == b"["
    decode = _RESULTS.decode if is_list else _DATASET.decode
    try:
        try:
            return decode(content)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if b"NaN" not in content and b"Infinity" not in content:
                raise
            content = _NO_JSON.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", content)
            return decode(content)
    except msgspec.ValidationError as error:
        raise ExportError(str(error), where=str(path), code="broken-json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        byte = re.search(r"\(byte (\d+)\)", str(error))
        line = content.count(b"\n", 0, int(byte[1]) if byte else len(content)) + 1
        raise ExportError(f"not JSON: {error}", where=f"{path}:{line}", code="broken-json") from None
