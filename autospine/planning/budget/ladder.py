"""Narrower and narrower plans of one configuration, for a time that is too short for the plan itself.

What may be given up is read from the data:

    resolution   only as far as the smallest class keeps enough voxels to be drawn at all (white and grey matter of the
                 cord keep their pixels, a vertebra may lose seven in eight)
    view         only along axes on which the labels have no order, and never closer than a few times the anatomy:
                 a vertebra's level is read from its neighbours, the cord is found by itself
    width, convolutions on the way up, batch    by the rungs below

The rungs are in the order of what they cost; each has the fewest steps with which it is worth training. Measured on
lumbar, cord and hippocampus MR (docs/benchmarks/budget.md) are the rungs of a few minutes and what they are preferred
to: small batches, cheap steps, coarse before fine, narrow views. The steps from which a wider network or a larger batch
is taken are our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from statistics import median

from autospine.planning.decide.basis import Basis
from autospine.planning.decide.loss import usual_sizes
from autospine.planning.decide.network import Narrowing
from autospine.planning.decide.planner import configure
from autospine.planning.document.configuration import LOW, Configuration
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.measured.fingerprint import Fingerprint

LEAST_VOXELS = {2: 75.0, 3: 600.0}
"""Pixels per slice (2D) or voxels (3D) that the smallest class keeps at the coarsest spacing. A mask brought to that
spacing and back still agrees with itself with a Dice of 0.95 (2D) and 0.93 (3D); with half as many (2D) or a third (3D)
0.93 and 0.89."""
COARSEST = 2.83
"""Largest factor on the finest spacing, whatever the size of the classes: beyond it images lose their edges."""
RUNG_DECODER_CONVS = 1
"""Convolutions per decoder stage on every rung: the finest are half of a step's work, and the steps they cost are worth
more (lumbar MR, the same five minutes: Dice 0.888 with one, 0.875 with two)."""
NEAR_VIEW = 4.0
"""Patch edge over the extent of the largest class along an axis without order."""
NEAREST_VOXELS = 96
"""Fewest voxels of a patch edge that is narrowed so: below, small lesions would be shown without their surroundings."""


@dataclass(frozen=True)
class Way:
    """One way to spend the time."""

    width: int
    """Feature maps of the finest stage; the cap is sixteen times that."""
    batch: int
    coarser: float
    """Factor on the finest spacing."""
    near: bool
    """Whether the view may be narrowed to what the anatomy needs."""
    least_steps: int
    """Fewest steps with which it gets further than the next one."""


WAYS: Mapping[int, tuple[Way, ...]] = {
    2: (
        Way(32, 8, 1.0, False, 8000),
        Way(32, 8, 1.41, True, 5000),
        Way(32, 4, 1.41, True, 3000),
        Way(32, 2, 1.41, True, 3000),
        Way(16, 2, 1.41, True, 500),
        Way(16, 2, 2.0, True, 300),
        Way(8, 2, 2.0, True, 300),
        Way(8, 2, 2.83, True, 1),
    ),
    3: (
        Way(32, 2, 1.0, False, 6000),
        Way(16, 2, 1.0, True, 2000),
        Way(16, 2, 1.41, True, 1000),
        Way(16, 1, 1.41, True, 1000),
        Way(16, 1, 2.0, True, 500),
        Way(8, 1, 2.0, True, 500),
        Way(8, 1, 2.83, True, 1),
    ),
}
"""From the richest to the poorest, by the network's dimension."""
RESIDUAL_BLOCKS = 1
"""Residual blocks per encoder stage on every rung: the deep stages of the full plan hold six, which few steps cannot
fill; our own choice, not measured."""
CHEAPER = 0.9
"""A rung that takes more of the work of the one above it, after the padding of its patch, is none."""


@dataclass(frozen=True)
class Rung:
    """One plan on the way down."""

    what: tuple[str, ...]
    """What was given up, in words."""
    configuration: Configuration
    reasons: Mapping[str, str]
    """By the configuration's own keys."""
    least_steps: int
    """Fewest steps with which it is worth training."""

    @property
    def work(self) -> int:
        """Multiply-adds of a forward pass of its batch."""
        configuration = self.configuration
        return multiply_adds(configuration.network, configuration.patch, configuration.batch)


