"""What adapters produce: categories, images, and the labels of one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelferry.findings import Finding
from labelferry.run_lengths import Masks, RunLengthMask


class Category(NamedTuple):
    """A class of objects, with the id that the source gives it.

    Attributes:
        id: the source's id; ids need not be contiguous.
        name: the source's name.
        keypoints: names of the keypoints, in order; empty where the category has none.
        skeleton: edges between keypoints, 1-based as in COCO.
    """

    id: int
    name: str
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


class VideoFrame(NamedTuple):
    """A frame of a video, as the export names it.

    Attributes:
        video: path or name of the video, with or without extension.
        number: the frame's number, counted as the export counts.
    """

    video: str
    number: int


class Picture(NamedTuple):
    """The pixels of an image or of a video's frames, and which picture of them the labels were drawn on.

    Attributes:
        size: (width, height) in pixels as stored.
        orientation: EXIF's, 1 to 8: how the stored pixels are mirrored and turned to be upright; 1, not at all.
        drawn_on: `stored` or `upright`; empty if the size that the export gives decides.
        video: name of the video; empty for an image.
    """

    size: tuple[int, int]
    orientation: int = 1
    drawn_on: Literal["stored", "upright", ""] = "stored"
    video: str = ""

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in pixels of the upright picture."""
        return self.size if self.orientation < 5 else (self.size[1], self.size[0])


class Image(NamedTuple):
    """One image or frame of a video, and so one prediction file. Light and picklable: it travels to a worker.

    Attributes:
        file_name: path relative to the input datasource's root, with forward slashes.
        source: what the adapter needs to read this image's labels, beside `files`.
        frame: the frame that the image is, if the export says so.
        size: (width, height) in pixels of the picture that the labels were drawn on, as far as labelferry knows it from
            the image or video itself; for exports that do not give it. Adapters leave it out.
        files: paths of every file that the image's labels are read from, and of the image itself where its size is
            read from it: if one of them changes, an interrupted run reads the labels again.
        path: of the image file, if the adapter knows it: its size and EXIF orientation are read from it, unless the
            input datasource has an image of this name.
        picture: what labelferry knows of the image's pixels. Adapters leave it out.
    """

    file_name: str
    source: Any = None
    frame: VideoFrame | None = None
    size: tuple[int, int] | None = None
    files: tuple[str, ...] = ()
    path: str = ""
    picture: Picture | None = None


class Refused(NamedTuple):
    """An image that gets no file, for a reason found when it was listed. Its labels are read to count what is lost.

    Attributes:
        image: as listed.
        finding: why; its `lost` is set when the labels are read.
    """

    image: Image
    finding: Finding


Listed = Image | Refused | Finding
"""What an export lists: an image, an image that gets no file, or something else that was met."""


class Unlabelled(Enum):
    """The source of a video's frame that the export has no labels for: no adapter is asked about it."""

    UNLABELLED = None


UNLABELLED = Unlabelled.UNLABELLED


@dataclass(slots=True, eq=False)
class Annotations:
    """The labels or predictions of one image, as columns: entry i of every column belongs to object i.

    A column that the source does not have is None. For classification the image is the one object.

    Attributes:
        category_ids: (N,) int64, the source's category ids.
        size: (width, height) of the image in pixels; needed for boxes and masks.
        boxes: (N, 4) float64, x, y, width, height in pixels; x and y of the top left corner, from the image's top
            left corner, not clipped to the image.
        scores: (N,) float64 in [0, 1].
        probabilities: (N, C) float64, one column a category in the order of the adapter's `get_categories()`.
        masks: N masks, each as large as the image.
        keypoints: N arrays (K, 3) float64 of x, y in pixels and a score in [0, 1].
        findings: what the adapter met while it read this image.
        locate: gives the place of object i in the export ("labels/a.txt:3"), for messages.
        found: how many objects the export lists for this image (lines, elements, list entries), whatever became of
            them; None: not counted.
        interpolated: how many of the objects the export does not list, but reading adds between keyframes.
        evidence: what only the whole export can judge, counted by name; `Export.judge` gets the sums.
    """

    category_ids: NDArray[np.int64]
    size: tuple[int, int] | None = None
    boxes: NDArray[np.float64] | None = None
    scores: NDArray[np.float64] | None = None
    probabilities: NDArray[np.float64] | None = None
    masks: Sequence[RunLengthMask] | Masks | None = None
    keypoints: Sequence[NDArray[np.float64]] | None = None
    findings: list[Finding] = field(default_factory=list)
    locate: Callable[[int], str] | None = None
    found: int | None = None
    interpolated: int = 0
    evidence: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.category_ids)

    def take(self, indices: Sequence[int]) -> Annotations:
        """The objects at these indices, in this order."""
        at = np.asarray(indices, np.int64)
        locate = self.locate
        return Annotations(
            self.category_ids[at],
            self.size,
            None if self.boxes is None else self.boxes[at],
            None if self.scores is None else self.scores[at],
            None if self.probabilities is None else self.probabilities[at],
            self.masks.take(at) if isinstance(self.masks, Masks) else self.masks and [self.masks[i] for i in indices],
            None if self.keypoints is None else [self.keypoints[i] for i in indices],
            self.findings,
            None if locate is None else lambda i: locate(indices[i]),
            self.found,
            self.interpolated,
            self.evidence,
        )

    @classmethod
    def empty(cls, size: tuple[int, int] | None = None, findings: Iterable[Finding] = ()) -> Annotations:
        """An image without objects."""
        found = list(findings)
        return cls(np.zeros(0, np.int64), size, findings=found, found=sum(finding.lost for finding in found))

    @classmethod
    def from_objects(cls, objects: Iterable[Object], size: tuple[int, int] | None = None) -> Annotations:
        """The columns of a list of objects; what one object has, all must have.

        Args:
            objects: the image's objects, in order.
            size: (width, height) of the image in pixels.

        Raises:
            ValueError: some objects have a value that others do not have.
        """
        rows = list(objects)

        def column(name: str) -> list[Any] | None:
            values = [getattr(row, name) for row in rows]
            missing = sum(value is None for value in values)
            if missing == len(values):
                return None
            if missing:
                raise ValueError(f"{missing} of {len(values)} objects have no {name}, the others have one")
            return values

        boxes, scores, probabilities = column("box"), column("score"), column("probabilities")
        keypoints = column("keypoints")
        return cls(
            np.array([row.category_id for row in rows], np.int64),
            size,
            None if boxes is None else np.array(boxes, np.float64).reshape(-1, 4),
            None if scores is None else np.array(scores, np.float64),
            None if probabilities is None else np.array(probabilities, np.float64),
            column("mask"),
            None if keypoints is None else [np.array(k, np.float64).reshape(-1, 3) for k in keypoints],
        )


@dataclass(slots=True, frozen=True)
class Object:
    """One labelled or predicted object, for `Annotations.from_objects`; units as in `Annotations`."""

    category_id: int
    box: ArrayLike | None = None
    score: float | None = None
    probabilities: ArrayLike | None = None
    mask: RunLengthMask | None = None
    keypoints: ArrayLike | None = None
