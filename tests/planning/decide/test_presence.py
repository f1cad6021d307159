"""Plans of data sets in which some cases lack a channel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.transfer import transfer_plan
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint


@pytest.fixture
def several(lumbar: Fingerprint) -> Fingerprint:
    """Three sequences, of which the second is missing in every fourth case."""
    cases = tuple(replace(case, missing=(1,) if number % 4 == 0 else ()) for number, case in enumerate(lumbar.cases))
    return replace(lumbar, channels=("T2", "T1", "STIR"), intensities=lumbar.intensities * 3, cases=cases)


def test_what_some_case_lacks_may_be_missing(several: Fingerprint) -> None:
    plan = make_plan(several, Recipe())
    assert plan.data.presence == PresencePlan((1,), 0.25)
    reason = plan.reasons["presence.channels"]
    assert "T1 may be missing" in reason and "T2 in 37, T1 in 27, STIR in 37" in reason
    for card in plan.cards:
        configuration, entering = card.configuration, card.entering
        slices = 2 * configuration.neighbours + 1
        assert configuration.network.in_channels == 3 * slices + 1
        assert entering.images == 3 and entering.scan == slice(0, 3 * slices)
    assert plan_from_toml(plan_to_toml(plan)) == plan


def test_a_recipe_lets_others_be_missing_too(several: Fingerprint, lumbar: Fingerprint) -> None:
    wanted = make_plan(several, Recipe(optional_channels=("STIR",), channel_dropout=0.5)).data
    assert wanted.presence == PresencePlan((1, 2), 0.5)
    assert make_plan(several, Recipe(optional_channels="all")).data.optional == (0, 1, 2)
    # the only channel there is cannot be missing
    assert make_plan(lumbar, Recipe(optional_channels="all")).data.presence is None
    with pytest.raises(PlanError, match="the only channel there is"):
        make_plan(lumbar, Recipe(optional_channels=("water",)))
    assert (
        "the recipe default asks"
        in make_plan(several, Recipe(optional_channels=("STIR",))).reasons["presence.channels"]
    )
    with pytest.raises(PlanError, match=r"optional_channels names PD[\s\S]*T2, T1, STIR"):
        make_plan(several, Recipe(optional_channels=("PD",)))


def test_every_channel_everywhere_plans_nothing(several: Fingerprint) -> None:
    whole = replace(several, cases=tuple(replace(case, missing=()) for case in several.cases))
    plan = make_plan(whole, Recipe())
    assert plan.data.presence is None
    for configuration in plan.configurations:
        assert configuration.network.in_channels == 3 * (2 * configuration.neighbours + 1)


def test_a_moved_plan_keeps_its_inputs(several: Fingerprint) -> None:
    """What pretraining allowed to be missing stays an input, and what the new data lack becomes one."""
    plan = make_plan(several, Recipe(channel_dropout=0.4))
    whole = replace(several, cases=tuple(replace(case, missing=()) for case in several.cases))
    assert transfer_plan(plan, whole, Recipe()).data.presence == PresencePlan((1,), 0.4)
    other = replace(several, cases=tuple(replace(case, missing=(2,)) for case in several.cases))
    moved = transfer_plan(plan, other, Recipe())
    assert moved.data.presence == PresencePlan((1, 2), 0.4) and moved.configuration().network.in_channels == 5
    assert "taken from" in moved.reasons["presence.dropout"]


def test_weights_with_other_inputs_are_others(several: Fingerprint) -> None:
    plan = make_plan(several, Recipe())
    card = plan.card()
    dropped = replace(plan.data, presence=PresencePlan((1,), 0.9))
    other = replace(plan.data, presence=PresencePlan((2,), 0.25))
    assert card.takes_weights_of(replace(card, data=dropped))
    assert not card.takes_weights_of(replace(card, data=other))


@pytest.mark.parametrize(
    ("presence", "key"),
    [
        (lambda: PresencePlan((), 0.1), "presence.channels"),
        (lambda: PresencePlan((1, 1), 0.1), "presence.channels"),
        (lambda: PresencePlan((-1,), 0.1), "presence.channels"),
        (lambda: PresencePlan((1,), 1.0), "presence.dropout"),
        (lambda: PresencePlan((3,), 0.1), "presence.channels"),
        (lambda: PresencePlan((0, 1), 0.1), "network.in_channels"),
    ],
)
def test_what_cannot_be_is_refused(several: Fingerprint, presence: object, key: str) -> None:
    card = make_plan(several, Recipe()).card()
    with pytest.raises(PlanError, match=key):
        replace(card, data=replace(card.data, presence=presence()))  # type: ignore[operator]
