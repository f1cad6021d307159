"""Which faults are a case's, and how those that are left out are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import DataError, PlanError
from autospine.workflow.steps.left_out import IN_A_ROW, LeftOut
from tests.workflow.predicting import Noting


@pytest.fixture
def noting() -> Noting:
    return Noting()


def left_out_of(noting: Noting, *, alone: bool = False) -> LeftOut:
    return LeftOut(Path("in"), Path("out"), 5, noting, alone=alone)


def test_each_is_told_once_and_all_at_the_end(noting: Noting) -> None:
    left_out = left_out_of(noting)
    left_out.add("a", DataError("in/a.nii", "damaged", "a whole file", "copy it again"))
    left_out.add("b.nii", DataError("b.nii", "no image"), told=True)
    assert noting.notes == ["Left out: a: a.nii: damaged; expected a whole file"]
    said = str(left_out.error())
    assert "3 of 5 done, in out; 2 could not be segmented:" in said
    assert "  a: a.nii: damaged; expected a whole file\n  b.nii: no image" in said
    assert left_out.names == {"a", "b.nii"} and left_out.name_of(DataError("in/x/c.nii", "no image")) == "x/c.nii"


def test_the_fault_of_the_only_case_is_raised(noting: Noting) -> None:
    left_out, fault = left_out_of(noting, alone=True), DataError("a", "damaged")
    with pytest.raises(DataError) as raised:
        left_out.add("a", fault)
    assert raised.value is fault and not noting.notes
    with pytest.raises(KeyError):
        left_out.judge("a", KeyError("a field"))


def test_what_befalls_several_in_a_row_is_no_matter_of_the_cases(noting: Noting) -> None:
    left_out = left_out_of(noting)
    for between in (left_out.went_well, lambda: left_out.judge("b", DataError("b", "damaged"))):
        for _ in range(IN_A_ROW - 1):
            judged = left_out.judge("a", KeyError("a field"))
            assert isinstance(judged, DataError) and judged.found.startswith("KeyError in ")
        between()
    plan = PlanError("2d", "no numbers")
    assert [left_out.judge("a", plan) for _ in range(IN_A_ROW - 1)] == [plan] * (IN_A_ROW - 1)
    with pytest.raises(PlanError):
        left_out.judge("a", plan)
