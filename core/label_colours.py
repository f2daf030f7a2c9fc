"""Which colour stands for which class: the files that tools write, and Pascal VOC's colour map."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from labelferry.errors import ExportError
from labelferry.text import read_text, read_yaml

Colour = tuple[int, int, int]

_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


def voc_colour(index: int) -> Colour:
    """Entry of Pascal VOC's palette: the bits of the index, dealt out to red, green and blue from the highest down.

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
    """Names and colours of classes, in the order of the file.

    Read are CVAT's labelmap.txt (`name:r,g,b:parts:actions`), CamVid's label_colors.txt (`r g b name`), CSV
    (`name,r,g,b`, with or without a header), and JSON or YAML of `name: [r, g, b]`, `name: "#rrggbb"` or a list of
    entries with name and color.

    Raises:
        ExportError: a line or entry is none of these, or two names have one colour.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            entries = _of_mapping(json.loads(read_text(path)), path)
        except (json.JSONDecodeError, RecursionError) as error:
            where = f"{path}:{getattr(error, 'lineno', 1)}"
            raise ExportError(f"not JSON: {error}", where=where, code="broken-json") from None
    elif suffix in (".yaml", ".yml"):
        entries = _of_mapping(read_yaml(path), path)
    else:
        entries = _of_lines(path, is_csv=suffix == ".csv")
    by_colour: dict[Colour, str] = {}
    for name, colour in entries:
        if by_colour.setdefault(colour, name) != name:
            raise ExportError(f"{by_colour[colour]!r} and {name!r} have the same colour {colour}", where=str(path))
    if not entries:
        raise ExportError("no class and colour in it", where=str(path))
    return entries


def _of_lines(path: Path, is_csv: bool) -> list[tuple[str, Colour]]:
    entries: list[tuple[str, Colour]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if is_csv:
            name, *numbers = [field.strip() for field in next(csv.reader([text]))]
            if len(numbers) >= 3 and not any(number.isdigit() for number in numbers) and not entries:
                continue  # a header
        elif ":" in text:
            name, colour_text = (text.rsplit(":", 3) if text.count(":") >= 3 else text.rsplit(":", 1))[:2]
            numbers = colour_text.split(",")
        else:
            fields = text.split(None, 3)
            name, numbers = (fields[3] if len(fields) > 3 else ""), fields[:3]
        colour = _colour(numbers[:3] if len(numbers) > 1 else numbers[0] if numbers else "")
        if colour is None or not name.strip():
            raise ExportError(f"a class and its colour were expected, found {text[:60]!r}", where=f"{path}:{number}")
        entries.append((name.strip(), colour))
    return entries


def _of_mapping(data: Any, path: Path) -> list[tuple[str, Colour]]:
    if isinstance(data, dict) and isinstance(data.get("labels"), list):
        data = data["labels"]
    if isinstance(data, list):
        pairs = [
            (entry.get("name"), entry.get("color", entry.get("colour"))) if isinstance(entry, dict) else (None, None)
            for entry in data
        ]
    elif isinstance(data, dict):
        pairs = list(data.items())
    else:
        pairs = [(None, None)]
    entries = []
    for name, value in pairs:
        colour = _colour(value)
        if not isinstance(name, str) or not name.strip() or colour is None:
            raise ExportError(f"the entry {name!r}: {value!r} is no class with a colour", where=str(path))
        entries.append((name, colour))
    return entries


def _colour(value: Any) -> Colour | None:
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
