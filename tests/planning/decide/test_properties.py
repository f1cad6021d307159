"""What holds for the plan of any data set: 1 to 600 voxels an axis, 0.2 to 10 mm, 1 to 20 cases, 1 to 12 labels.

Labels lie in one place or follow each other along an axis; some data sets have a CT channel, some were cropped. Cases
of one data set differ in shape and spacing by up to a third, as those of a scanner's protocol do. Data sets of which
nothing can be planned (a line of voxels) are drawn as well and put aside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.budget.fit_to_time import fit_plan_to_budget
from autospine.planning.budget.measurements import PRECISELY, Budget
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.network import Narrowing
from autospine.planning.decide.planner import configure, make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.estimate.tiers import MEMORY_TIERS_GB
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.training.step import Stepper
from tests.cards import card_of

MakeFingerprint = Callable[..., Fingerprint]
Drawn = dict[str, Any]
ENCODERS = st.sampled_from(("plain", "residual"))
MACHINES = st.sampled_from((Machine(), Machine("float32"), Machine("float32", threads=16)))


@st.composite
def data_sets(draw: st.DrawFn, longest: int = 600) -> Drawn:
    """Arguments of `make_fingerprint`."""
    shape = draw(st.tuples(*[st.integers(1, longest)] * 3))
    spacing = draw(st.tuples(*[st.sampled_from((0.2, 0.5, 0.78, 1.0, 1.25, 3.0, 4.4, 10.0))] * 3))
    cases = draw(st.integers(1, 20))
    near = st.sampled_from((1.0, 1.0, 0.75, 1.3))
    shapes, spacings = [], []
    for _ in range(cases):
        longer, wider = draw(near), draw(near)
        shapes.append(tuple(min(longest, max(1, round(edge * longer))) for edge in shape))
        spacings.append(tuple(min(10.0, max(0.2, step * wider)) for step in spacing))
    labels = draw(st.integers(1, 12))
    column, crop = draw(st.sampled_from((None, 0, 1, 2))), draw(st.sampled_from((None, 0, 40)))
    # labels in one place, or one after the other along an axis: with three or more, a column of levels
    centroids = [tuple(50.0 + 30.0 * index * (axis == column) for axis in range(3)) for index in range(labels)]
    return {
        "shapes": shapes,
        "spacings": spacings,
        "labels": [f"label {index}" for index in range(labels)],
        "channels": [f"MR {index}" for index in range(draw(st.integers(1, 3)))] + draw(st.sampled_from(([], ["CT"]))),
        "centroids": centroids,
        "full_shape": None if crop is None else tuple(max(edges) + crop for edges in zip(*shapes, strict=True)),
        "voxels": draw(st.tuples(*[st.integers(1, 100_000)] * labels)),
    }


def plan_of(fingerprint: Fingerprint, recipe: Recipe, **how: Any) -> Plan:
    """The plan, or the example is put aside where the data allow none."""
    try:
        return make_plan(fingerprint, recipe, **how)
    except PlanError as error:
        assert "a configuration that the data allow" in error.expected
        assume(False)
        raise


def properties(examples: int) -> Callable[..., Any]:
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_stages(configuration: Configuration) -> None:
    """Patches are divisible, and an axis is halved only while it keeps 4 voxels; one that starts below 8 never is."""
    for axis, edge in enumerate(configuration.patch):
        edges = [edge]
        for stride in configuration.network.strides:
            assert edges[-1] % stride[axis] == 0
            edges.append(edges[-1] // stride[axis])
        assert edges[-1] == edge or edges[-1] >= 4


@properties(20)
@given(data_sets(), ENCODERS, st.sampled_from(MEMORY_TIERS_GB), MACHINES)
def test_any_data_set_gets_a_sound_plan(
    make_fingerprint: MakeFingerprint, drawn: Drawn, encoder: str, memory_gb: float, machine: Machine
) -> None:
    fingerprint, recipe = make_fingerprint(**drawn), Recipe(encoder=encoder, memory_gb=memory_gb)
    plan = plan_of(fingerprint, recipe, machine=machine)
    planned = {configuration.name for configuration in plan.configurations}
    left_out = {key.removeprefix("left_out.") for key in plan.reasons if key.startswith("left_out.")}
    assert planned | left_out == set(recipe.configurations)
    assert not planned & left_out
    assert plan.default not in ("3d_lowres", "3d_cascade_fullres")
    for configuration in plan.configurations:
        check_stages(configuration)
        assert configuration.batch >= 2
        smallest = "the smallest patch" in plan.reasons[f"{configuration.name}.patch"]
        assert training_memory_gb(configuration, machine) <= memory_gb or (smallest and memory_gb < 8)
    # a pure function: the same bytes, which hold the whole plan
    text = plan_to_toml(plan)
    assert text == plan_to_toml(make_plan(make_fingerprint(**drawn), recipe, machine=machine))
    assert plan_from_toml(text) == plan


@properties(5)
@given(data_sets(), ENCODERS, MACHINES)
def test_more_memory_never_shows_less(
    make_fingerprint: MakeFingerprint, drawn: Drawn, encoder: str, machine: Machine
) -> None:
    """On one grid: the low resolution, whose voxels become smaller with more memory, and its cascade are left out."""
    which = ("2d", "2.5d", "3d_fullres")
    fingerprint, recipe = make_fingerprint(**drawn), Recipe(encoder=encoder, configurations=which)
    found: dict[str, list[int]] = {}
    for memory_gb in MEMORY_TIERS_GB:
        recipe = replace(recipe, memory_gb=memory_gb)
        for configuration in plan_of(fingerprint, recipe, machine=machine).configurations:
            found.setdefault(configuration.name, []).append(prod(configuration.patch) * configuration.batch)
    for voxels in found.values():
        assert len(voxels) == len(MEMORY_TIERS_GB)
        assert all(less <= more for less, more in pairwise(voxels))


@properties(12)
@given(
    data_sets(longest=120),
    ENCODERS,
    st.sampled_from(("auto", "msff")),
    st.sampled_from(("2d", "2.5d", "3d_fullres", "3d_cascade_fullres")),
)
def test_any_plan_trains_a_step(
    make_fingerprint: MakeFingerprint, drawn: Drawn, encoder: str, bottleneck: str, name: str
) -> None:
    """Topology and channels are the plan's own; width, patch and batch are held small for the sake of time."""
    fingerprint = make_fingerprint(**drawn)
    recipe = Recipe(encoder=encoder, bottleneck=bottleneck, memory_gb=2.0)
    plan = plan_of(fingerprint, recipe)
    assume(name in [configuration.name for configuration in plan.configurations])
    size = len(plan.configuration(name).patch)
    small = Narrowing(base_features=2, feature_cap=4, max_batch=2, patch_limit=(40,) * size)
    configuration = configure(Basis.of(fingerprint, recipe), name, small).value
    check_stages(configuration)
    check_step(configuration)


