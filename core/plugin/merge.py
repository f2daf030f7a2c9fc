"""Several exports as one: splits, shards, the parts of several annotators."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np

from labelferry.columns import Batch
from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Category, Image, Listed, Refused
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.reading.images import is_video
from labelferry.run_lengths import Bools
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
        return MergedExport(self.adapters, request, self.conflicts, ids_are_common=self.conflicts == "refuse")


class MergedExport(Export):
    """Several exports, opened for one task type that can be made of all of them.

    Args:
        adapters: of the exports, in order.
        request: what they are opened for.
        conflicts: as of `Merged`.
        ids_are_common: whether one id must have one name in all exports; else only names identify categories.

    Attributes:
        parts: the opened exports.
    """

    def __init__(
        self, adapters: Sequence[Adapter], request: Request, conflicts: Conflicts, *, ids_are_common: bool
    ) -> None:
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
        self.parts = parts
        has_keypoints = parts[0].task is TaskType.KEYPOINT_DETECTION
        categories, self._ids = _merged_categories(parts, ids_are_common, has_keypoints)
        super().__init__(request, tasks, categories, [path for part in parts for path in part.files])
        self.has_sizes = all(part.has_sizes for part in parts)
        self.first_frame = parts[0].first_frame
        rules = {part.drawn_on for part in parts}
        self.drawn_on = rules.pop() if len(rules) == 1 else "unknown"
        self.label_folders = tuple(folder for part in parts for folder in part.label_folders)
        self.chunk = min(part.chunk for part in parts)

    def count_images(self) -> int | None:
        counts = [part.count_images() for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)

    def images(self) -> Iterator[Listed]:
        places = range(len(self.parts))
        seen: set[int] = set()
        for place in reversed(places) if self._conflicts == "last" else places:
            part = self.parts[place]
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
        return {place: self.parts[place].payload(some) for place, some in _by_part(images)}

    def read(self, images: Sequence[Image], payload: dict[int, Any]) -> Iterator[Batch]:
        for place, some in _by_part(images):
            for batch in self.parts[place].read(some, payload[place]):
                yield self._renumbered(batch, place)

    def _renumbered(self, batch: Batch, place: int) -> Batch:
        """The batch of an export with the merged ids, and its probabilities in their order."""
        own, ids = self.parts[place].categories, self._ids[place]
        known = np.isin(batch.category_ids, list(ids))
        if not known.all():
            shown = ", ".join(str(category.id) for category in own[:10]) + (", ..." if len(own) > 10 else "")
            text = f"category id {{}} is not one of the export's categories ({shown})"
            given = batch.category_ids
            batch = _without(batch, ~known, "unknown-category", lambda i: text.format(given[i]))
        probabilities = batch.probabilities
        if probabilities is not None and len(batch):
            if probabilities.shape[1] != len(own):
                counts = f"{probabilities.shape[1]} probabilities for {len(own)} categories"
                batch = _without(batch, np.ones(len(batch), np.bool_), "probabilities-count", lambda _: counts)
                probabilities = None
            else:  # 0 for the classes that only other exports have
                probabilities = np.zeros((len(batch), len(self.categories)))
                probabilities[:, [ids[category.id] for category in own]] = batch.probabilities
        merged = np.array([ids[number] for number in batch.category_ids.tolist()], np.int64)
        evidence = Counter({_named(name, place): count for name, count in batch.evidence.items()})
        return replace(batch, category_ids=merged, probabilities=probabilities, evidence=evidence)

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        for place, part in enumerate(self.parts):
            yield from part.judge(self.evidence_of(place, evidence))

    def evidence_of(self, place: int, evidence: Mapping[str, int]) -> dict[str, int]:
        """The evidence of one of the exports."""
        end = _named("", place)
        return {name.removesuffix(end): count for name, count in evidence.items() if name.endswith(end)}

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


def _without(batch: Batch, which: Bools, code: str, text: Callable[[int], str]) -> Batch:
    """The batch without these objects (N,): an error for each image, that cites the first of them."""
    findings = list(batch.findings)
    owners = batch.owners
    for b in np.unique(owners[which]).tolist():
        objects = np.flatnonzero(which & (owners == b))
        row = int(batch.rows[objects[0]])
        where = batch.names[b] if batch.locate is None else batch.locate(row)
        findings.append(Finding("error", code, where, text(int(objects[0])), len(objects), len(objects), b))
    return replace(batch.take(~which), findings=findings)


def _common_tasks(parts: Sequence[Export]) -> tuple[TaskType, ...]:
    """The task types that can be made of all exports, richest first."""
    each = [obtainable(part.tasks) for part in parts]
    common = tuple(task for task in each[0] if all(task in tasks for tasks in each))
    if not common:
        held = "; ".join(", ".join(part.tasks) for part in parts)
        raise UsageError(f"no task type can be made of all exports; they hold: {held}")
    return common


def _merged_categories(
    parts: Sequence[Export], ids_are_common: bool, has_keypoints: bool
) -> tuple[list[Category], list[dict[int, int]]]:
    """The categories of all exports, and of each export its ids with those that they become: their places.

    Categories of one export stay apart even if they have one name: the first of that name is the first of the others.

    Args:
        parts: the exports.
        ids_are_common: whether an id with two names is refused.
        has_keypoints: whether keypoints are made, which must then be the same for categories of one name.
    """
    merged: dict[tuple[str, int], Category] = {}
    names: dict[int, tuple[str, int]] = {}
    ids: list[dict[int, int]] = []
    for place, part in enumerate(parts):
        own = {}
        seen: Counter[str] = Counter()
        for category in part.categories:
            if not has_keypoints:
                category = category._replace(keypoints=(), skeleton=())
            if category.id in own:
                raise ExportError(
                    f"two categories have the id {category.id} in export {place + 1}", code="category-id-twice"
                )
            name, other = names.setdefault(category.id, (category.name, place))
            if name != category.name and ids_are_common:
                raise UsageError(
                    f"the id {category.id} is {name!r} in export {other + 1} and {category.name!r} in export "
                    f"{place + 1}; if the names are right, say which export wins: conflicts = first or last"
                )
            known = merged.setdefault((category.name, seen[category.name]), category._replace(id=len(merged)))
            seen[category.name] += 1
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
