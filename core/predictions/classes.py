"""The categories of a task, and which of them the predictions of a model are of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from labelferry.errors import ExportError, UsageError, did_you_mean
from labelferry.findings import Finding
from labelferry.model import Category
from labelferry.predictions.arguments import Call
from labelferry.run_lengths import Floats, Int64

LEFT_OUT = -1
"""Stands for a class of the model that is not among the categories of the task. Ids of models are not negative."""

_SUM_TOLERANCE = 1e-2
"""How far the sum of a model's probabilities may be from 1, as in `conform`."""

_PLACEHOLDER = re.compile(r"(?:class_?|LABEL_)?(\d+)")
"""Names that Ultralytics (`0`, `class0`, `class_0`) and Hugging Face (`LABEL_0`) make of ids if a model has none."""

_SHOWN = 20


class Classes:
    """The categories of a task, by the ids and names of the model.

    Args:
        categories: names, whose places are the model's ids, or `Category`s with the model's ids; or the model's ids by
            name, to keep some of its classes.

    Attributes:
        categories: with the model's ids.
        ids: of the categories.
        is_subset: whether other ids of the model are left out; otherwise they are an error.
    """

    def __init__(self, categories: Iterable[str | Category] | Mapping[str, int]) -> None:
        if isinstance(categories, str | bytes) or not isinstance(categories, Iterable):
            raise UsageError(f"categories are a list of names, or ids by name, not {categories!r}")
        if isinstance(categories, Mapping):
            pairs = [(name, key) for name, key in categories.items()]
        else:
            pairs = [(one, place) for place, one in enumerate(categories)]
        self.categories = [_category(name, key) for name, key in pairs]
        if not self.categories:
            raise UsageError("categories: give at least one")
        self.is_subset = isinstance(categories, Mapping)
        self.ids = [category.id for category in self.categories]
        self._known = frozenset(self.ids)
        self._are_ids_given = self.is_subset or any(isinstance(name, Category) for name, _ in pairs)
        self._by_name: dict[str, int] = {}
        self._twice: set[str] = set()
        for category in self.categories:
            if category.name in self._by_name:
                self._twice.add(category.name)
            self._by_name[category.name] = category.id
        self._model_names: Mapping[int, str] = {}
        self._by_model_id: dict[int, int] | None = None

    def are_all(self, ids: Int64) -> bool:
        """Whether all ids are those of categories."""
        return self._known.issuperset(ids.tolist())

    def shown(self) -> str:
        """The categories, for messages."""
        return _shown({category.id: category.name for category in self.categories})

    def by_model_id(self, call: Call, names: Mapping[int, str]) -> dict[int, int] | None:
        """The id of the category of each class of the model, LEFT_OUT if it has none; None if the ids of the model
        count, as it has no names.

        Args:
            call: for messages.
            names: of all classes of the model, by id.

        Raises:
            ExportError: the model does not name a category.
        """
        if names != self._model_names:
            self._by_model_id = self._match(call, names)
            self._model_names = dict(names)
        return self._by_model_id

    def of_names(self, call: Call, names: Sequence[str], ids: Int64 | None) -> Int64:
        """The ids of the categories of objects by their names, LEFT_OUT where they have none.

        Args:
            call: for messages.
            names: of each object's class.
            ids: of the model, of each object, which count if the names are only made of ids.

        Raises:
            ExportError: the names are made of ids, and the categories do not give the model's ids.
        """
        if twice := self._twice.intersection(names):
            raise call.error("categories", f"two have the name {twice.pop()!r}, by which classes are found")
        found = np.array([self._by_name.get(name, LEFT_OUT) for name in names], np.int64)
        if len(names) and (found == LEFT_OUT).all():
            numbers = [_PLACEHOLDER.fullmatch(name) for name in names]
            made = np.array([int(match[1]) for match in numbers if match], np.int64)
            if len(made) == len(names) and (ids is None or np.array_equal(made, ids)):
                self._need_ids(call, names)
                return np.array([i if i in self._known else LEFT_OUT for i in made.tolist()], np.int64)
        return found

    def columns(self, call: Call, probabilities: Floats, by_model_id: Mapping[int, int] | None) -> Floats:
        """Of (N, C) probabilities, one column a class of the model, those of the categories, in their order. Those of
        some of the classes are divided by their sum.

        Raises:
            ExportError: there are not as many as the model has classes, or no probability is left.
        """
        count = probabilities.shape[1]
        if by_model_id is not None:
            places = {category_id: place for place, category_id in by_model_id.items()}
            at = [places[i] for i in self.ids]
            if count != len(by_model_id):
                text = f"{count} for the {len(by_model_id)} classes of the model"
                raise call.error("probabilities", text, "probabilities-count")
        else:
            at = self.ids
            if not self.is_subset and count != len(at):
                text = f"{count} for {len(at)} categories; name the categories as {{name: id}} to keep some"
                raise call.error("probabilities", text, "probabilities-count")
        if max(at) >= count:
            text = f"{count} values, but a category has the id {max(at)}"
            raise call.error("probabilities", text, "probabilities-count")
        kept = probabilities[:, at]
        if count == len(at):
            return kept
        check_sums(call, probabilities)
        sums = kept.sum(axis=1, keepdims=True)
        if (sums <= 0).any():
            raise call.error("probabilities", "none of them is on a category of the task", "class-missing")
        divided: Floats = kept / sums
        return divided

    def completed(self, call: Call, ids: Int64, probabilities: Floats) -> tuple[Floats, list[Finding]]:
        """(1, C) probabilities, of those of the most probable classes; the other classes share the rest equally, as
        Lightly approximates probabilities that are missing.

        Args:
            call: for messages.
            ids: (K,) of categories, or LEFT_OUT.
            probabilities: (K,) of these.

        Raises:
            ExportError: a class is named twice, or what is missing may belong to classes that are left out.
        """
        known = ids != LEFT_OUT
        kept = ids[known].tolist()
        if len(set(kept)) < len(kept):
            raise call.error("probabilities", "a class is given twice")
        with np.errstate(invalid="ignore", over="ignore"):
            total = probabilities.sum()
        if not ((probabilities >= 0).all() and total <= 1 + _SUM_TOLERANCE):
            raise _not_probabilities(call, total)
        row = np.zeros((1, len(self.ids)))
        row[0, [self.ids.index(i) for i in kept]] = probabilities[known]
        rest = 1 - float(total)
        missing = [place for place, i in enumerate(self.ids) if i not in kept]
        if rest > _SUM_TOLERANCE:
            if not known.all() or not missing:
                text = f"those of the best {len(ids)} classes sum to {1 - rest:.6g}; give those of all classes"
                raise call.error("probabilities", text, "probabilities-sum")
            row[0, missing] = rest / len(missing)
            text = f"those of the best {len(ids)} classes sum to {1 - rest:.6g}; the others share the rest equally"
            return row, [Finding.repair("probabilities-completed", call.where, text)]
        if not row.any():
            raise call.error("probabilities", "none of them is on a category of the task", "class-missing")
        return (row if known.all() else row / row.sum()), []

    def _match(self, call: Call, names: Mapping[int, str]) -> dict[int, int] | None:
        if twice := self._twice.intersection(names.values()):
            raise call.error("categories", f"two have the name {twice.pop()!r}, by which classes are found")
        known = {name: i for i, name in names.items()}
        if len(known) < len(names):
            counted = sorted(names.values())
            twice_named = next(a for a, b in pairwise(counted) if a == b)
            if twice_named in self._by_name:
                raise call.error("names", f"two classes of the model have the name {twice_named!r}: give arrays by id")
        missing = [name for name in self._by_name if name not in known]
        if len(missing) == len(self._by_name) and _are_placeholders(names):
            self._need_ids(call, list(names.values()))
            if beyond := [i for i in self.ids if i not in names]:
                raise call.error("categories", f"the model has no class with the id {beyond[0]}, only {_shown(names)}")
            return None
        if missing:
            text = f"the model has no class {missing[0]!r}{did_you_mean(missing[0], known)}; it has {_shown(names)}"
            raise call.error("categories", text, "unknown-category")
        if self._are_ids_given:
            for name, i in self._by_name.items():
                if names.get(i) != name:
                    text = f"{name!r} has the id {i}, the model gives it {known[name]}; correct the id, or give names"
                    raise call.error("categories", text, "unknown-category")
        return {i: self._by_name.get(name, LEFT_OUT) for i, name in names.items()}

    def _need_ids(self, call: Call, names: Sequence[str]) -> None:
        """Refuse names of categories by which a model without real names cannot be understood."""
        if not self._are_ids_given:
            first = self.categories[0].name
            text = f"the model has no real names, only {names[0]!r} and the like: give its ids, as {{{first!r}: 0}}"
            raise call.error("categories", text, "unknown-category")


