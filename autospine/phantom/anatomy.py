"""The anatomy of the sagittal phantoms: a lumbar spine drawn in millimetres on a grid finer than the voxels.

A chain of rounded boxes (vertebral bodies with a dark cortical rim) follows a lordotic curve above a sacrum; between
them discs, behind them a canal of bright fluid, around them soft tissue. Tilts, sizes and positions are drawn from
the random generator, so every case is another patient. Signals follow a table of contrast: the same numbers drawn
again with another table give the same patient in another sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.phantom.contrast import T2, Contrast
from autospine.phantom.grid import FloatArray, Grid, LabelArray, draw_grid, rounded_box, smooth_field
from autospine.phantom.scan import Scene

_DISC, CANAL = 6, 7
LABELS = (("L5", 1), ("L4", 2), ("L3", 3), ("L2", 4), ("L1", 5), ("disc", _DISC), ("canal", CANAL))
"""(name, value on disk) of the classes; sacrum, T12, pedicles and processes are background."""

CHANNELS = ("T2",)
FINE = (2, 2, 4)
"""Samples per voxel along Z, Y, X: about 1 mm, finer than the cortical rim is thick."""
SAC_BEHIND_MM = 8.5
"""Middle of the dural sac, behind the back of the bodies."""
VOXELS = ((94, 101), (76, 85), (10, 13))
SPACING_MM = ((2.0, 2.1), (1.9, 2.0), (3.9, 4.2))


@dataclass(frozen=True)
class Block:
    """A vertebral body (or a piece of the sacrum) in the sagittal plane."""

    label: int
    """Value on disk; 0 is drawn but not labelled."""
    centre_mm: tuple[float, float]
    """(Z up, Y to posterior) of its centre."""
    tilt_rad: float
    """How far its upward axis leans to anterior."""
    half_mm: tuple[float, float, float]
    """Half its height, depth (Y) and width (X)."""


def draw_spine(rng: np.random.Generator) -> Scene:
    """A patient in T2, with every level named."""
    grid = draw_grid(rng, VOXELS, SPACING_MM, FINE)
    spine = render(rng, grid, draw_chain(rng, grid.extent_mm), T2)
    return Scene(grid, (spine.signal,), spine.labels, "sagittal")


def draw_chain(rng: np.random.Generator, extent_mm: tuple[float, ...]) -> tuple[Block, ...]:
    """Blocks from S2 up to T11, stacked end plate to end plate along the lordotic curve.

    Tilts fall from the sacrum's slope through level at L3 to a slight backward lean at T12.
    """
    #          S2  S1  L5  L4  L3  L2  L1  T12  T11
    labels = (0, 0, 1, 2, 3, 4, 5, 0, 0)
    tilts_deg = np.array((48, 38, 22, 10, 1, -6, -11, -14, -16)) * rng.uniform(0.75, 1.2)
    tilts_deg = tilts_deg + rng.uniform(-3, 3) + rng.normal(0, 1.2, 9)
    tilts = np.radians(tilts_deg)
    scale = rng.uniform(0.91, 1.01)
    heights = scale * np.array((11.0, 13.0, 12.6, 12.2, 11.7, 11.2, 10.7, 10.2, 9.8)) * rng.normal(1, 0.025, 9)
    depths = scale * np.array((10.0, 14.5, 16.6, 16.2, 15.7, 15.1, 14.5, 13.8, 13.2)) * rng.normal(1, 0.025, 9)
    widths = scale * np.array((22.0, 26.0, 24.5, 23.5, 22.5, 21.5, 20.5, 19.5, 19.0))
    gaps = scale * np.array((1.5, 8.5, 9.5, 8.8, 8.0, 7.2, 6.2, 5.2)) * rng.normal(1, 0.08, 8)

    centres = [np.zeros(2)]
    for below in range(8):
        above = below + 1
        middle = (tilts[below] + tilts[above]) / 2
        step = heights[below] * _up(tilts[below]) + heights[above] * _up(tilts[above]) + gaps[below] * _up(middle)
        centres.append(centres[-1] + step)
    # L3 stands near the middle of the field of view, in front of it in depth.
    target = np.array((0.56 * extent_mm[0] + rng.uniform(-6, 6), 0.38 * extent_mm[1] + rng.uniform(-5, 5)))
    shift = target - centres[4]
    return tuple(
        Block(
            label=labels[index],
            centre_mm=(float(centres[index][0] + shift[0]), float(centres[index][1] + shift[1])),
            tilt_rad=float(tilts[index]),
            half_mm=(float(heights[index]), float(depths[index]), float(widths[index])),
        )
        for index in range(9)
    )


@dataclass(frozen=True)
class Spine:
    """A spine in one sequence, and where its parts are; it is painted piece by piece into `signal` and `labels`."""

    grid: Grid
    signal: FloatArray
    """0 to about 1 (Z, Y, X)."""
    labels: LabelArray
    """Values of `LABELS` (Z, Y, X), 0 elsewhere."""
    midline: FloatArray
    """Millimetres to the left of the column's middle (Z, 1, X)."""
    behind: FloatArray
    """Millimetres behind the back of the bodies (Z, Y, 1)."""


