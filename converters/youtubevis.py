"""YouTube-VIS: tracks with a box or mask for each frame of a video, in JSON; also OVIS and UVO.

`videos` have `file_names`, one for each frame; `annotations` have `bboxes` and `segmentations`, an entry for each
frame. Where the object is not seen, the entry is null or an empty list, and is not counted. A results file is a bare
list of annotations with scores; the videos and categories that it refers to are in another file, given as --dataset.

Definition: https://youtube-vos.org/dataset/vis/
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from numpy.typing import NDArray

from labelferry.columns import Batch
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.coco import Segmented, masks_of_images
from labelferry.model import Annotations, Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request, in_batches
from labelferry.plugin.probe import Match, Probe, json_files, match_results
from labelferry.plugin.registry import register
from labelferry.reading.keys import key_evidence
from labelferry.reading.text import decode_part, json_fault, read_bytes_without_bom
from labelferry.task_type import TaskType

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec's decoders raise."""

_NONE = Raw(b"null")
_NULL = re.compile(rb"null|\[\s*\]")
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
    length: int | None = None


class _Track(Struct):
    """An annotation; its masks stay text until a worker needs them."""

    video_id: int | str
    category_id: Annotated[int, Meta(ge=-(2**53), le=2**53)]
    id: int | str | None = None
    score: float | UnsetType = UNSET
    bboxes: list[_Box | None] | None = None
    segmentations: list[Raw] | None = None
    areas: list[float | None] | None = None


class _Dataset(Struct):
    videos: list[Raw] | UnsetType = UNSET
    annotations: list[Raw] | UnsetType = UNSET
    categories: list[_Category] | UnsetType = UNSET


_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_IGNORED = {
    _Dataset: ("info", "licenses"),
    _Category: ("supercategory",),
    _Video: ("license", "coco_url", "flickr_url", "date_captured"),
    _Track: ("iscrowd", "width", "height", "length", "category", "occlusion"),
}
"""Keys of the format that are not read: no misspelt ones."""

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
        boxes: (N, 4), NaN where there is no box.
        scores: (N,), None if no track has one.
        segmentations: JSON list of those that masks are made of, null in place of the others; empty if no mask is to be
            made.
        size: width and height of the video, if given.
        found: entries that the file has for the frame, counted before anything is done with them.
    """

    category_ids: NDArray[np.int64]
    ids: tuple[int | str | None, ...]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64] | None
    segmentations: bytes
    size: tuple[int, int] | None
    found: int


@register("youtubevis")
class YouTubeVis(Adapter):
    """Reads YouTube-VIS JSON."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
    also_called = ("youtube-vis", "ytvis", "ovis", "uvo")

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

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        datasets = []
        for path in json_files(probe):
            head = probe.head(path)
            if b'"videos"' in head and b'"file_names"' in head and b'"images"' not in head:
                datasets.append(path)
                tasks = cls.tasks if b'"segmentations"' in head else (TaskType.OBJECT_DETECTION,)
                images = cls(path).open(Request()).count_images() if probe.is_small(path) else None
                yield Match(path, "YouTube-VIS tracks", tasks, images)
        for path in json_files(probe):
            head = probe.head(path)
            if head.lstrip()[:1] == b"[" and b'"video_id"' in head and b'"segmentations"' in head:
                yield match_results(path, "YouTube-VIS results", cls.tasks, datasets)

    def open(self, request: Request) -> Export:
        return _VisExport(self.path, self.dataset, request)


