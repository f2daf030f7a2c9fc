"""Label maps: a class, or an instance, in every pixel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelferry.converters.masks.classes import Classes, Kind
from labelferry.converters.masks.files import Files
from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.masks.label_maps import Segments, instance_segments, segments_of
from labelferry.model import Annotations, Image
from labelferry.plugin.export import Export, Request
from labelferry.reading.images import LabelMap, image_size, packed_colour, read_label_map, read_palette
from labelferry.task_type import TaskType


class MapExport(Export):
    """Label maps. `Image.files` are an image's map, the class map of an instance map and, with a folder of images, the
    image.

    Args:
        request: what it is opened for.
        files: the maps.
        kind: what their pixels are.
        classes: what their values stand for.
        labels: file that the classes come from.
        class_masks: of instance maps: folder or suffix of the class maps.
        asks: whether 255 may be a class or not, and the user must say which.
    """

    def __init__(
        self,
        request: Request,
        files: Files,
        kind: Kind,
        classes: Classes,
        labels: Path | None,
        class_masks: str,
        asks: bool,
    ) -> None:
        has_instances = kind in ("instance", "cityscapes")
        super().__init__(
            request,
            (*((TaskType.INSTANCE_SEGMENTATION,) if has_instances else ()), TaskType.SEMANTIC_SEGMENTATION),
            classes.categories,
            () if labels is None else (str(labels),),
        )
        self._files = files
        self._kind = kind
        self._classes = classes
        self._class_masks = class_masks
        self._asks = asks

    def images(self) -> Iterator[Image | Finding]:
        files = self._files
        images, findings = files.images_by_stem()
        yield from findings
        used = set()
        has_class_folder = os.path.isdir(self._class_masks)
        for name in files.masks():
            stem, extension = os.path.splitext(name)
            common = stem.removesuffix(files.suffix)
            maps = [f"{files.path}/{name}"]
            if self._kind == "instance":
                beside = f"{files.path}/{common}{self._class_masks}{extension}"
                maps.append(f"{self._class_masks}/{name}" if has_class_folder else beside)
            image_stem = common + files.image_suffix
            if files.images is None:
                yield Image(image_stem + extension, files=tuple(maps))
            elif image_stem in images:
                image = images[image_stem]
                used.add(image)
                yield Image(image, files=(*maps, f"{files.images}/{image}"))
            else:
                text = f"no image {image_stem}.* in {files.images}; --suffix and --image-suffix say how names differ"
                yield Finding.error("label-without-image", maps[0], text)
        for image in images.values():
            if image not in used:
                text = f"the image has no mask in {files.path}"
                yield Finding.error("mask-missing", f"{files.images}/{image}", text)

    def labels(self, image: Image) -> Annotations:
        path = image.files[0]
        label_map = read_label_map(path)
        if self._kind == "instance":
            segments, findings, found = self._instances(label_map, path, image.files[1])
        elif self._kind == "cityscapes":
            segments, findings, found = self._cityscapes(label_map, path)
        else:
            segments, findings, found = self._regions(label_map, path)
        height, width = label_map.values.shape
        is_class_map = self._kind == "instance" and self.source_task is TaskType.SEMANTIC_SEGMENTATION
        place = image.files[1] if is_class_map else path
        if self._files.images is not None:
            try:
                _check_size(image.files[-1], (width, height), path)
            except ExportError as error:
                error.lost = found
                raise
        return Annotations(
            np.array([category_id for _, category_id, _ in segments], np.int64),
            (width, height),
            masks=[mask for *_, mask in segments],
            findings=findings,
            locate=lambda i: f"{place}, value {segments[i][0]}",
            found=found,
        )

    def _regions(self, label_map: LabelMap, path: str) -> Segments:
        """The classes of a map of indices or colours."""
        values, are_colours = label_map
        segments = segments_of(values, self._category_of(label_map, path), path, are_colours)
        if self._asks and not segments.found and values.max(initial=0) == 255 and not values.all():
            text = "nothing but 0 and 255: a binary mask? say --kind binary with --pattern, or name 255 in --labels; "
            raise ExportError(text + "if it is to be ignored, say --kind index", where=path, code="ambiguous-kind")
        return segments

    def _cityscapes(self, label_map: LabelMap, path: str) -> Segments:
        """Segments are class * 1000 + n; a value below 1000 is a class whose instances are not
        distinguished."""
        by_value = self._classes.by_value

        def category_of(value: int) -> int | None:
            return by_value[value // 1000 if value >= 1000 else value]

        segments, findings, found = segments_of(label_map.values, category_of, path)
        if self.source_task is TaskType.INSTANCE_SEGMENTATION:
            instances = [segment for segment in segments if segment[0] >= 1000]
            if regions := len(segments) - len(instances):
                text = "regions of classes without instances; --task semantic-segmentation keeps them"
                findings.append(Finding.note("region-left-out", path, text, regions, regions))
            segments = instances
        return Segments(segments, findings, found)

    def _instances(self, label_map: LabelMap, path: str, class_path: str) -> Segments:
        """Instance ids in one map, 0 for none, their classes in another."""
        if self.source_task is TaskType.SEMANTIC_SEGMENTATION:
            return self._regions(read_label_map(class_path), class_path)
        try:
            class_map = read_label_map(class_path)
            classes = self._regions(class_map, class_path)
        except ExportError as error:
            error.lost = int(np.count_nonzero(np.unique(label_map.values)))
            raise
        instances = instance_segments(
            *(label_map.values, class_map.values, frozenset((0,))),
            {value: category_id for value, category_id, _ in classes.segments},
            *(path, class_path, self._classes.ignored),
        )
        # a value that stands for no class is an error, but the objects are the instances
        findings = [*(replace(finding, lost=0) for finding in classes.findings), *instances.findings]
        return instances._replace(findings=findings)

    def _category_of(self, label_map: LabelMap, path: str) -> Callable[[int], int | None]:
        """The category of each value in this file."""
        by_value = self._classes.by_value
        if self._classes.by_colour and not label_map.are_colours:
            palette = read_palette(path)
            if palette is None:
                text = "the mask is grey, but --labels names colours; give it values"
                raise ExportError(text, where=path, code="mask-mode")
            colours = enumerate(map(packed_colour, palette))
            return {i: by_value[colour] for i, colour in colours if colour in by_value}.__getitem__
        if label_map.are_colours and not self._classes.by_colour:  # indices in three channels, as OpenCV writes them
            return {value * 0x010101: category for value, category in by_value.items()}.__getitem__
        return by_value.__getitem__


def _check_size(image: str, size: tuple[int, int], path: str) -> None:
    """That an image has the size of its map."""
    width, height = image_size(image)
    if (width, height) != size:
        text = f"the mask has {size[0]} x {size[1]} pixels, the image {width} x {height}"
        raise ExportError(text, where=path, code="mask-size")
