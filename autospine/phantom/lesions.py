"""A spine with metastases, in three sequences that do not show the same of them.

Lytic lesions eat bone away and hold water, sclerotic ones are dense bone. T1 shows both dark against fatty marrow, so
they are found on it and hard to tell apart. STIR takes the marrow's signal away: a lytic lesion shines, a sclerotic one
nearly vanishes. T2 lies between. Where to look is no secret, but discs, vessels and fluid are as dark or as bright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.data.geometry import triple
from autospine.phantom.anatomy import FINE, Block, Spine, body_shape, draw_chain, render
from autospine.phantom.contrast import STIR, T1, T2, Contrast
from autospine.phantom.grid import FloatArray, Grid, Mask, Millimetres, draw_grid, ellipsoid, smooth_field
from autospine.phantom.scan import Scene

CHANNELS = ("T1", "T2", "STIR")
LABELS = (("lytic", 1), ("sclerotic", 2))
VOXELS = ((105, 112), (88, 96), (10, 13))
SPACING_MM = ((1.80, 1.88), (1.66, 1.74), (3.9, 4.2))
"""Finer in plane than the plain spine, so that the smallest lesion is a few voxels."""
DIAMETER_MM = (4.0, 25.0)
_CONTRASTS: tuple[Contrast, ...] = (T1, T2, STIR)
# (least, most) signal per sequence, in the order of the channels
_SIGNAL = {
    "lytic": ((0.24, 0.34), (0.70, 0.88), (0.72, 0.95)),
    "sclerotic": ((0.12, 0.20), (0.14, 0.24), (0.07, 0.13)),
}
_APART_MM = 3.0
"""Of the rims of two lesions, so that each is one component."""


@dataclass(frozen=True)
class Lesion:
    """A lesion in a vertebral body."""

    kind: str
    block: Block
    """The body that it lies in."""
    centre_mm: Millimetres
    """(Z, Y, X) on the grid."""
    half_mm: Millimetres
    """Half axes (Z, Y, X)."""


def draw_metastases(rng: np.random.Generator, number: int) -> Scene:
    """Case `number`: most cases have lesions of both kinds, every sixth one or none."""
    grid = draw_grid(rng, VOXELS, SPACING_MM, FINE)
    blocks = draw_chain(rng, grid.extent_mm)
    seed = int(rng.integers(2**32))
    # the same random numbers for each sequence: the same patient
    spines = [render(np.random.default_rng(seed), grid, blocks, contrast) for contrast in _CONTRASTS]
    count = int(rng.integers(0, 2) if number % 6 == 4 else rng.integers(2, 7))
    lesions = _draw_lesions(rng, blocks, spines[0], count)
    labels = np.zeros(grid.shape, np.uint8)
    grain = smooth_field(rng, grid, 4.0)
    for lesion in lesions:
        window = grid.window(lesion.centre_mm[:2], 1.5 * max(lesion.half_mm))
        inside = _extent(lesion, spines[0], grain, window)
        labels[window][inside] = dict(LABELS)[lesion.kind]
        for spine, between in zip(spines, _SIGNAL[lesion.kind], strict=True):
            level = rng.uniform(*between) * (1 + 0.12 * grain[window])
            spine.signal[window][inside] = level[inside]
    return Scene(grid, tuple(spine.signal for spine in spines), labels, "sagittal")


def whole_bodies(grid: Grid, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The bodies, from S1 up, that neither end of the volume cuts."""
    return tuple(block for block in blocks[1:] if 15 < block.centre_mm[0] < grid.extent_mm[0] - 15)


def draw_place(rng: np.random.Generator, block: Block, half_mm: Millimetres, spine: Spine) -> Millimetres:
    """A centre at which a lesion of these half axes lies in a body, as far as it fits, and shows on a slice."""
    height, depth, width = (
        rng.uniform(-1, 1) * max(0.92 * most - half, 0) for most, half in zip(block.half_mm, half_mm, strict=True)
    )
    grid, sine, cosine = spine.grid, np.sin(block.tilt_rad), np.cos(block.tilt_rad)
    z_mm = block.centre_mm[0] + height * cosine + depth * sine
    y_mm = block.centre_mm[1] + depth * cosine - height * sine
    middle = float(grid.x[0, 0, 0] - spine.midline[int(z_mm / grid.step_mm[0]), 0, 0])
    # In the middle of a slice: between two, the smallest would be on neither.
    slices, thick = grid.voxels[2], grid.spacing_mm[2]
    edge = max(int(half_mm[2] / thick), 1)
    index = np.clip(round((middle + width) / thick + slices / 2 - 0.5), edge, slices - 1 - edge)
    return float(z_mm), float(y_mm), float((index + 0.5 - slices / 2) * thick)


def _draw_lesions(rng: np.random.Generator, blocks: tuple[Block, ...], spine: Spine, count: int) -> tuple[Lesion, ...]:
    """`count` lesions that do not touch, the first two of different kinds; fewer where there is no room."""
    first = int(rng.integers(2))
    kinds = [LABELS[(first + place) % 2 if place < 2 else int(rng.integers(2))][0] for place in range(count)]
    bodies = whole_bodies(spine.grid, blocks)
    lesions: list[Lesion] = []
    for kind in kinds:
        # uniform in the logarithm: half of them are below 10 mm
        radius = float(np.exp(rng.uniform(*np.log(DIAMETER_MM)))) / 2
        for _ in range(40):
            block = bodies[int(rng.integers(len(bodies)))]
            half_mm = triple(float(radius * stretch) for stretch in rng.uniform(0.9, 1.12, 3))
            centre_mm = draw_place(rng, block, half_mm, spine)
            if all(_gap_mm(centre_mm, radius, other) > _APART_MM for other in lesions):
                lesions.append(Lesion(kind, block, centre_mm, half_mm))
                break
    return tuple(lesions)


def _gap_mm(centre_mm: Millimetres, radius_mm: float, other: Lesion) -> float:
    """Millimetres between a sphere and a lesion."""
    return float(np.linalg.norm(np.subtract(centre_mm, other.centre_mm))) - 1.15 * (radius_mm + max(other.half_mm))


def _extent(lesion: Lesion, spine: Spine, grain: FloatArray, window: tuple[slice, slice]) -> Mask:
    """Where a lesion is, within a window: an ellipsoid with an uneven rim, as far as the body goes."""
    rim = 1 + 0.06 * np.clip(grain[window], -2, 2)
    inside = ellipsoid(spine.grid, lesion.centre_mm, lesion.half_mm, window) < rim
    return np.asarray(inside & (body_shape(spine, lesion.block, window) < 1))
