"""YOLO: text files of normalised boxes, polygons, poses or oriented boxes, by Ultralytics, Darknet and others.

A line an object, numbers relative to the image's width and height:

    class cx cy width height                  a box
    class x1 y1 x2 y2 x3 y3 ...               a polygon, or with --obb the four corners of an oriented box
    class cx cy width height x1 y1 v1 ...     a pose, with `kpt_shape` in data.yaml
    ... confidence                            any of them, as predictions have it

Predictions of videos, with --videos: a file VIDEO_N.txt for every frame with an object, numbered from 1.

Definition: https://docs.ultralytics.com/datasets/detect/ (and /segment/, /pose/, /obb/),
https://github.com/AlexeyAB/darknet#how-to-train-to-detect-your-custom-objects
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.converters.yolo.layout import (
    LabelledImage,
    find_entry,
    is_label_file,
    labels_folder_of,
    list_images,
    list_labels,
    list_named_images,
    read_layout,
    relative_name,
)
from labelferry.converters.yolo.lines import count_lines, parse_boxes, parse_lines
from labelferry.converters.yolo.shapes import boxes_of, in_pixels, polygons_of, poses_of
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Annotations, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, image_size
from labelferry.reading.text import read_label_file, read_text
from labelferry.task_type import TaskType

SAMPLE = 200
"""Images whose label files tell what kind of labels the export has."""

SMALL = 1 << 16
"""Bytes of a label file that is read together with others."""

_FRAME = re.compile(r"(.+)_(\d+)")


@register("yolo")
class Yolo(Adapter):
    """Reads YOLO labels and predictions."""

    tasks = (TaskType.KEYPOINT_DETECTION, TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)

    def __init__(
        self,
        path: Path,
        *,
        split: Annotated[str | None, "Only this split, as train; by default all that data.yaml names."] = None,
        labels: Annotated[
            Path | None,
            "Folder of the label files, named as the images: for predictions, as Ultralytics' save_txt writes them.",
        ] = None,
        images: Annotated[
            Path | None,
            "The datasource's root: image names are relative to it; by default to the dataset's own root.",
        ] = None,
        obb: Annotated[
            bool, "Lines of four points are oriented boxes, not polygons: they become the upright boxes around them."
        ] = False,
        track_ids: Annotated[
            bool, "Lines end with a track id, as Ultralytics' model.track() writes them; it is left out."
        ] = False,
        vid_stride: Annotated[
            int, "Ultralytics' vid_stride, where a video was predicted with one: every Nth frame."
        ] = 1,
    ) -> None:
        self.path = path
        self.split = split
        self.labels = labels
        self.images = images
        self.obb = obb
        self.track_ids = track_ids
        self.vid_stride = vid_stride

    def open(self, request: Request) -> Export:
        return _YoloExport(self, request)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir and probe.path.suffix.lower() not in (".yaml", ".yml", ".data", ".txt", ".names"):
            return
        entry = find_entry(probe.path)
        layout = read_layout(probe.path)
        images, exact, labels = 0, True, list[str]()
        for split in layout.splits:
            if split.listing is not None:
                names = [line for line in read_text(split.listing).splitlines() if line.strip()]
                listed = list_named_images(split, split.listing, None)
                labels += [label for _, label in islice(listed, SAMPLE) if label]
                images += len(names)
                continue
            names, whole = probe.files(split.folder, IMAGE_EXTENSIONS, known=True)
            folder = labels_folder_of(split.folder)
            texts, _ = probe.files(folder, frozenset((".txt",)), known=True)
            labels += [f"{folder}/{name}" for name in texts if is_label_file(name[:-4])]
            images, exact = images + len(names), exact and whole
        rows = [row for content in _contents(labels[:SAMPLE]) for row in parse_lines(content, "", False).rows]
        if not images or (not rows and entry.suffix.lower() in (".txt", ".names")):
            return
        kind = {".data": "Darknet", ".txt": "plain folders", ".names": "plain folders"}.get(
            entry.suffix.lower(), "Ultralytics"
        )
        question, shapes = "", "boxes"
        tasks: tuple[TaskType, ...] = (TaskType.OBJECT_DETECTION,)
        if layout.keypoint_shape:
            shapes, tasks = "poses", (TaskType.KEYPOINT_DETECTION,)
        elif any(len(row) >= 7 for row in rows):
            shapes, tasks = "polygons", (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
            if all(len(row) in (9, 10) for row in rows):
                question = "each object has four points: a polygon, or with --obb an oriented box"
        yield Match(probe.path, f"YOLO {shapes}, {kind}", tasks, images, exact, {}, question)


class _YoloExport(Export):
    """An export. `source` of an image is the path of its label file; None: it has none."""

    first_frame = 1

    def __init__(self, adapter: Yolo, request: Request) -> None:
        layout = read_layout(adapter.path, adapter.split, request.frames)
        self._layout = layout
        self._labels = adapter.labels
        self._frames = request.frames
        self._root = os.path.abspath(adapter.images or layout.root)
        self._vid_stride = adapter.vid_stride
        self._track_ids = adapter.track_ids
        self._shape = layout.keypoint_shape
        are_boxes, has_polygons = (False, False) if self._shape else self._look_at_sample()
        tasks = [TaskType.OBJECT_DETECTION]
        if self._shape:
            tasks.insert(0, TaskType.KEYPOINT_DETECTION)
        elif has_polygons and not adapter.obb:
            tasks.insert(0, TaskType.INSTANCE_SEGMENTATION)
        super().__init__(request, tasks, layout.names, layout.files)
        has_only_boxes = are_boxes and not self._track_ids
        self._read_together = has_only_boxes and self.source_task is TaskType.OBJECT_DETECTION

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layout": None}

    def images(self) -> Iterator[Image | Finding]:
        layout = self._layout
        yield from layout.findings
        if self._frames:
            for stem, label in list_labels(layout, self._labels):
                match = _FRAME.fullmatch(stem)
                frame = VideoFrame(match[1], int(match[2]) * self._vid_stride) if match else None
                yield Image(stem, label, frame, files=(label,))
            return
        prefixes: dict[str, str] = {}  # of names, by folder
        seen: set[str] = set()  # splits may share images, as val is often the same as train
        for one in self._listed():
            if isinstance(one, Finding):
                yield one
                continue
            if len(layout.splits) > 1:
                if one.image in seen:
                    continue
                seen.add(one.image)
            folder, name = os.path.split(one.image)
            if folder not in prefixes:
                prefixes[folder] = relative_name(os.path.join(folder, "x"), self._root)[:-1]
            files = (one.image, one.label) if one.label else (one.image,)
            yield Image(prefixes[folder] + name, one.label, files=files)

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        return self._read_boxes(images) if self._read_together else super().read(images, payload)

    def labels(self, image: Image) -> Annotations:
        path: str | None = image.source
        content = b"" if path is None else read_label_file(path)
        found = count_lines(content)
        try:
            size = image.size or image_size(image.files[0])
        except ExportError as error:
            error.lost = found
            raise
        lines = parse_lines(content, path or "", self._track_ids)
        if self._shape:
            annotations = poses_of(lines, size, self._shape, self.source_task is TaskType.OBJECT_DETECTION)
        elif self.source_task is TaskType.OBJECT_DETECTION:
            annotations = boxes_of(lines, size)
        else:
            annotations = polygons_of(lines, size)
        annotations.found = found
        return annotations

    def _read_boxes(self, images: Sequence[Image]) -> Iterator[Batch]:
        """Label files of boxes, many at once; others one by one."""
        are_read, contents, sizes = [], [], []
        for image in images:
            content, size = b"", UNKNOWN
            try:
                if image.source is not None:
                    content = read_label_file(image.source)
                size = image.size or image_size(image.files[0])
                is_read = len(content) <= SMALL
            except ExportError:
                is_read = False
            are_read.append(is_read)
            contents.append(content if is_read else b"")
            sizes.append(size)
        lines = parse_boxes(contents)
        counts = np.diff(lines.bounds)
        owners = np.repeat(np.arange(len(images)), counts)
        has_score = ~np.isnan(lines.scores)
        scored = np.bincount(owners, has_score, len(images)) > 0
        scores = None
        is_plain = lines.is_plain & np.array(are_read, np.bool_)
        if scored.any():  # the columns of a batch are those of each of its images
            scores = np.where(has_score, lines.scores, 1.0)
            is_plain &= scored | (counts == 0)
        places = lines.bounds.tolist()

        def locate(row: int) -> str:
            b = int(np.searchsorted(lines.bounds, row, side="right")) - 1
            return f"{images[b].source}:{row - places[b] + 1}"

        all_sizes = np.array(sizes, np.int64).reshape(-1, 2)
        batch = Batch(
            [image.file_name for image in images],
            all_sizes,
            lines.bounds,
            lines.class_ids,
            in_pixels(lines.boxes, all_sizes[owners].astype(np.float64)),
            scores,
            found=counts,
            locate=locate,
        )
        yield from self.read_others(images, batch, is_plain.tolist())

    def _listed(self) -> Iterator[LabelledImage | Finding]:
        for split in self._layout.splits:
            yield from list_images(split, self._labels)

    def _look_at_sample(self) -> tuple[bool, bool]:
        """Whether most of the first label files hold boxes in the usual form, and whether any holds polygons."""
        if self._frames:
            labels = (label for _, label in list_labels(self._layout, self._labels))
        else:
            labels = (one.label or "" for one in self._listed() if isinstance(one, LabelledImage))
        small, count, has_polygons = list[bytes](), 0, False
        for content in _contents(label for label in islice(labels, SAMPLE) if label):
            count += 1
            if len(content) <= SMALL:
                small.append(content)
            else:
                has_polygons = has_polygons or _holds_polygons(content, self._track_ids)
        is_plain = parse_boxes(small).is_plain.tolist()
        others = [content for content, plain in zip(small, is_plain, strict=True) if not plain]
        has_polygons = has_polygons or any(_holds_polygons(content, self._track_ids) for content in others)
        return 2 * sum(is_plain) >= count, has_polygons


def _contents(labels: Iterable[str]) -> Iterator[bytes]:
    """Label files, as far as they can be read; for the others there is an error when the labels are read."""
    for label in labels:
        with suppress(ExportError):
            yield read_label_file(label)


def _holds_polygons(content: bytes, track_ids: bool) -> bool:
    return any(len(row) >= 7 for row in parse_lines(content, "", track_ids).rows)
