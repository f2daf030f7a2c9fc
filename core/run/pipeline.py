"""From an adapter to a task in a datasource: chunks of images, executors, journal, report."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import pickle
import re
import time
import traceback
import uuid
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from labelferry.errors import ExportError, LabelferryError, UsageError, did_you_mean
from labelferry.findings import Finding
from labelferry.lightly import storage
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.conform import Target, conform
from labelferry.lightly.format import SCHEMA, encode_predictions, encode_schema, image_name, prediction_path
from labelferry.lightly.task_folder import TaskFolder
from labelferry.model import UNLABELLED, Annotations, File, Image
from labelferry.plugin.adapter import Adapter, make_adapter
from labelferry.plugin.registry import get_adapter, short_name
from labelferry.report import ConversionError, Report, Tally
from labelferry.run.options import OPTION_NAMES, Options, shows_options
from labelferry.task_type import TaskType, obtainable

if TYPE_CHECKING:
    from labelformat.model.instance_segmentation import InstanceSegmentationInput
    from labelformat.model.object_detection import ObjectDetectionInput

    from labelferry.video.footage import Footage

    LabelformatInput = ObjectDetectionInput | InstanceSegmentationInput

CHUNK = 32
"""Images a chunk: what a worker takes at once, and what is done again after a kill."""

POOL_AFTER = 1.0
"""Seconds of work in this process before worker processes, which take a moment to start, are worth it."""

JOURNAL_AFTER = 1.0
"""Seconds of work that are not worth a journal: a run killed before is as soon done again."""

_NOTHING = Annotations.empty()

Progress: TypeAlias = Callable[[int, "int | None", str], None]
"""Called with (done, total, unit): how many are done, how many there are (None if not known), and of what: `videos`
while their frames are counted, then `images` or `frames`."""


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """Reads, conforms, encodes and writes the labels of a chunk of images; runs anywhere."""

    adapter: Adapter
    target: Target
    folder: str

    def __call__(self, images: list[Image]) -> Tally:
        tally = Tally()
        category_ids: list[int] = []
        for image in images:
            try:
                conformed = self._conformed(image, tally)
                if conformed is None:
                    continue
                path = f"{self.folder}/{prediction_path(image.file_name)}"
                storage.write_file(path, encode_predictions(image.file_name, conformed))
            except ExportError as error:
                tally.add([Finding("error", error.code, error.where or image.file_name, error.message)])
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                    raise LabelferryError(f"cannot go on: {error}") from None
                tally.add([Finding("error", "unreadable", image.file_name, str(error))])
            except Exception as error:
                tally.add([Finding("error", "adapter-failed", image.file_name, _defect(error))])
            else:
                tally.images += 1
                written = conformed.category_ids.tolist()
                tally.empty_images += not written
                category_ids += written
        tally.objects = dict(Counter(category_ids))
        return tally

    def _conformed(self, image: Image, tally: Tally) -> Annotations | None:
        """An image's labels as Lightly takes them; None for one that must have no file."""
        if image.source is UNLABELLED:
            return None if self.target.task is TaskType.CLASSIFICATION else _NOTHING
        annotations = self.adapter.get_labels(image)
        if image.size is not None and annotations.size != image.size:
            if annotations.size is not None and len(annotations):
                (width, height), (own_width, own_height) = image.size, annotations.size
                text = f"the labels are for {own_width} x {own_height} pixels, the video has {width} x {height}"
                raise ExportError(text, code="frame-size")
            annotations.size = image.size
        try:
            return conform(annotations, self.target)
        finally:
            tally.add(annotations.findings)


def chunk_digest(images: list[Image]) -> str:
    """The same exactly if the images, what they carry, and every file that they name are the same."""
    digest = hashlib.sha1(pickle.dumps(images, 5), usedforsecurity=False)
    for image in images:
        sources = image.source if isinstance(image.source, tuple) else (image.source,)
        for source in sources:
            if isinstance(source, File | Path):
                try:
                    stat = os.stat(source)
                    digest.update(b"%d,%d;" % (stat.st_mtime_ns, stat.st_size))
                except OSError:
                    digest.update(b"none;")
    return digest.hexdigest()


