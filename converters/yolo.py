"""YOLO: text files of normalised boxes, polygons, poses or oriented boxes, by Ultralytics, Darknet and others.

A line an object, numbers relative to the image's width and height:

    class cx cy width height                  a box
    class x1 y1 x2 y2 x3 y3 ...               a polygon, or with --obb the four corners of an oriented box
    class cx cy width height x1 y1 v1 ...     a pose, with `kpt_shape` in data.yaml
    ... confidence                            any of them, as predictions have it

Predictions of videos, with --videos: a file VIDEO_N.txt for every frame with an object, numbered from 1.

Definition: https://docs.ultralytics.com/datasets/detect/ (and /segment/, /pose/, /obb/),
https://github.com/AlexeyAB/darknet#how-to-train-to-detect-your-custom-objects
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations, Category, File, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, image_size
from labelferry.reading.text import read_names, read_text, read_yaml
from labelferry.task_type import TaskType

SPLITS = ("train", "val", "valid", "test")
SAMPLE = 200
"""Images whose label files tell what kind of labels the export has."""

FAR_OUTSIDE = 2.0
"""A coordinate beyond this is not normalised but in pixels; up to it, conform clips it to the image."""

_NO_LABELS = frozenset(("classes", "predefined_classes", "obj", "notes", "train", "val", "valid", "test", "readme"))

_FRAME = re.compile(r"(.+)_(\d+)")

Row = list[float]


class _Split(NamedTuple):
    """Images of one entry of a split: all below a folder, or those that a text file lists."""

    name: str
    folder: str
    listing: Path | None = None


class _Export(NamedTuple):
    """What the export's own files say."""

    root: str
    names: list[Category]
    splits: list[_Split]
    keypoint_shape: tuple[int, int] | None


class _Source(NamedTuple):
    """An image, None of a video's frame, and its label file, if it has one."""

    image: File | None
    label: File | None


