"""Batches of patches: a pure function of (seed, step), read from memory-mapped cases.

A resumed training so sees the batches that an uninterrupted one would have seen, whatever the number of workers. There
are two halves, of which the second may run on another device:

    draw    what is on disk: of each sample its case, where in it the patch lies (`sampler`), how it will be turned
            (`spatial`), which channels and rows it shows; the voxels that this needs are read (`reader`)
    make    what is computed: patches are cut, their contrast and their intensities changed (`contrast`, `intensity`),
            they are mirrored (`mirror`), and the previous stage is disturbed (`cascade`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from autospine.machine.threads import one_thread
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.store import StoredCase
from autospine.training.cascade import disturb
from autospine.training.contrast import change_contrast
from autospine.training.intensity import IntensityAugmentation
from autospine.training.mirror import Mirroring
from autospine.training.narrow import Part
from autospine.training.reader import Patch, PatchReader, Previous, Sample
from autospine.training.sampler import LocationSampler, planned_patch
from autospine.training.spatial import draw_transform

MOST_OPEN = 48
"""Cases that stay open: each takes up to five of the files that a process may have open, often 1024 in all, and a
training has its validation cases open beside those that it trains on."""

Images = npt.NDArray[np.float32]
Batch = tuple[Images, npt.NDArray[np.int64]] | tuple[Images, npt.NDArray[np.int64], Images]


class CaseSource(Protocol):
    """Where prepared cases come from; a `Store` is one."""

    def open(self, name: str) -> StoredCase:
        """The case called `name`."""


class PreviousSource(Protocol):
    """Where a previous stage's segmentations come from; a `PreviousStage` is one."""

    def open(self, name: str, shape: Sequence[int]) -> Previous:
        """Class indices of `shape` of the case called `name`."""


@dataclass(frozen=True)
class DrawnSample:
    """A sample as it was read, and what is still to be done to it."""

    read: Sample
    part: Part | None
    """Rows that alone are shown."""
    first: int
    """The row of the case at which the patch begins, where a part is shown."""
    contrast: bool
    """Whether it gets another contrast."""


@dataclass(frozen=True)
class Drawn:
    """The first half of a batch: what was read for it."""

    samples: tuple[DrawnSample, ...]
    seed: int
    """Of what the second half draws."""


