"""labelformat: every input format of the installed labelformat, as labelformat:kitti or labelformat:labelbox.

SOURCE is what labelformat calls the input file or folder; its other arguments are options. labelformat reads all labels
in turn, so reading is not spread over processes. Formats that labelferry reads itself are read faster by its own name.

Definition: https://github.com/lightly-ai/labelformat
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from labelferry.converters.labelformat.source import count_objects
from labelferry.errors import AmbiguousError, ExportError, LabelferryError, UsageError, did_you_mean
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations, Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request, choose_task
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, MAX_FRAMES
from labelferry.reading.text import read_json
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

_SOURCES = ("input_file", "input_folder", "base_path", "images_dir")
"""labelformat's names for what is SOURCE here."""

_KINDS = {
    "ObjectDetection": TaskType.OBJECT_DETECTION,
    "ObjectDetectionTrack": TaskType.OBJECT_DETECTION,
    "InstanceSegmentation": TaskType.INSTANCE_SEGMENTATION,
    "InstanceSegmentationTrack": TaskType.INSTANCE_SEGMENTATION,
    "SemanticSegmentation": TaskType.SEMANTIC_SEGMENTATION,
}
"""The task types that the names of input classes contain between the format's name and `Input`. Events in a video
(`TemporalClassification`) have no place in a datasource."""


class _Argument(NamedTuple):
    name: str
    type: Any
    default: Any
    help: str
    choices: tuple[str, ...]


class _Format(NamedTuple):
    """A format's input classes by task type, what SOURCE is to each, and their other arguments."""

    inputs: dict[TaskType, Any]
    sources: dict[TaskType, str]
    arguments: dict[TaskType, list[_Argument]]


