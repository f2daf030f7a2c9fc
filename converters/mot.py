"""MOTChallenge: boxes of tracks, as ground truth, detections, or results of a tracker.

    SEQUENCE/gt/gt.txt  SEQUENCE/det/det.txt  SEQUENCE/seqinfo.ini  SEQUENCE/img1/000001.jpg
    RESULTS/SEQUENCE.txt

A line a box, frames numbered from 1, pixels from the top left corner:

    frame, track, left, top, width, height, confidence, class, visibility          ground truth since MOT16
    frame, track, left, top, width, height, confidence, x, y, z                    detections, results, MOT15

Definition: https://motchallenge.net/instructions/ and arXiv:1603.00831, section 3. VisDrone has a class in the
eighth of ten columns: https://github.com/VisDrone/VisDrone2018-MOT-toolkit
"""

from __future__ import annotations

import configparser
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding, Kind
from labelferry.model import Annotations, Category, Image, VideoFrame
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.plugin.unsupported import other_format
from labelferry.reading.images import IMAGE_EXTENSIONS, MAX_FRAMES, find_files, image_size
from labelferry.reading.keys import unread_keys
from labelferry.reading.text import read_names, read_text
from labelferry.task_type import TaskType

CLASSES = (
    *("pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person"),
    *("distractor", "occluder", "occluder on the ground", "occluder full", "reflection", "crowd"),
)
"""MOTChallenge's classes, in the order of their numbers from 1."""

MAX_BYTES = 2**32
"""Bytes of a file of boxes that is read."""

_FILES = frozenset((".txt", ".ini"))
_NUMBER = re.compile(r"\d+")

_INFO_KEYS = ("imdir", "seqlength", "imwidth", "imheight", "imext", "name", "framerate")
"""Keys of seqinfo.ini; the last two say nothing of labels."""

Floats = NDArray[np.float64]


class _Sequence(NamedTuple):
    """A sequence's path as its images' names have it, its name, its own folder if it has one, its boxes, and the
    category id of each number of a class, from 1."""

    path: str
    name: str
    folder: str | None
    file: str | None
    ids: tuple[int, ...] = ()


class _Info(NamedTuple):
    """What seqinfo.ini says, and its keys."""

    length: int | None
    size: tuple[int, int] | None
    images: str
    extension: str
    keys: tuple[str, ...] = ()


class _Rows(NamedTuple):
    """Boxes in the order of their frames, with their lines."""

    frames: NDArray[np.int64]
    numbers: Floats
    lines: NDArray[np.int64]

    def take(self, which: NDArray[np.bool_]) -> _Rows:
        """The boxes of which this is true."""
        return _Rows(self.frames[which], self.numbers[which], self.lines[which])


class _Layout(NamedTuple):
    """What the columns of a file hold.

    Attributes:
        ids: the category id of each number of a class, from 1; of the only class where there is no column of classes.
        has_class, has_visibility, has_scores: whether the eighth, ninth and seventh columns are these.
    """

    ids: tuple[int, ...]
    has_class: bool
    has_visibility: bool
    has_scores: bool


class _Source(NamedTuple):
    """The boxes of a frame with their lines, its size if it is known, and its image if that is there."""

    file: str
    layout: _Layout
    rows: Floats
    lines: NDArray[np.int64]
    size: tuple[int, int] | None
    image: str | None