class PatchBatches(Dataset[Batch]):
    """Batch `step` of a training or validation: image (B, in_channels, *patch) float32, target (B, *patch) int64.

    Where the loss goes by components, third the sizes (B, *patch) float32 of the voxel's, 0 where unknown.
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
        """`augment` switches every random transform, `intensity` those of intensities.

        `previous` has the previous stage's segmentations of these cases, where the configuration takes them.
        """
        configuration = card.configuration
        if (previous is None) != (configuration.previous is None):
            raise ValueError(f"{configuration.name} takes {configuration.previous} as its previous stage")
        self.cases = cases
        self._card, self._seed = card, seed
        self._store, self._previous = store, previous
        self._sampler, self._reader = LocationSampler(configuration, shifted=augment), PatchReader(card)
        self._intensity = IntensityAugmentation(card) if augment and intensity else None
        self._mirror = Mirroring(card) if augment else None
        self._open: dict[str, tuple[StoredCase, Previous | None]] = {}

    def check_cases(self) -> None:
        """Open every case once and let go of it: what cannot be opened raises its `PlanError` before work is lost."""
        for name in self.cases:
            self._read(name)

    def __getitem__(self, step: int) -> Batch:
        """The batch of this step; the same for the same seed and step, always."""
        image, target, *sizes = (part.numpy() for part in self.make(self.draw(step)))
        return (image, target, sizes[0]) if sizes else (image, target)

    def draw(self, step: int) -> Drawn:
        """What is read from disk for the batch of this step."""
        rng = np.random.default_rng((self._seed, step))
        samples = tuple(self._draw_sample(rng, forced=forced) for forced in self._sampler.draw_forced(rng))
        return Drawn(samples, int(rng.integers(2**31)))

    @torch.no_grad()
    def make(self, drawn: Drawn) -> tuple[Tensor, ...]:
        """The batch of what was drawn, on the device where that is; `Batch` as tensors."""
        rng = np.random.default_rng(drawn.seed)
        with one_thread():  # sums are taken in one order, whoever makes the batch
            patches = [self._make_sample(sample, rng) for sample in drawn.samples]
            images, labels = (torch.stack([getattr(patch, part) for patch in patches]) for part in ("image", "label"))
            sized = [patch.sizes for patch in patches if patch.sizes is not None]
            sizes = [torch.stack(sized)] if sized else []
            if self._card.configuration.network.dimension == 2:
                images, labels, sizes = images[:, :, 0], labels[:, 0], [held[:, 0] for held in sizes]
            if self._mirror is not None:
                if self._intensity is not None:
                    self._intensity(images, rng)
                self._mirror(rng, images, labels, *sizes)
                self._blank(images)
                if self._previous is not None:
                    for image in images:
                        channels = image[self._card.entering.previous]
                        disturb(held := channels.cpu().numpy(), rng)
                        channels.copy_(torch.from_numpy(held))
            return (images, labels.long(), *sizes)

    def _draw_sample(self, rng: np.random.Generator, *, forced: bool) -> DrawnSample:
        """One patch of one case."""
        configuration = self._card.configuration
        case, previous = self._case(self.cases[int(rng.integers(len(self.cases)))])
        start, part = self._sampler.draw_start(rng, case, forced=forced), self._draw_part(rng, case)
        if part is not None:
            start = part.place(start, planned_patch(configuration)[part.axis], rng)
        transform = None if self._mirror is None else draw_transform(rng, configuration)
        read = self._reader.read(case, previous, start, transform, self._draw_there(case.properties.missing, rng))
        contrast = self._intensity is not None and _drawn(rng, configuration.training.random_contrast)
        first = 0 if part is None else int(start[part.axis])
        return DrawnSample(read, part, first, contrast)

    def _make_sample(self, drawn: DrawnSample, rng: np.random.Generator) -> Patch:
        patch, entering = self._reader.cut(drawn.read), self._card.entering
        if drawn.part is not None:
            drawn.part.hide(patch.image[entering.scan], patch.label, drawn.first)
        if drawn.contrast:
            change_contrast(patch.image[entering.scan], patch.label, rng, entering.slices)
        return patch

    def _draw_part(self, rng: np.random.Generator, case: StoredCase) -> Part | None:
        """The part of the case that a sample shows; None: all of it."""
        configuration, levels = self._card.configuration, self._card.data.levels
        if self._mirror is None or levels is None or not _drawn(rng, configuration.training.narrow_view):
            return None
        return Part.draw(rng, case, configuration.axis_order.index(levels.axis))

    def _draw_there(self, missing: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Which image channels a sample shows: of those of the case every subset that may be, in training."""
        presence = self._card.data.presence
        held = np.array([channel not in missing for channel in range(self._card.entering.images)])
        if presence is None or self._mirror is None:
            return held
        kept = held.copy()
        for channel in presence.channels:
            kept[channel] &= rng.random() >= presence.dropout
        if not kept.any():  # of nothing there is nothing to learn
            kept[int(rng.choice(np.flatnonzero(held)))] = True
        return kept

    def _blank(self, images: Tensor) -> None:
        """Set to 0, in place, what a batch (B, in_channels, *patch) does not show: augmentation has left its traces."""
        entering = self._card.entering
        for place, channel in enumerate(entering.optional, start=entering.presence.start):
            for image in images:
                if not image[place].any():
                    image[entering.places(channel)] = 0

    def _case(self, name: str) -> tuple[StoredCase, Previous | None]:
        """The prepared case called `name` and its segmentation by the previous stage, of which some are kept open."""
        if name not in self._open:
            if len(self._open) >= MOST_OPEN:
                del self._open[next(iter(self._open))]
            self._open[name] = self._read(name)
        return self._open[name]

    def _read(self, name: str) -> tuple[StoredCase, Previous | None]:
        case = self._store.open(name)
        return case, None if self._previous is None else self._previous.open(name, case.label.shape)


def _drawn(rng: np.random.Generator, share: float) -> bool:
    """True in a `share` of the cases; nothing is drawn where that is 0, so that other draws stay what they were."""
    return share > 0 and rng.random() < share
