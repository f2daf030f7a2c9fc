"""Which categories are kept, under which names and ids."""

from __future__ import annotations

import pytest

from labelferry.errors import ExportError, UsageError
from labelferry.lightly.categories import category_findings, parse_names, plan_categories
from labelferry.model import Category

CATEGORIES = [Category(90, "truck"), Category(3, "car"), Category(44, "person")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("person,car", {"person": "person", "car": "car"}),
        (" person , car ", {"person": "person", "car": "car"}),
        ("car=vehicle,truck=vehicle,person", {"car": "vehicle", "truck": "vehicle", "person": "person"}),
        ('"a, b"=c,"d=e"', {"a, b": "c", "d=e": "d=e"}),
        ("traffic light", {"traffic light": "traffic light"}),
    ],
)
def test_classes_are_names_or_old_and_new_names(text: str, expected: dict[str, str]) -> None:
    assert parse_names("--classes", text) == expected


@pytest.mark.parametrize("text", ["a,,b", "=b", "a=", '"a', "a=b=c"])
def test_what_is_no_list_of_classes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--classes"):
        parse_names("--classes", text)


def test_a_new_name_is_needed_where_classes_are_renamed() -> None:
    assert parse_names("--rename", "car=vehicle,bus=bus", alone=False) == {"car": "vehicle", "bus": "bus"}
    with pytest.raises(UsageError, match="--rename: cannot read 'bus'; write old=new, separated by commas"):
        parse_names("--rename", "car=vehicle,bus", alone=False)


def test_ids_become_0_to_n_in_the_order_of_the_sources_ids() -> None:
    plan = plan_categories(CATEGORIES)
    assert [(c.id, c.name) for c in plan.categories] == [(0, "car"), (1, "person"), (2, "truck")]
    assert plan.ids == {3: 0, 44: 1, 90: 2}
    assert plan.columns == (2, 0, 1), "of probabilities, in the order that the adapter gives its categories"


def test_a_subset_keeps_the_order_of_the_source_and_not_of_the_option() -> None:
    plan = plan_categories(CATEGORIES, ["truck", "car"])
    assert [c.name for c in plan.categories] == ["car", "truck"]
    assert plan.dropped == {44: "person"}
    assert plan.columns == (1, 0, -1)


def test_equal_new_names_merge() -> None:
    plan = plan_categories(CATEGORIES, rename={"truck": "vehicle", "car": "vehicle"})
    assert [(c.id, c.name) for c in plan.categories] == [(0, "vehicle"), (1, "person")]
    assert plan.ids == {3: 0, 90: 0, 44: 1}
    assert plan_categories(CATEGORIES, rename={"truck": "car"}).ids == {3: 0, 90: 0, 44: 1}, "into a class that exists"


def test_classes_to_keep_are_named_by_their_old_or_new_names() -> None:
    rename = {"truck": "vehicle", "car": "vehicle"}
    for classes, ids in ((["vehicle"], {3: 0, 90: 0}), (["car"], {3: 0}), (["person"], {44: 0})):
        assert plan_categories(CATEGORIES, classes, rename).ids == ids


def test_the_sources_ids_are_kept_on_request_and_merged_ones_take_the_first() -> None:
    plan = plan_categories(CATEGORIES, ["vehicle"], {"truck": "vehicle", "car": "vehicle"}, keep_ids=True)
    assert [(c.id, c.name) for c in plan.categories] == [(3, "vehicle")]
    assert plan_categories(CATEGORIES, keep_ids=True).ids == {3: 3, 44: 44, 90: 90}


def test_names_that_occur_twice_stay_apart_unless_they_are_merged() -> None:
    twice = [Category(1, "a"), Category(2, "a")]
    assert len(plan_categories(twice).categories) == 2
    assert len(plan_categories(twice, ["a"]).categories) == 2
    assert len(plan_categories(twice, rename={"a": "b"}).categories) == 1


def test_an_unknown_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no class 'cars'; it has car, person, truck"):
        plan_categories(CATEGORIES, ["cars"])
    with pytest.raises(UsageError, match="--rename: the export has no class 'bus'"):
        plan_categories(CATEGORIES, rename={"bus": "x"})


def test_categories_with_different_keypoints_do_not_merge() -> None:
    with pytest.raises(UsageError, match="different keypoints"):
        plan_categories([Category(1, "a", ("x",)), Category(2, "b", ("y",))], rename={"a": "c", "b": "c"})


@pytest.mark.parametrize(
    ("categories", "code"),
    [
        ([], "no-categories"),
        ([Category(1, "a"), Category(1, "b")], "category-id-twice"),
        ([Category(1, " ")], "category-name-empty"),
        ([Category(-1, "a")], "category-id-negative"),
    ],
)
def test_categories_that_lightly_cannot_have_are_refused(categories: list[Category], code: str) -> None:
    with pytest.raises(ExportError) as caught:
        plan_categories(categories, keep_ids=True)
    assert caught.value.code == code


def test_names_that_occur_twice_and_names_that_stand_for_a_missing_value_are_warnings() -> None:
    names = ["car", "nan", "road", "car", "None", "none", "{}", "[0]", "N/A", "nano", "null", ",", "a\tb", "3", "路"]
    found = [(one.kind, one.code, one.message) for one in category_findings(map(Category, range(15), names))]
    twice, *odd = found
    text = "2 categories have the name 'car' (ids 0, 3); --rename 'car=car' makes them one"
    assert twice == ("warning", "category-name-twice", text)
    assert {code for _, code, _ in odd} == {"category-name-odd"}
    odd_names = ["nan", "None", "{}", "[0]", "N/A", "null", ",", "a\tb"]
    assert [message for _, _, message in odd] == [
        f"a category has the name {name!r}: is its name missing?" for name in odd_names
    ]


def test_names_of_keypoints_that_occur_twice_or_stand_for_a_missing_value_are_warnings() -> None:
    category = Category(0, "person", ("nose", "", "nose"))
    assert [(one.code, one.message) for one in category_findings([category])] == [
        ("category-name-twice", "2 keypoints of the category 'person' have the name 'nose'"),
        ("category-name-odd", "a keypoint has the name '': is its name missing?"),
    ]


def test_renaming_makes_categories_of_one_name_one() -> None:
    plan = plan_categories([Category(1, "car"), Category(2, "car")], rename={"car": "car"})
    assert list(category_findings(plan.categories)) == []
