"""CVAT: XML 1.1 for images and for video: boxes, polygons, masks, ellipses, cuboids, points, skeletons, tags, tracks.

One annotations.xml, of a task, a job, or a project with several tasks; or a folder of such files. Coordinates are in
pixels from the top left corner. A track's shapes are given for every frame, or for keyframes alone: then those between
are interpolated as CVAT does.

Definition: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from labelferry.converters.cvat.document import VALUES, Shape, Task, Track, XmlFile
from labelferry.converters.cvat.geometry import Between, Geometry, geometry_of, interpolated, placed_mask
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations, Category, Image, Object, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import HEAD, Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import find_files, is_video
from labelferry.task_type import TaskType

_KEYPOINTS = frozenset(("points", "skeleton"))
_AREAS = frozenset(("polygon", "mask", "ellipse"))
_OBJECTS = frozenset(("box", "cuboid")) | _AREAS | _KEYPOINTS


class _Source(NamedTuple):
    """The shapes of an image, and its size if the file gives one."""

    file: str
    shapes: tuple[Shape | Between, ...]
    size: tuple[int, int] | None


@register("cvat")
class Cvat(Adapter):
    """Reads CVAT XML."""

    tasks = (
        TaskType.KEYPOINT_DETECTION,
        TaskType.INSTANCE_SEGMENTATION,
        TaskType.OBJECT_DETECTION,
        TaskType.CLASSIFICATION,
    )

    def __init__(
        self,
        path: Path,
        *,
        only: Annotated[str | None, "Only this task of a project, by its id or name; by default all."] = None,
    ) -> None:
        self.path = path
        self.only = only
        self._files: list[XmlFile] | None = None
        self._categories: dict[str, Category] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": None}

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        paths = [probe.path] if probe.path.suffix.lower() == ".xml" else []
        if probe.is_dir:
            paths = [probe.path / name for name in probe.files(probe.path, frozenset((".xml",)), depth=1)[0][:50]]
        for path in paths:
            head = probe.head(path)
            if b"<annotations" not in head[:HEAD] or b"<meta>" not in head[:HEAD]:
                continue
            kinds = {kind for kind in VALUES if f"<{kind} ".encode() in head}
            images = None
            if probe.is_small(path):
                file = XmlFile(str(path))
                kinds = file.kinds
                images = len(file.images) or sum(len(task.frames or ()) for task in file.tasks.values())
            kind = "video" if b"<track" in head else "images"
            yield Match(path, f"CVAT for {kind}", _tasks_of(kinds), images or None)

    def get_tasks(self) -> tuple[TaskType, ...]:
        return _tasks_of(set[str]().union(*(file.kinds for file in self._read())))

    def get_categories(self) -> list[Category]:
        self._read()
        return list(self._categories.values())

    def get_images(self) -> Iterator[Image]:
        files = self._read()
        several = sum(len(file.tasks) for file in files) > 1
        for file in files:
            self.findings += file.findings
            for image in file.images:
                task = file.task(image.task)
                if self._wanted(image.task, task):
                    is_frame = is_video(task.source)
                    source = _Source(file.path, tuple(image.shapes), image.size or task.size)
                    name = image.name if os.path.splitext(image.name)[1] or not is_frame else f"{image.name}.png"
                    yield Image(name, source, VideoFrame(task.source, image.number) if is_frame else None)
            if not file.images:
                for task_id in file.tasks or sorted({track.task for track in file.tracks}):
                    yield from self._video_frames(file, task_id, several)

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        size = source.size or image.size
        if size is None:
            raise ExportError("the file gives no size of the image", where=source.file, code="image-size")
        reader = _Reader(self._categories, self.task, source.file, size)
        return reader.annotations(source.shapes)

    def _wanted(self, task_id: str, task: Task) -> bool:
        return self.only is None or self.only in (task_id, task.name)

    def _video_frames(self, file: XmlFile, task_id: str, several: bool) -> Iterator[Image]:
        """The frames of a task's video; without --videos also those without a shape."""
        task = file.task(task_id)
        if not self._wanted(task_id, task):
            return
        if task.is_images and not self.as_frames:
            text = (
                f"the task {task.name!r} is of images, which the format for video does not name: export it for images"
            )
            self.findings.append(Finding("error", "images-unnamed", file.path, text))
            return
        frames: dict[int, list[Shape | Between]] = {}
        for track in file.tracks:
            if track.task == task_id or len(file.tasks) == 1:
                for number, shape in self._track_shapes(file, track, task.frames):
                    frames.setdefault(number, []).append(shape)
        numbers = sorted(frames) if self.as_frames or task.frames is None else sorted({*frames, *task.frames})
        folder = f"{os.path.splitext(task.video)[0]}/" if several else ""
        for number in numbers:
            source = _Source(file.path, tuple(frames.get(number, ())), task.size)
            yield Image(f"{folder}frame_{number:06d}.png", source, VideoFrame(task.video, number))

    def _track_shapes(self, file: XmlFile, track: Track, frames: range | None) -> Iterator[tuple[int, Shape | Between]]:
        shapes = sorted(track.shapes, key=lambda numbered: numbered[0])
        step = 1 if frames is None else frames.step
        for (number, shape), following in zip(shapes, [*shapes[1:], None], strict=False):
            if following is not None and following[0] == number:
                text = f"the track has two shapes in frame {number}"
                self.findings.append(Finding("error", "frame-twice", f"{file.path}:{shape.line}", text))
            if shape.outside:
                continue
            yield number, shape
            if file.lists_all_frames or shape.kind == "mask":  # CVAT interpolates no masks
                continue
            if following is None:
                for between in range(number + step, number if frames is None else frames.stop, step):
                    yield between, shape
            elif following[1].kind != shape.kind:
                text = f"the track goes from <{shape.kind}> to <{following[1].kind}>; there is nothing between them"
                self.findings.append(Finding("error", "track-mixed", f"{file.path}:{shape.line}", text))
            else:
                for between in range(number + step, following[0], step):
                    yield between, Between(shape, following[1], (between - number) / (following[0] - number))

    def _read(self) -> list[XmlFile]:
        if self._files is None:
            if self.path.suffix.lower() == ".zip":
                text = "a ZIP archive; unpack it, and name the annotations.xml or the folder"
                raise ExportError(text, where=str(self.path), code="not-cvat")
            names = find_files(self.path, frozenset((".xml",))) if self.path.is_dir() else ()
            paths = [f"{self.path}/{name}" for name in names] if self.path.is_dir() else [str(self.path)]
            if not paths:
                raise ExportError("no XML file in it", where=str(self.path), code="no-labels")
            self._files = [XmlFile(path) for path in paths]
            if self.only is not None and not any(
                self._wanted(task_id, task) for file in self._files for task_id, task in file.tasks.items()
            ):
                have = ", ".join(task.name or task_id for file in self._files for task_id, task in file.tasks.items())
                text = f"no task {self.only!r}; it has {have or 'none'}"
                raise ExportError(text, where=str(self.path), code="no-task")
            labels: dict[str, Category] = {}
            for file in self._files:
                for name, category in file.labels.items():
                    known = labels.setdefault(name, category._replace(id=len(labels)))
                    if known.keypoints != category.keypoints:
                        text = f"the label {name!r} has other keypoints than in another file"
                        raise ExportError(text, where=file.path, code="keypoints-differ")
            if not labels:  # a file without <meta>
                found = {shape.label for file in self._files for image in file.images for shape in image.shapes}
                found |= {shape.label for file in self._files for track in file.tracks for _, shape in track.shapes}
                labels = {name: Category(i, name) for i, name in enumerate(sorted(found))}
            self._categories = labels
        return self._files


