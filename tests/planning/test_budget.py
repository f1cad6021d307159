from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.planning.budget import default_within_budget, fit_to_budget, ladder
from autospine.planning.cost import multiply_adds
from autospine.planning.fingerprint import Fingerprint
from autospine.planning.plan import Configuration
from autospine.planning.planner import make_plan
from autospine.planning.recipe import Recipe


class Clock:
    """Seconds a step of a machine with a fixed speed; counts how often it was asked."""

    def __init__(self, multiply_adds_per_second: float) -> None:
        self.speed = multiply_adds_per_second
        self.asked: list[Configuration] = []

    def __call__(self, configuration: Configuration) -> float:
        self.asked.append(configuration)
        return 3 * multiply_adds(configuration.network, configuration.patch, configuration.batch) / self.speed


@pytest.mark.parametrize("name", ["2d", "3d_fullres"])
def test_each_rung_costs_less(lumbar: Fingerprint, name: str) -> None:
    configuration = make_plan(lumbar, Recipe()).configuration(name)
    rungs = [configuration, *(rung.configuration for rung in ladder(lumbar, Recipe(), configuration))]
    work = [multiply_adds(rung.network, rung.patch, rung.batch) for rung in rungs]
    assert work == sorted(work, reverse=True)
    assert len(set(work)) == len(work)
    assert {rung.axis_order for rung in rungs} == {configuration.axis_order}


def test_the_ladder_of_slices(lumbar: Fingerprint) -> None:
    rungs = ladder(lumbar, Recipe(), make_plan(lumbar, Recipe()).configuration("2d"))
    found = [
        (rung.configuration.batch, rung.configuration.network.features[0], *rung.configuration.spacing_mm)
        for rung in rungs
    ]
    assert found == [
        (8, 32, 1.0, 1.0),
        (8, 16, 1.0, 1.0),
        (8, 16, 1.41, 1.41),
        (8, 16, 2.0, 2.0),
        (4, 16, 2.0, 2.0),
        (4, 8, 2.0, 2.0),
        (4, 8, 2.0, 2.0),
        (4, 8, 2.0, 2.0),
    ]
    assert [rung.configuration.patch for rung in rungs[2:]] == [(160, 160), *[(112, 112)] * 3, (96, 96), (56, 56)]
    assert rungs[3].configuration.network.features == (16, 32, 64, 128, 256)


def test_the_ladder_of_volumes_keeps_thick_slices(lumbar: Fingerprint) -> None:
    rungs = ladder(lumbar, Recipe(), make_plan(lumbar, Recipe()).configuration("3d_fullres"))
    assert [rung.configuration.spacing_mm for rung in rungs[:3]] == [(4, 1, 1), (4, 1.41, 1.41), (4, 2, 2)]
    assert {rung.configuration.batch for rung in rungs} == {2}
    assert all(rung.configuration.patch[0] <= 20 for rung in rungs)


def fit(fingerprint: Fingerprint, clock: Callable[[Configuration], float], budget_s: float, **kwargs: int):
    plan = make_plan(fingerprint, Recipe())
    return fit_to_budget(fingerprint, Recipe(), plan.configuration("2d"), plan.reasons, budget_s, clock, **kwargs)


def test_a_fast_machine_keeps_the_plan(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    fitted, reasons = fit(lumbar, Clock(1e15), 1800.0)
    assert replace(fitted, training=plan.configuration("2d").training) == plan.configuration("2d")
    assert fitted.training.budget_s == 1800.0
    assert fitted.training.optimiser == "sgd"  # long enough for the reference's own optimiser
    assert "nothing had to be narrowed" in reasons["2d.training.budget_s"]
    assert set(reasons) == {*plan.reasons, "2d.training.budget_s"}


def test_a_slow_machine_gets_the_first_rung_that_fits(lumbar: Fingerprint) -> None:
    clock = Clock(3e10)
    fitted, reasons = fit(lumbar, clock, 1800.0)
    assert clock(fitted) * 1500 <= 0.9 * 1800.0
    plan = make_plan(lumbar, Recipe())
    rungs = [rung.configuration for rung in ladder(lumbar, Recipe(), plan.configuration("2d"))]
    place = next(index for index, rung in enumerate(rungs) if rung.patch == fitted.patch and rung.batch == fitted.batch)
    assert 0 < place < len(rungs) - 1
    assert clock(rungs[place - 1]) * 1500 > 0.9 * 1800.0
    assert (fitted.training.optimiser, fitted.training.learning_rate) == ("adamw", 1e-3)
    steps = int(0.9 * 1800.0 / clock(fitted))
    assert steps <= fitted.training.epochs * fitted.training.steps_per_epoch < steps + steps // 10
    assert 28 <= fitted.training.epochs <= 32
    assert f"about {steps} steps in 30 min" in reasons["2d.training.budget_s"]
    assert "narrowed for the time budget from 224 x 224" in reasons["2d.patch"]


def test_hopeless_rungs_are_not_measured(lumbar: Fingerprint) -> None:
    clock = Clock(3e9)
    fit(lumbar, clock, 1800.0)
    assert len(clock.asked) <= 4
    assert clock.asked[0].network.features[0] == 8  # the narrowest first: it is cheap


def test_the_narrowest_is_kept_where_nothing_fits(lumbar: Fingerprint) -> None:
    fitted, reasons = fit(lumbar, lambda _: 1000.0, 60.0)
    assert fitted.patch == (56, 56)
    assert (fitted.training.epochs, fitted.training.steps_per_epoch) == (1, 1)
    assert "expect a weak model" in reasons["2d.training.budget_s"]


def test_other_configurations_keep_their_reasons(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    _, reasons = fit(lumbar, Clock(1e11), 600.0)
    assert {key: reason for key, reason in reasons.items() if not key.startswith("2d.")} == {
        key: reason for key, reason in plan.reasons.items() if not key.startswith("2d.")
    }


def test_what_gave_up_less_goes_first(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    flat, full = plan.configuration("2d"), plan.configuration("3d_fullres")
    assert default_within_budget((flat, full), Recipe()) is None
    coarse = replace(full, spacing_mm=(4.0, 2.0, 2.0), patch=(20, 96, 96))
    near = replace(full, patch=(20, 128, 128))
    narrow = replace(full, network=replace(full.network, features=(8, 16, 32, 64, 128, 128)))
    for lesser, why in (
        (coarse, "spacing in mm of 2 x 2 instead of 1 x 1"),
        (near, "view in mm of 128 x 128"),
        (narrow, "width of 8"),
    ):
        chosen = default_within_budget((flat, lesser), Recipe())
        assert chosen is not None
        assert chosen[0] == "2d"
        assert why in chosen[1]
        assert default_within_budget((flat, lesser), replace(Recipe(), default="3d_fullres")) is None
    assert default_within_budget((coarse,), Recipe()) is None
