"""The classes of label maps: files that name values or colours, and the names of Cityscapes."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from labelferry.errors import ExportError
from labelferry.model import Category
from labelferry.reading.images import packed_colour
from labelferry.reading.label_colours import read_label_colours
from labelferry.reading.text import read_json, read_names, read_text, read_yaml

Kind = Literal["index", "colour", "instance", "cityscapes", "binary"]

LEFT_OUT = "255,background,_background_,unlabeled,unlabelled,void"

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


CITYSCAPES_FILES: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "labelIds": ("index", CITYSCAPES),
    "labelTrainIds": ("index", CITYSCAPES_TRAINING),
    "instanceIds": ("cityscapes", CITYSCAPES),
    "instanceTrainIds": ("cityscapes", CITYSCAPES_TRAINING),
    "gtFine_panoptic": ("cityscapes", CITYSCAPES),
}
"""What Cityscapes' masks are, by the end of their names."""


class Classes(NamedTuple):
    """What the values of label maps stand for.

    Attributes:
        categories: their ids are the values; of colours, the places in the file.
        by_value: the category id of each value, or packed colour; None: it stands for no class.
        by_colour: whether these are colours.
        ignored: the values, or packed colours, that `--ignore` names.
    """

    categories: list[Category]
    by_value: dict[int, int | None]
    by_colour: bool
    ignored: list[int]


def read_classes(labels: Path | None, kind: Kind, suffix: str, ignore: str, path: Path) -> Classes:
    """The classes of label maps.

    Args:
        labels: file of the classes; None: those of Cityscapes.
        kind: what the pixels of the maps are.
        suffix: of the maps' names.
        ignore: values, colours and names that are no class, separated by commas.
        path: the export, for messages.

    Raises:
        ExportError: nothing names the classes, or the file cannot be read.
    """
    known = of_cityscapes(suffix)
    if labels is not None:
        values = read_values(labels)
        if kind == "colour" and isinstance(values, dict):
            raise ExportError("--kind colour, but no colours in it", where=str(labels), code="no-names")
        if kind == "cityscapes" and isinstance(values, list):
            text = "colours, where the classes of class * 1000 + n are needed: give names and values"
            raise ExportError(text, where=str(labels), code="no-names")
    elif known is not None or kind == "cityscapes":
        values = dict(enumerate(known[1] if known else CITYSCAPES))
    else:
        text = "nothing names the classes: give --labels, a file of names, one a line from index 0, or of names and "
        raise ExportError(text + "values or colours", where=str(path), code="no-names")
    if by_colour := isinstance(values, list):
        named = {packed_colour(colour): name for name, colour in values}
    else:
        named = dict(sorted(values.items()))
    parts = [part.strip() for part in ignore.split(",")]
    no_class = set(map(str.lower, parts))
    ids: dict[str, int] = {}
    for place, (value, name) in enumerate(named.items()):
        if name.lower() not in no_class:  # a value is its class's id, of several the lowest
            ids.setdefault(name, place if by_colour else value)
    if by_colour:
        hexadecimal = [part for part in parts if re.fullmatch("#[0-9a-fA-F]{6}", part)]
        ignored = [int(part[5:] + part[3:5] + part[1:3], 16) for part in hexadecimal]
    else:
        ignored = [int(part) for part in parts if part.isdecimal()]
    classes = {value: ids.get(name) for value, name in named.items()}
    nothing: dict[int, int | None] = dict.fromkeys(ignored)
    # a value that is ignored by default may have a name; --ignore takes it away
    by_value = nothing | classes if ignore == LEFT_OUT else classes | nothing
    by_value.setdefault(0, None)
    return Classes([Category(i, name) for name, i in ids.items()], by_value, by_colour, ignored)


def of_cityscapes(suffix: str) -> tuple[Kind, tuple[str, ...]] | None:
    """What masks with this suffix are in Cityscapes, and the names of their classes."""
    return next((what for end, what in CITYSCAPES_FILES.items() if suffix.endswith(end)), None)


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
