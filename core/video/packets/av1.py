"""Packets of AV1. Syntax: AV1 bitstream specification, 5.3 (OBUs), 5.5 (sequence header) and 5.9 (frame header)."""

from __future__ import annotations

from labelferry.video.packets.bits import HEADER_SIZE, Bits, Unproven

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_IGNORED = (2, 5, 15)
"""OBUs without an effect on the number of frames: temporal delimiter, metadata, padding."""

_KEY_FRAME, _SWITCH_FRAME = 0, 3


class Av1Check:
    """Proves that every packet shows exactly one frame of a single layer, that the first is a key frame, and that none
    is missing between two of them, after which a decoder may stop.

    The order hints of shown frames must have no gap. Key frames restart them, so only times show that whole groups of
    pictures are missing: no time between two frames may be twice another.
    """

    def __init__(self, extradata: bytes) -> None:
        self._sequence = b""
        self._order_bits = 0
        self._slots: list[int | None] = [None] * 8  # order hints of the stored frames
        self._order: int | None = None  # order hint of the last shown frame
        self._time: int | None = None
        self._steps: list[int] = []  # the shortest and the longest time between frames

    def __call__(self, packet: memoryview, time: int) -> None:
        if self._time is not None:
            steps = sorted((*self._steps, time - self._time))
            self._steps = [steps[0], steps[-1]]
            if steps[-1] >= 2 * steps[0]:
                raise Unproven
        self._time = time
        at, shown = 0, 0
        while at < len(packet):
            header = packet[at]
            if header & 0b111 != 0b010:  # without an extension (layers), with a size
                raise Unproven
            size = shift = 0
            while True:
                at += 1
                size |= (packet[at] & 127) << shift
                shift += 7
                if packet[at] < 128:
                    break
            at += 1
            kind, content = header >> 3, packet[at : at + size]
            if kind == _SEQUENCE_HEADER:
                self._set_sequence(bytes(content))
            elif kind in (_FRAME_HEADER, _FRAME):
                shown += self._is_shown(bytes(content[:HEADER_SIZE]))
            elif kind not in _IGNORED:
                raise Unproven
            at += size
        if shown != 1 or at != len(packet):
            raise Unproven

    def _set_sequence(self, header: bytes) -> None:
        if self._sequence not in (b"", header):
            raise Unproven
        self._sequence, self._order_bits = header, _read_order_bits(header)

    def _is_shown(self, header: bytes) -> bool:
        if not self._sequence:
            raise Unproven
        bits = Bits(header)
        if bits.flag():  # show_existing_frame
            self._show(self._slots[bits.read(3)])
            return True
        kind, is_shown = bits.read(2), bits.flag()
        is_reset = kind == _KEY_FRAME and is_shown
        if kind == _SWITCH_FRAME or (self._order is None and not is_reset):
            raise Unproven
        if not is_shown:
            bits.flag()
            if kind == _KEY_FRAME:  # resets the order when it is shown later
                raise Unproven
        if not is_reset:
            bits.require_zeros()  # error_resilient_mode
        bits.flag()
        if bits.flag():  # allow_screen_content_tools
            bits.flag()
        bits.require_zeros()  # frame_size_override_flag
        order = bits.read(self._order_bits)
        if kind == 1:
            bits.read(3)
        refreshed = 255 if is_reset else bits.read(8)
        if is_reset:
            self._order = order
        elif is_shown:
            self._show(order)
        self._slots = [order if refreshed >> slot & 1 else kept for slot, kept in enumerate(self._slots)]
        return is_shown

    def _show(self, order: int | None) -> None:
        if self._order is None or order != (self._order + 1) % (1 << self._order_bits):
            raise Unproven
        self._order = order


def _read_order_bits(header: bytes) -> int:
    """The width of order_hint, from a sequence header."""
    bits = Bits(header)
    bits.read(3)
    bits.require_zeros(4)  # still pictures, timing_info, initial_display_delay
    bits.require_zeros(5 + 12)  # operating points, which select layers
    if bits.read(5) > 7:  # seq_level_idx
        bits.flag()
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width_bits + height_bits)
    bits.require_zeros()  # frame_id_numbers_present_flag
    bits.read(7)
    if not bits.flag():  # enable_order_hint
        raise Unproven
    bits.read(2)
    if bits.read(2) != 3:  # frame headers choose screen content tools and whole-pixel motion
        raise Unproven
    return bits.read(3) + 1
