"""CVAT: XML 1.1 for images and for video: boxes, polygons, masks, ellipses, cuboids, points, skeletons, tags, tracks.

One annotations.xml, of a task, a job, or a project with several tasks; or a folder of such files. Coordinates are in
pixels from the top left corner. A track's shapes are given for every frame, or for keyframes alone: then those between
are interpolated as CVAT does.

Definition: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import math
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from labelferry.converters.cvat.interpolation import interpolate_angle, interpolate_polygon, interpolate_polyline
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations, Category, Image, Object, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import HEAD, Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import MAX_FRAMES, MAX_IMAGE_PIXELS, find_files, is_video
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

_CUBOID = tuple(f"{axis}{corner}{side}" for side in (1, 2) for corner in ("tl", "bl", "tr", "br") for axis in "xy")
_VALUES: dict[str, tuple[str, ...]] = {
    "box": ("xtl", "ytl", "xbr", "ybr", "rotation"),
    "polygon": ("points",),
    "polyline": ("points",),
    "points": ("points",),
    "ellipse": ("cx", "cy", "rx", "ry", "rotation"),
    "cuboid": _CUBOID,
    "mask": ("left", "top", "width", "height", "rle"),
    "skeleton": (),
    "tag": (),
}
"""The attributes that hold a shape's geometry, by its element."""

_KEYPOINTS = frozenset(("points", "skeleton"))
_AREAS = frozenset(("polygon", "mask", "ellipse"))
_OBJECTS = frozenset(("box", "cuboid")) | _AREAS | _KEYPOINTS
ELLIPSE_POINTS = 128
"""Corners of the polygon that an ellipse is drawn as."""

