"""Packets of H.265 in MP4 and Matroska.

Syntax: ITU-T H.265, 7.3.2 (parameter sets), 7.3.6 (slice segment header), 7.3.7 (short-term reference picture sets);
ISO/IEC 14496-15, 8.3.3 (decoder configuration).
"""

from __future__ import annotations

from typing import NamedTuple

from labelferry.video.packets.bits import HEADER_SIZE, Bits, Unproven, full_order, nal_units

_LEADING = (6, 7, 8, 9)
"""Pictures that precede their IRAP picture in output order: RADL, RASL."""

_RASL = (8, 9)
_IDR, _CRA = (19, 20), 21
_PICTURES = (0, 1, 2, 3, 4, 5, *_LEADING, *_IDR, _CRA)
_SEQUENCE, _PICTURE_PARAMETERS = 33, 34
_IGNORED = (32, 35, 38, 39, 40, 62)
"""NAL units without an effect on the number of frames: VPS, delimiter, filler, SEI, Dolby Vision metadata."""


class _Sequence(NamedTuple):
    """What slice headers depend on.

    Attributes:
        order_bits: width of slice_pic_order_cnt_lsb.
        references: the short-term reference picture sets, as differences of picture order counts.
        has_long_term: whether slices may name long-term references.
    """

    order_bits: int
    references: list[list[int]]
    has_long_term: bool


class H265Check:
    """Proves that every packet is one picture of a single layer, that all pictures are output, and that every picture
    that one refers to is there."""

    def __init__(self, extradata: bytes) -> None:
        if extradata[:1] != b"\1":
            raise Unproven
        self._length_size = (extradata[21] & 3) + 1
        self._parameters = b""
        self._sequence: _Sequence | None = None
        self._picture_parameters: set[int] = set()  # numbers of the picture parameter sets
        self._order: int | None = None  # picture order count that the next one's lowest bits add to
        self._present: set[int] = set()  # picture order counts that may be referred to
        self._seen: set[int] = set()  # picture order counts since the last IDR picture
        self._loses_rasl = False  # the last IRAP picture is a CRA picture at the start
        at = 23
        for _ in range(extradata[22]):
            count = int.from_bytes(extradata[at + 1 : at + 3], "big")
            at += 3
            for _ in range(count):
                length = int.from_bytes(extradata[at : at + 2], "big")
                self._check_unit(memoryview(extradata)[at + 2 : at + 2 + length])
                at += 2 + length

    def __call__(self, packet: memoryview, time: int) -> None:
        if sum(self._check_unit(unit) for unit in nal_units(packet, self._length_size)) != 1:
            raise Unproven

    def _check_unit(self, unit: memoryview) -> bool:
        """Whether a picture begins with this NAL unit."""
        kind = unit[0] >> 1
        if unit[0] & 1 or unit[1] >> 3:  # nuh_layer_id
            raise Unproven
        if kind in _PICTURES:
            if not unit[2] >> 7:  # first_slice_segment_in_pic_flag
                return False
            self._check_picture(kind, bytes(unit[:HEADER_SIZE]))
            return True
        if kind == _SEQUENCE:
            if not self._parameters:
                self._parameters, self._sequence = bytes(unit), _read_sequence(bytes(unit))
            elif unit != self._parameters:
                raise Unproven
        elif kind == _PICTURE_PARAMETERS:
            bits = Bits(bytes(unit[2:]), has_escapes=True)
            self._picture_parameters.add(bits.golomb())
            bits.golomb()
            bits.flag()
            bits.require_zeros(1 + 3)  # output_flag_present_flag, num_extra_slice_header_bits
        elif kind not in _IGNORED:
            raise Unproven
        return False

    def _check_picture(self, kind: int, unit: bytes) -> None:
        if self._sequence is None:
            raise Unproven
        is_first, is_idr = self._order is None, kind in _IDR
        bits = Bits(unit[2:], has_escapes=True)
        bits.flag()
        if is_idr or kind == _CRA:
            discards = bits.flag()  # no_output_of_prior_pics_flag
            if discards and not is_first:
                raise Unproven
            self._loses_rasl = is_first and not is_idr
        elif is_first or (self._loses_rasl and kind in _RASL):
            raise Unproven
        if bits.golomb() not in self._picture_parameters:
            raise Unproven
        bits.golomb()
        order = 0
        if is_idr:
            self._present, self._seen = set(), set()
        else:
            low_bits = bits.read(self._sequence.order_bits)
            order = low_bits if self._order is None else full_order(low_bits, self._sequence.order_bits, self._order)
            references = {order + difference for difference in _read_references(bits, self._sequence)}
            if not is_first and not references <= self._present:
                raise Unproven
            self._present &= references
        if order in self._seen:
            raise Unproven
        self._present.add(order)
        self._seen.add(order)
        is_sub_layer_reference = kind % 2 == 1 or kind >= 16
        if unit[1] & 7 == 1 and is_sub_layer_reference and kind not in _LEADING:  # of the lowest sub-layer
            self._order = order


