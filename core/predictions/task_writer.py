"""Writing a task from Python, image by image and frame by frame, straight from a model."""

from __future__ import annotations

import os
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import orjson

from labelferry.columns import Batch
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding, Kind
from labelferry.lightly import storage
from labelferry.lightly.categories import plan_categories
from labelferry.lightly.collisions import leave_out_collisions
from labelferry.lightly.conform import Target
from labelferry.lightly.encode import encode_schema
from labelferry.lightly.names import image_name
from labelferry.lightly.orientation import for_stored_pixels, is_decided_by_size, turned_videos, undecided
from labelferry.lightly.task_folder import TaskFolder
from labelferry.lightly.write import prepare, write
from labelferry.model import Category, Image, Picture
from labelferry.plugin.export import BOXES
from labelferry.predictions.arguments import Columns
from labelferry.predictions.classes import Classes
from labelferry.predictions.clients import path_of
from labelferry.predictions.results import Aggregate, annotations_of, size_of
from labelferry.reading.headers import read_header
from labelferry.reading.images import is_video
from labelferry.report import Report, Tally, make_report
from labelferry.task_type import TaskType

if TYPE_CHECKING:
    import av
    from typing_extensions import Unpack

Orientation = Literal["auto", "stored", "upright"]


def open_task(
    datasource: str | Path,
    name: str,
    task: TaskType | str,
    categories: Iterable[str | Category] | Mapping[str, int],
    *,
    score: float = 1.0,
    aggregate: Aggregate = "median",
    input: str | Path | None = None,
    orientation: Orientation = "auto",
    on_error: Literal["fail", "skip"] = "fail",
    overwrite: bool = False,
) -> TaskWriter:
    """A task to write predictions to, in a `with` block: published when it ends without an exception, else not at all.

        with labelferry.open_task("datasource", "yolov8_detection", "object-detection", ["person", "bicycle"]) as task:
            task.write("subdir/image.png", size=(640, 480), xyxy=boxes, scores=scores, category_ids=ids)

    Args:
        datasource: folder that holds, or is to hold, `.lightly`.
        name: the task's name.
        task: the task type, as `object-detection`.
        categories: names, whose places are the model's ids, or `Category`s, with keypoints; or the model's ids by
            name, to keep some of its classes. Predictions that have names, as Ultralytics' do, are matched by name:
            those of other classes are left out and counted.
        score: the score of objects that have none, in [0, 1].
        aggregate: how the scores of a segment's pixels become its own: their median or mean.
        input: root of the images that Lightly reads; by default the datasource. The EXIF orientations of images are
            looked up there.
        orientation: which picture the predictions are for, if an image has an EXIF orientation, or a video a rotation:
            its pixels as `stored`, or turned `upright`. `auto` decides by the size that the predictions are for; those
            of Ultralytics for the path of a video are upright, others for the frames of `VideoWriter.frames` stored.
        on_error: `fail` raises at the first prediction that cannot be used; `skip` leaves it out and counts it.
        overwrite: replace a task of this name.

    Raises:
        UsageError: an argument is wrong, or the task exists.
    """
    if not 0 <= score <= 1:
        raise UsageError(f"the score {score} is not in [0, 1]")
    if on_error not in ("fail", "skip"):
        raise UsageError(f"on_error is 'fail' or 'skip', not {on_error!r}")
    if aggregate not in get_args(Aggregate):
        raise UsageError(f"aggregate is 'median' or 'mean', not {aggregate!r}")
    if orientation not in get_args(Orientation):
        raise UsageError(f"orientation is {' or '.join(map(repr, get_args(Orientation)))}, not {orientation!r}")
    classes = Classes(categories)
    target = Target(TaskType.of(task), plan_categories(classes.categories), score)
    folder = storage.local_folder(datasource)
    root = folder if input is None else Path(input).expanduser()
    if input is not None and not root.is_dir():
        raise UsageError(f"input: {root} is not a folder")
    return TaskWriter(folder, name, target, classes, aggregate, root, orientation, on_error, overwrite)


