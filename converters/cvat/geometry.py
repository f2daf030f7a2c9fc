"""Shapes in numbers: corners, visible points, and masks, also between the keyframes of a track."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labelferry.converters.cvat.document import Shape
from labelferry.converters.cvat.interpolation import interpolate_angle, interpolate_polygon, interpolate_polyline
from labelferry.model import Category
from labelferry.reading.images import MAX_IMAGE_PIXELS
from labelferry.run_lengths import RunLengthMask

ELLIPSE_POINTS = 128
"""Corners of the polygon that an ellipse is drawn as."""

Array: TypeAlias = NDArray[np.float64]


class Between(NamedTuple):
    """A shape between two keyframes; `offset`, in [0, 1], is how far it is from the left to the right one."""

    left: Shape
    right: Shape
    offset: float

    @property
    def kind(self) -> str:
        return self.left.kind

    @property
    def label(self) -> str:
        return self.left.label

    @property
    def line(self) -> int:
        return self.left.line


class Geometry(NamedTuple):
    """A shape in numbers: the corners that it spans, or a mask's pixels; of keypoints, whether each is visible."""

    points: Array
    visible: tuple[float, ...] = ()
    mask: tuple[int, int, int, int, str] | None = None


def geometry_of(shape: Shape | Between, category: Category) -> Geometry:
    """A shape in numbers.

    Raises:
        ValueError, OverflowError: its attributes are not such numbers.
    """
    if isinstance(shape, Between):
        return _interpolated(shape, category)
    if shape.kind == "skeleton":
        return _skeleton(shape, category.keypoints or _element_names(shape))
    if shape.kind == "points":
        points = _parse_points(shape.text)
        return Geometry(points, (_visibility(shape),) * len(points))
    if shape.kind in ("polygon", "polyline"):
        points = _parse_points(shape.text)
        if shape.kind == "polygon" and len(points) < 3:
            raise ValueError(f"a polygon has 3 points or more, found {len(points)}")
        return Geometry(points)
    if shape.kind == "mask":
        left, top, width, height = (_whole(value) for value in shape.values[:4])
        if min(width, height) < 1:
            raise ValueError(f"the mask has {width} x {height} pixels")
        corners = np.array([(left, top), (left + width, top + height)], np.float64)
        return Geometry(corners, mask=(left, top, width, height, shape.values[4]))
    numbers = _numbers(shape)
    return Geometry(numbers.reshape(-1, 2) if shape.kind == "cuboid" else _outline(shape.kind, numbers))


def _interpolated(shape: Between, category: Category) -> Geometry:
    left, right, offset = shape
    if left.kind in ("box", "ellipse"):
        one, other = _numbers(left), _numbers(right)
        numbers = one + (other - one) * offset
        numbers[4] = interpolate_angle(one[4], other[4], offset)
        return Geometry(_outline(left.kind, numbers))
    if left.kind == "skeleton":
        names = category.keypoints or _element_names(left)
        start, end = _skeleton(left, names), _skeleton(right, names)
        given = _element_names(right)
        stays = np.array([name not in given for name in names], np.bool_)
        end.points[stays] = start.points[stays]
    else:
        start, end = geometry_of(left, category), geometry_of(right, category)
    if left.kind == "polygon":
        return Geometry(interpolate_polygon(start.points, end.points, offset))
    if left.kind == "polyline":
        return Geometry(interpolate_polyline(start.points, end.points, offset))
    if left.kind == "points" and not len(start.points) == len(end.points) == 1:
        return start  # as CVAT does
    return start._replace(points=start.points + (end.points - start.points) * offset)


def _element_names(skeleton: Shape) -> tuple[str, ...]:
    return tuple(dict.fromkeys(element.label for element in skeleton.elements))


