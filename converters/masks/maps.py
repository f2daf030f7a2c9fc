"""Label maps: a class, or an instance, in every pixel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelferry.converters.masks.classes import Classes, Kind
from labelferry.converters.masks.files import Files
from labelferry.errors import AmbiguousError, ExportError
from labelferry.findings import Finding
from labelferry.masks.label_maps import (
    Segments,
    annotations_of,
    instance_segments,
    masks_from_label_map,
    segments_of,
    segments_of_masks,
)
from labelferry.model import Annotations, Image
from labelferry.plugin.export import Export, Request
from labelferry.reading.images import (
    IMAGE_EXTENSIONS,
    LabelMap,
    find_files,
    image_size,
    packed_colour,
    read_label_map,
    read_palette,
    read_with_alpha,
)
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
        is_said: whether the user says what the pixels are, values or colours.
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
        is_said: bool,
        asks: bool,
    ) -> None:
        has_instances = kind in ("instance", "cityscapes")
        super().__init__(
            request,
            (*((TaskType.INSTANCE_SEGMENTATION,) if has_instances else ()), TaskType.SEMANTIC_SEGMENTATION),
            classes.categories,
            () if labels is None or not labels.exists() else (str(labels),),
        )
        self._files = files
        self._kind = kind
        self._classes = classes
        self._class_masks = class_masks
        self._is_said = is_said
        self._asks = asks
        self.label_folders = (str(files.path),)

    def images(self) -> Iterator[Image | Finding]:
        files = self._files
        images, findings = files.images_by_stem()
        yield from findings
        if count := files.others():
            text = f"image files whose names do not end with {files.suffix!r} are not read"
            yield Finding.note("files-not-read", str(files.path), text, count)
        used: set[str] = set()
        class_maps: set[str] = set()
        tops: set[str] = set()  # the top folders that have masks
        has_class_folder = os.path.isdir(self._class_masks)
        for name in files.masks():
            stem, extension = os.path.splitext(name)
            common = stem.removesuffix(files.suffix)
            maps = [f"{files.path}/{name}"]
            tops.add(name.rpartition("/")[0].partition("/")[0])
            if self._kind == "instance":
                beside = f"{files.path}/{common}{self._class_masks}{extension}"
                maps.append(f"{self._class_masks}/{name}" if has_class_folder else beside)
                class_maps.add(name)
            image_stem = common + files.image_suffix
            if files.images is None:
                yield Image(files.prefix + image_stem + extension, files=tuple(maps))
            elif image_stem in images:
                image = images[image_stem]
                used.add(image)
                path = f"{files.images}/{image}"
                yield Image(files.prefix + image, files=(*maps, path), path=path)
            else:
                text = f"no image {image_stem}.* in {files.images}; --suffix and --image-suffix say how names differ"
                yield Finding.error("label-without-image", maps[0], text, lost_images=1)
        yield from self._without_mask([image for image in images.values() if image not in used], tops)
        if self._kind == "instance" and has_class_folder:
            for name in find_files(Path(self._class_masks), IMAGE_EXTENSIONS):
                if name not in class_maps:
                    text = f"no instance map {name} in {files.path} belongs to this map of classes"
                    yield Finding.error("mask-missing", f"{self._class_masks}/{name}", text, lost_images=1)

    def _without_mask(self, images: Collection[str], tops: Collection[str]) -> Iterator[Finding]:
        """An error for each image without a mask; a warning for each top folder of which no image has one."""
        folders: Counter[str] = Counter()
        for image in images:
            top = image.rpartition("/")[0].partition("/")[0]
            if top and top not in tops:
                folders[top] += 1
            else:
                text = f"the image has no mask in {self._files.path}"
                yield Finding.error("mask-missing", f"{self._files.images}/{image}", text, lost_images=1)
        for top, count in folders.items():
            text = f"none of the {count:,} images in it has a mask in {self._files.path}; they get no file"
            where = f"{self._files.images}/{top}"
            yield Finding.warning("split-without-labels", where, text, count, lost_images=count)

    def labels(self, image: Image) -> Annotations:
        path = image.files[0]
        label_map, transparent = read_with_alpha(path)
        by_colour = self._kind == "instance"
        if self._kind == "instance":
            segments, findings, found = self._instances(label_map, path, image.files[1])
        elif self._kind == "cityscapes":
            segments, findings, found = self._cityscapes(label_map, path)
        else:
            (segments, findings, found), by_colour = self._regions(label_map, path)
        height, width = label_map.values.shape
        is_class_map = self._kind == "instance" and self.source_task is TaskType.SEMANTIC_SEGMENTATION
        place = image.files[1] if is_class_map else path
        if self._files.images is not None:
            try:
                _check_size(image, (width, height), path)
            except ExportError as error:
                error.lost = found
                raise
        if transparent:
            text = f"{transparent} transparent pixels are read as they are stored"
            findings.append(Finding.warning("mask-transparent", path, text))
        evidence: Counter[str] = Counter()
        if self._classes.telling and not by_colour:
            ids = {category_id for _, category_id, _ in segments}
            evidence = Counter({_TELLING: int(not ids.isdisjoint(self._classes.telling)), _MAPS: 1})
        labels = annotations_of(segments, (width, height), place, findings, found)
        labels.evidence = evidence
        return labels

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(evidence)
        if self._classes.question and evidence.get(_MAPS) and not evidence.get(_TELLING):
            raise AmbiguousError(self._classes.question, where=str(self._files.path))

    def _regions(self, label_map: LabelMap, path: str) -> tuple[Segments, bool]:
        """The classes of a map of indices or colours, and whether it is read by colours."""
        values, are_colours = label_map.values, label_map.are_colours
        classes = self._classes
        masks = masks_from_label_map(values)
        category_of, by_colour = self._category_of(label_map, masks.keys(), path)
        if classes.question and not by_colour and 255 in masks:
            raise AmbiguousError(classes.question, where=path)
        segments = segments_of_masks(masks, category_of, path, are_colours)
        if self._asks and not segments.found and values.max(initial=0) == 255 and not values.all():
            text = "nothing but 0 and 255: a binary mask? say --kind binary with --pattern, or name 255 in --labels; "
            raise AmbiguousError(text + "if it is to be ignored, say --kind index", where=path)
        if by_colour and classes.shared:
            palette = None if are_colours else read_palette(path)
            for value, _, mask in segments.segments:
                names = classes.shared.get(packed_colour(palette[value]) if palette else value)
                if names:
                    text = f"{mask.area} pixels have the colour of {' and '.join(names)}; read as {names[0]}"
                    segments.findings.append(Finding.warning("colour-shared", path, text))
        return segments, by_colour

    def _cityscapes(self, label_map: LabelMap, path: str) -> Segments:
        """Segments are class * 1000 + n; a value below 1000 is a class whose instances are not
        distinguished."""
        by_value = self._classes.by_value or {}

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
            return self._regions(read_label_map(class_path), class_path)[0]
        try:
            class_map = read_label_map(class_path)
            classes, _ = self._regions(class_map, class_path)
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

    def _category_of(self, label_map: LabelMap, used: Set[int], path: str) -> tuple[Callable[[int], int | None], bool]:
        """The category of each value in this file, and whether it is read by colours.

        Raises:
            AmbiguousError: values and colours are known, and give different classes.
            ExportError: colours are needed, and it is grey.
        """
        by_value, by_colour = self._classes.by_value, self._classes.by_colour
        if by_value is None or self._kind == "colour":
            colours = self._of_colours(label_map, by_colour or {}, path)
            if not colours:
                text = "the mask is grey, but --labels names colours; give it values"
                raise ExportError(text, where=path, code="mask-mode")
            return colours.__getitem__, True
        indices = by_value
        if label_map.are_colours:  # indices in three channels, as OpenCV writes them
            indices = {value * 0x010101: category for value, category in by_value.items()}
        if by_colour is None or self._is_said:
            return indices.__getitem__, False
        colours = self._of_colours(label_map, by_colour, path)
        fits_values, fits_colours = used <= indices.keys(), used <= colours.keys()
        if fits_values and fits_colours and any(indices[value] != colours[value] for value in used):
            text = "the values and the colours of this mask stand for different classes: say --kind index or "
            raise AmbiguousError(text + "--kind colour", where=path)
        is_by_colour = not fits_values and (fits_colours or label_map.are_colours)
        return (colours if is_by_colour else indices).__getitem__, is_by_colour

    def _of_colours(self, label_map: LabelMap, by_colour: dict[int, int | None], path: str) -> dict[int, int | None]:
        """The category of each value by its colour; empty if the map is grey."""
        if label_map.are_colours:
            return by_colour
        colours = enumerate(map(packed_colour, read_palette(path) or ()))
        return {i: by_colour[colour] for i, colour in colours if colour in by_colour}


_MAPS, _TELLING = "maps of values", "maps of values that tell the classes"


def _check_size(image: Image, size: tuple[int, int], path: str) -> None:
    """That an image has the size of its map, which may be of the upright picture if the image is stored turned."""
    width, height = image.size or image_size(image.files[-1])
    if sorted((width, height)) != sorted(size):
        text = f"the mask has {size[0]} x {size[1]} pixels, the image {width} x {height}"
        raise ExportError(text, where=path, code="mask-size")