def render(rng: np.random.Generator, grid: Grid, blocks: tuple[Block, ...], contrast: Contrast) -> Spine:
    """The spine, painted from the back to the front; how much is drawn from `rng` does not depend on the contrast."""
    midline = grid.x - _scoliosis(rng, grid)
    behind = grid.y - _posterior_wall(grid, blocks)
    spine = Spine(grid, np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.uint8), midline, behind)
    texture = smooth_field(rng, grid, 3.0)
    _paint_soft_tissue(rng, spine, texture, contrast)
    spine.signal[(np.hypot(behind - 11.5, midline) < 12) & (behind > 0)] = contrast.epidural_fat
    for block in blocks[2:]:
        _paint_posterior_elements(spine, block, contrast)
    _paint_canal(rng, spine, contrast)
    bone = rng.uniform(*contrast.marrow)
    for below, above in zip(blocks[1:], blocks[2:-1], strict=False):
        _paint_disc(rng, spine, below, above, contrast)
    for block in blocks:
        marrow = bone * rng.normal(1, 0.04) * (1 + 0.22 * texture)
        _paint_body(spine, block, marrow, contrast.cortex)
    return spine


def _paint_soft_tissue(rng: np.random.Generator, spine: Spine, texture: FloatArray, contrast: Contrast) -> None:
    """Abdomen with bowel and vessels in front, muscle, then fat under the skin and air behind."""
    signal, behind = spine.signal, spine.behind
    lobes = smooth_field(rng, spine.grid, 7.0)
    abdomen = np.where(lobes > 0.25, contrast.bowel, contrast.abdomen).astype(np.float32) * (1 + 0.15 * texture)
    muscle = contrast.muscle * (1 + 0.25 * texture) + contrast.streaks * (texture > 1.5)
    signal[:] = np.where(behind > -14, muscle, abdomen)
    # Aorta on the left and caval vein on the right run along the front of the spine.
    for side, gap in ((9.0, -44.0), (-13.0, -42.0)):
        tube = np.hypot(behind - gap, spine.midline - side)
        signal[tube < 8.5] = contrast.vessel_wall
        signal[tube < 7.5] = contrast.blood
    skin = rng.uniform(58, 66)
    fat = rng.uniform(12, 18)
    np.copyto(signal, contrast.skin_fat * (1 + 0.06 * texture), where=behind > skin - fat)
    np.copyto(signal, 0, where=behind > skin)


def _paint_posterior_elements(spine: Spine, block: Block, contrast: Contrast) -> None:
    """Pedicles at both sides of the canal and the spinous process behind it; bone, but not labelled."""
    height, depth, _ = block.half_mm
    window = spine.grid.window(block.centre_mm, 70)
    up, back = local_mm(spine.grid, block, window)
    view, lateral = spine.signal[window], np.abs(spine.midline[window[0]])
    pedicle = rounded_box((up - 0.3 * height) / (0.5 * height), (back - depth - 9) / 13, (lateral - 15.5) / 4.5)
    # The process hangs down behind the canal: its centre line falls by 0.35 mm per mm.
    process = rounded_box(
        (up + 0.25 * height + 0.35 * (back - depth - 22)) / (0.62 * height), (back - depth - 33) / 13, lateral / 4.0
    )
    for shape in (pedicle, process):
        view[shape < 1] = contrast.cortex
        view[shape < 0.84**5] = contrast.process_marrow


def _paint_canal(rng: np.random.Generator, spine: Spine, contrast: Contrast) -> None:
    """Fluid in an elliptic tube with the cord ending in it and the roots along its back."""
    signal, midline, z, height_mm = spine.signal, spine.midline, spine.grid.z, spine.grid.extent_mm[0]
    half_depth, half_width = rng.uniform(6.2, 7.4), rng.uniform(9.0, 10.5)
    # The sac tapers into the sacrum: full width at a fifth of the height, two thirds of it at the bottom.
    taper = np.clip(0.66 + 1.7 * z / height_mm, 0, 1)
    back = spine.behind - SAC_BEHIND_MM
    radius = np.hypot(back / (half_depth * taper), midline / (half_width * taper))
    signal[radius < 1.12] = contrast.dura
    inside = radius < 1
    signal[inside] = contrast.fluid
    spine.labels[inside] = CANAL
    cord_end = rng.uniform(0.70, 0.78) * height_mm
    cord = np.hypot(back - 0.5, midline) < np.clip((z - cord_end) / 6 + 1, 0, 4.2)
    signal[cord] = contrast.cord
    root = (np.abs(np.sin(midline * 1.7)) > 0.55) & (back > 1.5) & (np.hypot(back, midline) < 5.5)
    signal[root & (z < cord_end + 12) & inside] = contrast.roots


