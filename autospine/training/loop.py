"""`fit`: trains one fold of one configuration to segment.

What is learnt stands here: the batches, the loss, what is held out and where the weights begin. The steps are those of
every training (`epochs.run_epochs`). It needs the store of prepared cases and torch; it reads no image file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from autospine.data.folds import Fold
from autospine.data.structure import IGNORED
from autospine.losses.regions import Membership
from autospine.machine.peak import PeakMemory
from autospine.machine.precision import Precision, autocast
from autospine.planning.document.card import ModelCard
from autospine.planning.document.data import DataPlan
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.training.epochs import FitProgress, FitResult, run_epochs
from autospine.training.identity import Identity
from autospine.training.initial import CarriedOver, InitialWeights, start_from
from autospine.training.log import EpochRecord
from autospine.training.precision import training_precision
from autospine.training.sampler import PatchBatches
from autospine.training.step import Stepper
from autospine.training.workers import batches_from


def fit(
    card: ModelCard,
    store: Store,
    fold: Fold,
    folder: Path,
    *,
    device: torch.device,
    workers: int = 1,
    previous: PreviousStage | None = None,
    initial: InitialWeights | None = None,
    precision: Precision | None = None,
    on_start: Callable[[CarriedOver], None] = lambda _: None,
    on_step: Callable[[FitProgress], None] = lambda _: None,
    on_epoch: Callable[[EpochRecord], None] = lambda _: None,
    before_end: Callable[[], None] = lambda: None,
) -> FitResult:
    """Train the configuration of `card` on the cases of `fold.train`, or go on where an earlier call stopped.

    Args:
        card: what to build and how to train it; `training.budget_s` or `training.epochs` ends it.
        store: prepared cases.
        fold: names of the training and validation cases; validation may be empty.
        folder: where `training.ckpt`, `history.csv`, `best.safetensors` and at the end `model.safetensors` go.
        device: where to train.
        workers: processes that build batches; 0 builds them in this one.
        previous: the previous stage's segmentations of all these cases, where the configuration takes them.
        initial: weights that encoder and bottleneck start from.
        precision: in which the network computes; None: the one of `training_precision`.
        on_start: called with what was taken of them, where the training begins.
        on_step: called after every step.
        on_epoch: called after every epoch.
        before_end: called before the weights of the end are written, which may replace those of an earlier end.

    Raises:
        Stopped: Ctrl-C or a termination signal; the checkpoint is saved.
        PlanError: the initial weights are those of another network, or what stands in `folder` is another training, or
            one that is longer already.
        AutospineError: the loss is no longer finite.
    """
    memory = PeakMemory(device)  # before there is a network: its weights count
    training = card.configuration.training
    precision = precision or training_precision(card.configuration, folder, device).precision
    torch.manual_seed(training.seed)
    stepper = Stepper.of(card, device, precision)
    held_out = PatchBatches(store, fold.validation, card, augment=False, seed=training.seed + 1, previous=previous)
    held_out.check_cases()
    overlaps_of = Overlaps(card.data).to(device)

    def batches(first: int) -> Iterator[Sequence[Tensor]]:
        drawn = PatchBatches(store, fold.train, card, augment=True, seed=training.seed, previous=previous)
        return batches_from(drawn, first, workers, pin=device.type == "cuda")

    def begin() -> None:
        if initial is not None:
            on_start(start_from(stepper.network, initial))

    return run_epochs(
        training,
        stepper,
        batches,
        folder,
        identity=training_identity(card, store.key, fold, previous, initial),
        classes=card.data.targets,
        device=device,
        memory=memory,
        begin=begin,
        validate=lambda: _validate(stepper, overlaps_of, held_out, training.validation_steps, device),
        on_step=on_step,
        on_epoch=on_epoch,
        before_end=before_end,
    )


def training_identity(
    card: ModelCard,
    prepared: str,
    fold: Fold,
    previous: PreviousStage | None = None,
    initial: InitialWeights | None = None,
) -> Identity:
    """What a training depends on, `prepared` being the key of its cases: that of another must not be continued."""
    further = [prepared, fold.train, fold.validation]
    further += [previous.key] if previous is not None else []
    further += [initial.digest] if initial is not None else []
    return Identity.of(card, after=further)


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
        with autocast(device, stepper.precision):
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

    def __init__(self, data: DataPlan) -> None:
        """Of its classes, or of its regions."""
        super().__init__()
        self.membership = Membership.of(data)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Counts (T, 2) from logits (B, K, *patch) and target (B, *patch); voxels that are `IGNORED` do not count."""
        known, outputs = target != IGNORED, logits.shape[1]
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
