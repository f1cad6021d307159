from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from autospine.evaluation.paired import Compared, Interval, compare, corrected, interval, least_p


def holm(*values: float) -> list[float]:
    nothing = Interval(0.0, 0.0, 0.0, 1)
    return [one.corrected for one in corrected([Compared("a", "b", nothing, p, p) for p in values])]


def test_holm_by_hand() -> None:
    assert holm(0.01, 0.04, 0.03) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(0.5, 0.6) == [1.0, 1.0]
    assert holm(0.02) == [0.02]
    found = holm(0.01, math.nan, 0.02)
    assert found[0] == 0.02 and math.isnan(found[1]) and found[2] == 0.02


def test_six_subjects_to_one_side() -> None:
    """The exact test of six positive differences: 2 / 2^6."""
    base = np.array([0.5, 0.6, 0.7, 0.8, 0.65, 0.55])
    gains = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    (one,) = compare({"base": base, "new": base + gains}, "base")
    assert one.p == pytest.approx(2 / 64) == least_p(6)
    assert one.corrected == one.p and one.beyond_noise
    assert one.difference.mean == pytest.approx(0.035) and one.difference.low > 0
    assert one.difference.low < 0.035 < one.difference.high < 0.06


def test_five_subjects_cannot_show_anything() -> None:
    gains = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    (one,) = compare({"base": np.zeros(5), "new": gains}, "base")
    assert one.p == pytest.approx(0.0625) and not one.beyond_noise


def test_correction_takes_the_call_back() -> None:
    gains = np.arange(1, 7) / 100
    scores = {"base": np.zeros(6), "one": gains, "two": gains, "three": gains}
    assert [item.corrected for item in compare(scores, "base")] == pytest.approx([6 / 64] * 3)
    assert not any(item.beyond_noise for item in compare(scores, "base"))
    assert [item.least for item in compare(scores, "base")] == pytest.approx([6 / 64] * 3)
    tied = np.array([0.1, 0.2, 0.3, 0.4, 0.0, 0.0])
    assert compare({"base": np.zeros(6), "one": tied}, "base")[0].least == 2 / 16


def test_no_difference_is_certain() -> None:
    (one,) = compare({"base": np.ones(4), "same": np.ones(4)}, "base")
    assert (one.p, one.difference.mean, one.difference.low, one.beyond_noise) == (1.0, 0.0, 0.0, False)


def test_pairs_without_a_number_are_left_out() -> None:
    base, new = np.array([0.5, math.nan, 0.7]), np.array([0.6, 0.9, math.nan])
    (one,) = compare({"base": base, "new": new}, "base")
    assert one.difference.subjects == 1 and math.isnan(one.difference.low)
    (none,) = compare({"base": base[1:2], "new": new[1:2]}, "base")
    assert none.difference.subjects == 0 and math.isnan(none.p) and not none.beyond_noise


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        found = interval(rng.normal(1.0, 1.0, 30))
        held += found.low < 1.0 < found.high
    assert 50 <= held <= 60  # 57 on average; 49 or less once in 20 000 times
    again = rng.normal(size=10)
    assert interval(again) == interval(again)


def test_thousands_of_subjects_take_little_memory() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    interval(values[:10])  # what is loaded for the first is no part of it
    tracemalloc.start()
    try:
        found = interval(values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.subjects == 3000 and found.low < found.mean < found.high
    assert peak < 150e6  # all resamples at once are 480 MB
