"""Every input of the installed labelformat, on files that its own outputs write where it has one."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import labelformat.formats as formats
import numpy as np
import pytest
from labelformat.cli.registry import _REGISTRY, Task
from labelformat.formats.labelformat import LabelformatObjectDetectionInput
from labelformat.model.binary_mask_segmentation import BinaryMaskSegmentation
from labelformat.model.bounding_box import BoundingBox
from labelformat.model.category import Category
from labelformat.model.image import Image
from labelformat.model.instance_segmentation import (
    ImageInstanceSegmentation,
    InstanceSegmentationInput,
    SingleInstanceSegmentation,
)
from labelformat.model.multipolygon import MultiPolygon
from labelformat.model.object_detection import ImageObjectDetection, SingleObjectDetection
from PIL import Image as Picture

import labelferry
from labelferry.converters.labelformat import Labelformat, _input_classes
from labelferry.plugin.export import Request
from labelferry.plugin.registry import get_adapter
from labelferry.task_type import TaskType
from labelferry.testing import check_adapter
from tests.exports import content
from tests.lightly_models import read_valid_task
from tests.limits import run_limited

CATEGORIES = [Category(0, "person"), Category(1, "car")]
IMAGES = [Image(0, "a.png", 64, 48), Image(1, "b.png", 64, 48), Image(2, "c.png", 64, 48)]
BOXES = {"a.png": [(1, (8, 6, 28, 16)), (0, (40, 12, 56, 44))], "b.png": [(0, (0, 0, 64, 48))], "c.png": []}
XYWH = {
    name: [(category, [x, y, right - x, bottom - y]) for category, (x, y, right, bottom) in rows]
    for name, rows in BOXES.items()
}


def detections(confidence: float | None = None) -> LabelformatObjectDetectionInput:
    labels = [
        ImageObjectDetection(
            image,
            [
                SingleObjectDetection(CATEGORIES[category], BoundingBox(*box), confidence)
                for category, box in BOXES[image.filename]
            ],
        )
        for image in IMAGES
    ]
    return LabelformatObjectDetectionInput(CATEGORIES, IMAGES, labels)


class Masks(InstanceSegmentationInput):
    """Polygons in a.png, run lengths in b.png."""

    @staticmethod
    def add_cli_arguments(parser: Any) -> None: ...

    def get_categories(self) -> Any:
        return CATEGORIES

    def get_images(self) -> Any:
        return IMAGES

    def get_labels(self) -> Any:
        polygon = MultiPolygon([[(8.0, 6.0), (28.0, 6.0), (28.0, 16.0), (8.0, 16.0)]])
        yield ImageInstanceSegmentation(IMAGES[0], [SingleInstanceSegmentation(CATEGORIES[1], polygon)])
        mask = BinaryMaskSegmentation.from_binary_mask(square(), BoundingBox(8, 6, 28, 16))
        yield ImageInstanceSegmentation(IMAGES[1], [SingleInstanceSegmentation(CATEGORIES[0], mask)])


def square() -> Any:
    pixels = np.zeros((48, 64), np.int_)
    pixels[6:16, 8:28] = 1
    return pixels


@pytest.fixture
def export(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for image in IMAGES:
        Picture.new("RGB", (64, 48)).save(tmp_path / "images" / image.filename)
    return tmp_path


def boxes(found: dict[str, Any]) -> dict[str, Any]:
    return {
        Path(name).with_suffix(".png").name: sorted((p["category_id"], [round(v, 3) for v in p["bbox"]]) for p in given)
        for name, given in found.items()
    }


EXPECTED = {name: sorted((category, [float(v) for v in box]) for category, box in rows) for name, rows in XYWH.items()}
YOLO = [f"yolov{version}" for version in (5, 6, 7, 8, 9, 10, 11, 12, 26)]


def test_every_input_is_known_and_tested() -> None:
    tested = {
        "coco",
        "cvat",
        "kitti",
        "labelbox",
        "lightly",
        "maskpair",
        "pascalvoc",
        "rtdetr",
        "rtdetrv2",
        "youtubevis",
    }
    assert set(_input_classes()) == tested | set(YOLO)
    names = {cls.__name__ for by_task in _input_classes().values() for cls in by_task.values()}
    known = {name for name in formats.__all__ if name.endswith("Input")}
    assert known - names == {"ActivityNetTemporalClassificationInput"}


@pytest.mark.parametrize("name", ["coco", "rtdetr", "rtdetrv2"])
def test_json(export: Path, convert: Any, name: str) -> None:
    output = {"coco": "COCO", "rtdetr": "RTDETR", "rtdetrv2": "RTDETRv2"}[name]
    getattr(formats, f"{output}ObjectDetectionOutput")(output_file=export / "a.json").save(detections())
    found = convert(export / "a.json", format=f"labelformat:{name}", task="object-detection")
    assert boxes(found) == EXPECTED
    assert convert.report.task_name == f"labelformat_{name}_object-detection"


@pytest.mark.parametrize("name", YOLO)
def test_yolo(export: Path, convert: Any, name: str) -> None:
    output = getattr(formats, f"YOLOv{name.removeprefix('yolov')}ObjectDetectionOutput")
    output(output_file=export / "data.yaml", output_split="train").save(detections())
    found = convert(export / "data.yaml", format=f"labelformat:{name}", task="object-detection", input_split="train")
    assert boxes(found) == EXPECTED


def test_kitti(export: Path, convert: Any) -> None:
    formats.KittiObjectDetectionOutput(output_folder=export / "labels").save(detections())
    options = {"format": "labelformat:kitti", "category_names": "person,car"}
    assert boxes(convert(export / "labels", **options)) == EXPECTED
    with pytest.raises(labelferry.UsageError, match="needs --category-names"):
        labelferry.convert(export / "labels", export / "x", format="labelformat:kitti")
    (export / "labels/a.txt").write_text("bus -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n")
    with pytest.raises(labelferry.ExportError, match="labelformat cannot read it: KeyError: 'bus'"):
        labelferry.convert(export / "labels", export / "x", **options)
    assert not (export / "x").exists()


def test_pascalvoc_and_cvat(export: Path, convert: Any) -> None:
    formats.PascalVOCObjectDetectionOutput(output_folder=export / "voc").save(detections())
    found = convert(
        export / "voc", format="labelformat:pascalvoc", task="object-detection", category_names="person,car"
    )
    assert boxes(found) == EXPECTED
    formats.CVATObjectDetectionOutput(output_folder=export / "cvat").save(detections())
    source = export / "cvat/annotations.xml"
    assert boxes(convert(source, format="labelformat:cvat")) == EXPECTED
    assert boxes(convert(source, format="cvat")) == EXPECTED  # labelferry's own reading of it


def test_semantic_pascalvoc(export: Path, convert: Any) -> None:
    (export / "masks").mkdir()
    for image in IMAGES:
        Picture.fromarray(square().astype(np.uint8)).save(export / "masks" / image.filename)
    (export / "names.json").write_text('{"0": "background", "1": "car"}')
    found = convert(
        export / "images",
        format="labelformat:pascalvoc",
        task="semantic-segmentation",
        masks_dir=export / "masks",
        class_id_to_name=export / "names.json",
    )
    assert [p["category_id"] for p in found["b.png"]] == [0, 1]
    np.testing.assert_array_equal(labelferry.decode(found["b.png"][1]["segmentation"], (48, 64)), square() == 1)


def test_labelbox(export: Path, convert: Any) -> None:
    def row(name: str) -> str:
        objects = [
            {
                "annotation_kind": "ImageBoundingBox",
                "name": CATEGORIES[category].name,
                "bounding_box": {"left": box[0], "top": box[1], "width": box[2], "height": box[3]},
            }
            for category, box in XYWH[name]
        ]
        return json.dumps(
            {
                "data_row": {"id": name, "global_key": name, "external_id": f"x{name}"},
                "media_attributes": {"width": 64, "height": 48},
                "projects": {"p": {"labels": [{"annotations": {"objects": objects}}]}},
            }
        )

    (export / "a.ndjson").write_text("".join(f"{row(image.filename)}\n" for image in IMAGES))
    options = {"format": "labelformat:labelbox", "category_names": "person,car"}
    assert boxes(convert(export / "a.ndjson", **options)) == EXPECTED
    assert list(convert(export / "a.ndjson", filename_key="external_id", **options)) == ["xa.png", "xb.png", "xc.png"]


def test_maskpair(export: Path, convert: Any) -> None:
    pytest.importorskip("cv2")
    (export / "masks").mkdir()
    for image in IMAGES:
        Picture.fromarray((square() * 255).astype(np.uint8)).save(export / "masks" / image.filename)
    options = {"image_glob": "images/*.png", "mask_glob": "masks/*.png", "category_names": "crack"}
    found = convert(export, format="labelformat:maskpair", segmentation_type="rle", **options)
    assert len(found) == 3
    for (only,) in found.values():
        np.testing.assert_array_equal(labelferry.decode(only["segmentation"], (48, 64)), square() == 1)
    with pytest.raises(labelferry.UsageError, match="--segmentation-type is one of polygon, rle"):
        labelferry.convert(export, export / "x", format="labelformat:maskpair", segmentation_type="rel", **options)


def test_lightly(export: Path, convert: Any) -> None:
    formats.LightlyObjectDetectionOutput(output_folder=export / "task").save(detections(0.5))
    found = convert(export / "task", format="labelformat:lightly")
    assert boxes(found) == EXPECTED
    assert {p["score"] for given in found.values() for p in given} == {0.5}


@pytest.mark.parametrize("task", ["object-detection", "instance-segmentation"])
def test_tracks_equal_our_own_reading(fixtures: Path, convert: Any, tmp_path: Path, task: str) -> None:
    content = json.loads((fixtures / "youtubevis/instances.json").read_text())
    for video in content["videos"]:
        video["file_names"] = [f"{Path(video['file_names'][0]).parent}/{i:05}.jpg" for i in range(video["length"])]
    content["annotations"][1]["bboxes"][1] = [40, 30, 20, 12]
    (tmp_path / "a.json").write_text(json.dumps(content))
    options = {"task": task, "videos": fixtures / "youtubevis/videos"}
    theirs = convert(tmp_path / "a.json", format="labelformat:youtubevis", **options)
    ours = convert(tmp_path / "a.json", format="youtubevis", **options)
    assert sum(map(len, ours.values())) == 5
    keep = ("category_id", "segmentation") if task == "instance-segmentation" else ("category_id", "bbox")
    assert {name: [{k: p[k] for k in keep} for p in given] for name, given in theirs.items()} == {
        name: [{k: p[k] for k in keep} for p in given] for name, given in ours.items()
    }


def test_masks_of_polygons_and_run_lengths(export: Path, convert: Any) -> None:
    for make in (
        formats.COCOInstanceSegmentationOutput(output_file=export / "a.json"),
        formats.YOLOv8InstanceSegmentationOutput(output_file=export / "data.yaml", output_split="train"),
    ):
        only_polygons = Masks()
        only_polygons.get_labels = lambda: list(Masks().get_labels())[:1]  # type: ignore[method-assign]
        make.save(only_polygons)
    for name in ("b", "c"):  # labelformat's YOLO wants a file for every image
        (export / f"labels/{name}.txt").touch()
    for source, options in (
        (export / "a.json", {"format": "labelformat:coco", "task": "instance-segmentation"}),
        (export / "data.yaml", {"format": "labelformat:yolov8", "task": "instance-segmentation"}),
        (Masks(), {}),
    ):
        found = convert(source, **options)
        runs = next(given[0]["segmentation"] for name, given in found.items() if Path(name).stem == "a")
        np.testing.assert_array_equal(labelferry.decode(runs, (48, 64)), square() == 1)
    np.testing.assert_array_equal(labelferry.decode(found["b.png"][0]["segmentation"], (48, 64)), square() == 1)
    assert found["c.png"] == []


def test_an_input_object_and_where_lightlys_format_differs(export: Path) -> None:
    """The files equal those of labelformat's own Lightly output, but for what breaks the format."""
    labels = detections(0.5)
    gaps = [Category(0, "person"), Category(7, "car")]
    formats.LightlyObjectDetectionOutput(output_folder=export / "theirs").save(labels)
    labelferry.convert(labels, export / "ours", task_name="t")
    schema, found = read_valid_task(export / "ours", "t")
    assert json.loads((export / "theirs/schema.json").read_text()) == schema
    for path in (export / "theirs").glob("[abc].json"):
        theirs = json.loads(path.read_text())
        assert found[theirs["file_name"]] == theirs["predictions"]
    assert not (export / "theirs/tasks.json").exists()  # without which the Worker reads no task
    # labels without a score: 0.0 there, which is the least certain of all, 1.0 here
    formats.LightlyObjectDetectionOutput(output_folder=export / "theirs").save(detections())
    labelferry.convert(detections(), export / "ours", task_name="t", overwrite=True)
    assert json.loads((export / "theirs/a.json").read_text())["predictions"][0]["score"] == 0.0
    assert read_valid_task(export / "ours", "t")[1]["a.png"][0]["score"] == 1.0
    # ids with gaps stay there, and are 0..N-1 here; images that labels pass over have no file there
    labels = LabelformatObjectDetectionInput(
        gaps, IMAGES, [ImageObjectDetection(IMAGES[0], [SingleObjectDetection(gaps[1], BoundingBox(-1, 0, 9, 9))])]
    )
    formats.LightlyObjectDetectionOutput(output_folder=export / "sparse").save(labels)
    labelferry.convert(labels, export / "ours", task_name="t", overwrite=True)
    schema, found = read_valid_task(export / "ours", "t")
    assert [category["id"] for category in schema["categories"]] == [0, 1]
    assert json.loads((export / "sparse/a.json").read_text())["predictions"][0]["category_id"] == 7
    assert {path.name for path in (export / "sparse").iterdir()} == {"a.json", "schema.json"}
    assert found.keys() == {"a.png", "b.png", "c.png"}
    # masks have no Lightly output there
    assert "lightly" not in _REGISTRY.output[Task.INSTANCE_SEGMENTATION]
    assert labelferry.convert(Masks(), export / "ours", task_name="masks").task_type == "instance-segmentation"
    # boxes over the edge stay there, and are cut here
    assert json.loads((export / "sparse/a.json").read_text())["predictions"][0]["bbox"][0] == -1
    assert found["a.png"][0]["bbox"] == [0, 0, 9, 9]


