"""From what a user asks of a training to the configuration that is trained, on a device that can hold it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.data.folds import read_folds
from autospine.data.structure import Reading
from autospine.errors import DeviceError, PlanError
from autospine.planning.document.card import ModelCard
from autospine.planning.document.plan import Plan
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.progress import Progress
from autospine.workflow.runs import RunFolder

if TYPE_CHECKING:
    import torch


def ensure_planned(dataset: Path, runs: Path, wanted: PlanRequest, progress: Progress) -> RunFolder:
    """The run folder of `dataset`, planned as `autospine plan` does that is asked for `wanted`.

    A plan that stands is kept, and so is one that another process is making. Raises `PlanError` where it was made with
    another reading, else as `plan_dataset`.
    """
    run = RunFolder.of(runs, dataset)
    if not run.plan.is_file():
        progress.note("This dataset has not been planned: it is now, by the default recipe")
        planned = plan_dataset(dataset, runs, wanted, keep=True, progress=progress)
        if not planned.existed:
            first, why = planned.plan.default, planned.plan.reasons.get("default", "")
            progress.note(f"Written: {planned.folder.plan}, which says why. {first} goes first: {why}")
            return run
    _check_reading(run, wanted.reading)
    return run


def _check_reading(run: RunFolder, reading: Reading) -> None:
    """How a dataset is read decides its cases and folds: those of a plan that stands are not replaced by a training.

    Raises:
        PlanError: the plan was made with another reading, or nobody knows with which.
    """
    asked = run.read_request()
    for key, wanted in asdict(reading).items():
        standing = None if asked is None else asked.get(key)
        if wanted in (None, False, standing):
            continue
        option = f"--{key.replace('_', '-')}"
        made = f"with {option} {standing}" if standing else f"without {option}"
        found = "it is not known how the folds were made" if asked is None else f"the folds were made {made}"
        remedy = f"leave {option} out, or run `autospine plan` with it and --overwrite"
        raise PlanError(str(run.splits), found, option if wanted is True else f"{option} {wanted}", remedy)


def fold_numbers(text: str, run: RunFolder) -> tuple[int, ...]:
    """The folds that `text` names: `all`, or one number.

    Raises:
        PlanError: neither, or the dataset has no folds yet.
    """
    run.read_plan()
    count = len(read_folds(run.splits))
    if text == "all":
        return tuple(range(count))
    if not text.isdigit() or int(text) >= count:
        raise PlanError(f"FOLD {text}", "no such fold", f"a number from 0 to {count - 1}, or all", "choose one of them")
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
        remedy = (
            "plan for less with `autospine plan DATASET --memory 8GB --overwrite`, or close what else uses the device"
        )
        raise DeviceError(str(device), "not enough memory for this plan", remedy=remedy) from error
