"""Packets of AV1 that no encoder at hand writes: edited, with a full decode as judge of the count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.video.packets.editing import check, read_packets
from tests.video_files import FRAMES, copy_packets, new_packet, write_video

SEQUENCE_HEADER, METADATA, FRAME = 1, 5, 6
CONTENT = b"\x06" + b"metadata of a private type" + b"\x80"


def split(packet: bytes) -> list[tuple[int, bytes]]:
    """Type and content of each unit (OBU) of a packet."""
    units = []
    while packet:
        kind, at, size, shift = packet[0] >> 3, 0, 0, 0
        while not at or packet[at] > 127:
            at += 1
            size |= (packet[at] & 127) << shift
            shift += 7
        units.append((kind, packet[at + 1 : at + 1 + size]))
        packet = packet[at + 1 + size :]
    return units


def obu(kind: int, content: bytes, extension: bytes = b"", size: int | None = None) -> bytes:
    """A unit of this type, with the size of its content or with another."""
    size, digits = len(content) if size is None else size, []
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([kind << 3 | (4 if extension else 0) | 2, *extension, *digits, size]) + content


def make(folder: Path, change: Callable[[list[bytes]], list[bytes]], params: str = "keyint=-1") -> Path:
    """A video whose packets `change` makes of others; they are shown at a constant rate."""

    def choose(packets: list[Any]) -> list[Any]:
        contents = change([bytes(packet) for packet in packets])
        changed = [new_packet(packets[0], content) for content in contents]
        for place, packet in enumerate(changed):
            packet.pts = packet.dts = packets[1].pts * place
        return changed

    path = write_video(folder / "made.mp4", "libsvtav1", {"svtav1-params": params})
    return copy_packets(path, path.with_name("changed.mp4"), choose)


@pytest.mark.parametrize(("kind", "by_packets"), [(2, True), (5, True), (15, True), (9, False)])
def test_units_besides_frames(kind: int, by_packets: bool, tmp_path: Path) -> None:
    """Temporal delimiters (2) and padding (15) are put in after muxing, as FFmpeg leaves them out."""
    unit = obu(METADATA, CONTENT)
    path = make(tmp_path, lambda packets: [unit + packet for packet in packets])
    path.write_bytes(path.read_bytes().replace(unit, obu(kind, CONTENT)))
    check(path, by_packets=by_packets)


def test_frames_of_other_layers_are_not_counted(tmp_path: Path) -> None:
    def change(packets: list[bytes]) -> list[bytes]:
        changed = []
        for place, packet in enumerate(packets):
            units = []
            for kind, content in split(packet):
                if kind == SEQUENCE_HEADER:  # operating_point_idc: temporal layer 0, spatial layer 0
                    content = bytes([content[0], content[1] | 0x01, content[2] | 0x01]) + content[3:]
                temporal_layer = b"\x20" if place >= FRAMES - 4 else b""
                units.append(obu(kind, content, temporal_layer))
            changed.append(b"".join(units))
        return changed

    check(make(tmp_path, change), by_packets=False, frames=FRAMES - 4)


def test_extensions_of_units_are_not_sizes(tmp_path: Path) -> None:
    """The end of this unit is the same if its extension is taken for its size."""
    unit = obu(METADATA, CONTENT, extension=bytes([len(CONTENT) + 1]))
    check(make(tmp_path, lambda packets: [unit + packet for packet in packets]), by_packets=False)


def test_packets_may_show_two_frames_or_none(tmp_path: Path) -> None:
    check(make(tmp_path, lambda packets: [*packets[:3], packets[3] + packets[4], *packets[5:]]), by_packets=False)

    def divide(packets: list[bytes]) -> list[bytes]:
        """Puts a hidden frame into a packet of its own."""
        place = next(place for place, packet in enumerate(packets) if len(split(packet)) > 2)
        units = [obu(kind, content) for kind, content in split(packets[place])]
        return [*packets[:place], b"".join(units[:-1]), units[-1], *packets[place + 1 :]]

    check(make(tmp_path, divide), by_packets=False)


def test_units_may_be_longer_than_their_packet(tmp_path: Path) -> None:
    path = make(tmp_path, list)
    packet = read_packets(path)[7]
    *others, (kind, content) = split(packet)
    longer = b"".join(obu(*unit) for unit in others) + obu(kind, content, size=len(content) + 1)
    path.write_bytes(path.read_bytes().replace(packet, longer))
    check(path, by_packets=False, frames=None)


def test_sequence_headers_may_change(tmp_path: Path) -> None:
    def change(packets: list[bytes]) -> list[bytes]:
        changed, headers = [], 0
        for packet in packets:
            units = []
            for kind, content in split(packet):
                if kind == SEQUENCE_HEADER:
                    headers += 1
                    content = content[:3] + bytes([content[3] ^ 0x08 * (headers > 1)]) + content[4:]  # seq_level_idx
                units.append(obu(kind, content))
            changed.append(b"".join(units))
        assert headers > 1
        return changed

    path = make(tmp_path, change, "keyint=8")
    check(path, by_packets=False, frames=None)


def test_packets_may_come_before_the_sequence_header(tmp_path: Path) -> None:
    path = make(tmp_path, lambda packets: [obu(*split(packets[0])[-1]), *packets[1:]])
    check(path, by_packets=False, frames=None)


def test_whole_groups_of_pictures_may_be_lost(tmp_path: Path) -> None:
    """The order hints then have no gap; the times have one."""
    path = write_video(tmp_path / "a.mp4", "libsvtav1", {"svtav1-params": "keyint=8:pred-struct=1"})
    for lost in range(1, FRAMES - 9):
        changed = copy_packets(path, tmp_path / "b.mp4", lambda packets: packets[:lost] + packets[lost + 8 :])  # noqa: B023
        check(changed, by_packets=False, frames=None)
