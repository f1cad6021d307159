"""A case as the network sees it, and the network's answer back on the case's own grid.

    canonical (Z, Y, X)  --crop to nonzero--> --planned axis order--> --normalise--> --resample-->  prepared
    native labels        <--put into a blank volume-- <--canonical order-- <--argmax on the crop's grid--  logits

`CaseProperties` is all the way back needs. A 2D configuration keeps the slices of the first planned axis as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from autospine.data.box import nonzero_box
from autospine.data.structure import IGNORED, in_a_class
from autospine.planning.document.parts import IntensityPlan, RegionsPlan, ResamplingPlan
from autospine.planning.document.plan import Configuration
from autospine.preprocessing.normalise import nonzero_mask, normalise
from autospine.preprocessing.resample import resample_image, resampled_shape
from autospine.preprocessing.resample_labels import argmax_on_grid, positive_on_grid, resample_label

T = TypeVar("T")

_LOCATIONS_ENOUGH = 10_000
"""Voxels kept per class: enough that a training never sees a pattern (nnU-Net's number)."""
_LOCATIONS_SHARE = 0.01
"""... or this share of a class, where that is more (nnU-Net's number)."""


@dataclass(frozen=True)
class CaseProperties:
    """Where a prepared case lies on its own grid."""

    name: str
    canonical_shape: tuple[int, int, int]
    """Voxels along canonical (Z, Y, X)."""
    canonical_spacing_mm: tuple[float, float, float]
    """Voxel size along canonical (Z, Y, X)."""
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """First voxel and end of the crop along canonical (Z, Y, X)."""
    axis_order: tuple[int, int, int]
    """Canonical axis that stands at each planned axis."""
    prepared_spacing_mm: tuple[float, float, float]
    """Voxel size of the prepared case, in planned order."""
    missing: tuple[int, ...] = ()
    """Image channels, from 0, that the case lacks."""

    @property
    def cropped_shape(self) -> tuple[int, int, int]:
        """Voxels of the crop on its own grid, in planned order."""
        z, y, x = (self.box[axis][1] - self.box[axis][0] for axis in self.axis_order)
        return z, y, x

    @property
    def cropped_spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size of the crop on its own grid, in planned order."""
        z, y, x = (self.canonical_spacing_mm[axis] for axis in self.axis_order)
        return z, y, x

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for `json.dumps`."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> CaseProperties:
        """What `to_json` gave; a missing key raises `KeyError`."""
        spans = tuple((int(low), int(high)) for low, high in content["box"])
        return CaseProperties(
            name=str(content["name"]),
            canonical_shape=_triple(int(value) for value in content["canonical_shape"]),
            canonical_spacing_mm=_triple(float(value) for value in content["canonical_spacing_mm"]),
            box=_triple(spans),
            axis_order=_triple(int(value) for value in content["axis_order"]),
            prepared_spacing_mm=_triple(float(value) for value in content["prepared_spacing_mm"]),
            missing=tuple(int(value) for value in content["missing"]),
        )


@dataclass(frozen=True)
class PreparedCase:
    """A case cropped, in planned axis order, normalised, at the planned spacing."""

    name: str
    image: npt.NDArray[np.float32]
    """(C, a0, a1, a2), planned axes."""
    label: npt.NDArray[np.uint8] | None
    """(a0, a1, a2) class indices, 0 background; None for an unlabelled case."""
    properties: CaseProperties


def prepare_case(
    image: npt.NDArray[Any],
    label: npt.NDArray[np.uint8] | None,
    spacing_mm: Sequence[float],
    configuration: Configuration,
    intensities: Sequence[IntensityPlan],
    name: str,
    missing: tuple[int, ...] = (),
) -> PreparedCase:
    """The prepared case of a canonical `image` (C, Z, Y, X) and its `label` (Z, Y, X) of class indices.

    `spacing_mm` is along canonical (Z, Y, X); `intensities` has one entry per channel. Channels that are `missing`
    are 0 in what comes out. The input is left as it was.
    """
    box = nonzero_box(image)
    order = configuration.axis_order
    planes = (0, *(axis + 1 for axis in order))
    cropped = image[(slice(None), *box)].transpose(planes)
    planned_mm = tuple(float(spacing_mm[axis]) for axis in order)
    target_mm = (*planned_mm[: 3 - len(configuration.spacing_mm)], *configuration.spacing_mm)
    properties = CaseProperties(
        name=name,
        canonical_shape=_triple(image.shape[1:]),
        canonical_spacing_mm=_triple(float(value) for value in spacing_mm),
        box=_triple((int(span.start), int(span.stop)) for span in box),
        axis_order=order,
        prepared_spacing_mm=_triple(target_mm),
        missing=missing,
    )
    shape = resampled_shape(cropped.shape[1:], planned_mm, target_mm)
    mask = nonzero_mask(cropped) if configuration.use_mask else None
    # before resampling, so that the mask still fits the image exactly
    scaled = normalise(cropped, configuration.normalisation, intensities, mask)
    scaled[list(missing)] = 0
    prepared = resample_image(scaled, shape, planned_mm, target_mm, configuration.resampling)
    prepared_label = None
    if label is not None:
        cropped_label = np.ascontiguousarray(label[box].transpose(order))
        prepared_label = resample_label(cropped_label, shape, planned_mm, target_mm, configuration.resampling)
    return PreparedCase(name, prepared, prepared_label, properties)


def without_unlabelled_slices(label: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.uint8]:
    """`label` (Z, Y, X) with the slices across `axis` that hold no class `IGNORED`, where others hold one."""
    others = tuple(other for other in range(3) if other != axis)
    held = in_a_class(label).any(axis=others)
    if not held.any():
        return label
    left = label.copy()
    left[tuple(slice(None) if other != axis else ~held for other in range(3))] = IGNORED
    return left


def restore_labels(
    logits: npt.NDArray[Any], properties: CaseProperties, configuration: Configuration
) -> npt.NDArray[np.uint8]:
    """The classes of `logits` (K, a0, a1, a2) on the canonical native grid (Z, Y, X); 0 outside the crop."""
    shape, spacing_mm = properties.cropped_shape, properties.cropped_spacing_mm
    resampling, regions = configuration.resampling, configuration.regions
    winners = classes_on_grid(logits, shape, properties.prepared_spacing_mm, spacing_mm, resampling, regions)
    labels = np.zeros(properties.canonical_shape, np.uint8)
    box = tuple(slice(low, high) for low, high in properties.box)
    labels[box] = winners.transpose(np.argsort(properties.axis_order))
    return labels


def classes_on_grid(
    logits: npt.NDArray[Any],
    shape: Sequence[int],
    spacing_from: Sequence[float],
    spacing_to: Sequence[float],
    resampling: ResamplingPlan,
    regions: RegionsPlan | None = None,
) -> npt.NDArray[np.uint8]:
    """Class indices of `logits` (K, a0, a1, a2) on the grid `shape`: the winners, or the regions written in turn.

    A region holds where its interpolated logit is above 0, a probability above one half.
    """
    if regions is None:
        return argmax_on_grid(logits, shape, spacing_from, spacing_to, resampling)
    labels = np.zeros(tuple(shape), np.uint8)
    for logit, value in zip(logits, regions.written, strict=True):
        labels[positive_on_grid(logit, shape, spacing_from, spacing_to, resampling)] = value
    return labels


def class_locations(
    label: npt.NDArray[np.uint8], classes: Iterable[int], seed: int
) -> dict[int, npt.NDArray[np.int32]]:
    """Voxels (n, 3) of each of `classes` that `label` (a0, a1, a2) holds, drawn without repetition and sorted.

    n is all of a class up to 10 000 voxels, or 1 % of it where that is more; a class that is not there has no entry.
    """
    rng = np.random.default_rng(seed)
    foreground = np.flatnonzero(label)
    values = label.reshape(-1)[foreground]
    locations = {}
    for value in classes:
        voxels = foreground[values == value] if value else np.flatnonzero(label == 0)
        count = max(min(_LOCATIONS_ENOUGH, len(voxels)), int(np.ceil(len(voxels) * _LOCATIONS_SHARE)))
        if count < len(voxels):
            voxels = np.sort(rng.choice(voxels, count, replace=False))
        if count:
            locations[value] = np.stack(np.unravel_index(voxels, label.shape), axis=1).astype(np.int32)
    return locations


def _triple(values: Iterable[T]) -> tuple[T, T, T]:
    """Exactly three values as a tuple."""
    first, second, third = values
    return first, second, third
