"""How a mask and a prediction of the same case disagree: arrays in, numbers out.

What is measured of each structure is what a wrong mask would show: a translation that mends it, another structure in
its place, a piece that one of the two lacks, an outline that jumps from slice to slice, pieces that are one or several.
Whether that is more than usual is decided later, with all cases side by side (`suspicion`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.box import box_around
from autospine.data.geometry import Triple, triple
from autospine.data.structure import IGNORED
from autospine.evaluation.translations import BoolArray, Translation, best_translation

Labels = npt.NDArray[np.uint8]
Members = Sequence[tuple[int, ...]]
"""Class indices that each structure is made of."""

CORNERS = np.ones((3, 3, 3), bool)
MOST_PIECES = 64
"""Pieces of a structure that are looked at, the largest: a mask of crumbs must not take forever."""
OF_PIECE = 0.5
"""Share of a piece's voxels in one piece of the other map from where it lies in that."""
LEAST_PIECE = 0.05
"""Voxels of a piece over those of the structure's largest below which it is a crumb, and no piece."""
MARGIN = 0.05
"""Share of the extent of all structures that is left out at either end, where it is said what lies between them."""


@dataclass(frozen=True)
class Patch:
    """A piece of a structure that one of the two maps has and the other has not."""

    volume_mm3: float
    between: bool
    """Whether structures of the mask lie beyond it on both sides, along their longest axis."""


@dataclass(frozen=True)
class Shape:
    """A structure in one of the two maps."""

    volume_mm3: float
    place_mm: Triple | None
    """Its centre along the canonical axes, from the middle of the image; None where it is absent."""
    jumps: Triple
    """Along each axis, voxels that differ from both neighbours, which are alike, over the length of the outline in the
    slices across that axis: 0 where slices follow each other smoothly."""
    pieces_mm3: tuple[float, ...]
    """Volumes of its connected pieces, the largest first."""


@dataclass(frozen=True)
class StructureDisagreement:
    """One structure of a case."""

    dice: float
    """NaN where it is in neither map."""
    reference: Shape
    prediction: Shape
    translation: Translation | None
    """Of the mask, onto the prediction; None where it is absent from one of them."""
    lacking: Patch
    """The largest piece that the prediction has where the mask has background."""
    surplus: Patch
    """The largest piece that the mask has where the prediction has background."""
    merged: float
    """Share of the mask's voxels beyond the first of several predicted pieces that one piece of the mask holds."""
    split: float
    """Share of the mask's voxels in further pieces that lie in one predicted piece."""


@dataclass(frozen=True)
class CaseDisagreement:
    """All structures of a case."""

    structures: tuple[StructureDisagreement, ...]
    dice: npt.NDArray[np.float64]
    """(K, K): Dice of structure i in the mask with structure j in the prediction; NaN where either is absent."""
    translation: Translation | None
    """Of all structures together."""


def measure_disagreement(
    reference: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    members: Members,
    spacing_mm: Triple,
    slice_axis: int,
) -> CaseDisagreement:
    """How two maps of one case disagree.

    Args:
        reference: class indices (Z, Y, X), canonical; voxels of `IGNORED` count for nothing.
        prediction: class indices of the same shape.
        members: the classes of each structure; those of a region are several.
        spacing_mm: voxel size (Z, Y, X).
        slice_axis: the axis across which the image is cut into slices.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"mask {reference.shape} and prediction {prediction.shape} differ in shape")
    shape = triple(reference.shape)
    known = reference != IGNORED
    first, second = np.where(known, reference, 0), np.where(known, prediction, 0)
    box = box_around((first > 0) | (second > 0))
    first, second = first[box], second[box]
    middle = [(size - 1) / 2 - side.start for size, side in zip(shape, box, strict=True)]
    annotated, predicted = first > 0, second > 0
    space = _Space(spacing_mm, slice_axis, triple(middle), _ends(annotated, predicted, spacing_mm))
    # one structure after the other: fifty masks at once would take more memory than all else
    structures = tuple(
        _structure(_held(first, held), _held(second, held), annotated, predicted, space) for held in members
    )
    together = None
    if len(members) > 1:
        masks, predictions = (_held(first, held) for held in members), (_held(second, held) for held in members)
        together = best_translation(masks, predictions, spacing_mm)
    return CaseDisagreement(structures, _cross_dice(first, second, members), together)


@dataclass(frozen=True)
class _Space:
    """What is the same for all structures of a case."""

    spacing_mm: Triple
    slice_axis: int
    middle: Triple
    """Index of the image's centre in the box that is looked at."""
    ends: tuple[int, float, float]
    """(longest axis of all structures, index where those of the mask begin, where they end), without a margin."""

    @property
    def voxel_mm3(self) -> float:
        return math.prod(self.spacing_mm)


