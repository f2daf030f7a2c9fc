"""Results of models with random weights, as ultralytics, torchvision, transformers and supervision give them: recorded,
and those of the packages themselves where they are installed."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import labelferry
from tests.core.predictions import clients
from tests.core.predictions.clients import HEIGHT, SCALED, WIDTH, Tensor

SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope="module", params=["recorded", "real"])
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The results by name."""
    if request.param == "recorded":
        return clients.recorded()
    for package in clients.PACKAGES:
        pytest.importorskip(package)
    return clients.real()


def numbers(value: Any) -> Any:
    """The numbers of a tensor."""
    return np.asarray(value.detach().cpu())


def one_of(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def by_place(results: Any) -> dict[str, int]:
    """Categories with the model's ids, as models with random weights have no names."""
    return {f"thing {i}": i for i in results.names}


def inside(xyxy: Any) -> Any:
    """(N, 4) boxes within the image, at least a pixel wide and high, as Lightly has them."""
    low, high = np.clip(xyxy[:, :2], 0, SIZE), np.clip(xyxy[:, 2:], 0, SIZE)
    return np.concatenate((low, high - low), axis=1)


@pytest.mark.parametrize("name", ["ultralytics", "ultralytics-seg", "ultralytics-pose", "ultralytics-obb"])
def test_boxes_of_ultralytics(write: Any, made: dict[str, Any], name: str) -> None:
    results = made[name]
    found = write("object-detection", by_place(results), results)
    part = results.boxes if results.boxes is not None else results.obb
    assert [p["category_id"] for p in found] == numbers(part.cls).tolist()
    assert [p["score"] for p in found] == pytest.approx(numbers(part.conf).tolist())
    assert np.array([p["bbox"] for p in found]) == pytest.approx(inside(numbers(part.xyxy).astype(float)))
    assert write("object-detection", by_place(results), made[f"{name} nothing"]) == []


def test_keypoints_of_ultralytics(write: Any, made: dict[str, Any]) -> None:
    results = made["ultralytics-pose"]
    found = write("keypoint-detection", by_place(results), results)
    expected = numbers(results.keypoints.data).astype(float)
    expected[..., :2] = np.maximum(expected[..., :2], 0)
    assert np.array([p["keypoints"] for p in found]) == pytest.approx(expected.reshape(len(found), -1))
    assert write("keypoint-detection", by_place(results), made["ultralytics-pose nothing"]) == []
    with pytest.raises(labelferry.ExportError, match=r"a\.png: .*keypoint-detection needs keypoints; it has boxes"):
        write("keypoint-detection", by_place(results), made["ultralytics"])


@pytest.mark.parametrize("number", range(len(SCALED)))
def test_masks_are_those_of_ultralytics_at_the_size_of_the_image(write: Any, made: dict[str, Any], number: int) -> None:
    """Rings keep their holes, and lines of one pixel stay: the reference is `ultralytics.utils.ops.scale_masks`."""
    found = write("instance-segmentation", {"thing": 0}, made[f"ultralytics masks {number}"])
    expected = [mask for mask in numbers(made[f"scaled masks {number}"]) if mask.any()]
    assert len(found) == len(expected)
    assert [(repair.code, repair.count) for repair in write.report.repairs if repair.code == "mask-empty"] == [
        ("mask-empty", len(numbers(made[f"scaled masks {number}"])) - len(expected))
    ]
    for prediction, mask in zip(found, expected, strict=True):
        assert prediction["segmentation"] == labelferry.encode(mask)


def test_masks_without_objects(write: Any, made: dict[str, Any]) -> None:
    results = made["ultralytics-seg nothing"]
    assert write("instance-segmentation", by_place(results), results) == []
    assert write("semantic-segmentation", by_place(results), results) == []
    with pytest.raises(labelferry.ExportError, match="instance-segmentation needs masks"):
        write("instance-segmentation", by_place(results), made["ultralytics"])


def test_oriented_boxes_are_masks(write: Any) -> None:
    """A square that stands on a corner: half of its upright box."""
    corners = np.float32([[(20, 5), (35, 20), (20, 35), (5, 20)]])
    obb = SimpleNamespace(
        xyxy=Tensor([[5, 5, 35, 35]]), xyxyxyxy=Tensor(corners), conf=Tensor([0.5]), cls=Tensor([0.0]), data=None
    )
    results = SimpleNamespace(orig_shape=(HEIGHT, WIDTH), names={0: "ship"}, boxes=None, obb=obb)
    (found,) = write("instance-segmentation", ["ship"], results)
    pixels = labelferry.decode(found["segmentation"], (HEIGHT, WIDTH))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    assert abs(pixels.astype(int) - (abs(x - 20) + abs(y - 20) < 15)).sum() < 60  # pixels of its edges
    assert found["score"] == 0.5
    (box,) = write("object-detection", ["ship"], results)
    assert box["bbox"] == [5, 5, 30, 30]


def test_real_oriented_boxes_are_masks(write: Any, made: dict[str, Any]) -> None:
    results = made["ultralytics-obb"]
    found = write("instance-segmentation", by_place(results), results)
    assert len(found) + sum(repair.count for repair in write.report.repairs) >= 2
    assert write("instance-segmentation", by_place(results), made["ultralytics-obb nothing"]) == []


def test_classification_of_ultralytics(write: Any, made: dict[str, Any]) -> None:
    results = made["ultralytics-cls"]
    expected = numbers(results.probs.data)
    (found,) = write("classification", by_place(results), results)
    assert found["category_id"] == expected.argmax()
    assert found["probabilities"] == pytest.approx(expected.tolist())
    (found,) = write("classification", {"first": 3, "second": 7}, results)
    assert found["probabilities"] == pytest.approx((expected[[3, 7]] / expected[[3, 7]].sum()).tolist())


def test_a_class_map_of_ultralytics(write: Any, made: dict[str, Any]) -> None:
    results = made["ultralytics-sem"]
    label_map = numbers(results.semantic_mask.data)
    found = write("semantic-segmentation", by_place(results), results)
    assert [p["category_id"] for p in found] == np.unique(label_map).tolist()
    assert found[0]["segmentation"] == labelferry.encode(label_map == found[0]["category_id"])


def sem(label_map: Any, names: Mapping[int, str]) -> SimpleNamespace:
    mask = SimpleNamespace(data=Tensor(np.array(label_map, np.uint8)))
    return SimpleNamespace(orig_shape=np.shape(label_map), names=names, boxes=None, semantic_mask=mask)


def test_class_maps_of_one_class_and_of_selected_classes(write: Any) -> None:
    """As `Results.summary()` reads them: 1 is the only class, and 255 is what `classes=` leaves out."""
    (found,) = write("semantic-segmentation", ["road"], sem([[0, 1, 1], [0, 0, 255]], {0: "road"}))
    assert found["segmentation"] == [1, 2, 3]
    names = {0: "road", 1: "sky", 2: "car"}
    found = write("semantic-segmentation", ["sky", "car"], sem([[0, 1, 1], [2, 2, 255]], names))
    assert [(p["category_id"], p["segmentation"]) for p in found] == [(0, [1, 2, 3]), (1, [3, 2, 1])]
    assert [(note.code, note.count) for note in write.report.notes] == [("class-left-out", 1)]
    assert "'road'" in write.shown[0]
    assert write("semantic-segmentation", ["sky"], sem([[255, 255]], names)) == []
    with pytest.raises(labelferry.ExportError, match="names no class 9"):
        write("semantic-segmentation", ["sky"], sem([[9]], names))


def test_results_in_which_nothing_is_known_are_refused(write: Any, made: dict[str, Any]) -> None:
    with pytest.raises(labelferry.ExportError, match=r"a\.png: predictions .*it has depth"):
        write("object-detection", {"thing": 0}, made["ultralytics-depth"])
    nothing = SimpleNamespace(orig_shape=(HEIGHT, WIDTH), names={0: "a"}, boxes=None, obb=None)
    with pytest.raises(labelferry.ExportError, match="it has nothing"):
        write("object-detection", ["a"], nothing)


@pytest.mark.parametrize(
    ("task", "name", "needs"),
    [
        ("classification", "ultralytics", "probs"),
        ("classification", "ultralytics-sem", "probs"),
        ("object-detection", "ultralytics-cls", "boxes or obb"),
        ("object-detection", "ultralytics-sem", "boxes or obb"),
        ("semantic-segmentation", "ultralytics-cls", "semantic_mask or boxes or obb"),
    ],
)
def test_results_of_another_task_are_refused(
    write: Any, made: dict[str, Any], task: str, name: str, needs: str
) -> None:
    with pytest.raises(labelferry.ExportError, match=f"{task} needs {needs}"):
        write(task, by_place(made[name]), made[name])


def test_a_category_that_the_model_does_not_name(write: Any) -> None:
    boxes = SimpleNamespace(xyxy=np.zeros((0, 4)), conf=np.zeros(0), cls=np.zeros(0))
    results = SimpleNamespace(orig_shape=(HEIGHT, WIDTH), names={0: "person", 1: "bicycle", 2: "car"}, boxes=boxes)
    with pytest.raises(labelferry.ExportError) as raised:
        write("object-detection", ["car", "persons"], results)
    assert str(raised.value).startswith("a.png: predictions (SimpleNamespace), categories: the model has no class")
    assert "Did you mean 'person'?; it has 0 person, 1 bicycle, 2 car" in str(raised.value)
    assert write("object-detection", {"car": 2}, results) == []
    with pytest.raises(labelferry.ExportError, match="'car' has the id 7, the model gives it 2"):
        write("object-detection", {"car": 7}, results)


@pytest.mark.parametrize("form", ["{}", "class{}", "class_{}", "LABEL_{}"])
def test_models_without_names_go_by_ids_that_are_given(write: Any, form: str) -> None:
    boxes = SimpleNamespace(xyxy=np.array([[1, 2, 9, 9], [2, 2, 8, 8]]), conf=np.ones(2), cls=np.array([2.0, 0]))
    names = {i: form.format(i) for i in range(3)}
    results = SimpleNamespace(orig_shape=(HEIGHT, WIDTH), names=names, boxes=boxes)
    (found,) = write("object-detection", {"car": 2}, results)
    assert found["bbox"] == [1, 2, 8, 7]
    categories = [labelferry.Category(2, "car"), labelferry.Category(0, "person")]
    assert [p["category_id"] for p in write("object-detection", categories, results)] == [1, 0]
    assert len(write("object-detection", list(names.values()), results)) == 2
    with pytest.raises(labelferry.ExportError, match=r"no real names.*give its ids, as \{'person': 0\}"):
        write("object-detection", ["person", "bicycle", "car"], results)
    with pytest.raises(labelferry.ExportError, match="no class with the id 5"):
        write("object-detection", {"car": 5}, results)


def test_boxes_of_torchvision(write: Any, made: dict[str, Any]) -> None:
    """Its ids begin at 1; 0 is the background."""
    output = made["torchvision fasterrcnn"]
    found = write("object-detection", {"a": 1, "b": 2, "c": 3}, output, size=SIZE)
    assert [p["category_id"] + 1 for p in found] == numbers(output[0]["labels"]).tolist()
    assert [p["score"] for p in found] == pytest.approx(numbers(output[0]["scores"]).tolist())
    assert np.array([p["bbox"] for p in found]) == pytest.approx(inside(numbers(output[0]["boxes"]).astype(float)))
    with pytest.raises(labelferry.ExportError, match=r"size: .*give size=\(width, height\)"):
        write("object-detection", {"a": 1, "b": 2, "c": 3}, output)


def test_masks_of_torchvision_are_scores(write: Any, made: dict[str, Any]) -> None:
    output = made["torchvision maskrcnn"]
    categories = {"a": 1, "b": 2, "c": 3}
    with pytest.raises(labelferry.ExportError, match=r"masks: .*give mask_threshold="):
        write("instance-segmentation", categories, output)
    found = write("instance-segmentation", categories, output, mask_threshold=0.5)
    expected = [mask for mask in numbers(output[0]["masks"])[:, 0] > 0.5 if mask.any()]
    assert [p["segmentation"] for p in found] == [labelferry.encode(mask) for mask in expected]


def test_keypoints_of_torchvision(write: Any, made: dict[str, Any]) -> None:
    output = made["torchvision keypointrcnn"]
    found = write("keypoint-detection", {"person": 1}, output, size=SIZE)
    expected = numbers(output[0]["keypoints"]).reshape(len(found), -1)
    assert np.array([p["keypoints"] for p in found]) == pytest.approx(np.maximum(expected, 0))


def test_detection_by_a_processor_of_hugging_face(write: Any, made: dict[str, Any]) -> None:
    output = made["transformers detection"]
    found = write("object-detection", ["a", "b", "c"], output, size=SIZE)
    assert [p["category_id"] for p in found] == numbers(output[0]["labels"]).tolist()
    assert np.array([p["bbox"] for p in found]) == pytest.approx(inside(numbers(output[0]["boxes"]).astype(float)))
    with pytest.raises(labelferry.ExportError, match="post_process_object_detection"):
        write("object-detection", ["a", "b", "c"], made["transformers outputs"], size=SIZE)


def test_relative_boxes_are_reported(write: Any, made: dict[str, Any]) -> None:
    """Without `target_sizes`, Hugging Face gives relative coordinates."""
    write("object-detection", ["a", "b", "c"], made["transformers relative"], size=SIZE)
    assert [(one.code, one.count) for one in write.report.warnings] == [("boxes-relative", 1)]


@pytest.mark.parametrize("name", ["instances", "panoptic"])
def test_segments_of_hugging_face(write: Any, made: dict[str, Any], name: str) -> None:
    (output,) = made[f"transformers {name}"]
    found = write("instance-segmentation", ["a", "b", "c"], [output])
    segment_map = numbers(output["segmentation"])
    expected = [
        (info["label_id"], pytest.approx(info["score"]), labelferry.encode(segment_map == info["id"]))
        for info in output["segments_info"]
        if (segment_map == info["id"]).any()
    ]
    assert [(p["category_id"], p["score"], p["segmentation"]) for p in found] == expected
    united = write("semantic-segmentation", ["a", "b", "c"], [output])
    classes = {info["id"]: info["label_id"] for info in output["segments_info"]}
    label_map = np.vectorize(lambda i: classes.get(i, 99))(segment_map)
    assert [p["segmentation"] for p in united] == [labelferry.encode(label_map == p["category_id"]) for p in united]


def test_other_forms_of_segments_of_hugging_face(write: Any, made: dict[str, Any]) -> None:
    (output,) = made["transformers maps"]
    found = write("instance-segmentation", ["a", "b", "c"], output)
    masks = [mask for mask in numbers(output["segmentation"]) if mask.any()]
    assert [p["segmentation"] for p in found] == [labelferry.encode(mask) for mask in masks]
    assert write("instance-segmentation", ["a", "b", "c"], made["transformers no instances"]) == []
    with pytest.raises(labelferry.ExportError, match="without return_coco_annotation"):
        write("instance-segmentation", ["a", "b", "c"], made["transformers runs"])


def test_a_label_map_of_hugging_face(write: Any, made: dict[str, Any]) -> None:
    (label_map,) = made["transformers semantic"]
    found = write("semantic-segmentation", ["a", "b", "c"], label_map=label_map)
    values = np.unique(numbers(label_map)).tolist()
    assert [p["category_id"] for p in found] == values
    assert [p["segmentation"] for p in found] == [labelferry.encode(numbers(label_map) == i) for i in values]


def test_detection_by_a_pipeline(write: Any, made: dict[str, Any]) -> None:
    output = made["pipeline detection"]
    found = write("object-detection", ["bird", "cat", "dog"], output, size=SIZE)
    assert [(["bird", "cat", "dog"][p["category_id"]], p["score"]) for p in found] == [
        (one["label"], pytest.approx(one["score"])) for one in output
    ]
    boxes = np.array([[one["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")] for one in output], float)
    assert np.array([p["bbox"] for p in found]) == pytest.approx(inside(boxes))
    assert write("object-detection", ["cat"], made["pipeline nothing"], size=SIZE) == []


def test_segmentation_by_a_pipeline(write: Any, made: dict[str, Any]) -> None:
    output = [one for one in made["pipeline instances"] if np.asarray(one["mask"]).any()]
    found = write("instance-segmentation", ["bird", "cat", "dog"], made["pipeline instances"])
    assert [p["segmentation"] for p in found] == [labelferry.encode(np.asarray(one["mask"])) for one in output]
    assert [p["score"] for p in found] == pytest.approx([one["score"] for one in output])
    found = write("semantic-segmentation", ["bird", "cat", "dog"], made["pipeline semantic"])
    assert sum(sum(p["segmentation"][1::2]) for p in found) == WIDTH * HEIGHT
    assert {p["score"] for p in found} == {1.0}


def test_classification_by_a_pipeline(write: Any, made: dict[str, Any]) -> None:
    output, categories = made["pipeline all classes"], {f"class number {i}": i for i in range(7)}
    expected = [one["score"] for one in sorted(output, key=lambda one: str(one["label"]))]
    (found,) = write("classification", categories, output)
    assert found["probabilities"] == pytest.approx(expected)
    assert not write.report.repairs


def test_the_best_classes_of_a_pipeline_are_completed(write: Any, made: dict[str, Any]) -> None:
    """The two classes that are missing share the rest, which is a repair."""
    output, categories = made["pipeline classification"], {f"class number {i}": i for i in range(7)}
    (found,) = write("classification", categories, output)
    given = {int(one["label"].removeprefix("LABEL_")): one["score"] for one in output}
    rest = (1 - sum(given.values())) / 2
    assert found["probabilities"] == pytest.approx([given.get(i, rest) for i in range(7)])
    assert [(one.code, one.count) for one in write.report.repairs] == [("probabilities-completed", 1)]
    with pytest.raises(labelferry.ExportError, match="give those of all classes"):
        write("classification", {"five": 5, "zero": 0}, output)


class TestSupervision:
    @pytest.fixture(autouse=True)
    def sv(self) -> Any:
        self.sv = pytest.importorskip("supervision")

    def detections(self, ids: Any, names: Any) -> Any:
        count = len(names)
        boxes = np.array([(i, 2, i + 5, 9) for i in range(count)], float)
        data = {"class_name": np.array(names)}
        ids = None if ids is None else np.array(ids)
        return self.sv.Detections(xyxy=boxes, class_id=ids, confidence=np.full(count, 0.5), data=data)

    def test_merged_detections_of_two_models_keep_their_names(self, write: Any) -> None:
        merged = self.sv.Detections.merge([self.detections([0, 1], ["cat", "dog"]), self.detections([0], ["dog"])])
        found = write("object-detection", ["dog", "cat"], merged, size=SIZE)
        assert [(p["category_id"], p["bbox"][0]) for p in found] == [(1, 0), (0, 1), (0, 0)]

    def test_names_without_ids(self, write: Any) -> None:
        found = write("object-detection", ["dog", "cat"], self.detections(None, ["cat", "bird", "dog"]), size=SIZE)
        assert [p["category_id"] for p in found] == [1, 0]
        assert "its class 'bird' is not among the categories" in write.report.notes[0].examples[0][1]

    def test_names_made_of_ids_need_ids(self, write: Any) -> None:
        found = write("object-detection", {"cat": 4}, self.detections([4, 2], ["4", "2"]), size=SIZE)
        assert len(found) == 1
        with pytest.raises(labelferry.ExportError, match="no real names"):
            write("object-detection", ["cat", "dog"], self.detections([1], ["class1"]), size=SIZE)

    def test_the_best_classes_are_completed(self, write: Any) -> None:
        best = self.sv.Classifications(class_id=np.array([2, 0]), confidence=np.array([0.5, 0.3]))
        (found,) = write("classification", ["a", "b", "c", "d"], best)
        assert found["probabilities"] == pytest.approx([0.3, 0.1, 0.5, 0.1])
        assert (found["category_id"], found["score"]) == (2, 0.5)
        assert [one.code for one in write.report.repairs] == ["probabilities-completed"]
        twice = self.sv.Classifications(class_id=np.array([2, 2]), confidence=np.array([0.5, 0.3]))
        with pytest.raises(labelferry.ExportError, match="given twice"):
            write("classification", ["a", "b", "c", "d"], twice)
        logits = self.sv.Classifications(class_id=np.array([0, 1]), confidence=np.array([5.0, -2]))
        with pytest.raises(labelferry.ExportError, match="logits"):
            write("classification", ["a", "b"], logits)

    def test_detections_are_no_classification(self, write: Any) -> None:
        with pytest.raises(labelferry.ExportError, match="classification takes probabilities"):
            write("classification", ["cat"], self.detections([0], ["cat"]))

    def test_oriented_boxes_are_masks(self, write: Any) -> None:
        detections = self.detections([0], ["ship"])
        detections.data["xyxyxyxy"] = np.array([[(10, 10), (20, 10), (20, 15), (10, 15)]])
        (found,) = write("instance-segmentation", ["ship"], detections, size=SIZE)
        assert sum(found["segmentation"][1::2]) == 50
