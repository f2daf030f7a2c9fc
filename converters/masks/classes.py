"""The classes of masks: files that name values or colours, and the names that Cityscapes has for its own."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from labelferry.errors import ExportError
from labelferry.reading.label_colours import read_label_colours
from labelferry.reading.text import read_json, read_names, read_text, read_yaml

CITYSCAPES = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road"),
    *("sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole"),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
    *("bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
"""Names of the label ids 0 to 33 (cityscapesScripts, helpers/labels.py)."""

CITYSCAPES_TRAINING = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""Names of the training ids 0 to 18."""


def read_values(path: Path) -> dict[int, str] | list[tuple[str, tuple[int, int, int]]]:
    """A file of classes: names by value, or names with colours."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        pairs = _pairs_of_data(read_json(path) if suffix == ".json" else read_yaml(path))
    else:
        pairs = _pairs_of_lines(path, is_csv=suffix == ".csv")
    if pairs is None:
        return read_label_colours(path)
    values: dict[int, str] = {}
    for value, name in pairs:
        number = int(str(value))
        if (other := values.setdefault(number, str(name))) != str(name):
            raise ExportError(f"{other!r} and {name!r} have the same value {number}", where=str(path))
    if not values:
        raise ExportError("no class in it", where=str(path))
    return values


def _pairs_of_data(data: Any) -> list[tuple[Any, Any]] | None:
    """(value, name) of each class; None where there are colours, or nothing of the kind."""
    if isinstance(data, dict):
        if all(_is_value(value) for value in data.values()):
            return [(value, name) for name, value in data.items()]
        if all(_is_value(key) and isinstance(name, str) for key, name in data.items()):
            return list(data.items())
    elif isinstance(data, list):
        if all(isinstance(name, str) for name in data):
            return list(enumerate(data))
        pairs = [(entry.get("id"), entry.get("name")) for entry in data if isinstance(entry, dict)]
        if len(pairs) == len(data) and all(_is_value(value) and isinstance(name, str) for value, name in pairs):
            return pairs
    return None


def _pairs_of_lines(path: Path, is_csv: bool) -> list[tuple[Any, Any]] | None:
    lines = read_text(path).splitlines()
    if not is_csv:
        if any(
            re.search(r":\s*\d+\s*,\s*\d+\s*,\s*\d+|:#[0-9a-fA-F]{6}|^\s*\d+\s+\d+\s+\d+\s+\S", line) for line in lines
        ):
            return None
        names = read_names(path)
        numbered = [re.fullmatch(r"(\d+)\s*[\s:,;]\s*(\S.*)", name) for name in names]
        if names and all(numbered):
            return [(match[1], match[2]) for match in numbered if match]
        return list(enumerate(names))
    pairs: list[tuple[Any, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = [field.strip() for field in next(csv.reader([line], delimiter=";" if ";" in line else ","), [])]
        except csv.Error:
            row = []
        if not line.strip() or (not pairs and row and not re.search(r"\d", line)):
            continue  # a header
        if len(row) > 2 or "#" in line:
            return None
        name, value = row if len(row) == 2 and _is_value(row[1]) else row[::-1] if len(row) == 2 else ("", "")
        if not name or not _is_value(value):
            raise ExportError(f"a name and its value were expected, found {line[:60]!r}", where=f"{path}:{number}")
        pairs.append((value, name))
    return pairs


def _is_value(value: Any) -> bool:
    """Whether this is a pixel's value: an integer of at most 32 bits."""
    return not isinstance(value, bool) and re.fullmatch("[0-9]{1,10}", str(value)) is not None
