"""The tokens of label files: where each is, and what it can be replaced by.

Nothing here knows a format of labels. JSON and YAML have members, keys, entries and values; XML has elements, names of
elements, attributes and texts; everything else is lines of fields.
"""

from __future__ import annotations

import json
import re
import xml.parsers.expat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

NUMBER = re.compile(r"""(["']?)(-?\d+(?:\.\d+)?)\1""")


@dataclass(frozen=True)
class Token:
    """A part of a text, and the texts that may stand in its place.

    Attributes:
        place: which part it is: `annotations[2].bbox[0]`, `image[0]/box[1]/@xtl`, `line 3, field 2`.
        start: of the part.
        end: of the part.
        removed: start and end of what is taken away with the part when it is deleted, as the comma behind it.
        doubled: the text in the part's place that duplicates it; None if it cannot be duplicated.
        garbage: texts that stand for garbage in the part's place, by the name of the mutation.
        value: start and end of the value that another one of the same kind may replace; None if there is none.
    """

    place: str
    start: int
    end: int
    removed: tuple[int, int] | None
    doubled: str | None
    garbage: Mapping[str, str]
    value: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        """The place without numbers: `annotations[].bbox[]`, `image[]/box[]/@xtl`, `line, field 2`."""
        return re.sub(r"^line \d+", "line", re.sub(r"\[\d+\]", "[]", self.place))


class Mutation(NamedTuple):
    """A label file with one token changed.

    Attributes:
        token: that is changed.
        name: what is done to it: `delete`; `double`; `= TEXT` for garbage; `rename` and `empty` for XML elements; for
            another valid value `step` (another number) and `other` (of another token of the same kind).
        text: of the file.
    """

    token: Token
    name: str
    text: str


def mutations(path: Path, text: str) -> Iterator[Mutation]:
    """Every mutation of every token of a label file."""
    found = tokens(path, text)
    others: dict[str, list[str]] = {}
    for token in found:
        if token.value is not None:
            others.setdefault(token.kind, []).append(text[slice(*token.value)])
    for token in found:
        tried = {text}
        for name, mutated in _mutated(token, text, others.get(token.kind, [])):
            if mutated not in tried:
                tried.add(mutated)
                yield Mutation(token, name, mutated)


def _mutated(token: Token, text: str, others: Sequence[str]) -> Iterator[tuple[str, str]]:
    if token.removed is not None:
        yield "delete", text[: token.removed[0]] + text[token.removed[1] :]
    if token.doubled is not None:
        yield "double", text[: token.start] + token.doubled + text[token.end :]
    for name, garbage in token.garbage.items():
        yield name, text[: token.start] + garbage + text[token.end :]
    if token.value is None:
        return
    start, end = token.value
    value = text[start:end]
    if match := NUMBER.fullmatch(value):
        quote, number = match[1], match[2]
        places = len(number.partition(".")[2])
        stepped = f"{float(number) / 2:.{places + 1}f}" if places else str(int(number) + 1)
        yield "step", f"{text[:start]}{quote}{stepped}{quote}{text[end:]}"
    for other in others:
        if other != value:
            yield "other", text[:start] + other + text[end:]
            break


