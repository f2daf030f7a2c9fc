"""An input format: one class with three verbs, or with an `open` of its own; the constructor declares its options."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from labelferry.errors import UsageError, did_you_mean, refuse_url
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image, Listed
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.task_type import TaskType


class Adapter:
    """Reads one export format.

    The constructor's parameters are the format's options: the first is the path of the export, each of the others is
    keyword-only, typed, and documented as `Annotated[type, "what it does"]`; they become command-line options and
    Python keyword arguments. The constructor only keeps them.

    A subclass defines either the three verbs `get_categories`, `get_images` and `get_labels`, or `open`. The verbs work
    on a copy of the adapter, so that one adapter may be used several times. They do not know the task type: they give
    every column that the export has. `get_labels` may run in another process, to which the adapter is pickled.

    Attributes:
        tasks: every task type that the format can hold, richest first.
        first_frame: number that the format gives the first frame of a video, in `Image.frame`.
        has_sizes: whether the labels come with the sizes of their images; if not, boxes are not cut at the edges.
        also_called: other names of the format, to suggest its own.
        names: by option that is a path, the names that it may have instead, such as those of palettes.
    """

    tasks: ClassVar[tuple[TaskType, ...]]
    also_called: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[Mapping[str, Collection[str]]] = {}
    first_frame: ClassVar[int] = 0
    has_sizes: ClassVar[bool] = True

    def open(self, request: Request) -> Export:
        """The export, opened for a task type; by default made of the verbs. A format that reads many images at once, or
        only what a task type needs, overrides it.

        Raises:
            ExportError: the export as a whole cannot be read.
            UsageError: it does not hold the task type, or an option is wrong.
        """
        adapter = object.__new__(type(self))  # not copy.copy: `__getstate__` is what a worker needs
        adapter.__dict__.update(self.__dict__)
        return _VerbExport(adapter, request)

    def get_tasks(self) -> tuple[TaskType, ...]:
        """The task types that this export holds, richest first; those that follow from them need not be named."""
        return self.tasks

    def get_categories(self) -> Iterable[Category]:
        """The export's categories, in a stable order. Called before the other verbs."""
        raise NotImplementedError

    def get_images(self) -> Iterable[Image | Finding]:
        """One light, picklable `Image` for each prediction file, and what else was met, in a stable order."""
        raise NotImplementedError

    def get_labels(self, image: Image) -> Annotations:
        """The labels of one image, from `image` and the constructor's options alone.

        Raises:
            ExportError: they cannot be read.
        """
        raise NotImplementedError

    def count_images(self) -> int | None:
        """How many images `get_images` gives, where that is known without listing them: for the progress bar."""
        return None

    @classmethod
    def detect(cls, probe: Probe) -> Iterable[Match]:
        """What this format recognises in a sample of an export; `probe` limits how much is read."""
        return ()

    @classmethod
    def variants(cls) -> Iterable[str]:
        """Names of the variants of a family of formats, as `kitti` of `labelformat:kitti`."""
        return ()

    @classmethod
    def variant(cls, name: str) -> type[Adapter]:
        """The adapter of a variant.

        Raises:
            UsageError: there is no such variant.
        """
        raise UsageError(f"{cls.__name__} has no variants, so none is called {name!r}")


class _VerbExport(Export):
    """An export as the verbs of an adapter give it."""

    def __init__(self, adapter: Adapter, request: Request) -> None:
        categories = list(adapter.get_categories())
        super().__init__(request, adapter.get_tasks(), categories)
        self.has_sizes = adapter.has_sizes
        self.first_frame = adapter.first_frame
        self._adapter = adapter

    def count_images(self) -> int | None:
        return self._adapter.count_images()

    def images(self) -> Iterator[Listed]:
        yield from self._adapter.get_images()

    def labels(self, image: Image) -> Annotations:
        return self._adapter.get_labels(image)


class Option(NamedTuple):
    """An adapter's option, as its constructor declares it."""

    name: str
    type: Any
    default: Any
    help: str

    @property
    def is_flag(self) -> bool:
        """Whether it is a flag of the command line, without a value."""
        return bool in (self.type, *typing.get_args(self.type))


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


def make_adapter(
    cls: type[Adapter], path: str | Path, options: dict[str, Any], other_names: Iterable[str] = ()
) -> Adapter:
    """An adapter for the export at this path.

    Args:
        cls: its class.
        path: the export.
        options: of its constructor, by name; a path may be given as text.
        other_names: names that are not options of the format, to suggest in place of an unknown one.

    Raises:
        UsageError: it has no such option, one is missing, or a path does not exist.
    """
    check_options(cls, options, other_names)
    paths = path_options(cls)
    make: Callable[..., Adapter] = cls
    given = {
        name: Path(value) if name in paths and isinstance(value, str) else value for name, value in options.items()
    }
    for name, value in [("", path), *((name, given[name]) for name in given if name in paths)]:
        is_name = str(value) in cls.names.get(name, ())
        if value is not None and not is_name and not Path(value).expanduser().exists():
            flag = f"--{name.replace('_', '-')}: " if name else ""
            refuse_url(flag.rstrip(": ") or "the source", value)
            raise UsageError(f"{flag}{value} does not exist")
    return make(Path(path), **given)


def path_options(cls: type[Adapter]) -> set[str]:
    """Names of the options of a format that are paths."""
    return {option.name for option in adapter_options(cls) if Path in (option.type, *typing.get_args(option.type))}


def check_options(cls: type[Adapter], names: Iterable[str], other_names: Iterable[str] = ()) -> None:
    """Refuse names that are not options of the format.

    Raises:
        UsageError: the format has no option of this name; the message suggests a similar one.
    """
    known = [option.name for option in adapter_options(cls)]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, [*known, *other_names])
            raise UsageError(f"the format has no option {name!r}; its options are: {', '.join(known) or 'none'}{hint}")