class TaskWriter:
    """A task that is being written; `open_task` makes one.

    Other processes may write to it too, after pickling or a fork, each image from one process; they must end before the
    block ends in the process that began it.

    Attributes:
        task: the task type.
    """

    def __init__(
        self,
        datasource: Path,
        name: str,
        target: Target,
        classes: Classes,
        aggregate: Aggregate,
        root: Path,
        orientation: Orientation,
        on_error: str,
        overwrite: bool,
    ) -> None:
        self.task = target.task
        self._report: Report | None = None
        self._datasource = datasource
        self._name = name
        self._target = target
        self._classes = classes
        self._aggregate: Aggregate = aggregate
        self._root = str(root)
        self._orientation: Orientation = orientation
        self._on_error = on_error
        self._overwrite = overwrite
        self._tally = Tally()
        self._videos = 0
        self._owner = 0
        self._folder: TaskFolder | None = None
        self._files = ""

    @property
    def report(self) -> Report:
        """What was written.

        Raises:
            UsageError: the block has not ended yet, or ended with an exception.
        """
        if self._report is None:
            raise UsageError("the report is there once the block has ended, without an exception")
        return self._report

    def __enter__(self) -> TaskWriter:
        if self._owner:
            raise UsageError("a task is opened once; open_task makes another")
        self._folder = TaskFolder(self._datasource, self._name, uuid.uuid4().hex[:16], self._overwrite)
        self._files = str(self._folder.files)
        os.makedirs(self._files, exist_ok=True)
        self._owner = os.getpid()
        self._begun = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is None or os.getpid() != self._owner:  # a forked process that has left the block
            return
        with self._folder as folder:
            try:
                if kind is None:
                    self._gather()
                    leave_out_collisions(folder.files, self._tally)
                    self._tally.add(turned_videos(self._tally.evidence))
                    self._check()
                    folder.commit(encode_schema(self._target.task, self._target.plan.categories))
                    self._report = make_report(
                        "python",
                        "",
                        self._datasource,
                        self._name,
                        self._target.task,
                        self._target.plan.categories,
                        self._tally,
                        videos=self._videos,
                        unchecked_orientations=self._tally.evidence[_UNCHECKED],
                        seconds=time.monotonic() - self._begun,
                    )
            finally:
                if self._report is None:
                    folder.discard()
        self._folder = None
        self._files = ""
        if self._report is not None and (text := _summary(self._report)):
            warnings.warn(text, stacklevel=2)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_folder": None, "_tally": Tally()}

    def write(
        self,
        file_name: str | Path,
        predictions: Any = None,
        *,
        size: Any = None,
        xywh: Any = None,
        xyxy: Any = None,
        scores: Any = None,
        category_ids: Any = None,
        masks: Any = None,
        mask_threshold: float | None = None,
        keypoints: Any = None,
        probabilities: Any = None,
        class_scores: Any = None,
        label_map: Any = None,
    ) -> None:
        """Write the predictions of one image; without any, those of an image without objects.

        Args:
            file_name: path of the image relative to the input datasource's root.
            predictions: Ultralytics `Results`, supervision `Detections`, `KeyPoints` or `Classifications`, a dict of
                torchvision, what Hugging Face's `post_process_*` and pipelines return, or `labelferry.Annotations`,
                taken as they are. Or, all in the same order, arrays or tensors:
            size: (width, height) of the image in pixels.
            xywh: (N, 4) boxes: x and y of the top left corner, width, height, in pixels.
            xyxy: (N, 4) boxes: x and y of the top left and of the bottom right corner, in pixels.
            scores: (N,) in [0, 1].
            category_ids: (N,) the model's ids.
            masks: (N, H, W) or (N, 1, H, W) bools; or for each object a (H, W) array, a list of polygons `[x, y, ...]`
                in pixels, a COCO RLE, or a `RunLengthMask`.
            mask_threshold: of masks that are scores: pixels above it belong to the mask.
            keypoints: (N, K, 3) x and y in pixels and a score in [0, 1], or (N, K, 2).
            probabilities: (N, C) of the objects, or (C,) of the image for classification.
            class_scores: (C, H, W) of the pixels, for semantic segmentation: each pixel is of its best class.
            label_map: (H, W) the model's id of each pixel, for semantic segmentation.

        Raises:
            ExportError: an argument cannot be used; with `on_error="skip"` this is counted instead.
            UsageError: the block has not begun, or has ended.
        """
        columns: Columns = {
            "xywh": xywh,
            "xyxy": xyxy,
            "scores": scores,
            "category_ids": category_ids,
            "masks": masks,
            "mask_threshold": mask_threshold,
            "keypoints": keypoints,
            "probabilities": probabilities,
            "class_scores": class_scores,
            "label_map": label_map,
        }
        self._require_block()
        try:
            name = _to_name(file_name)
        except ExportError as error:
            self._count_refused(error)
        else:
            self._write(name, predictions, columns, size, self._picture_of(name, predictions))

    def video(self, path: str | Path, name: str | None = None) -> VideoWriter:
        """A video whose frames are written in a `with` block; frames that are not written become empty at its end.

        Args:
            path: the video.
            name: its path relative to the input datasource's root; by default the path as given, or what is left of it
                below the datasource's folder.

        Raises:
            ExportError: it is not a video that can be read.
            UsageError: it lies elsewhere, and no name is given.
        """
        if not isinstance(path, str | Path):
            raise UsageError(f"path: expected the path of a video, found a value of the type {type(path).__name__}")
        if name is None:
            absolute = Path(path).absolute()
            if absolute.is_relative_to(self._datasource):
                name = absolute.relative_to(self._datasource).as_posix()
            elif Path(path).is_absolute():
                raise UsageError(f"{path}: give its path relative to the input datasource's root, as name=...")
            else:
                name = Path(path).as_posix()
        return VideoWriter(self, Path(path), _to_name(name))

    def _picture_of(self, name: str, predictions: Any) -> Picture | None:
        """What the header of an image says of its pixels; None if the image is not found, or it does not matter."""
        if self.task is TaskType.CLASSIFICATION:
            return None
        paths, path = [f"{self._root}/{name}"], path_of(predictions)
        if path and os.path.basename(path) == os.path.basename(name):
            paths.append(path)
        for path in paths:
            with suppress(ExportError, OSError, ValueError):  # a path with a null byte is a ValueError
                size, orientation = read_header(path)
                drawn_on = "" if self._orientation == "auto" else self._orientation
                return Picture(size, orientation, drawn_on)
        return None

    def _write(self, name: str, predictions: Any, columns: Columns, size: Any, picture: Picture | None) -> None:
        """Write the predictions of an image or frame.

        Args:
            name: of the image or frame.
            predictions: as `write` takes them.
            columns: by name.
            size: (width, height) that the caller gives; of a frame, None.
            picture: of the pixels, if they are known.
        """
        tally = self._tally if self._is_owner() else Tally()
        try:
            if picture is None:
                tally.evidence[_UNCHECKED] += self.task is not TaskType.CLASSIFICATION
            self._save(self._batch(name, predictions, columns, size, picture), tally)
        except ExportError as error:
            self._refuse(error, name, tally)
        if tally is not self._tally:
            self._count(tally)

    def _batch(self, name: str, predictions: Any, columns: Columns, size: Any, picture: Picture | None) -> Batch:
        """The predictions of an image or frame, for its pixels as stored.

        Raises:
            ExportError: they cannot be used.
        """
        if picture is not None and size is None:
            size = picture.size
            if picture.orientation != 1 and picture.drawn_on != "stored":
                size = size_of(predictions, columns, self.task) or (picture.upright_size if picture.drawn_on else None)
        try:
            annotations = annotations_of(predictions, columns, self._classes, self.task, size, self._aggregate, name)
        except ExportError as error:
            if error.code == "image-size" and picture is not None:  # both of its sizes are possible
                raise undecided(name, picture) from None
            raise
        (batch,) = Batch.of([name], [annotations])
        if picture is None:
            return batch
        if picture.orientation != 1 and not picture.drawn_on and not is_decided_by_size(picture):
            raise undecided(name, picture)
        return for_stored_pixels(batch, [Image(name, picture=picture)])

    def _refuse(self, error: ExportError, name: str, tally: Tally) -> None:
        """Raise an error of an image, or count it with `on_error="skip"`."""
        if self._on_error == "fail" or isinstance(error, AmbiguousError):
            raise error
        tally.add([Finding.error(error.code, error.where or name, error.message, lost=error.lost, lost_images=1)])
        tally.found += error.lost
        tally.found_images += 1

    def _count_refused(self, error: ExportError) -> None:
        tally = Tally()
        self._refuse(error, error.where, tally)
        self._count(tally)

    def _require_block(self) -> None:
        if not self._files:
            raise UsageError("write within the block: with labelferry.open_task(...) as task")

    def _save(self, batch: Batch, tally: Tally) -> None:
        """Check and write a batch; with `on_error="fail"` the first error is raised before anything is written."""
        fails = self._on_error == "fail"
        prepared = prepare(batch, self._target)
        if fails:
            _raise_first_error(prepared.findings)
        counts, findings = write(prepared, self._files)
        if fails:  # the file could not be written
            _raise_first_error(findings)
        if fails and counts.collisions:
            path, name, _ = counts.collisions[0]
            text = f"its prediction file {path} is written already, for this image or one that shares the file"
            raise ExportError(text, where=name, code="name-collision")
        counts.add(findings)
        tally.merge(counts)

    def _count(self, tally: Tally, videos: int = 0) -> None:
        """Add to the counts; in another process than the one that gathers them, by a line in a file."""
        if self._is_owner():
            self._tally.merge(tally)
            self._videos += videos
            return
        with open(self._counts(), "ab", buffering=0) as file:  # one write to the end of a file is not torn apart
            file.write(orjson.dumps([tally.to_json(), videos]) + b"\n")

    def _is_owner(self) -> bool:
        """Whether this is the process that began the block, and not one that it was sent to."""
        return os.getpid() == self._owner and self._folder is not None

    def _check(self) -> None:
        """Warn of a task without images, and refuse one of which all images were left out.

        Raises:
            ExportError: all images were left out.
        """
        if self._tally.images:
            return
        text = f"no image was written to the task {self._name!r}"
        errors = [": ".join(filter(None, one)) for found in self._tally.summaries("error") for one in found.examples]
        if errors:
            raise ExportError(f"{text}; nothing was published. The first error: {errors[0]}", code="no-images")
        self._tally.add([Finding.warning("no-images", "", text)])

    def _gather(self) -> None:
        try:
            lines = self._counts().read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            counts, videos = orjson.loads(line)
            self._tally.merge(Tally.from_json(counts))
            self._videos += videos

    def _counts(self) -> Path:
        return Path(self._files).with_name("counts")


