"""What is read of a case for a patch: the channels that enter the network, the label, the sizes of components.

The spatial transform is drawn first and only the voxels that it needs are read (about two samples in three are plain
crops). What enters beside the patch itself, its neighbouring slices (2.5d) or the previous stage's segmentation
(cascade), goes through the same transform. Channels that may be missing each bring one more, 1 where they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from scipy import ndimage

from autospine.data.geometry import triple
from autospine.data.structure import IGNORED, in_a_class
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.previous import one_hot
from autospine.preprocessing.store import StoredCase
from autospine.training.sampler import Voxel, planned_patch
from autospine.training.spatial import SpatialTransform

Previous = npt.NDArray[np.uint8]
"""(a0, a1, a2) class indices of a case as the previous stage has segmented it."""


@dataclass(frozen=True)
class Patch:
    """One sample, on three axes."""

    image: npt.NDArray[np.float32]
    """(in_channels, *patch); outside the case 0."""
    label: npt.NDArray[np.uint8]
    """(*patch) class indices; outside the case `IGNORED`."""
    sizes: npt.NDArray[np.float32] | None
    """(*patch) of the component that a voxel lies in, where the loss goes by them; 0 where unknown."""


class PatchReader:
    """Reads of a case what enters the network of a card and what its loss takes."""

    def __init__(self, card: ModelCard) -> None:
        """Of `card`."""
        self._patch, self._neighbours = planned_patch(card.configuration), card.configuration.neighbours
        self._entering, self._classes = card.entering, card.data.classes
        self._sized = card.configuration.loss.largest_size is not None

    def read(
        self,
        case: StoredCase,
        previous: Previous | None,
        start: Voxel,
        transform: SpatialTransform | None,
        there: npt.NDArray[np.bool_],
    ) -> Patch:
        """The patch at `start`, through `transform`; `there` says which image channels it shows."""
        patch, entering = self._patch, self._entering
        if transform is None:
            box = [[int(low), int(low) + size] for low, size in zip(start, patch, strict=True)]
        else:
            box = transform.source_box(start, patch)
        image = np.empty((entering.count, *patch), np.float32)
        image[entering.scan] = self._read_scan(case, box, transform)
        image[entering.presence] = there[list(entering.optional)].reshape(-1, 1, 1, 1)
        if previous is not None:
            earlier = crop_and_pad_nd(previous, box, 0)  # no class outside, as in the background
            earlier = earlier if transform is None else transform.apply_nearest(earlier, patch)
            image[entering.previous] = one_hot(earlier, self._classes)
        label = _read_label(case, box)
        label = label if transform is None else transform.apply_label(label, patch)
        return Patch(image, label, read_sizes(case, box, label, transform) if self._sized else None)

    def _read_scan(
        self, case: StoredCase, box: list[list[int]], transform: SpatialTransform | None
    ) -> npt.NDArray[np.float32]:
        """(scan, *patch): all image channels, in 2.5d slice by slice."""
        neighbours = self._neighbours
        image = crop_slices(case.image, box, neighbours) if neighbours else crop_and_pad_nd(case.image, box, 0)
        image = image.astype(np.float32)
        if transform is not None:
            image = transform.apply_image(image, self._patch)
        return image.swapaxes(0, 1).reshape(-1, *self._patch) if neighbours else image


def crop_slices(image: npt.NDArray[Any], box: list[list[int]], neighbours: int) -> npt.NDArray[Any]:
    """(C, 2 neighbours + 1, rows, columns) of `image` (C, a0, a1, a2): the slice `box[0][0]` and those on either side.

    Beyond the ends of the case its last slice is repeated: a blank one, which no scanner makes, would be learnt as
    anatomy.
    """
    middle, last = box[0][0], image.shape[1] - 1
    wanted = np.clip(np.arange(middle - neighbours, middle + neighbours + 1), 0, last)
    read = crop_and_pad_nd(image, [[int(wanted[0]), int(wanted[-1]) + 1], *box[1:]], 0)
    slices: npt.NDArray[Any] = read[:, wanted - wanted[0]]
    return slices


def _read_label(case: StoredCase, box: list[list[int]]) -> npt.NDArray[np.uint8]:
    label: npt.NDArray[np.uint8] = crop_and_pad_nd(case.label, box, IGNORED)
    if any(high <= 0 or low >= size for (low, high), size in zip(box, case.label.shape, strict=True)):
        label[:] = IGNORED  # a box beside the case comes back as zeros
    return label


def read_sizes(
    case: StoredCase, box: list[list[int]], label: npt.NDArray[np.uint8], transform: SpatialTransform | None
) -> npt.NDArray[np.float32]:
    """(*patch) sizes of the components that a patch's `label` shows, which was read from `box` through `transform`."""
    if case.sizes is None:
        raise ValueError(f"case {case.name!r} was prepared without its components")
    sizes: npt.NDArray[np.float32] = crop_and_pad_nd(case.sizes, box, 0)
    if transform is None:
        return sizes
    sizes = transform.apply_nearest(sizes, triple(label.shape))
    # classes are interpolated and end up to a voxel beyond their nearest
    beyond = in_a_class(label) & (sizes == 0)
    if beyond.any():
        sizes[beyond] = ndimage.maximum_filter(sizes, size=3)[beyond]
    return sizes
