"""Packets of H.265 that no encoder at hand writes: edited, with a full decode as judge of the count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labelferry.video.packets import h265
from tests.core.video.packets.editing import (
    Elements,
    append_unit,
    change_headers,
    changing,
    check,
    find,
    golomb,
    join_units,
    nal_units,
    read_packets,
    read_parameters,
    setting,
)
from tests.video_files import FRAMES, copy_packets, new_packet, write_video

TRAIL_N, TRAIL_R, TSA_N, TSA_R, STSA_N, STSA_R, RASL_N, RASL_R, CRA = 0, 1, 2, 3, 4, 5, 8, 9, 21


def make(folder: Path, params: str = "bframes=0", **more: Any) -> Path:
    base = "log-level=0:keyint=8:min-keyint=8"
    return write_video(folder / "made.mp4", "libx265", {"x265-params": f"{base}:{params}"}, **more)


def picture_kind(packet: bytes) -> int:
    """The type of a packet's first slice."""
    return next(kind for kind in (unit[0] >> 1 for unit in nal_units(packet)) if kind < 32)


@pytest.mark.parametrize(
    "params",
    [
        "bframes=0",
        "keyint=30:bframes=7:b-adapt=0:temporal-layers=3",
        "colorprim=bt709:scaling-list=default:temporal-mvp=0:sao=0",
    ],
)
@pytest.mark.parametrize("more", [{}, {"size": (60, 50)}, {"pixels": "yuv444p"}])
def test_sequence_parameter_sets_read_as_ffmpeg_reads_them(params: str, more: dict[str, Any], tmp_path: Path) -> None:
    path = make(tmp_path, params, **more)
    extradata, expected = read_parameters(path)
    check(path, by_packets=True)
    found = h265.H265Check(extradata)._sequence
    assert found is not None
    assert found.order_bits == expected["log2_max_pic_order_cnt_lsb_minus4"] + 4
    assert len(found.references) == expected["num_short_term_ref_pic_sets"] == 0
    assert found.has_long_term == expected["long_term_ref_pics_present_flag"] == 0


@pytest.mark.parametrize(
    ("header", "by_packets"),
    [
        (b"\x50\x01", True),  # supplemental enhancement information
        (b"\x4c\x01", True),  # filler data
        (b"\x7c\x01", True),  # Dolby Vision metadata
        (b"\x4a\x01", False),  # end of bitstream
        (b"\x7e\x01", False),  # Dolby Vision enhancement layer
        (b"\x50\x09", False),  # supplemental enhancement information of layer 1
        (b"\x51\x01", False),  # the same of layer 32
    ],
)
def test_units_besides_pictures(header: bytes, by_packets: bool, tmp_path: Path) -> None:
    check(append_unit(make(tmp_path), header + b"\x81\x80", place=FRAMES - 1), by_packets=by_packets)


def test_end_of_sequence_loses_pictures_around_the_next_cra_picture(tmp_path: Path) -> None:
    path = make(tmp_path, "open-gop=1:bframes=3:b-adapt=0")
    assert picture_kind(read_packets(path)[5]) == CRA
    # lost: the three leading pictures of the CRA picture, and two that are not yet output before it
    check(append_unit(path, b"\x48\x01", place=4), by_packets=False, frames=FRAMES - 5)


def test_leading_pictures_of_a_cra_picture_at_the_start_are_lost(tmp_path: Path) -> None:
    """Even if they refer to nothing before it, as these do not."""
    path = make(tmp_path, "keyint=16:open-gop=1:bframes=2:b-adapt=0")
    kinds = [picture_kind(packet) for packet in read_packets(path)]
    start = kinds.index(CRA)

    def choose(packets: list[Any]) -> list[Any]:
        return [packet for packet, kind in zip(packets, kinds, strict=True) if kind not in (RASL_N, RASL_R)][start:]

    path = copy_packets(path, tmp_path / "a.mp4", choose)
    count = len(read_packets(path))
    check(path, by_packets=True, frames=count)
    relabelled = False

    def change(elements: Elements) -> Elements | None:
        nonlocal relabelled
        at = find(elements, "nal_unit_type")
        if relabelled or int(elements[at][1], 2) != TRAIL_N:
            return None
        relabelled = True
        return [*elements[:at], ("nal_unit_type", f"{RASL_N:06b}"), *elements[at + 1 :]]

    check(change_headers(path, tmp_path / "b.mp4", change), by_packets=False, frames=count - 1)


@pytest.mark.parametrize(("keyint", "by_packets"), [(8, False), (30, True)])
def test_key_frames_may_discard_what_is_not_yet_output(keyint: int, by_packets: bool, tmp_path: Path) -> None:
    path = make(tmp_path, f"open-gop=0:bframes=3:b-adapt=0:keyint={keyint}")
    path = change_headers(path, tmp_path / "a.mp4", changing(no_output_of_prior_pics_flag="1"))
    check(path, by_packets=by_packets, frames=None)


