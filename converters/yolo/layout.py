"""Where an export has its images, its label files and the names of its classes.

data.yaml                       Ultralytics: splits as folders of images or lists of them, names, kpt_shape
obj.data                        Darknet: lists of images, and a file of names
classes.txt, *.names            a plain folder
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labelferry.converters.yolo.lines import count_lines
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files
from labelferry.reading.keys import unread_keys
from labelferry.reading.text import read_label_file, read_names, read_text, read_yaml

SPLITS = ("train", "val", "valid", "validation", "test")

ENTRIES = ("data.yaml", "dataset.yaml", "data.yml", "obj.data", "classes.txt", "labels/classes.txt")
"""Usual names of the file that describes an export, the one that is taken first at the front."""

DESCRIPTIONS = (".yaml", ".yml", ".data")
"""Extensions of files that describe an export by any name."""

_YAML_KEYS = ("path", *SPLITS, "names", "nc", "kpt_shape", "kpt_names")
_YAML_UNREAD = ("flip_idx", "channels", "download", "minival", "roboflow")
_DARKNET_KEYS = ("names", "classes", *SPLITS)
_DARKNET_UNREAD = ("backup", "eval", "results", "labels", "top")

_MOST_CLASSES = 100_000
"""Classes that a number alone makes, without their names."""

_MOST_KEYPOINTS = 100_000
"""Keypoints of an object: more do not fit in a line of a label file that is read."""

_CLASS_ID = re.compile(r"[0-9]{1,15}")

_NO_LABELS = frozenset(("classes", "predefined_classes", "obj", "notes", "train", "val", "valid", "test", "readme"))


class Split(NamedTuple):
    """Images of one entry of a split: all below a folder, or those that a text file lists."""

    name: str
    folder: str
    listing: Path | None = None


class Layout(NamedTuple):
    """What the files that describe an export say.

    Attributes:
        root: folder that names of images are relative to.
        names: the classes.
        splits: with images that exist.
        keypoint_shape: number of keypoints, and whether 2 or 3 numbers each; None without keypoints.
        files: paths of the files that say which classes there are, and of what shape.
        findings: what is wrong with the description.
        is_part: whether `splits` are those that the user has chosen, and there may be others.
    """

    root: str
    names: list[Category]
    splits: list[Split]
    keypoint_shape: tuple[int, int] | None
    files: list[str]
    findings: list[Finding]
    is_part: bool = False


class LabelledImage(NamedTuple):
    """An image of a split.

    Attributes:
        image: its path.
        label: path of its label file; None: it has none.
        split: name of the split.
    """

    image: str
    label: str | None
    split: str


def find_entry(path: Path) -> Path:
    """The file that describes the export: the path, or the one in it.

    Raises:
        ExportError: there is none, or there are several.
    """
    if not path.is_dir():
        return path
    for name in ENTRIES:
        if (path / name).is_file():
            return path / name
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in DESCRIPTIONS)
    if len(found) != 1:
        what = f"several: {', '.join(p.name for p in found)}" if found else "none"
        raise ExportError(
            f"name the data.yaml, obj.data or classes.txt that describes the export; here there is {what}",
            where=str(path),
            code="no-entry",
        )
    return found[0]


def read_layout(path: Path, split: str | None = None, frames: bool = False) -> Layout:
    """What the export at a path consists of.

    Args:
        path: as given by the user: the file that describes the export, or a folder with it.
        split: the only split wanted; None: all.
        frames: whether label files of videos are wanted, so that images need not exist.

    Raises:
        ExportError: it cannot be read, or has no such split.
    """
    entry = find_entry(path)
    suffix = entry.suffix.lower()
    if suffix in (".yaml", ".yml"):
        layout = _read_yaml(entry, split, frames)
    elif suffix == ".data":
        layout = _read_darknet(entry, split, frames)
    elif suffix in (".txt", ".names"):
        folder = path if path.is_dir() else entry.parent
        findings: list[Finding] = []
        names = _listed_names(entry, findings)
        layout = Layout(str(folder), names, [Split("all", str(folder))], None, [str(entry)], findings)
    else:
        raise ExportError("a data.yaml, an obj.data, a classes.txt or a folder was expected", where=str(entry))
    if split is None:
        return layout
    chosen = [one for one in layout.splits if one.name == split]
    if not chosen:
        have = ", ".join(dict.fromkeys(one.name for one in layout.splits)) or "none"
        raise ExportError(f"no split {split!r}; it has {have}", where=str(path), code="no-split")
    return layout._replace(splits=chosen, is_part=True)


def list_images(layout: Layout, labels: Path | None) -> Iterator[LabelledImage | Finding]:
    """Every image of the splits with its label file, if it has one; an image of two splits once. Then, as findings,
    label files without an image.

    Args:
        layout: of the export.
        labels: folder of the label files, if it is not one of the usual places.
    """
    folders: dict[str, _LabelFolder] = {}
    used: set[str] = set()
    seen: set[str] = set()
    listed: set[str] = set()
    for split in layout.splits:
        if split.listing is not None:
            images = list_named_images(split, split.listing, labels)
        else:
            name = str(labels) if labels else labels_folder_of(split.folder)
            if name not in folders:
                is_shared = bool(labels) or name == os.path.normpath(f"{split.folder}/../labels")
                folders[name] = _LabelFolder(name, is_shared)
            images = _list_folder(split, folders[name], bool(labels))
        is_empty = True
        for one in images:
            is_empty = False
            if one.label is not None:
                used.add(one.label)
                if split.listing is not None:
                    listed.add(os.path.dirname(one.label))
            if len(layout.splits) > 1 or split.listing is not None:
                path = os.path.abspath(one.image)
                if path in seen:
                    text = "the image is listed more than once, by splits or a list: it has one file"
                    yield Finding.note("image-listed-twice", one.image, text, merged_images=1)
                    continue
                seen.add(path)
            yield one
        if is_empty:
            text = f"the split {split.name!r} has no image"
            yield Finding.warning("split-without-images", str(split.listing or split.folder), text)
    for folder in folders.values():
        yield from folder.findings(used, layout.is_part)
    if not layout.is_part:
        yield from _unlisted(listed, used)


def _unlisted(folders: set[str], used: set[str]) -> Iterator[Finding]:
    """A note of each folder with label files of images that no list names.

    Args:
        folders: that hold label files of listed images.
        used: paths of the label files that images have.
    """
    for folder in sorted(folders):
        names = [name for name in os.listdir(folder) if name.lower().endswith(".txt") and is_label_file(name[:-4])]
        if count := sum(f"{folder}/{name}" not in used for name in names):
            text = "label files of images that no list names: they are not read"
            yield Finding.note("image-not-listed", folder, text, count)


def labels_of_several_images(layout: Layout, labels: Path) -> dict[str, list[str]]:
    """Label files in a folder that the user names, each of which would be that of several images, with these images."""
    first: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for one in list_images(layout, labels):
        if (
            isinstance(one, LabelledImage)
            and one.label is not None
            and first.setdefault(one.label, one.image) != one.image
        ):
            several.setdefault(one.label, [first[one.label]]).append(one.image)
    return several


class _LabelFolder:
    """The label files of a folder.

    Args:
        folder: its path.
        is_shared: whether it may hold label files of images of several splits.
    """

    def __init__(self, folder: str, is_shared: bool) -> None:
        self.folder = folder
        self.is_shared = is_shared
        self.stems: dict[str, str] = {}
        self._others: list[tuple[str, str]] = []
        for name in find_files(Path(folder), frozenset((".txt",))) if os.path.isdir(folder) else ():
            stem = name[: name.rfind(".")]
            if self.stems.setdefault(stem, name) != name:
                self._others.append((name, self.stems[stem]))

    def findings(self, used: set[str], is_part: bool) -> Iterator[Finding]:
        """Label files that no image has; their lines are lost.

        Args:
            used: paths of the label files that images have; the others are added.
            is_part: whether only some splits are wanted.
        """
        for name, other in self._others:
            text = f"the image has another label file, {other}: which of them is right?"
            yield Finding.error(
                "label-file-twice", f"{self.folder}/{name}", text, lost=_count_objects(f"{self.folder}/{name}")
            )
        for stem, name in self.stems.items():
            path = f"{self.folder}/{name}"
            if path in used or not is_label_file(stem):
                continue
            used.add(path)
            if self.is_shared and is_part:
                text = "no image of the chosen split has this label file"
                yield Finding.note("label-of-other-split", path, text, lost=_count_objects(path))
            else:
                text = "a label file without an image: there is nothing that its numbers are relative to"
                yield Finding.error("label-without-image", path, text, lost=_count_objects(path))


def _list_folder(split: Split, labels: _LabelFolder, by_base_name: bool) -> Iterator[LabelledImage]:
    """The images below the folder of a split."""
    for name in find_files(Path(split.folder), IMAGE_EXTENSIONS):
        stem = name[: name.rfind(".")]
        label = labels.stems.get(stem) or labels.stems.get(_swap_images(stem))  # a root with images/ and labels/
        if label is None and by_base_name:
            label = labels.stems.get(os.path.basename(stem))
        yield LabelledImage(f"{split.folder}/{name}", label and f"{labels.folder}/{label}", split.name)


def list_named_images(split: Split, listing: Path, labels: Path | None) -> Iterator[LabelledImage]:
    """The same of a split whose images a text file lists."""
    base: str | None = None
    for line in read_text(listing).splitlines():
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        if base is None:
            base = _base_of(name, listing, split.folder)
        # what the first line's path is relative to, that of the others is too
        image = name if os.path.isabs(name) else os.path.normpath(f"{base}/{name}")
        if base.endswith("//"):
            image = os.path.normpath(f"{base}{name.partition('/')[2]}")
        found = (label for label in _label_candidates(image, labels) if os.path.exists(label))
        yield LabelledImage(image, next(found, None), split.name)


def _label_candidates(image: str, labels: Path | None) -> list[str]:
    """Where the label file of a listed image may be."""
    stem = os.path.splitext(image)[0]
    return [f"{labels}/{os.path.basename(stem)}.txt"] if labels else [f"{_swap_images(stem)}.txt", f"{stem}.txt"]


def label_folders(layout: Layout, labels: Path | None) -> tuple[str, ...]:
    """The folders in which label files are looked for."""
    if labels:
        return (str(labels),)
    folders: list[str] = []
    for split in layout.splits:
        if split.listing is None:
            folders += [labels_folder_of(split.folder), _swap_images(split.folder)]
        elif first := next(list_named_images(split, split.listing, None), None):
            folders += map(os.path.dirname, _label_candidates(first.image, None))
    return tuple(dict.fromkeys(folders))


def list_labels(layout: Layout, labels: Path | None) -> Iterator[tuple[str, str]]:
    """Every label file, with its name without extension: of frames of videos, which have no image files."""
    folders = [str(labels)] if labels else []
    for split in [] if folders else layout.splits:
        if split.listing is not None:
            for one in list_named_images(split, split.listing, labels):
                if one.label:
                    yield os.path.splitext(relative_name(one.image, layout.root))[0], one.label
        elif (folder := labels_folder_of(split.folder)) not in folders:
            folders.append(folder)
    if not labels and not layout.splits:
        folders = [f"{layout.root}/labels" if os.path.isdir(f"{layout.root}/labels") else layout.root]
    for folder in folders:
        for name in find_files(Path(folder), frozenset((".txt",))):
            stem = name[: name.rfind(".")]
            if is_label_file(stem):
                yield stem, f"{folder}/{name}"


def _count_objects(path: str) -> int:
    """Objects in a label file; 0 if it cannot be read."""
    try:
        return count_lines(read_label_file(path))
    except ExportError:
        return 0


def is_label_file(stem: str) -> bool:
    """Whether a text file of this path, without extension, is the label file of an image, and not one of the names and
    lists that often lie beside them."""
    return os.path.basename(stem).lower() not in _NO_LABELS


def labels_folder_of(images: str) -> str:
    """Where the labels of a folder of images are, by one of the usual conventions; else beside them."""
    swapped = _swap_images(images)
    candidates = [swapped, swapped.replace("Labels", "labels"), f"{images}/labels", f"{images}/../labels"]
    for folder in candidates:
        if folder != images and os.path.isdir(folder) and not os.path.isdir(f"{images}/images"):
            return os.path.normpath(folder)
    return images


def relative_name(image: str, root: str) -> str:
    """An image's path relative to a folder, which is absolute; with forward slashes."""
    image = os.path.abspath(image)
    if image.startswith(root + os.sep):
        return image[len(root) + 1 :].replace(os.sep, "/")
    return image.replace(os.sep, "/")  # refused, as every absolute name