def test_names_at_fault(tmp_path: Path) -> None:
    with pytest.raises(labelferry.UsageError, match="has no input 'kity'"):
        get_adapter("labelformat:kity")
    with pytest.raises(labelferry.UsageError, match="say which"):
        labelferry.convert(tmp_path, tmp_path / "x", format="labelformat")
    with pytest.raises(labelferry.UsageError, match="object is not a labelformat input"):
        labelferry.convert(object(), tmp_path / "x")  # type: ignore[arg-type]
    with pytest.raises(labelferry.UsageError, match="no variants"):
        get_adapter("yolo:v5")


def test_in_worker_processes(export: Path) -> None:
    formats.COCOObjectDetectionOutput(output_file=export / "a.json").save(detections())
    adapter = get_adapter("labelformat:coco")(export / "a.json")
    assert check_adapter(adapter) == []
    command = "convert --from labelformat:coco a.json out --task object-detection --workers 2".split()
    done = subprocess.run(
        [sys.executable, "-m", "labelferry", *command], cwd=export, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert boxes(read_valid_task(export / "out", "labelformat_coco_object-detection")[1]) == EXPECTED


def test_every_object_that_labelformat_gives_is_found(export: Path) -> None:
    formats.COCOObjectDetectionOutput(output_file=export / "a.json").save(detections())
    options = {"format": "labelformat:coco", "task": "object-detection", "task_name": "t", "overwrite": True}
    report = labelferry.convert(export / "a.json", export / "out", **options)
    assert report.found_objects == len(json.loads((export / "a.json").read_text())["annotations"]) == 3
    report = labelferry.convert(Masks(), export / "out", task_name="t", overwrite=True)
    assert (report.found_objects, report.objects) == (2, {"person": 1, "car": 1})


class Broken(Masks):
    """A polygon of one point, no polygon, run lengths of another image, and one that does not end."""

    def get_labels(self) -> Any:
        box = BoundingBox(0, 0, 1, 1)
        upright = BinaryMaskSegmentation([10, 64 * 48 - 10], 48, 64, box)
        shapes = [
            MultiPolygon([[(1.0, 2.0)]]),
            MultiPolygon([]),
            upright,
            BinaryMaskSegmentation([1, 2], 64, 48, box),
            BinaryMaskSegmentation.from_binary_mask(square(), box),
        ]
        yield ImageInstanceSegmentation(IMAGES[0], [SingleInstanceSegmentation(CATEGORIES[0], one) for one in shapes])


def test_objects_without_a_mask_are_lost_and_the_others_are_written(export: Path) -> None:
    report = labelferry.convert(Broken(), export / "out", task_name="t", on_error="skip")
    assert {repair.code: repair.count for repair in report.repairs} == {
        "polygon-too-short": 1,
        "segmentation-missing": 1,
    }
    assert {error.code: error.count for error in report.errors} == {"broken-segmentation": 1, "mask-size": 1}
    assert (report.found_objects, report.lost_objects, report.objects) == (5, 4, {"person": 1, "car": 0})


def first_image(source: Path) -> str:
    """The first image of a video, or why there is none."""
    export = get_adapter("labelformat:youtubevis")(source).open(Request(TaskType.OBJECT_DETECTION))
    try:
        return str(next(export.images()))
    except labelferry.ExportError as error:
        return error.message


def test_a_number_of_frames_alone_fills_no_memory(tmp_path: Path) -> None:
    video = {"id": 1, "width": 64, "height": 48, "length": 10**12, "file_names": ["walk/00000.jpg"]}
    content = {"videos": [video], "categories": [{"id": 1, "name": "person"}], "annotations": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert "a video of 1000000000000 frames" in run_limited(first_image, tmp_path / "a.json")


def test_an_adapter_of_an_input_can_be_opened_elsewhere() -> None:
    adapter = Labelformat.of(Masks())
    first = content(adapter.open(Request()))
    assert content(adapter.open(Request())) == first
    assert content(pickle.loads(pickle.dumps(adapter)).open(Request())) == first
    other = detections()
    assert pickle.dumps(Labelformat.of(other)) != pickle.dumps(adapter)


def test_the_files_of_an_export_are_its_path_and_its_options(export: Path) -> None:
    formats.COCOObjectDetectionOutput(output_file=export / "a.json").save(detections())
    formats.KittiObjectDetectionOutput(output_folder=export / "labels").save(detections())
    names = export / "names.json"
    names.write_text('["background", "road"]')
    (export / "masks").mkdir()
    for image in IMAGES:
        Picture.fromarray(np.zeros((48, 64), np.uint8)).save(export / "masks" / image.filename)
    opened = [
        get_adapter("labelformat:coco")(export / "a.json").open(Request()),
        get_adapter("labelformat:kitti")(export / "labels", category_names="person,car").open(Request()),
        get_adapter("labelformat:pascalvoc")(
            export / "images", masks_dir=export / "masks", class_id_to_name=names
        ).open(Request(TaskType.SEMANTIC_SEGMENTATION)),
    ]
    assert [one.files for one in opened] == [(str(export / "a.json"),), (), (str(names),)]


def coco(export: Path, **changes: Any) -> Path:
    formats.COCOObjectDetectionOutput(output_file=export / "a.json").save(detections())
    data = json.loads((export / "a.json").read_text())
    for key, change in changes.items():
        data[key][0] |= change
    (export / "a.json").write_text(json.dumps(data))
    return export / "a.json"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"annotations": {"bbox": {"1": 0, "2": 0, "3": 0, "4": 0}}}, "broken-annotation", "four numbers"),
        ({"annotations": {"bbox": [8, 6, 20, 10, 5]}}, "broken-annotation", "four numbers"),
        ({"annotations": {"bbox": "1234"}}, "broken-annotation", "four numbers"),
        ({"categories": {"name": 5}}, "labelformat", "text"),
        ({"categories": {"name": None}}, "labelformat", "text"),
        ({"images": {"file_name": 7}}, "labelformat", "not text"),
    ],
)
def test_values_of_another_type_are_errors(
    changes: dict[str, Any], code: str, words: str, export: Path, fails: Any
) -> None:
    found = fails(coco(export, **changes), format="labelformat:coco", task="object-detection")
    assert words in found[code][0][1]


