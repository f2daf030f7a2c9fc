"""Packets of VP9. Syntax: VP9 bitstream specification, 6.2 (frame header) and annex B (superframes)."""

from __future__ import annotations

from labelferry.video.packets.bits import Bits, Unproven


class Vp9Check:
    """Proves that every packet shows exactly one of its frames and that the first frame is a key frame."""

    def __init__(self, extradata: bytes) -> None:
        self._is_first = True

    def __call__(self, packet: memoryview, time: int) -> None:
        if sum(self._is_shown(bytes(packet[start : start + 2])) for start in _frame_starts(packet)) != 1:
            raise Unproven

    def _is_shown(self, header: bytes) -> bool:
        bits = Bits(header)
        bits.read(2)
        if bits.read(2) == 3:  # profile 3, whose header has one bit more
            raise Unproven
        shows_existing = bits.flag()
        is_inter = shows_existing or bits.flag()
        if self._is_first and is_inter:
            raise Unproven
        self._is_first = False
        return shows_existing or bits.flag()


def _frame_starts(packet: memoryview) -> list[int]:
    """Where the frames of a packet begin. A packet of several frames ends with their sizes, between two equal bytes."""
    marker = packet[-1]
    if marker & 0xE0 != 0xC0:
        return [0]
    size_bytes, count = (marker >> 3 & 3) + 1, (marker & 7) + 1
    index = len(packet) - 2 - size_bytes * count
    if index < 0 or packet[index] != marker:
        raise Unproven
    starts, end = [], 0
    for at in range(index + 1, len(packet) - 1, size_bytes):
        starts.append(end)
        end += int.from_bytes(packet[at : at + size_bytes], "little")
    return starts
