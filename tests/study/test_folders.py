"""Run folders of arms: one is begun once, and is seen to be another when it is asked for otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.disk.files import write_json, write_text
from autospine.data.folds import Fold, write_folds
from autospine.errors import DataError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.study.arms import Arm
from autospine.study.folders import Base, check_split, is_done, stands
from autospine.workflow.runs.folder import METRICS_FILE, RECORD, RunFolder


@pytest.fixture
def arm(make_configuration: Callable[..., Configuration]) -> Arm:
    return Arm("T1+T2", "both", make_configuration(), ("T1", "T2"))


def test_a_fold_is_done_when_its_cases_are_scored(arm: Arm, tmp_path: Path) -> None:
    home = RunFolder(tmp_path)
    write_folds(home.splits, (Fold(("a",), ("b",)), Fold(("a", "b"), ())))
    assert not is_done(arm, home, 0)
    for fold in (0, 1):
        write_text(home.fold(arm.configuration.name, fold) / RECORD, "")
    assert not is_done(arm, home, 0)  # trained, not scored
    assert is_done(arm, home, 1)  # there is nothing to score
    write_json(home.fold(arm.configuration.name, 0) / METRICS_FILE, {})
    assert is_done(arm, home, 0)


def test_a_fold_without_cases_of_the_arm_is_refused_where_it_is_chosen(arm: Arm, tmp_path: Path) -> None:
    home = RunFolder(tmp_path)
    write_folds(home.splits, (Fold(("a",), ()), Fold((), ("a",))))
    check_split(arm, home, [0])
    with pytest.raises(DataError, match=r"fold\(s\) 1: none has T1 or T2"):
        check_split(arm, home, [0, 1])


def test_an_arm_of_another_split_does_not_stand(arm: Arm, make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    base = Base(tmp_path / "data", RunFolder(tmp_path), make_plan(arm.configuration), {}, (Fold(("a",), ("b",)),))
    home = base.home(tmp_path / "studies", arm)
    assert home == RunFolder(tmp_path / "studies" / "T1+T2", lender=tmp_path)
    assert not stands(arm, home, base)
    write_json(home.root / "arm.json", {"digest": "of another split"})
    with pytest.raises(PlanError, match="another plan, split or number of steps"):
        stands(arm, home, replace(base, folds=(Fold(("b",), ("a",)),)))