def test_images_of_one_id_are_an_error(export: Path, fails: Any) -> None:
    data = json.loads(coco(export).read_text())
    data["images"][2]["id"] = data["images"][1]["id"]
    (export / "a.json").write_text(json.dumps(data))
    found = fails(export / "a.json", format="labelformat:coco", task="object-detection")
    assert "another image has it" in found["broken-annotation"][0][1]


def test_lines_that_labelformat_skips_are_errors(fixtures: Path, export: Path, convert: Any) -> None:
    (export / "labels").mkdir()
    (export / "labels/a.txt").write_text("0 0.5 0.5 0.5 0.5\n0 0.5 0.5\nx 0.5 0.5 0.5 0.5\n")
    (export / "a.yaml").write_text("path: .\ntrain: images\nnames: {0: person}\n")
    options = {"format": "labelformat:yolov8", "task": "object-detection", "input_split": "train"}
    found = convert(export / "a.yaml", on_error="skip", **options)
    assert {name: len(given) for name, given in found.items()} == {"a.png": 1, "b.png": 0, "c.png": 0}
    report = convert.report
    assert {error.code: error.count for error in report.errors} == {"labelformat-skipped": 2}
    assert {warning.code: warning.count for warning in report.warnings} == {"label-file-missing": 2}
    assert (report.found_objects, report.lost_objects) == (3, 2)


