"""The loss of each fold: resolved where plan and folds are written, read from the plan where a fold is trained.

A fold must not learn from the sizes in its validation cases, so that the size-adaptive loss differs from fold to fold.
The numbers in the loss itself are those of all cases. `loss.folds` holds those of each fold, with a key of the cases
that it trains on: a fold whose cases were changed is not trained by the numbers of others. Weights that were edited by
hand hold as they are written, in every fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from autospine.data.disk.files import KEY_LENGTH, json_digest
from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.decide.loss import renewed_loss
from autospine.planning.document.convert import to_table
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.parts import By, FoldLosses, LossPlan
from autospine.planning.document.plan import Plan
from autospine.planning.measured.fingerprint import Fingerprint

NUMBERS: Mapping[By, tuple[str, str]] = {
    "class": ("class_weights", "weights"),
    "batch": ("usual_sizes", "sizes"),
    "component": ("largest_size", "largest"),
}
"""What the numbers that a loss goes by are called there, and in the table of folds."""
PLAN = "autospine plan DATASET"
"""The command that works out what stands in the plan, where nobody knows the data set's path and options."""
WHY = {
    **dict.fromkeys(
        [column for _, column in NUMBERS.values()],
        "one for each fold, from the cases that it trains on alone: these are the numbers that it is trained by; "
        "edited ones hold for that fold",
    ),
    "cases": "a hash of the cases that each fold trains on: a fold with others is not trained before "
    f"`{PLAN}` has worked its loss out",
    "made_for": "a hash of the numbers of all cases, above: where these are edited, they hold in every fold and this "
    "table is left aside",
    "made_by": f"a hash of the settings that the numbers follow from: edited, `{PLAN}` renews them",
}
"""Reasons of the table of folds, by its keys."""

State = Literal["fixed", "own", "open", "outdated", "resolved"]


def fold_key(cases: Iterable[str]) -> str:
    """A short hash of the cases that a fold trains on, whatever their order."""
    return json_digest(sorted(cases))[:KEY_LENGTH]


def numbers_key(loss: LossPlan) -> str:
    """A short hash of the numbers that are those of all cases: an edit of them shows."""
    numbers = ((*loss.class_weights,), (*(loss.usual_sizes or ()),), (loss.largest_size or 0.0,))
    return json_digest([[float(number) for number in row] for row in numbers])[:KEY_LENGTH]


def settings_key(card: ModelCard) -> str:
    """A short hash of what the numbers of a fold follow from, beside its cases."""
    configuration, regions = card.configuration, to_table(card.data.regions) or None
    loss = configuration.loss
    by_class = loss.by == "class"
    # sizes are in voxels of the planned spacing; weights are ratios of sizes, in which it has no part
    decisive = [float(value) for value in ((loss.alpha, loss.weight_cap) if by_class else configuration.spacing_mm)]
    return json_digest(to_table([by_class, decisive, configuration.axis_order, regions]))[:KEY_LENGTH]


def loss_state(card: ModelCard) -> State:
    """What the loss of a configuration is to each fold.

    `fixed`: it does not depend on cases. `own`: weights of somebody's own, for every fold. `open`: weights of 1 that
    were never worked out. `outdated`: the numbers of the folds are not there or follow from other settings than those
    beside them, or sizes were edited, which are measured and no choice. `resolved`: they are what the folds train by,
    as far as these train on the same cases.
    """
    loss, folds = card.configuration.loss, card.configuration.loss.folds
    if loss.by == "nothing":
        return "fixed"
    as_made = folds is not None and folds.made_for == numbers_key(loss)
    if not as_made and loss.by == "class":
        return "open" if set(loss.class_weights) == {1.0} else "own"
    by_settings = folds is not None and folds.made_by == settings_key(card)
    return "resolved" if as_made and by_settings else "outdated"


def fold_loss(card: ModelCard, number: int, fold: Fold, where: str = "plan.toml", command: str = PLAN) -> LossPlan:
    """The loss that fold `number` is trained by, from the plan alone, whose file `where` is renewed by `command`.

    Raises PlanError for weights that are still to be worked out, numbers for other settings or cases than those of now,
    and weights that would have no part in the loss.
    """
    loss, state = card.configuration.loss, loss_state(card)
    key = f"{where}, key configurations.{card.configuration.name}.loss"
    if loss.usual_sizes is not None and set(loss.class_weights) != {1.0}:
        found, expected = f"{list(loss.class_weights)} beside usual_sizes", "1.0 each: the sizes make the weights"
        raise PlanError(f"{key}.class_weights", found, expected, "put 1.0 there, or take usual_sizes out")
    match state:
        case "fixed" | "own":
            return replace(loss, folds=None)
        case "open":
            found = 'weights of 1.0 throughout beside kind = "dice_size_adaptive_ce", which no sizes have made'
            remedy = f'run `{command}` to have them worked out, or set kind = "dice_ce" for plain cross entropy'
            raise PlanError(f"{key}.class_weights", found, "the weights of the classes", remedy)
        case "outdated":
            found = "this, or what it follows from (alpha, weight_cap, spacing, axes, regions), is not what the losses "
            found += "of the folds were worked out for"
            remedy = f"put it back, or run `{command}`, which works all of them out anew"
            raise PlanError(f"{key}.{NUMBERS[loss.by][0]}", found, "numbers that belong together", remedy)
        case "resolved":
            folds = loss.folds
            assert folds is not None
            if number >= len(folds.cases) or folds.cases[number] != fold_key(fold.train):
                found = f"fold {number} trains on other cases than those that its loss was worked out for"
                remedy = f"run `{command}`, which works it out for the folds as they stand"
                raise PlanError(f"{key}.folds", found, "the cases of splits.json", remedy)
            name, values = _numbers(folds)
            return replace(loss, folds=None, **{name: values[number]})


