"""Lightly's published models as judge of whole files, and the documented rules that the models do not know.

Models: PyPI package `lightly` 1.5.x, lightly.openapi_generated.swagger_client.models.
Rules: https://docs.lightly.ai/docs/prediction-format
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

os.environ["LIGHTLY_DID_VERSION_CHECK"] = "True"  # it would ask the network, with packages that we do not install

from lightly.openapi_generated.swagger_client import models

SINGLETONS = {
    "classification": ("CLASSIFICATION", models.PredictionSingletonClassification),
    "object-detection": ("OBJECT_DETECTION", models.PredictionSingletonObjectDetection),
    "keypoint-detection": ("KEYPOINT_DETECTION", models.PredictionSingletonKeypointDetection),
    "instance-segmentation": ("INSTANCE_SEGMENTATION", models.PredictionSingletonInstanceSegmentation),
    "semantic-segmentation": ("SEMANTIC_SEGMENTATION", models.PredictionSingletonSemanticSegmentation),
}
REQUIRED = {
    "classification": {"category_id", "probabilities"},
    "object-detection": {"category_id", "bbox", "score"},
    "keypoint-detection": {"category_id", "keypoints", "score"},
    "instance-segmentation": {"category_id", "segmentation", "bbox", "score"},
    "semantic-segmentation": {"category_id", "segmentation", "score"},
}
OPTIONAL = {"classification": {"score"}, "keypoint-detection": {"bbox"}}


def read_valid_task(datasource: Path, task_name: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A task's schema, and {file_name: predictions}, after every file has passed."""
    predictions_folder = datasource / ".lightly" / "predictions"
    assert task_name in json.loads((predictions_folder / "tasks.json").read_text())
    assert not [p.name for p in predictions_folder.iterdir() if p.name.startswith(".")], "staging was left behind"
    folder = predictions_folder / task_name
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    check_schema(schema, task_name)
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path == folder / "schema.json":
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content.keys() == {"file_name", "predictions"}
        name = content["file_name"]
        place = path.relative_to(folder).as_posix()
        assert place in (f"{PurePosixPath(name).with_suffix('')}.json", f"{name}.json"), (place, name)
        for prediction in content["predictions"]:
            check_prediction(prediction, schema, task_name)
        ids = [prediction["category_id"] for prediction in content["predictions"]]
        if schema["task_type"] == "classification":
            assert len(ids) == 1
        if schema["task_type"] == "semantic-segmentation":
            assert len(ids) == len(set(ids))
        found[name] = content["predictions"]
    return schema, found


def check_schema(schema: dict[str, Any], task_name: str) -> None:
    task_type = schema["task_type"]
    assert schema.keys() == {"task_type", "categories"}
    ids = [category["id"] for category in schema["categories"]]
    assert ids == sorted(set(ids))
    is_keypoints = task_type == "keypoint-detection"
    categories = []
    for category in schema["categories"]:
        assert category.keys() <= {"id", "name", *(("keypoints", "skeleton") if is_keypoints else ())}
        entry = {"id": category["id"], "name": category["name"]}
        if "keypoints" in category:
            entry |= {"keypointNames": category["keypoints"], "keypointSkeleton": category["skeleton"]}
        categories.append(entry)
    cls = models.PredictionTaskSchemaKeypoint if is_keypoints else models.PredictionTaskSchemaSimple
    cls.from_dict({"name": task_name, "type": SINGLETONS[task_type][0], "categories": categories})


def check_prediction(prediction: dict[str, Any], schema: dict[str, Any], task_name: str) -> None:
    task_type = schema["task_type"]
    required, given = REQUIRED[task_type], set(prediction)
    assert required <= given <= required | {"probabilities"} | OPTIONAL.get(task_type, set()), given
    assert prediction["category_id"] in [category["id"] for category in schema["categories"]]
    kind, cls = SINGLETONS[task_type]
    renamed = {("categoryId" if key == "category_id" else key): value for key, value in prediction.items()}
    cls.from_dict({"type": kind, "taskName": task_name, "score": 1.0, **renamed})
    if "bbox" in prediction:
        x, y, width, height = prediction["bbox"]
        assert x >= 0
        assert y >= 0
        assert width >= 1
        assert height >= 1
    if "probabilities" in prediction:
        assert len(prediction["probabilities"]) == len(schema["categories"])
        assert abs(sum(prediction["probabilities"]) - 1) < 1e-5
    if "keypoints" in prediction:
        assert len(prediction["keypoints"]) % 3 == 0
        assert all(0 <= score <= 1 for score in prediction["keypoints"][2::3])
    if "segmentation" in prediction:
        runs = prediction["segmentation"]
        assert all(run > 0 for run in runs[1:]), "only the run of leading 0s may be 0"
        assert len(runs) >= 2, "a mask without a pixel"
