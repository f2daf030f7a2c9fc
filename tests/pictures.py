"""Images and videos that are stored mirrored or turned, for tests, and their upright pictures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

Pixels = np.ndarray[Any, Any]
Box = tuple[int, int, int, int]

STORED = (64, 48)
"""(width, height) in pixels as stored."""

BOXES: list[Box] = [(8, 0, 16, 8), (40, 16, 24, 24)]
"""Bright rectangles (x, y, width, height) in the pixels as stored, which no mirroring or turning leaves in place."""

MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""a, b, c, d of the display matrix that is equal to an EXIF orientation (ISO/IEC 14496-12, tkhd)."""


def drawn(box: Box, size: tuple[int, int] = STORED) -> Pixels:
    """Pixels as stored: white in the box, black elsewhere."""
    x, y, width, height = box
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[y : y + height, x : x + width] = 255
    return pixels


def upright_of(stored: Pixels, orientation: int) -> Pixels:
    """The picture that Pillow shows of pixels as stored."""
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def box_of(pixels: Pixels) -> Box:
    """The rectangle that is bright."""
    y, x = np.nonzero(pixels > 127)
    return int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1


def write_image(path: Path, orientation: int, size: tuple[int, int] = STORED) -> Path:
    """An image with this EXIF orientation; its pixels do not matter."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, exif=exif)
    return path


def turn_video(path: Path, orientation: int, scale: int = 1 << 16) -> Path:
    """Gives the one video track of an MP4 the display matrix of an EXIF orientation."""
    a, b, c, d = (value * scale for value in MATRICES[orientation])
    return set_matrix(path, (a, b, 0, c, d, 0, 0, 0, 1 << 30))


def set_matrix(path: Path, matrix: tuple[int, ...]) -> Path:
    """Gives the one video track of an MP4 this display matrix."""
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd")
    at = header + 4 + (40 if content[header + 4] == 0 else 52)
    content[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    return path


def write_picture_video(path: Path, stored: Pixels, frames: int = 3) -> Path:
    """A video whose frames all show this picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.height, stream.width = stored.shape
        stream.pix_fmt, stream.options = "yuv420p", {"threads": "1", "crf": "1"}
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.stack([stored] * 3, 2), "rgb24")))
        container.mux(stream.encode())
    return path
