"""Many exports into one datasource: runs the jobs of a plan with one pool of workers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from labelferry.errors import ExportError, LabelferryError, UsageError
from labelferry.lightly import storage
from labelferry.lightly.names import TASKS
from labelferry.lightly.task_folder import origin_path
from labelferry.plugin.adapter import Adapter, adapter_options, make_adapter
from labelferry.plugin.detect import detect_one
from labelferry.plugin.merge import merged
from labelferry.plugin.registry import get_adapter
from labelferry.reading.images import find_files
from labelferry.report import ConversionError, Report
from labelferry.run.convert import convert
from labelferry.run.options import Options
from labelferry.run.plan import Job, Plan, load_plan
from labelferry.run.progress import BatchProgress
from labelferry.run.workers import KILLED, worker_pool


@dataclass(slots=True)
class Outcome:
    """The result of a job of a batch.

    Attributes:
        task_name: the task's name.
        status: `done`, `unchanged` (an earlier run has done it), or `failed`.
        error: why it failed.
        report: of the conversion, if it took place.
    """

    task_name: str
    status: Literal["done", "unchanged", "failed"]
    error: str = ""
    report: Report | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


JobProgress = Callable[[str, int, "int | None", str], None]
"""Called with the task's name, and then as `labelferry.run.convert.Progress`."""


def batch(
    plan: str | Path | Plan,
    datasource: str | Path | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: JobProgress | bool | None = None,
) -> list[Outcome]:
    """Convert many exports into one datasource, a task for each.

    A job that fails publishes nothing, and the others still run. A job whose task an earlier run has made, and
    whose export has not changed since, is not run again. Worker processes import the calling script, which therefore
    needs `if __name__ == "__main__":`, unless `workers` is 1.

    Args:
        plan: a folder of exports; or a plan: a .yaml, .toml or .json file.
        datasource: folder that holds `.lightly`, or will hold it; by default the plan's.
        workers: processes for all jobs together; by default one per processor.
        overwrite: replace tasks that were not made by an earlier run.
        progress: True shows a bar; or a function, called with (task name, done, total, unit): how many of a job are
            done, how many there are (None if not known), and of what: `videos` while their frames are counted, then
            `images` or `frames`.

    Returns:
        The result of each job, in the order of the plan; then a failed one for each place below the folder where the
        format of the export is unclear, with the possible formats as its error.

    Raises:
        ExportError: the plan cannot be read.
        UsageError: the arguments are wrong, or there is nothing to convert.
    """
    if not isinstance(plan, Plan):
        plan = load_plan(Path(plan), None if datasource is None else Path(datasource))
    with BatchProgress(progress is not True, len(plan.jobs)) as display:
        shown = display if progress is True else progress or None
        outcomes = []
        for outcome in run_plan(plan, datasource, workers=workers, overwrite=overwrite, progress=shown):
            display.finished(outcome)
            outcomes.append(outcome)
    return outcomes + [Outcome(place.name, "failed", f"{place}: {question}") for place, question in plan.unclear]


