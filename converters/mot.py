"""MOTChallenge: boxes of tracks, as ground truth, detections, or results of a tracker.

    SEQUENCE/gt/gt.txt  SEQUENCE/det/det.txt  SEQUENCE/seqinfo.ini  SEQUENCE/img1/000001.jpg
    RESULTS/SEQUENCE.txt

A line a box, frames numbered from 1, pixels from the top left corner:

    frame, track, left, top, width, height, confidence, class, visibility          ground truth since MOT16
    frame, track, left, top, width, height, confidence, x, y, z                    detections, results, MOT15

Definition: https://motchallenge.net/instructions/ and arXiv:1603.00831, section 3
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, MAX_FRAMES, find_files, image_size
from labelferry.reading.text import read_names, read_text
from labelferry.task_type import TaskType

CLASSES = (
    *("pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person"),
    *("distractor", "occluder", "occluder on the ground", "occluder full", "reflection", "crowd"),
)
"""MOTChallenge's classes, in the order of their numbers from 1."""

MAX_BYTES = 2**32
"""Bytes of a file of boxes that is read."""

_TXT = frozenset((".txt",))
_NUMBER = re.compile(r"\d+")

Floats = NDArray[np.float64]


class _Sequence(NamedTuple):
    """A sequence's path as its images' names have it, its name, its own folder if it has one, and its boxes."""

    path: str
    name: str
    folder: str | None
    file: str | None


class _Info(NamedTuple):
    """What seqinfo.ini says."""

    length: int | None
    size: tuple[int, int] | None
    images: str
    extension: str


class _Rows(NamedTuple):
    """Boxes in the order of their frames, with their lines."""

    frames: NDArray[np.int64]
    numbers: Floats
    lines: NDArray[np.int64]


class _Source(NamedTuple):
    """The boxes of a frame with their lines, its size if it is known, and its image if that is there."""

    file: str
    rows: Floats
    lines: NDArray[np.int64]
    size: tuple[int, int] | None
    image: str | None


@register("mot")
class Mot(Adapter):
    """Reads MOTChallenge text files."""

    tasks = (TaskType.OBJECT_DETECTION,)

    def __init__(
        self,
        path: Path,
        *,
        file: Annotated[
            str | None, "gt for ground truth, det for detections; by default ground truth where there is some."
        ] = None,
        ignored: Annotated[
            bool, "Keep boxes of the ground truth that are marked (confidence 0) as not to be considered."
        ] = False,
        min_visibility: Annotated[
            float, "Leave out boxes of the ground truth that are less visible, from 0 to 1."
        ] = 0.0,
        labels: Annotated[
            Path | None,
            "File of the class names, one a line, for classes from 1; by default gt/labels.txt, as CVAT writes it, or "
            "MOTChallenge's own.",
        ] = None,
        scores: Annotated[bool, "Take confidences of detections and results as scores, which are in [0, 1]."] = True,
        one_based: Annotated[bool, "Coordinates are MOTChallenge's own: pixels counted from 1."] = False,
    ) -> None:
        self.path = path
        self.file = file
        self.ignored = ignored
        self.min_visibility = min_visibility
        self.labels = labels
        self.scores = scores
        self.one_based = one_based

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir:
            return
        below = [f"{probe.path}/{name}" for name in probe.listing(probe.path)[1]]
        if not probe.shallow:
            below += [f"{folder}/{name}" for folder in below for name in probe.listing(folder)[1]]
        kinds = {folder: set(probe.listing(folder)[1]) & {"gt", "det"} for folder in (str(probe.path), *below)}
        folders = [
            folder
            for folder, held in kinds.items()
            if any(f"{k}.txt" in probe.listing(f"{folder}/{k}")[0] for k in held)
        ]
        names = [name for name in probe.listing(probe.path)[0] if name.lower().endswith(".txt")]
        if not folders:
            head = probe.head(probe.path / names[0]) if names else b""
            if re.match(rb"\s*\d+,\s*-?\d+(,\s*-?[\d.]+){5,8}\s", head):
                yield Match(probe.path, "MOTChallenge results", cls.tasks)
            return
        lengths = [_info(folder).length for folder in folders]
        images = sum(length for length in lengths if length)
        has_truth = any("gt" in kinds[folder] for folder in folders)
        kind = "ground truth" if has_truth else "detections"
        yield Match(probe.path, f"MOTChallenge {kind}", cls.tasks, images or None, all(lengths))

    def open(self, request: Request) -> Export:
        return _MotExport(self, request)


