from __future__ import annotations

from dataclasses import replace
from math import isfinite, prod

import pytest

from autospine.machine.arithmetic import Machine
from autospine.planning.budget.fit_to_time import Fitted, default_within_budget, fit_plan_to_budget, fit_to_budget
from autospine.planning.budget.fit_to_time import rungs_of as all_rungs
from autospine.planning.budget.measurements import BRIEFLY, Budget, Measurements
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expected
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import Fingerprint
from tests.planning.budget.clocks import Clock, fit, fitted_2d, rungs_of, same_as
from tests.planning.conftest import MakeFingerprint


def test_a_fast_machine_keeps_the_plan(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    fitted, reasons = fit(lumbar, Clock(1e15), 1800.0)
    before = plan.configuration("2d")
    assert replace(fitted, training=before.training) == before
    assert fitted.training.budget_s == 1800.0
    assert fitted.training.optimiser == "sgd"  # long enough for the reference's own optimiser
    assert "nothing had to be narrowed" in reasons["2d.training.budget_s"]
    assert set(reasons) == {*plan.reasons, "2d.training.budget_s"}


def test_a_slow_machine_gets_the_richest_rung_that_fits(lumbar: Fingerprint) -> None:
    clock = Clock(3e10)
    fitted, reasons = fit(lumbar, clock, 1800.0)
    rungs = rungs_of(lumbar)
    same = [same_as(rung) == same_as(fitted) for rung, _ in rungs]
    place = same.index(True)
    assert 0 < place < len(rungs) - 1
    assert clock(fitted) * rungs[place][1] <= 0.9 * 1800.0
    assert all(clock(rung) * least > 0.9 * 1800.0 for rung, least in rungs[:place])
    assert (fitted.training.optimiser, fitted.training.learning_rate) == ("adamw", 2e-3)
    steps = int(0.9 * 1800.0 / clock(fitted))
    assert steps <= fitted.training.epochs * fitted.training.steps_per_epoch < steps + steps // 10
    assert 28 <= fitted.training.epochs <= 32
    assert f"about {steps} steps in 30 min" in reasons["2d.training.budget_s"]
    assert "narrowed for the time budget from 224 x 224" in reasons["2d.patch"]


def test_the_plan_says_what_it_expects(lumbar: Fingerprint) -> None:
    clock = Clock(3e10)
    one = fitted_2d(lumbar, clock, 1800.0)
    fitted, expected = one.configuration, one.expected
    assert expected.device == "CPU, 2 cores"
    assert expected.seconds_per_step == pytest.approx(clock(fitted), abs=1e-4)
    assert expected.steps == int(0.9 * 1800.0 / clock(fitted))
    # adamw keeps two states a weight, the plan before it one
    assert expected.memory_gb == training_memory_gb(fitted, Machine())


def test_more_time_never_gives_a_poorer_plan(lumbar: Fingerprint) -> None:
    work = []
    for minutes in (1, 5, 30, 120, 600):
        fitted, _ = fit(lumbar, Clock(3e10), 60.0 * minutes)
        work.append(multiply_adds(fitted.network, fitted.patch, 1))
    assert work == sorted(work)
    assert work[0] < work[-1]


@pytest.mark.parametrize("speed", [3e9, 3e10, 3e11])
def test_few_rungs_are_measured_and_none_that_is_hopeless(lumbar: Fingerprint, speed: float) -> None:
    clock = Clock(speed)
    fit(lumbar, clock, 1800.0)
    assert len(clock.asked) <= 5
    assert clock.asked[0].network.features[0] == 8  # the narrowest first: it is cheap
    assert max(map(clock, tuple(clock.asked))) < 10


@pytest.mark.parametrize("factor", [1.5, float("inf")])
def test_2_5d_that_takes_longer_than_2d_comes_down_by_itself(lumbar: Fingerprint, factor: float) -> None:
    """Batches of neighbours, or memory that ends between the two."""
    clock = Clock(3e10)

    def slower(configuration: Configuration, bounds: tuple[float, float]) -> float:
        heavy = configuration.name == "2.5d" and (isfinite(factor) or configuration.network.features[0] > 16)
        return clock(configuration, bounds) * (factor if heavy else 1.0)

    fitted = fit_plan_to_budget(make_plan(lumbar, Recipe()), lumbar, Recipe(), Budget(3400.0, slower))
    plan = fitted.plan
    flat, between = plan.configuration("2d"), plan.configuration("2.5d")
    assert flat.network.features[0] == 32 and between.network.features[0] == 16
    assert (fitted.expected["2.5d"].steps or 0) > 500


def test_a_low_resolution_and_its_cascade_are_fitted(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 40, [(1.0, 1.0, 1.0)] * 40)
    before = make_plan(large, Recipe())
    names = [configuration.name for configuration in before.configurations]
    assert names[-2:] == ["3d_lowres", "3d_cascade_fullres"]
    clock = Clock(3e11)
    fitted = fit_plan_to_budget(before, large, Recipe(), Budget(7200.0, clock))
    plan = fitted.plan
    full, cascade = plan.configuration("3d_fullres"), plan.configuration("3d_cascade_fullres")
    assert cascade.previous == "3d_lowres" and cascade.network.in_channels == full.network.in_channels + 2
    for configuration in plan.configurations:
        expected = fitted.expected[configuration.name]
        assert expected.seconds_per_step == pytest.approx(clock(configuration), abs=1e-4)
    # a cascade's batches take longer to make: it is looked at by itself
    assert len([rung for rung in clock.asked if rung.name == "3d_cascade_fullres"]) > 1


def test_a_day_on_a_large_gpu_trains_the_whole_plan(make_fingerprint: MakeFingerprint) -> None:
    """80 GB, a hundred times the speed of two CPU cores, 24 hours."""
    recipe = replace(Recipe(), memory_gb=80.0)
    cases = make_fingerprint([(300, 300, 60)] * 200, [(1.0, 1.0, 3.0)] * 200)
    before = make_plan(cases, recipe, machine=Machine("half"))
    clock = Clock(2e13, overhead_s=0.01)
    plan = fit_plan_to_budget(before, cases, recipe, Budget(86400.0, clock, "GPU", Machine("half"))).plan
    smaller = make_plan(cases, replace(recipe, memory_gb=8.0), machine=Machine("half"))
    for configuration in plan.configurations:
        whole = before.configuration(configuration.name)
        assert same_as(configuration) == same_as(whole)
        assert configuration.training.optimiser == "sgd"
        steps = configuration.training.epochs * configuration.training.steps_per_epoch
        assert steps * clock(configuration) == pytest.approx(0.9 * 86400, rel=0.05)
        less = smaller.configuration(configuration.name)
        assert prod(whole.patch) * whole.batch > prod(less.patch) * less.batch


def test_what_adamw_remembers_has_to_fit_too(lumbar: Fingerprint) -> None:
    """A memory that holds the plan with SGD, but not with AdamW's second moment."""
    recipe = Recipe()
    configuration = make_plan(lumbar, recipe).configuration("2d")
    least, most = (
        training_memory_gb(replace(configuration, training=replace(configuration.training, optimiser=optimiser)))
        for optimiser in ("sgd", "adamw")
    )
    assert least < most
    measurements = Measurements(Budget(1800.0, Clock(1e13), machine=Machine("float32")))
    tight = replace(recipe, memory_gb=(least + most) / 2)
    rungs = all_rungs(Basis.of(lumbar, tight, Machine("float32")), configuration)
    fitted = fit_to_budget(tight, configuration, rungs, measurements, measurements.precise)
    assert fitted.expected.memory_gb <= (least + most) / 2
    assert same_as(fitted.configuration) != same_as(configuration)


def test_a_rung_whose_work_says_that_it_is_hopeless_is_not_tried(lumbar: Fingerprint) -> None:
    narrowest, _ = rungs_of(lumbar)[-1]
    work = multiply_adds(narrowest.network, narrowest.patch, narrowest.batch)
    clock = Clock(3 * work)  # the narrowest takes a second, of the 1.2 there are
    fitted, _ = fit(lumbar, clock, 1.2 / 0.9)
    assert (fitted.patch, fitted.batch) == (narrowest.patch, narrowest.batch)
    assert [same_as(asked) for asked in clock.asked] == [same_as(narrowest)] * 2
    assert clock.bounds[1] == BRIEFLY  # what was measured is looked at once more, at another time


@pytest.mark.parametrize("overhead_s", [0.002, 0.02])
def test_the_overhead_of_a_gpu_does_not_keep_it_from_the_whole_plan(lumbar: Fingerprint, overhead_s: float) -> None:
    clock = Clock(3e13, overhead_s)
    fitted, reasons = fit(lumbar, clock, 7200.0)
    assert fitted.network.convs_decoder == 2
    assert "nothing had to be narrowed" in reasons["2d.training.budget_s"]


def test_a_rung_that_is_slower_than_its_work_says_leaves_those_below_it(lumbar: Fingerprint) -> None:
    """Caches overflow: from a width of 32 on a step takes ten times as long as its work says."""
    plain = Clock(1e11)

    def overflowing(configuration: Configuration, bounds: tuple[float, float]) -> float:
        return plain(configuration) * (10 if configuration.network.features[0] >= 32 else 1)

    fitted, _ = fit(lumbar, overflowing, 1800.0)
    assert fitted.network.features[0] == 16
    richest = next(rung for rung, _ in rungs_of(lumbar) if rung.network.features[0] == 16)
    assert fitted.patch == richest.patch and fitted.spacing_mm == richest.spacing_mm


def test_the_narrowest_is_kept_where_nothing_fits(lumbar: Fingerprint) -> None:
    fitted, reasons = fit(lumbar, lambda configuration, bounds: 1000.0, 60.0)
    assert fitted.patch == rungs_of(lumbar)[-1][0].patch
    assert fitted.training.epochs == 1
    assert "expect a weak model" in reasons["2d.training.budget_s"]


def test_no_room_for_any_plan_expects_no_time(lumbar: Fingerprint) -> None:
    fitted = fitted_2d(lumbar, lambda configuration, bounds: float("inf"), 60.0)
    assert (fitted.expected.seconds_per_step, fitted.expected.steps) == (None, None)
    assert "memory is too small" in fitted.reasons["2d.training.budget_s"]


def test_a_recipe_that_names_its_optimiser_keeps_it(lumbar: Fingerprint) -> None:
    fitted, _ = fit(lumbar, Clock(3e10), 1800.0, replace(Recipe(), optimiser="sgd"))
    assert (fitted.training.optimiser, fitted.training.learning_rate) == ("sgd", 0.01)


def test_other_configurations_keep_their_reasons(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    _, reasons = fit(lumbar, Clock(1e11), 600.0)
    assert {key: reason for key, reason in reasons.items() if not key.startswith("2d.")} == {
        key: reason for key, reason in plan.reasons.items() if not key.startswith("2d.")
    }


def test_every_configuration_is_fitted(lumbar: Fingerprint) -> None:
    plan = fit_plan_to_budget(make_plan(lumbar, Recipe()), lumbar, Recipe(), Budget(1800.0, Clock(3e10))).plan
    assert [configuration.name for configuration in plan.configurations] == ["2d", "2.5d", "3d_fullres"]
    assert {configuration.training.budget_s for configuration in plan.configurations} == {1800.0}
    assert plan.default == "2d"
    assert "2d goes first" in plan.reasons["default"]


@pytest.mark.parametrize("names", [("2d", "2.5d"), ("2.5d", "3d_fullres"), ("3d_fullres",)])
def test_recipes_without_2d_or_3d_keep_their_default(lumbar: Fingerprint, names: tuple[str, ...]) -> None:
    recipe = replace(Recipe(), configurations=names)
    before = make_plan(lumbar, recipe)
    assert fit_plan_to_budget(before, lumbar, recipe, Budget(1800.0, Clock(3e10))).plan.default == before.default


def test_a_narrow_view_moves_the_label_off_the_middle(make_fingerprint: MakeFingerprint, lumbar: Fingerprint) -> None:
    cord = make_fingerprint(
        [(20, 320, 320)] * 8, [(3.0, 0.5, 0.5)] * 8, ("white", "grey"), voxels=(1600, 400), extent_mm=15.0
    )
    fitted, reasons = fit(cord, Clock(3e10), 600.0)
    assert fitted.patch == (128, 128)
    assert fitted.training.foreground_jitter == 0.5
    assert "narrow" in reasons["2d.training.foreground_jitter"]
    whole, _ = fit(lumbar, Clock(1e15), 600.0)
    assert whole.training.foreground_jitter == 0.0


def test_contrasts_are_made_up_where_there_are_steps_for_them(lumbar: Fingerprint) -> None:
    rich, why = fit(lumbar, Clock(1e15), 3600.0)
    assert rich.training.random_contrast == 0.25 and "1 kind of scan" in why["2d.training.random_contrast"]
    short, why = fit(lumbar, Clock(3e10), 60.0)
    assert short.training.random_contrast == 0.0 and "too few" in why["2d.training.random_contrast"]
    asked, _ = fit(lumbar, Clock(3e10), 60.0, Recipe(random_contrast=0.7))
    assert asked.training.random_contrast == 0.7


def test_a_budget_keeps_the_shift(lumbar: Fingerprint) -> None:
    """Cases 100 mm taller show what lies below L5."""
    cases = [replace(case, shape=(324, *case.shape[1:]), cropped_shape=(324, *case.shape[1:])) for case in lumbar.cases]
    tall = replace(lumbar, cases=tuple(cases))
    fitted, _ = fit(tall, Clock(3e10), 600.0)
    whole = make_plan(tall, Recipe()).configuration("2d")
    assert fitted.spacing_mm != whole.spacing_mm
    assert fitted.training.shift == whole.training.shift == 0.15


def test_a_few_steps_are_few_epochs(lumbar: Fingerprint) -> None:
    fitted, _ = fit(lumbar, Clock(3e10), 30.0)
    training = fitted.training
    assert training.steps_per_epoch >= 20
    assert training.validation_steps <= training.steps_per_epoch / 10


def test_what_gave_up_less_goes_first(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    full = plan.configuration("3d_fullres")

    def timed(configuration: Configuration, seconds: float = 0.1, steps: int = 5000) -> Fitted:
        return Fitted(configuration, Expected(1.0, "cpu", seconds, steps), {})

    flat = timed(plan.configuration("2d"))
    chosen = default_within_budget((flat, timed(full, 5.0, 100)), Recipe())
    assert chosen is not None
    assert chosen[0] == "2d"
    assert "100 steps instead of 5000" in chosen[1]
    assert default_within_budget((flat, timed(full)), Recipe()) is None
    coarse = replace(full, spacing_mm=(4.0, 2.0, 2.0), patch=(20, 96, 96))
    near = replace(full, patch=(20, 128, 128))
    narrow = replace(full, network=replace(full.network, features=(8, 16, 32, 64, 128, 128)))
    for lesser, why in (
        (coarse, "spacing in plane of 2 x 2 mm instead of 1 x 1"),
        (near, "view in plane of 128 x 128 mm"),
        (narrow, "width of 8"),
    ):
        chosen = default_within_budget((flat, timed(lesser)), Recipe())
        assert chosen is not None
        assert chosen[0] == "2d"
        assert why in chosen[1]
        assert default_within_budget((flat, timed(lesser)), replace(Recipe(), default="3d_fullres")) is None
    assert default_within_budget((timed(coarse),), Recipe()) is None
    # half as wide it goes first where it gets steps enough for that
    half = replace(full, network=replace(full.network, features=(16, 32, 64, 128, 256, 256)))
    assert default_within_budget((flat, timed(half)), Recipe()) is None
    chosen = default_within_budget((flat, timed(half, steps=3999)), Recipe())
    assert chosen is not None and "width of 16 instead of 32" in chosen[1]
