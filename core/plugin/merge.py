"""Several exports as one: splits, shards, the parts of several annotators."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from labelferry.errors import UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.reading.images import is_video
from labelferry.task_type import TaskType

Conflicts = Literal["refuse", "first", "last"]


class _Part(NamedTuple):
    """Which of the exports an image is of, and what its adapter wants."""

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
        self.conflicts = conflicts
        self.has_sizes = all(adapter.has_sizes for adapter in self.adapters)  # type: ignore[misc]
        self.first_frame = self.adapters[0].first_frame  # type: ignore[misc]
        self._ids: list[dict[int, int]] = []

    def get_tasks(self) -> tuple[TaskType, ...]:
        """Those that all of them hold."""
        for adapter in self.adapters:
            adapter.as_frames = self.as_frames
        held = [adapter.get_tasks() for adapter in self.adapters]
        common = tuple(task for task in held[0] if all(task in tasks for tasks in held))
        if not common:
            raise UsageError(f"the exports hold no common task type: {'; '.join(', '.join(tasks) for tasks in held)}")
        return common

    def get_categories(self) -> list[Category]:
        merged: dict[str, Category] = {}
        names: dict[int, tuple[str, int]] = {}
        self._ids = []
        for place, adapter in enumerate(self.adapters):
            adapter.task = self.task
            ids = {}
            for category in adapter.get_categories():
                name, other = names.setdefault(category.id, (category.name, place))
                if name != category.name and self.conflicts == "refuse":
                    raise UsageError(
                        f"the id {category.id} is {name!r} in export {other + 1} and {category.name!r} in export "
                        f"{place + 1}; if classes go by their names, say which export wins: conflicts = first or last"
                    )
                known = merged.setdefault(category.name, category._replace(id=len(merged)))
                if (known.keypoints, known.skeleton) != (category.keypoints, category.skeleton):
                    raise UsageError(f"the keypoints of {category.name!r} differ in export {place + 1}")
                ids[category.id] = known.id
            self._ids.append(ids)
        return list(merged.values())

    def get_images(self) -> Iterator[Image]:
        places = range(len(self.adapters))
        seen: set[int] = set()
        for place in reversed(places) if self.conflicts == "last" else places:
            adapter = self.adapters[place]
            adapter.findings = self.findings
            own = array("q")
            for image in adapter.get_images():
                frame = image.frame
                if frame is not None:  # counted as the first of the exports counts
                    frame = frame._replace(number=frame.number - adapter.first_frame + self.first_frame)
                key = hash((_stem(frame.video), frame.number) if frame and self.as_frames else image.file_name)
                if key in seen and self.conflicts != "refuse":
                    text = f"another export labels it too; the {self.conflicts} one's labels are taken"
                    self.findings.append(Finding("note", "labelled-twice", image.file_name, text))
                    continue
                own.append(key)
                yield image._replace(source=_Part(place, image.source), frame=frame)
            if self.conflicts != "refuse":  # else two labels for one image are found as those that share a file
                seen.update(own)

    def count_images(self) -> int | None:
        counts = [adapter.count_images() for adapter in self.adapters]
        return None if None in counts else sum(count or 0 for count in counts)

    def get_labels(self, image: Image) -> Annotations:
        part: _Part = image.source
        annotations = self.adapters[part.place].get_labels(image._replace(source=part.source))
        ids = self._ids[part.place]
        annotations.category_ids = np.array(
            [ids.get(number, -1 - number) for number in annotations.category_ids.tolist()], np.int64
        )
        annotations.probabilities = None  # of one export's classes each
        return annotations


def _stem(video: str) -> str:
    """A video's name, which some formats give with its extension."""
    return os.path.splitext(video)[0] if is_video(video) else video


def merged(adapters: Iterable[Adapter], conflicts: Conflicts) -> Adapter:
    """One adapter for these."""
    listed = list(adapters)
    return listed[0] if len(listed) == 1 else Merged(listed, conflicts)
