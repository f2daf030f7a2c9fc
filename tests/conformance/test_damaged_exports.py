"""Every fixture, damaged at random: whatever happens to a file, it is an error with a place, never a traceback."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import labelferry

EXPORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "coco": ("coco", "instances.json", {}),
    "coco keypoints": ("coco", "person_keypoints.json", {}),
    "coco panoptic": ("coco", "panoptic.json", {}),
    "coco results": ("coco", "results_segm.json", {"dataset": "instances.json"}),
    "yolo": ("yolo", "data.yaml", {}),
    "yolo segmentation": ("yolo/segmentation", "data.yaml", {}),
    "yolo pose": ("yolo/pose", "data.yaml", {}),
    "yolo darknet": ("yolo/darknet", "obj.data", {}),
    "voc boxes": ("voc/devkit", ".", {"task": "object-detection"}),
    "voc masks": ("voc/devkit", ".", {}),
    "voc labelmap": ("voc/cvat", ".", {}),
    "masks": ("masks/colour", "masks", {"labels": "label_colors.txt", "images": "images"}),
    "masks instances": ("masks/instance", "instances", {"labels": "names.txt", "class_masks": "classes"}),
    "masks binary": ("masks/binary", "objects", {"pattern": "{image}/{class}_{n}", "images": "images"}),
    "csv": ("csv", "probabilities.csv", {}),
    "imagefolder": ("imagefolder", "flat", {}),
    "cvat": ("cvat/images", "annotations.xml", {}),
    "cvat masks": ("cvat/images", "annotations.xml", {"task": "instance-segmentation"}),
    "cvat tracks": ("cvat", "keyframes/annotations.xml", {"task": "object-detection", "videos": "videos"}),
    "cvat skeletons": ("cvat", "video/annotations.xml", {}),
    "mot": ("mot", "train", {}),
    "mot frames": ("mot", "train", {"videos": "videos"}),
    "mot results": ("mot", "results", {"videos": "videos"}),
    "youtubevis": ("youtubevis", "instances.json", {}),
    "youtubevis frames": ("youtubevis", "instances.json", {"task": "object-detection", "videos": "videos"}),
    "yolo frames": ("yolo/video", "data.yaml", {"videos": "videos"}),
}
FILES = ("dataset", "labels", "images", "class_masks", "videos")


def damage(content: bytes, dice: random.Random) -> bytes:
    at, other = dice.randrange(len(content) + 1), dice.randrange(len(content) + 1)
    return dice.choice(
        [
            lambda: content[:at],
            lambda: content[:at] + dice.randbytes(3) + content[at + 3 :],
            lambda: content[:at] + b"\0" + content[at:],
            lambda: content[: min(at, other)] + content[max(at, other) :],
            lambda: content.replace(
                b"1", dice.choice([b"-1", b"1e999", b"NaN", b'"', b"99999999999999999999", b"\xff"])
            ),
            lambda: content[:at] + dice.choice([b"<", b"{", b"[", b",", b"\n", b":", b"&a;", b"*x"]) + content[at:],
            lambda: b"",
        ]
    )()


@pytest.mark.parametrize("name", EXPORTS)
def test_a_damaged_export_never_ends_in_a_traceback(name: str, fixtures: Path, tmp_path: Path) -> None:
    folder, path, options = EXPORTS[name]
    dice = random.Random(name)
    for attempt in range(40):
        export = tmp_path / f"export_{attempt}"
        shutil.copytree(fixtures / folder, export)
        victim = dice.choice(sorted(p for p in export.rglob("*") if p.is_file()))
        victim.write_bytes(damage(victim.read_bytes(), dice))
        arguments = {key: str(export / value) if key in FILES else value for key, value in options.items()}
        for key in ("dataset", "labels", "images"):
            if key in arguments:
                arguments[key] = Path(arguments[key])
        try:
            report = labelferry.convert(
                export / path, tmp_path / "out", format=name.split()[0], overwrite=True, **arguments
            )
            findings = report.errors
        except labelferry.ConversionError as error:
            findings = error.report.errors
        except labelferry.LabelferryError:
            continue
        for finding in findings:
            assert finding.code != "adapter-failed", (victim, finding.examples)
            assert all(where and message for where, message in finding.examples)


@pytest.mark.parametrize("task", ["object-detection", "instance-segmentation", "keypoint-detection"])
def test_a_damaged_datasource_never_ends_in_a_traceback(task: str, fixtures: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    labelferry.convert(fixtures / "cvat/images/annotations.xml", source, format="cvat", task=task, task_name="t")
    dice = random.Random(task)
    for attempt in range(40):
        export = tmp_path / f"export_{attempt}"
        shutil.copytree(source, export)
        victim = dice.choice(sorted(p for p in export.rglob("*") if p.is_file()))
        victim.write_bytes(damage(victim.read_bytes(), dice))
        try:
            report = labelferry.convert(export, tmp_path / "out", format="lightly", overwrite=True)
            findings = report.errors
        except labelferry.ConversionError as error:
            findings = error.report.errors
        except labelferry.LabelferryError:
            continue
        for finding in findings:
            assert finding.code != "adapter-failed", (victim, finding.examples)