def _read_sequence(unit: bytes) -> _Sequence:
    bits = Bits(unit[2:], has_escapes=True)
    bits.read(4)
    sub_layers = bits.read(3)
    bits.flag()
    bits.read(96)  # profile and level
    if sub_layers:
        bits.require_zeros(16)  # profiles and levels of sub-layers
    bits.golomb()
    if bits.golomb() == 3:  # 4:4:4
        bits.require_zeros()  # separate_colour_plane_flag
    bits.golomb()
    bits.golomb()
    if bits.flag():  # cropping
        for _ in range(4):
            bits.golomb()
    bits.golomb()
    bits.golomb()
    order_bits = bits.golomb() + 4
    for _ in range(3 * (sub_layers + 1 if bits.flag() else 1) + 6):
        bits.golomb()
    if bits.flag():  # scaling_list_enabled_flag
        bits.require_zeros()  # sps_scaling_list_data_present_flag
    bits.read(2)
    bits.require_zeros()  # pcm_enabled_flag
    references: list[list[int]] = []
    count = bits.golomb()
    for index in range(count):
        references.append(_read_reference_set(bits, references, index, count))
    has_long_term = bits.flag()
    if has_long_term and bits.golomb():  # num_long_term_ref_pics_sps
        raise Unproven
    return _Sequence(order_bits, references, has_long_term)


def _read_references(bits: Bits, sequence: _Sequence) -> list[int]:
    """The pictures a slice refers to, as differences from its picture order count."""
    known = sequence.references
    if not bits.flag():  # short_term_ref_pic_set_sps_flag
        references = _read_reference_set(bits, known, len(known), len(known))
    elif not known:
        raise Unproven
    else:
        references = known[bits.read((len(known) - 1).bit_length())]
    if sequence.has_long_term and bits.golomb():  # num_long_term_pics
        raise Unproven
    return references


def _read_reference_set(bits: Bits, known: list[list[int]], index: int, count: int) -> list[int]:
    """A short-term reference picture set (7.3.7, 7.4.8): the nearest before the picture first, then those after it."""
    if not (index and bits.flag()):
        before, after = bits.golomb(), bits.golomb()
        if max(before, after) > 16:
            raise Unproven
        differences = []
        for amount, sign in ((before, -1), (after, 1)):
            difference = 0
            for _ in range(amount):
                difference += sign * (bits.golomb() + 1)
                bits.flag()
                differences.append(difference)
        return differences
    base = known[index - 1 - (bits.golomb() if index == count else 0)]
    sign = bits.flag()
    shift = (bits.golomb() + 1) * (-1 if sign else 1)
    kept = [difference + shift for difference in (*base, 0) if bits.flag() or bits.flag()]
    return sorted((d for d in kept if d < 0), reverse=True) + sorted(d for d in kept if d > 0)
