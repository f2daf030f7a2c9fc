"""Packets of H.264 in MP4 and Matroska.

Syntax: ITU-T H.264, 7.3.2.1 (sequence parameter set), 7.3.3 (slice header), E.1 (VUI parameters); ISO/IEC 14496-15,
5.3.3 (decoder configuration).
"""

from __future__ import annotations

from typing import NamedTuple

from labelferry.video.packets.bits import HEADER_SIZE, Bits, Unproven, full_order, nal_units

_SLICE, _IDR_SLICE = 1, 5
_IGNORED = (6, 8, 9, 12)
"""NAL units without an effect on the number of frames: SEI, picture parameter set, delimiter, filler."""


class _Sequence(NamedTuple):
    """What the headers and the order of pictures depend on.

    Attributes:
        has_fields: whether slice headers say if the picture is a field.
        number_bits: width of frame_num.
        order_bits: width of pic_order_cnt_lsb; 0 if pictures are output in decoding order.
        reordering: max_num_reorder_frames, the most pictures that precede one in decoding order and follow it in
            output order. 0 if not announced: a decoder then has to guess it and may drop frames, except where no
            picture is reordered.
    """

    has_fields: bool
    number_bits: int
    order_bits: int
    reordering: int


class H264Check:
    """Proves that every packet is one frame picture, that the first is an IDR picture, that no reference picture is
    missing (frame_num has no gaps), and that pictures are reordered no more than announced."""

    def __init__(self, extradata: bytes) -> None:
        if extradata[:1] != b"\1" or extradata[5] & 31 != 1:  # of version 1, with one sequence parameter set
            raise Unproven
        self._length_size = (extradata[4] & 3) + 1
        self._parameters = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
        self._sequence = _read_sequence(self._parameters)
        self._number = -1  # frame_num of the last reference picture
        self._order = 0  # picture order count of the last reference picture
        self._highest: list[int] = []  # the highest picture order counts since the last IDR picture

    def __call__(self, packet: memoryview, time: int) -> None:
        pictures = 0
        for unit in nal_units(packet, self._length_size):
            kind = unit[0] & 31
            if kind in (_SLICE, _IDR_SLICE):
                if unit[1] >> 7:  # first_mb_in_slice is 0
                    pictures += 1
                    self._check_picture(bytes(unit[:HEADER_SIZE]))
            elif kind not in _IGNORED and unit != self._parameters:
                raise Unproven
        if pictures != 1:
            raise Unproven

    def _check_picture(self, unit: bytes) -> None:
        has_fields, number_bits, order_bits, reordering = self._sequence
        bits = Bits(unit[1:], has_escapes=True)
        for _ in range(3):
            bits.golomb()
        number = bits.read(number_bits)
        if has_fields:
            bits.require_zeros()  # field_pic_flag
        if unit[0] & 31 == _IDR_SLICE:
            self._number, self._order, self._highest = 0, 0, []
            expected = 0
            bits.golomb()
        elif self._number < 0:
            raise Unproven
        else:
            expected = (self._number + 1) % (1 << number_bits)
        if number != expected:
            raise Unproven
        order = full_order(bits.read(order_bits), order_bits, self._order) if order_bits else 0
        if unit[0] & 0x60:  # a reference picture
            self._number, self._order = number, order
        if order_bits:
            if order in self._highest or (len(self._highest) > reordering and order < self._highest[0]):
                raise Unproven
            self._highest = sorted((*self._highest, order))[-reordering - 1 :]


def _read_sequence(unit: bytes) -> _Sequence:
    bits = Bits(unit[1:], has_escapes=True)
    profile = bits.read(8)
    bits.read(16)
    bits.golomb()
    if profile in (100, 110, 122, 244):  # High and its extensions
        if bits.golomb() == 3:  # 4:4:4
            bits.require_zeros()  # separate_colour_plane_flag
        bits.golomb()
        bits.golomb()
        bits.flag()
        bits.require_zeros()  # seq_scaling_matrix_present_flag
    elif profile not in (66, 77):  # Baseline, Main
        raise Unproven
    number_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type not in (0, 2):
        raise Unproven
    order_bits = bits.golomb() + 4 if order_type == 0 else 0
    bits.golomb()
    bits.require_zeros()  # gaps_in_frame_num_value_allowed_flag
    bits.golomb()
    bits.golomb()
    has_fields = not bits.flag()
    bits.read(1 + has_fields)
    if bits.flag():  # cropping
        for _ in range(4):
            bits.golomb()
    return _Sequence(has_fields, number_bits, order_bits, _read_reordering(bits) if bits.flag() else 0)


def _read_reordering(bits: Bits) -> int:
    """`max_num_reorder_frames` of the VUI parameters; 0 if not present."""
    if bits.flag() and bits.read(8) == 255:  # sample aspect ratio
        bits.read(32)
    if bits.flag():  # overscan
        bits.flag()
    if bits.flag():  # video signal
        bits.read(4)
        if bits.flag():
            bits.read(24)
    if bits.flag():  # chroma location
        bits.golomb()
        bits.golomb()
    if bits.flag():  # timing
        bits.read(65)
    has_hrd = False
    for _ in range(2):  # NAL HRD, VCL HRD
        if bits.flag():
            has_hrd = True
            count = bits.golomb() + 1
            bits.read(8)
            for _ in range(count):
                bits.golomb()
                bits.golomb()
                bits.flag()
            bits.read(20)
    if has_hrd:
        bits.flag()
    bits.flag()
    if not bits.flag():  # bitstream_restriction_flag
        return 0
    bits.flag()
    for _ in range(4):
        bits.golomb()
    return bits.golomb()
