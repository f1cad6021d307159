from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.memory import training_memory_gb
from autospine.planning.plan import Configuration, ExpectedPlan, Plan
from autospine.planning.validate import check_memory, renew_expected_memory


def test_memory_is_estimated_where_the_plan_says_nothing(make_plan: Callable[..., Plan]) -> None:
    plan, notes = renew_expected_memory(make_plan())
    assert plan.configuration().expected == ExpectedPlan(training_memory_gb(plan.configuration(), "half"))
    assert notes == ()


def test_an_edit_that_takes_more_memory_is_told(make_plan: Callable[..., Plan]) -> None:
    plan, _ = renew_expected_memory(make_plan())
    timed = replace(plan.configuration(), expected=replace(plan.configuration().expected, seconds_per_step=0.5))
    same, notes = renew_expected_memory(plan.with_configuration(timed, {}))
    assert same.configuration() == timed
    assert notes == ()
    edited = replace(timed, batch=20)
    renewed, (note,) = renew_expected_memory(plan.with_configuration(edited, {}))
    expected = renewed.configuration().expected
    assert expected == ExpectedPlan(training_memory_gb(edited, "half"))  # a time of another batch is no longer known
    assert expected.memory_gb > timed.expected.memory_gb
    assert note.startswith("3d_fullres was edited: a training is now expected to take ")


def test_a_plan_of_another_machine_is_no_edit(make_plan: Callable[..., Plan]) -> None:
    plan, _ = renew_expected_memory(make_plan(), "float32")
    assert renew_expected_memory(plan, "half") == (plan, ())


def test_a_plan_beyond_the_device_is_refused(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration()
    needed = training_memory_gb(configuration, "half")
    check_memory(configuration, needed, "cuda:0", "plan.toml")
    check_memory(configuration, None, "cpu", "plan.toml")
    with pytest.raises(PlanError) as caught:
        check_memory(replace(configuration, batch=400), needed, "the CPU", "runs/demo/plan.toml")
    error = caught.value
    assert error.where == "runs/demo/plan.toml, configuration 3d_fullres"
    assert f"; the CPU has {needed:.3g} GB" in error.found
    assert "batch, patch or features" in error.remedy
