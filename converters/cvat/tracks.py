"""The shapes of tracks, frame by frame: those that are listed, and those between keyframes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from labelferry.converters.cvat.document import Shape, Track
from labelferry.converters.cvat.geometry import Between
from labelferry.findings import Finding


@dataclass(slots=True)
class Frame:
    """The shapes of a frame.

    Attributes:
        shapes: in the order of the tracks.
        found: how many shapes the tracks list for the frame, counted before anything is done with them.
        interpolated: how many of `shapes` the tracks do not list.
        findings: what is wrong with the tracks in this frame.
    """

    shapes: list[Shape | Between] = field(default_factory=list)
    found: int = 0
    interpolated: int = 0
    findings: list[Finding] = field(default_factory=list)


def frames_of(tracks: Iterable[Track], path: str, frames: range | None, are_all_listed: bool) -> dict[int, Frame]:
    """The frames that tracks have shapes in, by number.

    A shape that is outside is not an object of its frame. A track stays from its last keyframe to the end of the task.

    Args:
        tracks: of one task.
        path: of the file, for messages.
        frames: of the task, if they are known. Only in those are shapes interpolated.
        are_all_listed: whether tracks list their shapes in every frame, so that nothing is interpolated.
    """
    found: dict[int, Frame] = {}
    for track in tracks:
        for number, shape in track.shapes:
            if not shape.outside:
                found.setdefault(number, Frame()).found += 1
        keys = _one_a_frame(track, path, found)
        for (number, shape), following in zip(keys, [*keys[1:], None], strict=False):
            if shape.outside:
                continue
            frame, where = found[number], f"{path}:{shape.line}"
            frame.shapes.append(shape)
            if frames is not None and number not in frames:
                frame.findings.append(Finding.warning("frame-beyond-task", where, beyond(number, frames)))
            if shape.kind == "mask":  # CVAT interpolates no masks
                continue
            if are_all_listed:
                if missing := len(_between(frames, number, following[0] if following else None)):
                    text = f"the track lists a shape in frame {number}, and none in the {missing} frames after it"
                    frame.findings.append(Finding.warning("track-gap", where, text, missing))
                continue
            if following is None:
                for between in _between(frames, number, None):
                    _add(found, between, shape)
            elif following[1].kind != shape.kind:
                text = f"the track goes from <{shape.kind}> to <{following[1].kind}>; there is nothing between them"
                frame.findings.append(Finding.error("track-mixed", where, text))
            else:
                for between in _between(frames, number, following[0]):
                    offset = (between - number) / (following[0] - number)
                    _add(found, between, Between(shape, following[1], offset))
    return found


def beyond(number: int, frames: range) -> str:
    """The message about a frame that a task does not have."""
    return f"frame {number} is not one of the task's {len(frames)} frames, from {frames.start}"


def _one_a_frame(track: Track, path: str, found: dict[int, Frame]) -> list[tuple[int, Shape]]:
    """The shapes of a track by frame; of two in one frame the first."""
    keys: list[tuple[int, Shape]] = []
    for number, shape in sorted(track.shapes, key=lambda numbered: numbered[0]):
        if keys and keys[-1][0] == number:
            text = f"the track has two shapes in frame {number}; that of line {keys[-1][1].line} is taken"
            finding = Finding.error("frame-twice", f"{path}:{shape.line}", text, lost=int(not shape.outside))
            found.setdefault(number, Frame()).findings.append(finding)
        else:
            keys.append((number, shape))
    return keys


def _between(frames: range | None, number: int, following: int | None) -> range:
    """The frames after one and before another one, or to the end."""
    if frames is None:
        return range(number + 1, number + 1 if following is None else following)
    return frames[bisect_right(frames, number) : None if following is None else bisect_left(frames, following)]


def _add(found: dict[int, Frame], number: int, shape: Shape | Between) -> None:
    """Add an interpolated shape to a frame."""
    frame = found.setdefault(number, Frame())
    frame.shapes.append(shape)
    frame.interpolated += 1
