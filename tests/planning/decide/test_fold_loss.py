"""The loss of a fold: from its own training cases, written in the plan and read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.decide.fold_loss import (
    fold_loss,
    full_loss,
    needs_renewal,
    renew_fold_losses,
    with_fold_losses,
)
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.parts import FoldLosses, LossPlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import losses_to_toml, plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint

ADAPTIVE = Recipe(loss="dice_size_adaptive_ce")


@pytest.fixture
def uneven(lumbar: Fingerprint) -> Fingerprint:
    """The first case's last class is four times as large as that of the others; its first one has 900 voxels."""
    sizes = [(900, 400, 400, 400, 100)] + [(400, 400, 400, 400, 25)] * (len(lumbar.cases) - 1)
    cases = [replace(case, class_voxels=voxels) for case, voxels in zip(lumbar.cases, sizes, strict=True)]
    return replace(lumbar, cases=tuple(cases))


@pytest.fixture
def folds(uneven: Fingerprint) -> tuple[Fold, ...]:
    """Fold 0 trains on the first case alone, fold 1 on all others, fold 2 on the first two."""
    names = tuple(case.case for case in uneven.cases)
    return Fold(names[:1], names[1:]), Fold(names[1:], names[:1]), Fold(names[:2], names[2:])


def planned(fingerprint: Fingerprint, folds: Sequence[Fold], recipe: Recipe = ADAPTIVE) -> Plan:
    """The plan with the losses of its folds, through its file."""
    plan = with_fold_losses(make_plan(fingerprint, recipe), fingerprint, folds)
    written = plan_from_toml(plan_to_toml(plan))
    assert written == plan
    return written


def losses(plan: Plan, folds: Sequence[Fold], name: str) -> list[LossPlan]:
    """What the folds are trained by, by the plan alone."""
    return [fold_loss(plan.card(name), number, fold) for number, fold in enumerate(folds)]


def edited(plan: Plan, name: str, **changes: object) -> Plan:
    configuration = plan.configuration(name)
    loss = replace(configuration.loss, **changes)  # type: ignore[arg-type]
    return plan.with_configuration(replace(configuration, loss=loss), plan.reasons)


@pytest.mark.parametrize("name", ["2d", "3d_fullres"])
def test_a_fold_weighs_by_its_own_training_cases(uneven: Fingerprint, folds: tuple[Fold, ...], name: str) -> None:
    """Largest over smallest: 900 / 100 in the first case, 400 / 25 in the others, 650 / 62.5 in the first two."""
    plan = planned(uneven, folds)
    assert plan.configuration(name).loss.class_weights == (1, 1, 1, 1, 1, 4)
    first, others, two = losses(plan, folds, name)
    assert first.class_weights == (1, 1, 1.5, 1.5, 1.5, 3)
    assert others.class_weights == (1, 1, 1, 1, 1, 4)
    assert two.class_weights == pytest.approx((1, 1, *[(650 / 400) ** 0.5] * 3, (650 / 62.5) ** 0.5))
    assert {loss.folds for loss in (first, others, two)} == {None}  # a training knows nothing of other folds
    assert f"{name}.loss.folds.weights" in plan.reasons