class _MotExport(Export):
    """Sequences. Their files are read while images are listed; the boxes travel to workers with their images."""

    first_frame = 1

    def __init__(self, mot: Mot, request: Request) -> None:
        if mot.file not in (None, "gt", "det"):
            raise UsageError(f"--file is gt or det, not {mot.file!r}")
        self._mot = mot
        self._frames_wanted = request.frames
        self._sequences, self._is_truth = _find(mot.path.absolute(), mot.file)
        found = (f"{sequence.folder}/gt/labels.txt" for sequence in self._sequences if sequence.folder)
        labels = mot.labels or next((Path(path) for path in found if os.path.isfile(path)), None)
        names = read_names(labels) if labels else list(CLASSES if self._is_truth else CLASSES[:1])
        categories = [Category(i, name) for i, name in enumerate(names, 1)]
        super().__init__(request, Mot.tasks, categories, [str(labels)] if labels else [])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sequences": []}

    def images(self) -> Iterator[Image | Finding]:
        for sequence in self._sequences:
            if sequence.file is None:
                text = f"the sequence has no {'gt/gt.txt' if self._is_truth else 'det/det.txt'}"
                yield Finding.note("sequence-without-labels", sequence.path, text)
                continue
            rows, findings = _read(sequence.file)
            yield from findings
            info = _info(sequence.folder)
            if info.length is not None and (beyond := rows.frames > info.length).any():
                first, count = int(beyond.argmax()), int(beyond.sum())
                text = f"frame {rows.frames[first]}, but seqinfo.ini gives the sequence {info.length}"
                where = f"{sequence.file}:{rows.lines[first]}"
                yield Finding.error("frame-beyond-sequence", where, text, count, lost=count)
                rows = _Rows(rows.frames[~beyond], rows.numbers[~beyond], rows.lines[~beyond])
            yield from self._images(sequence, sequence.file, rows, info)

    def _images(self, sequence: _Sequence, file: str, rows: _Rows, info: _Info) -> Iterator[Image | Finding]:
        """Every image of a sequence; where frames are wanted, those with boxes."""
        names: dict[int, str] = {}
        folder = f"{sequence.folder}/{info.images}"
        if sequence.folder and os.path.isdir(folder) and not self._frames_wanted:
            for place, found in enumerate(find_files(Path(folder), IMAGE_EXTENSIONS), 1):
                digits = _NUMBER.search(os.path.splitext(os.path.basename(found))[0])
                names[int(digits[0]) if digits else place] = found
        labelled = np.unique(rows.frames).tolist()
        numbers = labelled if self._frames_wanted else sorted({*names, *range(1, (info.length or 0) + 1), *labelled})
        lows = np.searchsorted(rows.frames, numbers).tolist()
        highs = np.searchsorted(rows.frames, numbers, "right").tolist()
        files: tuple[str, ...] = (file, f"{sequence.folder}/seqinfo.ini") if sequence.folder else (file,)
        for number, low, high in zip(numbers, lows, highs, strict=True):
            name = names.get(number)
            if name is None and names:
                text = f"frame {number} has no image in {folder}"
                yield Finding.error("image-missing", sequence.path, text, lost=high - low)
                continue
            image = f"{folder}/{name}" if name and info.size is None else None
            source = _Source(file, rows.numbers[low:high], rows.lines[low:high], info.size, image)
            path = f"{sequence.path}/{info.images}/{name or f'{number:06d}{info.extension}'}"
            yield Image(path, source, VideoFrame(sequence.name, number), files=(*files, image) if image else files)

    def labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        mot, rows, columns = self._mot, source.rows, source.rows.shape[1]
        category_ids: NDArray[np.int64] = np.ones(len(rows), np.int64)
        if columns == 9:
            category_ids = np.where(rows[:, 7] > 0, rows[:, 7], 1).astype(np.int64)
        boxes = rows[:, 2:6].copy()
        boxes[:, :2] -= mot.one_based
        scores = rows[:, 6] if columns > 6 and not self._is_truth and mot.scores else None
        if scores is not None and (scores == -1).all():  # trackers write -1 for no confidence
            scores = None
        size = source.size or image.size or _size_of_image(source)
        labels = Annotations(category_ids, size, boxes, scores, found=len(rows))
        labels.locate = partial(_locate, source.file, source.lines)
        left_out = []
        if self._is_truth and columns > 6 and not mot.ignored:
            text = "boxes that are marked as not to be considered (--ignored keeps them)"
            left_out.append((rows[:, 6] == 0, "ignored-left-out", text))
        if mot.min_visibility and columns == 9:
            text = f"boxes that are less than {mot.min_visibility:g} visible"
            left_out.append((rows[:, 8] < mot.min_visibility, "hidden-left-out", text))
        keep = np.ones(len(rows), np.bool_)
        for which, code, text in left_out:
            if count := int((which & keep).sum()):
                where = labels.locate(int((which & keep).argmax()))
                labels.findings.append(Finding.note(code, where, text, count, lost=count))
                keep &= ~which
        return labels if keep.all() else labels.take(np.flatnonzero(keep).tolist())


