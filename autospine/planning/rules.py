"""The planner's rules as small pure functions: spacing, axes, batch, normalisation, class sizes.

Numbers are those of nnU-Net v2.8 (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z) where a comment does not say
that they are ours. Patch and topology stand in `topology.py`, ordered anatomy in `anatomy.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ANISOTROPY = 3.0
"""Spacing (and size) ratio from which an axis counts as coarse. Lower: more data is treated slice by slice."""
REFERENCE_GB = 8.0
"""GPU memory that the reference estimates stand for."""
REFERENCE_ELEMENTS = {2: 85e6, 3: 560e6}
"""Feature-map elements at the reference batch that fit `REFERENCE_GB`, plain U-Net."""
REFERENCE_BATCH = {2: 12, 3: 2}
"""Batch at which the reference elements were counted."""
MINIMUM_BATCH = 2
"""Smallest batch of the rules; below it a step sees a single case."""
MASK_FRACTION = 0.75
"""Median share of a case left by the nonzero crop under which intensities are normalised inside the mask."""


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
    moved = bool(
        target[coarse] > ANISOTROPY * widest and size[coarse] * ANISOTROPY < min(size[axis] for axis in others)
    )
    if moved:
        fine = float(np.percentile(spacings[:, coarse], 10))
        # 1e-5 mm keeps the axis the coarsest, so that it stays the first one.
        target[coarse] = fine if fine >= widest else widest + 1e-5
    return (float(target[0]), float(target[1]), float(target[2])), moved


def order_axes(spacing_mm: Sequence[float], median_shape: Sequence[float]) -> tuple[int, int, int]:
    """Canonical axis at each planned axis: the coarsest first, the other two in their order.

    Ours: an axis on which the median case has a single voxel goes first whatever its spacing, since a 2D file's
    slice thickness is a mere convention.
    """
    flat = [axis for axis in range(3) if median_shape[axis] == 1]
    first = flat[0] if flat else int(np.argmax(np.asarray(spacing_mm)))
    second, third = [axis for axis in range(3) if axis != first]
    return first, second, third


def resampled_shape(shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]) -> tuple[int, ...]:
    """Voxels per axis after resampling from `spacing_mm` to `target_mm`."""
    return tuple(
        int(round(spacing / target * size)) for size, spacing, target in zip(shape, spacing_mm, target_mm, strict=True)
    )


def memory_elements(dimension: int, memory_gb: float) -> float:
    """Feature-map elements that fit `memory_gb` at the reference batch."""
    return REFERENCE_ELEMENTS[dimension] * memory_gb / REFERENCE_GB


def batch_by_memory(dimension: int, elements: int, memory_gb: float) -> int:
    """Batch that fills the memory, where one patch of the network costs `elements`."""
    return round(memory_elements(dimension, memory_gb) / elements * REFERENCE_BATCH[dimension])


def batch_by_dataset(dataset_voxels: float, fraction: float, patch: Sequence[int]) -> int:
    """Batch that shows at most `fraction` of the data set's voxels in a step (against overfitting)."""
    return round(dataset_voxels * fraction / float(np.prod(patch, dtype=np.float64)))


def normalisation_of(channel: str) -> str:
    """`ct` for a channel called so, else `zscore`: MR intensities have no unit, so each case is its own scale."""
    return "ct" if channel.casefold() == "ct" else "zscore"


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
    size is the median over the cases that contain the class: notes on Zhang et al. 2023 (doi 10.1145/3587716.3587777),
    our own definition.
    """
    counts = np.asarray(voxels, dtype=np.float64)
    spread = np.maximum(np.asarray(slices, dtype=np.float64), 1)
    scale = np.prod(np.asarray(spacings_mm, dtype=np.float64), axis=1) / float(np.prod(target_mm))
    sizes = counts / spread * scale[:, None]
    present = [sizes[counts[:, index] > 0, index] for index in range(counts.shape[1])]
    return tuple(float(np.median(size)) if size.size else 0.0 for size in present)


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
