"""Nothing is wrong in silence: a token of a label file that is changed changes the result in the open, or not at all.

Each export of the fixtures is tested with a sample of its mutations; `python -m tests.conformance.mutations` tries all.
"""

from __future__ import annotations

import json
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.conformance.fixture_exports import EXPORTS, FIXTURES, FixtureExport
from tests.conformance.mutation_rules import EXCEPTIONS, EXPECTED
from tests.conformance.mutations import TEXT_FILES, Mutator, Result, compare, in_memory, listing
from tests.conformance.tokens import mutations, tokens

SAMPLE = 40
"""Mutations of each export."""


@pytest.mark.parametrize("name", EXPORTS)
def test_a_changed_token_is_an_error_a_finding_or_changes_what_it_stands_for(name: str) -> None:
    with in_memory() as folder:
        mutator = Mutator(name, EXPORTS[name], folder)
        every = list(mutator.mutations())
        judged = [mutator.judge(*one) for one in random.Random(name).sample(every, min(SAMPLE, len(every)))]
    assert list(listing(judged)) == []


def test_every_label_file_of_the_fixtures_is_changed(tmp_path: Path) -> None:
    changed = set()
    for number, (name, export) in enumerate(EXPORTS.items()):
        if export.made_by is None:
            mutator = Mutator(name, export, tmp_path / str(number))
            changed |= {FIXTURES / export.folder / path.relative_to(mutator.folder) for path in mutator.files}
    assert {path for path in FIXTURES.rglob("*") if path.suffix.lower() in TEXT_FILES} <= changed


ADAPTER = '''
from labelferry import Adapter, Annotations, Category, Image, TaskType

class Boxes(Adapter):
    """A box a line: image, class, x, y, width, height, score. A score that is no number is 1, which is the defect."""

    tasks = (TaskType.OBJECT_DETECTION,)

    def __init__(self, path):
        self.path = path

    def _lines(self):
        return [line.split() for line in self.path.read_text().splitlines()]

    def get_categories(self):
        return [Category(i, name) for i, name in enumerate(("car", "person"))]

    def get_images(self):
        return [Image(name) for name in dict.fromkeys(line[0] for line in self._lines())]

    def get_labels(self, image):
        lines = [line for line in self._lines() if line[0] == image.file_name]
        ids = [["car", "person"].index(line[1]) for line in lines]
        return Annotations(ids, (64, 48), [list(map(float, line[2:6])) for line in lines], list(map(score, lines)))

def score(line):
    try:
        return float(line[6])
    except ValueError:
        return 1.0
'''


def test_a_planted_defect_is_found(tmp_path: Path) -> None:
    (tmp_path / "adapter.py").write_text(ADAPTER)
    text = "a.png car 8 8 16 16 0.5\nb.png person 8 8 16 16 0.25\n"
    export = FixtureExport(f"{tmp_path / 'adapter.py'}:Boxes", "csv", "a.txt", {}, written={"a.txt": text})
    mutator = Mutator("planted", export, tmp_path)
    judged = [mutator.judge(*one) for one in mutator.mutations()]
    wrong = [one for one in judged if one.outcome == "SILENT" and one.kind == "line, field 7"]
    assert {one.mutation for one in wrong} == {"= null", "= x", "= []", "= {}"}
    assert {one.scope for one in wrong} == {"prediction"}
    assert {one.outcome for one in judged if one.kind == "line, field 7" and one.mutation in ("step", "other")} == {
        "expected"
    }
    assert not [
        one for one in judged if one.kind == "line, field 3" and one.mutation == "= x" and one.outcome != "CRASH"
    ]


