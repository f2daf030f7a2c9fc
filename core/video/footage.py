"""Frames of videos: their names, how many there are, and which labels belong to which.

Names: https://docs.lightly.ai/docs/prediction-format (videos), and `VideoDataset` in the PyPI package `lightly`.
"""

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
from labelferry.model import UNLABELLED, Image, Listed, Refused, VideoFrame
from labelferry.reading.images import VIDEO_EXTENSIONS, find_files
from labelferry.video.frame_count import FrameCount, count_frames


class Video(NamedTuple):
    """A video of a datasource.

    Attributes:
        name: path relative to the input datasource's root, with forward slashes.
        frames: how many frames PyAV decodes of it.
        size: (width, height) of a frame in pixels.
    """

    name: str
    frames: int
    size: tuple[int, int]


def frame_name(video: str, index: int, frames: int) -> str:
    """What Lightly calls a frame: `subdir/video_1.mp4`, 99 of 200, is `subdir/video_1-099-mp4.png`.

    Args:
        video: path of the video relative to the input datasource's root.
        index: the frame's, from 0.
        frames: how many the video has.
    """
    stem, _, extension = video.rpartition(".")
    return f"{stem}-{index:0{len(str(frames))}}-{extension}.png"


def frame_pattern(text: str) -> re.Pattern[str]:
    """How names of images name frames: `{video}_{frame}`, or a regular expression with groups of these names.

    Raises:
        UsageError: it does not name both.
    """
    if "(?P<" not in text:
        parts = re.split(r"(\{video\}|\{frame\})", text)
        groups = {"{video}": "(?P<video>.+)", "{frame}": r"(?P<frame>\d+)"}
        text = "".join(groups.get(part) or re.escape(part) for part in parts)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--frames {text!r} is no regular expression: {error}") from None
    if not {"video", "frame"} <= pattern.groupindex.keys():
        raise UsageError(
            "--frames names the video and the frame: '{video}_{frame}', or a regular expression with the groups "
            f"(?P<video>...) and (?P<frame>...); found {text!r}"
        )
    return pattern


class Footage:
    """The videos of a datasource, and the images that stand for their frames.

    Args:
        path: folder of the videos, which names are relative to, or a single video.
        pattern: how the names of images, without their extension, name frames; None if the export itself names them.
        first_frame: number that the export gives the first frame.
        frame_step: how many frames there are from one number to the next.
        progress: is told how many videos have been counted, of how many.

    Attributes:
        videos: all that can be read, in the order of their names.
        findings: what is wrong with the others.

    Raises:
        UsageError: there are none.
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
                    self.findings.append(Finding("error", count.code, count.where, count.message))
                    continue
                self.findings += count.findings(f"{folder}/{name}")
                self.videos.append(Video(name, count.frames, (count.width, count.height)))
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
        """Frames of all videos, which is how many files there will be."""
        return sum(video.frames for video in self.videos)

    def frames_of(self, images: Iterable[Listed]) -> Iterator[Listed]:
        """The frames that images stand for, then all other frames, without labels.

        Args:
            images: as an export lists them.
        """
        videos = {video.name: video for video in self.videos}
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
                text = f"frame {frame.number} of {name} has labels already; two labels for one frame"
                yield Refused(image._replace(size=video.size), Finding.error("frame-twice", image.file_name, text))
            else:
                labelled[name][index] = 1
                yield Image(frame_name(name, index, video.frames), image.source, frame, video.size, image.files)
        for name, video in videos.items():
            has_labels = labelled[name]
            index = has_labels.find(0)
            while index >= 0:
                yield Image(frame_name(name, index, video.frames), UNLABELLED, None, video.size)
                index = has_labels.find(0, index + 1)

    def _frame_of(self, image: Image) -> VideoFrame | Finding:
        if self._pattern is None:
            if image.frame is not None:
                return image.frame
            text = "the labels do not say which frame of which video this is; say with --frames how its name does"
            return Finding("error", "frame-unnamed", image.file_name, text)
        stem = os.path.splitext(image.file_name)[0].replace("\\", "/")
        match = self._pattern.fullmatch(stem)
        if match is None:
            text = f"the name, without extension, does not match --frames {self._pattern.pattern!r}"
            return Finding("error", "frame-unnamed", image.file_name, text)
        try:
            return VideoFrame(match["video"], int(match["frame"]))
        except (TypeError, ValueError):
            text = f"--frames {self._pattern.pattern!r} finds {match['frame']!r} in it, which is no number"
            return Finding("error", "frame-unnamed", image.file_name, text)

    def _find(self, wanted: str) -> str | Finding:
        """The video that labels call so: by its path, or by the end of it, with or without extension; of several, that
        which shares most of the path."""
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
            text = f"there is no video {wanted!r} in {self._folder}"
            return Finding("error", "video-missing", "", text)
        if len(candidates) > 1 and candidates[0][:3] == candidates[1][:3]:
            names = ", ".join(sorted(name for *rank, name in candidates if tuple(rank) == candidates[0][:3])[:3])
            return Finding("error", "video-ambiguous", "", f"the video {wanted!r} may be any of {names}")
        return candidates[0][-1]

    def _beyond(self, image: Image, frame: VideoFrame, index: int, video: Video) -> Finding:
        text = f"frame {frame.number} of {video.name}"
        if self._frame_step > 1:
            text += f", with --frame-step {self._frame_step} its frame {index} from 0"
        text += f": the video has {video.frames} frames"
        if index < 0:
            text += f", and the first is number {self._first_frame}"
            text += "; is --first-frame 0 meant?" if frame.number == 0 else ""
        elif index == video.frames and self._first_frame == 0:
            text += ", and the first is number 0; is --first-frame 1 meant?"
        return Finding("error", "frame-beyond-video", image.file_name, text)


def _composed(name: str) -> str:
    """A name as most systems write it: macOS stores an ä as an a and two dots."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _try_count(path: str) -> FrameCount | ExportError:
    try:
        return count_frames(path)
    except ExportError as error:
        return error
