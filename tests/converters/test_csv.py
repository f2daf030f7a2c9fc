"""CSV files of classes and of probabilities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import labelferry
from tests.conftest import Convert

Fails = Callable[..., dict[str, list[tuple[str, str]]]]


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_file_and_class_with_a_quoted_comma(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "csv/classes.csv", format="csv") == {
        "a.jpg": [{"category_id": 1, "score": 1.0, "probabilities": [0, 1]}],
        "sub/b, c.jpg": [{"category_id": 0, "score": 1.0, "probabilities": [1, 0]}],
    }
    assert [c["name"] for c in convert.schema["categories"]] == ["cat", "dog"]  # type: ignore[attr-defined]


def test_semicolons_bom_crlf_class_numbers_and_a_score(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "csv/semicolons.csv", format="csv", labels=fixtures / "csv/names.txt")
    assert found == {"a.jpg": [{"category_id": 1, "score": 0.5, "probabilities": [0, 1]}]}


def test_one_probability_per_class(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "csv/probabilities.csv", format="csv") == {
        "a.jpg": [{"category_id": 1, "score": 0.625, "probabilities": [0.25, 0.625, 0.125]}],
        "b.jpg": [{"category_id": 0, "score": 1.0, "probabilities": [1, 0, 0]}],
    }


def test_probabilities_of_merged_classes_add_up(fixtures: Path, convert: Convert) -> None:
    classes = {"cat": "pet", "dog": "pet", "ox": "ox"}
    found = convert(fixtures / "csv/probabilities.csv", format="csv", classes=classes)
    assert found["a.jpg"] == [{"category_id": 0, "score": 0.625, "probabilities": [0.875, 0.125]}]


def test_probabilities_of_the_kept_classes_sum_to_1_again(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "csv/probabilities.csv", format="csv", classes=["dog", "ox"])
    assert found == {"a.jpg": [{"category_id": 0, "score": 0.625, "probabilities": pytest.approx([5 / 6, 1 / 6])}]}
    assert [(f.code, f.count) for f in convert.report.notes] == [("class-left-out", 1)]  # type: ignore[attr-defined]


def test_columns_may_be_named(tmp_path: Path, convert: Convert) -> None:
    source = written(tmp_path, "id|animal|sure|where\n1|cat|0.25|x/a.jpg\n")
    options = {"file_column": "where", "class_column": "animal", "score_column": "sure", "separator": "|"}
    assert convert(source, format="csv", **options)["x/a.jpg"][0]["score"] == 0.25


def test_absolute_paths_below_the_images_folder_become_relative(tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "images").mkdir()
    source = written(tmp_path, f"file,class\n{tmp_path}/images/sub/a.jpg,cat\n")
    assert set(convert(source, format="csv", images=tmp_path / "images")) == {"sub/a.jpg"}


@pytest.mark.parametrize(
    ("text", "code", "line", "words"),
    [
        ("file,cat,dog\na.jpg,0.5,x\nb.jpg,0.5,0.5\n", "broken-row", 2, "'x'"),
        ("file,class\na.jpg,cat\n\nb.jpg\n", "broken-row", 4, "1 columns, the header has 2"),
        ("file,class\n,cat\n", "broken-row", 2, "no file name"),
        ("file,class\na.jpg,cat\nb.jpg,\n", "class-missing", 3, "no class"),
        ("file,cat,dog\na.jpg,0.9,0.9\n", "probabilities-sum", 2, "sum to 1.8"),
        ("file,cat,dog\na.jpg,nan,0.9\n", "probabilities-sum", 2, "sum to nan"),
        ('file,class\na.jpg,cat\n"b.jpg,cat\n', "broken-row", 3, "a quote that is not closed"),
        (b"file,class\na.jpg,cat\n\xff.jpg,cat\n", "not-utf-8", 3, "not UTF-8"),
        ("a,b\n1,2\n", "no-column", 1, "--file-column"),
        ("file,x\na,1\n", "no-column", 1, "--class-column"),
        ("file,cat,cat\na,1,0\n", "no-column", 1, "the same name"),
        (",file,cat,dog\n7,a.jpg,0.5,0.5\n", "no-column", 1, "a column without a name"),
        ("file," + "x" * 200_000 + "\na,1\n", "broken-row", 1, "field larger than"),
        ("", "no-column", 1, "--file-column"),
    ],
)
def test_a_broken_row_is_an_error_with_its_line(
    text: str | bytes, code: str, line: int, words: str, tmp_path: Path, fails: Fails
) -> None:
    source = written(tmp_path, text)
    ((where, message),) = fails(source, format="csv")[code]
    assert where == f"{source}:{line}"
    assert words in message


def test_one_file_in_two_rows_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = written(tmp_path, "file,class\na.jpg,cat\na.jpg,dog\n")
    assert "2 images (a.jpg, a.jpg)" in fails(source, format="csv")["name-collision"][0][1]


def test_a_class_that_is_not_named_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = written(tmp_path, "file,class\na.jpg,cat\nb.jpg,fox\n")
    (tmp_path / "names.txt").write_text("cat")
    ((where, _),) = fails(source, format="csv", labels=tmp_path / "names.txt")["unknown-category"]
    assert where == f"{source}:3"


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path, "file,class\na.jpg,cat\n")
    with pytest.raises(labelferry.UsageError, match="no column 'x'; it has file, class"):
        labelferry.convert(source, tmp_path / "out", format="csv", class_column="x")


@pytest.mark.parametrize("separator", ["ab", '"', "\n"])
def test_a_separator_is_one_character_that_csv_can_have(separator: str, tmp_path: Path) -> None:
    source = written(tmp_path, "file,class\na.jpg,cat\n")
    with pytest.raises(labelferry.UsageError, match="--separator is one character"):
        labelferry.convert(source, tmp_path / "out", format="csv", separator=separator)


def test_two_workers_write_what_one_writes(tmp_path: Path, convert: Convert) -> None:
    source = written(tmp_path, "file,cat,dog\n" + "".join(f"{i}.jpg,{i / 100},{1 - i / 100}\n" for i in range(100)))
    assert convert(source, format="csv", workers=2) == convert(source, format="csv")


@pytest.mark.parametrize("name", ["classes", "semicolons", "probabilities"])
def test_every_row_is_found(name: str, fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / f"csv/{name}.csv"
    options = {"labels": fixtures / "csv/names.txt"} if name == "semicolons" else {}
    report = labelferry.convert(source, tmp_path, format="csv", **options)
    assert report.found_objects == len(source.read_text("utf-8-sig").split()[1:]) - (name == "classes")  # "b, c.jpg"
    assert sum(report.objects.values()) == report.found_objects


def test_rows_that_cannot_be_read_are_lost(tmp_path: Path) -> None:
    rows = [
        "a.jpg,cat,0.5",
        "b.jpg,cat",
        ",cat,1",
        "c.jpg,,1",
        "d.jpg,fox,1",
        "e.jpg,cat,much",
        "f.jpg,cat,7",
        ",,",
        "",
    ]
    source = written(tmp_path, "file,class,score\n" + "\n".join(rows))
    (tmp_path / "names.txt").write_text("cat\ndog")
    options = {"labels": tmp_path / "names.txt", "on_error": "skip"}
    report = labelferry.convert(source, tmp_path / "out", format="csv", **options)
    assert {error.code: error.count for error in report.errors} == {
        "broken-row": 3,
        "class-missing": 1,
        "unknown-category": 1,
        "score-out-of-range": 1,
    }
    assert (report.found_objects, report.lost_objects, report.objects) == (7, 6, {"cat": 1, "dog": 0})


@pytest.mark.parametrize(
    "header",
    [
        "filename,width,height,class,xmin,ymin,xmax,ymax",
        "file,label,x1,y1,x2,y2",
        "image,bbox,label",
        "file,x,y,w,h,class",
    ],
)
def test_a_csv_of_boxes_is_refused_with_advice(header: str, tmp_path: Path, fails: Fails, convert: Convert) -> None:
    source = written(tmp_path, f"{header}\na.jpg{',1' * header.count(',')}\n")
    ((_, text),) = fails(source, format="csv")["csv-of-boxes"]
    assert "COCO" in text
    column = "class" if "class" in header else "label"
    convert(source, format="csv", class_column=column)
    assert [one.code for one in convert.report.notes] == ["unread-key"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("file,fold,cat,dog\na.jpg,0,0,1\nb.jpg,1,1,0\n", "--class-column"),
        ("file,breed,fold\na.jpg,cat,1\n", "--class-column"),
        ("file,prediction\na.jpg,0.93\n", "--class-column"),
        ("file,label,prediction\na.jpg,cat,dog\n", "--class-column"),
        ("file,class,score,confidence\na.jpg,cat,1,1\n", "--score-column"),
        ("file,path,class\na.jpg,b.jpg,cat\n", "--file-column"),
        ("id,file,cat,dog\n7,a.jpg,0.5,0.5\n", "--probability-columns"),
    ],
)
def test_columns_that_can_be_read_in_two_ways_are_asked_about(
    text: str, option: str, tmp_path: Path, fails: Fails
) -> None:
    assert option in fails(written(tmp_path, text), format="csv")["ambiguous"][0][1]


def test_columns_of_probabilities_may_be_named(tmp_path: Path, convert: Convert) -> None:
    source = written(tmp_path, "file,fold,cat,dog\na.jpg,0,0.25,0.75\nb.jpg,1,1,0\n")
    found = convert(source, format="csv", probability_columns="cat,dog")
    assert found["a.jpg"][0]["probabilities"] == [0.25, 0.75]
    assert [one.examples[0][1] for one in convert.report.notes] == ["'fold' is not read"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("header", "expected"), [("dog,cat", [0.75, 0.25]), ("p0,p1", [0.25, 0.75]), ("a,b", None), ("cat,fox", None)]
)
def test_probabilities_are_in_the_order_of_the_names(
    header: str, expected: list[float] | None, tmp_path: Path, convert: Convert, fails: Fails
) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog")
    source = written(tmp_path, f"file,{header}\na.jpg,0.25,0.75\n")
    options = {"format": "csv", "labels": tmp_path / "names.txt"}
    if expected is None:
        assert "--probability-columns" in fails(source, **options)["ambiguous"][0][1]
        expected, options["probability_columns"] = [0.25, 0.75], header
    assert convert(source, **options)["a.jpg"][0]["probabilities"] == expected


@pytest.mark.parametrize("value", ["NaN", "nan", "null", "None", "N/A", " "])
def test_a_missing_value_is_neither_a_class_nor_a_file(value: str, tmp_path: Path, fails: Fails) -> None:
    found = fails(written(tmp_path, f"file,class\na.jpg,cat\nb.jpg,{value}\n{value},cat\n"), format="csv")
    assert found["class-missing"][0][0].endswith(":3")
    assert found["broken-row"][0][0].endswith(":4")


def test_a_score_that_is_none_is_an_error(tmp_path: Path, fails: Fails) -> None:
    found = fails(written(tmp_path, "file,class,score\na.jpg,cat,NaN\nb.jpg,cat,1_0\n"), format="csv")
    assert found["score-out-of-range"][0][0].endswith(":2")
    assert found["broken-row"][0][0].endswith(":3")


def test_numbers_as_classes_are_in_the_order_of_the_numbers(tmp_path: Path, convert: Convert) -> None:
    convert(written(tmp_path, "file,class\na.jpg,10\nb.jpg,9\n"), format="csv")
    assert [c["name"] for c in convert.schema["categories"]] == ["9", "10"]  # type: ignore[attr-defined]


def test_classes_by_name_and_by_number_are_a_warning(tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog")
    source = written(tmp_path, "file,class\na.jpg,cat\nb.jpg,1\n")
    convert(source, format="csv", labels=tmp_path / "names.txt")
    assert [(one.code, one.count) for one in convert.report.warnings] == [("class-numbers", 1)]  # type: ignore[attr-defined]


def test_misspelt_columns_repeated_headers_and_odd_names(tmp_path: Path) -> None:
    source = written(tmp_path, "file,class,confidense\na.jpg,cat,1\nfile,class,confidense\nb,cat,1\n")
    report = labelferry.convert(source, tmp_path / "out", format="csv", on_error="skip")
    assert [(one.code, one.examples[0][1]) for one in report.errors] == [("broken-row", "the header again")]
    assert {one.code for one in report.warnings} == {"unknown-key", "file-name-odd"}
    assert (report.found_images, report.images, report.lost_images) == (3, 2, 1)
