"""Which picture labels were drawn on, where an image or video is stored mirrored or turned, and the labels for its
pixels as stored.

The parent looks at the headers of images (`Survey`), and says of each image how that is decided; whoever reads labels
decides it (`for_stored_pixels`). docs/orientation.md has the rules.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import numpy as np

from labelferry.columns import UNKNOWN, Batch
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.lightly.names import image_name
from labelferry.lightly.turning import turned_back
from labelferry.model import UNLABELLED, Image, Listed, Picture
from labelferry.plugin.export import Export
from labelferry.reading.headers import Header, read_header
from labelferry.reading.input import InputDatasource
from labelferry.run_lengths import Floats
from labelferry.task_type import TaskType

Orientation = Literal["auto", "stored", "upright"]
DrawnOn = Literal["stored", "upright", ""]

SAMPLE = 64
"""Images whose sizes tell what the labels of all are for, before any is converted; at the end all of them have to."""

SLOW = 1e-4
"""Seconds for a header from which on several are read at once: the images are far away."""

THREADS = 16

EDGE = 1.0
"""Pixels that a label may reach over the edge of its picture and still not contradict that it was drawn on it."""

ANSWERS = "say --orientation stored or --orientation upright"


class Survey:
    """Looks at the headers of images before their labels are read, and says which picture those are for.

    Args:
        export: whose images they are.
        option: `--orientation`.
        input: the input datasource, where it is known.
        prefix: `--image-prefix`.
        relist: lists the export's images once more, or the frames of videos.
        has_videos: whether the images are frames of videos.
        has_pattern: whether frames of videos are extracted images, named by `--frames`.

    Attributes:
        unchecked: images whose header cannot be read.
    """

    def __init__(
        self,
        export: Export,
        option: Orientation,
        input: InputDatasource | None,
        prefix: str,
        relist: Callable[[], Iterable[Listed]],
        has_videos: bool,
        has_pattern: bool,
    ) -> None:
        self.unchecked = 0
        self._export = export
        self._option = option
        self._input = input
        self._prefix = prefix
        self._relist = relist
        self._has_videos = has_videos
        self._has_pattern = has_pattern
        self._is_slow = False
        self._verdict: DrawnOn | None = None
        self._is_relied_on = False

    def look_at(self, images: list[Image]) -> list[Image]:
        """The images with what their headers say of their pixels.

        Raises:
            AmbiguousError: nothing tells which picture the labels of an image are for.
            UsageError: `--orientation upright` is said of images that cannot be read.
        """
        if self._export.task is TaskType.CLASSIFICATION or self._export.drawn_on == "stored":
            return images
        if self._input is None and not any(image.path or image.picture for image in images):
            self.unchecked += 0 if self._has_videos else len(images)
            if self._option != "upright":
                return images
        return [self._looked_at(image, header) for image, header in zip(images, self._headers(images), strict=True)]

    def judge(self, evidence: Counter[str]) -> Iterator[Finding]:
        """What all labels together say: a repair of each video that is turned.

        Raises:
            AmbiguousError: images whose size does not decide were decided by others, which are now known to differ.
        """
        other = "stored" if self._verdict == "upright" else "upright"
        if self._is_relied_on and evidence[f"drawn-on:{other}"]:
            raise AmbiguousError(
                f"by their sizes, the labels of {evidence['drawn-on:upright']:,} images are for the upright pictures, "
                f"and those of {evidence['drawn-on:stored']:,} for the pixels as stored; the sizes of others do not "
                f"tell; {ANSWERS}"
            )
        for name in evidence:
            key, _, video = name.partition(":")
            if key == "turned-video":
                text = (
                    "its frames are stored turned, and the labels are for the upright ones: turned back, to the pixels "
                )
                yield Finding.repair(
                    "orientation", video, text + "as stored; --orientation stored leaves them as they are"
                )

    def _headers(self, images: Sequence[Image]) -> list[Header | None]:
        """The headers of images, None where there is none; those of frames are their video's."""
        begun = time.monotonic()
        if self._is_slow:
            with ThreadPoolExecutor(THREADS) as pool:
                return list(pool.map(self._header, images))
        headers = list(map(self._header, images))
        self._is_slow = time.monotonic() - begun > SLOW * len(images) > 0
        return headers

    def _header(self, image: Image) -> Header | None:
        if image.picture is not None:
            return Header(image.picture.size, image.picture.orientation)
        path = image.path
        if self._input is not None and image.file_name in self._input.names:
            path = f"{self._input.root}/{image.file_name}"
        try:
            return read_header(path) if path else None
        except (ExportError, OSError):
            return None  # an adapter that needs the image reports it; else its labels are taken as they are

    def _looked_at(self, image: Image, header: Header | None) -> Image:
        if header is None and self._has_videos:  # of a video that is not there: its labels are read to count them
            return image
        if header is None:
            self.unchecked += 1
            if self._option == "upright":
                text = f"--orientation upright: the image {image.file_name} is not found, so it is not known how it is "
                raise UsageError(text + "turned; name the folder of the images with --input")
            return image
        if header.orientation == 1 or image.source is UNLABELLED:
            return image if image.picture else image._replace(size=header.size, picture=Picture(header.size))
        video = image.picture.video if image.picture else ""
        picture = Picture(header.size, header.orientation, video=video)
        picture = picture._replace(drawn_on="stored") if self._option == "stored" else self._of_turned(image, picture)
        size = picture.upright_size if picture.drawn_on == "upright" else picture.size
        return image._replace(size=size, picture=picture)

    def _of_turned(self, image: Image, picture: Picture) -> Picture:
        """How it is decided which picture the labels of an image are for that is stored turned."""
        if picture.video:
            picture = self._of_video(picture)
        if self._option == "upright" or self._export.drawn_on == "upright":
            return picture._replace(drawn_on="upright")
        if self._export.drawn_on == "unknown":
            text = f"{_is_turned(image, picture)}, and the format does not tell for which picture its labels are"
            raise AmbiguousError(f"{text}; {ANSWERS}")
        if self._verdict is None:
            self._verdict = self._find_verdict()
        if _is_decided_by_size(picture):
            return picture._replace(drawn_on="")
        if not self._verdict:
            raise _undecided(image, picture)
        self._is_relied_on = True
        return picture._replace(drawn_on=self._verdict)

    def _of_video(self, picture: Picture) -> Picture:
        """The picture with the orientation in which the labels' program saw the video."""
        from labelferry.video.display_matrix import ANGLE_UNKNOWN, opencv_orientation

        if picture.orientation == ANGLE_UNKNOWN:
            text = "the display matrix turns its frames by another angle than a multiple of 90 degrees, which cannot be"
            raise AmbiguousError(f"{text} turned back; say --orientation stored", where=picture.video)
        in_opencv = opencv_orientation(picture.orientation)
        if self._option == "upright" or picture.orientation == in_opencv:
            return picture
        if self._export.drawn_on == "upright" and not self._has_pattern:  # Ultralytics reads videos with OpenCV
            return picture._replace(orientation=in_opencv)
        text = "its frames are to be mirrored, which some programs do and others do not; say --orientation stored, or "
        raise AmbiguousError(f"{text}--orientation upright for labels on mirrored frames", where=picture.video)

    def _find_verdict(self) -> DrawnOn:
        """The picture that the labels of all images are for whose size decides, of a sample of them; empty if they
        differ, or if there is none.

        Raises:
            AmbiguousError: it is empty, and there are images whose size does not decide.
        """
        sample: list[Image] = []
        undecided: tuple[Image, Picture] | None = None
        for image in self._relist():
            if not isinstance(image, Image) or image.source is UNLABELLED:
                continue
            try:
                image = image._replace(file_name=image_name(image.file_name, self._prefix))
            except ExportError:
                continue
            header = self._header(image)
            if header is None or header.orientation == 1:
                continue
            picture = Picture(header.size, header.orientation, "", image.picture.video if image.picture else "")
            if _is_decided_by_size(picture):
                sample.append(image._replace(size=header.size, picture=picture))
                if len(sample) == SAMPLE:
                    break
            elif undecided is None:
                undecided = image, picture
        evidence = sum((self._evidence(image) for image in sample), Counter[str]())
        found = [drawn_on for drawn_on in ("stored", "upright") if evidence[f"drawn-on:{drawn_on}"]]
        if len(found) == 1:
            return "stored" if found[0] == "stored" else "upright"
        if undecided is not None:
            raise _undecided(*undecided)
        return ""

    def _evidence(self, image: Image) -> Counter[str]:
        """What the labels of an image are for, as its size decides it."""

        def read(images: list[Image]) -> Iterator[Batch]:
            return self._export.read(images, self._export.payload(images))

        try:
            (batch,) = read([image])
            return for_stored_pixels(batch, [image], read).evidence
        except AmbiguousError:
            raise
        except Exception:  # of whatever kind: it is reported where the image is converted
            return Counter()


