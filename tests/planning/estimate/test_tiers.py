from __future__ import annotations

from autospine.planning.estimate.tiers import memory_tier


def test_a_tier_is_what_the_memory_holds() -> None:
    assert [memory_tier(gb) for gb in (0.5, 2.0, 7.99, 8.0, 11.0, 25.2, 79.0, 85.0, 640.0)] == [
        *(2.0, 2.0, 6.0, 8.0, 8.0),
        *(24.0, 48.0, 80.0, 80.0),
    ]
