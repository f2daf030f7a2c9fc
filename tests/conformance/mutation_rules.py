"""Which changes of a label file may change the result without a word, and why.

Anything else that is deleted, doubled or replaced by garbage must give an error, a finding, or identical files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.conformance.mutations import Judged

ONE_VALUE = ("prediction", "moved", "file name", "class name")
"""Scopes of another valid value: it changes what it stands for and nothing else."""


class Rule(NamedTuple):
    """Mutations that may change the result without a word. All but the reason are regular expressions.

    Attributes:
        exports: names in `fixture_exports.EXPORTS`.
        kind: kind of the tokens (`Token.kind`).
        mutations: names of the mutations.
        scopes: what may be different (`mutations.difference`).
        reason: why the result is right.
    """

    exports: str
    kind: str
    mutations: str
    scopes: str
    reason: str

    def holds(self, judged: Judged) -> bool:
        given = (judged.export, judged.kind, judged.mutation, judged.scope)
        return all(re.fullmatch(pattern, text) for pattern, text in zip(self[:4], given, strict=True))


def _objects(exports: str, kind: str) -> Rule:
    reason = "one object less or one more is another export; the number of objects found shows it"
    return Rule(exports, kind, "delete|double", r"(removed|added) \d+", reason)


def _names(exports: str, kind: str) -> Rule:
    return Rule(exports, kind, '= "?x"?', "class name|file name", "a name may be any text")


# What is an object and what is a name, for each format.
EXPECTED = (
    _objects("coco.*|youtubevis.*|labelformat (coco|youtubevis).*", r"annotations\[\]|\[\]"),
    _objects("cvat.*", r"annotations/(image\[\]/\w+|track)\[\]"),
    _objects("cvat.*", r"annotations/track\[\]/\w+\[\]"),
    _objects("labelformat labelbox", r"projects\.p\.labels\[\]\.annotations\.objects\[\]"),
    _objects("lightly.*", r"predictions\[\]"),
    _objects("(voc|labelformat voc).*", r"annotation/object\[\]"),
    _objects("(yolo|mot|labelformat (yolo|kitti)).*", "line"),
    _names("(coco|labelformat coco).*", r"categories\[\]\.name|images\[\]\.file_name"),
    _names("youtubevis.*|labelformat youtubevis", r"categories\[\]\.name|videos\[\]\.file_names\[\]"),
    _names("lightly.*", r"categories\[\]\.name"),
    _names("csv.*", "line, field [1-4]"),
    _names("cvat.*", r"annotations/image\[\]/@name|annotations/meta\[\]/.*/label\[\]/name\[\]/text"),
    _names("labelformat labelbox", r"data_row\.global_key"),
    _names("(voc|labelformat voc).*", r"annotation/filename\[\]/text|annotation/object\[\]/name\[\]/text"),
    _names("(yolo|labelformat yolo).*", r"names\.\d+|names\[\]"),
    _names("masks", r"\w+ key"),
    _names("masks.*|mot of cvat|voc labelmap|csv scores", "line|line, field [1-4]"),
)

_LESS = "delete|double"
_IMAGE = "an image less is another export; the number of images shows it"
_SCHEMA = "no object depends on it"
_UNION = "objects of one class are one mask in semantic segmentation, so that a change of one changes the union"
_BETWEEN = "the shapes of a track between its keyframes depend on them"
_ANY_FILE = "a file may have any name; where the input datasource is known, it is looked up there"
_RASTER = "masks depend on the size of their image"

EXCEPTIONS = (
    # COCO
    Rule("coco.*|labelformat coco.*", r"images\[\]", "delete", "image -1", _IMAGE),
    Rule("coco.*|lightly.*|labelformat.*|youtubevis.*", r"categories\[\]", "delete", "classes", _SCHEMA),
    Rule("coco.*|lightly.*", r"categories\[\]\.keypoints\[\]", f'= "x"|other|{_LESS}', "classes", _SCHEMA),
    Rule("coco.*|lightly.*", r"categories\[\]\.skeleton:?", r"delete|= \[\]", "classes", _SCHEMA),
    Rule("coco.*|lightly.*", r"categories\[\]\.skeleton\[\](\[\])?", f"step|other|{_LESS}", "classes", _SCHEMA),
    Rule("coco.*", r"annotations\[\]\.segmentation\[\]", "delete", "prediction", "a polygon less is another mask"),
    Rule("coco semantic", r"annotations\[\](\.(image|category)_id)?", "delete|step|other", "file|wide", _UNION),
    Rule("coco panoptic", r"annotations\[\]\.image_id", "step|other", "wide", "the segments of a PNG are of one image"),
    # CVAT
    Rule("cvat.*", r"annotations/image\[\]/@name", r"= (NaN|null|\[\]|\{\})", "file name", _ANY_FILE),
    Rule("cvat.*", r"annotations/image\[\]", "delete", "image -1", _IMAGE),
    Rule("cvat.*", r"annotations/image\[\]/@(width|height)", "step", "file", _RASTER),
    Rule("cvat.*", r"annotations/meta\[\]/task\[\]/original_size\[\]/\w+\[\]/text", "step", "wide", _RASTER),
    Rule("cvat.*", r"annotations/meta\[\]/.*/label\[\]", "delete", "classes", _SCHEMA),
    Rule("cvat.*", r"annotations/track\[\]/\w+\[\](/.*)?", f"step|other|{_LESS}", r"wide|removed \d+", _BETWEEN),
    Rule("cvat.*", r"annotations/track\[\](/@label)?", f"other|{_LESS}", r"wide|removed \d+", _BETWEEN),
    Rule(
        "cvat.*", r"annotations/meta\[\]/task\[\]/stop_frame\[\]/text", "step", r"wide|image \+1", "it is a frame more"
    ),
    # Pascal VOC
    Rule("voc split.*", "line(, field 1)?", "delete", "image -1", _IMAGE),
    Rule("voc.*", "annotation", "empty", r"removed \d+|wide", "a file without objects is of an image without objects"),
    Rule(
        "voc.*",
        r"annotation/object\[\](/name\[\]/text)?",
        "= x|delete",
        "wide",
        "classes are numbered as VOC numbers them if only VOC's occur, else in alphabetical order",
    ),
    # YOLO
    Rule("yolo (darknet|lists)", "line(, field 1)?", "delete", "image -1", _IMAGE),
    # MOT
    Rule("mot.*", "line, field 7", "step", "wide", "0 and 1 say whether the line counts"),
    Rule("mot detections", "line, field 2", "step", r"image \+1", "seqLength is a frame more"),
    # CSV
    Rule("csv.*", "line", "delete", "image -1", _IMAGE),
    Rule("csv.*", "line, field 1", r"= (NaN|null|\[\]|\{\})", "file name", _ANY_FILE),
    # masks
    Rule("masks.*", r"line, field [14]|\[\]\.name", "other", "wide", "a class may have several colours"),
    # lightly
    Rule("lightly.*", "predictions", r"= \[\]", r"removed \d+", "an image without predictions is another one"),
    Rule("lightly semantic", r"predictions\[\]\.category_id", "step|other", "wide", _UNION),
    # YouTube-VIS
    Rule("youtubevis.*", r"videos\[\]", "delete", "image -1", _IMAGE),
    Rule("youtubevis.*", r"annotations\[\]\.category_id", "other", "wide", "a track is of one class"),
)


def is_allowed(judged: Judged) -> str | None:
    """`expected`: another valid value, name or object; `exception`: one that is listed; None: the result is wrong."""
    if judged.mutation in ("step", "other") and judged.scope in ONE_VALUE:
        return "expected"
    if any(rule.holds(judged) for rule in EXPECTED):
        return "expected"
    return "exception" if any(rule.holds(judged) for rule in EXCEPTIONS) else None
