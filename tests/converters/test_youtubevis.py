"""YouTube-VIS: tracks as images and as frames, results; masks against pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycoco

import labelferry


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
        content["videos"] += [{**content["videos"][0]}, {"id": 10}]

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


@pytest.mark.parametrize(
    ("text", "code"),
    [('{"videos": []}', "not-youtubevis"), ('{"videos": [', "broken-json"), ('{"videos": 7}', "broken-json")],
)
def test_what_is_no_export(fails: Any, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert code in fails(tmp_path / "a.json", format="youtubevis")
    assert "file-missing" in fails(tmp_path / "b.json", format="youtubevis")
