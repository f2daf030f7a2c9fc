# ruff: noqa: E501
"""count_frames against a full PyAV decode, of every container and codec that PyAV can make here, whole and damaged."""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import av
import pytest
from av.error import FFmpegError

import labelferry
from labelferry import frame_count
from tests.video_files import FRAMES, copy_packets, decode, write_video

X265 = {"x265-params": "log-level=none:keyint=10:bframes=3", "preset": "ultrafast"}
CLOSED = {"x265-params": "log-level=none:keyint=10:bframes=3:open-gop=0", "preset": "ultrafast"}
ALT_REF = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5", "b": "60k"}

VIDEOS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264.mp4": ("libx264", {"options": {"bf": "3", "g": "10"}}),
    "h264 no b.mp4": ("libx264", {"options": {"bf": "0"}}),
    "h264 open.mp4": ("libx264", {"options": {"bf": "3", "x264-params": "keyint=10:open-gop=1"}}),
    "h264 cbr.mp4": ("libx264", {"options": {"x264-params": "nal-hrd=cbr:vbv-maxrate=200:vbv-bufsize=200:bitrate=200"}}),
    "h264 444.mp4": ("libx264", {"options": {"bf": "2"}, "pixels": "yuv444p"}),
    "h264.m4v": ("libx264", {"options": {"bf": "3"}}),
    "h264.mov": ("libx264", {"options": {"bf": "3"}}),
    "h264 fast.MP4": ("libx264", {"options": {"bf": "3", "g": "10"}, "mux": {"movflags": "faststart"}}),
    "h264 fragments.mp4": ("libx264", {"options": {"bf": "3", "g": "10"}, "mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264 variable.mp4": ("libx264", {"options": {"bf": "2"}, "times": [i * 40 + i % 3 * 13 + i // 7 * 400 for i in range(FRAMES)]}),
    "h264 two.mp4": ("libx264", {"options": {"bf": "2"}, "streams": 2}),
    "h265.mp4": ("libx265", {"options": X265}),
    "h265 closed.mov": ("libx265", {"options": CLOSED}),
    "vp8.webm": ("libvpx", {"options": ALT_REF}),
    "vp9.webm": ("libvpx-vp9", {"options": ALT_REF}),
    "vp9.mp4": ("libvpx-vp9", {"options": ALT_REF}),
    "av1.webm": ("libsvtav1", {"options": {"preset": "12", "svtav1-params": "lp=1"}}),
    "av1.mp4": ("libsvtav1", {"options": {"preset": "12", "svtav1-params": "lp=1"}}),
}  # fmt: skip
"""Videos whose packets prove the count."""

DECODED: dict[str, tuple[str, dict[str, Any]]] = {
    "h264 interlaced.mp4": ("libx264", {"options": {"flags": "+ildct+ilme", "x264-params": "interlaced=1"}}),
    "h264.avi": ("libx264", {"options": {"bf": "3"}}),
    "h264.mpg": ("libx264", {"options": {"bf": "3"}}),
    "h265.hevc": ("libx265", {"options": X265}),
    "mpeg4.mp4": ("mpeg4", {"options": {"bf": "2"}}),
    "mpeg4.avi": ("mpeg4", {"options": {"bf": "2"}}),
    "mpeg4.mov": ("mpeg4", {}),
    "mpeg2.mpg": ("mpeg2video", {"options": {"bf": "2"}}),
    "mpeg2 interlaced.MPEG": ("mpeg2video", {"options": {"bf": "2", "flags": "+ildct+ilme"}}),
    "mpeg1.mpeg": ("mpeg1video", {}),
    "mjpeg.avi": ("mjpeg", {"pixels": "yuvj420p"}),
    "mjpeg.mov": ("mjpeg", {"pixels": "yuvj420p"}),
    "mjpeg variable.mp4": ("mjpeg", {"pixels": "yuvj420p", "times": [i * i * 10 for i in range(FRAMES)]}),
}
"""Those that are decoded."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a video of the tables above, once."""
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str) -> Path:
        codec, settings = (VIDEOS | DECODED)[name]
        path: Path = folder / name
        if path.exists():
            return path
        try:
            return write_video(path, codec, **settings)
        except (FFmpegError, ValueError) as error:
            path.unlink(missing_ok=True)
            pytest.skip(f"PyAV cannot encode it here: {error}")

    return make


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Is told each time a video is decoded to count it."""
    decoded: list[str] = []
    original = frame_count._count_decoded

    def told(path: Any, damaged: bool) -> Any:
        decoded.append(str(path))
        return original(path, damaged)

    monkeypatch.setattr(frame_count, "_count_decoded", told)
    return decoded


def check(path: Path) -> int:
    """Counts a video, of which nothing must be missed that a full decode gives, nor anything invented."""
    expected = decode(path)
    if not expected:
        with pytest.raises(labelferry.ExportError) as raised:
            frame_count.count_frames(path)
        assert raised.value.code == "video-broken"
        return 0
    count = frame_count.count_frames(path)
    assert count.frames == expected, path.name
    assert (count.width, count.height) == (64, 64)
    return expected


@pytest.mark.parametrize("name", VIDEOS)
def test_packets_prove_the_count(video: Any, way: list[str], name: str) -> None:
    assert check(video(name)) == FRAMES
    assert not way, "it was decoded"


@pytest.mark.parametrize("name", DECODED)
def test_all_else_is_decoded(video: Any, way: list[str], name: str) -> None:
    assert check(video(name)) >= FRAMES - 1
    assert way


@pytest.mark.parametrize("name", [*VIDEOS, *DECODED])
def test_against_ffprobe(video: Any, name: str) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("no ffprobe here")
    path = video(name)
    command = (
        "ffprobe -v error -count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of csv=p=0".split()
    )
    said = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout.split()
    assert frame_count.count_frames(path).frames == int(said[0].strip(","))


@pytest.mark.parametrize(
    "name",
    ["h264 fast.MP4", "vp9.webm", "vp8.webm", "mpeg4.avi", "mjpeg.avi", "mpeg2.mpg", "h265.hevc", "h264 fragments.mp4"],
)
def test_cut_short_anywhere(video: Any, tmp_path: Path, name: str) -> None:
    content = video(name).read_bytes()
    path = tmp_path / name
    for part in range(1, 24):
        path.write_bytes(content[: len(content) * part // 24])
        check(path)


def test_what_breaks_off_is_told(video: Any, tmp_path: Path) -> None:
    content = video("h264 fast.MP4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    assert frame_count.count_frames(tmp_path / "cut.mp4").broken


@pytest.mark.parametrize(
    "name", ["h264.mp4", "h264 no b.mp4", "h264 open.mp4", "h265.mp4", "h265 closed.mov", "vp9.webm", "av1.mp4"]
)
@pytest.mark.parametrize("seed", range(6))
def test_packets_left_out(video: Any, tmp_path: Path, name: str, seed: int) -> None:
    """Beginnings are cut off, packets lost, stretches played twice: each file is what some editor might write."""
    draw = random.Random(seed)

    def choose(packets: list[Any]) -> list[Any]:
        if seed == 0:
            return packets[draw.randrange(1, 9) :]
        if seed == 1:  # from the second key frame on, which may not begin anew
            return (
                packets[[i for i, packet in enumerate(packets) if packet.is_keyframe][1:2][0] :]
                if sum(packet.is_keyframe for packet in packets) > 1
                else packets
            )
        if seed == 2:
            return packets[:-3]
        return [packet for packet in packets if packet.is_keyframe or draw.random() < 0.8]

    try:
        path = copy_packets(video(name), tmp_path / f"copy{Path(name).suffix}", choose)
    except (FFmpegError, ValueError, TypeError) as error:
        pytest.skip(f"PyAV cannot write that: {error}")
    check(path)


def edit_list(path: Path, out: Path, skip: float) -> Path:
    """The same MP4 with an edit list that begins after part of it: `media_time` of the only entry is raised."""
    content = bytearray(path.read_bytes())
    at = content.index(b"elst")
    version, entries = content[at + 4], struct.unpack_from(">I", content, at + 8)[0]
    assert (version, entries) == (0, 1)
    duration, media_time = struct.unpack_from(">Ii", content, at + 12)
    header = content.index(b"mdhd")
    scale = struct.unpack_from(">I", content, header + 16)[0]
    total = struct.unpack_from(">I", content, header + 20)[0]
    shift = int(total * skip)
    movie_scale = struct.unpack_from(">I", content, content.index(b"mvhd") + 16)[0]
    struct.pack_into(">Ii", content, at + 12, max(duration - shift * movie_scale // scale, 1), media_time + shift)
    out.write_bytes(content)
    return out


@pytest.mark.parametrize("name", ["h264.mp4", "h264 no b.mp4", "h265.mp4", "mpeg4.mp4"])
@pytest.mark.parametrize("skip", [0.1, 0.35, 0.5, 0.9])
def test_edit_lists(video: Any, tmp_path: Path, way: list[str], name: str, skip: float) -> None:
    source = video(name)
    if b"elst" not in source.read_bytes():
        pytest.skip("PyAV wrote no edit list")
    assert check(edit_list(source, tmp_path / "edited.mp4", skip)) < FRAMES
    assert way


def test_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "audio.mov"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.avi").write_text("no video at all")
    for name, text in (("audio.mov", "only audio"), ("empty.mp4", "not a video"), ("text.avi", "not a video")):
        with pytest.raises(labelferry.ExportError, match=text) as raised:
            frame_count.count_frames(tmp_path / name)
        assert raised.value.code == "video-broken"
    with pytest.raises(labelferry.ExportError, match="missing"):
        frame_count.count_frames(tmp_path / "nothing.mp4")


@pytest.mark.parametrize("seed", range(40))
def test_parameter_sets_of_any_bytes_do_no_harm(seed: int) -> None:
    """What reads bits of headers ends, with an answer or with doubt, whatever they hold."""
    data = random.Random(seed).randbytes(60)
    for read in (frame_count._h264_parameters, frame_count._h265_sequence, frame_count._h265_picture):
        with contextlib.suppress(IndexError, frame_count._Unproven):
            read(data)
