"""What an annotations.xml holds: shapes, images, tracks and tasks, as they are written."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple
from xml.parsers import expat

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.reading.images import MAX_FRAMES, is_video
from labelferry.reading.keys import key_evidence

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

_ROOT = ("meta", "image", "track")
_ATTRIBUTES = {"image": ("id", "name", "width", "height", "subset", "task_id"), "track": ("label", "task_id")}
"""What is read of the root's elements, and of their attributes."""

_IGNORED = ("version", "id", "source", "subset", "z_order", "group_id", "occluded", "attribute")
"""Elements and attributes of the format that are not read, and so are no misspellings."""

_HEAD = {
    "label": ("name", "parent", "svg"),
    "task": ("id", "name", "source", "mode", "size", "start_frame", "stop_frame", "frame_filter", "original_size"),
}
"""What is read of the head. What else there is describes the project, and is not noted unless it is misspelt."""

_HEAD_IGNORED = (
    *("labels", "color", "type", "attributes", "overlap", "bugtracker", "flipped", "created", "updated", "subset"),
    *("segments", "owner", "assignee", "dumped", "chapters"),
)

_NODE = re.compile(r"<circle\b[^>]*>")
_EDGE = re.compile(r"<line\b[^>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_STEP = re.compile(r"step\s*=\s*([1-9]\d{0,9})")


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
        subset: of the task, which is a folder in exports of projects.
        line: where it begins.
        fault: why it gets no file.
        found: elements in it that are shapes, counted where they begin.
        shapes: those that could be read.
        findings: those that could not.
    """

    name: str
    number: int | None
    size: tuple[int, int] | None
    task: str
    subset: str
    line: int
    fault: str = ""
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


@dataclass(slots=True)
class _OpenSkeleton:
    """A skeleton whose end is not read yet.

    Attributes:
        shape: without its elements.
        frame: as it is written.
        is_key: whether it or one of its elements is a keyframe.
        elements: those that were read.
        fault: why it cannot be read.
    """

    shape: Shape
    frame: str
    is_key: bool
    elements: list[Shape] = field(default_factory=list)
    fault: str = ""


class XmlFile:
    """What one XML file holds, collected while expat reads it.

    Attributes:
        path: of the file.
        labels: by name, in their order.
        tasks: by id.
        images: all of them.
        tracks: all of them.
        lists_all_frames: whether tracks list their shapes in every frame: a shape that is not a keyframe is listed.
        findings: about the head, and shapes that are in no image and no track.
        evidence: as `Batch.evidence`: elements and attributes that are not read.

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
        self.evidence: Counter[str] = Counter()
        self._missing: dict[str, tuple[int, int]] = {}
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
        for name, (line, count) in self._missing.items():
            text = f"`{name}` is missing, which CVAT writes, and read as {int(name == 'keyframe')}"
            self.findings.append(Finding.warning("attribute-missing", f"{path}:{line}", text, count))
        del self._parser  # which refers to this object, as its handlers do

    def task_id(self, written: str) -> str:
        """The id of the task that an image or a track is of: if there is one task, it need not be named."""
        return next(iter(self.tasks)) if len(self.tasks) == 1 and not written else written

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
        elif not text.isspace() and (self._depth in (1, 3) or (self._depth == 2 and self._holder is not None)):
            holder = type(self._holder).__name__.removesuffix("Element").lower()
            self.evidence[f"unread:text in <{holder if self._depth > 1 else 'annotations'}>"] += 1

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
        elif depth == 3 and self._skeleton is not None and tag != "attribute":
            self._element(self._skeleton, tag, attributes)
        elif tag in VALUES:
            text = f"a <{tag}> stands where no shape is expected; shapes are elements of <image> and <track>"
            self.findings.append(Finding.error("broken-shape", self._where(), text, lost=1))
        elif depth > 1:
            self.evidence[key_evidence(tag, (), _IGNORED)] += 1

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._meta is not None:
            self._meta.end(tag)
            if self._depth == 1:
                self._read_meta(self._meta.close())
                self._meta = None
        elif self._depth == 1:
            if isinstance(self._holder, Track) and not self._holder.shapes and not self._holder.findings:
                where = f"{self.path}:{self._holder.line}"
                self.findings.append(Finding.warning("track-empty", where, "a track without shapes"))
            self._holder = None
        elif self._depth == 2 and self._skeleton is not None:
            skeleton, self._skeleton = self._skeleton, None
            elements = tuple(skeleton.elements)
            is_outside = skeleton.shape.outside or (bool(elements) and all(element.outside for element in elements))
            shape = skeleton.shape._replace(elements=elements, outside=is_outside)
            if skeleton.fault:
                self._refuse_shape(f"{self.path}:{shape.line}", skeleton.fault, is_outside)
            else:
                self._add(shape, skeleton.frame, skeleton.is_key)

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        """An element of the root begins."""
        task = attributes.get("task_id", "")
        self._label = ""
        line = self._parser.CurrentLineNumber
        if tag == "meta":
            self._meta = ElementTree.TreeBuilder()
        elif tag == "image":
            size, fault = None, ""
            if "width" in attributes or "height" in attributes:
                width, height = attributes.get("width"), attributes.get("height")
                size = _size(width, height)
                fault = "" if size else f"the width and height of the image are {width!r} and {height!r}"
            name, subset = attributes.get("name", ""), attributes.get("subset", "")
            self._holder = ImageElement(name, _whole(attributes.get("id", "")), size, task, subset, line, fault)
            self.images.append(self._holder)
        elif tag == "track":
            self._label = attributes.get("label", "")
            self._holder = Track(task, line)
            self.tracks.append(self._holder)
        else:
            self.evidence[key_evidence(tag, _ROOT, _IGNORED)] += tag != "version"
        self._count_unread(attributes, _ATTRIBUTES.get(tag, ()))

    def _count_unread(self, attributes: dict[str, str], known: tuple[str, ...]) -> None:
        for name in attributes:
            if name not in known:
                self.evidence[key_evidence(name, known, _IGNORED)] += 1

    def _shape(self, tag: str, attributes: dict[str, str]) -> None:
        """An element of an image or a track begins."""
        if isinstance(self._holder, ImageElement):
            self._holder.found += 1
        is_outside = attributes.get("outside") == "1"
        if tag not in VALUES:
            self._refuse_shape(self._where(), f"<{tag}> is not a shape that is known: {', '.join(VALUES)}", is_outside)
            return
        frame = attributes.get("frame", "")
        try:
            shape, is_key = self._as_written(tag, attributes)
        except ValueError as error:
            if tag == "skeleton":
                shape = Shape(tag, "", "", self._parser.CurrentLineNumber, is_outside)
                self._skeleton = _OpenSkeleton(shape, frame, True, fault=str(error))
            else:
                self._refuse_shape(self._where(), str(error), is_outside)
            return
        if tag == "skeleton":
            self._skeleton = _OpenSkeleton(shape, frame, is_key)
        else:
            self._add(shape, frame, is_key)

    def _element(self, skeleton: _OpenSkeleton, tag: str, attributes: dict[str, str]) -> None:
        """An element of a skeleton begins."""
        if tag != "points":
            skeleton.fault = f"a <skeleton> with <{tag}> in it; its elements are <points>"
            return
        try:
            shape, is_key = self._as_written(tag, attributes)
        except ValueError as error:
            skeleton.fault = str(error)
            return
        skeleton.elements.append(shape)
        skeleton.is_key = skeleton.is_key or is_key

    def _as_written(self, kind: str, attributes: dict[str, str]) -> tuple[Shape, bool]:
        """A shape, and whether it is a keyframe.

        Raises:
            ValueError: a flag is neither 0 nor 1, or the rotation is empty.
        """
        is_element, is_tracked = self._skeleton is not None, isinstance(self._holder, Track)
        known = _known_attributes(kind, is_tracked)
        self._count_unread(attributes, known)
        if attributes.get("rotation") == "":  # which is 0 only where it is missing
            raise ValueError(f"a <{kind}> with rotation=''; a number was expected")
        outside = occluded = False
        if "outside" in known:
            outside = self._flag(kind, attributes, "outside", is_element or (is_tracked and kind != "skeleton"))
        if kind == "points":
            occluded = self._flag(kind, attributes, "occluded", True)
        is_key = is_tracked and self._flag(kind, attributes, "keyframe", not is_element)
        if "keyframe" not in attributes:  # the elements of a skeleton need not say it
            is_key = not is_element
        shape = Shape(
            kind,
            sys.intern(attributes.get("label") or self._label),
            "\n".join([attributes.get(name, "") for name in VALUES[kind]]),
            self._parser.CurrentLineNumber,
            outside,
            occluded,
        )
        return shape, is_key

    def _flag(self, kind: str, attributes: dict[str, str], name: str, is_required: bool) -> bool:
        """Whether an attribute is 1; one that is missing is counted where CVAT writes it.

        Raises:
            ValueError: it is neither 0 nor 1.
        """
        value = attributes.get(name)
        if value is None:
            if is_required:
                line, count = self._missing.get(name, (self._parser.CurrentLineNumber, 0))
                self._missing[name] = line, count + 1
            return False
        if value not in ("0", "1"):
            raise ValueError(f"a <{kind}> with {name}={value!r}; 0 or 1 was expected")
        return value == "1"

    def _refuse_shape(self, where: str, text: str, is_outside: bool) -> None:
        """A shape of an image or a track cannot be read."""
        assert self._holder is not None
        lost = int(isinstance(self._holder, ImageElement) or not is_outside)
        self._holder.findings.append(Finding.error("broken-shape", where, text, lost=lost))

    def _add(self, shape: Shape, frame: str, is_key: bool) -> None:
        """A shape of an image or a track is complete."""
        holder = self._holder
        if isinstance(holder, ImageElement):
            holder.shapes.append(shape)
        elif holder is not None:
            number = _whole(frame)
            if number is None or number >= MAX_FRAMES:
                text = f"a <{shape.kind}> of a track without the number of its frame, or one beyond {MAX_FRAMES:,}"
                self._refuse_shape(f"{self.path}:{shape.line}", text, shape.outside)
                return
            holder.shapes.append((number, shape))
            self.lists_all_frames = self.lists_all_frames or not is_key

    def _read_meta(self, meta: ElementTree.Element) -> None:
        labels = list(meta.iter("label"))
        children: dict[str, list[str]] = {}
        for element in meta.iter("labels"):
            others = (child.tag for child in element if child.tag != "label")
            self.evidence.update(key_evidence(tag, ("label",), _HEAD_IGNORED) for tag in others)
            if any(text and text.strip() for text in (element.text, *(child.tail for child in element))):
                self.evidence["unread:text in <labels>"] += 1
        for label in labels:
            self._look_for_misspellings(label)
            if not self._only(label, "name"):
                raise ExportError("a <label> without a <name>", where=self._where(), code="broken-head")
            if parent := self._only(label, "parent"):
                children.setdefault(parent, []).append(self._only(label, "name"))
        names = Counter(self._only(label, "name") for label in labels if not self._only(label, "parent"))
        if twice := [name for name, count in names.items() if count > 1]:
            text = f"several labels have the name {', '.join(map(repr, twice))}; they become one class"
            self.findings.append(Finding.warning("label-twice", self._where(), text, len(twice)))
        for label in labels:
            name = self._only(label, "name")
            if not self._only(label, "parent"):
                keypoints = tuple(dict.fromkeys(children.get(name, ())))
                known = self.labels.setdefault(name, Category(len(self.labels), name, keypoints))
                self.labels[name] = known._replace(skeleton=self._skeleton_edges(label, keypoints))
        if unknown := children.keys() - self.labels.keys():
            text = f"a <label> with the <parent> {min(unknown)!r}, which is not a label"
            raise ExportError(text, where=self._where(), code="broken-head")
        size = _size(meta.findtext("original_size/width"), meta.findtext("original_size/height"))
        source = self._only(meta, "source")  # older versions write it here
        for element in (*meta.iter("task"), *meta.iter("job")):
            task = self._task(element)
            task = task._replace(source=task.source or source, size=task.size or size)
            task_id = self._only(element, "id")
            if self.tasks.setdefault(task_id, task) != task:
                raise ExportError(f"two tasks have the id {task_id!r}", where=self._where(), code="broken-task")

    def _task(self, element: ElementTree.Element) -> Task:
        """A task or job.

        Raises:
            ExportError: its frames are not described by numbers.
        """
        self._look_for_misspellings(element)
        numbers = {}
        for name in ("start_frame", "stop_frame", "size"):
            text = self._only(element, name)
            numbers[name] = _whole(text)
            if text and numbers[name] is None:
                raise ExportError(f"the <{name}> of a task is {text!r}", where=self._where(), code="broken-task")
        mode, frame_filter = self._only(element, "mode"), self._only(element, "frame_filter")
        step = _STEP.fullmatch(frame_filter)
        if frame_filter and step is None:
            text = f"the <frame_filter> of a task is {frame_filter!r}; step=N was expected"
            raise ExportError(text, where=self._where(), code="broken-task")
        if mode not in ("annotation", "interpolation", ""):
            text = f"the <mode> of a task is {mode!r}; annotation or interpolation was expected"
            raise ExportError(text, where=self._where(), code="broken-task")
        stride = int(step[1]) if step else 1
        start, stop, count = numbers["start_frame"] or 0, numbers["stop_frame"], numbers["size"]
        if stop is None and count is not None:
            stop = start + (count - 1) * stride
        if stop is not None and stop >= MAX_FRAMES:
            text = f"a task whose last frame is {stop}; at most {MAX_FRAMES:,} frames are read"
            raise ExportError(text, where=self._where(), code="broken-task")
        frames = None if stop is None else range(start, stop + 1, stride)
        if frames is not None and count not in (None, len(frames)) and mode != "annotation":
            text = (
                f"the <size> of a task is {count}; from {start} to {stop} in steps of {stride} are {len(frames)} frames"
            )
            self.findings.append(Finding.warning("frames-differ", self._where(), text))
        size = element.find("original_size")
        return Task(
            self._only(element, "name"),
            self._only(element, "source"),
            mode == "annotation",
            frames,
            None if size is None else _size(self._only(size, "width"), self._only(size, "height")),
        )

    def _look_for_misspellings(self, element: ElementTree.Element) -> None:
        """Count the elements of a task or label that are nearly one that is read."""
        known = _HEAD["label" if element.tag == "label" else "task"]
        for child in element:
            if child.tag not in known:
                evidence = key_evidence(child.tag, known, _HEAD_IGNORED)
                self.evidence[evidence] += not evidence.startswith("unread:")

    def _only(self, element: ElementTree.Element, tag: str) -> str:
        """The text of a child; empty if there is none.

        Raises:
            ExportError: there are several, which differ.
        """
        texts = {(child.text or "").strip() for child in element.findall(tag)}
        if len(texts) > 1:
            shown = " and ".join(map(repr, sorted(texts)))
            raise ExportError(
                f"a <{element.tag}> with several <{tag}>: {shown}", where=self._where(), code="broken-head"
            )
        return next(iter(texts), "")

    def _skeleton_edges(self, label: ElementTree.Element, keypoints: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        """Edges between keypoints, 1-based, of the drawing of a skeleton's label."""
        svg = self._only(label, "svg")
        nodes: dict[str, int] = {}
        for circle in _NODE.findall(svg):
            attributes = dict(_ATTRIBUTE.findall(circle))
            name = attributes.get("data-label-name", "")
            if name in keypoints:
                nodes[attributes.get("data-node-id", "")] = keypoints.index(name) + 1
        edges, lost = [], len(keypoints) - len(nodes)
        for line in _EDGE.findall(svg):
            attributes = dict(_ATTRIBUTE.findall(line))
            ends = nodes.get(attributes.get("data-node-from", "")), nodes.get(attributes.get("data-node-to", ""))
            if ends[0] and ends[1]:
                edges.append((ends[0], ends[1]))
            else:
                lost += 1
        if lost:
            text = (
                f"the drawing (<svg>) of the label {self._only(label, 'name')!r} does not show all its points and edges"
            )
            self.findings.append(Finding.warning("skeleton-drawing", self._where(), text))
        return tuple(edges)


@cache
def _known_attributes(kind: str, is_tracked: bool) -> tuple[str, ...]:
    """The attributes of a shape that are read."""
    known = ("label", *VALUES[kind])
    if is_tracked:
        known += ("frame", "keyframe")
    if is_tracked or kind in ("points", "skeleton"):
        known += ("outside",)
    return (*known, "occluded") if kind == "points" else known


def _size(width: str | None, height: str | None) -> tuple[int, int] | None:
    size = _whole(width or ""), _whole(height or "")
    return (size[0], size[1]) if size[0] and size[1] else None


def _whole(text: str) -> int | None:
    """A number that is not negative; None of anything else."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 16 else None
