"""The arguments of `TaskWriter.write` as arrays: of lists, arrays and tensors of any library.

No library of tensors is imported: tensors are recognised by `__array__` or DLPack. Whatever cannot be used is an
`ExportError` that names the argument and the image; no other exception leaves this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError
from labelferry.run_lengths import MAX_PIXELS, Floats, Int64

WRONG_ARGUMENT = "wrong-argument"
"""Code of an argument that cannot be used."""

_WHOLE = 2.0**53
"""Up to here, every integer is a number of float64."""


class Columns(TypedDict, total=False):
    """The arguments that `TaskWriter.write` and `VideoWriter.write` take by name."""

    xywh: Any
    xyxy: Any
    scores: Any
    category_ids: Any
    masks: Any
    mask_threshold: float | None
    keypoints: Any
    probabilities: Any
    class_scores: Any
    label_map: Any


class Call(NamedTuple):
    """A call of `write`, for messages.

    Attributes:
        where: name of the image.
        of: type of the predictions that the columns come from, as `Results`; empty if they are arguments themselves.
    """

    where: str
    of: str = ""

    def error(self, argument: str, text: str, code: str = WRONG_ARGUMENT) -> ExportError:
        """An argument that cannot be used."""
        name = f"predictions ({self.of}), {argument}" if self.of else argument
        return ExportError(f"{name}: {text}", where=self.where, code=code)


def to_array(call: Call, argument: str, value: Any) -> NDArray[Any]:
    """Numbers of any kind as an array, on the CPU; the type of the numbers stays.

    Raises:
        ExportError: the value is not an array of numbers.
    """
    if type(value) is not np.ndarray:
        try:
            value = _to_numpy(value)
        except Exception as error:  # whatever the conversion of somebody else's type raises
            text = f"{_kind(value)} that cannot be read as an array: {type(error).__name__}: {error}"
            raise call.error(argument, text) from error
    if value.dtype.kind not in "biuf":
        kind = "not numbers" if value.dtype.kind == "O" else f"values of the type {value.dtype}"
        raise call.error(argument, f"expected an array of numbers, found {kind}")
    array: NDArray[Any] = value
    return array


def to_floats(call: Call, argument: str, value: Any, shape: str) -> Floats:
    """The same as float64; `shape` describes the one that is expected, for messages."""
    array = to_array(call, argument, value)
    if array.dtype == np.float64:
        return array
    if array.dtype.kind == "b":
        raise call.error(argument, f"expected numbers of the shape {shape}, found bools")
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float64)


def of_objects(call: Call, argument: str, value: Any) -> Floats:
    """(N,) a number for each object; a single number is that of one object."""
    array = to_floats(call, argument, value, "(N,)")
    if array.ndim == 1:
        return array
    if array.ndim == 0:
        return array.reshape(1)
    raise call.error(argument, f"expected the shape (N,), a number for each object; found {array.shape}")


def to_ids(call: Call, argument: str, value: Any) -> Int64:
    """(N,) the ids of the model.

    Raises:
        ExportError: these are not integers, in one row.
    """
    array = to_array(call, argument, value)
    if array.ndim == 0:
        array = array.reshape(1)
    if array.ndim != 1:
        raise call.error(argument, f"expected the shape (N,), an id for each object; found {array.shape}")
    if array.dtype == np.int64:
        return array
    if array.dtype.kind == "b":
        raise call.error(argument, "expected integers, found bools")
    floats = array.astype(np.float64)
    # NaN fails every comparison
    if not ((np.abs(floats) <= _WHOLE) & (np.trunc(floats) == floats)).all():
        raise call.error(argument, f"expected whole numbers, found {_shown(array)}")
    return array.astype(np.int64)


def to_size(call: Call, size: Any) -> tuple[int, int] | None:
    """(width, height) in pixels, of any two numbers; None is not known."""
    if size is None:
        return None
    if type(size) is tuple and len(size) == 2 and type(size[0]) is int and type(size[1]) is int:
        width, height = size
    else:
        numbers = to_floats(call, "size", size, "(2,)")
        if numbers.shape != (2,):
            hint = "; the shape of an array is (height, width, channels)" if numbers.size == 3 else ""
            raise call.error("size", f"expected two numbers, (width, height), found {_shown(numbers)}{hint}")
        if not ((np.abs(numbers) <= _WHOLE) & (np.trunc(numbers) == numbers)).all():
            raise call.error("size", f"expected whole numbers, found {_shown(numbers)}")
        width, height = map(int, numbers.tolist())
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise call.error("size", f"expected (width, height), at least a pixel each; found ({width}, {height})")
    return width, height


def to_boxes(call: Call, xywh: Any, xyxy: Any) -> Floats | None:
    """(N, 4) x, y, width, height, of boxes in one of the two forms."""
    if xywh is not None and xyxy is not None:
        raise call.error("xywh and xyxy", "boxes are given in one of the two forms, not both")
    name = "xywh" if xyxy is None else "xyxy"
    given = xywh if xyxy is None else xyxy
    if given is None:
        return None
    boxes = to_floats(call, name, given, "(N, 4)")
    if boxes.ndim == 1 and boxes.size in (0, 4):
        boxes = boxes.reshape(-1, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise call.error(name, f"expected boxes of the shape (N, 4), found {boxes.shape}")
    if xyxy is None:
        return boxes
    with np.errstate(over="ignore", invalid="ignore"):  # infinite boxes are refused with all other rules
        return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)


def to_keypoints(call: Call, given: Any) -> list[Floats] | None:
    """(K, 3) x, y and score for each object, of (N, K, 3), or of (N, K, 2) without scores; objects may have different
    numbers of keypoints."""
    if given is None:
        return None
    if not isinstance(given, list | tuple):
        given = to_array(call, "keypoints", given)
        if given.ndim != 3 and given.size:
            raise call.error("keypoints", f"expected the shape (N, K, 3) or (N, K, 2), found {given.shape}")
        if not given.size:
            given = given[:0]
    keypoints = []
    for i, one in enumerate(given):
        points = to_floats(call, "keypoints", one, "(N, K, 3)")
        if points.ndim != 2 or points.shape[1] not in (2, 3) or not len(points):
            text = f"expected the shape (N, K, 3) or (N, K, 2), those of object {i} are {points.shape}"
            raise call.error("keypoints", text)
        keypoints.append(points if points.shape[1] == 3 else np.column_stack((points, np.ones(len(points)))))
    return keypoints


def to_probabilities(call: Call, given: Any) -> Floats:
    """(N, C) of the objects, or (C,) of the image."""
    probabilities = to_floats(call, "probabilities", given, "(N, C)")
    if probabilities.ndim == 1:
        probabilities = probabilities[None]
    if probabilities.ndim != 2 or not probabilities.shape[1]:
        raise call.error(
            "probabilities", f"expected the shape (N, C), or (C,) of an image; found {probabilities.shape}"
        )
    return probabilities


def _to_numpy(value: Any) -> NDArray[Any]:
    for verb in ("detach", "cpu"):  # a tensor may have a gradient, or be on another device
        if hasattr(value, verb):
            value = getattr(value, verb)()
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError("values are masked")
    if isinstance(value, Mapping | set | frozenset):  # which numpy takes for one object
        raise TypeError("it has no order")
    if isinstance(value, list | tuple) and any(hasattr(one, "detach") for one in value):
        value = [_to_numpy(one) for one in value]
    try:
        return np.asarray(value)
    except TypeError:
        if hasattr(value, "float"):  # a number type that numpy does not have, as bfloat16
            return np.asarray(value.float())
        raise


def _kind(value: Any) -> str:
    return f"a value of the type {type(value).__name__}"


def _shown(values: NDArray[Any]) -> str:
    return np.array2string(values.ravel()[:5], threshold=5)
