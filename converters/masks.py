"""Mask PNGs: label maps by index or colour, instance maps, Cityscapes, and binary masks, beside their images.

A map holds a class (or an instance) in every pixel; a binary mask is one object, or one class, in a file of its own.

Definition: there is none but habit; Cityscapes: https://github.com/mcordts/cityscapesScripts, CVAT:
https://docs.cvat.ai/docs/manual/advanced/formats/format-smask/
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, get_args
from typing import Literal as OneOf

import numpy as np

from labelferry.adapter import Adapter
from labelferry.errors import ExportError, UsageError
from labelferry.images import (
    IMAGE_EXTENSIONS,
    LabelMap,
    find_files,
    image_size,
    packed_colour,
    read_label_map,
    read_palette,
)
from labelferry.label_colours import read_label_colours
from labelferry.label_maps import classes_of, instances_of
from labelferry.model import Annotations, Category, File, Finding, Image, TaskType
from labelferry.registry import register
from labelferry.rle import RunLengthMask
from labelferry.text import read_names, read_text, read_yaml

Kind = OneOf["index", "colour", "instance", "cityscapes", "binary"]

LEFT_OUT = "255,background,_background_,unlabeled,unlabelled,void"
SAMPLE = 5
"""Files that tell what kind of masks they are."""

CITYSCAPES = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road"),
    *("sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole"),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
    *("bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
"""Names of the label ids 0 to 33 (cityscapesScripts, helpers/labels.py)."""

CITYSCAPES_TRAINING = (
    *(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
    ),
    *("sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""Names of the training ids 0 to 18."""

