"""How a video says that its frames are to be mirrored and turned: the display matrix of its container or stream.

PyAV gives frames as stored. `frame.rotation` does not tell a mirrored frame from a turned one, so the matrix itself is
read: https://ffmpeg.org/doxygen/trunk/group__lavu__video__display.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import VideoFrame

ANGLE_UNKNOWN = 0
"""In place of an orientation: frames are turned by another angle than a multiple of 90 degrees."""

_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF orientations by the signs of the matrix's first two columns in its first two rows."""

_ROTATIONS = {2: 3, 4: 1, 5: 6, 7: 8}


def display_orientation(frame: VideoFrame) -> int:
    """The EXIF orientation from 1 to 8 that a frame's display matrix is equal to, or ANGLE_UNKNOWN."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    small = max(map(abs, (a, b, c, d))) // 100
    signs = [(value > small) - (value < -small) for value in (a, b, c, d)]
    return _ORIENTATIONS.get((signs[0], signs[1], signs[2], signs[3]), ANGLE_UNKNOWN)


def opencv_orientation(orientation: int) -> int:
    """The EXIF orientation of the frames that OpenCV's VideoCapture gives: it turns them, and leaves out mirroring."""
    return _ROTATIONS.get(orientation, orientation)
