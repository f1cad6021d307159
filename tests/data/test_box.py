"""The box around what is not zero."""

from __future__ import annotations

import numpy as np

from autospine.data.box import nonzero_box


def test_the_smallest_box_of_all_channels() -> None:
    image = np.zeros((2, 4, 5, 6))
    image[0, 1, 2, 3] = -1.0
    image[1, 2, 4, 3] = 1.0
    assert nonzero_box(image) == (slice(1, 3), slice(2, 5), slice(3, 4))


def test_an_image_of_zeros_keeps_its_grid() -> None:
    assert nonzero_box(np.zeros((1, 4, 5, 6))) == (slice(0, 4), slice(0, 5), slice(0, 6))
