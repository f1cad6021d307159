"""What is true of the data of a plan, and its way to the file and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan, LevelsPlan, PresencePlan
from autospine.planning.document.decisions import find_decisions
from autospine.planning.document.expected import Estimated
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml

REGIONS = (Region("whole", (1, 5, 9), 9), Region("core", (5,), 5))
LABELS = (("edge", 1), ("core", 5), ("rest", 9))


@pytest.fixture
def data(make_plan: Callable[..., Plan]) -> DataPlan:
    return replace(make_plan().data, labels=LABELS)


def test_classes_are_counted_in_the_order_of_the_labels(data: DataPlan) -> None:
    assert (data.names, data.classes, data.outputs) == (("edge", "core", "rest"), 3, 4)
    assert data.scored == (("edge", 1), ("core", 2), ("rest", 3)) and data.targets == data.names
    assert data.members == ((1,), (2,), (3,)) and data.written == ()
    overlapping = replace(data, regions=REGIONS)
    assert (overlapping.classes, overlapping.outputs) == (3, 2)
    assert overlapping.scored == (("whole", (1, 2, 3)), ("core", (2,)))
    assert overlapping.written == (3, 2)


def test_sides_swap_and_all_else_stays(data: DataPlan) -> None:
    assert data.swapped == (0, 1, 2, 3)
    assert replace(data, sides=((3, 1),)).swapped == (0, 3, 2, 1)


def test_some_of_the_channels(data: DataPlan) -> None:
    three = replace(
        data,
        channels=("T2", "T1", "STIR"),
        intensities=tuple(replace(data.intensities[0], mean=mean) for mean in (1.0, 2.0, 3.0)),
        presence=PresencePlan((1, 2), 0.4),
    )
    fewer = three.taking(("STIR", "T2"))
    assert fewer.channels == ("T2", "STIR") and [one.mean for one in fewer.intensities] == [1.0, 3.0]
    assert fewer.presence == PresencePlan((1,), 0.4)
    assert three.taking(("T1",)).presence is None  # a channel alone cannot be missing
    assert three.taking(three.channels) == three


def of_regions(make_plan: Callable[..., Plan], make_configuration: Callable[..., Configuration]) -> Plan:
    base = make_configuration()
    network = replace(base.network, in_channels=3, out_channels=2)
    both = replace(
        base,
        normalisation=("zscore",) * 2,
        network=network,
        loss=replace(base.loss, class_weights=(1.0, 1.0)),
    )
    channels = {"channels": ("T2", "T1"), "intensities": make_plan().data.intensities * 2}
    reasons = {
        "regions.name": "declared",
        "regions.written": "so",
        "presence.dropout": "asked",
        "3d_fullres.batch": "b",
    }
    return make_plan(
        both, labels=LABELS, regions=REGIONS, presence=PresencePlan((1,), 0.25), reasons=reasons, **channels
    )


def test_the_tables_of_the_data_stand_once_with_their_reasons(
    make_plan: Callable[..., Plan], make_configuration: Callable[..., Configuration]
) -> None:
    plan = of_regions(make_plan, make_configuration)
    text = plan_to_toml(plan)
    assert plan_from_toml(text) == plan and plan_to_toml(plan_from_toml(text)) == text
    assert text.count("[[regions]]") == 2 and text.count("[presence]") == 1 and text.count("# why: declared") == 1
    found = {one.key: (one.value, one.reason) for one in find_decisions(Estimated(plan), "regions")}
    assert found["regions.name"] == (("whole", "core"), "declared")
    assert found["regions.written"] == ((9, 5), "so")
    paired = make_plan(sides=((1, 2),), levels=LevelsPlan((1, 2), 0, 1.1, (0.9, 0.8)), reasons={"sides": "by name"})
    assert "# why: by name\nsides = [[1, 2]]\n" in plan_to_toml(paired)
    assert plan_from_toml(plan_to_toml(paired)) == paired


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("values = [5]", "values = [6]", "regions.values", "distinct values of labels"),
        ("written = 5", "written = 1", "regions.written", "one of the values of its labels"),
        ('name = "core"', 'name = "whole"', "regions.name", "distinct names"),
        ('name = "core"\nvalues', 'nam = "core"\nvalues', "regions[1]", "perhaps `name`"),
        ("[presence]\nchannels = [1]", "[presence]\nchannels = [2]", "presence.channels", "some of 0 to 1, of two"),
        ("dropout = 0.25", "dropout = 1.0", "presence.dropout", "from 0 to below 1"),
    ],
)
def test_faults_of_the_data_are_named_by_their_key(
    make_plan: Callable[..., Plan],
    make_configuration: Callable[..., Configuration],
    old: str,
    new: str,
    key: str,
    expected: str,
) -> None:
    plan = replace(of_regions(make_plan, make_configuration), reasons={})
    text = plan_to_toml(plan)
    assert old in text
    with pytest.raises(PlanError) as caught:
        plan_from_toml(text.replace(old, new), "plan.toml")
    assert caught.value.where == f"plan.toml, key {key}" and expected in caught.value.expected
