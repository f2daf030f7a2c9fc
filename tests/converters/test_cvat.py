"""CVAT: every kind of shape, tracks with all frames and with keyframes alone, projects; against datumaro. Objects are
counted in the text of the XML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycoco

import labelferry
from labelferry.converters.cvat import Cvat
from labelferry.plugin.export import Request
from labelferry.report import FindingSummary
from tests.exports import check_accounting

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>1</id><name>clip</name><size>{frames}</size>
<mode>{mode}</mode><start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame><frame_filter>{filter}</frame_filter>
<labels><label><name>car</name></label><label><name>dog</name></label></labels>
<original_size><width>64</width><height>48</height></original_size><source>clip.mp4</source></task></meta>
{body}</annotations>
"""


def write(
    path: Path, body: str, frames: int = 10, mode: str = "interpolation", start: int = 0, step: int = 1, **other: Any
) -> Path:
    stop = start + (frames - 1) * step
    text = f"step={step}" if step > 1 else ""
    path.write_text(HEAD.format(body=body, frames=frames, mode=mode, start=start, stop=stop, filter=text), **other)
    return path


def counts(findings: list[FindingSummary]) -> dict[str, int]:
    """Findings by code, without the elements and attributes that are not read."""
    return {finding.code: finding.count for finding in findings if finding.code != "unread-key"}


def box(frame: int, left: float, *, outside: int = 0, keyframe: int = 1, more: str = "") -> str:
    return (
        f'<box frame="{frame}" xtl="{left}" ytl="10" xbr="{left + 10}" ybr="20" outside="{outside}" occluded="0" '
        f'keyframe="{keyframe}" {more}/>\n'
    )


def test_boxes_around_every_kind_of_shape(convert: Any, fixtures: Path) -> None:
    found = convert(fixtures / "cvat/images/annotations.xml", format="cvat", task="object-detection")
    assert [(p["category_id"], p["bbox"]) for p in found["all shapes.png"]] == [
        (1, [8, 6, 20, 10]),
        (1, [45, 5, 10, 20]),
        (0, [30, 20, 20, 20]),
        (0, [31, 21, 2, 4]),
        (1, [2, 30, 4, 2]),
        (0, [42, 32, 16, 8]),
        (1, [4, 18, 10, 10]),
        (2, [20, 24, 2, 16]),
    ]
    assert found["sub/empty.png"] == []
    assert [category["name"] for category in convert.schema["categories"]] == ["person", "car", "pose", "sunny"]
    assert {(finding.code, finding.count) for finding in convert.report.repairs} == {
        ("polyline-left-out", 1),
        ("rotation-lost", 1),
    }


def test_masks_of_polygons_masks_and_ellipses(convert: Any, fixtures: Path) -> None:
    found = convert(fixtures / "cvat/images/annotations.xml", format="cvat", task="instance-segmentation")
    polygon, mask, ellipse = found["all shapes.png"]
    expected = pycoco.decode(pycoco.frPyObjects([[30, 20, 50, 20, 30, 40]], 48, 64))[..., 0]
    np.testing.assert_array_equal(labelferry.decode(polygon["segmentation"], (48, 64)), expected)
    by_hand = np.zeros((48, 64), bool)
    by_hand[30, [3, 4]] = True  # rle 1, 2, 1, 4 over 4 x 2 pixels at 2, 30
    by_hand[31, 2:6] = True
    np.testing.assert_array_equal(labelferry.decode(mask["segmentation"], (48, 64)), by_hand)
    y, x = np.mgrid[:48, :64] + 0.5
    inside = ((x - 50) / 8) ** 2 + ((y - 36) / 4) ** 2 <= 1
    assert (labelferry.decode(ellipse["segmentation"], (48, 64)) != inside).sum() <= 12  # pixels on its edge
    assert counts(convert.report.notes) == {"tag-left-out": 1}
    assert counts(convert.report.repairs) == {"polyline-left-out": 1, "segmentation-missing": 5}


def test_keypoints_of_skeletons_and_points(convert: Any, fixtures: Path) -> None:
    found = convert(fixtures / "cvat/images/annotations.xml", format="cvat")
    assert convert.report.task_type == "keypoint-detection"
    points, skeleton = found["all shapes.png"]
    assert points["keypoints"] == [31, 21, 1, 33, 25, 1]
    assert skeleton["keypoints"] == [20, 24, 1, 22, 40, 0.5]  # in the label's order, occluded 0.5
    assert skeleton["bbox"] == [20, 24, 2, 16]
    assert convert.schema["categories"][2] == {
        "id": 2,
        "name": "pose",
        "keypoints": ["head", "foot"],
        "skeleton": [[1, 2]],
    }


def test_tags_are_classes(convert: Any, fixtures: Path, fails: Any, tmp_path: Path) -> None:
    source = fixtures / "cvat/images/annotations.xml"
    found = convert(source, format="cvat", task="classification", on_error="skip")
    assert found["all shapes.png"][0]["category_id"] == 3
    assert [finding.code for finding in convert.report.errors] == ["class-missing"]  # the image without a tag


@pytest.mark.parametrize("task", ["object-detection", "instance-segmentation", "keypoint-detection"])
def test_keyframes_give_what_all_frames_give(convert: Any, fixtures: Path, task: str) -> None:
    options = {"format": "cvat", "task": task, "videos": fixtures / "cvat/videos", "task_name": "t"}
    listed = convert(fixtures / "cvat/video/annotations.xml", **options)
    between = convert(fixtures / "cvat/keyframes/annotations.xml", **options)
    assert listed.keys() == between.keys() == {f"drive-{i:02}-mp4.png" for i in range(12)}
    assert sum(map(len, listed.values())) == {"object-detection": 23, "keypoint-detection": 5}.get(task, 10)
    assert listed == between


def test_as_images_of_a_video(convert: Any, fixtures: Path) -> None:
    found = convert(fixtures / "cvat/keyframes/annotations.xml", format="cvat", task="object-detection")
    assert list(found) == [f"frame_{i:06}.png" for i in range(12)]
    assert found["frame_000003.png"][0]["bbox"] == [8, 10, 16, 10]