def full_loss(card: ModelCard, folds: Sequence[Fold], where: str = "plan.toml", command: str = PLAN) -> LossPlan:
    """The loss of a training on every case: its numbers are those of all; raises as `fold_loss` does for any fold."""
    for number, fold in enumerate(folds):
        fold_loss(card, number, fold, where, command)
    return replace(card.configuration.loss, folds=None)


def _numbers(folds: FoldLosses) -> tuple[str, Sequence[Any]]:
    """The key in the loss that folds have numbers of their own for, and these by fold."""
    found = ((name, getattr(folds, column)) for name, column in NUMBERS.values())
    return next((name, values) for name, values in found if values is not None)


def resolve_loss(card: ModelCard, fingerprint: Fingerprint, folds: Sequence[Fold]) -> LossPlan:
    """The loss with the numbers of all cases, and those of each fold worked out from the cases that it trains on."""
    if card.configuration.loss.by == "nothing":
        return replace(card.configuration.loss, folds=None)
    whole = renewed_loss(card.configuration, fingerprint, card.data).value
    return _with_folds(card.with_loss(whole), fingerprint, folds, {})


def renew_loss(card: ModelCard, fingerprint: Fingerprint, folds: Sequence[Fold]) -> tuple[LossPlan, str]:
    """The loss as it stands, made to fit the `folds`, and what was changed of it; nothing is said where nothing was.

    Weights of somebody's own stay and hold in every fold. Of worked out ones, those of folds that train on the same
    cases stay as they are written; where settings were edited, all are worked out anew.
    """
    loss, state = card.configuration.loss, loss_state(card)
    said = f"{card.configuration.name}: the "
    idle: dict[State, str] = {
        "fixed": f"losses of the folds were taken out; they have no part beside {loss.kind}",
        "own": "weights in its loss were edited; they hold in every fold as they are written",
    }
    if state in idle:
        return replace(loss, folds=None), said + idle[state] if loss.folds is not None else ""
    if state != "resolved" or loss.folds is None:
        said += "loss was worked out anew, for all cases and for those of each fold"
        return resolve_loss(card, fingerprint, folds), said
    standing = loss.folds.cases
    renewed = _with_folds(card, fingerprint, folds, dict(zip(standing, _numbers(loss.folds)[1], strict=True)))
    other = [str(at) for at, fold in enumerate(folds) if standing[at : at + 1] != (fold_key(fold.train),)]
    which = f"loss of fold(s) {', '.join(other)}" if other else "loss"
    return renewed, "" if renewed == loss else f"{said}{which} was worked out for the folds as they stand"


def _with_folds(card: ModelCard, fingerprint: Fingerprint, folds: Sequence[Fold], kept: Mapping[str, Any]) -> LossPlan:
    """The loss with a table of folds: what is `kept` by the key of the cases, else what these cases give."""
    loss, keys = card.configuration.loss, tuple(fold_key(fold.train) for fold in folds)
    name, column = NUMBERS[loss.by]
    found = []
    for key, fold in zip(keys, folds, strict=True):
        held = replace(fingerprint, cases=tuple(case for case in fingerprint.cases if case.case in fold.train))
        # a fold without cases is refused where it is trained; until then it has some numbers
        known = key in kept or not held.cases
        own = loss if known else renewed_loss(card.configuration, held, card.data).value
        found.append(kept.get(key, getattr(own, name)))
    values: dict[str, Any] = {column: tuple(found)}
    return replace(loss, folds=FoldLosses(numbers_key(loss), settings_key(card), keys, **values))


def with_fold_losses(plan: Plan, fingerprint: Fingerprint, folds: Sequence[Fold]) -> Plan:
    """A plan that was just made, with the loss of each fold where that depends on its cases, and why."""
    for card in plan.cards:
        plan = _exchanged(plan, card, resolve_loss(card, fingerprint, folds))
    return plan


def renew_fold_losses(plan: Plan, fingerprint: Fingerprint, folds: Sequence[Fold]) -> tuple[Plan, tuple[str, ...]]:
    """A plan that stands, perhaps edited, with its losses made to fit the `folds`, and a sentence for each change."""
    notes = []
    for card in plan.cards:
        loss, note = renew_loss(card, fingerprint, folds)
        if loss != card.configuration.loss:
            plan = _exchanged(plan, card, loss)
        notes += [note] if note else []
    return plan, tuple(notes)


def needs_renewal(plan: Plan, folds: Sequence[Fold]) -> bool:
    """Whether `renew_fold_losses` would change the plan; told without the fingerprint."""
    keys = tuple(fold_key(fold.train) for fold in folds)
    for card in plan.cards:
        table, state = card.configuration.loss.folds, loss_state(card)
        fits = table is not None and table.cases == keys if state == "resolved" else table is None
        if state in ("open", "outdated") or not fits:
            return True
    return False


def _exchanged(plan: Plan, card: ModelCard, loss: LossPlan) -> Plan:
    """`plan` with another loss in one of its configurations, and with the reasons that go with it."""
    card, name = card.with_loss(loss), card.configuration.name
    begins = f"{name}.loss.folds."
    reasons = {key: reason for key, reason in plan.reasons.items() if not key.startswith(begins)}
    if loss.folds is not None:
        given = [key for key in WHY if getattr(loss.folds, key) is not None]
        reasons |= {begins + key: WHY[key] for key in given}
    elif loss_state(card) == "own":
        reasons[f"{name}.loss.class_weights"] = "edited by hand: they hold in every fold as they are written"
    return plan.with_configuration(card.configuration, reasons)
