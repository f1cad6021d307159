"""What a predictor says of an image: labels, and what was asked for beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt

from autospine.data.geometry import Volume, same_grid
from autospine.data.statistics import measure_structures
from autospine.errors import DataError
from autospine.inference.column import FoundVertebra
from autospine.inference.images import AS_FILES, Given
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.promised import Promised

if TYPE_CHECKING:
    from autospine.inference.probabilities import Probabilities


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside labels."""

    probabilities: Path | Literal[True] | None = None
    """Of each class in each voxel: into a `.b2nd` file of this path, or compressed in memory where it is True."""
    uncertainty: bool = False
    """How far folds and mirrorings disagree in each voxel."""
    evidence: bool = False
    """What the case says of its segmentation, and where the model has a promise, what that promises of it."""
    instances: bool = False
    """Each vertebra by its number from below."""


@dataclass(frozen=True)
class Segmentation:
    """An image, segmented: all of it on the image's own grid."""

    labels: Volume
    """(1, Z, Y, X), values of the training set, 0 for background."""
    names: Mapping[int, str]
    """Label value -> name of the structure, without background."""
    structures: Mapping[str, tuple[int, ...]]
    """Name of what is segmented -> the label values that it is made of; a region may be of several."""
    probabilities: Probabilities | None = None
    uncertainty: Volume | None = None
    """(1, Z, Y, X) float32, from 0, where all agree, to 1; where it was asked for."""
    evidence: Evidence | None = None
    """What the prediction says of itself; where it was asked for."""
    promise: Promised | None = None
    """What the model promises of it; where evidence was asked for and the model has a promise."""
    instances: Volume | None = None
    """(1, Z, Y, X) uint16: the vertebrae, from below 1, 2 and on; where they were asked for."""
    column: tuple[FoundVertebra, ...] = ()
    """The vertebrae, from below, of a model whose labels are the levels of a column."""
    given: Given = AS_FILES
    """How the axes of the image that was given lie to those of `labels`."""

    @property
    def array(self) -> npt.NDArray[Any]:
        """The labels in the axes of the image that was given: of the same shape, without channels."""
        return self.as_given(self.labels)

    def as_given(self, volume: Volume) -> npt.NDArray[Any]:
        """What lies on the grid of the labels, (1, Z, Y, X), in the axes of the image that was given."""
        return self.given.back(volume.array[0])

    @cached_property
    def volumes_mm3(self) -> dict[str, float]:
        """Volume of each structure in mm3, 0 where there is none of it; in a 2D image its area in mm2."""
        return {one.structure: one.volume_mm3 for one in measure_structures(self.labels, self.structures)}

    def mean_intensities(self, image: Volume | npt.NDArray[Any], channel: int = 0) -> dict[str, float]:
        """Mean of a `channel` (from 0) of the image over each structure, in the image's unit; NaN where there is none.

        Raises:
            DataError: the image is not on the grid of the labels, or lacks the channel.
        """
        array = image.array if isinstance(image, Volume) else self.given.channels_of(image)
        differs = same_grid(image.geometry, self.labels.geometry) if isinstance(image, Volume) else None
        if differs is None and array.shape[1:] != self.labels.array.shape[1:]:
            differs = f"an array of {array.shape[1:]} voxels for labels of {self.labels.array.shape[1:]}"
        if differs is not None:
            raise DataError("image", differs, "the image that was segmented")
        if not 0 <= channel < len(array):
            raise DataError("image", f"no channel {channel}", f"0 to {len(array) - 1}")
        shown = Volume(array[channel : channel + 1], self.labels.geometry)
        means = {one.structure: one.means[0] for one in measure_structures(self.labels, self.structures, shown)}
        return {name: float("nan") if mean is None else mean for name, mean in means.items()}
