"""Every token of every label file of the fixtures is changed, one at a time, and the conversion must show it.

    python -m tests.conformance.mutations [FORMAT or EXPORT ...]

prints how many mutations of each format end in which outcome, the exceptions, and lists what is wrong: SILENT (other
files, and neither an error nor a finding more) and CRASH (an exception that is not labelferry's).

A token that is deleted, doubled or replaced by garbage gives an error, a finding, or identical files. Another valid
value changes that value and nothing else. What else is right is listed in `mutation_rules`, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import labelferry
from tests.conformance.fixture_exports import EXPORTS, FixtureExport
from tests.conformance.mutation_rules import EXCEPTIONS, Rule, rule_of
from tests.conformance.tokens import Mutation, mutations
from tests.exports import files_opened

TEXT_FILES = (".json", ".yaml", ".yml", ".xml", ".txt", ".csv", ".ini", ".data", ".names")
OUTCOMES = ("error", "finding", "identical", "expected", "exception", "SILENT", "CRASH")


@dataclass
class Result:
    """What a conversion gives.

    Attributes:
        failed: the code of the error that ended it; None if a task was published.
        crashed: whether the exception is not labelferry's, or an adapter failed.
        message: of the error.
        findings: how many of each kind and code.
        messages: of these, each with its code, without numbers.
        found: objects that the export lists.
        classes: name by id.
        files: predictions by name of the prediction file, classes by name.
        bytes: of the whole task.
    """

    failed: str | None = None
    crashed: bool = False
    message: str = ""
    findings: Counter[str] = field(default_factory=Counter)
    messages: set[str] = field(default_factory=set)
    found: int = 0
    classes: list[Any] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    bytes: dict[str, bytes] = field(default_factory=dict)


class Judged(NamedTuple):
    """A mutation and what it leads to.

    Attributes:
        export: name in `EXPORTS`.
        file: that is changed, relative to the export's folder.
        place: of the token.
        kind: of the token: the place without numbers.
        mutation: what was done to the token.
        outcome: one of `OUTCOMES`.
        scope: what is different in the files.
        detail: the lines that differ, or the error.
        rule: by which other files are right.
    """

    export: str
    file: str
    place: str
    kind: str
    mutation: str
    outcome: str
    scope: str
    detail: str
    rule: Rule | None = None


def convert(source: Path, to: Path, options: Mapping[str, Any]) -> Result:
    """Convert an export, whatever happens."""
    try:
        report = labelferry.convert(source, to, task_name="t", **options)
    except labelferry.ConversionError as error:
        codes = [finding.code for finding in error.report.errors]
        return Result(codes[0], "adapter-failed" in codes, str(error))
    except labelferry.LabelferryError as error:
        return Result(getattr(error, "code", type(error).__name__), message=str(error))
    except Exception as error:
        return Result(type(error).__name__, True, f"{type(error).__name__}: {error}")
    task = to / ".lightly/predictions/t"
    content = {path.relative_to(task).as_posix(): path.read_bytes() for path in task.rglob("*") if path.is_file()}
    schema = json.loads(content["schema.json"])
    names = {category["id"]: category["name"] for category in schema["categories"]}
    files = {}
    for name in content:
        if name != "schema.json":
            given = json.loads(content[name])
            files[given["file_name"]] = [_prediction(one, names) for one in given["predictions"]]
    findings: Counter[str] = Counter()
    messages: set[str] = set()
    for kind in ("errors", "repairs", "warnings", "notes"):
        for finding in getattr(report, kind):
            findings[f"{kind} {finding.code}"] += finding.count
            messages |= {f"{finding.code}: {re.sub(r'[0-9][0-9,.]*', '0', text)}" for _, text in finding.examples}
    shutil.rmtree(to)
    return Result(None, False, "", findings, messages, report.found_objects, schema["categories"], files, content)


def _prediction(given: dict[str, Any], names: Mapping[int, str]) -> str:
    return json.dumps({"class": names[given["category_id"]], **{k: v for k, v in given.items() if k != "category_id"}})


def compare(before: Result, after: Result) -> tuple[str, str, str]:
    """Outcome, scope and detail of a mutation; an outcome of SILENT is yet to be judged by its scope."""
    if after.crashed:
        return "CRASH", "", after.message
    if after.failed is not None:
        return "error", "", f"{after.failed}: {after.message}"
    if more := [*(after.findings - before.findings), *sorted(after.messages - before.messages)]:
        return "finding", "", ", ".join(more)
    if after.bytes == before.bytes:
        return "identical", "" if after.found == before.found else f"found {after.found - before.found:+}", ""
    return "SILENT", *difference(before, after)


def difference(before: Result, after: Result) -> tuple[str, str]:
    """What is different in the files of two conversions: its scope, and the lines that differ.

    Scopes: `prediction` (one, in one file), `moved` (one, from a file into another), `removed N` and `added N` (of the
    predictions, and as many objects found), `image -N` and `image +N` (of the files, with their objects), `file name`,
    `class name`, `classes` (only the schema), `order` (of predictions), `file` (one), `wide` (all else).
    """
    lines = [f"- {name}: {one}" for name in before.files for one in _missing(before, after, name)]
    lines += [f"+ {name}: {one}" for name in after.files for one in _missing(after, before, name)]
    gone, new = before.files.keys() - after.files.keys(), after.files.keys() - before.files.keys()
    lines += [f"- {name}" for name in sorted(gone)] + [f"+ {name}" for name in sorted(new)]
    detail = "; ".join(lines)
    if before.classes != after.classes:
        detail = f"classes {json.dumps(before.classes)} -> {json.dumps(after.classes)}; {detail}"
    return _scope(before, after, gone, new), f"found {before.found} -> {after.found}; {detail}"


def _missing(one: Result, other: Result, name: str) -> Iterable[str]:
    return (Counter(one.files[name]) - Counter(other.files.get(name, []))).elements()


def _scope(before: Result, after: Result, gone: set[str], new: set[str]) -> str:
    found = after.found - before.found
    if before.classes != after.classes:
        pair = _renamed(before.classes, after.classes)
        if pair is None:
            return "classes" if before.files == after.files else "wide"
        renamed = {
            name: [one.replace(*(json.dumps({"class": name})[1:-1] for name in pair), 1) for one in predictions]
            for name, predictions in before.files.items()
        }
        return "class name" if renamed == after.files and not found else "wide"
    if gone or new:
        same = all(before.files[name] == after.files[name] for name in before.files.keys() - gone)
        if not same:
            return "wide"
        if len(gone) == len(new) == 1 and before.files[min(gone)] == after.files[min(new)] and not found:
            return "file name"
        lost, won = (sum(len(files[n]) for n in names) for files, names in ((before.files, gone), (after.files, new)))
        if bool(gone) != bool(new) and won - lost == found:
            return f"image {len(new) - len(gone):+}"
        return "wide"
    changed = [name for name in before.files if before.files[name] != after.files[name]]
    minus = [list(_missing(before, after, name)) for name in changed]
    plus = [list(_missing(after, before, name)) for name in changed]
    lost, won = sum(map(len, minus)), sum(map(len, plus))
    if found < 0 and (won, lost) == (0, -found):
        return f"removed {lost}"
    if found > 0 and (won, lost) == (found, 0):
        return f"added {won}"
    if found:
        return "wide"
    if (lost, won) == (1, 1):
        return "prediction" if len(changed) == 1 else "moved" if sorted(minus) == sorted(plus) else "wide"
    if lost == won == 0:
        return "order"
    return "file" if len(changed) == 1 and lost == won else "wide"


def _renamed(before: list[Any], after: list[Any]) -> tuple[str, str] | None:
    """The old and the new name if one class has another name and nothing else of the classes is different."""
    names = [{one["name"] for one in classes} for classes in (before, after)]
    old, new = names[0] - names[1], names[1] - names[0]
    if len(before) != len(after) or len(old) != 1 or len(new) != 1:
        return None
    pair = (old.pop(), new.pop())
    plain = [
        sorted(
            json.dumps(one | {"id": 0, "name": pair[1] if one["name"] == pair[0] else one["name"]}) for one in classes
        )
        for classes in (before, after)
    ]
    return pair if plain[0] == plain[1] else None


class Mutator:
    """A copy of an export in a folder of its own, of which one file at a time is changed."""

    def __init__(self, name: str, export: FixtureExport, folder: Path) -> None:
        self.name = name
        self.folder = folder.resolve() / "export"
        self.source, self.options = export.copy(self.folder)
        self.out = folder / "out"
        with files_opened(self.folder) as opened:
            self.before = convert(self.source, self.out, self.options)
        if self.before.failed is not None:
            raise ValueError(f"{name} cannot be converted: {self.before.message}")
        self.files = sorted(path for path in map(Path, opened) if path.suffix.lower() in TEXT_FILES)

    def mutations(self) -> Iterator[tuple[Path, Mutation]]:
        """Every mutation of the label files that are read."""
        for path in self.files:
            for mutation in mutations(path, path.read_bytes().decode()):
                yield path, mutation

    def judge(self, path: Path, mutation: Mutation) -> Judged:
        """Convert the export with this mutation."""
        original = path.read_bytes()
        path.write_bytes(mutation.text.encode())
        try:
            outcome, scope, detail = compare(self.before, convert(self.source, self.out, self.options))
        finally:
            path.write_bytes(original)
            shutil.rmtree(self.out, ignore_errors=True)
        file = path.relative_to(self.folder).as_posix()
        judged = Judged(
            self.name, file, mutation.token.place, mutation.token.kind, mutation.name, outcome, scope, detail
        )
        if outcome == "SILENT" and (rule := rule_of(judged)):
            return judged._replace(outcome="exception" if rule in EXCEPTIONS else "expected", rule=rule)
        return judged


def run(name: str) -> list[Judged]:
    """Every mutation of one export."""
    with in_memory() as folder:
        mutator = Mutator(name, EXPORTS[name], folder)
        return [mutator.judge(path, mutation) for path, mutation in mutator.mutations()]


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder in memory, where the system has one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


def selected(arguments: Iterable[str]) -> list[str]:
    """The exports of these formats or names; all without any."""
    wanted = list(arguments)
    return [name for name in EXPORTS if not wanted or name in wanted or name.split()[0] in wanted]


def main() -> None:
    names = selected(sys.argv[1:])
    judged: list[Judged] = []
    with ProcessPoolExecutor(2) as pool:
        for name, found in zip(names, pool.map(run, names), strict=True):
            judged += found
            print(f"{name}: {len(found)}", file=sys.stderr)
    by_format: dict[str, Counter[str]] = {}
    tokens: dict[str, set[tuple[str, str, str]]] = {}
    for one in judged:
        by_format.setdefault(one.export.split()[0], Counter())[one.outcome] += 1
        tokens.setdefault(one.export.split()[0], set()).add((one.export, one.file, one.place))
    print("format".ljust(12), *(title.rjust(10) for title in ("tokens", "mutations", *OUTCOMES)))
    for name, counts in by_format.items():
        row = (len(tokens[name]), counts.total(), *(counts[outcome] for outcome in OUTCOMES))
        print(name.ljust(12), *(str(number).rjust(10) for number in row))
    used = Counter(one.rule for one in judged if one.outcome == "exception")
    print("\nexceptions:")
    for rule in EXCEPTIONS:
        if used[rule] or len(names) == len(EXPORTS):
            print(f"{used[rule]:4} of {rule.exports} | {rule.kind} | {rule.mutations} | {rule.scopes}: {rule.reason}")
    for line in listing(judged):
        print(line)


def listing(judged: Iterable[Judged]) -> Iterator[str]:
    """The wrong ones, of which those of the same kind of token and the same scope are put together."""
    groups: dict[tuple[str, str, str, str], list[Judged]] = {}
    for one in judged:
        if one.outcome in ("SILENT", "CRASH"):
            groups.setdefault((one.outcome, Path(one.file).suffix, one.kind, one.scope), []).append(one)
    for (outcome, _, kind, scope), group in groups.items():
        mutations, exports, files = (
            ", ".join(dict.fromkeys(getattr(one, name) for one in group)) for name in ("mutation", "export", "file")
        )
        yield f"\n{outcome} {kind} | {mutations} | {scope}"
        yield f"    {len(group)} of {exports}; in {files}"
        yield f"    {group[0].place} {group[0].mutation}: {_short(group[0].detail)}"


def _short(detail: str) -> str:
    """A detail without the ends of long lists of numbers."""
    return re.sub(r"((?:-?[\d.]+, ){4})(?:-?[\d.]+, ){2,}", r"\1..., ", detail)[:500]


if __name__ == "__main__":
    main()
