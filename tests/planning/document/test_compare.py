from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.planning.document.compare import Difference
from autospine.planning.document.compare import compare_plans as compare_estimated
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.decisions import find_decisions
from autospine.planning.document.expected import Estimated, Expected
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml


@pytest.fixture
def plan(make_plan: Callable[..., Plan], make_configuration: Callable[..., Configuration]) -> Plan:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    return make_plan(configurations=(flat, make_configuration()), default="2d", reasons={"2d.batch": "memory"})


def compare_plans(first: Plan, second: Plan) -> tuple[Difference, ...]:
    """Of which nothing is expected."""
    return compare_estimated(Estimated(first), Estimated(second))


def test_a_plan_does_not_differ_from_itself_nor_from_its_file(plan: Plan) -> None:
    assert compare_plans(plan, plan) == ()
    assert compare_plans(plan, plan_from_toml(plan_to_toml(plan))) == ()


def test_reasons_are_told_and_not_compared(plan: Plan) -> None:
    assert compare_plans(plan, replace(plan, reasons={"2d.batch": "time"})) == ()
    changed = plan.with_configuration(replace(plan.configuration("2d"), batch=7), {"2d.batch": "time"})
    assert compare_plans(plan, changed) == (Difference("2d.batch", 2, 7, "memory", "time"),)


def test_the_other_way_round_is_the_mirror_image(plan: Plan) -> None:
    changed = replace(
        plan.with_configuration(replace(plan.configuration("3d_fullres"), batch=5, overlap=0.25), {"default": "so"}),
        data=replace(plan.data, dataset="other"),
    )
    there, back = compare_plans(plan, changed), compare_plans(changed, plan)
    assert [difference.key for difference in there] == ["dataset", "3d_fullres.batch", "3d_fullres.overlap"]
    mirrored = [Difference(one.key, one.second, one.first, one.second_reason, one.first_reason) for one in back]
    assert list(there) == mirrored


def test_a_part_of_one_plan_alone_stands_against_none(plan: Plan) -> None:
    timed = Estimated(plan, {"2d": Expected(2.0, seconds_per_step=0.5)})
    found = {difference.key: difference for difference in compare_estimated(Estimated(plan), timed)}
    assert set(found) == {"2d.expected.memory_gb", "2d.expected.seconds_per_step"}
    assert (found["2d.expected.memory_gb"].first, found["2d.expected.memory_gb"].second) == (None, 2.0)


def test_levels_of_one_plan_alone_stand_key_by_key(plan: Plan) -> None:
    levels = LevelsPlan((1, 2), 1, 1.1, (0.9, 0.8))
    changed = replace(plan, data=replace(plan.data, levels=levels), reasons={"levels.step": "median"})
    found = {difference.key: (difference.first, difference.second) for difference in compare_plans(plan, changed)}
    assert {key: second for key, (_, second) in found.items() if second is not None} == {
        "levels.classes": (1, 2),
        "levels.axis": 1,
        "levels.step": 1.1,
        "levels.ends_seen": (0.9, 0.8),
    }
    assert [decision.reason for decision in find_decisions(Estimated(changed), "levels.step")] == ["median"]


def test_a_configuration_of_one_plan_alone_is_one_difference(plan: Plan) -> None:
    less = replace(
        plan,
        configurations=plan.configurations[:1],
        recipe="mine",
        reasons={"left_out.3d_fullres": "a single slice"},
    )
    assert compare_plans(plan, less) == (
        Difference("recipe", "default", "mine"),
        Difference("3d_fullres", "planned", "not planned", "", "a single slice"),
    )


def test_labels_and_channels_are_compared(plan: Plan) -> None:
    data = replace(plan.data, labels=(("L1", 1), ("L2", 2), ("S1", 3)), channels=("T1",))
    renamed = replace(plan, data=data)
    assert compare_plans(plan, renamed) == (
        Difference("channels", ("T2",), ("T1",)),
        Difference("labels", plan.data.labels, data.labels),
    )
