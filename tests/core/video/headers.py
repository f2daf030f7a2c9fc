"""Headers of H.264 and H.265, read by FFmpeg's `trace_headers` and written with some elements changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import av.logging
import pytest
from av.bitstream import BitStreamFilterContext, bitstream_filters_available

from tests.video_files import new_packet

Elements = list[tuple[str, str]]
"""The syntax elements of one NAL unit: name and bits, in order, with the NAL unit's own header."""

_ALIGNMENT = re.compile(r"rbsp_(stop|alignment).*|alignment_bit.*|cabac_alignment.*")


def golomb(value: int) -> str:
    """Bits of the Exp-Golomb code ue(v) of a number."""
    return f"{value + 1:0{2 * (value + 1).bit_length() - 1}b}"


def change_headers(source: Path, path: Path, change: Callable[[Elements], Elements | None]) -> Path:
    """Copies an MP4 of H.264 (with CABAC) or H.265; `change` gives the new elements of each NAL unit, or None."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = given.streams.video[0]
        extradata = stream.codec_context.extradata or b""
        trace, units = _trace(lambda: BitStreamFilterContext("trace_headers", stream))
        for elements in units:
            old = _to_bytes("".join(bits for _, bits in elements))
            new = _changed(old, elements, change)
            extradata = extradata.replace(len(old).to_bytes(2, "big") + old, len(new).to_bytes(2, "big") + new)
        out = container.add_stream_from_template(stream, opaque=True)
        out.codec_context.extradata = extradata
        for packet in given.demux(stream):
            if packet.size:
                (packet,), units = _trace(lambda: trace.filter(packet))  # noqa: B023
                content, rest = bytearray(), bytes(packet)
                for elements in units:
                    end = 4 + int.from_bytes(rest[:4], "big")
                    unit = _changed(rest[4:end], elements, change)
                    content += len(unit).to_bytes(4, "big") + unit
                    rest = rest[end:]
                assert not rest
                packet = new_packet(packet, bytes(content))
                packet.stream = out
                container.mux(packet)
    return path


def _trace(run: Callable[[], Any]) -> tuple[Any, list[Elements]]:
    """What `run` gives, and the headers that it traces."""
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
    units: list[Elements] = []
    for _, _, line in lines:
        element = re.match(r"(\d+) +(\S+) +([01]+) = ", line)
        if element:
            if element[1] == "0":
                units.append([])
            units[-1].append((element[2], element[3]))
    return result, units


def _changed(unit: bytes, elements: Elements, change: Callable[[Elements], Elements | None]) -> bytes:
    new = change([element for element in elements if not _ALIGNMENT.fullmatch(element[0])])
    if new is None:
        return unit
    payload = unit.replace(b"\0\0\3", b"\0\0")[len("".join(bits for _, bits in elements)) // 8 :]
    bits = "".join(bits for _, bits in new)
    if any(name == "first_mb_in_slice" for name, _ in new):
        return _to_bytes(bits + "1" * (-len(bits) % 8), payload)
    return _to_bytes(bits + "1" + "0" * (~len(bits) % 8), payload)


def _to_bytes(bits: str, payload: bytes = b"") -> bytes:
    """A NAL unit with the bytes that keep start codes out of it."""
    content = int(bits, 2).to_bytes(len(bits) // 8, "big") + payload
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", content)