def _held(labels: npt.NDArray[Any], members: tuple[int, ...]) -> BoolArray:
    held: BoolArray = labels == members[0] if len(members) == 1 else np.isin(labels, members)
    return held


def _ends(foreground: BoolArray, predicted: BoolArray, spacing_mm: Triple) -> tuple[int, float, float]:
    """The longest axis of all that is in either map, and where on it the mask begins and ends, without a margin."""
    box, either = box_around(foreground), box_around(foreground | predicted)
    axis = max(range(3), key=lambda one: (either[one].stop - either[one].start) * spacing_mm[one])
    margin = MARGIN * (box[axis].stop - box[axis].start)
    return axis, box[axis].start + margin, box[axis].stop - 1 - margin


def _structure(
    reference: BoolArray, prediction: BoolArray, annotated: BoolArray, predicted: BoolArray, space: _Space
) -> StructureDisagreement:
    """One structure; `annotated` and `predicted` are voxels of any."""
    either = reference | prediction
    if not either.any():
        nothing, absent = Patch(0.0, False), Shape(0.0, None, (0.0, 0.0, 0.0), ())
        return StructureDisagreement(math.nan, absent, absent, None, nothing, nothing, 0.0, 0.0)
    box = box_around(either)
    corner = [side.start for side in box]
    one, other = reference[box], prediction[box]
    first, second = _Pieces.of(one), _Pieces.of(other)
    voxels = np.count_nonzero(one) + np.count_nonzero(other)
    return StructureDisagreement(
        dice=float(2 * np.count_nonzero(one & other) / voxels),
        reference=_shape(one, first, corner, space),
        prediction=_shape(other, second, corner, space),
        translation=best_translation([one], [other], space.spacing_mm),
        lacking=_patch(other & ~annotated[box], not one.any(), corner, space),
        surplus=_patch(one & ~predicted[box], not other.any(), corner, space),
        merged=_joined(second, first),
        split=_joined(first, second),
    )


@dataclass(frozen=True)
class _Pieces:
    """The connected pieces of a mask, corners counting as contact."""

    numbers: npt.NDArray[np.int32]
    """The piece that a voxel is of; 0 is none, or a crumb."""
    sizes: npt.NDArray[np.int64]
    """Voxels of each piece, the first being 1; the largest first."""

    @staticmethod
    def of(mask: BoolArray) -> _Pieces:
        numbers, count = ndimage.label(mask, CORNERS)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        order = np.argsort(-sizes, kind="stable")[:MOST_PIECES]
        order = order[sizes[order] >= LEAST_PIECE * sizes.max(initial=0)]
        becomes = np.zeros(count + 1, np.int32)
        becomes[order + 1] = np.arange(1, len(order) + 1)
        return _Pieces(becomes[numbers], sizes[order])


def _shape(mask: BoolArray, pieces: _Pieces, corner: Sequence[int], space: _Space) -> Shape:
    count = int(np.count_nonzero(mask))
    place = None
    if count:
        means = [_mean_index(mask, axis) for axis in range(3)]
        moved = (mean + at - middle for mean, at, middle in zip(means, corner, space.middle, strict=True))
        place = triple(step * size for step, size in zip(moved, space.spacing_mm, strict=True))
    volumes = tuple((pieces.sizes * space.voxel_mm3).tolist())
    return Shape(count * space.voxel_mm3, place, _jumps(mask), volumes)


