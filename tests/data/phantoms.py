"""Cases of the phantom, drawn once for all tests: to draw one takes up to a second."""

from __future__ import annotations

from functools import cache

from autospine.phantom.dataset import Scenario, draw_case
from autospine.phantom.scan import PhantomCase


@cache
def drawn(number: int, scenario: Scenario) -> PhantomCase:
    """Case `number` of the series 0."""
    return draw_case(0, number, scenario)
