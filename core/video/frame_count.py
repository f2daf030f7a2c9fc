"""How many frames PyAV decodes of a video, without decoding it where its packets prove the number.

A packet is one frame unless something makes it more or less: fields, hidden frames, frames whose references are
missing, edit lists, damage. Where packets are whole pictures of their own (MP4 and WebM with H.264, H.265, VP8, VP9 or
AV1), the first bytes of each tell whether any of that is so; if not, the packets are counted. All else is decoded:
docs/videos.md lists what decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import av
from av.error import FFmpegError

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.video.packets import CHECKS, Unproven

_WHOLE_PICTURES = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers that store exactly one access unit a packet."""


class FrameCount(NamedTuple):
    """What a full decode of a video gives.

    Attributes:
        frames: how many frames.
        width: of each, in pixels.
        height: of each, in pixels.
        broken: why decoding stopped before the end, if it did.
    """

    frames: int
    width: int
    height: int
    broken: str = ""

    def findings(self, path: str | Path) -> list[Finding]:
        """What the user must be told of it."""
        text = f"it breaks off ({self.broken}); the {self.frames:,} frames that PyAV decodes are taken"
        return [Finding("repair", "video-truncated", str(path), text)] if self.broken else []


def count_frames(path: str | Path) -> FrameCount:
    """How many frames PyAV decodes of the first video stream, as `container.decode(video=0)` gives them.

    Raises:
        ExportError: it is no video, or none of its frames can be decoded.
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
    return av.open(str(path), metadata_errors="replace")  # titles need not be Unicode


def _video_stream(container: Any) -> Any:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise ExportError(f"no video in it, only {kinds}", where=container.name, code="video-broken")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise ExportError("PyAV has no decoder for it", where=container.name, code="video-broken")
    return stream


def _count_packets(container: Any) -> FrameCount:
    stream = _video_stream(container)
    codec = stream.codec_context
    make_check = CHECKS.get(codec.name)
    if make_check is None or container.format.name not in _WHOLE_PICTURES:
        raise Unproven
    frames = 0
    try:
        check = make_check(codec.extradata or b"")
        for packet in container.demux(stream):
            if packet.size == 0 and packet.dts is None:  # the end
                continue
            if packet.is_corrupt or packet.is_discard or packet.pts is None or _has_own_description(packet):
                raise Unproven
            check(memoryview(packet), packet.pts)
            frames += 1
    except (IndexError, FFmpegError):  # cut short, or not what it says it is
        raise Unproven from None
    if not frames or stream.frames not in (0, frames) or min(codec.width, codec.height) < 1:
        raise Unproven
    return FrameCount(frames, codec.width, codec.height)


def _has_own_description(packet: Any) -> bool:
    """Whether parameter sets other than the stream's begin here; an older PyAV does not tell."""
    return hasattr(packet, "has_sidedata") and packet.has_sidedata("new_extradata")


def _count_decoded(path: str | Path, threads: str = "AUTO") -> FrameCount:
    """By decoding with threads across frames; once more with PyAV's own settings, which lose other frames of what is
    damaged, unless each packet gave its frame."""
    frames, broken, size = 0, "", (0, 0)
    with _open(path) as container:
        stream = _video_stream(container)
        own_threads, stream.thread_type = stream.thread_type, threads
        is_cut, packets = False, 0
        try:
            for packet in container.demux(stream):
                is_cut = is_cut or packet.is_corrupt
                packets += packet.size > 0 and not packet.is_discard
                for frame in packet.decode():
                    frames += 1
                    size = frame.width, frame.height
        except FFmpegError as error:
            broken = error.strerror or type(error).__name__
    if threads == "AUTO" and (broken or is_cut or frames != packets):
        return _count_decoded(path, str(own_threads.name))
    if not frames:
        raise ExportError(
            f"no frame of it can be decoded: {broken or 'it is empty'}", where=str(path), code="video-broken"
        )
    return FrameCount(frames, *size, broken or ("a packet is cut short" if is_cut else ""))
