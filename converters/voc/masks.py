"""Pascal VOC's PNGs: classes in SegmentationClass, and objects in SegmentationObject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from labelferry.errors import ExportError
from labelferry.masks.label_maps import annotations_of, instance_segments, segments_of
from labelferry.model import Annotations
from labelferry.reading.images import image_size, packed_colour, read_label_map, read_palette
from labelferry.reading.label_colours import VOC_BOUNDARY, VOC_CLASSES, voc_colour

_PALETTE = [voc_colour(i) for i in range(len(VOC_CLASSES) + 1)]
_BOUNDARY = 255
_BOUNDARY_COLOUR = packed_colour(VOC_BOUNDARY)

Colours = Mapping[int, "int | None"]
"""The category id of each packed colour; None of the background."""


def read_masks(
    path: str,
    objects: str | None,
    image: str | None,
    image_pixels: tuple[int, int] | None,
    count: int,
    colours: Colours | None,
) -> Annotations:
    """The masks of an image: of its objects, or of its classes.

    Args:
        path: of the PNG of classes.
        objects: of the PNG of objects; None: each class is one mask.
        image: of the image, whose size the masks must have; None: it is not there.
        image_pixels: (width, height) of the image, if it is known.
        count: of categories; their ids are the numbers below it.
        colours: of the export's own labelmap; None: VOC's.

    Raises:
        ExportError: a PNG cannot be read, or they differ in size.
    """
    classes, are_colours = read_label_map(path)
    ids = _ids_by_value(path, are_colours, count, colours)
    segments, findings, found = segments_of(classes, ids.__getitem__, path, are_colours)
    if objects is not None:
        instances, are_colours = read_label_map(objects)
        no_object = frozenset((0, _BOUNDARY_COLOUR if are_colours else _BOUNDARY))
        known = {value: category_id for value, category_id in ids.items() if category_id is not None}
        segments, more, found = instance_segments(instances, classes, no_object, known, objects, path)
        findings = [*(replace(finding, lost=0) for finding in findings), *more]  # objects are lost, and no classes
    try:
        height, width = classes.shape
        if image_pixels is None and image:
            image_pixels = image_size(image)
        if image_pixels and sorted(image_pixels) != sorted((width, height)):  # it may be of the upright picture
            text = f"the mask has {width} x {height} pixels, the image {image_pixels[0]} x {image_pixels[1]}"
            raise ExportError(text, where=path, code="mask-size")
    except ExportError as error:
        error.lost = found
        raise
    return annotations_of(segments, (width, height), path, findings, found)


def _ids_by_value(path: str, are_colours: bool, count: int, colours: Colours | None) -> dict[int, int | None]:
    """The category that each value of a mask stands for; None for background and boundary."""
    edge = _BOUNDARY_COLOUR if are_colours else _BOUNDARY
    if colours is None:
        indices = dict(enumerate(range(count), 1))
        if are_colours:
            return {0: None, edge: None, **{packed_colour(voc_colour(i)): c for i, c in indices.items()}}
        if (palette := read_palette(path)) is not None and palette[: len(_PALETTE)] != _PALETTE[: len(palette)]:
            text = "the palette is not VOC's; name the classes and colours with --labels labelmap.txt"
            raise ExportError(text, where=path, code="unknown-palette")
        return {0: None, edge: None, **indices}
    if are_colours:
        return {edge: None, **colours}
    palette = read_palette(path)
    if palette is None:  # grey: indices in the order of the labelmap
        return {edge: None, **dict(enumerate(colours.values()))}
    packed = enumerate(map(packed_colour, palette))
    return {edge: None, **{i: colours[colour] for i, colour in packed if colour in colours}}
