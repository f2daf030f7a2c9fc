"""The options of every conversion: declared once for `labelferry.convert`, the command line, and plans of `batch`."""

# Without `from __future__ import annotations`: the types of the fields are used at run time.
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin

from labelferry.errors import UsageError
from labelferry.task_type import TaskType

F = TypeVar("F", bound=Callable[..., Any])


class Help(NamedTuple):
    """What is shown of an option.

    Attributes:
        text: what the option does; other options are named by their flags.
        flag: of the command line; by default made of the option's name.
        metavar: what stands for the value in the help of the command line.
        limits: the lowest and the highest value of a number.
    """

    text: str
    flag: str | None = None
    metavar: str | None = None
    limits: tuple[int, int | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a conversion.

    Raises:
        UsageError: a value is not allowed, or two contradict each other.
    """

    format: Annotated[
        str | None,
        Help(
            "Input format ('labelferry formats' lists them), auto, or FILE.py:CLASS.", flag="--from", metavar="FORMAT"
        ),
    ] = None
    task: Annotated[
        TaskType | str | None,
        Help(f"Task type: {', '.join(TaskType)}; by default the richest that the export holds.", metavar="TYPE"),
    ] = None
    task_name: Annotated[
        str | None, Help("Name of the task; by default made of format and task type.", metavar="NAME")
    ] = None
    classes: Annotated[
        Iterable[str] | Mapping[str, str] | None,
        Help("Names of the classes to keep; new name by old name keeps and renames.", metavar="NAMES"),
    ] = None
    rename: Annotated[
        Mapping[str, str] | None,
        Help("New name by old name of classes; equal new names merge. All other classes stay.", metavar="OLD=NEW"),
    ] = None
    keep_category_ids: Annotated[bool, Help("Keep the source's ids; by default they become 0..N-1.")] = False
    image_prefix: Annotated[
        str, Help("Path put before every image's name, if the datasource's root is above the images.", metavar="PATH")
    ] = ""
    videos: Annotated[
        str | Path | None,
        Help("Folder of the videos whose frames the labels are for, the datasource's root; or one video."),
    ] = None
    input: Annotated[
        str | Path | None,
        Help(
            "Root of the images or videos that Lightly reads, where every image's name is looked up; none: names are "
            "not checked. By default --videos, or the datasource if it holds images.",
            metavar="DIR|none",
        ),
    ] = None
    frames: Annotated[
        str | None,
        Help(
            "Pattern of the names of extracted frames, without extension: '{video}_{frame}', or a regular expression "
            "with these groups.",
            metavar="PATTERN",
        ),
    ] = None
    first_frame: Annotated[
        int | None,
        Help(
            "Number of a video's first frame; by default the format's, 0 with --frames.", metavar="0|1", limits=(0, 1)
        ),
    ] = None
    frame_step: Annotated[
        int, Help("Number of frames from one frame number to the next.", metavar="N", limits=(1, None))
    ] = 1
    as_: Annotated[
        Literal["images", "frames"] | None,
        Help(
            "What the labels are for; frames require --videos, and are the default with it.",
            flag="--as",
            metavar="images|frames",
        ),
    ] = None
    orientation: Annotated[
        Literal["auto", "stored", "upright"],
        Help(
            "Which picture the labels were drawn on, if an image has an EXIF orientation, or a video a rotation: its "
            "pixels as stored, or turned upright. auto decides by the sizes that the export gives, or by the format.",
            metavar="PICTURE",
        ),
    ] = "auto"
    score: Annotated[float, Help("Score of labels that have none.", metavar="N", limits=(0, 1))] = 1.0
    on_error: Annotated[
        Literal["fail", "skip"],
        Help("If labels cannot be read: fail publishes nothing, skip leaves them out."),
    ] = "fail"
    allow_empty: Annotated[bool, Help("Accept an export without any label file, or without any object.")] = False
    strict: Annotated[bool, Help("Count repairs and warnings as errors.")] = False
    overwrite: Annotated[bool, Help("Replace a task of this name.")] = False
    workers: Annotated[
        int | None,
        Help(
            "Processes to use; None: as many as the work is worth. They import the calling script, which therefore "
            'needs if __name__ == "__main__".',
            metavar="N",
            limits=(1, None),
        ),
    ] = 1

    def __post_init__(self) -> None:
        for option in OPTIONS:
            option.check(getattr(self, option.name))
        if self.task is not None:
            TaskType.of(self.task)
        if isinstance(self.classes, str):
            raise UsageError(f"classes is a list of names, or new name by old name, not the text {self.classes!r}")
        if self.classes is not None:
            if not isinstance(self.classes, Mapping):
                object.__setattr__(self, "classes", tuple(self.classes))  # an iterator is read once
            if not self.classes:
                raise UsageError("--classes names no class; leave it out to keep all")
        if self.rename is not None and not isinstance(self.rename, Mapping):
            raise UsageError(f"rename is new name by old name, not {self.rename!r}")
        prefix = self.image_prefix.replace("\\", "/")
        if "://" in prefix or prefix.startswith("/") or ".." in prefix.split("/"):
            raise UsageError(
                f"--image-prefix {self.image_prefix!r}: it is a path relative to the input datasource's root"
            )
        if self.strict and self.on_error == "skip":
            raise UsageError(
                "--strict counts repairs and warnings as errors, and --on-error skip publishes despite errors"
            )
        if self.videos is None and self.as_ == "frames":
            raise UsageError("--as frames requires --videos, the folder of the videos: their frames are counted")
        if self.videos is not None and self.as_ == "images":
            raise UsageError("--as images and --videos exclude each other: with --videos the images are frames")
        if self.videos is None and (self.frames is not None or self.first_frame is not None or self.frame_step != 1):
            raise UsageError("--frames, --first-frame and --frame-step require --videos, the folder of the videos")

    @classmethod
    def take(cls, keywords: Mapping[str, Any]) -> tuple["Options", dict[str, Any]]:
        """The options of the conversion among keyword arguments; and the others, which are the format's own.

        Raises:
            UsageError: a value is not allowed, or two contradict each other.
        """
        others = {name: value for name, value in keywords.items() if name not in OPTION_NAMES}
        return cls(**{name: value for name, value in keywords.items() if name in OPTION_NAMES}), others

    @property
    def as_frames(self) -> bool:
        """Whether the images are frames of videos."""
        return self.videos is not None

    def task_type(self) -> TaskType | None:
        """The task type asked for."""
        return None if self.task is None else TaskType.of(self.task)

    def new_names(self) -> dict[str, str]:
        """New name by old name of the classes that are renamed.

        Raises:
            UsageError: a class has two new names.
        """
        names = dict(self.rename or {})
        for old, new in self.classes.items() if isinstance(self.classes, Mapping) else ():
            if old != new and names.setdefault(old, new) != new:
                raise UsageError(f"--rename makes {old!r} {names[old]!r}, and --classes makes it {new!r}")
        return names


class Option(NamedTuple):
    """A field of `Options`.

    Attributes:
        name: of the field.
        type: of the value.
        default: the value by default, in Python.
        shown: help text, metavar and limits.
    """

    name: str
    type: Any
    default: Any
    shown: Help

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return self.shown.flag or f"--{self.name.replace('_', '-')}"

    @property
    def help(self) -> str:
        """The help text for Python and for plans, where options have names and no flags."""
        names = {option.flag: option.name for option in OPTIONS}
        return re.sub(r"--[a-z-]+", lambda match: f"`{names[match[0]]}`", self.shown.text)

    def check(self, value: Any) -> None:
        """Refuse a value that is not among the option's choices, or out of its limits.

        Raises:
            UsageError: the value is not allowed.
        """
        kinds = (self.type, *get_args(self.type))
        if value is None and type(None) in kinds:
            return
        choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        if choices and value not in choices:
            raise UsageError(f"{self.name} is {' or '.join(map(repr, choices))}, not {value!r}")
        if self.shown.limits is None:
            return
        low, high = self.shown.limits
        number: type[Any] = Real if self.type is float else Integral
        if not (isinstance(value, number) and low <= value and (high is None or value <= high)):
            allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
            kind = "a number" if number is Real else "an integer"
            raise UsageError(f"{self.name} is {kind} {allowed}, not {value!r}")


OPTIONS = tuple(
    Option(field.name, field.type.__origin__, field.default, field.type.__metadata__[0])  # type: ignore[union-attr]
    for field in fields(Options)
)
OPTION_NAMES = tuple(option.name for option in OPTIONS)


def shows_options(function: F) -> F:
    """Decorator for a function that takes the fields of `Options` as keyword arguments: its signature has them as
    parameters, and its docstring describes them in place of `{options}`."""
    given = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in OPTIONS
    ]
    signature = inspect.signature(function)
    parameters = sorted([*given, *signature.parameters.values()], key=lambda parameter: parameter.kind)  # stable
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    layout = textwrap.TextWrapper(116, initial_indent="    ", subsequent_indent=" " * 8, break_on_hyphens=False)
    entries = [layout.fill(f"{option.name}: {option.help[0].lower()}{option.help[1:]}") for option in OPTIONS]
    function.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("    {options}", "\n".join(entries))
    return function
