"""Frames of videos: names as documented, which labels belong to which frame, and every frame once."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

import labelferry
from labelferry.findings import Finding
from labelferry.model import UNLABELLED, Image, Refused, VideoFrame
from labelferry.video import footage as footage_module
from labelferry.video.footage import Footage
from labelferry.video.frame_count import FrameCount
from labelferry.video.names import frame_name, frame_pattern
from tests.video_files import write_changing_video, write_video


@pytest.mark.parametrize(
    ("video", "index", "frames", "name"),
    [
        ("subdir/video_1.mp4", 99, 200, "subdir/video_1-099-mp4.png"),
        ("video_1.mp4", 0, 1000, "video_1-0000-mp4.png"),
        ("data/passageway1-c0.avi", 1, 2500, "data/passageway1-c0-0001-avi.png"),
        ("my_video.mp4", 153, 200, "my_video-153-mp4.png"),
        ("a.b/c d.e.MOV", 3, 9, "a.b/c d.e-3-MOV.png"),
        ("Straße.webm", 9, 10, "Straße-09-webm.png"),
    ],
)
def test_names_as_documented(video: str, index: int, frames: int, name: str) -> None:
    assert frame_name(video, index, frames) == name


def lightly_name(video: str, index: int, frames: int) -> str:
    """A frame's name by the code of the package lightly, which needs torch to be imported as a whole."""
    spec = importlib.util.find_spec("lightly")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    tree = ast.parse(Path(spec.submodule_search_locations[0], "data", "_video.py").read_text())
    wanted = {"_format_filename", "_video_name_format"}
    found: list[ast.stmt] = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in wanted]
    scope: dict[str, Any] = {"os": os, "Tuple": tuple}
    exec(compile(ast.Module(found, []), "_video.py", "exec"), scope)

    class Dataset:
        root = "/data"

    name, extension = scope["_video_name_format"](Dataset(), f"/data/{video}")
    made: str = scope["_format_filename"](Dataset(), name, index, extension, zero_padding=len(str(frames)))
    return made


@given(st.from_regex(r"[a-z./ ]{0,8}[a-z]\.(mp4|AVI|mov)", fullmatch=True), st.integers(1, 10**5), st.data())
def test_names_against_the_published_package(video: str, frames: int, data: Any) -> None:
    index = data.draw(st.integers(0, frames - 1))
    expected = lightly_name(video, index, frames)
    if "//" not in video and "./" not in video and not video.startswith("/"):  # which lightly would normalise
        assert frame_name(video, index, frames) == expected


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("{video}_{frame}", "a/b_c_0012", ("a/b_c", "0012")),
        ("{video}/{frame}", "a/b/0012", ("a/b", "0012")),
        ("{video}.mp4-frame{frame}", "a+(b).mp4-frame7", ("a+(b)", "7")),
        (r"(?P<video>.+)_mp4-(?P<frame>\d+)_jpg.*", "clip_mp4-12_jpg.rf.0a1b", ("clip", "12")),
        ("{video}_{frame}", "no number", None),
        ("{video}_{frame}", "clip_12b", None),
    ],
)
def test_patterns(pattern: str, name: str, found: tuple[str, str] | None) -> None:
    match = frame_pattern(pattern).fullmatch(name)
    assert (match and (match["video"], match["frame"])) == found


