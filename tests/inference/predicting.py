"""Predictors of any networks and cases of any image, for tests of what happens between the two."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from autospine.inference.predictor import Predictor
from autospine.planning.document.model import ModelCard
from autospine.planning.document.parts import IntensityPlan
from autospine.planning.document.plan import Configuration
from autospine.preprocessing.prepare import CaseProperties, PreparedCase

CPU = torch.device("cpu")


def card_of(configuration: Configuration) -> ModelCard:
    """That of a data set with as many channels and classes as the configuration has."""
    channels = tuple(f"C{index}" for index in range(configuration.image_channels))
    labels = tuple((f"L{value}", value) for value in range(1, configuration.classes + 1))
    return ModelCard("toy", channels, labels, (IntensityPlan(100.0, 20.0, 10.0, 200.0),) * len(channels), configuration)


def predictor_of(networks: Sequence[nn.Module], configuration: Configuration, **how: Any) -> Predictor:
    """`how` are further fields of the predictor."""
    return Predictor(card_of(configuration), tuple(networks), CPU, **how)


def case_of(image: np.ndarray, missing: Collection[int] = ()) -> PreparedCase:
    """A prepared case of `image` (C, a0, a1, a2), which lies on its own grid of 1 mm."""
    z, y, x = image.shape[1:]
    box, ones = ((0, z), (0, y), (0, x)), (1.0, 1.0, 1.0)
    return PreparedCase(
        "case", image, None, CaseProperties("case", (z, y, x), ones, box, (0, 1, 2), ones, tuple(sorted(missing)))
    )


def predict_logits(
    networks: Sequence[nn.Module],
    image: np.ndarray,
    configuration: Configuration,
    *,
    previous: np.ndarray | None = None,
    missing: Collection[int] = (),
    progress: Any = lambda done, total: None,
    **how: Any,
) -> np.ndarray:
    """What a predictor with these further fields says of `image` (C, a0, a1, a2)."""
    return predictor_of(networks, configuration, **how).logits(case_of(image, missing), previous, progress)
