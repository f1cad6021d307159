from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autospine.inference.window import blending_window, tile_starts


def test_the_drawn_example() -> None:
    assert tile_starts(10, 4, 0.5) == (0, 2, 4, 6)


def test_one_tile_where_the_image_is_no_larger() -> None:
    assert tile_starts(4, 4, 0.5) == (0,)
    assert tile_starts(3, 4, 0.5) == (0,)


@pytest.mark.parametrize("size", range(5, 40, 3))
@pytest.mark.parametrize(("patch", "overlap"), [(5, 0.5), (5, 0.0), (4, 0.9)])
def test_tiles_cover_the_image_and_end_with_it(size: int, patch: int, overlap: float) -> None:
    starts = tile_starts(size, patch, overlap)
    covered = np.zeros(size, bool)
    for start in starts:
        covered[start : start + patch] = True
    assert covered.all()
    assert starts[0] == 0
    assert starts[-1] == size - patch
    # rounding the equal steps may add half a voxel at either end
    assert all(late - early <= patch * (1 - overlap) + 1 for early, late in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
def test_a_slice_is_a_tile_once(overlap: float) -> None:
    assert tile_starts(5, 1, overlap) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("patch", [(8,), (9, 14), (4, 20, 15), (1, 16, 16)])
def test_window_equals_a_filtered_delta(patch: tuple[int, ...]) -> None:
    delta = np.zeros(patch)
    delta[tuple(edge // 2 for edge in patch)] = 1
    slow = ndimage.gaussian_filter(delta, [edge / 8 for edge in patch], mode="constant", cval=0)
    slow = (slow / slow.max()).astype(np.float32)
    slow[slow == 0] = slow[slow > 0].min()
    window = blending_window(patch)
    np.testing.assert_allclose(window, slow, rtol=1e-6)
    assert window.max() == 1
    assert window.min() > 0
