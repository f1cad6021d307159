"""A spine with one enhancing tumour after gadolinium, among other things that enhance.

The tumour grows in the dural sac, along it, or in a vertebra, and enhances as a whole or, dead inside, at its rim.
Vessels, epidural veins, the veins in the middle of each body, and nodules beside the spine are as bright: to find it, a
network has to see where it lies.
"""

from __future__ import annotations

import numpy as np

from autospine.data.geometry import triple
from autospine.phantom.anatomy import (
    CANAL,
    FINE,
    SAC_BEHIND_MM,
    Block,
    Spine,
    body_shape,
    draw_chain,
    local_mm,
    render,
)
from autospine.phantom.contrast import T1_GADOLINIUM
from autospine.phantom.grid import FloatArray, LabelArray, Millimetres, draw_grid, ellipsoid, smooth_field
from autospine.phantom.lesions import draw_place, whole_bodies
from autospine.phantom.scan import Scene

CHANNELS = ("T1 Gd",)
LABELS = (("tumour", 1),)
VOXELS = ((73, 80), (57, 64), (10, 13))
SPACING_MM = ((2.08, 2.18), (1.96, 2.05), (3.9, 4.2))
"""A narrower view than the plain spine's: a short training sees more of the tumour."""
_ENHANCED = (0.86, 1.05)
_DEAD = (0.24, 0.36)


def draw_tumour(rng: np.random.Generator) -> Scene:
    """One tumour, two times in five in the dural sac, else in a vertebra."""
    grid = draw_grid(rng, VOXELS, SPACING_MM, FINE)
    blocks = draw_chain(rng, grid.extent_mm)
    spine = render(rng, grid, blocks, T1_GADOLINIUM)
    grain = smooth_field(rng, grid, 4.0)
    _paint_veins(rng, blocks, spine)
    _paint_nodules(rng, spine, grain)
    labels = np.zeros(grid.shape, np.uint8)
    if rng.random() < 0.4:
        _paint_intradural(rng, spine, grain, labels)
    else:
        _paint_vertebral(rng, blocks, spine, grain, labels)
    return Scene(grid, (spine.signal,), labels, "sagittal")


def _paint_intradural(rng: np.random.Generator, spine: Spine, grain: FloatArray, labels: LabelArray) -> None:
    """An egg in the dural sac, along it, 8 to 26 mm long; it fills the sac's depth at most."""
    grid = spine.grid
    radius = float(rng.uniform(4.0, 9.0))
    half_mm = (radius * rng.uniform(1.1, 1.45), min(radius, 6.8), min(radius, 8.5))
    z_mm = float(rng.uniform(0.25, 0.85)) * grid.extent_mm[0]
    row = int(z_mm / grid.step_mm[0])
    wall = float(grid.y[0, 0, 0] - spine.behind[row, 0, 0])
    middle = float(grid.x[0, 0, 0] - spine.midline[row, 0, 0])
    aside = rng.uniform(-1, 1, 2) * (max(6.5 - half_mm[1], 0), max(8.5 - half_mm[2], 0))
    centre_mm = (z_mm, wall + SAC_BEHIND_MM + float(aside[0]), middle + float(aside[1]))
    window = grid.window(centre_mm[:2], 1.5 * max(half_mm))
    distance = ellipsoid(grid, centre_mm, half_mm, window) - 0.05 * np.clip(grain[window], -2, 2)
    distance[spine.labels[window] != CANAL] = np.inf
    _paint_enhancing(rng, spine.signal[window], distance, grain[window], min(half_mm), labels[window])


