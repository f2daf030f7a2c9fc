"""Which colour stands for which class: the files that tools write, and Pascal VOC's colour map."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labelferry.errors import ExportError
from labelferry.reading.text import read_json, read_text, read_yaml

Colour = tuple[int, int, int]

_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_LABELMAP = re.compile(r"([^:].*?)\s*:\s*(\d+\s*,\s*\d+\s*,\s*\d+|#[0-9a-fA-F]{6})\s*(?::.*)?")
"""CVAT's `name:r,g,b:parts:actions`."""

_CAMVID = re.compile(r"(\d+\s+\d+\s+\d+)\s+(?!\d+\s)(\S.*)")
"""CamVid's `r g b name`; a fourth number is no part of the name."""


VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Pascal VOC's classes, in the order of their indices from 1 (VOCdevkit, VOCinit.m)."""

VOC_BOUNDARY: Colour = (224, 224, 192)
"""The colour of Pascal VOC's boundaries, which have the index 255."""


def voc_colour(index: int) -> Colour:
    """Entry of Pascal VOC's palette: the bits of the index, distributed over red, green and blue from the highest down.

    Source: VOCdevkit, VOClabelcolormap.m.
    """
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


def read_label_colours(path: Path) -> list[tuple[str, Colour]]:
    """Names and colours of classes, in the order of the file. A class may have several colours.

    Read are CVAT's labelmap.txt (`name:r,g,b:parts:actions`), CamVid's label_colors.txt (`r g b name`), CSV
    (`name,r,g,b` or `name,#rrggbb`, with or without a header), and JSON or YAML of `name: [r, g, b]`,
    `name: "#rrggbb"` or a list of entries with name and color.

    Raises:
        ExportError: a line or entry has another form, or two names have one colour.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        found = _of_mapping(read_json(path), path)
    elif suffix in (".yaml", ".yml"):
        found = _of_mapping(read_yaml(path), path)
    else:
        found = _of_lines(path, is_csv=suffix == ".csv")
    entries: list[tuple[str, Colour]] = []
    by_colour: dict[Colour, str] = {}
    for where, name, value in found:
        colour = colour_of(value)
        if colour is None or not isinstance(name, str) or not name.strip():
            shown = f"{name!r}: {value!r}" if name else repr(value)
            text = f"a class and its colour were expected, as road and 128, 64, 128; found {shown[:60]}"
            raise ExportError(text, where=where)
        if (other := by_colour.setdefault(colour, name.strip())) != name.strip():
            raise ExportError(f"{other!r} and {name.strip()!r} have the same colour {colour}", where=where)
        entries.append((name.strip(), colour))
    if not entries:
        raise ExportError("no class and colour in it", where=str(path))
    return entries


def _of_lines(path: Path, is_csv: bool) -> Iterator[tuple[str, Any, Any]]:
    """(file:line, name, colour) of every line that is neither empty nor a comment."""
    is_first = True
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name: str = ""
        value: Any = text
        if is_csv:
            try:
                name, *fields = (f.strip() for f in next(csv.reader([text], delimiter=";" if ";" in text else ",")))
            except csv.Error:  # a field longer than csv takes
                name, fields = "", [text]
            if is_first and not any(character.isdigit() for field in fields for character in field):
                is_first = False
                continue
            value = fields[0] if len(fields) == 1 else fields
        elif match := _LABELMAP.fullmatch(text):
            name, value = match[1], match[2] if match[2].startswith("#") else match[2].split(",")
        elif match := _CAMVID.fullmatch(text):
            name, value = match[2], match[1].split()
        is_first = False
        yield f"{path}:{number}", name, value


def _of_mapping(data: Any, path: Path) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(data, dict) and isinstance(data.get("labels"), list):
        data = data["labels"]
    if isinstance(data, dict):
        yield from ((str(path), name, value) for name, value in data.items())
    elif isinstance(data, list):
        for number, entry in enumerate(data, 1):
            of = entry if isinstance(entry, dict) else {}
            yield f"{path}, entry {number}", of.get("name"), of.get("color", of.get("colour"))
    else:
        raise ExportError("a mapping of names to colours was expected", where=str(path))


def colour_of(value: Any) -> Colour | None:
    """Three numbers from 0 to 255, or '#rrggbb'."""
    if isinstance(value, str) and (match := _HEX.fullmatch(value.strip())):
        number = int(match[1], 16)
        return number >> 16, number >> 8 & 255, number & 255
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    try:
        red, green, blue = (int(str(part)) for part in value)
    except ValueError:
        return None
    return (red, green, blue) if all(0 <= part <= 255 for part in (red, green, blue)) else None
