"""H.264: ITU-T H.264 (7.3.2.1, 7.3.3, E.1), ISO/IEC 14496-15 (5.3.3)."""

from __future__ import annotations

from typing import NamedTuple

from labelferry.video.packets.bits import HEADER, Bits, Unproven, full_order, nal_units


class _Sequence(NamedTuple):
    """What a sequence parameter set says about slice headers and the order of pictures.

    Attributes:
        planes: whether each colour plane has slices of its own.
        fields: whether pictures may be fields.
        number_bits: of frame_num.
        order_bits: of pic_order_cnt_lsb; 0 where pictures are shown in the order in which they are decoded.
        reordering: how many pictures are at most decoded before one that is shown before them. A decoder that is not
            told has to guess, and may drop some: then it is 0, as nothing has to be guessed without reordering.
    """

    planes: bool
    fields: bool
    number_bits: int
    order_bits: int
    reordering: int


class H264:
    """One picture a packet, no fields, beginning with an IDR picture, no reference missing, reordered as announced."""

    def __init__(self, extradata: bytes) -> None:
        if extradata[:1] != b"\1":
            raise Unproven
        self._length_size = (extradata[4] & 3) + 1
        self._parameters = b""
        self._sequence: _Sequence | None = None
        self._number = -1  # frame_num of the last reference picture, and its order
        self._order = 0
        self._highest: list[int] = []  # orders that are yet to be passed
        at = 6
        for _ in range(extradata[5] & 31):
            length = int.from_bytes(extradata[at : at + 2], "big")
            self._set_sequence(extradata[at + 2 : at + 2 + length])
            at += 2 + length

    def __call__(self, packet: memoryview) -> None:
        pictures = 0
        for unit in nal_units(packet, self._length_size):
            kind = unit[0] & 31
            if kind in (1, 5):
                if unit[1] >> 7:  # first_mb_in_slice is 0
                    pictures += 1
                    self._check_picture(bytes(unit[:HEADER]))
            elif kind in (2, 3, 4):  # data partitions
                raise Unproven
            elif kind == 7:
                self._set_sequence(bytes(unit))
        if pictures != 1:
            raise Unproven

    def _set_sequence(self, unit: bytes) -> None:
        if not self._parameters:
            self._parameters, self._sequence = unit, _read_sequence(unit)
        elif unit != self._parameters:
            raise Unproven

    def _check_picture(self, unit: bytes) -> None:
        if self._sequence is None:
            raise Unproven
        planes, fields, number_bits, order_bits, reordering = self._sequence
        bits = Bits(unit[1:])
        for _ in range(3):
            bits.golomb()
        if planes:
            bits.bits(2)
        number = bits.bits(number_bits)
        if fields and bits.flag():  # it is a field
            raise Unproven
        if unit[0] & 31 == 5:  # an IDR picture
            self._number, self._order, self._highest = 0, 0, []
            expected = 0
            bits.golomb()
        elif self._number < 0:
            raise Unproven
        else:
            expected = (self._number + 1) % (1 << number_bits)
        if number != expected:
            raise Unproven
        order = full_order(bits.bits(order_bits), order_bits, self._order) if order_bits else 0
        if unit[0] & 0x60:  # a reference
            self._number, self._order = number, order
        if order_bits:
            if order in self._highest or (len(self._highest) > reordering and order < self._highest[0]):
                raise Unproven
            self._highest = sorted((*self._highest, order))[-reordering - 1 :]


def _read_sequence(unit: bytes) -> _Sequence:
    bits = Bits(unit[1:])
    profile = bits.bits(8)
    bits.bits(16)
    bits.golomb()
    planes = False
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma_format = bits.golomb()
        if chroma_format == 3:
            planes = bits.flag()
        bits.golomb()
        bits.golomb()
        bits.flag()
        if bits.flag():
            for i in range(12 if chroma_format == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    number_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type not in (0, 2):
        raise Unproven
    order_bits = bits.golomb() + 4 if order_type == 0 else 0
    bits.golomb()
    if bits.flag():  # gaps in frame numbers are allowed
        raise Unproven
    bits.golomb()
    bits.golomb()
    fields = not bits.flag()
    bits.bits(1 + fields)
    if bits.flag():
        for _ in range(4):
            bits.golomb()
    return _Sequence(planes, fields, number_bits, order_bits, _reordering(bits) if bits.flag() else 0)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb() + 256) % 256
        last = following or last


def _reordering(bits: Bits) -> int:
    """`max_num_reorder_frames` of the VUI parameters; 0 without one."""
    if bits.flag() and bits.bits(8) == 255:
        bits.bits(32)
    if bits.flag():
        bits.flag()
    if bits.flag():
        bits.bits(4)
        if bits.flag():
            bits.bits(24)
    if bits.flag():
        bits.golomb()
        bits.golomb()
    if bits.flag():
        bits.bits(65)
    has_hrd = False
    for _ in range(2):
        if bits.flag():
            has_hrd = True
            count = bits.golomb() + 1
            bits.bits(8)
            for _ in range(count):
                bits.golomb()
                bits.golomb()
                bits.flag()
            bits.bits(20)
    if has_hrd:
        bits.flag()
    bits.flag()
    if not bits.flag():
        return 0
    bits.flag()
    for _ in range(4):
        bits.golomb()
    return bits.golomb()
