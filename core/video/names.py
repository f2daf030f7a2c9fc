"""Names of frames: those that Lightly gives them, and those of images that were extracted from videos.

Lightly's names: https://docs.lightly.ai/docs/prediction-format (videos), `VideoDataset` in the PyPI package `lightly`.
"""

from __future__ import annotations

import os
import re

from labelferry.errors import ExportError, UsageError
from labelferry.reading.images import VIDEO_EXTENSIONS

_FRAME = re.compile(r"(.+)-(\d{1,18})-(\w+)")


def frame_name(video: str, index: int, frames: int) -> str:
    """The name that Lightly gives a frame: `subdir/video_1-099-mp4.png` for frame 99 of 200 of `subdir/video_1.mp4`.

    Args:
        video: path of the video relative to the root of the input datasource.
        index: index of the frame, from 0.
        frames: number of frames of the video.
    """
    stem, _, extension = video.rpartition(".")
    return f"{stem}-{index:0{len(str(frames))}}-{extension}.png"


def frame_of_name(stem: str) -> tuple[str, str] | None:
    """The video and the digits of the index of a frame, by Lightly's name without `.png`; None for other names."""
    match = _FRAME.fullmatch(stem)
    if match is None or f".{match[3].lower()}" not in VIDEO_EXTENSIONS:
        return None
    return f"{match[1]}.{match[3]}", match[2]


def check_video_name(name: str) -> None:
    """Whether Lightly reads a file of this name as a video.

    Raises:
        ExportError: it does not.
    """
    extension = os.path.splitext(name)[1]
    if extension.lower() not in VIDEO_EXTENSIONS:
        allowed = ", ".join(sorted(VIDEO_EXTENSIONS))
        text = f"Lightly does not read {extension or 'files without an extension'} as a video, only {allowed}"
        raise ExportError(f"{text}; convert it, as with ffmpeg -i IN -c copy OUT.mp4", where=name, code="video-format")


def frame_pattern(text: str) -> re.Pattern[str]:
    """The regular expression for names of images that name a video and a frame, with the groups `video` and `frame`.

    Args:
        text: plain text with `{video}` and `{frame}`, or a regular expression with groups of these names.

    Raises:
        UsageError: the text does not name both, or is not a valid regular expression.
    """
    if "(?P<" not in text:
        parts = re.split(r"(\{video\}|\{frame\})", text)
        groups = {"{video}": "(?P<video>.+)", "{frame}": r"(?P<frame>\d+)"}
        text = "".join(groups.get(part) or re.escape(part) for part in parts)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--frames {text!r} is not a valid regular expression: {error}") from None
    if not {"video", "frame"} <= pattern.groupindex.keys():
        raise UsageError(
            "--frames names the video and the frame: '{video}_{frame}', or a regular expression with the groups "
            f"(?P<video>...) and (?P<frame>...); found {text!r}"
        )
    return pattern
