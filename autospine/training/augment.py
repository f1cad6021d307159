"""Random transforms of training patches, with the reference's probabilities.

Rotation and zoom are one affine map, drawn before anything is read. Intensities and mirroring are
batchgenerators' transforms, which draw from the global generators: `seeded` makes them a function of the
step and leaves the generators as it found them.

    rotation 0.2, zoom 0.2, noise 0.1, blur 0.2, brightness 0.15, contrast 0.15, low resolution 0.25,
    gamma inverted 0.1, gamma 0.3, mirroring 0.5 for each axis that the plan allows

The slices of a 2.5d sample are one acquisition: coil gain, contrast, point spread and matrix size are the scanner's
and the same in all of them, so brightness, contrast, gamma, blur and low resolution are drawn once per image channel,
their statistics taken over its slices, and nothing is mixed across slices, which are excited one by one. Noise has one
level and is drawn anew in every voxel, as it is in the receiver.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from batchgenerators.augmentations.noise_augmentations import augment_gaussian_blur
from batchgenerators.augmentations.resample_augmentations import augment_linear_downsampling_scipy
from batchgenerators.transforms.abstract_transforms import Compose
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)
from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform
from scipy import ndimage

from autospine.data.structure import IGNORED
from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration

P_ROTATION = 0.2
P_SCALING = 0.2
P_BLUR, BLUR_SIGMA = 0.2, (0.5, 1.0)
P_LOW_RESOLUTION, LOW_RESOLUTION_ZOOM = 0.25, (0.5, 1.0)
P_MIRROR = 0.5
P_PER_CHANNEL = 0.5
"""Of blur and low resolution, once a sample has been chosen for them."""
SPLINE_MARGIN = 3
"""Voxels read around what an affine map needs, so that the cubic spline's support is real data."""

Real = TypeVar("Real", np.float32, np.uint8)


