"""What labelferry is measured against: labelformat, and the recipe of Lightly's documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np


def labelformat_coco(source: Path, folder: Path) -> None:
    from labelformat.formats import COCOObjectDetectionInput, LightlyObjectDetectionOutput

    LightlyObjectDetectionOutput(folder / "coco_od").save(COCOObjectDetectionInput(source))


def labelformat_yolo(source: Path, folder: Path) -> None:
    from labelformat.formats import LightlyObjectDetectionOutput, YOLOv8ObjectDetectionInput

    LightlyObjectDetectionOutput(folder / "yolo_od").save(YOLOv8ObjectDetectionInput(source, "train"))


def labelformat_voc(source: Path, folder: Path, names: list[str]) -> None:
    from labelformat.formats import LightlyObjectDetectionOutput, PascalVOCObjectDetectionInput

    LightlyObjectDetectionOutput(folder / "voc_od").save(PascalVOCObjectDetectionInput(source, ",".join(names)))


def documented_encode(binary_mask: np.ndarray[Any, Any]) -> list[int]:
    """The function of Lightly's documentation."""
    flat = np.concatenate(([-1], np.ravel(binary_mask), [-1]))
    borders = np.nonzero(np.diff(flat))[0]
    rle = np.diff(borders)
    if flat[1]:
        rle = np.concatenate(([0], rle))
    counts: list[int] = rle.tolist()
    return counts


def documented_recipe(source: Path, folder: Path) -> None:
    """COCO masks as the documentation has it: pycocotools' annToMask, its own encode, json."""
    import contextlib
    import io
    import warnings

    from pycocotools.coco import COCO

    warnings.simplefilter("ignore", DeprecationWarning)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(source))
    folder = folder / "recipe"
    folder.mkdir(parents=True)
    for image_id, image in coco.imgs.items():
        predictions = [
            {
                "category_id": annotation["category_id"],
                "bbox": annotation["bbox"],
                "score": 1.0,
                "segmentation": documented_encode(coco.annToMask(annotation)),
            }
            for annotation in coco.imgToAnns[image_id]
        ]
        path = (folder / image["file_name"]).with_suffix(".json")
        path.write_text(json.dumps({"file_name": image["file_name"], "predictions": predictions}))


def decode_all(folder: Path) -> None:
    """What decoding alone takes: every PNG of a folder by Pillow."""
    from PIL import Image

    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.load()


def decode_video(path: Path) -> int:
    """The documentation's loop over a video's frames, which are then counted."""
    images = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            frame.to_image()
            images += 1
    return images
