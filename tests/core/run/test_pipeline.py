"""The conversion as a whole: names, collisions, resuming, workers, errors, tasks.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest

import labelferry
from labelferry import Annotations, Category, Finding, Image, Object, TaskType
from labelferry.plugin.adapter import Adapter, adapter_options, make_adapter
from labelferry.plugin.export import Export, Request
from tests.lightly_models import read_valid_task


class Boxes(Adapter):
    """Images by name, each with one box a number in its source; 'broken' in place of one is an error."""

    tasks = (TaskType.OBJECT_DETECTION,)
    read: ClassVar[list[str]] = []

    def __init__(self, images: dict[str, list[Any]], *, note: Annotated[str, "A note."] = "") -> None:
        self.images = images
        self.note = note

    def get_categories(self) -> list[Category]:
        return [Category(7, "dog"), Category(3, "cat")]

    def get_images(self) -> Iterator[Image]:
        for name, boxes in self.images.items():
            yield Image(name, boxes)

    def get_labels(self, image: Image) -> Annotations:
        self.read.append(image.file_name)
        if "whole" in image.source:
            raise labelferry.ExportError("cannot be read", where=f"{image.file_name}.txt:1", code="broken-image")
        if "crash" in image.source:
            raise KeyError("a defect")
        findings = [
            Finding("error", "broken-line", f"{image.file_name}.txt:{line}", f"found {number!r}, not a number")
            for line, number in enumerate(image.source, 1)
            if number == "broken"
        ]
        objects = [Object(7, (number, 0, 10, 10)) for number in image.source if number != "broken"]
        annotations = Annotations.from_objects(objects, (64, 48))
        annotations.findings += findings
        return annotations


def predictions(datasource: Path, task: str = "test") -> dict[str, Any]:
    return read_valid_task(datasource, task)[1]


def test_one_file_an_image_at_its_path_with_the_extension_replaced(tmp_path: Path) -> None:
    names = ["a.jpg", "sub/b.c.PNG", "sub/noextension", "späce ü.jpeg"]
    report = labelferry.convert(Boxes({name: [1] for name in names}), tmp_path, task_name="test")
    folder = tmp_path / ".lightly" / "predictions" / "test"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json")) == sorted(
        ["schema.json", "a.json", "sub/b.c.json", "sub/noextension.json", "späce ü.json"]
    )
    expected = {"category_id": 1, "bbox": [1, 0, 10, 10], "score": 1.0}
    assert json.loads((folder / "sub" / "b.c.json").read_text()) == {
        "file_name": "sub/b.c.PNG",
        "predictions": [expected],
    }
    assert json.loads((folder / "schema.json").read_text()) == {
        "task_type": "object-detection",
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }
    assert json.loads((folder.parent / "tasks.json").read_text()) == ["test"]
    assert (report.images, report.objects) == (4, {"cat": 0, "dog": 4})


def test_an_image_without_objects_has_a_file_with_an_empty_list(tmp_path: Path) -> None:
    report = labelferry.convert(Boxes({"a.jpg": []}), tmp_path, task_name="test")
    assert predictions(tmp_path) == {"a.jpg": []}
    assert report.empty_images == 1


def test_the_image_prefix_stands_before_every_path(tmp_path: Path) -> None:
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test", image_prefix="day 1/camera/")
    assert list(predictions(tmp_path)) == ["day 1/camera/a.jpg"]


@pytest.mark.parametrize(
    "name", ["/abs/a.jpg", "../a.jpg", "a/../../b.jpg", "", "a\0b.jpg", "C:\\a.jpg", "a\ud800.jpg"]
)
def test_a_name_that_leaves_the_datasource_or_is_no_file_name_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(labelferry.ConversionError) as caught:
        labelferry.convert(Boxes({name: [1], "fine.jpg": [1]}), tmp_path / "out", task_name="test")
    assert [finding.code for finding in caught.value.report.errors] == ["file-name"]
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.rglob("*")) == []


def test_backslashes_and_dots_in_names_are_brought_into_form(tmp_path: Path) -> None:
    labelferry.convert(Boxes({"sub\\a.jpg": [1], "./b.jpg": [1], "sub//c.jpg": []}), tmp_path, task_name="test")
    assert set(predictions(tmp_path)) == {"sub/a.jpg", "b.jpg", "sub/c.jpg"}


@pytest.mark.parametrize("workers", [1, 2])
def test_images_that_share_a_prediction_file_are_an_error_that_names_them(workers: int, tmp_path: Path) -> None:
    images = {"a.jpg": [1], "b.jpg": [2, 3], "b.png": [4], "./b.jpg": [], **{f"{i}.jpg": [] for i in range(70)}}
    with pytest.raises(labelferry.ConversionError) as caught:
        labelferry.convert(Boxes(images), tmp_path, task_name="test", workers=workers)
    (finding,) = caught.value.report.errors
    assert (finding.code, finding.count) == ("name-collision", 3)
    assert "b.jpg, b.jpg, b.png" in finding.examples[0][1]
    report = labelferry.convert(Boxes(images), tmp_path, task_name="test", on_error="skip", workers=workers)
    assert set(predictions(tmp_path)) == {"a.jpg", *(f"{i}.jpg" for i in range(70))}
    assert (report.images, report.objects["dog"], report.empty_images) == (71, 1, 70)


def test_an_image_named_schema_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(labelferry.ConversionError, match=r"schema\.json"):
        labelferry.convert(Boxes({"schema.png": [1]}), tmp_path, task_name="test")


def test_all_errors_of_a_run_are_collected_and_nothing_is_published(tmp_path: Path) -> None:
    images = {"a.jpg": ["broken", 1, "broken"], "b.jpg": ["whole"], "c.jpg": ["crash"], "d.jpg": [1]}
    with pytest.raises(labelferry.ConversionError) as caught:
        labelferry.convert(Boxes(images), tmp_path / "out", task_name="test")
    report = caught.value.report
    assert {finding.code: finding.count for finding in report.errors} == {
        "broken-line": 2,
        "broken-image": 1,
        "adapter-failed": 1,
    }
    examples = {finding.code: finding.examples for finding in report.errors}
    assert examples["broken-line"] == [
        ("a.jpg.txt:1", "found 'broken', not a number"),
        ("a.jpg.txt:3", "found 'broken', not a number"),
    ]
    assert examples["broken-image"] == [("b.jpg.txt:1", "cannot be read")]
    assert "KeyError: 'a defect' (at test_pipeline.py:" in examples["adapter-failed"][0][1]
    assert not report.published
    assert not (tmp_path / "out").exists()


def test_objects_of_what_is_refused_while_images_are_listed_are_found_and_lost(tmp_path: Path) -> None:
    class Listing(Export):
        def __init__(self, request: Request) -> None:
            super().__init__(request, (TaskType.OBJECT_DETECTION,), [Category(0, "dog")])

        def images(self) -> Iterator[Image | Finding]:
            yield Finding.error("broken-row", "a.csv:2", "no name", lost=2)
            yield Image("a.jpg")
            yield Finding.error("broken-row", "a.csv:4", "no name", lost=3)

        def labels(self, image: Image) -> Annotations:
            labels = Annotations.from_objects([Object(0, (0, 0, 1, 1))], (64, 48))
            labels.found = 1
            return labels

    class Listed(Adapter):
        def open(self, request: Request) -> Export:
            return Listing(request)

    report = labelferry.convert(Listed(), tmp_path, task_name="test", on_error="skip")
    assert (report.found_objects, report.lost_objects, report.objects) == (6, 5, {"dog": 1})


def test_skipping_errors_publishes_the_rest_and_says_what_was_left_out(tmp_path: Path) -> None:
    images = {"a.jpg": ["broken", 1, "broken"], "b.jpg": ["whole"], "c.jpg": [2]}
    report = labelferry.convert(Boxes(images), tmp_path, task_name="test", on_error="skip")
    assert {name: len(objects) for name, objects in predictions(tmp_path).items()} == {"a.jpg": 1, "c.jpg": 1}
    assert sum(finding.count for finding in report.errors) == 3


def test_what_an_adapter_found_is_told_even_if_the_image_is_refused_afterwards(tmp_path: Path) -> None:
    class NoSize(Boxes):
        def get_labels(self, image: Image) -> Annotations:
            annotations = super().get_labels(image)
            annotations.size = None
            return annotations

    with pytest.raises(labelferry.UsageError, match="at the top of a module"):  # it cannot be pickled
        labelferry.convert(NoSize({}), tmp_path / "out", task_name="test", workers=2)
    with pytest.raises(labelferry.ConversionError) as caught:
        labelferry.convert(NoSize({"a.jpg": ["broken", 1]}), tmp_path / "out", task_name="test")
    assert {finding.code for finding in caught.value.report.errors} == {"broken-line", "image-size"}


def test_strict_makes_repairs_errors(tmp_path: Path) -> None:
    images = {"a.jpg": [60]}  # reaches over the right edge
    report = labelferry.convert(Boxes(images), tmp_path / "lax", task_name="test")
    assert [(f.code, f.count) for f in report.repairs] == [("box-clipped", 1)]
    with pytest.raises(labelferry.ConversionError):
        labelferry.convert(Boxes(images), tmp_path / "strict", task_name="test", strict=True)
    assert not (tmp_path / "strict").exists()


def test_an_existing_task_is_not_touched_without_overwrite(tmp_path: Path) -> None:
    labelferry.convert(Boxes({"a.jpg": [1], "b.jpg": []}), tmp_path, task_name="test")
    with pytest.raises(labelferry.UsageError, match="--overwrite"):
        labelferry.convert(Boxes({"a.jpg": [2]}), tmp_path, task_name="test")
    assert set(predictions(tmp_path)) == {"a.jpg", "b.jpg"}
    labelferry.convert(Boxes({"a.jpg": [2]}), tmp_path, task_name="test", overwrite=True)
    assert {name: objects[0]["bbox"][0] for name, objects in predictions(tmp_path).items()} == {"a.jpg": 2}


def test_a_failed_overwrite_leaves_the_old_task(tmp_path: Path) -> None:
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test")
    with pytest.raises(labelferry.ConversionError):
        labelferry.convert(Boxes({"a.jpg": ["broken"]}), tmp_path, task_name="test", overwrite=True)
    assert predictions(tmp_path)["a.jpg"][0]["bbox"][0] == 1


def test_tasks_json_is_extended_and_never_overwritten(tmp_path: Path) -> None:
    tasks = tmp_path / ".lightly" / "predictions" / "tasks.json"
    tasks.parent.mkdir(parents=True)
    tasks.write_text('["someone else\'s", "one more"]')
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test")
    assert json.loads(tasks.read_text()) == ["someone else's", "one more", "test"]
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test", overwrite=True)
    assert json.loads(tasks.read_text()) == ["someone else's", "one more", "test"]


@pytest.mark.parametrize("content", ["{}", "[1]", "[", ""])
def test_a_broken_tasks_json_is_refused_before_any_work(content: str, tmp_path: Path) -> None:
    tasks = tmp_path / ".lightly" / "predictions" / "tasks.json"
    tasks.parent.mkdir(parents=True)
    tasks.write_text(content)
    with pytest.raises(labelferry.UsageError, match=r"tasks\.json"):
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test")
    assert [p.name for p in tasks.parent.iterdir()] == ["tasks.json"]
    assert tasks.read_text() == content


@pytest.mark.parametrize("name", ["", "a b", "ä", "..", "a/../b", "/a", "a/", ".hidden", "a\n"])
def test_task_names_follow_lightlys_pattern_and_stay_below_the_predictions(name: str, tmp_path: Path) -> None:
    with pytest.raises(labelferry.UsageError, match="task name"):
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name=name)


def test_a_task_in_a_subfolder_is_fine_but_not_one_within_another(tmp_path: Path) -> None:
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="models/yolo-v8=x,@:1.0+")
    assert list(predictions(tmp_path, "models/yolo-v8=x,@:1.0+")) == ["a.jpg"]
    with pytest.raises(labelferry.UsageError, match="nested"):
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="models")


def test_the_default_score_is_the_users(tmp_path: Path) -> None:
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test", score=0.25)
    assert predictions(tmp_path)["a.jpg"][0]["score"] == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": 1.5}, "score is a number from 0 to 1, not 1.5"),
        ({"workers": 0}, "workers"),
        ({"task": "segmentation"}, "no task type 'segmentation'"),
        ({"task": "keypoint-detection"}, "holds no keypoint-detection; it holds object-detection"),
        ({"classes": ["cow"]}, "no class 'cow'; it has cat, dog"),
        ({"classes": {"dogs": "x"}}, "no class 'dogs'; it has cat, dog. Did you mean 'dog'"),
        ({"on_error": "ignore"}, "on_error"),
        ({"strict": True, "on_error": "skip"}, "strict"),
        ({"note": "x"}, "takes its options when it is made"),
    ],
)
def test_wrong_arguments_are_refused_by_name(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(labelferry.UsageError, match=message):
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="test", **options)
    assert not any(tmp_path.iterdir())


def test_a_datasource_that_is_a_file_or_a_url_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for datasource in (tmp_path / "file", "s3://bucket/path"):
        with pytest.raises(labelferry.UsageError):
            labelferry.convert(Boxes({"a.jpg": [1]}), datasource, task_name="test")


def test_classes_keep_rename_and_merge_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    report = labelferry.convert(Boxes({"a.jpg": [1, 2]}), tmp_path, task_name="test", classes=["cat"])
    assert read_valid_task(tmp_path, "test") == (
        {"task_type": "object-detection", "categories": [{"id": 0, "name": "cat"}]},
        {"a.jpg": []},
    )
    assert [(f.kind, f.code, f.count) for f in report.notes] == [("note", "class-left-out", 2)]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_worker_processes_threads_and_this_process_write_the_same_bytes(tmp_path: Path) -> None:
    images = {f"{i % 5}/{i}.jpg": [i % 60, "broken"] if i % 50 == 0 else [i % 60] for i in range(200)}
    reports = []
    for number, options in enumerate(
        [{"workers": 1}, {"workers": 2}, {"workers": None}, {"executor": ThreadPoolExecutor(2)}]
    ):
        folder = tmp_path / str(number)
        reports.append(labelferry.convert(Boxes(images), folder, task_name="test", on_error="skip", **options))
    first, *others = (snapshot(tmp_path / str(number)) for number in range(4))
    assert len(first) == 202
    for other in others:
        assert other == first
    for report in reports:
        report.seconds, report.datasource = 0.0, ""
    assert reports[1:] == reports[:1] * 3


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)
    monkeypatch.setattr("labelferry.plugin.export.BOXES", 32)
    images = {f"{i}.jpg": [i % 50] for i in range(100)}
    done = 0

    def interrupt(count: int, total: int | None, what: str) -> None:
        nonlocal done
        done = count
        if count >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(Boxes(images), tmp_path / "out", task_name="test", progress=interrupt)
    assert not (tmp_path / "out" / ".lightly" / "predictions" / "tasks.json").exists()
    Boxes.read.clear()
    report = labelferry.convert(Boxes(images), tmp_path / "out", task_name="test")
    assert report.resumed_images == done == 64
    assert len(Boxes.read) == 36
    labelferry.convert(Boxes(images), tmp_path / "clean", task_name="test")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "clean")
    assert report.objects == {"cat": 0, "dog": 100}


def test_what_has_changed_since_an_interruption_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)
    label = tmp_path / "label.txt"
    label.write_text("1")

    class FromFile(Boxes):
        def get_images(self) -> Iterator[Image]:
            for name, boxes in self.images.items():
                yield Image(name, (label, boxes), files=(str(label),))

        def get_labels(self, image: Image) -> Annotations:
            number = float(image.source[0].read_text())
            return Annotations.from_objects([Object(3, (number, 0, 10, 10))], (64, 48))

    def interrupt(count: int, total: int | None, what: str) -> None:
        raise KeyboardInterrupt

    adapter = FromFile({f"{i}.jpg": [] for i in range(40)})
    monkeypatch.setattr(f"{__name__}.FromFile", FromFile, raising=False)
    FromFile.__qualname__ = "FromFile"  # so that it can be pickled
    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(adapter, tmp_path / "out", task_name="test", progress=interrupt)
    label.write_text("2.5")
    report = labelferry.convert(adapter, tmp_path / "out", task_name="test")
    assert report.resumed_images == 0
    assert {p[0]["bbox"][0] for p in predictions(tmp_path / "out").values()} == {2.5}


def test_other_options_do_not_take_up_an_interrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)

    def interrupt(count: int, total: int | None, what: str) -> None:
        raise KeyboardInterrupt

    images = {f"{i}.jpg": [1] for i in range(40)}
    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(Boxes(images), tmp_path, task_name="test", progress=interrupt)
    report = labelferry.convert(Boxes(images), tmp_path, task_name="test", score=0.5)
    assert report.resumed_images == 0
    assert {p[0]["score"] for p in predictions(tmp_path).values()} == {0.5}


def test_a_full_disk_ends_the_run_with_nothing_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelferry.lightly.storage.write_new", full)
    with pytest.raises(labelferry.LabelferryError, match="No space left on device"):
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path / "out", task_name="test")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder that cannot be written")
def test_a_datasource_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(labelferry.UsageError, match="cannot write"):
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path / "out", task_name="test")


def test_an_adapters_options_are_its_constructors_documented_parameters() -> None:
    (option,) = adapter_options(Boxes)
    assert option == ("note", str, "", "A note.")
    with pytest.raises(labelferry.UsageError, match="no option 'nota'; its options are: note"):
        make_adapter(Boxes, "path", {"nota": 1})


def test_mixed_columns_of_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 objects have no score"):
        Annotations.from_objects([Object(0, (0, 0, 1, 1), score=0.5), Object(0, (0, 0, 1, 1))])


def test_the_public_api_encodes_and_decodes_the_documented_example() -> None:
    mask = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]])
    assert labelferry.encode(mask) == [2, 2, 1, 3, 3, 1]
    assert np.array_equal(labelferry.decode([2, 2, 1, 3, 3, 1], (3, 4)), mask.astype(bool))
    for wrong in ([2, 2], [12, 0], [13], [-1, 13], [[12]], [1.5, 10.5]):
        with pytest.raises(ValueError, match=r"run length|sum"):
            labelferry.decode(wrong, (3, 4))


def test_a_task_whose_name_begins_with_that_of_a_running_one_is_free(tmp_path: Path) -> None:
    from labelferry.lightly.task_folder import TaskFolder

    fingerprint = "0123456789abcdef"
    with TaskFolder(tmp_path, "x.y", fingerprint) as other:
        labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="x")
        assert other.files.parent.exists(), "the staging folder of x.y"
    labelferry.convert(Boxes({"a.jpg": [1]}), tmp_path, task_name="x", overwrite=True)
    assert other.files.parent.exists(), "left by a killed run, for the next one"


def test_a_torn_journal_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)
    images = {f"{i}.jpg": [i % 50] for i in range(2000)}

    def interrupt(done: int, total: int | None, what: str) -> None:
        if done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(Boxes(images), tmp_path, task_name="test", progress=interrupt)
    (journal,) = tmp_path.rglob("journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    report = labelferry.convert(Boxes(images), tmp_path, task_name="test")
    assert 0 < report.resumed_images < 1000
    assert {name: p[0]["bbox"][0] for name, p in predictions(tmp_path).items()} == {
        f"{i}.jpg": i % 50 for i in range(2000)
    }


@pytest.mark.parametrize("change", ["content", "time", "size on disk"])
def test_a_file_that_changes_after_an_interruption_is_read_again(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO: the one file that all images depend on."""
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)
    monkeypatch.setattr("labelferry.plugin.export.BOXES", 8)
    source = tmp_path / "a.json"
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in range(40)]
    annotations = [{"id": i, "image_id": i, "category_id": 1, "bbox": [5, 5, 9, 9]} for i in range(40)]
    content = {"images": images, "categories": [{"id": 1, "name": "car"}], "annotations": annotations}
    source.write_text(json.dumps(content))

    def interrupt(done: int, total: int | None, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(source, tmp_path, format="coco", task_name="test", progress=interrupt)
    status = os.stat(source)
    if change == "content":  # same size, other time
        source.write_text(source.read_text().replace("[5, 5, 9, 9]", "[7, 7, 9, 9]"))
    elif change == "time":
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    else:
        source.write_text(source.read_text() + "  ")
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = labelferry.convert(source, tmp_path, format="coco", task_name="test")
    assert report.resumed_images == 0
    expected = 7 if change == "content" else 5
    assert {p[0]["bbox"][0] for p in predictions(tmp_path).values()} == {expected}


def test_what_an_interrupted_run_has_written_is_published_only_where_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)
    images = {f"{i}.jpg": [i % 50] for i in range(2000)}

    def interrupt(done: int, total: int | None, what: str) -> None:
        if done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelferry.convert(Boxes(images), tmp_path, task_name="test", progress=interrupt)
    (folder,) = tmp_path.rglob("task")
    (folder / "3.json").write_bytes(b"")  # as after a power cut
    (folder / "stranger.json").write_bytes(b"{}")
    report = labelferry.convert(Boxes(images), tmp_path, task_name="test")
    assert report.images == 2000
    assert report.resumed_images > 0
    assert {name: p[0]["bbox"][0] for name, p in predictions(tmp_path).items()} == {
        f"{i}.jpg": i % 50 for i in range(2000)
    }
