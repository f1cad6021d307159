"""The low resolution, on which a patch sees enough of a case where at full resolution it sees too little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from autospine.planning.decide.decided import RULE
from autospine.planning.decide.topology import NetworkFamily, fit_patch
from autospine.planning.estimate.tiers import memory_tier

SHARE = 0.25
"""Share of the median case that a full-resolution patch must see, else a low resolution is planned as well."""
GAIN = 2.0
"""Times fewer voxels that the low resolution must have; less is not worth a network of its own."""
STEP = 1.03
"""Growth of the spacing per step on the way to the low resolution."""


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
    obstacle: str
    """Why it is not worth a network; empty where it is."""

    @property
    def planned(self) -> bool:
        """Whether it has so many fewer voxels that it is worth a network."""
        return not self.obstacle

    @property
    def why(self) -> str:
        """Why its spacing is what it is."""
        return (
            f"a patch of full resolution sees {self.seen:.0%} of the median case: coarser, finer axes first, until one "
            f"sees {SHARE:.0%}; {self.gain:.2g} times fewer voxels ({RULE})"
        )


def low_resolution(
    spacing_mm: Sequence[float], median_shape: tuple[float, ...], family: NetworkFamily, memory_gb: float
) -> LowResolution:
    """The grid of the reference's low-resolution 3D configuration; `obstacle` says whether it would be kept.

    While the patch sees under a quarter of the median case, spacing grows by 3 % a step: the finer axes first until
    within a factor 2 of the coarsest, then all. Where it sees a quarter at once the grid is the given one.
    """
    tier = memory_tier(memory_gb)
    spacing, shape = list(spacing_mm), median_shape
    total = voxels = prod(median_shape)
    covered = seen = prod(fit_patch(spacing, shape, family, tier).topology.patch) / total
    while covered < SHARE:
        widest = max(spacing)
        finer = [axis for axis in range(3) if widest / spacing[axis] > 2] or [0, 1, 2]
        for axis in finer:
            spacing[axis] *= STEP
        exact = [old / new * size for old, new, size in zip(spacing_mm, spacing, median_shape, strict=True)]
        voxels, shape = prod(exact), tuple(float(max(1, round(edge))) for edge in exact)
        covered = prod(fit_patch(spacing, shape, family, tier).topology.patch) / voxels
    gain, obstacle = total / voxels, ""
    if seen >= SHARE:
        obstacle = (
            f"a patch of full resolution sees {min(seen, 1):.0%} of the median case, at least {SHARE:.0%} ({RULE})"
        )
    elif gain < GAIN:
        fewer = f"where a patch sees {SHARE:.0%} of the median case there are only {gain:.2g} times fewer voxels"
        obstacle = f"{fewer}, under {GAIN:g} ({RULE})"
    return LowResolution(tuple(spacing), shape, voxels, gain, seen, obstacle)
