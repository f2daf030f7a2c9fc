"""The videos of a datasource, and which labels belong to which of their frames."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import UNLABELLED, Image, Listed, Picture, Refused, VideoFrame
from labelferry.reading.images import OTHER_VIDEO_EXTENSIONS, VIDEO_EXTENSIONS, find_files
from labelferry.video.frame_count import FrameCount, count_frames
from labelferry.video.names import check_video_name, frame_name, frame_of_name


class Video(NamedTuple):
    """A video of a datasource.

    Attributes:
        name: path relative to the input datasource's root, with forward slashes.
        counted: its frames as PyAV decodes them.
    """

    name: str
    counted: FrameCount

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.counted.frames

    def pictures(self) -> Callable[[int], Picture]:
        """Gives the pixels of a frame by its index; frames of one size have one object, which travels once."""
        by_size: dict[tuple[int, int], Picture] = {}

        def picture(index: int) -> Picture:
            size = self.counted.size_of(index)
            if size not in by_size:
                by_size[size] = Picture(size, self.counted.orientation, video=self.name)
            return by_size[size]

        return picture


class _Place(NamedTuple):
    """The frame that an image stands for.

    Attributes:
        frame: the video as labels name it, and the number of the frame as they count.
        digits: of Lightly's own name, which counts from 0; empty where the export counts.
    """

    frame: VideoFrame
    digits: str = ""


class Footage:
    """The videos of a datasource, and the images of an export that are frames of them.

    Args:
        path: folder of the videos, to which their names are relative, or a single video.
        pattern: matches the names of images without their extension, as `frame_pattern` makes it; None if the export
            itself names video and frame.
        first_frame: number that the export gives the first frame.
        frame_step: number of frames from one frame number of the export to the next.
        progress: called with (videos counted, number of videos, "videos").

    Attributes:
        videos: all that can be read, in the order of their names.
        findings: errors and repairs of videos.

    Raises:
        UsageError: there is no video.
    """

    def __init__(
        self,
        path: Path,
        pattern: re.Pattern[str] | None,
        first_frame: int,
        frame_step: int,
        progress: Callable[[int, int | None, str], None] | None = None,
    ) -> None:
        folder, found = path, []
        if path.is_dir():
            found = list(find_files(path, VIDEO_EXTENSIONS | OTHER_VIDEO_EXTENSIONS))
        elif path.exists():
            folder, found = path.parent, [path.name]
        names = []
        self.findings: list[Finding] = []
        for name in found:
            try:
                check_video_name(name)
            except ExportError as error:
                self.findings.append(Finding.error(error.code, f"{folder}/{name}", error.message))
            else:
                names.append(name)
        if not names:
            first = f"; {self.findings[0].where}: {self.findings[0].message}" if self.findings else ""
            raise UsageError(f"--videos: no video ({', '.join(sorted(VIDEO_EXTENSIONS))}) in {path}{first}")
        self.videos: list[Video] = []
        with ThreadPoolExecutor(min(len(names), os.cpu_count() or 1)) as pool:
            counts = pool.map(_try_count, (f"{folder}/{name}" for name in names))
            for done, (name, count) in enumerate(zip(names, counts, strict=True), 1):
                if progress:
                    progress(done, len(names), "videos")
                if isinstance(count, ExportError):
                    self.findings.append(Finding.error(count.code, count.where, count.message))
                    continue
                self.findings += count.findings(f"{folder}/{name}")
                self.videos.append(Video(name, count))
        self._pattern = pattern
        self._first_frame = first_frame
        self._frame_step = frame_step
        self._folder = folder
        self._by_base: dict[str, list[str]] = {}
        for name in names:
            base = _composed(name.rpartition("/")[2])
            for key in {base, os.path.splitext(base)[0]}:
                self._by_base.setdefault(key, []).append(name)

    def count_frames(self) -> int:
        """Number of frames of all videos, which is the number of prediction files."""
        return sum(video.frames for video in self.videos)

    def frames_of(self, images: Iterable[Listed]) -> Iterator[Listed]:
        """The frames of images, then all other frames, without labels.

        Args:
            images: as an export lists them.
        """
        videos = {video.name: video for video in self.videos}
        pictures = {video.name: video.pictures() for video in self.videos}
        labelled = {name: bytearray(video.frames) for name, video in videos.items()}
        found: dict[str, str | Finding] = {}
        are_counted: set[str] = set()  # videos of which frames are numbered by whoever extracted them
        for image in images:
            if not isinstance(image, Image):
                yield image
                continue
            place = self._place_of(image)
            if isinstance(place, Finding):
                yield Refused(image, place)
                continue
            frame = place.frame
            name = found.get(frame.video)
            if name is None:
                name = found[frame.video] = self._find(frame.video)
            if isinstance(name, Finding):
                yield Refused(image, replace(name, where=image.file_name))
                continue
            if name not in videos:
                text = f"the video {name}, whose frame this is, cannot be read"
                yield Refused(image, Finding.error("frame-without-video", image.file_name, text))
                continue
            video = videos[name]
            index = frame.number if place.digits else (frame.number - self._first_frame) * self._frame_step
            if not 0 <= index < video.frames or len(place.digits) not in (0, len(str(video.frames))):
                yield Refused(image, self._beyond(image, place, index, video))
                continue
            file_name, picture = frame_name(name, index, video.frames), pictures[name](index)
            if labelled[name][index]:
                text = f"frame {frame.number} of {name} already has labels"
                yield Refused(image._replace(size=picture.size), Finding.error("frame-twice", image.file_name, text))
                continue
            is_counted = self._pattern is not None and not file_name.endswith(f"{_stem(image)}.png")
            if video.counted.is_uneven and is_counted and name not in are_counted:
                are_counted.add(name)
                text = (
                    "its frames are not evenly spaced: images that FFmpeg extracts by default are numbered otherwise, "
                    "as it repeats and leaves out frames; extract with PyAV, or with ffmpeg -fps_mode passthrough"
                )
                yield Finding.warning("frames-uneven", f"{self._folder}/{name}", text)
            labelled[name][index] = 1
            yield image._replace(file_name=file_name, frame=frame, size=picture.size, picture=picture)
        for name, video in videos.items():
            has_labels = labelled[name]
            index = has_labels.find(0)
            while index >= 0:
                picture = pictures[name](index)
                yield Image(frame_name(name, index, video.frames), UNLABELLED, None, picture.size, picture=picture)
                index = has_labels.find(0, index + 1)

    def _place_of(self, image: Image) -> _Place | Finding:
        if self._pattern is None:
            if image.frame is not None:
                return _Place(image.frame)
            if named := frame_of_name(image.file_name) or frame_of_name(_stem(image)):
                return _Place(VideoFrame(named[0], int(named[1])), named[1])
            text = "the labels do not name the video and the frame of this image; describe its name with --frames"
            return Finding.error("frame-unnamed", image.file_name, text)
        match = self._pattern.fullmatch(_stem(image))
        if match is None:
            text = f"the name, without extension, does not match --frames {self._pattern.pattern!r}"
            return Finding.error("frame-unnamed", image.file_name, text)
        try:
            return _Place(VideoFrame(match["video"], int(match["frame"])))
        except (TypeError, ValueError):
            text = f"the frame that --frames {self._pattern.pattern!r} finds in it is not a number: {match['frame']!r}"
            return Finding.error("frame-unnamed", image.file_name, text)

    def _find(self, wanted: str) -> str | Finding:
        """The video that labels name by its path or the end of its path, with or without extension. If several match,
        the one that shares most of the path."""
        wanted = _composed(wanted.replace("\\", "/").removeprefix("./"))
        base = wanted.rpartition("/")[2]
        candidates = []
        for name in self._by_base.get(base, ()):
            path = _composed(name)
            known = path if base == path.rpartition("/")[2] else os.path.splitext(path)[0]
            if f"/{known}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{known}"):
                candidates.append((known == wanted, min(len(known), len(wanted)), known == path, name))
        candidates.sort(reverse=True)
        if not candidates:
            return Finding.error("video-missing", "", f"there is no video {wanted!r} in {self._folder}")
        if len(candidates) > 1 and candidates[0][:3] == candidates[1][:3]:
            names = ", ".join(sorted(name for *rank, name in candidates if tuple(rank) == candidates[0][:3])[:3])
            return Finding.error("video-ambiguous", "", f"the name {wanted!r} matches several videos: {names}")
        return candidates[0][-1]

    def _beyond(self, image: Image, place: _Place, index: int, video: Video) -> Finding:
        frame = place.frame
        if place.digits:
            text = f"the video {video.name} has {video.frames} frames, so this is not Lightly's name of one of them"
            return Finding.error("frame-beyond-video", image.file_name, text)
        text = f"frame {frame.number} of {video.name}"
        if self._frame_step > 1:
            text += f" (index {index} with --frame-step {self._frame_step})"
        text += f": the video has {video.frames} frames"
        if index < 0:
            text += f", and the first is number {self._first_frame}"
            text += "; is --first-frame 0 meant?" if frame.number == 0 else ""
        elif index == video.frames and self._first_frame == 0:
            text += ", and the first is number 0; is --first-frame 1 meant?"
        return Finding.error("frame-beyond-video", image.file_name, text)


def _stem(image: Image) -> str:
    """The name of an image without extension."""
    return os.path.splitext(image.file_name)[0].replace("\\", "/")


def _composed(name: str) -> str:
    """A name in Unicode's composed form: macOS stores ä as two characters."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _try_count(path: str) -> FrameCount | ExportError:
    try:
        return count_frames(path)
    except ExportError as error:
        return error