def ladder(basis: Basis, configuration: Configuration) -> tuple[Rung, ...]:
    """The plans below `configuration`, the most work first; each planned anew by the rules.

    Each takes clearly less work than the one before it, and no more steps to be worth it.
    """
    furthest = coarsest_factor(basis.fingerprint, configuration)
    rungs: list[Rung] = []
    for way in WAYS[configuration.network.dimension]:
        less = _narrowing(basis, configuration, way, min(way.coarser, furthest))
        planned = configure(basis, configuration.name, less)
        if planned.value != configuration:
            given_up = _given_up(configuration, planned.value)
            rungs.append(Rung(given_up, planned.value, planned.keyed, way.least_steps))
    rungs.sort(key=lambda rung: rung.work, reverse=True)
    kept: list[Rung] = []
    for rung in rungs:
        if kept and rung.work > CHEAPER * kept[-1].work:
            # what costs the same is worth it from the fewer steps of the two
            kept[-1] = replace(kept[-1], least_steps=min(kept[-1].least_steps, rung.least_steps))
        else:
            kept.append(rung)
    return tuple(kept)


def _narrowing(basis: Basis, configuration: Configuration, way: Way, factor: float) -> Narrowing:
    """What `way` takes from `configuration`."""
    recipe, network, spacing = basis.recipe, configuration.network, configuration.spacing_mm
    # the finest axes coarsen together; thick slices stay as they are until the others have caught up
    finest = round(min(spacing) * factor, 4) if factor > 1 else min(spacing)
    coarse = tuple(max(step, finest) for step in spacing)
    view = [edge * step for edge, step in zip(configuration.patch, spacing, strict=True)]
    # a low resolution is there for its view
    if way.near and configuration.name != LOW:
        view = [min(pair) for pair in zip(view, near_view_mm(basis, configuration), strict=True)]
    width = min(way.width, recipe.base_features)
    cap = recipe.max_features_2d if network.dimension == 2 else recipe.max_features_3d
    return Narrowing(
        spacing_mm=coarse,
        base_features=width,
        feature_cap=min(16 * width, cap),
        max_batch=min(way.batch, configuration.batch),
        patch_limit=tuple(edge / step for edge, step in zip(view, coarse, strict=True)),
        blocks=RESIDUAL_BLOCKS if network.encoder == "residual" else None,
        decoder_convs=min(RUNG_DECODER_CONVS, network.convs_decoder),
    )


def coarsest_factor(fingerprint: Fingerprint, configuration: Configuration) -> float:
    """Largest factor (1 to `COARSEST`) on the finest spacing with which the smallest class can still be drawn.

    Classes that no case has do not count. Axes coarser than the result stay as they are.
    """
    spacing, dimension = configuration.spacing_mm, configuration.network.dimension
    sizes = [size for size in usual_sizes(fingerprint.cases, configuration.axis_order, spacing) if size > 0]
    if not sizes:
        return 1.0
    factor = 1.0
    while factor < COARSEST:
        further = min(factor * 1.01, COARSEST)
        shrunk = prod(max(step, min(spacing) * further) / step for step in spacing)
        if min(sizes) / shrunk < LEAST_VOXELS[dimension]:
            break
        factor = further
    return factor


def near_view_mm(basis: Basis, configuration: Configuration) -> tuple[float, ...]:
    """The narrowest view per patch axis: endless along ordered axes, a few times the largest class along the others."""
    return tuple(
        inf
        if basis.anatomy.axes[axis].directed
        else max(NEAR_VIEW * _largest_extent_mm(basis.fingerprint, axis), NEAREST_VOXELS * step)
        for axis, step in zip(configuration.patch_axes, configuration.spacing_mm, strict=True)
    )


def _largest_extent_mm(fingerprint: Fingerprint, axis: int) -> float:
    """Extent along a canonical axis of the class that is largest there, median over the cases that have it."""
    largest = 0.0
    for index in range(len(fingerprint.labels)):
        having = [case for case in fingerprint.cases if case.class_centroids_mm[index] is not None]
        largest = max(largest, median(case.class_extents_mm[index][axis] for case in having) if having else 0.0)
    return largest if largest > 0 else inf


def _given_up(before: Configuration, after: Configuration) -> tuple[str, ...]:
    """Which parts of `before` are narrower in `after`."""

    def view(configuration: Configuration) -> Sequence[float]:
        # poolings pad a patch: a tenth of difference is no other view
        return [0.9 * edge * step for edge, step in zip(configuration.patch, configuration.spacing_mm, strict=True)]

    parts = {
        "batch": after.batch < before.batch,
        "width": after.network.features[0] < before.network.features[0],
        "resolution": after.spacing_mm != before.spacing_mm,
        "view": any(new / 0.9 < old for new, old in zip(view(after), view(before), strict=True)),
        "convolutions": after.network.convs_decoder < before.network.convs_decoder
        or max(after.network.blocks) < max(before.network.blocks),
    }
    return tuple(what for what, smaller in parts.items() if smaller)
