"""Mask PNGs: every flavour of fixtures/masks, against `==` on the pixels and the documented run lengths."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import labelferry
from labelferry import RunLengthMask
from labelferry.converters.masks import Masks
from labelferry.converters.masks.palettes import PALETTES
from labelferry.plugin.export import Request
from labelferry.reading.label_colours import voc_colour
from labelferry.task_type import TaskType
from tests.conformance.test_real_coco import documented_encode
from tests.conftest import Convert
from tests.exports import listed

Fails = Callable[..., dict[str, list[tuple[str, str]]]]
SHAPE = (12, 16)


def area(*regions: Any) -> list[int]:
    mask = np.zeros(SHAPE, bool)
    for region in regions:
        mask[region] = True
    return documented_encode(mask)


CAR_1, CAR_2 = np.s_[5:9, 2:6], np.s_[5:9, 9:13]
ROAD_MASK = np.zeros(SHAPE, bool)
ROAD_MASK[8:12] = True
ROAD_MASK[CAR_1] = ROAD_MASK[CAR_2] = False
ROAD, CARS = documented_encode(ROAD_MASK), area(CAR_1, CAR_2)


def semantic(**masks: list[int]) -> list[tuple[str, list[int]]]:
    return sorted(masks.items())


def named(convert: Convert, predictions: list[dict[str, Any]]) -> list[tuple[str, list[int]]]:
    names = {category["id"]: category["name"] for category in convert.schema["categories"]}  # type: ignore[attr-defined]
    return sorted((names[p["category_id"]], p["segmentation"]) for p in predictions)


def saved(folder: Path, values: Any, name: str = "a.png") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(folder / name)
    return folder


def names_file(tmp_path: Path, *names: str) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(names))
    return tmp_path / "names.txt"


def test_index_maps_of_8_and_16_bit_beside_their_images(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/index"
    options = {"suffix": "_mask", "images": folder / "data", "labels": folder / "classes.yaml"}
    found = convert(folder / "data", format="masks", **options)
    assert named(convert, found["a.jpg"]) == semantic(road=ROAD, car=CARS)
    assert named(convert, found["sub/b.jpg"]) == semantic(road=ROAD, train=area(CAR_1))
    assert [c["name"] for c in convert.schema["categories"]] == ["road", "car", "train"]  # type: ignore[attr-defined]


def test_a_palette_map_is_read_by_its_colours(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/palette"
    found = convert(folder / "masks", format="masks", labels=folder / "labelmap.txt")
    assert named(convert, found["a.png"]) == semantic(road=ROAD, car=CARS)


@pytest.mark.parametrize("labels", ["label_colors.txt", "colours.csv", "colours.json", "colours.yaml"])
def test_colour_maps_with_names_in_every_kind_of_file(labels: str, fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/colour"
    found = convert(folder / "masks", format="masks", images=folder / "images", labels=folder / labels)
    assert named(convert, found["a.png"]) == semantic(road=ROAD, car=CARS)


@pytest.mark.parametrize("task", ["instance-segmentation", "semantic-segmentation", "object-detection"])
def test_instance_maps_take_their_classes_from_the_map_beside(task: str, fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/instance"
    options = {"class_masks": str(folder / "classes"), "labels": folder / "names.txt"}
    found = convert(folder / "instances", format="masks", task=task, **options)
    for name in ("a.png", "b.png"):
        if task == "object-detection":
            assert sorted(p["bbox"] for p in found[name]) == [[2, 5, 4, 4], [9, 5, 4, 4]]
        elif task == "instance-segmentation":
            assert named(convert, found[name]) == sorted([("car", area(CAR_1)), ("car", area(CAR_2))])
        else:
            assert named(convert, found[name]) == semantic(road=ROAD, car=CARS)


def test_cityscapes_label_ids_training_ids_and_instance_ids(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/cityscapes"
    pairing = {"images": folder / "leftImg8bit"}
    name = "train/aachen/aachen_000000_leftImg8bit.png"
    for suffix, classes in (("_gtFine_labelIds", 33), ("_gtFine_labelTrainIds", 19)):
        found = convert(folder / "gtFine", format="masks", suffix=suffix, **pairing)
        assert named(convert, found[name]) == semantic(road=ROAD, car=CARS)
        assert len(convert.schema["categories"]) == classes  # type: ignore[attr-defined]
    found = convert(folder / "gtFine", format="masks", suffix="_gtFine_instanceIds", **pairing)
    assert named(convert, found[name]) == [("car", area(CAR_1)), ("car", area(CAR_2))]
    notes = [("files-not-read", 3), ("region-left-out", 1)]  # the other three kinds of maps
    assert [(f.code, f.count) for f in convert.report.notes] == notes  # type: ignore[attr-defined]
    task = {"task": "semantic-segmentation", "suffix": "_gtFine_instanceIds"}
    found = convert(folder / "gtFine", format="masks", **task, **pairing)
    assert named(convert, found[name]) == semantic(road=ROAD, car=CARS)


def test_cityscapes_panoptic_colours_are_instance_ids(fixtures: Path, convert: Convert) -> None:
    source = fixtures / "masks/cityscapes/cityscapes_panoptic_train"
    found = convert(source, format="masks", suffix="_gtFine_panoptic", keep_category_ids=True)
    car = [(26, area(CAR_1)), (26, area(CAR_2))]
    assert [(p["category_id"], p["segmentation"]) for p in found["aachen_000000_leftImg8bit.png"]] == car
    options = {"task": "semantic-segmentation", "suffix": "_gtFine_panoptic"}
    assert named(convert, convert(source, format="masks", **options)["aachen_000000_leftImg8bit.png"]) == semantic(
        road=ROAD, car=CARS
    )


def test_instance_ids_by_training_ids(tmp_path: Path, convert: Convert) -> None:
    values = np.array([[0, 255, 13000, 13001, 13]], np.uint16)
    source = saved(tmp_path / "masks", values, "a_gtFine_instanceTrainIds.png")
    found = convert(source, format="masks", suffix="_gtFine_instanceTrainIds", keep_category_ids=True)
    expected = [(13, [2, 1, 2]), (13, [3, 1, 1])]
    assert [(p["category_id"], p["segmentation"]) for p in found["a_leftImg8bit.png"]] == expected
    assert [f.count for f in convert.report.notes] == [2], "road, and the group of cars"  # type: ignore[attr-defined]


def test_binary_masks_of_objects_and_of_classes(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/binary"
    pattern = {"pattern": "{image}/{class}_{n}", "images": folder / "images"}
    found = convert(folder / "objects", format="masks", **pattern)
    road = np.zeros(SHAPE, bool)
    road[8:] = True
    road[CAR_1] = road[CAR_2] = False
    expected = sorted([("car", area(CAR_1)), ("car", area(CAR_2)), ("road", documented_encode(road))])
    assert (named(convert, found["a.png"]), found["empty.png"]) == (expected, [])
    found = convert(folder / "classes", format="masks", pattern="{class}/{image}")
    assert named(convert, found["a.png"]) == semantic(car=CARS, road=documented_encode(road))


def test_two_workers_write_what_one_writes(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "masks/instance"
    options = {"class_masks": str(folder / "classes"), "labels": folder / "names.txt", "format": "masks"}
    one = convert(folder / "instances", **options)
    assert convert(folder / "instances", workers=2, **options) == one


def test_random_maps_of_all_values_equal_the_documented_encode(tmp_path: Path, convert: Convert) -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (37, 53)).astype(np.uint8)
    labels = names_file(tmp_path, *(f"class {i}" for i in range(256)))
    found = convert(saved(tmp_path / "masks", values), format="masks", labels=labels, ignore="")["a.png"]
    expected = {int(value): documented_encode(values == value) for value in np.unique(values)}
    assert {p["category_id"]: p["segmentation"] for p in found} == expected


def test_what_is_ignored_is_the_users_choice(tmp_path: Path, convert: Convert) -> None:
    values = np.array([[0, 1, 2, 255]], np.uint8)
    source, labels = saved(tmp_path / "masks", values), names_file(tmp_path, "background", "a", "b")
    options = {"format": "masks", "labels": labels}
    assert named(convert, convert(source, **options)["a.png"]) == [("a", [1, 1, 2]), ("b", [2, 1, 1])]
    kept = convert(source, ignore="255,a", **options)
    assert named(convert, kept["a.png"]) == [("b", [2, 1, 1]), ("background", [0, 1, 3])]


def test_a_value_that_stands_for_no_class_is_an_error_with_its_place(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.array([[1, 1, 1], [1, 9, 9]], np.uint8))
    options = {"format": "masks", "labels": names_file(tmp_path, "background", "a")}
    ((where, message),) = fails(source, **options)["unknown-value"]
    assert where.endswith("masks/a.png")
    assert message == "2 pixels, the first at x 1, y 1, have the value 9, which stands for no class"
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[1, 1] = (1, 2, 3)
    (tmp_path / "colours.txt").write_text("a:9,9,9::")
    found = fails(saved(tmp_path / "rgb", pixels), format="masks", labels=tmp_path / "colours.txt")
    assert "have the value (1, 2, 3)" in found["unknown-value"][0][1]


def test_masks_and_images_without_each_other_are_errors(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    images = saved(tmp_path / "images", np.zeros((2, 2, 3), np.uint8), "b.jpg")
    found = fails(source, format="masks", images=images, labels=names_file(tmp_path, "background", "a"))
    assert found["label-without-image"][0][0].endswith("masks/a.png")
    assert found["mask-missing"][0][0].endswith("images/b.jpg")


def test_a_mask_of_another_size_than_its_image_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    images = saved(tmp_path / "images", np.zeros((3, 4, 3), np.uint8), "a.jpg")
    found = fails(source, format="masks", images=images, labels=names_file(tmp_path, "background", "a"))
    assert found["mask-size"][0][1] == "the mask has 2 x 2 pixels, the image 4 x 3"


def test_a_jpeg_is_refused_as_mask(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((8, 8), np.uint8), "a.jpg")
    found = fails(source, format="masks", labels=names_file(tmp_path, "background", "a"))
    assert "a JPEG is refused" in found["image-broken"][0][1]


def test_a_truncated_png_is_an_error_and_the_others_are_still_read(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((64, 64), np.uint8))
    saved(source, np.random.default_rng(0).integers(0, 2, (64, 64)).astype(np.uint8), "b.png")
    (source / "b.png").write_bytes((source / "b.png").read_bytes()[:200])
    (source / "c.png").write_bytes(b"no image")
    options = {"format": "masks", "kind": "index", "labels": names_file(tmp_path, "background", "a")}
    found = fails(source, **options)
    assert [where[-5:] for where, _ in found["image-broken"]] == ["b.png", "c.png"]
    report = labelferry.convert(source, tmp_path / "out", on_error="skip", **options)
    assert report.images == 1


def test_a_png_bomb_is_refused_before_it_is_decoded(tmp_path: Path, fails: Fails) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.png").write_bytes(content)
    labels = names_file(tmp_path, "background", "a")
    found = fails(tmp_path / "masks", format="masks", kind="index", labels=labels)
    assert list(found) == ["mask-too-large"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", "{", "not JSON"),
        ("x.json", '{"a": [1, 2]}', "a class and its colour were expected"),
        ("x.yaml", "a: [1, 2, 300]", "a class and its colour were expected"),
        ("x.yaml", "a: !!python/name:os.system", "the tag"),
        ("x.txt", "a:1,2,3::\nb:1,2,3::", "have the same colour"),
        ("x.txt", "a:1,2,3::\nnonsense", "a class and its colour were expected"),
        ("x.txt", "a\n\nb", "an empty line"),
        ("x.txt", "# classes\na\nb", "may be a comment or a name"),
        ("x.txt", "id name\n7 road\n8 car", "a value and a name were expected"),
        ("x.txt", "road\ncar\nroad", "is also in line 1"),
        ("x.json", '{"label_map": {"0": "a", "x": "b"}}', "not a mapping of indices"),
        ("x.json", '{"label_map": {"0": "a", "1": 5}}', "is no text"),
        ("x.json", '{"label_map": {"0": "a", "1": "b"}, "segmentation_colors": [[0, 0, 0]]}', "no colour for each"),
    ],
)
def test_a_broken_file_of_classes_is_an_error_that_names_it(
    name: str, content: str, words: str, tmp_path: Path, fails: Fails
) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    (tmp_path / name).write_text(content)
    (((where, message),),) = fails(source, format="masks", kind="index", labels=tmp_path / name).values()
    assert str(tmp_path / name) in where
    assert words in message


def test_what_cannot_be_told_is_asked_and_not_guessed(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 255]], np.uint8))
    for skipping in ("fail", "skip"):
        found = fails(source, format="masks", on_error=skipping)
        assert "--kind binary with --pattern" in found["ambiguous"][0][1]
    assert "--labels" in fails(source, format="masks", kind="index")["no-names"][0][1]
    assert "ends with '_x'" in fails(source, format="masks", suffix="_x")["no-labels"][0][1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "colours"}, "--kind is one of index, colour"),
        ({"kind": "binary"}, "--pattern"),
        ({"kind": "instance"}, "--class-masks"),
        ({"pattern": "{image}_{x}"}, "{x} is not one of"),
        ({"pattern": "{image}{image}"}, "names a part twice"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    with pytest.raises(labelferry.UsageError, match=words):
        labelferry.convert(source, tmp_path / "out", format="masks", **options)


def test_a_blurred_binary_mask_is_taken_whole_and_counted(tmp_path: Path, convert: Convert) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 40, 255, 0]], np.uint8), "a_cat.png")
    found = convert(source, format="masks", pattern="{image}_{class}")
    assert found["a.png"][0]["segmentation"] == [1, 2, 1]
    assert [f.code for f in convert.report.repairs] == ["mask-not-binary"]  # type: ignore[attr-defined]


def test_a_path_that_does_not_fit_the_pattern_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8), "a_cat.png")
    saved(source, np.ones((2, 2), np.uint8), "b.png")
    ((where, _),) = fails(source, format="masks", pattern="{image}_{class}")["pattern"]
    assert where.endswith("masks/b.png")


@given(
    values=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)),
    mode=st.sampled_from(["L", "P", "RGB"]),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_map_of_any_mode_equals_a_comparison_of_pixels(values: Any, mode: str, tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [0, 0, 142], [128, 64, 128], [1, 2, 3]], np.uint8)
    image = Image.fromarray(colours[values] if mode == "RGB" else values)
    if mode == "P":
        image.putpalette(colours.ravel().tolist())
    (tmp_path / "masks").mkdir(exist_ok=True)
    image.save(tmp_path / "masks/a.png")
    text = "a:0,0,142::\nb:128,64,128::\nc:1,2,3::" if mode != "L" else "background\na\nb\nc"
    (tmp_path / "labels.txt").write_text(text)
    adapter = Masks(tmp_path / "masks", labels=tmp_path / "labels.txt")
    export = adapter.open(Request())
    names = {category.id: category.name for category in export.categories}
    (image_,) = export.images()
    assert isinstance(image_, labelferry.Image)
    found = export.labels(image_)
    assert found.masks is not None
    got = {names[i]: mask for i, mask in zip(found.category_ids.tolist(), found.masks, strict=True)}
    assert got == {"abc"[v - 1]: RunLengthMask.from_array(values == v) for v in np.unique(values) if v}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "sky\nbackground\nroad\n"),
        ("a.txt", "0: sky\n2: road\n1: background"),
        ("a.txt", "0 sky\r\n1 background\r\n2 road\r\n"),
        ("a.csv", "name,value\nsky,0\nroad,2\n"),
        ("a.csv", "0;sky\n2;road\n"),
        ("a.json", '["sky", "background", "road"]'),
        ("a.json", '{"sky": 0, "road": 2}'),
        ("a.json", '{"0": "sky", "2": "road"}'),
        ("a.json", '[{"id": 2, "name": "road"}, {"id": 0, "name": "sky"}]'),
        ("a.yaml", "0: sky\n2: road\n"),
        ("a.yaml", "sky: 0\nroad: 2\n"),
    ],
)
def test_names_and_values_in_every_kind_of_file(name: str, content: str, tmp_path: Path, convert: Convert) -> None:
    """A value that has a name is a class, 0 among them; ids are the values, in ascending order."""
    (tmp_path / name).write_bytes(content.encode())
    source = saved(tmp_path / "masks", np.array([[0, 2, 2]], np.uint8))
    found = convert(source, format="masks", labels=tmp_path / name, keep_category_ids=True)
    assert [(p["category_id"], p["segmentation"]) for p in found["a.png"]] == [(0, [0, 1, 2]), (2, [1, 2])]
    assert convert.schema["categories"] == [  # type: ignore[attr-defined]
        {"id": 0, "name": "sky"},
        {"id": 2, "name": "road"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "where", "words"),
    [
        ("x.csv", "name,value\nroad,1\ncar\n", "x.csv:3", "a name and its value"),
        ("x.csv", "road,1\ncar,two\n", "x.csv:2", "a name and its value"),
        ("x.csv", "road,1\ncar,1\n", "x.csv", "same value 1"),
        ("x.json", '{"road": 1, "car": 1}', "x.json", "same value 1"),
        ("x.json", '{"road": -1}', "x.json", "a class and its colour"),
        ("x.json", "{}", "x.json", "no class"),
        ("x.txt", "", "x.txt", "no class"),
    ],
)
def test_a_broken_file_of_values_is_an_error_with_its_line(
    name: str, content: str, where: str, words: str, tmp_path: Path, fails: Fails
) -> None:
    (tmp_path / name).write_text(content)
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    (((found, message),),) = fails(source, format="masks", labels=tmp_path / name).values()
    assert found == str(tmp_path / where)
    assert words in message


def test_a_map_of_0_and_255_is_not_taken_for_empty(tmp_path: Path, fails: Fails, convert: Convert) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 255]], np.uint8))
    labels = names_file(tmp_path, "background", "lesion")
    ((where, message),) = fails(source, format="masks", labels=labels)["ambiguous"]
    assert where.endswith("a.png")
    assert "name 255 in --labels" in message
    assert convert(source, format="masks", labels=labels, kind="index") == {"a.png": []}
    (tmp_path / "values.json").write_text('{"0": "BACKGROUND", "255": "lesion"}')
    found = convert(source, format="masks", labels=tmp_path / "values.json")
    assert named(convert, found["a.png"]) == [("lesion", [1, 1])], "a value that has a name is not ignored"
    found = convert(source, format="masks", labels=tmp_path / "values.json", ignore="255")
    assert named(convert, found["a.png"]) == [("BACKGROUND", [0, 1, 1])], "unless that is asked for"


def test_grey_in_three_channels_is_an_index(tmp_path: Path, convert: Convert) -> None:
    """As OpenCV writes masks that it has read in colour."""
    values = np.array([[0, 1, 2, 255]], np.uint8)
    source = saved(tmp_path / "masks", np.stack((values, values, values), axis=-1))
    found = convert(source, format="masks", labels=names_file(tmp_path, "background", "a", "b"))
    assert named(convert, found["a.png"]) == [("a", [1, 1, 2]), ("b", [2, 1, 1])]


def test_a_grey_mask_does_not_go_with_colours(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    (tmp_path / "labels.txt").write_text("a:1,2,3::")
    assert "mask is grey" in fails(source, format="masks", labels=tmp_path / "labels.txt")["mask-mode"][0][1]
    labels = names_file(tmp_path, "a")
    assert "no colours" in fails(source, format="masks", labels=labels, kind="colour")["no-names"][0][1]


def test_colours_are_ignored_by_their_hex_code(tmp_path: Path, convert: Convert) -> None:
    pixels = np.array([[[1, 2, 3], [224, 224, 192], [0, 0, 0]]], np.uint8)
    (tmp_path / "labels.txt").write_text("a:1,2,3::")
    options = {"format": "masks", "labels": tmp_path / "labels.txt"}
    found = convert(saved(tmp_path / "masks", pixels), ignore="#E0E0C0", **options)
    assert named(convert, found["a.png"]) == [("a", [0, 1, 2])]


def test_a_palette_colour_without_a_name_is_an_error_wherever_it_stands(tmp_path: Path, fails: Fails) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([9, 9, 9, 1, 2, 3])
    (tmp_path / "masks").mkdir()
    image.save(tmp_path / "masks/a.png")
    (tmp_path / "labels.txt").write_text("a:1,2,3::")
    found = fails(tmp_path / "masks", format="masks", labels=tmp_path / "labels.txt")
    assert "1 pixels, the first at x 0, y 0, have the value 0" in found["unknown-value"][0][1]


def test_instances_without_a_class_are_counted_and_255_may_be_one(tmp_path: Path, convert: Convert) -> None:
    instances = np.array([[255, 7, 7, 300, 0, 8]], np.uint16)
    source = saved(tmp_path / "masks", instances, "a_instance.png")
    saved(source, np.array([[1, 0, 255, 1, 1, 255]], np.uint8), "a_class.png")
    options = {"suffix": "_instance", "class_masks": "_class", "labels": names_file(tmp_path, "background", "car")}
    found = convert(source, format="masks", **options)
    assert [p["segmentation"] for p in found["a.png"]] == [[0, 1, 5], [3, 1, 2]]
    (repair,) = convert.report.repairs  # type: ignore[attr-defined]
    assert (repair.code, repair.count) == ("instance-without-class", 2)
    assert repair.examples[0][1].endswith("left out: 7, 8")


def test_an_instance_map_needs_its_class_map_of_the_same_size(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((2, 2), np.uint8))
    classes = saved(tmp_path / "classes", np.ones((2, 3), np.uint8))
    options = {"format": "masks", "class_masks": str(classes), "labels": names_file(tmp_path, "background", "a")}
    message = f"2 x 2 pixels, {classes}/a.png has 3 x 2"
    assert fails(source, **options)["mask-size"][0][1] == message
    (classes / "a.png").unlink()
    assert fails(source, **options)["mask-missing"][0][0].endswith("classes/a.png")


def test_images_may_lie_beside_their_masks_or_around_them(tmp_path: Path, convert: Convert) -> None:
    labels, mask = names_file(tmp_path, "background", "a"), np.array([[0, 1]], np.uint8)
    source = saved(tmp_path / "data", mask)
    saved(source, np.zeros((1, 2, 3), np.uint8), "a.jpg")
    assert set(convert(source, format="masks", images=source, labels=labels)) == {"a.jpg"}, "JPEGs are the images"
    around = tmp_path / "around"
    saved(around / "masks/sub", mask)
    saved(around / "sub", np.zeros((1, 2, 3), np.uint8))
    assert set(convert(around / "masks", format="masks", images=around, labels=labels)) == {"sub/a.png"}


def test_two_images_for_one_mask_are_an_error(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 1]], np.uint8))
    images = saved(tmp_path / "images", np.zeros((1, 2, 3), np.uint8), "a.jpg")
    saved(images, np.zeros((1, 2, 3), np.uint8), "a.png")
    options = {"format": "masks", "images": images, "labels": names_file(tmp_path, "background", "a")}
    assert fails(source, **options)["name-collision"][0][0].endswith("a.png")


def test_a_mask_without_objects_must_have_its_images_size_too(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.zeros((2, 2), np.uint8))
    images = saved(tmp_path / "images", np.zeros((3, 4, 3), np.uint8))
    found = fails(source, format="masks", images=images, labels=names_file(tmp_path, "background", "a"))
    assert list(found) == ["mask-size"]


def test_known_names_may_hold_what_stands_between_the_parts(tmp_path: Path, convert: Convert) -> None:
    source = saved(tmp_path / "masks", np.ones((1, 2), np.uint8), "a_1_traffic_light.png")
    labels = names_file(tmp_path, "light", "traffic_light")
    found = convert(source, format="masks", pattern="{image}_{class}", labels=labels)
    assert named(convert, found["a_1.png"]) == [("traffic_light", [0, 2])]


def test_without_a_class_in_the_pattern_there_is_one(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((1, 2), np.uint8), "a/1.png")
    saved(source, np.array([[0, 1]], np.uint8), "a/2.png")
    found = convert(source, format="masks", pattern="{image}/{n}")
    assert named(convert, found["a.png"]) == [("object", [0, 2]), ("object", [1, 1])]
    found = convert(source, format="masks", pattern="{image}/{n}", labels=names_file(tmp_path, "cell"))
    assert named(convert, found["a.png"]) == [("cell", [0, 2]), ("cell", [1, 1])]
    for names in ((), ("cell", "nucleus")):
        with pytest.raises(labelferry.UsageError, match=f"names {len(names)} classes"):
            convert(source, format="masks", pattern="{image}/{n}", labels=names_file(tmp_path, *names))


def test_a_class_in_a_path_that_labels_does_not_name_is_an_error(tmp_path: Path, fails: Fails) -> None:
    source = saved(tmp_path / "masks", np.ones((1, 2), np.uint8), "a_dog.png")
    found = fails(source, format="masks", pattern="{image}_{class}", labels=names_file(tmp_path, "cat"))
    assert "'dog' is not named" in found["unknown-category"][0][1]


def test_a_folder_without_masks_is_an_error(tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "file").touch()
    assert fails(tmp_path / "file", format="masks")["no-labels"][0][0].endswith("file")
    (tmp_path / "empty").mkdir()
    assert "no mask" in fails(tmp_path / "empty", format="masks", pattern="{image}")["no-labels"][0][1]


def values_in(folder: Path, pattern: str, nothing: set[int]) -> int:
    """Values of all maps together that stand for something, counted by numpy alone."""
    count = 0
    for path in folder.rglob(pattern):
        with Image.open(path) as image:
            pixels = np.asarray(image).astype(np.int64)
        values = pixels @ np.array([1, 256, 65536]) if pixels.ndim == 3 else pixels
        count += len(set(np.unique(values).tolist()) - nothing)
    return count


def test_every_value_of_a_label_map_that_is_not_ignored_is_found(fixtures: Path, tmp_path: Path) -> None:
    folder = fixtures / "masks"
    options = {"suffix": "_mask", "labels": folder / "index/classes.yaml"}
    report = labelferry.convert(folder / "index/data", tmp_path / "index", format="masks", **options)
    assert report.found_objects == values_in(folder / "index/data", "*_mask.png", {0, 255}) == 4
    options = {"labels": folder / "colour/label_colors.txt"}
    report = labelferry.convert(folder / "colour/masks", tmp_path / "colour", format="masks", **options)
    assert report.found_objects == values_in(folder / "colour/masks", "*.png", {0}) == 2


@pytest.mark.parametrize(
    ("task", "maps"),
    [("instance-segmentation", "instances"), ("object-detection", "instances"), ("semantic-segmentation", "classes")],
)
def test_every_instance_or_class_of_an_instance_map_is_found(
    task: str, maps: str, fixtures: Path, tmp_path: Path
) -> None:
    folder = fixtures / "masks/instance"
    options = {"class_masks": str(folder / "classes"), "labels": folder / "names.txt", "task": task}
    report = labelferry.convert(folder / "instances", tmp_path, format="masks", **options)
    assert report.found_objects == values_in(folder / maps, "*.png", {0}) == 4


@pytest.mark.parametrize(
    ("task", "lost", "merged"),
    [("instance-segmentation", 1, 0), ("object-detection", 1, 0), ("semantic-segmentation", 0, 1)],
)
def test_regions_of_cityscapes_without_instances_are_found_and_lost(
    task: str, lost: int, merged: int, fixtures: Path, tmp_path: Path
) -> None:
    folder = fixtures / "masks/cityscapes/gtFine"
    report = labelferry.convert(folder, tmp_path, format="masks", suffix="_gtFine_instanceIds", task=task)
    assert report.found_objects == values_in(folder, "*_instanceIds.png", {0}) == 3
    assert (report.lost_objects, report.merged_objects) == (lost, merged)


def test_every_file_of_binary_masks_is_found(fixtures: Path, tmp_path: Path) -> None:
    folder = fixtures / "masks/binary"
    options = {"pattern": "{image}/{class}_{n}", "images": folder / "images"}
    report = labelferry.convert(folder / "objects", tmp_path / "objects", format="masks", **options)
    assert report.found_objects == len(list((folder / "objects").rglob("*.png"))) == 3
    options = {"pattern": "{class}/{image}", "ignore": "car"}
    report = labelferry.convert(folder / "classes", tmp_path / "classes", format="masks", **options)
    assert (report.found_objects, report.lost_objects, report.objects) == (2, 1, {"road": 1})
    assert [(note.code, note.count) for note in report.notes] == [("class-ignored", 1)]


def test_an_unknown_value_is_a_lost_object_and_the_others_are_written(tmp_path: Path) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 1, 8, 9, 255]], np.uint8))
    labels = names_file(tmp_path, "background", "a")
    report = labelferry.convert(source, tmp_path / "out", format="masks", labels=labels, on_error="skip")
    assert [(error.code, error.count) for error in report.errors] == [("unknown-value", 2)]
    assert (report.found_objects, report.lost_objects, report.objects) == (3, 2, {"a": 1})


def test_a_value_without_a_class_in_a_class_map_loses_the_instances_on_it(tmp_path: Path) -> None:
    """The objects are the instances: the value itself is none, and is an error all the same."""
    source = saved(tmp_path / "masks", np.array([[0, 1, 2, 3]], np.uint8))
    classes = saved(tmp_path / "classes", np.array([[0, 1, 9, 9]], np.uint8))
    options = {"labels": names_file(tmp_path, "background", "a"), "class_masks": str(classes), "on_error": "skip"}
    report = labelferry.convert(source, tmp_path / "out", format="masks", **options)
    assert [(error.code, error.count) for error in report.errors] == [("unknown-value", 1)]
    assert [(repair.code, repair.count) for repair in report.repairs] == [("instance-without-class", 2)]
    assert (report.found_objects, report.lost_objects, report.objects) == (3, 2, {"a": 1})


def test_a_refused_image_loses_all_its_objects(tmp_path: Path) -> None:
    labels = names_file(tmp_path, "background", "a", "b")
    maps = saved(tmp_path / "maps", np.array([[0, 1, 2, 255]], np.uint8))
    images = saved(tmp_path / "images", np.zeros((3, 4, 3), np.uint8))
    instances = saved(tmp_path / "instances", np.array([[0, 5, 6, 7]], np.uint8))
    classes = saved(tmp_path / "classes", np.array([[1, 1, 1]], np.uint8))
    (tmp_path / "no classes").mkdir()
    objects = saved(tmp_path / "objects", np.ones((1, 2), np.uint8), "a/cat_1.png")
    saved(objects, np.ones((1, 2), np.uint8), "a/cat_2.png")
    (objects / "a/cat_3.png").write_bytes(b"no image")
    cases: list[tuple[Path, str, int, dict[str, Any]]] = [
        (maps, "mask-size", 2, {"labels": labels, "images": images}),
        (instances, "mask-size", 3, {"labels": labels, "class_masks": str(classes)}),
        (instances, "mask-missing", 3, {"labels": labels, "class_masks": str(tmp_path / "no classes")}),
        (objects, "image-broken", 3, {"pattern": "{image}/{class}_{n}"}),
        (objects, "label-without-image", 3, {"pattern": "{image}/{class}_{n}", "images": tmp_path / "no classes"}),
    ]
    for number, (source, code, lost, options) in enumerate(cases):
        out = tmp_path / f"out_{number}"
        report = labelferry.convert(source, out, format="masks", on_error="skip", **options)
        assert [error.code for error in report.errors] == [code]
        assert (report.found_objects, report.lost_objects, report.images) == (lost, lost, 0), code


def test_detection_is_made_of_instances_and_not_of_classes(fixtures: Path, tmp_path: Path) -> None:
    """Two instances of a class have two boxes, where a map of classes has one region."""
    folder = fixtures / "masks"
    instances = Masks(
        folder / "instance/instances",
        class_masks=str(folder / "instance/classes"),
        labels=folder / "instance/names.txt",
    )
    cityscapes = Masks(folder / "cityscapes/gtFine", suffix="_gtFine_instanceIds")
    objects = Masks(folder / "binary/objects", pattern="{image}/{class}_{n}")
    for adapter in (instances, cityscapes, objects):
        export = adapter.open(Request(TaskType.OBJECT_DETECTION))
        assert export.source_task is TaskType.INSTANCE_SEGMENTATION
        for image in listed(export):
            labels = export.labels(image)
            boxes = [mask.box for mask in labels.masks or ()]
            assert {(2, 5, 4, 4), (9, 5, 4, 4)} <= set(boxes)


def test_maps_of_classes_give_no_boxes(fixtures: Path, tmp_path: Path) -> None:
    folder = fixtures / "masks/palette"
    with pytest.raises(labelferry.UsageError, match="holds no object-detection; it holds semantic-segmentation"):
        labelferry.convert(
            folder / "masks", tmp_path, format="masks", labels=folder / "labelmap.txt", task="object-detection"
        )


def test_an_empty_binary_mask_has_no_box(tmp_path: Path, convert: Convert) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 255, 255, 0]], np.uint8), "a/cat_1.png")
    saved(source, np.zeros((1, 4), np.uint8), "a/cat_2.png")
    found = convert(source, format="masks", pattern="{image}/{class}_{n}", task="object-detection")
    assert [one["bbox"] for one in found["a.png"]] == [[1, 0, 2, 1]]
    assert [repair.code for repair in convert.report.repairs] == ["mask-empty"]  # type: ignore[attr-defined]


CITYSCAPES_COLOURS = {"road": (128, 64, 128), "car": (0, 0, 142), "polegroup": (153, 153, 153), "static": (0, 0, 0)}


def test_the_root_of_cityscapes_gives_the_names_of_its_images(fixtures: Path, convert: Convert, fails: Fails) -> None:
    root = fixtures / "masks/cityscapes"
    assert "--suffix" in fails(root, format="masks")["ambiguous"][0][1]
    found = convert(root, format="masks", suffix="_gtFine_labelIds", input=root)
    assert list(found) == ["leftImg8bit/train/aachen/aachen_000000_leftImg8bit.png"]
    assert (root / next(iter(found))).is_file()


def test_a_split_of_cityscapes_without_masks_is_a_warning(fixtures: Path, tmp_path: Path, convert: Convert) -> None:
    root = tmp_path / "root"
    shutil.copytree(fixtures / "masks/cityscapes", root)
    shutil.copytree(root / "leftImg8bit/train", root / "leftImg8bit/train_extra")
    assert len(convert(root, format="masks", suffix="_gtFine_labelIds")) == 1
    warnings = [(f.code, f.count) for f in convert.report.warnings]  # type: ignore[attr-defined]
    assert warnings == [("split-without-labels", 1)]
    assert convert.report.lost_images == 1  # type: ignore[attr-defined]


def test_palettes_are_those_that_are_published() -> None:
    sizes = {name: len(palette.values or palette.colours or ()) for name, palette in PALETTES.items()}
    assert sizes == {
        "cityscapes": 34,
        "cityscapes-label-ids": 34,
        "cityscapes-train-ids": 19,
        "voc": 22,
        "camvid": 32,
        "ade20k": 150,
    }
    colours = {name: dict(palette.colours or ()) for name, palette in PALETTES.items()}
    values = {name: palette.values or {} for name, palette in PALETTES.items()}
    assert {name: colours["cityscapes"][name] for name in CITYSCAPES_COLOURS} == CITYSCAPES_COLOURS
    assert (values["cityscapes"][7], values["cityscapes"][26], values["cityscapes"][33]) == ("road", "car", "bicycle")
    assert (values["voc"][1], values["voc"][20], colours["voc"]["person"]) == (
        "aeroplane",
        "tvmonitor",
        (192, 128, 128),
    )
    assert (colours["camvid"]["Sky"], colours["camvid"]["Wall"]) == ((128, 128, 128), (64, 192, 0))
    assert (values["ade20k"][1], values["ade20k"][150], colours["ade20k"]["flag"]) == ("wall", "flag", (92, 0, 255))
    assert len(set(values["ade20k"].values())) == 150


@pytest.mark.parametrize("mode", ["values", "palette", "colours", "three channels"])
def test_a_palette_reads_values_and_colours(mode: str, tmp_path: Path, convert: Convert) -> None:
    values = np.array([[0, 1, 15, 255]], np.uint8)
    table = np.array([voc_colour(i) for i in range(255)] + [(224, 224, 192)], np.uint8)
    image = Image.fromarray(values)
    if mode == "palette":
        image.putpalette(table.ravel().tolist())
    elif mode == "colours":
        image = Image.fromarray(table[values])
    elif mode == "three channels":
        image = Image.fromarray(np.stack([values] * 3, axis=-1))
    (tmp_path / "masks").mkdir()
    image.save(tmp_path / "masks/a.png")
    found = convert(tmp_path / "masks", format="masks", labels="voc")
    assert named(convert, found["a.png"]) == semantic(aeroplane=[1, 1, 2], person=[2, 1, 1])


def test_a_palette_whose_colours_contradict_its_values_is_asked_about(
    tmp_path: Path, fails: Fails, convert: Convert
) -> None:
    (tmp_path / "masks").mkdir()
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([0, 0, 0, *voc_colour(7), *voc_colour(15)])
    image.save(tmp_path / "masks/a.png")
    source = tmp_path / "masks"
    message = fails(source, format="masks", labels="voc")["ambiguous"][0][1]
    assert "--kind index" in message
    assert "--kind colour" in message
    by_colour = convert(source, format="masks", labels="voc", kind="colour")
    assert named(convert, by_colour["a.png"]) == semantic(car=[1, 1, 1], person=[2, 1])
    by_value = convert(source, format="masks", labels="voc", kind="index")
    assert named(convert, by_value["a.png"]) == semantic(aeroplane=[1, 1, 1], bicycle=[2, 1])


def test_training_ids_of_cityscapes_are_not_taken_for_label_ids(tmp_path: Path, fails: Fails, convert: Convert) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 7, 13]], np.uint8))
    assert "cityscapes-train-ids" in fails(source, format="masks", labels="cityscapes")["ambiguous"][0][1]
    found = convert(source, format="masks", labels="cityscapes-train-ids")
    assert named(convert, found["a.png"]) == semantic(road=[0, 1, 2], car=[2, 1]) + semantic(
        **{"traffic sign": [1, 1, 1]}
    )
    saved(tmp_path / "masks", np.array([[7, 26, 0]], np.uint8), "b.png")
    assert named(convert, convert(source, format="masks", labels="cityscapes")["b.png"]) == semantic(
        road=[0, 1, 2], car=[1, 1, 1]
    )
    saved(tmp_path / "masks", np.array([[7, 26, 255]], np.uint8), "c.png")
    with pytest.raises(labelferry.ExportError, match="cityscapes-train-ids"):
        convert(source, format="masks", labels="cityscapes")
    found = convert(source, format="masks", labels="cityscapes", ignore="255")
    assert len(found) == 3


def test_a_colour_of_two_classes_is_a_warning(tmp_path: Path, convert: Convert) -> None:
    source = saved(tmp_path / "masks", np.array([[(128, 64, 128), (153, 153, 153), (0, 0, 0)]], np.uint8))
    found = convert(source, format="masks", labels="cityscapes")
    assert named(convert, found["a.png"]) == semantic(pole=[1, 1, 1], road=[0, 1, 2])
    ((_, text),) = convert.report.warnings[0].examples  # type: ignore[attr-defined]
    assert text == "1 pixels have the colour of pole and polegroup; read as pole"


def test_a_file_of_a_palettes_name_is_read(tmp_path: Path, convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(tmp_path / "masks", np.array([[0, 1]], np.uint8))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voc").write_text("background\nmine")
    assert named(convert, convert(source, format="masks", labels="voc")["a.png"]) == semantic(mine=[1, 1])


def test_a_plan_may_name_a_palette(tmp_path: Path) -> None:
    saved(tmp_path / "masks", np.array([[0, 1]], np.uint8))
    plan = "jobs:\n- {source: masks, format: masks, options: {labels: voc}}\n"
    (tmp_path / "jobs.yaml").write_text(plan)
    (outcome,) = labelferry.batch(tmp_path / "jobs.yaml", tmp_path / "out")
    assert outcome.status == "done", outcome


@pytest.mark.parametrize("is_colour", [False, True])
def test_datumaros_meta_file_names_values_and_colours(is_colour: bool, tmp_path: Path, convert: Convert) -> None:
    meta = {
        "label_map": {"0": "nothing", "1": "road", "2": "car"},
        "segmentation_colors": [[0, 0, 0], [128, 64, 128], [0, 0, 142]],
        "background_label": "0",
    }
    (tmp_path / "dataset_meta.json").write_text(json.dumps(meta))
    values = np.array([[0, 1, 2]], np.uint8)
    source = saved(tmp_path / "masks", np.array(meta["segmentation_colors"], np.uint8)[values] if is_colour else values)
    found = convert(source, format="masks", labels=tmp_path / "dataset_meta.json")
    assert named(convert, found["a.png"]) == semantic(road=[1, 1, 1], car=[2, 1])


def test_values_that_a_decoder_changes_are_refused(tmp_path: Path, fails: Fails) -> None:
    folder, labels = tmp_path / "masks", names_file(tmp_path, "background", "road")
    folder.mkdir()
    for name, depth, colour, row in (("sixteen.png", 16, 2, bytes(12)), ("four.png", 4, 0, bytes([0x01]))):
        header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
        content = b"\x89PNG\r\n\x1a\n"
        for kind, data in chunks:
            content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        (folder / name).write_bytes(content)
    pages = [Image.fromarray(np.full((1, 2), value, np.uint8)) for value in (0, 1)]
    pages[0].save(folder / "two.tif", save_all=True, append_images=pages[1:])
    found = fails(folder, format="masks", labels=labels)["mask-mode"]
    assert [where.rpartition("/")[2] for where, _ in found] == ["four.png", "sixteen.png", "two.tif"]


def test_transparent_pixels_are_a_warning(tmp_path: Path, convert: Convert) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("128 64 128 road")
    source = saved(tmp_path / "masks", np.array([[(128, 64, 128, 255), (128, 64, 128, 0)]], np.uint8))
    assert named(convert, convert(source, format="masks", labels=labels)["a.png"]) == semantic(road=[0, 2])
    assert [f.code for f in convert.report.warnings] == ["mask-transparent"]  # type: ignore[attr-defined]


def test_a_map_of_classes_without_instances_is_an_error(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    shutil.copytree(fixtures / "masks/instance", tmp_path / "x")
    shutil.copy(tmp_path / "x/classes/a.png", tmp_path / "x/classes/more.png")
    options = {"class_masks": str(tmp_path / "x/classes"), "labels": tmp_path / "x/names.txt"}
    found = fails(tmp_path / "x/instances", format="masks", **options)
    assert [where.rpartition("/")[2] for where, _ in found["mask-missing"]] == ["more.png"]


def test_images_without_any_binary_mask_are_an_error(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    folder = fixtures / "masks/binary"
    shutil.copytree(folder / "objects/a", tmp_path / "objects/other")
    options = {"pattern": "{image}/{class}_{n}", "images": folder / "images", "on_error": "skip"}
    assert "no-labels" in fails(tmp_path / "objects", format="masks", **options)
