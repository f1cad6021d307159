"""A stack of axial T2 slices through the lower lumbar spine: large anatomy and small on the same slices.

The stack runs down through one or two discs. What a slice shows follows from its height over the disc below it:

    over the disc   0     the disc, facet joints at the sides, roots far out in the foramina
                    5-20  body, lamina and spinous process, foramina with fat and a root in each
                    20-30 body, pedicles that close the canal, roots beside the sac

A body fills twenty to thirty times the area of the roots, the smallest class.
Millimetres are those of a patient of middle size, who is then scaled, turned and shifted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.grid import FloatArray, Grid, LabelArray, Mask, draw_grid, smooth_field
from autospine.phantom.scan import Scene

CHANNELS = ("T2",)
LABELS = (("vertebral_body", 1), ("disc", 2), ("posterior_arch", 3), ("dural_sac", 4), ("nerve_root", 5))
"""(name, value on disk); the arch is lamina, pedicles, facets and spinous process."""
VOXELS = ((9, 10), (116, 125), (119, 128))
SPACING_MM = ((4.2, 4.9), (1.4, 1.48), (1.32, 1.4))
FINE = (4, 2, 2)
"""Samples per voxel along Z, Y, X: about 1 mm down the stack and 0.7 mm in the slice."""

_BODY, _DISC, _ARCH, _SAC, _ROOT = (value for _, value in LABELS)
_CORTEX = 0.12
_FAT = 0.74


@dataclass(frozen=True)
class _Patient:
    """What is painted of one, and where everything is in millimetres of a patient of middle size."""

    signal: FloatArray
    """0 to about 1 (Z, Y, X)."""
    labels: LabelArray
    """Values of `LABELS` (Z, Y, X), 0 elsewhere."""
    grain: FloatArray
    """Of every tissue (Z, Y, X), mean 0 and standard deviation 1."""
    aside: FloatArray
    """To the left of the midline (1, Y, X)."""
    behind: FloatArray
    """Behind the middle of the bodies (1, Y, X)."""
    over: FloatArray
    """Over the middle of the disc below (Z, 1, 1), from -4 on; the next disc begins at `level`."""
    level: float
    """From one disc to the next."""
    half_depth: float
    """Of the bodies."""
    half_width: float
    sac_y: float
    """Middle of the dural sac, behind the middle of the bodies."""
    sac_half: tuple[float, float]
    """Half its depth and width."""


def draw_axial(rng: np.random.Generator) -> Scene:
    """A patient's stack of slices."""
    grid = draw_grid(rng, VOXELS, SPACING_MM, FINE)
    patient = _draw_patient(rng, grid)
    _paint_soft_tissue(rng, grid, patient)
    for paint in (_paint_spaces, _paint_column, _paint_arch, _paint_sac, _paint_roots):
        paint(rng, patient)
    return Scene(grid, (patient.signal,), patient.labels, "axial")


def _draw_patient(rng: np.random.Generator, grid: Grid) -> _Patient:
    """Size, pose and build."""
    scale, turn = rng.uniform(0.9, 1.08), np.radians(rng.uniform(-9, 9))
    x = grid.x - rng.uniform(-8, 8)
    y = grid.y - grid.extent_mm[1] * 0.44 - rng.uniform(-7, 7)
    level = float(rng.uniform(33, 37))
    over = np.mod(grid.z / scale + rng.uniform(0, level), level) - 4
    half_depth, half_width = float(rng.uniform(15.5, 18)), float(rng.uniform(21.5, 25))
    sac_half = (float(rng.uniform(6.2, 7.6)), float(rng.uniform(7.8, 9.6)))
    return _Patient(
        signal=np.zeros(grid.shape, np.float32),
        labels=np.zeros(grid.shape, np.uint8),
        grain=smooth_field(rng, grid, 3.0),
        aside=np.asarray((x * np.cos(turn) - y * np.sin(turn)) / scale, np.float32),
        behind=np.asarray((y * np.cos(turn) + x * np.sin(turn)) / scale, np.float32),
        over=np.asarray(over, np.float32),
        level=level,
        half_depth=half_depth,
        half_width=half_width,
        sac_y=half_depth + sac_half[0] - 0.5,
        sac_half=sac_half,
    )


def _oval(patient: _Patient, y_mm: float, x_mm: float, half_y: float, half_x: float) -> FloatArray:
    """Distance (1, Y, X) from (y, x) as a share of the half axes; below 1 inside."""
    return np.asarray(np.hypot((patient.behind - y_mm) / half_y, (patient.aside - x_mm) / half_x), np.float32)


