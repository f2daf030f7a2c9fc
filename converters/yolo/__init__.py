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
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

from labelferry.converters.yolo.layout import (
    Layout,
    find_entry,
    is_label_file,
    labels_folder_of,
    list_images,
    list_labels,
    list_named_images,
    read_layout,
    relative_name,
)
from labelferry.converters.yolo.lines import read_rows
from labelferry.converters.yolo.shapes import around, boxes_of, polygons_of, poses_of
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, File, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, image_size
from labelferry.reading.text import read_text
from labelferry.task_type import TaskType

SAMPLE = 200
"""Images whose label files tell what kind of labels the export has."""

_FRAME = re.compile(r"(.+)_(\d+)")


class _Source(NamedTuple):
    """An image, None of a video's frame, and its label file, if it has one."""

    image: File | None
    label: File | None


@register("yolo")
class Yolo(Adapter):
    """Reads YOLO labels and predictions."""

    tasks = (TaskType.KEYPOINT_DETECTION, TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
    first_frame = 1

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
        self._layout: Layout | None = None
        self._has_polygons: bool | None = None

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
        rows = [row for label in labels[:SAMPLE] for row in read_rows(label, False)[0]]
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

    def get_tasks(self) -> tuple[TaskType, ...]:
        if self._read().keypoint_shape:
            return (TaskType.KEYPOINT_DETECTION,)
        if self._holds_polygons():
            return (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
        return (TaskType.OBJECT_DETECTION,)

    def get_categories(self) -> list[Category]:
        return self._read().names

    def get_images(self) -> Iterator[Image]:
        layout = self._read()
        if self.as_frames:
            for stem, path in list_labels(layout, self.labels):
                match = _FRAME.fullmatch(stem)
                frame = VideoFrame(match[1], int(match[2]) * self.vid_stride) if match else None
                yield Image(stem, _Source(None, File(path)), frame)
            return
        root = os.path.abspath(self.images or layout.root)
        seen: set[str] = set()  # splits may share images, as val is often the same as train
        for split in layout.splits:
            for one in list_images(split, self.labels):
                if isinstance(one, Finding):
                    self.findings.append(one)
                    continue
                image, label = one
                if len(layout.splits) > 1:
                    if image in seen:
                        continue
                    seen.add(image)
                yield Image(relative_name(image, root), _Source(File(image), File(label) if label else None))

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        width, height = image.size or image_size(source.image or "")
        if source.label is None:
            return Annotations.empty((width, height))
        path = source.label
        rows, lines, findings = read_rows(path, self.track_ids)
        if not rows:
            return Annotations.empty((width, height), findings)
        shape = self._read().keypoint_shape
        if shape:
            return poses_of(rows, lines, findings, path, (width, height), shape, self.task)
        if all(len(row) < 7 for row in rows):
            if self.task is TaskType.OBJECT_DETECTION:
                return boxes_of(rows, lines, findings, path, (width, height))
        elif self.obb:
            rows = [around(row) for row in rows]
            return boxes_of(rows, lines, findings, path, (width, height))
        return polygons_of(rows, lines, findings, path, (width, height), self.task)

    def _read(self) -> Layout:
        if self._layout is None:
            self._layout = read_layout(self.path, self.split, self.as_frames)
            self.findings += self._layout.findings
        return self._layout

    def _holds_polygons(self) -> bool:
        """Whether the first label files hold polygons."""
        if self._has_polygons is None:
            self._has_polygons = False
            layout = self._read()
            images = (one for split in layout.splits for one in list_images(split, self.labels))
            pairs = (one for one in images if not isinstance(one, Finding))
            for _, label in islice(list_labels(layout, self.labels) if self.as_frames else pairs, SAMPLE):
                rows = read_rows(label, self.track_ids)[0] if label else []
                if any(len(row) >= 7 for row in rows) and not self.obb:
                    self._has_polygons = True
                    break
        return self._has_polygons
