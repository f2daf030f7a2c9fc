"""A plan of jobs: read from a file, or made of the exports below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from labelferry.errors import ExportError, LabelferryError, UsageError, refuse_url
from labelferry.lightly.names import check_task_name
from labelferry.plugin.adapter import check_options, path_options
from labelferry.plugin.detect import LABEL_EXTENSIONS, Detections, detect
from labelferry.plugin.merge import Conflicts
from labelferry.plugin.probe import Probe
from labelferry.plugin.registry import get_adapter, short_name
from labelferry.plugin.unsupported import Unsupported
from labelferry.reading.text import read_text
from labelferry.run.options import OPTIONS, Options

_DATA_FOLDERS = frozenset(("images", "labels", "masks", "videos", "jpegimages", "img1", "train", "val", "test"))
"""Names of folders that belong to the export beside them."""


@dataclass(frozen=True)
class Job:
    """One task of the datasource, made of one export or of several.

    Attributes:
        sources: path of the export, or of several that are merged.
        options: the options of the conversion; without a format, it is detected.
        format_options: the format's own options.
        conflicts: what to do about two exports that label one image.
    """

    sources: list[str]
    options: Options = field(default_factory=Options)
    format_options: dict[str, Any] = field(default_factory=dict)
    conflicts: Conflicts = "refuse"

    @property
    def format(self) -> str:
        """The format of the exports."""
        return self.options.format or "auto"

    @property
    def name(self) -> str:
        """The task's name; by default made of the source's."""
        if self.options.task_name is not None:
            return self.options.task_name
        first = Path(self.sources[0])
        return short_name(first.stem if first.suffix else first.resolve().name).strip("_.") or "export"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a plan, without keys that have their default value."""
        keys = {key.name: getattr(self.options, key.name) for key in _KEYS} | {"format": self.format}
        source = self.sources[0] if len(self.sources) == 1 else self.sources
        entry = _Entry(source=source, **keys, options=self.format_options, conflicts=self.conflicts)
        plain: dict[str, Any] = msgspec.to_builtins(entry, enc_hook=str)
        return plain


@dataclass(frozen=True)
class Plan:
    """What `labelferry batch` does.

    Attributes:
        jobs: one for each task.
        datasource: folder that holds `.lightly`, or will hold it.
        unclear: places with an export whose format is unclear, and the question which of the possible ones it is.
    """

    jobs: list[Job]
    datasource: str | None = None
    unclear: list[tuple[Path, str]] = field(default_factory=list)


def _key(kind: Any, description: str) -> Any:
    return Annotated[kind, msgspec.Meta(description=description)]


_TYPES: dict[str, Any] = {
    "format": str,
    "task": str | None,
    "classes": dict[str, str] | list[str] | None,
    "rename": dict[str, str] | None,
    "videos": str | None,
    "input": str | None,
}
"""Types in a plan of the options that have several types in Python."""

_HELP = {"task_name": "Name of the task; by default made of the export's path."}
"""Help texts in a plan, where they differ from those in Python."""

_KEYS = tuple(option for option in OPTIONS if option.name not in ("as_", "overwrite", "workers"))
"""The options that a job of a plan has."""

