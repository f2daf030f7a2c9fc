"""Label files of classification: `yolo classify predict save_txt` writes the five best classes of an image, one a line,
the best first, with two digits of the probability:

    0.87 tabby cat
    0.04 fox

https://docs.ultralytics.com/reference/engine/results/#ultralytics.engine.results.Results.save_txt
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np

from labelferry.errors import ExportError, did_you_mean
from labelferry.findings import Finding
from labelferry.model import Annotations, Category
from labelferry.reading.text import read_label_file

_LINE = re.compile(r"([01]\.\d\d) (\S.*)")

_ROUNDING = 0.005
"""How far two digits may be from a probability."""


def are_class_files(paths: Iterable[str]) -> bool:
    """Whether any of these label files, none of which has a line of numbers, holds only classes."""
    for path in paths:
        with suppress(ExportError):
            lines = _lines(read_label_file(path), path)
            if lines and all(_LINE.fullmatch(text) for _, text in lines):
                return True
    return False


def class_of(content: bytes, path: str, categories: Sequence[Category]) -> Annotations:
    """The class of an image, with the probabilities of all classes: those that are not in the file share the rest
    equally, as Lightly approximates probabilities that are missing.

    Raises:
        ExportError: a line is no class, names one twice or an unknown one, or the probabilities contradict each other.
    """
    places = {category.name: place for place, category in enumerate(categories)}
    found: dict[int, float] = {}
    for where, text in _lines(content, path):
        match = _LINE.fullmatch(text)
        if match is None:
            text = f"{text[:80]!r} is no class: expected its probability with two digits, and its name"
            raise ExportError(text, where=where, code="broken-line", lost=1)
        if match[2] not in places:
            text = (
                f"the class {match[2]!r} has no name in the description of the export{did_you_mean(match[2], places)}"
            )
            raise ExportError(text, where=where, code="unknown-category", lost=1)
        if places[match[2]] in found:
            raise ExportError(f"the class {match[2]!r} is named twice", where=where, code="broken-line", lost=1)
        found[places[match[2]]] = float(match[1])
    if not found:
        return Annotations.empty()
    total, missing = sum(found.values()), len(categories) - len(found)
    rest = 1 - total
    if rest < -_ROUNDING * len(found) - 1e-9 or (not missing and rest > _ROUNDING * len(found) + 1e-9):
        text = f"the probabilities sum to {total:.2f} and must sum to 1"
        raise ExportError(text, where=path, code="probabilities-sum", lost=1)
    row = np.full((1, len(categories)), max(rest, 0) / missing if missing else 0.0)
    row[0, list(found)] = list(found.values())
    best, score = next(iter(found.items()))
    findings = []
    if missing and rest > 0:
        text = f"those of the best {len(found)} classes sum to {total:.2f}; the others share the rest equally"
        findings = [Finding.repair("probabilities-completed", path, text)]
    return Annotations(
        np.array([categories[best].id], np.int64),
        scores=np.array([score]),
        probabilities=row / row.sum(),
        findings=findings,
        locate=lambda i: path,
        found=1,
    )


def _lines(content: bytes, path: str) -> list[tuple[str, str]]:
    """The lines that are not empty, each after its place.

    Raises:
        ExportError: they are not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportError(f"not UTF-8: {error.reason}", where=path, code="broken-line", lost=1) from None
    numbered = enumerate(text.splitlines(), 1)
    return [(f"{path}:{number}", line.strip()) for number, line in numbered if line.strip()]