@register("yolo")
class Yolo(Adapter):
    """Reads YOLO labels and predictions."""

    tasks = (TaskType.KEYPOINT_DETECTION, TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
    first_frame = 1

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
            bool, "Lines end with a track id, as Ultralytics' model.track() writes them; it is left out."
        ] = False,
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
        self._export: _Export | None = None
        self._has_polygons: bool | None = None

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir and probe.path.suffix.lower() not in (".yaml", ".yml", ".data", ".txt", ".names"):
            return
        adapter = cls(probe.path)
        entry = adapter._entry()
        export = adapter._read()
        images, exact, labels = 0, True, list[str]()
        for split in export.splits:
            if split.listing is not None:
                names = [line for line in read_text(split.listing).splitlines() if line.strip()]
                labels += [label for _, label in islice(adapter._listed_pairs(split, split.listing), SAMPLE) if label]
                images += len(names)
                continue
            names, whole = probe.files(split.folder, IMAGE_EXTENSIONS, known=True)
            folder = _labels_folder(split.folder)
            texts, _ = probe.files(folder, frozenset((".txt",)), known=True)
            labels += [f"{folder}/{name}" for name in texts if Path(name).stem.lower() not in _NO_LABELS]
            images, exact = images + len(names), exact and whole
        rows = [row for label in labels[:SAMPLE] for row in _read_rows(label, False)[0]]
        if not images or (not rows and entry.suffix.lower() in (".txt", ".names")):
            return
        kind = {".data": "Darknet", ".txt": "plain folders", ".names": "plain folders"}.get(
            entry.suffix.lower(), "Ultralytics"
        )
        question, shapes = "", "boxes"
        tasks: tuple[TaskType, ...] = (TaskType.OBJECT_DETECTION,)
        if export.keypoint_shape:
            shapes, tasks = "poses", (TaskType.KEYPOINT_DETECTION,)
        elif any(len(row) >= 7 for row in rows):
            shapes, tasks = "polygons", (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
            if all(len(row) in (9, 10) for row in rows):
                question = "each object has four points: a polygon, or with --obb an oriented box"
        yield Match(probe.path, f"YOLO {shapes}, {kind}", tasks, images, exact, {}, question)

    def get_tasks(self) -> tuple[TaskType, ...]:
        if self._read().keypoint_shape:
            return (TaskType.KEYPOINT_DETECTION,)
        if self._polygons():
            return (TaskType.INSTANCE_SEGMENTATION, TaskType.OBJECT_DETECTION)
        return (TaskType.OBJECT_DETECTION,)

    def get_categories(self) -> list[Category]:
        return self._read().names

    def get_images(self) -> Iterator[Image]:
        export = self._read()
        if self.as_frames:
            for stem, path in self._frames():
                match = _FRAME.fullmatch(stem)
                frame = VideoFrame(match[1], int(match[2]) * self.vid_stride) if match else None
                yield Image(stem, _Source(None, File(path)), frame)
            return
        root = os.path.abspath(self.images or export.root)
        seen: set[str] = set()  # splits may share images, as val is often the same as train
        for split in export.splits:
            for image, label in self._pairs(split):
                if len(export.splits) > 1:
                    if image in seen:
                        continue
                    seen.add(image)
                yield Image(_relative(image, root), _Source(File(image), File(label) if label else None))

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        width, height = image.size or image_size(source.image or "")
        if source.label is None:
            return Annotations.empty((width, height))
        path = source.label
        rows, lines, findings = _read_rows(path, self.track_ids)
        if not rows:
            return Annotations.empty((width, height), findings)
        shape = self._read().keypoint_shape
        if shape:
            return _poses(rows, lines, findings, path, (width, height), shape, self.task)
        if all(len(row) < 7 for row in rows):
            if self.task is TaskType.OBJECT_DETECTION:
                return _boxes(rows, lines, findings, path, (width, height))
        elif self.obb:
            rows = [_around(row) for row in rows]
            return _boxes(rows, lines, findings, path, (width, height))
        return _polygons(rows, lines, findings, path, (width, height), self.task)

    def _read(self) -> _Export:
        if self._export is None:
            self._export = self._parse(self._entry())
            if self.split is not None:
                chosen = [split for split in self._export.splits if split.name == self.split]
                if not chosen:
                    have = ", ".join(dict.fromkeys(split.name for split in self._export.splits)) or "none"
                    raise ExportError(f"no split {self.split!r}; it has {have}", where=str(self.path), code="no-split")
                self._export = self._export._replace(splits=chosen)
        return self._export

    def _entry(self) -> Path:
        """The file that describes the export; of a folder, the one in it."""
        if not self.path.is_dir():
            return self.path
        for name in ("data.yaml", "dataset.yaml", "data.yml", "obj.data", "classes.txt", "labels/classes.txt"):
            if (self.path / name).is_file():
                return self.path / name
        found = sorted(p for p in self.path.iterdir() if p.suffix.lower() in (".yaml", ".yml", ".data"))
        if len(found) != 1:
            what = f"several: {', '.join(p.name for p in found)}" if found else "none"
            raise ExportError(
                f"name the data.yaml, obj.data or classes.txt that describes the export; here there is {what}",
                where=str(self.path),
                code="no-entry",
            )
        return found[0]

    def _parse(self, entry: Path) -> _Export:
        suffix = entry.suffix.lower()
        if suffix in (".yaml", ".yml"):
            return self._parse_yaml(entry)
        if suffix == ".data":
            return self._parse_darknet(entry)
        if suffix in (".txt", ".names"):
            folder = self.path if self.path.is_dir() else entry.parent
            names = [Category(i, name) for i, name in enumerate(read_names(entry))]
            return _Export(str(folder), names, [_Split("all", str(folder))], None)
        raise ExportError("a data.yaml, an obj.data, a classes.txt or a folder was expected", where=str(entry))

    def _parse_yaml(self, entry: Path) -> _Export:
        data = read_yaml(entry)
        if not isinstance(data, dict):
            raise ExportError("a mapping with 'names' and splits was expected", where=str(entry))
        root = entry.parent
        if data.get("path"):
            named = entry.parent / Path(data["path"]).expanduser()
            if named.is_dir():
                root = named
            else:
                text = f"its path {data['path']!r} does not exist here; read as if it lay beside {entry.name}"
                self.findings.append(Finding("repair", "path-elsewhere", str(entry), text))
        shape = _keypoint_shape(data, entry)
        splits = []
        for name in SPLITS:
            values = data.get(name) or []
            for value in values if isinstance(values, list) else [values]:
                place = _existing(root, str(value))
                if place is None and self.as_frames:
                    continue
                if place is None:
                    # Roboflow names a test split even where there is none
                    kind = "repair" if name == "test" and self.split is None else "error"
                    text = f"the split {name!r} names {value!r}, which does not exist below {root}"
                    self.findings.append(Finding(kind, "split-missing", str(entry), text))  # type: ignore[arg-type]
                elif place.is_dir():
                    splits.append(_Split(name, str(place)))
                else:
                    splits.append(_Split(name, str(root), place))
        if not splits and not self.as_frames:
            text = f"none of its splits ({', '.join(SPLITS)}) exists below {root}"
            raise ExportError(text, where=str(entry), code="split-missing")
        return _Export(_root_of(root, splits), _names(data, entry, shape), splits, shape)

    def _parse_darknet(self, entry: Path) -> _Export:
        pairs = (line.partition("=") for line in read_text(entry).splitlines())
        data = {key.strip(): value.strip() for key, equals, value in pairs if equals}
        if not data.get("names"):
            raise ExportError("it names no file of class names: a line 'names = obj.names'", where=str(entry))
        names = _existing(entry.parent, data["names"])
        if names is None:
            raise ExportError(f"the file {data['names']!r} does not exist", where=str(entry), code="file-missing")
        splits: list[_Split] = []
        for name in SPLITS:
            if not data.get(name):
                continue
            place = _existing(entry.parent, data[name])
            if place is None and self.as_frames:
                continue
            if place is None:
                text = f"the split {name!r} names {data[name]!r}, which does not exist"
                self.findings.append(Finding("error", "split-missing", str(entry), text))
            elif name == "train" or place not in [split.listing for split in splits]:  # valid is often the same file
                splits.append(_Split(name, str(entry.parent), place))
        if not splits and not self.as_frames:
            raise ExportError("it names no list of images that exists", where=str(entry), code="split-missing")
        categories = [Category(i, name) for i, name in enumerate(read_names(names))]
        return _Export(_root_of(entry.parent, splits), categories, splits, None)

    def _polygons(self) -> bool:
        """Whether the first label files hold polygons."""
        if self._has_polygons is None:
            self._has_polygons = False
            splits = self._read().splits
            pairs = (pair for split in splits for pair in self._pairs(split, report=False))
            for _, label in islice(self._frames() if self.as_frames else pairs, SAMPLE):
                rows = _read_rows(label, self.track_ids)[0] if label else []
                if any(len(row) >= 7 for row in rows) and not self.obb:
                    self._has_polygons = True
                    break
        return self._has_polygons

    def _frames(self) -> Iterator[tuple[str, str]]:
        """Every label file, with its name: images are not needed where the frames of videos are wanted."""
        export = self._read()
        folders = [str(self.labels)] if self.labels else []
        for split in [] if folders else export.splits:
            if split.listing is not None:
                for image, label in self._listed_pairs(split, split.listing):
                    if label:
                        yield os.path.splitext(_relative(image, export.root))[0], label
            elif (folder := _labels_folder(split.folder)) not in folders:
                folders.append(folder)
        if not self.labels and not export.splits:
            folders = [f"{export.root}/labels" if os.path.isdir(f"{export.root}/labels") else export.root]
        for folder in folders:
            for name in find_files(Path(folder), frozenset((".txt",))):
                stem = name[: name.rfind(".")]
                if os.path.basename(stem).lower() not in _NO_LABELS:
                    yield stem, f"{folder}/{name}"

    def _pairs(self, split: _Split, report: bool = True) -> Iterator[tuple[str, str | None]]:
        """Every image of a split with its label file, if it has one; labels without an image are reported."""
        if split.listing is not None:
            yield from self._listed_pairs(split, split.listing)
            return
        folder = split.folder
        labels = str(self.labels) if self.labels else _labels_folder(folder)
        stems: dict[str, str] = {}
        for name in find_files(Path(labels), frozenset((".txt",))) if os.path.isdir(labels) else ():
            stems[name[: name.rfind(".")]] = name
        used = set()
        for name in find_files(Path(folder), IMAGE_EXTENSIONS):
            stem = name[: name.rfind(".")]
            key = stem
            if stem not in stems:
                key = _swap_images(stem)  # a root that holds images/ and labels/
                if key not in stems and self.labels:
                    key = os.path.basename(stem)
            label = stems.get(key)
            if label is not None:
                used.add(key)
            yield f"{folder}/{name}", label and f"{labels}/{label}"
        if not report:
            return
        for stem, name in stems.items():
            if stem not in used and os.path.basename(stem).lower() not in _NO_LABELS:
                text = "a label file without an image: there is nothing that its numbers are relative to"
                self.findings.append(Finding("error", "label-without-image", f"{labels}/{name}", text))

    def _listed_pairs(self, split: _Split, listing: Path) -> Iterator[tuple[str, str | None]]:
        base: str | None = None
        for line in read_text(listing).splitlines():
            name = line.strip().replace("\\", "/")
            if not name:
                continue
            if base is None:
                base = _base_of(name, listing, split.folder)
            # what the first line's path is relative to, that of the others is too
            image = name if os.path.isabs(name) else os.path.normpath(f"{base}/{name}")
            if base.endswith("//"):
                image = os.path.normpath(f"{base}{name.partition('/')[2]}")
            stem = os.path.splitext(image)[0]
            if self.labels:
                candidates = [f"{self.labels}/{os.path.basename(stem)}.txt"]
            else:
                candidates = [f"{_swap_images(stem)}.txt", f"{stem}.txt"]
            yield image, next((label for label in candidates if os.path.exists(label)), None)


def _relative(image: str, root: str) -> str:
    image = os.path.abspath(image)
    if image.startswith(root + os.sep):
        return image[len(root) + 1 :].replace(os.sep, "/")
    return image.replace(os.sep, "/")  # refused, as every absolute name


def _names(data: dict[str, Any], entry: Path, shape: tuple[int, int] | None) -> list[Category]:
    """The classes: `names` as list or mapping, or as many as `nc` says."""
    given = data.get("names")
    count = data.get("nc")
    if given is None and str(count).isdigit() and int(str(count)) < 100_000:
        given = [f"class_{i}" for i in range(int(str(count)))]  # as Ultralytics calls them
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict) or not given:
        raise ExportError("'names' is a list of class names, or a mapping from id to name", where=str(entry))
    try:
        names = {int(key): str(value) for key, value in given.items()}
    except ValueError:
        raise ExportError("a key of 'names' is not a class id", where=str(entry)) from None
    if count is not None and str(count) != str(len(names)):
        raise ExportError(f"nc is {count}, but there are {len(names)} names", where=str(entry), code="names-count")
    keypoints: tuple[str, ...] = ()
    if shape:
        listed = data.get("kpt_names")
        if isinstance(listed, dict):  # by class id; the same for all in practice
            listed = next(iter(listed.values()), None)
        named = isinstance(listed, list) and len(listed) == shape[0]
        keypoints = tuple(map(str, listed or ())) if named else tuple(f"keypoint_{i}" for i in range(shape[0]))
    return [Category(i, name, keypoints) for i, name in sorted(names.items())]


