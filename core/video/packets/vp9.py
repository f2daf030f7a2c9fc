"""VP9: the VP9 bitstream specification (6.2, annex B)."""

from __future__ import annotations

from labelferry.video.packets.bits import Bits, PacketCheck, Unproven


def vp9(extradata: bytes) -> PacketCheck:
    """Every packet, which may be a superframe, shows one frame, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> None:
        nonlocal first
        shown = 0
        for start in _frames(packet):
            bits = Bits(bytes(packet[start : start + 2]), has_escapes=False)
            bits.bits(2)
            if bits.flag() + 2 * bits.flag() == 3:
                bits.flag()
            if bits.flag():  # show_existing_frame
                if first:
                    raise Unproven
                shown += 1
                continue
            if bits.flag() and first:
                raise Unproven
            shown += bits.bits(1)
            first = False
        if shown != 1:
            raise Unproven

    return check


def _frames(packet: memoryview) -> list[int]:
    """Where the frames of a packet begin."""
    marker = packet[-1]
    if marker & 0xE0 != 0xC0:
        return [0]
    size_bytes, count = (marker >> 3 & 3) + 1, (marker & 7) + 1
    index = len(packet) - 2 - size_bytes * count
    if index < 0 or packet[index] != marker:
        return [0]
    starts, at = [], 0
    for i in range(count):
        starts.append(at)
        at += int.from_bytes(packet[index + 1 + i * size_bytes : index + 1 + (i + 1) * size_bytes], "little")
    return starts
