"""YOLO: text files of normalised boxes, polygons, poses or oriented boxes, by Ultralytics, Darknet and others.

A line an object, numbers relative to the image's width and height:

    class cx cy width height                  a box
    class x1 y1 x2 y2 x3 y3 ...               a polygon, or with --obb the four corners of an oriented box
    class cx cy width height x1 y1 v1 ...     a pose, with `kpt_shape` in data.yaml
    ... confidence                            any of them, as predictions have it
    ... [confidence] track id                 any of them, of a tracked video
    probability name                          one of the best classes of an image: `classes`

All lines of an export have the same columns: `columns.decide`.

Predictions of videos, with --videos: a file VIDEO_N.txt for every frame with an object, numbered from 1.

Definition: https://docs.ultralytics.com/datasets/detect/ (and /segment/, /pose/, /obb/),
https://github.com/AlexeyAB/darknet#how-to-train-to-detect-your-custom-objects
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.converters.yolo.classes import are_class_files, class_of
from labelferry.converters.yolo.columns import Columns, decide, line_twice, note_columns, objects_of
from labelferry.converters.yolo.layout import (
    DESCRIPTIONS,
    ENTRIES,
    LabelledImage,
    find_entry,
    is_label_file,
    label_folders,
    labels_folder_of,
    labels_of_several_images,
    list_images,
    list_labels,
    list_named_images,
    read_layout,
    relative_name,
)
from labelferry.converters.yolo.lines import HIGHEST, LOWEST, Lines, count_lines, parse_boxes, parse_lines, repeated
from labelferry.converters.yolo.shapes import boxes_of, in_pixels, polygons_of, poses_of
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Image, Listed, Refused, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, image_size
from labelferry.reading.text import read_label_file, read_text
from labelferry.task_type import TaskType

SAMPLE = 200
"""Label files with a line in them that tell what kind of labels the export has."""

SMALL = 1 << 16
"""Bytes of a label file that is read together with others, and of which a sample is taken."""

_FRAME = re.compile(r"(.+)_(\d+)")


@register("yolo")
class Yolo(Adapter):
    """Reads YOLO labels and predictions."""

    tasks = (
        *(TaskType.KEYPOINT_DETECTION, TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION),
        TaskType.CLASSIFICATION,
    )
    also_called = ("ultralytics", "darknet")

    def __init__(
        self,
        path: Path,
        *,
        split: Annotated[str | None, "Only this split, as train; by default all that data.yaml names."] = None,
        labels: Annotated[
            Path | None,
            "Folder of the label files, named as the images: for predictions, as Ultralytics' save_txt writes them.",
        ] = None,
        images: Annotated[
            Path | None,
            "The datasource's root: image names are relative to it; by default to the dataset's own root.",
        ] = None,
        obb: Annotated[
            bool, "Lines of four points are oriented boxes, not polygons: they become the upright boxes around them."
        ] = False,
        track_ids: Annotated[
            bool | None,
            "Whether lines end with a track id, as those of Ultralytics' model.track(), which is left out; by default "
            "the numbers decide.",
        ] = None,
        vid_stride: Annotated[
            int, "Ultralytics' vid_stride, where a video was predicted with one: every Nth frame."
        ] = 1,
    ) -> None:
        self.path = path
        self.split = split
        self.labels = labels
        self.images = images
        self.obb = obb
        self.track_ids = track_ids
        self.vid_stride = vid_stride

    def open(self, request: Request) -> Export:
        return _YoloExport(self, request)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        sources = _sources(probe)
        for source in sources:
            yield from _matches(probe, source)
        if not sources:
            yield from _matches_without_names(probe)


def _sources(probe: Probe) -> list[Path]:
    """The paths that name an export: the path itself, or each of several files in it that describe one."""
    if not probe.is_dir:
        return [probe.path] if _is_entry(probe, probe.path) else []
    if usual := next((name for name in ENTRIES if (probe.path / name).is_file()), ""):
        return [probe.path] if _is_entry(probe, probe.path / usual) else []
    paths = [probe.path / name for name in probe.listing(probe.path)[0] if Path(name).suffix.lower() in DESCRIPTIONS]
    entries = [path for path in paths if _is_entry(probe, path)]
    return [probe.path] if entries and len(paths) == 1 else entries


def _is_entry(probe: Probe, path: Path) -> bool:
    """Whether a file looks as if it named the classes of an export."""
    suffix = path.suffix.lower()
    head = probe.head(path)
    if suffix in DESCRIPTIONS:
        return re.search(rb"""(?m)(^|[{,])\s*['"]?(names|nc)['"]?\s*[:=]""", head) is not None
    lines = head.decode("utf-8", "replace").splitlines()
    are_images = any(os.path.splitext(line.strip())[1].lower() in IMAGE_EXTENSIONS for line in lines)
    return suffix in (".txt", ".names") and not are_images


def _matches(probe: Probe, source: Path) -> Iterator[Match]:
    """An export with its names of classes."""
    suffix = find_entry(source).suffix.lower()
    is_described = suffix in DESCRIPTIONS
    try:
        layout = read_layout(source)
    except ExportError:
        if is_described:
            raise
        return  # any text
    images, exact, labels = 0, True, list[str]()
    for split in layout.splits:
        if split.listing is not None:
            names = [line for line in read_text(split.listing).splitlines() if line.strip()]
            listed = list_named_images(split, split.listing, None)
            labels += [one.label for one in islice(listed, SAMPLE) if one.label]
            images += len(names)
            continue
        folder = labels_folder_of(split.folder)
        texts, _ = probe.files(folder, frozenset((".txt",)), known=True, most=probe.left // 2)
        names, whole = probe.files(split.folder, IMAGE_EXTENSIONS, known=True)
        labels += [f"{folder}/{name}" for name in texts if is_label_file(name[:-4])]
        images, exact = images + len(names), exact and whole
    sample = list(islice(_sampled(labels), SAMPLE))
    if images and (sample or is_described):
        shapes, tasks, question = _shapes(sample, labels, layout.keypoint_shape)
        kind = "Darknet" if suffix == ".data" else "Ultralytics" if is_described else "plain folders"
        options: dict[str, Any] = {}
        if not labels:
            options = {"labels": Path("LABELS")}
            question = "no label file lies beside the images: in which folder are they? (--labels)"
        yield Match(source, f"YOLO {shapes}, {kind}", tasks, images, exact, options, question)


def _matches_without_names(probe: Probe) -> Iterator[Match]:
    """A folder of label files, or one with a folder `labels`, as Ultralytics writes predictions."""
    if not probe.is_dir:
        return
    folder = probe.path / "labels" if "labels" in probe.listing(probe.path)[1] else probe.path
    texts, whole = probe.files(folder, frozenset((".txt",)), depth=2)
    labels = [f"{folder}/{name}" for name in texts if is_label_file(name[:-4])]
    sample = list(islice(_sampled(labels[:SAMPLE]), SAMPLE))
    if any(lines.findings or not all(map(_is_object, lines.rows)) for lines in sample):
        return
    shapes, tasks, question = _shapes(sample, labels, None)
    if not sample and tasks != (TaskType.CLASSIFICATION,):
        return
    above = [probe.path / "/".join([".."] * up) for up in range(1, 4)]
    entries = (Path(os.path.normpath(folder / name)) for folder in above for name in ENTRIES[:3])
    named = next((path for path in entries if path.is_file() and _is_entry(probe, path)), None)
    naming = "in which data.yaml or classes.txt are the names of the classes? Put it in place of DATA.yaml"
    if named is not None:
        naming = f"are the names of the classes those in {named}?"
    question = f"{naming}; {question}" if question else naming
    options = {"labels": folder}
    yield Match(
        named or Path("DATA.yaml"), f"YOLO {shapes}, label files alone", tasks, len(labels), whole, options, question
    )


def _is_object(row: Sequence[float]) -> bool:
    """Whether the numbers of a line are a class, and others that are relative to an image."""
    return len(row) >= 5 and row[0].is_integer() and all(LOWEST <= value <= HIGHEST for value in row[1:5])


def _shapes(
    sample: list[Lines], labels: list[str], keypoint_shape: tuple[int, int] | None
) -> tuple[str, tuple[TaskType, ...], str]:
    """What a sample of label files has in it, the task types, and what it does not show."""
    if not sample and are_class_files(labels[:SAMPLE]):
        return "classes", (TaskType.CLASSIFICATION,), ""
    question = ""
    columns = Columns(keypoint_shape)
    try:
        columns = decide(sample, columns, None)
    except AmbiguousError as error:
        question = error.message
        columns = decide(sample, columns, False)
    if columns.keypoint_shape:
        return "poses", (TaskType.KEYPOINT_DETECTION,), question
    if not (columns.polygons and sample):
        return "boxes", (TaskType.OBJECT_DETECTION,), question
    if not question and all(len(row) - columns.ending == 9 for lines in sample for row in lines.rows):
        question = "each object has four points: an oriented box (--obb), or a polygon (--task instance-segmentation)?"
    return "polygons", (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION), question


class _Labels(NamedTuple):
    """Where the labels of an image are: the `source` of an image.

    Attributes:
        path: of its label file; None: it has none.
        split: that it belongs to.
        columns: of the lines. An image carries them so that an interrupted run is resumed only with labels that were
            read alike.
    """

    path: str | None
    split: str
    columns: Columns


class _YoloExport(Export):
    """An export. `source` of an image are its `_Labels`."""

    first_frame = 1
    drawn_on = "upright"  # as Ultralytics reads images: https://docs.ultralytics.com/reference/data/utils/ (exif_size)

    def __init__(self, adapter: Yolo, request: Request) -> None:
        layout = read_layout(adapter.path, adapter.split, request.frames)
        self._layout = layout
        self._labels = adapter.labels
        self._frames = request.frames
        if adapter.vid_stride < 1:
            raise UsageError(f"--vid-stride is an integer of at least 1, not {adapter.vid_stride}")
        self._vid_stride = adapter.vid_stride
        self._shared: dict[str, list[str]] = {}
        if adapter.labels and not request.frames:
            self._shared = labels_of_several_images(layout, adapter.labels)
        sample = list(islice(_sampled(self._label_paths()), SAMPLE))
        columns = decide(sample, Columns(layout.keypoint_shape, adapter.obb), adapter.track_ids)
        wants_masks = request.task in (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
        is_whole = len(sample) < SAMPLE
        tasks = [TaskType.OBJECT_DETECTION]
        if columns.keypoint_shape:
            tasks.insert(0, TaskType.KEYPOINT_DETECTION)
        elif not adapter.obb and sample and (columns.polygons or (wants_masks and not is_whole)):
            tasks.insert(0, TaskType.INSTANCE_SEGMENTATION)
        if not sample and are_class_files(islice(self._label_paths(), SAMPLE)):
            tasks = [TaskType.CLASSIFICATION]
        super().__init__(request, tasks, layout.names, layout.files)
        if request.task and not (columns.is_guess and columns.ending == 2):
            columns = columns._replace(polygons=True)
        self._columns = columns
        boxes = sum(all(len(row) - columns.ending == 5 for row in lines.rows) for lines in sample)
        self._read_together = self.source_task is TaskType.OBJECT_DETECTION and 2 * boxes >= len(sample)
        self._read_together = self._read_together and not columns.keypoint_shape
        self.root = os.path.abspath(adapter.images or layout.root)
        self.label_folders = label_folders(layout, adapter.labels)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layout": None, "_shared": {}}

    def images(self) -> Iterator[Listed]:
        layout = self._layout
        yield from layout.findings
        if self._frames:
            for stem, label in list_labels(layout, self._labels):
                match = _FRAME.fullmatch(stem)
                frame = VideoFrame(match[1], int(match[2]) * self._vid_stride) if match else None
                yield Image(stem, _Labels(label, "", self._columns), frame, files=(label,))
            return
        prefixes: dict[str, str] = {}  # of names, by folder
        for one in list_images(layout, self._labels):
            if isinstance(one, Finding):
                yield one
                continue
            folder, name = os.path.split(one.image)
            if folder not in prefixes:
                prefixes[folder] = relative_name(os.path.join(folder, "x"), self.root)[:-1]
            sharing = self._shared.get(one.label or "", [])
            path = one.label if one.image in sharing[:1] or not sharing else None  # its lines are counted once
            files = (one.image, path) if path else (one.image,)
            labels = _Labels(path, one.split, self._columns)
            image = Image(prefixes[folder] + name, labels, files=files, path=one.image)
            if sharing:
                text = f"the label file {one.label} would be that of {len(sharing)} images: {', '.join(sharing[:3])}"
                yield Refused(image, Finding.error("label-shared", one.image, text))
            else:
                yield image

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(evidence)
        are_predictions = self._frames or self._labels is not None
        yield from note_columns(self._columns, Counter(evidence), self.files[0], are_predictions)

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        batches = self._read_boxes(images) if self._read_together else super().read(images, payload)
        places = Counter(
            f"{'no-' if image.source.path is None else ''}label-file:{image.source.split}" for image in images
        )
        for batch in batches:
            batch.evidence, places = batch.evidence + places, Counter()
            yield batch

    def labels(self, image: Image) -> Annotations:
        path: str | None = image.source.path
        content = b"" if path is None else read_label_file(path)
        if self.source_task is TaskType.CLASSIFICATION:
            return class_of(content, path or "", self.categories)
        found = count_lines(content)
        try:
            size = _size_of(image)
        except ExportError as error:
            error.lost = found
            raise
        objects = objects_of(parse_lines(content, path or ""), self._columns)
        if self._columns.keypoint_shape:
            annotations = poses_of(objects, size, self._columns, self.source_task is TaskType.OBJECT_DETECTION)
        elif self.source_task is TaskType.OBJECT_DETECTION:
            annotations = boxes_of(objects, size)
        else:
            annotations = polygons_of(objects, size)
        annotations.found = found
        return annotations

    def _labels_or_error(self, image: Image) -> Annotations | Finding:
        found = super()._labels_or_error(image)
        if isinstance(found, Finding) and found.code == "image-broken" and not _is_known_image(image.files[0]):
            text = f"{found.message}; the image has no file, and its objects are left out"
            return replace(found, kind="warning", code="image-unsupported", message=text)
        return found

    def _read_boxes(self, images: Sequence[Image]) -> Iterator[Batch]:
        """Label files of boxes, many at once; others one by one."""
        are_read, contents, sizes = [], [], []
        for image in images:
            content, size = b"", UNKNOWN
            try:
                if image.source.path is not None:
                    content = read_label_file(image.source.path)
                size = _size_of(image)
                is_read = len(content) <= SMALL
            except ExportError:
                is_read = False
            are_read.append(is_read)
            contents.append(content if is_read else b"")
            sizes.append(size)
        lines = parse_boxes(contents, self._columns.confidence, self._columns.track_id)
        counts = np.diff(lines.bounds)
        owners = np.repeat(np.arange(len(images)), counts)
        places = lines.bounds.tolist()

        def locate(row: int) -> str:
            b = int(np.searchsorted(lines.bounds, row, side="right")) - 1
            return f"{images[b].source.path}:{row - places[b] + 1}"

        all_sizes = np.array(sizes, np.int64).reshape(-1, 2)
        batch = Batch(
            [image.file_name for image in images],
            all_sizes,
            lines.bounds,
            lines.class_ids,
            in_pixels(lines.boxes, all_sizes[owners].astype(np.float64)),
            lines.scores,
            found=counts,
            locate=locate,
            evidence=Counter(lines=len(owners)),
        )
        batch.findings = [
            replace(line_twice(locate(row)), image=int(owners[row])) for row in repeated(lines, owners).tolist()
        ]
        yield from self.read_others(images, batch, (lines.is_plain & np.array(are_read, np.bool_)).tolist())

    def _label_paths(self) -> Iterator[str]:
        if self._frames:
            yield from (label for _, label in list_labels(self._layout, self._labels))
            return
        for one in list_images(self._layout, self._labels):
            if isinstance(one, LabelledImage) and one.label is not None:
                yield one.label


def _size_of(image: Image) -> tuple[int, int]:
    """(width, height) in pixels of the picture that the labels of an image are for."""
    try:
        return image.size or image_size(image.files[0])
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}", where=image.files[0]) from None


def _is_known_image(path: str) -> bool:
    """Whether an image's extension is that of a format that Pillow decodes."""
    from PIL import Image as PillowImage

    return os.path.splitext(path)[1].lower() in PillowImage.registered_extensions()


def _sampled(labels: Iterable[str]) -> Iterator[Lines]:
    """The first lines of label files that have any, as far as they can be read; for the others there is an error when
    the labels are read."""
    for label in labels:
        with suppress(ExportError):
            content = read_label_file(label)
            if len(content) > SMALL:
                content = content[: content.rfind(b"\n", 0, SMALL) + 1]
            if content and (lines := parse_lines(content, label)).rows:
                yield lines