def _jumps(mask: BoolArray) -> Triple:
    """Along each axis, voxels unlike both neighbours over the outline in the slices across it.

    Along a row 0 1 0 0 1 1 0 1 1 two voxels stand alone, a peak and a gap; a slice that was moved by a voxel against
    both of its neighbours shows its whole outline so.
    """
    mask = np.pad(mask, 1)
    edges = [np.count_nonzero(np.diff(mask, axis=axis)) for axis in range(mask.ndim)]
    found = []
    for axis in range(mask.ndim):
        lying = np.moveaxis(mask, axis, 0)
        alone = (lying[1:-1] != lying[:-2]) & (lying[1:-1] != lying[2:])
        outline = sum(edges) - edges[axis]
        found.append(float(np.count_nonzero(alone) / outline) if outline else 0.0)
    return triple(found)


def _patch(mask: BoolArray, whole: bool, corner: Sequence[int], space: _Space) -> Patch:
    """The largest piece of `mask` that is more than a rim; where it is `whole`, rims count too."""
    if not mask.any():
        return Patch(0.0, False)
    cross = ndimage.generate_binary_structure(3, 1)
    np.moveaxis(cross, space.slice_axis, 0)[[0, 2]] = False  # slices are few: through them nothing would be left
    numbers, count = ndimage.label(mask if whole else ndimage.binary_erosion(mask, cross))
    if not count:
        return Patch(0.0, False)
    largest = numbers == int(np.argmax(np.bincount(numbers.ravel())[1:])) + 1
    if not whole:
        largest = ndimage.binary_dilation(largest, cross, iterations=2, mask=mask)
    axis, low, high = space.ends
    place = _mean_index(largest, axis) + corner[axis]
    return Patch(float(np.count_nonzero(largest)) * space.voxel_mm3, bool(low < place < high))


def _joined(parts: _Pieces, wholes: _Pieces) -> float:
    """Share of all `parts` that lie, beside a larger one, in the same one of `wholes`."""
    if len(parts.sizes) < 2 or not len(wholes.sizes):
        return 0.0
    overlap = np.zeros((len(parts.sizes) + 1, len(wholes.sizes) + 1), np.int64)
    np.add.at(overlap, (parts.numbers.ravel(), wholes.numbers.ravel()), 1)
    inside = overlap[1:, 1:] >= OF_PIECE * parts.sizes[:, None]
    beside = 0
    for held in inside.T:
        sizes = parts.sizes[held]
        beside += int(sizes.sum() - sizes.max(initial=0))
    return beside / int(parts.sizes.sum())


def _cross_dice(first: npt.NDArray[Any], second: npt.NDArray[Any], members: Members) -> npt.NDArray[np.float64]:
    """(K, K) Dice of each structure in the one map with each in the other."""
    classes = 1 + max(int(first.max(initial=0)), int(second.max(initial=0)), *(max(held) for held in members))
    cells = np.bincount((first.astype(np.int64) * classes + second).ravel(), minlength=classes**2)
    counts = cells.reshape(classes, classes)
    belongs = np.zeros((len(members), classes))
    for place, held in enumerate(members):
        belongs[place, list(held)] = 1
    both = belongs @ counts @ belongs.T
    sizes = (belongs @ counts.sum(axis=1))[:, None] + (belongs @ counts.sum(axis=0))[None, :]
    absent = (belongs @ counts.sum(axis=1) == 0)[:, None] | (belongs @ counts.sum(axis=0) == 0)[None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(absent, np.nan, 2 * both / sizes)


def _mean_index(mask: BoolArray, axis: int) -> float:
    """Mean index along an axis of the voxels in a mask."""
    counts = mask.sum(axis=tuple(other for other in range(3) if other != axis))
    return float(np.dot(counts, np.arange(counts.size)) / counts.sum())
