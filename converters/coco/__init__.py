"""COCO: instances, person keypoints, results with scores, and panoptic.

One JSON file with `images`, `categories` and `annotations`; masks are polygons or run lengths, boxes are
[x, y, width, height] in pixels. A results file is a bare list of annotations with scores; the images and categories
that it refers to come from another file, given as --dataset.

Definition: https://cocodataset.org/#format-data and https://cocodataset.org/#format-results
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from labelferry.converters.coco.export import CocoExport
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Request
from labelferry.plugin.probe import Match, Probe, json_files, match_results
from labelferry.plugin.registry import register
from labelferry.task_type import TaskType


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
            "Folder of the images: sizes that the file does not give are read there, absolute names below it become "
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

    def open(self, request: Request) -> CocoExport:
        return CocoExport(self, request)

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
                export = cls(path).open(Request())
                images, tasks = export.count_images(), export.tasks
            kind = "panoptic" if b'"segments_info"' in probe.head(path) else "annotations"
            yield Match(path, f"COCO {kind}", tasks, images)
        for path in results:
            yield match_results(path, "COCO results", _tasks_seen(probe.head(path)), datasets)


def _tasks_seen(content: bytes) -> tuple[TaskType, ...]:
    """What a sample of a file shows that it holds."""
    tasks: tuple[TaskType, ...] = (TaskType.OBJECT_DETECTION,)
    if re.search(rb'"segmentation":\s*(\[\s*\[|\{)|"segments_info"', content):
        tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
    if re.search(rb'"keypoints":\s*\[\s*[-\d]', content):
        tasks = (TaskType.KEYPOINT_DETECTION, *tasks)
    return tasks
