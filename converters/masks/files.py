"""Which files are masks, and which image belongs to each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.reading.images import IMAGE_EXTENSIONS, find_files

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


class Files(NamedTuple):
    """The folders of masks and images.

    Attributes:
        path: folder of the masks.
        images: folder of the images; None: file names come from the masks.
        suffix: what a mask's name has after the part that it shares with its image's.
        image_suffix: what an image's name has after that part.
        prefix: path of the images' folder in names, ending with a slash.
    """

    path: Path
    images: Path | None
    suffix: str
    image_suffix: str
    prefix: str = ""

    def masks(self) -> Iterator[str]:
        """Paths of the masks relative to their folder.

        Raises:
            ExportError: there is no such folder.
        """
        if not self.path.is_dir():
            raise ExportError("a folder of masks was expected", where=str(self.path), code="no-labels")
        images = None if self.images is None else _below(self.images, self.path)
        for name in find_files(self.path, IMAGE_EXTENSIONS):  # JPEGs among them, to be refused
            if self._is_mask(name, images == "") and not (images and name.startswith(images)):
                yield name

    def others(self) -> int:
        """How many image files in the folder of masks are neither masks nor images."""
        if not self.suffix or (self.images is not None and _below(self.images, self.path) is not None):
            return 0
        return sum(not self._is_mask(name, False) for name in find_files(self.path, IMAGE_EXTENSIONS))

    def images_by_stem(self) -> tuple[dict[str, str], list[Finding]]:
        """The images, relative to their folder, by their path without extension; an error for each further one."""
        found: dict[str, str] = {}
        findings: list[Finding] = []
        if self.images is None:
            return found, findings
        masks = _below(self.path, self.images)
        for name in find_files(self.images, IMAGE_EXTENSIONS):
            if (masks and name.startswith(masks)) or (masks == "" and self._is_mask(name, True)):
                continue
            other = found.setdefault(os.path.splitext(name)[0], name)
            if other != name:
                text = f"{other} and {name} differ only in extension, and would share a prediction file; rename one"
                findings.append(Finding.error("name-collision", f"{self.images}/{name}", text, lost_images=1))
        return found, findings

    def _is_mask(self, name: str, beside: bool) -> bool:
        """Whether a file has a mask's name. Of files beside each other without a suffix, JPEGs are the images."""
        stem, extension = os.path.splitext(name)
        return stem.endswith(self.suffix) and not (beside and not self.suffix and extension.lower() in _JPEG)


def _below(inner: Path, outer: Path) -> str | None:
    """The path from one folder to another within it, ending with a slash; empty if they are the same."""
    try:
        way = os.path.relpath(os.path.realpath(inner), os.path.realpath(outer)).replace(os.sep, "/")
    except ValueError:  # on another drive
        return None
    return None if way.split("/")[0] == ".." else "" if way == "." else way + "/"
