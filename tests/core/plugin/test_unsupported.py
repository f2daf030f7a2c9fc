"""What cannot be read is recognised, by name, in a sample, with what to do; what can be read is not taken for it."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labelferry
from labelferry.plugin.detect import detect
from labelferry.plugin.probe import HEAD, Probe
from labelferry.plugin.unsupported import ADVICE, advice_on, recognise
from tests.conftest import ROOT
from tests.core.conftest import Run

_BOX = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0}
_IMAGE = {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
_CATEGORY = {"id": 1, "name": "car"}

JSON = {
    # https://github.com/wkentaro/labelme/blob/main/examples/tutorial/apc2016_obj3.json
    "LabelMe": {
        "version": "5.0.1",
        "flags": {},
        "shapes": [
            {"label": "car", "points": [[1, 2], [3, 4]], "group_id": None, "shape_type": "rectangle", "flags": {}}
        ],
        "imagePath": "a.jpg",
        "imageData": "/9j/" * 60_000,
        "imageHeight": 30,
        "imageWidth": 40,
    },
    # https://labelstud.io/guide/task_format
    "Label Studio": [
        {
            "id": 1,
            "data": {"image": "https://example.com/1.jpg"},
            "annotations": [
                {
                    "id": 1001,
                    "result": [
                        {
                            "from_name": "tag",
                            "to_name": "img",
                            "type": "rectanglelabels",
                            "value": {**_BOX, "rotation": 0, "rectanglelabels": ["car"]},
                        }
                    ],
                }
            ],
            "predictions": [],
        }
    ],
    "Label Studio (minimal)": [
        {"image": "/data/upload/1/a.jpg", "id": 1, "label": [{**_BOX, "rotation": 0, "rectanglelabels": ["car"]}]}
    ],
    # https://www.robots.ox.ac.uk/~vgg/software/via/
    "VIA": {
        "a.jpg123": {
            "filename": "a.jpg",
            "size": 123,
            "regions": [
                {
                    "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
                    "region_attributes": {"class": "car"},
                }
            ],
            "file_attributes": {},
        }
    },
    "VIA (project)": {"_via_settings": {}, "_via_img_metadata": {}, "_via_attributes": {}},
    # https://docs.supervisely.com/customization-and-integration/00_ann_format_navi
    "Supervisely": {
        "description": "",
        "tags": [],
        "size": {"height": 30, "width": 40},
        "objects": [
            {
                "id": 1,
                "classId": 2,
                "classTitle": "car",
                "geometryType": "rectangle",
                "points": {"exterior": [[0, 0], [4, 4]], "interior": []},
            }
        ],
    },
    "Supervisely (meta.json)": {
        "classes": [{"title": "car", "shape": "rectangle", "color": "#FF0000"}],
        "tags": [],
        "projectType": "images",
    },
    # https://doc.bdd100k.com/format.html
    "BDD100K": [
        {
            "name": "b1c66a42-6f7d68ca.jpg",
            "attributes": {"weather": "clear", "scene": "city street", "timeofday": "daytime"},
            "timestamp": 10000,
            "labels": [{"id": "0", "category": "car", "box2d": {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}}],
        }
    ],
    # https://developer.apple.com/documentation/createml/building-an-object-detector-data-source
    "CreateML": [{"image": "a.jpg", "annotations": [{"label": "car", "coordinates": _BOX}]}],
    # https://openvinotoolkit.github.io/datumaro/latest/docs/data-formats/datumaro_format.html
    "Datumaro": {
        "info": {},
        "categories": {"label": {"labels": [{"name": "car", "parent": "", "attributes": []}], "attributes": []}},
        "items": [{"id": "a", "annotations": [{"id": 0, "type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4]}]}],
    },
    # https://docs.v7labs.com/reference/darwin-json
    "V7 Darwin": {
        "version": "2.0",
        "schema_ref": "https://darwin-public.s3.eu-west-1.amazonaws.com/darwin_json/2.0/schema.json",
        "item": {"name": "a.jpg", "path": "/", "slots": [{"type": "image", "slot_name": "0"}]},
        "annotations": [{"name": "car", "bounding_box": {"h": 1, "w": 2, "x": 3, "y": 4}}],
    },
    # https://github.com/facebookresearch/segment-anything#dataset
    "SA-1B": {
        "image": {"image_id": 1, "width": 40, "height": 30, "file_name": "sa_1.jpg"},
        "annotations": [
            {
                "bbox": [1, 2, 3, 4],
                "area": 12,
                "segmentation": {"size": [30, 40], "counts": "abc"},
                "predicted_iou": 0.9,
                "point_coords": [[1, 2]],
                "crop_box": [0, 0, 40, 30],
                "id": 1,
                "stability_score": 0.9,
            }
        ],
    },
    # https://cocodataset.org/#format-data
    "COCO captions": {"images": [_IMAGE], "annotations": [{"id": 1, "image_id": 1, "caption": "a car"}]},
    "COCO image info": {"info": {}, "licenses": [], "images": [_IMAGE], "categories": [_CATEGORY]},
    # https://github.com/visipedia/inat_comp/tree/master/2017#annotation-format
    "COCO without boxes": {
        "images": [_IMAGE],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
        "categories": [_CATEGORY],
    },
    "COCO without boxes (labels)": {"images": [{**_IMAGE, "labels": [1, 2]}], "categories": [_CATEGORY]},
    # https://github.com/mcordts/cityscapesScripts
    "Cityscapes polygons": {
        "imgHeight": 30,
        "imgWidth": 40,
        "objects": [{"label": "car", "polygon": [[1, 2], [3, 4], [5, 6]]}],
    },
    "FiftyOne": {"samples": [{"filepath": "a.jpg", "ground_truth": {"_cls": "Detections", "detections": []}}]},
    "SuperAnnotate": {
        "metadata": {"name": "a.jpg"},
        "instances": [{"type": "bbox", "className": "car"}],
        "comments": [],
    },
    "Encord": [{"label_hash": "x", "data_units": {}, "object_answers": {}}],
    "Labelbox": [{"data_row": {"id": "a"}, "projects": {}}],
    "MMDetection": {"metainfo": {"classes": ["car"]}, "data_list": [{"img_path": "a.jpg", "gt_label": [0]}]},
    "Ultralytics JSON": [
        {"name": "car", "class": 2, "confidence": 0.9, "box": {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}}
    ],
    "Roboflow inference": {
        "image": {"width": 40, "height": 30},
        "predictions": [{**_BOX, "class": "car", "confidence": 0.9, "class_id": 0}],
    },
    "GeoJSON": {"type": "FeatureCollection", "features": [{"geometry": {"type": "Polygon", "coordinates": []}}]},
}

TEXTS = {
    # https://captain-whu.github.io/DOTA/dataset.html
    "DOTA": (
        "labelTxt/a.txt",
        "imagesource:GoogleEarth\ngsd:0.146343590398\n"
        "2753 2408 2861 2385 2888 2468 2805 2502 plane 0\n3445 3391 3484 3409 3478 3422 3437 3402 large-vehicle 1\n",
    ),
    "DOTA (without its head)": ("labelTxt/a.txt", "2753.0 2408.0 2861.0 2385.0 2888.0 2468.0 2805.0 2502.0 plane 0\n"),
    # https://github.com/VisDrone/VisDrone2018-DET-toolkit
    "VisDrone": ("annotations/a.txt", "684,8,273,116,0,0,0,0\n406,119,265,70,1,4,0,1\n"),
    "VisDrone (videos)": ("annotations/v.txt", "1,0,593,43,174,190,0,0,0,0\n2,1,592,43,174,190,1,4,0,2\n"),
    # http://shuoyang1213.me/WIDERFACE/
    "WIDER FACE": (
        "wider_face_train_bbx_gt.txt",
        "0--Parade/0_Parade_marchingband_1_849.jpg\n1\n449 330 122 149 0 0 0 0 0 0 \n",
    ),
    # https://rrc.cvc.uab.es/?ch=4&com=tasks
    "ICDAR": (
        "gt_img_1.txt",
        "﻿377,117,463,117,465,130,378,130,Genaxis Theatre\n493,115,519,115,519,131,493,131,[06]\n",
    ),
    "ICDAR (2013)": ("gt_img_1.txt", '38, 43, 920, 215, "Tiredness"\n275, 264, 665, 450, "kills"\n'),
    # https://www.vision.rwth-aachen.de/page/mots
    "MOTS": ("0002.txt", "52 1005 1 375 1242 WSV:2d;1O10000O10000O1O100O100O1\n"),
    "Keras YOLO list": ("train.txt", "images/a.jpg 10,20,30,40,0 1,2,3,4,1\nimages/b.jpg 1,2,3,4,1\n"),
    # https://storage.googleapis.com/openimages/web/download_v7.html
    "Open Images": (
        "train-annotations-bbox.csv",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n000002b66c9c498e,xclick,/m/01g317,1,0,1,0,1,0\n",
    ),
    "VIA (CSV)": (
        "via.csv",
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        'a.jpg,1,"{}",1,0,"{""name"":""rect""}","{}"\n',
    ),
    "Kaggle run lengths": ("train.csv", "ImageId,EncodedPixels\na.jpg,1 3 10 5\n"),
    "a CSV of boxes": (
        "_annotations.csv",
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,40,30,car,1,2,3,4\n",
    ),
    "a CSV of boxes (without a head)": ("boxes.csv", "images/a.jpg,10,20,30,40,car\nimages/b.jpg,,,,,none\n"),
    "Vertex AI": ("import.csv", "TRAIN,gs://bucket/a.jpg,car,0.1,0.2,,,0.3,0.4,,\n"),
    # https://github.com/CSAILVision/LabelMeAnnotationTool
    "LabelMe XML": (
        "a.xml",
        "<annotation><filename>a.jpg</filename><object><name>car</name><polygon><pt><x>1</x><y>2</y></pt></polygon>"
        "</object></annotation>",
    ),
    "dlib XML": ("a.xml", "<?xml version='1.0'?><dataset><images><image file='a.jpg'></image></images></dataset>"),
    "UA-DETRAC": ("a.xml", '<sequence name="MVI_20011"><frame><target_list></target_list></frame></sequence>'),
    "SageMaker Ground Truth": ("output.manifest", '{"source-ref": "s3://b/a.jpg", "boxes": {"annotations": []}}\n'),
    "CrowdHuman": ("annotation_val.odgt", '{"ID": "273271", "gtboxes": [{"tag": "person", "fbox": [1, 2, 3, 4]}]}\n'),
    "TFRecord": ("train.tfrecord-00000-of-00010", "\x10\x00\x00"),
}


def test_every_format_has_a_sample_and_is_in_the_documentation() -> None:
    page = (ROOT / "docs/detection.md").read_text(encoding="utf-8")
    for name, advice in ADVICE.items():
        assert f"\n| {name} | {advice} |\n" in page
    assert {_name(key) for key in (*JSON, *TEXTS)} == set(ADVICE)


def _name(key: str) -> str:
    return key.partition(" (")[0]


@pytest.mark.parametrize("key", JSON)
@pytest.mark.parametrize("indent", [None, 2])
def test_well_known_formats_in_json(tmp_path: Path, run: Run, key: str, indent: int | None) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(JSON[key], indent=indent))
    _check_file(path, _name(key), run)


@pytest.mark.parametrize("key", TEXTS)
def test_well_known_formats_in_other_files(tmp_path: Path, run: Run, key: str) -> None:
    name, text = TEXTS[key]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8")
    _check_file(tmp_path / name, _name(key), run)


def _check_file(path: Path, name: str, run: Run) -> None:
    """The file and its folder are not taken for a format that is read; the name and the advice are printed."""
    for place in (path, path.parent):
        found = detect(place)
        assert list(found) == []
        assert [(one.path, one.what, one.kind) for one in found.unsupported] == [(path, name, "format")]
    done = run("detect", path)
    assert (done.returncode, done.stdout) == (1, "")
    advice = advice_on(name)
    assert len(advice) > 10
    assert f"it looks like {name}: {advice}" in done.stderr
    for format in ("auto", "coco", "yolo", "csv"):
        done = run("convert", "--from", format, path, path.parent / "out")
        assert (done.returncode in (1, 2), done.stdout) == (True, ""), format
        assert f"looks like {name}: {advice}" in done.stderr, format
    assert not (path.parent / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "what", "kind"),
    [
        ("a.json", b"", "an empty file", "broken"),
        (
            "a.json",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "a git-LFS pointer in place of the file",
            "broken",
        ),
        ("a.json", b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page (HTML)", "broken"),
        ("a.json", json.dumps({"images": []}).encode("utf-16"), "text in UTF-16", "broken"),
        ("a.csv", "file,class\n".encode("utf-16-le"), "text in UTF-16", "broken"),
        ("a.csv", b"file,class\nStra\xdfe.jpg,car\n", "text that is not UTF-8 at byte 15", "broken"),
        ("a.json", b'{"images": [{"file_name": "a.jpg"', "truncated JSON, which ends at byte 33", "broken"),
        ("a.json", b'\xef\xbb\xbf{"images": [}', "invalid JSON at byte 15", "broken"),
        ("a.json", b'{"images": [1 2]}', "invalid JSON at byte 14", "broken"),
        ("a.json.gz", gzip.compress(b"{}", mtime=0), "a gzip archive", "packed"),
        ("a.bin", b"BZh91AY&SY", "a bzip2 archive", "packed"),
        ("a.bin", b"7z\xbc\xaf\x27\x1c\x00", "a 7-Zip archive", "packed"),
        ("a.bin", b"\xfd7zXZ\x00\x00", "an xz archive", "packed"),
        ("a.bin", b"Rar!\x1a\x07\x00", "a RAR archive", "packed"),
        ("a.bin", b"\x28\xb5\x2f\xfd\x00", "a Zstandard archive", "packed"),
        ("a.tar", b"a".ljust(257, b"\x00") + b"ustar\x0000", "a tar archive", "packed"),
        ("a.parquet", b"PAR1\x15\x04", "a Parquet file", "binary"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file", "binary"),
        ("a.pkl", b"\x80\x04\x95", "a Python pickle", "binary"),
        ("a.pt", b"PK\x03\x04", "a PyTorch file", "binary"),
        ("a.xlsx", b"PK\x03\x04", "a spreadsheet", "binary"),
    ],
)
def test_files_that_are_broken_packed_or_no_text(
    tmp_path: Path, run: Run, name: str, content: bytes, what: str, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (found,) = detect(path).unsupported
    assert (found.what, found.kind) == (what, kind)
    done = run("detect", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"it looks like {what}: {found.advice}" in done.stderr
    done = run("convert", "--from", "coco", path, tmp_path / "out")
    assert done.returncode == 1
    assert f"it looks like {what}: {found.advice}" in done.stderr


def test_a_zip_and_an_array_are_told_apart(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("annotations/instances.json", "{}")
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    np.savez(tmp_path / "a.npz", boxes=np.zeros(3))
    np.save(tmp_path / "a.npy", np.zeros(3))
    found = {one.path.name: one.what for one in detect(tmp_path).unsupported}
    assert found == {"a.zip": "a ZIP archive", "a.npz": "a NumPy archive", "a.npy": "a NumPy array"}


def test_of_a_large_file_only_the_ends_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"info": "' + b"x" * 4 * HEAD + b'"')
    monkeypatch.setattr("labelferry.plugin.probe.SMALL", HEAD)
    (found,) = detect(path).unsupported
    assert found.what == f"truncated JSON, which ends at byte {4 * HEAD + 11}"
    path.write_bytes(b'{"info": "' + b"x" * 4 * HEAD + b'"}\n')
    assert detect(path).unsupported == []


def test_the_fixtures_are_not_taken_for_other_formats(fixtures: Path) -> None:
    probe = Probe(fixtures)
    for path in sorted(fixtures.rglob("*")):
        found = recognise(probe, path)
        is_empty = found is not None and path.stat().st_size == 0
        assert found is None or is_empty, path


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert list(detect(tmp_path)) == []
    assert list(detect(tmp_path / "a.json")) == []


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    assert [one.what for one in detect(tmp_path).unsupported] == ["an empty folder"]


def test_what_belongs_to_a_recognised_export_is_not_mentioned(fixtures: Path, copied: Path) -> None:
    """LabelMe's files beside the images of a YOLO export, an empty label file, and weights in a folder."""
    root = copied / "yolo"
    (root / "images/a.json").write_text(json.dumps(JSON["LabelMe"]))
    (root / "best.pt").write_bytes(b"PK\x03\x04")
    found = detect(root)
    assert ([one.format for one in found], found.unsupported, found.is_sure) == (["yolo"], [], True)