@register("labelformat")
class Labelformat(Adapter):
    """Reads with one of labelformat's inputs; `variant` makes the class for a format, `of` an adapter of an input."""

    tasks = (TaskType.OBJECT_DETECTION, TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
    format: ClassVar[str] = ""
    path: Path
    _options: dict[str, Any]
    _input: Any  # of an adapter of an input; else None

    def __init__(self, path: Path) -> None:
        names = ", ".join(f"labelformat:{name}" for name in self.variants())
        raise UsageError(f"say which of labelformat's formats: {names}")

    @classmethod
    def of(cls, labels: Any) -> Adapter:
        """An adapter of a labelformat input, which can be sent to other processes if the input can be pickled.

        Raises:
            UsageError: it is not an input of boxes or masks.
        """
        _task_of(labels)
        return _restored("", {"path": Path(type(labels).__name__), "_options": {}, "_input": labels})

    def open(self, request: Request) -> Export:
        return _LabelformatExport(self, request)

    def __reduce__(self) -> tuple[Any, ...]:
        """The class of a variant cannot be imported by its name."""
        return _restored, (self.format, self.__dict__)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        boxes = (TaskType.OBJECT_DETECTION,)
        question = "which classes are there? (--category-names)"
        if probe.path.suffix.lower() == ".ndjson" and b'"data_row"' in probe.head(probe.path):
            options = {"category_names": "CLASS,CLASS"}
            yield Match(probe.path, "Labelbox export", boxes, None, True, options, question, "labelbox")
        if probe.is_dir:
            names, whole = probe.files(probe.path, frozenset((".txt",)), depth=0)
            lines = [line.split() for name in names[:5] for line in probe.head(probe.path / name).splitlines()]
            if lines and all(
                len(line) in (15, 16) and _is_number(line[4]) and not _is_number(line[0]) for line in lines
            ):
                options = {"category_names": "CLASS,CLASS"}
                places = (name for name in ("images", "image_2") if (probe.path.parent / name).is_dir())
                if (images := next(places, "images")) != "images":  # the default of labelformat
                    options["images_rel_path"] = f"../{images}"
                yield Match(probe.path, "KITTI boxes", boxes, len(names), whole, options, question, "kitti")

    @classmethod
    def variants(cls) -> Iterable[str]:
        return sorted(_input_classes())

    @classmethod
    def variant(cls, name: str) -> type[Adapter]:
        if name not in _input_classes():
            hint = did_you_mean(name, cls.variants())
            raise UsageError(f"labelformat has no input {name!r}; it has {', '.join(cls.variants())}{hint}")
        return _variant(name)


_WITH_SIZES = frozenset(("coco", "cvat", "labelbox", "pascalvoc", "youtubevis"))
"""Modules of labelformat that read the sizes of images in the export, and not in the images."""


class _Source(NamedTuple):
    """The labels of an image as plain values, as labelformat gives them; boxes or segmentations."""

    ids: list[int]
    size: tuple[int, int]
    boxes: list[tuple[float, float, float, float]] | None
    scores: list[float] | None
    segmentations: list[Any] | None


class _LabelformatExport(Export):
    """What a labelformat input gives. `Image.source` is a `_Source`: the input itself stays in the parent."""

    def __init__(self, adapter: Labelformat, request: Request) -> None:
        self._path = adapter.path
        self._format = adapter.format
        tasks: tuple[TaskType, ...]
        files: list[str] = []
        if adapter._input is None:
            tasks = adapter.tasks
            _, source = choose_task(tasks, request.task)
            if adapter.format == "maskpair" and "," in adapter._options["category_names"]:
                text = "labelformat gives every object the first of --category-names: name only one"
                raise AmbiguousError(text, where=str(adapter.path))
            with _faults(self._path):
                self._input, files = _make_input(adapter.format, source, self._path, adapter._options)
        else:
            tasks = (_task_of(adapter._input),)
            self._input = adapter._input
        with _faults(self._path):
            categories = [_category(category, self._path) for category in self._input.get_categories()]
        super().__init__(request, tasks, categories, files)
        modules = {base.__module__.removeprefix("labelformat.formats.") for base in type(self._input).__mro__}
        self.drawn_on = "stored" if "lightly" in modules else "size" if modules & _WITH_SIZES else "unknown"
        self._is_scaled = "yolov8" in modules

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_input": None}

    def images(self) -> Iterator[Image | Finding]:
        images, log = self._images(), _Log()
        given, odd = 0, Counter[str]()
        while True:
            with _faults(self._path), log.attached():
                image = next(images, None)
            findings = log.findings(str(self._path))
            given += sum(finding.lost for finding in findings)
            yield from findings
            if image is None:
                break
            given += len(image.source.ids)
            if image.frame is None and os.path.splitext(image.file_name)[1].lower() not in IMAGE_EXTENSIONS:
                odd[image.file_name] += 1
            yield image
        if odd:
            text = "a name without the extension of an image"
            yield Finding.warning("file-name-odd", next(iter(odd)), text, odd.total())
        counted = None
        if self._format:
            with _faults(self._path):
                counted = count_objects(self._format, self._path, self.source_task, self._input)
        if counted is not None and counted != given:
            text = f"the files list {counted:,} objects, and labelformat reads {given:,} of them"
            missing = max(0, counted - given)
            yield Finding.error("labelformat-count", str(self._path), text, max(1, missing), lost=missing)

    def _images(self) -> Iterator[Image]:
        seen = set()
        for label in self._input.get_labels():
            if hasattr(label, "video"):
                yield from _frames(label)
            else:
                seen.add(label.image.filename)
                yield _image(label.image, label.objects)
        if hasattr(self._input, "get_images"):  # those without labels, which some formats pass over
            for image in self._input.get_images():
                if image.filename not in seen:
                    yield _image(image, ())

    def labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        if self._is_scaled and image.picture and image.picture.drawn_on == "upright" and image.size != source.size:
            text = (
                "labelformat scales its labels by the size as stored, and they are for the upright picture: --from yolo"
            )
            raise ExportError(text, where=image.file_name, code="image-size", lost=len(source.ids))

        def locate(row: int) -> str:
            return f"{image.file_name}, object {row + 1}"

        annotations = Annotations(
            np.array(source.ids, np.int64),
            source.size,
            None if source.boxes is None else np.array(source.boxes, np.float64).reshape(-1, 4),
            None if source.scores is None else np.array(source.scores, np.float64),
            locate=locate,
            found=len(source.ids),
        )
        if source.segmentations is None:
            return annotations
        masks, annotations.findings = _masks(source.segmentations, source.size, locate)
        kept = annotations.take(list(masks))
        kept.masks = list(masks.values())
        return kept


class _Log(logging.Handler):
    """What labelformat logs while it reads: records that it passes over."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())

    @contextmanager
    def attached(self) -> Iterator[None]:
        logger = logging.getLogger("labelformat")
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)

    def findings(self, where: str) -> list[Finding]:
        """Of the messages since the last call: errors of what is passed over, a warning of a missing label file."""
        messages, self._messages = self._messages, []
        found = []
        for text in messages:
            if re.search(r"annotation\b|\bobject\b", text):
                found.append(Finding.error("labelformat-skipped", where, text, lost=1))
            elif "does not exist" in text:
                found.append(Finding.warning("label-file-missing", where, text))
            else:
                found.append(Finding.error("labelformat-skipped", where, text))
        return found


def _category(category: Any, path: Path) -> Category:
    """A labelformat category.

    Raises:
        ExportError: its id is no integer, or its name no text.
    """
    if isinstance(category.id, bool) or not isinstance(category.id, int) or not isinstance(category.name, str):
        text = f"a class has the id {category.id!r} and the name {category.name!r}: an integer and text were expected"
        raise ExportError(text, where=str(path), code="labelformat")
    return Category(category.id, category.name)


def _image(image: Any, objects: Iterable[Any]) -> Image:
    """A labelformat image with its objects."""
    if not isinstance(image.filename, str):
        raise ExportError(f"the name of an image is {image.filename!r}, not text", code="labelformat")
    size = int(image.width), int(image.height)
    if size != (image.width, image.height):
        text = f"the size of the image is {image.width} x {image.height}, not whole numbers"
        raise ExportError(text, where=image.filename, code="image-size")
    objects = list(objects)
    ids = [one.category.id for one in objects]
    if objects and hasattr(objects[0], "segmentation"):
        shapes = [_segmentation(one.segmentation) for one in objects]
        return Image(image.filename, _Source(ids, size, None, None, shapes))
    boxes = [_xywh(one.box) for one in objects]
    given = [one.confidence for one in objects]
    scores = None if all(score is None for score in given) else [1.0 if score is None else score for score in given]
    return Image(image.filename, _Source(ids, size, boxes, scores, None))


def _frames(label: Any) -> Iterator[Image]:
    """The frames of a labelformat video, with the tracks that are visible in each."""
    video, frames = label.video, int(label.video.number_of_frames)
    size = int(video.width), int(video.height)
    if frames > MAX_FRAMES:
        text = f"a video of {frames} frames; at most {MAX_FRAMES:,} are read"
        raise ExportError(text, where=video.filename, code="labelformat")
    has_masks = label.objects and hasattr(label.objects[0], "segmentations")
    tracks = [(one.category.id, one.segmentations if has_masks else one.boxes) for one in label.objects]
    for i in range(frames):
        seen = [(category_id, shapes[i]) for category_id, shapes in tracks if shapes[i] is not None]
        ids = [category_id for category_id, _ in seen]
        if has_masks:
            source = _Source(ids, size, None, None, [_segmentation(shape) for _, shape in seen])
        else:
            source = _Source(ids, size, [_xywh(shape) for _, shape in seen], None, None)
        yield Image(f"{video.filename}/{i:05d}.jpg", source, VideoFrame(video.filename, i))


def _xywh(box: Any) -> tuple[float, float, float, float]:
    return box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin


def _segmentation(given: Any) -> Any:
    """Polygons as COCO has them, or row-major run lengths that are not checked yet."""
    if hasattr(given, "polygons"):
        return [[number for point in polygon for number in point] for polygon in given.polygons]
    return RunLengthMask(np.array(given.get_rle(), np.int64), int(given.height), int(given.width))


def _masks(
    segmentations: list[Any], size: tuple[int, int], locate: Callable[[int], str]
) -> tuple[dict[int, RunLengthMask], list[Finding]]:
    """The masks of the objects that have one, by the object's place; and what is wrong with the others."""
    polygons = [[] if isinstance(one, RunLengthMask) else one for one in segmentations]
    found = masks_of_image(polygons, size, locate)
    findings = list(found.findings)
    masks = dict(zip(found.rows.tolist(), found.masks, strict=True))
    for i in found.missing:
        given = segmentations[i]
        if isinstance(given, RunLengthMask):
            try:
                masks[i] = RunLengthMask.from_counts(given.counts, given.height, given.width)
            except ValueError as error:
                findings.append(Finding.error("broken-segmentation", locate(i), str(error), lost=1))
        else:
            text = "the object has no segmentation; left out"
            findings.append(Finding.repair("segmentation-missing", locate(i), text, lost=1))
    return dict(sorted(masks.items())), findings


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """labelformat's errors as the export's."""
    try:
        yield
    except LabelferryError:
        raise
    except Exception as error:
        text = f"labelformat cannot read it: {type(error).__name__}: {error}"
        raise ExportError(text, where=str(path), code="labelformat") from error


@cache
def _input_classes() -> dict[str, dict[TaskType, Any]]:
    """Every input class of boxes or masks, by format and task type: of the registry, and of the formats module."""
    import labelformat.formats
    from labelformat.cli.registry import _REGISTRY

    found: dict[str, dict[TaskType, Any]] = {}
    for task, classes in _REGISTRY.input.items():
        for name, cls in classes.items():
            found.setdefault(name, {})[TaskType(task.value)] = cls
    known = {cls: name for name, by_task in found.items() for cls in by_task.values()}
    for name, cls in vars(labelformat.formats).items():
        if not (isinstance(cls, type) and name.endswith("Input")) or cls in known:
            continue
        for kind in sorted(_KINDS, key=len, reverse=True):
            if name.endswith(f"{kind}Input"):
                found.setdefault(name.removesuffix(f"{kind}Input").lower(), {}).setdefault(_KINDS[kind], cls)
                break
    return found


@cache
def _format(name: str) -> _Format:
    inputs = _input_classes()[name]
    sources, arguments = {}, {}
    for task, cls in inputs.items():
        listed = _arguments(cls)
        source = next((wanted for wanted in _SOURCES if wanted in [argument.name for argument in listed]), "")
        sources[task] = source
        arguments[task] = [argument for argument in listed if argument.name != source]
    return _Format(inputs, sources, arguments)


def _arguments(cls: Any) -> list[_Argument]:
    """What `add_cli_arguments` declares; of a class that declares nothing, the parameters of `from_dirs`."""
    parser = argparse.ArgumentParser(add_help=False)
    try:
        cls.add_cli_arguments(parser)
    except NotImplementedError:
        return [
            _Argument("images_dir", Path, inspect.Parameter.empty, "Folder of the images.", ()),
            _Argument("masks_dir", Path, inspect.Parameter.empty, "Folder of the masks.", ()),
            _Argument(
                "class_id_to_name",
                Path,
                inspect.Parameter.empty,
                "JSON file of the names of the classes by their ids.",
                (),
            ),
        ]
    listed = []
    for action in parser._actions:
        kind: Any = bool if action.nargs == 0 else action.type or str
        default = inspect.Parameter.empty if action.required else action.default
        choices = tuple(str(choice) for choice in action.choices or ())
        text = action.help or action.dest.replace("_", " ")
        listed.append(_Argument(action.dest, kind, default, text, choices))
    return listed


@cache
def _variant(name: str) -> type[Adapter]:
    """The adapter class of a format, whose constructor declares labelformat's arguments."""
    of_format = _format(name)
    required = inspect.Parameter.empty
    unique: dict[str, _Argument] = {}
    for listed in of_format.arguments.values():
        for one in listed:
            everywhere = all(one.name in [other.name for other in others] for others in of_format.arguments.values())
            is_optional = one.default is required and not everywhere  # needed for some of the task types
            unique[one.name] = one._replace(default=None) if is_optional else one
    wanted = sorted(unique.values(), key=lambda argument: argument.default is not required)

    def __init__(self: Any, path: Path, **options: Any) -> None:
        self.path = path
        self._options = options
        self._input = None

    parameters = [inspect.Parameter("path", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Path)]
    __init__.__annotations__ = {"path": Path}
    for one in wanted:
        kind = one.type if one.default is not None else one.type | None
        text = one.help + (f" One of {', '.join(one.choices)}." if one.choices else "")
        __init__.__annotations__[one.name] = Annotated[kind, text]
        parameters.append(
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=kind)
        )
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters]
    )
    order = [task for task in Labelformat.tasks if task in of_format.inputs]
    text = f"labelformat's input {name}: {', '.join(cls.__name__ for cls in of_format.inputs.values())}."
    attributes = {"__init__": __init__, "__doc__": text, "__module__": __name__, "tasks": tuple(order), "format": name}
    cls = type(f"Labelformat_{name}", (Labelformat,), attributes)
    cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return cls


