"""Confidence and correctness of voxels whose probabilities are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from autospine.evaluation.reliability import TEMPERATURES, Reliability, calibrate, ece

ONE = TEMPERATURES.index(1.0)


def sampled(temperature: float, count: int = 20_000, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a network whose logits are `temperature` times too large, and truths drawn by the right ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (classes, count))
    true = special.softmax(logits, axis=0)
    truth = (rng.random(count) > true.cumsum(axis=0)).sum(axis=0).clip(max=classes - 1)
    return special.softmax(logits * temperature, axis=0).astype(np.float16), truth


def test_a_case_by_hand() -> None:
    """Two voxels: sure with 3/4 and right, sure with 5/8 and wrong; the bins are a fifteenth wide."""
    chances = np.array([[0.75, 0.625], [0.25, 0.375]], np.float16)
    found = Reliability.of(chances, np.array([0, 1]), regions=False)
    assert found.nll[ONE] == pytest.approx(-(math.log(0.75) + math.log(0.375)) / 2, abs=1e-6)
    bins = found.bins[ONE]
    assert bins[:, 0].sum() == 2 and bins[11, 2] == 1 and bins[9].tolist() == pytest.approx([1, 0.625, 0])
    assert ece(bins) == pytest.approx((0.25 + 0.625) / 2)
    # at temperature 2: square roots over their sum
    two = TEMPERATURES.index(2.0)
    first = math.sqrt(0.75) / (math.sqrt(0.75) + math.sqrt(0.25))
    second = math.sqrt(0.375) / (math.sqrt(0.375) + math.sqrt(0.625))
    assert found.nll[two] == pytest.approx(-(math.log(first) + math.log(second)) / 2, abs=1e-6)


def test_regions_by_hand() -> None:
    """One that is there and 0.7 likely; one that is not there and 0.9 likely."""
    found = Reliability.of(np.array([[0.7], [0.9]], np.float16), np.array([[True], [False]]), regions=True)
    assert found.nll[ONE] == pytest.approx(-(math.log(0.7) + math.log(0.1)) / 2, abs=5e-3)
    assert ece(found.bins[ONE]) == pytest.approx((0.3 + 0.9) / 2, abs=1e-3)


def test_what_is_written_is_read() -> None:
    chances, truth = sampled(1.0, 500)
    found = Reliability.of(chances, truth, regions=False)
    again = Reliability.from_json(found.to_json())
    np.testing.assert_allclose(again.nll, found.nll)
    np.testing.assert_allclose(again.bins, found.bins, atol=1e-3)
    with pytest.raises(ValueError, match="other temperatures"):
        Reliability.from_json({"nll": [1.0], "bins": found.bins.tolist()})


def test_nothing_to_look_at_says_nothing() -> None:
    found = Reliability.of(np.zeros((3, 0), np.float16), np.zeros(0, np.uint8), regions=False)
    assert (found.nll == 0).all() and math.isnan(ece(found.bins[ONE]))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_the_temperature_of_a_network_is_found(temperature: float) -> None:
    """Logits that are T times too large are right again once they are divided by T."""
    cases = [Reliability.of(*sampled(temperature, seed=seed), regions=False) for seed in range(8)]
    found = calibrate(cases, [str(index) for index in range(8)], [index % 4 for index in range(8)])
    assert found.temperature == pytest.approx(temperature, rel=0.07)
    assert found.ece_after < 0.012
    if temperature != 1:
        assert found.helps and found.nll_after < found.nll_before and found.ece_before > 0.05
    else:
        assert not found.helps


def test_parts_are_judged_by_the_temperature_of_the_others() -> None:
    """Part 0 comes of another scanner, say: its network is twice as sure."""
    cases = [Reliability.of(*sampled(temperature, seed=seed), regions=False) for seed, temperature in enumerate((2, 1))]
    found = calibrate(cases, ["a", "b"], [0, 1])
    assert found.of_part[0] == pytest.approx(1.0, rel=0.07) and found.of_part[1] == pytest.approx(2.0, rel=0.07)
    assert found.nll_after == pytest.approx(
        (cases[0].nll[TEMPERATURES.index(found.of_part[0])] + cases[1].nll[TEMPERATURES.index(found.of_part[1])]) / 2
    )
    assert not found.helps


def test_one_part_calibrates_nothing() -> None:
    cases = [Reliability.of(*sampled(2.0, seed=seed), regions=False) for seed in range(8)]
    found = calibrate(cases, [str(index) for index in range(8)], [0] * 8)
    assert found.of_part == {0: 1.0} and not found.helps and found.nll_after == found.nll_before
