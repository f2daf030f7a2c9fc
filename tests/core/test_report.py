"""Tallies and reports: what is counted, what is shown, in which order."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import labelferry
from labelferry import Annotations, Category, Finding, Image, Object
from labelferry.report import EXAMPLES, Tally


def test_reports_are_imported_without_numpy() -> None:
    code = "import sys, labelferry.report; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_findings_without_a_message_are_counted_but_are_no_examples() -> None:
    tally = Tally()
    tally.add([Finding.repair("box-clipped", "a.jpg", "over the edge"), Finding.repair("box-clipped", "b.jpg", "", 5)])
    tally.add([Finding.note("class-left-out", "", "", 2)])
    (repair,) = tally.summaries("repair")
    assert (repair.kind, repair.count, repair.examples) == ("repair", 6, [("a.jpg", "over the edge")])
    (note,) = tally.summaries("note")
    assert (note.count, note.examples) == (2, [])


def test_a_hundred_examples_are_kept_and_all_are_counted() -> None:
    one, other = Tally(), Tally()
    for number in range(EXAMPLES - 1):
        one.add([Finding.error("unreadable", str(number), "broken")])
        other.add([Finding.error("unreadable", f"other {number}", "broken")])
    one.merge(other)
    (error,) = one.summaries("error")
    assert (error.count, len(error.examples)) == (198, 100)
    assert error.examples[-1] == ("other 0", "broken")
    one.add([Finding.error("unreadable", "last", "broken")])
    assert Tally.from_json(one.to_json()) == one
    assert one.count("error") == 199
    assert one.count("error", "note") == 199
    assert one.count("warning", "repair") == 0


def test_findings_are_sorted_by_count_and_then_by_code() -> None:
    tally = Tally()
    for code, count in (("b", 2), ("d", 1), ("a", 2), ("c", 30)):
        tally.add([Finding.warning(code, "", "text", count), Finding.error(code, "", "text")])
    assert [(one.code, one.count) for one in tally.summaries("warning")] == [("c", 30), ("a", 2), ("b", 2), ("d", 1)]
    assert [one.code for one in tally.summaries("error")] == ["a", "b", "c", "d"]


class Doubtful(labelferry.Adapter):
    """Two images, with a warning, a repair and an error if asked for."""

    tasks = (labelferry.TaskType.OBJECT_DETECTION,)

    def __init__(self, path: Path, *, error: bool = False) -> None:
        self.error = error

    def get_categories(self) -> list[Category]:
        return [Category(0, "car")]

    def get_images(self) -> list[Image]:
        return [Image("a.jpg"), Image("b.jpg")]

    def get_labels(self, image: Image) -> Annotations:
        annotations = Annotations.from_objects([Object(0, (60, 0, 10, 10))], (64, 48))
        annotations.findings.append(Finding.warning("labels-twice", image.file_name, "two labels are equal"))
        if self.error:
            annotations.findings.append(Finding.error("broken-line", image.file_name, "no number", 1))
        return annotations


def test_warnings_are_in_the_report_and_prevent_nothing(tmp_path: Path) -> None:
    report = labelferry.convert(Doubtful(tmp_path), tmp_path / "out")
    assert report.published
    (warning,) = report.warnings
    assert (warning.kind, warning.code, warning.count) == ("warning", "labels-twice", 2)
    assert warning.examples == [("a.jpg", "two labels are equal"), ("b.jpg", "two labels are equal")]
    assert [one.code for one in report.repairs] == ["box-clipped"]
    assert report.to_dict()["warnings"][0]["code"] == "labels-twice"


def test_strict_counts_repairs_and_warnings_as_errors(tmp_path: Path) -> None:
    with pytest.raises(labelferry.ConversionError) as raised:
        labelferry.convert(Doubtful(tmp_path, error=True), tmp_path / "out", strict=True)
    report = raised.value.report
    assert [(one.kind, one.code, one.count) for one in report.errors] == [
        ("error", "broken-line", 2),
        ("repair", "box-clipped", 2),
        ("warning", "labels-twice", 2),
    ]
    assert (report.repairs, report.warnings, report.published) == ([], [], False)
    assert str(raised.value) == "6 error(s), nothing was published; the first: a.jpg: no number"
    assert not (tmp_path / "out").exists()


def test_a_conversion_error_is_a_labelferry_error_that_processes_can_exchange(tmp_path: Path) -> None:
    with pytest.raises(labelferry.LabelferryError) as raised:
        labelferry.convert(Doubtful(tmp_path, error=True), tmp_path / "out")
    copy = pickle.loads(pickle.dumps(raised.value))
    assert isinstance(copy, labelferry.ConversionError)
    assert (str(copy), copy.report) == (str(raised.value), raised.value.report)  # type: ignore[attr-defined]


class Namesakes(labelferry.Adapter):
    """Two categories called cat, with one object and two; and a dog."""

    tasks = (labelferry.TaskType.OBJECT_DETECTION,)

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_categories(self) -> list[Category]:
        return [Category(3, "cat"), Category(5, "dog"), Category(7, "cat")]

    def get_images(self) -> list[Image]:
        return [Image("a.jpg")]

    def get_labels(self, image: Image) -> Annotations:
        return Annotations.from_objects([Object(i, box=[1, 1, 4, 4]) for i in (3, 7, 7, 5)], size=(16, 12))


def test_classes_of_one_name_are_counted_apart(tmp_path: Path) -> None:
    report = labelferry.convert(Namesakes(tmp_path), tmp_path / "out")
    assert report.objects == {"cat (id 0)": 1, "dog": 1, "cat (id 2)": 2}