@shows_options
def convert(
    source: str | Path | Adapter | LabelformatInput,
    datasource: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Convert one export into one task of a Lightly datasource.

    Args:
        source: path of the export; or an adapter, or an input of labelformat.
        datasource: folder that holds `.lightly`, or will hold it.
        {options}
        executor: any `concurrent.futures.Executor` to use in place of `workers`.
        progress: called with (done, total, unit): how many are done, how many there are (None if not known), and of
            what: `videos` while their frames are counted, then `images` or `frames`.
        options: the format's own options.

    Raises:
        ConversionError: the export has errors; nothing was published.
        ExportError: the export as a whole cannot be read.
        UsageError: the arguments are wrong.
    """
    started = time.monotonic()
    given, options = Options.take(options)
    if not isinstance(source, str | os.PathLike | Adapter):
        from labelferry.converters.labelformat import Labelformat

        source = Labelformat.of(source)
        given = replace(given, format=given.format or "labelformat")
    if isinstance(source, Adapter):
        if options:
            hint = did_you_mean(next(iter(options)), OPTION_NAMES)
            raise UsageError(f"{', '.join(options)}: an adapter takes its options when it is made{hint}")
        adapter = source
        name = given.format or type(adapter).__module__.rpartition(".")[2]
    else:
        if given.format is None:
            raise UsageError("say which format the export has: format=...")
        name = given.format
        if name == "auto":
            from labelferry.plugin.detect import detect_one

            name, match = detect_one(source, settled=bool(options or given.task))
            source, options = match.source, {**match.options, **options}
        adapter = make_adapter(get_adapter(name), source, options, OPTION_NAMES)
    folder = storage.local_folder(datasource)
    adapter.as_frames = given.as_frames
    footage: Footage | None = None
    pattern: re.Pattern[str] | None = None
    if given.frames is not None:
        from labelferry.video.footage import frame_pattern

        pattern = frame_pattern(given.frames)

    wanted = _choose_task(adapter, given.task_type())
    task_name = f"{short_name(name)}_{wanted}" if given.task_name is None else given.task_name
    plan = plan_categories(list(adapter.get_categories()), given.new_names(), given.keep_category_ids)
    target = Target(wanted, plan, given.score, adapter.has_sizes)
    fingerprint = _fingerprint(version("labelferry"), adapter, target, given.image_prefix)
    workers = given.workers
    if fingerprint is None and workers != 1:
        if workers is not None:
            raise UsageError("the adapter cannot be sent to worker processes: define its class at the top of a module")
        workers = 1

    with TaskFolder(folder, task_name, fingerprint or uuid.uuid4().hex[:16], given.overwrite) as task_folder:
        try:
            if given.videos is not None:  # which takes a while: not before the task is known to be free
                from labelferry.video.footage import Footage

                first = given.first_frame
                if first is None:
                    first = adapter.first_frame if pattern is None else 0
                footage = Footage(Path(given.videos).expanduser(), pattern, first, given.frame_step, progress)
            job = ChunkJob(adapter, target, str(task_folder.files))
            os.makedirs(task_folder.files, exist_ok=True)
            journal_after = JOURNAL_AFTER if fingerprint else math.inf
            tally, resumed = _run(
                job, task_folder, footage, given.image_prefix, workers, executor, progress, journal_after
            )
            failed = (given.on_error == "fail" and tally.count("error") > 0) or (
                given.strict and tally.count("repair", "warning") > 0
            )
            if not failed:
                task_folder.commit(encode_schema(wanted, plan.categories))
        except LabelferryError:
            task_folder.discard()
            raise
        if failed:
            task_folder.discard()

    report = make_report(
        name,
        str(source) if not isinstance(source, Adapter) else type(source).__name__,
        folder,
        task_name,
        target,
        tally,
        videos=0 if footage is None else len(footage.videos),
        published=not failed,
        resumed_images=resumed,
        strict=given.strict,
        seconds=time.monotonic() - started,
    )
    if failed:
        raise ConversionError(report)
    return report


def make_report(
    format: str,
    source: str,
    datasource: Path,
    task_name: str,
    target: Target,
    tally: Tally,
    *,
    videos: int,
    published: bool = True,
    resumed_images: int = 0,
    strict: bool = False,
    seconds: float,
) -> Report:
    """The report of a run with this tally; `strict` counts repairs and warnings as errors."""
    errors, repairs, warnings = (tally.summaries(kind) for kind in ("error", "repair", "warning"))
    if strict:
        errors, repairs, warnings = errors + repairs + warnings, [], []
    return Report(
        format=format,
        source=source,
        datasource=str(datasource),
        task_name=task_name,
        task_type=target.task.value,
        published=published,
        videos=videos,
        images=tally.images,
        empty_images=tally.empty_images,
        resumed_images=resumed_images,
        objects={category.name: tally.objects.get(category.id, 0) for category in target.plan.categories},
        errors=errors,
        repairs=repairs,
        warnings=warnings,
        notes=tally.summaries("note"),
        seconds=round(seconds, 3),
    )


def _fingerprint(*parts: Any) -> str | None:
    """The same for two runs exactly if they do the same; None if an adapter that cannot be pickled is among the parts,
    as one of a class within a function: its run is not resumed."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        for part in parts:
            digest.update(pickle.dumps(part, 5))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return digest.hexdigest()


def _choose_task(adapter: Adapter, wanted: TaskType | None) -> TaskType:
    """The task type to make; tells the adapter which of those that it holds it is made of."""
    sources = obtainable(adapter.get_tasks())
    if wanted is None:
        wanted = next(iter(sources))
    elif wanted not in sources:
        raise UsageError(f"the export holds no {wanted}; it holds {', '.join(sources)}")
    adapter.task = sources[wanted]
    # boxes alone are cheaper to read than masks, where the adapter can do that
    if wanted is TaskType.OBJECT_DETECTION and TaskType.OBJECT_DETECTION in adapter.tasks:
        adapter.task = wanted
    return wanted


def _run(
    job: ChunkJob,
    task_folder: TaskFolder,
    footage: Footage | None,
    image_prefix: str,
    workers: int | None,
    executor: Executor | None,
    progress: Progress | None,
    journal_after: float,
) -> tuple[Tally, int]:
    """Every image through the job; returns the whole run's tally, and how many images a killed run had done."""
    tally = Tally()
    total = job.adapter.count_images() if footage is None else footage.count_frames()
    if footage is not None:
        tally.add(footage.findings)
    resumed = done = 0
    stems = array("q")  # 8 bytes an image, to find those that would share a file

    digests: deque[str] = deque()  # of the chunks under way, which come back in order
    begun = time.monotonic()

    def chunks() -> Iterator[list[Image]]:
        nonlocal resumed, done
        images = _named_images(job.adapter, footage, image_prefix, stems, tally)
        while chunk := list(islice(images, CHUNK)):
            long = task_folder.finished or time.monotonic() - begun > journal_after
            digest = chunk_digest(chunk) if long else ""
            if known := task_folder.finished.get(digest):
                earlier = Tally.from_json(known)
                tally.merge(earlier)
                resumed += earlier.images
                done += len(chunk)
            else:
                digests.append(digest)
                yield chunk

    for chunk, result in _results(job, chunks(), workers, executor):
        if digest := digests.popleft():
            task_folder.note(digest, result.to_json())
        tally.merge(result)
        done += len(chunk)
        if progress:
            progress(done, total, "images" if footage is None else "frames")
    tally.add(job.adapter.findings)
    _leave_out_collisions(job, footage, image_prefix, stems, tally)
    return tally, resumed


def _named_images(
    adapter: Adapter, footage: Footage | None, prefix: str, stems: array[int], tally: Tally
) -> Iterator[Image]:
    """The adapter's images, or all frames of videos, under the names that the datasource knows them by."""
    images = adapter.get_images()
    for image in images if footage is None else footage.frames_of(images, tally.add):
        try:
            name = image_name(image.file_name, prefix)
        except ExportError as error:
            tally.add([Finding("error", error.code, image.file_name, error.message)])
            continue
        stem = prediction_path(name)
        if stem == SCHEMA:
            text = f"its prediction file would be the task's {SCHEMA}; rename the image"
            tally.add([Finding("error", "name-collision", name, text)])
            continue
        stems.append(hash(stem))
        yield image if name == image.file_name else image._replace(file_name=name)


def _leave_out_collisions(job: ChunkJob, footage: Footage | None, prefix: str, stems: array[int], tally: Tally) -> None:
    """Images that differ only in extension, or have one name, share a prediction file: none of them has one."""
    hashes = np.sort(np.frombuffer(stems, np.int64))
    if not (twice := set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())):
        return
    found = job.adapter.findings
    job.adapter.findings = []  # the second walk over the images finds them again
    sharing: dict[str, list[Image]] = {}
    for image in _named_images(job.adapter, footage, prefix, array("q"), Tally()):
        path = prediction_path(image.file_name)
        if hash(path) in twice:
            sharing.setdefault(path, []).append(image)
    job.adapter.findings = found
    for path, images in sharing.items():
        if len(images) > 1:
            names = ", ".join(image.file_name for image in images[:3])
            text = f"{len(images)} images ({names}) would share the prediction file {path}; rename them"
            tally.add([Finding("error", "name-collision", images[0].file_name, text, len(images))])
            tally.take_back(job(images))
            Path(job.folder, path).unlink(missing_ok=True)