def _paint_disc(rng: np.random.Generator, spine: Spine, below: Block, above: Block, contrast: Contrast) -> None:
    """The disc between two blocks: annulus, and a nucleus that is healthy, dry or degenerated; it bulges a little."""
    # From the middle of the lower end plate to that of the upper one.
    start = np.array(below.centre_mm) + below.half_mm[0] * _up(below.tilt_rad)
    end = np.array(above.centre_mm) - above.half_mm[0] * _up(above.tilt_rad)
    centre, gap = (start + end) / 2, float(np.linalg.norm(end - start))
    depth, width = (below.half_mm[1] + above.half_mm[1]) / 2, (below.half_mm[2] + above.half_mm[2]) / 2
    tilt = (below.tilt_rad + above.tilt_rad) / 2
    disc = Block(_DISC, (float(centre[0]), float(centre[1])), tilt, (0.0, depth, width))
    window = spine.grid.window(disc.centre_mm, 40)
    up, back = local_mm(spine.grid, disc, window)
    midline = spine.midline[window[0]]
    # Tall enough to reach into both end plates, which are painted over it; widest half way between them, so that it
    # bulges out of the gap and does not run up the sides of the bodies.
    bulge = rng.uniform(0.98, 1.06) - 0.15 * np.square(np.clip(up / (gap / 2 + 1), -1.2, 1.2))
    shape = rounded_box(up / (gap / 2 + 4), back / (depth * bulge), midline / (width * bulge))
    view = spine.signal[window]
    view[shape < 1] = contrast.annulus
    nucleus = np.square(up / (gap / 2 + 2)) + np.square(back / (0.8 * depth)) + np.square(midline / (0.8 * width))
    view[(nucleus < 1) & (shape < 1)] = rng.choice(contrast.nuclei, p=(0.45, 0.3, 0.25))
    spine.labels[window][shape < 1] = _DISC


def _paint_body(spine: Spine, block: Block, marrow: FloatArray, cortex: float) -> None:
    """A rounded box with a waist, marrow inside and a cortical rim of about 1 mm."""
    window = spine.grid.window(block.centre_mm, 40)
    shape = body_shape(spine, block, window)
    view = spine.signal[window]
    view[shape < 1] = cortex
    core = shape < (1 - 1.1 / block.half_mm[0]) ** 5
    view[core] = marrow[window][core]
    spine.labels[window][shape < 1] = block.label


def body_shape(spine: Spine, block: Block, window: tuple[slice, slice]) -> FloatArray:
    """A vertebral body within a window: below 1 inside, as `rounded_box` has it."""
    height, depth, width = block.half_mm
    up, back = local_mm(spine.grid, block, window)
    waist = 0.92 + 0.08 * np.square(np.clip(up / height, -1, 1))
    return rounded_box(up / height, back / (depth * waist), spine.midline[window[0]] / (width * waist))


def local_mm(grid: Grid, block: Block, window: tuple[slice, slice]) -> tuple[FloatArray, FloatArray]:
    """Millimetres along a block's upward and backward axes within a window, (z, y, 1)."""
    z, y = grid.z[window[0]] - block.centre_mm[0], grid.y[:, window[1]] - block.centre_mm[1]
    cosine, sine = np.cos(block.tilt_rad, dtype=np.float32), np.sin(block.tilt_rad, dtype=np.float32)
    return z * cosine - y * sine, y * cosine + z * sine


def _up(tilt_rad: float) -> npt.NDArray[np.float64]:
    """(Z, Y) unit vector along the upward axis of a block; a positive tilt leans it to anterior."""
    return np.array((np.cos(tilt_rad), -np.sin(tilt_rad)))


def _posterior_wall(grid: Grid, blocks: tuple[Block, ...]) -> FloatArray:
    """Y of the back of the bodies at each height (Z, 1, 1), interpolated between the blocks and continued straight."""
    points = np.array(
        [
            np.array(block.centre_mm) + block.half_mm[1] * np.array((np.sin(block.tilt_rad), np.cos(block.tilt_rad)))
            for block in blocks
        ]
    )
    z = grid.z.ravel()
    wall = np.interp(z, points[:, 0], points[:, 1])
    below = z < points[0, 0]
    slope = (points[1, 1] - points[0, 1]) / (points[1, 0] - points[0, 0])
    wall[below] = points[0, 1] + slope * (z[below] - points[0, 0])
    smooth = ndimage.gaussian_filter1d(wall, 5 / grid.step_mm[0], mode="nearest")
    return np.asarray(smooth[:, None, None], np.float32)


def _scoliosis(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """X of the midline at each height (Z, 1, 1): a slight sideways curve and an off-centre field of view."""
    phase, amount = rng.uniform(0, 2 * np.pi), rng.uniform(0, 3)
    curve = amount * np.sin(grid.z / grid.extent_mm[0] * 2.5 + phase) + rng.uniform(-2, 2)
    return np.asarray(curve, np.float32)
