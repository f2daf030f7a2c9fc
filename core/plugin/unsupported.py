"""What labelferry cannot read: files that are broken, packed or of no text, and well-known formats without an adapter.

Each is recognised in the first bytes of a file, and comes with what to do: the nearest format that the tool can export.
"""

from __future__ import annotations

import codecs
import csv
import mmap
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from labelferry.plugin.probe import HEAD, Probe

_FILES = 40
"""Files that are looked at."""

_ORDER = ("format", "broken", "packed", "binary", "empty")
"""Kinds of what cannot be read, the most telling one first."""

_ALIKE = 3
"""Files of one folder with the same extension that are looked at."""


class Unsupported(NamedTuple):
    """A file that labelferry cannot read.

    Attributes:
        path: of the file; or of the folder, if it is empty.
        what: the format, or what is wrong with it.
        advice: what to do.
        kind: `format`, a format without an adapter; `broken`, not what its name says; `packed`, an archive; `binary`, a
            file that is no text; `empty`, a folder without files.
    """

    path: Path
    what: str
    advice: str
    kind: Literal["format", "broken", "packed", "binary", "empty"] = "format"

    def describe(self) -> str:
        """File, what it is, and what to do, in one line."""
        return f"{self.path}: it looks like {self.what}: {self.advice}"


def advice_on(name: str) -> str:
    """What to do about a format that is not supported, by its name as people write it; empty if it is not known."""
    wanted = _letters(name)
    return next((advice for known, advice in ADVICE.items() if _letters(known) == wanted), "")


def find_unsupported(probe: Probe) -> list[Unsupported]:
    """What of a path is not supported: the file, or of a folder the first file of each kind.

    Args:
        probe: of the path; it limits how much is looked at.
    """
    if not probe.is_dir:
        found = recognise(probe, probe.path)
        return [] if found is None else [found]
    files, folders, whole = probe.listing(probe.path)
    if not files and not folders and whole:
        return [Unsupported(probe.path, "an empty folder", "name the folder or file of the labels", "empty")]
    kinds: dict[str, Unsupported] = {}
    for path in _sample(probe):
        found = recognise(probe, path)
        if found is not None and not (
            found.what == _EMPTY and path.suffix.lower() == ".txt"
        ):  # an image without labels
            kinds.setdefault(found.what.partition(" at byte ")[0], found)
    return sorted(kinds.values(), key=lambda one: _ORDER.index(one.kind))


def recognise(probe: Probe, path: Path) -> Unsupported | None:
    """What a file is, if it cannot be read.

    Args:
        probe: that the file is looked at with.
        path: of the file.
    """
    if not path.is_file():
        return None
    head = probe.head(path)
    if found := _unreadable(path, head):
        return found
    if fault := _fault(probe, path, head):
        return Unsupported(path, fault, "make or download it again", "broken")
    name = other_format(path, head)
    return Unsupported(path, name, ADVICE[name]) if name else None


_EMPTY = "an empty file"

_PACKED = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
)
_BINARY = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"%PDF-", "a PDF"),
)
_BY_NAME = {
    ".npz": "a NumPy archive",
    ".pkl": "a Python pickle",
    ".pickle": "a Python pickle",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".xlsx": "a spreadsheet",
}


def _unreadable(path: Path, head: bytes) -> Unsupported | None:
    """A file that is no text, or another text than its name says."""
    suffix = path.suffix.lower()
    if not head:
        return Unsupported(path, _EMPTY, "make or download it again", "broken")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        text = "a git-LFS pointer in place of the file"
        return Unsupported(path, text, "run 'git lfs pull' in its repository", "broken")
    if binary := _BY_NAME.get(suffix) or _starting_like(head, _BINARY):
        text = "export the labels as COCO or YOLO with the program that has written it"
        return Unsupported(path, binary, text, "binary")
    if packed := _starting_like(head, _PACKED) or ("a tar archive" if head[257:262] == b"ustar" else ""):
        return Unsupported(path, packed, "unpack it, and name the folder or file of the labels", "packed")
    if re.match(rb"\s*<(!doctype html|html\b)", head, re.IGNORECASE):
        text = "a page was saved in place of the file: download the file itself"
        return Unsupported(path, "a web page (HTML)", text, "broken")
    if suffix in _TEXTS and (head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in head[:4]):
        return Unsupported(path, "text in UTF-16", "save it as UTF-8", "broken")
    return None


def _starting_like(head: bytes, kinds: tuple[tuple[bytes, str], ...]) -> str:
    return next((name for start, name in kinds if head.startswith(start)), "")


