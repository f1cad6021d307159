"""From what a user asks of a training to the configuration that is trained, on a device that can hold it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.errors import DeviceError
from autospine.planning.plan import Configuration, Plan
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.progress import Progress

if TYPE_CHECKING:
    import torch


def plan_first(dataset: Path, runs: Path, wanted: PlanRequest, progress: Progress) -> None:
    """Plan `dataset` as `autospine plan` does that is asked the same; raises as `plan_dataset` does."""
    progress.note("This dataset has not been planned: it is now, by the default recipe")
    planned = plan_dataset(dataset, runs, wanted, progress=progress)
    first, why = planned.plan.default, planned.plan.reasons.get("default", "")
    progress.note(f"Written: {planned.folder.plan}, which says why. {first} goes first: {why}")


def requested(plan: Plan, name: str | None, budget_s: float | None, epochs: int | None) -> Configuration:
    """The configuration called `name`, or the default one, with another time where one is asked for.

    `epochs` switch a budget off; `PlanError` where there is none of that name.
    """
    configuration = plan.configuration(name)
    training = configuration.training
    if epochs is not None:
        training = replace(training, epochs=epochs, budget_s=None)
    if budget_s is not None:
        training = replace(training, budget_s=budget_s)
    return replace(configuration, training=training)


@contextmanager
def enough_memory(device: torch.device) -> Iterator[None]:
    """A block in which torch's finding too little memory on `device` becomes a `DeviceError`."""
    from autospine.networks.device import is_out_of_memory

    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        remedy = (
            "plan for less with `autospine plan DATASET --memory 8GB --overwrite`, or close what else uses the device"
        )
        raise DeviceError(str(device), "not enough memory for this plan", remedy=remedy) from error
