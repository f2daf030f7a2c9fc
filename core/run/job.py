"""The work on one chunk of images: read, check, encode, write. It runs in this process, in a worker, or anywhere."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.errors import AmbiguousError, ExportError, LabelferryError
from labelferry.findings import Finding
from labelferry.lightly.conform import Target, Unaccounted
from labelferry.lightly.orientation import for_stored_pixels
from labelferry.lightly.write import Prepared, in_order, prepare, write
from labelferry.model import UNLABELLED, Image
from labelferry.plugin.export import Export
from labelferry.report import Tally
from labelferry.task_type import TaskType


class Chunk(NamedTuple):
    """Images that one worker takes at once.

    Attributes:
        images: in the order of the export.
        refused: by place, why an image gets no file.
        findings: what was met when they were listed; `image` is the place of the image that follows.
        payload: what the export gives to read them.
    """

    images: list[Image]
    refused: dict[int, Finding]
    findings: list[Finding]
    payload: Any


@dataclass(frozen=True, slots=True)
class Job:
    """Converts chunks of an export.

    Attributes:
        export: opened for the task.
        target: what its labels are converted to.
        folder: of the task.
        format: name of the format, for messages.
    """

    export: Export
    target: Target
    folder: str
    format: str

    def __call__(self, chunk: Chunk) -> Tally:
        """Write the prediction files of a chunk, and count."""
        tally, findings = Tally(), list(chunk.findings)
        tally.found = sum(finding.lost for finding in findings)
        tally.found_images = sum(finding.lost_images + finding.merged_images for finding in findings)
        for start, prepared in self._prepare(chunk, chunk.images, 0):
            if isinstance(prepared, Finding):
                finding = chunk.refused.get(start, prepared)
                findings.append(replace(finding, image=start, lost=prepared.lost, lost_images=1))
                tally.found += prepared.lost
                tally.found_images += 1
                continue
            counts, found = write(prepared, self.folder)
            tally.merge(counts)
            tally.files += counts.files
            findings += [replace(one, image=start + one.image) for one in found] if start else found
        tally.add(in_order(findings))
        return tally

    def _prepare(self, chunk: Chunk, images: Sequence[Image], start: int) -> list[tuple[int, Prepared | Finding]]:
        """The batches of images from a place in the chunk on, each with the place of its first image.

        If reading or checking fails, it is done again image by image, so that only faulty images are missing.
        """
        done: list[tuple[int, Prepared | Finding]] = []
        at = start
        try:
            for batch in self._read(images, chunk.payload):
                end = at + len(batch.names)
                refused = {place - at: why for place, why in chunk.refused.items() if at <= place < end}
                done.append((at, prepare(_without(batch, refused) if refused else batch, self.target)))
                at = end
            if at != start + len(images):
                raise Unaccounted(f"{len(images)} images were to be read, {at - start} were")
        except Exception as error:
            if isinstance(error, AmbiguousError) or (
                isinstance(error, LabelferryError) and not isinstance(error, ExportError)
            ):
                raise
            if len(images) == 1:
                return [(start, self._failure(error, images[0].file_name))]
            alone = [self._prepare(chunk, [image], start + i) for i, image in enumerate(images)]
            return [one for each in alone for one in each]
        return done

    def _read(self, images: Sequence[Image], payload: Any) -> Iterator[Batch]:
        """The batches of images; frames without labels have no objects."""
        for is_labelled, group in groupby(images, lambda image: image.source is not UNLABELLED):
            some = list(group)
            if is_labelled:
                at = 0
                for batch in self.export.read(some, payload):
                    own, at = some[at : at + len(batch.names)], at + len(batch.names)
                    yield for_stored_pixels(batch, own, lambda again: self.export.read(again, payload))
            else:
                sizes = np.array([image.picture.size if image.picture else UNKNOWN for image in some], np.int64)
                batch = Batch.without_objects([image.file_name for image in some], sizes)
                if self.target.task is TaskType.CLASSIFICATION:
                    batch.refused = np.ones(len(some), np.bool_)
                    text = "the export has no class for this frame, which therefore gets no file"
                    batch.findings = [
                        Finding("note", "frame-without-class", image.file_name, text, image=b)
                        for b, image in enumerate(some)
                    ]
                yield batch

    def _failure(self, error: Exception, name: str) -> Finding:
        """The finding of an image that cannot be converted."""
        if isinstance(error, ExportError):
            return Finding.error(error.code, error.where or name, error.message, lost=error.lost)
        if isinstance(error, OSError):
            return Finding.error("unreadable", name, str(error))
        if isinstance(error, Unaccounted):
            text = f"{error} (a defect of the adapter of the format {self.format})"
            return Finding.error("unaccounted", name, text)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        text = f"{type(error).__name__}: {error} (at {place}, a defect of the adapter of the format {self.format})"
        return Finding.error("adapter-failed", name, text)


def _without(batch: Batch, refused: dict[int, Finding]) -> Batch:
    """The batch without the labels of images that get no file: what is lost is counted by the reason, whatever else was
    found when they were read."""
    is_refused = np.zeros(len(batch.names), np.bool_)
    is_refused[list(refused)] = True
    counts = batch.counts
    lost = np.where(batch.found < 0, counts, batch.found + batch.interpolated).tolist()
    findings = [finding for finding in batch.findings if finding.image not in refused]
    findings += [replace(why, image=b, lost=lost[b]) for b, why in refused.items()]
    kept = batch.take(~is_refused[batch.owners])
    return replace(kept, refused=batch.refused | is_refused, findings=findings)
