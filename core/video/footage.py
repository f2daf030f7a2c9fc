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
from labelferry.reading.images import VIDEO_EXTENSIONS, find_files
from labelferry.video.frame_count import FrameCount, count_frames
from labelferry.video.names import frame_name


class Video(NamedTuple):
    """A video of a datasource.

    Attributes:
        name: path relative to the input datasource's root, with forward slashes.
        frames: number of frames that PyAV decodes.
        size: (width, height) of a frame in pixels as stored.
        orientation: how its frames are to be mirrored and turned, as `display_orientation` gives it.
    """

    name: str
    frames: int
    size: tuple[int, int]
    orientation: int = 1


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
        folder, names = path, []
        if path.is_dir():
            names = list(find_files(path, VIDEO_EXTENSIONS))
        elif path.exists() and path.suffix.lower() in VIDEO_EXTENSIONS:
            folder, names = path.parent, [path.name]
        if not names:
            raise UsageError(f"--videos: no video ({', '.join(sorted(VIDEO_EXTENSIONS))}) in {path}")
        self.findings: list[Finding] = []
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
                self.videos.append(Video(name, count.frames, (count.width, count.height), count.orientation))
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
        pictures = {one.name: Picture(one.size, one.orientation, video=one.name) for one in self.videos}
        labelled = {name: bytearray(video.frames) for name, video in videos.items()}
        found: dict[str, str | Finding] = {}
        for image in images:
            if not isinstance(image, Image):
                yield image
                continue
            frame = self._frame_of(image)
            if isinstance(frame, Finding):
                yield Refused(image, frame)
                continue
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
            index = (frame.number - self._first_frame) * self._frame_step
            video = videos[name]
            if not 0 <= index < video.frames:
                yield Refused(image, self._beyond(image, frame, index, video))
            elif labelled[name][index]:
                text = f"frame {frame.number} of {name} already has labels"
                yield Refused(image._replace(size=video.size), Finding.error("frame-twice", image.file_name, text))
            else:
                labelled[name][index] = 1
                file_name, picture = frame_name(name, index, video.frames), pictures[name]
                yield image._replace(file_name=file_name, frame=frame, size=video.size, picture=picture)
        for name, video in videos.items():
            has_labels = labelled[name]
            index = has_labels.find(0)
            while index >= 0:
                file_name = frame_name(name, index, video.frames)
                yield Image(file_name, UNLABELLED, None, video.size, picture=pictures[name])
                index = has_labels.find(0, index + 1)

    def _frame_of(self, image: Image) -> VideoFrame | Finding:
        if self._pattern is None:
            if image.frame is not None:
                return image.frame
            text = "the labels do not name the video and the frame of this image; describe its name with --frames"
            return Finding.error("frame-unnamed", image.file_name, text)
        stem = os.path.splitext(image.file_name)[0].replace("\\", "/")
        match = self._pattern.fullmatch(stem)
        if match is None:
            text = f"the name, without extension, does not match --frames {self._pattern.pattern!r}"
            return Finding.error("frame-unnamed", image.file_name, text)
        try:
            return VideoFrame(match["video"], int(match["frame"]))
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

    def _beyond(self, image: Image, frame: VideoFrame, index: int, video: Video) -> Finding:
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


def _composed(name: str) -> str:
    """A name in Unicode's composed form: macOS stores ä as two characters."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _try_count(path: str) -> FrameCount | ExportError:
    try:
        return count_frames(path)
    except ExportError as error:
        return error