def _size_of_image(source: _Source) -> tuple[int, int]:
    """The size that a frame's image has.

    Raises:
        ExportError: there is no image, or it cannot be read.
    """
    if source.image is None:
        text = "the size of the image is not known: there is no seqinfo.ini, no image, and no video (--videos)"
        raise ExportError(text, where=source.file, code="image-size", lost=len(source.rows))
    try:
        return image_size(source.image)
    except ExportError as error:
        error.lost = len(source.rows)
        raise


def _find(path: Path, kind: str | None) -> tuple[list[_Sequence], bool]:
    """The sequences of an export, and whether their boxes are ground truth.

    Args:
        path: absolute, of a file or folder.
        kind: gt or det; None: ground truth where there is some.
    """
    if path.is_file():
        if path.name not in ("gt.txt", "det.txt") or path.parent.name != path.stem:
            return [_Sequence(path.stem, path.stem, None, str(path))], kind == "gt"
        kind = path.stem
        path = path.parent.parent
    if not path.is_dir():
        raise ExportError("cannot be read: no such file or folder", where=str(path), code="file-missing")
    texts = list(find_files(path, _TXT))
    parts = [name.split("/") for name in texts]
    folders = ["/".join(p[:-2]) for p in parts if p[-2:] in (["gt", "gt.txt"], ["det", "det.txt"])]
    if not folders:
        results = [name for name in texts if "/" not in name] or [
            n for n, p in zip(texts, parts, strict=True) if p[0] == "data"
        ]
        if not results:
            text = "neither gt/gt.txt nor det/det.txt below it, nor a text file for each sequence in it"
            raise ExportError(text, where=str(path), code="no-labels")
        return [_Sequence(Path(n).stem, Path(n).stem, None, f"{path}/{n}") for n in results], kind == "gt"
    known = set(texts)

    def file_of(folder: str, kind: str) -> str | None:
        name = f"{folder}/{kind}/{kind}.txt".removeprefix("/")
        return f"{path}/{name}" if name in known else None

    folders = list(dict.fromkeys(folders))
    kind = kind or ("gt" if any(file_of(folder, "gt") for folder in folders) else "det")
    if not any(file_of(folder, kind) for folder in folders):
        raise ExportError(f"no {kind}/{kind}.txt below it", where=str(path), code="no-labels")
    sequences = [
        _Sequence(
            folder or path.name,
            folder.rpartition("/")[2] or path.name,
            f"{path}/{folder}".rstrip("/"),
            file_of(folder, kind),
        )
        for folder in folders
    ]
    return sequences, kind == "gt"


