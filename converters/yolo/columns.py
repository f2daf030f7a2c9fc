"""Which numbers a line holds: decided once for an export, by a sample of its label files.

    class coordinates [confidence] [track id]

is the order in which Ultralytics' `Results.save_txt` writes them, and all lines of an export have the same columns. The
one exception: frames in which the tracker has lost all its tracks have no track ids.
https://docs.ultralytics.com/reference/engine/results/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from labelferry.converters.yolo.lines import HIGHEST, LOWEST, Lines, Row
from labelferry.errors import AmbiguousError
from labelferry.findings import Finding
from labelferry.run_lengths import Bools, Floats

_ASK = "say --track-ids or --no-track-ids"


class Columns(NamedTuple):
    """What the numbers of each line are.

    Attributes:
        keypoint_shape: number of keypoints, and whether 2 or 3 numbers each; None: lines hold no poses.
        obb: whether polygons are the four corners of oriented boxes.
        confidence: whether a confidence follows the coordinates.
        track_id: whether a track id is the last number.
        is_guess: whether the numbers alone say that it is a track id, and not the user.
        polygons: whether lines of polygons are expected beside those of boxes.
        visibility: whether the third number of a keypoint is a visibility, and not a confidence.
    """

    keypoint_shape: tuple[int, int] | None = None
    obb: bool = False
    confidence: bool = False
    track_id: bool = False
    is_guess: bool = False
    polygons: bool = True
    visibility: bool = True

    @property
    def ending(self) -> int:
        """How many numbers follow the coordinates."""
        return self.confidence + self.track_id

    @property
    def pose(self) -> int:
        """How many numbers class, box and keypoints are; 0 without keypoints."""
        return 5 + self.keypoint_shape[0] * self.keypoint_shape[1] if self.keypoint_shape else 0

    def are_coordinates(self, count: int) -> bool:
        """Whether a line of this many numbers consists of class and coordinates."""
        if self.pose:
            return count == self.pose
        return count == 5 or (count == 9 if self.obb else count >= 7 and count % 2 == 1)

    def __str__(self) -> str:
        coordinates = "box"
        if self.keypoint_shape:
            coordinates = f"box, keypoints (kpt_shape {list(self.keypoint_shape)})"
        elif self.obb:
            coordinates = "box or 4 corners"
        elif self.polygons:
            coordinates = "box or polygon"
        parts = ["class", coordinates, *["confidence"] * self.confidence, *["track id"] * self.track_id]
        return ", ".join(parts)


def decide(files: Sequence[Lines], columns: Columns, track_ids: bool | None) -> Columns:
    """The columns of an export.

    Args:
        files: a sample of its label files.
        columns: the kind of coordinates that its lines hold.
        track_ids: whether lines end with a track id, if the user says so; None: the numbers decide.

    Raises:
        AmbiguousError: they do not.
    """
    rows = [row for lines in files for row in lines.rows]
    if not rows:
        return columns._replace(track_id=bool(track_ids))
    where = next(lines.locate(0) for lines in files if lines.rows)
    counts = np.array([len(row) for row in rows])
    lasts = np.array([row[-1] for row in rows])
    fits = [np.array([columns.are_coordinates(count - ending) for count in counts.tolist()]) for ending in range(3)]
    if track_ids:
        decided = _with_track_ids(columns, fits, lasts)
    else:
        decided = _by_majority(columns, fits, counts, rows, track_ids is None, where)
    lengths = counts - decided.ending
    fit = fits[decided.ending]
    if columns.keypoint_shape:
        third = [value for i in np.flatnonzero(fit).tolist() for value in rows[i][7 : lengths[i] : 3]]
        are_visibilities = not decided.confidence and _are_visibilities(third)
        return decided._replace(visibility=are_visibilities and columns.keypoint_shape[1] == 3, polygons=False)
    return decided._replace(polygons=bool((fit & (lengths >= 7)).any()))


def _with_track_ids(columns: Columns, fits: list[Bools], lasts: Floats) -> Columns:
    """The columns where the user says that lines end with a track id: is there a confidence, too?"""
    # lines with one number more end with a track id, or, without a track id, with a confidence
    has_one = bool(fits[1].any())
    confidence = not _are_whole(lasts[fits[1]]) if has_one else bool(fits[2].any()) and _are_whole(lasts[fits[2]])
    return columns._replace(confidence=confidence, track_id=True)


def _by_majority(
    columns: Columns, fits: list[Bools], counts: Floats, rows: Sequence[Row], guess: bool, where: str
) -> Columns:
    """The columns that most lines have; lines of others are errors when they are read."""
    lasts = np.array([row[-1] for row in rows])
    is_either = fits[0] & fits[2]  # a polygon, or a shape of one point less with a confidence and a track id
    is_tracked: bool | None = False
    if guess and not (fits[0] & ~fits[2]).any() and is_either.any():
        is_tracked = _are_track_ids(lasts[is_either])
        if is_tracked is not False and counts.max() > 7 and not (lasts[is_either] > HIGHEST).any():
            before = np.array([rows[i][-2] for i in np.flatnonzero(is_either).tolist()])
            may_be_tracked = (counts[is_either] > 7).any() and (lasts[is_either] >= 1).all()
            is_tracked = None if may_be_tracked and ((before > 0) & (before <= 1)).all() else False
    numbers = [
        int((fits[0] & ~is_either).sum()) + (0 if is_tracked else int(is_either.sum())),
        int(fits[1].sum()),
        int((fits[2] & ~is_either).sum() * guess) + (int(is_either.sum()) if is_tracked else 0),
    ]
    ending = max(range(3), key=lambda n: (numbers[n], -n))
    if ending != 1 and is_tracked is None:
        raise AmbiguousError(
            f"its last two numbers are a point of a polygon, or a confidence and a track id: {_ASK}", where=where
        )
    if ending == 0:
        return columns
    if ending == 2:
        return columns._replace(confidence=True, track_id=True, is_guess=True)
    are_ids = _are_track_ids(lasts[fits[1]]) if guess else False
    if are_ids is None:
        raise AmbiguousError(f"its last number is a confidence, or a track id: {_ASK}", where=where)
    return columns._replace(confidence=not are_ids, track_id=are_ids, is_guess=are_ids)


def _are_whole(values: Floats) -> bool:
    return bool((np.isfinite(values) & (values == np.floor(values)) & (values >= 0)).all())


def _are_track_ids(values: Floats) -> bool | None:
    """Whether the last numbers of lines are track ids; None: they may be, or may be confidences or coordinates."""
    if not _are_whole(values):
        return False
    if (values > 1).any() or (values == 1).all():  # of a confidence of 1 everywhere, nothing is lost
        return True
    return None


def _are_visibilities(values: Sequence[float]) -> bool:
    """Whether the third numbers of keypoints are visibilities, and not confidences; others are then errors."""
    return 2 in values or 2 * sum(value in (0, 1) for value in values) >= len(values)


class Objects(NamedTuple):
    """The objects of one label file.

    Attributes:
        lines: those that have the export's columns: class and coordinates.
        confidences: of each line; None: lines have none.
        evidence: how many lines there are of which kind.
    """

    lines: Lines
    confidences: list[float] | None
    evidence: Counter[str]


def objects_of(lines: Lines, columns: Columns) -> Objects:
    """The lines of a label file by their columns; a line that has others is an error.

    Raises:
        AmbiguousError: a line contradicts the sample by which the columns were decided.
    """
    rows, places, confidences = [], [], []
    findings = list(lines.findings)
    evidence: Counter[str] = Counter()
    seen: set[tuple[float, ...]] = set()
    is_tracked = any(columns.are_coordinates(len(row) - columns.ending) for row in lines.rows)
    for i, row in enumerate(lines.rows):
        end = _end_of_coordinates(row, columns, is_tracked, lines.locate(i))
        problem = None if end is None else _value_problem(row, end, columns)
        if end is None or problem is not None:
            code, text = problem or _column_problem(row, columns)
            findings.append(Finding.error(code, lines.locate(i), text, lost=1))
            continue
        rows.append(row[:end])
        places.append(lines.places[i])
        known = tuple(row[: end + columns.confidence])
        if known in seen:
            findings.append(line_twice(lines.locate(i)))
        seen.add(known)
        if columns.confidence:
            confidences.append(row[end])
        evidence["lines"] += 1
        if columns.track_id and len(row) - end < columns.ending:
            evidence["untracked"] += 1
        if not columns.keypoint_shape and end >= 7:
            evidence["polygons"] += 1
            evidence["four points"] += end == 9
    return Objects(Lines(lines.path, rows, places, findings), confidences if columns.confidence else None, evidence)


def line_twice(where: str) -> Finding:
    """The finding of a line that its label file has twice."""
    return Finding.warning("line-twice", where, "the label file has this object twice: both are written")


def _end_of_coordinates(row: Row, columns: Columns, is_tracked: bool, where: str) -> int | None:
    """How many numbers of a line are its class and coordinates; None: it has other columns.

    Args:
        row: the numbers of the line.
        columns: of the export.
        is_tracked: whether any line of the file has a track id.
        where: the line.
    """
    end = len(row) - columns.ending
    is_whole = row[-1].is_integer() and row[-1] >= 0
    if columns.are_coordinates(end):
        if columns.is_guess and not is_whole:
            raise AmbiguousError(
                f"the last number, {row[-1]:g}, is no track id, but those of the first label files look like track "
                f"ids: {_ASK}",
                where=where,
            )
        if columns.track_id and not is_whole:
            return None
        if end >= 7 and not (columns.keypoint_shape or columns.obb or columns.polygons):
            _refuse_polygon(columns, where)
        return end
    if columns.track_id and not is_tracked and not is_whole and columns.are_coordinates(end + 1):
        return end + 1
    return None


def _refuse_polygon(columns: Columns, where: str) -> None:
    if columns.is_guess and columns.ending == 2:
        raise AmbiguousError(
            "a polygon, but the lines of the first label files end with a confidence and a track id, or are "
            f"triangles: {_ASK}",
            where=where,
        )
    raise AmbiguousError(
        "a polygon, but the first label files hold only boxes: say --task instance-segmentation or --task "
        "object-detection",
        where=where,
    )


def _column_problem(row: Row, columns: Columns) -> tuple[str, str]:
    text = f"{len(row)} numbers do not fit the columns of the export: {columns}"
    if columns.pose:
        text += f": {columns.pose + columns.ending} numbers"
    if not columns.track_id and row[-1].is_integer():
        text += "; if the last number is a track id, add --track-ids"
    return "broken-line", text


def _value_problem(row: Row, end: int, columns: Columns) -> tuple[str, str] | None:
    """The code and message of what is wrong with a line's values."""
    coordinates = row[1:end]
    if columns.keypoint_shape and columns.keypoint_shape[1] == 3:
        third = row[7:end:3]
        del coordinates[6::3]
        if columns.visibility and not set(third) <= {0.0, 1.0, 2.0}:
            wrong = next(value for value in third if value not in (0, 1, 2))
            return "broken-keypoints", f"the visibility of a keypoint is 0, 1 or 2 in this export, not {wrong:g}"
    for value in coordinates:
        if value > HIGHEST or value < LOWEST:
            return (
                "not-normalised",
                f"the coordinate {value:g} is not relative to the image's size; is it in pixels?",
            )
    if columns.confidence and row[end] > 1 and row[end].is_integer():
        text = f"the number after the coordinates, {row[end]:g}, is no confidence; if it is a track id, add --track-ids"
        return "score-out-of-range", text
    return None