def _make_input(name: str, task: TaskType, path: Path, options: dict[str, Any]) -> tuple[Any, list[str]]:
    """The input of a format, and the files among its arguments."""
    of_format = _format(name)
    cls = of_format.inputs[task]
    values: dict[str, Any] = {}
    for argument in of_format.arguments[task]:
        value = options.get(argument.name)
        value = argument.default if value is None else value
        flag = f"--{argument.name.replace('_', '-')}"
        if value is inspect.Parameter.empty:
            raise UsageError(f"labelformat:{name} needs {flag} for {task}")
        if argument.choices and str(value) not in argument.choices:
            raise UsageError(f"{flag} is one of {', '.join(argument.choices)}, not {value}")
        values[argument.name] = argument.type(value) if isinstance(value, str) and argument.type is not bool else value
    if of_format.sources[task]:
        values[of_format.sources[task]] = path
    files = [str(value) for value in values.values() if isinstance(value, Path) and value.is_file()]
    if hasattr(cls, "from_dirs"):
        names = read_json(Path(values["class_id_to_name"]))
        by_id = names if isinstance(names, dict) else dict(enumerate(names))
        values["class_id_to_name"] = {int(key): value for key, value in by_id.items()}
        return cls.from_dirs(**values), files
    return cls(**values), files


def _task_of(labels: Any) -> TaskType:
    """What an input holds, by the names of its classes.

    Raises:
        UsageError: it is not an input of boxes or masks.
    """
    if "SemanticSegmentation" in type(labels).__name__:
        return TaskType.SEMANTIC_SEGMENTATION
    for base in type(labels).__mro__:
        kind = _KINDS.get(base.__name__.removesuffix("Input"))
        if kind is not None and base.__name__.endswith("Input"):
            return kind
    raise UsageError(f"{type(labels).__name__} is not a labelformat input of boxes or masks")


def _restored(name: str, state: dict[str, Any]) -> Adapter:
    """An adapter of this format, or of an input if that is empty, with these attributes."""
    adapter = Adapter.__new__(_variant(name) if name else Labelformat)
    adapter.__dict__.update(state)
    return adapter