def _tasks_of(kinds: set[str]) -> tuple[TaskType, ...]:
    """What shapes of these kinds hold."""
    tasks = [
        task
        for task, of in (
            (TaskType.KEYPOINT_DETECTION, _KEYPOINTS),
            (TaskType.INSTANCE_SEGMENTATION, _AREAS),
            (TaskType.OBJECT_DETECTION, _OBJECTS),
            (TaskType.CLASSIFICATION, frozenset(("tag",))),
        )
        if kinds & of
    ]
    return tuple(tasks) or (TaskType.OBJECT_DETECTION,)


class _Reader:
    """Makes the annotations of one image of its shapes."""

    def __init__(self, categories: dict[str, Category], task: TaskType, file: str, size: tuple[int, int]) -> None:
        self._categories = categories
        self._task = task
        self._file = file
        self._size = size
        self._findings: list[Finding] = []

    def annotations(self, shapes: tuple[Shape | Between, ...]) -> Annotations:
        objects, lines = [], []
        for shape in shapes:
            first = shape.left if isinstance(shape, Between) else shape
            category = self._categories.get(first.label)
            if category is None:
                text = f"the label {first.label!r} is not among the {len(self._categories)} of the file's head"
                self._tell("error", "unknown-category", first, text)
                continue
            try:
                row = self._object(shape, first, category)
            except ValueError as error:
                self._tell("error", "broken-shape", first, f"<{first.kind}>: {error}")
                continue
            if row is not None:
                objects.append(row)
                lines.append(first.line)
        annotations = Annotations.from_objects(objects, self._size)
        annotations.findings = self._findings
        annotations.locate = partial(_locate, self._file, lines)
        return annotations

    def _tell(self, kind: str, code: str, shape: Shape, text: str) -> None:
        self._findings.append(Finding(kind, code, f"{self._file}:{shape.line}", text))  # type: ignore[arg-type]

    def _object(self, shape: Shape | Between, first: Shape, category: Category) -> Object | None:
        if first.kind == "tag" or self._task is TaskType.CLASSIFICATION:
            is_wanted = first.kind == "tag" and self._task is TaskType.CLASSIFICATION
            return Object(category.id) if is_wanted else None
        if first.kind == "polyline":
            self._tell("repair", "polyline-left-out", first, "a line is no object; left out")
            return None
        if first is shape and first.kind == "box" and self._task is TaskType.OBJECT_DETECTION:
            numbers = first.text.split()
            if len(numbers) == 4:  # without a rotation: the most frequent by far
                left, top, right, bottom = map(float, numbers)
                return Object(category.id, (left, top, right - left, bottom - top))
        geometry = interpolated(shape, category) if isinstance(shape, Between) else geometry_of(shape, category)
        if self._task is TaskType.KEYPOINT_DETECTION:
            return self._keypoints(geometry, first, category)
        if self._task is TaskType.INSTANCE_SEGMENTATION:
            return self._mask(geometry, first, category)
        seen = geometry.points[np.array(geometry.visible) > 0] if geometry.visible else geometry.points
        if not len(seen):
            return None
        low, high = seen.min(axis=0), seen.max(axis=0)
        if first.kind == "box" and len(geometry.points) == 4:
            text = "the box is turned; the upright box around it is taken"
            self._tell("repair", "rotation-lost", first, text)
        return Object(category.id, (*low, *(high - low)))

    def _keypoints(self, geometry: Geometry, shape: Shape, category: Category) -> Object | None:
        if shape.kind not in _KEYPOINTS:
            text = "the object has no keypoints; left out (with --task object-detection it is kept)"
            self._tell("repair", "keypoints-missing", shape, text)
            return None
        visible = np.array(geometry.visible)
        seen = geometry.points[visible > 0]
        if not len(seen):
            return None
        low, high = seen.min(axis=0), seen.max(axis=0)
        return Object(category.id, (*low, *(high - low)), keypoints=np.column_stack((geometry.points, visible)))

    def _mask(self, geometry: Geometry, shape: Shape, category: Category) -> Object | None:
        if shape.kind not in _AREAS:
            text = f"a <{shape.kind}> has no mask; left out (with --task object-detection it is kept)"
            self._tell("repair", "segmentation-missing", shape, text)
            return None
        width, height = self._size
        if geometry.mask is not None:
            return Object(category.id, mask=placed_mask(geometry.mask, width, height))
        found = masks_of_image([[geometry.points.ravel().tolist()]], self._size, lambda _: f"{self._file}:{shape.line}")
        self._findings += found.findings
        return Object(category.id, mask=found.masks[0]) if len(found.masks) else None


def _locate(file: str, lines: list[int], index: int) -> str:
    return f"{file}:{lines[index]}"
