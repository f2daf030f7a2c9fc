"""Where an export has its XML files, PNGs and images, which classes and which splits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from labelferry.converters.voc.masks import Colours
from labelferry.converters.voc.xml import class_names
from labelferry.errors import AmbiguousError, ExportError
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, packed_colour
from labelferry.reading.label_colours import VOC_CLASSES, read_label_colours
from labelferry.reading.text import read_names, read_text
from labelferry.task_type import TaskType

BACKGROUND = "background"


class Folders(NamedTuple):
    """Where an export has what; None: it has none."""

    root: Path
    annotations: Path | None
    images: Path | None
    classes: Path | None
    objects: Path | None


class Classes(NamedTuple):
    """Names of the classes, their colours if a labelmap gives them, and the file that says so, if one does."""

    names: list[str]
    colours: Colours | None = None
    file: Path | None = None


class ImageNames:
    """Names of images, with the ways in which labels refer to them.

    Attributes:
        names: paths relative to their folder.
        by_stem: the same by path without extension.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        self.by_stem: dict[str, list[str]] = {}
        self._by_base: dict[str, list[str]] = {}
        for name in self.names:
            self.by_stem.setdefault(stem_of(name), []).append(name)
            base = name.rpartition("/")[2]
            for key in (base, stem_of(base)):
                self._by_base.setdefault(key, []).append(name)

    def named(self, given: str, folder: str) -> str | None:
        """The image that <filename> names, with or without its extension: by its path, in the folder of the XML file,
        or in any other if no other image has this name.

        Args:
            given: the name, with forward slashes.
            folder: of the XML file, relative to the folder of all.
        """
        base = given.rpartition("/")[2]
        candidates = self._by_base.get(base, ()) if base else ()
        for path in (given, f"{folder}/{base}".removeprefix("/")):
            for name in candidates:
                if path in (name, stem_of(name)):
                    return name
        return candidates[0] if len(candidates) == 1 else None


def stem_of(name: str) -> str:
    """A path without extension."""
    return name[: name.rfind(".")]


def find_folders(path: Path, images: Path | None) -> Folders:
    """The folders of the export at a path; their names may be in any case.

    Args:
        path: as given by the user: the export's folder, its Annotations, or a folder of XML files.
        images: folder of the images, if it is not in one of the usual places.

    Raises:
        AmbiguousError: there are several folders of one purpose.
        ExportError: it is not a folder, or the folder below it is meant.
    """
    if not path.is_dir():
        text = "a folder was expected: the one that holds Annotations, or XML files"
        raise ExportError(text, where=str(path), code="no-labels")
    root, annotations = path, path
    if path.name.lower() == "annotations":
        root = path.parent
    elif found := _folders(path, "annotations"):
        if len(found) > 1:
            names = " and ".join(folder.name for folder in found)
            raise AmbiguousError(f"{names} may hold the XML files; name one of them as SOURCE", where=str(path))
        annotations = found[0]
    elif below := [inner for folder in _folders(path) for inner in _folders(folder, "annotations")]:
        names = ", ".join(sorted(str(folder.parent) for folder in below))
        raise ExportError(f"name a folder that holds Annotations: {names}", where=str(path), code="no-labels")
    has_xml = next(find_files(annotations, frozenset((".xml",))), None) is not None
    classes, objects = (next(iter(_folders(root, name)), None) for name in ("segmentationclass", "segmentationobject"))
    if images is None:
        likely = _folders(root, "jpegimages", "images")
        candidates = [folder for folder in likely if next(find_files(folder, IMAGE_EXTENSIONS), None)]
        known = tuple(f"{folder}/" for folder in candidates)
        if classes is None and any(  # whose masks would be taken for images
            not f"{annotations}/{name}".startswith(known) for name in find_files(annotations, IMAGE_EXTENSIONS)
        ):
            candidates.append(annotations)
        if len(candidates) > 1:
            names = " and ".join(str(folder) for folder in candidates)
            raise AmbiguousError(f"{names} hold images; say which are meant with --images", where=str(path))
        images = candidates[0] if candidates else None
    return Folders(root, annotations if has_xml else None, images, classes, objects)


