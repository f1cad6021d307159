"""What the MSFF bottleneck is made of, from its size alone; `networks.msff` builds it, `planning.memory` counts it."""

from __future__ import annotations

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
