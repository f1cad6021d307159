"""Random intensities of training patches, with the reference's probabilities.

They are batchgenerators' transforms, which draw from the global generators: `seeded` makes them a function of the step
and leaves the generators as it found them.

    noise 0.1, blur 0.2, brightness 0.15, contrast 0.15, low resolution 0.25, gamma inverted 0.1, gamma 0.3

The slices of a 2.5d sample are one acquisition: coil gain, contrast, point spread and matrix size are the scanner's
and the same in all of them, so brightness, contrast, gamma, blur and low resolution are drawn once per image channel,
their statistics taken over its slices, and nothing is mixed across slices, which are excited one by one. Noise has one
level and is drawn anew in every voxel, as it is in the receiver.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

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

from autospine.planning.document.model_card import ModelCard

P_BLUR, BLUR_SIGMA = 0.2, (0.5, 1.0)
P_LOW_RESOLUTION, LOW_RESOLUTION_ZOOM = 0.25, (0.5, 1.0)
P_PER_CHANNEL = 0.5
"""Of blur and low resolution, once a sample has been chosen for them."""


class IntensityAugmentation:
    """Noise, blur, brightness, contrast, low resolution and gamma of a whole batch."""

    def __init__(self, card: ModelCard) -> None:
        """Build the transforms once."""
        configuration, self._entering = card.configuration, card.entering
        # a coarse first axis has no resolution to lose
        ignored = (0,) if configuration.network.dimension == 3 and configuration.training.rotate_in_plane else None
        zoom = {"zoom_range": LOW_RESOLUTION_ZOOM, "order_downsample": 0, "order_upsample": 3}
        each = {"per_channel": True, "p_per_channel": P_PER_CHANNEL, "ignore_axes": ignored}
        coarsen: Any = SimulateLowResolutionTransform(p_per_sample=P_LOW_RESOLUTION, **zoom, **each)
        blur: Any = GaussianBlurTransform(
            BLUR_SIGMA, different_sigma_per_channel=True, p_per_sample=P_BLUR, p_per_channel=P_PER_CHANNEL
        )
        if self._entering.slices > 1:
            # the same functions, for which the slices of an image channel are channels that share one draw
            shared = {"per_channel": False, "p_per_channel": 1}
            blur = _PerStack(P_BLUR, partial(augment_gaussian_blur, sigma_range=BLUR_SIGMA, **shared))
            coarsen = _PerStack(P_LOW_RESOLUTION, partial(augment_linear_downsampling_scipy, **zoom, **shared))
        self._changes = Compose(
            [
                GaussianNoiseTransform(p_per_sample=0.1),
                blur,
                BrightnessMultiplicativeTransform((0.75, 1.25), p_per_sample=0.15),
                ContrastAugmentationTransform((0.75, 1.25), p_per_sample=0.15),
                coarsen,
                GammaTransform((0.7, 1.5), invert_image=True, per_channel=True, retain_stats=True, p_per_sample=0.1),
                GammaTransform((0.7, 1.5), invert_image=False, per_channel=True, retain_stats=True, p_per_sample=0.3),
            ]
        )

    def __call__(self, images: npt.NDArray[np.float32]) -> None:
        """Change the scans of images (B, in_channels, *patch), in place."""
        entering = self._entering
        scans = images[:, entering.scan]
        if entering.slices == 1:
            self._changes(data=scans)
            return
        # (B, S * C, ...) -> (B, C, S, ...): what is drawn per channel is then drawn once for its slices
        stacks = scans.reshape(len(scans), entering.slices, entering.images, *scans.shape[2:]).swapaxes(1, 2)
        scans[...] = self._changes(data=stacks)["data"].swapaxes(1, 2).reshape(scans.shape)


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