def test_sizes_are_those_of_the_fold_too(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    by_batch = planned(uneven, folds, replace(ADAPTIVE, size_source="batch"))
    assert losses(by_batch, folds, "3d_fullres")[0].usual_sizes == pytest.approx((900, 400, 400, 400, 100))
    by_component = planned(uneven, folds, replace(ADAPTIVE, unit="component"))
    assert [one.largest_size for one in losses(by_component, folds, "3d_fullres")] == pytest.approx([900, 400, 650])
    assert [one.largest_size for one in losses(by_component, folds, "2d")] == pytest.approx([90, 40, 65])


def test_weights_of_ones_own_hold_in_every_fold(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    own = (1.0, 1.0, 1.0, 1.0, 1.0, 2.27)
    plan = edited(planned(uneven, folds), "2d", class_weights=own)
    assert [loss.class_weights for loss in losses(plan, folds, "2d")] == [own] * 3
    # whether the plan is renewed or not; the others are left alone
    renewed, notes = renew_fold_losses(plan, uneven, folds)
    assert [loss.class_weights for loss in losses(renewed, folds, "2d")] == [own] * 3
    (note,) = notes
    assert note.startswith("2d: ") and "every fold" in note
    assert "every fold" in renewed.reasons["2d.loss.class_weights"]
    assert losses(renewed, folds, "3d_fullres") == losses(plan, folds, "3d_fullres")
    assert not needs_renewal(renewed, folds)
    # beside the plain kind too
    plain = edited(make_plan(uneven, Recipe(loss="dice_ce")), "2d", class_weights=own)
    assert [loss.class_weights for loss in losses(plain, folds, "2d")] == [own] * 3


def test_the_numbers_of_one_fold_may_be_edited(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    text = plan_to_toml(planned(uneven, folds))
    assert text.count("weights = [[1.0, 1.0, 1.5, 1.5, 1.5, 3.0], ") == 3
    plan = plan_from_toml(text.replace("1.5, 1.5, 1.5, 3.0]", "1.5, 1.5, 1.5, 3.5]"))
    assert losses(plan, folds, "2d")[0].class_weights[-1] == 3.5
    moved = (folds[0], Fold(folds[2].train[1:], folds[2].validation), folds[2])
    renewed, _ = renew_fold_losses(plan, uneven, moved)
    assert losses(renewed, moved, "2d")[0].class_weights[-1] == 3.5


@pytest.mark.parametrize("weights", ["1.0", "[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]"])
def test_ones_beside_the_adaptive_kind_are_no_plain_cross_entropy(
    uneven: Fingerprint, folds: tuple[Fold, ...], weights: str
) -> None:
    text = plan_to_toml(planned(uneven, folds))
    text = text.replace("class_weights = [1.0, 1.0, 1.0, 1.0, 1.0, 4.0]", f"class_weights = {weights}")
    with pytest.raises(PlanError, match="class_weights") as fault:
        losses(plan_from_toml(text), folds, "2d")
    if weights != "1.0":  # which is no list
        assert "autospine plan DATASET" in fault.value.remedy and 'kind = "dice_ce"' in fault.value.remedy
        renewed, notes = renew_fold_losses(plan_from_toml(text), uneven, folds)
        assert len(notes) == 3
        assert losses(renewed, folds, "2d")[0].class_weights == (1, 1, 1.5, 1.5, 1.5, 3)


def test_a_loss_that_comes_to_ones_is_taken_as_it_is(lumbar: Fingerprint) -> None:
    """Classes of one size weigh 1 each, and that is worked out."""
    alike = replace(lumbar, cases=tuple(replace(case, class_voxels=(300,) * 5) for case in lumbar.cases))
    fold = Fold((alike.cases[0].case,), ())
    assert losses(planned(alike, [fold]), [fold], "2d")[0].class_weights == (1.0,) * 6


def test_another_kind_is_worked_out_by_plan(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    plan = edited(planned(uneven, folds, Recipe(loss="dice_ce")), "2d", kind="dice_size_adaptive_ce")
    with pytest.raises(PlanError, match="autospine plan DATASET"):
        losses(plan, folds, "2d")
    assert needs_renewal(plan, folds)
    renewed, _ = renew_fold_losses(plan, uneven, folds)
    assert losses(renewed, folds, "2d") == losses(planned(uneven, folds), folds, "2d")
    # and back: weights stand as they are written beside dice_ce, whatever a table of folds says
    back = edited(renewed, "2d", kind="dice_ce")
    assert losses(back, folds, "2d")[0].class_weights == (1, 1, 1, 1, 1, 4)
    assert renew_fold_losses(back, uneven, folds)[0].configuration("2d").loss.folds is None


@pytest.mark.parametrize("changes", [{"alpha": 1.0}, {"weight_cap": 2.0}])
def test_edited_settings_are_worked_out_by_plan(
    uneven: Fingerprint, folds: tuple[Fold, ...], changes: dict[str, float]
) -> None:
    plan = edited(planned(uneven, folds), "2d", **changes)
    with pytest.raises(PlanError, match=r"weight_cap[\s\S]*autospine plan DATASET"):
        losses(plan, folds, "2d")
    renewed, notes = renew_fold_losses(plan, uneven, folds)
    assert [note.partition(":")[0] for note in notes] == ["2d"]
    assert losses(renewed, folds, "2d") == losses(planned(uneven, folds, replace(ADAPTIVE, **changes)), folds, "2d")


def test_sizes_of_ones_own_are_no_part_of_the_loss(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    by_component = planned(uneven, folds, replace(ADAPTIVE, unit="component"))
    by_batch = planned(uneven, folds, replace(ADAPTIVE, size_source="batch"))
    for plan, changes in (
        (by_component, {"largest_size": 12.0}),
        (by_batch, {"usual_sizes": (1.0, 2.0, 3.0, 4.0, 5.0)}),
    ):
        with pytest.raises(PlanError, match=rf"{next(iter(changes))}[\s\S]*put it back"):
            losses(edited(plan, "2d", **changes), folds, "2d")
    with pytest.raises(PlanError, match="beside usual_sizes"):
        losses(edited(by_batch, "2d", class_weights=(1.0, 1.0, 1.0, 1.0, 1.0, 2.0)), folds, "2d")


def test_an_edited_fold_is_not_trained_by_the_loss_of_other_cases(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    plan = planned(uneven, folds)
    moved = (Fold(folds[0].train[::-1], folds[0].validation), Fold(folds[2].train, folds[2].validation), folds[2])
    card = plan.card("2d")
    assert fold_loss(card, 0, moved[0]).class_weights[-1] == 3  # the same cases in another order
    for number, fold in ((1, moved[1]), (3, folds[0])):
        with pytest.raises(PlanError, match=rf"fold {number} trains on other cases[\s\S]*autospine plan DATASET"):
            fold_loss(card, number, fold)
    # a training on every case goes by the numbers of all of them
    assert full_loss(card, folds) == replace(card.configuration.loss, folds=None)
    with pytest.raises(PlanError, match="fold 1 trains on other cases"):
        full_loss(card, moved)
    renewed, notes = renew_fold_losses(plan, uneven, moved)
    names = ("2d", "2.5d", "3d_fullres")
    assert [note.split(" was")[0] for note in notes] == [f"{name}: the loss of fold(s) 1" for name in names]
    assert losses(renewed, moved, "2d")[1] == losses(plan, folds, "2d")[2]
    # a plain loss does not depend on the folds
    plain = planned(uneven, folds, Recipe(loss="dice_ce"))
    assert fold_loss(plain.card("2d"), 7, moved[1]) == plain.configuration("2d").loss
    assert not needs_renewal(plain, moved)


def test_a_fold_with_cases_that_no_fold_had_is_worked_out_and_named(
    uneven: Fingerprint, folds: tuple[Fold, ...]
) -> None:
    plan = planned(uneven, folds[:2])
    renewed, notes = renew_fold_losses(plan, uneven, folds)
    assert notes[0] == "2d: the loss of fold(s) 2 was worked out for the folds as they stand"
    assert losses(renewed, folds, "2d") == losses(planned(uneven, folds), folds, "2d")


def test_a_renewed_loss_is_written_and_all_else_stays(uneven: Fingerprint, folds: tuple[Fold, ...]) -> None:
    text = plan_to_toml(planned(uneven, folds[:2])).replace("batch = ", "# mine\nbatch = ")
    renewed, _ = renew_fold_losses(plan_from_toml(text), uneven, folds)
    written = losses_to_toml(renewed, text)
    assert plan_from_toml(written) == renewed
    assert written.count("# mine") == 3
    outside = [part.partition("[configurations.")[0] for part in (text, written)]
    assert outside[0] == outside[1]


def test_a_table_of_folds_has_numbers_for_each(uneven: Fingerprint) -> None:
    table = {"made_for": "a", "made_by": "b", "cases": ("c", "d")}
    for changes, key in (
        ({}, "weights"),
        ({"weights": ((1.0, 2.0),)}, "weights"),
        ({"weights": ((1.0, 2.0),) * 2, "largest": (1.0, 2.0)}, "largest"),
    ):
        with pytest.raises(PlanError, match=f"folds.{key}"):
            FoldLosses(**table, **changes)  # type: ignore[arg-type]
    for changes, key in (
        ({"weights": ((1.0, 2.0, 3.0), (1.0, 2.0))}, "weights"),
        ({"weights": ((1.0, 0.0), (1.0, 2.0))}, "weights"),
        ({"largest": (1.0, -1.0)}, "largest"),
        ({"sizes": ((-1.0,), (1.0,))}, "sizes"),
    ):
        held = FoldLosses(**table, **changes)  # type: ignore[arg-type]
        with pytest.raises(PlanError, match=f"loss.folds.{key}"):
            LossPlan("dice_size_adaptive_ce", (1.0, 2.0), True, folds=held)