def _fault(probe: Probe, path: Path, head: bytes) -> str:
    """What is wrong with a file of text; empty if nothing is."""
    suffix = path.suffix.lower()
    if suffix not in _TEXTS:
        return ""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head[:HEAD])
    except UnicodeDecodeError as error:
        return f"text that is not UTF-8 at byte {error.start}"
    return _json_fault(probe, path, head) if suffix == ".json" else ""


def _json_fault(probe: Probe, path: Path, head: bytes) -> str:
    """Why a file is not JSON, with the byte; of a large file only whether its end is missing."""
    import msgspec

    size = path.stat().st_size
    if probe.is_small(path):
        try:
            msgspec.json.decode(path.read_bytes().removeprefix(codecs.BOM_UTF8), type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            if "truncated" in str(error):
                return f"truncated JSON, which ends at byte {size}"
            place = re.search(r"\(byte (\d+)\)", str(error))
            bom = 3 if head.startswith(codecs.BOM_UTF8) else 0
            return f"invalid JSON at byte {int(place[1]) + bom}" if place else "invalid JSON"
        return ""
    return "" if head.rstrip()[-1:] in b"]}" else f"truncated JSON, which ends at byte {size}"


_TEXTS = frozenset(
    (".json", ".jsonl", ".ndjson", ".odgt", ".manifest", ".csv", ".tsv", ".xml", ".txt", ".yaml", ".yml")
)
_OTHERS = frozenset(
    ".zip .gz .tgz .tar .bz2 .xz .7z .rar .zst .parquet .arrow .h5 .hdf5 .npy .npz .mat .db .sqlite .pdf .pkl .pickle "
    ".pt .pth .xlsx .tfrecord .tfrecords .record .geojson".split()
)


def _sample(probe: Probe) -> Iterator[Path]:
    """Files of a folder, and of the folders in it, that may hold labels."""
    counts: dict[tuple[str, str], int] = {}
    names, _ = probe.files(probe.path, frozenset((*_TEXTS, *_OTHERS)), depth=2)
    names += [name for name in probe.listing(probe.path)[0] if _SHARD.search(name)]
    left = _FILES
    for name in names:
        kind = os.path.split(name)[0], os.path.splitext(name)[1].lower()
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= _ALIKE and left:
            left -= 1
            yield probe.path / name


_SHARD = re.compile(r"\.(tfrecords?|records?)(-\d+-of-\d+)?$", re.IGNORECASE)

_DATUMARO = "convert it with Datumaro: datum convert -if {} -i DIR -f coco -o OUT"
_FIFTYONE = "export it with FiftyOne as fiftyone.types.COCODetectionDataset"

ADVICE = {
    "BDD100K": "convert it to COCO with python -m bdd100k.label.to_coco, or with python -m scalabel.label.to_coco",
    "Cityscapes polygons": "convert the PNGs beside it, gtFine_labelIds or gtFine_instanceIds, with --from masks",
    "COCO captions": "captions are not supported; the boxes and masks of COCO are in instances_*.json",
    "COCO image info": "it has no labels: name the file of the annotations, or results with --dataset",
    "COCO without boxes": "labels of whole images are read from a CSV of file and class (--from csv), one class each",
    "CreateML": "export the project as COCO or YOLO from the tool that has made it (Roboflow, RectLabel)",
    "CrowdHuman": "convert it to COCO, with a box for each of gtboxes",
    "Datumaro": _DATUMARO.format("datumaro") + "; or export 'CVAT for images' from CVAT",
    "dlib XML": "convert it to Pascal VOC or COCO",
    "DOTA": "convert it with Ultralytics' convert_dota_to_yolo_obb, then use --from yolo --obb",
    "Encord": "export it as COCO",
    "FiftyOne": _FIFTYONE,
    "GeoJSON": "export the labels as COCO, in pixels of the images",
    "ICDAR": _DATUMARO.format("icdar_text_localization"),
    "Kaggle run lengths": "convert them to masks, one PNG for each image (--from masks), or to COCO",
    "Keras YOLO list": "convert it to COCO or YOLO",
    "Labelbox": "export it as NDJSON, and use --from labelformat:labelbox",
    "LabelMe": "convert it to COCO or Pascal VOC with LabelMe's own labelme2coco.py or labelme2voc.py",
    "LabelMe XML": "import it into CVAT as LabelMe 3.0, and export 'CVAT for images'",
    "Label Studio": "export it from Label Studio as COCO or YOLO",
    "MMDetection": "convert it to COCO",
    "MOTS": _DATUMARO.format("mots_png") + ", or use the PNGs of the instances with --from masks",
    "Open Images": _FIFTYONE + "; or " + _DATUMARO.format("open_images"),
    "Roboflow inference": "export the dataset as COCO or YOLO, or write results with open_task in Python",
    "SA-1B": "its masks have no classes: convert them with open_task in Python",
    "SageMaker Ground Truth": "convert the manifest to COCO",
    "SuperAnnotate": "export it as COCO",
    "Supervisely": "export it from Supervisely as COCO, YOLO or Pascal VOC",
    "a CSV of boxes": "export the labels as COCO or YOLO: a CSV is read as classes of whole images only",
    "TFRecord": "export the same dataset as COCO or YOLO",
    "UA-DETRAC": "convert it to COCO or MOTChallenge",
    "Ultralytics JSON": "it names no images: let the model write its labels with save_txt=True, and use --from yolo",
    "V7 Darwin": "export it from V7 as COCO",
    "Vertex AI": "export the dataset as COCO or YOLO",
    "VIA": "in VIA 2, use Annotation > Export Annotations (COCO format)",
    "VisDrone": "Ultralytics' VisDrone.yaml converts it to YOLO; or convert it to COCO",
    "WIDER FACE": _DATUMARO.format("wider_face"),
}
"""By the names of formats that are not supported, what to do about them."""

_JSON_KEYS: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = tuple(
    (name, frozenset(keys.split()), frozenset(others.split()))
    for name, keys, others in (
        ("LabelMe", "shapes imagePath", ""),
        ("LabelMe", "shapes shape_type", ""),
        ("Label Studio", "from_name to_name", ""),
        ("Label Studio", "rectanglelabels", ""),
        ("Label Studio", "polygonlabels", ""),
        ("Label Studio", "brushlabels", ""),
        ("Label Studio", "keypointlabels", ""),
        ("Label Studio", "data annotations predictions", "images"),
        ("VIA", "_via_img_metadata", ""),
        ("VIA", "_via_settings", ""),
        ("VIA", "shape_attributes region_attributes", ""),
        ("VIA", "filename regions file_attributes", ""),
        ("VIA", "project config attribute metadata view", ""),
        ("Supervisely", "classTitle geometryType", ""),
        ("Supervisely", "classes tags projectType", ""),
        ("Supervisely", "description tags size objects", ""),
        ("Supervisely", "classes tags title shape color", ""),
        ("V7 Darwin", "schema_ref annotations", "images"),
        ("V7 Darwin", "item slots annotations", "images"),
        ("V7 Darwin", "dataset image annotations bounding_box", "images"),
        ("BDD100K", "name box2d", ""),
        ("BDD100K", "name poly2d", ""),
        ("BDD100K", "weather scene timeofday", ""),
        ("CreateML", "annotations label coordinates", ""),
        ("CreateML", "annotation label coordinates", ""),
        ("Datumaro", "dm_format_version", ""),
        ("Datumaro", "categories items labels", "images"),
        ("SA-1B", "predicted_iou stability_score", ""),
        ("Cityscapes polygons", "imgHeight imgWidth objects", ""),
        ("FiftyOne", "samples filepath", ""),
        ("SageMaker Ground Truth", "source-ref", ""),
        ("Vertex AI", "imageGcsUri", ""),
        ("CrowdHuman", "ID gtboxes", ""),
        ("SuperAnnotate", "metadata instances className", ""),
        ("SuperAnnotate", "metadata instances comments", ""),
        ("Encord", "data_units label_hash", ""),
        ("Labelbox", "data_row projects", ""),
        ("Labelbox", "Labeled#Data Label", ""),
        ("MMDetection", "metainfo data_list", ""),
        ("Ultralytics JSON", "name class confidence box", ""),
        ("Roboflow inference", "predictions class confidence image", ""),
        ("GeoJSON", "features geometry", ""),
        ("COCO captions", "images annotations caption", "bbox segmentation segments_info keypoints"),
        ("COCO without boxes", "annotations image_id category_id", "bbox segmentation segments_info keypoints videos"),
        ("COCO without boxes", "images categories labels", "annotations bbox videos"),
        ("COCO image info", "images file_name", "annotations image_id bbox labels label"),
    )
)
"""Names of formats in JSON, keys that all occur in a sample of them, and keys that do not."""

_COLUMNS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (name, frozenset(columns.split()))
    for name, columns in (
        ("VIA", "region_shape_attributes"),
        ("Open Images", "imageid labelname"),
        ("Open Images", "labelname displayname"),
        ("Kaggle run lengths", "encodedpixels"),
        ("a CSV of boxes", "xmin ymin"),
        ("a CSV of boxes", "x_min y_min"),
        ("a CSV of boxes", "x1 y1"),
        ("a CSV of boxes", "x0 y0"),
        ("a CSV of boxes", "x y width height"),
        ("a CSV of boxes", "x y w h"),
        ("a CSV of boxes", "left top"),
        ("a CSV of boxes", "bbox"),
        ("a CSV of boxes", "bbox_x bbox_y"),
    )
)
"""Names of formats in CSV, and columns that they have, in lower case."""

