"""Files of classes and colours, as tools write them, and Pascal VOC's palette."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from labelferry import ExportError
from labelferry.reading.label_colours import read_label_colours, voc_colour

ROAD_AND_CAR = [("road", (128, 64, 128)), ("car", (0, 0, 142))]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:0,0,142:door,wheel:drive\n"),
        ("labelmap.txt", "\ufeffroad:128,64,128\r\ncar: 0, 0, 142\r\n\r\n"),
        ("labelmap.txt", "road:#804080::\ncar:#00008E\n"),
        ("label_colors.txt", "128 64 128\troad\n0 0 142\t\tcar\n"),
        ("colours.csv", "name,r,g,b\nroad,128,64,128\ncar,0,0,142\n"),
        ("colours.csv", "road;128;64;128\ncar;0;0;142\n"),
        ("colours.csv", "label,color\nroad,#804080\ncar,#00008e\n"),
        ("colours.csv", '"road",128,64,128\n"car",0,0,142\n'),
        ("colours.json", '{"road": [128, 64, 128], "car": "#00008E"}'),
        ("colours.json", '{"labels": [{"name": "road", "color": "#804080"}, {"name": "car", "color": [0, 0, 142]}]}'),
        ("colours.yaml", "road: [128, 64, 128]\ncar: '#00008e'\n"),
        ("colours.yml", "- {name: road, color: [128, 64, 128]}\n- {name: car, colour: '#00008e'}\n"),
    ],
)
def test_names_and_colours_come_in_the_order_of_the_file(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read_label_colours(tmp_path / name) == ROAD_AND_CAR


def test_names_may_hold_spaces_colons_and_digits(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text("traffic light: red:1,2,3::\nlane 2:4,5,6::\n")
    expected = [("traffic light: red", (1, 2, 3)), ("lane 2", (4, 5, 6))]
    assert read_label_colours(tmp_path / "labelmap.txt") == expected
    (tmp_path / "label_colors.txt").write_text("1 2 3 traffic light: red\n4 5 6 lane 2\n")
    assert read_label_colours(tmp_path / "label_colors.txt") == expected


def test_a_class_may_have_several_colours(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("car,1,2,3\ncar,4,5,6\n")
    assert read_label_colours(tmp_path / "a.csv") == [("car", (1, 2, 3)), ("car", (4, 5, 6))]


@pytest.mark.parametrize(
    ("name", "content", "where", "message"),
    [
        ("a.txt", "road:128,64,128::\ncar\n", "a.txt:2", "'car'"),
        ("a.txt", "# comment\n\nroad:128,64,256::\n", "a.txt:3", "256"),
        ("a.txt", "1 2 road\n", "a.txt:1", "'1 2 road'"),
        ("a.txt", "4 5 6 lane 2\n1 2 3 4 road\n", "a.txt:2", "'1 2 3 4 road'"),
        ("a.txt", ": red:1,2,3::\n", "a.txt:1", "': red:1,2,3::'"),
        ("a.txt", "road:1,2,3\ncar:1,2,3\n", "a.txt:2", "'road' and 'car' have the same colour (1, 2, 3)"),
        ("a.csv", "name,r,g,b\nroad,1,2\n", "a.csv:2", "road"),
        ("a.csv", "road,1,2,3\ncar,x,y,z\n", "a.csv:2", "car"),
        ("a.csv", "name,r,g,b\n,1,2,3\n", "a.csv:2", "expected"),
        ("a.json", '{"road": [1, 2, 3],\n "car": }', "a.json:2", "not JSON"),
        ("a.json", '{"road": [' + "9" * 5000 + ", 0, 0]}", "a.json", ""),
        ("a.json", '{"road": [1.5, 0, 0]}', "a.json", "road"),
        ("a.json", '{"road": true}', "a.json", "road"),
        ("a.json", "[" * 100_000, "a.json", "not JSON"),
        ("a.json", "7", "a.json", "a mapping of names to colours"),
        ("a.json", '[{"name": "road", "color": "#804080"}, 3]', "a.json, entry 2", "expected"),
        ("a.yaml", "road: !!python/object:os.system [1, 2, 3]\n", "a.yaml:1", "tag"),
        ("a.yaml", "a: &a [1, 2, 3]\nb: *a\n", "a.yaml:2", "alias"),
        ("a.txt", "# nothing\n", "a.txt", "no class"),
    ],
)
def test_what_is_no_class_with_a_colour_is_refused_with_its_line(
    name: str, content: str, where: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ExportError) as caught:
        read_label_colours(tmp_path / name)
    assert caught.value.where.startswith(str(tmp_path / where))
    assert message in caught.value.message


def test_a_line_that_csv_refuses_is_told_with_its_number(tmp_path: Path) -> None:
    limit = csv.field_size_limit(1000)
    try:
        (tmp_path / "a.csv").write_text("x" * 2000 + ",1,2,3\n")
        with pytest.raises(ExportError, match="a class and its colour were expected"):
            read_label_colours(tmp_path / "a.csv")
    finally:
        csv.field_size_limit(limit)


def test_a_file_of_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"road:1,2,3\nStra\xdfe:4,5,6\n")
    with pytest.raises(ExportError, match="not UTF-8") as caught:
        read_label_colours(tmp_path / "a.txt")
    assert caught.value.where.endswith("a.txt:2")


def test_the_palette_is_vocs() -> None:
    """VOCdevkit's colours of background, aeroplane, bicycle, ..., tvmonitor, and of the boundary."""
    assert [voc_colour(i) for i in (0, 1, 2, 3, 7, 8, 15, 20, 255)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (128, 128, 128),
        (64, 0, 0),
        (192, 128, 128),
        (0, 64, 128),
        (224, 224, 192),
    ]
