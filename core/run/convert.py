"""One export into one task of a datasource: `convert`."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from labelferry.errors import AmbiguousError, ExportError, LabelferryError, UsageError, did_you_mean, refuse_url
from labelferry.findings import Finding
from labelferry.lightly import storage
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.collisions import leave_out_collisions
from labelferry.lightly.conform import Target
from labelferry.lightly.encode import encode_schema
from labelferry.lightly.names import image_name, prediction_path
from labelferry.lightly.task_folder import TaskFolder
from labelferry.model import Image, Listed, Refused
from labelferry.plugin.adapter import Adapter, make_adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.registry import get_adapter, short_name
from labelferry.reading.input import find_input
from labelferry.report import ConversionError, Report, Tally, make_report
from labelferry.run.checks import NameCheck, account_findings, run_findings
from labelferry.run.job import Chunk, Job
from labelferry.run.options import OPTION_NAMES, Options, shows_options
from labelferry.run.progress import ConvertProgress
from labelferry.run.survey import Survey
from labelferry.run.workers import results

if TYPE_CHECKING:
    from labelformat.model.instance_segmentation import InstanceSegmentationInput
    from labelformat.model.object_detection import ObjectDetectionInput

    from labelferry.video.footage import Footage

    LabelformatInput = ObjectDetectionInput | InstanceSegmentationInput

JOURNAL_AFTER = 1.0
"""Seconds of work that are not worth a journal: a run killed before takes as long again."""

Progress: TypeAlias = Callable[[int, "int | None", str], None]
"""Called with (done, total, unit): the total if it is known; the unit is `videos` while their frames are counted, then
`images` or `frames`."""


@shows_options
def convert(
    source: str | Path | Adapter | LabelformatInput,
    datasource: str | Path,
    *,
    executor: Executor | None = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Report:
    """Convert one export into one task of a Lightly datasource.

    Args:
        source: path of the export; or an adapter, or an input of labelformat.
        datasource: folder that holds `.lightly`, or will hold it.
        {options}
        executor: any `concurrent.futures.Executor` to use in place of `workers`.
        progress: True shows a bar; or a function, called with (done, total, unit): how many are done, how many there
            are (None if not known), and of what: `videos` while their frames are counted, then `images` or `frames`.
        options: the format's own options.

    Raises:
        ConversionError: the export has errors; nothing was published.
        ExportError: the export as a whole cannot be read.
        UsageError: the arguments are wrong.
    """
    if progress is True:
        with ConvertProgress() as display:
            return convert(source, datasource, executor=executor, progress=display, **options)
    started = time.monotonic()
    progress = progress or None
    given, options = Options.take(options)
    source_name, name, adapter = _resolve(source, given, options)
    folder = storage.local_folder(datasource)
    pattern: re.Pattern[str] | None = None
    if given.frames is not None:
        from labelferry.video.names import frame_pattern

        pattern = frame_pattern(given.frames)
    if given.videos is not None:
        refuse_url("--videos", given.videos)
        if not Path(given.videos).expanduser().exists():
            raise UsageError(f"--videos: {given.videos} does not exist")
    input = find_input(given.input, given.videos, folder)
    export = _opened(adapter, name, Request(given.task_type(), given.as_frames, input))
    classes = None if given.classes is None else tuple(given.classes)
    plan = plan_categories(export.categories, classes, given.new_names(), given.keep_category_ids)
    target = Target(export.task, plan, given.score, export.has_sizes)
    task_name = f"{short_name(name)}_{target.task}" if given.task_name is None else given.task_name
    fingerprint = _fingerprint(adapter, target, given.image_prefix, export.files)
    workers = given.workers
    if fingerprint is None and workers != 1:
        if workers is not None:
            raise UsageError("the adapter cannot be sent to worker processes: define its class at the top of a module")
        workers = 1

    with TaskFolder(folder, task_name, fingerprint or uuid.uuid4().hex[:16], given.overwrite) as task_folder:
        try:
            footage = None
            if given.videos is not None:  # counting frames takes time: not before the task is known to be free
                footage = _footage(given, pattern, export.first_frame, progress)
            job = Job(export, target, str(task_folder.files), name)
            os.makedirs(task_folder.files, exist_ok=True)
            journal_after = JOURNAL_AFTER if fingerprint else math.inf
            check = None
            if input is not None and (footage is None or given.input is not None):  # else names are of the footage
                check = NameCheck(input, given.image_prefix)
            survey = Survey(
                *(export, given.orientation, input, given.image_prefix),
                relist=lambda: footage.frames_of(export.images()) if footage else export.images(),
                has_videos=footage is not None,
                has_pattern=pattern is not None,
            )
            run = _Run(job, task_folder, footage, survey, check, given.image_prefix, progress, journal_after)
            tally = run.tally_of(results(job, run.chunks(), workers, executor))
            removed = leave_out_collisions(task_folder.files, tally)
            if check is not None:
                run.with_file -= sum(name in check.input.names for name in removed)
            of_all = list(run_findings(export, plan.categories, tally, run.listed, source_name, given.allow_empty))
            of_all += survey.judge(tally.evidence)
            of_all += () if check is None else check.findings()
            tally.add(of_all)
            unaccounted = list(account_findings(tally, None if footage else export.count_images(), name))
            tally.add(unaccounted)
            failed = (
                any(
                    one.kind == "error" for one in (*of_all, *unaccounted)
                )  # of the whole export: nothing is left if it is skipped
                or (given.on_error == "fail" and tally.count("error") > 0)
                or (given.strict and tally.count("repair", "warning") > 0)
            )
            if not failed:
                task_folder.commit(encode_schema(target.task, plan.categories))
        except LabelferryError:
            task_folder.discard()
            raise
        if failed:
            task_folder.discard()
            if not any(tally.objects.values()) and (text := _explanation(adapter, name)):
                tally.add([Finding.note("other-format", source_name, text)])

    report = make_report(
        name,
        source_name,
        folder,
        task_name,
        target.task,
        plan.categories,
        tally,
        videos=0 if footage is None else len(footage.videos),
        input=None if input is None else str(input.root),
        root=export.root,
        names_in_input=tally.images if check is None else check.found,
        input_without_file=0 if check is None else check.input.images - run.with_file,
        unchecked_orientations=survey.unchecked,
        example=run.example,
        published=not failed,
        resumed_images=run.resumed,
        strict=given.strict,
        seconds=time.monotonic() - started,
    )
    if failed:
        raise ConversionError(report)
    return report


def _resolve(
    source: str | Path | Adapter | LabelformatInput, given: Options, options: dict[str, Any]
) -> tuple[str, str, Adapter]:
    """The source's name for the report, the format's name, and the adapter with these options of its own."""
    format = given.format
    if not isinstance(source, str | os.PathLike | Adapter):
        from labelferry.converters.labelformat import Labelformat

        source = Labelformat.of(source)
        format = format or "labelformat"
    if isinstance(source, Adapter):
        if options:
            hint = did_you_mean(next(iter(options)), OPTION_NAMES)
            raise UsageError(f"{', '.join(options)}: an adapter takes its options when it is made{hint}")
        return type(source).__name__, format or type(source).__module__.rpartition(".")[2], source
    if format is None:
        raise UsageError('say which format the export has: format=..., or format="auto" to detect it')
    if format == "auto":
        from labelferry.plugin.detect import detect_one

        format, match = detect_one(source, {**options, "task": given.task})
        source, options = match.source, {**match.options, **options}
    return str(source), format, make_adapter(get_adapter(format), source, options, OPTION_NAMES)


def _opened(adapter: Adapter, format: str, request: Request) -> Export:
    """The export, opened; the error of one of another format says which that is."""
    try:
        return adapter.open(request)
    except ExportError as error:
        text = _explanation(adapter, format)
        if not text:
            raise
        message = f"{error.message}; {text}"
        if isinstance(error, AmbiguousError):
            raise AmbiguousError(message, where=error.where) from None
        raise ExportError(message, where=error.where, code=error.code, lost=error.lost) from None


def _explanation(adapter: Adapter, format: str) -> str:
    """What the export looks like if it is not of this format; empty if that is not known."""
    path = getattr(adapter, "path", None)
    if path is None or not os.path.exists(path):
        return ""
    from labelferry.plugin.detect import explain

    return explain(path, format)


def _footage(given: Options, pattern: re.Pattern[str] | None, first_frame: int, progress: Progress | None) -> Footage:
    """The videos whose frames are wanted; `first_frame` is the format's."""
    from labelferry.video.footage import Footage

    assert given.videos is not None
    first = given.first_frame
    if first is None:
        first = first_frame if pattern is None else 0
    return Footage(Path(given.videos).expanduser(), pattern, first, given.frame_step, progress)


