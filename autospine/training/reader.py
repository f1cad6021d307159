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
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from torch import Tensor
from torch.nn import functional

from autospine.data.geometry import triple
from autospine.data.structure import IGNORED
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.store import StoredCase
from autospine.training.sampler import Voxel, planned_patch
from autospine.training.spatial import SpatialTransform

Previous = npt.NDArray[np.uint8]
"""(a0, a1, a2) class indices of a case as the previous stage has segmented it."""


@dataclass(frozen=True)
class Patch:
    """One sample, on three axes."""

    image: Tensor
    """(in_channels, *patch) float32; outside the case 0."""
    label: Tensor
    """(*patch) uint8 class indices; outside the case `IGNORED`."""
    sizes: Tensor | None
    """(*patch) float32 of the component that a voxel lies in, where the loss goes by them; 0 where unknown."""


@dataclass(frozen=True)
class Sample:
    """What was read of a case for one patch, before its transform: larger where that needs more."""

    scan: Tensor
    """(C, *box) float32, in 2.5d (C, slices, rows, columns); outside the case 0."""
    label: Tensor
    """(*box) uint8; outside the case `IGNORED`."""
    previous: Tensor | None
    """(*box) uint8 classes of the previous stage; outside the case 0."""
    sizes: Tensor | None
    """(*box) float32 of components."""
    transform: SpatialTransform | None
    there: tuple[bool, ...]
    """Which image channels are shown."""


class PatchReader:
    """Reads of a case what enters the network of a card and what its loss takes, and makes patches of it."""

    def __init__(self, card: ModelCard) -> None:
        """Of `card`."""
        self._patch, self._neighbours = planned_patch(card.configuration), card.configuration.neighbours
        self._entering = card.entering
        self._values = torch.arange(1, card.data.classes + 1).view(-1, 1, 1, 1)
        self._sized = card.configuration.loss.largest_size is not None

    def read(
        self,
        case: StoredCase,
        previous: Previous | None,
        start: Voxel,
        transform: SpatialTransform | None,
        there: npt.NDArray[np.bool_],
    ) -> Sample:
        """What the patch at `start` needs for `transform`; `there` says which image channels it shows."""
        if transform is None:
            box = [[int(low), int(low) + size] for low, size in zip(start, self._patch, strict=True)]
        else:
            box = transform.source_box(start, self._patch)
        neighbours = self._neighbours
        scan = crop_slices(case.image, box, neighbours) if neighbours else crop_and_pad_nd(case.image, box, 0)
        # no class outside, as in the background
        earlier = None if previous is None else _own(crop_and_pad_nd(previous, box, 0), np.uint8)
        label = _own(_read_label(case, box), np.uint8)
        sizes = _own(_read_sizes(case, box), np.float32) if self._sized else None
        return Sample(_own(scan, np.float32), label, earlier, sizes, transform, tuple(there.tolist()))

    def cut(self, sample: Sample) -> Patch:
        """The patch of a sample, on its device; its tensors may be changed in place."""
        patch, entering, transform = self._patch, self._entering, sample.transform
        scan, previous = sample.scan, sample.previous
        if transform is None:
            label = sample.label.clone()
        else:
            scan, label = transform.apply_image(scan, patch), transform.apply_label(sample.label, patch)
            previous = None if previous is None else transform.apply_nearest(previous, patch)
        image = scan.new_empty((entering.count, *patch))
        image[entering.scan] = scan.transpose(0, 1).reshape(-1, *patch) if self._neighbours else scan
        shown = torch.tensor([sample.there[channel] for channel in entering.optional], dtype=torch.float32)
        image[entering.presence] = shown.to(image.device).view(-1, 1, 1, 1)
        if previous is not None:
            image[entering.previous] = (previous == self._values.to(previous.device)).float()
        sizes = None if sample.sizes is None else cut_sizes(sample.sizes, label, transform)
        return Patch(image, label, sizes)


def _own(array: npt.NDArray[Any], kind: Any) -> Tensor:
    """A tensor with memory of its own: what was read may be of a file that cannot be written."""
    return torch.from_numpy(np.array(array, kind, order="C"))


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


def _read_sizes(case: StoredCase, box: list[list[int]]) -> npt.NDArray[np.float32]:
    if case.sizes is None:
        raise ValueError(f"case {case.name!r} was prepared without its components")
    sizes: npt.NDArray[np.float32] = crop_and_pad_nd(case.sizes, box, 0)
    return sizes


def cut_sizes(sizes: Tensor, label: Tensor, transform: SpatialTransform | None) -> Tensor:
    """(*patch) sizes of the components that a patch's `label` shows, of those (*box) that were read for it."""
    if transform is None:
        return sizes
    found = transform.apply_nearest(sizes, triple(label.shape))
    # classes are interpolated and end up to a voxel beyond their nearest
    beyond = (label > 0) & (label != IGNORED) & (found == 0)
    if beyond.any():
        found[beyond] = functional.max_pool3d(found[None], 3, stride=1, padding=1)[0][beyond]
    return found
