"""What a run reports: in the order of the export, for any number of workers and images a chunk; every object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelferry
from labelferry import Adapter, Annotations, Category, Finding, Image, TaskType
from labelferry.model import Listed, Refused
from labelferry.plugin.export import Export, Request


class Faulty(Adapter):
    """Images with one object each; numbers divisible by 3 have a box over the edge, by 5 a score out of range; before
    every seventh image a finding is listed, and every eleventh is refused."""

    tasks = (TaskType.OBJECT_DETECTION,)

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, request: Request) -> Export:
        return FaultyExport(request, self.tasks, [Category(0, "car")])


class FaultyExport(Export):
    def images(self) -> Iterator[Listed]:
        for number in range(200):
            image = Image(f"{number}.jpg", number)
            if number % 7 == 0:
                yield Finding.note("seventh", f"{number}", f"before {number}")
                yield Finding.error("score-out-of-range", f"{number}", "listed")
            yield Refused(image, Finding.note("eleventh", image.file_name, "left out")) if number % 11 == 0 else image

    def labels(self, image: Image) -> Annotations:
        number = image.source
        if number % 13 == 0:
            raise labelferry.ExportError("the thirteenth", code="thirteenth", lost=2)
        return Annotations(
            np.array([0]),
            (64, 48),
            np.array([[-5.0 if number % 3 == 0 else 5, 1, 10, 10]]),
            np.array([7 if number % 5 == 0 else 0.5]),
            found=1,
        )


def conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, workers: int) -> dict[str, Any]:
    monkeypatch.setattr(FaultyExport, "chunk", property(lambda _: chunk, lambda *_: None), raising=False)
    report = labelferry.convert(
        Faulty(tmp_path), tmp_path / "out", task_name="t", on_error="skip", overwrite=True, workers=workers
    )
    return report.to_dict() | {"seconds": 0}


def test_a_report_is_the_same_for_any_number_of_workers_and_images_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = conversion(tmp_path, monkeypatch, 1000, 1)
    assert [finding["code"] for finding in whole["errors"]] == ["score-out-of-range", "thirteenth"]
    examples = [where for where, _ in whole["errors"][0]["examples"]]
    where = ["0", "5.jpg", "7", "10.jpg", "14", "15.jpg", "20.jpg", "21"]
    assert examples[:8] == [f"{one}, object 1" if one.endswith("jpg") else one for one in where]
    for chunk, workers in ((1, 1), (7, 1), (32, 2)):
        assert conversion(tmp_path, monkeypatch, chunk, workers) == whole


def test_found_is_written_and_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = conversion(tmp_path, monkeypatch, 32, 1)
    thirteenth = len(range(0, 200, 13))
    assert report["found_objects"] == 200 - thirteenth + 2 * thirteenth
    assert report["found_objects"] == sum(report["objects"].values()) + report["lost_objects"]
    notes = {finding["code"]: finding["count"] for finding in report["notes"]}
    assert notes == {"seventh": len(range(0, 200, 7)), "eleventh": len(range(0, 200, 11))}


class Miscounted(Faulty):
    def open(self, request: Request) -> Export:
        return MiscountedExport(request, self.tasks, [Category(0, "car")])


class MiscountedExport(Export):
    def images(self) -> Iterator[Listed]:
        yield from (Image("a.jpg", 1), Image("b.jpg", 2))

    def labels(self, image: Image) -> Annotations:
        return Annotations(np.array([0]), (64, 48), np.array([[1.0, 1, 5, 5]]), found=image.source)


def test_objects_that_vanish_are_an_error_of_their_image(tmp_path: Path) -> None:
    with pytest.raises(labelferry.ConversionError) as caught:
        labelferry.convert(Miscounted(tmp_path), tmp_path / "out")
    (error,) = caught.value.report.errors
    assert (error.code, error.count) == ("unaccounted", 1)
    assert error.examples[0] == (
        "b.jpg",
        "b.jpg: the export lists 2 objects and 0 are interpolated; 1 were read and 0 reported as lost (a defect of the "
        "adapter of the format test_findings)",
    )


def test_one_adapter_can_be_opened_twice(fixtures: Path, tmp_path: Path) -> None:
    from labelferry.plugin.registry import get_adapter

    adapter = get_adapter("coco")(fixtures / "coco/instances.json")
    reports = [
        labelferry.convert(adapter, tmp_path / name, on_error="skip").to_dict() | {"seconds": 0, "datasource": ""}
        for name in ("one", "two")
    ]
    assert reports[0] == reports[1]
