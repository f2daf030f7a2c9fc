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

EXCEPTIONS: tuple[Rule, ...] = ()


def is_allowed(judged: Judged) -> str | None:
    """`expected`: another valid value, name or object; `exception`: one that is listed; None: the result is wrong."""
    if judged.mutation in ("step", "other") and judged.scope in ONE_VALUE:
        return "expected"
    if any(rule.holds(judged) for rule in EXPECTED):
        return "expected"
    return "exception" if any(rule.holds(judged) for rule in EXCEPTIONS) else None
