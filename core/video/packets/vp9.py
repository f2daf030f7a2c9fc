"""Packets of VP9. Syntax: VP9 bitstream specification, 6.2 (frame header) and annex B (superframes)."""

from __future__ import annotations

from labelferry.video.packets.bits import Bits, Unproven

_HEADER = 16
"""Bytes at the start of a frame that contain every element that is read here."""


class Vp9Check:
    """Proves that every packet shows exactly one of its frames, that the first frame is a key frame, and that all have
    one size."""

    def __init__(self, extradata: bytes) -> None:
        self._is_first = True
        self._size: int | None = None

    def __call__(self, packet: memoryview, time: int) -> None:
        if sum(self._is_shown(bytes(packet[start : start + _HEADER])) for start in _frame_starts(packet)) != 1:
            raise Unproven

    def _is_shown(self, header: bytes) -> bool:
        bits = Bits(header)
        bits.read(2)
        low_bit, high_bit = bits.flag(), bits.flag()
        if low_bit and high_bit:  # profile 3, whose header has one bit more
            raise Unproven
        shows_existing = bits.flag()
        is_inter = shows_existing or bits.flag()
        if self._is_first and is_inter:
            raise Unproven
        self._is_first = False
        if shows_existing:
            return True
        is_shown, is_resilient = bits.flag(), bits.flag()
        is_intra = not is_inter or (not is_shown and bits.flag())
        if is_inter and not is_resilient:
            bits.read(2)
        if is_intra:
            self._read_intra_size(bits, is_inter, low_bit, high_bit)
        else:
            bits.read(8 + 3 * 4)  # which frames are refreshed, and which three it refers to
            if not any(bits.flag() for _ in range(3)):  # of these, one has its size
                self._set_size(bits)
        return is_shown

    def _read_intra_size(self, bits: Bits, is_inter: bool, low_bit: bool, high_bit: bool) -> None:
        bits.read(24)  # sync code
        if not is_inter or low_bit or high_bit:  # colours
            if high_bit:
                bits.flag()
            if bits.read(3) == 7:  # RGB
                raise Unproven
            bits.flag()
            if low_bit:  # subsampling
                bits.read(3)
        if is_inter:
            bits.read(8)
        self._set_size(bits)

    def _set_size(self, bits: Bits) -> None:
        size = bits.read(32)
        if self._size not in (None, size):
            raise Unproven
        self._size = size


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