def _is_decided_by_size(picture: Picture) -> bool:
    """Whether the upright picture has another size than the pixels as stored."""
    return picture.upright_size != picture.size


def _is_turned(image: Image, picture: Picture) -> str:
    if picture.video:
        return f"the video {picture.video} is stored turned (as the EXIF orientation {picture.orientation})"
    return f"{image.file_name} is stored turned (EXIF orientation {picture.orientation})"


def _undecided(image: Image, picture: Picture) -> AmbiguousError:
    text = "nothing tells whether the labels are for the upright picture or for the pixels as stored"
    return AmbiguousError(f"{_is_turned(image, picture)}, and {text}; {ANSWERS}")


def for_stored_pixels(batch: Batch, images: Sequence[Image], read: Callable[[list[Image]], Iterable[Batch]]) -> Batch:
    """The batch with labels for the pixels as stored, and the sizes of these.

    Labels for a picture of another size are errors. Of images whose size has decided, `evidence` counts what for.

    Args:
        batch: as read.
        images: that it is of.
        read: reads the labels of some of the images once more.

    Raises:
        AmbiguousError: a label contradicts what the size decides, or there is no size.
    """
    pictures = [image.picture for image in images]
    if not any(pictures):
        return batch
    stored = np.array([picture.size if picture else UNKNOWN for picture in pictures], np.int64)
    is_known = (batch.sizes != UNKNOWN).any(axis=1) & (stored != UNKNOWN).any(axis=1)
    fits = ~is_known | (batch.sizes == stored).all(axis=1)
    turned = [b for b, picture in enumerate(pictures) if picture is not None and picture.orientation != 1]
    if not turned and is_known.all() and fits.all():
        return batch
    orientations = np.ones(len(images), np.int64)
    sizes = np.where((stored == UNKNOWN).all(axis=1)[:, None], batch.sizes, stored)
    evidence: Counter[str] = Counter()
    looks_stored = []
    ends = _ends(batch) if turned else np.zeros((0, 2))
    for b in turned:
        picture, given = pictures[b], tuple(batch.sizes[b].tolist())
        assert picture is not None
        drawn_on = picture.drawn_on
        if not drawn_on:
            if given == UNKNOWN and batch.counts[b]:
                raise _undecided(images[b], picture)
            drawn_on = "upright" if given == picture.upright_size else "stored"
            if given == picture.size:
                looks_stored.append(b)
            elif drawn_on == "upright":
                evidence["drawn-on:upright"] += 1
                _refute(batch, ends, b, images[b], picture.upright_size, picture.size)
        if drawn_on == "upright":
            fits[b] = given in (UNKNOWN, picture.size, picture.upright_size)
            orientations[b] = picture.orientation
            sizes[b] = picture.upright_size
    if looks_stored:
        _check_stored([images[b] for b in looks_stored], read)
        for b in looks_stored:
            picture = pictures[b]
            assert picture is not None
            _refute(batch, ends, b, images[b], picture.size, picture.upright_size)
        evidence["drawn-on:stored"] += len(looks_stored)
    findings = list(batch.findings)
    wrong = ~fits & (batch.counts > 0)
    findings += [_wrong_size(batch, b, images[b]) for b in np.flatnonzero(wrong & ~batch.refused).tolist()]
    for b in np.flatnonzero((orientations != 1) & ~wrong & (batch.counts > 0) & ~batch.refused).tolist():
        picture = pictures[b]
        assert picture is not None
        if picture.video:
            evidence[f"turned-video:{picture.video}"] += 1
            continue
        text = f"the labels are for the upright picture (EXIF orientation {picture.orientation}): turned back, to the "
        text += "pixels as stored; --orientation stored leaves them as they are"
        findings.append(Finding("repair", "orientation", batch.names[b], text, image=b))
    kept = batch.take(~wrong[batch.owners]) if wrong.any() else batch
    done = replace(
        kept, sizes=sizes, refused=kept.refused | wrong, findings=findings, evidence=batch.evidence + evidence
    )
    return turned_back(done, orientations) if (orientations != 1).any() else done


