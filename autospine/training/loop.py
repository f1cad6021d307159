"""`fit`: one visible loop that trains one fold of one configuration.

Nothing is called back into and nothing is subclassed: what a training does stands here from top to bottom.
It needs the store of prepared cases and torch; it reads no image file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from autospine.data.files import json_digest
from autospine.data.folds import Fold
from autospine.errors import AutospineError, Stopped
from autospine.losses.regions import Membership
from autospine.networks.device import autocast
from autospine.planning.plan import Configuration, configuration_to_dict
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_weights
from autospine.training.initial import CarriedOver, InitialWeights, start_from
from autospine.training.interrupt import StopRequest
from autospine.training.log import EpochRecord, write_history
from autospine.training.peak import PeakMemory
from autospine.training.sampler import IGNORE, PatchBatches, batches_from
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


def fit(
    configuration: Configuration,
    store: Store,
    fold: Fold,
    folder: Path,
    *,
    classes: tuple[str, ...],
    device: torch.device,
    workers: int = 1,
    previous: PreviousStage | None = None,
    initial: InitialWeights | None = None,
    on_start: Callable[[CarriedOver], None] = lambda _: None,
    on_step: Callable[[FitProgress], None] = lambda _: None,
    on_epoch: Callable[[EpochRecord], None] = lambda _: None,
) -> FitResult:
    """Train `configuration` on the cases of `fold.train`, or go on where an earlier call stopped.

    Args:
        configuration: what to build and how to train it; `training.budget_s` or `training.epochs` ends it.
        store: prepared cases.
        fold: names of the training and validation cases; validation may be empty.
        folder: where `training.ckpt`, `model.safetensors` and `history.csv` go.
        classes: names of the classes without background, or of the regions, for `history.csv`.
        device: where to train.
        workers: processes that build batches; 0 builds them in this one.
        previous: the previous stage's segmentations of all these cases, where `configuration` takes them.
        initial: weights that encoder and bottleneck start from.
        on_start: called with what was taken of them, where the training begins.
        on_step: called after every step.
        on_epoch: called after every epoch.

    Raises:
        Stopped: Ctrl-C or a termination signal; the checkpoint is saved.
        PlanError: the initial weights are those of another network.
        AutospineError: the loss is no longer finite.
    """
    memory = PeakMemory(device)  # before there is a network: its weights count
    training = configuration.training
    schedule = Schedule(training)
    torch.manual_seed(training.seed)
    stepper = Stepper.of(configuration, device)
    network, optimiser, scaler = stepper.network, stepper.optimiser, stepper.scaler

    identity = training_identity(configuration, store, fold, previous, initial)
    step, history, seconds = 0, [], 0.0
    summed, counted = torch.zeros((), device=device), 0  # losses of the epoch under way
    resumed = load_checkpoint(folder, identity, device)
    if resumed is not None:
        network.load_state_dict(resumed.network)
        optimiser.load_state_dict(resumed.optimiser)
        if scaler.is_enabled():
            scaler.load_state_dict(resumed.scaler)
        step, seconds, history = resumed.step, resumed.seconds, list(resumed.history)
        summed, counted = resumed.summed_loss, resumed.counted
    elif initial is not None:
        on_start(start_from(network, initial))
    del resumed  # a second copy of the weights

    pin = device.type == "cuda"
    batches = iter(
        batches_from(
            PatchBatches(store, fold.train, configuration, augment=True, seed=training.seed, previous=previous),
            step,
            workers,
            pin,
        )
    )
    held_out = PatchBatches(
        store, fold.validation, configuration, augment=False, seed=training.seed + 1, previous=previous
    )
    held_out.check_cases()
    overlaps_of = Overlaps(configuration).to(device)

    def save() -> None:
        state = Checkpoint(
            network.state_dict(),
            optimiser.state_dict(),
            scaler.state_dict(),
            step,
            clock.seconds,
            tuple(history),
            summed,
            counted,
            identity,
        )
        save_checkpoint(folder, state)

    clock = Clock(seconds)
    saved_at = clock.seconds
    first, in_steps = step, 0.0
    with StopRequest() as stop:
        while schedule.progress(step, clock.seconds) < 1:
            network.train()
            shown: float | None = None
            for _ in range(training.steps_per_epoch - step % training.steps_per_epoch):
                began = clock.seconds
                rate = schedule.learning_rate(schedule.progress(step, clock.seconds))
                for group in optimiser.param_groups:
                    group["lr"] = rate
                image, target, *sizes = (part.to(device, non_blocking=True) for part in next(batches))
                loss = stepper.step(image, target, *sizes)
                step += 1
                summed, counted = summed + loss, counted + 1

                if counted % LOSS_EVERY_STEPS == 0 or device.type == "cpu":
                    shown = float(summed) / counted
                if step - first > WARM_UP_STEPS:
                    in_steps += clock.seconds - began
                on_step(_progress(schedule, step, clock.seconds, shown, history))
                if schedule.progress(step, clock.seconds) >= 1:
                    break
                if step % training.steps_per_epoch == 0:
                    continue  # stopped or saved here, the epoch would lose its line in the history
                if stop.requested:
                    save()
                    raise Stopped(f"stopped after {step} steps; the same command goes on from there")
                if clock.seconds - saved_at > CHECKPOINT_EVERY_S:
                    save()
                    saved_at = clock.seconds

            train_loss = float(summed) / counted
            summed, counted = torch.zeros((), device=device), 0
            if not math.isfinite(train_loss):
                remedy = "lower training.learning_rate in plan.toml and train this fold with --overwrite"
                raise AutospineError(
                    str(folder), f"the loss became {train_loss} by step {step}", "a finite loss", remedy
                )
            validation_loss, dice = _validate(stepper, overlaps_of, held_out, training.validation_steps, device)
            record = EpochRecord(len(history), step, clock.seconds, rate, train_loss, validation_loss, dice)
            history.append(record)
            write_history(folder, history, classes)
            on_epoch(record)
            if stop.requested:
                save()
                raise Stopped(f"stopped after {step} steps; the same command goes on from there")

    save_weights(folder, network)
    save()
    timed = step - first - WARM_UP_STEPS
    per_step = in_steps / timed if timed > 0 else None
    return FitResult(step, clock.seconds, tuple(history), per_step, memory.peak_bytes() if step > first else None)


def training_identity(
    configuration: Configuration,
    store: Store,
    fold: Fold,
    previous: PreviousStage | None = None,
    initial: InitialWeights | None = None,
) -> str:
    """Hash of what a training depends on: a checkpoint of another one must not be continued.

    What the plan expects it to take decides nothing and has no part in it, nor have the levels: predictions use them.
    """
    decisive = configuration_to_dict(replace(configuration, expected=None, levels=None))
    content = [decisive, store.key, fold.train, fold.validation]
    content += [previous.key] if previous is not None else []
    content += [initial.digest] if initial is not None else []
    return json_digest(content)


def _progress(
    schedule: Schedule, step: int, seconds: float, loss: float | None, history: list[EpochRecord]
) -> FitProgress:
    dice = history[-1].mean_dice if history else None
    return FitProgress(schedule.progress(step, seconds), step, seconds, loss, dice)


@torch.inference_mode()
def _validate(
    stepper: Stepper, overlaps_of: Overlaps, batches: PatchBatches, count: int, device: torch.device
) -> tuple[float | None, tuple[float | None, ...]]:
    """Mean loss and Dice of what is segmented over `count` fixed patches of the validation cases."""
    if not batches.cases:
        return None, ()
    # training mode gives the loss all its outputs; instance norm has no running statistics to disturb
    losses: list[Tensor] = []
    counts: Tensor | None = None
    for image, target, *sizes in _tensors(batches, count, device):
        with autocast(device):
            outputs = stepper.network(image)
        losses.append(stepper.loss_of(outputs, target, *sizes))
        overlaps = overlaps_of(outputs[0], target)
        counts = overlaps if counts is None else counts + overlaps
    if counts is None:
        return None, ()
    dice = [2 * hit / size if size else None for hit, size in counts.tolist()]
    return float(torch.stack(losses).mean()), tuple(dice)


class Overlaps(nn.Module):
    """Counts voxels of what is segmented: those that agree, and those of prediction and target together."""

    def __init__(self, configuration: Configuration) -> None:
        """Of the classes of `configuration`, or of its regions."""
        super().__init__()
        self.membership = None if configuration.regions is None else Membership(configuration.regions)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Counts (T, 2) from logits (B, K, *patch) and target (B, *patch); voxels that are `IGNORE` do not count."""
        known, outputs = target != IGNORE, logits.shape[1]
        if self.membership is not None:
            predicted, reference = (logits > 0) & known[:, None], self.membership(target)
            both, space = predicted & reference, (0, *range(2, logits.ndim))
            return torch.stack((both.sum(space), predicted.sum(space) + reference.sum(space)), dim=1)
        classes = logits.argmax(1)
        pairs = torch.bincount(target[known] * outputs + classes[known], minlength=outputs**2).view(outputs, outputs)
        return torch.stack((pairs.diagonal(), pairs.sum(0) + pairs.sum(1)), dim=1)[1:]


def _tensors(batches: PatchBatches, count: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    for index in range(count):
        yield tuple(torch.from_numpy(part).to(device) for part in batches[index])
