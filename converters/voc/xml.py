"""Pascal VOC's XML files: boxes, classes, sizes and names of images.

`parse_objects` reads any file, and reports what is wrong with it; `parse_boxes` reads files in the form that tools
write, many at once. For such files both give the same.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.parsers.expat import ParserCreate

import msgspec
import numpy as np

from labelferry.errors import ExportError
from labelferry.findings import Finding
from labelferry.reading.keys import key_evidence
from labelferry.reading.text import read_label_file
from labelferry.run_lengths import Bools, Floats, Int64, offsets_of

FLAGS = ("difficult", "truncated")
"""What an object may be marked as, so that it can be left out."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")

_READ = {
    "annotation": ("filename", "size", "object"),
    "size": ("width", "height"),
    "object": ("name", "bndbox"),
    "bndbox": _CORNERS,
}
"""The elements that are read, by the element that holds them."""

_IGNORED = ("folder", "path", "source", "owner", "segmented", "depth", "pose", "occluded", "part", *FLAGS)
"""Elements of the format that are not read, and so are no misspellings."""

_FILENAME = re.compile(
    rb"(?:<\?[^>]*\?>)?\s*<annotation(?: [^>]*)?>\s*(?:<folder>[^<]*</folder>\s*)?<filename>\s*([^<&]*?)\s*</filename>"
)
_UTF8 = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*?encoding=[\"'](?:utf-8|us-ascii)[\"'][^>]*\?>|<\?xml[^>e]*\?>|<[a-z])", re.I
)


class Objects(NamedTuple):
    """The objects of one file.

    Attributes:
        size: (width, height) of the image in pixels; None: the file does not give it.
        category_ids: of the objects that are sound and wanted.
        boxes: their x, y, width and height in pixels.
        places: their places among the file's objects.
        findings: what became of the others, each of which loses its object; and of a size that cannot be read.
        found: objects in the file.
        evidence: as `Batch.evidence`: elements that are not read, and boxes that begin at coordinate 0 or 1.
    """

    size: tuple[int, int] | None
    category_ids: list[int]
    boxes: list[tuple[float, float, float, float]]
    places: list[int]
    findings: list[Finding]
    found: int
    evidence: Counter[str]


class Boxes(NamedTuple):
    """The objects of B files together.

    Attributes:
        is_plain: (B,) bool, whether the file has the form that tools write. The objects of other files are left out.
        sizes: (B, 2) int64 width and height of the images in pixels; 0 where a file is not plain.
        bounds: (B + 1,) the objects of file b are those from bounds[b] to bounds[b + 1], in order.
        found: (B,) objects in the file.
        category_ids: (N,) int64.
        boxes: (N, 4) float64 x, y, width, height in pixels.
        evidence: of the plain files, as `Objects.evidence`.
    """

    is_plain: Bools
    sizes: Int64
    bounds: Int64
    found: Int64
    category_ids: Int64
    boxes: Floats
    evidence: Counter[str]


