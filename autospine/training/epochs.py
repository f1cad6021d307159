"""`run_epochs`: the loop that every training runs, from its first step or from its checkpoint to its end.

It knows steps, the schedule, the clock, checkpoints and Ctrl-C. What is learnt is in the batches and in the stepper's
loss: a segmentation (`loop.fit`), or what lies under masked blocks (`pretrain.pretrain`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from autospine.errors import AutospineError, Stopped
from autospine.machine.peak import PeakMemory
from autospine.machine.precision import Precision
from autospine.machine.threads import ThreadTrials, given_threads
from autospine.planning.document.parts import TrainingPlan
from autospine.training.best import BestWeights
from autospine.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_weights, saying_what_stands
from autospine.training.identity import Identity
from autospine.training.interrupt import StopRequest
from autospine.training.log import EpochRecord, write_history
from autospine.training.schedule import Clock, Schedule
from autospine.training.step import WARM_UP_STEPS, Stepper

CHECKPOINT_EVERY_S = 120.0
"""Seconds between checkpoints: what a kill can lose."""
LOSS_EVERY_STEPS = 10
"""Steps between two readings of the loss for display: each reading makes the host wait for the device."""


@dataclass(frozen=True)
class FitProgress:
    """What a progress bar shows after a step."""

    progress: float
    """Share of the training done, 0 to 1."""
    step: int
    seconds: float
    loss: float | None
    """Mean training loss since the epoch began."""
    dice: float | None
    """Mean Dice over what is segmented after the last epoch."""
    here_s: float = 0.0
    """Seconds of this call alone, without what an interrupted one took before."""
    seconds_per_step: float | None = None
    """As `FitResult` has it, so far."""
    threads: int | None = None
    """With which a step is computed at this time, trials of other numbers aside; None: not known."""


@dataclass(frozen=True)
class FitResult:
    """How a training ended."""

    step: int
    seconds: float
    history: tuple[EpochRecord, ...]
    seconds_per_step: float | None
    """Mean over the steps of this call after the first two, without validation and checkpoints; None where there are
    none."""
    peak_memory_bytes: int | None
    """CUDA: the allocator's peak. CPU: by how much the process grew in this call; None where unknown or no step was
    made."""
    precision: Precision = "float32"
    """In which the network computed."""


def run_epochs(
    training: TrainingPlan,
    stepper: Stepper,
    batches_from_step: Callable[[int], Iterator[Sequence[Tensor]]],
    folder: Path,
    *,
    identity: Identity,
    classes: tuple[str, ...],
    device: torch.device,
    memory: PeakMemory,
    begin: Callable[[], None],
    validate: Callable[[], tuple[float | None, tuple[float | None, ...]]],
    on_step: Callable[[FitProgress], None],
    on_epoch: Callable[[EpochRecord], None],
    before_end: Callable[[], None],
) -> FitResult:
    """Train what `stepper` holds until the schedule ends, or go on where an earlier call stopped.

    Args:
        training: the schedule; `budget_s` or `epochs` ends it.
        stepper: network, loss and optimiser, as they begin.
        batches_from_step: an endless iterator of batches from a step on: an image, then what its loss takes.
        folder: where `training.ckpt`, `history.csv`, `best.safetensors` and at the end `model.safetensors` go.
        identity: what the training depends on; a checkpoint goes on where that differs in nothing but the length.
        classes: names of what `validate` gives the Dice of.
        device: where `stepper` is.
        memory: the watch over the memory, begun before there was a network.
        begin: called where the training begins, not where it goes on.
        validate: loss and Dice after an epoch; None and nothing where nothing is held out.
        on_step: called after every step.
        on_epoch: called after every epoch.
        before_end: called when all is learnt and kept, before `model.safetensors` is written or replaced.

    Raises:
        Stopped: Ctrl-C or a termination signal; the checkpoint is saved.
        PlanError: the checkpoint is that of another training, or of one that is longer already.
        DeviceError: a process that builds batches was ended, or gives none; the checkpoint is saved.
        AutospineError: the loss is no longer finite, or what a batch raised; then the checkpoint is saved.
    """
    schedule = Schedule(training)
    network, optimiser, scaler = stepper.network, stepper.optimiser, stepper.scaler
    step, history, seconds = 0, list[EpochRecord](), 0.0
    summed, counted = torch.zeros((), device=device), 0  # losses of the epoch under way
    best = BestWeights(folder, training)
    resumed = load_checkpoint(folder, identity, device)
    if resumed is not None:
        if resumed.identity != identity.exact:
            schedule.check_goes_on(str(folder), resumed.step, resumed.seconds)
        network.load_state_dict(resumed.network)
        optimiser.load_state_dict(resumed.optimiser)
        if scaler.is_enabled():
            scaler.load_state_dict(resumed.scaler)
        step, seconds, history = resumed.step, resumed.seconds, list(resumed.history)
        summed, counted = resumed.summed_loss, resumed.counted
    else:
        best.remove()
        begin()
    del resumed  # a second copy of the weights
    batches = batches_from_step(step)
    clock = Clock(seconds)
    saved_at = clock.seconds

    def save() -> None:
        nonlocal saved_at
        state = Checkpoint(
            network=network.state_dict(),
            optimiser=optimiser.state_dict(),
            scaler=scaler.state_dict(),
            step=step,
            seconds=clock.seconds,
            history=tuple(history),
            summed_loss=summed,
            counted=counted,
            identity=identity.exact,
            precision=stepper.precision,
            any_length=identity.any_length,
        )
        save_checkpoint(folder, state)
        saved_at = clock.seconds

    def pause() -> None:
        """Between two steps: keep what there is, where the user stops or it is time to."""
        if stop.requested or clock.seconds - saved_at > CHECKPOINT_EVERY_S:
            save()
            best.write(network.state_dict(), step, history)  # after what matters more, where there is little room
        if stop.requested:
            raise Stopped(f"stopped after {step} steps; the same command goes on from there")

    first, in_steps = step, 0.0
    with StopRequest() as stop, given_threads() as most:
        trials = ThreadTrials(most, active=device.type == "cpu" and training.budget_s is not None)
        while schedule.progress(step, clock.seconds) < 1:
            network.train()
            shown: float | None = None
            left = training.steps_per_epoch - step % training.steps_per_epoch
            for _ in range(0 if counted == training.steps_per_epoch else left):  # 0: its validation failed
                began = clock.seconds
                rate = schedule.learning_rate(schedule.progress(step, clock.seconds))
                for group in optimiser.param_groups:
                    group["lr"] = rate
                try:
                    batch = next(batches)
                except AutospineError as fault:  # between two steps: what has been trained is whole
                    if step > first:
                        save()
                    raise _kept(fault, step) from fault
                except Stopped:  # while it was waited for
                    pause()
                    raise
                image, *targets = (part.to(device, non_blocking=True) for part in batch)
                trials.before_step()
                loss = stepper.step(image, *targets)
                trials.after_step()
                step += 1
                summed, counted = summed + loss, counted + 1

                if counted % LOSS_EVERY_STEPS == 0 or device.type == "cpu":
                    shown = float(summed) / counted
                if step - first > WARM_UP_STEPS:
                    in_steps += clock.seconds - began
                dice = history[-1].mean_dice if history else None
                timed = step - first - WARM_UP_STEPS
                pace = in_steps / timed if timed > 0 else None
                now = clock.seconds
                done = schedule.progress(step, now)
                on_step(FitProgress(done, step, now, shown, dice, now - seconds, pace, trials.threads))
                if schedule.progress(step, clock.seconds) >= 1:
                    break
                if step % training.steps_per_epoch == 0:
                    break  # stopped or saved here, the epoch would lose its line in the history
                pause()

            train_loss = float(summed) / counted
            if not math.isfinite(train_loss):
                remedy = "lower training.learning_rate in plan.toml and start anew with --overwrite"
                raise AutospineError(
                    str(folder), f"the loss became {train_loss} by step {step}", "a finite loss", remedy
                )
            rate = optimiser.param_groups[0]["lr"]
            try:
                validation_loss, overlap = validate()
            except AutospineError as fault:
                save()
                raise _kept(fault, step) from fault
            summed, counted = torch.zeros((), device=device), 0
            record = EpochRecord(len(history), step, clock.seconds, rate, train_loss, validation_loss, overlap)
            history.append(record)
            best.look(network.state_dict(), history)
            with saying_what_stands(folder):
                write_history(folder, history, classes)
                on_epoch(record)
            pause()

    save()
    before_end()
    save_weights(folder, network)
    best.remove()
    timed = step - first - WARM_UP_STEPS
    per_step = in_steps / timed if timed > 0 else None
    peak = memory.peak_bytes() if step > first else None
    return FitResult(step, clock.seconds, tuple(history), per_step, peak, stepper.precision)


def _kept(fault: AutospineError, step: int) -> AutospineError:
    """`fault`, which came instead of a batch, with what is there to go on from."""
    kept = f"; the checkpoint of step {step} is saved, and the same command goes on from there" if step else ""
    return type(fault)(fault.where, fault.found + kept, fault.expected, fault.remedy)
