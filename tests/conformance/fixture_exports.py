"""Every export of the fixtures, with the options that it is converted with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import labelferry

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
PATHS = ("dataset", "labels", "images", "class_masks", "videos", "masks", "masks_dir", "class_id_to_name")
"""Options that name something inside the export."""


class FixtureExport(NamedTuple):
    """An export of the fixtures.

    Attributes:
        format: that reads it.
        folder: of the fixtures, which is copied as a whole.
        path: of the export in that folder.
        options: of the conversion; those in `PATHS` are relative to the folder.
        made_by: of a datasource: the export that it is made of.
        written: files that are added to the folder: text by name.
    """

    format: str
    folder: str
    path: str
    options: dict[str, Any]
    made_by: str | None = None
    written: dict[str, str] = {}  # noqa: RUF012

    def copy(self, to: Path) -> tuple[Path, dict[str, Any]]:
        """Copy the export into a folder that does not exist; its path there, and the options."""
        if self.made_by is not None:
            source, options = EXPORTS[self.made_by].copy(to.with_name(f"{to.name}_source"))
            labelferry.convert(source, to, task_name="t", **options)
            shutil.rmtree(to.with_name(f"{to.name}_source"))
        else:
            shutil.copytree(FIXTURES / self.folder, to)
        for name, text in self.written.items():
            (to / name).parent.mkdir(exist_ok=True)
            (to / name).write_text(text, encoding="utf-8")
        options = {key: to / value if key in PATHS else value for key, value in self.options.items()}
        if "class_masks" in options:  # a folder or a suffix
            options["class_masks"] = str(options["class_masks"])
        return to / self.path, {"format": self.format, **options}


_BOXES = {"task": "object-detection"}
_MASKS = {"task": "instance-segmentation"}
_SEMANTIC = {"task": "semantic-segmentation"}
_CLASSES = {"task": "classification", "on_error": "skip"}  # of an image without a tag
_CITYSCAPES = {"images": "leftImg8bit", "suffix": "_gtFine_instanceIds"}
_KITTI = "car 0.00 0 0.00 8.00 6.00 28.00 16.00 0 0 0 0 0 0 0\nperson 0.00 0 0.00 1.00 2.00 3.00 9.00 0 0 0 0 0 0 0\n"
# YOLO's lines say by their number of columns what they are: one line alone could be of another kind.
_YOLO_BOXES = "0 0.375 0.5 0.25 0.5\n1 0.75 0.625 0.5 0.25\n"
_POSES = "0 0.375 0.5 0.25 0.5 0.375 0.25 2 0.25 0.5 1 0 0 0\n0 0.5 0.5 0.25 0.5 0.5 0.25 2 0 0 0 0.5 0.75 2\n"
_FLAT_POSES = "0 0.375 0.5 0.25 0.5 0.375 0.25 0.25 0.5 0 0\n0 0.5 0.5 0.25 0.5 0.5 0.25 0.5 0.75 0.5 0.5\n"
_OBB = "0 0.5 0.25 0.6875 0.5 0.5 0.75 0.3125 0.5\n0 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n"
_DETECTIONS = "1,-1,4,12,8,24,0.75,-1,-1,-1\n2,-1,8,12,8,24,0.5,-1,-1,-1\n"
_YOLO = "path: .\ntrain: images\nnames:\n  0: person\n  1: car\n"
_COCO = """{
 "images": [
  {"id": 1, "file_name": "a.png", "width": 64, "height": 48},
  {"id": 2, "file_name": "b.png", "width": 64, "height": 48}
 ],
 "categories": [{"id": 3, "name": "person"}, {"id": 7, "name": "car"}],
 "annotations": [
  {"id": 1, "image_id": 1, "category_id": 3, "bbox": [8, 6, 20, 10], "iscrowd": 0,
   "segmentation": [[8, 6, 28, 6, 28, 16]]},
  {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 1], "iscrowd": 1,
   "segmentation": {"size": [48, 64], "counts": [0, 1, 47, 1, 3023]}}
 ]
}
"""
_YOUTUBEVIS = """{
 "videos": [{"id": 7, "width": 64, "height": 48, "length": 2, "file_names": ["v/0.jpg", "v/1.jpg"]}],
 "categories": [{"id": 1, "name": "person"}, {"id": 4, "name": "car"}],
 "annotations": [
  {"id": 1, "video_id": 7, "category_id": 1, "iscrowd": 0, "bboxes": [[8, 10, 12, 16], [12, 10, 12, 16]]}
 ]
}
"""
_LABELBOX = (
    '{"data_row": {"id": "1", "global_key": "a.png", "external_id": "a.png"}, "media_attributes": {"width": 64, '
    '"height": 48}, "projects": {"p": {"labels": [{"annotations": {"objects": [{"annotation_kind": "ImageBoundingBox", '
    '"name": "car", "bounding_box": {"left": 8, "top": 6, "width": 20, "height": 10}}]}}]}}}\n'
)

EXPORTS: dict[str, FixtureExport] = {
    "coco": FixtureExport("coco", "coco", "instances.json", {}),
    "coco boxes": FixtureExport("coco", "coco", "instances.json", _BOXES),
    "coco semantic": FixtureExport("coco", "coco", "instances.json", _SEMANTIC),
    "coco roboflow": FixtureExport("coco", "coco/roboflow", "_annotations.coco.json", {}),
    "coco splits": FixtureExport("coco", "coco/splits", ".", {}),
    "coco years": FixtureExport("coco", "coco/years", ".", {"image_folders": "{split}"}),
    "coco without sizes": FixtureExport("coco", "coco/without_sizes", "annotations.json", {"images": "images"}),
    "coco keypoints": FixtureExport("coco", "coco", "person_keypoints.json", {}),
    "coco panoptic": FixtureExport("coco", "coco", "panoptic.json", {}),
    "coco years of keypoints": FixtureExport("coco", "coco/years", ".", {"task": "keypoint-detection"}),
    "coco results of boxes": FixtureExport("coco", "coco", "results_bbox.json", {"dataset": "instances.json"}),
    "coco results": FixtureExport("coco", "coco", "results_segm.json", {"dataset": "instances.json"}),
    "coco results of keypoints": FixtureExport(
        "coco", "coco", "results_keypoints.json", {"dataset": "person_keypoints.json"}
    ),
    "csv": FixtureExport("csv", "csv", "classes.csv", {}),
    "csv probabilities": FixtureExport("csv", "csv", "probabilities.csv", {}),
    "csv scores": FixtureExport("csv", "csv", "semicolons.csv", {"labels": "names.txt"}),
    "cvat": FixtureExport("cvat", "cvat/images", "annotations.xml", {}),
    "cvat boxes": FixtureExport("cvat", "cvat/images", "annotations.xml", _BOXES),
    "cvat masks": FixtureExport("cvat", "cvat/images", "annotations.xml", _MASKS),
    "cvat tags": FixtureExport("cvat", "cvat/images", "annotations.xml", _CLASSES),
    "cvat tracks": FixtureExport("cvat", "cvat", "keyframes/annotations.xml", {**_BOXES, "videos": "videos"}),
    "cvat tracks as images": FixtureExport("cvat", "cvat", "keyframes/annotations.xml", _MASKS),
    "cvat skeletons": FixtureExport("cvat", "cvat", "video/annotations.xml", {}),
    "cvat project": FixtureExport("cvat", "cvat/project", "annotations.xml", {**_BOXES, "videos": "videos"}),
    "imagefolder": FixtureExport(
        "imagefolder", "imagefolder", "flat", {"labels": "names.txt"}, written={"names.txt": "dog\ncat\n"}
    ),
    "labelformat coco": FixtureExport("labelformat:coco", "csv", "a.json", _BOXES, written={"a.json": _COCO}),
    "labelformat coco masks": FixtureExport("labelformat:coco", "csv", "a.json", _MASKS, written={"a.json": _COCO}),
    "labelformat yolo": FixtureExport(
        "labelformat:yolov8", "yolo/plain", "a.yaml", {**_BOXES, "input_split": "train"}, written={"a.yaml": _YOLO}
    ),
    "labelformat voc": FixtureExport(
        "labelformat:pascalvoc", "voc/devkit", "Annotations", {**_BOXES, "category_names": "person,car"}
    ),
    "labelformat kitti": FixtureExport(
        "labelformat:kitti", "yolo/plain", "kitti", {"category_names": "person,car"}, written={"kitti/a.txt": _KITTI}
    ),
    "labelformat labelbox": FixtureExport(
        "labelformat:labelbox", "yolo/plain", "a.json", {"category_names": "person,car"}, written={"a.json": _LABELBOX}
    ),
    "labelformat youtubevis": FixtureExport(
        "labelformat:youtubevis", "csv", "a.json", _BOXES, written={"a.json": _YOUTUBEVIS}
    ),
    "lightly boxes": FixtureExport("lightly", "", "", {}, made_by="cvat boxes"),
    "lightly masks": FixtureExport("lightly", "", "", {}, made_by="coco"),
    "lightly semantic": FixtureExport("lightly", "", "", {}, made_by="coco semantic"),
    "lightly keypoints": FixtureExport("lightly", "", "", {}, made_by="cvat"),
    "lightly classes": FixtureExport("lightly", "", "", {}, made_by="csv probabilities"),
    "lightly frames": FixtureExport("lightly", "", "", {}, made_by="yolo video"),
    "masks": FixtureExport(
        "masks", "masks/index", "data", {"suffix": "_mask", "images": "data", "labels": "classes.yaml"}
    ),
    "masks palette": FixtureExport("masks", "masks/palette", "masks", {"labels": "labelmap.txt"}),
    **{
        f"masks colours in {name}": FixtureExport(
            "masks", "masks/colour", "masks", {"labels": name, "images": "images"}
        )
        for name in ("label_colors.txt", "colours.csv", "colours.json", "colours.yaml")
    },
    "masks instances": FixtureExport(
        "masks", "masks/instance", "instances", {"labels": "names.txt", "class_masks": "classes"}
    ),
    "masks classes of instances": FixtureExport(
        "masks", "masks/instance", "instances", {"labels": "names.txt", "class_masks": "classes", **_SEMANTIC}
    ),
    "masks cityscapes": FixtureExport("masks", "masks/cityscapes", "gtFine", _CITYSCAPES),
    "masks binary": FixtureExport(
        "masks", "masks/binary", "objects", {"pattern": "{image}/{class}_{n}", "images": "images"}
    ),
    "mot": FixtureExport("mot", "mot", "train", {}),
    "mot frames": FixtureExport("mot", "mot", "train", {"videos": "videos"}),
    "mot detections": FixtureExport("mot", "mot", "test", {}),
    "mot detections beside ground truth": FixtureExport(
        "mot", "mot", "train", {"file": "det"}, written={"train/WALK-01/det/det.txt": _DETECTIONS}
    ),
    "mot of cvat": FixtureExport("mot", "mot", "cvat", {}),
    "mot results": FixtureExport("mot", "mot", "results", {"videos": "videos"}),
    "voc boxes": FixtureExport("voc", "voc/devkit", ".", _BOXES),
    "voc masks": FixtureExport("voc", "voc/devkit", ".", {}),
    "voc split": FixtureExport("voc", "voc/devkit", ".", {**_BOXES, "split": "car_trainval"}),
    "voc split of boxes": FixtureExport("voc", "voc/devkit", ".", {**_BOXES, "split": "train"}),
    "voc split of masks": FixtureExport("voc", "voc/devkit", ".", {"split": "train"}),
    "voc labelmap": FixtureExport("voc", "voc/cvat", ".", {}),
    "voc labelmap and split": FixtureExport("voc", "voc/cvat", ".", {"split": "default"}),
    "voc flat": FixtureExport("voc", "voc/flat", ".", {}),
    "voc without images": FixtureExport("voc", "voc/xml_only", ".", {}),
    "yolo": FixtureExport("yolo", "yolo", "data.yaml", {}),
    "yolo segmentation": FixtureExport("yolo", "yolo/segmentation", "data.yaml", {}),
    "yolo pose": FixtureExport("yolo", "yolo/pose", "data.yaml", {}, written={"labels/a.txt": _POSES}),
    "yolo flat pose": FixtureExport("yolo", "yolo/pose", "flat.yaml", {}, written={"flat/labels/a.txt": _FLAT_POSES}),
    "yolo oriented": FixtureExport("yolo", "yolo/obb", "data.yaml", {"obb": True}, written={"labels/a.txt": _OBB}),
    "yolo polygons of four": FixtureExport("yolo", "yolo/obb", "data.yaml", {}, written={"labels/a.txt": _OBB}),
    "yolo darknet": FixtureExport("yolo", "yolo/darknet", "obj.data", {}),
    "yolo lists": FixtureExport("yolo", "yolo/lists", "data.yaml", {}),
    "yolo plain": FixtureExport("yolo", "yolo/plain", ".", {}, written={"labels/a.txt": _YOLO_BOXES}),
    "yolo roboflow": FixtureExport("yolo", "yolo/roboflow", "data.yaml", {}),
    "yolo scores": FixtureExport("yolo", "yolo/predictions", "data.yaml", {"labels": "runs/boxes/labels"}),
    "yolo scores of masks": FixtureExport(
        "yolo",
        "yolo/predictions",
        "data.yaml",
        {"labels": "runs/masks/labels"},
        written={"runs/masks/labels/b.txt": "1 0.5 0.5 0.75 0.5 0.5 0.75 0.5\n"},
    ),
    "yolo scores of poses": FixtureExport(
        "yolo",
        "yolo/predictions",
        "pose.yaml",
        {"labels": "runs/poses/labels"},
        written={"runs/poses/labels/b.txt": "0 0.5 0.5 0.25 0.5 0.5 0.25 0.5 0.75\n"},
    ),
    "yolo video": FixtureExport("yolo", "yolo/video", "data.yaml", {"labels": "labels", "videos": "videos"}),
    "youtubevis": FixtureExport("youtubevis", "youtubevis", "instances.json", {}),
    "youtubevis frames": FixtureExport("youtubevis", "youtubevis", "instances.json", {**_BOXES, "videos": "videos"}),
    "youtubevis results": FixtureExport("youtubevis", "youtubevis", "results.json", {"dataset": "instances.json"}),
}
