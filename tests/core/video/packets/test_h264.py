"""Packets of H.264 that no encoder at hand writes: edited, with a full decode as judge of the count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labelferry.video.packets import h264
from tests.core.video.packets.editing import (
    Elements,
    append_unit,
    change_headers,
    changing,
    check,
    find,
    golomb,
    read_parameters,
)
from tests.video_files import copy_packets, new_packet, write_video


def make(folder: Path, **options: str) -> Path:
    return write_video(folder / "made.mp4", "libx264", {"g": "8", **options})


NO_VUI = "0"
EMPTY_VUI = "1" + 9 * "0"


def announced(reordering: int) -> str:
    """VUI parameters with `bitstream_restriction` only."""
    return "1" + 8 * "0" + "1" + "1" + 2 * golomb(0) + 2 * golomb(8) + golomb(reordering) + golomb(4)


@pytest.mark.parametrize(
    ("b_frames", "vui", "by_packets"),
    [
        ("0", NO_VUI, True),
        ("0", EMPTY_VUI, True),
        ("0", announced(0), True),
        ("3", NO_VUI, False),
        ("3", EMPTY_VUI, False),
        ("3", announced(0), False),
        ("3", announced(1), False),
        ("3", announced(2), True),
        ("3", announced(3), True),
    ],
)
def test_reordering_must_be_announced(b_frames: str, vui: str, by_packets: bool, tmp_path: Path) -> None:
    def change(elements: Elements) -> Elements | None:
        at = find(elements, "vui_parameters_present_flag")
        return None if at < 0 else [*elements[:at], ("vui", vui)]

    # with fake-interlaced, pictures have order counts also without B-frames
    options = {"x264-params": "fake-interlaced=1"} if b_frames == "0" else {}
    path = change_headers(make(tmp_path, bf=b_frames, **options), tmp_path / "a.mp4", change)
    check(path, by_packets=by_packets, frames=None)


@pytest.mark.parametrize(
    "params",
    [
        "ref=1",
        "sar=7/5",
        "overscan=show",
        "colorprim=bt709",
        "chromaloc=1",
        "bframes=8:b-pyramid=normal:b-adapt=0",
        "sar=7/5:overscan=show:colorprim=bt709:transfer=bt709:colormatrix=bt709:chromaloc=1",
        "sar=4/3:videoformat=pal",
        "nal-hrd=vbr:vbv-maxrate=200:vbv-bufsize=99",
        "interlaced=1:bframes=0",
    ],
)
def test_sequence_parameter_sets_read_as_ffmpeg_reads_them(params: str, tmp_path: Path) -> None:
    path = make(tmp_path, **{"x264-params": params})
    extradata, expected = read_parameters(path)
    found = h264.H264Check(extradata)._sequence
    assert found.has_fields == (expected["frame_mbs_only_flag"] == 0)
    assert found.number_bits == expected["log2_max_frame_num_minus4"] + 4
    assert found.order_bits == expected.get("log2_max_pic_order_cnt_lsb_minus4", -4) + 4
    assert found.reordering == expected["max_num_reorder_frames"]


def test_frame_numbers_may_have_gaps(tmp_path: Path) -> None:
    path = change_headers(make(tmp_path), tmp_path / "a.mp4", changing(gaps_in_frame_num_allowed_flag="1"))
    check(path, by_packets=False)
    path = copy_packets(path, tmp_path / "b.mp4", lambda packets: packets[:4] + packets[5:])
    check(path, by_packets=False, frames=None)


def test_videos_may_begin_without_a_key_frame(tmp_path: Path) -> None:
    """Even if the number of the first frame is 0, as the frame numbers start again at 16."""
    path = make(tmp_path, bf="0", g="250")
    check(copy_packets(path, tmp_path / "a.mp4", lambda packets: packets[16:]), by_packets=False, frames=None)


@pytest.mark.parametrize(
    ("unit", "by_packets"),
    [
        (b"\x06\xf0\x80", True),  # supplemental enhancement information
        (b"\x09\xf0", True),  # access unit delimiter
        (b"\x0c\xff\x80", True),  # filler data
        (b"\x0a", False),  # end of sequence
        (b"\x1f\xff\x80", False),  # unspecified
    ],
)
def test_units_besides_pictures(unit: bytes, by_packets: bool, tmp_path: Path) -> None:
    check(append_unit(make(tmp_path), unit), by_packets=by_packets)


def test_sequence_parameter_sets_may_change(tmp_path: Path) -> None:
    path = make(tmp_path)
    extradata, _ = read_parameters(path)
    parameters = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
    check(append_unit(path, parameters), by_packets=True)
    level_idc = 3
    changed = parameters[:level_idc] + bytes([parameters[level_idc] + 1]) + parameters[level_idc + 1 :]
    path = append_unit(path, changed)
    check(path, by_packets=False, frames=None)


def test_packets_may_hold_two_pictures_or_none(tmp_path: Path) -> None:
    path = make(tmp_path, bf="0")

    def merge(packets: list[Any]) -> list[Any]:
        return [*packets[:-2], new_packet(packets[-2], bytes(packets[-2]) + bytes(packets[-1]))]

    def empty(packets: list[Any]) -> list[Any]:
        return [*packets[:-1], new_packet(packets[-1], b"\0\0\0\2\x09\xf0")]

    for change in (merge, empty):
        changed = copy_packets(path, tmp_path / "a.mp4", change)
        check(changed, by_packets=False, frames=None)
