"""Binary masks: a file for each object, or for each class of an image."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from labelferry.converters.masks.files import Files
from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.model import Annotations, Category, Image
from labelferry.plugin.export import Export, Request
from labelferry.reading.images import image_size, read_label_map
from labelferry.reading.text import read_names
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType


class BinaryExport(Export):
    """Binary masks. `Image.files` are an image's masks and, with a folder of images, the image; `Image.source` the
    class of each mask.

    Args:
        request: what it is opened for.
        files: the masks.
        pattern: how their paths name image, class and number.
        labels: file of the class names.
        ignored: names, in lower case, that are no class.
    """

    def __init__(self, request: Request, files: Files, pattern: str, labels: Path | None, ignored: set[str]) -> None:
        self._files = files
        self._pattern = pattern
        self._ignored = ignored
        self._labels = labels
        self._names = _names(files, pattern, labels)
        self._ids = {name: i for i, name in enumerate(self._names) if name.lower() not in ignored}
        super().__init__(
            request,
            (TaskType.INSTANCE_SEGMENTATION,) if "{n}" in pattern else (TaskType.SEMANTIC_SEGMENTATION,),
            [Category(i, name) for name, i in self._ids.items()],
            () if labels is None else (str(labels),),
        )
        self.label_folders = (str(files.path),)

    def images(self) -> Iterator[Image | Finding]:
        folder = self._files.path
        loose = _matcher(self._pattern, None)
        strict = _matcher(self._pattern, self._names) if self._labels else loose
        groups: dict[str, list[tuple[str, str]]] = {}  # (class, path) of each mask, by image
        for name in self._files.masks():
            path, stem = f"{folder}/{name}", os.path.splitext(name)[0]
            match = strict.fullmatch(stem) or loose.fullmatch(stem)
            if match is None:
                text = f"the path does not fit the pattern {self._pattern!r}"
                yield Finding.error("pattern", path, text, lost=1)  # whose image it is of is not known
                continue
            groups.setdefault(match["image"], []).append((match.groupdict().get("class") or self._names[0], path))
        suffix = self._files.image_suffix
        if self._files.images is None:
            for stem, masks in groups.items():
                yield _image(self._files.prefix + stem + suffix + os.path.splitext(masks[0][1])[1], masks)
            return
        images, findings = self._files.images_by_stem()
        yield from findings
        for stem, name in images.items():  # an image without a mask has no object
            yield _image(
                self._files.prefix + name, groups.pop(stem.removesuffix(suffix), []), f"{self._files.images}/{name}"
            )
        for stem, masks in groups.items():
            text = f"no image {stem}{suffix}.* in {self._files.images}"
            yield Finding.error("label-without-image", masks[0][1], text, len(masks), len(masks), lost_images=1)

    def labels(self, image: Image) -> Annotations:
        try:
            labels = self._masks(image.source, image.files, image.size)
        except ExportError as error:
            error.lost = len(image.source)
            raise
        top = image.file_name.removeprefix(self._files.prefix).rpartition("/")[0].partition("/")[0]
        labels.evidence = Counter([f"label-file:{top}" if image.source else f"no-label-file:{top}"])
        return labels

    def _masks(self, classes: tuple[str, ...], files: tuple[str, ...], size: tuple[int, int] | None) -> Annotations:
        """Every pixel that is not 0 belongs to the object. `size` is that of the image, if it is known."""
        if size is None and self._files.images is not None:
            size = image_size(files[-1])
        findings: list[Finding] = []
        ids, masks, places, ignored = [], [], [], []
        for name, path in zip(classes, files, strict=False):
            if name not in self._ids:
                if name.lower() in self._ignored:
                    ignored.append(path)
                else:
                    text = f"class {name!r} is not named in {self._labels}"
                    findings.append(Finding.error("unknown-category", path, text, lost=1))
                continue
            values = read_label_map(path).values
            mask = RunLengthMask.from_array(values)
            if mask.area != np.count_nonzero(values == values.max(initial=0)) and mask.area:
                text = "more than two values, as at a blurred edge; all but 0 belong to the object"
                findings.append(Finding.repair("mask-not-binary", path, text))
            ids.append(self._ids[name])
            masks.append(mask)
            places.append(path)
        if ignored:
            text = "masks of a class that --ignore names"
            findings.append(Finding.note("class-ignored", ignored[0], text, len(ignored), len(ignored)))
        sizes = [(mask.width, mask.height) for mask in masks]
        if size is None:
            size = sizes[0] if sizes else image_size(files[0])
        elif sizes:  # of an image that is stored turned, they may be of the upright picture
            alike = [one for one in sizes if sorted(one) == sorted(size)]
            if not alike:
                text = f"the mask has {sizes[0][0]} x {sizes[0][1]} pixels, the image {size[0]} x {size[1]}"
                raise ExportError(text, where=places[0], code="mask-size")
            size = alike[0]
        return Annotations(
            np.array(ids, np.int64),
            size,
            masks=masks,
            findings=findings,
            locate=places.__getitem__,
            found=len(classes),
        )


def _image(name: str, masks: list[tuple[str, str]], path: str | None = None) -> Image:
    files = [mask for _, mask in masks] + ([] if path is None else [path])
    return Image(name, tuple(label for label, _ in masks), files=tuple(files), path=path or "")


def _names(files: Files, pattern: str, labels: Path | None) -> list[str]:
    """The classes: those of the file, or those in the masks' paths."""
    has_class = "{class}" in pattern
    if labels is not None:
        names = read_names(labels, unique=True)
        if not has_class and len(names) != 1:
            raise UsageError(f"--pattern {pattern!r} has no {{class}}, but --labels names {len(names)} classes")
        return names
    if not has_class:
        return ["object"]
    matcher = _matcher(pattern, None)
    matches = (matcher.fullmatch(os.path.splitext(name)[0]) for name in files.masks())
    names = sorted({match["class"] for match in matches if match})
    if not names:
        text = f"no mask's path fits the pattern {pattern!r}, as {next(files.masks())}"
        raise ExportError(text, where=str(files.path), code="no-labels")
    return names


def _matcher(pattern: str, names: list[str] | None) -> re.Pattern[str]:
    """The pattern as a regular expression for a path without its extension."""
    # known names may contain the text between the parts, so the image is what they leave
    known = "|".join(re.escape(name) for name in names) if names else ""
    parts = {
        "image": "(?P<image>.+?)" if known else "(?P<image>.+)",
        "class": f"(?P<class>{known})" if known else "(?P<class>[^/]+?)",
        "n": r"(?P<n>\d+)",
    }
    text = ""
    for literal, field in re.findall(r"([^{}]*)(?:\{(\w*)\})?", pattern):
        if field and field not in parts:
            raise UsageError(f"--pattern {pattern!r}: {{{field}}} is not one of {{image}}, {{class}}, {{n}}")
        text += re.escape(literal) + (parts[field] if field else "")
    try:
        return re.compile(text)
    except re.error:
        raise UsageError(f"--pattern {pattern!r} names a part twice") from None
