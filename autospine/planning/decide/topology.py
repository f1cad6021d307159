"""Patch and U-Net topology from spacing, median shape and memory.

The patch starts as large as the anatomy and loses voxels along its relatively longest axis until the network fits the
memory; the number of poolings, the strides and the kernels follow from patch and spacing. Rules and numbers are those
of nnU-Net v2.8; example: spacing (4, 1, 1) mm, median shape (20, 224, 224) gives strides (1,2,2) twice (until in-plane
spacing has caught up with the 4 mm slices), then (2,2,2) twice, then (1,2,2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from autospine.planning.decide.decided import RULE
from autospine.planning.document.parts import Encoder
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import feature_map_elements

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


SMALLEST_EDGE = 4
"""Voxels below which no feature map is pooled; smaller leaves the bottleneck nothing but padding."""
START_VOXELS = {2: 2048**2, 3: 256**3}
"""Voxels of the patch before it is clipped to the median case: larger than any memory target needs."""
PADDED = f"each edge is padded to what its poolings divide by ({RULE})"
"""Why a patch is a little larger than all else asks for."""


@dataclass(frozen=True)
class Topology:
    """Strides and kernels per stage, finest first, and the patch padded to what the poolings divide by."""

    patch: tuple[int, ...]
    """Patch in voxels, each edge divisible by `divisors`."""
    strides: tuple[tuple[int, ...], ...]
    """Downsampling on entering each stage; the first is all ones."""
    kernels: tuple[tuple[int, ...], ...]
    """Kernel of each stage; the bottleneck's is 3 on every axis."""
    divisors: tuple[int, ...]
    """2 ** poolings per axis."""

    @property
    def bottom(self) -> tuple[int, ...]:
        """Voxels of the patch that the deepest stage sees."""
        return tuple(edge // divisor for edge, divisor in zip(self.patch, self.divisors, strict=True))


def initial_patch(
    spacing_mm: Sequence[float], median_shape: Sequence[float], limit: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Patch of a fixed volume, equally long in mm along each axis, clipped to the median shape (and `limit`)."""
    dimension = len(spacing_mm)
    density = [1 / spacing for spacing in spacing_mm]
    scale = (START_VOXELS[dimension] / prod(density)) ** (1 / dimension)
    patch = [min(round(edge * scale), size) for edge, size in zip(density, median_shape, strict=True)]
    if limit is not None:
        patch = [min(edge, most) for edge, most in zip(patch, limit, strict=True)]
    return tuple(patch)


def topology(spacing_mm: Sequence[float], size: Sequence[float]) -> Topology:
    """Strides and kernels for a patch of `size` voxels, and the patch padded to fit them.

    An axis is halved while it has at least 2 x 4 voxels and its spacing is below twice the finest that can be halved;
    a lone axis needs 3 x 4. A kernel is 3 along an axis once its spacing is below twice the finest of all, and stays 3.

    Ours: a lone axis too short for that is done, and the others go on. The reference halves nothing any more, so that
    slices of 300 x 300 pixels of 2 mm in a stack of 11 at 1 mm would get a network of a single stage.
    """
    axes = range(len(spacing_mm))
    spacing, edges = list(spacing_mm), list(size)
    kernel, pools = [1 for _ in axes], [0 for _ in axes]
    strides: list[tuple[int, ...]] = [tuple(1 for _ in axes)]
    kernels: list[tuple[int, ...]] = []
    done: set[int] = set()
    while True:
        large = [axis for axis in axes if edges[axis] >= 2 * SMALLEST_EDGE and axis not in done]
        if not large:
            break
        finest = min(spacing[axis] for axis in large)
        halved = [axis for axis in large if spacing[axis] / finest < 2]
        if len(halved) == 1 and edges[halved[0]] < 3 * SMALLEST_EDGE:
            done.update(halved)
            continue
        # Kernels see the spacing before this stage's halving.
        kernel = [3 if kernel[axis] == 3 or spacing[axis] / min(spacing) < 2 else 1 for axis in axes]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            pools[axis] += 1
            spacing[axis] *= 2
            edges[axis] = ceil(edges[axis] / 2)
    kernels.append(tuple(3 for _ in axes))
    divisors = tuple(2**count for count in pools)
    patch = tuple(ceil(edge / divisor) * divisor for edge, divisor in zip(size, divisors, strict=True))
    return Topology(patch, tuple(strides), tuple(kernels), divisors)


@dataclass(frozen=True)
class NetworkFamily:
    """What is chosen of a network before the patch decides how deep it is."""

    encoder: Encoder
    """What an encoder stage is made of."""
    blocks: tuple[int, ...]
    """Convolutions or residual blocks per encoder stage, finest first; the last number stands for all deeper ones."""
    convs_decoder: int
    """Convolutions in each decoder stage."""
    base_features: int
    """Feature maps of the finest stage; they double at each."""
    feature_cap: int
    """Most feature maps of a stage."""
    out_channels: int
    """Background and the classes."""

    def features_of(self, stages: int) -> tuple[int, ...]:
        """Feature maps of each of `stages` stages."""
        return tuple(min(self.feature_cap, self.base_features * 2**stage) for stage in range(stages))

    def blocks_of(self, stages: int) -> tuple[int, ...]:
        """Convolutions or residual blocks in each of `stages` stages."""
        return tuple(self.blocks[min(stage, len(self.blocks) - 1)] for stage in range(stages))

    def elements(self, net: Topology) -> int:
        """Feature-map elements of the family's network on one patch."""
        stages = len(net.strides)
        widths, blocks = self.features_of(stages), self.blocks_of(stages)
        return feature_map_elements(
            net.patch, net.strides, widths, self.out_channels, blocks, self.convs_decoder, self.encoder
        )


@dataclass(frozen=True)
class Fit:
    """A topology that fits the memory, and what it costs."""

    topology: Topology
    elements: int
    """Feature-map elements of one patch, by the reference's count."""
    shrunk: int
    """How often the patch had to shrink."""
    why: str
    """Why the patch is as large as it is."""


def fit_patch(
    spacing_mm: Sequence[float],
    median_shape: Sequence[float],
    family: NetworkFamily,
    memory_gb: float,
    limit: Sequence[float] | None = None,
) -> Fit:
    """The largest patch of the rules whose network fits `memory_gb` (10^9 bytes).

    `limit` holds the patch below a size in voxels. Stops short of the memory where the patch cannot shrink any more (a
    few voxels per axis, or an absurd number of classes): the reason then says so.
    """
    dimension = len(spacing_mm)
    first = initial_patch(spacing_mm, median_shape, limit)
    net = topology(spacing_mm, first)
    elements, shrunk, seen = family.elements(net), 0, {net.patch}
    while not fits(dimension, elements, memory_gb, family.encoder):
        ratios = [edge / size for edge, size in zip(net.patch, median_shape, strict=True)]
        axis = max(range(dimension), key=lambda index: (ratios[index], index))
        # Two looks: subtracting the whole divisor could jump over a size that a shallower network allows
        # (256 - 64 = 192 would skip 224 = 7 x 32), so the smaller size's own divisor is what is subtracted.
        probe = [edge - net.divisors[axis] * (index == axis) for index, edge in enumerate(net.patch)]
        step = topology(spacing_mm, probe).divisors[axis]
        edges = [edge - step * (index == axis) for index, edge in enumerate(net.patch)]
        smaller = topology(spacing_mm, edges) if min(edges) >= 1 else None
        if smaller is None or smaller.patch in seen:  # padded back to a size that was too large already
            return Fit(net, elements, shrunk, too_large(memory_gb))
        seen.add(smaller.patch)
        net, elements, shrunk = smaller, family.elements(smaller), shrunk + 1
    if shrunk:
        why = f"the median case, shrunk {shrunk} time(s) along its relatively longest axis to fit {memory_gb:g} GB"
    elif first != initial_patch(spacing_mm, median_shape):
        why = f"the part of the median case that the time budget leaves fits {memory_gb:g} GB"
    elif any(edge < max(1, round(size)) for edge, size in zip(net.patch, median_shape, strict=True)):
        start = "2048 x 2048" if dimension == 2 else "256 x 256 x 256"
        why = f"the volume of {start} voxels, which the rule begins with, cut to the median case, fits {memory_gb:g} GB"
    else:
        why = f"the median case fits {memory_gb:g} GB whole"
    return Fit(net, elements, shrunk, f"{why}; {PADDED}")


def too_large(memory_gb: float) -> str:
    """Why a patch is the smallest there is."""
    return f"the smallest patch there is; even that exceeds the estimate for {memory_gb:g} GB; {PADDED}"
