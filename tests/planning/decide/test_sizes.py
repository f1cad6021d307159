from __future__ import annotations

import pytest

from autospine.planning.decide.sizes import class_sizes, size_adaptive_weights, size_ratio


def test_class_sizes_are_medians_over_the_cases_that_have_the_class() -> None:
    voxels = [(100, 0), (300, 40), (200, 80)]
    slices = [(10, 0), (10, 4), (10, 4)]
    spacings = [(1.0, 1.0), (1.0, 1.0), (2.0, 1.0)]
    # per slice at 1 x 1 mm: 10, 30, 20 x 2 = 40 and 10, 20 x 2 = 40
    assert class_sizes(voxels, slices, spacings, (1.0, 1.0)) == (30.0, 25.0)
    assert class_sizes(voxels, slices, spacings, (2.0, 2.0)) == (7.5, 6.25)
    assert class_sizes([(0, 5)], [(0, 1)], [(1.0, 1.0)], (1.0, 1.0)) == (0.0, 5.0)


def test_size_adaptive_weights() -> None:
    assert size_adaptive_weights((400.0, 100.0, 4.0)) == (1.0, 1.0, 2.0, 5.0)  # roots of 1, 4, 100 (capped)
    assert size_adaptive_weights((400.0, 100.0), alpha=1.0) == (1.0, 1.0, 4.0)
    assert size_adaptive_weights((50.0, 0.0)) == (1.0, 1.0, 1.0)  # the second never occurs


@pytest.mark.parametrize(
    ("sizes", "alpha", "cap"), [((9.0, 1.0), 0.0, 5.0), ((9.0, 1.0), 0.5, 1.0), ((7.0, 7.0), 0.5, 5.0)]
)
def test_no_weighting_is_exactly_one(sizes: tuple[float, ...], alpha: float, cap: float) -> None:
    assert size_adaptive_weights(sizes, alpha, cap) == (1.0, 1.0, 1.0)


def test_size_ratio_leaves_absent_classes_out() -> None:
    assert size_ratio((400.0, 0.0, 100.0)) == 4.0
    assert size_ratio((0.0, 0.0)) == 1.0