def _paint_vertebral(
    rng: np.random.Generator, blocks: tuple[Block, ...], spine: Spine, grain: FloatArray, labels: LabelArray
) -> None:
    """A mass of 10 to 35 mm in a body; a large one breaks out of it to the sides, and never into a disc."""
    grid = spine.grid
    radius = float(rng.uniform(5.0, 16.5))
    bodies = whole_bodies(grid, blocks)
    block = bodies[int(rng.integers(len(bodies)))]
    half_mm = triple(float(radius * stretch) for stretch in rng.uniform(0.92, 1.08, 3))
    centre_mm = draw_place(rng, block, half_mm, spine)
    window = grid.window(centre_mm[:2], 1.5 * max(half_mm))
    distance = ellipsoid(grid, centre_mm, half_mm, window) - 0.06 * np.clip(grain[window], -2, 2)
    # 1.25 times as wide and deep as the body, and as high
    height, depth, width = block.half_mm
    beyond = Block(0, block.centre_mm, block.tilt_rad, (height, 1.25 * depth, 1.25 * width))
    distance[body_shape(spine, beyond, window) >= 1] = np.inf
    _paint_enhancing(rng, spine.signal[window], distance, grain[window], radius, labels[window])


def _paint_enhancing(
    rng: np.random.Generator,
    view: FloatArray,
    distance: FloatArray,
    grain: FloatArray,
    radius_mm: float,
    labels: LabelArray | None = None,
) -> None:
    """What enhances, where `distance` is below 1: whole, or at a rim of 2 to 3 mm; small ones always whole."""
    inside = distance < 1
    bright = rng.uniform(*_ENHANCED) * (1 + 0.07 * grain)
    view[inside] = bright[inside]
    rim_mm = rng.uniform(2.0, 3.0)
    if radius_mm > 6 and rng.random() < 0.5:
        dead = distance < 1 - rim_mm / radius_mm
        view[dead] = (rng.uniform(*_DEAD) * (1 + 0.15 * grain))[dead]
    if labels is not None:
        labels[inside] = LABELS[0][1]


def _paint_veins(rng: np.random.Generator, blocks: tuple[Block, ...], spine: Spine) -> None:
    """The vein that enters the back of each body, and two that run along the front of the canal."""
    for block in blocks[2:]:
        window = spine.grid.window(block.centre_mm, 40)
        up, back = local_mm(spine.grid, block, window)
        depth = block.half_mm[1]
        opening = np.clip((back / depth - rng.uniform(0.15, 0.45)) * 4, 0, rng.uniform(1.6, 2.6))
        vein = (np.abs(up) < opening) & (back < 1.02 * depth) & (np.abs(spine.midline[window[0]]) < 3.5)
        spine.signal[window][vein] = rng.uniform(*_ENHANCED)
    for side in (-5.5, 5.5):
        wave = np.sin(spine.grid.z / 14 + rng.uniform(0, 2 * np.pi))
        vein = np.hypot(spine.behind - 1.2, spine.midline - side - wave) < 1.1 + 0.6 * wave
        spine.signal[vein & (spine.labels == 0)] = rng.uniform(*_ENHANCED)


def _paint_nodules(rng: np.random.Generator, spine: Spine, grain: FloatArray) -> None:
    """Three to five nodules beside the spine: nodes in front of it, inflamed joints in the muscle behind."""
    grid = spine.grid
    for _ in range(int(rng.integers(3, 6))):
        radius = float(rng.uniform(3.5, 9))
        half_mm = (radius, radius * float(rng.uniform(0.8, 1.2)), radius)
        z_mm = float(rng.uniform(0.1, 0.9)) * grid.extent_mm[0]
        wall = float(grid.y[0, 0, 0] - spine.behind[int(z_mm / grid.step_mm[0]), 0, 0])
        # behind the canal, or in front of the bodies, which are up to 35 mm deep
        off = rng.uniform(32, 46) if rng.random() < 0.5 else rng.uniform(-58, -48)
        x_mm = float(rng.uniform(-0.4, 0.4)) * grid.extent_mm[2]
        centre_mm: Millimetres = (z_mm, wall + float(off), x_mm)
        window = grid.window(centre_mm[:2], 1.5 * max(half_mm))
        distance = ellipsoid(grid, centre_mm, half_mm, window)
        _paint_enhancing(rng, spine.signal[window], distance, grain[window], radius)
