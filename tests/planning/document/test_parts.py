"""The parts of a configuration: network, resampling, loss, training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import FoldLosses, LossPlan, ResamplingPlan
from autospine.planning.document.plan_file import plan_from_toml
from tests.planning.document.edited import FILE, HERE, REMEDY, edit

FAULTS = [
    ("kernels = [[3, 3, 3], [3, 3, 3]]", "kernels = [[3, 3, 3]]", f"{HERE}.network.kernels", "found [[3, 3, 3]]",
     "2 lists of 3 positive numbers, one per stage"),
    ("kernels = [[3, 3, 3], [3, 3, 3]]", "kernels = [[3, 3, 3], [3, 3]]", f"{HERE}.network.kernels",
     "found [[3, 3, 3], [3, 3]]", "2 lists of 3 positive numbers, one per stage"),
    ("kernels = [[3, 3, 3], [3, 3, 3]]", "kernels = [[3, 3, 3], [3, 2, 3]]", f"{HERE}.network.kernels",
     "found [[3, 3, 3], [3, 2, 3]]", "odd kernels of at most 15"),
    ("kernels = [[3, 3, 3], [3, 3, 3]]", "kernels = [[3, 3, 3], [3, 17, 3]]", f"{HERE}.network.kernels",
     "found [[3, 3, 3], [3, 17, 3]]", "odd kernels of at most 15"),
    ("strides = [[1, 1, 1], [2, 2, 2]]", "strides = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]", f"{HERE}.network.strides",
     "found [[1, 1, 1], [2, 2, 2], [2, 2, 2]]", "2 lists of 3 positive numbers, one per stage"),
    ("strides = [[1, 1, 1], [2, 2, 2]]", "strides = [[1, 2, 2], [2, 2, 2]]", f"{HERE}.network.strides",
     "found [[1, 2, 2], [2, 2, 2]]", "ones for the first stage"),
    ("features = [8, 16]", "features = []", f"{HERE}.network.features", "found []", "a width per stage"),
    ("features = [8, 16]", "features = [8, 0]", f"{HERE}.network.features", "found [8, 0]",
     "from 1 to 8192 each"),
    ("blocks = [2, 2]", "blocks = [2, 2, 2]", f"{HERE}.network.blocks", "found [2, 2, 2]",
     "2 numbers of at least 1, one per stage"),
    ('encoder = "plain"', 'encoder = "residul"', f"{HERE}.network.encoder", "found 'residul'",
     "one of 'plain', 'residual'; perhaps 'residual'"),
    ("class_weights = [1.0, 1.0, 1.0, 1.0]", "class_weights = [1.0, 1.0, 1.0, -1.0]", f"{HERE}.loss.class_weights",
     "found [1.0, 1.0, 1.0, -1.0]", "a weight above 0 per network output"),
    ("learning_rate = 0.01", "learning_rate = 0", f"{HERE}.training.learning_rate", "found 0.0", "above 0"),
    ("seed = 12345", "seed = 4294967296", f"{HERE}.training.seed", "found 4294967296", "from 0 to 4294967295"),
    ("blocks = [2, 2]", "blocks = [100000000, 2]", f"{HERE}.network.blocks", "found [100000000, 2]",
     "from 1 to 64 each"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "found", "expected"), FAULTS)
def test_a_fault_of_a_part_is_told_in_full(text: str, old: str, new: str, key: str, found: str, expected: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, (old, new)), FILE)
    error = caught.value
    assert (error.where, error.found, error.expected, error.remedy) == (f"{FILE}, key {key}", found, expected, REMEDY)


@pytest.fixture
def loss(make_configuration: Callable[..., Configuration]) -> LossPlan:
    """Of four outputs, weighted by size."""
    return replace(make_configuration().loss, kind="dice_size_adaptive_ce")


def test_what_gives_a_voxel_its_weight(loss: LossPlan) -> None:
    assert replace(loss, kind="dice_ce").by == "nothing"
    assert loss.by == "class"
    assert replace(loss, usual_sizes=(900.0, 40.0, 30.0, 0.0)).by == "batch"
    assert replace(loss, largest_size=40.0).by == "component"


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"kind": "dice_ce", "usual_sizes": (1.0,) * 4}, "usual_sizes", "none beside dice_ce"),
        ({"kind": "dice_ce", "largest_size": 40.0}, "largest_size", "none beside dice_ce"),
        ({"usual_sizes": (1.0, -1.0)}, "usual_sizes", "finite sizes of at least 0"),
        ({"usual_sizes": (1.0,) * 4, "largest_size": 40.0}, "usual_sizes", "none beside largest_size"),
        (
            {"class_weights": (1.0, 2.0, 1.0, 1.0), "largest_size": 40.0},
            "class_weights",
            "all 1.0 beside largest_size: components have weights",
        ),
        ({"class_weights": ()}, "class_weights", "a weight above 0 per network output"),
    ],
)
def test_weights_and_sizes_that_exclude_each_other(
    loss: LossPlan, changes: dict[str, Any], key: str, expected: str
) -> None:
    with pytest.raises(PlanError) as caught:
        replace(loss, **changes)
    assert (caught.value.where, caught.value.expected) == (f"loss.{key}", expected)


@pytest.mark.parametrize(
    ("numbers", "key", "expected"),
    [
        ({}, "weights", "one of weights, sizes, largest"),
        ({"weights": ((1.0,), (2.0,)), "largest": (3.0, 4.0)}, "largest", "one of weights, sizes, largest"),
        ({"largest": (3.0,)}, "largest", "2, one for each fold"),
    ],
)
def test_folds_have_one_kind_of_numbers_each(numbers: dict[str, Any], key: str, expected: str) -> None:
    with pytest.raises(PlanError) as caught:
        FoldLosses("numbers", "settings", ("cases of 0", "cases of 1"), **numbers)
    assert (caught.value.where, caught.value.expected) == (f"folds.{key}", expected)


@pytest.mark.parametrize(
    ("numbers", "key", "expected"),
    [
        ({"weights": ((1.0, 2.0, 3.0),)}, "weights", "4 finite numbers above 0"),
        ({"weights": ((1.0, 2.0, 3.0, 0.0),)}, "weights", "4 finite numbers above 0"),
        ({"sizes": ((1.0, 2.0, 3.0, -1.0),)}, "sizes", "4 finite sizes of at least 0"),
        ({"largest": (-1.0,)}, "largest", "finite sizes of at least 0"),
    ],
)
def test_numbers_of_a_fold_are_checked_as_those_of_all_cases(
    loss: LossPlan, numbers: dict[str, Any], key: str, expected: str
) -> None:
    folds = FoldLosses("numbers", "settings", ("cases of 0",), **numbers)
    with pytest.raises(PlanError) as caught:
        replace(loss, usual_sizes=(1.0,) * 4, folds=folds)
    assert (caught.value.where, caught.value.expected) == (f"loss.folds.{key}", expected)


def test_stages_beyond_all_measure(make_configuration: Callable[..., Configuration]) -> None:
    network = make_configuration().network
    most = replace(network, features=(8,) * 64, kernels=((3, 3, 3),) * 64, strides=((1, 1, 1),) * 64, blocks=(1,) * 64)
    assert len(most.features) == 64
    with pytest.raises(PlanError, match="at most 64 stages"):
        replace(network, features=(8,) * 65)


def test_a_spline_of_no_order_that_there_is() -> None:
    with pytest.raises(PlanError) as caught:
        ResamplingPlan(order_through_plane=6)
    assert (caught.value.where, caught.value.expected) == ("resampling.order_through_plane", "0 to 5")


def test_steps_of_all_epochs(make_configuration: Callable[..., Configuration]) -> None:
    assert replace(make_configuration().training, epochs=7, steps_per_epoch=30).steps == 210