@register("mot")
class Mot(Adapter):
    """Reads MOTChallenge text files."""

    tasks = (TaskType.OBJECT_DETECTION,)
    also_called = ("motchallenge",)

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
            "File of the class names, one a line, for classes from 1; by default gt/labels.txt of each sequence, as "
            "CVAT writes it, or MOTChallenge's own.",
        ] = None,
        columns: Annotated[
            str | None,
            "What the columns after the confidence hold: class or coordinates; by default a class where there are nine "
            "columns.",
        ] = None,
        scores: Annotated[bool, "Take confidences of detections and results as scores, which are in [0, 1]."] = True,
        one_based: Annotated[bool, "Coordinates are MOTChallenge's own: pixels counted from 1."] = False,
    ) -> None:
        self.path = path
        self.file = file
        self.ignored = ignored
        self.min_visibility = min_visibility
        self.labels = labels
        self.columns = columns
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
            path = probe.path / names[0] if names else probe.path
            head = probe.head(path)
            if re.match(rb"\s*\d+,\s*-?\d+(,\s*-?[\d.]+){5,8}\s", head) and not other_format(path, head):
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
        if mot.columns not in (None, "class", "coordinates"):
            raise UsageError(f"--columns is class or coordinates, not {mot.columns!r}")
        self._mot = mot
        self._frames_wanted = request.frames
        sequences, self._is_truth = _find(mot.path.absolute(), mot.file)
        self._sequences, names, files = _with_classes(sequences, mot.labels, self._is_truth)
        self._has_own_classes = not files
        categories = [Category(i, name) for i, name in enumerate(names, 1)]
        super().__init__(request, Mot.tasks, categories, files)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sequences": []}

    def images(self) -> Iterator[Image | Finding]:
        unread: set[str] = set()
        counts: dict[int, str] = {}  # the first file with so many columns
        for sequence in self._sequences:
            if sequence.file is None:
                text = f"the sequence has no {'gt/gt.txt' if self._is_truth else 'det/det.txt'}: its images get no file"
                yield Finding.warning("sequence-without-labels", sequence.path, text)
                continue
            rows, findings = _read(sequence.file)
            yield from findings
            layout = self._layout(sequence, sequence.file, rows)
            info = _info(sequence.folder)
            for finding in unread_keys(info.keys, _INFO_KEYS, (), f"{sequence.folder}/seqinfo.ini"):
                if finding.message not in unread:
                    unread.add(finding.message)
                    yield finding
            yield from self._doubts(sequence.file, rows)
            if len(rows.frames):
                counts.setdefault(rows.numbers.shape[1], sequence.file)
            if info.length is not None and (beyond := rows.frames > info.length).any():
                text = f"frame {rows.frames[int(beyond.argmax())]}, but seqinfo.ini gives the sequence {info.length}"
                yield _error("frame-beyond-sequence", sequence.file, rows, beyond, text)
                rows = rows.take(~beyond)
            yield from self._images(sequence, sequence.file, layout, rows, info)
        for count, file in list(counts.items())[1:]:
            text = f"{count} columns, but {next(iter(counts))} in {next(iter(counts.values()))}"
            yield Finding.warning("columns-differ", file, text)

    def _layout(self, sequence: _Sequence, file: str, rows: _Rows) -> _Layout:
        """What the columns of a file hold.

        Raises:
            AmbiguousError: they can be read in two ways.
        """
        numbers, wanted = rows.numbers, self._mot.columns
        count = numbers.shape[1]
        others = numbers[:, 7:]
        if wanted is None and count == 8 and (others != -1).any():
            text = (
                "the eighth of 8 columns may be a class or a coordinate: say --columns class or --columns coordinates"
            )
            raise AmbiguousError(text, where=file)
        if wanted is None and count == 10 and others.any() and (_is_whole(others) & (others >= 0)).all():
            text = "the last 3 of 10 columns are whole numbers: coordinates, or class, truncation and occlusion as in "
            text += "VisDrone? say --columns coordinates or --columns class"
            raise AmbiguousError(text, where=file)
        has_class = count > 7 and (count == 9 if wanted is None else wanted == "class")
        if not has_class and len(numbers) and len(sequence.ids) > 1 and not self._has_own_classes:
            text = f"{len(sequence.ids)} classes are named, but there is no column of classes: say which class the "
            text += "boxes have, in a file of one name (--labels)" + (", or --columns class" if count > 7 else "")
            raise AmbiguousError(text, where=file)
        has_scores = not self._is_truth and self._mot.scores and count > 6 and bool((numbers[:, 6] != -1).any())
        return _Layout(sequence.ids, has_class, has_class and count == 9, has_scores)

    def _doubts(self, file: str, rows: _Rows) -> Iterator[Finding]:
        """Warnings about lines that are read as they stand."""
        numbers = rows.numbers
        if self._is_truth and numbers.shape[1] > 6 and (odd := ~np.isin(numbers[:, 6], (0, 1))).any():
            text = "the confidence of ground truth is 0 or 1, as it says whether a box is considered; is it a score? "
            first = int(odd.argmax())
            yield Finding.warning(
                "confidence-unread", f"{file}:{rows.lines[first]}", text + "then say --file det", int(odd.sum())
            )
        order = np.lexsort((*numbers[:, 5:0:-1].T, rows.frames))
        frames, tracks, boxes = rows.frames[order], numbers[order, 1], numbers[order, 2:6]
        same = np.asarray((boxes[1:] == boxes[:-1]).all(axis=1)) | (tracks[1:] != -1)
        again = np.flatnonzero((frames[1:] == frames[:-1]) & (tracks[1:] == tracks[:-1]) & same) + 1
        if len(again):
            first = int(order[again].min())
            text = f"track {numbers[first, 1]:g} has another box in frame {rows.frames[first]}; both are written"
            yield Finding.warning("box-twice", f"{file}:{rows.lines[first]}", text, len(again))

    def _images(
        self, sequence: _Sequence, file: str, layout: _Layout, rows: _Rows, info: _Info
    ) -> Iterator[Image | Finding]:
        """Every image of a sequence; where frames are wanted, those with boxes."""
        names: dict[int, str] = {}
        checked = ""
        folder = f"{sequence.folder}/{info.images}"
        if sequence.folder and os.path.isdir(folder) and not self._frames_wanted:
            found = list(find_files(Path(folder), IMAGE_EXTENSIONS))
            try:
                names = _by_number(found, folder)
                checked = found[0] if found else ""
                _check_size(f"{folder}/{checked}", info.size)
            except ExportError as error:
                yield Finding.error(
                    error.code, error.where, error.message, lost=len(rows.frames), lost_images=len(found)
                )
                return
        if not self._frames_wanted and 0 not in names and (before := rows.frames == 0).any():
            yield _error("frame-beyond-sequence", file, rows, before, "frame 0, but frames are numbered from 1")
            rows = rows.take(~before)
        if not self._frames_wanted and not names:
            yield from _assumed(sequence, info)
        labelled = np.unique(rows.frames).tolist()
        numbers = labelled if self._frames_wanted else sorted({*names, *range(1, (info.length or 0) + 1), *labelled})
        lows = np.searchsorted(rows.frames, numbers).tolist()
        highs = np.searchsorted(rows.frames, numbers, "right").tolist()
        files: tuple[str, ...] = (file, f"{sequence.folder}/seqinfo.ini") if sequence.folder else (file,)
        for number, low, high in zip(numbers, lows, highs, strict=True):
            name = names.get(number)
            if name is None and names:
                text = f"frame {number} has no image in {folder}"
                yield Finding.error("image-missing", sequence.path, text, lost=high - low, lost_images=1)
                continue
            image = f"{folder}/{name}" if name and (info.size is None or name == checked) else None
            source = _Source(file, layout, rows.numbers[low:high], rows.lines[low:high], info.size, image)
            path = f"{sequence.path}/{info.images}/{name or f'{number:06d}{info.extension}'}"
            frame, own = VideoFrame(sequence.name, number), f"{folder}/{name}" if name else ""
            yield Image(path, source, frame, files=(*files, image) if image else files, path=own)

    def labels(self, image: Image) -> Annotations:
        source: _Source = image.source
        mot, rows, layout = self._mot, source.rows, source.layout
        boxes = rows[:, 2:6].copy()
        boxes[:, :2] -= mot.one_based
        size = source.size or image.size or _size_of_image(source)
        known = np.array(layout.ids, np.int64)
        classes = rows[:, 7].astype(np.int64) if layout.has_class else np.ones(len(rows), np.int64)
        if len(known) == 1:
            classes[classes == -1] = 1
        named = (classes > 0) & (classes <= len(known))
        labels = Annotations(known[np.where(named, classes, 1) - 1], size, boxes, found=len(rows))
        if layout.has_scores:
            labels.scores = rows[:, 6]
        labels.locate = partial(_locate, source.file, source.lines)
        reasons: list[tuple[Kind, str, NDArray[np.bool_], Callable[[int], str]]] = []
        if self._is_truth and rows.shape[1] > 6 and not mot.ignored:
            text = "boxes that are marked as not to be considered (--ignored keeps them)"
            reasons.append(("note", "ignored-left-out", rows[:, 6] == 0, lambda _: text))
        if mot.min_visibility and layout.has_visibility:
            hidden = f"boxes that are less than {mot.min_visibility:g} visible"
            reasons.append(("note", "hidden-left-out", rows[:, 8] < mot.min_visibility, lambda _: hidden))
        none = "class -1, which means that the box has no class"
        reasons.append(("error", "class-missing", classes == -1, lambda _: none))
        unknown = "class {} has no name; the classes from 1 to {} have one"
        reasons.append(("error", "unknown-category", ~named, lambda i: unknown.format(classes[i], len(known))))
        keep = np.ones(len(rows), np.bool_)
        for kind, code, which, message in reasons:
            which = which & keep
            if count := int(which.sum()):
                first = int(which.argmax())
                labels.findings.append(Finding(kind, code, labels.locate(first), message(first), count, count))
                keep &= ~which
        return labels if keep.all() else labels.take(np.flatnonzero(keep).tolist())


