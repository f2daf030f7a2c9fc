"""A folder of COCO files, one for each split, as one export.

    train/_annotations.coco.json      Roboflow: a folder for each split, with its images
    annotations/instances_*.json      COCO, CVAT, Datumaro: the images are in folders of the splits' names
    *.json, */*.json                  any other COCO files

Ids are of one file each; categories are merged by name. Names of images get the folder that holds them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from labelferry.converters.coco.export import CocoExport, judge_labels
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Listed
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.merge import MergedExport
from labelferry.plugin.probe import Probe
from labelferry.reading.input import InputDatasource
from labelferry.task_type import TaskType

ROBOFLOW = "_annotations.coco.json"
SPLITS = ("train", "valid", "val", "validation", "test")

SAMPLE = 20
"""Images of a split that are looked for to find their folder."""

_KIND = re.compile(r"(instances|person_keypoints|panoptic|stuff|captions|image_info)_(.+)")
"""COCO's names of files: of the same images, each for another task."""


class CocoFile(NamedTuple):
    """A COCO file of a folder.

    Attributes:
        path: of the file.
        kind: COCO's name of the task, as `instances`; empty where the file's name does not give it.
        split: name of the split.
    """

    path: Path
    kind: str
    split: str


class CocoFolder(MergedExport):
    """The COCO files of a folder.

    Args:
        folder: of the files.
        notes: of files that are not read.
        splits: names of the splits.
        adapters: of each split.
        request: what they are opened for.
    """

    def __init__(
        self,
        folder: Path,
        notes: Sequence[Finding],
        splits: Sequence[str],
        adapters: Sequence[Adapter],
        request: Request,
    ) -> None:
        super().__init__(adapters, request, "refuse", ids_are_common=False)
        self._source = str(folder)
        self._findings = list(notes)
        files = [part for part in self.parts if isinstance(part, CocoExport)]
        counts = [part.count_annotations() for part in files]
        for split, part, count in zip(splits, files, counts, strict=True):
            if not count and any(counts):
                text = f"the split {split!r} lists no annotation, others do"
                self._findings.append(Finding.warning("split-without-labels", part.files[0], text))
        self._findings += _differences(dict(zip(splits, files, strict=True)), self._source, request, self.task)
        self.root = files[0].root
        held = {task for part in files for task in part.tasks}
        self.tasks = tuple(task for task in self.tasks if task in held)  # without those that follow from others

    def images(self) -> Iterator[Listed]:
        yield from self._findings
        yield from super().images()

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        total: Counter[str] = Counter()
        for place, part in enumerate(self.parts):
            assert isinstance(part, CocoExport)
            total.update(part.evidence(self.evidence_of(place, evidence)))
        yield from judge_labels(total, self._source)


def _differences(splits: Mapping[str, CocoExport], folder: str, request: Request, task: TaskType) -> Iterator[Finding]:
    """Warnings where splits differ in what they have in common as a rule: the classes, and the richest task type.

    Args:
        splits: by name.
        folder: of the export.
        request: what it is opened for.
        task: that is made of all.
    """
    names = {split: {category.name for category in part.categories} for split, part in splits.items()}
    everywhere = set.intersection(*names.values())
    for split, own in names.items():
        if only := sorted(own - everywhere):
            shown = ", ".join(map(repr, only[:5])) + ", ..." * (len(only) > 5)
            text = f"the split {split!r} has classes that not all splits have: {shown}"
            yield Finding.warning("split-classes", folder, text, len(only))
    richest = {split: part.tasks[0] for split, part in splits.items()}
    if request.task is None and len(set(richest.values())) > 1:
        held = ", ".join(f"{split}: {one}" for split, one in richest.items())
        text = f"the splits hold labels for different task types ({held}); {task} is made of all"
        yield Finding.warning("split-tasks", folder, text)


class Split(Adapter):
    """One file of a folder; `make` opens it."""

    def __init__(self, make: Callable[[Request], Export]) -> None:
        self._make = make

    def open(self, request: Request) -> Export:
        return self._make(request)


def looks_like_dataset(head: bytes) -> bool:
    """Whether the beginning and end of a file look like a COCO dataset."""
    if head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] != b"{" or b'"file_names"' in head:
        return False
    keys = sum(key in head for key in (b'"images"', b'"annotations"', b'"categories"'))
    return keys >= 2 and any(key in head for key in (b'"file_name"', b'"image_id"', b'"coco_url"'))


def is_of_coco(path: Path) -> bool:
    """Whether a file has one of COCO's own names."""
    return _KIND.fullmatch(path.stem) is not None


def list_files(folder: Path, task: TaskType | None, split: str | None) -> tuple[list[CocoFile], list[Finding]]:
    """The COCO files of a folder that are read, and notes of the JSON files that are not.

    Args:
        folder: to look in, and in the folders in it.
        task: the task type wanted: keypoints are in files of their own.
        split: the only split wanted; None: all.

    Raises:
        AmbiguousError: it is not certain which of the files belong together.
        ExportError: there is none, or none of the split.
    """
    paths = sorted(path for pattern in ("*.json", "*/*.json") for path in folder.glob(pattern) if path.is_file())
    probe = Probe(folder)
    found, notes = [], []
    for path in paths:
        if path.parent.name.startswith(".") or path.name.startswith("."):
            continue
        if looks_like_dataset(probe.head(path)):
            match = _KIND.fullmatch(path.stem)
            found.append(CocoFile(path, match[1] if match else "", match[2] if match else path.stem))
        else:
            text = "not a COCO file with images, annotations and categories; not read"
            notes.append(Finding.note("file-not-read", str(path), text))
    if not found:
        text = "no JSON file in it or in the folders in it is a COCO file with images, annotations and categories"
        raise ExportError(text, where=str(folder), code="not-coco")
    kind = _kind_of({file.kind for file in found}, task, folder)
    for file in found:
        if file.kind != kind:
            text = f"{file.kind}_*.json are files of another task; {kind}_*.json are read"
            notes.append(Finding.note("file-not-read", str(file.path), text))
    files = _with_splits([file for file in found if file.kind == kind], folder)
    if split is not None:
        chosen = [file for file in files if file.split == split]
        if not chosen:
            have = ", ".join(file.split for file in files)
            raise ExportError(f"no split {split!r}; it has {have}", where=str(folder), code="no-split")
        files = chosen
    return files, notes