_NUMBER = r"-?\d+(?:\.\d+)?"
_LINES = (
    ("DOTA", re.compile(rf"(imagesource:|({_NUMBER} +){{8}}[A-Za-z][\w-]* +[012]$)")),
    ("ICDAR", re.compile(rf"{_NUMBER}(, *{_NUMBER}){{7}}, *(?! |{_NUMBER} *(,|$)).")),
    ("ICDAR", re.compile(r'\d+,? +\d+,? +\d+,? +\d+,? +".*"$')),
    ("VisDrone", re.compile(r"\d+,\d+,\d+,\d+,[01],(\d|1[01]),[01],[012],?$")),
    ("VisDrone", re.compile(r"\d+,\d+,\d+,\d+,\d+,\d+,[01],(\d|1[01]),[01],[012],?$")),
    ("MOTS", re.compile(r"\d+ \d+ \d+ \d+ \d+ (?![\d.]+$)\S+$")),
    ("Keras YOLO list", re.compile(r"\S+\.(jpe?g|png|bmp)( \d+,\d+,\d+,\d+,\d+)+$", re.IGNORECASE)),
)
"""Names of formats in text, and what most of their lines are like."""

_WIDER_FACE = re.compile(r"\S.*\.(jpe?g|png)\n\d+\n-?\d+( -?\d+){9} *(\n|$)", re.IGNORECASE)
_BOX_ROW = re.compile(
    r"\S.*\.(jpe?g|png|bmp|tiff?),(\d*,\d*,\d*,\d*,[^,\d][^,]*|[^,\d][^,]*(,[\d.]+){4}.*)$", re.IGNORECASE
)


