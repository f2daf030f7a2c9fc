"""Lightly: predictions of a datasource, to rename classes, merge tasks, change the task type, or move them elsewhere.

SOURCE is a datasource, or the folder of a task. Frames of videos are read by the names that they have. Without an
option, files that labelferry wrote are written again unchanged.

Definition: https://docs.lightly.ai/docs/prediction-format
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson
from msgspec import Meta, Struct
from numpy.typing import NDArray

from labelferry.columns import Keypoints
from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.lightly.names import SCHEMA, TASKS, prediction_path
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import find_files, image_size
from labelferry.reading.text import json_fault, read_bytes_without_bom, read_json
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

_HEAD = 1 << 12
"""Bytes at the beginning of a prediction file that are read to find the name of its image."""

_WITH_MASKS = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
_WITHOUT_BOXES = (TaskType.CLASSIFICATION, TaskType.SEMANTIC_SEGMENTATION)

_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises when it cannot decode a file."""

_JSON = frozenset((".json",))
_FILE_NAME = re.compile(rb'\s*\{\s*"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')

_Int = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class _Prediction(Struct, gc=False):
    category_id: _Int
    score: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    keypoints: list[float] | None = None
    segmentation: list[_Int] | None = None
    probabilities: list[float] | None = None


class _Predictions(Struct):
    file_name: str
    predictions: list[_Prediction]


class _Entries(Struct):
    """A prediction file whose predictions are counted only."""

    predictions: list[msgspec.Raw]


class _SchemaCategory(Struct):
    id: _Int
    name: str
    keypoints: list[str] = []
    skeleton: list[tuple[_Int, _Int]] = []


class _Schema(Struct):
    task_type: str
    categories: list[_SchemaCategory]


_PREDICTIONS = msgspec.json.Decoder(_Predictions)
_ENTRIES = msgspec.json.Decoder(_Entries)
_SCHEMA = msgspec.json.Decoder(_Schema)


class _Task(NamedTuple):
    """A task's folder, its type, and the category id here of every category of its schema."""

    folder: str
    type: TaskType
    ids: dict[int, int]


class _Object(NamedTuple):
    """A prediction whose values are sound."""

    category_id: int
    score: float | None
    probabilities: list[float] | None
    box: Sequence[float] | None
    mask: RunLengthMask | None
    points: NDArray[np.float64] | None


@register("lightly")
class Lightly(Adapter):
    """Reads Lightly's prediction files."""

    tasks = tuple(TaskType)

    def __init__(
        self,
        path: Path,
        *,
        source_task: Annotated[
            str | None, "The task to read; several, separated by commas, are merged. By default the only one."
        ] = None,
        images: Annotated[
            Path | None,
            "Folder of the images: boxes are checked against their sizes, which prediction files do not hold.",
        ] = None,
    ) -> None:
        self.path = path
        self.source_task = source_task
        self.images = images

    def open(self, request: Request) -> Export:
        return _LightlyExport(self, request)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        root = next((p for p in (probe.path / ".lightly/predictions", probe.path) if (p / TASKS).is_file()), None)
        names = read_json(root / TASKS) if root else [None] if (probe.path / SCHEMA).is_file() else []
        for name in names:
            folder = root / name if root and name else probe.path
            kind = TaskType(read_json(folder / SCHEMA)["task_type"])
            files, whole = probe.files(folder, _JSON, depth=8, known=True)
            options = {"source_task": name} if len(names) > 1 else {}
            yield Match(probe.path, f"Lightly predictions {folder.name!r}", (kind,), len(files) - 1, whole, options)


