"""Pascal VOC: boxes in XML files, and class and object masks as PNGs.

    Annotations/*.xml  ImageSets/*/SPLIT.txt  JPEGImages/*  SegmentationClass/*.png  SegmentationObject/*.png

or XML files beside their images, as labelImg and others write them.

Definition: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.converters.voc.layout import find_classes, find_folders, stems_of_split, tasks_of
from labelferry.converters.voc.masks import read_masks
from labelferry.converters.voc.xml import (
    FLAGS,
    count_objects,
    file_name,
    object_lines,
    parse_boxes,
    parse_objects,
)
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request, choose_task
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, image_size
from labelferry.reading.text import read_label_file
from labelferry.task_type import TaskType

SMALL = 1 << 16
"""Bytes of an XML file that is read together with others, and that an image carries to a worker."""


class _Source(NamedTuple):
    """What an image's labels are read from.

    Attributes:
        label: path of the XML, or of the PNG of classes; None: the image has none.
        objects: path of the PNG of objects, where instances are wanted.
        image: path of the image, if it is there.
        content: of the XML, if it was read for the image's name.
    """

    label: str | None
    objects: str | None = None
    image: str | None = None
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

    def open(self, request: Request) -> Export:
        return _VocExport(self, request)

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


class _VocExport(Export):
    """An export; `source` of an image is a `_Source`."""

    def __init__(self, adapter: Voc, request: Request) -> None:
        folders = self._folders = find_folders(adapter.path, adapter.images)
        tasks = tasks_of(folders, adapter.path)
        _, source_task = choose_task(tasks, request.task)
        self._has_boxes = source_task is TaskType.OBJECT_DETECTION
        classes = find_classes(folders, adapter.labels, self._has_boxes)
        self._ids = {name: i for i, name in enumerate(classes.names)}
        self._colours = classes.colours
        self._split = adapter.split
        self._origin = 1.0 if adapter.one_based else 0.0
        self._left_out = [flag for flag in FLAGS if not getattr(adapter, flag)]
        categories = [Category(i, name) for i, name in enumerate(classes.names)]
        super().__init__(request, tasks, categories, [] if classes.file is None else [str(classes.file)])

    def images(self) -> Iterator[Image | Finding]:
        folders = self._folders
        labels, extension = (folders.annotations, ".xml") if self._has_boxes else (folders.classes, ".png")
        assert labels is not None
        files = {name[: name.rfind(".")]: name for name in find_files(labels, frozenset((extension,)))}
        images = {}
        if folders.images is not None:
            images = {name[: name.rfind(".")]: name for name in find_files(folders.images, IMAGE_EXTENSIONS)}
        if self._split is not None:
            stems = stems_of_split(folders.root / "ImageSets", self._split, self._has_boxes)
        elif self._has_boxes and images:  # an image without XML is one without objects
            stems = sorted({*images, *files})
        else:
            stems = list(files)
        for stem in stems:
            label = f"{labels}/{files[stem]}" if stem in files else None
            image = f"{folders.images}/{images[stem]}" if stem in images else None
            if image is not None and label is None and not self._has_boxes:
                yield Finding.error("mask-missing", image, f"no mask in {labels}")
            elif image is not None:
                yield self._image(images[stem], label, image)
            elif label is None:
                text = f"the split {self._split!r} names an image that has neither a file nor a label"
                yield Finding.error("image-missing", stem, text)
            elif images:
                text = f"a label without an image in {folders.images}"
                lost = count_objects(label) if self._has_boxes else 0
                yield Finding.error("label-without-image", label, text, lost=lost)
            elif self._has_boxes:
                yield from self._named_by_xml(stem, label)
            else:
                yield self._image(f"{stem}.jpg", label, None)

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        return self._read_boxes(images) if self._has_boxes else super().read(images, payload)

    def labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        if source.label is None:
            return Annotations.empty(image_size(source.image or ""))
        if self._has_boxes:
            return self._boxes(source, source.label)
        return read_masks(source.label, source.objects, source.image, len(self.categories), self._colours)

    def _image(self, name: str, label: str | None, image: str | None) -> Image:
        objects = None
        if self.source_task is TaskType.INSTANCE_SEGMENTATION and label is not None:
            objects = f"{self._folders.objects}/{os.path.basename(label)}"
        files = tuple(path for path in (label, objects, image) if path is not None)
        return Image(name, _Source(label, objects, image), files=files)

    def _named_by_xml(self, stem: str, path: str) -> Iterator[Image | Finding]:
        """An image without a file, under the name that its XML gives. That may hold a path of another machine, or have
        no extension."""
        try:
            content = read_label_file(path)
        except ExportError as error:
            yield Finding.error(error.code, error.where, error.message)
            return
        given = file_name(content, path).replace("\\", "/")
        name = given.rpartition("/")[2] or os.path.basename(stem)
        if os.path.splitext(name)[1].lower() not in IMAGE_EXTENSIONS:
            name += ".jpg"
        if name != given:
            yield Finding.repair("filename-mended", path, f"the <filename> {given!r} was read as {name!r}")
        folder = stem.rpartition("/")[0]
        source = _Source(path, content=content if len(content) <= SMALL else None)
        yield Image(f"{folder}/{name}" if folder else name, source, files=(path,))

    def _boxes(self, source: _Source, path: str) -> Annotations:
        content = _content(source)
        objects = parse_objects(content, path, self._ids, self._left_out, self._origin)
        size = objects.size
        if size is None:
            try:
                if source.image is None:
                    text = "no <size>, and no image to take it from; name --images"
                    raise ExportError(text, where=path, code="image-size")
                size = image_size(source.image)
            except ExportError as error:
                error.lost = objects.found
                raise
        places = objects.places
        return Annotations(
            np.array(objects.category_ids, np.int64),
            size,
            np.array(objects.boxes, np.float64).reshape(-1, 4),
            findings=objects.findings,
            locate=lambda i: f"{path}:{object_lines(content)[places[i]]}",
            found=objects.found,
        )

    def _read_boxes(self, images: Sequence[Image]) -> Iterator[Batch]:
        """XML files in the usual form, many at once; others one by one."""
        are_read: list[bool] = []
        contents: list[bytes] = []
        sizes: list[tuple[int, int]] = []
        for image in images:
            source: _Source = image.source
            content, size, is_read = b"", UNKNOWN, True
            try:
                if source.label is None:
                    size = image_size(source.image or "")
                else:
                    content = _content(source)
                    is_read = len(content) <= SMALL
            except ExportError:
                is_read = False
            are_read.append(is_read)
            contents.append(content if is_read else b"")
            sizes.append(size)
        ids = {name.encode(): i for name, i in self._ids.items()}
        boxes = parse_boxes(contents, ids, bool(self._left_out), self._origin)
        has_label = np.array([image.source.label is not None for image in images], np.bool_)
        is_plain = np.array(are_read, np.bool_) & (boxes.is_plain | ~has_label)
        places = boxes.bounds.tolist()

        def locate(row: int) -> str:
            b = int(np.searchsorted(boxes.bounds, row, side="right")) - 1
            return f"{images[b].source.label}:{object_lines(contents[b])[row - places[b]]}"

        batch = Batch(
            [image.file_name for image in images],
            np.where(has_label[:, None], boxes.sizes, np.array(sizes, np.int64).reshape(-1, 2)),
            boxes.bounds,
            boxes.category_ids,
            boxes.boxes,
            found=boxes.found,
            locate=locate,
        )
        yield from self.read_others(images, batch, is_plain.tolist())


def _content(source: _Source) -> bytes:
    return read_label_file(source.label or "") if source.content is None else source.content
