"""Packets of VP9 that no encoder at hand writes: edited, with a full decode as judge of the count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.video.packets.editing import check, read_packets
from tests.video_files import FRAMES, copy_packets, new_packet, write_video

SHOW_SLOT_0 = b"\x88"
"""A frame that shows the first stored frame."""


def hide(frame: bytes) -> bytes:
    """A key frame with show_frame = 0."""
    return bytes([frame[0] & ~2]) + frame[1:]


def superframe(*frames: bytes, size_bytes: int = 2) -> bytes:
    """A packet of several frames (annex B)."""
    marker = bytes([0xC0 | size_bytes - 1 << 3 | len(frames) - 1])
    return b"".join((*frames, marker, *(len(frame).to_bytes(size_bytes, "little") for frame in frames), marker))


def is_superframe(packet: bytes) -> bool:
    return packet[-1] & 0xE0 == 0xC0


def make(folder: Path, choose: Callable[[list[Any]], list[Any]], extension: str = "webm") -> Path:
    """A video of 30 packets without superframes, as `choose` changes them."""
    path = write_video(folder / f"made.{extension}", "libvpx-vp9", {"g": "8", "lag-in-frames": "0"})
    return copy_packets(path, path.with_name(f"changed.{extension}"), choose)


def test_the_encoder_writes_superframes(tmp_path: Path) -> None:
    """With alternate reference frames, which are hidden. libvpx writes them in one pass only with these options."""
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "5", "b": "200k"}
    path = write_video(tmp_path / "a.webm", "libvpx-vp9", options)
    assert any(is_superframe(packet) for packet in read_packets(path))
    check(path, by_packets=True)


@pytest.mark.parametrize("size_bytes", [1, 2, 3, 4])
@pytest.mark.parametrize("extension", ["webm", "mp4"])
def test_hidden_frames_may_be_shown_within_their_packet(size_bytes: int, extension: str, tmp_path: Path) -> None:
    def change(packets: list[Any]) -> list[Any]:
        changed = []
        for packet in packets:
            content = bytes(packet)
            if packet.is_keyframe and len(content) < 1 << 8 * size_bytes:
                packet = new_packet(packet, superframe(hide(content), SHOW_SLOT_0, size_bytes=size_bytes))
            changed.append(packet)
        assert size_bytes == 1 or changed != packets
        return changed

    check(make(tmp_path, change, extension), by_packets=True)


def test_packets_may_show_two_frames(tmp_path: Path) -> None:
    def change(packets: list[Any]) -> list[Any]:
        both = superframe(bytes(packets[3]), bytes(packets[4]))
        return [*packets[:3], new_packet(packets[3], both), *packets[5:]]

    check(make(tmp_path, change), by_packets=False)


def test_hidden_frames_are_not_counted(tmp_path: Path) -> None:
    path = make(tmp_path, list)
    first = read_packets(path)[0]
    path.write_bytes(path.read_bytes().replace(first, hide(first)))
    check(path, by_packets=False, frames=FRAMES - 1)
    merged = make(tmp_path, lambda packets: [new_packet(packets[0], hide(first)), *packets[1:]])
    check(merged, by_packets=True, frames=FRAMES - 1)  # FFmpeg writes a hidden frame and the next as one packet


@pytest.mark.parametrize(("place", "by_packets"), [(3, True), (0, False)])
def test_packets_may_show_a_stored_frame_again(place: int, by_packets: bool, tmp_path: Path) -> None:
    def change(packets: list[Any]) -> list[Any]:
        packets[place] = new_packet(packets[place], SHOW_SLOT_0)
        return packets

    path = make(tmp_path, change)
    check(path, by_packets=by_packets, frames=None)