def test_a_project_of_two_videos(convert: Any, fixtures: Path) -> None:
    source, videos = fixtures / "cvat/project/annotations.xml", fixtures / "cvat/project/videos"
    found = convert(source, format="cvat", videos=videos)
    assert {name for name, predictions in found.items() if predictions} == {"one-0-avi.png", "two-1-MOV.png"}
    assert len(found) == 7
    assert convert.report.videos == 2
    images = convert(source, format="cvat", only="two")
    assert list(images) == [f"two/frame_{i:06}.png" for i in range(4)]
    with pytest.raises(labelferry.ExportError, match="no task 'three'; it has one, two"):
        labelferry.convert(source, "nowhere", format="cvat", only="three")


def datumaro_boxes(path: Path) -> dict[int, list[tuple[int, list[float]]]]:
    """Boxes by frame as datumaro reads them, without those outside."""
    base = pytest.importorskip("datumaro.plugins.data_formats.cvat.base")
    found: dict[int, list[tuple[int, list[float]]]] = {}
    for item in base.CvatBase(str(path)):
        rows = found.setdefault(item.attributes["frame"], [])
        for annotation in item.annotations:
            if not annotation.attributes.get("outside"):
                rows.append((annotation.label, [round(float(value), 6) for value in annotation.get_bbox()]))
    return found


def ours(found: dict[str, Any]) -> dict[int, list[tuple[int, list[float]]]]:
    rows = {}
    for name, predictions in found.items():
        number = int(name.removesuffix(".png").rpartition("_")[2])
        rows[number] = [(p["category_id"], [round(value, 6) for value in p["bbox"]]) for p in predictions]
    return {number: row for number, row in rows.items() if row}


def test_listed_frames_against_datumaro(convert: Any, fixtures: Path, tmp_path: Path) -> None:
    """The fixture without its skeletons, which datumaro does not know."""
    text = (fixtures / "cvat/video/annotations.xml").read_text()
    source = tmp_path / "annotations.xml"
    source.write_text(text[: text.index('  <track id="2"')] + "</annotations>\n")
    found = convert(source, format="cvat", task="object-detection")
    assert ours(found) == datumaro_boxes(source)


def test_interpolation_against_the_documentations_export(convert: Any, tmp_path: Path) -> None:
    """An excerpt of the export in CVAT's own documentation: frame 111 is CVAT's interpolation of 110 and 112."""
    track = (
        '<track id="0" label="car"><box frame="110" xtl="634.12" ytl="37.68" xbr="661.50" ybr="71.37" outside="0" '
        'occluded="1" keyframe="1"/>{between}<box frame="112" xtl="634.30" ytl="39.32" xbr="661.67" ybr="73.01" '
        'outside="1" occluded="1" keyframe="1"/></track>'
    )
    between = (
        '<box frame="111" xtl="634.21" ytl="38.50" xbr="661.59" ybr="72.19" outside="0" occluded="1" keyframe="0"/>'
    )
    listed = write(tmp_path / "listed.xml", track.format(between=between), 200)
    keyframes = write(tmp_path / "keyframes.xml", track.format(between=""), 200)
    for path in (listed, keyframes):
        path.write_text(path.read_text().replace("<width>64</width><height>48<", "<width>1280</width><height>720<"))
    theirs = datumaro_boxes(listed)
    found = ours(convert(keyframes, format="cvat"))
    assert found.keys() == theirs.keys() - {112} == {110, 111}
    np.testing.assert_allclose(found[111][0][1], theirs[111][0][1], atol=0.0101)  # which has two digits


def test_images_against_datumaro(convert: Any, fixtures: Path, tmp_path: Path) -> None:
    base = pytest.importorskip("datumaro.plugins.data_formats.cvat.base")
    text = (fixtures / "cvat/images/annotations.xml").read_text()
    begin, end = text.index("    <ellipse"), text.index("    <tag")
    source = fixtures / "cvat/images/annotations.xml"
    copy = tmp_path / "annotations.xml"
    copy.write_text(text[:begin] + text[end:])
    (tmp_path / "images").symlink_to(source.parent / "images")
    found = convert(copy, format="cvat", task="instance-segmentation")
    theirs = {item.id: item.annotations for item in base.CvatBase(str(copy))}
    masks = [a.image for a in theirs["all shapes"] if a.type.name == "mask"]
    np.testing.assert_array_equal(
        labelferry.decode(found["all shapes.png"][1]["segmentation"], (48, 64)), np.array(masks[0]) > 0
    )


def test_frame_steps_are_kept(convert: Any, tmp_path: Path) -> None:
    """A task of every fifth frame from the tenth: nothing between, and the track goes on to the last."""
    body = f'<track id="0" label="car">{box(10, 0)}{box(20, 10)}</track>'
    found = convert(write(tmp_path / "a.xml", body, frames=4, start=10, step=5), format="cvat")
    assert ours(found) == {number: [(0, [left, 10, 10, 10])] for number, left in ((10, 0), (15, 5), (20, 10), (25, 10))}


def test_turned_boxes_between_keyframes(convert: Any, tmp_path: Path) -> None:
    """Turned by 350 and 10 degrees: half-way it is upright."""
    body = (
        f'<track id="0" label="car">{box(0, 20, more=chr(39).join(("rotation=", "350", "")))}'
        f"{box(2, 20, more=chr(39).join(('rotation=', '10', '')))}{box(3, 20, outside=1)}</track>"
    )
    found = convert(write(tmp_path / "a.xml", body), format="cvat")
    assert ours(found)[1] == [(0, [20, 10, 10, 10])]
    width = 10 * (np.cos(np.radians(10)) + np.sin(np.radians(10)))
    assert ours(found)[0][0][1][2] == pytest.approx(width, abs=1e-5)


def test_several_points_stay_and_one_moves(convert: Any, tmp_path: Path) -> None:
    def points(frame: int, text: str) -> str:
        return f'<points frame="{frame}" points="{text}" outside="0" occluded="0" keyframe="1"/>'

    body = (
        f'<track id="0" label="car">{points(0, "10,10")}{points(2, "20,20")}</track>'
        f'<track id="1" label="dog">{points(0, "10,10;12,12")}{points(2, "20,20;22,22")}</track>'
    )
    found = convert(write(tmp_path / "a.xml", body, frames=3), format="cvat")
    one, two = found["frame_000001.png"]
    assert one["keypoints"] == [15, 15, 1]
    assert two["keypoints"] == [10, 10, 1, 12, 12, 1]


