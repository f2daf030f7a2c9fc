"""The classes of label maps: files that name values or colours, and palettes that are known by name."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from labelferry.converters.masks.palettes import CITYSCAPES, CITYSCAPES_TRAINING, PALETTES, Palette
from labelferry.errors import ExportError
from labelferry.model import Category
from labelferry.reading.images import packed_colour
from labelferry.reading.label_colours import colour_of, read_label_colours
from labelferry.reading.text import read_json, read_names, read_text, read_yaml

Kind = Literal["index", "colour", "instance", "cityscapes", "binary"]

BACKGROUND = "background"

LEFT_OUT = "255,background,_background_,unlabeled,unlabelled,void"

CITYSCAPES_FILES: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "labelIds": ("index", CITYSCAPES),
    "labelTrainIds": ("index", CITYSCAPES_TRAINING),
    "instanceIds": ("cityscapes", CITYSCAPES),
    "instanceTrainIds": ("cityscapes", CITYSCAPES_TRAINING),
    "gtFine_panoptic": ("cityscapes", CITYSCAPES),
}
"""What Cityscapes' masks are, by the end of their names."""


class Classes(NamedTuple):
    """What the pixels of label maps stand for.

    Attributes:
        categories: their ids are the values; of colours without values, the places in the file.
        by_value: the category id of each value; None: it stands for no class.
        by_colour: the category id of each packed colour; None: it stands for no class.
        ignored: the values, or packed colours, that `--ignore` names.
        shared: the names of classes that share a packed colour, which is read as the first of them.
        question: why values may stand for other classes, and what to say then; empty: they cannot.
        telling: values that occur only if they do not.
    """

    categories: list[Category]
    by_value: dict[int, int | None] | None
    by_colour: dict[int, int | None] | None
    ignored: list[int]
    shared: dict[int, tuple[str, ...]]
    question: str = ""
    telling: frozenset[int] = frozenset()


def read_classes(labels: Path | None, kind: Kind, suffix: str, ignore: str, path: Path) -> Classes:
    """The classes of label maps.

    Args:
        labels: file of the classes, or the name of a palette; None: those of Cityscapes.
        kind: what the pixels of the maps are.
        suffix: of the maps' names.
        ignore: values, colours and names that are no class, separated by commas.
        path: the export, for messages.

    Raises:
        ExportError: nothing names the classes, or the file cannot be read.
    """
    known = of_cityscapes(suffix)
    if labels is not None and (str(labels) not in PALETTES or labels.exists()):
        palette = read_palette_file(labels)
    elif known is not None and str(labels) in ("None", "cityscapes"):
        palette = Palette(dict(enumerate(known[1])), None)
    elif labels is not None:
        palette = PALETTES[str(labels)]
    elif kind == "cityscapes":
        palette = Palette(dict(enumerate(CITYSCAPES)), None)
    else:
        text = "nothing names the classes: give --labels, a file of names, one a line from index 0, or of names and "
        text += f"values or colours, or one of {', '.join(PALETTES)}"
        raise ExportError(text, where=str(path), code="no-names")
    if kind == "colour" and palette.colours is None:
        raise ExportError("--kind colour, but no colours in it", where=str(labels), code="no-names")
    if kind == "cityscapes" and palette.values is None:
        text = "colours, where the classes of class * 1000 + n are needed: give names and values"
        raise ExportError(text, where=str(labels), code="no-names")
    parts = [part.strip() for part in ignore.split(",")]
    no_class = set(map(str.lower, parts))
    values = None if palette.values is None else dict(sorted(palette.values.items()))
    colours: dict[int, str] = {}
    sharing: dict[int, list[str]] = {}
    for name, colour in palette.colours or ():
        colours.setdefault(packed_colour(colour), name)
        sharing.setdefault(packed_colour(colour), []).append(name)
    ids: dict[str, int] = {}
    for value, name in values.items() if values is not None else enumerate(colours.values()):
        if name.lower() not in no_class:  # a value is its class's id, of several the lowest
            ids.setdefault(name, value)
    hexadecimal = [part for part in parts if re.fullmatch("#[0-9a-fA-F]{6}", part)]
    ignored_colours = [int(part[5:] + part[3:5] + part[1:3], 16) for part in hexadecimal]
    ignored_values = [int(part) for part in parts if part.isdecimal()]
    is_default = ignore == LEFT_OUT
    if is_default and palette.question:
        ignored_values = []
    by_colour = None if palette.colours is None else _by_pixel(colours, ids, ignored_colours, is_default)
    shared = {
        colour: tuple(names)
        for colour, names in sharing.items()
        if len(set(names)) > 1 and by_colour is not None and by_colour[colour] is not None
    }
    return Classes(
        [Category(i, name) for name, i in ids.items()],
        None if values is None else _by_pixel(values, ids, ignored_values, is_default),
        by_colour,
        ignored_colours if values is None else ignored_values,
        shared,
        palette.question if is_default else "",
        palette.telling,
    )


