"""The files that labelformat reads, looked at without it: how many objects they list, and what it would read wrongly.

labelformat takes the first four of any values that can be made numbers for a box, and passes over files and entries
that it does not look for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from labelferry.errors import ExportError
from labelferry.reading.images import find_files
from labelferry.reading.text import read_json, read_text, read_yaml
from labelferry.task_type import TaskType


def count_objects(name: str, path: Path, task: TaskType, labels: Any) -> int | None:
    """How many objects the files of an export list; None where the format does not tell it.

    Args:
        name: of the format.
        path: of the export.
        task: the task type that is read.
        labels: the input, which knows the folder of YOLO's labels.

    Raises:
        ExportError: a value has another type than the format defines, or a file cannot be read.
    """
    if name.startswith("yolov"):
        names = read_yaml(path).get("names")
        if not isinstance(names, list | dict):
            raise _wrong(str(path), "names", names, "a list or mapping of names")
        if hasattr(labels, "_labels_dir"):
            return _count_lines(labels._labels_dir())
        return None
    counter = _COUNTERS.get(name)
    return None if counter is None or task is TaskType.SEMANTIC_SEGMENTATION else counter(path, task)


def _wrong(where: str, key: str, value: Any, expected: str) -> ExportError:
    return ExportError(f"{key} is {str(value)[:60]!r}, not {expected}", where=where, code="broken-annotation")


def _count_lines(folder: Path) -> int:
    names = find_files(folder, frozenset((".txt",))) if folder.is_dir() else iter(())
    return sum(bool(line.strip()) for name in names for line in read_text(folder / name).splitlines())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_box(box: Any, where: str, key: str) -> None:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise _wrong(where, key, box, "a list of four numbers")


def _check_runs(given: Any, where: str) -> None:
    """Run lengths that are a list are as many pixels as their size says."""
    if isinstance(given, dict) and isinstance(given.get("counts"), list):
        size, counts = given.get("size"), given["counts"]
        if not isinstance(size, list) or len(size) != 2 or not all(map(_is_number, [*size, *counts])):
            raise _wrong(where, "segmentation", given, "run lengths and their size")
        if sum(counts) != size[0] * size[1]:
            raise _wrong(where, "segmentation", f"{sum(counts)} pixels", f"{size[0]} x {size[1]} pixels")


def _entries(data: Any, key: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a list in a JSON file, with their places."""
    listed = data.get(key) if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise _wrong(str(path), key, listed, "a list")
    for i, entry in enumerate(listed):
        where = f"{path}, {key}[{i}]"
        if not isinstance(entry, dict):
            raise _wrong(where, "the entry", entry, "an object")
        yield where, entry


def _check_names(data: Any, path: Path) -> None:
    for where, category in _entries(data, "categories", path):
        if not isinstance(category.get("name"), str):
            raise _wrong(where, "name", category.get("name"), "text")


def _coco(path: Path, task: TaskType) -> int:
    data, count = read_json(path), 0
    _check_names(data, path)
    ids: set[str] = set()
    for where, image in _entries(data, "images", path):
        if (key := repr(image.get("id"))) in ids:
            raise _wrong(where, "id", image.get("id"), "an id of its own: another image has it")
        ids.add(key)
    for where, annotation in _entries(data, "annotations", path):
        count += 1
        if task is TaskType.OBJECT_DETECTION:
            _check_box(annotation.get("bbox"), where, "bbox")
        _check_runs(annotation.get("segmentation"), where)
    return count


def _youtubevis(path: Path, task: TaskType) -> int:
    data, count = read_json(path), 0
    _check_names(data, path)
    for where, annotation in _entries(data, "annotations", path):
        shapes = annotation.get("bboxes" if task is TaskType.OBJECT_DETECTION else "segmentations")
        for i, shape in enumerate(shapes if isinstance(shapes, list) else ()):
            if shape is None:  # the object is not visible
                continue
            count += 1
            if task is TaskType.OBJECT_DETECTION:
                _check_box(shape, where, f"bboxes[{i}]")
            _check_runs(shape, where)
    return count


def _labelbox(path: Path, task: TaskType) -> int:
    count = 0
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            row = json.loads(line)
            projects = row["projects"].values()
            count += sum(len(label["annotations"]["objects"]) for project in projects for label in project["labels"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            text = f"not a data row of Labelbox: {type(error).__name__}: {error}"
            raise ExportError(text, where=f"{path}:{number}", code="broken-json") from None
    return count


def _lightly(path: Path, task: TaskType) -> int:
    count = 0
    for name in find_files(path, frozenset((".json",))):
        if name.rpartition("/")[2] != "schema.json":
            for where, prediction in _entries(read_json(path / name), "predictions", path / name):
                count += 1
                _check_box(prediction.get("bbox"), where, "bbox")
    return count


def _elements(path: Path) -> Any:
    import xml.etree.ElementTree as ET  # for its error

    import defusedxml.ElementTree

    try:
        return defusedxml.ElementTree.fromstring(read_text(path).encode(), forbid_dtd=True)
    except (ET.ParseError, ValueError) as error:
        raise ExportError(f"not XML: {error}", where=str(path), code="broken-xml") from None


def _pascalvoc(path: Path, task: TaskType) -> int:
    """Elements with a box, whatever their name."""
    names = find_files(path, frozenset((".xml",)))
    roots = (_elements(path / name) for name in names)
    return sum(one.tag == "object" or one.find("bndbox") is not None for root in roots for one in root)


def _cvat(path: Path, task: TaskType) -> int:
    return sum(len(image) for image in _elements(path).iter("image"))


_COUNTERS: dict[str, Callable[[Path, TaskType], int]] = {
    "coco": _coco,
    "rtdetr": _coco,
    "rtdetrv2": _coco,
    "youtubevis": _youtubevis,
    "labelbox": _labelbox,
    "lightly": _lightly,
    "kitti": lambda path, task: _count_lines(path),
    "pascalvoc": _pascalvoc,
    "cvat": _cvat,
}
