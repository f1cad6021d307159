from __future__ import annotations

from collections.abc import Callable

import pytest

from autospine.planning.decide.intensities import (
    normalisation_of,
    planned_mask,
    planned_normalisation,
    planned_resampling,
)
from autospine.planning.document.parts import Normalisation, ResamplingPlan
from autospine.planning.measured.fingerprint import Fingerprint


def test_normalisation_follows_the_channel_name() -> None:
    assert [normalisation_of(name) for name in ("CT", "ct", "T2", "ADC")] == ["ct", "ct", "zscore", "zscore"]


def test_a_channel_called_ct_is_scaled_by_the_data_set() -> None:
    mixed = planned_normalisation(("CT", "T2"))
    assert mixed.value == ("ct", "zscore") and str(mixed.why).startswith("a channel called CT is clipped")
    mr = planned_normalisation(("T1", "T2"))
    assert mr.value == ("zscore", "zscore") and str(mr.why).startswith("no channel is called CT")


@pytest.mark.parametrize(
    ("full", "scales", "masked", "why"),
    [
        ((20, 120, 120), ("zscore",), True, "holds 62% of the median case, under 75%: mask used"),
        ((20, 120, 120), ("ct", "zscore"), True, "holds 62% of the median case, under 75%: mask used"),
        ((20, 120, 120), ("ct",), False, "holds 62% of the median case, under 75%, but CT is scaled by"),
        ((20, 120, 100), ("zscore",), False, "holds 75% of the median case; masked under 75%"),
    ],
)
def test_black_borders_are_masked(
    make_fingerprint: Callable[..., Fingerprint],
    full: tuple[int, int, int],
    scales: tuple[Normalisation, ...],
    masked: bool,
    why: str,
) -> None:
    """20 x 100 x 90 voxels are not black: of 20 x 120 x 120 five eighths, of 20 x 120 x 100 three quarters."""
    cases = make_fingerprint([(20, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3, full_shape=full).cases
    mask = planned_mask(cases, scales)
    assert mask.value is masked and why in mask.why


def test_every_interpolation_says_why() -> None:
    resampling = planned_resampling()
    assert resampling.value == ResamplingPlan(3, 1, 1, 0, 3.0)
    assert set(resampling.keyed) == set(vars(resampling.value))
