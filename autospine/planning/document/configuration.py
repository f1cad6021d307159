"""A configuration: one trainable network with all that is decided of its data, its training and its predictions.

Axes: `axis_order` permutes the canonical image axes (Z, Y, X) so that the slices' stands first; every other tuple is in
that *planned* order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import Batch, Edges, Neighbours, PartBelow1, Shape, SpacingMm
from autospine.planning.document.parts import (
    LossPlan,
    NetworkPlan,
    Normalisation,
    ResamplingPlan,
    TrainingPlan,
)

ConfigurationName = Literal["2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
CONFIGURATIONS: tuple[str, ...] = get_args(ConfigurationName)
VOLUMES = tuple(name for name in CONFIGURATIONS if name.startswith("3d"))
"""The configurations of 3D networks."""
LOW, CASCADE = "3d_lowres", "3d_cascade_fullres"
MOST_PATCH_VOXELS = 2**26
"""Voxels of a patch, 8192 x 8192 or 406 x 406 x 406: four times the largest start of `topology.START_VOXELS` (ours)."""


@dataclass(frozen=True)
class Configuration:
    """One trainable configuration: what is prepared, built, trained and predicted."""

    name: str
    """One of `ConfigurationName`."""
    axis_order: tuple[int, int, int]
    """Canonical axis (Z=0, Y=1, X=2) that stands at each planned axis."""
    spacing_mm: SpacingMm
    """Target spacing: three values for 3D, the two in-plane ones for 2D (slices keep their own)."""
    median_shape: Shape
    """Median case at target spacing in voxels, same length as `spacing_mm`."""
    patch: Edges
    """Patch in voxels, same length as `spacing_mm`."""
    batch: Batch
    """Patches in a batch."""
    normalisation: tuple[Normalisation, ...]
    """Per channel."""
    use_mask: bool
    """Normalise inside the nonzero region only."""
    network: NetworkPlan
    resampling: ResamplingPlan
    loss: LossPlan
    training: TrainingPlan
    overlap: PartBelow1 = 0.5
    """Share by which neighbouring prediction tiles overlap per axis, 0 to below 1."""
    neighbours: Neighbours = 0
    """2.5d: slices on either side that enter as channels beside the one that is segmented."""
    previous: str | None = None
    """Cascade: the configuration whose segmentation enters as one channel per class."""
    ignore_unlabelled_slices: bool = False
    """Slices across the first planned axis in which a mask holds nothing count as not annotated."""

    @property
    def by_component(self) -> bool:
        """Whether loss or sampling go by connected components, which are then measured where cases are prepared."""
        return self.loss.largest_size is not None or self.training.foreground_unit == "component"

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        size, network, flat = self.network.dimension, self.network, self.name not in VOLUMES
        with Checks() as check:
            check.ranges(self)
            if check(self.name in CONFIGURATIONS, "name", self.name, f"one of {', '.join(CONFIGURATIONS)}"):
                expected = f"{2 if flat else 3}, as {self.name} says"
                check((size == 2) == flat, "network.dimension", size, expected)
            check(sorted(self.axis_order) == [0, 1, 2], "axis_order", self.axis_order, "an order of the axes 0, 1, 2")
            for name in ("spacing_mm", "median_shape", "patch"):
                values = getattr(self, name)
                check(len(values) == size and min(values) > 0, name, values, f"{size} numbers above 0")
            voxels = prod(self.patch)
            check(voxels <= MOST_PATCH_VOXELS, "patch", self.patch, f"at most {MOST_PATCH_VOXELS} voxels together")
            if len(self.patch) == size:
                divisors = [prod(stride[axis] for stride in network.strides) for axis in range(size)]
                divides = all(edge % divisor == 0 for edge, divisor in zip(self.patch, divisors, strict=True))
                check(divides, "patch", self.patch, f"multiples of {divisors}, what the network's strides divide by")
            self._check_entering(check)
            weights = self.loss.class_weights
            check(len(weights) == network.out_channels, "loss.class_weights", weights, "one per network output")
            mirror = self.training.mirror_axes
            right = len(set(mirror)) == len(mirror) and all(0 <= axis < size for axis in mirror)
            check(right, "training.mirror_axes", mirror, f"distinct patch axes from 0 to {size - 1}")

    def _check_entering(self, check: Checks) -> None:
        """Check the neighbours and the previous stage."""
        size = self.network.dimension
        check(self.neighbours == 0 or size == 2, "neighbours", self.neighbours, "0 for a 3D network")
        check(self.previous is None or size == 3, "previous", self.previous, "none for a 2D network")
        check(self.previous != self.name, "previous", self.previous, "another configuration")
        volumes = self.previous is None or self.previous in VOLUMES
        check(volumes, "previous", self.previous, f"a configuration of volumes: {', '.join(VOLUMES)}")
