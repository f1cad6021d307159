"""Patch and batch for a memory size.

Both are planned for a tier of memory by the reference's count of feature maps, then held against the estimated peak
of a training step, which lowers a batch that would not fit. The rules shrink a patch in steps and round a batch, so
that a little more memory can come out as less: with 3 patches of 100 voxels by the rule for 6 GB and 2 of 130 by that
for 8 GB, the 300 of the smaller tier are kept.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

from autospine.machine.arithmetic import Machine
from autospine.planning.decide.decided import RULE, Decided
from autospine.planning.decide.topology import (
    Fit,
    NetworkFamily,
    batch_by_dataset,
    batch_by_memory,
    fit_patch,
    planned_memory_gb,
    too_large,
)
from autospine.planning.document.parts import Encoder
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.tiers import MEMORY_TIERS_GB, memory_tier

MINIMUM_BATCH = 2
"""Smallest batch of the rules; below it a step sees a single case."""
DATASET_FRACTION: dict[Encoder, float] = {"plain": 0.05, "residual": 1.0}
"""Largest share of the data set's voxels in one batch; the residual presets leave it open."""


def dataset_fraction(recipe: Recipe) -> float:
    """Largest share of the data set's voxels in one batch."""
    return DATASET_FRACTION[recipe.encoder] if recipe.dataset_fraction == "auto" else recipe.dataset_fraction


@dataclass(frozen=True)
class Frame:
    """What a patch is cut from, and what holds it and its batch beside the memory."""

    spacing_mm: tuple[float, ...]
    median_shape: tuple[float, ...]
    """Median case in voxels."""
    family: NetworkFamily
    """The networks that the patch may get."""
    dataset_voxels: float
    """Voxels of all cases at the target spacing."""
    fraction: float
    """Largest share of them in a batch, 0 to 1."""
    max_batch: int | None = None
    """Largest batch; may lie below the rules' own minimum."""
    limit: Sequence[float] | None = None
    """Largest patch in voxels."""


@dataclass(frozen=True)
class Size:
    """A patch, its network and its batch, each with its reason."""

    fit: Fit
    batch: int
    memory_gb: float
    """Tier by whose rule it was sized: the one asked for, or a smaller one."""
    why_patch: str
    why_batch: str

    @property
    def patch(self) -> tuple[int, ...]:
        """Patch in voxels."""
        return self.fit.topology.patch

    @property
    def voxels(self) -> int:
        """Voxels of a batch."""
        return prod(self.patch) * self.batch


def size_for_memory(frame: Frame, memory_gb: float, peak_gb: Callable[[Size], float]) -> Size:
    """Patch and batch by the rules at the tier of `memory_gb`, or of a smaller tier that shows more voxels a batch.

    `peak_gb` estimates what a training step takes with a patch and a batch; no batch is planned that takes more than
    the tier. More memory never gives a smaller patch x batch (ours).
    """
    most = memory_tier(memory_gb)
    sizes = [_size_by_rule(frame, tier) for tier in reversed(MEMORY_TIERS_GB) if tier <= most]
    best = _fitting(sizes[0], most, peak_gb)
    fault = "would not fit by our estimate" if best is None else "would show fewer voxels a step"
    for size in sizes[1:]:
        if best is None or size.voxels > best.voxels:
            fitting = _fitting(size, most, peak_gb)
            if fitting is not None and (best is None or fitting.voxels > best.voxels):
                kept = f"the rule for {most:g} GB {fault}, that for {size.memory_gb:g} GB is kept (ours): "
                best = replace(fitting, why_patch=kept + fitting.why_patch, why_batch=kept + fitting.why_batch)
    if best is None:
        smallest = sizes[-1]
        batch = min(smallest.batch, MINIMUM_BATCH)
        return replace(smallest, batch=batch, why_patch=too_large(smallest.memory_gb))
    return best


def _fitting(size: Size, memory_gb: float, peak_gb: Callable[[Size], float]) -> Size | None:
    """`size` with the largest batch up to its own whose peak fits; None where not even two patches do."""
    if peak_gb(size) <= memory_gb:
        return size
    least = min(size.batch, MINIMUM_BATCH)
    if peak_gb(replace(size, batch=least)) > memory_gb:
        return None
    larger = range(least + 1, size.batch)
    batch = least + bisect(larger, memory_gb, key=lambda batch: peak_gb(replace(size, batch=batch)))
    why = f"{size.why_batch}; lowered until the estimated peak stays within {memory_gb:g} GB (ours)"
    return replace(size, batch=batch, why_batch=why)


def _size_by_rule(frame: Frame, tier: float) -> Size:
    """Patch and batch as the reference has them at a tier."""
    family, dimension = frame.family, len(frame.spacing_mm)
    fit = fit_patch(frame.spacing_mm, frame.median_shape, family, tier, frame.limit)
    by_memory = batch_by_memory(dimension, fit.elements, tier, family.encoder)
    by_dataset = batch_by_dataset(frame.dataset_voxels, frame.fraction, fit.topology.patch)
    batch = max(min(by_memory, by_dataset), MINIMUM_BATCH)
    why = f"{tier:g} GB allow {by_memory}, {frame.fraction:.0%} of the data set's voxels allow {by_dataset}"
    why += f"; at least {MINIMUM_BATCH} ({RULE})"
    if frame.max_batch is not None and frame.max_batch < batch:
        batch = frame.max_batch
        why += f"; held at {batch} for the time budget (ours)"
    return Size(fit, batch, tier, fit.why, why)


def planned_overlap(recipe: Recipe) -> Decided[float]:
    """Share by which neighbouring prediction tiles overlap."""
    why = f"neighbouring prediction tiles share {recipe.overlap:.0%}: no voxel is seen at an edge only"
    return Decided(recipe.overlap, f"{why} ({RULE})" if recipe.overlap == Recipe.overlap else why)


def planned_for(recipe: Recipe, machine: Machine) -> str:
    """For which memory the peak of a training step was planned."""
    asked = planned_memory_gb(recipe)
    tier = memory_tier(asked)
    step = f"a training step in {machine.precision} precision"
    step += f" on {machine.threads} threads" if machine.threads > 1 else ""
    why = f"estimated peak of {step}; planned for {tier:g} GB"
    if tier < asked:
        why += f", the largest planned size within {asked:g} GB"
    elif tier > asked:
        why += f", the smallest planned size: {asked:g} GB may be too little"
    return why