def test_objects_that_labelformat_does_not_read_are_counted(export: Path, convert: Any) -> None:
    formats.KittiObjectDetectionOutput(output_folder=export / "labels").save(detections())
    line = (export / "labels/a.txt").read_text().splitlines()[0]
    (export / "labels/not an image.txt").write_text(f"{line}\n{line}\n")
    convert(export / "labels", format="labelformat:kitti", category_names="person,car", on_error="skip")
    report = convert.report
    ((_, text),) = report.errors[0].examples
    assert (report.errors[0].code, text) == (
        "labelformat-count",
        "the files list 5 objects, and labelformat reads 3 of them",
    )
    assert (report.found_objects, report.lost_objects) == (5, 2)


def test_maskpair_reads_one_class_only(export: Path, fails: Any) -> None:
    options = {"image_glob": "*.png", "mask_glob": "*.png", "category_names": "crack,defect"}
    found = fails(export, format="labelformat:maskpair", task="instance-segmentation", **options)
    assert "name only one" in found["ambiguous"][0][1]


def test_names_of_yolo_that_are_text_are_an_error(export: Path, fails: Any) -> None:
    (export / "labels").mkdir()
    (export / "a.yaml").write_text("path: .\ntrain: images\nnames: person\n")
    options = {"format": "labelformat:yolov8", "task": "object-detection", "input_split": "train"}
    assert "a list or mapping of names" in fails(export / "a.yaml", **options)["broken-annotation"][0][1]
