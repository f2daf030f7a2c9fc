"""How many frames PyAV decodes of a video, without decoding it where its packets prove the number.

A packet is one frame unless something makes it more or less: fields, hidden frames, frames that lean on others before
the beginning, edit lists, damage. Where packets are whole pictures of their own (MP4 and WebM with H.264, H.265, VP8,
VP9 or AV1), the first bytes of each tell whether any of that is so; if not, the packets are counted. All else is
decoded: docs/videos.md lists what decides.

Bit syntax: ITU-T H.264 (7.3.2.1, E.1), ITU-T H.265 (7.3), ISO/IEC 14496-15 (5.3.3, 8.3.3), RFC 6386 (9.1), the VP9
bitstream specification (6.2, annex B), the AV1 bitstream specification (5.3, 5.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.error import FFmpegError

from labelferry.errors import ExportError

_WHOLE_PICTURES = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers that store exactly one access unit a packet."""


class FrameCount(NamedTuple):
    """What a full decode of a video gives.

    Attributes:
        frames: how many frames.
        width: of each, in pixels.
        height: of each, in pixels.
        broken: why decoding stopped before the end, if it did.
    """

    frames: int
    width: int
    height: int
    broken: str = ""


class _Unproven(Exception):
    """Only decoding tells how many frames these packets are."""


PacketCheck = Callable[[memoryview], bool]
"""Is given each packet in turn, and an empty one at the end. Returns whether it is known in which order frames are
shown; raises _Unproven for what may not be one frame."""


def count_frames(path: str | Path) -> FrameCount:
    """How many frames PyAV decodes of the first video stream, as `container.decode(video=0)` gives them.

    Raises:
        ExportError: it is no video, or none of its frames can be decoded.
    """
    try:
        try:
            with av.open(str(path)) as container:
                return _count_packets(container)
        except _Unproven as reason:
            return _count_decoded(path, damaged=str(reason) == "damaged")
    except FileNotFoundError:
        raise ExportError("the video is missing", where=str(path), code="video-missing") from None
    except (FFmpegError, OSError) as error:
        raise ExportError(
            f"not a video that can be read: {error.strerror}", where=str(path), code="video-broken"
        ) from None


def _video_stream(container: Any) -> Any:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise ExportError(f"no video in it, only {kinds}", where=container.name, code="video-broken")
    if container.streams.video[0].codec_context is None:
        raise ExportError("its codec is not known", where=container.name, code="video-broken")
    return container.streams.video[0]


def _count_packets(container: Any) -> FrameCount:
    stream = _video_stream(container)
    codec = stream.codec_context
    make_check = _CHECKS.get(codec.codec.canonical_name)
    if make_check is None or container.format.name not in _WHOLE_PICTURES:
        raise _Unproven
    try:
        is_frame = make_check(codec.extradata or b"")
        frames = 0
        in_order, latest = True, None
        for packet in container.demux(stream):
            if packet.size == 0:  # the end
                continue
            if packet.is_corrupt:
                raise _Unproven("damaged")
            if packet.is_discard or packet.pts is None:
                raise _Unproven
            in_order = in_order and (latest is None or packet.pts > latest)
            latest = packet.pts
            if not (is_frame(memoryview(packet)) or in_order):
                raise _Unproven
            frames += 1
        is_frame(memoryview(b""))
    except (IndexError, KeyError, FFmpegError):  # cut short, or not what it says it is
        raise _Unproven("damaged") from None
    if not frames or stream.frames not in (0, frames) or min(codec.width, codec.height) < 1:
        raise _Unproven
    return FrameCount(frames, codec.width, codec.height)


def _count_decoded(path: str | Path, damaged: bool) -> FrameCount:
    """By decoding; with threads across frames, unless the file is damaged: they lose other frames than one thread."""
    frames, broken, size = 0, "", (0, 0)
    with av.open(str(path)) as container:
        stream = _video_stream(container)
        if not damaged:
            stream.thread_type = "AUTO"
        try:
            for packet in container.demux(stream):
                damaged = damaged or packet.is_corrupt
                for frame in packet.decode():
                    frames += 1
                    size = frame.width, frame.height
        except FFmpegError as error:
            broken = error.strerror or type(error).__name__
    if (broken or damaged) and stream.thread_type == "AUTO":
        return _count_decoded(path, damaged=True)
    if not frames:
        raise ExportError(
            f"no frame of it can be decoded: {broken or 'it is empty'}", where=str(path), code="video-broken"
        )
    return FrameCount(frames, *size, broken or ("a packet is cut short" if damaged else ""))


