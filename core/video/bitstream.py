"""What the heads of packets say: whether each is one frame that a decoder shows.

Bit syntax: ITU-T H.264 (7.3.2.1, 7.3.3, E.1), ITU-T H.265 (7.3.2, 7.3.4, 7.3.6, 7.3.7), ISO/IEC 14496-15 (5.3.3,
8.3.3), RFC 6386 (9.1), the VP9 bitstream specification (6.2, annex B), the AV1 bitstream specification (5.3, 5.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

_HEADER = 128
"""Bytes of a slice that hold what is read of its header."""


class Unproven(Exception):
    """Only decoding tells how many frames these packets are."""


PacketCheck = Callable[[memoryview], None]
"""Is given each packet in turn; raises Unproven unless it is one frame."""


class _Bits:
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


def _nal_units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    at = 0
    while at < len(data):
        end = at + length_size + int.from_bytes(data[at : at + length_size], "big")
        if end > len(data):
            raise Unproven
        yield data[at + length_size : end]
        at = end


def _full_order(lsb: int, bits: int, near: int) -> int:
    """A picture order count, of which the lowest bits are given, from that of the reference picture before."""
    half = 1 << bits - 1
    return near + (lsb - near + half - 1) % (2 * half) - half + 1


class _H264Sequence(NamedTuple):
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


class _H264:
    """One picture a packet, no fields, beginning with an IDR picture, no reference missing, reordered as announced."""

    def __init__(self, extradata: bytes) -> None:
        if extradata[:1] != b"\1":
            raise Unproven
        self._length_size = (extradata[4] & 3) + 1
        self._parameters = b""
        self._sequence: _H264Sequence | None = None
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
        for unit in _nal_units(packet, self._length_size):
            kind = unit[0] & 31
            if kind in (1, 5):
                if unit[1] >> 7:  # first_mb_in_slice is 0
                    pictures += 1
                    self._check_picture(bytes(unit[:_HEADER]))
            elif kind in (2, 3, 4):  # data partitions
                raise Unproven
            elif kind == 7:
                self._set_sequence(bytes(unit))
        if pictures != 1:
            raise Unproven

    def _set_sequence(self, unit: bytes) -> None:
        if not self._parameters:
            self._parameters, self._sequence = unit, _read_h264_sequence(unit)
        elif unit != self._parameters:
            raise Unproven

    def _check_picture(self, unit: bytes) -> None:
        if self._sequence is None:
            raise Unproven
        planes, fields, number_bits, order_bits, reordering = self._sequence
        bits = _Bits(unit[1:])
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
        order = _full_order(bits.bits(order_bits), order_bits, self._order) if order_bits else 0
        if unit[0] & 0x60:  # a reference
            self._number, self._order = number, order
        if order_bits:
            if order in self._highest or (len(self._highest) > reordering and order < self._highest[0]):
                raise Unproven
            self._highest = sorted((*self._highest, order))[-reordering - 1 :]


def _read_h264_sequence(unit: bytes) -> _H264Sequence:
    bits = _Bits(unit[1:])
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
    return _H264Sequence(planes, fields, number_bits, order_bits, _h264_reordering(bits) if bits.flag() else 0)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb() + 256) % 256
        last = following or last


def _h264_reordering(bits: _Bits) -> int:
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


class _H265Sequence(NamedTuple):
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


class _H265:
    """One picture a packet, all of them to be shown, and every reference has been there."""

    def __init__(self, extradata: bytes) -> None:
        if extradata[:1] != b"\1":
            raise Unproven
        self._length_size = (extradata[21] & 3) + 1
        self._parameters = b""
        self._sequence: _H265Sequence | None = None
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
        for unit in _nal_units(packet, self._length_size):
            kind = unit[0] >> 1 & 63
            if kind >= 32:
                self._set_parameters(bytes(unit))
            elif not _layer(unit) and unit[2] >> 7:  # first_slice_segment_in_pic_flag
                pictures += 1
                self._check_picture(kind, bytes(unit[:_HEADER]))
        if pictures != 1:
            raise Unproven

    def _set_parameters(self, unit: bytes) -> None:
        kind = unit[0] >> 1 & 63
        if _layer(unit):
            return
        if kind == 33:
            if not self._parameters:
                self._parameters, self._sequence = unit, _read_h265_sequence(unit)
            elif unit != self._parameters:
                raise Unproven
        elif kind == 34:
            bits = _Bits(unit[2:])
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
        bits = _Bits(unit[2:])
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
            order = lsb if self._order is None else _full_order(lsb, self._sequence.order_bits, self._order)
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


def _read_h265_sequence(unit: bytes) -> _H265Sequence:
    bits = _Bits(unit[2:])
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
        _skip_h265_scaling_lists(bits)
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
    return _H265Sequence(planes, order_bits, references, (names_long_term, bits.golomb() if names_long_term else 0))


def _skip_h265_scaling_lists(bits: _Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.flag():
                bits.golomb()
                continue
            for _ in range(min(64, 16 << 2 * size) + (size > 1)):
                bits.golomb()


def _read_references(bits: _Bits, sequence: _H265Sequence) -> list[int]:
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


def _read_reference_set(bits: _Bits, known: list[list[int]], index: int, count: int) -> list[int]:
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


def _vp8(extradata: bytes) -> PacketCheck:
    """Every packet shows a frame, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> None:
        nonlocal first
        if not packet[0] & 0x10 or (first and packet[0] & 1):
            raise Unproven
        first = False

    return check


