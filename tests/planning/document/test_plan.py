from __future__ import annotations

import json
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import from_table, to_table
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint


@pytest.fixture
def plan(lumbar: Fingerprint) -> Plan:
    return make_plan(lumbar, Recipe())


def test_configurations_are_found_by_name(plan: Plan) -> None:
    assert plan.configuration() is plan.configurations[2]
    assert plan.configuration("2d") is plan.configurations[0]
    with pytest.raises(PlanError, match="2d, 2.5d, 3d_fullres"):
        plan.configuration("3d_lowres")


def test_a_configuration_is_exchanged(plan: Plan) -> None:
    smaller = replace(plan.configuration("2d"), batch=3)
    changed = plan.with_configuration(smaller, {"2d.batch": "because"})
    assert changed.configuration("2d").batch == 3
    assert changed.configuration("3d_fullres") == plan.configuration("3d_fullres")
    assert changed.reasons == {"2d.batch": "because"}


def test_toml_and_back(plan: Plan) -> None:
    odd = replace(
        plan,
        data=replace(plan.data, labels=(("L5", 7), ('odd "name" = [1]', 2), *plan.data.labels[2:])),
        reasons={**plan.reasons, "2d.somewhere": "a reason without a key", "2d.batch": "8 GB # allow = 3"},
    )
    changed = replace(odd.configuration("2d"), spacing_mm=(0.1 + 0.2, 1 / 3))
    changed = replace(changed, training=replace(changed.training, budget_s=1800.0))
    odd = odd.with_configuration(changed, odd.reasons)
    text = plan_to_toml(odd)
    assert plan_from_toml(text) == odd
    assert plan_to_toml(plan_from_toml(text)) == text
    assert "# why: 8 GB # allow = 3\nbatch = 37\n" in text
    assert plan_from_toml(text).data.labels[1] == ('odd "name" = [1]', 2)


def test_a_reason_cannot_break_the_file(plan: Plan) -> None:
    sly = replace(plan, reasons={"2d.batch": 'one\nbatch = 1\r\n\x00"'})
    assert plan_from_toml(plan_to_toml(sly)).configuration("2d").batch == 37


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 7", "schema = 6", "key schema"),
        ("batch = 37", "bach = 37", "perhaps `batch`"),
        ("batch = 37\n", "", "the key `batch` is missing"),
        ("batch = 37", "batch = 0", "key configurations.2d.batch: found 0"),
        ("batch = 37", 'batch = "many"', "a whole number"),
        ("batch = 37", "batch = true", "a whole number"),
        ("patch = [224, 224]", "patch = [225, 224]", r"multiples of \[32, 32\]"),
        ("patch = [224, 224]", "patch = 224", "a list"),
        ("axis_order = [2, 0, 1]", "axis_order = [2, 0]", "a list of 3 values"),
        ("axis_order = [2, 0, 1]", "axis_order = [2, 0, 0]", "an order of the axes"),
        ("overlap = 0.5", "overlap = 1.0", "from 0 to below 1"),
        ("overlap = 0.5", "overlap = nan", "a finite number"),
        ('kind = "dice_ce"', 'kind = "focal"', "'dice_ce', 'dice_size_adaptive_ce'"),
        ("mirror_axes = [1]", "mirror_axes = [2]", "patch axes from 0 to 1"),
        ("in_channels = 1", "in_channels = 2", "in_channels: found 2\nExpected: 1: 1 image channel"),
        ("[configurations.2d]", "[configurations.2d", "not readable as TOML"),
        ('default = "3d_fullres"', 'default = "3d"', "one of 2d, 2.5d, 3d_fullres"),
        ("L4 = 2", "L4 = 1", "distinct"),
        ('channels = ["water"]', "channels = []", "at least one channel"),
    ],
)
def test_faults_in_the_file_are_named(plan: Plan, old: str, new: str, message: str) -> None:
    text = plan_to_toml(plan)
    assert old in text
    with pytest.raises(PlanError, match=message) as caught:
        plan_from_toml(text.replace(old, new, 1), "runs/toy/plan.toml")
    assert caught.value.where.startswith("runs/toy/plan.toml")
    assert caught.value.remedy


def test_a_plan_without_tables_is_refused() -> None:
    with pytest.raises(PlanError, match="key labels"):
        plan_from_toml("schema = 7\nlabels = 3\n")
    with pytest.raises(PlanError, match="key schema"):
        plan_from_toml("")


def test_configurations_survive_json(plan: Plan) -> None:
    for configuration in plan.configurations:
        table = json.loads(json.dumps(to_table(configuration)))
        assert from_table(Configuration, table, "model.json") == configuration
    with pytest.raises(PlanError, match="model.json"):
        from_table(Configuration, [1, 2], "model.json")