class _Bits:
    """Reads the bits of a parameter set, without the bytes that keep start codes out of it."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data := data.replace(b"\0\0\3", b"\0\0"), "big")
        self._left = 8 * len(data)

    def bits(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the parameter set is too short")
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
            raise _Unproven("damaged")
        yield data[at + length_size : end]
        at = end


class _H264Parameters(NamedTuple):
    """Of a sequence parameter set: how many bits a frame number has and a plane's id, and whether it says how far
    frames are reordered; if it does not, a decoder that has to guess may drop some."""

    frame_bits: int
    plane_bits: int
    reordering_known: bool


def _h264(extradata: bytes) -> PacketCheck:
    """One picture a packet, no fields, no reference lost, beginning with an IDR picture; and the order in which
    pictures are shown is known."""
    if extradata[:1] != b"\1":
        raise _Unproven
    length_size = (extradata[4] & 3) + 1
    at = 6
    sets = []
    for _ in range(extradata[5] & 31):
        length = int.from_bytes(extradata[at : at + 2], "big")
        sets.append(extradata[at + 2 : at + 2 + length])
        at += 2 + length
    if len(sets) != 1:
        raise _Unproven
    parameters = _h264_parameters(sets[0])
    reference: int | None = None  # the number of the latest frame that others may lean on

    def check(packet: memoryview) -> bool:
        nonlocal reference
        if not packet:
            return True
        pictures = 0
        for unit in _nal_units(packet, length_size):
            kind = unit[0] & 31
            if kind in (1, 5) and unit[1] >> 7:  # the slice with the first macroblock
                pictures += 1
                bits = _Bits(bytes(unit[1:24]))
                for _ in range(3):
                    bits.golomb()
                bits.bits(parameters.plane_bits)
                number = bits.bits(parameters.frame_bits)
                if kind != 5 and (reference is None or number != (reference + 1) % (1 << parameters.frame_bits)):
                    raise _Unproven
                if unit[0] >> 5 & 3:
                    reference = number
            elif kind in (2, 3, 4) or (kind == 7 and bytes(unit) != sets[0]):  # data partitions; another sequence
                raise _Unproven
        if pictures != 1:
            raise _Unproven
        return parameters.reordering_known

    return check


def _h264_parameters(unit: bytes) -> _H264Parameters:
    """What a sequence parameter set says."""
    bits = _Bits(unit[1:])
    profile = bits.bits(8)
    bits.bits(16)
    bits.golomb()
    plane_bits = 0
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma_format = bits.golomb()
        if chroma_format == 3:
            plane_bits = 2 * bits.bits(1)
        bits.golomb()
        bits.golomb()
        bits.flag()
        if bits.flag():
            for i in range(12 if chroma_format == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    frame_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.flag()
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()
    if bits.flag():  # gaps in frame numbers are allowed
        raise _Unproven
    bits.golomb()
    bits.golomb()
    if not bits.flag():  # there may be fields
        raise _Unproven
    bits.flag()
    if bits.flag():
        for _ in range(4):
            bits.golomb()
    return _H264Parameters(frame_bits, plane_bits, order_type == 2 or (bits.flag() and _h264_has_restriction(bits)))


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb() + 256) % 256
        last = following or last


def _h264_has_restriction(bits: _Bits) -> bool:
    """`bitstream_restriction_flag` of the VUI parameters."""
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
    return bits.flag()


def _h265(extradata: bytes) -> PacketCheck:
    """One picture a packet, none that is not to be shown, none that leans on pictures before the first, none lost: the
    numbers that say in which order pictures are shown have no gap from one IDR picture to the next."""
    if extradata[:1] != b"\1":
        raise _Unproven
    length_size = (extradata[21] & 3) + 1
    sets: dict[int, list[bytes]] = {33: [], 34: []}
    at = 23
    for _ in range(extradata[22]):
        kind, count = extradata[at] & 63, int.from_bytes(extradata[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            length = int.from_bytes(extradata[at : at + 2], "big")
            if kind in sets:
                sets[kind].append(extradata[at + 2 : at + 2 + length])
            at += 2 + length
    if len(sets[33]) != 1:
        raise _Unproven
    plane_bits, order_bits = _h265_sequence(sets[33][0])
    extra_bits = dict(map(_h265_picture, sets[34]))
    first, leading_are_lost = True, False
    before = 0  # the order number that others are relative to
    orders: list[int] = []

    def order_of(unit: memoryview, kind: int) -> int:
        """The picture's order number, of the slice that begins it."""
        nonlocal before
        bits = _Bits(bytes(unit[2:24]))
        bits.flag()
        if 16 <= kind <= 23:
            bits.flag()
        bits.bits(extra_bits[bits.golomb()])
        bits.golomb()
        bits.bits(plane_bits)
        size = 1 << order_bits
        order = 0 if kind in (19, 20) else bits.bits(order_bits)
        if kind not in (19, 20) and not first:
            order += before - before % size
            if order - before >= size // 2:
                order -= size
            elif before - order > size // 2:
                order += size
        # of the lowest temporal layer, and no leading picture or one that no other leans on
        if unit[1] & 7 == 1 and not 6 <= kind <= 9 and not (kind < 15 and kind % 2 == 0):
            before = order
        return order

    def check(packet: memoryview) -> bool:
        nonlocal first, leading_are_lost
        if not packet:
            return _has_no_gap(orders)
        pictures = 0
        for unit in _nal_units(packet, length_size):
            kind = unit[0] >> 1 & 63
            if (unit[0] & 1) << 5 | unit[1] >> 3:  # of a layer above the base, which is not decoded
                continue
            if kind < 32:
                if not unit[2] >> 7:  # first_slice_segment_in_pic_flag
                    continue
                pictures += 1
                if 16 <= kind <= 23:
                    # broken links, and pictures that discard those before them
                    if not first and (kind <= 18 or unit[2] & 64):
                        raise _Unproven
                    leading_are_lost = first and kind not in (19, 20)
                elif first or (leading_are_lost and kind in (8, 9)):
                    raise _Unproven
                order = order_of(unit, kind)
                if kind in (19, 20):
                    _has_no_gap(orders)
                    orders.clear()
                orders.append(order)
                first = False
            elif kind in (36, 37) or (kind in sets and bytes(unit) not in sets[kind]):  # the end; another sequence
                raise _Unproven
        if pictures != 1:
            raise _Unproven
        return True

    return check


