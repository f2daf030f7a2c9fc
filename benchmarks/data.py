"""The data of the benchmarks: real COCO annotations, tiled, where some lie beside the repository, else made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import av
import numpy as np
from PIL import Image

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "coco_mini_instances.json"
IMAGES = 5088
TRAIN2017_IMAGES = 118_287

Dataset = dict[str, Any]


def one_tile() -> Dataset:
    """A small COCO dataset: real annotations, or polygons of COCO's usual sizes and numbers."""
    if REAL.exists():
        dataset: Dataset = json.loads(REAL.read_text())
        return dataset
    random = np.random.default_rng(0)
    images = [
        {"id": i + 1, "file_name": f"{i + 1:012}.jpg", "width": 640, "height": 480, "license": 1} for i in range(79)
    ]
    annotations = []
    for i in range(667):
        angles = np.sort(random.random(random.integers(8, 60))) * 2 * np.pi
        radius = random.uniform(5, 120) * random.uniform(0.7, 1.3, len(angles))
        centre = random.random(2) * (500, 340) + 70
        points = np.clip(centre + np.stack((np.cos(angles), np.sin(angles)), 1) * radius[:, None], 0, (640, 480))
        low, high = points.min(0), points.max(0)
        annotations.append(
            {
                "id": i + 1,
                "image_id": int(random.integers(1, 80)),
                "category_id": int(random.integers(1, 81)),
                "iscrowd": 0,
                "area": float(radius.mean() ** 2 * 3),
                "bbox": np.round([*low, *(high - low)], 2).tolist(),
                "segmentation": [np.round(points, 2).ravel().tolist()],
            }
        )
    categories = [{"id": i + 1, "name": f"class {i + 1}", "supercategory": "thing"} for i in range(80)]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def write_coco(path: Path, images: int) -> tuple[int, int]:
    """A COCO file of about this many images; how many images and objects it has in the end."""
    tile = one_tile()
    copies = max(1, round(images / len(tile["images"])))
    step = 1 + max(image["id"] for image in tile["images"])
    image_texts = [json.dumps(image | {"id": "@", "file_name": "#"}) for image in tile["images"]]
    annotation_texts = [json.dumps(a | {"id": "@", "image_id": "#"}) for a in tile["annotations"]]
    head = {key: tile[key] for key in ("info", "licenses", "categories") if key in tile}
    with open(path, "w") as file:
        file.write(json.dumps(head)[:-1] + ', "images": [')
        for copy in range(copies):
            for image, text in zip(tile["images"], image_texts, strict=True):
                file.write(", " * (file.tell() > 0 and not (copy == 0 and image is tile["images"][0])))
                name = f'"{copy:04}_{image["file_name"]}"'
                file.write(text.replace('"#"', name).replace('"@"', str(image["id"] + copy * step)))
        file.write('], "annotations": [')
        number = 0
        for copy in range(copies):
            for annotation, text in zip(tile["annotations"], annotation_texts, strict=True):
                number += 1
                file.write(", " if number > 1 else "")
                file.write(text.replace('"#"', str(annotation["image_id"] + copy * step)).replace('"@"', str(number)))
        file.write("]}")
    return copies * len(tile["images"]), number


def write_yolo(folder: Path, coco: Path) -> None:
    """The dataset as YOLO detection: data.yaml, images and a text file each."""
    dataset = json.loads(coco.read_text())
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    places = {category["id"]: place for place, category in enumerate(dataset["categories"])}
    names = "".join(f"  {place}: {json.dumps(c['name'])}\n" for place, c in enumerate(dataset["categories"]))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nnames:\n{names}")
    lines = _by_image(dataset)
    blank: dict[tuple[int, int], Path] = {}
    for image in dataset["images"]:
        width, height = image["width"], image["height"]
        path = folder / "images" / image["file_name"]
        if (width, height) in blank:
            shutil.copyfile(blank[width, height], path)
        else:
            Image.new("RGB", (width, height)).save(path)
            blank[width, height] = path
        text = ""
        for annotation in lines[image["id"]]:
            x, y, w, h = annotation["bbox"]
            place = places[annotation["category_id"]]
            text += f"{place} {(x + w / 2) / width:.6f} {(y + h / 2) / height:.6f} {w / width:.6f} {h / height:.6f}\n"
        (folder / "labels" / image["file_name"]).with_suffix(".txt").write_text(text)


def write_voc(folder: Path, coco: Path) -> list[str]:
    """The dataset as Pascal VOC annotations; the names of its classes."""
    dataset = json.loads(coco.read_text())
    annotations = folder / "Annotations"
    annotations.mkdir(parents=True)
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    lines = _by_image(dataset)
    for image in dataset["images"]:
        text = (
            f"<annotation>\n\t<folder>VOC</folder>\n\t<filename>{image['file_name']}</filename>\n\t<size>\n"
            f"\t\t<width>{image['width']}</width>\n\t\t<height>{image['height']}</height>\n\t\t<depth>3</depth>\n"
            "\t</size>\n\t<segmented>0</segmented>\n"
        )
        for annotation in lines[image["id"]]:
            x, y, w, h = annotation["bbox"]
            text += (
                f"\t<object>\n\t\t<name>{escape(names[annotation['category_id']])}</name>\n\t\t<pose>Unspecified</pose>\n"
                "\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
                f"\t\t\t<xmin>{x}</xmin>\n\t\t\t<ymin>{y}</ymin>\n"
                f"\t\t\t<xmax>{x + w}</xmax>\n\t\t\t<ymax>{y + h}</ymax>\n"
                "\t\t</bndbox>\n\t</object>\n"
            )
        (annotations / image["file_name"]).with_suffix(".xml").write_text(text + "</annotation>\n")
    return list(names.values())


def write_label_maps(folder: Path, count: int = 100, classes: int = 19) -> None:
    """Label maps of 1024 x 2048 pixels as of street scenes: smooth regions of all classes, some small, some large."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    best = np.full((1024, 2048), -np.inf, np.float32)
    scene = np.zeros((1024, 2048), np.uint8)
    for label in range(classes):
        noise = random.normal(size=(10, 20)).astype(np.float32)
        smooth = np.asarray(Image.fromarray(noise).resize((2048, 1024), Image.Resampling.BICUBIC))
        scene[smooth > best] = label
        best = np.maximum(best, smooth)
    for number in range(count):
        shifted = np.roll(scene, (int(random.integers(1024)), int(random.integers(2048))), (0, 1))
        Image.fromarray(shifted).save(folder / f"scene_{number:03}.png")
    (folder.parent / "names.txt").write_text("".join(f"class {label}\n" for label in range(classes)))


def _by_image(dataset: Dataset) -> dict[int, list[dict[str, Any]]]:
    annotations: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in dataset["images"]}
    for annotation in dataset["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    return annotations


def write_video(path: Path, frames: int) -> None:
    """A moving pattern of 640 x 360 pixels as H.264 with B-frames."""
    y, x = np.mgrid[:360, :640]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i in range(frames):
            pixels = np.stack(((x + 3 * i) % 256, (y + i) % 256, (x * y // 64 + i) % 256), 2).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
