"""COCO JSON as typed records: one pass over the file; record by record only if one of them is broken."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.reading.text import json_fault, read_bytes_without_bom

NAMED = 100
"""Faults of one code that are named one by one; the rest are counted."""

NONE = Raw(b"null")
NO_CATEGORY = -(2**53)
Int = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Id = int | float | str

_NO_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')


class CategoryRecord(Struct, gc=False):
    """A category, with the keypoints of its objects."""

    id: Int
    name: str
    keypoints: list[str] | None = None
    skeleton: list[tuple[Int, Int]] | None = None


class ImageRecord(Struct, gc=False):
    """An image. CocoVID, TAO and BDD100K name the video and the frame that it is."""

    id: Id
    file_name: str
    width: float | None = None
    height: float | None = None
    video_id: Raw = NONE
    frame_index: Raw = NONE
    frame_id: Raw = NONE


class AnnotationRecord(Struct, gc=False):
    """An annotation; its masks and keypoints stay text until a worker needs them."""

    image_id: Id
    category_id: Int = NO_CATEGORY
    id: int | str | None = None
    bbox: tuple[float, float, float, float] | None = None
    score: float | None = None
    segmentation: Raw = NONE
    keypoints: Raw = NONE
    segments_info: Raw = NONE
    file_name: str | None = None


class _WithoutBox(AnnotationRecord, gc=False):
    """An annotation whose bbox is an empty list, which is how some tools write that there is none."""

    bbox: Annotated[list[float], Meta(max_length=0)] | None = None  # type: ignore[assignment]


class Dataset(Struct):
    """The lists of a file."""

    images: list[ImageRecord] | UnsetType = UNSET
    annotations: list[AnnotationRecord] | UnsetType = UNSET
    categories: list[CategoryRecord] | UnsetType = UNSET
    videos: Raw = NONE


class _Unchecked(Struct):
    """The same of a file in which a record is broken, to name it."""

    images: list[Raw] | UnsetType = UNSET
    annotations: list[Raw] | UnsetType = UNSET
    categories: list[CategoryRecord] | UnsetType = UNSET
    videos: Raw = NONE


_DATASET = msgspec.json.Decoder(Dataset)
_UNCHECKED = msgspec.json.Decoder(_Unchecked)
_RESULTS = msgspec.json.Decoder(list[AnnotationRecord])
_UNCHECKED_RESULTS = msgspec.json.Decoder(list[Raw])
_ONE_IMAGE = msgspec.json.Decoder(ImageRecord)
_ONE_ANNOTATION = msgspec.json.Decoder(AnnotationRecord)
_ONE_WITHOUT_BOX = msgspec.json.Decoder(_WithoutBox)


class Faults:
    """Errors of one code, of which all but the first NAMED are only counted.

    Args:
        findings: where they are added.
        code: of all of them.
        lost: objects that each of them loses.
    """

    def __init__(self, findings: list[Finding], code: str, lost: int = 0) -> None:
        self._findings = findings
        self._code = code
        self._lost = lost
        self._count = 0

    def add(self, where: str, text: str) -> None:
        """Add one error."""
        self._count += 1
        if self._count <= NAMED:
            self._findings.append(Finding.error(self._code, where, text, lost=self._lost))
            return
        rest = self._count - NAMED
        if rest == 1:
            self._place = len(self._findings)
            self._findings.append(Finding.error(self._code, where, text, lost=self._lost))
        else:
            first = self._findings[self._place]
            self._findings[self._place] = Finding.error(self._code, first.where, first.message, rest, rest * self._lost)


def parse(path: Path, findings: list[Finding]) -> tuple[Dataset, bool]:
    """A COCO file, and whether it is a bare list of results.

    NaN and Infinity, which Python writes though JSON has none, are read as null, so that what holds them can be named.

    Args:
        path: of the file.
        findings: where broken records are added.

    Raises:
        ExportError: it cannot be read, or is not JSON.
    """
    content = read_bytes_without_bom(path)
    is_list = content[:64].lstrip()[:1] == b"["
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects are made and none of them forms a cycle
    try:
        try:
            return _decode(content, is_list), is_list
        except msgspec.ValidationError:
            return _decode_one_by_one(content, is_list, path, findings), is_list
        except msgspec.DecodeError:
            if b"NaN" not in content and b"Infinity" not in content:
                raise
            content = _NO_JSON.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", content)
            return _decode_one_by_one(content, is_list, path, findings), is_list
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise json_fault(error, path, content) from None
    finally:
        if collecting:
            gc.enable()


def parse_export(path: Path, dataset: Path | None, findings: list[Finding]) -> tuple[Dataset, Dataset, bool]:
    """The file with the annotations, the one with the images and categories, and whether the first is a results file.

    Raises:
        ExportError: a file cannot be read, or has not what it is needed for.
    """
    content, is_results = parse(path, findings)
    base = content
    if dataset is not None:
        base, _ = parse(dataset, findings)
    elif is_results:
        text = "a results file, a list without images and categories; name the COCO file that has them: --dataset"
        raise ExportError(text, where=str(path), code="results-without-dataset")
    if content.annotations is UNSET:
        raise ExportError("no 'annotations' in it; is it a COCO file?", where=str(path), code="not-coco")
    if base.images is UNSET or base.categories is UNSET:
        text = "it needs both 'images' and 'categories'; is it a COCO dataset file?"
        raise ExportError(text, where=str(dataset or path), code="not-coco")
    return content, base, is_results


def _decode(content: bytes, is_list: bool) -> Dataset:
    return Dataset(annotations=_RESULTS.decode(content)) if is_list else _DATASET.decode(content)


def _decode_one_by_one(content: bytes, is_list: bool, path: Path, findings: list[Finding]) -> Dataset:
    """A file in which images or annotations are broken: these are named, the others read."""
    raw = _Unchecked(annotations=_UNCHECKED_RESULTS.decode(content)) if is_list else _UNCHECKED.decode(content)
    images: list[ImageRecord] | UnsetType = UNSET
    annotations: list[AnnotationRecord] | UnsetType = UNSET
    if raw.images is not UNSET:
        images, faults = [], Faults(findings, "broken-image")
        for index, one in enumerate(raw.images):
            try:
                images.append(_ONE_IMAGE.decode(one))
            except msgspec.MsgspecError as error:
                faults.add(f"{path}, image {index}{_id_of(one)}", str(error))
    if raw.annotations is not UNSET:
        annotations, faults = [], Faults(findings, "broken-annotation", lost=1)
        for index, one in enumerate(raw.annotations):
            try:
                annotations.append(_ONE_ANNOTATION.decode(one))
                continue
            except msgspec.MsgspecError as error:
                fault = str(error)
            try:
                without = _ONE_WITHOUT_BOX.decode(one)
                without.bbox = None
                annotations.append(without)
            except msgspec.MsgspecError:
                faults.add(f"{path}, annotation {index}{_id_of(one)}", fault)
    return Dataset(images, annotations, raw.categories, raw.videos)


def _id_of(raw: Raw) -> str:
    """The id of a broken record, for messages, if it has one."""
    given = msgspec.json.decode(raw)
    return f" (id {given['id']})" if isinstance(given, dict) and "id" in given else ""