def _check_stored(images: list[Image], read: Callable[[list[Image]], Iterable[Batch]]) -> None:
    """Read the labels of images, which seem to be for the pixels as stored, as if they were for the upright pictures.

    Raises:
        AmbiguousError: then they seem to be for those: their size is not the export's, or a mask reaches beyond it.
    """
    asked = []
    for image in images:
        assert image.picture is not None
        upright = image.picture._replace(drawn_on="upright")
        asked.append(image._replace(size=upright.upright_size, picture=upright))
    at = 0
    for batch in read(asked):
        ends = _ends(batch)
        for b in range(len(batch.names)):
            image = asked[at + b]
            picture = image.picture
            assert picture is not None
            if tuple(batch.sizes[b].tolist()) == picture.upright_size:
                raise _undecided(image, picture)
            _refute(batch, ends, b, image, picture.size, picture.upright_size)
        at += len(batch.names)


def _refute(batch: Batch, ends: Floats, b: int, image: Image, size: tuple[int, int], other: tuple[int, int]) -> None:
    """See whether a label of image b contradicts that it was drawn on a picture of this size.

    Raises:
        AmbiguousError: it reaches beyond it, and does not reach beyond the other size.
    """
    low, high = batch.bounds[b : b + 2].tolist()
    own = ends[low:high]
    with np.errstate(invalid="ignore"):
        beyond = (own > np.array(size) + EDGE).any(axis=1) & (own <= np.array(other) + EDGE).all(axis=1)
    if not beyond.any():
        return
    row = int(batch.rows[low + int(beyond.argmax())])
    where = batch.locate(row) if batch.locate is not None else image.file_name
    assert image.picture is not None
    raise AmbiguousError(
        f"{_is_turned(image, image.picture)}; the size that the export gives, {size[0]} x {size[1]}, is that of its "
        f"{'pixels as stored' if size == image.picture.size else 'upright picture'}, but this label reaches beyond it, "
        f"as if it was for {other[0]} x {other[1]}; {ANSWERS}",
        where=where,
    )


