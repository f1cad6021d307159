from __future__ import annotations

import pytest

from autospine.data.slices import slice_axis
from autospine.planning.decide.grid import order_axes, resampled_shape, stated_axis, target_spacing


def test_spacing_is_the_median_per_axis() -> None:
    spacings = [(1.0, 0.5, 0.7), (2.0, 0.6, 0.8), (3.0, 0.9, 0.9)]
    target, moved = target_spacing(spacings, [(100, 90, 80)] * 3)
    assert target == (2.0, 0.6, 0.8)
    assert not moved


def test_a_thick_axis_takes_its_tenth_percentile() -> None:
    spacings = [(5.0, 1.0, 1.0), (5.0, 1.0, 1.0), (6.0, 1.0, 1.0), (5.0, 1.0, 1.0), (3.0, 1.0, 1.0)]
    target, moved = target_spacing(spacings, [(12, 200, 220)] * 5)
    assert moved
    assert target == pytest.approx((3.8, 1.0, 1.0))  # 10 % between 3 and 5: 3 + 0.4 x 2
    many_slices, moved = target_spacing(spacings, [(90, 200, 220)] * 5)  # 90 x 3 is not below 200
    assert not moved
    assert many_slices[0] == 5.0


def test_a_thick_axis_stays_the_coarsest() -> None:
    spacings = [(5.0, 1.0, 1.2)] * 8 + [(0.5, 1.0, 1.2)] * 2
    target, moved = target_spacing(spacings, [(12, 200, 220)] * 10)
    assert moved
    assert target[0] == 1.2 + 1e-5


def test_axes_go_coarsest_first_and_single_slices_before_all() -> None:
    assert order_axes(slice_axis((224, 224, 20), (1.0, 1.0, 4.0))) == (2, 0, 1)
    assert order_axes(slice_axis((35, 51, 35), (1.0, 1.0, 1.0))) == (0, 1, 2)
    assert order_axes(slice_axis((30, 51, 35), (0.5, 0.7, 0.6))) == (1, 0, 2)
    assert order_axes(slice_axis((1, 51, 35), (1.0, 2.0, 2.0))) == (0, 1, 2)


def test_the_slice_axis_of_the_headers_that_most_cases_have() -> None:
    assert stated_axis([2, 2, None]) == 2
    assert stated_axis([2, 2, None, 1]) is None
    assert stated_axis([None, None, 1]) is None


def test_shapes_scale_with_spacing() -> None:
    assert resampled_shape((20, 224, 305), (4.0, 1.0, 1.25), (4.0, 2.0, 1.0)) == (20, 112, 381)  # 381.25
