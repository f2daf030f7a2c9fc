"""Pascal VOC: every flavour of fixtures/voc, expected values by hand; labelformat, Pillow and numpy as judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelformat.formats import PascalVOCObjectDetectionInput
from labelformat.model.bounding_box import BoundingBoxFormat
from PIL import Image

import labelferry
from labelferry.converters.voc.masks import CLASSES
from labelferry.reading.label_colours import voc_colour
from tests.conformance.test_real_coco import documented_encode
from tests.conftest import Convert

PERSON = {"category_id": 14, "bbox": [16, 12, 16, 24], "score": 1.0}
CAR = {"category_id": 6, "bbox": [32, 24, 32, 12], "score": 1.0}
DIFFICULT_CAR = {"category_id": 6, "bbox": [32.5, 24, 31, 12], "score": 1.0}
DETECTION = {"format": "voc", "task": "object-detection"}
Fails = Callable[..., dict[str, list[tuple[str, str]]]]


def annotation(objects: str, size: str = "<size><width>64</width><height>48</height></size>") -> str:
    return f"<annotation>\n<filename>a.png</filename>\n{size}\n{objects}\n</annotation>"


def boxed(name: str = "cat", corners: tuple[object, ...] = (16, 12, 32, 36)) -> str:
    xmin, ymin, xmax, ymax = corners
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def written(folder: Path, text: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_boxes_of_the_devkit_with_parts_ignored_and_images_without_xml_empty(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "voc/devkit", **DETECTION)
    assert found == {"2007_01.jpg": [PERSON, DIFFICULT_CAR], "2007_02.jpg": [CAR], "2007_03.jpg": []}
    names = [category["name"] for category in convert.schema["categories"]]  # type: ignore[attr-defined]
    assert names == list(CLASSES), "the 20 classes in VOC's order where no others occur"


def test_an_annotations_folder_may_be_given(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "voc/devkit/Annotations", **DETECTION)["2007_02.jpg"] == [CAR]


def test_difficult_and_truncated_objects_are_left_out_on_request_and_counted(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "voc/devkit", difficult=False, **DETECTION)
    assert found["2007_01.jpg"] == [PERSON]
    assert [(f.code, f.count) for f in convert.report.notes] == [("difficult-left-out", 1)]  # type: ignore[attr-defined]
    assert convert(fixtures / "voc/devkit", truncated=False, **DETECTION)["2007_01.jpg"] == [DIFFICULT_CAR]


def test_a_split_is_read_from_image_sets_of_the_task(fixtures: Path, convert: Convert) -> None:
    assert set(convert(fixtures / "voc/devkit", split="train", **DETECTION)) == {"2007_01.jpg"}
    assert set(convert(fixtures / "voc/devkit", split="car_trainval", **DETECTION)) == {"2007_01.jpg", "2007_02.jpg"}
    assert set(convert(fixtures / "voc/devkit", split="train", format="voc")) == {"2007_01.jpg"}


def test_one_based_coordinates_include_their_last_pixel(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "voc/devkit", one_based=True, **DETECTION)
    assert found["2007_01.jpg"][0]["bbox"] == [15, 11, 17, 25]


def test_xml_beside_images_without_size_and_with_an_old_name(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "voc/flat", format="voc") == {
        "a.JPG": [CAR | {"category_id": 0}],
        "sub/b.png": [PERSON | {"category_id": 1}],
    }
    names = [category["name"] for category in convert.schema["categories"]]  # type: ignore[attr-defined]
    assert names == ["Straßenbahn", "bus"], "alphabetical where they are not VOC's"


def test_xml_alone_names_its_images(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "voc/xml_only", format="voc")
    assert found == {"x.png": [PERSON | {"category_id": 7}], "2007_y.jpg": [CAR | {"category_id": 11}]}
    assert [(f.code, f.count) for f in convert.report.repairs] == [("filename-mended", 1)]  # type: ignore[attr-defined]


def test_class_masks_are_semantic_without_background_and_boundary(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "voc/devkit"
    values = np.asarray(Image.open(folder / "SegmentationClass/2007_01.png"))
    assert convert(folder, format="voc", task="semantic-segmentation") == {
        "2007_01.jpg": [
            {"category_id": index - 1, "segmentation": documented_encode(values == index), "score": 1.0}
            for index in (7, 15)
        ]
    }


def test_object_masks_are_instances_with_the_class_of_the_class_mask(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "voc/devkit"
    values = np.asarray(Image.open(folder / "SegmentationObject/2007_01.png"))
    expected = [(14, 1, [16, 12, 15, 24]), (6, 2, [32, 24, 16, 12]), (6, 3, [48, 24, 16, 12])]
    assert convert(folder, format="voc") == {
        "2007_01.jpg": [
            {"category_id": label, "segmentation": documented_encode(values == index), "bbox": box, "score": 1.0}
            for label, index, box in expected
        ]
    }


def test_rgb_masks_with_a_labelmap(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "voc/cvat"
    sky, road = np.zeros((48, 64)), np.zeros((48, 64))
    sky[:24], road[32:] = 1, 1
    assert convert(folder, format="voc", task="semantic-segmentation")["a.png"] == [
        {"category_id": 0, "segmentation": documented_encode(road), "score": 1.0},
        {"category_id": 1, "segmentation": documented_encode(sky), "score": 1.0},
    ]
    assert [c["name"] for c in convert.schema["categories"]] == ["road", "sky: blue"]  # type: ignore[attr-defined]
    instances = convert(folder, format="voc")["a.png"]
    assert [(p["category_id"], p["bbox"]) for p in instances] == [
        (1, [0, 0, 32, 24]),
        (1, [32, 0, 32, 24]),
        (0, [0, 32, 64, 16]),
    ]


def test_classes_may_be_named_in_a_file(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    source = written(tmp_path / "export", annotation(boxed("dog") + boxed("cat")))
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfdog\r\ncat\r\ncow\r\n")
    found = convert(source, format="voc", labels=tmp_path / "names.txt")
    assert [p["category_id"] for p in found["a.png"]] == [0, 1]


def test_a_class_that_the_file_does_not_name_is_an_error_with_its_line(tmp_path: Path, fails: Fails) -> None:
    source = written(tmp_path / "export", annotation(boxed("dog") + "\n" + boxed("cat")))
    (tmp_path / "names.txt").write_text("dog")
    ((where, message),) = fails(source, format="voc", labels=tmp_path / "names.txt")["unknown-category"]
    assert where == f"{source}/a.xml:5"
    assert message == "class 'cat' is not among the 1 class names"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 20), st.floats(33, 64), st.floats(22, 48)), max_size=5))
def test_boxes_equal_labelformats(boxes: list[tuple[float, ...]], tmp_path: Path, convert: Convert) -> None:
    source = written(tmp_path / "export", annotation("".join(boxed("cat", box) for box in boxes)))
    (labels,) = PascalVOCObjectDetectionInput(source, "cat").get_labels()
    expected = [labelled.box.to_format(BoundingBoxFormat.XYWH) for labelled in labels.objects]
    found = [prediction["bbox"] for prediction in convert(source, format="voc")["a.png"]]
    np.testing.assert_allclose(np.reshape(found, (-1, 4)), np.reshape(expected, (-1, 4)), rtol=0, atol=1e-9)


def test_two_workers_write_what_one_writes(fixtures: Path, convert: Convert) -> None:
    for options in (DETECTION, {"format": "voc"}):
        one = convert(fixtures / "voc/devkit", **options)
        assert convert(fixtures / "voc/devkit", workers=2, **options) == one


def test_comments_cdata_and_other_encodings_are_read(tmp_path: Path, convert: Convert) -> None:
    text = annotation(f"<!-- {boxed('dog')} -->" + boxed("<![CDATA[Zug & Bahn ü]]>") + boxed("Zug &amp; Bahn ü"))
    for i, encoding in enumerate(("utf-8", "utf-16", "iso-8859-1")):
        declared = f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'.encode(encoding)
        found = convert(written(tmp_path / str(i), declared), format="voc")
        assert [p["category_id"] for p in found["a.png"]] == [0, 0]
        assert [c["name"] for c in convert.schema["categories"]] == ["Zug & Bahn ü"]  # type: ignore[attr-defined]


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("content", "code", "line", "words"),
    [
        (annotation(boxed())[:-20], "broken-xml", ":4", "not XML"),
        ("", "broken-xml", ":1", "not XML"),
        ("no xml at all", "broken-xml", ":1", "not XML"),
        (BOMB + annotation(boxed("&b;")), "refused-xml", "", "DTDForbidden"),
        (EXTERNAL + annotation(boxed("&a;")), "refused-xml", "", "DTDForbidden"),
        (
            f'<?xml version="1.0" encoding="utf-16"?>{EXTERNAL}{annotation(boxed())}'.encode("utf-16"),
            "refused-xml",
            "",
            "",
        ),
        (annotation("<object><name>cat</name></object>"), "broken-object", ":4", "without a <bndbox>"),
        (annotation("<object><bndbox/></object>"), "broken-object", ":4", "without a <name>"),
        (annotation(boxed().replace("xmax", "xmas")), "broken-object", ":4", "without <xmax>"),
        (annotation(boxed(corners=(1, 2, "x", 4))), "broken-object", ":4", "no number"),
        (annotation(boxed(corners=(1, 2, "nan", 4))), "box-not-finite", ":4", "not finite"),
        (annotation(boxed(corners=(30, 2, 10, 4))), "box-negative-size", ":4", "negative width"),
        (annotation(boxed(), size=""), "image-size", "", "no <size>"),
        (annotation(boxed(), size="<size><width>0</width><height>0</height></size>"), "image-size", "", "no <size>"),
    ],
)
def test_a_broken_xml_is_an_error_with_file_and_line(
    content: str | bytes, code: str, line: str, words: str, tmp_path: Path, fails: Fails
) -> None:
    source = written(tmp_path / "export", content)
    ((where, message),) = fails(source, format="voc")[code]
    assert where == f"{source}/a.xml{line}"
    assert words in message


def test_labels_without_image_and_listed_images_without_anything_are_errors(tmp_path: Path, fails: Fails) -> None:
    written(tmp_path / "Annotations", annotation(boxed()))
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "JPEGImages/b.png")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/all.txt").write_text("a\nb\nc\n")
    found = fails(tmp_path, format="voc", split="all")
    assert [where for where, _ in found["label-without-image"]] == [f"{tmp_path}/Annotations/a.xml"]
    assert [where for where, _ in found["image-missing"]] == ["c"]


def test_a_split_that_is_not_there_is_an_error_that_names_those_that_are(fixtures: Path, fails: Fails) -> None:
    ((_, message),) = fails(fixtures / "voc/devkit", format="voc", split="test")["no-split"]
    assert message == "no split 'test'; it has car_trainval, train"


def masks(folder: Path, classes: np.ndarray, objects: np.ndarray | None = None) -> Path:
    for name, values in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        if values is not None:
            (folder / name).mkdir(parents=True)
            Image.fromarray(values.astype(np.uint8)).save(folder / name / "a.png")
    return folder


def test_a_value_without_class_is_an_error_with_its_place(tmp_path: Path, fails: Fails) -> None:
    values = np.zeros((48, 64))
    values[10, 20:23] = 99
    ((where, message),) = fails(masks(tmp_path / "x", values), format="voc")["unknown-value"]
    assert where.endswith("SegmentationClass/a.png")
    assert message == "3 pixels, the first at x 20, y 10, have the value 99, which stands for no class"


def test_masks_of_other_sizes_are_errors(tmp_path: Path, fails: Fails) -> None:
    ones = np.ones((48, 64))
    found = fails(masks(tmp_path / "x", ones, np.ones((40, 64))), format="voc")
    assert "64 x 40 pixels" in found["mask-size"][0][1]
    (tmp_path / "x/JPEGImages").mkdir()
    Image.new("RGB", (32, 24)).save(tmp_path / "x/JPEGImages/a.png")
    found = fails(tmp_path / "x", format="voc", task="semantic-segmentation")
    assert found["mask-size"][0][1] == "the mask has 64 x 48 pixels, the image 32 x 24"


def test_a_truncated_png_and_a_palette_of_ones_own_are_errors(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    source = masks(tmp_path / "x", np.random.default_rng(0).integers(0, 9, (48, 64)))
    content = (source / "SegmentationClass/a.png").read_bytes()
    (source / "SegmentationClass/a.png").write_bytes(content[: len(content) // 2])
    assert "cannot be decoded" in fails(source, format="voc")["image-broken"][0][1]
    image = Image.fromarray(np.ones((48, 64), np.uint8))
    image.putpalette([1, 2, 3] * 256)
    image.save(source / "SegmentationClass/a.png")
    assert "--labels labelmap.txt" in fails(source, format="voc")["unknown-palette"][0][1]


def test_an_empty_folder_is_refused(tmp_path: Path, fails: Fails) -> None:
    assert "neither XML files nor" in fails(tmp_path, format="voc")["no-labels"][0][1]


def test_the_colour_map_is_vocs() -> None:
    published = {1: (128, 0, 0), 7: (128, 128, 128), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: voc_colour(index) for index in published} == published


def test_everything_wrong_is_told_in_one_run(tmp_path: Path) -> None:
    for name, content in (("a", "<a"), ("b", annotation(boxed(corners=("x", 1, 2, 3)))), ("c", annotation(boxed()))):
        (tmp_path / f"{name}.xml").write_text(content.replace("a.png", f"{name}.png"))
    with pytest.raises(labelferry.ConversionError) as caught:
        labelferry.convert(tmp_path, tmp_path / "out", format="voc")
    assert {f.code for f in caught.value.report.errors} == {"broken-xml", "broken-object"}