def _to_name(file_name: Any) -> str:
    """The name of an image, of a path.

    Raises:
        ExportError: it is not the path of an image below the root of the datasource.
    """
    path = os.fspath(file_name) if isinstance(file_name, str | os.PathLike) else None
    if not isinstance(path, str):
        text = f"file_name: expected the path of an image, found a value of the type {type(file_name).__name__}"
        raise ExportError(text, where=repr(file_name)[:100], code="file-name")
    return image_name(path)


def _raise_first_error(findings: Iterable[Finding]) -> None:
    for one in findings:
        if one.kind == "error":
            raise ExportError(one.message, where=one.where, code=one.code)


_SHOWN = 3
"""Examples of a code that the warning at the end of a block shows."""


def _summary(report: Report) -> str:
    """All findings of a task, for people; empty if there are none."""
    lines = []
    for found in (*report.errors, *report.warnings, *report.repairs, *report.notes):
        lines.append(f"  {found.count:,} {_TITLES[found.kind]}: {found.code}")
        lines += [f"    {': '.join(filter(None, example))}" for example in found.examples[:_SHOWN]]
    return "\n".join([f"task {report.task_name!r}: task.report has all of these", *lines]) if lines else ""


_TITLES: dict[Kind, str] = {
    "error": "left out, as they cannot be used",
    "warning": "written, but to be checked",
    "repair": "repaired",
    "note": "left out as asked",
}