def _by_pixel(
    named: dict[int, str], ids: dict[str, int], ignored: list[int], is_default: bool
) -> dict[int, int | None]:
    """The category id of each value or packed colour; None: it stands for no class."""
    classes = {pixel: ids.get(name) for pixel, name in named.items()}
    nothing: dict[int, int | None] = dict.fromkeys(ignored)
    # a value that is ignored by default may have a name; --ignore takes it away
    by_pixel = nothing | classes if is_default else classes | nothing
    by_pixel.setdefault(0, None)
    return by_pixel


def of_cityscapes(suffix: str) -> tuple[Kind, tuple[str, ...]] | None:
    """What masks with this suffix are in Cityscapes, and the names of their classes."""
    return next((what for end, what in CITYSCAPES_FILES.items() if suffix.endswith(end)), None)


def read_palette_file(path: Path) -> Palette:
    """A file of classes: names by value, or names with colours; datumaro's dataset_meta.json may have both."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        data = read_json(path) if suffix == ".json" else read_yaml(path)
        if isinstance(data, dict) and ("label_map" in data or "segmentation_colors" in data):
            return _of_datumaro(data, path)
        pairs = _pairs_of_data(data)
    else:
        pairs = _pairs_of_lines(path, is_csv=suffix == ".csv")
    if pairs is None:
        return Palette(None, read_label_colours(path))
    values: dict[int, str] = {}
    for value, name in pairs:
        number = int(str(value))
        if (other := values.setdefault(number, str(name))) != str(name):
            raise ExportError(f"{other!r} and {name!r} have the same value {number}", where=str(path))
    if not values:
        raise ExportError("no class in it", where=str(path))
    return Palette(values, None)


def _of_datumaro(data: dict[Any, Any], path: Path) -> Palette:
    """A dataset_meta.json: names by index, and the colours of the indices.

    Source: https://github.com/cvat-ai/datumaro, datumaro/util/meta_file_util.py.
    """
    names, colours = data.get("label_map"), data.get("segmentation_colors")
    background = data.get("background_label")
    if not isinstance(names, dict) or not names or not all(map(_is_value, names)):
        raise ExportError("label_map is not a mapping of indices to names", where=str(path))
    values = {int(index): name for index, name in names.items()}
    if not all(isinstance(name, str) and name.strip() for name in values.values()):
        raise ExportError("a name in label_map is no text", where=str(path))
    if background is not None:
        if not _is_value(background) or int(str(background)) not in values:
            raise ExportError(f"background_label {background!r} is not in label_map", where=str(path))
        values[int(str(background))] = BACKGROUND
    if not colours:
        return Palette(values, None)
    if not isinstance(colours, list) or len(colours) <= max(values):
        raise ExportError("segmentation_colors has no colour for each index of label_map", where=str(path))
    found = []
    for index, name in values.items():
        colour = colour_of(colours[index])
        if colour is None:
            text = f"segmentation_colors, entry {index}: three numbers from 0 to 255 were expected"
            raise ExportError(text, where=str(path))
        found.append((name, colour))
    return Palette(values, found)


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
        numbers = {line.strip(): number for number, line in enumerate(lines, 1)}
        names = [line.strip() for line in lines if line.strip()]
        if comment := next((name for name in names if name.startswith("#")), None):
            text = f"{comment[:60]!r} may be a comment or a name: remove the line"
            raise ExportError(text, where=f"{path}:{numbers[comment]}")
        numbered = [re.fullmatch(r"(\d+)\s*[\s:,;]\s*(\S.*)", name) for name in names]
        matches = [match for match in numbered if match]
        if names and len(matches) == len(names):
            return [(match[1], match[2]) for match in matches]
        if 2 * len(matches) > len(names):
            odd = names[numbered.index(None)]
            text = f"a value and a name were expected, as in most lines, found {odd[:60]!r}"
            raise ExportError(text, where=f"{path}:{numbers[odd]}")
        return list(enumerate(read_names(path, unique=True)))
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
