"""What the headers of images say of their pixels, and how it is decided which picture their labels were drawn on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from labelferry.columns import Batch
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.lightly.names import image_name
from labelferry.lightly.orientation import (
    ANSWERS,
    for_stored_pixels,
    how_turned,
    is_decided_by_size,
    turned_videos,
)
from labelferry.model import UNLABELLED, Image, Listed, Picture
from labelferry.plugin.export import Export
from labelferry.reading.headers import Header, read_header
from labelferry.reading.input import InputDatasource
from labelferry.task_type import TaskType

Orientation = Literal["auto", "stored", "upright"]
DrawnOn = Literal["stored", "upright", ""]

SAMPLE = 64
"""Images whose sizes tell what the labels of all are for, before any is converted; at the end all of them have to."""

SLOW = 1e-4
"""Seconds for a header from which on several are read at once: the images are far away."""

THREADS = 16


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
        yield from turned_videos(evidence)

    def _headers(self, images: Sequence[Image]) -> list[Header | None]:
        """The headers of images, None where there is none; those of frames are their video's."""
        begun = time.monotonic()
        if self._is_slow:
            with ThreadPoolExecutor(THREADS) as pool:
                return list(pool.map(self._header, images))
        headers = list(map(self._header, images))
        self._is_slow = time.monotonic() - begun > SLOW * len(images)
        return headers

    def _header(self, image: Image) -> Header | None:
        if image.picture is not None:
            return Header(image.picture.size, image.picture.orientation)
        path = image.path
        if self._input is not None and image.file_name in self._input.names:
            path = f"{self._input.root}/{image.file_name}"
        try:
            return read_header(path) if path else None
        except (ExportError, OSError, ValueError):  # also of a name with a null character
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
            text = "and the format does not tell for which picture its labels are"
            raise AmbiguousError(f"{how_turned(image.file_name, picture)}, {text}; {ANSWERS}")
        if self._verdict is None:
            self._verdict = self._find_verdict()
        if is_decided_by_size(picture) or not self._verdict:
            return picture._replace(drawn_on="")
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
            AmbiguousError: it is empty, and there are labels of images whose size does not decide.
        """
        sample: list[Image] = []
        others: list[Image] = []
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
            if is_decided_by_size(picture):
                sample.append(image._replace(size=header.size, picture=picture))
                if len(sample) == SAMPLE:
                    break
            else:
                others.append(image._replace(size=header.size, picture=picture))
        evidence = sum((self._evidence(image) for image in sample), Counter[str]())
        found = [drawn_on for drawn_on in ("stored", "upright") if evidence[f"drawn-on:{drawn_on}"]]
        if len(found) == 1:
            return "stored" if found[0] == "stored" else "upright"
        for image in others:
            self._evidence(image)
        return ""

    def _evidence(self, image: Image) -> Counter[str]:
        """What the labels of an image are for, as its size decides it.

        Raises:
            AmbiguousError: its size does not decide, and it has labels; or they contradict the size.
        """

        def read(images: list[Image]) -> Iterator[Batch]:
            return self._export.read(images, self._export.payload(images))

        try:
            (batch,) = read([image])
            return for_stored_pixels(batch, [image], read).evidence
        except AmbiguousError:
            raise
        except Exception:  # of whatever kind: it is reported where the image is converted
            return Counter()
