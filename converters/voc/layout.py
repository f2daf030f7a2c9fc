"""Where an export has its XML files, PNGs and images, which classes and which splits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from labelferry.converters.voc.masks import CLASSES, Colours, check_palette
from labelferry.converters.voc.xml import class_names
from labelferry.errors import ExportError
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, packed_colour
from labelferry.reading.label_colours import read_label_colours
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


def find_folders(path: Path, images: Path | None) -> Folders:
    """The folders of the export at a path.

    Args:
        path: as given by the user: the export's folder, its Annotations, or a folder of XML files.
        images: folder of the images, if it is not in one of the usual places.

    Raises:
        ExportError: it is not a folder.
    """
    root = path
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
    return Folders(
        root,
        annotations if has_xml else None,
        images or next((f for f in candidates if f.is_dir() and next(find_files(f, IMAGE_EXTENSIONS), None)), None),
        classes if classes.is_dir() else None,
        objects if objects.is_dir() else None,
    )


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
        ExportError: the file cannot be read, or the colours of the PNGs are not VOC's.
    """
    labels = given
    if labels is None and (folders.root / "labelmap.txt").is_file():
        labels = folders.root / "labelmap.txt"
    if labels is not None:
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
    if not of_boxes:
        assert folders.classes is not None
        check_palette(folders.classes)
        return Classes(list(CLASSES))
    assert folders.annotations is not None
    found: set[str] = set()
    for name in find_files(folders.annotations, frozenset((".xml",))):
        found |= class_names(f"{folders.annotations}/{name}")
    return Classes(list(CLASSES) if found <= set(CLASSES) else sorted(found))


def stems_of_split(sets: Path, split: str, of_boxes: bool) -> list[str]:
    """Names of a split's images, without extension.

    Args:
        sets: the folder ImageSets.
        split: name of the split.
        of_boxes: whether the images with boxes are wanted, not those with masks.

    Raises:
        ExportError: there is no such split.
    """
    first = "Main" if of_boxes else "Segmentation"
    others = sorted(p.name for p in sets.iterdir() if p.is_dir()) if sets.is_dir() else []
    for folder in (first, *others, "."):
        path = sets / folder / f"{split}.txt"
        if path.is_file():
            return [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    known = sorted({p.stem for p in sets.rglob("*.txt")})
    text = f"no split {split!r}; it has {', '.join(known[:20]) or 'none'}"
    raise ExportError(text, where=str(sets), code="no-split")