def parse_objects(
    content: bytes, path: str, category_ids: Mapping[str, int], left_out: Sequence[str], origin: float
) -> Objects:
    """The objects of any file.

    Args:
        content: of the file.
        path: for messages.
        category_ids: by name of the class.
        left_out: objects marked so are not wanted, of `FLAGS`.
        origin: coordinate of the image's first pixel. With 1, the last pixel of a box is in it.

    Raises:
        ExportError: it is not XML, declares entities or a document type, or is the XML of another format.
    """
    root = _parse(content, path)
    found = sum(1 for _ in root.iter("object"))
    if fault := _fault_of_format(root):
        raise ExportError(fault, where=path, code="not-voc", lost=found)
    findings: list[Finding] = []
    ids: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    places: list[int] = []
    counts = dict.fromkeys(left_out, 0)
    lines: list[int] = []
    evidence = unread_elements(root, left_out)
    number = -1

    def report(code: str, text: str) -> None:
        lines[:] = lines or object_lines(content)
        findings.append(Finding.error(code, f"{path}:{lines[number]}", text, lost=1))

    try:
        size = _size_of(root)
    except ValueError as error:
        size = None
        findings.append(Finding.repair("size-unreadable", path, f"{error}; the size is taken from the image"))
    for element in root.iterfind("object"):
        number += 1
        try:
            if flag := next((flag for flag in counts if _is_set(element, flag)), None):
                counts[flag] += 1
                continue
            name, (x, y, right, bottom) = _name_and_edges(element)
        except ValueError as error:
            report("broken-object", str(error))
            continue
        if name not in category_ids:
            report("unknown-category", f"class {name!r} is not among the {len(category_ids)} class names")
            continue
        ids.append(category_ids[name])
        boxes.append((x - origin, y - origin, right - x + origin, bottom - y + origin))
        places.append(number)
        for edge in (0, 1):
            evidence[f"edge:{edge}"] += edge in (x, y)
    for flag, count in counts.items():
        if count:
            findings.append(Finding.note(f"{flag}-left-out", path, f"objects marked {flag}", count, count))
    if elsewhere := found - number - 1:
        text = f"{elsewhere} <object> that are not directly in the outermost element"
        findings.append(Finding.error("broken-object", path, text, elsewhere, elsewhere))
    for element in root:
        if element.tag != "object" and element.find(".//object") is None:
            for _ in element.iter("bndbox"):
                text = f"a <bndbox> in <{element.tag}>, where no object is expected"
                findings.append(Finding.error("broken-object", path, text))
    return Objects(size, ids, boxes, places, findings, found, +evidence)


def unread_elements(root: ElementTree.Element, read: Sequence[str]) -> Counter[str]:
    """The elements, attributes and texts between elements that are not read, by the name of their evidence. What is in
    an element that is not read is not counted.

    Args:
        root: of the file.
        read: the flags of objects that are read.
    """
    evidence: Counter[str] = Counter()
    elements = [root]
    while elements:
        element = elements.pop()
        known = _READ.get(element.tag, ())
        if element.tag == "object":
            known = (*known, *read)
        for child in element:
            if child.tag in known:
                elements.append(child)
            else:
                evidence[key_evidence(child.tag, known, _IGNORED)] += 1
        for attribute in element.attrib:
            evidence[f"unread:{attribute}"] += 1
        if element.tag in _READ and any(text and text.strip() for text in (element.text, *(e.tail for e in element))):
            evidence[f"unread:text of <{element.tag}>"] += 1
    return evidence


_NAME = rb"[A-Za-z_]\w*"
_LEAF = rb"(?:<(?!name>|bndbox>|object>)(%b)>[^<]*</\%%d>\s*)*" % _NAME
_USUAL_TAGS = ("pose", "truncated", "difficult", "occluded")
_USUAL = b"".join(rb"(?:<%b>[^<]*</%b>\s*)?" % (tag.encode(), tag.encode()) for tag in _USUAL_TAGS)
_NUMBER = rb"(?!-0<)(-?(?:0|[1-9]\d{0,15})(?:\.\d{1,30})?)"  # as JSON has it, where -0 has no sign
_INNER = rb"<(?!object>)(%b)>[^<]*" % _NAME
_PART = rb"(?:<(?!name>|bndbox>|object>)(%b)>[^<]*(?:%b(?:%b</\11>[^<]*)*</\10>[^<]*)*</\9>\s*)*" % (
    _NAME,
    _INNER,
    _INNER,
)


def _object_pattern(*corners: bytes) -> re.Pattern[bytes]:
    """An object with elements without children, one <bndbox>, and elements of up to three levels. Groups: a tag, the
    class, the usual elements, a tag, four corners, three tags."""
    box = b"".join(rb"<%b>%b</%b>\s*" % (corner, _NUMBER, corner) for corner in corners)
    return re.compile(
        rb"<object>\s*" + _LEAF % 1 + rb"<name>([^<]*)</name>\s*(" + _USUAL + rb")" + _LEAF % 4
        + rb"<bndbox>\s*" + box + rb"</bndbox>\s*" + _PART + rb"</object>\s*"
    )  # fmt: skip