def run_plan(
    plan: Plan,
    datasource: str | Path | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: JobProgress | None = None,
) -> Iterator[Outcome]:
    """Run the jobs of a plan one after the other; yields the result of each as soon as it has ended.

    Args:
        plan: the jobs.
        datasource: as for `batch`, and so are the others.
    """
    place = datasource or plan.datasource
    if place is None:
        raise UsageError("name the datasource: the plan does not name one")
    if not plan.jobs and not plan.unclear:
        raise UsageError("nothing to convert: the plan has no jobs, or no format recognises an export in the folder")
    names = [job.name for job in plan.jobs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two jobs make the task {twice[0]!r}: give one another task_name")
    folder = storage.local_folder(place)
    count = Options(workers=workers).workers or os.cpu_count() or 1
    for job in plan.jobs:  # adapters in files must be known when the pool starts
        with suppress(UsageError):
            get_adapter(job.format)
    with ExitStack() as stack:
        pool: Executor | None = None
        for job, name in zip(plan.jobs, names, strict=True):
            signature = _signature(job)
            if is_unchanged(folder, name, signature):
                yield Outcome(name, "unchanged")
                continue
            if pool is None and count > 1:
                pool = stack.enter_context(worker_pool(count, "labelferry.run.job"))
            origin = origin_path(folder, name)
            outcome = _run_job(job, folder, pool, overwrite or origin.exists(), progress)
            if outcome.status == "done":
                origin.parent.mkdir(parents=True, exist_ok=True)
                origin.write_bytes(orjson.dumps({"signature": signature}))
            if outcome.error == KILLED:
                pool = None
            yield outcome


def is_unchanged(datasource: Path, name: str, signature: str) -> bool:
    """Whether a task exists that the same job has made of the same files."""
    try:
        known = orjson.loads(origin_path(datasource, name).read_bytes())["signature"]
        listed = orjson.loads((datasource / ".lightly/predictions" / TASKS).read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return known == signature and name in listed


def describe_plan(plan: Plan, datasource: str | Path | None = None) -> Iterator[str]:
    """A line for each job: what `run_plan` would do."""
    place = datasource or plan.datasource
    for job in plan.jobs:
        known = place is not None and is_unchanged(storage.local_folder(place), job.name, _signature(job))
        what = "unchanged" if known else "convert"
        yield f"{what:<10} {job.name:<30} {job.format:<12} {', '.join(job.sources)}"


def _run_job(
    job: Job, datasource: Path, pool: Executor | None, overwrite: bool, progress: JobProgress | None
) -> Outcome:
    name = job.name
    options = replace(
        job.options,
        format=None if job.format == "auto" else job.format,
        task_name=name,
        overwrite=overwrite,
        workers=1,  # without the pool
    )
    try:
        report = convert(
            _make_adapter(job),
            datasource,
            executor=pool,
            progress=None if progress is None else partial(progress, name),
            **vars(options),
        )
    except ConversionError as error:
        return Outcome(name, "failed", str(error), error.report)
    except (LabelferryError, OSError) as error:
        return Outcome(name, "failed", str(error))
    except BrokenProcessPool:
        return Outcome(name, "failed", KILLED)
    except Exception as error:  # a defect of one adapter does not stop the other jobs
        return Outcome(name, "failed", f"{type(error).__name__}: {error} (a defect of the adapter of {job.format})")
    return Outcome(name, "done", "", report)


def _make_adapter(job: Job) -> Adapter:
    adapters = []
    for source in job.sources:
        name, path, options = job.format, Path(source), job.format_options
        if name == "auto":
            name, match = detect_one(path, {**options, "task": job.options.task})
            path, options = match.source, {**match.options, **options}
        adapters.append(make_adapter(get_adapter(name), path, _typed(get_adapter(name), options)))
    return merged(adapters, job.conflicts)


def _typed(cls: type[Adapter], options: dict[str, Any]) -> dict[str, Any]:
    """Options as a plan gives them, converted to the types that the constructor declares."""
    types = {option.name: option.type for option in adapter_options(cls)}
    typed = {}
    for name, value in options.items():
        try:
            typed[name] = msgspec.convert(
                value, types.get(name, Any), strict=False, dec_hook=lambda _, given: Path(given)
            )
        except msgspec.ValidationError as error:
            raise UsageError(f"the option {name}: {error}") from None
    return typed


def _signature(job: Job) -> str:
    """Equal for two runs exactly if the job and the names, sizes and times of all files of its exports are equal."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(version("labelferry").encode())
    digest.update(msgspec.json.encode(job.to_dict(), order="deterministic"))
    paths = [*job.sources, *([job.options.videos] if job.options.videos else [])]
    paths += [value for value in job.format_options.values() if isinstance(value, str) and os.path.exists(value)]
    for path in paths:
        for place in _files_of(Path(path), with_predictions=job.format in ("lightly", "auto")):
            with suppress(OSError):
                status = os.stat(place)
                digest.update(b"%s %d %d;" % (os.fsencode(place), status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def _files_of(path: Path, with_predictions: bool) -> Iterator[Path]:
    """All files of an export: those below a folder, with the predictions of a datasource if asked for; or a file, with
    those beside it if the file only names where the labels are."""
    if not path.is_dir():
        yield path
        if path.suffix.lower() not in (".yaml", ".yml", ".data", ".txt", ".names"):
            return
        path = path.parent
    with suppress(ExportError):  # what cannot be listed fails when it is read
        yield from (path / name for name in find_files(path, None))
        if with_predictions and (path / ".lightly/predictions").is_dir():
            yield from (
                path / ".lightly/predictions" / name for name in find_files(path / ".lightly/predictions", None)
            )