def _ends(batch: Batch) -> Floats:
    """(N, 2) how far each object reaches to the right and downwards, in pixels."""
    ends = np.zeros((len(batch), 2))
    with np.errstate(invalid="ignore", over="ignore"):
        if batch.boxes is not None:
            ends = np.fmax(ends, batch.boxes[:, :2] + batch.boxes[:, 2:])
        if batch.keypoints is not None:
            points = batch.keypoints.labelled().boxes()
            ends = np.fmax(ends, points[:, :2] + points[:, 2:])
    if batch.masks is not None:
        masks = batch.masks.boxes()
        ends = np.fmax(ends, masks[:, :2] + masks[:, 2:])
    return ends


def _wrong_size(batch: Batch, b: int, image: Image) -> Finding:
    """The error of labels for a picture of another size."""
    picture = image.picture
    assert picture is not None
    (own_width, own_height), (width, height) = batch.sizes[b].tolist(), picture.size
    text = f"the labels are for {own_width} x {own_height} pixels, the {'video' if picture.video else 'image'} has "
    text += f"{width} x {height}"
    if picture.orientation != 1:
        of_upright = " x ".join(map(str, picture.upright_size))
        text += f" as stored, and {of_upright} upright" if _is_decided_by_size(picture) else ", upright too"
    code = "frame-size" if picture.video else "image-size"
    return Finding("error", code, batch.names[b], text, 1, int(batch.counts[b]), b)