def _kind_of(kinds: set[str], task: TaskType | None, folder: Path) -> str:
    """Which of COCO's kinds of files is read.

    Raises:
        AmbiguousError: it is not certain.
    """
    if len(kinds) == 1:
        return kinds.pop()
    if "" not in kinds:
        if task is TaskType.KEYPOINT_DETECTION and "person_keypoints" in kinds:
            return "person_keypoints"
        if "instances" in kinds:
            return "instances"
    named = ", ".join(f"{kind}_*.json" if kind else "others" for kind in sorted(kinds))
    raise AmbiguousError(
        f"it has COCO files of several kinds: {named}; give one file in place of the folder", where=str(folder)
    )


def _with_splits(files: list[CocoFile], folder: Path) -> list[CocoFile]:
    """The files with the names of their splits: that of their folder, where each has a folder of its own.

    Raises:
        AmbiguousError: two splits have one name.
    """
    parents = [file.path.parent for file in files]
    if len(set(parents)) == len(files) and folder not in parents and (len(files) > 1 or parents[0].name in SPLITS):
        return [file._replace(split=file.path.parent.name) for file in files]
    names = Counter(file.split for file in files)
    if len(names) < len(files):
        shown = ", ".join(str(file.path.relative_to(folder)) for file in files if names[file.split] > 1)
        raise AmbiguousError(
            f"several files are of one split: {shown}; give one file in place of the folder", where=str(folder)
        )
    return files


def image_folder(
    file: CocoFile, folder: Path, pattern: str | None, root: Path, input: InputDatasource | None, names: list[str]
) -> str:
    """The folder, with a slash, that is put before the names of a file's images; empty if there is none.

    Args:
        file: of the images.
        folder: of the export.
        pattern: as the user names it, with {split}; None: it is looked for.
        root: the folder that names are relative to.
        input: the images that Lightly reads, where they are known.
        names: of the images.

    Raises:
        AmbiguousError: the images are not found, or in several folders.
        UsageError: the pattern is not a path within the root.
    """
    if pattern is not None:
        path = PurePosixPath(pattern.replace("{split}", file.split))
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(f"--image-folders: {pattern} is not a path relative to the images' root")
        return "" if path == PurePosixPath() else f"{path}/"
    relative = [name.replace("\\", "/") for name in names if not os.path.isabs(name)]
    sample = relative[:: max(1, len(relative) // SAMPLE)][:SAMPLE]
    if not sample:
        return ""
    own = file.path.parent.relative_to(folder).as_posix() + "/"
    places = [own, f"{own}images/", f"{own}data/"] if own != "./" else []
    places += [f"{parent}{file.split}/" for parent in ("", "images/", "data/")] + ["", "images/", "data/"]
    places = list(dict.fromkeys(places))
    looked: list[tuple[Path, Callable[[str], bool]]] = [(root, lambda name: (root / name).is_file())]
    if input is not None:
        looked.insert(0, (input.root, input.__contains__))
    for _, exists in looked:
        counts = {place: sum(exists(place + name) for name in sample) for place in places}
        best = [place for place, count in counts.items() if count and count == max(counts.values())]
        if len(best) == 1:
            return best[0]
        if best:
            shown = " and ".join(map(repr, best))
            raise AmbiguousError(
                f"its images are in several folders, {shown}; say which: --image-folders", where=str(file.path)
            )
    raise AmbiguousError(
        f"its images are not found below {' or '.join(str(place) for place, _ in looked)}: name their folder with "
        "--images, or say with --image-folders what is put before the names of each split, as 'images/{split}', or '' "
        "for the names as they are",
        where=str(file.path),
    )


def open_folder(
    folder: Path,
    request: Request,
    make: Callable[..., CocoExport],
    *,
    split: str | None,
    images: Path | None,
    masks: Path | None,
    pattern: str | None,
) -> Export:
    """The COCO files of a folder as one export.

    Args:
        folder: of the files.
        request: what it is opened for.
        make: opens a file, with the arguments of `CocoExport`.
        split: the only split wanted; None: all.
        images: folder that the names of images are relative to; None: the export's.
        masks: folder of the panoptic PNGs, or of a folder of PNGs for each file.
        pattern: the folder of a split's images.

    Raises:
        AmbiguousError: the files, or the folders of their images, are not certain.
        ExportError: there is no such file.
        UsageError: an option is wrong.
    """
    files, notes = list_files(folder, request.task, split)
    root = folder if images is None else images
    adapters = []
    for file in files:
        own = masks
        if masks is not None and (masks / file.path.stem).is_dir():
            own = masks / file.path.stem
        find = partial(image_folder, file, folder, pattern, root, request.input)
        adapters.append(Split(partial(make, file.path, images=root, masks=own, folder=find)))
    return CocoFolder(folder, notes, [file.split for file in files], adapters, request)
