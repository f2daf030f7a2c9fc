"""What an input format is to labelferry: one class with three verbs."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from labelferry.errors import UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.export import Export, Request, choose_task
from labelferry.task_type import TaskType

if TYPE_CHECKING:
    from labelferry.plugin.detect import Match, Probe


class Adapter:
    """Reads one export format.

    The constructor's parameters are the format's options: the first is the path of the export, each of the others is
    keyword-only, typed, and documented as `Annotated[type, "what it does"]`; they become command-line options and
    Python keyword arguments. The constructor only keeps them: reading begins with the first of the verbs.

    An adapter is pickled to workers together with images. `get_labels` must give the same for the same image there,
    from `image.source` and the constructor's options alone; an adapter that keeps large state in between leaves it
    out of `__getstate__`.

    Attributes:
        tasks: every task type the format can hold, richest first.
        task: the task type wanted, one of `get_tasks()`; set before the first of the three verbs is called. An
            adapter that holds several may read only the columns that this one needs.
        first_frame: number that the format gives the first frame of a video, in `Image.frame`.
        has_sizes: whether the labels come with the sizes of their images; if not, boxes are not cut at its edges.
        as_frames: whether the images wanted are frames of videos; set before anything is read. An adapter whose
            export names frames fills in `Image.frame` in any case; files of images need not exist then, and
            `Image.size` tells `get_labels` the size.
        findings: what was met that belongs to no image, added to while `get_images` runs.
    """

    tasks: ClassVar[tuple[TaskType, ...]]
    first_frame: ClassVar[int] = 0
    has_sizes: ClassVar[bool] = True
    as_frames: bool = False
    task: TaskType
    findings: list[Finding]

    def __new__(cls, *args: Any, **kwargs: Any) -> Adapter:  # so that no subclass needs to call super().__init__()
        self = super().__new__(cls)
        self.findings = []
        return self

    def open(self, request: Request) -> Export:
        """The export, opened for a task type; by default made of the verbs. A format that reads many images at once, or
        that reads only what a task type needs, overrides it.

        Raises:
            ExportError: the export as a whole cannot be read.
            UsageError: it does not hold the task type, or an option is at fault.
        """
        return _VerbExport(self, request)

    def get_tasks(self) -> tuple[TaskType, ...]:
        """The task types that this export holds, richest first; those that follow from them are not named."""
        return self.tasks

    def get_categories(self) -> Iterable[Category]:
        """The export's categories, in a stable order."""
        raise NotImplementedError

    def get_images(self) -> Iterable[Image]:
        """One light `Image` per prediction file, in a stable order. Cheap: it runs in one process."""
        raise NotImplementedError

    def get_labels(self, image: Image) -> Annotations:
        """The labels of one image.

        Raises:
            ExportError: they cannot be read.
        """
        raise NotImplementedError

    @classmethod
    def detect(cls, probe: Probe) -> Iterable[Match]:
        """What this format recognises of an export, by a look at a sample of it: `probe` bounds how much."""
        return ()

    @classmethod
    def variants(cls) -> Iterable[str]:
        """Names of the variants that a family of formats has, as `kitti` of `labelformat:kitti`."""
        return ()

    @classmethod
    def variant(cls, name: str) -> type[Adapter]:
        """The adapter of a variant.

        Raises:
            UsageError: there is no such variant.
        """
        raise UsageError(f"{cls.__name__} has no variants, so none is called {name!r}")

    def count_images(self) -> int | None:
        """How many images `get_images` gives, where that is known without reading them: for the progress bar."""
        return None


class _VerbExport(Export):
    """An export as the verbs of an adapter give it."""

    def __init__(self, adapter: Adapter, request: Request) -> None:
        state = adapter.__dict__  # not copy.copy: `__getstate__` leaves out what is parsed already
        adapter = type(adapter).__new__(type(adapter))
        adapter.__dict__.update(state)
        adapter.findings = []
        adapter.as_frames = request.frames
        held = adapter.get_tasks()
        task, adapter.task = choose_task(held, request.task)
        if task is TaskType.OBJECT_DETECTION and task in adapter.tasks:
            adapter.task = task
        self.has_sizes = adapter.has_sizes
        self.first_frame = adapter.first_frame
        self._adapter = adapter
        super().__init__(Request(task, request.frames), held, list(adapter.get_categories()))
        self.chunk = 32

    def images(self) -> Iterator[Image | Finding]:
        yield from self._adapter.get_images()
        yield from self._adapter.findings

    def count_images(self) -> int | None:
        return self._adapter.count_images()

    def labels(self, image: Image) -> Annotations:
        return self._adapter.get_labels(image)


class Option(NamedTuple):
    """An adapter's option, as its constructor declares it."""

    name: str
    type: Any
    default: Any
    help: str


def adapter_options(cls: type[Adapter]) -> list[Option]:
    """The options that an adapter's constructor declares after the path.

    Raises:
        UsageError: a parameter has no type, so no option can be made of it.
    """
    signature = inspect.signature(cls)
    hints = typing.get_type_hints(cls.__init__, include_extras=True)
    options = []
    for parameter in list(signature.parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        hint = hints.get(parameter.name)
        if hint is None:
            raise UsageError(f"{cls.__name__}: the parameter {parameter.name!r} has no type")
        if parameter.default is None:  # Python 3.10 makes it Optional[Annotated[...]]
            hint = next((one for one in typing.get_args(hint) if hasattr(one, "__metadata__")), hint)
        metadata = getattr(hint, "__metadata__", ("",))
        plain = hint.__origin__ if metadata != ("",) else hint
        options.append(Option(parameter.name, plain, parameter.default, str(metadata[0])))
    return options


def make_adapter(cls: type[Adapter], path: str | Path, options: dict[str, Any]) -> Adapter:
    """An adapter for the export at this path.

    Raises:
        UsageError: it has no such option, or one is missing.
    """
    known = {option.name for option in adapter_options(cls)}
    for name in options:
        if name not in known:
            have = ", ".join(sorted(known)) or "none"
            raise UsageError(f"the format has no option {name!r}; its options are: {have}")
    return cls(Path(path), **options)
