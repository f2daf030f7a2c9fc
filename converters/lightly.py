"""Lightly: predictions of a datasource, to rename classes, merge tasks, change the task type, or move them elsewhere.

SOURCE is a datasource, or the folder of a task. Frames of videos are read by the names that they have. Without an
option, files that labelferry wrote are written again unchanged.

Definition: https://docs.lightly.ai/docs/prediction-format
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Meta, Struct, UnsetType
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
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files, image_size
from labelferry.reading.keys import judge_keys, key_evidence
from labelferry.reading.text import json_fault, read_bytes_without_bom, read_json
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

_HEAD = 1 << 12
"""Bytes at the beginning of a prediction file that are read to find the name of its image."""

_WITH_MASKS = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
_WITHOUT_BOXES = (TaskType.CLASSIFICATION, TaskType.SEMANTIC_SEGMENTATION)

_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises when it cannot decode a file."""

_WITH, _WITHOUT = "with probabilities", "without probabilities"

_JSON = frozenset((".json",))
_FILE_NAME = re.compile(rb'\s*\{\s*"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')

_Int = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class _Prediction(Struct, gc=False, forbid_unknown_fields=True):
    category_id: _Int
    score: float | UnsetType = UNSET
    bbox: tuple[float, float, float, float] | None = None
    keypoints: list[float] | None = None
    segmentation: list[_Int] | None = None
    probabilities: list[float] | UnsetType = UNSET


class _Predictions(Struct, forbid_unknown_fields=True):
    file_name: str
    predictions: list[_Prediction]


class _Entries(Struct):
    """A prediction file whose predictions are counted only."""

    predictions: list[msgspec.Raw]


class _SchemaCategory(Struct, forbid_unknown_fields=True):
    id: _Int
    name: str
    keypoints: list[str] = []
    skeleton: list[tuple[_Int, _Int]] = []


class _Schema(Struct, forbid_unknown_fields=True):
    task_type: str
    categories: list[_SchemaCategory]


_PREDICTIONS = msgspec.json.Decoder(_Predictions)
_ENTRIES = msgspec.json.Decoder(_Entries)
_SCHEMA = msgspec.json.Decoder(_Schema)

_KEYS = (("file_name", "predictions"), ("category_id", "score", "bbox", "keypoints", "segmentation", "probabilities"))
"""Keys of a prediction file and of a prediction."""

_SCHEMA_KEYS = (("task_type", "categories"), ("id", "name", "keypoints", "skeleton"))
"""Keys of a schema and of a category."""


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
        for name in names if isinstance(names, list) else ():
            folder = root / str(name) if root and name else probe.path
            schema = read_json(folder / SCHEMA)
            if not isinstance(schema, dict) or schema.get("task_type") not in TaskType._value2member_map_:
                continue
            files, whole = probe.files(folder, _JSON, depth=8, known=True)
            options = {"source_task": name} if len(names) > 1 else {}
            yield Match(
                probe.path,
                f"Lightly predictions {folder.name!r}",
                (TaskType(schema["task_type"]),),
                len(files) - 1,
                whole,
                options,
                is_output=root is not None and root != probe.path,
            )


