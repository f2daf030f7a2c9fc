"""VP8: RFC 6386 (9.1)."""

from __future__ import annotations

from labelferry.video.packets.bits import PacketCheck, Unproven


def vp8(extradata: bytes) -> PacketCheck:
    """Every packet shows a frame, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> None:
        nonlocal first
        if not packet[0] & 0x10 or (first and packet[0] & 1):
            raise Unproven
        first = False

    return check
