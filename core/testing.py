"""What tells the author of an adapter what is wrong with it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice

import numpy as np

from labelferry.errors import ExportError, UsageError
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter, adapter_options
from labelferry.run.workers import worker_pool
from labelferry.task_type import TaskType

SAMPLE = 50
"""Images whose labels are read."""

LIGHT = 1 << 20
"""Bytes that an image may carry to a worker."""


def check_adapter(adapter: Adapter, task: TaskType | str | None = None) -> list[str]:
    """What is wrong with an adapter, tried on a small export; nothing, if all is well.

        def test_my_adapter():
            assert check_adapter(MyAdapter(Path("fixtures/export"))) == []

    Its options, tasks, categories and images are looked at, the labels of the first images are read twice here and
    once in another process, and compared. For that, the adapter's class stands at the top of a module.

    Args:
        adapter: of a good export, with the options of its constructor.
        task: the task type to try; by default the first of `get_tasks()`.
    """
    return list(_problems(adapter, None if task is None else TaskType(task)))


def _problems(adapter: Adapter, task: TaskType | None) -> Iterator[str]:
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
    tasks = adapter.get_tasks()
    if not tasks or not set(tasks) <= set(cls.tasks):
        yield f"get_tasks() gives {list(map(str, tasks))}, the class's tasks are {list(map(str, cls.tasks))}"
        return
    adapter.task = task or tasks[0]
    categories = list(adapter.get_categories())
    if not all(isinstance(category, Category) for category in categories):
        yield "get_categories() gives something that is no labelferry.Category"
        return
    if categories != list(adapter.get_categories()):
        yield "get_categories() gives other categories the second time"
    if len({category.id for category in categories}) < len(categories):
        yield "two categories have one id"
    images = list(islice(adapter.get_images(), SAMPLE))
    if not images:
        yield "get_images() gives no image"
    if not all(isinstance(image, Image) for image in images):
        yield "get_images() gives something that is no labelferry.Image"
        return
    if [image.file_name for image in images] != [image.file_name for image in islice(adapter.get_images(), SAMPLE)]:
        yield "get_images() gives other images, or another order, the second time"
    for image in images:
        try:
            size = len(pickle.dumps(image))
        except Exception as error:
            yield f"{image.file_name}: the image cannot be pickled, to be sent to a worker: {error}"
            return
        if size > LIGHT:
            yield f"{image.file_name}: it carries {size:,} bytes to a worker; read them in get_labels()"
    yield from _problems_of_labels(adapter, images, {category.id for category in categories}, len(categories))


def _problems_of_labels(adapter: Adapter, images: list[Image], ids: set[int], columns: int) -> Iterator[str]:
    read = []
    for image in images:
        try:
            labels = adapter.get_labels(image)
            again = adapter.get_labels(image)
        except ExportError as error:
            yield f"{image.file_name}: {error}"
            continue
        except Exception as error:
            yield f"{image.file_name}: get_labels() raised {type(error).__name__}: {error}"
            continue
        if not isinstance(labels, Annotations):
            yield f"{image.file_name}: get_labels() gives a {type(labels).__name__}, not labelferry.Annotations"
            continue
        if _content(labels) != _content(again):
            yield f"{image.file_name}: get_labels() gives something else the second time"
        yield from (f"{image.file_name}: {problem}" for problem in _problems_of(labels, adapter.task, ids, columns))
        read.append((image, _content(labels)))
    try:
        pickle.dumps(adapter)
    except Exception as error:
        yield f"the adapter cannot be pickled, to be sent to a worker: {error}"
        return
    with worker_pool(1, type(adapter).__module__) as pool:
        try:
            elsewhere = pool.submit(_read, adapter, [image for image, _ in read]).result()
        except Exception as error:
            yield f"get_labels() failed in another process: {type(error).__name__}: {error}"
            return
    for (image, here), there in zip(read, elsewhere, strict=True):
        if here != there:
            yield f"{image.file_name}: get_labels() gives something else in another process"


def _read(adapter: Adapter, images: list[Image]) -> list[bytes]:
    return [_content(adapter.get_labels(image)) for image in images]


def _content(labels: Annotations) -> bytes:
    """All that annotations say, to compare them."""
    masks = None if labels.masks is None else [(mask.counts.tolist(), mask.height, mask.width) for mask in labels.masks]
    points = None if labels.keypoints is None else [np.asarray(one).tolist() for one in labels.keypoints]
    numbers = (labels.category_ids, labels.boxes, labels.scores, labels.probabilities)
    lists = [None if column is None else np.asarray(column).tolist() for column in numbers]
    return repr((lists, labels.size, masks, points, labels.findings)).encode()


def _problems_of(labels: Annotations, task: TaskType, ids: set[int], columns: int) -> Iterator[str]:
    count = len(labels)
    shapes = {
        "category_ids": (labels.category_ids, (count,)),
        "boxes": (labels.boxes, (count, 4)),
        "scores": (labels.scores, (count,)),
        "probabilities": (labels.probabilities, (count, columns)),
    }
    for name, (column, shape) in shapes.items():
        if column is not None and (not isinstance(column, np.ndarray) or column.shape != shape):
            given = column.shape if isinstance(column, np.ndarray) else type(column).__name__
            yield f"{name} are to be an array of the shape {shape}, found {given}"
    if not np.issubdtype(labels.category_ids.dtype, np.integer):
        yield f"category_ids are integers, found {labels.category_ids.dtype}"
    elif unknown := set(labels.category_ids.tolist()) - ids:
        yield f"the category id {min(unknown)} is none of get_categories()"
    for name, rows in (("masks", labels.masks), ("keypoints", labels.keypoints)):
        if rows is not None and len(rows) != count:
            yield f"{len(rows)} {name} for {count} objects"
    needed = {
        TaskType.INSTANCE_SEGMENTATION: ("masks", labels.masks),
        TaskType.SEMANTIC_SEGMENTATION: ("masks", labels.masks),
        TaskType.KEYPOINT_DETECTION: ("keypoints", labels.keypoints),
        TaskType.OBJECT_DETECTION: ("boxes", labels.boxes if labels.boxes is not None else labels.masks),
    }.get(task)
    if count and needed is not None and needed[1] is None:
        yield f"there are no {needed[0]}, which {task} needs"
    if labels.size is None and task is not TaskType.CLASSIFICATION:
        yield "there is no size of the image"
    elif labels.size is not None and len(labels.size) != 2:
        yield f"the size is (width, height), found {labels.size}"
