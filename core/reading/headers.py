"""Headers of image files: the size in pixels as stored, and the EXIF orientation, without decoding.

JPEG (ITU T.81, Annex B), PNG (https://www.w3.org/TR/png-3/), WebP
(https://developers.google.com/speed/webp/docs/riff_container); all others are left to Pillow.
EXIF: https://www.cipa.jp/std/documents/download_e.html?DC-008-Translation-2023-E, the tag Orientation.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from labelferry.errors import ExportError

HEAD = 2048
"""Bytes that are read at first: enough of most files."""

_ORIENTATION = 0x0112
_INTEGERS = {3: 2, 4: 4, 8: 2, 9: 4}
"""Bytes of an integer of each type that EXIF has for them."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA


class Header(NamedTuple):
    """What an image's header says.

    Attributes:
        size: (width, height) in pixels as stored: the pixels that Pillow's `Image.open` gives.
        orientation: 1 to 8, as EXIF has it: how the stored pixels are turned and mirrored to be shown; 1, not at all.
            It is 1 of a TIFF, which Pillow and OpenCV turn when they read it.
    """

    size: tuple[int, int]
    orientation: int


def read_header(path: str | Path) -> Header:
    """The header of an image.

    Raises:
        ExportError: it is not an image that Pillow knows, or is missing.
    """
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            head = os.read(file, HEAD)
            header = None
            if head[:2] == b"\xff\xd8":
                header = _jpeg(file, head)
            elif head[:8] == b"\x89PNG\r\n\x1a\n":
                header = _png(file, head)
            elif head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
                header = _webp(file, head)
        finally:
            os.close(file)
    except FileNotFoundError:
        raise ExportError("the image is missing", where=str(path), code="image-missing") from None
    if header is not None and min(header.size) > 0:
        return header
    return _by_pillow(path)


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in pixels as stored, from the header; an EXIF orientation is not applied.

    Raises:
        ExportError: it is not an image that Pillow knows, or is missing.
    """
    return read_header(path).size


def exif_orientation(exif: bytes) -> int:
    """The orientation that EXIF gives, 1 if it gives none from 2 to 8.

    Args:
        exif: from the header of its TIFF structure on.
    """
    if exif[:2] == b"MM":
        order, tag = "big", b"\x01\x12"
    elif exif[:2] == b"II":
        order, tag = "little", b"\x12\x01"
    else:
        return 1

    def number(at: int, length: int) -> int:
        return int.from_bytes(exif[at : at + length], order)  # type: ignore[arg-type]

    directory = number(4, 4)
    begin, end = directory + 2, min(directory + 2 + 12 * number(directory, 2), len(exif) - 10)
    at = exif.rfind(tag, begin, end)
    while at >= 0 and (at - begin) % 12:
        at = exif.rfind(tag, begin, at + 1)
    if at < 0:
        return 1
    length = _INTEGERS.get(number(at + 2, 2), 0)
    value = number(at + 8, length) if number(at + 4, 4) == 1 else 0
    return value if 1 <= value <= 8 else 1


def _jpeg(file: int, head: bytes) -> Header | None:
    """Of a JPEG, from its segments before the first scan; None if they give no size."""
    offset, size, orientation, has_exif = 2, None, 1, False
    known = len(head) - 9
    while True:
        segment, at = (head, offset) if offset <= known else (os.pread(file, 9, offset), 0)
        if len(segment) < 9 or segment[at] != 0xFF:
            break
        marker = segment[at + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:  # segments without a length
            offset += 2
            continue
        length = segment[at + 2] << 8 | segment[at + 3]
        if marker in _START_OF_FRAME:
            size = segment[at + 7] << 8 | segment[at + 8], segment[at + 5] << 8 | segment[at + 6]
        elif marker == _START_OF_SCAN:
            break
        elif marker == 0xE1 and segment[at + 4 : at + 9] == b"Exif\0" and not has_exif:
            begin, end, has_exif = offset + 10, offset + 2 + length, True
            orientation = exif_orientation(head[begin:end] if end <= len(head) else os.pread(file, end - begin, begin))
        offset += 2 + length
    return None if size is None else Header(size, orientation)


def _png(file: int, head: bytes) -> Header | None:
    """Of a PNG, whose EXIF stands before or after the pixels."""
    if head[12:16] != b"IHDR":
        return None
    size = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    offset, end = 33, -1
    while True:
        chunk = head[offset : offset + 8] if offset + 8 <= len(head) else os.pread(file, 8, offset)
        kind, length = chunk[4:], int.from_bytes(chunk[:4], "big")
        if kind == b"eXIf":
            return Header(size, exif_orientation(os.pread(file, length, offset + 8)))
        if kind == b"IEND" or len(kind) < 4:
            return Header(size, 1)
        if kind == b"IDAT":  # programs write pixels in many chunks of equal length: find the last of them by bisection
            end = os.lseek(file, 0, os.SEEK_END) if end < 0 else end
            low, high = 0, (end - offset) // (12 + length) + 1
            while high - low > 1:
                middle = (low + high) // 2
                if os.pread(file, 8, offset + middle * (12 + length)) == chunk:
                    low = middle
                else:
                    high = middle
            offset += low * (12 + length)
        offset += 12 + length


def _webp(file: int, head: bytes) -> Header:
    """Of a WebP in the extended format; one in the simple format has no EXIF."""
    size = int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    orientation, offset = 1, 30
    while head[20] & 0x08:  # there is EXIF
        chunk = os.pread(file, 8, offset)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            exif = os.pread(file, length, offset + 8)
            orientation = exif_orientation(exif.removeprefix(b"Exif\0\0"))
        if len(chunk) < 8 or chunk[:4] == b"EXIF":
            break
        offset += 8 + length + (length & 1)
    return Header(size, orientation)


def _by_pillow(path: str | Path) -> Header:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.format == "TIFF":
                return Header(image.size, 1)
            orientation = image.getexif().get(_ORIENTATION, 1)
            return Header(image.size, orientation if orientation in range(2, 9) else 1)
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise unreadable(path, error) from None


def unreadable(path: str | Path, error: Exception) -> ExportError:
    """The error of an image that Pillow cannot decode."""
    from PIL import UnidentifiedImageError

    text = "not an image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        text += " (as a mask, a JPEG is refused: it does not keep values)"
    return ExportError(f"cannot be decoded: {text}", where=str(path), code="image-broken")
