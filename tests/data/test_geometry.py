"""Grids at another spacing."""

from __future__ import annotations

from autospine.data.geometry import resampled_shape


def test_new_shapes_keep_the_extent() -> None:
    assert resampled_shape((20, 224, 224), (4.0, 1.0, 1.0), (4.0, 2.0, 2.0)) == (20, 112, 112)
    assert resampled_shape((39, 305, 305), (2.0, 1.25, 1.25), (1.0, 1.0, 1.0)) == (78, 381, 381)
    assert resampled_shape((20, 224, 305), (4.0, 1.0, 1.25), (4.0, 2.0, 1.0)) == (20, 112, 381)  # 381.25
    # Python's round: half to even
    assert resampled_shape((5, 7), (1.0, 1.0), (2.0, 2.0)) == (2, 4)
    assert resampled_shape((1,), (1.0,), (9.0,)) == (1,)
