"""Pascal VOC: boxes in XML files, and class and object masks as PNGs.

    Annotations/*.xml  ImageSets/*/SPLIT.txt  JPEGImages/*  SegmentationClass/*.png  SegmentationObject/*.png

or XML files beside their images, as labelImg and others write them.

Definition: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.converters.voc.layout import (
    ImageNames,
    find_classes,
    find_folders,
    names_of_split,
    stem_of,
    tasks_of,
)
from labelferry.converters.voc.masks import read_masks
from labelferry.converters.voc.xml import (
    FLAGS,
    count_objects,
    file_name,
    object_lines,
    parse_boxes,
    parse_objects,
)
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request, choose_task
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, image_size, is_video
from labelferry.reading.text import read_label_file
from labelferry.task_type import TaskType

SMALL = 1 << 16
"""Bytes of an XML file that is read together with others, and that an image carries to a worker."""

MANY = 10
"""Boxes that begin at coordinate 1, where none begins at 0, from which pixels seem to be counted from 1."""


class _Source(NamedTuple):
    """What an image's labels are read from.

    Attributes:
        label: path of the XML, or of the PNG of classes; None: the image has none.
        objects: path of the PNG of objects, where instances are wanted.
        image: path of the image, if it is there.
        content: of the XML, if it was read for the image's name.
        split: that the image is of, by `--split` or by its first folder.
    """

    label: str | None
    objects: str | None = None
    image: str | None = None
    content: bytes | None = None
    split: str = ""


@register("voc")
class Voc(Adapter):
    """Reads Pascal VOC."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION, TaskType.OBJECT_DETECTION)
    also_called = ("pascal", "pascal-voc")

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
            bool | None,
            "Coordinates are those of the original VOC: pixels counted from 1, the last one included; by default they "
            "are not, with a warning where it seems so.",
        ] = None,
        difficult: Annotated[bool, "Keep objects marked difficult."] = True,
        truncated: Annotated[bool, "Keep objects marked truncated."] = True,
        image_names: Annotated[
            Literal["xml", "filename"] | None,
            "The image of an XML file is the one of the same name (xml), or the one that its <filename> names; by "
            "default the first that exists.",
        ] = None,
    ) -> None:
        self.path = path
        self.split = split
        self.images = images
        self.labels = labels
        self.one_based = one_based
        self.difficult = difficult
        self.truncated = truncated
        self.image_names = image_names

    def open(self, request: Request) -> Export:
        return _VocExport(self, request)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir:
            if probe.path.suffix.lower() == ".xml" and _is_voc(probe.head(probe.path)):
                text = "this is the XML file of one image: is the whole folder meant?"
                yield Match(probe.path.parent, "Pascal VOC boxes", (TaskType.OBJECT_DETECTION,), question=text)
            return
        _, folders, _ = probe.listing(probe.path)
        folder = probe.path / next((name for name in folders if name.lower() == "annotations"), "")
        names, whole = probe.files(folder, frozenset((".xml",)), depth=1)
        has_xml = any(_is_voc(probe.head(folder / name)) for name in names[:5])
        tasks = []
        if "SegmentationClass" in folders:
            tasks = [TaskType.SEMANTIC_SEGMENTATION]
            if "SegmentationObject" in folders:
                tasks.insert(0, TaskType.INSTANCE_SEGMENTATION)
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


def _is_voc(head: bytes) -> bool:
    """Whether a file begins like Pascal VOC: not like CVAT's or LabelMe's XML."""
    is_labelme = b"<polygon>" in head and b"<bndbox>" not in head
    return (b"<annotation>" in head or b"<annotation " in head) and not is_labelme


