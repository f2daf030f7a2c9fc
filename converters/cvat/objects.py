"""The objects that shapes are, by task type. Shapes that a task type has no place for are counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from labelferry.converters.cvat.document import Shape
from labelferry.converters.cvat.geometry import Between, geometry_of, placed_mask
from labelferry.findings import Finding, Kind
from labelferry.masks.coco import masks_of_images
from labelferry.model import Annotations, Category, Image, Object
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

_KEYPOINTS = frozenset(("points", "skeleton"))
_AREAS = frozenset(("polygon", "mask", "ellipse"))
_OBJECTS = frozenset(("box", "cuboid")) | _AREAS | _KEYPOINTS

Area: TypeAlias = RunLengthMask | list[float]
"""The pixels of an object: a mask, or a polygon x1, y1, x2, y2, ..."""


class Source(NamedTuple):
    """The shapes of an image.

    Attributes:
        file: where they stand.
        shapes: in the order of the file.
        size: (width, height) in pixels, if the file gives it.
        found: how many shapes the file lists for the image, counted before anything is done with them.
        interpolated: how many of `shapes` the file does not list.
        findings: about shapes that are not among `shapes`.
    """

    file: str
    shapes: tuple[Shape | Between, ...]
    size: tuple[int, int] | None
    found: int
    interpolated: int = 0
    findings: tuple[Finding, ...] = ()


class Draft(NamedTuple):
    """The labels of an image, or why it has none; of instance segmentation without masks, and the areas for them."""

    labels: Annotations | Finding
    areas: list[Area]


def tasks_of(kinds: Iterable[str]) -> tuple[TaskType, ...]:
    """The task types that shapes of these kinds hold, richest first."""
    held = set(kinds)
    tasks = [
        task
        for task, of in (
            (TaskType.KEYPOINT_DETECTION, _KEYPOINTS),
            (TaskType.INSTANCE_SEGMENTATION, _AREAS),
            (TaskType.OBJECT_DETECTION, _OBJECTS),
            (TaskType.CLASSIFICATION, {"tag"}),
        )
        if held & of
    ]
    return tuple(tasks) or (TaskType.OBJECT_DETECTION,)


def with_masks(drafts: Sequence[Draft]) -> Iterator[Annotations | Finding]:
    """The labels of images, with masks that are made of the areas."""
    places = [[i for i, area in enumerate(areas) if isinstance(area, list)] for _, areas in drafts]
    polygons = [[[area] for area in areas if isinstance(area, list)] for _, areas in drafts]
    sizes = [(0, 0) if isinstance(labels, Finding) or labels.size is None else labels.size for labels, _ in drafts]

    def locate(image: int, place: int) -> str:
        labels = drafts[image].labels
        assert isinstance(labels, Annotations)
        assert labels.locate is not None
        return labels.locate(places[image][place])

    drawn = masks_of_images(polygons, sizes, locate)
    for (labels, areas), at, segmented in zip(drafts, places, drawn, strict=True):
        if isinstance(labels, Annotations) and areas:
            masks = {i: area for i, area in enumerate(areas) if isinstance(area, RunLengthMask)}
            masks |= {at[row]: mask for row, mask in zip(segmented.rows.tolist(), segmented.masks, strict=True)}
            labels.findings += segmented.findings
            labels = labels.take(sorted(masks))
            labels.masks = [masks[i] for i in sorted(masks)]
        yield labels


class ShapeReader:
    """Makes objects of the shapes of an image.

    Args:
        image: with its `Source`.
        size: (width, height) in pixels.
        categories: by label.
        task: the task type.
    """

    def __init__(self, image: Image, size: tuple[int, int], categories: Mapping[str, Category], task: TaskType) -> None:
        self._name = image.file_name
        self._source: Source = image.source
        self._size = size
        self._categories = categories
        self._task = task
        self._findings = list(self._source.findings)

    def draft(self) -> Draft:
        """The labels of the image."""
        objects: list[Object] = []
        areas: list[Area] = []
        lines: list[int] = []
        left_out: dict[_LeftOut, list[int]] = {}
        for shape in self._source.shapes:
            category = self._categories.get(shape.label)
            if category is None:
                text = f"the label {shape.label!r} is not among the {len(self._categories)} of the file's head"
                self._findings.append(Finding.error("unknown-category", self._where(shape.line), text, lost=1))
                continue
            try:
                made = self._object(shape, category)
            except (ValueError, OverflowError) as error:
                text = f"<{shape.kind}>: {error}"
                self._findings.append(Finding.error("broken-shape", self._where(shape.line), text, lost=1))
                continue
            if isinstance(made, _LeftOut):
                left_out.setdefault(made, []).append(shape.line)
                continue
            if not isinstance(made, Object):
                areas.append(made)
                made = Object(category.id)
            objects.append(made)
            lines.append(shape.line)
        for (kind, code, text), at in left_out.items():
            self._findings.append(Finding(kind, code, self._where(at[0]), text, len(at), len(at)))
        if self._task is TaskType.CLASSIFICATION and not any(shape.kind == "tag" for shape in self._source.shapes):
            self._findings.append(Finding.error("class-missing", self._name, "the image has no class"))
        labels = Annotations.from_objects(objects, self._size)
        labels.findings = self._findings
        labels.locate = partial(_locate, self._source.file, lines)
        labels.found, labels.interpolated = self._source.found, self._source.interpolated
        return Draft(labels, areas)

    def _where(self, line: int) -> str:
        return f"{self._source.file}:{line}"

    def _object(self, shape: Shape | Between, category: Category) -> Object | Area | _LeftOut:
        kind, task = shape.kind, self._task
        if task is TaskType.CLASSIFICATION:
            return Object(category.id) if kind == "tag" else _no_class(kind)
        if kind == "tag":
            return _TAG
        if kind == "polyline":
            return _POLYLINE
        if isinstance(shape, Shape) and kind == "box" and task is TaskType.OBJECT_DETECTION:
            left, top, right, bottom, angle = shape.values
            if not angle and "_" not in shape.text:  # the most frequent by far
                x, y = float(left), float(top)
                return Object(category.id, (x, y, float(right) - x, float(bottom) - y))
        geometry = geometry_of(shape, category)
        if isinstance(shape, Shape) and kind == "skeleton":
            self._look_for_elements(shape, category)
        if task is TaskType.INSTANCE_SEGMENTATION:
            if kind not in _AREAS:
                return _kept_as_box("segmentation-missing", f"a <{kind}> has no mask")
            if geometry.mask is not None:
                return placed_mask(geometry.mask, *self._size)
            polygon: list[float] = geometry.points.ravel().tolist()
            return polygon
        if task is TaskType.KEYPOINT_DETECTION and kind not in _KEYPOINTS:
            return _kept_as_box("keypoints-missing", f"a <{kind}> has no keypoints")
        if kind == "box" and len(geometry.points) == 4:
            text = "the box is turned; the upright box around it is taken"
            self._findings.append(Finding.repair("rotation-lost", self._where(shape.line), text))
        seen = geometry.points[np.array(geometry.visible) > 0] if geometry.visible else geometry.points
        if not len(seen):
            return _LeftOut("repair", "no-visible-point", f"no point of the <{kind}> is visible; left out")
        low, high = seen.min(axis=0), seen.max(axis=0)
        box = (*low, *(high - low))
        if task is TaskType.OBJECT_DETECTION:
            return Object(category.id, box)
        return Object(category.id, box, keypoints=np.column_stack((geometry.points, geometry.visible)))

    def _look_for_elements(self, skeleton: Shape, category: Category) -> None:
        """Warn of keypoints of the label that a skeleton does not list."""
        given = {element.label for element in skeleton.elements}
        if missing := [name for name in category.keypoints if name not in given]:
            text = f"a <skeleton> without {', '.join(missing)}, which therefore count as not visible"
            self._findings.append(Finding.warning("element-missing", self._where(skeleton.line), text))


class _LeftOut(NamedTuple):
    """Why a shape is not an object of the task type."""

    kind: Kind
    code: str
    text: str


_TAG = _LeftOut("note", "tag-left-out", "a <tag> is the class of an image; left out (--task classification keeps it)")
_POLYLINE = _LeftOut("repair", "polyline-left-out", "a <polyline> is not an object; left out")


def _no_class(kind: str) -> _LeftOut:
    hint = "" if kind == "polyline" else " (--task object-detection keeps it)"
    return _LeftOut("note", "shape-left-out", f"a <{kind}> is not the class of an image; left out{hint}")


def _kept_as_box(code: str, text: str) -> _LeftOut:
    return _LeftOut("repair", code, f"{text}; left out (--task object-detection keeps it)")


def _locate(file: str, lines: list[int], index: int) -> str:
    return f"{file}:{lines[index]}"
