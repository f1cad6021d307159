"""How a user wants images to be segmented, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What of a prediction is chosen when a model is loaded."""

    folds: tuple[str, ...] | None = None
    """Folds to average; None: all that are trained."""
    mirror: bool = True
    """Average over the plan's mirrorings."""
    overlap: float | None = None
    """Share by which tiles overlap, 0 to 0.9; None: the plan's."""
    memory_bytes: int | None = None
    """Most that the process may have in RAM while it predicts; None: what is free."""
