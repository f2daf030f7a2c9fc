"""YouTube-VIS: tracks with a box or mask for each frame of a video, in JSON; also OVIS and UVO.

`videos` have `file_names`, one a frame; `annotations` have `bboxes` and `segmentations`, an entry a frame, null where
the object is not seen. A results file is a bare list of annotations with scores; the videos and categories that it
speaks of come from another file, given as --dataset.

Definition: https://youtube-vos.org/dataset/vis/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from numpy.typing import NDArray

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations, Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe, json_files, match_results
from labelferry.plugin.registry import register
from labelferry.reading.text import decode_part, json_fault, read_bytes_without_bom
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

_NONE = Raw(b"null")
_NUMBER = re.compile(r"(\d+)$")
_Box = tuple[float, float, float, float]


class _Category(Struct):
    id: Annotated[int, Meta(ge=-(2**53), le=2**53)]
    name: str


class _Video(Struct):
    id: int | str
    file_names: list[str]
    name: str | None = None
    width: int | None = None
    height: int | None = None


class _Track(Struct):
    """An annotation; its masks stay text until a worker needs them."""

    video_id: int | str
    category_id: Annotated[int, Meta(ge=-(2**53), le=2**53)]
    id: int | str | None = None
    score: float | None = None
    bboxes: list[_Box | None] | None = None
    segmentations: list[Raw] | None = None


class _Dataset(Struct):
    videos: list[Raw] | UnsetType = UNSET
    annotations: list[Raw] | UnsetType = UNSET
    categories: list[_Category] | UnsetType = UNSET


_DATASET = msgspec.json.Decoder(_Dataset)
_LIST = msgspec.json.Decoder(list[Raw])
_VIDEO = msgspec.json.Decoder(_Video)
_TRACK = msgspec.json.Decoder(_Track)
_SEGMENTATIONS = msgspec.json.Decoder(list[Any])


class _Source(NamedTuple):
    """The tracks that have an entry for a frame.

    Attributes:
        category_ids: (N,) of the tracks.
        ids: the annotations' ids.
        boxes: (N, 4), NaN where there is none.
        scores: (N,), None if the file has none.
        segmentations: JSON list of them.
        size: width and height of the video, if given.
    """

    category_ids: NDArray[np.int64]
    ids: tuple[int | str | None, ...]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64] | None
    segmentations: bytes
    size: tuple[int, int] | None


class _Export(NamedTuple):
    videos: list[_Video]
    categories: list[Category]
    tracks: dict[int | str, list[_Track]]
    has_masks: bool
    findings: list[Finding]


@register("youtubevis")
class YouTubeVis(Adapter):
    """Reads YouTube-VIS JSON."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)

    def __init__(
        self,
        path: Path,
        *,
        dataset: Annotated[
            Path | None, "For a results file: the file with the videos and categories that it refers to."
        ] = None,
    ) -> None:
        self.path = path
        self.dataset = dataset
        self._export: _Export | None = None

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        datasets = []
        for path in json_files(probe):
            head = probe.head(path)
            if b'"videos"' in head and b'"file_names"' in head and b'"images"' not in head:
                datasets.append(path)
                tasks = cls.tasks if b'"segmentations"' in head else (TaskType.OBJECT_DETECTION,)
                images = cls(path).count_images() if probe.is_small(path) else None
                yield Match(path, "YouTube-VIS tracks", tasks, images)
        for path in json_files(probe):
            head = probe.head(path)
            if head.lstrip()[:1] == b"[" and b'"video_id"' in head and b'"segmentations"' in head:
                yield match_results(path, "YouTube-VIS results", cls.tasks, datasets)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_export": None}

    def get_tasks(self) -> tuple[TaskType, ...]:
        return self.tasks if self._read().has_masks else (TaskType.OBJECT_DETECTION,)

    def get_categories(self) -> list[Category]:
        return self._read().categories

    def count_images(self) -> int:
        return sum(len(video.file_names) for video in self._read().videos)

    def get_images(self) -> Iterator[Image]:
        export = self._read()
        self.findings += export.findings
        for video in export.videos:
            tracks = export.tracks.get(video.id, [])
            size = (video.width, video.height) if video.width and video.height else None
            stems = [os.path.splitext(name)[0] for name in video.file_names]
            numbers = [_NUMBER.search(stem) for stem in stems]
            for place, name in enumerate(video.file_names):
                # names hold the frame's number in the video, of which every fifth is labelled
                number = numbers[place]
                frame = int(number[1]) if number and all(numbers) else place
                named = video.name or os.path.dirname(name.replace("\\", "/")) or str(video.id)
                yield Image(name, _source(tracks, place, size), VideoFrame(named, frame))

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        size = source.size or image.size
        if size is None:
            text = "the file gives the video no width and height"
            raise ExportError(text, where=str(self.path), code="image-size")
        locate = partial(_locate, str(self.path), image.file_name, source.ids)
        annotations = Annotations(source.category_ids, size, source.boxes, source.scores, locate=locate)
        lacking: NDArray[np.bool_] = np.isnan(source.boxes[:, 0])
        if not len(annotations) or (self.task is TaskType.OBJECT_DETECTION and not lacking.any()):
            return annotations
        segmentations = decode_part(_SEGMENTATIONS, source.segmentations, locate(0))
        found = masks_of_image(segmentations, size, locate)
        annotations.findings += found.findings
        masks: list[RunLengthMask | None] = [None] * len(segmentations)
        for i, mask in zip(found.rows.tolist(), found.masks, strict=True):
            masks[i] = mask
        for i in found.missing:
            if lacking[i] or self.task is not TaskType.OBJECT_DETECTION:
                text = "a box without a mask; left out (with --task object-detection it is kept)"
                annotations.findings.append(Finding("repair", "segmentation-missing", locate(i), text))
        tight = np.array([(np.nan,) * 4 if mask is None else mask.box for mask in masks], np.float64).reshape(-1, 4)
        annotations.boxes = np.where(lacking[:, None], tight, source.boxes)
        annotations.masks = masks if self.task is not TaskType.OBJECT_DETECTION else None  # type: ignore[assignment]
        kept = [i for i, mask in enumerate(masks) if mask is not None or (annotations.masks is None and not lacking[i])]
        return annotations.take(kept)

    def _read(self) -> _Export:
        if self._export is None:
            content, is_results = _parse(self.path)
            base = content
            if self.dataset is not None:
                base, _ = _parse(self.dataset)
            elif is_results:
                text = "a results file, a bare list; name the file with the videos and categories with --dataset"
                raise ExportError(text, where=str(self.path), code="results-without-dataset")
            if base.videos is UNSET or base.categories is UNSET or content.annotations is UNSET:
                text = "it needs 'videos', 'categories' and 'annotations'; is it a YouTube-VIS file?"
                raise ExportError(text, where=str(self.path), code="not-youtubevis")
            findings: list[Finding] = []
            videos: dict[int | str, _Video] = {}
            for index, raw in enumerate(base.videos):
                where = f"{self.dataset or self.path}, video {index}"
                try:
                    video = _VIDEO.decode(raw)
                except msgspec.MsgspecError as error:
                    findings.append(Finding("error", "broken-video", where, str(error)))
                    continue
                if videos.setdefault(video.id, video) is not video:
                    text = f"two videos have the id {video.id}"
                    findings.append(Finding("error", "video-id-twice", where, text))
            tracks, has_masks = self._tracks(content.annotations, videos, findings)
            categories = [Category(category.id, category.name) for category in base.categories]
            self._export = _Export(list(videos.values()), categories, tracks, has_masks, findings)
        return self._export

    def _tracks(
        self, annotations: list[Raw], videos: dict[int | str, _Video], findings: list[Finding]
    ) -> tuple[dict[int | str, list[_Track]], bool]:
        """Tracks by their video, each with an entry for every frame; and whether any has a mask."""
        tracks: dict[int | str, list[_Track]] = {}
        has_masks = False
        for index, raw in enumerate(annotations):
            where = f"{self.path}, annotation {index}"
            try:
                track = _TRACK.decode(raw)
            except msgspec.MsgspecError as error:
                findings.append(Finding("error", "broken-annotation", where, str(error)))
                continue
            where += f" (id {track.id})" if track.id is not None else ""
            video = videos.get(track.video_id)
            if video is None:
                text = f"video_id {track.video_id!r} is not the id of any video"
                findings.append(Finding("error", "unknown-video", where, text))
                continue
            lengths = {len(column) for column in (track.bboxes, track.segmentations) if column is not None}
            if lengths != {len(video.file_names)}:
                have = " and ".join(map(str, sorted(lengths))) or "no"
                text = f"{have} entries in bboxes and segmentations, the video has {len(video.file_names)} frames"
                findings.append(Finding("error", "track-length", where, text))
                continue
            has_masks = has_masks or any(bytes(mask) not in (b"null", b"[]") for mask in track.segmentations or ())
            tracks.setdefault(track.video_id, []).append(track)
        return tracks, has_masks


