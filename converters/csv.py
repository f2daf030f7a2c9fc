"""CSV: file and class, or file and one probability per class: image classification.

    file,class                    file,cat,dog,score
    a.jpg,cat                     a.jpg,0.75,0.25,0.9

The first row names the columns. RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180), also with semicolons or tabs.
Boxes in a CSV have no common definition and are not read.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.lightly.conform import ROUNDING
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.plugin.unsupported import other_format
from labelferry.reading.images import IMAGE_EXTENSIONS
from labelferry.reading.keys import unread_keys
from labelferry.reading.text import read_names
from labelferry.task_type import TaskType

FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "image_path", "filepath", "image_name", "img", "name")
CLASS_COLUMNS = ("class", "label", "category", "class_name", "label_name", "target", "prediction", "species")
SCORE_COLUMNS = ("score", "confidence", "probability")

SAMPLE = 1000
"""Rows that are looked at to find out which columns are probabilities or classes."""

_BOX = re.compile(
    r"b?box(es)?|bndbox|(bbox_?)?[xy]_?(min|max|[012]|cent(er|re))|bbox_\w+|c[xy]|cent(er|re)_?[xy]|m(in|ax)_?[xy]"
)
"""Names of columns of boxes, in lower case."""

_CORNERS = ({"x", "y"}, {"left", "top", "right", "bottom"}, {"left", "top", "width", "height"})
"""Names that are those of boxes if they occur together."""

_NOTHING = frozenset(("", "nan", "null", "none", "na", "n/a", "#n/a", "<na>", "nil"))
"""What programs write in place of a missing value, in lower case: https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html"""


class _Columns(NamedTuple):
    file: int
    label: int | None
    score: int | None
    probabilities: tuple[int, ...]
    header: tuple[str, ...]
    separator: str

    @property
    def used(self) -> set[int]:
        """The columns that are read."""
        single = (self.file, self.label, self.score)
        return {*(column for column in single if column is not None), *self.probabilities}


class _Source(NamedTuple):
    """A row as it is written, and its line."""

    row: tuple[str, ...]
    line: int


@register("csv")
class Csv(Adapter):
    """Reads a CSV of image classes."""

    tasks = (TaskType.CLASSIFICATION,)
    also_called = ("tsv",)

    def __init__(
        self,
        path: Path,
        *,
        file_column: Annotated[
            str | None, "Column of the image's path; by default file_name, image, path or the like."
        ] = None,
        class_column: Annotated[
            str | None, "Column of the class; by default class, label, category or the like."
        ] = None,
        score_column: Annotated[
            str | None, "Column of the score; by default score or confidence, if there is one."
        ] = None,
        probability_columns: Annotated[
            str | None,
            "Columns of the classes' probabilities, separated by commas; by default, without a column of classes, all "
            "other columns.",
        ] = None,
        separator: Annotated[
            str | None, "What separates columns; by default what the first row has: , ; or a tab."
        ] = None,
        labels: Annotated[
            Path | None, "File of the class names, one a line: where their order matters, or the class is its number."
        ] = None,
        images: Annotated[Path | None, "Folder of the images: absolute paths below it become relative."] = None,
    ) -> None:
        self.path = path
        self.file_column = file_column
        self.class_column = class_column
        self.score_column = score_column
        self.probability_columns = probability_columns
        self.separator = separator
        self.labels = labels
        self.images = images

    def open(self, request: Request) -> Export:
        return _CsvExport(self, request)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        paths = [probe.path] if probe.path.suffix.lower() in (".csv", ".tsv") else []
        if probe.is_dir:
            names, _ = probe.files(probe.path, frozenset((".csv", ".tsv")), depth=0)
            paths = [probe.path / name for name in names[:20]]
        for path in paths:
            if other_format(path, probe.head(path)):
                continue
            try:
                columns = _columns_of(cls(path))
            except AmbiguousError as error:
                yield Match(path, "a CSV of classes", cls.tasks, question=error.message)
                continue
            except (ExportError, UsageError):
                continue
            first = next((row for row, _ in _rows(path, columns.separator)), [])
            if len(first) <= columns.file or Path(first[columns.file]).suffix.lower() not in IMAGE_EXTENSIONS:
                continue
            images, question = None, ""
            if probe.is_small(path):
                images = sum(1 for _ in _rows(path, columns.separator))
                try:
                    cls(path).open(Request())
                except AmbiguousError as error:
                    question = error.message
            what = "classes" if columns.label is not None else "probabilities"
            yield Match(path, f"a CSV of {what}", cls.tasks, images, question=question)


class _CsvExport(Export):
    """A CSV. `Image.source` is the row as it is written, and its line."""

    def __init__(self, adapter: Csv, request: Request) -> None:
        self._path = adapter.path
        self._images = adapter.images
        self._labels = adapter.labels
        columns = _columns_of(adapter)
        named = None if adapter.labels is None else read_names(adapter.labels, unique=True)
        if columns.label is None:
            _check_probabilities(self._path, columns, adapter.probability_columns is not None)
            if named is not None:
                columns = _in_order(columns, named, self._path, adapter)
            names = named or [columns.header[i] for i in columns.probabilities]
        else:
            names = named or _classes(self._path, columns, adapter.class_column is not None)
        self._columns = columns
        self._ids = {name: i for i, name in enumerate(names)}
        if adapter.labels is not None and columns.label is not None:  # the class may be its number
            self._ids = {str(i): i for i in range(len(names))} | self._ids
        self._names = frozenset(names)
        super().__init__(
            request,
            adapter.tasks,
            [Category(i, name) for i, name in enumerate(names)],
            (str(self._path), *(() if adapter.labels is None else (str(adapter.labels),))),
        )

    def images(self) -> Iterator[Image | Finding]:
        columns = self._columns
        unread = [name for i, name in enumerate(columns.header) if i not in columns.used]
        roles = {FILE_COLUMNS: columns.file, CLASS_COLUMNS: columns.label, SCORE_COLUMNS: columns.score}
        missing = [name for usual, column in roles.items() if column is None for name in usual]
        yield from unread_keys(unread, missing if columns.label is not None else (), (), str(self._path))
        odd: list[int] = []  # lines of names without the extension of an image
        for row, line in _rows(self._path, columns.separator):
            if len(row) != len(columns.header):
                text = f"{len(row)} columns, the header has {len(columns.header)}"
                yield Finding.error("broken-row", f"{self._path}:{line}", text, lost=1, lost_images=1)
                continue
            name = row[columns.file].strip()
            if self._images is not None and os.path.isabs(name):
                relative = os.path.relpath(name, self._images.absolute())
                name = name if relative.startswith("..") else relative.replace(os.sep, "/")
            if name == columns.header[columns.file] and tuple(map(str.strip, row)) == columns.header:
                yield Finding.error("broken-row", f"{self._path}:{line}", "the header again", lost=1, lost_images=1)
            elif name.lower() not in _NOTHING:
                if os.path.splitext(name)[1].lower() not in IMAGE_EXTENSIONS:
                    odd.append(line)
                yield Image(name, _Source(tuple(row), line))
            else:
                yield Finding.error("broken-row", f"{self._path}:{line}", "no file name", lost=1, lost_images=1)
        if odd:
            text = "a name without the extension of an image"
            yield Finding.warning("file-name-odd", f"{self._path}:{odd[0]}", text, len(odd))

    def labels(self, image: Image) -> Annotations:
        columns = self._columns
        row, line = image.source
        where = f"{self._path}:{line}"
        score = None
        try:
            if columns.score is not None:
                score = np.array([_number(row[columns.score])])
            if columns.label is not None:
                name = row[columns.label].strip()
                if name not in self._ids:
                    is_missing = name.lower() in _NOTHING
                    text = f"no class: {name!r}" if is_missing else f"class {name!r} is not named in {self._labels}"
                    code = "class-missing" if is_missing else "unknown-category"
                    raise ExportError(text, where=where, code=code, lost=1)
                ids = np.array([self._ids[name]], np.int64)
                evidence = Counter([_BY_NAME if name in self._names else _BY_NUMBER])
                return Annotations(ids, scores=score, locate=lambda _: where, found=1, evidence=evidence)
            probabilities = np.array([[_number(row[i]) for i in columns.probabilities]])
        except ValueError as error:
            text = f"something that is not a number: {error}"
            raise ExportError(text, where=where, code="broken-row", lost=1) from None
        best = int(np.argmax(probabilities[0]))
        return Annotations(
            np.array([best], np.int64),
            scores=probabilities[:, best] if score is None else score,
            probabilities=probabilities,
            locate=lambda _: where,
            found=1,
        )

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(evidence)
        if evidence.get(_BY_NAME) and (count := evidence.get(_BY_NUMBER)):
            text = f"{count:,} classes are numbers, read as places in {self._labels}, the others are its names"
            yield Finding.warning("class-numbers", str(self._path), text, count)


_BY_NAME, _BY_NUMBER = "class by name", "class by number"


def _number(text: str) -> float:
    """A number as CSV files have it; Python's own notation 1_000 is not one.

    Raises:
        ValueError: it is another text.
    """
    if "_" in text:
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        _number(text)
    except ValueError:
        return False
    return True


def _sample(path: Path, columns: _Columns) -> list[list[str]]:
    """The first rows that have all columns."""
    rows = (row for row, _ in _rows(path, columns.separator) if len(row) == len(columns.header))
    return list(islice(rows, SAMPLE))


def _classes(path: Path, columns: _Columns, is_said: bool) -> list[str]:
    """All classes that occur, in alphabetical order; numbers by their value.

    Raises:
        AmbiguousError: the column holds fractions, and the user does not say that these are classes.
        ExportError: there is none.
    """
    label = columns.label or 0
    found = {row[label].strip() for row, _ in _rows(path, columns.separator) if len(row) == len(columns.header)}
    names = sorted(name for name in found if name.lower() not in _NOTHING)
    if not names:
        raise ExportError("no row with a class", where=str(path), code="no-labels")
    if all(map(_is_number, names)):
        if not is_said and any(not name.isdecimal() for name in names):
            text = (
                f"the column {columns.header[label]!r} holds numbers such as {names[0]}: scores, or classes? name the "
            )
            raise AmbiguousError(text + "column of the class with --class-column", where=f"{path}:1")
        names.sort(key=lambda name: (_number(name), name))
    return names


def _check_probabilities(path: Path, columns: _Columns, is_said: bool) -> None:
    """That the columns taken for probabilities are some.

    Raises:
        AmbiguousError: a column holds text, or numbers that are not part of the probabilities, and the user does not
            say that it is one.
    """
    if is_said:
        return
    rows = _sample(path, columns)
    ask = "name the column of the class with --class-column, or those of probabilities with --probability-columns"
    for i in columns.probabilities:
        values = [row[i].strip() for row in rows]
        if values and not any(map(_is_number, values)):
            text = f"the column {columns.header[i]!r} holds text such as {values[0][:40]!r}: {ask}"
            raise AmbiguousError(text, where=f"{path}:1")
    numbers = [[_number(row[i]) if _is_number(row[i]) else np.nan for i in columns.probabilities] for row in rows]
    given = np.array(numbers, np.float64).reshape(len(rows), len(columns.probabilities))
    given = given[np.isfinite(given).all(axis=1)]
    sums = given.sum(axis=1)
    if not len(given) or (np.abs(sums - 1) <= ROUNDING).all():
        return
    without = (np.abs(sums[:, None] - given - 1) <= ROUNDING).all(axis=0)
    whole = (given == np.rint(given)).all(axis=0) & (given.max(axis=0) > 1)
    if (odd := np.flatnonzero(without if without.any() else whole)).size:
        name = columns.header[columns.probabilities[int(odd[0])]]
        text = f"the column {name!r} holds numbers that are not among the probabilities, which sum to 1: {ask}"
        raise AmbiguousError(text, where=f"{path}:1")


def _in_order(columns: _Columns, names: Sequence[str], path: Path, adapter: Csv) -> _Columns:
    """The columns with those of probabilities in the order of the names.

    Raises:
        AmbiguousError: the columns have other names, which do not tell their order.
        ExportError: there are more or fewer.
    """
    given = [columns.header[i] for i in columns.probabilities]
    if len(given) != len(names):
        text = f"{len(given)} columns of probabilities, but {len(names)} names in {adapter.labels}"
        raise ExportError(text, where=str(path), code="probabilities-count")
    if adapter.probability_columns is not None:
        return columns
    if set(given) == set(names):
        places = dict(zip(given, columns.probabilities, strict=True))
        return columns._replace(probabilities=tuple(places[name] for name in names))
    numbers = [int(match[0]) if (match := re.search(r"\d+$", name)) else -1 for name in given]
    if numbers not in (list(range(len(given))), list(range(1, len(given) + 1))):
        text = f"the columns {', '.join(given)[:100]} are not those that {adapter.labels} names: "
        text += "say --probability-columns, in the order of the names"
        raise AmbiguousError(text, where=f"{path}:1")
    return columns


def _columns_of(adapter: Csv) -> _Columns:
    """Which columns the options name, or the first row.

    Raises:
        AmbiguousError: several columns may be the image's path, the class or the score.
        ExportError: there is none, or there are boxes.
        UsageError: an option names a column that is not there.
    """
    path = adapter.path
    try:
        with open(path, "rb") as file:
            start = file.readline(1 << 20).decode("utf-8-sig")
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}", where=str(path), code="file-missing") from None
    except UnicodeDecodeError as error:
        raise ExportError(f"not UTF-8: {error.reason}", where=f"{path}:1", code="not-utf-8") from None
    separator = adapter.separator or max(",;\t", key=start.count)
    if len(separator) != 1 or separator in '"\r\n':
        raise UsageError(f"--separator is one character other than a quote or a line end, not {separator!r}")
    try:
        header = tuple(name.strip() for name in next(csv.reader([start], delimiter=separator), ()))
    except csv.Error as error:
        raise ExportError(f"not CSV: {error}", where=f"{path}:1", code="broken-row") from None
    lower = [name.lower() for name in header]
    first = next((row for row, _ in _rows(path, separator) if len(row) == len(header)), [])

    def named(wanted: str) -> int:
        if wanted not in header:
            raise UsageError(f"{path} has no column {wanted!r}; it has {', '.join(header)}")
        return header.index(wanted)

    def column(wanted: str | None, usual: tuple[str, ...], option: str) -> int | None:
        if wanted is not None:
            return named(wanted)
        found = [i for i, name in enumerate(lower) if name in usual]
        if option == "--file-column" and len(found) > 1:
            found = [i for i in found if first and Path(first[i]).suffix.lower() in IMAGE_EXTENSIONS] or found
        if len(found) > 1:
            text = f"several columns may be meant, {', '.join(header[i] for i in found)}: say {option}"
            raise AmbiguousError(text, where=f"{path}:1")
        return found[0] if found else None

    file_column = column(adapter.file_column, FILE_COLUMNS, "--file-column")
    if file_column is None:
        text = f"none of its columns ({', '.join(header)[:200]}) is the image's path: name it with --file-column"
        raise ExportError(text, where=f"{path}:1", code="no-column")
    wanted = adapter.probability_columns
    label = None if wanted is not None else column(adapter.class_column, CLASS_COLUMNS, "--class-column")
    score = column(adapter.score_column, SCORE_COLUMNS, "--score-column")
    corners = {name for names in _CORNERS if names <= set(lower) for name in names}
    boxes = [header[i] for i, name in enumerate(lower) if _BOX.fullmatch(name) or name in corners]
    if boxes and adapter.class_column is None and wanted is None:
        text = f"columns of boxes ({', '.join(boxes)[:200]}): a CSV is read as one class for each image. Convert it "
        text += (
            "to COCO or YOLO, or read it with an adapter of your own (docs/custom-adapters.md); --class-column reads "
        )
        text += "the class only"
        raise ExportError(text, where=f"{path}:1", code="csv-of-boxes")
    others = tuple(i for i in range(len(header)) if i not in (file_column, score))
    if wanted is not None:
        others = tuple(named(name.strip()) for name in next(csv.reader([wanted]), ()))
    if label is None and len(others) < 2:
        text = f"neither a column of classes nor columns of probabilities ({', '.join(header)[:200]})"
        raise ExportError(f"{text}: name the one with --class-column", where=f"{path}:1", code="no-column")
    columns = _Columns(file_column, label, score, () if label is not None else others, header, separator)
    if any(lower[i] in _NOTHING for i in columns.used):
        text = "a column without a name; --class-column or --probability-columns say which columns are read"
        raise ExportError(text, where=f"{path}:1", code="no-column")
    if any(header.count(header[i]) > 1 for i in columns.used):
        raise ExportError("two columns have the same name", where=f"{path}:1", code="no-column")
    return columns


def _rows(path: Path, separator: str) -> Iterator[tuple[list[str], int]]:
    """Every row after the first, with its line; rows without any value are skipped."""
    with open(path, "rb") as file:
        reader = csv.reader(_lines(file, str(path)), delimiter=separator, strict=True)
        line = 1
        try:
            for number, row in enumerate(reader):
                if number and any(row):
                    yield row, line
                line = reader.line_num + 1
        except csv.Error as error:
            text = f"not CSV: {error}; a quote that is not closed?"
            raise ExportError(text, where=f"{path}:{line}", code="broken-row") from None


def _lines(file: io.BufferedReader, path: str) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ExportError(f"not UTF-8: {error.reason}", where=f"{path}:{number}", code="not-utf-8") from None
