"""`MaskedTask`: an encoder learns from images alone, by telling what lies under masked blocks.

Three quarters of the blocks of a patch are set to 0, about the mean of a normalised image, in all channels and slices
alike. The planned U-Net, with an output per channel of the image, says what was there. The error counts where something
was masked, inside the image, in channels that it has (docs/papers.md; the definition is ours).

    patch 8 x 48 x 48, spacing 4 x 1 x 1 mm   ->   blocks 4 x 16 x 16, grid 2 x 3 x 3, 14 of its 18 blocks masked

Patches are drawn as those of a training (`sampler`), with its rotations, zooms and mirrorings, and with channels left
out at random where they may be missing. Intensities are what is to be told, and stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autospine.data.geometry import times
from autospine.data.structure import IGNORED
from autospine.errors import PlanError
from autospine.machine.precision import Precision
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.store import Store
from autospine.training.batches import CaseSource, PatchBatches
from autospine.training.identity import Identity
from autospine.training.step import Stepper
from autospine.training.task import Task

MASKED = 0.75
"""Share of the blocks that are masked (He et al. 2022, doi 10.1109/CVPR52688.2022.01553)."""
EDGE = 16
"""Edge of a block in voxels of the finest axis (ours, after the 16 pixels of the same paper)."""
_MASKS = 1
"""Keeps the draw of the masks apart from that of the patches."""


def block_edges(configuration: Configuration) -> tuple[int, ...]:
    """Voxels of a block along each axis of the patch: about the same millimetres on all, at most the patch.

    Raises `PlanError` where the patch is a single block: masked, nothing would be left to tell it from.
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
        self._patch, self._entering, self._seed = card.configuration.patch, card.entering, seed
        self._edges = block_edges(card.configuration)

    def check_cases(self) -> None:
        """Raise `PlanError` where a case cannot be opened."""
        self._patches.check_cases()

    def __getitem__(self, step: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
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
    """Mean squared error of the finest output where the target is not NaN."""

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """A scalar in float32 from outputs (B, C, *patch), finest first, and target alike; 0 where that is all NaN."""
        counts = ~torch.isnan(target)
        apart = torch.where(counts, outputs[0].float() - target.nan_to_num(), 0.0)
        return apart.square().sum() / counts.sum().clamp(min=1)


@dataclass(frozen=True)
class MaskedTask(Task):
    """The network of a configuration, to tell what lies under the masks of images without labels."""

    card: ModelCard
    """Optimiser, schedule and clipping are those of its training."""
    cases: tuple[str, ...]

    def identity(self, prepared: str) -> Identity:
        """Of the card, the images and the masks."""
        return Identity.of(self.card, before=["pretrain", MASKED, EDGE], after=[prepared, self.cases])

    def stepper(self, device: torch.device, precision: Precision) -> Stepper:
        """The planned network with an output per channel of the image."""
        configuration = self.card.configuration
        told = replace(configuration.network, out_channels=self.card.entering.scan.stop)
        network = UNet(told, configuration.patch).to(device)
        return Stepper.around(network, MaskedError(), configuration.training, device, precision)

    def batches(self, store: Store) -> MaskedBatches:
        """Patches of all images; raises as `block_edges` does."""
        return MaskedBatches(store, self.cases, self.card, self.card.configuration.training.seed)