Values = dict[int, str]
"""The class that each value (an index, or a packed colour) stands for."""


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
            "By default told by the files.",
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
        image_suffix: Annotated[str, "What an image's name has after that common part, as _leftImg8bit."] = "",
        class_masks: Annotated[
            str | None, "For instance maps: the folder of the class maps, or their suffix beside the instance maps."
        ] = None,
        pattern: Annotated[
            str | None,
            "For binary masks: how their paths name image, class and number, as '{class}/{image}' or "
            "'{image}/{class}_{n}'. With {n} each file is an object, without it each is a class.",
        ] = None,
        ignore: Annotated[str, "Values and class names that are no class, separated by commas."] = LEFT_OUT,
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
        self._values: Values = {}
        self._by_palette = False  # values are colours, to be looked up in each file's palette
        self._ids: dict[str, int] = {}

    def get_tasks(self) -> tuple[TaskType, ...]:
        kind = self._found_kind()
        if kind == "binary":
            has_objects = "{n}" in (self.pattern or "")
            return (TaskType.INSTANCE_SEGMENTATION,) if has_objects else (TaskType.SEMANTIC_SEGMENTATION,)
        if kind in ("instance", "cityscapes"):
            return (TaskType.INSTANCE_SEGMENTATION, TaskType.SEMANTIC_SEGMENTATION)
        return (TaskType.SEMANTIC_SEGMENTATION,)

    def get_categories(self) -> list[Category]:
        kind = self._found_kind()
        left_out = {part.strip().lower() for part in self.ignore.split(",")}
        if kind == "binary":
            names = self._binary_names()
        else:
            self._values = self._named_values(kind)
            names = list(dict.fromkeys(self._values.values()))
        names = [name for name in names if name.lower() not in left_out]
        self._ids = {name: i for i, name in enumerate(names)}
        return [Category(i, name) for i, name in enumerate(names)]

    def get_images(self) -> Iterator[Image]:
        if self._found_kind() == "binary":
            yield from self._binary_images()
            return
        images = self._images_by_stem()
        used = set()
        for name in self._mask_files():
            stem = name[: name.rfind(".")]
            common = stem[: len(stem) - len(self.suffix)]
            mask = f"{self.path}/{name}"
            class_mask = self._class_mask(name, common)
            if images is None:
                yield Image(f"{common}{self.image_suffix}{name[name.rfind('.') :]}", (None, File(mask), class_mask))
                continue
            image = images.get(f"{common}{self.image_suffix}")
            if image is None:
                text = f"no image {common}{self.image_suffix}.* in {self.images}; --suffix and --image-suffix say how "
                self.findings.append(Finding("error", "label-without-image", mask, text + "names differ"))
                continue
            used.add(image)
            yield Image(image, (File(f"{self.images}/{image}"), File(mask), class_mask))
        for image in (images or {}).values():
            if image not in used:
                text = f"the image has no mask in {self.path}"
                self.findings.append(Finding("error", "mask-missing", f"{self.images}/{image}", text))

    def get_labels(self, image: Image) -> Annotations:
        path = image.source[0]
        size = None if path is None else image_size(path)
        kind = self._found_kind()
        if kind == "binary":
            return self._binary_labels(image, size)
        mask_path = image.source[1]
        label_map = read_label_map(mask_path)
        values = label_map.values
        if kind == "cityscapes":
            found, findings = self._cityscapes(values, mask_path)
        elif kind == "instance":
            found, findings = self._instances(values, mask_path, image.source[2])
        else:
            classes, findings = classes_of(
                values, self._ids_by_value(mask_path, label_map), mask_path, kind == "colour"
            )
            found = [(category_id, mask) for category_id, masks in classes.items() for mask in masks]
        return Annotations(
            np.array([category_id for category_id, _ in found], np.int64),
            size or (values.shape[1], values.shape[0]),
            masks=[mask for _, mask in found],
            findings=findings,
            locate=lambda i: f"{mask_path}, mask {i + 1}",
        )

    def _cityscapes(
        self, values: np.ndarray[Any, Any], path: str
    ) -> tuple[list[tuple[int, RunLengthMask]], list[Finding]]:
        """Instances are class * 1000 + n; a value below 1000 is a class whose instances are not told apart."""
        values = values.astype(np.int64)
        classes = np.where(values >= 1000, values // 1000, values)
        by_value = self._ids_by_value(path, LabelMap(classes, False))
        semantic, findings = classes_of(classes, by_value, path)
        if self.task is TaskType.SEMANTIC_SEGMENTATION:
            return [(category_id, mask) for category_id, masks in semantic.items() for mask in masks], findings
        left_out = np.isin(classes, [value for value, category_id in by_value.items() if category_id is None])
        known = np.isin(classes, list(by_value)) & ~left_out
        found = []
        for value, _, mask in instances_of(np.where(known & (values >= 1000), values, -1), classes, frozenset((-1,))):
            category_id = by_value[value // 1000]
            assert category_id is not None
            found.append((category_id, mask))
        regions = np.unique(classes[known & (values < 1000)]).tolist()
        if regions:
            text = "regions of classes without instances; --task semantic-segmentation keeps them"
            findings.append(Finding("note", "region-left-out", path, text, len(regions)))
        return found, findings

    def _instances(
        self, values: np.ndarray[Any, Any], path: str, class_path: str | None
    ) -> tuple[list[tuple[int, RunLengthMask]], list[Finding]]:
        """Instance ids in one map, their classes in another; 0 and ignored values are no instance."""
        if class_path is None:
            raise ExportError("no class map beside it; --class-masks names their folder or suffix", where=path)
        label_map = read_label_map(class_path)
        if values.shape != label_map.values.shape:
            height, width = label_map.values.shape
            text = f"{values.shape[1]} x {values.shape[0]} pixels, its class map has {width} x {height}"
            raise ExportError(text, where=path, code="mask-size")
        ids = self._ids_by_value(class_path, label_map)
        semantic, findings = classes_of(label_map.values, ids, class_path, label_map.are_colours)
        if self.task is TaskType.SEMANTIC_SEGMENTATION:
            return [(category_id, mask) for category_id, masks in semantic.items() for mask in masks], findings
        of_class = np.isin(label_map.values, [value for value, category_id in ids.items() if category_id is not None])
        classes = np.where(of_class, label_map.values.astype(np.int64), -1)
        no_instance = [0, *(int(part) for part in self.ignore.split(",") if part.strip().isdigit())]
        objects = np.where(np.isin(values, no_instance), -1, values.astype(np.int64))
        found = []
        for _, value, mask in instances_of(objects, classes, frozenset((-1,))):
            category_id = ids[value]
            assert category_id is not None
            found.append((category_id, mask))
        return found, findings

    def _ids_by_value(self, path: str, label_map: LabelMap) -> dict[int, int | None]:
        """The category of each value in this file; None for what is ignored, and for a 0 that has no name."""
        by_value: dict[int, int | None] = {0: None}
        by_value |= {value: self._ids.get(name) for value, name in self._values.items()}
        if self._by_palette and not label_map.are_colours:
            palette = read_palette(path)
            if palette is None:
                text = "the classes are named by colours, but the mask is grey; give --labels with values"
                raise ExportError(text, where=path, code="mask-mode")
            colours = enumerate(map(packed_colour, palette))
            by_index: dict[int, int | None] = {0: None}
            by_index |= {i: by_value[colour] for i, colour in colours if colour in by_value}
            by_value = by_index
        elif label_map.are_colours and not self._by_palette:
            raise ExportError("the mask is RGB; --labels must name colours", where=path, code="mask-mode")
        for part in self.ignore.split(","):
            if part.strip().isdigit() and not label_map.are_colours:
                by_value[int(part)] = None
        return by_value

    def _found_kind(self) -> Kind:
        """The kind of masks: told, or found out from the first files."""
        if self._kind is None:
            if self.kind is not None:
                if self.kind not in get_args(Kind):
                    raise UsageError(f"--kind is one of {', '.join(get_args(Kind))}, not {self.kind!r}")
                self._kind = self.kind  # type: ignore[assignment]
            else:
                self._kind = self._guess()
            if self._kind == "binary" and (not self.pattern or "{image}" not in self.pattern):
                text = "binary masks need --pattern, which says how paths name image and class, as '{class}/{image}' "
                raise UsageError(text + "or '{image}/{class}_{n}'")
            if self._kind == "instance" and self.class_masks is None:
                raise UsageError("instance maps need --class-masks, the folder or suffix of their class maps")
        assert self._kind is not None
        return self._kind

    def _guess(self) -> Kind:
        if self.pattern:
            return "binary"
        if self.class_masks:
            return "instance"
        if self.suffix.endswith("instanceIds"):
            return "cityscapes"
        names = list(islice(self._mask_files(), SAMPLE))
        if not names:
            raise ExportError(
                f"no mask whose name ends with {self.suffix!r}",
                where=str(self.path),
                code="no-labels",
            )
        maps = [read_label_map(f"{self.path}/{name}") for name in names]
        if any(label_map.are_colours for label_map in maps):
            return "colour"
        values = {int(value) for label_map in maps for value in np.unique(label_map.values)}
        if self.labels is None and values <= {0, 1, 255}:
            raise ExportError(
                "the masks hold nothing but 0 and 1 or 255: binary ones? say --kind binary with --pattern, or --kind "
                "index",
                where=str(self.path),
                code="ambiguous-kind",
            )
        return "index"

    def _named_values(self, kind: Kind) -> Values:
        """The classes and the values or colours that stand for them."""
        if self.labels is None:
            if self.suffix.endswith("labelTrainIds"):
                return dict(enumerate(CITYSCAPES_TRAINING))
            if kind == "cityscapes" or self.suffix.endswith("_labelIds"):
                return dict(enumerate(CITYSCAPES))
            raise ExportError(
                "nothing names the classes: give --labels, a file of names, one a line from index 0, or of names and "
                "values or colours",
                where=str(self.path),
                code="no-names",
            )
        values = _read_values(self.labels)
        self._by_palette = not isinstance(values, dict)
        return values if isinstance(values, dict) else {packed_colour(colour): name for name, colour in values}

    def _mask_files(self) -> Iterator[str]:
        if not self.path.is_dir():
            raise ExportError("a folder of masks was expected", where=str(self.path), code="no-labels")
        for name in find_files(self.path, IMAGE_EXTENSIONS):  # JPEGs among them, to be refused
            if name[: name.rfind(".")].endswith(self.suffix):
                yield name

    def _images_by_stem(self) -> dict[str, str] | None:
        if self.images is None:
            return None
        found = {name[: name.rfind(".")]: name for name in find_files(self.images, IMAGE_EXTENSIONS)}
        if self.images.resolve() == self.path.resolve():  # masks beside images
            masks = set(self._mask_files()) if self.suffix else set()
            found = {stem: name for stem, name in found.items() if name not in masks}
        return found

    def _class_mask(self, name: str, common: str) -> File | None:
        if self.class_masks is None:
            return None
        folder = Path(self.class_masks)
        extension = name[name.rfind(".") :]
        if folder.is_dir():
            return File(f"{folder}/{name}")
        return File(f"{self.path}/{common}{self.class_masks}{extension}")

    def _matcher(self) -> re.Pattern[str]:
        """The pattern as a regular expression for a path without its extension."""
        parts = {"image": r"(?P<image>.+)", "class": r"(?P<class>[^/]+?)", "n": r"(?P<n>\d+)"}
        text = ""
        for literal, field in re.findall(r"([^{}]*)(?:\{(\w*)\})?", self.pattern or ""):
            if field and field not in parts:
                raise UsageError(f"--pattern {self.pattern!r}: {{{field}}} is not one of {{image}}, {{class}}, {{n}}")
            text += re.escape(literal) + (parts[field] if field else "")
        try:
            return re.compile(text)
        except re.error:
            raise UsageError(f"--pattern {self.pattern!r} names a part twice") from None

    def _binary_files(self) -> Iterator[tuple[str, str, str]]:
        """Path, image and class of every file that fits the pattern."""
        matcher = self._matcher()
        only = read_names(self.labels)[0] if self.labels and "{class}" not in (self.pattern or "") else "object"
        for name in self._mask_files():
            match = matcher.fullmatch(name[: name.rfind(".")])
            if match is not None:
                yield name, match["image"], match.groupdict().get("class") or only

    def _binary_names(self) -> list[str]:
        if self.labels is not None:
            return read_names(self.labels)
        names = sorted({name for _, _, name in self._binary_files()})
        if not names:
            text = f"no mask's path fits the pattern {self.pattern!r}, as {next(self._mask_files(), 'there is none')}"
            raise ExportError(text, where=str(self.path), code="no-labels")
        return names

    def _binary_images(self) -> Iterator[Image]:
        groups: dict[str, list[File]] = {}
        fitting = set()
        for name, image, _ in self._binary_files():
            groups.setdefault(image, []).append(File(f"{self.path}/{name}"))
            fitting.add(name)
        for name in self._mask_files():
            if name not in fitting:
                text = f"the path does not fit the pattern {self.pattern!r}"
                self.findings.append(Finding("error", "pattern", f"{self.path}/{name}", text))
        images = self._images_by_stem()
        if images is None:
            for stem, files in groups.items():
                yield Image(f"{stem}{self.image_suffix}{files[0][files[0].rfind('.') :]}", (None, *files))
            return
        for stem, name in images.items():  # an image without a file has no object
            key = stem[: len(stem) - len(self.image_suffix)] if self.image_suffix else stem
            yield Image(name, (File(f"{self.images}/{name}"), *groups.pop(key, [])))
        for stem, files in groups.items():
            text = f"no image {stem}{self.image_suffix}.* in {self.images}"
            self.findings.append(Finding("error", "label-without-image", files[0], text, len(files)))

    def _binary_labels(self, image: Image, size: tuple[int, int] | None) -> Annotations:
        """Every pixel that is not 0 belongs to the object."""
        files: tuple[str, ...] = image.source[1:]
        findings: list[Finding] = []
        ids, masks, places = [], [], []
        matcher = self._matcher()
        left_out = {part.strip().lower() for part in self.ignore.split(",")}
        for path in files:
            match = matcher.fullmatch(os.path.splitext(path[len(str(self.path)) + 1 :])[0])
            assert match is not None
            name = match.groupdict().get("class") or next(iter(self._ids))
            if name not in self._ids:
                if name.lower() not in left_out:
                    text = f"class {name!r} is not named in {self.labels}"
                    findings.append(Finding("error", "unknown-category", path, text))
                continue
            values = read_label_map(path).values
            if (values.max(initial=0) > 1) and np.any((values != 0) & (values != values.max())):
                text = "more than two values, as of a blurred edge; every one but 0 was taken for the object"
                findings.append(Finding("repair", "mask-not-binary", path, text))
            ids.append(self._ids[name])
            masks.append(RunLengthMask.from_array(values))
            places.append(path)
        if size is None and masks:
            size = masks[0].width, masks[0].height
        return Annotations(
            np.array(ids, np.int64), size, masks=masks, findings=findings, locate=lambda i: str(places[i])
        )


def _read_values(path: Path) -> Values | list[tuple[str, tuple[int, int, int]]]:
    """A file of classes: values by index or as given, or names with colours."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        if suffix == ".json":
            try:
                data = json.loads(read_text(path))
            except (json.JSONDecodeError, RecursionError) as error:
                where = f"{path}:{getattr(error, 'lineno', 1)}"
                raise ExportError(f"not JSON: {error}", where=where, code="broken-json") from None
        else:
            data = read_yaml(path)
        if isinstance(data, list) and data and all(isinstance(name, str) for name in data):
            return dict(enumerate(data))
        if isinstance(data, dict) and data:
            if all(str(value).isdigit() for value in data.values()):  # name: value
                return {int(value): str(name) for name, value in data.items()}
            if all(str(key).isdigit() for key in data):  # value: name
                return {int(key): str(name) for key, name in data.items()}
        return read_label_colours(path)
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    if suffix == ".csv":
        pairs = [[field.strip() for field in line.split(",")] for line in lines]
        if all(len(pair) == 2 for pair in pairs):
            return {int(value): name for name, value in pairs if value.isdigit()}
        return read_label_colours(path)
    if lines and re.search(r":\d+,\d+,\d+|^\s*\d+\s+\d+\s+\d+\s+\S", lines[0]):
        return read_label_colours(path)
    return dict(enumerate(read_names(path)))
