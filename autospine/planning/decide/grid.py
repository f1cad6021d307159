"""The data set on its planned axes: which axis goes first, the target spacing, the median case there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from autospine.data.geometry import resampled_shape
from autospine.data.slices import SliceAxis, slice_axis
from autospine.planning.decide import rules
from autospine.planning.measured.fingerprint import Fingerprint


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
    """Whether the coarse axis took its 10th percentile."""

    @property
    def flat(self) -> bool:
        """Whether the median case has a single slice."""
        return self.median_shape[0] == 1


def planned_grid(fingerprint: Fingerprint, target_mm: Sequence[float] | None = None) -> Grid:
    """Axis order, target spacing and median shape; `target_mm` (3, planned order) replaces the rule's spacing."""
    spacings = [case.spacing_mm for case in fingerprint.cases]
    shapes = [case.cropped_shape for case in fingerprint.cases]
    rule, moved = rules.target_spacing(spacings, shapes)
    lying = np.median(np.asarray(shapes), axis=0).tolist()
    across = slice_axis(lying, rule, rules.stated_axis([case.slice_axis for case in fingerprint.cases]))
    order = rules.order_axes(across)
    planned = tuple(rule[axis] for axis in order) if target_mm is None else tuple(target_mm)
    canonical = [planned[order.index(axis)] for axis in range(3)]
    resampled = [resampled_shape(*pair, canonical) for pair in zip(shapes, spacings, strict=True)]
    median = np.median(np.asarray(resampled), axis=0)
    shape = tuple(float(median[axis]) for axis in order)
    return Grid(across, order, planned, shape, prod(shape), float(lying[order[0]]), moved and target_mm is None)
