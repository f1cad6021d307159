"""A training in its run folder, whatever it learns: what becomes of it, whether it fits the device, its end on record.

What `train` and `pretrain` share. Until `fit` nothing of an earlier training is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from autospine.machine.arithmetic import Machine
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expected
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.expected import check_memory, renew_expected
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress
from autospine.workflow.runs.asked_again import Course
from autospine.workflow.runs.folder import RunFolder, withdraw_results
from autospine.workflow.runs.record import write_record

if TYPE_CHECKING:
    import torch

    from autospine.machine.precision import Choice
    from autospine.training.identity import Identity
    from autospine.training.progress import FitResult, Watcher
    from autospine.training.task import Task

T = TypeVar("T", bound="Task")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Training(Generic[T]):
    """A training that is asked for."""

    run: RunFolder
    plan: Plan
    task: T
    identity: Identity
    folder: Path
    replaces: Sequence[Path]
    """Folders that the command replaces, with --overwrite."""
    course: Course
    device: torch.device
    progress: Progress

    @property
    def configuration(self) -> Configuration:
        """How it is trained."""
        return self.task.card.configuration

    @cached_property
    def expectation(self) -> tuple[Expected, str]:
        """What is expected of a training by the plan, and what is to be said where the plan was edited.

        What was expected of other numbers than the plan's own is no measure of this training.
        """
        from autospine.machine.device import step_machine

        planned = self.plan.configuration(self.configuration.name)
        return renew_expected(planned, self.run.read_expected().get(planned.name), step_machine(self.device))

    @cached_property
    def choice(self) -> Choice:
        """In which precision it computes, where it has not ended."""
        from autospine.training.precision import training_precision

        standing = self.folder if self.course == "goes on" else None
        return training_precision(self.configuration, standing, self.device, self.expectation[0].device)

    @property
    def device_name(self) -> str:
        """What the device is called in plans and messages."""
        from autospine.machine.device import describe_device

        return describe_device(self.device, self.choice.precision)

    @property
    def machine(self) -> Machine:
        """How the device computes a step."""
        from autospine.machine.device import step_machine

        return step_machine(self.device, self.choice.precision)

    def check_memory(self) -> None:
        """Raise `PlanError` where the device has too little memory for it."""
        from autospine.machine.device import device_memory_gb

        total = device_memory_gb(self.device)
        check_memory(self.configuration, total, self.device_name, str(self.run.plan), self.machine)

    def fit(self, store: Store, workers: int | None, watcher: Watcher) -> FitResult:
        """Train to the end, with at most so many `workers`; what an earlier end has left goes before the weights do."""
        from autospine.training.epochs import fit
        from autospine.training.task import Place
        from autospine.training.workers import fitting_workers

        many = fitting_workers(self.task.card, self.device, workers, self.progress.note)
        place = Place(self.folder, self.device, many, self.choice.precision)
        return fit(self.task, store, place, replace(watcher, before_end=lambda: withdraw_results(self.folder)))

    def record(self, store: Store, result: FitResult, flags: Values, sources: Values, more: Values) -> None:
        """Write `run.toml`: where it stands, the training has ended."""
        data = {"dataset": self.plan.data.dataset, "fingerprint": self.plan.fingerprint_hash, "prepared": store.key}
        write_record(self.folder, self.identity, flags, {**sources, "data": data}, self.device, result, more)
