"""COCO: every flavour of fixtures/coco, expected values by hand, and what real exports get wrong."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import labelferry
from tests.conformance.test_real_coco import documented_encode
from tests.conftest import Convert

Fails = Callable[..., dict[str, list[tuple[str, str]]]]


def area(*regions: Any) -> list[int]:
    mask = np.zeros((12, 16), bool)
    for rows, columns in regions:
        mask[rows, columns] = True
    return documented_encode(mask)


SQUARE, BAR = np.s_[2:6, 2:6], np.s_[2:4, 8:14]
CORNER, COMPRESSED = np.s_[8:12, 12:16], np.s_[6:10, 12:16]


def dataset(**changes: Any) -> dict[str, Any]:
    """A dataset of one image with one box; changes replace lists, or values of the one image or annotation."""
    image = {"id": 1, "file_name": "a.jpg", "width": 16, "height": 12} | changes.pop("image", {})
    annotation = {"id": 17, "image_id": 1, "category_id": 1, "bbox": [2, 2, 4, 4]} | changes.pop("annotation", {})
    base = {"images": [image], "categories": [{"id": 1, "name": "car"}], "annotations": [annotation]}
    return {key: value for key, value in (base | changes).items() if value is not None}


def written(tmp_path: Path, content: Any, name: str = "coco.json") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_polygons_of_several_parts_and_rles_of_both_kinds(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "coco/instances.json", format="coco")
    assert found == {
        "street.png": [
            {"category_id": 0, "bbox": [2, 2, 12, 4], "segmentation": area(SQUARE, BAR), "score": 1.0},
            {"category_id": 1, "bbox": [12, 8, 4, 4], "segmentation": area(CORNER), "score": 1.0},
            {"category_id": 0, "bbox": [12, 6, 4, 4], "segmentation": area(COMPRESSED), "score": 1.0},
        ],
        "boxes.png": [],
        "empty.png": [],
    }
    assert convert.schema["categories"] == [{"id": 0, "name": "car"}, {"id": 1, "name": "toothbrush"}]  # type: ignore[attr-defined]
    assert [(f.code, f.count) for f in convert.report.repairs] == [("box-inferred", 1), ("segmentation-missing", 1)]  # type: ignore[attr-defined]
    assert [(f.code, f.count) for f in convert.report.notes] == [("crowd", 1), ("unread-key", 1)]  # type: ignore[attr-defined]


def test_a_missing_bbox_is_taken_from_the_mask(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "coco/instances.json", format="coco", task="object-detection", keep_category_ids=True)
    assert {name: [(p["category_id"], p["bbox"]) for p in objects] for name, objects in found.items()} == {
        "street.png": [(3, [2, 2, 12, 4]), (90, [12, 8, 4, 4]), (3, [12, 6, 4, 4])],
        "boxes.png": [(90, [0.5, 1.25, 4, 3])],
        "empty.png": [],
    }


def test_semantic_segmentation_is_the_union_per_category(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "coco/instances.json", format="coco", task="semantic-segmentation")
    assert found["street.png"] == [
        {"category_id": 0, "segmentation": area(SQUARE, BAR, COMPRESSED), "score": 1.0},
        {"category_id": 1, "segmentation": area(CORNER), "score": 1.0},
    ]


def test_roboflows_category_0_is_kept_and_its_empty_segmentations_make_it_detection(
    fixtures: Path, convert: Convert
) -> None:
    found = convert(fixtures / "coco/roboflow/_annotations.coco.json", format="coco")
    assert found == {"a_jpg.rf.1.jpg": [{"category_id": 1, "bbox": [2, 2, 4, 4], "score": 1.0}]}
    assert [c["name"] for c in convert.schema["categories"]] == ["animals", "cat"]  # type: ignore[attr-defined]


def test_keypoints_of_several_categories_with_text_ids(fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "coco/person_keypoints.json", format="coco")
    assert found == {
        "people.png": [
            {"category_id": 0, "keypoints": [5, 3, 1, 2, 9, 0.5, 0, 0, 0], "bbox": [2, 2, 8, 8], "score": 1.0},
            {"category_id": 1, "keypoints": [12, 4, 1], "bbox": [12 - 0.5, 4 - 0.5, 1, 1], "score": 1.0},
        ]
    }
    assert convert.schema["categories"] == [  # type: ignore[attr-defined]
        {"id": 0, "name": "person", "keypoints": ["nose", "left", "right"], "skeleton": [[1, 2], [1, 3]]},
        {"id": 1, "name": "box", "keypoints": ["corner"], "skeleton": []},
    ]
    assert {f.code for f in convert.report.repairs} == {"keypoints-missing", "box-grown", "box-inferred"}  # type: ignore[attr-defined]


def test_results_take_images_and_categories_from_the_dataset(fixtures: Path, convert: Convert) -> None:
    folder = fixtures / "coco"
    boxes = convert(folder / "results_bbox.json", format="coco", dataset=folder / "instances.json")
    assert boxes["street.png"] == [{"category_id": 0, "bbox": [2, 2, 4, 4], "score": 0.875}]
    assert (boxes["boxes.png"], boxes["empty.png"]) == ([], [])
    masks = convert(folder / "results_segm.json", format="coco", dataset=folder / "instances.json")
    mask = {"category_id": 1, "bbox": [12, 6, 4, 4], "segmentation": area(COMPRESSED), "score": 0.5}
    assert masks["street.png"] == [mask]
    poses = convert(folder / "results_keypoints.json", format="coco", dataset=folder / "person_keypoints.json")
    assert poses["people.png"][0]["keypoints"] == [12, 4, 0.75]
    assert poses["people.png"][0]["score"] == 0.25


@pytest.mark.parametrize("task", ["instance-segmentation", "semantic-segmentation", "object-detection"])
def test_panoptic_gives_both_segmentations(task: str, fixtures: Path, convert: Convert) -> None:
    found = convert(fixtures / "coco/panoptic.json", format="coco", task=task)
    sky, car, other = np.s_[0:6, 0:16], np.s_[6:12, 0:8], np.s_[6:12, 8:12]
    expected = {
        "instance-segmentation": [
            {"category_id": 1, "segmentation": area(sky), "bbox": [0, 0, 16, 6], "score": 1.0},
            {"category_id": 0, "segmentation": area(car), "bbox": [0, 6, 8, 6], "score": 1.0},
            {"category_id": 0, "segmentation": area(other), "bbox": [8, 6, 4, 6], "score": 1.0},
        ],
        "semantic-segmentation": [
            {"category_id": 0, "segmentation": area(car, other), "score": 1.0},
            {"category_id": 1, "segmentation": area(sky), "score": 1.0},
        ],
        "object-detection": [
            {"category_id": 1, "bbox": [0, 0, 16, 6], "score": 1.0},
            {"category_id": 0, "bbox": [0, 6, 8, 6], "score": 1.0},
            {"category_id": 0, "bbox": [8, 6, 4, 6], "score": 1.0},
        ],
    }
    assert found == {"street.jpg": expected[task], "nothing.jpg": []}


def test_missing_sizes_are_read_from_the_images(fixtures: Path, convert: Convert, fails: Fails) -> None:
    source = fixtures / "coco/without_sizes/annotations.json"
    found = convert(source, format="coco", images=source.parent / "images")
    assert found == {"a.png": [{"category_id": 0, "bbox": [2, 2, 4, 4], "score": 1.0}]}


def test_missing_sizes_without_images_are_errors_that_say_so(fixtures: Path, fails: Fails) -> None:
    ((where, message),) = fails(fixtures / "coco/without_sizes/annotations.json", format="coco")["image-size"]
    assert where == "a.png"
    assert "--images" in message


def test_labels_of_images_that_are_stored_turned_are_turned_back(tmp_path: Path, convert: Convert) -> None:
    """Stored 12 pixels wide and 16 high, turned by a quarter clockwise to be upright."""
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (12, 16)).save(tmp_path / "images/a.jpg", exif=exif)
    source = written(tmp_path, dataset(annotation={"bbox": [2, 1, 5, 4]}))
    for options in ({"images": tmp_path / "images"}, {"input": tmp_path / "images"}):
        found = convert(source, format="coco", **options)
        assert found == {"a.jpg": [{"category_id": 0, "bbox": [1, 16 - 2 - 5, 4, 5], "score": 1.0}]}
        assert codes(convert.report.repairs) == {"orientation": 1}  # type: ignore[attr-defined]


def test_absolute_names_below_the_images_folder_become_relative(tmp_path: Path, convert: Convert) -> None:
    (tmp_path / "images").mkdir()
    source = written(tmp_path, dataset(image={"file_name": f"{tmp_path}/images/sub/a.jpg"}))
    assert set(convert(source, format="coco", images=tmp_path / "images")) == {"sub/a.jpg"}


def test_image_ids_may_be_text_in_one_list_and_numbers_in_the_other(tmp_path: Path, convert: Convert) -> None:
    for image_id, ours in ((1, "1"), ("1", 1), (1, 1.0)):
        source = written(tmp_path, dataset(image={"id": image_id}, annotation={"image_id": ours}))
        assert len(convert(source, format="coco")["a.jpg"]) == 1


def test_bom_crlf_and_backslashes_are_fine(tmp_path: Path, convert: Convert) -> None:
    text = json.dumps(dataset(image={"file_name": "sub\\ü a.JPG"}), indent=1, ensure_ascii=False)
    source = written(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert set(convert(source, format="coco")) == {"sub/ü a.JPG"}


def test_two_workers_write_what_one_writes(fixtures: Path, convert: Convert) -> None:
    for name in ("instances", "person_keypoints", "panoptic"):
        one = convert(fixtures / f"coco/{name}.json", format="coco")
        assert convert(fixtures / f"coco/{name}.json", format="coco", workers=2) == one


def test_an_image_listed_twice_counts_once(tmp_path: Path, convert: Convert) -> None:
    image = dataset()["images"][0]
    source = written(tmp_path, dataset(images=[image, image]))
    assert len(convert(source, format="coco")["a.jpg"]) == 1
    assert [f.code for f in convert.report.repairs] == ["image-twice"]  # type: ignore[attr-defined]


RLE = {"size": [12, 16], "counts": [0, 12]}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"annotation": {"category_id": 5}}, "unknown-category", "category id 5"),
        ({"annotation": {"image_id": 5}}, "unknown-image", "image_id 5 is not the id of any image"),
        ({"annotation": {"bbox": [1, 2, 3]}}, "broken-annotation", "length"),
        ({"annotation": {"bbox": [1, 2, "3", 4]}}, "broken-annotation", "Expected `float`, got `str`"),
        ({"annotation": {"bbox": [1, 2, -3, 4]}}, "box-negative-size", "negative width"),
        ({"annotation": {"bbox": None}}, "box-missing", "neither a bbox nor a segmentation"),
        ({"annotation": {"score": 1.5}}, "score-out-of-range", "1.5"),
        (
            {"annotation": {"category_id": "car"}},
            "broken-annotation",
            'category_id: an integer was expected, found "car"',
        ),
        ({"annotation": {"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}}, "broken-segmentation", "a y for every x"),
        ({"annotation": {"segmentation": [[1, 2, 3, 4, 5, "6"]]}}, "broken-segmentation", ""),
        ({"annotation": {"segmentation": [[1e12, 2, 3, 4, 5, 6]]}}, "broken-segmentation", "far beyond the image"),
        ({"annotation": {"segmentation": [1, 2, 3, 4, 5, 6]}}, "broken-segmentation", ""),
        ({"annotation": {"segmentation": "abc"}}, "broken-segmentation", ""),
        ({"annotation": {"segmentation": RLE}}, "broken-segmentation", "sum to 12 pixels, the image has 192"),
        ({"annotation": {"segmentation": RLE | {"counts": [-1, 193]}}}, "broken-segmentation", "negative"),
        ({"annotation": {"segmentation": RLE | {"counts": "zzz~"}}}, "broken-segmentation", ""),
        ({"annotation": {"segmentation": RLE | {"counts": "oooooooooooooo0"}}}, "broken-segmentation", ""),
        ({"annotation": {"segmentation": RLE | {"size": [16, 12]}}}, "broken-segmentation", "[16, 12]"),
        ({"annotation": {"keypoints": [1, 2]}}, "broken-keypoints", "2 numbers"),
        ({"annotation": {"keypoints": [1, 2, "x"]}}, "broken-keypoints", "Expected `float`"),
        ({"annotation": {"keypoints": [1, 2, 3]}}, "broken-keypoints", "not a visibility 0, 1, 2"),
        ({"annotation": {"score": None}}, "broken-annotation", "score: Expected `float`, got `null`"),
        ({"annotation": {"score": float("nan")}}, "broken-annotation", "score: Expected `float`, got `null`"),
        ({"annotation": {"score": "0.5"}}, "broken-annotation", "score: Expected `float`, got `str`"),
        ({"annotation": {"bbox": [1, 2, 3, 4, 5]}}, "broken-annotation", "length"),
        ({"annotation": {"bbox": [True, 2, 3, 4]}}, "broken-annotation", "Expected `float`, got `bool`"),
        (
            {"annotation": {"category_id": True}},
            "broken-annotation",
            "category_id: an integer was expected, found true",
        ),
        ({"annotation": {"category_id": 1.5}}, "broken-annotation", "category_id: an integer was expected, found 1.5"),
        ({"annotation": {"image_id": None}}, "broken-annotation", "image_id: a number or text was expected"),
        ({"annotation": {"image_id": True}}, "broken-annotation", "image_id: a number or text was expected"),
        ({"annotation": {"segmentation": [[2, 2], [6, 2], [6, 6], [2, 6]]}}, "broken-segmentation", "in pairs"),
        ({"annotation": {"segmentation": [[1, 2, 3, 4, 5]]}}, "broken-segmentation", "a y for every x"),
    ],
)
def test_a_broken_annotation_is_an_error_with_its_id(
    changes: dict[str, Any], code: str, words: str, tmp_path: Path, fails: Fails
) -> None:
    source = written(tmp_path, dataset(**changes))
    ((where, message),) = fails(source, format="coco")[code]
    assert where.startswith(str(source))
    assert "17" in where
    assert words in message


def test_every_error_of_a_file_is_told_in_one_run(tmp_path: Path, fails: Fails) -> None:
    good = dataset()["annotations"][0]
    broken = [
        {"bbox": "x"},
        {"category_id": 9},
        {"image_id": 9},
        {"bbox": [0, 0, -1, 1]},
        {"bbox": []},
        {"category_id": None},
    ]
    annotations = [good, *(good | {"id": 100 + i} | change for i, change in enumerate(broken))]
    images = [*dataset()["images"], {"id": 2}, {"id": 3, "file_name": "c.jpg", "width": "x", "height": 12}]
    found = fails(written(tmp_path, dataset(annotations=annotations, images=images)), format="coco")
    assert {code: len(examples) for code, examples in found.items()} == {
        "broken-image": 2,
        "broken-annotation": 2,
        "unknown-category": 1,
        "unknown-image": 1,
        "box-negative-size": 1,
        "box-missing": 1,
    }
    assert found["broken-image"][0][0].endswith("image 1 (id 2)")


def test_nan_is_no_json_but_what_holds_it_is_named(tmp_path: Path, fails: Fails) -> None:
    text = json.dumps(dataset(image={"file_name": "NaN.jpg"}, annotation={"bbox": [1, float("nan"), 3, 4]}))
    ((where, message),) = fails(written(tmp_path, text.encode()), format="coco")["broken-annotation"]
    assert where.endswith("annotation 0 (id 17)")
    assert "Expected `float`, got `null`" in message


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b'{"images": [],\n"annotations": [\n{"id": 1,}]}', ":3", "not JSON"),
        (b'{"images": [\n{"id": 1, "file_na', ":2", "not JSON"),
        (b"", ":1", "not JSON"),
        (b"PK\x03\x04", ":1", "not JSON"),
        (b'{"images": {}}', "", "Expected `array`"),
        (b"{}", "", "no 'annotations'"),
        (b'{"annotations": []}', "", "both 'images' and 'categories'"),
        (b'{"annotations": [], "images": [], "categories": []}', "", "names no category"),
        (b"[]", "", "--dataset"),
        (b"[" * 100_000, ":1", "not JSON"),
    ],
)
def test_a_broken_file_is_an_error_with_its_line(
    content: bytes, line: str, words: str, tmp_path: Path, fails: Fails
) -> None:
    source = written(tmp_path, content)
    (((where, message),),) = fails(source, format="coco").values()
    if "no category" not in words:
        assert where == f"{source}{line}"
    assert words in message


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "two categories have the id 1"),
        ([{"id": 1, "name": " "}], "has no name"),
        ([{"id": 1}], "it has no name"),
        ([{"id": 10**30, "name": "a"}], "id: an integer was expected"),
        ([{"id": 1.5, "name": "a"}], "id: an integer was expected, found 1.5"),
        ([{"id": 1, "name": None}], "name: a text was expected, found null"),
        ([{"id": 1, "name": True}], "name: a text was expected, found true"),
    ],
)
def test_categories_that_contradict_each_other_are_refused(
    categories: list[Any], words: str, tmp_path: Path, fails: Fails
) -> None:
    (((_, message),),) = fails(written(tmp_path, dataset(categories=categories)), format="coco").values()
    assert words in message


def test_images_of_one_id_are_an_error_and_both_are_left_out(tmp_path: Path, fails: Fails) -> None:
    image = dataset()["images"][0]
    source = written(tmp_path, dataset(images=[image, image | {"file_name": "b.jpg"}]))
    assert "'a.jpg' and 'b.jpg'" in fails(source, format="coco")["image-id-twice"][0][1]
    report = labelferry.convert(source, tmp_path / "out", format="coco", on_error="skip")
    assert (report.images, report.found_images, report.lost_images) == (0, 2, 2)


def test_panoptic_faults_are_errors_that_name_the_png(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    content = json.loads((fixtures / "coco/panoptic.json").read_text())
    content["annotations"][0]["segments_info"].pop()
    source, masks = written(tmp_path, content), fixtures / "coco/panoptic"
    found = fails(source, format="coco", masks=masks)
    assert found["unknown-segment"][0][1].endswith("are not in segments_info, as 65793")
    ((where, message),) = fails(source, format="coco")["mask-missing"]
    assert where == str(source)
    assert "--masks" in message
    (tmp_path / "coco").mkdir()
    ((where, message),) = fails(source, format="coco")["mask-missing"]
    assert where.endswith("coco/street.png")
    assert "--masks" in message
    content["annotations"][0]["file_name"] = "../../etc/passwd.png"
    assert "outside" in fails(written(tmp_path, content), format="coco", masks=masks)["file-name"][0][1]
    (tmp_path / "grey").mkdir()
    Image.new("L", (16, 12)).save(tmp_path / "grey/street.png")
    content["annotations"][0]["file_name"] = "street.png"
    found = fails(written(tmp_path, content), format="coco", masks=tmp_path / "grey")
    assert "RGB" in found["mask-mode"][0][1]


@pytest.mark.parametrize(
    ("image", "segmentation", "code"),
    [
        ({"width": 10**6, "height": 10**6}, {"size": [10**6, 10**6], "counts": [0, 10**12]}, "image-size"),
        ({"width": 10**8, "height": 10**8}, {"size": [10**8, 10**8], "counts": [0, 10**16]}, "image-size"),
        ({"width": 30000, "height": 30000}, {"size": [30000, 30000], "counts": [30000] * 30000}, "mask-too-complex"),
        ({}, [[0, 0, 3e6, 0, 3e6, 3e6, 0, 3e6]], "broken-segmentation"),
        ({}, [[0, 0, 1e308, 0, 1e308, 1e308]], "broken-segmentation"),
    ],
)
def test_huge_claims_take_no_memory(image: dict[str, int], segmentation: Any, code: str | None, tmp_path: Path) -> None:
    source = written(tmp_path, dataset(image=image, annotation={"segmentation": segmentation}))
    script = (
        "import labelferry, sys\n"
        "try: report = labelferry.convert(sys.argv[1], sys.argv[2], format='coco', task='instance-segmentation')\n"
        "except labelferry.ConversionError as error: report = error.report\n"
        "print(*[finding.code for finding in report.errors])"
    )
    limit = 2 * 2**30

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=bounded,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.stdout.split() == ([] if code is None else [code])


def test_sizes_and_ids_beyond_64_bits(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    source = dataset(annotation={"id": 10**30})
    source["images"].append({"id": 2, "file_name": "b.jpg", "width": -(10**30), "height": 12})
    source["annotations"].append({"id": 10**31, "image_id": 2, "category_id": 1, "bbox": [1e30, 2, 4, 4]})
    assert fails(written(tmp_path, source), format="coco")["image-size"][0][0] == "b.jpg"
    source["images"][1]["width"] = 10**30
    found = convert(written(tmp_path, source), format="coco", keep_category_ids=True)
    assert found["a.jpg"] == [{"category_id": 1, "bbox": [2, 2, 4, 4], "score": 1.0}]
    ((where, _),) = {f.code: f.examples for f in convert.report.repairs}["box-outside"]  # type: ignore[attr-defined]
    assert where.endswith(f"annotation id {10**31}")


def test_keypoint_results_without_a_box_have_that_of_their_keypoints(tmp_path: Path, convert: Convert) -> None:
    base = dataset(annotations=[], categories=[{"id": 1, "name": "person", "keypoints": ["a", "b"], "skeleton": []}])
    points = [[2, 3, 0.5, 8, 5, 0.25], [0, 0, 0, 8, 5, 0.25], [0, 0, 0, 0, 0, 0]]
    results = [{"image_id": 1, "category_id": 1, "keypoints": one, "score": 0.5} for one in points]
    options = {"format": "coco", "dataset": written(tmp_path, base, "base.json")}
    source = written(tmp_path, results)
    found = convert(source, task="object-detection", on_error="skip", **options)
    assert [(one["bbox"], one["score"]) for one in found["a.jpg"]] == [([2, 3, 6, 2], 0.5), ([7.5, 4.5, 1, 1], 0.5)]
    assert [(f.code, f.count) for f in convert.report.errors] == [("box-missing", 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("instances.json", "object-detection"),
        ("instances.json", "instance-segmentation"),
        ("instances.json", "semantic-segmentation"),
        ("person_keypoints.json", "keypoint-detection"),
        ("person_keypoints.json", "object-detection"),
        ("panoptic.json", "instance-segmentation"),
        ("panoptic.json", "semantic-segmentation"),
        ("without_sizes/annotations.json", "object-detection"),
    ],
)
def test_every_annotation_is_accounted_for(name: str, task: str, fixtures: Path, tmp_path: Path) -> None:
    path = fixtures / "coco" / name
    content = json.loads(path.read_text())
    listed = sum(len(a.get("segments_info", [0])) for a in content["annotations"])
    report = labelferry.convert(path, tmp_path / "out", format="coco", task=task, on_error="skip")
    assert report.found_objects == listed
    assert listed == sum(report.objects.values()) + report.merged_objects + report.lost_objects


def codes(findings: list[Any]) -> dict[str, int]:
    return {finding.code: finding.count for finding in findings}


def test_ids_and_sizes_may_be_given_as_integers_decimals_or_text(tmp_path: Path, convert: Convert) -> None:
    for one, size in ((1, 16), (1.0, 16.0), ("1", "16"), ("1.0", "16.0")):
        for other in (1, 1.0, "1"):
            source = written(
                tmp_path,
                dataset(
                    image={"id": one, "width": size},
                    categories=[{"id": other, "name": "car"}],
                    annotation={"image_id": other, "category_id": one, "bbox": [12, 2, 6, 4]},
                ),
            )
            found = convert(source, format="coco", keep_category_ids=True)
            assert found == {"a.jpg": [{"category_id": 1, "bbox": [12, 2, 4, 4], "score": 1.0}]}
            assert codes(convert.report.repairs) == {"box-clipped": 1}  # type: ignore[attr-defined]


def test_numeric_names_are_read(tmp_path: Path, convert: Convert) -> None:
    categories = [{"id": 1, "name": 0}, {"id": 2, "name": 1.50}]
    source = written(tmp_path, dataset(image={"file_name": 7}, categories=categories))
    assert set(convert(source, format="coco")) == {"7"}
    assert [c["name"] for c in convert.schema["categories"]] == ["0", "1.5"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [640.5, "wide", True, [16], 1e30])
def test_a_size_that_is_no_integer_is_an_error(size: Any, tmp_path: Path, fails: Fails) -> None:
    found = fails(written(tmp_path, dataset(image={"width": size})), format="coco")
    ((where, message),) = found["broken-image"]
    assert where.endswith("image 0 (id 1)")
    assert message.startswith("width: an integer was expected, found ")
    assert found["unknown-image"][0][1] == "image_id 1 is that of an image that is left out"


def test_lvis_names_images_by_the_end_of_their_url(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    image = dataset()["images"][0] | {"coco_url": "http://images.cocodataset.org/train2017/000000155379.jpg"}
    assert set(convert(written(tmp_path, dataset(images=[image])), format="coco")) == {"a.jpg"}
    del image["file_name"]
    assert set(convert(written(tmp_path, dataset(images=[image])), format="coco")) == {"train2017/000000155379.jpg"}
    assert not convert.report.warnings  # type: ignore[attr-defined]
    assert not convert.report.notes  # type: ignore[attr-defined]
    image["coco_url"] = "a.jpg"
    shutil.rmtree(tmp_path / "datasource")
    assert "coco_url" in fails(written(tmp_path, dataset(images=[image])), format="coco")["broken-image"][0][1]


def test_an_image_under_two_ids_is_an_error_that_says_so(tmp_path: Path, fails: Fails) -> None:
    image = dataset()["images"][0]
    source = written(tmp_path, dataset(images=[image, image | {"id": 2}, image | {"id": 3, "file_name": "b.jpg"}]))
    examples = fails(source, format="coco")["name-collision"]
    assert [where for where, _ in examples] == [f"{source}, image a.jpg"] * 2
    assert all("the image is listed under 2 ids, 1 and 2" in message for _, message in examples)
    report = labelferry.convert(source, tmp_path / "out", format="coco", on_error="skip")
    assert (report.images, report.found_images, report.lost_images, report.lost_objects) == (1, 3, 2, 1)


def test_images_whose_ids_are_equal_as_numbers_are_an_error(tmp_path: Path, fails: Fails) -> None:
    image = dataset()["images"][0]
    source = written(tmp_path, dataset(images=[image, image | {"id": "1", "file_name": "b.jpg"}]))
    assert "2 images have this id, 'a.jpg' and 'b.jpg'" in fails(source, format="coco")["image-id-twice"][0][1]
    source = written(tmp_path, dataset(images=[image, image | {"width": 17}]))
    assert "with different sizes" in fails(source, format="coco")["image-id-twice"][0][1]


def test_an_annotation_without_a_score_among_others_with_one_is_an_error(tmp_path: Path, fails: Fails) -> None:
    one = dataset()["annotations"][0]
    source = written(tmp_path, dataset(annotations=[one | {"score": 0.5}, one | {"id": 18}]))
    ((where, message),) = fails(source, format="coco")["score-missing"]
    assert where.endswith("annotation id 18")
    assert "no score" in message
    report = labelferry.convert(source, tmp_path / "out", format="coco", on_error="skip")
    assert (report.objects, report.lost_objects) == ({"car": 1}, 1)


def test_keys_that_are_not_read_are_one_note_each_and_misspelt_ones_a_warning(tmp_path: Path, convert: Convert) -> None:
    one = dataset()["annotations"][0] | {"area": 16.0, "iscrowd": 0, "colour": "red"}
    more = {key: value for key, value in one.items() if key != "bbox"} | {"bboxs": [2, 2, 4, 4], "id": 18, "area": None}
    more["segmentation"] = [[8, 2, 12, 2, 12, 6]]
    image = dataset()["images"][0] | {"license": 3}
    source = written(tmp_path, dataset(info={}, annotations=[one, more], images=[image], licences=[]))
    found = convert(source, format="coco", task="object-detection")
    assert len(found["a.jpg"]) == 2
    (notes,) = convert.report.notes  # type: ignore[attr-defined]
    assert (notes.code, notes.count) == ("unread-key", 5)
    assert sorted(message for _, message in notes.examples) == [
        "'area' is not read (2 times)",
        "'colour' is not read (2 times)",
        "'info' is not read",
        "'licences' is not read",
        "'license' is not read",
    ]
    (warnings,) = convert.report.warnings  # type: ignore[attr-defined]
    assert warnings.code == "unknown-key"
    assert sorted(message for _, message in warnings.examples) == [
        "'bboxs' is not read; did you mean 'bbox'?",
    ]


def test_a_file_as_it_should_be_and_one_with_other_keys_are_read_alike(fixtures: Path, convert: Convert) -> None:
    """Records with keys that are not known are read one by one, those without at once."""
    for name in ("instances", "person_keypoints", "panoptic"):
        content = json.loads((fixtures / f"coco/{name}.json").read_text())
        plain = convert(fixtures / f"coco/{name}.json", format="coco")
        findings = [(f.code, f.count) for f in convert.report.repairs]  # type: ignore[attr-defined]
        for records in (content["images"], content["annotations"], content["categories"]):
            for record in records:
                record["zzz"] = {"a": [1]}
        source = fixtures.parent / "unused"
        options = {"masks": fixtures / "coco/panoptic"} if name == "panoptic" else {}
        source = written(Path(convert.report.datasource), content, f"{name}.json")  # type: ignore[attr-defined]
        assert convert(source, format="coco", input="none", **options) == plain
        assert [(f.code, f.count) for f in convert.report.repairs] == findings  # type: ignore[attr-defined]


def test_misspelt_lists_are_named(tmp_path: Path, fails: Fails) -> None:
    content = dataset()
    content["anotations"] = content.pop("annotations")
    ((_, message),) = fails(written(tmp_path, content), format="coco")["not-coco"]
    assert "It has 'anotations'" in message


def test_a_dataset_for_a_file_with_images_of_its_own_is_refused(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "coco/instances.json"
    with pytest.raises(labelferry.UsageError, match="images and categories of its own"):
        labelferry.convert(source, tmp_path / "out", format="coco", dataset=source)


def test_annotations_of_one_id_are_a_warning_and_are_all_written(tmp_path: Path, convert: Convert) -> None:
    one = dataset()["annotations"][0]
    found = convert(written(tmp_path, dataset(annotations=[one, one])), format="coco")
    assert len(found["a.jpg"]) == 2
    assert codes(convert.report.warnings) == {"annotation-id-twice": 2}  # type: ignore[attr-defined]


def test_categories_of_one_name_stay_apart_and_are_a_warning(tmp_path: Path, convert: Convert) -> None:
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "cat"}]
    one = dataset()["annotations"][0]
    content = dataset(categories=categories, annotations=[one, one | {"id": 18, "category_id": 0}, one | {"id": 19}])
    found = convert(written(tmp_path, content), format="coco")
    assert [p["category_id"] for p in found["a.jpg"]] == [1, 0, 1]
    assert convert.report.objects == {"cat (id 0)": 1, "cat (id 1)": 2}  # type: ignore[attr-defined]
    assert codes(convert.report.warnings) == {"category-name-twice": 1}  # type: ignore[attr-defined]


def test_crowds_are_noted(tmp_path: Path, convert: Convert) -> None:
    one = dataset()["annotations"][0]
    crowds = [one | {"id": i, "iscrowd": crowd} for i, crowd in enumerate((1, True, 0, False))]
    for more in ([], [one | {"id": 4, "iscrowd": "1"}, one | {"id": 5, "iscrowd": None}]):
        convert(written(tmp_path, dataset(annotations=crowds + more)), format="coco")
        assert codes(convert.report.notes) == {"crowd": 3 if more else 2}  # type: ignore[attr-defined]


def test_boxes_that_only_fit_as_corners_are_a_warning(tmp_path: Path, convert: Convert) -> None:
    one = dataset()["annotations"][0]
    corners = [one | {"id": i, "bbox": box} for i, box in enumerate(([2, 2, 6, 6], [8, 2, 14, 4], [2, 2, 16, 12]))]
    convert(written(tmp_path, dataset(annotations=corners)), format="coco")
    (warning,) = convert.report.warnings  # type: ignore[attr-defined]
    assert (warning.code, warning.count) == ("boxes-are-corners", 3)
    assert "2 of 3 boxes reach over the edge" in warning.examples[0][1]
    convert(written(tmp_path, dataset(annotations=[*corners, one | {"id": 9, "bbox": [9, 2, 4, 4]}])), format="coco")
    assert not convert.report.warnings  # type: ignore[attr-defined]


PERSON = [{"id": 1, "name": "person", "keypoints": ["a", "b"], "skeleton": [[1, 2]]}]


def poses(*objects: list[float], **changes: Any) -> dict[str, Any]:
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [2, 2, 8, 8], "keypoints": points} | changes
        for i, points in enumerate(objects)
    ]
    return dataset(categories=PERSON, annotations=annotations)


def test_third_values_of_a_dataset_that_are_no_visibilities_are_scores(tmp_path: Path, convert: Convert) -> None:
    def keypoints(*objects: list[float], **options: Any) -> list[list[float]]:
        found = convert(written(tmp_path, poses(*objects)), format="coco", **options)
        return [one["keypoints"] for one in found["a.jpg"]]

    assert keypoints([1, 2, 1, 3, 4, 0.25], [5, 6, 1, 7, 8, 0]) == [[1, 2, 1, 3, 4, 0.25], [5, 6, 1, 7, 8, 0]]
    assert keypoints([1, 2, 1, 3, 4, 2], [5, 6, 1, 7, 8, 0]) == [[1, 2, 0.5, 3, 4, 1], [5, 6, 0.5, 7, 8, 0]]
    assert keypoints([1, 2, 1, 3, 4, 0]) == [[1, 2, 0.5, 3, 4, 0]]
    assert keypoints([1, 2, 1, 3, 4, 0], keypoint_values="scores") == [[1, 2, 1, 3, 4, 0]]


def test_visibilities_and_scores_in_one_file_are_asked_about(tmp_path: Path, fails: Fails, convert: Convert) -> None:
    """Whatever the number of workers and the order; with skip, too."""
    base = dataset(categories=PERSON, annotations=[])
    base["images"] = [base["images"][0] | {"id": i, "file_name": f"{i}.jpg"} for i in range(1100)]
    points = [[1, 2, 2, 3, 4, 2], *([[1, 2, 0.5, 3, 4, 1]] * 1099)]
    for values in (points, points[::-1]):
        base["annotations"] = [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [2, 2, 8, 8], "keypoints": one}
            for i, one in enumerate(values)
        ]
        source = written(tmp_path, base)
        for options in ({}, {"workers": 2}, {"on_error": "skip"}):
            ((_, message),) = fails(source, format="coco", **options)["ambiguous"]
            assert "2 in 1 objects" in message
            assert "between 0 and 1 in 1,099 objects" in message
            assert "--keypoint-values" in message
    found = fails(source, format="coco", keypoint_values="visibility")["broken-keypoints"]
    assert "not a visibility 0, 1, 2" in found[0][1]
    assert "outside of [0, 1]" in fails(source, format="coco", keypoint_values="scores")["broken-keypoints"][0][1]
    assert len(convert(source, format="coco", task="object-detection")) == 1100


def test_visibility_or_score_is_decided_once_for_a_results_file(tmp_path: Path, convert: Convert, fails: Fails) -> None:
    options: dict[str, Any] = {"format": "coco", "dataset": written(tmp_path, poses(), "base.json")}

    def keypoints(*objects: list[float], **more: Any) -> list[list[float]]:
        results = poses(*objects, score=0.5)["annotations"]
        found = convert(written(tmp_path, results), **options, **more)
        return [one["keypoints"] for one in found["a.jpg"]]

    assert keypoints([1, 2, 1, 3, 4, 1], [1, 2, 0, 3, 4, 0.25]) == [[1, 2, 1, 3, 4, 1], [1, 2, 0, 3, 4, 0.25]]
    assert keypoints([1, 2, 1, 3, 4, 1], [1, 2, 2, 3, 4, 0]) == [[1, 2, 0.5, 3, 4, 0.5], [1, 2, 1, 3, 4, 0]]
    assert keypoints([1, 2, 0, 3, 4, 0]) == [[1, 2, 0, 3, 4, 0]], "nothing to decide"
    assert keypoints([1, 2, 1, 3, 4, 1], keypoint_values="scores") == [[1, 2, 1, 3, 4, 1]]
    assert keypoints([1, 2, 1, 3, 4, 1], keypoint_values="visibility") == [[1, 2, 0.5, 3, 4, 0.5]]
    shutil.rmtree(tmp_path / "datasource")
    results = poses([1, 2, 1, 3, 4, 1], score=0.5)["annotations"]
    ((_, message),) = fails(written(tmp_path, results), **options)["ambiguous"]
    assert "--keypoint-values scores or --keypoint-values visibility" in message
    with pytest.raises(labelferry.UsageError, match="visibility or scores, not 'both'"):
        keypoints([1, 2, 1, 3, 4, 1], keypoint_values="both")


def test_a_skeleton_of_keypoints_that_there_are_not_is_left_out(tmp_path: Path, convert: Convert) -> None:
    content = poses([1, 2, 2, 3, 4, 2])
    content["categories"][0] |= {"skeleton": [[0, 1]]}
    convert(written(tmp_path, content), format="coco")
    assert convert.schema["categories"][0]["skeleton"] == []  # type: ignore[attr-defined]
    assert codes(convert.report.repairs) == {"skeleton-out-of-range": 1}  # type: ignore[attr-defined]


def test_segments_without_a_colour_of_their_own_are_errors(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    for number, words in ((70, "2 segments have the id 70"), (0, "the segment id 0 stands for no segment")):
        content = json.loads((fixtures / "coco/panoptic.json").read_text())
        content["annotations"][0]["segments_info"][1]["id"] = number
        found = fails(written(tmp_path, content), format="coco", masks=fixtures / "coco/panoptic")
        assert words in found["segment-id"][0][1]
    content["annotations"][0]["segments_info"][1] = {"id": "x"}
    report = labelferry.convert(
        written(tmp_path, content),
        tmp_path / "out",
        format="coco",
        masks=fixtures / "coco/panoptic",
        on_error="skip",
    )
    assert codes(report.errors) == {"broken-annotation": 1}
    assert (report.found_objects, report.lost_objects) == (3, 3)


def test_keys_of_segments_are_noted_once_for_the_file(fixtures: Path, convert: Convert) -> None:
    convert(fixtures / "coco/panoptic.json", format="coco")
    (notes,) = convert.report.notes  # type: ignore[attr-defined]
    assert [message for _, message in notes.examples] == [
        "'area' is not read (3 times)",
        "'bbox' is not read (3 times)",
        "'isthing' is not read (2 times)",
    ]


def test_huge_ids_and_text_ids_of_annotations_are_named_as_they_are(tmp_path: Path, fails: Fails) -> None:
    for id in (10**30, "x/1", 2.5):
        source = written(tmp_path, dataset(annotation={"id": id, "bbox": [1, 2, -3, 4]}))
        assert fails(source, format="coco")["box-negative-size"][0][0] == f"{source}, annotation id {id}"


def test_keypoints_that_their_category_does_not_name_are_a_warning(tmp_path: Path, convert: Convert) -> None:
    content = poses([1, 2, 2, 3, 4, 2])
    del content["categories"][0]["skeleton"]
    convert(written(tmp_path, content), format="coco")
    assert codes(convert.report.notes) == {"skeleton-missing": 1}  # type: ignore[attr-defined]
    content["categories"][0]["keypoints"] = None
    convert(written(tmp_path, content), format="coco")
    assert codes(convert.report.warnings) == {"keypoints-unnamed": 1}  # type: ignore[attr-defined]


def test_results_without_scores_and_results_listed_twice_are_warnings(tmp_path: Path, convert: Convert) -> None:
    options: dict[str, Any] = {"format": "coco", "dataset": written(tmp_path, dataset(annotations=[]), "base.json")}
    one = {"image_id": 1, "category_id": 1, "bbox": [2, 2, 4, 4]}
    found = convert(written(tmp_path, [one]), **options)
    assert [p["score"] for p in found["a.jpg"]] == [1.0]
    assert codes(convert.report.warnings) == {"results-without-scores": 1}  # type: ignore[attr-defined]
    results = [one | {"score": score} for score in (0.5, 0.5, 0.25)]
    assert len(convert(written(tmp_path, results), **options)["a.jpg"]) == 3
    assert codes(convert.report.warnings) == {"result-twice": 1}  # type: ignore[attr-defined]
    mask = {"size": [12, 16], "counts": "f44800000J"}
    results = [{"image_id": 1, "category_id": 1, "segmentation": mask, "score": 0.5}] * 2
    convert(written(tmp_path, results), **options)
    assert codes(convert.report.warnings) == {"result-twice": 1}  # type: ignore[attr-defined]