class _VisExport(Export):
    """Videos and their tracks. The entries of a frame travel to workers with its image."""

    def __init__(self, path: Path, dataset: Path | None, request: Request) -> None:
        self._path = str(path)
        self._unread: Counter[str] = Counter()
        content, is_results = _parse(path, self._unread)
        if is_results and dataset is None:
            text = "a results file, a bare list; name the file with the videos and categories with --dataset"
            raise ExportError(text, where=str(path), code="results-without-dataset")
        base = content if dataset is None else _parse(dataset, self._unread)[0]
        if base.videos is UNSET or base.categories is UNSET or content.annotations is UNSET:
            text = "it needs 'videos', 'categories' and 'annotations'; is it a YouTube-VIS file?"
            raise ExportError(text, where=str(path), code="not-youtubevis")
        self._findings: list[Finding] = []
        self._videos = _read_videos(base.videos, dataset or path, self._findings, self._unread)
        self._not_listed = sum(finding.lost_images + finding.merged_images for finding in self._findings)
        tracks = _read_tracks(content.annotations, self._videos, path, self._findings, self._unread)
        self._tracks: dict[int | str, list[_Track]] = {}
        for track in tracks:
            self._tracks.setdefault(track.video_id, []).append(track)
        self._has_scores = any(track.score is not UNSET for track in tracks)
        if is_results and tracks and not self._has_scores:
            text = "no result has a score, which results of YouTube-VIS have; the one of --score is taken"
            self._findings.append(Finding.warning("results-without-scores", str(path), text, len(tracks)))
        has_masks = any(not _is_null(mask) for track in tracks for mask in track.segmentations or ())
        super().__init__(
            request,
            YouTubeVis.tasks if has_masks else (TaskType.OBJECT_DETECTION,),
            [Category(category.id, category.name) for category in base.categories],
            [str(path)] if dataset is None else [str(path), str(dataset)],
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_videos": {}, "_tracks": {}, "_findings": []}

    def count_images(self) -> int:
        return self._not_listed + sum(len(video.file_names) for video in self._videos.values())

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(Counter(evidence) + self._unread)

    def images(self) -> Iterator[Image | Finding]:
        yield from self._findings
        boxes_suffice = self.source_task is TaskType.OBJECT_DETECTION
        for video in self._videos.values():
            tracks = self._tracks.get(video.id, [])
            found = _objects_by_frame(tracks, len(video.file_names))
            size = (video.width, video.height) if video.width and video.height else None
            stems = [os.path.splitext(name)[0] for name in video.file_names]
            numbers = [_NUMBER.search(stem) for stem in stems]
            for place, name in enumerate(video.file_names):
                # names hold the frame's number in the video, of which every fifth is labelled
                number = numbers[place]
                frame = int(number[1]) if number and all(numbers) else place
                named = video.name or os.path.dirname(name.replace("\\", "/")) or str(video.id)
                source = _source(tracks, place, size, found[place], boxes_suffice, self._has_scores)
                yield Image(name, source, VideoFrame(named, frame))

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        return in_batches(images, self._labels_of(images))

    def _labels_of(self, images: Sequence[Image]) -> Iterator[Annotations | Finding]:
        drafts = [self._draft(image) for image in images]
        sizes = [(0, 0) if isinstance(labels, Finding) or labels.size is None else labels.size for labels, _ in drafts]
        drawn = masks_of_images(
            [segmentations for _, segmentations in drafts],
            sizes,
            lambda image, place: self._where(images[image], place),
        )
        for (labels, segmentations), segmented in zip(drafts, drawn, strict=True):
            if isinstance(labels, Annotations) and segmentations:
                labels = self._with_masks(labels, segmented)
            yield labels

    def _draft(self, image: Image) -> tuple[Annotations | Finding, list[Any]]:
        """The labels of an image without masks, and what these are made of; or why it cannot be read."""
        source: _Source = image.source
        size = source.size or image.size
        if size is None:
            text = "the file gives the video no width and height"
            return Finding.error("image-size", self._path, text, lost=source.found), []
        segmentations = []
        if source.segmentations:
            try:
                segmentations = decode_part(_SEGMENTATIONS, source.segmentations, self._where(image, 0))
            except ExportError as error:
                return Finding.error(error.code, error.where, error.message, lost=source.found), []
        labels = Annotations(source.category_ids, size, source.boxes, source.scores, found=source.found)
        labels.locate = partial(self._where, image)
        return labels, segmentations

    def _with_masks(self, labels: Annotations, drawn: Segmented) -> Annotations:
        """The labels with masks, or with the boxes around them where there are no others."""
        assert labels.boxes is not None
        assert labels.locate is not None
        labels.findings += drawn.findings
        has_box = ~np.isnan(labels.boxes[:, 0])
        suffices = has_box & (self.source_task is TaskType.OBJECT_DETECTION)
        rows, masks = drawn.rows, drawn.masks
        for i in drawn.missing:
            if not suffices[i]:
                text = "an entry without a mask; left out"
                if has_box[i]:
                    text = "a box without a mask; left out (with --task object-detection it is kept)"
                labels.findings.append(Finding.repair("segmentation-missing", labels.locate(i), text, lost=1))
        if self.source_task is TaskType.OBJECT_DETECTION:
            is_empty = masks.is_empty()
            for i in rows[is_empty].tolist():
                text = "the entry has no box, and its mask has no pixel; dropped"
                labels.findings.append(Finding.repair("mask-empty", labels.locate(i), text, lost=1))
            rows, masks = rows[~is_empty], masks.take(np.flatnonzero(~is_empty))
        boxes, kept = labels.boxes.copy(), suffices
        boxes[rows] = np.where(has_box[rows, None], boxes[rows], masks.boxes())
        kept[rows] = True
        labels.boxes = boxes
        labels = labels.take(np.flatnonzero(kept).tolist())
        labels.masks = None if self.source_task is TaskType.OBJECT_DETECTION else masks
        return labels

    def _where(self, image: Image, place: int) -> str:
        return f"{self._path}, annotation id {image.source.ids[place]}, {image.file_name}"


def _read_videos(raws: list[Raw], path: Path, findings: list[Finding], unread: Counter[str]) -> dict[int | str, _Video]:
    """Videos by their id. One that is listed twice counts once; different ones of one id are left out, as it is not
    known whose tracks are whose."""
    videos: dict[int | str, list[_Video]] = {}
    for index, raw in enumerate(raws):
        _count_keys(_Video, raw, unread)
        try:
            video = _VIDEO.decode(raw)
        except _UNDECODABLE as error:
            lost = _count_names(raw)
            findings.append(Finding.error("broken-video", f"{path}, video {index}", str(error), lost_images=lost))
            continue
        videos.setdefault(video.id, []).append(video)
    for id, group in videos.items():
        where, frames = f"{path}, video id {id}", [len(video.file_names) for video in group]
        if len(group) > 1 and all(video == group[0] for video in group):
            text = f"the video is listed {len(group)} times; counted once"
            findings.append(Finding.repair("video-twice", where, text, merged_images=sum(frames[1:])))
        elif len(group) > 1:
            text = f"{len(group)} videos have this id: whose tracks are whose?"
            findings.append(Finding.error("video-id-twice", where, text, lost_images=sum(frames)))
        elif group[0].length not in (None, frames[0]):
            text = f"its length is {group[0].length}, and file_names has {frames[0]} names"
            findings.append(Finding.warning("video-length", where, text))
    return {id: group[0] for id, group in videos.items() if all(video == group[0] for video in group)}


def _read_tracks(
    raws: list[Raw], videos: Mapping[int | str, _Video], path: Path, findings: list[Finding], unread: Counter[str]
) -> list[_Track]:
    """Tracks of these videos, each with an entry for every frame, and with a score if any has one."""
    tracks: list[tuple[_Track, str, Raw]] = []
    for index, raw in enumerate(raws):
        _count_keys(_Track, raw, unread)
        where = f"{path}, annotation {index}"
        try:
            track = _TRACK.decode(raw)
        except _UNDECODABLE as error:
            findings.append(Finding.error("broken-annotation", where, str(error), lost=_count_objects(raw)))
            continue
        where += f" (id {track.id})" if track.id is not None else ""
        video = videos.get(track.video_id)
        if video is None:
            text = f"video_id {track.video_id!r} is not the id of any video that is read"
            findings.append(Finding.error("unknown-video", where, text, lost=_count_objects(raw)))
            continue
        lengths = {len(column) for column in (track.bboxes, track.segmentations) if column is not None}
        if lengths != {len(video.file_names)}:
            have = " and ".join(map(str, sorted(lengths))) or "no"
            text = f"{have} entries in bboxes and segmentations, the video has {len(video.file_names)} frames"
            findings.append(Finding.error("track-length", where, text, lost=_count_objects(raw)))
            continue
        if areas := _count_areas_alone(track):
            text = f"areas has values for {areas} frames for which neither bboxes nor segmentations has one"
            findings.append(Finding.warning("area-alone", where, text, areas))
        tracks.append((track, where, raw))
    if any(track.score is not UNSET for track, _, _ in tracks):
        text = "it has no score, other annotations of the file have one"
        for track, where, raw in tracks:
            if track.score is UNSET:
                findings.append(Finding.error("score-missing", where, text, lost=_count_objects(raw)))
        return [track for track, _, _ in tracks if track.score is not UNSET]
    return [track for track, _, _ in tracks]


def _count_keys(kind: type[Struct], raw: Raw, unread: Counter[str]) -> None:
    """Count the keys of a record that are not read."""
    try:
        given = _FIELDS.decode(raw).keys()
    except _UNDECODABLE:  # which is reported when the record is read
        return
    known = kind.__struct_fields__
    missing = tuple(name for name in known if name not in given)
    unread.update(key_evidence(key, missing, _IGNORED[kind]) for key in given if key not in known)


def _count_names(video: Raw) -> int:
    """How many frames a broken video names."""
    try:
        names = msgspec.json.decode(_FIELDS.decode(video)["file_names"])
    except (*_UNDECODABLE, KeyError):
        return 0
    return len(names) if isinstance(names, list) else 0


def _is_null(mask: Raw) -> bool:
    return _NULL.fullmatch(mask) is not None


def _count_objects(annotation: Raw) -> int:
    """Entries of an annotation that are not null, whatever else is wrong with it."""
    try:
        content = msgspec.json.decode(bytes(annotation).decode(errors="replace"))
    except _UNDECODABLE:
        return 0
    columns = [content.get(name) for name in ("bboxes", "segmentations")] if isinstance(content, dict) else []
    entries = zip_longest(*(column for column in columns if isinstance(column, list)))
    return sum(any(entry not in (None, []) for entry in of_frame) for of_frame in entries)


def _count_areas_alone(track: _Track) -> int:
    """Frames for which a track has an area, and neither box nor mask."""
    columns = zip_longest(track.areas or (), track.bboxes or (), track.segmentations or ())
    return sum(bool(area) and box is None and (mask is None or _is_null(mask)) for area, box, mask in columns)


def _objects_by_frame(tracks: list[_Track], frames: int) -> list[int]:
    """How many entries that are not null tracks have for each frame of a video."""
    found = [0] * frames
    for track in tracks:
        for place, (box, mask) in enumerate(zip_longest(track.bboxes or (), track.segmentations or ())):
            found[place] += box is not None or not (mask is None or _is_null(mask))
    return found


def _source(
    tracks: list[_Track],
    place: int,
    size: tuple[int, int] | None,
    found: int,
    boxes_suffice: bool,
    has_scores: bool,
) -> _Source:
    """What the tracks have at one frame; where boxes suffice, without the masks of objects that have one."""
    seen, boxes, masks = [], [], []
    for track in tracks:
        box = track.bboxes[place] if track.bboxes else None
        mask = track.segmentations[place] if track.segmentations else _NONE
        if box is not None or not _is_null(mask):
            seen.append(track)
            boxes.append(box or (np.nan,) * 4)
            masks.append(_NONE if box is not None and boxes_suffice else mask)
    return _Source(
        np.array([track.category_id for track in seen], np.int64),
        tuple([track.id for track in seen]),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([track.score for track in seen], np.float64) if has_scores else None,
        b"" if all(mask is _NONE for mask in masks) and (boxes_suffice or not seen) else b"[" + b",".join(masks) + b"]",
        size,
        found,
    )


def _parse(path: Path, unread: Counter[str]) -> tuple[_Dataset, bool]:
    """A file, and whether it is a bare list of results; keys that are not read are counted."""
    content = read_bytes_without_bom(path)
    is_results = content[:64].lstrip()[:1] == b"["
    try:
        if is_results:
            return _Dataset(annotations=_LIST.decode(content)), True
        dataset, fields = _DATASET.decode(content), _FIELDS.decode(content)
        _count_keys(_Dataset, Raw(content), unread)
        for category in _LIST.decode(fields["categories"]) if "categories" in fields else ():
            _count_keys(_Category, category, unread)
        return dataset, False
    except _UNDECODABLE as error:
        raise json_fault(error, path, content) from None
