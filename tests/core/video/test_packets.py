"""Packet headers that no encoder at hand writes: edited bit by bit, with a full decode as judge of the count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelferry.video.frame_count import count_frames
from tests.core.video.headers import Elements, change_headers, golomb
from tests.video_files import FRAMES, copy_packets, decode, is_by_packets, new_packet, write_video

Change = Callable[[Elements], "Elements | None"]
X265 = "log-level=0:keyint=8:min-keyint=8"


def check(path: Path, frames: int, by_packets: bool) -> None:
    """The count is that of a full decode, and is proven by packets or not."""
    assert (count_frames(path).frames, decode(path), is_by_packets(path)) == (frames, frames, by_packets)


def h264(path: Path, **options: str) -> Path:
    return write_video(path / "h264.mp4", "libx264", {"g": "8", **options})


def h265(path: Path, params: str = "", **more: Any) -> Path:
    return write_video(path / "h265.mp4", "libx265", {"x265-params": f"{X265}{params}"}, **more)


def find(elements: Elements, name: str) -> int:
    """The index of an element; -1 if there is none of this name."""
    return next((index for index, element in enumerate(elements) if element[0] == name), -1)


def setting(**values: str) -> Change:
    """Gives elements other bits."""
    return lambda elements: [(name, values.get(name, bits)) for name, bits in elements]


def with_unit(path: Path, unit: bytes, place: int = 3) -> Path:
    """Appends a NAL unit to one packet."""

    def append(packets: list[Any]) -> list[Any]:
        content = bytes(packets[place]) + len(unit).to_bytes(4, "big") + unit
        return [*packets[:place], new_packet(packets[place], content), *packets[place + 1 :]]

    return copy_packets(path, path.with_name(f"edited{path.suffix}"), append)


NO_VUI = "0"
EMPTY_VUI = "1" + 9 * "0"


def announced(reordering: int) -> str:
    """VUI parameters of `bitstream_restriction` alone."""
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
def test_h264_reordering_must_be_announced(b_frames: str, vui: str, by_packets: bool, tmp_path: Path) -> None:
    def change(elements: Elements) -> Elements | None:
        at = find(elements, "vui_parameters_present_flag")
        return None if at < 0 else [*elements[:at], ("vui", vui)]

    # fake-interlaced numbers pictures without B-frames as those with B-frames
    more = {"x264-params": "fake-interlaced=1"} if b_frames == "0" else {}
    path = change_headers(h264(tmp_path, bf=b_frames, **more), tmp_path / "a.mp4", change)
    assert (count_frames(path).frames, is_by_packets(path)) == (decode(path), by_packets)


def test_h264_frame_numbers_may_have_gaps(tmp_path: Path) -> None:
    path = change_headers(h264(tmp_path), tmp_path / "a.mp4", setting(gaps_in_frame_num_allowed_flag="1"))
    check(path, FRAMES, False)
    path = copy_packets(path, tmp_path / "b.mp4", lambda packets: packets[:4] + packets[5:])
    assert count_frames(path).frames == decode(path)


@pytest.mark.parametrize(("kind", "by_packets"), [(6, True), (9, True), (12, True), (10, False), (31, False)])
def test_h264_units_besides_pictures(kind: int, by_packets: bool, tmp_path: Path) -> None:
    check(with_unit(h264(tmp_path), bytes((kind, 0xF0, 0x80))), FRAMES, by_packets)


def test_h265_end_of_sequence_loses_pictures_around_the_next_cra_picture(tmp_path: Path) -> None:
    path = h265(tmp_path, ":open-gop=1:bframes=3:b-adapt=0")
    # packet 5 is a CRA picture: its three leading pictures are lost, and two that are not yet output before it
    check(with_unit(path, b"\x48\x01", place=4), FRAMES - 5, False)


@pytest.mark.parametrize(
    ("long_term", "frames", "by_packets"),
    [({}, FRAMES, True), ({10: 9}, FRAMES, False), ({10: 20}, 10, False)],
    ids=["none", "present", "missing"],
)
def test_h265_long_term_references_may_be_missing(
    long_term: dict[int, int], frames: int, by_packets: bool, tmp_path: Path
) -> None:
    """Slices of a picture name another, by their numbers; without it the rest cannot be decoded."""

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

    path = h265(tmp_path, ":bframes=0:keyint=30:min-keyint=30")
    check(change_headers(path, tmp_path / "a.mp4", change), frames, by_packets)


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


def test_h265_reference_sets_may_be_predicted_from_others(tmp_path: Path) -> None:
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
        path = h265(tmp_path, f":bframes=4:bitrate=99:pass={number}:stats={tmp_path}/log:multi-pass-opt-rps=1")
    check(change_headers(path, tmp_path / "a.mp4", change), FRAMES, True)
    assert min(predicted.values()) > 0


def test_h265_step_wise_access_pictures_are_like_others(tmp_path: Path) -> None:
    kinds = {f"{kind:06b}": f"{kind + 2:06b}" for kind in (2, 3)}  # TSA pictures have all that STSA pictures must have

    def change(elements: Elements) -> Elements:
        return [(name, kinds.get(bits, bits) if name == "nal_unit_type" else bits) for name, bits in elements]

    path = h265(tmp_path, ":keyint=30:temporal-layers=3:bframes=7:b-adapt=0")
    check(change_headers(path, tmp_path / "a.mp4", change), FRAMES, True)


@pytest.mark.parametrize(
    ("header", "by_packets"),
    [
        (b"\x50\x01", True),  # SEI
        (b"\x4c\x01", True),  # filler
        (b"\x7c\x01", True),  # Dolby Vision metadata
        (b"\x4a\x01", False),  # end of bitstream
        (b"\x7e\x01", False),  # Dolby Vision enhancement layer
        (b"\x50\x09", False),  # SEI of another layer
    ],
)
def test_h265_units_besides_pictures(header: bytes, by_packets: bool, tmp_path: Path) -> None:
    path = with_unit(h265(tmp_path, ":open-gop=0:bframes=0"), header + b"\x81\x80")
    assert (count_frames(path).frames, is_by_packets(path)) == (decode(path), by_packets)


SHOW_SLOT_0 = b"\x88"
"""A VP9 frame that shows the first stored frame."""


def superframe(*frames: bytes, size_bytes: int = 2) -> bytes:
    marker = bytes([0xC0 | size_bytes - 1 << 3 | len(frames) - 1])
    return b"".join((*frames, marker, *(len(frame).to_bytes(size_bytes, "little") for frame in frames), marker))


def vp9(path: Path, choose: Callable[[list[Any]], list[Any]], extension: str = "webm") -> Path:
    """A video of 30 packets without superframes, of which `choose` makes others."""
    path = write_video(path / f"vp9.{extension}", "libvpx-vp9", {"g": "8", "lag-in-frames": "0"})
    return copy_packets(path, path.with_name(f"edited.{extension}"), choose)


@pytest.mark.parametrize("size_bytes", [1, 2, 3, 4])
@pytest.mark.parametrize("extension", ["webm", "mp4"])
def test_vp9_hidden_frames_may_be_shown_within_their_packet(size_bytes: int, extension: str, tmp_path: Path) -> None:
    def change(packets: list[Any]) -> list[Any]:
        changed = []
        for packet in packets:
            content = bytes(packet)
            if packet.is_keyframe and len(content) < 1 << 8 * size_bytes:
                packet = new_packet(packet, superframe(hide(content), SHOW_SLOT_0, size_bytes=size_bytes))
            changed.append(packet)
        assert size_bytes == 1 or changed != packets
        return changed

    check(vp9(tmp_path, change, extension), FRAMES, True)


def test_vp9_packets_may_show_two_frames(tmp_path: Path) -> None:
    def change(packets: list[Any]) -> list[Any]:
        both = superframe(bytes(packets[3]), bytes(packets[4]))
        return [*packets[:3], new_packet(packets[3], both), *packets[5:]]

    check(vp9(tmp_path, change), FRAMES, False)


def hide(frame: bytes) -> bytes:
    """A VP9 key frame with show_frame = 0."""
    return bytes([frame[0] & ~2]) + frame[1:]


def test_vp9_hidden_frames_are_not_counted(tmp_path: Path) -> None:
    frames: list[bytes] = []

    def change(packets: list[Any]) -> list[Any]:
        frames.extend(bytes(packet) for packet in packets)
        return packets

    path = vp9(tmp_path, change)
    path.write_bytes(path.read_bytes().replace(frames[0], hide(frames[0])))
    check(path, FRAMES - 1, False)
    merged = vp9(tmp_path, lambda packets: [new_packet(packets[0], hide(frames[0])), *packets[1:]])
    check(merged, FRAMES - 1, True)  # FFmpeg writes a hidden frame and the next as one packet


def test_vp9_packets_may_show_a_stored_frame_again(tmp_path: Path) -> None:
    check(
        vp9(tmp_path, lambda packets: [*packets[:3], new_packet(packets[3], SHOW_SLOT_0), *packets[4:]]), FRAMES, True
    )


def split_obus(packet: bytes) -> list[tuple[int, bytes]]:
    """Type and content of each unit of an AV1 packet."""
    units = []
    while packet:
        size = shift = 0
        at = 0
        while True:
            at += 1
            size |= (packet[at] & 127) << shift
            shift += 7
            if packet[at] < 128:
                break
        units.append((packet[0] >> 3, packet[at + 1 : at + 1 + size]))
        packet = packet[at + 1 + size :]
    return units


def obu(kind: int, content: bytes, extension: bytes = b"") -> bytes:
    size, digits = len(content), []
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([kind << 3 | (4 if extension else 0) | 2, *extension, *digits, size]) + content


def av1(path: Path, choose: Callable[[list[Any]], list[Any]]) -> Path:
    path = write_video(path / "av1.mp4", "libsvtav1", {"svtav1-params": "keyint=-1"})
    return copy_packets(path, path.with_name("edited.mp4"), choose)


METADATA = b"\x06" + b"metadata of a private type" + b"\x80"


@pytest.mark.parametrize(("kind", "by_packets"), [(2, True), (5, True), (15, True), (9, False)])
def test_av1_units_besides_frames(kind: int, by_packets: bool, tmp_path: Path) -> None:
    """Temporal delimiters and padding are put in after muxing, as FFmpeg leaves them out."""
    unit = obu(5, METADATA)
    path = av1(tmp_path, lambda packets: [new_packet(packet, unit + bytes(packet)) for packet in packets])
    path.write_bytes(path.read_bytes().replace(unit, obu(kind, METADATA)))
    check(path, FRAMES, by_packets)


def test_av1_frames_of_another_layer_are_not_counted(tmp_path: Path) -> None:
    def change(packets: list[Any]) -> list[Any]:
        changed = []
        for place, packet in enumerate(packets):
            units = []
            for kind, content in split_obus(bytes(packet)):
                if kind == 1:  # bits 12 to 23: the first operating point has temporal layer 0 of spatial layer 0
                    content = bytes([content[0], content[1] | 0x1, content[2] | 0x01]) + content[3:]
                units.append(obu(kind, content, b"\x20" if place >= FRAMES - 4 else b""))
            changed.append(new_packet(packet, b"".join(units)))
        return changed

    check(av1(tmp_path, change), FRAMES - 4, False)


def test_av1_layers_are_decoded(tmp_path: Path) -> None:
    """The extension is chosen so that who takes it for the size finds the same end of the unit."""
    unit = obu(5, METADATA, bytes([len(METADATA) + 1]))
    path = av1(tmp_path, lambda packets: [new_packet(packet, unit + bytes(packet)) for packet in packets])
    check(path, FRAMES, False)