def test_faults_are_named_with_their_lines(fails: Any, tmp_path: Path) -> None:
    body = (
        '<image id="0" name="a.png" width="64" height="48">\n'
        '<box label="cat" xtl="1" ytl="1" xbr="5" ybr="5"/>\n'
        '<box label="car" xtl="1" ytl="one" xbr="5" ybr="5"/>\n'
        '<polygon label="car" points="1,1;2"/>\n'
        '<mask label="car" rle="1, 2" left="60" top="1" width="10" height="2"/>\n'
        '<mask label="car" rle="1, 2" left="6" top="1" width="10" height="2"/>\n'
        "</image>\n"
    )
    source = write(tmp_path / "a.xml", body, mode="annotation")
    found = fails(source, format="cvat", task="instance-segmentation", strict=True)
    assert [where.rpartition(":")[2] for where, _ in found["unknown-category"]] == ["7"]
    assert [where.rpartition(":")[2] for where, _ in found["broken-shape"]] == ["8", "9", "10", "11"]
    found = fails(source, format="cvat", task="object-detection")
    assert [where.rpartition(":")[2] for where, _ in found["broken-shape"]] == ["8", "9"]


def test_broken_tracks(fails: Any, tmp_path: Path) -> None:
    polygon = '<polygon frame="4" points="1,1;9,1;9,9" outside="0" keyframe="1"/>'
    body = (
        f'<track id="0" label="car">{box(0, 1)}{polygon}</track>'
        f'<track id="1" label="car">{box(0, 1)}{box(0, 2)}</track>'
        '<track id="2" label="car"><box xtl="1" ytl="1" xbr="5" ybr="5"/></track>'
    )
    found = fails(write(tmp_path / "a.xml", body), format="cvat", task="object-detection")
    assert found.keys() == {"track-mixed", "frame-twice", "broken-shape"}


def test_images_in_the_format_for_video_have_no_names(fails: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "a.xml", f'<track id="0" label="car">{box(0, 1)}</track>', mode="annotation")
    assert "images-unnamed" in fails(source, format="cvat")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<annotation><object/></annotation>", "not-cvat"),
        ("<annotations><image>", "broken-xml"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "refused-xml"),
        ("", "broken-xml"),
    ],
)
def test_what_is_no_export(fails: Any, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    assert code in fails(tmp_path / "a.xml", format="cvat")


def test_a_folder_of_files_merges_labels_by_name(convert: Any, tmp_path: Path) -> None:
    for name, label in (("a", "car"), ("b", "dog")):
        (tmp_path / name).mkdir()
        box = f'<box label="{label}" xtl="1" ytl="1" xbr="5" ybr="5"/>'
        body = f'<image id="0" name="{name}.png" width="64" height="48">{box}</image>'
        text = write(tmp_path / name / "annotations.xml", body, mode="annotation").read_text()
        if name == "b":  # labels in another order
            text = text.replace("<name>car</name>", "<name>x</name>").replace("<name>dog</name>", "<name>car</name>")
            (tmp_path / "b/annotations.xml").write_text(text.replace("<name>x</name>", "<name>dog</name>"))
    found = convert(tmp_path, format="cvat")
    assert {name: predictions[0]["category_id"] for name, predictions in found.items()} == {"a.png": 0, "b.png": 1}


def test_no_number_of_frames_makes_it_go_on_for_ever(fails: Any, tmp_path: Path) -> None:
    body = f'<track id="0" label="car">{box(0, 1)}</track>'
    assert "broken-task" in fails(write(tmp_path / "a.xml", body, frames=10**14), format="cvat")
    body = f'<track id="0" label="car">{box(0, 1)}{box(10**14, 1)}</track>'
    assert "broken-shape" in fails(write(tmp_path / "b.xml", body), format="cvat")


SHAPE = re.compile(r"<(?:box|polygon|polyline|points|ellipse|cuboid|mask|tag)\b[^>]*>")
TASKS = ["classification", "object-detection", "keypoint-detection", "instance-segmentation", "semantic-segmentation"]


def listed_objects(path: Path) -> int:
    """Shapes in the text of an XML file: those that are outside, and the elements of skeletons, are no objects."""
    text = path.read_text()
    skeletons = re.findall(r"<skeleton\b.*?</skeleton>", text, re.S)
    others = SHAPE.findall(re.sub(r"<skeleton\b.*?</skeleton>", "", text, flags=re.S))
    return sum('outside="1"' not in shape for shape in others) + sum('outside="0"' in one for one in skeletons)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["images", "video", "keyframes", "project"])
def test_every_listed_shape_is_counted(name: str, task: str, fixtures: Path, convert: Any) -> None:
    path = fixtures / "cvat" / name / "annotations.xml"
    if task not in (obtainable := labelferry.task_type.obtainable(Cvat(path).open(Request()).tasks)):
        pytest.skip(f"it holds {', '.join(obtainable)}")
    videos = {"project": "project/videos", "images": ""}.get(name, "videos")
    for options in ({}, {"videos": fixtures / "cvat" / videos}) if videos else ({},):
        convert(path, format="cvat", task=task, on_error="skip", task_name="t", **options)
        check_accounting(convert.report)
        assert convert.report.found_objects == listed_objects(path)
        listed = fixtures / "cvat/video/annotations.xml"
        between = listed_objects(listed) - listed_objects(path) if name == "keyframes" else 0
        if name != "project":  # whose tracks are outside after a frame
            assert convert.report.interpolated_objects == between


