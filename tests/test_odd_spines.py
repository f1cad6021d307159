"""The odd spines are odd in what they are called by, and in nothing else."""

from __future__ import annotations

import numpy as np

from autospine.phantom.scan import PhantomCase
from tests.odd_spines import KINDS, draw_odd


def places(case: PhantomCase) -> list[tuple[float, float]]:
    """Height and side of the middles of L5 to L1, voxels."""
    held = [np.argwhere(case.label == value).mean(axis=0) for value in range(1, 6)]
    return [(float(place[0]), float(place[2])) for place in held]


def test_each_kind_is_what_it_is_called() -> None:
    drawn = {kind: draw_odd(kind, 0) for kind in KINDS}
    heights = {kind: np.array(places(case))[:, 0] for kind, case in drawn.items()}
    usual, plain = heights["five lumbar vertebrae"], drawn["five lumbar vertebrae"]
    for kind, height in heights.items():
        assert (np.diff(height) > 8).all(), kind  # L5 to L1 from below, none on another
    # the third is what was the fourth; what was the sixth is the fifth, or what was the fourth
    assert heights["four"][2] < usual[3] - 2 and heights["six"][3] > usual[2] + 10
    np.testing.assert_allclose(heights["four"][:2], usual[:2], atol=0.5)
    np.testing.assert_allclose(heights["six"][:3], usual[:3], atol=0.5)
    np.testing.assert_allclose(heights["metal in L3"], usual, atol=0.5)
    assert np.ptp([side for _, side in places(drawn["scoliosis"])]) > np.ptp([side for _, side in places(plain)]) + 1
    lower = heights["L5 sacralised"] - usual
    assert lower[0] < -1 and np.ptp(lower) < 1.5  # all come down with it
    metal = drawn["metal in L3"]
    inside, beside = (np.median(metal.image[0][metal.label == value]) for value in (3, 1))
    assert inside < 0.5 * beside
    half = drawn["last slice half empty"].image[0, :, :, -1]
    assert not half[len(half) // 2 :].any() and half[: len(half) // 2].any()