def tokens(path: Path, text: str) -> list[Token]:
    """The tokens of a label file, by its extension."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _tree_tokens(text, _json_nodes(text), JSON)
    if suffix in (".yaml", ".yml"):
        return _tree_tokens(text, _yaml_nodes(text), YAML)
    if suffix == ".xml":
        return list(_xml_tokens(text))
    return list(_line_tokens(text))


# JSON and YAML


def _garbage(*texts: str) -> dict[str, str]:
    return {f"= {text}": text for text in texts}


class Garbage(NamedTuple):
    """What stands for garbage in place of values and of keys, by the name of the mutation."""

    values: dict[str, str]
    keys: dict[str, str]


JSON = Garbage(_garbage("NaN", "null", '"x"', '""', "[]", "{}"), _garbage('"x"', '""', "null"))
YAML = Garbage(_garbage(".nan", "NaN", "null", "x", "''", "[]", "{}"), _garbage("x", "''", "null"))


@dataclass
class _Node:
    """A value of JSON or YAML: a scalar, a list, or an object with the places of its keys."""

    start: int
    end: int
    children: list[tuple[str, tuple[int, int] | None, _Node]]  # name, key, value


def _tree_tokens(text: str, root: _Node, garbage: Garbage) -> list[Token]:
    found = [Token("", root.start, root.end, None, None, garbage.values)]

    def visit(node: _Node, place: str) -> None:
        spans = [(value.start if key is None else key[0], value.end) for _, key, value in node.children]
        for (name, key, value), span, (removed, doubled) in zip(
            node.children, spans, _neighbours(text, spans), strict=True
        ):
            inner = f"{place}{name}".removeprefix(".")
            text_of = None
            if not value.children and text[value.start : value.end] not in ('""', "''", "[]", "{}", "null", ""):
                text_of = (value.start, value.end)
            if key is None:
                found.append(Token(inner, *span, removed, doubled, garbage.values, text_of))
            else:
                found.append(Token(f"{inner}:", *span, removed, doubled, {}))
                found.append(Token(f"{inner} key", *key, None, None, garbage.keys))
                found.append(
                    Token(inner, value.start, value.end, (value.start, value.end), None, garbage.values, text_of)
                )
            visit(value, inner)

    visit(root, "")
    return found


def _neighbours(
    text: str, spans: Sequence[tuple[int, int]], separator: str = ", "
) -> Iterator[tuple[tuple[int, int], str]]:
    """Of each part of a sequence: what is removed with it, and the text that duplicates it."""
    for i, (start, end) in enumerate(spans):
        if i + 1 < len(spans):
            removed, between = (start, spans[i + 1][0]), text[end : spans[i + 1][0]]
        elif i > 0:
            removed, between = (spans[i - 1][1], end), text[spans[i - 1][1] : start]
        else:
            removed, between = (start, end), separator
        yield removed, text[start:end] + between + text[start:end]


def _json_nodes(text: str) -> _Node:
    blank = re.compile(r"[ \t\r\n]*")
    string = re.compile(r'"(?:[^"\\]|\\.)*"')
    scalar = re.compile(r"[^\s,\]}]+")

    def skipped(at: int) -> int:
        return blank.match(text, at).end()  # type: ignore[union-attr]

    def parse(at: int) -> _Node:
        start, children = at, []
        if text[at] not in "[{":
            pattern = string if text[at] == '"' else scalar
            return _Node(at, pattern.match(text, at).end(), [])  # type: ignore[union-attr]
        is_object = text[at] == "{"
        at = skipped(at + 1)
        while text[at] not in "]}":
            key = None
            name = f"[{len(children)}]"
            if is_object:
                key = (at, string.match(text, at).end())  # type: ignore[union-attr]
                name = f".{json.loads(text[slice(*key)])}"
                at = skipped(skipped(key[1]) + 1)
            children.append((name, key, parse(at)))
            at = skipped(children[-1][2].end)
            if text[at] == ",":
                at = skipped(at + 1)
        return _Node(start, at + 1, children)

    return parse(skipped(0))


def _yaml_nodes(text: str) -> _Node:
    def node_of(node: yaml.Node) -> _Node:
        start = node.start_mark.index
        end = start + len(text[start : node.end_mark.index].rstrip())
        if isinstance(node, yaml.MappingNode):
            children = []
            for key, value in node.value:
                marks = (key.start_mark.index, key.end_mark.index)
                children.append((f".{key.value}", marks, node_of(value)))
            return _Node(start, end, children)
        if isinstance(node, yaml.SequenceNode):
            return _Node(start, end, [(f"[{i}]", None, node_of(value)) for i, value in enumerate(node.value)])
        return _Node(start, end, [])

    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None
    return node_of(root)


# XML

XML_GARBAGE = _garbage("NaN", "null", "x", "[]", "{}")
ATTRIBUTE = re.compile(r"""\s+([\w:.-]+)\s*=\s*("[^"]*"|'[^']*')""")