@pytest.mark.parametrize(
    ("task", "notes", "repairs"),
    [
        ("classification", {"shape-left-out": 9}, {}),
        ("object-detection", {"tag-left-out": 1}, {"polyline-left-out": 1, "rotation-lost": 1}),
        (
            "keypoint-detection",
            {"tag-left-out": 1, "keypoints-unnamed": 1},
            {"polyline-left-out": 1, "keypoints-missing": 6},
        ),
        ("instance-segmentation", {"tag-left-out": 1}, {"polyline-left-out": 1, "segmentation-missing": 5}),
        ("semantic-segmentation", {"tag-left-out": 1}, {"polyline-left-out": 1, "segmentation-missing": 5}),
    ],
)
def test_shapes_that_a_task_type_has_no_place_for_are_counted(
    task: str, notes: dict[str, int], repairs: dict[str, int], fixtures: Path, convert: Any
) -> None:
    convert(fixtures / "cvat/images/annotations.xml", format="cvat", task=task, on_error="skip")
    assert counts(convert.report.notes) == notes
    assert counts(convert.report.repairs) == repairs
    kept = {
        "tag-left-out": "--task classification",
        "shape-left-out": "--task object-detection",
        "keypoints-missing": "--task object-detection",
        "segmentation-missing": "--task object-detection",
    }
    for note in convert.report.notes:
        if note.code in ("unread-key", "keypoints-unnamed"):
            continue
        assert all(kept[note.code] in text or "<polyline>" in text for _, text in note.examples)


def images(*shapes: str) -> str:
    return f'<image id="0" name="a.png" width="64" height="48">{"".join(shapes)}</image>'


BOX = '<box label="car" xtl="1" ytl="2" xbr="5" ybr="9"/>'


def test_an_image_without_a_tag_has_no_class_whatever_shapes_it_has(fails: Any, tmp_path: Path) -> None:
    tagged = images('<tag label="dog"/>').replace("a.png", "b.png")
    found = fails(write(tmp_path / "a.xml", images(BOX) + tagged), format="cvat", task="classification")
    assert [where for where, _ in found["class-missing"]] == ["a.png"]


def test_a_shape_that_is_outside_is_no_object(convert: Any, tmp_path: Path) -> None:
    skeleton = '<skeleton frame="0" keyframe="1"><points label="head" outside="1" points="1,1"/></skeleton>'
    tracks = (box(0, 1) + box(1, 1, outside=1), skeleton)
    body = "".join(f'<track id="{i}" label="car">{shapes}</track>' for i, shapes in enumerate(tracks))
    found = convert(write(tmp_path / "a.xml", body, frames=3), format="cvat", task="object-detection")
    assert [len(predictions) for predictions in found.values()] == [1, 0, 0]
    report = convert.report
    assert (report.found_objects, report.interpolated_objects, report.lost_objects) == (1, 0, 0)


@pytest.mark.parametrize("task", ["object-detection", "keypoint-detection"])
def test_a_skeleton_of_an_image_without_a_visible_point_is_reported(convert: Any, tmp_path: Path, task: str) -> None:
    hidden = '<skeleton label="dog"><points label="head" outside="1" points="1,1"/></skeleton>'
    shown = '<skeleton label="car"><points label="head" outside="0" points="3,4"/></skeleton>'
    body = images(hidden, shown, '<skeleton label="dog"></skeleton>', '<points label="dog" outside="1" points="1,1"/>')
    convert(write(tmp_path / "a.xml", body, mode="annotation"), format="cvat", task=task)
    assert counts(convert.report.repairs)["no-visible-point"] == 3
    assert (convert.report.found_objects, convert.report.lost_objects) == (4, 3)


def test_of_two_shapes_of_a_track_in_a_frame_the_first_is_taken(convert: Any, tmp_path: Path) -> None:
    tracks = (
        f"{box(0, 1)}{box(0, 2)}{box(2, 3)}{box(3, 3, outside=1)}",
        f"{box(1, 20)}{box(1, 20, outside=1)}{box(2, 20, outside=1)}",
        f"{box(1, 30, outside=1)}{box(1, 30)}",
    )
    body = "".join(f'<track id="{i}" label="car">{shapes}</track>' for i, shapes in enumerate(tracks))
    found = convert(write(tmp_path / "a.xml", body, frames=4), format="cvat", on_error="skip")
    lefts = [[p["bbox"][0] for p in predictions] for predictions in found.values()]
    assert lefts == [[1], [2, 20], [3], []]  # 2 is between 1 and 3
    (error,) = convert.report.errors
    assert (error.code, error.count) == ("frame-twice", 3)
    report = convert.report
    assert (report.found_objects, report.interpolated_objects, report.lost_objects) == (5, 1, 2)


def test_what_cannot_be_read_of_a_file_is_lost_and_counted(convert: Any, tmp_path: Path) -> None:
    """Of 12 shapes a box, a polygon and a tag are sound."""
    body = (
        images(
            BOX,
            '<tag label="dog"/>',
            '<box label="cat" xtl="1" ytl="1" xbr="5" ybr="5"/>',
            '<box label="car" xtl="1" ytl="one" xbr="5" ybr="5"/>',
            '<mask label="car" rle="1" left="1e999" top="1" width="1" height="1"/>',
            '<circle label="car" cx="1" cy="2" r="3"/>',
            f'<polygon label="car" points="1,1;9,1;9,9">{BOX}</polygon>',
        )
        + BOX
        + '<track id="0" label="car"><box xtl="1" ytl="1" xbr="5" ybr="5"/><circle frame="0" r="1"/>'
        + '<box outside="1" xtl="1" ytl="1" xbr="5" ybr="5"/>'
        + '<skeleton><points label="head" outside="0" points="1,1"/></skeleton></track>'
    )
    path = write(tmp_path / "a.xml", body, frames=1)
    convert(path, format="cvat", task="object-detection", on_error="skip")
    assert counts(convert.report.errors) == {"unknown-category": 1, "broken-shape": 9}
    check_accounting(convert.report)
    assert convert.report.found_objects == 12
    assert convert.report.objects == {"car": 2, "dog": 0}


def test_interpolated_shapes_that_are_lost_are_counted(convert: Any, tmp_path: Path) -> None:
    """Frames 1 and 2 are between; a box without a coordinate is not moved to 0."""
    line = '<polyline frame="{}" points="1,1;9,9" outside="0" keyframe="1"/>'
    broken = box(3, 30).replace('ytl="10"', "")
    tracks = (line.format(0) + line.format(3), box(0, 20) + broken, box(0, 40) + box(3, 46))
    body = "".join(f'<track id="{i}" label="car">{shapes}</track>' for i, shapes in enumerate(tracks))
    found = convert(write(tmp_path / "a.xml", body, frames=4), format="cvat", on_error="skip")
    lefts = [[p["bbox"][0] for p in predictions] for predictions in found.values()]
    assert lefts == [[20, 40], [42], [44], [46]]
    report = convert.report
    assert counts(report.repairs) == {"polyline-left-out": 4}
    assert counts(report.errors) == {"broken-shape": 3}
    assert (report.found_objects, report.interpolated_objects, report.lost_objects) == (6, 6, 7)