_GROUPS = 12
"""Parts of a file for each object, when it is split at them: eleven groups, and what follows."""

_OBJECT = _object_pattern(b"xmin", b"ymin", b"xmax", b"ymax"), (5, 6, 7, 8)
_ROBOFLOW_OBJECT = _object_pattern(b"xmin", b"xmax", b"ymin", b"ymax"), (5, 7, 6, 8)
"""Each with the places of the left, upper, right and lower edge among the parts."""

_ELEMENT = rb"<(?!size>|object>|bndbox>)(%b)>[^<]*(?:<(?!object>|bndbox>)(%b)>[^<]*</\%%d>[^<]*)*</\%%d>\s*" % (
    _NAME,
    _NAME,
)
_HEAD = re.compile(
    rb"(?:<\?xml version=(?:\"1\.0\"(?: encoding=\"(?i:utf-8)\")?|'1\.0'(?: encoding='(?i:utf-8)')?) ?\?>)?\s*"
    rb"<annotation(?: verified=\"(?:yes|no)\")?>\s*(?:" + _ELEMENT % (2, 1) + rb")*"
    rb"<size>\s*<width>(\d{1,9})</width>\s*<height>(\d{1,9})</height>\s*(?:<depth>[^<]*</depth>\s*)?</size>\s*"
    rb"(?:" + _ELEMENT % (6, 5) + rb")*"
)
"""What stands before the objects. Groups 3 and 4: width and height."""

_TEXT = re.compile(rb">[^<]*<")
_FLAGGED = re.compile(rb"<(?:difficult|truncated)>(?!0<)")
_SPECIAL = bytes(set(range(32)) - set(b"\t\n\r")) + b"&]"
"""Bytes that XML forbids in text, or that may give it another meaning: with them the patterns prove nothing."""

_NUMBERS = msgspec.json.Decoder(list[float])


def parse_boxes(
    contents: Sequence[bytes], category_ids: Mapping[bytes, int], left_out: Sequence[str], origin: float
) -> Boxes:
    """The objects of files in the form that tools write: <annotation> with elements of at most two levels, one of them
    <size>, and then objects, each with a class and the corners of its box once.

    Args:
        contents: of the files.
        category_ids: by name of the class, in UTF-8.
        left_out: as in `parse_objects`; files with objects that have a flag are then not plain.
        origin: as in `parse_objects`.
    """
    is_plain: list[bool] = []
    sizes: list[tuple[int, int]] = []
    found: list[int] = []
    counts: list[int] = []
    ids: list[int] = []
    edges: tuple[list[bytes], ...] = ([], [], [], [])
    usual: list[bytes] = []
    skeletons: list[bytes] = []
    for content in contents:
        file = None if left_out and _FLAGGED.search(content) else _split(content)
        own: list[Any] = [None] if file is None else list(map(category_ids.get, file.classes))
        if file is None or None in own:
            is_plain.append(False)
            sizes.append((0, 0))
            found.append(0)
            counts.append(0)
            continue
        is_plain.append(True)
        sizes.append(file.size)
        found.append(content.count(b"<object>"))
        counts.append(len(own))
        ids += own
        for column, values in zip(edges, file.edges, strict=True):
            column += values
        usual += file.usual
        skeletons.append(file.skeleton)
    evidence: Counter[str] = Counter()
    for skeleton, count in Counter(skeletons).items():
        for name, times in unread_elements(ElementTree.fromstring(skeleton), left_out).items():
            evidence[name] += times * count
    for text, count in Counter(usual).items():
        for tag in _USUAL_TAGS:
            evidence[f"unread:{tag}"] += count * (tag not in left_out and f"<{tag}>".encode() in text)
    numbers = (_NUMBERS.decode(b"[%b]" % b",".join(column)) for column in edges)
    x, y, right, bottom = (np.fromiter(column, np.float64, len(ids)) for column in numbers)
    for edge in (0, 1):
        evidence[f"edge:{edge}"] = int(np.count_nonzero((x == edge) | (y == edge)))
    return Boxes(
        np.array(is_plain, np.bool_),
        np.array(sizes, np.int64).reshape(-1, 2),
        offsets_of(counts),
        np.array(found, np.int64),
        np.array(ids, np.int64),
        np.stack((x - origin, y - origin, right - x + origin, bottom - y + origin), axis=1),
        +evidence,
    )


