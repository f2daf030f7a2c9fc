"""Pascal VOC: every flavour of fixtures/voc, expected values by hand; labelformat, Pillow and numpy as judges."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelformat.formats import PascalVOCObjectDetectionInput
from labelformat.model.bounding_box import BoundingBoxFormat
from PIL import Image

import labelferry
from labelferry.converters.voc import Voc
from labelferry.findings import Finding
from labelferry.plugin.export import RUNS, Export, Request
from labelferry.reading.label_colours import VOC_CLASSES, voc_colour
from labelferry.report import FindingSummary
from labelferry.task_type import TaskType
from tests.conformance.test_real_coco import documented_encode
from tests.conftest import Convert
from tests.export_checks import (
    assert_accounted,
    assert_changes_are_noticed,
    assert_files_are_named,
    assert_opens_alike,
    images_of,
    one_by_one,
    together,
)

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


def counts(findings: list[FindingSummary]) -> dict[str, int]:
    """Findings by code, without the elements that are not read."""
    return {finding.code: finding.count for finding in findings if finding.code != "unread-key"}


def test_boxes_of_the_devkit_with_parts_ignored_and_images_without_xml_empty(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "voc/devkit", **DETECTION)
    assert found == {"2007_01.jpg": [PERSON, DIFFICULT_CAR], "2007_02.jpg": [CAR], "2007_03.jpg": []}
    names = [category["name"] for category in convert.schema["categories"]]  # type: ignore[attr-defined]
    assert names == list(VOC_CLASSES), "the 20 classes in VOC's order where no others occur"


def test_an_annotations_folder_may_be_given(fixtures: Path, convert: Convert) -> None:
    assert convert(fixtures / "voc/devkit/Annotations", **DETECTION)["2007_02.jpg"] == [CAR]


def test_difficult_and_truncated_objects_are_left_out_on_request_and_counted(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "voc/devkit", difficult=False, **DETECTION)
    assert found["2007_01.jpg"] == [PERSON]
    assert counts(convert.report.notes) == {"difficult-left-out": 1}  # type: ignore[attr-defined]
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


def test_masks_without_xml_give_the_boxes_of_their_objects(
    fixtures: Path, tmp_path: Path, convert: Convert, fails: Fails
) -> None:
    found = convert(fixtures / "voc/cvat", **DETECTION)
    expected = [(1, [0, 0, 32, 24]), (1, [32, 0, 32, 24]), (0, [0, 32, 64, 16])]
    assert found == {"a.png": [{"category_id": label, "bbox": box, "score": 1.0} for label, box in expected]}
    assert_accounted(convert.report, 3)  # type: ignore[attr-defined]
    source = masks(tmp_path / "classes", np.ones((48, 64)))
    with pytest.raises(labelferry.UsageError, match="holds no object-detection; it holds semantic-segmentation"):
        labelferry.convert(source, tmp_path / "out", **DETECTION)


def count_objects(folder: Path) -> int:
    return sum(len(re.findall(r"<object\b", path.read_text("utf-8"))) for path in folder.rglob("*.xml"))


@pytest.mark.parametrize("path", ["devkit", "devkit/Annotations", "flat", "xml_only"])
@pytest.mark.parametrize("options", [{}, {"difficult": False}, {"truncated": False, "one_based": True}])
def test_every_object_is_written_or_lost_under_a_finding(
    path: str, options: dict[str, Any], fixtures: Path, tmp_path: Path
) -> None:
    report = labelferry.convert(fixtures / "voc" / path, tmp_path, **DETECTION, **options)
    assert_accounted(report, count_objects(fixtures / "voc" / path))


def test_every_value_of_a_mask_is_written_or_lost_under_a_finding(fixtures: Path, tmp_path: Path) -> None:
    for task, values in (("instance-segmentation", 3), ("semantic-segmentation", 2)):
        for folder in ("devkit", "cvat"):
            report = labelferry.convert(fixtures / "voc" / folder, tmp_path / folder, format="voc", task=task)
            assert_accounted(report, values)
    classes, objects = np.zeros((48, 64)), np.zeros((48, 64))
    classes[:, :10], classes[:, 10:20], classes[:, 20:30], classes[:, 60:] = 1, 2, 99, 255
    objects[:, :15], objects[:, 15:20], objects[:, 20:25], objects[:, 40:50], objects[:, 60:] = 1, 2, 3, 4, 255
    source = masks(tmp_path / "x", classes, objects)
    options: dict[str, Any] = {"format": "voc", "on_error": "skip", "overwrite": True}
    report = labelferry.convert(source, tmp_path / "out", task="semantic-segmentation", **options)
    assert_accounted(report, 3)
    assert [(f.code, f.count) for f in report.errors] == [("unknown-value", 1)]
    assert report.lost_objects == 1
    report = labelferry.convert(source, tmp_path / "out", **options)
    assert_accounted(report, 4)
    assert report.objects["aeroplane"] == report.objects["bicycle"] == 1
    assert [(f.code, f.count) for f in report.repairs] == [("instance-without-class", 2)]
    (tmp_path / "x/JPEGImages").mkdir()
    (tmp_path / "x/JPEGImages/a.png").write_bytes(b"not an image")
    report = labelferry.convert(source, tmp_path / "out", **options)
    assert_accounted(report, 4)
    assert [(f.code, f.count) for f in report.errors] == [("image-broken", 1)]
    Image.fromarray(objects[:40].astype(np.uint8)).save(source / "SegmentationObject/a.png")
    report = labelferry.convert(source, tmp_path / "out", **options)
    assert_accounted(report, 4)
    assert [(f.code, f.count) for f in report.errors] == [("mask-size", 1)]
    (source / "SegmentationObject/a.png").unlink()
    report = labelferry.convert(source, tmp_path / "out", **options)
    assert_accounted(report, 0)
    assert [(f.code, f.examples[0][0]) for f in report.errors] == [
        ("mask-missing", f"{source}/SegmentationObject/a.png")
    ]


def test_objects_that_are_lost_are_counted(tmp_path: Path) -> None:
    marked = boxed().replace("</name>", "</name><difficult>{}</difficult><truncated>{}</truncated>")
    objects = {
        "sound": boxed() + boxed("dog"),
        "difficult": marked.format(1, 0) + marked.format(0, "true") + marked.format("yes", " 1 ") + marked.format(0, 0),
        "unknown": boxed("cow") + boxed() + boxed("Cat"),
        "broken": boxed(corners=(1, 2, "x", 4)) + "<object/>" + "<object><name>cat</name></object>" + boxed(),
        "no number": boxed(corners=("nan", 2, 3, 4)) + boxed(corners=(30, 2, 10, 4)) + boxed(corners=(90, 2, 95, 9)),
        "nested": boxed().replace("<name>", "<object></object><name>"),
        "deep": f"<objects>{boxed()}{boxed()}</objects>" + boxed(),
        "no size": boxed() * 2 + boxed("cow"),
        "orphan": boxed() * 2,
    }
    for name, text in objects.items():
        size = {} if name != "no size" else {"size": ""}
        folder = tmp_path / "x" if name != "orphan" else tmp_path / "x/sub"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.xml").write_text(annotation(text, **size))
        if name != "orphan":
            Image.new("RGB", (64, 48)).save(tmp_path / f"x/{name}.png")
    (tmp_path / "x/no size.png").write_bytes(b"not an image")
    (tmp_path / "x/not xml.xml").write_text("<annotation><object>")
    Image.new("RGB", (64, 48)).save(tmp_path / "x/not xml.png")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    report = labelferry.convert(
        tmp_path / "x",
        tmp_path / "out",
        **DETECTION,
        labels=tmp_path / "names.txt",
        difficult=False,
        truncated=False,
        on_error="skip",
        classes=["cat"],
    )
    assert_accounted(report, count_objects(tmp_path / "x") - 1)  # of what is no XML nobody knows
    assert report.objects == {"cat": 6}
    assert {finding.code: finding.count for finding in report.errors} == {
        "unknown-category": 2,
        "broken-object": 6,
        "box-not-finite": 1,
        "box-negative-size": 1,
        "image-broken": 1,
        "label-without-image": 1,
        "broken-xml": 1,
    }
    assert counts(report.notes) == {"difficult-left-out": 2, "class-left-out": 1, "truncated-left-out": 1}
    assert [(f.code, f.count) for f in report.repairs] == [("box-outside", 1)]


def test_an_xml_file_that_cannot_be_read_is_an_error_with_its_path(tmp_path: Path) -> None:
    source = written(tmp_path / "export", annotation(boxed()))
    (source / "link.xml").symlink_to("nowhere")
    os.mkfifo(source / "pipe.xml")
    expected = [
        (f"{source}/link.xml", "cannot be read: No such file or directory"),
        (f"{source}/pipe.xml", "not a regular file"),
    ]
    options: dict[str, Any] = {**DETECTION, "on_error": "skip", "overwrite": True}
    report = labelferry.convert(source, tmp_path / "out", **options)
    assert [(f.code, f.examples) for f in report.errors] == [("unreadable", expected)]
    for name in ("a", "link", "pipe"):
        Image.new("RGB", (64, 48)).save(source / f"{name}.png")
    report = labelferry.convert(source, tmp_path / "out", **options)
    assert [(f.code, f.examples) for f in report.errors] == [("unreadable", expected)]
    assert_accounted(report, 1)


def test_objects_in_an_xml_namespace_are_an_error(tmp_path: Path, fails: Fails) -> None:
    text = annotation(boxed()).replace("<annotation>", '<annotation xmlns="http://example.org/voc">')
    ((where, message),) = fails(written(tmp_path / "export", text), format="voc")["broken-xml"]
    assert where == f"{tmp_path}/export/a.xml"
    assert "'http://example.org/voc'" in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_line_of_an_object_is_right_beside_comments_and_in_any_encoding(
    encoding: str, tmp_path: Path, fails: Fails
) -> None:
    objects = f"<!-- {boxed()} -->\n{boxed('ü')}\n<object/>\n<deep>{boxed()}</deep>\n{boxed('no')}"
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n{annotation(objects)}'
    (tmp_path / "names.txt").write_text("ü", encoding="utf-8")
    found = fails(written(tmp_path / "x", text.encode(encoding)), format="voc", labels=tmp_path / "names.txt")
    assert [where for where, _ in found["unknown-category"]] == [f"{tmp_path}/x/a.xml:9"]
    assert [where for where, _ in found["broken-object"]] == [f"{tmp_path}/x/a.xml:7", f"{tmp_path}/x/a.xml"]


def test_classes_are_those_of_objects_and_not_of_their_parts_and_attributes(tmp_path: Path, convert: Convert) -> None:
    attribute = "<attribute><name>rotation</name><value>0.0</value></attribute>"
    for i, more in enumerate((f"<attributes>{attribute}</attributes>", f"<a><b><c>{attribute}</c></b></a>")):
        text = annotation(boxed("van").replace("</object>", f"{more}</object>"))
        assert len(convert(written(tmp_path / str(i), text), format="voc")["a.png"]) == 1
        assert [c["name"] for c in convert.schema["categories"]] == ["van"]  # type: ignore[attr-defined]


def test_a_class_with_several_colours_is_one_category(tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "labelmap.txt").write_text("road:1,0,0::\ncar:0,1,0::\nroad:2,0,0::\n")
    values = np.zeros((48, 64, 3), np.uint8)
    values[:, :10], values[:, 10:20], values[:, 20:30] = (1, 0, 0), (2, 0, 0), (0, 1, 0)
    (tmp_path / "x/SegmentationClass").mkdir(parents=True)
    Image.fromarray(np.where(values.any(axis=2, keepdims=True), values, 1)).save(tmp_path / "x/SegmentationClass/a.png")
    (tmp_path / "labelmap.txt").open("a").write("background:1,1,1::\n")
    found = convert(tmp_path / "x", format="voc", labels=tmp_path / "labelmap.txt")["a.jpg"]
    assert [c["name"] for c in convert.schema["categories"]] == ["road", "car"]  # type: ignore[attr-defined]
    assert [p["category_id"] for p in found] == [0, 1]
    assert found[0]["segmentation"] == documented_encode(values[..., 0] > 0)


@pytest.mark.parametrize("path", ["devkit", "flat", "xml_only", "cvat"])
@pytest.mark.parametrize("task", [None, TaskType.OBJECT_DETECTION])
def test_an_adapter_may_be_opened_again(path: str, task: TaskType | None, fixtures: Path) -> None:
    assert_opens_alike(Voc(fixtures / "voc" / path), Request(task))


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("voc/devkit", {}),
        ("voc/devkit", {"task": "object-detection"}),
        ("voc/devkit", {"task": "semantic-segmentation"}),
        ("voc/cvat", {"task": "object-detection"}),
        ("voc/flat", {}),
        ("voc/xml_only", {}),
    ],
)
def test_every_file_that_labels_are_read_from_is_named_and_noticed_when_it_changes(
    path: str, options: dict[str, Any], copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = copied / path
    request = Request(TaskType(options["task"])) if options else Request()
    assert_files_are_named(Voc(source).open(request), copied)
    assert_changes_are_noticed(
        source, tmp_path / "out", {"format": "voc", **options}, lambda: Voc(source).open(request), monkeypatch
    )


def test_an_image_of_masks_names_the_masks_of_classes_and_objects_and_itself(copied: Path) -> None:
    folder = copied / "voc/devkit"
    (image,) = (one for one in Voc(folder).open(Request()).images() if not isinstance(one, Finding))
    names = ("SegmentationClass/2007_01.png", "SegmentationObject/2007_01.png", "JPEGImages/2007_01.jpg")
    assert image.files == tuple(f"{folder}/{name}" for name in names)


ROBOFLOW = """<annotation>
\t<folder></folder>
\t<filename>a.png</filename>
\t<path>a.png</path>
\t<source>
\t\t<database>roboflow.com</database>
\t</source>
\t<size>
\t\t<width>64</width>
\t\t<height>48</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
\t<object>
\t\t<name>cat</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<occluded>0</occluded>
\t\t<bndbox>
\t\t\t<xmin>16</xmin>
\t\t\t<xmax>32</xmax>
\t\t\t<ymin>12</ymin>
\t\t\t<ymax>36</ymax>
\t\t</bndbox>
\t</object>
</annotation>
"""
LABELIMG = """<?xml version='1.0' encoding='utf-8'?>
<annotation verified="yes">
  <folder>ü</folder>
  <filename>a.png</filename>
  <size><width>64</width><height>48</height><depth>3</depth></size>
  <object><name>cat</name><difficult>1</difficult>
    <bndbox><xmin>16</xmin><ymin>12</ymin><xmax>32</xmax><ymax>36</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4.5</ymax></bndbox></part>
    <attributes><attribute><name>rotation</name><value>0.0</value></attribute></attributes>
  </object>
  <object><pose>Left</pose><name>dog</name><bndbox><xmin>-0.5</xmin><ymin>0</ymin><xmax>3e1</xmax><ymax>36</ymax></bndbox>
  </object>
