"""The number of frames that PyAV decodes from a video, without decoding where the packets prove it.

A packet is one frame, except for fields, hidden frames, missing references, edit lists and damage. Where each packet
holds one whole picture (MP4 and WebM with H.264, H.265, VP9 or AV1), the first bytes of every packet show whether there
are such exceptions. If there are none, the packets are counted; all other videos are decoded. docs/videos.md lists the
conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.video.display_matrix import display_orientation
from labelferry.video.packets import CHECKS, Unproven

_WHOLE_PICTURES = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Names of containers with exactly one access unit in a packet."""


@dataclass(frozen=True, slots=True)
class FrameCount:
    """The result of a full decode.

    Attributes:
        frames: number of frames.
        width: width of the first frame in pixels.
        height: height of the first frame in pixels.
        broken: why frames are missing; empty if the video is intact.
        orientation: how frames are to be mirrored and turned, as `display_orientation` gives it.
        sizes: where the size changes, (index of the frame, width, height) of each size, the first one included; empty
            if all frames have one size.
        is_uneven: whether the frames are not evenly spaced in time.
    """

    frames: int
    width: int
    height: int
    broken: str = ""
    orientation: int = 1
    sizes: tuple[tuple[int, int, int], ...] = ()
    is_uneven: bool = field(default=False, compare=False)

    def size_of(self, index: int) -> tuple[int, int]:
        """(width, height) of a frame in pixels."""
        width, height = self.width, self.height
        for first, other_width, other_height in self.sizes:
            if first > index:
                break
            width, height = other_width, other_height
        return width, height

    def findings(self, path: str | Path) -> list[Finding]:
        """A repair if the video is truncated or damaged."""
        text = f"truncated or damaged ({self.broken}); only the {self.frames:,} frames that PyAV decodes are used"
        return [Finding.repair("video-truncated", str(path), text)] if self.broken else []


def count_frames(path: str | Path) -> FrameCount:
    """Counts the frames of the first video stream as PyAV's `container.decode(video=0)` gives them.

    Raises:
        ExportError: the file is missing or is not a video, or no frame can be decoded.
    """
    try:
        try:
            with _open(path) as container:
                return _count_packets(container)
        except Unproven:
            return _count_decoded(path)
    except FileNotFoundError:
        raise ExportError("the video is missing", where=str(path), code="video-missing") from None
    except (FFmpegError, OSError) as error:
        raise ExportError(
            f"not a video that can be read: {error.strerror}", where=str(path), code="video-broken"
        ) from None


def _open(path: str | Path) -> Any:
    return av.open(str(path), metadata_errors="replace")  # titles may not be UTF-8


def _video_stream(container: Any) -> Any:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise ExportError(f"no video in it, only {kinds}", where=container.name, code="video-broken")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise ExportError("PyAV has no decoder for the video", where=container.name, code="video-broken")
    return stream


def _count_packets(container: Any) -> FrameCount:
    stream = _video_stream(container)
    codec = stream.codec_context
    make_check = CHECKS.get(codec.name)
    if make_check is None or container.format.name not in _WHOLE_PICTURES:
        raise Unproven
    times: list[int] = []
    first = None
    try:
        check = make_check(codec.extradata or b"")
        for packet in container.demux(stream):
            if packet.size == 0 and packet.dts is None:  # the end
                continue
            if packet.is_corrupt or packet.is_discard or packet.pts is None or _has_own_description(packet):
                raise Unproven
            check(memoryview(packet), packet.pts)
            times.append(packet.pts)
            if first is None:  # headers do not show whether it can be decoded
                first = (codec.decode(packet) + codec.decode(None))[0]
    except (IndexError, FFmpegError):  # truncated or invalid headers, or a first packet without a frame
        raise Unproven from None
    if not times or stream.frames not in (0, len(times)) or min(codec.width, codec.height) < 1:
        raise Unproven
    if first is None or (first.width, first.height) != (codec.width, codec.height) or first.pts != min(times):
        raise Unproven
    return FrameCount(
        len(times),
        codec.width,
        codec.height,
        orientation=display_orientation(first),
        is_uneven=_is_uneven(times, stream),
    )


def _is_uneven(times: Sequence[int | None], stream: Any) -> bool:
    """Whether a frame is shown more than half a frame before or after its turn at a constant rate, at which FFmpeg
    extracts images by default: it then repeats and leaves out frames."""
    rate = stream.guessed_rate
    if not rate or not stream.time_base or None in times:
        return False
    at = np.sort(np.array(times, np.float64))  # AVI has the times of decoding
    shifts = (at - at[0]) * float(rate * stream.time_base) - np.arange(len(at))
    return bool(np.abs(shifts).max() > 0.5)


def _has_own_description(packet: Any) -> bool:
    """Whether other parameter sets than the stream's begin here. Older versions of PyAV cannot tell."""
    return hasattr(packet, "has_sidedata") and packet.has_sidedata("new_extradata")


def _count_decoded(path: str | Path, threads: str = "AUTO") -> FrameCount:
    """Counts by decoding with threads across frames. Threads lose other frames of damaged videos than PyAV's own
    settings do, so the video is decoded again with those unless every packet gave one frame."""
    broken, orientation = "", 1
    times: list[int | None] = []
    sizes: list[tuple[int, int, int]] = []
    with _open(path) as container:
        stream = _video_stream(container)
        own_threads = str(stream.thread_type.name)
        if stream.codec_context.name == "vp8":  # its decoder ignores errors with threads across frames
            threads = own_threads
        stream.thread_type = threads
        is_cut, packets = False, 0
        try:
            for packet in container.demux(stream):
                is_cut = is_cut or packet.is_corrupt
                packets += packet.size > 0 and not packet.is_discard
                for frame in packet.decode():
                    if not times:
                        orientation = display_orientation(frame)
                    if not sizes or sizes[-1][1:] != (frame.width, frame.height):
                        sizes.append((len(times), frame.width, frame.height))
                    times.append(frame.pts)
        except FFmpegError as error:
            broken = error.strerror or type(error).__name__
        if threads == "AUTO" and (broken or is_cut or len(times) != packets):
            return _count_decoded(path, own_threads)
        if not times:
            text = f"its first frame cannot be decoded: {broken}" if broken else "no frame can be decoded: it is empty"
            raise ExportError(text, where=str(path), code="video-broken")
        return FrameCount(
            len(times),
            *sizes[0][1:],
            broken or ("a packet is truncated" if is_cut else ""),
            orientation,
            tuple(sizes) if len(sizes) > 1 else (),
            _is_uneven(times, stream),
        )