def _assumed(sequence: _Sequence, info: _Info) -> Iterator[Finding]:
    """Notes of what is not known about the images of a sequence without a folder of images."""
    if info.length is None:
        text = "the length is not known (seqLength): only frames with boxes get a file"
        yield Finding.note("length-unknown", sequence.path, text)
    missing = [name for name in ("imDir", "imExt") if name.lower() not in info.keys]
    if missing:
        name = f"{sequence.path}/{info.images}/000001{info.extension}"
        text = f"there are no images, and seqinfo.ini gives no {' and no '.join(missing)}: names are like {name}"
        yield Finding.note("names-assumed", sequence.path, text)


def _error(code: str, file: str, rows: _Rows, which: NDArray[np.bool_], text: str) -> Finding:
    """The error of these lines, which are lost."""
    count = int(which.sum())
    return Finding.error(code, f"{file}:{rows.lines[int(which.argmax())]}", text, count, lost=count)


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
    files = list(find_files(path, _FILES))
    texts = [name for name in files if name.lower().endswith(".txt")]
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

    described = [name.rpartition("/")[0] for name in files if f"/{name}".endswith("/seqinfo.ini")]
    folders = sorted({*folders, *described})
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


def _with_classes(
    sequences: list[_Sequence], labels: Path | None, is_truth: bool
) -> tuple[list[_Sequence], list[str], list[str]]:
    """The sequences with the category ids of their classes, the names of the categories, and the files of names.

    Sequences that name their classes in different files share categories by name.

    Raises:
        AmbiguousError: some sequences name their classes, and others do not.
    """
    given: dict[str, list[str]] = {}  # by file
    own: list[str] = []  # the file of each sequence, or nothing
    for sequence in sequences:
        path = str(labels or f"{sequence.folder}/gt/labels.txt")
        is_there = labels is not None or (sequence.folder is not None and os.path.isfile(path))
        if is_there and path not in given:
            given[path] = read_names(Path(path), unique=True)
        own.append(path if is_there else "")
    read = [path for path, sequence in zip(own, sequences, strict=True) if sequence.file is not None]
    if any(read) and not all(read):
        without = next(s.path for path, s in zip(own, sequences, strict=True) if not path and s.file is not None)
        text = "gt/labels.txt is missing, but other sequences have one: say --labels, a file for all"
        raise AmbiguousError(text, where=without)
    given[""] = list(CLASSES if is_truth else CLASSES[:1])
    lists = {path: given[path] for path in dict.fromkeys(read or [""])}
    first = next(iter(lists.values()))
    if all(names == first for names in lists.values()):
        ids = {path: tuple(range(1, len(first) + 1)) for path in lists}
        merged = first
    else:
        merged = list(dict.fromkeys(name for names in lists.values() for name in names))
        numbers = {name: i for i, name in enumerate(merged, 1)}
        ids = {path: tuple(numbers[name] for name in names) for path, names in lists.items()}
    named = [s._replace(ids=ids.get(path, ())) for s, path in zip(sequences, own, strict=True)]
    return named, merged, [path for path in lists if path]