def _source(tracks: list[_Track], place: int, size: tuple[int, int] | None) -> _Source:
    """What the tracks have at one frame."""
    seen, boxes, masks = [], [], []
    for track in tracks:
        box = track.bboxes[place] if track.bboxes else None
        mask = track.segmentations[place] if track.segmentations else _NONE
        if box is not None or bytes(mask) not in (b"null", b"[]"):
            seen.append(track)
            boxes.append(box or (np.nan,) * 4)
            masks.append(mask)
    scores = None
    if any(track.score is not None for track in seen):
        scores = np.array([np.nan if track.score is None else track.score for track in seen])
    return _Source(
        np.array([track.category_id for track in seen], np.int64),
        tuple([track.id for track in seen]),
        np.array(boxes, np.float64).reshape(-1, 4),
        scores,
        b"[" + b",".join(masks) + b"]",
        size,
    )


def _parse(path: Path) -> tuple[_Dataset, bool]:
    """A file, and whether it is a bare list of results."""
    content = read_bytes_without_bom(path)
    is_results = content[:64].lstrip()[:1] == b"["
    try:
        return (_Dataset(annotations=_LIST.decode(content)) if is_results else _DATASET.decode(content)), is_results
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise json_fault(error, path, content) from None


def _locate(path: str, image: str, ids: tuple[int | str | None, ...], index: int) -> str:
    return f"{path}, annotation id {ids[index]}, {image}"