def _paint_soft_tissue(rng: np.random.Generator, grid: Grid, patient: _Patient) -> None:
    """Abdomen and vessels in front, psoas and back muscles in fat, skin and air behind."""
    lobes = smooth_field(rng, grid, 9.0)
    abdomen = np.where(lobes > 0.2, _FAT, 0.34) * (1 + 0.12 * patient.grain)
    wall = -16 + 0.005 * np.square(patient.aside) - 4 * lobes
    patient.signal[:] = np.where(patient.behind < wall, abdomen, _FAT * (1 + 0.07 * patient.grain))
    muscle = rng.uniform(0.20, 0.28) * (1 + 0.22 * patient.grain) + 0.4 * (patient.grain > 1.7)
    wide = patient.half_width
    for side in (-1, 1):
        psoas = _oval(patient, 1, side * (wide + 15 + rng.uniform(-1, 2)), 21, 15)
        inner = _oval(patient, 45, side * 17.5, 18, 14.5)
        outer = _oval(patient, 41, side * 51, 20, 22)
        for part in (psoas, inner, outer):
            _fill(patient, part < 1, muscle)
    # The aorta on the left and the caval vein on the right; moving blood is dark.
    for x_mm, radius in ((8.0, 8.5), (-14.0, 9.5)):
        tube = np.hypot(patient.behind + patient.half_depth + 11 + rng.uniform(0, 3), patient.aside - x_mm)
        _fill(patient, tube < radius, 0.28)
        _fill(patient, tube < radius - 1.2, 0.07)
    skin = np.hypot(patient.behind / rng.uniform(70, 82), patient.aside / 160)
    _fill(patient, (skin > 1) & (patient.behind > 0), 0.0)


def _paint_spaces(rng: np.random.Generator, patient: _Patient) -> None:
    """Fat around the sac and in the foramina, which are open below the pedicles."""
    deep, wide = patient.sac_half
    fat = rng.uniform(0.62, 0.72)
    triangle = (np.abs(patient.aside) < wide + 6 - 0.55 * np.abs(patient.behind - patient.sac_y)) & (
        np.abs(patient.behind - patient.sac_y) < deep + 6
    )
    _fill(patient, triangle, fat)
    open_here = patient.over < 0.55 * patient.level
    for side in (-1, 1):
        _fill(patient, (_oval(patient, patient.half_depth, side * (wide + 12), 9, 13) < 1) & open_here, fat)


def _paint_column(rng: np.random.Generator, patient: _Patient) -> None:
    """The body with its rim, and the disc with annulus and nucleus, both hollow towards the canal."""
    half_gap = rng.uniform(4.2, 5.8)
    disc = np.abs(patient.over) < half_gap
    disc |= patient.over > patient.level - half_gap
    over_body = (patient.over - half_gap) / (patient.level - 2 * half_gap)
    waist = 0.91 + 0.09 * np.square(2 * np.clip(over_body, 0, 1) - 1)
    bulge = rng.uniform(0.98, 1.01)
    deep, wide = patient.half_depth, patient.half_width
    hollow = _oval(patient, deep + 9, 0, 11, 15) < 1
    body = (np.abs(patient.behind / (deep * waist)) ** 2.6 + np.abs(patient.aside / (wide * waist)) ** 2.6) ** (1 / 2.6)
    rim_mm = 1.3
    marrow = rng.uniform(0.42, 0.58) * (1 + 0.16 * patient.grain)
    bone = (body < 1) & ~hollow & ~disc
    inner = (body < 1 - rim_mm / deep) & ~(_oval(patient, deep + 9, 0, 11 + rim_mm, 15 + rim_mm) < 1)
    inner = inner & (over_body > 0.03) & (over_body < 0.97)
    _fill(patient, bone, _CORTEX)
    _fill(patient, bone & inner, marrow)
    patient.labels[bone] = _BODY
    ring = (np.abs(patient.behind / deep) ** 2.6 + np.abs(patient.aside / wide) ** 2.6) ** (1 / 2.6) / bulge
    between = (ring < 1) & ~hollow & disc
    _fill(patient, between, 0.17)
    nucleus = rng.choice((0.72, 0.60, 0.27), p=(0.4, 0.35, 0.25))
    _fill(patient, between & (_oval(patient, 0.5, 0, 0.66 * deep, 0.7 * wide) < 1), nucleus * (1 + 0.1 * patient.grain))
    patient.labels[between] = _DISC


