"""Mask PNGs: label maps by index or colour, instance maps, Cityscapes, and binary masks, beside their images.

A map holds a class (or an instance) in every pixel; a binary mask is one object, or one class, in a file of its own.

Definition: there is none but habit; Cityscapes: https://github.com/mcordts/cityscapesScripts, CVAT:
https://docs.cvat.ai/docs/manual/advanced/formats/format-smask/
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, get_args
from typing import Literal as OneOf

import numpy as np

from labelferry.converters.masks.classes import CITYSCAPES, CITYSCAPES_TRAINING, read_values
from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.masks.label_maps import instance_segments, masks_from_label_map, segments_of
from labelferry.model import Annotations, Category, File, Image
from labelferry.plugin.adapter import Adapter
from labelferry.plugin.detect import Match, Probe
from labelferry.plugin.registry import register
from labelferry.reading.images import (
    IMAGE_EXTENSIONS,
    LabelMap,
    find_files,
    image_size,
    packed_colour,
    read_label_map,
    read_palette,
)
from labelferry.reading.text import read_names
from labelferry.run_lengths import RunLengthMask
from labelferry.task_type import TaskType

Kind = OneOf["index", "colour", "instance", "cityscapes", "binary"]

LEFT_OUT = "255,background,_background_,unlabeled,unlabelled,void"
SAMPLE = 5
"""Files that are looked at to tell what to ask the user for."""

CITYSCAPES_FILES: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "labelIds": ("index", CITYSCAPES),
    "labelTrainIds": ("index", CITYSCAPES_TRAINING),
    "instanceIds": ("cityscapes", CITYSCAPES),
    "instanceTrainIds": ("cityscapes", CITYSCAPES_TRAINING),
    "gtFine_panoptic": ("cityscapes", CITYSCAPES),
}
"""What Cityscapes' masks are, by the end of their names."""

Segments = list[tuple[int, int, RunLengthMask]]
"""Value, category id and mask."""

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


_LABEL_FILES = (
    "labelmap.txt",
    "label_colors.txt",
    "classes.txt",
    "names.txt",
    "labels.txt",
    "classes.json",
    "classes.yaml",
)
"""What files of the classes of masks are called."""


