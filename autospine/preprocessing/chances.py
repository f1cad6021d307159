"""Stored probabilities as logits: float16 holds none between 0 and 6e-8, and none just below 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

_TINY = 6e-8
"""Least probability above 0 that float16 holds: what is stored as 0 is taken for that."""
_NEAR_1 = 2.4e-4
"""Distance from 1 below which float16 rounds a probability to it."""


def as_logits(chances: npt.NDArray[np.float32], *, regions: bool) -> npt.NDArray[np.float32]:
    """Logits (K, ...) of probabilities, which float16 may have rounded to 0 or 1: their logarithms.

    Of `regions`, each of which is yes or no by itself, log p - log(1 - p).
    """
    if regions:
        return np.asarray(special.logit(np.clip(chances, _TINY, 1 - _NEAR_1)), np.float32)
    return np.log(np.maximum(chances, np.float32(_TINY)))
