"""The bits of packets, and what every check of them shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator

HEADER = 128
"""Bytes of a slice that hold what is read of its header."""


class Unproven(Exception):
    """Only decoding tells how many frames these packets are."""


PacketCheck = Callable[[memoryview], None]
"""Is given each packet in turn; raises Unproven unless it is one frame."""


class Bits:
    """Reads the bits of a header, without the bytes that keep start codes out of H.264 and H.265."""

    def __init__(self, data: bytes, has_escapes: bool = True) -> None:
        if has_escapes:
            data = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def bits(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the header is too short")
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.bits(1) == 1

    def golomb(self) -> int:
        """An Exp-Golomb code: ue(v), or se(v) where only its length matters."""
        zeros = 0
        while not self.flag():
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed_golomb(self) -> int:
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def nal_units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    at = 0
    while at < len(data):
        end = at + length_size + int.from_bytes(data[at : at + length_size], "big")
        if end > len(data):
            raise Unproven
        yield data[at + length_size : end]
        at = end


def full_order(lsb: int, bits: int, near: int) -> int:
    """A picture order count, of which the lowest bits are given, from that of the reference picture before."""
    half = 1 << bits - 1
    return near + (lsb - near + half - 1) % (2 * half) - half + 1
