"""One small dataset, exported by other people's tools in every format that they write: all give the same boxes and
masks, to the precision that each format stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import labelformat.formats as labelformat
import numpy as np
import pytest
from labelformat.formats.labelformat import LabelformatObjectDetectionInput
from labelformat.model.bounding_box import BoundingBox
from labelformat.model.category import Category
from labelformat.model.image import Image
from labelformat.model.object_detection import ImageObjectDetection, SingleObjectDetection
from PIL import Image as Picture
from pycocotools import mask as pycoco

import labelferry
from labelferry.plugin.detect import detect

pytestmark = pytest.mark.filterwarnings("ignore")

SIZE = (64, 48)
CLASSES = ["person", "car"]
BOXES: dict[str, list[tuple[int, tuple[float, float, float, float]]]] = {
    "a.jpg": [(1, (8, 6, 20, 10)), (0, (40, 12, 16, 32))],
    "b.jpg": [(0, (3, 3, 5, 7))],
}
"""Class, and x, y, width, height."""

Boxes = dict[str, list[tuple[str, list[float]]]]
Export = Callable[[Path], tuple[Path, dict[str, Any]]]


def expected() -> Boxes:
    return {
        Path(name).stem: sorted((CLASSES[label], list(map(float, box))) for label, box in rows)
        for name, rows in BOXES.items()
    }


def pixels(box: tuple[float, float, float, float]) -> Any:
    x, y, width, height = map(int, box)
    mask = np.zeros(SIZE[::-1], bool)
    mask[y : y + height, x : x + width] = True
    return mask


def with_images(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in BOXES:
        Picture.new("RGB", SIZE).save(folder / name)
    return folder


def of_labelformat() -> LabelformatObjectDetectionInput:
    categories = [Category(i, name) for i, name in enumerate(CLASSES)]
    images = [Image(i, name, *SIZE) for i, name in enumerate(BOXES)]
    labels = [
        ImageObjectDetection(
            image,
            [
                SingleObjectDetection(categories[label], BoundingBox(x, y, x + w, y + h))
                for label, (x, y, w, h) in BOXES[image.filename]
            ],
        )
        for image in images
    ]
    return LabelformatObjectDetectionInput(categories, images, labels)


def labelformat_coco(folder: Path) -> tuple[Path, dict[str, Any]]:
    labelformat.COCOObjectDetectionOutput(output_file=folder / "a.json").save(of_labelformat())
    return folder / "a.json", {}


def labelformat_yolo(folder: Path) -> tuple[Path, dict[str, Any]]:
    with_images(folder / "images")
    labelformat.YOLOv8ObjectDetectionOutput(output_file=folder / "data.yaml", output_split="train").save(
        of_labelformat()
    )
    return folder / "data.yaml", {}


def labelformat_voc(folder: Path) -> tuple[Path, dict[str, Any]]:
    labelformat.PascalVOCObjectDetectionOutput(output_folder=folder / "voc").save(of_labelformat())
    return folder / "voc", {}


def labelformat_cvat(folder: Path) -> tuple[Path, dict[str, Any]]:
    labelformat.CVATObjectDetectionOutput(output_folder=folder / "cvat").save(of_labelformat())
    return folder / "cvat", {}


def labelformat_lightly(folder: Path) -> tuple[Path, dict[str, Any]]:
    labelformat.LightlyObjectDetectionOutput(output_folder=folder / "task").save(of_labelformat())
    return folder / "task", {}


def of_supervision(folder: Path) -> Any:
    supervision = pytest.importorskip("supervision")
    with_images(folder / "images")
    paths = {name: str(folder / "images" / name) for name in BOXES}
    annotations = {
        paths[name]: supervision.Detections(
            xyxy=np.array([(x, y, x + w, y + h) for _, (x, y, w, h) in rows], float),
            class_id=np.array([label for label, _ in rows]),
            mask=np.array([pixels(box) for _, box in rows]),
        )
        for name, rows in BOXES.items()
    }
    return supervision.DetectionDataset(classes=CLASSES, images=list(paths.values()), annotations=annotations)


def supervision_coco(folder: Path) -> tuple[Path, dict[str, Any]]:
    of_supervision(folder).as_coco(annotations_path=str(folder / "a.json"))
    return folder / "a.json", {}


def supervision_yolo(folder: Path) -> tuple[Path, dict[str, Any]]:
    dataset = of_supervision(folder)
    for path in dataset.annotations:
        dataset.annotations[path].mask = None
    dataset.as_yolo(
        images_directory_path=str(folder / "yolo/train/images"),
        annotations_directory_path=str(folder / "yolo/train/labels"),
        data_yaml_path=str(folder / "yolo/data.yaml"),
    )
    text = (folder / "yolo/data.yaml").read_text()
    (folder / "yolo/data.yaml").write_text(f"train: train/images\n{text}")  # which supervision leaves to its user
    return folder / "yolo/data.yaml", {}


def supervision_voc(folder: Path) -> tuple[Path, dict[str, Any]]:
    dataset = of_supervision(folder)
    for path in dataset.annotations:
        dataset.annotations[path].mask = None
    dataset.as_pascal_voc(annotations_directory_path=str(folder / "voc"))
    return folder / "voc", {"one_based": True}  # supervision counts from 1, as VOC


def of_datumaro(folder: Path, name: str) -> Path:
    datumaro = pytest.importorskip("datumaro")
    items = [
        datumaro.DatasetItem(
            Path(file).stem,
            subset="train",
            media=datumaro.Image.from_numpy(np.zeros((*SIZE[::-1], 3), np.uint8)),
            annotations=[datumaro.Bbox(*box, label=label, id=i, group=i) for i, (label, box) in enumerate(rows, 1)],
        )
        for file, rows in BOXES.items()
    ]
    out = folder / name
    datumaro.Dataset.from_iterable(items, categories=CLASSES, media_type=datumaro.Image).export(
        str(out), name, save_media=True
    )
    return out


def datumaro_coco(folder: Path) -> tuple[Path, dict[str, Any]]:
    return of_datumaro(folder, "coco_instances") / "annotations/instances_train.json", {}


def datumaro_yolo(folder: Path) -> tuple[Path, dict[str, Any]]:
    return of_datumaro(folder, "yolo") / "obj.data", {}


def datumaro_voc(folder: Path) -> tuple[Path, dict[str, Any]]:
    return of_datumaro(folder, "voc_detection"), {"task": "object-detection"}


def datumaro_cvat(folder: Path) -> tuple[Path, dict[str, Any]]:
    return of_datumaro(folder, "cvat") / "train.xml", {}


def datumaro_mot(folder: Path) -> tuple[Path, dict[str, Any]]:
    return of_datumaro(folder, "mot_seq_gt"), {}


EXPORTS: list[tuple[Export, float]] = [
    (labelformat_coco, 0),
    (labelformat_yolo, 1e-4),
    (labelformat_voc, 0),
    (labelformat_cvat, 0),
    (labelformat_lightly, 0),
    (supervision_coco, 0),
    (supervision_yolo, 1e-3),
    (supervision_voc, 0),
    (datumaro_coco, 0.01),
    (datumaro_yolo, 1e-3),
    (datumaro_voc, 0),
    (datumaro_cvat, 0.01),
    (datumaro_mot, 1e-3),
]
"""An export, and how far its numbers may be off: the digits that the tool writes, over the image's size."""


