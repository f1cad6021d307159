from __future__ import annotations

import pytest

from autospine.planning.decide.low_resolution import low_resolution
from autospine.planning.decide.stages import BLOCKS, DECODER_CONVS
from autospine.planning.decide.topology import NetworkFamily

PLAIN = NetworkFamily("plain", BLOCKS["plain"], DECODER_CONVS["plain"], 32, 320, 6)


def test_the_low_resolution_of_a_cube() -> None:
    """400^3 voxels at 1 mm; 8 GB hold 128^3, or 3.3 %: a quarter of a case is seen once it has under 8.4 million."""
    low = low_resolution((1.0, 1.0, 1.0), (400.0, 400.0, 400.0), PLAIN, 8.0)
    assert low.planned
    assert low.seen == pytest.approx(128**3 / 400**3)
    # 23 steps of 3 % make 1.9736 mm and 202.7 voxels, whose quarter is 2 081 000 of the patch's 2 097 152
    assert low.spacing_mm == pytest.approx((1.03**23,) * 3)
    assert low.median_shape == (203.0, 203.0, 203.0)
    assert low.gain == pytest.approx(1.03**69)


def test_thin_axes_become_coarser_first() -> None:
    low = low_resolution((3.0, 1.0, 1.0), (200.0, 500.0, 500.0), PLAIN, 8.0)
    # 1.03^13 is 1.47, 1.03^14 1.51: after 14 steps the pixels are within half of 3 mm, then all axes grow together
    assert low.spacing_mm[1] == low.spacing_mm[2] > 1.03**14
    assert low.spacing_mm[0] / low.spacing_mm[1] == pytest.approx(3 / 1.03**14)


def test_no_low_resolution_where_a_patch_sees_enough() -> None:
    seen = low_resolution((1.0, 1.0, 1.0), (150.0, 150.0, 150.0), PLAIN, 8.0)
    assert not seen.planned
    assert (seen.gain, seen.spacing_mm) == (1.0, (1.0, 1.0, 1.0))
    assert seen.seen > 0.25
    # a quarter is seen with 1.9 times fewer voxels already: not worth a network
    little = low_resolution((1.0, 1.0, 1.0), (240.0, 240.0, 240.0), PLAIN, 8.0)
    assert little.seen < 0.25
    assert 1.0 < little.gain < 2.0
    assert not little.planned
    # 128^3 / 150^3
    assert seen.obstacle == "a patch of full resolution sees 62% of the median case, at least 25% (nnU-Net v2.8)"
    assert f"only {little.gain:.2g} times fewer voxels, under 2" in little.obstacle
