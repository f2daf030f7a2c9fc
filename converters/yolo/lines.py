"""The lines of label files as numbers: a class, and what is relative to the image's width and height.

`parse_lines` reads any file and reports what is wrong with it; `parse_boxes` reads files of nothing but boxes, many at
once. For such files both give the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from labelferry.findings import Finding
from labelferry.run_lengths import Bools, Floats, Int64, offsets_of

LOWEST, HIGHEST = -1.0, 2.0
"""Coordinates beyond these are not normalised but in pixels; up to them, conform clips a shape to the image."""

MAX_CLASS = 10**15
"""Class ids are below this: every one of them is exact as a float64."""

Row = list[float]

_NEWLINE, _SPACE, _TAB = b"\n \t"
_COMMAS = bytes.maketrans(b"\n \t", b",,,")
_NEGATIVE_ZERO = re.compile(rb"(?<![eE])-0(?!\.)")
_WEIGHTS = (1.0, 0.7390851332151607, *(math.sqrt(prime) for prime in (2, 3, 5, 7, 11)))
_NUMBERS = msgspec.json.Decoder(list[float])


class Lines(NamedTuple):
    """The lines of one label file.

    Attributes:
        path: of the file.
        rows: the numbers of each line that is sound.
        places: the numbers of these lines, from 1.
        findings: what is wrong with the other lines; each loses its object.
    """

    path: str
    rows: list[Row]
    places: list[int]
    findings: list[Finding]

    @property
    def locate(self) -> Callable[[int], str]:
        """Tells where a row stands; without the rows themselves, which need not stay in memory for it."""
        path, places = self.path, self.places
        return lambda index: f"{path}:{places[index]}"


class BoxLines(NamedTuple):
    """The lines of B label files together, a line a box.

    Attributes:
        is_plain: (B,) bool, whether all lines of a file are sound and boxes. Those of other files are left out.
        bounds: (B + 1,) the lines of file b are those from bounds[b] to bounds[b + 1], in order and without a gap.
        class_ids: (N,) int64.
        boxes: (N, 4) float64, centre x and y, width, height, relative to the image's size.
        scores: (N,) float64; None where lines have no confidence.
    """

    is_plain: Bools
    bounds: Int64
    class_ids: Int64
    boxes: Floats
    scores: Floats | None


def count_lines(content: bytes) -> int:
    """Lines with something in them, each of which stands for an object."""
    lines = content.splitlines()
    return len(lines) - lines.count(b"") - sum(map(bytes.isspace, lines))


def parse_lines(content: bytes, path: str) -> Lines:
    """The numbers of every line of a label file.

    Args:
        content: as `read_label_file` gives it.
        path: for messages.
    """
    has_underscores = b"_" in content  # which Python allows in numbers
    rows: list[Row] = []
    places: list[int] = []
    findings: list[Finding] = []
    for place, line in enumerate(map(bytes.split, content.splitlines()), 1):
        try:
            row = list(map(float, line))
        except ValueError:
            row = []
        if has_underscores and any(b"_" in word for word in line):
            row = []
        if len(row) > 4 and row[0].is_integer() and abs(row[0]) < MAX_CLASS:
            rows.append(row)
            places.append(place)
        elif line:
            if len(row) < 5:
                shown = b" ".join(line)[:60].decode("utf-8", "replace")
                text = f"class and at least 4 numbers were expected, found {shown!r}"
            else:
                text = f"the class {line[0].decode()!r} is not a whole number of at most 15 digits"
            findings.append(Finding.error("broken-line", f"{path}:{place}", text, lost=1))
    return Lines(path, rows, places, findings)


def parse_boxes(contents: Sequence[bytes], confidence: bool, track_id: bool) -> BoxLines:
    """The lines of files that hold nothing but sound boxes, a line each: "class cx cy width height", then a confidence
    and a track id where the export has them, one space or tab between numbers, no empty line.

    All numbers of all files are decoded as one JSON array, whose commas are the spaces, tabs and ends of lines.

    Args:
        contents: as `read_label_file` gives them.
        confidence: whether lines have a confidence.
        track_id: whether lines have a track id, which is left out.
    """
    texts = [content + b"\n" if content and content[-1] != _NEWLINE else content for content in contents]
    is_plain = np.ones(len(texts), np.bool_)
    numbers = _decode(b"".join(texts))
    if numbers is None:  # which files are at fault?
        alone = [_decode(text) for text in texts]
        is_plain = np.array([one is not None for one in alone])
        texts = [b"" if one is None else text for one, text in zip(alone, texts, strict=True)]
        numbers = list(chain.from_iterable(one for one in alone if one is not None))
    codes = np.frombuffer(b"".join(texts), np.uint8)
    separators = np.flatnonzero((codes == _SPACE) | (codes == _NEWLINE) | (codes == _TAB))  # one after each number
    ends = np.flatnonzero(codes[separators] == _NEWLINE)
    bounds = np.searchsorted(separators[ends], offsets_of([len(text) for text in texts]))
    counts = np.diff(ends, prepend=-1)
    firsts = ends + 1 - counts
    values = np.fromiter(numbers, np.float64, len(numbers))

    width = 5 + confidence + track_id
    is_sound = counts == width
    rows = values[firsts[is_sound][:, None] + np.arange(width)]
    classes, boxes, lasts = rows[:, 0], rows[:, 1:5], rows[:, -1]
    is_sound_row = (classes == np.floor(classes)) & (np.abs(classes) < MAX_CLASS)
    is_sound_row &= ((boxes <= HIGHEST) & (boxes >= LOWEST)).all(axis=1)
    if confidence:
        is_sound_row &= ~(rows[:, 5] > 1)
    if track_id:
        is_sound_row &= (lasts == np.floor(lasts)) & (lasts >= 0)
    is_sound[is_sound] = is_sound_row
    if not is_sound.all():
        owners = np.repeat(np.arange(len(texts)), np.diff(bounds))
        is_plain[owners[~is_sound]] = False
        is_kept = is_plain[owners]
        bounds = offsets_of(np.bincount(owners[is_kept], minlength=len(texts)))
        rows = rows[is_kept[counts == width]]
    return BoxLines(is_plain, bounds, rows[:, 0].astype(np.int64), rows[:, 1:5], rows[:, 5] if confidence else None)


def repeated(lines: BoxLines, owners: Int64) -> Int64:
    """The lines that are equal to an earlier one of their file.

    Args:
        lines: of B label files.
        owners: (N,) the file of each line.
    """
    columns = [owners, lines.class_ids, *lines.boxes.T, *(() if lines.scores is None else (lines.scores,))]
    # equal lines have equal sums, and follow each other if lines are sorted by these
    sums = sum(column * weight for column, weight in zip(columns, _WEIGHTS, strict=False))
    order = np.argsort(sums, kind="stable")
    is_equal = sums[order[1:]] == sums[order[:-1]]
    for column in columns if is_equal.any() else ():
        is_equal &= column[order[1:]] == column[order[:-1]]
    return np.sort(order[1:][is_equal])


def _decode(text: bytes) -> list[float] | None:
    """The numbers of lines; None unless each is written as JSON allows, and is followed by one space, tab or end of a
    line ("\\r\\n" counts as one). A negative zero without decimals would lose its sign."""
    if b"," in text or text.count(b"\r") != text.count(b"\r\n") or (b"-0" in text and _NEGATIVE_ZERO.search(text)):
        return None
    try:
        numbers = _NUMBERS.decode(b"[%b]" % text[:-1].translate(_COMMAS))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return None if text and not numbers else numbers
