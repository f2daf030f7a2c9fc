"""Small videos for tests: encoded, remuxed, edited and counted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import FFmpegError

from labelferry.errors import ExportError
from labelferry.video import frame_count
from labelferry.video.frame_count import count_frames

SIZE = 64
FRAMES = 30

FORMATS = {".m4v": "mp4", ".mpg": "mpeg", ".mpeg": "mpeg"}
"""Containers of extensions, where FFmpeg does not guess the usual one."""


def decode(path: Path) -> int:
    """Frames of a full decode with PyAV's own settings, until its first exception."""
    frames = 0
    try:
        with av.open(str(path)) as container:
            if container.streams.video[0].codec_context is None:  # which crashes PyAV 17, and raises in others
                return 0
            for _ in container.decode(video=0):
                frames += 1
    except (FFmpegError, IndexError):
        pass
    return frames


def counted(path: Path) -> int:
    """The frames that `count_frames` gives; 0 if it refuses the file."""
    try:
        return count_frames(path).frames
    except ExportError:
        return 0


def is_by_packets(path: Path) -> bool:
    """Whether the packets prove the number of frames, without decoding."""
    with av.open(str(path)) as container:
        try:
            frame_count._count_packets(container)
        except (frame_count.Unproven, ExportError):
            return False
    return True


def picture(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A moving pattern with some noise, so that encoders use every kind of frame."""
    y, x = np.mgrid[:SIZE, :SIZE]
    red = (x * 3 + index * 5) % 256
    green = ((x + index) ** 2 + y**2) // 32 % 256
    noise = np.random.default_rng(index).integers(0, 24, (SIZE, SIZE))
    return np.stack((red, green, noise + y * 3), 2).astype(np.uint8)


def write_video(
    path: Path,
    codec: str,
    options: Mapping[str, str] | None = None,
    *,
    frames: int = FRAMES,
    times: Sequence[int] | None = None,
    format: str | None = None,
    mux: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    rate: int = 25,
    streams: int = 1,
    size: tuple[int, int] = (SIZE, SIZE),
) -> Path:
    """Encodes a video with PyAV; skips the test if it has no such encoder.

    Args:
        path: where to.
        codec: FFmpeg's name of the encoder.
        options: of the encoder; `bf` and `g` among them.
        frames: how many.
        times: when each is shown, in 1/1000 s; by default at a constant rate.
        format: the container; by default that of the extension.
        mux: options of the container.
        pixels: the pixel format.
        rate: frames a second.
        streams: how many video streams, all alike.
        size: width and height in pixels, at most 64 each.
    """
    try:
        av.Codec(codec, "w")
    except ValueError:
        pytest.skip(f"PyAV has no encoder {codec}")
    path.parent.mkdir(parents=True, exist_ok=True)
    format = format or FORMATS.get(path.suffix.lower())
    with av.open(str(path), "w", format=format, options=mux or {}) as container:
        made: list[Any] = [container.add_stream(codec, rate=rate) for _ in range(streams)]
        for stream in made:
            stream.width, stream.height = size
            stream.pix_fmt = pixels
            stream.options = {"threads": "1", **(options or {})}
            if times is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index)[: size[1], : size[0]].copy(), "rgb24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            for stream in made:
                container.mux(stream.encode(frame))
        for stream in made:
            container.mux(stream.encode())
    return path


def write_by_command(path: Path, codec: str, options: Mapping[str, str], *, pixels: str = "yuv420p") -> Path:
    """Encodes a video with an encoder of the `ffmpeg` command, where PyAV has none; skips the test if it is missing."""
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE}x{SIZE}", "-i", "-"]
    more = [text for name, value in options.items() for text in (f"-{name}", value)]
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg")
    frames = b"".join(picture(index).tobytes() for index in range(FRAMES))
    done = subprocess.run(
        [*command, "-c:v", codec, "-pix_fmt", pixels, *more, str(path)], input=frames, capture_output=True, check=False
    )
    if b"Unknown encoder" in done.stderr:
        pytest.skip(f"ffmpeg has no encoder {codec}")
    assert done.returncode == 0, done.stderr
    return path


def new_packet(packet: Any, content: bytes) -> Any:
    """A packet with other content, at the same time."""
    made = av.Packet(content)
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    made.duration, made.is_keyframe = packet.duration, packet.is_keyframe
    return made


def copy_packets(
    source: Path,
    path: Path,
    choose: Callable[[list[Any]], Sequence[Any]] = list,
    *,
    times: Callable[[int, int], tuple[int, int]] = lambda dts, pts: (dts, pts),
    mux: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Copies packets as they are: those that `choose` takes of all, with their times changed.

    Where the order of packets was changed, each has the decoding time of the place that it now has.
    """
    with av.open(str(source)) as given:
        stream = given.streams.video[0]
        packets = [packet for packet in given.demux(stream) if packet.size]
        decoding = [packet.dts for packet in packets]
        chosen = list(choose(packets))
        is_ordered = all((a.dts or 0) < (b.dts or 0) for a, b in pairwise(chosen))
        with av.open(str(path), "w", format=format or FORMATS.get(path.suffix.lower()), options=mux or {}) as container:
            out = container.add_stream_from_template(stream, opaque=True)
            for place, packet in enumerate(chosen):
                dts = packet.dts if is_ordered else decoding[place]
                assert dts is not None
                packet.dts, packet.pts = times(dts, dts if packet.pts is None else max(packet.pts, dts))
                packet.stream = out
                container.mux(packet)
    return path


def write_changing_video(path: Path, codec: str, sizes: Sequence[tuple[int, int]], *, frames: int = 5) -> Path:
    """Encodes a video whose frames change their size midway: those of several encoders in one stream.

    Args:
        path: where to.
        codec: FFmpeg's name of the encoder.
        sizes: (width, height) of each part.
        frames: of each part.
    """
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"lag-in-frames": "0"} if codec == "libvpx-vp9" else {"bf": "0"} if codec == "libx264" else {}
    rate, at = Fraction(1, 25), 0
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        for part, (width, height) in enumerate(sizes):
            encoder: Any = av.CodecContext.create(codec, "w") if part else stream
            encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
            if part:
                encoder.time_base, encoder.options = rate, options
            packets = []
            for _ in range(frames):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), at * 9, np.uint8), "rgb24")
                frame.pts, frame.time_base, at = at, rate, at + 1
                packets += encoder.encode(frame.reformat(format=pixels))
            for packet in [*packets, *encoder.encode(None)]:
                packet.stream, packet.time_base = stream, rate
                container.mux(packet)
    return path
