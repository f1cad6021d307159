"""What the MSFF bottleneck is made of, from its size alone.

`networks.msff` builds it, `planning.estimate.memory` counts it.

Beside it stands its control: one plain convolution with as many weights, so that an ablation can tell what fusing
scales is worth from what more weights are worth.
"""

from __future__ import annotations

from math import prod

RATES = (1, 2, 4)
"""Dilation rates before they are limited to the bottleneck's size."""
MIN_BRANCH_CHANNELS = 8
BRANCH_SHARE = 4
"""A branch has this part of the bottleneck's channels."""


def branch_channels(channels: int) -> int:
    """Channels of each branch of a bottleneck of `channels`."""
    return max(MIN_BRANCH_CHANNELS, channels // BRANCH_SHARE)


def branch_kernel(shape: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Kernel of the dilated branches: 1 on axes of one voxel or where the stage's own kernel is 1, else 3."""
    return tuple(1 if size == 1 or width == 1 else 3 for size, width in zip(shape, kernel, strict=True))


def branch_rates(shape: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Distinct dilation rates per axis, smallest first; no tap falls on nothing but padding.

    A rate is at most half its axis: shape (5, 7, 7) and kernel (3, 3, 3) give (1, 1, 1), (2, 2, 2), (2, 3, 3);
    shape (2, 3, 3) gives (1, 1, 1) alone.
    """
    widths = branch_kernel(shape, kernel)
    limited = (
        tuple(1 if width == 1 else min(rate, max(1, size // 2)) for size, width in zip(shape, widths, strict=True))
        for rate in RATES
    )
    return tuple(dict.fromkeys(limited))


def parameters(channels: int, shape: tuple[int, ...], kernel: tuple[int, ...]) -> int:
    """Weights, biases, scales and shifts of the module: 2.25 million at 320 channels in 3D, 2.23 at 512 in 2D."""
    width, rates = branch_channels(channels), branch_rates(shape, kernel)
    normed = prod(shape) > 1
    taps = prod(branch_kernel(shape, kernel))
    own = 3 if normed else 1  # of each feature map: a bias, and with a norm a scale and a shift
    branches = (channels + own) * width + len(rates) * (channels * taps + own) * width + (channels + 1) * width
    return branches + (2 + len(rates)) * width * channels + (2 if normed else 1) * channels


def control_channels(channels: int, shape: tuple[int, ...], kernel: tuple[int, ...]) -> int:
    """Feature maps between the two convolutions of the control, with which it has the module's `parameters`."""
    taps, normed = prod(branch_kernel(shape, kernel)), prod(shape) > 1
    fixed = (2 if normed else 1) * channels
    return max(1, round((parameters(channels, shape, kernel) - fixed) / (channels * (taps + 1) + (3 if normed else 1))))