@pytest.mark.parametrize(("export", "precision"), EXPORTS, ids=[export.__name__ for export, _ in EXPORTS])
def test_every_export_gives_the_same_boxes(export: Export, precision: float, tmp_path: Path, convert: Any) -> None:
    (tmp_path / "export").mkdir()
    source, options = export(tmp_path / "export")
    formats = {detection.format for detection in detect(source)}
    assert len(formats) == 1, formats
    found = convert(source, format="auto", **{"task": "object-detection", **options})
    names = [category["name"] for category in convert.schema["categories"]]
    boxes = {
        Path(name).stem: sorted((names[p["category_id"]], p["bbox"]) for p in given) for name, given in found.items()
    }
    if export is datumaro_mot:  # frames have numbers in place of names
        boxes = dict(zip(expected(), boxes.values(), strict=True))
    wanted = expected()
    assert boxes.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert [label for label, _ in boxes[name]] == [label for label, _ in rows]
        for (_, box), (_, given) in zip(rows, boxes[name], strict=True):
            assert given == pytest.approx(box, abs=precision), name


def test_masks_of_supervision_and_pycocotools(tmp_path: Path, convert: Any) -> None:
    """Run lengths that pycocotools writes, and those of supervision's COCO, of the same pixels."""
    dataset = of_supervision(tmp_path)
    dataset.as_coco(annotations_path=str(tmp_path / "a.json"), approximation_percentage=0.0)
    first = convert(tmp_path / "a.json", format="coco", task="instance-segmentation")
    content = json.loads((tmp_path / "a.json").read_text())
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        coded = pycoco.encode(np.asfortranarray(pixels((x, y, width, height)).astype(np.uint8)))
        annotation["segmentation"] = {"size": coded["size"], "counts": coded["counts"].decode()}
    (tmp_path / "b.json").write_text(json.dumps(content))
    second = convert(tmp_path / "b.json", format="coco", task="instance-segmentation")
    for name, rows in BOXES.items():
        for (_, box), p in zip(rows, second[name], strict=True):
            np.testing.assert_array_equal(labelferry.decode(p["segmentation"], SIZE[::-1]), pixels(box))
        for mine, polygon in zip(second[name], first[name], strict=True):  # supervision's outlines run along the pixels
            one, other = (labelferry.decode(p["segmentation"], SIZE[::-1]) for p in (mine, polygon))
            assert (one & other).sum() / (one | other).sum() > 0.6
