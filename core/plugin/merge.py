"""Several exports as one: splits, shards, the parts of several annotators."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np

from labelferry.columns import Batch
from labelferry.errors import UsageError
from labelferry.findings import Finding
from labelferry.model import Category, Image, Listed, Refused
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.reading.images import is_video
from labelferry.task_type import TaskType, obtainable

Conflicts = Literal["refuse", "first", "last"]


class _Part(NamedTuple):
    """Which of the exports an image is of, and what that one wants to know of it."""

    place: int
    source: Any


class Merged(Adapter):
    """The images of several exports, with their categories merged by name.

    Args:
        adapters: of the exports, in order.
        conflicts: what to do about two exports that label one image: `refuse` is an error, `first` and `last` take the
            labels of the first or last of them. `refuse` also refuses one id for two names.
    """

    tasks = tuple(TaskType)

    def __init__(self, adapters: Sequence[Adapter], conflicts: Conflicts = "refuse") -> None:
        self.adapters = list(adapters)
        self.conflicts: Conflicts = conflicts

    def open(self, request: Request) -> Export:
        return _MergedExport(self.adapters, self.conflicts, request)


class _MergedExport(Export):
    """Several exports, opened for one task type that can be made of all of them."""

    def __init__(self, adapters: Sequence[Adapter], conflicts: Conflicts, request: Request) -> None:
        self._conflicts = conflicts
        self._frames = request.frames
        parts = [adapter.open(request) for adapter in adapters]
        tasks = _common_tasks(parts)
        if request.task is None:
            wanted = request._replace(task=tasks[0])
            parts = [
                part if part.task is wanted.task else adapter.open(wanted)
                for adapter, part in zip(adapters, parts, strict=True)
            ]
        self._parts = parts
        has_keypoints = parts[0].task is TaskType.KEYPOINT_DETECTION
        categories, self._ids = _merged_categories(parts, conflicts, has_keypoints)
        super().__init__(request, tasks, categories, [path for part in parts for path in part.files])
        self.has_sizes = all(part.has_sizes for part in parts)
        self.first_frame = parts[0].first_frame
        self.label_folders = tuple(folder for part in parts for folder in part.label_folders)
        self.chunk = min(part.chunk for part in parts)

    def count_images(self) -> int | None:
        counts = [part.count_images() for part in self._parts]
        return None if None in counts else sum(count or 0 for count in counts)

    def images(self) -> Iterator[Listed]:
        places = range(len(self._parts))
        seen: set[int] = set()
        for place in reversed(places) if self._conflicts == "last" else places:
            part = self._parts[place]
            own = array("q")
            for one in part.images():
                if isinstance(one, Finding):
                    yield one
                    continue
                image = self._of_part(one.image if isinstance(one, Refused) else one, place, part)
                if isinstance(one, Refused):
                    yield Refused(image, one.finding)
                    continue
                frame = image.frame
                key = hash((_stem(frame.video), frame.number) if frame and self._frames else image.file_name)
                if key in seen and self._conflicts != "refuse":
                    text = f"another export labels it too; the {self._conflicts} one's labels are taken"
                    yield Refused(image, Finding.note("labelled-twice", image.file_name, text))
                    continue
                own.append(key)
                yield image
            if self._conflicts != "refuse":  # else two labels for one image are found when their file is written
                seen.update(own)

    def payload(self, images: Sequence[Image]) -> dict[int, Any]:
        return {place: self._parts[place].payload(some) for place, some in _by_part(images)}

    def read(self, images: Sequence[Image], payload: dict[int, Any]) -> Iterator[Batch]:
        for place, some in _by_part(images):
            ids = self._ids[place]
            for batch in self._parts[place].read(some, payload[place]):
                merged = [ids.get(number, -1 - number) for number in batch.category_ids.tolist()]
                # probabilities are of the classes of one export each
                evidence = Counter({_named(name, place): count for name, count in batch.evidence.items()})
                ids_of_all = np.array(merged, np.int64)
                yield replace(batch, category_ids=ids_of_all, probabilities=None, evidence=evidence)

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        for place, part in enumerate(self._parts):
            end = _named("", place)
            yield from part.judge({name.removesuffix(end): n for name, n in evidence.items() if name.endswith(end)})

    def _of_part(self, image: Image, place: int, part: Export) -> Image:
        """The image as one of several exports: its frame counted as the first of them counts."""
        frame = image.frame
        if frame is not None:
            frame = frame._replace(number=frame.number - part.first_frame + self.first_frame)
        return image._replace(source=_Part(place, image.source), frame=frame)


def _named(evidence: str, place: int) -> str:
    """The name that the evidence of one of the exports has among that of all."""
    return f"{evidence} (export {place + 1})"


def _by_part(images: Sequence[Image]) -> Iterator[tuple[int, list[Image]]]:
    """The images of each export, as it has listed them; those of one export follow each other."""
    for place, group in groupby(images, lambda image: image.source.place):
        yield place, [image._replace(source=image.source.source) for image in group]


def _common_tasks(parts: Sequence[Export]) -> tuple[TaskType, ...]:
    """The task types that can be made of all exports, richest first."""
    each = [obtainable(part.tasks) for part in parts]
    common = tuple(task for task in each[0] if all(task in tasks for tasks in each))
    if not common:
        held = "; ".join(", ".join(part.tasks) for part in parts)
        raise UsageError(f"no task type can be made of all exports; they hold: {held}")
    return common


def _merged_categories(
    parts: Sequence[Export], conflicts: Conflicts, has_keypoints: bool
) -> tuple[list[Category], list[dict[int, int]]]:
    """The categories of all exports, and of each export its ids with those that they become.

    Args:
        parts: the exports.
        conflicts: `refuse` refuses an id that has two names.
        has_keypoints: whether keypoints are made, which must then be the same for categories of one name.
    """
    merged: dict[str, Category] = {}
    names: dict[int, tuple[str, int]] = {}
    ids: list[dict[int, int]] = []
    for place, part in enumerate(parts):
        own = {}
        for category in part.categories:
            if not has_keypoints:
                category = category._replace(keypoints=(), skeleton=())
            name, other = names.setdefault(category.id, (category.name, place))
            if name != category.name and conflicts == "refuse":
                raise UsageError(
                    f"the id {category.id} is {name!r} in export {other + 1} and {category.name!r} in export "
                    f"{place + 1}; if the names are right, say which export wins: conflicts = first or last"
                )
            known = merged.setdefault(category.name, category._replace(id=len(merged)))
            if (known.keypoints, known.skeleton) != (category.keypoints, category.skeleton):
                raise UsageError(f"the keypoints of {category.name!r} differ in export {place + 1}")
            own[category.id] = known.id
        ids.append(own)
    return list(merged.values()), ids


def _stem(video: str) -> str:
    """A video's name, which some formats give with its extension."""
    return os.path.splitext(video)[0] if is_video(video) else video


def merged(adapters: Iterable[Adapter], conflicts: Conflicts) -> Adapter:
    """One adapter for these."""
    listed = list(adapters)
    return listed[0] if len(listed) == 1 else Merged(listed, conflicts)
