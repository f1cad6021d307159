from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from autospine.inference.window import Tile, Window, blending_window, tile_starts


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


def test_what_all_tiles_say_is_the_weighted_mean_of_the_case_alone() -> None:
    """A case of 2 x 5 x 7 in a volume of 2 x 6 x 8, of which each tile says its own first row and column."""
    window, seen = Window((1, 4, 4), 0.5, 3, 2), list[tuple[int, int]]()

    def logits_of(tiles: list[Tile]) -> Tensor:
        return torch.stack(
            [torch.tensor([tile[1].start, tile[2].start]).view(2, 1, 1, 1).expand(2, 1, 4, 4) for tile in tiles]
        )

    inner = (slice(0, 2), slice(0, 5), slice(1, 8))
    total = window.slide((2, 6, 8), inner, logits_of, lambda *done: seen.append(done))
    assert total.shape == (2, 2, 5, 7) and seen == [(3, 12), (6, 12), (9, 12), (12, 12)]
    # rows 0 and 1 are of the tiles that start at 0 alone, row 2 of those at 0 and 2, by the window's weights there
    weights = blending_window((1, 4, 4))[0]
    assert total[0, :, :2].abs().max() == 0
    expected = 2 * weights[0, 0] / (weights[2, 0] + weights[0, 0])
    np.testing.assert_allclose(total[0, :, 2], expected, rtol=1e-5)
    assert total[1, 0, 0, -1] == 4
