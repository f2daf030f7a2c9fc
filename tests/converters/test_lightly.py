"""Reading a datasource back: byte for byte without options; renamed, merged, derived and moved with them."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import labelferry
from labelferry.converters.lightly import Lightly
from labelferry.plugin.export import Request
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


def written(tmp_path: Path, task: str, *files: str) -> Path:
    """A task folder with the classes a and b and prediction files 0.json, 1.json, ... of these predictions."""
    folder = tmp_path / "source"
    folder.mkdir()
    keypoints = {"keypoints": ["nose", "tail"], "skeleton": []} if task == "keypoint-detection" else {}
    categories = [{"id": 0, "name": "a", **keypoints}, {"id": 1, "name": "b", **keypoints}]
    (folder / "schema.json").write_text(json.dumps({"task_type": task, "categories": categories}))
    for number, predictions in enumerate(files):
        (folder / f"{number}.json").write_text(f'{{"file_name": "{number}.png", "predictions": [{predictions}]}}')
    return folder


WITHOUT = '{"category_id": 0, "keypoints": [4, 5, 1, 10, 25, 0], "score": 1}'
WITH = '{"category_id": 1, "keypoints": [4, 5, 1, 10, 25, 0], "bbox": [1, 2, 30, 40], "score": 1}'


def test_keypoints_without_a_box_have_the_tight_one(tmp_path: Path, convert: Any) -> None:
    """Invisible keypoints included, as Lightly takes it."""
    source = written(tmp_path, "keypoint-detection", WITHOUT, f"{WITH}, {WITHOUT}", WITH)
    found = convert(source, format="lightly", task="object-detection")
    tight, given = [4, 5, 6, 20], [1, 2, 30, 40]
    assert {name: [p["bbox"] for p in predictions] for name, predictions in found.items()} == {
        "0.png": [tight],
        "1.png": [given, tight],
        "2.png": [given],
    }
    assert not convert.report.repairs


def test_broken_keypoints_are_not_needed_where_there_is_a_box(tmp_path: Path, convert: Any, fails: Any) -> None:
    broken = '{"category_id": 1, "keypoints": [4, 5], "bbox": [1, 2, 30, 40], "score": 1}'
    source = written(tmp_path, "keypoint-detection", broken)
    assert list(fails(source, format="lightly")) == ["broken-keypoints"]
    found = convert(source, format="lightly", task="object-detection")
    assert [p["bbox"] for p in found["0.png"]] == [[1, 2, 30, 40]]


def test_keypoints_some_with_a_box_keep_it_and_the_others_get_the_tight_one(tmp_path: Path, convert: Any) -> None:
    source = written(tmp_path, "keypoint-detection", WITHOUT, f"{WITH}, {WITHOUT}")
    found = convert(source, format="lightly")
    assert [p.get("bbox") for p in found["0.png"]] == [None]
    assert [p.get("bbox") for p in found["1.png"]] == [[1, 2, 30, 40], [4, 5, 6, 20]]


def test_a_mask_without_a_box_needs_the_size_of_its_image(tmp_path: Path, convert: Any, fails: Any) -> None:
    """Run lengths alone do not say how wide the image is."""
    mask = '{"category_id": 0, "segmentation": [5, 2, 2, 2, 1], "score": 1}'
    box = '{"category_id": 1, "segmentation": [0, 12], "bbox": [0, 0, 4, 3], "score": 1}'
    source = written(tmp_path, "instance-segmentation", f"{mask}, {box}")
    for task in ("instance-segmentation", "object-detection"):
        ((where, message),) = fails(source, format="lightly", task=task)["box-missing"]
        assert where.endswith("0.json, prediction 1")
        assert "--images" in message
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images/0.png")
    for task in ("instance-segmentation", "object-detection"):
        found = convert(source, format="lightly", task=task, images=tmp_path / "images")
        assert [p["bbox"] for p in found["0.png"]] == [[1, 1, 2, 2], [0, 0, 4, 3]]
    semantic = convert(source, format="lightly", task="semantic-segmentation")
    assert [p["segmentation"] for p in semantic["0.png"]] == [[5, 2, 2, 2, 1], [0, 12]]


HUGE = str(10**30)
BEYOND = str(10**400)


@pytest.mark.parametrize(
    ("task", "prediction"),
    [
        ("object-detection", f'{{"category_id": {HUGE}, "bbox": [0, 0, 2, 2], "score": 1}}'),
        ("object-detection", f'{{"category_id": {2**63}, "bbox": [0, 0, 2, 2], "score": 1}}'),
        ("object-detection", f'{{"category_id": -{HUGE}, "bbox": [0, 0, 2, 2], "score": 1}}'),
        ("object-detection", f'{{"category_id": 0, "bbox": [0, 0, {BEYOND}, 2], "score": 1}}'),
        ("object-detection", f'{{"category_id": 0, "bbox": [0, 0, 2, 2], "score": {BEYOND}}}'),
        ("instance-segmentation", f'{{"category_id": 0, "bbox": [0, 0, 2, 2], "segmentation": [{HUGE}, 4]}}'),
        ("instance-segmentation", f'{{"category_id": 0, "bbox": [0, 0, 2, 2], "segmentation": [{2**63}, 4]}}'),
        (
            "instance-segmentation",
            f'{{"category_id": 0, "bbox": [0, 0, 2, 2], "segmentation": [{", ".join([str(2**53)] * 1025)}]}}',
        ),
        ("keypoint-detection", f'{{"category_id": 0, "keypoints": [{BEYOND}, 1, 1, 2, 2, 2], "score": 1}}'),
        ("classification", f'{{"category_id": 0, "probabilities": [{BEYOND}, 0]}}'),
    ],
)
def test_numbers_beyond_64_bits_are_an_error_of_their_file_alone(task: str, prediction: str, tmp_path: Path) -> None:
    sound = {
        "object-detection": '{"category_id": 1, "bbox": [0, 0, 2, 2], "score": 1}',
        "instance-segmentation": '{"category_id": 1, "bbox": [0, 0, 2, 2], "segmentation": [0, 4]}',
        "keypoint-detection": '{"category_id": 1, "keypoints": [1, 1, 1, 2, 2, 1], "score": 1}',
        "classification": '{"category_id": 1, "probabilities": [0, 1]}',
    }[task]
    source = written(tmp_path, task, sound, prediction, sound)
    report = labelferry.convert(source, tmp_path / "out", format="lightly", task_name="t", on_error="skip")
    (error,) = report.errors
    assert error.examples[0][0].startswith(f"{source}/1.json")
    assert (report.found_objects, report.lost_objects, report.objects) == (3, 1, {"a": 0, "b": 2})


def test_a_file_nested_too_deep_is_an_error(tmp_path: Path, fails: Any) -> None:
    source = written(tmp_path, "object-detection", "", '{"category_id": 0, "x": ' + "[" * 200_000 + "]" * 200_000 + "}")
    assert list(fails(source, format="lightly")) == ["broken-json"]


def test_every_entry_of_the_prediction_files_is_found(made: Any, tmp_path: Path) -> None:
    for number, (export, options) in enumerate(EXPORTS):
        task = f"task_{number}"
        source = made(export, task, **options)
        listed = [json.loads(content) for name, content in files(source, task).items() if name != "schema.json"]
        report = labelferry.convert(source, tmp_path / "copy", format="lightly", source_task=task, task_name=task)
        assert report.found_objects == sum(len(one["predictions"]) for one in listed) > 0
        assert report.lost_objects == 0


def test_entries_that_cannot_be_read_are_lost(tmp_path: Path) -> None:
    sound = '{"category_id": 1, "bbox": [0, 0, 2, 2], "segmentation": [0, 4], "score": 1}'
    source = written(
        tmp_path,
        "instance-segmentation",
        f'{sound}, {{"category_id": 99, "segmentation": [0, 4]}}, {{"category_id": 0, "segmentation": [1, 0, 3]}}',
        f'{sound}, {{"category_id": 1}}, {{"category_id": 1, "bbox": null, "segmentation": [0, 4]}}',
        f'{sound}, {{"category_id": "one"}}',
        f"{sound}, {sound}",
        f"{sound}, {sound}, {sound}",
    )
    (source / "3.json").rename(source / "renamed.json")
    (source / "4.json").write_text((source / "4.json").read_text()[:-3])
    report = labelferry.convert(source, tmp_path / "out", format="lightly", on_error="skip")
    assert {error.code: error.count for error in report.errors} == {
        "unknown-category": 1,
        "broken-segmentation": 2,
        "box-missing": 1,
        "broken-json": 2,  # a class that is text; a file that is truncated, whose entries cannot be counted
        "file-name": 1,
    }
    assert (report.found_objects, report.lost_objects, report.objects) == (3 + 3 + 2 + 2, 8, {"a": 0, "b": 2})
    unknown = next(error for error in report.errors if error.code == "unknown-category")
    assert unknown.examples[0][1] == "category id 99 is not one of the schema's categories (0, 1)"


def test_an_image_whose_size_is_missing_loses_its_predictions(tmp_path: Path) -> None:
    box = '{"category_id": 1, "bbox": [0, 0, 2, 2], "score": 1}'
    source = written(tmp_path, "object-detection", f"{box}, {box}")
    report = labelferry.convert(source, tmp_path / "out", format="lightly", images=tmp_path, on_error="skip")
    assert [error.code for error in report.errors] == ["image-missing"]
    assert (report.found_objects, report.lost_objects) == (2, 2)


def test_prediction_files_are_read_where_they_are_converted(tmp_path: Path) -> None:
    """What travels to a worker is the path, however large the file is."""
    mask = ", ".join(["1"] * 100_000)
    source = written(tmp_path, "semantic-segmentation", f'{{"category_id": 0, "segmentation": [{mask}], "score": 1}}')
    export = Lightly(source).open(Request())
    (image,) = export.images()
    assert isinstance(image, labelferry.Image)
    assert image.files == (f"{source}/0.json",)
    assert len(pickle.dumps(image)) < 1000
    assert export.labels(image).found == 1


BOX = '{"category_id": 0, "bbox": [0, 0, 2, 2], "score": 0.5}'


def test_keys_that_are_not_known_are_reported(tmp_path: Path) -> None:
    source = written(
        tmp_path, "object-detection", '{"category_id": 0, "bbox": [0, 0, 2, 2], "scores": 0.5, "extra": 1}'
    )
    report = labelferry.convert(source, tmp_path / "out", format="lightly", task_name="t")
    assert [(one.code, one.examples[0][1]) for one in (*report.warnings, *report.notes)] == [
        ("unknown-key", "'scores' is not read; did you mean 'score'?"),
        ("unread-key", "'extra' is not read"),
    ]
    assert {one.code: one.count for one in report.repairs} == {"score-missing": 1}


def test_values_that_the_task_type_does_not_have_are_noted(tmp_path: Path) -> None:
    source = written(tmp_path, "object-detection", BOX[:-1] + ', "segmentation": [0, 4]}')
    report = labelferry.convert(source, tmp_path / "out", format="lightly", task_name="t")
    assert [one.examples[0][1] for one in report.notes] == ["'segmentation' is not read"]


def test_a_score_that_only_some_predictions_have_is_an_error_of_the_others(tmp_path: Path) -> None:
    source = written(tmp_path, "object-detection", f'{BOX}, {{"category_id": 1, "bbox": [1, 1, 2, 2]}}')
    report = labelferry.convert(source, tmp_path / "out", format="lightly", task_name="t", on_error="skip")
    assert {one.code: one.count for one in report.errors} == {"score-missing": 1}
    assert (report.found_objects, report.lost_objects) == (2, 1)


@pytest.mark.parametrize("key", ["score", "probabilities"])
def test_null_is_an_error(key: str, tmp_path: Path, fails: Any) -> None:
    prediction = {**json.loads(BOX), key: None}
    source = written(tmp_path, "object-detection", json.dumps(prediction))
    assert "broken-json" in fails(source, format="lightly")


def test_probabilities_that_some_predictions_miss_are_a_warning(tmp_path: Path) -> None:
    files = (BOX, BOX[:-1] + ', "probabilities": [1, 0]}')
    report = labelferry.convert(
        written(tmp_path, "object-detection", *files), tmp_path / "out", format="lightly", task_name="t"
    )
    assert {one.code: one.count for one in report.warnings} == {"probabilities-missing": 1}


def test_tasks_and_files_that_are_not_read_are_reported(tmp_path: Path) -> None:
    written(tmp_path, "object-detection", BOX).rename(tmp_path / "t")
    predictions = tmp_path / "predictions"
    for name in ("t", "hidden"):
        shutil.copytree(tmp_path / "t", predictions / name)
    (predictions / "tasks.json").write_text('["t"]')
    (predictions / "t/notes.txt").touch()
    report = labelferry.convert(predictions, tmp_path / "out", format="lightly", task_name="u")
    assert [one.examples[0][1] for one in report.notes] == ["the task 'hidden' is not named in it"]
    assert [one.code for one in report.warnings] == ["files-not-read"]


def test_the_size_of_a_mask_is_that_of_its_image_in_the_input_datasource(tmp_path: Path, fails: Any) -> None:
    source = written(tmp_path, "semantic-segmentation", '{"category_id": 0, "segmentation": [1, 2], "score": 1}')
    name = json.loads(next(path for path in source.rglob("*.json") if path.name != "schema.json").read_text())
    (tmp_path / "input").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "input" / name["file_name"])
    assert "broken-segmentation" in fails(source, format="lightly", input=tmp_path / "input")
