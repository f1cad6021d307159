from __future__ import annotations

from dataclasses import replace
from math import isfinite, prod

import pytest

from autospine.machine.arithmetic import Machine
from autospine.planning.budget.fit_to_time import Fitted, default_within_budget, fit_plan_to_budget, fit_to_budget
from autospine.planning.budget.fit_to_time import rungs_of as all_rungs
from autospine.planning.budget.ladder import ladder
from autospine.planning.budget.measurements import BRIEFLY, PRECISELY, SURE, Budget, Measure, Measurements
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expected
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import Fingerprint
from tests.planning.conftest import MakeFingerprint


class Clock:
    """Seconds a step of a machine with a fixed speed and overhead; remembers what it was asked.

    A glance, at what is surely faster or slower than the bounds, is off by the factor `glance`.
    """

    def __init__(self, multiply_adds_per_second: float, overhead_s: float = 0.0, glance: float = 1.0) -> None:
        self.speed = multiply_adds_per_second
        self.overhead_s = overhead_s
        self.glance = glance
        self.asked: list[Configuration] = []
        self.bounds: list[tuple[float, float]] = []

    def __call__(self, configuration: Configuration, bounds: tuple[float, float] = PRECISELY) -> float:
        self.asked.append(configuration)
        self.bounds.append(bounds)
        work = multiply_adds(configuration.network, configuration.patch, configuration.batch)
        seconds = self.overhead_s + 3 * work / self.speed
        glanced = seconds * self.glance
        return seconds if bounds[0] <= glanced <= bounds[1] else glanced


USUAL = Recipe()


def fitted_2d(fingerprint: Fingerprint, clock: Measure, budget_s: float, recipe: Recipe = USUAL) -> Fitted:
    measurements = Measurements(Budget(budget_s, clock, device="CPU, 2 cores"))
    configuration = make_plan(fingerprint, recipe).configuration("2d")
    rungs = all_rungs(Basis.of(fingerprint, recipe), configuration)
    return fit_to_budget(recipe, configuration, rungs, measurements, measurements.precise)


def fit(
    fingerprint: Fingerprint, clock: Measure, budget_s: float, recipe: Recipe = USUAL
) -> tuple[Configuration, dict[str, str]]:
    """2D alone, and the reasons of the plan with its own."""
    fitted = fitted_2d(fingerprint, clock, budget_s, recipe)
    return fitted.configuration, {**make_plan(fingerprint, recipe).reasons, **fitted.reasons}


def same_as(configuration: Configuration) -> tuple[object, ...]:
    """What the time of a step depends on."""
    return configuration.network, configuration.patch, configuration.batch


def rungs_of(fingerprint: Fingerprint) -> list[tuple[Configuration, int]]:
    configuration = make_plan(fingerprint, Recipe()).configuration("2d")
    rungs = ladder(Basis.of(fingerprint, Recipe()), configuration)
    return [(rung.configuration, rung.least_steps) for rung in rungs]


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


@pytest.mark.parametrize("speed", [3e9, 3e10, 3e11])
@pytest.mark.parametrize("seconds", [300.0, 1800.0, 7200.0])
def test_what_is_trained_first_is_measured_well_and_the_others_at_a_glance(
    lumbar: Fingerprint, speed: float, seconds: float
) -> None:
    clock = Clock(speed)
    plan = fit_plan_to_budget(make_plan(lumbar, Recipe()), lumbar, Recipe(), Budget(seconds, clock)).plan
    seen = list(zip(clock.asked, clock.bounds, strict=True))
    for configuration in plan.configurations:
        own = [
            bounds
            for rung, bounds in seen
            if (rung.name, same_as(rung)) == (configuration.name, same_as(configuration))
        ]
        well = sum(least <= clock(configuration) <= most for least, most in own)
        assert own and well == 1 if configuration.name == plan.default else well <= 1
        assert (PRECISELY in own) <= (configuration.name == plan.default)
    flat, between = plan.configuration("2d"), plan.configuration("2.5d")
    assert flat.batch == between.batch and flat.network == replace(between.network, in_channels=1)
    # 2.5d is 2d but for what enters: which of its rungs fit is known
    assert [bounds for rung, bounds in seen if rung.name == "2.5d"] == [BRIEFLY, BRIEFLY]


