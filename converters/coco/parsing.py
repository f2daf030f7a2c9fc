"""COCO JSON as typed records: one pass over a file as it should be; record by record where one of them is not."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from labelferry.errors import ExportError, UsageError
from labelferry.findings import Finding
from labelferry.reading.keys import key_evidence
from labelferry.reading.text import json_fault, read_bytes_without_bom

NAMED = 100
"""Faults of one code that are named one by one; the rest are counted."""

NONE = Raw(b"null")
NO_CATEGORY = -(2**53)
LARGEST_ID = 2**53
Int = Annotated[int, Meta(ge=-LARGEST_ID, le=LARGEST_ID)]
Id = int | float | str
Box = tuple[float, float, float, float]

_NO_JSON = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')
_INTEGER = re.compile(r"(-?(?:0|[1-9]\d{0,18}))(?:\.0*)?")
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class CategoryRecord(Struct, gc=False, forbid_unknown_fields=True):
    """A category, with the keypoints of its objects; what follows them is not read."""

    id: Int
    name: str
    keypoints: list[str] | None = None
    skeleton: list[tuple[Int, Int]] | None = None
    supercategory: str | UnsetType | None = UNSET
    isthing: int | UnsetType = UNSET
    color: list[int] | UnsetType = UNSET


class ImageRecord(Struct, gc=False, forbid_unknown_fields=True):
    """An image. CocoVID, TAO and BDD100K name the video and the frame that it is; what follows is not read."""

    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None
    video_id: Raw = NONE
    frame_index: Raw = NONE
    frame_id: Raw = NONE
    license: int | str | UnsetType | None = UNSET
    coco_url: str | UnsetType | None = UNSET
    flickr_url: str | UnsetType | None = UNSET
    date_captured: str | int | UnsetType | None = UNSET


class AnnotationRecord(Struct, gc=False, forbid_unknown_fields=True):
    """An annotation; its masks and keypoints stay text until a worker needs them. What follows `iscrowd` is not
    read."""

    image_id: Id
    category_id: Int = NO_CATEGORY
    id: int | str | None = None
    bbox: Box | None = None
    score: float | UnsetType = UNSET
    segmentation: Raw = NONE
    keypoints: Raw = NONE
    segments_info: Raw = NONE
    file_name: str | None = None
    iscrowd: int | bool | None = None
    area: float | UnsetType | None = UNSET
    num_keypoints: int | UnsetType | None = UNSET
    ignore: int | bool | UnsetType | None = UNSET
    attributes: Raw | UnsetType = UNSET


class Dataset(Struct, forbid_unknown_fields=True):
    """The lists of a file; `info` and `licenses` are not read."""

    images: list[ImageRecord] | UnsetType = UNSET
    annotations: list[AnnotationRecord] | UnsetType = UNSET
    categories: list[CategoryRecord] | UnsetType = UNSET
    videos: Raw = NONE
    info: Raw | UnsetType = UNSET
    licenses: Raw | UnsetType = UNSET


_DATASET = msgspec.json.Decoder(Dataset)
_RESULTS = msgspec.json.Decoder(list[AnnotationRecord])
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_RAWS = msgspec.json.Decoder(list[Raw])
_BOX = msgspec.json.Decoder(Box | None)
_FLOAT = msgspec.json.Decoder(float)
_LABELS = msgspec.json.Decoder(list[str] | None)
_EDGES = msgspec.json.Decoder(list[tuple[Int, Int]] | None)

_IGNORED = {
    Dataset: ("type",),
    ImageRecord: ("extra", "not_exhaustive_category_ids", "neg_category_ids"),
    AnnotationRecord: ("video_id", "track_id", "instance_id", "object_id", "category_name"),
    CategoryRecord: ("synset", "synonyms", "def", "image_count", "instance_count", "frequency"),
}
"""Keys that other tools write and that hold nothing for Lightly, beside those of the records: no misspelt ones."""

_UNREAD = {
    Dataset: ("info", "licenses"),
    ImageRecord: ("license", "coco_url", "flickr_url", "date_captured"),
    AnnotationRecord: ("area", "num_keypoints", "ignore", "attributes"),
    CategoryRecord: ("supercategory", "isthing", "color"),
}
"""Fields of the records that are there to be counted."""

_READ = {kind: tuple(name for name in kind.__struct_fields__ if name not in unread) for kind, unread in _UNREAD.items()}

Record = TypeVar("Record", bound=Struct)


class Parsed(NamedTuple):
    """A file.

    Attributes:
        dataset: its lists.
        is_results: whether it is a bare list of results.
        unread: evidence (`labelferry.reading.keys`) of the keys that are not read.
        broken_images: ids of images that are listed and cannot be read.
        listed_images: how many entries the list of images has.
    """

    dataset: Dataset
    is_results: bool
    unread: Counter[str]
    broken_images: set[Id]
    listed_images: int


class Faults:
    """Errors of one code, of which all but the first NAMED are only counted.

    Args:
        findings: where they are added.
        code: of all of them.
        lost: objects that each of them loses.
        lost_images: images that each of them loses.
    """

    def __init__(self, findings: list[Finding], code: str, lost: int = 0, lost_images: int = 0) -> None:
        self._findings = findings
        self._code = code
        self._lost = lost
        self._lost_images = lost_images
        self._count = 0

    def add(self, where: str, text: str) -> None:
        """Add one error."""
        self._count += 1
        if self._count <= NAMED + 1:
            self._place = len(self._findings)
            self._findings.append(
                Finding.error(self._code, where, text, lost=self._lost, lost_images=self._lost_images)
            )
            return
        rest = self._count - NAMED
        first = self._findings[self._place]
        self._findings[self._place] = Finding.error(
            self._code, first.where, first.message, rest, rest * self._lost, lost_images=rest * self._lost_images
        )


def canonical(id: Id) -> int | str:
    """An id as it is compared: the integer that a number or a text stands for (1, 1.0, "1"), else the text."""
    if type(id) is int:
        return id
    match = _INTEGER.fullmatch(str(id))
    return int(match[1]) if match else str(id)


def parse(path: Path, findings: list[Finding]) -> Parsed:
    """A COCO file.

    NaN and Infinity, which Python writes though JSON has none, are read as null, so that what holds them can be named.

    Args:
        path: of the file.
        findings: where broken records are added.

    Raises:
        ExportError: it cannot be read, or is not JSON.
    """
    content = read_bytes_without_bom(path)
    is_list = content[:64].lstrip()[:1] == b"["
    try:
        try:
            return _parse(content, is_list, path, findings)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if b"NaN" not in content and b"Infinity" not in content:
                raise
            content = _NO_JSON.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", content)
            return _parse(content, is_list, path, findings)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise json_fault(error, path, content) from None


def parse_export(path: Path, dataset: Path | None, findings: list[Finding]) -> tuple[Parsed, Parsed]:
    """The file with the annotations, and the one with the images and categories, which may be the same.

    Raises:
        ExportError: a file cannot be read, or has not what it is needed for.
        UsageError: two files have images and categories.
    """
    content = parse(path, findings)
    base = content
    if dataset is not None:
        base = parse(dataset, findings)
        if content.dataset.images is not UNSET and content.dataset.categories is not UNSET:
            text = f"--dataset is for a file of results; {path} has images and categories of its own"
            raise UsageError(text)
    elif content.is_results:
        text = "a results file, a list without images and categories; name the COCO file that has them: --dataset"
        raise ExportError(text, where=str(path), code="results-without-dataset")
    if content.dataset.annotations is UNSET:
        text = f"no 'annotations' in it; is it a COCO file?{_misspelt(content, 'annotations')}"
        raise ExportError(text, where=str(path), code="not-coco")
    missing = [name for name in ("images", "categories") if getattr(base.dataset, name) is UNSET]
    if missing:
        text = f"it needs both 'images' and 'categories'; is it a COCO dataset file?{_misspelt(base, missing[0])}"
        raise ExportError(text, where=str(dataset or path), code="not-coco")
    return content, base


def _misspelt(parsed: Parsed, name: str) -> str:
    """The end of a message about a list that is missing: the key of the file that may be it."""
    near = [key.partition(":")[2].rpartition("=")[0] for key in parsed.unread if key.endswith(f"={name}")]
    return f" It has {near[0]!r}." if near else ""


def _parse(content: bytes, is_list: bool, path: Path, findings: list[Finding]) -> Parsed:
    unread: Counter[str] = Counter()
    broken: set[Id] = set()
    try:
        dataset = Dataset(annotations=_RESULTS.decode(content)) if is_list else _DATASET.decode(content)
    except msgspec.ValidationError:
        texts = {"annotations": Raw(content)} if is_list else _FIELDS.decode(content)
        annotations = _List(AnnotationRecord, _annotation, "annotation", path)
        images = _List(ImageRecord, _image, "image", path)
        dataset = Dataset(
            images.read(texts.get("images"), Faults(findings, "broken-image", lost_images=1), unread),
            annotations.read(texts.get("annotations"), Faults(findings, "broken-annotation", lost=1), unread),
            _List(CategoryRecord, _category, "category", path).read(texts.get("categories"), None, unread),
            **{name: texts[name] for name in ("videos", "info", "licenses") if name in texts},
        )
        broken, listed = images.broken, images.count
        _count_keys(Dataset, {tuple(texts): 1}, unread)
    else:
        listed = 0 if dataset.images is UNSET else len(dataset.images)
        unread += Counter({f"unread:{name}": 1 for name in _UNREAD[Dataset] if getattr(dataset, name) is not UNSET})
        for records in (dataset.images, dataset.annotations, dataset.categories):
            _count_unread(records, unread)
    return Parsed(dataset, is_list, unread, broken, listed)


def _count_unread(records: Sequence[Struct] | UnsetType, unread: Counter[str]) -> None:
    """Count the fields of records that are there to be counted."""
    if records is UNSET or not records:
        return
    for name in _UNREAD[type(records[0])]:
        count = [value is UNSET for value in map(attrgetter(name), records)].count(False)
        if count:
            unread[f"unread:{name}"] += count


def _count_keys(kind: type[Struct], shapes: Mapping[tuple[str, ...], int], unread: Counter[str]) -> None:
    """Count the keys that are not read of records.

    Args:
        kind: of the records.
        shapes: how many records have these keys.
        unread: where they are counted.
    """
    ignored = _UNREAD[kind] + _IGNORED[kind]
    for keys, count in shapes.items():
        given = set(keys)
        missing = tuple(name for name in _READ[kind] if name not in given)
        if kind is ImageRecord and "file_name" in missing:
            given.discard("coco_url")  # it is read then
        for key in given.difference(_READ[kind]):
            unread[key_evidence(key, missing, ignored)] += count


class _List(Generic[Record]):
    """Reads a list of records: at once if all are as they should be, else one by one.

    Args:
        kind: of the records.
        make: a record of its fields.
        what: a record is, for messages.
        path: of the file.

    Attributes:
        count: entries of the list.
        broken: ids of the records that cannot be read.
    """

    def __init__(self, kind: type[Record], make: Callable[[dict[str, Raw]], Record], what: str, path: Path) -> None:
        self._kind = kind
        self._make = make
        self._what = what
        self._path = path
        self.count = 0
        self.broken: set[Id] = set()

    def read(self, text: Raw | None, faults: Faults | None, unread: Counter[str]) -> list[Record] | UnsetType:
        """The records of a list.

        Args:
            text: JSON of the list; None: the file has none.
            faults: where broken records are added; None: a broken record is an error of the file.
            unread: where keys that are not read are counted.

        Raises:
            ExportError: a record is broken, and `faults` is None.
            msgspec.ValidationError: it is not a list.
        """
        if text is None:
            return UNSET
        try:
            records: list[Record] = msgspec.json.decode(text, type=list[self._kind])  # type: ignore[name-defined]
        except msgspec.ValidationError:
            records = self._one_by_one(_RAWS.decode(text), faults, unread)
        else:
            self.count = len(records)
            _count_unread(records, unread)
        return records

    def _one_by_one(self, raws: list[Raw], faults: Faults | None, unread: Counter[str]) -> list[Record]:
        records = []
        shapes: Counter[tuple[str, ...]] = Counter()
        self.count = len(raws)
        for index, raw in enumerate(raws):
            fields: dict[str, Raw] = {}
            try:
                fields = _FIELDS.decode(raw)
                shapes[tuple(fields)] += 1
                records.append(self._make(fields))
            except _UNDECODABLE as error:
                where = f"{self._path}, {self._what} {index}{self._id(fields)}"
                if faults is None:
                    raise ExportError(str(error), where=where, code=f"broken-{self._what}") from None
                faults.add(where, str(error))
        _count_keys(self._kind, shapes, unread)
        return records

    def _id(self, fields: dict[str, Raw]) -> str:
        """The id of a broken record, for messages, if it has one."""
        try:
            id = json.loads(bytes(fields["id"]))
        except (KeyError, ValueError, RecursionError):
            return ""
        if isinstance(id, Id):
            self.broken.add(canonical(id))
        return f" (id {id})"


def _category(fields: dict[str, Raw]) -> CategoryRecord:
    return CategoryRecord(
        _integer(fields, "id"),
        _name(fields, "name", int | float),
        _decoded(_LABELS, fields, "keypoints"),
        _decoded(_EDGES, fields, "skeleton"),
    )


def _image(fields: dict[str, Raw]) -> ImageRecord:
    if "file_name" in fields or "coco_url" not in fields:
        name = _name(fields, "file_name", int)
    else:  # LVIS: the last two parts, the folder of the split and the name, as detectron2 reads it
        parts = _text(fields, "coco_url").split("/")[-2:]
        if len(parts) < 2 or not all(parts):
            raise ValueError(f"coco_url: a URL with a folder and a name was expected, found {parts}")
        name = "/".join(parts)
    return ImageRecord(
        _id(fields, "id"),
        name,
        None if fields.get("width", NONE) == NONE else _integer(fields, "width", None),
        None if fields.get("height", NONE) == NONE else _integer(fields, "height", None),
        fields.get("video_id", NONE),
        fields.get("frame_index", NONE),
        fields.get("frame_id", NONE),
    )


def _annotation(fields: dict[str, Raw]) -> AnnotationRecord:
    score: float | UnsetType = UNSET
    if "score" in fields:
        score = _decoded(_FLOAT, fields, "score")
    box = None
    if "bbox" in fields and not re.fullmatch(rb"\[\s*\]", fields["bbox"]):
        box = _decoded(_BOX, fields, "bbox")
    category_id = NO_CATEGORY
    if fields.get("category_id", NONE) != NONE:
        category_id = _integer(fields, "category_id")
    is_crowd = bytes(fields.get("iscrowd", NONE)).strip(b'"') in (b"1", b"1.0", b"true")
    return AnnotationRecord(
        _id(fields, "image_id"),
        category_id,
        None if fields.get("id", NONE) == NONE else _id(fields, "id"),
        box,
        score,
        fields.get("segmentation", NONE),
        fields.get("keypoints", NONE),
        fields.get("segments_info", NONE),
        None if fields.get("file_name", NONE) == NONE else _text(fields, "file_name"),
        is_crowd,
    )


def _decoded(decoder: Any, fields: dict[str, Raw], key: str) -> Any:
    try:
        return decoder.decode(fields[key]) if key in fields else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{key}: {error}") from None


def _value(fields: dict[str, Raw], key: str) -> Any:
    if key not in fields:
        raise ValueError(f"it has no {key}")
    return json.loads(bytes(fields[key]).decode())


def _integer(fields: dict[str, Raw], key: str, limit: int | None = LARGEST_ID) -> int:
    """An integer, which may be given as 1, 1.0 or "1"."""
    value = _value(fields, key)
    number = None if isinstance(value, bool) or not isinstance(value, Id) else canonical(value)
    if not isinstance(number, int) or (limit is not None and abs(number) > limit):
        raise ValueError(f"{key}: an integer was expected, found {_shown(fields[key])}")
    return number


def _id(fields: dict[str, Raw], key: str) -> int | str:
    """A number or a text."""
    value = _value(fields, key)
    if isinstance(value, bool) or not isinstance(value, Id):
        raise ValueError(f"{key}: a number or text was expected, found {_shown(fields[key])}")
    return canonical(value)


def _name(fields: dict[str, Raw], key: str, numbers: Any) -> str:
    """A text; or a number of these types, as it is written."""
    value = _value(fields, key)
    if isinstance(value, bool) or not isinstance(value, str | numbers):
        raise ValueError(f"{key}: a text was expected, found {_shown(fields[key])}")
    return value if isinstance(value, str) else bytes(fields[key]).decode()


def _text(fields: dict[str, Raw], key: str) -> str:
    value = _value(fields, key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: a text was expected, found {_shown(fields[key])}")
    return value


def _shown(raw: Raw) -> str:
    text = bytes(raw)
    return text[:60].decode(errors="replace") + ("..." if len(text) > 60 else "")