def _keypoint_shape(data: dict[str, Any], entry: Path) -> tuple[int, int] | None:
    given = data.get("kpt_shape")
    if given is None:
        return None
    try:
        count, dimensions = (int(value) for value in given)
    except (TypeError, ValueError):
        count = dimensions = 0
    if count < 1 or dimensions not in (2, 3):
        raise ExportError(f"kpt_shape is [number of keypoints, 2 or 3], not {given}", where=str(entry))
    return count, dimensions


def _existing(base: Path, name: str) -> Path | None:
    """A file or folder that an export names, where such names are relative to one of several places."""
    path = Path(name.replace("\\", "/"))
    parts = path.parts
    below = Path(*parts[1:]) if len(parts) > 1 else path
    without_dots = Path(*(part for part in parts if part != "..")) if ".." in parts else path
    # Roboflow's ../train/images lies beside data.yaml; CVAT's data/obj.names beside obj.data
    for candidate in (base / path, base / without_dots, base / below, base / path.name):
        if candidate.exists():
            return Path(os.path.normpath(candidate))
    return None


def _base_of(name: str, listing: Path, root: str) -> str:
    """What the paths in a list of images are relative to; with '//' at its end, their first folder is not there."""
    for base in (str(listing.parent), root, os.path.dirname(root), "."):
        if os.path.exists(f"{base}/{name}"):
            return base
    below = name.partition("/")[2]
    for base in (str(listing.parent), root):
        if below and os.path.exists(f"{base}/{below}"):
            return f"{base}//"
    return str(listing.parent)


