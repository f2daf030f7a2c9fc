"""What the packet checks of all codecs share: a bit reader, NAL units and picture order counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

HEADER_SIZE = 128
"""Bytes at the start of a slice or frame that contain every element the checks read."""


class Unproven(Exception):
    """The packet headers do not prove the number of frames, so the file must be decoded."""


PacketCheck = Callable[[memoryview, int], None]
"""Called with each packet in turn and its presentation time; raises Unproven unless it is exactly one shown frame."""


class Bits:
    """Reader of the bits of a header. Reading past the end raises Unproven.

    Args:
        data: the header.
        has_escapes: whether to remove emulation prevention bytes (H.264 and H.265).
    """

    def __init__(self, data: bytes, has_escapes: bool = False) -> None:
        if has_escapes:
            data = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise Unproven
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.read(1) == 1

    def require_zeros(self, count: int = 1) -> None:
        """Reads bits of features whose effect on the number of frames is untested: raises Unproven if one is set."""
        if self.read(count):
            raise Unproven

    def golomb(self) -> int:
        """Reads an Exp-Golomb code: ue(v), or se(v) if its value is not used."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        return self.read(2 * zeros + 1) - 1


def nal_units(packet: memoryview, length_size: int) -> Iterator[memoryview]:
    """NAL units of a packet, each with its length before it, as in MP4 and Matroska (ISO/IEC 14496-15, 4.3.3)."""
    at = 0
    while at < len(packet):
        end = at + length_size + int.from_bytes(packet[at : at + length_size], "big")
        if end > len(packet):
            raise Unproven
        yield packet[at + length_size : end]
        at = end


def full_order(low_bits: int, width: int, previous: int) -> int:
    """A picture order count from its `width` lowest bits: the value nearest to the count of the reference picture
    before it (ITU-T H.264, 8.2.1.1; ITU-T H.265, 8.3.1)."""
    half = 1 << width - 1
    return previous + (low_bits - previous + half - 1) % (2 * half) - half + 1