class _LightlyExport(Export):
    """Tasks of one type. `Image.source` are the places of the tasks that have a prediction file of the image;
    `Image.files` are these files and, with a folder of images, the image."""

    has_sizes = False
    drawn_on = "stored"

    def __init__(self, adapter: Lightly, request: Request) -> None:
        self._images = adapter.images
        self._folders = _folders(adapter)
        self._tasks, categories, self._findings = _read_schemas(self._folders)
        schemas = [f"{task.folder}/{SCHEMA}" for task in self._tasks]
        super().__init__(request, (self._tasks[0].type,), categories, schemas)
        # masks fill their image: its size shows whether run lengths are missing
        self._input = request.input if self.source_task in _WITH_MASKS and adapter.images is None else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_input": None}

    def images(self) -> Iterator[Image | Finding]:
        yield from self._findings
        yield from _unlisted(self._folders)
        seen: set[str] = set()  # of several tasks
        foreign: list[str] = []
        listed: set[str] = set()
        for place, task in enumerate(self._tasks):
            for name in find_files(Path(task.folder), None):
                if name == SCHEMA or name in seen:
                    continue
                if not name.lower().endswith(".json"):
                    foreign.append(f"{task.folder}/{name}")
                    continue
                files = {place: f"{task.folder}/{name}"}
                if len(self._tasks) > 1:
                    seen.add(name)
                    others = enumerate(f"{other.folder}/{name}" for other in self._tasks)
                    files |= {i: path for i, path in others if i > place and os.path.exists(path)}
                image = self._image(name, files)
                if self._images is not None and isinstance(image, Image):
                    listed.add(image.file_name)
                yield image
        if foreign:
            text = "files in the folder of a task that are no prediction files are not read"
            yield Finding.warning("files-not-read", foreign[0], text, len(foreign))
        if self._images is not None:
            without = [name for name in find_files(self._images, IMAGE_EXTENSIONS) if name not in listed]
            if without:
                text = "images without a prediction file"
                yield Finding.warning("image-without-file", f"{self._images}/{without[0]}", text, len(without))

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
            return Finding.error("broken-json", path, text, lost=_count_all(files.values()), lost_images=1)
        if not isinstance(file_name, str) or prediction_path(file_name) != name:
            text = f"it is for {file_name!r}, whose prediction file is another"
            return Finding.error("file-name", path, text, lost=_count_all(files.values()), lost_images=1)
        image = () if self._images is None else (f"{self._images}/{file_name}",)
        if self._input is not None and file_name in self._input:
            image = (f"{self._input.root}/{file_name}",)
        return Image(file_name, tuple(files), files=(*files.values(), *image))

    def labels(self, image: Image) -> Annotations:
        paths = image.files[: len(image.source)]
        try:
            evidence: Counter[str] = Counter()
            predictions = [_read_predictions(path, evidence) for path in paths]
            size = image_size(image.files[-1]) if len(image.files) > len(paths) else None
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
        evidence += self._unread(predictions)
        if not objects:
            return Annotations(np.zeros(0, np.int64), size, findings=findings, found=found, evidence=evidence)
        if len({one.score is None for one in objects}) > 1:
            text = "no score, which other predictions of the file have"
            pairs = list(zip(objects, places, strict=True))
            findings += [
                Finding.error("score-missing", place, text, lost=1) for one, place in pairs if one.score is None
            ]
            objects = [one for one, _ in pairs if one.score is not None]
            places = [place for one, place in pairs if one.score is not None]
        elif objects[0].score is None:
            text = "no score, which Lightly requires; 1, or --score, is written"
            findings.append(Finding.repair("score-missing", places[0], text, len(objects)))
        ids, scores, probabilities, boxes, masks, points = zip(*objects, strict=True)
        return Annotations(
            np.array(ids, np.int64),
            size,
            _boxes(boxes, points, places, findings),
            None if _is_absent(scores) else np.array(scores),
            self._probabilities(probabilities, places[0], findings),
            None if _is_absent(masks) else masks,
            None if _is_absent(points) else points,
            findings,
            places.__getitem__,
            found,
            evidence=evidence,
        )

    def _unread(self, predictions: Iterable[Iterable[_Prediction]]) -> Counter[str]:
        """Evidence of values that this task type does not have, and of probabilities."""
        unread: Counter[str] = Counter()
        task = self.source_task
        for prediction in (one for listed in predictions for one in listed):
            if prediction.segmentation is not None and task not in _WITH_MASKS:
                unread["unread:segmentation"] += 1
            if prediction.keypoints is not None and task is not TaskType.KEYPOINT_DETECTION:
                unread["unread:keypoints"] += 1
            if prediction.bbox is not None and task in _WITHOUT_BOXES:
                unread["unread:bbox"] += 1
            unread[_WITHOUT if prediction.probabilities is UNSET else _WITH] += 1
        return unread

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(evidence)
        given, missing = evidence.get(_WITH, 0), evidence.get(_WITHOUT, 0)
        where = self._tasks[0].folder
        if missing and self.source_task is TaskType.CLASSIFICATION:
            text = "no probabilities, which Lightly requires: the class has 1, the others 0"
            yield Finding.repair("probabilities-missing", where, text, missing)
        elif given and missing:
            text = f"{missing:,} predictions without probabilities, which {given:,} others have"
            yield Finding.warning("probabilities-missing", where, text, missing)

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
        score = None if prediction.score is UNSET else prediction.score
        probabilities = None if prediction.probabilities is UNSET else prediction.probabilities
        return _Object(category_id, score, probabilities, box, mask, points)

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
        if _is_absent(given):
            return None
        if len(self._tasks) > 1:
            text = "probabilities of several tasks, each for its own classes, are left out"
            count = sum(one is not None for one in given)
            findings.append(Finding.note("probabilities-left-out", where, text, count))
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


def _read_predictions(path: str, evidence: Counter[str]) -> list[_Prediction]:
    """The predictions of a file; keys that are not known become evidence."""
    content = _read(path)
    try:
        return _PREDICTIONS.decode(content).predictions
    except _BROKEN as error:
        try:
            known, unread = _known_keys(content, "predictions", _KEYS)
            if not unread:
                raise error
            evidence.update(unread)
            return msgspec.convert(known, _Predictions).predictions
        except _BROKEN as fault:
            raise json_fault(fault, Path(path), content) from None