def _root_of(root: Path, splits: Iterable[_Split]) -> str:
    """The dataset's root, or the folder above all splits if they lie elsewhere."""
    top = os.path.abspath(root)
    folders = [os.path.abspath(split.folder) for split in splits]
    if all(folder == top or folder.startswith(top + os.sep) for folder in folders):
        return top
    return os.path.commonpath(folders)


def _swap_images(path: str) -> str:
    """The last folder called images (or JPEGImages) in a path as labels: where Ultralytics and Darknet look."""
    parts = path.split("/")
    for i in range(len(parts) - 1, -1, -1):
        if parts[i].lower() in ("images", "jpegimages"):
            parts[i] = "Labels" if parts[i] == "Images" else "labels"
            return "/".join(parts)
    return path


def _labels_folder(images: str) -> str:
    """Where the labels of a folder of images are, by one of the usual conventions; else beside them."""
    swapped = _swap_images(images)
    candidates = [swapped, swapped.replace("Labels", "labels"), f"{images}/labels", f"{images}/../labels"]
    for folder in candidates:
        if folder != images and os.path.isdir(folder) and not os.path.isdir(f"{images}/images"):
            return os.path.normpath(folder)
    return images


def _read_rows(path: str, track_ids: bool) -> tuple[list[Row], list[int], list[Finding]]:
    """The numbers of every line, the lines' own numbers, and what is no line of numbers."""
    file = os.open(path, os.O_RDONLY)
    try:
        content = os.read(file, 1 << 20)
        while more := os.read(file, 1 << 24):
            content += more
    finally:
        os.close(file)
    if content[:3] == b"\xef\xbb\xbf":
        content = content[3:]
    split = [line.split() for line in content.splitlines()]
    if track_ids:  # the last number, which a frame that has lost its tracks has not
        split = [line[:-1] if len(line) > 5 and line[-1].isdigit() else line for line in split]
    try:
        rows = [[float(value) for value in line] for line in split if line]
        lines = [number for number, line in enumerate(split, 1) if line]
        for row in rows:
            if len(row) < 5 or not row[0].is_integer() or max(row[1:]) > FAR_OUTSIDE:
                break
        else:
            return rows, lines, []
    except ValueError:
        pass
    rows, lines, findings = [], [], []
    for number, line in enumerate(split, 1):
        if not line:
            continue
        try:
            row = [float(value) for value in line]
        except ValueError:
            row = []
        if len(row) < 5:
            shown = b" ".join(line)[:60].decode("utf-8", "replace")
            text, code = f"class and at least 4 numbers were expected, found {shown!r}", "broken-line"
        elif not row[0].is_integer():
            text, code = f"the class {line[0].decode()!r} is not a whole number", "broken-line"
        elif max(row[1:]) > FAR_OUTSIDE:
            text = f"the coordinate {max(row[1:]):g} is not relative to the image's size; is it in pixels?"
            if max(row[1:-1]) <= FAR_OUTSIDE and row[-1].is_integer():
                text = f"the last number, {row[-1]:g}, is no confidence; if it is a track id, add --track-ids"
            code = "not-normalised"
        else:
            rows.append(row)
            lines.append(number)
            continue
        findings.append(Finding("error", code, f"{path}:{number}", text))
    return rows, lines, findings


