"""H.265: ITU-T H.265 (7.3.2, 7.3.4, 7.3.6, 7.3.7), ISO/IEC 14496-15 (8.3.3)."""

from __future__ import annotations

from typing import NamedTuple

from labelferry.video.packets.bits import HEADER, Bits, Unproven, full_order, nal_units


class _Sequence(NamedTuple):
    """What a sequence parameter set says about slice headers.

    Attributes:
        planes: whether each colour plane has slices of its own.
        order_bits: of slice_pic_order_cnt_lsb.
        references: sets that slices may name, as differences of picture order counts.
        long_term: whether slices may name references by themselves, and of how many they may name the index.
    """

    planes: bool
    order_bits: int
    references: list[list[int]]
    long_term: tuple[bool, int]


class H265:
    """One picture a packet, all of them to be shown, and every reference has been there."""

    def __init__(self, extradata: bytes) -> None:
        if extradata[:1] != b"\1":
            raise Unproven
        self._length_size = (extradata[21] & 3) + 1
        self._parameters = b""
        self._sequence: _Sequence | None = None
        self._extra_bits: dict[int, int] = {}  # by picture parameter set
        self._order: int | None = None  # of the last picture that counts for the order of others
        self._present: set[int] = set()  # orders of pictures that may be referred to
        self._seen: set[int] = set()  # orders of all pictures since the last IDR picture
        self._leading_are_lost = False
        at = 23
        for _ in range(extradata[22]):
            count = int.from_bytes(extradata[at + 1 : at + 3], "big")
            at += 3
            for _ in range(count):
                length = int.from_bytes(extradata[at : at + 2], "big")
                self._set_parameters(extradata[at + 2 : at + 2 + length])
                at += 2 + length

    def __call__(self, packet: memoryview) -> None:
        pictures = 0
        for unit in nal_units(packet, self._length_size):
            kind = unit[0] >> 1 & 63
            if kind >= 32:
                self._set_parameters(bytes(unit))
            elif not _layer(unit) and unit[2] >> 7:  # first_slice_segment_in_pic_flag
                pictures += 1
                self._check_picture(kind, bytes(unit[:HEADER]))
        if pictures != 1:
            raise Unproven

    def _set_parameters(self, unit: bytes) -> None:
        kind = unit[0] >> 1 & 63
        if _layer(unit):
            return
        if kind == 33:
            if not self._parameters:
                self._parameters, self._sequence = unit, _read_sequence(unit)
            elif unit != self._parameters:
                raise Unproven
        elif kind == 34:
            bits = Bits(unit[2:])
            number = bits.golomb()
            bits.golomb()
            bits.flag()
            if bits.flag():  # pictures may be marked as not shown
                raise Unproven
            self._extra_bits[number] = bits.bits(3)
        elif kind in (36, 37):  # end of sequence or bitstream
            raise Unproven

    def _check_picture(self, kind: int, unit: bytes) -> None:
        if self._sequence is None:
            raise Unproven
        is_first, is_idr = self._order is None, kind in (19, 20)
        bits = Bits(unit[2:])
        bits.flag()
        if 16 <= kind <= 23:
            discards = bits.flag()
            if not is_first and (kind <= 18 or discards):  # a broken link, or those not yet shown are not to be
                raise Unproven
            self._leading_are_lost = is_first and not is_idr
        elif is_first or (self._leading_are_lost and kind in (8, 9)):
            raise Unproven
        extra_bits = self._extra_bits.get(bits.golomb())
        if extra_bits is None:
            raise Unproven
        bits.bits(extra_bits)
        bits.golomb()
        if self._sequence.planes:
            bits.bits(2)
        order = 0
        if is_idr:
            self._present, self._seen = set(), set()
        else:
            lsb = bits.bits(self._sequence.order_bits)
            order = lsb if self._order is None else full_order(lsb, self._sequence.order_bits, self._order)
            references = {order + difference for difference in _read_references(bits, self._sequence)}
            if not is_first and not references <= self._present:
                raise Unproven
            self._present &= references
        if order in self._seen:
            raise Unproven
        self._present.add(order)
        self._seen.add(order)
        counts = unit[1] & 7 == 1 and (kind > 9 or (kind % 2 == 1 and kind < 6))
        if counts:
            self._order = order


def _layer(unit: bytes | memoryview) -> int:
    """nuh_layer_id of an H.265 unit; only 0, the base, is decoded."""
    return (unit[0] & 1) << 5 | unit[1] >> 3


def _read_sequence(unit: bytes) -> _Sequence:
    bits = Bits(unit[2:])
    bits.bits(4)
    sub_layers = bits.bits(3)
    bits.flag()
    bits.bits(96)  # profile and level
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.bits(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.bits(88 * has_profile + 8 * has_level)
    bits.golomb()
    planes = bits.golomb() == 3 and bits.flag()
    bits.golomb()
    bits.golomb()
    if bits.flag():
        for _ in range(4):
            bits.golomb()
    bits.golomb()
    bits.golomb()
    order_bits = bits.golomb() + 4
    for _ in range(3 * (sub_layers + 1 if bits.flag() else 1) + 6):
        bits.golomb()
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.bits(2)
    if bits.flag():
        bits.bits(8)
        bits.golomb()
        bits.golomb()
        bits.flag()
    references: list[list[int]] = []
    count = bits.golomb()
    for index in range(count):
        references.append(_read_reference_set(bits, references, index, count))
    names_long_term = bits.flag()
    return _Sequence(planes, order_bits, references, (names_long_term, bits.golomb() if names_long_term else 0))


def _skip_scaling_lists(bits: Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.flag():
                bits.golomb()
                continue
            for _ in range(min(64, 16 << 2 * size) + (size > 1)):
                bits.golomb()


def _read_references(bits: Bits, sequence: _Sequence) -> list[int]:
    """What a picture refers to, as differences from its order."""
    known = sequence.references
    if not bits.flag():
        references = _read_reference_set(bits, known, len(known), len(known))
    elif not known:
        raise Unproven
    else:
        references = known[bits.bits((len(known) - 1).bit_length())]
    has_long_term, choices = sequence.long_term
    if has_long_term and ((choices and bits.golomb()) or bits.golomb()):
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