def test_shapes_beyond_the_frames_of_the_task_are_kept_with_a_warning(convert: Any, tmp_path: Path) -> None:
    """The task has the frames 10, 15 and 20."""
    body = f'<track id="0" label="car">{box(5, 0)}{box(12, 7)}{box(25, 20)}</track>'
    path = write(tmp_path / "a.xml", body, frames=3, start=10, step=5)
    found = convert(path, format="cvat")
    lefts = {number: row[0][1][0] for number, row in ours(found).items()}
    assert lefts == {5: 0, 10: 5, 12: 7, 15: 10, 20: 15, 25: 20}
    (warning,) = convert.report.warnings
    assert (warning.code, warning.count) == ("frame-beyond-task", 3)
    assert "frame 5 is not one of the task's 3 frames, from 10" in warning.examples[0][1]
    assert (convert.report.found_objects, convert.report.interpolated_objects) == (3, 3)
    assert Cvat(path).open(Request()).count_images() == len(found)
    path.write_text(write(path, body, frames=0).read_text().replace("<stop_frame>-1</stop_frame>", ""))
    assert list(convert(path, format="cvat")) == [f"frame_0000{n}.png" for n in ("05", "12", "25")]


def test_only_counts_the_shapes_of_other_tasks_and_knows_the_task_types_of_its_own(
    fixtures: Path, convert: Any, tmp_path: Path
) -> None:
    text = (fixtures / "cvat/project/annotations.xml").read_text()
    polygon = '<polygon frame="1" points="1,1;9,1;9,9" outside="0" keyframe="1"/>'
    source = tmp_path / "a.xml"
    source.write_text(
        text.replace("</annotations>", f'<track id="7" label="car" task_id="6">{polygon}</track></annotations>')
    )
    convert(source, format="cvat", only="one")
    assert convert.report.task_type == "object-detection"
    assert counts(convert.report.notes) == {"task-left-out": 2}
    assert convert.report.found_objects == listed_objects(source) == 3
    convert(source, format="cvat", only="6")
    assert convert.report.task_type == "instance-segmentation"
    check_accounting(convert.report)


