"""An export, opened for one task type: its categories, its images, and their labels in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

from labelferry.columns import Batch
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image, Listed
from labelferry.reading.input import InputDatasource
from labelferry.reading.keys import judge_keys
from labelferry.run_lengths import Masks
from labelferry.task_type import TaskType, obtainable

BOXES = 512
MASKS = 32
"""Images a chunk: of boxes and points, and of masks."""

WEIGHT = 1 << 17
"""Run lengths of a batch: what is concatenated and encoded at once stays in the processor's cache."""

RUNS = 32
"""Most batches that a chunk is cut into because some of its images cannot be read together: a batch costs about as much
as reading five images one by one."""


class Request(NamedTuple):
    """What an export is opened for.

    Attributes:
        task: the task type to make of it; None: the richest that it holds.
        frames: whether the images wanted are frames of videos. Files of images need not exist then.
        input: the images or videos that Lightly reads, where they are known.
    """

    task: TaskType | None = None
    frames: bool = False
    input: InputDatasource | None = None


class Export(ABC):
    """An export opened for one task type.

    It is pickled to workers, where `read` is called: what only the parent needs stays out of `__getstate__`.

    Args:
        request: what it is opened for.
        tasks: the task types that this export holds, richest first; those that follow from them need not be named.
        categories: the export's categories, in a stable order.
        files: paths of the files that the labels of every image depend on.

    Attributes:
        task: the task type to make.
        source_task: the task type among `tasks` that it is made of: what `read` must give the columns of.
        has_sizes: whether the labels come with the sizes of their images; if not, boxes are not cut at the edges.
        first_frame: number that the format gives the first frame of a video, in `Image.frame`.
        drawn_on: which picture of an image that is stored turned the labels are for: `stored` or `upright`, if that is
            the format's rule; `size`, the one whose size the export gives; `unknown`, the sizes are not the export's.
        root: the folder that the names of images are relative to, where that is known.
        label_folders: folders in which label files were looked for, where each image has one of its own.
        chunk: images that a worker takes at once, and that are read again after a kill.

    Raises:
        UsageError: the export does not hold the task type.
    """

    has_sizes: bool = True
    first_frame: int = 0
    drawn_on: Literal["stored", "upright", "size", "unknown"] = "size"
    root: str = ""
    label_folders: tuple[str, ...] = ()

    def __init__(
        self,
        request: Request,
        tasks: Sequence[TaskType],
        categories: Sequence[Category],
        files: Sequence[str] = (),
    ) -> None:
        self.tasks = tuple(tasks)
        self.task, self.source_task = choose_task(self.tasks, request.task)
        self.categories = list(categories)
        self.files = tuple(files)
        self.chunk = MASKS if self.source_task in _WITH_MASKS else BOXES

    @abstractmethod
    def images(self) -> Iterator[Listed]:
        """One light, picklable `Image` for each prediction file, in a stable order, and what is met on the way.

        It runs in the parent while workers read, and may be called again. A finding stands before the image that
        follows it.
        """

    def count_images(self) -> int | None:
        """How many images there are, where that is known without listing them; None: not known.

        Those are counted that `images` yields, and those that are lost or merged by a finding that it yields.
        """
        return None

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        """What all labels together say, before the task is published; called in the parent.

        Args:
            evidence: the sums of `Batch.evidence` of all images.

        Raises:
            AmbiguousError: the export can be read in two ways.
            ExportError: parts of it contradict each other.
        """
        yield from judge_keys(evidence, self.files[0] if len(self.files) == 1 else "")

    def payload(self, images: Sequence[Image]) -> Any:
        """What a worker needs to read these images beside what they carry; picklable. Called in the parent."""
        return None

    def read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        """The labels of images, in batches, in their order; runs in a worker.

        Args:
            images: some of those that the payload is of.
            payload: as `payload` gives it.
        """
        return in_batches(images, map(self._labels_or_error, images))

    def _labels_or_error(self, image: Image) -> Annotations | Finding:
        try:
            return self.labels(image)
        except AmbiguousError:
            raise
        except ExportError as error:
            return Finding.error(error.code, error.where or image.file_name, error.message, lost=error.lost)

    def read_others(self, images: Sequence[Image], batch: Batch, are_read: Sequence[bool]) -> Iterator[Batch]:
        """The labels of images of which only some could be read together; the others are read one by one.

        Args:
            images: in order.
            batch: of all of them, with the objects of those that are read.
            are_read: whether an image is.
        """
        runs = [(is_read, list(places)) for is_read, places in groupby(range(len(images)), are_read.__getitem__)]
        if len(runs) > RUNS:
            yield from Export.read(self, images, None)
            return
        evidence = batch.evidence
        for is_read, places in runs:
            low, high = places[0], places[-1] + 1
            if is_read:
                part = batch if len(runs) == 1 else batch.part(low, high)
                part.evidence, evidence = evidence, Counter()
                yield part
            else:
                yield from Export.read(self, images[low:high], None)

    def labels(self, image: Image) -> Annotations:
        """The labels of one image; what `read` calls unless it is overridden.

        Raises:
            ExportError: they cannot be read.
        """
        raise NotImplementedError


_WITH_MASKS = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)


def in_batches(images: Sequence[Image], labels: Iterable[Annotations | Finding]) -> Iterator[Batch]:
    """The labels of images, read one by one, in batches of some WEIGHT run lengths.

    Args:
        images: in their order.
        labels: of each; of an image that cannot be read, the error.
    """
    names = [image.file_name for image in images]
    begin, weight = 0, 0
    read: list[Annotations | Finding] = []
    for b, one in enumerate(labels):
        if weight > WEIGHT:
            yield from Batch.of(names[begin:b], read)
            begin, weight, read = b, 0, []
        read.append(one)
        if isinstance(one, Annotations) and one.masks is not None:
            masks = one.masks
            weight += len(masks.counts) if isinstance(masks, Masks) else sum(len(mask.counts) for mask in masks)
    yield from Batch.of(names[begin:], read)


def choose_task(held: Sequence[TaskType], wanted: TaskType | None) -> tuple[TaskType, TaskType]:
    """The task type to make of an export that holds these, and the one of them that it is made of.

    Raises:
        UsageError: the wanted one cannot be made of it.
    """
    sources = obtainable(held)
    if wanted is None:
        wanted = next(iter(sources))
    elif wanted not in sources:
        raise UsageError(f"the export holds no {wanted}; it holds {', '.join(sources)}")
    return wanted, sources[wanted]
