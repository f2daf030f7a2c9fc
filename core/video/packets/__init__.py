"""What the heads of packets say: whether each is one frame that a decoder shows."""

from __future__ import annotations

from collections.abc import Callable

from labelferry.video.packets.av1 import Av1
from labelferry.video.packets.bits import PacketCheck, Unproven
from labelferry.video.packets.h264 import H264
from labelferry.video.packets.h265 import H265
from labelferry.video.packets.vp8 import vp8
from labelferry.video.packets.vp9 import vp9

__all__ = ["CHECKS", "PacketCheck", "Unproven"]


CHECKS: dict[str, Callable[[bytes], PacketCheck]] = {
    "h264": H264,
    "hevc": H265,
    "vp8": vp8,
    "libvpx": vp8,
    "vp9": vp9,
    "libvpx-vp9": vp9,
    "av1": Av1,
    "libdav1d": Av1,
    "libaom-av1": Av1,
}
"""By the name of FFmpeg's decoder."""