def test_tracks_of_a_task_that_the_head_does_not_list_are_lost(fixtures: Path, convert: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.xml"
    text = (fixtures / "cvat/project/annotations.xml").read_text()
    source.write_text(text.replace('id="6" label="car" task_id="6"', 'id="6" label="car" task_id="8"'))
    convert(source, format="cvat", on_error="skip")
    (error,) = convert.report.errors
    (where, message), *_ = error.examples
    assert (error.code, where, "'8'" in message) == ("unknown-task", f"{source}:24", True)
    assert (convert.report.found_objects, convert.report.lost_objects) == (2, 1)


def test_one_task_need_not_be_named(convert: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", images(BOX), mode="annotation")
    assert (
        convert(path, format="cvat", only="1")
        == convert(path, format="cvat", only="clip")
        == convert(path, format="cvat")
    )


def test_images_and_tracks_in_one_file_are_both_read(convert: Any, tmp_path: Path) -> None:
    body = images(BOX) + f'<track id="0" label="car">{box(1, 4)}</track>' + images(BOX).replace("a.png", "b.png")
    found = convert(write(tmp_path / "a.xml", body, frames=2), format="cvat")
    assert {name: len(predictions) for name, predictions in found.items()} == {
        "a.png": 1,
        "b.png": 1,
        "frame_000000.png": 0,
        "frame_000001.png": 1,
    }


def test_objects_of_what_is_refused_are_lost(tmp_path: Path) -> None:
    sizeless = images(BOX, BOX).replace('width="64" height="48"', "")
    path = write(tmp_path / "a.xml", sizeless, mode="annotation")
    path.write_text(re.sub("<original_size>.*</original_size>", "", path.read_text()))
    unnamed = write(tmp_path / "b.xml", f'<track id="0" label="car">{box(0, 1)}{box(3, 1)}</track>', mode="annotation")
    for source, code in ((path, "image-size"), (unnamed, "images-unnamed")):
        report = labelferry.convert(source, tmp_path / "out", format="cvat", on_error="skip", overwrite=True)
        assert [(error.code, error.count) for error in report.errors] == [(code, 1)]
        assert (report.found_objects, report.lost_objects) == (2, 2)


def test_skeletons_between_keyframes_need_no_head(convert: Any, tmp_path: Path) -> None:
    """Elements in another order, and one that is at the first keyframe alone."""

    def skeleton(frame: int, **points: str) -> str:
        elements = "".join(f'<points label="{name}" outside="0" points="{at}"/>' for name, at in points.items())
        return f'<skeleton frame="{frame}" keyframe="1">{elements}</skeleton>'

    body = (
        f'<track id="0" label="pose">{skeleton(0, a="1,1", b="9,9", c="5,5")}{skeleton(2, b="11,9", a="3,1")}</track>'
    )
    path = write(tmp_path / "a.xml", body, frames=3)
    text = re.sub("<labels>.*</labels>", "", path.read_text(), flags=re.S)
    path.write_text(text)
    found = convert(path, format="cvat")
    assert found["frame_000001.png"][0]["keypoints"] == [2, 1, 1, 10, 9, 1, 5, 5, 1]


PROJECT = """<annotations><version>1.1</version><meta><project><id>3</id><name>p</name><tasks>
<task><id>5</id><name>one</name><size>2</size><mode>annotation</mode></task>
<task><id>6</id><name>two</name><size>1</size><mode>annotation</mode></task></tasks>
<labels><label><name>car</name></label><label><name>dog</name></label></labels></project></meta>
{body}</annotations>
"""


def project(path: Path, *images: tuple[str, str, str]) -> Path:
    """An XML file with a box in each image, given by name, subset and task."""
    path.parent.mkdir(parents=True, exist_ok=True)
    elements = (
        f'<image id="{i}" name="{name}" subset="{subset}" task_id="{task}" width="64" height="48">{BOX}</image>\n'
        for i, (name, subset, task) in enumerate(images)
    )
    path.write_text(PROJECT.format(body="".join(elements)))
    return path


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


TWO = (("a.png", "train", "5"), ("b.png", "default", "6"))
PLAIN, NESTED = ("a.png", "b.png"), ("train/a.png", "default/b.png")


@pytest.mark.parametrize("names", [PLAIN, NESTED, ("train/a.png", "b.png")])
def test_whether_subsets_are_folders_is_seen_in_the_images_beside(
    names: tuple[str, ...], tmp_path: Path, convert: Any
) -> None:
    path = project(tmp_path / "x/annotations.xml", *TWO)
    pictures(tmp_path / "x/images", *names)
    pictures(tmp_path / "other", *PLAIN, *NESTED)
    for options in ({}, {"input": tmp_path / "other"}):  # which is not asked
        assert set(convert(path, format="cvat", **options)) == set(names)


@pytest.mark.parametrize("names", [PLAIN, NESTED])
def test_whether_subsets_are_folders_is_seen_in_the_input_datasource(
    names: tuple[str, ...], tmp_path: Path, convert: Any
) -> None:
    path = project(tmp_path / "x/annotations.xml", *TWO, ("c.png", "test", "6"))
    source = pictures(tmp_path / "photos", *names)
    unseen = "test/c.png" if names == NESTED else "c.png"
    assert set(convert(path, format="cvat", input=source)) == {*names, unseen}, "as the others"
    assert counts(convert.report.warnings) == {"image-not-in-input": 1}


def test_without_images_subsets_are_no_folders_unless_names_collide(tmp_path: Path, convert: Any, fails: Any) -> None:
    path = project(tmp_path / "b.xml", *TWO, ("a.png", "test", "6"))
    ((_, message),) = fails(path, format="cvat", on_error="skip")["ambiguous"]
    assert "--subset-folders or --no-subset-folders" in message
    assert "name-collision" in fails(path, format="cvat", subset_folders=False)
    assert set(convert(path, format="cvat", subset_folders=True)) == {*NESTED, "test/a.png"}
    assert set(convert(project(tmp_path / "a.xml", *TWO), format="cvat")) == set(PLAIN)


def test_if_an_image_exists_in_both_places_the_user_is_asked(tmp_path: Path, convert: Any, fails: Any) -> None:
    path = project(tmp_path / "x/annotations.xml", *TWO)
    pictures(tmp_path / "x/images", "a.png", "train/a.png", "b.png")
    ((_, message),) = fails(path, format="cvat")["ambiguous"]
    assert message.startswith("both 'a.png' and 'train/a.png' exist: say --subset-folders")
    assert set(convert(path, format="cvat", subset_folders=False)) == set(PLAIN)


def test_a_name_that_is_twice_in_one_subset_is_a_collision(tmp_path: Path, fails: Any) -> None:
    path = project(tmp_path / "a.xml", ("a.png", "train", "5"), ("a.png", "train", "6"))
    assert "name-collision" in fails(path, format="cvat")


def test_images_beside_that_are_missing_or_not_listed_are_reported(tmp_path: Path, convert: Any) -> None:
    path = project(tmp_path / "x/annotations.xml", *TWO)
    pictures(tmp_path / "x/images", "train/a.png", "train/c.png")
    convert(path, format="cvat")
    assert counts(convert.report.warnings) == {"image-not-found": 1}
    assert counts(convert.report.notes) == {"image-not-listed": 1}


def test_the_source_beside_the_task_is_read_as_older_versions_write_it(
    convert: Any, fixtures: Path, tmp_path: Path
) -> None:
    text = (fixtures / "cvat/video/annotations.xml").read_text()
    source = tmp_path / "annotations.xml"
    source.write_text(
        text.replace("<source>drive.mp4</source>", "")
        .replace("<name>drive<", "<name>x<")
        .replace("</task>", "</task><source>drive.mp4</source>")
    )
    options = {"format": "cvat", "videos": fixtures / "cvat/videos", "task": "object-detection", "task_name": "t"}
    assert convert(source, **options) == convert(fixtures / "cvat/video/annotations.xml", **options)


def one_image(path: Path, *shapes: str) -> Path:
    return write(path, images(*shapes), mode="annotation")


@pytest.mark.parametrize(
    "shape",
    [
        '<polygon label="car" points="1,1;9,1;9,9;"/>',
        '<polygon label="car" points="1,1;;9,1;9,9"/>',
        '<polygon label="car" points="1,1;9,1"/>',
        '<polygon label="car" points="1,1;9,1_0;9,9"/>',
        '<polygon label="car" points="1,1;9,nan;9,9"/>',
        '<box label="car" xtl="1_0" ytl="1" xbr="20" ybr="5"/>',
        '<box label="car" xtl="9" ytl="1" xbr="5" ybr="5" rotation="10"/>',
        '<box label="car" xtl="1" ytl="1" xbr="5" ybr="5" rotation="x"/>',
        '<ellipse label="car" cx="9" cy="9" rx="-4" ry="2"/>',
        '<mask label="car" rle="1, 1" left="2.5" top="1" width="2" height="1"/>',
        '<mask label="car" rle="1, 1" left="2" top="1" width="-2" height="1"/>',
        '<skeleton label="car"><points label="a" outside="0" occluded="0" points="1,1;2,2"/></skeleton>',
        '<skeleton label="car"><points label="a" outside="x" occluded="0" points="1,1"/></skeleton>',
        '<skeleton label="car"><points label="a" outside="0" occluded="yes" points="1,1"/></skeleton>',
        '<skeleton label="car"><point label="a" outside="0" occluded="0" points="1,1"/></skeleton>',
        '<skeleton label="car" outside="no"><points label="a" outside="0" occluded="0" points="1,1"/></skeleton>',
        '<skeleton label="car"><points label="a" outside="0" occluded="0" points="1,1"/>'
        '<points label="a" outside="0" occluded="0" points="2,2"/></skeleton>',
        '<circle label="car" cx="1" cy="1" r="2"/>',
    ],
)
def test_a_shape_that_cannot_be_read_is_an_error_and_lost(shape: str, tmp_path: Path, convert: Any) -> None:
    path = one_image(tmp_path / "a.xml", shape, BOX)
    found = convert(path, format="cvat", task="object-detection", on_error="skip")
    assert [p["bbox"] for p in found["a.png"]] == [[1, 2, 4, 7]]
    assert counts(convert.report.errors) in ({"broken-shape": 1}, {"box-negative-size": 1})
    assert (convert.report.found_objects, convert.report.lost_objects) == (2, 1)


def test_a_mask_with_garbage_in_its_run_lengths_is_an_error(tmp_path: Path, fails: Any) -> None:
    for rle in ("1, 1_0", "1, x", "", "1, 2, -1", "1"):
        mask = f'<mask label="car" rle="{rle}" left="2" top="1" width="2" height="1"/>'
        assert "broken-shape" in fails(one_image(tmp_path / "a.xml", mask), format="cvat")


@pytest.mark.parametrize("value", ["x", "", "2", "True"])
@pytest.mark.parametrize("flag", ["outside", "keyframe"])
def test_a_flag_of_a_track_that_is_neither_0_nor_1_is_an_error(
    flag: str, value: str, tmp_path: Path, convert: Any
) -> None:
    last = box(1, 2).replace(f'{flag}="{int(flag == "keyframe")}"', f'{flag}="{value}"')
    path = write(tmp_path / "a.xml", f'<track id="0" label="car">{box(0, 1)}{last}</track>', frames=2)
    convert(path, format="cvat", on_error="skip")
    assert counts(convert.report.errors) == {"broken-shape": 1}
    assert convert.report.found_objects == 2


def test_attributes_that_cvat_writes_and_that_are_missing_are_a_warning(tmp_path: Path, convert: Any) -> None:
    shape = '<box frame="0" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    skeleton = '<skeleton frame="0" keyframe="1"><points label="a" points="1,1"/></skeleton>'
    body = f'<track id="0" label="car">{shape}</track><track id="1" label="car">{skeleton}</track>'
    convert(write(tmp_path / "a.xml", body, frames=1), format="cvat", task="object-detection")
    (warning,) = convert.report.warnings
    assert (warning.code, warning.count) == ("attribute-missing", 4)
    assert {message.split("`")[1] for _, message in warning.examples} == {"outside", "keyframe", "occluded"}


def test_elements_and_attributes_that_are_not_read_are_noted_once_each(tmp_path: Path, convert: Any) -> None:
    shape = '<box label="car" lable="dog" source="manual" z_order="0" xtl="1" ytl="2" xbr="5" ybr="9">{}</box>'
    attributes = '<attribute name="a">1</attribute><attribute name="b">2</attribute>'
    path = one_image(tmp_path / "a.xml", shape.format(attributes), shape.format(""))
    path.write_text(path.read_text().replace("</annotations>", "<imag/><x><y/></x></annotations>"))
    convert(path, format="cvat")
    (note,) = convert.report.notes
    assert {message for _, message in note.examples} == {
        "'attribute' is not read (2 times)",
        "'source' is not read (2 times)",
        "'x' is not read",
        "'y' is not read",
        "'z_order' is not read (2 times)",
    }
    (warning,) = convert.report.warnings
    assert {message for _, message in warning.examples} == {
        "'imag' is not read; did you mean 'image'?",
        "'lable' is not read (2 times); did you mean 'label'?",
    }


def test_text_in_place_of_elements_is_noted(tmp_path: Path, convert: Any) -> None:
    shape = '<box label="car" xtl="1" ytl="2" xbr="5" ybr="9">{}</box>'
    path = one_image(
        tmp_path / "a.xml", "lost", shape.format("text"), shape.format('<attribute name="a">1</attribute>')
    )
    text = path.read_text().replace("<labels>", "<labels>x").replace("</annotations>", "y</annotations>")
    path.write_text(text)
    convert(path, format="cvat")
    (note,) = convert.report.notes
    assert {message for _, message in note.examples} == {
        "'attribute' is not read",
        "'text in <image>' is not read (2 times)",
        "'text in <labels>' is not read",
        "'text in <annotations>' is not read",
    }


def test_tracks_without_shapes_and_labels_of_one_name_are_warnings(tmp_path: Path, convert: Any) -> None:
    body = f'<track id="0" label="car">{box(0, 5)}</track><track id="1" label="dog"></track>'
    path = write(tmp_path / "a.xml", body)
    path.write_text(path.read_text().replace("</labels>", "<label><name>car</name></label></labels>"))
    convert(path, format="cvat", task="object-detection")
    assert {warning.code: warning.examples[0][1] for warning in convert.report.warnings} == {
        "track-empty": "a track without shapes",
        "label-twice": "several labels have the name 'car'; they become one class",
    }


def test_an_empty_rotation_is_an_error(tmp_path: Path, fails: Any) -> None:
    path = one_image(tmp_path / "a.xml", '<box label="car" rotation="" xtl="1" ytl="2" xbr="5" ybr="9"></box>')
    ((_, message),) = fails(path, format="cvat")["broken-shape"]
    assert message == "a <box> with rotation=''; a number was expected"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (("<start_frame>0<", "<start_frame>x<"), "broken-task"),
        (("<stop_frame>9<", "<stop_frame>NaN<"), "broken-task"),
        (("<size>10<", "<size>null<"), "broken-task"),
        (("<frame_filter></", "<frame_filter>step=x</"), "broken-task"),
        (("<frame_filter></", "<frame_filter>step=0</"), "broken-task"),
        (("<mode>interpolation<", "<mode>x<"), "broken-task"),
        (("<mode>interpolation<", "<mode>annotation</mode><mode>interpolation<"), "broken-head"),
        (("<name>car</name>", ""), "broken-head"),
        (("<name>car</name>", "<name>car</name><parent>x</parent>"), "broken-head"),
        (("</task>", "</task><task><id>1</id></task>"), "broken-task"),
        (("<original_size><width>64<", "<original_size><width>x<"), "image-size"),
    ],
)
def test_a_head_that_cannot_be_read_is_an_error(damage: tuple[str, str], code: str, tmp_path: Path, fails: Any) -> None:
    path = write(tmp_path / "a.xml", f'<track id="0" label="dog">{box(0, 1)}</track>')
    assert damage[0] in path.read_text()
    path.write_text(path.read_text().replace(*damage))
    assert code in fails(path, format="cvat")