def _known_keys(content: bytes, listed: str, keys: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[Any, Counter[str]]:
    """A JSON object without the keys that are not known, and these as evidence.

    Args:
        content: of the file.
        listed: the key of a list of objects.
        keys: known keys of the outer object, and of those in the list.

    Raises:
        msgspec.MsgspecError: it is not valid JSON.
    """
    data = msgspec.json.decode(content)
    unread: Counter[str] = Counter()

    def known(given: Any, names: tuple[str, ...]) -> Any:
        if not isinstance(given, dict):
            return given
        missing = tuple(name for name in names if name not in given)
        unread.update(key_evidence(key, missing) for key in given if key not in names)
        return {key: value for key, value in given.items() if key in names}

    data = known(data, keys[0])
    if isinstance(data, dict) and isinstance(data.get(listed), list):
        data[listed] = [known(one, keys[1]) for one in data[listed]]
    return data, unread


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
    given: Sequence[Sequence[float] | None],
    points: Sequence[NDArray[np.float64] | None],
    places: Sequence[str],
    findings: list[Finding],
) -> NDArray[np.float64] | None:
    """The boxes; if only some objects have one, the others have the tight one around their keypoints."""
    if _is_absent(given):
        return None
    if None in given:
        text = "no bbox, which other predictions of the file have; it has the tight one around its keypoints"
        findings.append(Finding.repair("box-missing", places[given.index(None)], text, given.count(None)))
        tight = _tight_boxes([one for one in points if one is not None])
        given = [tight[i] if box is None else box for i, box in enumerate(given)]
    return np.array(given, np.float64)


def _unlisted(folders: list[str]) -> Iterator[Finding]:
    """Tasks beside these, or among them, that tasks.json does not name: Lightly does not read them."""
    root = Path(folders[0]).parent
    if not (root / TASKS).is_file():
        return
    names = read_json(root / TASKS)
    for path in sorted(root.glob(f"*/{SCHEMA}")):
        name = path.parent.name
        if isinstance(names, list) and name not in names and not name.startswith("."):
            yield Finding.note("task-not-listed", str(root / TASKS), f"the task {name!r} is not named in it")


def _read_schemas(folders: list[str]) -> tuple[list[_Task], list[Category], list[Finding]]:
    """The tasks in these folders, their categories, merged by name, and what in the schemas is not read."""
    findings: list[Finding] = []
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
            schema, unread = _read_schema(content)
            findings += judge_keys(unread, str(path))
            kind = TaskType(schema.task_type)
        except _BROKEN as error:
            raise json_fault(error, path, content) from None
        except ValueError:
            text = f"Lightly has no task type {schema.task_type!r}"
            raise ExportError(text, where=str(path), code="no-schema") from None
        if tasks and kind is not tasks[0].type:
            raise UsageError(f"--source-task: {folder} holds {kind}, {tasks[0].folder} {tasks[0].type}")
        of_task: dict[int, int] = {}
        for one in schema.categories:
            if any(not 1 <= place <= len(one.keypoints) for edge in one.skeleton for place in edge):
                text = f"an edge of the skeleton of {one.name!r} has a keypoint that it does not name (from 1)"
                findings.append(Finding.warning("skeleton-broken", str(path), text))
        for one in sorted(schema.categories, key=lambda category: category.id):
            new = one.name not in ids or len(folders) == 1
            number = (one.id if len(folders) == 1 else len(ids)) if new else ids[one.name]
            category = Category(number, one.name, tuple(one.keypoints), tuple(one.skeleton))
            if new:
                ids[one.name] = number
                categories.append(category)
            elif category not in categories:
                raise UsageError(f"--source-task: the keypoints of {one.name!r} differ in {folder}")
            if one.id in of_task:
                raise ExportError(f"two categories have the id {one.id}", where=str(path), code="category-id-twice")
            of_task[one.id] = number
        tasks.append(_Task(folder, kind, of_task))
    return tasks, categories, findings


def _read_schema(content: bytes) -> tuple[_Schema, Counter[str]]:
    """A schema, and its keys that are not known.

    Raises:
        msgspec.MsgspecError: it is not one.
    """
    try:
        return _SCHEMA.decode(content), Counter()
    except msgspec.ValidationError:
        known, unread = _known_keys(content, "categories", _SCHEMA_KEYS)
        if not unread:
            raise
        return msgspec.convert(known, _Schema), unread


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
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"--source-task names a task twice: {', '.join(wanted)}")
    if adapter.source_task is None and len(names) != 1:
        raise UsageError(f"say with --source-task which to read: {', '.join(names) or 'tasks.json is empty'}")
    if unknown := [name for name in wanted if name not in names]:
        raise UsageError(f"--source-task: there is no task {unknown[0]!r}; there are {', '.join(names)}")
    return [f"{predictions}/{name}" for name in wanted]