def test_videos_may_begin_without_a_key_frame(tmp_path: Path) -> None:
    """Even if every picture refers to the one before it only."""
    path = make(tmp_path, "bframes=0:ref=1:keyint=30")
    check(copy_packets(path, tmp_path / "a.mp4", lambda packets: packets[3:]), by_packets=False, frames=None)


def test_slices_may_depend_on_others(tmp_path: Path) -> None:
    """The first of a picture cannot, and says nothing about it."""
    path = change_headers(make(tmp_path), tmp_path / "a.mp4", changing(dependent_slice_segments_enabled_flag="1"))
    check(path, by_packets=True)


def test_pictures_may_be_hidden(tmp_path: Path) -> None:
    hidden = 0

    def change(elements: Elements) -> Elements:
        nonlocal hidden
        at = find(elements, "slice_type")
        if at < 0:
            return setting(elements, output_flag_present_flag="1")
        hidden += 1
        return [*elements[: at + 1], ("pic_output_flag", f"{hidden != 5:d}"), *elements[at + 1 :]]

    check(change_headers(make(tmp_path), tmp_path / "a.mp4", change), by_packets=False, frames=FRAMES - 1)


def test_slices_may_have_reserved_bits(tmp_path: Path) -> None:
    def change(elements: Elements) -> Elements:
        at = find(elements, "slice_type")
        if at < 0:
            return setting(elements, num_extra_slice_header_bits="001")
        return [*elements[:at], ("slice_reserved_flag", "0"), *elements[at:]]

    check(change_headers(make(tmp_path), tmp_path / "a.mp4", change), by_packets=False)


@pytest.mark.parametrize("params", ["bframes=3", "bframes=7:b-adapt=0:temporal-layers=3"])
def test_sub_layers_may_share_their_buffer_sizes(params: str, tmp_path: Path) -> None:
    """Then only those of the highest are written."""
    names = ("sps_max_dec_pic_buffering_minus1", "sps_max_num_reorder_pics", "sps_max_latency_increase_plus1")

    def change(elements: Elements) -> Elements:
        lower = [f"{name}[{layer}]" for name in names for layer in range(6) if f"{name}[{layer + 1}]" in dict(elements)]
        changed = setting(elements, sps_sub_layer_ordering_info_present_flag="0")
        return [element for element in changed if element[0] not in lower]

    check(change_headers(make(tmp_path, f"keyint=30:{params}"), tmp_path / "a.mp4", change), by_packets=True)


@pytest.mark.parametrize(
    ("params", "sub_layers"),
    [
        ("keyint=60:bframes=7:b-adapt=0", 2),
        ("keyint=60:bframes=7:b-adapt=0:b-pyramid=0", 1),
        ("keyint=8:bframes=7:b-adapt=0:open-gop=1", 1),
        ("keyint=8:bframes=3:b-adapt=0:open-gop=0:radl=3", 1),
        ("keyint=10:bframes=0:open-gop=0", 1),
    ],
)
def test_order_counts_are_relative_to_reference_pictures_of_the_lowest_sub_layer(
    params: str, sub_layers: int, tmp_path: Path
) -> None:
    """They must be where pictures give four bits of them only, with seven pictures between those references."""

    def change(elements: Elements) -> Elements:
        is_upper = sub_layers > 1 and int(dict(elements).get("slice_pic_order_cnt_lsb", "0"), 2) % 8 > 0
        changed = setting(elements, log2_max_pic_order_cnt_lsb_minus4=golomb(0))
        if is_upper:
            changed = setting(changed, nuh_temporal_id_plus1="010")
        return [(name, bits[-4:] if name == "slice_pic_order_cnt_lsb" else bits) for name, bits in changed]

    check(change_headers(make(tmp_path, params), tmp_path / "a.mp4", change), by_packets=True)


@pytest.mark.parametrize(
    ("long_term", "is_missing"), [({}, False), ({10: 9}, False), ({10: 20}, True)], ids=["none", "present", "missing"]
)
def test_long_term_references_may_be_missing(long_term: dict[int, int], is_missing: bool, tmp_path: Path) -> None:
    """Slices of a picture name another, by their order counts. If it is missing, FFmpeg 8 loses frames."""

    def change(elements: Elements) -> Elements | None:
        at = find(elements, "long_term_ref_pics_present_flag")
        if at >= 0:
            return [*elements[:at], ("flag", "1"), ("num_long_term_ref_pics_sps", golomb(0)), *elements[at + 1 :]]
        at = find(elements, "slice_temporal_mvp_enabled_flag")
        if at < 0:
            return None
        order = elements[find(elements, "slice_pic_order_cnt_lsb")][1]
        named = golomb(0)
        if int(order, 2) in long_term:
            named = golomb(1) + f"{long_term[int(order, 2)]:0{len(order)}b}" + "00"
        return [*elements[:at], ("num_long_term_pics", named), *elements[at:]]

    path = change_headers(make(tmp_path, "bframes=0:keyint=30"), tmp_path / "a.mp4", change)
    check(path, by_packets=not long_term, frames=None if is_missing else FRAMES)