def _paint_arch(rng: np.random.Generator, patient: _Patient) -> None:
    """Laminae that meet behind the sac in the spinous process, facets at the disc, pedicles at the upper body."""
    deep, wide = patient.sac_half
    marrow = rng.uniform(0.36, 0.46) * (1 + 0.12 * patient.grain)
    back = patient.sac_y + deep + 5.5
    aside, behind = np.abs(patient.aside), patient.behind
    # From the facet to the middle the lamina runs 0.62 mm back per mm; distances are across it.
    across = (behind - back + 0.62 * aside) / np.hypot(1, 0.62)
    facet_x, facet_y = wide + 9.5, back - 0.62 * (wide + 9.5) + 1.5
    process_mm = rng.uniform(22, 30)
    # The space between two laminae, a few millimetres above the disc, is closed by a dark ligament alone.
    gap = (patient.over > -1) & (patient.over < 6)
    lamina = np.maximum(np.abs(across) / 3.3, aside / (wide + 10))
    process = np.maximum(aside / 4.2, np.abs(behind - back - process_mm / 2) / (process_mm / 2 + 2))
    facet = np.hypot((behind - facet_y) / 8.5, (aside - facet_x) / 8.0)
    pedicle = np.maximum(
        np.abs(aside - wide - 8) / 4.8,
        np.abs(behind - (patient.half_depth + facet_y) / 2 + 4) / ((facet_y - patient.half_depth) / 2 + 6),
    )
    at_disc = (patient.over < 9) | (patient.over > patient.level - 6)
    at_pedicle = (patient.over > 0.55 * patient.level) & (patient.over < 0.55 * patient.level + 11)
    _fill(patient, (lamina < 1) & gap, 0.16)
    # the facets last: what a lamina has drawn into them goes
    for shape, core, present in (
        (pedicle, 0.74, at_pedicle),
        (lamina, 0.66, ~gap),
        (process, 0.7, ~gap),
        (facet, 0.84, at_disc),
    ):
        bone = (shape < 1) & present & (patient.labels == 0)
        _fill(patient, bone, _CORTEX)
        _fill(patient, bone & (shape < core), marrow)
        patient.labels[bone] = _ARCH
    # The joint runs obliquely through the facet: fluid between two dark plates.
    joint = np.abs((behind - facet_y) - 0.9 * (aside - facet_x)) / np.hypot(1, 0.9)
    for width_mm, value in ((2.0, _CORTEX), (0.8, 0.75)):
        _fill(patient, (joint < width_mm) & (facet < 0.95) & at_disc & (patient.labels == _ARCH), value)


def _paint_sac(rng: np.random.Generator, patient: _Patient) -> None:
    """Fluid in an oval, narrower at the discs, with the roots of the cauda equina along its back."""
    deep, wide = patient.sac_half
    near_disc = np.exp(-np.square(np.minimum(np.abs(patient.over), np.abs(patient.level - patient.over)) / 6))
    narrow = 1 - rng.uniform(0.05, 0.2) * near_disc
    distance = _oval(patient, patient.sac_y, 0, deep, wide) / narrow
    _fill(patient, distance < 1.13, 0.2)
    inside = distance < 1
    _fill(patient, inside, 0.97)
    # so many threads that they are grey where they crowd together at the back
    for _ in range(14):
        x_mm, y_mm = rng.uniform(-0.75, 0.75) * wide, patient.sac_y + rng.uniform(-0.1, 0.72) * deep
        _fill(patient, (np.hypot(patient.aside - x_mm, patient.behind - y_mm) < 0.95) & (distance < 0.92), 0.5)
    patient.labels[inside] = _SAC


def _paint_roots(rng: np.random.Generator, patient: _Patient) -> None:
    """A root to each side: beside the sac at the pedicle, then down and out through the foramen below it."""
    top = 0.55 * patient.level + 9
    down = np.clip((top - patient.over) / (top + 4), 0, 1)
    out = 1.5 * np.minimum(down / 0.45, 1) + 14 * np.clip((down - 0.45) / 0.55, 0, 1)
    forward = 3 + 6 * down
    grey = rng.uniform(0.30, 0.40)
    for side in (-1, 1):
        radius = rng.uniform(2.5, 3.1)
        x_mm = side * (patient.sac_half[1] + 1.9 + out)
        y_mm = patient.sac_y - forward
        root = np.hypot(patient.behind - y_mm, patient.aside - x_mm) < radius
        root = root & (patient.over < top) & ((patient.labels == 0) | (patient.labels == _ARCH))
        _fill(patient, root, grey)
        patient.labels[root] = _ROOT


def _fill(patient: _Patient, where: Mask, value: float | FloatArray) -> None:
    """Paints a value, or that of each sample, where a mask broadcast to (Z, Y, X) says so."""
    np.copyto(patient.signal, np.asarray(value, np.float32), where=where)