_NODE = re.compile(r"<circle\b[^>]*>")
_EDGE = re.compile(r"<line\b[^>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_STEP = re.compile(r"step\s*=\s*(\d+)")

Array: TypeAlias = NDArray[np.float64]


class _Shape(NamedTuple):
    """A shape as it is written."""

    kind: str
    label: str
    text: str  # the values in one, which takes less memory
    line: int
    outside: bool = False
    occluded: bool = False
    elements: tuple[_Shape, ...] = ()

    @property
    def values(self) -> list[str]:
        """The attributes of `_VALUES`, as they are written."""
        return self.text.split("\n")


class _Between(NamedTuple):
    """A shape between two keyframes."""

    left: _Shape
    right: _Shape
    offset: float


class _Source(NamedTuple):
    """The shapes of an image, and its size if the file gives one."""

    file: str
    shapes: tuple[_Shape | _Between, ...]
    size: tuple[int, int] | None


class _Geometry(NamedTuple):
    """A shape in numbers: the corners that it spans, or a mask's pixels; of keypoints, whether each is visible."""

    points: Array
    visible: tuple[float, ...] = ()
    mask: tuple[int, int, int, int, str] | None = None


class _Task(NamedTuple):
    """A task or job, as the file's head describes it; a frame range of None is unknown."""

    name: str
    source: str
    is_images: bool
    frames: range | None
    size: tuple[int, int] | None

    @property
    def video(self) -> str:
        """The name of its video: the file that it was made of, else its own."""
        return self.source if is_video(self.source) else self.name


class _ImageElement(NamedTuple):
    name: str
    number: int
    size: tuple[int, int] | None
    task: str
    shapes: list[_Shape]


class _Track(NamedTuple):
    task: str
    shapes: list[tuple[int, _Shape]]


class _File:
    """What one XML file holds, gathered while expat reads it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.labels: dict[str, Category] = {}
        self.tasks: dict[str, _Task] = {}
        self.images: list[_ImageElement] = []
        self.tracks: list[_Track] = []
        self.kinds: set[str] = set()
        self.lists_all_frames = False  # a shape that is no keyframe is listed, so all are
        self.findings: list[Finding] = []
        self._meta: ElementTree.TreeBuilder | None = None
        self._label = ""
        self._skeleton: tuple[_Shape, int, bool, list[_Shape], list[bool]] | None = None
        self._root = ""
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse
        try:
            with open(path, "rb") as file:
                self._parser.ParseFile(file)
        except OSError as error:
            raise ExportError(f"cannot be read: {error.strerror}", where=path, code="file-missing") from None
        except expat.ExpatError as error:
            raise ExportError(f"not XML: {error}", where=f"{path}:{error.lineno}", code="broken-xml") from None
        except (ValueError, LookupError) as error:  # encodings that Python does not know
            raise ExportError(f"not XML: {error}", where=path, code="broken-xml") from None
        del self._parser  # which cannot be pickled

    def _refuse(self, *_: object) -> None:
        where = f"{self.path}:{self._parser.CurrentLineNumber}"
        raise ExportError("a document type is refused", where=where, code="refused-xml")

    def _where(self) -> str:
        return f"{self.path}:{self._parser.CurrentLineNumber}"

    def _text(self, text: str) -> None:
        if self._meta is not None:
            self._meta.data(text)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._root:
            self._root = tag
            if tag != "annotations":
                text = f"<annotations> was expected, found <{tag}>; is it an export in the format CVAT 1.1?"
                raise ExportError(text, where=self._where(), code="not-cvat")
        if tag == "meta":
            self._meta = ElementTree.TreeBuilder()
        if self._meta is not None:
            self._meta.start(tag, attributes)
        elif tag == "image":
            task = attributes.get("task_id", "")
            size = _size(attributes.get("width"), attributes.get("height"))
            number = _whole(attributes.get("id", "")) or 0
            self.images.append(_ImageElement(attributes.get("name", ""), number, size, task, []))
        elif tag == "track":
            self._label = attributes.get("label", "")
            self.tracks.append(_Track(attributes.get("task_id", ""), []))
        elif tag in _VALUES:
            self._shape(tag, attributes)

    def _end(self, tag: str) -> None:
        if self._meta is not None:
            self._meta.end(tag)
            if tag == "meta":
                self._read_meta(self._meta.close())
                self._meta = None
        elif tag == "skeleton" and self._skeleton is not None:
            shape, frame, is_key, elements, are_keys = self._skeleton
            self._skeleton = None
            outside = bool(elements) and all(element.outside for element in elements)
            shape = shape._replace(elements=tuple(elements), outside=shape.outside or outside)
            self._add(shape, frame, is_key or any(are_keys))

    def _shape(self, kind: str, attributes: dict[str, str]) -> None:
        shape = _Shape(
            kind,
            sys.intern(attributes.get("label") or self._label),
            "\n".join([attributes.get(name, "") for name in _VALUES[kind]]),
            self._parser.CurrentLineNumber,
            attributes.get("outside") == "1",
            attributes.get("occluded") == "1",
        )
        is_key = attributes.get("keyframe", "1") != "0"
        if self._skeleton is not None:
            self._skeleton[3].append(shape)
            self._skeleton[4].append(is_key)
            return
        number = 0
        if self.tracks:
            frame = _whole(attributes.get("frame", ""))
            if frame is None or frame >= MAX_FRAMES:
                text = f"a <{kind}> of a track without the number of its frame, or one beyond {MAX_FRAMES:,}"
                self.findings.append(Finding("error", "broken-shape", self._where(), text))
                return
            number = frame
        if kind == "skeleton":
            self._skeleton = (shape, number, is_key, [], [])
        else:
            self._add(shape, number, is_key)

    def _add(self, shape: _Shape, frame: int, is_key: bool) -> None:
        self.kinds.add(shape.kind)
        if self.tracks:
            self.tracks[-1].shapes.append((frame, shape))
            self.lists_all_frames = self.lists_all_frames or not is_key
        elif self.images:
            self.images[-1].shapes.append(shape)

    def _read_meta(self, meta: ElementTree.Element) -> None:
        labels = list(meta.iter("label"))
        children: dict[str, list[str]] = {}
        for label in labels:
            if parent := (label.findtext("parent") or "").strip():
                children.setdefault(parent, []).append((label.findtext("name") or "").strip())
        for label in labels:
            name = (label.findtext("name") or "").strip()
            if not (label.findtext("parent") or "").strip() and name not in self.labels:
                keypoints = tuple(children.get(name, ()))
                skeleton = _skeleton_edges(label.findtext("svg") or "", keypoints)
                self.labels[name] = Category(len(self.labels), name, keypoints, skeleton)
        for task in (*meta.iter("task"), *meta.iter("job")):
            step = _STEP.search(task.findtext("frame_filter") or "")
            stride = max(int(step[1]), 1) if step else 1
            start = _whole(task.findtext("start_frame") or "") or 0
            stop, count = _whole(task.findtext("stop_frame") or ""), _whole(task.findtext("size") or "")
            if stop is None and count is not None:
                stop = start + (count - 1) * stride
            if stop is not None and stop >= MAX_FRAMES:
                text = f"a task whose last frame is {stop}; at most {MAX_FRAMES:,} frames are read"
                raise ExportError(text, where=self._where(), code="broken-task")
            self.tasks[(task.findtext("id") or "").strip()] = _Task(
                (task.findtext("name") or "").strip(),
                (task.findtext("source") or "").strip(),
                (task.findtext("mode") or "").strip() == "annotation",
                None if stop is None else range(start, stop + 1, stride),
                _size(task.findtext("original_size/width"), task.findtext("original_size/height")),
            )

    def task(self, task_id: str) -> _Task:
        """The task of this id; where none is named, the only one."""
        if task_id in self.tasks:
            return self.tasks[task_id]
        return next(iter(self.tasks.values())) if len(self.tasks) == 1 else _Task(task_id, "", False, None, None)


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
        self._files: list[_File] | None = None
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
            kinds = {kind for kind in _VALUES if f"<{kind} ".encode() in head}
            images = None
            if probe.is_small(path):
                file = _File(str(path))
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

    def _wanted(self, task_id: str, task: _Task) -> bool:
        return self.only is None or self.only in (task_id, task.name)

    def _video_frames(self, file: _File, task_id: str, several: bool) -> Iterator[Image]:
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
        frames: dict[int, list[_Shape | _Between]] = {}
        for track in file.tracks:
            if track.task == task_id or len(file.tasks) == 1:
                for number, shape in self._track_shapes(file, track, task.frames):
                    frames.setdefault(number, []).append(shape)
        numbers = sorted(frames) if self.as_frames or task.frames is None else sorted({*frames, *task.frames})
        folder = f"{os.path.splitext(task.video)[0]}/" if several else ""
        for number in numbers:
            source = _Source(file.path, tuple(frames.get(number, ())), task.size)
            yield Image(f"{folder}frame_{number:06d}.png", source, VideoFrame(task.video, number))

    def _track_shapes(
        self, file: _File, track: _Track, frames: range | None
    ) -> Iterator[tuple[int, _Shape | _Between]]:
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
                    yield between, _Between(shape, following[1], (between - number) / (following[0] - number))

    def _read(self) -> list[_File]:
        if self._files is None:
            if self.path.suffix.lower() == ".zip":
                text = "a ZIP archive; unpack it, and name the annotations.xml or the folder"
                raise ExportError(text, where=str(self.path), code="not-cvat")
            names = find_files(self.path, frozenset((".xml",))) if self.path.is_dir() else ()
            paths = [f"{self.path}/{name}" for name in names] if self.path.is_dir() else [str(self.path)]
            if not paths:
                raise ExportError("no XML file in it", where=str(self.path), code="no-labels")
            self._files = [_File(path) for path in paths]
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

    def annotations(self, shapes: tuple[_Shape | _Between, ...]) -> Annotations:
        objects, lines = [], []
        for shape in shapes:
            first = shape.left if isinstance(shape, _Between) else shape
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

    def _tell(self, kind: str, code: str, shape: _Shape, text: str) -> None:
        self._findings.append(Finding(kind, code, f"{self._file}:{shape.line}", text))  # type: ignore[arg-type]

    def _object(self, shape: _Shape | _Between, first: _Shape, category: Category) -> Object | None:
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
        geometry = _interpolated(shape, category) if isinstance(shape, _Between) else _geometry(shape, category)
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

    def _keypoints(self, geometry: _Geometry, shape: _Shape, category: Category) -> Object | None:
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

    def _mask(self, geometry: _Geometry, shape: _Shape, category: Category) -> Object | None:
        if shape.kind not in _AREAS:
            text = f"a <{shape.kind}> has no mask; left out (with --task object-detection it is kept)"
            self._tell("repair", "segmentation-missing", shape, text)
            return None
        width, height = self._size
        if geometry.mask is not None:
            return Object(category.id, mask=_placed_mask(geometry.mask, width, height))
        found = masks_of_image([[geometry.points.ravel().tolist()]], self._size, lambda _: f"{self._file}:{shape.line}")
        self._findings += found.findings
        return Object(category.id, mask=found.masks[0]) if len(found.masks) else None


def _geometry(shape: _Shape, category: Category) -> _Geometry:
    """A shape's numbers.

    Raises:
        ValueError: they are none.
    """
    if shape.kind == "skeleton":
        by_label = {element.label: element for element in shape.elements}
        points, visible = [], []
        for name in category.keypoints or by_label:
            element = by_label.get(name)
            points.append(_parse_points(element.values[0])[0] if element else np.zeros(2))
            visible.append(_visibility(element))
        if unknown := set(by_label) - set(category.keypoints or by_label):
            raise ValueError(f"the element {min(unknown)!r} is not one of the label's")
        return _Geometry(np.array(points).reshape(-1, 2), tuple(visible))
    if shape.kind == "points":
        parsed = _parse_points(shape.values[0])
        return _Geometry(parsed, (_visibility(shape),) * len(parsed))
    if shape.kind in ("polygon", "polyline"):
        return _Geometry(_parse_points(shape.values[0]))
    if shape.kind == "mask":
        left, top, width, height = (int(float(value)) for value in shape.values[:4])
        corners = np.array([(left, top), (left + width, top + height)], np.float64)
        return _Geometry(corners, mask=(left, top, width, height, shape.values[4]))
    numbers = np.array([float(value or 0) if i == 4 else float(value) for i, value in enumerate(shape.values)])
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    if shape.kind == "cuboid":
        return _Geometry(numbers.reshape(-1, 2))
    return _Geometry(_outline(shape.kind, numbers))


def _outline(kind: str, numbers: Array) -> Array:
    """Corners of a box, or points around an ellipse; turned clockwise around the centre by the angle at the end."""
    if kind == "box":
        left, top, right, bottom, angle = numbers
        if not angle:
            return np.array([(left, top), (right, bottom)])
        centre = np.array([(left + right) / 2, (top + bottom) / 2])
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - centre
    else:
        x, y, radius_x, radius_y, angle = numbers
        around = np.arange(ELLIPSE_POINTS) * (2 * np.pi / ELLIPSE_POINTS)
        centre = np.array([x, y])
        points = np.column_stack((radius_x * np.cos(around), radius_y * np.sin(around)))
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned: Array = points @ np.array([(cosine, sine), (-sine, cosine)]) + centre
    return turned


def _interpolated(shape: _Between, category: Category) -> _Geometry:
    left, right, offset = shape
    if left.kind in ("box", "ellipse"):
        one, other = (np.array([float(value or 0) for value in side.values]) for side in (left, right))
        numbers = one + (other - one) * offset
        numbers[4] = interpolate_angle(one[4], other[4], offset)
        return _Geometry(_outline(left.kind, numbers))
    start, end = _geometry(left, category), _geometry(right, category)
    if left.kind == "skeleton":
        given = {element.label for element in right.elements}
        stays = np.array([name not in given for name in category.keypoints or given])
        end.points[stays] = start.points[stays]
    if left.kind == "polygon":
        return _Geometry(interpolate_polygon(start.points, end.points, offset))
    if left.kind == "polyline":
        return _Geometry(interpolate_polyline(start.points, end.points, offset))
    if left.kind == "points" and not len(start.points) == len(end.points) == 1:
        return start  # as CVAT does
    return start._replace(points=start.points + (end.points - start.points) * offset)


def _visibility(shape: _Shape | None) -> float:
    """COCO's 0, 1, 2 as a score: 0 outside, 0.5 occluded, 1 visible."""
    if shape is None or shape.outside:
        return 0.0
    return 0.5 if shape.occluded else 1.0


def _parse_points(text: str) -> Array:
    """`x,y;x,y;...` as (N, 2)."""
    points = np.array([pair.split(",") for pair in text.split(";") if pair], np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points are x,y;x,y;..., found {text[:40]!r}")
    return points


def _placed_mask(mask: tuple[int, int, int, int, str], width: int, height: int) -> RunLengthMask:
    """A mask of a part of the image, given as row-major run lengths, 0s first, in the whole image."""
    left, top, own_width, own_height, text = mask
    if min(left, top) < 0 or min(own_width, own_height) < 1 or left + own_width > width or top + own_height > height:
        place = f"{own_width} x {own_height} at {left}, {top}"
        raise ValueError(f"the mask, {place}, does not lie within the image of {width} x {height}")
    if own_height * width > MAX_IMAGE_PIXELS:
        raise ValueError(f"the mask has more than {MAX_IMAGE_PIXELS:,} pixels")
    runs = np.array([int(run) for run in text.split(",")])
    if (runs < 0).any() or int(runs.sum()) != own_width * own_height:
        raise ValueError(f"the run lengths sum to {int(runs.sum())}, not {own_width} x {own_height}")
    rows = np.zeros((own_height, width), np.bool_)
    part = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    rows[:, left : left + own_width] = part.reshape(own_height, own_width)
    counts = RunLengthMask.from_array(rows).counts
    counts[0] += top * width
    below = (height - top - own_height) * width
    if below and len(counts) % 2:
        counts[-1] += below
    elif below:
        counts = np.append(counts, below)
    return RunLengthMask(counts, height, width)


def _skeleton_edges(svg: str, keypoints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Edges between keypoints, 1-based, of the drawing of a skeleton's label."""
    nodes: dict[str, int] = {}
    for circle in _NODE.findall(svg):
        attributes = dict(_ATTRIBUTE.findall(circle))
        name = attributes.get("data-label-name", "")
        if name in keypoints:
            nodes[attributes.get("data-node-id", "")] = keypoints.index(name) + 1
    edges = []
    for line in _EDGE.findall(svg):
        attributes = dict(_ATTRIBUTE.findall(line))
        ends = nodes.get(attributes.get("data-node-from", "")), nodes.get(attributes.get("data-node-to", ""))
        if ends[0] and ends[1]:
            edges.append((ends[0], ends[1]))
    return tuple(edges)


def _size(width: str | None, height: str | None) -> tuple[int, int] | None:
    size = _whole(width or ""), _whole(height or "")
    return (size[0], size[1]) if size[0] and size[1] else None


def _whole(text: str) -> int | None:
    """A number that is not negative; None of anything else."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _locate(file: str, lines: list[int], index: int) -> str:
    return f"{file}:{lines[index]}"