def _by_number(images: list[str], folder: str) -> dict[int, str]:
    """The images of a sequence by the number in their names: the only one, or the one that differs between images.

    Raises:
        ExportError: the names do not tell the number.
    """
    found = [_NUMBER.findall(os.path.splitext(os.path.basename(name))[0]) for name in images]
    for name, digits in zip(images, found, strict=True):
        if not digits:
            raise ExportError(
                "no number of a frame in the image's name", where=f"{folder}/{name}", code="frame-unnamed"
            )
    readings = [{int(digits[place]): name for digits, name in zip(found, images, strict=True)} for place in (0, -1)]
    unique = [reading for reading in readings if len(reading) == len(images)]
    if not unique or unique[0] != unique[-1]:
        what = "two numbers in the names may be that of the frame" if unique else "several images have the same number"
        raise ExportError(f"{what}: name images 000001.jpg, 000002.jpg, ...", where=folder, code="frame-unnamed")
    return unique[0]


def _check_size(image: str, size: tuple[int, int] | None) -> None:
    """That an image has the size that seqinfo.ini gives, as stored or upright, if both are known.

    Raises:
        ExportError: it has another.
    """
    try:
        found = image_size(image) if size else None
    except ExportError:
        return
    if size and found and sorted(found) != sorted(size):
        text = f"the image has {found[0]} x {found[1]} pixels, but seqinfo.ini says {size[0]} x {size[1]}"
        raise ExportError(text, where=image, code="image-size")