def _xml_tokens(text: str) -> Iterator[Token]:
    content = text.encode()
    is_ascii = text.isascii()
    parser = xml.parsers.expat.ParserCreate()
    open_elements: list[tuple[str, str, int, dict[str, int]]] = []  # name, place, start, children by name
    found: list[Token] = []
    read = 0

    def position() -> int:
        return parser.CurrentByteIndex if is_ascii else len(content[: parser.CurrentByteIndex].decode())

    def start(name: str, _: object) -> None:
        at = position()
        place = name
        if open_elements:
            _, above, _, count = open_elements[-1]
            count[name] = count.get(name, 0) + 1
            place = f"{above}/{name}[{count[name] - 1}]"
        open_elements.append((name, place, at, {}))
        tag = re.compile(r"<[^>]*>").match(text, at)
        assert tag is not None
        attributes_at = at + 1 + len(name)
        for attribute in ATTRIBUTE.finditer(text, attributes_at, tag.end()):
            inner = f"{place}/@{attribute[1]}"
            value = (attribute.start(2) + 1, attribute.end(2) - 1)
            found.append(Token(f"{inner} name", *attribute.span(1), None, None, _garbage("x")))
            found.append(
                Token(
                    inner,
                    *value,
                    attribute.span(),
                    None,
                    {"= ": "", **XML_GARBAGE},
                    value if value[1] > value[0] else None,
                )
            )
            whole = attribute[0]
            found.append(Token(f"{inner} twice", *attribute.span(), None, whole + whole, {}))

    def end(name: str) -> None:
        _, place, start_at, _ = open_elements.pop()
        at = position()
        end_at = text.index(">", at) + 1 if text.startswith("</", at) else at
        if not text.startswith("</", at):  # <name/>: expat gives the place of the tag, or of its end
            end_at = text.index(">", start_at) + 1
        whole = text[start_at:end_at]
        garbage = {
            "rename": re.sub(rf"{re.escape(name)}\s*>$", "x>", f"<x{whole[1 + len(name) :]}"),
            "= x": "x",
            "empty": f"<{name}></{name}>",
        }
        found.append(Token(place, start_at, end_at, (start_at, end_at), whole + whole, garbage))

    def data(_: str) -> None:
        nonlocal read
        at = position()
        if at < read:  # the rest of a text with entities, which comes in parts
            return
        read = text.index("<", at)
        if text[at:read].strip():
            place = f"{open_elements[-1][1]}/text"
            found.append(Token(place, at, read, (at, read), None, XML_GARBAGE, (at, read)))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.Parse(content, True)
    return iter(found)


# Lines of fields

FIELD = re.compile(r'"[^"\n]*"|[^\s,;:=|"]+')
TEXT_GARBAGE = _garbage("", "NaN", "null", "x", "[]", "{}")


def _line_tokens(text: str) -> Iterator[Token]:
    lines = [(match.start(), match.end()) for match in re.finditer(r"[^\r\n]+", text)]
    numbers = [text.count("\n", 0, start) + 1 for start, _ in lines]
    for number, span, (removed, doubled) in zip(numbers, lines, _neighbours(text, lines, "\n"), strict=True):
        yield Token(f"line {number}", *span, removed, doubled, _garbage("x", "NaN", ","))
        fields = [match.span() for match in FIELD.finditer(text, *span)]
        for i, (field, (taken, twice)) in enumerate(zip(fields, _neighbours(text, fields, " "), strict=True)):
            yield Token(f"line {number}, field {i + 1}", *field, taken, twice, TEXT_GARBAGE, field)
