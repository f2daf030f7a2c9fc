"""labelformat: every input format of the installed labelformat, as labelformat:kitti or labelformat:labelbox.

SOURCE is what labelformat calls the input file or folder; its other arguments are options. labelformat reads all labels
in turn, so reading is not spread over processes. Formats that labelferry reads itself are read faster by its own name.

Definition: https://github.com/lightly-ai/labelformat
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from labelferry.errors import ExportError, LabelferryError, UsageError
from labelferry.findings import Finding
from labelferry.masks.coco import masks_of_image
from labelferry.model import Annotations, Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
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
"""What the names of input classes say between the format's name and `Input`. What happens at some time in a video
(`TemporalClassification`) has no place in a datasource."""


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
    _input: Any = None
    _held: tuple[TaskType, ...] = ()  # of an input that is made already

    def __init__(self, path: Path) -> None:
        names = ", ".join(f"labelformat:{name}" for name in self.variants())
        raise UsageError(f"say which of labelformat's formats: {names}")

    @classmethod
    def of(cls, labels: Any) -> Adapter:
        """An adapter of a labelformat input that is made already."""
        adapter = object.__new__(cls)
        adapter.__dict__.update(path=Path(type(labels).__name__), findings=[], _options={}, _input=labels)
        kinds = [
            base.__name__.removesuffix("Input") for base in type(labels).__mro__ if base.__name__.endswith("Input")
        ]
        known = [_KINDS[kind] for kind in kinds if kind in _KINDS]
        if "SemanticSegmentation" in type(labels).__name__:
            known.insert(0, TaskType.SEMANTIC_SEGMENTATION)
        if not known:
            raise UsageError(f"{type(labels).__name__} is no labelformat input of boxes or masks")
        adapter._held = (known[0],)
        return adapter

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
                yield Match(probe.path, "KITTI boxes", boxes, len(names), whole, options, question, "kitti")

    @classmethod
    def variants(cls) -> Iterable[str]:
        return sorted(_input_classes())

    @classmethod
    def variant(cls, name: str) -> type[Adapter]:
        if name not in _input_classes():
            raise UsageError(f"labelformat has no input {name!r}; it has {', '.join(cls.variants())}")
        return _variant(name)

    def __reduce__(self) -> tuple[Any, ...]:  # classes of variants cannot be imported by name
        return _restored, (self.format, {**self.__dict__, "_input": None})

    def get_tasks(self) -> tuple[TaskType, ...]:
        return self._held or self.tasks

    def get_categories(self) -> list[Category]:
        with _faults(self.path):
            return [Category(category.id, category.name) for category in self._labels().get_categories()]

    def get_images(self) -> Iterator[Image]:
        labels = self._labels()
        seen = set()
        each = iter(labels.get_labels())
        while True:
            with _faults(self.path):
                label = next(each, None)
            if label is None:
                break
            if hasattr(label, "video"):
                yield from _frames(label)
            else:
                seen.add(label.image.filename)
                yield _image(label.image, label.objects)
        if hasattr(labels, "get_images"):  # those without labels, which some formats pass over
            with _faults(self.path):
                rest = [image for image in labels.get_images() if image.filename not in seen]
            for image in rest:
                yield _image(image, ())

    def get_labels(self, image: Image) -> Annotations:
        ids, size, boxes, scores, segmentations = image.source
        findings: list[Finding] = []
        masks = _masks(segmentations, size, image.file_name, findings) if segmentations is not None else None
        annotations = Annotations(
            np.array(ids, np.int64),
            size,
            None if boxes is None else np.array(boxes, np.float64).reshape(-1, 4),
            None if scores is None else np.array(scores, np.float64),
            findings=findings,
            locate=lambda i: f"{image.file_name}, object {i + 1}",
        )
        if masks is None:
            return annotations
        kept = annotations.take([i for i, mask in enumerate(masks) if mask is not None])
        kept.masks = [mask for mask in masks if mask is not None]
        return kept

    def _labels(self) -> Any:
        if self._input is None:
            with _faults(self.path):
                self._input = _make_input(self.format, self.task, self.path, self._options)
        return self._input


def _image(image: Any, objects: Iterable[Any]) -> Image:
    """A labelformat image with its objects, as plain values."""
    size = int(image.width), int(image.height)
    objects = list(objects)
    ids = [one.category.id for one in objects]
    if objects and hasattr(objects[0], "segmentation"):
        return Image(image.filename, (ids, size, None, None, [_segmentation(one.segmentation) for one in objects]))
    boxes = [_xywh(one.box) for one in objects]
    given = [one.confidence for one in objects]
    scores = None if all(score is None for score in given) else [1.0 if score is None else score for score in given]
    return Image(image.filename, (ids, size, boxes, scores, None))


def _frames(label: Any) -> Iterator[Image]:
    """The frames of a labelformat video, with the tracks that are seen in each."""
    video = label.video
    size = int(video.width), int(video.height)
    for i in range(video.number_of_frames):
        frame = VideoFrame(video.filename, i)
        name = f"{video.filename}/{i:05d}.jpg"
        if label.objects and hasattr(label.objects[0], "segmentations"):
            seen = [one for one in label.objects if one.segmentations[i] is not None]
            shapes = [_segmentation(one.segmentations[i]) for one in seen]
            yield Image(name, ([one.category.id for one in seen], size, None, None, shapes), frame)
        else:
            seen = [one for one in label.objects if one.boxes[i] is not None]
            boxes = [_xywh(one.boxes[i]) for one in seen]
            yield Image(name, ([one.category.id for one in seen], size, boxes, None, None), frame)


def _xywh(box: Any) -> tuple[float, float, float, float]:
    return box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin


def _segmentation(given: Any) -> Any:
    """Polygons as COCO has them, or row-major run lengths in an array."""
    if hasattr(given, "polygons"):
        return [[number for point in polygon for number in point] for polygon in given.polygons]
    return np.array(given.get_rle(), np.int64)


def _masks(
    segmentations: list[Any], size: tuple[int, int], name: str, findings: list[Finding]
) -> list[RunLengthMask | None]:
    width, height = size
    polygons = [[] if isinstance(one, np.ndarray) else one for one in segmentations]
    found = masks_of_image(polygons, size, lambda i: f"{name}, object {i + 1}")
    findings += found.findings
    masks: list[RunLengthMask | None] = [None] * len(segmentations)
    for i, mask in zip(found.rows.tolist(), found.masks, strict=True):
        masks[i] = mask
    for i, one in enumerate(segmentations):
        if isinstance(one, np.ndarray):
            try:
                masks[i] = RunLengthMask.from_counts(one, height, width)
            except ValueError as error:
                findings.append(Finding("error", "broken-segmentation", f"{name}, object {i + 1}", str(error)))
        elif i in found.missing:
            text = "the object has no segmentation; left out"
            findings.append(Finding("repair", "segmentation-missing", f"{name}, object {i + 1}", text))
    return masks


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
            is_optional = one.default is required and not everywhere  # what but one of the task types needs
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


def _make_input(name: str, task: TaskType, path: Path, options: dict[str, Any]) -> Any:
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
    if hasattr(cls, "from_dirs"):
        content = json.loads(Path(values["class_id_to_name"]).read_text(encoding="utf-8"))
        values["class_id_to_name"] = {int(key): value for key, value in _mapping(content).items()}
        return cls.from_dirs(**values)
    return cls(**values)


def _mapping(content: Any) -> Mapping[str, str]:
    return content if isinstance(content, dict) else {str(i): name for i, name in enumerate(content)}


def _restored(name: str, state: dict[str, Any]) -> Adapter:
    """In a worker, where only `get_labels` is called."""
    adapter = object.__new__(_variant(name) if name else Labelformat)
    adapter.__dict__.update(state)
    return adapter
