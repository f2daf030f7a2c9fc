"""Counts of frames against a full decode with PyAV for every codec, container and damage, and against ffprobe for
intact videos."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelferry.errors import ExportError
from labelferry.video.frame_count import FrameCount, count_frames
from tests.video_files import (
    FRAMES,
    SIZE,
    copy_packets,
    counted,
    decode,
    is_by_packets,
    new_packet,
    write_by_command,
    write_changing_video,
    write_video,
)


class Recipe(NamedTuple):
    """How a video is encoded.

    Attributes:
        extension: of the file.
        codec: FFmpeg's name of the encoder.
        options: of the encoder. Those with `{run}` are for two passes, which share the file `{log}`.
        by_packets: whether the packets prove the number of frames.
        more: further arguments of `write`.
        write: encodes the video.
    """

    extension: str
    codec: str
    options: Mapping[str, str] = MappingProxyType({})
    by_packets: bool = False
    more: Mapping[str, Any] = MappingProxyType({})
    write: Callable[..., Path] = write_video


TWO_PASSES = {"lag-in-frames": "25", "b:v": "100k", "pass": "{run}", "passlogfile": "{log}"}
X265 = "log-level=0:keyint=8:min-keyint=8"
UNEVEN = [40 * index + 13 * (index % 3) for index in range(FRAMES)]

VIDEOS = {
    "h264": Recipe("mp4", "libx264", {"g": "8", "bf": "3"}, True),
    "h264 no B": Recipe("mp4", "libx264", {"g": "8", "bf": "0"}, True),
    "h264 mov": Recipe("mov", "libx264", {"g": "8"}, True),
    "h264 m4v": Recipe("m4v", "libx264", {"g": "8"}, True),
    "h264 avi": Recipe("avi", "libx264", {"g": "8"}),
    "h264 mpg": Recipe("mpg", "libx264", {"g": "8"}),
    "h264 ts": Recipe("mpeg", "libx264", {"g": "8"}, more={"format": "mpegts"}),
    "h264 open GOP": Recipe("mp4", "libx264", {"g": "8", "x264-params": "open-gop=1:b-adapt=0:scenecut=0"}, True),
    "h264 pyramid": Recipe("mp4", "libx264", {"x264-params": "bframes=8:b-pyramid=normal:b-adapt=0"}, True),
    "h264 interlaced": Recipe("mp4", "libx264", {"g": "8", "x264-params": "interlaced=1"}, True),
    "h264 fake interlaced": Recipe("mp4", "libx264", {"g": "8", "x264-params": "fake-interlaced=1"}, True),
    "h264 hrd": Recipe(
        "mp4", "libx264", {"b": "200k", "maxrate": "200k", "bufsize": "99k", "x264-params": "nal-hrd=cbr"}, True
    ),
    "h264 vbr hrd": Recipe("mp4", "libx264", {"maxrate": "200k", "bufsize": "99k", "x264-params": "nal-hrd=vbr"}, True),
    "h264 baseline": Recipe("mp4", "libx264", {"g": "8", "profile": "baseline"}, True),
    "h264 intra refresh": Recipe("mp4", "libx264", {"g": "8", "x264-params": "intra-refresh=1"}, True),
    "h264 slices": Recipe("mp4", "libx264", {"x264-params": "slices=4:aud=1:repeat-headers=1"}, True),
    "h264 matrices": Recipe("mp4", "libx264", {"x264-params": "cqm=jvt"}, True),
    "h264 4:4:4": Recipe("mp4", "libx264", {"g": "8"}, True, {"pixels": "yuv444p"}),
    "h264 uneven": Recipe("mp4", "libx264", {"g": "8"}, True, {"times": UNEVEN}),
    "h264 fragmented": Recipe("mp4", "libx264", {"g": "8"}, True, {"mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264 moov in front": Recipe("mp4", "libx264", {"g": "8"}, True, {"mux": {"movflags": "faststart"}}),
    "h264 main": Recipe("mp4", "libx264", {"x264-params": "8x8dct=0"}, True),
    "h264 10 bits": Recipe("mp4", "libx264", {"g": "8"}, True, {"pixels": "yuv420p10le"}),
    "h264 4:2:2": Recipe("mp4", "libx264", {"g": "8"}, True, {"pixels": "yuv422p"}),
    "h264 cropped": Recipe("mp4", "libx264", {"g": "8"}, True, {"size": (60, 50)}),
    "h264 colours": Recipe(
        "mp4",
        "libx264",
        {"x264-params": "sar=7/5:overscan=show:colorprim=bt709:transfer=bt709:colormatrix=bt709:chromaloc=1"},
        True,
    ),
    "h264 PAL": Recipe("mp4", "libx264", {"x264-params": "sar=4/3:videoformat=pal"}, True),
    "h264 two streams": Recipe("mp4", "libx264", {"g": "8"}, True, {"streams": 2}),
    "h265": Recipe("mp4", "libx265", {"x265-params": f"{X265}:open-gop=0:bframes=3"}, True),
    "h265 open GOP": Recipe("mp4", "libx265", {"x265-params": f"{X265}:open-gop=1:bframes=3:b-adapt=0"}, True),
    "h265 no B": Recipe("mov", "libx265", {"x265-params": f"{X265}:bframes=0"}, True),
    "h265 headers": Recipe("mp4", "libx265", {"x265-params": f"{X265}:repeat-headers=1:aud=1:temporal-layers=1"}, True),
    "h265 matrices": Recipe("mp4", "libx265", {"x265-params": f"{X265}:scaling-list=default"}, True),
    "h265 two passes": Recipe(
        "mp4", "libx265", {"x265-params": f"{X265}:bitrate=99:pass={{run}}:stats={{log}}:multi-pass-opt-rps=1"}, True
    ),
    "h265 slices": Recipe("mp4", "libx265", {"x265-params": f"{X265}:slices=2:ctu=16:max-tu-size=16"}, True),
    "h265 sub-layers": Recipe(
        "mp4", "libx265", {"x265-params": f"{X265}:keyint=30:temporal-layers=3:bframes=7:b-adapt=0"}, True
    ),
    "h265 RADL": Recipe("mp4", "libx265", {"x265-params": f"{X265}:open-gop=0:radl=2:bframes=3:b-adapt=0"}, True),
    "h265 4:4:4": Recipe("mp4", "libx265", {"x265-params": X265}, True, {"pixels": "yuv444p"}),
    "h265 10 bits": Recipe("mp4", "libx265", {"x265-params": X265}, True, {"pixels": "yuv420p10le"}),
    "h265 cropped": Recipe("mp4", "libx265", {"x265-params": X265}, True, {"size": (60, 50)}),
    "h265 raw": Recipe("hevc", "libx265", {"x265-params": f"{X265}:bframes=3"}),
    "mpeg4": Recipe("mp4", "mpeg4", {"g": "8", "bf": "2"}),
    "mpeg4 m4v": Recipe("m4v", "mpeg4", {"g": "8"}),
    "mpeg4 avi": Recipe("avi", "mpeg4", {"g": "8", "bf": "2"}),
    "mpeg2": Recipe("mpg", "mpeg2video", {"g": "8", "bf": "2"}),
    "mpeg2 mpeg": Recipe("mpeg", "mpeg2video", {"g": "8"}),
    "mpeg2 interlaced": Recipe("mpg", "mpeg2video", {"flags": "+ildct+ilme"}),
    "mpeg1": Recipe("mpg", "mpeg1video", {"g": "8"}),
    "vp8": Recipe("webm", "libvpx", {"g": "8", "lag-in-frames": "0"}),
    "vp9": Recipe("webm", "libvpx-vp9", {"g": "8", "lag-in-frames": "0"}, True),
    "vp9 alt-ref": Recipe(
        "webm",
        "libvpx-vp9",
        {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "5", "b": "200k"},
        True,
    ),
    "vp9 mp4": Recipe("mp4", "libvpx-vp9", {"auto-alt-ref": "6", "lag-in-frames": "25"}, True),
    "vp9 two passes": Recipe("mp4", "libvpx-vp9", {"auto-alt-ref": "6", **TWO_PASSES}, True, write=write_by_command),
    "vp9 10 bits": Recipe("webm", "libvpx-vp9", {}, True, {"pixels": "yuv420p10le"}, write_by_command),
    "vp9 4:4:4 10 bits": Recipe("webm", "libvpx-vp9", {}, False, {"pixels": "yuv444p10le"}, write_by_command),
    "vp9 4:4:4": Recipe("webm", "libvpx-vp9", {"g": "8"}, True, {"pixels": "yuv444p"}),
    "av1": Recipe("webm", "libsvtav1", {"svtav1-params": "keyint=8"}, True),
    "av1 mp4": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=-1"}, True),
    "av1 10 bits": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=8"}, True, {"pixels": "yuv420p10le"}),
    "av1 HDR": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=8:content-light=1000,100"}, True),
    "av1 uneven": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=8"}, False, {"times": UNEVEN}),
    "av1 level 4": Recipe("webm", "libsvtav1", {"svtav1-params": "keyint=8:level=40"}, True),
    "av1 low delay": Recipe("webm", "libsvtav1", {"svtav1-params": "keyint=8:pred-struct=1"}, True),
    "av1 screen content": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=8:scm=1"}, True),
    "av1 open GOP": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=8:irefresh-type=1"}, True),
    "av1 switch frames": Recipe("mp4", "libsvtav1", {"svtav1-params": "keyint=-1:pred-struct=1:sframe-dist=5"}),
    "av1 libaom": Recipe("mp4", "libaom-av1", {"g": "8", "cpu-used": "8"}, True, write=write_by_command),
    "av1 rav1e": Recipe("mp4", "librav1e", {"g": "8", "speed": "10"}, write=write_by_command),
    "mjpeg": Recipe("avi", "mjpeg", more={"pixels": "yuvj420p"}),
    "mjpeg mov": Recipe("mov", "mjpeg", more={"pixels": "yuvj420p"}),
}
CUT = ["h264 moov in front", "h264 fragmented", "vp9 alt-ref", "vp8", "av1", "mjpeg", "mpeg4 avi", "mpeg2", "h265 raw"]
PROVEN = [name for name, recipe in VIDEOS.items() if recipe.by_packets and recipe.extension != "m4v"]

Video = Callable[[str], Path]


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """Gives the path of a video of the table, which is encoded on the first call."""
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str) -> Path:
        recipe = VIDEOS[name]
        path = folder / f"{name.replace(':', '')}.{recipe.extension}"
        if path.exists():
            return path
        for run in (1, 2) if "{run}" in str(recipe.options) else (1,):
            options = {key: text.format(run=run, log=f"{path}.log") for key, text in recipe.options.items()}
            recipe.write(path, recipe.codec, options, **recipe.more)
        return path

    return make


@pytest.mark.parametrize("name", VIDEOS)
def test_every_codec_and_container_counts_as_pyav_decodes_it(name: str, video: Video) -> None:
    path = video(name)
    assert count_frames(path) == FrameCount(decode(path), *VIDEOS[name].more.get("size", (SIZE, SIZE)))
    assert decode(path) == FRAMES
    assert is_by_packets(path) == VIDEOS[name].by_packets


@pytest.mark.parametrize(
    ("codec", "options", "frames"),
    [
        ("libx264", {"g": "250", "bf": "0"}, 20),
        ("libx264", {"g": "250", "bf": "3"}, 70),
        ("libx265", {"x265-params": "log-level=0:keyint=400:bframes=3"}, 300),
        ("libsvtav1", {"svtav1-params": "keyint=-1"}, 150),
    ],
)
def test_the_numbers_of_pictures_may_start_again(
    codec: str, options: dict[str, str], frames: int, tmp_path: Path
) -> None:
    """Groups of pictures that are longer than the range of the numbers in their headers."""
    path = write_video(tmp_path / "a.mp4", codec, options, frames=frames)
    assert (count_frames(path).frames, decode(path), is_by_packets(path)) == (frames, frames, True)


@pytest.mark.parametrize("name", VIDEOS)
def test_ffprobe_counts_the_same(name: str, video: Video) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("no ffprobe")
    path = video(name)
    command = "ffprobe -v error -count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of json"
    done = subprocess.run([*command.split(), str(path)], capture_output=True, text=True, check=True)
    assert f'"nb_read_frames": "{count_frames(path).frames}"' in done.stdout


@pytest.mark.parametrize("name", CUT)
def test_a_truncated_video_counts_as_pyav_decodes_it(name: str, video: Video, tmp_path: Path) -> None:
    path = video(name)
    content = path.read_bytes()
    cut = tmp_path / path.name
    for length in (*range(0, len(content), max(1, len(content) // 40)), len(content) - 1):
        cut.write_bytes(content[:length])
        assert counted(cut) == decode(cut), length


@pytest.mark.parametrize("name", ["h264 moov in front", "mpeg4 avi"])
def test_a_video_truncated_within_a_packet_is_reported(name: str, video: Video, tmp_path: Path) -> None:
    content = video(name).read_bytes()
    cut = tmp_path / video(name).name
    start = content.index(b"mdat") if b"mdat" in content else content.index(b"movi")
    cut.write_bytes(content[: (start + len(content)) // 2])
    assert count_frames(cut).broken
    assert 0 < count_frames(cut).frames < FRAMES


@pytest.mark.parametrize("name", [*PROVEN, "mpeg4"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_packets_that_are_lost_or_out_of_order_count_as_pyav_decodes_them(
    name: str, data: st.DataObject, video: Video, tmp_path: Path
) -> None:
    def choose(packets: list[Any]) -> Sequence[Any]:
        places = list(range(len(packets)))
        for _ in range(data.draw(st.integers(0, 2), "swaps")):
            i = data.draw(st.integers(0, len(places) - 2), "at")
            places[i], places[i + 1] = places[i + 1], places[i]
        for _ in range(data.draw(st.integers(0, 3), "losses")):
            first = data.draw(st.integers(0, len(places) - 1), "from")
            lost = data.draw(st.integers(0, 9), "so many")
            places = places[:first] + places[first + lost :] or places
        return [packets[place] for place in places]

    path = video(name)
    fragmented = {"movflags": "frag_keyframe+empty_moov"} if data.draw(st.booleans(), "fragmented") else {}
    changed = copy_packets(path, tmp_path / path.name, choose, mux={} if path.suffix == ".webm" else fragmented)
    assert counted(changed) == decode(changed)


@pytest.mark.parametrize("name", PROVEN)
@pytest.mark.parametrize("closed_up", [False, True])
def test_every_single_lost_packet_counts_as_pyav_decodes_it(
    name: str, closed_up: bool, video: Video, tmp_path: Path
) -> None:
    """Whether the lost packet leaves a gap in the times or not."""
    path = video(name)
    for lost in range(FRAMES):

        def lose(packets: list[Any]) -> list[Any]:
            times = [(packet.dts, packet.pts) for packet in packets]
            del packets[lost]  # noqa: B023
            if closed_up:
                for packet, (dts, pts) in zip(packets, times, strict=False):
                    packet.dts, packet.pts = dts, pts
            return packets

        changed = copy_packets(path, tmp_path / path.name, lose)
        assert counted(changed) == decode(changed), lost


def test_lost_packets_of_vp8_count_as_pyav_decodes_them(tmp_path: Path) -> None:
    """Its decoder stops after some of them, but not with threads across frames."""
    path = write_video(tmp_path / "a.webm", "libvpx", {"g": "60", "b": "200k"}, frames=60)
    for lost in range(1, 50, 3):
        changed = copy_packets(path, tmp_path / "b.webm", lambda packets: packets[:lost] + packets[lost + 5 :])  # noqa: B023
        assert counted(changed) == decode(changed), lost


@pytest.mark.parametrize(
    "name", ["h264", "h264 open GOP", "h264 intra refresh", "h265", "h265 open GOP", "vp8", "vp9", "av1 mp4"]
)
def test_a_video_that_does_not_begin_with_a_key_frame(name: str, video: Video, tmp_path: Path) -> None:
    path = video(name)
    for lost in range(1, FRAMES):
        changed = copy_packets(path, tmp_path / path.name, lambda packets: packets[lost:])  # noqa: B023
        assert counted(changed) == decode(changed), lost


@pytest.mark.parametrize("name", ["h264", "h264 no B", "h265 open GOP", "mpeg4"])
@pytest.mark.parametrize("later", [0, 1, 5, 12])
@pytest.mark.parametrize("length", [None, 4, 11])
def test_edit_lists_leave_frames_out(name: str, later: int, length: int | None, video: Video, tmp_path: Path) -> None:
    path = copy_packets(video(name), tmp_path / "edited.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 4
    version, count = content[at], struct.unpack_from(">I", content, at + 4)[0]
    assert (version, count) == (0, 1)
    duration, media_time = struct.unpack_from(">Ii", content, at + 8)
    with av.open(str(path)) as container:
        step = 1 / float((container.streams.video[0].time_base or 1) * 25)
    struct.pack_into(
        ">Ii", content, at + 8, duration if length is None else 40 * length, media_time + int(later * step)
    )
    path.write_bytes(content)
    assert counted(path) == decode(path)
    if later >= 5 or length:
        assert decode(path) < FRAMES, "the edit list has no effect"


@pytest.mark.parametrize("shift", [-2, 7])
def test_shifted_times_change_nothing(shift: int, video: Video, tmp_path: Path) -> None:
    path = copy_packets(
        video("h264"), tmp_path / "a.mp4", times=lambda dts, pts: (dts + shift * 512, pts + shift * 512)
    )
    assert counted(path) == decode(path)


@pytest.mark.parametrize("place", [0, 5, FRAMES - 1])
@pytest.mark.parametrize("fragmented", [False, True])
def test_empty_samples_count_as_pyav_decodes_them(place: int, fragmented: bool, video: Video, tmp_path: Path) -> None:
    content = bytearray(video("h264 fragmented" if fragmented else "h264 no B").read_bytes())
    if fragmented:
        at = content.index(b"trun")
        flags, samples = struct.unpack_from(">II", content, at + 4)
        fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
        before = 12 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
        index = min(place, samples - 1)
        at += before + 4 * (len(fields) * index + fields.index(0x200))
    else:
        at = content.index(b"stsz") + 16 + 4 * place
    struct.pack_into(">I", content, at, 0)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert counted(path) == decode(path)


def test_hidden_frames_are_not_counted(video: Video, tmp_path: Path) -> None:
    def hide(packets: list[Any]) -> list[Any]:
        for packet in packets[3::5]:
            content = bytearray(memoryview(packet))
            content[0] &= ~0x10  # show_frame
            packet.update(bytes(content))
        return packets

    path = copy_packets(video("vp8"), tmp_path / "a.webm", hide)
    assert counted(path) == decode(path) == FRAMES - len(range(3, FRAMES, 5))


def test_a_cover_is_not_counted(video: Video, tmp_path: Path) -> None:
    path = tmp_path / "covered.mp4"
    with av.open(str(video("h264"))) as given, av.open(str(path), "w") as container:
        out = container.add_stream_from_template(given.streams.video[0])
        cover: Any = container.add_stream("png", rate=1)
        try:
            cover.disposition = 1 << 10  # an attached picture
        except AttributeError:
            pytest.skip("this PyAV cannot attach pictures")
        cover.width = cover.height = SIZE
        cover.pix_fmt = "rgb24"
        container.mux(cover.encode(av.VideoFrame(SIZE, SIZE, "rgb24")))
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = out
                container.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    assert counted(path) == decode(path) == FRAMES
    assert is_by_packets(path)


def test_an_extension_may_be_in_upper_case(video: Video, tmp_path: Path) -> None:
    path = shutil.copy(video("h264"), tmp_path / "Ä b.MP4")
    assert count_frames(path).frames == FRAMES


def test_a_title_may_not_be_unicode(tmp_path: Path) -> None:
    path = tmp_path / "titled.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "AAAAAAAA"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = SIZE
        container.mux(stream.encode(av.VideoFrame(SIZE, SIZE, "yuv420p")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAA", b"M\xfcnchen "))
    assert count_frames(path).frames == 1


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264", frames=1)
    assert count_frames(path).frames == decode(path) == 1


def test_a_file_with_only_sound_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ExportError, match="no video in it, only audio") as caught:
        count_frames(path)
    assert (caught.value.code, caught.value.where) == ("video-broken", str(path))


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_file_that_is_not_a_video_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(ExportError) as caught:
        count_frames(path)
    assert (caught.value.code, caught.value.where) == ("video-broken", str(path))


def test_a_missing_video_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="missing") as caught:
        count_frames(tmp_path / "a.mp4")
    assert caught.value.code == "video-missing"


@pytest.mark.parametrize(
    ("extension", "codec"), [("avi", "mjpeg"), ("webm", "libvpx-vp9"), ("mp4", "libx264"), ("webm", "libsvtav1")]
)
def test_a_size_that_changes_midway(tmp_path: Path, extension: str, codec: str) -> None:
    path = write_changing_video(tmp_path / f"a.{extension}", codec, [(64, 48), (128, 96), (64, 48)], frames=4)
    with av.open(str(path)) as container:
        decoded = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert decoded == [(64, 48)] * 4 + [(128, 96)] * 4 + [(64, 48)] * 4
    count = count_frames(path)
    assert [count.size_of(index) for index in range(count.frames)] == decoded
    assert (count.width, count.height) == (64, 48)


@pytest.mark.parametrize(("name", "intact"), [("vp9", 20), ("h264 no B", 20)])
def test_a_first_frame_that_cannot_be_decoded(video: Video, tmp_path: Path, name: str, intact: int) -> None:
    """Its header is intact, and so are all other frames: the packets alone would prove a number of frames."""

    def damage(packets: list[Any]) -> list[Any]:
        content = bytes(packets[0])
        return [new_packet(packets[0], content[:intact] + b"\xff" * (len(content) - intact)), *packets[1:]]

    source = video(name)
    path = copy_packets(source, tmp_path / f"a{source.suffix}", damage)
    assert decode(path) == 0
    with pytest.raises(ExportError, match="its first frame cannot be decoded") as raised:
        count_frames(path)
    assert raised.value.code == "video-broken"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
@pytest.mark.parametrize(
    "times",
    [
        [40 * i for i in range(30)],
        [40 * i + 400 for i in range(30)],
        [40 * i + 5 * (i % 3) for i in range(30)],
        [40 * i + 13 * (i % 3) for i in range(30)],
        [round(1001 * i / 30) for i in range(30)],
        [40 * (i + i // 2) for i in range(30)],
        [40 * i + (i > 20) * 80 for i in range(30)],
    ],
    ids=["even", "late", "jitter", "more jitter", "NTSC", "gaps", "a gap"],
)
@pytest.mark.parametrize(("extension", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("mov", "mjpeg")])
def test_uneven_videos_are_those_of_which_ffmpeg_repeats_or_leaves_out_frames(
    tmp_path: Path, extension: str, codec: str, times: list[int]
) -> None:
    """Where it extracts images as it does by default."""
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / f"a.{extension}", codec, {"bf": "0"}, times=times, pixels=pixels)
    (tmp_path / "frames").mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), str(tmp_path / "frames/%03d.png")], check=True)
    assert count_frames(path).is_uneven == (len(list((tmp_path / "frames").iterdir())) != FRAMES)
