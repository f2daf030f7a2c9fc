"""CSV: file and class, or file and one probability per class: image classification.

    file,class                    file,cat,dog,score
    a.jpg,cat                     a.jpg,0.75,0.25,0.9

The first row names the columns. RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180), also with semicolons or tabs.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS
from labelferry.reading.text import read_names
from labelferry.task_type import TaskType

FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "image_path", "filepath", "image_name", "img", "name")
CLASS_COLUMNS = ("class", "label", "category", "class_name", "label_name", "target", "prediction", "species")
SCORE_COLUMNS = ("score", "confidence", "probability")


class _Columns(NamedTuple):
    file: int
    label: int | None
    score: int | None
    probabilities: tuple[int, ...]
    header: tuple[str, ...]
    separator: str


class _Source(NamedTuple):
    """A row as it is written, and its line."""

    row: tuple[str, ...]
    line: int


@register("csv")
class Csv(Adapter):
    """Reads a CSV of image classes."""

    tasks = (TaskType.CLASSIFICATION,)

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
            try:
                columns = _columns_of(cls(path))
            except (ExportError, UsageError):
                continue
            first = next((row for row, _ in _rows(path, columns.separator)), [])
            if len(first) <= columns.file or Path(first[columns.file]).suffix.lower() not in IMAGE_EXTENSIONS:
                continue
            images = sum(1 for _ in _rows(path, columns.separator)) if probe.is_small(path) else None
            what = "classes" if columns.label is not None else "probabilities"
            yield Match(path, f"a CSV of {what}", cls.tasks, images)


class _CsvExport(Export):
    """A CSV. `Image.source` is the row as it is written, and its line."""

    def __init__(self, adapter: Csv, request: Request) -> None:
        self._path = adapter.path
        self._images = adapter.images
        self._labels = adapter.labels
        self._columns = columns = _columns_of(adapter)
        if adapter.labels is not None:
            names = read_names(adapter.labels)
        elif columns.label is None:
            names = [columns.header[i] for i in columns.probabilities]
        else:
            label = columns.label
            rows = _rows(self._path, columns.separator)
            names = sorted({row[label].strip() for row, _ in rows if len(row) > label} - {""})
            if not names:
                raise ExportError("no row with a class", where=str(self._path), code="no-labels")
        if columns.label is None and len(names) != len(columns.probabilities):
            text = f"{len(columns.probabilities)} columns of probabilities, but {len(names)} names in {self._labels}"
            raise ExportError(text, where=str(self._path), code="probabilities-count")
        self._ids = {name: i for i, name in enumerate(names)}
        if adapter.labels is not None and columns.label is not None:  # the class may be its number
            self._ids = {str(i): i for i in range(len(names))} | self._ids
        super().__init__(
            request,
            adapter.tasks,
            [Category(i, name) for i, name in enumerate(names)],
            (str(self._path), *(() if adapter.labels is None else (str(adapter.labels),))),
        )

    def images(self) -> Iterator[Image | Finding]:
        columns = self._columns
        for row, line in _rows(self._path, columns.separator):
            if len(row) != len(columns.header):
                text = f"{len(row)} columns, the header has {len(columns.header)}"
                yield Finding.error("broken-row", f"{self._path}:{line}", text, lost=1)
                continue
            name = row[columns.file].strip()
            if self._images is not None and os.path.isabs(name):
                relative = os.path.relpath(name, self._images.absolute())
                name = name if relative.startswith("..") else relative.replace(os.sep, "/")
            if name:
                yield Image(name, _Source(tuple(row), line))
            else:
                yield Finding.error("broken-row", f"{self._path}:{line}", "no file name", lost=1)

    def labels(self, image: Image) -> Annotations:
        columns = self._columns
        row, line = image.source
        where = f"{self._path}:{line}"
        score = None
        try:
            if columns.score is not None:
                score = np.array([float(row[columns.score])])
            if columns.label is not None:
                name = row[columns.label].strip()
                if name not in self._ids:
                    text = f"class {name!r} is not named in {self._labels}" if name else "no class"
                    raise ExportError(text, where=where, code="unknown-category" if name else "class-missing", lost=1)
                ids = np.array([self._ids[name]], np.int64)
                return Annotations(ids, scores=score, locate=lambda _: where, found=1)
            probabilities = np.array([[float(row[i]) for i in columns.probabilities]])
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


def _columns_of(adapter: Csv) -> _Columns:
    """Which columns the options name, or the first row."""
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

    def column(wanted: str | None, usual: tuple[str, ...]) -> int | None:
        lower = [name.lower() for name in header]
        if wanted is not None:
            if wanted not in header:
                raise UsageError(f"{path} has no column {wanted!r}; it has {', '.join(header)}")
            return header.index(wanted)
        return next((lower.index(name) for name in usual if name in lower), None)

    file_column = column(adapter.file_column, FILE_COLUMNS)
    if file_column is None:
        text = f"none of its columns ({', '.join(header)[:200]}) is the image's path: name it with --file-column"
        raise ExportError(text, where=f"{path}:1", code="no-column")
    label = column(adapter.class_column, CLASS_COLUMNS)
    score = column(adapter.score_column, SCORE_COLUMNS)
    others = tuple(i for i in range(len(header)) if i not in (file_column, score))
    if label is None and len(others) < 2:
        text = f"neither a column of classes nor columns of probabilities ({', '.join(header)[:200]})"
        raise ExportError(f"{text}: name the one with --class-column", where=f"{path}:1", code="no-column")
    if label is None and len({header[i] for i in others}) < len(others):
        raise ExportError("two columns have the same name", where=f"{path}:1", code="no-column")
    return _Columns(file_column, label, score, () if label is not None else others, header, separator)


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
