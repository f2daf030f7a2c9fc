"""Many exports, one datasource: the jobs of a plan, with one pool of workers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from labelferry.errors import ExportError, LabelferryError, UsageError
from labelferry.lightly import storage
from labelferry.lightly.format import TASKS
from labelferry.lightly.task_folder import origin_path
from labelferry.plugin.adapter import Adapter, adapter_options, make_adapter
from labelferry.plugin.detect import detect_one
from labelferry.plugin.merge import merged
from labelferry.plugin.registry import get_adapter
from labelferry.reading.images import find_files
from labelferry.report import ConversionError, Report
from labelferry.run.pipeline import convert
from labelferry.run.plan import Job, Plan
from labelferry.run.workers import KILLED, worker_pool


class Outcome(msgspec.Struct):
    """What became of a job.

    Attributes:
        task_name: the task's name.
        status: `done`, `unchanged` (it was done by an earlier run), or `failed`.
        error: why it failed.
        report: of its conversion, if there was one.
    """

    task_name: str
    status: Literal["done", "unchanged", "failed"]
    error: str = ""
    report: Report | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        report = None if self.report is None else self.report.to_dict()
        return {"task_name": self.task_name, "status": self.status, "error": self.error, "report": report}


JobProgress = Callable[[str, int, "int | None", str], None]
"""Is told the task's name, then as `labelferry.run.pipeline.Progress`."""


def run(
    plan: Plan,
    datasource: Path,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: JobProgress | None = None,
    finished: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run all jobs of a plan, each for itself: one that fails stops no other and publishes nothing.

    A job whose task is there, made by an earlier run of the same job, and whose export has not changed since, is not
    run.

    Args:
        plan: the jobs.
        datasource: folder that holds, or is to hold, `.lightly`.
        workers: processes for all jobs together; by default as many as there are processors.
        overwrite: replace tasks that were not made by an earlier run.
        progress: is told how far a job is.
        finished: is told of each job that has ended.
    """
    folder = storage.local_folder(datasource)
    count = workers or os.cpu_count() or 1
    outcomes: list[Outcome] = []
    _check_names(plan)
    for job in plan.jobs:  # adapters in files are to be known when the pool starts
        with suppress(UsageError):
            get_adapter(job.format)
    with ExitStack() as stack:
        pool: Executor | None = None
        for job in plan.jobs:
            name = job.name
            signature = _signature(job)
            if is_unchanged(folder, name, signature):
                outcome = Outcome(name, "unchanged")
            else:
                if pool is None and count > 1:
                    pool = stack.enter_context(worker_pool(count, "labelferry.run.pipeline"))
                outcome = _run_job(job, name, folder, pool, overwrite or origin_path(folder, name).exists(), progress)
                if outcome.status == "done":
                    origin_path(folder, name).parent.mkdir(parents=True, exist_ok=True)
                    origin_path(folder, name).write_bytes(orjson.dumps({"signature": signature}))
                if outcome.error == KILLED:
                    pool = None
            outcomes.append(outcome)
            if finished:
                finished(outcome)
    return outcomes


def is_unchanged(datasource: Path, name: str, signature: str) -> bool:
    """Whether a task is there as the same job has made it of the same files."""
    try:
        known = orjson.loads(origin_path(datasource, name).read_bytes())["signature"]
        listed = orjson.loads((datasource / ".lightly/predictions" / TASKS).read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return known == signature and name in listed


def describe_plan(plan: Plan, datasource: Path | None) -> Iterator[str]:
    """A line for each job: what would be done."""
    for job in plan.jobs:
        name = job.name
        known = datasource is not None and is_unchanged(storage.local_folder(datasource), name, _signature(job))
        what = "unchanged" if known else "convert"
        yield f"{what:<10} {name:<30} {job.format:<12} {', '.join(job.sources)}"


def _run_job(
    job: Job, name: str, datasource: Path, pool: Executor | None, overwrite: bool, progress: JobProgress | None
) -> Outcome:
    def told(done: int, total: int | None, what: str) -> None:
        if progress:
            progress(name, done, total, what)

    try:
        report = convert(
            _make_adapter(job),
            datasource,
            format=job.format if job.format != "auto" else None,
            task=job.task,
            task_name=name,
            classes=job.classes,
            keep_category_ids=job.keep_category_ids,
            image_prefix=job.image_prefix,
            videos=job.videos,
            frames=job.frames,
            first_frame=job.first_frame,
            frame_step=job.frame_step,
            score=job.score,
            on_error=job.on_error,
            strict=job.strict,
            overwrite=overwrite,
            executor=pool,
            progress=told,
        )
    except ConversionError as error:
        return Outcome(name, "failed", str(error), error.report)
    except (LabelferryError, OSError) as error:
        return Outcome(name, "failed", str(error))
    except BrokenProcessPool:
        return Outcome(name, "failed", KILLED)
    except Exception as error:  # a defect of one adapter stops no other job
        return Outcome(name, "failed", f"{type(error).__name__}: {error} (a defect of the adapter of {job.format})")
    return Outcome(name, "done", "", report)


def _make_adapter(job: Job) -> Adapter:
    adapters = []
    for source in job.sources:
        name, path, options = job.format, Path(source), dict(job.options)
        if name == "auto":
            name, match = detect_one(path, settled=bool(options or job.task))
            path, options = match.source, {**match.options, **options}
        adapters.append(make_adapter(get_adapter(name), path, _typed(get_adapter(name), options)))
    return merged(adapters, job.conflicts)


def _typed(cls: type[Adapter], options: dict[str, Any]) -> dict[str, Any]:
    """Options as a file has them, as the types that the constructor declares."""
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


def _check_names(plan: Plan) -> None:
    names = [job.name for job in plan.jobs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two jobs make the task {twice[0]!r}: give one another task_name")


def _signature(job: Job) -> str:
    """The same exactly if the job is the same, and all files of its exports: their names, sizes and times."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(version("labelferry").encode())
    digest.update(msgspec.json.encode(job, order="deterministic"))
    paths = [*job.sources, *([job.videos] if job.videos else [])]
    paths += [value for value in job.options.values() if isinstance(value, str) and os.path.exists(value)]
    for path in paths:
        for place in _files_of(Path(path), with_predictions=job.format in ("lightly", "auto")):
            with suppress(OSError):
                status = os.stat(place)
                digest.update(b"%s %d %d;" % (os.fsencode(place), status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def _files_of(path: Path, with_predictions: bool) -> Iterator[Path]:
    """All files of an export: those below a folder, and a datasource's predictions; a file, and what lies beside it if
    it is one that tells where labels are."""
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