def _read(path: str) -> tuple[_Rows, list[Finding]]:
    """All boxes of a file; and what is not a line of numbers."""
    lines = read_text(Path(path), MAX_BYTES).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    findings: list[Finding] = []
    try:
        numbers = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None) if lines else np.zeros((0, 7))
        where: NDArray[np.int64] = np.arange(1, len(lines) + 1)
        if len(numbers) != len(lines) or not 6 <= numbers.shape[1] <= 10:
            raise ValueError
    except ValueError:
        numbers, where, findings = _read_one_by_one(path, lines)
    frames = numbers[:, 0]
    finite = np.asarray(np.isfinite(numbers).all(axis=1))
    has_frame = finite & _is_whole(frames) & (frames >= 0)
    sound = has_frame & _is_whole(numbers[:, 7]) if numbers.shape[1] == 9 else has_frame
    for i in np.flatnonzero(~sound).tolist():
        text = f"the frame {frames[i]:g} is not a whole number from 1"
        if has_frame[i]:
            text = f"the class {numbers[i, 7]:g} is not a whole number"
        elif not finite[i]:
            text = "a number that is not finite"
        findings.append(Finding.error("broken-line", f"{path}:{where[i]}", text, lost=1))
    numbers, where = numbers[sound], where[sound]
    order = np.argsort(numbers[:, 0], kind="stable")
    return _Rows(numbers[order, 0].astype(np.int64), numbers[order], where[order]), findings


def _is_whole(values: Floats) -> NDArray[np.bool_]:
    is_whole: NDArray[np.bool_] = (np.abs(values) < 2**31) & (values == np.rint(values))
    return is_whole


def _read_one_by_one(path: str, lines: Iterable[str]) -> tuple[Floats, NDArray[np.int64], list[Finding]]:
    """Lines of numbers between commas, or between spaces; as many as most lines have."""
    rows: list[tuple[int, str, list[float] | None]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            parts = line.split(",") if "," in line else line.split()
            try:
                row = None if "_" in line else [float(part) for part in parts]
            except ValueError:
                row = None
            rows.append((number, line, row))
    counts = Counter(len(row) for _, _, row in rows if row is not None and 6 <= len(row) <= 10)
    columns = counts.most_common(1)[0][0] if counts else 7
    expected = f"{columns if counts else '6 to 10'} numbers were expected (frame, track, left, top, width, height ...)"
    findings = [
        Finding.error("broken-line", f"{path}:{number}", f"{expected}, found {line[:60]!r}", lost=1)
        for number, line, row in rows
        if row is None or len(row) != columns
    ]
    kept = [(number, row) for number, _, row in rows if row is not None and len(row) == columns]
    numbers = np.array([row for _, row in kept], np.float64).reshape(len(kept), columns)
    return numbers, np.array([number for number, _ in kept], np.int64), findings


def _info(folder: str | None) -> _Info:
    path = Path(folder or "", "seqinfo.ini")
    if folder is None or not path.is_file():
        return _Info(None, None, "img1", ".jpg")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        section = parser["Sequence"]
        length = section.getint("seqLength")
        width, height = section.getint("imWidth", 0), section.getint("imHeight", 0)
        if length is not None and not 0 < length <= MAX_FRAMES:
            raise ValueError(f"a seqLength of {length}")
        if (width <= 0 or height <= 0) and (width, height) != (0, 0):
            raise ValueError(f"a size of {width} x {height}")
    except (configparser.Error, KeyError, ValueError) as error:
        raise ExportError(f"not a seqinfo.ini: {error}", where=str(path), code="broken-seqinfo") from None
    images, extension = section.get("imDir", "img1").strip("/\\") or "img1", section.get("imExt", ".jpg")
    text = ""
    if ".." in images or os.path.isabs(images):
        text = f"imDir {images!r} leads out of the sequence"
    elif not os.path.isdir(f"{folder}/{images}") and os.path.isdir(f"{folder}/img1"):
        text = f"there is no imDir {images!r}, but an img1"
    elif extension.lower() not in IMAGE_EXTENSIONS:
        text = f"imExt {extension!r} is no extension of images"
    if text:
        raise ExportError(text, where=str(path), code="broken-seqinfo")
    return _Info(length, (width, height) if width else None, images, extension, tuple(section))


def _locate(path: str, lines: NDArray[np.int64], index: int) -> str:
    return f"{path}:{lines[index]}"