def check_sums(call: Call, probabilities: Floats) -> None:
    """Refuse rows that are not probabilities.

    Raises:
        ExportError: a value is negative, or a row does not sum to 1.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        sums = probabilities.sum(axis=1)
        sound = (probabilities >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_TOLERANCE)
    if not sound.all():
        raise _not_probabilities(call, sums[~sound][0])


def _not_probabilities(call: Call, found: float) -> ExportError:
    text = f"they sum to {found:.6g} and must be >= 0 and sum to 1; are they logits? Apply softmax"
    return call.error("probabilities", text, "probabilities-sum")


def _category(given: object, key: object) -> Category:
    category = given if isinstance(given, Category) else None
    name = given if category is None else category.name
    number = key if category is None else category.id
    if not isinstance(name, str):
        raise UsageError(f"categories: a name is a text, found {name!r}")
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 0:
        raise UsageError(f"categories: the id of {name!r} is an integer of at least 0, found {number!r}")
    return category or Category(int(number), name)


def _are_placeholders(names: Mapping[int, str]) -> bool:
    matches = ((i, _PLACEHOLDER.fullmatch(name)) for i, name in names.items())
    return all(match and int(match[1]) == i for i, match in matches)


def _shown(names: Mapping[int, str]) -> str:
    shown = ", ".join(f"{i} {name}" for i, name in list(names.items())[:_SHOWN])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > _SHOWN else shown