@pytest.mark.parametrize("pattern", ["{video}", "frame", "(?P<video>.+", r"(?P<video>.+)(\d+)"])
def test_invalid_patterns(pattern: str) -> None:
    with pytest.raises(labelferry.UsageError, match="--frames"):
        frame_pattern(pattern)


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Footage of videos that are not there, with the numbers of frames given; frames_of gives names, and findings."""

    def make(videos: dict[str, int], pattern: str | None = None, first: int = 0, step: int = 1) -> Any:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for name in videos:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()

        def count(path: str) -> FrameCount:
            frames = videos[Path(path).relative_to(folder).as_posix()]
            if not frames:
                raise labelferry.ExportError("broken", where=path, code="video-broken")
            return FrameCount(frames, 64, 48, is_uneven="uneven" in Path(path).name)

        monkeypatch.setattr(footage_module, "count_frames", count)
        made = Footage(folder, pattern and frame_pattern(pattern), first, step)  # type: ignore[arg-type]

        def run(*images: Any) -> tuple[dict[str, Any], list[Any]]:
            given = [Image(i, i) if isinstance(i, str) else Image("", f"{i[0]} {i[1]}", VideoFrame(*i)) for i in images]
            items = list(made.frames_of(given))
            findings = [one.finding for one in items if isinstance(one, Refused)]
            named = [one for one in items if isinstance(one, Image)]
            assert len({image.file_name for image in named}) == len(named) == made.count_frames()
            assert {image.size for image in named} <= {(64, 48)}
            found = {image.file_name: image.source for image in named if image.source is not UNLABELLED}
            return found, findings + [one for one in items if isinstance(one, Finding)]

        return SimpleNamespace(run=run, made=made)

    return make


def test_every_frame_of_every_video(footage: Any) -> None:
    found, findings = footage({"a.mp4": 12, "sub/b.AVI": 3}).run(("sub/b", 2), ("a", 0), ("a.mp4", 11))
    assert found == {"sub/b-2-AVI.png": "sub/b 2", "a-00-mp4.png": "a 0", "a-11-mp4.png": "a.mp4 11"}
    assert not findings


@given(data=st.data(), frames=st.lists(st.integers(1, 12), min_size=1, max_size=3), step=st.integers(1, 3))
def test_each_frame_once_whatever_the_labels(tmp_path_factory: Any, data: Any, frames: list[int], step: int) -> None:
    folder = tmp_path_factory.mktemp("videos")
    counts = {f"v{i}.mp4": count for i, count in enumerate(frames)}
    for name in counts:
        (folder / name).touch()
    labels = data.draw(st.lists(st.tuples(st.sampled_from(["v0", "v1", "x"]), st.integers(0, 13)), max_size=30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footage_module, "count_frames", lambda path: FrameCount(counts[Path(path).name], 64, 48))
        made = Footage(folder, None, 1, step)
    items = list(made.frames_of([Image("", label, VideoFrame(*label)) for label in labels]))
    findings = [one.finding for one in items if isinstance(one, Refused)]
    named = [one for one in items if isinstance(one, Image)]
    assert sorted(image.file_name for image in named) == sorted(
        frame_name(name, i, count) for name, count in counts.items() for i in range(count)
    )
    labelled = [image.source for image in named if image.source is not UNLABELLED]
    assert len(labelled) + len(findings) == len(labels), "a label was lost"
    for video, number in labelled:
        assert 0 <= (number - 1) * step < counts[f"{video}.mp4"]


def test_names_of_videos(footage: Any) -> None:
    run = footage(
        {
            "clip.mp4": 2,
            "a/clip.mp4": 2,
            "b/film.mov": 2,
            "c/film.mov": 2,
            "x.mp4": 2,
            "x.avi": 2,
            "Straße ä.mp4": 2,
            "y.z.mp4": 2,
        }
    ).run
    found, findings = run(
        ("clip", 0),
        ("images/train/a/clip", 1),  # its end is the path of one
        ("elsewhere/clip.mp4", 1),
        ("b\\film", 0),
        ("x.avi", 0),
        ("./y.z", 1),
        ("film", 0),
        ("x", 0),
        ("d/film", 0),
        ("lip", 0),
        ("Stra\u00dfe a\u0308", 1),  # as macOS stores an \u00e4
    )
    assert list(found) == [
        "clip-0-mp4.png",
        "a/clip-1-mp4.png",
        "clip-1-mp4.png",
        "b/film-0-mov.png",
        "x-0-avi.png",
        "y.z-1-mp4.png",
        "Straße ä-1-mp4.png",
    ]
    assert [finding.code for finding in findings] == ["video-ambiguous"] * 2 + ["video-missing"] * 2
    assert "b/film.mov, c/film.mov" in findings[0].message


def test_numbers(footage: Any) -> None:
    videos = {"a.mp4": 10}
    assert list(footage(videos, first=1).run(("a", 1), ("a", 10))[0]) == ["a-00-mp4.png", "a-09-mp4.png"]
    assert list(footage(videos, step=3).run(("a", 0), ("a", 3))[0]) == ["a-00-mp4.png", "a-09-mp4.png"]
    assert list(footage(videos, "{video}_{frame}", 1, 4).run("a_00001", "a_3")[0]) == ["a-00-mp4.png", "a-08-mp4.png"]


def test_faults(footage: Any) -> None:
    found, findings = footage({"a.mp4": 10, "broken.mp4": 0}, "{video}_{frame}").run(
        "a_3.png", "a_03.jpg", "a_10", "b_1", "unnamed.png", "broken_1"
    )
    assert list(found) == ["a-03-mp4.png"]
    assert [(finding.code, finding.where) for finding in findings] == [
        ("frame-twice", "a_03.jpg"),
        ("frame-beyond-video", "a_10"),
        ("video-missing", "b_1"),
        ("frame-unnamed", "unnamed.png"),
        ("frame-without-video", "broken_1"),
    ]
    assert "is --first-frame 1 meant?" in findings[1].message
    _, (finding,) = footage({"a.mp4": 10}, first=1).run(("a", 0))
    assert "is --first-frame 0 meant?" in finding.message
    _, (finding,) = footage({"a.mp4": 10}).run("a_1.png")
    assert "--frames" in finding.message
    assert [(f.code, f.kind) for f in footage({"b.mp4": 0}).made.findings] == [("video-broken", "error")]


def test_lightlys_own_names_need_no_pattern(footage: Any) -> None:
    """They count from 0, whatever the format counts from, and have as many digits as the number of frames."""
    videos = {"a.mp4": 12, "sub/b.AVI": 3, "c.d.mov": 3}
    found, findings = footage(videos, first=1, step=2).run(
        "a-07-mp4.png", "a-11-mp4.jpg", "train/sub/b-2-AVI", "c.d-0-mov", "a-12-mp4.png", "a-7-mp4.png", "x-1-mp4.png"
    )
    assert list(found) == ["a-07-mp4.png", "a-11-mp4.png", "sub/b-2-AVI.png", "c.d-0-mov.png"]
    assert [(finding.code, finding.where) for finding in findings] == [
        ("frame-beyond-video", "a-12-mp4.png"),
        ("frame-beyond-video", "a-7-mp4.png"),
        ("video-missing", "x-1-mp4.png"),
    ]
    assert "the video a.mp4 has 12 frames" in findings[1].message


def test_frames_of_uneven_videos_are_counted_otherwise_by_ffmpeg(footage: Any) -> None:
    """Which is a warning for each video, unless the names are Lightly's, or the export itself names its frames."""
    videos = {"uneven.mp4": 12, "even.mp4": 12, "uneven2.mp4": 12}
    _, findings = footage(videos, "{video}_{frame}").run("uneven_1", "even_1", "uneven_2", "uneven2_3", "uneven_12")
    assert [(one.kind, one.code, Path(one.where).name) for one in findings] == [
        ("error", "frame-beyond-video", "uneven_12"),
        ("warning", "frames-uneven", "uneven.mp4"),
        ("warning", "frames-uneven", "uneven2.mp4"),
    ]
    assert footage(videos, "{video}-{frame}-mp4").run("uneven-01-mp4.png", "uneven2-11-mp4.png")[1] == []
    assert footage(videos).run(("uneven", 1), "uneven-02-mp4.png")[1] == []


