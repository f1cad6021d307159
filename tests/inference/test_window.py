from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from autospine.inference.window import Tile, Window, blending_window, tile_starts
from autospine.preprocessing.resample_labels import Strip

CPU = torch.device("cpu")


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


def of_the_starts(tiles: list[Tile]) -> Tensor:
    """What each tile of 1 x 4 x 4 says: its own first row and column."""
    starts = [torch.tensor([float(tile[1].start), float(tile[2].start)]).view(2, 1, 1, 1) for tile in tiles]
    return torch.stack([start.repeat(1, 1, 4, 4) for start in starts])


def test_what_all_tiles_say_is_the_weighted_mean_of_the_case_alone() -> None:
    """A case of 2 x 5 x 7 in a volume of 2 x 6 x 8, of which each tile says its own first row and column."""
    window, told = Window((1, 4, 4), 0.5, 3, 2), list[int]()
    inner = (slice(0, 2), slice(0, 5), slice(1, 8))
    rows = [
        (first, values.clone())
        for first, values in window.slide((2, 6, 8), inner, slice(0, 5), of_the_starts, tell=told.append)
    ]
    assert [first for first, _ in rows] == [0, 1] and told == [3, 3, 3, 3]
    total = torch.cat([values for _, values in rows], 1)
    assert total.shape == (2, 2, 5, 7)
    # rows 0 and 1 are of the tiles that start at 0 alone, row 2 of those at 0 and 2, by the window's weights there
    weights = blending_window((1, 4, 4))[0]
    assert total[0, :, :2].abs().max() == 0
    expected = 2 * weights[2 - 2, 0] / (weights[2, 0] + weights[0, 0])
    np.testing.assert_allclose(total[0, :, 2], expected, rtol=1e-5)
    assert total[1, 0, 0, -1] == 4


def noise_of(tiles: list[Tile], patch: tuple[int, int, int]) -> Tensor:
    """What each tile says: noise of its own, the same whenever it is asked."""
    seeds = [sum(span.start * base for span, base in zip(tile, (10007, 101, 1), strict=True)) for tile in tiles]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn((2, *patch), generator=generator) for generator in generators])


def all_at_once(window: Window, shape: Sequence[int], inner: Sequence[slice]) -> Tensor:
    """The weighted mean as it was computed with all scores of the case in memory."""
    weights = torch.from_numpy(blending_window(window.patch))
    total, weight = torch.zeros((window.outputs, *shape)), torch.zeros(tuple(shape))
    for tile in window.tiles(shape):
        total[(slice(None), *tile)] += noise_of([tile], window.patch)[0] * weights
        weight[tile] += weights
    return (total / weight)[(slice(None), *inner)]


@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.sampled_from([0.0, 0.25, 0.5, 0.8]),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_rows_and_strips_give_the_bits_of_the_whole(
    case: tuple[int, ...], patch: tuple[int, int, int], overlap: float, together: int, strips: int
) -> None:
    window = Window(patch, overlap, together, 2)
    shape = [max(size, edge) for size, edge in zip(case, patch, strict=True)]
    inner = [slice((whole - size) // 2, (whole - size) // 2 + size) for whole, size in zip(shape, case, strict=True)]
    found = torch.full((2, *case), float("nan"))
    for strip in Strip.of(case[1], strips):
        asked = window.slide(shape, inner, strip.columns, lambda tiles: noise_of(tiles, patch), tell=lambda tiles: None)
        last = 0
        for first, values in asked:
            assert first == last
            last = first + values.shape[1]
            assert values.shape[1] <= window.open_rows(window.tiles(shape))
            found[:, first:last, strip.columns] = values
        assert last == case[0]
    torch.testing.assert_close(found, all_at_once(window, shape, inner), rtol=0, atol=0)


@pytest.mark.parametrize("fits", [1, 2, 3])
def test_where_memory_is_too_little_fewer_tiles_go_together(fits: int) -> None:
    window, sizes = Window((1, 4, 4), 0.5, 4, 2), list[int]()
    shape, inner = (5, 9, 9), (slice(0, 5), slice(0, 9), slice(0, 9))

    def computed(tiles: list[Tile]) -> Tensor:
        if len(tiles) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(tiles))
        return noise_of(tiles, window.patch)

    rows = window.slide(shape, inner, slice(0, 9), computed, tell=lambda tiles: None)
    found = torch.cat([values.clone() for _, values in rows], 1)
    torch.testing.assert_close(found, all_at_once(window, shape, inner), rtol=0, atol=0)
    assert max(sizes) == {1: 1, 2: 2, 3: 2}[fits] and sum(sizes) == len(window.tiles(shape))


def test_fewer_tiles_together_may_lie_in_more_rows() -> None:
    """Five tiles a row went together, which are one row; now two do, and the third pair lies in two rows."""
    window, shape = Window((1, 4, 4), 0.5, 5, 2), (3, 4, 12)
    inner = tuple(slice(0, size) for size in shape)
    assert len(window.tiles(shape)) == 3 * 5

    def computed(tiles: list[Tile]) -> Tensor:
        if len(tiles) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return noise_of(tiles, window.patch)

    rows = window.slide(shape, inner, slice(0, 4), computed, tell=lambda tiles: None)
    found = torch.cat([values.clone() for _, values in rows], 1)
    torch.testing.assert_close(found, all_at_once(window, shape, inner), rtol=0, atol=0)


def test_a_tile_that_has_no_room_alone_is_an_error() -> None:
    def computed(tiles: list[Tile]) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    whole = slice(0, 4)
    rows = Window((1, 4, 4), 0.5, 4, 2).slide((4, 4, 4), (whole,) * 3, whole, computed, tell=lambda tiles: None)
    with pytest.raises(torch.OutOfMemoryError):
        list(rows)


def test_where_the_device_has_no_room_the_machine_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that takes no scores of a case: torch's `meta`, which stands for a GPU that is full."""
    real, asked = torch.zeros, list[str]()

    def zeros(*shape: Any, device: torch.device = CPU, **more: Any) -> Tensor:
        asked.append(device.type)
        if device.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*shape, device=device, **more)

    monkeypatch.setattr(torch, "zeros", zeros)
    window, whole = Window((1, 4, 4), 0.5, 1, 2), slice(0, 5)
    rows = window.slide(
        (5, 5, 5),
        (whole,) * 3,
        whole,
        lambda tiles: noise_of(tiles, window.patch),
        device=torch.device("meta"),
        tell=lambda tiles: None,
    )
    found = torch.cat([values.clone() for _, values in rows], 1)
    assert asked[:2] == ["meta", "cpu"]
    monkeypatch.undo()
    torch.testing.assert_close(found, all_at_once(window, (5, 5, 5), (whole,) * 3), rtol=0, atol=0)
