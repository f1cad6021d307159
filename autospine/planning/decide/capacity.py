"""How large a patch and how many of them a memory holds, by the reference's count of feature-map elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.planning.document.parts import Encoder
from autospine.planning.document.recipe import Recipe

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


def planned_memory_gb(recipe: Recipe) -> float:
    """Memory to plan for, 10^9 bytes: the recipe's, else the rules' own."""
    return DEFAULT_GB if recipe.memory_gb == "auto" else recipe.memory_gb


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
