"""Lightly: predictions of a datasource, to rename classes, merge tasks, change the task type, or move them elsewhere.

SOURCE is a datasource, or the folder of a task. Frames of videos are read by the names they have. Without an option,
files come out as they went in.

Definition: https://docs.lightly.ai/docs/prediction-format
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson
from msgspec import Meta, Struct

from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.lightly.names import SCHEMA, TASKS, prediction_path
from labelferry.model import Annotations, Category, File, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import find_files, image_size
from labelferry.reading.text import json_fault, read_json
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

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


class _SchemaCategory(Struct):
    id: _Int
    name: str
    keypoints: list[str] = []
    skeleton: list[tuple[_Int, _Int]] = []


class _Schema(Struct):
    task_type: str
    categories: list[_SchemaCategory]


_PREDICTIONS = msgspec.json.Decoder(_Predictions)
_SCHEMA = msgspec.json.Decoder(_Schema)


class _Task(NamedTuple):
    """A task's folder, its type, and the id here of every category of its schema."""

    folder: str
    type: TaskType
    ids: dict[int, int]


class _Source(NamedTuple):
    """The content of an image's prediction file in each of the tasks, None where there is none; and the image."""

    paths: tuple[str, ...]
    contents: tuple[bytes | None, ...]
    image: File | None