_Entry: Any = msgspec.defstruct(
    "Job",
    [
        ("source", _key(str | list[str], "Path of the export, or of several that are merged; relative to this file.")),
        *(
            (
                option.name,
                _key(_TYPES.get(option.name, option.type), _HELP.get(option.name, option.help)),
                "auto" if option.name == "format" else option.default,
            )
            for option in _KEYS
        ),
        ("conflicts", _key(Conflicts, "Whose labels are taken if two of the exports label the same image."), "refuse"),
        ("options", _key(dict[str, Any], "The format's own options."), {}),
    ],
    namespace={"__doc__": "One task of the datasource, made of one export or of several."},
    forbid_unknown_fields=True,
    omit_defaults=True,
)
_File: Any = msgspec.defstruct(
    "Plan",
    [
        ("jobs", list[_Entry]),
        ("datasource", _key(str | None, "Folder that holds .lightly, or will; relative to this file."), None),
    ],
    namespace={"__doc__": "The tasks that `labelferry batch` makes."},
    forbid_unknown_fields=True,
)


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan."""
    return msgspec.json.schema(_File)


def read_plan(path: Path) -> Plan:
    """A plan in YAML, TOML or JSON; its paths become relative to the current folder.

    Raises:
        ExportError: the file is not a plan; with the line of the fault.
    """
    text = read_text(path)
    content, line_of = (_toml if path.suffix.lower() == ".toml" else _yaml)(path, text)
    try:
        file = msgspec.convert(content, _File, strict=False)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        place = place.rstrip("`")
        where = f"{path}:{line_of(place)}"
        raise ExportError(f"{message} ({place or 'at the top'})", where=where, code="broken-plan") from None
    jobs = []
    for index, entry in enumerate(file.jobs):
        try:
            jobs.append(_job(entry, path.parent))
        except LabelferryError as error:
            where = f"{path}:{line_of(f'$.jobs[{index}]')}"
            raise ExportError(str(error), where=where, code="broken-plan") from None
    return Plan(jobs, None if file.datasource is None else _below(path.parent, file.datasource))


def load_plan(path: Path, datasource: Path | None = None) -> Plan:
    """The plan in a file; or the plan for all exports below a folder.

    Args:
        path: the file or the folder.
        datasource: what is written to; its own predictions are not an export.

    Raises:
        ExportError: the file is not a plan.
        UsageError: there is no such file or folder.
    """
    refuse_url("", path)
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    return plan_folder(path, datasource) if path.is_dir() else read_plan(path)


def plan_folder(folder: Path, datasource: Path | None = None) -> Plan:
    """A plan with a job for every export below a folder.

    Args:
        folder: where to look.
        datasource: what is written to; its own predictions are not an export.
    """
    jobs: list[Job] = []
    unclear: list[tuple[Path, str]] = []
    names: set[str] = set()
    for place, found in _exports(folder, datasource):
        sound = [detection for detection in found if not detection.match.question]
        at_once = [one for one in sound if one.match.source == place]
        if len(at_once) > 1 or len(sound) < len(found):
            possible = [one.describe() for one in found if one in at_once or one.match.question]
            unclear.append((place, "\n".join(["say in a plan (--init) which of these is meant", *possible])))
        if obstacles := found.obstacles():
            unclear.append((place, "\n".join(obstacles)))
        for one in sound if len(at_once) < 2 else [one for one in sound if one not in at_once]:
            match = one.match
            relative = os.path.relpath(match.source, folder)
            stem = os.path.splitext(relative)[0] if match.source.is_file() else relative
            stem = short_name(folder.resolve().name if stem == "." else stem).strip("_.") or "export"
            name, number = stem, 2
            while name in names:
                name, number = f"{stem}_{number}", number + 1
            names.add(name)
            options = {key: str(value) if isinstance(value, Path) else value for key, value in match.options.items()}
            jobs.append(Job([str(match.source)], Options(format=one.format, task_name=name), options))
    return Plan(jobs, unclear=unclear)


def plan_to_yaml(plan: Plan, folder: Path | None = None) -> str:
    """The plan as YAML, to edit; what is unclear is in comments.

    Args:
        plan: whose paths are relative to the current folder.
        folder: of the file that it is written to, to which its paths become relative; None: the current folder.
    """
    import yaml

    if folder is not None:
        plan = _relative_to(folder, plan)

    lines = ["# labelferry batch FILE DATASOURCE; every key is in the schema: labelferry batch --schema"]
    for place, question in plan.unclear:
        lines += [f"# {line}" for line in f"{place}: {question}".splitlines()]
    content: dict[str, Any] = {"jobs": [job.to_dict() for job in plan.jobs]}
    if plan.datasource is not None:
        content["datasource"] = plan.datasource
    return "\n".join([*lines, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)])


def _exports(folder: Path, datasource: Path | None) -> Iterator[tuple[Path, Detections]]:
    """Every place with an export, at and below a folder, with its possible formats and what cannot be read there."""
    stack = [folder]
    while stack:
        place = stack.pop()
        own = datasource is not None and place.resolve() == datasource.resolve()
        found = detect(place, shallow=True)
        kept = [one for one in found if not (own and one.format == "lightly")]
        found = Detections(place, kept, filter(_is_export, found.unsupported), found.errors)
        if found or found.unsupported or found.errors:
            yield place, found
        if not any(one.match.source == place for one in found):
            below = Probe(place).listing(place)[1]
            stack += [place / name for name in reversed(below) if not (found and name.lower() in _DATA_FOLDERS)]


def _is_export(one: Unsupported) -> bool:
    """Whether a file that cannot be read may be an export, and not what often lies beside one."""
    if one.kind == "packed":  # unless it is unpacked already
        return not one.path.with_name(one.path.name.partition(".")[0]).is_dir()
    return one.kind == "format" or (one.kind == "broken" and one.path.suffix.lower() in LABEL_EXTENSIONS)


def _job(entry: Any, base: Path) -> Job:
    """The job of a plan's entry, whose paths are relative to `base`."""
    keys = {key.name: getattr(entry, key.name) for key in _KEYS}
    for key in ("videos", "input"):
        if keys[key] not in (None, "none"):
            keys[key] = _below(base, keys[key])
    if entry.format.endswith(".py") or ".py:" in entry.format:
        keys["format"] = _below(base, entry.format)
    format_options = dict(entry.options)
    if entry.format != "auto":
        cls = get_adapter(keys["format"])
        check_options(cls, format_options, keys)
        for name in path_options(cls) & format_options.keys():
            value = format_options[name]
            if isinstance(value, str):
                path = _below(base, value)
                is_name = value in cls.names.get(name, ()) and not os.path.exists(path)
                format_options[name] = value if is_name else path
    sources = [entry.source] if isinstance(entry.source, str) else entry.source
    if not sources:
        raise UsageError("source names no export")
    job = Job([_below(base, source) for source in sources], Options(**keys), format_options, entry.conflicts)
    check_task_name(job.name)
    return job