</annotation>"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Export]]:
    """An export of boxes, opened with several options, with images of several sizes."""
    folder = tmp_path_factory.mktemp("boxes")
    written(folder / "x", annotation(boxed()))
    (folder / "names.txt").write_text("cat\ndog\nZug ü\n")
    for i in range(8):
        Image.new("RGB", (64 + 7 * i, 48 + i)).save(folder / f"x/{i}.png")
    adapters = {
        "plain": Voc(folder / "x", labels=folder / "names.txt"),
        "one_based": Voc(folder / "x", labels=folder / "names.txt", one_based=True),
        "easy": Voc(folder / "x", labels=folder / "names.txt", difficult=False, truncated=False),
    }
    return folder / "x", {name: adapter.open(Request()) for name, adapter in adapters.items()}


def test_files_of_the_usual_tools_are_read_together(
    opened: tuple[Path, dict[str, Export]], fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, exports = opened
    export = exports["plain"]
    texts = [ROBOFLOW, ROBOFLOW.replace("\n", "\r\n"), LABELIMG.replace("3e1", "30"), annotation("")]
    texts += [(fixtures / "voc/devkit/Annotations/2007_02.xml").read_text().replace("car", "cat")]
    images = []
    for i, text in enumerate(texts):
        (folder / f"{i}.xml").write_bytes(text.encode())
        images.append(source_of(folder, i))
    expected = one_by_one(export, images)
    assert [len(re.findall(b"bbox", data or b"")) for data in expected.files] == [1, 1, 2, 0, 1]
    monkeypatch.setattr(type(export), "labels", None)
    assert together(export, images) == expected


def source_of(folder: Path, i: int, has_image: bool = True) -> labelferry.Image:
    from labelferry.converters.voc import _Source

    source = _Source(f"{folder}/{i}.xml", image=f"{folder}/{i}.png" if has_image else None)
    return labelferry.Image(f"{i}.png", source)


def usually(usual: str, odd: str) -> st.SearchStrategy[str]:
    """One of some strings, separated by '|'; one time in thirty an odd one."""
    choices = [one.encode().decode("unicode_escape") for one in usual.split("|")]
    odd_ones = [one.encode().decode("unicode_escape") for one in odd.split("|")]
    return st.integers(0, 29).flatmap(lambda dice: st.sampled_from(choices if dice else odd_ones))


TEXT = usually(
    "|a|1|b c|\\n\\t|>|C:\\\\x|?!'\"", "]]>|&amp;|&|\\x01|\\ufffe|\\u2028|<!-- -->|<a/>|<![CDATA[x]]>|<?p ?>"
)
TAG = usually("x|_y1|score|id|Name", "name|object|size|bndbox|1z|a:b|a-b|\\xfc|x y='1'")
EDGE = st.one_of(
    st.integers(0, 70).map(str),
    st.floats(-5, 70).map(lambda x: f"{x:.3f}"),
    usually(
        "16|32.5|0|-1|0.30000000000000004|-0.0",
        f"| 1|1 |1,5|nan|1e1|007|-0|{'9' * 30}|0.{'3' * 31}|1_0|+1|.5|1.|\\xb2|1\\r",
    ),
)
FLAG = usually("0|0|1", " 1|true|yes|0 |")
NAME = usually("cat|dog|Zug \\xfc", " cat|cow||cat\\r\\n|ca\\rt|cat&amp;|\\xa0cat|cat]|Cat")
SPACE = usually("|\\n\\t| |\\r\\n", "\\x0b|\\r|y|\\xa0")
CORNERS = usually(
    "xmin ymin xmax ymax|xmin xmax ymin ymax", "ymin xmin ymax xmax|xmin ymin xmax|xmin xmin ymin xmax ymax"
)
SIZE = usually(
    "<size><width>64</width><height>48</height><depth>3</depth></size>"
    "|<size>\\n<width>9</width> <height>8</height></size>",
    "|<size/>|<size><width>0</width><height>48</height></size>|<size><height>48</height><width>64</width></size>"
    "|<size><width> 64.5</width><height>48</height></size>|<size><width>9</width><height>9</height></size><size/>",
)
START = usually('<annotation>|<annotation verified="no">', "<annotation a='b'>|<x>|<annotation|<annotation xmlns='a'>")
END = usually("</annotation>|</annotation> \\n", "|</annotation>x|</annotation><a/>|</annotation ><!-- -->")
DECLARATION = usually(
    '|||<?xml version="1.0"?>|<?xml version=\'1.0\' encoding=\'UTF-8\'?>|<?xml version="1.0" encoding="utf-8" ?>|\\n',
    '<?xml version="1.0\' ?>|<?xml version="1.0" encoding="latin-1"?>|<?xml version="1.1"?>'
    '|\\ufeff| <?xml version="1.0"?>',
)
DAMAGE = st.sampled_from(b"|<|>|&|</|<!|\0|\x0b|\xff|\xc3|]]>|<object>|/|<a>|</a>|\n|-|x".split(b"|"))


@st.composite
def elements(draw: st.DrawFn, depth: int = 2) -> str:
    tag = draw(TAG)
    inner = draw(TEXT) if depth == 0 or draw(st.booleans()) else draw(TEXT) + draw(elements(depth - 1)) + draw(TEXT)
    return f"<{tag}>{inner}</{draw(st.sampled_from([tag] * 29 + ['x']))}>"


@st.composite
def objects(draw: st.DrawFn) -> str:
    space = draw(SPACE)
    box = space.join(f"<{tag}>{draw(EDGE)}</{tag}>" for tag in draw(CORNERS).split())
    flags = [f"<{tag}>{draw(FLAG)}</{tag}>" for tag in ("pose", "truncated", "difficult") if draw(st.booleans())]
    parts = [f"<name>{draw(NAME)}</name>", *flags, f"<bndbox>{space}{box}</bndbox>"]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(parts)))
        parts.insert(place, draw(elements(2 if place == len(parts) else 0)))
    return f"<object>{space}{space.join(parts)}{space}</object>"


