"""Where an export has its images, its label files and the names of its classes.

data.yaml                       Ultralytics: splits as folders of images or lists of them, names, kpt_shape
obj.data                        Darknet: lists of images, and a file of names
classes.txt, *.names            a plain folder
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labelferry.converters.yolo.lines import count_lines
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files
from labelferry.reading.text import read_label_file, read_names, read_text, read_yaml

SPLITS = ("train", "val", "valid", "test")

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
    """

    root: str
    names: list[Category]
    splits: list[Split]
    keypoint_shape: tuple[int, int] | None
    files: list[str]
    findings: list[Finding]


class LabelledImage(NamedTuple):
    """Paths of an image and of its label file, None without one."""

    image: str
    label: str | None


def find_entry(path: Path) -> Path:
    """The file that describes the export: the path, or the one in it.

    Raises:
        ExportError: there is none, or there are several.
    """
    if not path.is_dir():
        return path
    for name in ("data.yaml", "dataset.yaml", "data.yml", "obj.data", "classes.txt", "labels/classes.txt"):
        if (path / name).is_file():
            return path / name
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in (".yaml", ".yml", ".data"))
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
        names = [Category(i, name) for i, name in enumerate(read_names(entry))]
        layout = Layout(str(folder), names, [Split("all", str(folder))], None, [str(entry)], [])
    else:
        raise ExportError("a data.yaml, an obj.data, a classes.txt or a folder was expected", where=str(entry))
    if split is None:
        return layout
    chosen = [one for one in layout.splits if one.name == split]
    if not chosen:
        have = ", ".join(dict.fromkeys(one.name for one in layout.splits)) or "none"
        raise ExportError(f"no split {split!r}; it has {have}", where=str(path), code="no-split")
    return layout._replace(splits=chosen)


def list_images(split: Split, labels: Path | None) -> Iterator[LabelledImage | Finding]:
    """Every image of a split with its label file, if it has one; then, as findings, label files without an image.

    Args:
        split: of an export.
        labels: folder of the label files, if it is not one of the usual places.
    """
    if split.listing is not None:
        yield from list_named_images(split, split.listing, labels)
        return
    folder = split.folder
    labels_folder = str(labels) if labels else labels_folder_of(folder)
    stems: dict[str, str] = {}
    for name in find_files(Path(labels_folder), frozenset((".txt",))) if os.path.isdir(labels_folder) else ():
        stems[name[: name.rfind(".")]] = name
    used = set()
    for name in find_files(Path(folder), IMAGE_EXTENSIONS):
        stem = name[: name.rfind(".")]
        key = stem
        if stem not in stems:
            key = _swap_images(stem)  # a root that holds images/ and labels/
            if key not in stems and labels:
                key = os.path.basename(stem)
        label = stems.get(key)
        if label is not None:
            used.add(key)
        yield LabelledImage(f"{folder}/{name}", label and f"{labels_folder}/{label}")
    for stem, name in stems.items():
        if stem not in used and is_label_file(stem):
            path = f"{labels_folder}/{name}"
            text = "a label file without an image: there is nothing that its numbers are relative to"
            yield Finding.error("label-without-image", path, text, lost=_count_objects(path))


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
        stem = os.path.splitext(image)[0]
        if labels:
            candidates = [f"{labels}/{os.path.basename(stem)}.txt"]
        else:
            candidates = [f"{_swap_images(stem)}.txt", f"{stem}.txt"]
        yield LabelledImage(image, next((label for label in candidates if os.path.exists(label)), None))


def list_labels(layout: Layout, labels: Path | None) -> Iterator[tuple[str, str]]:
    """Every label file, with its name without extension: of frames of videos, which have no image files."""
    folders = [str(labels)] if labels else []
    for split in [] if folders else layout.splits:
        if split.listing is not None:
            for image, label in list_named_images(split, split.listing, labels):
                if label:
                    yield os.path.splitext(relative_name(image, layout.root))[0], label
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
    findings = []
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
            place = _existing(root, str(value))
            if place is None and (frames or split not in (None, name)):
                continue
            if place is None:
                # Roboflow names a test split even where there is none
                missing = Finding.repair if name == "test" and split is None else Finding.error
                text = f"the split {name!r} names {value!r}, which does not exist below {root}"
                findings.append(missing("split-missing", str(entry), text))
            elif place.is_dir():
                splits.append(Split(name, str(place)))
            else:
                splits.append(Split(name, str(root), place))
    if not splits and not frames:
        text = f"none of its splits ({', '.join(SPLITS)}) exists below {root}"
        raise ExportError(text, where=str(entry), code="split-missing")
    return Layout(_root_of(root, splits), _names(data, entry, shape), splits, shape, [str(entry)], findings)


