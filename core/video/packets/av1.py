"""AV1: the AV1 bitstream specification (5.3, 5.9)."""

from __future__ import annotations

from typing import NamedTuple

from labelferry.video.packets.bits import HEADER, Bits, Unproven


class _Sequence(NamedTuple):
    """What a sequence header says about frame headers.

    Attributes:
        screen_content: seq_force_screen_content_tools, 2 where frames say it themselves.
        integer_motion: seq_force_integer_mv, likewise.
        order_bits: of order_hint.
    """

    screen_content: int
    integer_motion: int
    order_bits: int


class Av1:
    """Every temporal unit shows one frame, of one layer: the first a key frame, the others next in the order shown."""

    def __init__(self, extradata: bytes) -> None:
        self._header = b""
        self._sequence: _Sequence | None = None
        self._slots: list[int | None] = [None] * 8  # orders of the frames that are kept
        self._order: int | None = None  # of the last frame shown

    def __call__(self, packet: memoryview) -> None:
        at, shown = 0, 0
        while at < len(packet):
            header = packet[at]
            kind = header >> 3 & 15
            at += 1
            if header & 4:  # an extension: layers
                raise Unproven
            size = len(packet) - at
            if header & 2:
                size = shift = 0
                while True:
                    byte = packet[at]
                    at += 1
                    size |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
            unit = bytes(packet[at : at + size])
            if kind == 1:
                if self._header not in (b"", unit):
                    raise Unproven
                self._header, self._sequence = unit, _read_sequence(unit)
            elif kind in (3, 6):
                shown += self._shows_frame(unit[:HEADER])
            at += size
        if shown != 1 or at != len(packet):
            raise Unproven

    def _shows_frame(self, unit: bytes) -> bool:
        if self._sequence is None:
            raise Unproven
        screen_content, integer_motion, order_bits = self._sequence
        bits = Bits(unit, has_escapes=False)
        if bits.flag():  # show_existing_frame
            self._show(self._slots[bits.bits(3)])
            return True
        kind, is_shown = bits.bits(2), bits.flag()
        is_restart = kind == 0 and is_shown  # a key frame
        if not is_shown:
            bits.flag()
            if kind == 0:  # a key frame to be shown later
                raise Unproven
        if self._order is None and not is_restart:
            raise Unproven
        is_resilient = kind == 3 or is_restart or bits.flag()
        bits.flag()
        if (bits.flag() if screen_content == 2 else screen_content) and integer_motion == 2:
            bits.flag()
        if kind != 3:
            bits.flag()
        order = bits.bits(order_bits)
        if kind in (1, 3) and not is_resilient:
            bits.bits(3)
        refreshed = 255 if kind == 3 or is_restart else bits.bits(8)
        if is_restart:
            self._order = order
        elif is_shown:
            self._show(order)
        self._slots = [order if refreshed >> slot & 1 else kept for slot, kept in enumerate(self._slots)]
        return is_shown

    def _show(self, order: int | None) -> None:
        assert self._sequence is not None
        if self._order is None or order != (self._order + 1) % (1 << self._sequence.order_bits):
            raise Unproven
        self._order = order


def _read_sequence(unit: bytes) -> _Sequence:
    bits = Bits(unit, has_escapes=False)
    bits.bits(3)
    if bits.bits(2):  # a still picture
        raise Unproven
    if bits.flag():  # timing
        bits.bits(64)
        if bits.flag():
            bits.golomb()
        if bits.flag():  # a decoder model, which makes headers longer
            raise Unproven
    has_delays = bits.flag()
    for _ in range(bits.bits(5) + 1):
        bits.bits(12)
        if bits.bits(5) > 7:
            bits.flag()
        if has_delays and bits.flag():
            bits.bits(4)
    width_bits, height_bits = bits.bits(4) + 1, bits.bits(4) + 1
    bits.bits(width_bits + height_bits)
    if bits.flag():  # frames have numbers
        raise Unproven
    bits.bits(7)
    has_order = bits.flag()
    if not has_order:
        raise Unproven
    bits.bits(2)
    screen_content = 2 if bits.flag() else bits.bits(1)
    integer_motion = 2
    if screen_content and not bits.flag():
        integer_motion = bits.bits(1)
    return _Sequence(screen_content, integer_motion, bits.bits(3) + 1)
