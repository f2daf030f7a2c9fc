"""Checks for authors of adapters: `check_adapter` says what is wrong with one."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from labelferry.columns import Batch
from labelferry.errors import ExportError, LabelferryError, UsageError
from labelferry.findings import Finding
from labelferry.lightly.conform import Unaccounted
from labelferry.lightly.write import check_accounts
from labelferry.model import Annotations, Category, Image, Listed, Refused
from labelferry.plugin.adapter import Adapter, adapter_options
from labelferry.plugin.export import Export, Request
from labelferry.run.workers import worker_pool
from labelferry.task_type import TaskType

SAMPLE = 50
"""Images whose labels are read."""

_CODE = (".py", ".pyc", ".so", ".pyd", ".pth")

LIGHT = 1 << 20
"""Bytes that an image may carry to a worker."""


def check_adapter(adapter: Adapter, task: TaskType | str | None = None) -> list[str]:
    """What is wrong with an adapter, tried on a small export; an empty list if nothing is.

        def test_my_adapter():
            assert check_adapter(MyAdapter(Path("fixtures/export"))) == []

    The adapter is opened twice; its options, tasks, categories and images are checked. The labels of the first images
    are read one by one, all at once, and in another process, and compared; all files that are opened meanwhile must be
    named. For that, the adapter's class stands at the top of a module.

    Args:
        adapter: of a good export, with the options of its constructor.
        task: the task type to try; by default the richest that the export holds.
    """
    try:
        return list(_problems(adapter, Request(None if task is None else TaskType.of(task))))
    except LabelferryError as error:
        return [f"the export cannot be opened or listed: {error}"]


def _problems(adapter: Adapter, request: Request) -> Iterator[str]:
    cls = type(adapter)
    try:
        for option in adapter_options(cls):
            if not option.help:
                yield f"the option {option.name!r} has no help: annotate it as Annotated[type, 'what it does']"
    except UsageError as error:
        yield str(error)
    if not getattr(cls, "tasks", ()):
        yield "the class names no task types: tasks = (labelferry.TaskType.OBJECT_DETECTION,)"
        return
    export, again = adapter.open(request), adapter.open(request)
    if not set(export.tasks) <= set(cls.tasks):
        yield f"the export holds {list(map(str, export.tasks))}, the class's tasks are {list(map(str, cls.tasks))}"
    if not all(isinstance(category, Category) for category in export.categories):
        yield "a category is not a labelferry.Category"
        return
    if export.categories != again.categories:
        yield "the categories differ when the export is opened a second time"
    if len({category.id for category in export.categories}) < len(export.categories):
        yield "two categories have one id"
    listed = list(islice(export.images(), SAMPLE))
    for one in listed:
        if not isinstance(one, Listed):
            yield f"a listed image is a {type(one).__name__}, not a labelferry.Image or labelferry.Finding"
            return
    for other, when in ((export, "a second time"), (again, "by an adapter that is opened a second time")):
        if _comparable(listed) != _comparable(islice(other.images(), SAMPLE)):
            yield f"other images, another order, or other findings are listed {when}"
    images = [one.image if isinstance(one, Refused) else one for one in listed if isinstance(one, Image | Refused)]
    if not images:
        yield "no image is listed"
    for image in images:
        try:
            size = len(pickle.dumps(image))
        except Exception as error:
            yield f"{image.file_name}: the image cannot be pickled, to be sent to a worker: {error}"
            return
        if size > LIGHT:
            yield f"{image.file_name}: it carries {size:,} bytes to a worker; read them with its labels"
    yield from _problems_of_labels(adapter, export, images)


def _problems_of_labels(adapter: Adapter, export: Export, images: list[Image]) -> Iterator[str]:
    read: list[tuple[Image, list[bytes]]] = []
    ids = {category.id for category in export.categories}
    for image in images:
        try:
            if type(export).labels is not Export.labels and type(export).read is Export.read:
                problems = list(_problems_of(image.file_name, export.labels(image), export, ids))
                if problems:
                    yield from problems
                    continue
            batches = list(export.read([image], export.payload([image])))
            again = list(export.read([image], export.payload([image])))
        except ExportError as error:
            yield f"{image.file_name}: {error}"
            continue
        except Exception as error:
            yield f"{image.file_name}: reading its labels raised {type(error).__name__}: {error}"
            continue
        yield from (f"{one.where}: {one.message}" for batch in batches for one in batch.findings if one.kind == "error")
        content = _contents(batches)
        if content != _contents(again):
            yield f"{image.file_name}: its labels differ when they are read a second time"
        if len(content) != 1:
            yield f"{image.file_name}: the labels of {len(content)} images were read for it"
        try:
            for batch in batches:
                check_accounts(batch)
                if type(adapter).__module__.startswith("labelferry.converters.") and (batch.found < 0).any():
                    yield f"{image.file_name}: its objects are not counted at the source (Annotations.found)"
        except Unaccounted as error:
            yield str(error)
        read.append((image, content))
    sound = [image for image, _ in read]
    alone = [content for _, contents in read for content in contents]
    if sound and _contents(export.read(sound, export.payload(sound))) != alone:
        yield "labels differ when those of several images are read at once"
    try:
        pickle.dumps(export)
    except Exception as error:
        yield f"the export cannot be pickled, to be sent to a worker: {error}"
        return
    with worker_pool(1, type(export).__module__) as pool:
        try:
            elsewhere, opened = pool.submit(_read, export, sound, export.payload(sound)).result()
        except Exception as error:
            yield f"labels cannot be read in another process: {type(error).__name__}: {error}"
            return
    if elsewhere != alone:
        yield "labels differ when they are read in another process"
    named = {os.path.abspath(path) for image in sound for path in image.files}
    named |= {os.path.abspath(path) for path in export.files}
    for path in sorted(set(opened) - named):
        yield f"labels are read from {path}, which neither the image's nor the export's files name"


def _read(export: Export, images: list[Image], payload: Any) -> tuple[list[bytes], list[str]]:
    """Reads in a worker: the content of the labels, and the files that were opened."""
    opened: list[str] = []
    is_reading = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if is_reading and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.append(os.path.abspath(os.fsdecode(arguments[0])))

    sys.addaudithook(watch)
    contents = _contents(export.read(images, payload))
    is_reading = False
    code = (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", os.path.dirname(np.__file__))
    return contents, [
        path for path in opened if not path.startswith(code) and not path.endswith(_CODE) and os.path.isfile(path)
    ]


def _comparable(listed: Iterable[Listed]) -> list[Any]:
    """What can be compared of what is listed: all but the sources of images."""
    return [
        one
        if isinstance(one, Finding)
        else (one.image._replace(source=None), one.finding)
        if isinstance(one, Refused)
        else one._replace(source=None)
        for one in listed
    ]


def _contents(batches: Iterator[Batch] | Sequence[Batch]) -> list[bytes]:
    """All that batches say of each image, to compare them."""
    contents = []
    for batch in batches:
        for b, name in enumerate(batch.names):
            labels = batch.annotations(b)
            masks = None if labels.masks is None else [(m.counts.tolist(), m.height, m.width) for m in labels.masks]
            points = None if labels.keypoints is None else [one.tolist() for one in labels.keypoints]
            numbers = (labels.category_ids, labels.boxes, labels.scores, labels.probabilities)
            columns = [None if column is None or not len(labels) else column.tolist() for column in numbers]
            shapes = (masks, points) if len(labels) else ()
            findings = [(f.kind, f.code, f.where, f.message, f.count) for f in batch.findings if f.image == b]
            content = (name, bool(batch.refused[b]), labels.size, columns, shapes, findings)
            contents.append(repr(content).encode())
    return contents


def _problems_of(name: str, labels: Annotations, export: Export, ids: set[int]) -> Iterator[str]:
    """What is wrong with the columns of one image."""
    if not isinstance(labels, Annotations):
        yield f"{name}: its labels are a {type(labels).__name__}, not labelferry.Annotations"
        return
    count = len(labels)
    shapes = {
        "category_ids": (labels.category_ids, (count,)),
        "boxes": (labels.boxes, (count, 4)),
        "scores": (labels.scores, (count,)),
        "probabilities": (labels.probabilities, (count, len(export.categories))),
    }
    for column_name, (column, shape) in shapes.items():
        if column is not None and (not isinstance(column, np.ndarray) or column.shape != shape):
            given = column.shape if isinstance(column, np.ndarray) else type(column).__name__
            yield f"{name}: {column_name} must be an array of the shape {shape}, found {given}"
    if not np.issubdtype(np.asarray(labels.category_ids).dtype, np.integer):
        yield f"{name}: category_ids are integers, found {np.asarray(labels.category_ids).dtype}"
    elif unknown := set(labels.category_ids.tolist()) - ids:
        yield f"{name}: the category id {min(unknown)} is not one of the categories"
    for column_name, rows in (("masks", labels.masks), ("keypoints", labels.keypoints)):
        if rows is not None and len(rows) != count:
            yield f"{name}: {len(rows)} {column_name} for {count} objects"
    has_shapes = labels.boxes is not None or labels.masks is not None or labels.keypoints is not None
    needed = {
        TaskType.INSTANCE_SEGMENTATION: ("masks", labels.masks is not None),
        TaskType.SEMANTIC_SEGMENTATION: ("masks", labels.masks is not None),
        TaskType.KEYPOINT_DETECTION: ("keypoints", labels.keypoints is not None),
        TaskType.OBJECT_DETECTION: ("boxes", has_shapes),
    }.get(export.source_task)
    if count and needed is not None and not needed[1]:
        yield f"{name}: there are no {needed[0]}, which {export.source_task} needs"
    if labels.size is None and export.has_sizes and export.task is not TaskType.CLASSIFICATION:
        yield f"{name}: the size of the image is missing"
    elif labels.size is not None and len(labels.size) != 2:
        yield f"{name}: the size is (width, height), found {labels.size}"
