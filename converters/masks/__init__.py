"""Mask PNGs: label maps by index or colour, instance maps, Cityscapes, and binary masks, beside their images.

A map holds a class (or an instance) in every pixel; a binary mask is one object, or one class, in a file of its own.

There is no common definition. Cityscapes: https://github.com/mcordts/cityscapesScripts, CVAT:
https://docs.cvat.ai/docs/manual/advanced/formats/format-smask/
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import numpy as np

from labelferry.converters.masks.binary import BinaryExport
from labelferry.converters.masks.classes import LEFT_OUT, Kind, of_cityscapes, read_classes, read_palette_file
from labelferry.converters.masks.files import Files
from labelferry.converters.masks.maps import MapExport
from labelferry.converters.masks.palettes import PALETTES
from labelferry.errors import AmbiguousError, ExportError, UsageError
from labelferry.masks.label_maps import masks_from_label_map
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.export import Export, Request
from labelferry.plugin.probe import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import read_label_map
from labelferry.task_type import TaskType

SAMPLE = 5
"""Files that are read to find out whether masks are binary."""

_LABEL_FILES = (
    "labelmap.txt",
    "label_colors.txt",
    "classes.txt",
    "names.txt",
    "labels.txt",
    "classes.json",
    "classes.yaml",
    "dataset_meta.json",
)
"""Usual names of files of classes."""


@register("masks")
class Masks(Adapter):
    """Reads mask PNGs."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
    also_called = ("cityscapes", "camvid", "ade20k", "segmentation", "png")
    names: ClassVar[Mapping[str, Collection[str]]] = {"labels": PALETTES.keys()}

    def __init__(
        self,
        path: Path,
        *,
        kind: Annotated[
            str | None,
            "What the masks are: index (a class index a pixel), colour (a class colour), instance (an instance id, "
            "with --class-masks), cityscapes (class * 1000 + n), binary (a file an object or class, with --pattern). "
            "By default it follows from the other options.",
        ] = None,
        images: Annotated[
            Path | None,
            "Folder of the images; names in the result are relative to it. By default the masks' own names.",
        ] = None,
        labels: Annotated[
            Path | None,
            "File of the classes: names, one a line from index 0; JSON, YAML or CSV of names with values or colours; "
            "CVAT's labelmap.txt, CamVid's label_colors.txt, datumaro's dataset_meta.json; or one of cityscapes, "
            "cityscapes-label-ids, cityscapes-train-ids, voc, camvid, ade20k.",
        ] = None,
        suffix: Annotated[str, "What a mask's name has after its image's, as _mask or _gtFine_labelIds."] = "",
        image_suffix: Annotated[
            str | None,
            "What an image's name has after that common part. By default nothing, or Cityscapes' _leftImg8bit.",
        ] = None,
        class_masks: Annotated[
            str | None, "For instance maps: the folder of the class maps, or their suffix beside the instance maps."
        ] = None,
        pattern: Annotated[
            str | None,
            "For binary masks: how their paths name image, class and number, as '{class}/{image}' or "
            "'{image}/{class}_{n}'. With {n} each file is an object, without it each is a class.",
        ] = None,
        ignore: Annotated[
            str, "Values, colours (#rrggbb) and names that are no class, separated by commas."
        ] = LEFT_OUT,
    ) -> None:
        self.path = path
        self.kind = kind
        self.images = images
        self.labels = labels
        self.suffix = suffix
        self.image_suffix = image_suffix
        self.class_masks = class_masks
        self.pattern = pattern
        self.ignore = ignore

    def open(self, request: Request) -> Export:
        """The masks, as an export of the kind that `--kind` or the other options name."""
        if self.kind is not None and self.kind not in get_args(Kind):
            raise UsageError(f"--kind is one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        image_suffix = self.image_suffix
        if image_suffix is None:
            image_suffix = "_leftImg8bit" if re.match("_gt(Fine|Coarse)_", self.suffix) else ""
        files = self._files(image_suffix)
        kind: Kind = self.kind or self._kind(files)  # type: ignore[assignment]
        if kind == "binary" and (not self.pattern or "{image}" not in self.pattern):
            text = "binary masks need --pattern, which says how paths name image and class, as '{class}/{image}' "
            raise UsageError(text + "or '{image}/{class}_{n}'")
        if kind == "instance" and not self.class_masks:
            raise UsageError("instance maps need --class-masks, the folder or suffix of their class maps")
        if next(files.masks(), None) is None:
            text = f"no mask whose name ends with {self.suffix!r}"
            raise ExportError(text, where=str(self.path), code="no-labels")
        if kind == "binary":
            ignored = {part.strip().lower() for part in self.ignore.split(",")}
            return BinaryExport(request, files, self.pattern or "", self.labels, ignored)
        classes = read_classes(self.labels, kind, self.suffix, self.ignore, self.path)
        # a 255 that no option mentions may be a boundary, or all that is labelled
        asks = kind == "index" and self.kind is None and self.ignore == LEFT_OUT and classes.by_colour is None
        is_said = self.kind is not None or of_cityscapes(self.suffix) is not None
        return MapExport(request, files, kind, classes, self.labels, self.class_masks or "", is_said, asks)

    def _files(self, image_suffix: str) -> Files:
        """The folders; of Cityscapes' root, those of the masks and the images in it.

        Raises:
            AmbiguousError: the root has masks of several kinds, and the suffix does not say which.
        """
        if self.images is not None or not (self.path / "leftImg8bit").is_dir():
            return Files(self.path, self.images, self.suffix, image_suffix)
        folder = re.match("_(gtFine|gtCoarse)_", self.suffix)
        if folder is None:
            text = "Cityscapes' root: say which masks with --suffix _gtFine_labelIds, _gtFine_instanceIds or the like"
            raise AmbiguousError(text, where=str(self.path))
        return Files(self.path / folder[1], self.path / "leftImg8bit", self.suffix, image_suffix, "leftImg8bit/")

    def _kind(self, files: Files) -> Kind:
        """The kind of the masks, as it follows from the other options."""
        if self.pattern:
            return "binary"
        if self.class_masks:
            return "instance"
        if known := of_cityscapes(self.suffix):
            return known[0]
        if self.labels is None:
            names = islice(files.masks(), SAMPLE)
            values = {
                value for name in names for value in masks_from_label_map(read_label_map(f"{self.path}/{name}").values)
            }
            if values and values <= {0, 1, 255, 0x010101, 0xFFFFFF}:
                text = "the masks hold nothing but 0 and 1 or 255: binary ones? say --kind binary with --pattern, or "
                raise AmbiguousError(text + "name the values in --labels", where=str(self.path))
        return "index"

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir or "SegmentationClass" in probe.listing(probe.path)[1]:
            return
        root = _masks_folder(probe)
        names, whole = probe.files(root, frozenset((".png", ".bmp", ".tif", ".tiff")))
        if not names:
            return
        endings = ("_gtFine_labelIds", "_gtFine_instanceIds", "_labelIds", "_instanceIds", "_mask", "_seg", "_label")
        stems = [os.path.splitext(name)[0] for name in names]
        suffix = next((ending for ending in endings if any(stem.endswith(ending) for stem in stems)), "")
        masks = [name for name, stem in zip(names, stems, strict=True) if stem.endswith(suffix)]
        labels = next(
            (p for folder in (root, root.parent) for file in _LABEL_FILES if (p := folder / file).is_file()),
            None,
        )
        values: set[int] = set()
        for name in masks[:4]:
            try:
                found, are_colours = read_label_map(root / name)
            except ExportError:  # as photos may be
                return
            values |= set(np.unique(found[:: max(1, found.shape[0] // 200)]).tolist())
            has_colours = labels is not None and labels.name in ("labelmap.txt", "label_colors.txt")
            if len(values) > 128 or (are_colours and not has_colours):  # a photo
                return
        options: dict[str, Any] = {"suffix": suffix} if suffix else {}
        is_cityscapes = suffix.endswith("Ids")
        question = ""
        if not is_cityscapes:
            options["labels"] = labels or Path("CLASSES.txt")
            question = _open_question(labels, values)
        if values <= {0, 255} and 255 in values:
            question = "the masks hold only 0 and 255: binary masks of one object or class each? (--pattern)"
        tasks: tuple[TaskType, ...] = (TaskType.SEMANTIC_SEGMENTATION,)
        kind = "Cityscapes masks" if is_cityscapes else f"label maps of {len(values)} values in a sample"
        if suffix.endswith("instanceIds"):
            tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
        if folder := next((f for f in ("images", "leftImg8bit", "JPEGImages") if (root.parent / f).is_dir()), None):
            options["images"] = root.parent / folder
        yield Match(root, kind, tasks, len(masks), whole, options, question)


def _masks_folder(probe: Probe) -> Path:
    """The folder of masks that lies beside one of images; else the path itself."""
    folders = {name.lower(): name for name in probe.listing(probe.path)[1]}
    masks = next((folders[name] for name in ("masks", "mask", "annotations", "labels", "gt") if name in folders), "")
    return probe.path / masks if {"images", "image", "img", "imgs"} & folders.keys() else probe.path


def _open_question(labels: Path | None, values: Collection[int]) -> str:
    """What the files do not say about the classes of label maps with these values; empty if they do."""
    if labels is None:
        return "which classes do the values stand for? (--labels)"
    named = read_palette_file(labels).values
    unknown = [] if named is None else sorted(set(values) - named.keys() - {0, 255})
    if not unknown:
        return ""
    listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
    return f"{labels.name} does not name the values {listed}: which classes do they stand for? (--labels)"