def _read_yaml(entry: Path, split: str | None, frames: bool) -> Layout:
    data = read_yaml(entry)
    if not isinstance(data, dict):
        raise ExportError("a mapping with 'names' and splits was expected", where=str(entry))
    findings = unread_keys(data, _YAML_KEYS, _YAML_UNREAD, str(entry))
    findings += _empty_values(data, entry)
    root = entry.parent
    if data.get("path"):
        named = entry.parent / os.path.expanduser(str(data["path"]))
        if os.path.isdir(named):
            root = named
        else:
            text = f"its path {data['path']!r} does not exist here; read as if it lay beside {entry.name}"
            findings.append(Finding.repair("path-elsewhere", str(entry), text))
    shape = _keypoint_shape(data, entry)
    splits = []
    for name in SPLITS:
        values = data.get(name) or []
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                raise ExportError(f"{name!r} is a path, or a list of paths, not {value}", where=str(entry))
            place, is_moved = _existing(root, value)
            if place is None and (frames or split not in (None, name)):
                continue
            if place is None:
                # Roboflow names a test split even where there is none
                missing = Finding.repair if name == "test" and split is None else Finding.error
                text = f"the split {name!r} names {value!r}, which does not exist below {root}"
                findings.append(missing("split-missing", str(entry), text))
                continue
            if is_moved and split in (None, name):
                text = f"the split {name!r} names {value!r}, which does not exist below {root}; read {place}"
                findings.append(Finding.repair("path-elsewhere", str(entry), text))
            splits.append(Split(name, str(place)) if place.is_dir() else Split(name, str(root), place))
    if not splits and not frames:
        text = f"none of its splits ({', '.join(SPLITS)}) exists below {root}"
        raise ExportError(text, where=str(entry), code="split-missing")
    names = _names(data, entry, shape, findings)
    return Layout(_root_of(root, splits), names, splits, shape, [str(entry)], findings)


