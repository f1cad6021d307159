"""A case as the network sees it; `restore` brings the network's answer back on the case's own grid.

    canonical (Z, Y, X)  --crop to nonzero--> --planned axis order--> --normalise--> --resample-->  prepared

`CaseProperties` is all the way back needs. A 2D configuration keeps the slices of the first planned axis as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.box import nonzero_box
from autospine.data.geometry import resampled_shape, triple
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.preprocessing.normalise import nonzero_mask, normalise
from autospine.preprocessing.resample import Regrid, resample_image
from autospine.preprocessing.resample_labels import resample_label


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
        return triple(self.box[axis][1] - self.box[axis][0] for axis in self.axis_order)

    @property
    def cropped_spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size of the crop on its own grid, in planned order."""
        return triple(self.canonical_spacing_mm[axis] for axis in self.axis_order)

    @property
    def prepared_shape(self) -> tuple[int, ...]:
        """Voxels of the prepared case, in planned order."""
        return resampled_shape(self.cropped_shape, self.cropped_spacing_mm, self.prepared_spacing_mm)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> CaseProperties:
        """From what `json.dumps` makes of `asdict`; a missing key raises `KeyError`."""
        return CaseProperties(
            name=str(content["name"]),
            canonical_shape=triple(map(int, content["canonical_shape"])),
            canonical_spacing_mm=triple(map(float, content["canonical_spacing_mm"])),
            box=triple((int(low), int(high)) for low, high in content["box"]),
            axis_order=triple(map(int, content["axis_order"])),
            prepared_spacing_mm=triple(map(float, content["prepared_spacing_mm"])),
            missing=tuple(map(int, content["missing"])),
        )


@dataclass(frozen=True)
class PreparedCase:
    """A case cropped, in planned axis order, normalised, at the planned spacing."""

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
    box, order = nonzero_box(image), configuration.axis_order
    cropped = image[(slice(None), *box)].transpose(0, *(axis + 1 for axis in order))
    planned_mm = tuple(float(spacing_mm[axis]) for axis in order)
    target_mm = (*planned_mm[: 3 - len(configuration.spacing_mm)], *configuration.spacing_mm)
    properties = CaseProperties(
        name=name,
        canonical_shape=triple(image.shape[1:]),
        canonical_spacing_mm=triple(map(float, spacing_mm)),
        box=triple((int(span.start), int(span.stop)) for span in box),
        axis_order=order,
        prepared_spacing_mm=triple(target_mm),
        missing=missing,
    )
    way = Regrid(properties.prepared_shape, planned_mm, target_mm, configuration.resampling)
    mask = nonzero_mask(cropped) if configuration.use_mask else None
    # before resampling, so that the mask still fits the image exactly
    scaled = normalise(cropped, configuration.normalisation, intensities, mask)
    scaled[list(missing)] = 0
    prepared = resample_image(scaled, way)
    if label is not None:
        label = resample_label(np.ascontiguousarray(label[box].transpose(order)), way)
    return PreparedCase(prepared, label, properties)
