"""Videos with edited packets: syntax elements, as FFmpeg's `trace_headers` reads them, and NAL units."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.logging
import pytest
from av.bitstream import BitStreamFilterContext, bitstream_filters_available

from tests.video_files import FRAMES, copy_packets, counted, decode, is_by_packets, new_packet

Elements = list[tuple[str, str]]
"""The syntax elements of a NAL unit: name and bits, in order, with the NAL unit's own header, without alignment."""

Change = Callable[[Elements], "Elements | None"]
"""Gives the new elements of a NAL unit; None leaves it as it is."""

_ALIGNMENT = re.compile(r"rbsp_(stop|alignment).*|alignment_bit.*|cabac_alignment.*")


def check(path: Path, *, by_packets: bool, frames: int | None = FRAMES) -> None:
    """Asserts that a full decode gives this number of frames (None: any), that it is counted, and whether packets prove
    it."""
    decoded = decode(path)
    assert frames in (None, decoded)
    assert (counted(path), is_by_packets(path)) == (decoded, by_packets)


def golomb(value: int) -> str:
    """Bits of the Exp-Golomb code ue(v) of a number."""
    return f"{value + 1:0{2 * (value + 1).bit_length() - 1}b}"


def find(elements: Elements, name: str) -> int:
    """The index of an element; -1 if there is none of this name."""
    return next((index for index, element in enumerate(elements) if element[0] == name), -1)


def setting(elements: Elements, **values: str) -> Elements:
    """The same elements, with other bits for those that are named."""
    return [(name, values.get(name, bits)) for name, bits in elements]


def changing(**values: str) -> Change:
    """Gives elements other bits, wherever they are."""
    return lambda elements: setting(elements, **values)


def read_parameters(path: Path) -> tuple[bytes, dict[str, int]]:
    """The extradata of a video, and the values of the syntax elements in it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        _, units = _trace(lambda: BitStreamFilterContext("trace_headers", stream))
        return stream.codec_context.extradata or b"", {name: value for unit in units for name, _, value in unit}


def read_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def change_headers(source: Path, path: Path, change: Change) -> Path:
    """Copies an MP4 of H.264 (with CABAC) or H.265 with other elements."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = given.streams.video[0]
        extradata = stream.codec_context.extradata or b""
        trace, units = _trace(lambda: BitStreamFilterContext("trace_headers", stream))
        for elements in units:
            old = _to_bytes("".join(bits for _, bits, _ in elements))
            new = _changed(old, elements, change)
            extradata = extradata.replace(len(old).to_bytes(2, "big") + old, len(new).to_bytes(2, "big") + new)
        out = container.add_stream_from_template(stream, opaque=True)
        out.codec_context.extradata = extradata
        for packet in given.demux(stream):
            if packet.size:
                _, units = _trace(lambda: trace.filter(new_packet(packet, bytes(packet))))  # noqa: B023
                pairs = zip(nal_units(bytes(packet)), units, strict=True)
                packet = new_packet(packet, join_units(_changed(unit, elements, change) for unit, elements in pairs))
                packet.stream = out
                container.mux(packet)
    return path


def nal_units(packet: bytes) -> Iterator[bytes]:
    """The NAL units of a packet."""
    while packet:
        end = 4 + int.from_bytes(packet[:4], "big")
        yield packet[4:end]
        packet = packet[end:]


def join_units(units: Iterator[bytes]) -> bytes:
    """A packet of NAL units."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def append_unit(path: Path, unit: bytes, place: int = 3) -> Path:
    """Copies a video with one more NAL unit in one packet."""

    def change(packets: list[Any]) -> list[Any]:
        packets[place] = new_packet(packets[place], bytes(packets[place]) + join_units(iter([unit])))
        return packets

    return copy_packets(path, path.with_name(f"appended{path.suffix}"), change)


def _trace(run: Callable[[], Any]) -> tuple[Any, list[list[tuple[str, str, int]]]]:
    """What a function gives, and name, bits and value of every element that it traces, by NAL unit."""
    if "trace_headers" not in bitstream_filters_available:
        pytest.skip("PyAV without trace_headers")
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.INFO)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as lines:
            result = run()
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    units: list[list[tuple[str, str, int]]] = []
    for _, _, line in lines:
        element = re.match(r"(\d+) +(\S+) +([01]+) = (-?\d+)", line)
        if element:
            if element[1] == "0":
                units.append([])
            units[-1].append((element[2], element[3], int(element[4])))
    return result, units


def _changed(unit: bytes, elements: list[tuple[str, str, int]], change: Change) -> bytes:
    new = change([(name, bits) for name, bits, _ in elements if not _ALIGNMENT.fullmatch(name)])
    if new is None:
        return unit
    payload = unit.replace(b"\0\0\3", b"\0\0")[sum(len(bits) for _, bits, _ in elements) // 8 :]
    bits = "".join(bits for _, bits in new)
    if find(new, "first_mb_in_slice") >= 0:
        bits += "1" * (-len(bits) % 8)
    else:
        bits += "1"
        bits += "0" * (-len(bits) % 8)
    return _to_bytes(bits, payload)


def _to_bytes(bits: str, payload: bytes = b"") -> bytes:
    """A NAL unit with emulation prevention bytes."""
    content = int(bits, 2).to_bytes(len(bits) // 8, "big") + payload
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", content)