def note_columns(columns: Columns, evidence: Counter[str], where: str, are_predictions: bool) -> Iterable[Finding]:
    """Findings of how lines were read, where the numbers alone have decided it.

    Args:
        columns: of the export.
        evidence: of all its objects.
        where: the file that describes the export.
        are_predictions: whether lines are expected to have a confidence.
    """
    lines, untracked = evidence["lines"], evidence["untracked"]
    if columns.is_guess:
        text = f"the columns of lines are {columns}: the track ids are left out (if they are none: --no-track-ids)"
        yield Finding.note("track-ids", where, text, lines - untracked)
    if untracked:
        text = "lines without a track id, in files where no line has one: their tracks were lost"
        yield Finding.note("no-track-id", where, text, untracked)
    if lines and columns.confidence != are_predictions:
        if columns.confidence:
            text = "each line has one number more than a label has, which is read as a confidence and is the score"
            yield Finding.note("confidence", where, text, lines)
        else:
            text = "the lines have no confidence: the score of each object is that of a label"
            yield Finding.note("no-confidence", where, text, lines)
    if evidence["four points"] > 1 and evidence["four points"] == evidence["polygons"] and not columns.obb:
        text = "each polygon has four points; if they are oriented boxes, add --obb"
        yield Finding.note("four-points", where, text, evidence["four points"])