def test_a_head_whose_numbers_of_frames_differ_is_a_warning(tmp_path: Path, convert: Any) -> None:
    path = write(tmp_path / "a.xml", f'<track id="0" label="dog">{box(10, 1)}</track>', frames=4, start=10, step=5)
    text = path.read_text()
    for damaged in ("<start_frame>10</start_frame>", "<frame_filter>step=5</frame_filter>"):
        path.write_text(text.replace(damaged, ""))
        convert(path, format="cvat")
        assert counts(convert.report.warnings) == {"frames-differ": 1}


def test_a_head_without_labels_is_a_warning(tmp_path: Path, convert: Any) -> None:
    path = one_image(tmp_path / "a.xml", BOX)
    path.write_text(path.read_text().replace("<label>", "<lable>").replace("</label>", "</lable>"))
    convert(path, format="cvat")
    assert counts(convert.report.warnings) == {"labels-missing": 1, "unknown-key": 1}


def test_a_gap_in_a_track_that_lists_every_frame_is_a_warning(tmp_path: Path, convert: Any) -> None:
    """A frame is missing, and so is the end of the track."""
    listed = [box(i, i, keyframe=int(i == 0)) for i in (0, 1, 3, 4)]
    convert(write(tmp_path / "a.xml", f'<track id="0" label="car">{"".join(listed)}</track>', frames=7), format="cvat")
    (warning,) = convert.report.warnings
    assert (warning.code, warning.count) == ("track-gap", 3)
    end = box(5, 5, outside=1)
    listed[2:2] = [box(2, 2, keyframe=0)]
    path = write(tmp_path / "a.xml", f'<track id="0" label="car">{"".join(listed)}{end}</track>', frames=7)
    convert(path, format="cvat", strict=True)


