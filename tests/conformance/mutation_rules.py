"""Which changes of a label file may change the result without a word, and why.

Anything else that is deleted, doubled or replaced by garbage must give an error, a finding, or identical files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.conformance.mutations import Judged


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
    reason = "an export may hold one object fewer or more; the number of objects found shows it"
    return Rule(exports, kind, "delete|double", r"(removed|added) \d+", reason)


def _names(exports: str, kind: str, scopes: str = "class name|file name") -> Rule:
    return Rule(exports, kind, '= "?x"?', scopes, "a name may be any text")


VALUE = Rule(
    ".*", ".*", "step|other", "prediction|moved|file name|class name", "another valid value changes itself alone"
)

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
    _names("yolo pose", r"kpt_names\.0\[\]", "classes"),
    _names("masks.*", r"\w+ key|\[\]\.name"),
    _names("masks.*|mot of cvat|voc labelmap.*|csv scores|yolo (darknet|plain)", "line|line, field [1-4]"),
)

_LESS = "delete|double"
_IMAGE = "an export may list one image fewer; the number of images shows it"
_SCHEMA = "no object depends on it"
_UNION = "objects of one class are one mask in semantic segmentation, so that a change of one changes the union"
_BETWEEN = "the shapes of a track between its keyframes depend on them"
_IGNORED = "only a name that says so makes a class the background"
_SPLIT = "an export may have one split or folder fewer; the number of images shows it"
_DOUBLE = "a name may hold spaces and colons"
_ANY_FILE = "a file may have any name; where the input datasource is known, it is looked up there"
_RASTER = "masks depend on the size of their image"

EXCEPTIONS = (
    # COCO
    Rule("coco.*|labelformat coco.*", r"images\[\]", "delete", "image -1", _IMAGE),
    Rule("coco.*|lightly.*|labelformat.*|youtubevis.*", r"categories\[\]", "delete", "classes", _SCHEMA),
    Rule("coco.*|lightly.*", r"categories\[\]\.keypoints\[\]", f'= "x"|other|{_LESS}', "classes", _SCHEMA),
    Rule("coco.*|lightly.*", r"categories\[\]\.skeleton:?", r"delete|= \[\]", "classes", _SCHEMA),
    Rule("coco.*|lightly.*", r"categories\[\]\.skeleton\[\](\[\])?", f"step|other|{_LESS}", "classes", _SCHEMA),
    Rule("coco.*", r"annotations\[\]\.segmentation\[\]", "delete", "prediction", "a mask may have one polygon fewer"),
    Rule("coco semantic", r"annotations\[\](\.(image|category)_id)?", "delete|step|other", "file|wide", _UNION),
    Rule("coco panoptic", r"annotations\[\]\.image_id", "step|other", "wide", "the segments of a PNG are of one image"),
    Rule(
        "coco (splits|years.*)",
        r"categories\[\]\.name",
        '= "x"',
        "classes|wide",
        "categories of several files are one where they have one name",
    ),
    # CVAT
    Rule("cvat.*", r"annotations/image\[\]/@(width|height)", "step", "file", _RASTER),
    Rule("cvat.*", r"annotations/meta\[\]/task\[\]/original_size\[\]/\w+\[\]/text", "step", "wide", _RASTER),
    Rule("cvat.*", r"annotations/meta\[\]/.*/label\[\]", "delete", "classes", _SCHEMA),
    Rule("cvat.*", r"annotations/track\[\]/\w+\[\](/.*)?", f"step|other|{_LESS}", r"wide|removed \d+", _BETWEEN),
    Rule("cvat.*", r"annotations/track\[\](/@label)?", f"other|{_LESS}", r"wide|removed \d+", _BETWEEN),
    # Pascal VOC
    Rule(
        "cvat boxes",
        r"annotations/image\[\]/box\[\]/@rotation",
        "delete",
        "prediction",
        "CVAT writes it only for boxes that are turned",
    ),
    Rule("voc.*", "annotation", "empty", r"removed \d+|wide", "an image may have no objects"),
    Rule(
        "voc.*",
        r"annotation/object\[\](/name\[\]/text)?",
        "= x|delete",
        "wide|classes",
        "classes are numbered as VOC numbers them if only VOC's occur, else in alphabetical order",
    ),
    # YOLO
    Rule("yolo.*", r"(train|val):|val\[\]", "delete", r"image -\d+", _SPLIT),
    Rule("yolo segmentation", r"names\[\]", "delete", "wide|classes", "the number of names is only known where nc is"),
    Rule("yolo segmentation", "line", "delete", "wide", "without its only polygon, the export holds boxes"),
    Rule("yolo pose", "kpt_names:", "delete", "classes", "kpt_names may be missing"),
    Rule("yolo flat pose", "kpt_shape:", "delete", "wide", "an export of polygons may look like this"),
    # MOT
    Rule("mot.*", "line, field 7", "step", "wide", "0 and 1 say whether the line counts"),
    Rule("mot detections", "line, field [12]", r"double|other|= .*", "wide", _ANY_FILE),
    Rule("mot detections", "line, field 2", "step", r"image \+1", "seqLength may be higher"),
    # CSV
    Rule("csv.*", "line", "delete", "image -1", _IMAGE),
    Rule("csv.*", "line", "= ,", "image -1|wide", "spreadsheets write rows without any value"),
    Rule("csv", "line", "delete", "wide", "the classes are those that occur"),
    Rule("csv", "line, field 2", "= x", "wide", "the classes that occur are in alphabetical order"),
    # masks, and files of names
    Rule("masks.*|voc labelmap.*", r"line(, field 1)?|background key", "= x|double", "wide|classes", _IGNORED),
    Rule(r"(masks|mot|voc|csv|yolo).*", "line, field [1-4]", "double", "class name", _DOUBLE),
    Rule("voc labelmap.*", "line, field [12]", r"delete|= (NaN|null|\[\]|\{\})?", "class name", _DOUBLE),
    Rule("masks.*", r"line, field [14]|\[\]\.name", "other", "wide", "a class may have several colours"),
    # lightly
    Rule("lightly.*", "predictions", r"= \[\]", r"removed \d+", "an image may have no predictions"),
    Rule("lightly semantic", r"predictions\[\]\.category_id", "step|other", "wide", _UNION),
    # labelformat
    Rule(
        "labelformat coco masks",
        r"annotations\[\]\.segmentation\.counts\[\]",
        _LESS,
        "prediction",
        "a run of length 0 covers no pixels",
    ),
    Rule("labelformat yolo", r"names\.1:", "delete", "classes", _SCHEMA),
    Rule(
        "labelformat youtubevis",
        r"annotations\[\]\.bboxes\[\]",
        "= null",
        "removed 1",
        "null says that the object is not seen",
    ),
    Rule("labelformat voc", r"annotation/object\[\]", "= x", "removed 1", "labelformat reads elements, not text"),
    # YouTube-VIS
    Rule("youtubevis.*", r"videos\[\]", "delete", "image -1", _IMAGE),
    Rule("youtubevis.*", r"annotations\[\]\.category_id", "other", "wide", "a track is of one class"),
)


def rule_of(judged: Judged) -> Rule | None:
    """The rule by which the result is right; None: it is wrong."""
    if VALUE.holds(judged):
        return VALUE
    return next((rule for rule in (*EXPECTED, *EXCEPTIONS) if rule.holds(judged)), None)
