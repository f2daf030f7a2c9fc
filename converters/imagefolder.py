"""A folder per class, with or without a folder per split above: image classification.

    pets/cat/1.jpg  pets/dog/2.jpg            or            pets/train/cat/1.jpg  pets/val/dog/2.jpg

Definition: https://pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html,
https://docs.ultralytics.com/datasets/classify/
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np

from labelferry.errors import AmbiguousError, ExportError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files
from labelferry.reading.text import read_names
from labelferry.task_type import TaskType

SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))

_NO_CLASSES = frozenset(
    (
        "images",
        "labels",
        "masks",
        "annotations",
        "jpegimages",
        "segmentationclass",
        "segmentationobject",
        "videos",
        "img1",
    )
)
"""Names of folders in other formats, of which none is taken for a class where the format is only guessed."""

_SPLIT = "(?:train(?:ing|val)?|val(?:id(?:ation)?)?|test(?:ing)?|dev|eval)"
_WORDS = (
    "images?|imgs?|jpegimages|pictures|photos|frames|masks?|labels?|annot(?:ation)?s?|anns?|gts?|ground_?truths?|targets?|"
    "inputs?|outputs?|depths?|rgbd?|n?ir|thermal|disp(?:arity)?|flow|left|right|hr|lr|semantics?|instances?|panoptic|"
    "seg(?:mentations?)?|segmentationclass|segmentationobject|class(?:es)?|objects?|colou?rs?|bbox(?:es)?|box(?:es)?|"
    "edges?|normals?|alphas?|mattes?|trimaps?|fg|bg|foregrounds?|backgrounds?|noisy|clean|blur(?:red)?|sharp|raw|"
    "originals?|vis(?:uali[sz]ations?)?|previews?|overlays?"
)
_BETWEEN = r"[\W_\d]"
_SPLIT_NAME = re.compile(rf"(?:{_WORDS}|{_BETWEEN})*{_SPLIT}(?:{_SPLIT}|{_WORDS}|{_BETWEEN})*[ab]?")
"""Names of splits, in lower case, also with other words: `train_labels`, `testannot`, `images-val2017`, `trainA`."""

_KIND_NAME = re.compile(rf"{_BETWEEN}*(?:{_WORDS})(?:{_WORDS}|{_BETWEEN})*")
"""Names of kinds of images of the same scenes, in lower case: `images`, `depth`, `left_rgb`."""

_GROUP_NAME = re.compile(
    r"(?:cam(?:era)?|vid(?:eo)?|clip|seq(?:uence)?|scene|shot|part|batch|session|fold|site|day|run|folder|set|chunk|shard|"
    r"patient|subject)[\W_]*(?:\d+|[a-z])|\d{4}[-_.]?\d\d[-_.]?\d\d.*"
)
"""Names that number what images are of, in lower case: `camera_2`, `seq01`, `2024-05-01`."""


@register("imagefolder")
class ImageFolder(Adapter):
    """Reads a folder per class."""

    tasks = (TaskType.CLASSIFICATION,)
    also_called = ("imagenet", "classification", "folder")

    def __init__(
        self,
        path: Path,
        *,
        split: Annotated[str | None, "Only this folder of a split, as train."] = None,
        splits: Annotated[
            bool | None,
            "Whether the top folders are splits; by default they are if all of them have a split's name.",
        ] = None,
        labels: Annotated[
            Path | None, "File of the class names, one a line, where their order matters; by default alphabetical."
        ] = None,
    ) -> None:
        self.path = path
        self.split = split
        self.splits = splits
        self.labels = labels

    def open(self, request: Request) -> Export:
        return _ImageFolderExport(self, request)

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir:
            return
        tops = probe.listing(probe.path)[1]
        lower = [name.lower() for name in tops]
        are_splits = bool(tops) and all(map(_SPLIT_NAME.fullmatch, lower))
        options = {} if not are_splits or SPLITS.issuperset(lower) else {"splits": True}
        classes: dict[str, set[str]] = {}  # paths of the images, without folder of the class and extension
        images, exact = 0, True
        for top in tops if are_splits else [""]:
            for name in probe.listing(probe.path / top)[1]:
                found = probe.listing(probe.path / top / name)[0]
                own = [file for file in found if os.path.splitext(file)[1].lower() in IMAGE_EXTENSIONS]
                if not own or len(own) < len(found) or name.lower() in _NO_CLASSES:
                    return
                classes.setdefault(name, set()).update(f"{top}/{_scene(file)}" for file in own)
                below, whole = probe.files(probe.path / top / name, IMAGE_EXTENSIONS)
                images, exact = images + len(below), exact and whole
        if len(classes) < 2 or _are_kinds(classes):
            return
        flavour = f"a folder for each of {len(classes)} classes"
        yield Match(probe.path, flavour, cls.tasks, images, exact, options, _doubt(list(classes)))


def _scene(file: str) -> str:
    """What an image's name says besides the kind of the image: `0001` of `0001_mask.png` and of `0001x4.png`."""
    stem = os.path.splitext(file)[0].lower()
    return re.sub(rf"^(?:{_WORDS})[\W_]+|[\W_]+(?:{_WORDS})$|x\d$", "", stem)