class _File(NamedTuple):
    """A file in the usual form.

    Attributes:
        size: (width, height) of the image in pixels.
        classes: of the objects.
        edges: the four edges of their boxes.
        usual: what the objects have of `_USUAL_TAGS`.
        skeleton: the elements without text: of the whole file, or without the objects where these have no elements but
            the usual ones.
    """

    size: tuple[int, int]
    classes: list[bytes]
    edges: list[list[bytes]]
    usual: list[bytes]
    skeleton: bytes


def _split(content: bytes) -> _File | None:
    """What stands in a file in the usual form; None of any other.

    The patterns cover the file from its first byte to its last. So it is well-formed, every element is where the
    patterns say, and there are no comments, entities and document types.
    """
    head = _HEAD.match(content)
    if head is None or not _is_text(content):
        return None
    pattern, places = _ROBOFLOW_OBJECT if content.find(b"<xmax>") < content.find(b"<ymin>") else _OBJECT
    parts: list[Any] = pattern.split(content[head.end() :])
    if any(parts[:-1:_GROUPS]) or parts[-1].rstrip() != b"</annotation>":  # before, between and after objects
        return None
    size = int(head[3]), int(head[4])
    if min(size) <= 0:
        return None
    has_others = any(parts[1::_GROUPS]) or any(parts[4::_GROUPS]) or any(parts[9::_GROUPS])
    skeleton = _TEXT.sub(b"><", content if has_others else content[: head.end()] + b"</annotation>")
    usual = [] if has_others else parts[3::_GROUPS]
    return _File(size, parts[2::_GROUPS], [parts[place::_GROUPS] for place in places], usual, skeleton)


def _is_text(content: bytes) -> bool:
    """Whether a file is UTF-8 without a character that XML forbids, and without `_SPECIAL`."""
    if len(content.translate(None, _SPECIAL)) < len(content):
        return False
    if content.isascii():
        return True
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return "\ufffe" not in text and "\uffff" not in text


def object_lines(content: bytes) -> list[int]:
    """The line at which each object of a well-formed file begins."""
    lines: list[int] = []
    depth = 0
    parser = ParserCreate()

    def start(tag: str, attributes: object) -> None:
        nonlocal depth
        if depth == 1 and tag == "object":
            lines.append(parser.CurrentLineNumber)
        depth += 1

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(content, True)
    return lines


def count_objects(path: str) -> int:
    """Objects in a file; 0 if it cannot be read."""
    try:
        return sum(1 for _ in _parse(read_label_file(path), path).iter("object"))
    except ExportError:
        return 0


def file_name(content: bytes, path: str) -> str:
    """What <filename> holds; nothing if there is none, or no XML at all, which is reported when the labels are read."""
    if _UTF8.match(content) and (match := _FILENAME.match(content)):
        return match[1].decode("utf-8", "replace")
    try:
        return (_parse(content, path).findtext("filename") or "").strip()
    except ExportError:
        return ""


def class_names(path: str) -> set[str]:
    """The classes of a file's objects; none of a file that cannot be read, which is reported when its labels are."""
    try:
        content = read_label_file(path)
        file = _split(content)
        if file is not None:
            return {name.decode().replace("\r\n", "\n").replace("\r", "\n").strip() for name in file.classes} - {""}
        return {(name.text or "").strip() for name in _parse(content, path).iterfind("object/name")} - {""}
    except ExportError:
        return set()


