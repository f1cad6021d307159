"""Phantom spines that are not as those of the training: another number of vertebrae, fused, bent, with metal, cut off.

All are drawn as the phantom's spines are (`autospine.phantom.anatomy`), of which a column is changed before it is
painted, or the picture of it after. Vertebrae keep the names that they have by their place above the sacrum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autospine.phantom.anatomy import FINE, SPACING_MM, VOXELS, Block, draw_chain, render
from autospine.phantom.contrast import T2
from autospine.phantom.grid import FloatArray, Grid, draw_grid
from autospine.phantom.scan import PhantomCase, Scene, scan

Chain = tuple[Block, ...]
SACRUM, LOWEST, MIDDLE = 2, 2, 4
"""Blocks of the sacrum; places of L5 and L3 in a chain."""


def moved(block: Block, by: tuple[float, float]) -> Block:
    """The same block elsewhere."""
    return replace(block, centre_mm=(block.centre_mm[0] + by[0], block.centre_mm[1] + by[1]))


def between(lower: Block, upper: Block) -> tuple[float, float]:
    """From one block to the next."""
    return upper.centre_mm[0] - lower.centre_mm[0], upper.centre_mm[1] - lower.centre_mm[1]


def relabelled(chain: Chain) -> Chain:
    """With the first five above the sacrum called L5 to L1."""
    names = [0] * SACRUM + [1, 2, 3, 4, 5] + [0] * len(chain)
    return tuple(replace(block, label=name) for block, name in zip(chain, names, strict=False))


def usual(chain: Chain) -> Chain:
    """Five lumbar vertebrae."""
    return chain


def one_fewer(chain: Chain) -> Chain:
    """Four lumbar vertebrae: without L3, what is above comes down."""
    down = between(chain[MIDDLE + 1], chain[MIDDLE])
    return relabelled((*chain[:MIDDLE], *(moved(block, down) for block in chain[MIDDLE + 1 :])))


def one_more(chain: Chain) -> Chain:
    """Six: L3 twice, what is above goes up."""
    up = between(chain[MIDDLE], chain[MIDDLE + 1])
    above = [moved(block, up) for block in chain[MIDDLE:]]
    return relabelled((*chain[: MIDDLE + 1], *above))


def sacralised(chain: Chain) -> Chain:
    """L5 is fused with the sacrum: hardly a disc between them, and as broad as S1."""
    first, fused = chain[LOWEST - 1], chain[LOWEST]
    step = between(first, fused)
    length = float(np.hypot(*step))
    down = 1 - (first.half_mm[0] + fused.half_mm[0] + 1.5) / length
    by = (-down * step[0], -down * step[1])
    lower = replace(fused, half_mm=(fused.half_mm[0], first.half_mm[1], first.half_mm[2]))
    return (*chain[:LOWEST], *(moved(block, by) for block in (lower, *chain[LOWEST + 1 :])))


def bent(rng: np.random.Generator, grid: Grid, signal: FloatArray, labels: FloatArray) -> None:
    """A scoliosis: each height is moved to the side, the lowest by 10 mm to the left, the highest to the right."""
    moves = 10.0 * np.cos(np.linspace(0, np.pi, len(signal)) + rng.uniform(-0.3, 0.3))
    for row, move in enumerate(np.round(moves / grid.step_mm[2]).astype(int)):
        for picture in (signal, labels):
            picture[row] = np.roll(picture[row], int(move), axis=-1)


def metal(rng: np.random.Generator, grid: Grid, signal: FloatArray, labels: FloatArray) -> None:
    """Screws in L3: no signal around them, and a bright rim."""
    held = np.argwhere(labels == 3)
    middle = held.mean(axis=0) * grid.step_mm
    axes = [np.arange(size) * step for size, step in zip(signal.shape, grid.step_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    away = np.sqrt(((z - middle[0]) / 13) ** 2 + ((y - middle[1] - 8) / 26) ** 2 + ((x - middle[2]) / 24) ** 2)
    signal[(away >= 1) & (away < 1.15)] = 1.2
    signal[away < 1] = 0.02


def as_it_is(rng: np.random.Generator, grid: Grid, signal: FloatArray, labels: FloatArray) -> None:
    """Nothing."""


KINDS: dict[str, tuple[Callable[[Chain], Chain], Callable[..., None]]] = {
    "five lumbar vertebrae": (usual, as_it_is),
    "four": (one_fewer, as_it_is),
    "six": (one_more, as_it_is),
    "L5 sacralised": (sacralised, as_it_is),
    "scoliosis": (usual, bent),
    "metal in L3": (usual, metal),
    "last slice half empty": (usual, as_it_is),
}
"""What is done to a column before it is painted, and to its picture."""


def draw_odd(kind: str, seed: int) -> PhantomCase:
    """A spine of one of `KINDS`."""
    rng = np.random.default_rng((seed, 77))
    change, disturb = KINDS[kind]
    # a column that is bent to the side needs a wider view
    voxels = (*VOXELS[:2], (16, 18)) if disturb is bent else VOXELS
    grid = draw_grid(rng, voxels, SPACING_MM, FINE)
    spine = render(rng, grid, change(draw_chain(rng, grid.extent_mm)), T2)
    disturb(rng, grid, spine.signal, spine.labels)
    case = scan(rng, Scene(grid, (spine.signal,), spine.labels, "sagittal"))
    if kind == "last slice half empty":
        rows = case.image.shape[1]
        case.image[:, rows // 2 :, :, -1] = 0
    return case