def _below(base: Path, path: str) -> str:
    return str(base / Path(path).expanduser())


def _relative_to(folder: Path, plan: Plan) -> Plan:
    """The plan with its paths relative to a folder in place of the current one."""

    def moved(path: Any) -> str:
        return str(path) if os.path.isabs(path) else os.path.relpath(path, folder)

    jobs = []
    for job in plan.jobs:
        paths = {key: getattr(job.options, key) for key in ("videos", "input")}
        keys: dict[str, Any] = {key: moved(path) for key, path in paths.items() if path not in (None, "none")}
        format_options = dict(job.format_options)
        if job.format != "auto":
            for name in path_options(get_adapter(job.format)) & format_options.keys():
                format_options[name] = moved(format_options[name])
        jobs.append(
            replace(
                job,
                sources=list(map(moved, job.sources)),
                options=replace(job.options, **keys),
                format_options=format_options,
            )
        )
    return replace(plan, jobs=jobs, datasource=None if plan.datasource is None else moved(plan.datasource))


def _toml(path: Path, text: str) -> tuple[Any, Callable[[str], int]]:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise ExportError(f"invalid TOML: {error}", where=where, code="broken-plan") from None

    def line_of(place: str) -> int:
        """Of `$.jobs[1].format`: the key below the second [[jobs]]."""
        index, key = re.search(r"jobs\[(\d+)\]", place), place.rpartition(".")[2]
        jobs = -1
        start = 1
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(r"\s*\[\[\s*jobs\s*\]\]", line):
                jobs += 1
                start = number if index and jobs == int(index[1]) else start
            if (index is None or jobs == int(index[1])) and re.match(rf"\s*{re.escape(key)}\s*=", line):
                return number
        return start

    return content, line_of


def _yaml(path: Path, text: str) -> tuple[Any, Callable[[str], int]]:
    """YAML, or JSON, which is a subset of YAML."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ExportError(
            f"invalid YAML: {getattr(error, 'problem', None) or error}", where=where, code="broken-plan"
        ) from None

    def line_of(place: str) -> int:
        """Of `$.jobs[1].format`: the node that is furthest along this way."""
        node: Any = root
        for key, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", place):
            below = None
            if index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
                below = node.value[int(index)]
            elif key and isinstance(node, yaml.MappingNode):
                below = next((value for name, value in node.value if name.value == key), None)
            if below is None:
                break
            node = below
        return 1 if node is None else int(node.start_mark.line) + 1

    return content, line_of