@st.composite
def xml_files(draw: st.DrawFn) -> bytes:
    """Files in the usual form or near it, some of them damaged in a place."""
    space = draw(SPACE)
    parts = [draw(elements(1)) for _ in range(draw(st.integers(0, 2)))]
    parts.insert(draw(st.integers(0, len(parts))), draw(SIZE))
    parts += draw(st.lists(objects(), max_size=3))
    if draw(st.integers(0, 29)) == 0:
        parts.append(draw(st.sampled_from(["<size/>", f"<objects>{draw(objects())}</objects>", "<object/>", "<x/>"])))
    text = space.join((draw(DECLARATION) + draw(START), *parts, draw(END))).encode()
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(DAMAGE) + text[at + draw(st.integers(0, 3)) :]
    return text


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    files=st.lists(xml_files(), min_size=1, max_size=6),
    broken=st.sets(st.integers(0, 20)),
    options=st.sampled_from(["plain", "one_based", "easy"]),
)
def test_xml_files_read_together_give_what_they_give_one_by_one(
    files: list[bytes], broken: set[int], options: str, opened: tuple[Path, dict[str, Export]]
) -> None:
    folder, exports = opened
    images = []
    for i, content in enumerate(files):
        (folder / f"{i}.xml").write_bytes(content)
        images.append(source_of(folder, i, i not in broken))
        if i + 10 in broken:
            source = images[-1].source
            images[-1] = images[-1]._replace(source=source._replace(label=None, image=f"{folder}/{i}.png"))
    expected = one_by_one(exports[options], images)
    assert together(exports[options], images) == expected
    alone = [data for image in images for data in together(exports[options], [image]).files]
    assert alone == expected.files


