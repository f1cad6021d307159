"""The sizes of memory that are planned for: two machines that hold the same one share a plan."""

from __future__ import annotations

MEMORY_TIERS_GB: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 40.0, 48.0, 80.0)
"""Memory sizes (10^9 bytes) that are planned for: those of usual devices. Two machines of one tier share a plan."""


def memory_tier(memory_gb: float) -> float:
    """The largest of `MEMORY_TIERS_GB` that `memory_gb` (10^9 bytes) holds; the smallest where it holds none."""
    return max((tier for tier in MEMORY_TIERS_GB if tier <= memory_gb), default=MEMORY_TIERS_GB[0])
