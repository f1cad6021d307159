"""The planner's rules as small pure functions: spacing, axes, batch, normalisation, class sizes.

Numbers are those of nnU-Net v2.8 (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z) where a comment does not say
that they are ours. Patch and topology stand in `topology.py`, ordered anatomy in `anatomy.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from autospine.data.slices import SliceAxis
from autospine.planning.document.parts import Bottleneck, Encoder

ANISOTROPY = 3.0
"""Spacing (and size) ratio from which an axis counts as coarse. Lower: more data is treated slice by slice."""
DEFAULT_GB = 8.0
"""Memory planned for where neither the user, the recipe nor a device says how much there is."""
REFERENCE_ELEMENTS: dict[Encoder, dict[int, tuple[tuple[float, float], ...]]] = {
    "plain": {2: ((8.0, 85e6),), 3: ((8.0, 560e6),)},
    "residual": {
        2: ((8.0, 135e6), (24.0, 380e6), (40.0, 560e6)),
        3: ((8.0, 680e6), (24.0, 2.1e9), (40.0, 3.6e9)),
    },
}
"""(GB, feature-map elements of a patch) by encoder and dimension: the plain preset; the residual M, L and XL."""
REFERENCE_BATCH = {2: 12, 3: 2}
"""Batch that the reference's GB hold beside the reference elements of one patch, by dimension."""
SHRINK_BATCH: dict[Encoder, dict[int, int]] = {"plain": {2: 2, 3: 2}, "residual": REFERENCE_BATCH}
"""Batch that must fit before a patch stops shrinking; the residual planner of the reference asks for all 12 in 2D."""
MINIMUM_BATCH = 2
"""Smallest batch of the rules; below it a step sees a single case."""
MASK_FRACTION = 0.75
"""Median share of a case left by the nonzero crop under which intensities are normalised inside the mask."""
DATASET_FRACTION: dict[Encoder, float] = {"plain": 0.05, "residual": 1.0}
"""Largest share of the data set's voxels in one batch; the residual presets leave it open."""
BLOCKS: dict[Encoder, tuple[int, ...]] = {"plain": (2,), "residual": (1, 3, 4, 6)}
"""Convolutions (plain) or residual blocks per encoder stage, finest first; the last stands for all deeper ones."""
DECODER_CONVS: dict[Encoder, int] = {"plain": 2, "residual": 1}
"""Convolutions in each decoder stage."""
LOW_RESOLUTION_SHARE = 0.25
"""Share of the median case that a full-resolution patch must see, else a low resolution is planned as well."""
LOW_RESOLUTION_GAIN = 2.0
"""Times fewer voxels that the low resolution must have; less is not worth a network of its own."""
LOW_RESOLUTION_STEP = 1.03
"""Growth of the spacing per step on the way to the low resolution."""
SIZE_RATIO_REASONS = {
    False: "at 4.8 and 15 times the size-adaptive loss did not help (docs/benchmarks/budget.md)",
    True: "at 60 times the smaller class gained (docs/benchmarks/budget.md)",
}
"""Why a recipe's `size_ratio` is not reached, or is: its default lies below the ratio that was measured to gain."""
SHIFT = 0.15
"""What a recipe's `shift = "auto"` comes to where views show from what levels can be counted (`anatomy.read_view`)."""
BOTTLENECK: Bottleneck = "plain"
"""What a recipe's `bottleneck = "auto"` comes to. Ours."""
BOTTLENECK_REASON = (
    "multi-scale feature fusion gained nothing beyond noise on lumbar spines and the cord (docs/benchmarks/budget.md)"
)
"""Why."""


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


def order_axes(across: SliceAxis) -> tuple[int, int, int]:
    """Canonical axis at each planned axis: the slices' first, the other two in their order.

    The reference takes the coarsest axis; `data.slices` departs from it where another one is clearly the slices'.
    """
    second, third = [axis for axis in range(3) if axis != across.axis]
    return across.axis, second, third


def stated_axis(stated: Sequence[int | None]) -> int | None:
    """The slice axis that the headers of more than half of the cases name."""
    axis, count = Counter(stated).most_common(1)[0]
    return axis if 2 * count > len(stated) else None


def memory_elements(dimension: int, memory_gb: float, encoder: Encoder = "plain") -> float:
    """Feature-map elements of one patch that fit `memory_gb` at the reference batch.

    Between two presets in proportion to both, e.g. residual 3D at 16 GB: (680e6 + 2.1e9) / 2. Below the first and above
    the last in proportion to the GB, as the reference scales a preset.
    """
    presets = REFERENCE_ELEMENTS[encoder][dimension]
    (lowest, least), (highest, most) = presets[0], presets[-1]
    if memory_gb <= lowest:
        return least * memory_gb / lowest
    if memory_gb >= highest:
        return most * memory_gb / highest
    return float(np.interp(memory_gb, [gb for gb, _ in presets], [elements for _, elements in presets]))


def fits(dimension: int, elements: int, memory_gb: float, encoder: Encoder = "plain") -> bool:
    """Whether a patch that costs `elements` need not shrink any more to fit `memory_gb`."""
    share = SHRINK_BATCH[encoder][dimension] / REFERENCE_BATCH[dimension]
    return elements * share <= memory_elements(dimension, memory_gb, encoder)


def batch_by_memory(dimension: int, elements: int, memory_gb: float, encoder: Encoder = "plain") -> int:
    """Batch that fills the memory, where one patch of the network costs `elements`."""
    return round(memory_elements(dimension, memory_gb, encoder) / elements * REFERENCE_BATCH[dimension])


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
    size is the median over the cases that contain the class: our own definition (docs/papers.md), after Zhang et al.
    2023 (doi 10.1145/3587716.3587777).
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