class _LightlyExport(Export):
    """Tasks of one type. `Image.source` are the places of the tasks that have a prediction file of the image;
    `Image.files` are these files and, with a folder of images, the image."""

    has_sizes = False

    def __init__(self, adapter: Lightly, request: Request) -> None:
        self._images = adapter.images
        self._tasks, categories = _read_schemas(_folders(adapter))
        schemas = [f"{task.folder}/{SCHEMA}" for task in self._tasks]
        super().__init__(request, (self._tasks[0].type,), categories, schemas)

    def images(self) -> Iterator[Image | Finding]:
        seen: set[str] = set()  # of several tasks
        for place, task in enumerate(self._tasks):
            for name in find_files(Path(task.folder), _JSON):
                if name == SCHEMA or name in seen:
                    continue
                files = {place: f"{task.folder}/{name}"}
                if len(self._tasks) > 1:
                    seen.add(name)
                    others = enumerate(f"{other.folder}/{name}" for other in self._tasks)
                    files |= {i: path for i, path in others if i > place and os.path.exists(path)}
                yield self._image(name, files)

    def _image(self, name: str, files: dict[int, str]) -> Image | Finding:
        """The image of a prediction file.

        Args:
            name: path of the file, relative to the folder of its task.
            files: path of the file by the place of the task, for all tasks that have it.
        """
        path = next(iter(files.values()))
        try:
            file_name = _file_name(path)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            text = f"not a prediction file: {error}"
            return Finding.error("broken-json", path, text, lost=_count_all(files.values()))
        if not isinstance(file_name, str) or prediction_path(file_name) != name:
            text = f"it is for {file_name!r}, whose prediction file is another"
            return Finding.error("file-name", path, text, lost=_count_all(files.values()))
        image = () if self._images is None else (f"{self._images}/{file_name}",)
        return Image(file_name, tuple(files), files=(*files.values(), *image))

    def labels(self, image: Image) -> Annotations:
        paths = image.files[: len(image.source)]
        try:
            predictions = [_read_predictions(path) for path in paths]
            size = None if self._images is None else image_size(image.files[-1])
        except ExportError as error:
            error.lost = _count_all(paths)
            raise
        objects: list[_Object] = []
        places: list[str] = []
        findings: list[Finding] = []
        for place, path, listed in zip(image.source, paths, predictions, strict=True):
            for i, prediction in enumerate(listed, 1):
                where = f"{path}, prediction {i}"
                try:
                    objects.append(self._object(prediction, self._tasks[place], size))
                except ExportError as error:
                    findings.append(Finding.error(error.code, where, error.message, lost=1))
                else:
                    places.append(where)
        found = sum(map(len, predictions))
        if not objects:
            return Annotations(np.zeros(0, np.int64), size, findings=findings, found=found)
        ids, scores, probabilities, boxes, masks, points = zip(*objects, strict=True)
        return Annotations(
            np.array(ids, np.int64),
            size,
            _boxes(boxes, points),
            None if _is_absent(scores) else np.array([1.0 if score is None else score for score in scores]),
            self._probabilities(probabilities, places[0], findings),
            None if _is_absent(masks) else masks,
            None if _is_absent(points) else points,
            findings,
            places.__getitem__,
            found,
        )

    def _object(self, prediction: _Prediction, task: _Task, size: tuple[int, int] | None) -> _Object:
        """A prediction, in the columns of its task type.

        Raises:
            ExportError: a value of it is missing or broken.
        """
        category_id = task.ids.get(prediction.category_id)
        if category_id is None:
            shown = ", ".join(map(str, islice(task.ids, 10))) + (", ..." if len(task.ids) > 10 else "")
            text = f"category id {prediction.category_id} is not one of the schema's categories ({shown})"
            raise ExportError(text, code="unknown-category")
        mask = _mask(prediction.segmentation, size) if self.task in _WITH_MASKS else None
        points = _keypoints(prediction.keypoints) if self.task is TaskType.KEYPOINT_DETECTION else None
        box: Sequence[float] | None = prediction.bbox
        if self.task in _WITHOUT_BOXES:
            box = None
        elif box is None and points is None:
            box = self._tight_box(prediction, size)
        return _Object(category_id, prediction.score, prediction.probabilities, box, mask, points)

    def _tight_box(self, prediction: _Prediction, size: tuple[int, int] | None) -> Sequence[float]:
        """The box of a prediction without a bbox."""
        if self.source_task is TaskType.KEYPOINT_DETECTION:
            return _tight_boxes([_keypoints(prediction.keypoints)])[0]
        if self.source_task is not TaskType.INSTANCE_SEGMENTATION:
            raise ExportError("it has no bbox", code="box-missing")
        if size is None:
            raise ExportError("it has no bbox; give --images, to make it of the mask", code="box-missing")
        mask = _mask(prediction.segmentation, size)
        if not mask.area:
            raise ExportError("it has no bbox, and its mask has no pixel", code="box-missing")
        return mask.box

    def _probabilities(
        self, given: Sequence[list[float] | None], where: str, findings: list[Finding]
    ) -> NDArray[np.float64] | None:
        """One for each category. Those of several tasks are left out: each task has them for its own categories."""
        if _is_absent(given) or len(self._tasks) > 1:
            return None
        if None in given or len({len(one) for one in given if one is not None}) > 1:
            findings.append(Finding.error("probabilities-count", where, "not one for each category"))
            return None
        return np.array(given, np.float64)


