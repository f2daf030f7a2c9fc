"""Which of the source's categories are kept, under which names and ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelferry.errors import ExportError, UsageError, did_you_mean
from labelferry.findings import Finding
from labelferry.model import Category


@dataclass(frozen=True, slots=True, eq=False)
class CategoryPlan:
    """How the source's categories become those of the schema.

    Attributes:
        categories: the schema's categories, ascending by id.
        ids: the schema's id of every source id that is kept.
        dropped: source ids that the user left out, with their names.
        columns: for every source category, in order, the place of its schema category, -1 if it is left out: this
            is how columns of probabilities are merged.
        source_ids: (K,) int64, the source ids that are kept, ascending.
        schema_ids: (K,) int64, the schema's id of each of these.
    """

    categories: tuple[Category, ...]
    ids: dict[int, int]
    dropped: dict[int, str]
    columns: tuple[int, ...]
    source_ids: NDArray[np.int64]
    schema_ids: NDArray[np.int64]


_NAME = r'\s*(?:"([^"]+)"|([^,="]+?))\s*'
_CLASS = re.compile(f"{_NAME}(?:={_NAME})?(?:,|$)")


def parse_names(option: str, text: str, alone: bool = True) -> dict[str, str]:
    """New name by old name of an option that lists classes: `person,car=vehicle`; a name alone stays as it is, unless
    `alone` is false.

    A name that holds a comma or an equals sign stands in double quotes: `"a, b"=c`.

    Raises:
        UsageError: the text is not of this form.
    """
    classes: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _CLASS.match(text, at)
        if match is None or not (alone or match[3] or match[4]):
            form = "name or old=new" if alone else "old=new"
            raise UsageError(f"{option}: cannot read {text[at:]!r}; write {form}, separated by commas")
        old = match[1] or match[2]
        classes[old] = match[3] or match[4] or old
        at = match.end()
    return classes


def plan_categories(
    categories: Sequence[Category],
    classes: Collection[str] | None = None,
    rename: Mapping[str, str] | None = None,
    keep_ids: bool = False,
) -> CategoryPlan:
    """Number the kept categories 0..N-1 in the order of the source's ids, merging those that are renamed alike.

    Lightly wants ids in [0, N - 1] and probabilities in the order of the ids.

    Args:
        categories: the source's categories.
        classes: names of those to keep, old or new ones; None keeps all.
        rename: new name by old name.
        keep_ids: keep the source's ids; categories that merge take the id of the first.

    Raises:
        UsageError: a class is not in the source.
        ExportError: the source's categories contradict each other, or have ids or names that Lightly refuses.
    """
    _check(categories, keep_ids)
    rename = rename or {}
    names = {category.name for category in categories}
    _check_names("--rename", rename, names)
    _check_names("--classes", classes or (), names | set(rename.values()))
    kept: list[Category] = []
    place: dict[str | int, int] = {}  # by name of those that are renamed, or that others are renamed to; else by id
    ids: dict[int, int] = {}
    dropped: dict[int, str] = {}
    columns: dict[int, int] = {}
    for category in sorted(categories):
        name = rename.get(category.name, category.name)
        if classes is not None and not {name, category.name}.intersection(classes):
            dropped[category.id] = category.name
            columns[category.id] = -1
            continue
        key = name if name in rename.values() else category.id
        if key not in place:
            place[key] = len(kept)
            kept.append(category._replace(id=category.id if keep_ids else len(kept), name=name))
        target = kept[place[key]]
        if target.keypoints != category.keypoints:
            raise UsageError(
                f"--rename: {name!r} would merge categories with different keypoints, as {category.name!r}"
            )
        ids[category.id] = target.id
        columns[category.id] = place[key]
    known = sorted(ids)
    return CategoryPlan(
        tuple(kept),
        ids,
        dropped,
        tuple(columns[category.id] for category in categories),
        np.array(known, np.int64),
        np.array([ids[i] for i in known], np.int64),
    )


_NO_NAME = re.compile(r"(?i:\.?nan|\.?inf|null|undefined|n/a)|None|\[.*\]|\{.*\}|[\W_]*")
"""What programs write in place of a value that is missing, or that is no text; a class may well be called `none`."""


def category_findings(categories: Iterable[Category], where: str = "") -> Iterator[Finding]:
    """Warnings of names that several categories or keypoints have, and of names that stand for a missing value.

    Args:
        categories: of the export.
        where: the export, for messages.
    """
    categories = list(categories)
    ids: dict[str, list[int]] = {}
    for category in categories:
        ids.setdefault(category.name, []).append(category.id)
    for name, own in ids.items():
        if len(own) > 1:
            shown = ", ".join(map(str, own[:10]))
            text = (
                f"{len(own)} categories have the name {name!r} (ids {shown}); --rename '{name}={name}' makes them one"
            )
            yield Finding.warning("category-name-twice", where, text)
    for category in categories:
        for name, count in Counter(category.keypoints).items():
            if count > 1:
                text = f"{count} keypoints of the category {category.name!r} have the name {name!r}"
                yield Finding.warning("category-name-twice", where, text)
        for what, name in [("a category", category.name), *(("a keypoint", name) for name in category.keypoints)]:
            if _NO_NAME.fullmatch(name) or not name.isprintable():
                yield Finding.warning("category-name-odd", where, f"{what} has the name {name!r}: is its name missing?")


def _check_names(option: str, given: Iterable[str], names: set[str]) -> None:
    """Refuse names of classes that the export does not have."""
    for name in given:
        if name not in names:
            listed = ", ".join(sorted(names))
            raise UsageError(f"{option}: the export has no class {name!r}; it has {listed}{did_you_mean(name, names)}")


def _check(categories: Sequence[Category], keep_ids: bool) -> None:
    if not categories:
        raise ExportError("the export names no category", code="no-categories")
    seen: dict[int, str] = {}
    for category in categories:
        if category.id in seen:
            raise ExportError(
                f"two categories have the id {category.id}: {seen[category.id]!r} and {category.name!r}",
                code="category-id-twice",
            )
        seen[category.id] = category.name
        if not category.name.strip():
            raise ExportError(f"the category with the id {category.id} has no name", code="category-name-empty")
        if keep_ids and category.id < 0:
            raise ExportError(
                f"category {category.name!r} has the id {category.id}; Lightly's ids are not negative: "
                "run without --keep-category-ids",
                code="category-id-negative",
            )
