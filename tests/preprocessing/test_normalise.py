"""Intensity scales: numbers by hand, and what a mask leaves out."""

from __future__ import annotations

import numpy as np

from autospine.planning.document.data import IntensityPlan
from autospine.preprocessing.normalise import nonzero_mask, normalise

CT = IntensityPlan(mean=50.0, std=10.0, percentile_00_5=0.0, percentile_99_5=100.0)


def test_zscore_by_hand() -> None:
    image = np.array([1.0, 3.0, 5.0, 7.0], np.float32).reshape(1, 1, 2, 2)
    # mean 4, deviation sqrt((9 + 1 + 1 + 9) / 4) = sqrt(5)
    expected = np.array([-3.0, -1.0, 1.0, 3.0]) / np.sqrt(5)
    result = normalise(image, ("zscore",), (CT,))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-6)


def test_ct_clips_before_it_scales() -> None:
    image = np.array([-500.0, 0.0, 60.0, 3000.0], np.float32).reshape(1, 1, 2, 2)
    np.testing.assert_allclose(normalise(image, ("ct",), (CT,)).ravel(), [-5.0, -5.0, 1.0, 5.0])


def test_each_channel_has_its_own_scale_and_the_input_stays() -> None:
    image = np.random.default_rng(0).normal(200, 30, (2, 3, 5, 7)).astype(np.float32)
    before = image.copy()
    result = normalise(image, ("zscore", "ct"), (CT, CT))
    assert abs(float(result[0].mean())) < 1e-5
    assert abs(float(result[0].std()) - 1) < 1e-5
    assert float(result[1].max()) == 5.0
    np.testing.assert_array_equal(image, before)


def test_a_mask_restricts_zscore_and_leaves_zero_outside() -> None:
    image = np.array([0.0, 2.0, 4.0, 0.0], np.float32).reshape(1, 1, 1, 4)
    mask = nonzero_mask(image)
    np.testing.assert_allclose(normalise(image, ("zscore",), (CT,), mask).ravel(), [0.0, -1.0, 1.0, 0.0])


def test_holes_belong_to_the_mask() -> None:
    image = np.ones((2, 5, 5, 5), np.float32)
    image[:, 0] = 0
    image[:, 2, 2, 2] = 0
    mask = nonzero_mask(image)
    assert mask[2, 2, 2]
    assert not mask[0].any()
    assert mask.sum() == 4 * 25


def test_one_nonzero_channel_is_enough_for_the_mask() -> None:
    image = np.zeros((2, 1, 1, 3), np.float32)
    image[0, 0, 0, 0] = image[1, 0, 0, 2] = 1
    np.testing.assert_array_equal(nonzero_mask(image).ravel(), [True, False, True])


def test_constant_and_empty_channels_stay_finite() -> None:
    constant = np.full((1, 2, 3, 4), 7.0, np.float32)
    np.testing.assert_array_equal(normalise(constant, ("zscore",), (CT,)), np.zeros_like(constant))
    blank = np.zeros((1, 2, 3, 4), np.float32)
    np.testing.assert_array_equal(normalise(blank, ("zscore",), (CT,), nonzero_mask(blank)), blank)


def test_integers_and_offsets_lose_no_precision() -> None:
    image = (np.arange(24).reshape(1, 2, 3, 4) + 30_000).astype(np.int16)
    result = normalise(image, ("zscore",), (CT,))
    expected = (np.arange(24) - 11.5) / np.arange(24).std()
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-6)