class _Waiting(NamedTuple):
    """A chunk that is being converted, or what a killed run has counted of it.

    Attributes:
        digest: under which it is noted in the journal; empty, it is not.
        images: of the chunk.
        earlier: the counts of a killed run.
    """

    digest: str
    images: list[Image]
    earlier: Tally | None = None


@dataclass
class _Run:
    """The chunks of one run on their way: named, cut, taken over from a killed run or converted, and counted.

    Attributes:
        survey: looks at the headers of images.
        check: looks up the names of images in the input datasource, where it is known.
        resumed: images that a killed run has written.
        listed: images that the export has listed, refused ones among them.
        with_file: images of the input datasource that have a prediction file.
        example: an image's name and its prediction file, relative to the task's folder.
    """

    job: Job
    task_folder: TaskFolder
    footage: Footage | None
    survey: Survey
    check: NameCheck | None
    image_prefix: str
    progress: Progress | None
    journal_after: float
    resumed: int = 0
    listed: int = 0
    with_file: int = 0
    example: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._done = 0
        self._waiting: deque[_Waiting] = deque()

    def chunks(self) -> Iterator[Chunk]:
        """The chunks that are to be converted; those that a killed run has written are passed over."""
        export = self.job.export
        for listed, refused, findings in self._cut(self._named()):
            images = self.survey.look_at(listed)
            is_long = self.task_folder.finished or time.monotonic() - self._begun > self.journal_after
            digest = chunk_digest(images, refused) if is_long and images else ""
            if known := self.task_folder.finished.get(digest):
                earlier = Tally.from_json(known)
                if self.task_folder.restore(earlier.files):
                    self._waiting.append(_Waiting("", images, earlier))
                    continue
            self._waiting.append(_Waiting(digest, images))
            yield Chunk(images, refused, findings, export.payload(images))

    def tally_of(self, converted: Iterable[Tally]) -> Tally:
        """The whole run's tally, in the order of the chunks."""
        tally = Tally()
        if self.footage is not None:
            tally.add(self.footage.findings)
        total = self.job.export.count_images() if self.footage is None else self.footage.count_frames()
        for result in converted:
            self._take_over(tally)
            waiting = self._waiting.popleft()
            if waiting.digest:
                self.task_folder.note(waiting.digest, result.to_json())
            self._count(waiting.images, result, tally)
            self._take_over(tally)
            if self.progress:
                self.progress(self._done, total, "images" if self.footage is None else "frames")
        self._take_over(tally)
        return tally

    def _take_over(self, tally: Tally) -> None:
        """Count the chunks of a killed run that come next."""
        while self._waiting and (earlier := self._waiting[0].earlier) is not None:
            self.resumed += earlier.images
            self._count(self._waiting.popleft().images, earlier, tally)

    def _count(self, images: list[Image], result: Tally, tally: Tally) -> None:
        """Add the counts of a chunk to those of the run."""
        tally.merge(result)
        self._done += len(images)
        if self.check is None and (self.example or not result.files):
            return
        written = {path for path, _ in result.files}
        for image in images:
            name, path = image.file_name, prediction_path(image.file_name)
            if path in written:
                written.remove(path)  # the first image that shares a file has written it
                self.example = self.example or (name, path)
                self.with_file += self.check is not None and name in self.check.input.names

    def _cut(self, named: Iterable[Listed]) -> Iterator[tuple[list[Image], dict[int, Finding], list[Finding]]]:
        """Images, those of them that get no file, and findings, for each chunk."""
        images: list[Image] = []
        refused: dict[int, Finding] = {}
        findings: list[Finding] = []
        for one in named:
            if isinstance(one, Finding):
                findings.append(replace(one, image=len(images)))
                continue
            if isinstance(one, Refused):
                refused[len(images)] = one.finding
                images.append(one.image)
            else:
                images.append(one)
            if len(images) == self.job.export.chunk:
                yield images, refused, findings
                images, refused, findings = [], {}, []
        if images or findings:
            yield images, refused, findings

    def _named(self) -> Iterator[Listed]:
        """The export's images, or all frames of videos, under the names that the datasource knows them by."""
        images = self._listed(self.job.export.images())
        for image in images if self.footage is None else self.footage.frames_of(images):
            if not isinstance(image, Image):
                yield image
                continue
            try:
                name = image_name(image.file_name, self.image_prefix)
            except ExportError as error:
                yield Refused(image, Finding.error(error.code, image.file_name, error.message))
                continue
            if self.check is not None:
                self.check.look_up(name)
            yield image if name == image.file_name else image._replace(file_name=name)

    def _listed(self, images: Iterable[Listed]) -> Iterator[Listed]:
        """The same, counted."""
        for one in images:
            self.listed += one.lost_images + one.merged_images if isinstance(one, Finding) else 1
            yield one


def chunk_digest(images: list[Image], refused: dict[int, Finding]) -> str:
    """The same exactly if the images, what they carry, and every file that their labels come from are the same."""
    digest = hashlib.sha1(pickle.dumps((images, refused), 5), usedforsecurity=False)
    for image in images:
        for path in image.files:
            digest.update(file_state(path))
    return digest.hexdigest()


def file_state(path: str) -> bytes:
    """A file's time and size, which tell whether it has changed."""
    try:
        status = os.stat(path)
    except OSError:
        return b"none;"
    return b"%d,%d;" % (status.st_mtime_ns, status.st_size)


def _fingerprint(adapter: Adapter, target: Target, image_prefix: str, files: Iterable[str]) -> str | None:
    """The same for two runs exactly if the second may continue the first; None if the adapter cannot be pickled, as one
    of a class within a function: its run is not resumed."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        for part in (version("labelferry"), adapter, target, image_prefix):
            digest.update(pickle.dumps(part, 5))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    for path in files:
        digest.update(os.fsencode(path) + b":" + file_state(path))
    return digest.hexdigest()
