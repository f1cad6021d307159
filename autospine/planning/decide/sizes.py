"""How large what is segmented usually is, and what each of it weighs in the loss for that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.planning.document.data import DataPlan
from autospine.planning.measured.fingerprint import CaseFingerprint


def usual_sizes(
    cases: Sequence[CaseFingerprint], axis_order: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[float, ...]:
    """Usual size of each class at the planned spacing: voxels in 3D, area per slice in 2D (two spacings)."""
    dimension = len(spacing_mm)
    axes, first = axis_order[-dimension:], axis_order[0]
    return class_sizes(
        [case.class_voxels for case in cases],
        [[slices[first] if dimension == 2 else 1 for slices in case.class_slices] for case in cases],
        [[case.spacing_mm[axis] for axis in axes] for case in cases],
        spacing_mm,
    )


def class_sizes(
    voxels: Sequence[Sequence[int]],
    slices: Sequence[Sequence[int]],
    spacings_mm: Sequence[Sequence[float]],
    target_mm: Sequence[float],
) -> tuple[float, ...]:
    """Usual size s_c of each class in voxels at the plan's spacing; 0 for a class no case contains.

    `voxels` is (cases, classes). `spacings_mm` (cases, n) and `target_mm` (n) hold the axes that count: all three
    in 3D, the in-plane ones in 2D. `slices` (cases, classes) is the number of slices over which a case's voxels
    spread in 2D (its area per slice is then the mean over the slices that contain the class), all ones in 3D. The
    size is the median over the cases that contain the class: our own definition (docs/papers.md), after Zhang et al.
    2023 (doi 10.1145/3587716.3587777).
    """
    counts = np.asarray(voxels, dtype=np.float64)
    spread = np.maximum(np.asarray(slices, dtype=np.float64), 1)
    scale = np.prod(np.asarray(spacings_mm, dtype=np.float64), axis=1) / float(np.prod(target_mm))
    sizes = counts / spread * scale[:, None]
    present = [sizes[counts[:, index] > 0, index] for index in range(counts.shape[1])]
    return tuple(float(np.median(size)) if size.size else 0.0 for size in present)


def target_sizes(sizes: Sequence[float], data: DataPlan) -> tuple[float, ...]:
    """Size of what is segmented, from the usual sizes of the classes: a region is as large as those in it together."""
    return tuple(sum(sizes[value - 1] for value in held) for held in data.members)


def size_ratio(sizes: Sequence[float]) -> float:
    """Largest over smallest size among the classes that occur; 1 where fewer than two do."""
    present = [size for size in sizes if size > 0]
    return max(present) / min(present) if present else 1.0


def size_adaptive_weights(sizes: Sequence[float], alpha: float = 0.5, cap: float = 5.0) -> tuple[float, ...]:
    """Cross-entropy weight per class, background first: clip((max s / s_c) ** alpha, 1, cap).

    `sizes` has one value per class without background; a class of size 0 never occurs and weighs 1. Ours (the
    published formula of the size-adaptive loss could not be had): background is no anatomy and weighs 1, so do all
    classes where alpha = 0, cap = 1 or the sizes are equal.
    """
    largest = max(sizes, default=0.0)
    weights = [min(max((largest / size) ** alpha, 1.0), cap) if size > 0 else 1.0 for size in sizes]
    return (1.0, *weights)
