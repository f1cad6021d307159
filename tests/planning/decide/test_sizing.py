from __future__ import annotations

import pytest

from autospine.planning.decide.rules import BLOCKS, DECODER_CONVS
from autospine.planning.decide.sizing import Share, low_resolution, size_for_memory
from autospine.planning.decide.topology import Fit, NetworkFamily

PLAIN = NetworkFamily("plain", BLOCKS["plain"], DECODER_CONVS["plain"], 32, 320, 6)
EVERYTHING = Share(1e12, 1.0)


def nothing(fit: Fit, batch: int) -> float:
    return 0.0


def test_the_rules_of_the_tier_below_the_memory_count() -> None:
    shape = (300.0, 300.0, 300.0)
    eight, eleven = (size_for_memory((1.0,) * 3, shape, PLAIN, gb, EVERYTHING, nothing) for gb in (8.0, 11.9))
    assert eight == eleven
    assert (eight.fit.topology.patch, eight.batch, eight.memory_gb) == ((128, 128, 128), 2, 8.0)
    assert eight.displaced is None


def test_a_smaller_tier_that_shows_more_is_kept() -> None:
    spacing, shape = (0.4108, 1.6399, 1.8353), (18.0, 408.0, 471.0)
    four, six = (size_for_memory(spacing, shape, PLAIN, gb, EVERYTHING, nothing) for gb in (4.0, 6.0))
    # at 4 GB two patches of 16 x 192 x 160 fit, at 2 GB three of 11 x 192 x 160
    assert (four.fit.topology.patch, four.batch) == ((11, 192, 160), 3)
    assert (four.memory_gb, four.displaced) == (2.0, "smaller")
    assert six.displaced is None
    assert six.voxels >= 3 * 11 * 192 * 160 > 2 * 16 * 192 * 160


def test_an_estimate_over_the_memory_lowers_the_batch() -> None:
    shape = (64.0, 64.0, 64.0)
    rule = size_for_memory((1.0,) * 3, shape, PLAIN, 8.0, EVERYTHING, nothing)
    # feature maps: 5 of 32 and 6 classes on 64^3, 5 of 64, 128, 256 on an eighth each, 2 of 320 on 4^3: 57.3 million
    assert rule.batch == 20
    lowered = size_for_memory((1.0,) * 3, shape, PLAIN, 8.0, EVERYTHING, lambda fit, batch: batch * 0.7)
    assert (lowered.batch, lowered.by_estimate, lowered.fit) == (11, 11, rule.fit)
    assert not lowered.over


def test_an_estimate_over_the_memory_takes_a_smaller_patch_where_two_do_not_fit() -> None:
    def peak(fit: Fit, batch: int) -> float:
        return batch * fit.elements * 1e-8  # 8 GB hold 400 million elements in two patches, the rule 560

    shape = (300.0, 300.0, 300.0)
    size = size_for_memory((1.0,) * 3, shape, PLAIN, 8.0, EVERYTHING, peak)
    assert (size.memory_gb, size.displaced, size.batch) == (4.0, "over", 2)
    assert peak(size.fit, size.batch) <= 8.0


def test_nothing_fits_at_all() -> None:
    size = size_for_memory((1.0,) * 3, (300.0,) * 3, PLAIN, 8.0, EVERYTHING, lambda fit, batch: 9.0)
    assert size.over
    assert (size.memory_gb, size.batch) == (2.0, 2)


def test_a_batch_below_the_rules_own_is_heeded() -> None:
    size = size_for_memory((1.0,) * 3, (300.0,) * 3, PLAIN, 8.0, Share(1e12, 1.0, max_batch=1), nothing)
    assert size.batch == 1


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
