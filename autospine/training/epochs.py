"""`fit`: the loop that every training runs, from its first step or its checkpoint to its end, whatever it learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autospine.errors import AutospineError, Stopped
from autospine.machine.peak import PeakMemory
from autospine.machine.threads import ThreadTrials, given_threads
from autospine.preprocessing.store import Store
from autospine.training.checkpoint import (
    CHECKPOINT,
    BestWeights,
    Checkpoint,
    forget_earlier,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    saying_what_stands,
)
from autospine.training.interrupt import StopRequest
from autospine.training.precision import training_precision
from autospine.training.progress import EpochRecord, FitProgress, FitResult, Watcher, write_history
from autospine.training.schedule import Clock, Schedule
from autospine.training.step import WARM_UP_STEPS
from autospine.training.task import Place, Task
from autospine.training.workers import batches_from

CHECKPOINT_EVERY_S = 120.0
"""Seconds between checkpoints: what a kill can lose."""
LOSS_EVERY_STEPS = 10
"""Steps between two readings of the loss for display: each reading makes the host wait for the device."""


def fit(task: Task, store: Store, place: Place, watcher: Watcher = Watcher()) -> FitResult:  # noqa: B008
    """Train `task` on cases of `store` until its schedule ends, or go on where an earlier call stopped.

    Raises:
        Stopped: Ctrl-C or a termination signal; the checkpoint is saved.
        PlanError: the checkpoint is that of another training, or of one that is longer already, or what the task begins
            with does not fit, or a case cannot be opened.
        DeviceError: a process that builds batches was ended, or gives none; the checkpoint is saved.
        AutospineError: the loss is no longer finite, or what a batch raised; then the checkpoint is saved.
    """
    memory = PeakMemory(place.device)  # before there is a network: its weights count
    run = _Run(task, store, place, watcher)
    with run.stop, given_threads():
        while run.progress < 1:
            run.train_epoch()
            run.end_epoch()
            run.pause()
    run.save()
    watcher.before_end()
    save_weights(place.folder, run.stepper.network)
    forget_earlier(place.folder)
    run.best.remove()
    peak = memory.peak_bytes() if run.step > run.first else None
    return FitResult(run.step, run.clock.seconds, tuple(run.history), run.pace, peak, run.stepper.precision)


class _Run:
    """A training under way: what it trains, how far it is, and what is done one after another."""

    def __init__(self, task: Task, store: Store, place: Place, watcher: Watcher) -> None:
        """At its beginning, or where the checkpoint stands."""
        self.task, self.place, self.watcher, self.training = task, place, watcher, task.card.configuration.training
        chosen = place.precision or training_precision(task.card.configuration, place.folder, place.device).precision
        torch.manual_seed(self.training.seed)
        self.stepper = task.stepper(place.device, chosen)
        self.judge = task.judge(store, self.stepper, place.device)
        self.schedule, self.best = Schedule(self.training), BestWeights(place.folder, self.training)
        self.identity, drawn = task.identity(store.key), task.batches(store)
        self.step, self.before_s = 0, 0.0
        self.history: list[EpochRecord] = []
        self.summed, self.counted = torch.zeros((), device=place.device), 0
        """Sum of the losses of the epoch under way, a scalar, and steps in it."""
        self._resume()
        self.first = self.step
        """The step at which this call began."""
        self.in_steps = 0.0
        """Seconds of this call's steps after the first two."""
        self.waited_s, self.stepped_s = 0.0, 0.0
        """Of the epoch under way, as far as this call makes it, without its first two steps: until batches were there,
        and of its steps in all."""
        self.waiting: float | None = None
        """The share of the last epoch that this call has ended."""
        self.shown: float | None = None
        """Mean loss of the epoch under way, as it was last read; None before it was."""
        self.batches = batches_from(drawn, self.step, place.workers, pin=place.device.type == "cuda")
        self.clock = Clock(self.before_s)
        self.saved_at = self.clock.seconds
        self.stop = StopRequest()
        by_clock = place.device.type == "cpu" and self.training.budget_s is not None
        self.trials = ThreadTrials(torch.get_num_threads(), active=by_clock)

    def _resume(self) -> None:
        """Go to where the checkpoint stands; without one begin."""
        # one that is damaged would be kept in the place of the one before it
        drop = (self.place.folder / CHECKPOINT).unlink
        there = load_checkpoint(self.place.folder, self.identity, self.place.device, tell=lambda text: drop(True))
        if there is None:
            self.best.remove()
            taken = self.task.begin(self.stepper.network)
            if taken is not None:
                self.watcher.on_start(taken)
            return
        if there.identity != self.identity.exact:
            self.schedule.check_goes_on(str(self.place.folder), there.step, there.seconds)
        self.stepper.load(there.network, there.optimiser, there.scaler)
        self.step, self.before_s, self.history = there.step, there.seconds, list(there.history)
        self.summed, self.counted = there.summed_loss, there.counted

    @property
    def progress(self) -> float:
        """Share of the training done, 0 to 1."""
        return self.schedule.progress(self.step, self.clock.seconds)

    @property
    def pace(self) -> float | None:
        """Mean seconds of the steps of this call after the first two; None where there are none."""
        timed = self.step - self.first - WARM_UP_STEPS
        return self.in_steps / timed if timed > 0 else None

    def train_epoch(self) -> None:
        """Steps to the end of the epoch or the training; none where they are made, and their validation failed."""
        self.stepper.network.train()
        self.shown = None
        per_epoch = self.training.steps_per_epoch
        left = per_epoch - self.step % per_epoch
        for _ in range(0 if self.counted == per_epoch else left):
            self._step()
            # stopped or saved at its end, the epoch would lose its line in the history
            if self.progress >= 1 or self.step % per_epoch == 0:
                break
            self.pause()

    def _step(self) -> None:
        """One step at the rate of its place in the schedule."""
        device, began = self.place.device, self.clock.seconds
        self.stepper.set_rate(self.schedule.learning_rate(self.progress))
        batch = self._next_batch()
        there = self.clock.seconds
        image, *targets = (part.to(device, non_blocking=True) for part in batch)
        self.trials.before_step()
        loss = self.stepper.step(image, *targets)
        self.trials.after_step()
        self.step, self.summed, self.counted = self.step + 1, self.summed + loss, self.counted + 1

        if self.counted % LOSS_EVERY_STEPS == 0 or device.type == "cpu":
            self.shown = float(self.summed) / self.counted
        now = self.clock.seconds
        if self.step - self.first > WARM_UP_STEPS:
            self.in_steps += now - began
            self.waited_s, self.stepped_s = self.waited_s + there - began, self.stepped_s + now - began
        dice = self.history[-1].mean_dice if self.history else None
        done, threads = self.schedule.progress(self.step, now), self.trials.threads
        self.watcher.on_step(
            FitProgress(done, self.step, now, self.shown, dice, now - self.before_s, self.pace, threads, self.waiting)
        )

    def _next_batch(self) -> Sequence[Tensor]:
        """The next batch; what comes instead finds the training between two steps, where all of it is whole."""
        try:
            return next(self.batches)
        except AutospineError as fault:
            if self.step > self.first:
                self.save()
            raise self._kept(fault) from fault
        except Stopped:  # while it was waited for
            self.pause()
            raise

    def end_epoch(self) -> None:
        """Validate, and write down what the epoch came to."""
        folder = self.place.folder
        train_loss = float(self.summed) / self.counted
        if not math.isfinite(train_loss):
            remedy = "lower training.learning_rate in plan.toml and start anew with --overwrite"
            found = f"the loss became {train_loss} by step {self.step}"
            raise AutospineError(str(folder), found, "a finite loss", remedy)
        try:
            validation_loss, dice = self.judge()
        except AutospineError as fault:
            self.save()
            raise self._kept(fault) from fault
        self.summed, self.counted = torch.zeros_like(self.summed), 0
        now, rate = self.clock.seconds, self.stepper.rate
        self.waiting = self.waited_s / self.stepped_s if self.stepped_s else None
        self.waited_s = self.stepped_s = 0.0
        record = EpochRecord(len(self.history), self.step, now, rate, train_loss, validation_loss, dice, self.waiting)
        self.history.append(record)
        self.best.look(self.stepper.network.state_dict(), self.history)
        with saying_what_stands(folder):
            write_history(folder, self.history, self.task.classes)
            self.watcher.on_epoch(record)

    def pause(self) -> None:
        """Between two steps: keep what there is, where the user stops or it is time to."""
        if self.stop.requested or self.clock.seconds - self.saved_at > CHECKPOINT_EVERY_S:
            self.save()
            # after what matters more, where there is little room
            self.best.write(self.stepper.network.state_dict(), self.step, self.history)
        if self.stop.requested:
            raise Stopped(f"stopped after {self.step} steps; the same command goes on from there")

    def save(self) -> None:
        """Write the checkpoint."""
        state = Checkpoint(
            **self.stepper.state(),
            step=self.step,
            seconds=self.clock.seconds,
            history=tuple(self.history),
            summed_loss=self.summed,
            counted=self.counted,
            identity=self.identity.exact,
            precision=self.stepper.precision,
            any_length=self.identity.any_length,
        )
        save_checkpoint(self.place.folder, state)
        self.saved_at = self.clock.seconds

    def _kept(self, fault: AutospineError) -> AutospineError:
        """`fault`, which came instead of a batch, with what is there to go on from."""
        saved = f"; the checkpoint of step {self.step} is saved, and the same command goes on from there"
        kept = saved if self.step else ""
        return type(fault)(fault.where, fault.found + kept, fault.expected, fault.remedy)
