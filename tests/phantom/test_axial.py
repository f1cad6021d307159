"""Axial slices of the phantom: anatomy in its place, and large and small on the same slices."""

from __future__ import annotations

import numpy as np
import pytest

from autospine.phantom.axial import LABELS
from autospine.phantom.scan import PhantomCase
from tests.phantom.phantoms import drawn

VALUE = dict(LABELS)
CASES = range(4)


def area_mm2(case: PhantomCase, name: str) -> float:
    """Median area of a class over the slices that hold it."""
    pixels = (case.label == VALUE[name]).sum(axis=(1, 2))
    return float(np.median(pixels[pixels > 0])) * case.spacing_mm[1] * case.spacing_mm[2]


def middle(case: PhantomCase, name: str) -> np.ndarray:
    """Mean (Z, Y, X) index of a class."""
    return np.argwhere(case.label == VALUE[name]).mean(axis=0)


@pytest.mark.parametrize("number", CASES)
def test_nine_slices_hold_every_class(number: int) -> None:
    case = drawn(number, "lumbar")
    assert case.image.shape[:2] == (1, 9)
    assert set(np.unique(case.label)) == set(range(len(LABELS) + 1))
    assert case.spacing_mm[0] > 4 and max(case.spacing_mm[1:]) < 1.6
    # Every slice shows the sac, and a body or a disc in front of it.
    assert (case.label == VALUE["dural_sac"]).any(axis=(1, 2)).all()
    column = (case.label == VALUE["vertebral_body"]) | (case.label == VALUE["disc"])
    assert column.any(axis=(1, 2)).all()


@pytest.mark.parametrize("number", CASES)
def test_areas_differ_by_more_than_ten_times(number: int) -> None:
    """A body is an oval of about 45 x 33 mm, 1100 mm2; two roots of 5 mm are 40."""
    case = drawn(number, "lumbar")
    areas = {name: area_mm2(case, name) for name in VALUE}
    assert 700 < areas["vertebral_body"] < 1700
    assert 80 < areas["dural_sac"] < 300
    assert 12 < areas["nerve_root"] < 60
    assert areas["vertebral_body"] > 10 * areas["nerve_root"]


@pytest.mark.parametrize("number", CASES)
def test_anatomy_is_in_order(number: int) -> None:
    case = drawn(number, "lumbar")
    body, sac, arch = (middle(case, name) for name in ("vertebral_body", "dural_sac", "posterior_arch"))
    assert body[1] + 8 < sac[1] < arch[1]
    roots = np.argwhere(case.label == VALUE["nerve_root"])
    left = roots[:, 2] > sac[2]
    assert 0.3 < left.mean() < 0.7
    # None lies behind the sac, none in its middle.
    assert roots[:, 1].max() * case.spacing_mm[1] < (sac[1] * case.spacing_mm[1]) + 12
    assert (np.abs(roots[:, 2] - sac[2]) * case.spacing_mm[2]).min() > 3


@pytest.mark.parametrize("number", CASES)
def test_fluid_is_bright_and_rims_are_dark(number: int) -> None:
    case = drawn(number, "lumbar")
    signal = {name: float(np.median(case.image[0][case.label == value])) for name, value in LABELS}
    assert max(signal, key=lambda name: signal[name]) == "dural_sac"
    assert signal["nerve_root"] < 0.8 * signal["dural_sac"]
    assert signal["posterior_arch"] < signal["vertebral_body"]