def _parse(content: bytes, path: str) -> ElementTree.Element:
    """The XML's root; entities and document types are refused, so that nothing is expanded or fetched."""
    try:
        if b"<!" not in content and _UTF8.match(content):  # no declaration can hide in UTF-8 without these two
            root = ElementTree.fromstring(content)
        else:
            import defusedxml.ElementTree

            root = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise ExportError(f"not XML: {error}", where=f"{path}:{line}", code="broken-xml") from None
    except ValueError as error:  # defusedxml's refusals, and encodings that Python does not know
        raise ExportError(f"refused: {error}", where=path, code="refused-xml") from None
    except LookupError as error:
        raise ExportError(f"not XML: {error}", where=path, code="broken-xml") from None
    if "}" in root.tag:
        text = (
            f"its elements are in the XML namespace {root.tag[1:].partition('}')[0]!r}; those of Pascal VOC are in none"
        )
        raise ExportError(text, where=path, code="broken-xml")
    return root


def _fault_of_format(root: ElementTree.Element) -> str:
    """Why a file is not Pascal VOC; empty if it is."""
    if root.tag != "annotation":
        return f"<annotation> was expected, found <{root.tag}>; this is not Pascal VOC"
    objects = root.findall("object")
    has_polygons = any(element.find("polygon") is not None for element in objects)
    if has_polygons and not any(element.find("bndbox") is not None for element in objects):
        return "its objects have a <polygon> and no <bndbox>: the XML of LabelMe, which is not Pascal VOC"
    return ""


def _size_of(root: ElementTree.Element) -> tuple[int, int] | None:
    """Width and height; None where they are missing or 0, as some tools write them.

    Raises:
        ValueError: they are something else.
    """
    element = _only(root, "size")
    if element is None:
        return None
    texts = [_text(side) if (side := _only(element, tag)) is not None else "" for tag in ("width", "height")]
    if "" in texts:
        return None
    try:
        width, height = map(_number, texts)
        if min(width, height) >= 0 and width.is_integer() and height.is_integer():
            return (int(width), int(height)) if width and height else None
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"the <size> is {texts[0]!r} x {texts[1]!r}, not two whole numbers")


def _is_set(element: ElementTree.Element, flag: str) -> bool:
    """Whether an object has a flag.

    Raises:
        ValueError: it is neither yes nor no.
    """
    child = _only(element, flag)
    if child is None:
        return False
    text = _text(child).lower()
    if text in ("1", "true", "yes"):
        return True
    if text in ("0", "false", "no"):
        return False
    raise ValueError(f"<{flag}> is {text!r}; 0 or 1 was expected")


def _name_and_edges(element: ElementTree.Element) -> tuple[str, list[float]]:
    """The class of an object, and the left, upper, right and lower edge of its box.

    Raises:
        ValueError: it has none, several, or something that is not a number.
    """
    name, box = _only(element, "name"), _only(element, "bndbox")
    if name is None or not _text(name):
        raise ValueError("an object without a <name>")
    if box is None:
        tags = ", ".join(sorted({child.tag for child in element}))
        raise ValueError(f"an object without a <bndbox>; it has {tags}")
    edges = []
    for corner in _CORNERS:
        child = _only(box, corner)
        if child is None:
            raise ValueError(f"a <bndbox> without <{corner}>")
        try:
            edges.append(_number(_text(child)))
        except ValueError as error:
            raise ValueError(f"a <bndbox> with something that is no number: {error}") from None
    return _text(name), edges


def _only(parent: ElementTree.Element, tag: str) -> ElementTree.Element | None:
    """The child of this tag, if there is one.

    Raises:
        ValueError: there are several, which are not the same.
    """
    children = parent.findall(tag)
    contents = {tuple((one.tag, (one.text or "").strip()) for one in child.iter()) for child in children}
    if len(contents) > 1:
        raise ValueError(f"a <{parent.tag}> with {len(children)} different <{tag}>")
    return children[0] if children else None


def _text(element: ElementTree.Element) -> str:
    """The text of an element.

    Raises:
        ValueError: it has other elements in it.
    """
    if len(element):
        raise ValueError(f"a <{element.tag}> with <{element[0].tag}> in it")
    return (element.text or "").strip()


def _number(text: str) -> float:
    """A number.

    Raises:
        ValueError: it is none; unlike in Python, digits are not separated by underscores.
    """
    if "_" in text:
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)