def _read(path: str) -> tuple[_Rows, list[Finding]]:
    """All boxes of a file; and what is not a line of numbers."""
    lines = read_text(Path(path), MAX_BYTES).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    findings: list[Finding] = []
    try:
        numbers = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None) if lines else np.zeros((0, 7))
        where: NDArray[np.int64] = np.arange(1, len(lines) + 1)
        if len(numbers) != len(lines) or numbers.shape[1] < 6:
            raise ValueError
    except ValueError:
        numbers, where, findings = _read_one_by_one(path, lines)
    frames = numbers[:, 0]
    has_frame = _is_whole(frames) & (frames >= 0)
    sound = has_frame & _is_whole(numbers[:, 7]) if numbers.shape[1] == 9 else has_frame
    for i in np.flatnonzero(~sound).tolist():
        text = f"the frame {frames[i]:g} is not a whole number from 1"
        if has_frame[i]:
            text = f"the class {numbers[i, 7]:g} is not a whole number"
        findings.append(Finding.error("broken-line", f"{path}:{where[i]}", text, lost=1))
    numbers, where = numbers[sound], where[sound]
    order = np.argsort(numbers[:, 0], kind="stable")
    return _Rows(numbers[order, 0].astype(np.int64), numbers[order], where[order]), findings


def _is_whole(values: Floats) -> NDArray[np.bool_]:
    is_whole: NDArray[np.bool_] = (np.abs(values) < 2**31) & (values == np.rint(values))
    return is_whole


def _read_one_by_one(path: str, lines: Iterable[str]) -> tuple[Floats, NDArray[np.int64], list[Finding]]:
    rows: list[list[float]] = []
    where: list[int] = []
    findings: list[Finding] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.replace(",", " ").split()
        try:
            row = [float(part) for part in parts]
        except ValueError:
            row = []
        if len(row) < 6 or (rows and len(row) != len(rows[0])):
            columns = len(rows[0]) if rows else "6 to 10"
            text = f"{columns} numbers were expected (frame, track, left, top, width, height ...), found {line[:60]!r}"
            findings.append(Finding.error("broken-line", f"{path}:{number}", text, lost=1))
            continue
        rows.append(row)
        where.append(number)
    return np.array(rows, np.float64).reshape(len(rows), -1 if rows else 7), np.array(where, np.int64), findings


def _info(folder: str | None) -> _Info:
    path = Path(folder or "", "seqinfo.ini")
    if folder is None or not path.is_file():
        return _Info(None, None, "img1", ".jpg")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        section = parser["Sequence"]
        length = section.getint("seqLength")
        width, height = section.getint("imWidth"), section.getint("imHeight")
        if length is not None and not 0 < length <= MAX_FRAMES:
            raise ValueError(f"a seqLength of {length}")
    except (configparser.Error, KeyError, ValueError) as error:
        raise ExportError(f"not a seqinfo.ini: {error}", where=str(path), code="broken-seqinfo") from None
    images = section.get("imDir", "img1").strip("/\\") or "img1"
    if ".." in images or os.path.isabs(images):
        raise ExportError(f"imDir {images!r} leads out of the sequence", where=str(path), code="broken-seqinfo")
    return _Info(length, (width, height) if width and height else None, images, section.get("imExt", ".jpg"))


def _locate(path: str, lines: NDArray[np.int64], index: int) -> str:
    return f"{path}:{lines[index]}"