def _skeleton(shape: Shape, names: tuple[str, ...]) -> Geometry:
    """A skeleton whose elements have these names; of an element that is missing, a point that is not visible."""
    by_name = {element.label: element for element in shape.elements}
    if len(by_name) < len(shape.elements):
        raise ValueError("two elements have the same label")
    if unknown := by_name.keys() - set(names):
        raise ValueError(f"the element {min(unknown)!r} is not one of the label's")
    elements = [by_name.get(name) for name in names]
    points = [_parse_points(element.text, 1)[0] if element else np.zeros(2) for element in elements]
    return Geometry(np.array(points).reshape(-1, 2), tuple(map(_visibility, elements)))


def _numbers(shape: Shape) -> Array:
    """The attributes of a box, an ellipse or a cuboid; without a rotation, it is 0."""
    values = shape.values
    if shape.kind != "cuboid" and not values[4]:
        values[4] = "0"
    numbers = np.array([_number(value) for value in values])
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    if shape.kind == "ellipse" and numbers[2:4].min() <= 0:
        raise ValueError(f"the radii are {numbers[2]:g} and {numbers[3]:g}")
    if shape.kind == "box" and (numbers[2:4] < numbers[:2]).any():
        raise ValueError("a negative width or height")
    return numbers


def _number(text: str) -> float:
    if "_" in text:  # which Python takes for digits' separators
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)


def _whole(text: str) -> int:
    number = _number(text)
    if not number.is_integer():
        raise ValueError(f"a whole number was expected, found {text!r}")
    return int(number)


def _outline(kind: str, numbers: Array) -> Array:
    """Corners of a box, or points around an ellipse; turned clockwise around the centre by the angle at the end."""
    if kind == "box":
        left, top, right, bottom, angle = numbers
        if not angle:
            return np.array([(left, top), (right, bottom)])
        centre = np.array([(left + right) / 2, (top + bottom) / 2])
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - centre
    else:
        x, y, radius_x, radius_y, angle = numbers
        around = np.arange(ELLIPSE_POINTS) * (2 * np.pi / ELLIPSE_POINTS)
        centre = np.array([x, y])
        points = np.column_stack((radius_x * np.cos(around), radius_y * np.sin(around)))
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned: Array = points @ np.array([(cosine, sine), (-sine, cosine)]) + centre
    return turned


def _visibility(shape: Shape | None) -> float:
    """COCO's 0, 1, 2 as a score: 0 outside, 0.5 occluded, 1 visible."""
    if shape is None or shape.outside:
        return 0.0
    return 0.5 if shape.occluded else 1.0


def _parse_points(text: str, count: int | None = None) -> Array:
    """`x,y;x,y;...` as (N, 2); N is the count, where it is given."""
    try:
        points = np.array([[float(number) for number in pair.split(",")] for pair in text.split(";")])
    except ValueError:
        points = np.zeros(0)
    if "_" in text or points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points are x,y;x,y;..., found {text[:40]!r}")
    if count not in (None, len(points)):
        raise ValueError(f"{len(points)} points where {count} was expected")
    return points


def placed_mask(mask: tuple[int, int, int, int, str], width: int, height: int) -> RunLengthMask:
    """A mask of a part of the image, given as row-major run lengths, 0s first, in the whole image."""
    left, top, own_width, own_height, text = mask
    if min(left, top) < 0 or left + own_width > width or top + own_height > height:
        place = f"{own_width} x {own_height} at {left}, {top}"
        raise ValueError(f"the mask, {place}, does not lie within the image of {width} x {height}")
    if own_height * width > MAX_IMAGE_PIXELS:
        raise ValueError(f"the mask has more than {MAX_IMAGE_PIXELS:,} pixels")
    runs = np.array([int(run) for run in text.split(",")])
    if "_" in text or (runs < 0).any() or int(runs.sum()) != own_width * own_height:
        raise ValueError(f"the run lengths sum to {int(runs.sum())}, not {own_width} x {own_height}")
    rows = np.zeros((own_height, width), np.bool_)
    part = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    rows[:, left : left + own_width] = part.reshape(own_height, own_width)
    counts = RunLengthMask.from_array(rows).counts
    counts[0] += top * width
    below = (height - top - own_height) * width
    if below and len(counts) % 2:
        counts[-1] += below
    elif below:
        counts = np.append(counts, below)
    return RunLengthMask(counts, height, width)