def _are_kinds(classes: Mapping[str, set[str]]) -> bool:
    """Whether the folders have several kinds of images of the same scenes, such as images and masks."""
    if not all(_KIND_NAME.fullmatch(name.lower()) for name in classes):
        return False
    smaller, *others = sorted(classes.values(), key=len)
    return all(2 * len(smaller & other) >= len(smaller) for other in others)


def _doubt(names: list[str]) -> str:
    """What the folders may be, if their names are not those of classes; empty if there is no doubt."""
    lower = [name.lower() for name in names]
    if all(map(_KIND_NAME.fullmatch, lower)):
        what = "kinds of images"
    elif all(map(_GROUP_NAME.fullmatch, lower)):
        what = "parts of a dataset"
    elif sum(map(bool, map(_SPLIT_NAME.fullmatch, lower))) > 1:
        what = "splits"
    else:
        return ""
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"are the folders ({listed}) classes, and not {what}? If they are: --from imagefolder"


class _ImageFolderExport(Export):
    """A folder per class. `Image.source` is the category id."""

    def __init__(self, adapter: ImageFolder, request: Request) -> None:
        self._path = adapter.path
        self._labels = adapter.labels
        self._tops = _tops(adapter)
        if adapter.labels is not None:
            names = read_names(adapter.labels, unique=True)
        else:
            names = sorted({name for top in self._tops for name in _folders(self._path / top)})
        if not names:
            raise ExportError("no folder of a class in it", where=str(self._path), code="no-labels")
        super().__init__(
            request,
            adapter.tasks,
            [Category(i, name) for i, name in enumerate(names)],
            () if adapter.labels is None else (str(adapter.labels),),
        )

    def images(self) -> Iterator[Image | Finding]:
        ids = {category.name: category.id for category in self.categories}
        counts = Counter(dict.fromkeys(ids, 0))  # images by class
        nested: list[str] = []
        others: dict[str, list[str]] = {}  # files that are no images, by extension
        for top in self._tops:
            prefix = f"{top}/" if top else ""
            is_empty = True
            for name in find_files(self._path / top, None):
                label, slash, inner = name.partition("/")
                where = f"{self._path}/{prefix}{name}"
                extension = os.path.splitext(name)[1].lower()
                if extension not in IMAGE_EXTENSIONS:
                    others.setdefault(extension, []).append(where)
                    continue
                is_empty = False
                if not slash:
                    text = "the image is in no folder of a class"
                    yield Finding.error("class-missing", where, text, lost=1, lost_images=1)
                elif label not in ids:
                    text = f"the folder {label!r} is not named in {self._labels}"
                    yield Finding.error("unknown-category", where, text, lost=1, lost_images=1)
                else:
                    counts[label] += 1
                    if "/" in inner:
                        nested.append(where)
                    yield Image(prefix + name, ids[label])
            if is_empty and top:
                yield Finding.warning("split-without-labels", f"{self._path}/{top}", "the split has no image")
        yield from self._doubts(counts, nested, others)

    def _doubts(self, counts: Counter[str], nested: list[str], others: dict[str, list[str]]) -> Iterator[Finding]:
        """What may not be meant: classes without images or alike, folders in folders, and files that are no images."""
        where = str(self._path)
        if without := [name for name, count in counts.items() if not count]:
            text = f"no image has the class {', '.join(map(repr, without[:5]))}" + (", ..." if len(without) > 5 else "")
            yield Finding.warning("class-without-images", where, text, len(without))
        alike: dict[str, str] = {}
        for name in counts:
            if (other := alike.setdefault(name.casefold(), name)) != name:
                text = f"the classes {other!r} and {name!r} differ in upper and lower case only"
                yield Finding.warning("class-names-alike", where, text)
        if nested:
            text = "images in folders below that of a class, which are of this class"
            yield Finding.note("folder-in-class", nested[0], text, len(nested))
        for extension, files in others.items():
            text = f"files with the extension {extension or 'nothing'!r}, which are no images, are not read"
            yield Finding.warning("files-not-read", files[0], text, len(files))

    def labels(self, image: Image) -> Annotations:
        return Annotations(np.array([image.source], np.int64), found=1)


def _tops(adapter: ImageFolder) -> list[str]:
    """The folders of splits, or the path itself.

    Raises:
        AmbiguousError: the top folders may be classes or splits.
    """
    if not adapter.path.is_dir():
        raise ExportError("a folder was expected", where=str(adapter.path), code="no-labels")
    folders = _folders(adapter.path)
    are_splits = adapter.splits
    if are_splits is None:
        are_splits = adapter.split is not None or bool(folders and SPLITS.issuperset(map(str.lower, folders)))
        if not are_splits and folders and not any(_has_image(adapter.path / name) for name in folders):
            text = f"no image lies directly in one of the folders {', '.join(folders)[:100]}: they may be classes "
            text += "(--no-splits), or have the folders of the classes in them (--splits)"
            if any(map(_folders, (adapter.path / name for name in folders))):
                raise AmbiguousError(text, where=str(adapter.path))
    if not are_splits:
        return [""]
    if adapter.split is None:
        return folders
    if adapter.split not in folders:
        text = f"no split {adapter.split!r}; it has {', '.join(folders) or 'none'}"
        raise ExportError(text, where=str(adapter.path), code="no-split")
    return [adapter.split]


def _has_image(folder: Path) -> bool:
    """Whether there is an image directly in a folder."""
    with os.scandir(folder) as entries:
        return any(os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS for entry in entries)


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
