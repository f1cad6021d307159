"""Batches of patches: a pure function of (seed, step), read from memory-mapped cases.

Because batch number `step` depends on nothing but the seed, a resumed training sees the batches that an
uninterrupted one would have seen, whatever the number of workers. The spatial transform is drawn first and
only the voxels that it needs are read (about two samples in three are plain crops).

    forced samples   the last of a batch, as many as the plan's share rounds to (that share of the batches of one):
                     centred, give or take the plan's jitter, on a random voxel of a random class of the case, or of
                     a random connected component of that class where the plan goes by components
    the others       uniformly inside the case, or beside it by no more than the plan's shift

What enters the network beside the patch itself: its neighbouring slices (2.5d), or the previous stage's segmentation
as one channel per class (cascade). Both go through the patch's own spatial transform. Channels that may be missing each
bring one more, 1 where they are there; some are left out at random, so that the network meets every subset.

Where the loss goes by components, the size of each voxel's component comes as a third array. It travels as a last
channel of the image, so that it is mirrored with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from scipy import ndimage
from torch.utils.data import Dataset

from autospine.data.structure import IGNORED, in_a_class
from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.previous import one_hot
from autospine.preprocessing.store import StoredCase
from autospine.training.augment import IntensityAugmentation, SpatialTransform, draw_transform, seeded
from autospine.training.cascade import disturb

MOST_OPEN = 48
"""Cases that stay open: each takes up to five of the files that a process may have open, often 1024 in all, and a
training has its validation cases open beside those that it trains on."""

Images = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]
Batch = tuple[Images, Targets] | tuple[Images, Targets, npt.NDArray[np.float32]]
"""Image, target, and sizes where the loss goes by components."""


class CaseSource(Protocol):
    """Where prepared cases come from; a `Store` is one."""

    def open(self, name: str) -> StoredCase:
        """The case called `name`."""


class PreviousSource(Protocol):
    """Where a previous stage's segmentations come from; a `PreviousStage` is one."""

    def open(self, name: str, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Class indices of `shape` of the case called `name`."""


class PatchBatches(Dataset[Batch]):
    """Batch `step` of a training or validation: image (B, in_channels, *patch) float32, target (B, *patch) int64.

    Where the loss goes by components, third the sizes (B, *patch) float32: of the voxel's component, 0 where unknown.
    """

    def __init__(
        self,
        store: CaseSource,
        cases: tuple[str, ...],
        card: ModelCard,
        *,
        augment: bool,
        seed: int,
        previous: PreviousSource | None = None,
        intensity: bool = True,
    ):
        """Sample from `cases` of `store`; `augment` switches every random transform, `intensity` those of intensities.

        `previous` has the previous stage's segmentations of these cases, where the configuration takes them.
        """
        configuration = card.configuration
        if (previous is None) != (configuration.previous is None):
            raise ValueError(f"{configuration.name} takes {configuration.previous} as its previous stage")
        self._store = store
        self.cases = cases
        self._configuration, self._data, self._entering = configuration, card.data, card.entering
        self._patch = planned_patch(configuration)
        self._sized = configuration.loss.largest_size is not None
        self._intensity = IntensityAugmentation(card, mirror_only=not intensity) if augment else None
        self._seed = seed
        self._previous = previous
        self._open: dict[str, tuple[StoredCase, npt.NDArray[np.uint8] | None]] = {}

    def check_cases(self) -> None:
        """Open every case once, unread: what cannot be opened raises its `PlanError` before there is any work to lose.

        What was opened is let go, since each process maps the cases for itself.
        """
        for name in self.cases:
            self._open_case(name)

    def __getitem__(self, step: int) -> Batch:
        """The batch of this step; the same for the same seed and step, always."""
        rng = np.random.default_rng((self._seed, step))
        size, share = self._configuration.batch, self._configuration.training.oversample_foreground
        # a batch of one would be forced always or never
        free = round(size * (1 - share)) if size > 1 else int(rng.random() >= share)
        samples = [self._sample(rng, forced=index >= free) for index in range(size)]
        images = np.stack([image for image, _ in samples])
        labels = np.stack([label for _, label in samples])
        if self._configuration.network.dimension == 2:
            images, labels = images[:, :, 0], labels[:, 0]
        if self._intensity is not None:
            with seeded(int(rng.integers(2**31))):
                images, labels = self._intensity(images, labels)
        images, sizes = (images[:, :-1], images[:, -1:]) if self._sized else (images, images[:, :0])
        if self._intensity is not None:
            self._blank(images)
            if self._previous is not None:
                for sample in images:
                    disturb(sample[self._entering.previous], rng)
        image, target = np.ascontiguousarray(images, np.float32), np.ascontiguousarray(labels, np.int64)
        return (image, target, np.ascontiguousarray(sizes[:, 0], np.float32)) if self._sized else (image, target)

    def _sample(
        self, rng: np.random.Generator, *, forced: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """One patch: image (in_channels, *patch), with a last channel of sizes, and label (*patch); three axes."""
        case, previous = self._case(self.cases[int(rng.integers(len(self.cases)))])
        shape = np.array(case.label.shape)
        patch = np.array(self._patch)
        augmented = self._intensity is not None
        low, high = _starts(shape, patch, self._configuration.training.shift if augmented else 0.0)
        start = rng.integers(low, high + 1)
        if forced and case.locations:
            classes = sorted(case.locations)
            value = classes[int(rng.integers(len(classes)))]
            voxels = case.locations[value]
            if self._configuration.training.foreground_unit == "component":
                component = int(rng.integers(len(case.offsets[value]) - 1))
                first, end = case.offsets[value][component : component + 2]
                voxels = voxels[first:end]
            centre = voxels[int(rng.integers(len(voxels)))]
            middle = patch // 2 + self._jitter(rng)
            start = np.where(shape > patch, np.clip(centre - middle, low, high), start)
            start = np.clip(start, centre - patch + 1, centre)  # it holds its voxel, and in 2D is the voxel's slice
        transform = None
        if self._intensity is not None:
            transform = draw_transform(rng, self._configuration)
        image, label = self._read(case, previous, start, transform)
        optional = list(self._entering.optional)
        if optional:
            there = self._there(case.properties.missing, rng)
            scans, flags = self._entering.scan.stop, np.ones((len(optional), *image.shape[1:]), np.float32)
            flags *= there[optional].reshape(-1, 1, 1, 1)
            image = np.concatenate((image[:scans], flags, image[scans:]))
        return image, label

    def _there(self, missing: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Which image channels a sample shows: those of the case, in training without some that may be missing."""
        presence = self._data.presence
        held = np.array([channel not in missing for channel in range(self._entering.images)])
        if presence is None or self._intensity is None:
            return held
        kept = held.copy()
        for channel in presence.channels:
            kept[channel] &= rng.random() >= presence.dropout
        if not kept.any():  # of nothing there is nothing to learn
            kept[int(rng.choice(np.flatnonzero(held)))] = True
        return kept

    def _blank(self, images: npt.NDArray[np.float32]) -> None:
        """Set to 0, in place, what a batch (B, in_channels, *patch) does not show: augmentation has left its traces."""
        entering = self._entering
        for place, channel in enumerate(entering.optional, entering.presence.start):
            for image in images:
                if not image[place].any():
                    image[entering.places(channel)] = 0

    def _jitter(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """How far from the middle of a forced patch its voxel lies, in voxels.

        Where the patch is far smaller than the image and the class is always in its middle, a network learns to look
        for it there alone, and misses it in a tile of the sliding window that has it at its side.
        """
        share = self._configuration.training.foreground_jitter
        if share == 0:
            return np.zeros(3, np.int64)
        reach = share * (np.array(self._patch) - 1) / 2
        return np.rint(rng.uniform(-reach, reach)).astype(np.int64)

    def _case(self, name: str) -> tuple[StoredCase, npt.NDArray[np.uint8] | None]:
        """The prepared case called `name` and its segmentation by the previous stage, of which some are kept open."""
        if name not in self._open:
            if len(self._open) >= MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[name] = self._open_case(name)
        return self._open[name]

    def _open_case(self, name: str) -> tuple[StoredCase, npt.NDArray[np.uint8] | None]:
        case = self._store.open(name)
        return case, None if self._previous is None else self._previous.open(name, case.label.shape)

    def _read(
        self,
        case: StoredCase,
        previous: npt.NDArray[np.uint8] | None,
        start: npt.NDArray[Any],
        transform: SpatialTransform | None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """The patch at `start`, through `transform`; outside the case it is 0 in the image, `IGNORED` in the label.

        The previous stage has no class there: 0, as in the background. Sizes of components are the last channel.
        """
        patch, neighbours = self._patch, self._configuration.neighbours
        if transform is None:
            box = [[int(low), int(low) + size] for low, size in zip(start, patch, strict=True)]
        else:
            box = transform.source_box(start, patch)
        image = crop_slices(case.image, box, neighbours) if neighbours else crop_and_pad_nd(case.image, box, 0)
        image = image.astype(np.float32)
        label = crop_and_pad_nd(case.label, box, IGNORED)
        if any(high <= 0 or low >= size for (low, high), size in zip(box, case.label.shape, strict=True)):
            label[:] = IGNORED  # a box beside the case comes back as zeros
        if transform is not None:
            image, label = transform.apply_image(image, patch), transform.apply_label(label, patch)
        if neighbours:
            image = image.swapaxes(0, 1).reshape(-1, *patch)
        if previous is not None:
            earlier = crop_and_pad_nd(previous, box, 0)
            if transform is not None:
                earlier = transform.apply_nearest(earlier, patch)
            image = np.concatenate((image, one_hot(earlier, self._data.classes)))
        if self._sized:
            image = np.concatenate((image, _patch_sizes(case, box, label, transform)[None]))
        return image, label


def _patch_sizes(
    case: StoredCase, box: list[list[int]], label: npt.NDArray[np.uint8], transform: SpatialTransform | None
) -> npt.NDArray[np.float32]:
    """(*patch) sizes of the components that a patch's `label` shows, which was read from `box` through `transform`."""
    if case.sizes is None:
        raise ValueError(f"case {case.name!r} was prepared without its components")
    sizes: npt.NDArray[np.float32] = crop_and_pad_nd(case.sizes, box, 0)
    if transform is None:
        return sizes
    sizes = transform.apply_nearest(sizes, (label.shape[0], label.shape[1], label.shape[2]))
    # classes are interpolated and end up to a voxel beyond their nearest
    beyond = in_a_class(label) & (sizes == 0)
    if beyond.any():
        sizes[beyond] = ndimage.maximum_filter(sizes, size=3)[beyond]
    return sizes


def planned_patch(configuration: Configuration) -> tuple[int, int, int]:
    """The patch on three axes: a 2D patch is one slice thick."""
    patch = configuration.patch
    return (1, patch[0], patch[1]) if len(patch) == 2 else (patch[0], patch[1], patch[2])


def crop_slices(image: npt.NDArray[Any], box: list[list[int]], neighbours: int) -> npt.NDArray[Any]:
    """(C, 2 neighbours + 1, rows, columns) of `image` (C, a0, a1, a2): the slice `box[0][0]` and those on either side.

    Beyond the ends of the case its last slice is repeated: a blank one would show the network an image that no scanner
    makes, which it would learn as anatomy, while a repeated one says that there is nothing more to see.
    """
    middle, last = box[0][0], image.shape[1] - 1
    wanted = np.clip(np.arange(middle - neighbours, middle + neighbours + 1), 0, last)
    read = crop_and_pad_nd(image, [[int(wanted[0]), int(wanted[-1]) + 1], *box[1:]], 0)
    slices: npt.NDArray[Any] = read[:, wanted - wanted[0]]
    return slices


def _starts(
    shape: npt.NDArray[Any], patch: npt.NDArray[Any], shift: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last voxel at which a patch may begin: within the case, or with a smaller case in its middle.

    Where a patch has less room than `shift` of its edge to either side, it may be off the case by the rest.
    """
    room = shape - patch
    slack = np.where(patch > 1, np.rint(shift * patch), 0)
    out = np.maximum(slack - np.maximum(room, 0), 0)
    low, high = np.where(room >= 0, 0, room // 2), np.where(room >= 0, room, room // 2)
    return (low - out).astype(np.int64), (high + out).astype(np.int64)