def _locate(path: str, lines: list[int], index: int) -> str:
    return f"{path}:{lines[index]}"


def _around(row: Row) -> Row:
    """The upright box around a row's points, as a row of a box."""
    if len(row) < 7:
        return row
    points = row[1:] if len(row) % 2 else row[1:-1]
    left, top, right, bottom = min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    confidence = [] if len(row) % 2 else row[-1:]
    return [row[0], (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, *confidence]


def _scores(rows: list[Row], places: list[bool]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """The last number of each row that has a confidence; a row without one, among others, is a label: 1."""
    if not any(places):
        return None
    return np.array([row[-1] if has else 1.0 for row, has in zip(rows, places, strict=True)])


def _boxes(rows: list[Row], lines: list[int], findings: list[Finding], path: str, size: tuple[int, int]) -> Annotations:
    width, height = size
    return Annotations(
        np.array([int(row[0]) for row in rows]),
        size,
        np.array([((r[1] - r[3] / 2) * width, (r[2] - r[4] / 2) * height, r[3] * width, r[4] * height) for r in rows]),
        _scores(rows, [len(row) == 6 for row in rows]),
        findings=findings,
        locate=partial(_locate, path, lines),
    )


def _polygons(
    rows: list[Row], lines: list[int], findings: list[Finding], path: str, size: tuple[int, int], task: TaskType
) -> Annotations:
    """Polygons and the boxes around them; a line of a box has no mask."""
    annotations = _boxes([_around(row) for row in rows], lines, findings, path, size)
    if task is TaskType.OBJECT_DETECTION:
        return annotations
    width, height = size
    segmentations = []
    for row in rows:
        points = (row[1:] if len(row) % 2 else row[1:-1]) if len(row) >= 7 else []
        points[::2] = [x * width for x in points[::2]]
        points[1::2] = [y * height for y in points[1::2]]
        segmentations.append([points] if points else [])
    found = masks_of_image(segmentations, size, partial(_locate, path, lines))
    findings += found.findings
    text = "a line of a box among polygons has no mask; left out (with --task object-detection it is kept)"
    findings += [Finding.repair("segmentation-missing", f"{path}:{lines[i]}", text, lost=1) for i in found.missing]
    annotations = annotations.take(found.rows.tolist())
    annotations.masks = found.masks
    return annotations


def _poses(
    rows: list[Row],
    lines: list[int],
    findings: list[Finding],
    path: str,
    size: tuple[int, int],
    shape: tuple[int, int],
    task: TaskType,
) -> Annotations:
    """Poses: visibility 0, 1, 2 becomes 0, 0.5, 1; confidences of predictions stay as they are."""
    count, dimensions = shape
    columns = 5 + count * dimensions
    wrong = [i for i, row in enumerate(rows) if len(row) - columns not in (0, 1)]
    for i in wrong:
        text = f"{len(rows[i])} numbers; kpt_shape {list(shape)} makes {columns}, or one more with a confidence"
        findings.append(Finding("error", "broken-line", f"{path}:{lines[i]}", text))
    if wrong:
        lines = [line for i, line in enumerate(lines) if i not in wrong]
        rows = [row for i, row in enumerate(rows) if i not in wrong]
    boxes = _boxes([row[:5] for row in rows], lines, findings, path, size)
    if not rows:
        return Annotations.empty(size, findings)
    boxes.scores = _scores(rows, [len(row) > columns for row in rows])
    if task is TaskType.OBJECT_DETECTION:
        return boxes
    points = np.ones((len(rows), count, 3))
    points[:, :, :dimensions] = np.array([row[5:columns] for row in rows]).reshape(len(rows), count, dimensions)
    if dimensions == 2:
        points[:, :, 2] = (points[:, :, :2] > 0).any(axis=2)  # Ultralytics takes (0, 0) for not labelled
    elif boxes.scores is None and np.isin(points[:, :, 2], (0, 1, 2)).all():
        points[:, :, 2] /= 2
    points[:, :, :2] *= size
    boxes.keypoints = list(points)
    return boxes