@register("masks")
class Masks(Adapter):
    """Reads mask PNGs."""

    tasks = (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)

    def __init__(
        self,
        path: Path,
        *,
        kind: Annotated[
            str | None,
            "What the masks are: index (a class index a pixel), colour (a class colour), instance (an instance id, "
            "with --class-masks), cityscapes (class * 1000 + n), binary (a file an object or class, with --pattern). "
            "By default told by the other options.",
        ] = None,
        images: Annotated[
            Path | None,
            "Folder of the images; names in the result are relative to it. By default the masks' own names.",
        ] = None,
        labels: Annotated[
            Path | None,
            "File of the classes: names, one a line from index 0; JSON, YAML or CSV of names with values or colours; "
            "or CVAT's labelmap.txt, CamVid's label_colors.txt.",
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
        self._kind: Kind | None = None
        self._ids: dict[str, int] = {}
        self._by_value: dict[int, int | None] = {}
        """The category of each value or packed colour; None for what is no class."""
        self._by_colour = False

    @classmethod
    def detect(cls, probe: Probe) -> Iterator[Match]:
        if not probe.is_dir or "SegmentationClass" in probe.listing(probe.path)[1]:
            return
        names, whole = probe.files(probe.path, frozenset((".png", ".bmp", ".tif", ".tiff")))
        if not names:
            return
        endings = ("_gtFine_labelIds", "_gtFine_instanceIds", "_labelIds", "_instanceIds", "_mask", "_seg", "_label")
        stems = [os.path.splitext(name)[0] for name in names]
        suffix = next((ending for ending in endings if any(stem.endswith(ending) for stem in stems)), "")
        masks = [name for name, stem in zip(names, stems, strict=True) if stem.endswith(suffix)]
        labels = next(
            (
                p
                for folder in (probe.path, probe.path.parent)
                for file in _LABEL_FILES
                if (p := folder / file).is_file()
            ),
            None,
        )
        values: set[int] = set()
        for name in masks[:4]:
            found, are_colours = read_label_map(probe.path / name)
            values |= set(np.unique(found[:: max(1, found.shape[0] // 200)]).tolist())
            has_colours = labels is not None and labels.name in ("labelmap.txt", "label_colors.txt")
            if len(values) > 128 or (are_colours and not has_colours):  # a photo
                return
        options: dict[str, Any] = {"suffix": suffix} if suffix else {}
        is_cityscapes = suffix.endswith("Ids")
        question = ""
        if not is_cityscapes:
            options["labels"] = labels or Path("CLASSES.txt")
            question = "" if labels else "which classes do the values stand for? (--labels)"
        if values <= {0, 255} and 255 in values:
            question = "the masks hold only 0 and 255: binary masks of one object or class each? (--pattern)"
        tasks: tuple[TaskType, ...] = (TaskType.SEMANTIC_SEGMENTATION,)
        kind = "Cityscapes masks" if is_cityscapes else f"label maps of {len(values)} values in a sample"
        if suffix.endswith("instanceIds"):
            tasks = (TaskType.INSTANCE_SEGMENTATION, *tasks)
        if folder := next(
            (f for f in ("images", "leftImg8bit", "JPEGImages") if (probe.path.parent / f).is_dir()), None
        ):
            options["images"] = probe.path.parent / folder
        yield Match(probe.path, kind, tasks, len(masks), whole, options, question)

    def get_tasks(self) -> tuple[TaskType, ...]:
        kind = self._found_kind()
        if kind == "binary":
            has_objects = "{n}" in (self.pattern or "")
            return (TaskType.INSTANCE_SEGMENTATION,) if has_objects else (TaskType.SEMANTIC_SEGMENTATION,)
        if kind in ("instance", "cityscapes"):
            return (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
        return (TaskType.SEMANTIC_SEGMENTATION,)

    def get_categories(self) -> list[Category]:
        left_out = {part.strip().lower() for part in self.ignore.split(",")}
        if self._found_kind() == "binary":
            ids = {name: i for i, name in enumerate(self._binary_names()) if name.lower() not in left_out}
        else:
            values = self._named_values()
            ids = {}
            for place, (value, name) in enumerate(values.items() if self._by_colour else sorted(values.items())):
                if name.lower() not in left_out:  # a value is its class's id, of several the lowest
                    ids.setdefault(name, place if self._by_colour else value)
            named = {value: ids.get(name) for value, name in values.items()}
            ignored: dict[int, int | None] = dict.fromkeys(self._ignored_values())
            # what is left out by default may have a name; what the user says has none
            self._by_value = ignored | named if self.ignore == LEFT_OUT else named | ignored
            self._by_value.setdefault(0, None)
        self._ids = ids
        return [Category(i, name) for name, i in ids.items()]

    def get_images(self) -> Iterator[Image]:
        if self._found_kind() == "binary":
            yield from self._binary_images()
            return
        images = self._images_by_stem()
        used = set()
        class_folder = self.class_masks if self.class_masks and Path(self.class_masks).is_dir() else None
        for name in self._mask_files():
            stem, extension = os.path.splitext(name)
            common = stem.removesuffix(self.suffix)
            mask, class_mask = File(f"{self.path}/{name}"), None
            if class_folder is not None:
                class_mask = File(f"{class_folder}/{name}")
            elif self.class_masks:
                class_mask = File(f"{self.path}/{common}{self.class_masks}{extension}")
            image_stem = common + self._image_suffix()
            if images is None:
                yield Image(image_stem + extension, (None, mask, class_mask))
            elif image_stem in images:
                image = images[image_stem]
                used.add(image)
                yield Image(image, (File(f"{self.images}/{image}"), mask, class_mask))
            else:
                text = f"no image {image_stem}.* in {self.images}; --suffix and --image-suffix say how names differ"
                self.findings.append(Finding("error", "label-without-image", mask, text))
        for image in (images or {}).values():
            if image not in used:
                text = f"the image has no mask in {self.path}"
                self.findings.append(Finding("error", "mask-missing", f"{self.images}/{image}", text))

    def get_labels(self, image: Image) -> Annotations:
        size = None if image.source[0] is None else image_size(image.source[0])
        if self._kind == "binary":
            return self._binary_labels(image, size)
        _, path, class_path = image.source
        label_map = read_label_map(path)
        height, width = label_map.values.shape
        if size is not None and size != (width, height):
            text = f"the mask has {width} x {height} pixels, the image {size[0]} x {size[1]}"
            raise ExportError(text, where=path, code="mask-size")
        if self._kind == "cityscapes":
            segments, findings = self._cityscapes(label_map, path)
        elif self._kind == "instance":
            segments, findings = self._instances(label_map, path, class_path)
        else:
            segments, findings = self._classes(label_map, path)
        return Annotations(
            np.array([category_id for _, category_id, _ in segments], np.int64),
            (width, height),
            masks=[mask for *_, mask in segments],
            findings=findings,
            locate=lambda i: f"{path}, value {segments[i][0]}",
        )

    def _classes(self, label_map: LabelMap, path: str) -> tuple[Segments, list[Finding]]:
        """The classes of a map of indices or colours."""
        values, are_colours = label_map
        segments, findings = segments_of(values, self._category_of(label_map, path), path, are_colours)
        unasked = self._kind == "index" and self.kind is None and self.ignore == LEFT_OUT and not self._by_colour
        if unasked and not (segments or findings) and values.max(initial=0) == 255 and not values.all():
            # a 255 that nobody has spoken of may be boundary, or all that is labelled
            text = "nothing but 0 and 255: a binary mask? say --kind binary with --pattern, or name 255 in --labels; "
            raise ExportError(text + "if it is to be ignored, say --kind index", where=path, code="ambiguous-kind")
        return segments, findings

    def _cityscapes(self, label_map: LabelMap, path: str) -> tuple[Segments, list[Finding]]:
        """Segments are class * 1000 + n; a value below 1000 is a class whose instances are not told apart."""

        def category_of(value: int) -> int | None:
            return self._by_value[value // 1000 if value >= 1000 else value]

        segments, findings = segments_of(label_map.values, category_of, path)
        regions = sum(value < 1000 for value, *_ in segments)
        if self.task is TaskType.INSTANCE_SEGMENTATION and regions:
            text = "regions of classes without instances; --task semantic-segmentation keeps them"
            findings.append(Finding("note", "region-left-out", path, text, regions))
            segments = [segment for segment in segments if segment[0] >= 1000]
        return segments, findings

    def _instances(self, label_map: LabelMap, path: str, class_path: str | None) -> tuple[Segments, list[Finding]]:
        """Instance ids in one map, 0 for none, their classes in another."""
        assert class_path is not None
        class_map = read_label_map(class_path)
        segments, findings = self._classes(class_map, class_path)
        if self.task is TaskType.INSTANCE_SEGMENTATION:
            by_class = {value: category_id for value, category_id, _ in segments}
            segments, more = instance_segments(
                *(label_map.values, class_map.values, frozenset((0,)), by_class, path, class_path),
                unasked=self._ignored_values(),
            )
            findings += more
        return segments, findings

    def _category_of(self, label_map: LabelMap, path: str) -> Callable[[int], int | None]:
        """The category of each value in this file."""
        if self._by_colour and not label_map.are_colours:
            palette = read_palette(path)
            if palette is None:
                text = "the mask is grey, but --labels names colours; give it values"
                raise ExportError(text, where=path, code="mask-mode")
            colours = enumerate(map(packed_colour, palette))
            return {i: self._by_value[colour] for i, colour in colours if colour in self._by_value}.__getitem__
        if label_map.are_colours and not self._by_colour:  # indices in all three channels, as OpenCV writes them
            return {value * 0x010101: category for value, category in self._by_value.items()}.__getitem__
        return self._by_value.__getitem__

    def _ignored_values(self) -> list[int]:
        """Of `--ignore`: colours where classes are named by colours, else values."""
        parts = [part.strip() for part in self.ignore.split(",")]
        if self._by_colour:
            return [
                int(part[5:] + part[3:5] + part[1:3], 16) for part in parts if re.fullmatch("#[0-9a-fA-F]{6}", part)
            ]
        return [int(part) for part in parts if part.isdecimal()]

    def _found_kind(self) -> Kind:
        """The kind of masks: told, or what the other options speak of."""
        if self._kind is None:
            if self.kind is not None and self.kind not in get_args(Kind):
                raise UsageError(f"--kind is one of {', '.join(get_args(Kind))}, not {self.kind!r}")
            kind: Kind = self.kind or self._guess()  # type: ignore[assignment]
            if kind == "binary" and (not self.pattern or "{image}" not in self.pattern):
                text = "binary masks need --pattern, which says how paths name image and class, as '{class}/{image}' "
                raise UsageError(text + "or '{image}/{class}_{n}'")
            if kind == "instance" and self.class_masks is None:
                raise UsageError("instance maps need --class-masks, the folder or suffix of their class maps")
            if next(self._mask_files(), None) is None:
                text = f"no mask whose name ends with {self.suffix!r}"
                raise ExportError(text, where=str(self.path), code="no-labels")
            self._kind = kind
        return self._kind

    def _guess(self) -> Kind:
        if self.pattern:
            return "binary"
        if self.class_masks:
            return "instance"
        if known := self._of_cityscapes():
            return known[0]
        if self.labels is None:
            names = islice(self._mask_files(), SAMPLE)
            values = {
                int(v) for name in names for v in masks_from_label_map(read_label_map(f"{self.path}/{name}").values)
            }
            if values and values <= {0, 1, 255, 0x010101, 0xFFFFFF}:
                text = "the masks hold nothing but 0 and 1 or 255: binary ones? say --kind binary with --pattern, or "
                raise ExportError(text + "name the values in --labels", where=str(self.path), code="ambiguous-kind")
        return "index"

    def _of_cityscapes(self) -> tuple[Kind, tuple[str, ...]] | None:
        return next((what for end, what in CITYSCAPES_FILES.items() if self.suffix.endswith(end)), None)

    def _image_suffix(self) -> str:
        if self.image_suffix is None:
            return "_leftImg8bit" if re.match("_gt(Fine|Coarse)_", self.suffix) else ""
        return self.image_suffix

    def _named_values(self) -> dict[int, str]:
        """The names of the values, or of the packed colours, that stand for classes."""
        if self.labels is not None:
            values = read_values(self.labels)
            if isinstance(values, dict):
                if self.kind == "colour":
                    raise ExportError("--kind colour, but no colours in it", where=str(self.labels), code="no-names")
                return values
            if self._kind == "cityscapes":
                text = "colours, where the classes of class * 1000 + n are needed: give names and values"
                raise ExportError(text, where=str(self.labels), code="no-names")
            self._by_colour = True
            return {packed_colour(colour): name for name, colour in values}
        if known := self._of_cityscapes():
            return dict(enumerate(known[1]))
        if self._kind == "cityscapes":
            return dict(enumerate(CITYSCAPES))
        raise ExportError(
            "nothing names the classes: give --labels, a file of names, one a line from index 0, or of names and "
            "values or colours",
            where=str(self.path),
            code="no-names",
        )

    def _mask_files(self) -> Iterator[str]:
        if not self.path.is_dir():
            raise ExportError("a folder of masks was expected", where=str(self.path), code="no-labels")
        images = None if self.images is None else _below(self.images, self.path)
        for name in find_files(self.path, IMAGE_EXTENSIONS):  # JPEGs among them, to be refused
            if self._is_mask(name, images == "") and not (images and name.startswith(images)):
                yield name

    def _is_mask(self, name: str, beside: bool) -> bool:
        """Whether a file has a mask's name. Of files beside each other without a suffix, JPEGs are the images."""
        stem, extension = os.path.splitext(name)
        return stem.endswith(self.suffix) and not (beside and not self.suffix and extension.lower() in _JPEG)

    def _images_by_stem(self) -> dict[str, str] | None:
        if self.images is None:
            return None
        masks = _below(self.path, self.images)
        found: dict[str, str] = {}
        for name in find_files(self.images, IMAGE_EXTENSIONS):
            if (masks and name.startswith(masks)) or (masks == "" and self._is_mask(name, True)):
                continue
            other = found.setdefault(os.path.splitext(name)[0], name)
            if other != name:
                text = f"{other} and {name} differ only in extension, and would share a prediction file; rename one"
                self.findings.append(Finding("error", "name-collision", f"{self.images}/{name}", text))
        return found

    def _matcher(self, names: list[str] | None) -> re.Pattern[str]:
        """The pattern as a regular expression for a path without its extension."""
        # known names may hold what stands between the parts, so what is left is the image
        known = "|".join(re.escape(name) for name in names) if names else ""
        parts = {
            "image": "(?P<image>.+?)" if known else "(?P<image>.+)",
            "class": f"(?P<class>{known})" if known else "(?P<class>[^/]+?)",
            "n": r"(?P<n>\d+)",
        }
        text = ""
        for literal, field in re.findall(r"([^{}]*)(?:\{(\w*)\})?", self.pattern or ""):
            if field and field not in parts:
                raise UsageError(f"--pattern {self.pattern!r}: {{{field}}} is not one of {{image}}, {{class}}, {{n}}")
            text += re.escape(literal) + (parts[field] if field else "")
        try:
            return re.compile(text)
        except re.error:
            raise UsageError(f"--pattern {self.pattern!r} names a part twice") from None

    def _binary_names(self) -> list[str]:
        has_class = "{class}" in (self.pattern or "")
        if self.labels is not None:
            names = read_names(self.labels)
            if not has_class and len(names) != 1:
                raise UsageError(
                    f"--pattern {self.pattern!r} has no {{class}}, but --labels names {len(names)} classes"
                )
            return names
        if not has_class:
            return ["object"]
        matcher = self._matcher(None)
        matches = (matcher.fullmatch(os.path.splitext(name)[0]) for name in self._mask_files())
        names = sorted({match["class"] for match in matches if match})
        if not names:
            text = f"no mask's path fits the pattern {self.pattern!r}, as {next(self._mask_files())}"
            raise ExportError(text, where=str(self.path), code="no-labels")
        return names

    def _binary_images(self) -> Iterator[Image]:
        """The files of each image together; their classes in `source` before them."""
        names = self._binary_names()
        loose = self._matcher(None)
        strict = self._matcher(names) if self.labels else loose
        groups: dict[str, list[tuple[str, File]]] = {}
        for name in self._mask_files():
            path, stem = File(f"{self.path}/{name}"), os.path.splitext(name)[0]
            match = strict.fullmatch(stem) or loose.fullmatch(stem)
            if match is None:
                text = f"the path does not fit the pattern {self.pattern!r}"
                self.findings.append(Finding("error", "pattern", path, text))
                continue
            groups.setdefault(match["image"], []).append((match.groupdict().get("class") or names[0], path))

        def source(image: File | None, files: list[tuple[str, File]]) -> tuple[Any, ...]:
            return image, tuple(name for name, _ in files), *(path for _, path in files)

        images, suffix = self._images_by_stem(), self._image_suffix()
        if images is None:
            for stem, files in groups.items():
                yield Image(stem + suffix + os.path.splitext(files[0][1])[1], source(None, files))
            return
        for stem, name in images.items():  # an image without a file has no object
            yield Image(name, source(File(f"{self.images}/{name}"), groups.pop(stem.removesuffix(suffix), [])))
        for stem, files in groups.items():
            text = f"no image {stem}{suffix}.* in {self.images}"
            self.findings.append(Finding("error", "label-without-image", files[0][1], text, len(files)))

    def _binary_labels(self, image: Image, size: tuple[int, int] | None) -> Annotations:
        """Every pixel that is not 0 belongs to the object."""
        _, names, *files = image.source
        findings: list[Finding] = []
        ids, masks, places = [], [], []
        left_out = {part.strip().lower() for part in self.ignore.split(",")}
        for name, path in zip(names, files, strict=True):
            if name not in self._ids:
                if name.lower() not in left_out:
                    text = f"class {name!r} is not named in {self.labels}"
                    findings.append(Finding("error", "unknown-category", path, text))
                continue
            values = read_label_map(path).values
            mask = RunLengthMask.from_array(values)
            if mask.area != np.count_nonzero(values == values.max(initial=0)) and mask.area:
                text = "more than two values, as of a blurred edge; every one but 0 was taken for the object"
                findings.append(Finding("repair", "mask-not-binary", path, text))
            ids.append(self._ids[name])
            masks.append(mask)
            places.append(path)
        if size is None:
            size = (masks[0].width, masks[0].height) if masks else image_size(files[0])
        return Annotations(
            np.array(ids, np.int64), size, masks=masks, findings=findings, locate=lambda i: str(places[i])
        )


def _below(inner: Path, outer: Path) -> str | None:
    """The path from one folder to another within it, ending with a slash; nothing if they are the same."""
    try:
        way = os.path.relpath(os.path.realpath(inner), os.path.realpath(outer)).replace(os.sep, "/")
    except ValueError:  # on another drive
        return None
    return None if way.split("/")[0] == ".." else "" if way == "." else way + "/"
