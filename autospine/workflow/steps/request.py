"""From what a user asks of a training to the configuration that is trained, on a device that can hold it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from autospine.data.folds import FULL, FoldName, read_folds
from autospine.errors import DeviceError, PlanError
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.plan import Plan
from autospine.workflow.runs.folder import RunFolder

if TYPE_CHECKING:
    import torch


def fold_numbers(text: str, run: RunFolder) -> tuple[FoldName, ...]:
    """The folds that `text` names: `all` of them, one number, or `full`.

    Raises:
        PlanError: none of these, or the dataset has no folds yet.
    """
    run.read_plan()
    count = len(read_folds(run.splits))
    if text == "all":
        return tuple(range(count))
    if text == FULL:
        return (FULL,)
    if not text.isdigit() or int(text) >= count:
        raise PlanError(
            f"FOLD {text}", "no such fold", f"a number from 0 to {count - 1}, all, or full", "choose one of them"
        )
    return (int(text),)


def requested(plan: Plan, name: str | None, budget_s: float | None, epochs: int | None) -> ModelCard:
    """The configuration called `name`, or the default one, with another time where one is asked for.

    `epochs` switch a budget off; `PlanError` where there is none of that name.
    """
    card = plan.card(name)
    training = card.configuration.training
    if epochs is not None:
        training = replace(training, epochs=epochs, budget_s=None)
    if budget_s is not None:
        training = replace(training, budget_s=budget_s)
    return card.with_configuration(replace(card.configuration, training=training))


@contextmanager
def enough_memory(device: torch.device) -> Iterator[None]:
    """A block in which torch's finding too little memory on `device` becomes a `DeviceError`."""
    from autospine.machine.device import is_out_of_memory

    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        less = "plan for less with `autospine plan DATASET --memory 8GB --overwrite`"
        remedy = f"{less}, or close what else uses the device"
        raise DeviceError(str(device), "not enough memory for this plan", remedy=remedy) from error
