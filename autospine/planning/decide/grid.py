"""The data set on its planned axes: which goes first, the target spacing, the median case, a low resolution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from autospine.data.geometry import resampled_shape
from autospine.data.slices import CLEARLY, SliceAxis, slice_axis
from autospine.planning.decide.decided import RULE, Decided
from autospine.planning.decide.topology import NetworkFamily, fit_patch
from autospine.planning.estimate.tiers import memory_tier
from autospine.planning.measured.anatomy import AXIS_NAMES
from autospine.planning.measured.fingerprint import Fingerprint

ANISOTROPY = 3.0
"""Spacing (and size) ratio from which an axis counts as coarse. Lower: more data is treated slice by slice."""
LOW_SHARE = 0.25
"""Share of the median case that a full-resolution patch must see, else a low resolution is planned as well."""
LOW_GAIN = 2.0
"""Times fewer voxels that the low resolution must have; less is not worth a network of its own."""
LOW_STEP = 1.03
"""Growth of the spacing per step on the way to the low resolution."""


@dataclass(frozen=True)
class Grid:
    """The data set on its planned axes."""

    across: SliceAxis
    """Which canonical axis the slices are stacked along, and why."""
    axis_order: tuple[int, int, int]
    """Canonical axis at each planned axis."""
    spacing_mm: tuple[float, ...]
    """Target spacing of the three planned axes."""
    median_shape: tuple[float, ...]
    """Median case at target spacing; halves are possible."""
    voxels: float
    """Voxels of the median case."""
    slices: float
    """Slices of the median case as it lies, along the first planned axis."""
    moved: bool
    """Whether the rule's spacing of the coarse axis is its 10th percentile."""

    @property
    def flat(self) -> bool:
        """Whether the median case has a single slice."""
        return self.median_shape[0] == 1


def planned_grid(fingerprint: Fingerprint) -> Grid:
    """Axis order, target spacing and median shape by the rules."""
    shapes = [case.cropped_shape for case in fingerprint.cases]
    rule, moved = target_spacing([case.spacing_mm for case in fingerprint.cases], shapes)
    lying = np.median(np.asarray(shapes), axis=0).tolist()
    across = slice_axis(lying, rule, stated_axis([case.slice_axis for case in fingerprint.cases]))
    order = order_axes(across)
    grid = Grid(across, order, (), (), 0.0, float(lying[order[0]]), moved)
    return regridded(grid, fingerprint, [rule[axis] for axis in order])


def regridded(grid: Grid, fingerprint: Fingerprint, spacing_mm: Sequence[float]) -> Grid:
    """`grid` at another spacing of its three planned axes."""
    shape = median_shape(fingerprint, grid.axis_order, spacing_mm)
    return replace(grid, spacing_mm=tuple(spacing_mm), median_shape=shape, voxels=prod(shape))


def median_shape(fingerprint: Fingerprint, axes: Sequence[int], target_mm: Sequence[float]) -> tuple[float, ...]:
    """Voxels of the median case along the canonical `axes`, cropped and resampled to `target_mm` along each."""
    cases = fingerprint.cases
    lying = [([case.cropped_shape[axis] for axis in axes], [case.spacing_mm[axis] for axis in axes]) for case in cases]
    shapes = [resampled_shape(shape, spacing, target_mm) for shape, spacing in lying]
    return tuple(float(edge) for edge in np.median(np.asarray(shapes), axis=0))


def target_spacing(
    spacings_mm: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]
) -> tuple[tuple[float, float, float], bool]:
    """(target spacing in mm per axis, whether the coarse-axis rule moved it).

    `spacings_mm` and cropped `shapes` are (cases, 3), axes in one common order. The target is the median per axis. An
    axis more than 3 x coarser than the others that also has fewer than a third of their voxels takes its 10th
    percentile, so that thick slices are not interpolated away, though never finer than the other axes.
    """
    spacings = np.asarray(spacings_mm, dtype=np.float64)
    target = np.percentile(spacings, 50, axis=0)
    size = np.percentile(np.asarray(shapes, dtype=np.float64), 50, axis=0)
    coarse = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarse]
    widest = max(target[axis] for axis in others)
    fewest = min(size[axis] for axis in others)
    moved = bool(target[coarse] > ANISOTROPY * widest and size[coarse] * ANISOTROPY < fewest)
    if moved:
        fine = float(np.percentile(spacings[:, coarse], 10))
        # 1e-5 mm keeps the axis the coarsest, so that it stays the first one.
        target[coarse] = fine if fine >= widest else widest + 1e-5
    return (float(target[0]), float(target[1]), float(target[2])), moved


