"""`FoldTask`: what one fold of one configuration learns to segment, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autospine.data.folds import Fold
from autospine.data.structure import IGNORED
from autospine.losses.regions import Membership
from autospine.machine.precision import Precision, autocast
from autospine.planning.document.data import DataPlan
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.training.batches import PatchBatches
from autospine.training.identity import Identity
from autospine.training.initial import CarriedOver, InitialWeights, start_from
from autospine.training.step import Stepper
from autospine.training.task import Judge, Task


@dataclass(frozen=True)
class FoldTask(Task):
    """One fold of one configuration, to segment."""

    card: ModelCard
    fold: Fold
    """Names of the training and validation cases; validation may be empty."""
    previous: PreviousStage | None = None
    """The previous stage's segmentations of all these cases, where the configuration takes them."""
    initial: InitialWeights | None = None
    """Weights that encoder and bottleneck start from."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What is segmented, by name."""
        return self.card.data.targets

    def identity(self, prepared: str) -> Identity:
        """Of the card, the cases and what they start from."""
        began = [] if self.previous is None else [self.previous.key]
        began += [] if self.initial is None else [self.initial.digest]
        return Identity.of(self.card, after=[prepared, self.fold.train, self.fold.validation, *began])

    def stepper(self, device: torch.device, precision: Precision) -> Stepper:
        """As the configuration plans it."""
        return Stepper.of(self.card, device, precision)

    def batches(self, store: Store) -> PatchBatches:
        """Random patches of the training cases."""
        seed = self.card.configuration.training.seed
        return PatchBatches(store, self.fold.train, self.card, augment=True, seed=seed, previous=self.previous)

    def judge(self, store: Store, stepper: Stepper, device: torch.device) -> Judge:
        """Of the validation cases; raises `PlanError` where one cannot be opened."""
        training, cases = self.card.configuration.training, self.fold.validation
        held_out = PatchBatches(store, cases, self.card, augment=False, seed=training.seed + 1, previous=self.previous)
        held_out.check_cases()
        overlaps_of = Overlaps(self.card.data).to(device)
        return lambda: _validate(stepper, overlaps_of, held_out, training.validation_steps, device)

    def begin(self, network: nn.Module) -> CarriedOver | None:
        """With what the initial weights have learnt."""
        return None if self.initial is None else start_from(network, self.initial)


@torch.inference_mode()
def _validate(
    stepper: Stepper, overlaps_of: Overlaps, batches: PatchBatches, count: int, device: torch.device
) -> tuple[float | None, tuple[float | None, ...]]:
    """Mean loss and Dice of what is segmented over `count` fixed patches of the validation cases."""
    if not batches.cases or not count:
        return None, ()
    # training mode gives the loss all its outputs; instance norm has no running statistics to disturb
    losses, overlaps = list[Tensor](), list[Tensor]()
    for index in range(count):
        image, target, *sizes = (torch.from_numpy(part).to(device) for part in batches[index])
        with autocast(device, stepper.precision):
            outputs = stepper.network(image)
        losses.append(stepper.loss_of(outputs, target, *sizes))
        overlaps.append(overlaps_of(outputs[0], target))
    dice = [2 * hit / size if size else None for hit, size in torch.stack(overlaps).sum(0).tolist()]
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
