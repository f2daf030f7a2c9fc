"""Reading a datasource back: byte for byte without options; renamed, merged, derived and moved with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import labelferry
from tests.lightly_models import read_valid_task

EXPORTS: list[tuple[str, dict[str, Any]]] = [
    ("coco/instances.json", {"format": "coco", "task": "object-detection"}),
    ("coco/instances.json", {"format": "coco", "task": "instance-segmentation"}),
    ("coco/instances.json", {"format": "coco", "task": "semantic-segmentation"}),
    ("yolo/pose/data.yaml", {"format": "yolo"}),
    ("yolo/predictions/data.yaml", {"format": "yolo", "labels": "yolo/predictions/runs/boxes/labels"}),
    ("yolo/data.yaml", {"format": "yolo"}),
    ("imagefolder/flat", {"format": "imagefolder"}),
    ("mot/train", {"format": "mot", "videos": "mot/videos"}),
    ("youtubevis/instances.json", {"format": "youtubevis", "videos": "youtubevis/videos"}),
    ("cvat/images/annotations.xml", {"format": "cvat"}),
]


def files(datasource: Path, task: str) -> dict[str, bytes]:
    folder = datasource / ".lightly/predictions" / task
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


@pytest.fixture
def made(fixtures: Path, tmp_path: Path) -> Any:
    """Converts an export of the fixtures into a datasource, as the task t or of another name."""

    def make(export: str, name: str = "t", **options: Any) -> Path:
        for key in ("labels", "videos"):
            if key in options:
                options[key] = fixtures / options[key]
        labelferry.convert(fixtures / export, tmp_path / "source", task_name=name, **options)
        return tmp_path / "source"

    return make


@pytest.mark.parametrize(("export", "options"), EXPORTS)
@pytest.mark.parametrize("workers", [1, 2])
def test_byte_for_byte(made: Any, tmp_path: Path, export: str, options: dict[str, Any], workers: int) -> None:
    source = made(export, **options)
    report = labelferry.convert(source, tmp_path / "copy", format="lightly", task_name="t", workers=workers)
    assert not report.repairs
    assert files(tmp_path / "copy", "t") == files(source, "t")
    assert len(files(source, "t")) > 1
    labelferry.convert(source / ".lightly/predictions/t", tmp_path / "copy", format="lightly", task_name="u")
    assert files(tmp_path / "copy", "u") == files(source, "t")


def test_renamed_split_and_derived(made: Any, convert: Any) -> None:
    source = made("coco/instances.json", format="coco", task="instance-segmentation")
    before = convert(source, format="lightly")
    names = [category["name"] for category in convert.schema["categories"]]
    wanted = names[-1]
    found = convert(source, format="lightly", classes={wanted: "thing"}, task="object-detection")
    assert convert.schema["categories"] == [{"id": 0, "name": "thing"}]
    for name, predictions in before.items():
        kept = [p for p in predictions if p["category_id"] == len(names) - 1]
        assert found[name] == [{"category_id": 0, "bbox": p["bbox"], "score": p["score"]} for p in kept]
    semantic = convert(source, format="lightly", task="semantic-segmentation")
    assert any(semantic.values())
    with pytest.raises(labelferry.UsageError, match="holds no keypoint-detection"):
        labelferry.convert(source, source / "x", format="lightly", task="keypoint-detection")


def test_merged_tasks(made: Any, convert: Any) -> None:
    source = made("yolo/data.yaml", "people", format="yolo", classes={"person": "person"})
    made("yolo/data.yaml", "cars", format="yolo", classes={"car": "car", "person": "walker"})
    made("yolo/data.yaml", "people 2".replace(" ", "_"), format="yolo", classes={"car": "person"})
    with pytest.raises(labelferry.UsageError, match="say with --source-task which to read: people, cars, people_2"):
        labelferry.convert(source, source / "x", format="lightly")
    found = convert(source, format="lightly", source_task="people, cars,people_2")
    assert [category["name"] for category in convert.schema["categories"]] == ["person", "walker", "car"]
    assert sorted(p["category_id"] for p in found["images/train/street.png"]) == [0, 0, 1, 2]
    assert len(found) == 4
    made("imagefolder/flat", "classes", format="imagefolder")
    with pytest.raises(labelferry.UsageError, match="holds classification"):
        labelferry.convert(source, source / "x", format="lightly", source_task="people,classes")
    with pytest.raises(labelferry.UsageError, match="no task 'nothing'"):
        labelferry.convert(source, source / "x", format="lightly", source_task="nothing")


def test_with_images_boxes_are_checked(made: Any, convert: Any, fixtures: Path) -> None:
    source = made("yolo/data.yaml", format="yolo")
    path = source / ".lightly/predictions/t/images/train/street.json"
    content = json.loads(path.read_text())
    content["predictions"][0]["bbox"] = [60, 10, 30, 10]
    path.write_text(json.dumps(content))
    assert convert(source, format="lightly")["images/train/street.png"][0]["bbox"] == [60, 10, 30, 10]
    found = convert(source, format="lightly", images=fixtures / "yolo")
    assert found["images/train/street.png"][0]["bbox"] == [60, 10, 4, 10]


def test_files_of_other_writers(tmp_path: Path, convert: Any) -> None:
    """Whole numbers, white space, another order of keys, a BOM, ids with gaps, no scores."""
    task = tmp_path / "task"
    task.mkdir()
    (task / "schema.json").write_bytes(
        b'\xef\xbb\xbf{"categories": [{"id": 7, "name": "b"}, {"name": "a", "id": 3}], "task_type": "object-detection"}'
    )
    (task / "x.json").write_text('{"predictions": [{"bbox": [1, 2, 3, 4], "category_id": 7}], "file_name": "x.jpg"}')
    found = convert(task, format="lightly")
    assert found == {"x.jpg": [{"category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]}
    assert [category["name"] for category in convert.schema["categories"]] == ["a", "b"]


def test_faults_are_named(made: Any, fails: Any) -> None:
    source = made("coco/instances.json", format="coco", task="instance-segmentation")
    folder = source / ".lightly/predictions/t"
    name = next(name for name, content in files(source, "t").items() if b'"segmentation"' in content)
    content = json.loads((folder / name).read_text())
    first = content["predictions"][0]
    content["predictions"] += [
        {**first, "category_id": 99},
        {**first, "segmentation": [0, 1, 0, 5]},
        {**first, "segmentation": [*first["segmentation"], 1]},
        {**first, "score": 7},
    ]
    (folder / name).write_text(json.dumps(content))
    (folder / "broken.json").write_text('{"file_name": "broken.jpg", "predictions": [')
    (folder / "text.json").write_text("nothing")
    (folder / "other.json").write_text('{"file_name": "another.jpg", "predictions": []}')
    found = fails(source, format="lightly")
    assert found.keys() == {
        "unknown-category",
        "broken-segmentation",
        "mask-size",
        "score-out-of-range",
        "broken-json",
        "file-name",
    }
    assert found["score-out-of-range"][0][0].endswith(f"{name}, prediction {len(content['predictions'])}")


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("schema.json", "{", "broken-json"),
        ("schema.json", '{"task_type": "x", "categories": []}', "no-schema"),
        (".lightly/predictions/tasks.json", '["gone"]', "no-schema"),
        (".lightly/predictions/tasks.json", "{}", "not-lightly"),
        ("readme.txt", "", "not-lightly"),
    ],
)
def test_what_is_no_datasource(tmp_path: Path, fails: Any, name: str, text: str, code: str) -> None:
    path = tmp_path / "source" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert code in fails(tmp_path / "source", format="lightly")


def test_lightlys_models_pass_what_comes_out(made: Any, tmp_path: Path) -> None:
    source = made("cvat/images/annotations.xml", format="cvat", task="instance-segmentation")
    labelferry.convert(source, tmp_path / "out", format="lightly", task_name="t")
    assert read_valid_task(tmp_path / "out", "t") == read_valid_task(source, "t")
