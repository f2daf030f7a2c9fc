"""COCO: every flavour of fixtures/coco, expected values by hand, and what real exports get wrong."""

from __future__ import annotations

import json
import resource
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
    assert [(f.code, f.count) for f in convert.report.repairs] == [("segmentation-missing", 1)]  # type: ignore[attr-defined]


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
    assert {f.code for f in convert.report.repairs} == {"keypoints-missing", "box-grown"}  # type: ignore[attr-defined]


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
        ({"annotation": {"category_id": "car"}}, "broken-annotation", "Expected `int`"),
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
        ({"annotation": {"keypoints": [1, 2, 3]}}, "broken-keypoints", "score outside of [0, 1]"),
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
    images = [*dataset()["images"], {"id": 2}, {"id": 3, "file_name": "c.jpg", "width": "16", "height": 12}]
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
        ([{"id": 1}], "name"),
        ([{"id": 10**30, "name": "a"}], ""),
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
    assert report.images == 0


def test_panoptic_faults_are_errors_that_name_the_png(fixtures: Path, tmp_path: Path, fails: Fails) -> None:
    content = json.loads((fixtures / "coco/panoptic.json").read_text())
    content["annotations"][0]["segments_info"].pop()
    source, masks = written(tmp_path, content), fixtures / "coco/panoptic"
    found = fails(source, format="coco", masks=masks)
    assert found["unknown-segment"][0][1].endswith("are not in segments_info, as 65793")
    assert fails(source, format="coco")["mask-missing"][0][0].endswith("coco/street.png")
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
    found = convert(written(tmp_path, results), task="object-detection", on_error="skip", **options)
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
