"""The lines of a label file as numbers: a class and what is relative to the image's width and height."""

from __future__ import annotations

import os

from labelferry.findings import Finding

FAR_OUTSIDE = 2.0
"""A coordinate beyond this is not normalised but in pixels; up to it, conform clips it to the image."""

Row = list[float]


def read_rows(path: str, track_ids: bool) -> tuple[list[Row], list[int], list[Finding]]:
    """The numbers of every line of a label file, the lines' own numbers, and what is no line of numbers."""
    file = os.open(path, os.O_RDONLY)
    try:
        content = os.read(file, 1 << 20)
        while more := os.read(file, 1 << 24):
            content += more
    finally:
        os.close(file)
    if content[:3] == b"\xef\xbb\xbf":
        content = content[3:]
    split = [line.split() for line in content.splitlines()]
    if track_ids:  # the last number, which a frame that has lost its tracks has not
        split = [line[:-1] if len(line) > 5 and line[-1].isdigit() else line for line in split]
    try:
        rows = [[float(value) for value in line] for line in split if line]
        lines = [number for number, line in enumerate(split, 1) if line]
        for row in rows:
            if len(row) < 5 or not row[0].is_integer() or max(row[1:]) > FAR_OUTSIDE:
                break
        else:
            return rows, lines, []
    except ValueError:
        pass
    rows, lines, findings = [], [], []
    for number, line in enumerate(split, 1):
        if not line:
            continue
        try:
            row = [float(value) for value in line]
        except ValueError:
            row = []
        if len(row) < 5:
            shown = b" ".join(line)[:60].decode("utf-8", "replace")
            text, code = f"class and at least 4 numbers were expected, found {shown!r}", "broken-line"
        elif not row[0].is_integer():
            text, code = f"the class {line[0].decode()!r} is not a whole number", "broken-line"
        elif max(row[1:]) > FAR_OUTSIDE:
            text = f"the coordinate {max(row[1:]):g} is not relative to the image's size; is it in pixels?"
            if max(row[1:-1]) <= FAR_OUTSIDE and row[-1].is_integer():
                text = f"the last number, {row[-1]:g}, is no confidence; if it is a track id, add --track-ids"
            code = "not-normalised"
        else:
            rows.append(row)
            lines.append(number)
            continue
        findings.append(Finding.error(code, f"{path}:{number}", text))
    return rows, lines, findings
