from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import EXPECTED, Estimated, Expected, read_expected, write_expected
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.estimate.expected import (
    check_memory,
    expect,
    expectation_key,
    renew_estimated,
    was_edited,
)
from autospine.planning.estimate.memory import training_memory_gb

CPU = "CPU, 2 cores, float32"


@pytest.fixture
def timed(make_plan: Callable[..., Plan]) -> Estimated:
    """A plan with a measured step."""
    plan = make_plan()
    known = expect(plan.configuration(), Machine("float32", 2), device=CPU, seconds_per_step=0.5, steps=100)
    return Estimated(plan, {"3d_fullres": known})


def edited(timed: Estimated, configuration: Configuration) -> Estimated:
    return replace(timed, plan=timed.plan.with_configuration(configuration, {}))


WHY = "estimated anew for the numbers as they stand"


def test_memory_is_estimated_where_nothing_is_known(make_plan: Callable[..., Plan]) -> None:
    renewed, notes = renew_estimated(Estimated(make_plan()))
    configuration = renewed.plan.configuration()
    needed = training_memory_gb(configuration, Machine())
    expected = Expected(needed, made_for=expectation_key(configuration), why=WHY)
    assert renewed.expected == {"3d_fullres": expected}
    assert notes == ()


def test_what_was_estimated_stays_on_another_machine_and_through_its_file(timed: Estimated, tmp_path: Path) -> None:
    assert renew_estimated(timed, Machine("float32", threads=16)) == (timed, ())
    write_expected(tmp_path / EXPECTED, timed.expected)
    standing = Estimated(plan_from_toml(plan_to_toml(timed.plan)), read_expected(tmp_path / EXPECTED))
    assert renew_estimated(standing) == (timed, ())


def test_of_a_configuration_that_is_gone_nothing_is_expected(timed: Estimated) -> None:
    more = replace(timed, expected={**timed.expected, "2d": Expected(1.0)})
    assert renew_estimated(more) == (timed, ())


EDITS: list[dict[str, Any]] = [
    {"batch": 20},
    {"patch": (8, 16, 18)},
    {"network": {"convs_decoder": 1}},
    {"network": {"kernels": ((1, 3, 3), (3, 3, 3))}},
    {"training": {"optimiser": "adamw"}},
    {"training": {"budget_s": 60.0}},
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_drops_what_was_timed_of_other_numbers(timed: Estimated, edit: dict[str, Any]) -> None:
    before = timed.plan.configuration()
    changes = {
        key: replace(getattr(before, key), **value) if isinstance(value, dict) else value for key, value in edit.items()
    }
    other = replace(before, **changes)
    renewed, (note,) = renew_estimated(edited(timed, other), Machine("float32"))
    needed = training_memory_gb(other, Machine("float32"))
    assert renewed.expected == {"3d_fullres": Expected(needed, made_for=expectation_key(other), why=WHY)}
    assert note == (
        f"3d_fullres was edited: a training is now expected to take {needed:.3g} GB, the plan was written for "
        f"{timed.expected['3d_fullres'].memory_gb:.3g} GB; the time of a step is no longer known"
    )
    assert renew_estimated(renewed) == (renewed, ())


@pytest.mark.parametrize("key", ["learning_rate", "rotation_deg", "momentum"])
def test_an_edit_that_costs_nothing_is_none(timed: Estimated, key: str) -> None:
    before = timed.plan.configuration()
    other = replace(before, training=replace(before.training, **{key: 0.5}), spacing_mm=(2.0, 1.0, 1.0))
    assert not was_edited(other, timed.expected["3d_fullres"])


def test_budgets_of_whole_and_broken_seconds_are_the_same(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration()
    whole, broken = (replace(configuration.training, budget_s=seconds) for seconds in (60, 60.0))
    assert expectation_key(replace(configuration, training=whole)) == expectation_key(
        replace(configuration, training=broken)
    )


def test_an_expectation_of_unknown_origin_is_made_anew(timed: Estimated) -> None:
    unknown = {name: replace(one, made_for=None) for name, one in timed.expected.items()}
    renewed, notes = renew_estimated(replace(timed, expected=unknown))
    assert renewed.expected["3d_fullres"].seconds_per_step is None
    assert len(notes) == 1


def test_a_plan_beyond_the_device_is_refused(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration()
    needed = training_memory_gb(configuration, Machine())
    check_memory(configuration, needed, "cuda:0", "plan.toml")
    check_memory(configuration, None, "cpu", "plan.toml")
    with pytest.raises(PlanError) as caught:
        check_memory(replace(configuration, batch=400), needed, "the CPU", "runs/demo/plan.toml")
    error = caught.value
    assert error.where == "runs/demo/plan.toml, configuration 3d_fullres"
    assert f"; the CPU has {needed:.3g} GB" in error.found


def test_each_thread_counts(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration()
    single, many = (training_memory_gb(configuration, Machine("float32", threads)) for threads in (1, 64))
    check_memory(configuration, single, "the CPU", "plan.toml", Machine("float32"))
    with pytest.raises(PlanError, match=f"expected to take {many:.3g} GB"):
        check_memory(configuration, single, "the CPU", "plan.toml", Machine("float32", threads=64))


@pytest.mark.parametrize(
    ("device_gb", "remedy"),
    [
        (11.8, "make batch or patch smaller there, or run `autospine plan DATASET --memory 8GB --overwrite`"),
        (2.0, "make batch or patch smaller there, or run `autospine plan DATASET --memory 2GB --overwrite`"),
        (1.9, "make batch or patch smaller there"),  # no plan is made for less than 2 GB
    ],
)
def test_the_remedy_is_a_memory_that_is_planned_for(
    make_configuration: Callable[..., Configuration], device_gb: float, remedy: str
) -> None:
    with pytest.raises(PlanError) as caught:
        check_memory(make_configuration(batch=10_000, patch=(64, 64, 64)), device_gb, "the CPU", "plan.toml")
    assert caught.value.remedy == remedy
