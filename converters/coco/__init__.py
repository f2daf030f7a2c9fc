"""COCO: instances, person keypoints, results with scores, and panoptic.

One JSON file with `images`, `categories` and `annotations`; masks are polygons or run lengths, boxes are
[x, y, width, height] in pixels. A results file is a bare list of annotations with scores; the images and categories
that it refers to come from another file, given as --dataset. A folder of files, one for each split, is one export.

Definition: https://cocodataset.org/#format-data and https://cocodataset.org/#format-results
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Annotated, cast, get_args

from labelferry.converters.coco.export import CocoExport
from labelferry.converters.coco.folder import ROBOFLOW, SPLITS, is_of_coco, looks_like_dataset, open_folder
from labelferry.converters.coco.keypoints import KeypointValues
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe, json_files, match_results
from labelferry.plugin.registry import register
from labelferry.plugin.unsupported import other_format
from labelferry.task_type import TaskType


@register("coco")
class Coco(Adapter):
    """Reads COCO JSON."""

    tasks = (
        TaskType.KEYPOINT_DETECTION,
        TaskType.INSTANCE_SEGMENTATION,
        TaskType.OBJECT_DETECTION,
    )
    also_called = ("mscoco", "lvis", "objects365", "panoptic")

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
        split: Annotated[
            str | None, "Of a folder of COCO files: only this split, as train2017; by default all."
        ] = None,
        image_folders: Annotated[
            str | None,
            "Of a folder of COCO files: what is put before the names of a split's images, as 'images/{split}', or ''; "
            "by default the folder in which they are found.",
        ] = None,
        masks: Annotated[
            Path | None,
            "For panoptic: folder of the PNGs; by default the one beside the file that has its name.",
        ] = None,
        keypoint_values: Annotated[
            str | None,
            "What the third value of each keypoint is: 'visibility' (0, 1, 2) or 'scores'; by default what the values "
            "of the file show.",
        ] = None,
    ) -> None:
        self.path = path
        self.dataset = dataset
        self.images = images
        self.split = split
        self.image_folders = image_folders
        self.masks = masks
        self.keypoint_values = keypoint_values

    def open(self, request: Request) -> Export:
        if self.keypoint_values not in (None, *get_args(KeypointValues)):
            raise UsageError(f"--keypoint-values is visibility or scores, not {self.keypoint_values!r}")
        values = cast(KeypointValues | None, self.keypoint_values)
        if not self.path.is_dir():
            if self.split is not None or self.image_folders is not None:
                raise UsageError("--split and --image-folders are for a folder of COCO files, not for one file")
            return CocoExport(
                self.path,
                request,
                dataset=self.dataset,
                images=self.images,
                masks=self.masks,
                keypoint_values=values,
            )
        if self.dataset is not None:
            raise UsageError("--dataset is for a file of results, not for a folder")
        return open_folder(
            self.path,
            request,
            partial(CocoExport, keypoint_values=values),
            split=self.split,
            images=self.images,
            masks=self.masks,
            pattern=self.image_folders,
        )

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        own = _files_of_splits(probe)
        if own:
            yield cls._match_folder(probe, own)
        datasets, results = [], []
        for path in json_files(probe):
            head = probe.head(path)
            if path in own or (own and path.parent == own[0].parent and is_of_coco(path)):
                datasets.append(path)
            elif other_format(path, head):
                continue
            elif looks_like_dataset(head):
                datasets.append(path)
                yield cls._match_file(path, probe)
            elif head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"[" and b'"image_id"' in head and b'"category_id"' in head:
                results.append(path)
        for path in results:
            yield match_results(path, "COCO results", _tasks_seen(probe.head(path)), datasets)

    @classmethod
    def _match_file(cls, path: Path, probe: Probe) -> Match:
        images: int | None = None
        question = ""
        head = probe.head(path)
        tasks = _tasks_seen(head)
        if probe.is_small(path):
            try:
                export = cls(path).open(Request())
                images, tasks = export.count_images(), export.tasks
            except ExportError as error:
                if error.code != "mask-missing":
                    raise
                question = error.message
        kind = "panoptic" if b'"segments_info"' in head else "annotations"
        return Match(path, f"COCO {kind}", tasks, images, question=question)

    @classmethod
    def _match_folder(cls, probe: Probe, files: list[Path]) -> Match:
        images: int | None = None
        question = ""
        tasks = _tasks_seen(b"".join(map(probe.head, files)))
        if all(map(probe.is_small, files)):
            try:
                export = cls(probe.path).open(Request())
                images, tasks = export.count_images(), export.tasks
            except AmbiguousError as error:
                question = error.message
        return Match(probe.path, f"COCO annotations of {len(files)} splits", tasks, images, question=question)


def _files_of_splits(probe: Probe) -> list[Path]:
    """The files of a folder that has one for each split: as Roboflow and COCO arrange them."""
    if not probe.is_dir:
        return []
    roboflow = [probe.path / split / ROBOFLOW for split in SPLITS if (probe.path / split / ROBOFLOW).is_file()]
    if roboflow:
        return roboflow
    names, _, _ = probe.listing(probe.path / "annotations")
    return [probe.path / "annotations" / name for name in names if fnmatch(name, "instances_*.json")]


def _tasks_seen(content: bytes) -> tuple[TaskType, ...]:
    """What a sample of a file shows that it holds."""
    tasks: tuple[TaskType, ...] = (TaskType.OBJECT_DETECTION,)
    if re.search(rb'"segmentation":\s*(\[\s*\[|\{)|"segments_info"', content):
        tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
    if re.search(rb'"keypoints":\s*\[\s*[-\d]', content):
        tasks = (TaskType.KEYPOINT_DETECTION, *tasks)
    return tasks