References = list[tuple[int, str]]
"""A short-term reference picture set: differences of picture order counts, and the bits of `used_by_curr_pic_flag`."""


def read_references(elements: Elements, at: int) -> tuple[References, int]:
    """A set whose first element has an index, and the index after its last."""
    amounts = [int(elements[at + i][1], 2) - 1 for i in range(2)]
    at += 2
    references: References = []
    for amount, sign in zip(amounts, (-1, 1), strict=True):
        difference = 0
        for _ in range(amount):
            difference += sign * int(elements[at][1], 2)
            references.append((difference, elements[at + 1][1]))
            at += 2
    return references, at


def predict_references(references: References, base: References, delta_index: str) -> Elements:
    """A set written as differences from another; no elements if it cannot be."""
    used = dict(references)
    for shift in (-1, 1, -2, 2, -3, 3, -4, 4):
        candidates = [*(difference + shift for difference, _ in base), shift]
        if used.keys() <= set(candidates):
            flags = "".join({"1": "1", "0": "01"}.get(used.get(candidate, ""), "00") for candidate in candidates)
            return [("prediction", f"1{delta_index}{shift < 0:d}{golomb(abs(shift) - 1)}{flags}")]
    return []


@pytest.mark.parametrize(("params", "amount"), [("bframes=4", 18), ("bframes=0:ref=1:keyint=30", 2)])
def test_reference_sets_may_be_predicted_from_others(params: str, amount: int, tmp_path: Path) -> None:
    """Both sets of the sequence, to which slices refer by a number, and those of slices."""
    sets: list[References] = []
    predicted = {"SPS": 0, "slice": 0}

    def change(elements: Elements) -> Elements | None:
        at = find(elements, "num_short_term_ref_pic_sets")
        if at >= 0:
            sets.clear()
            changed, end = elements[: at + 1], at + 1
            for index in range(int(elements[at][1], 2) - 1):
                start, (references, end) = end, read_references(elements, end + (index > 0))
                prediction = predict_references(references, sets[-1], "") if index else []
                predicted["SPS"] += len(prediction)
                changed += prediction or elements[start:end]
                sets.append(references)
            return changed + elements[end:]
        at = find(elements, "inter_ref_pic_set_prediction_flag")
        if at < 0:
            return None
        references, end = read_references(elements, at + 1)
        for back, base in enumerate(reversed(sets)):
            prediction = predict_references(references, base, golomb(back))
            if prediction:
                predicted["slice"] += 1
                return elements[:at] + prediction + elements[end:]
        return None

    for number in (1, 2):
        path = make(tmp_path, f"{params}:bitrate=99:pass={number}:stats={tmp_path}/log:multi-pass-opt-rps=1")
    check(path, by_packets=True)
    check(change_headers(path, tmp_path / "a.mp4", change), by_packets=True)
    assert len(sets) == amount
    assert predicted["SPS"] > 0
    assert predicted["slice"] > 0 or amount == 2


def test_step_wise_access_pictures_are_like_others(tmp_path: Path) -> None:
    """TSA pictures have all that STSA pictures must have."""
    kinds = {f"{TSA_N:06b}": f"{STSA_N:06b}", f"{TSA_R:06b}": f"{STSA_R:06b}"}

    def change(elements: Elements) -> Elements:
        return [(name, kinds.get(bits, bits) if name == "nal_unit_type" else bits) for name, bits in elements]

    path = make(tmp_path, "keyint=30:temporal-layers=3:bframes=7:b-adapt=0")
    check(change_headers(path, tmp_path / "a.mp4", change), by_packets=True)


def test_sequence_parameter_sets_may_change(tmp_path: Path) -> None:
    path, other = (make(tmp_path / f"{width}", "repeat-headers=1", size=(width, 64)) for width in (64, 56))
    (parameters,) = (unit for unit in nal_units(read_packets(other)[0]) if unit[0] >> 1 == 33)
    check(append_unit(path, parameters), by_packets=False, frames=None)


def test_packets_may_hold_two_pictures_or_none(tmp_path: Path) -> None:
    path = make(tmp_path)

    def merge(packets: list[Any]) -> list[Any]:
        return [*packets[:-2], new_packet(packets[-2], bytes(packets[-2]) + bytes(packets[-1]))]

    def empty(packets: list[Any]) -> list[Any]:
        return [*packets[:-1], new_packet(packets[-1], join_units(iter([b"\x46\x01\x50"])))]

    for change in (merge, empty):
        check(copy_packets(path, tmp_path / "a.mp4", change), by_packets=False, frames=None)
