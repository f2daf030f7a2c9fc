"""A folder per class, with or without a folder per split above: image classification.

    pets/cat/1.jpg  pets/dog/2.jpg            or            pets/train/cat/1.jpg  pets/val/dog/2.jpg

Definition: https://pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html,
https://docs.ultralytics.com/datasets/classify/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files
from labelferry.reading.text import read_names
from labelferry.task_type import TaskType

SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


_NO_CLASSES = frozenset(
    (
        "images",
        "labels",
        "masks",
        "annotations",
        "jpegimages",
        "segmentationclass",
        "segmentationobject",
        "videos",
        "img1",
    )
)
"""Folders of other formats, which are no classes."""


@register("imagefolder")
class ImageFolder(Adapter):
    """Reads a folder per class."""

    tasks = (TaskType.CLASSIFICATION,)

    def __init__(
        self,
        path: Path,
        *,
        split: Annotated[str | None, "Only this folder of a split, as train."] = None,
        splits: Annotated[
            bool | None,
            "Whether the top folders are splits; by default they are if all of them have a split's name.",
        ] = None,
        labels: Annotated[
            Path | None, "File of the class names, one a line, where their order matters; by default alphabetical."
        ] = None,
    ) -> None:
        self.path = path
        self.split = split
        self.splits = splits
        self.labels = labels
        self._ids: dict[str, int] = {}

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir:
            return
        _, tops, _ = probe.listing(probe.path)
        are_splits = bool(tops) and SPLITS.issuperset(map(str.lower, tops))
        classes, images, exact = set[str](), 0, True
        for top in tops if are_splits else [""]:
            for name in probe.listing(probe.path / top)[1]:
                found = probe.listing(probe.path / top / name)[0]
                own = [file for file in found if os.path.splitext(file)[1].lower() in IMAGE_EXTENSIONS]
                if not own or len(own) < len(found) or name.lower() in _NO_CLASSES:
                    return
                classes.add(name)
                below, whole = probe.files(probe.path / top / name, IMAGE_EXTENSIONS)
                images, exact = images + len(below), exact and whole
        if len(classes) > 1:
            yield Match(probe.path, f"a folder for each of {len(classes)} classes", cls.tasks, images, exact)

    def get_categories(self) -> list[Category]:
        if self.labels is not None:
            names = read_names(self.labels)
        else:
            names = sorted({name for top in self._tops() for name in _folders(self.path / top)})
        if not names:
            raise ExportError("no folder of a class in it", where=str(self.path), code="no-labels")
        self._ids = {name: i for i, name in enumerate(names)}
        return [Category(i, name) for i, name in enumerate(names)]

    def get_images(self) -> Iterator[Image]:
        for top in self._tops():
            prefix = f"{top}/" if top else ""
            for name in find_files(self.path / top, IMAGE_EXTENSIONS):
                label, slash, _ = name.partition("/")
                where = f"{self.path}/{prefix}{name}"
                if not slash:
                    self.findings.append(
                        Finding("error", "class-missing", where, "the image lies in no class's folder")
                    )
                elif label not in self._ids:
                    text = f"the folder {label!r} is not named in {self.labels}"
                    self.findings.append(Finding("error", "unknown-category", where, text))
                else:
                    yield Image(prefix + name, self._ids[label])

    def get_labels(self, image: Image) -> Annotations:
        return Annotations(np.array([image.source], np.int64))

    def _tops(self) -> list[str]:
        """The folders of splits, or the path itself."""
        if not self.path.is_dir():
            raise ExportError("a folder was expected", where=str(self.path), code="no-labels")
        folders = _folders(self.path)
        are_splits = self.splits
        if are_splits is None:
            are_splits = self.split is not None or bool(folders and SPLITS.issuperset(map(str.lower, folders)))
        if not are_splits:
            return [""]
        if self.split is None:
            return folders
        if self.split not in folders:
            text = f"no split {self.split!r}; it has {', '.join(folders) or 'none'}"
            raise ExportError(text, where=str(self.path), code="no-split")
        return [self.split]


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
