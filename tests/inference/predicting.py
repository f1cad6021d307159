"""Predictors of any networks and cases of any image, for tests of what happens between the two."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from autospine.inference.predictor import Predictor
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import CaseProperties, PreparedCase

CPU = torch.device("cpu")


def predictor_of(networks: Sequence[nn.Module], card: ModelCard, **how: Any) -> Predictor:
    """`how` are further fields of the predictor."""
    return Predictor(card, tuple(networks), CPU, **how)


def case_of(image: np.ndarray, missing: Collection[int] = ()) -> PreparedCase:
    """A prepared case of `image` (C, a0, a1, a2), which lies on its own grid of 1 mm."""
    z, y, x = image.shape[1:]
    box, ones = ((0, z), (0, y), (0, x)), (1.0, 1.0, 1.0)
    where = CaseProperties("case", (z, y, x), ones, box, (0, 1, 2), ones, tuple(sorted(missing)))
    return PreparedCase(image, None, where)


def predict_logits(
    networks: Sequence[nn.Module],
    image: np.ndarray,
    card: ModelCard,
    *,
    previous: np.ndarray | None = None,
    missing: Collection[int] = (),
    progress: Any = lambda done, total: None,
    **how: Any,
) -> np.ndarray:
    """What a predictor with these further fields says of `image` (C, a0, a1, a2)."""
    return predictor_of(networks, card, **how).logits(case_of(image, missing), previous, progress)
