"""Intervals over subjects: those of scipy where each subject is one case, and by hand where it is several."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from autospine.evaluation.intervals import mean_intervals
from autospine.evaluation.paired import interval


def one_each(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of subjects with a case each, (subjects, classes, 1) of values (subjects, classes)."""
    return np.nan_to_num(values)[:, :, None], (~np.isnan(values)).astype(float)[:, :, None]


@pytest.mark.parametrize("subjects", [2, 3, 8, 40])
def test_of_one_case_each_they_are_those_of_scipy(subjects: int) -> None:
    values, near = np.random.default_rng(subjects).beta(8, 2, (subjects, 3)), 5e-4  # what is equal up to rounding
    found = mean_intervals(*one_each(values))
    for column in range(3):
        expected = interval(values[:, column])
        assert found.low[column, 0] == pytest.approx(expected.low, abs=near)
        assert found.high[column, 0] == pytest.approx(expected.high, abs=near)
    overall = interval(values.mean(axis=1))
    assert (found.low[3, 0], found.high[3, 0]) == pytest.approx((overall.low, overall.high), abs=near)


def test_a_subject_counts_once_however_many_cases_it_has() -> None:
    """Two subjects with 0 and 1 in 50 cases each say as little as with one case each."""
    few = mean_intervals(*one_each(np.array([[0.0], [1.0]])))
    many = mean_intervals(np.array([[[0.0]], [[50.0]]]), np.full((2, 1, 1), 50.0))
    assert (many.low == few.low).all() and (many.high == few.high).all()
    assert few.low[0, 0] == 0.0 and few.high[0, 0] == 1.0


def test_the_centre_is_the_mean_over_cases() -> None:
    sums, counts = np.array([9 * 0.9, 0.3, 0.5, 0.4]), np.array([9.0, 1, 1, 1])
    found = mean_intervals(sums[:, None, None], counts[:, None, None])
    assert found.low[0, 0] < sums.sum() / counts.sum() < found.high[0, 0]


def test_classes_that_subjects_lack() -> None:
    values = np.array(
        [[0.9, math.nan, 0.5], [0.8, math.nan, math.nan], [0.7, math.nan, math.nan], [0.6, 0.2, math.nan]]
    )
    found = mean_intervals(*one_each(values))
    assert found.low[0, 0] < 0.75 < found.high[0, 0]
    assert np.isnan(found.low[1:3, 0]).all() and np.isnan(found.high[1:3, 0]).all()  # one subject, or none
    assert found.low[3, 0] < found.high[3, 0]


def test_no_spread_and_no_subjects() -> None:
    same = mean_intervals(*one_each(np.full((5, 1), 0.7)))
    assert (same.low[0, 0], same.high[0, 0]) == pytest.approx((0.7, 0.7))
    for subjects in (0, 1):
        none = mean_intervals(np.zeros((subjects, 2, 3)), np.ones((subjects, 2, 3)))
        assert none.low.shape == (3, 3) and np.isnan(none.low).all() and np.isnan(none.high).all()


def test_many_at_once_take_little() -> None:
    values = np.random.default_rng(0).random((100, 10, 10))
    start = time.process_time()
    mean_intervals(values, np.ones_like(values))
    assert time.process_time() - start < 5