def order_axes(across: SliceAxis) -> tuple[int, int, int]:
    """Canonical axis at each planned axis: the slices' first (the reference: the coarsest), then the others."""
    second, third = [axis for axis in range(3) if axis != across.axis]
    return across.axis, second, third


def stated_axis(stated: Sequence[int | None]) -> int | None:
    """The slice axis that the headers of more than half of the cases name."""
    axis, count = Counter(stated).most_common(1)[0]
    return axis if 2 * count > len(stated) else None


def planned_axes(grid: Grid) -> Decided[tuple[int, int, int]]:
    """The planned axes, and why the slices' is the one that it is."""
    runs, count = f"the slices', which runs {AXIS_NAMES[grid.across.axis]}, goes first", f"{grid.slices:g} voxels"
    match grid.across.why:
        case "flat":
            why = f"the axis of a single voxel, {runs}"
        case "thick":
            why = f"the clearly coarsest axis, {runs} ({RULE})"
        case "header":
            why = f"no axis is {CLEARLY:g} times coarser than the others; the one that the headers name, {runs} (ours)"
        case "few":
            why = f"no axis is {CLEARLY:g} times coarser than the others; one has {count}, under half of the others"
            why = f"{why}: {runs} (ours)"
        case "coarsest":
            why = f"the coarsest axis, or the first of equal ones, {runs} ({RULE})"
    return Decided(grid.axis_order, f"{why}; 0, 1, 2 are the canonical axes Z, Y, X")


def planned_median(shape: Sequence[float], cases: int) -> Decided[tuple[int, ...]]:
    """Voxels of the median case, whole ones."""
    whole = tuple(max(1, round(edge)) for edge in shape)
    return Decided(whole, f"median of the {cases} cases, cropped and resampled to this spacing")


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
            f"sees {LOW_SHARE:.0%}; {self.gain:.2g} times fewer voxels ({RULE})"
        )


def low_resolution(
    spacing_mm: Sequence[float], median_shape: tuple[float, ...], family: NetworkFamily, memory_gb: float
) -> LowResolution:
    """The grid of the reference's low-resolution 3D configuration; `obstacle` says whether it would be kept.

    While the patch sees under a quarter of the median case, spacing grows by 3 % a step: the finer axes first until
    within a factor 2 of the coarsest, then all. Where it sees a quarter at once the grid is the given one.
    """

    def seen_of(spacing: Sequence[float], shape: Sequence[float], voxels: float) -> float:
        return prod(fit_patch(spacing, shape, family, memory_tier(memory_gb)).topology.patch) / voxels

    spacing, shape = list(spacing_mm), median_shape
    total = voxels = prod(median_shape)
    covered = seen = seen_of(spacing, shape, voxels)
    while covered < LOW_SHARE:
        widest = max(spacing)
        finer = [axis for axis in range(3) if widest / spacing[axis] > 2] or [0, 1, 2]
        for axis in finer:
            spacing[axis] *= LOW_STEP
        exact = [old / new * size for old, new, size in zip(spacing_mm, spacing, median_shape, strict=True)]
        voxels, shape = prod(exact), tuple(float(max(1, round(edge))) for edge in exact)
        covered = seen_of(spacing, shape, voxels)
    gain, obstacle = total / voxels, ""
    if seen >= LOW_SHARE:
        obstacle = f"a patch of full resolution sees {min(seen, 1):.0%} of the median case, at least {LOW_SHARE:.0%}"
    elif gain < LOW_GAIN:
        obstacle = f"where a patch sees {LOW_SHARE:.0%} of the median case there are only {gain:.2g} times fewer voxels"
        obstacle = f"{obstacle}, under {LOW_GAIN:g}"
    obstacle = f"{obstacle} ({RULE})" if obstacle else ""
    return LowResolution(tuple(spacing), shape, voxels, gain, seen, obstacle)