def _read_darknet(entry: Path, split: str | None, frames: bool) -> Layout:
    data: dict[str, str] = {}
    for number, line in enumerate(read_text(entry).splitlines(), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if (not key and not equals) or line.lstrip().startswith(("#", ";")):
            continue
        if not equals:
            raise ExportError(f"'key = value' was expected, found {line.strip()!r}", where=f"{entry}:{number}")
        if key in data:
            raise ExportError(f"the key {key!r} stands twice", where=f"{entry}:{number}", code="key-twice")
        data[key] = value
    if not data.get("names"):
        raise ExportError("it names no file of class names: a line 'names = obj.names'", where=str(entry))
    names, _ = _existing(entry.parent, data["names"], "data")
    if names is None:
        raise ExportError(f"the file {data['names']!r} does not exist", where=str(entry), code="file-missing")
    findings = unread_keys(data, _DARKNET_KEYS, _DARKNET_UNREAD, str(entry))
    findings += _empty_values(data, entry)
    splits: list[Split] = []
    for name in SPLITS:
        if not data.get(name):
            continue
        place, is_moved = _existing(entry.parent, data[name], "data")
        if place is None and (frames or split not in (None, name)):
            continue
        if place is None:
            text = f"the split {name!r} names {data[name]!r}, which does not exist"
            findings.append(Finding.error("split-missing", str(entry), text))
            continue
        if is_moved and split in (None, name):
            text = f"the split {name!r} names {data[name]!r}, which does not exist; read {place}"
            findings.append(Finding.repair("path-elsewhere", str(entry), text))
        if split == name or place not in [one.listing for one in splits]:  # valid is often the same file as train
            splits.append(Split(name, str(entry.parent), place))
    if not splits and not frames:
        raise ExportError("it names no list of images that exists", where=str(entry), code="split-missing")
    categories = _listed_names(names, findings)
    if "classes" in data and data["classes"] != str(len(categories)):
        text = f"classes is {data['classes']}, but there are {len(categories)} names"
        raise ExportError(text, where=str(entry), code="names-count")
    return Layout(_root_of(entry.parent, splits), categories, splits, None, [str(entry), str(names)], findings)


def _empty_values(data: dict[str, Any], entry: Path) -> Iterator[Finding]:
    """Keys of paths without a value. Templates of data.yaml leave that of `test` out."""
    for key in ("path", *SPLITS):
        if key in data and not data[key]:
            make = Finding.note if key == "test" else Finding.warning
            yield make("empty-value", str(entry), f"{key!r} has no value")


def _listed_names(path: Path, findings: list[Finding]) -> list[Category]:
    """The classes that a file names, one a line."""
    return [Category(i, name) for i, name in enumerate(read_names(path))]


def _names(data: dict[str, Any], entry: Path, shape: tuple[int, int] | None, findings: list[Finding]) -> list[Category]:
    """The classes: `names` as list or mapping, or as many as `nc` says.

    https://github.com/ultralytics/ultralytics/blob/main/ultralytics/data/utils.py, `check_det_dataset`
    """
    given = data.get("names")
    count = data.get("nc")
    if given is None and isinstance(count, str) and _CLASS_ID.fullmatch(count) and int(count) < _MOST_CLASSES:
        given = [f"class_{i}" for i in range(int(count))]
        text = f"it has no 'names': the {count} classes are called class_0, class_1, ..., as Ultralytics calls them"
        findings.append(Finding.warning("names-missing", str(entry), text))
    if isinstance(given, list):
        given = {str(i): name for i, name in enumerate(given)}
    if not isinstance(given, dict) or not given:
        text = "'names' is a list of class names, or a mapping from id to name; without it, 'nc' is their number"
        raise ExportError(text, where=str(entry))
    for key, name in given.items():
        if not _CLASS_ID.fullmatch(key):
            raise ExportError(f"the key {key!r} of 'names' is not a class id", where=str(entry))
        if not isinstance(name, str):
            raise ExportError(f"the name of class {key} is not text, but {name}", where=str(entry))
    names = {int(key): name for key, name in given.items()}
    if len(names) < len(given):
        raise ExportError("two keys of 'names' are the same class id", where=str(entry), code="key-twice")
    if count is not None and str(count) != str(len(names)):
        raise ExportError(f"nc is {count}, but there are {len(names)} names", where=str(entry), code="names-count")
    first_missing = next(i for i in range(len(names) + 1) if i not in names)
    if first_missing < len(names):
        text = f"'names' has no class {first_missing}, but has class {max(names)}: is a line missing?"
        findings.append(Finding.warning("names-gap", str(entry), text))
    keypoints = _keypoint_names(data, entry, shape, findings)
    return [Category(i, name, keypoints.get(i, keypoints[None])) for i, name in sorted(names.items())]


def _keypoint_names(
    data: dict[str, Any], entry: Path, shape: tuple[int, int] | None, findings: list[Finding]
) -> dict[int | None, tuple[str, ...]]:
    """Names of the keypoints by class id; under None, those of classes that are not named."""
    if shape is None:
        return {None: ()}
    names: dict[int | None, tuple[str, ...]] = {None: tuple(f"keypoint_{i}" for i in range(shape[0]))}
    given = data.get("kpt_names")
    if given is None:
        return names
    for key, value in (given if given and isinstance(given, dict) else {None: given}).items():
        are_names = isinstance(value, list) and len(value) == shape[0] and all(isinstance(one, str) for one in value)
        if are_names and (key is None or _CLASS_ID.fullmatch(key)):
            names[None if key is None or len(given) == 1 else int(key)] = tuple(value)
        else:
            of = "" if key is None else f" of class {key}"
            text = f"kpt_names{of} is not a list of {shape[0]} names: they are called keypoint_0, keypoint_1, ..."
            findings.append(Finding.warning("keypoint-names", str(entry), text))
    return names


def _keypoint_shape(data: dict[str, Any], entry: Path) -> tuple[int, int] | None:
    given = data.get("kpt_shape")
    if given is None:
        return None
    try:
        count, dimensions = (int(value) for value in given) if isinstance(given, list) else (0, 0)
    except (TypeError, ValueError):
        count = dimensions = 0
    if not 1 <= count <= _MOST_KEYPOINTS or dimensions not in (2, 3):
        raise ExportError(f"kpt_shape is [number of keypoints, 2 or 3], not {given}", where=str(entry))
    return count, dimensions


def _existing(base: Path, name: str, prefix: str = "..") -> tuple[Path | None, bool]:
    """A file or folder that an export names, where such names are relative to one of several places.

    Args:
        base: the folder that it is relative to.
        name: as the export has it.
        prefix: a first folder of names that does not exist by convention: Roboflow's ../train/images lies beside
            data.yaml, CVAT's data/obj.names beside obj.data.

    Returns:
        The path, if there is one, and whether it is at a place that no tool means.
    """
    path = Path(name.replace("\\", "/"))
    if not path.parts:
        return None, False
    parts = path.parts
    below = Path(*parts[1:]) if len(parts) > 1 else path
    without_dots = Path(*(part for part in parts if part != ".."))
    meant = (base / path, base / below if parts[0] == prefix else base / path)
    for candidate in (*meant, base / without_dots, base / below, base / path.name):
        if os.path.exists(candidate):
            return Path(os.path.normpath(candidate)), candidate not in meant
    return None, False


def _base_of(name: str, listing: Path, root: str) -> str:
    """What the paths in a list of images are relative to; with '//' at its end, their first folder is not there."""
    for base in (str(listing.parent), root, os.path.dirname(root), "."):
        if os.path.exists(f"{base}/{name}"):
            return base
    below = name.partition("/")[2]
    for base in (str(listing.parent), root):
        if below and os.path.exists(f"{base}/{below}"):
            return f"{base}//"
    return str(listing.parent)


def _root_of(root: Path, splits: Iterable[Split]) -> str:
    """The dataset's root, or the folder above all splits if they lie elsewhere."""
    top = os.path.abspath(root)
    folders = [os.path.abspath(split.folder) for split in splits]
    if all(folder == top or folder.startswith(top + os.sep) for folder in folders):
        return top
    return os.path.commonpath(folders)


def _swap_images(path: str) -> str:
    """The last folder called images (or JPEGImages) in a path as labels: where Ultralytics and Darknet look."""
    parts = path.split("/")
    for i in range(len(parts) - 1, -1, -1):
        if parts[i].lower() in ("images", "jpegimages"):
            parts[i] = "Labels" if parts[i] == "Images" else "labels"
            return "/".join(parts)
    return path
