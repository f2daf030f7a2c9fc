"""MOTChallenge: ground truth, detections, results and CVAT's flavour, as images and as frames. Boxes are counted as
lines of text."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelferry
from tests.exports import check_accounting
from tests.lightly_models import read_valid_task


@pytest.fixture
def mot(fixtures: Path) -> Path:
    return fixtures / "mot"


def sequence(folder: Path, gt: str, **files: str) -> Path:
    (folder / "SEQ/gt").mkdir(parents=True, exist_ok=True)
    (folder / "SEQ/gt/gt.txt").write_text(gt, newline="")
    info = "[Sequence]\nname=SEQ\nimDir=img1\nseqLength=3\nimWidth=64\nimHeight=48\nimExt=.jpg\n"
    (folder / "SEQ/seqinfo.ini").write_text(files.get("seqinfo", info))
    return folder


def test_ground_truth_as_images(convert: Any, mot: Path) -> None:
    found = convert(mot / "train", format="mot")
    assert list(found) == [f"WALK-01/img1/{i:06}.png" for i in (1, 2, 3, 4)]
    assert [(p["category_id"], p["bbox"], p["score"]) for p in found["WALK-01/img1/000001.png"]] == [
        (0, [4, 12, 8, 24], 1),
        (2, [40, 24, 16, 12], 1),
    ]
    assert found["WALK-01/img1/000003.png"] == []
    assert [category["name"] for category in convert.schema["categories"]][:3] == [
        "pedestrian",
        "person on vehicle",
        "car",
    ]
    assert [(note.code, note.count) for note in convert.report.notes] == [("ignored-left-out", 1)]


def test_a_sequence_is_read_as_its_folder_or_its_file(convert: Any, mot: Path) -> None:
    expected = convert(mot / "train", format="mot")
    assert convert(mot / "train/WALK-01", format="mot") == expected
    assert convert(mot / "train/WALK-01/gt/gt.txt", format="mot") == expected


def test_what_is_kept(convert: Any, mot: Path) -> None:
    found = convert(mot / "train", format="mot", ignored=True)
    assert [p["category_id"] for p in found["WALK-01/img1/000001.png"]] == [0, 2, 7]
    found = convert(mot / "train", format="mot", min_visibility=0.5)
    assert [p["category_id"] for p in found["WALK-01/img1/000001.png"]] == [0]
    assert {(note.code, note.count) for note in convert.report.notes} == {
        ("ignored-left-out", 1),
        ("hidden-left-out", 2),
    }
    found = convert(mot / "train", format="mot", one_based=True)
    assert found["WALK-01/img1/000001.png"][0]["bbox"] == [3, 11, 8, 24]


def test_detections_have_scores(convert: Any, mot: Path) -> None:
    found = convert(mot / "train", format="mot", file="det")
    assert found["WALK-01/img1/000001.png"] == [{"category_id": 0, "bbox": [4, 12, 8, 24], "score": 0.75}]
    assert len(convert.schema["categories"]) == 1
    found = convert(mot / "test", format="mot")  # where there is no ground truth; frames out of order; no images
    assert [p[0]["score"] for p in found.values() if p] == [0.25, 0.5]
    assert len(found) == 4
    found = convert(mot / "test", format="mot", scores=False)
    assert [p[0]["score"] for p in found.values() if p] == [1, 1]


def test_sequences_without_ground_truth_are_told(convert: Any, mot: Path) -> None:
    found = convert(mot, format="mot", labels=mot / "cvat/gt/labels.txt", on_error="skip")
    assert {name.rpartition("/img1/")[0] for name in found} == {"train/WALK-01", "cvat"}
    assert "sequence-without-labels" in [warning.code for warning in convert.report.warnings]
    assert {e.code for e in convert.report.errors} == {"unknown-category"}


def test_frames_of_videos(convert: Any, mot: Path) -> None:
    found = convert(mot / "train", format="mot", videos=mot / "videos")
    assert sorted(found) == [f"WALK-0{v}-{i}-mp4.png" for v in (1, 2) for i in range(4)]
    assert found["WALK-01-0-mp4.png"][0]["bbox"] == [4, 12, 8, 24]
    assert found["WALK-01-3-mp4.png"][0]["bbox"] == [16, 12, 8, 24]
    results = convert(mot / "results", format="mot", videos=mot / "videos")
    assert {name: p[0]["score"] for name, p in results.items() if p} == {
        "WALK-01-0-mp4.png": 1,
        "WALK-01-1-mp4.png": 1,
        "WALK-02-2-mp4.png": 1,
    }
    assert results["WALK-02-2-mp4.png"][0]["bbox"] == [12, 12, 8, 24]
    assert convert(mot / "results/WALK-01.txt", format="mot", videos=mot / "videos/WALK-01.mp4").keys() == {
        f"WALK-01-{i}-mp4.png" for i in range(4)
    }


def test_as_images_or_frames(mot: Path, convert: Any, tmp_path: Path) -> None:
    assert len(convert(mot / "train", format="mot", as_="images")) == 4
    with pytest.raises(labelferry.UsageError, match="--videos"):
        labelferry.convert(mot / "train", tmp_path, format="mot", as_="frames")
    with pytest.raises(labelferry.UsageError, match="exclude each other"):
        labelferry.convert(mot / "train", tmp_path, format="mot", as_="images", videos=mot / "videos")


def test_cvats_flavour(convert: Any, mot: Path) -> None:
    found = convert(mot / "cvat", format="mot")
    assert list(found) == ["cvat/img1/frame_000001.png", "cvat/img1/frame_000002.png"]
    assert [p[0]["category_id"] for p in found.values()] == [0, 1]
    assert [category["name"] for category in convert.schema["categories"]] == ["walker", "truck"]


def test_faults_are_named_with_their_lines(fails: Any, tmp_path: Path) -> None:
    gt = "1,1,1,1,5,5,1,1,1\r\n\r\n2,1,1,1,five,5,1,1,1\n2,1,1\n1.5,1,1,1,5,5,1,1,1\n"
    gt += "9,1,1,1,5,5,1,1,1\n1,1,1,1,5,5,1,99,1\n1,1,1,1,5,5,1,1.5,1\n1,1,1,1,5,5,1,inf,1\nnan,1,1,1,5,5,1,1,1\n"
    found = fails(sequence(tmp_path / "a", gt), format="mot")
    assert [where.rpartition(":")[2] for where, _ in found["broken-line"]] == ["3", "4", "5", "8", "9", "10"]
    assert [where.rpartition(":")[2] for where, _ in found["frame-beyond-sequence"]] == ["6"]
    assert [where.rpartition(":")[2] for where, _ in found["unknown-category"]] == ["7"]
    found = fails(sequence(tmp_path / "b", "1,1,1,1,5,5,1,1,1", seqinfo="[Other]\n"), format="mot")
    assert "broken-seqinfo" in found
    found = fails(sequence(tmp_path / "b", "1,1,1,1,5,5,1,1,1", seqinfo="[Sequence]\nimDir=../x\n"), format="mot")
    assert "broken-seqinfo" in found
    for length in (0, 10**15):  # no number makes it go on for ever
        found = fails(sequence(tmp_path / "b", "", seqinfo=f"[Sequence]\nseqLength={length}\n"), format="mot")
        assert "broken-seqinfo" in found
    found = fails(sequence(tmp_path / "b", "1,1,1,1,5,5,1,1,1", seqinfo="[Sequence]\nname=x\n"), format="mot")
    assert "image-size" in found
    assert "no-labels" in fails(Path(__file__).parent, format="mot")


def test_scores_that_are_none(fails: Any, convert: Any, tmp_path: Path) -> None:
    folder = sequence(tmp_path, "1,1,1,1,5,5,1,1,1")
    (folder / "SEQ/det").mkdir()
    (folder / "SEQ/det/det.txt").write_text("1,-1,1,1,5,5,27.5,-1,-1,-1\n")
    assert "score-out-of-range" in fails(folder / "SEQ", format="mot", file="det")
    assert convert(folder / "SEQ", format="mot", file="det", scores=False)["SEQ/img1/000001.jpg"][0]["score"] == 1


def test_a_frame_without_its_image(fails: Any, tmp_path: Path) -> None:
    folder = sequence(tmp_path, "3,1,1,1,5,5,1,1,1")
    (folder / "SEQ/img1").mkdir()
    (folder / "SEQ/img1/000001.jpg").write_bytes(b"")
    assert len(fails(folder, format="mot")["image-missing"]) == 2  # 2, and 3 with its box


numbers = st.integers(0, 40)
rows = st.lists(st.tuples(st.integers(1, 3), numbers, numbers, st.integers(1, 20), st.integers(1, 8)), max_size=20)


@given(rows, st.sampled_from([",", ", "]), st.sampled_from(["\n", "\r\n"]))
def test_every_box_arrives_in_the_order_of_the_file(
    tmp_path_factory: Any, rows: list[tuple[int, ...]], comma: str, end: str
) -> None:
    folder = tmp_path_factory.mktemp("mot")
    text = "".join(comma.join(map(str, (frame, 1, x, y, w, h, 1, 1, 1))) + end for frame, x, y, w, h in rows)
    labelferry.convert(sequence(folder, text), folder / "out", format="mot")
    found = read_valid_task(folder / "out", "mot_object-detection")[1]
    for frame in (1, 2, 3):
        expected = [list(row[1:]) for row in rows if row[0] == frame]
        assert [p["bbox"] for p in found[f"SEQ/img1/{frame:06}.jpg"]] == expected


def boxes_in(*paths: Path) -> int:
    return sum(1 for path in paths for line in path.read_text().splitlines() if line.strip())


@pytest.mark.parametrize(
    ("export", "files", "options"),
    [
        ("train", "train/*/gt/gt.txt", {}),
        ("train", "train/*/gt/gt.txt", {"ignored": True}),
        ("train", "train/*/gt/gt.txt", {"min_visibility": 0.5}),
        ("train", "train/*/gt/gt.txt", {"classes": ["car"]}),
        ("train", "train/*/gt/gt.txt", {"labels": "cvat/gt/labels.txt"}),
        ("train", "train/*/det/det.txt", {"file": "det"}),
        ("test", "test/*/det/det.txt", {}),
        ("results", "results/*.txt", {"videos": "videos"}),
        ("cvat", "cvat/gt/gt.txt", {}),
    ],
)
def test_every_line_is_counted(mot: Path, convert: Any, export: str, files: str, options: dict[str, Any]) -> None:
    given = {key: mot / value if key in ("labels", "videos") else value for key, value in options.items()}
    convert(mot / export, format="mot", on_error="skip", **given)
    check_accounting(convert.report)
    assert convert.report.found_objects == boxes_in(*mot.glob(files)) > 0


def test_lines_that_are_left_out_are_lost_by_reason(tmp_path: Path, convert: Any) -> None:
    """Of 12 boxes: broken 3, beyond the sequence 2, ignored 2, hidden 1, of an unknown class 1; 3 are left."""
    gt = "1,1,1,1,5,5,1,1,1\n1,2,1,1,5,5,0,1,1\n1,3,1,1,5,5,0,1,0.1\n\n2,1,1,1,five,5,1,1,1\n2,1,1\n"
    gt += "2.5,1,1,1,5,5,1,1,1\n9,1,1,1,5,5,1,1,1\n4,1,1,1,5,5,0,1,1\n"
    gt += "2,1,1,1,5,5,1,1,0.2\n2,1,1,1,5,5,1,99,1\n2,1,1,1,5,5,1,2,1\n3,1,1,1,5,5,1,3,1\n"
    source = sequence(tmp_path, gt)
    convert(source, format="mot", on_error="skip", min_visibility=0.5)
    report = convert.report
    assert {error.code: error.count for error in report.errors} == {
        "broken-line": 3,
        "frame-beyond-sequence": 2,
        "unknown-category": 1,
    }
    assert {note.code: note.count for note in report.notes} == {"ignored-left-out": 2, "hidden-left-out": 1}
    check_accounting(report)
    assert (report.found_objects, report.lost_objects) == (boxes_in(source / "SEQ/gt/gt.txt"), 9) == (12, 9)


@pytest.mark.parametrize(("content", "code"), [(None, "image-missing"), (b"no image", "image-broken")])
def test_boxes_of_a_frame_whose_image_cannot_be_read_are_lost(
    tmp_path: Path, convert: Any, content: bytes | None, code: str, mot: Path
) -> None:
    """The sizes are those of the images."""
    source = sequence(
        tmp_path, "1,1,1,1,5,5,1,1,1\n2,1,1,1,5,5,1,1,1\n2,1,1,1,5,5,0,1,1", seqinfo="[Sequence]\nname=x\n"
    )
    (source / "SEQ/img1").mkdir()
    (source / "SEQ/img1/1.png").write_bytes((mot / "train/WALK-01/img1/000001.png").read_bytes())
    if content:
        (source / "SEQ/img1/2.png").write_bytes(content)
    assert len(convert(source, format="mot", on_error="skip")) == 1
    assert [(error.code, error.count) for error in convert.report.errors] == [(code, 1)]
    assert (convert.report.found_objects, convert.report.lost_objects) == (3, 2)


def test_boxes_of_frames_without_a_size_are_lost(tmp_path: Path, convert: Any) -> None:
    source = sequence(tmp_path, "1,1,1,1,5,5,1,1,1\n1,1,1,1,5,5,1,1,1\n", seqinfo="[Sequence]\nname=x\n")
    convert(source, format="mot", on_error="skip")
    assert [error.code for error in convert.report.errors] == ["image-size"]
    assert (convert.report.found_objects, convert.report.lost_objects) == (2, 2)


@pytest.mark.parametrize(
    "row",
    ["2,1,1,,5,5,1,1,1", "2,1,1,1,5,5,1,1,1,", ",2,1,1,1,5,5,1,1,1", "2,1,1,1,5,5,1,1", "2 1,1,1,5,5,1,1,1", "2;1;1"],
)
def test_a_row_with_an_empty_a_missing_or_another_field_is_an_error(row: str, tmp_path: Path, fails: Any) -> None:
    gt = f"1,1,1,1,5,5,1,1,1\n{row}\n3,1,1,1,5,5,1,1,1\n"
    found = fails(sequence(tmp_path, gt), format="mot")["broken-line"]
    assert [where.rpartition(":")[2] for where, _ in found] == ["2"]
    assert "9 numbers were expected" in found[0][1]


@pytest.mark.parametrize("value", ["nan", "inf", "1_0"])
@pytest.mark.parametrize("column", range(9))
def test_numbers_that_are_none_are_errors_in_every_column(column: int, value: str, tmp_path: Path, fails: Any) -> None:
    row = "2,1,1,1,5,5,0,1,1".split(",")
    row[column] = value
    assert "broken-line" in fails(sequence(tmp_path, f"1,1,1,1,5,5,1,1,1\n{','.join(row)}\n"), format="mot")


def test_classes_without_a_name_and_no_class(tmp_path: Path, convert: Any) -> None:
    source = sequence(tmp_path, "1,1,1,1,5,5,1,1,1\n1,2,1,1,5,5,1,0,1\n1,3,1,1,5,5,1,14,1\n1,4,1,1,5,5,1,-1,1\n")
    found = convert(source, format="mot", on_error="skip")
    assert [p["category_id"] for p in found["SEQ/img1/000001.jpg"]] == [0]
    errors = {error.code: error.count for error in convert.report.errors}
    assert errors == {"unknown-category": 2, "class-missing": 1}
    (tmp_path / "names.txt").write_text("walker")
    found = convert(source, format="mot", on_error="skip", labels=tmp_path / "names.txt")
    assert len(found["SEQ/img1/000001.jpg"]) == 2  # classes 1 and -1: there is only one


def of_cvat(folder: Path, **names: str) -> Path:
    for name, labels in names.items():
        (folder / name / "gt").mkdir(parents=True)
        (folder / name / "gt/gt.txt").write_text("1,1,1,1,5,5,1,1,1\n1,2,9,9,5,5,1,2,1\n")
        (folder / name / "seqinfo.ini").write_text("[Sequence]\nimWidth=64\nimHeight=48\nseqLength=1\n")
        if labels:
            (folder / name / "gt/labels.txt").write_text(labels)
    return folder


def test_names_of_sequences_are_merged(tmp_path: Path, convert: Any) -> None:
    found = convert(of_cvat(tmp_path, a="cat\ndog", b="dog\nox"), format="mot")
    names = {category["id"]: category["name"] for category in convert.schema["categories"]}
    assert [[names[p["category_id"]] for p in given] for given in found.values()] == [["cat", "dog"], ["dog", "ox"]]


def test_names_of_some_sequences_only_are_asked_about(tmp_path: Path, fails: Any) -> None:
    assert "--labels" in fails(of_cvat(tmp_path, a="cat\ndog", b=""), format="mot")["ambiguous"][0][1]


@pytest.mark.parametrize("row", ["1,1,1,1,5,5,1,4,0,1", "1,1,1,1,5,5,1,4"])
def test_a_class_in_other_places_is_asked_about(row: str, tmp_path: Path, convert: Any, fails: Any) -> None:
    """VisDrone has a class, truncation and occlusion where MOTChallenge has coordinates."""
    source = sequence(tmp_path, row)
    assert "--columns" in fails(source, format="mot")["ambiguous"][0][1]
    assert convert(source, format="mot", columns="class")["SEQ/img1/000001.jpg"][0]["category_id"] == 3
    assert convert(source, format="mot", columns="coordinates")["SEQ/img1/000001.jpg"][0]["category_id"] == 0


def test_named_classes_without_a_column_are_asked_about(tmp_path: Path, fails: Any) -> None:
    source = sequence(tmp_path, "1,1,1,1,5,5,1,-1,-1,-1")
    (source / "SEQ/gt/labels.txt").write_text("cat\ndog")
    assert "--labels" in fails(source, format="mot")["ambiguous"][0][1]


def test_frame_0_is_beyond_the_sequence(tmp_path: Path, fails: Any) -> None:
    source = sequence(tmp_path, "0,1,1,1,5,5,1,1,1\n1,1,1,1,5,5,1,1,1\n")
    ((where, text),) = fails(source, format="mot")["frame-beyond-sequence"]
    assert where.endswith("gt.txt:1")
    assert "numbered from 1" in text


def test_scores_are_none_only_if_the_whole_file_has_none(tmp_path: Path, convert: Any) -> None:
    source = sequence(tmp_path, "")
    (source / "SEQ/det").mkdir()
    (source / "SEQ/det/det.txt").write_text("1,-1,1,1,5,5,-1,-1,-1,-1\n2,-1,1,1,5,5,0.5,-1,-1,-1\n")
    found = convert(source / "SEQ", format="mot", file="det", on_error="skip")
    assert [[p["score"] for p in given] for given in found.values()] == [[], [0.5], []]
    assert [error.code for error in convert.report.errors] == ["score-out-of-range"]


def test_what_may_not_be_meant_is_a_warning(tmp_path: Path, convert: Any) -> None:
    gt = "1,1,1,1,5,5,1,1,1\n1,1,9,9,5,5,1,1,1\n2,-1,1,1,5,5,0.5,1,1\n2,-1,1,1,5,5,1,1,1\n2,-1,2,1,5,5,1,1,1\n"
    info = "[Sequence]\nseqLenght=3\nimWidth=64\nimHeight=48\nimDir=img1\nimExt=.jpg\nweather=sun\n"
    convert(sequence(tmp_path, gt, seqinfo=info), format="mot")
    report = convert.report
    assert {one.code: one.count for one in report.warnings} == {
        "box-twice": 2,
        "confidence-unread": 1,
        "unknown-key": 1,
    }
    assert {one.code: one.count for one in report.notes} == {"unread-key": 1, "length-unknown": 1}


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["cam2_000001.jpg", "cam2_000002.jpg"], True),
        (["000001_cam2.jpg", "000002_cam2.jpg"], True),
        (["a.jpg", "b.jpg"], False),
        (["1_20.jpg", "2_10.jpg"], False),
        (["1.jpg", "01.png"], False),
    ],
)
def test_the_number_of_a_frame_in_its_images_name(
    names: list[str], numbers: bool, tmp_path: Path, convert: Any, fails: Any
) -> None:
    source = sequence(tmp_path, "2,1,1,1,5,5,1,1,1", seqinfo="[Sequence]\nimWidth=64\nimHeight=48\nseqLength=2\n")
    (source / "SEQ/img1").mkdir()
    for name in names:
        (source / "SEQ/img1" / name).touch()
    if numbers:
        found = convert(source, format="mot")
        assert {name: len(given) for name, given in found.items()} == {
            f"SEQ/img1/{name}": place for place, name in enumerate(names)
        }
    else:
        assert len(fails(source, format="mot")["frame-unnamed"]) == 1


def test_a_size_that_contradicts_the_image_is_an_error(mot: Path, tmp_path: Path, fails: Any) -> None:
    shutil.copytree(mot / "train", tmp_path / "train")
    info = tmp_path / "train/WALK-01/seqinfo.ini"
    info.write_text(info.read_text().replace("imWidth=64", "imWidth=640"))
    assert "64 x 48" in fails(tmp_path / "train", format="mot")["image-size"][0][1]


@pytest.mark.parametrize("change", [("imExt=.jpg", "imExt=jpg"), ("imWidth=64", "imWidth=-64"), ("imWidth=64\n", "")])
def test_a_broken_seqinfo_is_an_error(change: tuple[str, str], tmp_path: Path, fails: Any) -> None:
    info = "[Sequence]\nname=SEQ\nimDir=img1\nseqLength=3\nimWidth=64\nimHeight=48\nimExt=.jpg\n"
    source = sequence(tmp_path, "1,1,1,1,5,5,1,1,1", seqinfo=info.replace(*change))
    assert "broken-seqinfo" in fails(source, format="mot")


def test_a_sequence_with_images_only_is_reported(mot: Path, tmp_path: Path, convert: Any) -> None:
    shutil.copytree(mot / "train", tmp_path / "train")
    (tmp_path / "train/NEW").mkdir()
    (tmp_path / "train/NEW/seqinfo.ini").write_text("[Sequence]\n")
    convert(tmp_path / "train", format="mot")
    assert [one.code for one in convert.report.warnings] == ["sequence-without-labels"]
