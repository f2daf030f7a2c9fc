"""What an annotations.xml holds: shapes, images, tracks and tasks, as they are written."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class ImageElement:
    """An image with its shapes.

    Attributes:
        name: as it is written.
        number: of the frame, if the task is of a video.
        size: (width, height) in pixels.
        task: id of the task.
        found: elements in it that are shapes, counted where they begin.
        shapes: those that could be read.
        findings: those that could not.
    """

    name: str
    number: int
    size: tuple[int, int] | None
    task: str
    found: int = 0
    shapes: list[Shape] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Track:
    """A track.

    Attributes:
        task: id of the task.
        line: where it begins.
        shapes: those that could be read, each with the number of its frame.
        findings: those that could not.
    """

    task: str
    line: int
    shapes: list[tuple[int, Shape]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def found(self) -> int:
        """How many objects it lists; a shape that is outside is not an object."""
        return sum(not shape.outside for _, shape in self.shapes) + sum(finding.lost for finding in self.findings)


class _OpenSkeleton(NamedTuple):
    """A skeleton whose end is not read yet, and its elements, each with whether it is a keyframe."""

    shape: Shape
    frame: str
    is_key: bool
    elements: list[tuple[Shape, bool]]


class XmlFile:
    """What one XML file holds, collected while expat reads it.

    Attributes:
        path: of the file.
        labels: by name, in their order.
        tasks: by id.
        images: all of them.
        tracks: all of them.
        lists_all_frames: whether tracks list their shapes in every frame: a shape that is not a keyframe is listed.
        findings: about shapes that are in no image and no track.

    Raises:
        ExportError: it is not the XML of CVAT.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.labels: dict[str, Category] = {}
        self.tasks: dict[str, Task] = {}
        self.images: list[ImageElement] = []
        self.tracks: list[Track] = []
        self.lists_all_frames = False
        self.findings: list[Finding] = []
        self._depth = 0
        self._meta: ElementTree.TreeBuilder | None = None
        self._holder: ImageElement | Track | None = None
        self._label = ""
        self._skeleton: _OpenSkeleton | None = None
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
        del self._parser  # which refers to this object, as its handlers do

    def task_id(self, written: str) -> str:
        """The id of the task that an image or a track is of: if there is one task, it need not be named."""
        return next(iter(self.tasks)) if len(self.tasks) == 1 else written

    def task(self, task_id: str) -> Task:
        """The task of this id; of one that the head does not describe, only the id is known."""
        return self.tasks.get(task_id) or Task(task_id, "", False, None, None)

    def _refuse(self, *_: object) -> None:
        raise ExportError("a document type is refused", where=self._where(), code="refused-xml")

    def _where(self) -> str:
        return f"{self.path}:{self._parser.CurrentLineNumber}"

    def _text(self, text: str) -> None:
        if self._meta is not None:
            self._meta.data(text)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        depth = self._depth
        self._depth += 1
        if depth == 0 and tag != "annotations":
            text = f"<annotations> was expected, found <{tag}>; is it an export in the format CVAT 1.1?"
            raise ExportError(text, where=self._where(), code="not-cvat")
        if depth == 1:
            self._open(tag, attributes)
        if self._meta is not None:
            self._meta.start(tag, attributes)
        elif depth == 2 and self._holder is not None and tag != "attribute":
            self._shape(tag, attributes)
        elif depth == 3 and self._skeleton is not None and tag in VALUES:
            self._skeleton.elements.append((self._as_written(tag, attributes), _is_key(attributes)))
        elif tag in VALUES:
            text = f"a <{tag}> stands where no shape is expected; shapes are elements of <image> and <track>"
            self.findings.append(Finding.error("broken-shape", self._where(), text, lost=1))

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._meta is not None:
            self._meta.end(tag)
            if self._depth == 1:
                self._read_meta(self._meta.close())
                self._meta = None
        elif self._depth == 1:
            self._holder = None
        elif self._depth == 2 and self._skeleton is not None:
            shape, frame, is_key, elements = self._skeleton
            self._skeleton = None
            outside = bool(elements) and all(element.outside for element, _ in elements)
            shape = shape._replace(elements=tuple(element for element, _ in elements), outside=shape.outside or outside)
            self._add(shape, frame, is_key or any(is_key for _, is_key in elements))

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        """An element of the root begins."""
        task = attributes.get("task_id", "")
        self._label = ""
        if tag == "meta":
            self._meta = ElementTree.TreeBuilder()
        elif tag == "image":
            size = _size(attributes.get("width"), attributes.get("height"))
            number = _whole(attributes.get("id", "")) or 0
            self._holder = ImageElement(attributes.get("name", ""), number, size, task)
            self.images.append(self._holder)
        elif tag == "track":
            self._label = attributes.get("label", "")
            self._holder = Track(task, self._parser.CurrentLineNumber)
            self.tracks.append(self._holder)

    def _shape(self, tag: str, attributes: dict[str, str]) -> None:
        """An element of an image or a track begins."""
        assert self._holder is not None
        if isinstance(self._holder, ImageElement):
            self._holder.found += 1
        frame, is_key = attributes.get("frame", ""), _is_key(attributes)
        if tag not in VALUES:
            text = f"<{tag}> is not a shape that is known: {', '.join(VALUES)}"
            lost = int(attributes.get("outside") != "1" or isinstance(self._holder, ImageElement))
            self._holder.findings.append(Finding.error("broken-shape", self._where(), text, lost=lost))
        elif tag == "skeleton":
            self._skeleton = _OpenSkeleton(self._as_written(tag, attributes), frame, is_key, [])
        else:
            self._add(self._as_written(tag, attributes), frame, is_key)

    def _as_written(self, kind: str, attributes: dict[str, str]) -> Shape:
        return Shape(
            kind,
            sys.intern(attributes.get("label") or self._label),
            "\n".join([attributes.get(name, "") for name in VALUES[kind]]),
            self._parser.CurrentLineNumber,
            attributes.get("outside") == "1",
            attributes.get("occluded") == "1",
        )

    def _add(self, shape: Shape, frame: str, is_key: bool) -> None:
        """A shape of an image or a track is complete."""
        holder = self._holder
        if isinstance(holder, ImageElement):
            holder.shapes.append(shape)
        elif holder is not None:
            number = _whole(frame)
            if number is None or number >= MAX_FRAMES:
                text = f"a <{shape.kind}> of a track without the number of its frame, or one beyond {MAX_FRAMES:,}"
                where = f"{self.path}:{shape.line}"
                holder.findings.append(Finding.error("broken-shape", where, text, lost=int(not shape.outside)))
                return
            holder.shapes.append((number, shape))
            self.lists_all_frames = self.lists_all_frames or not is_key

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


def _is_key(attributes: dict[str, str]) -> bool:
    return attributes.get("keyframe", "1") != "0"


def _size(width: str | None, height: str | None) -> tuple[int, int] | None:
    size = _whole(width or ""), _whole(height or "")
    return (size[0], size[1]) if size[0] and size[1] else None


def _whole(text: str) -> int | None:
    """A number that is not negative; None of anything else."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 16 else None