@pytest.mark.parametrize("encoder", ["plain", "residual"])
@pytest.mark.parametrize(("name", "entering"), [("3d_lowres", 1), ("3d_cascade_fullres", 3)])
def test_low_resolution_and_cascade_train_a_step(
    make_fingerprint: MakeFingerprint, encoder: str, name: str, entering: int
) -> None:
    """Drawn too seldom above: only volumes far larger than the memory have them."""
    large = make_fingerprint([(300, 300, 300)] * 2, [(1.0, 1.0, 1.0)] * 2)
    small = Narrowing(base_features=2, feature_cap=4, max_batch=1, patch_limit=(32, 32, 32))
    configuration = configure(Basis.of(large, Recipe(encoder=encoder)), name, small).value
    assert configuration.network.in_channels == entering
    check_step(configuration)


@properties(15)
@given(data_sets(), ENCODERS, st.floats(9, 15), st.sampled_from((0.0001, 0.003)))
def test_any_data_set_gets_a_plan_for_any_time(
    make_fingerprint: MakeFingerprint, drawn: Drawn, encoder: str, speed: float, overhead_s: float
) -> None:
    """On machines of 10^9 to 10^15 multiply-adds a second, by the work of a step alone."""
    fingerprint, recipe = make_fingerprint(**drawn), Recipe(encoder=encoder, configurations=("2d", "3d_fullres"))
    plan = plan_of(fingerprint, recipe)

    def seconds(configuration: Configuration, bounds: tuple[float, float] = PRECISELY) -> float:
        work = multiply_adds(configuration.network, configuration.patch, configuration.batch)
        return float(overhead_s + 3 * work / 10**speed)

    work: dict[str, list[float]] = {}
    for minutes in (1, 30, 600, 20_000):
        fitted = fit_plan_to_budget(plan, fingerprint, recipe, Budget(60.0 * minutes, seconds))
        assert plan_from_toml(plan_to_toml(fitted.plan)) == fitted.plan
        for configuration in fitted.plan.configurations:
            check_stages(configuration)
            before, expected = plan.configuration(configuration.name), fitted.expected[configuration.name]
            assert configuration.training.budget_s == 60 * minutes
            assert expected.steps is not None
            assert expected.steps * seconds(configuration) <= 60 * minutes
            assert expected.memory_gb <= 8.0
            assert max(configuration.network.features) <= max(before.network.features)
            assert configuration.batch <= before.batch
            work.setdefault(configuration.name, []).append(seconds(configuration) - overhead_s)
    for spent in work.values():  # more time never gives a step of less work
        assert all(less <= more for less, more in pairwise(spent))


def check_step(configuration: Configuration) -> None:
    """One training step, as training does it, changes every weight that has a say in the loss, and to finite values."""
    torch.manual_seed(0)
    network, patch = configuration.network, configuration.patch
    stepper = Stepper.of(card_of(configuration), torch.device("cpu"))
    before = {name: weight.detach().clone() for name, weight in stepper.network.named_parameters()}
    truth = torch.randint(0, network.out_channels, (configuration.batch, *patch))
    loss = stepper.step(torch.randn(configuration.batch, network.in_channels, *patch), truth)
    assert torch.isfinite(loss)
    after = dict(stepper.network.named_parameters())
    assert all(bool(torch.isfinite(weight).all()) for weight in after.values())
    # the coarsest head of deep supervision weighs nothing
    first, finest = next(name for name in after if name.startswith(("stem", "encoder"))), "heads.0.weight"
    assert all(not torch.equal(before[name], after[name]) for name in (first, finest))
