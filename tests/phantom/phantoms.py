"""Cases of the phantom, drawn once for all tests: to draw one takes up to a second. And how large what they show is."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from autospine.phantom.dataset import Scenario, draw_case
from autospine.phantom.scan import PhantomCase


@cache
def drawn(number: int, scenario: Scenario) -> PhantomCase:
    """Case `number` of the series 0."""
    return draw_case(0, number, scenario)


CORNERS = np.ones((3, 3, 3), bool)


def diameters(case: PhantomCase, value: int) -> list[float]:
    """Of the spheres of the same volume (mm), one per component."""
    components, count = ndimage.label(case.label == value, CORNERS)
    volumes = np.bincount(components.ravel(), minlength=count + 1)[1:] * np.prod(case.spacing_mm)
    return [float(one) for one in (6 / np.pi * volumes) ** (1 / 3)]
