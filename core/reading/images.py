"""Image files: stored values of masks, listings of folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError
from labelferry.reading.headers import image_size as image_size
from labelferry.reading.headers import unreadable

IMAGE_EXTENSIONS = frozenset(
    f".{extension}"
    for extension in "jpg jpeg jpe jfif png bmp tif tiff webp gif ppm pgm pbm pnm jp2 dng mpo avif heic".split(" ")
)
"""Extensions, in lower case, that mark a file in an export's folder as an image."""

VIDEO_EXTENSIONS = frozenset(f".{extension}" for extension in "mp4 m4v hevc mpg mpeg avi mov webm".split(" "))
"""Extensions, in lower case, of the files that Lightly reads as videos."""

OTHER_VIDEO_EXTENSIONS = frozenset(
    f".{extension}" for extension in "mkv ts mts m2ts wmv asf flv f4v 3gp 3g2 ogv vob mxf divx rm rmvb y4m".split(" ")
)
"""Extensions, in lower case, of videos that Lightly does not read."""

MAX_FRAMES = 10_000_000
"""Most frames of a video that an export may name, four days at 30 a second: a number alone must not fill memory."""


def is_video(name: str) -> bool:
    """Whether a file's name is that of a video."""
    return os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS


MAX_IMAGE_PIXELS = 89_478_485
"""Most pixels of a mask that is decoded: Pillow's own limit, a quarter of a GiB as RGB."""

_LOSSLESS = ("PNG", "BMP", "TIFF", "GIF", "PPM")


class LabelMap(NamedTuple):
    """The stored values of an image, unchanged.

    Attributes:
        values: (H, W) integers: palette indices or grey values, or colours as R + 256 G + 65536 B, which is also how
            COCO panoptic writes segment ids.
        are_colours: whether they are colours.
    """

    values: NDArray[Any]
    are_colours: bool


def packed_colour(colour: tuple[int, int, int]) -> int:
    """A colour as `LabelMap` holds it."""
    return colour[0] | colour[1] << 8 | colour[2] << 16


def read_label_map(path: str | Path) -> LabelMap:
    """The values of a lossless image; alpha is left out, as in `read_with_alpha`, which tells the errors raised."""
    return read_with_alpha(path)[0]


def read_with_alpha(path: str | Path) -> tuple[LabelMap, int]:
    """The values of a lossless image as they are stored, and how many pixels are transparent, at least in part.

    Raises:
        ExportError: it cannot be decoded, is JPEG, which blurs values, has several pages, values that the decoder
            scales, or more than MAX_IMAGE_PIXELS.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=_LOSSLESS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise ExportError(
                    f"the mask has {image.width} x {image.height} pixels, more than the {MAX_IMAGE_PIXELS:,} that are "
                    "decoded",
                    where=str(path),
                    code="mask-too-large",
                )
            if image.info.get("compression") in ("jpeg", "tiff_jpeg"):
                raise ExportError(
                    "a TIFF with JPEG in it, which does not keep values", where=str(path), code="image-broken"
                )
            _check_depth(image, path)
            if image.mode == "LA":
                transparent = int(np.count_nonzero(np.asarray(image.getchannel(1)) != 255))
                return LabelMap(np.asarray(image.getchannel(0)), False), transparent
            if image.mode in ("L", "P", "I;16"):
                return LabelMap(_stored(image, "<u2" if image.mode == "I;16" else "u1"), False), 0
            if image.mode == "1":
                return LabelMap(np.minimum(np.asarray(image).view(np.uint8), 1), False), 0
            if image.mode.startswith("I"):
                return LabelMap(np.asarray(image), False), 0
            if image.mode not in ("RGB", "RGBA", "RGBX"):
                text = f"its pixels are of the kind {image.mode!r}; a mask has integers or RGB colours"
                raise ExportError(text, where=str(path), code="mask-mode")
            stored = _stored(image, "<u4")
            transparent = int(np.count_nonzero(stored < 0xFF000000)) if image.mode == "RGBA" else 0
            return LabelMap(stored & np.uint32(0xFFFFFF), True), transparent
    except ExportError:
        raise
    except FileNotFoundError:
        raise ExportError("the mask is missing", where=str(path), code="mask-missing") from None
    except Image.DecompressionBombError as error:  # at twice MAX_IMAGE_PIXELS Pillow opens no image
        raise ExportError(str(error), where=str(path), code="mask-too-large") from None
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise unreadable(path, error) from None


def _check_depth(image: Any, path: str | Path) -> None:
    """That the values are as stored when Pillow has decoded them, and that there is one page.

    Pillow keeps the upper half of 16 bits of colours, and scales grey of 2 and 4 bits to 8:
    https://pillow.readthedocs.io/en/stable/handbook/concepts.html#modes

    Raises:
        ExportError: they are not.
    """
    text = ""
    raw = str(image.tile[0][3]) if image.tile else ""
    if image.mode in ("RGB", "RGBA", "RGBX", "LA") and ";16" in raw:
        text = "colours of 16 bits a channel, which are not kept; save indices as grey of 16 bits"
    elif image.mode == "L" and re.search(r"L;[24]", raw):
        text = "grey of 2 or 4 bits, which programs read as it is or scaled; save it with 8 bits"
    elif image.format in ("TIFF", "GIF", "PNG") and getattr(image, "n_frames", 1) > 1:
        text = f"{image.n_frames} pages; a mask has one"
    if text:
        raise ExportError(text, where=str(path), code="mask-mode")


def _stored(image: Any, dtype: str) -> NDArray[Any]:
    """The values of an image as Pillow holds them, (H, W); four bytes a pixel where they are colours.

    Half a millisecond a megapixel faster than numpy's own conversion.
    """
    stored = image.tobytes("raw", "RGBX" if image.mode == "RGB" else image.mode)
    return np.frombuffer(stored, dtype).reshape(image.height, image.width)


def read_palette(path: str | Path) -> list[tuple[int, int, int]] | None:
    """The colours of a palette image, by index; None for any other image.

    Raises:
        ExportError: it is not an image.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=_LOSSLESS) as image:
            flat = image.getpalette("RGB") if image.mode == "P" else None
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise unreadable(path, error) from None
    return None if flat is None else list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))


def find_files(folder: Path, extensions: frozenset[str] | None) -> Iterator[str]:
    """Paths relative to the folder, with forward slashes, of all files below it with these extensions (lower case;
    files may have them in any case; None for all), sorted folder by folder; hidden files and folders are skipped. Links
    to folders are followed, each folder once."""
    stack = [""]
    seen = set()
    while stack:
        relative = stack.pop()
        try:
            status = os.stat(folder / relative)
            if (place := (status.st_dev, status.st_ino)) in seen:
                continue
            seen.add(place)
            with os.scandir(folder / relative) as entries:
                listing = sorted((entry.name, entry.is_dir()) for entry in entries if entry.name[0] != ".")
        except OSError as error:
            raise ExportError(f"cannot be listed: {error.strerror}", where=str(folder / relative)) from None
        folders = []
        for name, is_folder in listing:
            if is_folder:
                folders.append(f"{relative}{name}/")
            elif extensions is None or name[name.rfind(".") :].lower() in extensions:
                yield relative + name
        stack += reversed(folders)
