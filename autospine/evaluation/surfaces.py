"""How far apart the surfaces of two masks lie: distances once, every statistic after them.

A surface lies between the voxels of a mask and those around it; what is outside of the array is around it. It is cut
into elements, one at each corner at which voxels of both kinds meet, of which each has its area and its distance to the
nearest element of the other surface. In a single slice corners of four pixels are meant, and lengths of a contour:

    . . . .      +-+-+     2 x 1 pixels have 6 elements: four at the ends of half a diagonal each, and two of a
    . # # .      |   |     pixel's width between them
    . . . .      +-+-+

This is the split of Nikolov et al. 2021 (doi 10.2196/26151) and of DeepMind's surface-distance, whose elements are
those that marching cubes cut. All statistics weigh elements by their size, so that they are right on anisotropic grids,
where a count of voxels sees the side with the finer spacing many times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.machine.cores import available_cores

BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]

ROUNDING_MM = 1e-6
"""By how much more than a tolerance a distance may be and still count as equal to it: 2 voxels of 0.7 mm are 1.4 mm."""
_ROUNDING = 1e-9
"""The same of a share of the surface."""
_QUERY_NS, _BUILD_NS, _TRANSFORM_NS = 1400.0, 200.0, 230.0
"""What the nearest elements take by a k-d tree, for each that is looked for and each that it holds, and by a distance
transform, for each corner of the box (one core, surfaces of 100 000 elements). They decide on the way alone: both
give the same distances."""
_SHARED = 20_000
"""Nearest elements from which on all cores look for them, whatever else is under way beside this pair."""


@dataclass(frozen=True)
class SurfaceDistances:
    """The elements of two surfaces, with their distances to the other one. Both are there, or there is no such thing.

    Sizes are areas in mm2, of a single slice lengths in mm, of a line of voxels counts.
    """

    predicted_mm: Floats
    """(n,) of the prediction's elements to the reference, ascending."""
    predicted_sizes: Floats
    """(n,) of the same elements."""
    expected_mm: Floats
    """(m,) of the reference's elements to the prediction, ascending."""
    expected_sizes: Floats
    """(m,) of the same elements."""

    def hausdorff_mm(self, share: float = 0.95) -> float:
        """The larger of two distances: that within which `share` of the one surface lies from the other, and back."""
        return max(
            _reached(self.predicted_mm, self.predicted_sizes, share),
            _reached(self.expected_mm, self.expected_sizes, share),
        )

    def average_mm(self) -> float:
        """The mean of two averages: of the one surface's distance from the other over its area, and back."""
        there = float(np.dot(self.predicted_mm, self.predicted_sizes) / self.predicted_sizes.sum())
        back = float(np.dot(self.expected_mm, self.expected_sizes) / self.expected_sizes.sum())
        return (there + back) / 2

    def within(self, tolerance_mm: float) -> float:
        """Surface Dice: the share of both surfaces together that lies within `tolerance_mm` of the other one."""
        limit = tolerance_mm + ROUNDING_MM
        sides = ((self.predicted_mm, self.predicted_sizes), (self.expected_mm, self.expected_sizes))
        near = sum(float(sizes[: np.searchsorted(distances, limit, "right")].sum()) for distances, sizes in sides)
        return near / sum(float(sizes.sum()) for _, sizes in sides)


def surface_distances(
    prediction: BoolArray, reference: BoolArray, spacing_mm: Sequence[float], axes: Sequence[int] | None = None
) -> SurfaceDistances | None:
    """The distances of two masks' surfaces; None where one of the masks is empty.

    Args:
        prediction: a mask (Z, Y, X), or of fewer axes. It may be cropped to any box that holds both masks.
        reference: a mask of the same shape.
        spacing_mm: voxel size along each axis.
        axes: those along which there is a surface; None: those with more than one voxel. A slice of one voxel's depth
            has no top and no bottom, and is measured by its contour.
    """
    if not prediction.any() or not reference.any():
        return None
    if axes is None:
        axes = [axis for axis, size in enumerate(prediction.shape) if size > 1]
    flat = tuple(axis for axis in range(prediction.ndim) if axis not in axes)
    spacing = tuple(float(spacing_mm[axis]) for axis in axes)
    if not axes:  # one voxel, that is of both
        nowhere, all_of_it = np.zeros(1), np.ones(1)
        return SurfaceDistances(nowhere, all_of_it, nowhere, all_of_it)
    first, second = (_codes(np.squeeze(mask, flat)) for mask in (prediction, reference))
    full = (1 << (1 << len(axes))) - 1
    on_first, on_second = (code - np.uint8(1) < full - 1 for code in (first, second))  # 0 - 1 is 255
    table = _element_sizes(spacing)
    there = _sorted(_distances(on_first, on_second, spacing), table[first[on_first]])
    back = _sorted(_distances(on_second, on_first, spacing), table[second[on_second]])
    return SurfaceDistances(*there, *back)


def _reached(distances: Floats, sizes: Floats, share: float) -> float:
    """The smallest of ascending `distances` up to which elements make `share` of all sizes."""
    so_far = np.cumsum(sizes)
    place = int(np.searchsorted(so_far, (share - _ROUNDING) * so_far[-1]))
    return float(distances[min(place, len(distances) - 1)])