def test_what_goes_first_is_held_against_its_own_measurement(lumbar: Fingerprint) -> None:
    """At a glance a step takes six tenths of its time: the richest rung of the glance does not stand."""
    clock = Clock(3e10, glance=0.6)
    plan = make_plan(lumbar, Recipe())
    flat = plan.configuration("2d")
    least = {same_as(rung): steps for rung, steps in rungs_of(lumbar)}
    differ = 0
    for budget_s in range(300, 9000, 600):
        measurements = Measurements(Budget(budget_s, clock))
        rungs = all_rungs(Basis.of(lumbar, Recipe()), flat)
        glanced = fit_to_budget(Recipe(), flat, rungs, measurements, measurements.own).configuration
        fitted = fit_plan_to_budget(plan, lumbar, Recipe(), Budget(budget_s, clock))
        first, expected = fitted.plan.configuration("2d"), fitted.expected["2d"]
        assert fitted.plan.default == "2d"
        assert expected.seconds_per_step == pytest.approx(clock(first), abs=1e-4)
        assert (expected.steps or 0) + 1 >= least[same_as(first)]
        said = fitted.plan.reasons["default"]
        assert "steps instead" not in said or f"steps instead of {expected.steps}" in said
        differ += same_as(glanced) != same_as(first)
    assert differ > 1


@pytest.mark.parametrize("glance", [0.7, 0.9, 1.1, 1.3])
@pytest.mark.parametrize("minutes", [3, 30, 200])
def test_a_glance_decides_nothing_that_is_close(lumbar: Fingerprint, glance: float, minutes: int) -> None:
    clock, budget_s = Clock(3e10, glance=glance), 60.0 * minutes
    one = fitted_2d(lumbar, clock, budget_s)
    fitted, expected = one.configuration, one.expected
    exact, _ = fit(lumbar, Clock(3e10), budget_s)
    assert expected.seconds_per_step == pytest.approx(clock(fitted), abs=1e-4)
    least = {same_as(rung): steps for rung, steps in rungs_of(lumbar)}
    assert (expected.steps or 0) + 1 >= least[same_as(fitted)]
    if glance < SURE:  # a step that looks too slow to try is a rung lost at most
        assert same_as(fitted) == same_as(exact)


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


class BusyClock(Clock):
    """A machine that another process takes from one look on, for some of them: every step is `slower` times as long."""

    def __init__(self, multiply_adds_per_second: float, busy: range, slower: float) -> None:
        super().__init__(multiply_adds_per_second)
        self.busy = busy
        self.slower = slower

    def __call__(self, configuration: Configuration, bounds: tuple[float, float] = PRECISELY) -> float:
        seconds = super().__call__(configuration, bounds)
        return seconds * self.slower if len(self.asked) - 1 in self.busy else seconds


@pytest.mark.parametrize(("minutes", "looks", "slower"), [(5, 1, 25.0), (5, 2, 1.5), (30, 2, 4.0), (120, 1, 1.5)])
def test_a_busy_moment_changes_no_plan(lumbar: Fingerprint, minutes: int, looks: int, slower: float) -> None:
    plan = make_plan(lumbar, Recipe())
    quiet = Clock(3e10)
    expected = fit_plan_to_budget(plan, lumbar, Recipe(), Budget(60.0 * minutes, quiet))
    for first in range(len(quiet.asked)):
        clock = BusyClock(3e10, range(first, first + looks), slower)
        fitted = fit_plan_to_budget(plan, lumbar, Recipe(), Budget(60.0 * minutes, clock))
        assert fitted.plan.default == expected.plan.default
        for name in (configuration.name for configuration in plan.configurations):
            one, other = fitted.plan.configuration(name), expected.plan.configuration(name)
            assert same_as(one) == same_as(other), (first, name)
            assert fitted.expected[name].steps == expected.expected[name].steps, (first, name)
        assert len(clock.asked) <= len(quiet.asked) + 6


def test_a_machine_that_stays_busy_is_believed(lumbar: Fingerprint) -> None:
    fitted = fitted_2d(lumbar, BusyClock(12e10, range(1000), 4.0), 1800.0)
    quiet = fitted_2d(lumbar, Clock(3e10), 1800.0)
    assert same_as(fitted.configuration) == same_as(quiet.configuration) and fitted.expected == quiet.expected


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