def _folders(folder: Path, *names: str) -> list[Path]:
    """The folders in a folder that have one of these names, in any case; without names, all that are not hidden."""
    with os.scandir(folder) as entries:
        return [
            Path(entry.path)
            for entry in sorted(entries, key=lambda entry: entry.name)
            if (entry.name.lower() in names if names else entry.name[0] != ".") and entry.is_dir()
        ]


def tasks_of(folders: Folders, path: Path) -> list[TaskType]:
    """The task types that an export holds, richest first.

    Raises:
        ExportError: it holds none.
    """
    tasks = []
    if folders.classes is not None:
        if folders.objects is not None:
            tasks.append(TaskType.INSTANCE_SEGMENTATION)
        tasks.append(TaskType.SEMANTIC_SEGMENTATION)
    if folders.annotations is not None:
        tasks.append(TaskType.OBJECT_DETECTION)
    if not tasks:
        text = "neither XML files nor SegmentationClass PNGs; name the folder that holds them or Annotations"
        raise ExportError(text, where=str(path), code="no-labels")
    return tasks


def find_classes(folders: Folders, given: Path | None, of_boxes: bool) -> Classes:
    """The classes: given, of a labelmap, VOC's own, or found.

    Args:
        folders: of the export.
        given: file of the names, or of names and colours.
        of_boxes: whether they are those of XML files, not of PNGs.

    Raises:
        ExportError: the file cannot be read, or names a class twice.
    """
    labels = given
    if labels is None and (folders.root / "labelmap.txt").is_file():
        labels = folders.root / "labelmap.txt"
    if labels is not None:
        classes = _classes_of_file(labels)
        if twice := [name for name in set(classes.names) if classes.names.count(name) > 1]:
            raise ExportError(f"it names {min(twice)!r} twice", where=str(labels), code="category-name-twice")
        return classes
    if not of_boxes:
        return Classes(list(VOC_CLASSES))
    assert folders.annotations is not None
    found: set[str] = set()
    for name in find_files(folders.annotations, frozenset((".xml",))):
        found |= class_names(f"{folders.annotations}/{name}")
    return Classes(list(VOC_CLASSES) if found <= set(VOC_CLASSES) else sorted(found))


def _classes_of_file(labels: Path) -> Classes:
    """The classes that a file of names, or of names and colours, gives."""
    lines = [line for line in read_text(labels).splitlines() if line.strip() and not line.startswith("#")]
    if not lines or ":" not in lines[0]:
        return Classes([name for name in read_names(labels) if name != BACKGROUND], None, labels)
    if not any(line.partition(":")[2].strip(": ") for line in lines):  # Datumaro's, of boxes, has names alone
        names = [name for line in lines if (name := line.partition(":")[0].strip()) != BACKGROUND]
        return Classes(names, None, labels)
    entries = read_label_colours(labels)
    names = list(dict.fromkeys(name for name, _ in entries if name != BACKGROUND))
    ids = {name: i for i, name in enumerate(names)}
    return Classes(names, {packed_colour(colour): ids.get(name) for name, colour in entries}, labels)


_MARK = re.compile(r"\s+-?[01]$")
"""What follows the name in a split of one class: whether the image has it."""


def names_of_split(root: Path, split: str, of_boxes: bool) -> list[tuple[str, str]]:
    """Names of a split's images, without extension: the line, and the line without a mark at its end.

    Args:
        root: the folder that holds ImageSets.
        split: name of the split.
        of_boxes: whether the images with boxes are wanted, not those with masks.

    Raises:
        ExportError: there is no such split.
    """
    first = "main" if of_boxes else "segmentation"
    all_sets = [sets for folder in _folders(root, "imagesets") for sets in (*_folders(folder), folder)]
    for folder in sorted(all_sets, key=lambda folder: folder.name.lower() != first):
        path = folder / f"{split}.txt"
        if path.is_file():
            lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
            return [(line, _MARK.sub("", line)) for line in lines]
    known = sorted({path.stem for folder in all_sets for path in folder.glob("*.txt")})
    text = f"no split {split!r}; it has {', '.join(known[:20]) or 'none'}"
    raise ExportError(text, where=str(root / "ImageSets"), code="no-split")