class _VocExport(Export):
    """An export; `source` of an image is a `_Source`."""

    def __init__(self, adapter: Voc, request: Request) -> None:
        if adapter.image_names not in (None, "xml", "filename"):
            raise UsageError(f"image_names is 'xml' or 'filename', not {adapter.image_names!r}")
        folders = self._folders = find_folders(adapter.path, adapter.images)
        tasks = tasks_of(folders, adapter.path)
        _, source_task = choose_task(tasks, request.task)
        self._has_boxes = source_task is TaskType.OBJECT_DETECTION
        classes = find_classes(folders, adapter.labels, self._has_boxes)
        self._ids = {name: i for i, name in enumerate(classes.names)}
        self._colours = classes.colours
        self._split = adapter.split
        self._one_based = adapter.one_based
        self._origin = 1.0 if adapter.one_based else 0.0
        self._left_out = [flag for flag in FLAGS if not getattr(adapter, flag)]
        self._image_names = adapter.image_names
        self._input = request.input
        categories = [Category(i, name) for i, name in enumerate(classes.names)]
        super().__init__(request, tasks, categories, [] if classes.file is None else [str(classes.file)])
        labels = folders.annotations if self._has_boxes else folders.classes
        assert labels is not None
        self._labels = labels
        self.label_folders = (str(labels),)
        if folders.images is not None:
            self.root = str(folders.images)
        elif request.input is not None:
            self.root = str(request.input.root)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_input": None}

    def images(self) -> Iterator[Image | Finding]:
        folder, names = self._folders.images, ImageNames(())
        if folder is not None:
            names = ImageNames(find_files(folder, IMAGE_EXTENSIONS))
        elif self._input is not None:
            names = ImageNames(name for name in self._input.names if not is_video(name))
        labels = list(find_files(self._labels, frozenset((".xml" if self._has_boxes else ".png",))))
        pairs: list[tuple[str | None, str | None]] = [(label, self._image_of(label, names)) for label in labels]
        if folder is not None:
            pairs += [(None, name) for name in set(names.names).difference(image for _, image in pairs if image)]
            pairs.sort(key=lambda pair: (stem_of(pair[0] or pair[1] or ""), pair[0] or "", pair[1] or ""))
        if self._split is not None:
            pairs = yield from self._of_split(self._split, pairs)
        elif not self._has_boxes:
            pairs = yield from self._with_masks(pairs)
        unnamed = 0
        for label, image in pairs:
            if label is None:
                assert image is not None
                yield self._image(image, None, image)
            elif image is None and folder is not None:
                path = f"{self._labels}/{label}"
                text = f"a label without an image in {folder}"
                lost = count_objects(path) if self._has_boxes else 0
                yield Finding.error("label-without-image", path, text, lost=lost, lost_images=1)
            elif image is None and self._has_boxes:
                yield from self._named_by_xml(label)
            else:
                unnamed += image is None
                yield self._image(image or f"{stem_of(label)}.jpg", label, image)
        if unnamed:
            text = "the images are not known, and are named as JPEGs; name their folder with --images or --input"
            yield Finding.warning("extension-guessed", str(self._labels), text, unnamed)

    def _image_of(self, label: str, names: ImageNames) -> str | None:
        """The image of a label file: the one with its name, else the one that <filename> names."""
        stem = stem_of(label)
        same = names.by_stem.get(stem, [])
        is_found = len(same) == 1 and self._image_names != "filename"
        if is_found or not self._has_boxes or not names.names or (not same and self._image_names == "xml"):
            return next(iter(same), None)
        path = f"{self._labels}/{label}"
        try:
            given = names.named(file_name(read_label_file(path), path).replace("\\", "/"), stem.rpartition("/")[0])
        except ExportError:  # reported when the labels are read
            given = None
        return given if given in same or not same or self._image_names == "filename" else same[0]

    def _of_split(
        self, split: str, pairs: list[tuple[str | None, str | None]]
    ) -> Generator[Finding, None, list[tuple[str | None, str | None]]]:
        """The labels and images that a split names, in its order."""
        known: dict[str, list[tuple[str | None, str | None]]] = {}
        for pair in pairs:
            for stem in {stem_of(name) for name in pair if name is not None}:
                known.setdefault(stem, []).append(pair)
        wanted: list[tuple[str | None, str | None]] = []
        for line, name in names_of_split(self._folders.root, split, self._has_boxes):
            found = known.get(line) or known.get(name, [])
            wanted += found
            if not found:
                text = f"the split {split!r} names an image that has neither a file nor a label"
                yield Finding.error("image-missing", name, text, lost_images=1)
        if self._has_boxes:
            return wanted
        for label, image in wanted:
            if label is None:
                where = f"{self._folders.images}/{image}"
                yield Finding.error("mask-missing", where, f"no mask in {self._labels}", lost_images=1)
        return [pair for pair in wanted if pair[0] is not None]

    def _with_masks(
        self, pairs: list[tuple[str | None, str | None]]
    ) -> Generator[Finding, None, list[tuple[str | None, str | None]]]:
        """The images that have masks; in VOC itself these are few."""
        masked = [pair for pair in pairs if pair[0] is not None]
        if missing := len(pairs) - len(masked):
            text = "images that have no mask, and get no file; --task object-detection reads the boxes of all images"
            yield Finding.note("image-without-mask", str(self._labels), text, missing, lost_images=missing)
        if self.source_task is TaskType.INSTANCE_SEGMENTATION:
            for stem in sorted(self._object_masks.keys() - {stem_of(label) for label, _ in masked if label}):
                path = f"{self._folders.objects}/{self._object_masks[stem]}"
                yield Finding.error("mask-missing", path, f"a PNG of objects without one of classes in {self._labels}")
        return masked

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        return self._read_boxes(images) if self._has_boxes else super().read(images, payload)

    def labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        if source.label is None:
            labels = Annotations.empty(image.size or image_size(source.image or ""))
        elif self._has_boxes:
            labels = self._boxes(source, source.label, image.size)
        else:
            labels = read_masks(
                source.label, source.objects, source.image, image.size, len(self.categories), self._colours
            )
        labels.evidence[_label_file(source)] += 1
        return labels

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(evidence)
        zero, one = evidence.get("edge:0", 0), evidence.get("edge:1", 0)
        if self._one_based is None and one >= MANY and not zero:
            text = (
                f"{one:,} boxes begin at coordinate 1 and none at 0: are pixels counted from 1, as in the original VOC "
                "(--one-based), or not (--no-one-based)?"
            )
            yield Finding.warning("one-based", str(self._labels), text, one)
        elif self._one_based and zero:
            text = f"{zero:,} boxes begin at coordinate 0, although --one-based counts pixels from 1"
            yield Finding.warning("not-one-based", str(self._labels), text, zero)

    @cached_property
    def _object_masks(self) -> dict[str, str]:
        """The PNGs of objects, by path without extension."""
        assert self._folders.objects is not None
        return {stem_of(name): name for name in find_files(self._folders.objects, frozenset((".png",)))}

    def _image(self, name: str, label: str | None, image: str | None) -> Image:
        """An image of a name; its label file and the file of the image relative to their folders."""
        label_path = objects = image_path = None
        if label is not None:
            label_path = f"{self._labels}/{label}"
            if self.source_task is TaskType.INSTANCE_SEGMENTATION:
                objects = f"{self._folders.objects}/{self._object_masks.get(stem_of(label), label)}"
        if image is not None:
            image_path = f"{self.root}/{image}"
        files = tuple(path for path in (label_path, objects, image_path) if path is not None)
        source = _Source(label_path, objects, image_path, None, self._split_of(label or name))
        return Image(name, source, files=files, path=image_path or "")

    def _split_of(self, name: str) -> str:
        return self._split or name.rpartition("/")[0].partition("/")[0]

    def _named_by_xml(self, label: str) -> Iterator[Image | Finding]:
        """An image without a file, under the name that its XML gives. That may hold a path of another machine, or have
        no extension."""
        path, stem = f"{self._labels}/{label}", stem_of(label)
        try:
            content = read_label_file(path)
        except ExportError as error:
            yield Finding.error(error.code, error.where, error.message, lost_images=1)
            return
        given = file_name(content, path).replace("\\", "/")
        folder, _, own = stem.rpartition("/")
        name = given.rpartition("/")[2] or own
        if os.path.splitext(name)[1].lower() not in IMAGE_EXTENSIONS:
            name += ".jpg"
        if self._image_names == "xml":
            name = own + os.path.splitext(name)[1]
        elif not given:
            yield Finding.repair("filename-missing", path, f"there is no <filename>; the image is taken to be {name!r}")
        elif name != given:
            yield Finding.repair("filename-mended", path, f"the <filename> {given!r} was read as {name!r}")
        if stem_of(name) != own and self._image_names is None:
            text = (
                f"the <filename> {name!r} is taken, which is not the name of the XML file: --image-names xml takes that"
            )
            yield Finding.warning("filename-differs", path, text)
        source = _Source(path, None, None, content if len(content) <= SMALL else None, self._split_of(label))
        yield Image(f"{folder}/{name}" if folder else name, source, files=(path,))

    def _check_name(self, source: _Source, content: bytes) -> None:
        """Refuse to choose between the image with the name of the XML file and another one that <filename> names.

        Raises:
            AmbiguousError: there are both.
        """
        if self._image_names is not None or source.image is None:
            return
        folder, base = os.path.split(source.image)
        if b"<filename>%b</filename>" % os.fsencode(base) in content:
            return
        assert source.label is not None
        given = file_name(content, source.label).replace("\\", "/")
        if given and os.path.splitext(given)[1].lower() not in IMAGE_EXTENSIONS:
            given += os.path.splitext(base)[1]
        for other in (f"{self.root}/{given}", f"{folder}/{given.rpartition('/')[2]}"):
            if given and os.path.isfile(other) and not os.path.samefile(other, source.image):
                text = f"the image may be {base!r} or, by its <filename>, {given!r}: say --image-names xml or filename"
                raise AmbiguousError(text, where=source.label)

    def _boxes(self, source: _Source, path: str, own_size: tuple[int, int] | None) -> Annotations:
        """The boxes of an image, whose own size is taken where the XML file gives none."""
        content = _content(source)
        self._check_name(source, content)
        objects = parse_objects(content, path, self._ids, self._left_out, self._origin)
        size = objects.size or own_size
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
            evidence=objects.evidence,
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
                    size = image.size or image_size(source.image or "")
                else:
                    content = _content(source)
                    is_read = len(content) <= SMALL
            except ExportError:
                is_read = False
            are_read.append(is_read)
            contents.append(content if is_read else b"")
            sizes.append(size)
            if is_read and content:
                self._check_name(source, content)
        ids = {name.encode(): i for name, i in self._ids.items()}
        boxes = parse_boxes(contents, ids, self._left_out, self._origin)
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
        plain = is_plain.tolist()
        read = (image.source for image, is_read in zip(images, plain, strict=True) if is_read)
        batch.evidence = boxes.evidence + Counter(map(_label_file, read))
        yield from self.read_others(images, batch, plain)


def _label_file(source: _Source) -> str:
    """The evidence of whether an image has a label file."""
    return f"{'no-' if source.label is None else ''}label-file:{source.split}"


def _content(source: _Source) -> bytes:
    return read_label_file(source.label or "") if source.content is None else source.content
