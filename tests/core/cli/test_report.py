"""What is printed when a command has ended."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from labelferry.cli.report import print_outcomes, print_report, printable
from labelferry.report import FindingSummary, Report
from labelferry.run.batch import Outcome

REPORT = Report(
    format="coco",
    source="a.json",
    datasource="out",
    task_name="mine",
    task_type="object-detection",
    published=True,
    videos=0,
    images=1_234,
    empty_images=34,
    resumed_images=200,
    objects={"car": 2_000, "person": 3_000},
    found_objects=5_003,
    interpolated_objects=0,
    merged_objects=0,
    lost_objects=3,
    found_images=1_240,
    merged_images=1,
    lost_images=5,
    input=None,
    root="",
    names_in_input=0,
    input_without_file=0,
    unchecked_orientations=0,
    example=("train/a b.jpg", "train/a b.json"),
    errors=[],
    repairs=[FindingSummary("repair", "box-clipped", 12, [(f"{i}.jpg", "over the edge") for i in range(6)])],
    warnings=[FindingSummary("warning", "labels-twice", 1, [("", "two labels are equal")])],
    notes=[FindingSummary("note", "class-left-out", 3, [])],
    seconds=1.25,
)


def printed(report: Report, quiet: bool = False) -> str:
    stream = io.StringIO()
    print_report(report, quiet, stream)
    return stream.getvalue()


def test_the_summary_shows_counts_findings_and_their_first_examples() -> None:
    assert printed(REPORT).splitlines() == [
        "object-detection task 'mine', in 1.2 s: out/.lightly/predictions/mine",
        "  1,234 images, 34 of them without objects, 200 of them by an interrupted run",
        "  5,000 objects of 2 classes: person 3,000, car 2,000",
        "  names not checked (--input); they are relative to the folder that the export was made in, which must be the "
        "root of the input datasource",
        "  for example train/a b.jpg -> out/.lightly/predictions/mine/train/a b.json",
        "  12 repaired: box-clipped",
        "      0.jpg: over the edge",
        "      1.jpg: over the edge",
        "      2.jpg: over the edge",
        "      3.jpg: over the edge",
        "      4.jpg: over the edge",
        "      ... (--report FILE lists more)",
        "  1 written, but should be checked: labels-twice",
        "      two labels are equal",
        "  3 left out as asked: class-left-out",
    ]
    assert printed(REPORT, quiet=True) == ""


def test_errors_of_the_whole_export_are_not_advised_to_be_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [FindingSummary("error", "no-labels", 1, [("a", "no label file for any of 2 images")])]
    printed(replace(REPORT, published=False, errors=errors))
    assert capsys.readouterr().err.splitlines() == [
        "  1 wrong: no-labels",
        "      a: no label file for any of 2 images",
        "labelferry: 1 error, nothing was published. What concerns the whole export cannot be skipped.",
    ]


def test_the_summary_says_which_names_exist() -> None:
    lines = printed(replace(REPORT, input="data", names_in_input=1_230)).splitlines()
    assert lines[3] == "  1,230 of 1,234 names exist in the input datasource data"
    lines = printed(replace(REPORT, input="data", names_in_input=1_234, input_without_file=7)).splitlines()
    assert lines[3].endswith("data; 7 images there have no file")
    assert "relative to /exports/x, which must" in printed(replace(REPORT, root="/exports/x"))


def test_the_summary_counts_frames_and_shows_eight_classes() -> None:
    objects = {f"class {i}": i for i in range(10)}
    lines = printed(replace(REPORT, videos=2, empty_images=0, resumed_images=0, objects=objects)).splitlines()
    assert lines[1] == "  1,234 frames of 2 videos"
    assert lines[2].startswith("  45 objects of 10 classes: class 9 9, class 8 8, ")
    assert lines[2].endswith("class 2 2, and 2 more")
    assert printed(replace(REPORT, videos=1)).splitlines()[1].startswith("  1,234 frames of 1 video, ")


def test_what_was_left_out_is_printed_even_if_quiet() -> None:
    errors = [FindingSummary("error", "unknown-category", 1, [("a.json", "category 9")])]
    assert printed(replace(REPORT, errors=errors), quiet=True).splitlines() == [
        "  1 left out, as it cannot be read: unknown-category",
        "      a.json: category 9",
    ]


def test_errors_are_printed_to_stderr_with_advice(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [FindingSummary("error", "unknown-category", 1_000, [("a.json", "category 9")])]
    assert printed(replace(REPORT, published=False, errors=errors), quiet=True) == ""
    assert capsys.readouterr().err.splitlines() == [
        "  1,000 cannot be read: unknown-category",
        "      a.json: category 9",
        "labelferry: 1,000 errors, nothing was published. Fix the export, or leave these out with --on-error skip.",
    ]
    strict = replace(REPORT, published=False, errors=REPORT.repairs + REPORT.warnings, repairs=[], warnings=[])
    assert printed(strict) == "  3 left out as asked: class-left-out\n"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  12 must be repaired: box-clipped"
    assert lines[-3] == "  1 should be checked: labels-twice"
    assert lines[-1] == (
        "labelferry: 13 errors, nothing was published. --strict counts repairs and warnings as errors."
    )


def test_the_table_of_a_batch_is_as_wide_as_its_content(capsys: pytest.CaptureFixture[str]) -> None:
    failed = replace(REPORT, errors=[FindingSummary("error", "unknown-category", 7, [])])
    print_outcomes([Outcome("mine", "done", report=REPORT), Outcome("other", "unchanged"), Outcome("x", "failed")])
    assert capsys.readouterr().out.splitlines() == [
        "status    task  images objects repairs warnings errors seconds",
        "done      mine   1,234   5,000      12        1      0     1.2",
        "unchanged other",
        "failed    x",
    ]
    print_outcomes([Outcome("twenty-three-characters", "unchanged"), Outcome("a", "failed", report=failed)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 80
    assert lines[2].split() == ["failed", "a", "1,234", "5,000", "12", "1", "7", "1.2"]


def test_what_a_terminal_obeys_or_cannot_show_is_escaped() -> None:
    assert printable("Zürich 日本 \U0001f600\nline") == "Zürich 日本 \U0001f600\nline"
    assert printable("a\x1b[31m\r\tb\x9b\udcff\u202e") == r"a\x1b[31m\r\tb\x9b\udcff\u202e"


def test_the_summary_says_how_many_orientations_were_not_checked() -> None:
    lines = printed(replace(REPORT, unchecked_orientations=REPORT.images)).splitlines()
    assert "  EXIF orientation not checked: the images are not found (--input)" in lines
    lines = printed(replace(REPORT, unchecked_orientations=2)).splitlines()
    assert "  EXIF orientation not checked of 2 images: the images are not found (--input)" in lines


def test_long_names_of_tasks_are_cut_where_the_terminal_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "exports/warehouse_7/2026-11-21/camera_north/detection"
    for is_terminal, shown in ((True, "exports/war...detection "), (False, name)):
        monkeypatch.setattr(sys.stdout, "isatty", lambda is_terminal=is_terminal: is_terminal)
        print_outcomes([Outcome(name, "done", report=REPORT), Outcome("other", "unchanged")])
        lines = capsys.readouterr().out.splitlines()
        assert shown in lines[1]
        assert not is_terminal or max(map(len, lines)) <= 80


def test_keys_that_are_not_read_take_one_line() -> None:
    examples = [
        ("a.json", "'area' is not read (3 times)"),
        ("a.json", "'info' is not read"),
        ("b", "'info' is not read"),
    ]
    report = replace(REPORT, repairs=[], warnings=[], notes=[FindingSummary("note", "unread-key", 3, examples)])
    assert printed(report).splitlines()[-1] == "  not read: 'area', 'info'"