def _sorted(distances: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(distances, kind="stable")
    return distances[order], sizes[order]


def _codes(mask: BoolArray) -> Codes:
    """Which of the voxels around each corner are of the mask, a bit each; one corner more along every axis than voxels.

    Along the first axis bit 0 is the voxel before the corner and bit 1 the one behind it; each further axis doubles
    them: in 2D bits 0 to 3 are (before, before), (behind, before), (before, behind), (behind, behind).
    """
    codes: Codes = np.pad(mask.view(np.uint8), 1)
    for axis in range(mask.ndim):
        along = np.moveaxis(codes, axis, 0)
        joined = along[:-1] | (along[1:] << np.uint8(1 << axis))
        codes = np.moveaxis(joined, 0, axis)
    return codes


def _distances(of: BoolArray, to: BoolArray, spacing_mm: tuple[float, ...]) -> Floats:
    """Distance of each corner in `of` to the nearest one in `to`, in the order of `of[of]`."""
    distances = np.zeros(np.count_nonzero(of))
    apart = ~to[of]  # those of both surfaces are as near as can be
    wanted = int(np.count_nonzero(apart))
    if not wanted:
        return distances
    if wanted * _QUERY_NS + np.count_nonzero(to) * _BUILD_NS < of.size * _TRANSFORM_NS:
        distances[apart] = _by_tree(of & ~to, to, spacing_mm)
    else:
        distances[:] = ndimage.distance_transform_edt(~to, sampling=spacing_mm)[of]
    return distances


def _by_tree(of: BoolArray, to: BoolArray, spacing_mm: tuple[float, ...]) -> Floats:
    """As `_distances`, by a k-d tree of the corners in `to`."""
    from scipy.spatial import cKDTree  # slow to import, and not needed without distances

    points, targets = (np.stack(np.nonzero(mask), axis=1) * np.asarray(spacing_mm) for mask in (of, to))
    # corners lie on a grid: halves of a box hold about as many, and boxes need not be fitted
    tree = cKDTree(targets, leafsize=24, balanced_tree=False, compact_nodes=False)
    found: Floats = tree.query(points, workers=available_cores() if len(points) >= _SHARED else 1)[0]
    return found


@cache
def _element_sizes(spacing_mm: tuple[float, ...]) -> Floats:
    """Size of the element of each code of `_codes` at this spacing, (2 ** 2 ** axes,); 0 where all voxels are alike.

    Of the two kinds of voxels around a corner the one of which there are fewer is cut out, piece by piece; voxels are
    of one piece where they share a face.
    """
    voxels = 1 << len(spacing_mm)
    full = (1 << voxels) - 1
    sizes = np.zeros(full + 1)
    for code in range(1, full):
        fewer = code if code.bit_count() <= voxels // 2 else full ^ code
        sizes[code] = sum(_piece_size(piece, spacing_mm) for piece in _pieces(fewer, voxels))
    return sizes


def _pieces(code: int, voxels: int) -> list[list[int]]:
    """The bits of a code, those together whose voxels are joined by faces: one bit of their number differs."""
    pieces: list[list[int]] = []
    for voxel in (place for place in range(voxels) if code >> place & 1):
        joined = [piece for piece in pieces if any((voxel ^ other).bit_count() == 1 for other in piece)]
        pieces = [piece for piece in pieces if piece not in joined] + [sum(joined, [voxel])]
    return pieces


def _piece_size(piece: list[int], spacing_mm: tuple[float, ...]) -> float:
    """Size of what parts a piece of up to half of the voxels around a corner from the others.

    It runs through the middles of the edges between them. In space, with faces of a voxel of the areas A, B and C:

        1 voxel              sqrt(A2 + B2 + C2) / 8, a triangle       = D / 8
        2, along an axis     a rectangle as wide as the axis' step    = E / 2, with E as D without the axis' face
        3, around an edge    F / 2 + 3 D / 8, with F of the face that all three have to the same side
        4 in a square        the face F
        4 in a star          6 triangles in a plane: 3 D / 4
        4 in a winding row   D / 2 + (E + E') / 4, for the axes along which it begins and ends

    In a slice one pixel is cut off by half its diagonal, and two by their width.
    """
    steps = {voxel ^ other for voxel, other in combinations(piece, 2) if (voxel ^ other).bit_count() == 1}
    along = [axis for axis in range(len(spacing_mm)) if 1 << axis in steps]
    if len(spacing_mm) == 1:
        return 1.0
    if len(spacing_mm) == 2:
        return spacing_mm[along[0]] if along else math.hypot(*spacing_mm) / 2
    faces = [math.prod(spacing_mm) / step for step in spacing_mm]
    whole = math.hypot(*faces)

    def without(axis: int) -> float:
        return math.hypot(*(face for other, face in enumerate(faces) if other != axis))

    neighbours = {voxel: [voxel ^ other for other in piece if (voxel ^ other).bit_count() == 1] for voxel in piece}
    across = next((axis for axis in range(3) if axis not in along), None)
    match len(piece):
        case 1:
            return whole / 8
        case 2:
            return without(along[0]) / 2
        case 3:
            assert across is not None  # three voxels around an edge lie in a plane
            return faces[across] / 2 + 3 * whole / 8
        case _ if across is not None:
            return faces[across]
        case _ if any(len(held) == 3 for held in neighbours.values()):
            return 3 * whole / 4
    ends = [held[0].bit_length() - 1 for held in neighbours.values() if len(held) == 1]
    return whole / 2 + sum(map(without, ends)) / 4
