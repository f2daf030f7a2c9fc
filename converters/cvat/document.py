"""What an annotations.xml holds: shapes, images, tracks and tasks, as they are written."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple
from xml.parsers import expat

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.reading.images import MAX_FRAMES, is_video

_CUBOID = tuple(f"{axis}{corner}{side}" for side in (1, 2) for corner in ("tl", "bl", "tr", "br") for axis in "xy")
VALUES: dict[str, tuple[str, ...]] = {
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

_NODE = re.compile(r"<circle\b[^>]*>")
_EDGE = re.compile(r"<line\b[^>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_STEP = re.compile(r"step\s*=\s*(\d+)")


class Shape(NamedTuple):
    """A shape as it is written."""

    kind: str
    label: str
    text: str  # the values in one, which takes less memory
    line: int
    outside: bool = False
    occluded: bool = False
    elements: tuple[Shape, ...] = ()

    @property
    def values(self) -> list[str]:
        """The attributes of `VALUES`, as they are written."""
        return self.text.split("\n")


class Task(NamedTuple):
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


class ImageElement(NamedTuple):
    name: str
    number: int
    size: tuple[int, int] | None
    task: str
    shapes: list[Shape]


class Track(NamedTuple):
    task: str
    shapes: list[tuple[int, Shape]]


class XmlFile:
    """What one XML file holds, gathered while expat reads it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.labels: dict[str, Category] = {}
        self.tasks: dict[str, Task] = {}
        self.images: list[ImageElement] = []
        self.tracks: list[Track] = []
        self.kinds: set[str] = set()
        self.lists_all_frames = False  # a shape that is no keyframe is listed, so all are
        self.findings: list[Finding] = []
        self._meta: ElementTree.TreeBuilder | None = None
        self._label = ""
        self._skeleton: tuple[Shape, int, bool, list[Shape], list[bool]] | None = None
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
            self.images.append(ImageElement(attributes.get("name", ""), number, size, task, []))
        elif tag == "track":
            self._label = attributes.get("label", "")
            self.tracks.append(Track(attributes.get("task_id", ""), []))
        elif tag in VALUES:
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
        shape = Shape(
            kind,
            sys.intern(attributes.get("label") or self._label),
            "\n".join([attributes.get(name, "") for name in VALUES[kind]]),
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

    def _add(self, shape: Shape, frame: int, is_key: bool) -> None:
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
            self.tasks[(task.findtext("id") or "").strip()] = Task(
                (task.findtext("name") or "").strip(),
                (task.findtext("source") or "").strip(),
                (task.findtext("mode") or "").strip() == "annotation",
                None if stop is None else range(start, stop + 1, stride),
                _size(task.findtext("original_size/width"), task.findtext("original_size/height")),
            )

    def task(self, task_id: str) -> Task:
        """The task of this id; where none is named, the only one."""
        if task_id in self.tasks:
            return self.tasks[task_id]
        return next(iter(self.tasks.values())) if len(self.tasks) == 1 else Task(task_id, "", False, None, None)


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
