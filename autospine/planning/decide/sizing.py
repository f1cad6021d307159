"""Patch and batch for a memory size, and the low resolution where the patch sees too little.

Both are planned for a tier of memory by the reference's count of feature maps, then held against the estimated peak
of a training step, which lowers a batch that would not fit. The rules shrink a patch in steps and round a batch, so
that a little more memory can come out as less: with 3 patches of 100 voxels by the rule for 6 GB and 2 of 130 by that
for 8 GB, the 300 of the smaller tier are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Literal

from autospine.planning.decide import rules
from autospine.planning.decide.topology import Fit, NetworkFamily, fit_patch
from autospine.planning.estimate.tiers import MEMORY_TIERS_GB, memory_tier


@dataclass(frozen=True)
class Share:
    """How much of the data set one batch may show."""

    dataset_voxels: float
    """Voxels of all cases at the target spacing."""
    fraction: float
    """Largest share of them in a batch, 0 to 1."""
    max_batch: int | None = None
    """Largest batch whatever the memory; may lie below the rules' own minimum."""


@dataclass(frozen=True)
class Size:
    """A patch, its network and its batch."""

    fit: Fit
    batch: int
    by_memory: int
    """Batch that fills the memory."""
    by_dataset: int
    """Batch at the largest share of the data set."""
    memory_gb: float
    """Tier by whose rule it was sized: the one asked for, or a smaller one."""
    by_estimate: int | None = None
    """Largest batch whose estimated peak fits, where that is smaller than the rule's."""
    displaced: Literal["smaller", "over"] | None = None
    """Why not the rule of the tier asked for: it shows fewer voxels a step, or its estimated peak does not fit."""
    over: bool = False
    """Whether even the smallest tier's batch of two does not fit."""

    @property
    def voxels(self) -> int:
        """Voxels of a batch."""
        return prod(self.fit.topology.patch) * self.batch


def size_for_memory(
    spacing_mm: Sequence[float],
    median_shape: Sequence[float],
    family: NetworkFamily,
    memory_gb: float,
    share: Share,
    peak_gb: Callable[[Fit, int], float],
    limit: Sequence[float] | None = None,
) -> Size:
    """Patch and batch by the rules at the tier of `memory_gb`, or of a smaller tier that shows more voxels a batch.

    `peak_gb` estimates what a training step takes with a patch and a batch; no batch is planned that takes more than
    the tier. `limit` holds the patch below a size in voxels. More memory never gives a smaller patch x batch (ours).
    """
    most = memory_tier(memory_gb)
    tiers = [tier for tier in reversed(MEMORY_TIERS_GB) if tier <= most]
    sizes = [_size(spacing_mm, median_shape, family, tier, share, limit) for tier in tiers]
    own = best = _fitting(sizes[0], most, peak_gb)
    for size in sizes[1:]:
        if best is None or size.voxels > best.voxels:
            fitting = _fitting(size, most, peak_gb)
            if fitting is not None and (best is None or fitting.voxels > best.voxels):
                best = replace(fitting, displaced="over" if own is None else "smaller")
    if best is None:
        return replace(sizes[-1], batch=min(sizes[-1].batch, rules.MINIMUM_BATCH), over=True)
    return best


def _fitting(size: Size, memory_gb: float, peak_gb: Callable[[Fit, int], float]) -> Size | None:
    """`size` with the largest batch up to its own whose peak fits; None where not even two patches do."""
    fits, exceeds = min(size.batch, rules.MINIMUM_BATCH), size.batch
    if peak_gb(size.fit, exceeds) <= memory_gb:
        return size
    if peak_gb(size.fit, fits) > memory_gb:
        return None
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if peak_gb(size.fit, middle) <= memory_gb:
            fits = middle
        else:
            exceeds = middle
    return replace(size, batch=fits, by_estimate=fits)


def _size(
    spacing_mm: Sequence[float],
    median_shape: Sequence[float],
    family: NetworkFamily,
    tier: float,
    share: Share,
    limit: Sequence[float] | None,
) -> Size:
    dimension = len(spacing_mm)
    fit = fit_patch(spacing_mm, median_shape, family, tier, limit)
    by_memory = rules.batch_by_memory(dimension, fit.elements, tier, family.encoder)
    by_dataset = rules.batch_by_dataset(share.dataset_voxels, share.fraction, fit.topology.patch)
    batch = max(min(by_memory, by_dataset), rules.MINIMUM_BATCH)
    batch = batch if share.max_batch is None else min(batch, share.max_batch)
    return Size(fit, batch, by_memory, by_dataset, tier)


@dataclass(frozen=True)
class LowResolution:
    """The coarser grid on which a patch sees enough of a case."""

    spacing_mm: tuple[float, ...]
    median_shape: tuple[float, ...]
    """Median case there in voxels."""
    voxels: float
    """Voxels of the median case there, before its shape is rounded."""
    gain: float
    """How many times more voxels it has at full resolution."""
    seen: float
    """Share of the median case that a patch of full resolution sees."""

    @property
    def planned(self) -> bool:
        """Whether it has so many fewer voxels that it is worth a network."""
        return self.gain >= rules.LOW_RESOLUTION_GAIN


@lru_cache(maxsize=32)  # asked for by each 3D configuration of a plan, and up to fifty patches are fitted for it
def low_resolution(
    spacing_mm: tuple[float, ...], median_shape: tuple[float, ...], family: NetworkFamily, memory_gb: float
) -> LowResolution:
    """The grid of the reference's low-resolution 3D configuration; `planned` says whether it would be kept.

    While the patch sees under a quarter of the median case, spacing grows by 3 % a step: the finer axes first until
    within a factor 2 of the coarsest, then all. Where it sees a quarter at once the grid is the given one.
    """
    tier = memory_tier(memory_gb)
    spacing, shape = list(spacing_mm), median_shape
    total = voxels = prod(median_shape)
    covered = seen = prod(fit_patch(spacing, shape, family, tier).topology.patch) / total
    while covered < rules.LOW_RESOLUTION_SHARE:
        widest = max(spacing)
        finer = [axis for axis in range(3) if widest / spacing[axis] > 2] or [0, 1, 2]
        for axis in finer:
            spacing[axis] *= rules.LOW_RESOLUTION_STEP
        exact = [old / new * size for old, new, size in zip(spacing_mm, spacing, median_shape, strict=True)]
        voxels, shape = prod(exact), tuple(float(max(1, round(edge))) for edge in exact)
        covered = prod(fit_patch(spacing, shape, family, tier).topology.patch) / voxels
    return LowResolution(tuple(spacing), shape, voxels, total / voxels, seen)