@dataclass(frozen=True)
class SpatialTransform:
    """Rotation and zoom about the patch centre: source = centre + matrix @ (target - centre)."""

    matrix: npt.NDArray[np.float64]
    """(3, 3), voxels to voxels."""
    in_plane: bool
    """The first axis is left alone: slices are interpolated one by one."""

    def source_box(self, start: npt.NDArray[Any], patch: tuple[int, int, int]) -> list[list[int]]:
        """Bounds [low, high] per axis of the voxels that the patch at `start` needs."""
        half = (np.array(patch) - 1) / 2
        centre = np.asarray(start) + half
        reach = np.abs(self.matrix) @ half + SPLINE_MARGIN
        if self.in_plane:
            reach[0] = half[0]
        low = np.floor(centre - reach).astype(int)
        high = np.ceil(centre + reach).astype(int) + 1
        # the box stays centred on the patch, so that the map below needs no offset of its own
        return [list(bounds) for bounds in zip(low.tolist(), high.tolist(), strict=True)]

    def apply_image(self, image: npt.NDArray[np.float32], patch: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """(C, *box) -> (C, *patch), cubic; 0 outside."""
        return np.stack([self._warp(channel, patch, order=3) for channel in image])

    def apply_label(self, label: npt.NDArray[np.uint8], patch: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """(*box) -> (*patch): each class interpolated linearly, kept where it reaches 0.5; `IGNORED` outside."""
        out = np.zeros(patch, np.uint8)
        # what is not known comes first, as a class goes over it where both reach 0.5
        for value in sorted(np.unique(label).tolist(), key=lambda held: held != IGNORED):
            if value != 0:
                out[self._warp((label == value).astype(np.float32), patch, order=1) >= 0.5] = value
        covered = self._warp(np.ones(label.shape, np.float32), patch, order=1) >= 0.5
        out[~covered] = IGNORED
        return out

    def apply_nearest(self, values: npt.NDArray[Real], patch: tuple[int, int, int]) -> npt.NDArray[Real]:
        """(*box) -> (*patch): the value (a class, a size) of the nearest voxel, 0 outside."""
        return self._warp(values, patch, order=0)

    def _warp(self, array: npt.NDArray[Real], patch: tuple[int, int, int], order: int) -> npt.NDArray[Real]:
        half_out = (np.array(patch) - 1) / 2
        half_in = (np.array(array.shape) - 1) / 2
        out: npt.NDArray[Real]
        if not self.in_plane:
            offset = half_in - self.matrix @ half_out
            out = ndimage.affine_transform(array, self.matrix, offset, patch, order=order, mode="constant", cval=0.0)
            return out
        plane = self.matrix[1:, 1:]
        offset = half_in[1:] - plane @ half_out[1:]
        return np.stack(
            [
                ndimage.affine_transform(s, plane, offset, patch[1:], order=order, mode="constant", cval=0.0)
                for s in array
            ]
        )


def draw_transform(rng: np.random.Generator, configuration: Configuration) -> SpatialTransform | None:
    """A random rotation and zoom within the plan's limits; None for the identity (0.64 of the draws)."""
    training = configuration.training
    rotate = rng.random() < P_ROTATION
    scale = rng.random() < P_SCALING
    if not rotate and not scale:
        return None
    in_plane = configuration.network.dimension == 2 or training.rotate_in_plane
    matrix = np.eye(3)
    if rotate:
        limit = np.deg2rad(training.rotation_deg)
        for axis in (0,) if in_plane else (0, 1, 2):
            matrix = matrix @ _rotation(axis, float(rng.uniform(-limit, limit)))
    if scale:
        low, high = training.scale_range
        # half the draws shrink and half enlarge, as in the reference, whatever the range's asymmetry
        zoom = rng.uniform(low, 1.0) if rng.random() < 0.5 and low < 1 else rng.uniform(max(low, 1.0), high)
        factors = np.array([1.0 if in_plane else zoom, zoom, zoom])
        matrix = matrix @ np.diag(factors)
    return SpatialTransform(matrix, in_plane)


def _rotation(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Rotation about array axis `axis` by `angle` radians, (3, 3)."""
    matrix = np.eye(3)
    first, second = (other for other in range(3) if other != axis)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


class IntensityAugmentation:
    """Noise, blur, brightness, contrast, low resolution, gamma and mirroring of a whole batch."""

    def __init__(self, card: ModelCard, *, mirror_only: bool = False) -> None:
        """Build the transforms once; `mirror_only` leaves the intensities as they are."""
        configuration, training = card.configuration, card.configuration.training
        self._entering = card.entering
        # a coarse first axis has no resolution to lose
        ignored = (0,) if configuration.network.dimension == 3 and training.rotate_in_plane else None
        blur: Any = GaussianBlurTransform(
            BLUR_SIGMA, different_sigma_per_channel=True, p_per_sample=P_BLUR, p_per_channel=P_PER_CHANNEL
        )
        coarsen: Any = SimulateLowResolutionTransform(
            LOW_RESOLUTION_ZOOM,
            per_channel=True,
            p_per_channel=P_PER_CHANNEL,
            order_downsample=0,
            order_upsample=3,
            p_per_sample=P_LOW_RESOLUTION,
            ignore_axes=ignored,
        )
        if self._entering.slices > 1:
            # the same functions, for which the slices of an image channel are channels that share one draw
            shared = {"per_channel": False, "p_per_channel": 1}
            blur = _PerStack(P_BLUR, partial(augment_gaussian_blur, sigma_range=BLUR_SIGMA, **shared))
            zoom = {"zoom_range": LOW_RESOLUTION_ZOOM, "order_downsample": 0, "order_upsample": 3}
            coarsen = _PerStack(P_LOW_RESOLUTION, partial(augment_linear_downsampling_scipy, **zoom, **shared))
        changes: list[Any] = [
            GaussianNoiseTransform(p_per_sample=0.1),
            blur,
            BrightnessMultiplicativeTransform((0.75, 1.25), p_per_sample=0.15),
            ContrastAugmentationTransform((0.75, 1.25), p_per_sample=0.15),
            coarsen,
            GammaTransform((0.7, 1.5), invert_image=True, per_channel=True, retain_stats=True, p_per_sample=0.1),
            GammaTransform((0.7, 1.5), invert_image=False, per_channel=True, retain_stats=True, p_per_sample=0.3),
        ]
        self._intensity = Compose([] if mirror_only else changes)
        plain = tuple(axis for axis in training.mirror_axes if axis != card.sides_axis)
        self._mirror = MirrorTransform(plain) if plain else None
        self._sides = None if card.sides_axis is None else _MirrorSides(card, card.sides_axis)

    def __call__(
        self, images: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Augmented images (B, in_channels, *patch) and labels (B, *patch), changed in place.

        The one-hot channels of a previous stage are mirrored with the rest and otherwise left alone; like the labels,
        those of sides swap. Further channels are mirrored alone.
        """
        entering = self._entering
        scans = images[:, entering.scan]
        if entering.slices == 1:
            self._intensity(data=scans)
        else:
            # (B, S * C, ...) -> (B, C, S, ...): what is drawn per channel is then drawn once for its slices
            stacks = scans.reshape(len(scans), entering.slices, entering.images, *scans.shape[2:]).swapaxes(1, 2)
            scans[...] = self._intensity(data=stacks)["data"].swapaxes(1, 2).reshape(scans.shape)
        if self._mirror is not None:
            self._mirror(data=images, seg=labels[:, None])
        if self._sides is not None:
            self._sides(images, labels)
        return images, labels


class _PerStack:
    """A transform of all slices (S, rows, columns) of an image channel: drawn per sample, then per image channel."""

    def __init__(self, p_per_sample: float, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]):
        """`change` treats the slices of one stack alike."""
        self._p_per_sample = p_per_sample
        self._change = change

    def __call__(self, **batch: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """The batch with its `data` (B, C, S, rows, columns) changed in place."""
        for sample in batch["data"]:
            if np.random.uniform() < self._p_per_sample:
                for stack in sample:
                    if np.random.uniform() < P_PER_CHANNEL:
                        stack[...] = self._change(stack)
        return batch


class _MirrorSides:
    """Mirrors half of the samples from right to left, and swaps their sides."""

    def __init__(self, card: ModelCard, axis: int) -> None:
        self._axis = axis
        # whatever is no class stays what it is
        self._values = np.array([*card.data.swapped, *range(card.data.classes + 1, IGNORED + 1)], np.uint8)
        self._channels = card.entering.mirrored

    def __call__(self, images: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> None:
        """Change images (B, in_channels, *patch), or with further channels, and labels (B, *patch) in place."""
        channels = [*self._channels, *range(len(self._channels), images.shape[1])]
        for image, label in zip(images, labels, strict=True):
            if np.random.uniform() < P_MIRROR:
                image[...] = np.flip(image, 1 + self._axis)[channels]
                label[...] = self._values[np.flip(label, self._axis)]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that batchgenerators draws from, and put them back afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