def test_files_in_the_usual_form_are_read_together_and_only_odd_ones_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(100):
        (tmp_path / f"{i:02}.xml").write_text(annotation(boxed() * (i % 3)).replace("a.png", f"{i:02}.png"))
    export = Voc(tmp_path).open(Request())
    read: list[str] = []
    labels = type(export).labels
    monkeypatch.setattr(type(export), "labels", lambda self, image: read.append(image.file_name) or labels(self, image))
    assert len(list(export.read(images_of(export), None))) == 1
    assert read == []
    odd = [f"{i:02}" for i in range(10, 10 + 3 * (RUNS // 2), 3)]
    (tmp_path / f"{odd[0]}.xml").write_text(annotation(f"{boxed()}<!-- -->").replace("a.png", f"{odd[0]}.png"))
    assert [len(batch.names) for batch in export.read(images_of(export), None)] == [10, 1, 89]
    assert read == [f"{odd[0]}.png"]
    for name in odd:
        (tmp_path / f"{name}.xml").write_text(annotation(f"{boxed()}<!-- -->").replace("a.png", f"{name}.png"))
    assert len(list(export.read(images_of(export), None))) == 1, "so many batches are slower than reading one by one"
    assert together(export, images_of(export)) == one_by_one(export, images_of(export))


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(folder / name)
    return folder


def test_a_missing_filename_is_that_of_the_xml_file(tmp_path: Path, convert: Convert) -> None:
    text = annotation(boxed()).replace("<filename>a.png</filename>", "")
    assert list(convert(written(tmp_path, text), format="voc")) == ["a.jpg"]
    assert counts(convert.report.repairs) == {"filename-missing": 1}  # type: ignore[attr-defined]


def named(folder: Path, **filenames: str) -> Path:
    """XML files, each with a cat, by name with their <filename>."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, filename in filenames.items():
        (folder / f"{name}.xml").write_text(annotation(boxed()).replace("a.png", filename))
    return folder


def labelled(found: dict[str, list[Any]]) -> dict[str, int]:
    return {name: len(predictions) for name, predictions in found.items()}


@pytest.mark.parametrize(("labels", "images"), [("annotations", "Images"), ("ANNOTATIONS", "jpegimages")])
def test_the_names_of_folders_may_be_in_any_case(labels: str, images: str, tmp_path: Path, convert: Convert) -> None:
    named(tmp_path / labels, a="a.png")
    pictures(tmp_path / images, "a.png", "b.png")
    for folder in (tmp_path, tmp_path / labels):
        assert labelled(convert(folder, format="voc")) == {"a.png": 1, "b.png": 0}


def test_of_two_folders_of_one_purpose_the_user_is_asked(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    named(tmp_path / "x/Annotations", a="a.png")
    pictures(tmp_path / "x/JPEGImages", "a.png")
    pictures(tmp_path / "x/images", "a.png", "b.png")
    assert "--images" in fails(tmp_path / "x", format="voc", on_error="skip")["ambiguous"][0][1]
    named(tmp_path / "y/Annotations", a="a.png")
    named(tmp_path / "y/annotations", b="b.png")
    if len(list((tmp_path / "y").iterdir())) == 2:  # which a file system may not allow
        assert "name one of them as SOURCE" in fails(tmp_path / "y", format="voc")["ambiguous"][0][1]
    assert set(convert(tmp_path / "x", format="voc", images=tmp_path / "x/images")) == {"a.png", "b.png"}


def test_a_folder_of_several_exports_is_not_one_export(tmp_path: Path, fails: Fails) -> None:
    named(tmp_path / "VOC2007/Annotations", a="a.png")
    named(tmp_path / "VOC2012/Annotations", a="a.png")
    ((_, message),) = fails(tmp_path, format="voc")["no-labels"]
    assert message == f"name a folder that holds Annotations: {tmp_path}/VOC2007, {tmp_path}/VOC2012"


def test_the_image_with_the_name_of_the_xml_file_is_taken_else_the_one_of_filename(
    tmp_path: Path, convert: Convert
) -> None:
    named(tmp_path / "Annotations", a="gone.png", b="c.png", d="C:\\photos\\e.png", f="h")
    named(tmp_path / "Annotations/sub", a="a.png", i="j.png")
    pictures(tmp_path / "images", "a.png", "c.png", "deep/e.png", "h.png", "sub/a.png", "sub/j.png", "empty.png")
    names = {"a.png": 1, "c.png": 1, "deep/e.png": 1, "h.png": 1, "sub/a.png": 1, "sub/j.png": 1, "empty.png": 0}
    assert labelled(convert(tmp_path, format="voc")) == names
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/both.txt").write_text("c\nd\n")
    assert labelled(convert(tmp_path, format="voc", split="both")) == {"c.png": 1, "deep/e.png": 1}


@pytest.mark.parametrize("many", [1, 30])
def test_between_two_images_of_an_xml_file_the_user_is_asked(
    many: int, tmp_path: Path, convert: Convert, fails: Fails
) -> None:
    """The file is read with others, or alone."""
    others = {f"x{i}": f"x{i}.png" for i in range(many)}
    named(tmp_path / "Annotations", a="b.png", **others)
    pictures(tmp_path / "images", "a.png", "b.png", *others.values())
    ((where, message),) = fails(tmp_path, format="voc", on_error="skip")["ambiguous"]
    assert where == f"{tmp_path}/Annotations/a.xml"
    assert "--image-names xml or filename" in message
    for choice, name in (("xml", "a.png"), ("filename", "b.png")):
        found = labelled(convert(tmp_path, format="voc", image_names=choice))
        assert [one for one in ("a.png", "b.png") if found[one]] == [name]
    with pytest.raises(labelferry.UsageError, match="image_names"):
        labelferry.convert(tmp_path, tmp_path / "out", format="voc", image_names="stem")


def test_a_chosen_name_that_does_not_exist_is_an_error(tmp_path: Path, fails: Fails) -> None:
    named(tmp_path / "Annotations", a="b.png", c="a.png")
    pictures(tmp_path / "images", "a.png")
    for choice, label in (("filename", "a"), ("xml", "c")):
        ((where, _),) = fails(tmp_path, format="voc", image_names=choice)["label-without-image"]
        assert where == f"{tmp_path}/Annotations/{label}.xml"


def test_names_are_looked_up_in_the_input_datasource(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    named(tmp_path / "Annotations", a="photo.jpg", b="c.png", d="d.png")
    pictures(tmp_path / "photos", "a.png", "c.png", "d.png", "photo.jpg")
    assert "ambiguous" in fails(tmp_path / "Annotations", format="voc", input=tmp_path / "photos")
    (tmp_path / "photos/photo.jpg").unlink()
    found = convert(tmp_path / "Annotations", format="voc", input=tmp_path / "photos")
    assert labelled(found) == {"a.png": 1, "c.png": 1, "d.png": 1}
    assert counts(convert.report.warnings) == {}  # type: ignore[attr-defined]


def test_a_name_that_cannot_be_looked_up_is_reported(tmp_path: Path, convert: Convert) -> None:
    named(tmp_path / "Annotations", a="b.png", c="c.png")
    assert set(convert(tmp_path, format="voc")) == {"b.png", "c.png"}
    assert counts(convert.report.warnings) == {"filename-differs": 1}  # type: ignore[attr-defined]
    assert set(convert(tmp_path, format="voc", image_names="xml")) == {"a.png", "c.png"}
    assert counts(convert.report.warnings) == {}  # type: ignore[attr-defined]


def test_two_labels_or_images_of_one_name_are_not_chosen_from(tmp_path: Path, fails: Fails) -> None:
    named(tmp_path / "x", a="a.png")
    (tmp_path / "x/a.XML").write_text(annotation(boxed("dog")))
    pictures(tmp_path / "x", "a.png")
    assert "name-collision" in fails(tmp_path / "x", format="voc")
    (tmp_path / "x/a.XML").unlink()
    pictures(tmp_path / "x", "a.jpg")
    assert "name-collision" in fails(tmp_path / "x", format="voc")


LABELME = (
    "<annotation><filename>a.png</filename><imagesize><nrows>48</nrows><ncols>64</ncols></imagesize>"
    "<object><name>cat</name><polygon><pt><x>1</x><y>2</y></pt></polygon></object></annotation>"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [(LABELME, "the XML of LabelMe"), ("<annotations><image/></annotations>", "found <annotations>")],
)
def test_the_xml_of_other_formats_is_refused(text: str, message: str, tmp_path: Path, fails: Fails) -> None:
    source = written(tmp_path / "x", text)
    (tmp_path / "names.txt").write_text("cat")
    ((_, found),) = fails(source, format="voc", labels=tmp_path / "names.txt")["not-voc"]
    assert message in found
    assert "voc" not in {detection.format for detection in labelferry.detect(source)}


def test_an_xml_that_labelimg_has_verified_is_detected(tmp_path: Path) -> None:
    source = written(tmp_path, annotation(boxed()).replace("<annotation>", '<annotation verified="yes">'))
    assert {detection.format for detection in labelferry.detect(source)} == {"voc"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (("<name>cat</name>", "<name>cat</name><name>dog</name>"), "a <object> with 2 different <name>"),
        (("<name>cat</name>", "<name></name>"), "an object without a <name>"),
        (("<name>cat</name>", "<name>c<b>a</b>t</name>"), "a <name> with <b> in it"),
        (("</bndbox>", "</bndbox><bndbox><xmin>1</xmin></bndbox>"), "a <object> with 2 different <bndbox>"),
        (("<xmin>16", "<xmin>17</xmin><xmin>16"), "a <bndbox> with 2 different <xmin>"),
        (("<xmin>16", "<xmin>1_6"), "a <bndbox> with something that is no number"),
        (("<xmin>16", "<xmin><x/>16"), "a <bndbox> with something that is no number: a <xmin> with <x> in it"),
        (("bndbox", "bndbx"), "an object without a <bndbox>; it has bndbx, name"),
    ],
)
def test_an_object_that_contradicts_itself_is_an_error(
    damage: tuple[str, str], message: str, tmp_path: Path, fails: Fails
) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    source = written(tmp_path / "x", annotation(boxed().replace(*damage)))
    ((where, found),) = fails(source, format="voc", labels=tmp_path / "names.txt")["broken-object"]
    assert (where, found[: len(message)]) == (f"{source}/a.xml:4", message)


def test_what_is_listed_twice_alike_is_read_once(tmp_path: Path, convert: Convert) -> None:
    size = "<size><width>64</width><height>48</height></size>"
    twice = (
        boxed().replace("<xmin>16</xmin>", "<xmin>16</xmin><xmin> 16 </xmin>").replace("cat<", "cat</name><name>cat<")
    )
    expected = convert(written(tmp_path / "x", annotation(boxed())), format="voc")
    assert convert(written(tmp_path / "x", annotation(twice, size * 2)), format="voc") == expected


@pytest.mark.parametrize("value", ["x", "", "2", "<a/>"])
def test_a_flag_that_is_neither_yes_nor_no_is_an_error_where_it_is_read(
    value: str, tmp_path: Path, fails: Fails, convert: Convert
) -> None:
    text = annotation(boxed().replace("<bndbox>", f"<difficult>{value}</difficult><bndbox>"))
    source = written(tmp_path / "x", text)
    assert "broken-object" in fails(source, format="voc", difficult=False)
    assert len(convert(source, format="voc")["a.png"]) == 1


def test_a_box_outside_of_an_object_is_an_error(tmp_path: Path, fails: Fails) -> None:
    text = annotation(boxed() + boxed().replace("object>", "objekt>"))
    ((_, message),) = fails(written(tmp_path / "x", text), format="voc")["broken-object"]
    assert message == "a <bndbox> in <objekt>, where no object is expected"


@pytest.mark.parametrize(
    ("size", "repairs"),
    [
        ("", {}),
        ("<size/>", {}),
        ("<size><width>0</width><height>0</height></size>", {}),
        ("<size><width></width><height>48</height></size>", {}),
        ("<size><width>64.5</width><height>48</height></size>", {"size-unreadable": 1}),
        ("<size><width>nan</width><height>48</height></size>", {"size-unreadable": 1}),
        ("<size><width>-64</width><height>48</height></size>", {"size-unreadable": 1}),
        ("<size><width>64</width><width>65</width><height>48</height></size>", {"size-unreadable": 1}),
    ],
)
def test_a_size_that_is_missing_or_unreadable_is_that_of_the_image(
    size: str, repairs: dict[str, int], tmp_path: Path, convert: Convert, fails: Fails
) -> None:
    over_the_edge = boxed(corners=(50, 10, 70, 20))
    source = written(tmp_path / "x", annotation(over_the_edge, size))
    assert "image-size" in fails(source, format="voc")
    pictures(source, "a.png")
    assert convert(source, format="voc")["a.png"][0]["bbox"] == [50, 10, 14, 10]
    assert counts(convert.report.repairs) == {"box-clipped": 1, **repairs}  # type: ignore[attr-defined]


def unread(report: labelferry.Report) -> dict[str, int]:
    """How often elements are not read, by the messages of the notes."""
    found = {}
    for finding in report.notes:
        for _, message in finding.examples if finding.code == "unread-key" else ():
            match = re.fullmatch(r"'(.*)' is not read(?: \(([\d,]+) times\))?", message)
            assert match is not None
            found[match[1]] = int((match[2] or "1").replace(",", ""))
    return found


def test_elements_that_are_not_read_are_noted_once_each(tmp_path: Path, convert: Convert) -> None:
    """A file of each tool, the second and third with elements that are not usual."""
    (tmp_path / "a.xml").write_text(ROBOFLOW)
    (tmp_path / "b.xml").write_text(LABELIMG.replace("3e1", "30").replace("a.png", "b.png"))
    (tmp_path / "c.xml").write_text(LABELIMG.replace("a.png", "c.png"))  # 3e1: read alone
    convert(tmp_path, format="voc")
    top = {"folder": 3, "path": 1, "source": 1, "segmented": 1, "depth": 3}
    flags = {"pose": 3, "truncated": 1, "difficult": 3, "occluded": 1, "part": 2, "attributes": 2, "verified": 2}
    assert unread(convert.report) == top | flags  # type: ignore[attr-defined]
    convert(tmp_path, format="voc", difficult=False)
    assert "difficult" not in unread(convert.report)  # type: ignore[attr-defined]


def test_text_in_place_of_elements_is_noted(tmp_path: Path, convert: Convert) -> None:
    text = annotation(f"person {boxed()} cat {boxed().replace('<bndbox>', '<bndbox>x')}")
    convert(written(tmp_path, text), format="voc")
    assert unread(convert.report) == {  # type: ignore[attr-defined]
        "text of <annotation>": 1,
        "text of <bndbox>": 1,
    }


def test_an_element_that_is_nearly_one_that_is_read_is_a_warning(tmp_path: Path, convert: Convert) -> None:
    text = annotation(boxed().replace("<name>", "<nmae>dog</nmae><name>")).replace("</filename>", "</filename><szie/>")
    convert(written(tmp_path, text), format="voc")
    ((_, first), (_, second)) = convert.report.warnings[0].examples  # type: ignore[attr-defined]
    assert convert.report.warnings[0].code == "unknown-key"  # type: ignore[attr-defined]
    assert {first, second} == {
        "'nmae' is not read; did you mean 'name'?",
        "'szie' is not read; did you mean 'size'?",
    }


def test_images_without_labels_are_counted_by_split(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    for split, extension in (("train", "xml"), ("test", "txt")):
        pictures(tmp_path / split, "a.png")
        (tmp_path / split / f"a.{extension}").write_text(annotation(boxed()))
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/some.txt").write_text("test/a")
    ((_, message),) = fails(tmp_path, format="voc", split="some")["no-labels"]
    assert f"in {tmp_path}" in message
    convert(tmp_path, format="voc")
    (warning,) = convert.report.warnings  # type: ignore[attr-defined]
    assert (warning.code, "'test'" in warning.examples[0][1]) == ("split-without-labels", True)
    assert convert(tmp_path, format="voc", split="some", allow_empty=True) == {"test/a.png": []}


def test_every_image_is_written_or_lost_under_a_finding(tmp_path: Path) -> None:
    named(tmp_path / "x/Annotations", a="a.png", b="gone.png", c="c.png")
    (tmp_path / "x/Annotations/c.xml").write_text("<annotation>")
    pictures(tmp_path / "x/JPEGImages", "a.png", "c.png", "d.png", "e.png")
    masks(tmp_path / "x", np.ones((48, 64)))
    Image.new("L", (64, 48)).save(tmp_path / "x/SegmentationClass/z.png")
    sets = tmp_path / "x/ImageSets"
    (sets / "Main").mkdir(parents=True)
    (sets / "Main/all.txt").write_text("a 1\nb -1\ne  0\nnowhere\n")
    for options, found, lost in (
        ({}, {"a", "b", "c", "d", "e"}, {"b": "label-without-image", "c": "broken-xml"}),
        ({"split": "all"}, {"a", "b", "e", "nowhere"}, {"b": "label-without-image", "nowhere": "image-missing"}),
        (
            {"task": "semantic-segmentation"},
            {"a", "c", "d", "e", "z"},
            {"c d e": "image-without-mask", "z": "label-without-image"},
        ),
    ):
        options = {"task": "object-detection", **options, "format": "voc", "on_error": "skip", "overwrite": True}
        report = labelferry.convert(tmp_path / "x", tmp_path / "out", **options)
        assert (report.found_images, report.lost_images) == (len(found), len(" ".join(lost).split())), options
        assert set(lost.values()) <= {finding.code for finding in (*report.errors, *report.notes)}


def test_lines_of_a_split_may_have_spaces(tmp_path: Path, convert: Convert) -> None:
    pictures(tmp_path / "images", "photo 1.png", "photo.png", "x y.png")
    named(tmp_path / "Annotations", **{"photo 1": "photo 1.png"})
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/a.txt").write_text("photo 1\nx y  -1\n")
    assert labelled(convert(tmp_path, format="voc", split="a")) == {"photo 1.png": 1, "x y.png": 0}


def test_a_file_of_classes_that_names_one_twice_is_an_error(tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\ncat\n")
    source = named(tmp_path / "x", a="a.png")
    assert fails(source, format="voc", labels=tmp_path / "names.txt")["category-name-twice"][0][1] == (
        "it names 'cat' twice"
    )


def test_masks_of_objects_are_found_in_folders_and_each_has_one_of_classes(tmp_path: Path, fails: Fails) -> None:
    for name, value in (
        ("SegmentationClass/s/a.png", 1),
        ("SegmentationObject/s/a.PNG", 1),
        ("SegmentationObject/a.png", 2),
    ):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 64), value, np.uint8)).save(tmp_path / "x" / name)
    found = fails(tmp_path / "x", format="voc")
    assert {code: [where for where, _ in findings] for code, findings in found.items()} == {
        "mask-missing": [f"{tmp_path}/x/SegmentationObject/a.png"]
    }


def test_the_palette_of_every_mask_is_checked(fixtures: Path, copied: Path, fails: Fails) -> None:
    folder = copied / "voc/devkit"
    image = Image.open(folder / "SegmentationClass/2007_01.png")
    image.putpalette([1, 2, 3] * 256)
    image.save(folder / "SegmentationClass/2007_02.png")
    found = fails(folder, format="voc", task="semantic-segmentation")
    assert [where for where, _ in found["unknown-palette"]] == [f"{folder}/SegmentationClass/2007_02.png"]


def test_names_of_images_that_are_guessed_of_masks_are_reported(tmp_path: Path, convert: Convert) -> None:
    source = masks(tmp_path / "x", np.ones((48, 64)))
    assert set(convert(source, format="voc")) == {"a.jpg"}
    assert counts(convert.report.warnings) == {"extension-guessed": 1}  # type: ignore[attr-defined]
    pictures(tmp_path / "photos", "a.png")
    assert set(convert(source, format="voc", input=tmp_path / "photos")) == {"a.png"}
    assert counts(convert.report.warnings) == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("last", [boxed(), boxed() + "<!-- read alone -->"])
def test_coordinates_that_seem_to_count_from_the_other_number_are_a_warning(
    last: str, tmp_path: Path, convert: Convert
) -> None:
    def warnings(objects: str, **options: Any) -> dict[str, int]:
        convert(written(tmp_path / "x", annotation(objects + last)), format="voc", **options)
        return counts(convert.report.warnings)  # type: ignore[attr-defined]

    first = boxed(corners=(1, 9, 20, 20)) * 5 + boxed(corners=(9, 1, 20, 20)) * 5
    assert warnings(first) == {"one-based": 10}
    assert warnings(first, one_based=True) == warnings(first, one_based=False) == {}
    assert warnings(boxed(corners=(1, 9, 20, 20)) * 9) == {}
    zero = boxed(corners=(9, 0, 20, 20))
    assert warnings(first + zero) == {}
    assert warnings(first + zero, one_based=True) == {"not-one-based": 1}