def test_a_shape_that_is_outside_beyond_the_task_is_a_warning(tmp_path: Path, convert: Any) -> None:
    for last, warnings in ((3, {}), (4, {"frame-beyond-task": 1})):  # CVAT ends tracks one frame after the last
        body = f'<track id="0" label="car">{box(0, 1)}{box(last, 1, outside=1)}</track>'
        assert len(convert(write(tmp_path / "a.xml", body, frames=3), format="cvat")) == 3
        assert counts(convert.report.warnings) == warnings


def test_a_skeleton_without_one_of_its_elements_is_a_warning(fixtures: Path, tmp_path: Path, convert: Any) -> None:
    text = (fixtures / "cvat/images/annotations.xml").read_text()
    source = tmp_path / "annotations.xml"
    source.write_text(re.sub(r'<points label="head".*</points>\n', "", text))
    assert convert(source, format="cvat")["all shapes.png"][1]["keypoints"] == [0, 0, 0, 22, 40, 0.5]
    assert counts(convert.report.warnings) == {"element-missing": 1}
    source.write_text(text.replace('data-node-to="2"', 'data-node-to="3"').replace("&lt;circle", "&lt;x", 0))
    convert(source, format="cvat")
    assert counts(convert.report.warnings) == {"skeleton-drawing": 1}


@pytest.mark.parametrize(
    "size", ['width="x" height="48"', 'width="0" height="48"', 'height="48"', 'width="" height=""']
)
def test_an_image_with_a_size_that_cannot_be_read_is_an_error(size: str, tmp_path: Path, convert: Any) -> None:
    """The size in the head is that of a video."""
    path = one_image(tmp_path / "a.xml", BOX, BOX)
    path.write_text(path.read_text().replace("clip.mp4", "").replace('width="64" height="48"', size))
    convert(path, format="cvat", on_error="skip")
    assert counts(convert.report.errors) == {"broken-image": 1}
    report = convert.report
    assert (report.found_objects, report.lost_objects, report.found_images, report.lost_images) == (2, 2, 1, 1)


def test_an_image_of_a_video_needs_the_number_of_its_frame(tmp_path: Path, fails: Any) -> None:
    path = one_image(tmp_path / "a.xml", BOX)
    path.write_text(path.read_text().replace('id="0"', 'id="x"'))
    ((where, _),) = fails(path, format="cvat")["broken-image"]
    assert where == f"{path}:6"


def test_images_of_tasks_that_are_left_out_or_not_listed_are_counted(tmp_path: Path, convert: Any) -> None:
    path = project(tmp_path / "a.xml", *TWO, ("c.png", "train", "8"), ("d.png", "train", "5"))
    found = convert(path, format="cvat", only="one", on_error="skip")
    assert set(found) == {"a.png", "d.png"}
    assert (counts(convert.report.errors), counts(convert.report.notes)) == ({"unknown-task": 1}, {"task-left-out": 1})
    report = convert.report
    listed = path.read_text().count("<image ")
    assert (report.found_images, report.lost_images) == (listed, 2)
    assert (report.found_objects, report.lost_objects) == (4, 2)
    path.write_text(re.sub("<task><id>6.*\n", "</tasks>\n", path.read_text()))  # one task, whose id is not that of all
    convert(path, format="cvat", on_error="skip")
    assert counts(convert.report.errors) == {"unknown-task": 2}


@pytest.mark.parametrize("name", ["images", "video", "keyframes", "project"])
@pytest.mark.parametrize("task", TASKS)
def test_every_listed_image_and_frame_is_counted(name: str, task: str, fixtures: Path, convert: Any) -> None:
    path = fixtures / "cvat" / name / "annotations.xml"
    export = Cvat(path).open(Request())
    if task not in labelferry.task_type.obtainable(export.tasks):
        pytest.skip("the export does not hold it")
    convert(path, format="cvat", task=task, on_error="skip")
    text = path.read_text()
    listed = text.count("<image ") or sum(map(int, re.findall(r"<size>(\d+)</size>", text)))
    assert convert.report.found_images == listed == export.count_images()
    assert listed == convert.report.images + convert.report.lost_images


def test_frames_have_the_extension_of_the_images_beside(tmp_path: Path, convert: Any) -> None:
    path = write(tmp_path / "a.xml", f'<track id="0" label="car">{box(0, 1)}</track>', frames=2)
    pictures(tmp_path / "images", "frame_000000.PNG", "frame_000001.PNG")
    assert set(convert(path, format="cvat")) == {"frame_000000.PNG", "frame_000001.PNG"}
    one = images(BOX).replace("a.png", "frame_000001")
    assert set(convert(write(path, one), format="cvat")) == {"frame_000001.PNG"}