def _file_name(path: str) -> Any:
    """The image that a prediction file names; only the beginning of the file is read if that names it.

    Raises:
        orjson.JSONDecodeError, KeyError, TypeError: it is not a prediction file.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        match = _FILE_NAME.match(head)
        return orjson.loads(match[1]) if match else orjson.loads(head + file.read())["file_name"]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _read_predictions(path: str) -> list[_Prediction]:
    content = _read(path)
    try:
        return _PREDICTIONS.decode(content).predictions
    except _BROKEN as error:
        raise json_fault(error, Path(path), content) from None


def _count_all(paths: Iterable[str]) -> int:
    """How many predictions these files list; a file whose list cannot be read counts as 0."""
    count = 0
    for path in paths:
        with contextlib.suppress(*_BROKEN, OSError):
            count += len(_ENTRIES.decode(_read(path)).predictions)
    return count


def _is_absent(column: Sequence[object]) -> bool:
    return all(value is None for value in column)


def _mask(counts: list[int] | None, size: tuple[int, int] | None) -> RunLengthMask:
    """A mask; without the image's size it is one row of all its pixels, so that run lengths stay as they are."""
    if not counts:
        raise ExportError("it has no segmentation", code="broken-segmentation")
    width, height = size or (sum(counts), 1)
    try:
        return RunLengthMask.from_counts(np.array(counts, np.int64), height, width)
    except ValueError as error:
        raise ExportError(str(error), code="broken-segmentation") from None


def _keypoints(numbers: list[float] | None) -> NDArray[np.float64]:
    if not numbers or len(numbers) % 3:
        text = f"{len(numbers or ())} numbers in keypoints; they come in threes of x, y, score"
        raise ExportError(text, code="broken-keypoints")
    return np.array(numbers, np.float64).reshape(-1, 3)


def _tight_boxes(points: Sequence[NDArray[np.float64]]) -> list[list[float]]:
    """The boxes around all keypoints, invisible ones included, which Lightly takes where there is no bbox:
    https://docs.lightly.ai/docs/prediction-format."""
    boxes: list[list[float]] = Keypoints.of(points).boxes().tolist()
    return boxes


def _boxes(
    given: Sequence[Sequence[float] | None], points: Sequence[NDArray[np.float64] | None]
) -> NDArray[np.float64] | None:
    """The boxes; if only some objects have one, the others have the tight one around their keypoints."""
    if _is_absent(given):
        return None
    if None in given:
        tight = _tight_boxes([one for one in points if one is not None])
        given = [tight[i] if box is None else box for i, box in enumerate(given)]
    return np.array(given, np.float64)


def _read_schemas(folders: list[str]) -> tuple[list[_Task], list[Category]]:
    """The tasks in these folders, and their categories, merged by name."""
    categories: list[Category] = []
    ids: dict[str, int] = {}
    tasks: list[_Task] = []
    for folder in folders:
        path = Path(folder, SCHEMA)
        try:
            content = read_bytes_without_bom(path)
        except ExportError as error:
            raise ExportError(error.message, where=error.where, code="no-schema") from None
        try:
            schema = _SCHEMA.decode(content)
            kind = TaskType(schema.task_type)
        except _BROKEN as error:
            raise json_fault(error, path, content) from None
        except ValueError:
            text = f"Lightly has no task type {schema.task_type!r}"
            raise ExportError(text, where=str(path), code="no-schema") from None
        if tasks and kind is not tasks[0].type:
            raise UsageError(f"--source-task: {folder} holds {kind}, {tasks[0].folder} {tasks[0].type}")
        of_task = {}
        for one in sorted(schema.categories, key=lambda category: category.id):
            new = one.name not in ids or len(folders) == 1
            number = (one.id if len(folders) == 1 else len(ids)) if new else ids[one.name]
            category = Category(number, one.name, tuple(one.keypoints), tuple(one.skeleton))
            if new:
                ids[one.name] = number
                categories.append(category)
            elif category not in categories:
                raise UsageError(f"--source-task: the keypoints of {one.name!r} differ in {folder}")
            of_task[one.id] = number
        tasks.append(_Task(folder, kind, of_task))
    return tasks, categories


def _folders(adapter: Lightly) -> list[str]:
    """The folders of the tasks to read."""
    path = adapter.path
    if (path / SCHEMA).is_file() and adapter.source_task is None:
        return [str(path)]
    predictions = next((p for p in (path / ".lightly/predictions", path / "predictions", path) if p.is_dir()), path)
    if not predictions.is_dir() or not (predictions / TASKS).is_file():
        text = "no .lightly/predictions with a tasks.json in it, and no schema.json of a task"
        raise ExportError(text, where=str(path), code="not-lightly")
    names = read_json(predictions / TASKS)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ExportError("not a list of task names", where=str(predictions / TASKS), code="not-lightly")
    wanted = names if adapter.source_task is None else [name.strip() for name in adapter.source_task.split(",")]
    if adapter.source_task is None and len(names) != 1:
        raise UsageError(f"say with --source-task which to read: {', '.join(names) or 'tasks.json is empty'}")
    if unknown := [name for name in wanted if name not in names]:
        raise UsageError(f"--source-task: there is no task {unknown[0]!r}; there are {', '.join(names)}")
    return [f"{predictions}/{name}" for name in wanted]
