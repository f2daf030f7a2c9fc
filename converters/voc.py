"""Pascal VOC: boxes in XML files, and class and object masks as PNGs.

    Annotations/*.xml  ImageSets/*/SPLIT.txt  JPEGImages/*  SegmentationClass/*.png  SegmentationObject/*.png

or XML files beside their images, as labelImg and others write them.

Definition: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.label_maps import instance_segments, segments_of
from labelferry.model import Annotations, Category, File, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import (
    IMAGE_EXTENSIONS,
    find_files,
    image_size,
    packed_colour,
    read_label_map,
    read_palette,
)
from labelferry.reading.label_colours import read_label_colours, voc_colour
from labelferry.reading.text import MAX_TEXT, read_names, read_text
from labelferry.task_type import TaskType

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 20 classes, in the order of their indices from 1."""

BOUNDARY = 255
BOUNDARY_COLOUR = (224, 224, 192)
BACKGROUND = "background"
_BORDER = packed_colour(BOUNDARY_COLOUR)

_NAMES = re.compile(rb"<name>\s*([^<]*?)\s*</name>|<(/?)(part|object)[\s>]")
_FILENAME = re.compile(rb"<filename>\s*([^<]*?)\s*</filename>")
_OBJECT = re.compile(rb"<object[\s>]")
_UTF8 = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*?encoding=[\"'](?:utf-8|us-ascii)[\"'][^>]*\?>|<\?xml[^>e]*\?>|<[a-z])", re.I
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Folders(NamedTuple):
    root: Path
    annotations: Path | None
    images: Path | None
    classes: Path | None
    objects: Path | None


class _Source(NamedTuple):
    """An image's XML or mask, None without; its own path, if it is there; what was read of the XML already."""

    label: File | None
    image: File | None
    content: bytes | None = None


@register("voc")
class Voc(Adapter):
    """Reads Pascal VOC."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION, TaskType.OBJECT_DETECTION)

    def __init__(
        self,
        path: Path,
        *,
        split: Annotated[str | None, "Only the images of ImageSets/*/SPLIT.txt, as trainval."] = None,
        images: Annotated[Path | None, "Folder of the images, if it is not JPEGImages beside Annotations."] = None,
        labels: Annotated[
            Path | None,
            "File of the class names, one a line, or a labelmap.txt of names and colours; by default the export's "
            "own labelmap.txt, the 20 VOC classes if no others occur, or else all that occur, in alphabetical order.",
        ] = None,
        one_based: Annotated[
            bool,
            "Coordinates are those of the original VOC: pixels counted from 1, the last one included.",
        ] = False,
        difficult: Annotated[bool, "Keep objects marked difficult."] = True,
        truncated: Annotated[bool, "Keep objects marked truncated."] = True,
    ) -> None:
        self.path = path
        self.split = split
        self.images = images
        self.labels = labels
        self.one_based = one_based
        self.difficult = difficult
        self.truncated = truncated
        self._found: _Folders | None = None
        self._ids: dict[str, int] = {}
        self._colours: dict[int, str] | None = None  # packed colour -> class, of a labelmap.txt

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir:
            return
        _, folders, _ = probe.listing(probe.path)
        folder = probe.path / "Annotations" if "Annotations" in folders else probe.path
        names, whole = probe.files(folder, frozenset((".xml",)), depth=1)
        sample = [probe.head(folder / name) for name in names[:5]]
        has_xml = any(b"<annotation>" in head and b"<annotations" not in head for head in sample)
        tasks = []
        if "SegmentationClass" in folders:
            tasks = [TaskType.SEMANTIC_SEGMENTATION]
            if "SegmentationObject" in folders:
                tasks.insert(0, TaskType.INSTANCE_SEGMENTATION)
            if not has_xml:
                names, whole = probe.files(probe.path / "SegmentationClass", frozenset((".png",)))
        if has_xml:
            tasks.append(TaskType.OBJECT_DETECTION)
        if tasks:
            what = "boxes" if not tasks[:-1] and has_xml else "masks and boxes" if has_xml else "masks"
            question = (
                "in VOC itself far fewer images have masks than boxes (--task object-detection)"
                if has_xml and tasks[1:]
                else ""
            )
            yield Match(probe.path, f"Pascal VOC {what}", tuple(tasks), len(names), whole, {}, question)

    def get_tasks(self) -> tuple[TaskType, ...]:
        folders = self._folders()
        tasks = []
        if folders.classes is not None:
            if folders.objects is not None:
                tasks.append(TaskType.INSTANCE_SEGMENTATION)
            tasks.append(TaskType.SEMANTIC_SEGMENTATION)
        if folders.annotations is not None:
            tasks.append(TaskType.OBJECT_DETECTION)
        if not tasks:
            text = "neither XML files nor SegmentationClass PNGs; name the folder that holds them or Annotations"
            raise ExportError(text, where=str(self.path), code="no-labels")
        return tuple(tasks)

    def get_categories(self) -> list[Category]:
        names = self._names()
        self._ids = {name: i for i, name in enumerate(names)}
        return [Category(i, name) for i, name in enumerate(names)]

    def get_images(self) -> Iterator[Image]:
        folders = self._folders()
        if self.task is TaskType.OBJECT_DETECTION:
            labels, extension = folders.annotations, ".xml"
        else:
            labels, extension = folders.classes, ".png"
        assert labels is not None
        files = {name[: name.rfind(".")]: name for name in find_files(labels, frozenset((extension,)))}
        images = {}
        if folders.images is not None:
            images = {name[: name.rfind(".")]: name for name in find_files(folders.images, IMAGE_EXTENSIONS)}
        if self.split is not None:
            stems = self._split_stems(self.split)
        elif extension == ".xml" and images:  # an image without XML is one without objects
            stems = sorted({*images, *files})
        else:
            stems = list(files)
        for stem in stems:
            label = f"{labels}/{files[stem]}" if stem in files else None
            if stem in images:
                image = f"{folders.images}/{images[stem]}"
                if label is None and extension == ".png":
                    self.findings.append(Finding("error", "mask-missing", image, f"no mask in {labels}"))
                    continue
                yield Image(images[stem], _Source(File(label) if label else None, File(image)))
            elif label is None:
                text = f"the split {self.split!r} names an image that has neither a file nor a label"
                self.findings.append(Finding("error", "image-missing", stem, text))
            elif images:
                text = f"a label without an image in {folders.images}"
                self.findings.append(Finding("error", "label-without-image", label, text))
            elif extension == ".png":
                yield Image(f"{stem}.jpg", _Source(File(label), None))
            else:
                content = _read(label)
                yield Image(self._file_name(stem, label, content), _Source(File(label), None, content))

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        if source.label is None:
            return Annotations.empty(image_size(source.image or ""))
        if self.task is TaskType.OBJECT_DETECTION:
            return self._boxes(source, source.label)
        return self._masks(source, source.label)

    def _boxes(self, source: _Source, path: str) -> Annotations:
        content = source.content or _read(path)
        root = _parse(content, path)
        findings: list[Finding] = []
        ids: list[int] = []
        boxes: list[tuple[float, float, float, float]] = []
        places: list[int] = []
        left_out = {flag: 0 for flag in ("difficult", "truncated") if not getattr(self, flag)}
        offset = 1.0 if self.one_based else 0.0
        size = None
        number = -1
        for element in root:
            if element.tag == "size":
                size = _size_of(element)
            if element.tag != "object":
                continue
            number += 1
            parts = {child.tag: child for child in element}
            if left_out and (flag := next((f for f in left_out if _is_set(parts.get(f))), None)):
                left_out[flag] += 1
                continue
            try:
                name = (parts["name"].text or "").strip()
                corners = {child.tag: child.text for child in parts["bndbox"]}
                x, y, right, bottom = [float(corners[corner] or "") for corner in _CORNERS]
            except (KeyError, ValueError) as error:
                text = _fault_of_object(parts, error)
                findings.append(Finding("error", "broken-object", f"{path}:{_line(content, number)}", text))
                continue
            if name not in self._ids:
                text = f"class {name!r} is not among the {len(self._ids)} class names"
                findings.append(Finding("error", "unknown-category", f"{path}:{_line(content, number)}", text))
                continue
            ids.append(self._ids[name])
            boxes.append((x - offset, y - offset, right - x + offset, bottom - y + offset))
            places.append(number)
        for flag, count in left_out.items():
            if count:
                findings.append(Finding("note", f"{flag}-left-out", path, f"objects marked {flag}", count))
        if size is None:
            if source.image is None:
                raise ExportError(
                    "no <size>, and no image to take it from; name --images", where=path, code="image-size"
                )
            size = image_size(source.image)
        return Annotations(
            np.array(ids, np.int64),
            size,
            np.array(boxes, np.float64).reshape(-1, 4),
            findings=findings,
            locate=partial(_locate, path, content, places),
        )

    def _masks(self, source: _Source, path: str) -> Annotations:
        values, are_colours = read_label_map(path)
        ids = self._ids_by_value(path, are_colours)
        size = image_size(source.image) if source.image else (values.shape[1], values.shape[0])
        segments, findings, _ = segments_of(values, ids.__getitem__, path, are_colours)
        if self.task is TaskType.INSTANCE_SEGMENTATION:
            objects_path = f"{self._folders().objects}/{os.path.basename(path)}"
            objects, are_colours = read_label_map(objects_path)
            no_object = frozenset((0, _BORDER if are_colours else BOUNDARY))
            classes = {value: category_id for value, category_id in ids.items() if category_id is not None}
            segments, more, _ = instance_segments(objects, values, no_object, classes, objects_path, path)
            findings += more
        return Annotations(
            np.array([category_id for _, category_id, _ in segments], np.int64),
            size,
            masks=[mask for *_, mask in segments],
            findings=findings,
            locate=lambda i: f"{path}, value {segments[i][0]}",
        )

    def _ids_by_value(self, path: str, are_colours: bool) -> dict[int, int | None]:
        """The category that each value of a mask stands for; None for background and boundary."""
        edge = _BORDER if are_colours else BOUNDARY
        if self._colours is None:
            indices = dict(enumerate(self._ids.values(), 1))
            if are_colours:
                return {0: None, edge: None, **{packed_colour(voc_colour(i)): c for i, c in indices.items()}}
            return {0: None, edge: None, **indices}
        by_colour = {name_colour: self._ids.get(name) for name_colour, name in self._colours.items()}
        if are_colours:
            return {edge: None, **by_colour}
        palette = read_palette(path)
        if palette is None:  # grey: indices in the order of the labelmap
            return {edge: None, **dict(enumerate(by_colour.values()))}
        packed = enumerate(map(packed_colour, palette))
        return {edge: None, **{i: by_colour[colour] for i, colour in packed if colour in by_colour}}

    def _folders(self) -> _Folders:
        if self._found is None:
            root = self.path
            if not root.is_dir():
                text = "a folder was expected: the one that holds Annotations, or XML files"
                raise ExportError(text, where=str(root), code="no-labels")
            annotations = root / "Annotations"
            if root.name == "Annotations" or not annotations.is_dir():
                annotations = root
            if root.name == "Annotations":
                root = root.parent
            has_xml = next(find_files(annotations, frozenset((".xml",))), None) is not None
            classes, objects = root / "SegmentationClass", root / "SegmentationObject"
            candidates = [root / "JPEGImages", root / "images", root / "Images"]
            if not classes.is_dir():  # whose masks would be taken for images
                candidates.append(annotations)
            images = self.images or next(
                (f for f in candidates if f.is_dir() and next(find_files(f, IMAGE_EXTENSIONS), None)), None
            )
            self._found = _Folders(
                root,
                annotations if has_xml else None,
                images,
                classes if classes.is_dir() else None,
                objects if objects.is_dir() else None,
            )
        return self._found

    def _names(self) -> list[str]:
        """The classes: given, of a labelmap, VOC's own, or found."""
        folders = self._folders()
        labels = self.labels
        if labels is None and (folders.root / "labelmap.txt").is_file():
            labels = folders.root / "labelmap.txt"
        if labels is not None:
            lines = [line for line in read_text(labels).splitlines() if line.strip() and not line.startswith("#")]
            if not lines or ":" not in lines[0]:
                names = read_names(labels)
                return [name for name in names if name != BACKGROUND]
            if not any(line.partition(":")[2].strip(": ") for line in lines):  # Datumaro's, of boxes, has names alone
                return [name for line in lines if (name := line.partition(":")[0].strip()) != BACKGROUND]
            colours = read_label_colours(labels)
            self._colours = {packed_colour(colour): "" if name == BACKGROUND else name for name, colour in colours}
            return [name for name, _ in colours if name != BACKGROUND]
        if self.task is not TaskType.OBJECT_DETECTION:
            assert folders.classes is not None
            first = next(find_files(folders.classes, frozenset((".png",))), None)
            palette = read_palette(f"{folders.classes}/{first}") if first else None
            if palette is not None and list(palette[: len(CLASSES) + 1]) != [
                voc_colour(i) for i in range(min(len(palette), len(CLASSES) + 1))
            ]:
                text = "the palette is not VOC's; name the classes and colours with --labels labelmap.txt"
                raise ExportError(text, where=f"{folders.classes}/{first}", code="unknown-palette")
            return list(CLASSES)
        assert folders.annotations is not None
        found: set[str] = set()
        for name in find_files(folders.annotations, frozenset((".xml",))):
            found |= _class_names(f"{folders.annotations}/{name}")
        return list(CLASSES) if found <= set(CLASSES) else sorted(found)

    def _split_stems(self, split: str) -> list[str]:
        sets = self._folders().root / "ImageSets"
        first = "Main" if self.task is TaskType.OBJECT_DETECTION else "Segmentation"
        others = sorted(p.name for p in sets.iterdir() if p.is_dir()) if sets.is_dir() else []
        for folder in (first, *others, "."):
            path = sets / folder / f"{split}.txt"
            if path.is_file():
                return [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
        known = sorted({p.stem for p in sets.rglob("*.txt")})
        text = f"no split {split!r}; it has {', '.join(known[:20]) or 'none'}"
        raise ExportError(text, where=str(sets), code="no-split")

    def _file_name(self, stem: str, path: str, content: bytes) -> str:
        """The image's name as the XML has it; it may hold a path of another machine, or lack the extension."""
        given = _filename(content, path).replace("\\", "/")
        name = given.rpartition("/")[2] or os.path.basename(stem)
        if os.path.splitext(name)[1].lower() not in IMAGE_EXTENSIONS:
            name += ".jpg"
        if name != given:
            text = f"the <filename> {given!r} was read as {name!r}"
            self.findings.append(Finding("repair", "filename-mended", path, text))
        folder = stem.rpartition("/")[0]
        return f"{folder}/{name}" if folder else name


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        content = os.read(file, 1 << 16)
        while more := os.read(file, 1 << 24):
            content += more
            if len(content) > MAX_TEXT:
                raise ExportError(f"larger than {MAX_TEXT // 2**20} MiB", where=path)
        return content
    finally:
        os.close(file)


def _parse(content: bytes, path: str) -> ElementTree.Element:
    """The XML's root; entities and document types are refused, so that nothing is expanded or fetched."""
    try:
        if b"<!" not in content and _UTF8.match(content):  # no declaration can hide in UTF-8 without these two
            return ElementTree.fromstring(content)
        import defusedxml.ElementTree

        root: ElementTree.Element = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
        return root
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise ExportError(f"not XML: {error}", where=f"{path}:{line}", code="broken-xml") from None
    except ValueError as error:  # defusedxml's refusals, and encodings that Python does not know
        raise ExportError(f"refused: {error}", where=path, code="refused-xml") from None
    except LookupError as error:
        raise ExportError(f"not XML: {error}", where=path, code="broken-xml") from None


def _filename(content: bytes, path: str) -> str:
    """What <filename> holds; nothing if there is none, or no XML at all, which `get_labels` tells."""
    if b"&" not in content and _UTF8.match(content):
        match = _FILENAME.search(content)
        return match[1].decode("utf-8", "replace") if match else ""
    try:
        return (_parse(content, path).findtext("filename") or "").strip()
    except ExportError:
        return ""


def _class_names(path: str) -> set[str]:
    """Names of an XML's objects, without those of their parts; none of what is no XML, which `get_labels` tells."""
    content = _read(path)
    names: set[str] = set()
    if b"<!" in content or b"&" in content or not _UTF8.match(content):
        try:
            return {(name.text or "").strip() for name in _parse(content, path).iterfind("object/name")} - {""}
        except ExportError:
            return names
    in_object = in_part = False
    for name, closing, tag in _NAMES.findall(content):
        if tag == b"object":
            in_object = not closing
        elif tag == b"part":
            in_part = not closing
        elif in_object and not in_part:
            names.add(name.decode("utf-8", "replace"))
    return names - {""}


def _size_of(element: ElementTree.Element) -> tuple[int, int] | None:
    """Width and height; None where they are missing or 0, as some tools write them."""
    try:
        width, height = (int(float(element.findtext(side) or "")) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _is_set(element: ElementTree.Element | None) -> bool:
    return element is not None and (element.text or "").strip().lower() in ("1", "true", "yes")


def _fault_of_object(parts: dict[str, ElementTree.Element], error: Exception) -> str:
    if "name" not in parts:
        return "an object without a <name>"
    if "bndbox" not in parts:
        return f"an object without a <bndbox>; it has {', '.join(sorted(parts))}"
    if isinstance(error, KeyError):
        return f"a <bndbox> without <{error.args[0]}>"
    return f"a <bndbox> with something that is no number: {error}"


def _line(content: bytes, number: int) -> int:
    """The line at which the object of this number begins."""
    for i, match in enumerate(_OBJECT.finditer(content)):
        if i == number:
            return content.count(b"\n", 0, match.start()) + 1
    return 1


def _locate(path: str, content: bytes, places: list[int], index: int) -> str:
    return f"{path}:{_line(content, places[index])}"
