"""Packet headers: do they prove, without decoding, that every packet is exactly one shown frame?

One module per codec. A check accepts only what a test video covers, whose count is compared with a full decode; for
everything else it raises `Unproven`, and the file is decoded.
"""

from __future__ import annotations

from collections.abc import Callable

from labelferry.video.packets.av1 import Av1Check
from labelferry.video.packets.bits import PacketCheck, Unproven
from labelferry.video.packets.h264 import H264Check
from labelferry.video.packets.h265 import H265Check
from labelferry.video.packets.vp9 import Vp9Check

__all__ = ["CHECKS", "PacketCheck", "Unproven"]

CHECKS: dict[str, Callable[[bytes], PacketCheck]] = {
    "h264": H264Check,
    "hevc": H265Check,
    "vp9": Vp9Check,
    "libdav1d": Av1Check,
}
"""Makes the check of a stream from its extradata, by the name of FFmpeg's decoder."""