def _has_no_gap(orders: list[int]) -> bool:
    ordered = sorted(orders)
    if len({after - before for before, after in pairwise(ordered)}) > 1:
        raise _Unproven
    return True


def _h265_sequence(unit: bytes) -> tuple[int, int]:
    """Of a sequence parameter set: how many bits a plane's id has in a slice, and an order number."""
    bits = _Bits(unit[2:])
    bits.bits(4)
    layers = bits.bits(3)
    bits.bits(1 + 96)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.bits(2 * (8 - layers))
    for profile, level in present:
        bits.bits(88 * profile + 8 * level)
    bits.golomb()
    plane_bits = 2 * bits.bits(1) if bits.golomb() == 3 else 0
    bits.golomb()
    bits.golomb()
    if bits.flag():
        for _ in range(4):
            bits.golomb()
    bits.golomb()
    bits.golomb()
    return plane_bits, bits.golomb() + 4


def _h265_picture(unit: bytes) -> tuple[int, int]:
    """Of a picture parameter set: its id, and how many bits slices have that say nothing yet."""
    bits = _Bits(unit[2:])
    number = bits.golomb()
    bits.golomb()
    bits.flag()
    if bits.flag():  # pictures may be marked as not shown
        raise _Unproven
    return number, bits.bits(3)


def _vp8(extradata: bytes) -> PacketCheck:
    """Every packet shows a frame, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> bool:
        nonlocal first
        if packet and (not packet[0] & 0x10 or (first and packet[0] & 1)):
            raise _Unproven
        first = False
        return True

    return check


def _vp9(extradata: bytes) -> PacketCheck:
    """Every packet, which may be a superframe, shows one frame, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> bool:
        nonlocal first
        if not packet:
            return True
        shown = 0
        for start in _vp9_frames(packet):
            bits = _Bits(bytes(packet[start : start + 2]))
            bits.bits(2)
            if bits.flag() + 2 * bits.flag() == 3:
                bits.flag()
            if bits.flag():  # show_existing_frame
                shown += 1
                continue
            if bits.flag() and first:
                raise _Unproven
            shown += bits.bits(1)
            first = False
        if shown != 1:
            raise _Unproven
        return True

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


def _av1(extradata: bytes) -> PacketCheck:
    """Every temporal unit shows one frame, of one layer, and the first is a key frame."""
    first = True

    def check(packet: memoryview) -> bool:
        nonlocal first
        if not packet:
            return True
        at, shown = 0, 0
        while at < len(packet):
            header = packet[at]
            kind = header >> 3 & 15
            at += 1
            if header & 4:  # an extension: layers
                raise _Unproven
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
            if kind == 1 and packet[at] & 0x18:  # a still picture
                raise _Unproven
            if kind in (3, 6):
                if first and packet[at] & 0xE0:  # show_existing_frame, frame_type
                    raise _Unproven
                first = False
                shown += bool(packet[at] & 0x80 or packet[at] & 0x10)  # show_existing_frame, show_frame
            at += size
        if shown != 1 or at != len(packet):
            raise _Unproven
        return True

    return check


_CHECKS: dict[str, Callable[[bytes], PacketCheck]] = {
    "h264": _h264,
    "hevc": _h265,
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _av1,
}