class VideoWriter:
    """A video of a task that is being written; `TaskWriter.video` makes one.

    Attributes:
        name: path relative to the input datasource's root.
        frame_count: how many frames PyAV decodes of it.
        size: (width, height) of the first frame in pixels.
    """

    def __init__(self, task: TaskWriter, path: Path, name: str) -> None:
        from labelferry.video.frame_count import count_frames
        from labelferry.video.names import check_video_name

        check_video_name(name)
        self._count = count = count_frames(path)
        self.name = name
        self.frame_count = count.frames
        self.size = count.width, count.height
        self._task = task
        self._path = path
        self._written = bytearray(self.frame_count)
        self._is_open = self._gives_frames = False

    def __enter__(self) -> VideoWriter:
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        tally = Tally()
        tally.add(self._count.findings(self._path))
        unwritten = np.flatnonzero(np.frombuffer(self._written, np.uint8) == 0).tolist()
        if not unwritten:
            pass
        elif kind is not None:
            text = f"the block of the video ended with {kind.__name__}; these frames have no file: {_ranges(unwritten)}"
            tally.add([Finding.error("video-incomplete", self.name, text, len(unwritten), lost_images=len(unwritten))])
            tally.found_images += len(unwritten)
        elif self._task.task is TaskType.CLASSIFICATION:
            text = f"frames without a class have no file: {_ranges(unwritten)}"
            tally.add(
                [Finding.note("frame-without-class", self.name, text, len(unwritten), lost_images=len(unwritten))]
            )
            tally.found_images += len(unwritten)
        else:
            for at in range(0, len(unwritten), BOXES):
                indices = unwritten[at : at + BOXES]
                names = [self._name_of(index) for index in indices]
                sizes = np.array([self._count.size_of(index) for index in indices], np.int64)
                self._task._save(Batch.without_objects(names, sizes), tally)
        self._task._count(tally, videos=1)

    def frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Every frame with its index, as PyAV decodes them.

        Raises:
            ExportError: there are not as many as were counted: the file is damaged within.
        """
        import av
        from av.error import FFmpegError

        self._gives_frames = True
        index = -1
        with av.open(str(self._path)) as container:
            if not self._count.broken:
                container.streams.video[0].thread_type = "AUTO"
            try:
                for index, frame in enumerate(container.decode(video=0)):
                    if index < self.frame_count:
                        yield index, frame
            except FFmpegError as error:
                if not self._count.broken:
                    text = f"frame {index + 1} cannot be decoded: {error.strerror}"
                    raise ExportError(text, where=str(self._path), code="video-broken") from None
        if index + 1 != self.frame_count:
            text = f"{index + 1} frames were decoded, but its packets are {self.frame_count}; the file is damaged"
            raise ExportError(text, where=str(self._path), code="video-broken")

    def write(self, index: int, predictions: Any = None, **columns: Unpack[Columns]) -> None:
        """Write the predictions of one frame; as `TaskWriter.write`, which see. The size is that of the frame.

        Raises:
            ExportError: an argument cannot be used, or there is no such frame; with `on_error="skip"` this is counted
                instead.
            UsageError: the block has not begun, or has ended.
        """
        if unknown := columns.keys() - Columns.__annotations__.keys():
            raise UsageError(f"{', '.join(sorted(unknown))}: a frame takes {', '.join(Columns.__annotations__)}")
        try:
            number = self._index_of(index)
        except ExportError as error:
            self._task._count_refused(error)
            return
        if not self._is_open:
            raise UsageError("write within the block: with task.video(...) as video")
        self._task._require_block()
        picture = self._picture_of(number, predictions, columns)
        self._task._write(self._name_of(number), predictions, columns, None, picture)
        self._written[number] = 1

    def _picture_of(self, index: int, predictions: Any, columns: Columns) -> Picture:
        """The pixels of a frame, and which picture of them the predictions are for.

        Raises:
            AmbiguousError: nothing tells.
        """
        from labelferry.video.display_matrix import ANGLE_UNKNOWN, opencv_orientation

        option = self._task._orientation
        picture = Picture(self._count.size_of(index), self._count.orientation, "stored", self.name)
        if picture.orientation == 1 or option == "stored" or self._task.task is TaskType.CLASSIFICATION:
            return picture
        if picture.orientation == ANGLE_UNKNOWN:
            text = "the display matrix turns its frames by another angle than a multiple of 90 degrees, which cannot be"
            raise AmbiguousError(f"{text} turned back; say orientation='stored'", where=self.name)
        if is_video(path_of(predictions)):  # Ultralytics reads videos with OpenCV
            return picture._replace(orientation=opencv_orientation(picture.orientation), drawn_on="upright")
        if option == "upright":
            return picture._replace(drawn_on="upright")
        size = size_of(predictions, columns, self._task.task)
        if size is not None and is_decided_by_size(picture):
            is_mirrored = picture.orientation != opencv_orientation(picture.orientation)
            if size == picture.size or not is_mirrored:
                return picture._replace(drawn_on="")
        elif self._gives_frames:
            return picture
        raise undecided(self.name, picture)

    def _name_of(self, index: int) -> str:
        from labelferry.video.names import frame_name

        return frame_name(self.name, index, self.frame_count)

    def _index_of(self, index: Any) -> int:
        """The index of a frame.

        Raises:
            ExportError: it is not one of the video's.
        """
        if not isinstance(index, int | np.integer) or isinstance(index, bool) or not 0 <= index < self.frame_count:
            text = f"index: {index!r} is no frame of the video; it has {self.frame_count} frames, from 0"
            raise ExportError(text, where=self.name, code="frame-beyond-video")
        return int(index)


_UNCHECKED = "unchecked-orientation"
"""Evidence: images that are not found."""


def _ranges(indices: list[int]) -> str:
    """Ascending numbers as ranges: 0-3, 7, 9-12."""
    cuts = [0, *(i for i in range(1, len(indices)) if indices[i] != indices[i - 1] + 1), len(indices)]
    parts = [(indices[low], indices[high - 1]) for low, high in pairwise(cuts)]
    return ", ".join(f"{low}-{high}" if high > low else str(low) for low, high in parts)
