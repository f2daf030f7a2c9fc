"""Image files: sizes from headers, stored values of masks, listings of folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError

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
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels as stored, from the header; an EXIF orientation is not applied.

    Raises:
        ExportError: it is not an image that Pillow knows, or is missing.
    """
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            head = os.read(file, 2048)
            size = None
            if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
                size = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
            elif head[:2] == b"\xff\xd8":
                size = _jpeg_size(file, head)
        finally:
            os.close(file)
    except FileNotFoundError:
        raise ExportError("the image is missing", where=str(path), code="image-missing") from None
    if size is not None and min(size) > 0:
        return size
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise _unreadable(path, error) from None


def _jpeg_size(file: int, head: bytes) -> tuple[int, int] | None:
    """The size that a JPEG's start-of-frame segment gives (ITU T.81, B.2.2); `head` is the file's beginning."""
    offset = 2
    while True:
        segment = head[offset : offset + 9] if offset + 9 <= len(head) else os.pread(file, 9, offset)
        if len(segment) < 9 or segment[0] != 0xFF:
            return None
        marker = segment[1]
        if marker in _START_OF_FRAME:
            return int.from_bytes(segment[7:9], "big"), int.from_bytes(segment[5:7], "big")
        if marker == 0xFF:  # a fill byte
            offset += 1
        elif 0xD0 <= marker <= 0xD8 or marker == 0x01:  # segments without a length
            offset += 2
        else:
            offset += 2 + int.from_bytes(segment[2:4], "big")


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
    """The values of a lossless image; alpha is left out.

    Raises:
        ExportError: it cannot be decoded, is JPEG, which blurs values, or has more than MAX_IMAGE_PIXELS.
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
            if image.mode == "LA":
                return LabelMap(np.asarray(image.getchannel(0)), False)
            if image.mode in ("L", "P", "I;16"):
                return LabelMap(_stored(image, "<u2" if image.mode == "I;16" else "u1"), False)
            if image.mode == "1":
                return LabelMap(np.minimum(np.asarray(image).view(np.uint8), 1), False)
            if image.mode.startswith("I"):
                return LabelMap(np.asarray(image), False)
            if image.mode not in ("RGB", "RGBA", "RGBX"):
                text = f"its pixels are of the kind {image.mode!r}; a mask has integers or RGB colours"
                raise ExportError(text, where=str(path), code="mask-mode")
            return LabelMap(_stored(image, "<u4") & np.uint32(0xFFFFFF), True)
    except ExportError:
        raise
    except FileNotFoundError:
        raise ExportError("the mask is missing", where=str(path), code="mask-missing") from None
    except Image.DecompressionBombError as error:  # at twice MAX_IMAGE_PIXELS Pillow opens no image
        raise ExportError(str(error), where=str(path), code="mask-too-large") from None
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise _unreadable(path, error) from None


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
        raise _unreadable(path, error) from None
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


def _unreadable(path: str | Path, error: Exception) -> ExportError:
    from PIL import UnidentifiedImageError

    text = "not an image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        text += " (as a mask, a JPEG is refused: it does not keep values)"
    return ExportError(f"cannot be decoded: {text}", where=str(path), code="image-broken")
