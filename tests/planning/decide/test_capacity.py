from __future__ import annotations

from autospine.planning.decide.capacity import batch_by_memory, fits, memory_elements


def test_memory_grows_with_the_presets() -> None:
    assert [memory_elements(3, gb) for gb in (4.0, 8.0, 24.0, 80.0)] == [280e6, 560e6, 1680e6, 5600e6]
    assert [memory_elements(2, gb) for gb in (2.0, 8.0)] == [21.25e6, 85e6]
    residual = [memory_elements(3, gb, "residual") for gb in (4.0, 8.0, 16.0, 24.0, 32.0, 40.0, 80.0)]
    assert residual == [340e6, 680e6, 1390e6, 2.1e9, 2.85e9, 3.6e9, 7.2e9]
    assert [memory_elements(2, gb, "residual") for gb in (6.0, 8.0, 24.0, 40.0)] == [101.25e6, 135e6, 380e6, 560e6]


def test_what_must_fit_before_a_patch_stops_shrinking() -> None:
    # plain 2D: two patches at 8 GB, where 85e6 elements a patch go 12 times
    assert fits(2, 510_000_000, 8.0)
    assert not fits(2, 510_000_001, 8.0)
    assert fits(3, 560_000_000, 8.0)
    assert not fits(3, 560_000_001, 8.0)
    # residual 2D: all twelve
    assert fits(2, 135_000_000, 8.0, "residual")
    assert not fits(2, 135_000_001, 8.0, "residual")


def test_batches_fill_the_memory() -> None:
    assert batch_by_memory(2, 85_000_000, 8.0) == 12
    assert batch_by_memory(3, 280_000_000, 24.0) == 12
    assert batch_by_memory(3, 500_000_000, 24.0, "residual") == 8  # 2.1e9 / 500e6 x 2 = 8.4