def _vp9(extradata: bytes) -> PacketCheck:
    """Every packet, which may be a superframe, shows one frame, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> None:
        nonlocal first
        shown = 0
        for start in _vp9_frames(packet):
            bits = _Bits(bytes(packet[start : start + 2]), has_escapes=False)
            bits.bits(2)
            if bits.flag() + 2 * bits.flag() == 3:
                bits.flag()
            if bits.flag():  # show_existing_frame
                if first:
                    raise Unproven
                shown += 1
                continue
            if bits.flag() and first:
                raise Unproven
            shown += bits.bits(1)
            first = False
        if shown != 1:
            raise Unproven

    return check


def _vp9_frames(packet: memoryview) -> list[int]:
    """Where the frames of a packet begin."""
    marker = packet[-1]
    if marker & 0xE0 != 0xC0:
        return [0]
    size_bytes, count = (marker >> 3 & 3) + 1, (marker & 7) + 1
    index = len(packet) - 2 - size_bytes * count
    if index < 0 or packet[index] != marker:
        return [0]
    starts, at = [], 0
    for i in range(count):
        starts.append(at)
        at += int.from_bytes(packet[index + 1 + i * size_bytes : index + 1 + (i + 1) * size_bytes], "little")
    return starts


class _Av1Sequence(NamedTuple):
    """What a sequence header says about frame headers.

    Attributes:
        screen_content: seq_force_screen_content_tools, 2 where frames say it themselves.
        integer_motion: seq_force_integer_mv, likewise.
        order_bits: of order_hint.
    """

    screen_content: int
    integer_motion: int
    order_bits: int


class _Av1:
    """Every temporal unit shows one frame, of one layer: the first a key frame, the others next in the order shown."""

    def __init__(self, extradata: bytes) -> None:
        self._header = b""
        self._sequence: _Av1Sequence | None = None
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
                self._header, self._sequence = unit, _read_av1_sequence(unit)
            elif kind in (3, 6):
                shown += self._shows_frame(unit[:_HEADER])
            at += size
        if shown != 1 or at != len(packet):
            raise Unproven

    def _shows_frame(self, unit: bytes) -> bool:
        if self._sequence is None:
            raise Unproven
        screen_content, integer_motion, order_bits = self._sequence
        bits = _Bits(unit, has_escapes=False)
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


def _read_av1_sequence(unit: bytes) -> _Av1Sequence:
    bits = _Bits(unit, has_escapes=False)
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
    return _Av1Sequence(screen_content, integer_motion, bits.bits(3) + 1)


CHECKS: dict[str, Callable[[bytes], PacketCheck]] = {
    "h264": _H264,
    "hevc": _H265,
    "vp8": _vp8,
    "libvpx": _vp8,
    "vp9": _vp9,
    "libvpx-vp9": _vp9,
    "av1": _Av1,
    "libdav1d": _Av1,
    "libaom-av1": _Av1,
}
"""By the name of FFmpeg's decoder."""