def other_format(path: Path, head: bytes) -> str:
    """The name of a format that is not supported; empty if none is recognised.

    Args:
        path: of a file.
        head: its beginning and end, as a probe gives them.
    """
    suffix = path.suffix.lower()
    if _SHARD.search(path.name):
        return "TFRecord"
    if suffix in (".json", ".jsonl", ".ndjson", ".odgt", ".manifest", ".geojson"):
        return _json_format(path, head)
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    if suffix == ".xml":
        if re.search(r"<annotation\b", text) and "<polygon>" in text and "<pt>" in text:
            return "LabelMe XML"
        if "<dataset>" in text and "<image file=" in text:
            return "dlib XML"
        return "UA-DETRAC" if "<sequence " in text and "<target_list>" in text else ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()[:20] if line.strip()]
    if suffix in (".csv", ".tsv"):
        return _csv_format(lines)
    if suffix == ".txt" and lines:
        if _WIDER_FACE.match("\n".join(lines)):
            return "WIDER FACE"
        for name, line in _LINES:
            if 2 * sum(map(bool, map(line.match, lines))) >= len(
                lines
            ):  # DOTA has a head, ICDAR texts that are numbers
                return name
    return ""


def _json_format(path: Path, head: bytes) -> str:
    keys = {key.decode("utf-8", "replace").replace(" ", "#") for key in re.findall(rb'"([^"\\\n]{1,40})"\s*:', head)}
    is_labelbox = "data_row" in keys and path.suffix.lower() == ".ndjson"  # as it is supported
    for name, wanted, unwanted in _JSON_KEYS:
        if wanted <= keys and not unwanted & keys and not is_labelbox and not _has_key(path, head, unwanted):
            return name
    return ""


def _has_key(path: Path, head: bytes, keys: Collection[str]) -> bool:
    """Whether one of these keys is in the part of a file that has not been looked at."""
    if not keys or path.stat().st_size <= len(head):
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(f'"{key}"'.encode()) >= 0 for key in keys)


def _csv_format(lines: list[str]) -> str:
    if not lines:
        return ""
    separator = max(",;\t", key=lines[0].count)
    header: set[str] = set()
    with suppress(csv.Error):
        header = {name.strip().lower() for name in next(csv.reader(lines[:1], delimiter=separator), ())}
    for name, columns in _COLUMNS:
        if columns <= header:
            return name
    if lines[0].startswith(("TRAIN,gs://", "TEST,gs://", "VALIDATE,gs://", "UNASSIGNED,gs://", "VALIDATION,gs://")):
        return "Vertex AI"
    return "a CSV of boxes" if all(map(_BOX_ROW.match, lines[:5])) else ""


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