TEXTS = {
    "a.json": '{"a": [1, {"b": null}, "x"], "c": {"d": "e"}}',
    "a.yaml": "a:\n  - 1\n  - x y\nc: {d: e, f: 'g'}\n",
    "a.xml": '<a><b c="1" d="x"/>\n<b><e>1 &amp; 2</e></b></a>',
    "a.txt": '1, 2,3\n\nb:"c d",4\n',
}
PLACES = {
    "a.json": "|a:|a key|a|a[0]|a[1]|a[1].b:|a[1].b key|a[1].b|a[2]|c:|c key|c|c.d:|c.d key|c.d",
    "a.yaml": "|a:|a key|a|a[0]|a[1]|c:|c key|c|c.d:|c.d key|c.d|c.f:|c.f key|c.f",
    "a.xml": "a|a/b[0]|a/b[0]/@c|a/b[0]/@c name|a/b[0]/@c twice|a/b[0]/@d|a/b[0]/@d name|a/b[0]/@d twice|a/b[1]|"
    "a/b[1]/e[0]|a/b[1]/e[0]/text",
    "a.txt": "line 1|line 1, field 1|line 1, field 2|line 1, field 3|line 3|line 3, field 1|line 3, field 2|"
    "line 3, field 3",
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_part_of_a_file_is_a_token(name: str) -> None:
    assert sorted(token.place for token in tokens(Path(name), TEXTS[name])) == sorted(PLACES[name].split("|"))


def of_text(name: str) -> dict[tuple[str, str], str]:
    return {(one.token.place, one.name): one.text for one in mutations(Path(name), TEXTS[name])}


def test_tokens_of_json_are_deleted_doubled_and_replaced() -> None:
    found = of_text("a.json")
    assert json.loads(found["a[1]", "delete"])["a"] == [1, "x"]
    assert json.loads(found["a[2]", "delete"])["a"] == [1, {"b": None}]
    assert json.loads(found["a[0]", "double"])["a"] == [1, 1, {"b": None}, "x"]
    assert json.loads(found["c:", "delete"]) == {"a": [1, {"b": None}, "x"]}
    assert json.loads(found["c.d key", '= "x"'])["c"] == {"x": "e"}
    assert json.loads(found["c", "= []"])["c"] == []
    assert json.loads(found["a[0]", "step"])["a"][0] == 2
    assert json.loads(found["c.d", '= "x"'])["c"] == {"d": "x"}


def test_tokens_of_yaml_are_deleted_doubled_and_replaced() -> None:
    found = of_text("a.yaml")
    assert yaml.safe_load(found["a[0]", "delete"])["a"] == ["x y"]
    assert yaml.safe_load(found["a[1]", "delete"])["a"] == [1]
    assert yaml.safe_load(found["a[1]", "double"])["a"] == [1, "x y", "x y"]
    assert yaml.safe_load(found["a:", "delete"]) == {"c": {"d": "e", "f": "g"}}
    assert yaml.safe_load(found["c.f:", "delete"])["c"] == {"d": "e"}
    assert yaml.safe_load(found["c", "= null"])["c"] is None


def test_tokens_of_xml_are_deleted_doubled_and_replaced() -> None:
    found = of_text("a.xml")
    assert ET.fromstring(found["a/b[0]/@c", "delete"])[0].attrib == {"d": "x"}
    assert ET.fromstring(found["a/b[0]/@c", "= NaN"])[0].attrib == {"c": "NaN", "d": "x"}
    assert ET.fromstring(found["a/b[0]/@c name", "= x"])[0].attrib == {"x": "1", "d": "x"}
    assert [one.tag for one in ET.fromstring(found["a/b[0]", "delete"])] == ["b"]
    assert [one.tag for one in ET.fromstring(found["a/b[1]", "double"])] == ["b", "b", "b"]
    assert [one.tag for one in ET.fromstring(found["a/b[1]", "rename"])] == ["b", "x"]
    assert ET.fromstring(found["a/b[1]/e[0]/text", "= x"])[1][0].text == "x"


def test_tokens_of_lines_are_deleted_doubled_and_replaced() -> None:
    found = of_text("a.txt")
    assert found["line 1", "delete"] == 'b:"c d",4\n'
    assert found["line 1, field 1", "delete"].startswith("2,3\n")
    assert found["line 1, field 1", "= "].startswith(", 2,3\n")
    assert found["line 1, field 3", "double"].startswith("1, 2,3,3\n")
    assert found["line 3, field 2", "= x"].endswith("\nb:x,4\n")
    assert found["line 3", "double"].endswith('b:"c d",4\n\nb:"c d",4\n')


CAR, PERSON = ('{"class": "car", "score": 1.0}', '{"class": "person", "score": 1.0}')
CLASSES = [{"id": 0, "name": "car"}, {"id": 1, "name": "person"}]


@pytest.mark.parametrize(
    ("found", "files", "scope"),
    [
        (2, {"a": [CAR, CAR.replace("1.0", "0.5")], "b": []}, "prediction"),
        (2, {"a": [CAR], "b": [PERSON]}, "moved"),
        (1, {"a": [CAR], "b": []}, "removed 1"),
        (2, {"a": [CAR], "b": []}, "wide"),  # an object is found and not written
        (3, {"a": [CAR, PERSON, CAR], "b": []}, "added 1"),
        (2, {"a": [CAR, PERSON]}, "image -1"),
        (2, {"a": [CAR, PERSON], "c": []}, "file name"),
        (2, {"a": [PERSON, CAR], "b": []}, "order"),
        (2, {"a": [PERSON.replace("1.0", "0.5"), CAR.replace("1.0", "0.5")], "b": []}, "file"),
        (2, {"a": [CAR.replace("1.0", "0.5")], "b": [PERSON.replace("1.0", "0.5")]}, "wide"),
    ],
)
def test_what_is_different_has_a_scope(found: int, files: dict[str, list[str]], scope: str) -> None:
    before = Result(found=2, classes=CLASSES, files={"a": [CAR, PERSON], "b": []}, bytes={"a": b"1"})
    after = Result(found=found, classes=CLASSES, files=files, bytes={"a": b"2"})
    assert compare(before, after)[:2] == ("SILENT", scope)


def test_the_name_of_one_class_is_a_scope() -> None:
    before = Result(found=1, classes=CLASSES, files={"a": [CAR]}, bytes={"a": b"1"})
    classes = [{"id": 0, "name": "person"}, {"id": 1, "name": "truck"}]
    after = Result(found=1, classes=classes, files={"a": [CAR.replace("car", "truck")]}, bytes={"a": b"2"})
    assert compare(before, after)[1] == "class name"
    assert compare(before, Result(found=1, classes=classes, files={"a": [PERSON]}, bytes={"a": b"2"}))[1] == "wide"


def test_every_exception_has_a_reason_and_names_exports_that_exist() -> None:
    for rule in (*EXPECTED, *EXCEPTIONS):
        assert rule.reason
        assert any(re.fullmatch(rule.exports, name) for name in EXPORTS), rule
