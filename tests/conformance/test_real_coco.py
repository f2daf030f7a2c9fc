"""Real COCO annotations, against pycocotools, labelformat, and the recipe of Lightly's documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycocotools_mask

from benchmarks.others import documented_encode
from tests.conftest import Convert


def by_image(dataset: dict[str, Any]) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    images = {image["id"]: (image, []) for image in dataset["images"]}
    for annotation in dataset["annotations"]:
        images[annotation["image_id"]][1].append(annotation)
    return {image["file_name"]: (image, annotations) for image, annotations in images.values()}


def pycocotools_mask_of(segmentation: Any, height: int, width: int) -> np.ndarray[Any, Any]:
    if isinstance(segmentation, list):
        rle = pycocotools_mask.merge(pycocotools_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = pycocotools_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return pycocotools_mask.decode(rle)


def test_masks_equal_pycocotools_and_the_documented_encode_run_for_run(real_coco: Path, convert: Convert) -> None:
    path = real_coco / "coco_mini_instances.json"
    predictions = convert(path, format="coco", task="instance-segmentation")
    dataset = json.loads(path.read_text())
    ids = {category["id"]: place for place, category in enumerate(sorted(dataset["categories"], key=lambda c: c["id"]))}
    for name, (image, annotations) in by_image(dataset).items():
        assert [p["bbox"] for p in predictions[name]] == [a["bbox"] for a in annotations]
        assert [p["category_id"] for p in predictions[name]] == [ids[a["category_id"]] for a in annotations]
        for prediction, annotation in zip(predictions[name], annotations, strict=True):
            mask = pycocotools_mask_of(annotation["segmentation"], image["height"], image["width"])
            assert prediction["segmentation"] == documented_encode(mask)


def test_semantic_masks_are_the_union_of_a_category(real_coco: Path, convert: Convert) -> None:
    path = real_coco / "coco_mini_instances.json"
    predictions = convert(path, format="coco", task="semantic-segmentation", keep_category_ids=True)
    for name, (image, annotations) in by_image(json.loads(path.read_text())).items():
        masks: dict[int, Any] = {}
        for annotation in annotations:
            mask = pycocotools_mask_of(annotation["segmentation"], image["height"], image["width"])
            masks[annotation["category_id"]] = masks.get(annotation["category_id"], 0) | mask
        expected = {category_id: documented_encode(mask) for category_id, mask in masks.items()}
        assert {p["category_id"]: p["segmentation"] for p in predictions[name]} == expected


@pytest.mark.parametrize("file", ["coco_mini_instances.json", "coco_mini_keypoints.json"])
def test_boxes_come_out_bit_for_bit_as_they_went_in(file: str, real_coco: Path, convert: Convert) -> None:
    predictions = convert(real_coco / file, format="coco", task="object-detection")
    for name, (_, annotations) in by_image(json.loads((real_coco / file).read_text())).items():
        assert [p["bbox"] for p in predictions[name]] == [a["bbox"] for a in annotations]
    assert not convert.report.repairs  # type: ignore[attr-defined]


def test_keypoints_have_half_their_visibility_as_score(real_coco: Path, convert: Convert) -> None:
    path = real_coco / "coco_mini_keypoints.json"
    predictions = convert(path, format="coco")
    dataset = json.loads(path.read_text())
    assert convert.schema["categories"][0]["keypoints"] == dataset["categories"][0]["keypoints"]  # type: ignore[attr-defined]
    assert convert.schema["categories"][0]["skeleton"] == dataset["categories"][0]["skeleton"]  # type: ignore[attr-defined]
    for name, (_, annotations) in by_image(dataset).items():
        for prediction, annotation in zip(predictions[name], annotations, strict=True):
            expected = np.array(annotation["keypoints"], float)
            expected[2::3] /= 2
            assert prediction["keypoints"] == expected.tolist()
            assert prediction["bbox"] == annotation["bbox"]
