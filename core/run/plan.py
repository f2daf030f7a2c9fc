"""A plan of jobs: read from a file, or made of the exports below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from labelferry.errors import ExportError, LabelferryError, UsageError
from labelferry.lightly.format import check_task_name
from labelferry.plugin.adapter import adapter_options
from labelferry.plugin.detect import Detection, Probe, detect
from labelferry.plugin.merge import Conflicts
from labelferry.plugin.registry import get_adapter, short_name
from labelferry.reading.text import read_text

_DATA_FOLDERS = frozenset(("images", "labels", "masks", "videos", "jpegimages", "img1", "train", "val", "test"))
"""Folders that belong to the export beside them."""


class Job(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One task of the datasource, made of one export or of several.

    Attributes:
        source: path of the export, or of several that are merged; relative to the plan's file.
        format: the format; auto detects it.
        task_name: the task's name; by default made of the source's.
        conflicts: what to do about two exports that label one image.
        options: the format's own options.
    """

    source: str | list[str]
    format: str = "auto"
    task: str | None = None
    task_name: str | None = None
    classes: dict[str, str] | list[str] | None = None
    keep_category_ids: bool = False
    image_prefix: str = ""
    videos: str | None = None
    frames: str | None = None
    first_frame: int | None = None
    frame_step: int = 1
    score: float = 1.0
    on_error: Literal["fail", "skip"] = "fail"
    strict: bool = False
    conflicts: Conflicts = "refuse"
    options: dict[str, Any] = {}

    @property
    def sources(self) -> list[str]:
        return [self.source] if isinstance(self.source, str) else self.source

    @property
    def name(self) -> str:
        """The task's name."""
        if self.task_name is not None:
            return self.task_name
        first = Path(self.sources[0])
        return short_name(first.stem if first.suffix else first.resolve().name).strip("_.") or "export"


class Plan(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What `labelferry batch` does.

    Attributes:
        jobs: one for each task.
        datasource: folder that holds, or is to hold, `.lightly`; relative to the plan's file.
    """

    jobs: list[Job]
    datasource: str | None = None


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of a plan."""
    return msgspec.json.schema(Plan)


def read_plan(path: Path) -> Plan:
    """A plan in YAML, TOML or JSON; its paths become relative to the current folder.

    Raises:
        ExportError: it is none, with the line at fault.
    """
    text = read_text(path)
    content, line_of = (_toml if path.suffix.lower() == ".toml" else _yaml)(path, text)
    try:
        plan = msgspec.convert(content, Plan, strict=False)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        place = place.rstrip("`")
        where = f"{path}:{line_of(place)}"
        raise ExportError(f"{message} ({place or 'at the top'})", where=where, code="broken-plan") from None
    base = path.parent
    for job in plan.jobs:
        sources = [_below(base, source) for source in job.sources]
        job.source = sources[0] if isinstance(job.source, str) else sources
        job.videos = None if job.videos is None else _below(base, job.videos)
    if plan.datasource is not None:
        plan.datasource = _below(base, plan.datasource)
    for index, job in enumerate(plan.jobs):
        try:
            if not job.sources:
                raise UsageError("source names no export")
            _adapter_options_of(job, base)
            check_task_name(job.name)
        except LabelferryError as error:
            where = f"{path}:{line_of(f'$.jobs[{index}]')}"
            raise ExportError(str(error), where=where, code="broken-plan") from None
    return plan


def plan_folder(folder: Path, datasource: Path | None = None) -> tuple[Plan, list[tuple[Path, str]]]:
    """A job for every export below a folder; and the places where looking cannot tell, with what may be there.

    Args:
        folder: where to look.
        datasource: what is written to, whose own predictions are no export.
    """
    jobs: list[Job] = []
    doubtful: list[tuple[Path, str]] = []
    names: set[str] = set()
    for place, found in _exports(folder, datasource):
        sound = [detection for detection in found if not detection.match.question]
        at_once = [one for one in sound if one.match.source == place]
        if len(at_once) > 1 or len(sound) < len(found):
            text = "\n".join(one.describe() for one in found if one in at_once or one.match.question)
            doubtful.append((place, text))
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
            jobs.append(Job(str(match.source), one.format, task_name=name, options=options))
    return Plan(jobs), doubtful


def plan_to_yaml(plan: Plan, doubtful: list[tuple[Path, str]]) -> str:
    """The plan to edit; what is to be settled first stands in comments."""
    import yaml

    lines = ["# labelferry batch FILE DATASOURCE; every key is in the schema: labelferry batch --schema"]
    for place, text in doubtful:
        lines += [f"# {place}: say which of these is meant", *(f"#   {line}" for line in text.splitlines())]
    body: str = yaml.safe_dump(msgspec.to_builtins(plan), sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*lines, body])


def _exports(folder: Path, datasource: Path | None) -> Iterator[tuple[Path, list[Detection]]]:
    """Every place with an export, at and below a folder, and what it may be."""
    stack = [folder]
    while stack:
        place = stack.pop()
        own = datasource is not None and place.resolve() == datasource.resolve()
        found = [one for one in detect(place, shallow=True) if not (own and one.format == "lightly")]
        if found:
            yield place, found
        if not any(one.match.source == place for one in found):
            below = Probe(place).listing(place)[1]
            stack += [place / name for name in reversed(below) if not (found and name.lower() in _DATA_FOLDERS)]


def _adapter_options_of(job: Job, base: Path) -> None:
    """Check a job's format and options, and make paths among them relative to the current folder."""
    if job.format == "auto":
        return
    if job.format.endswith(".py") or ".py:" in job.format:
        job.format = _below(base, job.format)
    cls = get_adapter(job.format)
    known = {option.name: option for option in adapter_options(cls)}
    for name, value in job.options.items():
        if name not in known:
            raise UsageError(
                f"the format {job.format} has no option {name!r}; its options are: {', '.join(known) or 'none'}"
            )
        if isinstance(value, str) and "Path" in str(known[name].type):
            job.options[name] = _below(base, value)


def _below(base: Path, path: str) -> str:
    return str(base / Path(path).expanduser())


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
        raise ExportError(f"not TOML: {error}", where=where, code="broken-plan") from None

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
    """YAML, or JSON, which is a part of it."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ExportError(
            f"not YAML: {getattr(error, 'problem', None) or error}", where=where, code="broken-plan"
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