def _results(
    job: ChunkJob, chunks: Iterator[list[Image]], workers: int | None, executor: Executor | None
) -> Iterator[tuple[list[Image], Tally]]:
    """The result of every chunk, in order, from this process, from worker processes or from an executor."""
    if executor is not None:
        yield from _from_executor(job, chunks, executor, 64)
        return
    if workers is None:
        workers = os.cpu_count() or 1
        begun = time.monotonic()
        for chunk in chunks:
            yield chunk, job(chunk)
            if workers > 1 and time.monotonic() - begun > POOL_AFTER:
                break
        else:
            return
    if workers == 1:
        for chunk in chunks:
            yield chunk, job(chunk)
        return
    from labelferry.run.workers import worker_pool

    with worker_pool(workers, type(job.adapter).__module__) as pool:
        yield from _from_executor(job, chunks, pool, 4 * workers)


def _from_executor(
    job: ChunkJob, chunks: Iterator[list[Image]], executor: Executor, ahead: int
) -> Iterator[tuple[list[Image], Tally]]:
    """The chunks' results in order, with at most `ahead` chunks under way, so that memory stays flat."""
    waiting: deque[tuple[list[Image], Future[Tally]]] = deque()
    for chunk in chunks:
        waiting.append((chunk, executor.submit(job, chunk)))
        if len(waiting) >= ahead:
            oldest, future = waiting.popleft()
            yield oldest, future.result()
    for oldest, future in waiting:
        yield oldest, future.result()


def _defect(error: Exception) -> str:
    """An unforeseen error in one line, with the place in the code where it arose."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (at {Path(frame.filename).name}:{frame.lineno}, a defect of the adapter)"