def test_files_that_lightly_does_not_read_as_videos(tmp_path: Path, fixtures: Path) -> None:
    shutil.copy(fixtures / "cvat/videos/drive.mp4", tmp_path)
    for name in ("a.mkv", "sub/b.TS"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    findings = Footage(tmp_path, None, 0, 1).findings
    assert [(one.kind, one.code, one.where) for one in findings] == [
        ("error", "video-format", f"{tmp_path}/a.mkv"),
        ("error", "video-format", f"{tmp_path}/sub/b.TS"),
    ]
    assert (
        "does not read .mkv as a video, only .avi, .hevc, .m4v, .mov, .mp4, .mpeg, .mpg, .webm" in findings[0].message
    )
    with pytest.raises(labelferry.UsageError, match=r"a\.mkv: Lightly does not read \.mkv"):
        Footage(tmp_path / "a.mkv", None, 0, 1)
    with pytest.raises(labelferry.UsageError, match=r"b\.TS: Lightly does not read \.TS"):
        Footage(tmp_path / "sub", None, 0, 1)


def test_a_video_whose_size_changes_midway(tmp_path: Path, convert: Any, fails: Any) -> None:
    """Labels are for the size of their own frame; YOLO's coordinates are parts of it."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "classes.txt").write_text("car\n")
    write_changing_video(tmp_path / "videos/a.avi", "mjpeg", [(64, 48), (128, 96)])
    for number in (1, 10):
        (tmp_path / f"labels/a_{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    images = [
        {"file_name": f"{i}.jpg", "video_id": 1, "frame_id": frame, "width": width, "height": height}
        for i, (frame, width, height) in enumerate([(0, 64, 48), (9, 128, 96), (8, 64, 48)])
    ]
    source = coco(tmp_path / "a.json", images, videos=[{"id": 1, "name": "a"}])
    found = fails(source, format="coco", videos=tmp_path / "videos")
    assert {code: [where for where, _ in examples] for code, examples in found.items()} == {
        "frame-size": ["a-08-avi.png"]
    }
    found = convert(tmp_path / "classes.txt", format="yolo", labels=tmp_path / "labels", videos=tmp_path / "videos")
    assert found["a-00-avi.png"][0]["bbox"] == [16, 12, 32, 24]
    assert found["a-09-avi.png"][0]["bbox"] == [32, 24, 64, 48]


@pytest.mark.parametrize(
    "options",
    [
        {"videos": "nowhere"},
        {"frames": "{video}_{frame}"},
        {"first_frame": 1},
        {"frame_step": 2},
        {"as_": "frames"},
        {"as_": "films"},
        {"videos": ".", "first_frame": 2},
        {"videos": ".", "frame_step": 0},
    ],
)
def test_invalid_options(fixtures: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(labelferry.UsageError):
        labelferry.convert(fixtures / "yolo/data.yaml", tmp_path, format="yolo", **options)


@pytest.fixture
def videos(fixtures: Path, tmp_path: Path) -> Path:
    """Two videos: drive.mp4 of 12 frames, sub/two.MOV of 4."""
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(fixtures / "cvat/videos/drive.mp4", folder)
    shutil.copy(fixtures / "cvat/project/videos/two.MOV", folder / "sub")
    return folder


def documented_recipe(folder: Path, labels: dict[tuple[str, int], list[Any]]) -> dict[str, Any]:
    """The loop of the documentation over a folder of videos, with labels for predictions."""
    files = {}
    for path in sorted(folder.glob("**/*.*")):
        name = path.relative_to(folder)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            predictions = [labels.get((path.stem, i), []) for i, _ in enumerate(container.decode(stream))]
        padding = len(str(len(predictions)))
        for i, prediction in enumerate(predictions):
            stem = f"{name.with_suffix('').as_posix()}-{i:0{padding}}-{path.suffix[1:]}"
            files[f"{stem}.json"] = {"file_name": f"{stem}.png", "predictions": prediction}
    return files


def written(datasource: Path, task: str) -> dict[str, Any]:
    folder = datasource / ".lightly/predictions" / task
    paths = [path for path in folder.rglob("*.json") if path.name != "schema.json"]
    return {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in paths}


@pytest.mark.parametrize("workers", [1, 2])
def test_yolo_predictions_file_by_file(videos: Path, tmp_path: Path, workers: int) -> None:
    labels = tmp_path / "runs/labels"
    labels.mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("train: not/here\nnames: [person, car]\n")
    (labels / "drive_1.txt").write_text("1 0.5 0.5 0.25 0.5 0.75\n0 0.25 0.25 0.5 0.5 0.5\n")
    (labels / "drive_12.txt").write_text("1 0.5 0.5 0.25 0.5 1\n")
    (labels / "two_2.txt").write_text("")
    options: dict[str, Any] = {"format": "yolo", "labels": labels, "videos": videos, "workers": workers}
    report = labelferry.convert(tmp_path / "data.yaml", tmp_path / "out", **options)
    assert (report.videos, report.images, report.empty_images) == (2, 16, 14)
    expected = documented_recipe(
        videos,
        {
            ("drive", 0): [
                {"category_id": 1, "bbox": [24, 12, 16, 24], "score": 0.75},
                {"category_id": 0, "bbox": [0, 0, 32, 24], "score": 0.5},
            ],
            ("drive", 11): [{"category_id": 1, "bbox": [24, 12, 16, 24], "score": 1}],
        },
    )
    assert written(tmp_path / "out", "yolo_object-detection") == expected


def test_yolo_tracks_and_strides(videos: Path, tmp_path: Path, convert: Any, fails: Any) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("person\n")
    (tmp_path / "labels/drive_2.txt").write_text("0 0.5 0.5 0.25 0.5 0.75 31\n0 0.5 0.5 0.25 0.5 0.5 7\n")
    options = {"format": "yolo", "videos": videos}
    assert "in pixels?" in fails(tmp_path / "classes.txt", track_ids=False, **options)["not-normalised"][0][1]
    for track_ids in (None, True):
        found = convert(tmp_path / "classes.txt", track_ids=track_ids, **options)
        assert [p["score"] for p in found["drive-01-mp4.png"]] == [0.75, 0.5]
        assert [note.code for note in convert.report.notes] == ["track-ids"][track_ids or 0 :]
    found = convert(tmp_path / "classes.txt", track_ids=True, vid_stride=3, **options)
    assert [name for name, predictions in found.items() if predictions] == ["drive-05-mp4.png"]
    (tmp_path / "labels/drive_5.txt").write_text("0 0.5 0.5 0.25 0.5 0.75 31\n")
    (tmp_path / "labels/gone_5.txt").write_text("0 0.5 0.5 0.25 0.5 0.75 31\n")
    (tmp_path / "labels/no number.txt").write_text("0 0.5 0.5 0.25 0.5 0.75 31\n")
    with pytest.raises(labelferry.ConversionError) as raised:
        labelferry.convert(tmp_path / "classes.txt", tmp_path / "o", track_ids=True, vid_stride=3, **options)
    assert {e.code for e in raised.value.report.errors} == {"frame-beyond-video", "video-missing", "frame-unnamed"}


def coco(path: Path, images: list[dict[str, Any]], **more: Any) -> Path:
    content = {
        "images": [{"id": i, "width": 64, "height": 48, **image} for i, image in enumerate(images)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [i, 1, 10, 10]} for i, _ in enumerate(images)
        ],
        **more,
    }
    path.write_text(json.dumps(content))
    return path


def test_coco_of_videos(videos: Path, tmp_path: Path, convert: Any, fails: Any) -> None:
    named = [{"id": 7, "name": "drive"}, {"id": "b", "name": "sub/two.MOV"}]
    images = [
        {"file_name": "x.jpg", "video_id": 7, "frame_id": 3},
        {"file_name": "y.jpg", "video_id": "b", "frame_index": 0, "frame_id": 77},
        {"file_name": "z.jpg", "video_id": 7, "frame_id": "11", "width": None, "height": None},
    ]
    source = coco(tmp_path / "a.json", images, videos=named)
    found = convert(source, format="coco", videos=videos)
    assert {name: p[0]["bbox"][0] for name, p in found.items() if p} == {
        "drive-03-mp4.png": 0,
        "sub/two-0-MOV.png": 1,
        "drive-11-mp4.png": 2,
    }
    assert list(convert(source, format="coco", on_error="skip")) == ["x.jpg", "y.jpg"]  # images without --videos
    first = coco(tmp_path / "b.json", [{"file_name": "x.jpg", "video_id": 7, "frame_id": 12}], videos=named)
    assert convert(first, format="coco", videos=videos, first_frame=1)["drive-11-mp4.png"]


def test_coco_faults(videos: Path, tmp_path: Path, fails: Any) -> None:
    images = [
        {"file_name": "a.jpg"},
        {"file_name": "b.jpg", "video_id": 1, "frame_id": "two"},
        {"file_name": "c.jpg", "video_id": 1, "frame_id": 12},
        {"file_name": "d.jpg", "video_id": 1, "frame_id": 1},
        {"file_name": "e.jpg", "video_id": 1, "frame_id": 1},
        {"file_name": "f.jpg", "video_id": 2, "frame_id": 1},
        {"file_name": "g.jpg", "video_id": 1, "frame_id": 2, "width": 640, "height": 480},
    ]
    named = [{"id": 1, "name": "drive"}, {"id": 2, "name": "gone"}]
    found = fails(coco(tmp_path / "a.json", images, videos=named), format="coco", videos=videos)
    assert {code: [where for where, _ in examples] for code, examples in found.items()} == {
        "frame-unnamed": ["a.jpg", "b.jpg"],
        "frame-beyond-video": ["c.jpg"],
        "frame-twice": ["e.jpg"],
        "video-missing": ["f.jpg"],
        "frame-size": ["drive-02-mp4.png"],
    }
    broken = coco(tmp_path / "b.json", images, videos=[{"name": "no id"}])
    assert "broken-video" in fails(broken, format="coco", videos=videos)


def test_extracted_frames_of_any_format(videos: Path, tmp_path: Path, convert: Any) -> None:
    """COCO, VOC, masks and a CSV of classes, whose images were cut out of the videos, every second frame from 1."""
    options = {"videos": videos, "frames": "{video}_{frame}", "first_frame": 1, "frame_step": 2}
    labelled = ["drive-00-mp4.png", "drive-10-mp4.png", "sub/two-2-MOV.png"]
    names = ["drive_0001.png", "drive_0006.png", "sub/two_2.png"]
    source = coco(tmp_path / "a.json", [{"file_name": name} for name in names])
    found = convert(source, format="coco", **options)
    assert [name for name, p in found.items() if p] == labelled
    assert len(found) == 16
    for name in names:
        for folder, suffix in (("xml", ".xml"), ("masks", ".png")):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            if suffix == ".png":
                mask = Picture.new("L", (64, 48))
                mask.paste(1, (2, 3, 12, 13))
                mask.save(tmp_path / folder / name)
                continue
            (tmp_path / folder / name).with_suffix(".xml").write_text(
                f"<annotation><filename>{Path(name).name}</filename><size><width>64</width><height>48</height></size>"
                "<object><name>car</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>13</ymax></bndbox>"
                "</object></annotation>"
            )
    found = convert(tmp_path / "xml", format="voc", **options)
    assert {name: p[0]["bbox"] for name, p in found.items() if p} == {name: [2, 3, 10, 10] for name in labelled}
    (tmp_path / "labels.txt").write_text("background\ncar\n")
    found = convert(tmp_path / "masks", format="masks", labels=tmp_path / "labels.txt", **options)
    assert [name for name, p in found.items() if any(q["category_id"] for q in p) or len(p) > 0] == labelled
    (tmp_path / "classes.csv").write_text("file,class\n" + "".join(f"{name},day\n" for name in names))
    assert list(convert(tmp_path / "classes.csv", format="csv", **options)) == labelled  # frames without a class: none


def test_damaged_videos_are_reported(tmp_path: Path, videos: Path, convert: Any, fails: Any) -> None:
    drive = videos / "drive.mp4"
    (videos / "none.mp4").write_bytes(drive.read_bytes()[:100])
    source = coco(tmp_path / "a.json", [{"file_name": "drive_1.png"}, {"file_name": "none_1.png"}])
    options = {"format": "coco", "videos": videos, "frames": "{video}_{frame}"}
    (error,) = fails(source, **options)["video-broken"]
    assert error[0].endswith("none.mp4")
    (videos / "none.mp4").unlink()
    write_video(videos / "cut.mp4", "mpeg4", mux={"movflags": "faststart"})
    content = (videos / "cut.mp4").read_bytes()
    (videos / "cut.mp4").write_bytes(content[: len(content) // 2])
    source = coco(tmp_path / "a.json", [{"file_name": "drive_1.png"}])
    found = convert(source, **options)
    assert [(repair.code, repair.count) for repair in convert.report.repairs] == [("video-truncated", 1)]
    assert 0 < sum(name.startswith("cut-") for name in found) < 30


def test_videos_are_not_counted_for_a_task_that_exists(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = coco(tmp_path / "a.json", [{"file_name": "drive_1.png"}])
    options: dict[str, Any] = {"format": "coco", "videos": videos, "frames": "{video}_{frame}"}
    labelferry.convert(source, tmp_path / "out", **options)
    counted: list[str] = []
    monkeypatch.setattr(footage_module, "count_frames", counted.append)
    with pytest.raises(labelferry.UsageError, match="exists"):
        labelferry.convert(source, tmp_path / "out", **options)
    assert not counted
    (tmp_path / "empty").mkdir()
    for place, words in (("empty", "no video"), ("nowhere", "does not exist")):
        with pytest.raises(labelferry.UsageError, match=words):
            labelferry.convert(source, tmp_path / "other", format="coco", videos=tmp_path / place)
    assert not (tmp_path / "other").exists(), "something was left behind"


def test_the_command(videos: Path, tmp_path: Path) -> None:
    source = coco(tmp_path / "a.json", [{"file_name": "drive_1.png"}, {"file_name": "two_3.png"}])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "labelferry",
            "convert",
            "--from",
            "coco",
            str(source),
            str(tmp_path / "out"),
        ]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    done = run("--videos", str(videos), "--frames", "{video}_{frame}", "--as", "frames")
    assert done.returncode == 0, done.stderr
    assert "16 frames of 2 videos, 14 of them without objects" in done.stdout
    failed = run("--videos", str(videos), "--overwrite")
    assert failed.returncode == 1
    assert "frame-unnamed" in failed.stderr
    for arguments in (["--as", "frames"], ["--frames", "{video}"], ["--videos", str(tmp_path / "none")]):
        assert run(*arguments, "--overwrite").returncode == 2