def test_a_broken_part_makes_a_guess_unsure(copied: Path, tmp_path: Path, run: Run) -> None:
    """A pointer beside an export may be its other half; an archive beside it is where it comes from."""
    folder = tmp_path / "export"
    folder.mkdir()
    (copied / "coco/instances.json").rename(folder / "b.json")
    (folder / "export.zip").write_bytes(b"PK\x03\x04")
    assert detect(folder).is_sure
    (folder / "a.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    found = detect(folder)
    assert [one.match.source for one in found] == [folder / "b.json"]
    assert not found.is_sure
    done = run("convert", "--from", "auto", folder, tmp_path / "out")
    assert done.returncode == 2
    assert "a git-LFS pointer" in done.stderr


def test_advice_by_the_name_of_a_format() -> None:
    assert advice_on("label_studio") == "export it from Label Studio as COCO or YOLO"
    assert advice_on("open images") == advice_on("OpenImages")
    assert advice_on("nothing") == ""


def test_photos_are_not_reported(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg")
    (tmp_path / "README.md").write_text("photos")
    assert detect(tmp_path).unsupported == []


def test_from_python(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(JSON["CreateML"]))
    (found,) = labelferry.detect(tmp_path).unsupported
    assert (found.what, found.kind) == ("CreateML", "format")
    with pytest.raises(labelferry.ExportError, match="it looks like CreateML: export the project as COCO or YOLO"):
        labelferry.convert(tmp_path / "a.json", tmp_path / "out", format="coco")
    with pytest.raises(labelferry.UsageError, match="it looks like CreateML"):
        labelferry.convert(tmp_path / "a.json", tmp_path / "out", format="auto")
