"""A folder per class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import labelferry
from tests.conftest import Convert

Fails = Callable[..., dict[str, list[tuple[str, str]]]]


def probabilities(*values: float) -> dict[str, object]:
    return {"category_id": values.index(1.0), "score": 1.0, "probabilities": list(values)}


def test_classes_are_the_folders_in_alphabetical_order(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "imagefolder/flat", format="imagefolder") == {
        "cat/1.png": [probabilities(1, 0)],
        "cat/outdoors/2.JPG": [probabilities(1, 0)],
        "dog/1.png": [probabilities(0, 1)],
    }
    assert [c["name"] for c in convert.schema["categories"]] == ["cat", "dog"]  # type: ignore[attr-defined]


def test_folders_of_splits_are_known_by_their_names(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "imagefolder/splits", format="imagefolder") == {
        "train/cat/1.png": [probabilities(1, 0, 0)],
        "train/ox/2.png": [probabilities(0, 0, 1)],
        "val/dog/1.png": [probabilities(0, 1, 0)],
    }


def test_one_split_may_be_chosen(fixtures: Path, convert: Convert, fails: Fails) -> None:
    found = convert(fixtures / "imagefolder/splits", format="imagefolder", split="val")
    assert found == {"val/dog/1.png": [probabilities(1)]}


def test_a_split_that_is_not_there_is_an_error(fixtures: Path, fails: Fails) -> None:
    found = fails(fixtures / "imagefolder/splits", format="imagefolder", split="test")
    assert found["no-split"][0][1] == "no split 'test'; it has train, val"


def test_whether_top_folders_are_splits_may_be_said(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "imagefolder/splits", format="imagefolder", splits=False)
    assert found["val/dog/1.png"] == [probabilities(0, 1)]


def test_the_order_of_classes_may_be_named(fixtures: Path, tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "names.txt").write_text("dog\nfox\ncat\n")
    found = convert(fixtures / "imagefolder/flat", format="imagefolder", labels=tmp_path / "names.txt")
    assert found["dog/1.png"] == [probabilities(1, 0, 0)]
    assert found["cat/1.png"] == [probabilities(0, 0, 1)]


def test_an_image_in_no_class_or_in_one_that_is_not_named_is_an_error(tmp_path: Path, fails: Fails) -> None:
    for name in ("1.png", "a/2.png", "b/3.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    (tmp_path / "names.txt").write_text("a")
    found = fails(tmp_path / "data", format="imagefolder", labels=tmp_path / "names.txt")
    assert found["class-missing"][0][0].endswith("data/1.png")
    assert found["unknown-category"][0][0].endswith("data/b/3.png")


def test_a_folder_without_classes_or_a_file_is_refused(tmp_path: Path, fails: Fails) -> None:
    assert "no folder of a class" in fails(tmp_path, format="imagefolder")["no-labels"][0][1]
    (tmp_path / "file").touch()
    assert "a folder was expected" in fails(tmp_path / "file", format="imagefolder")["no-labels"][0][1]


def test_two_workers_write_what_one_writes(fixtures: Path, convert: Convert) -> None:
    one = convert(fixtures / "imagefolder/flat", format="imagefolder")
    assert convert(fixtures / "imagefolder/flat", format="imagefolder", workers=2) == one


@pytest.mark.parametrize("name", ["flat", "splits"])
def test_every_image_is_found(name: str, fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "imagefolder" / name
    report = labelferry.convert(source, tmp_path, format="imagefolder")
    assert report.found_objects == len([path for path in source.rglob("*") if path.is_file()]) == 3
    assert sum(report.objects.values()) == 3


def test_images_in_no_class_are_found_and_lost(tmp_path: Path) -> None:
    for name in ("1.png", "a/2.png", "a/sub/3.png", "b/4.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    (tmp_path / "names.txt").write_text("a")
    options = {"labels": tmp_path / "names.txt", "on_error": "skip"}
    report = labelferry.convert(tmp_path / "data", tmp_path / "out", format="imagefolder", **options)
    assert (report.found_objects, report.lost_objects, report.objects) == (4, 2, {"a": 2})


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.touch()
    return tmp_path / "data"


def test_what_may_not_be_meant_is_reported(tmp_path: Path) -> None:
    source = folder_of(tmp_path, "cat/1.png", "cat/old/2.png", "Cat/3.png", "dog/", "cat/notes.txt", "README.md")
    report = labelferry.convert(source, tmp_path / "out", format="imagefolder")
    assert {finding.code: finding.count for finding in report.warnings} == {
        "class-without-images": 1,
        "class-names-alike": 1,
        "files-not-read": 2,
    }
    assert {finding.code: finding.count for finding in report.notes} == {"folder-in-class": 1}
    assert report.objects == {"Cat": 1, "cat": 2, "dog": 0}


@pytest.mark.parametrize("names", [("pets/cat/1.png", "pets/dog/2.png"), ("train/cat/1.png", "more/dog/2.png")])
def test_folders_that_may_be_classes_or_splits_are_asked_about(
    names: tuple[str, ...], tmp_path: Path, fails: Fails, convert: Convert
) -> None:
    source = folder_of(tmp_path, *names)
    assert "--no-splits" in fails(source, format="imagefolder")["ambiguous"][0][1]
    convert(source, format="imagefolder", splits=True)
    assert [c["name"] for c in convert.schema["categories"]] == ["cat", "dog"]  # type: ignore[attr-defined]
    convert(source, format="imagefolder", splits=False)
    expected = sorted({name.partition("/")[0] for name in names})
    assert [c["name"] for c in convert.schema["categories"]] == expected  # type: ignore[attr-defined]


def test_a_split_without_images_is_a_warning(tmp_path: Path) -> None:
    source = folder_of(tmp_path, "train/cat/1.png", "val/cat/")
    report = labelferry.convert(source, tmp_path / "out", format="imagefolder")
    assert [finding.code for finding in report.warnings] == ["split-without-labels"]


def test_images_without_a_file_are_counted(tmp_path: Path) -> None:
    source = folder_of(tmp_path, "1.png", "cat/2.png")
    report = labelferry.convert(source, tmp_path / "out", format="imagefolder", on_error="skip")
    assert (report.found_images, report.images, report.lost_images) == (2, 1, 1)
