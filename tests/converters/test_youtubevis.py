"""YouTube-VIS: tracks as images and as frames, results; masks against pycocotools; objects counted in the lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycoco

import labelferry
from tests.exports import check_accounting


@pytest.fixture
def vis(fixtures: Path) -> Path:
    return fixtures / "youtubevis"


@pytest.fixture
def changed(vis: Path, tmp_path: Path) -> Any:
    """Writes the fixture with something changed."""

    def change(edit: Any) -> Path:
        content = json.loads((vis / "instances.json").read_text())
        edit(content)
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content, indent=1))
        return path

    return change


def test_tracks_as_images(convert: Any, vis: Path) -> None:
    found = convert(vis / "instances.json", format="youtubevis")
    assert list(found) == ["empty/00000.png", *(f"street walk/{i:05}.png" for i in (0, 5, 10))]
    assert [(p["category_id"], p["bbox"]) for p in found["street walk/00000.png"]] == [
        (0, [8, 10, 12, 16]),
        (1, [40, 30, 20, 12]),
    ]
    assert [p["bbox"] for p in found["street walk/00005.png"]] == [[12, 10, 12, 16], [40, 30, 20, 12]]  # of its mask
    content = json.loads((vis / "instances.json").read_text())
    for track, place in ((0, 0), (0, 1), (1, 0)):
        given = content["annotations"][track]["segmentations"][place]
        coded = pycoco.merge(pycoco.frPyObjects(given, 48, 64)) if isinstance(given, list) else None
        coded = coded or pycoco.frPyObjects(given, 48, 64)
        name = f"street walk/{(0, 5, 10)[place]:05}.png"
        runs = found[name][track]["segmentation"]
        np.testing.assert_array_equal(labelferry.decode(runs, (48, 64)), pycoco.decode(coded))
    assert [category["name"] for category in convert.schema["categories"]] == ["person", "car"]


def test_boxes_alone(convert: Any, vis: Path, changed: Any) -> None:
    found = convert(vis / "instances.json", format="youtubevis", task="object-detection")
    assert [p["bbox"] for p in found["street walk/00005.png"]] == [[12, 10, 12, 16], [40, 30, 20, 12]]

    def without_masks(content: Any) -> None:
        for track in content["annotations"]:
            del track["segmentations"]

    found = convert(changed(without_masks), format="youtubevis")
    assert convert.report.task_type == "object-detection"
    assert [len(found[f"street walk/{i:05}.png"]) for i in (0, 5, 10)] == [2, 1, 1]


def test_a_box_without_its_mask(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        content["annotations"][0]["segmentations"][2] = None

    source = changed(edit)
    assert convert(source, format="youtubevis")["street walk/00010.png"] == []
    assert [(r.code, r.count) for r in convert.report.repairs] == [("segmentation-missing", 1)]
    assert len(convert(source, format="youtubevis", task="object-detection")["street walk/00010.png"]) == 1


def test_tracks_as_frames(convert: Any, vis: Path) -> None:
    found = convert(vis / "instances.json", format="youtubevis", videos=vis / "videos")
    assert sorted(found) == [
        *(f"empty-{i}-mp4.png" for i in range(2)),
        *(f"street walk-{i:02}-mp4.png" for i in range(11)),
    ]
    assert {name: len(p) for name, p in found.items() if p} == {
        "street walk-00-mp4.png": 2,
        "street walk-05-mp4.png": 2,
        "street walk-10-mp4.png": 1,
    }


def test_names_without_numbers_count_by_place(convert: Any, vis: Path, changed: Any) -> None:
    def edit(content: Any) -> None:
        content["videos"][0]["file_names"] = ["street walk/a.png", "street walk/b.png", "street walk/c.png"]

    found = convert(changed(edit), format="youtubevis", videos=vis / "videos", frame_step=5)
    assert [name for name, p in found.items() if p] == [f"street walk-{i:02}-mp4.png" for i in (0, 5, 10)]


def test_results(convert: Any, vis: Path) -> None:
    found = convert(vis / "results.json", format="youtubevis", dataset=vis / "instances.json")
    (car,) = found["street walk/00000.png"]
    assert (car["category_id"], car["score"], car["bbox"]) == (1, 0.75, [40, 30, 20, 12])


def test_results_need_their_dataset(fails: Any, vis: Path) -> None:
    assert "results-without-dataset" in fails(vis / "results.json", format="youtubevis")


def test_faults_are_named(fails: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        person, car = content["annotations"]
        person["bboxes"].pop()
        content["annotations"] += [
            {**car, "id": 3, "video_id": 8},
            {**car, "id": 4, "category_id": 5},
            {**car, "id": 5, "bboxes": 7},
            {**car, "id": 6, "segmentations": [{"size": [1, 1], "counts": [1]}, None, None]},
        ]
        content["videos"] += [{**content["videos"][1], "file_names": ["a.png"]}, {"id": 10}]

    found = fails(changed(edit), format="youtubevis")
    assert found.keys() == {
        "track-length",
        "unknown-video",
        "unknown-category",
        "broken-annotation",
        "broken-segmentation",
        "video-id-twice",
        "broken-video",
    }
    assert found["track-length"][0][0].endswith("annotation 0 (id 1)")
    assert "annotation id 6, street walk/00000.png" in found["broken-segmentation"][0][0]


def test_videos_of_one_id_are_counted_once_or_left_out(convert: Any, changed: Any) -> None:
    convert(changed(lambda content: content["videos"].append(content["videos"][0])), format="youtubevis")
    report = convert.report
    assert {finding.code: finding.count for finding in report.repairs} == {"video-twice": 1}
    assert (report.images, report.found_images, report.merged_images, report.lost_images) == (4, 7, 3, 0)

    def edit(content: Any) -> None:
        content["videos"] += [{**content["videos"][0], "height": 50}, {"id": 10, "file_names": ["a.png", 7]}]

    convert(changed(edit), format="youtubevis", on_error="skip")
    report = convert.report
    assert {finding.code for finding in report.errors} == {"video-id-twice", "broken-video", "unknown-video"}
    assert (report.images, report.found_images, report.lost_images) == (1, 9, 8)


def test_a_score_that_is_null_or_missing_among_others_is_an_error(fails: Any, changed: Any) -> None:
    """Also where no track of the same frame has a score."""
    for score, code in ((None, "broken-annotation"), (0.5, "score-missing")):
        found = fails(
            changed(lambda content, score=score: content["annotations"][0].update(score=score)), format="youtubevis"
        )
        assert found.keys() == {code}


def test_keys_that_are_not_read_are_noted(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        content["annotations"][0].update(colour="red")
        content["annotations"][1].update(scores=0.5)
        content["videos"][0]["nme"] = "a"
        content["videos"][0].pop("name", None)
        for video in content["videos"]:
            video.pop("length", None)

    convert(changed(edit), format="youtubevis")
    notes = {message for note in convert.report.notes for _, message in note.examples}
    assert {"'iscrowd' is not read (2 times)", "'colour' is not read"} <= notes
    assert [(warning.code, warning.count) for warning in convert.report.warnings] == [("unknown-key", 2)]


def test_results_without_scores_are_a_warning(convert: Any, vis: Path, tmp_path: Path) -> None:
    results = json.loads((vis / "results.json").read_text())
    for result in results:
        del result["score"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    convert(tmp_path / "results.json", format="youtubevis", dataset=vis / "instances.json")
    assert [warning.code for warning in convert.report.warnings] == ["results-without-scores"]


def test_text_that_is_not_utf_8_is_an_error_of_its_video_or_annotation(convert: Any, vis: Path, tmp_path: Path) -> None:
    content = (vis / "instances.json").read_bytes()
    path = tmp_path / "a.json"
    path.write_bytes(content.replace(b"empty/", b"\xff/").replace(b'"id": 2,', b'"id": "\xff",'))
    convert(path, format="youtubevis", on_error="skip")
    assert {error.code for error in convert.report.errors} == {"broken-video", "broken-annotation"}
    assert (convert.report.found_objects, convert.report.lost_objects) == (5, 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [('{"videos": []}', "not-youtubevis"), ('{"videos": [', "broken-json"), ('{"videos": 7}', "broken-json")],
)
def test_what_is_no_export(fails: Any, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert code in fails(tmp_path / "a.json", format="youtubevis")


def test_an_area_of_a_frame_without_box_and_mask_is_a_warning(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        content["annotations"][1]["segmentations"][1] = None

    convert(changed(edit), format="youtubevis")
    assert [(warning.code, warning.count) for warning in convert.report.warnings] == [("area-alone", 1)]


def test_a_length_other_than_the_number_of_file_names_is_a_warning(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        content["videos"][1]["file_names"] = []

    convert(changed(edit), format="youtubevis")
    assert [(warning.code, warning.count) for warning in convert.report.warnings] == [("video-length", 1)]


def entries(annotations: Any) -> int:
    """Objects that lists of annotations hold: null, or an empty list, is not counted."""
    count = 0
    for track in annotations:
        columns = [track.get("bboxes") or [], track.get("segmentations") or []]
        for place in range(max(map(len, columns))):
            count += any(place < len(column) and column[place] not in (None, []) for column in columns)
    return count


@pytest.mark.parametrize("task", ["instance-segmentation", "semantic-segmentation", "object-detection"])
@pytest.mark.parametrize("videos", [False, True])
@pytest.mark.parametrize("name", ["instances.json", "results.json"])
def test_every_entry_is_counted(vis: Path, convert: Any, task: str, videos: bool, name: str) -> None:
    content = json.loads((vis / name).read_text())
    options: dict[str, Any] = {"videos": vis / "videos"} if videos else {}
    if name == "results.json":
        options["dataset"] = vis / "instances.json"
    convert(vis / name, format="youtubevis", task=task, **options)
    check_accounting(convert.report)
    expected = entries(content if name == "results.json" else content["annotations"])
    assert convert.report.found_objects == expected > 0


def test_entries_of_tracks_that_cannot_be_read_are_lost(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        person, car = content["annotations"]
        content["annotations"] += [
            {**person, "id": 3, "video_id": 8},
            {**car, "id": 4, "bboxes": [*car["bboxes"], [1, 1, 2, 2]]},
            {**car, "id": 5, "category_id": "car"},
            {**car, "id": 6, "bboxes": [None, None, [1, 2, "x", 4]]},
            {**car, "id": 7, "bboxes": 7, "segmentations": [None, [], None]},
            7,
        ]

    source = changed(edit)
    annotations = json.loads(source.read_text())["annotations"]
    sound, lost = entries(annotations[:2]), entries(annotations[2:6])
    convert(source, format="youtubevis", on_error="skip")
    assert {error.code: error.count for error in convert.report.errors} == {
        "unknown-video": 1,
        "track-length": 1,
        "broken-annotation": 4,
    }
    report = convert.report
    assert (report.found_objects, report.lost_objects) == (sound + lost, lost)
    assert sum(report.objects.values()) == sound


def test_null_and_empty_lists_are_no_objects(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        person, _ = content["annotations"]
        person["bboxes"] = [None, None, None]
        person["segmentations"] = [[], None, []]

    source = changed(edit)
    source.write_text(source.read_text().replace("[]", "[\n ]", 1))
    found = convert(source, format="youtubevis")
    assert [p["category_id"] for predictions in found.values() for p in predictions] == [1, 1]
    assert (convert.report.found_objects, convert.report.repairs) == (2, [])


def test_an_empty_mask_without_a_box_is_dropped(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        content["annotations"][0]["bboxes"][0] = None
        content["annotations"][0]["segmentations"][0] = {"size": [48, 64], "counts": [48 * 64]}

    for task in ("object-detection", "instance-segmentation"):
        found = convert(changed(edit), format="youtubevis", task=task)
        assert len(found["street walk/00000.png"]) == 1
        assert [(repair.code, repair.count) for repair in convert.report.repairs] == [("mask-empty", 1)]
        check_accounting(convert.report)


def test_masks_of_objects_with_a_box_are_not_read_for_boxes(convert: Any, changed: Any) -> None:
    """A box is missing beside them, so that its mask is read."""

    def edit(content: Any) -> None:
        content["annotations"][0]["segmentations"][0] = {"size": [1, 1], "counts": [1]}
        content["annotations"][1]["bboxes"][0] = None

    source = changed(edit)
    found = convert(source, format="youtubevis", task="object-detection")
    assert [p["bbox"] for p in found["street walk/00000.png"]] == [[8, 10, 12, 16], [40, 30, 20, 12]]
    convert(source, format="youtubevis", on_error="skip")
    assert [error.code for error in convert.report.errors] == ["broken-segmentation"]


def test_entries_of_a_video_without_a_size_are_lost(convert: Any, changed: Any) -> None:
    def edit(content: Any) -> None:
        for video in content["videos"]:
            del video["width"]

    source = changed(edit)
    convert(source, format="youtubevis", on_error="skip")
    assert [error.code for error in convert.report.errors] == ["image-size"]
    report = convert.report
    assert report.found_objects == report.lost_objects == entries(json.loads(source.read_text())["annotations"])


def test_a_byte_order_mark_does_not_count(convert: Any, vis: Path, tmp_path: Path) -> None:
    for name in ("instances.json", "results.json"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (vis / name).read_bytes())
    options = {"format": "youtubevis", "task_name": "t"}
    assert convert(tmp_path / "instances.json", **options) == convert(vis / "instances.json", **options)
    found = convert(tmp_path / "results.json", dataset=tmp_path / "instances.json", **options)
    assert found == convert(vis / "results.json", dataset=vis / "instances.json", **options)
