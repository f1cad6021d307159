"""Batches of patches: a pure function of (seed, step), read from memory-mapped cases.

Because batch number `step` depends on nothing but the seed, a resumed training sees the batches that an
uninterrupted one would have seen, whatever the number of workers. The spatial transform is drawn first and
only the voxels that it needs are read (about two samples in three are plain crops).

    forced samples   the last third of a batch: centred on a random voxel of a random class of the case
    the others       uniformly inside the case
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from torch.utils.data import DataLoader, Dataset, Sampler

from autospine.planning.plan import Configuration
from autospine.preprocessing.store import Store, StoredCase
from autospine.training.augment import IntensityAugmentation, SpatialTransform, draw_transform, seeded
from autospine.training.workers import initialise_worker

IGNORE = -1
"""Value of target voxels that no loss counts (outside the case)."""

OUTSIDE = 255
"""Padding of stored labels on its way to `IGNORE`, which an unsigned byte cannot hold."""

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class PatchBatches(Dataset[Batch]):
    """Batch `step` of a training or validation: image (B, C, *patch) float32 and target (B, *patch) int64."""

    def __init__(self, store: Store, cases: tuple[str, ...], configuration: Configuration, *, augment: bool, seed: int):
        """Sample from `cases` of `store`; `augment` switches every random transform."""
        self._store = store
        self.cases = cases
        self._configuration = configuration
        self._patch = planned_patch(configuration)
        self._intensity = IntensityAugmentation(configuration) if augment else None
        self._seed = seed
        self._open: dict[str, StoredCase] = {}

    def __getitem__(self, step: int) -> Batch:
        """The batch of this step; the same for the same seed and step, always."""
        rng = np.random.default_rng((self._seed, step))
        size = self._configuration.batch
        forced_from = round(size * (1 - self._configuration.training.oversample_foreground))
        samples = [self._sample(rng, forced=index >= forced_from) for index in range(size)]
        images = np.stack([image for image, _ in samples])
        labels = np.stack([label for _, label in samples])
        if self._configuration.network.dimension == 2:
            images, labels = images[:, :, 0], labels[:, 0]
        if self._intensity is not None:
            with seeded(int(rng.integers(2**31))):
                images, labels = self._intensity(images, labels)
        return np.ascontiguousarray(images, np.float32), np.ascontiguousarray(labels, np.int64)

    def _sample(
        self, rng: np.random.Generator, *, forced: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
        """One patch: image (C, *patch) and label (*patch), three spatial axes."""
        name = self.cases[int(rng.integers(len(self.cases)))]
        if name not in self._open:
            self._open[name] = self._store.open(name)
        case = self._open[name]
        shape = np.array(case.label.shape)
        patch = np.array(self._patch)
        start = _uniform_start(rng, shape, patch)
        if forced and case.locations:
            classes = sorted(case.locations)
            voxels = case.locations[classes[int(rng.integers(len(classes)))]]
            centre = voxels[int(rng.integers(len(voxels)))]
            start = np.where(shape > patch, np.clip(centre - patch // 2, 0, np.maximum(shape - patch, 0)), start)
            if self._configuration.network.dimension == 2:
                start[0] = centre[0]
        transform = None
        if self._intensity is not None:
            transform = draw_transform(rng, self._configuration)
        return _read(case, start, self._patch, transform)


def planned_patch(configuration: Configuration) -> tuple[int, int, int]:
    """The patch on three axes: a 2D patch is one slice thick."""
    patch = configuration.patch
    return (1, patch[0], patch[1]) if len(patch) == 2 else (patch[0], patch[1], patch[2])


def _uniform_start(rng: np.random.Generator, shape: npt.NDArray[Any], patch: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """First voxel of a patch placed uniformly; a case smaller than the patch stands in its middle."""
    room = shape - patch
    start: npt.NDArray[np.int64] = np.where(room >= 0, rng.integers(0, np.maximum(room, 0) + 1), room // 2)
    return start


def _read(
    case: StoredCase, start: npt.NDArray[Any], patch: tuple[int, int, int], transform: SpatialTransform | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """The patch at `start`, through `transform`; voxels outside the case are 0 in the image, `IGNORE` in the label."""
    if transform is None:
        box = [[int(low), int(low) + size] for low, size in zip(start, patch, strict=True)]
    else:
        box = transform.source_box(start, patch)
    image = crop_and_pad_nd(case.image, box, 0).astype(np.float32)
    label = crop_and_pad_nd(case.label, box, OUTSIDE).astype(np.int16)
    label[label == OUTSIDE] = IGNORE
    if transform is None:
        return image, label
    return transform.apply_image(image, patch), transform.apply_label(label, patch, IGNORE)


class _Steps(Sampler[int]):
    """The step numbers from `first` on, without end."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        step = self._first
        while True:
            yield step
            step += 1


def batches_from(dataset: PatchBatches, first: int, workers: int, pin: bool) -> DataLoader[Batch]:
    """An endless loader of batches from step `first` on; `workers` processes build them ahead."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=_Steps(first),
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=initialise_worker,
        prefetch_factor=3 if workers else None,
    )
