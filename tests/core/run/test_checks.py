"""What only the whole run can tell: names that do not exist, exports without labels, and questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelferry
from labelferry import Adapter, Annotations, Category, Image, TaskType
from labelferry.cli.report import print_report
from labelferry.errors import AmbiguousError, ExportError
from labelferry.findings import Finding
from labelferry.plugin.export import Export, Request
from labelferry.plugin.merge import Merged
from labelferry.reading.keys import key_evidence, unread_keys
from labelferry.report import Report, Tally
from tests.video_files import write_video


class Names(Adapter):
    """Images of these names, each with a box."""

    tasks = (TaskType.OBJECT_DETECTION,)

    def __init__(self, *names: str, boxes: int = 1) -> None:
        self.names = names
        self.boxes = boxes

    def get_categories(self) -> list[Category]:
        return [Category(0, "a")]

    def get_images(self) -> Iterator[Image]:
        yield from map(Image, self.names)

    def get_labels(self, image: Image) -> Annotations:
        boxes = np.tile([1.0, 1, 2, 2], (self.boxes, 1))
        return Annotations(np.zeros(self.boxes, np.int64), (8, 8), boxes, found=self.boxes)


def media(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def converted(adapter: Adapter, out: Path, **options: Any) -> Report:
    return labelferry.convert(adapter, out, task_name="test", overwrite=True, **options)


def messages(report: Report, kind: str) -> dict[str, list[str]]:
    return {one.code: [": ".join(filter(None, example)) for example in one.examples] for one in getattr(report, kind)}


def test_names_are_looked_up_in_the_datasource_if_it_holds_media(tmp_path: Path) -> None:
    media(tmp_path / "out", "sub/a.jpg", "b.jpg", ".thumbs/c.jpg", "clip.mp4", "notes.txt")
    report = converted(Names("sub/a.jpg"), tmp_path / "out")
    assert (report.input, report.names_in_input, report.input_without_file) == (str(tmp_path / "out"), 1, 1)
    assert report.example == ("sub/a.jpg", "sub/a.json")
    assert converted(Names("a.jpg"), tmp_path / "other").input is None
    report = converted(Names("a.jpg"), tmp_path / "out", input="none")
    assert (report.input, report.published) == (None, True)


def test_no_name_at_all_in_the_input_datasource_is_an_error_that_is_not_skipped(tmp_path: Path) -> None:
    root = media(tmp_path / "data", "images/train/a.jpg", "images/train/b.jpg")
    with pytest.raises(labelferry.ConversionError) as raised:
        converted(Names("a.jpg", "b.jpg"), tmp_path / "out", input=root, on_error="skip")
    (text, *examples) = messages(raised.value.report, "errors")["image-not-in-input"]
    assert text.startswith("2 of 2 names do not exist in the input datasource")
    assert text.endswith("they exist below 'images/train/': --image-prefix images/train/")
    assert examples[0] == "a.jpg: the input datasource has 'images/train/a.jpg'"
    report = converted(Names("a.jpg", "b.jpg"), tmp_path / "out", input=root, image_prefix="images/train/")
    assert (report.names_in_input, report.warnings) == (2, [])


def test_unrelated_images_in_the_datasource_are_told_how_to_be_passed_over(tmp_path: Path) -> None:
    media(tmp_path / "out", "preview.png")
    with pytest.raises(labelferry.ConversionError) as raised:
        converted(Names("a.jpg"), tmp_path / "out")
    (text, _) = messages(raised.value.report, "errors")["image-not-in-input"]
    assert text.endswith("; --input DIR names another one, --input none turns this check off")


def test_names_that_are_relative_to_a_folder_above_name_it(tmp_path: Path) -> None:
    media(tmp_path / "data", "images/train/a.jpg")
    names = Names("images/train/a.jpg", "images/val/b.jpg")
    with pytest.raises(labelferry.ConversionError) as raised:
        converted(names, tmp_path / "out", input=tmp_path / "data/images/train")
    text = messages(raised.value.report, "errors")["image-not-in-input"][0]
    assert text.endswith(f"; they are relative to a folder above it: --input {tmp_path}/data")


def test_some_missing_names_are_a_warning_that_says_what_is_there_instead(tmp_path: Path) -> None:
    root = media(tmp_path / "data", "a.jpg", "B.jpg", "c.png", "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", "x/e.jpg")
    names = ("a.jpg", "b.jpg", "c.jpg", "cafe\N{COMBINING ACUTE ACCENT}.jpg", "y/e.jpg", "f.jpg")
    report = converted(Names(*names), tmp_path / "out", input=root)
    text, *examples = messages(report, "warnings")["image-not-in-input"]
    assert text == f"5 of 6 names do not exist in the input datasource {root}"
    assert [example.partition(": ")[2] for example in examples] == [
        "the input datasource has 'B.jpg', which differs in upper and lower case",
        "the input datasource has 'c.png', which differs in the extension",
        "the input datasource has 'café.jpg', which differs in the Unicode form",
        "the input datasource has 'x/e.jpg'",
        "the input datasource has no file of this name",
    ]
    assert [one.count for one in report.warnings] == [5]
    assert (report.names_in_input, report.input_without_file) == (1, 4)


def test_names_of_frames_are_looked_up_in_the_videos(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_video(tmp_path / "data/clip.mp4", "mpeg4", frames=12)
    names = ("clip-03-mp4.png", "clip-12-mp4.png", "clip-3-mp4.png", "other-03-mp4.png")
    report = converted(Names(*names), tmp_path / "out", input=tmp_path / "data")
    assert report.names_in_input == 1
    _, *examples = messages(report, "warnings")["image-not-in-input"]
    assert [example.partition(":")[0] for example in examples] == list(names[1:])


def test_images_that_get_no_file_are_counted(tmp_path: Path) -> None:
    """Not those only that the export does not list: those, too, whose labels are at fault or whose files collide."""

    class Faulty(Names):
        def get_labels(self, image: Image) -> Annotations:
            if image.file_name == "b.jpg":
                raise ExportError("cannot be read")
            return super().get_labels(image)

    root = media(tmp_path / "data", "a.jpg", "b.jpg", "c.jpg", "d.jpg", "d.png")
    report = converted(Faulty("a.jpg", "b.jpg", "d.jpg", "d.png"), tmp_path / "out", input=root, on_error="skip")
    assert (report.names_in_input, report.images, report.input_without_file) == (4, 1, 4)
    assert (report.found_images, report.lost_images, report.merged_images) == (4, 3, 0)


def test_an_input_datasource_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    media(tmp_path, "a.jpg")
    for path, words in ((tmp_path / "none", "does not exist"), (tmp_path / "a.jpg", "is not a folder")):
        with pytest.raises(labelferry.UsageError, match=words):
            converted(Names("a.jpg"), tmp_path / "out", input=path)


@pytest.mark.parametrize("name", ["https://host/a.jpg", "s3://bucket/a.jpg", "file:///data/a.jpg"])
def test_a_url_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(labelferry.ConversionError, match="is a URL"):
        converted(Names(name), tmp_path / "out")


def test_an_export_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(labelferry.ConversionError) as raised:
        converted(Names(), tmp_path / "out", on_error="skip", allow_empty=True)
    assert list(messages(raised.value.report, "errors")) == ["no-images"]
    assert not (tmp_path / "out").exists()


def test_an_export_without_objects_is_a_warning(tmp_path: Path) -> None:
    report = converted(Names("a.jpg", boxes=0), tmp_path / "out")
    assert list(messages(report, "warnings")) == ["no-objects"]
    assert converted(Names("a.jpg", boxes=0), tmp_path / "out", allow_empty=True).warnings == []


class Evident(Names):
    """Gives evidence of each image, and judges it."""

    def __init__(self, evidence: dict[str, list[str]], question: bool = False) -> None:
        super().__init__(*evidence)
        self.evidence = evidence
        self.question = question

    def open(self, request: Request) -> Export:
        return _EvidentExport(self, request)


class _EvidentExport(Export):
    def __init__(self, adapter: Evident, request: Request) -> None:
        super().__init__(request, adapter.tasks, adapter.get_categories(), ["labels.json"])
        self.adapter = adapter
        self.chunk = 1
        self.label_folders = ("labels/train", "labels/val")

    def images(self) -> Iterator[Image]:
        yield from self.adapter.get_images()

    def labels(self, image: Image) -> Annotations:
        labels = self.adapter.get_labels(image)
        labels.evidence = Counter(self.adapter.evidence[image.file_name])
        return labels

    def judge(self, evidence: Mapping[str, int]) -> Iterator[Finding]:
        yield from super().judge(evidence)
        if self.adapter.question and evidence["six"]:
            raise AmbiguousError(f"{evidence['six']} lines of six numbers: say --track-ids or --no-track-ids")


@pytest.mark.parametrize("workers", [1, 2])
def test_evidence_of_all_images_is_judged_before_anything_is_published(tmp_path: Path, workers: int) -> None:
    export = Evident({"a.jpg": ["six"], "b.jpg": [], "c.jpg": ["six", "six"]}, question=True)
    with pytest.raises(AmbiguousError, match="3 lines of six numbers: say --track-ids"):
        converted(export, tmp_path / "out", on_error="skip", workers=workers)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_question_met_while_reading_ends_the_run(tmp_path: Path, workers: int) -> None:
    with pytest.raises(AmbiguousError, match="say which"):
        converted(Asking("a.jpg", "b.jpg"), tmp_path / "out", on_error="skip", workers=workers)
    assert not (tmp_path / "out").exists()


class Asking(Names):
    def get_labels(self, image: Image) -> Annotations:
        raise AmbiguousError("say which", where=image.file_name)


def test_the_evidence_of_a_killed_run_is_judged_with_that_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelferry.run.convert.JOURNAL_AFTER", -1.0)

    def interrupt(done: int, total: int | None, unit: str) -> None:
        raise KeyboardInterrupt

    export = Evident({"a.jpg": ["six"], "b.jpg": ["six"]}, question=True)
    with pytest.raises(KeyboardInterrupt):
        converted(export, tmp_path / "out", progress=interrupt)
    with pytest.raises(AmbiguousError, match="2 lines"):
        converted(export, tmp_path / "out")


def test_a_key_that_is_not_read_is_one_note_and_a_misspelt_one_a_warning(tmp_path: Path) -> None:
    known = ("names", "train")
    keys = [key_evidence(key, known, ("nomes",)) for key in ("area", "name", "area", "nomes")]
    report = converted(Evident({"a.jpg": keys, "b.jpg": keys[:1]}), tmp_path / "out")
    assert messages(report, "notes") == {
        "unread-key": ["labels.json: 'area' is not read (3 times)", "labels.json: 'nomes' is not read"]
    }
    assert messages(report, "warnings") == {"unknown-key": ["labels.json: 'name' is not read; did you mean 'names'?"]}
    with pytest.raises(labelferry.ConversionError):
        converted(Evident({"a.jpg": keys}), tmp_path / "out", strict=True)
    assert converted(Evident({"a.jpg": keys[:1]}), tmp_path / "out", strict=True).notes, "notes are never strict"


def test_a_known_key_that_is_given_is_not_what_another_was_meant_to_be() -> None:
    assert [one.code for one in unread_keys(["name"], ["names"])] == ["unknown-key"]
    assert [one.code for one in unread_keys(["name", "names"], ["names"])] == ["unread-key"]
    assert unread_keys(["names"], ["names"]) == []


def test_labels_for_no_image_are_an_error_and_for_one_split_a_warning(tmp_path: Path) -> None:
    none = Evident({"a.jpg": ["no-label-file:train"], "b.jpg": ["no-label-file:val"]})
    with pytest.raises(labelferry.ConversionError) as raised:
        converted(none, tmp_path / "out", on_error="skip")
    assert messages(raised.value.report, "errors") == {
        "no-labels": [
            "Evident: no label file for any of 2 images in labels/train, labels/val; --allow-empty accepts this"
        ]
    }
    assert converted(none, tmp_path / "out", allow_empty=True).images == 2
    some = Evident({"a.jpg": ["label-file:train"], "b.jpg": ["no-label-file:train"], "c.jpg": ["no-label-file:val"]})
    assert messages(converted(some, tmp_path / "out"), "warnings") == {
        "split-without-labels": ["Evident: no label file for 1 image of the split 'val'; other splits have label files"]
    }


def test_exports_that_are_merged_are_judged_one_by_one(tmp_path: Path) -> None:
    sure = Evident({"a.jpg": ["label-file:train", "six"]})
    asking = Evident({"b.jpg": ["no-label-file:train", "six"]}, question=True)
    with pytest.raises(AmbiguousError, match="1 lines of six numbers"):
        converted(Merged([sure, asking]), tmp_path / "out")
    asking.question = False
    (warning,) = messages(converted(Merged([sure, asking]), tmp_path / "out"), "warnings")["split-without-labels"]
    assert "'train (export 2)'" in warning


def test_what_does_not_add_up_is_an_error_that_names_the_adapter(tmp_path: Path) -> None:
    class Lying(Names):
        def count_images(self) -> int:
            return 3

    with pytest.raises(labelferry.ConversionError, match=r"counts 3 images, and 1 were listed \(a defect of"):
        converted(Lying("a.jpg"), tmp_path / "out", on_error="skip")
    tally = Tally(images=1, found_images=3, lost_images=1, merged_images=1, objects={0: 2}, found=3, lost=1)
    assert tally.unaccounted() == ""
    tally.lost_images, tally.lost = 0, 0
    assert tally.unaccounted() == (
        "3 objects were found and 0 interpolated; 2 are written, 0 merged and 0 lost; "
        "3 images were found; 1 are written, 1 merged and 0 lost"
    )


def test_the_summary_shows_names_and_an_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    root = media(tmp_path / "data", "a.jpg", "b.jpg")
    print_report(converted(Names("a.jpg"), tmp_path / "out", input=root), False, sys.stdout)
    lines = capsys.readouterr().out.splitlines()
    assert f"  1 of 1 name exists in the input datasource {root}; 1 image there has no file" in lines
    assert f"  for example a.jpg -> {tmp_path}/out/.lightly/predictions/test/a.json" in lines
