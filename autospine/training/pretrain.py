"""`pretrain`: an encoder learns from images alone, by telling what lies under masked blocks.

Three quarters of the blocks of a patch are set to 0, about the mean of a normalised image, in all channels and slices
alike. The planned U-Net, with an output per channel of the image, says what was there. The error counts where something
was masked, inside the image, in channels that it has (docs/papers.md; the definition is ours).

    patch 8 x 48 x 48, spacing 4 x 1 x 1 mm   ->   blocks 4 x 16 x 16, grid 2 x 3 x 3, 14 of its 18 blocks masked

Patches are drawn as those of a training (`sampler`), with its rotations, zooms and mirrorings, and with channels left
out at random where they may be missing. Intensities are what is to be told, and stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autospine.data.geometry import times
from autospine.data.structure import IGNORED
from autospine.errors import PlanError
from autospine.machine.peak import PeakMemory
from autospine.machine.precision import Precision
from autospine.networks.build import build_network
from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training.epochs import FitProgress, FitResult, run_epochs
from autospine.training.identity import Identity
from autospine.training.log import EpochRecord
from autospine.training.precision import training_precision
from autospine.training.sampler import CaseSource, PatchBatches
from autospine.training.step import Stepper
from autospine.training.workers import batches_from

MASKED = 0.75
"""Share of the blocks that are masked (He et al. 2022, doi 10.1109/CVPR52688.2022.01553)."""
EDGE = 16
"""Edge of a block in voxels of the finest axis (ours, after the 16 pixels of the same paper)."""
_MASKS = 1
"""Keeps the draw of the masks apart from that of the patches."""

MaskedBatch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def block_edges(configuration: Configuration) -> tuple[int, ...]:
    """Voxels of a block along each axis of the patch: about the same millimetres on all, at most the patch.

    Raises:
        PlanError: the patch is a single block; masked, nothing would be left to tell it from.
    """
    finest = min(configuration.spacing_mm)
    sizes = zip(configuration.patch, configuration.spacing_mm, strict=True)
    edges = tuple(min(size, max(1, round(EDGE * finest / spacing))) for size, spacing in sizes)
    if edges == configuration.patch:
        found = f"a patch of {times(configuration.patch)} voxels is a single block of the masks"
        remedy = "plan with more memory or time, or pretrain another configuration"
        raise PlanError(f"configurations.{configuration.name}.patch", found, "two blocks at least", remedy)
    return edges


def draw_mask(patch: Sequence[int], edges: Sequence[int], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which voxels of `patch` are masked: `MASKED` of the blocks of a grid over it, rounded; one stays at least."""
    grid = [math.ceil(size / edge) for size, edge in zip(patch, edges, strict=True)]
    count = math.prod(grid)
    masked = np.zeros(count, np.bool_)
    masked[rng.permutation(count)[: min(round(MASKED * count), count - 1)]] = True
    blocks = masked.reshape(grid)
    for axis, (size, edge) in enumerate(zip(patch, edges, strict=True)):
        blocks = blocks.repeat(edge, axis).take(range(size), axis)  # the last blocks may be cut
    return blocks


class MaskedBatches:
    """Batch `step` of a pretraining: image (B, in_channels, *patch) and target (B, scans, *patch), float32.

    The image is 0 in masked blocks, its flags of what is there are not; the target is NaN where nothing is to be told.
    """

    def __init__(self, store: CaseSource, cases: tuple[str, ...], card: ModelCard, seed: int) -> None:
        """Sample from `cases` of `store`; raises as `block_edges` does."""
        # images alone have no components to go by
        drawn = card.with_loss(replace(card.configuration.loss, largest_size=None))
        self._patches = PatchBatches(store, cases, drawn, augment=True, seed=seed, intensity=False)
        self._patch, self._entering = card.configuration.patch, card.entering
        self._edges = block_edges(card.configuration)
        self._seed = seed

    def check_cases(self) -> None:
        """Raise `PlanError` where a case cannot be opened."""
        self._patches.check_cases()

    def __getitem__(self, step: int) -> MaskedBatch:
        """The batch of this step; the same for the same seed and step, always."""
        image, label, *_ = self._patches[step]
        rng = np.random.default_rng((self._seed, step, _MASKS))
        patch, entering, scan = self._patch, self._entering, self._entering.scan
        target = np.full((len(image), scan.stop, *patch), np.nan, np.float32)
        for sample, known, wanted in zip(image, label != IGNORED, target, strict=True):
            mask = draw_mask(patch, self._edges, rng)
            wanted[:, mask & known] = sample[scan, mask & known]
            sample[scan, mask] = 0
            for place, channel in enumerate(entering.optional, entering.presence.start):
                if not sample[place].any():
                    wanted[entering.places(channel)] = np.nan
        return image, target


class MaskedError(nn.Module):
    """Mean squared error of the finest output over what the target holds."""

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """A scalar in float32 from outputs (B, C, *patch), finest first, and target alike; where it is NaN none counts.

        0 where nothing does.
        """
        counts = ~torch.isnan(target)
        apart = torch.where(counts, outputs[0].float() - target.nan_to_num(), 0.0)
        return apart.square().sum() / counts.sum().clamp(min=1)


def pretrain(
    card: ModelCard,
    store: Store,
    cases: tuple[str, ...],
    folder: Path,
    *,
    device: torch.device,
    workers: int = 1,
    precision: Precision | None = None,
    on_step: Callable[[FitProgress], None] = lambda _: None,
    on_epoch: Callable[[EpochRecord], None] = lambda _: None,
    before_end: Callable[[], None] = lambda: None,
) -> FitResult:
    """Pretrain the network of `card` on the images `cases`, or go on where an earlier call stopped.

    Optimiser, schedule and clipping are those of its training, and so is the precision unless it is given. `folder`
    gets `training.ckpt`, `model.safetensors` and `history.csv`; `workers` processes build batches; `on_step` and
    `on_epoch` are called after every step and epoch, `before_end` before the weights of the end are written.

    Raises:
        Stopped: Ctrl-C or a termination signal; the checkpoint is saved.
        PlanError: the patch is a single block, or another pretraining stands there, or a longer one.
        AutospineError: the loss is no longer finite.
    """
    memory = PeakMemory(device)  # before there is a network: its weights count
    configuration, training = card.configuration, card.configuration.training
    precision = precision or training_precision(configuration, folder, device).precision
    torch.manual_seed(training.seed)
    told = replace(configuration.network, out_channels=card.entering.scan.stop)
    network = build_network(told, configuration.patch).to(device)
    drawn = MaskedBatches(store, cases, card, training.seed)

    def batches(first: int) -> Iterator[Sequence[Tensor]]:
        return batches_from(drawn, first, workers, pin=device.type == "cuda")

    return run_epochs(
        training,
        Stepper.around(network, MaskedError(), training, device, precision),
        batches,
        folder,
        identity=pretraining_identity(card, store.key, cases),
        classes=(),
        device=device,
        memory=memory,
        begin=lambda: None,
        validate=lambda: (None, ()),
        on_step=on_step,
        on_epoch=on_epoch,
        before_end=before_end,
    )


def pretraining_identity(card: ModelCard, prepared: str, cases: tuple[str, ...]) -> Identity:
    """What a pretraining depends on, `prepared` being the key of its images: that of another must not be continued."""
    return Identity.of(card, before=["pretrain", MASKED, EDGE], after=[prepared, cases])
