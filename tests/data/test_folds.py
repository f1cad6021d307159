from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from autospine.data.folds import Fold, check_folds, group_cases, make_folds, read_folds, write_folds
from autospine.errors import DataError


def test_one_case_a_subject_gives_the_references_split() -> None:
    names = [f"case_{number}" for number in range(37)]
    folds = make_folds({name: name for name in reversed(names)})
    names = sorted(names)
    expected = KFold(5, shuffle=True, random_state=12345).split(names)
    for fold, (train, validation) in zip(folds, expected, strict=True):
        assert fold.train == tuple(np.array(names)[train])
        assert fold.validation == tuple(np.array(names)[validation])


def test_subjects_that_are_named_otherwise_split_alike() -> None:
    """A subject is named after its first case, so the pattern that found it does not change the folds."""
    cases = [f"sub-{number:02d}_T2" for number in range(11)]
    assert make_folds({case: case for case in cases}) == make_folds({case: f"x{-int(case[4:6])}" for case in cases})


def test_groups_join_over_either_tie() -> None:
    subjects = {"a1": "a", "a2": "a", "b": "b", "c": "c", "d": "d"}
    digests = {"a2": "same", "c": "same", "b": "1", "d": "2"}
    assert group_cases(subjects, digests) == {"a1": "a1", "a2": "a1", "b": "b", "c": "a1", "d": "d"}
    assert group_cases(subjects) == {"a1": "a1", "a2": "a1", "b": "b", "c": "c", "d": "d"}


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(0, 6).map(str), min_size=2, max_size=25),
    st.integers(2, 6),
)
def test_no_subject_is_ever_split(subjects: dict[str, str], count: int) -> None:
    digests = {case: str(len(case) % 4) + case[:1] for case in subjects}
    groups = group_cases(subjects, digests)
    folds = make_folds(subjects, digests, count=count)
    check_folds(folds, subjects, groups)
    held_out = [case for fold in folds for case in fold.validation]
    if len(set(groups.values())) > 1:
        assert len(folds) == min(count, len(set(groups.values())))
        assert sorted(held_out) == sorted(subjects)
    for fold in folds:
        assert sorted(fold.train + fold.validation) == sorted(subjects)
        for ties in (subjects, digests):
            assert not {ties[case] for case in fold.train} & {ties[case] for case in fold.validation}


def test_one_subject_validates_nothing() -> None:
    assert make_folds({"b": "s", "a": "s"}) == (Fold(("a", "b"), ()),)
    assert len(make_folds({"a": "a", "b": "b"})) == 2
    with pytest.raises(DataError, match="no cases"):
        make_folds({})


def test_folds_come_back(tmp_path: Path) -> None:
    folds = make_folds({name: name for name in "abcdefg"})
    write_folds(tmp_path / "splits.json", folds)
    assert read_folds(tmp_path / "splits.json") == folds
    assert set(json.loads((tmp_path / "splits.json").read_text())[0]) == {"train", "val"}


@pytest.mark.parametrize(
    "content", ["{}", "[]", "[1]", '[{"train": ["a"]}]', '[{"train": "a", "val": []}]', '[{"train": [1], "val": []}]']
)
def test_folds_of_another_form(tmp_path: Path, content: str) -> None:
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(DataError, match=r"splits\.json"):
        read_folds(tmp_path / "splits.json")


@pytest.mark.parametrize(
    ("fold", "found"),
    [
        (Fold(("a1", "b"), ("b",)), "fold 0 trains and validates on b"),
        (Fold(("a1", "x"), ("b",)), "not there: x"),
        (Fold(("a1",), ("a2",)), "splits the subject of a"),
        (Fold((), ("b",)), "trains on no case"),
        (Fold(("b", "b"), ("c",)), "twice"),
    ],
)
def test_folds_that_cannot_be_used(fold: Fold, found: str) -> None:
    groups = {"a1": "a", "a2": "a", "b": "b", "c": "c"}
    with pytest.raises(DataError, match=found):
        check_folds([fold], groups, groups)
    check_folds([Fold(("a1", "a2"), ("b",))], groups, groups)


def test_all_that_is_wrong_is_listed() -> None:
    groups = {"a1": "a", "a2": "a", "b": "b"}
    with pytest.raises(DataError, match="fold 0 splits.*; fold 1 names cases that are not there: x, y") as raised:
        check_folds([Fold(("a1",), ("a2",)), Fold(("x",), ("y",))], groups, groups, "here/splits.json")
    assert raised.value.where == "here/splits.json"


@settings(max_examples=100)
@given(st.data())
def test_rare_classes_are_shared_out_and_subjects_stay_whole(data: st.DataObject) -> None:
    count = data.draw(st.integers(5, 40))
    subjects = {f"c{index:02d}": f"s{data.draw(st.integers(0, count))}" for index in range(count)}
    groups = group_cases(subjects)
    people = sorted(set(groups.values()))
    classes = {case: data.draw(st.sets(st.integers(1, 4))) for case in subjects}
    folds = make_folds(subjects, None, classes)
    assert sorted(case for fold in folds for case in fold.validation) == (sorted(subjects) if len(people) > 1 else [])
    for fold in folds:
        assert not set(fold.train) & set(fold.validation)
        assert not {groups[case] for case in fold.train} & {groups[case] for case in fold.validation}
    assert make_folds(dict(reversed(subjects.items())), None, classes) == folds


@pytest.mark.parametrize("seed", range(20))
def test_each_fold_has_its_share_of_a_rare_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = [f"case{index:02d}" for index in range(37)]
    with_lesion = set(rng.permutation(cases)[:10].tolist())
    with_both = set(rng.permutation(sorted(with_lesion))[:5].tolist())
    classes = {
        case: {0} | ({2} if case in with_lesion else set()) | ({3} if case in with_both else set()) for case in cases
    }
    folds = make_folds({case: case for case in cases}, None, classes)
    assert [len(with_lesion & set(fold.validation)) for fold in folds] == [2] * 5
    assert [len(with_both & set(fold.validation)) for fold in folds] == [1] * 5
    assert {len(fold.validation) for fold in folds} <= {7, 8}


def test_classes_that_nearly_all_have_leave_the_folds_as_the_references() -> None:
    cases = {f"case{index:02d}": f"case{index:02d}" for index in range(23)}
    classes = {case: {0, 1} if index % 3 else {0} for index, case in enumerate(cases)}
    assert make_folds(cases, None, classes) == make_folds(cases)