@register("lightly")
class Lightly(Adapter):
    """Reads Lightly's prediction files."""

    tasks = tuple(TaskType)
    has_sizes = False

    def __init__(
        self,
        path: Path,
        *,
        source_task: Annotated[
            str | None, "The task to read; several, separated by commas, are merged. By default the only one."
        ] = None,
        images: Annotated[
            Path | None, "Folder of the images: boxes are checked against their sizes, which prediction files lack."
        ] = None,
    ) -> None:
        self.path = path
        self.source_task = source_task
        self.images = images
        self._tasks: list[_Task] | None = None
        self._categories: list[Category] = []

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

    def get_tasks(self) -> tuple[TaskType, ...]:
        return (self._read()[0].type,)

    def get_categories(self) -> list[Category]:
        self._read()
        return self._categories

    def get_images(self) -> Iterator[Image]:
        tasks = self._read()
        seen: set[str] = set()  # of several tasks
        for place, task in enumerate(tasks):
            for name in find_files(Path(task.folder), _JSON):
                if name == SCHEMA or name in seen:
                    continue
                if len(tasks) > 1:
                    seen.add(name)
                paths = tuple(f"{other.folder}/{name}" for other in tasks)
                contents = tuple(_content(path) if i >= place else None for i, path in enumerate(paths))
                image = self._image(name, paths, contents)
                if image is not None:
                    yield image

    def get_labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        size = image_size(source.image) if source.image else None
        found: list[_Prediction] = []
        places: list[str] = []
        tasks = self._read()
        for task, path, content in zip(tasks, source.paths, source.contents, strict=True):
            if content is None:
                continue
            try:
                predictions = _PREDICTIONS.decode(content).predictions
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise json_fault(error, Path(path), content) from None
            for i, prediction in enumerate(predictions):
                # unknown ids stay, and are told of as such
                prediction.category_id = task.ids.get(prediction.category_id, -1 - prediction.category_id)
                found.append(prediction)
                places.append(f"{path}, prediction {i + 1}")
        annotations = _annotations(found, places, size, self.task)
        if len(tasks) > 1:  # of one task's classes each
            annotations.probabilities = None
        return annotations

    def _image(self, name: str, paths: tuple[str, ...], contents: tuple[bytes | None, ...]) -> Image | None:
        where, content = next(
            (path, content) for path, content in zip(paths, contents, strict=True) if content is not None
        )
        match = _FILE_NAME.match(content)
        try:
            file_name = orjson.loads(match[1]) if match else orjson.loads(content)["file_name"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            self.findings.append(Finding("error", "broken-json", where, f"no prediction file: {error}"))
            return None
        if not isinstance(file_name, str) or prediction_path(file_name) != name:
            text = f"it is for {file_name!r}, whose prediction file is another"
            self.findings.append(Finding("error", "file-name", where, text))
            return None
        return Image(file_name, _Source(paths, contents, File(self.images / file_name) if self.images else None))

    def _read(self) -> list[_Task]:
        if self._tasks is None:
            folders = self._folders()
            self._categories, ids = [], dict[str, int]()
            tasks: list[_Task] = []
            for folder in folders:
                path = Path(folder, SCHEMA)
                try:
                    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
                except OSError as error:
                    raise ExportError(f"cannot be read: {error.strerror}", where=str(path), code="no-schema") from None
                try:
                    schema = _SCHEMA.decode(content)
                    kind = TaskType(schema.task_type)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise json_fault(error, path, content) from None
                except ValueError:
                    text = f"the task type {schema.task_type!r} is none of Lightly's"
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
                        self._categories.append(category)
                    elif category not in self._categories:
                        raise UsageError(f"--source-task: the keypoints of {one.name!r} differ in {folder}")
                    of_task[one.id] = number
                tasks.append(_Task(folder, kind, of_task))
            self._tasks = tasks
        return self._tasks

    def _folders(self) -> list[str]:
        """The folders of the tasks to read."""
        path = self.path
        if (path / SCHEMA).is_file() and self.source_task is None:
            return [str(path)]
        predictions = next((p for p in (path / ".lightly/predictions", path / "predictions", path) if p.is_dir()), path)
        if not predictions.is_dir() or not (predictions / TASKS).is_file():
            text = "no .lightly/predictions with a tasks.json in it, and no schema.json of a task"
            raise ExportError(text, where=str(path), code="not-lightly")
        names = read_json(predictions / TASKS)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ExportError("not a list of task names", where=str(predictions / TASKS), code="not-lightly")
        wanted = names if self.source_task is None else [name.strip() for name in self.source_task.split(",")]
        if self.source_task is None and len(names) != 1:
            raise UsageError(f"say with --source-task which to read: {', '.join(names) or 'there is none'}")
        if unknown := [name for name in wanted if name not in names]:
            raise UsageError(f"--source-task: there is no task {unknown[0]!r}; there are {', '.join(names)}")
        return [f"{predictions}/{name}" for name in wanted]


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _annotations(
    found: list[_Prediction], places: list[str], size: tuple[int, int] | None, task: TaskType
) -> Annotations:
    """Columns of predictions. Without the image's size, masks are one row of all its pixels: run lengths stay as they
    are."""
    findings: list[Finding] = []
    annotations = Annotations(
        np.array([one.category_id for one in found], np.int64), size, findings=findings, locate=places.__getitem__
    )
    if not found:
        return annotations

    def column(name: str) -> list[Any] | None:
        """None if no prediction has it; what some lack is told."""
        values = [getattr(one, name) for one in found]
        return None if all(value is None for value in values) else values

    scores, probabilities = column("score"), column("probabilities")
    annotations.scores = None if scores is None else np.array([1.0 if s is None else s for s in scores])
    bad = set()
    if probabilities is not None:
        counts = {len(one) for one in probabilities if one is not None}
        if len(counts) == 1 and None not in probabilities:
            annotations.probabilities = np.array(probabilities, np.float64)
        else:
            findings.append(Finding("error", "probabilities-count", places[0], "not one for each category"))
    if (boxes := column("bbox")) is not None and None not in boxes:
        annotations.boxes = np.array(boxes, np.float64)
    elif boxes is not None:
        bad |= {i for i, box in enumerate(boxes) if box is None}
        annotations.boxes = np.array([box or (0, 0, 1, 1) for box in boxes], np.float64)
    if task in (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION):
        masks = []
        for i, one in enumerate(found):
            counts_of = one.segmentation or []
            width, height = size or (sum(counts_of), 1)
            try:
                masks.append(RunLengthMask.from_counts(np.array(counts_of, np.int64), height, width))
            except ValueError as error:
                findings.append(Finding("error", "broken-segmentation", places[i], str(error)))
                masks.append(RunLengthMask(np.array([width * height]), height, width))
                bad.add(i)
        annotations.masks = masks
    if task is TaskType.KEYPOINT_DETECTION:
        points = []
        for i, one in enumerate(found):
            numbers = one.keypoints or []
            if not numbers or len(numbers) % 3:
                text = f"{len(numbers)} numbers in keypoints; they come in threes of x, y, score"
                findings.append(Finding("error", "broken-keypoints", places[i], text))
                bad.add(i)
            points.append(np.array(numbers if len(numbers) % 3 == 0 else [], np.float64).reshape(-1, 3))
        annotations.keypoints = points
    told = {finding.where for finding in findings}
    text = "it has no bbox, the others have one"
    findings += [Finding("error", "box-missing", places[i], text) for i in sorted(bad) if places[i] not in told]
    return annotations.take([i for i in range(len(found)) if i not in bad]) if bad else annotations