def _read_darknet(entry: Path, split: str | None, frames: bool) -> Layout:
    pairs = (line.partition("=") for line in read_text(entry).splitlines())
    data = {key.strip(): value.strip() for key, equals, value in pairs if equals}
    if not data.get("names"):
        raise ExportError("it names no file of class names: a line 'names = obj.names'", where=str(entry))
    names = _existing(entry.parent, data["names"])
    if names is None:
        raise ExportError(f"the file {data['names']!r} does not exist", where=str(entry), code="file-missing")
    findings = []
    splits: list[Split] = []
    for name in SPLITS:
        if not data.get(name):
            continue
        place = _existing(entry.parent, data[name])
        if place is None and (frames or split not in (None, name)):
            continue
        if place is None:
            text = f"the split {name!r} names {data[name]!r}, which does not exist"
            findings.append(Finding.error("split-missing", str(entry), text))
        elif split == name or place not in [one.listing for one in splits]:  # valid is often the same file as train
            splits.append(Split(name, str(entry.parent), place))
    if not splits and not frames:
        raise ExportError("it names no list of images that exists", where=str(entry), code="split-missing")
    categories = [Category(i, name) for i, name in enumerate(read_names(names))]
    return Layout(_root_of(entry.parent, splits), categories, splits, None, [str(entry), str(names)], findings)


def _names(data: dict[str, Any], entry: Path, shape: tuple[int, int] | None) -> list[Category]:
    """The classes: `names` as list or mapping, or as many as `nc` says."""
    given = data.get("names")
    count = data.get("nc")
    if given is None and str(count).isdigit() and int(str(count)) < 100_000:
        given = [f"class_{i}" for i in range(int(str(count)))]  # as Ultralytics calls them
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict) or not given:
        raise ExportError("'names' is a list of class names, or a mapping from id to name", where=str(entry))
    try:
        names = {int(key): str(value) for key, value in given.items()}
    except ValueError:
        raise ExportError("a key of 'names' is not a class id", where=str(entry)) from None
    if count is not None and str(count) != str(len(names)):
        raise ExportError(f"nc is {count}, but there are {len(names)} names", where=str(entry), code="names-count")
    keypoints: tuple[str, ...] = ()
    if shape:
        listed = data.get("kpt_names")
        if isinstance(listed, dict):  # by class id; the same for all in practice
            listed = next(iter(listed.values()), None)
        named = isinstance(listed, list) and len(listed) == shape[0]
        keypoints = tuple(map(str, listed or ())) if named else tuple(f"keypoint_{i}" for i in range(shape[0]))
    return [Category(i, name, keypoints) for i, name in sorted(names.items())]


def _keypoint_shape(data: dict[str, Any], entry: Path) -> tuple[int, int] | None:
    given = data.get("kpt_shape")
    if given is None:
        return None
    try:
        count, dimensions = (int(value) for value in given)
    except (TypeError, ValueError):
        count = dimensions = 0
    if count < 1 or dimensions not in (2, 3):
        raise ExportError(f"kpt_shape is [number of keypoints, 2 or 3], not {given}", where=str(entry))
    return count, dimensions


def _existing(base: Path, name: str) -> Path | None:
    """A file or folder that an export names, where such names are relative to one of several places."""
    path = Path(name.replace("\\", "/"))
    parts = path.parts
    below = Path(*parts[1:]) if len(parts) > 1 else path
    without_dots = Path(*(part for part in parts if part != "..")) if ".." in parts else path
    # Roboflow's ../train/images lies beside data.yaml; CVAT's data/obj.names beside obj.data
    for candidate in (base / path, base / without_dots, base / below, base / path.name):
        if os.path.exists(candidate):
            return Path(os.path.normpath(candidate))
    return None


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
